"""A bad review keeps its two duties: none is lost on the way in, and none ends before both are done (domain.md 4.3)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError

from callbacks import actions as callbacks
from callbacks import queries
from callbacks.models import MUST_RECTIFY, BadReview, ReviewVerdict
from callbacks.policy import Answers, AttemptOutcome, Satisfaction, Solved
from hotline.core.db import Database
from hotline.core.errors import Conflict, Invalid, WrongState
from hotline.core.permissions import Actor, Role
from hotline.intake.actions import Registered
from hotline.tickets import actions as tickets
from hotline.tickets.models import InstallationSetting, Ticket
from hotline.tickets.states import NOT_FOR_REVIEWS, Act, State
from reports.audit import audit
from routing import actions as routing
from routing.answers import vetting
from routing.answers.vetting_rules import SETTING, VettingMode, VettingPolicy
from tests.makers import feedback, make_actor, make_department

HAPPY = Answers(replied=True, solved=Solved.SOLVED, process=Satisfaction.SATISFIED, result=Satisfaction.SATISFIED)
DEVICE = Actor(user_id=None, role=Role.DEVICE, name="counter")


@dataclass
class House:
    db: Database
    now: datetime
    unit: Actor
    first: Actor
    second: Actor

    def receive(self, key: str = "r-1", **given: object) -> Registered:
        review = {
            "stars": 1,
            "service_item": "不动产登记",
            "department_code": "registry",
            "words": "跑了三趟，材料清单说不清楚。",
            "rated_at": self.now - timedelta(hours=2),
            "phone": "13900001234",
            **given,
        }
        with self.db.begin() as session:
            made = callbacks.receive_review(session, callbacks.Review(key=key, **review), by=DEVICE, now=self.now)  # type: ignore[arg-type]
        assert made is not None
        return made

    def answer(self, ticket_id: int) -> int:
        """Let the unit answer; returns the callback that waits for it."""
        with self.db.begin() as session:
            routing.answer(session, ticket_id=ticket_id, version=None, feedback=feedback(), by=self.unit, now=self.now)
            waiting = queries.open_callback(session, ticket_id)
            assert waiting is not None
            return waiting.id

    def judge(self, ticket_id: int, verdict: ReviewVerdict) -> None:
        with self.db.begin() as session:
            callbacks.propose_verdict(
                session, ticket_id=ticket_id, verdict=verdict, reason="调取监控", by=self.first, now=self.now
            )
            callbacks.confirm_verdict(session, ticket_id=ticket_id, agree=True, by=self.second, now=self.now)

    def rectify(self, ticket_id: int) -> None:
        with self.db.begin() as session:
            callbacks.rectify(session, ticket_id=ticket_id, words="一次告知清单上墙", by=self.unit, now=self.now)

    def call(self, callback_id: int) -> None:
        with self.db.begin() as session:
            callbacks.claim(session, callback_id=callback_id, by=self.first, now=self.now)
            callbacks.record_result(
                session, callback_id=callback_id, version=None, answers=HAPPY, by=self.first, now=self.now
            )

    def state(self, ticket_id: int) -> State:
        with self.db.read() as session:
            return session.get_one(Ticket, ticket_id).state

    def next_in_queue(self) -> list[int]:
        with self.db.read() as session:
            return [row.id for row in queries.waiting(session, self.first, now=self.now, due_only=True)]


@pytest.fixture
def house(db: Database, now: datetime) -> House:
    with db.begin() as session:
        registry = make_department(session, "registry", name="不动产登记中心")
        return House(
            db,
            now,
            unit=make_actor(session, Role.RESPONDER, departments=[registry], now=now),
            first=make_actor(session, Role.AUDITOR, now=now),
            second=make_actor(session, Role.SUPERVISOR, now=now),
        )


def test_nobody_is_rung_before_two_persons_have_judged_the_review(house: House) -> None:
    made = house.receive()
    callback_id = house.answer(made.ticket_id)
    assert house.next_in_queue() == []
    with pytest.raises(Conflict, match="认定"):
        house.call(callback_id)
    with house.db.begin() as session, pytest.raises(Conflict, match="认定"):
        callbacks.record_attempt(
            session,
            callback_id=callback_id,
            outcome=AttemptOutcome.DECLINED,
            note="",
            by=house.first,
            now=house.now,
        )
    assert house.state(made.ticket_id) is State.ANSWERED
    house.judge(made.ticket_id, ReviewVerdict.MISTAKEN)
    assert house.next_in_queue() == [callback_id]
    house.call(callback_id)
    assert house.state(made.ticket_id) is State.CLOSED


@pytest.mark.parametrize("verdict", sorted(MUST_RECTIFY))
def test_a_justified_review_is_closed_only_after_its_rectification(house: House, verdict: ReviewVerdict) -> None:
    """Also when the unit had answered before it was judged: it can still say what it put right."""
    made = house.receive()
    callback_id = house.answer(made.ticket_id)
    house.judge(made.ticket_id, verdict)
    assert house.next_in_queue() == []
    with pytest.raises(Conflict, match="整改"):
        house.call(callback_id)
    house.rectify(made.ticket_id)
    house.call(callback_id)
    assert house.state(made.ticket_id) is State.CLOSED
    with house.db.begin() as session:
        assert list(audit(session, now=house.now)) == []


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        ("DELETE FROM bad_reviews", "bad_reviews_are_known_and_dispatched"),
        (
            "UPDATE bad_reviews SET verdict = NULL, verified_by = NULL, verified_at = NULL",
            "closed_reviews_were_judged",
        ),
        ("UPDATE bad_reviews SET rectification = '', rectified_at = NULL", "justified_reviews_are_rectified"),
        ("DELETE FROM callback_attempts; DELETE FROM callbacks", "real_name_reviews_are_called_back"),
    ],
)
def test_the_audit_names_a_review_whose_duties_were_not_done(house: House, damage: str, rule: str) -> None:
    made = house.receive()
    callback_id = house.answer(made.ticket_id)
    house.judge(made.ticket_id, ReviewVerdict.JUSTIFIED_SIMPLE)
    house.rectify(made.ticket_id)
    house.call(callback_id)
    with house.db.engine.begin() as connection:
        for statement in damage.split(";"):
            connection.execute(text(statement))
    with house.db.begin() as session:
        named = {finding.rule: finding.offenders for finding in audit(session, now=house.now)}
    assert named[rule] == (made.number,)


@pytest.mark.parametrize("act", sorted(NOT_FOR_REVIEWS))
def test_a_review_cannot_be_ended_past_its_unit_and_its_callback(house: House, act: Act) -> None:
    """Also when it came back from a unit that was not the right one."""
    made = house.receive()
    with house.db.begin() as session:
        ticket = session.get_one(Ticket, made.ticket_id)
        ticket.state, ticket.due_at = State.REGISTERED, None
        by = make_actor(session, Role.DISPATCHER, now=house.now)
        with pytest.raises(WrongState, match="差评"):
            tickets.move(session, ticket, act, by=by, now=house.now)
        session.rollback()


@pytest.mark.parametrize(
    ("outcome", "why"),
    [
        ("answered_directly", ""),
        ("refused", ", refusal_reason = 'NR-03'"),
        ("transferred", ", transfer_to = '110'"),
    ],
)
def test_the_database_refuses_such_an_end_too(house: House, outcome: str, why: str) -> None:
    """Whoever writes past the actions is told by name; the same row of an ordinary ticket is taken."""
    made = house.receive()
    end = text(
        "UPDATE tickets SET state = 'closed', closed_at = :now, due_at = NULL,"
        f" outcome = :outcome{why} WHERE id = :ticket"
    )
    given = {"now": house.now, "outcome": outcome, "ticket": made.ticket_id}
    with pytest.raises(IntegrityError, match="reviews_are_called_back"), house.db.engine.begin() as connection:
        connection.execute(end, given)
    with house.db.engine.begin() as connection:
        connection.execute(text("UPDATE tickets SET kind = 'concern'"))
        assert connection.execute(end, given).rowcount == 1


DONE = text("UPDATE callbacks SET verdict = 'declined', done_at = planned_at")


def test_the_database_takes_no_callback_before_a_verdict_stands(house: House) -> None:
    made = house.receive()
    house.answer(made.ticket_id)
    with pytest.raises(IntegrityError, match="review_comes_first"), house.db.engine.begin() as connection:
        connection.execute(DONE)
    with pytest.raises(IntegrityError, match="review_comes_first"), house.db.engine.begin() as connection:
        connection.execute(
            text(
                "WITH old AS (DELETE FROM callbacks RETURNING *)"
                " INSERT INTO callbacks (ticket_id, dispatch_id, round, planned_at, verdict, done_at)"
                " SELECT ticket_id, dispatch_id, round, planned_at, 'declined', planned_at FROM old"
            )
        )
    with house.db.engine.connect() as connection:
        connection.execute(text("DELETE FROM bad_reviews"))  # a review that nobody knows was judged by nobody
        with pytest.raises(IntegrityError, match="review_comes_first"):
            connection.execute(DONE)
    house.judge(made.ticket_id, ReviewVerdict.MISTAKEN)
    with house.db.engine.begin() as connection:
        assert connection.execute(DONE).rowcount == 1


@pytest.mark.parametrize("verdict", sorted(MUST_RECTIFY))
def test_the_database_takes_no_callback_before_the_rectification(house: House, verdict: ReviewVerdict) -> None:
    made = house.receive()
    house.answer(made.ticket_id)
    house.judge(made.ticket_id, verdict)
    with pytest.raises(IntegrityError, match="review_comes_first"), house.db.engine.begin() as connection:
        connection.execute(DONE)
    house.rectify(made.ticket_id)
    with house.db.engine.begin() as connection:
        assert connection.execute(DONE).rowcount == 1


@pytest.mark.parametrize("verdict", sorted(set(ReviewVerdict) - MUST_RECTIFY))
def test_what_needs_no_rectification_takes_none(house: House, verdict: ReviewVerdict) -> None:
    made = house.receive()
    house.answer(made.ticket_id)
    house.judge(made.ticket_id, verdict)
    with pytest.raises(Conflict, match="不要求整改"):
        house.rectify(made.ticket_id)


def test_a_rectification_comes_after_the_verdict_and_once(house: House) -> None:
    made = house.receive()
    house.answer(made.ticket_id)
    with pytest.raises(Conflict, match="尚未由两人认定"):
        house.rectify(made.ticket_id)
    house.judge(made.ticket_id, ReviewVerdict.JUSTIFIED_SIMPLE)
    house.rectify(made.ticket_id)
    with pytest.raises(Conflict, match="已填写过整改情况"):
        house.rectify(made.ticket_id)


def test_a_reader_passes_no_answer_whose_justified_review_is_not_rectified(house: House) -> None:
    """Passed, it would wait for a callback that nobody may make; sent back it may be at any time."""
    policy = VettingPolicy(mode=VettingMode.ALL).to_setting()
    with house.db.begin() as session:
        session.merge(InstallationSetting(name=SETTING, value=policy, changed_by=None, changed_at=house.now))
        reader = make_actor(session, Role.DISPATCHER, now=house.now)
    made = house.receive()
    with house.db.begin() as session:
        routing.answer(
            session, ticket_id=made.ticket_id, version=None, feedback=feedback(), by=house.unit, now=house.now
        )

    def passes() -> None:
        with house.db.begin() as session:
            (view,) = vetting.waiting(session).rows
            vetting.decide(session, vetting_id=view.row.id, passes=True, words="", by=reader, now=house.now)

    house.judge(made.ticket_id, ReviewVerdict.JUSTIFIED_SIMPLE)
    with pytest.raises(Invalid, match="更正") as refused:
        passes()
    assert "整改后才能通过" in refused.value.fields["form"][0]
    house.rectify(made.ticket_id)
    passes()
    with house.db.read() as session:
        assert queries.open_callback(session, made.ticket_id) is not None


def test_two_reviews_in_the_same_words_are_two_reviews(house: House) -> None:
    """The same citizen at two counters: each review has its own unit, its own verdict and its own callback."""
    one = house.receive("a", service_item="不动产登记")
    other = house.receive("b", service_item="公积金提取")
    assert one.ticket_id != other.ticket_id
    assert not other.repeat
    with house.db.read() as session:
        assert session.scalar(select(func.count()).select_from(BadReview)) == 2


def test_the_same_review_sent_twice_is_one(house: House) -> None:
    assert house.receive("a").ticket_id == house.receive("a").ticket_id


def test_a_review_of_one_word_is_taken(house: House) -> None:
    """Whoever presses one star and writes 差 has rated badly; the counter's device has nobody to ask for more."""
    made = house.receive(words="差")
    with house.db.read() as session:
        ticket = session.get_one(Ticket, made.ticket_id)
        assert "差" in ticket.content
        assert "不动产登记" in ticket.content


def test_a_device_whose_clock_is_a_little_fast_is_heard(house: House) -> None:
    assert house.receive(rated_at=house.now + timedelta(minutes=2)).number
