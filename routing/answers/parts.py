"""Lead and co-handlers, and forwarding to departments below: one ticket in many hands, one public answer."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from hotline.core.clock import local
from hotline.core.db import keyring_of
from hotline.core.errors import Conflict, Denied, Invalid, NotFound, WrongState
from hotline.core.paging import Stretch, by_key, by_time
from hotline.core.permissions import Actor, Permission, require
from hotline.core.personal_data import redact
from hotline.people.models import User
from hotline.tickets import actions as tickets
from hotline.tickets.actions import Step
from hotline.tickets.models import Ticket
from hotline.tickets.states import Act
from routing import actions
from routing.answers.cutting import without_citizen
from routing.answers.part_models import PartEnding, PartKind, Subtask
from routing.clocks import granting
from routing.clocks.days import Calendars, calendars
from routing.clocks.deadlines import inside
from routing.models import PARTS_ONLY, Department, Dispatch
from routing.queries import MOST_ROWS, current_dispatch, department_name

MOST_WORDS: Final = 10_000
LEAST_ANSWER: Final = 5
#: How many departments one dispatch is shared with at most.
MOST_PARTS: Final = 20
#: The extension behind our own number that connects to a citizen while a part is open.
RELAY: Final = "12345 转 {:06d}"
_ASSIST: Final = "请协助主办单位办理本单位职责部分。"
_LEAD_TOO: Final = "主办单位不能同时作为协办或下级承办。"
_PARTS_ONLY: Final = "“{}”是基层承办单位，不接触诉求人信息，不能协办；请由其上级单位转办。"
_BELOW: Final = "“{}”是本单位的下级，请用“转办下级单位”：下级只看去除个人信息的任务。"
_TOO_MANY: Final = f"一张工单最多分给 {MOST_PARTS} 个单位。"


@dataclass(frozen=True, kw_only=True)
class PartView:
    """One part with the names that a person reads; nothing of it names the citizen."""

    row: Subtask
    number: str
    department: str
    lead: str
    lead_id: int
    lead_due_at: datetime
    given_by: str
    signed_by: str
    answered_by: str


@dataclass(frozen=True, kw_only=True)
class Wish:
    """A ticket that is to go out, as it was seen, with those who are to help."""

    ticket_id: int
    version: int | None
    assist_ids: Collection[int] = ()


def dispatch_shared(
    session: Session,
    *,
    ticket_id: int,
    version: int | None,
    department_id: int,
    assist_ids: Collection[int] = (),
    reason: str = "",
    automatic: bool = False,
    by: Actor,
    now: datetime,
) -> Dispatch:
    """Dispatch to a lead and give each co-handler his part in the same breath (主办, 协办; domain.md 2.3).

    Raises `Invalid` for a co-handler that is closed, and names it; then nothing is dispatched.
    """
    wish = Wish(ticket_id=ticket_id, version=version, assist_ids=assist_ids)
    (sent,) = dispatch_all(
        session, [wish], department_id=department_id, reason=reason, automatic=automatic, by=by, now=now
    )
    return sent


def dispatch_all(
    session: Session,
    wishes: Sequence[Wish],
    *,
    department_id: int,
    reason: str = "",
    automatic: bool = False,
    by: Actor,
    now: datetime,
) -> list[Dispatch]:
    """Dispatch tickets to one lead, each with its co-handlers, in the order in which everybody locks them.

    All of them or none. Raises `Invalid` for a co-handler that is closed, and names it.
    """
    wanted = {one for wish in wishes for one in wish.assist_ids}
    # Read once and held here: whoever asks for one of them below finds it in the session.
    lead = actions.working(session, department_id)
    asked = select(Department).where(Department.id.in_(sorted(wanted)))
    known = {unit.id: unit for unit in session.scalars(asked)} if wanted else {}
    _require_helpers(wishes, known, lead=lead)
    theirs = calendars(session) if wanted else None
    return [
        _dispatch_with(
            session,
            wish,
            [known[one] for one in sorted(set(wish.assist_ids))],
            theirs=theirs,
            department_id=department_id,
            reason=reason,
            automatic=automatic,
            by=by,
            now=now,
        )
        for wish in sorted(wishes, key=lambda one: one.ticket_id)
    ]


def _require_helpers(wishes: Sequence[Wish], known: Mapping[int, Department], *, lead: Department) -> None:
    for one in sorted({one for wish in wishes for one in wish.assist_ids}):
        helper = known.get(one)
        if helper is None or not helper.active:
            words = f"协办单位“{helper.name}”已停用，请去掉后再派。" if helper else "所选的协办单位不存在，请重新选择。"
            raise Invalid({"assist": words})
        if helper.kind in PARTS_ONLY:
            raise Invalid({"assist": _PARTS_ONLY.format(helper.name)})
        if one == lead.id:
            raise Invalid({"department_id": _LEAD_TOO})
    if any(len(set(wish.assist_ids)) > MOST_PARTS for wish in wishes):
        raise Invalid({"assist": _TOO_MANY})


def _dispatch_with(
    session: Session,
    wish: Wish,
    helpers: Sequence[Department],
    *,
    theirs: Calendars | None,
    department_id: int,
    reason: str,
    automatic: bool,
    by: Actor,
    now: datetime,
) -> Dispatch:
    sent = actions.dispatch(
        session,
        ticket_id=wish.ticket_id,
        version=wish.version,
        department_id=department_id,
        reason=reason,
        automatic=automatic,
        by=by,
        now=now,
    )
    if theirs is None or not helpers:
        return sent
    given = [
        Subtask(
            ticket_id=wish.ticket_id,
            dispatch_id=sent.id,
            department_id=helper.id,
            kind=PartKind.ASSIST,
            words=_ASSIST,
            due_at=inside(theirs.of(helper.id), sent.due_at, now=now),
            due_chosen=False,
            given_by=by.user_id,
            given_at=now,
        )
        for helper in helpers
    ]
    session.add_all(given)
    session.flush()  # the database's own rules refuse here
    tickets.move_along(
        session,
        tickets.lock(session, wish.ticket_id),
        [
            Step(
                act=Act.SHARE,
                note=_ASSIST,
                details={"kind": part.kind.value, "to": helper.name, "due": part.due_at.isoformat()},
            )
            for part, helper in zip(given, helpers, strict=True)
        ],
        by=by,
        now=now,
    )
    return sent


def share(
    session: Session,
    *,
    ticket_id: int,
    version: int | None = None,
    kind: PartKind,
    department_id: int,
    words: str = "",
    due_at: datetime | None = None,
    by: Actor,
    now: datetime,
) -> Subtask:
    """Give a part to a co-handler, or forward one to a department below the lead, with a deadline inside the lead's.

    By the lead, and co-handlers by the hotline too. Without a deadline it is due one working day before the lead.
    A department below gets a summary from which the citizen's own data are taken out, and a relay number.
    """
    ticket = tickets.lock(session, ticket_id, version=version)
    row = _open_dispatch(session, ticket_id)
    by_lead = _require_giver(row, kind=kind, by=by)
    due = due_at or inside(granting.calendar(session, department_id), row.due_at, now=now)
    department = _recipient(
        session, row, kind=kind, department_id=department_id, words=words, due=due, by_lead=by_lead, now=now
    )
    said = words.strip() or (summary(session, ticket) if kind is PartKind.FORWARD else _ASSIST)
    part = Subtask(
        ticket_id=ticket_id,
        dispatch_id=row.id,
        department_id=department_id,
        kind=kind,
        words=without_citizen(said, citizen_of(session, ticket)),
        due_at=due,
        due_chosen=due_at is not None,
        given_by=by.user_id,
        given_at=now,
    )
    session.add(part)
    session.flush()  # the relay number is made of the id; and the database's own rules refuse here
    if kind is PartKind.FORWARD and ticket.phone_index is not None:
        part.relay_number = RELAY.format(part.id)
    tickets.move(
        session,
        ticket,
        Act.SHARE,
        by=by,
        now=now,
        note=part.words[:500] if kind is PartKind.ASSIST else "",
        details={"kind": kind.value, "to": department.name, "due": due.isoformat()},
    )
    return part


def sign_part(session: Session, *, subtask_id: int, by: Actor, now: datetime) -> Subtask:
    """Sign for a part on behalf of its department."""
    ticket, part = held_part(session, subtask_id, by=by)
    if part.signed_at is None:
        _sign(session, ticket, part, by=by, now=now)
    return part


def answer_part(session: Session, *, subtask_id: int, words: str, by: Actor, now: datetime) -> Subtask:
    """Answer one's part to the lead; signs for it too if that was not done."""
    if len(words.strip()) < LEAST_ANSWER:
        raise Invalid({"answer": f"办理情况至少 {LEAST_ANSWER} 个字。"})
    if len(words) > MOST_WORDS:
        raise Invalid({"answer": f"最多 {MOST_WORDS} 字，现有 {len(words)} 字。"})
    ticket, part = held_part(session, subtask_id, by=by)
    if part.signed_at is None:
        _sign(session, ticket, part, by=by, now=now)
    part.answer, part.answered_at, part.answered_by = redact(words.strip()), now, by.user_id
    part.ended_at, part.ending = now, PartEnding.ANSWERED
    tickets.move(
        session,
        ticket,
        Act.ANSWER_PART,
        by=by,
        now=now,
        note=part.answer[:200],
        details={"unit": department_name(session, part.department_id), "late": now > part.due_at},
    )
    return part


