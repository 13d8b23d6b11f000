"""Cards, alarms, urging and supervision: who looks sees what to do, and does it here (红黄牌、催办、督办)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from hotline.core.errors import Conflict, Invalid, NotFound
from hotline.core.permissions import Actor, Permission
from hotline.tickets.states import MOVES, Act
from hotline.web import forms, labels, present
from hotline.web.gate import actor, db, now, page
from hotline.web.labels import Label
from hotline.web.present import DeadlineView
from hotline.web.ticket_search import address
from hotline.web.turning import Turn, turn
from routing import queries as routing
from routing.clocks.deadlines import Card
from routing.supervision import acting as supervising
from routing.supervision import queries
from routing.supervision.models import NoticeForm
from routing.supervision.queries import AlarmRow, CardCount, CardRow, NoticeRow
from routing.supervision.sweeping import rules_of
from routing.supervision.triggers import MOST_LEVEL, MOST_STEPS, RULES, NoticeKind, Rules, Step, Told, Trigger

bp = Blueprint("supervision_desk", __name__)
P = Permission

PAGE_ROWS: Final = 30
#: How many empty rungs the form of the ladder offers beside those that are there.
SPARE: Final = 2
#: What is counted beside the cards in force.
SHOWN_SINCE: Final = timedelta(days=30)
WORD: Final = "已知悉，正在办理"
_ACTS: Final[Mapping[NoticeKind, Act]] = {NoticeKind.URGE: Act.URGE, NoticeKind.SUPERVISE: Act.SUPERVISE}
_COLOURS: Final = (Card.YELLOW, Card.RED)


@dataclass(frozen=True, kw_only=True)
class AlarmLine:
    """One alarm in a list."""

    id: int
    trigger: Label
    words: str
    number: str
    title: str
    href: str
    what: str
    state: Label
    department: str
    to: str
    raised: str
    raised_iso: str
    due: DeadlineView
    heeded: str
    word: str
    tone: str | None


@dataclass(frozen=True, kw_only=True)
class AlarmsPage:
    """What waits for a word of this person."""

    rows: tuple[AlarmLine, ...]
    heeded: bool
    tabs: tuple[tuple[str, str, bool, int | None], ...]
    turn: Turn
    size: str
    word: str = WORD
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CardLine:
    """One card in a list."""

    number: str
    href: str
    title: str
    colour: Label
    department: str
    due: DeadlineView
    shown: str
    signed: str
    tone: str | None


@dataclass(frozen=True, kw_only=True)
class CountLine:
    """The cards of one department."""

    department: str
    figures: tuple[tuple[str, int, str | None], ...]
    href: str | None
    tone: str | None


@dataclass(frozen=True, kw_only=True)
class CardsPage:
    """The cards in force, and how many each department has."""

    rows: tuple[CardLine, ...]
    counts: tuple[CountLine, ...]
    tabs: tuple[tuple[str, str, bool, int | None], ...]
    department: str
    everything: str | None
    turn: Turn
    size: str


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


@dataclass(frozen=True, kw_only=True)
class RuleLine:
    """One trigger with its state."""

    name: str
    words: str
    when: str
    told: str
    on: bool
    always: bool
    limit: str
    unit: str


@dataclass(frozen=True, kw_only=True)
class LeaderLine:
    """Somebody on the ladder."""

    id: int
    department: str
    level: int
    name: str
    post: str
    phone: str


@dataclass(frozen=True, kw_only=True)
class RulesPage:
    """Every trigger, the ladder, and whom it reaches."""

    rules: tuple[RuleLine, ...]
    rungs: tuple[Mapping[str, str], ...]
    values: Mapping[str, str]
    leaders: tuple[LeaderLine, ...]
    departments: tuple[tuple[str, str], ...]
    colours: tuple[tuple[str, str], ...]
    told: tuple[tuple[str, str], ...]
    notices: tuple[tuple[str, str], ...]
    levels: tuple[tuple[str, str], ...]
    editable: bool
    leaders_editable: bool
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    leader_errors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    leader: Mapping[str, str] = field(default_factory=dict)


# Alarms


@bp.get("/alarms")
@page(P.TICKET_ANSWER, P.TICKET_SUPERVISE)
def alarms() -> ResponseReturnValue:
    """List what waits for a word of this person, or what was said to it."""
    return render_template("supervision/alarms.html", page=_alarms(heeded=forms.asked("tab") == "heeded"))


@bp.post("/alarms/heed")
@page(P.TICKET_ANSWER, P.TICKET_SUPERVISE)
def heed() -> ResponseReturnValue:
    """Take note of the chosen alarms with a word."""
    chosen = [int(raw) for raw in request.form.getlist("ids") if raw.isdecimal() and len(raw) < 19]  # noqa: PLR2004 - longer than any id
    try:
        with db().begin() as session:
            done = supervising.heed(session, alarm_ids=chosen, word=forms.text("word"), by=actor(), now=now())
    except Invalid as error:
        shown = _alarms(heeded=False, word=forms.text("word"), errors=error.fields)
        return render_template("supervision/alarms.html", page=shown), 422
    if left := len(set(chosen)) - done:
        forms.told("warning", f"已确认 {done} 条；另有 {left} 条已由他人确认，没有改动。")
    else:
        forms.told("success", f"已确认 {done} 条提醒。")
    return redirect(url_for("supervision_desk.alarms"), code=303)


# Cards


@bp.get("/supervision/cards")
@page(P.FIGURES_VIEW, P.TICKET_ANSWER)
def cards() -> ResponseReturnValue:
    """List the cards in force, and count them by department."""
    colour = forms.member(Card, "colour", source=request.args)
    colour = colour if colour in _COLOURS else None
    department_id = forms.whole("department", source=request.args)
    cursor = forms.asked("cursor")
    everything = actor().can(P.TICKET_VIEW_ALL)
    with db().read() as session:
        found = queries.cards_in_force(
            session, actor(), colour=colour, department_id=department_id, cursor=cursor, limit=PAGE_ROWS
        )
        counts = queries.card_counts(
            session,
            since=now() - SHOWN_SINCE,
            department_ids=None if everything else sorted(actor().department_ids),
        )
    chosen = next((one.department for one in counts if one.department_id == department_id), "")

    def here(**given: str | None) -> str:
        kept = {"colour": colour.value if colour else None, "department": str(department_id or "") or None}
        return address(url_for("supervision_desk.cards"), {}, **(kept | given))

    totals = {
        None: sum(one.yellow + one.red for one in counts),
        Card.YELLOW: sum(one.yellow for one in counts),
        Card.RED: sum(one.red for one in counts),
    }
    tabs = tuple(
        (labels.words(one) if one else "全部", here(colour=one.value if one else None), colour is one, totals[one])
        for one in (None, Card.RED, Card.YELLOW)
    )
    shown = CardsPage(
        rows=tuple(_card(row) for row in found.rows),
        counts=tuple(_count(one) for one in counts),
        tabs=tabs if not department_id else tuple((*tab[:3], None) for tab in tabs),
        department=chosen,
        everything=here(department=None) if department_id else None,
        turn=turn(found, cursor=cursor, colour=colour.value if colour else None, department=department_id),
        size=f"本页 {len(found.rows)} 条",
    )
    return render_template("supervision/cards.html", page=shown)


# Notices


@bp.get("/supervision/notices")
@page(P.FIGURES_VIEW, P.TICKET_ANSWER)
def notices() -> ResponseReturnValue:
    """List the notices that are open, answered, or over."""
    which = forms.asked("tab") if forms.asked("tab") in _NOTICE_TABS else "open"
    cursor = forms.asked("cursor")
    with db().read() as session:
        found = queries.notices(session, actor(), which=which, cursor=cursor, limit=PAGE_ROWS)

    shown = NoticesPage(
        rows=tuple(_notice_line(row) for row in found.rows),
        tabs=tuple(
            (words, url_for("supervision_desk.notices", tab=name), name == which, None)
            for name, words in _NOTICE_TABS.items()
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
    try:
        with db().begin() as session:
            supervising.account(
                session,
                notice_id=notice_id,
                version=forms.required("version"),
                words=forms.text("account"),
                by=actor(),
                now=now(),
            )
    except Invalid as error:
        return _refused(notice_id, "account", error)
    forms.told("success", "回复已提交。")
    return _back(notice_id)


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
    try:
        with db().begin() as session:
            supervising.lift(
                session,
                notice_id=notice_id,
                version=forms.required("version"),
                words=forms.text("words"),
                by=actor(),
                now=now(),
            )
    except Invalid as error:
        return _refused(notice_id, "lift", error)
    forms.told("success", "已解除。")
    return _back(notice_id)


# Urging and supervising from the ticket


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


# Rules, ladder, leaders


@bp.get("/supervision/rules")
@page(P.FIGURES_VIEW)
def rules() -> ResponseReturnValue:
    """Show every trigger with its state, the ladder, and whom it reaches."""
    return render_template("supervision/rules.html", page=_rules())


@bp.post("/supervision/rules")
@page(P.SETTINGS_EDIT)
def change_rules() -> ResponseReturnValue:
    """Decide what speaks, with what limits, and up which ladder."""
    try:
        decided = _decided()
        with db().begin() as session:
            supervising.change_rules(session, decided, by=actor(), now=now())
    except Invalid as error:
        return render_template("supervision/rules.html", page=_rules(typed=request.form, errors=error.fields)), 422
    forms.told("success", "督办规则已保存，一分钟内生效。")
    return redirect(url_for("supervision_desk.rules"), code=303)


@bp.post("/supervision/leaders")
@page(P.CATALOGUE_EDIT)
def enter_leader() -> ResponseReturnValue:
    """Enter somebody whom the ladder reaches."""
    try:
        level = forms.whole("level")
        with db().begin() as session:
            supervising.enter_leader(
                session,
                department_id=forms.whole("department_id"),
                level=level or 0,
                name=forms.text("name"),
                post=forms.text("post"),
                phone=forms.text("phone"),
                by=actor(),
            )
    except Invalid as error:
        shown = _rules(leader=request.form.to_dict(), leader_errors=error.fields)
        return render_template("supervision/rules.html", page=shown), 422
    forms.told("success", "已加入。")
    return redirect(url_for("supervision_desk.rules", _anchor="leaders"), code=303)


@bp.post("/supervision/leaders/<int:leader_id>/remove")
@page(P.CATALOGUE_EDIT)
def remove_leader(leader_id: int) -> ResponseReturnValue:
    """Take somebody off the ladder."""
    with db().begin() as session:
        supervising.remove_leader(session, leader_id=leader_id, by=actor())
    forms.told("success", "已移除。")
    return redirect(url_for("supervision_desk.rules", _anchor="leaders"), code=303)


@dataclass(frozen=True, kw_only=True)
class DeskPart:
    """What a department's desk shows before everything else."""

    cards: tuple[CardLine, ...]
    notices: tuple[NoticeLine, ...]
    more: bool


