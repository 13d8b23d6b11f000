"""The table of labelled examples: what people decided about a ticket's category, department and type, and how."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from hotline.core.db import Base, EnumText, one_of


class LabelTask(StrEnum):
    """What a label answers."""

    CATEGORY = "category"
    """The category's code."""
    DEPARTMENT = "department"
    """The code of the department whose duty it is."""
    REQUEST_TYPE = "request_type"
    """The stored value of `vocabulary.RequestType`."""


class Provenance(StrEnum):
    """Which decision a label comes from; `labels.STANDING` says what each is worth."""

    CHOSEN = "chosen"
    """A person's first choice where the model had said nothing."""
    ACCEPTED = "accepted"
    """A person agreed with the model's suggestion."""
    CHANGED = "changed"
    """A person decided otherwise than the model suggested."""
    PROPOSED = "proposed"
    """Where a department that sent a ticket back thinks it belongs."""
    AMENDED = "amended"
    """A person corrected the ticket's classification later."""
    REDISPATCHED = "redispatched"
    """Where a dispatcher sent the ticket after a department had returned it."""
    ANSWERED = "answered"
    """The department answered and so took the duty as its own."""
    RETURN_UPHELD = "return_upheld"
    """A return was examined and found right: the department named here is the one."""
    RETURN_REFUSED = "return_refused"
    """A return was examined and found wrong: the department that held the ticket is the one."""
    AUDITED = "audited"
    """Somebody looked at a doubtful example and settled it."""
    RULED = "ruled"
    """A panel ruled on whose duty it is (domain.md 2.7)."""


class TrainingLabel(Base):
    """One decision of a person about one ticket, as an example for the model; never changed, only superseded."""

    __tablename__ = "training_labels"

    id: Mapped[int] = mapped_column(primary_key=True)
    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"))
    task: Mapped[LabelTask] = mapped_column(EnumText(LabelTask))
    label: Mapped[str] = mapped_column(comment="a code, never words of a citizen")
    provenance: Mapped[Provenance] = mapped_column(EnumText(Provenance))
    weight: Mapped[float] = mapped_column(comment="what it counts in training; 1 is a first choice")
    at: Mapped[datetime]
    by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    superseded_at: Mapped[datetime | None] = mapped_column(comment="when a better founded decision took its place")

    __table_args__ = (
        one_of("task", LabelTask),
        one_of("provenance", Provenance),
        CheckConstraint("label <> ''", name="says_something"),
        CheckConstraint("weight > 0 AND weight <= 10", name="weight_range"),
        CheckConstraint("superseded_at IS NULL OR superseded_at >= at", name="superseded_later"),
        # What holds of a ticket now? One answer for each task, and the set that is learnt from.
        Index(
            "uq_training_labels_current",
            "ticket_id",
            "task",
            unique=True,
            postgresql_where=text("superseded_at IS NULL"),
        ),
        # Every decision about a ticket, in order.
        Index("ix_training_labels_ticket_id", "ticket_id", "id"),
        # What was decided since a moment? The newest weeks, and whether enough came in to learn again.
        Index("ix_training_labels_at", "task", "at", postgresql_where=text("superseded_at IS NULL")),
    )