def end_part(session: Session, *, subtask_id: int, words: str, by: Actor, now: datetime) -> Subtask:
    """Take a part back that is not needed after all: by the lead, or by the hotline."""
    if not words.strip():
        raise Invalid({"words": "请说明收回的理由。"})
    ticket, part = locked_part(session, subtask_id)
    row = session.get_one(Dispatch, part.dispatch_id)
    _require_giver(row, kind=part.kind, by=by)
    if part.ended_at is not None:
        raise Conflict("该任务已经结束，不能收回。")
    said = without_citizen(words.strip(), citizen_of(session, ticket))  # whoever had the part reads it
    part.ended_at, part.ending, part.ended_words = now, PartEnding.WITHDRAWN, said[:2_000]
    tickets.move(
        session,
        ticket,
        Act.END_PART,
        by=by,
        now=now,
        note=part.ended_words[:500],
        details={"to": department_name(session, part.department_id)},
    )
    return part


def summary(session: Session, ticket: Ticket) -> str:
    """Return what a department below may read of a ticket: the matter and its place, and nobody's data."""
    text = f"{ticket.title}\n{ticket.content}" + (f"\n事发地点：{ticket.place}" if ticket.place else "")
    return without_citizen(text, citizen_of(session, ticket))


def gathered(views: Sequence[PartView]) -> str:
    """Return what the parts answered, one paragraph each, for the lead's draft."""
    return "\n".join(f"【{one.department}】{one.row.answer}" for one in views if one.row.answer)


