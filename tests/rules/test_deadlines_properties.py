"""What must hold for every limit, calendar, start and pause; and a second, naive count to compare with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hotline.core.clock import SHANGHAI
from routing.clocks.calendars import OFFICE_HOURS, DayRow, WorkCalendar, china
from routing.clocks.deadlines import Change, Clock, Extension, Redispatched, Suspension, clock_named, clocks_for
from routing.clocks.profiles import REQUEST_TYPES, URGENCIES, ClockName, Profile, available, load

FIRST, LAST = datetime(2024, 1, 1, tzinfo=SHANGHAI), datetime(2026, 11, 1, tzinfo=SHANGHAI)
MINUTES = int((LAST - FIRST).total_seconds() // 60)
MANY = settings(max_examples=40, deadline=None, derandomize=True)

starts = st.integers(0, MINUTES).map(lambda minute: FIRST + timedelta(minutes=minute))
limits = st.one_of(
    st.builds(lambda n, s: {"workdays": n, "starts": s}, st.integers(1, 25), st.sampled_from(["next_day", "at_once"])),
    st.builds(
        lambda n, s, c: {"days": n, "starts": s, "calendar": c},
        st.integers(1, 25),
        st.sampled_from(["next_day", "at_once"]),
        st.sampled_from(["24x7", "working"]),
    ),
    st.builds(lambda c: {"days": 0, "calendar": c}, st.sampled_from(["24x7", "working"])),
    st.builds(
        lambda n, s, c: {"hours": n, "starts": s, "calendar": c},
        st.integers(1, 60),
        st.sampled_from(["next_day", "at_once"]),
        st.sampled_from(["24x7", "working"]),
    ),
    st.builds(lambda n, c: {"minutes": n, "calendar": c}, st.integers(1, 300), st.sampled_from(["24x7", "working"])),
)
day_ends = st.sampled_from(["closing", "17:00", "24:00"])
overrides = st.dictionaries(
    st.integers(0, MINUTES // 1440).map(lambda day: FIRST.date() + timedelta(days=day)),
    st.sampled_from(["rest", "work", "09:00-12:00"]),
    max_size=12,
)


@dataclass(frozen=True)
class Drawn:
    """A limit, a unit's own days and a start: small, so that a failing example can be read."""

    limit: dict[str, Any]
    ends: str
    rows: dict[date, str]
    start: datetime

    @property
    def calendar(self) -> WorkCalendar:
        return china().with_overrides([DayRow.parse(f"{day}={said}") for day, said in self.rows.items()])


cases = st.builds(Drawn, limits, day_ends, overrides, starts)
# Pauses as minutes from the start (they may begin before it and end after the limit) and their length.
pauses = st.tuples(st.integers(-3 * 1440, 30 * 1440), st.integers(1, 6 * 1440))


def at(start: datetime, spans: list[tuple[int, int]]) -> list[Suspension]:
    """Return drawn pauses as suspensions of a ticket that was dispatched then."""
    begins = [(start + timedelta(minutes=offset), timedelta(minutes=length)) for offset, length in spans]
    return [Suspension(begin, begin + length) for begin, length in begins]


def profile(limit: dict[str, Any], ends: str = "closing") -> Profile:
    """Return a profile with one limit for everybody."""
    return Profile.from_mapping(
        {
            "name": "test",
            "version": "1",
            "effective_from": "2000-01-01",
            "source": "test",
            "day_ends": ends,
            "rows": [{"id": "all", "handle": limit}],
        }
    )


def handle(found: Drawn, *changes: Change) -> Clock:
    """Count the handling clock of a drawn case."""
    clocks = clocks_for(
        profile=profile(found.limit, found.ends),
        calendar=found.calendar,
        request_type="投诉",
        urgency="一般",
        dispatched_at=found.start,
        changes=changes,
    )
    clock = clock_named(clocks, ClockName.HANDLE)
    assert clock is not None
    return clock


@MANY
@given(found=cases, spans=st.lists(pauses, max_size=3))
def test_due_is_after_the_start_and_the_cards_lie_around_it(found: Drawn, spans: list[tuple[int, int]]) -> None:
    clock = handle(found, *at(found.start, spans))
    assert clock.started_at < clock.due_at
    assert clock.started_at <= clock.yellow_from <= clock.due_at <= clock.red_from
    assert clock.due_at.tzinfo is UTC


@MANY
@given(found=cases, spans=st.lists(pauses, max_size=3), more=pauses)
def test_one_more_pause_never_makes_due_earlier(
    found: Drawn, spans: list[tuple[int, int]], more: tuple[int, int]
) -> None:
    before = at(found.start, spans)
    assert handle(found, *before, *at(found.start, [more])).due_at >= handle(found, *before).due_at


@MANY
@given(found=cases, spans=st.lists(pauses, min_size=1, max_size=3))
def test_the_same_pause_twice_and_any_order_change_nothing(found: Drawn, spans: list[tuple[int, int]]) -> None:
    some = at(found.start, spans)
    due = handle(found, *some).due_at
    assert handle(found, *reversed(some)).due_at == due
    assert handle(found, *some, some[0]).due_at == due


@MANY
@given(found=cases, later=st.integers(1, 5 * 1440), spans=st.lists(pauses, max_size=2))
def test_a_later_start_never_gives_an_earlier_due(found: Drawn, later: int, spans: list[tuple[int, int]]) -> None:
    some = at(found.start, spans)
    moved = replace(found, start=found.start + timedelta(minutes=later))
    assert handle(moved, *some).due_at >= handle(found, *some).due_at


