"""How sure must the model be before a ticket goes out by itself, so that the promise is kept in use? Pure.

The promise: what is dispatched automatically is right at least 98 times in 100. Every suggestion whose department
people decided later is a trial; the limit is held where the exact one-sided lower bound of the precision
(Clopper-Pearson) is above the promise. See docs/decisions/0018-keeping-the-promise.md.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

#: A limit that no probability reaches: people dispatch.
CLOSED: Final = 1.01
#: Limits are moved along these steps only.
STEPS: Final = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.88, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.985, 0.99, 0.995)
CONFIDENCE: Final = 0.95
#: Below this chance of so many errors, were the promise kept, it is in danger; stricter for one category of hundreds.
UNLIKELY: Final = 0.05
UNLIKELY_IN_A_CATEGORY: Final = 0.01
#: A category with fewer trials is judged with all others only.
FEWEST_IN_A_CATEGORY: Final = 20
ALL: Final = ""
"""The scope of the limit that holds for every category without one of its own."""


class LimitState(StrEnum):
    """What the record says of a limit."""

    PROVEN = "proven"
    """The lower bound of the precision is above the promise."""
    UNPROVEN = "unproven"
    """Too few trials to prove it, none that speak against it."""
    TIGHTENED = "tightened"
    """The promise was in danger, so the model must be surer than before."""
    CLOSED = "closed"
    """No limit keeps the promise: people dispatch."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One suggestion whose department people decided later."""

    category: str
    probability: float
    right: bool
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Record:
    """How the suggestions at or above a limit fared."""

    trials: int
    right: int
    lower: float

    @property
    def wrong(self) -> int:
        """How many went to the wrong department."""
        return self.trials - self.right


@dataclass(frozen=True, kw_only=True)
class Limit:
    """The probability that is needed in a scope, why, and the record behind it."""

    scope: str
    limit: float
    state: LimitState
    record: Record
    reason: str


def lower_bound(right: int, trials: int, *, confidence: float = CONFIDENCE) -> float:
    """Return the exact one-sided lower bound of a share (Clopper-Pearson); 0 when nothing was tried."""
    if right <= 0 or trials <= 0:
        return 0.0
    low, high = 0.0, right / trials
    for _ in range(60):
        middle = (low + high) / 2
        # At the bound, so many hits or more are just as unlikely as we accept.
        if at_most(trials - right, trials, 1 - middle) > 1 - confidence:
            high = middle
        else:
            low = middle
    return low


def at_most(errors: int, trials: int, chance: float) -> float:
    """Return the probability of at most so many errors in so many trials, each with this chance."""
    if errors >= trials:
        return 1.0
    if chance <= 0:
        return 1.0
    if chance >= 1:
        return 0.0
    log, other = math.log(chance), math.log1p(-chance)
    whole = math.lgamma(trials + 1)
    return min(
        1.0,
        sum(
            math.exp(whole - math.lgamma(k + 1) - math.lgamma(trials - k + 1) + k * log + (trials - k) * other)
            for k in range(errors + 1)
        ),
    )


def provable(promise: float, *, confidence: float = CONFIDENCE) -> int:
    """Return how many trials without any error just prove the promise (149 for 98 % at 95 %)."""
    return math.ceil(math.log(1 - confidence) / math.log(promise)) if promise < 1 else 1_000_000


def record(trials: Sequence[Trial], limit: float) -> Record:
    """Return how the trials at or above a limit fared."""
    chosen = [one for one in trials if one.probability >= limit]
    right = sum(one.right for one in chosen)
    return Record(trials=len(chosen), right=right, lower=lower_bound(right, len(chosen)))


def in_danger(found: Record, promise: float, *, unlikely: float = UNLIKELY) -> bool:
    """Tell whether the record speaks against the promise.

    With enough trials to prove it, it must be proven; with fewer, so many errors must not be unlikely under it.
    """
    if found.trials >= provable(promise):
        return found.lower < promise
    return found.wrong > 0 and 1 - at_most(found.wrong - 1, found.trials, 1 - promise) < unlikely


