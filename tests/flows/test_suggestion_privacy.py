"""What is kept of a suggestion gives nobody away (domain.md 7)."""

from __future__ import annotations

import json
from datetime import datetime

from sqlalchemy import select
from typing_extensions import override

from classifier.explanations import Highlight
from classifier.personal import NAME, PersonalSpan
from classifier.suggest import Answer, Candidate, Suggester, Suggestions
from hotline.core.db import Database
from hotline.tickets.models import Ticket
from routing.models import Suggestion
from routing.suggesting import suggest_department
from tests.makers import register_ticket


class Telltale(Suggester):
    """A suggester whose telling words are exactly those that must not be kept."""

    @override
    def suggest(self, title: str, body: str, *, at: datetime | None = None) -> Suggestions:
        words = ["路灯", "李建国", "13912345678", "东山小区3栋", "王小明"]
        return Suggestions(
            model_version="telltale",
            category=Answer(candidates=(Candidate(label="X", name="X", probability=0.9),)),
            personal=(
                PersonalSpan(
                    field="body", start=body.index("李建国"), end=body.index("李建国") + 3, text="李建国", kind=NAME
                ),
            ),
            highlights=tuple(
                Highlight(field="body", start=body.index(word), end=body.index(word) + len(word), text=word, weight=0.2)
                for word in words
                if word in body
            ),
        )


def test_no_name_number_or_home_stands_among_the_words_of_a_suggestion(db: Database, now: datetime) -> None:
    with db.begin() as session:
        found = register_ticket(
            session,
            content="我叫李建国，电话13912345678，家住东山小区3栋，邻居王小明也知道，门口的路灯坏了一个星期。",
            name="王小明",
            now=now,
        )
    with db.begin() as session:
        suggest_department(session, found.ticket_id, suggester=Telltale(None, version="telltale"), now=now)
    with db.read() as session:
        row = session.scalars(select(Suggestion)).one()
        stored = session.get_one(Ticket, found.ticket_id)
    assert [word["text"] for word in row.body["words"]] == ["路灯"]
    assert "李建国" not in json.dumps(row.body, ensure_ascii=False)
    assert "13912345678" not in stored.content
