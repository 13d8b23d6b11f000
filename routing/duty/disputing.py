"""Disputes (职责争议): opened, argued, ruled on by a panel, or ended by designation (domain.md 2.6, 2.7)."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final, cast

from sqlalchemy import Table, bindparam, func, select, update
from sqlalchemy.orm import Session

from hotline.core import outbox
from hotline.core.clock import local
from hotline.core.db import write
from hotline.core.errors import Conflict, Denied, Invalid, NotFound, WrongState
from hotline.core.permissions import GRANTS, SYSTEM, Actor, Permission, require
from hotline.core.personal_data import redact
from hotline.people.models import User
from hotline.tickets import actions as tickets
from hotline.tickets.models import Category, Region, Ticket
from hotline.tickets.queries import setting
from hotline.tickets.states import Act, State
from hotline.tickets.vocabulary import RequestType
from routing import actions
from routing.answers import parts
from routing.answers.part_models import PartKind
from routing.catalogue import editions as catalogue
from routing.catalogue import territory
from routing.clocks import granting
from routing.clocks.deadlines import due_at
from routing.duty import overruling
from routing.duty import queries as duty_queries
from routing.duty.models import Dispute, DisputeParty, PanelMember, Position, Return, Ruling
from routing.duty.rules import (
    DUTY_SETTING,
    Cause,
    DisputeState,
    DutyPolicy,
    ReturnState,
    RulingState,
    Seat,
    Stance,
    counted_days,
    may_confirm,
    problems_of_panel,
    window_closed,
)
from routing.events import DisputeEnded, DisputeOpened
from routing.learning import labels
from routing.learning.label_models import LabelTask, Provenance
from routing.models import Department, Dispatch, Ending, Standing
from routing.queries import current_dispatch

MOST_POSITION: Final = 5_000
MOST_POSITION_BASIS: Final = 2_000
MOST_ASSIST: Final = 8
_HELD: Final = frozenset({State.DISPATCHED, State.SIGNED})


# Asked of every ticket that closes, though few have one; made once (docs/decisions/0028).
_RETURNS: Final = cast("Table", Return.__table__)
_LAPSE: Final = (
    update(_RETURNS)
    .where(_RETURNS.c.ticket_id == bindparam("of_ticket"), _RETURNS.c.state == ReturnState.OPEN)
    .values(state=ReturnState.LAPSED, decided_at=bindparam("ended"))
)


def policy(session: Session) -> DutyPolicy:
    """Return after how many dispatches a dispute opens, and how long it may take."""
    return DutyPolicy.from_setting(setting(session, DUTY_SETTING))


def lapse(session: Session, *, ticket_id: int, now: datetime) -> None:
    """End the open return of a ticket that is out of its unit's hands; without one there is nothing to end."""
    if not write(session, _LAPSE, {"of_ticket": ticket_id, "ended": now}):
        return
    for known in session.identity_map.values():
        if isinstance(known, Return) and known.ticket_id == ticket_id:
            session.expire(known, ["state", "decided_at"])


def lapse_dispute(session: Session, *, ticket_id: int, now: datetime) -> None:
    """End the open dispute of a ticket that the citizen has taken back."""
    session.execute(
        update(Dispute)
        .where(Dispute.ticket_id == ticket_id, Dispute.state == DisputeState.OPEN)
        .values(state=DisputeState.LAPSED, ended_at=now)
    )


def without_owner(session: Session, ticket: Ticket) -> int:
    """Return how many dispatches of this round were given back: the ticket has had so many units and no owner."""
    return int(
        session.scalar(
            select(func.count()).where(
                Dispatch.ticket_id == ticket.id,
                Dispatch.round == ticket.rework_rounds,
                Dispatch.ending == Ending.SENT_BACK,
            )
        )
        or 0
    )


