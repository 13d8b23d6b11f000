"""Counts open tickets anew when days or the city's limits change: first shown, then ordered, then carried out.

What is on a page is counted by the same walk as what is done later, so that nobody confirms anything else than what
happens. An order is carried out by a worker, a hundred tickets and one transaction at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any, Final

from sqlalchemy import ColumnElement, func, or_, select, tuple_, union
from sqlalchemy.orm import Session

from hotline.core import outbox
from hotline.core.clock import SHANGHAI, local, local_day
from hotline.core.errors import Conflict, Invalid
from hotline.core.permissions import SYSTEM, Actor, Permission, require
from hotline.people.models import User
from hotline.tickets import actions as tickets
from hotline.tickets.models import Ticket
from hotline.tickets.states import Act, State
from routing.answers.part_models import Subtask
from routing.clocks import days, editions, granting
from routing.clocks.calendars import Layer
from routing.clocks.days import Calendars, DayWish
from routing.clocks.deadlines import Change, Reclassified, clock_named, shifted
from routing.clocks.granting import Spell
from routing.clocks.models import Adjustment, AdjustmentState, ProfileEdition, Recount, RecountKind
from routing.clocks.profiles import ClockName, Profile
from routing.clocks.steps import moment_in_words
from routing.events import RecountOrdered
from routing.models import Department, Dispatch

#: How many open tickets a page counts anew before somebody confirms; what is beyond is told as a number.
MOST_SHOWN: Final = 500
#: How many tickets are counted in one transaction.
BATCH: Final = 100
_OPEN: Final = (Dispatch.is_current, Dispatch.answered_at.is_(None), Dispatch.ended_at.is_(None))


@dataclass(frozen=True, kw_only=True)
class Moved:
    """An open ticket whose deadline would go elsewhere."""

    number: str
    title: str
    department: str
    before: datetime
    after: datetime


@dataclass(frozen=True, kw_only=True)
class DayPreview:
    """What a day would do to the open tickets."""

    moved: tuple[Moved, ...]
    looked: int
    #: Open tickets that are due on the day or later; more than were looked at in a big city.
    open: int
    parts: int

    @property
    def complete(self) -> bool:
        """Tell whether every open ticket was looked at."""
        return self.looked == self.open


@dataclass(frozen=True, kw_only=True)
class RecountView:
    """An order with the names that a person reads."""

    row: Recount
    department: str
    ordered_by: str


def preview_day(session: Session, wish: DayWish, *, now: datetime) -> DayPreview:
    """Return which open tickets a declaration would move, from when to when; raises as `days.asked` does."""
    row = days.asked(session, wish, now=now)
    calendars = days.calendars(session, today=local_day(now)).having(
        row, day=wish.day, department_id=wish.department_id
    )
    concerned = _concerned_by(wish)
    found = session.scalar(select(func.count()).select_from(Dispatch).where(*_OPEN, concerned)) or 0
    parts = session.scalar(select(func.count()).select_from(Subtask).where(*_parts_of(wish))) or 0
    shown = session.execute(
        select(Dispatch, Ticket, Department.name)
        .join(Ticket, Ticket.id == Dispatch.ticket_id)
        .join(Department, Department.id == Dispatch.department_id)
        .where(*_OPEN, concerned)
        .order_by(Dispatch.ticket_id)
        .limit(MOST_SHOWN)
    ).all()
    after = _due(session, [(dispatch, ticket) for dispatch, ticket, _ in shown], calendars=calendars)
    moved = [
        Moved(
            number=ticket.number,
            title=ticket.title,
            department=department,
            before=dispatch.due_at,
            after=after[dispatch.id],
        )
        for dispatch, ticket, department in shown
        if after[dispatch.id] != dispatch.due_at
    ]
    return DayPreview(moved=tuple(moved), looked=len(shown), open=found, parts=parts)


def order_day(session: Session, wish: DayWish, *, expected: int, by: Actor, now: datetime) -> Recount:
    """Declare a day, or take a declaration back, and order that every open ticket whose count it is in follows.

    `expected` is how many the person was shown; `Conflict` when more would move by now.
    """
    require(by, Permission.SETTINGS_EDIT)
    found = len(preview_day(session, wish, now=now).moved)
    if found > expected:
        raise Conflict(f"将变动的在办工单已由 {expected} 件增加到 {found} 件，请重新核对后确认。")
    was = days.calendars(session).of(wish.department_id).is_workday(wish.day)
    row = days.declare(session, wish, by=by, now=now)
    unit = session.get_one(Department, wish.department_id).name if wish.department_id is not None else "全市"
    hours = "、".join(map(str, row.periods)) if row else ""
    said = "恢复原有安排" if row is None else f"上班 {hours}".strip() if row.is_workday else "放假"
    why = f"（{row.name}）" if row else ""
    order = Recount(
        kind=RecountKind.CALENDAR,
        department_id=wish.department_id,
        day=wish.day,
        was_workday=was,
        words=f"工作日历调整：{unit} {wish.day.isoformat()} {said}{why}",
        ordered_by=by.user_id,
        ordered_at=now,
        expected=found,
    )
    return _ordered(session, order, now=now)


@dataclass(frozen=True, kw_only=True)
class EditionSample:
    """A ticket of a class that an edition limits otherwise, with its deadline as it is and as it would be."""

    moved: Moved
    class_words: str


def sample(
    session: Session, edition: ProfileEdition, classes: Sequence[editions.ClassChange], *, most: int = 20
) -> list[EditionSample]:
    """Return some open tickets of these classes with the deadlines that the edition would give them."""
    keys = {change.key: change.words for change in classes}
    standing = editions.standing().subquery()
    key = (standing.c.source, standing.c.request_type, standing.c.urgency, standing.c.sla_class)
    if not keys:
        return []
    rows = session.execute(
        select(Dispatch, Ticket, Department.name, *key)
        .join(standing, standing.c.dispatch_id == Dispatch.id)
        .join(Ticket, Ticket.id == Dispatch.ticket_id)
        .join(Department, Department.id == Dispatch.department_id)
        .where(_tuple_in(key, list(keys)), standing.c.profile != editions.named(edition))
        .order_by(Dispatch.due_at, Dispatch.id)
        .limit(most)
    ).all()
    profile = Profile.from_mapping(edition.body)
    calendars = days.calendars(session)
    also = Reclassified(at=edition.entered_at, profile=profile)
    after = _due(session, [(row[0], row[1]) for row in rows], calendars=calendars, also=also)
    return [
        EditionSample(
            moved=Moved(
                number=ticket.number,
                title=ticket.title,
                department=department,
                before=dispatch.due_at,
                after=after[dispatch.id],
            ),
            class_words=keys[source, request_type, urgency, sla_class],
        )
        for dispatch, ticket, department, source, request_type, urgency, sla_class in rows
    ]


def order_edition(
    session: Session,
    *,
    edition_id: int,
    keys: Sequence[editions.Key],
    words: str,
    expected: int,
    by: Actor,
    now: datetime,
) -> Recount:
    """Order that the open tickets of some classes are moved to the edition in force (without it they keep theirs).

    Raises `Invalid` by field and `Conflict` when the edition is not in force, or more would move than was shown.
    """
    require(by, Permission.SETTINGS_EDIT)
    edition = editions.one(session, edition_id, lock=True)
    problems = {} if words.strip() else {"words": "请写明市里的要求（文件名称或文号）。"}
    if len(words) > days.MOST_REASON:
        problems["words"] = f"最多 {days.MOST_REASON} 字。"
    known = {change.key: change for change in editions.changes(session, Profile.from_mapping(edition.body))}
    chosen = [known[key] for key in dict.fromkeys(keys) if key in known]
    if not chosen:
        problems["classes"] = "请选择要改按新版本的工单类别。"
    if problems:
        raise Invalid(problems)
    in_force = editions.in_force(session, today=local_day(now))
    if in_force is None or in_force.id != edition.id:
        raise Conflict("这一版不是现行版本，不能把在办工单改按这一版。")
    found = sum(change.count for change in chosen)
    if found > expected:
        raise Conflict(f"所选类别的在办工单已由 {expected} 件增加到 {found} 件，请重新核对后确认。")
    order = Recount(
        kind=RecountKind.EDITION,
        edition_id=edition.id,
        classes=[list(change.key) for change in chosen],
        words=f"改按时限档案 {editions.named(edition)}：{words.strip()}",
        ordered_by=by.user_id,
        ordered_at=now,
        expected=found,
    )
    return _ordered(session, order, now=now)


def carry_on(session: Session, *, recount_id: int, now: datetime) -> int:
    """Carry an order out for the next tickets and announce the rest; returns how many deadlines moved.

    Run twice for the same batch it does nothing the second time: the order remembers up to where it is done.
    """
    order = session.get_one(Recount, recount_id, with_for_update=True)  # its place is moved on below
    if order.finished_at is not None:
        return 0
    ids = session.scalars(_next(order)).all()
    calendars = days.calendars(session, today=local_day(now))
    edition = session.get(ProfileEdition, order.edition_id) if order.edition_id is not None else None
    moved = sum(_follow(session, ticket_id, order, edition=edition, calendars=calendars, now=now) for ticket_id in ids)
    order.moved += moved
    if len(ids) < BATCH:
        order.finished_at = now
    else:
        order.after_ticket_id = ids[-1]
        event = RecountOrdered(recount_id=order.id, after_ticket_id=order.after_ticket_id)
        outbox.publish(session, event, now=now)
    return moved


def latest(session: Session, *, kind: RecountKind, edition_id: int | None = None, most: int = 10) -> list[RecountView]:
    """Return the last orders of a kind, the latest first."""
    query = (
        select(Recount, Department.name, User.display_name)
        .join(Department, Department.id == Recount.department_id, isouter=True)
        .join(User, User.id == Recount.ordered_by, isouter=True)
        .where(Recount.kind == kind)
        .order_by(Recount.ordered_at.desc(), Recount.id.desc())
        .limit(most)
    )
    if edition_id is not None:
        query = query.where(Recount.edition_id == edition_id)
    return [
        RecountView(row=row, department=unit or "", ordered_by=by or "") for row, unit, by in session.execute(query)
    ]


def _ordered(session: Session, order: Recount, *, now: datetime) -> Recount:
    session.add(order)
    session.flush()  # the event needs the id
    outbox.publish(session, RecountOrdered(recount_id=order.id, after_ticket_id=0), now=now)
    return order


def _next(order: Recount) -> Any:  # noqa: ANN401 - a select of one column
    if order.kind is RecountKind.EDITION:
        standing = editions.standing().subquery()
        key = (standing.c.source, standing.c.request_type, standing.c.urgency, standing.c.sla_class)
        chosen = [tuple(one) for one in order.classes]
        return (
            select(standing.c.ticket_id)
            .where(standing.c.ticket_id > order.after_ticket_id, _tuple_in(key, chosen))
            .order_by(standing.c.ticket_id)
            .limit(BATCH)
        )
    assert order.day is not None  # noqa: S101 - the database holds it (calendar_has_day)
    wish = DayWish(day=order.day, department_id=order.department_id, is_workday=None)
    both = union(
        select(Dispatch.ticket_id)
        .where(*_OPEN, _concerned_by(wish), Dispatch.ticket_id > order.after_ticket_id)
        .order_by(Dispatch.ticket_id)
        .limit(BATCH),
        select(Subtask.ticket_id)
        .where(*_parts_of(wish), Subtask.ticket_id > order.after_ticket_id)
        .order_by(Subtask.ticket_id)
        .limit(BATCH),
    ).subquery()
    return select(both.c.ticket_id).order_by(both.c.ticket_id).limit(BATCH)


def _follow(
    session: Session,
    ticket_id: int,
    order: Recount,
    *,
    edition: ProfileEdition | None,
    calendars: Calendars,
    now: datetime,
) -> int:
    """Count one ticket anew and write it down where its deadline moved; returns how many did, one or none."""
    ticket = tickets.lock(session, ticket_id)
    row = session.scalars(
        select(Dispatch).where(Dispatch.ticket_id == ticket_id, *_OPEN).with_for_update()
    ).first()  # its deadline is written next
    if row is None or ticket.state not in {State.DISPATCHED, State.SIGNED}:
        return 0
    before = row.due_at
    with session.no_autoflush:  # what changes of the ticket is one new version of it
        if edition is not None:
            terms = granting.terms_now(session, row)
            if terms.get("profile", row.profile) == editions.named(edition):
                return 0
            granting.note_reclassified(
                session,
                row,
                terms={**terms, "profile": editions.named(edition)},
                reason=order.words,
                by_id=order.ordered_by,
                now=order.ordered_at,
            )
        granting.recount(session, ticket, row, now=now)
        parts = _shifted_parts(session, row, order, calendars=calendars) if edition is None else []
        moved = edition is not None or row.due_at != before
        if moved or parts:
            details: dict[str, Any] = {"before": before.isoformat(), "due": row.due_at.isoformat(), "recount": order.id}
            if parts:
                details["parts"] = [unit for _, unit, _ in parts]
            note = order.words
            if row.due_at != before:
                was, is_now = (moment_in_words(local(due)) for due in (before, row.due_at))
                note += f"。到期由 {was} 变为 {is_now}"
            tickets.move(session, ticket, Act.RECOUNT, by=SYSTEM, now=now, note=note, details=details)
    session.flush()  # the lead's deadline first: the database holds that no part goes beyond it
    for part, _, due in parts:
        part.due_at = due
    return int(moved)


def _shifted_parts(
    session: Session, row: Dispatch, order: Recount, *, calendars: Calendars
) -> list[tuple[Subtask, str, datetime]]:
    """Return the counted parts of a ticket that keep their number of working days by another deadline."""
    assert order.day is not None  # noqa: S101 - the database holds it (calendar_has_day)
    assert order.was_workday is not None  # noqa: S101 - as above (calendar_has_before)
    wish = DayWish(day=order.day, department_id=order.department_id, is_workday=None)
    found = []
    for part, unit in session.execute(
        select(Subtask, Department.name)
        .join(Department, Department.id == Subtask.department_id)
        .where(Subtask.dispatch_id == row.id, *_parts_of(wish))
        .order_by(Subtask.id)
    ):
        calendar = calendars.of(part.department_id)
        declared = calendar.declared(order.day)
        its_own = order.department_id is None and declared is not None and declared.layer is Layer.UNIT
        if its_own or local_day(part.given_at) >= order.day:
            continue
        due = min(shifted(calendar, part.due_at, day=order.day, was_workday=order.was_workday), row.due_at)
        if due != part.due_at:
            found.append((part, unit, due))
    return found


def _concerned_by(wish: DayWish) -> ColumnElement[bool]:
    """Say which open dispatches a day can be in the count of."""
    begins = datetime.combine(wish.day, time(), tzinfo=SHANGHAI)
    late_enough = or_(Dispatch.due_at >= begins, Dispatch.sign_due_at >= begins)
    return late_enough if wish.department_id is None else late_enough & (Dispatch.department_id == wish.department_id)


def _parts_of(wish: DayWish) -> tuple[ColumnElement[bool], ...]:
    begins = datetime.combine(wish.day, time(), tzinfo=SHANGHAI)
    found = (Subtask.ended_at.is_(None), Subtask.due_chosen.is_(False), Subtask.due_at >= begins)
    return found if wish.department_id is None else (*found, Subtask.department_id == wish.department_id)


def _due(
    session: Session,
    rows: Sequence[tuple[Dispatch, Ticket]],
    *,
    calendars: Calendars,
    also: Change | None = None,
) -> Mapping[int, datetime]:
    """Count many dispatches with a few questions; returns when each would be due."""
    spells: dict[tuple[int, int], list[Spell]] = defaultdict(list)
    ticket_ids = [ticket.id for _, ticket in rows]
    of_id = {ticket.id: ticket for _, ticket in rows}
    for one in session.scalars(select(Dispatch).where(Dispatch.ticket_id.in_(ticket_ids)).order_by(Dispatch.id)):
        spells[one.ticket_id, one.round].append(granting.spell_of(one, of_id[one.ticket_id]))
    changes: dict[int, list[Change]] = defaultdict(list)
    for adjustment in session.scalars(
        select(Adjustment)
        .where(Adjustment.ticket_id.in_(ticket_ids), Adjustment.state == AdjustmentState.APPROVED)
        .order_by(Adjustment.id)
    ):
        changes[adjustment.dispatch_id].append(granting.as_change(session, adjustment))
    profiles: dict[str, Profile] = {}
    found = {}
    for row, ticket in rows:
        had = spells[ticket.id, row.round]
        name = had[0].profile
        if name not in profiles:
            profiles[name] = granting.profile_of(session, name)
        made = [change for spell in had for change in changes[spell.dispatch_id]] + ([also] if also else [])
        clocks = granting.counted(had, made, profile=profiles[name], calendars=calendars)
        handle = clock_named(clocks, ClockName.HANDLE)
        found[row.id] = handle.due_at if handle else row.due_at
    return found


def _tuple_in(columns: Sequence[ColumnElement[Any]], keys: Sequence[Sequence[str]]) -> ColumnElement[bool]:
    return tuple_(*columns).in_([tuple(key) for key in keys])
