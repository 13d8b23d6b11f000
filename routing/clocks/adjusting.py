"""Suspension, extension and another class: asked by the department, decided by the hotline, counted anew at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from hotline.core import outbox, paging
from hotline.core.clock import SHANGHAI, local
from hotline.core.errors import Conflict, Denied, Invalid, NotFound, WrongState
from hotline.core.paging import Stretch
from hotline.core.permissions import SYSTEM, Actor, Permission, require
from hotline.core.personal_data import redact
from hotline.people.models import User
from hotline.tickets import actions as tickets
from hotline.tickets.models import Attachment, Ticket
from hotline.tickets.states import Act, State
from routing.actions import require_holder
from routing.clocks import granting
from routing.clocks.deadlines import (
    ClockRefused,
    Extension,
    Suspension,
    check_extension,
    check_suspension,
    clock_named,
    latest_end,
)
from routing.clocks.models import Adjustment, AdjustmentKind, AdjustmentState
from routing.clocks.profiles import SLA_CLASSES, ClockName
from routing.events import ClockAdjusted
from routing.models import Department, Dispatch
from routing.queries import MOST_ROWS

MOST_WORDS: Final = 2_000
#: How many pauses one run of the schedule ends.
_AT_ONCE: Final = 200
_ASKED, _APPROVED = AdjustmentState.ASKED, AdjustmentState.APPROVED


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """What a department may ask for now, and why not where it may not."""

    causes: tuple[tuple[str, int], ...]
    extension_workdays: int
    #: Empty when it may be asked.
    no_suspension: str = ""
    no_extension: str = ""
    needs_higher_level: bool = False


@dataclass(frozen=True, kw_only=True)
class AdjustmentView:
    """One adjustment with the names that a person reads."""

    row: Adjustment
    number: str
    title: str
    version: int
    department: str
    due_at: datetime
    asked_by: str
    decided_by: str
    evidence: str


def ask_suspension(
    session: Session,
    *,
    ticket_id: int,
    version: int | None = None,
    cause: str,
    until: date | None,
    reason: str,
    evidence_id: int | None,
    by: Actor,
    now: datetime,
) -> Adjustment:
    """Ask that the clock stands from now to the end of a day, for a cause of the profile and with evidence (挂起).

    Approved, it stands from this moment on, so that waiting for the decision costs nobody anything. Raises `Invalid`
    by field; a pause longer than the profile allows this cause is among that (domain.md 2.8).
    """
    ticket, row = _held(session, ticket_id, version=version, by=by)
    profile = granting.profile_now(session, row)
    calendar = granting.calendar(session, row.department_id)
    problems = _words({"reason": reason}, "请说明挂起的具体原因。")
    if cause not in profile.suspension.kinds:
        problems["cause"] = "请选择挂起事由。"
    if until is None:
        problems["until"] = "请填写恢复计时前的最后一天。"
    elif until < local(now).date():
        problems["until"] = "挂起的结束日期不能早于今天。"
    evidence = session.get(Attachment, evidence_id) if evidence_id else None
    if evidence is None or evidence.ticket_id != ticket_id:
        problems["evidence"] = "请上传或选择证明材料（立案、委托鉴定、招标公告等）。"
    if now > row.due_at:
        problems["cause"] = "办理时限已经届满，不能再申请挂起。"
    ends_at = datetime.combine((until or date.min) + timedelta(days=1), time(), tzinfo=SHANGHAI)
    if not problems:
        try:
            check_suspension(
                profile=profile,
                calendar=calendar,
                suspension=Suspension(starts_at=now, ends_at=ends_at, kind=cause),
            )
        except ClockRefused as refused:
            problems["until"] = refused.message
    if problems:
        raise Invalid(problems)
    if row.suspended_until is not None and row.suspended_until > now:
        raise Conflict("时限已在挂起中，不能重复申请。")
    wish = Adjustment(
        ticket_id=ticket_id,
        dispatch_id=row.id,
        kind=AdjustmentKind.SUSPENSION,
        state=_ASKED,
        cause=cause,
        reason=redact(reason.strip()),
        evidence_id=evidence_id,
        starts_at=now,
        ends_at=ends_at,
        latest_at=latest_end(profile=profile, calendar=calendar, starts_at=now, kind=cause),
        max_workdays=profile.suspension.longest(cause),
        asked_by=by.user_id,
        asked_at=now,
    )
    _add(session, wish)
    details = {
        "cause": cause,
        "until": until.isoformat() if until else "",
        "evidence": evidence.name if evidence else "",
    }
    tickets.move(session, ticket, Act.ASK_SUSPENSION, by=by, now=now, note=wish.reason[:500], details=details)
    return wish


def ask_extension(
    session: Session,
    *,
    ticket_id: int,
    version: int | None = None,
    workdays: int | None,
    reason: str,
    basis: str,
    by: Actor,
    now: datetime,
) -> Adjustment:
    """Ask for so many working days more, before the limit, with basis and reason (延期, domain.md 2.8).

    A second one is asked for like the first and needs a higher level. Raises `Invalid` by field.
    """
    ticket, row = _held(session, ticket_id, version=version, by=by)
    problems = _words({"reason": reason}, "请说明延期的原因。") | _words(
        {"basis": basis}, "请填写延期依据（法规或规定的条款）。"
    )
    higher = False
    if workdays is None:
        problems["workdays"] = "请填写延长几个工作日。"
    else:
        try:
            higher = _may_extend(session, ticket, row, workdays=workdays, asked_at=now, now=now)
        except ClockRefused as refused:
            problems["workdays"] = refused.message
    if problems or workdays is None:
        raise Invalid(problems)
    wish = Adjustment(
        ticket_id=ticket_id,
        dispatch_id=row.id,
        kind=AdjustmentKind.EXTENSION,
        state=_ASKED,
        reason=redact(reason.strip()),
        basis=redact(basis.strip()),
        workdays=workdays,
        higher_level=higher,
        asked_by=by.user_id,
        asked_at=now,
    )
    _add(session, wish)
    tickets.move(
        session,
        ticket,
        Act.ASK_EXTENSION,
        by=by,
        now=now,
        note=wish.reason[:500],
        details={"workdays": workdays, "basis": wish.basis[:500], "higher_level": higher},
    )
    return wish


def take_back(session: Session, *, adjustment_id: int, by: Actor, now: datetime) -> Adjustment:
    """Withdraw a wish of one's own department that has not been decided."""
    ticket, wish = _locked(session, adjustment_id)
    require_holder(session, ticket_id=ticket.id, by=by)
    if wish.state is not _ASKED:
        raise Conflict("该申请已有处理结果，不能撤回。")
    wish.state = AdjustmentState.LAPSED
    tickets.move(session, ticket, Act.TAKE_BACK, by=by, now=now, details={"kind": wish.kind.value})
    return wish


