"""What dispatchers and departments do: dispatch, sign, contact, answer, rework; returns: `routing.duty.returning`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, cast

from sqlalchemy import BigInteger, Table, bindparam, func, or_, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from hotline.core import outbox
from hotline.core.clock import local
from hotline.core.db import constraint_of, mark_written, run, write_new
from hotline.core.errors import Conflict, Denied, Invalid, NotFound, WrongState
from hotline.core.permissions import Actor, Permission, Role, require
from hotline.core.personal_data import PersonalKind, find, redact
from hotline.tickets import actions as tickets
from hotline.tickets.actions import Step
from hotline.tickets.models import Attachment, Region, Ticket
from hotline.tickets.states import Act, State
from hotline.tickets.vocabulary import Kind
from routing.answers import vetting
from routing.catalogue import editions as catalogue
from routing.catalogue import tree
from routing.catalogue.territory import pairs
from routing.clocks import granting
from routing.duty.models import Return
from routing.duty.queries import bound_lead
from routing.duty.rules import ReturnState
from routing.events import TicketAnswered, TicketDispatched, TicketSigned
from routing.learning import labels
from routing.learning.label_models import LabelTask, Provenance
from routing.models import (
    PARTS_ONLY,
    Answer,
    Department,
    DepartmentKind,
    Dispatch,
    Ending,
    Membership,
    Solved,
    Standing,
    Suggestion,
)
from routing.queries import current_dispatch, department_by_code, holding, vetting_waits
from routing.relations.models import Merge

#: Two administrators at once: the second looks at what the first did to the tree.
_TREE: Final = text("SELECT pg_advisory_xact_lock(12345, 4)")
LEAST_ANSWER: Final = 10
MOST_TEXT: Final = 10_000


_DISPATCHES: Final = cast("Table", Dispatch.__table__)
_DISPATCH: Final = _DISPATCHES.insert().returning(_DISPATCHES.c.id)
_ANSWERS: Final = cast("Table", Answer.__table__)
# A unit that had not signed has done so with its answer. In words of SQL: an UPDATE of ours would also set whatever
# column of a dispatch is called like one of an answer.
_ANSWERED_DISPATCH: Final = (
    text(
        "UPDATE dispatches SET answered_at = :answered, signed_at = coalesce(signed_at, :answered),"
        " signed_by = CASE WHEN signed_at IS NULL THEN :answerer ELSE signed_by END WHERE id = :answers RETURNING id"
    )
    .bindparams(
        bindparam("answered", type_=_DISPATCHES.c.answered_at.type),
        bindparam("answerer", type_=BigInteger),
        bindparam("answers", type_=BigInteger),
    )
    .columns(_DISPATCHES.c.id)
    .cte("answered_dispatch")
)
_ANSWER: Final = _ANSWERS.insert().returning(_ANSWERS.c.id).add_cte(_ANSWERED_DISPATCH)
_RETURNS: Final = cast("Table", Return.__table__)
_MERGES: Final = cast("Table", Merge.__table__)
# Every closed ticket asks this, and hardly any has an open return or is answered with another: one question for all.
_END_DISPATCH: Final = select(
    select(_RETURNS.c.id)
    .where(_RETURNS.c.ticket_id == bindparam("of_ticket"), _RETURNS.c.state == ReturnState.OPEN)
    .exists()
    .label("return_asked"),
    select(_MERGES.c.ticket_id)
    .where(
        or_(_MERGES.c.ticket_id == bindparam("of_ticket"), _MERGES.c.main_id == bindparam("of_ticket")),
        _MERGES.c.answered_at.is_(None),
    )
    .exists()
    .label("related"),
).add_cte(
    update(_DISPATCHES)
    .where(
        _DISPATCHES.c.ticket_id == bindparam("of_ticket"), _DISPATCHES.c.is_current, _DISPATCHES.c.ended_at.is_(None)
    )
    .values(ended_at=bindparam("ended"), ending=bindparam("why"))
    .returning(_DISPATCHES.c.id)
    .cte("ended_dispatches")
)


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """What a department feeds back."""

    internal_note: str
    public_answer: str
    found_true: bool = True
    beyond_duty: bool = False
    solved: Solved = Solved.SOLVED
    plan: str = ""
    plan_on: date | None = None
    #: Why the lead answers although a co-handler has not; needed then and only then.
    left_out_why: str = ""


def dispatch(
    session: Session,
    *,
    ticket_id: int,
    version: int | None,
    department_id: int,
    reason: str = "",
    automatic: bool = False,
    by: Actor,
    now: datetime,
) -> Dispatch:
    """Send a registered ticket to the department that must answer it; its clock starts now (domain.md 2.4)."""
    ticket = tickets.lock(session, ticket_id, version=version)
    again = ticket.dispatched_at is not None
    department = working(session, department_id)
    row = _send(
        session,
        ticket,
        department,
        act=Act.DISPATCH,
        reason=reason,
        sla_class="",
        automatic=automatic,
        by=by,
        now=now,
    )
    if by.role is not Role.SYSTEM:
        labels.dispatched(session, ticket, department=department, again=again, by=by, now=now)
    return row


def redispatch(session: Session, ticket: Ticket, *, reason: str, by: Actor, now: datetime) -> Dispatch:
    """Start a round of rework at the department that answered last (重办, domain.md 2.10); `ticket` is locked."""
    last = current_dispatch(session, ticket.id, lock=True)
    if last is None:
        raise Conflict("这张工单没有承办单位，无法重办。")
    if vetting_waits(session, ticket.id):
        raise Conflict("答复正在审核，请由审核结果决定。")
    _end(last, Ending.REWORKED, now=now)
    session.flush()  # the old dispatch must cease to be current before the new one begins to be
    ticket.rework_rounds += 1
    # A ruling that came after the answer holds for what is still to be done (domain.md 2.7).
    bound = bound_lead(session, ticket.id)
    row = _send(
        session,
        ticket,
        _active(session, bound or last.department_id),
        act=Act.REWORK,
        reason=reason,
        sla_class=granting.REWORK,
        automatic=False,
        by=by,
        now=now,
    )
    if bound is not None or last.standing is Standing.BINDING:
        row.standing = Standing.BINDING
    return row


def working(session: Session, department_id: int) -> Department:
    """Return a department that is at work and may have a ticket, or raise `Invalid`."""
    department = _active(session, department_id)
    if department.kind in PARTS_ONLY:
        words = "是基层承办单位，不接触诉求人信息，不能直接承办；请派给其上级单位转办。"
        raise Invalid({"department_id": f"“{department.name}”{words}"})
    return department


def hand_over(
    session: Session, ticket: Ticket, held: Dispatch, *, department_id: int, reason: str, by: Actor, now: datetime
) -> Dispatch:
    """Move a ticket bindingly from the department that holds it to another; `ticket` and `held` are locked."""
    department = working(session, department_id)
    held.is_current, held.ended_at, held.ending = False, now, Ending.REASSIGNED
    session.flush()  # the old dispatch must cease to be current before the new one begins to be
    row = _send(
        session, ticket, department, act=Act.REASSIGN, reason=reason, sla_class="", automatic=False, by=by, now=now
    )
    row.standing = Standing.BINDING
    return row


def sign(session: Session, *, ticket_id: int, version: int | None = None, by: Actor, now: datetime) -> Dispatch:
    """Sign for a ticket on behalf of the department that holds it (签收)."""
    ticket = tickets.lock(session, ticket_id, version=version)
    row = require_holder(session, ticket_id=ticket_id, by=by)
    _sign(session, ticket, row, by=by, now=now)
    return row


def record_contact(
    session: Session,
    *,
    ticket_id: int,
    at: datetime,
    way: str,
    words: str,
    proof_id: int | None = None,
    by: Actor,
    now: datetime,
) -> tickets.Line:
    """Record that the unit spoke with the citizen: when, how, what about, and the proof (联系群众, domain.md 1.1.1)."""
    problems = {}
    if at > now:
        problems["at"] = f"联系时间不能晚于现在（{local(now):%Y-%m-%d %H:%M}）。"
    if not words.strip():
        problems["words"] = "请填写联系情况。"
    if not way.strip():
        problems["way"] = "请选择联系方式。"
    if problems:
        raise Invalid(problems)
    ticket = tickets.lock(session, ticket_id)
    row = require_holder(session, ticket_id=ticket_id, by=by)
    if at < row.sent_at.replace(second=0, microsecond=0):  # a form knows the minute only
        raise Invalid({"at": "联系时间早于派单时间，请核对。"})
    at = max(at, row.sent_at)
    proof = session.get(Attachment, proof_id) if proof_id else None
    if proof_id and (proof is None or proof.ticket_id != ticket_id):
        raise Invalid({"proof": "所选的联系凭证不在这张工单上。"})
    row.contacted_at = row.contacted_at or at
    return tickets.move(
        session,
        ticket,
        Act.CONTACT,
        by=by,
        now=now,
        note=redact(words.strip())[:2_000],
        details={
            "way": way.strip()[:40],
            "contacted_at": at.isoformat(),
            **({"proof": proof.name, "proof_id": proof.id} if proof else {}),
        },
    )


def answer(
    session: Session,
    *,
    ticket_id: int,
    version: int | None,
    feedback: Feedback,
    already_read: bool = False,
    by: Actor,
    now: datetime,
) -> Answer:
    """Feed back: an internal note and, apart from it, the words for the citizen (反馈, domain.md 2.9).

    A ticket that was not signed for is signed for in the same breath. Words that were read and passed before, with the
    ticket that this one is answered with, are not read again. Raises `Invalid` by field.
    """
    checked = _checked(feedback, now=now)
    ticket = tickets.lock(session, ticket_id, version=version)
    held = holding(session, ticket_id)
    row = _holder(held.dispatch if held else None, by=by)
    assert held is not None  # noqa: S101 - without one the line above raised
    waits_for = list(held.waits_for)
    if waits_for and not checked.left_out_why:
        raise Invalid({"left_out_why": f"{'、'.join(waits_for)}尚未反馈；如不等待，请说明理由。"})
    if held.return_asked:
        raise WrongState("退单申请正在审核，不能同时反馈；要继续办理，请先撤回退单申请。")
    signs = ticket.state is State.DISPATCHED
    written = write_new(
        session,
        Answer,
        _ANSWER,
        {
            "dispatch_id": row.id,
            "ticket_id": ticket_id,
            "internal_note": redact(checked.internal_note),
            "public_answer": checked.public_answer,
            "found_true": checked.found_true,
            "beyond_duty": checked.beyond_duty,
            "solved": checked.solved,
            "plan": checked.plan,
            "plan_on": checked.plan_on,
            "left_out_why": checked.left_out_why if waits_for else "",
            "by_id": by.user_id,
            "at": now,
        },
        answers=row.id,
        answered=now,
        answerer=by.user_id,
    )  # the parts are still open here: the database asks for the reason, too
    mark_written(row, {"answered_at": now, **({"signed_at": now, "signed_by": by.user_id} if signs else {})})
    answering = Step(
        act=Act.ANSWER,
        note=checked.public_answer[:200],
        details={
            "solved": checked.solved.value,
            "round": row.round,
            "late": now > row.due_at,
            **({"left_out": waits_for, "left_out_why": checked.left_out_why} if waits_for else {}),
        },
    )
    tickets.move_along(session, ticket, [*([_signing(row, now=now)] if signs else []), answering], by=by, now=now)
    if signs:
        outbox.publish(session, TicketSigned(ticket_id=ticket.id, dispatch_id=row.id), now=now)
    if not checked.beyond_duty:
        labels.record(
            session,
            ticket_id=ticket_id,
            task=LabelTask.DEPARTMENT,
            label=held.department_code,
            provenance=Provenance.ANSWERED,
            by=by,
            now=now,
        )
    if already_read or not vetting.open_if_wanted(session, ticket, row, written, policy=held.vetting, by=by, now=now):
        answered = TicketAnswered(
            ticket_id=ticket_id, dispatch_id=row.id, round=row.round, members_wait=held.members_wait
        )
        outbox.publish(session, answered, now=now)
    return written


@dataclass(frozen=True, kw_only=True)
class LeftOpen:
    """What still hangs on a ticket that has been closed."""

    #: A return waits for the hotline.
    return_asked: bool
    #: It is answered with another ticket, or others with it.
    related: bool


def end_dispatch(session: Session, *, ticket_id: int, withdrawn: bool, now: datetime) -> LeftOpen:
    """End the dispatch of a ticket that has been closed, if it has one; returns what else is to be ended."""
    ending = Ending.WITHDRAWN if withdrawn else Ending.CLOSED
    told = {"of_ticket": ticket_id, "ended": now, "why": ending}
    left = run(session, _END_DISPATCH, told).one()
    for known in session.identity_map.values():
        if isinstance(known, Dispatch) and known.ticket_id == ticket_id and known.is_current and not known.ended_at:
            mark_written(known, {"ended_at": now, "ending": ending})
    return LeftOpen(return_asked=left.return_asked, related=left.related)


def require_holder(session: Session, *, ticket_id: int, by: Actor) -> Dispatch:
    """Return the dispatch in force, or raise unless the actor's department holds the ticket."""
    return _holder(current_dispatch(session, ticket_id, lock=True), by=by)


