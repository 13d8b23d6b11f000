"""Tries a draft of the catalogue on last month's tickets: how many would have gone elsewhere, where, and examples."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from hotline.core import outbox
from hotline.core.clock import local_day
from hotline.core.permissions import Actor, Permission, require
from hotline.tickets.models import Category, Region, Ticket
from hotline.tickets.vocabulary import Kind
from routing.catalogue import territory
from routing.catalogue.editions import plain_rows, version_in_force, version_numbered
from routing.catalogue.models import CatalogueTrial, TrialState
from routing.catalogue.rules import Index, Matter
from routing.catalogue.territory import pairs
from routing.events import CatalogueTrialAsked
from routing.models import Department, Dispatch

DAYS: Final = 30
#: A page waits no longer than this (milliseconds); what takes longer goes on in the background.
PATIENCE_MS: Final = 2_000
MOST_LINES: Final = 200
MOST_EXAMPLES: Final = 3


@dataclass
class Tally:
    """What has been counted so far; adds up over the days."""

    total: int = 0
    same: int = 0
    #: No row of the draft speaks of them, or the place is not known: a person would decide.
    open: int = 0
    #: Of those that go elsewhere: the edition in force does not say the same, so it is the draft that changes it.
    changed: int = 0
    #: Of those that stay: the edition in force would send them elsewhere, and the draft agrees with what was done.
    mended: int = 0
    #: (category, from, to, what the edition in force says, row of the draft) -> how many, and some numbers.
    elsewhere: dict[tuple[str, str, str, str, int], tuple[int, list[str]]] = field(default_factory=dict)

    def add(self, key: tuple[str, str, str, str, int], count: int, examples: Iterable[str]) -> None:
        """Count tickets that would have gone elsewhere."""
        before, shown = self.elsewhere.get(key, (0, []))
        self.elsewhere[key] = before + count, [*shown, *examples][:MOST_EXAMPLES]

    def told(self) -> dict[str, Any]:
        """Return it as plain values: what the draft itself changes first, then the most frequent."""
        lines = sorted(self.elsewhere.items(), key=lambda one: (one[0][2] == one[0][3], -one[1][0], one[0]))
        return {
            "total": self.total,
            "same": self.same,
            "open": self.open,
            "changed": self.changed,
            "mended": self.mended,
            "elsewhere": sum(count for count, _ in self.elsewhere.values()),
            "kinds": len(lines),
            "lines": [
                {
                    "category": category,
                    "from": here,
                    "to": there,
                    "now": today,
                    "row": row,
                    "count": count,
                    "examples": examples,
                }
                for (category, here, there, today, row), (count, examples) in lines[:MOST_LINES]
            ],
        }


@dataclass(frozen=True)
class _Said:
    """What an edition says of a matter: the lead, and the row that names it."""

    lead: int | None = None
    row: int = 0


class Trial:
    """A draft beside the edition in force, ready to be asked about many tickets."""

    def __init__(self, session: Session, version_id: int, *, now: datetime) -> None:
        """Read everything once."""
        categories = pairs(session, select(Category.id, Category.parent_id))
        regions = pairs(session, select(Region.id, Region.parent_id))
        in_force = version_in_force(session, now=now)
        self._tried = Index(plain_rows(session, version_id), categories=categories, regions=regions)
        self._in_force = Index(
            plain_rows(session, in_force.id) if in_force else (), categories=categories, regions=regions
        )
        self._paths: Mapping[int, str] = pairs(session, select(Category.id, Category.path))
        self._names: Mapping[int, str] = pairs(session, select(Department.id, Department.short_name))
        self._active = frozenset(session.scalars(select(Department.id).where(Department.active)))
        self._owners = territory.owners(session)
        self._known: dict[Matter, tuple[_Said, _Said]] = {}

    def count(self, session: Session, tally: Tally, *, since: datetime, until: datetime) -> None:
        """Count the tickets that were registered on the local days from `since` to before `until`."""
        # A ticket's number begins with its day, so the index of the numbers finds the days; groups, not tickets, are
        # asked about: a month of a big city has some thousands of them.
        rows = session.execute(
            select(
                Ticket.category_id,
                Ticket.region_id,
                Ticket.request_type,
                Ticket.service_item,
                Dispatch.department_id,
                func.count(),
                func.max(Ticket.number),
                func.min(Ticket.number),
            )
            .join(Dispatch, (Dispatch.ticket_id == Ticket.id) & Dispatch.is_current)
            .where(
                Ticket.number >= f"{local_day(since):%Y%m%d}",
                Ticket.number < f"{local_day(until):%Y%m%d}",
                Ticket.kind == Kind.CONCERN,
            )
            .group_by(
                Ticket.category_id, Ticket.region_id, Ticket.request_type, Ticket.service_item, Dispatch.department_id
            )
        )
        for category, region, request_type, item, went, count, newest, oldest in rows:
            tally.total += count
            tried, today = self._said(
                Matter(category=category, region=region, request_type=request_type.value, service_item=item or "")
            )
            if tried.lead is None:
                tally.open += count
            elif tried.lead == went:
                tally.same += count
                tally.mended += count if today.lead != tried.lead else 0
            else:
                tally.changed += count if today.lead != tried.lead else 0
                names = (self._names[went], self._names[tried.lead], self._names.get(today.lead or 0, ""))
                key = (self._paths.get(category or 0, "未分类"), *names, tried.row)
                tally.add(key, count, dict.fromkeys((newest, oldest)))

    def _said(self, matter: Matter) -> tuple[_Said, _Said]:
        if matter not in self._known:
            self._known[matter] = (self._asked(self._tried, matter), self._asked(self._in_force, matter))
        return self._known[matter]

    def _asked(self, edition: Index, matter: Matter) -> _Said:
        if matter.category is None and not matter.service_item:
            return _Said()  # nobody named the matter; a person decides, as at the dispatcher's desk
        row = edition.best(matter, lambda one: one.lead is None or one.lead in self._active)
        if row is None:
            return _Said()
        return _Said(row.lead if row.lead is not None else self._owners.get(matter.region or 0), row.id)


def ask(session: Session, *, number: int, by: Actor, now: datetime, patience_ms: int = PATIENCE_MS) -> CatalogueTrial:
    """Try an edition on the last thirty days: at once if that takes less than two seconds, else in the background."""
    require(by, Permission.CATALOGUE_EDIT)
    edition = version_numbered(session, number)
    trial = CatalogueTrial(
        version_id=edition.id,
        of_version=edition.version,
        since=now - timedelta(days=DAYS),
        until=now + timedelta(days=1),
        state=TrialState.WAITING,
        days=DAYS + 1,
        asked_by=by.user_id,
        asked_at=now,
    )
    try:
        with session.begin_nested():
            trial.result = _at_once(session, trial, until=time.monotonic() + patience_ms / 1_000)
        trial.state, trial.done_days = TrialState.DONE, trial.days
    except (OperationalError, _TooLong):  # the database was too long about it, or there is too much to count
        pass
    session.add(trial)
    session.flush()  # the event needs the id
    if trial.state is TrialState.WAITING:
        outbox.publish(session, CatalogueTrialAsked(trial_id=trial.id), now=now)
    return trial


class _TooLong(Exception):
    """The page would wait too long."""


def _at_once(session: Session, trial: CatalogueTrial, *, until: float) -> dict[str, Any]:
    """Count day by day while there is time left, on the monotonic clock; then raise `_TooLong`."""
    tally, tried = Tally(), Trial(session, trial.version_id, now=trial.asked_at)
    for day in range(trial.days):
        left_ms = int((until - time.monotonic()) * 1_000)
        if left_ms <= 0:
            raise _TooLong
        session.execute(text(f"SET LOCAL statement_timeout = {left_ms}"))
        begins = trial.since + timedelta(days=day)
        tried.count(session, tally, since=begins, until=begins + timedelta(days=1))
    session.execute(text("SET LOCAL statement_timeout = 0"))
    return tally.told()


def run(begin: Callable[[], AbstractContextManager[Session]], *, trial_id: int) -> None:
    """Work a trial off day by day, each day its own transaction, so that the page sees how far it is.

    Run again after a crash it begins anew; one that is done stays as it is.
    """
    with begin() as session:
        trial = session.get(CatalogueTrial, trial_id)
        if trial is None or trial.state is TrialState.DONE:
            return
        trial.state, trial.done_days, trial.error = TrialState.RUNNING, 0, ""
        tried = Trial(session, trial.version_id, now=trial.asked_at)
        since, days = trial.since, trial.days
    tally = Tally()
    try:
        for day in range(days):
            with begin() as session:
                begins = since + timedelta(days=day)
                tried.count(session, tally, since=begins, until=begins + timedelta(days=1))
                session.get_one(CatalogueTrial, trial_id).done_days = day + 1
    except Exception as error:
        with begin() as session:
            trial = session.get_one(CatalogueTrial, trial_id)
            trial.state, trial.error = TrialState.FAILED, f"{type(error).__name__}: {error}"[:500]
        raise
    with begin() as session:
        trial = session.get_one(CatalogueTrial, trial_id)
        trial.state, trial.result = TrialState.DONE, tally.told()


def latest(session: Session, version_id: int) -> CatalogueTrial | None:
    """Return the newest trial of an edition."""
    return session.scalars(
        select(CatalogueTrial)
        .where(CatalogueTrial.version_id == version_id)
        .order_by(CatalogueTrial.id.desc())
        .limit(1)
    ).first()