def decide(session: Session, *, adjustment_id: int, approve: bool, words: str, by: Actor, now: datetime) -> Adjustment:
    """Approve or refuse a department's wish; a refusal says why. Approved, every clock is counted anew.

    Asked in time is in time, however late it is decided. Never by a member of the department, nor by who asked.
    """
    require(by, Permission.DEADLINE_APPROVE)
    ticket, wish = _locked(session, adjustment_id)
    if wish.state is not _ASKED:
        raise Conflict("该申请已有处理结果，请刷新后查看。")
    row = session.get_one(Dispatch, wish.dispatch_id, with_for_update=True)  # its deadline is written below
    if by.user_id == wish.asked_by or row.department_id in by.department_ids:
        raise Denied("不能审批本单位的申请。")
    if wish.higher_level and approve:
        require_further(by)
    if not approve and not words.strip():
        raise Invalid({"words": "驳回须说明理由。"})
    if len(words) > MOST_WORDS:
        raise Invalid({"words": f"最多 {MOST_WORDS} 字。"})
    if not approve:
        wish.state = AdjustmentState.REFUSED
        wish.decided_by, wish.decided_at, wish.decided_words = by.user_id, now, redact(words.strip())
        tickets.move(
            session,
            ticket,
            Act.REFUSE_TIME,
            by=by,
            now=now,
            note=wish.decided_words[:500],
            details={"kind": wish.kind.value},
        )
        return wish
    if wish.kind is AdjustmentKind.EXTENSION:
        try:
            _may_extend(
                session,
                ticket,
                row,
                workdays=wish.workdays or 0,
                asked_at=wish.asked_at,
                higher=wish.higher_level,
                now=now,
            )
        except ClockRefused as refused:
            raise Invalid({"words": refused.message}) from refused
    wish.state = _APPROVED
    wish.decided_by, wish.decided_at, wish.decided_words = by.user_id, now, redact(words.strip())
    session.flush()  # the database judges overlap and repetition here, before anything is counted from it
    act = Act.SUSPEND if wish.kind is AdjustmentKind.SUSPENSION else Act.EXTEND
    _recounted(session, ticket, row, act, note=wish.decided_words, details=_shown(wish), by=by, now=now)
    outbox.publish(session, ClockAdjusted(ticket_id=ticket.id, adjustment_id=wish.id, what=act.value), now=now)
    return wish