def desk_part(who: Actor, *, most: int = 5) -> DeskPart:
    """Return the cards and notices that a unit must look at first, the oldest deadline first."""
    with db().read() as session:
        shown = queries.cards_in_force(session, who, limit=most)
        sent = queries.notices(session, who, limit=most)
    return DeskPart(
        cards=tuple(_card(row) for row in shown.rows),
        notices=tuple(_notice_line(row) for row in sent.rows),
        more=bool(shown.next_cursor or sent.next_cursor),
    )


def _back(notice_id: int) -> ResponseReturnValue:
    return redirect(url_for("supervision_desk.notice", notice_id=notice_id), code=303)


def _refused(notice_id: int, name: str, error: Invalid) -> ResponseReturnValue:
    shown = _notice(notice_id, form_name=name, values=request.form.to_dict(), errors=error.fields)
    return render_template("supervision/notice.html", page=shown), 422


def _alarms(*, heeded: bool, word: str = WORD, errors: Mapping[str, Sequence[str]] | None = None) -> AlarmsPage:
    cursor = forms.asked("cursor")
    with db().read() as session:
        found = queries.alarms(session, actor(), heeded=heeded, cursor=cursor, limit=PAGE_ROWS)
    tab = "heeded" if heeded else "waiting"

    return AlarmsPage(
        rows=tuple(_alarm(row) for row in found.rows),
        heeded=heeded,
        tabs=(
            ("待确认", url_for("supervision_desk.alarms"), not heeded, None),
            ("已确认", url_for("supervision_desk.alarms", tab="heeded"), heeded, None),
        ),
        turn=turn(found, cursor=cursor, tab=tab),
        size=f"本页 {len(found.rows)} 条",
        word=word,
        errors=errors or {},
    )


