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
OF_A_TYPE: Final = RowInForce(published_at=PUBLISHED, names_type=True)


@pytest.mark.parametrize(
    ("same_category", "same_region", "same_type", "ruled_at", "row", "leads"),
    [
        # Nothing is laid down but the ruling.
        (True, False, False, EARLIER, None, True),
        (False, True, True, LATER, None, False),
        # The later word goes first; at the very instant of publication the edition stands.
        (True, False, False, LATER, CITY_WIDE, True),
        (True, False, False, EARLIER, CITY_WIDE, False),
        (True, True, True, EARLIER, CITY_WIDE, False),
        (True, True, True, PUBLISHED, CITY_WIDE, False),
        # What is near in words only is no word on this category.
        (False, True, True, LATER, CITY_WIDE, False),
        # A row for a place gives way to a ruling from that place and to no other.
        (True, True, False, LATER, OF_A_PLACE, True),
        (True, False, True, LATER, OF_A_PLACE, False),
        # A row for a service item is narrower than any ruling.
        (True, True, True, LATER, OF_AN_ITEM, False),
        # A row for a request type gives way to a ruling that names the type and to no other.
        (True, True, True, LATER, OF_A_TYPE, True),
        (True, True, False, LATER, OF_A_TYPE, False),
    ],
)
def test_the_later_word_goes_first_and_a_narrower_row_stays_ahead(
    *, same_category: bool, same_region: bool, same_type: bool, ruled_at: datetime, row: RowInForce | None, leads: bool
) -> None:
    found = precedent_leads(
        same_category=same_category, same_region=same_region, same_type=same_type, ruled_at=ruled_at, row=row
    )
    assert found is leads


@pytest.mark.parametrize(
    ("territorial", "same_category", "alike", "same_region", "same_type", "why"),
    [
        (False, True, False, False, None, "同一事件类别"),
        (False, True, True, True, None, "同一事件类别、同一区域、内容相近"),
        (False, False, True, False, None, "内容相近"),
        (False, False, False, True, None, ""),
        (True, True, True, False, None, ""),
        (True, True, False, True, None, "同一事件类别、同一区域"),
        # One that names a type is cited for that type, says so, and is silent on every other.
        (False, True, False, True, True, "同一事件类别、同一区域、同一诉求类型"),
        (False, True, True, True, False, ""),
        (False, False, False, False, True, ""),
    ],
)
def test_a_precedent_says_why_it_speaks_and_one_for_a_place_or_a_type_speaks_only_there(
    *, territorial: bool, same_category: bool, alike: bool, same_region: bool, same_type: bool | None, why: str
) -> None:
    found = precedent_fits(
        territorial=territorial,
        same_category=same_category,
        alike=alike,
        same_region=same_region,
        same_type=same_type,
    )
    assert found == why


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
