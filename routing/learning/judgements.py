"""Reads suggestions that people decided later, for the model card; and settles doubtful examples (label audit)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Float, Select, SQLColumnExpression, case, cast, func, select
from sqlalchemy.orm import Session

from hotline.core.clock import local_day
from hotline.core.errors import Conflict, Invalid, NotFound
from hotline.core.permissions import Actor, Permission, require
from hotline.tickets.models import Category, Ticket
from hotline.tickets.queries import category_by_code
from routing.learning import labels, training
from routing.learning.examples import DISTRICT
from routing.learning.label_models import LabelTask, Provenance, TrainingLabel
from routing.learning.labels import STANDING
from routing.learning.model_card import Judged
from routing.learning.models import LearningAct
from routing.models import Department, DepartmentKind, Suggestion
from routing.queries import visible_to

#: What the card looks back on, and at most how many suggestions.
WINDOW: Final = timedelta(days=90)
MOST_JUDGED: Final = 5_000
_READ_SUGGESTIONS: Final = 200_000
#: From this confidence on a disagreement is worth a minute of a person.
CONFIDENT: Final = 0.75
AUDIT_PAGE: Final = 20
_AUDIT_READ: Final = 50_000


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """One example that a person and the model see differently, the model being sure."""

    ticket_id: int
    number: str
    title: str
    content: str
    label: str
    said: str
    probability: float
    provenance: Provenance
    at: datetime


@dataclass(frozen=True, kw_only=True)
class CategoryWords:
    """A category in words: its path and definition."""

    path: str
    definition: str


def judged(session: Session, *, now: datetime) -> list[Judged]:
    """Return the newest suggestions of a category that people have decided since."""
    return _judged(session, _decided(LabelTask.CATEGORY, "category", TrainingLabel.label), now=now)


def judged_departments(session: Session, *, now: datetime) -> list[Judged]:
    """Return the newest suggestions of a lead that people have decided since; all districts count as one.

    Which district's government is meant follows from the place and not from the words.
    """
    led = case((Department.kind == DepartmentKind.DISTRICT, DISTRICT), else_=TrainingLabel.label)
    decided = (
        _decided(LabelTask.DEPARTMENT, "departments", led)
        .join(Department, Department.code == TrainingLabel.label)
        .where(TrainingLabel.provenance != Provenance.PROPOSED.value)
    )
    return _judged(session, decided, now=now)


def _decided(task: LabelTask, said: str, truth: SQLColumnExpression[str]) -> Select[Any]:
    """Select suggestions with what they said under this name and with what people decided about the task."""
    return (
        select(
            Suggestion.made_at,
            Suggestion.body[said],
            truth,
            func.char_length(Ticket.content),
            Ticket.channel,
            Ticket.title,
        )
        .select_from(Suggestion)
        .join(
            TrainingLabel,
            (TrainingLabel.ticket_id == Suggestion.ticket_id)
            & (TrainingLabel.task == task)
            & TrainingLabel.superseded_at.is_(None),
        )
        .join(Ticket, Ticket.id == Suggestion.ticket_id)
    )


def _judged(session: Session, decided: Select[Any], *, now: datetime) -> list[Judged]:
    newest = session.scalar(select(func.max(Suggestion.id))) or 0
    rows = session.execute(
        decided.where(Suggestion.made_at >= now - WINDOW, Suggestion.id > newest - _READ_SUGGESTIONS)
        .order_by(Suggestion.id.desc())
        .limit(MOST_JUDGED)
    )
    return [
        Judged(
            day=local_day(made_at),
            candidates=tuple((str(one["code"]), float(one["p"])) for one in candidates),
            truth=truth,
            length=length,
            channel=channel.value,
            title=title,
        )
        for made_at, candidates, truth, length, channel, title in rows
        if candidates
    ]


def groups(session: Session) -> dict[str, str]:
    """Return the name of the first level above each category, also above those that are no longer used."""
    rows = session.execute(select(Category.code, Category.path))
    return {row.code: row.path.split(" / ")[0] for row in rows}


def category_words(session: Session, codes: Sequence[str]) -> dict[str, CategoryWords]:
    """Return path and definition of these categories."""
    rows = session.execute(
        select(Category.code, Category.path, Category.definition).where(Category.code.in_(list(codes)))
    )
    return {row.code: CategoryWords(path=row.path, definition=row.definition) for row in rows}


def doubts(session: Session, actor: Actor, *, limit: int = AUDIT_PAGE) -> Sequence[Doubt]:
    """Return the confident disagreements that nobody has settled, the surest first.

    The suggestion was made before anybody decided, so the model had not learnt from this very example.
    """
    rows = session.execute(_doubts().where(visible_to(actor)).limit(limit))
    return [_doubt(row) for row in rows]


def settle(session: Session, *, ticket_id: int, seen: str, label: str | None, by: Actor, now: datetime) -> None:
    """Settle a doubtful example: `label` is the right category's code, or None when it is unfit to learn from.

    `seen` is the label that the person saw; when another decision came in between, nothing is written (`Conflict`).
    The ticket itself stays as it is: this is about what the model learns.
    """
    require(by, Permission.MODEL_MANAGE)
    row = session.scalars(
        select(TrainingLabel)
        .join(Ticket, Ticket.id == TrainingLabel.ticket_id)
        .where(
            TrainingLabel.ticket_id == ticket_id,
            TrainingLabel.task == LabelTask.CATEGORY,
            TrainingLabel.superseded_at.is_(None),
            visible_to(by),
        )
        .with_for_update(of=TrainingLabel)
    ).first()
    if row is None:
        raise NotFound
    if row.label != seen:
        raise Conflict("这条样本的标签刚刚变了，请刷新后再看。")
    if STANDING[row.provenance].rank >= STANDING[Provenance.AUDITED].rank:
        raise Conflict("这条样本已有定论。")
    if label is None:
        labels.contest(session, ticket_id=ticket_id, task=LabelTask.CATEGORY, now=now)
    else:
        if label != seen and category_by_code(session, label) is None:
            raise Invalid({"label": "没有这个类别，或已停用，请重新选择。"})
        labels.record(
            session,
            ticket_id=ticket_id,
            task=LabelTask.CATEGORY,
            label=label,
            provenance=Provenance.AUDITED,
            by=by,
            now=now,
        )
    training.note(
        session,
        LearningAct.SETTLED,
        words=f"样本标注复核：{seen} → {label or '不用于学习'}",
        by=by,
        now=now,
        details={"ticket_id": ticket_id, "before": seen, "after": label},
    )


def _doubts() -> Select[Any]:
    said = Suggestion.body["category"][0]["code"].astext
    probability = cast(Suggestion.body["category"][0]["p"].astext, Float)
    unsettled = [one.value for one in Provenance if STANDING[one].rank < STANDING[Provenance.AUDITED].rank]
    newest = select(func.coalesce(func.max(Suggestion.id), 0)).scalar_subquery()
    return (
        select(
            Ticket.id,
            Ticket.number,
            Ticket.title,
            Ticket.content,
            TrainingLabel.label,
            said,
            probability.label("probability"),
            TrainingLabel.provenance,
            TrainingLabel.at,
        )
        .select_from(Suggestion)
        .join(
            TrainingLabel,
            (TrainingLabel.ticket_id == Suggestion.ticket_id)
            & (TrainingLabel.task == LabelTask.CATEGORY)
            & TrainingLabel.superseded_at.is_(None)
            & TrainingLabel.provenance.in_(unsettled),
        )
        .join(Ticket, Ticket.id == Suggestion.ticket_id)
        .where(Suggestion.id > newest - _AUDIT_READ, said != TrainingLabel.label, probability >= CONFIDENT)
        .order_by(probability.desc(), Suggestion.id.desc())
    )


def _doubt(row: Any) -> Doubt:  # noqa: ANN401 - the columns of the select above
    return Doubt(
        ticket_id=row[0],
        number=row[1],
        title=row[2],
        content=row[3],
        label=row[4],
        said=row[5],
        probability=row[6],
        provenance=row[7],
        at=row[8],
    )
