"""The promise is watched in use: returns tighten, people hear of it, evidence or a person loosens."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from hotline.core.errors import Conflict, Denied, Invalid, NotFound
from hotline.core.permissions import SYSTEM, Role
from hotline.tickets.models import Category, Ticket
from routing import actions as routing
from routing.learning import labels, limits
from routing.learning.label_models import LabelTask, Provenance
from routing.learning.limit_models import DispatchLimit
from routing.learning.models import LearningAct, LearningEntry
from routing.learning.selective import ALL, LimitState
from routing.models import Department, Suggestion
from tests.makers import make_actor, make_category, make_department, register_ticket


def dispatched(
    session: Session,
    outcomes: Sequence[bool],
    *,
    category: Category,
    right: Department,
    wrong: Department,
    now: datetime,
    probability: float = 0.95,
) -> None:
    """Let the machine send a ticket for each outcome, and people say later whether that was right."""
    by = make_actor(session, Role.OPERATOR, now=now)
    for good in outcomes:
        found = register_ticket(session, by=by, category_id=category.id, now=now)
        session.add(
            Suggestion(
                ticket_id=found.ticket_id,
                model_version="v1",
                made_at=now,
                body={},
                category_id=category.id,
                department_id=(right if good else wrong).id,
                probability=probability,
                abstained=False,
            )
        )
        labels.record(
            session,
            ticket_id=found.ticket_id,
            task=LabelTask.DEPARTMENT,
            label=right.code,
            provenance=Provenance.ANSWERED,
            by=by,
            now=now,
        )
    session.flush()


def test_a_new_city_begins_with_what_the_administrator_set(session: Session, now: datetime) -> None:
    assert limits.watch(session, now=now) == []
    (row,) = limits.rows(session)
    assert (row.scope, row.limit, row.state, row.name) == (ALL, 0.9, LimitState.UNPROVEN, "全部类别")
    assert session.scalars(select(LearningEntry)).all() == []


def test_too_many_wrong_dispatches_tighten_the_limit_and_tell_the_administrator(
    session: Session, now: datetime
) -> None:
    category, right, wrong = make_category(session), make_department(session), make_department(session)
    dispatched(session, [True] * 40 + [False] * 8, category=category, right=right, wrong=wrong, now=now)
    changed = limits.watch(session, now=now)
    assert {one.scope for one in changed} == {category.code}
    assert limits.policy(session).limit_for(category.code) > 0.95
    assert limits.policy(session).limit_for("another") == 0.9
    alarms = session.scalars(select(LearningEntry).where(LearningEntry.alarm)).all()
    assert [one.act for one in alarms] == [LearningAct.TIGHTENED]
    assert any("8 件派错" in one.words for one in alarms)
    # Looking again without news changes nothing and tells nobody twice.
    assert limits.watch(session, now=now + timedelta(minutes=10)) == []
    assert len(session.scalars(select(LearningEntry)).all()) == len(alarms)


def test_errors_scattered_over_many_categories_tighten_the_limit_for_all(session: Session, now: datetime) -> None:
    right, wrong = make_department(session), make_department(session)
    for _ in range(6):
        category = make_category(session)
        dispatched(session, [True] * 7 + [False], category=category, right=right, wrong=wrong, now=now)
    (changed,) = limits.watch(session, now=now)
    assert changed.scope == ALL
    assert limits.policy(session).limit_for("any") > 0.95


def test_a_proposal_of_a_returning_department_is_no_verdict(session: Session, now: datetime) -> None:
    category, right, wrong = make_category(session), make_department(session), make_department(session)
    found = register_ticket(session, now=now)
    session.add(
        Suggestion(
            ticket_id=found.ticket_id,
            model_version="v1",
            made_at=now,
            body={},
            category_id=category.id,
            department_id=wrong.id,
            probability=0.95,
            abstained=False,
        )
    )
    labels.record(
        session,
        ticket_id=found.ticket_id,
        task=LabelTask.DEPARTMENT,
        label=right.code,
        provenance=Provenance.PROPOSED,
        by=SYSTEM,
        now=now,
    )
    session.flush()
    assert limits.trials(session, now=now) == []


def test_an_upheld_return_counts_against_the_machine_and_a_refused_one_for_it(session: Session, now: datetime) -> None:
    category, right, wrong = make_category(session), make_department(session), make_department(session)
    dispatched(session, [True], category=category, right=right, wrong=wrong, now=now)
    (trial,) = limits.trials(session, now=now)
    assert trial.right
    ticket = session.scalars(select(Ticket)).one()
    labels.record(
        session,
        ticket_id=ticket.id,
        task=LabelTask.DEPARTMENT,
        label=wrong.code,
        provenance=Provenance.RETURN_UPHELD,
        by=SYSTEM,
        now=now,
    )
    session.flush()
    (trial,) = limits.trials(session, now=now)
    assert not trial.right
    assert limits.trials(session, now=now + timedelta(days=91)) == []


def test_a_person_loosens_with_a_reason_and_the_record_begins_anew(session: Session, now: datetime) -> None:
    category, right, wrong = make_category(session), make_department(session), make_department(session)
    dispatched(session, [True] * 40 + [False] * 8, category=category, right=right, wrong=wrong, now=now)
    limits.watch(session, now=now)
    admin = make_actor(session, Role.ADMINISTRATOR, now=now)
    later = now + timedelta(hours=1)
    with pytest.raises(Invalid):
        limits.loosen(session, scope=ALL, reason=" ", by=admin, now=later)
    with pytest.raises(Denied):
        limits.loosen(session, scope=ALL, reason="x", by=make_actor(session, Role.SUPERVISOR, now=now), now=later)
    with pytest.raises(NotFound):
        limits.loosen(session, scope="none", reason="x", by=admin, now=later)
    limits.loosen(session, scope=category.code, reason="目录已更正", by=admin, now=later)
    session.flush()
    for scope in (ALL, category.code):
        with pytest.raises(Conflict):
            limits.loosen(session, scope=scope, reason="再来", by=admin, now=later)
    assert limits.policy(session).limit_for(category.code) == 0.9
    assert limits.watch(session, now=later + timedelta(minutes=10)) == []
    assert limits.policy(session).limit_for(category.code) == 0.9
    history = session.scalars(
        select(DispatchLimit).where(DispatchLimit.scope == category.code).order_by(DispatchLimit.id)
    ).all()
    assert [row.is_current for row in history] == [False, True]
    assert history[-1].by_id == admin.user_id


def test_what_is_sent_by_hand_is_a_trial_as_well(session: Session, now: datetime) -> None:
    category, department = make_category(session), make_department(session)
    found = register_ticket(session, category_id=category.id, now=now)
    session.add(
        Suggestion(
            ticket_id=found.ticket_id,
            model_version="v1",
            made_at=now,
            body={},
            category_id=category.id,
            department_id=department.id,
            probability=0.93,
            abstained=True,
        )
    )
    by = make_actor(session, Role.DISPATCHER, now=now)
    routing.dispatch(session, ticket_id=found.ticket_id, version=None, department_id=department.id, by=by, now=now)
    session.flush()
    (trial,) = limits.trials(session, now=now)
    assert (trial.category, trial.probability, trial.right) == (category.code, 0.93, True)
