"""Reads of routing; `visible_to` is the one door through which tickets are listed or loaded for a person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    and_,
    bindparam,
    func,
    or_,
    select,
    true,
)
from sqlalchemy.orm import Session, aliased
from sqlalchemy.sql import ColumnElement, Select

from hotline.core.errors import NotFound
from hotline.core.permissions import Actor, Permission
from hotline.people.models import User
from hotline.tickets.models import Category, InstallationSetting, Region, Ticket
from hotline.tickets.queries import locked_here
from routing.answers import vetting_rules
from routing.answers.part_models import PartKind, Subtask
from routing.answers.vetting_models import Vetting, VettingState
from routing.answers.vetting_rules import VettingPolicy
from routing.catalogue.models import CatalogueVersion
from routing.duty.models import Return
from routing.duty.rules import ReturnState
from routing.models import (
    PARTS_ONLY,
    Answer,
    Department,
    DepartmentKind,
    Dispatch,
    Membership,
    Standing,
    Suggestion,
)
from routing.relations.models import Merge

MOST_ROWS: Final = 100


@dataclass(frozen=True, kw_only=True)
class DepartmentNode:
    """A department as choices need it."""

    id: int
    code: str
    name: str
    short_name: str
    kind: DepartmentKind
    parent_id: int | None
    region_code: str
    duty_phone: str
    active: bool
    version: int


@dataclass(frozen=True, kw_only=True)
class DispatchView:
    """One dispatch with the names a person reads."""

    id: int
    department_id: int
    department: str
    round: int
    is_current: bool
    automatic: bool
    reason: str
    sent_at: datetime
    sent_by: str
    profile: str
    sign_due_at: datetime
    due_at: datetime
    steps: Mapping[str, Any]
    signed_at: datetime | None
    signed_by: str
    contacted_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    ending: str
    standing: Standing = Standing.ORDINARY
    answer: Answer | None = field(default=None)
    #: Number of the dispatch catalogue's edition under which it went out, and the class of its limits.
    edition: int | None = None
    sla_class: str = ""
    suspended_until: datetime | None = None
    #: When a declared day or an edition moved the deadline last, and where it was before.
    moved_at: datetime | None = None
    moved_from: datetime | None = None
    #: Its answer lies before a reader of the hotline: nobody outside is told it yet.
    vetted: bool = False


def departments(
    session: Session, *, active_only: bool = True, with_parts_only: bool = True
) -> Sequence[DepartmentNode]:
    """Return all departments in order of code; a city has hundreds, not thousands.

    Without those of the third level where a ticket is to go to one of them.
    """
    query = select(Department).order_by(Department.kind, Department.code).limit(5_000)
    if active_only:
        query = query.where(Department.active)
    if not with_parts_only:
        query = query.where(Department.kind.not_in(PARTS_ONLY))
    return [
        DepartmentNode(
            id=row.id,
            code=row.code,
            name=row.name,
            short_name=row.short_name,
            kind=row.kind,
            parent_id=row.parent_id,
            region_code=row.region_code,
            duty_phone=row.duty_phone,
            active=row.active,
            version=row.version,
        )
        for row in session.scalars(query)
    ]


def department_by_code(session: Session, code: str) -> Department | None:
    """Return the department with this code, if there is one."""
    return session.scalars(_DEPARTMENT_BY_CODE, {"code": code}).first()


def departments_of(session: Session, user_id: int) -> frozenset[int]:
    """Return the departments a user works for, with everything below them in the tree."""
    tree = select(Membership.department_id.label("id")).where(Membership.user_id == user_id).cte("mine", recursive=True)
    below = select(Department.id).join(tree, Department.parent_id == tree.c.id)
    return frozenset(session.scalars(select(tree.union(below).c.id)))


def members_of(session: Session, department_id: int) -> Sequence[tuple[int, str, str]]:
    """Return id, login and name of a department's members."""
    rows = session.execute(
        select(User.id, User.login, User.display_name)
        .join(Membership, Membership.user_id == User.id)
        .where(Membership.department_id == department_id)
        .order_by(User.login)
        .limit(500)
    )
    return [(row.id, row.login, row.display_name) for row in rows]


def memberships(session: Session, user_ids: Iterable[int]) -> dict[int, list[str]]:
    """Return, for each user, the names of the departments he is entered for."""
    rows = session.execute(
        select(Membership.user_id, Department.short_name)
        .join(Department, Department.id == Membership.department_id)
        .where(Membership.user_id.in_(list(user_ids)))
        .order_by(Department.code)
    )
    found: dict[int, list[str]] = {}
    for user_id, name in rows:
        found.setdefault(user_id, []).append(name)
    return found


def visible_to(actor: Actor) -> ColumnElement[bool]:
    """Return which tickets this person may see: all, or those his departments have or had in hand, or help with.

    Whoever has a part that was forwarded downwards sees that part alone (routing.answers.parts), never the ticket.
    """
    if actor.can(Permission.TICKET_VIEW_ALL):
        return true()
    mine = actor.department_ids
    held = select(Dispatch.id).where(Dispatch.ticket_id == Ticket.id, Dispatch.department_id.in_(mine))
    helps = select(Subtask.id).where(
        Subtask.ticket_id == Ticket.id, Subtask.department_id.in_(mine), Subtask.kind == PartKind.ASSIST
    )
    return or_(held.exists(), helps.exists())