def resume(session: Session, *, adjustment_id: int, words: str, by: Actor, now: datetime) -> Adjustment:
    """End a pause before its time: the cause is gone. By the department that has the ticket, or by the hotline."""
    ticket, pause = _locked(session, adjustment_id)
    if not by.can(Permission.DEADLINE_APPROVE):
        require_holder(session, ticket_id=ticket.id, by=by)
    standing = pause.kind is AdjustmentKind.SUSPENSION and pause.state is _APPROVED and pause.resumed_at is None
    if not standing or pause.starts_at is None or pause.ends_at is None or now >= pause.ends_at:
        raise Conflict("时限没有处于挂起状态。")
    if now <= pause.starts_at:
        raise Conflict("挂起刚刚开始，请稍后再试。")
    pause.ends_at = pause.resumed_at = now
    row = session.get_one(Dispatch, pause.dispatch_id, with_for_update=True)  # its deadline is written below
    session.flush()  # the count below reads the interval as it is now
    _recounted(session, ticket, row, Act.RESUME, note=redact(words.strip())[:500], details={}, by=by, now=now)
    outbox.publish(session, ClockAdjusted(ticket_id=ticket.id, adjustment_id=pause.id, what=Act.RESUME.value), now=now)
    return pause


def resume_due(session: Session, *, now: datetime) -> int:
    """Let every clock run again whose pause is over; returns how many. The deadline was counted with it already."""
    ids = session.scalars(
        select(Adjustment.id)
        .where(
            Adjustment.kind == AdjustmentKind.SUSPENSION,
            Adjustment.state == _APPROVED,
            Adjustment.resumed_at.is_(None),
            Adjustment.ends_at <= now,
        )
        .order_by(Adjustment.ends_at, Adjustment.id)
        .limit(_AT_ONCE)
    ).all()
    ended = 0
    for adjustment_id in ids:
        ticket, pause = _locked(session, adjustment_id)
        if pause.resumed_at is not None or pause.ends_at is None or pause.ends_at > now:
            continue  # somebody was quicker
        pause.resumed_at = pause.ends_at
        row = session.get_one(Dispatch, pause.dispatch_id, with_for_update=True)  # its pause is taken off below
        if ticket.state in {State.DISPATCHED, State.SIGNED} and row.is_current and row.ended_at is None:
            session.flush()  # the count below reads the interval as it is now
            _recounted(session, ticket, row, Act.RESUME, note="挂起到期，自动恢复计时", details={}, by=SYSTEM, now=now)
            outbox.publish(
                session, ClockAdjusted(ticket_id=ticket.id, adjustment_id=pause.id, what=Act.RESUME.value), now=now
            )
            ended += 1
    return ended


