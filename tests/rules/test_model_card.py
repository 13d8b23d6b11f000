"""Every figure of the model card, counted by hand."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from classifier.thresholds import wilson
from routing.learning.model_card import (
    Judged,
    card,
    corrections,
    curve,
    distance,
    label_lines,
    reliability,
    share,
    weeks,
)
from routing.learning.selective import Trial

MONDAY = date(2026, 6, 1)


def said(code: str, truth: str, p: float = 0.8, *, day: date = MONDAY, length: int = 60, title: str = "") -> Judged:
    return Judged(
        day=day,
        candidates=((code, p), ("Z", 0.1), ("Y", 0.05)),
        truth=truth,
        length=length,
        channel="phone",
        title=title,
    )


def test_a_share_has_the_interval_of_wilson() -> None:
    found = share(45, 50)
    assert (found.low, found.high) == pytest.approx(wilson(45, 50))
    assert (share(0, 0).low, share(0, 0).high) == (0, 1)


def test_precision_and_recall_are_counted_apart() -> None:
    rows = label_lines([said("A", "A"), said("A", "A"), said("A", "B"), said("B", "B"), said("C", "A")])
    by = {row.label: row for row in rows}
    assert (by["A"].precision.hits, by["A"].precision.of) == (2, 3)
    assert (by["A"].recall.hits, by["A"].recall.of) == (2, 3)
    assert (by["B"].precision.hits, by["B"].precision.of, by["B"].recall.of) == (1, 1, 2)
    assert (by["C"].support, by["C"].precision.value) == (0, 0)
    assert [row.label for row in rows] == ["A", "B", "C"]


def test_the_card_counts_candidates_groups_and_the_calibration_error() -> None:
    judged = [said("A1", "A1", 0.9), said("A2", "A1", 0.9), said("B1", "Z", 0.6), said("B1", "X", 0.6)]
    found = card(judged, [], group_of={"A1": "甲", "A2": "甲", "B1": "乙", "Z": "丙", "X": "丙"}, words_of=str.split)
    assert (found.accuracy.hits, found.top2.hits, found.top3.hits, found.messages) == (1, 2, 2, 4)
    assert found.confusion == {"甲": {"甲": 2}, "丙": {"乙": 2}}
    assert set(found.groups) == {"甲", "乙", "丙"}
    # Two at 0.9 of which half are right, two at 0.6 of which none is.
    assert found.calibration_error == pytest.approx((2 * 0.4 + 2 * 0.6) / 4)


def test_the_bins_of_confidence_hold_who_belongs_there() -> None:
    bins = reliability([(0.05, False), (0.95, True), (1.0, True), (0.91, False)])
    assert [(one.low, one.count) for one in bins] == [(0.0, 1), (0.9, 3)]
    assert bins[1].sure == pytest.approx((0.95 + 1 + 0.91) / 3)
    assert bins[1].right.hits == 2


def test_the_curve_falls_from_the_surest_to_all() -> None:
    trials = [
        Trial(category="", probability=p, right=right)
        for p, right in [(0.5, False), (0.9, True), (0.7, True), (0.6, True)]
    ]
    points = curve(trials)
    assert [(one.threshold, one.coverage, one.precision) for one in points] == [
        (0.9, 0.25, 1.0),
        (0.7, 0.5, 1.0),
        (0.6, 0.75, 1.0),
        (0.5, 1.0, 0.75),
    ]
    assert curve([]) == ()


def test_a_distance_is_the_share_that_would_have_to_move() -> None:
    assert distance({"a": 5, "b": 5}, {"a": 50, "b": 50}) == 0
    assert distance({"a": 1}, {"b": 1}) == 1
    assert distance({"a": 3, "b": 1}, {"a": 1, "b": 1}) == pytest.approx(0.25)


def test_a_week_is_compared_with_everything_before_it() -> None:
    first = [said("A", "A", 0.8) for _ in range(4)]
    second = [said("A", "B", 0.6, day=MONDAY + timedelta(days=8), length=900) for _ in range(2)]
    found = weeks([*second, *first])
    assert [one.start for one in found] == [MONDAY, MONDAY + timedelta(days=7)]
    assert (found[0].input_shift, found[0].label_shift) == (None, None)
    assert (found[1].input_shift, found[1].label_shift) == (1.0, 1.0)
    assert found[1].right.hits == 0
    assert found[1].sure == pytest.approx(0.6)


def test_the_commonest_correction_comes_with_the_rule_that_would_have_helped() -> None:
    wrong = [said("A", "B", 0.62, title=f"路灯 井盖 {number}") for number in range(5)]
    right = [said("A", "A", 0.95, title="路灯 不亮") for _ in range(20)] + [said("A", "A", 0.55, title="路灯")]
    rare = [said("A", "C", 0.9, title="x")]
    (found,) = corrections([*wrong, *right, *rare], words_of=str.split)
    assert (found.said, found.truth, found.count, found.of) == ("A", "B", 5, 27)
    assert (found.word, found.word_hits, found.word_elsewhere) == ("井盖", 5, 0)
    assert found.threshold is not None
    assert 0.62 < found.threshold <= 0.63
    assert (found.spared, found.withheld) == (5, 1)


def test_no_rule_is_invented_where_none_would_help() -> None:
    wrong = [said("A", "B", 0.97, title="路灯") for _ in range(4)]
    right = [said("A", "A", 0.9, title="路灯") for _ in range(50)]
    (found,) = corrections([*wrong, *right], words_of=str.split)
    assert (found.word, found.threshold) == ("", None)
