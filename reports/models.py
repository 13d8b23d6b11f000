"""What left the house on paper or as a file: one line for each time (domain.md 7)."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from hotline.core.db import Base, EnumText, one_of
from hotline.core.permissions import Role


class Taken(StrEnum):
    """What somebody took out."""

    TICKETS_CSV = "tickets_csv"
    TICKETS_XLSX = "tickets_xlsx"
    DEPARTMENTS_CSV = "departments_csv"
    CATALOGUE_XLSX = "catalogue_xlsx"
    WORDS_CSV = "words_csv"
    TICKET_PRINT = "ticket_print"
    DISPUTE_PRINT = "dispute_print"
    NOTICE_PRINT = "notice_print"
    MODEL_CARD_JSON = "model_card_json"


class ExportEntry(Base):
    """One export or print; never changed, never deleted: a trigger refuses both."""

    __tablename__ = "exports"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    by_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    by_role: Mapped[Role] = mapped_column(EnumText(Role))
    what: Mapped[Taken] = mapped_column(EnumText(Taken))
    scope: Mapped[str] = mapped_column(default="", server_default="", comment="query, edition or number; redacted")
    rows: Mapped[int] = mapped_column(comment="lines that went out, without the heading")

    __table_args__ = (
        one_of("what", Taken),
        CheckConstraint("rows >= 0", name="rows_counted"),
        # What did this person take out, the newest first?
        Index("ix_exports_by_id_id", "by_id", "id"),
    )
