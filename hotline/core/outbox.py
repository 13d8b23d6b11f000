"""News for the upper floors: written in the transaction that made it, told at least once, effective once.

An event is heard in two ways, both declared on the wiring page. *At once*: a function of ours runs inside the
announcing transaction (so "every answered ticket has its callback" is true at every instant). *Later*: a row is
written here, the relay hands it to RQ, and the runner marks `(outbox_id, reaction)` done in the same transaction as
the effect. See docs/decisions/0003-outbox.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final, cast

from sqlalchemy import (
    CTE,
    Boolean,
    ColumnElement,
    ForeignKey,
    Index,
    Table,
    bindparam,
    delete,
    func,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from hotline.core.db import Base, write

#: How long a relayed row may stay undelivered before it is relayed again.
GIVE_UP_ON_RELAY: Final = timedelta(seconds=45)
#: After so many deliveries that failed, a row waits for a person.
MOST_TRIES: Final = 8


@dataclass(frozen=True, kw_only=True)
class Event:
    """A fact that one floor announces; only ids and plain values."""


class OutboxRow(Base):
    """One announced event that somebody hears later."""

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(primary_key=True)
    event: Mapped[str]
    payload: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    relayed_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]
    tries: Mapped[int] = mapped_column(default=0, server_default="0")
    last_error: Mapped[str] = mapped_column(default="", server_default="")

    __table_args__ = (
        # What has still to be told? Read by the relay several times a second, so it holds only the open rows.
        Index("ix_outbox_undelivered", "id", postgresql_where=text("delivered_at IS NULL")),
    )


class ReactionDone(Base):
    """The mark that one reaction to one event has had its effect."""

    __tablename__ = "reactions_done"

    outbox_id: Mapped[int] = mapped_column(ForeignKey("outbox.id", ondelete="CASCADE"), primary_key=True)
    reaction: Mapped[str] = mapped_column(primary_key=True)
    done_at: Mapped[datetime]


_NEWS: Final = cast("Table", OutboxRow.__table__).insert().inline()


def publish(session: Session, event: Event, *, now: datetime) -> None:
    """Announce a fact in the caller's transaction; what reacts at once reacts before this returns."""
    publish_all(session, (event,), now=now)


def publish_all(session: Session, events: Iterable[Event], *, now: datetime) -> None:
    """Announce many facts with one statement for all of them; otherwise as `publish`."""
    told = list(events)
    rows = [
        {"event": type(event).__name__, "payload": _plain(event), "created_at": now}
        for event in told
        if is_heard(session, type(event))
    ]
    if rows:
        write(session, _NEWS, rows)
    react(session, told)


def is_heard(session: Session, event: type[Event]) -> bool:
    """Tell whether somebody of this installation hears such an event later, so that it needs a row."""
    heard: frozenset[str] | None = session.info.get("heard")
    return heard is None or event.__name__ in heard


def react(session: Session, events: Iterable[Event]) -> None:
    """Let what reacts at once react; for whoever wrote the row of an event with `announcing`, `publish` does both."""
    reactions = session.info.get("at_once", {})
    for event in events:
        for reaction in reactions.get(type(event), ()):
            reaction(session, event)


def announcing(event: type[Event], field: str, *, of: CTE, at: ColumnElement[datetime]) -> Insert:
    """Return the insert that announces an event, for a statement that makes what the event is about itself.

    `field` is the event's one field and gets the `id` of each row of `of`. The statement's parameter `heard` says
    what `is_heard` says.
    """
    columns = OutboxRow.__table__.c
    row = {
        columns.event: literal(event.__name__),
        columns.payload: func.jsonb_build_object(field, of.c.id),
        columns.created_at: at,
        columns.tries: literal(0),
        columns.last_error: literal(""),
    }
    return insert(OutboxRow).from_select(
        [column.name for column in row], select(*row.values()).where(bindparam("heard", type_=Boolean))
    )


