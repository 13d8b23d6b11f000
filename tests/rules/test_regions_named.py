"""Which region the names of a text stand for: sure, doubtful, and never guessed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from routing.catalogue.rules import line
from routing.catalogue.territory import Candidate, Located, decide_region, short_names

#: 1 the city; 2 and 3 districts; 21, 22, 31 streets; 211 a community.
PARENTS = {1: None, 2: 1, 3: 1, 21: 2, 22: 2, 31: 3, 211: 21}


def test_one_name_of_one_place_is_sure_and_the_deepest_of_a_line_counts() -> None:
    assert decide_region(PARENTS, [(21,)]) == (21, [])
    assert decide_region(PARENTS, [(2,), (211,), (21,)]) == (211, [])


def test_a_name_that_stands_in_two_districts_is_asked_about_unless_another_name_decides() -> None:
    assert decide_region(PARENTS, [(21, 31)]) == (None, [21, 31])
    assert decide_region(PARENTS, [(21, 31), (3,)]) == (31, [])
    assert decide_region(PARENTS, [(21, 31), (211,)]) == (211, [])
    assert decide_region(PARENTS, [(21, 31), (1,)]) == (None, [21, 31])


def test_names_that_contradict_one_another_are_asked_about() -> None:
    assert decide_region(PARENTS, [(21,), (31,)]) == (None, [21, 31])
    assert decide_region(PARENTS, [(21,), (22,)]) == (None, [21, 22])


@given(
    named=st.lists(
        st.lists(st.sampled_from(sorted(PARENTS)), min_size=1, max_size=3, unique=True).map(tuple),
        min_size=1,
        max_size=4,
    )
)
def test_what_is_sure_agrees_with_every_name_and_what_is_asked_was_named(named: list[tuple[int, ...]]) -> None:
    sure, asked = decide_region(PARENTS, named)
    readings = {region for regions in named for region in regions}
    if sure is not None:
        assert asked == []
        for regions in named:
            assert any(one in line(PARENTS, sure) or sure in line(PARENTS, one) for one in regions)
    else:
        assert len(asked) > 1
        assert set(asked) <= readings
        assert not any(one != other and one in line(PARENTS, other) for one in asked for other in asked)
    assert decide_region(PARENTS, list(reversed(named))) == (sure, asked)


def test_people_say_a_street_without_its_office() -> None:
    assert short_names("文昌街道") == ("文昌街",)
    assert short_names("书院街社区") == ("书院街",)
    assert short_names("柳荫社区") == ()
    assert short_names("北苑区") == ()


def test_only_what_is_open_needs_a_reason() -> None:
    one = Candidate(region_id=1, code="1", path="北苑区", words="人民路")
    other = Candidate(region_id=2, code="2", path="东泽区", words="人民路")
    assert Located(sure=one).reason == ""
    assert Located().reason == ""
    assert Located(doubtful=(one, other)).reason == "“人民路”可能在 2 个区域，请核实。"
    assert Located(sure=one).candidates == (one,)
