"""An edition of the dispatch catalogue against the rulings that bind: nothing is overruled unseen (decision 0043).

The later word of catalogue and ruling goes first (decision 0038), so whoever publishes an edition that says otherwise
takes rulings out of force for every ticket to come. He is shown which, and says that he means it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from hotline.core.errors import Conflict, Invalid
from hotline.core.permissions import Actor, Permission, require
from hotline.tickets import actions as tickets
from hotline.tickets.models import Category, Region, Ticket
from hotline.tickets.states import Act
from routing.catalogue import editions as catalogue
from routing.catalogue import territory
from routing.catalogue.editions import TERRITORIAL
from routing.catalogue.models import CatalogueState, CatalogueVersion
from routing.catalogue.rules import Index, Matter, Row
from routing.catalogue.territory import pairs
from routing.duty.models import Dispute, Overruling, Ruling
from routing.duty.rules import RulingState
from routing.models import Department

#: A panel sits some dozens of times a year; so many of the newest rulings are held against an edition.
MOST_RULINGS: Final = 2_000
#: Publishing and ruling wait for one another, so that an edition has seen every ruling that came before it.
_ONE_AFTER_THE_OTHER: Final = text("SELECT pg_advisory_xact_lock(12345, 11)")


@dataclass(frozen=True, kw_only=True)
class Overruled:
    """A ruling that binds, and what an edition says instead."""

    ruling_id: int
    ticket_id: int
    number: str
    title: str
    #: What the ruling speaks of: category and region.
    scope: str
    lead: str
    helping: tuple[str, ...]
    ruled_at: datetime
    row_id: int
    #: Who leads by the edition; whom the ruling names as a co-handler and the edition does not.
    instead_lead: str
    left_out: tuple[str, ...]
    same_lead: bool
    #: The same said in codes: what was confirmed once for an earlier edition is not asked again.
    instead: str


def overruled(session: Session, edition: CatalogueVersion) -> list[Overruled]:
    """Return the rulings in force that an edition contradicts, the newest first, without those confirmed before.

    A ruling is contradicted when the edition has another lead for the matter that was ruled on, or leaves out a
    co-handler of the ruling. Asks the same number of questions however many rulings and rows there are.
    """
    ruled = _ruled(session)
    if not ruled:
        return []
    units = {unit.id: unit for unit in session.scalars(select(Department))}
    owners = territory.owners(session)
    index = Index(
        catalogue.plain_rows(session, edition.id),
        categories=pairs(session, select(Category.id, Category.parent_id)),
        regions=pairs(session, select(Region.id, Region.parent_id)),
    )
    meant = pairs(
        session,
        select(Overruling.ruling_id, Overruling.instead)
        .where(Overruling.ruling_id.in_([one.id for one in ruled]))
        .order_by(Overruling.id),
    )

    def works(row: Row) -> bool:
        return row.lead is None or units[row.lead].active

    found = []
    for one in ruled:
        row = index.best(
            Matter(
                category=one.category_id,
                region=one.region_id,
                request_type=(one.ruled_type or one.request_type).value,
                service_item=one.service_item or "",
            ),
            works,
        )
        said = _instead(one, row, units, owner=owners.get(one.region_id or 0)) if row is not None else None
        if said is not None and meant.get(one.id) != said.instead:
            found.append(said)
    return found


def publish(
    session: Session,
    *,
    number: int,
    version: int,
    valid_from: datetime | None = None,
    valid_to: datetime | None = None,
    note: str = "",
    confirmed: Collection[int] = (),
    all_of: int | None = None,
    by: Actor,
    now: datetime,
) -> CatalogueVersion:
    """Put the draft in force once every ruling that it contradicts was confirmed to be overruled.

    `confirmed` are ids of rulings; `all_of` says that all were meant, and how many the person saw: with another number
    nothing is published. Each ruling's ticket gets a line in its journal. Raises `Invalid` with field `overrules`, and
    what `routing.catalogue.editions.publish` raises.
    """
    require(by, Permission.CATALOGUE_EDIT)
    session.execute(_ONE_AFTER_THE_OTHER)
    draft = catalogue.version_numbered(session, number, lock=True)
    found = overruled(session, draft) if draft.state is CatalogueState.DRAFT else []
    if all_of is not None and all_of != len(found):
        raise Conflict(f"与草案不一致的裁定现有 {len(found)} 件，与您看到的 {all_of} 件不同，请看过后再发布。")
    open_still = [one for one in found if one.ruling_id not in confirmed] if all_of is None else []
    if open_still:
        named = "、".join(one.number for one in open_still[:3])
        what = f"还有 {len(open_still)} 件裁定与草案不一致，尚未确认（{named}）"
        raise Invalid({"overrules": f"{what}：请逐件确认，或按裁定修改草案。"})
    edition = catalogue.publish(
        session,
        number=number,
        version=version,
        valid_from=valid_from,
        valid_to=valid_to,
        note=note,
        by=by,
        now=now,
    )
    for one in sorted(found, key=lambda each: each.ticket_id):  # everybody locks tickets in this order
        _write_down(session, edition, one, by=by, now=now)
    return edition


def wait_for_publishing(session: Session) -> None:
    """Let a ruling come into force before an edition is held against the rulings, or after it, never meanwhile."""
    session.execute(_ONE_AFTER_THE_OTHER)


def overrulings_of(session: Session, ruling_ids: Iterable[int]) -> dict[int, tuple[int, datetime, str]]:
    """Return, for each of these rulings that an edition overrules, the newest such edition, when and by what words."""
    rows = session.execute(
        select(Overruling.ruling_id, CatalogueVersion.number, Overruling.at, Overruling.words)
        .join(CatalogueVersion, CatalogueVersion.id == Overruling.version_id)
        .where(Overruling.ruling_id.in_(list(ruling_ids)))
        .order_by(Overruling.id)
    )
    return {row.ruling_id: (row.number, row.at, row.words) for row in rows}


def words_of(one: Overruled) -> str:
    """Return in words what the edition says instead of the ruling."""
    said = [] if one.same_lead else [f"主办由{one.lead}改为{one.instead_lead}"]
    said += [f"不再由{'、'.join(one.left_out)}协办"] if one.left_out else []
    return "，".join(said)


def _write_down(session: Session, edition: CatalogueVersion, one: Overruled, *, by: Actor, now: datetime) -> None:
    session.add(
        Overruling(
            version_id=edition.id,
            ruling_id=one.ruling_id,
            instead=one.instead,
            words=words_of(one),
            by_id=by.user_id,
            at=now,
        )
    )
    tickets.move(
        session,
        tickets.lock(session, one.ticket_id),
        Act.OVERRULE,
        by=by,
        now=now,
        note=f"派单目录第 {edition.number} 版与本件裁定不一致，已确认：{words_of(one)}。",
        details={"edition": edition.number, "ruling": one.ruling_id},
    )


def _ruled(session: Session) -> list[Any]:
    return list(
        session.execute(
            select(
                Ruling.id,
                Ruling.lead_id,
                Ruling.assist_ids,
                Ruling.category_id,
                Ruling.region_id,
                Ruling.request_type.label("ruled_type"),
                Ruling.confirmed_at,
                Category.path.label("category"),
                Region.path.label("region"),
                Ticket.id.label("ticket_id"),
                Ticket.number,
                Ticket.title,
                Ticket.request_type,
                Ticket.service_item,
            )
            .join(Dispute, Dispute.id == Ruling.dispute_id)
            .join(Ticket, Ticket.id == Dispute.ticket_id)
            .join(Category, Category.id == Ruling.category_id)
            .join(Department, Department.id == Ruling.lead_id)
            .join(Region, Region.id == Ruling.region_id, isouter=True)
            .where(Ruling.state == RulingState.IN_FORCE, Ruling.retired_at.is_(None), Department.active)
            .order_by(Ruling.id.desc())
            .limit(MOST_RULINGS)
        )
    )


def _instead(one: Any, row: Row, units: dict[int, Department], *, owner: int | None) -> Overruled | None:  # noqa: ANN401 - the columns of the select above
    """Return how a row contradicts a ruling, or nothing."""
    lead_id = row.lead or owner
    own = units[owner].code if owner else ""
    helping = {own if code == TERRITORIAL else code for code in row.co_handlers}
    left_out = [
        units[each]
        for each in map(int, one.assist_ids)
        if each != lead_id and units[each].active and units[each].code not in helping
    ]
    if lead_id == one.lead_id and not left_out:
        return None
    lead = units[lead_id] if lead_id else None
    return Overruled(
        ruling_id=one.id,
        ticket_id=one.ticket_id,
        number=one.number,
        title=one.title,
        scope=catalogue.scope_words(one.category, one.region or "", "", ""),
        lead=units[one.lead_id].name,
        helping=tuple(units[each].name for each in map(int, one.assist_ids)),
        ruled_at=one.confirmed_at,
        row_id=row.id,
        instead_lead=lead.name if lead else "属地兜底单位",
        left_out=tuple(each.name for each in left_out),
        same_lead=lead_id == one.lead_id,
        instead="|".join([lead.code if lead else TERRITORIAL, *sorted(each.code for each in left_out)]),
    )