def of_ticket(session: Session, ticket_id: int) -> list[PartView]:
    """Return every part of a ticket, the oldest first."""
    return [_view(*row) for row in session.execute(_views().where(Subtask.ticket_id == ticket_id).order_by(Subtask.id))]


def part_for(session: Session, actor: Actor, subtask_id: int) -> PartView:
    """Return a part to its department, to its lead and to the hotline; to others `NotFound`, which tells nothing."""
    found = session.execute(_views().where(Subtask.id == subtask_id)).first()
    if found is None:
        raise NotFound
    view = _view(*found)
    if not actor.can(Permission.TICKET_VIEW_ALL) and not {view.row.department_id, view.lead_id} & actor.department_ids:
        raise NotFound
    return view


def at_desk(session: Session, actor: Actor, *, open_only: bool, cursor: str = "", limit: int = 30) -> Stretch[PartView]:
    """Return the parts of a person's departments: the open ones by deadline, or all of them, the newest first."""
    limit = min(limit, MOST_ROWS)
    query = _views().where(Subtask.department_id.in_(sorted(actor.department_ids)))
    if open_only:
        return by_time(
            session,
            query.where(Subtask.ended_at.is_(None)),
            at=Subtask.due_at,
            number=Subtask.id,
            cursor=cursor,
            limit=limit,
            made=_view,
            key=lambda view: (view.row.due_at, view.row.id),
        )
    return by_key(
        session,
        query,
        column=Subtask.id,
        newest_first=True,
        cursor=cursor,
        limit=limit,
        made=_view,
        key=lambda view: view.row.id,
    )