def interim_owner(session: Session, ticket: Ticket, *, now: datetime) -> tuple[Department, str]:
    """Return who works on a disputed ticket meanwhile, and why: the old division of duties stays (domain.md 2.7).

    The owner by the catalogue in force, else the region's fallback, else who held it last. Raises `Conflict` when
    there is nobody: somebody must then be designated.
    """
    said = catalogue.proposal_for(
        session,
        category_id=ticket.category_id,
        region_id=ticket.region_id,
        request_type=ticket.request_type.value,
        service_item=ticket.service_item or "",
        now=now,
    )
    if said is not None and said.lead_id is not None:
        return session.get_one(Department, said.lead_id), f"争议期间按现行分工办理：{said.reason}"
    owner = territory.owner_of(session, ticket.region_id)
    if owner is not None:
        return owner, "争议期间由属地兜底单位先行办理"
    last = session.scalars(
        select(Department)
        .join(Dispatch, Dispatch.department_id == Department.id)
        .where(Dispatch.ticket_id == ticket.id, Department.active)
        .order_by(Dispatch.id.desc())
        .limit(1)
    ).first()
    if last is None:
        raise Conflict("派单目录和属地兜底都没有适用的单位，请直接派单或指定承办单位。")
    return last, "争议期间由最后承办单位先行办理"


def open_dispute(
    session: Session,
    *,
    ticket_id: int,
    version: int | None,
    words: str,
    by: Actor,
    now: datetime,
    department_ids: Collection[int] = (),
) -> Dispute:
    """Open a dispute at the wish of the hotline, or of the unit that holds the ticket inside its return window.

    Who holds the ticket goes on; a ticket in nobody's hands goes to the interim owner. `department_ids` are further
    units to be heard.
    """
    if not words.strip():
        raise Invalid({"words": "请说明争议的事项和理由。"})
    ticket = tickets.lock(session, ticket_id, version=version)
    if by.can(Permission.DISPUTE_CONVENE):
        cause = Cause.HOTLINE
    else:
        require(by, Permission.DISPUTE_ARGUE)
        held = actions.require_holder(session, ticket_id=ticket_id, by=by)
        if held.answered_at is not None:
            raise WrongState("工单已反馈，不能再提请裁定。")
        if closed := window_closed(held.steps, now=now):
            raise WrongState(closed)
        cause = Cause.DEPARTMENT
    return opened(session, ticket, cause=cause, words=words, department_ids=department_ids, by=by, now=now)


def opened(
    session: Session,
    ticket: Ticket,
    *,
    cause: Cause,
    words: str,
    department_ids: Collection[int] = (),
    by: Actor,
    now: datetime,
) -> Dispute:
    """Open the dispute of a locked ticket; see `open_dispute`."""
    _require_disputable(session, ticket)
    if ticket.state is State.REGISTERED:
        owner, why = interim_owner(session, ticket, now=now)
        actions.dispatch(session, ticket_id=ticket.id, version=None, department_id=owner.id, reason=why, by=by, now=now)
        session.flush()  # what follows looks for the dispatch
    else:
        why = "争议期间由现承办单位先行办理"
    held = current_dispatch(session, ticket.id, lock=True)
    if held is None or held.ended_at is not None or held.answered_at is not None:
        raise WrongState("工单目前不在任何承办单位手中。")
    held.standing = Standing.INTERIM
    lapse(session, ticket_id=ticket.id, now=now)
    rule = policy(session)
    calendar = granting.calendar(session)
    due = due_at(calendar, now, workdays=rule.workdays)
    days = list(itertools.islice(calendar.workdays_after(local(now).date()), rule.workdays))
    dispute = Dispute(
        ticket_id=ticket.id,
        cause=cause,
        words=redact(words.strip())[:2_000],
        opened_by=by.user_id,
        opened_at=now,
        due_at=due,
        steps=counted_days(now, days, due_at=due),
        interim_id=held.department_id,
        interim_reason=why,
    )
    session.add(dispute)
    session.flush()  # the parties need the id
    for department_id in sorted(_concerned(session, ticket.id) | set(department_ids)):
        actions.working(session, department_id)
        session.add(DisputeParty(dispute_id=dispute.id, department_id=department_id))
    interim = session.get_one(Department, held.department_id).name
    tickets.move(
        session,
        ticket,
        Act.OPEN_DISPUTE,
        by=by if by.can(Permission.TICKET_NOTE) else SYSTEM,
        now=now,
        note=dispute.words,
        details={"interim": interim, "rule_by": due.isoformat(), "dispute": dispute.id},
    )
    outbox.publish(session, DisputeOpened(ticket_id=ticket.id, dispute_id=dispute.id), now=now)
    return dispute


