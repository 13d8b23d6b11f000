"""What the city has before anybody works there: regions, departments, the tree of matters, service items."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy.orm import Session

from classifier.seeds import Leaf, Seeds
from hotline.demo.data import City
from hotline.tickets.models import Category, Region, ServiceItem
from hotline.tickets.vocabulary import Urgency
from routing.models import Department

#: The tree of matters has at most so many levels (domain.md 1.3).
DEEPEST: Final = 5


@dataclass(frozen=True, kw_only=True)
class Places:
    """The ids that the catalogue got, by code; and the names of the service items."""

    regions: Mapping[str, int]
    departments: Mapping[str, int]
    categories: Mapping[str, int]
    service_items: Mapping[str, str]


def load_catalogue(session: Session, city: City, corpus: Seeds) -> Places:
    """Write what a city has before anybody works there: regions, departments and the tree of matters."""
    return Places(
        regions=_regions(session, city),
        departments=_departments(session, city),
        categories=_categories(session, corpus),
        service_items=_service_items(session, city),
    )


def _service_items(session: Session, city: City) -> dict[str, str]:
    """Write the public service items; names by code."""
    session.add_all(ServiceItem(code=one.code, name=one.name, department=one.department) for one in city.service_items)
    session.flush()  # tickets name them
    return {item.code: item.name for item in city.service_items}


def _regions(session: Session, city: City) -> dict[str, int]:
    """Write the regions, level by level from the top."""
    found: dict[str, int] = {}
    for level in range(1, 5):
        rows = [
            Region(
                code=region.code,
                name=region.name,
                path=" / ".join(each.name for each in city.path(region.code)),
                parent_id=found.get(region.parent),
                level=region.level,
                aliases=list(region.aliases),
            )
            for region in city.regions
            if region.level == level
        ]
        found |= _written(session, rows)
    return found


def _departments(session: Session, city: City) -> dict[str, int]:
    """Write the departments, those above first."""
    found: dict[str, int] = {}
    while len(found) < len(city.departments):
        rows = [
            Department(
                code=department.code,
                name=department.name,
                short_name=department.short_name,
                kind=department.kind,
                parent_id=found.get(department.parent),
                region_code=department.region,
                duty_phone=department.duty_phone,
            )
            for department in city.departments
            if department.code not in found and (not department.parent or department.parent in found)
        ]
        found |= _written(session, rows)
    return found


def _categories(session: Session, corpus: Seeds) -> dict[str, int]:
    """Write the category tree of the seed corpus: its inner nodes, and each leaf under its own code."""
    codes = inner_codes(corpus.leaves)
    found: dict[str, int] = {}
    for level in range(1, DEEPEST + 1):
        inner = [
            Category(code=code, name=path[-1], path=" / ".join(path), level=level, parent_id=_above(path, codes, found))
            for path, code in codes.items()
            if len(path) == level
        ]
        leaves = [
            Category(
                code=leaf.code,
                name=leaf.name,
                path=" / ".join(leaf.path),
                level=level,
                parent_id=_above(leaf.path, codes, found),
                definition=leaf.definition,
                lead=leaf.lead,
                assist=list(leaf.assist),
                urgency=Urgency(leaf.urgency),
            )
            for leaf in corpus.leaves
            if len(leaf.path) == level
        ]
        found |= _written(session, [*inner, *leaves])
    return found


def _above(path: tuple[str, ...], codes: Mapping[tuple[str, ...], str], found: Mapping[str, int]) -> int | None:
    return found[codes[path[:-1]]] if len(path) > 1 else None


def _written(session: Session, rows: Sequence[Region] | Sequence[Department] | Sequence[Category]) -> dict[str, int]:
    """Write rows that do not lean on one another and return their ids by code."""
    session.add_all(rows)
    session.flush()  # those below need the ids
    return {row.code: row.id for row in rows}


def inner_codes(leaves: Iterable[Leaf]) -> dict[tuple[str, ...], str]:
    """Return a stable code for every inner node of the tree, by its path.

    The first level has the leaves' two letters (`CJ`), a lower one the letters and digits that its first leaf begins
    with (`CJ-01`); where two nodes would share a code, the later one gets a letter more (`CJ-01A`).
    """
    codes: dict[tuple[str, ...], str] = {}
    taken: set[str] = set()
    for leaf in leaves:
        for depth in range(1, len(leaf.path)):
            path = leaf.path[:depth]
            if path in codes:
                continue
            base = leaf.code[:2] if depth == 1 else leaf.code[:5]
            code = next(code for code in (base, *(base + chr(at) for at in range(65, 91))) if code not in taken)
            codes[path] = code
            taken.add(code)
    return codes
