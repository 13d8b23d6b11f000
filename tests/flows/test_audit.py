"""The audit finds nothing in a house that is in order, and names each thing that somebody broke."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest
from sqlalchemy import text

from callbacks import actions as callbacks
from callbacks import queries as callback_queries
from callbacks.policy import Answers, Satisfaction, Solved
from hotline.cli.doctor import CALENDAR_AHEAD_DAYS, CALENDAR_SHORT_DAYS, examine
from hotline.core import periodic
from hotline.core.db import Database
from hotline.core.permissions import Role
from hotline.wiring import SCHEDULE, Installation
from reports.audit import audit, legal_moves, rules
from routing.clocks.calendars import china
from tests.makers import answered_ticket, dispatched_ticket, make_actor, make_department, register_ticket

HAPPY = Answers(replied=True, solved=Solved.SOLVED, process=Satisfaction.SATISFIED, result=Satisfaction.SATISFIED)


@pytest.fixture
def city(db: Database, now: datetime) -> Database:
    with db.begin() as session:
        department = make_department(session)
        register_ticket(session, now=now)
        dispatched_ticket(session, department, now=now)
        answered_ticket(session, department, now=now)
        closed = answered_ticket(session, department, now=now)
        auditor = make_actor(session, Role.AUDITOR, now=now)
        session.flush()
        waiting = callback_queries.open_callback(session, closed.id)
        assert waiting is not None
        callbacks.record_result(session, callback_id=waiting.id, version=None, answers=HAPPY, by=auditor, now=now)
    return db


def found(db: Database, now: datetime) -> set[str]:
    with db.begin() as session:
        return {finding.rule for finding in audit(session, now=now)}


def test_a_house_in_order_has_no_findings(city: Database, now: datetime) -> None:
    assert found(city, now) == set()


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        (
            "UPDATE tickets SET state = 'registered', due_at = NULL WHERE state = 'dispatched'",
            "state_is_what_the_journal_says",
        ),
        (
            "UPDATE tickets SET due_at = due_at + interval '1 day' WHERE state = 'dispatched'",
            "held_tickets_are_in_one_pair_of_hands",
        ),
        ("DELETE FROM callbacks WHERE done_at IS NULL", "every_answered_ticket_waits_for_its_callback"),
        ("DELETE FROM callbacks WHERE done_at IS NULL", "every_answer_was_called_back_or_waits"),
        (
            "DELETE FROM callback_attempts; DELETE FROM callbacks WHERE done_at IS NOT NULL",
            "only_called_back_tickets_are_confirmed",
        ),
        ("DELETE FROM counter_deltas", "counters_equal_counts"),
        ("INSERT INTO counters VALUES ('tickets.all', 7)", "counters_equal_counts"),
        ("DELETE FROM ticket_search", "every_ticket_can_be_found"),
        ("UPDATE outbox SET tries = 8", "outbox_is_delivered_or_waiting"),
        (
            "ALTER TABLE journal DISABLE TRIGGER journal_is_kept; DELETE FROM journal WHERE act = 'register'",
            "first_line_is_registration",
        ),
        (
            (
                "ALTER TABLE journal DISABLE TRIGGER journal_is_kept;"
                "UPDATE journal SET from_state = 'closed' WHERE act = 'sign'"
            ),
            "journal_is_a_chain",
        ),
        (
            "ALTER TABLE journal DISABLE TRIGGER journal_is_kept; UPDATE journal SET act = 'refuse' WHERE act = 'sign'",
            "every_move_is_on_the_map",
        ),
        (
            (
                "ALTER TABLE callbacks DISABLE TRIGGER callback_is_independent; UPDATE callbacks SET done_by ="
                " (SELECT by_id FROM journal WHERE act = 'answer' ORDER BY id DESC LIMIT 1) WHERE done_at IS NOT NULL"
            ),
            "callbacks_are_independent",
        ),
        (
            (
                "UPDATE callbacks SET done_at = NULL, verdict = NULL, replied = NULL, solved = NULL, process = NULL,"
                " result = NULL WHERE done_at IS NOT NULL"
            ),
            "callbacks_wait_for_answered_tickets_only",
        ),
        (
            (
                "UPDATE callbacks SET verdict = 'unreachable', replied = NULL, solved = NULL, process = NULL,"
                " result = NULL WHERE done_at IS NOT NULL"
            ),
            "citizens_are_tried_before_they_count_as_unreachable",
        ),
    ],
)
def test_each_broken_invariant_is_named(city: Database, now: datetime, damage: str, rule: str) -> None:
    with city.engine.begin() as connection:
        for statement in damage.split(";"):
            connection.execute(text(statement))
    assert rule in found(city, now)


def test_news_that_waits_too_long_is_named(city: Database, now: datetime) -> None:
    assert "outbox_is_delivered_or_waiting" in found(city, now + timedelta(hours=1))


def test_every_rule_has_words_and_every_legal_move_comes_from_the_map() -> None:
    assert len({name for name, _ in rules()}) == len(rules())
    assert "dispatch|registered|dispatched" in legal_moves()
    assert "note|closed|closed" in legal_moves()
    assert "dispatch|closed|dispatched" not in legal_moves()


def test_the_doctor_says_what_is_wrong_and_how_to_mend_it(tools: Installation, now: datetime) -> None:
    report = dict(examine(tools, now=now))
    assert report["数据库与时钟"] == []
    assert report["数据表版本"] == []
    assert "REDIS_URL" in report["队列与后台进程"][0].mend
    assert any("scheduler" in complaint.mend for complaint in report["定时作业"])
    with tools.db.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    assert "hotline migrate" in dict(examine(tools, now=now))["数据表版本"][0].mend


def test_the_doctor_notices_soon_that_nothing_is_scheduled_any_more(tools: Installation, now: datetime) -> None:
    with tools.db.begin() as session:
        for job in SCHEDULE:
            periodic.finished(session, name=job.name, now=now)
    assert dict(examine(tools, now=now + timedelta(seconds=15)))["定时作业"] == []
    (complaint,) = dict(examine(tools, now=now + timedelta(seconds=30)))["定时作业"]
    assert "30 秒" in complaint.what
    assert "hotline scheduler" in complaint.mend


def test_a_calendar_that_needs_its_next_year_is_something_to_see_to_and_not_yet_broken(tools: Installation) -> None:
    def said(day: datetime) -> list[bool]:
        return [complaint.broken for complaint in dict(examine(tools, now=day))["工作日历"]]

    last = datetime.combine(china().confirmed_until, time(4), tzinfo=UTC)
    assert said(last - timedelta(days=CALENDAR_AHEAD_DAYS)) == []
    assert said(last - timedelta(days=CALENDAR_AHEAD_DAYS - 1)) == [False]
    assert said(last - timedelta(days=CALENDAR_SHORT_DAYS)) == [False]
    assert said(last - timedelta(days=CALENDAR_SHORT_DAYS - 1)) == [True]


def test_the_doctor_goes_on_when_one_check_cannot_run(tools: Installation, now: datetime) -> None:
    with tools.db.engine.begin() as connection:
        connection.execute(text("DROP TABLE periodic_runs"))
    report = dict(examine(tools, now=now))
    assert "无法检查" in report["定时作业"][0].what
    assert report["待发事项"] == []
