"""What the simple pages of administration consist of: lists with a form to add, and one thing to change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from hotline.web.turning import Turn

#: Rows of one page of a list that is read whole: a tree of units, of categories.
ROWS: Final = 50


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a list of this desk."""

    href: str
    cells: dict[str, Any]
    tone: str | None = None
    id: int = 0


@dataclass(frozen=True, kw_only=True)
class ListPage:
    """A list with a form to add to it."""

    rows: Sequence[Row]
    values: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, list[str]] = field(default_factory=dict)
    choices: dict[str, Sequence[tuple[Any, ...]]] = field(default_factory=dict)
    turn: Turn | None = None
    #: How many there are on all pages, where they were counted.
    total: int | None = None
    words: str = ""
    secret: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EditPage:
    """One thing to change."""

    key: str
    heading: str
    values: dict[str, Any]
    errors: dict[str, list[str]] = field(default_factory=dict)
    choices: dict[str, Sequence[tuple[Any, ...]]] = field(default_factory=dict)
