"""Tickets of one matter are answered together; nobody loses number, answer or callback, and no race makes a circle."""

from __future__ import annotations

import threading
from datetime import datetime

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError

from callbacks.models import Callback
from hotline.core.db import Database
from hotline.core.errors import Conflict, Denied, HotlineError, Invalid, WrongState
from hotline.core.outbox import OutboxRow
from hotline.core.permissions import Actor, Role
from hotline.telephony.models import TextMessage
from hotline.tickets import actions as tickets
from hotline.tickets.models import Ticket
from hotline.tickets.queries import counters
from hotline.tickets.states import State
from reports.audit import audit
from routing import actions as routing
from routing import awaiting
from routing.models import Answer, Department, Dispatch
from routing.relations import joining as relations
from routing.relations.joining import KnownIncident, alike
from routing.relations.models import Merge, MergePlace
from routing.relations.queries import known_incidents, main_of, members_of
from tests.makers import dispatched_ticket, feedback, make_actor, make_department, register_ticket


@pytest.fixture
def desk(db: Database, now: datetime) -> Actor:
    with db.begin() as session:
        return make_actor(session, Role.DISPATCHER, now=now)


@pytest.fixture
def unit(db: Database) -> Department:
    with db.begin() as session:
        return make_department(session, name="市供水公司")


@pytest.fixture
def main(db: Database, unit: Department, now: datetime) -> int:
    with db.begin() as session:
        return dispatched_ticket(session, unit, phone="13900000001", now=now).id


def callers(db: Database, now: datetime, *, count: int = 3, department: Department | None = None) -> list[int]:
    with db.begin() as session:
        if department is not None:
            return [dispatched_ticket(session, department, phone=f"1390000100{n}", now=now).id for n in range(count)]
        return [register_ticket(session, phone=f"1390000200{n}", now=now).ticket_id for n in range(count)]


def merge(db: Database, main_id: int, ids: list[int], *, by: Actor, now: datetime, **given: int) -> int:
    with db.begin() as session:
        return relations.merge(
            session, main_id=main_id, ticket_ids=ids, reason="同一处水管爆裂", by=by, now=now, **given
        )


def findings(db: Database, now: datetime) -> list[str]:
    with db.begin() as session:
        return [one.rule for one in audit(session, now=now) if one.rule != "outbox_is_delivered_or_waiting"]


def answer(db: Database, main_id: int, unit: Department, now: datetime) -> None:
    """Let the unit answer the main ticket, and the worker hear of it."""
    with db.begin() as session:
        responder = make_actor(session, Role.RESPONDER, departments=[unit], now=now)
        routing.answer(session, ticket_id=main_id, version=None, feedback=feedback(), by=responder, now=now)
    with db.read() as session:
        told = session.scalars(select(OutboxRow.payload).where(OutboxRow.event == "MainAnswered")).all()
    for payload in [*told, *told]:  # news is told at least once
        with db.begin() as session:
            relations.answer_members(session, main_id=payload["ticket_id"], dispatch_id=payload["dispatch_id"], now=now)


def test_every_citizen_gets_the_answer_and_a_callback_of_his_own(
    db: Database, main: int, unit: Department, *, desk: Actor, now: datetime
) -> None:
    ids = callers(db, now)
    assert merge(db, main, ids, by=desk, now=now) == 3
    answer(db, main, unit, now)
    with db.read() as session:
        rows = session.scalars(select(Ticket).where(Ticket.id.in_([main, *ids]))).all()
        assert {row.state for row in rows} == {State.ANSWERED}
        assert len({row.number for row in rows}) == 4
        assert len(set(session.scalars(select(Answer.public_answer)))) == 1
        assert session.scalar(select(func.count()).select_from(Answer)) == 4
        assert set(session.scalars(select(Callback.ticket_id))) == {main, *ids}
        assert counters(session, ["tickets.merged"]) == {"tickets.merged": 0}
    assert findings(db, now) == []