def _holder(row: Dispatch | None, *, by: Actor) -> Dispatch:
    if row is None or row.ended_at is not None:
        raise WrongState("工单目前不在任何承办单位手中。")
    if row.department_id not in by.department_ids:
        raise Denied("工单不在您所属单位手中。")
    return row


def store_suggestion(session: Session, suggestion: Suggestion, *, by: Actor) -> Suggestion:
    """Keep what a model version said of a ticket, once per version."""
    require(by, Permission.TICKET_SUGGEST)
    known = session.scalars(
        select(Suggestion).where(
            Suggestion.ticket_id == suggestion.ticket_id, Suggestion.model_version == suggestion.model_version
        )
    ).first()
    if known is not None:
        return known
    session.add(suggestion)
    session.flush()  # the reader that dispatches next needs the id
    return suggestion


def join_department(session: Session, *, user_id: int, department_ids: frozenset[int], by: Actor) -> None:
    """Enter a user for exactly these departments."""
    if by.role is not Role.SYSTEM:
        require(by, Permission.USER_EDIT)
    for row in session.scalars(select(Membership).where(Membership.user_id == user_id)):
        if row.department_id not in department_ids:
            session.delete(row)
    for department_id in sorted(department_ids):
        _active(session, department_id)
        session.merge(Membership(user_id=user_id, department_id=department_id))


