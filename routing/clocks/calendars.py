"""Working days and working hours: statutory holidays, make-up workdays (调休), overrides of a centre or a unit."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Self

from typing_extensions import override

from hotline.core.errors import HotlineError

FIRST_YEAR: Final = 2010
"""The library and the State Council's notices were compared day by day from this year on."""

HORIZON_YEARS: Final = 10
"""How many years past the last confirmed one may still be counted in, flagged as not confirmed."""

ALARM_DAYS_AHEAD: Final = 60
"""With fewer confirmed days ahead than this, an administrator must enter the next notice (issue 4, section 2)."""

MONDAY_TO_FRIDAY: Final = frozenset(range(5))
_ONE_DAY: Final = timedelta(days=1)
_MINUTES_A_DAY: Final = 24 * 60
_SPAN: Final = re.compile(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})")


class BadCalendar(HotlineError):
    """A calendar that contradicts itself, has a gap, or is asked about a day that it does not cover."""

    say = "工作日历有误，请核对后再试。"
    code = "bad_calendar"


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """A stretch of working time within one day, in minutes after midnight; `closes` may be 1440 (24:00)."""

    opens: int
    closes: int

    def __post_init__(self) -> None:
        """Refuse a stretch that is empty or leaves its day."""
        if not 0 <= self.opens < self.closes <= _MINUTES_A_DAY:
            raise BadCalendar(f"工作时段 {self} 有误：开始须早于结束，且在同一天之内。")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `09:00-12:00`."""
        found = _SPAN.fullmatch(text.strip())
        if found is None or int(found[2]) > 59 or int(found[4]) > 59:  # noqa: PLR2004 - minutes of an hour
            raise BadCalendar(f"“{text}”不是工作时段，应写作 09:00-12:00。")
        return cls(int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4]))

    @override
    def __str__(self) -> str:
        """Write `09:00-12:00`, as `parse` reads it."""
        return f"{self.opens // 60:02}:{self.opens % 60:02}-{self.closes // 60:02}:{self.closes % 60:02}"


OFFICE_HOURS: Final = (Period(9 * 60, 12 * 60), Period(13 * 60, 18 * 60))
"""Eight hours with a lunch break; why these, docs/decisions/0007-clock.md."""


class Layer(StrEnum):
    """Who said so; a later layer overrules an earlier one."""

    STATUTORY = "statutory"
    CENTRE = "centre"
    UNIT = "unit"


class DayKind(StrEnum):
    """Why a day is or is not a working day."""

    ORDINARY_WORKDAY = "ordinary_workday"
    WEEKEND = "weekend"
    HOLIDAY = "holiday"
    MAKE_UP_WORKDAY = "make_up_workday"
    OVERRIDE_WORKDAY = "override_workday"
    OVERRIDE_REST = "override_rest"


@dataclass(frozen=True, slots=True)
class DayRow:
    """One day that differs from the plain week: a row of the calendar's table.

    `periods` are that day's own hours (a half day); empty means the usual ones. A day of rest has none. `whose` is
    the unit above that declared it, empty where the calendar's own unit (or the city) did.
    """

    day: date
    is_workday: bool
    name: str = ""
    periods: tuple[Period, ...] = ()
    layer: Layer = Layer.STATUTORY
    whose: str = ""

    def __post_init__(self) -> None:
        """Refuse hours on a day of rest and hours that overlap."""
        if self.periods and not self.is_workday:
            raise BadCalendar(f"{self.day} 为休息日，不应有工作时段。")
        _checked(self.periods, what=str(self.day))

    @classmethod
    def parse(cls, text: str, *, layer: Layer = Layer.CENTRE) -> Self:
        """Read `2026-10-10=rest`, `2026-10-11=work` or, for a half day, `2026-10-12=09:00-12:00`."""
        day_text, equals, value = text.strip().partition("=")
        try:
            day = date.fromisoformat(day_text.strip())
        except ValueError:
            raise BadCalendar(f"“{text}”中的日期有误，应写作 2026-10-10=rest。") from None
        value = value.strip()
        if not equals or not value:
            raise BadCalendar(f"“{text}”没有说明当天上班还是休息，应写作 2026-10-10=rest 或 =work。")
        if value in {"rest", "work"}:
            return cls(day, is_workday=value == "work", layer=layer)
        periods = tuple(Period.parse(part) for part in value.split(","))
        return cls(day, is_workday=True, periods=periods, layer=layer)


@dataclass(frozen=True)
class WorkCalendar:
    """The working days and hours of one unit (or of the centre), in Asia/Shanghai wall time.

    Days without a row follow the plain week. After `confirmed_until` the State Council's notice is missing, so
    an answer there may change; days outside `first_day`..`last_day` raise `BadCalendar`.
    """

    name: str
    rows: Mapping[date, DayRow] = field(hash=False, repr=False)
    first_day: date
    confirmed_until: date
    last_day: date
    periods: tuple[Period, ...] = OFFICE_HOURS
    weekdays: frozenset[int] = MONDAY_TO_FRIDAY
    #: What was answered before, at most a day each between `first_day` and `last_day`.
    _asked: dict[date, bool] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse a calendar in which nobody could ever finish anything."""
        if not self.periods:
            raise BadCalendar(f"日历“{self.name}”没有工作时段。")
        _checked(self.periods, what=f"日历“{self.name}”")
        if not self.weekdays or not self.weekdays <= set(range(7)):
            raise BadCalendar(f"日历“{self.name}”的每周工作日有误，应为 0（周一）至 6（周日）。")
        if not self.first_day <= self.confirmed_until <= self.last_day:
            raise BadCalendar(f"日历“{self.name}”的起止日期前后颠倒。")
        object.__setattr__(self, "rows", MappingProxyType(dict(self.rows)))

    @classmethod
    def from_rows(
        cls,
        rows: Iterable[DayRow],
        *,
        confirmed_years: Iterable[int],
        overrides: Iterable[DayRow] = (),
        name: str = "工作日历",
        periods: tuple[Period, ...] = OFFICE_HOURS,
        weekdays: frozenset[int] = MONDAY_TO_FRIDAY,
    ) -> Self:
        """Build a calendar from table rows: statutory days, then overrides on top.

        `confirmed_years` are the years whose official notice is in `rows`; they must follow one another
        without a gap, else `BadCalendar`. So must two rows of one layer not contradict each other.
        """
        years = sorted(set(confirmed_years))
        if not years:
            raise BadCalendar("没有任何一年的放假安排已确认，无法计算工作日。")
        missing = sorted(set(range(years[0], years[-1])) - set(years))
        if missing:
            raise BadCalendar(f"工作日历缺少 {'、'.join(map(str, missing))} 年的放假安排，请补齐后再用。")
        plain = cls(
            name=name,
            rows=_layered({}, (replace(row, layer=Layer.STATUTORY) for row in rows)),
            first_day=date(years[0], 1, 1),
            confirmed_until=date(years[-1], 12, 31),
            last_day=date(years[-1] + HORIZON_YEARS, 12, 31),
            periods=periods,
            weekdays=weekdays,
        )
        return plain.with_overrides(overrides)

    def with_overrides(self, rows: Iterable[DayRow], *, name: str = "") -> Self:
        """Return this calendar with rows on top; among them a unit's row beats the centre's."""
        on_top = [replace(row, layer=Layer.CENTRE) if row.layer is Layer.STATUTORY else row for row in rows]
        for row in on_top:
            self._require_covered(row.day)
        return replace(self, rows=_layered(self.rows, on_top), name=name or self.name)

    def confirmed_to(self, year: int) -> Self:
        """Return this calendar with the notices of all years up to this one known; never fewer than before."""
        until = min(date(year, 12, 31), self.last_day)
        return replace(self, confirmed_until=max(until, self.confirmed_until))

    def without_make_up_days(self, *, name: str = "") -> Self:
        """Return the calendar of a unit that keeps the holidays but does not work on make-up weekends."""
        kept = {
            day: row
            for day, row in self.rows.items()
            if not (row.is_workday and row.layer is Layer.STATUTORY and day.weekday() not in self.weekdays)
        }
        return replace(self, rows=kept, name=name or self.name)

    def is_workday(self, day: date) -> bool:
        """Tell whether work is done on a day."""
        # A deadline asks this some two hundred times, mostly about the same few weeks.
        known = self._asked.get(day)
        if known is None:
            self._require_covered(day)
            row = self.rows.get(day)
            known = self._asked[day] = row.is_workday if row is not None else day.weekday() in self.weekdays
        return known

    def kind(self, day: date) -> DayKind:
        """Tell why a day is or is not a working day."""
        self._require_covered(day)
        row = self.rows.get(day)
        in_week = day.weekday() in self.weekdays
        if row is None:
            return DayKind.ORDINARY_WORKDAY if in_week else DayKind.WEEKEND
        if row.layer is not Layer.STATUTORY:
            return DayKind.OVERRIDE_WORKDAY if row.is_workday else DayKind.OVERRIDE_REST
        if row.is_workday:
            return DayKind.ORDINARY_WORKDAY if in_week else DayKind.MAKE_UP_WORKDAY
        return DayKind.HOLIDAY

    def holiday_name(self, day: date) -> str:
        """Return the holiday's name, or an empty text where the day has none of its own."""
        row = self.rows.get(day)
        return row.name if row is not None and not row.is_workday else ""

    def declared(self, day: date) -> DayRow | None:
        """Return what the centre or the unit declared for a day, over the statutory calendar."""
        row = self.rows.get(day)
        return row if row is not None and row.layer is not Layer.STATUTORY else None

    def covers(self, day: date) -> bool:
        """Tell whether a day can be asked about at all."""
        return self.first_day <= day <= self.last_day

    def periods_on(self, day: date) -> tuple[Period, ...]:
        """Return the working hours of a day, none on a day of rest."""
        if not self.is_workday(day):
            return ()
        row = self.rows.get(day)
        return row.periods if row is not None and row.periods else self.periods

    def opening(self, day: date) -> datetime:
        """Return when work begins on a working day, as naive local time."""
        return at_minute(day, self.periods_on(day)[0].opens)

    def closing(self, day: date) -> datetime:
        """Return when work ends on a working day, as naive local time."""
        return at_minute(day, self.periods_on(day)[-1].closes)

    def workdays_after(self, day: date) -> Iterator[date]:
        """Yield the working days after a day, without end; past the horizon `BadCalendar` is raised."""
        while True:
            day += _ONE_DAY
            if self.is_workday(day):
                yield day

    def next_workday(self, day: date) -> date:
        """Return the first working day after a day."""
        return next(self.workdays_after(day))

    def next_working_moment(self, moment: datetime) -> datetime:
        """Return the moment itself in working time, else the next opening (naive local time).

        Reminders go through this, so that nobody is woken at midnight by a deadline (peers.md 3.B).
        """
        for period in self.periods_on(moment.date()):
            if moment < at_minute(moment.date(), period.closes):
                return max(moment, at_minute(moment.date(), period.opens))
        return self.opening(self.next_workday(moment.date()))

    def is_confirmed(self, day: date) -> bool:
        """Tell whether the official notice for a day is known."""
        return day <= self.confirmed_until

    def confirmed_days_ahead(self, today: date) -> int:
        """Return how many days after today are confirmed; below `ALARM_DAYS_AHEAD` somebody must act."""
        return max(0, (self.confirmed_until - today).days)

    def _require_covered(self, day: date) -> None:
        if not self.covers(day):
            raise BadCalendar(f"日历“{self.name}”不包含 {day}（只有 {self.first_day} 至 {self.last_day}），无法计算。")


