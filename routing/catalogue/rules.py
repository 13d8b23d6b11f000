"""Which row of the dispatch catalogue answers for a matter, and which rows can never answer; pure (domain.md 2.3).

The order of specificity, the first difference decides:

1. a row that names the service item before one that does not;
2. the deeper category, a row for any category last;
3. the deeper region, a row for the whole city last;
4. a row that names the request type before one that does not.

Two rows of one version never have the same four keys (the database refuses them), and the rows that fit one matter lie
on one line from leaf to root in each key; so for every matter exactly one row wins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

Parents = Mapping[int, int | None]
#: So many of each sort of finding are told; a catalogue with more is mended in turns.
MOST_FINDINGS: Final = 200


@dataclass(frozen=True, kw_only=True)
class Matter:
    """What is asked for; an empty key is not known."""

    category: int | None = None
    region: int | None = None
    request_type: str = ""
    service_item: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row as the rules need it; an empty key means "any", no lead means "whoever owns the place"."""

    id: int
    category: int | None = None
    region: int | None = None
    request_type: str = ""
    service_item: str = ""
    lead: int | None = None
    co_handlers: tuple[str, ...] = ()
    sla_class: str = ""
    basis: str = ""

    @property
    def key(self) -> tuple[str, int | None, int | None, str]:
        """What no other row of the same version shares, in the order of specificity."""
        return self.service_item, self.category, self.region, self.request_type


class Flaw(StrEnum):
    """What can be wrong with a row, or with a category that no row names."""

    CLOSED_LEAD = "closed_lead"
    CLOSED_CO_HANDLER = "closed_co_handler"
    RETIRED_CATEGORY = "retired_category"
    UNREACHABLE = "unreachable"
    CROSSING = "crossing"
    NO_OWNER = "no_owner"
    NO_ROW = "no_row"


#: These forbid publishing; the others are told and may be meant.
FATAL: Final = frozenset({Flaw.CLOSED_LEAD, Flaw.CLOSED_CO_HANDLER, Flaw.RETIRED_CATEGORY})


@dataclass(frozen=True, kw_only=True)
class Found:
    """One flaw: the row, for a crossing the other row, for a missing row the category."""

    flaw: Flaw
    row: int | None = None
    other: int | None = None
    category: int | None = None
    words: str = ""


@dataclass(frozen=True, kw_only=True)
class City:
    """What the rows speak of, in force today."""

    categories: Parents
    regions: Parents
    #: Categories that tickets are given: the leaves.
    leaves: frozenset[int]
    #: Ids of the departments that work and may have a ticket, and their codes.
    departments: frozenset[int]
    codes: frozenset[str]
    request_types: tuple[str, ...]
    #: Regions that have a fallback owner, themselves or above them.
    owned: frozenset[int]


def line(parents: Parents, node: int | None) -> tuple[int, ...]:
    """Return a node and everything above it, nearest first; nothing for none."""
    found: list[int] = []
    while node is not None and node not in found:
        found.append(node)
        node = parents.get(node)
    return tuple(found)


class Index:
    """The rows of one version, to be asked for one matter after the other."""

    def __init__(self, rows: Iterable[Row], *, categories: Parents, regions: Parents) -> None:
        """Take the rows and the two trees (child -> parent)."""
        self._rows = {row.key: row for row in rows}
        self._categories, self._regions = categories, regions

    def fitting(self, matter: Matter) -> Iterator[Row]:
        """Give the rows that fit a matter, the most specific first."""
        categories: tuple[int | None, ...] = (*line(self._categories, matter.category), None)
        regions: tuple[int | None, ...] = (*line(self._regions, matter.region), None)
        types = (matter.request_type, "") if matter.request_type else ("",)
        for item in (matter.service_item, "") if matter.service_item else ("",):
            for category in categories:
                for region in regions:
                    for request_type in types:
                        row = self._rows.get((item, category, region, request_type))
                        if row is not None:
                            yield row

    def best(self, matter: Matter, usable: Callable[[Row], bool] = lambda row: True) -> Row | None:  # noqa: ARG005 - every row is usable unless told
        """Return the row that answers for a matter: the most specific usable one, or nothing."""
        return next((row for row in self.fitting(matter) if usable(row)), None)


def findings(rows: Sequence[Row], city: City) -> list[Found]:
    """Return everything that is wrong or doubtful about the rows of one version, the fatal ones first."""
    index = Index(rows, categories=city.categories, regions=city.regions)
    found = [*_closed(rows, city), *_unreachable(rows, index, city), *_crossing(rows, city), *_uncovered(index, city)]
    return sorted(found, key=lambda one: (one.flaw not in FATAL, list(Flaw).index(one.flaw)))


