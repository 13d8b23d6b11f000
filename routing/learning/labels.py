"""Keeps every human decision as a labelled example, in the transaction that made it (docs/learning.md).

Who is right is decided late: a decision that was examined outweighs one that was merely made, and the later of two
equally founded ones stands. What is outweighed is kept, superseded, so that the history can be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

from sqlalchemy import BigInteger, DateTime, Row, Table, bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from hotline.core.db import run, write
from hotline.core.permissions import Actor
from hotline.tickets.models import Category, Ticket
from hotline.tickets.vocabulary import RequestType
from routing.learning.label_models import LabelTask, Provenance, TrainingLabel
from routing.models import Department, Suggestion


@dataclass(frozen=True)
class Standing:
    """How well founded a decision is: `rank` decides which of two stands, `weight` what it counts in training."""

    rank: int
    weight: float


#: A first choice is made in seconds; a correction was thought about; an examined return and a ruling are final.
STANDING: Final[Mapping[Provenance, Standing]] = {
    Provenance.PROPOSED: Standing(0, 0.5),
    Provenance.CHOSEN: Standing(1, 1.0),
    Provenance.ACCEPTED: Standing(1, 1.0),
    Provenance.CHANGED: Standing(1, 1.2),
    Provenance.AMENDED: Standing(2, 1.5),
    Provenance.REDISPATCHED: Standing(2, 1.5),
    Provenance.ANSWERED: Standing(2, 1.5),
    Provenance.AUDITED: Standing(3, 3.0),
    Provenance.RETURN_REFUSED: Standing(3, 3.0),
    Provenance.RETURN_UPHELD: Standing(3, 3.0),
    Provenance.RULED: Standing(4, 4.0),
}


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What became of a decision that was to be kept."""

    weight: float
    #: Set when something better founded stands, so that this one never held.
    superseded_at: datetime | None = None
    #: True when the same decision stood already and nothing was written.
    again: bool = False


# Every dispatch and every answer asks and writes these; made once (docs/decisions/0028).
_LABELS: Final = cast("Table", TrainingLabel.__table__)
_SUGGESTIONS: Final = cast("Table", Suggestion.__table__)
_RANKS: Final = {provenance.value: standing.rank for provenance, standing in STANDING.items()}
# What held ceases to hold before its successor begins to: the INSERT reads what the UPDATE returns. The ticket is
# locked by whoever decides about it, so nobody else writes its labels meanwhile.
_KEEP: Final = text("""
    WITH given AS (
        SELECT * FROM jsonb_to_recordset(:given) AS row(task text, label text, provenance text, weight float, rank int)
    ), gone AS (
        UPDATE training_labels AS stood SET superseded_at = greatest(stood.at, :now)
        FROM given
        WHERE stood.ticket_id = :of_ticket AND stood.task = given.task AND stood.superseded_at IS NULL
        AND (stood.label, stood.provenance) <> (given.label, given.provenance)
        AND (CAST(:ranks AS jsonb) ->> stood.provenance)::int <= given.rank
        RETURNING stood.task
    )
    INSERT INTO training_labels (ticket_id, task, label, provenance, weight, at, by_id, superseded_at)
    SELECT :of_ticket, given.task, given.label, given.provenance, given.weight, :now, :by_id,
        CASE WHEN stands.task IS NOT NULL AND gone.task IS NULL THEN :now END
    FROM given
    LEFT JOIN gone ON gone.task = given.task
    LEFT JOIN training_labels AS stands
        ON stands.ticket_id = :of_ticket AND stands.task = given.task AND stands.superseded_at IS NULL
    WHERE stands.task IS NULL OR (stands.label, stands.provenance) <> (given.label, given.provenance)
    RETURNING task, superseded_at
""").bindparams(
    bindparam("given", type_=JSONB),
    bindparam("of_ticket", type_=BigInteger),
    bindparam("now", type_=DateTime(timezone=True)),
    bindparam("by_id", type_=BigInteger),
    bindparam("ranks", type_=JSONB),
)
_SUPERSEDE: Final = (
    update(_LABELS).where(_LABELS.c.id == bindparam("of_label")).values(superseded_at=bindparam("ended"))
)
_STANDING_ROWS: Final = (
    select(_LABELS.c.id, _LABELS.c.task, _LABELS.c.label, _LABELS.c.provenance, _LABELS.c.at)
    .where(
        _LABELS.c.ticket_id == bindparam("of_ticket"),
        _LABELS.c.task.in_(bindparam("tasks", expanding=True)),
        _LABELS.c.superseded_at.is_(None),
    )
    .with_for_update()
)
_WHAT_WAS_SAID: Final = (
    _SUGGESTIONS.c.id,
    _SUGGESTIONS.c.category_id,
    _SUGGESTIONS.c.department_id,
    _SUGGESTIONS.c.body["request_type"].label("request_types"),
)
_JUDGE: Final = (
    update(_SUGGESTIONS)
    .where(_SUGGESTIONS.c.ticket_id == bindparam("of_ticket"), _SUGGESTIONS.c.decided_at.is_(None))
    .values(
        decided_at=bindparam("judged"),
        agreed=func.coalesce(_SUGGESTIONS.c.department_id == bindparam("chosen"), False),
    )
    .returning(*_WHAT_WAS_SAID)
)
_LAST_SAID: Final = (
    select(*_WHAT_WAS_SAID)
    .where(_SUGGESTIONS.c.ticket_id == bindparam("of_ticket"))
    .order_by(_SUGGESTIONS.c.id.desc())
    .limit(1)
)