def test_a_member_leaves_its_unit_and_the_queue_until_the_main_is_answered(
    db: Database, main: int, unit: Department, *, desk: Actor, now: datetime
) -> None:
    waiting, held = callers(db, now, count=2), callers(db, now, count=2, department=unit)
    merge(db, main, [*waiting, *held], by=desk, now=now)
    with db.read() as session:
        assert counters(session, ["tickets.merged", f"department.{unit.id}.in_hand"]) == {
            "tickets.merged": 4,
            f"department.{unit.id}.in_hand": 1,
        }
        assert [row.id for row in awaiting.dispatch_queue(session, desk).rows] == []
        assert [row.id for row in members_of(session, desk, main)] == sorted([*waiting, *held])
        known = main_of(session, held[0])
        assert known is not None
        assert known.department == "市供水公司"
    with pytest.raises(Conflict), db.begin() as session:
        routing.dispatch(session, ticket_id=waiting[0], version=None, department_id=unit.id, by=desk, now=now)
    assert findings(db, now) == []


def test_what_was_unmerged_waits_for_a_dispatcher_again(db: Database, main: int, desk: Actor, now: datetime) -> None:
    ids = callers(db, now)
    merge(db, main, ids, by=desk, now=now)
    with pytest.raises(Invalid) as error, db.begin() as session:
        relations.unmerge(session, ticket_ids=ids[:2], reason="不是一回事", expected=3, by=desk, now=now)
    assert "expected" in error.value.fields
    with db.begin() as session:
        assert relations.unmerge(session, ticket_ids=ids, reason="不是一回事", expected=3, by=desk, now=now) == 3
    with db.read() as session:
        assert sorted(row.id for row in awaiting.dispatch_queue(session, desk).rows) == sorted(ids)
        assert session.scalar(select(func.count()).select_from(MergePlace)) == 0
    merge(db, ids[0], [ids[1], main], by=desk, now=now)
    assert findings(db, now) == []


def test_all_or_nothing_and_each_problem_is_named(db: Database, main: int, desk: Actor, now: datetime) -> None:
    one, two, three = callers(db, now)
    merge(db, one, [two], by=desk, now=now)
    with db.begin() as session:
        tickets.withdraw(
            session,
            ticket_id=three,
            version=session.get_one(Ticket, three).version,
            words="已解决",
            by=make_actor(session, Role.OPERATOR, now=now),
            now=now,
        )
    with pytest.raises(Invalid) as error:
        merge(db, main, [one, two, three], by=desk, now=now)
    said = " ".join(error.value.fields["numbers"])
    assert all(words in said for words in ("是其他工单的主单", "已并入其他工单", "已办结"))
    with pytest.raises(Invalid):
        merge(db, main, [main], by=desk, now=now)
    with pytest.raises(Invalid):
        merge(db, two, [main], by=desk, now=now)
    with pytest.raises(Invalid):
        merge(db, main, [], by=desk, now=now)
    with pytest.raises(Invalid):
        merge(db, main, list(range(1, 200)), by=desk, now=now)
    with db.begin() as session:
        auditor = make_actor(session, Role.AUDITOR, now=now)
    with pytest.raises(Denied):
        merge(db, main, [one], by=auditor, now=now)


