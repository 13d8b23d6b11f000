"""Parts of tickets (协办, 转办下级): given by the lead, done by others, gathered by the lead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from hotline.core.errors import Invalid, NotFound
from hotline.core.permissions import Permission
from hotline.intake.rules import normal_phone
from hotline.tickets.models import Ticket
from hotline.web import forms, labels, present
from hotline.web.admin.exports import took
from hotline.web.gate import actor, db, now, page
from hotline.web.labels import Label
from hotline.web.present import DeadlineView
from hotline.web.turning import Turn, turn
from reports import queries as report_queries
from reports.indicators import parts_on_time
from reports.models import Taken
from routing import queries as routing_queries
from routing.answers import parts, relay
from routing.answers.part_models import PartEnding, PartKind
from routing.answers.parts import PartView
from routing.answers.relay import CallView

bp = Blueprint("part", __name__)
_PAGE: Final = 30
#: Over how many days the figures count.
FIGURE_DAYS: Final = 30


@dataclass(frozen=True, kw_only=True)
class PartRow:
    """One part as pages show it; nothing of it names the citizen."""

    id: int
    number: str
    href: str
    department: str
    lead: str
    kind: Label
    state: Label
    words: str
    due: DeadlineView
    given: str
    given_by: str
    signed: str
    answer: str
    answered: str
    ended_words: str
    open: bool
    may_end: bool


@dataclass(frozen=True, kw_only=True)
class InboxPage:
    """The parts of a person's departments."""

    tabs: tuple[tuple[str, str, bool, int | None], ...]
    rows: tuple[PartRow, ...]
    open_only: bool
    has_department: bool
    turn: Turn


@dataclass(frozen=True, kw_only=True)
class CallRow:
    """One call by the relay number."""

    at: str
    by: str
    telephone: str
    state: Label
    talked: str


@dataclass(frozen=True, kw_only=True)
class PartPage:
    """One part with what is needed to do it."""

    part: PartRow
    #: The part has a number that reaches the citizen; what it is stands here only when it was asked for.
    has_relay: bool
    relay_number: str
    calls: tuple[CallRow, ...]
    calls_left: int
    ticket_href: str | None
    lead_due: DeadlineView
    mine: bool
    printed_at: str
    values: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TicketPartsPage:
    """The parts of one ticket, and the form for another one."""

    number: str
    title: str
    lead: str
    lead_due: DeadlineView
    rows: tuple[PartRow, ...]
    may_assist: bool
    may_forward: bool
    departments: tuple[tuple[str, str], ...]
    below: tuple[tuple[str, str], ...]
    summary: str
    form: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class FigureRow:
    """One department, measured on its own parts."""

    department: str
    percent: str
    good: int
    due: int
    excluded: str


@dataclass(frozen=True, kw_only=True)
class FiguresPage:
    """How each department does its parts."""

    days: int
    rows: tuple[FigureRow, ...]


@bp.get("/department/parts")
@page(Permission.TICKET_ANSWER)
def inbox() -> ResponseReturnValue:
    """List the parts of the person's departments."""
    open_only = forms.asked("tab") != "all"
    cursor = forms.asked("cursor")
    with db().read() as session:
        found = parts.at_desk(session, actor(), open_only=open_only, cursor=cursor, limit=_PAGE)
    shown = InboxPage(
        tabs=(
            ("未完成", url_for("part.inbox"), open_only, None),
            ("全部", url_for("part.inbox", tab="all"), not open_only, None),
        ),
        rows=tuple(part_row(one) for one in found.rows),
        open_only=open_only,
        has_department=bool(actor().department_ids),
        turn=turn(found, cursor=cursor, tab="open" if open_only else "all"),
    )
    return render_template("part/inbox.html", page=shown)


@bp.get("/department/parts/<int:subtask_id>")
@page(Permission.TICKET_ANSWER)
def show(subtask_id: int) -> ResponseReturnValue:
    """Show one part: what to do, until when, and whom to call through."""
    return render_template("part/show.html", page=_part(subtask_id))


