"""When something happened downstairs: routing."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from hotline.tickets import transfers
from hotline.tickets.events import TicketAmended, TicketClosed
from hotline.tickets.models import Ticket
from hotline.tickets.states import Outcome
from hotline.tickets.vocabulary import Channel
from routing import actions, queries
from routing.clocks import adjusting
from routing.duty import disputing
from routing.events import TicketAnswered
from routing.learning import labels
from routing.relations import joining as relations


def end_dispatch(session: Session, event: TicketClosed) -> None:
    """Take a closed ticket out of everybody's hands, from the same instant on."""
    ticket = session.get_one(Ticket, event.ticket_id)
    assert ticket.closed_at is not None  # noqa: S101 - the map set it in this transaction
    left = actions.end_dispatch(
        session,
        ticket_id=event.ticket_id,
        withdrawn=event.outcome == Outcome.WITHDRAWN.value,
        now=ticket.closed_at,
    )
    if left.return_asked:
        disputing.lapse(session, ticket_id=event.ticket_id, now=ticket.closed_at)
    if event.outcome == Outcome.WITHDRAWN.value:
        disputing.lapse_dispute(session, ticket_id=event.ticket_id, now=ticket.closed_at)
    if left.related:
        relations.closed(session, ticket, outcome=Outcome(event.outcome), now=ticket.closed_at)
    if ticket.channel is Channel.POLICE_110:
        _tell_who_handled(session, ticket, now=ticket.closed_at)


def _tell_who_handled(session: Session, ticket: Ticket, *, now: datetime) -> None:
    """Whoever handed the matter over can ask who handled it, and how (domain.md 2.13)."""
    sent = queries.dispatches_of(session, ticket.id)
    answer = sent[-1].answer if sent else None
    transfers.close_incoming(
        session,
        ticket,
        holder=sent[-1].department if sent else "",
        reply=answer.public_answer if answer else ticket.closing_words,
        now=now,
    )


def pass_answer_on(session: Session, event: TicketAnswered) -> None:
    """Let those who are answered with this ticket get its answer (domain.md 1.7 c)."""
    if event.members_wait is not False:
        relations.pass_on(session, ticket_id=event.ticket_id, dispatch_id=event.dispatch_id)


def keep_corrected_labels(session: Session, event: TicketAmended) -> None:
    """Keep a corrected classification as an example for the model."""
    labels.amended(
        session,
        session.get_one(Ticket, event.ticket_id),
        fields=event.fields,
        by_id=event.by_id,
        now=datetime.fromisoformat(event.at),
    )


def follow_amendment(session: Session, event: TicketAmended) -> None:
    """Another type or urgency is another limit, from the same start (domain.md 2.5)."""
    if {"request_type", "urgency"} & set(event.fields):
        adjusting.follow_amendment(
            session, ticket_id=event.ticket_id, by_id=event.by_id, now=datetime.fromisoformat(event.at)
        )
