"""Regions with their fallback owners and names, external sources, and the people of a department (administration)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from hotline.core.errors import Invalid, NotFound
from hotline.core.permissions import Permission
from hotline.core.text import clean_line
from hotline.people import queries as people_queries
from hotline.web import forms
from hotline.web.admin.departments import department_again
from hotline.web.gate import actor, db, now, page
from hotline.web.turning import Turn, turn
from routing import actions as routing
from routing import queries as routing_queries
from routing.catalogue import territory
from routing.catalogue.territory import RegionRow
from routing.clocks.profiles import EXTERNAL_SOURCES

bp = Blueprint("territory", __name__, url_prefix="/admin")

ROWS: Final = 100
LABELS: Final[Mapping[str, str]] = {
    "code": "代码",
    "name": "名称",
    "parent_id": "上级区域",
    "aliases": "别名",
    "owner_id": "兜底单位",
    "deadline_source": "时限来源",
    "contacts": "值守联系人",
    "login": "用户名",
}
_SPLIT: Final = re.compile(r"[,，、;；\n]+")
_WITHOUT_HOURS: Final = "00:00-24:00"


@dataclass(frozen=True, kw_only=True)
class RegionsPage:
    """The tree of regions."""

    rows: Sequence[RegionRow]
    words: str
    turn: Turn
    values: Mapping[str, str]
    parents: Sequence[tuple[str, str]]
    errors: Mapping[str, Sequence[str]]
    labels: Mapping[str, str] = field(default_factory=lambda: LABELS)


@dataclass(frozen=True, kw_only=True)
class RegionPage:
    """One region."""

    id: int
    code: str
    path: str
    owner: str
    values: Mapping[str, str]
    owners: Sequence[tuple[str, str]]
    errors: Mapping[str, Sequence[str]]
    labels: Mapping[str, str] = field(default_factory=lambda: LABELS)


@dataclass(frozen=True, kw_only=True)
class SourceRow:
    """One external source."""

    href: str
    code: str
    name: str
    deadline_source: str
    active: bool


@dataclass(frozen=True, kw_only=True)
class SourcesPage:
    """The external sources, and the one that is being changed or added."""

    rows: Sequence[SourceRow]
    editing: str
    values: Mapping[str, str]
    active: bool
    deadline_sources: Sequence[tuple[str, str]]
    errors: Mapping[str, Sequence[str]]
    labels: Mapping[str, str] = field(default_factory=lambda: LABELS)


# --- regions -----------------------------------------------------------------------------------------------------


@bp.get("/regions")
@page(Permission.CATALOGUE_EDIT)
def regions() -> ResponseReturnValue:
    """List the regions with their fallback owners and offer to add one."""
    return _regions({}, {})


@bp.post("/regions")
@page(Permission.CATALOGUE_EDIT)
def create_region() -> ResponseReturnValue:
    """Add a region."""
    typed = {name: forms.text(name) for name in ("code", "name", "parent_id", "aliases")}
    try:
        with db().begin() as writing:
            territory.create_region(
                writing,
                code=typed["code"],
                name=typed["name"],
                parent_id=forms.whole("parent_id"),
                aliases=_SPLIT.split(typed["aliases"]),
                by=actor(),
            )
    except Invalid as error:
        return _regions(typed, error.fields), 422
    forms.told("success", f"已新增区域 {clean_line(typed['name'])}。")
    return redirect(url_for("territory.regions"), 303)


@bp.get("/regions/<int:region_id>")
@page(Permission.CATALOGUE_EDIT)
def region(region_id: int) -> ResponseReturnValue:
    """Show one region."""
    return _region(region_id, None, {})


@bp.post("/regions/<int:region_id>")
@page(Permission.CATALOGUE_EDIT)
def change_region(region_id: int) -> ResponseReturnValue:
    """Change a region's name, other names and fallback owner."""
    typed = {name: forms.text(name) for name in ("name", "aliases", "owner_id")}
    try:
        with db().begin() as writing:
            territory.change_region(
                writing,
                region_id=region_id,
                name=typed["name"],
                aliases=_SPLIT.split(typed["aliases"]),
                owner_id=forms.whole("owner_id"),
                by=actor(),
                now=now(),
            )
    except Invalid as error:
        return _region(region_id, typed, error.fields), 422
    forms.told("success", "已保存，新登记的诉求即按此识别和兜底。")
    return redirect(url_for("territory.regions"), 303)


def _regions(typed: Mapping[str, str], errors: Mapping[str, Sequence[str]]) -> str:
    words, cursor = clean_line(forms.asked("q")), forms.asked("cursor")
    with db().read() as reading:
        shown = territory.region_page(reading, words=words, cursor=cursor, limit=ROWS)
        parents = territory.parents_to_choose(reading)
    return render_template(
        "territory/regions.html",
        page=RegionsPage(
            rows=shown.rows,
            words=words,
            turn=turn(shown, cursor=cursor, endpoint="territory.regions", q=words or None),
            values={"code": "", "name": "", "parent_id": "", "aliases": "", **typed},
            parents=[(str(region_id), path) for region_id, path in parents],
            errors=errors,
        ),
    )


