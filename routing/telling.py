"""What a citizen is told by text message of his clock, or of a refusal; each message goes out once per fact."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.orm import Session

from hotline.core.clock import local
from hotline.core.db import keyring_of
from hotline.core.errors import Invalid, WrongState
from hotline.core.permissions import SYSTEM, Actor, Permission, require
from hotline.core.personal_data import redact
from hotline.telephony.actions import queue_text
from hotline.tickets import actions as tickets
from hotline.tickets.events import TicketRefused
from hotline.tickets.models import Ticket
from hotline.tickets.refusals import NOT_TEXTED, REFUSALS
from hotline.tickets.states import Act, Outcome, State
from routing.clocks.models import Adjustment, Recount, RecountKind
from routing.clocks.recounting import text_key
from routing.events import ClockAdjusted, DeadlineMoved
from routing.models import Dispatch

#: Our shortest sentence for each act of `ClockAdjusted`; a message of more than seventy characters costs two.
_WORDS = {
    Act.SUSPEND.value: "您反映的事项（{number}）因{cause}暂停计时至 {until}，之后继续办理，办理期限顺延至 {due}。",
    Act.EXTEND.value: "您反映的事项（{number}）情况较复杂，经批准延期 {workdays} 个工作日，办理期限为 {due}。",
    Act.RESUME.value: "您反映的事项（{number}）已恢复计时办理，办理期限为 {due}。",
}
_MOVED: Final = {
    RecountKind.CALENDAR: "您反映的事项（{number}）因工作日安排调整，办理期限改为 {due}。",
    RecountKind.EDITION: "您反映的事项（{number}）因办理时限规定调整，办理期限改为 {due}。",
}


#: Only these receive text messages; whoever has no such number is told on the telephone and on the tracking page.
_MOBILE: Final = re.compile(r"1[3-9]\d{9}")
#: Longer words are cut; the tracking page has them whole.
MOST_WORDS: Final = 240
#: A question to the citizen is three messages long at most.
MOST_ASKED: Final = 120
#: Under this name the journal's line holds what the citizen was asked; the tracking page shows it.
ASKED_MORE: Final = "asked_more"


def receives_texts(phone: str) -> bool:
    """Tell whether a text message can reach this number: a mobile number of the country."""
    return _MOBILE.fullmatch(phone) is not None


def refusal_body(*, number: str, reason: str, words: str) -> str:
    """Return the message of a refusal: that, why, and what to do instead (domain.md 1.5)."""
    said = " ".join(words.split())
    said = said if len(said) <= MOST_WORDS else f"{said[: MOST_WORDS - 1]}…"
    return f"【12345热线】您反映的事项（{number}）不予受理：{reason}。{said}凭编号和查询码可在网上查看全文。"


def tell_of_refusal(session: Session, event: TicketRefused, *, now: datetime) -> bool:
    """Queue the message that says where to turn instead (domain.md 1.5); false without a mobile number.

    Nothing is sent where the reason is that nothing was asked for, nor when the ticket has been taken up again since.
    """
    ticket = session.get_one(Ticket, event.ticket_id)
    reason = REFUSALS.get(ticket.refusal_reason or "")
    if reason is None or reason.code in NOT_TEXTED or ticket.outcome is not Outcome.REFUSED:
        return False
    phone = _mobile(session, ticket)
    if not phone:
        return False
    queue_text(
        session,
        key=f"refused-{ticket.id}-{event.at}",
        purpose="refused",
        to=phone,
        body=refusal_body(number=ticket.number, reason=reason.words, words=ticket.closing_words),
        by=SYSTEM,
        now=now,
    )
    return True


def ask_for_more(session: Session, *, ticket_id: int, words: str, by: Actor, now: datetime) -> bool:
    """Ask the citizen of a ticket that waits for its dispatch to add what is missing (domain.md 1.1, 1.5 NR-10, 2.1).

    By text message and on the tracking page, where he adds it; true when a message goes out, false where there is no
    mobile number and he must be telephoned. The dispatch clock runs on. Raises `Invalid` with field `ask`.
    """
    require(by, Permission.TICKET_DISPATCH)
    said = redact(" ".join(words.split()))
    if not said:
        raise Invalid({"ask": "请写明要诉求人补充什么。"})
    if len(said) > MOST_ASKED:
        raise Invalid({"ask": f"最多 {MOST_ASKED} 字，现有 {len(said)} 字。"})
    ticket = tickets.lock(session, ticket_id)
    if ticket.state is not State.REGISTERED:
        raise WrongState("工单已不在待派之列，请由承办单位联系诉求人。")
    phone = _mobile(session, ticket)
    how = "已发短信" if phone else "没有手机号，须电话询问"
    tickets.move(
        session, ticket, Act.NOTE, by=by, now=now, note=f"请诉求人补充（{how}）：{said}", details={ASKED_MORE: said}
    )
    if phone:
        queue_text(
            session,
            # The same question is sent once, however often the button is pressed.
            key=f"more-{ticket.id}-{hashlib.sha256(said.encode()).hexdigest()[:16]}",
            purpose="ask_more",
            to=phone,
            body=f"【12345热线】您反映的事项（{ticket.number}）需要补充：{said} 请凭编号和查询码在网上补充，"
            "或拨打12345。",
            by=by,
            now=now,
        )
    return bool(phone)


def tell_citizen(session: Session, event: ClockAdjusted, *, now: datetime) -> bool:
    """Queue the message that says what became of the deadline, and why (domain.md 2.8); false without a mobile."""
    ticket = session.get_one(Ticket, event.ticket_id)
    change = session.get_one(Adjustment, event.adjustment_id)
    row = session.get_one(Dispatch, change.dispatch_id)
    phone = _mobile(session, ticket)
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
        key=text_key(change.id, event.what),
        purpose=f"clock_{event.what}",
        to=phone,
        body=f"【12345热线】{body}",
        by=SYSTEM,
        now=now,
    )
    return True


def tell_of_move(session: Session, event: DeadlineMoved, *, now: datetime) -> bool:
    """Queue the message that corrects a date that the citizen was told; false without a mobile number.

    Nothing is sent where the ticket has been answered or has gone elsewhere since: that date is not his any more.
    """
    row = session.get_one(Dispatch, event.dispatch_id)
    if not row.is_current or row.answered_at is not None or row.ended_at is not None:
        return False
    ticket, order = session.get_one(Ticket, event.ticket_id), session.get_one(Recount, event.recount_id)
    phone = _mobile(session, ticket)
    if not phone:
        return False
    queue_text(
        session,
        key=f"recount-{order.id}-{ticket.id}",
        purpose="clock_recount",
        to=phone,
        body="【12345热线】"
        + _MOVED[order.kind].format(number=ticket.number, due=f"{local(row.due_at):%m月%d日%H:%M}"),
        by=SYSTEM,
        now=now,
    )
    return True


def _mobile(session: Session, ticket: Ticket) -> str:
    """Return the citizen's number where it receives text messages, else an empty text."""
    phone = keyring_of(session).open(ticket.personal_sealed).get("phone", "")
    return phone if receives_texts(phone) else ""
