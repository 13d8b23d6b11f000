"""A ticket and the lines that say what was done to it are written together, once (docs/decisions/0055)."""

from __future__ import annotations

from datetime import datetime

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm.exc import StaleDataError

from hotline.core.db import Database
from hotline.core.errors import WrongState
from hotline.core.permissions import Role
from hotline.tickets import actions as tickets
from hotline.tickets.actions import Step
from hotline.tickets.models import JournalEntry, Ticket
from hotline.tickets.states import Act, State
from tests.makers import count_queries, dispatched_ticket, make_actor, make_department, register_ticket


def journal(db: Database, ticket_id: int) -> list[tuple[Act, State | None, State, int]]:
    with db.read() as session:
        rows = session.scalars(
            select(JournalEntry).where(JournalEntry.ticket_id == ticket_id).order_by(JournalEntry.id)
        )
        return [(row.act, row.from_state, row.to_state, row.version) for row in rows]


def test_what_was_set_on_the_ticket_goes_with_its_line_in_one_statement(db: Database, now: datetime) -> None:
    with db.begin() as session:
        ticket_id = register_ticket(session, now=now).ticket_id
        by = make_actor(session, Role.OPERATOR, now=now)
    with db.begin() as session:
        ticket = tickets.lock(session, ticket_id)
        with count_queries(db) as sent:
            ticket.closing_words = "请拨打供电服务热线。"
            line = tickets.move(session, ticket, Act.ANSWER_DIRECTLY, by=by, now=now, note="请拨打供电服务热线。")
            written = list(sent.statements)
            session.flush()
        assert ticket.version == line.version == 2
    assert len(written) == 2  # the line with the ticket, and what asks whether a dispatch ends with it
    assert not any(each.startswith("UPDATE tickets") for each in sent.statements)
    with db.read() as session:
        kept = session.get_one(Ticket, ticket_id)
        assert (kept.state, kept.closing_words, kept.version) == (State.CLOSED, "请拨打供电服务热线。", 2)
    assert journal(db, ticket_id)[1:] == [(Act.ANSWER_DIRECTLY, State.REGISTERED, State.CLOSED, 2)]


def test_two_acts_in_one_breath_are_two_lines_and_one_version(db: Database, now: datetime) -> None:
    with db.begin() as session:
        department = make_department(session)
        ticket_id = dispatched_ticket(session, department, now=now).id
        by = make_actor(session, Role.RESPONDER, departments=[department], now=now)
    with db.begin() as session:
        ticket = tickets.lock(session, ticket_id)
        before = ticket.version
        steps = [Step(act=Act.SIGN, details={"late": False}), Step(act=Act.ANSWER, note="已修好。")]
        line = tickets.move_along(session, ticket, steps, by=by, now=now)
        assert (ticket.state, ticket.version, line.act) == (State.ANSWERED, before + 1, Act.ANSWER)
    assert journal(db, ticket_id)[-2:] == [
        (Act.SIGN, State.DISPATCHED, State.SIGNED, before + 1),
        (Act.ANSWER, State.SIGNED, State.ANSWERED, before + 1),
    ]


def test_a_step_that_the_map_does_not_know_writes_none_of_them(db: Database, now: datetime) -> None:
    with db.begin() as session:
        department = make_department(session)
        ticket_id = dispatched_ticket(session, department, now=now).id
        by = make_actor(session, Role.RESPONDER, departments=[department], now=now)
    before = journal(db, ticket_id)
    with db.begin() as session:
        ticket = tickets.lock(session, ticket_id)
        with pytest.raises(WrongState):
            tickets.move_along(session, ticket, [Step(act=Act.SIGN), Step(act=Act.SIGN)], by=by, now=now)
    assert journal(db, ticket_id) == before


def test_a_line_without_a_change_leaves_the_version(db: Database, now: datetime) -> None:
    with db.begin() as session:
        ticket_id = register_ticket(session, now=now).ticket_id
        by = make_actor(session, Role.OPERATOR, now=now)
    with db.begin() as session:
        ticket = tickets.lock(session, ticket_id)
        line = tickets.move(session, ticket, Act.NOTE, by=by, now=now, note="来电补充。")
        assert line.version == ticket.version == 1


def test_whoever_did_not_lock_and_was_slower_is_told_and_writes_nothing(db: Database, now: datetime) -> None:
    with db.begin() as session:
        ticket_id = register_ticket(session, now=now).ticket_id
        by = make_actor(session, Role.OPERATOR, now=now)
    with db.begin() as session:
        ticket = session.get_one(Ticket, ticket_id)
        session.execute(text("UPDATE tickets SET version = version + 1 WHERE id = :id"), {"id": ticket_id})
        with pytest.raises(StaleDataError):
            tickets.move(session, ticket, Act.WITHDRAW, by=by, now=now, note="不再需要。")
    assert [act for act, *_ in journal(db, ticket_id)] == [Act.REGISTER]
