"""`hotline deadline`: the promised JSON, the words, and one sentence with exit code 2 for every bad option."""

# One case is one line, however long its sentence is.
# ruff: noqa: E501

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from click.testing import CliRunner

from hotline.cli import main
from hotline.cli.deadline import deadline

USUAL = {"--profile": "default", "--type": "投诉", "--urgency": "一般", "--start": "2026-10-09T16:40"}


def run(*extra: str, **changed: str | None) -> tuple[int, str, str]:
    """Run the command with the usual options, some of them changed or left out."""
    options = USUAL | {f"--{name.replace('_', '-')}": value for name, value in changed.items()}
    words = [word for name, value in options.items() if value is not None for word in (name, value)]
    result = CliRunner().invoke(deadline, [*words, *extra])
    return result.exit_code, result.stdout, result.stderr


def asked(*extra: str, **changed: str | None) -> dict[str, Any]:
    """Return the JSON answer."""
    code, out, err = run(*extra, "--json", **changed)
    assert (code, err) == (0, ""), err
    answer: dict[str, Any] = json.loads(out)
    return answer


def due(answer: dict[str, Any], name: str = "handle") -> str:
    """Return when one clock of an answer ends, in local time."""
    found: str = next(clock["due_local"] for clock in answer["clocks"] if clock["name"] == name)
    return found


def test_the_keys_of_the_answer_are_those_promised() -> None:
    answer = asked(now="2026-10-10T10:00")
    assert list(answer) == [
        *("profile", "version", "type", "urgency", "source", "sla_class", "start", "start_local"),
        *("clocks", "cards", "confirmed", "confirmed_until", "warnings", "at_now"),
    ]
    assert [list(clock) for clock in answer["clocks"]] == [
        ["name", "label", "limit", "rule", "started", "started_local", "due", "due_local", "confirmed", "steps"]
    ] * len(answer["clocks"])
    assert set(answer["clocks"][0]["limit"]) == {"amount", "unit", "calendar", "starts", "before", "text"}
    assert {key for clock in answer["clocks"] for step in clock["steps"] for key in step} == {"code", "text", "params"}
    assert list(answer["cards"]) == [
        "clock",
        "yellow_from",
        "yellow_from_local",
        "red_from",
        "red_from_local",
    ]
    assert list(answer["at_now"]) == [
        "now",
        "now_local",
        "card",
        "overdue",
        "confirmed_days_ahead",
        "calendar_alarm",
    ]
    assert "at_now" not in asked()


def test_the_answer_of_a_plain_question() -> None:
    answer = asked()
    assert (answer["profile"], answer["version"], answer["type"], answer["urgency"]) == (
        "default",
        "2026.1",
        "投诉",
        "一般",
    )
    assert (answer["start"], answer["start_local"]) == ("2026-10-09T08:40:00+00:00", "2026-10-09T16:40:00+08:00")
    handle = next(clock for clock in answer["clocks"] if clock["name"] == "handle")
    assert (handle["due"], handle["due_local"]) == ("2026-10-22T10:00:00+00:00", "2026-10-22T18:00:00+08:00")
    assert handle["limit"] == {
        "amount": 10,
        "unit": "workdays",
        "calendar": "working",
        "starts": "next_day",
        "before": None,
        "text": "10 个工作日",
    }
    assert handle["steps"][3]["text"] == "10月10日（周六）为调休工作日，计入第1个工作日"
    assert answer["cards"]["yellow_from_local"] == "2026-10-21T18:00:00+08:00"
    assert answer["cards"]["red_from_local"] == "2026-10-23T09:00:00+08:00"
    assert answer["confirmed"] is True
    assert answer["warnings"] == []


