"""Small pure decisions: may it go out by itself, when is a citizen rung, what follows from what he says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from callbacks import policy
from callbacks.policy import Answers, Satisfaction, Solved, Verdict
from hotline.core.clock import SHANGHAI, aware, end_of_day, local
from hotline.core.errors import Invalid, WrongState
from hotline.core.permissions import SYSTEM, Actor, Permission, Role
from hotline.core.settings import Settings
from hotline.people.passwords import hash_password, matches, weakness
from hotline.tickets.states import Act, State, acts_from, check
from hotline.tickets.vocabulary import Urgency
from routing.rules import AutomaticPolicy, decide

SURE: dict[str, Any] = {
    "policy": AutomaticPolicy(),
    "category": "CJ-0101",
    "lead": "housing",
    "probability": 0.97,
    "abstained": False,
    "risks": [],
    "urgency": Urgency.ORDINARY,
    "territorial": "",
}


def test_a_sure_suggestion_goes_out_by_itself() -> None:
    assert decide(**SURE).department == "housing"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"policy": AutomaticPolicy(on=False)}, "关闭"),
        ({"risks": ["生命危险"]}, "生命危险"),
        ({"urgency": Urgency.VERY_URGENT}, "特急"),
        ({"abstained": True}, "把握不足"),
        ({"lead": ""}, "把握不足"),
        ({"policy": AutomaticPolicy(excluded=("CJ-01",))}, "人工派单"),
        ({"probability": 0.89}, "89%"),
        ({"lead": "district"}, "区域"),
        ({"policy": AutomaticPolicy(excluded=("WJ",)), "stated": "WJ-0101"}, "人工派单"),
        ({"catalogue": "urban_management", "catalogue_name": "市城管局"}, "目录主办为市城管局"),
        ({"lead": "district", "territorial": "district_beiyuan", "catalogue": "housing"}, "不一致"),
    ],
)
def test_every_reason_for_a_person_is_told(change: dict[str, Any], words: str) -> None:
    decision = decide(**{**SURE, **change})
    assert not decision.automatic
    assert words in decision.reason


def test_a_matter_of_the_place_goes_to_the_government_of_the_place() -> None:
    assert decide(**{**SURE, "lead": "district", "territorial": "district_beiyuan"}).department == "district_beiyuan"


def test_a_suggestion_that_the_catalogue_confirms_goes_out() -> None:
    assert decide(**{**SURE, "catalogue": "housing"}).department == "housing"
    placed = {**SURE, "lead": "district", "territorial": "district_beiyuan", "catalogue": "district_beiyuan"}
    assert decide(**placed).department == "district_beiyuan"


def test_what_an_administrator_left_out_has_its_default() -> None:
    assert AutomaticPolicy.from_setting(None) == AutomaticPolicy()
    assert AutomaticPolicy.from_setting({"on": False, "excluded": ["A"]}) == AutomaticPolicy(on=False, excluded=("A",))


@pytest.mark.parametrize("replied", [True, False])
@pytest.mark.parametrize("solved", list(Solved))
@pytest.mark.parametrize("process", list(Satisfaction))
@pytest.mark.parametrize("result", list(Satisfaction))
def test_whoever_has_reason_to_be_unsatisfied_gets_rework(
    replied: bool,  # noqa: FBT001 - a table of cases
    solved: Solved,
    process: Satisfaction,
    result: Satisfaction,
) -> None:
    answers = Answers(replied=replied, solved=solved, process=process, result=result, reason="没有解决")
    happy = replied and solved is not Solved.UNSOLVED and Satisfaction.UNSATISFIED not in {process, result}
    assert policy.verdict(answers) is (Verdict.CLOSE if happy else Verdict.REWORK)


def test_an_unhappy_answer_needs_a_reason_and_a_citizen_may_decline_rework() -> None:
    unhappy = {
        "replied": True,
        "solved": Solved.UNSOLVED,
        "process": Satisfaction.MOSTLY,
        "result": Satisfaction.MOSTLY,
    }
    with pytest.raises(Invalid) as refusal:
        policy.verdict(Answers(**unhappy))  # type: ignore[arg-type]
    assert list(refusal.value.fields) == ["reason"]
    assert policy.verdict(Answers(**unhappy, reason="不用再办了", wants_rework=False)) is Verdict.CLOSE  # type: ignore[arg-type]


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 10, day, hour, minute, tzinfo=SHANGHAI)


@pytest.mark.parametrize(
    ("attempts", "enough"),
    [
        ([], False),
        ([at(8, 9), at(8, 10)], False),
        ([at(8, 9), at(8, 10), at(8, 11)], False),
        ([at(8, 9), at(8, 10), at(8, 14)], True),
        ([at(8, 9), at(8, 10), at(9, 9)], True),
        ([at(8, 9), at(9, 9)], False),
    ],
)
def test_three_attempts_at_two_different_times_are_enough(attempts: list[datetime], enough: bool) -> None:  # noqa: FBT001
    assert policy.exhausted(attempts) is enough


@pytest.mark.parametrize(
    ("asked", "given_"),
    [
        (at(8, 7), at(8, 8)),
        (at(8, 9, 30), at(8, 9, 30)),
        (at(8, 20), at(9, 8)),
        (at(8, 23), at(9, 8)),
        (at(8, 19, 59), at(8, 19, 59)),
    ],
)
def test_nobody_is_rung_at_night(asked: datetime, given_: datetime) -> None:
    assert policy.within_hours(asked) == given_


def test_the_next_attempt_comes_later_and_at_another_time_when_all_were_at_the_same() -> None:
    first = policy.next_attempt([at(8, 9)], now=at(8, 9))
    assert first == at(8, 12)
    third = policy.next_attempt([at(8, 9), at(8, 10)], now=at(8, 10))
    assert local(third).date() == at(9, 9).date()


def test_an_act_from_another_place_of_the_map_is_refused() -> None:
    assert check(Act.SIGN, State.DISPATCHED).target is State.SIGNED
    with pytest.raises(WrongState):
        check(Act.SIGN, State.CLOSED)
    assert Act.DISPATCH in acts_from(State.REGISTERED)
    assert Act.DISPATCH not in acts_from(State.CLOSED)


def test_only_the_callback_desk_can_close_and_no_department_can() -> None:
    for role in (Role.OPERATOR, Role.DISPATCHER, Role.RESPONDER, Role.SUPERVISOR, Role.ADMINISTRATOR):
        assert not Actor(user_id=1, role=role).can(Permission.TICKET_CLOSE), role
    assert not Actor(user_id=1, role=Role.RESPONDER).can(Permission.CALLBACK_RECORD)
    assert not SYSTEM.can(Permission.TICKET_ANSWER)


def test_times_without_a_zone_are_refused_and_days_end_at_midnight_in_china() -> None:
    with pytest.raises(ValueError, match="zone"):
        aware(datetime(2026, 1, 1))  # noqa: DTZ001 - that is what is refused
    assert end_of_day(datetime(2026, 10, 8, 15, 59, tzinfo=UTC)) == datetime(2026, 10, 8, 16, tzinfo=UTC)
    assert end_of_day(datetime(2026, 10, 8, 16, 0, tzinfo=UTC)) - timedelta(days=1) == datetime(
        2026, 10, 8, 16, tzinfo=UTC
    )


def test_settings_that_cannot_be_understood_are_named_together() -> None:
    with pytest.raises(Invalid) as refusal:
        Settings.from_environment(
            {"PORT": "x", "HOTLINE_CARRIER": "doves", "HOTLINE_SECURE_COOKIES": "maybe", "HOTLINE_SOURCE_URL": "ftp"}
        )
    assert sorted(refusal.value.fields) == ["HOTLINE_CARRIER", "HOTLINE_SECURE_COOKIES", "HOTLINE_SOURCE_URL", "PORT"]
    assert Settings.from_environment({"PORT": "8080"}).port == 8080


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("short", "至少"),
        ("x" * 129, "最多"),
        ("aaaaaaaaaa", "简单"),
        ("operator-2026", "登录名"),
        ("Long-enough-1", ""),
    ],
)
def test_weak_passwords_are_told_why(password: str, words: str) -> None:
    assert words in weakness(password, login="operator")


def test_a_password_matches_its_own_hash_only_and_an_unknown_login_matches_nothing() -> None:
    hashed = hash_password("Long-enough-1")
    assert matches("Long-enough-1", hashed)
    assert not matches("Long-enough-2", hashed)
    assert not matches("Long-enough-1", None)
    assert not matches("Long-enough-1", "not a hash")
