"""What the ticket core announces."""

from __future__ import annotations

from dataclasses import dataclass

from hotline.core.outbox import Event


@dataclass(frozen=True, kw_only=True)
class TicketRegistered(Event):
    """A concern has become a ticket."""

    ticket_id: int


@dataclass(frozen=True, kw_only=True)
class TicketAmended(Event):
    """Facts or classification of a ticket were corrected."""

    ticket_id: int
    fields: tuple[str, ...]
    """Names of the columns that are different now."""

    by_id: int | None
    at: str


@dataclass(frozen=True, kw_only=True)
class TicketRefused(Event):
    """A concern was refused; its citizen must learn where to turn instead."""

    ticket_id: int
    at: str


@dataclass(frozen=True, kw_only=True)
class TicketClosed(Event):
    """A ticket has come to its end."""

    ticket_id: int
    outcome: str
