"""How lists turn a page by keyset in both directions.

A cursor names the row at the edge of a page: by two whole numbers (a time or a rank, and an id), or by one key that
stands in the list once (an id, a login, a word).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import BigInteger, Select, literal, tuple_
from sqlalchemy.orm import Session

from hotline.core.errors import Invalid

_R = TypeVar("_R")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
#: Bigger than any id, and than the microseconds of any year that we shall see.
_MOST_KEY: Final = 2**53


def microseconds(at: datetime) -> int:
    """Return an instant as a whole number for a cursor."""
    return (at - _EPOCH) // _MICROSECOND


def instant(key: int) -> datetime:
    """Return the instant that `microseconds` made a number of."""
    return _EPOCH + key * _MICROSECOND


@dataclass(frozen=True)
class Stretch(Generic[_R]):
    """One page of a list that is turned by keyset, and the cursors of the next and the previous one (or empty)."""

    rows: Sequence[_R] = ()
    next_cursor: str = ""
    previous_cursor: str = ""


def turned(found: list[_R], limit: int, *, backwards: bool, started: bool, name: Callable[[_R], str]) -> Stretch[_R]:
    """Return the rows of the page in order, with the cursors of the next and the previous one."""
    more, rows = len(found) > limit, found[:limit]
    if backwards:
        rows.reverse()
    if not rows:
        return Stretch(rows)
    has_next, has_previous = (True, more) if backwards else (more, started)
    return Stretch(
        rows,
        _cursor("n", name(rows[-1])) if has_next else "",
        _cursor("p", name(rows[0])) if has_previous else "",
    )


def by_time(
    session: Session,
    query: Select[Any],
    *,
    at: Any,  # noqa: ANN401 - a column of the query
    number: Any,  # noqa: ANN401 - as above
    newest_first: bool = False,
    cursor: str,
    limit: int,
    made: Callable[..., _R],
    key: Callable[[_R], tuple[datetime, int]],
) -> Stretch[_R]:
    """Read one page in the order of a time and an id, with the cursors of the next and the previous page.

    `made` makes a row of what the query yields, `key` tells its time and id. Raises `Invalid` on a cursor not ours.
    """
    backwards, pair = parse_pair(cursor)
    rising = newest_first == backwards
    if pair is not None:
        place, here = tuple_(at, number), tuple_(literal(instant(pair[0])), literal(pair[1], BigInteger))
        query = query.where(place > here if rising else place < here)
    order = (at, number) if rising else (at.desc(), number.desc())
    found = [made(*row) for row in session.execute(query.order_by(*order).limit(limit + 1))]

    def name(row: _R) -> str:
        moment, row_id = key(row)
        return f"{microseconds(moment)}|{row_id}"

    return turned(found, limit, backwards=backwards, started=bool(cursor), name=name)


def by_key(
    session: Session,
    query: Select[*tuple[Any, ...]],
    *,
    column: Any,  # noqa: ANN401 - a column of the query
    newest_first: bool = False,
    cursor: str,
    limit: int,
    made: Callable[..., _R],
    key: Callable[[_R], str | int],
) -> Stretch[_R]:
    """Read one page in the order of a column that is unique in the list: an id, or words such as a login.

    `made` makes a row of what the query yields, `key` tells its key. Raises `Invalid` on a cursor not ours.
    """
    backwards, name = parse_name(cursor)
    rising = newest_first == backwards
    if name is not None:
        numbered = column.type.python_type is int
        place = literal(parse_keys(cursor, 1)[1][0] if numbered else name, column.type)
        query = query.where(column > place if rising else column < place)
    query = query.order_by(column if rising else column.desc()).limit(limit + 1)
    found = [made(*row) for row in session.execute(query)]
    return turned(found, limit, backwards=backwards, started=bool(cursor), name=lambda row: str(key(row)))


def among(rows: Sequence[_R], *, cursor: str, limit: int, key: Callable[[_R], str | int]) -> Stretch[_R]:
    """Return one page of a list that is wholly here (a tree, the rows of an edition), as `by_key` does of a table.

    A row that has gone in the meantime begins the list anew.
    """
    backwards, at = parse_name(cursor)
    place = next((n for n, row in enumerate(rows) if str(key(row)) == at), None) if at is not None else None
    if place is None:
        backwards, found = False, list(rows[: limit + 1])
    elif backwards:
        found = list(reversed(rows[max(0, place - limit - 1) : place]))
    else:
        found = list(rows[place + 1 : place + limit + 2])
    return turned(found, limit, backwards=backwards, started=place is not None, name=lambda row: str(key(row)))


def parse_pair(cursor: str) -> tuple[bool, tuple[int, int] | None]:
    """Read a cursor of `turned`: whether it goes backwards, and the pair it names; `Invalid` when it is not ours."""
    backwards, keys = parse_keys(cursor, 2)
    return backwards, (keys[0], keys[1]) if keys else None


def parse_keys(cursor: str, count: int) -> tuple[bool, tuple[int, ...]]:
    """Read a cursor that names `count` whole numbers; an empty one names none and goes forwards."""
    backwards, name = parse_name(cursor)
    if name is None:
        return backwards, ()
    try:
        keys = tuple(int(number) for number in name.split("|"))
    except ValueError as error:
        raise _not_ours() from error
    if len(keys) != count or not all(0 <= number < _MOST_KEY for number in keys):
        raise _not_ours()
    return backwards, keys


def parse_name(cursor: str) -> tuple[bool, str | None]:
    """Read a cursor: whether it goes backwards, and what it names; an empty one names nothing and goes forwards."""
    if not cursor:
        return False, None
    try:
        direction, _, name = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition("|")
    except (ValueError, binascii.Error, UnicodeDecodeError) as error:
        raise _not_ours() from error
    if direction not in {"n", "p"} or not name or "\x00" in name:
        raise _not_ours()
    return direction == "p", name


def _not_ours() -> Invalid:
    return Invalid({"cursor": "翻页位置已失效，请回到第一页。"})


def _cursor(direction: str, name: str) -> str:
    return base64.urlsafe_b64encode(f"{direction}|{name}".encode()).decode().rstrip("=")
