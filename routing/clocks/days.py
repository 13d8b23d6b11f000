"""Days that administrators declare, for the city or for one unit, and the calendars that follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session, aliased

from hotline.core import paging
from hotline.core.clock import local_day
from hotline.core.db import forget_remembered
from hotline.core.errors import Invalid
from hotline.core.paging import Stretch
from hotline.core.permissions import Actor, Permission, require
from hotline.core.text import clean_line
from hotline.people.models import User
from routing.catalogue.tree import above
from routing.clocks.calendars import FIRST_YEAR, BadCalendar, DayRow, Layer, Period, WorkCalendar, china
from routing.clocks.models import CalendarDay, ConfirmedYear
from routing.models import Department
from routing.queries import MOST_ROWS

MOST_REASON: Final = 200
#: How far ahead a day may be declared; the database holds nearly the same (not_far_ahead).
FURTHEST: Final = timedelta(days=731)
#: A unit's own days of longer ago than this are in no open count any more.
_REMEMBERED_YEARS: Final = timedelta(days=3 * 366)


#: Two administrators who confirm a year at once: one after the other.
_YEARS_ONE_BY_ONE: Final = text("SELECT pg_advisory_xact_lock(12345, 12)")


@dataclass(frozen=True)
class Calendars:
    """The city's calendar and, on top of it, what each unit has declared for itself and for those below it."""

    city: WorkCalendar
    units: Mapping[int, tuple[DayRow, ...]] = field(default_factory=dict)
    #: Each unit with the one that it stands below, and what a unit is called.
    parents: Mapping[int, int | None] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)
    _made: dict[int, WorkCalendar] = field(default_factory=dict, repr=False, compare=False)

    def of(self, department_id: int | None) -> WorkCalendar:
        """Return the calendar by which a unit works; without a unit, or without days of its own, the city's.

        A day that a unit above declared is the unit's too, unless it, or a nearer one, declared that day itself.
        """
        line = [] if department_id is None else [one for one in self._line(department_id) if one in self.units]
        if department_id is None or not line:
            return self.city
        if department_id not in self._made:
            rows: dict[date, DayRow] = {}
            for one in line:
                for row in self.units[one]:
                    rows.setdefault(row.day, row if one == department_id else replace(row, whose=self.names[one]))
            self._made[department_id] = self.city.with_overrides(rows.values(), name="单位日历")
        return self._made[department_id]

    def of_their_own(self) -> frozenset[int]:
        """Return the units that do not simply work by the city's calendar: they or one above declared days."""
        return frozenset(one for one in {*self.parents, *self.units} if any(up in self.units for up in self._line(one)))

    def under(self, department_id: int) -> frozenset[int]:
        """Return a unit with everything that stands below it."""
        return frozenset(one for one in {department_id, *self.parents} if department_id in self._line(one))

    def is_overruled(self, day: date, *, department_id: int, by_id: int | None) -> bool:
        """Tell whether what `by_id` (none: the city) declares of a day is not the unit's: it or a nearer one spoke."""
        for one in self._line(department_id):
            if one == by_id:
                return False
            if any(row.day == day for row in self.units.get(one, ())):
                return True
        return False

    def having(self, row: DayRow | None, *, day: date, department_id: int | None) -> Calendars:
        """Return the calendars as they would be with another declaration for a day, or with none."""
        if department_id is None:
            kept = {one: had for one, had in self.city.rows.items() if one != day}
            under = china().rows.get(day)
            plain = replace(self.city, rows=kept if under is None else {**kept, day: under})
            return replace(self, city=plain.with_overrides([row]) if row else plain, _made={})
        rows = [one for one in self.units.get(department_id, ()) if one.day != day]
        return replace(self, units={**self.units, department_id: (*rows, *([row] if row else []))}, _made={})

    def _line(self, department_id: int) -> tuple[int, ...]:
        return (department_id, *above(self.parents, department_id))


@dataclass(frozen=True, kw_only=True)
class DayWish:
    """A day as an administrator writes it; without `is_workday` what was declared is taken back."""

    day: date
    department_id: int | None
    is_workday: bool | None
    hours: str = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class DayView:
    """One declaration with the names that a person reads; in force until somebody ended it."""

    row: CalendarDay
    department: str
    department_code: str
    declared_by: str
    ended_by: str