def hear(session: Session, *, dispute_id: int, department_id: int, by: Actor, now: datetime) -> None:
    """Let a further unit be heard."""
    require(by, Permission.DISPUTE_CONVENE)
    ticket, dispute = _open(session, dispute_id)
    department = actions.working(session, department_id)
    if session.get(DisputeParty, (dispute.id, department_id)) is not None:
        raise Conflict(f"{department.name}已经是争议方。")
    for member in session.scalars(select(PanelMember).where(PanelMember.dispute_id == dispute.id)):
        if duty_queries.belongs_to(session, user_id=member.user_id, department_id=department_id):
            raise Conflict("裁定小组中有该单位的人员，请先调整裁定小组。")
    session.add(DisputeParty(dispute_id=dispute.id, department_id=department_id))
    tickets.move(
        session, ticket, Act.CONVENE, by=by, now=now, details={"heard": department.name, "dispute": dispute.id}
    )


def argue(
    session: Session,
    *,
    dispute_id: int,
    stance: Stance | None,
    words: str,
    basis: str,
    attachment_ids: Sequence[int] = (),
    by: Actor,
    now: datetime,
) -> Position:
    """Put a unit's position and documents in; it may say more later, what was said before stays."""
    require(by, Permission.DISPUTE_ARGUE)
    problems = {}
    if stance is None:
        problems["stance"] = "请选择本单位的意见。"
    if not words.strip():
        problems["words"] = "请填写意见和事实。"
    elif len(words.strip()) > MOST_POSITION:
        problems["words"] = f"意见最多 {MOST_POSITION} 字。"
    if not basis.strip():
        problems["basis"] = "请填写依据（法规、三定方案或权责清单条款）。"
    elif len(basis.strip()) > MOST_POSITION_BASIS:
        problems["basis"] = f"依据最多 {MOST_POSITION_BASIS} 字。"
    if problems or stance is None:
        raise Invalid(problems)
    ticket, dispute = _open(session, dispute_id)
    mine = session.scalars(
        select(DisputeParty.department_id)
        .where(DisputeParty.dispute_id == dispute.id, DisputeParty.department_id.in_(by.department_ids))
        .order_by(DisputeParty.department_id)
        .limit(1)
    ).first()
    if mine is None:
        raise Denied("您的单位不是本争议的争议方。")
    position = Position(
        dispute_id=dispute.id,
        department_id=mine,
        stance=stance,
        words=redact(words.strip()),
        basis=redact(basis.strip()),
        attachment_ids=list(attachment_ids),
        by_id=by.user_id,
        at=now,
    )
    session.add(position)
    name = session.get_one(Department, mine).name
    tickets.move(
        session, ticket, Act.ARGUE, by=by, now=now, details={"argued": name, "files": len(position.attachment_ids)}
    )
    session.flush()  # the page links to it
    return position


