"""Returns: asked with evidence, ruled from outside, no time gained; the database holds the same (domain.md 2.6)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from hotline import migrate
from hotline.core.db import Database
from hotline.core.errors import Conflict, Denied, HotlineError, Invalid, StaleTicket, WrongState
from hotline.core.permissions import Actor, Role
from hotline.tickets import actions as tickets
from hotline.tickets.models import JournalEntry, Ticket
from hotline.tickets.queries import counters
from hotline.tickets.states import Act, State
from reports.audit import audit
from routing import actions as routing
from routing.duty import queries as duty_queries
from routing.duty import returning
from routing.duty.models import Return
from routing.duty.rules import ReturnReason, ReturnState
from routing.models import Answer, Department, Dispatch, Ending
from routing.queries import current_dispatch
from tests.flows.test_at_once import at_once
from tests.makers import ask_return, dispatched_ticket, feedback, make_actor, make_department, returned_ticket

INSERT = "INSERT INTO returns (ticket_id, dispatch_id, department_id, reason, words, basis, asked_at, decide_due_at)"
NOW = "asked_at, asked_at"


@dataclass
class Cast:
    parks: Department
    roads: Department
    gardener: Actor
    reviewer: Actor


@pytest.fixture
def cast(session: Session, now: datetime) -> Cast:
    parks = make_department(session, "parks", name="市园林处")
    return Cast(
        parks=parks,
        roads=make_department(session, "roads", name="市养护处"),
        gardener=make_actor(session, Role.RESPONDER, departments=[parks], now=now),
        reviewer=make_actor(session, Role.DISPATCHER, name="审核员", now=now),
    )


def held(session: Session, ticket: Ticket) -> Dispatch:
    found = current_dispatch(session, ticket.id)
    assert found is not None
    return found


def test_an_open_return_leaves_the_ticket_and_its_clock_with_the_unit(
    session: Session, cast: Cast, now: datetime
) -> None:
    ticket = dispatched_ticket(session, cast.parks, now=now)
    due = ticket.due_at
    asked = ask_return(session, ticket, by=cast.gardener, suggested=cast.roads, now=now + timedelta(hours=1))
    assert (ticket.state, ticket.due_at, ticket.returned) == (State.DISPATCHED, due, 0)
    assert held(session, ticket).department_id == cast.parks.id
    assert asked.state is ReturnState.OPEN
    # Two working days by the profile's return clock: Friday the 9th and the make-up Saturday the 10th, 18:00.
    assert asked.decide_due_at == datetime.fromisoformat("2026-10-10T18:00:00+08:00")
    assert any("10-10" in step for step in asked.decide_steps)
    routing.sign(session, ticket_id=ticket.id, by=cast.gardener, now=now + timedelta(hours=2))
    assert ticket.state is State.SIGNED


def test_a_refused_return_leaves_everything_as_if_nothing_had_happened(
    session: Session, cast: Cast, now: datetime
) -> None:
    ticket = dispatched_ticket(session, cast.parks, now=now)
    before = held(session, ticket)
    dues = {name: told["due"] for name, told in before.steps.items()}
    kept = (ticket.due_at, before.id, before.due_at, before.sign_due_at, dues, ticket.state)
    asked = ask_return(session, ticket, by=cast.gardener, suggested=cast.roads, now=now)
    returning.refuse(
        session, return_id=asked.id, words="清单载明由贵处管养。", by=cast.reviewer, now=now + timedelta(days=1)
    )
    after = held(session, ticket)
    dues = {name: told["due"] for name, told in after.steps.items()}
    assert (ticket.due_at, after.id, after.due_at, after.sign_due_at, dues, ticket.state) == kept
    assert any("退单被驳回" in step for step in after.steps["handle"]["steps"])
    assert ticket.returned == 0
    routing.answer(
        session, ticket_id=ticket.id, version=None, feedback=feedback(), by=cast.gardener, now=now + timedelta(days=2)
    )
    assert ticket.state is State.ANSWERED


def test_an_upheld_return_gives_the_next_unit_its_own_limit_and_the_citizens_total_runs_on(
    session: Session, cast: Cast, now: datetime
) -> None:
    ticket = dispatched_ticket(session, cast.parks, now=now, request_type="求助")
    first_due = ticket.due_at
    asked = ask_return(session, ticket, by=cast.gardener, suggested=cast.roads, now=now + timedelta(hours=1))
    ruled = now + timedelta(days=1)
    sent = returning.uphold(
        session, return_id=asked.id, department_id=cast.roads.id, words="依据成立", by=cast.reviewer, now=ruled
    )
    assert sent is not None
    # Five working days from Thursday 8 October (10 is a make-up day) and from Friday 9 October.
    assert first_due == datetime.fromisoformat("2026-10-14T18:00:00+08:00")
    assert sent.due_at == datetime.fromisoformat("2026-10-15T18:00:00+08:00")
    assert datetime.fromisoformat(sent.steps["total"]["due"]) == first_due
    assert any("退单获准并改派，总时限继续计算" in step for step in sent.steps["total"]["steps"])
    assert any("退单获准并改派，新承办单位的时限重新计算" in step for step in sent.steps["handle"]["steps"])
    assert (ticket.returned, ticket.state, ticket.due_at) == (1, State.DISPATCHED, sent.due_at)
    ended = session.get_one(Dispatch, asked.dispatch_id)
    assert (ended.ending, ended.is_current) == (Ending.SENT_BACK, False)
    acts = session.scalars(
        select(JournalEntry.act).where(JournalEntry.ticket_id == ticket.id).order_by(JournalEntry.id)
    ).all()
    assert acts == [Act.REGISTER, Act.DISPATCH, Act.ASK_RETURN, Act.SEND_BACK, Act.DISPATCH]
    (seen,) = duty_queries.returns_of_ticket(session, ticket.id)
    assert (seen.department, seen.suggested, seen.sent_to, seen.decided_by) == (
        "市园林处",
        "市养护处",
        "市养护处",
        "审核员",
    )


def test_the_total_survives_a_stay_in_the_queue_and_a_second_return(
    session: Session, cast: Cast, now: datetime
) -> None:
    ticket = dispatched_ticket(session, cast.parks, now=now, request_type="求助")
    total = ticket.due_at
    asked = ask_return(session, ticket, by=cast.gardener, suggested=cast.roads, now=now)
    assert returning.uphold(session, return_id=asked.id, department_id=None, by=cast.reviewer, now=now) is None
    assert ticket.state is State.REGISTERED
    sent = routing.dispatch(
        session,
        ticket_id=ticket.id,
        version=None,
        department_id=cast.roads.id,
        by=cast.reviewer,
        now=now + timedelta(days=4),
    )
    assert datetime.fromisoformat(sent.steps["total"]["due"]) == total
    mender = make_actor(session, Role.RESPONDER, departments=[cast.roads], now=now)
    again = ask_return(session, ticket, by=mender, suggested=cast.parks, now=now + timedelta(days=4, hours=1))
    last = returning.uphold(
        session, return_id=again.id, department_id=cast.parks.id, by=cast.reviewer, now=now + timedelta(days=5)
    )
    assert last is not None
    assert datetime.fromisoformat(last.steps["total"]["due"]) == total
    assert ticket.returned == 2


@pytest.mark.parametrize(
    "wrong",
    [
        ({"reason": "mood"}, "reason"),
        ({"words": "  "}, "words"),
        ({"basis": ""}, "basis"),
        ({"suggested_department_id": None}, "suggested"),
        ({"suggested_department_id": 987654}, "suggested"),
        ({"words": "长" * 2001}, "words"),
    ],
)
def test_a_return_without_its_evidence_is_refused_by_field(
    session: Session, cast: Cast, now: datetime, wrong: tuple[dict[str, Any], str]
) -> None:
    ticket = dispatched_ticket(session, cast.parks, now=now)
    with pytest.raises(Invalid) as refusal:
        ask_return(session, ticket, by=cast.gardener, suggested=cast.roads, now=now, **wrong[0])
    assert set(refusal.value.fields) == {wrong[1]}


def test_a_unit_does_not_suggest_itself(session: Session, cast: Cast, now: datetime) -> None:
    ticket = dispatched_ticket(session, cast.parks, now=now)
    with pytest.raises(Invalid, match="有内容需要修改") as refusal:
        ask_return(session, ticket, by=cast.gardener, suggested=cast.parks, now=now)
    assert refusal.value.fields["suggested"] == ["建议承办单位不能是本单位。"]


def test_after_the_window_or_an_answer_there_is_no_return(session: Session, cast: Cast, now: datetime) -> None:
    late = dispatched_ticket(session, cast.parks, now=now)
    window = datetime.fromisoformat(held(session, late).steps["return"]["due"])
    with pytest.raises(WrongState, match="退单期限已于 10-10 18:00 届满"):
        ask_return(session, late, by=cast.gardener, suggested=cast.roads, now=window + timedelta(seconds=1))
    ask_return(session, late, by=cast.gardener, suggested=cast.roads, now=window)
    answered = dispatched_ticket(session, cast.parks, now=now)
    routing.answer(session, ticket_id=answered.id, version=None, feedback=feedback(), by=cast.gardener, now=now)
    with pytest.raises(WrongState, match="已反馈"):
        ask_return(session, answered, by=cast.gardener, suggested=cast.roads, now=now)


def test_nobody_who_belongs_to_the_unit_rules_on_its_return(session: Session, cast: Cast, now: datetime) -> None:
    bureau = make_department(session, name="市城管局")
    parks = make_department(session, name="园林科", parent_id=bureau.id)
    gardener = make_actor(session, Role.RESPONDER, departments=[parks], now=now)
    ticket = dispatched_ticket(session, parks, now=now)
    asked = ask_return(session, ticket, by=gardener, suggested=cast.roads, now=now)
    below = make_department(session, name="园林一队", parent_id=parks.id)
    for unit in (parks, bureau, below):
        insider = make_actor(session, Role.DISPATCHER, departments=[unit], now=now)
        with pytest.raises(Denied, match="单位以外"):
            returning.uphold(session, return_id=asked.id, department_id=cast.roads.id, by=insider, now=now)
        with pytest.raises(Denied, match="单位以外"):
            returning.refuse(session, return_id=asked.id, words="不", by=insider, now=now)
    with pytest.raises(Denied):
        returning.refuse(session, return_id=asked.id, words="不", by=gardener, now=now)
    assert asked.state is ReturnState.OPEN
    returning.refuse(session, return_id=asked.id, words="请办理。", by=cast.reviewer, now=now)
    assert asked.state.value == "refused"


def test_a_refused_reason_is_used_up_another_one_and_a_withdrawn_one_are_not(
    session: Session, cast: Cast, now: datetime
) -> None:
    ticket = dispatched_ticket(session, cast.parks, now=now)
    first = ask_return(session, ticket, by=cast.gardener, suggested=cast.roads, now=now)
    with pytest.raises(Conflict, match="正在审核"):
        ask_return(session, ticket, by=cast.gardener, suggested=cast.roads, now=now, reason="not_our_area")
    returning.take_back(session, return_id=first.id, by=cast.gardener, now=now)
    second = ask_return(session, ticket, by=cast.gardener, suggested=cast.roads, now=now)
    returning.refuse(session, return_id=second.id, words="职责明确。", by=cast.reviewer, now=now)
    with pytest.raises(Conflict, match="同一理由不能再次退单"):
        ask_return(session, ticket, by=cast.gardener, suggested=cast.roads, now=now)
    third = ask_return(session, ticket, by=cast.gardener, suggested=cast.roads, now=now, reason="not_our_area")
    assert third.state is ReturnState.OPEN
    assert duty_queries.refused_reasons(
        session, ticket_id=ticket.id, department_ids=frozenset({cast.parks.id})
    ) == frozenset({ReturnReason.NOT_OUR_DUTY})


def test_a_closed_ticket_takes_its_open_return_along(session: Session, cast: Cast, now: datetime) -> None:
    ticket = dispatched_ticket(session, cast.parks, now=now)
    asked = ask_return(session, ticket, by=cast.gardener, suggested=cast.roads, now=now)
    session.flush()
    tickets.withdraw(session, ticket_id=ticket.id, version=ticket.version, words="不用办了", by=cast.reviewer, now=now)
    session.flush()
    session.refresh(asked)
    assert asked.state is ReturnState.LAPSED
    with pytest.raises(Conflict, match="终止"):
        returning.refuse(session, return_id=asked.id, words="不", by=cast.reviewer, now=now)


def test_the_queue_turns_its_pages_in_order_of_the_limit(session: Session, cast: Cast, now: datetime) -> None:
    made = []
    for hours in (3, 1, 2, 0):
        ticket = dispatched_ticket(session, cast.parks, now=now)
        asked = ask_return(session, ticket, by=cast.gardener, suggested=cast.roads, now=now)
        asked.decide_due_at = now + timedelta(hours=hours)
        made.append((hours, asked.id))
    session.flush()
    wanted = [return_id for _, return_id in sorted(made)]
    first = duty_queries.returns_waiting(session, cast.reviewer, limit=3)
    assert [row.id for row in first.rows] == wanted[:3]
    second = duty_queries.returns_waiting(session, cast.reviewer, cursor=first.next_cursor, limit=3)
    assert [row.id for row in second.rows] == wanted[3:]
    assert not second.next_cursor
    back = duty_queries.returns_waiting(session, cast.reviewer, cursor=second.previous_cursor, limit=3)
    assert [row.id for row in back.rows] == wanted[:3]
    assert duty_queries.returns_open(session) == 4
    with pytest.raises(Invalid):
        duty_queries.returns_waiting(session, cast.reviewer, cursor="bm9uc2Vuc2U")


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE returns SET state = 'refused', decided_at = now(), decided_by = asked_by, decision = 'x'", "outside"),
        ("UPDATE returns SET state = 'upheld', decided_at = now()", "return_is_ruled_from_outside"),
        ("UPDATE returns SET state = 'refused', decided_at = now()", "return_is_ruled_from_outside"),
        ("UPDATE returns SET state = 'lapsed'", "ruled_has_time"),
        ("UPDATE returns SET suggested_id = department_id", "suggests_another"),
        (
            """INSERT INTO answers (dispatch_id, ticket_id, internal_note, public_answer, found_true, solved, at)
            SELECT dispatch_id, ticket_id, 'x', 'xxxxxxxxxxxx', true, 'solved', now() FROM returns""",
            "answer_waits_for_the_return",
        ),
        (
            f"{INSERT} SELECT ticket_id, dispatch_id, department_id, 'duplicate', 'x', 'x', {NOW} FROM returns",
            "uq_returns_open",
        ),
        (
            f"{INSERT} SELECT ticket_id, dispatch_id, suggested_id, 'duplicate', 'x', 'x', {NOW} FROM returns",
            "return_is_of_who_holds",
        ),
        (
            f"""{INSERT} SELECT ticket_id, dispatch_id, department_id, 'duplicate', 'x', 'x',
            asked_at + interval '30 days', asked_at FROM returns""",
            "return_is_in_its_window",
        ),
    ],
)
def test_what_must_never_be_true_of_a_return_the_database_refuses(
    db: Database, now: datetime, statement: str, constraint: str
) -> None:
    with db.begin() as session:
        parks, roads = make_department(session), make_department(session)
        gardener = make_actor(session, Role.RESPONDER, departments=[parks], now=now)
        ask_return(session, dispatched_ticket(session, parks, now=now), by=gardener, suggested=roads, now=now)
    with pytest.raises(Conflict, match=constraint), db.begin() as session:
        session.execute(text(statement))


def test_a_ruling_cannot_be_taken_back_and_a_refused_reason_not_used_again_past_the_actions(
    db: Database, now: datetime
) -> None:
    with db.begin() as session:
        parks, roads = make_department(session), make_department(session)
        gardener = make_actor(session, Role.RESPONDER, departments=[parks], now=now)
        reviewer = make_actor(session, Role.DISPATCHER, now=now)
        asked = ask_return(session, dispatched_ticket(session, parks, now=now), by=gardener, suggested=roads, now=now)
        returning.refuse(session, return_id=asked.id, words="请办理。", by=reviewer, now=now)
    with pytest.raises(Conflict, match="return_is_ruled_once"), db.begin() as session:
        session.execute(text("UPDATE returns SET state = 'open', decided_at = NULL, decided_by = NULL"))
    with pytest.raises(Conflict, match="uq_returns_reason"), db.begin() as session:
        session.execute(
            text(f"{INSERT} SELECT ticket_id, dispatch_id, department_id, reason, 'x', 'x', {NOW} FROM returns")
        )


def test_a_return_racing_an_answer_one_wins_and_the_other_is_told(db: Database, now: datetime) -> None:
    with db.begin() as session:
        parks, roads = make_department(session), make_department(session)
        people = [make_actor(session, Role.RESPONDER, departments=[parks], now=now) for _ in range(2)]
        made = [dispatched_ticket(session, parks, now=now) for _ in range(4)]
        session.flush()
        raced = [(ticket.id, ticket.version) for ticket in made]
        suggested = roads.id
    for ticket_id, version in raced:

        def act(number: int, ticket_id: int = ticket_id, version: int = version) -> str:
            with db.begin() as session:
                if number:
                    returning.ask(
                        session,
                        ticket_id=ticket_id,
                        version=version,
                        reason="not_our_duty",
                        words="不归我们",
                        basis="清单",
                        suggested_department_id=suggested,
                        by=people[1],
                        now=now,
                    )
                    return "asked"
                routing.answer(
                    session, ticket_id=ticket_id, version=version, feedback=feedback(), by=people[0], now=now
                )
                return "answered"

        got = at_once(act, people=2)
        errors = [each for each in got if isinstance(each, HotlineError)]
        assert len(errors) == 1, got
        with db.read() as session:
            answers = session.scalars(select(Answer).where(Answer.ticket_id == ticket_id)).all()
            returns = session.scalars(select(Return).where(Return.ticket_id == ticket_id)).all()
        assert len(answers) + len(returns) == 1
        if returns:
            assert isinstance(errors[0], WrongState)
            assert "退单申请正在审核" in errors[0].message
        else:
            assert isinstance(errors[0], StaleTicket)


def test_two_reviewers_at_the_same_moment_rule_once_and_the_other_is_told_who_did(db: Database, now: datetime) -> None:
    with db.begin() as session:
        parks, roads = make_department(session), make_department(session)
        gardener = make_actor(session, Role.RESPONDER, departments=[parks], now=now)
        reviewers = [make_actor(session, Role.DISPATCHER, name=f"审核员{n}", now=now) for n in range(2)]
        raced = [
            ask_return(session, dispatched_ticket(session, parks, now=now), by=gardener, suggested=roads, now=now).id
            for _ in range(4)
        ]
        roads_id = roads.id
    for return_id in raced:

        def rule(number: int, return_id: int = return_id) -> str:
            with db.begin() as session:
                if number:
                    returning.refuse(session, return_id=return_id, words="请办理。", by=reviewers[1], now=now)
                    return "refused"
                returning.uphold(session, return_id=return_id, department_id=roads_id, by=reviewers[0], now=now)
                return "upheld"

        got = at_once(rule, people=2)
        (error,) = [each for each in got if isinstance(each, HotlineError)]
        winner = next(each for each in got if isinstance(each, str))
        assert isinstance(error, Conflict)
        assert ("审核员0" if winner == "upheld" else "审核员1") in error.message
        assert ("同意退单" if winner == "upheld" else "驳回退单") in error.message
        with db.read() as session:
            assert session.get_one(Return, return_id).state.value == winner
    with db.read() as session:
        assert audit(session, now=now) == []


def test_the_menu_counts_what_waits(db: Database, now: datetime) -> None:
    with db.begin() as session:
        parks, roads = make_department(session), make_department(session)
        gardener = make_actor(session, Role.RESPONDER, departments=[parks], now=now)
        reviewer = make_actor(session, Role.DISPATCHER, now=now)
        for _ in range(3):
            asked = ask_return(
                session, dispatched_ticket(session, parks, now=now), by=gardener, suggested=roads, now=now
            )
        returning.refuse(session, return_id=asked.id, words="请办理。", by=reviewer, now=now)
    with db.read() as session:
        assert counters(session, ["returns.open"]) == {"returns.open": 2}


def test_returns_from_before_the_upgrade_are_kept_and_counted(database_url: str, db: Database, now: datetime) -> None:
    from alembic import command

    with db.begin() as session:
        parks, roads = make_department(session), make_department(session)
        gardener = make_actor(session, Role.RESPONDER, departments=[parks], now=now)
        ticket = dispatched_ticket(session, parks, now=now)
        returned_ticket(session, ticket, by=gardener, suggested=roads, to=roads, now=now)
        ticket_id = ticket.id
    config = migrate._config()
    with db.engine.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0007")
        acts = connection.execute(text("SELECT act FROM journal ORDER BY id")).scalars().all()
    assert acts == ["register", "dispatch", "ask_return", "send_back", "dispatch"]
    migrate.upgrade(database_url)
    with db.read() as session:
        (kept,) = duty_queries.returns_of_ticket(session, ticket_id)
        assert (kept.state, kept.words, kept.department_id) == (ReturnState.UPHELD, "依据成立。", parks.id)
        assert session.get_one(Ticket, ticket_id).returned == 1
    with db.read() as session:
        assert audit(session, now=now) == []
