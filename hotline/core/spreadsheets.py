"""Cells that a spreadsheet program must not run: what begins like a formula is written as text (CWE-1236)."""

from __future__ import annotations

from datetime import date, datetime
from typing import Final

from hotline.core.clock import local

#: With these a spreadsheet program takes a cell for a formula; the full-width forms too where the language is Chinese.
_STARTERS: Final = frozenset("=+-@\t\r\n＝＋－＠")
#: Put in front of a text, it makes every spreadsheet program show the rest as it stands.
_MARK: Final = "'"
Cell = str | int | float | bool | date | datetime | None


def safe_cell(value: Cell) -> str | int | float | bool:
    """Return what may stand in a cell of a file that we hand out.

    A text that begins like a formula, blanks or an earlier mark aside, gets an apostrophe in front and so stays the
    text that somebody wrote. Numbers stay numbers, an instant becomes local time, nothing becomes an empty text.
    """
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{local(value):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str) and _begins_like_a_formula(value):
        return _MARK + value
    return value


def plain_cell(value: str) -> str:
    """Return the text that `safe_cell` was given: the inverse, for a file of ours that comes back."""
    if value.startswith(_MARK) and _begins_like_a_formula(value[1:]):
        return value[1:]
    return value


def _begins_like_a_formula(value: str) -> bool:
    bare = value.lstrip(" \u00a0\u3000\ufeff" + _MARK)
    return bare[:1] in _STARTERS if bare else False