def name_panel(
    session: Session, *, dispute_id: int, seats: Sequence[tuple[int, Seat]], by: Actor, now: datetime
) -> None:
    """Name who rules: at least the hotline and one other, nobody of a unit that is heard (domain.md 2.7)."""
    require(by, Permission.DISPUTE_CONVENE)
    if problems := problems_of_panel(seats):
        raise Invalid(problems)
    ticket, dispute = _open(session, dispute_id)
    if _standing_ruling(session, dispute.id) is not None:
        raise Conflict("已有待会签的裁定意见，不能更换裁定小组。")
    parties = duty_queries.party_ids(session, dispute.id)
    names = []
    for user_id, seat in seats:
        user = session.get(User, user_id)
        if user is None or not user.active or Permission.DISPUTE_RULE not in GRANTS[user.role]:
            raise Invalid({"panel": "所选人员不能参加裁定，请重新选择。"})
        if (seat is Seat.HOTLINE) != (Permission.TICKET_VIEW_ALL in GRANTS[user.role]):
            raise Invalid(
                {"panel": f"{user.display_name}的席位与其身份不符：热线席位由热线人员担任，其他席位由其他部门担任。"}
            )
        if any(duty_queries.belongs_to(session, user_id=user_id, department_id=party) for party in parties):
            raise Invalid({"panel": f"{user.display_name}属于争议单位，不能参加裁定。"})
        names.append(user.display_name)
    for member in session.scalars(select(PanelMember).where(PanelMember.dispute_id == dispute.id)):
        session.delete(member)
    session.flush()  # a member who stays is written anew
    session.add_all(PanelMember(dispute_id=dispute.id, user_id=user_id, seat=seat) for user_id, seat in seats)
    tickets.move(
        session, ticket, Act.CONVENE, by=by, now=now, details={"panel": "、".join(names), "dispute": dispute.id}
    )
    session.flush()  # the database's own refusals come here


def propose_ruling(  # noqa: C901 - one line per rule of the form
    session: Session,
    *,
    dispute_id: int,
    lead_id: int | None,
    assist_ids: Sequence[int] = (),
    words: str,
    basis: str,
    request_type: RequestType | None = None,
    by: Actor,
    now: datetime,
) -> Ruling:
    """Propose who leads and who helps; it is binding once another seat of the panel has confirmed it.

    With a `request_type` it is a precedent for matters of that type alone.
    """
    require(by, Permission.DISPUTE_RULE)
    problems = {}
    if lead_id is None:
        problems["lead_id"] = "请选择主办单位。"
    if lead_id in assist_ids:
        problems["assist_ids"] = "主办单位不能同时协办。"
    elif len(set(assist_ids)) > MOST_ASSIST:
        problems["assist_ids"] = f"协办单位最多 {MOST_ASSIST} 个。"
    if not words.strip():
        problems["words"] = "请填写裁定理由。"
    elif len(words.strip()) > MOST_POSITION:
        problems["words"] = f"裁定理由最多 {MOST_POSITION} 字。"
    if not basis.strip():
        problems["basis"] = "请填写裁定依据。"
    elif len(basis.strip()) > MOST_POSITION_BASIS:
        problems["basis"] = f"裁定依据最多 {MOST_POSITION_BASIS} 字。"
    if problems or lead_id is None:
        raise Invalid(problems)
    ticket, dispute = _open(session, dispute_id)
    if _seat(session, dispute.id, by) is None:
        raise Denied("您不是本争议裁定小组的成员。")
    if _standing_ruling(session, dispute.id) is not None:
        raise Conflict("已有成员提出裁定意见，正在等待会签。")
    for department_id in {lead_id, *assist_ids}:
        actions.working(session, department_id)
    ruling = Ruling(
        dispute_id=dispute.id,
        lead_id=lead_id,
        assist_ids=sorted(set(assist_ids)),
        words=redact(words.strip()),
        basis=redact(basis.strip()),
        proposed_by=by.user_id,
        proposed_at=now,
        category_id=ticket.category_id,
        region_id=ticket.region_id,
        request_type=request_type,
    )
    session.add(ruling)
    session.flush()  # the database's own refusals come here
    return ruling


def drop_ruling(session: Session, *, ruling_id: int, words: str, by: Actor, now: datetime) -> Ruling:  # noqa: ARG001 - the form of every act
    """Turn a proposed ruling down, with the reason; the panel goes on."""
    if not words.strip():
        raise Invalid({"dropped_words": "请填写不同意的理由。"})
    _, dispute, ruling = _proposed(session, ruling_id)
    if _seat(session, dispute.id, by) is None:
        raise Denied("您不是本争议裁定小组的成员。")
    ruling.state, ruling.dropped_words = RulingState.DROPPED, redact(words.strip())[:2_000]
    return ruling


