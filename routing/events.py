"""What routing announces."""

from __future__ import annotations

from dataclasses import dataclass

from hotline.core.outbox import Event


@dataclass(frozen=True, kw_only=True)
class TicketDispatched(Event):
    """A department has a ticket in hand and a deadline."""

    ticket_id: int
    dispatch_id: int
    department_id: int
    due_at: str
    automatic: bool
    rework: bool


@dataclass(frozen=True, kw_only=True)
class TicketSigned(Event):
    """The department has signed for a ticket."""

    ticket_id: int
    dispatch_id: int


@dataclass(frozen=True, kw_only=True)
class TicketAnswered(Event):
    """The department has fed back, and whoever had to read it has passed it; the citizen must now be called."""

    ticket_id: int
    dispatch_id: int
    round: int
    #: When a reader passed it on; empty when nobody had to.
    at: str = ""
    #: Whether other tickets wait to be answered with this one, where whoever announces it has asked.
    members_wait: bool | None = None


@dataclass(frozen=True, kw_only=True)
class ReturnAsked(Event):
    """A department says that a ticket is not its duty; the hotline must rule."""

    ticket_id: int
    return_id: int
    dispatch_id: int


@dataclass(frozen=True, kw_only=True)
class ReturnRefused(Event):
    """The hotline has ruled that the department keeps the ticket."""

    ticket_id: int
    return_id: int


@dataclass(frozen=True, kw_only=True)
class DisputeOpened(Event):
    """Nobody agrees whose duty a ticket is; a panel must rule."""

    ticket_id: int
    dispute_id: int


@dataclass(frozen=True, kw_only=True)
class DisputeEnded(Event):
    """A dispute has been ruled on, or the hotline has designated an owner (`state`)."""

    ticket_id: int
    dispute_id: int
    state: str


@dataclass(frozen=True, kw_only=True)
class MainAnswered(Event):
    """A ticket was answered with which others are to be answered, too."""

    ticket_id: int
    dispatch_id: int


@dataclass(frozen=True, kw_only=True)
class TicketSentBack(Event):
    """The hotline has upheld a return; the ticket is in nobody's hands until it is sent on."""

    ticket_id: int
    dispatch_id: int


@dataclass(frozen=True, kw_only=True)
class ClockAdjusted(Event):
    """A pause or an extension was approved, or a pause has ended; `what` is the act of the journal."""

    ticket_id: int
    adjustment_id: int
    what: str


@dataclass(frozen=True, kw_only=True)
class CatalogueTrialAsked(Event):
    """A draft of the catalogue is to be tried on last month's tickets, which takes longer than a page waits."""

    trial_id: int


@dataclass(frozen=True, kw_only=True)
class RecountOrdered(Event):
    """Open tickets are to be counted anew, which takes longer than a page waits; told again for each further batch."""

    recount_id: int
    after_ticket_id: int


@dataclass(frozen=True, kw_only=True)
class DeadlineMoved(Event):
    """A declared day or an edition moved the deadline of an open ticket whose citizen had been told a date."""

    ticket_id: int
    dispatch_id: int
    recount_id: int
