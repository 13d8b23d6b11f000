"""Brings everything personal under the newest key, so that an old key can go (docs/operations.md)."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Column, Table, func, select, text, tuple_
from sqlalchemy.orm import Session

from hotline.core.db import Base, keyring_of
from hotline.core.errors import BrokenSeal, Conflict
from hotline.core.files import FileStore
from hotline.intake.models import Submission
from hotline.telephony.models import TextMessage
from hotline.tickets.models import Ticket

BATCH: Final = 500
#: So many values that no key opens are named; the others are only counted.
NAMED: Final = 20
FILES: Final = "attachments"

#: Every column that holds something sealed; a test compares this with the tables.
SEALED: Final[tuple[tuple[type[Base], str], ...]] = (
    (Ticket, "personal_sealed"),
    (TextMessage, "sealed"),
    (Submission, "answer_sealed"),
)

Begin = Callable[[], AbstractContextManager[Session]]


@dataclass
class Progress:
    """How far one part (a table, or the files) has come."""

    part: str
    total: int
    done: int = 0
    changed: int = 0
    broken: int = 0
    #: The first of those that no key opens.
    names: list[str] = field(default_factory=list)

    def cannot_open(self, name: str) -> None:
        """Count a value that stays as it is, because no key of ours opens it."""
        self.broken += 1
        if len(self.names) < NAMED:
            self.names.append(name)


def reseal(begin: Begin, store: FileStore) -> Generator[Progress, None, None]:
    """Bring every sealed value under the newest key, `BATCH` at a time; yields after each batch.

    Nothing but the seal changes: not a version, not a counter, not a fingerprint. Each batch is its own transaction,
    and what stands under the newest key already is only looked at, so it can be stopped anywhere and called again. A
    value that no key opens is counted and left alone.
    """
    for model, column in SEALED:
        yield from _reseal_column(begin, model, column)
    yield from _reseal_files(store)


def require_all_under_newest(session: Session, store: FileStore) -> None:
    """Raise `Conflict` unless the newest key opens everything; locks the tables against writing until the commit.

    Whoever drops keys does it before that commit, so that nothing is written in between.
    """
    # A plain lock that readers do not feel; it waits for whoever is writing now.
    names = ", ".join(model.__tablename__ for model, _ in SEALED)
    session.execute(text(f"LOCK TABLE {names} IN SHARE MODE"))
    keyring = keyring_of(session)
    for model, column in SEALED:
        last: Sequence[Any] = ()
        while rows := _rows(session, model, column, after=last):
            for *key, sealed in rows:
                if not keyring.under_newest(sealed):
                    raise Conflict(f"{model.__tablename__} 中仍有记录（{_named(key)}）由旧密钥封存，旧密钥没有删除。")
            last = rows[-1][:-1]
    for digest in store.digests():
        if not store.under_newest(digest):
            raise Conflict(f"附件 {digest[:12]} 仍由旧密钥封存，旧密钥没有删除。")


def _reseal_column(begin: Begin, model: type[Base], column: str) -> Iterator[Progress]:
    with begin() as session:
        total = session.scalar(select(func.count()).select_from(model).where(_column(model, column) != b"")) or 0
    progress = Progress(model.__tablename__, total)
    yield progress
    last: Sequence[Any] = ()
    while True:
        with begin() as session:
            rows = _rows(session, model, column, after=last)
            if not rows:
                return
            keyring = keyring_of(session)
            stale = [tuple(row[:-1]) for row in rows if not keyring.under_newest(row[-1])]
            if stale:
                _rewrite(session, model, column, stale, progress)
        progress.done += len(rows)
        last = rows[-1][:-1]
        yield progress


def _rewrite(  # noqa: PLR0917 - one batch of one column
    session: Session, model: type[Base], column: str, stale: Sequence[tuple[Any, ...]], progress: Progress
) -> None:
    """Lock these rows, read them again (somebody may have amended one meanwhile) and write their new seals."""
    table, keys, keyring = _table(model), _keys(model), keyring_of(session)
    locked = session.execute(
        select(*keys, table.c[column]).where(tuple_(*keys).in_(stale)).order_by(*keys).with_for_update()
    ).all()
    written: list[tuple[Any, ...]] = []
    for *key, sealed in locked:
        try:
            written.append((*key, keyring.reseal(sealed)))
        except BrokenSeal:
            progress.cannot_open(f"{table.name} {_named(key)}")
    if not written:
        return
    # One statement per batch, so that the triggers that count tickets run once for it.
    names = [key.name for key in keys]
    columns = [*(f"CAST(:{key.name} AS {key.type.compile(session.get_bind().dialect)}[])" for key in keys)]
    session.execute(
        text(
            f"UPDATE {table.name} AS kept SET {column} = given.fresh"
            f" FROM unnest({', '.join(columns)}, CAST(:fresh AS bytea[])) AS given ({', '.join(names)}, fresh)"
            f" WHERE {' AND '.join(f'kept.{name} = given.{name}' for name in names)}"
        ),
        dict(zip([*names, "fresh"], map(list, zip(*written, strict=True)), strict=True)),
    )
    progress.changed += len(written)


def _reseal_files(store: FileStore) -> Iterator[Progress]:
    digests = sorted(store.digests())
    progress = Progress(FILES, len(digests))
    yield progress
    for number, digest in enumerate(digests, 1):
        try:
            progress.changed += store.reseal(digest)
        except BrokenSeal:
            progress.cannot_open(f"{FILES} {digest[:12]}")
        progress.done = number
        yield progress


def _rows(session: Session, model: type[Base], column: str, *, after: Sequence[Any]) -> Sequence[Any]:
    """Return the next rows as (key, ..., sealed value), in the order of the key."""
    table, keys = _table(model), _keys(model)
    wanted = select(*keys, table.c[column]).where(table.c[column] != b"").order_by(*keys).limit(BATCH)
    if after:
        wanted = wanted.where(tuple_(*keys) > tuple(after))
    return session.execute(wanted).all()


def _table(model: type[Base]) -> Table:
    found = model.__table__
    if not isinstance(found, Table):
        raise TypeError(model)
    return found


def _column(model: type[Base], name: str) -> Column[Any]:
    return _table(model).c[name]


def _keys(model: type[Base]) -> tuple[Column[Any], ...]:
    return tuple(_table(model).primary_key.columns)


def _named(key: Sequence[Any]) -> str:
    return "/".join(str(part) for part in key)
