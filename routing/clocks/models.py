"""Tables of what changes a running clock: suspensions, extensions, another class, refused returns, kept profiles."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.orm import Mapped, mapped_column

from hotline.core.db import Base, EnumText, one_of


class AdjustmentKind(StrEnum):
    """What sort of change it is; each is an interval or a moment in the life of one dispatch."""

    SUSPENSION = "suspension"
    EXTENSION = "extension"
    RECLASSIFICATION = "reclassification"
    RETURN_REFUSED = "return_refused"


class AdjustmentState(StrEnum):
    """Where a wish stands; only approved ones change a clock."""

    ASKED = "asked"
    APPROVED = "approved"
    REFUSED = "refused"
    LAPSED = "lapsed"


class Adjustment(Base):
    """One change of the deadlines of one dispatch, asked for by the department or made by the hotline."""

    __tablename__ = "adjustments"

    id: Mapped[int] = mapped_column(primary_key=True)
    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"))
    dispatch_id: Mapped[int] = mapped_column(ForeignKey("dispatches.id"))
    kind: Mapped[AdjustmentKind] = mapped_column(EnumText(AdjustmentKind))
    state: Mapped[AdjustmentState] = mapped_column(EnumText(AdjustmentState))
    cause: Mapped[str] = mapped_column(default="", server_default="", comment="type of a suspension, of the profile")
    reason: Mapped[str] = mapped_column(default="", server_default="", comment="redacted words")
    basis: Mapped[str] = mapped_column(default="", server_default="", comment="rule that an extension rests on")
    evidence_id: Mapped[int | None] = mapped_column(ForeignKey("attachments.id"))
    workdays: Mapped[int | None] = mapped_column(comment="how many an extension adds")
    starts_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None] = mapped_column(comment="when the clock runs again, or ran again")
    latest_at: Mapped[datetime | None] = mapped_column(comment="the furthest end that the profile allows this cause")
    max_workdays: Mapped[int | None] = mapped_column(comment="the longest that the profile allows this cause")
    higher_level: Mapped[bool] = mapped_column(default=False, server_default="false", comment="a further extension")
    terms: Mapped[dict[str, Any]] = mapped_column(
        default=dict, server_default="{}", comment="type, urgency, class since"
    )
    asked_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    asked_at: Mapped[datetime]
    decided_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    decided_at: Mapped[datetime | None]
    decided_words: Mapped[str] = mapped_column(default="", server_default="")
    resumed_at: Mapped[datetime | None] = mapped_column(comment="the clock runs again since, noticed by the schedule")

    __table_args__ = (
        one_of("kind", AdjustmentKind),
        one_of("state", AdjustmentState),
        CheckConstraint("(state IN ('approved', 'refused')) = (decided_at IS NOT NULL)", name="decided_has_time"),
        CheckConstraint("state <> 'refused' OR decided_words <> ''", name="refused_has_words"),
        CheckConstraint(
            "kind <> 'suspension' OR (cause <> '' AND evidence_id IS NOT NULL AND starts_at IS NOT NULL"
            " AND ends_at IS NOT NULL AND latest_at IS NOT NULL AND max_workdays IS NOT NULL)",
            name="suspension_is_whole",
        ),
        CheckConstraint("ends_at > starts_at", name="interval_has_length"),
        CheckConstraint("ends_at <= latest_at", name="no_longer_than_allowed"),
        # The calendar is not the database's; but no run of working days is stretched further than this by days of rest.
        CheckConstraint(
            "latest_at - starts_at <= max_workdays * interval '72 hours' + interval '360 hours'",
            name="allowed_is_plausible",
        ),
        CheckConstraint(
            "kind <> 'extension' OR (coalesce(workdays, 0) BETWEEN 1 AND 1000 AND basis <> '' AND reason <> '')",
            name="extension_is_whole",
        ),
        # Nobody grants time to himself.
        CheckConstraint(
            "kind NOT IN ('suspension', 'extension') OR decided_by IS DISTINCT FROM asked_by OR asked_by IS NULL",
            name="two_persons",
        ),
        CheckConstraint(
            "resumed_at IS NULL OR (kind = 'suspension' AND state = 'approved')", name="only_pauses_resume"
        ),
        # The clock of one dispatch stands once at a time.
        ExcludeConstraint(
            (text("int8range(dispatch_id, dispatch_id, '[]')"), "&&"),
            (text("tstzrange(starts_at, ends_at)"), "&&"),
            using="gist",
            where=text("kind = 'suspension' AND state = 'approved'"),
            name="ex_adjustments_one_pause_at_a_time",
        ),
        # One wish of a kind is open at a time.
        Index("uq_adjustments_asked", "dispatch_id", "kind", unique=True, postgresql_where=text("state = 'asked'")),
        # Extended once, unless a higher level approves (domain.md 2.8).
        Index(
            "uq_adjustments_extended",
            "dispatch_id",
            unique=True,
            postgresql_where=text("kind = 'extension' AND state = 'approved' AND NOT higher_level"),
        ),
        # What waits for the hotline's decision, the oldest first?
        Index("ix_adjustments_waiting", "asked_at", "id", postgresql_where=text("state = 'asked'")),
        # What was decided last?
        Index(
            "ix_adjustments_decided",
            text("decided_at DESC"),
            text("id DESC"),
            postgresql_where=text("decided_at IS NOT NULL"),
        ),
        # Which pauses end now? Asked by the schedule every minute.
        Index(
            "ix_adjustments_standing",
            "ends_at",
            postgresql_where=text("kind = 'suspension' AND state = 'approved' AND resumed_at IS NULL"),
        ),
        # Every change in the life of a ticket, in order.
        Index("ix_adjustments_ticket_id", "ticket_id", "id"),
    )


class ProfileVersion(Base):
    """A deadline profile as it was when tickets were dispatched under it; they keep it for their lives."""

    __tablename__ = "profile_versions"

    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    body: Mapped[dict[str, Any]] = mapped_column(comment="routing.clocks.profiles.Profile.to_mapping")
    first_used_at: Mapped[datetime]
