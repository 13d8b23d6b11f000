"""Reads of relations: members of a main ticket, the main of a member, incidents and what their callers were told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from hotline.core.errors import NotFound
from hotline.core.paging import Stretch, by_key
from hotline.core.permissions import Actor
from hotline.core.text import search_words
from hotline.people.models import User
from hotline.tickets.models import Ticket
from hotline.tickets.states import Outcome, State
from routing.models import Department, Dispatch
from routing.queries import MOST_ROWS, visible_to
from routing.relations.joining import KnownIncident
from routing.relations.models import Announcement, Incident, Merge


@dataclass(frozen=True, kw_only=True)
class MemberRow:
    """One ticket that is answered with a main one."""

    id: int
    number: str
    title: str
    state: State
    outcome: Outcome | None
    registered_at: datetime
    merged_at: datetime
    answered_at: datetime | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class MainRow:
    """The main ticket of a member, and who has it in hand."""

    id: int
    number: str
    title: str
    department: str
    answered_at: datetime | None
    incident: str
    #: What callers of the incident are told.
    incident_words: str


@dataclass(frozen=True, kw_only=True)
class IncidentRow:
    """One incident as a list shows it."""

    id: int
    title: str
    words: str
    main: str
    main_state: State
    department: str
    callers: int
    opened_at: datetime
    opened_by: str
    closed_at: datetime | None


def members_of(session: Session, actor: Actor, main_id: int, *, limit: int = 200) -> Sequence[MemberRow]:
    """Return what is answered with a main ticket, in order, as far as the person may see it."""
    rows = session.execute(
        select(Ticket, Merge)
        .join(Merge, Merge.ticket_id == Ticket.id)
        .where(Merge.main_id == main_id, visible_to(actor))
        .order_by(Ticket.id)
        .limit(limit)
    )
    return [
        MemberRow(
            id=ticket.id,
            number=ticket.number,
            title=ticket.title,
            state=ticket.state,
            outcome=ticket.outcome,
            registered_at=ticket.registered_at,
            merged_at=merge.merged_at,
            answered_at=merge.answered_at,
            reason=merge.reason,
        )
        for ticket, merge in rows
    ]


def count_members(session: Session, main_id: int) -> int:
    """Return how many tickets are answered with this one."""
    return int(session.scalar(select(func.count()).select_from(Merge).where(Merge.main_id == main_id)) or 0)


def main_of(session: Session, ticket_id: int) -> MainRow | None:
    """Return the main ticket of a member, if it is one."""
    row = session.execute(
        select(
            Ticket.id, Ticket.number, Ticket.title, Department.name, Merge.answered_at, Incident.title, Incident.words
        )
        .join(Merge, Merge.main_id == Ticket.id)
        .join(Dispatch, (Dispatch.ticket_id == Ticket.id) & Dispatch.is_current, isouter=True)
        .join(Department, Department.id == Dispatch.department_id, isouter=True)
        .join(Incident, Incident.main_id == Ticket.id, isouter=True)
        .where(Merge.ticket_id == ticket_id)
    ).first()
    if row is None:
        return None
    return MainRow(
        id=row[0],
        number=row[1],
        title=row[2],
        department=row[3] or "",
        answered_at=row[4],
        incident=row[5] or "",
        incident_words=row[6] or "",
    )


def incidents(session: Session, *, open_only: bool = True, cursor: str = "", limit: int = 30) -> Stretch[IncidentRow]:
    """Return incidents, the newest first, by keyset."""
    limit = min(limit, MOST_ROWS)
    return by_key(
        session,
        _incidents().where(Incident.closed_at.is_(None) if open_only else Incident.closed_at.is_not(None)),
        column=Incident.id,
        newest_first=True,
        cursor=cursor,
        limit=limit,
        made=lambda *row: _incident(row),
        key=lambda row: row.id,
    )


def incident(session: Session, incident_id: int) -> IncidentRow:
    """Return one incident, or `NotFound`."""
    row = session.execute(_incidents().where(Incident.id == incident_id)).first()
    if row is None:
        raise NotFound
    return _incident(row)


def incident_of(session: Session, main_id: int) -> int | None:
    """Return the incident whose main ticket this is."""
    return session.scalar(select(Incident.id).where(Incident.main_id == main_id))


def announcements(session: Session, incident_id: int) -> Sequence[tuple[Announcement, str]]:
    """Return what the callers of an incident were told, the newest first, and by whom."""
    rows = session.execute(
        select(Announcement, User.display_name)
        .join(User, User.id == Announcement.sent_by, isouter=True)
        .where(Announcement.incident_id == incident_id)
        .order_by(Announcement.id.desc())
        .limit(50)
    )
    return [(row, name or "") for row, name in rows]


def known_incidents(session: Session) -> list[KnownIncident]:
    """Return every open incident with the words that it is known by; a city has a handful."""
    rows = session.execute(
        select(Incident, Ticket.title, Ticket.content, Ticket.place)
        .join(Ticket, Ticket.id == Incident.main_id)
        .where(Incident.closed_at.is_(None))
        .order_by(Incident.id.desc())
        .limit(100)
    )
    return [
        KnownIncident(
            id=row.id,
            title=row.title,
            words=row.words,
            telling=frozenset(
                word for word in search_words("\n".join((row.title, title, content[:500], place))) if len(word) > 1
            ),
        )
        for row, title, content, place in rows
    ]


def _incidents() -> Any:  # noqa: ANN401 - a select of six columns has no readable type
    held = aliased(Dispatch)
    callers = select(func.count()).where(Merge.main_id == Incident.main_id).correlate(Incident).scalar_subquery()
    return (
        select(Incident, Ticket.number, Ticket.state, Department.short_name, callers, User.display_name)
        .join(Ticket, Ticket.id == Incident.main_id)
        .join(held, (held.ticket_id == Ticket.id) & held.is_current, isouter=True)
        .join(Department, Department.id == held.department_id, isouter=True)
        .join(User, User.id == Incident.opened_by, isouter=True)
    )


def _incident(row: Any) -> IncidentRow:  # noqa: ANN401 - the columns of the select above
    one, number, state, department, callers, opener = row
    return IncidentRow(
        id=one.id,
        title=one.title,
        words=one.words,
        main=number,
        main_state=state,
        department=department or "",
        callers=callers + 1,
        opened_at=one.opened_at,
        opened_by=opener or "",
        closed_at=one.closed_at,
    )