@bp.get("/department/parts/<int:subtask_id>/print")
@page(Permission.TICKET_ANSWER)
def sheet(subtask_id: int) -> ResponseReturnValue:
    """Show one part as a sheet of paper; of the citizen there is nothing on it."""
    made = _part(subtask_id, paper=True)
    took(Taken.TICKET_PRINT, rows=1, scope=f"{made.part.number} {made.part.kind.words}任务")
    return render_template("part/print.html", page=made)


@bp.post("/department/parts/<int:subtask_id>/sign")
@page(Permission.TICKET_SIGN)
def sign(subtask_id: int) -> ResponseReturnValue:
    """Sign for a part."""
    with db().begin() as session:
        parts.part_for(session, actor(), subtask_id)
        parts.sign_part(session, subtask_id=subtask_id, by=actor(), now=now())
    forms.told("success", "任务已签收。")
    return redirect(url_for("part.show", subtask_id=subtask_id), code=303)


@bp.post("/department/parts/<int:subtask_id>/answer")
@page(Permission.TICKET_ANSWER)
def answer(subtask_id: int) -> ResponseReturnValue:
    """Answer one's part to the lead."""
    try:
        with db().begin() as session:
            parts.part_for(session, actor(), subtask_id)
            parts.answer_part(session, subtask_id=subtask_id, words=forms.text("answer"), by=actor(), now=now())
    except Invalid as error:
        shown = _part(subtask_id, values=request.form.to_dict(), errors=error.fields)
        return render_template("part/show.html", page=shown), 422
    forms.told("success", "已反馈给主办单位。")
    return redirect(url_for("part.inbox"), code=303)


@bp.post("/department/parts/<int:subtask_id>/relay")
@page(Permission.TICKET_ANSWER)
def show_relay(subtask_id: int) -> ResponseReturnValue:
    """Show the number that reaches the citizen from one's telephone; the journal keeps that it was looked at."""
    phone = forms.text("phone")
    try:
        with db().begin() as session:
            parts.part_for(session, actor(), subtask_id)
            shown = relay.show_relay(session, subtask_id=subtask_id, phone=phone, by=actor(), now=now())
    except Invalid as error:
        again = _part(subtask_id, values=request.form.to_dict(), errors=error.fields)
        return render_template("part/show.html", page=again), 422
    return render_template("part/show.html", page=_part(subtask_id, relay_number=shown, values={"phone": phone}))


@bp.post("/department/parts/<int:subtask_id>/relay-call")
@page(Permission.TICKET_ANSWER)
def call_by_relay(subtask_id: int) -> ResponseReturnValue:
    """Write down a call by the relay number."""
    reached = {"yes": True, "no": False}.get(forms.text("reached"))
    try:
        with db().begin() as session:
            parts.part_for(session, actor(), subtask_id)
            relay.call_by_relay(
                session,
                subtask_id=subtask_id,
                reached=reached,
                words=forms.text("call_words"),
                by=actor(),
                now=now(),
            )
    except Invalid as error:
        shown = _part(subtask_id, values=request.form.to_dict(), errors=error.fields)
        return render_template("part/show.html", page=shown), 422
    forms.told("success", "通话已记录。")
    return redirect(url_for("part.show", subtask_id=subtask_id), code=303)


@bp.get("/tickets/<number>/parts")
@page(Permission.TICKET_VIEW)
def of_ticket(number: str) -> ResponseReturnValue:
    """Show the parts of a ticket, and give another one."""
    return render_template("part/ticket.html", page=_ticket_parts(number))


