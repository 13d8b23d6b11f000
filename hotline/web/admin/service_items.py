"""The list of public service items (政务服务事项): the administrator adds and retires; a name never changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from flask import Blueprint, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from hotline.core.clock import local_day
from hotline.core.errors import Invalid
from hotline.core.paging import among
from hotline.core.permissions import Permission
from hotline.tickets import queries, service_items
from hotline.web import forms
from hotline.web.admin.layout import ROWS
from hotline.web.gate import actor, db, now, page
from hotline.web.turning import Turn, turn
from routing import queries as routing

bp = Blueprint("service_items", __name__, url_prefix="/admin/service-items")

FIELDS: Final[Mapping[str, str]] = {"code": "代码", "name": "名称", "department": "办理单位"}


@dataclass(frozen=True, kw_only=True)
class ItemLine:
    """One item."""

    id: int
    code: str
    name: str
    department: str
    retired: str


@dataclass(frozen=True, kw_only=True)
class ItemsPage:
    """The list with a form to add to it."""

    rows: Sequence[ItemLine]
    departments: Sequence[tuple[str, str]]
    labels: Mapping[str, str]
    words: str
    turn: Turn
    total: int
    values: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)


@bp.get("")
@page(Permission.CATALOGUE_EDIT)
def listed() -> ResponseReturnValue:
    """List the items."""
    return render_template("administration/service_items.html", page=_page({}, {}))


@bp.post("")
@page(Permission.CATALOGUE_EDIT)
def add() -> ResponseReturnValue:
    """Add an item."""
    typed = {name: forms.text(name) for name in FIELDS}
    try:
        with db().begin() as session:
            service_items.add(session, **typed, by=actor())
    except Invalid as error:
        return render_template("administration/service_items.html", page=_page(typed, error.fields)), 422
    forms.told("success", "服务事项已添加，登记、修改和派单目录中可以选用。")
    return redirect(url_for("service_items.listed", q=typed["code"].strip()), 303)


@bp.post("/<int:item_id>/retire")
@page(Permission.CATALOGUE_EDIT)
def retire(item_id: int) -> ResponseReturnValue:
    """Take an item out of use, or back into it; tickets keep what they name."""
    with db().begin() as session:
        retired = service_items.turn(session, item_id=item_id, by=actor(), today=local_day(now()))
    forms.told("success", "已停用，原有工单不变。" if retired else "已恢复使用。")
    return redirect(url_for("service_items.listed"), 303)


def _page(values: Mapping[str, str], errors: Mapping[str, Sequence[str]]) -> ItemsPage:
    words, cursor = forms.asked("q").strip(), forms.asked("cursor")
    with db().read() as session:
        found = queries.service_items(session, every=True)
        units = routing.departments(session)
    names = {unit.code: unit.name for unit in units}
    wanted = [row for row in found if words in row.name or words in row.code]
    shown = among(wanted, cursor=cursor, limit=ROWS, key=lambda row: row.id)
    return ItemsPage(
        rows=[
            ItemLine(
                id=row.id,
                code=row.code,
                name=row.name,
                department=names.get(row.department, row.department),
                retired=f"{row.retired_on:%Y-%m-%d}" if row.retired_on else "",
            )
            for row in shown.rows
        ],
        departments=[(unit.code, unit.name) for unit in units],
        labels=FIELDS,
        words=words,
        turn=turn(shown, cursor=cursor, endpoint="service_items.listed", q=words or None),
        total=len(wanted),
        values=values,
        errors=errors,
    )
