"""When supervision speaks: cards, cuts in working time, the ladder as data (domain.md 2.11 and section 11)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hotline.core.clock import SHANGHAI
from hotline.core.errors import Invalid
from routing.clocks.calendars import china
from routing.clocks.deadlines import Card, clock_named, clocks_for
from routing.clocks.profiles import ClockName, load
from routing.supervision.triggers import (
    BY_TRIGGER,
    LADDER,
    RULES,
    Facts,
    Rules,
    Step,
    Trigger,
    card,
    check_rules,
    cut,
    in_order,
    is_working,
    triggered,
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI).astimezone(UTC)


@pytest.mark.parametrize(
    ("now", "workdays", "expected"),
    [
        ("2026-11-24T10:00", 1, "2026-11-24T00:00"),
        ("2026-11-24T08:00", 1, "2026-11-23T00:00"),
        ("2026-11-24T10:00", 2, "2026-11-23T00:00"),
        ("2026-11-23T10:00", 2, "2026-11-20T00:00"),
        ("2026-11-22T10:00", 1, "2026-11-20T00:00"),
        ("2026-10-10T10:00", 1, "2026-10-10T00:00"),
        ("2026-10-08T10:00", 2, "2026-09-30T00:00"),
    ],
    ids=[
        "today counts once work has begun",
        "and not before",
        "two days reach back to yesterday",
        "over a weekend",
        "on a Sunday the last working day counts",
        "a make-up Saturday is a working day",
        "over the holiday week",
    ],
)
def test_working_days_that_have_passed_are_counted_back_from_now(now: str, workdays: int, expected: str) -> None:
    assert cut(china(), at(now), workdays=workdays) == at(expected)


def test_no_working_day_needs_to_have_passed_for_the_first_rung() -> None:
    assert cut(china(), at("2026-11-22T03:00"), workdays=0) == at("2026-11-22T03:00")


def test_a_rung_is_reached_exactly_when_the_nth_working_day_after_the_card_opens() -> None:
    """Counted forward from every red card of a fortnight, the cut tells the same as the calendar."""
    calendar = china()
    for hours in range(0, 24 * 14, 5):
        red = at("2026-09-25T09:00") + timedelta(hours=hours)
        for workdays in (1, 2, 5):
            day = red.astimezone(SHANGHAI).date()
            nth = [next_day for _, next_day in zip(range(workdays), calendar.workdays_after(day), strict=False)][-1]
            opens = calendar.opening(nth).replace(tzinfo=SHANGHAI)
            for moment in (opens - timedelta(minutes=1), opens, opens + timedelta(hours=3)):
                assert (red < cut(calendar, moment, workdays=workdays)) == (moment >= opens), (red, workdays, moment)


def test_reminders_go_out_in_working_hours_only() -> None:
    assert is_working(china(), at("2026-11-24T10:00"))
    assert not is_working(china(), at("2026-11-24T12:30"))
    assert not is_working(china(), at("2026-11-24T23:00"))
    assert not is_working(china(), at("2026-11-22T10:00"))


def test_yellow_from_one_working_day_before_the_limit_and_red_from_the_first_after() -> None:
    clocks = clocks_for(
        profile=load("default"),
        calendar=china(),
        request_type="求助",
        urgency="一般",
        dispatched_at=at("2026-11-16T10:00"),
    )
    handle = clock_named(clocks, ClockName.HANDLE)
    assert handle is not None
    assert handle.due_at == at("2026-11-23T18:00")
    facts = Facts(in_hand=True, yellow_from=handle.yellow_from, red_from=handle.red_from)
    shown = {
        moment: card(facts, at(moment))
        for moment in (
            "2026-11-20T17:59",
            "2026-11-20T18:00",
            "2026-11-23T18:30",
            "2026-11-24T08:59",
            "2026-11-24T09:00",
        )
    }
    assert list(shown.values()) == [Card.NONE, Card.YELLOW, Card.YELLOW, Card.YELLOW, Card.RED]


def test_what_is_not_in_hand_shows_no_card() -> None:
    assert (
        card(
            Facts(in_hand=False, yellow_from=at("2026-11-01T00:00"), red_from=at("2026-11-02T00:00")),
            at("2026-11-24T10:00"),
        )
        is Card.NONE
    )


NOW = at("2026-11-24T10:00")
LATE = NOW - timedelta(hours=1)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (Facts(in_hand=True, sign_due_at=LATE), {Trigger.SIGN_OVERDUE}),
        (Facts(in_hand=True, sign_due_at=LATE, signed=True), set()),
        (Facts(in_hand=True, signed=True, sent_at=at("2026-11-20T17:00")), {Trigger.NOT_CONTACTED}),
        (Facts(in_hand=True, signed=True, sent_at=at("2026-11-23T17:00")), set()),
        (Facts(in_hand=True, signed=True, contacted=True, sent_at=at("2026-11-10T17:00")), set()),
        (Facts(in_hand=True, round=1), {Trigger.CALLBACK_UNHAPPY}),
        (Facts(in_hand=True, round=2), {Trigger.REDO_UNHAPPY}),
        (Facts(repeats=3), {Trigger.REPEATED}),
        (Facts(repeats=3, is_open=False), set()),
        (Facts(repeats=2), set()),
        (Facts(returns=2), {Trigger.PING_PONG}),
        (Facts(waits_for_dispatch=True, waiting_since=NOW - timedelta(hours=25)), {Trigger.UNDISPATCHED}),
        (Facts(waits_for_dispatch=True, waiting_since=NOW - timedelta(hours=23)), set()),
        (Facts(waits_for_dispatch=True, waiting_since=NOW - timedelta(hours=3), share=12), {Trigger.UNDISPATCHED}),
        (Facts(waits_for_dispatch=True, waiting_since=NOW - timedelta(minutes=90), share=24), {Trigger.UNDISPATCHED}),
        (Facts(return_asked_at=at("2026-11-23T16:00")), {Trigger.RETURN_UNRULED}),
        (Facts(return_asked_at=at("2026-11-24T09:00")), set()),
        (Facts(reading_due_at=LATE), {Trigger.ANSWER_UNREAD}),
        (Facts(reading_due_at=NOW + timedelta(minutes=1)), set()),
    ],
)
def test_each_trigger_speaks_of_what_it_was_made_for_and_of_nothing_else(facts: Facts, expected: set[Trigger]) -> None:
    assert triggered(facts, rules=Rules(), calendar=china(), now=NOW) == expected


def test_a_trigger_that_is_off_says_nothing_and_a_limit_is_the_citys_own() -> None:
    facts = Facts(repeats=3, returns=5)
    rules = Rules(off=frozenset({Trigger.PING_PONG}), limits={Trigger.REPEATED: 4})
    assert triggered(facts, rules=rules, calendar=china(), now=NOW) == set()


def test_what_a_city_decides_comes_back_as_it_was_stored() -> None:
    rules = Rules(off=frozenset({Trigger.REPEATED}), limits={Trigger.PING_PONG: 3}, urge_workdays=2)
    assert Rules.from_setting(rules.to_setting()) == rules
    assert Rules.from_setting(None) == Rules()
    assert Rules().ladder == LADDER


def test_a_ladder_that_cannot_be_climbed_is_refused_by_field() -> None:
    ladder = (
        Step(words="同名", colour=Card.YELLOW, workdays=2),
        Step(words="同名", colour=Card.NONE),
        Step(words=" ", colour=Card.RED, workdays=99, level=7),
    )
    with pytest.raises(Invalid) as error:
        check_rules(Rules(ladder=ladder, limits={Trigger.REPEATED: 0}, supervise_workdays=0))
    assert set(error.value.fields) == {
        "ladder",
        "workdays_1",
        "colour_2",
        "words_3",
        "workdays_3",
        "level_3",
        "limit_repeated",
        "supervise_workdays",
    }


def test_every_trigger_has_a_rule_with_its_source() -> None:
    assert set(BY_TRIGGER) == set(Trigger)
    assert in_order(Trigger) == [rule.trigger for rule in RULES]
    assert all("domain.md" in rule.source for rule in RULES)
