"""The sweep finds exactly what the rules speak of, does each thing once, and survives being run again or at once."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError

from hotline.core.db import Database
from hotline.core.permissions import Role
from hotline.telephony.models import TextMessage
from hotline.tickets.actions import set_setting
from hotline.tickets.models import JournalEntry, Ticket
from hotline.tickets.queries import counters
from hotline.tickets.states import Act
from reports.audit import audit
from routing import actions as routing
from routing.answers.vetting_rules import SETTING as VETTING_SETTING
from routing.clocks import granting
from routing.clocks.deadlines import Card
from routing.models import Department, Dispatch
from routing.supervision import acting as supervising
from routing.supervision import sweeping
from routing.supervision.models import Alarm, Leader, ShownCard, SupervisionNotice
from routing.supervision.queries import facts_of
from routing.supervision.sweeping import rules_of, sweep
from routing.supervision.triggers import LADDER, NoticeKind, Rules, Step, Trigger, triggered
from tests.makers import (
    answered_ticket,
    ask_return,
    dispatched_ticket,
    feedback,
    make_actor,
    make_department,
    register_ticket,
    returned_ticket,
)

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def unit(db: Database) -> Department:
    with db.begin() as session:
        above = make_department(session, name="市上级局")
        department = make_department(session, name="市养护中心", parent_id=above.id, duty_phone="13900007777")
        session.add(Leader(department_id=department.id, level=1, name="李科", phone="13900008888"))
        session.add(Leader(department_id=above.id, level=2, name="王局", phone="13900009999"))
    return department


@pytest.fixture
def ticket(db: Database, unit: Department, now: datetime) -> Ticket:
    with db.begin() as session:
        return dispatched_ticket(session, unit, now=now)


def moments(db: Database, ticket: Ticket) -> tuple[datetime, datetime]:
    with db.read() as session:
        row = session.scalars(select(Dispatch).where(Dispatch.ticket_id == ticket.id, Dispatch.is_current)).one()
        assert row.yellow_from is not None
        assert row.red_from is not None
        return row.yellow_from, row.red_from


def colours(db: Database) -> list[tuple[Card, bool]]:
    with db.read() as session:
        rows = session.scalars(select(ShownCard).order_by(ShownCard.id))
        return [(row.colour, row.settled_at is None) for row in rows]


def raised(db: Database) -> list[str]:
    with db.read() as session:
        return list(session.scalars(select(Alarm.trigger).order_by(Alarm.id)))


def findings(db: Database, now: datetime) -> list[str]:
    """Return what does not close; nobody relays the outbox here, so its own rule is left out."""
    with db.begin() as session:
        return [one.rule for one in audit(session, now=now) if one.rule != "outbox_is_delivered_or_waiting"]


def only(*wanted: Trigger, **given: object) -> Rules:
    return Rules(off=frozenset(Trigger) - set(wanted), **given)  # type: ignore[arg-type]


def decide(db: Database, rules: Rules, now: datetime) -> None:
    with db.begin() as session:
        boss = make_actor(session, Role.ADMINISTRATOR, now=now)
        supervising.change_rules(session, rules, by=boss, now=now)


def test_the_moments_of_the_cards_are_those_of_the_granted_steps(db: Database, ticket: Ticket) -> None:
    with db.read() as session:
        row = session.scalars(select(Dispatch)).one()
        told = row.steps["handle"]
        assert [row.yellow_from, row.red_from] == [
            datetime.fromisoformat(told["yellow_from"]),
            datetime.fromisoformat(told["red_from"]),
        ]


def test_yellow_comes_once_then_red_once_and_each_is_told_once(db: Database, ticket: Ticket) -> None:
    yellow, red = moments(db, ticket)
    decide(db, only(Trigger.YELLOW_CARD, Trigger.RED_CARD, ladder=LADDER[:3]), yellow - DAY)
    assert sweep(db.begin, now=yellow - timedelta(seconds=1)).yellow == 0
    first = sweep(db.begin, now=yellow)
    assert (first.yellow, first.red, first.alarms) == (1, 0, 1)
    again = sweep(db.begin, now=yellow + HOUR)
    assert (again.yellow, again.alarms, again.texts) == (0, 0, 0)
    late = sweep(db.begin, now=red)
    assert (late.yellow, late.red) == (0, 1)
    assert colours(db) == [(Card.YELLOW, False), (Card.RED, True)]
    assert sweep(db.begin, now=red + 2 * HOUR).alarms == 0
    assert raised(db).count("red_card") == 2, "the unit, and its leader"


def test_a_house_that_was_down_until_red_shows_red_alone(db: Database, ticket: Ticket) -> None:
    _, red = moments(db, ticket)
    done = sweep(db.begin, now=red + DAY)
    assert (done.yellow, done.red) == (0, 1)


def test_the_ladder_reaches_the_leader_the_unit_above_and_the_centre_in_working_days(
    db: Database, unit: Department, ticket: Ticket
) -> None:
    _, red = moments(db, ticket)
    decide(db, only(Trigger.RED_CARD), red - DAY)
    told: dict[int, set[str]] = {}
    for days in range(10):
        sweep(db.begin, now=red + days * DAY + HOUR)
        with db.read() as session:
            told[days] = set(session.scalars(select(Alarm.words).where(Alarm.trigger == Trigger.RED_CARD)))
    names = [step.words for step in LADDER]
    assert told[0] == set(names[1:3])
    assert names[3] in set().union(*told.values())
    assert told[9] == set(names[1:])
    with db.read() as session:
        above = session.scalars(select(Alarm).where(Alarm.words == names[3])).one()
        assert (above.to_department_id, above.department_id) == (unit.parent_id, unit.id)
        centre = session.scalars(select(Alarm).where(Alarm.words == names[4])).one()
        assert centre.to_department_id is None
        phones = sorted(session.scalars(select(TextMessage.to_masked)))
        assert len(phones) >= 3
        kinds = set(session.scalars(select(SupervisionNotice.kind)))
        assert kinds == {NoticeKind.URGE, NoticeKind.SUPERVISE}


def test_a_deadline_that_was_moved_lifts_the_card_and_a_new_one_can_come(db: Database, ticket: Ticket) -> None:
    yellow, red = moments(db, ticket)
    sweep(db.begin, now=yellow)
    with db.begin() as session:
        row = session.scalars(select(Dispatch)).one()
        row.due_at += 7 * DAY
        session.get_one(Ticket, ticket.id).due_at = row.due_at
    done = sweep(db.begin, now=red)
    assert (done.settled, done.yellow, done.red) == (1, 0, 0)
    with db.read() as session:
        assert session.scalars(select(ShownCard.lifted)).one()
    later, _ = moments(db, ticket)
    assert sweep(db.begin, now=later).yellow == 1


def test_an_answer_settles_card_and_urging(db: Database, unit: Department, ticket: Ticket) -> None:
    _, red = moments(db, ticket)
    sweep(db.begin, now=red)
    with db.begin() as session:
        responder = make_actor(session, Role.RESPONDER, departments=[unit], now=red)
        routing.answer(session, ticket_id=ticket.id, version=None, feedback=feedback(), by=responder, now=red + HOUR)
    done = sweep(db.begin, now=red + 2 * HOUR)
    assert (done.settled, done.lifted, done.red) == (1, 1, 0)
    with db.read() as session:
        assert session.scalars(select(ShownCard.settled_at)).one() == red + HOUR


def test_a_card_and_a_notice_stand_in_the_timeline_and_the_audit_finds_nothing(db: Database, ticket: Ticket) -> None:
    _, red = moments(db, ticket)
    sweep(db.begin, now=red)
    with db.begin() as session:
        acts = list(
            session.scalars(
                select(JournalEntry.act).where(JournalEntry.ticket_id == ticket.id).order_by(JournalEntry.id)
            )
        )
        assert acts[-2:] == [Act.CARD, Act.URGE]
    assert findings(db, red + HOUR) == []


def test_what_somebody_works_on_is_skipped_and_found_by_the_next_sweep(db: Database, ticket: Ticket) -> None:
    yellow, _ = moments(db, ticket)
    with db.engine.connect() as other:
        other.execute(text("SELECT 1 FROM tickets FOR UPDATE"))
        assert sweep(db.begin, now=yellow).yellow == 0
        other.rollback()
    assert sweep(db.begin, now=yellow).yellow == 1


def test_two_sweeps_at_once_do_each_thing_once(db: Database, unit: Department, now: datetime) -> None:
    with db.begin() as session:
        for _ in range(12):
            ticket = dispatched_ticket(session, unit, now=now)
    _, red = moments(db, ticket)
    together = threading.Barrier(2)

    def run() -> None:
        together.wait(10)
        sweep(db.begin, now=red, batch=5)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    sweep(db.begin, now=red, batch=5)
    with db.read() as session:
        assert session.scalar(select(func.count()).select_from(ShownCard)) == 12
        assert session.scalar(select(func.count()).where(JournalEntry.act == Act.CARD)) == 12
        assert session.scalar(select(func.count()).where(SupervisionNotice.kind == NoticeKind.URGE)) == 12
        unit_alarms = select(func.count()).where(Alarm.words == LADDER[1].words)
        assert session.scalar(unit_alarms) == 12


class Crash(Exception):
    """Somebody pulled the plug."""


def test_a_crash_between_two_batches_loses_nothing_and_repeats_nothing(
    db: Database, unit: Department, now: datetime
) -> None:
    with db.begin() as session:
        for _ in range(7):
            ticket = dispatched_ticket(session, unit, now=now)
    _, red = moments(db, ticket)
    for dies_after in range(2, 26):
        opened = iter(range(1_000))

        def begin(limit: int = dies_after, opened: Iterator[int] = opened):  # type: ignore[no-untyped-def] # noqa: ANN202
            if next(opened) >= limit:
                raise Crash
            return db.begin()

        try:
            sweep(begin, now=red, batch=3)
        except Crash:
            continue
        break
    sweep(db.begin, now=red, batch=3)
    with db.read() as session:
        assert session.scalar(select(func.count()).select_from(ShownCard)) == 7
        assert session.scalar(select(func.count()).where(JournalEntry.act == Act.CARD)) == 7
        assert session.scalar(select(func.count()).where(Alarm.words == LADDER[1].words)) == 7
    assert findings(db, red + HOUR) == []


def test_a_sweep_whose_time_is_over_says_so_and_the_next_ones_go_on(
    db: Database, unit: Department, now: datetime
) -> None:
    """The house was down: each sweep has time for one transaction a part, and what it did stays."""
    with db.begin() as session:
        for _ in range(7):
            ticket = dispatched_ticket(session, unit, now=now)
    _, red = moments(db, ticket)
    sweeps = [sweep(db.begin, now=red, batch=2, ticks=itertools.count(0, 60).__next__) for _ in range(8)]
    assert [one.red for one in sweeps] == [2, 2, 2, 1, 0, 0, 0, 0]
    assert [one.finished for one in sweeps] == [False, False, False, True, True, True, True, True]
    with db.read() as session:
        assert session.scalar(select(func.count()).select_from(ShownCard)) == 7
        assert session.scalar(select(func.count()).where(Alarm.words == LADDER[1].words)) == 7
    assert findings(db, red + HOUR) == []


def test_many_alarms_are_raised_in_several_transactions_and_told_together(
    db: Database, unit: Department, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "ALARM_BATCHES", 1)
    with db.begin() as session:
        session.get_one(Department, unit.id).duty_phone = "13900001234"
        for _ in range(9):
            ticket = dispatched_ticket(session, unit, now=now)
    _, red = moments(db, ticket)
    found = sweep(db.begin, now=red + HOUR, batch=9)
    assert found.finished
    with db.read() as session:
        assert session.scalar(select(func.count()).where(Alarm.words == LADDER[1].words)) == 9
        told = session.scalar(select(func.count()).where(Alarm.text_level == 0, Alarm.told_at.is_(None)))
        messages = session.scalars(
            select(TextMessage.id).where(TextMessage.key.startswith(f"alarms:{unit.id}:0:"))
        ).all()
    assert told == 0
    assert len(messages) == 2  # the first transaction's, and one for all that came after
    assert sweep(db.begin, now=red + HOUR, batch=9).alarms == 0


def test_the_database_itself_refuses_a_second_card_alarm_or_open_notice(db: Database, ticket: Ticket) -> None:
    _, red = moments(db, ticket)
    sweep(db.begin, now=red)
    for table, columns in (
        ("cards", "dispatch_id, ticket_id, department_id, colour, due_at, shown_at"),
        ("alarms", "key, trigger, words, ticket_id, department_id, raised_at"),
        ("supervision_notices", "kind, ticket_id, department_id, words, sent_at, receive_due_at, due_at"),
    ):
        with db.engine.connect() as connection, pytest.raises(IntegrityError):
            connection.execute(text(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {table} LIMIT 1"))


def test_one_text_for_a_unit_however_many_cards_and_none_at_night(
    db: Database, unit: Department, now: datetime
) -> None:
    with db.begin() as session:
        for _ in range(5):
            ticket = dispatched_ticket(session, unit, now=now)
    _, red = moments(db, ticket)
    decide(db, only(Trigger.RED_CARD, ladder=(Step(words="红牌", colour=Card.RED),)), now)
    midnight = red + timedelta(hours=15)
    assert sweep(db.begin, now=midnight).texts == 0
    assert sweep(db.begin, now=red + DAY).texts == 1
    assert sweep(db.begin, now=red + DAY + HOUR).texts == 0
    with db.read() as session:
        message = session.scalars(select(TextMessage)).one()
        assert message.to_masked.endswith("7777")
        assert "红牌 5 件" in db.keyring.open(message.sealed)["body"]


def test_what_is_urgent_is_texted_at_night_too(db: Database, unit: Department, now: datetime) -> None:
    with db.begin() as session:
        ticket = dispatched_ticket(session, unit, now=now, urgency="特急")
    decide(db, only(Trigger.RED_CARD, ladder=(Step(words="红牌", colour=Card.RED),)), now)
    assert sweep(db.begin, now=now + timedelta(hours=14)).texts == 1
    assert moments(db, ticket)[1] <= now + timedelta(hours=3)


def test_the_sweep_raises_exactly_what_the_pure_rules_say(db: Database, unit: Department, now: datetime) -> None:
    """A city of many cases: for every ticket and several moments, the alarms are those that `triggered` names."""
    with db.begin() as session:
        responder = make_actor(session, Role.RESPONDER, departments=[unit], now=now)
        for urgency in ("一般", "紧急", "特急"):
            register_ticket(session, now=now, urgency=urgency)
            dispatched_ticket(session, unit, now=now, urgency=urgency)
            signed = dispatched_ticket(session, unit, now=now, urgency=urgency)
            routing.sign(session, ticket_id=signed.id, by=responder, now=now)
            repeated = dispatched_ticket(session, unit, now=now, urgency=urgency)
            repeated.repeats = 4
            contacted = dispatched_ticket(session, unit, now=now, urgency=urgency)
            routing.sign(session, ticket_id=contacted.id, by=responder, now=now)
            routing.record_contact(
                session, ticket_id=contacted.id, at=now, way="电话", words="已联系", by=responder, now=now
            )
        auditor = make_actor(session, Role.AUDITOR, now=now)
        for rounds in (1, 2):
            redone = answered_ticket(session, unit, by=responder, now=now)
            for _ in range(rounds):
                if session.scalar(select(Ticket.state).where(Ticket.id == redone.id)) != "answered":
                    routing.answer(
                        session, ticket_id=redone.id, version=None, feedback=feedback(), by=responder, now=now
                    )
                routing.redispatch(session, redone, reason="仍未解决", by=auditor, now=now)
        first, second = make_department(session), make_department(session)
        returned = dispatched_ticket(session, first, now=now)
        for holder, to in ((first, second), (second, unit)):
            session.flush()
            who = make_actor(session, Role.RESPONDER, departments=[holder], now=now)
            returned_ticket(session, returned, by=who, to=to, now=now)
        ask_return(session, dispatched_ticket(session, unit, now=now), by=responder, now=now)
        reader = make_actor(session, Role.ADMINISTRATOR, now=now)
        set_setting(session, name=VETTING_SETTING, value={"mode": "all"}, by=reader, now=now)
        answered_ticket(session, unit, by=responder, now=now)
    rules = Rules(ladder=(Step(words="黄", colour=Card.YELLOW), Step(words="红", colour=Card.RED)))
    decide(db, rules, now)
    said = 0
    triggers: set[Trigger] = set()
    for hours in (0, 1, 2, 3, 26, 50, 97, 170, 400):
        moment = now + timedelta(hours=hours)
        with db.begin() as session:
            session.execute(text("DELETE FROM alarms"))
        sweep(db.begin, now=moment)
        with db.read() as session:
            calendar = granting.calendar(session)
            for ticket in session.scalars(select(Ticket)):
                expected = triggered(facts_of(session, ticket), rules=rules_of(session), calendar=calendar, now=moment)
                found = set(session.scalars(select(Alarm.trigger).where(Alarm.ticket_id == ticket.id)))
                others = {Trigger.NOTICE_SENT, Trigger.NOTICE_NOT_RECEIVED, Trigger.NOTICE_LATE}
                assert found - others == expected, (hours, ticket.number)
                said += len(expected)
                triggers |= expected
    assert said > 60
    assert {Trigger.RETURN_UNRULED, Trigger.ANSWER_UNREAD} <= triggers


def test_counters_of_alarms_follow_every_word(db: Database, unit: Department, ticket: Ticket) -> None:
    _, red = moments(db, ticket)
    sweep(db.begin, now=red)
    with db.begin() as session:
        name = f"department.{unit.id}.alarms"
        before = counters(session, [name])[name]
        responder = make_actor(session, Role.RESPONDER, departments=[unit], now=red)
        ids = list(session.scalars(select(Alarm.id).where(Alarm.to_department_id == unit.id)))
        assert before == len(ids) >= 2
        assert supervising.heed(session, alarm_ids=ids[:1], word="已知悉", by=responder, now=red) == 1
        assert counters(session, [name])[name] == before - 1


def test_a_ticket_that_lies_undispatched_is_the_centres_business(db: Database, now: datetime) -> None:
    with db.begin() as session:
        register_ticket(session, now=now)
    sweep(db.begin, now=now + timedelta(hours=25))
    with db.read() as session:
        alarm = session.scalars(select(Alarm)).one()
        assert (alarm.trigger, alarm.to_department_id) == (Trigger.UNDISPATCHED, None)
