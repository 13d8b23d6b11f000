"""Golden tables: one line, one sentence, one hand-counted answer. Rests of 2026 are in test_calendars.py."""

# One case is one line, however long its sentence is.
# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from hotline.core.clock import SHANGHAI
from routing.clocks.calendars import BadCalendar, DayRow, Layer, Period, WorkCalendar, china
from routing.clocks.deadlines import (
    Card,
    Change,
    Clock,
    ClockRefused,
    Extension,
    Reclassified,
    Redispatched,
    ReturnAccepted,
    ReturnRefused,
    Suspension,
    check_extension,
    check_suspension,
    clock_named,
    clocks_for,
    due_at,
    shifted,
)
from routing.clocks.profiles import ClockName, Profile, load
from routing.clocks.steps import StepCode


def at(text: str) -> datetime:
    """Return a time written as people in China write it."""
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI)


def stop(span: str, kind: str = "", max_workdays: int | None = None) -> Suspension:
    """Return the suspension `FROM/TO`; an empty TO resumes by itself."""
    begin, _slash, end = span.partition("/")
    return Suspension(at(begin), at(end) if end else None, kind, max_workdays)


def limited(limit: dict[str, Any], **changes: Any) -> Profile:
    """Return a profile with one handling limit for everybody."""
    row = {"id": "all", "handle": limit, **changes.pop("row", {})}
    return Profile.from_mapping(
        {"name": "test", "version": "1", "effective_from": "2000-01-01", "source": "test", "rows": [row], **changes}
    )


def unit(*overrides: str, without_make_up: bool = False, **changes: Any) -> WorkCalendar:
    """Return the statutory calendar with a unit's own days on top."""
    calendar = china().with_overrides([DayRow.parse(text) for text in overrides], name="单位")
    if without_make_up:
        calendar = calendar.without_make_up_days()
    return replace(calendar, **changes)


def clocks(
    profile: Profile | str,
    start: str,
    *changes: Change,
    request_type: str = "投诉",
    urgency: str = "一般",
    source: str = "",
    sla_class: str = "",
    calendar: WorkCalendar | None = None,
    citizen_calendar: WorkCalendar | None = None,
    registered: str = "",
) -> tuple[Clock, ...]:
    """Count with short words."""
    return clocks_for(
        profile=load(profile) if isinstance(profile, str) else profile,
        calendar=calendar or china(),
        source=source,
        request_type=request_type,
        urgency=urgency,
        sla_class=sla_class,
        dispatched_at=at(start),
        registered_at=at(registered) if registered else None,
        changes=changes,
        citizen_calendar=citizen_calendar,
    )


def one(found: Sequence[Clock], name: str = "handle") -> Clock:
    """Return one clock that must be there."""
    clock = clock_named(found, ClockName(name))
    assert clock is not None
    return clock


def due(found: Sequence[Clock], name: str = "handle") -> str:
    """Return when a clock ends, as people write it; 24:00 is the last second of the day."""
    return one(found, name).due_at.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M")


def told(clock: Clock, code: StepCode) -> list[str]:
    """Return the sentences of one kind."""
    return [step.text for step in clock.steps if step.code is code]


# ---------------------------------------------------------------------------------------------------------------
# Day counts of the shipped profiles: profile, type, urgency, source, class, start -> due. Blank is "-".

DAYS = """
the first working day is the one after the dispatch | shandong 投诉 一般 - - 2026-03-02T10:00 | 2026-03-09 18:00
the hour of the dispatch does not matter when counting from the next day | shandong 投诉 一般 - - 2026-03-02T00:00 | 2026-03-09 18:00
a dispatch after hours still counts from the next day | shandong 投诉 一般 - - 2026-03-02T23:59 | 2026-03-09 18:00
a dispatch on Friday evening counts from Monday | shandong 投诉 一般 - - 2026-03-06T19:30 | 2026-03-13 18:00
a dispatch on Saturday counts from Monday | shandong 投诉 一般 - - 2026-03-07T10:00 | 2026-03-13 18:00
a dispatch on Sunday counts from Monday | shandong 投诉 一般 - - 2026-03-08T10:00 | 2026-03-13 18:00
New Year: the year is crossed, Sunday 4 January is worked | shandong 投诉 一般 - - 2025-12-31T10:00 | 2026-01-08 18:00
New Year: dispatched on the holiday | shandong 投诉 一般 - - 2026-01-01T10:00 | 2026-01-08 18:00
New Year: dispatched on the make-up Sunday itself | shandong 投诉 一般 - - 2026-01-04T10:00 | 2026-01-09 18:00
Spring Festival: Saturday 14 February is worked before nine days of rest | shandong 投诉 一般 - - 2026-02-13T10:00 | 2026-02-27 18:00
Spring Festival: dispatched in the middle of it | shandong 投诉 一般 - - 2026-02-18T10:00 | 2026-02-28 18:00
Spring Festival: Saturday 28 February is worked after it | shandong 投诉 一般 - - 2026-02-24T10:00 | 2026-03-02 18:00
Spring Festival: dispatched on the make-up Saturday before it | shandong 投诉 一般 - - 2026-02-14T10:00 | 2026-02-28 18:00
Qingming: three days of rest without a make-up day | shandong 投诉 一般 - - 2026-04-02T10:00 | 2026-04-10 18:00
Labour Day: Saturday 9 May is worked | shandong 投诉 一般 - - 2026-04-30T16:00 | 2026-05-11 18:00
Dragon Boat: three days of rest | shandong 投诉 一般 - - 2026-06-18T10:00 | 2026-06-26 18:00
National Day: Sunday 20 September is worked | shandong 投诉 一般 - - 2026-09-18T10:00 | 2026-09-24 18:00
Mid-Autumn and National Day in one count | shandong 投诉 一般 - - 2026-09-24T10:00 | 2026-10-09 18:00
National Day: Saturday 10 October is worked | shandong 投诉 一般 - - 2026-10-08T16:40 | 2026-10-14 18:00
National Day: dispatched on Friday before the make-up Saturday | shandong 投诉 一般 - - 2026-10-09T16:40 | 2026-10-15 18:00
National Day: dispatched on the make-up Saturday | shandong 投诉 一般 - - 2026-10-10T16:40 | 2026-10-16 18:00
National Day 2025 and Mid-Autumn: Saturday 11 October is worked | shandong 投诉 一般 - - 2025-09-30T10:00 | 2025-10-14 18:00
the year ends inside the count, the next year's notice is missing | shandong 投诉 一般 - - 2026-12-25T10:00 | 2027-01-04 18:00
Shandong has one limit for every type | shandong 咨询 特急 - - 2026-03-02T10:00 | 2026-03-09 18:00
the complaint line of 2017 ends at 17:00 | shandong-complaint-line 投诉 一般 - - 2026-03-02T10:00 | 2026-03-23 17:00
Dalian: 20 working days from midnight end at midnight | dalian 投诉 一般 - - 2026-03-02T10:00 | 2026-03-30 23:59
Dalian: a consultation takes two | dalian 咨询 一般 - - 2026-03-02T10:00 | 2026-03-04 23:59
Dalian: holidays postpone | dalian 求助 一般 - - 2026-09-21T10:00 | 2026-10-26 23:59
Xuzhou: a consultation takes five working days | xuzhou 咨询 一般 - - 2026-03-02T10:00 | 2026-03-09 18:00
Xuzhou: what can be answered today is answered today | xuzhou 咨询 一般 - 即办 2026-03-02T10:00 | 2026-03-02 23:59
Xuzhou: an emergency ends on its day, also on a holiday | xuzhou 投诉 特急 - - 2026-10-02T21:00 | 2026-10-02 23:59
Xuzhou: a complaint takes fifteen | xuzhou 投诉 一般 - - 2026-03-02T10:00 | 2026-03-23 18:00
Qinglong: one calendar day, also into a weekend | qinglong 咨询 一般 - - 2026-03-06T10:00 | 2026-03-07 23:59
Qinglong: ten calendar days over the Spring Festival are ten days | qinglong 投诉 一般 - - 2026-02-13T10:00 | 2026-02-23 23:59
Qinglong: five calendar days for help | qinglong 求助 一般 - - 2026-03-02T10:00 | 2026-03-07 23:59
Shanghai street: a consultation is answered on the next working day | shanghai-street 咨询 一般 - - 2026-10-09T10:00 | 2026-10-10 18:00
Shanghai street: a complaint takes five | shanghai-street 投诉 一般 - - 2026-10-09T10:00 | 2026-10-15 18:00
Shanghai street: supervision takes three | shanghai-street 投诉 一般 - 督办 2026-10-09T10:00 | 2026-10-13 18:00
Shanghai street: 回访复核 is another word for rework | shanghai-street 咨询 一般 - 回访复核 2026-10-09T10:00 | 2026-10-13 18:00
Shanghai street: a difficult one takes fifteen | shanghai-street 投诉 一般 - 疑难复杂 2026-03-02T10:00 | 2026-03-23 18:00
Beijing: seven calendar days | beijing 投诉 一般 - - 2026-03-02T10:00 | 2026-03-09 23:59
Beijing: fifteen for a difficult one | beijing 投诉 一般 - 疑难复杂 2026-03-02T10:00 | 2026-03-17 23:59
Beijing: two hours where life is in danger, over midnight | beijing 求助 特急 - - 2026-03-02T23:10 | 2026-03-03 01:10
Beijing: twenty-four hours for utilities, also on National Day | beijing 求助 紧急 - - 2026-10-01T23:10 | 2026-10-02 23:10
default: a consultation takes two | default 咨询 一般 - - 2026-10-08T16:40 | 2026-10-10 18:00
default: help takes five | default 求助 一般 - - 2026-10-08T16:40 | 2026-10-14 18:00
default: a complaint takes ten | default 投诉 一般 - - 2026-10-09T16:40 | 2026-10-22 18:00
default: codes of the data base mean the same | default complaint normal province - 2026-10-09T16:40 | 2026-10-13 18:00
default: a feed from the province takes three | default 投诉 一般 省12345 - 2026-10-09T16:40 | 2026-10-13 18:00
default: a source that no row names is our own | default 投诉 一般 phone - 2026-10-09T16:40 | 2026-10-22 18:00
default: an emergency is an emergency from whatever source | default 投诉 特急 省12345 重办 2026-10-09T23:30 | 2026-10-10 01:30
default: a difficult one takes fifteen | default 投诉 一般 - 疑难复杂 2026-10-09T16:40 | 2026-10-29 18:00
default: rework takes three | default 投诉 一般 - 重办 2026-10-09T16:40 | 2026-10-13 18:00
"""


