"""Reads of routing; `visible_to` is the one door through which tickets are listed or loaded for a person."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Integer,
    String,
    and_,
    bindparam,
    cast,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.orm import Session, aliased
from sqlalchemy.sql import ColumnElement, Select

from hotline.core.clock import end_of_day
from hotline.core.errors import Invalid, NotFound
from hotline.core.permissions import Actor, Permission
from hotline.core.text import quoted, search_words
from hotline.people.models import User
from hotline.tickets.models import Category, Region, Ticket, TicketSearch
from hotline.tickets.queries import locked_here
from hotline.tickets.states import Outcome, State
from hotline.tickets.vocabulary import Channel, Kind, RequestType, Urgency
from routing.answers.part_models import PartKind, Subtask
from routing.answers.vetting_models import Vetting, VettingState
from routing.catalogue.models import CatalogueVersion
from routing.models import (
    Answer,
    CalendarDay,
    Department,
    DepartmentKind,
    Dispatch,
    Ending,
    Membership,
    Standing,
    Suggestion,
)
from routing.paging import instant, microseconds, parse_pair, turned

MOST_ROWS: Final = 100
_ONE_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class DepartmentNode:
    """A department as choices need it."""

    id: int
    code: str
    name: str
    short_name: str
    kind: DepartmentKind
    parent_id: int | None
    region_code: str
    duty_phone: str
    active: bool
    version: int


@dataclass(frozen=True, kw_only=True)
class ListFilter:
    """What a list is narrowed to; empty means everything."""

    states: tuple[State, ...] = ()
    outcome: Outcome | None = None
    kind: Kind | None = None
    department_id: int | None = None
    category_id: int | None = None
    region_id: int | None = None
    request_type: RequestType | None = None
    urgency: Urgency | None = None
    channel: Channel | None = None
    #: "overdue", "today" or "soon" (within a day); needs `now`.
    due: str = ""
    words: str = ""
    registered_from: datetime | None = None
    registered_to: datetime | None = None
    #: "newest" or "due" (the next deadline first; only what a department has in hand).
    order: str = "newest"


@dataclass(frozen=True, kw_only=True)
class TicketRow:
    """One line of a list; nothing personal in it."""

    id: int
    number: str
    version: int
    state: State
    outcome: Outcome | None
    kind: Kind
    channel: Channel
    request_type: RequestType
    urgency: Urgency
    title: str
    place: str
    category: str
    department: str
    department_id: int | None
    registered_at: datetime
    due_at: datetime | None
    sign_due_at: datetime | None
    signed_at: datetime | None
    answered_at: datetime | None
    closed_at: datetime | None
    rework_rounds: int
    repeats: int
    confidential: bool
    anonymous: bool
    phone_masked: str
    flags: tuple[str, ...] = ()
    #: Until when the clock of the department that has it stands (挂起).
    suspended_until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class TicketPage:
    """One page of a list and how to turn it."""

    rows: Sequence[TicketRow]
    next_cursor: str = ""
    previous_cursor: str = ""


@dataclass(frozen=True, kw_only=True)
class DispatchView:
    """One dispatch with the names a person reads."""

    id: int
    department_id: int
    department: str
    round: int
    is_current: bool
    automatic: bool
    reason: str
    sent_at: datetime
    sent_by: str
    profile: str
    sign_due_at: datetime
    due_at: datetime
    steps: Mapping[str, Any]
    signed_at: datetime | None
    signed_by: str
    contacted_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    ending: str
    standing: Standing = Standing.ORDINARY
    answer: Answer | None = field(default=None)
    #: Number of the dispatch catalogue's edition under which it went out, and the class of its limits.
    edition: int | None = None
    sla_class: str = ""
    suspended_until: datetime | None = None
    #: Its answer lies before a reader of the hotline: nobody outside is told it yet.
    vetted: bool = False


def departments(session: Session, *, active_only: bool = True) -> Sequence[DepartmentNode]:
    """Return all departments in order of code; a city has hundreds, not thousands."""
    query = select(Department).order_by(Department.kind, Department.code).limit(5_000)
    if active_only:
        query = query.where(Department.active)
    return [
        DepartmentNode(
            id=row.id,
            code=row.code,
            name=row.name,
            short_name=row.short_name,
            kind=row.kind,
            parent_id=row.parent_id,
            region_code=row.region_code,
            duty_phone=row.duty_phone,
            active=row.active,
            version=row.version,
        )
        for row in session.scalars(query)
    ]


def department_by_code(session: Session, code: str) -> Department | None:
    """Return the department with this code, if there is one."""
    return session.scalars(_DEPARTMENT_BY_CODE, {"code": code}).first()


def departments_of(session: Session, user_id: int) -> frozenset[int]:
    """Return the departments a user works for, with everything below them in the tree."""
    tree = select(Membership.department_id.label("id")).where(Membership.user_id == user_id).cte("mine", recursive=True)
    below = select(Department.id).join(tree, Department.parent_id == tree.c.id)
    return frozenset(session.scalars(select(tree.union(below).c.id)))


def members_of(session: Session, department_id: int) -> Sequence[tuple[int, str, str]]:
    """Return id, login and name of a department's members."""
    rows = session.execute(
        select(User.id, User.login, User.display_name)
        .join(Membership, Membership.user_id == User.id)
        .where(Membership.department_id == department_id)
        .order_by(User.login)
        .limit(500)
    )
    return [(row.id, row.login, row.display_name) for row in rows]


