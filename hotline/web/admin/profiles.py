"""Editions of the city's limits: what is in force, a new one beside it, and what it means for open tickets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from flask import Blueprint, Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from hotline.core.clock import local_day
from hotline.core.errors import Conflict, HotlineError, Invalid, NotFound
from hotline.core.permissions import Permission
from hotline.web import forms, present
from hotline.web.admin import limits
from hotline.web.admin.calendar import MovedLine, OrdersPart, moved_line, orders_part
from hotline.web.admin.limits import Form
from hotline.web.gate import actor, db, now, page
from hotline.web.turning import Turn, turn
from routing.clocks import editions, granting, profiles, recounting
from routing.clocks.editions import ClassChange, Difference, EditionView, Key
from routing.clocks.models import ProfileEdition
from routing.clocks.profiles import Profile

bp = Blueprint("profiles", __name__, url_prefix="/admin/profiles")
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
    #: With what a new edition most likely begins: what is in force.
    start: str
    turn: Turn


@dataclass(frozen=True, kw_only=True)
class ClassLine:
    """Open tickets of one class that would have other limits."""

    value: str
    words: str
    limits: Sequence[tuple[str, str, str]]
    count: int
    units: str


@dataclass(frozen=True, kw_only=True)
class PreviewPart:
    """What an edition would change, before it is even a draft."""

    compared_with: str
    differences: Sequence[Difference]
    classes: Sequence[ClassLine]
    more_classes: int
    total: int


@dataclass(frozen=True, kw_only=True)
class WritePage:
    """An edition as it is written."""

    heading: str
    start: str
    replaces: str
    today: str
    form: Form
    labels: Mapping[str, str]
    #: A shipped profile or an edition as a file: where the form began.
    export: str
    text: str = ""
    preview: PreviewPart | None = None
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def part(self) -> Any:  # noqa: ANN401 - a module
        """The choices of the form."""
        return limits

    def is_open(self, key: int) -> bool:
        """Tell whether a row stands open: it was touched last, or something in it must change."""
        bad = any(name == f"row.{key}" or name.startswith(f"{key}.") for name in self.errors)
        return bad or key == self.form.touched


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
    orders: OrdersPart
    is_draft: bool
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
        starts=[
            *([(str(edition.id), f"现行：{current.title}（{editions.named(edition)}）")] if edition else []),
            *((name, profiles.load(name).title) for name in profiles.available()),
        ],
        start=str(edition.id) if edition else current.name,
        turn=turn(found, cursor=cursor),
    )
    return render_template("clocks/editions.html", page=shown)


@bp.get("/new")
@page(Permission.SETTINGS_EDIT)
def new() -> ResponseReturnValue:
    """Offer to write an edition, starting from a shipped profile or from another edition."""
    start = forms.asked("start") or "default"
    with db().read() as session:
        form, replaces = _start(session, start)
    return _write(form, start=start, replaces=replaces)


@bp.post("/new")
@page(Permission.SETTINGS_EDIT)
def enter() -> ResponseReturnValue:
    """Move rows about, read a file into the form, show what would change, or write a draft down."""
    form, deed = Form.sent(request.form), forms.text("do", "preview")
    try:
        match deed:
            case "save":
                return _saved(form)
            case "preview":
                return _write(form, preview=_preview(form.profile()))
            case "import":
                read = limits.read_text(forms.text("text"))
                kept = {name: form.values[name] for name in ("version", "effective_on", "basis")}
                forms.told("info", "已读入，请核对后保存。")
                return _write(Form.of(read, **kept))
            case _:
                return _write(form.changed(deed))
    except Invalid as error:
        return _write(form, errors=error.fields, text=forms.text("text")), 422


def _saved(form: Form) -> ResponseReturnValue:
    """Write a draft down; everything that is wrong with the form is told at once."""
    version, basis, day = form.values["version"], form.values["basis"], _day(form.values["effective_on"])
    head = editions.head_problems(version=version, effective_on=day, basis=basis, today=local_day(now()))
    try:
        text = form.profile().to_toml()
    except Invalid as error:
        raise Invalid({**head, **error.fields}) from error
    if head:
        raise Invalid(head)
    with db().begin() as session:
        row = editions.enter(
            session,
            text=text,
            version=version,
            effective_on=day,
            basis=basis,
            replaces=forms.whole("replaces"),
            by=actor(),
            now=now(),
        )
        edition_id = row.id
    forms.told("info", "草案已保存，尚未生效。请核对下面的变化，再确认。")
    return redirect(url_for("profiles.show", edition_id=edition_id), 303)


@bp.get("/file")
@page(Permission.SETTINGS_EDIT)
def export() -> ResponseReturnValue:
    """Give a shipped profile or an edition as a file, for experts."""
    start = forms.asked("start") or "default"
    with db().read() as session:
        text = editions.one(session, int(start)).source_text if _is_number(start) else _shipped(start)
    name = f"limits-{start}.toml"
    return Response(
        text, mimetype="application/toml", headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


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


def _is_number(start: str) -> bool:
    return start.isdecimal() and len(start) < 19  # noqa: PLR2004 - longer than any id


def _shipped(name: str) -> str:
    try:
        return profiles.written(name)
    except HotlineError as error:
        raise NotFound(error.message) from error


def _start(session: Any, start: str) -> tuple[Form, str]:  # noqa: ANN401 - a session; pages import no SQLAlchemy
    """Return the form to begin with, and the draft that it replaces when it is saved (or empty)."""
    if not _is_number(start):
        _shipped(start)
        return Form.of(profiles.load(start)), ""
    row = editions.one(session, int(start))
    profile = Profile.from_mapping(row.body)
    if _is_draft(row):
        kept = {"version": row.version, "effective_on": row.effective_on.isoformat(), "basis": row.basis}
        return Form.of(profile, **kept), start
    return Form.of(profile), ""


def _write(
    form: Form,
    *,
    start: str = "",
    replaces: str = "",
    preview: PreviewPart | None = None,
    text: str = "",
    errors: Mapping[str, Sequence[str]] | None = None,
) -> str:
    start, replaces = start or forms.text("start") or "default", replaces or forms.text("replaces")
    shown = WritePage(
        heading="修改草案" if replaces else "起草时限档案",
        start=start,
        replaces=replaces,
        today=local_day(now()).isoformat(),
        form=form,
        labels=limits.labels(form),
        export=url_for("profiles.export", start=start),
        text=text,
        preview=preview,
        errors=errors or {},
    )
    return render_template("clocks/write_edition.html", page=shown)


def _preview(profile: Profile) -> PreviewPart:
    with db().read() as session:
        before = granting.profile_in_force(session, today=local_day(now()))
        changed = editions.changes(session, profile)
    return PreviewPart(
        compared_with=f"{before.name} {before.version}",
        differences=editions.differences(before, profile),
        classes=[_class(one) for one in changed[:_MOST_CLASSES]],
        more_classes=max(0, len(changed) - _MOST_CLASSES),
        total=sum(one.count for one in changed),
    )


def _is_draft(row: ProfileEdition) -> bool:
    return row.confirmed_at is None and row.withdrawn_at is None


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
        profile = Profile.from_mapping(row.body)
        changed = editions.changes(session, profile)
        sampled = recounting.sample(session, row, changed)
    state, tone = _state(row, current=current)
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
        orders=orders_part(edition_id),
        is_draft=_is_draft(row),
        may_confirm=_is_draft(row) and row.effective_on >= today,
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
