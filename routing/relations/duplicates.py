"""Finds tickets that are probably about one matter: text, place and time, among a million open and recent ones.

Each recent ticket leaves a sketch of its redacted text (classifier.duplicates, docs/decisions/0013), its numbers as
rows of (number, ticket). A question looks up the numbers of a text one by one, counts how many each ticket shares, and
reads the texts of the few that share most. What bounds it: of every number at most `_MOST_HOLDERS` tickets are looked
at, and one that so many hold counts little (docs/decisions/0039).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ARRAY, Integer, bindparam, delete, func, or_, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from hotline.tickets.models import Category, InstallationSetting, Region, Ticket
from hotline.tickets.queries import Earlier
from hotline.tickets.states import Outcome, State
from hotline.tickets.vocabulary import Kind
from routing.relations.sketch_models import TicketSketch

if TYPE_CHECKING:  # brings numpy and scipy: loaded by whoever asks, and by no other process
    from numpy.typing import NDArray

Begin = Callable[[], AbstractContextManager[Session]]

#: A ticket older than this is not offered: what is told again is told again within days, nearly all within 69.
WINDOW: Final = timedelta(days=180)
#: A matter closed longer ago than this is another matter when it is told again.
CLOSED_WITHIN: Final = timedelta(days=30)
#: Below this chance two tickets are not called likely duplicates.
LEAST: Final = 0.5
#: How many are offered at most.
MOST: Final = 5
#: Tickets caught up with in one transaction, and how many such transactions in one run.
BATCH: Final = 1_000
MOST_BATCHES: Final = 10
#: The name under which the catch-up keeps how far down it has come.
PROGRESS: Final = "ticket_sketches"

_MOST_HOLDERS: Final = 1_000
"""Of those that hold a number, so many are looked at, the newest first: what is told again is told again soon."""
_CANDIDATES: Final = 200
_READ: Final = 30
_LONGEST: Final = 1_200
"""Characters of a text that are fetched; the rating reads fewer, but blanks are dropped first."""
_BITS: Final = 0x7FFFFFFF

# Only the index is read. What the tickets share is counted here: a window and a sort over thousands of rows cost the
# database ten times what the look-ups cost.
_HOLDERS: Final = text(
    """
    SELECT ARRAY(
        SELECT ticket_id FROM ticket_sketch_keys WHERE key = asked.key ORDER BY ticket_id DESC LIMIT :holders
    ) FROM unnest(:keys) AS asked (key)
    """
).bindparams(bindparam("keys", type_=ARRAY(Integer)))


@dataclass(frozen=True, kw_only=True)
class Alike:
    """A ticket that is probably about the same matter."""

    ticket: Earlier
    probability: float
    same_place: bool
    """Whether both are known to be in one region."""


def keys_of(title: str, content: str) -> list[int]:
    """Return the numbers of a redacted text as the database holds them; its beginning is what counts."""
    from classifier import duplicates

    numbers: NDArray[Any] = duplicates.sketch(title, content[:_LONGEST])
    return sorted({int(number) & _BITS for number in numbers.tolist()})


def remember(session: Session, ticket: Ticket) -> None:
    """Keep the sketch of a ticket; once, however often it is called, and anew when the recipe or the text changed."""
    _write(session, [(ticket.id, ticket.registered_at, ticket.title, ticket.content)])


def find(
    session: Session,
    *,
    title: str,
    content: str,
    region_id: int | None = None,
    told_at: datetime,
    but: int | None = None,
    closed_within: timedelta = CLOSED_WITHIN,
    least: float = LEAST,
    most: int = MOST,
) -> list[Alike]:
    """Return which recent tickets are probably about the matter of this text, likeliest first; two questions.

    A ticket of another place is not offered: where both regions are known, one must hold the other. Neither is one
    that was withdrawn, that is confidential, or that was closed longer ago than `closed_within`.
    """
    from classifier import duplicates

    keys = keys_of(title, content)
    if not keys:
        return []
    shared = _sharing(session, keys)
    shared.pop(but or 0, None)
    if not shared:
        return []
    rows = _readable(session, shared, region_id=region_id, since=told_at - WINDOW, closed_since=told_at - closed_within)
    likenesses = duplicates.likenesses((title, content[:_LONGEST]), [(row.title, row.content) for row in rows])
    found = []
    for row, likeness in zip(rows, likenesses, strict=True):
        days = abs(told_at - row.registered_at) / timedelta(days=1)
        chance = duplicates.rated(shared[row.id] / len(keys), likeness=likeness, days_apart=days)
        if chance >= least:
            same_place = region_id is not None and row.region_id is not None
            found.append(Alike(ticket=_earlier(row), probability=chance, same_place=same_place))
    return sorted(found, key=lambda one: (-one.probability, -one.ticket.id))[:most]


def of_ticket(session: Session, ticket: Ticket) -> list[Alike]:
    """Return which tickets are probably about the same matter as this one."""
    return find(
        session,
        title=ticket.title,
        content=ticket.content,
        region_id=ticket.region_id,
        told_at=ticket.registered_at,
        but=ticket.id,
    )


def catch_up(begin: Begin, *, now: datetime) -> int:
    """Sketch what has no sketch yet, newest first, and forget what is too old; returns how many were written.

    Bounded: a run takes `MOST_BATCHES` batches, each committed by itself, and the next run goes on where it ended. A
    ticket whose own background step failed is found among the newest.
    """
    written = 0
    with begin() as session:
        _forget(session, before=now - WINDOW)
        written += _sketch_newest(session, since=now - WINDOW)
    for _ in range(MOST_BATCHES):
        with begin() as session:
            some = _sketch_next(session, since=now - WINDOW, now=now)
        if some is None:
            break
        written += some
    return written


def _sharing(session: Session, keys: Sequence[int]) -> dict[int, int]:
    """Return how many numbers each of the likeliest candidates shares, those that share the rarest first."""
    import numpy as np

    held = session.scalars(_HOLDERS, {"keys": list(keys), "holders": _MOST_HOLDERS}).all()
    lengths = [len(one) for one in held]
    if not sum(lengths):
        return {}
    # A number that few hold says more than one that many hold.
    worth = np.repeat([math.log(2 * _MOST_HOLDERS / max(1, one)) for one in lengths], lengths)
    tickets, owner, counts = np.unique(
        np.fromiter((ticket for one in held for ticket in one), np.int64, sum(lengths)),
        return_inverse=True,
        return_counts=True,
    )
    enough = np.flatnonzero(counts >= min(2, len(keys)))
    value = np.bincount(owner, worth)[enough]
    best = enough[np.lexsort((-tickets[enough], -value))][:_CANDIDATES]
    return dict(zip(tickets[best].tolist(), counts[best].tolist(), strict=True))


def _readable(
    session: Session, shared: dict[int, int], *, region_id: int | None, since: datetime, closed_since: datetime
) -> Sequence[Any]:
    """Return the candidates that may be offered, those that share most first."""
    columns = (
        Ticket.id,
        Ticket.number,
        Ticket.title,
        func.left(Ticket.content, _LONGEST).label("content"),
        Ticket.state,
        Ticket.outcome,
        Ticket.request_type,
        Ticket.channel,
        Ticket.registered_at,
        Ticket.region_id,
        Category.path.label("category"),
    )
    # First which they are, then their texts: a long text is unpacked only of those that are read.
    place = func.array_position(list(shared), Ticket.id).label("place")
    chosen = (
        select(Ticket.id, place)
        .where(
            Ticket.id.in_(shared),
            Ticket.registered_at >= since,
            Ticket.kind != Kind.BAD_REVIEW,
            Ticket.confidential.is_(False),
            or_(
                Ticket.state != State.CLOSED,
                (Ticket.closed_at >= closed_since) & (Ticket.outcome != Outcome.WITHDRAWN),
            ),
        )
        .order_by(place)
        .limit(_READ)
    )
    if region_id is not None:
        here = select(Region.code).where(Region.id == region_id).scalar_subquery()
        chosen = chosen.join(Region, Region.id == Ticket.region_id, isouter=True).where(
            or_(Region.code.is_(None), func.starts_with(Region.code, here), func.starts_with(here, Region.code))
        )
    some = chosen.cte("chosen").prefix_with("MATERIALIZED")
    question = (
        select(*columns)
        .join(some, some.c.id == Ticket.id)
        .join(Category, Category.id == Ticket.category_id, isouter=True)
        .order_by(some.c.place)
    )
    return session.execute(question).all()


def _earlier(row: Any) -> Earlier:  # noqa: ANN401 - a row of named columns
    return Earlier(
        id=row.id,
        number=row.number,
        title=row.title,
        state=row.state,
        outcome=row.outcome,
        request_type=row.request_type,
        channel=row.channel,
        registered_at=row.registered_at,
        category=row.category or "",
    )


def _write(session: Session, tickets: Sequence[tuple[int, datetime, str, str]]) -> int:
    from classifier import duplicates

    if not tickets:
        return 0
    statement = insert(TicketSketch).values(
        [
            {
                "ticket_id": ticket_id,
                "registered_at": registered_at,
                "version": duplicates.SKETCH_VERSION,
                "keys": keys_of(title, content),
            }
            for ticket_id, registered_at, title, content in tickets
        ]
    )
    new = statement.excluded
    statement = statement.on_conflict_do_update(
        index_elements=["ticket_id"],
        set_={"version": new.version, "keys": new["keys"]},
        where=or_(TicketSketch.version != new.version, TicketSketch.keys != new["keys"]),
    )
    return len(session.execute(statement.returning(TicketSketch.ticket_id)).all())


def _sketch_newest(session: Session, *, since: datetime) -> int:
    newest = select(Ticket.id).order_by(Ticket.id.desc()).limit(2 * BATCH).subquery()
    rows = session.execute(
        select(Ticket.id, Ticket.registered_at, Ticket.title, func.left(Ticket.content, _LONGEST))
        .join(newest, newest.c.id == Ticket.id)
        .join(TicketSketch, TicketSketch.ticket_id == Ticket.id, isouter=True)
        .where(TicketSketch.ticket_id.is_(None), Ticket.registered_at >= since)
        .order_by(Ticket.id)
        .limit(BATCH)
    )
    return _write(session, [tuple(row) for row in rows])


def _sketch_next(session: Session, *, since: datetime, now: datetime) -> int | None:
    """Sketch the next batch below what the catch-up has reached; None when it has come to the end."""
    from classifier import duplicates

    progress = session.get(InstallationSetting, PROGRESS, with_for_update=True)
    if progress is None:
        progress = InstallationSetting(name=PROGRESS, value={}, changed_at=now)
        session.add(progress)
    below = progress.value.get("below") if progress.value.get("version") == duplicates.SKETCH_VERSION else None
    rows = session.execute(
        select(Ticket.id, Ticket.registered_at, Ticket.title, func.left(Ticket.content, _LONGEST))
        .where(Ticket.id < below if below is not None else Ticket.id > 0)
        .order_by(Ticket.id.desc())
        .limit(BATCH)
    ).all()
    if not rows:
        return None
    progress.value = {"version": duplicates.SKETCH_VERSION, "below": rows[-1].id}
    progress.changed_at = now
    return _write(session, [tuple(row) for row in rows if row.registered_at >= since])


def _forget(session: Session, *, before: datetime) -> None:
    old = (
        select(TicketSketch.ticket_id)
        .where(TicketSketch.registered_at < before)
        .order_by(TicketSketch.registered_at)
        .limit(5 * BATCH)
    )
    session.execute(delete(TicketSketch).where(TicketSketch.ticket_id.in_(old)))
