"""An answer before its reader: opened when it is fed back, passed on to the callback or sent back with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import func, literal, select
from sqlalchemy.orm import Session, aliased

from hotline.core import outbox, paging
from hotline.core.db import keyring_of
from hotline.core.errors import Conflict, Denied, Invalid, NotFound
from hotline.core.paging import Stretch
from hotline.core.permissions import Actor, Permission, require
from hotline.core.personal_data import redact
from hotline.people.models import User
from hotline.tickets import actions as tickets
from hotline.tickets.models import Ticket
from hotline.tickets.queries import setting
from hotline.tickets.states import Act, State
from routing.answers.doubts import Doubt, doubts
from routing.answers.vetting_models import Vetting, VettingState
from routing.answers.vetting_rules import SETTING, WORKDAYS, VettingMode, VettingPolicy, why_vetted
from routing.clocks import granting
from routing.clocks.deadlines import due_at
from routing.events import TicketAnswered
from routing.models import Answer, Department, Dispatch
from routing.queries import MOST_ROWS, departments_that_held

MOST_WORDS: Final = 2_000
#: How many answers with the same words are counted; more need not be told.
_MOST_SAME: Final = 20


@dataclass(frozen=True, kw_only=True)
class VettingView:
    """One vetting with the answer and the names that a person reads."""

    row: Vetting
    answer: Answer
    number: str
    title: str
    department: str
    answered_by: str
    decided_by: str


def open_if_wanted(
    session: Session,
    ticket: Ticket,
    row: Dispatch,
    answer: Answer,
    *,
    policy: VettingPolicy,
    by: Actor,
    now: datetime,
) -> bool:
    """Lay an answer before a reader when the policy wants it; true when it must wait for him."""
    if policy.mode is VettingMode.OFF:
        return False
    found = doubts_about(session, ticket, row, internal_note=answer.internal_note, public_answer=answer.public_answer)
    why = why_vetted(policy, request_type=ticket.request_type, kind=ticket.kind, doubts=found, answer_id=answer.id)
    if not why:
        return False
    session.add(
        Vetting(
            ticket_id=ticket.id,
            dispatch_id=row.id,
            answer_id=answer.id,
            state=VettingState.WAITING,
            why=why,
            doubts=[doubt.value for doubt in found],
            answered_by=by.user_id,
            opened_at=now,
            due_at=due_at(granting.calendar(session), now, workdays=WORKDAYS),
        )
    )
    return True


def decide(session: Session, *, vetting_id: int, passes: bool, words: str, by: Actor, now: datetime) -> Vetting:
    """Pass an answer on to the callback, or send it back to be written anew, with the reason.

    Sent back, the department has it again under its first deadline: as with a refused return, no time is won by an
    answer that was none (domain.md 2.6; decision 0023). Never by a member of a department that had the ticket.
    """
    require(by, Permission.ANSWER_VET)
    ticket, vetting = _locked(session, vetting_id)
    if vetting.state is not VettingState.WAITING or ticket.state is not State.ANSWERED:
        raise Conflict("该答复已经审核，请刷新后查看。")
    if by.user_id == vetting.answered_by or by.department_ids & departments_that_held(session, ticket.id):
        raise Denied("承办单位不能审核自己的答复。")
    if not passes and not words.strip():
        raise Invalid({"words": "退回须写明理由，承办单位将据此修改。"})
    if len(words) > MOST_WORDS:
        raise Invalid({"words": f"最多 {MOST_WORDS} 字。"})
    row = session.get_one(Dispatch, vetting.dispatch_id, with_for_update=True)  # given back to its department below
    vetting.words, vetting.decided_by, vetting.decided_at = redact(words.strip()), by.user_id, now
    if passes:
        vetting.state = VettingState.PASSED
        tickets.move(session, ticket, Act.CLEAR_ANSWER, by=by, now=now, note=vetting.words[:500])
        session.flush()  # the callback below is refused while the answer is being read
        event = TicketAnswered(ticket_id=ticket.id, dispatch_id=row.id, round=row.round, at=now.isoformat())
        outbox.publish(session, event, now=now)
        return vetting
    vetting.state = VettingState.SENT_BACK
    session.get_one(Answer, vetting.answer_id).sent_back_at = now
    row.answered_at = None
    ticket.due_at = row.due_at
    tickets.move(
        session,
        ticket,
        Act.SEND_BACK_ANSWER,
        by=by,
        now=now,
        note=vetting.words[:500],
        details={"late": now > row.due_at},
    )
    return vetting


def doubts_about(
    session: Session, ticket: Ticket, row: Dispatch | None, *, internal_note: str, public_answer: str
) -> tuple[Doubt, ...]:
    """Return what is worth a second look before an answer leaves: on the screen of who writes, and of who reads."""
    return doubts(
        concern=f"{ticket.title}\n{ticket.content}",
        internal_note=internal_note,
        public_answer=public_answer,
        contacted=row is not None and row.contacted_at is not None,
        same_elsewhere=same_elsewhere(session, public_answer, ticket_id=ticket.id),
        citizen=keyring_of(session).open(ticket.personal_sealed),
    )


def same_elsewhere(session: Session, public_answer: str, *, ticket_id: int) -> int:
    """Return how many other tickets were answered with the same words, counted no further than twenty."""
    # The same sentence as the generated column: its index answers, however many answers there are.
    here = func.md5(func.regexp_replace(literal(public_answer), "[^㐀-鿿A-Za-z0-9]", "", "g"))
    found = (
        select(Answer.ticket_id)
        .where(Answer.fingerprint == here, Answer.ticket_id != ticket_id)
        .limit(_MOST_SAME)
        .subquery()
    )
    return int(session.scalar(select(func.count()).select_from(found)) or 0)


def policy_of(session: Session) -> VettingPolicy:
    """Return what the administrator decided."""
    return VettingPolicy.from_setting(setting(session, SETTING))


def of_dispatch(session: Session, dispatch_id: int) -> list[VettingView]:
    """Return what readers said of a dispatch's answers, the oldest first."""
    query = _views().where(Vetting.dispatch_id == dispatch_id).order_by(Vetting.id)
    return [_view(*row) for row in session.execute(query)]