def create_department(
    session: Session,
    *,
    code: str,
    name: str,
    short_name: str,
    kind: DepartmentKind | None,
    parent_id: int | None,
    duty_phone: str,
    region_code: str = "",
    by: Actor,
) -> Department:
    """Add a department; its code is what catalogues, imports and programs call it by and never changes."""
    require(by, Permission.CATALOGUE_EDIT)
    code, name = code.strip(), name.strip()
    problems: dict[str, str] = {}
    if not re.fullmatch(r"[a-z][a-z0-9_]{1,59}", code):
        problems["code"] = "代码为 2–60 位小写字母、数字或下划线，以字母开头。"
    elif department_by_code(session, code) is not None:
        problems["code"] = f"代码“{code}”已被使用。"
    if not name:
        problems["name"] = "请填写单位名称。"
    if kind is None:
        problems["kind"] = "请选择单位类别。"
    if not _is_region(session, region_code):
        problems["region_code"] = "所选的区域不存在。"
    if parent_id is not None:
        problems |= _tree_problem(session, node=None, parent=parent_id)
    if problems or kind is None:
        raise Invalid(problems)
    row = Department(
        code=code,
        name=name,
        short_name=short_name.strip() or name,
        kind=kind,
        parent_id=parent_id,
        duty_phone=duty_phone.strip(),
        region_code=region_code.strip(),
    )
    session.add(row)
    session.flush()  # the unique code refuses here, not at the commit
    return row


