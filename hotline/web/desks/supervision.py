"""Alarms and cards: what waits for a word, which deadlines are near or past, and what a ticket's page tells of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from hotline.core.errors import Invalid
from hotline.core.permissions import Actor, Permission
from hotline.web import forms, labels, present
from hotline.web.desks.notices import NoticeLine, notice_line
from hotline.web.gate import actor, db, now, page
from hotline.web.labels import Label
from hotline.web.present import DeadlineView
from hotline.web.ticket_search import address
from hotline.web.turning import Turn, turn
from routing.clocks.deadlines import Card
from routing.supervision import acting as supervising
from routing.supervision import queries
from routing.supervision.queries import AlarmRow, CardCount, CardRow
from routing.supervision.triggers import Trigger

bp = Blueprint("supervision_desk", __name__)

P = Permission

PAGE_ROWS: Final = 30

#: What is counted beside the cards in force.
SHOWN_SINCE: Final = timedelta(days=30)

WORD: Final = "已知悉，正在办理"

COLOURS: Final = (Card.YELLOW, Card.RED)


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
    #: The alarms that were ticked in a form that was not taken.
    chosen: Sequence[int] = ()


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
    chosen = forms.ids("ids")
    try:
        with db().begin() as session:
            done = supervising.heed(session, alarm_ids=chosen, word=forms.text("word"), by=actor(), now=now())
    except Invalid as error:
        shown = _alarms(heeded=False, word=forms.text("word"), errors=error.fields, chosen=chosen)
        return render_template("supervision/alarms.html", page=shown), 422
    if left := len(chosen) - done:
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
    colour = colour if colour in COLOURS else None
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
        notices=tuple(notice_line(row) for row in sent.rows),
        more=bool(shown.next_cursor or sent.next_cursor),
    )


def _alarms(
    *,
    heeded: bool,
    word: str = WORD,
    errors: Mapping[str, Sequence[str]] | None = None,
    chosen: Sequence[int] = (),
) -> AlarmsPage:
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
        chosen=chosen,
    )


def _alarm(row: AlarmRow) -> AlarmLine:
    trigger = labels.label(row.trigger)
    if row.notice_id is not None:
        href, what = url_for("notices.notice", notice_id=row.notice_id), "查看督办"
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
    return History(notices=tuple(notice_line(row) for row in sent), alarms=tuple(_alarm(row) for row in raised))
