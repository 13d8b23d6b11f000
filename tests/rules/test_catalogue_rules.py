"""The dispatch catalogue as a pure decision: one row wins for every matter, by the stated order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from routing.catalogue import tree
from routing.catalogue.rules import City, Flaw, Index, Matter, Row, findings, line

#: 1 > 11 > 111; 2 > 21, and the city 1 > districts 2, 3 > streets 21, 31.
CATEGORIES = {1: None, 11: 1, 111: 11, 12: 1, 2: None, 21: 2}
REGIONS = {1: None, 2: 1, 3: 1, 21: 2, 31: 3}
TYPES = ("咨询", "投诉")


def city(**given: object) -> City:
    values = {
        "categories": CATEGORIES,
        "regions": REGIONS,
        "leaves": frozenset({111, 12, 21}),
        "departments": frozenset(range(1, 10)),
        "codes": frozenset({"a", "b", "district"}),
        "request_types": TYPES,
        "owned": frozenset({2, 21}),
        **given,
    }
    return City(**values)  # type: ignore[arg-type]


def index(*rows: Row) -> Index:
    return Index(rows, categories=CATEGORIES, regions=REGIONS)


matters = st.builds(
    Matter,
    category=st.sampled_from([None, *CATEGORIES]),
    region=st.sampled_from([None, *REGIONS]),
    request_type=st.sampled_from(["", *TYPES]),
    service_item=st.sampled_from(["", "过户"]),
)


@st.composite
def editions(draw: st.DrawFn) -> list[Row]:
    keys = draw(
        st.lists(
            st.tuples(
                st.sampled_from([None, *CATEGORIES]),
                st.sampled_from([None, *REGIONS]),
                st.sampled_from(["", *TYPES]),
                st.sampled_from(["", "过户"]),
                st.sampled_from([None, 1, 2, 3]),
            ),
            unique_by=lambda key: key[:4],
            max_size=12,
        )
    )
    return [
        Row(id=at, category=category, region=region, request_type=kind, service_item=item, lead=lead)
        for at, (category, region, kind, item, lead) in enumerate(keys, 1)
    ]


def fits(row: Row, matter: Matter) -> bool:
    return (
        (row.category is None or row.category in line(CATEGORIES, matter.category))
        and (row.region is None or row.region in line(REGIONS, matter.region))
        and row.request_type in {"", matter.request_type}
        and row.service_item in {"", matter.service_item}
    )


def rank(row: Row) -> tuple[bool, int, int, bool]:
    """The order that the docs state: item, depth of category, depth of region, type."""
    return (
        bool(row.service_item),
        len(line(CATEGORIES, row.category)),
        len(line(REGIONS, row.region)),
        bool(row.request_type),
    )


@given(rows=editions(), matter=matters)
def test_the_best_row_is_the_fitting_one_of_the_highest_rank_and_there_is_never_a_tie(
    rows: list[Row], matter: Matter
) -> None:
    fitting = [row for row in rows if fits(row, matter)]
    ranks = [rank(row) for row in fitting]
    assert len(set(ranks)) == len(ranks)
    best = index(*rows).best(matter)
    assert best == (max(fitting, key=rank) if fitting else None)
    assert list(index(*rows).fitting(matter)) == sorted(fitting, key=rank, reverse=True)


@given(rows=editions(), matter=matters)
def test_the_order_of_the_rows_changes_nothing(rows: list[Row], matter: Matter) -> None:
    assert index(*rows).best(matter) == index(*reversed(rows)).best(matter)


@given(rows=editions())
def test_a_row_is_called_unreachable_exactly_when_no_matter_of_a_leaf_reaches_it(rows: list[Row]) -> None:
    asked = [
        Matter(category=leaf, region=region, request_type=kind, service_item=item)
        for leaf in (111, 12, 21, None)
        for region in (None, *REGIONS)
        for kind in TYPES
        for item in ("", "过户", "另一项")
    ]
    reached = {best.id for matter in asked if (best := index(*rows).best(matter)) is not None}
    told = {one.row for one in findings(rows, city()) if one.flaw is Flaw.UNREACHABLE}
    assert told == {row.id for row in rows} - reached


@given(rows=editions())
def test_a_crossing_names_two_rows_that_share_a_matter_and_of_which_the_first_wins(rows: list[Row]) -> None:
    by_id = {row.id: row for row in rows}
    for one in findings(rows, city()):
        if one.flaw is not Flaw.CROSSING:
            continue
        first, second = by_id[one.row or 0], by_id[one.other or 0]
        deepest = max((first, second), key=lambda row: len(line(CATEGORIES, row.category))).category
        region = max((first, second), key=lambda row: len(line(REGIONS, row.region))).region
        matter = Matter(
            category=deepest,
            region=region,
            request_type=first.request_type or second.request_type,
            service_item=first.service_item or second.service_item,
        )
        assert fits(first, matter)
        assert fits(second, matter)
        assert rank(first) > rank(second)
        assert first.lead != second.lead


def narrower(mine: tuple[object, ...], theirs: tuple[object, ...]) -> bool:
    """Tell whether the first key (as its line, nearest first) lies in the second."""
    return not theirs or (bool(mine) and theirs[0] in mine)


def keys(row: Row) -> list[tuple[object, ...]]:
    return [
        line(CATEGORIES, row.category),
        line(REGIONS, row.region),
        (row.request_type,) if row.request_type else (),
        (row.service_item,) if row.service_item else (),
    ]


@given(rows=editions())
def test_every_crossing_is_told_and_nothing_else(rows: list[Row]) -> None:
    expected = set()
    for one in rows:
        for other in rows:
            sides = [(narrower(a, b), narrower(b, a)) for a, b in zip(keys(one), keys(other), strict=True)]
            meet = all(inside or around for inside, around in sides)
            one_in_other, other_in_one = all(inside for inside, _ in sides), all(around for _, around in sides)
            if one.service_item != other.service_item:
                continue  # an item goes first on purpose
            if meet and not one_in_other and not other_in_one and one.lead != other.lead and rank(one) > rank(other):
                expected.add((one.id, other.id))
    assert {(one.row, one.other) for one in findings(rows, city()) if one.flaw is Flaw.CROSSING} == expected


def test_a_service_item_goes_before_a_category_and_a_category_before_a_region() -> None:
    item = Row(id=1, service_item="过户", lead=1)
    category = Row(id=2, category=111, lead=2)
    region = Row(id=3, category=11, region=21, request_type="投诉", lead=3)
    rows = index(item, category, region)
    assert rows.best(Matter(category=111, region=21, request_type="投诉", service_item="过户")) == item
    assert rows.best(Matter(category=111, region=21, request_type="投诉")) == category
    assert rows.best(Matter(category=11, region=21, request_type="投诉")) == region
    assert rows.best(Matter(category=2)) is None


def test_rows_that_lead_nowhere_are_told_before_what_is_only_doubtful() -> None:
    rows = [
        Row(id=1, category=11, lead=99),
        Row(id=2, category=12, lead=1, co_handlers=("gone",)),
        Row(id=3, category=77, lead=1),
        Row(id=4, category=21, region=3),
        Row(id=5, lead=2),
    ]
    found = findings(rows, city())
    assert [(one.flaw, one.row) for one in found] == [
        (Flaw.CLOSED_LEAD, 1),
        (Flaw.CLOSED_CO_HANDLER, 2),
        (Flaw.RETIRED_CATEGORY, 3),
        (Flaw.NO_OWNER, 4),
    ]
    assert [one.category for one in findings(rows[:1], city()) if one.flaw is Flaw.NO_ROW] == [12, 21]


def test_what_stands_below_itself_or_too_deep_is_refused_in_words() -> None:
    parents = {1: None, 2: 1, 3: 2, 4: 3, 5: None, 6: 5}
    assert tree.problem(parents, node=1, parent=4) == "上级单位不能是本单位或其下级。"
    assert tree.problem(parents, node=1, parent=1) == "上级单位不能是本单位或其下级。"
    assert tree.problem(parents, node=None, parent=4) == "承办单位最多 4 级，这样将有 5 级。"
    assert tree.problem(parents, node=5, parent=3) == "承办单位最多 4 级，这样将有 5 级。"
    assert tree.problem(parents, node=5, parent=2) == ""
    assert tree.problem(parents, node=None, parent=3) == ""
    assert tree.problem(parents, node=3, parent=None) == ""


@given(parents=st.dictionaries(st.integers(1, 8), st.one_of(st.none(), st.integers(1, 8))), node=st.integers(1, 8))
def test_a_damaged_tree_is_walked_to_an_end(parents: dict[int, int | None], node: int) -> None:
    assert len(tree.above(parents, node)) <= len(parents)
    assert 1 <= tree.height(parents, node) <= len(parents) + 1
