"""When a citizen is called, how often, and what counts as satisfied; pure (domain.md 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Final

from hotline.core.clock import SHANGHAI, local
from hotline.core.errors import Invalid

#: Three attempts on two different days or parts of the day, then "unreachable" (domain.md 3.3).
ATTEMPTS: Final = 3
DIFFERENT_TIMES: Final = 2
#: Nobody is rung outside these local hours.
FIRST_HOUR: Final = 8
LAST_HOUR: Final = 20
_BETWEEN_ATTEMPTS: Final = timedelta(hours=3)
_NOON, _EVENING = 12, 18


class AttemptOutcome(StrEnum):
    """What became of one ringing; none of these is a satisfaction value."""

    REACHED = "reached"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    WRONG_NUMBER = "wrong_number"
    DECLINED = "declined"


class Solved(StrEnum):
    """是否解决."""

    SOLVED = "solved"
    MOSTLY = "mostly"
    UNSOLVED = "unsolved"


class Satisfaction(StrEnum):
    """过程满意 and 办理满意."""

    SATISFIED = "satisfied"
    MOSTLY = "mostly"
    UNSATISFIED = "unsatisfied"


class Verdict(StrEnum):
    """What follows from a callback."""

    CLOSE = "close"
    REWORK = "rework"
    UNREACHABLE = "unreachable"
    DECLINED = "declined"


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What the citizen said to the four questions (domain.md 3.4)."""

    replied: bool
    solved: Solved
    process: Satisfaction
    result: Satisfaction
    reason: str = ""
    #: A citizen who is unsatisfied may still wish that nothing more is done.
    wants_rework: bool = True


def verdict(answers: Answers) -> Verdict:
    """Return what follows; unsatisfied needs a reason, and gets rework unless the citizen wants none (3.6)."""
    if not unhappy(answers):
        return Verdict.CLOSE
    if not answers.reason.strip():
        raise Invalid({"reason": "请填写不满意或未解决的原因，承办单位将据此重办。"})
    return Verdict.REWORK if answers.wants_rework else Verdict.CLOSE


def unhappy(answers: Answers) -> bool:
    """Tell whether there is reason to do it again: no reply, not solved, or not satisfied."""
    return (
        not answers.replied
        or answers.solved is Solved.UNSOLVED
        or Satisfaction.UNSATISFIED in {answers.process, answers.result}
    )


def exhausted(attempts: Sequence[datetime]) -> bool:
    """Tell whether enough was tried: three attempts at two different times (a day or a part of the day)."""
    return len(attempts) >= ATTEMPTS and len({_band(at) for at in attempts}) >= DIFFERENT_TIMES


def next_attempt(attempts: Sequence[datetime], *, now: datetime) -> datetime:
    """Return when to ring again: a few hours later, never outside the hours in which one may ring."""
    at = local(now + _BETWEEN_ATTEMPTS)
    if len(attempts) >= ATTEMPTS - 1 and len({_band(moment) for moment in attempts}) < DIFFERENT_TIMES:
        at = datetime.combine(local(now).date() + timedelta(days=1), time(FIRST_HOUR + 1), tzinfo=SHANGHAI)
    return within_hours(at)


def after_another(attempts: Sequence[datetime], *, now: datetime) -> datetime | None:
    """Return when one would ring again if this ringing, too, reached nobody; nothing when the ticket would close."""
    tried = [*attempts, now]
    return None if exhausted(tried) else next_attempt(tried, now=now)


def within_hours(at: datetime) -> datetime:
    """Return the same moment, or the next one at which a citizen may be rung."""
    wall = local(at)
    if wall.hour < FIRST_HOUR:
        return wall.replace(hour=FIRST_HOUR, minute=0, second=0, microsecond=0)
    if wall.hour >= LAST_HOUR:
        return datetime.combine(wall.date() + timedelta(days=1), time(FIRST_HOUR), tzinfo=SHANGHAI)
    return wall


def _band(at: datetime) -> tuple[object, int]:
    wall = local(at)
    return wall.date(), (wall.hour >= _NOON) + (wall.hour >= _EVENING)
