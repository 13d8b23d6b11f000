"""Urgency, risk, mood, places and personal data by word lists."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from classifier import personal
from classifier.gazetteer import Gazetteer, Place
from classifier.signals import Risk, Signals, Urgency, lexicon_of

SIGNALS = Signals.shipped()


@pytest.mark.parametrize(
    ("said", "risks"),
    [
        ("楼上有人拿刀砍人，快来救命", {Risk.LIFE}),
        ("再不给我们工资我就从塔吊上跳楼", {Risk.SELF_HARM}),
        ("明天几百户业主要去拉横幅堵路", {Risk.GROUP}),
        ("楼道里存放汽油桶，还有很多煤气罐", {Risk.DANGEROUS_GOODS}),
        ("村主任优亲厚友，套取补贴", {Risk.DISCIPLINE}),
        ("老师体罚学生，还扇耳光", {Risk.MINORS}),
        ("商场打出跳楼价，买的衣服不给退", set()),
        ("电瓶车轮胎漏气了，修车铺乱收费", set()),
        ("社区组织了一次火灾演练，很好", set()),
        ("幸好没有起火，只是线路老化", set()),
        ("请问居住证怎么办理", set()),
    ],
)
def test_risks_are_seen_and_idioms_are_not(said: str, risks: set[Risk]) -> None:
    assert {flag.risk for flag in SIGNALS.read("", said).risks} == risks


def test_a_flag_points_at_its_words_in_the_original() -> None:
    said = "　　我　真的 不想活 了"
    (flag,) = SIGNALS.read("", said).risks
    assert said[flag.start : flag.end] == flag.text == "不想活"


@pytest.mark.parametrize(
    ("said", "level"),
    [
        ("我妈被困在电梯里，快派人", "特急"),
        ("整栋楼停水两天了", "紧急"),
        ("怎么申请公租房", "一般"),
        ("请问停水计划在哪里查询停水通知", "一般"),
    ],
)
def test_urgency_follows_the_words(said: str, level: str) -> None:
    assert SIGNALS.read("", said).urgency.level == level


def test_a_feared_danger_is_shown_but_not_of_the_highest_urgency() -> None:
    feared, real = SIGNALS.read("", "消防通道停满车，一旦起火后果不堪设想"), SIGNALS.read("", "三楼起火了，浓烟很大")
    assert [(flag.text, flag.supposed) for flag in feared.risks] == [("起火", True)]
    assert [(flag.text, flag.supposed) for flag in real.risks] == [("起火", False)]
    assert (feared.urgency.level, real.urgency.level) == ("一般", "特急")


def test_some_needs_are_urgent_only_at_night() -> None:
    said = "工地还在施工，孩子睡不着"
    day, night = datetime(2026, 5, 1, 14, tzinfo=UTC), datetime(2026, 5, 1, 23, tzinfo=UTC)
    assert SIGNALS.read("", said, at=day).urgency.level == "一般"
    assert SIGNALS.read("", said, at=night).urgency.level == "紧急"


def test_urgency_is_only_ever_raised() -> None:
    assert Urgency(level="特急").at_least("一般").level == "特急"
    assert Urgency().at_least("紧急").level == "紧急"
    assert Urgency().at_least("").level == "一般"


def test_thanks_and_fury_stand_on_either_side_of_nought() -> None:
    thanks = SIGNALS.read("", "司机师傅拾金不昧，我要送锦旗，非常感谢").sentiment.score
    plain = SIGNALS.read("", "请问公积金提取需要什么材料").sentiment.score
    fury = SIGNALS.read("", "无良物业欺人太甚，还有没有王法！！！气死了").sentiment.score
    assert thanks > 0.4 > plain == 0 > -0.4 > fury


def test_a_city_may_add_words_of_its_own() -> None:
    own = lexicon_of({"group": []}, name="risks", extra=["group_event|去鼓楼广场集合"])
    signals = Signals(risks=own, urgency=own, sentiment=own)
    assert [flag.risk for flag in signals._flags({"body": "大家去鼓楼广场集合"}, {"body": "大家去鼓楼广场集合"})] == [
        Risk.GROUP
    ]


PLACES = (
    Place(code="1", name="临江区", kind="district"),
    Place(code="2", name="望岳区", kind="district"),
    Place(code="11", name="和平路", kind="road", parent="1"),
    Place(code="21", name="和平路", kind="road", parent="2"),
    Place(code="12", name="云栖雅苑", kind="estate", parent="1", aliases=("云栖苑",)),
    Place(code="13", name="光明", kind="community", parent="1"),
)


def test_the_longest_name_wins_and_an_alias_counts() -> None:
    found = Gazetteer(PLACES).find("云栖苑门口和云栖雅苑里面")
    assert [(one.code, one.text, one.doubtful) for one in found] == [("12", "云栖苑", False), ("12", "云栖雅苑", False)]


def test_a_namesake_is_settled_by_its_surroundings_or_flagged() -> None:
    gazetteer = Gazetteer(PLACES)
    assert [(one.code, one.doubtful) for one in gazetteer.find("望岳区和平路积水")] == [("2", False), ("21", False)]
    assert [one.doubtful for one in gazetteer.find("和平路积水")] == [True]


def test_an_everyday_word_is_a_doubtful_place() -> None:
    assert [one.doubtful for one in Gazetteer(PLACES).find("希望能看到光明")] == [True]


def test_without_rows_no_place_is_found() -> None:
    assert Gazetteer(()).find("任何地方") == ()


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("我叫王小明，电话13812345678", [("name", "王小明"), ("phone", "13812345678")]),
        ("我是欧阳静，家住幸福路12号3栋502", [("name", "欧阳静"), ("address", "幸福路12号3栋502")]),
        ("联系人：李雷，微信同号", [("name", "李雷")]),
        ("免贵姓赵", [("name", "赵")]),
        ("我是业主，住在本小区很多年", []),
        ("我是高中生家长，反映食堂问题", []),
        ("车牌湘A12345长期占道", [("plate", "湘A12345")]),
    ],
)
def test_people_who_introduce_themselves_are_found(said: str, found: list[tuple[str, str]]) -> None:
    assert [(span.kind, span.text) for span in personal.find(said)] == found


def test_redacted_text_holds_neither_name_nor_number_nor_home() -> None:
    assert personal.redact("我叫王小明，家住幸福路12号3栋502，电话13812345678。") == (
        "我叫【姓名】，家住【住址】，电话【手机号】。"
    )


def test_a_flooding_text_is_read_only_so_far() -> None:
    assert len(SIGNALS.read("", "起火了" * 6000).risks) == 500
