"""What a citizen is told by text message about his ticket's clock; each message goes out once per fact."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from hotline.core.clock import local
from hotline.core.db import keyring_of
from hotline.core.permissions import SYSTEM
from hotline.telephony.actions import queue_text
from hotline.tickets.models import Ticket
from hotline.tickets.states import Act
from routing.clocks.models import Adjustment
from routing.events import ClockAdjusted
from routing.models import Dispatch

#: Our shortest sentence for each act of `ClockAdjusted`; a message of more than seventy characters costs two.
_WORDS = {
    Act.SUSPEND.value: "您反映的事项（{number}）因{cause}暂停计时至 {until}，之后继续办理，办理期限顺延至 {due}。",
    Act.EXTEND.value: "您反映的事项（{number}）情况较复杂，经批准延期 {workdays} 个工作日，办理期限为 {due}。",
    Act.RESUME.value: "您反映的事项（{number}）已恢复计时办理，办理期限为 {due}。",
}


def tell_citizen(session: Session, event: ClockAdjusted, *, now: datetime) -> bool:
    """Queue the message that says what became of the deadline, and why (domain.md 2.8); false without a number."""
    ticket = session.get_one(Ticket, event.ticket_id)
    change = session.get_one(Adjustment, event.adjustment_id)
    row = session.get_one(Dispatch, change.dispatch_id)
    phone = keyring_of(session).open(ticket.personal_sealed).get("phone", "")
    if not phone:
        return False
    last = local(change.ends_at) - timedelta(seconds=1) if change.ends_at else None
    body = _WORDS[event.what].format(
        number=ticket.number,
        cause=change.cause,
        until=f"{last:%m月%d日}" if last else "",
        workdays=change.workdays,
        due=f"{local(row.due_at):%m月%d日%H:%M}",
    )
    queue_text(
        session,
        key=f"adjustment-{change.id}-{event.what}",
        purpose=f"clock_{event.what}",
        to=phone,
        body=f"【12345热线】{body}",
        by=SYSTEM,
        now=now,
    )
    return True
