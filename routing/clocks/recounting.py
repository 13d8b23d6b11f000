"""Counts open tickets anew when days or the city's limits change: first shown, then ordered, then carried out.

What is on a page is counted by the same walk as what is done later, so that nobody confirms anything else than what
happens. An order is carried out by a worker, a hundred tickets and one transaction at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, func, or_, select, tuple_, union
from sqlalchemy.orm import Session

from hotline.core import outbox
from hotline.core.clock import SHANGHAI, local, local_day
from hotline.core.errors import Conflict, Invalid
from hotline.core.permissions import SYSTEM, Actor, Permission, require
from hotline.people.models import User
from hotline.telephony.models import TextMessage
from hotline.tickets import actions as tickets
from hotline.tickets.models import Ticket
from hotline.tickets.states import Act, State
from routing.answers.part_models import Subtask
from routing.clocks import days, editions, granting
from routing.clocks.days import Calendars, DayWish
from routing.clocks.deadlines import Change, Reclassified, clock_named, shifted
from routing.clocks.granting import Spell
from routing.clocks.models import Adjustment, AdjustmentKind, AdjustmentState, ProfileEdition, Recount, RecountKind
from routing.clocks.profiles import ClockName, Profile
from routing.clocks.steps import moment_in_words
from routing.events import DeadlineMoved, RecountOrdered
from routing.models import Department, Dispatch

#: How many open tickets a page counts anew before somebody confirms; what is beyond is told as a number.
MOST_SHOWN: Final = 500
#: How many tickets are counted in one transaction.
BATCH: Final = 100
#: For how long after an order it is asked what went out in its first seconds, and how many such tickets at once.
_LATE_FOR: Final = timedelta(minutes=5)
_MOST_LATE: Final = 1_000
#: The acts of which a citizen is told by text message with a date (routing.telling).
TOLD_ACTS: Final = (Act.SUSPEND, Act.EXTEND, Act.RESUME)
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
        """Tell whether every open ticket was looked at, so that the number of those that move is exact."""
        return self.looked == self.open

    @property
    def most(self) -> int:
        """Return how many tickets can move at most: those that were not looked at may all."""
        return len(self.moved) + self.open - self.looked


@dataclass(frozen=True, kw_only=True)
class RecountView:
    """An order with the names that a person reads."""

    row: Recount
    department: str
    ordered_by: str


def preview_day(session: Session, wish: DayWish, *, now: datetime) -> DayPreview:
    """Return which open tickets a declaration would move, from when to when; raises as `days.asked` does."""
    row = days.asked(session, wish, now=now)
    known = days.calendars(session, today=local_day(now))
    calendars = known.having(row, day=wish.day, department_id=wish.department_id)
    units = _units(known, wish.department_id)
    concerned = _concerned_by(wish.day, units)
    found = session.scalar(select(func.count()).select_from(Dispatch).where(*_OPEN, concerned)) or 0
    parts = session.scalar(select(func.count()).select_from(Subtask).where(*_parts_of(wish.day, units))) or 0
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

    `expected` is how many could move at most when the person looked; `Conflict` when more could by now.
    """
    require(by, Permission.SETTINGS_EDIT)
    shown = preview_day(session, wish, now=now)
    if shown.most > expected:
        raise Conflict(f"将变动的在办工单已由 {expected} 件增加到 {shown.most} 件，请重新核对后确认。")
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
        expected=shown.most,
    )
    return _ordered(session, order, now=now)


def follow_move(
    session: Session, *, department_id: int, parent_before: int | None, by: Actor, now: datetime
) -> list[Recount]:
    """Order that the open tickets of a unit follow the days of where it stands in the tree now; one order for each day.

    Called when the unit has been moved. Days from today on that its old or its new place declared, and that are not the
    same from both; without any nothing is ordered.
    """
    session.flush()  # the calendars below are read from the tree as it is now
    granting.forget_rules(session)
    after = days.calendars(session, today=local_day(now))
    before = replace(after, parents={**after.parents, department_id: parent_before}, _made={})
    old, new = before.of(department_id), after.of(department_id)
    declared = {row.day for rows in after.units.values() for row in rows if row.day >= local_day(now)}
    unit = session.get_one(Department, department_id)
    orders = []
    for day in sorted(declared):
        if old.periods_on(day) == new.periods_on(day):
            continue
        said = "、".join(map(str, new.periods_on(day))) or "放假"
        said = "上班" if new.periods_on(day) == new.periods else said
        order = Recount(
            kind=RecountKind.CALENDAR,
            department_id=department_id,
            day=day,
            was_workday=old.is_workday(day),
            words=f"隶属关系调整：{unit.name} {day.isoformat()} 改为{said}",
            ordered_by=by.user_id,
            ordered_at=now,
            expected=0,
        )
        orders.append(_ordered(session, order, now=now))
        order.expected = order.total  # nobody is shown how many of them move
    return orders


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
    work = _work(session, order, now=now)
    ids = session.scalars(_next(order, work.units)).all()
    moved = _carried_out(session, work, ids, now=now)
    order.looked, order.moved = order.looked + len(ids), order.moved + moved
    if len(ids) < BATCH:
        order.finished_at, order.total = now, order.looked
    else:
        order.after_ticket_id = ids[-1]
        event = RecountOrdered(recount_id=order.id, after_ticket_id=order.after_ticket_id)
        outbox.publish(session, event, now=now)
    return moved