CASES = [
    pytest.param([], {"type": "咨询", "start": "2026-10-08T16:40"}, "2026-10-10T18:00", id="two days over a make-up Saturday"),
    pytest.param(["--calendar-override", "2026-10-10=rest"], {}, "2026-10-23T18:00", id="a unit that rests on it"),
    pytest.param(["--calendar-override", "2026-10-11=work", "--calendar-override", "2026-10-12=rest"], {}, "2026-10-22T18:00", id="two overrides"),
    pytest.param(["--calendar-override", "2026-10-22=09:00-12:00"], {}, "2026-10-22T12:00", id="a half day at the end"),
    pytest.param(["--suspend", "2026-10-12/2026-10-14"], {}, "2026-10-27T18:00", id="dates include their last day"),
    pytest.param(["--suspend", "2026-10-12T09:00/2026-10-14T18:00"], {}, "2026-10-27T18:00", id="the same with hours"),
    pytest.param(["--suspend", "2026-10-12T01:00Z/2026-10-14T10:00Z"], {}, "2026-10-27T18:00", id="the same in UTC"),
    pytest.param(["--suspend", "2026-10-12/2026-10-13", "--suspend", "2026-10-13/2026-10-14"], {}, "2026-10-27T18:00", id="the same as two that overlap"),
    pytest.param(["--suspend", "2026-10-12/"], {}, "2026-12-03T18:00", id="an open one ends after thirty working days"),
    pytest.param(["--suspend", "2026-10-12//等待当事人材料"], {}, "2026-11-05T18:00", id="an open one for papers after ten"),
    pytest.param(["--extend", "5"], {}, "2026-10-29T18:00", id="an extension"),
    pytest.param(["--extend", "5", "--now", "2026-10-22T18:00"], {}, "2026-10-29T18:00", id="an extension asked in the last minute"),
    pytest.param(["--extend", "5", "--now", "2026-12-01T10:00", "--extend-asked", "2026-10-22"], {}, "2026-10-29T18:00", id="an extension asked in time, looked at later"),
    pytest.param(["--redispatch", "2026-10-12T10:00"], {}, "2026-10-26T18:00", id="an accepted return"),
    pytest.param(["--hours", "08:30-11:30,13:30-17:00"], {}, "2026-10-22T17:00", id="other hours"),
    pytest.param(["--source", "省12345"], {}, "2026-10-13T18:00", id="a feed from the province"),
    pytest.param(["--sla-class", "重办"], {}, "2026-10-13T18:00", id="rework"),
    pytest.param([], {"urgency": "特急", "start": "2026-10-01T23:30"}, "2026-10-02T01:30", id="an emergency over midnight"),
    pytest.param([], {"urgency": None}, "2026-10-22T18:00", id="without an urgency it is an ordinary one"),
    pytest.param([], {"start": "2026-10-09 16:40"}, "2026-10-22T18:00", id="a blank instead of the T"),
    pytest.param([], {"start": "2026-10-09T08:40:00Z"}, "2026-10-22T18:00", id="a start in UTC"),
    pytest.param([], {"profile": "dalian"}, "2026-11-05T23:59:59", id="Dalian ends at midnight"),
]  # fmt: skip


@pytest.mark.parametrize(("extra", "changed", "expected"), CASES)
def test_questions_and_their_answers(extra: list[str], changed: dict[str, str | None], expected: str) -> None:
    answer = asked(*extra, **changed)
    assert due(answer).startswith(expected)


def test_an_accepted_return_leaves_the_citizens_total_alone() -> None:
    answer = asked("--redispatch", "2026-10-12T10:00")
    assert due(answer, "total") == "2026-10-22T18:00:00+08:00"


def test_the_dispatch_clock_starts_with_the_registration() -> None:
    assert due(asked(), "dispatch") == "2026-10-10T16:40:00+08:00"
    assert due(asked(registered="2026-10-09T09:00"), "dispatch") == "2026-10-10T09:00:00+08:00"


def test_past_the_last_notice_the_answer_is_flagged() -> None:
    answer = asked(start="2026-12-25T10:00")
    assert answer["confirmed"] is False
    assert {clock["name"]: clock["confirmed"] for clock in answer["clocks"]} == {
        "dispatch": True,
        "sign": True,
        "contact": True,
        "return": True,
        "handle": False,
        "total": False,
    }


@pytest.mark.parametrize(
    ("now", "card", "overdue", "alarm"),
    [
        ("2026-10-09T17:00", "none", [], False),
        ("2026-10-21T18:00", "yellow", ["dispatch", "sign", "contact", "return"], False),
        ("2026-10-22T18:01", "yellow", ["dispatch", "sign", "contact", "return", "handle", "total"], False),
        ("2026-11-23T09:00", "red", ["dispatch", "sign", "contact", "return", "handle", "total"], True),
    ],
)
def test_now_tells_the_card_and_what_is_late(now: str, card: str, overdue: list[str], *, alarm: bool) -> None:
    state = asked(now=now)["at_now"]
    assert (state["card"], state["overdue"], state["calendar_alarm"]) == (card, overdue, alarm)


def test_names_that_make_no_difference_are_pointed_out() -> None:
    assert asked(profile="dalian", source="省12345", sla_class="督办")["warnings"] == [
        "档案 dalian 没有单列来源“省12345”，按一般规则计算。",
        "档案 dalian 没有单列时限类别“督办”，按一般规则计算。",
    ]
    assert asked(start="2026-10-09")["warnings"] == ["--start 只写了日期，按当日 00:00 计算。"]
    assert asked(source="省12345")["warnings"] == []


