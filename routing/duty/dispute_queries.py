"""Reads of disputes: the list, and one dispute with all that was said; `heard_by` is who may read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, literal, or_, select, tuple_
from sqlalchemy.orm import Session, aliased
from sqlalchemy.sql import ColumnElement

from hotline.core.errors import NotFound
from hotline.core.paging import Stretch, instant, microseconds, parse_pair, turned
from hotline.core.permissions import GRANTS, Actor, Permission, Role
from hotline.people.models import User
from hotline.tickets.models import Attachment, Ticket
from hotline.tickets.states import State
from hotline.tickets.vocabulary import RequestType
from routing.duty.models import Dispute, DisputeParty, PanelMember, Position, Ruling
from routing.duty.queries import department_names
from routing.duty.rules import Cause, DisputeState, RulingState, Seat, Stance
from routing.models import Department

MOST_ROWS: Final = 100


@dataclass(frozen=True, kw_only=True)
class DisputeRow:
    """One line of the list."""

    id: int
    number: str
    title: str
    cause: Cause
    state: DisputeState
    opened_at: datetime
    due_at: datetime
    ended_at: datetime | None
    interim: str
    returned: int


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a unit said, with its documents (id, name)."""

    department: str
    stance: Stance
    words: str
    basis: str
    by: str
    at: datetime
    files: Sequence[tuple[int, str]]


@dataclass(frozen=True, kw_only=True)
class Ruled:
    """A ruling, proposed, dropped or in force."""

    id: int
    state: RulingState
    lead_id: int
    lead: str
    helping: Sequence[str]
    words: str
    basis: str
    proposed_by: str
    proposed_by_id: int
    proposed_at: datetime
    confirmed_by: str
    confirmed_at: datetime | None
    dropped_words: str
    retired_at: datetime | None
    has_category: bool
    #: The only request type that it is a precedent for; none where it holds for any.
    request_type: RequestType | None


@dataclass(frozen=True, kw_only=True)
class DisputeView:
    """One dispute with everything that was said; nothing personal in it."""

    id: int
    ticket_id: int
    number: str
    title: str
    content: str
    place: str
    ticket_state: State
    ticket_version: int
    request_type: RequestType
    returned: int
    cause: Cause
    words: str
    opened_at: datetime
    opened_by: str
    due_at: datetime
    steps: Sequence[str]
    interim: str
    interim_reason: str
    state: DisputeState
    ended_at: datetime | None
    ended_by: str
    ended_words: str
    parties: Mapping[int, str]
    panel: Sequence[tuple[int, str, Seat]]
    positions: Sequence[Said]
    rulings: Sequence[Ruled]


def heard_by(actor: Actor) -> ColumnElement[bool]:
    """Return which disputes a person may read: all (the hotline), those he rules on, those his units are heard in."""
    if actor.can(Permission.DISPUTE_CONVENE) or actor.can(Permission.FIGURES_VIEW):
        return literal(value=True)
    seats = select(PanelMember.dispute_id).where(PanelMember.user_id == actor.user_id)
    mine = select(DisputeParty.dispute_id).where(DisputeParty.department_id.in_(actor.department_ids))
    return or_(Dispute.id.in_(seats), Dispute.id.in_(mine))


def dispute_list(
    session: Session, actor: Actor, *, open_only: bool = True, cursor: str = "", limit: int = 20
) -> Stretch[DisputeRow]:
    """Return disputes by keyset: the open ones in order of their limit, or the ended ones, the newest first."""
    limit = min(limit, MOST_ROWS)
    backwards, key = parse_pair(cursor)
    interim = aliased(Department)
    query: Any = (
        select(Dispute, Ticket, interim.name)
        .join(Ticket, Ticket.id == Dispute.ticket_id)
        .join(interim, interim.id == Dispute.interim_id)
        .where(heard_by(actor), (Dispute.state == DisputeState.OPEN) == literal(open_only))
    )
    rising = open_only is not backwards
    column = Dispute.due_at if open_only else Dispute.ended_at
    if key is not None:
        here, there = tuple_(column, Dispute.id), tuple_(literal(instant(key[0])), literal(key[1], BigInteger))
        query = query.where(here > there if rising else here < there)
    order = (column.asc(), Dispute.id.asc()) if rising else (column.desc(), Dispute.id.desc())
    found = [
        DisputeRow(
            id=dispute.id,
            number=ticket.number,
            title=ticket.title,
            cause=dispute.cause,
            state=dispute.state,
            opened_at=dispute.opened_at,
            due_at=dispute.due_at,
            ended_at=dispute.ended_at,
            interim=name,
            returned=ticket.returned,
        )
        for dispute, ticket, name in session.execute(query.order_by(*order).limit(limit + 1))
    ]
    return turned(
        found,
        limit,
        backwards=backwards,
        started=key is not None,
        name=lambda row: f"{microseconds(row.due_at if open_only else row.ended_at or row.due_at)}|{row.id}",
    )