def confirm_ruling(session: Session, *, ruling_id: int, by: Actor, now: datetime) -> Dispatch | None:
    """Confirm a proposed ruling: it binds, moves the ticket to its lead, and becomes a precedent and an example.

    Returns the lead's dispatch, or nothing when the ticket has been answered meanwhile; then the ruling holds for
    what is still to be done.
    """
    require(by, Permission.DISPUTE_RULE)
    overruling.wait_for_publishing(session)
    ticket, dispute, ruling = _proposed(session, ruling_id)
    mine = _seat(session, dispute.id, by)
    proposer = session.get_one(PanelMember, (dispute.id, ruling.proposed_by)).seat
    if mine is None:
        raise Denied("您不是本争议裁定小组的成员。")
    if by.user_id == ruling.proposed_by or not may_confirm(proposer, mine):
        raise Denied("裁定须由热线中心和其他部门的成员各一人共同作出，请由另一方会签。")
    ruling.state, ruling.confirmed_by, ruling.confirmed_at = RulingState.IN_FORCE, by.user_id, now
    session.flush()  # the database's own refusals come here, while the dispute is still open
    lead = actions.working(session, ruling.lead_id)
    helping = [actions.working(session, department_id) for department_id in ruling.assist_ids]
    dispute.state, dispute.ended_at, dispute.ended_by = DisputeState.RULED, now, by.user_id
    dispute.ended_words = ruling.words[:500]
    tickets.move(
        session,
        ticket,
        Act.RULE,
        by=by,
        now=now,
        note=ruling.words,
        details={
            "lead": lead.name,
            "helping": "、".join(one.name for one in helping),
            "ruled_basis": ruling.basis,
            "dispute": dispute.id,
        },
    )
    sent = _bind(session, ticket, lead, reason=f"职责裁定：{ruling.words}"[:500], by=by, now=now)
    if sent is not None:
        session.flush()  # the parts hang on the dispatch
        for one in helping:
            parts.share(
                session,
                ticket_id=ticket.id,
                kind=PartKind.ASSIST,
                department_id=one.id,
                words=f"职责裁定确定协办：{ruling.words}"[:500],
                by=SYSTEM,
                now=now,
            )
    labels.record(
        session,
        ticket_id=ticket.id,
        task=LabelTask.DEPARTMENT,
        label=lead.code,
        provenance=Provenance.RULED,
        by=by,
        now=now,
    )
    outbox.publish(session, DisputeEnded(ticket_id=ticket.id, dispute_id=dispute.id, state="ruled"), now=now)
    return sent


def designate(
    session: Session,
    *,
    ticket_id: int,
    version: int | None,
    department_id: int,
    reason: str,
    by: Actor,
    now: datetime,
) -> Dispatch:
    """Name the department that must handle a ticket, bindingly; an open dispute ends with it (domain.md 2.6, 3)."""
    require(by, Permission.TICKET_DESIGNATE)
    reason = redact(reason.strip())[:500]
    if not reason:
        raise Invalid({"reason": "请填写指定承办的理由。"})
    ticket = tickets.lock(session, ticket_id, version=version)
    department = actions.working(session, department_id)
    if ticket.state is State.REGISTERED:
        actions.dispatch(
            session, ticket_id=ticket.id, version=None, department_id=department.id, reason=reason, by=by, now=now
        )
        session.flush()  # what follows looks for the dispatch
    if ticket.state not in _HELD:
        raise WrongState("工单已反馈或已办结，不能指定承办单位。")
    lapse(session, ticket_id=ticket.id, now=now)
    tickets.move(session, ticket, Act.DESIGNATE, by=by, now=now, note=reason, details={"lead": department.name})
    session.flush()  # one step after the other in the journal
    sent = _bind(session, ticket, department, reason=f"指定承办：{reason}"[:500], by=by, now=now)
    dispute = session.scalars(
        select(Dispute).where(Dispute.ticket_id == ticket.id, Dispute.state == DisputeState.OPEN)
    ).first()
    if dispute is not None:
        dispute.state, dispute.ended_at, dispute.ended_by = DisputeState.DESIGNATED, now, by.user_id
        dispute.ended_words = reason
        outbox.publish(session, DisputeEnded(ticket_id=ticket.id, dispute_id=dispute.id, state="designated"), now=now)
    assert sent is not None  # noqa: S101 - a held ticket has a dispatch
    return sent