def test_a_pause_that_comes_too_late_is_pointed_out() -> None:
    answer = asked("--suspend", "2026-10-23/2026-10-26")
    assert due(answer) == "2026-10-22T18:00:00+08:00"
    assert answer["warnings"] == ["--suspend：自 2026-10-23（周五）00:00 的暂停开始时已经到期，不影响到期。"]


def test_a_second_extension_by_a_higher_level_adds_to_the_first() -> None:
    assert due(asked("--extend", "5", "--extend", "3", "--higher-level")) == "2026-11-03T18:00:00+08:00"


def test_what_is_left_over_on_the_line_is_told_in_one_sentence() -> None:
    result = CliRunner().invoke(deadline, ["--json", "--start", "2026-10-09", "16:40"])
    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"]["message"].startswith("多余的参数")
    assert CliRunner().invoke(deadline, ["--start"]).exit_code == 2


def test_the_words_for_a_person() -> None:
    code, out, err = run("--now", "2026-10-22T18:01", source="蓝鸟")
    assert (code, err) == (0, "")
    assert "办理时限（10 个工作日）：2026-10-22（周四）18:00" in out
    assert "  4. 10月10日（周六）为调休工作日，计入第1个工作日" in out
    assert "黄牌自 2026-10-21（周三）18:00，红牌自 2026-10-23（周五）09:00" in out
    assert "此刻：黄牌；已超期：派单时限、签收时限、联系诉求人时限、退单期限、办理时限、对诉求人的总时限" in out
    assert "注意：档案 default 没有单列来源“蓝鸟”，按一般规则计算。" in out
    assert "已超期：无" in run("--now", "2026-10-09T17:00")[1]
    assert "此刻" not in run()[1]
    assert "反馈时限（办理时限到期前 1 个工作日）" in run(profile="xuzhou")[1]


