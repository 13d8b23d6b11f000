"""Tables of the dispatch catalogue (派单目录) and of the places it speaks of: fallback owners, places, sources."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.orm import Mapped, mapped_column

from hotline.core.db import Base, EnumText, one_of
from hotline.tickets.vocabulary import RequestType


class CatalogueState(StrEnum):
    """Where a version of the catalogue stands; it only goes forward."""

    DRAFT = "draft"
    PUBLISHED = "published"
    RETIRED = "retired"


class TrialState(StrEnum):
    """How far the trial of a draft on lived tickets has come."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class CatalogueVersion(Base):
    """One edition of the catalogue; once published its rows never change (国办函〔2025〕66号, domain.md 2.3)."""

    __tablename__ = "catalogue_versions"

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(unique=True, comment="what people call it by: 第 3 版")
    state: Mapped[CatalogueState] = mapped_column(EnumText(CatalogueState), default=CatalogueState.DRAFT)
    note: Mapped[str] = mapped_column(default="", server_default="", comment="what is new in it")
    valid_from: Mapped[datetime | None]
    valid_to: Mapped[datetime | None]
    created_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[datetime]
    published_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    published_at: Mapped[datetime | None]
    #: Counts up with every change of a row too, so that nobody publishes or replaces what he has not seen.
    version: Mapped[int] = mapped_column(default=1, server_default="1")

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - SQLAlchemy reads a plain dict
    __table_args__ = (
        one_of("state", CatalogueState),
        CheckConstraint("(state = 'draft') = (valid_from IS NULL)", name="published_has_window"),
        CheckConstraint("(state = 'draft') = (published_at IS NULL)", name="published_has_time"),
        CheckConstraint("valid_from >= published_at", name="never_in_the_past"),
        CheckConstraint("valid_to > valid_from", name="window_has_length"),
        CheckConstraint("state <> 'retired' OR valid_to IS NOT NULL", name="retired_has_end"),
        # At no instant are two versions in force.
        ExcludeConstraint(
            (func.tstzrange(text("valid_from"), text("valid_to")), "&&"),
            name="ex_catalogue_versions_windows",
            using="gist",
            where=text("state <> 'draft'"),
        ),
        # There is one draft, and everybody works on the same.
        Index("uq_catalogue_versions_draft", "state", unique=True, postgresql_where=text("state = 'draft'")),
    )


class CatalogueRow(Base):
    """Who leads what: an empty key means "any"; the most specific row that fits wins (routing.catalogue.rules)."""

    __tablename__ = "catalogue_rows"

    id: Mapped[int] = mapped_column(primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("catalogue_versions.id", ondelete="CASCADE"))
    category_id: Mapped[int | None] = mapped_column(ForeignKey("categories.id"))
    region_id: Mapped[int | None] = mapped_column(ForeignKey("regions.id"))
    request_type: Mapped[RequestType | None] = mapped_column(EnumText(RequestType))
    service_item: Mapped[str] = mapped_column(default="", server_default="")
    lead_id: Mapped[int | None] = mapped_column(ForeignKey("departments.id"), comment="empty: whoever owns the place")
    co_handlers: Mapped[list[Any]] = mapped_column(default=list, server_default="[]", comment="codes of departments")
    sla_class: Mapped[str] = mapped_column(default="", server_default="", comment="chooses the row of the profile")
    basis: Mapped[str] = mapped_column(default="", server_default="", comment="law, 三定 or list of duties")
    origin: Mapped[str] = mapped_column(default="", server_default="", comment="where the row comes from, in words")
    changed_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    changed_at: Mapped[datetime]

    __table_args__ = (
        one_of("request_type", RequestType),
        CheckConstraint("jsonb_typeof(co_handlers) = 'array'", name="co_handlers_is_a_list"),
        CheckConstraint("char_length(basis) <= 1000 AND char_length(service_item) <= 200", name="words_bounded"),
        # No two rows of a version overlap with the same keys; an empty key is a value here. Also: the whole version.
        UniqueConstraint(
            "version_id",
            "category_id",
            "region_id",
            "request_type",
            "service_item",
            name="uq_catalogue_rows_key",
            postgresql_nulls_not_distinct=True,
        ),
        # Which rows lead to this department? Asked when a unit is to be closed.
        Index("ix_catalogue_rows_lead_id", "lead_id"),
    )