def test_a_into_b_and_b_into_a_at_once_is_one_of_them_and_never_both(db: Database, desk: Actor, now: datetime) -> None:
    for _ in range(8):
        one, other = callers(db, now, count=2)
        together = threading.Barrier(2)
        ended: list[str] = []

        def run(main_id: int, member: int, gate: threading.Barrier = together, told: list[str] = ended) -> None:
            gate.wait(10)
            try:
                merge(db, main_id, [member], by=desk, now=now)
                told.append("merged")
            except HotlineError:
                told.append("refused")

        threads = [threading.Thread(target=run, args=pair) for pair in ((one, other), (other, one))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sorted(ended) == ["merged", "refused"]
    with db.read() as session:
        assert session.scalar(select(func.count()).select_from(Merge)) == 8
    assert findings(db, now) == []


def test_the_database_itself_refuses_chains_circles_and_itself(db: Database, desk: Actor, now: datetime) -> None:
    one, two, three = callers(db, now)
    merge(db, one, [two], by=desk, now=now)
    forced = "INSERT INTO merges (ticket_id, main_id, merged_at) VALUES ({}, {}, now())"
    for member, main_id in ((one, two), (three, two), (one, three), (two, three), (one, one)):
        with db.engine.connect() as connection, pytest.raises(IntegrityError):
            connection.execute(text(forced.format(member, main_id)))


def test_a_main_that_was_not_worked_on_leaves_its_members_to_the_dispatcher(
    db: Database, main: int, desk: Actor, now: datetime
) -> None:
    ids = callers(db, now)
    merge(db, main, ids, by=desk, now=now)
    with db.begin() as session:
        tickets.withdraw(
            session,
            ticket_id=main,
            version=session.get_one(Ticket, main).version,
            words="诉求人撤单",
            by=make_actor(session, Role.OPERATOR, now=now),
            now=now,
        )
    with db.read() as session:
        assert sorted(row.id for row in awaiting.dispatch_queue(session, desk).rows) == sorted(ids)
    assert findings(db, now) == []


def test_a_member_that_its_citizen_withdraws_leaves_the_others_alone(
    db: Database, main: int, desk: Actor, now: datetime
) -> None:
    ids = callers(db, now)
    merge(db, main, ids, by=desk, now=now)
    with db.begin() as session:
        tickets.withdraw(
            session,
            ticket_id=ids[0],
            version=session.get_one(Ticket, ids[0]).version,
            words="自行解决",
            by=make_actor(session, Role.OPERATOR, now=now),
            now=now,
        )
    with db.read() as session:
        assert [row.id for row in members_of(session, desk, main)] == ids[1:]
    assert findings(db, now) == []


def test_an_incident_is_seen_while_typing_and_its_callers_are_told_once_each(
    db: Database, main: int, desk: Actor, now: datetime
) -> None:
    with db.begin() as session:
        incident = relations.open_incident(
            session,
            main_id=main,
            title="幸福路供水管爆裂停水",
            words="正在抢修，预计 20 时恢复供水。",
            by=desk,
            now=now,
        )
        incident_id = incident.id
    ids = callers(db, now, count=2)
    for ticket_id in ids:
        with db.begin() as session:
            relations.attach(session, incident_id=incident_id, ticket_id=ticket_id, by=desk, now=now)
    with db.read() as session:
        known = known_incidents(session)
        assert [one.id for one in alike("幸福路这边停水了，供水管好像爆裂", known)] == [incident_id]
        assert alike("公交车不按时到站", known) == []
    with db.begin() as session:
        done = relations.announce(session, incident_id=incident_id, words="已恢复供水。", by=desk, now=now)
        assert done.callers == 3
    with db.read() as session:
        assert session.scalar(select(func.count()).where(TextMessage.purpose == "incident")) == 3
    with db.begin() as session:
        relations.close_incident(session, incident_id=incident_id, by=desk, now=now)
    late = callers(db, now, count=1)[0]
    with pytest.raises(Invalid), db.begin() as session:
        relations.attach(session, incident_id=incident_id, ticket_id=late, by=desk, now=now)
    with pytest.raises(WrongState), db.begin() as session:
        relations.announce(session, incident_id=incident_id, words="再次告知", by=desk, now=now)


def test_incidents_that_share_more_words_come_first_and_one_word_is_chance() -> None:
    known = [
        KnownIncident(id=1, title="停电", words="", telling=frozenset({"停电", "小区"})),
        KnownIncident(id=2, title="停水", words="", telling=frozenset({"停水", "幸福", "水管"})),
    ]
    assert alike("小区今天很热闹", known) == []


def test_an_answered_member_lives_on_by_itself(
    db: Database, main: int, unit: Department, *, desk: Actor, now: datetime
) -> None:
    (member,) = callers(db, now, count=1)
    merge(db, main, [member], by=desk, now=now)
    answer(db, main, unit, now)
    with db.begin() as session:
        auditor = make_actor(session, Role.AUDITOR, now=now)
        routing.redispatch(session, tickets.lock(session, member), reason="没有恢复", by=auditor, now=now)
    with db.read() as session:
        assert session.get_one(Ticket, member).state is State.DISPATCHED
        assert session.get_one(Ticket, main).state is State.ANSWERED
        rounds = session.scalars(select(Dispatch.round).where(Dispatch.ticket_id == member).order_by(Dispatch.id))
        assert list(rounds) == [0, 1]
    with pytest.raises(WrongState), db.begin() as session:
        relations.unmerge(session, ticket_ids=[member], reason="迟了", by=desk, now=now)
