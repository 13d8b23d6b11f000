"""The tree of departments (domain.md 2.3: bureau or district, street, third-level handler); pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: City bureau or district, below it streets, below them handlers, and one level for what a city has in between.
MOST_LEVELS: Final = 4


def above(parents: Mapping[int, int | None], node: int) -> tuple[int, ...]:
    """Return everything above a node, nearest first; a circle in the data ends the walk."""
    found: list[int] = []
    at = parents.get(node)
    while at is not None and at not in found and at != node:
        found.append(at)
        at = parents.get(at)
    return tuple(found)


def height(parents: Mapping[int, int | None], node: int) -> int:
    """Return how many levels a node and what lies below it take: 1 for a node without children."""
    below: dict[int, list[int]] = {}
    for child, parent in parents.items():
        if parent is not None:
            below.setdefault(parent, []).append(child)
    level, here, seen = 1, [node], {node}
    while here := [child for one in here for child in below.get(one, ()) if child not in seen]:
        seen.update(here)
        level += 1
    return level


def problem(parents: Mapping[int, int | None], *, node: int | None, parent: int | None) -> str:
    """Return why a node (none: a new one) cannot stand below a parent, in words; empty when it can.

    `parents` holds each known node with what it stands below now.
    """
    if parent is None:
        return ""
    line = (parent, *above(parents, parent))
    if node is not None and node in line:
        return "上级单位不能是本单位或其下级。"
    levels = len(line) + (height(parents, node) if node is not None else 1)
    if levels > MOST_LEVELS:
        return f"承办单位最多 {MOST_LEVELS} 级，这样将有 {levels} 级。"
    return ""
