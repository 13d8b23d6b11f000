"""Categories: the tree of what concerns are about, with who usually leads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from hotline.core.clock import local_day
from hotline.core.errors import Invalid
from hotline.core.paging import among
from hotline.core.permissions import Permission
from hotline.tickets import actions as tickets
from hotline.tickets import queries as ticket_queries
from hotline.tickets.vocabulary import Urgency
from hotline.web import forms, labels
from hotline.web.admin.layout import ROWS, EditPage, ListPage, Row
from hotline.web.gate import actor, db, now, page
from hotline.web.turning import turn
from routing import queries as routing_queries

bp = Blueprint("categories", __name__, url_prefix="/admin")


@bp.get("/categories")
@page(Permission.CATALOGUE_EDIT)
def categories() -> ResponseReturnValue:
    """Show the tree and offer to add a leaf."""
    return render_template("administration/categories.html", page=_categories_page({}, {}))


@bp.post("/categories")
@page(Permission.CATALOGUE_EDIT)
def create_category() -> ResponseReturnValue:
    """Add a category below another."""
    values = {name: forms.text(name) for name in ("code", "name", "parent_id", "definition", "lead", "urgency")}
    try:
        with db().begin() as session:
            _known_department(session, values["lead"])
            tickets.create_category(
                session,
                code=values["code"],
                name=values["name"],
                parent_id=forms.whole("parent_id"),
                definition=values["definition"],
                lead=values["lead"],
                urgency=forms.member(Urgency, "urgency") or Urgency.ORDINARY,
                by=actor(),
                today=local_day(now()),
            )
    except Invalid as error:
        return render_template("administration/categories.html", page=_categories_page(values, error.fields)), 422
    forms.told("success", f"已新增类别 {values['name']}。")
    return redirect(url_for("categories.categories", q=values["code"].strip()), 303)


@bp.get("/categories/<code>")
@page(Permission.CATALOGUE_EDIT)
def category(code: str) -> ResponseReturnValue:
    """Show one category."""
    return render_template("administration/category.html", page=_category_page(code, {}))


@bp.post("/categories/<code>")
@page(Permission.CATALOGUE_EDIT)
def change_category(code: str) -> ResponseReturnValue:
    """Change a category's words, usual department and urgency, or retire it."""
    try:
        with db().begin() as session:
            _known_department(session, forms.text("lead"))
            tickets.change_category(
                session,
                code=code,
                name=forms.text("name"),
                definition=forms.text("definition"),
                lead=forms.text("lead"),
                urgency=forms.member(Urgency, "urgency") or Urgency.ORDINARY,
                retired=forms.flag("retired"),
                by=actor(),
                today=local_day(now()),
            )
    except Invalid as error:
        return render_template("administration/category.html", page=_category_page(code, error.fields)), 422
    forms.told("success", "已保存。")
    return redirect(url_for("categories.categories"), 303)


def _known_department(session: Any, code: str) -> None:  # noqa: ANN401 - a session; pages import no SQLAlchemy
    if code and code != "district" and routing_queries.department_by_code(session, code) is None:
        raise Invalid({"lead": "没有这个承办单位，请从列表中选择。"})


def _categories_page(values: dict[str, Any], errors: dict[str, list[str]]) -> ListPage:
    words, cursor = forms.asked("q").strip(), forms.asked("cursor")
    with db().read() as session:
        found = ticket_queries.categories(session)
        units = routing_queries.departments(session)
    names = {each.code: each.short_name for each in units} | {"district": "属地县区"}
    wanted = [each for each in found if words in each.path or words in each.code]
    shown = among(wanted, cursor=cursor, limit=ROWS, key=lambda each: each.code)
    rows = [
        Row(
            href=url_for("categories.category", code=each.code),
            cells={
                "code": each.code,
                "name": each.name,
                "path": each.path,
                "level": each.level,
                "lead": names.get(each.lead, each.lead or "—"),
                "is_leaf": each.is_leaf,
            },
        )
        for each in shown.rows
    ]
    blank = dict.fromkeys(("code", "name", "parent_id", "definition", "lead", "urgency"), "")
    return ListPage(
        rows=rows,
        values={**blank, **values},
        errors=errors,
        choices={
            "parents": [(str(each.id), each.path) for each in found if each.level < 5],  # noqa: PLR2004 - five levels
            "leads": _leads(units),
            "urgencies": labels.options(Urgency),
        },
        turn=turn(shown, cursor=cursor, endpoint="categories.categories", q=words or None),
        total=len(wanted),
        words=words,
    )


def _category_page(code: str, errors: dict[str, list[str]]) -> EditPage:
    with db().read() as session:
        found = ticket_queries.category(session, code)
        units = routing_queries.departments(session)
    typed = request.method == "POST"
    return EditPage(
        key=code,
        heading=found.path,
        values={
            "code": code,
            "name": forms.text("name", found.name),
            "definition": forms.text("definition", found.definition),
            "lead": forms.text("lead", found.lead),
            "urgency": forms.text("urgency", found.urgency.value),
            "retired": forms.flag("retired") if typed else found.valid_to is not None,
        },
        errors=errors,
        choices={"leads": _leads(units), "urgencies": labels.options(Urgency)},
    )


def _leads(units: Sequence[routing_queries.DepartmentNode]) -> list[tuple[str, str]]:
    return [("district", "属地县区政府"), *((each.code, each.name) for each in units)]
