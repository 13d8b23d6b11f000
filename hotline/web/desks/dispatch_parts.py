"""What stands beside a decision at the dispatcher's desk: similar tickets and where they went, earlier send-backs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from flask import url_for

from hotline.core.clock import local_day
from hotline.tickets.queries import Earlier
from hotline.web import labels, present
from hotline.web.desks import hints
from hotline.web.desks.disputes import READERS
from hotline.web.gate import actor, now
from routing.duty.precedents import PrecedentView
from routing.duty.queries import ReturnView
from routing.queries import DepartmentNode

#: A precedent need not be the same matter, only one of its kind.
_LEAST_PRECEDENT: Final = 0.35


@dataclass(frozen=True, kw_only=True)
class Precedent:
    """A similar ticket and where it went."""

    number: str
    href: str
    title: str
    state: str
    tone: str
    department: str
    chance: str
    age: str


@dataclass(frozen=True, kw_only=True)
class Return:
    """One return: who, when, why, on what basis, whom the unit suggests, and how the hotline ruled."""

    department: str
    by: str
    at: str
    reason: str
    words: str
    basis: str
    suggested: str
    state: str
    state_tone: str
    ruling: str


def precedents_of(
    ticket: Any,  # noqa: ANN401 - a ticket of the core
    near: Sequence[Earlier],
    texts: Mapping[int, tuple[str, str]],
    holders: Mapping[int, str],
) -> list[Precedent]:
    """Return the similar tickets that went somewhere, closed or still out, likeliest first."""
    found = hints.alike(
        (ticket.title, ticket.content),
        [one for one in near if one.id in holders],
        texts,
        now=now(),
        but=ticket.id,
        least=_LEAST_PRECEDENT,
        most=5,
    )
    return [
        Precedent(
            number=one.ticket.number,
            href=url_for("tickets.show", number=one.ticket.number),
            title=one.ticket.title,
            state=labels.words(one.ticket.outcome or one.ticket.state),
            tone=labels.label(one.ticket.outcome or one.ticket.state).tone,
            department=holders[one.ticket.id],
            chance=f"相似 {hints.percent(one.probability)}",
            age=_age(one.ticket.registered_at),
        )
        for one in found
    ]


def holding(similar: Sequence[Precedent], departments: Sequence[DepartmentNode]) -> list[tuple[int, str]]:
    """Return id and name of the department that held each of these tickets."""
    ids = {node.name: node.id for node in departments}
    return [(ids[one.department], one.department) for one in similar if one.department in ids]


def _age(at: datetime) -> str:
    return f"{present.span_words((now() - at).total_seconds())}前"


def returns_of(rows: Sequence[ReturnView]) -> list[Return]:
    """Return every return of the ticket in words, the oldest first."""
    return [
        Return(
            department=row.department,
            by=row.asked_by,
            at=present.short(row.asked_at, now=now()),
            reason=labels.words(row.reason),
            words=row.words,
            basis=row.basis,
            suggested=row.suggested,
            state=labels.label(row.state).words,
            state_tone=labels.label(row.state).tone,
            ruling="；".join(part for part in (row.decision, row.decided_by) if part),
        )
        for row in rows
    ]


@dataclass(frozen=True, kw_only=True)
class RulingPrecedent:
    """A ruling that speaks for where a ticket belongs."""

    ruling_id: int
    department_id: int
    department: str
    helping: str
    number: str
    title: str
    words: str
    basis: str
    why: str
    at: str
    #: Where the dispute is read; empty for whom it is not open.
    href: str


def rulings_of(rows: Sequence[PrecedentView]) -> list[RulingPrecedent]:
    """Return the rulings that speak for a ticket, in words, each with its reason."""
    reads = any(actor().can(permission) for permission in READERS)
    return [
        RulingPrecedent(
            ruling_id=row.ruling_id,
            department_id=row.lead_id,
            department=row.lead,
            helping="、".join(row.helping),
            number=row.number,
            title=row.title,
            words=row.words,
            basis=row.basis,
            why=row.why,
            at=present.day(local_day(row.ruled_at)),
            href=url_for("disputes.show", dispute_id=row.dispute_id) if reads else "",
        )
        for row in rows
    ]