def memberships(session: Session, user_ids: Iterable[int]) -> dict[int, list[str]]:
    """Return, for each user, the names of the departments he is entered for."""
    rows = session.execute(
        select(Membership.user_id, Department.short_name)
        .join(Department, Department.id == Membership.department_id)
        .where(Membership.user_id.in_(list(user_ids)))
        .order_by(Department.code)
    )
    found: dict[int, list[str]] = {}
    for user_id, name in rows:
        found.setdefault(user_id, []).append(name)
    return found


def visible_to(actor: Actor) -> ColumnElement[bool]:
    """Return which tickets this person may see: all, or those his departments have or had in hand, or help with.

    Whoever has a part that was forwarded downwards sees that part alone (routing.answers.parts), never the ticket.
    """
    if actor.can(Permission.TICKET_VIEW_ALL):
        return true()
    mine = actor.department_ids
    held = select(Dispatch.id).where(Dispatch.ticket_id == Ticket.id, Dispatch.department_id.in_(mine))
    helps = select(Subtask.id).where(
        Subtask.ticket_id == Ticket.id, Subtask.department_id.in_(mine), Subtask.kind == PartKind.ASSIST
    )
    return or_(held.exists(), helps.exists())


def _ticket_for(*, everything: bool, lock: bool) -> Select[Ticket]:
    query = select(Ticket).where(Ticket.number == bindparam("number"))
    if not everything:
        in_hand = select(Dispatch.id).where(
            Dispatch.ticket_id == Ticket.id, Dispatch.department_id.in_(bindparam("departments", expanding=True))
        )
        helps = select(Subtask.id).where(
            Subtask.ticket_id == Ticket.id,
            Subtask.department_id.in_(bindparam("departments", expanding=True)),
            Subtask.kind == PartKind.ASSIST,
        )
        query = query.where(or_(in_hand.exists(), helps.exists()))
    # Locked in the same breath, because an act follows at once.
    return query.with_for_update(of=Ticket).execution_options(populate_existing=True) if lock else query


#: May the person see everything? Does an act follow? -> the question. The first must mean what `visible_to` means.
_TICKETS_FOR: Final = {
    (everything, lock): _ticket_for(everything=everything, lock=lock)
    for everything in (True, False)
    for lock in (True, False)
}
_DEPARTMENT_BY_CODE: Final = select(Department).where(Department.code == bindparam("code"))
_CURRENT_DISPATCH: Final = select(Dispatch).where(Dispatch.ticket_id == bindparam("of_ticket"), Dispatch.is_current)
_CURRENT_DISPATCH_LOCKED: Final = _CURRENT_DISPATCH.with_for_update()
_HELD: Final = (
    select(Dispatch.department_id)
    .where(Dispatch.ticket_id == bindparam("of_ticket"))
    .union(select(Subtask.department_id).where(Subtask.ticket_id == bindparam("of_ticket")))
)


_OPEN_PARTS: Final = (
    select(Department.name)
    .join(Subtask, Subtask.department_id == Department.id)
    .where(Subtask.dispatch_id == bindparam("of_dispatch"), Subtask.ended_at.is_(None))
    .order_by(Subtask.id)
)


def ticket_for(session: Session, actor: Actor, number: str, *, lock: bool = False) -> Ticket:
    """Return the ticket with this number if the person may see it; otherwise `NotFound`, which tells nothing.

    With `lock` it is locked in the same breath, for an act that follows in this transaction.
    """
    everything = actor.can(Permission.TICKET_VIEW_ALL)
    asked: dict[str, Any] = {"number": number.strip()}
    if not everything:
        asked["departments"] = list(actor.department_ids)
    ticket = session.scalars(_TICKETS_FOR[everything, lock], asked).first()
    if ticket is None:
        raise NotFound
    if lock:
        locked_here(session).add(ticket.id)
    return ticket


