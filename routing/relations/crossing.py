"""What crossed between the hotline and other lines, for the linkage desk and the ticket's page (domain.md 2.13)."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from hotline.core.errors import NotFound
from hotline.core.paging import Stretch, by_key
from hotline.core.permissions import Actor
from hotline.tickets.models import Ticket
from hotline.tickets.transfer_models import Direction, Transfer
from hotline.tickets.transfers import numbered
from routing.queries import visible_to


def unsettled(
    session: Session, by: Actor, *, direction: Direction, cursor: str = "", limit: int = 30
) -> Stretch[tuple[Transfer, Ticket]]:
    """Return what crossed and has no final owner yet, the oldest first, by keyset."""
    query = (
        select(Transfer, Ticket)
        .join(Ticket, Ticket.id == Transfer.ticket_id)
        .where(Transfer.settled_at.is_(None), Transfer.direction == direction, visible_to(by))
    )
    return by_key(
        session,
        query,
        column=Transfer.id,
        cursor=cursor,
        limit=limit,
        made=lambda transfer, ticket: (transfer, ticket),
        key=lambda pair: pair[0].id,
    )


def numbers_under(session: Session, by: Actor, number: str) -> list[str]:
    """Return the numbers of the tickets that this person may see under a number of another line, the newest first."""
    ids = [ticket.id for _, ticket in numbered(session, number)]
    if not ids:
        return []
    rows = session.scalars(select(Ticket.number).where(Ticket.id.in_(ids), visible_to(by)).order_by(Ticket.id.desc()))
    return list(dict.fromkeys(rows))


def one(session: Session, *, ticket_id: int, transfer_id: int) -> Transfer:
    """Return one crossing of a ticket, or `NotFound`."""
    row = session.get(Transfer, transfer_id)
    if row is None or row.ticket_id != ticket_id:
        raise NotFound
    return row