def _lines(table: str) -> list[Any]:
    lines = [[part.strip() for part in line.split(" | ")] for line in table.strip().splitlines()]
    return [pytest.param(*rest, id=sentence) for sentence, *rest in lines]


@pytest.mark.parametrize(("asked", "expected"), _lines(DAYS))
def test_the_handling_limit_of_a_shipped_profile(asked: str, expected: str) -> None:
    profile, request_type, urgency, source, sla_class, start = asked.split()
    found = clocks(
        profile,
        start,
        request_type=request_type,
        urgency=urgency,
        source=source.strip("-"),
        sla_class=sla_class.strip("-"),
    )
    assert due(found) == expected
    assert due(found, "total") == expected


SIDE_CLOCKS = """
return window: dispatched Monday 10:00, two working days, open until Wednesday evening | shandong 投诉 一般 2026-03-02T10:00 return | 2026-03-04 18:00
Xuzhou: two calendar days to return, weekends included | xuzhou 投诉 一般 2026-03-06T10:00 return | 2026-03-08 23:59
Xuzhou: feedback one working day before due | xuzhou 投诉 一般 2026-03-02T10:00 feedback | 2026-03-20 18:00
Xuzhou: feedback before a holiday | xuzhou 咨询 一般 2026-09-24T10:00 feedback | 2026-10-08 18:00
Dalian: two working days to contact the citizen | dalian 投诉 一般 2026-10-09T10:00 contact | 2026-10-12 23:59
Qinglong: two hours to sign, over midnight | qinglong 投诉 一般 2026-03-02T23:30 sign | 2026-03-03 01:30
default: fifteen minutes to sign an emergency, over midnight on a holiday | default 求助 特急 2026-10-01T23:50 sign | 2026-10-02 00:05
default: half an hour for utilities | default 求助 紧急 2026-10-01T23:50 sign | 2026-10-02 00:20
default: one working day to sign | default 求助 一般 2026-10-09T23:50 sign | 2026-10-10 18:00
default: an hour to dispatch an emergency | default 求助 特急 2026-10-01T23:50 dispatch | 2026-10-02 00:50
default: a day to dispatch the rest | default 求助 一般 2026-10-01T23:50 dispatch | 2026-10-02 23:50
"""


@pytest.mark.parametrize(("asked", "expected"), _lines(SIDE_CLOCKS))
def test_the_other_clocks_of_a_shipped_profile(asked: str, expected: str) -> None:
    profile, request_type, urgency, start, name = asked.split()
    found = clocks(profile, start, request_type=request_type, urgency=urgency, registered=start)
    assert due(found, name) == expected


# ---------------------------------------------------------------------------------------------------------------
# Limits of every kind, calendars of every kind: limit, start, suspensions and overrides -> due.


def case(sentence: str, limit: dict[str, Any], start: str, expected: str, **more: Any) -> Any:
    """Return one line of the table below."""
    return pytest.param(limit, start, expected, more, id=sentence)


WD5 = {"workdays": 5}
WD1 = {"workdays": 1}
H4 = {"hours": 4, "calendar": "working"}
H24 = {"hours": 24}
MIN30 = {"minutes": 30}
NOW1 = {"workdays": 1, "starts": "at_once"}
TUE_WED_FRI = frozenset({1, 2, 4})

