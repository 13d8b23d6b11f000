"""Lists turn both ways and end where they end, whatever stands in the address."""

from __future__ import annotations

import base64

import pytest

from hotline.core.errors import Invalid
from hotline.core.paging import Stretch, among, parse_keys, parse_name

WORDS = [f"翠微{n:02}号院" for n in range(7)]


def named(words: list[str], cursor: str) -> Stretch[str]:
    """Return a page of three."""
    return among(words, cursor=cursor, limit=3, key=lambda word: word)


def test_a_list_is_turned_to_its_end_and_back_to_its_beginning() -> None:
    first = named(WORDS, "")
    second = named(WORDS, first.next_cursor)
    third = named(WORDS, second.next_cursor)
    assert [first.rows, second.rows, third.rows] == [WORDS[:3], WORDS[3:6], WORDS[6:]]
    assert (first.previous_cursor, third.next_cursor) == ("", "")
    back = named(WORDS, third.previous_cursor)
    assert back.rows == second.rows
    home = named(WORDS, back.previous_cursor)
    assert home.rows == first.rows
    assert (home.previous_cursor, bool(home.next_cursor)) == ("", True)


def test_a_row_that_has_gone_begins_the_list_anew() -> None:
    onward = named(WORDS, "").next_cursor
    assert named([word for word in WORDS if word != WORDS[2]], onward).rows == [*WORDS[:2], WORDS[3]]


def cursor_of(words: str) -> str:
    """Return words in the dress of a cursor."""
    return base64.urlsafe_b64encode(words.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    ["!", "a", "翻页", cursor_of("n"), cursor_of("n|"), cursor_of("x|1"), cursor_of("n|a\x00b"), cursor_of("")],
)
def test_a_cursor_that_is_not_ours_is_refused_by_field(cursor: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_name(cursor or "!")
    assert list(refused.value.fields) == ["cursor"]


@pytest.mark.parametrize("named_keys", ["n|1", "n|1|2|3", "n|1|x", "n|-1|2", f"n|1|{2**53}"])
def test_a_pair_is_two_whole_numbers_that_a_column_can_hold(named_keys: str) -> None:
    with pytest.raises(Invalid):
        parse_keys(cursor_of(named_keys), 2)
