"""Rulings that are cited: which ones speak for where a ticket belongs, and why (domain.md 2.7)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, cast, false, func, or_, select, true
from sqlalchemy.orm import Session, aliased

from hotline.tickets.models import Category, Region, Ticket
from hotline.tickets.queries import Named
from routing.catalogue.editions import Proposal
from routing.duty.models import Dispute, Ruling
from routing.duty.rules import RowInForce, RulingState, precedent_fits, precedent_leads
from routing.models import Department, DepartmentKind

#: So many rulings of one category are looked at, the newest first: a panel sits some dozens of times a year.
MOST_OF_CATEGORY: Final = 20
_MOST_READ: Final = 50
_TERRITORIAL: Final = (DepartmentKind.DISTRICT, DepartmentKind.STREET)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is known of a ticket for which precedents are looked for."""

    ticket_id: int
    #: The category that a person chose, or the one that the model thinks likeliest.
    category_id: int | None
    #: The path of its region, from the city down; empty when the place is not known.
    region: str
    #: Tickets that read like this one.
    near: Sequence[int] = ()


@dataclass(frozen=True, kw_only=True)
class PrecedentView:
    """A ruling that speaks for where a ticket belongs, and why."""

    ruling_id: int
    dispute_id: int
    number: str
    title: str
    lead_id: int
    lead: str
    helping: tuple[str, ...]
    helping_ids: tuple[int, ...]
    words: str
    basis: str
    ruled_at: datetime
    why: str
    same_category: bool
    same_region: bool


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A ruling in force whose lead works; whether it speaks for a ticket is another question."""

    view: PrecedentView
    ticket_id: int
    category_id: int | None
    region: str
    territorial: bool


def precedents_for(
    session: Session, ticket: Ticket, *, category_id: int | None = None, near: Sequence[int] = (), limit: int = 5
) -> list[PrecedentView]:
    """Return the rulings in force that speak for a ticket: of its kind of matter, or near in words.

    `category_id` stands in for a category that nobody has chosen yet; `near` are tickets that read like this one. A
    ruling for a territorial lead speaks only for the same place.
    """
    region = session.get(Region, ticket.region_id) if ticket.region_id else None
    asked = Asked(
        ticket_id=ticket.id,
        category_id=ticket.category_id or category_id,
        region=region.path if region else "",
        near=near,
    )
    of_category = Ruling.category_id == asked.category_id if asked.category_id is not None else false()
    rows = session.execute(
        _rulings()
        .where(or_(of_category, Dispute.ticket_id.in_(list(near))), _heard_in([asked.region]))
        .order_by(Ruling.id.desc())
        .limit(_MOST_READ)
    )
    return fitting([_candidate(row) for row in rows], asked, limit=limit)


def matters_ruled(
    session: Session, *, codes: Iterable[str], category_ids: Iterable[int], regions: Iterable[str]
) -> tuple[dict[str, Named], list[Candidate]]:
    """Return the categories with these codes that are in use, and the rulings about a page's categories.

    In one question, however many rows the page has. `category_ids` are further categories of the page, `regions` the
    paths of its regions: a territorial lead's ruling is left out unless one of them lies in its place.
    """
    ruled = (
        _rulings()
        .where(Ruling.category_id == Category.id, _heard_in(regions))
        .order_by(Ruling.id.desc())
        .limit(MOST_OF_CATEGORY)
        .correlate(Category)
        .lateral("ruled")
    )
    found = session.execute(
        select(Category.code, Category.id, Category.lead, Category.valid_to, *ruled.c)
        .join(ruled, true(), isouter=True)
        .where(or_(Category.code.in_(sorted(set(codes))), Category.id.in_(sorted(set(category_ids)))))
    ).all()
    named = {row.code: Named(id=row.id, lead=row.lead) for row in found if row.valid_to is None}
    return named, [_candidate(row) for row in found if row.ruling_id is not None]


def fitting(candidates: Iterable[Candidate], asked: Asked, *, limit: int = 5) -> list[PrecedentView]:
    """Return which of these rulings speak for a ticket, the weightiest first.

    Of the same category and place, then of the same category, then those near in words; among these the newest first.
    A ruling on the ticket itself is no precedent for it.
    """
    views = []
    for one in candidates:
        same_category = asked.category_id is not None and one.category_id == asked.category_id
        same_region = bool(asked.region and one.region) and lies_in(asked.region, one.region)
        why = precedent_fits(
            territorial=one.territorial,
            same_category=same_category,
            alike=one.ticket_id in asked.near,
            same_region=same_region,
        )
        if why and one.ticket_id != asked.ticket_id:
            views.append(replace(one.view, why=why, same_category=same_category, same_region=same_region))
    views.sort(key=lambda one: (not one.same_category, not one.same_region, -one.ruling_id))
    return views[:limit]


def leads(ruling: PrecedentView, proposal: Proposal | None) -> bool:
    """Tell whether a precedent is offered before the row that the catalogue in force proposes."""
    row = (
        RowInForce(
            published_at=proposal.published_at, names_region=proposal.names_region, names_item=proposal.names_item
        )
        if proposal
        else None
    )
    return precedent_leads(
        same_category=ruling.same_category, same_region=ruling.same_region, ruled_at=ruling.ruled_at, row=row
    )


def lies_in(path: str, place: str) -> bool:
    """Tell whether a region is another one or lies in it; both are paths from the city down."""
    return path == place or path.startswith(f"{place} / ")


def _heard_in(regions: Iterable[str]) -> Any:  # noqa: ANN401 - a condition of SQL
    places = {" / ".join(path.split(" / ")[:level]) for path in regions for level in range(1, path.count(" / ") + 2)}
    return or_(Department.kind.not_in(_TERRITORIAL), Region.path.in_(sorted(places - {""})))


def _rulings() -> Any:  # noqa: ANN401 - a select of sixteen columns has no readable type
    helper = aliased(Department)
    ids = select(cast(func.jsonb_array_elements_text(Ruling.assist_ids), BigInteger)).correlate(Ruling)
    names = select(helper.name).where(helper.id.in_(ids.scalar_subquery())).order_by(helper.code).correlate(Ruling)
    return (
        select(
            Ruling.id.label("ruling_id"),
            Ruling.dispute_id,
            Ruling.lead_id,
            Ruling.assist_ids,
            Ruling.words,
            Ruling.basis,
            func.coalesce(Ruling.confirmed_at, Ruling.proposed_at).label("ruled_at"),
            Ruling.category_id.label("ruled_category_id"),
            Region.path.label("ruled_region"),
            Dispute.ticket_id,
            Ticket.number,
            Ticket.title,
            Department.name.label("lead_name"),
            Department.kind,
            func.array(names.scalar_subquery()).label("helping"),
        )
        .join(Dispute, Dispute.id == Ruling.dispute_id)
        .join(Ticket, Ticket.id == Dispute.ticket_id)
        .join(Department, Department.id == Ruling.lead_id)
        .join(Region, Region.id == Ruling.region_id, isouter=True)
        .where(Ruling.state == RulingState.IN_FORCE, Ruling.retired_at.is_(None), Department.active)
    )


def _candidate(row: Any) -> Candidate:  # noqa: ANN401 - the columns of the select above
    return Candidate(
        view=PrecedentView(
            ruling_id=row.ruling_id,
            dispute_id=row.dispute_id,
            number=row.number,
            title=row.title,
            lead_id=row.lead_id,
            lead=row.lead_name,
            helping=tuple(row.helping),
            helping_ids=tuple(int(one) for one in row.assist_ids),
            words=row.words,
            basis=row.basis,
            ruled_at=row.ruled_at,
            why="",
            same_category=False,
            same_region=False,
        ),
        ticket_id=row.ticket_id,
        category_id=row.ruled_category_id,
        region=row.ruled_region or "",
        territorial=row.kind in _TERRITORIAL,
    )
