"""Reads of the ticket core. Which tickets a person may see is decided in routing.queries.visible_to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ARRAY, String, Text, bindparam, cast, func, literal, or_, select, text, union_all
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement

from hotline.core.db import keyring_of, run
from hotline.core.errors import NotFound
from hotline.core.permissions import Role
from hotline.core.text import quoted, search_words
from hotline.people.models import User
from hotline.tickets.models import (
    Attachment,
    Category,
    Counter,
    CounterDelta,
    InstallationSetting,
    JournalEntry,
    Region,
    ServiceItem,
    Ticket,
    TicketSearch,
)
from hotline.tickets.states import Act, Outcome, State
from hotline.tickets.vocabulary import Channel, RequestType


@dataclass(frozen=True, kw_only=True)
class TimelineEntry:
    """One recorded act with the name of who did it."""

    id: int
    at: datetime
    act: Act
    from_state: State | None
    to_state: State
    by_id: int | None
    by_name: str
    by_role: Role
    note: str
    details: Mapping[str, Any]
    version: int


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """An earlier ticket of the same caller, as the operator sees it while the caller speaks."""

    id: int
    number: str
    title: str
    state: State
    outcome: Outcome | None
    request_type: RequestType
    channel: Channel
    registered_at: datetime
    category: str = ""


@dataclass(frozen=True, kw_only=True)
class CategoryNode:
    """A node of the tree as choices need it."""

    id: int
    code: str
    name: str
    path: str
    level: int
    lead: str
    assist: tuple[str, ...] = ()
    is_leaf: bool = True


@dataclass(frozen=True, kw_only=True)
class RegionNode:
    """A region as choices need it."""

    id: int
    code: str
    name: str
    path: str
    level: int
    parent_id: int | None = field(default=None)


def by_number(session: Session, number: str) -> Ticket:
    """Return the ticket with this number, or `NotFound`."""
    ticket = session.scalars(select(Ticket).where(Ticket.number == number.strip())).first()
    if ticket is None:
        raise NotFound
    return ticket


def by_query_code(session: Session, *, number: str, code: str) -> Ticket:
    """Return the ticket that a citizen asks for by number and query code (提取码), or `NotFound`."""
    ticket = session.scalars(
        select(Ticket).where(
            Ticket.number == number.strip(),
            Ticket.query_code_index == keyring_of(session).index(f"query:{code.strip()}"),
        )
    ).first()
    if ticket is None:
        raise NotFound("受理编号或查询码不正确，请核对后重试。")
    return ticket


def timeline(session: Session, ticket_id: int, *, after: int = 0, limit: int = 500) -> Sequence[TimelineEntry]:
    """Return what happened to a ticket, oldest first; at most `limit` lines after the line `after`."""
    rows = session.execute(
        select(JournalEntry, User.display_name)
        .join(User, User.id == JournalEntry.by_id, isouter=True)
        .where(JournalEntry.ticket_id == ticket_id, JournalEntry.id > after)
        .order_by(JournalEntry.id)
        .limit(limit)
    )
    return [
        TimelineEntry(
            id=entry.id,
            at=entry.at,
            act=entry.act,
            from_state=entry.from_state,
            to_state=entry.to_state,
            by_id=entry.by_id,
            by_name=name or "",
            by_role=entry.by_role,
            note=entry.note,
            details=entry.details,
            version=entry.version,
        )
        for entry, name in rows
    ]


_SETTING: Final = select(InstallationSetting.value).where(InstallationSetting.name == bindparam("named"))
_HANDLERS: Final = select(JournalEntry.by_id).where(
    JournalEntry.ticket_id == bindparam("of_ticket"),
    JournalEntry.by_id.is_not(None),
    JournalEntry.act == func.any(bindparam("acts", type_=ARRAY(Text))),
)


def handlers_of(session: Session, ticket_id: int, acts: Iterable[Act]) -> set[int]:
    """Return the users who did any of these acts to the ticket."""
    # Lines of the journal are written as soon as they are made, so nothing that the session still holds is missed.
    rows = run(session, _HANDLERS, {"of_ticket": ticket_id, "acts": [act.value for act in acts]})
    return {row.by_id for row in rows}


def earlier_of(session: Session, phone: str, *, limit: int = 8) -> Sequence[Earlier]:
    """Return the caller's latest tickets, newest first, found by the fingerprint of the number."""
    rows = session.execute(
        select(Ticket, Category.path)
        .join(Category, Category.id == Ticket.category_id, isouter=True)
        .where(Ticket.phone_index == keyring_of(session).index(f"phone:{phone}"))
        .order_by(Ticket.id.desc())
        .limit(limit)
    )
    return [_earlier(ticket, path) for ticket, path in rows]


def holding_words(text: str) -> ColumnElement[bool] | None:
    """Return the condition "holds all words of this text", or nothing when no word of two characters is in it."""
    words = search_words(text)
    if not words:
        return None
    query = cast(literal(" & ".join(quoted(word) for word in words), String), TSQUERY)
    return Ticket.id.in_(select(TicketSearch.ticket_id).where(TicketSearch.words.op("@@")(query)))


