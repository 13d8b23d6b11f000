"""Reads of callbacks and reviews."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from callbacks.models import BadReview, Callback, CallbackAttempt, CitizenRating
from callbacks.policy import Verdict
from hotline.core.errors import NotFound
from hotline.core.permissions import Actor
from hotline.people.models import User
from hotline.tickets.models import Category, JournalEntry, Ticket
from hotline.tickets.states import HANDLING
from hotline.tickets.vocabulary import Kind, RequestType, Urgency
from routing.models import Department, Dispatch

#: A callback that somebody opened is his for this long.
CLAIM_LASTS: Final = timedelta(minutes=30)


@dataclass(frozen=True, kw_only=True)
class CallbackRow:
    """One line of the callback queue."""

    id: int
    version: int
    ticket_id: int
    number: str
    title: str
    kind: Kind
    request_type: RequestType
    urgency: Urgency
    category: str
    department: str
    round: int
    planned_at: datetime
    attempts: int
    priority: int
    answered_at: datetime | None
    phone_masked: str
    name_masked: str
    anonymous: bool
    claimed_by: str = ""
    claimed_by_id: int | None = None
    verdict: Verdict | None = None
    done_at: datetime | None = None
    done_by: str = ""
    attempts_made: Sequence[CallbackAttempt] = field(default_factory=tuple)


def waiting(
    session: Session, actor: Actor, *, now: datetime, after: tuple[int, datetime, int] | None = None, limit: int = 30
) -> Sequence[CallbackRow]:
    """Return whom to ring next, without those whom this person must not ring (domain.md 3.2).

    Priority first, then the planned time; `after` is (priority, planned_at, id) of the last line seen.
    """
    query = _rows().where(Callback.done_at.is_(None))
    if after is not None:
        priority, planned_at, callback_id = after
        query = query.where(
            or_(
                Callback.priority < priority,
                and_(Callback.priority == priority, Callback.planned_at > planned_at),
                and_(Callback.priority == priority, Callback.planned_at == planned_at, Callback.id > callback_id),
            )
        )
    if actor.user_id is not None:
        query = query.where(
            ~select(JournalEntry.id)
            .where(
                JournalEntry.ticket_id == Callback.ticket_id,
                JournalEntry.by_id == actor.user_id,
                JournalEntry.act.in_(list(HANDLING)),
            )
            .exists()
        )
    if actor.department_ids:
        query = query.where(
            ~select(Dispatch.id)
            .where(Dispatch.ticket_id == Callback.ticket_id, Dispatch.department_id.in_(actor.department_ids))
            .correlate(Callback)
            .exists()
        )
    query = query.where(
        or_(
            Callback.claimed_by.is_(None),
            Callback.claimed_by == (actor.user_id or -1),
            Callback.claimed_at < now - CLAIM_LASTS,
        )
    )
    query = query.order_by(Callback.priority.desc(), Callback.planned_at, Callback.id).limit(min(limit, 100))
    return [_row(*row) for row in session.execute(query)]


def finished(session: Session, *, before: datetime | None = None, limit: int = 30) -> Sequence[CallbackRow]:
    """Return the newest results, those done before `before`."""
    query = _rows().where(Callback.done_at.is_not(None))
    if before is not None:
        query = query.where(Callback.done_at < before)
    query = query.order_by(Callback.done_at.desc()).limit(min(limit, 100))
    return [_row(*row) for row in session.execute(query)]


def of_ticket(session: Session, ticket_id: int) -> Sequence[CallbackRow]:
    """Return every callback of a ticket in order, with its attempts."""
    rows = [
        _row(*row)
        for row in session.execute(_rows().where(Callback.ticket_id == ticket_id).order_by(Callback.id).limit(50))
    ]
    attempts: dict[int, list[CallbackAttempt]] = {}
    for attempt in session.scalars(
        select(CallbackAttempt)
        .where(CallbackAttempt.callback_id.in_([row.id for row in rows]))
        .order_by(CallbackAttempt.id)
        .limit(500)
    ):
        attempts.setdefault(attempt.callback_id, []).append(attempt)
    return [CallbackRow(**{**row.__dict__, "attempts_made": tuple(attempts.get(row.id, ()))}) for row in rows]


def callback(session: Session, callback_id: int) -> Callback:
    """Return one callback, or `NotFound`."""
    row = session.get(Callback, callback_id)
    if row is None:
        raise NotFound
    return row


def open_callback(session: Session, ticket_id: int) -> Callback | None:
    """Return the callback that a ticket waits for."""
    return session.scalars(select(Callback).where(Callback.ticket_id == ticket_id, Callback.done_at.is_(None))).first()


def rating(session: Session, *, ticket_id: int, round_: int) -> CitizenRating | None:
    """Return what the citizen himself said of this round."""
    return session.scalars(
        select(CitizenRating).where(CitizenRating.ticket_id == ticket_id, CitizenRating.round == round_)
    ).first()


def bad_review(session: Session, ticket_id: int) -> BadReview | None:
    """Return what is known of a bad review's ticket."""
    return session.get(BadReview, ticket_id)


def _rows() -> Any:  # noqa: ANN401 - a select of six columns has no readable type
    claimer, doer = User.__table__.alias("claimer"), User.__table__.alias("doer")
    return (
        select(Callback, Ticket, Category.path, Department.short_name, claimer.c.display_name, doer.c.display_name)
        .join(Ticket, Ticket.id == Callback.ticket_id)
        .join(Dispatch, Dispatch.id == Callback.dispatch_id)
        .join(Department, Department.id == Dispatch.department_id)
        .join(Category, Category.id == Ticket.category_id, isouter=True)
        .join(claimer, claimer.c.id == Callback.claimed_by, isouter=True)
        .join(doer, doer.c.id == Callback.done_by, isouter=True)
    )


def _row(  # noqa: PLR0917 - the columns of the select above
    callback: Callback, ticket: Ticket, category: str | None, department: str, claimer: str | None, doer: str | None
) -> CallbackRow:
    return CallbackRow(
        id=callback.id,
        version=callback.version,
        ticket_id=ticket.id,
        number=ticket.number,
        title=ticket.title,
        kind=ticket.kind,
        request_type=ticket.request_type,
        urgency=ticket.urgency,
        category=category or "",
        department=department,
        round=callback.round,
        planned_at=callback.planned_at,
        attempts=callback.attempts,
        priority=callback.priority,
        answered_at=ticket.answered_at,
        phone_masked=ticket.phone_masked,
        name_masked=ticket.name_masked,
        anonymous=ticket.anonymous,
        claimed_by=claimer or "",
        claimed_by_id=callback.claimed_by,
        verdict=callback.verdict,
        done_at=callback.done_at,
        done_by=doer or "",
    )


def ratings_of(session: Session, ticket_id: int) -> Sequence[CitizenRating]:
    """Return what the citizen himself said, round by round."""
    return session.scalars(
        select(CitizenRating).where(CitizenRating.ticket_id == ticket_id).order_by(CitizenRating.id).limit(50)
    ).all()
