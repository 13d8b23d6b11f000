"""Lets the real model say what it thinks of the city's tickets, so that a newcomer finds the model's pages alive."""

from __future__ import annotations

from sqlalchemy import select

from hotline.core.db import keyring_of
from hotline.core.permissions import SYSTEM
from hotline.tickets.models import Category, Ticket
from hotline.wiring import Installation
from routing import actions
from routing.models import Suggestion
from routing.suggesting import told


def ask_the_model(tools: Installation) -> int:
    """Keep a suggestion for every ticket of the city that people have sent out; returns how many.

    Only with a model that is there already: nothing is trained for it. The people of the stories decided without it, so
    their labels stay what they are; the card compares both. No department is kept: the stories send tickets to
    places, streets and firms for the story's sake, and that must not close automatic dispatch to a newcomer
    (routing/learning/selective.py).
    """
    if not any(tools.models.glob("*/manifest.json")):
        return 0
    suggester = tools.suggester
    if suggester.model is None:
        return 0
    with tools.db.begin() as session:
        codes = {row.code: row.id for row in session.execute(select(Category.code, Category.id))}
        tickets = session.scalars(select(Ticket).where(Ticket.dispatched_at.is_not(None)).order_by(Ticket.id)).all()
        for ticket in tickets:
            opened = keyring_of(session).open(ticket.personal_sealed)
            said = suggester.suggest(
                opened.get("title", ticket.title), opened.get("content", ticket.content), at=ticket.registered_at
            )
            actions.store_suggestion(
                session,
                Suggestion(
                    ticket_id=ticket.id,
                    model_version=said.model_version,
                    made_at=ticket.registered_at,
                    body={**told(said), "words": []},
                    category_id=codes.get(said.category.best.label) if said.category.best else None,
                    probability=round(said.departments.lead[0].probability, 6) if said.departments.lead else 0.0,
                    abstained=True,
                    reason="演示城市的工单由人工派单。",
                    decided_at=ticket.dispatched_at,
                ),
                by=SYSTEM,
            )
    return len(tickets)
