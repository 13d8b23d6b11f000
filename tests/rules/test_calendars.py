"""The working calendar: what the notice says, what an administrator says on top, and where it ends."""

from __future__ import annotations

from datetime import date, datetime

import pytest

from routing.clocks.calendars import (
    ALARM_DAYS_AHEAD,
    OFFICE_HOURS,
    BadCalendar,
    DayKind,
    DayRow,
    Layer,
    Period,
    WorkCalendar,
    at_minute,
    china,
    statutory_rows,
)

# The notice for 2026, day by day: what differs from Monday to Friday.
HOLIDAYS_2026 = [
    "01-01",
    "01-02",
    "02-16",
    "02-17",
    "02-18",
    "02-19",
    "02-20",
    "02-23",
    "04-06",
    "05-01",
    "05-04",
    "05-05",
    "06-19",
    "09-25",
    "10-01",
    "10-02",
    "10-05",
    "10-06",
    "10-07",
]
MAKE_UP_2026 = ["01-04", "02-14", "02-28", "05-09", "09-20", "10-10"]


def small(**changes: object) -> WorkCalendar:
    """Return a calendar of the one year 2026 with two rows."""
    rows = [
        DayRow(date(2026, 10, 1), is_workday=False, name="国庆节"),
        DayRow(date(2026, 10, 10), is_workday=True, name="调休上班"),
    ]
    return WorkCalendar.from_rows(**{"rows": rows, "confirmed_years": [2026], **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("day", HOLIDAYS_2026)
def test_a_statutory_holiday_of_2026_on_a_weekday_is_no_workday(day: str) -> None:
    assert not china().is_workday(date.fromisoformat(f"2026-{day}"))
    assert date.fromisoformat(f"2026-{day}").weekday() < 5


@pytest.mark.parametrize("day", MAKE_UP_2026)
def test_a_make_up_weekend_day_of_2026_is_a_workday(day: str) -> None:
    moved = date.fromisoformat(f"2026-{day}")
    assert china().is_workday(moved)
    assert china().kind(moved) is DayKind.MAKE_UP_WORKDAY
    assert moved.weekday() >= 5


def test_every_other_day_of_2026_follows_the_plain_week() -> None:
    special = {f"2026-{day}" for day in [*HOLIDAYS_2026, *MAKE_UP_2026]}
    days = [date.fromordinal(date(2026, 1, 1).toordinal() + index) for index in range(365)]
    plain = [day for day in days if day.isoformat() not in special]
    assert len(plain) == 365 - 19 - 6
    assert all(china().is_workday(day) == (day.weekday() < 5) for day in plain)
    assert sum(map(china().is_workday, days)) == 261 - 19 + 6


def test_the_years_with_a_published_notice_are_confirmed_without_a_gap() -> None:
    _rows, confirmed = statutory_rows()
    assert set(range(2010, 2027)) <= confirmed
    assert sorted(confirmed) == list(range(2010, max(confirmed) + 1))
    assert china().confirmed_until == date(max(confirmed), 12, 31)
    assert china().is_confirmed(date(2026, 12, 31))


def test_a_day_after_the_last_notice_is_answered_but_not_confirmed() -> None:
    calendar = small()
    assert not calendar.is_confirmed(date(2027, 1, 1))
    assert calendar.is_workday(date(2027, 1, 4))


@pytest.mark.parametrize(
    ("today", "ahead", "alarm"),
    [
        (date(2026, 11, 1), 60, False),
        (date(2026, 11, 2), 59, True),
        (date(2026, 12, 31), 0, True),
        (date(2027, 3, 1), 0, True),
    ],
)
def test_the_alarm_counts_the_confirmed_days_ahead(today: date, ahead: int, *, alarm: bool) -> None:
    assert small().confirmed_days_ahead(today) == ahead
    assert (small().confirmed_days_ahead(today) < ALARM_DAYS_AHEAD) is alarm


@pytest.mark.parametrize("day", [date(2025, 12, 31), date(2037, 1, 1)])
def test_a_day_outside_the_calendar_is_refused_not_guessed(day: date) -> None:
    with pytest.raises(BadCalendar, match="不包含"):
        small().is_workday(day)
    with pytest.raises(BadCalendar, match="不包含"):
        small().kind(day)
    with pytest.raises(BadCalendar, match="不包含"):
        small().with_overrides([DayRow(day, is_workday=False)])


def test_a_gap_between_confirmed_years_is_refused_by_name() -> None:
    with pytest.raises(BadCalendar, match="缺少 2027、2028 年"):
        small(confirmed_years=[2026, 2029])


def test_a_calendar_without_any_confirmed_year_is_refused() -> None:
    with pytest.raises(BadCalendar, match="没有任何一年"):
        small(confirmed_years=[])


def test_kinds_tell_why() -> None:
    calendar = small(
        overrides=[DayRow(date(2026, 10, 11), is_workday=True), DayRow(date(2026, 10, 12), is_workday=False)]
    )
    assert [calendar.kind(date(2026, 10, day)) for day in (1, 2, 3, 10, 11, 12)] == [
        DayKind.HOLIDAY,
        DayKind.ORDINARY_WORKDAY,
        DayKind.WEEKEND,
        DayKind.MAKE_UP_WORKDAY,
        DayKind.OVERRIDE_WORKDAY,
        DayKind.OVERRIDE_REST,
    ]
    assert calendar.holiday_name(date(2026, 10, 1)) == "国庆节"
    assert calendar.holiday_name(date(2026, 10, 10)) == ""
    assert calendar.holiday_name(date(2026, 10, 2)) == ""


def test_a_statutory_workday_row_inside_the_week_is_an_ordinary_workday() -> None:
    calendar = small(rows=[DayRow(date(2026, 10, 9), is_workday=True)])
    assert calendar.kind(date(2026, 10, 9)) is DayKind.ORDINARY_WORKDAY


def test_an_override_beats_the_notice_and_a_unit_beats_the_centre() -> None:
    day = date(2026, 10, 10)
    centre = small(overrides=[DayRow(day, is_workday=False)])
    assert not centre.is_workday(day)
    unit = centre.with_overrides([DayRow(day, is_workday=True, layer=Layer.UNIT)], name="市城管局")
    assert unit.is_workday(day)
    assert unit.name == "市城管局"
    later = unit.with_overrides([DayRow(day, is_workday=False, layer=Layer.CENTRE)])
    assert later.is_workday(day)
    assert later.name == "市城管局"
    both = small(
        overrides=[
            DayRow(day, is_workday=True, layer=Layer.UNIT),
            DayRow(day, is_workday=False, layer=Layer.CENTRE),
        ]
    )
    assert both.is_workday(day)


def test_two_rows_of_one_layer_that_contradict_each_other_are_refused() -> None:
    day = date(2026, 10, 10)
    with pytest.raises(BadCalendar, match="2026-10-10 在同一日历中既有“休息”又有“上班”"):
        small(overrides=[DayRow(day, is_workday=False), DayRow(day, is_workday=True)])
    same = [DayRow(day, is_workday=False), DayRow(day, is_workday=False)]
    assert not small(overrides=same).is_workday(day)


def test_a_unit_without_make_up_days_keeps_the_holidays() -> None:
    calendar = china().without_make_up_days(name="不补班")
    assert not calendar.is_workday(date(2026, 10, 10))
    assert not calendar.is_workday(date(2026, 10, 1))
    assert calendar.is_workday(date(2026, 10, 9))
    kept = small(rows=[DayRow(date(2026, 10, 9), is_workday=True)]).without_make_up_days()
    assert kept.kind(date(2026, 10, 9)) is DayKind.ORDINARY_WORKDAY


def test_a_unit_that_works_every_day_of_the_week_has_no_weekend() -> None:
    calendar = small(weekdays=frozenset(range(7)))
    assert calendar.kind(date(2026, 10, 11)) is DayKind.ORDINARY_WORKDAY


def test_a_half_day_has_its_own_hours_and_closing() -> None:
    calendar = small(overrides=[DayRow.parse("2026-10-12=09:00-12:00")])
    assert calendar.closing(date(2026, 10, 12)) == datetime.fromisoformat("2026-10-12T12:00")
    assert calendar.opening(date(2026, 10, 12)) == datetime.fromisoformat("2026-10-12T09:00")
    assert calendar.closing(date(2026, 10, 13)) == datetime.fromisoformat("2026-10-13T18:00")
    assert calendar.periods_on(date(2026, 10, 11)) == ()
    assert calendar.periods_on(date(2026, 10, 13)) == OFFICE_HOURS


@pytest.mark.parametrize(
    ("moment", "then"),
    [
        ("2026-10-09T00:00", "2026-10-09T09:00"),
        ("2026-10-09T09:00", "2026-10-09T09:00"),
        ("2026-10-09T11:59", "2026-10-09T11:59"),
        ("2026-10-09T12:00", "2026-10-09T13:00"),
        ("2026-10-09T17:59", "2026-10-09T17:59"),
        ("2026-10-09T18:00", "2026-10-10T09:00"),
        ("2026-10-10T23:59", "2026-10-12T09:00"),
        ("2026-10-01T10:00", "2026-10-02T09:00"),
    ],
)
def test_a_reminder_waits_for_working_time(moment: str, then: str) -> None:
    assert small().next_working_moment(datetime.fromisoformat(moment)) == datetime.fromisoformat(then)


def test_the_end_of_a_day_stays_on_that_day() -> None:
    assert at_minute(date(2026, 10, 9), 1440) == datetime.fromisoformat("2026-10-09T23:59:59")
    assert at_minute(date(2026, 10, 9), 1020) == datetime.fromisoformat("2026-10-09T17:00")


@pytest.mark.parametrize("text", ["9-12", "09:00", "09:60-12:00", "09:00-12:61", "12:00-09:00", "09:00-25:00", ""])
def test_hours_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(BadCalendar):
        Period.parse(text)


def test_hours_read_as_they_are_written() -> None:
    assert Period.parse(" 9:00-12:00 ") == Period(540, 720)
    assert str(Period(540, 1440)) == "09:00-24:00"
    assert Period.parse("00:00-24:00") == Period(0, 1440)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("2026-13-10=rest", "日期有误"),
        ("=rest", "日期有误"),
        ("2026-10-10", "没有说明"),
        ("2026-10-10=", "没有说明"),
        ("2026-10-10=maybe", "不是工作时段"),
        ("2026-10-10=09:00-12:00,11:00-13:00", "重叠"),
    ],
)
def test_an_override_that_says_nothing_is_refused(text: str, match: str) -> None:
    with pytest.raises(BadCalendar, match=match):
        DayRow.parse(text)


