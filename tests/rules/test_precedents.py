"""How a precedent weighs against the catalogue: the later word first, a narrower row always ahead."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import pytest

from routing.duty.precedents import lies_in
from routing.duty.rules import RowInForce, precedent_fits, precedent_leads

PUBLISHED: Final = datetime(2026, 9, 1, 9, tzinfo=ZoneInfo("Asia/Shanghai"))
LATER, EARLIER = PUBLISHED + timedelta(days=1), PUBLISHED - timedelta(days=1)
CITY_WIDE: Final = RowInForce(published_at=PUBLISHED)
OF_A_PLACE: Final = RowInForce(published_at=PUBLISHED, names_region=True)
OF_AN_ITEM: Final = RowInForce(published_at=PUBLISHED, names_item=True)


@pytest.mark.parametrize(
    ("same_category", "same_region", "ruled_at", "row", "leads"),
    [
        # Nothing is laid down but the ruling.
        (True, False, EARLIER, None, True),
        (False, True, LATER, None, False),
        # The later word goes first; at the very instant of publication the edition stands.
        (True, False, LATER, CITY_WIDE, True),
        (True, False, EARLIER, CITY_WIDE, False),
        (True, True, EARLIER, CITY_WIDE, False),
        (True, True, PUBLISHED, CITY_WIDE, False),
        # What is near in words only is no word on this category.
        (False, True, LATER, CITY_WIDE, False),
        # A row for a place gives way to a ruling from that place and to no other.
        (True, True, LATER, OF_A_PLACE, True),
        (True, False, LATER, OF_A_PLACE, False),
        # A row for a service item is narrower than any ruling.
        (True, True, LATER, OF_AN_ITEM, False),
    ],
)
def test_the_later_word_goes_first_and_a_narrower_row_stays_ahead(
    *, same_category: bool, same_region: bool, ruled_at: datetime, row: RowInForce | None, leads: bool
) -> None:
    found = precedent_leads(same_category=same_category, same_region=same_region, ruled_at=ruled_at, row=row)
    assert found is leads


@pytest.mark.parametrize(
    ("territorial", "same_category", "alike", "same_region", "why"),
    [
        (False, True, False, False, "同一事件类别"),
        (False, True, True, True, "同一事件类别、同一区域"),
        (False, False, True, False, "内容相近"),
        (False, False, False, True, ""),
        (True, True, True, False, ""),
        (True, True, False, True, "同一事件类别、同一区域"),
    ],
)
def test_a_precedent_says_why_it_speaks_and_one_for_a_place_speaks_only_there(
    *, territorial: bool, same_category: bool, alike: bool, same_region: bool, why: str
) -> None:
    assert (
        precedent_fits(territorial=territorial, same_category=same_category, alike=alike, same_region=same_region)
        == why
    )


@pytest.mark.parametrize(
    ("path", "place", "inside"),
    [
        ("望川市 / 北苑区", "望川市 / 北苑区", True),
        ("望川市 / 北苑区 / 文昌街道", "望川市 / 北苑区", True),
        ("望川市 / 北苑区", "望川市 / 北苑区 / 文昌街道", False),
        ("望川市 / 北苑区二", "望川市 / 北苑区", False),
    ],
)
def test_a_community_lies_in_its_street_and_not_the_other_way_round(*, path: str, place: str, inside: bool) -> None:
    assert lies_in(path, place) is inside
