"""Messages for the classifier's tests, all written for them: three subjects, many voices, no two alike."""

from __future__ import annotations

from itertools import product

from classifier.learning import Example

_SAID = {
    "供水": (
        ("家里", "整栋楼", "我们单元", "三楼以上", "老小区", "村里"),
        (
            "停水两天了",
            "水龙头一滴水都没有",
            "水压太低洗不了澡",
            "自来水发黄有铁锈味",
            "水管爆了没人修",
            "水费突然多了一倍",
        ),
    ),
    "工资": (
        ("工地老板", "包工头", "餐馆经理", "服装厂", "保安公司", "物流公司"),
        (
            "拖欠工资三个月",
            "不给结算工钱",
            "加班费一分没有",
            "离职后押着工资不发",
            "让我们签空白劳动合同",
            "不给员工缴社保",
        ),
    ),
    "学校": (
        ("小学", "我家孩子的幼儿园", "县一中", "培训班", "实验初中", "住读学校"),
        ("周末强制补课还收费", "食堂饭菜是馊的", "老师当众辱骂学生", "学位不够要摇号", "退学不退学费", "作业写到半夜"),
    ),
}


def examples() -> list[Example]:
    """Return 36 messages for each of three labels."""
    found = []
    for label, (who, what) in _SAID.items():
        for at, (one, other) in enumerate(product(who, what)):
            title = other if at % 3 else ""
            body = f"{one}{other}，{('麻烦派人看看', '请问归谁管', '已经反映过几次', '大家都很着急')[at % 4]}。"
            found.append(Example(title=title, body=body, label=label))
    return found