def reclassify(
    session: Session, *, ticket_id: int, version: int | None, sla_class: str, reason: str, by: Actor, now: datetime
) -> Dispatch:
    """Give a ticket that is out another class of limits (疑难复杂, 督办 ...), from the same start; pauses stay."""
    require(by, Permission.TICKET_DISPATCH)
    problems = _words({"reason": reason}, "请说明调整的理由。")
    if sla_class not in {"", *SLA_CLASSES}:
        problems["sla_class"] = "请选择时限类别。"
    if problems:
        raise Invalid(problems)
    ticket = tickets.lock(session, ticket_id, version=version)
    row = _current(session, ticket)
    terms = {**granting.terms_now(session, row), "sla_class": sla_class}
    if terms == granting.terms_now(session, row):
        raise Invalid({"sla_class": "时限类别没有变化。"})
    before = row.due_at
    granting.note_reclassified(session, row, terms=terms, reason=redact(reason.strip()), by_id=by.user_id, now=now)
    _recounted(
        session,
        ticket,
        row,
        Act.RECLASSIFY,
        note=redact(reason.strip())[:500],
        details={"sla_class": sla_class or "普通", "before": before.isoformat()},
        by=by,
        now=now,
    )
    return row


def follow_amendment(session: Session, *, ticket_id: int, by_id: int | None, now: datetime) -> None:
    """Count the clocks of a ticket anew whose type or urgency was corrected; its start and its pauses stay."""
    ticket = tickets.lock(session, ticket_id)
    if ticket.state not in {State.DISPATCHED, State.SIGNED}:
        return
    with session.no_autoflush:  # the corrections and what follows from them are one new version of the ticket
        row = _current(session, ticket)
        terms = {
            **granting.terms_now(session, row),
            "request_type": ticket.request_type.value,
            "urgency": ticket.urgency.value,
        }
        granting.note_reclassified(session, row, terms=terms, reason="诉求类型或紧急程度更正", by_id=by_id, now=now)
        granting.recount(session, ticket, row, now=now)


def note_return_refused(session: Session, row: Dispatch, *, reason: str, by: Actor, now: datetime) -> None:
    """Write down that a return was refused: the original clock runs on, and its steps say so (domain.md 2.6)."""
    session.add(
        Adjustment(
            ticket_id=row.ticket_id,
            dispatch_id=row.id,
            kind=AdjustmentKind.RETURN_REFUSED,
            state=_APPROVED,
            reason=reason,
            asked_at=now,
            decided_by=by.user_id,
            decided_at=now,
        )
    )
    session.flush()  # the count below reads it
    granting.recount(session, session.get_one(Ticket, row.ticket_id), row, now=now)


def require_further(by: Actor) -> None:
    """Raise `Denied` unless the actor is the higher level that a further extension needs."""
    if not by.can(Permission.DEADLINE_APPROVE_FURTHER):
        raise Denied("再次延期须由督办主管批准。")


def allowance(session: Session, ticket: Ticket, row: Dispatch, *, now: datetime) -> Allowance:
    """Return what the holder of a ticket may ask for now."""
    profile = granting.profile_now(session, row)
    asked = set(
        session.scalars(select(Adjustment.kind).where(Adjustment.dispatch_id == row.id, Adjustment.state == _ASKED))
    )
    no_suspension = ""
    if AdjustmentKind.SUSPENSION in asked:
        no_suspension = "挂起申请正在等待热线中心审批。"
    elif row.suspended_until is not None and row.suspended_until > now:
        no_suspension = f"时限挂起中，{local(row.suspended_until):%m-%d %H:%M} 恢复计时。"
    elif now > row.due_at:
        no_suspension = "办理时限已经届满，不能再申请挂起。"
    elif not profile.suspension.kinds:
        no_suspension = "时限档案没有可以挂起的事由。"
    higher, no_extension = False, ""
    try:
        higher = _may_extend(session, ticket, row, workdays=1, asked_at=now, now=now)
    except ClockRefused as refused:
        no_extension = refused.message
    if AdjustmentKind.EXTENSION in asked:
        no_extension = "延期申请正在等待热线中心审批。"
    return Allowance(
        causes=tuple(sorted(profile.suspension.kinds.items())),
        extension_workdays=profile.extension.max_workdays,
        no_suspension=no_suspension,
        no_extension=no_extension,
        needs_higher_level=higher,
    )