KINDS = [
    # Minutes and hours around the clock
    case("minutes run over midnight", MIN30, "2026-03-02T23:45", "2026-03-03 00:15"),
    case("minutes run over the end of the year", MIN30, "2026-12-31T23:45", "2027-01-01 00:15"),
    case("minutes run on a holiday", MIN30, "2026-10-01T10:00", "2026-10-01 10:30"),
    case("hours run over a weekend", {"hours": 48}, "2026-03-06T10:00", "2026-03-08 10:00"),
    case("hours from the next day start at midnight", {"hours": 24, "starts": "next_day"}, "2026-03-02T10:00", "2026-03-04 00:00"),
    case("a pause moves hours by its length", H24, "2026-03-02T10:00", "2026-03-03 12:30", stops=["2026-03-02T12:00/2026-03-02T14:30"]),
    case("a pause that begins before the start costs only what lies after it", H24, "2026-03-02T10:00", "2026-03-03 11:00", stops=["2026-03-02T08:00/2026-03-02T11:00"]),
    case("a pause after the limit changes nothing", H24, "2026-03-02T10:00", "2026-03-03 10:00", stops=["2026-03-03T10:00/2026-03-04T10:00"]),
    case("a pause in the last minute moves the limit", H24, "2026-03-02T10:00", "2026-03-04 10:00", stops=["2026-03-03T09:59/2026-03-04T09:59"]),
    case("two pauses add up", H24, "2026-03-02T10:00", "2026-03-03 13:00", stops=["2026-03-02T12:00/2026-03-02T13:00", "2026-03-02T20:00/2026-03-02T22:00"]),
    case("overlapping pauses count once", H24, "2026-03-02T10:00", "2026-03-03 13:00", stops=["2026-03-02T12:00/2026-03-02T14:00", "2026-03-02T13:00/2026-03-02T15:00"]),
    case("a pause inside a pause counts once", H24, "2026-03-02T10:00", "2026-03-03 13:00", stops=["2026-03-02T12:00/2026-03-02T15:00", "2026-03-02T13:00/2026-03-02T14:00"]),
    case("pauses that touch are one", H24, "2026-03-02T10:00", "2026-03-03 13:00", stops=["2026-03-02T13:00/2026-03-02T15:00", "2026-03-02T12:00/2026-03-02T13:00"]),
    # Working hours: lunch, evening, weekend, holiday
    case("working hours stop for lunch", H4, "2026-03-02T10:00", "2026-03-02 15:00"),
    case("working hours that begin at lunch wait for its end", H4, "2026-03-02T12:30", "2026-03-02 17:00"),
    case("working hours go on the next morning", H4, "2026-03-02T16:00", "2026-03-03 11:00"),
    case("working hours end exactly at closing time", H4, "2026-03-02T14:00", "2026-03-02 18:00"),
    case("working hours from before opening begin at nine", H4, "2026-03-02T06:00", "2026-03-02 14:00"),
    case("working hours from after closing begin the next morning", H4, "2026-03-02T18:00", "2026-03-03 14:00"),
    case("working hours go over a weekend", H4, "2026-03-06T16:00", "2026-03-09 11:00"),
    case("working hours go over National Day", H4, "2026-09-30T16:00", "2026-10-08 11:00"),
    case("working hours are worked on a make-up Saturday", H4, "2026-10-09T16:00", "2026-10-10 11:00"),
    case("working hours skip a make-up Saturday that the unit does not work", H4, "2026-10-09T16:00", "2026-10-12 11:00", overrides=["2026-10-10=rest"]),
    case("working hours are worked on a Sunday that the unit works", H4, "2026-10-10T16:00", "2026-10-11 11:00", overrides=["2026-10-11=work"]),
    case("working hours on a half day", H4, "2026-03-02T16:00", "2026-03-03 11:00", overrides=["2026-03-03=09:00-12:00"]),
    case("working hours over a half day", {"hours": 6, "calendar": "working"}, "2026-03-02T16:00", "2026-03-04 10:00", overrides=["2026-03-03=09:00-12:00"]),
    case("working hours from the next day begin at its opening", {"hours": 4, "calendar": "working", "starts": "next_day"}, "2026-03-06T10:00", "2026-03-09 14:00"),
    case("working hours, a pause at lunch costs nothing", H4, "2026-03-02T10:00", "2026-03-02 15:00", stops=["2026-03-02T12:00/2026-03-02T13:00"]),
    case("working hours, a pause over lunch costs what was work", H4, "2026-03-02T10:00", "2026-03-02 17:00", stops=["2026-03-02T11:00/2026-03-02T14:00"]),
    case("working hours, a pause over the night costs what was work", H4, "2026-03-02T14:00", "2026-03-03 11:00", stops=["2026-03-02T17:00/2026-03-03T10:00"]),
    case("working hours, a pause at night costs nothing", H4, "2026-03-02T16:00", "2026-03-03 11:00", stops=["2026-03-02T19:00/2026-03-03T08:00"]),
    case("working hours, a pause over a weekend costs only working time (GLPI 10594)", H4, "2026-03-06T16:00", "2026-03-09 12:00", stops=["2026-03-06T17:00/2026-03-09T09:00"]),
    case("working hours, two pauses in one morning", H4, "2026-03-02T09:00", "2026-03-02 15:00", stops=["2026-03-02T09:30/2026-03-02T10:00", "2026-03-02T11:00/2026-03-02T11:30"]),
    case("working minutes", {"minutes": 90, "calendar": "working"}, "2026-03-02T11:30", "2026-03-02 14:00"),
    # Working days at once
    case("a working day at once ends at the same hour", NOW1, "2026-03-02T10:00", "2026-03-03 10:00"),
    case("a working day at once from Friday ends on Monday", NOW1, "2026-03-06T10:00", "2026-03-09 10:00"),
    case("a working day at once from Friday before a make-up Saturday", NOW1, "2026-10-09T10:00", "2026-10-10 10:00"),
    case("a working day at once from after hours is the whole next one", NOW1, "2026-03-02T20:00", "2026-03-03 18:00"),
    case("a working day at once from a holiday is the whole next one", NOW1, "2026-10-03T20:00", "2026-10-08 18:00"),
    case("a working day at once over a half day needs the rest of its hours", NOW1, "2026-03-02T16:00", "2026-03-04 12:00", overrides=["2026-03-03=09:00-12:00"]),
    case("a working day at once, paused, is moved by the working time of the pause", NOW1, "2026-03-02T10:00", "2026-03-03 18:00", stops=["2026-03-03T09:00/2026-03-03T17:00"]),
    case("a calendar day at once ends at the same hour", {"days": 1, "starts": "at_once"}, "2026-03-06T10:00", "2026-03-07 10:00"),
    case("a calendar day at once on a working calendar ends at the next opening", {"days": 1, "starts": "at_once", "calendar": "working"}, "2026-03-06T10:00", "2026-03-09 09:00"),
    case("a calendar day at once on a working calendar ends at its hour if that is worked", {"days": 1, "starts": "at_once", "calendar": "working"}, "2026-10-09T10:00", "2026-10-10 10:00"),
    case("a calendar day at once on a working calendar is not due in a pause", {"days": 1, "starts": "at_once", "calendar": "working"}, "2026-03-06T10:00", "2026-03-10 10:30", stops=["2026-03-08T10:00/2026-03-10T10:30"]),
    case("a calendar day at once is moved by a pause of hours", {"days": 1, "starts": "at_once"}, "2026-03-06T10:00", "2026-03-07 13:00", stops=["2026-03-06T11:00/2026-03-06T14:00"]),
    # Calendar days
    case("calendar days around the clock end on a Sunday if they do", {"days": 2}, "2026-03-06T10:00", "2026-03-08 23:59"),
    case("calendar days on a working calendar end on the next working day", {"days": 2, "calendar": "working"}, "2026-03-06T10:00", "2026-03-09 18:00"),
    case("calendar days on a working calendar may end on a make-up Saturday", {"days": 1, "calendar": "working"}, "2026-10-09T10:00", "2026-10-10 18:00"),
    case("calendar days on a working calendar jump over National Day", {"days": 3, "calendar": "working"}, "2026-09-30T10:00", "2026-10-08 18:00"),
    case("calendar days on a working calendar end mid-week as they fall", {"days": 2, "calendar": "working"}, "2026-03-02T10:00", "2026-03-04 18:00"),
    case("calendar days, a pause costs calendar days", {"days": 7}, "2026-03-02T10:00", "2026-03-12 23:59", stops=["2026-03-06T10:00/2026-03-09T10:00"]),
    case("the same day on a working calendar ends at closing", {"days": 0, "calendar": "working"}, "2026-03-02T10:00", "2026-03-02 18:00"),
    case("the same day asked for after closing is the next day", {"days": 0, "calendar": "working"}, "2026-03-02T18:00", "2026-03-03 18:00"),
    case("the same day on a day of rest is the next working day", {"days": 0, "calendar": "working"}, "2026-03-07T10:00", "2026-03-09 18:00"),
    case("zero working days are the same day", {"workdays": 0, "starts": "at_once"}, "2026-03-07T10:00", "2026-03-09 18:00"),
    case("the same day, paused at its end, is the next", {"days": 0}, "2026-03-02T10:00", "2026-03-03 23:59", stops=["2026-03-02T11:00/2026-03-03T11:00"]),
    # Working days and pauses
    case("three working days of pause move the limit by three", WD5, "2026-10-08T16:40", "2026-10-17 18:00", stops=["2026-10-12T09:00/2026-10-14T18:00"], overrides=["2026-10-17=work"]),
    case("the issue's example: two days, paused for three, due on Wednesday", {"workdays": 2}, "2026-10-08T16:40", "2026-10-14 18:00", stops=["2026-10-10T09:00/2026-10-13T18:00"]),
    case("a pause of exactly 72 hours costs three days", WD5, "2026-03-02T10:00", "2026-03-12 18:00", stops=["2026-03-03T11:00/2026-03-06T11:00"]),
    case("a pause within one day costs nothing: the day ended running", WD5, "2026-03-02T10:00", "2026-03-09 18:00", stops=["2026-03-03T09:00/2026-03-03T17:59"]),
    case("a pause that lasts to closing time costs the day", WD5, "2026-03-02T10:00", "2026-03-10 18:00", stops=["2026-03-03T17:59/2026-03-03T18:00"]),
    case("a pause from closing time on has not touched that day", WD5, "2026-03-02T10:00", "2026-03-09 18:00", stops=["2026-03-03T18:00/2026-03-04T09:00"]),
    case("a pause over a weekend costs no working day", WD5, "2026-03-02T10:00", "2026-03-09 18:00", stops=["2026-03-06T18:00/2026-03-09T09:00"]),
    case("a pause over National Day costs only the working days in it", WD5, "2026-09-28T10:00", "2026-10-13 18:00", stops=["2026-09-30T09:00/2026-10-08T18:00"]),
    case("a pause over a make-up Saturday costs that day", WD5, "2026-10-08T16:40", "2026-10-15 18:00", stops=["2026-10-10T00:00/2026-10-11T23:59"]),
    case("a pause over a make-up Saturday costs nothing where it is not worked", WD5, "2026-10-08T16:40", "2026-10-15 18:00", stops=["2026-10-10T00:00/2026-10-11T23:59"], overrides=["2026-10-10=rest"]),
    case("overlapping pauses of days count once", WD5, "2026-03-02T10:00", "2026-03-12 18:00", stops=["2026-03-03T09:00/2026-03-04T18:00", "2026-03-04T09:00/2026-03-05T18:00"]),
    case("the same pause told twice counts once", WD5, "2026-03-02T10:00", "2026-03-10 18:00", stops=["2026-03-03T09:00/2026-03-03T18:00", "2026-03-03T09:00/2026-03-03T18:00"]),
    case("pauses in any order", WD5, "2026-03-02T10:00", "2026-03-11 18:00", stops=["2026-03-05T09:00/2026-03-05T18:00", "2026-03-03T09:00/2026-03-03T18:00"]),
    case("a pause on the last day moves it", WD1, "2026-03-02T10:00", "2026-03-04 18:00", stops=["2026-03-03T17:00/2026-03-04T10:00"]),
    case("a pause after the last day comes too late", WD1, "2026-03-02T10:00", "2026-03-03 18:00", stops=["2026-03-04T09:00/2026-03-05T18:00"]),
    case("a pause from before the dispatch is honoured while it lasts", WD1, "2026-03-02T10:00", "2026-03-05 18:00", stops=["2026-02-27T10:00/2026-03-05T10:00"]),
    case("a pause without an end resumes by itself after thirty working days", WD1, "2026-03-02T10:00", "2026-04-15 18:00", stops=["2026-03-03T09:00/"]),
    case("a pause that is too long is cut at the same moment", WD1, "2026-03-02T10:00", "2026-04-15 18:00", stops=["2026-03-03T09:00/2026-12-01T09:00"]),
    # Whose calendar
    case("a unit that rests on the make-up Saturday", WD5, "2026-10-08T16:40", "2026-10-15 18:00", overrides=["2026-10-10=rest"]),
    case("a unit that works on a Sunday", WD5, "2026-10-08T16:40", "2026-10-13 18:00", overrides=["2026-10-11=work"]),
    case("a unit that rests for a day of its own", WD5, "2026-03-02T10:00", "2026-03-10 18:00", overrides=["2026-03-04=rest"]),
    case("a count that ends on a half day ends at its closing", WD5, "2026-03-02T10:00", "2026-03-09 12:00", overrides=["2026-03-09=09:00-12:00"]),
    case("a half day in the middle is a day", WD5, "2026-03-02T10:00", "2026-03-09 18:00", overrides=["2026-03-04=09:00-12:00"]),
    case("a unit without make-up days", WD5, "2026-10-08T16:40", "2026-10-15 18:00", without_make_up=True),
    case("a unit that neither works on Monday nor on Thursday (osTicket 6739)", WD5, "2026-03-02T10:00", "2026-03-11 18:00", weekdays=TUE_WED_FRI),
    case("a unit open at weekends too", WD5, "2026-03-06T10:00", "2026-03-11 18:00", weekdays=frozenset(range(7))),
    case("a thousand working days do not overflow", {"workdays": 1000}, "2020-03-02T10:00", "2024-03-01 18:00"),
]  # fmt: skip


