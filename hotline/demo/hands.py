"""Shows pauses, extensions and shared tickets in the demonstration city."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from hotline.core.clock import local
from hotline.core.files import FileStore
from hotline.core.permissions import Actor
from hotline.tickets import actions as tickets
from hotline.tickets import files
from hotline.tickets.models import JournalEntry, Ticket
from hotline.tickets.states import State
from hotline.tickets.vocabulary import RequestType, Urgency
from routing.answers import parts
from routing.answers.part_models import PartKind
from routing.answers.vetting_rules import SETTING, VettingMode, VettingPolicy
from routing.clocks import adjusting
from routing.models import Department, Dispatch

#: So many tickets are touched; each needs time enough that nothing of its story runs into the future.
_WANTED: Final = 6
_REASONS: Final = ("已委托检测机构取样检测，出具报告前无法认定责任。", "施工图会审涉及三家单位，需要重新论证方案。")
_BASIS: Final = "《政务服务便民热线工作管理办法》关于疑难事项延期的规定"


def enact(
    session: Session,
    *,
    dispatcher: Actor,
    administrator: Actor,
    of: Callable[[int], Actor | None],
    store: FileStore | None,
    now: datetime,
) -> None:
    """Let some tickets in hand be suspended, extended and shared, and let tip-offs be read before their callback.

    `of` names who answers for a department; without a `store` there is no evidence, and so no suspension.
    """
    asked, then = now - timedelta(minutes=40), now - timedelta(minutes=20)
    later = select(JournalEntry.id).where(JournalEntry.ticket_id == Ticket.id, JournalEntry.at > asked)
    rows = list(
        session.execute(
            select(Dispatch, Ticket)
            .join(Ticket, Ticket.id == Dispatch.ticket_id)
            .where(
                Dispatch.is_current,
                Dispatch.ended_at.is_(None),
                Dispatch.answered_at.is_(None),
                Dispatch.signed_at < now - timedelta(hours=1),
                Dispatch.due_at > now + timedelta(days=2),
                Ticket.state == State.SIGNED,
                Ticket.urgency == Urgency.ORDINARY,
                ~later.exists(),
            )
            .order_by(Dispatch.id)
            .limit(_WANTED)
        )
    )
    taken = [(row, ticket, by) for row, ticket in rows if (by := of(row.department_id)) is not None]
    for number, (row, ticket, by) in enumerate(taken):
        match number:
            case 0 | 1 if store is not None:
                _suspend(
                    session, store, ticket, by=by, approve=dispatcher if number == 0 else None, asked=asked, now=then
                )
            case 2 | 3:
                wish = adjusting.ask_extension(
                    session, ticket_id=ticket.id, workdays=3, reason=_REASONS[1], basis=_BASIS, by=by, now=asked
                )
                if number == 2:  # noqa: PLR2004 - one is granted, one waits
                    adjusting.decide(session, adjustment_id=wish.id, approve=True, words="", by=dispatcher, now=then)
            case 4 | 5:
                _share(session, row, ticket, by=by, of=of, asked=asked, now=then, answered=number == 4)  # noqa: PLR2004 - as above
            case _:
                pass
    _forward(session, of=of, asked=asked, now=now)
    # Tip-offs are read before their callback; everything else goes straight to it.
    shown = VettingPolicy(
        mode=VettingMode.SAMPLED, percent=0, always=(RequestType.TIP_OFF,), bad_reviews=False, doubtful=False
    )
    tickets.set_setting(session, name=SETTING, value=shown.to_setting(), by=administrator, now=now)


def _forward(session: Session, *, of: Callable[[int], Actor | None], asked: datetime, now: datetime) -> None:
    """Let one unit that has others below it forward a ticket, to one with somebody at its desk if there is such."""
    later = select(JournalEntry.id).where(JournalEntry.ticket_id == Dispatch.ticket_id, JournalEntry.at > asked)
    below = aliased(Department)
    rows = session.execute(
        select(Dispatch.ticket_id, Dispatch.department_id, below.id.label("below_id"))
        .join(below, below.parent_id == Dispatch.department_id)
        .join(Ticket, Ticket.id == Dispatch.ticket_id)
        .where(
            Dispatch.is_current,
            Dispatch.ended_at.is_(None),
            Dispatch.answered_at.is_(None),
            Dispatch.due_at > now,
            Ticket.phone_index.is_not(None),
            below.active,
            ~later.exists(),
        )
        .order_by(Dispatch.id, below.code)
        .limit(100)
    )
    wanted = [row for row in rows if of(row.department_id) is not None]
    # Whoever answers for the lead answers for all below him; somebody of their own is better to look at.
    theirs = (row for row in wanted if (who := of(row.below_id)) and row.department_id not in who.department_ids)
    chosen = next(theirs, wanted[0] if wanted else None)
    by = of(chosen.department_id) if chosen else None
    if chosen is not None and by is not None:
        parts.share(
            session,
            ticket_id=chosen.ticket_id,
            kind=PartKind.FORWARD,
            department_id=chosen.below_id,
            by=by,
            now=asked,
        )


def _suspend(
    session: Session,
    store: FileStore,
    ticket: Ticket,
    *,
    by: Actor,
    approve: Actor | None,
    asked: datetime,
    now: datetime,
) -> None:
    note = f"检测委托单\n工单：{ticket.number}\n委托事项：现场取样检测\n（演示资料）\n".encode()
    (evidence,) = files.attach(
        session,
        store,
        ticket_id=ticket.id,
        uploads=[files.Upload(name="检测委托单.txt", content=note)],
        public=False,
        by=by,
        now=asked,
    )
    wish = adjusting.ask_suspension(
        session,
        ticket_id=ticket.id,
        cause="检测",
        until=local(asked).date() + timedelta(days=6),
        reason=_REASONS[0],
        evidence_id=evidence.id,
        by=by,
        now=asked,
    )
    if approve is not None:
        adjusting.decide(session, adjustment_id=wish.id, approve=True, words="材料齐全", by=approve, now=now)


def _share(
    session: Session,
    row: Dispatch,
    ticket: Ticket,
    *,
    by: Actor,
    of: Callable[[int], Actor | None],
    asked: datetime,
    now: datetime,
    answered: bool,
) -> None:
    others = session.scalars(
        select(Department.id).where(Department.active, Department.id != row.department_id).order_by(Department.code)
    )
    helper = next(((one, who) for one in others if one not in by.department_ids and (who := of(one)) is not None), None)
    if helper is None:
        return
    part = parts.share(
        session,
        ticket_id=ticket.id,
        kind=PartKind.ASSIST,
        department_id=helper[0],
        words="请核实现场属于你单位管护范围的部分并处理。",
        by=by,
        now=asked,
    )
    if answered:
        parts.answer_part(
            session, subtask_id=part.id, words="管护范围内的部分已于今天上午清理完毕。", by=helper[1], now=now
        )
