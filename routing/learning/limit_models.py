"""The table of limits: how sure the model must be, overall and by category, and every change of it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from hotline.core.db import Base, EnumText, one_of
from routing.learning.selective import LimitState


class DispatchLimit(Base):
    """One limit as it was set, by the record or by a person; the current one of each scope holds."""

    __tablename__ = "dispatch_limits"

    id: Mapped[int] = mapped_column(primary_key=True)
    scope: Mapped[str] = mapped_column(comment="a category's code; empty for all")
    limit: Mapped[float] = mapped_column(comment="probability that is needed; above 1 means people dispatch")
    state: Mapped[LimitState] = mapped_column(EnumText(LimitState))
    trials: Mapped[int]
    right: Mapped[int]
    lower: Mapped[float] = mapped_column(comment="one-sided 95 % lower bound of the precision")
    reason: Mapped[str]
    at: Mapped[datetime]
    by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    is_current: Mapped[bool] = mapped_column(default=True, server_default="true")

    __table_args__ = (
        one_of("state", LimitState),
        CheckConstraint('"limit" BETWEEN 0 AND 1.01', name="limit_range"),
        CheckConstraint('"right" >= 0 AND "right" <= trials', name="right_of_trials"),
        CheckConstraint("lower BETWEEN 0 AND 1", name="lower_range"),
        CheckConstraint("(state = 'closed') = (\"limit\" > 1)", name="closed_is_closed"),
        # One limit holds in each scope; read with every suggestion.
        Index("uq_dispatch_limits_current", "scope", unique=True, postgresql_where=text("is_current")),
    )
