"""Departments: the tree of units that answer, their members and where they stand."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from hotline.core.errors import Invalid
from hotline.core.paging import among
from hotline.core.permissions import Permission
from hotline.tickets import queries as ticket_queries
from hotline.web import forms, labels
from hotline.web.admin.layout import ROWS, EditPage, ListPage, Row
from hotline.web.gate import actor, db, now, page
from hotline.web.turning import turn
from routing import actions as routing
from routing import queries as routing_queries
from routing.catalogue import territory, tree
from routing.clocks import recounting
from routing.models import DepartmentKind

bp = Blueprint("departments", __name__, url_prefix="/admin")


_DEPARTMENT_FIELDS = ("code", "name", "short_name", "kind", "duty_phone", "parent_id", "region_code")


@bp.get("/departments")
@page(Permission.CATALOGUE_EDIT)
def departments() -> ResponseReturnValue:
    """List the departments and offer to add one."""
    return render_template("administration/departments.html", page=_departments_page({}, {}))


@bp.post("/departments")
@page(Permission.CATALOGUE_EDIT)
def create_department() -> ResponseReturnValue:
    """Add a department."""
    values = {name: forms.text(name) for name in _DEPARTMENT_FIELDS}
    try:
        with db().begin() as session:
            routing.create_department(
                session,
                code=values["code"],
                name=values["name"],
                short_name=values["short_name"],
                kind=forms.member(DepartmentKind, "kind"),
                parent_id=forms.whole("parent_id"),
                duty_phone=values["duty_phone"],
                region_code=values["region_code"],
                by=actor(),
            )
    except Invalid as error:
        return render_template("administration/departments.html", page=_departments_page(values, error.fields)), 422
    forms.told("success", f"已新增承办单位 {values['name']}。")
    return redirect(url_for("departments.departments", q=values["code"].strip()), 303)


@bp.get("/departments/<int:department_id>")
@page(Permission.CATALOGUE_EDIT)
def department(department_id: int) -> ResponseReturnValue:
    """Show one department and its members."""
    return render_template("administration/department.html", page=_department_page(department_id, {}))


@bp.post("/departments/<int:department_id>")
@page(Permission.CATALOGUE_EDIT)
def change_department(department_id: int) -> ResponseReturnValue:
    """Change a department."""
    try:
        with db().begin() as session:
            parent_before = routing_queries.department(session, department_id).parent_id
            routing.change_department(
                session,
                department_id=department_id,
                version=forms.required("version"),
                changes={
                    "name": forms.text("name").strip(),
                    "short_name": forms.text("short_name").strip(),
                    "duty_phone": forms.text("duty_phone").strip(),
                    "parent_id": forms.whole("parent_id"),
                    "region_code": forms.text("region_code").strip(),
                    "active": forms.flag("active"),
                },
                by=actor(),
            )
            orders = []
            if forms.whole("parent_id") != parent_before:
                orders = recounting.follow_move(
                    session, department_id=department_id, parent_before=parent_before, by=actor(), now=now()
                )
    except Invalid as error:
        return render_template(
            "administration/department.html", page=_department_page(department_id, error.fields)
        ), 422
    days = "、".join(f"{order.day:%m-%d}" for order in orders if order.day)
    forms.told(
        "success", f"已保存。{days} 的工作安排随新的上级单位改变，在办工单正在后台重算。" if days else "已保存。"
    )
    return redirect(url_for("departments.department", department_id=department_id), 303)


def _departments_page(values: dict[str, Any], errors: dict[str, list[str]]) -> ListPage:
    words, cursor = forms.asked("q").strip(), forms.asked("cursor")
    with db().read() as session:
        found = routing_queries.departments(session, active_only=False)
    names = {each.id: each.short_name for each in found}
    parents = {each.id: each.parent_id for each in found}
    with db().read() as session:
        regions = {each.code: each.path for each in ticket_queries.regions(session)}
    # As a tree: each unit below the one above it, in order of code.
    codes = {each.id: each.code for each in found}
    found = sorted(
        found, key=lambda each: [codes.get(one, "") for one in reversed((each.id, *tree.above(parents, each.id)))]
    )
    wanted = [each for each in found if words in each.name or words in each.code]
    shown = among(wanted, cursor=cursor, limit=ROWS, key=lambda each: each.id)
    rows = [
        Row(
            href=url_for("departments.department", department_id=each.id),
            cells={
                "code": each.code,
                "name": each.name,
                "kind": labels.words(each.kind),
                "parent": names.get(each.parent_id or 0, "—"),
                "level": len(tree.above(parents, each.id)) + 1,
                "region": regions.get(each.region_code, each.region_code or "—"),
                "duty_phone": each.duty_phone or "—",
                "active": each.active,
            },
        )
        for each in shown.rows
    ]
    blank = dict.fromkeys(_DEPARTMENT_FIELDS, "")
    return ListPage(
        rows=rows,
        values={**blank, **values},
        errors=errors,
        choices={
            "kinds": labels.options(DepartmentKind),
            "parents": [(str(each.id), each.name) for each in found if each.active],
            "regions": list(regions.items()),
        },
        turn=turn(shown, cursor=cursor, endpoint="departments.departments", q=words or None),
        total=len(wanted),
        words=words,
    )


def department_again(department_id: int, errors: dict[str, list[str]]) -> str:
    """Show a department's page again after something beside its form was refused."""
    return render_template("administration/department.html", page=_department_page(department_id, errors))


def _department_page(department_id: int, errors: dict[str, list[str]]) -> EditPage:
    with db().read() as session:
        found = routing_queries.department(session, department_id)
        others = routing_queries.departments(session)
        members = routing_queries.members_of(session, department_id)
        contacts = territory.duty_contacts(session, department_id)
        regions = ticket_queries.regions(session)
    # The page's other two forms come back here too when they are refused; only its own says what its fields hold.
    typed = request.method == "POST" and "version" in request.form
    called = "\n".join(f"{each.name} {each.phone} {each.hours}" for each in contacts)
    values = {name: forms.text(name, getattr(found, name) or "") for name in ("name", "short_name", "duty_phone")}
    return EditPage(
        key=str(department_id),
        heading=found.name,
        values={
            **values,
            "version": found.version,
            "code": found.code,
            "kind": labels.words(found.kind),
            "parent_id": forms.text("parent_id", str(found.parent_id or "")),
            "region_code": forms.text("region_code", found.region_code),
            "contacts": forms.text("contacts", called),
            "login": forms.text("login"),
            "active": forms.flag("active") if typed else found.active,
            "members": [{"login": login, "name": name} for _, login, name in members],
        },
        errors=errors,
        choices={
            "parents": [(str(each.id), each.name) for each in others if each.id != department_id],
            "regions": [(each.code, each.path) for each in regions],
        },
    )
