"""Text as the model reads it: one form for many ways of writing, and where each character came from."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier import text


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("小区&nbsp;停水&amp;停电", "小区停水&停电"),
        ("第一行_x000D_\n\u3000\u3000第二行\u200b", "第一行第二行"),
        ("ＡＢ座１２号", "ab座0号"),
        ("電話打了三次都沒人接，請處理", "电话打了三次都没人接,请处理"),
        ("太吵了😡😡！！！", "太吵了!!!"),
        ("拨打13812345678或0731-88886666", "拨打0或0-0"),
        ("wuye不管，laji没人收", "物业不管,垃圾没人收"),
        ("", ""),
        ("\ud800坏字符", "坏字符"),
    ],
)
def test_many_ways_of_writing_become_one(written: str, read: str) -> None:
    assert text.normal(written) == read


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
@settings(max_examples=60, deadline=None)
def test_every_character_of_normal_text_knows_where_it_stood(written: str) -> None:
    found = text.aligned(written)
    assert found.text == text.normal(written)
    assert len(found.starts) == len(found.ends) == len(found.text)
    assert all(0 <= start < end <= len(written) for start, end in zip(found.starts, found.ends, strict=True))
    assert list(found.starts) == sorted(found.starts)


def test_a_text_without_anything_odd_is_read_the_fast_way_to_the_same_end() -> None:
    """Every character there is, between digits, blanks and letters."""
    for code in range(0x110000):
        written = text.folded(f"a{chr(code)}1 2{chr(code)}{chr(code)}b")
        assert text._bare(written) == text._ODD.sub(text._plain, written), hex(code)


@given(st.text(alphabet="停水 \n\u30000129٣&;#x_d\u200b😡\x00\x1c\ud800", max_size=40))
@settings(max_examples=200, deadline=None)
def test_mixtures_of_what_is_dropped_are_read_alike(written: str) -> None:
    assert text._bare(written) == text._ODD.sub(text._plain, written)


def test_no_telephone_number_reaches_the_model() -> None:
    assert not any(
        one.isdigit() and one != "0" for one in text.normal("卡号6222021234567890，电话１３９００００１１１１")
    )


def test_both_cutters_agree_word_for_word_without_new_word_guessing() -> None:
    fast, slow = text.rjieba_cut([]), text.jieba_cut([])
    for sentence in (
        "物业公司擅自提高停车费，业主多次反映无果",
        "我家楼下的烧烤店每天晚上油烟特别大,窗户都不敢开",
        "请问灵活就业人员的养老保险怎么转移接续?",
        "等等等等,太太太吵了,a座0栋",
    ):
        assert fast(sentence) == slow(sentence)


def test_both_cutters_learn_the_same_words_of_a_city() -> None:
    sentence = "云栖雅苑的电梯又坏了"
    assert "云栖雅苑" not in text.rjieba_cut([])(sentence)
    assert text.rjieba_cut(["云栖雅苑"])(sentence) == text.jieba_cut(["云栖雅苑"])(sentence)
    assert "云栖雅苑" in text.rjieba_cut(["云栖雅苑"])(sentence)


def test_a_citys_words_can_be_added_and_taken_back() -> None:
    text.use_dictionary(["翠微澜庭"])
    try:
        assert "翠微澜庭" in text.words("翠微澜庭停水了")
    finally:
        text.forget_dictionary()
    assert "翠微澜庭" not in text.words("翠微澜庭停水了")


def test_pieces_join_to_the_same_text() -> None:
    sentence = "你好,我要投诉...(很急)"
    pieces = text.cut(sentence)
    assert "".join(pieces) == sentence
    assert [sentence[at : at + len(piece)] for at, piece in zip(text.offsets(pieces), pieces, strict=True)] == pieces


def test_a_missing_title_is_the_opening_without_its_greetings() -> None:
    assert text.opening("尊敬的领导您好!我们小区停电了").startswith("我们小区停电了")
    assert text.opening("你好") == "你好"


def test_the_sign_of_traditional_text_holds_no_character_that_is_also_simplified() -> None:
    converter = text._converter()
    kept = [one for one in text._TRADITIONAL.pattern[1:-1] if converter.convert(one) == one]
    assert kept == []


def test_no_variant_is_a_word_of_its_own() -> None:
    """A wrong form that the dictionary knows as a good word would damage honest text."""
    table = tomllib.loads((text.LEXICONS / "variants.toml").read_text("utf-8"))["right"]
    wrongs = [wrong for forms in table.values() for wrong in forms]
    assert len(set(wrongs)) == len(wrongs)
    assert all(wrong not in table for wrong in wrongs)
    spelt_otherwise = {"天燃气", "身分证", "拉圾", "燥音", "幼儿圆"}  # in the dictionary, yet nothing but misspellings
    cut = text.rjieba_cut([])
    assert {wrong for wrong in wrongs if cut(wrong) == [wrong] and not wrong.isascii()} == spelt_otherwise
