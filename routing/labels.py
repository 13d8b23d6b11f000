"""Keeps every human decision as a labelled example, in the transaction that made it (docs/learning.md).

Who is right is decided late: a decision that was examined outweighs one that was merely made, and the later of two
equally founded ones stands. What is outweighed is kept, superseded, so that the history can be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from hotline.core.permissions import Actor
from hotline.tickets.models import Category, Ticket
from hotline.tickets.vocabulary import RequestType
from routing.labels_models import LabelTask, Provenance, TrainingLabel
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


def record(
    session: Session,
    *,
    ticket_id: int,
    task: LabelTask,
    label: str,
    provenance: Provenance,
    by: Actor,
    now: datetime,
) -> TrainingLabel:
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
) -> dict[LabelTask, TrainingLabel]:
    """Do what `record` does for several tasks with one question to the database; `by` may be a user's id."""
    if not labels:
        return {}
    by_id = by.user_id if isinstance(by, Actor) else by
    standing = _standing(session, ticket_id, tuple(labels))
    found: dict[LabelTask, TrainingLabel] = {}
    fresh: list[TrainingLabel] = []
    for task, (label, provenance) in labels.items():
        before = standing.get(task)
        if before is not None and before.label == label and before.provenance is provenance:
            found[task] = before
            continue
        outweighed = before is not None and STANDING[before.provenance].rank > STANDING[provenance].rank
        row = TrainingLabel(
            ticket_id=ticket_id,
            task=task,
            label=label,
            provenance=provenance,
            weight=STANDING[provenance].weight,
            at=now,
            by_id=by_id,
            superseded_at=now if outweighed else None,
        )
        if before is not None and not outweighed:
            before.superseded_at = max(now, before.at)
        found[task] = row
        fresh.append(row)
    session.flush()  # what held must cease to hold before its successor begins to
    session.add_all(fresh)
    return found


def contest(session: Session, *, ticket_id: int, task: LabelTask, now: datetime) -> None:
    """Take a first choice out of what is learnt from, because a department disputes it; a finding stays."""
    before = _standing(session, ticket_id, (task,)).get(task)
    if before is not None and STANDING[before.provenance].rank < STANDING[Provenance.AUDITED].rank:
        before.superseded_at = max(now, before.at)
        session.flush()  # as above


def dispatched(
    session: Session, ticket: Ticket, *, department: Department, again: bool, by: Actor, now: datetime
) -> None:
    """Keep what a person decided by sending a ticket out; `again` after a department had returned it."""
    said = session.scalars(
        select(Suggestion).where(Suggestion.ticket_id == ticket.id).order_by(Suggestion.id.desc()).limit(1)
    ).first()
    code = (
        session.scalar(select(Category.code).where(Category.id == ticket.category_id)) if ticket.category_id else None
    )
    types = said.body.get("request_type", ()) if said else ()
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


def _standing(session: Session, ticket_id: int, tasks: tuple[LabelTask, ...]) -> dict[LabelTask, TrainingLabel]:
    rows = session.scalars(
        select(TrainingLabel)
        .where(
            TrainingLabel.ticket_id == ticket_id,
            TrainingLabel.task.in_(tasks),
            TrainingLabel.superseded_at.is_(None),
        )
        .with_for_update()
    )
    return {row.task: row for row in rows}
