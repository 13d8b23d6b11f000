"""What goes out to citizens: written down before it is sent, once per key."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from hotline.core.db import Base, EnumText, one_of


class MessageState(StrEnum):
    """How far a message has come on our side."""

    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"


class TextMessage(Base):
    """One SMS, sealed like everything personal."""

    __tablename__ = "text_messages"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(unique=True, comment="one effect per key, however often it is asked for")
    purpose: Mapped[str]
    sealed: Mapped[bytes] = mapped_column(LargeBinary, comment="to and body")
    to_masked: Mapped[str]
    state: Mapped[MessageState] = mapped_column(EnumText(MessageState))
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    tries: Mapped[int] = mapped_column(default=0, server_default="0")
    carrier_id: Mapped[str] = mapped_column(default="", server_default="", comment="the carrier's own name for it")
    last_error: Mapped[str] = mapped_column(default="", server_default="")
    asked_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))

    __table_args__ = (
        one_of("state", MessageState),
        # What has still to be sent?
        Index("ix_text_messages_waiting", "id", postgresql_where=text("state IN ('waiting', 'sending')")),
    )