@pytest.mark.parametrize(("limit", "start", "expected", "more"), KINDS)
def test_a_limit_of_every_kind(limit: dict[str, Any], start: str, expected: str, more: dict[str, Any]) -> None:
    more = dict(more)
    stops = [stop(span) for span in more.pop("stops", [])]
    calendar = unit(*more.pop("overrides", []), **more)
    found = clocks(limited(limit), start, *stops, calendar=calendar)
    assert due(found) == expected


def test_the_thousand_days_were_counted_another_way_too() -> None:
    import holidays

    days = [date.fromordinal(date(2020, 3, 3).toordinal() + index) for index in range(1464)]
    library = holidays.country_holidays("CN", years=range(2020, 2025))
    assert [day for day in days if library.is_working_day(day)][999] == date(2024, 3, 1)


# ---------------------------------------------------------------------------------------------------------------
# Histories: extension, return, another unit, another class, another profile.

HISTORIES = [
    pytest.param("shandong", "2026-03-02T10:00", [Extension(at("2026-03-05T10:00"), 10)], "2026-03-23 18:00", "2026-03-23 18:00", id="an extension adds working days"),
    pytest.param("dalian", "2026-03-02T10:00", [Extension(at("2026-03-05T10:00"), 5)], "2026-04-07 23:59", "2026-04-07 23:59", id="an extension over Qingming ends at the profile's hour"),
    pytest.param("beijing", "2026-03-02T10:00", [Extension(at("2026-03-05T10:00"), 3)], "2026-03-12 23:59", "2026-03-12 23:59", id="an extension of a calendar-day limit counts working days"),
    pytest.param("shandong", "2026-03-02T10:00", [Extension(at("2026-03-05T10:00"), 2), Extension(at("2026-03-10T10:00"), 3, higher_level=True)], "2026-03-16 18:00", "2026-03-16 18:00", id="a second extension by a higher level adds to the first"),
    pytest.param("shandong", "2026-03-02T10:00", [Extension(at("2026-03-05T10:00"), 2), stop("2026-03-10T09:00/2026-03-10T18:00")], "2026-03-12 18:00", "2026-03-12 18:00", id="a pause inside the extension is not lost"),
    pytest.param("shandong", "2026-03-02T10:00", [ReturnRefused(at("2026-03-04T10:00"), "属本单位职责")], "2026-03-09 18:00", "2026-03-09 18:00", id="a refused return keeps the original clock"),
    pytest.param("shandong", "2026-03-02T10:00", [ReturnAccepted(at("2026-03-04T10:00"))], "2026-03-11 18:00", "2026-03-09 18:00", id="an accepted return gives the new unit its limit, the citizen's total runs on"),
    pytest.param("shandong", "2026-03-02T10:00", [ReturnAccepted(at("2026-03-04T10:00")), ReturnAccepted(at("2026-03-06T10:00"))], "2026-03-13 18:00", "2026-03-09 18:00", id="two accepted returns, still one total"),
    pytest.param("shandong", "2026-03-02T10:00", [Redispatched(at("2026-03-20T10:00"))], "2026-03-27 18:00", "2026-03-09 18:00", id="a second unit does not inherit an exhausted clock (GLPI 1911)"),
    pytest.param("shandong", "2026-10-08T10:00", [Redispatched(at("2026-10-09T10:00"), unit(without_make_up=True))], "2026-10-16 18:00", "2026-10-14 18:00", id="the new unit counts on its own calendar, the citizen on the centre's"),
    pytest.param("shandong", "2026-03-02T10:00", [stop("2026-03-03T09:00/2026-03-04T18:00"), Redispatched(at("2026-03-05T10:00"))], "2026-03-12 18:00", "2026-03-11 18:00", id="a pause before the new unit belongs to the total only"),
    pytest.param("shandong", "2026-03-02T10:00", [stop("2026-03-03T09:00/2026-03-06T18:00"), Redispatched(at("2026-03-04T10:00"))], "2026-03-13 18:00", "2026-03-13 18:00", id="a pause that is running when the unit changes goes on for the new one"),
    pytest.param("shandong", "2026-03-02T10:00", [Extension(at("2026-03-05T10:00"), 5), Redispatched(at("2026-03-06T10:00"))], "2026-03-13 18:00", "2026-03-16 18:00", id="an extension of the former unit is not the new unit's, but the citizen was told of it"),
    pytest.param("shandong", "2026-03-02T10:00", [stop("2026-03-03T09:00/2026-03-04T18:00"), Reclassified(at("2026-03-05T10:00"), profile=load("dalian"))], "2026-04-01 23:59", "2026-04-01 23:59", id="a profile changed mid-ticket keeps the pause (GLPI 15605, 6902)"),
    pytest.param("default", "2026-03-02T10:00", [stop("2026-03-03T09:00/2026-03-04T18:00"), Reclassified(at("2026-03-05T10:00"), profile=limited({"workdays": 8}))], "2026-03-16 18:00", "2026-03-16 18:00", id="a profile changed mid-ticket from ten days to eight: 3 and 4 lost, 5=1 6=2 9-13=7 16=8"),
    pytest.param("default", "2026-03-02T10:00", [Extension(at("2026-03-05T10:00"), 5), Reclassified(at("2026-03-06T10:00"), profile=limited({"workdays": 8}))], "2026-03-19 18:00", "2026-03-19 18:00", id="a profile changed mid-ticket keeps the extension: eight end on 12, five more 13=1 16-19=5"),
    pytest.param("default", "2026-03-02T10:00", [Reclassified(at("2026-03-03T10:00"), profile=limited({"workdays": 8})), Reclassified(at("2026-03-04T10:00"), profile=load("default"))], "2026-03-16 18:00", "2026-03-16 18:00", id="a profile changed and changed back, as if nothing had been"),
    pytest.param("default", "2026-03-02T10:00", [Reclassified(at("2026-03-03T10:00"), profile=limited({"workdays": 8})), ReturnAccepted(at("2026-03-04T10:00"))], "2026-03-16 18:00", "2026-03-12 18:00", id="a profile changed mid-ticket and then another unit: eight from 5 March, the total eight from 3"),
    pytest.param("default", "2026-03-02T10:00", [Reclassified(at("2026-03-03T10:00"), profile=limited({"workdays": 8}), request_type="咨询")], "2026-03-12 18:00", "2026-03-12 18:00", id="a profile and the type changed at once"),
    pytest.param("default", "2026-03-02T10:00", [stop("2026-03-03T09:00/2026-03-04T18:00"), Reclassified(at("2026-03-05T10:00"), request_type="咨询")], "2026-03-06 18:00", "2026-03-06 18:00", id="another type is another limit from the same start, pause kept"),
    pytest.param("default", "2026-03-02T10:00", [Reclassified(at("2026-03-05T10:00"), urgency="紧急")], "2026-03-03 10:00", "2026-03-03 10:00", id="raised to urgent, the limit may have passed already"),
    pytest.param("default", "2026-03-02T10:00", [Reclassified(at("2026-03-05T10:00"), sla_class="疑难复杂")], "2026-03-23 18:00", "2026-03-23 18:00", id="declared difficult, fifteen days from the first"),
    pytest.param("default", "2026-03-02T10:00", [Reclassified(at("2026-03-05T10:00"), source="省12345")], "2026-03-05 18:00", "2026-03-05 18:00", id="found to come from the province"),
    pytest.param("default", "2026-03-02T10:00", [Reclassified(at("2026-03-05T10:00"), sla_class="疑难复杂"), Reclassified(at("2026-03-06T10:00"), sla_class="")], "2026-03-16 18:00", "2026-03-16 18:00", id="declared difficult and then not, as if nothing had been"),
    pytest.param("default", "2026-03-02T10:00", [Reclassified(at("2026-03-03T10:00"), request_type="咨询"), Redispatched(at("2026-03-04T10:00"))], "2026-03-06 18:00", "2026-03-04 18:00", id="another type and another unit"),
    pytest.param("default", "2026-03-02T10:00", [stop("2026-03-03T09:00/", "等待当事人材料")], "2026-03-30 18:00", "2026-03-30 18:00", id="waiting for papers resumes after ten working days"),
    pytest.param("default", "2026-03-02T10:00", [stop("2026-03-03T09:00/", "", 3)], "2026-03-19 18:00", "2026-03-19 18:00", id="a pause granted for three days resumes after three"),
    pytest.param("default", "2026-03-02T10:00", [stop("2026-03-03T09:00/", "等待当事人材料"), Reclassified(at("2026-03-04T10:00"), profile=load("dalian"))], "2026-04-14 23:59", "2026-04-14 23:59", id="a pause keeps the length it had under the profile in force when it began"),
]  # fmt: skip


