"""The links by which a list is turned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from flask import request, url_for


class Found(Protocol):
    """A page of rows as a read returns it; a cursor is empty where there is nothing beyond."""

    @property
    def next_cursor(self) -> str:
        """Where the next page begins."""

    @property
    def previous_cursor(self) -> str:
        """Where the previous page ends."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Where to turn to: 下一页, 上一页, 首页; none where there is nothing."""

    next: str | None
    previous: str | None
    first: str | None


def turn(found: Found, *, cursor: str, endpoint: str = "", **kept: str | int | None) -> Turn:
    """Return the links of the list that was asked for; `kept` stays in its address, `cursor` is what was asked with.

    A list that is also shown when a form beside it is refused names its own `endpoint`.
    """
    name = endpoint or request.endpoint or ""

    def here(at: str | None) -> str:
        return url_for(name, **kept, cursor=at)  # type: ignore[arg-type] # names of the query

    return Turn(
        next=here(found.next_cursor) if found.next_cursor else None,
        previous=here(found.previous_cursor) if found.previous_cursor else None,
        first=here(None) if cursor else None,
    )