def of_ticket(session: Session, ticket_id: int) -> list[AdjustmentView]:
    """Return every adjustment of a ticket, the oldest first."""
    return [
        _view(*row)
        for row in session.execute(_views().where(Adjustment.ticket_id == ticket_id).order_by(Adjustment.id))
    ]


def one(session: Session, adjustment_id: int) -> AdjustmentView:
    """Return one adjustment, or `NotFound`."""
    found = session.execute(_views().where(Adjustment.id == adjustment_id)).first()
    if found is None:
        raise NotFound
    return _view(*found)


def waiting(session: Session, *, cursor: str = "", limit: int = 30) -> Stretch[AdjustmentView]:
    """Return what waits for a decision, the oldest first; raises `Invalid` on a cursor that is not ours."""
    return paging.by_time(
        session,
        _views().where(Adjustment.state == _ASKED),
        at=Adjustment.asked_at,
        number=Adjustment.id,
        cursor=cursor,
        limit=min(limit, MOST_ROWS),
        made=_view,
        key=lambda one: (one.row.asked_at, one.row.id),
    )


def decided(session: Session, *, cursor: str = "", limit: int = 30) -> Stretch[AdjustmentView]:
    """Return what was decided, the latest first; raises `Invalid` on a cursor that is not ours."""
    return paging.by_time(
        session,
        _views().where(Adjustment.decided_at.is_not(None)),
        at=Adjustment.decided_at,
        number=Adjustment.id,
        newest_first=True,
        cursor=cursor,
        limit=min(limit, MOST_ROWS),
        made=_view,
        key=lambda one: (one.row.decided_at or one.row.asked_at, one.row.id),
    )


def would_be_due(session: Session, wish: Adjustment, *, now: datetime) -> datetime:
    """Return when the ticket would be due if this wish were approved."""
    ticket = session.get_one(Ticket, wish.ticket_id)
    row = session.get_one(Dispatch, wish.dispatch_id)
    change = granting.as_change(session, wish) if wish.state is _ASKED else None
    handle = clock_named(granting.preview(session, ticket, row, change, now=now), ClockName.HANDLE)
    return handle.due_at if handle else row.due_at


def _held(session: Session, ticket_id: int, *, version: int | None, by: Actor) -> tuple[Ticket, Dispatch]:
    require(by, Permission.TICKET_ANSWER)
    ticket = tickets.lock(session, ticket_id, version=version)
    row = require_holder(session, ticket_id=ticket_id, by=by)
    if row.answered_at is not None:
        raise WrongState("工单已经反馈，不能再申请。")
    return ticket, row


def _current(session: Session, ticket: Ticket) -> Dispatch:
    row = session.scalars(
        select(Dispatch).where(Dispatch.ticket_id == ticket.id, Dispatch.is_current).with_for_update()
    ).first()  # its deadline is written next
    if row is None or row.ended_at is not None or row.answered_at is not None:
        raise WrongState("工单目前不在任何承办单位手中。")
    return row


def _locked(session: Session, adjustment_id: int) -> tuple[Ticket, Adjustment]:
    """Lock first the ticket and then the wish, in the order in which everybody does."""
    ticket_id = session.scalar(select(Adjustment.ticket_id).where(Adjustment.id == adjustment_id))
    if ticket_id is None:
        raise NotFound
    ticket = tickets.lock(session, ticket_id)
    wish = session.get_one(
        Adjustment, adjustment_id, with_for_update=True, populate_existing=True
    )  # two deciders at once, one after the other
    return ticket, wish