def calendars(session: Session, *, today: date | None = None) -> Calendars:
    """Return every calendar in force; a row outside the statutory one is passed over, or it would stop all counts."""
    since = today - _REMEMBERED_YEARS if today else date.min
    rows = session.execute(
        select(
            CalendarDay.day,
            CalendarDay.department_id,
            CalendarDay.is_workday,
            CalendarDay.hours,
            CalendarDay.reason,
        ).where(CalendarDay.ended_at.is_(None), CalendarDay.department_id.is_(None) | (CalendarDay.day >= since))
    )
    confirmed = session.scalar(select(func.max(ConfirmedYear.year)))
    city, units = china().confirmed_to(confirmed or 0) if confirmed else china(), dict[int, list[DayRow]]()
    declared: list[DayRow] = []
    for day, department_id, is_workday, hours, reason in rows:
        if not city.covers(day):
            continue
        row = _row(
            day, is_workday=is_workday, hours=hours, reason=reason, layer=Layer.UNIT if department_id else Layer.CENTRE
        )
        (units.setdefault(department_id, []) if department_id else declared).append(row)
    tree = session.execute(select(Department.id, Department.parent_id, Department.short_name)).all()
    return Calendars(
        city=city.with_overrides(declared) if declared else city,
        units={department_id: tuple(found) for department_id, found in units.items()},
        parents={unit: parent for unit, parent, _ in tree},
        names={unit: name for unit, _, name in tree},
    )


def asked(session: Session, wish: DayWish, *, now: datetime) -> DayRow | None:
    """Check what an administrator wants of a day and return it as a calendar takes it; none takes a declaration back.

    Raises `Invalid` by field: a day of the past, work or other hours for today (both would make people late who
    kept their time), a day that nobody can know yet, no reason, hours that are none, and what is so already.
    """
    before = in_force(session, day=wish.day, department_id=wish.department_id)
    problems = _when(wish, before, today=local_day(now))
    if wish.department_id is not None:
        unit = session.get(Department, wish.department_id)
        if unit is None or not unit.active:
            problems["department"] = "没有这个承办单位，或已停用。"
    if wish.is_workday is None:
        if before is None:
            problems["kind"] = "这一天没有声明过，无需恢复。"
        if problems:
            raise Invalid(problems)
        return None
    reason = _reason(wish.reason, problems=problems)
    hours = _hours(wish.hours, day=wish.day, is_workday=wish.is_workday, problems=problems)
    same = before is not None and (before.is_workday, before.hours) == (wish.is_workday, hours)
    if same and not problems:
        problems["kind"] = "这一天已经是这样声明的。"
    if problems:
        raise Invalid(problems)
    layer = Layer.CENTRE if wish.department_id is None else Layer.UNIT
    return _row(wish.day, is_workday=wish.is_workday, hours=hours, reason=reason, layer=layer)


def declare(session: Session, wish: DayWish, *, by: Actor, now: datetime) -> DayRow | None:
    """Write a declaration down, or take one back; what was declared before ends now. See `asked` for refusals.

    Deadlines that are counted already do not move by this alone: `routing.clocks.recounting.order_day` does both.
    """
    require(by, Permission.SETTINGS_EDIT)
    row = asked(session, wish, now=now)
    before = in_force(session, day=wish.day, department_id=wish.department_id, lock=True)
    if before is not None:
        before.ended_at, before.ended_by = now, by.user_id
        session.flush()  # one declaration of a day is in force at a time
    if row is not None:
        session.add(
            CalendarDay(
                day=row.day,
                department_id=wish.department_id,
                is_workday=row.is_workday,
                hours=",".join(map(str, row.periods)),
                reason=row.name,
                declared_by=by.user_id,
                declared_at=now,
            )
        )
        session.flush()  # the database's own refusals come here
    forget_remembered(session)
    return row


@dataclass(frozen=True, kw_only=True)
class NextYear:
    """The year whose notice comes next, and what the calendar knows of it."""

    year: int
    #: Days of rest that follow from the law, and days of rest and of work that were declared for the city.
    by_law: int
    rest: int
    work: int


def next_year(session: Session) -> NextYear:
    """Return the year after the last confirmed one, with what is in the calendar for it."""
    city = calendars(session).city
    year = city.confirmed_until.year + 1
    rows = [row for row in city.rows.values() if row.day.year == year]
    declared = [row for row in rows if row.layer is not Layer.STATUTORY]
    return NextYear(
        year=year,
        by_law=len(rows) - len(declared),
        rest=sum(not row.is_workday for row in declared),
        work=sum(row.is_workday for row in declared),
    )


def confirm_year(session: Session, *, year: int | None, basis: str, by: Actor, now: datetime) -> ConfirmedYear:
    """Say that the notice of the next year is in the calendar, so that its days count as confirmed (decision 0050).

    The years of the library are written down before it, so that the database sees that none is left out. Raises
    `Invalid` by field for another year than the next one and without the notice's number.
    """
    require(by, Permission.SETTINGS_EDIT)
    problems: dict[str, str] = {}
    basis = _reason(basis, problems=problems)
    session.execute(_YEARS_ONE_BY_ONE)
    expected = calendars(session).city.confirmed_until.year + 1
    if year != expected:
        problems["year"] = f"只能按年依次确认，下一个是 {expected} 年。"
    elif expected >= china().last_day.year:
        problems["year"] = "已确认到日历的最后一年，请升级日历数据。"
    if problems:
        raise Invalid({"basis" if name == "reason" else name: words for name, words in problems.items()})
    written = session.scalar(select(func.max(ConfirmedYear.year))) or FIRST_YEAR - 1
    for each in range(written + 1, expected):
        session.add(ConfirmedYear(year=each, basis="国务院办公厅年度通知（随软件提供）", confirmed_at=now))
        session.flush()  # the database takes them in order
    confirmed = ConfirmedYear(year=expected, basis=basis, confirmed_by=by.user_id, confirmed_at=now)
    session.add(confirmed)
    session.flush()  # the database's own refusals come here
    forget_remembered(session)
    return confirmed


