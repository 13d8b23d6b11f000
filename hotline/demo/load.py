"""Loads the demonstration city into an empty installation: what is there, who works there, and 160 lived tickets.

Every ticket is walked through the actions that people use, at the times its story tells, so that each desk, counter,
deadline and timeline shows what really happened to it. All of it is one transaction: a load that is interrupted leaves
nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import text, update
from sqlalchemy.orm import Session

import hotline.people.queries
from classifier import seeds
from hotline.core import clock
from hotline.core.db import Database
from hotline.core.errors import Conflict
from hotline.core.files import FileStore
from hotline.core.outbox import OutboxRow
from hotline.core.permissions import Role
from hotline.core.settings import Settings
from hotline.demo import catalogue as demo_catalogue
from hotline.demo import data, duty, hands, relations, supervision
from hotline.demo.data import City
from hotline.demo.judged import ask_the_model
from hotline.demo.lives import Life, born_at
from hotline.demo.matters import Matters
from hotline.demo.people import People
from hotline.demo.places import load_catalogue
from hotline.wiring import open_installation

#: After so many tickets the session lets go of what it has seen; more would make every flush slower.
BATCH: Final = 20
#: Told how many tickets of how many have been walked.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """How much was loaded."""

    regions: int
    departments: int
    categories: int
    users: int
    tickets: int


def load_if_empty(settings: Settings, *, password: str, progress: Progress | None = None) -> bool:
    """Load the city unless the installation already has users; tells whether it did."""
    tools = open_installation(settings)
    try:
        with tools.db.read() as session:
            if not is_empty(session):
                return False
        load(tools.db, data.load(), password=password, now=clock.now(), store=tools.store, progress=progress)
        ask_the_model(tools)
    finally:
        tools.db.close()
    return True


def is_empty(session: Session) -> bool:
    """Tell whether nobody has an account yet."""
    return not hotline.people.queries.users(session, limit=1).rows


def load(
    database: Database,
    city: City,
    *,
    password: str,
    now: datetime,
    store: FileStore | None = None,
    progress: Progress | None = None,
) -> Loaded:
    """Load the whole city, every account with this password; raises `Conflict` unless there are no users yet."""
    corpus = seeds.load()
    with database.begin() as session:
        # Two loaders at once: the second waits here and then finds users.
        session.execute(text("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE"))
        if not is_empty(session):
            raise Conflict("数据库中已有用户，演示城市只能载入空的数据库。")
        places = load_catalogue(session, city, corpus)
        people = People(session, city, places, password=password, now=now)
        administrator = people.one(Role.ADMINISTRATOR, 0)
        demo_catalogue.load_places(
            session, city, regions=places.regions, departments=places.departments, now=people.since
        )
        demo_catalogue.publish(session, city, corpus, by=administrator, now=people.since)
        matters = Matters(corpus)
        made: dict[str, int] = {}
        lives = sorted(city.tickets, key=lambda ticket: (born_at(ticket, now), ticket.key))
        for done, ticket in enumerate(lives, 1):
            category = matters.category_of(ticket)
            life = Life(session, ticket, people, places, born=born_at(ticket, now), now=now)
            life.walk(places.categories[category] if category else None)
            made[ticket.key] = life.ticket_id
            if done % BATCH == 0:
                session.flush()  # what is let go of must have been written
                session.expunge_all()
            if progress:
                progress(done, len(lives))
        demo_catalogue.draft_next(session, city, corpus, by=people.one(Role.ADMINISTRATOR, 0), now=now)
        hands.enact(
            session,
            dispatcher=people.one(Role.DISPATCHER, 0),
            administrator=people.one(Role.ADMINISTRATOR, 0),
            of=people.known,
            store=store,
            now=now,
        )
        duty.enact(
            session,
            tickets=made,
            departments=places.departments,
            of=people.known,
            people=duty.People(
                dispatcher=people.one(Role.DISPATCHER, 0),
                supervisor=people.one(Role.SUPERVISOR, 0),
                arbiter=people.one(Role.ARBITER, 0),
            ),
            now=now,
        )
        relations.enact(session, tickets=made, dispatcher=people.one(Role.DISPATCHER, 0), now=now)
        supervision.enact(
            session, operator=people.one(Role.OPERATOR, 0), supervisor=people.one(Role.SUPERVISOR, 0), now=now
        )
        # The stories are old, the news of them is not: nobody has waited for it until this moment.
        session.execute(update(OutboxRow).values(created_at=now))
        return Loaded(
            regions=len(places.regions),
            departments=len(places.departments),
            categories=len(places.categories),
            users=people.count,
            tickets=len(lives),
        )