def change_department(  # noqa: C901 - one line per rule of the form
    session: Session,
    *,
    department_id: int,
    version: int,
    changes: Mapping[str, Any],
    by: Actor,
) -> Department:
    """Change name, short name, duty phone, parent or activity; a circle in the tree is refused."""
    require(by, Permission.CATALOGUE_EDIT)
    if "parent_id" in changes:
        session.execute(_TREE)  # before the row: two who each hold one and wait for the other's would wait for ever
    row = session.get(Department, department_id, with_for_update=True)  # one administrator after the other
    if row is None:
        raise NotFound
    if row.version != version:
        raise Conflict("该单位刚刚被他人修改，请刷新后重试。")
    parent = changes.get("parent_id", row.parent_id)
    if parent is not None and parent != row.parent_id:
        problem = _tree_problem(session, node=row.id, parent=parent)
        if problem:
            raise Invalid(problem)
    if not _is_region(session, str(changes.get("region_code", ""))):
        raise Invalid({"region_code": "所选的区域不存在。"})
    if changes.get("active") is False and _works_below(session, department_id):
        raise Conflict("该单位还有使用中的下级单位，请先停用下级或改变其上级。")
    if changes.get("active") is False and _holds(session, department_id):
        raise Conflict("该单位手中还有未办结的工单，不能停用。")
    if not str(changes.get("name", row.name)).strip():
        raise Invalid({"name": "请填写单位名称。"})
    for name in ("name", "short_name", "duty_phone", "parent_id", "region_code", "active"):
        if name in changes:
            setattr(row, name, changes[name])
    return row


