"""Lists of tickets, each scoped by `visible_to`, by keyset and bounded: the query, the desks, a caller's tickets."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    String,
    and_,
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
from sqlalchemy.sql import ColumnElement, FromClause, Select

from hotline.core.clock import end_of_day
from hotline.core.errors import Invalid
from hotline.core.permissions import Actor, Permission
from hotline.core.text import quoted, search_words
from hotline.tickets.models import Category, Ticket, TicketSearch
from hotline.tickets.states import Outcome, State
from hotline.tickets.vocabulary import Channel, Kind, RequestType, Urgency
from routing.answers.part_models import PartKind, Subtask
from routing.models import (
    Department,
    Dispatch,
)
from routing.queries import MOST_ROWS, visible_to

#: Tickets that a search for several words looks at one by one before it asks the index for all that match.
NEAREST: Final = 20_000
_SEARCH: Final[FromClause] = TicketSearch.__table__
_ONE_DAY: Final = timedelta(days=1)


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
    #: When a declared day or an edition moved the deadline last, and where it was before.
    moved_at: datetime | None = None
    moved_from: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class TicketPage:
    """One page of a list and how to turn it."""

    rows: Sequence[TicketRow]
    next_cursor: str = ""
    previous_cursor: str = ""


def ticket_list(
    session: Session, actor: Actor, wanted: ListFilter, *, now: datetime, cursor: str = "", limit: int = 30
) -> TicketPage:
    """Return one page of the tickets a person may see, by keyset in both directions.

    Raises `Invalid` for a cursor that is not one of ours.
    """
    limit = min(limit, MOST_ROWS)
    by_due = wanted.order == "due"
    backwards, key = _parse_cursor(cursor, by_due=by_due)
    # Words that go together look rare to the database: it would gather every match before it sorts them. Where the page
    # fills up among the nearest tickets there is no need to; where it does not, there are few matches to gather.
    several = not by_due and len(search_words(wanted.words)) > 1
    nearest = _nearest(key[1] if key else None, backwards=backwards) if several else None
    page = _Page(wanted=wanted, by_due=by_due, backwards=backwards, key=key, limit=limit)
    found = _found(session, actor, page, now=now, among=nearest) if nearest is not None else []
    if len(found) <= limit:
        found = _found(session, actor, page, now=now, among=_SEARCH)
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


@dataclass(frozen=True, kw_only=True)
class _Page:
    """Which page of which list is asked for."""

    wanted: ListFilter
    by_due: bool
    backwards: bool
    key: tuple[datetime | None, int] | None
    limit: int


def _nearest(key: int | None, *, backwards: bool) -> FromClause:
    """Return the search rows nearest to a page's edge, in its order; they are read one by one until it is full."""
    number = TicketSearch.ticket_id
    query = select(number, TicketSearch.words)
    if backwards:
        edge = key or 0
        query = query.where(number > edge, number <= edge + NEAREST).order_by(number)
    else:
        newest = select(func.max(TicketSearch.ticket_id) + 1).scalar_subquery()
        end = literal(key, BigInteger) if key is not None else newest
        query = query.where(number < end, number >= end - NEAREST).order_by(number.desc())
    # The offset keeps the database from looking for the words first.
    return query.offset(literal_column("0")).subquery("nearest")


def _found(session: Session, actor: Actor, page: _Page, *, now: datetime, among: FromClause) -> list[TicketRow]:
    """Return one row more than the page holds, if there are that many, in the order of the question."""
    wanted, by_due, backwards, key, limit = page.wanted, page.by_due, page.backwards, page.key, page.limit
    query = _filtered(wanted, now=now, among=among)
    if by_due:
        query = query.where(Ticket.due_at.is_not(None))
        if key is not None:
            at, ticket_id = key
            later = or_(Ticket.due_at > at, and_(Ticket.due_at == at, Ticket.id > ticket_id))
            earlier = or_(Ticket.due_at < at, and_(Ticket.due_at == at, Ticket.id < ticket_id))
            query = query.where(earlier if backwards else later)
        order = (Ticket.due_at.desc(), Ticket.id.desc()) if backwards else (Ticket.due_at.asc(), Ticket.id.asc())
    else:
        column: Any = among.c.ticket_id if wanted.words.strip() else Ticket.id
        if key is not None:
            query = query.where(column > key[1] if backwards else column < key[1])
        order = (column.asc(),) if backwards else (column.desc(),)  # type: ignore[assignment]
    query = query.order_by(*order).limit(limit + 1)
    found: list[TicketRow] = []
    for scope in _scopes(actor):
        seen = {row.id for row in found}
        found += [_row(*row) for row in session.execute(query.where(scope)) if row[0].id not in seen]
    found.sort(key=lambda row: (row.due_at or now if by_due else now, row.id), reverse=backwards is by_due)
    return found


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


def _filtered(  # noqa: C901 - one line per filter
    wanted: ListFilter, *, now: datetime, among: FromClause = _SEARCH
) -> Any:  # noqa: ANN401 - a select of nine columns has no readable type
    query: Any = select(
        Ticket,
        Category.path,
        Department.short_name,
        Department.id,
        Dispatch.sign_due_at,
        Dispatch.signed_at,
        Dispatch.suspended_until,
        Dispatch.moved_at,
        Dispatch.moved_from,
    )
    if wanted.words.strip():
        words = search_words(wanted.words)
        if not words:
            raise Invalid({"words": "请至少输入两个字进行搜索。"})
        asked = cast(literal(" & ".join(quoted(word) for word in words), String), TSQUERY)
        query = query.select_from(among).join(Ticket, Ticket.id == among.c.ticket_id)
        query = query.where(among.c.words.op("@@")(asked))
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
    moved_at: datetime | None,
    moved_from: datetime | None,
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
        moved_at=moved_at,
        moved_from=moved_from,
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
            Dispatch.moved_at,
            Dispatch.moved_from,
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
