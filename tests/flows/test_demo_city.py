"""The demonstration city is loaded whole or not at all, and every ticket in it has lived what its story says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import func, make_url, select
from sqlalchemy.orm import Session

from callbacks import queries as callback_queries
from callbacks.models import BadReview, Callback
from classifier import seeds
from classifier.suggest import Suggester
from hotline.core.clock import local
from hotline.core.db import Base, Database
from hotline.core.errors import Conflict
from hotline.core.outbox import OutboxRow
from hotline.core.permissions import Actor, Role
from hotline.core.sealing import Keyring
from hotline.demo import data
from hotline.demo.data import City, Story
from hotline.demo.load import BATCH, load, load_if_empty
from hotline.demo.places import inner_codes
from hotline.demo.relations import MEMBERS
from hotline.migrate import metadata
from hotline.people.models import User
from hotline.runtime.postgres import SUPERUSER
from hotline.tickets.models import Category, JournalEntry, Ticket
from hotline.tickets.queries import counters
from hotline.tickets.states import Outcome, State
from hotline.wiring import Installation, wired
from reports.audit import audit
from routing.duty import dispute_queries, precedents
from routing.duty import queries as duty_queries
from routing.duty.models import Dispute
from routing.duty.rules import DisputeState
from routing.lists import ListFilter, ticket_list
from routing.models import Answer, Department, Dispatch
from routing.queries import departments_of
from routing.relations.models import Merge
from tests.conftest import NOW
from tests.makers import PASSWORD

LATER = NOW + timedelta(seconds=1)
OUTCOME_OF = {
    Story.ANSWERED_DIRECTLY: Outcome.ANSWERED_DIRECTLY,
    Story.REFUSED: Outcome.REFUSED,
    Story.TRANSFERRED: Outcome.TRANSFERRED,
    Story.WITHDRAWN: Outcome.WITHDRAWN,
    Story.CLOSED_SATISFIED: Outcome.CONFIRMED,
    Story.CLOSED_REWORKED: Outcome.CONFIRMED,
    Story.UNREACHABLE: Outcome.UNREACHABLE,
    Story.DECLINED: Outcome.DECLINED,
}
STATE_OF = {
    Story.REGISTERED: State.REGISTERED,
    Story.DISPATCHED: State.DISPATCHED,
    Story.SENT_BACK: State.SIGNED,
    Story.SIGNED: State.SIGNED,
    Story.OVERDUE: State.SIGNED,
    Story.ANSWERED: State.ANSWERED,
    Story.REWORK_OPEN: State.DISPATCHED,
}


@pytest.fixture(scope="module")
def city() -> City:
    """What the files say."""
    return data.load()


@pytest.fixture(scope="module")
def loaded(postgres: str, city: City) -> Iterator[Database]:
    """A database of this module's own with the city in it; the tests only read it."""
    url = make_url(postgres)
    admin = url.set(drivername="postgresql", username=SUPERUSER, database="postgres")
    with psycopg.connect(admin.render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE demo_city TEMPLATE "{url.database}" OWNER "{url.username}"'.encode())
        database = wired(
            url.set(database="demo_city").render_as_string(hide_password=False), keyring=Keyring.for_tests(), pool=3
        )
        try:
            load(database, city, password=PASSWORD, now=NOW)
            yield database
        finally:
            database.close()
            connection.execute(b"DROP DATABASE demo_city WITH (FORCE)")


@pytest.fixture
def reading(loaded: Database) -> Iterator[Session]:
    """A session that can only read the city."""
    with loaded.read() as session:
        yield session


def actor(session: Session, login: str) -> Actor:
    user = session.scalars(select(User).where(User.login == login)).one()
    return Actor(user_id=user.id, role=user.role, department_ids=departments_of(session, user.id))


def rows_of_all_tables(database: Database) -> dict[str, int]:
    with database.read() as session:
        return {
            table.name: session.scalar(select(func.count()).select_from(table)) or 0
            for table in metadata().sorted_tables
        }


def test_every_story_has_ended_where_it_says(reading: Session, city: City) -> None:
    expected: Counter[tuple[State, Outcome | None]] = Counter(
        (State.CLOSED, OUTCOME_OF[each.story])
        if each.story in OUTCOME_OF
        # What is answered with another ticket has left its unit.
        else (State.REGISTERED if each.key in MEMBERS else STATE_OF[each.story], None)
        for each in city.tickets
    )
    found = {
        (state, outcome): count
        for state, outcome, count in reading.execute(
            select(Ticket.state, Ticket.outcome, func.count()).group_by(Ticket.state, Ticket.outcome)
        )
    }
    assert found == expected
    assert {state for state, _ in found} == set(State)
    assert {outcome for _, outcome in found} == {None, *Outcome}


def test_the_invariants_of_the_house_hold_in_the_city(reading: Session) -> None:
    assert audit(reading, now=LATER) == []


def test_stored_counters_equal_what_they_count(reading: Session) -> None:
    counted: dict[str, Any] = {
        f"tickets.state.{state.value}": reading.scalar(select(func.count()).where(Ticket.state == state))
        for state in State
    }
    counted["tickets.all"] = reading.scalar(select(func.count(Ticket.id)))
    counted["tickets.bad_review.open"] = reading.scalar(
        select(func.count()).where(Ticket.kind == "bad_review", Ticket.state != State.CLOSED)
    )
    counted["callbacks.waiting"] = reading.scalar(select(func.count()).where(Callback.done_at.is_(None)))
    counted["callbacks.done"] = reading.scalar(select(func.count()).where(Callback.done_at.is_not(None)))
    for department_id in reading.scalars(select(Department.id)):
        mine = [Dispatch.department_id == department_id, Dispatch.is_current, Dispatch.ended_at.is_(None)]
        counted[f"department.{department_id}.in_hand"] = reading.scalar(
            select(func.count()).where(*mine, Dispatch.answered_at.is_(None))
        )
        counted[f"department.{department_id}.unsigned"] = reading.scalar(
            select(func.count()).where(*mine, Dispatch.signed_at.is_(None))
        )
    assert counters(reading, counted) == counted
    assert counted["tickets.all"] == 160
    assert sum(value for name, value in counted.items() if name.endswith(".in_hand")) == 64 - len(MEMBERS)


def test_every_answer_waits_for_its_callback_or_was_called_back(reading: Session) -> None:
    answered = set(reading.scalars(select(Answer.dispatch_id)))
    called = set(reading.scalars(select(Callback.dispatch_id)))
    assert answered == called
    assert len(answered) > 50
    waiting = set(reading.scalars(select(Callback.ticket_id).where(Callback.done_at.is_(None))))
    assert waiting == set(reading.scalars(select(Ticket.id).where(Ticket.state == State.ANSWERED)))


def test_nothing_in_a_timeline_runs_backwards_or_into_the_future(reading: Session) -> None:
    lives: dict[int, list[JournalEntry]] = {}
    for entry in reading.scalars(select(JournalEntry).order_by(JournalEntry.id)):
        lives.setdefault(entry.ticket_id, []).append(entry)
    for ticket in reading.scalars(select(Ticket)):
        times = [entry.at for entry in lives[ticket.id]]
        assert times == sorted(times), ticket.number
        assert ticket.registered_at == times[0]
        assert times[-1] <= NOW, ticket.number
        assert lives[ticket.id][-1].to_state is ticket.state


def test_tickets_stand_in_the_order_in_which_they_came_in(reading: Session) -> None:
    times = list(reading.scalars(select(Ticket.registered_at).order_by(Ticket.id)))
    assert times == sorted(times)
    numbers = list(reading.scalars(select(Ticket.number).order_by(Ticket.id)))
    assert numbers == sorted(numbers)


def test_only_what_is_told_as_overdue_is_overdue_and_answers_came_in_time(reading: Session, city: City) -> None:
    overdue = set(reading.scalars(select(Ticket.title).where(Ticket.due_at < NOW)))
    told = {each.title for each in city.tickets if each.story is Story.OVERDUE}
    assert told <= overdue
    assert reading.scalar(select(func.count()).where(Dispatch.answered_at > Dispatch.due_at)) == 0


def test_citizens_were_rung_at_decent_hours(reading: Session) -> None:
    acts = ("call", "confirm", "rework", "give_up_calling", "decline_callback")
    hours = [local(at).hour for at in reading.scalars(select(JournalEntry.at).where(JournalEntry.act.in_(acts)))]
    assert len(hours) > 40
    assert all(8 <= hour < 20 for hour in hours)


@pytest.mark.parametrize(
    ("login", "wanted"),
    [
        ("paidan01", ListFilter(states=(State.REGISTERED,))),
        ("chengguan01", ListFilter(states=(State.DISPATCHED, State.SIGNED), order="due")),
        ("dongze01", ListFilter()),
        ("duban01", ListFilter(due="overdue", order="due")),
    ],
)
def test_each_desk_has_work(reading: Session, login: str, wanted: ListFilter) -> None:
    assert ticket_list(reading, actor(reading, login), wanted, now=NOW).rows


def test_both_auditors_have_somebody_to_ring(reading: Session) -> None:
    for login in ("huifang01", "huifang02"):
        assert callback_queries.waiting(reading, actor(reading, login), now=NOW)


def test_a_bad_review_was_judged_by_two_persons_or_waits_for_the_second(reading: Session, city: City) -> None:
    reviews = list(reading.scalars(select(BadReview)))
    assert len(reviews) == sum(each.review is not None for each in city.tickets) == 12
    assert all(review.proposed_by is not None for review in reviews)
    judged = [review for review in reviews if review.verdict is not None]
    assert all(review.verified_by != review.proposed_by for review in judged)
    assert len(judged) == sum(each.review is not None and each.story is not Story.DISPATCHED for each in city.tickets)


def test_what_is_only_registered_waits_for_the_model(reading: Session) -> None:
    waiting = {row.payload["ticket_id"] for row in reading.scalars(select(OutboxRow))}
    registered = list(reading.scalars(select(Ticket).where(Ticket.state == State.REGISTERED)))
    assert {ticket.id for ticket in registered} <= waiting
    merged = set(reading.scalars(select(Merge.ticket_id)))
    assert len(merged) == len(MEMBERS)
    assert all(ticket.category_id is None for ticket in registered if ticket.id not in merged)


def test_a_return_waits_and_two_disputes_are_argued_one_of_them_ruled_on(reading: Session) -> None:
    waiting = duty_queries.returns_waiting(reading, actor(reading, "paidan01")).rows
    assert [(one.title, one.suggested) for one in waiting] == [
        ("业委会换届街道迟迟不启动", "市住房和城乡建设局"),
    ]
    assert waiting[0].decide_due_at > NOW
    arbiter = actor(reading, "caijue01")
    assert not arbiter.department_ids
    seen = {one.state: one for one in reading.scalars(select(Dispute))}
    assert set(seen) == {DisputeState.OPEN, DisputeState.RULED}
    assert seen[DisputeState.OPEN].due_at > NOW + timedelta(days=4)
    for dispute in seen.values():
        assert len(dispute_queries.dispute_for(reading, arbiter, dispute.id).positions) == 2
    ruled = reading.get_one(Ticket, seen[DisputeState.RULED].ticket_id)
    alike = reading.scalars(select(Ticket).where(Ticket.category_id == ruled.category_id, Ticket.id != ruled.id)).all()
    assert alike
    assert all(precedents.precedents_for(reading, one) for one in alike)


def test_every_role_has_its_shown_account_which_the_password_opens(reading: Session, city: City) -> None:
    from hotline.people.queries import knows_password, user

    for shown in (each for each in city.users if each.shown):
        account = user(reading, login=shown.login)
        assert account.role is shown.role
        assert not account.must_change_password
        assert knows_password(reading, user_id=account.id, password=PASSWORD)


def test_the_tree_of_matters_is_whole_and_most_tickets_hang_on_it(reading: Session) -> None:
    nodes = {node.id: node for node in reading.scalars(select(Category))}
    for node in nodes.values():
        if node.parent_id is None:
            assert node.level == 1
            assert node.path == node.name
        else:
            above = nodes[node.parent_id]
            assert node.level == above.level + 1
            assert node.path == f"{above.path} / {node.name}"
    corpus = seeds.load()
    assert {leaf.code for leaf in corpus.leaves} <= {node.code for node in nodes.values()}
    leads = {node.lead for node in nodes.values() if node.lead}
    assert leads - {"district"} <= set(reading.scalars(select(Department.code)))
    lit = reading.scalars(select(Category.code).join(Ticket, Ticket.category_id == Category.id)).all()
    assert len(lit) > 60
    lamps = select(Category.name).join(Ticket, Ticket.category_id == Category.id).where(Ticket.title.contains("路灯"))
    assert {name for name in reading.scalars(lamps) if "路灯" in name}


def test_two_inner_nodes_never_share_a_code() -> None:
    def leaf(code: str, *path: str) -> seeds.Leaf:
        return seeds.Leaf(
            code=code,
            path=path,
            first="",
            definition="",
            boundary="",
            lead="",
            assist=(),
            urgency="一般",
            sentences=(),
        )

    codes = inner_codes(
        [
            leaf("AB-0101", "甲", "乙", "丙"),
            leaf("AB-0102", "甲", "丁", "戊"),
            leaf("AB-0103", "甲", "乙", "己", "庚"),
        ]
    )
    assert codes == {("甲",): "AB", ("甲", "乙"): "AB-01", ("甲", "丁"): "AB-01A", ("甲", "乙", "己"): "AB-01B"}


def test_loading_into_a_city_with_people_is_refused_and_changes_nothing(loaded: Database, city: City) -> None:
    before = rows_of_all_tables(loaded)
    with pytest.raises(Conflict, match="空的数据库"):
        load(loaded, city, password=PASSWORD, now=LATER)
    assert rows_of_all_tables(loaded) == before


def test_a_load_that_is_interrupted_leaves_nothing_behind(db: Database, city: City) -> None:
    def stop(done: int, total: int) -> None:
        assert total == 160
        if done > BATCH:
            raise KeyboardInterrupt

    before = rows_of_all_tables(db)
    with pytest.raises(KeyboardInterrupt):
        load(db, city, password=PASSWORD, now=NOW, progress=stop)
    assert rows_of_all_tables(db) == before


def test_an_installation_with_people_is_left_alone(tools: Installation, database_url: str, now: datetime) -> None:
    from dataclasses import replace

    from tests.makers import make_user

    Keyring.load(tools.settings.keys, create=True)
    with tools.db.begin() as session:
        make_user(session, Role.ADMINISTRATOR, now=now)
    settings = replace(tools.settings, database_url=database_url)
    before = rows_of_all_tables(tools.db)
    assert load_if_empty(settings, password=PASSWORD) is False
    assert rows_of_all_tables(tools.db) == before
    assert set(before) == {table.name for table in Base.metadata.sorted_tables}


def test_the_real_model_speaks_about_the_citys_tickets(
    with_model: Installation, now: datetime, suggester: Suggester
) -> None:
    """A folder with a model is asked for; without one the city stays as people made it."""
    from hotline.demo.judged import ask_the_model
    from routing.learning import limits
    from routing.models import Suggestion

    load(with_model.db, data.load(), password=PASSWORD, now=now)
    assert ask_the_model(with_model) == 0
    (with_model.models / "any").mkdir(parents=True)
    (with_model.models / "any" / "manifest.json").write_text("{}", "utf-8")
    count = ask_the_model(with_model)
    with with_model.db.read() as session:
        rows = session.scalars(select(Suggestion)).all()
        assert len(rows) == count > 50
        assert {row.model_version for row in rows} == {suggester.version}
        assert not any(row.body["words"] for row in rows)
        # Where the story sent a ticket elsewhere for its own sake, no unit is kept to be compared with.
        assert 0.4 < sum(row.department_id is not None for row in rows) / count < 0.95
    # The card has something to draw, and what a newcomer sees there does not close automatic dispatch.
    with with_model.db.begin() as session:
        assert len(limits.trials(session, now=now)) > 20
        limits.watch(session, now=now)
        assert limits.current(session).get("", 0.0) <= limits.policy(session).least
