"""What intake remembers: which submission became which ticket, so that a second click changes nothing."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from hotline.core.db import Base


class Submission(Base):
    """One key with which a door handed in a concern."""

    __tablename__ = "submissions"

    scope: Mapped[str] = mapped_column(primary_key=True, comment="which door: web, api:<token's user>, ...")
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary, comment="of the content, keyed")
    ticket_id: Mapped[int | None] = mapped_column(ForeignKey("tickets.id"))
    answer_sealed: Mapped[bytes] = mapped_column(LargeBinary, default=b"", server_default="", comment="number, code")
    at: Mapped[datetime]

    __table_args__ = (
        # Which keys are old enough to forget?
        Index("ix_submissions_at", "at"),
    )
