"""The dispatcher's queue: what waits for a person, with the model's word, and what went out by itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Integer,
    func,
    literal,
    literal_column,
    select,
    tuple_,
)
from sqlalchemy.orm import Session, aliased

from hotline.core.paging import Stretch, instant, microseconds, parse_pair, turned
from hotline.core.permissions import Actor
from hotline.tickets.models import Category, Region, Ticket
from hotline.tickets.states import State
from hotline.tickets.vocabulary import Channel, Kind, RequestType, Urgency
from routing.lists import _below
from routing.models import (
    Department,
    Dispatch,
    Ending,
    Suggestion,
)
from routing.queries import MOST_ROWS, visible_to

# What is answered with another ticket (routing.relations.joining) waits for that one and not for a dispatcher.
_WAITING: Final = literal_column(
    "tickets.state = 'registered' AND NOT EXISTS ("
    "SELECT FROM merges WHERE merges.ticket_id = tickets.id AND merges.answered_at IS NULL)",
    Boolean,
)


#: The dispatcher's order: the most urgent first. A literal, so that a partial index of the same words can serve it.
_RANK: Final = literal_column("CASE tickets.urgency WHEN '特急' THEN 0 WHEN '紧急' THEN 1 ELSE 2 END", Integer)


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
    service_item: str
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


def dispatch_queue(
    session: Session,
    actor: Actor,
    *,
    category_id: int | None = None,
    urgency: Urgency | None = None,
    cursor: str = "",
    limit: int = 20,
) -> Stretch[WaitingTicket]:
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
    return turned(
        found, limit, backwards=backwards, started=key is not None, name=lambda row: f"{_rank(row.urgency)}|{row.id}"
    )


def waiting_tickets(session: Session, actor: Actor, ids: Iterable[int]) -> dict[int, WaitingTicket]:
    """Return those of these tickets that still wait for a dispatcher."""
    query = _waiting(actor).where(Ticket.id.in_(list(ids))).order_by(_RANK, Ticket.id)
    return {row.id: row for row in map(_waiting_row, session.execute(query))}


def automatic_since(
    session: Session, actor: Actor, *, since: datetime, cursor: str = "", limit: int = 30
) -> Stretch[AutomaticRow]:
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
    return turned(
        found,
        limit,
        backwards=backwards,
        started=key is not None,
        name=lambda row: f"{microseconds(row.sent_at)}|{row.dispatch_id}",
    )


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
        service_item=ticket.service_item or "",
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
