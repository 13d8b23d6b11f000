"""Makes what tests need, with honest defaults and no random data."""

from __future__ import annotations

import functools
import html
import itertools
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import event
from sqlalchemy.orm import Session

from hotline.core.db import Database
from hotline.core.permissions import Actor, Role
from hotline.intake.actions import Registered, register
from hotline.intake.rules import Concern
from hotline.people.models import User
from hotline.people.passwords import hash_password
from hotline.tickets.models import Category, Region, Ticket
from routing import actions as routing
from routing.duty import disputing, returning
from routing.duty.models import Return, Ruling
from routing.duty.rules import Seat
from routing.models import Department, DepartmentKind, Membership

PASSWORD = "Correct-horse-9"
_numbers = itertools.count(1)


@functools.cache
def _hashed() -> str:
    """Hash the tests' password once; hashing is slow on purpose, and what creates accounts has its own tests."""
    return hash_password(PASSWORD)


def make_user(session: Session, role: Role = Role.OPERATOR, *, login: str = "", name: str = "", now: datetime) -> User:
    """Open an account with the tests' password."""
    number = next(_numbers)
    user = User(
        login=login or f"{role.value}{number}",
        display_name=name or f"测试{number}号",
        role=role,
        password_hash=_hashed(),
        active=True,
        created_at=now,
    )
    session.add(user)
    session.flush()
    return user


def make_actor(
    session: Session, role: Role = Role.OPERATOR, *, departments: Iterable[Department] = (), now: datetime, **given: Any
) -> Actor:
    """Open an account and return the person who acts, a member of these departments."""
    user = make_user(session, role, now=now, **given)
    chosen = list(departments)
    for department in chosen:
        session.add(Membership(user_id=user.id, department_id=department.id))
    session.flush()
    return Actor(user_id=user.id, role=role, department_ids=frozenset(d.id for d in chosen), name=user.display_name)


def make_department(
    session: Session, code: str = "", *, name: str = "", kind: DepartmentKind = DepartmentKind.BUREAU, **given: Any
) -> Department:
    """Make a department."""
    number = next(_numbers)
    department = Department(
        code=code or f"bureau_{number}",
        name=name or f"市测试局{number}",
        short_name=name or f"测试局{number}",
        kind=kind,
        **given,
    )
    session.add(department)
    session.flush()
    return department


def make_category(session: Session, code: str = "", *, name: str = "占道经营", lead: str = "") -> Category:
    """Make a category of the first level."""
    category = Category(code=code or f"T-{next(_numbers):04d}", name=name, path=name, level=1, lead=lead)
    session.add(category)
    session.flush()
    return category


def make_region(session: Session, code: str = "", *, name: str = "北苑区") -> Region:
    """Make a region of the first level."""
    region = Region(code=code or f"99{next(_numbers):04d}", name=name, path=name, level=1)
    session.add(region)
    session.flush()
    return region


def make_concern(**given: Any) -> Concern:
    """Return a plain concern; what the test is about it says itself."""
    number = next(_numbers)
    return Concern(
        **{
            "content": f"幸福路{number}号门前的路灯已经坏了一个多星期，晚上走路看不清，请派人来修。",
            "phone": "13900001234",
            "name": "王小明",
            "channel": "phone",
            "request_type": "求助",
            **given,
        }
    )


def register_ticket(
    session: Session, *, by: Actor | None = None, key: str = "", now: datetime, **given: Any
) -> Registered:
    """Register a concern as an operator does."""
    by = by or make_actor(session, Role.OPERATOR, now=now)
    return register(session, make_concern(**given), scope="test", key=key, by=by, now=now)


def dispatched_ticket(session: Session, department: Department, *, now: datetime, **given: Any) -> Ticket:
    """Register a ticket and send it to a department."""
    registered = register_ticket(session, now=now, **given)
    dispatcher = make_actor(session, Role.DISPATCHER, now=now)
    routing.dispatch(
        session,
        ticket_id=registered.ticket_id,
        version=None,
        department_id=department.id,
        reason="按职责",
        by=dispatcher,
        now=now,
    )
    return session.get_one(Ticket, registered.ticket_id)


