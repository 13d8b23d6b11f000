"""What the figures mean: each with numerator, denominator and exclusions, over plain facts (domain.md 5.1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum

from callbacks.models import MUST_RECTIFY, ReviewVerdict
from hotline.tickets.states import Outcome
from routing.answers.part_models import PartEnding


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
        elif fact.verdict not in MUST_RECTIFY:
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


#: What a supervisor looks at himself (domain.md 1.7: three repeats warn; 2.6, 2.10: a second return, a second rework).
WATCH_REWORK, WATCH_RETURNS, WATCH_REPEATS = 2, 2, 3


class WatchReason(StrEnum):
    """Why an open ticket needs a supervisor's eye."""

    REWORKED = "reworked"
    PING_PONG = "ping_pong"
    REPEATED = "repeated"


def watch_reasons(*, rework_rounds: int, returned: int, repeats: int) -> tuple[WatchReason, ...]:
    """重点关注: reworked twice or more, sent back twice or more (退单拉锯), or reported again three times or more."""
    reasons = (
        (rework_rounds >= WATCH_REWORK, WatchReason.REWORKED),
        (returned >= WATCH_RETURNS, WatchReason.PING_PONG),
        (repeats >= WATCH_REPEATS, WatchReason.REPEATED),
    )
    return tuple(reason for true, reason in reasons if true)


#: Outcomes of tickets that a department answered and that were called back.
_CALLED_BACK = frozenset({Outcome.CONFIRMED, Outcome.UNREACHABLE, Outcome.DECLINED})


@dataclass(frozen=True, kw_only=True)
class ClosingFact:
    """So many tickets that were closed in one way."""

    outcome: Outcome
    #: Whether they had been sent back to be done again at least once.
    reworked: bool
    tickets: int
    #: Whether they were closed on the day that is asked about.
    today: bool = False


def rework_rate(facts: Iterable[ClosingFact]) -> Rate:
    """重办率: closed tickets that had been reworked at least once / tickets closed after an answer, by closing date.

    Domain.md 5.1 (reopened / closed). Left out, each with its number: what the hotline answered, refused or handed
    over itself, and what was withdrawn, for no department answered these (domain.md 2.2).
    """
    left_out: Counter[str] = Counter()
    reworked = closed = 0
    for fact in facts:
        if fact.outcome not in _CALLED_BACK:
            left_out[fact.outcome.value] += fact.tickets
            continue
        closed += fact.tickets
        reworked += fact.tickets if fact.reworked else 0
    return Rate(numerator=reworked, denominator=closed, excluded=dict(left_out))


def closed_today(facts: Iterable[ClosingFact]) -> int:
    """今日办结: tickets closed since midnight, in whatever way (全口径, domain.md 5.1 办结率)."""
    return sum(fact.tickets for fact in facts if fact.today)


@dataclass(frozen=True, kw_only=True)
class PartFact:
    """One part of a ticket in the hands of a co-handler or of a department below the lead."""

    department: str
    due_at: datetime
    answered_at: datetime | None
    ending: PartEnding | None


def parts_on_time(facts: Iterable[PartFact], *, now: datetime) -> dict[str, Rate]:
    """协办按时反馈率, by department: parts answered within their own limit / parts due.

    Due is what was answered, what the lead did not wait for, and what is open past its limit; so each department is
    measured on its own part and the lead on the whole. Left out: taken back by the lead, ended with the ticket's
    going elsewhere, and open within the limit.
    """
    good: Counter[str] = Counter()
    due: Counter[str] = Counter()
    left_out: dict[str, Counter[str]] = {}
    for fact in facts:
        excluded = left_out.setdefault(fact.department, Counter())
        if fact.ending in {PartEnding.WITHDRAWN, PartEnding.LAPSED}:
            excluded[str(fact.ending)] += 1
        elif fact.ending is None and now <= fact.due_at:
            excluded["not_due"] += 1
        else:
            due[fact.department] += 1
            good[fact.department] += fact.answered_at is not None and fact.answered_at <= fact.due_at
    return {
        name: Rate(numerator=good[name], denominator=due[name], excluded=dict(excluded))
        for name, excluded in left_out.items()
    }