def record(
    session: Session,
    *,
    ticket_id: int,
    task: LabelTask,
    label: str,
    provenance: Provenance,
    by: Actor,
    now: datetime,
) -> Kept:
    """Keep one decision about a ticket; call it in the transaction that makes the decision.

    `label` is a category's code, a department's code or a request type's value. It takes the place of what held before
    unless that was better founded; then it is kept as already superseded. A decision that only repeats itself
    (same label, same provenance) is not written twice.
    """
    return record_all(session, ticket_id=ticket_id, labels={task: (label, provenance)}, by=by, now=now)[task]


def record_all(
    session: Session,
    *,
    ticket_id: int,
    labels: Mapping[LabelTask, tuple[str, Provenance]],
    by: Actor | int | None,
    now: datetime,
) -> dict[LabelTask, Kept]:
    """Do what `record` does for several tasks with one question to the database; `by` may be a user's id."""
    if not labels:
        return {}
    by_id = by.user_id if isinstance(by, Actor) else by
    rows = [
        {
            "task": task.value,
            "label": label,
            "provenance": provenance.value,
            "weight": STANDING[provenance].weight,
            "rank": STANDING[provenance].rank,
        }
        for task, (label, provenance) in labels.items()
    ]
    written = run(session, _KEEP, {"given": rows, "of_ticket": ticket_id, "now": now, "by_id": by_id, "ranks": _RANKS})
    kept = {LabelTask(row.task): row.superseded_at for row in written}
    return {
        task: Kept(weight=STANDING[provenance].weight, superseded_at=kept.get(task), again=task not in kept)
        for task, (_label, provenance) in labels.items()
    }


def contest(session: Session, *, ticket_id: int, task: LabelTask, now: datetime) -> None:
    """Take a first choice out of what is learnt from, because a department disputes it; a finding stays."""
    before = _standing(session, ticket_id, (task,)).get(task)
    if before is not None and STANDING[before.provenance].rank < STANDING[Provenance.AUDITED].rank:
        write(session, _SUPERSEDE, {"of_label": before.id, "ended": max(now, before.at)})


def dispatched(
    session: Session, ticket: Ticket, *, department: Department, again: bool, by: Actor, now: datetime
) -> None:
    """Keep what a person decided by sending a ticket out; `again` after a department had returned it.

    The first decision also judges what the model suggested: did the two agree?
    """
    told = {"of_ticket": ticket.id, "chosen": department.id, "judged": now}
    said = max(run(session, _JUDGE, told).all(), key=lambda row: row.id, default=None)
    if said is None and again:
        said = run(session, _LAST_SAID, {"of_ticket": ticket.id}).first()
    code = (
        session.scalar(select(Category.code).where(Category.id == ticket.category_id)) if ticket.category_id else None
    )
    types = (said.request_types or ()) if said else ()
    labels = {
        LabelTask.DEPARTMENT: (
            department.code,
            Provenance.REDISPATCHED if again else _compared(said.department_id if said else None, department.id),
        ),
        LabelTask.REQUEST_TYPE: (
            ticket.request_type.value,
            _compared(types[0]["code"] if types else None, ticket.request_type.value),
        ),
    }
    if code is not None:
        labels[LabelTask.CATEGORY] = (code, _compared(said.category_id if said else None, ticket.category_id))
    record_all(session, ticket_id=ticket.id, labels=labels, by=by, now=now)


def returned(session: Session, *, ticket_id: int, proposed: Department | None, by: Actor, now: datetime) -> None:
    """Keep that a department disputes its duty, and where it thinks that the ticket belongs."""
    contest(session, ticket_id=ticket_id, task=LabelTask.DEPARTMENT, now=now)
    if proposed is not None:
        record(
            session,
            ticket_id=ticket_id,
            task=LabelTask.DEPARTMENT,
            label=proposed.code,
            provenance=Provenance.PROPOSED,
            by=by,
            now=now,
        )


def amended(session: Session, ticket: Ticket, *, fields: tuple[str, ...], by_id: int | None, now: datetime) -> None:
    """Keep a corrected category or request type."""
    labels: dict[LabelTask, tuple[str, Provenance]] = {}
    if "category_id" in fields and ticket.category_id is not None:
        code = session.scalar(select(Category.code).where(Category.id == ticket.category_id))
        if code:
            labels[LabelTask.CATEGORY] = (code, Provenance.AMENDED)
    if "request_type" in fields:
        labels[LabelTask.REQUEST_TYPE] = (RequestType(ticket.request_type).value, Provenance.AMENDED)
    record_all(session, ticket_id=ticket.id, labels=labels, by=by_id, now=now)


def _compared(suggested: object, chosen: object) -> Provenance:
    if suggested is None:
        return Provenance.CHOSEN
    return Provenance.ACCEPTED if suggested == chosen else Provenance.CHANGED


def _standing(
    session: Session, ticket_id: int, tasks: tuple[LabelTask, ...]
) -> dict[LabelTask, Row[Any, Any, Any, Any, Any]]:
    rows = session.connection().execute(_STANDING_ROWS, {"of_ticket": ticket_id, "tasks": list(tasks)})
    return {row.task: row for row in rows}