def ask_return(
    session: Session, ticket: Ticket, *, by: Actor, now: datetime, suggested: Department | None = None, **given: Any
) -> Return:
    """Let a unit ask the hotline to take a ticket back; without a suggestion it says that facts are missing."""
    return returning.ask(
        session,
        **{
            "ticket_id": ticket.id,
            "version": None,
            "reason": "not_our_duty" if suggested else "facts_missing",
            "words": "该设施由其他单位管养。",
            "basis": "权责清单第十二条",
            "suggested_department_id": suggested.id if suggested else None,
            "by": by,
            "now": now,
            **given,
        },
    )


def returned_ticket(
    session: Session,
    ticket: Ticket,
    *,
    by: Actor,
    suggested: Department | None = None,
    to: Department | None = None,
    reviewer: Actor | None = None,
    now: datetime,
    **given: Any,
) -> None:
    """Let a unit give a ticket back and the hotline uphold it; it goes to `to`, or back into the queue."""
    asked = ask_return(session, ticket, by=by, suggested=suggested, now=now, **given)
    reviewer = reviewer or make_actor(session, Role.DISPATCHER, now=now)
    returning.uphold(
        session, return_id=asked.id, department_id=to.id if to else None, words="依据成立。", by=reviewer, now=now
    )


def ruled_ticket(
    session: Session,
    held: Department,
    *,
    lead: Department,
    helping: Iterable[Department] = (),
    now: datetime,
    **given: Any,
) -> Ruling:
    """Let a panel rule on a ticket that a department holds: who leads it and who helps; a precedent from then on."""
    ticket = dispatched_ticket(session, held, now=now, **given)
    dispatcher, supervisor, arbiter = (
        make_actor(session, role, now=now) for role in (Role.DISPATCHER, Role.SUPERVISOR, Role.ARBITER)
    )
    dispute = disputing.open_dispute(
        session, ticket_id=ticket.id, version=None, words="两家说法不一。", by=dispatcher, now=now
    )
    session.flush()
    seats = [(supervisor.user_id or 0, Seat.HOTLINE), (arbiter.user_id or 0, Seat.ESTABLISHMENT)]
    disputing.name_panel(session, dispute_id=dispute.id, seats=seats, by=dispatcher, now=now)
    ruling = disputing.propose_ruling(
        session,
        dispute_id=dispute.id,
        lead_id=lead.id,
        assist_ids=[one.id for one in helping],
        words="设施由其建设并管养。",
        basis="三定规定第二条第五项",
        by=arbiter,
        now=now,
    )
    disputing.confirm_ruling(session, ruling_id=ruling.id, by=supervisor, now=now)
    return ruling


def answered_ticket(
    session: Session, department: Department, *, by: Actor | None = None, now: datetime, **given: Any
) -> Ticket:
    """Register, dispatch and answer a ticket."""
    ticket = dispatched_ticket(session, department, now=now, **given)
    responder = by or make_actor(session, Role.RESPONDER, departments=[department], now=now)
    routing.answer(session, ticket_id=ticket.id, version=None, feedback=feedback(), by=responder, now=now)
    return ticket


def feedback(**given: Any) -> routing.Feedback:
    """Return what a department feeds back."""
    return routing.Feedback(
        **{
            "internal_note": "已安排养护班组到现场更换灯具两盏。",
            "public_answer": "您好，您反映的路灯不亮问题已处理，两盏损坏灯具于今日更换完毕，现已恢复照明。",
            **given,
        }
    )


def turned(page: str, way: str) -> str:
    """Return where a list's page leads: `way` is next or prev."""
    found = re.search(rf'<a [^>]*href="([^"]+)"[^>]*rel="{way}"', page)
    assert found, f"the list does not turn to its {way} page"
    return html.unescape(found[1])


def sign_in(client: FlaskClient, login: str) -> None:
    """Sign a browser in."""
    answer = client.post("/sign-in", data={"login": login, "password": PASSWORD})
    assert answer.status_code == 302, answer.text


@dataclass
class QueryCount:
    """How many statements were sent."""

    count: int = 0
    statements: list[str] = field(default_factory=list)


@contextmanager
def count_queries(database: Database) -> Iterator[QueryCount]:
    """Count the statements that a database is sent; those that only open or shape a transaction are no questions."""
    counted = QueryCount()

    def sent(*given: Any) -> None:
        statement = str(given[2])
        if not statement.lstrip().upper().startswith(("SET ", "SAVEPOINT", "RELEASE", "ROLLBACK")):
            counted.count += 1
            counted.statements.append(statement)

    event.listen(database.engine, "before_cursor_execute", sent)
    try:
        yield counted
    finally:
        event.remove(database.engine, "before_cursor_execute", sent)