class CatalogueTrial(Base):
    """A draft tried on lived tickets: how many would have gone elsewhere, and which."""

    __tablename__ = "catalogue_trials"

    id: Mapped[int] = mapped_column(primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("catalogue_versions.id", ondelete="CASCADE"))
    #: The draft as it was when the trial was asked for; a later change makes the answer old.
    of_version: Mapped[int]
    since: Mapped[datetime]
    until: Mapped[datetime]
    state: Mapped[TrialState] = mapped_column(EnumText(TrialState))
    done_days: Mapped[int] = mapped_column(default=0, server_default="0")
    days: Mapped[int]
    result: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    error: Mapped[str] = mapped_column(default="", server_default="")
    asked_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    asked_at: Mapped[datetime]

    __table_args__ = (
        one_of("state", TrialState),
        CheckConstraint("until > since", name="period_has_length"),
        CheckConstraint("done_days BETWEEN 0 AND days", name="progress_range"),
        # The latest trial of a draft.
        Index("ix_catalogue_trials_version_id", "version_id", "id"),
    )


class RegionFallback(Base):
    """Who works on a place's matters when nobody else is named (属地兜底); holds for everything below the region."""

    __tablename__ = "region_fallbacks"

    region_id: Mapped[int] = mapped_column(ForeignKey("regions.id"), primary_key=True)
    department_id: Mapped[int] = mapped_column(ForeignKey("departments.id"))
    changed_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    changed_at: Mapped[datetime]


class Place(Base):
    """A name that citizens say instead of a street office: a road, an estate, a school, a market."""

    __tablename__ = "places"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    kind: Mapped[str] = mapped_column(default="", server_default="")
    aliases: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")

    __table_args__ = (
        CheckConstraint("char_length(name) BETWEEN 2 AND 60", name="name_length"),
        CheckConstraint("jsonb_typeof(aliases) = 'array'", name="aliases_is_a_list"),
    )


class PlaceRegion(Base):
    """Where a place lies; more than one region means that the name alone does not decide."""

    __tablename__ = "place_regions"

    place_id: Mapped[int] = mapped_column(ForeignKey("places.id", ondelete="CASCADE"), primary_key=True)
    region_id: Mapped[int] = mapped_column(ForeignKey("regions.id"), primary_key=True)


class DutyContact(Base):
    """Whom to ring at a department, and when (值守联系人); the first is tried first."""

    __tablename__ = "duty_contacts"

    id: Mapped[int] = mapped_column(primary_key=True)
    department_id: Mapped[int] = mapped_column(ForeignKey("departments.id", ondelete="CASCADE"))
    position: Mapped[int] = mapped_column(default=0, server_default="0")
    name: Mapped[str]
    phone: Mapped[str]
    hours: Mapped[str] = mapped_column(default="00:00-24:00", server_default="00:00-24:00", comment="local time")

    __table_args__ = (
        CheckConstraint(r"hours ~ '^\d\d:\d\d-\d\d:\d\d$'", name="hours_form"),
        UniqueConstraint("department_id", "phone"),
    )


class Source(Base):
    """An external feed whose records become tickets (省12345, 人民网留言板 …), and the source its deadlines go by."""

    __tablename__ = "sources"

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(unique=True, comment="what tickets keep as source_system")
    name: Mapped[str]
    deadline_source: Mapped[str] = mapped_column(default="", server_default="", comment="a source of the profiles")
    active: Mapped[bool] = mapped_column(default=True, server_default="true")

    __table_args__ = (
        CheckConstraint(r"code ~ '^[a-z0-9][a-z0-9_.-]{1,59}$'", name="code_form"),
        CheckConstraint("char_length(name) BETWEEN 1 AND 60", name="name_length"),
    )
