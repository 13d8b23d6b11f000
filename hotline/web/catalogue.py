"""The categories, regions and departments to choose from, read once in a while and not for every page.

They change a few times a year and are needed by every query bar. A process remembers them for half a minute, so a new
department stands in the query's list half a minute late at most; what is *done* with a choice is always checked by the
action against the database.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from flask import current_app

from hotline.tickets.queries import CategoryNode, RegionNode, categories, regions
from hotline.web.gate import db
from routing.queries import DepartmentNode, departments

REMEMBERED_S: Final = 30.0
_reading = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """What there is to choose from, in the order of its codes."""

    categories: Sequence[CategoryNode]
    regions: Sequence[RegionNode]
    departments: Sequence[DepartmentNode]

    def category_options(self) -> list[tuple[str, str]]:
        """Return each category with its whole path: a branch stands for everything below it."""
        return [(str(node.id), node.path) for node in self.categories]

    def region_options(self) -> list[tuple[str, str]]:
        """Return each region with its whole path."""
        return [(str(node.id), node.path) for node in self.regions]

    def department_options(self) -> list[tuple[str, str]]:
        """Return each department by name."""
        return [(str(node.id), node.name) for node in self.departments]


def catalogue() -> Catalogue:
    """Return what there is to choose from, at most half a minute old; not to be called inside a session."""
    with _reading:
        known: tuple[float, Catalogue] | None = current_app.extensions.get("catalogue")
        if known is None or time.monotonic() - known[0] >= REMEMBERED_S:
            with db().read() as session:
                fresh = Catalogue(
                    categories=categories(session), regions=regions(session), departments=departments(session)
                )
            known = current_app.extensions["catalogue"] = (time.monotonic(), fresh)
        return known[1]