def designate_overdue(session: Session, *, now: datetime, limit: int = 200) -> int:
    """Designate where a panel let its limit pass: who works on the ticket keeps it, bindingly. Returns how many.

    A ticket that was answered meanwhile needs nobody: its dispute goes on, so that the panel may still make a
    precedent; one that is closed ends it.
    """
    waiting = session.execute(
        select(Dispute.id, Dispute.ticket_id)
        .where(Dispute.state == DisputeState.OPEN, Dispute.due_at < now)
        .order_by(Dispute.due_at, Dispute.id)
        .limit(limit)
    ).all()
    done = 0
    for dispute_id, ticket_id in waiting:
        ticket = tickets.lock(session, ticket_id)
        dispute = session.scalars(
            select(Dispute).where(Dispute.id == dispute_id).execution_options(populate_existing=True)
        ).one()  # the lock on the ticket is what everybody waits for; what stood here before it may be old
        if dispute.state is not DisputeState.OPEN:
            continue
        if ticket.state is State.CLOSED:
            dispute.state, dispute.ended_at = DisputeState.LAPSED, now
            continue
        held = current_dispatch(session, ticket_id, lock=True)
        if ticket.state not in _HELD or held is None:
            continue
        designate(
            session,
            ticket_id=ticket_id,
            version=None,
            department_id=held.department_id,
            reason=f"职责争议超过裁定期限（{local(dispute.due_at):%m-%d %H:%M}），由热线指定先行办理单位承办。",
            by=SYSTEM,
            now=now,
        )
        session.flush()  # one ticket after the other
        done += 1
    return done


def retire_precedent(session: Session, *, ruling_id: int, by: Actor, now: datetime) -> Ruling:
    """Cite a ruling no more, because duties have changed; the ruling itself stays."""
    require(by, Permission.DISPUTE_CONVENE)
    ruling = session.get(Ruling, ruling_id, with_for_update=True)  # one after the other
    if ruling is None or ruling.state is not RulingState.IN_FORCE:
        raise NotFound
    ruling.retired_at = ruling.retired_at or now
    return ruling


def into_catalogue(session: Session, *, ruling_id: int, by: Actor, now: datetime) -> int:
    """Put a ruling into the catalogue's draft in one step; returns the id of the row."""
    ruling = session.get(Ruling, ruling_id)
    if ruling is None or ruling.state is not RulingState.IN_FORCE:
        raise NotFound
    dispute = session.get_one(Dispute, ruling.dispute_id)
    # A ticket is often classified only when its ruling has said whose it is; the ruling is a precedent for that then.
    ruling.category_id = ruling.category_id or session.get_one(Ticket, dispute.ticket_id).category_id
    if ruling.category_id is None:
        raise Invalid({"category": "工单没有事件类别，不能转为派单目录条目。"})
    category = session.get_one(Category, ruling.category_id)
    region = session.get(Region, ruling.region_id) if ruling.region_id else None
    lead = session.get_one(Department, ruling.lead_id)
    helping = session.scalars(select(Department.code).where(Department.id.in_(ruling.assist_ids))).all()
    row = catalogue.add_row_to_draft(
        session,
        wish=catalogue.RowWish(
            category=category.code,
            region=region.code if region else "",
            request_type=ruling.request_type.value if ruling.request_type else "",
            lead=lead.code,
            co_handlers=tuple(sorted(helping)),
            basis=ruling.basis[:500],
        ),
        origin=f"职责裁定第 {ruling.id} 号",
        by=by,
        now=now,
    )
    session.flush()  # the page links to the row
    return row.id