def similar(session: Session, text: str, *, since: datetime, limit: int = 5) -> Sequence[Earlier]:
    """Return recent tickets that share the most telling words with a text that is being written."""
    words = [word for word in search_words(text) if len(word) > 1][:80]
    if len(words) < 3:  # noqa: PLR2004 - two words are alike by accident
        return []
    query = cast(literal(" | ".join(quoted(word) for word in words), String), TSQUERY)
    rank = func.ts_rank(TicketSearch.words, query, 1)
    recent = select(Ticket.id).where(Ticket.registered_at >= since).order_by(Ticket.id.desc()).limit(2_000).subquery()
    best = (
        select(TicketSearch.ticket_id, rank.label("rank"))
        .join(recent, recent.c.id == TicketSearch.ticket_id)
        .where(TicketSearch.words.op("@@")(query))
        .order_by(rank.desc(), TicketSearch.ticket_id.desc())
        .limit(limit)
        .subquery()
    )
    rows = session.execute(
        select(Ticket, Category.path)
        .join(best, best.c.ticket_id == Ticket.id)
        .join(Category, Category.id == Ticket.category_id, isouter=True)
        .order_by(best.c.rank.desc(), Ticket.id.desc())
    )
    return [_earlier(ticket, path) for ticket, path in rows]


def counters(session: Session, names: Iterable[str]) -> dict[str, int]:
    """Return stored counts by name, zero for those never counted; folded value plus what is not folded yet."""
    wanted = list(names)
    both = union_all(
        select(Counter.name, Counter.value).where(Counter.name.in_(wanted)),
        select(CounterDelta.name, CounterDelta.delta).where(CounterDelta.name.in_(wanted)),
    ).subquery()
    rows = session.execute(select(both.c.name, func.sum(both.c.value)).group_by(both.c.name))
    found = {name: int(value) for name, value in rows}
    return {name: found.get(name, 0) for name in wanted}


def categories(session: Session) -> Sequence[CategoryNode]:
    """Return the whole tree in order of code; it is small (hundreds)."""
    rows = session.scalars(select(Category).where(Category.valid_to.is_(None)).order_by(Category.code)).all()
    parents = {row.parent_id for row in rows}
    return [
        CategoryNode(
            id=row.id,
            code=row.code,
            name=row.name,
            path=row.path,
            level=row.level,
            lead=row.lead,
            assist=tuple(row.assist),
            is_leaf=row.id not in parents,
        )
        for row in rows
    ]


def regions(session: Session) -> Sequence[RegionNode]:
    """Return every region in order of code."""
    return [
        RegionNode(id=row.id, code=row.code, name=row.name, path=row.path, level=row.level, parent_id=row.parent_id)
        for row in session.scalars(select(Region).order_by(Region.code))
    ]


def service_items(session: Session, *, every: bool = False) -> Sequence[ServiceItem]:
    """Return the public service items that can be chosen, by code; `every` adds those that were retired."""
    query = select(ServiceItem).order_by(ServiceItem.code)
    return session.scalars(query if every else query.where(ServiceItem.retired_on.is_(None))).all()


def service_item_named(session: Session, said: str) -> str:
    """Return the name of the item in use with this code or name, or nothing."""
    row = session.scalars(
        select(ServiceItem.name).where(
            or_(ServiceItem.code == said, ServiceItem.name == said), ServiceItem.retired_on.is_(None)
        )
    ).first()
    return row or ""


def attachments(session: Session, ticket_id: int, *, public_only: bool = False) -> Sequence[Attachment]:
    """Return a ticket's files in order."""
    query = select(Attachment).where(Attachment.ticket_id == ticket_id).order_by(Attachment.id).limit(200)
    if public_only:
        query = query.where(Attachment.public)
    return session.scalars(query).all()


def setting(session: Session, name: str) -> dict[str, Any] | None:
    """Return what an administrator set under this name."""
    value: dict[str, Any] | None = session.execute(_SETTING, {"named": name}).scalar()
    return dict(value) if value is not None else None


def category_by_code(session: Session, code: str) -> Category | None:
    """Return the category with this code that is still valid."""
    return session.scalars(select(Category).where(Category.code == code, Category.valid_to.is_(None))).first()


