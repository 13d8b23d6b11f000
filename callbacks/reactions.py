"""When something happened downstairs: callbacks."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from callbacks import actions
from hotline.tickets.models import Ticket
from routing.events import TicketAnswered


def plan_callback(session: Session, event: TicketAnswered) -> None:
    """Every answered ticket waits for its callback from the same instant on; what a reader passes must be callable."""
    if event.at:
        actions.let_pass(session, ticket_id=event.ticket_id)
    ticket = session.get_one(Ticket, event.ticket_id)
    assert ticket.answered_at is not None  # noqa: S101 - the map set it in this transaction
    actions.plan_callback(
        session,
        ticket_id=event.ticket_id,
        dispatch_id=event.dispatch_id,
        round_=event.round,
        now=datetime.fromisoformat(event.at) if event.at else ticket.answered_at,
    )