@pytest.mark.parametrize(("profile", "start", "changes", "handle", "total"), HISTORIES)
def test_a_history_is_counted_from_its_intervals(
    profile: str,
    start: str,
    changes: list[Change],
    *,
    handle: str,
    total: str,
) -> None:
    found = clocks(profile, start, *changes)
    assert (due(found), due(found, "total")) == (handle, total)
    again = clocks(profile, start, *reversed(changes))
    assert [clock.due_at for clock in again] == [clock.due_at for clock in found]


def test_pauses_and_extensions_leave_the_other_clocks_alone() -> None:
    """Zammad 5177: one clock must not overrule another."""
    start = "2026-03-02T10:00"
    plain = clocks("default", start, registered=start)
    moved = clocks(
        "default", start, stop("2026-03-03T09:00/2026-03-04T18:00"), Extension(at(start), 5), registered=start
    )
    same = ("dispatch", "sign", "contact", "return")
    assert [due(moved, name) for name in same] == [due(plain, name) for name in same]
    assert due(moved) != due(plain)


def test_the_other_clocks_begin_anew_for_a_new_unit() -> None:
    found = clocks("default", "2026-03-02T10:00", ReturnAccepted(at("2026-03-04T10:00")))
    assert due(found, "sign") == "2026-03-05 18:00"
    assert due(found, "return") == "2026-03-06 18:00"
    assert one(found, "sign").started_at == at("2026-03-04T10:00")
    assert one(found, "total").started_at == at("2026-03-02T10:00")


def test_the_clocks_come_in_one_order_and_only_those_that_are_limited() -> None:
    names = [clock.name.value for clock in clocks("default", "2026-03-02T10:00", registered="2026-03-02T09:00")]
    assert names == ["dispatch", "sign", "contact", "return", "handle", "total"]
    assert [clock.name.value for clock in clocks("xuzhou", "2026-03-02T10:00")] == [
        "return",
        "feedback",
        "handle",
        "total",
    ]
    # Without a moment of registration, and without a limit to dispatch, there is no such clock.
    assert clock_named(clocks("default", "2026-03-02T10:00"), ClockName.DISPATCH) is None
    assert clock_named(clocks("dalian", "2026-03-02T10:00", registered="2026-03-02T09:00"), ClockName.DISPATCH) is None


def test_the_dispatch_and_the_total_run_on_the_citizens_calendar() -> None:
    profile = limited(WD1, row={"dispatch": {"workdays": 1}})
    found = clocks(
        profile,
        "2026-10-09T16:00",
        calendar=unit(without_make_up=True),
        citizen_calendar=china(),
        registered="2026-10-09T15:00",
    )
    assert due(found, "handle") == "2026-10-12 18:00"
    assert due(found, "total") == "2026-10-10 18:00"
    assert due(found, "dispatch") == "2026-10-10 18:00"


# ---------------------------------------------------------------------------------------------------------------
# Cards

CARDS = [
    pytest.param("shandong-complaint-line", "2026-03-02T10:00", [], "2026-03-20 17:00", "2026-03-24 09:00", id="yellow one working day before 17:00 of the due day, red on the first working day after"),
    pytest.param("shandong", "2026-03-02T10:00", [], "2026-03-06 18:00", "2026-03-10 09:00", id="yellow on the Friday before a Monday"),
    pytest.param("shandong", "2026-02-24T10:00", [], "2026-02-28 18:00", "2026-03-03 09:00", id="yellow on the make-up Saturday"),
    pytest.param("shandong", "2026-03-06T10:00", [], "2026-03-12 18:00", "2026-03-16 09:00", id="red on the Monday after a Friday"),
    pytest.param("shandong", "2026-03-02T10:00", [stop("2026-03-06T09:00/2026-03-06T18:00")], "2026-03-09 18:00", "2026-03-11 09:00", id="a day of pause is not the day before due"),
    pytest.param("shandong", "2026-03-02T10:00", [stop("2026-03-09T09:00/2026-03-11T18:00")], "2026-03-06 18:00", "2026-03-13 09:00", id="one day was left before the pause began"),
    pytest.param("shandong", "2026-03-02T10:00", [stop("2026-03-06T18:00/2026-03-09T09:00")], "2026-03-06 18:00", "2026-03-10 09:00", id="a pause that begins with the card does not move it"),
    pytest.param("shandong", "2026-03-02T10:00", [Extension(at("2026-03-05T10:00"), 5)], "2026-03-13 18:00", "2026-03-17 09:00", id="an extension moves both cards"),
    pytest.param("qinglong", "2026-03-02T10:00", [], "2026-03-11 23:59", "2026-03-13 09:00", id="a calendar-day limit has cards by working days"),
    pytest.param("qinglong", "2026-03-05T10:00", [], "2026-03-12 23:59", "2026-03-16 09:00", id="due on Sunday: Friday is the one working day left"),
]  # fmt: skip


@pytest.mark.parametrize(("profile", "start", "changes", "yellow", "red"), CARDS)
def test_cards(profile: str, start: str, changes: list[Change], *, yellow: str, red: str) -> None:
    clock = one(clocks(profile, start, *changes))
    assert clock.yellow_from.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M") == yellow
    assert clock.red_from.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M") == red


def test_a_short_limit_is_yellow_at_half_time_and_red_when_it_ends() -> None:
    clock = one(clocks("default", "2026-10-01T23:00", urgency="特急"))
    assert clock.yellow_from == at("2026-10-02T00:00")
    assert clock.red_from == clock.due_at == at("2026-10-02T01:00")
    working = one(clocks(limited(H4), "2026-03-02T11:00"))
    assert working.yellow_from == at("2026-03-02T14:00")


def test_a_short_limit_is_yellow_at_half_of_its_own_running_time() -> None:
    clock = one(clocks("default", "2026-03-02T10:00", stop("2026-03-02T10:30/2026-03-02T20:30"), urgency="特急"))
    assert clock.yellow_from == at("2026-03-02T21:00")
    assert clock.due_at == at("2026-03-02T22:00")


def test_an_extended_short_limit_has_the_cards_of_a_day_count() -> None:
    clock = one(clocks("default", "2026-03-02T10:00", Extension(at("2026-03-02T10:30"), 2), urgency="特急"))
    assert clock.due_at == at("2026-03-04T18:00")
    assert clock.yellow_from == at("2026-03-03T18:00")
    assert clock.red_from == at("2026-03-05T09:00")


def test_a_new_ticket_shows_no_card_unless_a_day_or_less_is_left() -> None:
    """GLPI 15429: nothing escalates at creation. A limit of one day has its card on the evening of the dispatch."""
    fresh = one(clocks("shandong", "2026-03-02T10:00"))
    assert fresh.card(at("2026-03-02T10:00")) is Card.NONE
    short = one(clocks(limited(NOW1), "2026-03-02T10:00"))
    assert short.yellow_from == short.started_at


