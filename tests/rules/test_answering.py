"""What is worth a second look before an answer leaves (domain.md 2.9)."""

from __future__ import annotations

import pytest

from routing.answers.doubts import Doubt, alike, doubts

CONCERN = "幸福路路灯不亮\n幸福路门前的路灯已经坏了一个多星期，晚上走路看不清，请派人来修。"
NOTE = "值班组到场，更换驱动电源两只，材料从仓库领用。"
GOOD = "您反映的幸福路路灯不亮，我们今天下午换了两盏灯的电源，晚上已经亮灯，如再熄灭可直接拨打养护电话。"


def asked(answer: str, *, note: str = NOTE, contacted: bool = True) -> tuple[Doubt, ...]:
    return doubts(concern=CONCERN, internal_note=note, public_answer=answer, contacted=contacted)


def test_a_plain_answer_to_the_matter_raises_no_doubt() -> None:
    assert asked(GOOD) == ()


def test_nobody_has_spoken_with_the_citizen() -> None:
    assert asked(GOOD, contacted=False) == (Doubt.NOT_CONTACTED,)


def test_the_public_answer_repeats_the_internal_note() -> None:
    assert asked(GOOD, note=GOOD + "已归档。") == (Doubt.SAME_AS_NOTE,)


@pytest.mark.parametrize(
    "words",
    [
        "您好，您反映的问题已收悉，我单位高度重视，将认真核实处理，感谢您的理解与支持。",
        "尊敬的市民您好，您反映的情况已转交相关部门办理，请您谅解，祝您生活愉快！",
        "按照相关规定，依法依规处理，下一步将持续关注，特此答复。",
    ],
)
def test_an_answer_of_stock_phrases_says_nothing(words: str) -> None:
    assert asked(words) == (Doubt.TEMPLATE,)


def test_an_answer_about_something_else_is_off_the_matter() -> None:
    other = "供暖管网压力不足，热力公司昨天更换了循环泵，五号楼室温恢复到二十度，后续每周回测一次。"
    assert asked(other) == (Doubt.OFF_THE_MATTER,)


def test_a_piece_taken_out_of_the_note_or_of_the_concern_is_a_copy() -> None:
    note = (
        f"{GOOD}另请街道在年底前把同类设施排查一遍，台账报区里备案，排查情况纳入月度通报，逾期未报的单位在例会上说明。"
    )
    assert doubts(concern="路灯坏了", internal_note=note, public_answer=GOOD, contacted=True)[0] is Doubt.SAME_AS_NOTE
    assert Doubt.COPIED in doubts(concern=note, internal_note="已办", public_answer=GOOD, contacted=True)


def test_alike_is_nothing_for_empty_texts_and_all_for_the_same() -> None:
    assert alike("", "") == 0.0
    assert alike(GOOD, GOOD) == 1.0
