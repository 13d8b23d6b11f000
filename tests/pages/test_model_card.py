"""The model card as page and download, and the audit of doubtful examples."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from hotline.core import clock
from hotline.core.permissions import Role
from hotline.wiring import Installation
from routing.learning import labels
from routing.learning.label_models import LabelTask, Provenance, TrainingLabel
from routing.models import Suggestion
from tests.makers import make_actor, make_category, make_department, make_user, register_ticket, sign_in


@pytest.fixture(autouse=True)
def _at_one_instant(monkeypatch: pytest.MonkeyPatch, now: datetime) -> None:
    monkeypatch.setattr(clock, "now", lambda: now)


@pytest.fixture
def chief(client: FlaskClient, tools: Installation, now: datetime) -> FlaskClient:
    with tools.db.begin() as session:
        make_user(session, Role.SUPERVISOR, login="chief.one", now=now)
    sign_in(client, "chief.one")
    return client


@pytest.fixture
def city(tools: Installation, now: datetime) -> dict[str, int]:
    """Thirty suggestions over four weeks, five of which people decided otherwise; number of a wrong one by key."""
    found: dict[str, int] = {}
    with tools.db.begin() as session:
        lamps, covers = make_category(session, "DL-0001", name="路灯"), make_category(session, "DL-0002", name="井盖")
        department = make_department(session)
        by = make_actor(session, Role.OPERATOR, now=now)
        for number in range(30):
            at = now - timedelta(days=number)
            wrong = number % 6 == 0
            ticket = register_ticket(session, by=by, title=f"第 {number} 处井盖破损" if wrong else "路灯不亮", now=at)
            session.add(
                Suggestion(
                    ticket_id=ticket.ticket_id,
                    model_version="v1",
                    made_at=at,
                    body={"category": [{"code": lamps.code, "name": "路灯", "p": 0.92 if wrong else 0.8}]},
                    category_id=lamps.id,
                    department_id=department.id,
                    probability=0.92,
                    abstained=False,
                )
            )
            for task, label in (
                (LabelTask.CATEGORY, (covers if wrong else lamps).code),
                (LabelTask.DEPARTMENT, department.code),
            ):
                labels.record(
                    session,
                    ticket_id=ticket.ticket_id,
                    task=task,
                    label=label,
                    provenance=Provenance.CHOSEN,
                    by=by,
                    now=at,
                )
            if wrong:
                found[f"wrong{number}"] = ticket.ticket_id
    return found


def test_an_empty_card_says_what_will_stand_there(chief: FlaskClient) -> None:
    page = chief.get("/model/card")
    assert page.status_code == 200
    assert "还没有可比的结论" in page.text
    assert json.loads(chief.get("/model/card.json").data)["in_use"]["messages"] == 0


def test_the_card_shows_and_hands_out_the_same_figures(chief: FlaskClient, city: dict[str, int]) -> None:
    assert len(city) == 5
    page = chief.get("/model/card").text
    assert "25 / 30 件" in page
    assert page.count("<svg viewBox") >= 4
    assert "style=" not in page.split("<main")[1]
    answer = chief.get("/model/card.json")
    assert "attachment" in answer.headers["Content-Disposition"]
    body = json.loads(answer.data)
    assert (body["in_use"]["accuracy"]["hits"], body["in_use"]["messages"]) == (25, 30)
    # Every error was surer than every right answer, so no threshold helps; a word does.
    assert "标题含“井盖”的有 5 件" in page or "标题含“破损”的有 5 件" in page
    # A download carries figures and codes, no words of anybody's title.
    assert "井盖破损" not in answer.text


def test_a_doubtful_example_is_settled_with_one_form_and_leaves_the_list(
    chief: FlaskClient, tools: Installation, city: dict[str, int]
) -> None:
    page = chief.get("/model/audit").text
    assert page.count('name="choice" value="keep"') == 5
    first = city["wrong0"]
    done = chief.post(
        f"/model/audit/{first}",
        data={"choice": "said", "seen": "DL-0002", "said": "DL-0001"},
        headers={"HX-Request": "true"},
    )
    assert done.status_code == 200
    assert "已定为“路灯”" in done.text
    assert chief.post(f"/model/audit/{city['wrong6']}", data={"choice": "keep", "seen": "DL-0002"}).status_code == 303
    assert chief.post(f"/model/audit/{city['wrong12']}", data={"choice": "unfit", "seen": "DL-0002"}).status_code == 303
    assert chief.get("/model/audit").text.count('name="choice" value="keep"') == 2
    with tools.db.read() as session:
        rows = session.execute(
            select(TrainingLabel.ticket_id, TrainingLabel.label, TrainingLabel.provenance).where(
                TrainingLabel.task == LabelTask.CATEGORY,
                TrainingLabel.superseded_at.is_(None),
                TrainingLabel.ticket_id.in_([first, city["wrong6"], city["wrong12"]]),
            )
        ).all()
    assert sorted(rows) == sorted(
        [(first, "DL-0001", Provenance.AUDITED), (city["wrong6"], "DL-0002", Provenance.AUDITED)]
    )


def test_what_somebody_else_settled_is_not_settled_twice(chief: FlaskClient, city: dict[str, int]) -> None:
    where = f"/model/audit/{city['wrong0']}"
    assert chief.post(where, data={"choice": "keep", "seen": "DL-0002"}).status_code == 303
    again = chief.post(where, data={"choice": "said", "seen": "DL-0002", "said": "DL-0001"})
    assert again.status_code == 409
    assert "已有定论" in again.text
    other = f"/model/audit/{city['wrong6']}"
    assert chief.post(other, data={"choice": "said", "seen": "DL-0001", "said": "DL-0001"}).status_code == 409
    assert chief.post(other, data={"choice": "other", "seen": "DL-0002", "other": "nowhere"}).status_code == 422
    assert chief.post(other, data={"choice": "other", "seen": "DL-0002", "other": ""}).status_code == 422
    assert chief.post("/model/audit/999999", data={"choice": "keep", "seen": "DL-0002"}).status_code == 404
