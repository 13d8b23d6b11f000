"""Returns (退单): a unit asks with its evidence, somebody outside it rules, nobody gains time (domain.md 2.6)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from hotline.core import outbox
from hotline.core.clock import local
from hotline.core.errors import Conflict, Denied, Invalid, WrongState
from hotline.core.permissions import Actor, Permission, require
from hotline.core.personal_data import redact
from hotline.tickets import actions as tickets
from hotline.tickets.models import Ticket
from hotline.tickets.states import Act
from routing import actions
from routing.clocks import adjusting, granting
from routing.clocks.profiles import ClockName
from routing.duty import disputing
from routing.duty import queries as duty_queries
from routing.duty.models import Return
from routing.duty.rules import (
    MOST_BASIS,
    MOST_WORDS,
    NAMES_ANOTHER,
    RETURN_REASONS,
    Cause,
    ReturnReason,
    ReturnState,
    problems_of_return,
    window_closed,
)
from routing.events import ReturnAsked, ReturnRefused, TicketSentBack
from routing.learning import labels
from routing.learning.label_models import LabelTask, Provenance
from routing.models import PARTS_ONLY, Department, Dispatch, Ending, Standing
from routing.queries import current_dispatch, department_name

#: A profile that limits no returns leaves the hotline one day to rule on one.
_WITHOUT_LIMIT: Final = timedelta(days=1)


_BOUND: Final = {
    Standing.INTERIM: "职责争议正在裁定，裁定前由本单位先行办理，不能退单；请在争议中提交意见和依据。",
    Standing.BINDING: "本单位由职责裁定或热线指定承办，不能再退单。",
}


def return_reasons() -> Mapping[str, str]:
    """Return the reasons for which a ticket may be sent back, code -> words."""
    return {reason.value: words for reason, words in RETURN_REASONS.items()}


def ask(
    session: Session,
    *,
    ticket_id: int,
    version: int | None,
    reason: str,
    words: str,
    basis: str,
    suggested_department_id: int | None,
    by: Actor,
    now: datetime,
) -> Return:
    """Ask the hotline to take a ticket back; the unit keeps it, and its clock runs, until somebody rules.

    Raises `Invalid` by field (`reason`, `words`, `basis`, `suggested`), `WrongState` after the window or an answer,
    `Conflict` when a return is open already or was refused for this reason.
    """
    ticket = tickets.lock(session, ticket_id, version=version)
    row = actions.require_holder(session, ticket_id=ticket_id, by=by)
    if row.answered_at is not None:
        raise WrongState("工单已反馈，不能再退单。")
    if row.standing is not Standing.ORDINARY:
        raise WrongState(_BOUND[row.standing])
    if closed := window_closed(row.steps, now=now):
        raise WrongState(closed)
    problems = problems_of_return(
        reason=reason, words=words, basis=basis, suggested_id=suggested_department_id, mine=row.department_id
    )
    suggested = session.get(Department, suggested_department_id) if suggested_department_id is not None else None
    if suggested_department_id is not None and (
        suggested is None or not suggested.active or suggested.kind in PARTS_ONLY
    ):
        problems["suggested"] = "建议的承办单位不存在、已停用或是基层承办单位，请重新选择。"
    if problems:
        raise Invalid(problems)
    _require_first(session, ticket, row, reason=ReturnReason(reason))
    limit = granting.limit_of(session, ticket, clock=ClockName.RETURN, now=now)
    asked = Return(
        ticket_id=ticket.id,
        dispatch_id=row.id,
        department_id=row.department_id,
        reason=ReturnReason(reason),
        words=redact(words.strip())[:MOST_WORDS],
        basis=redact(basis.strip())[:MOST_BASIS],
        suggested_id=suggested.id if suggested else None,
        asked_by=by.user_id,
        asked_at=now,
        decide_due_at=limit.due_at if limit else now + _WITHOUT_LIMIT,
        decide_steps=list(limit.steps) if limit else [],
    )
    session.add(asked)
    tickets.move(
        session,
        ticket,
        Act.ASK_RETURN,
        by=by,
        now=now,
        note=asked.words,
        details={
            "reason": reason,
            "reason_words": RETURN_REASONS[asked.reason],
            "basis": asked.basis,
            "suggested": suggested.name if suggested else "",
        },
    )
    session.flush()  # the event needs the id, and the database's own refusals come here
    labels.returned(session, ticket_id=ticket.id, proposed=suggested, by=by, now=now)
    outbox.publish(session, ReturnAsked(ticket_id=ticket.id, return_id=asked.id, dispatch_id=row.id), now=now)
    return asked


def take_back(session: Session, *, return_id: int, by: Actor, now: datetime) -> Return:
    """Withdraw a return that nobody has ruled on; the reason may be used again, inside the window."""
    ticket, row = _open(session, return_id)
    actions.require_holder(session, ticket_id=ticket.id, by=by)
    tickets.move(session, ticket, Act.WITHDRAW_RETURN, by=by, now=now)
    row.state, row.decided_by, row.decided_at = ReturnState.WITHDRAWN, by.user_id, now
    return row


def refuse(session: Session, *, return_id: int, words: str, by: Actor, now: datetime) -> Return:
    """Refuse a return with the reason: the original clock goes on as if nothing had happened (domain.md 2.6, 5)."""
    words = _reason(words)
    ticket, row = _open(session, return_id)
    _require_outsider(session, row, by=by)
    tickets.move(
        session,
        ticket,
        Act.REFUSE_RETURN,
        by=by,
        now=now,
        note=words,
        details={
            "refused_reason": RETURN_REASONS[row.reason],
            "department_kept": department_name(session, row.department_id),
        },
    )
    row.state, row.decided_by, row.decided_at, row.decision = ReturnState.REFUSED, by.user_id, now, words
    session.flush()  # the database's own refusals come here
    held = session.get_one(Dispatch, row.dispatch_id)
    adjusting.note_return_refused(session, held, reason=RETURN_REASONS[row.reason], by=by, now=now)
    _learn(session, row, department_id=row.department_id, provenance=Provenance.RETURN_REFUSED, by=by, now=now)
    outbox.publish(session, ReturnRefused(ticket_id=ticket.id, return_id=row.id), now=now)
    return row


def uphold(
    session: Session, *, return_id: int, department_id: int | None, words: str = "", by: Actor, now: datetime
) -> Dispatch | None:
    """Uphold a return: the ticket goes to the named unit with that unit's own limits, or back into the queue.

    The citizen's total limit runs on from the first dispatch. After so many dispatches without an owner as the city
    sets (three, domain.md 2.6, 3) a dispute opens instead, and the named unit is heard in it. Returns the new dispatch.
    """
    words = redact(words.strip())[:MOST_BASIS]
    ticket, row = _open(session, return_id)
    _require_outsider(session, row, by=by)
    if department_id == row.department_id:
        raise Invalid({"department_id": "同意退单的，须另派其他承办单位；仍由该单位承办的，请驳回退单。"})
    held = session.get_one(Dispatch, row.dispatch_id)
    disputed = disputing.without_owner(session, ticket) + 1 >= disputing.policy(session).dispatches
    tickets.move(
        session,
        ticket,
        Act.SEND_BACK,
        by=by,
        now=now,
        note=words,
        details={
            "returned_by": department_name(session, row.department_id),
            "upheld_reason": RETURN_REASONS[row.reason],
        },
        becomes={"returned": ticket.returned + 1},
    )
    held.is_current, held.ended_at, held.ending = False, now, Ending.SENT_BACK
    row.state, row.decided_by, row.decided_at, row.decision = ReturnState.UPHELD, by.user_id, now, words
    row.sent_to_id = None if disputed else department_id
    session.flush()  # the old dispatch must cease to be current before the next one begins to be
    outbox.publish(session, TicketSentBack(ticket_id=ticket.id, dispatch_id=held.id), now=now)
    if disputed:
        return _disputed(session, ticket, department_id=department_id, by=by, now=now)
    if department_id is None:
        return None
    sent = actions.dispatch(
        session,
        ticket_id=ticket.id,
        version=None,
        department_id=department_id,
        reason=words or f"{department_name(session, row.department_id)}退单获准后改派",
        by=by,
        now=now,
    )
    _learn(session, row, department_id=department_id, provenance=Provenance.RETURN_UPHELD, by=by, now=now)
    return sent


def _open(session: Session, return_id: int) -> tuple[Ticket, Return]:
    """Lock the ticket, then the return; raise `Conflict` with who ruled on it when somebody was quicker."""
    ticket_id = session.scalar(select(Return.ticket_id).where(Return.id == return_id))
    ticket = tickets.lock(session, ticket_id or 0)
    row = session.scalars(
        select(Return).where(Return.id == return_id).execution_options(populate_existing=True)
    ).one()  # the lock on the ticket is what everybody waits for; what stood here before it may be old
    if row.state is not ReturnState.OPEN:
        raise Conflict(_ruled(session, row))
    return ticket, row


def _ruled(session: Session, row: Return) -> str:
    found = next((one for one in duty_queries.returns_of_ticket(session, row.ticket_id) if one.id == row.id), None)
    who = found.decided_by if found and found.decided_by else "系统"
    at = f"{local(row.decided_at):%m-%d %H:%M}" if row.decided_at else ""
    what = {
        ReturnState.UPHELD: "同意退单",
        ReturnState.REFUSED: "驳回退单",
        ReturnState.WITHDRAWN: "撤回退单申请",
    }.get(row.state, "因工单已转出或办结而终止")
    return f"这份退单申请已由{who}于 {at} {what}，您的操作没有执行。"


def _require_outsider(session: Session, row: Return, *, by: Actor) -> None:
    """Whoever belongs to the unit that returns does not rule on its return (domain.md 2.6, rule 4)."""
    require(by, Permission.RETURN_RULE)
    if by.user_id is None:
        raise Denied("退单须由热线工作人员审核。")
    if by.user_id == row.asked_by or duty_queries.belongs_to(
        session, user_id=by.user_id, department_id=row.department_id
    ):
        raise Denied("您属于退单单位或其上下级单位，退单须由单位以外的人员审核。")


def _require_first(session: Session, ticket: Ticket, row: Dispatch, *, reason: ReturnReason) -> None:
    """Raise `Conflict` while another return is open, or when this unit was refused for the same reason before."""
    for known in session.scalars(select(Return).where(Return.ticket_id == ticket.id).order_by(Return.id)):
        if known.state is ReturnState.OPEN:
            raise Conflict("这张工单已有退单申请正在审核，请等待审核结果。")
        if known.state is ReturnState.REFUSED and (known.department_id, known.reason) == (row.department_id, reason):
            raise Conflict(
                f"“{RETURN_REASONS[reason]}”的退单申请已被驳回（{known.decision}），同一理由不能再次退单，请按时办理。"
            )


def _disputed(
    session: Session, ticket: Ticket, *, department_id: int | None, by: Actor, now: datetime
) -> Dispatch | None:
    disputing.opened(
        session,
        ticket,
        cause=Cause.RETURNS,
        words=f"先后派往 {disputing.without_owner(session, ticket)} 个单位，均提出不属于其职责。",
        department_ids=[department_id] if department_id is not None else [],
        by=by,
        now=now,
    )
    return current_dispatch(session, ticket.id)


def _learn(
    session: Session, row: Return, *, department_id: int, provenance: Provenance, by: Actor, now: datetime
) -> None:
    """Keep what the review found as an example for the model; only a question of duty teaches whose it is."""
    if row.reason in NAMES_ANOTHER:
        labels.record(
            session,
            ticket_id=row.ticket_id,
            task=LabelTask.DEPARTMENT,
            label=session.get_one(Department, department_id).code,
            provenance=provenance,
            by=by,
            now=now,
        )


def _reason(words: str) -> str:
    cleaned = redact(words.strip())[:MOST_BASIS]
    if not cleaned:
        raise Invalid({"words": "请填写驳回退单的理由。"})
    return cleaned