def _alarm(row: AlarmRow) -> AlarmLine:
    trigger = labels.label(row.trigger)
    if row.notice_id is not None:
        href, what = url_for("supervision_desk.notice", notice_id=row.notice_id), "查看督办"
    elif actor().can(P.TICKET_ANSWER):
        href, what = url_for("department.work", number=row.number), "去办理"
    elif row.trigger is Trigger.UNDISPATCHED:
        href, what = f"/dispatch/{row.number}", "去派单"
    else:
        href, what = url_for("tickets.show", number=row.number), "查看工单"
    return AlarmLine(
        id=row.id,
        trigger=trigger,
        words=row.words if row.words != trigger.words else "",
        number=row.number,
        title=row.title,
        href=href,
        what=what,
        state=labels.label(row.state),
        department=row.department,
        to=row.to_department or "热线中心",
        raised=present.short(row.raised_at, now=now()),
        raised_iso=present.iso(row.raised_at),
        due=present.deadline(row.due_at, now=now()),
        heeded=f"{row.heeded_by} {present.short(row.heeded_at, now=now())}" if row.heeded_at else "",
        word=row.heeded_word,
        tone="danger" if trigger.tone == "danger" and row.heeded_at is None else None,
    )


def _card(row: CardRow) -> CardLine:
    endpoint = "department.work" if actor().can(P.TICKET_ANSWER) else "tickets.show"
    return CardLine(
        number=row.number,
        href=url_for(endpoint, number=row.number),
        title=row.title,
        colour=labels.label(row.colour),
        department=row.department,
        due=present.deadline(row.due_at, now=now()),
        shown=present.short(row.shown_at, now=now()),
        signed="办理中" if row.signed else "待签收",
        tone="danger" if row.colour is Card.RED else None,
    )