@bp.post("/tickets/<number>/parts")
@page(Permission.TICKET_ANSWER, Permission.TICKET_DISPATCH)
def share(number: str) -> ResponseReturnValue:
    """Give a part: to a co-handler, or downwards."""
    try:
        kind = forms.member(PartKind, "kind") or PartKind.ASSIST
        raw = forms.text("due_at").strip()
        due_at = present.parse_moment(raw, name="due_at") if raw else None
        with db().begin() as session:
            ticket = routing_queries.ticket_for(session, actor(), number, lock=True)
            parts.share(
                session,
                ticket_id=ticket.id,
                kind=kind,
                department_id=forms.whole("department_id") or 0,
                words=forms.text("words"),
                due_at=due_at,
                by=actor(),
                now=now(),
            )
    except Invalid as error:
        asked = PartKind.FORWARD if forms.text("kind") == PartKind.FORWARD else PartKind.ASSIST
        shown = _ticket_parts(number, form=asked.value, values=request.form.to_dict(), errors=error.fields)
        return render_template("part/ticket.html", page=shown), 422
    forms.told("success", "任务已下达。")
    return redirect(url_for("part.of_ticket", number=number), code=303)


@bp.post("/tickets/<number>/parts/<int:subtask_id>/end")
@page(Permission.TICKET_ANSWER, Permission.TICKET_DISPATCH)
def end(number: str, subtask_id: int) -> ResponseReturnValue:
    """Take a part back."""
    try:
        with db().begin() as session:
            ticket = routing_queries.ticket_for(session, actor(), number)
            if parts.part_for(session, actor(), subtask_id).row.ticket_id != ticket.id:
                raise NotFound
            parts.end_part(session, subtask_id=subtask_id, words=forms.text("words"), by=actor(), now=now())
    except Invalid as error:
        typed = {f"end-{subtask_id}": forms.text("words")}
        shown = _ticket_parts(number, form=f"end-{subtask_id}", values=typed, errors=error.fields)
        return render_template("part/ticket.html", page=shown), 422
    forms.told("success", "任务已收回。")
    return redirect(url_for("part.of_ticket", number=number), code=303)


@bp.get("/supervision/parts")
@page(Permission.FIGURES_VIEW)
def figures() -> ResponseReturnValue:
    """Measure each department on its own parts."""
    with db().read() as session:
        facts = report_queries.part_facts(session, since=now() - timedelta(days=FIGURE_DAYS))
    rows = [
        FigureRow(
            department=name,
            percent=f"{rate.percent} %" if rate.percent is not None else "—",
            good=rate.numerator,
            due=rate.denominator,
            excluded="、".join(f"{_EXCLUDED.get(why, why)} {count}" for why, count in rate.excluded.items()) or "—",
        )
        for name, rate in parts_on_time(facts, now=now()).items()
    ]
    return render_template("part/figures.html", page=FiguresPage(days=FIGURE_DAYS, rows=tuple(rows)))


_EXCLUDED: Final[Mapping[str, str]] = {
    PartEnding.WITHDRAWN.value: "已收回",
    PartEnding.LAPSED.value: "随工单失效",
    "not_due": "未到期",
}


def part_row(one: PartView, *, paper: bool = False) -> PartRow:
    """Return a part in words, for whoever is at the door; on paper a moment has its year."""
    row, who = one.row, actor()

    def when(at: datetime | None) -> str:
        return present.moment(at) if paper else present.short(at, now=now())

    lead = one.lead_id in who.department_ids and who.can(Permission.TICKET_ANSWER)
    return PartRow(
        id=row.id,
        number=one.number,
        href=url_for("part.show", subtask_id=row.id),
        department=one.department,
        lead=one.lead,
        kind=labels.label(row.kind),
        state=labels.label(row.ending) if row.ending else Label("办理中" if row.signed_at else "待签收", "warning"),
        words=row.words,
        due=present.deadline(row.due_at, now=now(), done_at=row.answered_at or row.ended_at),
        given=when(row.given_at),
        given_by=one.given_by,
        signed=f"{when(row.signed_at)} {one.signed_by}" if row.signed_at else "",
        answer=row.answer,
        answered=f"{when(row.answered_at)} {one.answered_by}" if row.answered_at else "",
        ended_words=row.ended_words,
        open=row.ended_at is None,
        may_end=row.ended_at is None
        and (lead or (row.kind is PartKind.ASSIST and who.can(Permission.TICKET_DISPATCH))),
    )