def take(session: Session, *, now: datetime, limit: int) -> Sequence[OutboxRow]:
    """Lock and mark the next rows to relay: those never relayed, and those whose delivery got lost.

    Skips what another relay holds, so two schedulers by mistake do no harm.
    """
    rows = session.scalars(
        select(OutboxRow)
        .where(
            OutboxRow.delivered_at.is_(None),
            OutboxRow.tries < MOST_TRIES,
            (OutboxRow.relayed_at.is_(None)) | (OutboxRow.relayed_at < now - GIVE_UP_ON_RELAY),
        )
        .order_by(OutboxRow.id)
        .limit(limit)
        .with_for_update(skip_locked=True)  # the row belongs to whoever relays it first
    ).all()
    for row in rows:
        row.relayed_at = now
        row.tries += 1
    return rows


def put_back(session: Session, ids: Sequence[int], *, error: str) -> None:
    """Say that these rows could not be handed over after all; they will be taken again."""
    session.execute(
        update(OutboxRow)
        .where(OutboxRow.id.in_(ids), OutboxRow.delivered_at.is_(None))
        .values(relayed_at=None, tries=func.greatest(OutboxRow.tries - 1, 0), last_error=error[:500])
    )


def begin_reaction(session: Session, *, outbox_id: int, reaction: str, now: datetime) -> bool:
    """Claim one reaction to one row; false when it has already had its effect.

    A second runner of the same reaction waits here until the first has committed, and then gets false.
    """
    claimed = session.execute(
        insert(ReactionDone)
        .values(outbox_id=outbox_id, reaction=reaction, done_at=now)
        .on_conflict_do_nothing()
        .returning(ReactionDone.reaction)
    ).first()
    return claimed is not None


def reactions_done(session: Session, *, outbox_id: int) -> set[str]:
    """Return the reactions to this row that have had their effect."""
    return set(session.scalars(select(ReactionDone.reaction).where(ReactionDone.outbox_id == outbox_id)))


def delivered(session: Session, *, outbox_id: int, now: datetime) -> None:
    """Mark a row as told to everybody who hears it."""
    session.execute(update(OutboxRow).where(OutboxRow.id == outbox_id).values(delivered_at=now, last_error=""))


def failed(session: Session, *, outbox_id: int, error: str) -> None:
    """Keep why a delivery failed, unless another one has come through; it is taken again after `GIVE_UP_ON_RELAY`."""
    session.execute(
        update(OutboxRow)
        .where(OutboxRow.id == outbox_id, OutboxRow.delivered_at.is_(None))
        .values(last_error=error[:500])
    )


def forget_delivered(session: Session, *, before: datetime, limit: int = 10_000) -> int:
    """Delete delivered rows older than `before`, at most `limit`; returns how many."""
    ids = select(OutboxRow.id).where(OutboxRow.delivered_at < before).order_by(OutboxRow.id).limit(limit)
    return int(session.execute(delete(OutboxRow).where(OutboxRow.id.in_(ids))).rowcount)  # type: ignore[attr-defined]


def _plain(event: Event) -> dict[str, Any]:
    return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in asdict(event).items()}


def given_up(session: Session, *, limit: int = 50) -> Sequence[OutboxRow]:
    """Return rows that failed so often that a person must look at them."""
    return session.scalars(
        select(OutboxRow)
        .where(OutboxRow.delivered_at.is_(None), OutboxRow.tries >= MOST_TRIES)
        .order_by(OutboxRow.id)
        .limit(limit)
    ).all()


def waiting(session: Session, *, limit: int = 1_000) -> int:
    """Return how many rows have still to be told, counted no further than `limit`."""
    rows = select(OutboxRow.id).where(OutboxRow.delivered_at.is_(None)).limit(limit).subquery()
    return int(session.scalar(select(func.count()).select_from(rows)) or 0)


def try_again(session: Session, *, outbox_id: int) -> None:
    """Give a row that was given up a fresh set of tries."""
    session.execute(
        update(OutboxRow)
        .where(OutboxRow.id == outbox_id, OutboxRow.delivered_at.is_(None))
        .values(tries=0, relayed_at=None)
    )