def ticket_list(
    session: Session, actor: Actor, wanted: ListFilter, *, now: datetime, cursor: str = "", limit: int = 30
) -> TicketPage:
    """Return one page of the tickets a person may see, by keyset in both directions.

    Raises `Invalid` for a cursor that is not one of ours.
    """
    limit = min(limit, MOST_ROWS)
    by_due = wanted.order == "due"
    backwards, key = _parse_cursor(cursor, by_due=by_due)
    query = _filtered(wanted, now=now)
    if by_due:
        query = query.where(Ticket.due_at.is_not(None))
        if key is not None:
            at, ticket_id = key
            later = or_(Ticket.due_at > at, and_(Ticket.due_at == at, Ticket.id > ticket_id))
            earlier = or_(Ticket.due_at < at, and_(Ticket.due_at == at, Ticket.id < ticket_id))
            query = query.where(earlier if backwards else later)
        order = (Ticket.due_at.desc(), Ticket.id.desc()) if backwards else (Ticket.due_at.asc(), Ticket.id.asc())
    else:
        column = TicketSearch.ticket_id if wanted.words.strip() else Ticket.id
        if key is not None:
            query = query.where(column > key[1] if backwards else column < key[1])
        order = (column.asc(),) if backwards else (column.desc(),)  # type: ignore[assignment]
    query = query.order_by(*order).limit(limit + 1)
    found: list[TicketRow] = []
    for scope in _scopes(actor):
        seen = {row.id for row in found}
        found += [_row(*row) for row in session.execute(query.where(scope)) if row[0].id not in seen]
    found.sort(key=lambda row: (row.due_at or now if by_due else now, row.id), reverse=backwards is by_due)
    more = len(found) > limit
    rows = found[:limit]
    if backwards:
        rows.reverse()
    first, last = (rows[0], rows[-1]) if rows else (None, None)
    has_next = (more if not backwards else bool(rows)) and last is not None
    has_previous = (more if backwards else key is not None) and first is not None
    return TicketPage(
        rows=rows,
        next_cursor=_cursor("n", last, by_due=by_due) if has_next and last else "",
        previous_cursor=_cursor("p", first, by_due=by_due) if has_previous and first else "",
    )


def dispatches_of(session: Session, ticket_id: int) -> Sequence[DispatchView]:
    """Return every dispatch of a ticket, the oldest first, each with its answer."""
    signer = aliased(User)
    rows = session.execute(
        select(
            Dispatch,
            Department.name,
            User.display_name,
            signer.display_name,
            Answer,
            CatalogueVersion.number,
            Vetting.id,
        )
        .join(Department, Department.id == Dispatch.department_id)
        .join(User, User.id == Dispatch.sent_by, isouter=True)
        .join(signer, signer.id == Dispatch.signed_by, isouter=True)
        .join(Answer, and_(Answer.dispatch_id == Dispatch.id, Answer.sent_back_at.is_(None)), isouter=True)
        .join(CatalogueVersion, CatalogueVersion.id == Dispatch.catalogue_version_id, isouter=True)
        .join(Vetting, and_(Vetting.dispatch_id == Dispatch.id, Vetting.state == VettingState.WAITING), isouter=True)
        .where(Dispatch.ticket_id == ticket_id)
        .order_by(Dispatch.id)
        .limit(100)
    )
    return [
        DispatchView(
            id=row.id,
            department_id=row.department_id,
            department=department,
            round=row.round,
            is_current=row.is_current,
            automatic=row.automatic,
            reason=row.reason,
            sent_at=row.sent_at,
            sent_by=sender or "",
            profile=row.profile,
            sign_due_at=row.sign_due_at,
            due_at=row.due_at,
            steps=row.steps,
            signed_at=row.signed_at,
            signed_by=signed_by or "",
            contacted_at=row.contacted_at,
            answered_at=row.answered_at,
            ended_at=row.ended_at,
            ending=row.ending.value if row.ending else "",
            standing=row.standing,
            answer=answer,
            edition=edition,
            sla_class=row.sla_class,
            suspended_until=row.suspended_until,
            vetted=vetting_id is not None,
        )
        for row, department, sender, signed_by, answer, edition, vetting_id in rows
    ]


def current_dispatch(session: Session, ticket_id: int, *, lock: bool = False) -> Dispatch | None:
    """Return the dispatch that is in force, if the ticket is or was out."""
    query = _CURRENT_DISPATCH_LOCKED if lock else _CURRENT_DISPATCH
    return session.scalars(query, {"of_ticket": ticket_id}).first()


def departments_that_held(session: Session, ticket_id: int) -> frozenset[int]:
    """Return every department that ever had the ticket, or a part of it, in hand."""
    return frozenset(session.scalars(_HELD, {"of_ticket": ticket_id}))


def vetting_waits(session: Session, ticket_id: int) -> bool:
    """Tell whether the ticket's answer lies before a reader of the hotline."""
    query = select(Vetting.id).where(Vetting.ticket_id == ticket_id, Vetting.state == VettingState.WAITING)
    return session.scalar(query) is not None