def _region(region_id: int, typed: Mapping[str, str] | None, errors: Mapping[str, Sequence[str]]) -> str:
    with db().read() as reading:
        found = territory.region_row(reading, region_id)
        units = routing_queries.departments(reading, with_parts_only=False)
    stored = {
        "name": found.name,
        "aliases": "、".join(found.aliases),
        "owner_id": str(found.owner_id) if found.owner_is_own else "",
    }
    return render_template(
        "territory/region.html",
        page=RegionPage(
            id=found.id,
            code=found.code,
            path=found.path,
            owner="" if found.owner_is_own else found.owner,
            values=typed or stored,
            owners=[(str(unit.id), unit.name) for unit in units],
            errors=errors,
        ),
    )


# --- sources -----------------------------------------------------------------------------------------------------


@bp.get("/sources")
@page(Permission.CATALOGUE_EDIT)
def sources() -> ResponseReturnValue:
    """List the external sources; `edit` names one to change."""
    return _sources(forms.asked("edit"), None, {})


@bp.post("/sources")
@page(Permission.CATALOGUE_EDIT)
def save_source() -> ResponseReturnValue:
    """Add a source, or change the one that the form names."""
    editing = forms.text("editing")
    typed = {name: forms.text(name) for name in ("code", "name", "deadline_source")}
    try:
        with db().begin() as writing:
            territory.save_source(
                writing,
                code=editing or typed["code"],
                name=typed["name"],
                deadline_source=typed["deadline_source"],
                active=forms.flag("active"),
                fresh=not editing,
                by=actor(),
            )
    except Invalid as error:
        return _sources(editing, typed, error.fields), 422
    forms.told("success", f"已保存来源 {clean_line(typed['name'])}。")
    return redirect(url_for("territory.sources"), 303)


def _sources(editing: str, typed: Mapping[str, str] | None, errors: Mapping[str, Sequence[str]]) -> str:
    with db().read() as reading:
        found = territory.sources(reading)
    one = next((row for row in found if row.code == editing), None)
    stored = {
        "code": one.code if one else "",
        "name": one.name if one else "",
        "deadline_source": one.deadline_source if one else "",
    }
    return render_template(
        "territory/sources.html",
        page=SourcesPage(
            rows=[
                SourceRow(
                    href=url_for("territory.sources", edit=row.code, _anchor="edit"),
                    code=row.code,
                    name=row.name,
                    deadline_source=row.deadline_source or "—",
                    active=row.active,
                )
                for row in found
            ],
            editing=one.code if one else "",
            values=typed or stored,
            active=forms.flag("active") if request.method == "POST" else one.active if one else True,
            deadline_sources=[(name, name) for name in EXTERNAL_SOURCES],
            errors=errors,
        ),
    )


# --- the people of a department ----------------------------------------------------------------------------------


@bp.post("/departments/<int:department_id>/contacts")
@page(Permission.CATALOGUE_EDIT)
def contacts(department_id: int) -> ResponseReturnValue:
    """Replace whom to ring at a department: a line each, `name phone hours`."""
    try:
        with db().begin() as writing:
            territory.set_duty_contacts(
                writing, department_id=department_id, contacts=_contacts(forms.text("contacts")), by=actor()
            )
    except Invalid as error:
        return _told_on_department(department_id, error.fields)
    forms.told("success", "值守联系人已保存。")
    return redirect(url_for("departments.department", department_id=department_id), 303)


@bp.post("/departments/<int:department_id>/members")
@page(Permission.USER_EDIT)
def members(department_id: int) -> ResponseReturnValue:
    """Enter a user for a department, or take him out of it."""
    try:
        with db().begin() as writing:
            user = people_queries.user(writing, login=forms.text("login").strip())
            entered = routing_queries.entered_for(writing, user.id)
            wanted = entered - {department_id} if forms.flag("remove") else entered | {department_id}
            routing.join_department(writing, user_id=user.id, department_ids=wanted, by=actor())
    except NotFound:
        return _told_on_department(department_id, {"login": ["没有这个用户名。"]})
    except Invalid as error:
        return _told_on_department(department_id, error.fields)
    forms.told("success", "成员已更新。")
    return redirect(url_for("departments.department", department_id=department_id), 303)


def _contacts(raw: str) -> list[tuple[str, str, str]]:
    found = []
    for at, line in enumerate((one for one in raw.splitlines() if one.strip()), 1):
        parts = clean_line(line).split(" ")
        if not 2 <= len(parts) <= 3:  # noqa: PLR2004 - name, phone, and hours when not round the clock
            raise Invalid({"contacts": f"第 {at} 行应为“姓名 电话 时间”，如“张三 0900-5550000 08:30-17:30”。"})
        found.append((parts[0], parts[1], parts[2] if len(parts) > 2 else _WITHOUT_HOURS))  # noqa: PLR2004 - as above
    return found


def _told_on_department(department_id: int, errors: Mapping[str, Sequence[str]]) -> ResponseReturnValue:
    return department_again(department_id, {name: list(texts) for name, texts in errors.items()}), 422