def _part(
    subtask_id: int,
    *,
    relay_number: str = "",
    values: Mapping[str, str] | None = None,
    errors: Mapping[str, Sequence[str]] | None = None,
    paper: bool = False,
) -> PartPage:
    with db().read() as session:
        found = parts.part_for(session, actor(), subtask_id)
        sees = found.row.kind is PartKind.ASSIST or found.lead_id in actor().department_ids
        has_relay = found.row.relay_number is not None
        calls = relay.calls_of(session, subtask_id) if has_relay else []
        left = relay.left_today(session, subtask_id, now=now()) if has_relay else 0
        # The desk's own telephone is the likeliest; who calls from another one types it.
        desk = _usable(routing_queries.department(session, found.row.department_id).duty_phone) if has_relay else ""
    mine = found.row.department_id in actor().department_ids and found.row.ended_at is None
    return PartPage(
        part=part_row(found, paper=paper),
        has_relay=has_relay and mine,
        relay_number=relay_number,
        calls=tuple(_call(one) for one in calls),
        calls_left=left,
        ticket_href=url_for("tickets.show", number=found.number) if sees else None,
        lead_due=present.deadline(found.lead_due_at, now=now(), done_at=found.row.ended_at),
        mine=mine,
        printed_at=present.moment(now()),
        values={"answer": "", "reached": "", "call_words": "", "phone": desk, **(values or {})},
        errors=errors or {},
    )


def _usable(phone: str) -> str:
    """Return a telephone that the form would take, or nothing: a desk's number may be one inside the house."""
    try:
        normal_phone(phone)
    except ValueError:
        return ""
    return phone


def _call(one: CallView) -> CallRow:
    return CallRow(
        at=present.short(one.started_at, now=now()),
        by=one.by,
        telephone=one.phone_masked,
        state=labels.label(one.ending) if one.ending else Label("通话中", "info"),
        talked=present.span_words(one.talked_s) if one.talked_s else "",
    )


def _ticket_parts(
    number: str,
    *,
    form: str = "",
    values: Mapping[str, str] | None = None,
    errors: Mapping[str, Sequence[str]] | None = None,
) -> TicketPartsPage:
    with db().read() as session:
        ticket = routing_queries.ticket_for(session, actor(), number)
        row = routing_queries.current_dispatch(session, ticket.id)
        if row is None:
            raise NotFound("这张工单还没有派出。")
        found = parts.of_ticket(session, ticket.id)
        in_hand = row.ended_at is None and row.answered_at is None
        lead = in_hand and row.department_id in actor().department_ids and actor().can(Permission.TICKET_ANSWER)
        below = parts.below(session, row.department_id) if lead else []
        departments = routing_queries.departments(session, with_parts_only=False)
        said = _summary(session, ticket) if below else ""
        holder = routing_queries.department(session, row.department_id).name
    return TicketPartsPage(
        number=ticket.number,
        title=ticket.title,
        lead=holder,
        lead_due=present.deadline(
            row.due_at, now=now(), done_at=row.answered_at or row.ended_at, stands_until=row.suspended_until
        ),
        rows=tuple(part_row(one) for one in reversed(found)),
        may_assist=lead or (in_hand and actor().can(Permission.TICKET_DISPATCH)),
        may_forward=bool(below),
        departments=tuple((str(node.id), node.name) for node in departments if node.id != row.department_id),
        below=tuple((str(one), name) for one, name in below),
        summary=said,
        form=form,
        values={"department_id": "", "words": "", "due_at": "", **(values or {})},
        errors=errors or {},
    )


def _summary(session: Any, ticket: Ticket) -> str:  # noqa: ANN401 - a session; pages import no SQLAlchemy
    return parts.summary(session, ticket)
