"""Reads of the question whose duty a ticket is: returns that wait, and what was returned before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, bindparam, func, literal, select, tuple_
from sqlalchemy.orm import Session, aliased

from hotline.core.errors import NotFound
from hotline.core.paging import Stretch, instant, microseconds, parse_pair, turned
from hotline.core.permissions import Actor
from hotline.people.models import User
from hotline.tickets.models import Category, Ticket
from hotline.tickets.vocabulary import Urgency
from routing.duty.models import Dispute, DisputeParty, Return, Ruling
from routing.duty.rules import ReturnReason, ReturnState, RulingState
from routing.models import Department, Dispatch
from routing.queries import visible_to

MOST_ROWS: Final = 100


@dataclass(frozen=True, kw_only=True)
class ReturnView:
    """One return with the names that a person reads."""

    id: int
    ticket_id: int
    dispatch_id: int
    number: str
    title: str
    place: str
    category: str
    urgency: Urgency
    state: ReturnState
    department_id: int
    department: str
    reason: ReturnReason
    words: str
    basis: str
    suggested_id: int | None
    suggested: str
    suggested_active: bool
    asked_by: str
    asked_at: datetime
    decide_due_at: datetime
    decide_steps: Sequence[str]
    decided_by: str
    decided_at: datetime | None
    decision: str
    sent_to: str
    #: The unit's own clock, which runs on while the return is open, and the citizen's, where it is another one.
    due_at: datetime
    total_due_at: datetime | None
    signed_at: datetime | None
    #: How often units have given this ticket back already.
    returned: int
    rework_rounds: int
    confidential: bool


def returns_waiting(session: Session, actor: Actor, *, cursor: str = "", limit: int = 20) -> Stretch[ReturnView]:
    """Return what the hotline must rule on, the next limit first, by keyset in both directions.

    Raises `Invalid` for a cursor that is not one of ours.
    """
    limit = min(limit, MOST_ROWS)
    backwards, key = parse_pair(cursor)
    query = _returns(actor).where(Return.state == ReturnState.OPEN)
    if key is not None:
        here = tuple_(Return.decide_due_at, Return.id)
        there = tuple_(literal(instant(key[0])), literal(key[1], BigInteger))
        query = query.where(here < there if backwards else here > there)
    order = (
        (Return.decide_due_at.desc(), Return.id.desc()) if backwards else (Return.decide_due_at.asc(), Return.id.asc())
    )
    found = [_view(row) for row in session.execute(query.order_by(*order).limit(limit + 1))]
    return turned(
        found,
        limit,
        backwards=backwards,
        started=key is not None,
        name=lambda row: f"{microseconds(row.decide_due_at)}|{row.id}",
    )


def returns_open(session: Session, *, most: int = 1_000) -> int:
    """Return how many returns wait, counted no further than `most`; the index of the queue holds only these."""
    rows = select(Return.id).where(Return.state == ReturnState.OPEN).limit(most).subquery()
    return int(session.scalar(select(func.count()).select_from(rows)) or 0)


def returns_of_ticket(session: Session, ticket_id: int) -> Sequence[ReturnView]:
    """Return everything that was returned of a ticket, the oldest first; the caller has made sure that it is his."""
    query = _returns(None).where(Return.ticket_id == ticket_id).order_by(Return.id).limit(MOST_ROWS)
    return [_view(row) for row in session.execute(query)]


def return_for(session: Session, actor: Actor, return_id: int) -> ReturnView:
    """Return one return of a ticket that the person may see; otherwise `NotFound`."""
    row = session.execute(_returns(actor).where(Return.id == return_id)).first()
    if row is None:
        raise NotFound
    return _view(row)


_OPEN: Final = select(Return).where(Return.ticket_id == bindparam("of_ticket"), Return.state == ReturnState.OPEN)


def open_return(session: Session, ticket_id: int) -> Return | None:
    """Return the return of this ticket that waits for the hotline, if there is one."""
    return session.scalars(_OPEN, {"of_ticket": ticket_id}).first()


def refused_reasons(session: Session, *, ticket_id: int, department_ids: frozenset[int]) -> frozenset[ReturnReason]:
    """Return the reasons for which these units may not return this ticket again."""
    return frozenset(
        session.scalars(
            select(Return.reason).where(
                Return.ticket_id == ticket_id,
                Return.department_id.in_(department_ids),
                Return.state == ReturnState.REFUSED,
            )
        )
    )


def belongs_to(session: Session, *, user_id: int, department_id: int) -> bool:
    """Tell whether a person works for this unit, for one above it or for one below it; the database's own function."""
    return bool(session.scalar(select(func.belongs_to(user_id, department_id))))