def test_each_card_comes_in_its_turn() -> None:
    """GLPI 5319: not only the first level fires. Due Monday 2026-03-09 18:00."""
    clock = one(clocks("shandong", "2026-03-02T10:00"))
    second = timedelta(seconds=1)
    seen = [
        clock.card(moment)
        for moment in (
            at("2026-03-06T18:00") - second,
            at("2026-03-06T18:00"),
            at("2026-03-09T18:00"),
            at("2026-03-09T20:00"),
            at("2026-03-10T09:00") - second,
            at("2026-03-10T09:00"),
            at("2026-06-01T09:00"),
        )
    ]
    assert seen == [Card.NONE, Card.YELLOW, Card.YELLOW, Card.YELLOW, Card.YELLOW, Card.RED, Card.RED]


def test_the_last_moment_belongs_to_the_limit() -> None:
    clock = one(clocks("shandong", "2026-03-02T10:00"), "return")
    assert clock.due_at == at("2026-03-04T18:00")
    assert clock.is_open(at("2026-03-04T18:00"))
    assert not clock.is_open(at("2026-03-04T18:01"))
    short = one(clocks("default", "2026-03-02T10:00", urgency="特急"))
    assert short.card(short.due_at) is Card.YELLOW
    assert short.card(short.due_at + timedelta(seconds=1)) is Card.RED


def test_more_days_of_warning_than_the_limit_has_warn_from_the_start() -> None:
    clock = one(clocks(limited(WD1, cards={"yellow_workdays": 5}), "2026-03-02T10:00"))
    assert clock.yellow_from == clock.started_at
    never = one(clocks(limited(WD5, cards={"yellow_workdays": 0}), "2026-03-02T10:00"))
    assert never.yellow_from == never.due_at


def test_feedback_is_never_due_before_it_could_begin() -> None:
    clock = one(clocks(limited(WD1, row={"feedback_before_workdays": 3}), "2026-03-02T10:00"), "feedback")
    assert clock.due_at == clock.started_at
    assert clock.before is ClockName.HANDLE


# ---------------------------------------------------------------------------------------------------------------
# Wishes: what is refused, and in which words.


def wish(profile: str, start: str, asked: str, workdays: int, *, before: int = 0, higher_level: bool = False) -> None:
    """Ask for an extension, after some that were granted."""
    earlier = [Extension(at(start), 1)] * before
    found = clocks(profile, start, *earlier)
    check_extension(
        profile=load(profile),
        calendar=china(),
        clock=one(found),
        asked_at=at(asked),
        workdays=workdays,
        earlier=earlier,
        higher_level=higher_level,
    )


@pytest.mark.parametrize(
    ("profile", "asked", "workdays", "more"),
    [
        pytest.param("shandong", "2026-03-09T18:00", 10, {}, id="in the last minute"),
        pytest.param("shandong", "2026-03-02T10:00", 1, {}, id="at the dispatch"),
        pytest.param("xuzhou", "2026-03-20T18:00", 5, {}, id="one working day before due, where that is asked"),
        pytest.param("shanghai-street", "2026-03-05T10:00", 10, {}, id="up to fifteen in all"),
        pytest.param("default", "2026-03-05T10:00", 5, {"before": 1, "higher_level": True}, id="a second by a higher level"),
    ],
)  # fmt: skip
def test_an_extension_in_time_may_be_granted(profile: str, asked: str, workdays: int, more: dict[str, Any]) -> None:
    wish(profile, "2026-03-02T10:00", asked, workdays, **more)


@pytest.mark.parametrize(
    ("profile", "asked", "workdays", "more", "match"),
    [
        pytest.param("shandong", "2026-03-09T18:01", 5, {}, "届满.*2026-03-09（周一）18:01才申请", id="after due"),
        pytest.param("shandong", "2026-03-01T10:00", 5, {}, "早于派单时间", id="before the dispatch"),
        pytest.param("shandong", "2026-03-05T10:00", 0, {}, "至少为 1", id="for no day"),
        pytest.param("shandong", "2026-03-05T10:00", -3, {}, "至少为 1", id="for less than none"),
        pytest.param("shandong", "2026-03-05T10:00", 11, {}, "最多 10 个工作日", id="for longer than allowed"),
        pytest.param("xuzhou", "2026-03-20T18:01", 5, {}, "到期前 1 个工作日.2026-03-20", id="later than a working day before"),
        pytest.param("default", "2026-03-05T10:00", 5, {"before": 1}, "再次延期须经上级批准", id="a second time"),
        pytest.param("shandong", "2026-03-05T10:00", 5, {"before": 1, "higher_level": True}, "最多 1 次，已用完。", id="a second time where no level may"),
        pytest.param("shanghai-street", "2026-03-05T10:00", 11, {}, "合计最多 15 个工作日，现为 16", id="beyond the total"),
    ],
)  # fmt: skip
def test_an_extension_is_refused_with_the_reason(
    profile: str,
    asked: str,
    workdays: int,
    *,
    more: dict[str, Any],
    match: str,
) -> None:
    with pytest.raises(ClockRefused, match=match):
        wish(profile, "2026-03-02T10:00", asked, workdays, **more)


@pytest.mark.parametrize(
    ("span", "kind", "granted", "match"),
    [
        pytest.param("2026-03-03T09:00/2026-04-30T09:00", "", None, "最长 30 个工作日.*2026-04-14", id="longer than allowed"),
        pytest.param("2026-03-03T09:00/2026-03-17T18:00", "等待当事人材料", None, "最长 10 个工作日", id="longer than its kind"),
        pytest.param("2026-03-03T09:00/2026-03-10T18:00", "", 3, "最长 3 个工作日", id="longer than granted"),
        pytest.param("2026-03-03T09:00/2026-03-03T09:00", "", None, "不晚于开始时间", id="empty"),
        pytest.param("2026-03-03T09:00/2026-03-02T09:00", "", None, "不晚于开始时间", id="backwards"),
        pytest.param("2026-03-03T09:00/2026-03-04T09:00", "吃饭", None, "没有“吃饭”这种暂停事由", id="for no reason that counts"),
    ],
)  # fmt: skip
def test_a_suspension_is_refused_with_the_reason(span: str, kind: str, granted: int | None, match: str) -> None:
    with pytest.raises(ClockRefused, match=match):
        check_suspension(profile=load("default"), calendar=china(), suspension=stop(span, kind, granted))


@pytest.mark.parametrize(
    ("span", "kind"),
    [
        ("2026-03-03T09:00/", ""),
        ("2026-03-03T09:00/2026-04-14T18:00", ""),
        ("2026-03-03T09:00/2026-04-15T09:00", ""),
        ("2026-03-03T09:00/2026-03-16T18:00", "等待当事人材料"),
        ("2026-02-28T19:00/2026-03-15T23:59", "等待当事人材料"),
    ],
)
def test_a_suspension_within_its_length_may_be_granted(span: str, kind: str) -> None:
    check_suspension(profile=load("default"), calendar=china(), suspension=stop(span, kind))


def test_a_profile_may_allow_no_suspension_and_any_kind() -> None:
    none = limited(WD5, suspension={"max_workdays": 0})
    with pytest.raises(ClockRefused, match="不允许暂停"):
        check_suspension(profile=none, calendar=china(), suspension=stop("2026-03-03T09:00/2026-03-04T09:00"))
    # What was granted all the same is a fact: it stands for one day and resumes.
    assert due(clocks(none, "2026-03-02T10:00", stop("2026-03-03T09:00/2026-03-06T09:00"))) == "2026-03-10 18:00"
    free = limited(WD5)
    check_suspension(profile=free, calendar=china(), suspension=stop("2026-03-03T09:00/2026-03-04T09:00", "随便"))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (Extension(at("2026-03-03T10:00"), 0), "至少为 1"),
        (Redispatched(at("2026-03-01T10:00")), "早于首次派单"),
        (Suspension(at("2026-03-03T10:00"), at("2026-03-03T09:00")), "不晚于开始时间"),
        (Reclassified(at("2026-03-03T10:00"), request_type="投拆"), "没有“投拆”这种诉求类型"),
        (Reclassified(at("2026-03-03T10:00"), urgency="急"), "没有“急”这种紧急程度"),
        (Reclassified(at("2026-03-03T10:00"), sla_class="难"), "没有“难”这种时限类别"),
    ],
)
def test_a_history_that_contradicts_itself_is_refused(change: Change, match: str) -> None:
    with pytest.raises(ClockRefused, match=match):
        clocks("default", "2026-03-02T10:00", change)


def test_unknown_words_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ClockRefused, match="投诉"):
        clocks("default", "2026-03-02T10:00", request_type="投拆")
    with pytest.raises(ClockRefused, match="特急"):
        clocks("default", "2026-03-02T10:00", urgency="")
    with pytest.raises(ClockRefused, match="可用的有：疑难复杂、督办、重办、即办。"):
        clocks("default", "2026-03-02T10:00", sla_class="x")