def dispute_for(session: Session, actor: Actor, dispute_id: int) -> DisputeView:
    """Return one dispute that the person may read; otherwise `NotFound`, which tells nothing."""
    opener, ender = aliased(User), aliased(User)
    row = session.execute(
        select(Dispute, Ticket, Department.name, opener.display_name, ender.display_name)
        .join(Ticket, Ticket.id == Dispute.ticket_id)
        .join(Department, Department.id == Dispute.interim_id)
        .join(opener, opener.id == Dispute.opened_by, isouter=True)
        .join(ender, ender.id == Dispute.ended_by, isouter=True)
        .where(Dispute.id == dispute_id, heard_by(actor))
    ).first()
    if row is None:
        raise NotFound
    dispute, ticket, interim, opened_by, ended_by = row
    parties = session.execute(
        select(Department.id, Department.name)
        .join(DisputeParty, DisputeParty.department_id == Department.id)
        .where(DisputeParty.dispute_id == dispute.id)
        .order_by(Department.code)
    )
    panel = session.execute(
        select(PanelMember.user_id, User.display_name, PanelMember.seat)
        .join(User, User.id == PanelMember.user_id)
        .where(PanelMember.dispute_id == dispute.id)
        .order_by(PanelMember.seat, User.login)
    )
    return DisputeView(
        id=dispute.id,
        ticket_id=ticket.id,
        number=ticket.number,
        title=ticket.title,
        content=ticket.content,
        place=ticket.place,
        ticket_state=ticket.state,
        ticket_version=ticket.version,
        request_type=ticket.request_type,
        returned=ticket.returned,
        cause=dispute.cause,
        words=dispute.words,
        opened_at=dispute.opened_at,
        opened_by=opened_by or "系统",
        due_at=dispute.due_at,
        steps=tuple(str(step) for step in dispute.steps),
        interim=interim,
        interim_reason=dispute.interim_reason,
        state=dispute.state,
        ended_at=dispute.ended_at,
        ended_by=ended_by or ("系统" if dispute.ended_at else ""),
        ended_words=dispute.ended_words,
        parties={department_id: name for department_id, name in parties},  # noqa: C416 - dict() does not see a pair
        panel=[(user_id, name, seat) for user_id, name, seat in panel],
        positions=_positions(session, dispute.id),
        rulings=_rulings(session, dispute.id, ticket_category=ticket.category_id),
    )


def open_dispute_of(session: Session, ticket_id: int) -> Dispute | None:
    """Return the newest dispute of a ticket, open or not."""
    return session.scalars(
        select(Dispute).where(Dispute.ticket_id == ticket_id).order_by(Dispute.id.desc()).limit(1)
    ).first()


def arbiters(session: Session) -> list[tuple[int, str, Role]]:
    """Return who may sit on a panel: id, name and role."""
    roles = [role for role, granted in GRANTS.items() if Permission.DISPUTE_RULE in granted]
    rows = session.execute(
        select(User.id, User.display_name, User.role)
        .where(User.active, User.role.in_(roles))
        .order_by(User.role, User.login)
        .limit(300)
    )
    return [(user_id, name, role) for user_id, name, role in rows]


def document(session: Session, actor: Actor, *, dispute_id: int, file_id: int) -> Attachment:
    """Return a document that was put into a dispute which the person may read; no other file of the ticket."""
    found = dispute_for(session, actor, dispute_id)
    if file_id not in {one for said in found.positions for one, _ in said.files}:
        raise NotFound
    return session.get_one(Attachment, file_id)


def _positions(session: Session, dispute_id: int) -> list[Said]:
    rows = session.execute(
        select(Position, Department.name, User.display_name)
        .join(Department, Department.id == Position.department_id)
        .join(User, User.id == Position.by_id, isouter=True)
        .where(Position.dispute_id == dispute_id)
        .order_by(Position.id)
        .limit(200)
    ).all()
    wanted = {one for position, *_ in rows for one in position.attachment_ids}
    files = {
        row.id: row.name
        for row in session.execute(select(Attachment.id, Attachment.name).where(Attachment.id.in_(wanted)))
    }
    return [
        Said(
            department=department,
            stance=position.stance,
            words=position.words,
            basis=position.basis,
            by=by or "",
            at=position.at,
            files=[(one, files[one]) for one in position.attachment_ids if one in files],
        )
        for position, department, by in rows
    ]


def _rulings(session: Session, dispute_id: int, *, ticket_category: int | None) -> list[Ruled]:
    proposer, confirmer = aliased(User), aliased(User)
    rows = session.execute(
        select(Ruling, Department.name, proposer.display_name, confirmer.display_name)
        .join(Department, Department.id == Ruling.lead_id)
        .join(proposer, proposer.id == Ruling.proposed_by)
        .join(confirmer, confirmer.id == Ruling.confirmed_by, isouter=True)
        .where(Ruling.dispute_id == dispute_id)
        .order_by(Ruling.id)
        .limit(50)
    ).all()
    names = department_names(session, {one for ruling, *_ in rows for one in ruling.assist_ids})
    return [
        Ruled(
            id=ruling.id,
            state=ruling.state,
            lead_id=ruling.lead_id,
            lead=lead,
            helping=[names[one] for one in ruling.assist_ids if one in names],
            words=ruling.words,
            basis=ruling.basis,
            proposed_by=proposed_by,
            proposed_by_id=ruling.proposed_by,
            proposed_at=ruling.proposed_at,
            confirmed_by=confirmed_by or "",
            confirmed_at=ruling.confirmed_at,
            dropped_words=ruling.dropped_words,
            retired_at=ruling.retired_at,
            has_category=(ruling.category_id or ticket_category) is not None,
            request_type=ruling.request_type,
        )
        for ruling, lead, proposed_by, confirmed_by in rows
    ]
