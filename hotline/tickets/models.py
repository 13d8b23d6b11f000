"""Tables of the ticket core: categories, regions, tickets, journal, search, files, counters."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    UniqueConstraint,
    desc,
    text,
)
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from hotline.core.db import Base, EnumText, one_of
from hotline.core.permissions import Role
from hotline.tickets.states import Act, Outcome, State
from hotline.tickets.vocabulary import Channel, Kind, RequestType, Urgency


class Category(Base):
    """One node of the versioned tree of matters; up to five levels (domain.md 1.3)."""

    __tablename__ = "categories"

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    path: Mapped[str] = mapped_column(comment="names from the root, joined by ' / '")
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("categories.id"))
    level: Mapped[int]
    definition: Mapped[str] = mapped_column(default="", server_default="")
    lead: Mapped[str] = mapped_column(default="", server_default="", comment="code of the usual lead department")
    assist: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")
    urgency: Mapped[Urgency] = mapped_column(EnumText(Urgency), default=Urgency.ORDINARY, server_default="一般")
    valid_from: Mapped[date | None]
    valid_to: Mapped[date | None]

    __table_args__ = (
        CheckConstraint("level BETWEEN 1 AND 5", name="five_levels"),
        CheckConstraint("parent_id IS NULL OR parent_id <> id", name="not_its_own_parent"),
        CheckConstraint("(level = 1) = (parent_id IS NULL)", name="root_has_no_parent"),
        one_of("urgency", Urgency),
    )


class ServiceItem(Base):
    """One public service item (政务服务事项) that a matter is about; its name never changes, so what cites it holds."""

    __tablename__ = "service_items"

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str] = mapped_column(unique=True, comment="what rows of the dispatch catalogue name it by")
    department: Mapped[str] = mapped_column(default="", server_default="", comment="code of the unit that offers it")
    retired_on: Mapped[date | None]

    __table_args__ = (
        CheckConstraint(r"code ~ '^[A-Za-z0-9][A-Za-z0-9_-]{1,39}$'", name="code_form"),
        CheckConstraint("char_length(name) BETWEEN 2 AND 200", name="name_length"),
    )


class Region(Base):
    """A district, street or community."""

    __tablename__ = "regions"

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    path: Mapped[str]
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("regions.id"))
    level: Mapped[int]
    aliases: Mapped[list[Any]] = mapped_column(default=list, server_default="[]", comment="what people call it")

    __table_args__ = (
        CheckConstraint("level BETWEEN 1 AND 4", name="four_levels"),
        CheckConstraint("jsonb_typeof(aliases) = 'array'", name="aliases_is_a_list"),
    )


class Ticket(Base):
    """One matter of one citizen (domain.md 1.1.1); personal data stands here masked, and sealed in one column."""

    __tablename__ = "tickets"

    id: Mapped[int] = mapped_column(Identity(cache=1), primary_key=True)
    number: Mapped[str] = mapped_column(comment="工单编号: local day and a running number")
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    state: Mapped[State] = mapped_column(EnumText(State))
    outcome: Mapped[Outcome | None] = mapped_column(EnumText(Outcome))
    kind: Mapped[Kind] = mapped_column(EnumText(Kind))
    channel: Mapped[Channel] = mapped_column(EnumText(Channel))
    request_type: Mapped[RequestType] = mapped_column(EnumText(RequestType))
    urgency: Mapped[Urgency] = mapped_column(EnumText(Urgency))
    category_id: Mapped[int | None] = mapped_column(ForeignKey("categories.id"))
    region_id: Mapped[int | None] = mapped_column(ForeignKey("regions.id"))
    service_item: Mapped[str | None] = mapped_column(
        ForeignKey("service_items.name"), comment="the public service item that it is about"
    )
    title: Mapped[str] = mapped_column(comment="redacted")
    content: Mapped[str] = mapped_column(comment="redacted; the original is sealed")
    place: Mapped[str] = mapped_column(default="", server_default="", comment="where the matter is, redacted")
    company: Mapped[str] = mapped_column(default="", server_default="", comment="the unit that is spoken of")
    happened_at: Mapped[datetime | None]

    name_masked: Mapped[str] = mapped_column(default="", server_default="")
    phone_masked: Mapped[str] = mapped_column(default="", server_default="")
    address_masked: Mapped[str] = mapped_column(default="", server_default="")
    personal_sealed: Mapped[bytes] = mapped_column(LargeBinary, comment="core.sealing.Personal")
    phone_index: Mapped[bytes | None] = mapped_column(LargeBinary, comment="keyed fingerprint of the phone")
    anonymous: Mapped[bool] = mapped_column(default=False, server_default="false")
    confidential: Mapped[bool] = mapped_column(default=False, server_default="false")
    wants_callback: Mapped[bool] = mapped_column(default=True, server_default="true")
    query_code_index: Mapped[bytes] = mapped_column(LargeBinary, comment="keyed fingerprint of the query code")

    refusal_reason: Mapped[str | None] = mapped_column(comment="NR-01 ... NR-10 (domain.md 1.5)")
    transfer_to: Mapped[str | None] = mapped_column(comment="110, 119, 120 or another hotline")
    transfer_number: Mapped[str | None] = mapped_column(comment="the number on the other side (domain.md 2.13)")
    closing_words: Mapped[str] = mapped_column(default="", server_default="", comment="what the citizen is told")
    repeats_id: Mapped[int | None] = mapped_column(ForeignKey("tickets.id"))
    repeats: Mapped[int] = mapped_column(default=0, server_default="0", comment="how often it was reported again")
    rework_rounds: Mapped[int] = mapped_column(default=0, server_default="0")
    returned: Mapped[int] = mapped_column(default=0, server_default="0", comment="how often a unit gave it back")
    flags: Mapped[list[Any]] = mapped_column(default=list, server_default="[]", comment="risk flags, model_down ...")

    source_system: Mapped[str | None] = mapped_column(comment="an external feed or an import")
    source_key: Mapped[str | None] = mapped_column(comment="the record's key there")
    registered_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    registered_at: Mapped[datetime]
    dispatched_at: Mapped[datetime | None] = mapped_column(comment="first time")
    answered_at: Mapped[datetime | None] = mapped_column(comment="last time")
    closed_at: Mapped[datetime | None]
    due_at: Mapped[datetime | None] = mapped_column(comment="when the department that holds it must answer")

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - SQLAlchemy reads a plain dict
    __table_args__ = (
        UniqueConstraint("number"),
        # A record of a feed or an import comes in once, however often it is sent.
        UniqueConstraint("source_system", "source_key"),
        one_of("state", State),
        one_of("outcome", Outcome),
        one_of("kind", Kind),
        one_of("channel", Channel),
        one_of("request_type", RequestType),
        one_of("urgency", Urgency),
        CheckConstraint("(state = 'closed') = (closed_at IS NOT NULL)", name="closed_has_time"),
        CheckConstraint("(state = 'closed') = (outcome IS NOT NULL)", name="closed_has_outcome"),
        CheckConstraint("state <> 'answered' OR answered_at IS NOT NULL", name="answered_has_time"),
        CheckConstraint(
            "state NOT IN ('dispatched', 'signed', 'answered') OR dispatched_at IS NOT NULL",
            name="out_has_time",
        ),
        CheckConstraint("(state IN ('dispatched', 'signed')) = (due_at IS NOT NULL)", name="held_has_deadline"),
        CheckConstraint(
            "(outcome IS NOT DISTINCT FROM 'refused') = (refusal_reason IS NOT NULL)",
            name="refused_has_reason",
        ),
        CheckConstraint(
            "(outcome IS NOT DISTINCT FROM 'transferred') = (transfer_to IS NOT NULL)",
            name="transferred_has_target",
        ),
        # A bad review ends through its unit and its callback only (domain.md 4.3).
        CheckConstraint(
            "kind <> 'bad_review' OR coalesce(outcome, '') NOT IN ('answered_directly', 'refused', 'transferred')",
            name="reviews_are_called_back",
        ),
        CheckConstraint("returned >= 0", name="returned_counts"),
        CheckConstraint("(source_system IS NULL) = (source_key IS NULL)", name="source_whole"),
        CheckConstraint("char_length(title) BETWEEN 1 AND 300", name="title_length"),
        CheckConstraint("char_length(content) BETWEEN 1 AND 120000", name="content_length"),
        CheckConstraint("repeats_id IS NULL OR repeats_id < id", name="repeats_an_older_one"),
        # What waits in this state, newest first? The lists of every desk; id follows time.
        Index("ix_tickets_state_id", "state", desc("id")),
        # What is due next or overdue? Supervision and the sweep; holds only what a department has in hand.
        Index("ix_tickets_due_at", "due_at", "id", postgresql_where=text("due_at IS NOT NULL")),
        # What did this caller tell us before? Asked as soon as a number is typed.
        Index(
            "ix_tickets_phone_index",
            "phone_index",
            desc("id"),
            postgresql_where=text("phone_index IS NOT NULL"),
        ),
        # The list narrowed to a matter.
        Index("ix_tickets_category_id", "category_id", desc("id")),
        # What was closed today, and this week? The supervisor's figures and the lists behind them.
        Index("ix_tickets_closed_at", "closed_at", postgresql_where=text("closed_at IS NOT NULL")),
        # What that is open was reported again and again? Supervision asks every minute; they are few.
        Index("ix_tickets_repeated", "id", postgresql_where=text("repeats > 0 AND state <> 'closed'")),
        # Bad reviews apart (domain.md 4); they are few.
        Index("ix_tickets_bad_reviews", desc("id"), postgresql_where=text("kind = 'bad_review'")),
    )


class JournalEntry(Base):
    """One recorded act; never changed, never deleted: a trigger refuses both."""

    __tablename__ = "journal"

    id: Mapped[int] = mapped_column(primary_key=True)
    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"))
    at: Mapped[datetime]
    act: Mapped[Act] = mapped_column(EnumText(Act))
    from_state: Mapped[State | None] = mapped_column(EnumText(State))
    to_state: Mapped[State] = mapped_column(EnumText(State))
    by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    by_role: Mapped[Role] = mapped_column(EnumText(Role))
    note: Mapped[str] = mapped_column(default="", server_default="", comment="redacted words for the timeline")
    details: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}", comment="no personal data")
    version: Mapped[int] = mapped_column(comment="version of the ticket after the act")

    __table_args__ = (
        one_of("act", Act),
        one_of("from_state", State),
        one_of("to_state", State),
        # What happened to this ticket, in order? The timeline and the audit.
        Index("ix_journal_ticket_id_id", "ticket_id", "id"),
        # How often did this person look at personal data lately? The hourly limit asks with every look.
        Index("ix_journal_reveals", "by_id", "at", postgresql_where=text("act = 'reveal'")),
    )


class TicketSearch(Base):
    """The words by which a ticket is found (core.text.search_words)."""

    __tablename__ = "ticket_search"

    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id", ondelete="CASCADE"), primary_key=True)
    words: Mapped[Any] = mapped_column(TSVECTOR)

    __table_args__ = (
        # Which tickets hold these words?
        Index("ix_ticket_search_words", "words", postgresql_using="gin"),
    )


class Attachment(Base):
    """A file of a ticket; its sealed content lies in the installation's folder under its digest."""

    __tablename__ = "attachments"

    id: Mapped[int] = mapped_column(primary_key=True)
    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"))
    name: Mapped[str]
    media_type: Mapped[str] = mapped_column(comment="by content, not by name")
    size: Mapped[int]
    digest: Mapped[str] = mapped_column(comment="sha256 of the stored content")
    public: Mapped[bool] = mapped_column(default=False, server_default="false", comment="shown to the citizen")
    added_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    added_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint("size BETWEEN 1 AND 20971520", name="size_bounded"),
        UniqueConstraint("ticket_id", "digest"),
    )


class CounterDelta(Base):
    """A change of a stored counter, written by triggers; folded into `counters` by the scheduler."""

    __tablename__ = "counter_deltas"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    delta: Mapped[int]


class Counter(Base):
    """A stored count, so that no page counts rows; equal to the count at every instant with its deltas."""

    __tablename__ = "counters"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[int]


class InstallationSetting(Base):
    """What an administrator sets on screen: one JSON value per name."""

    __tablename__ = "installation_settings"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[dict[str, Any]]
    changed_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    changed_at: Mapped[datetime]