def test_a_time_without_a_zone_is_nobodys_time() -> None:
    naive = datetime.fromisoformat("2026-03-02T10:00")
    with pytest.raises(ValueError, match="zone"):
        clocks_for(profile=load("default"), calendar=china(), request_type="投诉", urgency="一般", dispatched_at=naive)
    clock = one(clocks("default", "2026-03-02T10:00"))
    with pytest.raises(ValueError, match="zone"):
        clock.is_open(naive)
    with pytest.raises(ValueError, match="zone"):
        clock.card(naive)


def test_instants_in_any_zone_are_the_same_and_answers_are_in_utc() -> None:
    here = clocks("default", "2026-03-02T10:00")
    there = clocks_for(
        profile=load("default"),
        calendar=china(),
        request_type="投诉",
        urgency="一般",
        dispatched_at=datetime(2026, 3, 2, 2, tzinfo=UTC),
    )
    assert here == there
    assert {clock.due_at.tzinfo for clock in here} == {UTC}


def test_a_count_past_the_calendars_end_is_refused() -> None:
    end = china().last_day
    with pytest.raises(BadCalendar, match="不包含"):
        clocks("shandong", f"{end.year}-12-30T10:00")


def test_the_plain_rule_for_other_desks_is_the_end_of_the_nth_working_day() -> None:
    assert due_at(china(), at("2026-10-08T16:40"), workdays=2) == at("2026-10-10T18:00")
    assert due_at(unit("2026-10-12=09:00-12:00"), at("2026-10-10T10:00"), workdays=1) == at("2026-10-12T12:00")
    with pytest.raises(ClockRefused):
        due_at(china(), at("2026-10-08T16:40"), workdays=0)


# ---------------------------------------------------------------------------------------------------------------
# Words


def test_every_step_is_told_in_the_order_of_time() -> None:
    """The example of issue 4: dispatched Thursday, Saturday counted, paused three working days, due Wednesday."""
    found = clocks(
        "default", "2026-10-08T16:40", stop("2026-10-10T18:30/2026-10-14T18:00", "鉴定"), request_type="求助"
    )
    assert [step.text for step in one(found).steps] == [
        "2026-10-08（周四）16:40 派单",
        "适用“通用推荐档案”2026.1 版“求助、建议、表扬、其他”的规定：办理时限 5 个工作日（工作日历）",
        "自次日起算，第1个工作日为10月9日（周五）",
        "10月10日（周六）为调休工作日，计入第2个工作日",
        "暂停 3 个工作日（2026-10-10（周六）18:30至2026-10-14（周三）18:00，鉴定），不计入",
        "10月11日（周日）休息，不计入",
        "10月17日（周六）至10月18日（周日）休息，不计入",
        "到期 2026-10-19（周一）18:00",
    ]
    assert [step.code for step in one(found).steps][:3] == [StepCode.STARTED, StepCode.RULE, StepCode.NEXT_DAY]


def test_a_holiday_is_named_with_its_first_and_last_day() -> None:
    """Zammad 390: people must see which holidays moved the time."""
    clock = one(clocks("shandong", "2026-09-24T10:00"))
    assert told(clock, StepCode.HOLIDAY) == [
        "9月25日（周五）至9月27日（周日）放假（中秋节），不计入",
        "10月1日（周四）至10月7日（周三）放假（国庆节），不计入",
    ]


def test_a_day_swapped_into_a_holiday_without_a_name_of_its_own_is_told() -> None:
    rows = [DayRow(date(2026, 3, 4), is_workday=False)]
    calendar = WorkCalendar.from_rows(rows, confirmed_years=[2026])
    clock = one(clocks("shandong", "2026-03-02T10:00", calendar=calendar))
    assert told(clock, StepCode.HOLIDAY) == ["3月4日（周三）放假（调休），不计入"]


def test_the_parameters_of_a_step_are_plain_values() -> None:
    found = clocks("default", "2026-10-09T16:40", stop("2026-10-12T09:00/2026-10-14T18:00", "鉴定"))
    step = next(step for step in one(found).steps if step.code is StepCode.SUSPENDED)
    assert step.to_mapping() == {
        "code": "suspended",
        "text": "暂停 3 个工作日（2026-10-12（周一）09:00至2026-10-14（周三）18:00，鉴定），不计入",
        "params": {"from": "2026-10-12T09:00:00", "to": "2026-10-14T18:00:00", "reason": "鉴定", "days": 3},
    }


WORDS = [
    pytest.param(WD5, "2026-10-08T16:40", {"overrides": ["2026-10-10=rest"]}, "本市 10月10日（周六）放假，不计入", id="an override to rest"),
    pytest.param(WD5, "2026-10-08T16:40", {"overrides": ["2026-10-10=rest"]}, "10月11日（周日）休息，不计入", id="and the Sunday after it, apart"),
    pytest.param(WD5, "2026-10-08T16:40", {"overrides": ["2026-10-11=work"]}, "本市 10月11日（周日）上班，计入第3个工作日", id="an override to work"),
    pytest.param(H4, "2026-10-09T16:00", {}, "10月10日（周六）为调休工作日，工作时间计入", id="hours on a make-up day"),
    pytest.param(H4, "2026-10-10T16:00", {"overrides": ["2026-10-11=work"]}, "本市 10月11日（周日）上班，工作时间计入", id="hours on an override day"),
    pytest.param(H4, "2026-03-06T16:00", {}, "3月7日（周六）至3月8日（周日）休息，不计入", id="hours over a weekend"),
    pytest.param(H4, "2026-03-02T12:30", {}, "非工作时间，自2026-03-02（周一）13:00上班时起计时", id="hours from lunch"),
    pytest.param(H4, "2026-03-02T10:00", {}, "即时起算，2026-03-02（周一）10:00开始计时", id="hours at once"),
    pytest.param({"hours": 24, "starts": "next_day"}, "2026-03-02T10:00", {}, "自次日起算，2026-03-03（周二）00:00开始计时", id="hours from the next day"),
    pytest.param(H4, "2026-03-02T10:00", {"stops": ["2026-03-02T11:00/2026-03-02T14:30"]}, "暂停 2 小时 30 分钟（2026-03-02（周一）11:00至2026-03-02（周一）14:30），不计入", id="a pause of working hours"),
    pytest.param(MIN30, "2026-03-02T10:00", {"stops": ["2026-03-02T10:10/2026-03-02T10:25"]}, "暂停 15 分钟（2026-03-02（周一）10:10至2026-03-02（周一）10:25），不计入", id="a pause of minutes"),
    pytest.param(H24, "2026-03-02T10:00", {"stops": ["2026-03-02T11:00/2026-03-02T13:00"]}, "暂停 2 小时（2026-03-02（周一）11:00至2026-03-02（周一）13:00），不计入", id="a pause of hours"),
    pytest.param({"days": 7}, "2026-03-02T10:00", {"stops": ["2026-03-06T10:00/2026-03-09T10:00"]}, "暂停 3 日（2026-03-06（周五）10:00至2026-03-09（周一）10:00），不计入", id="a pause of calendar days"),
    pytest.param(WD5, "2026-03-02T10:00", {"stops": ["2026-03-03T10:00/2026-03-03T11:00"]}, "暂停（2026-03-03（周二）10:00至2026-03-03（周二）11:00）没有跨过计时日的末点，不影响到期", id="a pause that cost nothing"),
    pytest.param(WD1, "2026-03-02T10:00", {"stops": ["2026-03-03T09:00/"]}, "暂停达到最长 30 个工作日，自2026-04-15（周三）00:00起自动恢复计时", id="resumed by itself"),
    pytest.param(NOW1, "2026-03-06T10:00", {}, "即时起算，2026-03-06（周五）10:00开始计时", id="a working day at once"),
    pytest.param({"days": 1, "starts": "at_once"}, "2026-03-06T10:00", {}, "即时起算，2026-03-06（周五）10:00开始计时", id="a calendar day at once"),
    pytest.param({"days": 1}, "2026-03-06T10:00", {}, "自次日起算，第1日为3月7日（周六）", id="calendar days"),
    pytest.param({"days": 0}, "2026-03-06T10:00", {}, "应于3月6日（周五）当日办结", id="the same day"),
    pytest.param({"days": 0}, "2026-03-06T10:00", {}, "适用“test”1 版各类诉求的规定：办理时限 当日（全天候计时，节假日照常）", id="the rule of the same day"),
    pytest.param({"days": 2, "calendar": "working"}, "2026-03-06T10:00", {}, "末日3月8日（周日）不上班，顺延至3月9日（周一）", id="rolled to a working day"),
    pytest.param({"days": 2}, "2026-03-06T10:00", {}, "到期 2026-03-08（周日）24:00", id="midnight is told as 24:00"),
    pytest.param(WD5, "2026-12-25T10:00", {}, "2027年1月1日（周五）至2027年1月3日（周日）放假（元旦），不计入", id="another year is told"),
    pytest.param(WD5, "2026-12-25T10:00", {}, "2027年的放假调休安排尚未确认，结果可能变动", id="not confirmed"),
    pytest.param(H24, "2026-03-02T10:00:30", {}, "到期 2026-03-03（周二）10:00", id="minutes are told, also where there are seconds"),
]  # fmt: skip