def test_overrides_read_as_they_are_written() -> None:
    assert DayRow.parse("2026-10-10=rest") == DayRow(date(2026, 10, 10), is_workday=False, layer=Layer.CENTRE)
    assert DayRow.parse("2026-10-11 = work", layer=Layer.UNIT).is_workday
    assert DayRow.parse("2026-10-12=09:00-12:00").periods == (Period(540, 720),)


def test_a_day_of_rest_has_no_hours() -> None:
    with pytest.raises(BadCalendar, match="休息日"):
        DayRow(date(2026, 10, 10), is_workday=False, periods=(Period(540, 720),))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"periods": ()}, "没有工作时段"),
        ({"periods": (Period(540, 720), Period(700, 800))}, "重叠"),
        ({"weekdays": frozenset()}, "每周工作日"),
        ({"weekdays": frozenset({7})}, "每周工作日"),
    ],
)
def test_a_calendar_in_which_nobody_works_is_refused(changes: dict[str, object], match: str) -> None:
    with pytest.raises(BadCalendar, match=match):
        small(**changes)


def test_a_calendar_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(BadCalendar, match="前后颠倒"):
        WorkCalendar(
            name="错", rows={}, first_day=date(2026, 1, 1), confirmed_until=date(2025, 1, 1), last_day=date(2027, 1, 1)
        )


def test_a_contradiction_names_the_hours() -> None:
    with pytest.raises(BadCalendar, match="09:00-12:00"):
        small(overrides=[DayRow.parse("2026-10-12=09:00-12:00"), DayRow.parse("2026-10-12=work")])
