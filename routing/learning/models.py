"""Tables of learning in use: model versions, training runs, who stands on which side, and what was decided about it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from hotline.core.db import Base, EnumText, one_of


class ModelState(StrEnum):
    """Where a model version stands."""

    CANDIDATE = "candidate"
    """Passed the comparison and waits for a person."""
    IN_USE = "in_use"
    """Answers now; there is at most one."""
    RETIRED = "retired"
    """Was in use; its file is kept, so one can go back to it."""
    REFUSED = "refused"
    """Did not pass the comparison; only its figures are kept."""


class TrainingState(StrEnum):
    """How far a training run has come."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Side(StrEnum):
    """What an example is for; given once, for good."""

    TRAIN = "train"
    HOLDOUT = "holdout"
    NEITHER = "neither"
    """A near-copy of examples on both sides, so fit for none."""


class LearningAct(StrEnum):
    """What happened to the model; each is one line that is kept."""

    ASKED = "asked"
    TRAINED = "trained"
    REFUSED = "refused"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    SETTINGS = "settings"
    TIGHTENED = "tightened"
    LOOSENED = "loosened"
    SETTLED = "settled"
    WORDS = "words"
    CATALOGUE = "catalogue"


class ModelVersion(Base):
    """One trained model: what it was made from, how it did, and what became of it."""

    __tablename__ = "model_versions"

    version: Mapped[str] = mapped_column(primary_key=True, comment="content hash; every suggestion names it")
    state: Mapped[ModelState] = mapped_column(EnumText(ModelState))
    reason: Mapped[str] = mapped_column(default="", server_default="", comment="why it stands where it stands")
    shipped: Mapped[bool] = mapped_column(
        default=False, server_default="false", comment="trained from the seed corpus alone"
    )
    made_from: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}", comment="counts and settings")
    figures: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}", comment="how it did, measured")
    trained_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))

    __table_args__ = (
        one_of("state", ModelState),
        # One model answers at a time.
        Index("uq_model_versions_in_use", "state", unique=True, postgresql_where=text("state = 'in_use'")),
        # The history, newest first.
        Index("ix_model_versions_trained_at", "trained_at", "version"),
    )


class ModelTraining(Base):
    """One run of training, asked for by a person or the timetable."""

    __tablename__ = "model_trainings"

    id: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[TrainingState] = mapped_column(EnumText(TrainingState))
    why: Mapped[str] = mapped_column(comment="in words: by hand, on schedule, a new category")
    asked_at: Mapped[datetime]
    asked_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    started_at: Mapped[datetime | None]
    beat_at: Mapped[datetime | None] = mapped_column(comment="last sign of life of the training process")
    step: Mapped[str] = mapped_column(default="", server_default="", comment="what it is doing, in words")
    share: Mapped[float] = mapped_column(default=0.0, server_default="0", comment="how far it has come, 0 to 1")
    ended_at: Mapped[datetime | None]
    version: Mapped[str | None] = mapped_column(ForeignKey("model_versions.version"))

    __table_args__ = (
        one_of("state", TrainingState),
        CheckConstraint("(state IN ('done', 'failed')) = (ended_at IS NOT NULL)", name="ended_has_time"),
        CheckConstraint("state <> 'running' OR started_at IS NOT NULL", name="running_has_start"),
        CheckConstraint("share BETWEEN 0 AND 1", name="share_range"),
        # One run at a time waits, and one runs: the machine has no room for two.
        Index(
            "uq_model_trainings_open", "state", unique=True, postgresql_where=text("state IN ('waiting', 'running')")
        ),
    )


class TrainingSide(Base):
    """On which side a ticket stands in every comparison of models, for good: the hold-out is frozen."""

    __tablename__ = "training_sides"

    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"), primary_key=True)
    side: Mapped[Side] = mapped_column(EnumText(Side))
    assigned_at: Mapped[datetime]

    __table_args__ = (one_of("side", Side),)


class LearningEntry(Base):
    """One line about the model: who did what, when, why; never changed but for being acknowledged."""

    __tablename__ = "learning_journal"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    act: Mapped[LearningAct] = mapped_column(EnumText(LearningAct))
    by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    words: Mapped[str]
    details: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}", comment="no personal data")
    alarm: Mapped[bool] = mapped_column(default=False, server_default="false", comment="a person must hear of it")
    heard_at: Mapped[datetime | None]
    heard_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))

    __table_args__ = (
        one_of("act", LearningAct),
        CheckConstraint("heard_at IS NULL OR alarm", name="only_alarms_are_heard"),
        # What has nobody acknowledged yet? The page and the overview ask with every view.
        Index("ix_learning_journal_unheard", "id", postgresql_where=text("alarm AND heard_at IS NULL")),
    )