@pytest.mark.parametrize(("limit", "start", "more", "sentence"), WORDS)
def test_a_step_in_words(limit: dict[str, Any], start: str, more: dict[str, Any], sentence: str) -> None:
    stops = [stop(span) for span in more.get("stops", [])]
    clock = one(clocks(limited(limit), start, *stops, calendar=unit(*more.get("overrides", []))))
    assert sentence in [step.text for step in clock.steps]


HISTORY_WORDS = [
    (Redispatched(at("2026-03-04T10:00"), reason="属地不符"), "2026-03-04（周三）10:00 改派（属地不符），新承办单位的时限重新计算", "2026-03-04（周三）10:00 改派（属地不符），总时限继续计算"),
    (ReturnAccepted(at("2026-03-04T10:00")), "2026-03-04（周三）10:00 退单获准并改派，新承办单位的时限重新计算", "2026-03-04（周三）10:00 退单获准并改派，总时限继续计算"),
    (ReturnRefused(at("2026-03-04T10:00"), "职责明确"), "2026-03-04（周三）10:00 退单被驳回（职责明确），仍按原时限计算", "2026-03-04（周三）10:00 退单被驳回（职责明确），仍按原时限计算"),
    (Reclassified(at("2026-03-04T10:00"), urgency="紧急"), "2026-03-04（周三）10:00 调整为“通用推荐档案、紧急、投诉”，按新时限自原起点重新计算，已有暂停照算", "2026-03-04（周三）10:00 调整为“通用推荐档案、紧急、投诉”，按新时限自原起点重新计算，已有暂停照算"),
    (Extension(at("2026-03-04T10:00"), 5), "2026-03-04（周三）10:00申请并获准延期 5 个工作日，由2026-03-16（周一）18:00顺延至2026-03-23（周一）18:00", "2026-03-04（周三）10:00申请并获准延期 5 个工作日，由2026-03-16（周一）18:00顺延至2026-03-23（周一）18:00"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "at_the_unit", "for_the_citizen"), HISTORY_WORDS)
def test_a_change_in_words(change: Change, at_the_unit: str, for_the_citizen: str) -> None:
    found = clocks("default", "2026-03-02T10:00", change)
    assert at_the_unit in [step.text for step in one(found).steps]
    assert for_the_citizen in [step.text for step in one(found, "total").steps]


def test_a_profile_that_is_named_again_is_told_once() -> None:
    shorter = limited({"workdays": 8})
    found = clocks(
        "default",
        "2026-03-02T10:00",
        Reclassified(at("2026-03-03T10:00"), profile=shorter),
        Reclassified(at("2026-03-04T10:00"), profile=shorter, sla_class="疑难复杂"),
    )
    assert told(one(found), StepCode.EDITION) == [
        "2026-03-03（周二）10:00 改按“test”1 版的时限，自原起点重新计算，已有暂停照算"
    ]
    assert len(told(one(found), StepCode.RECLASSIFIED)) == 1


def test_a_unit_and_the_city_are_told_apart_with_their_reasons() -> None:
    rows = [
        DayRow(date(2026, 10, 13), is_workday=False, name="市政府通知", layer=Layer.CENTRE),
        DayRow(date(2026, 10, 14), is_workday=False, name="馆庆", layer=Layer.UNIT),
        DayRow(date(2026, 10, 15), is_workday=True, name="馆庆", periods=(Period(540, 720),), layer=Layer.UNIT),
    ]
    clock = one(clocks(limited(WD5), "2026-10-09T16:40", calendar=china().with_overrides(rows)))
    # Sat 10=1 Mon 12=2, 13 and 14 at rest, 15=3 16=4 19=5.
    assert clock.due_at == at("2026-10-19T18:00")
    assert [step.text for step in clock.steps if step.code.value.startswith("override")] == [
        "本市 10月13日（周二）放假（市政府通知），不计入",
        "该单位 10月14日（周三）放假（馆庆），不计入",
        "该单位 10月15日（周四）上班 09:00-12:00（馆庆），计入第3个工作日",
    ]


@pytest.mark.parametrize(
    ("due", "day", "was", "override", "expected"),
    [
        pytest.param("2026-10-21T18:00", "2026-10-19", True, "rest", "2026-10-22T18:00", id="rest before due: the next working day"),
        pytest.param("2026-10-23T18:00", "2026-10-23", True, "rest", "2026-10-26T18:00", id="rest on the due day, a Friday: Monday"),
        pytest.param("2026-10-21T18:00", "2026-10-22", True, "rest", "2026-10-21T18:00", id="rest after due: nothing"),
        pytest.param("2026-10-21T18:00", "2026-10-18", False, "work", "2026-10-20T18:00", id="work on a Sunday before due: a day earlier"),
        pytest.param("2026-10-19T18:00", "2026-10-18", False, "work", "2026-10-18T18:00", id="work on the Sunday before a Monday: that Sunday"),
        pytest.param("2026-10-21T18:00", "2026-10-19", False, "rest", "2026-10-21T18:00", id="rest as before: nothing"),
        pytest.param("2026-10-18T18:00", "2026-10-18", False, "work", "2026-10-18T18:00", id="due on the day itself: nothing"),
    ],
)  # fmt: skip
def test_a_part_keeps_its_number_of_working_days(
    due: str, day: str, *, was: bool, override: str, expected: str
) -> None:
    calendar = unit(f"{day}={override}")
    assert shifted(calendar, at(due), day=date.fromisoformat(day), was_workday=was) == at(expected)


def test_a_clock_counted_back_says_from_what() -> None:
    clock = one(clocks("xuzhou", "2026-12-25T10:00", request_type="咨询"), "feedback")
    assert [step.code for step in clock.steps] == [
        StepCode.STARTED,
        StepCode.BEFORE,
        StepCode.UNCONFIRMED,
        StepCode.DUE,
    ]
    assert "办理时限到期（2027-01-04（周一）18:00）前 1 个工作日" in clock.steps[1].text
    assert one(clocks("xuzhou", "2026-03-02T10:00"), "feedback").confirmed


def test_pauses_outside_the_clocks_time_are_not_told() -> None:
    early, late = stop("2026-02-24T09:00/2026-02-25T09:00"), stop("2026-03-10T09:00/2026-03-11T09:00")
    clock = one(clocks("shandong", "2026-03-02T10:00", early, late))
    assert told(clock, StepCode.SUSPENDED) == []


def test_pauses_that_touch_are_told_as_one() -> None:
    found = clocks(
        "default",
        "2026-03-02T10:00",
        stop("2026-03-03T09:00/2026-03-03T18:00"),
        stop("2026-03-03T18:00/2026-03-04T18:00"),
    )
    assert told(one(found), StepCode.SUSPENDED) == [
        "暂停 2 个工作日（2026-03-03（周二）09:00至2026-03-04（周三）18:00），不计入"
    ]


def test_merged_pauses_tell_all_their_reasons_once() -> None:
    found = clocks(
        "default",
        "2026-03-02T10:00",
        stop("2026-03-03T09:00/2026-03-04T18:00", "鉴定"),
        stop("2026-03-04T09:00/2026-03-05T18:00", "司法"),
        stop("2026-03-05T09:00/2026-03-05T10:00", "鉴定"),
    )
    assert told(one(found), StepCode.SUSPENDED) == [
        "暂停 3 个工作日（2026-03-03（周二）09:00至2026-03-05（周四）18:00，鉴定、司法），不计入"
    ]


def test_the_answer_says_whether_it_may_change() -> None:
    flagged = clocks("shandong", "2026-12-25T10:00")
    assert not one(flagged).confirmed
    assert one(flagged, "return").confirmed
    # Around the clock no holiday matters, unless working days were added.
    assert one(clocks("qinglong", "2026-12-25T10:00")).confirmed
    extended = one(clocks("qinglong", "2026-12-25T10:00", Extension(at("2026-12-28T10:00"), 1)))
    assert not extended.confirmed


def test_a_clock_names_its_rule_and_version() -> None:
    clock = one(clocks("default", "2026-03-02T10:00"))
    assert (clock.profile, clock.version, clock.rule_id) == ("default", "2026.1", "complaint-report")
    assert (clock.limit.amount, clock.limit.unit.value) == (10, "workdays")
    changed = one(clocks("default", "2026-03-02T10:00", Reclassified(at("2026-03-03T10:00"), profile=load("dalian"))))
    assert (changed.profile, changed.version) == ("dalian", "2015.1")
