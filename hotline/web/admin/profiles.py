"""Editions of the city's limits: what is in force, a new one beside it, and what it means for open tickets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from hotline.core.clock import local_day
from hotline.core.errors import Conflict, HotlineError, Invalid, NotFound
from hotline.core.permissions import Permission
from hotline.web import forms, present
from hotline.web.admin.calendar import MovedLine, OrderLine, moved_line, order_line
from hotline.web.gate import actor, db, now, page
from hotline.web.turning import Turn, turn
from routing.clocks import editions, granting, profiles, recounting
from routing.clocks.editions import ClassChange, Difference, EditionView, Key
from routing.clocks.models import ProfileEdition, RecountKind
from routing.clocks.profiles import Profile

bp = Blueprint("profiles", __name__, url_prefix="/admin/profiles")
_NAMES: Final = ("version", "effective_on", "basis", "text")
#: More classes than these are told as a number; the rarest come last.
_MOST_CLASSES: Final = 100
_MOST_UNITS: Final = 5


@dataclass(frozen=True, kw_only=True)
class EditionLine:
    """One edition in the list."""

    href: str
    name: str
    title: str
    effective: str
    basis: str
    entered: str
    state: str
    tone: str


@dataclass(frozen=True, kw_only=True)
class ListPage:
    """What is in force, and every edition."""

    in_force: str
    in_force_title: str
    rows: Sequence[EditionLine]
    starts: Sequence[tuple[str, str]]
    turn: Turn


@dataclass(frozen=True, kw_only=True)
class WritePage:
    """An edition as it is written."""

    start: str
    today: str
    values: Mapping[str, str]
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ClassLine:
    """Open tickets of one class that would have other limits."""

    value: str
    words: str
    limits: Sequence[tuple[str, str, str]]
    count: int
    units: str


@dataclass(frozen=True, kw_only=True)
class EditionPage:
    """One edition beside what is in force, and the open tickets that it would limit otherwise."""

    id: int
    name: str
    title: str
    state: str
    tone: str
    effective: str
    basis: str
    entered: str
    confirmed: str
    compared_with: str
    differences: Sequence[Difference]
    classes: Sequence[ClassLine]
    more_classes: int
    total: int
    sample: Sequence[tuple[MovedLine, str]]
    orders: Sequence[OrderLine]
    may_confirm: bool
    may_withdraw: bool
    may_move: bool
    source_text: str
    values: Mapping[str, Any] = field(default_factory=dict)
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)


@bp.get("")
@page(Permission.SETTINGS_EDIT)
def listed() -> ResponseReturnValue:
    """List the editions and what is in force."""
    cursor, today = forms.asked("cursor"), local_day(now())
    with db().read() as session:
        found = editions.listed(session, cursor=cursor)
        current = granting.profile_in_force(session, today=today)
        edition = editions.in_force(session, today=today)
    shown = ListPage(
        in_force=f"{current.name} {current.version}",
        in_force_title=current.title,
        rows=[_line(one, current=edition) for one in found.rows],
        starts=[(name, profiles.load(name).title) for name in profiles.available()],
        turn=turn(found, cursor=cursor),
    )
    return render_template("clocks/editions.html", page=shown)


@bp.get("/new")
@page(Permission.SETTINGS_EDIT)
def new() -> ResponseReturnValue:
    """Offer to write an edition, starting from a shipped profile or from another edition."""
    start = forms.asked("start")
    with db().read() as session:
        text = _start(session, start)
    return render_template("clocks/write_edition.html", page=_write(start, {"text": text}))


@bp.post("/new")
@page(Permission.SETTINGS_EDIT)
def enter() -> ResponseReturnValue:
    """Write a draft down."""
    values = {name: forms.text(name) for name in _NAMES}
    try:
        with db().begin() as session:
            row = editions.enter(
                session,
                text=values["text"],
                version=values["version"],
                effective_on=_day(values["effective_on"]),
                basis=values["basis"],
                by=actor(),
                now=now(),
            )
            edition_id = row.id
    except Invalid as error:
        shown = _write(forms.text("start"), values, error.fields)
        return render_template("clocks/write_edition.html", page=shown), 422
    forms.told("info", "草案已保存，尚未生效。请核对下面的变化，再确认。")
    return redirect(url_for("profiles.show", edition_id=edition_id), 303)


@bp.get("/<int:edition_id>")
@page(Permission.SETTINGS_EDIT)
def show(edition_id: int) -> ResponseReturnValue:
    """Show what an edition changes."""
    return render_template("clocks/edition.html", page=_edition(edition_id))


@bp.post("/<int:edition_id>/confirm")
@page(Permission.SETTINGS_EDIT)
def confirm(edition_id: int) -> ResponseReturnValue:
    """Let it take effect on its day."""
    with db().begin() as session:
        row = editions.confirm(session, edition_id=edition_id, by=actor(), now=now())
        day = row.effective_on
    forms.told("success", f"已确认，自 {day} 起派出的工单按这一版计时；已派出的工单保留原版本。")
    return redirect(url_for("profiles.show", edition_id=edition_id), 303)


@bp.post("/<int:edition_id>/withdraw")
@page(Permission.SETTINGS_EDIT)
def withdraw(edition_id: int) -> ResponseReturnValue:
    """Take it back before its day."""
    with db().begin() as session:
        editions.withdraw(session, edition_id=edition_id, by=actor(), now=now())
    forms.told("success", "已撤回，这一版不会生效。")
    return redirect(url_for("profiles.listed"), 303)


@bp.post("/<int:edition_id>/move")
@page(Permission.SETTINGS_EDIT)
def move(edition_id: int) -> ResponseReturnValue:
    """Order that open tickets of some classes follow the edition in force."""
    chosen, words = request.form.getlist("classes"), forms.text("words")
    try:
        if not forms.flag("sure"):
            raise Invalid({"sure": "请勾选确认。"})  # noqa: TRY301 - one answer to the form
        with db().begin() as session:
            order = recounting.order_edition(
                session,
                edition_id=edition_id,
                keys=[_key(value) for value in chosen],
                words=words,
                expected=_expected(chosen),
                by=actor(),
                now=now(),
            )
            count = order.expected
    except Invalid as error:
        shown = _edition(edition_id, {"classes": chosen, "words": words}, error.fields)
        return render_template("clocks/edition.html", page=shown), 422
    except Conflict as error:
        forms.told("warning", error.message)
        return render_template("clocks/edition.html", page=_edition(edition_id, {"words": words})), 409
    forms.told("success", f"{count} 件在办工单正在后台改按这一版重算，每件都会在台账和时限说明中写明。")
    return redirect(url_for("profiles.show", edition_id=edition_id), 303)


def _expected(chosen: Sequence[str]) -> int:
    """Return how many tickets the page showed for the classes that were chosen."""
    shown = (forms.whole(f"count:{value}") for value in chosen)
    return sum(count or 0 for count in shown)


def _key(value: str) -> Key:
    parts = value.split("|")
    if len(parts) != 4:  # noqa: PLR2004 - source, type, urgency and class
        raise Invalid({"classes": "请从列表中选择。"})
    return parts[0], parts[1], parts[2], parts[3]


def _day(raw: str) -> date | None:
    try:
        return date.fromisoformat(raw.strip()) if raw.strip() else None
    except ValueError as error:
        raise Invalid({"effective_on": "日期格式不正确，例如 2027-01-01。"}) from error


def _start(session: Any, start: str) -> str:  # noqa: ANN401 - a session; pages import no SQLAlchemy
    if start.isdecimal():
        return editions.one(session, int(start)).source_text
    try:
        return profiles.written(start or "default")
    except HotlineError as error:
        raise NotFound(error.message) from error


def _write(start: str, values: Mapping[str, str], errors: Mapping[str, Sequence[str]] | None = None) -> WritePage:
    return WritePage(
        start=start,
        today=local_day(now()).isoformat(),
        values={**dict.fromkeys(_NAMES, ""), **values},
        errors=errors or {},
    )


def _state(row: ProfileEdition, *, current: ProfileEdition | None) -> tuple[str, str]:
    if row.withdrawn_at is not None:
        return "已撤回", "neutral"
    if row.confirmed_at is None:
        return "草案", "warning"
    if current is not None and row.id == current.id:
        return "现行", "success"
    return ("待生效", "info") if row.effective_on > local_day(now()) else ("曾用", "neutral")


def _line(found: EditionView, *, current: ProfileEdition | None) -> EditionLine:
    row = found.row
    state, tone = _state(row, current=current)
    return EditionLine(
        href=url_for("profiles.show", edition_id=row.id),
        name=editions.named(row),
        title=str(row.body.get("title", "")),
        effective=row.effective_on.isoformat(),
        basis=row.basis,
        entered=f"{found.entered_by} {present.short(row.entered_at, now=now())}",
        state=state,
        tone=tone,
    )


def _edition(
    edition_id: int,
    values: Mapping[str, Any] | None = None,
    errors: Mapping[str, Sequence[str]] | None = None,
) -> EditionPage:
    today = local_day(now())
    with db().read() as session:
        row = editions.one(session, edition_id)
        current = editions.in_force(session, today=today)
        before = granting.profile_in_force(session, today=today)
        changed = editions.changes(session, row)
        sampled = recounting.sample(session, row, changed)
        orders = recounting.latest(session, kind=RecountKind.EDITION, edition_id=edition_id)
    state, tone = _state(row, current=current)
    profile = Profile.from_mapping(row.body)
    in_force = current is not None and current.id == row.id
    return EditionPage(
        id=row.id,
        name=editions.named(row),
        title=profile.title,
        state=state,
        tone=tone,
        effective=row.effective_on.isoformat(),
        basis=row.basis,
        entered=present.moment(row.entered_at),
        confirmed=present.moment(row.confirmed_at),
        compared_with="" if in_force else f"{before.name} {before.version}",
        differences=[] if in_force else editions.differences(before, profile),
        classes=[_class(one) for one in changed[:_MOST_CLASSES]],
        more_classes=max(0, len(changed) - _MOST_CLASSES),
        total=sum(one.count for one in changed),
        sample=[(moved_line(one.moved), one.class_words) for one in sampled],
        orders=[order_line(one) for one in orders],
        may_confirm=row.confirmed_at is None and row.withdrawn_at is None and row.effective_on >= today,
        may_withdraw=row.withdrawn_at is None and (row.confirmed_at is None or row.effective_on > today),
        may_move=in_force,
        source_text=row.source_text,
        values={"classes": [], "words": "", **(values or {})},
        errors=errors or {},
    )


def _class(change: ClassChange) -> ClassLine:
    units = "、".join(f"{name} {count}" for name, count in change.departments[:_MOST_UNITS])
    more = len(change.departments) - _MOST_UNITS
    return ClassLine(
        value="|".join(change.key),
        words=change.words,
        limits=change.limits,
        count=change.count,
        units=f"{units} 等 {len(change.departments)} 个单位" if more > 0 else units,
    )
