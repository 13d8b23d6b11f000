"""How lists turn a page by keyset in both directions: a cursor names two whole numbers, a time or a rank, and an id."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

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


def turned(
    found: list[_R], limit: int, *, backwards: bool, started: bool, name: Callable[[_R], str]
) -> tuple[list[_R], str, str]:
    """Return the rows of the page in order, and the cursors of the next and the previous page (or empty)."""
    more, rows = len(found) > limit, found[:limit]
    if backwards:
        rows.reverse()
    if not rows:
        return [], "", ""
    has_next, has_previous = (True, more) if backwards else (more, started)
    return (
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
) -> tuple[list[_R], str, str]:
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


def parse_pair(cursor: str) -> tuple[bool, tuple[int, int] | None]:
    """Read a cursor of `turned`: whether it goes backwards, and the pair it names; `Invalid` when it is not ours."""
    backwards, keys = parse_keys(cursor, 2)
    return backwards, (keys[0], keys[1]) if keys else None


def parse_keys(cursor: str, count: int) -> tuple[bool, tuple[int, ...]]:
    """Read a cursor that names `count` whole numbers; an empty one names none and goes forwards."""
    if not cursor:
        return False, ()
    try:
        direction, *named = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().split("|")
        keys = tuple(int(number) for number in named)
        if direction not in {"n", "p"} or len(keys) != count or not all(0 <= number < _MOST_KEY for number in keys):
            raise ValueError(direction)  # noqa: TRY301 - one answer to every broken cursor
    except (ValueError, binascii.Error, UnicodeDecodeError) as error:
        raise Invalid({"cursor": "翻页位置已失效，请回到第一页。"}) from error
    return direction == "p", keys


def _cursor(direction: str, pair: str) -> str:
    return base64.urlsafe_b64encode(f"{direction}|{pair}".encode()).decode().rstrip("=")
