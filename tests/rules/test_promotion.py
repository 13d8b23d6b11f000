"""May a candidate take the place of the model in use? Counted by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from routing.learning.examples import newest_from, sides
from routing.learning.models import Side
from routing.learning.promotion import Scores, Verdict, scores, together, verdict
from routing.learning.training import LearningSettings, wanted

NONE = scores([], [])


def answers(label: str, *, right: int, wrong: int, other: str) -> tuple[list[str], list[str]]:
    return [label] * (right + wrong), [label] * right + [other] * wrong


def of(*parts: tuple[list[str], list[str]]) -> Scores:
    truth = [one for part in parts for one in part[0]]
    said = [one for part in parts for one in part[1]]
    return scores(truth, said)


def test_scores_are_counted_as_by_hand() -> None:
    found = scores(["a", "a", "a", "b"], ["a", "a", "b", "b"])
    assert (found.messages, found.right) == (4, 3)
    assert found.f1["a"] == pytest.approx(2 * 2 / (3 + 2))
    assert found.f1["b"] == pytest.approx(2 * 1 / (1 + 2))
    assert found.macro == pytest.approx((0.8 + 2 / 3) / 2)


def test_a_label_that_a_model_does_not_know_is_a_miss() -> None:
    assert scores(["new", "a"], ["a", "a"]).f1["new"] == 0


def test_a_candidate_that_is_better_everywhere_passes() -> None:
    better = of(answers("a", right=28, wrong=2, other="b"), answers("b", right=28, wrong=2, other="a"))
    worse = of(answers("a", right=25, wrong=5, other="b"), answers("b", right=25, wrong=5, other="a"))
    found = verdict(frozen=(better, worse), newest=(NONE, NONE), margin=0.05)
    assert found.passed
    assert "0.833→0.933" in found.reason


def test_the_same_answers_pass_because_they_are_not_worse() -> None:
    same = of(answers("a", right=28, wrong=2, other="b"), answers("b", right=28, wrong=2, other="a"))
    assert verdict(frozen=(same, same), newest=(NONE, NONE), margin=0.0).passed


def test_a_candidate_that_is_worse_overall_is_refused() -> None:
    better = of(answers("a", right=30, wrong=0, other="b"), answers("b", right=30, wrong=0, other="a"))
    worse = of(answers("a", right=29, wrong=1, other="b"), answers("b", right=30, wrong=0, other="a"))
    found = verdict(frozen=(worse, better), newest=(NONE, NONE), margin=0.5)
    assert not found.passed
    assert "总体变差" in found.reason


def test_a_candidate_that_loses_one_class_is_refused_though_better_overall() -> None:
    before = of(
        answers("a", right=20, wrong=0, other="c"),
        answers("b", right=5, wrong=15, other="c"),
        answers("c", right=20, wrong=0, other="b"),
    )
    after = of(
        answers("a", right=16, wrong=4, other="b"),
        answers("b", right=20, wrong=0, other="c"),
        answers("c", right=20, wrong=0, other="b"),
    )
    assert after.macro > before.macro
    found = verdict(frozen=(after, before), newest=(NONE, NONE), margin=0.05, names={"a": "路灯"})
    assert not found.passed
    assert set(found.worse) == {"a"}
    assert "路灯 1.00→0.89" in found.reason
    assert verdict(frozen=(after, before), newest=(NONE, NONE), margin=0.2).passed


def test_a_class_of_a_few_messages_is_judged_only_with_the_others() -> None:
    before = of(answers("a", right=36, wrong=4, other="c"), answers("b", right=5, wrong=0, other="a"))
    after = of(answers("a", right=40, wrong=0, other="c"), answers("b", right=4, wrong=1, other="c"))
    assert verdict(frozen=(after, before), newest=(NONE, NONE), margin=0.01).passed is (after.macro >= before.macro)
    assert not verdict(frozen=(after, before), newest=(NONE, NONE), margin=0.01).worse


def test_the_newest_weeks_can_refuse_what_the_frozen_set_lets_pass() -> None:
    fine = of(answers("a", right=30, wrong=0, other="b"), answers("b", right=30, wrong=0, other="a"))
    poor = of(answers("a", right=10, wrong=5, other="b"), answers("b", right=15, wrong=0, other="a"))
    good = of(answers("a", right=15, wrong=0, other="b"), answers("b", right=15, wrong=0, other="a"))
    found = verdict(frozen=(fine, fine), newest=(poor, good), margin=0.05)
    assert not found.passed
    assert "最近样本" in found.reason
    few = of(answers("a", right=1, wrong=5, other="b"))
    assert verdict(frozen=(fine, fine), newest=(few, good), margin=0.05).passed


def test_without_enough_held_out_messages_nothing_is_promoted() -> None:
    few = of(answers("a", right=39, wrong=0, other="b"))
    found = verdict(frozen=(few, few), newest=(NONE, NONE), margin=0.05)
    assert not found.passed
    assert "39 件" in found.reason


def test_near_copies_stand_on_one_side_and_what_was_given_stays() -> None:
    tickets = list(range(1, 401))
    groups = [one // 4 for one in tickets]
    given = sides(tickets, groups, {})
    for group in set(groups):
        assert len({given[one] for one, number in zip(tickets, groups, strict=True) if number == group}) == 1
    held = sum(side is Side.HOLDOUT for side in given.values()) / len(given)
    assert 0.1 < held < 0.3
    regrouped = sides([*tickets, 401], [0] * 401, given)
    assert {one: regrouped[one] for one in tickets} == given
    assert regrouped[401] is Side.NEITHER
    copy_of_first = sides([*tickets, 401], [*groups, groups[0]], given)
    assert copy_of_first[401] is given[1]


def test_the_newest_examples_are_two_weeks_or_a_fifth_whatever_is_less() -> None:
    now = datetime(2026, 6, 1, tzinfo=UTC)
    assert newest_from([], now=now) is None
    year = [now - timedelta(days=day) for day in range(365)]
    assert newest_from(year, now=now) == now - timedelta(days=14)
    week = [now - timedelta(hours=hour) for hour in range(100)]
    cut = newest_from(week, now=now)
    assert cut is not None
    assert sum(one >= cut for one in week) == 20


@pytest.mark.parametrize(
    ("labels", "hour_utc", "days_ago", "expected"),
    [
        (100, 18, 1, True),
        (99, 18, 1, False),
        (100, 17, 1, False),
        (100, 18, None, True),
        (100, 18, 0, False),
    ],
)
def test_the_timetable_wants_a_training_once_a_night_when_enough_was_decided(
    labels: int, hour_utc: int, days_ago: int | None, *, expected: bool
) -> None:
    now = datetime(2026, 6, 1, hour_utc, 30, tzinfo=UTC)  # 18:30 is half past two at night in China
    last = now - timedelta(days=days_ago, minutes=5) if days_ago is not None else None
    assert bool(wanted(LearningSettings(), new_labels=labels, last_started=last, now=now)) is expected
    assert not wanted(LearningSettings(scheduled=False), new_labels=labels, last_started=last, now=now)


def test_request_types_may_fluctuate_within_the_margin_but_not_fall_out_of_it() -> None:
    truth = ["投诉"] * 50 + ["咨询"] * 50
    old = scores(truth, truth)
    slightly = scores(truth, ["投诉"] * 48 + ["咨询"] * 52)
    badly = scores(truth, ["投诉"] * 30 + ["咨询"] * 70)
    nothing = scores([], [])
    about = Verdict(passed=True, reason="可以。", worse={})

    def judged(new: Scores) -> Verdict:
        types = verdict(frozen=(new, old), newest=(nothing, nothing), margin=0.05, slack=0.05)
        return together(about, {"诉求类型": types})

    assert judged(slightly).passed
    assert not judged(badly).passed
    assert "诉求类型" in judged(badly).reason
    assert set(judged(badly).worse) == {"投诉", "咨询"}
    refused = Verdict(passed=False, reason="变差。", worse={"甲": (0.9, 0.1)})
    assert not together(refused, {"诉求类型": Verdict(passed=True, reason="好。", worse={})}).passed