def _is_region(session: Session, code: str) -> bool:
    return not code.strip() or session.scalar(select(Region.id).where(Region.code == code.strip())) is not None


def _works_below(session: Session, department_id: int) -> bool:
    below = select(Department.id).where(Department.parent_id == department_id, Department.active).limit(1)
    return session.scalar(below) is not None


def _tree_problem(session: Session, *, node: int | None, parent: int) -> dict[str, str]:
    """Return what is wrong with a place in the tree, by field; the database holds the same (departments_are_a_tree)."""
    session.execute(_TREE)
    parents = pairs(session, select(Department.id, Department.parent_id))
    if parent not in parents:
        return {"parent_id": "所选的上级单位不存在。"}
    words = tree.problem(parents, node=node, parent=parent)
    return {"parent_id": words} if words else {}


def _send(
    session: Session,
    ticket: Ticket,
    department: Department,
    *,
    act: Act,
    reason: str,
    sla_class: str,
    automatic: bool,
    by: Actor,
    now: datetime,
) -> Dispatch:
    under = catalogue.applied(
        session,
        category_id=ticket.category_id,
        region_id=ticket.region_id,
        request_type=ticket.request_type.value,
        service_item=ticket.service_item or "",
        now=now,
    )
    granted = granting.grant(
        session,
        ticket,
        sla_class=sla_class,
        # A bad review has limits of its own; for everything else the row's class decides where nothing else has.
        usual_class=under.sla_class if ticket.kind is Kind.CONCERN else "",
        department_id=department.id,
        now=now,
    )
    tickets.move(
        session,
        ticket,
        act,
        by=by,
        now=now,
        note=redact(reason.strip())[:500],
        details={"department": department.name, "due": granted.due_at.isoformat(), "automatic": automatic},
        becomes={"due_at": granted.due_at},
    )
    row = _written(
        session,
        department,
        {
            "ticket_id": ticket.id,
            "department_id": department.id,
            "round": ticket.rework_rounds,
            "is_current": True,
            "automatic": automatic,
            "reason": redact(reason.strip())[:500],
            "sent_by": by.user_id,
            "sent_at": now,
            "profile": granted.profile,
            "sign_due_at": granted.sign_due_at,
            "due_at": granted.due_at,
            "steps": granted.steps,
            "terms": granted.terms,
            "catalogue_version_id": under.version_id,
            "catalogue_row_id": under.row_id,
            "sla_class": str(granted.terms.get("sla_class", "")),
        },
    )
    outbox.publish(
        session,
        TicketDispatched(
            ticket_id=ticket.id,
            dispatch_id=row.id,
            department_id=department.id,
            due_at=row.due_at.isoformat(),
            automatic=automatic,
            rework=act is Act.REWORK,
        ),
        now=now,
    )
    return row


