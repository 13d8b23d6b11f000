"""Text is cleaned without losing words, and cut so that what was written is found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotline.core.text import clean, clean_line, quoted, search_words


@pytest.mark.parametrize(
    ("raw", "tidy"),
    [
        ("  路灯\u3000\u3000坏了 \t ", "路灯 坏了"),
        ("一\r\n二\r三", "一\n二\n三"),
        ("一\n\n\n\n\n二", "一\n\n二"),
        ("零\u200b宽\ufeff字\x00符\x07", "零宽字符"),
        ("反\u202e转", "反转"),
        ("_x000D_来电", "来电"),
        ("😀繁體字保留", "😀繁體字保留"),
        ("\ud800坏", "坏"),
    ],
)
def test_marks_nobody_sees_go_and_words_stay(raw: str, tidy: str) -> None:
    assert clean(raw) == tidy


@given(st.text(max_size=300))
def test_cleaning_twice_changes_nothing_more_and_the_database_can_hold_it(raw: str) -> None:
    tidy = clean(raw)
    assert clean(tidy) == tidy
    assert "\x00" not in tidy
    tidy.encode("utf-8")
    assert "\n" not in clean_line(raw)


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("幸福路的路灯坏了很久", "路灯"),
        ("第1号路灯不亮", "路灯"),
        ("龙鼎花园门口积水", "龙鼎"),
        ("小区楼下烧烤店油烟太大", "油烟"),
        ("ＡＢＣ公司拖欠工资", "abc"),
        ("拨打WiFi热线", "wifi"),
        ("五矿万境小区电梯", "万境"),
    ],
)
def test_a_word_inside_running_text_is_found(text: str, asked: str) -> None:
    assert set(search_words(asked)) <= set(search_words(text))


def test_words_that_are_not_there_are_not_found() -> None:
    assert not set(search_words("噪音")) <= set(search_words("幸福路的路灯坏了很久"))


@given(st.text(max_size=120))
def test_a_text_is_found_by_itself_and_words_are_distinct(text: str) -> None:
    words = search_words(text)
    assert len(words) == len(set(words))
    assert all(word.strip() for word in words)


def test_a_quoted_word_survives_quotes_and_backslashes() -> None:
    assert quoted("o'neil\\") == "'o''neil\\\\'"


def test_a_very_long_text_gives_a_bounded_number_of_words() -> None:
    assert len(search_words("".join(chr(0x4E00 + n % 8000) for n in range(20_000)))) == 4_000