def next_limits(
    trials: Sequence[Trial],
    present: Mapping[str, float],
    *,
    promise: float,
    least: float,
    since: Mapping[str, datetime] | None = None,
) -> dict[str, Limit]:
    """Return every limit as it should be from now on, by scope; `present` holds those in force.

    A limit is raised at once when its record is in danger, and lowered one step at a time only where the lower bound of
    what would then go out is above the promise. It is never below `least`, which a person sets. A category has
    its own limit once its own record asks for one. Where a person has loosened a limit, its record begins anew
    at that moment (`since`).
    """
    asked = since or {}
    general = max(least, present.get(ALL, least))
    by_category: dict[str, list[Trial]] = defaultdict(list)
    for one in trials:
        if one.category:
            by_category[one.category].append(one)
    mine = {
        category: _from(by_category.get(category, []), asked.get(category, asked.get(ALL)))
        for category in sorted(set(by_category) | (set(present) - {ALL}))
    }
    found: dict[str, Limit] = {}
    for category, own in mine.items():
        start = max(least, present.get(category, general))
        limit = _next(category, own, start, promise=promise, least=least, unlikely=UNLIKELY_IN_A_CATEGORY)
        enough = record(own, start).trials >= FEWEST_IN_A_CATEGORY
        if category in present or (enough and limit.limit > start):
            found[category] = limit
    # A category that failed alone is no reason to be stricter with the others.
    others = [one for one in _from(trials, asked.get(ALL)) if one.category not in found]
    found[ALL] = _next(ALL, others, general, promise=promise, least=least)
    if found[ALL].limit > general:
        # Nor are the others a reason to be stricter with a category that keeps the promise by its own record.
        for category, own in mine.items():
            limit = _next(category, own, general, promise=promise, least=least, unlikely=UNLIKELY_IN_A_CATEGORY)
            if category not in found and limit.state is LimitState.PROVEN:
                found[category] = limit
    return found


def _from(trials: Sequence[Trial], moment: datetime | None) -> list[Trial]:
    return [one for one in trials if moment is None or one.at is None or one.at >= moment]


def _next(
    scope: str,
    trials: Sequence[Trial],
    start: float,
    *,
    promise: float,
    least: float,
    unlikely: float = UNLIKELY,
) -> Limit:
    now = record(trials, start)
    if start <= 1 and in_danger(now, promise, unlikely=unlikely):
        for step in (one for one in STEPS if one > start):
            then = record(trials, step)
            # Somewhere above there must be a record that does not speak against the promise, and there must be one.
            if then.trials and not in_danger(then, promise, unlikely=unlikely) and then.wrong < now.wrong:
                return Limit(
                    scope=scope,
                    limit=step,
                    state=LimitState.TIGHTENED,
                    record=then,
                    reason=f"把握 {start:.1%} 以上的 {now.trials} 件中 {now.wrong} 件派错，"
                    f"已收紧到 {step:.1%}（其上 {then.trials} 件，派错 {then.wrong} 件）",
                )
        return Limit(
            scope=scope,
            limit=CLOSED,
            state=LimitState.CLOSED,
            record=now,
            reason=f"把握 {start:.1%} 以上的 {now.trials} 件中 {now.wrong} 件派错，没有能守住承诺的门槛，暂由人工派单",
        )
    lower = [step for step in (least, *STEPS) if least <= step < start]
    if lower:
        below = max(lower)
        then = record(trials, below)
        if then.lower >= promise:
            return Limit(
                scope=scope,
                limit=below,
                state=LimitState.PROVEN,
                record=then,
                reason=f"把握 {below:.1%} 以上的 {then.trials} 件中派对 {then.right} 件，"
                f"准确率下限 {then.lower:.1%}，放宽一级",
            )
    kept = LimitState.PROVEN if now.lower >= promise else LimitState.UNPROVEN
    state = LimitState.CLOSED if start > 1 else kept
    return Limit(scope=scope, limit=start, state=state, record=now, reason=_in_words(now, start, state, promise))


def _in_words(found: Record, limit: float, state: LimitState, promise: float) -> str:
    if state is LimitState.CLOSED:
        return "暂由人工派单，人工决定继续积累证据"
    if state is LimitState.PROVEN:
        return f"{found.trials} 件中派对 {found.right} 件，准确率下限 {found.lower:.1%}，守住承诺 {promise:.0%}"
    return (
        f"把握 {limit:.1%} 以上已有结论的 {found.trials} 件，派错 {found.wrong} 件；"
        f"全对也要 {provable(promise)} 件才能证明 {promise:.0%}"
    )