def at_minute(day: date, minute: int) -> datetime:
    """Return a naive local time; minute 1440 is 24:00, told as 23:59:59 so that it stays on its day."""
    if minute == _MINUTES_A_DAY:
        return datetime.combine(day, time(23, 59, 59))
    return datetime.combine(day, time(minute // 60, minute % 60))


def china() -> WorkCalendar:
    """Return the statutory calendar of mainland China from the maintained library."""
    return _china()


@functools.cache
def statutory_rows() -> tuple[tuple[DayRow, ...], frozenset[int]]:
    """Return what the library knows: rows that differ from the plain week, and the confirmed years.

    A year counts as confirmed when the library names a make-up workday for it: those come only from the yearly
    notice, while the holidays themselves follow from the law and are computed for every year.
    """
    import holidays  # a third of a second: only who counts days pays for it

    rows: list[DayRow] = []
    last_confirmed, year = FIRST_YEAR - 1, FIRST_YEAR
    while year <= last_confirmed + HORIZON_YEARS:
        known = holidays.country_holidays("CN", years=year, language="zh_CN")
        make_up = sorted(day for day in known.weekend_workdays if day.year == year)
        if make_up and year == last_confirmed + 1:
            last_confirmed = year
        rows += [DayRow(day, is_workday=True, name="调休上班") for day in make_up]
        rows += [DayRow(day, is_workday=False, name=_plain(name)) for day, name in known.items()]
        year += 1
    return tuple(sorted(rows, key=lambda row: row.day)), frozenset(range(FIRST_YEAR, last_confirmed + 1))


@functools.cache
def _china() -> WorkCalendar:
    rows, confirmed = statutory_rows()
    return WorkCalendar.from_rows(rows, confirmed_years=confirmed, name="全国法定日历")


def _plain(name: str) -> str:
    """Keep the holiday's name only: not which day was swapped for it, not that it was moved."""
    names = (part.strip().partition("（")[0] for part in re.split(r"[;；]", name))
    return "、".join(dict.fromkeys(part for part in names if part and not part.startswith("休息日")))


def _layered(below: Mapping[date, DayRow], rows: Iterable[DayRow]) -> dict[date, DayRow]:
    """Put rows on top of others, the unit's last; two different rows for one day in one layer are refused."""
    layers = list(Layer)
    found: dict[tuple[date, Layer], DayRow] = {}
    for row in rows:
        if found.setdefault((row.day, row.layer), row) != row:
            raise BadCalendar(f"{row.day} 在同一日历中既有“{_said(found[row.day, row.layer])}”又有“{_said(row)}”。")
    merged = dict(below)
    for row in sorted(found.values(), key=lambda row: layers.index(row.layer)):
        under = merged.get(row.day)
        if under is None or layers.index(under.layer) <= layers.index(row.layer):
            merged[row.day] = row
    return merged


def _said(row: DayRow) -> str:
    return ("、".join(map(str, row.periods)) or "上班") if row.is_workday else "休息"


def _checked(periods: tuple[Period, ...], *, what: str) -> None:
    for earlier, later in itertools.pairwise(periods):
        if later.opens < earlier.closes:
            raise BadCalendar(f"{what} 的工作时段 {earlier} 与 {later} 重叠或次序颠倒。")
