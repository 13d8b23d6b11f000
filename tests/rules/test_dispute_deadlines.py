"""Until when a panel rules: working days after the opening, counted by hand across weeks with make-up days (调休)."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime

import pytest

from hotline.core.clock import SHANGHAI, local
from routing.clocks.calendars import china
from routing.clocks.deadlines import due_at
from routing.duty.rules import counted_days

# opened (local), working days, the day on whose close it ends
GOLDEN = [
    ("2026-09-30T10:00", 5, "2026-10-13"),  # 8, 9, Sat 10 (make-up), 12, 13
    ("2026-10-01T10:00", 3, "2026-10-10"),  # opened on a holiday: 8, 9, Sat 10
    ("2026-10-09T16:40", 1, "2026-10-10"),  # Saturday, a make-up day
    ("2026-10-09T23:30", 1, "2026-10-10"),  # late in the evening is still that day
    ("2026-10-10T00:30", 1, "2026-10-12"),  # half an hour after midnight is the next
    ("2026-10-10T09:00", 1, "2026-10-12"),  # opened on the make-up Saturday
    ("2026-10-11T09:00", 1, "2026-10-12"),  # an ordinary Sunday
    ("2026-09-18T09:00", 2, "2026-09-21"),  # Sun 20 (make-up), 21
    ("2026-09-24T09:00", 1, "2026-09-28"),  # Mid-Autumn 25-27
    ("2026-02-13T09:00", 3, "2026-02-25"),  # Sat 14 (make-up), then Spring Festival until 23: 24, 25
    ("2026-02-14T09:00", 5, "2026-02-28"),  # 24, 25, 26, 27, Sat 28 (make-up)
    ("2026-02-24T09:00", 5, "2026-03-02"),  # 25, 26, 27, Sat 28 (make-up), 2 March
    ("2026-04-30T17:00", 5, "2026-05-11"),  # 6, 7, 8, Sat 9 (make-up), 11
    ("2026-06-18T09:00", 1, "2026-06-22"),  # Dragon Boat 19-21
    ("2025-12-31T09:00", 2, "2026-01-05"),  # over the year: Sun 4 (make-up), 5
    ("2025-09-26T09:00", 2, "2025-09-29"),  # Sun 28 (make-up), 29
    ("2025-09-30T09:00", 5, "2025-10-14"),  # 9, 10, Sat 11 (make-up), 13, 14
    ("2026-11-02T09:00", 5, "2026-11-09"),  # a plain week
]


def opened(said: str) -> datetime:
    return datetime.fromisoformat(said).replace(tzinfo=SHANGHAI)


@pytest.mark.parametrize(("at", "workdays", "day"), GOLDEN)
def test_a_dispute_is_due_at_the_close_of_its_last_working_day(at: str, workdays: int, day: str) -> None:
    due = local(due_at(china(), opened(at), workdays=workdays))
    assert due.date() == date.fromisoformat(day)
    assert due.replace(tzinfo=None) == china().closing(due.date())


@pytest.mark.parametrize(("at", "workdays", "day"), GOLDEN)
def test_its_steps_name_the_opening_every_counted_day_and_the_end(at: str, workdays: int, day: str) -> None:
    start = opened(at)
    days = list(itertools.islice(china().workdays_after(start.date()), workdays))
    steps = counted_days(start, days, due_at=due_at(china(), start, workdays=workdays))
    assert len(days) == workdays
    assert days[-1] == date.fromisoformat(day)
    assert all(f"{one:%m-%d}" in steps[1] for one in days)
    assert ("调休上班" in steps[1]) is any(one.weekday() > 4 for one in days)


def test_the_same_instant_in_utc_gives_the_same_day() -> None:
    at = opened("2026-10-10T00:30")
    assert due_at(china(), at.astimezone(UTC), workdays=1) == due_at(china(), at, workdays=1)