@MANY
@given(
    found=st.builds(Drawn, st.just({}), day_ends, overrides, starts),
    unit=st.sampled_from(["workdays", "days", "hours", "minutes"]),
    how=st.sampled_from([{}, {"starts": "at_once"}]),
    lengths=st.tuples(st.integers(1, 15), st.integers(1, 15)),
    spans=st.lists(pauses, max_size=2),
)
def test_counting_is_additive(
    *, found: Drawn, unit: str, how: dict[str, str], lengths: tuple[int, int], spans: list[tuple[int, int]]
) -> None:
    some = at(found.start, spans)
    first, second = lengths
    whole = handle(replace(found, limit={unit: first + second, **how}), *some).due_at
    part = handle(replace(found, limit={unit: first, **how}), *some).due_at
    assert handle(replace(found, limit={unit: second, **how}, start=part), *some).due_at == whole


@MANY
@given(found=cases, lengths=st.tuples(st.integers(1, 15), st.integers(1, 10)), spans=st.lists(pauses, max_size=2))
def test_an_extension_is_more_of_the_same(found: Drawn, lengths: tuple[int, int], spans: list[tuple[int, int]]) -> None:
    some = at(found.start, spans)
    first, second = lengths
    extended = handle(replace(found, limit={"workdays": first}), *some, Extension(found.start, second))
    assert extended.due_at == handle(replace(found, limit={"workdays": first + second}), *some).due_at


@MANY
@given(found=cases, later=st.integers(0, 20 * 1440), spans=st.lists(pauses, max_size=2))
def test_another_unit_counts_as_if_dispatched_then_and_the_total_runs_on(
    found: Drawn, later: int, spans: list[tuple[int, int]]
) -> None:
    some = at(found.start, spans)
    moved = found.start + timedelta(minutes=later)
    clocks = clocks_for(
        profile=profile(found.limit, found.ends),
        calendar=found.calendar,
        request_type="投诉",
        urgency="一般",
        dispatched_at=found.start,
        changes=[*some, Redispatched(moved)],
    )
    due = {clock.name: clock.due_at for clock in clocks}
    assert due[ClockName.HANDLE] == handle(replace(found, start=moved), *some).due_at
    assert due[ClockName.TOTAL] == handle(found, *some).due_at


@MANY
@given(found=cases, amount=st.integers(1, 25), spans=st.lists(pauses, max_size=3))
def test_working_days_agree_with_a_list_of_days(found: Drawn, amount: int, spans: list[tuple[int, int]]) -> None:
    some = at(found.start, spans)
    calendar = found.calendar
    left, day = amount, found.start.date()
    while left:
        day += timedelta(days=1)
        if calendar.is_workday(day):
            closing = calendar.closing(day).replace(tzinfo=SHANGHAI)
            left -= not any(pause.at < closing <= ended(pause) for pause in some)
    counted = replace(found, limit={"workdays": amount}, ends="closing")
    assert handle(counted, *some).due_at == closing


@MANY
@given(
    found=cases,
    amount=st.integers(1, 600),
    spans=st.lists(st.tuples(st.integers(-1440, 3 * 1440), st.integers(1, 1440)), max_size=2),
)
def test_working_minutes_agree_with_counting_them_one_by_one(
    found: Drawn, amount: int, spans: list[tuple[int, int]]
) -> None:
    some = at(found.start, spans)
    calendar = found.calendar
    left, moment = amount, found.start
    while left:
        left -= worked(calendar, moment) and not any(pause.at <= moment < ended(pause) for pause in some)
        moment += timedelta(minutes=1)
    counted = replace(found, limit={"minutes": amount, "calendar": "working"})
    assert handle(counted, *some).due_at == moment


def ended(pause: Suspension) -> datetime:
    """Return the end that every drawn pause has."""
    assert pause.ends_at is not None
    return pause.ends_at


def worked(calendar: WorkCalendar, moment: datetime) -> bool:
    """Tell whether the minute that begins now is working time."""
    minute = moment.hour * 60 + moment.minute
    return any(period.opens <= minute < period.closes for period in calendar.periods_on(moment.date()))


@MANY
@given(
    name=st.sampled_from(available()),
    request_type=st.sampled_from(REQUEST_TYPES),
    urgency=st.sampled_from(URGENCIES),
    start=starts,
)
def test_every_shipped_profile_answers_every_ticket_and_explains_it(
    name: str, request_type: str, urgency: str, start: datetime
) -> None:
    clocks = clocks_for(
        profile=load(name),
        calendar=china(),
        request_type=request_type,
        urgency=urgency,
        dispatched_at=start,
        registered_at=start,
    )
    assert {ClockName.HANDLE, ClockName.TOTAL} <= {clock.name for clock in clocks}
    for clock in clocks:
        assert clock.due_at > start
        assert clock.steps[0].code == "started"
        assert clock.steps[-1].code == "due"
        local = clock.due_at.astimezone(SHANGHAI).replace(tzinfo=None)
        assert clock.steps[-1].params["at"] == local.isoformat()
        assert all(step.text and isinstance(step.params, dict) for step in clock.steps)


@MANY
@given(start=st.datetimes(datetime(2010, 1, 2), datetime(2026, 12, 1)), amount=st.integers(1, 40))  # noqa: DTZ001 - a day
def test_the_calendar_agrees_with_the_library_on_every_day(start: datetime, amount: int) -> None:
    import holidays

    first: date = start.date()
    library = holidays.country_holidays("CN", years=range(first.year, first.year + 2))
    for index in range(amount):
        day = first + timedelta(days=index)
        if day <= china().confirmed_until:
            assert china().is_workday(day) == library.is_working_day(day), day
    assert china().periods == OFFICE_HOURS
    assert time(OFFICE_HOURS[-1].closes // 60) == time(18)