def open_at_desk(session: Session, actor: Actor) -> int:
    """Return how many parts a person's departments have to do."""
    query = select(func.count()).where(
        Subtask.department_id.in_(sorted(actor.department_ids)), Subtask.ended_at.is_(None)
    )
    return int(session.scalar(query) or 0)


def below(session: Session, department_id: int) -> list[tuple[int, str]]:
    """Return the departments below one in the tree, id and name, in order of code."""
    tree = select(Department.id).where(Department.parent_id == department_id).cte("below", recursive=True)
    everything = tree.union(select(Department.id).join(tree, Department.parent_id == tree.c.id))
    rows = session.execute(
        select(Department.id, Department.name)
        .where(Department.id.in_(select(everything.c.id)), Department.active)
        .order_by(Department.code)
    )
    return [(row.id, row.name) for row in rows]


def _recipient(  # noqa: C901 - one line per rule of the form
    session: Session,
    row: Dispatch,
    *,
    kind: PartKind,
    department_id: int,
    words: str,
    due: datetime,
    by_lead: bool,
    now: datetime,
) -> Department:
    """Return the department that is to have a part, or raise `Invalid` with every problem by field."""
    department = session.get(Department, department_id)
    problems: dict[str, str] = {}
    if department is None or not department.active:
        problems["department_id"] = "请选择使用中的单位。"
    elif department_id == row.department_id:
        problems["department_id"] = _LEAD_TOO
    elif kind is PartKind.ASSIST and by_lead and _is_below(session, department_id, above=row.department_id):
        problems["department_id"] = _BELOW.format(department.name)
    elif kind is PartKind.ASSIST and department.kind in PARTS_ONLY:
        problems["department_id"] = _PARTS_ONLY.format(department.name)
    elif kind is PartKind.FORWARD and not _is_below(session, department_id, above=row.department_id):
        problems["department_id"] = "只能转办给本单位的下级单位。"
    elif _open_part(session, row.id, department_id) is not None:
        problems["department_id"] = f"“{department.name}”已有未完成的任务。"
    elif _parts_given(session, row.id) >= MOST_PARTS:
        problems["department_id"] = _TOO_MANY
    if due <= now:
        problems["due_at"] = "任务时限须晚于现在。"
    elif due > row.due_at > now:
        problems["due_at"] = f"任务时限须在主办时限 {local(row.due_at):%m-%d %H:%M} 之内。"
    elif row.due_at <= now and due > now + timedelta(days=1):
        problems["due_at"] = "主办时限已届满，任务时限最多一日。"
    if len(words) > MOST_WORDS:
        problems["words"] = f"最多 {MOST_WORDS} 字，现有 {len(words)} 字。"
    if problems or department is None:
        raise Invalid(problems)
    return department


def _require_giver(row: Dispatch, *, kind: PartKind, by: Actor) -> bool:
    """Let the lead give and take parts; co-handlers may be named by the hotline too. Tells whether it is the lead."""
    lead = row.department_id in by.department_ids and by.can(Permission.TICKET_ANSWER)
    if not lead and not (kind is PartKind.ASSIST and by.can(Permission.TICKET_DISPATCH)):
        raise Denied("只有主办单位或热线中心可以分派协办任务，只有主办单位可以转办下级。")
    return lead


