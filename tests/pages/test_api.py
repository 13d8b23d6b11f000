"""The programming interface: a whole life over HTTP, refusals as problem documents, keys that make retries harmless."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from hotline.core import clock
from hotline.core.permissions import SYSTEM, Role
from hotline.people.actions import issue_token
from hotline.tickets.models import Ticket
from hotline.tickets.queries import by_number, counters
from hotline.wiring import Installation
from routing.models import Membership
from tests.makers import count_queries, make_department, make_user

CONCERN = {
    "content": "建设路口的井盖破损已有三天，夜间车辆经过很危险，请尽快更换。",
    "phone": "13900001234",
    "channel": "phone",
}
FEEDBACK = {"internal_note": "已更换井盖一处。", "public_answer": "您好，破损井盖已于当日更换完毕，感谢您的监督。"}
HAPPY = {"replied": True, "solved": "solved", "process": "satisfied", "result": "satisfied"}


@dataclass
class City:
    client: FlaskClient
    tools: Installation
    tokens: dict[Role, str]
    department: str

    def post(self, role: Role, path: str, body: Any, **headers: str) -> TestResponse:
        return self.client.post(
            f"/api/v1{path}", json=body, headers={"Authorization": f"Bearer {self.tokens[role]}", **headers}
        )

    def get(self, role: Role, path: str) -> TestResponse:
        return self.client.get(f"/api/v1{path}", headers={"Authorization": f"Bearer {self.tokens[role]}"})


@pytest.fixture
def city(client: FlaskClient, tools: Installation, now: datetime) -> City:
    tokens: dict[Role, str] = {}
    with tools.db.begin() as session:
        department = make_department(session, "lighting")
        for role in (Role.OPERATOR, Role.DISPATCHER, Role.RESPONDER, Role.AUDITOR):
            user = make_user(session, role, now=now)
            tokens[role] = issue_token(session, name=role.value, role=role, user_id=user.id, by=SYSTEM, now=now)
            if role is Role.RESPONDER:
                session.add(Membership(user_id=user.id, department_id=department.id))
        tokens[Role.DEVICE] = issue_token(session, name="counter", role=Role.DEVICE, user_id=None, by=SYSTEM, now=now)
    return City(client=client, tools=tools, tokens=tokens, department="lighting")


def test_a_ticket_lives_its_whole_life_over_the_interface(city: City) -> None:
    made = city.post(Role.OPERATOR, "/tickets", CONCERN)
    assert made.status_code == 201, made.text
    number = made.json["number"]  # type: ignore[index]
    assert len(made.json["query_code"]) == 6  # type: ignore[index]
    assert city.post(Role.DISPATCHER, f"/tickets/{number}/dispatch", {"department": "lighting"}).status_code == 201
    assert city.post(Role.RESPONDER, f"/tickets/{number}/answer", FEEDBACK).status_code == 201
    closed = city.post(Role.AUDITOR, f"/tickets/{number}/callback", HAPPY)
    assert closed.json == {"number": number, "verdict": "close", "attempts": 1}
    shown = city.get(Role.OPERATOR, f"/tickets/{number}").get_json()
    assert (shown["state"], shown["outcome"]) == ("closed", "confirmed")
    assert [entry["act"] for entry in shown["timeline"]] == ["register", "dispatch", "sign", "answer", "confirm"]
    assert shown["phone"] == "*******1234"


def test_a_whole_life_asks_the_database_no_more_than_twenty_times(city: City) -> None:
    def live() -> int:
        with count_queries(city.tools.db) as sent:
            number = city.post(Role.OPERATOR, "/tickets", CONCERN).get_json()["number"]
            city.post(Role.DISPATCHER, f"/tickets/{number}/dispatch", {"department": "lighting"})
            city.post(Role.RESPONDER, f"/tickets/{number}/answer", FEEDBACK)
            closed = city.post(Role.AUDITOR, f"/tickets/{number}/callback", HAPPY)
        assert closed.get_json()["verdict"] == "close"
        return sent.count

    # Calendars, profiles and tokens are asked for in the first lives and remembered.
    assert [live() for _ in range(3)][-1] <= 20


def test_a_retried_post_with_the_same_key_gives_the_first_answer_and_writes_nothing(city: City) -> None:
    first = city.post(Role.OPERATOR, "/tickets", CONCERN, **{"Idempotency-Key": "call-1"}).get_json()
    second = city.post(Role.OPERATOR, "/tickets", CONCERN, **{"Idempotency-Key": "call-1"})
    assert second.status_code == 200
    assert second.get_json() == {**first, "again": True}
    with city.tools.db.read() as session:
        assert counters(session, ["tickets.all"]) == {"tickets.all": 1}


def test_a_key_that_was_used_for_other_content_is_refused(city: City) -> None:
    city.post(Role.OPERATOR, "/tickets", CONCERN, **{"Idempotency-Key": "call-1"})
    other = city.post(
        Role.OPERATOR, "/tickets", {**CONCERN, "content": "另一件事情，请处理一下。"}, **{"Idempotency-Key": "call-1"}
    )
    assert other.status_code == 409
    assert other.content_type == "application/problem+json"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"content": ""}, "content"),
        ({"content": "。。！？"}, "content"),
        ({"content": "字" * 33_000}, "content"),
        ({"phone": "12345678901234567890123"}, "phone"),
        ({"phone": "1390000"}, "phone"),
        ({"channel": "carrier pigeon"}, "channel"),
        ({"request_type": "吐槽"}, "request_type"),
        ({"urgency": "最急"}, "urgency"),
        ({"category": "NO-SUCH"}, "category"),
        ({"region": "000000"}, "region"),
        ({"id_number": "110101199003070000"}, "id_number"),
        ({"happened_at": "2999-01-01T00:00:00+08:00"}, "happened_at"),
        ({"happened_at": "2026-01-01T00:00:00"}, "happened_at"),
        ({"colour": "red"}, "colour"),
        ({"content": 7}, "content"),
    ],
)
def test_what_cannot_be_taken_is_told_by_field_and_nothing_is_written(
    city: City, change: dict[str, Any], field: str
) -> None:
    answer = city.post(Role.OPERATOR, "/tickets", {**CONCERN, **change})
    assert answer.status_code == 422, answer.text
    assert answer.content_type == "application/problem+json"
    assert list(answer.get_json(force=True)["errors"]) == [field]
    with city.tools.db.read() as session:
        assert counters(session, ["tickets.all"]) == {"tickets.all": 0}


def test_a_body_that_is_no_json_is_told_so(city: City) -> None:
    answer = city.client.post(
        "/api/v1/tickets", data=b"\xff\xfe{", headers={"Authorization": f"Bearer {city.tokens[Role.OPERATOR]}"}
    )
    assert answer.status_code == 422
    assert "JSON" in answer.text


@pytest.mark.parametrize("role", [Role.DISPATCHER, Role.RESPONDER, Role.AUDITOR, Role.DEVICE])
def test_only_those_who_may_register_register(city: City, role: Role) -> None:
    assert city.post(role, "/tickets", CONCERN).status_code == 403


def test_without_a_token_or_with_an_ended_one_nothing_opens(city: City) -> None:
    assert city.client.get("/api/v1/tickets").status_code == 401
    answer = city.client.get("/api/v1/tickets", headers={"Authorization": "Bearer wrong"})
    assert answer.status_code == 401


def test_a_department_sees_only_its_own_tickets_and_others_are_not_found(city: City) -> None:
    number = city.post(Role.OPERATOR, "/tickets", CONCERN).get_json()["number"]
    assert city.get(Role.RESPONDER, f"/tickets/{number}").status_code == 404
    assert city.get(Role.RESPONDER, "/tickets").get_json()["tickets"] == []
    city.post(Role.DISPATCHER, f"/tickets/{number}/dispatch", {"department": "lighting"})
    assert city.get(Role.RESPONDER, f"/tickets/{number}").status_code == 200
    assert [row["number"] for row in city.get(Role.RESPONDER, "/tickets").get_json()["tickets"]] == [number]


def test_two_dispatchers_at_once_are_told_who_was_first(city: City) -> None:
    number = city.post(Role.OPERATOR, "/tickets", CONCERN).get_json()["number"]
    version = city.get(Role.DISPATCHER, f"/tickets/{number}").get_json()["version"]
    body = {"department": "lighting", "version": version}
    assert city.post(Role.DISPATCHER, f"/tickets/{number}/dispatch", body).status_code == 201
    late = city.post(Role.DISPATCHER, f"/tickets/{number}/dispatch", body)
    assert late.status_code == 409
    assert late.get_json(force=True)["acts"] == ["dispatch"]


def test_a_bad_review_becomes_a_ticket_of_the_rated_unit_once(city: City) -> None:
    body = {
        "key": "r-1",
        "stars": 1,
        "service_item": "居住证办理",
        "department": "lighting",
        "words": "跑了三趟才办好，每次要的材料都不一样。",
        "rated_at": (clock.now() - timedelta(minutes=5)).isoformat(),
        "phone": "13900005678",
    }
    made = city.post(Role.DEVICE, "/reviews", body)
    assert made.status_code == 201, made.text
    again = city.post(Role.DEVICE, "/reviews", body)
    assert (again.status_code, again.get_json()["ticket"]) == (200, made.get_json()["ticket"])
    with city.tools.db.read() as session:
        ticket: Ticket = by_number(session, made.get_json()["ticket"])
        assert (ticket.kind.value, ticket.state.value) == ("bad_review", "dispatched")
        assert counters(session, ["tickets.bad_review.open"]) == {"tickets.bad_review.open": 1}
    assert city.post(Role.DEVICE, "/reviews", {**body, "key": "r-2", "stars": 5}).get_json() == {"ticket": None}
    assert city.post(Role.DEVICE, "/reviews", {**body, "key": "r-3", "stars": 9}).status_code == 422
    assert city.post(Role.DEVICE, "/reviews", {**body, "key": "r-4", "department": "x"}).status_code == 422


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.text(max_size=400), name=st.text(max_size=60), place=st.text(max_size=60))
def test_any_text_is_either_taken_whole_or_refused_by_field(city: City, content: str, name: str, place: str) -> None:
    answer = city.post(
        Role.OPERATOR, "/tickets", {"content": content, "name": name, "place": place, "phone": "13900001234"}
    )
    if answer.status_code == 201:
        shown = city.get(Role.OPERATOR, f"/tickets/{answer.get_json()['number']}")
        assert shown.status_code == 200
        assert "\x00" not in shown.get_json()["content"]
    else:
        assert answer.status_code == 422, answer.text
        assert set(answer.get_json(force=True)["errors"]) <= {"content", "name", "place", "body"}


@pytest.mark.parametrize(
    "text", ["'; DROP TABLE tickets; --", "<script>alert(1)</script>", "=HYPERLINK(1)", "😀路灯壞了請修理"]
)
def test_odd_texts_are_kept_as_they_are(city: City, text: str) -> None:
    content = f"{text} 请尽快处理一下这件事。"
    number = city.post(Role.OPERATOR, "/tickets", {**CONCERN, "content": content}).get_json()["number"]
    assert city.get(Role.OPERATOR, f"/tickets/{number}").get_json()["content"] == content
