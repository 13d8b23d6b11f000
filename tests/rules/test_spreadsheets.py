"""What leaves us in a table can be opened by anybody without running anything."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotline.core.spreadsheets import plain_cell, safe_cell

STARTERS = "=+-@\t\r\n＝＋－＠"


@pytest.mark.parametrize(
    "text",
    [
        '=HYPERLINK("http://x.example","点这里")',
        "+8613900001234",
        "-1+1",
        "@SUM(A1)",
        "\t=1+1",
        "\r=1+1",
        "\n=1+1",
        "  =1+1",
        "　=1+1",
        "＝１＋１",
        "'=1+1",
    ],
)
def test_a_text_that_begins_like_a_formula_is_marked_as_text(text: str) -> None:
    assert safe_cell(text) == f"'{text}"
    assert plain_cell(f"'{text}") == text


@pytest.mark.parametrize("text", ["", "路灯不亮", "1=2", "a-b", "'引号'", "'", "2026-10-08"])
def test_an_ordinary_text_stays_as_it_is(text: str) -> None:
    assert safe_cell(text) == text
    assert plain_cell(text) == text


def test_a_number_stays_a_number_also_below_zero() -> None:
    assert safe_cell(-5) == -5
    assert safe_cell(-0.5) == -0.5
    assert safe_cell(value=True) is True


def test_an_instant_is_written_as_china_reads_it_and_nothing_as_nothing() -> None:
    assert safe_cell(datetime(2026, 10, 8, 16, 30, tzinfo=UTC)) == "2026-10-09 00:30:00"
    assert safe_cell(date(2026, 10, 8)) == "2026-10-08"
    assert safe_cell(None) == ""
    with pytest.raises(ValueError, match="without a zone"):
        safe_cell(datetime(2026, 10, 8))  # noqa: DTZ001 - that it has none is the point


@given(st.text())
def test_no_text_leaves_with_a_formula_in_front_and_every_text_comes_back(text: str) -> None:
    written = safe_cell(text)
    assert isinstance(written, str)
    assert written.lstrip(" \u3000")[:1] not in STARTERS or not written.strip()
    assert plain_cell(written) == text
