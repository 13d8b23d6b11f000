"""How far things have come with a number that harasses the hotline: explained, warned, limited for a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hotline.intake.harassment_rules import (
    COUNTED_FOR,
    LEAST_MARKS,
    LONGEST_DAYS,
    Call,
    HarassmentKind,
    Step,
    end_of_limit,
    problems_of_mark,
    standing,
)

NOW = datetime(2026, 10, 9, 2, tzinfo=UTC)
DAY = timedelta(days=1)


def calls(marks: str, ago: timedelta = DAY) -> list[Call]:
    """Return one call for each sign: "!" for one with a warning, "." for one without."""
    return [Call(at=NOW - ago, warned=one == "!") for one in marks]


@pytest.mark.parametrize(
    ("known", "step"),
    [
        ([], Step.NONE),
        (calls("."), Step.EXPLAINED),
        (calls("...."), Step.EXPLAINED),
        (calls("!"), Step.WARNED),
        (calls(".!"), Step.WARNED),
        (calls(".!."), Step.MAY_LIMIT),
        (calls("!!!", ago=COUNTED_FOR), Step.NONE),
        (calls("!!", ago=COUNTED_FOR) + calls("."), Step.EXPLAINED),
        (calls("!", ago=-DAY), Step.NONE),
    ],
)
def test_persuasion_and_a_warning_come_before_a_limit(known: list[Call], step: Step) -> None:
    assert standing(known, now=NOW).step is step


def test_a_limit_holds_until_its_end_and_not_a_moment_longer() -> None:
    known = calls("!!!")
    held = standing(known, limited_until=NOW + timedelta(seconds=1), now=NOW)
    assert (held.step, held.until) == (Step.LIMITED, NOW + timedelta(seconds=1))
    over = standing(known, limited_until=NOW, now=NOW)
    assert (over.step, over.until) == (Step.MAY_LIMIT, None)


def test_every_advice_says_that_a_matter_is_taken() -> None:
    for known, asked, until in (
        (calls("."), False, None),
        (calls("!!!"), False, None),
        (calls("!!!"), True, None),
        (calls("!!!"), False, NOW + DAY),
    ):
        assert "诉求" in standing(known, asked=asked, limited_until=until, now=NOW).advice


@pytest.mark.parametrize("days", [0, -1, LONGEST_DAYS + 1])
def test_a_limit_is_limited_in_time(days: int) -> None:
    with pytest.raises(ValueError, match="30"):
        end_of_limit(days=days, now=NOW)


def test_a_mark_needs_kind_and_evidence() -> None:
    assert set(problems_of_mark(kind=None, evidence="骂人")) == {"harassment_kind", "evidence"}
    assert problems_of_mark(kind=HarassmentKind.ABUSE, evidence="连续三次来电辱骂话务员") == {}
    assert set(problems_of_mark(kind=HarassmentKind.ABUSE, evidence="字" * 1_001)) == {"evidence"}


def test_so_many_calls_are_needed() -> None:
    assert LEAST_MARKS == 3
