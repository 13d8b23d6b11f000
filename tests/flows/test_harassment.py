"""A caller is marked, warned, limited for a time by a second person, and let go again; nobody is ever shut out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, text

from hotline.core.db import Database
from hotline.core.errors import Conflict, Denied, Invalid, WrongState
from hotline.core.permissions import PUBLIC, Actor, Role
from hotline.intake import harassment
from hotline.intake.actions import register
from hotline.intake.harassment_models import CallerLimit, CallerLimitState, HarassmentMark
from hotline.intake.harassment_rules import HarassmentKind, Step
from hotline.tickets.models import JournalEntry
from hotline.tickets.queries import counters
from hotline.tickets.states import Act
from reports.audit import audit
from tests.makers import make_actor, make_concern, register_ticket

PHONE = "13900001234"
SAID = "来电后持续辱骂话务员，没有提出任何诉求。"
DAY = timedelta(days=1)


def findings(db: Database, now: datetime) -> list[str]:
    with db.begin() as session:
        return [one.rule for one in audit(session, now=now) if one.rule != "outbox_is_delivered_or_waiting"]


def person(db: Database, role: Role, now: datetime) -> Actor:
    with db.begin() as session:
        return make_actor(session, role, now=now)


def marked(db: Database, now: datetime, *, warned: bool = False, by: Actor | None = None) -> int:
    with db.begin() as session:
        operator = by or make_actor(session, Role.OPERATOR, now=now)
        made = register_ticket(session, by=operator, now=now)
        harassment.mark(
            session,
            ticket_id=made.ticket_id,
            kind=HarassmentKind.ABUSE,
            evidence=SAID,
            warned=warned,
            by=operator,
            now=now,
        )
        return made.ticket_id


def step(db: Database, now: datetime) -> Step:
    with db.read() as session:
        return harassment.of_phone(session, PHONE, now=now).step


def test_however_many_calls_stand_a_few_are_looked_at_and_an_old_warning_still_counts(
    db: Database, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harassment, "MOST_COUNTED", 3)
    marked(db, now - DAY, warned=True)
    for _ in range(5):
        marked(db, now)
    with db.read() as session:
        known = harassment.of_phone(session, PHONE, now=now)
    assert (known.step, known.calls) == (Step.MAY_LIMIT, 4)


@pytest.fixture
def may_limit(db: Database, now: datetime) -> int:
    """Return the ticket of the third marked call."""
    marked(db, now - 2 * DAY)
    marked(db, now - DAY, warned=True)
    return marked(db, now)


@pytest.fixture
def asked(db: Database, now: datetime, may_limit: int) -> Callable[[], CallerLimit]:
    operator = person(db, Role.OPERATOR, now)
    with db.begin() as session:
        row = harassment.ask_limit(session, ticket_id=may_limit, reason="多次劝导无效。", by=operator, now=now)
        limit_id = row.id

    def now_is() -> CallerLimit:
        with db.read() as session:
            return session.get_one(CallerLimit, limit_id)

    return now_is


def test_marks_lead_from_explaining_to_a_warning_to_a_limit(db: Database, now: datetime) -> None:
    seen = [step(db, now)]
    for warned in (False, True, False):
        marked(db, now, warned=warned)
        seen.append(step(db, now))
    assert seen == [Step.NONE, Step.EXPLAINED, Step.WARNED, Step.MAY_LIMIT]
    assert findings(db, now) == []


def test_a_call_is_marked_once_and_needs_evidence_and_a_number(db: Database, now: datetime) -> None:
    ticket_id = marked(db, now)
    operator = person(db, Role.OPERATOR, now)
    common = {"kind": HarassmentKind.ABUSE, "warned": False, "by": operator, "now": now}
    with pytest.raises(Conflict), db.begin() as session:
        harassment.mark(session, ticket_id=ticket_id, evidence=SAID, **common)  # type: ignore[arg-type]
    with pytest.raises(Invalid), db.begin() as session:
        harassment.mark(session, ticket_id=ticket_id, evidence="骂人", **common)  # type: ignore[arg-type]
    with db.begin() as session:
        nameless = register_ticket(session, by=operator, now=now, phone="", anonymous=True).ticket_id
    with pytest.raises(Invalid), db.begin() as session:
        harassment.mark(session, ticket_id=nameless, evidence=SAID, **common)  # type: ignore[arg-type]


def test_a_limit_is_not_asked_for_before_a_warning(db: Database, now: datetime) -> None:
    for _ in range(4):
        ticket_id = marked(db, now)
    operator = person(db, Role.OPERATOR, now)
    with pytest.raises(Invalid) as refused, db.begin() as session:
        harassment.ask_limit(session, ticket_id=ticket_id, reason="烦", by=operator, now=now)
    assert "警告" in "".join(refused.value.fields["reason"])


def test_a_second_person_confirms_and_the_limit_ends_by_itself(
    db: Database, now: datetime, asked: Callable[[], CallerLimit]
) -> None:
    assert step(db, now) is Step.ASKED
    supervisor = person(db, Role.SUPERVISOR, now)
    with db.begin() as session:
        harassment.confirm_limit(session, limit_id=asked().id, days=7, words="", by=supervisor, now=now)
    assert [step(db, now + days * DAY) for days in (0, 6, 7)] == [Step.LIMITED, Step.LIMITED, Step.MAY_LIMIT]
    with pytest.raises(WrongState), db.begin() as session:
        harassment.refuse_limit(session, limit_id=asked().id, words="不同意", by=supervisor, now=now)
    assert findings(db, now) == []


def test_nobody_confirms_his_own_wish_nor_without_the_permission(db: Database, now: datetime, may_limit: int) -> None:
    supervisor, operator = person(db, Role.SUPERVISOR, now), person(db, Role.OPERATOR, now)
    with db.begin() as session:
        row = harassment.ask_limit(session, ticket_id=may_limit, reason="多次劝导无效。", by=supervisor, now=now)
        limit_id = row.id
    for by in (supervisor, operator):
        with pytest.raises(Denied), db.begin() as session:
            harassment.confirm_limit(session, limit_id=limit_id, days=7, words="", by=by, now=now)
    with pytest.raises(Conflict), db.begin() as session:
        session.execute(
            text("UPDATE caller_limits SET state = 'refused', decided_at = :now, decided_by = asked_by"), {"now": now}
        )


def test_the_database_itself_refuses_a_limit_that_is_too_long_or_asked_twice(
    db: Database, now: datetime, asked: Callable[[], CallerLimit]
) -> None:
    with pytest.raises(Conflict), db.begin() as session:
        session.execute(
            text("UPDATE caller_limits SET state = 'in_force', decided_at = :now, ends_at = :end"),
            {"now": now, "end": now + 31 * DAY},
        )
    columns = "ticket_id, phone_index, reason, state, asked_at, asked_by"
    with pytest.raises(Conflict), db.begin() as session:
        session.execute(text(f"INSERT INTO caller_limits ({columns}) SELECT {columns} FROM caller_limits"))
    assert asked().state is CallerLimitState.ASKED


def test_a_limited_caller_is_registered_as_everybody_else(
    db: Database, now: datetime, asked: Callable[[], CallerLimit]
) -> None:
    with db.begin() as session:
        harassment.confirm_limit(
            session, limit_id=asked().id, days=30, words="", by=make_actor(session, Role.SUPERVISOR, now=now), now=now
        )
    with db.begin() as session:
        urgent = make_concern(phone=PHONE, content="家里煤气泄漏，老人已经昏倒，请快来救人。", urgency="特急")
        by_phone = register(session, urgent, scope="t", by=make_actor(session, Role.OPERATOR, now=now), now=now)
        by_web = register(session, make_concern(phone=PHONE), scope="t", by=PUBLIC, now=now)
    assert by_phone.query_code
    assert by_web.query_code


def test_a_limit_is_lifted_and_a_mark_taken_back_and_all_is_in_the_journal(
    db: Database, now: datetime, asked: Callable[[], CallerLimit]
) -> None:
    supervisor = person(db, Role.SUPERVISOR, now)
    with db.begin() as session:
        harassment.confirm_limit(session, limit_id=asked().id, days=7, words="同意", by=supervisor, now=now)
    with db.begin() as session:
        harassment.lift(session, limit_id=asked().id, why="本人已道歉。", by=supervisor, now=now)
        mark_id = session.scalars(select(HarassmentMark.id).order_by(HarassmentMark.id)).first() or 0
        harassment.clear(session, mark_id=mark_id, why="核听录音，并无辱骂。", by=supervisor, now=now)
    assert step(db, now) is Step.WARNED
    with pytest.raises(WrongState), db.begin() as session:
        harassment.lift(session, limit_id=asked().id, why="再次", by=supervisor, now=now)
    with pytest.raises(WrongState), db.begin() as session:
        harassment.clear(session, mark_id=mark_id, why="再次", by=supervisor, now=now)
    with db.read() as session:
        acts = set(session.scalars(select(JournalEntry.act)))
        assert {Act.MARK_HARASSMENT, Act.ASK_LIMIT, Act.LIMIT_CALLER, Act.LIFT_LIMIT, Act.CLEAR_HARASSMENT} <= acts
        assert counters(session, ["harassment.marks", "harassment.asked"]) == {
            "harassment.marks": 2,
            "harassment.asked": 0,
        }
    assert findings(db, now) == []
