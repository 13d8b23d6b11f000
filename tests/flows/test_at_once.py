"""Many people at the same moment: numbers, versions, keys, callbacks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError

from callbacks import actions as callbacks
from callbacks import queries as callback_queries
from callbacks.models import Callback
from callbacks.policy import Answers, Satisfaction, Solved
from hotline.core.db import Database
from hotline.core.errors import Conflict, HotlineError, StaleTicket, WrongState
from hotline.core.permissions import Role
from hotline.intake.actions import register
from hotline.tickets import actions as tickets
from hotline.tickets.models import JournalEntry, Ticket
from routing import actions as routing
from tests.makers import answered_ticket, make_actor, make_concern, make_department, register_ticket

HAPPY = Answers(replied=True, solved=Solved.SOLVED, process=Satisfaction.SATISFIED, result=Satisfaction.SATISFIED)


def at_once(work: Callable[[int], Any], *, people: int) -> list[Any]:
    """Let several people do something at the same moment; returns what each got, an error of ours included."""
    start = threading.Barrier(people)
    got: list[Any] = [None] * people

    def one(number: int) -> None:
        start.wait(10)
        try:
            got[number] = work(number)
        except HotlineError as error:
            got[number] = error

    threads = [threading.Thread(target=one, args=(number,)) for number in range(people)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return got


def test_no_two_tickets_ever_share_a_number(db: Database, now: datetime) -> None:
    with db.begin() as session:
        operators = [make_actor(session, Role.OPERATOR, now=now) for _ in range(4)]

    def take_calls(number: int) -> list[str]:
        numbers = []
        for _ in range(10):
            with db.begin() as session:
                numbers.append(register_ticket(session, by=operators[number], now=now).number)
        return numbers

    numbers = [number for batch in at_once(take_calls, people=4) for number in batch]
    assert len(set(numbers)) == 40
    assert all(number.startswith("20261008") for number in numbers)


def test_numbers_go_on_after_the_ten_millionth_ticket(db: Database, now: datetime) -> None:
    with db.engine.begin() as connection:
        connection.execute(text("SELECT setval('ticket_numbers', 9999999)"))
    with db.begin() as session:
        numbers = [register_ticket(session, now=now).number for _ in range(12)]
    assert numbers[0] == "2026100810000000"
    assert len(set(numbers)) == 12


def test_the_same_key_at_the_same_moment_makes_one_ticket(db: Database, now: datetime) -> None:
    with db.begin() as session:
        operator = make_actor(session, Role.OPERATOR, now=now)
    concern = make_concern()

    def submit(_: int) -> str:
        with db.begin() as session:
            return register(session, concern, scope="desk", key="the-same", by=operator, now=now).number

    numbers = at_once(submit, people=4)
    assert len(set(numbers)) == 1, numbers
    with db.read() as session:
        assert session.scalar(select(func.count()).select_from(Ticket)) == 1


def test_two_dispatchers_at_the_same_moment_dispatch_once_and_the_other_is_told_who(
    db: Database, now: datetime
) -> None:
    with db.begin() as session:
        first, second = make_department(session), make_department(session)
        people = [make_actor(session, Role.DISPATCHER, name=f"派单员{n}", now=now) for n in range(2)]
        registered = register_ticket(session, now=now)
        version = session.get_one(Ticket, registered.ticket_id).version

    def send(number: int) -> int:
        with db.begin() as session:
            return routing.dispatch(
                session,
                ticket_id=registered.ticket_id,
                version=version,
                department_id=(first, second)[number].id,
                by=people[number],
                now=now,
            ).department_id

    got = at_once(send, people=2)
    errors = [each for each in got if isinstance(each, HotlineError)]
    assert len(errors) == 1
    assert isinstance(errors[0], StaleTicket)
    assert errors[0].by in {"派单员0", "派单员1"}
    assert errors[0].acts == ("dispatch",)


def test_two_people_who_edit_one_ticket_cannot_overwrite_each_other(db: Database, now: datetime) -> None:
    with db.begin() as session:
        one, other = (make_actor(session, Role.OPERATOR, name=name, now=now) for name in ("甲", "乙"))
        registered = register_ticket(session, now=now)
        seen = session.get_one(Ticket, registered.ticket_id).version
    with db.begin() as session:
        tickets.amend(
            session,
            ticket_id=registered.ticket_id,
            version=seen,
            changes={"place": "建设路与人民路路口"},
            reason="来电人补充",
            by=one,
            now=now,
        )
    with pytest.raises(StaleTicket) as refusal, db.begin() as session:
        tickets.amend(
            session,
            ticket_id=registered.ticket_id,
            version=seen,
            changes={"place": "解放路"},
            reason="",
            by=other,
            now=now,
        )
    assert refusal.value.by == "甲"
    assert refusal.value.changes == {"事发地点": ("（空）", "建设路与人民路路口")}
    with db.read() as session:
        assert session.get_one(Ticket, registered.ticket_id).place == "建设路与人民路路口"


def test_two_auditors_at_the_same_moment_record_one_result(db: Database, now: datetime) -> None:
    with db.begin() as session:
        department = make_department(session)
        ticket = answered_ticket(session, department, now=now)
        auditors = [make_actor(session, Role.AUDITOR, now=now) for _ in range(2)]
        session.flush()
        waiting = callback_queries.open_callback(session, ticket.id)
        assert waiting is not None
        callback_id = waiting.id

    def record(number: int) -> str:
        with db.begin() as session:
            callbacks.record_result(
                session, callback_id=callback_id, version=None, answers=HAPPY, by=auditors[number], now=now
            )
        return "recorded"

    got = at_once(record, people=2)
    assert sorted(type(each).__name__ for each in got) == ["Conflict", "str"]
    with db.read() as session:
        assert session.scalar(select(func.count()).where(JournalEntry.act == "confirm")) == 1


def test_the_journal_cannot_be_changed_or_deleted(db: Database, now: datetime) -> None:
    with db.begin() as session:
        register_ticket(session, now=now)
    for statement in ("UPDATE journal SET note = 'x'", "DELETE FROM journal"):
        with pytest.raises(Conflict, match="journal_is_kept"), db.begin() as session:
            session.execute(text(statement))


def test_the_database_refuses_a_callback_by_whoever_handled_the_ticket(db: Database, now: datetime) -> None:
    with db.begin() as session:
        department = make_department(session)
        responder = make_actor(session, Role.RESPONDER, departments=[department], now=now)
        ticket = answered_ticket(session, department, by=responder, now=now)
        ticket_id = ticket.id
    with pytest.raises(IntegrityError, match="whoever handled"), db.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE callbacks SET done_by = :user, done_at = now(), verdict = 'unreachable'"
                " WHERE ticket_id = :ticket"
            ),
            {"user": responder.user_id, "ticket": ticket_id},
        )


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE tickets SET state = 'closed'", "closed_has"),
        ("UPDATE tickets SET closed_at = now()", "closed_has_time"),
        ("UPDATE tickets SET state = 'dispatched'", "held_has_deadline"),
        ("UPDATE tickets SET state = 'dispatched', due_at = now()", "out_has_time"),
        ("UPDATE tickets SET outcome = 'refused', state = 'closed', closed_at = now()", "refused_has_reason"),
        ("UPDATE tickets SET state = 'asleep'", "state_known"),
        ("UPDATE tickets SET repeats_id = id", "repeats_an_older_one"),
    ],
)
def test_what_must_never_be_true_the_database_refuses(
    db: Database, now: datetime, statement: str, constraint: str
) -> None:
    with db.begin() as session:
        register_ticket(session, now=now)
    with pytest.raises(Conflict, match=constraint), db.begin() as session:
        session.execute(text(statement))


def test_a_ticket_is_in_one_pair_of_hands_at_a_time(db: Database, now: datetime) -> None:
    with db.begin() as session:
        department = make_department(session)
        answered_ticket(session, department, now=now)
    with pytest.raises(Conflict, match="uq_dispatches_current"), db.begin() as session:
        session.execute(
            text(
                "INSERT INTO dispatches (ticket_id, department_id, round, sent_at, profile, sign_due_at, due_at, steps)"
                " SELECT ticket_id, department_id, 1, now(), 'x', now(), now(), '{}' FROM dispatches"
            )
        )


def test_an_act_that_is_not_on_the_map_is_refused(db: Database, now: datetime) -> None:
    with db.begin() as session:
        department = make_department(session)
        ticket_id = answered_ticket(session, department, now=now).id
        operator = make_actor(session, Role.OPERATOR, now=now)
        version = session.get_one(Ticket, ticket_id).version
    with pytest.raises(WrongState), db.begin() as session:
        tickets.close_directly(session, ticket_id=ticket_id, version=version, answer="已处理", by=operator, now=now)
    with db.read() as session:
        assert session.scalars(select(Callback.done_at)).all() == [None]