def region_by_code(session: Session, code: str) -> Region | None:
    """Return the region with this code."""
    return session.scalars(select(Region).where(Region.code == code)).first()


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Somebody who has called from a number before; the name is masked, the ticket is where it stands in full."""

    name_masked: str
    number: str


def callers_on(session: Session, phone: str, *, limit: int = 20) -> Sequence[Caller]:
    """Return the different people who left their names with this number, the latest first.

    Names are told apart in full and returned masked: 王小明 and 王小红 are two people, both shown as 王**.
    """
    keyring = keyring_of(session)
    rows = session.execute(
        select(Ticket.number, Ticket.name_masked, Ticket.personal_sealed)
        .where(Ticket.phone_index == keyring.index(f"phone:{phone}"), Ticket.name_masked != "")
        .order_by(Ticket.id.desc())
        .limit(limit)
    )
    found: dict[str, Caller] = {}
    for number, masked, sealed in rows:
        found.setdefault(keyring.open(sealed).get("name", masked), Caller(name_masked=masked, number=number))
    return list(found.values())


#: How far back the journal is read when one asks how often a person did something lately: lines, not hours, so that
#: the question costs the same in every city. At twelve lines a second it still covers more than an hour.


def phone_fingerprint(session: Session, phone: str) -> bytes:
    """Return the keyed fingerprint under which a normalised number is found again."""
    return keyring_of(session).index(f"phone:{phone}")


def done_lately(session: Session, *, user_id: int, act: Act, since: datetime) -> int:
    """Return how often a person has done an act since a moment."""
    # The act stands in the statement itself, not beside it, so that the planner can use the index of just this act.
    done = text(f"journal.act = '{act.value}'")
    query = select(func.count()).select_from(JournalEntry)
    return int(session.scalar(query.where(done, JournalEntry.by_id == user_id, JournalEntry.at > since)) or 0)


def sealed_fields(session: Session, ticket: Ticket) -> frozenset[str]:
    """Return which personal fields are known of a ticket's citizen (core.sealing.Personal); nothing of them is told.

    `title` and `content` are among them exactly when what stands in the open is a redacted form.
    """
    return frozenset(keyring_of(session).open(ticket.personal_sealed))


def every_counter(session: Session) -> dict[str, int]:
    """Return every stored count by name; a few for the house and two for each department."""
    both = union_all(
        select(Counter.name, Counter.value), select(CounterDelta.name, CounterDelta.delta.label("value"))
    ).subquery()
    rows = session.execute(select(both.c.name, func.sum(both.c.value)).group_by(both.c.name))
    return {name: int(value) for name, value in rows}


def number_of(session: Session, ticket_id: int) -> str:
    """Return the number of a ticket whose id is known, or an empty text."""
    return session.scalar(select(Ticket.number).where(Ticket.id == ticket_id)) or ""


def texts_of(session: Session, ticket_ids: Iterable[int]) -> dict[int, tuple[str, str]]:
    """Return title and content, redacted as stored, of each of these tickets."""
    rows = session.execute(select(Ticket.id, Ticket.title, Ticket.content).where(Ticket.id.in_(list(ticket_ids))))
    return {ticket_id: (title, content) for ticket_id, title, content in rows}


def locked_here(session: Session) -> set[int]:
    """Return the tickets that this transaction has locked; whoever locks one writes it down here.

    A second lock of the same ticket in one transaction would only cost a round trip.
    """
    transaction = session.get_transaction()
    known: tuple[object, set[int]] | None = session.info.get("locked_tickets")
    if known is None or known[0] is not transaction or transaction is None:
        known = (transaction, set())
        session.info["locked_tickets"] = known
    return known[1]


def where_it_belongs(session: Session, ticket: Ticket) -> tuple[str, str]:
    """Return the paths of a ticket's category and region, also of those that are no longer in use."""
    row = session.execute(
        select(
            select(Category.path).where(Category.id == ticket.category_id).scalar_subquery(),
            select(Region.path).where(Region.id == ticket.region_id).scalar_subquery(),
        )
    ).one()
    return row[0] or "", row[1] or ""


def known_source_keys(session: Session, source_system: str, keys: Iterable[str]) -> set[str]:
    """Return which of these records of a feed or file have become tickets already."""
    rows = session.scalars(
        select(Ticket.source_key).where(Ticket.source_system == source_system, Ticket.source_key.in_(list(keys)))
    )
    return {key for key in rows if key is not None}


@dataclass(frozen=True, kw_only=True)
class Named:
    """A category that a suggestion names."""

    id: int
    lead: str


def categories_named(session: Session, codes: Iterable[str]) -> dict[str, Named]:
    """Return, for each of these codes that is in use, the category's id and the code of its usual lead."""
    rows = session.execute(
        select(Category.code, Category.id, Category.lead).where(
            Category.code.in_(list(codes)), Category.valid_to.is_(None)
        )
    )
    return {code: Named(id=row_id, lead=lead) for code, row_id, lead in rows}


def category(session: Session, code: str) -> Category:
    """Return a category by its code, also a retired one, or `NotFound`."""
    found = session.scalars(select(Category).where(Category.code == code)).first()
    if found is None:
        raise NotFound
    return found


def _earlier(ticket: Ticket, path: str | None) -> Earlier:
    return Earlier(
        id=ticket.id,
        number=ticket.number,
        title=ticket.title,
        state=ticket.state,
        outcome=ticket.outcome,
        request_type=ticket.request_type,
        channel=ticket.channel,
        registered_at=ticket.registered_at,
        category=path or "",
    )