def follow_latecomers(session: Session, *, now: datetime) -> int:
    """Count tickets anew that went out by a calendar of seconds ago, just after a day was declared; returns how many.

    Another process may remember the calendars for as long as `granting.REMEMBERED`. What it sent out in that time may
    stand where the order has been already. Called every minute; run twice it does nothing the second time.
    """
    found = 0
    for order in session.scalars(
        select(Recount)
        .where(
            Recount.kind == RecountKind.CALENDAR,
            Recount.ordered_at <= now - granting.REMEMBERED,
            Recount.ordered_at > now - _LATE_FOR,
        )
        .order_by(Recount.id)
        .limit(BATCH)
        .with_for_update()  # how many moved is written below
    ):
        work = _work(session, order, now=now)
        assert order.day is not None  # noqa: S101 - the database holds it (calendar_has_day)
        late = session.scalars(
            select(Dispatch.ticket_id)
            .where(
                *_OPEN,
                _concerned_by(order.day, work.units),
                Dispatch.sent_at >= order.ordered_at,
                Dispatch.sent_at <= order.ordered_at + granting.REMEMBERED,
            )
            .order_by(Dispatch.ticket_id)
            .limit(_MOST_LATE)
        ).all()
        moved = _carried_out(session, work, late, now=now)
        order.looked, order.moved, found = order.looked + moved, order.moved + moved, found + moved
        if order.finished_at is not None:
            order.total = order.looked
    return found


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


@dataclass(frozen=True, kw_only=True)
class _Work:
    """An order with what every ticket of a batch is counted by."""

    order: Recount
    edition: ProfileEdition | None
    calendars: Calendars
    #: The units whose days are meant; none where it is the whole city.
    units: frozenset[int] | None
    #: Tickets whose citizens were told a date by text message.
    told: frozenset[int] = frozenset()


def _work(session: Session, order: Recount, *, now: datetime) -> _Work:
    # What this process remembers may be from before the day was declared.
    granting.forget_rules(session)
    calendars = days.calendars(session, today=local_day(now))
    return _Work(
        order=order,
        edition=session.get(ProfileEdition, order.edition_id) if order.edition_id is not None else None,
        calendars=calendars,
        units=_units(calendars, order.department_id),
    )


def text_key(adjustment_id: int, act: str) -> str:
    """Return the key of the text message that tells of an act of an adjustment; it goes out once."""
    return f"adjustment-{adjustment_id}-{act}"


def _carried_out(session: Session, work: _Work, ids: Sequence[int], *, now: datetime) -> int:
    """Count these tickets anew; returns how many deadlines moved."""
    work = replace(work, told=told_a_date(session, ids))
    return sum(_follow(session, ticket_id, work, now=now) for ticket_id in ids)


def told_a_date(session: Session, ticket_ids: Sequence[int]) -> frozenset[int]:
    """Return those of the tickets whose citizens were told a date of this round by text message (domain.md 2.8)."""
    asked = session.execute(
        select(Adjustment.id, Adjustment.ticket_id)
        .join(Dispatch, Dispatch.id == Adjustment.dispatch_id)
        .join(Ticket, Ticket.id == Adjustment.ticket_id)
        .where(
            Adjustment.ticket_id.in_(ticket_ids),
            Adjustment.kind.in_((AdjustmentKind.SUSPENSION, AdjustmentKind.EXTENSION)),
            Adjustment.state == AdjustmentState.APPROVED,
            Dispatch.round == Ticket.rework_rounds,
        )
    ).all()
    of_key = {text_key(adjustment_id, act.value): ticket_id for adjustment_id, ticket_id in asked for act in TOLD_ACTS}
    if not of_key:
        return frozenset()
    sent = session.scalars(select(TextMessage.key).where(TextMessage.key.in_(list(of_key))))
    return frozenset(of_key[key] for key in sent)


