"""Reads of supervision: cards, alarms, notices, leaders; each list is scoped by the actor and paged by keyset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import and_, func, literal, or_, select, tuple_
from sqlalchemy.orm import Session, aliased
from sqlalchemy.sql import ColumnElement

from hotline.core.errors import NotFound
from hotline.core.paging import Stretch, instant, microseconds, parse_pair, turned
from hotline.core.permissions import Actor, Permission
from hotline.people.models import User
from hotline.tickets.models import Ticket
from hotline.tickets.states import State
from hotline.tickets.vocabulary import Urgency
from routing.answers.vetting_models import Vetting, VettingState
from routing.clocks.deadlines import Card
from routing.duty.models import Return
from routing.duty.rules import ReturnState
from routing.models import Department, Dispatch, Ending
from routing.queries import MOST_ROWS
from routing.relations.models import Merge
from routing.supervision.models import Alarm, Leader, NoticeEnding, NoticeForm, ShownCard, SupervisionNotice
from routing.supervision.triggers import SHARE_OF_URGENT, SHARE_OF_VERY_URGENT, Facts, NoticeKind, Trigger


@dataclass(frozen=True, kw_only=True)
class AlarmRow:
    """One alarm as a list shows it."""

    id: int
    trigger: Trigger
    words: str
    number: str
    title: str
    state: State
    department: str
    to_department: str
    notice_id: int | None
    raised_at: datetime
    due_at: datetime | None
    heeded_at: datetime | None
    heeded_by: str
    heeded_word: str


@dataclass(frozen=True, kw_only=True)
class CardRow:
    """One card in force."""

    id: int
    colour: Card
    number: str
    title: str
    department: str
    due_at: datetime
    shown_at: datetime
    signed: bool


@dataclass(frozen=True, kw_only=True)
class NoticeRow:
    """One notice as a list shows it."""

    id: int
    kind: NoticeKind
    form: NoticeForm
    number: str
    title: str
    department: str
    department_id: int
    words: str
    times: int
    automatic: bool
    sent_at: datetime
    sent_by: str
    receive_due_at: datetime
    due_at: datetime
    received_at: datetime | None
    received_by: str
    account: str
    accounted_at: datetime | None
    accounted_by: str
    ended_at: datetime | None
    ended_by: str
    ending: NoticeEnding | None
    ending_words: str
    version: int
    ticket_id: int
    previous_id: int | None


@dataclass(frozen=True, kw_only=True)
class CardCount:
    """How many cards a department has in force, and was shown since a moment."""

    department_id: int
    department: str
    yellow: int
    red: int
    yellow_shown: int
    red_shown: int


def concerns(actor: Actor) -> ColumnElement[bool]:
    """Return which alarms are this person's business: those of his departments, and the centre's for the centre."""
    mine = Alarm.to_department_id.in_(sorted(actor.department_ids))
    if actor.can(Permission.TICKET_SUPERVISE):
        return or_(mine, Alarm.to_department_id.is_(None)) if actor.department_ids else Alarm.to_department_id.is_(None)
    return mine


def alarms(
    session: Session, actor: Actor, *, heeded: bool = False, cursor: str = "", limit: int = 30
) -> Stretch[AlarmRow]:
    """Return the alarms that wait for this person (or that were taken note of), the newest first, by keyset."""
    limit = min(limit, MOST_ROWS)
    backwards, key = parse_pair(cursor)
    to = aliased(Department)
    query = (
        select(Alarm, Ticket.number, Ticket.title, Ticket.state, Ticket.due_at, Department.short_name, to.short_name)
        .add_columns(User.display_name)
        .join(Ticket, Ticket.id == Alarm.ticket_id)
        .join(Department, Department.id == Alarm.department_id, isouter=True)
        .join(to, to.id == Alarm.to_department_id, isouter=True)
        .join(User, User.id == Alarm.heeded_by, isouter=True)
        .where(concerns(actor), Alarm.heeded_at.is_not(None) if heeded else Alarm.heeded_at.is_(None))
    )
    if key is not None:
        query = query.where(Alarm.id > key[1] if backwards else Alarm.id < key[1])
    order = Alarm.id.asc() if backwards else Alarm.id.desc()
    found = [
        AlarmRow(
            id=alarm.id,
            trigger=alarm.trigger,
            words=alarm.words,
            number=number,
            title=title,
            state=state,
            department=department or "",
            to_department=told or "",
            notice_id=alarm.notice_id,
            raised_at=alarm.raised_at,
            due_at=due,
            heeded_at=alarm.heeded_at,
            heeded_by=by or "",
            heeded_word=alarm.heeded_word,
        )
        for alarm, number, title, state, due, department, told, by in session.execute(
            query.order_by(order).limit(limit + 1)
        )
    ]
    return turned(found, limit, backwards=backwards, started=key is not None, name=lambda row: f"0|{row.id}")


def alarms_of(session: Session, actor: Actor, ticket_id: int, *, limit: int = 50) -> Sequence[AlarmRow]:
    """Return what was raised about one ticket, the newest first; a unit sees what it was told itself."""
    to = aliased(Department)
    query = (
        select(Alarm, to.short_name, User.display_name)
        .join(to, to.id == Alarm.to_department_id, isouter=True)
        .join(User, User.id == Alarm.heeded_by, isouter=True)
        .where(Alarm.ticket_id == ticket_id)
        .order_by(Alarm.id.desc())
        .limit(limit)
    )
    if not actor.can(Permission.TICKET_VIEW_ALL):
        query = query.where(concerns(actor))
    return [
        AlarmRow(
            id=alarm.id,
            trigger=alarm.trigger,
            words=alarm.words,
            number="",
            title="",
            state=State.REGISTERED,
            department="",
            to_department=told or "热线中心",
            notice_id=alarm.notice_id,
            raised_at=alarm.raised_at,
            due_at=None,
            heeded_at=alarm.heeded_at,
            heeded_by=by or "",
            heeded_word=alarm.heeded_word,
        )
        for alarm, told, by in session.execute(query)
    ]


def cards_in_force(
    session: Session,
    actor: Actor,
    *,
    colour: Card | None = None,
    department_id: int | None = None,
    cursor: str = "",
    limit: int = 30,
) -> Stretch[CardRow]:
    """Return the cards that stand now, the oldest deadline first, by keyset; a unit sees its own."""
    limit = min(limit, MOST_ROWS)
    backwards, key = parse_pair(cursor)
    query = (
        select(ShownCard, Ticket.number, Ticket.title, Department.short_name, Dispatch.signed_at)
        .join(Dispatch, Dispatch.id == ShownCard.dispatch_id)
        .join(Ticket, Ticket.id == ShownCard.ticket_id)
        .join(Department, Department.id == ShownCard.department_id)
        # What was answered a moment ago is settled by the next sweep; nobody is shown it until then.
        .where(ShownCard.settled_at.is_(None), Dispatch.answered_at.is_(None), Dispatch.ended_at.is_(None))
    )
    if not actor.can(Permission.TICKET_VIEW_ALL):
        query = query.where(ShownCard.department_id.in_(sorted(actor.department_ids)))
    if colour is not None:
        query = query.where(ShownCard.colour == colour)
    if department_id is not None:
        query = query.where(ShownCard.department_id == department_id)
    place = tuple_(ShownCard.due_at, ShownCard.id)
    if key is not None:
        here = tuple_(literal(instant(key[0])), literal(key[1]))
        query = query.where(place < here if backwards else place > here)
    order = (
        (ShownCard.due_at.desc(), ShownCard.id.desc()) if backwards else (ShownCard.due_at.asc(), ShownCard.id.asc())
    )
    found = [
        CardRow(
            id=card.id,
            colour=card.colour,
            number=number,
            title=title,
            department=department,
            due_at=card.due_at,
            shown_at=card.shown_at,
            signed=signed is not None,
        )
        for card, number, title, department, signed in session.execute(query.order_by(*order).limit(limit + 1))
    ]
    return turned(
        found,
        limit,
        backwards=backwards,
        started=key is not None,
        name=lambda row: f"{microseconds(row.due_at)}|{row.id}",
    )


def notices(
    session: Session,
    actor: Actor,
    *,
    which: str = "open",
    kind: NoticeKind | None = None,
    cursor: str = "",
    limit: int = 30,
) -> Stretch[NoticeRow]:
    """Return notices by keyset: `open` and `accounted` in order of the deadline, `ended` the newest first."""
    limit = min(limit, MOST_ROWS)
    backwards, key = parse_pair(cursor)
    ended = which == "ended"
    query = _notices().where(SupervisionNotice.ended_at.is_not(None) if ended else SupervisionNotice.ended_at.is_(None))
    if which == "accounted":
        query = query.where(SupervisionNotice.accounted_at.is_not(None))
    if not actor.can(Permission.TICKET_VIEW_ALL):
        query = query.where(SupervisionNotice.department_id.in_(sorted(actor.department_ids)))
    if kind is not None:
        query = query.where(SupervisionNotice.kind == kind)
    if ended:
        if key is not None:
            query = query.where(SupervisionNotice.id > key[1] if backwards else SupervisionNotice.id < key[1])
        order: Any = (SupervisionNotice.id.asc() if backwards else SupervisionNotice.id.desc(),)
    else:
        place = tuple_(SupervisionNotice.due_at, SupervisionNotice.id)
        if key is not None:
            here = tuple_(literal(instant(key[0])), literal(key[1]))
            query = query.where(place < here if backwards else place > here)
        order = (
            (SupervisionNotice.due_at.desc(), SupervisionNotice.id.desc())
            if backwards
            else (SupervisionNotice.due_at.asc(), SupervisionNotice.id.asc())
        )
    found = [_notice(row) for row in session.execute(query.order_by(*order).limit(limit + 1))]
    return turned(
        found,
        limit,
        backwards=backwards,
        started=key is not None,
        name=lambda row: f"{microseconds(row.due_at)}|{row.id}",
    )


def notice(session: Session, actor: Actor, notice_id: int) -> NoticeRow:
    """Return one notice, or `NotFound` for whoever has nothing to do with it."""
    query = _notices().where(SupervisionNotice.id == notice_id)
    if not actor.can(Permission.TICKET_VIEW_ALL):
        query = query.where(SupervisionNotice.department_id.in_(sorted(actor.department_ids)))
    row = session.execute(query).first()
    if row is None:
        raise NotFound
    return _notice(row)


def notices_of(session: Session, actor: Actor, ticket_id: int, *, limit: int = 50) -> Sequence[NoticeRow]:
    """Return every notice about one ticket, the newest first; a unit sees its own."""
    query = _notices().where(SupervisionNotice.ticket_id == ticket_id)
    if not actor.can(Permission.TICKET_VIEW_ALL):
        query = query.where(SupervisionNotice.department_id.in_(sorted(actor.department_ids)))
    return [_notice(row) for row in session.execute(query.order_by(SupervisionNotice.id.desc()).limit(limit))]


def card_counts(session: Session, *, since: datetime, department_ids: Sequence[int] | None = None) -> list[CardCount]:
    """Return, by department, the cards in force and those shown since a moment; cards that were lifted do not count."""
    standing = ShownCard.settled_at.is_(None)
    shown = and_(ShownCard.shown_at >= since, ShownCard.lifted.is_(False))
    query = (
        select(
            ShownCard.department_id,
            Department.short_name,
            func.count().filter(standing, ShownCard.colour == Card.YELLOW),
            func.count().filter(standing, ShownCard.colour == Card.RED),
            func.count().filter(shown, ShownCard.colour == Card.YELLOW),
            func.count().filter(shown, ShownCard.colour == Card.RED),
        )
        .join(Department, Department.id == ShownCard.department_id)
        .where(or_(standing, shown))
        .group_by(ShownCard.department_id, Department.short_name)
        .order_by(func.count().filter(standing, ShownCard.colour == Card.RED).desc(), ShownCard.department_id)
        .limit(500)
    )
    if department_ids is not None:
        query = query.where(ShownCard.department_id.in_(department_ids))
    return [
        CardCount(
            department_id=department_id,
            department=name,
            yellow=yellow,
            red=red,
            yellow_shown=yellow_shown,
            red_shown=red_shown,
        )
        for department_id, name, yellow, red, yellow_shown, red_shown in session.execute(query)
    ]


def leaders(session: Session) -> Sequence[tuple[Leader, str]]:
    """Return every leader with the name of his unit, in order of unit and level."""
    rows = session.execute(
        select(Leader, Department.short_name)
        .join(Department, Department.id == Leader.department_id, isouter=True)
        .order_by(Leader.department_id.nulls_first(), Leader.level, Leader.id)
        .limit(2_000)
    )
    return [(leader, name or "热线中心") for leader, name in rows]


def facts_of(session: Session, ticket: Ticket) -> Facts:
    """Return what the rules look at for one ticket."""
    row = session.scalars(select(Dispatch).where(Dispatch.ticket_id == ticket.id, Dispatch.is_current)).first()
    returns, last = session.execute(
        select(func.count(), func.max(Dispatch.ended_at)).where(
            Dispatch.ticket_id == ticket.id, Dispatch.ending == Ending.SENT_BACK
        )
    ).one()
    in_hand = row is not None and row.answered_at is None and row.ended_at is None
    return Facts(
        in_hand=in_hand,
        waits_for_dispatch=ticket.state is State.REGISTERED and session.get(Merge, ticket.id) is None,
        waiting_since=max(ticket.registered_at, last or ticket.registered_at),
        share=_SHARES.get(ticket.urgency, 1),
        signed=row is not None and row.signed_at is not None,
        contacted=row is not None and row.contacted_at is not None,
        sent_at=row.sent_at if row else None,
        sign_due_at=row.sign_due_at if row else None,
        yellow_from=row.yellow_from if row else None,
        red_from=row.red_from if row else None,
        round=row.round if row else 0,
        repeats=ticket.repeats,
        returns=returns,
        return_asked_at=session.scalar(
            select(Return.asked_at).where(Return.ticket_id == ticket.id, Return.state == ReturnState.OPEN)
        ),
        reading_due_at=session.scalar(
            select(Vetting.due_at).where(Vetting.ticket_id == ticket.id, Vetting.state == VettingState.WAITING)
        ),
        is_open=ticket.state is not State.CLOSED,
    )


_SHARES: Final = {Urgency.URGENT: SHARE_OF_URGENT, Urgency.VERY_URGENT: SHARE_OF_VERY_URGENT}


def _notices() -> Any:  # noqa: ANN401 - a select of eight columns has no readable type
    sender, receiver, answerer, judge = (aliased(User) for _ in range(4))
    return (
        select(
            SupervisionNotice,
            Ticket.number,
            Ticket.title,
            Department.short_name,
            sender.display_name,
            receiver.display_name,
            answerer.display_name,
            judge.display_name,
        )
        .join(Ticket, Ticket.id == SupervisionNotice.ticket_id)
        .join(Department, Department.id == SupervisionNotice.department_id)
        .join(sender, sender.id == SupervisionNotice.sent_by, isouter=True)
        .join(receiver, receiver.id == SupervisionNotice.received_by, isouter=True)
        .join(answerer, answerer.id == SupervisionNotice.accounted_by, isouter=True)
        .join(judge, judge.id == SupervisionNotice.ended_by, isouter=True)
    )


def _notice(row: Any) -> NoticeRow:  # noqa: ANN401 - the columns of the select above
    one, number, title, department, sender, receiver, answerer, judge = row
    return NoticeRow(
        id=one.id,
        kind=one.kind,
        form=one.form,
        number=number,
        title=title,
        department=department,
        department_id=one.department_id,
        words=one.words,
        times=one.times,
        automatic=one.key is not None,
        sent_at=one.sent_at,
        sent_by=sender or "系统",
        receive_due_at=one.receive_due_at,
        due_at=one.due_at,
        received_at=one.received_at,
        received_by=receiver or "",
        account=one.account,
        accounted_at=one.accounted_at,
        accounted_by=answerer or "",
        ended_at=one.ended_at,
        ended_by=judge or "",
        ending=one.ending,
        ending_words=one.ending_words,
        version=one.version,
        ticket_id=one.ticket_id,
        previous_id=one.previous_id,
    )
