"""What callbacks announce."""

from __future__ import annotations

from dataclasses import dataclass

from hotline.core.outbox import Event


@dataclass(frozen=True, kw_only=True)
class CallbackDone(Event):
    """A callback has come to a result."""

    ticket_id: int
    callback_id: int
    verdict: str
