"""The only place that reads a clock; everywhere else `now` is an argument."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

SHANGHAI: Final = ZoneInfo("Asia/Shanghai")
#: What an edge that starts work over time is given instead of one instant.
NowFunction = Callable[[], datetime]


def now() -> datetime:
    """Return this instant, aware, in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - this is the one clock


def local(moment: datetime) -> datetime:
    """Return the same instant as a wall clock in China shows it.

    Raises `ValueError` for a naive datetime: a time without a zone is nobody's time.
    """
    return aware(moment).astimezone(SHANGHAI)


def local_day(moment: datetime) -> date:
    """Return the calendar day in China of an instant."""
    return local(moment).date()


def aware(moment: datetime) -> datetime:
    """Return the moment unchanged, or raise `ValueError` when it has no zone."""
    if moment.tzinfo is None:
        raise ValueError("a time without a zone was given where an instant is needed")
    return moment


def end_of_day(moment: datetime) -> datetime:
    """Return the instant at which the local day of `moment` ends (the next midnight in China)."""
    return datetime.combine(local_day(moment) + timedelta(days=1), time(), tzinfo=SHANGHAI).astimezone(UTC)