def _ticket_for(*, everything: bool, lock: bool) -> Select[Ticket]:
    query = select(Ticket).where(Ticket.number == bindparam("number"))
    if not everything:
        # One array, however many there are: the statement stays the same and is prepared once.
        mine = func.any(bindparam("departments", type_=ARRAY(BigInteger)))
        in_hand = select(Dispatch.id).where(Dispatch.ticket_id == Ticket.id, Dispatch.department_id == mine)
        helps = select(Subtask.id).where(
            Subtask.ticket_id == Ticket.id, Subtask.department_id == mine, Subtask.kind == PartKind.ASSIST
        )
        query = query.where(or_(in_hand.exists(), helps.exists()))
    # Locked in the same breath, because an act follows at once.
    return query.with_for_update(of=Ticket).execution_options(populate_existing=True) if lock else query


#: May the person see everything? Does an act follow? -> the question. The first must mean what `visible_to` means.
_TICKETS_FOR: Final = {
    (everything, lock): _ticket_for(everything=everything, lock=lock)
    for everything in (True, False)
    for lock in (True, False)
}


_DEPARTMENT_BY_CODE: Final = select(Department).where(Department.code == bindparam("code"))


_HELPER: Final = aliased(Department)


_CURRENT_DISPATCH: Final = select(Dispatch).where(Dispatch.ticket_id == bindparam("of_ticket"), Dispatch.is_current)


_CURRENT_DISPATCH_LOCKED: Final = _CURRENT_DISPATCH.with_for_update()


# The ticket is locked by a statement before this one, so what is asked beside the dispatch cannot change any more.
_HOLDING: Final = (
    select(
        Dispatch,
        Department.code,
        func.array(
            select(_HELPER.name)
            .join(Subtask, Subtask.department_id == _HELPER.id)
            .where(Subtask.dispatch_id == Dispatch.id, Subtask.ended_at.is_(None))
            .order_by(Subtask.id)
            .scalar_subquery()
        ),
        select(Return.id).where(Return.ticket_id == Dispatch.ticket_id, Return.state == ReturnState.OPEN).exists(),
        select(Merge.ticket_id).where(Merge.main_id == Dispatch.ticket_id, Merge.answered_at.is_(None)).exists(),
        select(InstallationSetting.value).where(InstallationSetting.name == vetting_rules.SETTING).scalar_subquery(),
    )
    .join(Department, Department.id == Dispatch.department_id)
    .where(Dispatch.ticket_id == bindparam("of_ticket"), Dispatch.is_current)
    .with_for_update(of=Dispatch)
)


_HELD: Final = (
    select(Dispatch.department_id)
    .where(Dispatch.ticket_id == bindparam("of_ticket"))
    .union(select(Subtask.department_id).where(Subtask.ticket_id == bindparam("of_ticket")))
)


def ticket_for(session: Session, actor: Actor, number: str, *, lock: bool = False) -> Ticket:
    """Return the ticket with this number if the person may see it; otherwise `NotFound`, which tells nothing.

    With `lock` it is locked in the same breath, for an act that follows in this transaction.
    """
    everything = actor.can(Permission.TICKET_VIEW_ALL)
    asked: dict[str, Any] = {"number": number.strip()}
    if not everything:
        asked["departments"] = list(actor.department_ids)
    ticket = session.scalars(_TICKETS_FOR[everything, lock], asked).first()
    if ticket is None:
        raise NotFound
    if lock:
        locked_here(session).add(ticket.id)
    return ticket


def dispatches_of(session: Session, ticket_id: int) -> Sequence[DispatchView]:
    """Return every dispatch of a ticket, the oldest first, each with its answer."""
    signer = aliased(User)
    rows = session.execute(
        select(
            Dispatch,
            Department.name,
            User.display_name,
            signer.display_name,
            Answer,
            CatalogueVersion.number,
            Vetting.id,
        )
        .join(Department, Department.id == Dispatch.department_id)
        .join(User, User.id == Dispatch.sent_by, isouter=True)
        .join(signer, signer.id == Dispatch.signed_by, isouter=True)
        .join(Answer, and_(Answer.dispatch_id == Dispatch.id, Answer.sent_back_at.is_(None)), isouter=True)
        .join(CatalogueVersion, CatalogueVersion.id == Dispatch.catalogue_version_id, isouter=True)
        .join(Vetting, and_(Vetting.dispatch_id == Dispatch.id, Vetting.state == VettingState.WAITING), isouter=True)
        .where(Dispatch.ticket_id == ticket_id)
        .order_by(Dispatch.id)
        .limit(100)
    )
    return [
        DispatchView(
            id=row.id,
            department_id=row.department_id,
            department=department,
            round=row.round,
            is_current=row.is_current,
            automatic=row.automatic,
            reason=row.reason,
            sent_at=row.sent_at,
            sent_by=sender or "",
            profile=row.profile,
            sign_due_at=row.sign_due_at,
            due_at=row.due_at,
            steps=row.steps,
            signed_at=row.signed_at,
            signed_by=signed_by or "",
            contacted_at=row.contacted_at,
            answered_at=row.answered_at,
            ended_at=row.ended_at,
            ending=row.ending.value if row.ending else "",
            standing=row.standing,
            answer=answer,
            edition=edition,
            sla_class=row.sla_class,
            suspended_until=row.suspended_until,
            moved_at=row.moved_at,
            moved_from=row.moved_from,
            vetted=vetting_id is not None,
        )
        for row, department, sender, signed_by, answer, edition, vetting_id in rows
    ]