def one(session: Session, vetting_id: int) -> VettingView:
    """Return one vetting, or `NotFound`."""
    found = session.execute(_views().where(Vetting.id == vetting_id)).first()
    if found is None:
        raise NotFound
    return _view(*found)


def waiting(session: Session, *, cursor: str = "", limit: int = 30) -> Stretch[VettingView]:
    """Return the answers to read, in order of the hotline's limit; raises `Invalid` on a cursor that is not ours."""
    return paging.by_time(
        session,
        _views().where(Vetting.state == VettingState.WAITING),
        at=Vetting.due_at,
        number=Vetting.id,
        cursor=cursor,
        limit=min(limit, MOST_ROWS),
        made=_view,
        key=lambda one: (one.row.due_at, one.row.id),
    )


def decided(session: Session, *, cursor: str = "", limit: int = 30) -> Stretch[VettingView]:
    """Return the answers that were read, the latest first; raises `Invalid` on a cursor that is not ours."""
    return paging.by_time(
        session,
        _views().where(Vetting.decided_at.is_not(None)),
        at=Vetting.decided_at,
        number=Vetting.id,
        newest_first=True,
        cursor=cursor,
        limit=min(limit, MOST_ROWS),
        made=_view,
        key=lambda one: (one.row.decided_at or one.row.due_at, one.row.id),
    )


def _locked(session: Session, vetting_id: int) -> tuple[Ticket, Vetting]:
    """Lock first the ticket and then the vetting, in the order in which everybody does."""
    ticket_id = session.scalar(select(Vetting.ticket_id).where(Vetting.id == vetting_id))
    if ticket_id is None:
        raise NotFound
    ticket = tickets.lock(session, ticket_id)
    vetting = session.get_one(
        Vetting, vetting_id, with_for_update=True, populate_existing=True
    )  # two readers at once, one after the other
    return ticket, vetting


def _views() -> Any:  # noqa: ANN401 - a select of seven columns has no readable type
    reader = aliased(User)
    return (
        select(Vetting, Answer, Ticket.number, Ticket.title, Department.name, User.display_name, reader.display_name)
        .join(Answer, Answer.id == Vetting.answer_id)
        .join(Ticket, Ticket.id == Vetting.ticket_id)
        .join(Dispatch, Dispatch.id == Vetting.dispatch_id)
        .join(Department, Department.id == Dispatch.department_id)
        .join(User, User.id == Vetting.answered_by, isouter=True)
        .join(reader, reader.id == Vetting.decided_by, isouter=True)
    )


def _view(  # noqa: PLR0917 - the columns of the select above
    row: Vetting,
    answer: Answer,
    number: str,
    title: str,
    department: str,
    answered_by: str | None,
    decided_by: str | None,
) -> VettingView:
    return VettingView(
        row=row,
        answer=answer,
        number=number,
        title=title,
        department=department,
        answered_by=answered_by or "",
        decided_by=decided_by or "",
    )