def _bind(
    session: Session, ticket: Ticket, lead: Department, *, reason: str, by: Actor, now: datetime
) -> Dispatch | None:
    """Put a ticket bindingly into the lead's hands; who holds it already keeps his clock, no time is gained."""
    if ticket.state not in _HELD:
        return None
    held = current_dispatch(session, ticket.id, lock=True)
    if held is None:
        return None
    if held.department_id == lead.id:
        held.standing = Standing.BINDING
        return held
    return actions.hand_over(session, ticket, held, department_id=lead.id, reason=reason, by=by, now=now)


def _open(session: Session, dispute_id: int) -> tuple[Ticket, Dispute]:
    """Lock the ticket, then the dispute; raise `Conflict` when it is not open any more."""
    ticket_id = session.scalar(select(Dispute.ticket_id).where(Dispute.id == dispute_id))
    ticket = tickets.lock(session, ticket_id or 0)
    dispute = session.scalars(
        select(Dispute).where(Dispute.id == dispute_id).execution_options(populate_existing=True)
    ).one()  # the lock on the ticket is what everybody waits for; what stood here before it may be old
    if dispute.state is not DisputeState.OPEN:
        at = f"于 {local(dispute.ended_at):%m-%d %H:%M} " if dispute.ended_at else ""
        what = {DisputeState.RULED: "裁定", DisputeState.DESIGNATED: "由热线指定承办单位"}.get(dispute.state, "终止")
        raise Conflict(f"这项争议已{at}{what}，您的操作没有执行。")
    return ticket, dispute


def _proposed(session: Session, ruling_id: int) -> tuple[Ticket, Dispute, Ruling]:
    dispute_id = session.scalar(select(Ruling.dispute_id).where(Ruling.id == ruling_id))
    ticket, dispute = _open(session, dispute_id or 0)
    ruling = session.scalars(
        select(Ruling).where(Ruling.id == ruling_id).execution_options(populate_existing=True)
    ).one()  # as above
    if ruling.state is not RulingState.PROPOSED:
        raise Conflict("这份裁定意见已有结论，请刷新后查看。")
    return ticket, dispute, ruling


def _require_disputable(session: Session, ticket: Ticket) -> None:
    known = session.scalars(select(Dispute).where(Dispute.ticket_id == ticket.id).order_by(Dispute.id.desc())).first()
    if known is not None and known.state is DisputeState.OPEN:
        raise Conflict("这张工单的职责争议正在裁定。")
    held = current_dispatch(session, ticket.id)
    if known is not None and known.state in {DisputeState.RULED, DisputeState.DESIGNATED}:
        raise Conflict("这张工单的职责已经裁定或指定，不能再次争议。")
    if held is not None and held.ended_at is None and held.standing is Standing.BINDING:
        raise Conflict("承办单位由热线指定，不能再次争议。")
    if ticket.state not in {State.REGISTERED, *_HELD}:
        raise WrongState("工单已反馈或已办结，不能提请裁定。")


def _concerned(session: Session, ticket_id: int) -> set[int]:
    """Return who held the ticket, and whom a unit named in a return: all of them are heard."""
    held = session.scalars(select(Dispatch.department_id).where(Dispatch.ticket_id == ticket_id))
    named = session.scalars(
        select(Return.suggested_id)
        .join(Department, Department.id == Return.suggested_id)
        .where(Return.ticket_id == ticket_id, Department.active)
    )
    return {*held, *(one for one in named if one is not None)}


def _standing_ruling(session: Session, dispute_id: int) -> Ruling | None:
    return session.scalars(
        select(Ruling).where(Ruling.dispute_id == dispute_id, Ruling.state != RulingState.DROPPED)
    ).first()


def _seat(session: Session, dispute_id: int, by: Actor) -> Seat | None:
    member = session.get(PanelMember, (dispute_id, by.user_id)) if by.user_id is not None else None
    return member.seat if member else None