def current_dispatch(session: Session, ticket_id: int, *, lock: bool = False) -> Dispatch | None:
    """Return the dispatch that is in force, if the ticket is or was out."""
    query = _CURRENT_DISPATCH_LOCKED if lock else _CURRENT_DISPATCH
    return session.scalars(query, {"of_ticket": ticket_id}).first()


@dataclass(frozen=True, kw_only=True)
class Holding:
    """The dispatch in force with what decides whether it may be answered."""

    dispatch: Dispatch
    department_code: str
    #: Names of the co-handlers and departments below that have not fed back.
    waits_for: Sequence[str]
    #: A return of the ticket waits for the hotline.
    return_asked: bool
    #: Other tickets wait to be answered with this one.
    members_wait: bool
    #: Which answers a reader of the hotline sees first.
    vetting: VettingPolicy


def holding(session: Session, ticket_id: int) -> Holding | None:
    """Return and lock the dispatch in force, with what stands in the way of an answer; the ticket is locked before."""
    found = session.execute(_HOLDING, {"of_ticket": ticket_id}).first()
    if found is None:
        return None
    dispatch, code, names, asked, members, policy = found
    return Holding(
        dispatch=dispatch,
        department_code=code,
        waits_for=tuple(names),
        return_asked=asked,
        members_wait=members,
        vetting=VettingPolicy.from_setting(policy),
    )


def departments_that_held(session: Session, ticket_id: int) -> frozenset[int]:
    """Return every department that ever had the ticket, or a part of it, in hand."""
    return frozenset(session.scalars(_HELD, {"of_ticket": ticket_id}))


def vetting_waits(session: Session, ticket_id: int) -> bool:
    """Tell whether the ticket's answer lies before a reader of the hotline."""
    query = select(Vetting.id).where(Vetting.ticket_id == ticket_id, Vetting.state == VettingState.WAITING)
    return session.scalar(query) is not None


def suggestion_of(session: Session, ticket_id: int) -> Suggestion | None:
    """Return the newest thing the model said of a ticket."""
    return session.scalars(
        select(Suggestion).where(Suggestion.ticket_id == ticket_id).order_by(Suggestion.id.desc()).limit(1)
    ).first()


def suggestions_of(session: Session, ticket_ids: Iterable[int]) -> dict[int, Suggestion]:
    """Return the newest suggestion for each of these tickets."""
    rows = session.scalars(select(Suggestion).where(Suggestion.ticket_id.in_(list(ticket_ids))).order_by(Suggestion.id))
    return {row.ticket_id: row for row in rows}


def place_names(session: Session, ticket: Ticket) -> tuple[str, str]:
    """Return the paths of a ticket's category and of its region, empty where it has none."""
    category = select(Category.path).where(Category.id == ticket.category_id).scalar_subquery()
    region = select(Region.path).where(Region.id == ticket.region_id).scalar_subquery()
    found = session.execute(select(func.coalesce(category, ""), func.coalesce(region, ""))).one()
    return str(found[0]), str(found[1])


def returns_of(session: Session, ticket_ids: Iterable[int]) -> dict[int, int]:
    """Return, for each of these tickets that was sent back, how often it was."""
    rows = session.execute(
        select(Ticket.id, Ticket.returned).where(Ticket.id.in_(list(ticket_ids)), Ticket.returned > 0)
    )
    return {ticket_id: name for ticket_id, name in rows}  # noqa: C416 - dict() does not see that a row is a pair


def department(session: Session, department_id: int) -> Department:
    """Return one department, or `NotFound`."""
    found = session.get(Department, department_id)
    if found is None:
        raise NotFound
    return found


def department_name(session: Session, department_id: int) -> str:
    """Return what a department is called that a row of ours points at, so that it is there."""
    return session.get_one(Department, department_id).name


def entered_for(session: Session, user_id: int) -> frozenset[int]:
    """Return exactly the departments that a user is entered for, without what lies below them."""
    return frozenset(session.scalars(select(Membership.department_id).where(Membership.user_id == user_id)))


def tickets_numbered(session: Session, actor: Actor, numbers: Iterable[str]) -> dict[str, int]:
    """Return the ids of those of these numbers that the person may see."""
    rows = session.execute(
        select(Ticket.number, Ticket.id).where(Ticket.number.in_(list(numbers)), visible_to(actor)).limit(500)
    )
    return {number: ticket_id for number, ticket_id in rows}  # noqa: C416 - dict() does not see that a row is a pair
