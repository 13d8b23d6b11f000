"""The two duties of bad reviews, counted by hand (domain.md 4.3, 5.1, 11)."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from callbacks.models import ReviewVerdict
from reports.indicators import Rate, Reach, ReviewFact, real_name_callback_rates, rectified_rate


def fifty(now: datetime, *, unreachable: int = 0) -> list[ReviewFact]:
    """Make the vector of domain.md 11: 40 real-name of 50; 30 justified, 8 no basis, 7 mistaken, 5 malicious."""
    verdicts = (
        [ReviewVerdict.JUSTIFIED_SIMPLE] * 18
        + [ReviewVerdict.JUSTIFIED_COMPLEX] * 12
        + [ReviewVerdict.NO_LEGAL_BASIS] * 8
        + [ReviewVerdict.MISTAKEN] * 7
        + [ReviewVerdict.MALICIOUS] * 5
    )
    return [
        ReviewFact(
            real_name=index < 40,
            verdict=verdict,
            rectify_by=now + timedelta(days=1),
            rectified_at=now if index < 30 else None,
            call_by=now + timedelta(days=1),
            reach=Reach.NONE if index >= 40 else Reach.ATTEMPTED if index < unreachable else Reach.COMPLETED,
        )
        for index, verdict in enumerate(verdicts)
    ]


def test_thirty_justified_reviews_that_were_rectified_are_all_of_thirty(now: datetime) -> None:
    rate = rectified_rate(fifty(now), now=now)
    assert (rate.numerator, rate.denominator, rate.percent) == (30, 30, Decimal("100.00"))
    assert rate.excluded == {"no_legal_basis": 8, "mistaken": 7, "malicious": 5}


def test_forty_real_name_reviews_called_back_are_all_of_forty(now: datetime) -> None:
    rates = real_name_callback_rates(fifty(now), now=now)
    assert rates.completed.percent == rates.attempted.percent == Decimal("100.00")
    assert rates.completed.denominator == 40
    assert rates.completed.excluded == {"anonymous": 10}


def test_two_who_were_never_reached_are_attempted_and_not_completed(now: datetime) -> None:
    rates = real_name_callback_rates(fifty(now, unreachable=2), now=now)
    assert (rates.completed.numerator, rates.completed.percent) == (38, Decimal("95.00"))
    assert (rates.attempted.numerator, rates.attempted.percent) == (40, Decimal("100.00"))


def test_what_is_late_counts_against_and_what_still_has_time_does_not_count(now: datetime) -> None:
    past, ahead = now - timedelta(days=1), now + timedelta(days=1)
    justified = ReviewVerdict.JUSTIFIED_SIMPLE
    facts = [
        ReviewFact(real_name=True, verdict=justified, rectify_by=past, rectified_at=past),
        ReviewFact(real_name=True, verdict=justified, rectify_by=past, rectified_at=now),
        ReviewFact(real_name=True, verdict=justified, rectify_by=past, call_by=past),
        ReviewFact(real_name=True, verdict=justified, rectify_by=ahead, call_by=ahead),
        ReviewFact(real_name=True, rectify_by=past),
    ]
    rate = rectified_rate(facts, now=now)
    assert (rate.numerator, rate.denominator) == (1, 3)
    assert rate.percent == Decimal("33.33")
    assert rate.excluded == {"not_due": 1, "unjudged": 1}
    called = real_name_callback_rates(facts, now=now).completed
    assert (called.numerator, called.denominator, called.excluded) == (0, 1, {"not_due": 4})


def test_nothing_to_divide_by_is_no_figure_and_halves_are_rounded_up() -> None:
    assert Rate(numerator=0, denominator=0).percent is None
    assert Rate(numerator=1, denominator=800).percent == Decimal("0.13")
