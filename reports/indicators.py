"""What the figures mean: each with numerator, denominator and exclusions, over plain facts (domain.md 5.1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum

from callbacks.models import ReviewVerdict

JUSTIFIED = frozenset({ReviewVerdict.JUSTIFIED_SIMPLE, ReviewVerdict.JUSTIFIED_COMPLEX})


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A share that can be recomputed by hand: what was counted, out of what, and what was left out and why."""

    numerator: int
    denominator: int
    excluded: Mapping[str, int] = field(default_factory=dict)

    @property
    def percent(self) -> Decimal | None:
        """The share in per cent with two places, rounded half up; nothing when there is nothing to divide by."""
        if not self.denominator:
            return None
        share = Decimal(100 * self.numerator) / Decimal(self.denominator)
        return share.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)


class Reach(StrEnum):
    """How far the callback of a bad review came."""

    NONE = "none"
    ATTEMPTED = "attempted"
    COMPLETED = "completed"


@dataclass(frozen=True, kw_only=True)
class ReviewFact:
    """What the two duties of a bad review are counted from."""

    real_name: bool
    verdict: ReviewVerdict | None = None
    #: Until when it had to be rectified: the limit that the first dispatch granted (domain.md 4.3).
    rectify_by: datetime | None = None
    rectified_at: datetime | None = None
    #: Until when the citizen had to be called back.
    call_by: datetime | None = None
    reach: Reach = Reach.NONE


def rectified_rate(facts: Iterable[ReviewFact], *, now: datetime) -> Rate:
    """合理差评整改率: justified bad reviews rectified within the limit / justified bad reviews due.

    Due is what has been rectified or whose limit has passed. Left out: not classified by two persons yet; classified
    as anything but justified; justified and neither rectified nor past its limit.
    """
    left_out: Counter[str] = Counter()
    good = due = 0
    for fact in facts:
        if fact.verdict is None:
            left_out["unjudged"] += 1
        elif fact.verdict not in JUSTIFIED:
            left_out[fact.verdict.value] += 1
        elif fact.rectified_at is None and (fact.rectify_by is None or now <= fact.rectify_by):
            left_out["not_due"] += 1
        else:
            due += 1
            late = fact.rectify_by is not None and (fact.rectified_at or now) > fact.rectify_by
            good += fact.rectified_at is not None and not late
    return Rate(numerator=good, denominator=due, excluded=dict(left_out))


@dataclass(frozen=True, kw_only=True)
class CallbackRates:
    """The same duty seen twice: who was spoken with, and who was at least tried as often as one must."""

    completed: Rate
    attempted: Rate


def real_name_callback_rates(facts: Iterable[ReviewFact], *, now: datetime) -> CallbackRates:
    """实名差评回访率: real-name bad reviews with a completed callback / real-name bad reviews due.

    Due is what has come to a result or whose time has passed. A person who was not reached in all attempts, or who
    did not want to be called, was attempted and not completed; both are shown. Left out: anonymous (no callback is
    possible), and real-name ones whose time has not come.
    """
    left_out: Counter[str] = Counter()
    completed = attempted = due = 0
    for fact in facts:
        if not fact.real_name:
            left_out["anonymous"] += 1
        elif fact.reach is Reach.NONE and (fact.call_by is None or now <= fact.call_by):
            left_out["not_due"] += 1
        else:
            due += 1
            completed += fact.reach is Reach.COMPLETED
            attempted += fact.reach is not Reach.NONE
    excluded = dict(left_out)
    return CallbackRates(
        completed=Rate(numerator=completed, denominator=due, excluded=excluded),
        attempted=Rate(numerator=attempted, denominator=due, excluded=excluded),
    )