def _ordered(session: Session, order: Recount, *, now: datetime) -> Recount:
    units = _units(days.calendars(session, today=local_day(now)), order.department_id)
    order.after_ticket_id = 0
    order.total = session.scalar(select(func.count()).select_from(_concerned(order, units).subquery())) or 0
    session.add(order)
    session.flush()  # the event needs the id
    outbox.publish(session, RecountOrdered(recount_id=order.id, after_ticket_id=0), now=now)
    return order


def _units(calendars: Calendars, department_id: int | None) -> frozenset[int] | None:
    """Return the units that a day is declared for, those below with it; none where it is the whole city."""
    return calendars.under(department_id) if department_id is not None else None


def _next(order: Recount, units: frozenset[int] | None) -> Any:  # noqa: ANN401 - a select of one column
    both = _concerned(order, units, most=BATCH).subquery()
    return select(both.c.ticket_id).order_by(both.c.ticket_id).limit(BATCH)


def _concerned(order: Recount, units: frozenset[int] | None, *, most: int | None = None) -> Any:  # noqa: ANN401 - as above
    """Return the query of the tickets that an order has still to look at, of each sort the first ones or all."""
    if order.kind is RecountKind.EDITION:
        standing = editions.standing().subquery()
        key = (standing.c.source, standing.c.request_type, standing.c.urgency, standing.c.sla_class)
        chosen = [tuple(one) for one in order.classes]
        return (
            select(standing.c.ticket_id)
            .where(standing.c.ticket_id > order.after_ticket_id, _tuple_in(key, chosen))
            .order_by(standing.c.ticket_id)
            .limit(most)
        )
    assert order.day is not None  # noqa: S101 - the database holds it (calendar_has_day)
    return union(
        select(Dispatch.ticket_id)
        .where(*_OPEN, _concerned_by(order.day, units), Dispatch.ticket_id > order.after_ticket_id)
        .order_by(Dispatch.ticket_id)
        .limit(most),
        select(Subtask.ticket_id)
        .where(*_parts_of(order.day, units), Subtask.ticket_id > order.after_ticket_id)
        .order_by(Subtask.ticket_id)
        .limit(most),
    )


def _follow(session: Session, ticket_id: int, work: _Work, *, now: datetime) -> int:
    """Count one ticket anew and write it down where its deadline moved; returns how many did, one or none."""
    order, edition = work.order, work.edition
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
        parts = _shifted_parts(session, row, work) if edition is None else []
        moved = edition is not None or row.due_at != before
        if row.due_at != before:
            row.moved_at, row.moved_from = now, before
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
    if row.due_at != before and ticket_id in work.told:
        outbox.publish(session, DeadlineMoved(ticket_id=ticket_id, dispatch_id=row.id, recount_id=order.id), now=now)
    return int(moved)


def _shifted_parts(session: Session, row: Dispatch, work: _Work) -> list[tuple[Subtask, str, datetime]]:
    """Return the counted parts of a ticket that keep their number of working days by another deadline."""
    order = work.order
    assert order.day is not None  # noqa: S101 - the database holds it (calendar_has_day)
    assert order.was_workday is not None  # noqa: S101 - as above (calendar_has_before)
    found = []
    for part, unit in session.execute(
        select(Subtask, Department.name)
        .join(Department, Department.id == Subtask.department_id)
        .where(Subtask.dispatch_id == row.id, *_parts_of(order.day, work.units))
        .order_by(Subtask.id)
    ):
        its_own = work.calendars.is_overruled(order.day, department_id=part.department_id, by_id=order.department_id)
        if its_own or local_day(part.given_at) >= order.day:
            continue
        calendar = work.calendars.of(part.department_id)
        due = min(shifted(calendar, part.due_at, day=order.day, was_workday=order.was_workday), row.due_at)
        if due != part.due_at:
            found.append((part, unit, due))
    return found


def _concerned_by(day: date, units: frozenset[int] | None) -> ColumnElement[bool]:
    """Say which open dispatches a day of these units (none: of the city) can be in the count of."""
    begins = datetime.combine(day, time(), tzinfo=SHANGHAI)
    late_enough = or_(Dispatch.due_at >= begins, Dispatch.sign_due_at >= begins)
    return late_enough if units is None else late_enough & Dispatch.department_id.in_(units)


def _parts_of(day: date, units: frozenset[int] | None) -> tuple[ColumnElement[bool], ...]:
    begins = datetime.combine(day, time(), tzinfo=SHANGHAI)
    found = (Subtask.ended_at.is_(None), Subtask.due_chosen.is_(False), Subtask.due_at >= begins)
    return found if units is None else (*found, Subtask.department_id.in_(units))


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
