"""Every decision of a person becomes an example, and the better founded one stands."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from hotline.core.permissions import SYSTEM, Role
from hotline.tickets import actions as tickets
from hotline.tickets.models import Ticket
from routing import actions as routing
from routing.duty import returning
from routing.learning import labels
from routing.learning.label_models import LabelTask, Provenance, TrainingLabel
from routing.models import Suggestion
from tests.makers import (
    answered_ticket,
    ask_return,
    dispatched_ticket,
    feedback,
    make_actor,
    make_category,
    make_department,
    register_ticket,
)


def standing(session: Session, ticket_id: int, task: LabelTask = LabelTask.DEPARTMENT) -> tuple[str, Provenance] | None:
    row = session.scalars(
        select(TrainingLabel).where(
            TrainingLabel.ticket_id == ticket_id, TrainingLabel.task == task, TrainingLabel.superseded_at.is_(None)
        )
    ).one_or_none()
    return (row.label, row.provenance) if row else None


def suggested(session: Session, ticket_id: int, *, department_id: int, category_id: int, now: datetime) -> None:
    routing.store_suggestion(
        session,
        Suggestion(
            ticket_id=ticket_id,
            model_version="v1",
            made_at=now,
            body={"request_type": [{"code": "投诉", "name": "投诉", "p": 0.8}]},
            category_id=category_id,
            department_id=department_id,
            probability=0.8,
            abstained=True,
        ),
        by=SYSTEM,
    )


def test_a_dispatch_that_agrees_with_the_model_is_an_accepted_example(session: Session, now: datetime) -> None:
    category, department = make_category(session), make_department(session)
    found = register_ticket(session, category_id=category.id, request_type="求助", now=now)
    suggested(session, found.ticket_id, department_id=department.id, category_id=category.id, now=now)
    by = make_actor(session, Role.DISPATCHER, now=now)
    routing.dispatch(session, ticket_id=found.ticket_id, version=None, department_id=department.id, by=by, now=now)
    assert standing(session, found.ticket_id) == (department.code, Provenance.ACCEPTED)
    assert standing(session, found.ticket_id, LabelTask.CATEGORY) == (category.code, Provenance.ACCEPTED)
    assert standing(session, found.ticket_id, LabelTask.REQUEST_TYPE) == ("求助", Provenance.CHANGED)
    row = session.scalars(select(TrainingLabel).where(TrainingLabel.task == LabelTask.DEPARTMENT)).one()
    assert (row.by_id, row.at, row.weight) == (by.user_id, now, 1.0)


def test_a_dispatch_elsewhere_is_a_changed_example_and_one_without_the_model_a_choice(
    session: Session, now: datetime
) -> None:
    category, right, wrong = make_category(session), make_department(session), make_department(session)
    found = register_ticket(session, now=now)
    suggested(session, found.ticket_id, department_id=wrong.id, category_id=category.id, now=now)
    by = make_actor(session, Role.DISPATCHER, now=now)
    routing.dispatch(session, ticket_id=found.ticket_id, version=None, department_id=right.id, by=by, now=now)
    assert standing(session, found.ticket_id) == (right.code, Provenance.CHANGED)
    assert standing(session, found.ticket_id, LabelTask.CATEGORY) is None
    alone = dispatched_ticket(session, right, now=now)
    assert standing(session, alone.id) == (right.code, Provenance.CHOSEN)


def test_the_machine_labels_nothing_until_the_department_answers(session: Session, now: datetime) -> None:
    department = make_department(session)
    found = register_ticket(session, now=now)
    routing.dispatch(
        session,
        ticket_id=found.ticket_id,
        version=None,
        department_id=department.id,
        automatic=True,
        by=SYSTEM,
        now=now,
    )
    assert standing(session, found.ticket_id) is None
    responder = make_actor(session, Role.RESPONDER, departments=[department], now=now)
    routing.answer(session, ticket_id=found.ticket_id, version=None, feedback=feedback(), by=responder, now=now)
    assert standing(session, found.ticket_id) == (department.code, Provenance.ANSWERED)


def test_an_answer_that_says_beyond_duty_confirms_nothing(session: Session, now: datetime) -> None:
    department = make_department(session)
    ticket = dispatched_ticket(session, department, now=now)
    responder = make_actor(session, Role.RESPONDER, departments=[department], now=now)
    routing.answer(
        session, ticket_id=ticket.id, version=None, feedback=feedback(beyond_duty=True), by=responder, now=now
    )
    assert standing(session, ticket.id) == (department.code, Provenance.CHOSEN)


def test_a_return_takes_the_first_choice_back_and_the_second_dispatch_weighs_more(
    session: Session, now: datetime
) -> None:
    wrong, right = make_department(session), make_department(session)
    ticket = dispatched_ticket(session, wrong, now=now)
    responder = make_actor(session, Role.RESPONDER, departments=[wrong], now=now)
    asked = ask_return(session, ticket, suggested=right, by=responder, now=now + timedelta(minutes=5))
    assert standing(session, ticket.id) == (right.code, Provenance.PROPOSED)
    later = now + timedelta(minutes=10)
    by = make_actor(session, Role.DISPATCHER, now=now)
    returning.uphold(session, return_id=asked.id, department_id=None, by=by, now=later)
    routing.dispatch(session, ticket_id=ticket.id, version=None, department_id=right.id, by=by, now=later)
    assert standing(session, ticket.id) == (right.code, Provenance.REDISPATCHED)
    history = session.scalars(
        select(TrainingLabel.provenance)
        .where(TrainingLabel.ticket_id == ticket.id, TrainingLabel.task == LabelTask.DEPARTMENT)
        .order_by(TrainingLabel.id)
    ).all()
    assert history == [Provenance.CHOSEN, Provenance.PROPOSED, Provenance.REDISPATCHED]


def test_a_return_that_was_examined_teaches_whose_duty_it_is(session: Session, now: datetime) -> None:
    wrong, right = make_department(session), make_department(session)
    responder = make_actor(session, Role.RESPONDER, departments=[wrong], now=now)
    reviewer = make_actor(session, Role.DISPATCHER, now=now)
    upheld, refused = (dispatched_ticket(session, wrong, now=now) for _ in range(2))
    first = ask_return(session, upheld, suggested=right, by=responder, now=now)
    returning.uphold(session, return_id=first.id, department_id=right.id, by=reviewer, now=now)
    assert standing(session, upheld.id) == (right.code, Provenance.RETURN_UPHELD)
    second = ask_return(session, refused, suggested=right, by=responder, now=now)
    returning.refuse(session, return_id=second.id, words="职责明确。", by=reviewer, now=now)
    assert standing(session, refused.id) == (wrong.code, Provenance.RETURN_REFUSED)


def test_an_upheld_return_outweighs_what_an_operator_chose_whenever_he_chose_it(
    session: Session, now: datetime
) -> None:
    first, right = make_department(session), make_department(session)
    ticket = dispatched_ticket(session, first, now=now)
    by = make_actor(session, Role.SUPERVISOR, now=now)
    upheld = labels.record(
        session,
        ticket_id=ticket.id,
        task=LabelTask.DEPARTMENT,
        label=right.code,
        provenance=Provenance.RETURN_UPHELD,
        by=by,
        now=now + timedelta(hours=1),
    )
    assert upheld.weight > 1
    late = labels.record(
        session,
        ticket_id=ticket.id,
        task=LabelTask.DEPARTMENT,
        label=first.code,
        provenance=Provenance.CHOSEN,
        by=by,
        now=now + timedelta(hours=2),
    )
    assert late.superseded_at == now + timedelta(hours=2)
    assert standing(session, ticket.id) == (right.code, Provenance.RETURN_UPHELD)
    labels.contest(session, ticket_id=ticket.id, task=LabelTask.DEPARTMENT, now=now + timedelta(hours=3))
    assert standing(session, ticket.id) == (right.code, Provenance.RETURN_UPHELD)
    labels.record(
        session,
        ticket_id=ticket.id,
        task=LabelTask.DEPARTMENT,
        label=first.code,
        provenance=Provenance.RULED,
        by=by,
        now=now + timedelta(hours=4),
    )
    assert standing(session, ticket.id) == (first.code, Provenance.RULED)


def test_a_decision_that_only_repeats_itself_is_kept_once(session: Session, now: datetime) -> None:
    department = make_department(session)
    ticket = answered_ticket(session, department, now=now)
    by = make_actor(session, Role.RESPONDER, departments=[department], now=now)
    before = session.scalars(select(TrainingLabel.id).where(TrainingLabel.ticket_id == ticket.id)).all()
    again = labels.record(
        session,
        ticket_id=ticket.id,
        task=LabelTask.DEPARTMENT,
        label=department.code,
        provenance=Provenance.ANSWERED,
        by=by,
        now=now + timedelta(days=1),
    )
    session.flush()
    assert again.again
    assert session.scalars(select(TrainingLabel.id).where(TrainingLabel.ticket_id == ticket.id)).all() == before


def test_a_corrected_category_is_an_example_and_a_corrected_title_is_not(session: Session, now: datetime) -> None:
    old, new = make_category(session, name="路灯"), make_category(session, name="井盖")
    found = register_ticket(session, category_id=old.id, now=now)
    by = make_actor(session, Role.SUPERVISOR, now=now)
    ticket = session.get_one(Ticket, found.ticket_id)

    def amend(**changes: object) -> None:
        tickets.amend(
            session, ticket_id=ticket.id, version=ticket.version, changes=changes, reason="更正", by=by, now=now
        )
        session.flush()

    amend(title="新的标题", category_id=old.id)
    assert standing(session, ticket.id, LabelTask.CATEGORY) is None
    amend(category_id=new.id, request_type="投诉")
    assert standing(session, ticket.id, LabelTask.CATEGORY) == (new.code, Provenance.AMENDED)
    assert standing(session, ticket.id, LabelTask.REQUEST_TYPE) == ("投诉", Provenance.AMENDED)


def test_every_provenance_has_its_standing_and_a_finding_outweighs_every_choice() -> None:
    assert set(labels.STANDING) == set(Provenance)
    findings = {Provenance.RETURN_UPHELD, Provenance.RETURN_REFUSED, Provenance.AUDITED, Provenance.RULED}
    lowest = min(labels.STANDING[one].rank for one in findings)
    assert all(labels.STANDING[one].rank < lowest for one in set(Provenance) - findings)


def test_the_database_keeps_one_standing_label_for_each_task(session: Session, now: datetime) -> None:
    ticket = dispatched_ticket(session, make_department(session), now=now)
    session.add(
        TrainingLabel(
            ticket_id=ticket.id,
            task=LabelTask.DEPARTMENT,
            label="another",
            provenance=Provenance.CHOSEN,
            weight=1.0,
            at=now,
        )
    )
    with pytest.raises(IntegrityError, match="uq_training_labels_current"):
        session.flush()
