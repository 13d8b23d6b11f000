"""Urging (催办) and supervision orders (督办): sent from a ticket, received, answered and judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from hotline.core.errors import Conflict, Denied, Invalid, NotFound
from hotline.core.permissions import Permission
from hotline.tickets.states import MOVES, Act
from hotline.web import forms, labels, present
from hotline.web.admin.exports import took
from hotline.web.gate import actor, db, now, page
from hotline.web.labels import Label
from hotline.web.present import DeadlineView
from hotline.web.turning import Turn, turn
from reports.models import Taken
from routing import queries as routing
from routing.supervision import acting as supervising
from routing.supervision import queries
from routing.supervision.models import NoticeForm
from routing.supervision.queries import NoticeRow
from routing.supervision.sweeping import rules_of
from routing.supervision.triggers import NoticeKind

bp = Blueprint("notices", __name__)
P = Permission

PAGE_ROWS: Final = 30


_ACTS: Final[Mapping[NoticeKind, Act]] = {NoticeKind.URGE: Act.URGE, NoticeKind.SUPERVISE: Act.SUPERVISE}


@dataclass(frozen=True, kw_only=True)
class NoticeLine:
    """One notice in a list."""

    href: str
    kind: Label
    form: str
    number: str
    title: str
    department: str
    words: str
    sent: str
    sent_by: str
    due: DeadlineView
    state: Label
    tone: str | None


@dataclass(frozen=True, kw_only=True)
class NoticesPage:
    """The notices of one sort."""

    rows: tuple[NoticeLine, ...]
    tabs: tuple[tuple[str, str, bool, int | None], ...]
    which: str
    turn: Turn
    size: str


@dataclass(frozen=True, kw_only=True)
class NoticePage:
    """One notice and what this person can do with it."""

    id: int
    version: int
    kind: Label
    form: str
    number: str
    ticket_href: str
    title: str
    department: str
    words: str
    times: int
    automatic: bool
    state: Label
    facts: tuple[tuple[str, str], ...]
    receive_due: DeadlineView
    due: DeadlineView
    #: Both limits as dates, for paper.
    receive_by: str
    answer_by: str
    printed: str
    account: str
    ending_words: str
    previous_href: str | None
    can_receive: bool
    can_account: bool
    can_judge: bool
    can_lift: bool
    form_name: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SendPage:
    """The form by which a unit is urged or called to account."""

    kind: str
    heading: str
    number: str
    title: str
    content: str
    department: str
    due: DeadlineView
    forms: tuple[tuple[str, str], ...]
    workdays: int
    earlier: tuple[NoticeLine, ...]
    values: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)


@bp.get("/supervision/notices")
@page(P.FIGURES_VIEW, P.TICKET_ANSWER)
def notices() -> ResponseReturnValue:
    """List the notices that are open, answered, or over."""
    which = forms.asked("tab") if forms.asked("tab") in _NOTICE_TABS else "open"
    cursor = forms.asked("cursor")
    with db().read() as session:
        found = queries.notices(session, actor(), which=which, cursor=cursor, limit=PAGE_ROWS)

    shown = NoticesPage(
        rows=tuple(notice_line(row) for row in found.rows),
        tabs=tuple(
            (words, url_for("notices.notices", tab=name), name == which, None) for name, words in _NOTICE_TABS.items()
        ),
        which=which,
        turn=turn(found, cursor=cursor, tab=which),
        size=f"本页 {len(found.rows)} 条",
    )
    return render_template("supervision/notices.html", page=shown)


_NOTICE_TABS: Final[Mapping[str, str]] = {"open": "未办结", "accounted": "待审核", "ended": "已办结"}


@bp.get("/supervision/notices/<int:notice_id>")
@page(P.TICKET_VIEW)
def notice(notice_id: int) -> ResponseReturnValue:
    """Show one notice with what this person can do."""
    return render_template("supervision/notice.html", page=_notice(notice_id))


@bp.get("/supervision/notices/<int:notice_id>/print")
@page(P.TICKET_VIEW)
def paper(notice_id: int) -> ResponseReturnValue:
    """Show one notice for paper (催办通知单, 督办通知单), with room for who receives it."""
    made = _notice(notice_id)
    try:
        with db().read() as session:
            content = routing.ticket_for(session, actor(), made.number).content
    except (Denied, NotFound):
        content = ""  # the ticket has gone elsewhere; its notice is still the unit's
    took(Taken.NOTICE_PRINT, rows=1, scope=f"{made.kind.words} {notice_id}")
    return render_template("supervision/notice_print.html", page=made, content=content)


@bp.post("/supervision/notices/<int:notice_id>/receive")
@page(P.TICKET_ANSWER)
def receive(notice_id: int) -> ResponseReturnValue:
    """Receive a notice for the unit."""
    with db().begin() as session:
        supervising.receive(session, notice_id=notice_id, by=actor(), now=now())
    forms.told("success", "已签收，请在回复时限前说明办理情况。")
    return _back(notice_id)


@bp.post("/supervision/notices/<int:notice_id>/account")
@page(P.TICKET_ANSWER)
def account(notice_id: int) -> ResponseReturnValue:
    """Answer a notice for the unit."""
    return _acted(notice_id, supervising.account, form_name="account", words=forms.text("account"), told="回复已提交。")


@bp.post("/supervision/notices/<int:notice_id>/judge")
@page(P.TICKET_SUPERVISE)
def judge(notice_id: int) -> ResponseReturnValue:
    """Accept or refuse what the unit answered."""
    try:
        verdict = forms.text("accepted")
        if verdict not in {"yes", "no"}:
            raise Invalid({"accepted": "请选择审核结果。"})  # noqa: TRY301 - one answer to every problem of the form
        with db().begin() as session:
            left = supervising.judge(
                session,
                notice_id=notice_id,
                version=forms.required("version"),
                accepted=verdict == "yes",
                words=forms.text("words"),
                by=actor(),
                now=now(),
            )
    except Invalid as error:
        return _refused(notice_id, "judge", error)
    forms.told("success", "已办结。" if verdict == "yes" else "已退回，并向承办单位发出新的督办单。")
    return _back(left.id)


@bp.post("/supervision/notices/<int:notice_id>/lift")
@page(P.TICKET_SUPERVISE)
def lift(notice_id: int) -> ResponseReturnValue:
    """Take a notice back."""
    return _acted(notice_id, supervising.lift, form_name="lift", words=forms.text("words"), told="已解除。")


@bp.get("/tickets/<number>/urge")
@page(P.TICKET_URGE)
def urge_form(number: str) -> ResponseReturnValue:
    """Show the form of urging."""
    return render_template("supervision/send.html", page=_send(number, NoticeKind.URGE))


@bp.post("/tickets/<number>/urge")
@page(P.TICKET_URGE)
def urge(number: str) -> ResponseReturnValue:
    """Urge the unit that holds the ticket."""
    try:
        with db().begin() as session:
            ticket = routing.ticket_for(session, actor(), number, lock=True)
            sent = supervising.urge(session, ticket_id=ticket.id, words=forms.text("words"), by=actor(), now=now())
    except Invalid as error:
        shown = _send(number, NoticeKind.URGE, values=request.form.to_dict(), errors=error.fields)
        return render_template("supervision/send.html", page=shown), 422
    forms.told("success", f"已催办（第 {sent.times} 次），承办单位会收到提醒。")
    return redirect(url_for("tickets.show", number=number), code=303)


@bp.get("/tickets/<number>/supervise")
@page(P.TICKET_SUPERVISE)
def supervise_form(number: str) -> ResponseReturnValue:
    """Show the form of supervision."""
    return render_template("supervision/send.html", page=_send(number, NoticeKind.SUPERVISE))


@bp.post("/tickets/<number>/supervise")
@page(P.TICKET_SUPERVISE)
def supervise(number: str) -> ResponseReturnValue:
    """Call the unit to account."""
    try:
        form = forms.member(NoticeForm, "form") or NoticeForm.WRITTEN
        workdays = forms.whole("workdays")
        with db().begin() as session:
            ticket = routing.ticket_for(session, actor(), number, lock=True)
            sent = supervising.supervise(
                session,
                ticket_id=ticket.id,
                words=forms.text("words"),
                form=form,
                workdays=workdays,
                by=actor(),
                now=now(),
            )
            notice_id = sent.id
    except Invalid as error:
        shown = _send(number, NoticeKind.SUPERVISE, values=request.form.to_dict(), errors=error.fields)
        return render_template("supervision/send.html", page=shown), 422
    except Conflict as error:  # an order stands already: said beside it, with what was typed kept
        told = {"form": [error.message]}
        shown = _send(number, NoticeKind.SUPERVISE, values=request.form.to_dict(), errors=told)
        return render_template("supervision/send.html", page=shown), 409
    forms.told("success", "督办单已发出，承办单位会收到提醒。")
    return _back(notice_id)


def _acted(notice_id: int, act: Callable[..., object], *, form_name: str, words: str, told: str) -> ResponseReturnValue:
    """Do with a notice what a form of its page asks for; refused, show the page again with what was typed."""
    try:
        with db().begin() as session:
            version = forms.required("version")
            act(session, notice_id=notice_id, version=version, words=words, by=actor(), now=now())
    except Invalid as error:
        return _refused(notice_id, form_name, error)
    forms.told("success", told)
    return _back(notice_id)


def _back(notice_id: int) -> ResponseReturnValue:
    return redirect(url_for("notices.notice", notice_id=notice_id), code=303)


def _refused(notice_id: int, name: str, error: Invalid) -> ResponseReturnValue:
    shown = _notice(notice_id, form_name=name, values=request.form.to_dict(), errors=error.fields)
    return render_template("supervision/notice.html", page=shown), 422


def _notice_state(row: NoticeRow) -> Label:
    if row.ending is not None:
        return labels.label(row.ending)
    if row.accounted_at is not None:
        return Label("待审核", "info")
    if row.received_at is not None:
        return Label("待回复", "warning")
    return Label("待签收", "warning")


def _notice_due(row: NoticeRow) -> DeadlineView:
    return present.deadline(row.due_at, now=now(), done_at=row.accounted_at or row.ended_at)


def notice_line(row: NoticeRow) -> NoticeLine:
    """Return a notice as one line of a list."""
    due = _notice_due(row)
    return NoticeLine(
        href=url_for("notices.notice", notice_id=row.id),
        kind=labels.label(row.kind),
        form=labels.words(row.form) if row.kind is NoticeKind.SUPERVISE else f"第 {row.times} 次",
        number=row.number,
        title=row.title,
        department=row.department,
        words=row.words,
        sent=present.short(row.sent_at, now=now()),
        sent_by=row.sent_by,
        due=due,
        state=_notice_state(row),
        tone="danger" if due.state == "overdue" else None,
    )


def _notice(
    notice_id: int,
    *,
    form_name: str = "",
    values: Mapping[str, str] | None = None,
    errors: Mapping[str, Sequence[str]] | None = None,
) -> NoticePage:
    with db().read() as session:
        row = queries.notice(session, actor(), notice_id)
    mine = row.department_id in actor().department_ids and actor().can(P.TICKET_ANSWER)
    is_open, supervises = row.ended_at is None, actor().can(P.TICKET_SUPERVISE)
    facts = (
        ("发出", f"{present.moment(row.sent_at)}　{row.sent_by}"),
        ("签收", f"{present.moment(row.received_at)}　{row.received_by}" if row.received_at else "尚未签收"),
        ("回复", f"{present.moment(row.accounted_at)}　{row.accounted_by}" if row.accounted_at else "尚未回复"),
        ("办结", f"{present.moment(row.ended_at)}　{row.ended_by or '系统'}" if row.ended_at else ""),
    )
    endpoint = "department.work" if mine else "tickets.show"
    return NoticePage(
        id=row.id,
        version=row.version,
        kind=labels.label(row.kind),
        form=labels.words(row.form) if row.kind is NoticeKind.SUPERVISE else "",
        number=row.number,
        ticket_href=url_for(endpoint, number=row.number),
        title=row.title,
        department=row.department,
        words=row.words,
        times=row.times,
        automatic=row.automatic,
        state=_notice_state(row),
        facts=tuple((name, words) for name, words in facts if words),
        receive_due=present.deadline(row.receive_due_at, now=now(), done_at=row.received_at or row.ended_at),
        due=_notice_due(row),
        receive_by=present.moment(row.receive_due_at),
        answer_by=present.moment(row.due_at),
        printed=present.moment(now()),
        account=row.account,
        ending_words=row.ending_words,
        previous_href=url_for("notices.notice", notice_id=row.previous_id) if row.previous_id else None,
        can_receive=mine and is_open and row.received_at is None,
        can_account=mine and is_open and row.accounted_at is None,
        can_judge=supervises and is_open and row.accounted_at is not None,
        can_lift=supervises and is_open and row.accounted_at is None,
        form_name=form_name,
        values=values or {},
        errors=errors or {},
    )


def _send(
    number: str,
    kind: NoticeKind,
    *,
    values: Mapping[str, str] | None = None,
    errors: Mapping[str, Sequence[str]] | None = None,
) -> SendPage:
    with db().read() as session:
        ticket = routing.ticket_for(session, actor(), number)
        held = routing.dispatches_of(session, ticket.id)
        earlier = queries.notices_of(session, actor(), ticket.id, limit=10)
        limits = rules_of(session)
    current = next((row for row in held if row.is_current), None)
    if current is None or ticket.state not in MOVES[_ACTS[kind]].sources:
        raise NotFound("工单目前不在承办单位手中，不能催办或督办。")
    return SendPage(
        kind=kind.value,
        heading=labels.words(kind),
        number=number,
        title=ticket.title,
        content=ticket.content,
        department=current.department,
        due=present.deadline(ticket.due_at, now=now()),
        forms=tuple(labels.options(NoticeForm)),
        workdays=limits.workdays(kind),
        earlier=tuple(notice_line(row) for row in earlier),
        values=values or {},
        errors=errors or {},
    )