def _closed(rows: Iterable[Row], city: City) -> Iterator[Found]:
    for row in rows:
        if row.lead is not None and row.lead not in city.departments:
            yield Found(flaw=Flaw.CLOSED_LEAD, row=row.id, words="主办单位已停用，或是基层承办单位。")
        for code in row.co_handlers:
            if code not in city.codes:
                words = f"协办单位 {code} 不存在、已停用或是基层承办单位。"
                yield Found(flaw=Flaw.CLOSED_CO_HANDLER, row=row.id, words=words)
        if row.category is not None and row.category not in city.categories:
            yield Found(flaw=Flaw.RETIRED_CATEGORY, row=row.id, words="事件类别已停用。")
        if row.lead is None and row.region is not None and row.region not in city.owned:
            yield Found(flaw=Flaw.NO_OWNER, row=row.id, words="属地办理，但所属区域没有兜底单位。")


def _unreachable(rows: Iterable[Row], index: Index, city: City) -> Iterator[Found]:
    """Give the rows that no matter can ever reach.

    It is enough to ask about matters whose region and service item are exactly the row's own: what names a smaller
    region or an item cannot take these away, and what could take these away takes the others too.
    """
    below: dict[int | None, list[int]] = {None: sorted(city.leaves)}
    for leaf in below[None]:
        for node in line(city.categories, leaf):
            below.setdefault(node, []).append(leaf)
    told = 0
    for row in rows:
        if row.category is not None and row.category not in city.categories:
            continue
        leaves = below.get(row.category, [])
        asked: list[int | None] = [*leaves, None] if row.category is None else list(leaves)
        types = (row.request_type,) if row.request_type else city.request_types
        reached = any(
            index.best(
                Matter(category=leaf, region=row.region, request_type=request_type, service_item=row.service_item)
            )
            is row
            for leaf in asked
            for request_type in types
        )
        if not reached and told < MOST_FINDINGS:
            told += 1
            yield Found(flaw=Flaw.UNREACHABLE, row=row.id, words="其范围内的诉求全部由更具体的条目承接，此条不会生效。")


def _crossing(rows: Sequence[Row], city: City) -> Iterator[Found]:
    """Give pairs of rows that fit the same matters though neither lies inside the other, and name different leads.

    The order of specificity decides between them; whoever edits should have seen it. A row that names a service item
    goes before all others on purpose, so only rows of one item, or of none, are compared.
    """
    narrow: dict[int | None, list[Row]] = {}
    for row in rows:
        if row.region is not None or row.request_type or row.service_item:
            narrow.setdefault(row.category, []).append(row)
    told = 0
    for one in rows:
        # Whoever wins by his category or a later key stands at or below the other's category.
        keys = (*line(city.categories, one.category), None)
        for other in (row for key in keys for row in narrow.get(key, ())):
            if one.service_item != other.service_item or one.lead == other.lead or told >= MOST_FINDINGS:
                continue
            ahead, behind = _compared(one, other, city)
            if ahead and behind and _leading_key_is_ones(one, other, city):
                told += 1
                yield Found(
                    flaw=Flaw.CROSSING,
                    row=one.id,
                    other=other.id,
                    words="两条都适用于同一部分诉求，按“事项、类别、区域、诉求类型”的次序由此条承接。",
                )


def _compared(one: Row, other: Row, city: City) -> tuple[bool, bool]:
    """Tell whether `one` is narrower in some key and wider in another; (False, False) when nothing fits both."""
    ahead = behind = False
    for mine, theirs in (
        (line(city.categories, one.category), line(city.categories, other.category)),
        (line(city.regions, one.region), line(city.regions, other.region)),
        ((one.request_type,) if one.request_type else (), (other.request_type,) if other.request_type else ()),
        ((one.service_item,) if one.service_item else (), (other.service_item,) if other.service_item else ()),
    ):
        if mine == theirs:
            continue
        if not theirs or (mine and theirs[0] in mine):
            ahead = True
        elif not mine or mine[0] in theirs:
            behind = True
        else:
            return False, False
    return ahead, behind


def _leading_key_is_ones(one: Row, other: Row, city: City) -> bool:
    return _depths(one, city) > _depths(other, city)


def _depths(row: Row, city: City) -> tuple[bool, int, int, bool]:
    return (
        bool(row.service_item),
        len(line(city.categories, row.category)),
        len(line(city.regions, row.region)),
        bool(row.request_type),
    )


def _uncovered(index: Index, city: City) -> Iterator[Found]:
    for leaf in sorted(city.leaves):
        if any(index.best(Matter(category=leaf, request_type=each)) is None for each in city.request_types):
            yield Found(flaw=Flaw.NO_ROW, category=leaf, words="没有适用于全市的条目，须由派单员判断。")
