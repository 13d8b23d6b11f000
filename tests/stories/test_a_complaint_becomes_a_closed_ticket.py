"""The first story: register, dispatch, sign, answer, call back, close; and what happens when the citizen is unhappy."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from callbacks import actions as callbacks
from callbacks import queries as callback_queries
from callbacks.policy import Answers, Satisfaction, Solved
from hotline.core.errors import Denied
from hotline.core.permissions import Role
from hotline.tickets.models import Ticket
from hotline.tickets.queries import counters, timeline
from hotline.tickets.states import Act, Outcome, State
from routing import actions as routing
from routing import queries as routing_queries
from tests.makers import feedback, make_actor, make_department, register_ticket

HAPPY = Answers(replied=True, solved=Solved.SOLVED, process=Satisfaction.SATISFIED, result=Satisfaction.SATISFIED)
UNHAPPY = Answers(
    replied=True,
    solved=Solved.UNSOLVED,
    process=Satisfaction.MOSTLY,
    result=Satisfaction.UNSATISFIED,
    reason="灯还是不亮",
)


def state_of(ticket: Ticket) -> State:
    return ticket.state


def due_of(ticket: Ticket) -> datetime | None:
    return ticket.due_at


def test_a_complaint_is_dispatched_answered_called_back_and_closed(session: Session, now: datetime) -> None:
    lighting = make_department(session, name="城市管理局")
    operator = make_actor(session, Role.OPERATOR, now=now)
    dispatcher = make_actor(session, Role.DISPATCHER, now=now)
    responder = make_actor(session, Role.RESPONDER, departments=[lighting], now=now)
    auditor = make_actor(session, Role.AUDITOR, now=now)
    registered = register_ticket(session, by=operator, now=now)
    ticket = session.get_one(Ticket, registered.ticket_id)
    assert state_of(ticket) is State.REGISTERED

    sent = routing.dispatch(
        session, ticket_id=ticket.id, version=ticket.version, department_id=lighting.id, by=dispatcher, now=now
    )
    assert state_of(ticket) is State.DISPATCHED
    assert due_of(ticket) == sent.due_at > now
    routing.sign(session, ticket_id=ticket.id, by=responder, now=now + timedelta(hours=1))
    routing.answer(
        session, ticket_id=ticket.id, version=None, feedback=feedback(), by=responder, now=now + timedelta(hours=5)
    )
    assert state_of(ticket) is State.ANSWERED
    assert due_of(ticket) is None

    (waiting,) = callback_queries.waiting(session, auditor, now=now)
    assert waiting.number == ticket.number
    callbacks.record_result(
        session, callback_id=waiting.id, version=waiting.version, answers=HAPPY, by=auditor, now=now + timedelta(days=1)
    )
    assert state_of(ticket) is State.CLOSED
    assert ticket.outcome is Outcome.CONFIRMED
    session.flush()
    acts = [entry.act for entry in timeline(session, ticket.id)]
    assert acts == [Act.REGISTER, Act.DISPATCH, Act.SIGN, Act.ANSWER, Act.CONFIRM]
    assert routing_queries.dispatches_of(session, ticket.id)[0].ending == "closed"


def test_an_unhappy_citizen_gets_rework_with_a_new_deadline_and_another_callback(
    session: Session, now: datetime
) -> None:
    lighting = make_department(session)
    responder = make_actor(session, Role.RESPONDER, departments=[lighting], now=now)
    auditor = make_actor(session, Role.AUDITOR, now=now)
    registered = register_ticket(session, now=now)
    dispatcher = make_actor(session, Role.DISPATCHER, now=now)
    routing.dispatch(
        session, ticket_id=registered.ticket_id, version=None, department_id=lighting.id, by=dispatcher, now=now
    )
    routing.answer(session, ticket_id=registered.ticket_id, version=None, feedback=feedback(), by=responder, now=now)
    first = callback_queries.open_callback(session, registered.ticket_id)
    assert first is not None
    callbacks.record_result(session, callback_id=first.id, version=None, answers=UNHAPPY, by=auditor, now=now)

    ticket = session.get_one(Ticket, registered.ticket_id)
    assert state_of(ticket) is State.DISPATCHED
    assert ticket.rework_rounds == 1
    rounds = routing_queries.dispatches_of(session, ticket.id)
    assert [row.round for row in rounds] == [0, 1]
    assert rounds[0].ending == "reworked"
    assert rounds[1].due_at > now

    routing.answer(session, ticket_id=ticket.id, version=None, feedback=feedback(), by=responder, now=now)
    second = callback_queries.open_callback(session, ticket.id)
    assert second is not None
    assert second.id != first.id
    callbacks.record_result(session, callback_id=second.id, version=None, answers=HAPPY, by=auditor, now=now)
    assert session.scalars(select(Ticket.state).where(Ticket.id == ticket.id)).one() is State.CLOSED


def test_whoever_handled_a_ticket_cannot_record_its_callback(session: Session, now: datetime) -> None:
    lighting = make_department(session)
    responder = make_actor(session, Role.RESPONDER, departments=[lighting], now=now)
    registered = register_ticket(session, now=now)
    dispatcher = make_actor(session, Role.DISPATCHER, now=now)
    routing.dispatch(
        session, ticket_id=registered.ticket_id, version=None, department_id=lighting.id, by=dispatcher, now=now
    )
    routing.answer(session, ticket_id=registered.ticket_id, version=None, feedback=feedback(), by=responder, now=now)
    waiting = callback_queries.open_callback(session, registered.ticket_id)
    assert waiting is not None
    turned_auditor = type(responder)(user_id=responder.user_id, role=Role.AUDITOR, name=responder.name)
    with pytest.raises(Denied):
        callbacks.record_result(
            session, callback_id=waiting.id, version=None, answers=HAPPY, by=turned_auditor, now=now
        )


def test_stored_counters_follow_every_move(session: Session, now: datetime) -> None:
    lighting = make_department(session)
    names = ["tickets.all", "tickets.state.registered", "tickets.state.dispatched", f"department.{lighting.id}.in_hand"]
    registered = register_ticket(session, now=now)
    session.flush()
    assert counters(session, names) == dict(zip(names, [1, 1, 0, 0], strict=True))
    routing.dispatch(
        session,
        ticket_id=registered.ticket_id,
        version=None,
        department_id=lighting.id,
        by=make_actor(session, Role.DISPATCHER, now=now),
        now=now,
    )
    session.flush()
    assert counters(session, names) == dict(zip(names, [1, 0, 1, 1], strict=True))
