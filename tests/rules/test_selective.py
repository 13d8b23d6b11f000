"""The promise in numbers that anybody can check."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.learning.selective import (
    ALL,
    CLOSED,
    LimitState,
    Trial,
    at_most,
    in_danger,
    lower_bound,
    next_limits,
    provable,
    record,
)
from routing.rules import AutomaticPolicy


def tries(
    probability: float, *, right: int, wrong: int = 0, category: str = "", at: datetime | None = None
) -> list[Trial]:
    return [
        Trial(category=category, probability=probability, right=number < right, at=at)
        for number in range(right + wrong)
    ]


# The same bounds as in printed tables of Clopper-Pearson (one-sided, 95 %).
@pytest.mark.parametrize(
    ("right", "trials", "bound"),
    [(149, 149, 0.98009), (148, 148, 0.97996), (10, 10, 0.74113), (9, 10, 0.60584), (0, 10, 0.0), (235, 236, 0.98005)],
)
def test_the_lower_bound_is_the_exact_one(right: int, trials: int, bound: float) -> None:
    assert lower_bound(right, trials) == pytest.approx(bound, abs=2e-5)


def test_so_many_errors_are_as_likely_as_the_binomial_says() -> None:
    assert at_most(0, 10, 0.1) == pytest.approx(0.9**10)
    assert at_most(1, 10, 0.1) == pytest.approx(0.9**10 + 10 * 0.1 * 0.9**9)
    assert at_most(10, 10, 0.1) == 1
    assert at_most(3, 1_000_000, 0.5) == 0


def test_as_many_trials_as_just_prove_the_promise() -> None:
    assert provable(0.98) == 149
    assert lower_bound(149, 149) >= 0.98 > lower_bound(148, 148)


@given(st.integers(1, 400), st.integers(0, 40))
def test_the_bound_is_below_the_share_and_falls_with_every_error(trials: int, wrong: int) -> None:
    right = max(0, trials - wrong)
    bound = lower_bound(right, trials)
    assert 0 <= bound <= right / trials
    assert lower_bound(max(0, right - 1), trials) <= bound + 1e-12
    assert lower_bound(right + 1, trials + 1) >= bound - 1e-12


def test_few_errors_among_few_are_no_danger_and_many_are() -> None:
    assert not in_danger(record(tries(0.95, right=19, wrong=1), 0.9), 0.98)
    assert not in_danger(record(tries(0.95, right=0, wrong=0), 0.9), 0.98)
    assert in_danger(record(tries(0.95, right=17, wrong=3), 0.9), 0.98)
    assert not in_danger(record(tries(0.95, right=149), 0.9), 0.98)
    # With enough trials to prove the promise it must be proven: 2 errors in 160 are 98.75 %, and prove 96 %.
    assert in_danger(record(tries(0.95, right=158, wrong=2), 0.9), 0.98)


def test_without_evidence_what_the_administrator_set_holds() -> None:
    found = next_limits([], {}, promise=0.98, least=0.9)
    assert (found[ALL].limit, found[ALL].state) == (0.9, LimitState.UNPROVEN)
    assert set(found) == {ALL}


def test_a_proven_promise_is_said_and_never_goes_below_what_a_person_set() -> None:
    found = next_limits(tries(0.93, right=400), {}, promise=0.98, least=0.9)
    assert (found[ALL].limit, found[ALL].state) == (0.9, LimitState.PROVEN)
    assert "400 件" in found[ALL].reason


def test_danger_raises_the_limit_to_where_the_record_keeps_the_promise() -> None:
    trials = [*tries(0.91, right=80, wrong=20), *tries(0.965, right=300)]
    found = next_limits(trials, {}, promise=0.98, least=0.9)[ALL]
    assert (found.limit, found.state) == (0.92, LimitState.TIGHTENED)
    assert found.record.wrong == 0
    assert "20 件派错" in found.reason


def test_where_no_limit_keeps_the_promise_people_dispatch() -> None:
    found = next_limits(tries(0.999, right=80, wrong=20), {}, promise=0.98, least=0.9)[ALL]
    assert (found.limit, found.state) == (CLOSED, LimitState.CLOSED)
    policy = AutomaticPolicy(limits={ALL: found.limit})
    assert policy.limit_for("anything") > 1


def test_a_tightened_limit_is_loosened_by_enough_evidence_only_and_one_step_at_a_time() -> None:
    few = tries(0.96, right=100)
    assert next_limits(few, {ALL: 0.97}, promise=0.98, least=0.9)[ALL].limit == 0.97
    enough = tries(0.965, right=200)
    once = next_limits(enough, {ALL: 0.97}, promise=0.98, least=0.9)[ALL]
    assert (once.limit, once.state) == (0.96, LimitState.PROVEN)
    again = next_limits(enough, {ALL: 0.96}, promise=0.98, least=0.9)[ALL]
    assert again.limit == 0.95
    closed = next_limits(tries(0.999, right=200), {ALL: CLOSED}, promise=0.98, least=0.9)[ALL]
    assert closed.limit == 0.995


def test_a_category_in_danger_is_tightened_alone() -> None:
    trials = [*tries(0.95, right=2_000, category="A"), *tries(0.95, right=21, wrong=4, category="B")]
    found = next_limits(trials, {}, promise=0.98, least=0.9)
    assert found[ALL].state is LimitState.PROVEN
    assert found["B"].limit == CLOSED
    assert "A" not in found
    policy = AutomaticPolicy(limits={scope: one.limit for scope, one in found.items()})
    assert (policy.limit_for("A"), policy.limit_for("B"), policy.limit_for("C")) == (0.9, CLOSED, 0.9)


def test_a_category_that_keeps_the_promise_alone_goes_on_when_the_rest_is_closed() -> None:
    scattered = [one for number in range(20) for one in tries(0.999, right=5, wrong=3, category=f"B{number}")]
    trials = [*tries(0.999, right=300, category="A"), *scattered]
    found = next_limits(trials, {}, promise=0.98, least=0.9)
    assert found[ALL].limit == CLOSED
    assert (found["A"].limit, found["A"].state) == (0.9, LimitState.PROVEN)
    assert set(found) == {ALL, "A"}


def test_after_a_person_loosened_only_what_came_since_counts() -> None:
    then = datetime(2026, 6, 1, tzinfo=UTC)
    old = tries(0.95, right=80, wrong=20, at=then - timedelta(days=1))
    fresh = tries(0.95, right=30, at=then + timedelta(days=1))
    assert next_limits([*old, *fresh], {ALL: 0.9}, promise=0.98, least=0.9)[ALL].limit > 0.95
    found = next_limits([*old, *fresh], {ALL: 0.9}, promise=0.98, least=0.9, since={ALL: then})[ALL]
    assert (found.limit, found.record.trials) == (0.9, 30)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.sampled_from(["", "A", "B"])), max_size=300),
    st.sampled_from([0.5, 0.9, 0.95]),
    st.sampled_from([0.9, 0.95, 0.97, CLOSED]),
)
def test_no_limit_goes_below_what_a_person_set_or_down_without_proof(
    given_trials: list[tuple[float, bool, str]], least: float, start: float
) -> None:
    trials = [Trial(category=code, probability=p, right=right) for p, right, code in given_trials]
    for limit in next_limits(trials, {ALL: start}, promise=0.98, least=least).values():
        assert limit.limit >= least
        if limit.scope == ALL and limit.limit < max(start, least):
            assert limit.record.lower >= 0.98