def _add(session: Session, wish: Adjustment) -> None:
    asked = session.scalar(
        select(Adjustment.id).where(
            Adjustment.dispatch_id == wish.dispatch_id, Adjustment.kind == wish.kind, Adjustment.state == _ASKED
        )
    )
    if asked is not None:
        raise Conflict("已有同类申请等待热线中心审批，请勿重复提交。")
    session.add(wish)
    session.flush()  # the database's own rules refuse here, not at the commit


def _may_extend(
    session: Session,
    ticket: Ticket,
    row: Dispatch,
    *,
    workdays: int,
    asked_at: datetime,
    higher: bool | None = None,
    now: datetime,
) -> bool:
    """Tell whether an extension needs a higher level; raise `ClockRefused` when it may not be at all."""
    profile = granting.profile_now(session, row)
    earlier = [
        Extension(asked_at=one.asked_at, workdays=one.workdays or 0, higher_level=one.higher_level)
        for one in session.scalars(
            select(Adjustment).where(
                Adjustment.dispatch_id == row.id,
                Adjustment.kind == AdjustmentKind.EXTENSION,
                Adjustment.state == _APPROVED,
            )
        )
    ]
    needs_higher = bool(earlier)
    handle = clock_named(granting.preview(session, ticket, row, None, now=now), ClockName.HANDLE)
    assert handle is not None  # noqa: S101 - no profile is without one
    check_extension(
        profile=profile,
        calendar=granting.calendar(session, row.department_id),
        clock=handle,
        asked_at=asked_at,
        workdays=workdays,
        earlier=earlier,
        higher_level=needs_higher if higher is None else higher,
    )
    return needs_higher


def _recounted(
    session: Session,
    ticket: Ticket,
    row: Dispatch,
    act: Act,
    *,
    note: str,
    details: dict[str, Any],
    by: Actor,
    now: datetime,
) -> tickets.Line:
    granted = granting.recount(session, ticket, row, now=now)
    return tickets.move(
        session, ticket, act, by=by, now=now, note=note[:500], details={**details, "due": granted.due_at.isoformat()}
    )


def _words(given: dict[str, str], empty: str) -> dict[str, str]:
    problems = {}
    for name, words in given.items():
        if not words.strip():
            problems[name] = empty
        elif len(words) > MOST_WORDS:
            problems[name] = f"最多 {MOST_WORDS} 字，现有 {len(words)} 字。"
    return problems


def _shown(wish: Adjustment) -> dict[str, Any]:
    if wish.kind is AdjustmentKind.SUSPENSION:
        until = local(wish.ends_at) - timedelta(seconds=1) if wish.ends_at else None
        return {"cause": wish.cause, "until": until.date().isoformat() if until else ""}
    return {"workdays": wish.workdays, "higher_level": wish.higher_level}


def _views() -> Any:  # noqa: ANN401 - a select of nine columns has no readable type
    decider = aliased(User)
    return (
        select(
            Adjustment,
            Ticket.number,
            Ticket.title,
            Ticket.version,
            Department.name,
            Dispatch.due_at,
            User.display_name,
            decider.display_name,
            Attachment.name,
        )
        .join(Ticket, Ticket.id == Adjustment.ticket_id)
        .join(Dispatch, Dispatch.id == Adjustment.dispatch_id)
        .join(Department, Department.id == Dispatch.department_id)
        .join(User, User.id == Adjustment.asked_by, isouter=True)
        .join(decider, decider.id == Adjustment.decided_by, isouter=True)
        .join(Attachment, Attachment.id == Adjustment.evidence_id, isouter=True)
    )


def _view(  # noqa: PLR0917 - the columns of the select above
    row: Adjustment,
    number: str,
    title: str,
    version: int,
    department: str,
    due_at: datetime,
    asked_by: str | None,
    decided_by: str | None,
    evidence: str | None,
) -> AdjustmentView:
    return AdjustmentView(
        row=row,
        number=number,
        title=title,
        version=version,
        department=department,
        due_at=due_at,
        asked_by=asked_by or "",
        decided_by=decided_by or "",
        evidence=evidence or "",
    )
