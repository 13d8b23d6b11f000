"""Tables of calls by a relay number (中间号): from which telephone they may come, and each call with its end."""

from __future__ import annotations

from datetime import date, datetime
from typing import Final

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from hotline.core.db import Base, EnumText, one_of
from hotline.telephony.ports import CallEnd

#: How many calls of one part are connected on one day; the database knows the same number.
MOST_A_DAY: Final = 10


class RelayLine(Base):
    """A telephone that somebody has announced for a part: only from it does the relay number reach the citizen."""

    __tablename__ = "relay_lines"

    id: Mapped[int] = mapped_column(primary_key=True)
    subtask_id: Mapped[int] = mapped_column(ForeignKey("subtasks.id"))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), comment="who calls from it; the last to say so")
    phone_index: Mapped[bytes] = mapped_column(LargeBinary, comment="keyed fingerprint of the telephone's number")
    phone_masked: Mapped[str]
    announced_at: Mapped[datetime]

    __table_args__ = (
        # May this telephone call for this part, and who is it?
        Index("uq_relay_lines_phone", "subtask_id", "phone_index", unique=True),
    )


class RelayCall(Base):
    """A call that was connected to the citizen through a relay number; its end is told by the carrier."""

    __tablename__ = "relay_calls"

    id: Mapped[int] = mapped_column(primary_key=True)
    subtask_id: Mapped[int] = mapped_column(ForeignKey("subtasks.id"))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), comment="who called")
    phone_masked: Mapped[str] = mapped_column(comment="from which telephone")
    call_key: Mapped[str] = mapped_column(unique=True, comment="the carrier's name for the call")
    day: Mapped[date] = mapped_column(comment="the local day on which it began")
    of_day: Mapped[int] = mapped_column(comment="the how manieth of the part on that day")
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    ending: Mapped[CallEnd | None] = mapped_column(EnumText(CallEnd))
    talked_s: Mapped[int] = mapped_column(default=0, server_default="0", comment="seconds of talk")

    # That a call begins only while its part is open is held by the trigger relay_call_needs_open_part.
    __table_args__ = (
        one_of("ending", CallEnd),
        CheckConstraint("(ended_at IS NULL) = (ending IS NULL)", name="ended_has_ending"),
        CheckConstraint(f"of_day BETWEEN 1 AND {MOST_A_DAY}", name="bounded_a_day"),
        CheckConstraint("talked_s >= 0 AND (talked_s = 0 OR ending = 'answered')", name="talked_when_answered"),
        CheckConstraint("char_length(call_key) BETWEEN 1 AND 100", name="call_key_length"),
        # How many calls of this part were there today? Two at once cannot be the same one.
        Index("uq_relay_calls_of_day", "subtask_id", "day", "of_day", unique=True),
        # Of which calls has nobody told the end?
        Index("ix_relay_calls_open", "started_at", "id", postgresql_where=text("ended_at IS NULL")),
    )