def _count(one: CardCount) -> CountLine:
    def leads(colour: Card) -> str:
        return url_for("supervision_desk.cards", department=one.department_id, colour=colour.value)

    return CountLine(
        department=one.department,
        figures=(
            ("红牌", one.red, leads(Card.RED)),
            ("黄牌", one.yellow, leads(Card.YELLOW)),
            ("近 30 日红牌", one.red_shown, None),
            ("近 30 日黄牌", one.yellow_shown, None),
        ),
        href=url_for("supervision_desk.cards", department=one.department_id),
        tone="danger" if one.red else None,
    )


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


def _notice_line(row: NoticeRow) -> NoticeLine:
    due = _notice_due(row)
    return NoticeLine(
        href=url_for("supervision_desk.notice", notice_id=row.id),
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
        account=row.account,
        ending_words=row.ending_words,
        previous_href=url_for("supervision_desk.notice", notice_id=row.previous_id) if row.previous_id else None,
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
        earlier=tuple(_notice_line(row) for row in earlier),
        values=values or {},
        errors=errors or {},
    )


def _rules(
    *,
    typed: Mapping[str, str] | None = None,
    errors: Mapping[str, Sequence[str]] | None = None,
    leader: Mapping[str, str] | None = None,
    leader_errors: Mapping[str, Sequence[str]] | None = None,
) -> RulesPage:
    with db().read() as session:
        decided = rules_of(session)
        told = queries.leaders(session)
        departments = routing.departments(session)
    lines = tuple(
        RuleLine(
            name=rule.trigger.value,
            words=rule.words,
            when=rule.when,
            told="、".join(labels.words(one) for one in rule.told) or "见阶梯",
            on=decided.is_on(rule.trigger) if typed is None else typed.get(f"on_{rule.trigger.value}") == "1",
            always=rule.always,
            limit=(typed or {}).get(f"limit_{rule.trigger.value}", str(decided.limit(rule.trigger)))
            if rule.limit is not None
            else "",
            unit=rule.unit,
        )
        for rule in RULES
    )
    days = ("receive_workdays", "urge_workdays", "supervise_workdays")
    return RulesPage(
        rules=lines,
        rungs=_rungs(decided) if typed is None else _typed_rungs(typed),
        values={name: (typed or {}).get(name, str(getattr(decided, name))) for name in days},
        leaders=tuple(
            LeaderLine(id=row.id, department=name, level=row.level, name=row.name, post=row.post, phone=row.phone)
            for row, name in told
        ),
        departments=tuple((str(one.id), one.name) for one in departments),
        colours=tuple(labels.options(_COLOURS)),
        told=tuple(labels.options(Told)),
        notices=tuple(labels.options(NoticeKind)),
        levels=(("0", "值班联系人"), *((str(level), f"第 {level} 级领导") for level in range(1, MOST_LEVEL + 1))),
        editable=actor().can(P.SETTINGS_EDIT),
        leaders_editable=actor().can(P.CATALOGUE_EDIT),
        errors=errors or {},
        leader=leader or {},
        leader_errors=leader_errors or {},
    )