def open_parts(session: Session, dispatch_id: int) -> list[str]:
    """Return the names of the departments whose part of a dispatch is open."""
    return list(session.scalars(_OPEN_PARTS, {"of_dispatch": dispatch_id}))


def suggestion_of(session: Session, ticket_id: int) -> Suggestion | None:
    """Return the newest thing the model said of a ticket."""
    return session.scalars(
        select(Suggestion).where(Suggestion.ticket_id == ticket_id).order_by(Suggestion.id.desc()).limit(1)
    ).first()


def suggestions_of(session: Session, ticket_ids: Iterable[int]) -> dict[int, Suggestion]:
    """Return the newest suggestion for each of these tickets."""
    rows = session.scalars(select(Suggestion).where(Suggestion.ticket_id.in_(list(ticket_ids))).order_by(Suggestion.id))
    return {row.ticket_id: row for row in rows}


def calendar_overrides(session: Session) -> Sequence[CalendarDay]:
    """Return the days that an administrator declared, in order."""
    return session.scalars(select(CalendarDay).order_by(CalendarDay.day)).all()


def open_by_department(session: Session, *, now: datetime) -> Sequence[Mapping[str, Any]]:
    """Return, by department, what is in hand, unsigned, overdue and due within a day; the fullest first."""
    in_hand = and_(Dispatch.is_current, Dispatch.answered_at.is_(None), Dispatch.ended_at.is_(None))
    rows = session.execute(
        select(
            Department.id,
            Department.name,
            func.count().label("open"),
            func.count().filter(Dispatch.signed_at.is_(None)).label("unsigned"),
            func.count().filter(Dispatch.due_at < now).label("overdue"),
            func.count().filter(Dispatch.due_at >= now, Dispatch.due_at < now + _ONE_DAY).label("soon"),
            func.count().filter(Dispatch.signed_at.is_(None), Dispatch.sign_due_at < now).label("sign_overdue"),
        )
        .join(Dispatch, Dispatch.department_id == Department.id)
        .where(in_hand)
        .group_by(Department.id, Department.name)
        .order_by(func.count().desc(), Department.id)
        .limit(300)
    )
    return [dict(row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name for it


def _filtered(wanted: ListFilter, *, now: datetime) -> Any:  # noqa: ANN401, C901 - one line per filter; a select of seven columns has no readable type
    query: Any = select(
        Ticket,
        Category.path,
        Department.short_name,
        Department.id,
        Dispatch.sign_due_at,
        Dispatch.signed_at,
        Dispatch.suspended_until,
    )
    if wanted.words.strip():
        words = search_words(wanted.words)
        if not words:
            raise Invalid({"words": "请至少输入两个字进行搜索。"})
        asked = cast(literal(" & ".join(quoted(word) for word in words), String), TSQUERY)
        query = query.select_from(TicketSearch).join(Ticket, Ticket.id == TicketSearch.ticket_id)
        query = query.where(TicketSearch.words.op("@@")(asked))
    query = (
        query.join(Category, Category.id == Ticket.category_id, isouter=True)
        .join(Dispatch, and_(Dispatch.ticket_id == Ticket.id, Dispatch.is_current), isouter=True)
        .join(Department, Department.id == Dispatch.department_id, isouter=True)
    )
    for column, value in (
        (Ticket.outcome, wanted.outcome),
        (Ticket.kind, wanted.kind),
        (Dispatch.department_id, wanted.department_id),
        (Ticket.region_id, wanted.region_id),
        (Ticket.request_type, wanted.request_type),
        (Ticket.urgency, wanted.urgency),
        (Ticket.channel, wanted.channel),
    ):
        if value is not None:
            query = query.where(column == value)
    if wanted.states:
        query = query.where(
            Ticket.state.in_(wanted.states) if len(wanted.states) > 1 else Ticket.state == wanted.states[0]
        )
    if wanted.category_id is not None:
        query = query.where(Ticket.category_id.in_(_below(wanted.category_id)))
    if wanted.registered_from is not None:
        query = query.where(Ticket.registered_at >= wanted.registered_from)
    if wanted.registered_to is not None:
        query = query.where(Ticket.registered_at < wanted.registered_to)
    if wanted.due == "overdue":
        query = query.where(Ticket.due_at < now)
    elif wanted.due == "today":
        query = query.where(Ticket.due_at >= now, Ticket.due_at < end_of_day(now))
    elif wanted.due == "soon":
        query = query.where(Ticket.due_at >= now, Ticket.due_at < now + _ONE_DAY)
    return query


def _scopes(actor: Actor) -> Sequence[ColumnElement[bool]]:
    """Return what together means `visible_to`, each a question of its own that the planner can begin from either end.

    As one condition with OR the whole history of a department was gathered for each page: 200 ms at 100 000 tickets.
    """
    if actor.can(Permission.TICKET_VIEW_ALL):
        return (true(),)
    held, mine = aliased(Dispatch, name="held"), list(actor.department_ids)
    return (
        Ticket.id.in_(select(held.ticket_id).where(held.department_id.in_(mine))),
        Ticket.id.in_(
            select(Subtask.ticket_id).where(Subtask.department_id.in_(mine), Subtask.kind == PartKind.ASSIST)
        ),
    )


def _below(category_id: int) -> Select[Any]:
    tree = select(Category.id).where(Category.id == category_id).cte("subtree", recursive=True)
    return select(tree.union(select(Category.id).join(tree, Category.parent_id == tree.c.id)).c.id)


def _row(  # noqa: PLR0917 - the columns of the select above
    ticket: Ticket,
    category: str | None,
    department: str | None,
    department_id: int | None,
    sign_due_at: datetime | None,
    signed_at: datetime | None,
    suspended_until: datetime | None,
) -> TicketRow:
    return TicketRow(
        id=ticket.id,
        number=ticket.number,
        version=ticket.version,
        state=ticket.state,
        outcome=ticket.outcome,
        kind=ticket.kind,
        channel=ticket.channel,
        request_type=ticket.request_type,
        urgency=ticket.urgency,
        title=ticket.title,
        place=ticket.place,
        category=category or "",
        department=department or "",
        department_id=department_id,
        registered_at=ticket.registered_at,
        due_at=ticket.due_at,
        sign_due_at=sign_due_at,
        signed_at=signed_at,
        answered_at=ticket.answered_at,
        closed_at=ticket.closed_at,
        rework_rounds=ticket.rework_rounds,
        repeats=ticket.repeats,
        confidential=ticket.confidential,
        anonymous=ticket.anonymous,
        phone_masked=ticket.phone_masked,
        flags=tuple(ticket.flags),
        suspended_until=suspended_until,
    )


def _cursor(direction: str, row: TicketRow, *, by_due: bool) -> str:
    at = row.due_at.isoformat() if by_due and row.due_at else ""
    return base64.urlsafe_b64encode(f"{direction}|{at}|{row.id}".encode()).decode().rstrip("=")


def _parse_cursor(cursor: str, *, by_due: bool) -> tuple[bool, tuple[datetime | None, int] | None]:
    if not cursor:
        return False, None
    try:
        direction, at, row_id = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().split("|")
        moment = datetime.fromisoformat(at) if at else None
        if direction not in {"n", "p"} or (moment is None) == by_due:
            raise ValueError(direction)  # noqa: TRY301 - one answer to every broken cursor
        return direction == "p", (moment, int(row_id))
    except (ValueError, binascii.Error, UnicodeDecodeError) as error:
        raise Invalid({"cursor": "翻页位置已失效，请回到第一页。"}) from error


#: The dispatcher's order: the most urgent first. A literal, so that a partial index of the same words can serve it.
_RANK: Final = literal_column("CASE tickets.urgency WHEN '特急' THEN 0 WHEN '紧急' THEN 1 ELSE 2 END", Integer)
# What is answered with another ticket (routing.relations.joining) waits for that one and not for a dispatcher.
_WAITING: Final = literal_column(
    "tickets.state = 'registered' AND NOT EXISTS ("
    "SELECT FROM merges WHERE merges.ticket_id = tickets.id AND merges.answered_at IS NULL)",
    Boolean,
)


@dataclass(frozen=True, kw_only=True)
class WaitingTicket:
    """A registered ticket at the dispatcher's desk, with the newest thing that the model said of it."""

    id: int
    number: str
    version: int
    kind: Kind
    channel: Channel
    request_type: RequestType
    urgency: Urgency
    title: str
    content: str
    place: str
    category: str
    category_id: int | None
    region_id: int | None
    region: str
    region_code: str
    registered_at: datetime
    repeats: int
    confidential: bool
    flags: tuple[str, ...]
    #: How often a department has sent it back, and which one did so last.
    returned: int
    returned_by: str
    suggestion: Suggestion | None


@dataclass(frozen=True, kw_only=True)
class WaitingPage:
    """One page of the dispatcher's queue and how to turn it."""

    rows: Sequence[WaitingTicket]
    next_cursor: str = ""
    previous_cursor: str = ""


@dataclass(frozen=True, kw_only=True)
class AutomaticRow:
    """One ticket that went out by itself."""

    dispatch_id: int
    number: str
    title: str
    state: State
    urgency: Urgency
    category: str
    department: str
    reason: str
    sent_at: datetime
    due_at: datetime
    ending: str


@dataclass(frozen=True, kw_only=True)
class AutomaticPage:
    """One page of what went out by itself."""

    rows: Sequence[AutomaticRow]
    next_cursor: str = ""
    previous_cursor: str = ""


def dispatch_queue(
    session: Session,
    actor: Actor,
    *,
    category_id: int | None = None,
    urgency: Urgency | None = None,
    cursor: str = "",
    limit: int = 20,
) -> WaitingPage:
    """Return what waits for a dispatcher, the most urgent first and then the oldest, by keyset in both directions.

    Raises `Invalid` for a cursor that is not one of ours.
    """
    limit = min(limit, MOST_ROWS)
    backwards, key = parse_pair(cursor)
    # First the page's tickets alone, so that what is joined to them is looked up for one page and not for the queue.
    chosen = select(Ticket.id).where(_WAITING, visible_to(actor))
    if category_id is not None:
        chosen = chosen.where(Ticket.category_id.in_(_below(category_id)))
    if urgency is not None:
        chosen = chosen.where(Ticket.urgency == urgency)
    if key is not None:
        here, there = tuple_(_RANK, Ticket.id), tuple_(literal(key[0], BigInteger), literal(key[1], BigInteger))
        chosen = chosen.where(here < there if backwards else here > there)
    order = (_RANK.desc(), Ticket.id.desc()) if backwards else (_RANK.asc(), Ticket.id.asc())
    of_page = chosen.order_by(*order).limit(limit + 1).subquery()
    query = _waiting(actor).join(of_page, of_page.c.id == Ticket.id).order_by(*order)
    found = [_waiting_row(row) for row in session.execute(query)]
    rows, next_cursor, previous_cursor = turned(
        found, limit, backwards=backwards, started=key is not None, name=lambda row: f"{_rank(row.urgency)}|{row.id}"
    )
    return WaitingPage(rows=rows, next_cursor=next_cursor, previous_cursor=previous_cursor)


def waiting_tickets(session: Session, actor: Actor, ids: Iterable[int]) -> dict[int, WaitingTicket]:
    """Return those of these tickets that still wait for a dispatcher."""
    query = _waiting(actor).where(Ticket.id.in_(list(ids))).order_by(_RANK, Ticket.id)
    return {row.id: row for row in map(_waiting_row, session.execute(query))}


def automatic_since(
    session: Session, actor: Actor, *, since: datetime, cursor: str = "", limit: int = 30
) -> AutomaticPage:
    """Return what went out by itself since then, the newest first, by keyset in both directions."""
    limit = min(limit, MOST_ROWS)
    backwards, key = parse_pair(cursor)
    query: Any = (
        select(Dispatch, Ticket, Category.path, Department.name)
        .join(Ticket, Ticket.id == Dispatch.ticket_id)
        .join(Department, Department.id == Dispatch.department_id)
        .join(Category, Category.id == Ticket.category_id, isouter=True)
        .where(literal_column("dispatches.automatic", Boolean), Dispatch.sent_at >= since, visible_to(actor))
    )
    if key is not None:
        here = tuple_(Dispatch.sent_at, Dispatch.id)
        there = tuple_(literal(instant(key[0])), literal(key[1], BigInteger))
        query = query.where(here > there if backwards else here < there)
    order = (Dispatch.sent_at.asc(), Dispatch.id.asc()) if backwards else (Dispatch.sent_at.desc(), Dispatch.id.desc())
    found = [
        AutomaticRow(
            dispatch_id=row.id,
            number=ticket.number,
            title=ticket.title,
            state=ticket.state,
            urgency=ticket.urgency,
            category=category or "",
            department=department,
            reason=row.reason,
            sent_at=row.sent_at,
            due_at=row.due_at,
            ending=row.ending.value if row.ending else "",
        )
        for row, ticket, category, department in session.execute(query.order_by(*order).limit(limit + 1))
    ]
    rows, next_cursor, previous_cursor = turned(
        found,
        limit,
        backwards=backwards,
        started=key is not None,
        name=lambda row: f"{microseconds(row.sent_at)}|{row.dispatch_id}",
    )
    return AutomaticPage(rows=rows, next_cursor=next_cursor, previous_cursor=previous_cursor)


def went_to(session: Session, ticket_ids: Iterable[int]) -> dict[int, str]:
    """Return, for each ticket that is or was out, the name of the department that held it last."""
    rows = session.execute(
        select(Dispatch.ticket_id, Department.name)
        .join(Department, Department.id == Dispatch.department_id)
        .where(Dispatch.ticket_id.in_(list(ticket_ids)))
        .order_by(Dispatch.id)
    )
    return {ticket_id: name for ticket_id, name in rows}  # noqa: C416 - dict() does not see that a row is a pair


def _waiting(actor: Actor) -> Any:  # noqa: ANN401 - a select of seven columns has no readable type
    newest = (
        select(func.max(Suggestion.id)).where(Suggestion.ticket_id == Ticket.id).correlate(Ticket).scalar_subquery()
    )
    held = aliased(Dispatch, name="held_before")
    holder = aliased(Department, name="holder_before")
    returned_by = (
        select(holder.short_name)
        .join(held, held.department_id == holder.id)
        .where(held.ticket_id == Ticket.id, held.ending == Ending.SENT_BACK)
        .order_by(held.id.desc())
        .limit(1)
        .correlate(Ticket)
        .scalar_subquery()
    )
    return (
        select(Ticket, Category.path, Region.path, Region.code, Suggestion, returned_by)
        .join(Category, Category.id == Ticket.category_id, isouter=True)
        .join(Region, Region.id == Ticket.region_id, isouter=True)
        .join(Suggestion, Suggestion.id == newest, isouter=True)
        .where(_WAITING, visible_to(actor))
    )


def _waiting_row(row: Any) -> WaitingTicket:  # noqa: ANN401 - the columns of the select above
    ticket, category, region, region_code, suggestion, returned_by = row
    return WaitingTicket(
        id=ticket.id,
        number=ticket.number,
        version=ticket.version,
        kind=ticket.kind,
        channel=ticket.channel,
        request_type=ticket.request_type,
        urgency=ticket.urgency,
        title=ticket.title,
        content=ticket.content,
        place=ticket.place,
        category=category or "",
        category_id=ticket.category_id,
        region_id=ticket.region_id,
        region=region or "",
        region_code=region_code or "",
        registered_at=ticket.registered_at,
        repeats=ticket.repeats,
        confidential=ticket.confidential,
        flags=tuple(ticket.flags),
        returned=ticket.returned,
        returned_by=returned_by or "",
        suggestion=suggestion,
    )


def _rank(urgency: Urgency) -> int:
    return list(Urgency).index(urgency)


@dataclass(frozen=True, kw_only=True)
class Due:
    """How much a department has overdue and due before the local day ends."""

    overdue: int
    today: int


def of_caller(session: Session, actor: Actor, fingerprint: bytes, *, now: datetime, limit: int = 30) -> list[TicketRow]:
    """Return the newest tickets of one caller that a person may see, found by the fingerprint of the number."""
    query = _filtered(ListFilter(), now=now).where(Ticket.phone_index == fingerprint, or_(*_scopes(actor)))
    return [_row(*row) for row in session.execute(query.order_by(Ticket.id.desc()).limit(min(limit, MOST_ROWS)))]


def due_by_department(session: Session, *, now: datetime) -> dict[int, Due]:
    """Return, by department, what it holds overdue and what is due today; reads the index of the desks only."""
    tonight = end_of_day(now)
    rows = session.execute(
        select(
            Dispatch.department_id,
            func.count().filter(Dispatch.due_at < now),
            func.count().filter(Dispatch.due_at >= now),
        )
        .where(
            Dispatch.is_current,
            Dispatch.answered_at.is_(None),
            Dispatch.ended_at.is_(None),
            Dispatch.due_at < tonight,
        )
        .group_by(Dispatch.department_id)
    )
    return {department_id: Due(overdue=overdue, today=today) for department_id, overdue, today in rows}


def in_hand(
    session: Session,
    actor: Actor,
    *,
    signed: bool,
    department_id: int | None = None,
    cursor: str = "",
    limit: int = 30,
) -> TicketPage:
    """Return what the person's departments have to sign for, or to answer, in order of the deadline, by keyset.

    Raises `Invalid` for a cursor that is not one of ours.
    """
    held = (
        Dispatch.is_current,
        Dispatch.answered_at.is_(None),
        Dispatch.ended_at.is_(None),
        Dispatch.signed_at.is_not(None) if signed else Dispatch.signed_at.is_(None),
    )
    return _desk(session, actor, held, department_id=department_id, by_due=True, cursor=cursor, limit=limit)


def answered_by(
    session: Session, actor: Actor, *, department_id: int | None = None, cursor: str = "", limit: int = 30
) -> TicketPage:
    """Return what the person's departments answered last and was not sent back since, the newest ticket first."""
    held = (Dispatch.is_current, Dispatch.answered_at.is_not(None))
    return _desk(session, actor, held, department_id=department_id, by_due=False, cursor=cursor, limit=limit)


def _desk(
    session: Session,
    actor: Actor,
    held: Sequence[Any],
    *,
    department_id: int | None,
    by_due: bool,
    cursor: str,
    limit: int,
) -> TicketPage:
    # The page is found among the dispatches alone, from the index of the desk; only its rows are then joined.
    limit = min(limit, MOST_ROWS)
    backwards, key = _parse_cursor(cursor, by_due=by_due)
    mine = actor.department_ids if department_id is None else actor.department_ids & {department_id}
    found = select(Dispatch.id).where(Dispatch.department_id.in_(sorted(mine)), *held)
    place = tuple_(Dispatch.due_at, Dispatch.ticket_id) if by_due else tuple_(Dispatch.ticket_id)
    rising = by_due is not backwards
    if key is not None:
        here = tuple_(literal(key[0]), literal(key[1], BigInteger)) if by_due else tuple_(literal(key[1], BigInteger))
        found = found.where(place > here if rising else place < here)
    columns: tuple[Any, ...] = (Dispatch.due_at, Dispatch.ticket_id) if by_due else (Dispatch.ticket_id,)
    order = [column.asc() if rising else column.desc() for column in columns]
    chosen = found.order_by(*order).limit(limit + 1)
    rows = session.execute(
        select(
            Ticket,
            Category.path,
            Department.short_name,
            Department.id,
            Dispatch.sign_due_at,
            Dispatch.signed_at,
            Dispatch.suspended_until,
        )
        .select_from(Dispatch)
        .join(Ticket, Ticket.id == Dispatch.ticket_id)
        .join(Department, Department.id == Dispatch.department_id)
        .join(Category, Category.id == Ticket.category_id, isouter=True)
        .where(Dispatch.id.in_(chosen))
        .order_by(*order)
    )
    read = [_row(*row) for row in rows]
    more, page = len(read) > limit, read[:limit]
    if backwards:
        page.reverse()
    if not page:
        return TicketPage(rows=())
    has_next, has_previous = (True, more) if backwards else (more, key is not None)
    return TicketPage(
        rows=page,
        next_cursor=_cursor("n", page[-1], by_due=by_due) if has_next else "",
        previous_cursor=_cursor("p", page[0], by_due=by_due) if has_previous else "",
    )


def place_names(session: Session, ticket: Ticket) -> tuple[str, str]:
    """Return the paths of a ticket's category and of its region, empty where it has none."""
    category = select(Category.path).where(Category.id == ticket.category_id).scalar_subquery()
    region = select(Region.path).where(Region.id == ticket.region_id).scalar_subquery()
    found = session.execute(select(func.coalesce(category, ""), func.coalesce(region, ""))).one()
    return str(found[0]), str(found[1])


def tickets_by_id(session: Session, actor: Actor, ids: Iterable[int]) -> Sequence[Ticket]:
    """Return those of these tickets that the person may see, in order."""
    return session.scalars(
        select(Ticket).where(Ticket.id.in_(list(ids)), visible_to(actor)).order_by(Ticket.id).limit(MOST_ROWS)
    ).all()


def tickets_where(
    session: Session,
    actor: Actor,
    condition: ColumnElement[bool],
    *,
    now: datetime,
    cursor: str = "",
    limit: int = 30,
) -> TicketPage:
    """Return the tickets a person may see that fulfil a report's condition, the newest first, by keyset.

    The condition speaks of the ticket and of its current dispatch. Raises `Invalid` for a cursor that is not ours.
    """
    limit = min(limit, MOST_ROWS)
    backwards, key = _parse_cursor(cursor, by_due=False)
    query = _filtered(ListFilter(), now=now).where(condition, or_(*_scopes(actor)))
    if key is not None:
        query = query.where(Ticket.id > key[1] if backwards else Ticket.id < key[1])
    order = Ticket.id.asc() if backwards else Ticket.id.desc()
    found = [_row(*row) for row in session.execute(query.order_by(order).limit(limit + 1))]
    more, rows = len(found) > limit, found[:limit]
    if backwards:
        rows.reverse()
    if not rows:
        return TicketPage(rows=())
    has_next, has_previous = (True, more) if backwards else (more, key is not None)
    return TicketPage(
        rows=rows,
        next_cursor=_cursor("n", rows[-1], by_due=False) if has_next else "",
        previous_cursor=_cursor("p", rows[0], by_due=False) if has_previous else "",
    )


def returns_of(session: Session, ticket_ids: Iterable[int]) -> dict[int, int]:
    """Return, for each of these tickets that was sent back, how often it was."""
    rows = session.execute(
        select(Ticket.id, Ticket.returned).where(Ticket.id.in_(list(ticket_ids)), Ticket.returned > 0)
    )
    return {ticket_id: name for ticket_id, name in rows}  # noqa: C416 - dict() does not see that a row is a pair


def department(session: Session, department_id: int) -> Department:
    """Return one department, or `NotFound`."""
    found = session.get(Department, department_id)
    if found is None:
        raise NotFound
    return found


def entered_for(session: Session, user_id: int) -> frozenset[int]:
    """Return exactly the departments that a user is entered for, without what lies below them."""
    return frozenset(session.scalars(select(Membership.department_id).where(Membership.user_id == user_id)))


def tickets_numbered(session: Session, actor: Actor, numbers: Iterable[str]) -> dict[str, int]:
    """Return the ids of those of these numbers that the person may see."""
    rows = session.execute(
        select(Ticket.number, Ticket.id).where(Ticket.number.in_(list(numbers)), visible_to(actor)).limit(500)
    )
    return {number: ticket_id for number, ticket_id in rows}  # noqa: C416 - dict() does not see that a row is a pair