def _signing(row: Dispatch, *, now: datetime) -> Step:
    return Step(act=Act.SIGN, details={"late": now > row.sign_due_at})


def _sign(session: Session, ticket: Ticket, row: Dispatch, *, by: Actor, now: datetime) -> None:
    tickets.move_along(session, ticket, [_signing(row, now=now)], by=by, now=now)
    row.signed_at, row.signed_by = now, by.user_id
    outbox.publish(session, TicketSigned(ticket_id=ticket.id, dispatch_id=row.id), now=now)


def _end(row: Dispatch, ending: Ending, *, now: datetime) -> None:
    row.ended_at, row.ending = now, ending
    if ending is Ending.REWORKED:
        row.is_current = False


def _written(session: Session, department: Department, values: Mapping[str, Any]) -> Dispatch:
    """Write a dispatch; the database refuses one to a department that somebody has closed a moment ago."""
    try:
        return write_new(session, Dispatch, _DISPATCH, values)
    except IntegrityError as error:
        if constraint_of(error) == "department_works":
            raise _closed(department) from error
        raise


def _active(session: Session, department_id: int) -> Department:
    department = session.get(Department, department_id)
    if department is None:
        raise Invalid({"department_id": "所选的承办单位不存在，请重新选择。"})
    if not department.active:
        raise _closed(department)
    return department


def _closed(department: Department) -> Invalid:
    return Invalid({"department_id": f"“{department.name}”已停用，请另选承办单位。"})


def _holds(session: Session, department_id: int) -> bool:
    return bool(
        session.scalar(
            select(func.count())
            .select_from(Dispatch)
            .where(
                Dispatch.department_id == department_id,
                Dispatch.is_current,
                Dispatch.answered_at.is_(None),
                Dispatch.ended_at.is_(None),
            )
        )
    )


def problems_in(feedback: Feedback, *, now: datetime) -> dict[str, list[str]]:
    """Return what would be refused in this feedback, by field; a form asks before it is complete."""
    try:
        _checked(feedback, now=now)
    except Invalid as error:
        return error.fields
    return {}


def _checked(feedback: Feedback, *, now: datetime) -> Feedback:  # noqa: C901 - one line per rule of the form
    note, words, plan = feedback.internal_note.strip(), feedback.public_answer.strip(), feedback.plan.strip()
    problems: dict[str, str] = {}
    if not note:
        problems["internal_note"] = "请填写内部办理情况（不向诉求人公开）。"
    elif len(note) > MOST_TEXT:
        problems["internal_note"] = f"最多 {MOST_TEXT} 字，现有 {len(note)} 字。"
    if len(words) < LEAST_ANSWER:
        problems["public_answer"] = f"公开答复至少 {LEAST_ANSWER} 个字，请正面回应诉求。"
    elif len(words) > MOST_TEXT:
        problems["public_answer"] = f"最多 {MOST_TEXT} 字，现有 {len(words)} 字。"
    elif words == note:
        problems["public_answer"] = "公开答复与内部办理情况相同，请另行撰写面向诉求人的答复。"
    # An office's own telephone belongs in an answer; that it is not the citizen's is asked with the doubts.
    elif spans := [one for one in find(words) if one.kind is not PersonalKind.LANDLINE]:
        shown = "、".join(words[span.start : span.end] for span in spans[:3])
        problems["public_answer"] = f"公开答复中含有个人信息（{shown}），请删除后再提交。"
    if feedback.solved is not Solved.SOLVED:
        if not plan:
            problems["plan"] = "尚未解决的，请填写后续办理计划。"
        if feedback.plan_on is None:
            problems["plan_on"] = "请填写计划完成日期。"
        elif feedback.plan_on < local(now).date():
            problems["plan_on"] = "计划完成日期不能早于今天。"
    if problems:
        raise Invalid(problems)
    return Feedback(
        internal_note=note,
        public_answer=words,
        found_true=feedback.found_true,
        beyond_duty=feedback.beyond_duty,
        solved=feedback.solved,
        plan=plan,
        plan_on=feedback.plan_on,
        left_out_why=redact(feedback.left_out_why.strip())[:2_000],
    )
