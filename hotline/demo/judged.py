"""Lets the real model say what it thinks of the city's tickets, so that a newcomer finds the model's pages alive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from hotline.core.db import keyring_of
from hotline.core.permissions import SYSTEM
from hotline.tickets.models import Category, Ticket
from hotline.wiring import Installation
from routing import actions
from routing.learning.label_models import LabelTask, TrainingLabel
from routing.models import Department, Suggestion
from routing.suggesting import territorial_department, told

_DISTRICT: Final = "district"


def ask_the_model(tools: Installation) -> int:
    """Keep a suggestion for every ticket of the city that people have sent out; returns how many.

    Only with a model that is there already: nothing is trained for it. The people of the stories decided without it, so
    their labels stay what they are; the card compares both. The department is kept where people sent the ticket to the
    unit that leads its category: elsewhere the story wanted a place, a street or a firm for its own sake, and that must
    not close automatic dispatch to a newcomer (routing/learning/selective.py).
    """
    if not any(tools.models.glob("*/manifest.json")):
        return 0
    suggester = tools.suggester
    if suggester.model is None:
        return 0
    with tools.db.begin() as session:
        categories = session.scalars(select(Category)).all()
        codes = {row.code: row.id for row in categories}
        leads = {row.id: row.lead for row in categories}
        departments = {row.code: row for row in session.scalars(select(Department))}
        labels = session.execute(
            select(TrainingLabel.ticket_id, TrainingLabel.label).where(
                TrainingLabel.task == LabelTask.DEPARTMENT, TrainingLabel.superseded_at.is_(None)
            )
        )
        decided = {row.ticket_id: row.label for row in labels}
        tickets = session.scalars(select(Ticket).where(Ticket.dispatched_at.is_not(None)).order_by(Ticket.id)).all()
        for ticket in tickets:
            opened = keyring_of(session).open(ticket.personal_sealed)
            said = suggester.suggest(
                opened.get("title", ticket.title), opened.get("content", ticket.content), at=ticket.registered_at
            )
            said_unit = (
                _unit(session, said.departments.lead[0].label, ticket, departments) if said.departments.lead else None
            )
            leading = _unit(session, leads.get(ticket.category_id or 0, ""), ticket, departments)
            plain = leading is not None and leading.code == decided.get(ticket.id)
            actions.store_suggestion(
                session,
                Suggestion(
                    ticket_id=ticket.id,
                    model_version=said.model_version,
                    made_at=ticket.registered_at,
                    body={**told(said), "words": []},
                    category_id=codes.get(said.category.best.label) if said.category.best else None,
                    department_id=said_unit.id if said_unit and plain else None,
                    probability=round(said.departments.lead[0].probability, 6) if said.departments.lead else 0.0,
                    abstained=True,
                    reason="演示城市的工单由人工派单。",
                    decided_at=ticket.dispatched_at,
                ),
                by=SYSTEM,
            )
    return len(tickets)


def _unit(session: Session, code: str, ticket: Ticket, departments: Mapping[str, Department]) -> Department | None:
    """Return the unit of a code; "the government of the place" is the one that the region belongs to."""
    return territorial_department(session, ticket.region_id) if code == _DISTRICT else departments.get(code)