def confirmed_by_hand(session: Session, *, most: int = 5) -> list[tuple[ConfirmedYear, str]]:
    """Return the years that people confirmed, the newest first, each with who did."""
    rows = session.execute(
        select(ConfirmedYear, User.display_name)
        .join(User, User.id == ConfirmedYear.confirmed_by)
        .order_by(ConfirmedYear.year.desc())
        .limit(most)
    )
    return [(row, name) for row, name in rows]


def in_force(session: Session, *, day: date, department_id: int | None, lock: bool = False) -> CalendarDay | None:
    """Return what is declared for a day, for the city or for one unit."""
    query = select(CalendarDay).where(
        CalendarDay.day == day,
        CalendarDay.department_id.is_(None) if department_id is None else CalendarDay.department_id == department_id,
        CalendarDay.ended_at.is_(None),
    )
    if lock:
        query = query.with_for_update()  # two administrators with one day: one after the other
    return session.scalars(query).first()


def listed(
    session: Session, *, department_id: int | None = None, cursor: str = "", limit: int = 30
) -> Stretch[DayView]:
    """Return declarations, the latest first: all of them, or those of one unit, also ended ones."""
    ended = aliased(User)
    query: Any = (  # a select of several columns has no readable type
        select(CalendarDay, Department.name, Department.code, User.display_name, ended.display_name)
        .join(Department, Department.id == CalendarDay.department_id, isouter=True)
        .join(User, User.id == CalendarDay.declared_by, isouter=True)
        .join(ended, ended.id == CalendarDay.ended_by, isouter=True)
    )
    if department_id is not None:
        query = query.where(CalendarDay.department_id == department_id)
    return paging.by_time(
        session,
        query,
        at=CalendarDay.declared_at,
        number=CalendarDay.id,
        newest_first=True,
        cursor=cursor,
        limit=min(limit, MOST_ROWS),
        made=_view,
        key=lambda one: (one.row.declared_at, one.row.id),
    )


def _view(  # noqa: PLR0917 - the columns of the select above
    row: CalendarDay, unit: str | None, code: str | None, by: str | None, ended_by: str | None
) -> DayView:
    return DayView(
        row=row, department=unit or "", department_code=code or "", declared_by=by or "", ended_by=ended_by or ""
    )


def _row(day: date, *, is_workday: bool, hours: str, reason: str, layer: Layer) -> DayRow:
    periods = tuple(Period.parse(part) for part in hours.split(",")) if hours else ()
    return DayRow(day=day, is_workday=is_workday, name=reason, periods=periods, layer=layer)


def _when(wish: DayWish, before: CalendarDay | None, *, today: date) -> dict[str, str]:
    """Return what is wrong with the day itself."""
    gives_time = before is not None and before.is_workday if wish.is_workday is None else not wish.is_workday
    furthest = min(today + FURTHEST, china().last_day)
    if wish.day < today:
        return {"day": "不能更改已经过去的日期：已到期的时限是按当时的日历算的。"}
    if wish.day == today and not gives_time:
        return {"day": "当天只能声明休息；上班或改变时段须至少提前一天。"}
    if wish.day > furthest:
        return {"day": f"最远只能声明到 {furthest}。"}
    return {}


def _reason(written: str, *, problems: dict[str, str]) -> str:
    reason = clean_line(written)
    if not reason:
        problems["reason"] = "请填写依据（文件名称或文号）。"
    elif len(reason) > MOST_REASON:
        problems["reason"] = f"最多 {MOST_REASON} 字。"
    return reason


def _hours(written: str, *, day: date, is_workday: bool, problems: dict[str, str]) -> str:
    """Return hours in one spelling; what is wrong with them goes among the problems."""
    written = written.replace("，", ",").replace("：", ":").replace("—", "-").replace("、", ",").strip(" ,")
    if not written:
        return ""
    if not is_workday:
        problems["hours"] = "休息日不填工作时段。"
        return ""
    try:
        periods = tuple(Period.parse(part) for part in written.split(","))
        DayRow(day=day, is_workday=True, periods=periods)
    except BadCalendar as refused:
        problems["hours"] = refused.message
        return ""
    return ",".join(map(str, periods))