BAD = [
    pytest.param([], {"profile": None}, "--profile：必须填写", id="no profile"),
    pytest.param([], {"profile": "atlantis"}, "--profile：没有名为“atlantis”", id="no such profile"),
    pytest.param([], {"profile": "../default"}, "--profile：没有名为", id="a path for a profile"),
    pytest.param([], {"type": None}, "--type：必须填写", id="no type"),
    pytest.param([], {"type": "投拆"}, "--type：没有“投拆”，可用的有：咨询", id="no such type"),
    pytest.param([], {"urgency": "急"}, "--urgency：没有“急”", id="no such urgency"),
    pytest.param([], {"urgency": ""}, "--urgency：没有“”", id="an empty urgency"),
    pytest.param(["--sla-class", "难"], {}, "--sla-class：没有“难”，可用的有：疑难复杂、督办", id="no such class"),
    pytest.param([], {"start": None}, "--start：必须填写", id="no start"),
    pytest.param([], {"start": "yesterday"}, "--start：“yesterday”不是有效时间", id="a start that is none"),
    pytest.param([], {"start": "2026-02-30T10:00"}, "--start：“2026-02-30T10:00”不是有效时间", id="30 February"),
    pytest.param([], {"start": "2026-13-01"}, "--start：", id="the thirteenth month"),
    pytest.param([], {"start": "9999-12-31T23:59Z"}, "--start：“9999-12-31T23:59Z”不是有效时间", id="the end of time"),
    pytest.param([], {"start": "0001-01-01T00:00"}, "--start：“0001-01-01T00:00”不是有效时间", id="the beginning of time"),
    pytest.param([], {"start": "2019-12-31T10:00"}, "--start：时限档案 default 自 2020-01-01 起生效", id="before the profile"),
    pytest.param([], {"start": "2099-01-01T10:00"}, "--start：日历“全国法定日历”不包含 2099-01-01", id="after the calendar"),
    pytest.param([], {"start": "2036-12-30T10:00"}, "--start：日历“全国法定日历”不包含", id="running out of the calendar"),
    pytest.param(["--registered", "2026-10-10T10:00"], {}, "--registered：登记时间不能晚于", id="registered after the dispatch"),
    pytest.param(["--now", "x"], {}, "--now：“x”不是有效时间", id="a now that is none"),
    pytest.param(["--suspend", "2026-10-12"], {}, "--suspend：“2026-10-12”应写作 FROM/TO", id="a suspension without an end"),
    pytest.param(["--suspend", "x/2026-10-12"], {}, "--suspend：“x”不是有效时间", id="a suspension from nowhere"),
    pytest.param(["--suspend", "2026-10-14/2026-10-12"], {}, "--suspend：暂停的结束时间", id="a suspension backwards"),
    pytest.param(["--suspend", "2026-10-01/2026-10-07"], {}, "--suspend：“2026-10-01/2026-10-07”在派单之前就已结束", id="a suspension before the dispatch"),
    pytest.param(["--suspend", "2026-10-12/2027-02-01"], {}, "--suspend：暂停最长 30 个工作日", id="a suspension that is too long"),
    pytest.param(["--suspend", "2026-10-12/2026-10-30/等待当事人材料"], {}, "--suspend：暂停最长 10 个工作日", id="too long for its kind"),
    pytest.param(["--suspend", "2026-10-12/2026-10-13/吃饭"], {}, "--suspend：没有“吃饭”这种暂停事由", id="no such kind"),
    pytest.param(["--extend", "x"], {}, "--extend：“x”不是整数", id="an extension that is no number"),
    pytest.param(["--extend", "2.5"], {}, "--extend：“2.5”不是整数", id="half days of extension"),
    pytest.param(["--extend", "0"], {}, "--extend：延期须至少为 1", id="no extension at all"),
    pytest.param(["--extend", "11"], {}, "--extend：每次延期最多 10 个工作日", id="an extension that is too long"),
    pytest.param(["--extend", "5", "--now", "2026-10-22T18:01"], {}, "--extend：办理时限已于2026-10-22（周四）18:00届满", id="an extension asked after due"),
    pytest.param(["--extend", "5", "--extend-asked", "2026-10-09T10:00"], {}, "--extend：延期申请时间", id="an extension asked before the dispatch"),
    pytest.param(["--redispatch", "2026-10-09T10:00"], {}, "--redispatch：改派时间", id="another unit before the first"),
    pytest.param(["--calendar-override", "2026-10-10"], {}, "--calendar-override：", id="an override without a value"),
    pytest.param(["--calendar-override", "2026-10-10=maybe"], {}, "--calendar-override：“maybe”不是工作时段", id="an override that says nothing"),
    pytest.param(["--calendar-override", "2026-10-10=rest", "--calendar-override", "2026-10-10=work"], {}, "--calendar-override：2026-10-10", id="overrides that contradict"),
    pytest.param(["--calendar-override", "1999-10-10=rest"], {}, "--calendar-override：日历", id="an override outside the calendar"),
    pytest.param(["--extend", "5", "--extend", "3"], {}, "--extend：延期最多 1 次，已用完，再次延期须经上级批准", id="a second extension"),
    pytest.param(["--extend", "5", "--extend", "3", "--higher-level"], {"profile": "shandong"}, "--extend：延期最多 1 次，已用完。", id="a second extension where no level may"),
    pytest.param(["--extend", "-3"], {}, "--extend：延期须至少为 1", id="a negative extension"),
    pytest.param(["--extned", "3"], {}, "--extned：没有这个选项", id="an option that is none"),
    pytest.param([], {"start": "2009-06-01T10:00", "profile": "xuzhou"}, "--start：时限档案 xuzhou 自 2015-01-01 起生效", id="long before the calendar"),
    pytest.param(["--suspend", "2037-01-01/2037-01-02"], {}, "--suspend：日历“全国法定日历”不包含", id="a suspension outside the calendar"),
    pytest.param(["--hours", "18:00-09:00"], {}, "--hours：", id="hours backwards"),
    pytest.param(["--hours", "09:00-12:00,11:00-13:00"], {}, "--hours：", id="hours that overlap"),
]  # fmt: skip


@pytest.mark.parametrize(("extra", "changed", "sentence"), BAD)
def test_a_bad_option_is_told_in_one_sentence(extra: list[str], changed: dict[str, str | None], sentence: str) -> None:
    code, out, err = run(*extra, "--json", **changed)
    assert code == 2
    told = json.loads(out)["error"]
    assert (told["code"], told["message"]) == ("bad_option", err.removeprefix("错误：").rstrip("\n"))
    assert told["option"] == sentence.partition("：")[0]
    assert (run(*extra, **changed)[0], run(*extra, **changed)[1]) == (2, "")
    assert err.startswith(f"错误：{sentence}")
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_the_command_hangs_in_the_tree_and_reads_no_clock() -> None:
    words = [word for pair in USUAL.items() for word in pair]
    first = CliRunner().invoke(main, ["deadline", *words, "--json"])
    assert first.exit_code == 0, first.output
    assert re.search(r'"due_local": "2026-10-22T18:00:00\+08:00"', first.stdout)
    assert CliRunner().invoke(main, ["deadline", *words, "--type", "x"]).exit_code == 2