_RUNG: Final = ("words", "colour", "workdays", "told", "level", "text", "notice")


def _rungs(decided: Rules) -> tuple[Mapping[str, str], ...]:
    rows = [
        {
            "words": step.words,
            "colour": step.colour.value,
            "workdays": str(step.workdays),
            "told": step.told.value,
            "level": str(step.level),
            "text": "1" if step.text else "",
            "notice": step.notice.value if step.notice else "",
        }
        for step in decided.ladder
    ]
    spare = [dict.fromkeys(_RUNG, "") for _ in range(min(SPARE, MOST_STEPS - len(rows)))]
    return tuple(rows + spare)


def _typed_rungs(typed: Mapping[str, str]) -> tuple[Mapping[str, str], ...]:
    count = sum(f"words_{number}" in typed for number in range(1, MOST_STEPS + 1))
    return tuple({name: typed.get(f"{name}_{number}", "") for name in _RUNG} for number in range(1, count + 1))


def _decided() -> Rules:
    """Read the form of the rules; rungs without words are left out."""
    limits = {}
    for rule in RULES:
        if rule.limit is None:
            continue
        name = f"limit_{rule.trigger.value}"
        if (given := forms.whole(name)) is None:
            raise Invalid({name: "请填写。"})
        if given != rule.limit:
            limits[rule.trigger] = given
    steps = []
    for number in range(1, MOST_STEPS + 1):
        if not forms.text(f"words_{number}").strip():
            continue
        steps.append(
            Step(
                words=forms.text(f"words_{number}").strip()[:60],
                colour=forms.member(Card, f"colour_{number}") or Card.NONE,
                workdays=forms.whole(f"workdays_{number}") or 0,
                told=forms.member(Told, f"told_{number}") or Told.DEPARTMENT,
                level=forms.whole(f"level_{number}") or 0,
                text=forms.flag(f"text_{number}"),
                notice=forms.member(NoticeKind, f"notice_{number}"),
            )
        )
    return Rules(
        off=frozenset(rule.trigger for rule in RULES if not rule.always and not forms.flag(f"on_{rule.trigger.value}")),
        limits=limits,
        ladder=tuple(steps),
        receive_workdays=forms.required("receive_workdays"),
        urge_workdays=forms.required("urge_workdays"),
        supervise_workdays=forms.required("supervise_workdays"),
    )


@dataclass(frozen=True, kw_only=True)
class History:
    """What supervision did about one ticket, for the ticket's own page."""

    notices: tuple[NoticeLine, ...]
    alarms: tuple[AlarmLine, ...]


def history(who: Actor, ticket_id: int) -> History:
    """Return the notices and alarms of one ticket that this person may see."""
    with db().read() as session:
        sent = queries.notices_of(session, who, ticket_id)
        raised = queries.alarms_of(session, who, ticket_id)
    return History(notices=tuple(_notice_line(row) for row in sent), alarms=tuple(_alarm(row) for row in raised))