def _open_dispatch(session: Session, ticket_id: int) -> Dispatch:
    row = current_dispatch(session, ticket_id, lock=True)
    if row is None or row.ended_at is not None or row.answered_at is not None:
        raise WrongState("工单目前不在任何承办单位手中。")
    return row


def _is_below(session: Session, department_id: int, *, above: int) -> bool:
    return department_id in {one for one, _ in below(session, above)}


def _open_part(session: Session, dispatch_id: int, department_id: int) -> int | None:
    return session.scalar(
        select(Subtask.id).where(
            Subtask.dispatch_id == dispatch_id, Subtask.department_id == department_id, Subtask.ended_at.is_(None)
        )
    )


def _parts_given(session: Session, dispatch_id: int) -> int:
    return int(session.scalar(select(func.count()).select_from(Subtask).where(Subtask.dispatch_id == dispatch_id)) or 0)


def citizen_of(session: Session, ticket: Ticket) -> Mapping[str, str]:
    """Return what is known of the citizen, opened; never to be shown to those who do a forwarded part."""
    return keyring_of(session).open(ticket.personal_sealed)


def locked_part(session: Session, subtask_id: int) -> tuple[Ticket, Subtask]:
    """Lock first the ticket and then the part, in the order in which everybody does."""
    ticket_id = session.scalar(select(Subtask.ticket_id).where(Subtask.id == subtask_id))
    if ticket_id is None:
        raise NotFound
    ticket = tickets.lock(session, ticket_id)
    part = session.get_one(
        Subtask, subtask_id, with_for_update=True, populate_existing=True
    )  # two members at once, one after the other
    return ticket, part


def held_part(session: Session, subtask_id: int, *, by: Actor) -> tuple[Ticket, Subtask]:
    """Lock an open part that is in the hands of somebody's department, and its ticket."""
    require(by, Permission.TICKET_ANSWER)
    ticket, part = locked_part(session, subtask_id)
    if part.department_id not in by.department_ids:
        raise Denied("该任务不在您所属单位手中。")
    if part.ended_at is not None:
        raise WrongState("该任务已经结束。")
    return ticket, part


def _sign(session: Session, ticket: Ticket, part: Subtask, *, by: Actor, now: datetime) -> None:
    part.signed_at, part.signed_by = now, by.user_id
    tickets.move(
        session, ticket, Act.SIGN_PART, by=by, now=now, details={"unit": department_name(session, part.department_id)}
    )


def _views() -> Any:  # noqa: ANN401 - a select of nine columns has no readable type
    lead = aliased(Department)
    signer, writer = aliased(User), aliased(User)
    return (
        select(
            Subtask,
            Ticket.number,
            Department.name,
            lead.name,
            Dispatch.department_id,
            Dispatch.due_at,
            User.display_name,
            signer.display_name,
            writer.display_name,
        )
        .join(Ticket, Ticket.id == Subtask.ticket_id)
        .join(Dispatch, Dispatch.id == Subtask.dispatch_id)
        .join(Department, Department.id == Subtask.department_id)
        .join(lead, lead.id == Dispatch.department_id)
        .join(User, User.id == Subtask.given_by, isouter=True)
        .join(signer, signer.id == Subtask.signed_by, isouter=True)
        .join(writer, writer.id == Subtask.answered_by, isouter=True)
    )


def _view(  # noqa: PLR0917 - the columns of the select above
    row: Subtask,
    number: str,
    department: str,
    lead: str,
    lead_id: int,
    lead_due_at: datetime,
    given_by: str | None,
    signed_by: str | None,
    answered_by: str | None,
) -> PartView:
    return PartView(
        row=row,
        number=number,
        department=department,
        lead=lead,
        lead_id=lead_id,
        lead_due_at=lead_due_at,
        given_by=given_by or "",
        signed_by=signed_by or "",
        answered_by=answered_by or "",
    )
