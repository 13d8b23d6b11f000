"""One citizen is taken out of a text, however he is written, and nothing else of it goes."""

from __future__ import annotations

import pytest

from routing.answers.cutting import gives_away, without_citizen

CITIZEN = {"name": "王小明", "phone": "0412-5557001", "address": "东城区幸福路8号院3号楼2单元301"}


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("王小明家漏水", "【诉求人】家漏水"),
        ("王 小·明家漏水", "【诉求人】家漏水"),
        ("东城区幸福路8号院3号楼2单元301漏水", "【诉求人地址】漏水"),
        ("幸福路8号院 3号楼2单元 301漏水", "【诉求人地址】漏水"),
        ("2单元301漏水", "【诉求人地址】漏水"),
        ("3号楼2单元3012漏水", "3号楼2单元3012漏水"),
        ("幸福路8号院门口漏水", "幸福路8号院门口漏水"),
        ("座机555 7001或0412—5557001", "座机【手机号】或【手机号】"),
        ("我叫李建国，家住泽湖路3号楼502", "我叫【姓名】，家住【住址】"),
        ("电话幺三九零零零零幺二三四", "电话【手机号】"),
    ],
)
def test_what_is_his_goes_and_the_matter_stays(text: str, cut: str) -> None:
    assert without_citizen(text, CITIZEN) == cut


def test_beyond_the_length_of_a_concern_numbers_are_found_too() -> None:
    text = "路灯不亮。" * 2_000
    assert without_citizen(f"{text}13900001234", CITIZEN) == f"{text}【手机号】"


@pytest.mark.parametrize(
    ("text", "away"),
    [
        ("王小明您好", True),
        ("我们已到您家（2单元301）检修", True),
        ("已按5557001与您联系", True),
        ("幸福路8号院3号楼的管道已更换", False),
        ("咨询电话0412-5550000", False),
        ("", False),
    ],
)
def test_a_public_text_gives_him_away_by_name_number_or_household(text: str, *, away: bool) -> None:
    assert gives_away(text, CITIZEN) is away
    assert not gives_away(text, {"name": "王", "phone": "", "address": ""})