def party_ids(session: Session, dispute_id: int) -> frozenset[int]:
    """Return the units that are heard in a dispute."""
    return frozenset(session.scalars(select(DisputeParty.department_id).where(DisputeParty.dispute_id == dispute_id)))


def department_names(session: Session, ids: Iterable[int]) -> dict[int, str]:
    """Return the names of these departments."""
    rows = session.execute(select(Department.id, Department.name).where(Department.id.in_(list(ids))))
    return {department_id: name for department_id, name in rows}  # noqa: C416 - dict() does not see that a row is a pair


def bound_lead(session: Session, ticket_id: int) -> int | None:
    """Return the department that a ruling in force names as this ticket's lead, if there is one."""
    return session.scalar(
        select(Ruling.lead_id)
        .join(Dispute, Dispute.id == Ruling.dispute_id)
        .where(Dispute.ticket_id == ticket_id, Ruling.state == RulingState.IN_FORCE)
        .order_by(Ruling.id.desc())
        .limit(1)
    )


def _returns(actor: Actor | None) -> Any:  # noqa: ANN401 - a select of nine columns has no readable type
    unit, suggested, sent_to = aliased(Department), aliased(Department), aliased(Department)
    asker, decider = aliased(User), aliased(User)
    query = (
        select(
            Return,
            Ticket,
            Dispatch,
            Category.path,
            unit.name,
            suggested,
            sent_to.name,
            asker.display_name,
            decider.display_name,
        )
        .join(Ticket, Ticket.id == Return.ticket_id)
        .join(Dispatch, Dispatch.id == Return.dispatch_id)
        .join(unit, unit.id == Return.department_id)
        .join(Category, Category.id == Ticket.category_id, isouter=True)
        .join(suggested, suggested.id == Return.suggested_id, isouter=True)
        .join(sent_to, sent_to.id == Return.sent_to_id, isouter=True)
        .join(asker, asker.id == Return.asked_by, isouter=True)
        .join(decider, decider.id == Return.decided_by, isouter=True)
    )
    return query if actor is None else query.where(visible_to(actor))


def _view(row: Any) -> ReturnView:  # noqa: ANN401 - the columns of the select above
    found, ticket, sent, category, unit, suggested, sent_to, asker, decider = row
    total = sent.steps.get("total", {}).get("due")
    return ReturnView(
        id=found.id,
        ticket_id=ticket.id,
        dispatch_id=sent.id,
        number=ticket.number,
        title=ticket.title,
        place=ticket.place,
        category=category or "",
        urgency=ticket.urgency,
        state=found.state,
        department_id=found.department_id,
        department=unit,
        reason=found.reason,
        words=found.words,
        basis=found.basis,
        suggested_id=found.suggested_id,
        suggested=suggested.name if suggested else "",
        suggested_active=bool(suggested and suggested.active),
        asked_by=asker or "",
        asked_at=found.asked_at,
        decide_due_at=found.decide_due_at,
        decide_steps=tuple(str(step) for step in found.decide_steps),
        decided_by=decider or "",
        decided_at=found.decided_at,
        decision=found.decision,
        sent_to=sent_to or "",
        due_at=sent.due_at,
        total_due_at=datetime.fromisoformat(total) if total else None,
        signed_at=sent.signed_at,
        returned=ticket.returned,
        rework_rounds=ticket.rework_rounds,
        confidential=ticket.confidential,
    )
