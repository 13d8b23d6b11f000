"""Profiles: the shipped ones say what their sources say, and a wrong one is refused with the reason."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from routing.clocks import profiles
from routing.clocks.profiles import (
    REQUEST_TYPES,
    BadProfile,
    ClockName,
    Limit,
    Profile,
    Runs,
    Starts,
    Unit,
    UnknownProfile,
    available,
    canonical,
    load,
)


def plain(**changes: Any) -> dict[str, Any]:
    """Return the smallest profile as plain values."""
    return {
        "name": "plain",
        "version": "1",
        "effective_from": "2020-01-01",
        "source": "test",
        "rows": [{"id": "all", "handle": {"workdays": 5}}],
        **changes,
    }


def said(name: str, clock: str, **key: str) -> str:
    """Return what a shipped profile says, as "amount unit"."""
    found = load(name).rule_for(ClockName(clock), **key)
    return f"{found[1].amount} {found[1].unit}" if found else "-"


# (profile, clock, type, urgency, source, class) -> what domain.md 2.3-2.6 says.
SOURCES = """
shandong         handle   咨询 一般 -       -        | 5 workdays
shandong         handle   举报 特急 -       -        | 5 workdays
shandong         return   投诉 一般 -       -        | 2 workdays
shandong         sign     投诉 一般 -       -        | -
shandong-complaint-line handle 投诉 一般 -  -        | 15 workdays
dalian           contact  投诉 一般 -       -        | 2 workdays
dalian           handle   咨询 一般 -       -        | 2 workdays
dalian           handle   求助 一般 -       -        | 20 workdays
dalian           handle   建议 一般 -       -        | 20 workdays
dalian           handle   投诉 一般 -       -        | 20 workdays
dalian           handle   举报 一般 -       -        | 20 workdays
xuzhou           handle   求助 紧急 -       -        | 0 days
xuzhou           handle   投诉 特急 -       -        | 0 days
xuzhou           handle   咨询 一般 -       即办     | 0 days
xuzhou           handle   求助 一般 -       即办     | 0 days
xuzhou           handle   投诉 一般 -       即办     | 15 workdays
xuzhou           handle   咨询 一般 -       -        | 5 workdays
xuzhou           handle   求助 一般 -       -        | 5 workdays
xuzhou           handle   建议 一般 -       -        | 15 workdays
xuzhou           handle   投诉 一般 -       -        | 15 workdays
xuzhou           return   投诉 一般 -       -        | 2 days
qinglong         sign     投诉 一般 -       -        | 2 hours
qinglong         handle   咨询 一般 -       -        | 1 days
qinglong         handle   求助 一般 -       -        | 5 days
qinglong         handle   建议 一般 -       -        | 5 days
qinglong         handle   举报 一般 -       -        | 10 days
qinglong         handle   投诉 一般 -       -        | 10 days
shanghai-street  handle   咨询 一般 -       -        | 1 workdays
shanghai-street  handle   建议 一般 -       -        | 1 workdays
shanghai-street  handle   求助 一般 -       -        | 5 workdays
shanghai-street  handle   投诉 一般 -       -        | 5 workdays
shanghai-street  handle   投诉 一般 -       督办     | 3 workdays
shanghai-street  handle   咨询 一般 -       重办     | 3 workdays
shanghai-street  handle   投诉 一般 -       疑难复杂 | 15 workdays
beijing          dispatch 求助 特急 -       -        | 1 hours
beijing          dispatch 求助 紧急 -       -        | 2 hours
beijing          dispatch 求助 一般 -       -        | 24 hours
beijing          handle   求助 特急 -       -        | 2 hours
beijing          handle   求助 紧急 -       -        | 24 hours
beijing          handle   求助 一般 -       -        | 7 days
beijing          handle   投诉 一般 -       疑难复杂 | 15 days
default          handle   求助 特急 -       -        | 2 hours
default          handle   求助 紧急 -       -        | 24 hours
default          handle   咨询 一般 -       -        | 2 workdays
default          handle   求助 一般 -       -        | 5 workdays
default          handle   建议 一般 -       -        | 5 workdays
default          handle   投诉 一般 -       -        | 10 workdays
default          handle   举报 一般 -       -        | 10 workdays
default          handle   投诉 一般 -       疑难复杂 | 15 workdays
default          handle   投诉 一般 省12345 -        | 3 workdays
default          handle   投诉 一般 市民热线 -       | 10 workdays
default          handle   投诉 一般 -       督办     | 3 workdays
default          handle   投诉 一般 -       重办     | 3 workdays
default          handle   投诉 特急 省12345 重办     | 2 hours
default          sign     投诉 特急 -       -        | 15 minutes
default          sign     投诉 紧急 -       -        | 30 minutes
default          sign     投诉 一般 -       -        | 1 workdays
default          return   投诉 一般 -       -        | 2 workdays
default          contact  投诉 特急 -       -        | -
"""


@pytest.mark.parametrize("line", SOURCES.strip().splitlines())
def test_a_shipped_profile_says_what_its_source_says(line: str) -> None:
    asked, _bar, expected = line.partition("|")
    name, clock, request_type, urgency, source, sla_class = asked.split()
    got = said(
        name,
        clock,
        request_type=request_type,
        urgency=urgency,
        source=source.strip("-"),
        sla_class=sla_class.strip("-"),
    )
    assert got == expected.strip()


def test_the_complete_profiles_are_shipped() -> None:
    wanted = {"beijing", "dalian", "default", "qinglong", "shandong", "shanghai-street", "xuzhou"}
    assert wanted <= set(available())


@pytest.mark.parametrize("name", available())
def test_a_shipped_profile_names_its_source_and_reads_back_equal(name: str) -> None:
    profile = load(name)
    assert profile.name == name
    assert profile.source
    assert profile.title
    stored = json.loads(json.dumps(profile.to_mapping(), ensure_ascii=False))
    assert Profile.from_mapping(stored) == profile


def test_only_dalian_style_and_calendar_day_profiles_end_at_midnight() -> None:
    ends = {name: load(name).day_end_minute for name in available()}
    assert ends == {
        "beijing": 1440,
        "dalian": 1440,
        "default": None,
        "qinglong": 1440,
        "shandong": None,
        "shandong-complaint-line": 1020,
        "shanghai-street": None,
        "xuzhou": None,
    }


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(UnknownProfile, match="default"):
        load("atlantis")


def test_a_file_must_carry_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'name="b"\nversion="1"\nsource="t"\neffective_from=2020-01-01\n[[rows]]\nid="all"\nhandle={workdays=1}\n'
    (tmp_path / "a.toml").write_text(text, encoding="utf-8")
    monkeypatch.setattr(profiles, "FOLDER", tmp_path)
    with pytest.raises(BadProfile, match="与文件名不符"):
        load("a")


def test_the_first_fitting_row_wins_clock_by_clock() -> None:
    profile = Profile.from_mapping(
        plain(
            rows=[
                {"id": "urgent", "urgency": ["紧急"], "handle": {"hours": 24}},
                {"id": "all", "handle": {"workdays": 5}, "sign": {"workdays": 1}},
            ]
        )
    )
    key = {"source": "", "request_type": "投诉", "urgency": "紧急", "sla_class": ""}
    handle, sign = profile.rule_for(ClockName.HANDLE, **key), profile.rule_for(ClockName.SIGN, **key)
    assert handle is not None
    assert sign is not None
    assert (handle[0].rule_id, sign[0].rule_id) == ("urgent", "all")
    assert profile.rule_for(ClockName.RETURN, **key) is None


def test_a_version_is_in_force_between_its_days() -> None:
    old = Profile.from_mapping(plain(version="1", effective_to="2025-12-31"))
    assert old.is_in_force(date(2025, 12, 31))
    assert not old.is_in_force(date(2026, 1, 1))
    assert not old.is_in_force(old.effective_from - timedelta(days=1))


def test_everyday_words_and_codes_mean_the_same() -> None:
    assert canonical("complaint") == "投诉"
    assert canonical(" 感谢 ") == "表扬"
    assert canonical("province") == "省12345"
    assert canonical("投诉") == "投诉"
    assert set(REQUEST_TYPES) == {"咨询", "求助", "投诉", "举报", "建议", "表扬", "其他"}


def test_a_name_that_no_row_names_makes_no_difference() -> None:
    assert load("default").names("省12345")
    assert load("default").names("督办")
    assert not load("dalian").names("督办")


@pytest.mark.parametrize(
    ("given", "limit"),
    [
        ({"workdays": 5}, Limit(5, Unit.WORKDAYS, Runs.WORKING, Starts.NEXT_DAY)),
        ({"days": 5}, Limit(5, Unit.DAYS, Runs.ALWAYS, Starts.NEXT_DAY)),
        ({"days": 0}, Limit(0, Unit.DAYS, Runs.ALWAYS, Starts.AT_ONCE)),
        ({"hours": 2}, Limit(2, Unit.HOURS, Runs.ALWAYS, Starts.AT_ONCE)),
        ({"minutes": 15}, Limit(15, Unit.MINUTES, Runs.ALWAYS, Starts.AT_ONCE)),
        (
            {"hours": 4, "calendar": "working", "starts": "next_day"},
            Limit(4, Unit.HOURS, Runs.WORKING, Starts.NEXT_DAY),
        ),
    ],
)
def test_a_limit_has_usual_values_and_writes_all_of_them_out(given: dict[str, Any], limit: Limit) -> None:
    assert Limit.from_mapping(given) == limit
    assert Limit.from_mapping(limit.to_mapping()) == limit
    assert set(limit.to_mapping()) == {limit.unit.value, "calendar", "starts"}


def row(**changes: Any) -> list[dict[str, Any]]:
    return [{"id": "all", "handle": {"workdays": 5}, **changes}]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"rows": []}, "没有任何规则"),
        ({"rows": "x"}, "没有任何规则"),
        ({"name": ""}, "缺少 name"),
        ({"version": " "}, "缺少 version"),
        ({"source": ""}, "缺少 source"),
        ({"effective_from": None}, "缺少 effective_from"),
        ({"effective_from": "soon"}, "应为日期"),
        ({"effective_to": "2019-01-01"}, "失效日期早于"),
        ({"colour": "red"}, "不认识的项目：colour"),
        ({"day_ends": "noon"}, "day_ends"),
        ({"day_ends": "17:xx"}, "day_ends"),
        ({"day_ends": "24:01"}, "不存在"),
        ({"day_ends": "17:60"}, "不存在"),
        ({"day_ends": "00:00"}, "不存在"),
        ({"rows": row(id="")}, "编号"),
        ({"rows": [{"id": "all"}]}, "没有写任何时限"),
        ({"rows": row(total={"workdays": 5})}, "不能直接写 total"),
        ({"rows": row(feedback={"workdays": 5})}, "不能直接写 feedback"),
        ({"rows": row(feedback_before_workdays=-1)}, "不小于 0"),
        ({"rows": row(feedback_before_workdays=True)}, "不小于 0"),
        ({"rows": row(type=["投拆"])}, "投拆"),
        ({"rows": row(type="投诉")}, "文字列表"),
        ({"rows": row(type=[1])}, "文字列表"),
        ({"rows": row(urgency=["急"])}, "急"),
        ({"rows": row(sla_class=["x"])}, "x"),
        ({"rows": row(colour="red")}, "规则 all 中有不认识的项目：colour"),
        ({"rows": row(handle={"workdays": 5, "days": 5})}, "规则 all 的 handle：时限须且只须写一个单位"),
        ({"rows": row(handle={})}, "只须写一个单位"),
        ({"rows": row(handle={"workdays": "5"})}, "不是整数"),
        ({"rows": row(handle={"workdays": True})}, "不是整数"),
        ({"rows": row(handle={"workdays": 0, "starts": "next_day"})}, "超出允许范围"),
        ({"rows": row(handle={"workdays": 1001})}, "超出允许范围"),
        ({"rows": row(handle={"minutes": 0})}, "超出允许范围"),
        ({"rows": row(handle={"workdays": -1})}, "超出允许范围"),
        ({"rows": row(handle={"workdays": 5, "calendar": "24x7"})}, "只能使用工作日历"),
        ({"rows": row(handle={"workdays": 5, "calendar": "moon"})}, "calendar 应为"),
        ({"rows": row(handle={"workdays": 5, "starts": "later"})}, "starts 应为"),
        ({"rows": row(handle={"workdays": 5, "colour": 1})}, "不认识的项目：colour"),
        ({"rows": [*row(), *row()]}, "编号 all 重复"),
        ({"rows": [*row(), {"id": "late", "type": ["投诉"], "handle": {"workdays": 1}}]}, "late 永远不会用到"),
        ({"rows": row(type=["投诉"])}, "没有规定“特急”的“咨询”"),
        ({"extension": 5}, "应为一组设置"),
        ({"extension": {"max_workdays": "x"}}, "extension.max_workdays"),
        ({"extension": {"further_by_higher_level": 1}}, "further_by_higher_level"),
        ({"extension": {"colour": 1}}, "不认识的项目：colour"),
        ({"extension": {"basis": 1}}, "extension.basis"),
        ({"suspension": {"kinds": {"鉴定": -1}}}, "鉴定"),
        ({"suspension": {"kinds": 7}}, "suspension.kinds"),
        ({"cards": {"yellow_workdays": -1}}, "cards.yellow_workdays"),
        ({"cards": {"short_percent": 101}}, "short_percent"),
    ],
)
def test_a_wrong_profile_is_refused_with_the_reason(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(BadProfile, match=match):
        Profile.from_mapping(plain(**changes))


def test_a_row_is_not_called_unreachable_when_it_limits_another_clock() -> None:
    rows = [*row(), {"id": "late", "type": ["投诉"], "handle": {"workdays": 1}, "sign": {"hours": 1}}]
    profile = Profile.from_mapping(plain(rows=rows))
    assert len(profile.rows) == 2
    narrower_first = [{"id": "one", "type": ["投诉"], "handle": {"workdays": 1}}, *row()]
    assert len(Profile.from_mapping(plain(rows=narrower_first)).rows) == 2


def test_toml_that_is_none_names_the_file() -> None:
    with pytest.raises(BadProfile, match=r"city\.toml 不是有效的 TOML"):
        Profile.from_toml("name = ", where="city.toml")
    with pytest.raises(BadProfile, match=r"city\.toml：时限档案没有任何规则"):
        Profile.from_toml('name = "x"', where="city.toml")
    with pytest.raises(BadProfile, match=r"^时限档案没有任何规则"):
        Profile.from_toml('name = "x"')


def test_settings_of_a_rule_are_read() -> None:
    profile = Profile.from_mapping(
        plain(
            effective_from=date(2020, 1, 1),
            extension={"max_workdays": 7, "further_by_higher_level": False, "basis": "x"},
            suspension={"max_workdays": 20, "kinds": {"鉴定": 60}},
            cards={"yellow_workdays": 2},
        )
    )
    assert (profile.extension.max_workdays, profile.extension.further_by_higher_level) == (7, False)
    assert profile.suspension.longest("鉴定") == 60
    assert profile.suspension.longest("") == 20
    assert profile.cards.yellow_workdays == 2


@pytest.mark.parametrize("broken", [{"rule_id": ""}, {"limits": {}}, {"feedback_before_workdays": -1}])
def test_a_row_made_by_hand_is_checked_too(broken: dict[str, Any]) -> None:
    values: dict[str, Any] = {"rule_id": "a", "limits": {ClockName.SIGN: Limit.from_mapping({"hours": 1})}}
    assert profiles.Row(**values).rule_id == "a"
    with pytest.raises(BadProfile):
        profiles.Row(**{**values, **broken})
