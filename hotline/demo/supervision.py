"""Lets the demonstration city's supervision be alive: leaders, one urging, one supervision, and the first sweep."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from hotline.core.permissions import Actor
from hotline.tickets.models import Ticket
from hotline.tickets.states import State
from routing.models import Dispatch
from routing.supervision import acting as supervising
from routing.supervision.models import Leader, NoticeForm
from routing.supervision.sweeping import sweep

#: Level, family name, post: of the first units that have something in hand, and of nobody who lives.
_LEADERS: Final = ((1, "高", "分管副职"), (2, "罗", "主要负责人"))


def enact(session: Session, *, operator: Actor, supervisor: Actor, now: datetime) -> None:
    """Enter leaders, urge once, supervise once, and look at everything that is open."""
    session.flush()  # what follows reads what was written
    rows = session.execute(
        select(Ticket.id, Dispatch.department_id)
        .join(Dispatch, Dispatch.ticket_id == Ticket.id)
        .where(Ticket.state == State.SIGNED, Dispatch.is_current)
        .order_by(Ticket.id)
        .limit(6)
    ).all()
    for place, department_id in enumerate(dict.fromkeys(row.department_id for row in rows)):
        session.add_all(
            Leader(
                department_id=department_id,
                level=level,
                name=f"{name}某某",
                post=post,
                phone=f"1390000{place}{level:03d}",
            )
            for level, name, post in _LEADERS
        )
    if rows:
        supervising.urge(
            session, ticket_id=rows[0].id, words="诉求人再次来电询问进展，请尽快联系并告知。", by=operator, now=now
        )
        supervising.supervise(
            session,
            ticket_id=rows[-1].id,
            words="市领导批示：请查明原因，提出整改措施，限期办结。",
            form=NoticeForm.WRITTEN,
            by=supervisor,
            now=now,
        )
    session.flush()  # the sweep reads what was written
    sweep(lambda: nullcontext(session), now=now)
