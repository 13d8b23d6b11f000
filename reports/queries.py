"""Reads the facts that indicators count."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from callbacks.models import BadReview, Callback
from callbacks.policy import Verdict
from hotline.tickets.models import Ticket
from hotline.tickets.vocabulary import Kind
from reports.indicators import Reach, ReviewFact
from routing.models import Dispatch

#: A callback belongs into the three days after its planned time (domain.md 3.3: three attempts within three days).
CALL_WITHIN: Final = timedelta(days=3)


def review_facts(session: Session, *, since: datetime) -> Sequence[ReviewFact]:
    """Return the facts of every bad review that came in since then, the newest first.

    The citizen of a review that its unit has not answered is to be called after the unit's limit.
    """
    reached = (
        select(
            Callback.ticket_id,
            func.max(Callback.planned_at).label("planned_at"),
            func.max(
                case(
                    (Callback.verdict.in_([Verdict.CLOSE, Verdict.REWORK]), 2),
                    (Callback.done_at.is_not(None), 1),
                    else_=0,
                )
            ).label("reach"),
        )
        .join(BadReview, BadReview.ticket_id == Callback.ticket_id)
        .group_by(Callback.ticket_id)
        .subquery()
    )
    first_due = (
        select(func.min(Dispatch.due_at)).where(Dispatch.ticket_id == Ticket.id, Dispatch.round == 0).scalar_subquery()
    )
    rows = session.execute(
        select(
            BadReview.real_name,
            BadReview.verdict,
            BadReview.rectified_at,
            first_due,
            reached.c.planned_at,
            reached.c.reach,
        )
        .join(Ticket, Ticket.id == BadReview.ticket_id)
        .join(reached, reached.c.ticket_id == Ticket.id, isouter=True)
        .where(Ticket.kind == Kind.BAD_REVIEW, Ticket.registered_at >= since)
        .order_by(Ticket.id.desc())
    )
    steps = list(Reach)
    return [
        ReviewFact(
            real_name=real_name,
            verdict=verdict,
            rectify_by=due_at,
            rectified_at=rectified_at,
            call_by=(planned_at or due_at) + CALL_WITHIN if planned_at or due_at else None,
            reach=steps[reach or 0],
        )
        for real_name, verdict, rectified_at, due_at, planned_at, reach in rows
    ]
