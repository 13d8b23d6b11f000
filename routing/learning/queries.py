"""Reads about the model: versions, runs, alarms and the journal of learning."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, func, select, tuple_
from sqlalchemy.orm import Session, aliased

from hotline.core.errors import NotFound
from hotline.core.paging import Stretch, parse_name, turned
from hotline.people.models import User
from hotline.people.queries import names
from hotline.tickets.models import Category
from routing.learning.example_models import CategoryExample
from routing.learning.label_models import LabelTask, TrainingLabel
from routing.learning.models import (
    LearningAct,
    LearningEntry,
    ModelState,
    ModelTraining,
    ModelVersion,
    TrainingState,
)

#: Sentences written for categories that are learnt from, the newest.
MOST_WRITTEN: Final = 4_000


@dataclass(frozen=True, kw_only=True)
class VersionRow:
    """One model version as the history shows it."""

    version: str
    state: ModelState
    reason: str
    shipped: bool
    made_from: dict[str, Any]
    figures: dict[str, Any]
    trained_at: datetime
    decided_at: datetime | None
    decided_by: str


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """One training run."""

    id: int
    state: TrainingState
    why: str
    asked_at: datetime
    asked_by: str
    started_at: datetime | None
    ended_at: datetime | None
    step: str
    share: float
    version: str | None


@dataclass(frozen=True, kw_only=True)
class EntryRow:
    """One line of the journal of learning."""

    id: int
    at: datetime
    act: LearningAct
    who: str
    words: str
    details: dict[str, Any]


def versions(session: Session, *, cursor: str = "", limit: int = 20) -> Stretch[VersionRow]:
    """Return one page of the history of models, the newest first; `Invalid` on a cursor not ours."""
    backwards, name = parse_name(cursor)
    trained, version = ModelVersion.trained_at, ModelVersion.version
    query = select(ModelVersion, User.display_name).outerjoin(User, User.id == ModelVersion.decided_by)
    if name is not None:
        last = session.get(ModelVersion, name)
        if last is None:
            raise NotFound
        here, there = tuple_(trained, version), tuple_(last.trained_at, last.version)
        query = query.where(here > there if backwards else here < there)
    order = (trained, version) if backwards else (trained.desc(), version.desc())
    found = [_version(row, who) for row, who in session.execute(query.order_by(*order).limit(limit + 1))]
    return turned(found, limit, backwards=backwards, started=name is not None, name=lambda row: row.version)


def version(session: Session, name: str) -> VersionRow:
    """Return one model version or raise `NotFound`."""
    row = session.get(ModelVersion, name)
    if row is None:
        raise NotFound
    return _version(row, session.scalar(select(User.display_name).where(User.id == row.decided_by)))


def in_use(session: Session) -> VersionRow | None:
    """Return the model in use as the book has it; nothing before the first training of a new city."""
    row = session.scalars(select(ModelVersion).where(ModelVersion.state == ModelState.IN_USE)).first()
    return _version(row, None) if row is not None else None


def runs(session: Session, *, limit: int = 8) -> Sequence[RunRow]:
    """Return the latest training runs, newest first."""
    rows = session.execute(
        select(ModelTraining, User.display_name)
        .outerjoin(User, User.id == ModelTraining.asked_by)
        .order_by(ModelTraining.id.desc())
        .limit(limit)
    )
    return [
        RunRow(
            id=row.id,
            state=row.state,
            why=row.why,
            asked_at=row.asked_at,
            asked_by=name or "系统",
            started_at=row.started_at,
            ended_at=row.ended_at,
            step=row.step,
            share=row.share,
            version=row.version,
        )
        for row, name in rows
    ]


def alarms(session: Session) -> Sequence[EntryRow]:
    """Return what nobody has acknowledged yet."""
    return _entries(session, select(LearningEntry).where(LearningEntry.alarm, LearningEntry.heard_at.is_(None)), 20)


def journal(session: Session, *, limit: int = 30) -> Sequence[EntryRow]:
    """Return what happened to the model lately, newest first."""
    return _entries(session, select(LearningEntry), limit)


def labels_by_task(session: Session, *, most: int = 100_000) -> dict[LabelTask, int]:
    """Count the labels that hold, each task up to `most`: a figure for a page, not for a report."""
    return {
        task: int(
            session.scalar(
                select(func.count()).select_from(
                    select(TrainingLabel.id)
                    .where(TrainingLabel.task == task, TrainingLabel.superseded_at.is_(None))
                    .limit(most)
                    .subquery()
                )
            )
            or 0
        )
        for task in LabelTask
    }


def _entries(session: Session, query: Any, limit: int) -> list[EntryRow]:  # noqa: ANN401 - a select of the entry
    rows = session.scalars(query.order_by(LearningEntry.id.desc()).limit(limit)).all()
    known = names(session, [row.by_id for row in rows])
    return [
        EntryRow(
            id=row.id,
            at=row.at,
            act=row.act,
            who=known.get(row.by_id or 0, "系统"),
            words=row.words,
            details=row.details,
        )
        for row in rows
    ]


def _version(row: ModelVersion, name: str | None) -> VersionRow:
    return VersionRow(
        version=row.version,
        state=row.state,
        reason=row.reason,
        shipped=row.shipped,
        made_from=row.made_from,
        figures=row.figures,
        trained_at=row.trained_at,
        decided_at=row.decided_at,
        decided_by=name or "系统",
    )


def leaf_in_use() -> ColumnElement[bool]:
    """Say which categories are in use and have none in use below them: only those are told apart."""
    children = aliased(Category)
    parted = select(children.id).where(children.parent_id == Category.id, children.valid_to.is_(None)).exists()
    return and_(Category.valid_to.is_(None), ~parted)


def written_examples(session: Session) -> Mapping[str, Sequence[str]]:
    """Return the sentences that administrators wrote for leaves in use, by code, the newest first.

    A city writes them for a few new categories, at most two hundred each (`category_examples.MOST`).
    """
    rows = session.execute(
        select(Category.code, CategoryExample.body)
        .join(Category, Category.id == CategoryExample.category_id)
        .where(leaf_in_use())
        .order_by(CategoryExample.id.desc())
        .limit(MOST_WRITTEN)
    )
    found: dict[str, list[str]] = defaultdict(list)
    for code, body in rows:
        found[code].append(body)
    return found
