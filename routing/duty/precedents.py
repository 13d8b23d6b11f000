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
from hotline.tickets.vocabulary import RequestType
from routing.catalogue.editions import Proposal
from routing.duty.models import Dispute, Ruling
from routing.duty.rules import RowInForce, RulingState, precedent_fits, precedent_leads
from routing.models import Department, DepartmentKind

#: So many rulings of one category are looked at, the newest first: a panel sits some dozens of times a year.
MOST_OF_CATEGORY: Final = 20
_MOST_READ: Final = 50
#: From this chance of being about one matter two texts are called near. A few words in common reach 0.45.
_NEAR: Final = 0.6
_TERRITORIAL: Final = (DepartmentKind.DISTRICT, DepartmentKind.STREET)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is known of a ticket for which precedents are looked for."""

    ticket_id: int
    #: The category that a person chose, or the one that the model thinks likeliest.
    category_id: int | None
    #: The path of its region, from the city down; empty when the place is not known.
    region: str
    request_type: RequestType
    #: Title and content, held against those of the tickets that were ruled on.
    text: tuple[str, str]
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
    #: The ruling names a request type, and it is the ticket's.
    same_type: bool


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A ruling in force whose lead works; whether it speaks for a ticket is another question."""

    view: PrecedentView
    ticket_id: int
    category_id: int | None
    region: str
    territorial: bool
    request_type: RequestType | None
    text: tuple[str, str]


def precedents_for(
    session: Session, ticket: Ticket, *, category_id: int | None = None, near: Sequence[int] = (), limit: int = 5
) -> list[PrecedentView]:
    """Return the rulings in force that speak for a ticket: of its kind of matter, or near in words.

    `category_id` stands in for a category that nobody has chosen yet; `near` are tickets that read like this one. A
    ruling for a territorial lead speaks only for the same place, one that names a request type only for that type.
    """
    region = session.get(Region, ticket.region_id) if ticket.region_id else None
    asked = Asked(
        ticket_id=ticket.id,
        category_id=ticket.category_id or category_id,
        region=region.path if region else "",
        request_type=ticket.request_type,
        text=(ticket.title, ticket.content),
        near=near,
    )
    of_category = Ruling.category_id == asked.category_id if asked.category_id is not None else false()
    rows = session.execute(
        _rulings()
        .where(
            or_(of_category, Dispute.ticket_id.in_(list(near))),
            or_(Ruling.request_type.is_(None), Ruling.request_type == asked.request_type),
            _heard_in([asked.region]),
        )
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

    Of the same category before those near in words; then of the same place, then one that names the request type, then
    one near in words as well; among these the newest. A ruling on the ticket itself is no precedent for it.
    """
    found = [one for one in candidates if one.ticket_id != asked.ticket_id and _concerns(one, asked)]
    views = []
    for one, alike in zip(found, _alike(found, asked), strict=True):
        same_category = asked.category_id is not None and one.category_id == asked.category_id
        same_region = bool(asked.region and one.region) and lies_in(asked.region, one.region)
        same_type = None if one.request_type is None else one.request_type is asked.request_type
        why = precedent_fits(
            territorial=one.territorial,
            same_category=same_category,
            alike=alike,
            same_region=same_region,
            same_type=same_type,
        )
        if why:
            view = replace(
                one.view, why=why, same_category=same_category, same_region=same_region, same_type=bool(same_type)
            )
            views.append((view, alike))
    views.sort(
        key=lambda each: (
            not each[0].same_category,
            not each[0].same_region,
            not each[0].same_type,
            not each[1],
            -each[0].ruling_id,
        )
    )
    return [view for view, _ in views[:limit]]


def leads(ruling: PrecedentView, proposal: Proposal | None) -> bool:
    """Tell whether a precedent is offered before the row that the catalogue in force proposes."""
    row = (
        RowInForce(
            published_at=proposal.published_at,
            names_region=proposal.names_region,
            names_item=proposal.names_item,
            names_type=proposal.names_type,
        )
        if proposal
        else None
    )
    return precedent_leads(
        same_category=ruling.same_category,
        same_region=ruling.same_region,
        same_type=ruling.same_type,
        ruled_at=ruling.ruled_at,
        row=row,
    )


def lies_in(path: str, place: str) -> bool:
    """Tell whether a region is another one or lies in it; both are paths from the city down."""
    return path == place or path.startswith(f"{place} / ")


def _concerns(one: Candidate, asked: Asked) -> bool:
    return one.ticket_id in asked.near or (asked.category_id is not None and one.category_id == asked.category_id)


def _alike(found: Sequence[Candidate], asked: Asked) -> list[bool]:
    """Tell of each ruling whether the ticket that was ruled on reads like this one."""
    if not found:
        return []
    from classifier import duplicates as alikeness  # brings numpy and scipy: only where there is a ruling

    return [
        one.ticket_id in asked.near or alikeness.rated(0.0, likeness=likeness) >= _NEAR
        for one, likeness in zip(found, alikeness.likenesses(asked.text, [one.text for one in found]), strict=True)
    ]


def _heard_in(regions: Iterable[str]) -> Any:  # noqa: ANN401 - a condition of SQL
    places = {" / ".join(path.split(" / ")[:level]) for path in regions for level in range(1, path.count(" / ") + 2)}
    return or_(Department.kind.not_in(_TERRITORIAL), Region.path.in_(sorted(places - {""})))


def _rulings() -> Any:  # noqa: ANN401 - a select of eighteen columns has no readable type
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
            Ruling.request_type.label("ruled_type"),
            Region.path.label("ruled_region"),
            Dispute.ticket_id,
            Ticket.number,
            Ticket.title,
            Ticket.content,
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
            same_type=False,
        ),
        ticket_id=row.ticket_id,
        category_id=row.ruled_category_id,
        region=row.ruled_region or "",
        territorial=row.kind in _TERRITORIAL,
        request_type=row.ruled_type,
        text=(row.title, row.content),
    )
