"""Urging, supervision and alarms by hand: sent, received, answered, judged; once each, by those who may."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hotline.core.errors import Conflict, Denied, Invalid, NotFound, WrongState
from hotline.core.permissions import Actor, Role
from hotline.tickets.models import JournalEntry, Ticket
from hotline.tickets.states import Act
from routing import actions as routing
from routing.models import Department
from routing.supervision import acting as supervising
from routing.supervision.models import Alarm, NoticeEnding, NoticeForm, SupervisionNotice
from routing.supervision.triggers import Rules, Trigger
from tests.makers import dispatched_ticket, feedback, make_actor, make_department, register_ticket

HOUR = timedelta(hours=1)


@pytest.fixture
def unit(session: Session) -> Department:
    return make_department(session, name="市养护中心")


@pytest.fixture
def ticket(session: Session, unit: Department, now: datetime) -> Ticket:
    return dispatched_ticket(session, unit, now=now)


@pytest.fixture
def boss(session: Session, now: datetime) -> Actor:
    return make_actor(session, Role.SUPERVISOR, now=now)


@pytest.fixture
def responder(session: Session, unit: Department, now: datetime) -> Actor:
    return make_actor(session, Role.RESPONDER, departments=[unit], now=now)


def acts(session: Session, ticket: Ticket) -> list[Act]:
    session.flush()
    return list(
        session.scalars(select(JournalEntry.act).where(JournalEntry.ticket_id == ticket.id).order_by(JournalEntry.id))
    )


def test_a_supervision_is_received_answered_and_accepted(
    session: Session, ticket: Ticket, *, boss: Actor, responder: Actor, now: datetime
) -> None:
    sent = supervising.supervise(session, ticket_id=ticket.id, words="领导批示件，请两日内办结", by=boss, now=now)
    assert sent.due_at > sent.receive_due_at > now
    supervising.receive(session, notice_id=sent.id, by=responder, now=now + HOUR)
    supervising.receive(session, notice_id=sent.id, by=responder, now=now + 2 * HOUR)
    assert sent.received_at == now + HOUR
    session.flush()
    supervising.account(
        session, notice_id=sent.id, version=sent.version, words="已安排夜间抢修", by=responder, now=now + 3 * HOUR
    )
    session.flush()
    done = supervising.judge(
        session, notice_id=sent.id, version=sent.version, accepted=True, words="", by=boss, now=now + 4 * HOUR
    )
    assert done.ending is NoticeEnding.ACCEPTED
    assert acts(session, ticket)[-4:] == [Act.SUPERVISE, Act.ACCOUNT, Act.ACCOUNT, Act.SETTLE]
    told = list(session.scalars(select(Alarm.trigger).order_by(Alarm.id)))
    assert told == [Trigger.NOTICE_SENT, Trigger.NOTICE_ACCOUNTED]


def test_an_answer_that_is_not_accepted_opens_a_new_notice_with_its_own_deadline(
    session: Session, ticket: Ticket, *, boss: Actor, responder: Actor, now: datetime
) -> None:
    sent = supervising.supervise(session, ticket_id=ticket.id, words="请说明", by=boss, now=now)
    supervising.account(session, notice_id=sent.id, version=1, words="正在办", by=responder, now=now + HOUR)
    session.flush()
    with pytest.raises(Invalid):
        supervising.judge(
            session, notice_id=sent.id, version=sent.version, accepted=False, words=" ", by=boss, now=now + HOUR
        )
    again = supervising.judge(
        session,
        notice_id=sent.id,
        version=sent.version,
        accepted=False,
        words="没有说明原因",
        by=boss,
        now=now + 2 * HOUR,
    )
    assert (sent.ending, again.previous_id, again.ended_at) == (NoticeEnding.REFUSED, sent.id, None)
    assert "没有说明原因" in again.words
    with pytest.raises(WrongState):
        supervising.judge(session, notice_id=sent.id, version=sent.version, accepted=True, words="", by=boss, now=now)


def test_urging_again_counts_up_and_an_urging_is_settled_by_its_answer(
    session: Session, ticket: Ticket, *, boss: Actor, responder: Actor, now: datetime
) -> None:
    first = supervising.urge(session, ticket_id=ticket.id, words="诉求人再次来电", by=boss, now=now)
    again = supervising.urge(session, ticket_id=ticket.id, words="第三次来电", by=boss, now=now + HOUR)
    assert (again.id, again.times) == (first.id, 2)
    assert session.scalar(select(func.count()).select_from(Alarm)) == 2
    session.flush()
    done = supervising.account(
        session, notice_id=first.id, version=first.version, words="今日修复", by=responder, now=now + HOUR
    )
    assert done.ending is NoticeEnding.ACCEPTED
    fresh = supervising.urge(session, ticket_id=ticket.id, words="仍未修复", by=boss, now=now + 2 * HOUR)
    assert fresh.id != first.id


def test_one_open_supervision_per_unit_and_ticket(session: Session, ticket: Ticket, boss: Actor, now: datetime) -> None:
    supervising.supervise(
        session, ticket_id=ticket.id, words="请说明", form=NoticeForm.SPECIAL, workdays=2, by=boss, now=now
    )
    with pytest.raises(Conflict):
        supervising.supervise(session, ticket_id=ticket.id, words="再说明", by=boss, now=now)


def test_only_the_unit_that_was_called_to_account_answers(
    session: Session, ticket: Ticket, boss: Actor, now: datetime
) -> None:
    sent = supervising.supervise(session, ticket_id=ticket.id, words="请说明", by=boss, now=now)
    stranger = make_actor(session, Role.RESPONDER, departments=[make_department(session)], now=now)
    with pytest.raises(NotFound):
        supervising.receive(session, notice_id=sent.id, by=stranger, now=now)
    with pytest.raises(Denied):
        supervising.account(session, notice_id=sent.id, version=1, words="办了", by=boss, now=now)
    with pytest.raises(Denied):
        supervising.judge(session, notice_id=sent.id, version=1, accepted=True, words="", by=stranger, now=now)


def test_who_may_not_supervise_is_refused_and_nothing_in_hand_cannot_be_urged(
    session: Session, ticket: Ticket, responder: Actor, now: datetime
) -> None:
    operator = make_actor(session, Role.OPERATOR, now=now)
    with pytest.raises(Denied):
        supervising.supervise(session, ticket_id=ticket.id, words="请说明", by=operator, now=now)
    with pytest.raises(Denied):
        supervising.urge(session, ticket_id=ticket.id, words="请说明", by=responder, now=now)
    waiting = register_ticket(session, by=operator, now=now)
    with pytest.raises(WrongState):
        supervising.urge(session, ticket_id=waiting.ticket_id, words="快", by=operator, now=now)
    routing.answer(session, ticket_id=ticket.id, version=None, feedback=feedback(), by=responder, now=now)
    session.flush()
    with pytest.raises(WrongState):
        supervising.urge(session, ticket_id=ticket.id, words="快", by=operator, now=now)


def test_nobody_judges_what_was_not_answered_and_nobody_answers_twice(
    session: Session, ticket: Ticket, *, boss: Actor, responder: Actor, now: datetime
) -> None:
    sent = supervising.supervise(session, ticket_id=ticket.id, words="请说明", by=boss, now=now)
    with pytest.raises(WrongState):
        supervising.judge(session, notice_id=sent.id, version=1, accepted=True, words="", by=boss, now=now)
    supervising.account(session, notice_id=sent.id, version=1, words="已办", by=responder, now=now)
    session.flush()
    with pytest.raises(WrongState):
        supervising.account(session, notice_id=sent.id, version=sent.version, words="又办", by=responder, now=now)
    with pytest.raises(Conflict):
        supervising.judge(session, notice_id=sent.id, version=99, accepted=True, words="", by=boss, now=now)


def test_a_notice_is_taken_back_with_a_reason(session: Session, ticket: Ticket, boss: Actor, now: datetime) -> None:
    sent = supervising.supervise(session, ticket_id=ticket.id, words="请说明", by=boss, now=now)
    with pytest.raises(Invalid):
        supervising.lift(session, notice_id=sent.id, version=1, words="", by=boss, now=now)
    supervising.lift(session, notice_id=sent.id, version=1, words="发错单位", by=boss, now=now)
    assert sent.ending is NoticeEnding.LIFTED


def test_an_alarm_stands_until_somebody_whose_business_it_is_says_a_word(
    session: Session, ticket: Ticket, *, boss: Actor, responder: Actor, now: datetime
) -> None:
    supervising.urge(session, ticket_id=ticket.id, words="请尽快", by=boss, now=now)
    alarm = session.scalars(select(Alarm)).one()
    stranger = make_actor(session, Role.RESPONDER, departments=[make_department(session)], now=now)
    with pytest.raises(Invalid):
        supervising.heed(session, alarm_ids=[alarm.id], word=" ", by=responder, now=now)
    assert supervising.heed(session, alarm_ids=[alarm.id], word="知道", by=stranger, now=now) == 0
    assert supervising.heed(session, alarm_ids=[alarm.id], word="知道", by=boss, now=now) == 0
    assert supervising.heed(session, alarm_ids=[alarm.id], word="今日办", by=responder, now=now) == 1
    assert supervising.heed(session, alarm_ids=[alarm.id], word="再来", by=responder, now=now) == 0
    assert (alarm.heeded_word, alarm.heeded_by) == ("今日办", responder.user_id)


def test_a_telephone_number_in_the_words_of_a_notice_is_not_kept(
    session: Session, ticket: Ticket, boss: Actor, now: datetime
) -> None:
    sent = supervising.urge(session, ticket_id=ticket.id, words="请回电 13912345678", by=boss, now=now)
    assert "13912345678" not in sent.words


def test_who_supervised_a_ticket_does_not_call_its_citizen_back(
    session: Session, ticket: Ticket, boss: Actor, now: datetime
) -> None:
    from hotline.tickets.states import HANDLING

    supervising.supervise(session, ticket_id=ticket.id, words="请说明", by=boss, now=now)
    assert Act.SUPERVISE in HANDLING


def test_rules_and_leaders_are_the_administrators(
    session: Session, unit: Department, boss: Actor, now: datetime
) -> None:
    admin = make_actor(session, Role.ADMINISTRATOR, now=now)
    with pytest.raises(Denied):
        supervising.change_rules(session, Rules(), by=boss, now=now)
    with pytest.raises(Denied):
        supervising.enter_leader(
            session, department_id=unit.id, level=1, name="李", post="", phone="13900008888", by=boss
        )
    given: dict[str, Any] = {"department_id": unit.id, "name": "李科", "post": "科长", "by": admin}
    with pytest.raises(Invalid) as error:
        supervising.enter_leader(session, level=9, phone="电话", **given)
    assert set(error.value.fields) == {"level", "phone"}
    leader = supervising.enter_leader(session, level=1, phone="139 0000 8888", **given)
    assert leader.phone == "13900008888"
    with pytest.raises(Invalid):
        supervising.enter_leader(session, level=1, phone="13900008888", **given)
    supervising.remove_leader(session, leader_id=leader.id, by=admin)
    session.flush()
    assert session.scalar(select(func.count()).select_from(SupervisionNotice)) == 0
