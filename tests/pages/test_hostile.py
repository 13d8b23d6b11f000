"""Whoever sends what no form of ours sends is told so: never an unexpected error, never a half-written act."""

from __future__ import annotations

import io
import threading
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from hotline.core.permissions import SYSTEM, Role
from hotline.people.actions import issue_token
from hotline.tickets.models import Ticket
from hotline.tickets.queries import counters
from hotline.wiring import Installation
from routing.models import Membership
from tests.forms import Page
from tests.makers import dispatched_ticket, make_department, make_user, sign_in

BEYOND = "9" * 23
CONCERN: dict[str, object] = {
    "content": "建设路口的井盖破损已有三天，夜间车辆经过很危险，请尽快更换。",
    "phone": "13900001234",
}


@pytest.fixture
def number(tools: Installation, now: datetime) -> str:
    """A ticket in the hands of one department, and an account for each role; the responder is of another department."""
    with tools.db.begin() as session:
        department, other = make_department(session), make_department(session)
        for role in (Role.OPERATOR, Role.DISPATCHER, Role.RESPONDER, Role.AUDITOR, Role.ADMINISTRATOR):
            user = make_user(session, role, login=role.value, now=now)
            if role is Role.RESPONDER:
                session.add(Membership(user_id=user.id, department_id=other.id))
        return dispatched_ticket(session, department, now=now).number


def at_once(app: Flask, path: str, bodies: Sequence[dict[str, object]], headers: dict[str, str]) -> Counter[int]:
    """Send all bodies at the same moment and count the answers by status."""
    start, statuses = threading.Barrier(len(bodies)), list[int]()

    def send(body: dict[str, object]) -> None:
        client = app.test_client()
        start.wait(20)
        statuses.append(client.post(path, json=body, headers=headers).status_code)

    threads = [threading.Thread(target=send, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return Counter(statuses)


@pytest.mark.parametrize(
    ("role", "path"),
    [
        (Role.OPERATOR, "/tickets/%00"),
        (Role.OPERATOR, "/tickets/%00/print"),
        (Role.OPERATOR, "/tickets/%00/edit"),
        (Role.OPERATOR, "/tickets/%ff%fe"),
        (Role.OPERATOR, "/tickets/%2e%2e%2fetc"),
        (Role.OPERATOR, f"/tickets/{{number}}/files/{BEYOND}"),
        (Role.OPERATOR, "/intake/done/%00"),
        (Role.RESPONDER, "/department/%00"),
        (Role.RESPONDER, "/department/{number}"),
        (Role.RESPONDER, "/tickets/{number}"),
        (Role.RESPONDER, "/tickets/{number}/print"),
        (Role.AUDITOR, f"/callbacks/{BEYOND}"),
        (Role.AUDITOR, "/reviews/%00"),
        (Role.DISPATCHER, "/dispatch/%00"),
        (Role.ADMINISTRATOR, "/admin/users/%00"),
        (Role.ADMINISTRATOR, "/admin/categories/%00"),
        (Role.ADMINISTRATOR, f"/admin/departments/{BEYOND}"),
    ],
)
def test_an_address_that_names_nothing_or_nothing_of_mine_is_not_found(
    client: FlaskClient, number: str, role: Role, path: str
) -> None:
    sign_in(client, role.value)
    assert client.get(path.format(number=number)).status_code == 404


def test_a_programs_address_that_names_nothing_is_not_found(
    client: FlaskClient, tools: Installation, number: str, now: datetime
) -> None:
    with tools.db.begin() as session:
        user = make_user(session, Role.OPERATOR, now=now)
        token = issue_token(session, name="t", role=Role.OPERATOR, user_id=user.id, by=SYSTEM, now=now)
    answer = client.get("/api/v1/tickets/%00", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.content_type) == (404, "application/problem+json")


@pytest.mark.parametrize(
    "asked",
    ["from=9999-12-31&to=9999-12-31", "to=0001-01-01", "category=%00", f"department={BEYOND}", "cursor=%00", "due=x"],
)
def test_a_query_that_cannot_be_is_told_on_its_own_page(client: FlaskClient, number: str, asked: str) -> None:
    sign_in(client, Role.OPERATOR.value)
    answer = client.get(f"/tickets?{asked}")
    assert answer.status_code == 422
    assert "全部工单" in answer.text


@pytest.mark.parametrize(
    "words", ["%00%00", "%27%22%5C", "%ff%fe%ff", "%26%7C!(", "%E8%B7%AF" * 300, "%E2%80%AE%F0%9F%98%80"]
)
def test_odd_words_are_searched_for_or_refused_and_break_nothing(client: FlaskClient, number: str, words: str) -> None:
    sign_in(client, Role.OPERATOR.value)
    assert client.get(f"/tickets?words={words}").status_code in {200, 422}


def test_a_zero_byte_in_a_form_is_told_and_nothing_is_written(
    client: FlaskClient, tools: Installation, number: str
) -> None:
    assert client.post("/sign-in", data={"login": "op\0erator", "password": "x"}).status_code == 422
    sign_in(client, Role.OPERATOR.value)
    answer = client.post(f"/tickets/{number}/note", data={"note": "甲\0乙"})
    assert answer.status_code in {303, 422}
    with tools.db.read() as session:
        kept = session.execute(text("SELECT count(*) FROM journal WHERE act = 'note'")).scalar_one()
    assert kept == (1 if answer.status_code == 303 else 0)


def test_files_of_another_kind_than_they_say_or_too_large_are_refused_with_their_name(
    client: FlaskClient, number: str
) -> None:
    sign_in(client, Role.OPERATOR.value)
    for name, content in (
        ("../../etc/照片.png", b"<script>alert(1)</script>"),
        ("图.svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>'),
        ("说明.pdf", b"MZ" + bytes(200)),
    ):
        data = {"files": (io.BytesIO(content), name)}
        answer = client.post(f"/tickets/{number}/files", data=data, content_type="multipart/form-data")
        assert answer.status_code == 422
        assert name.rpartition("/")[2] in answer.text
        assert "etc/" not in answer.text
    whole = {"files": (io.BytesIO(b"a"), "片.mp4")}
    for path in ("/submit", f"/tickets/{number}/files"):
        too_long = {"CONTENT_LENGTH": "70000000"}
        answer = client.post(path, data=whole, content_type="multipart/form-data", environ_overrides=too_long)
        assert answer.status_code == 413
        whole = {"files": (io.BytesIO(b"a"), "片.mp4")}


@pytest.mark.parametrize(
    "path", ["/tickets/{number}/reveal?what=phone", "/tickets/{number}/note", "/tickets/{number}/files"]
)
def test_a_department_cannot_touch_the_ticket_of_another(client: FlaskClient, number: str, path: str) -> None:
    sign_in(client, Role.RESPONDER.value)
    assert client.post(path.format(number=number), data={"note": "看看"}).status_code == 404


def test_a_form_without_its_token_is_refused(app: Flask, client: FlaskClient, number: str) -> None:
    sign_in(client, Role.OPERATOR.value)
    app.config["WTF_CSRF_ENABLED"] = True
    assert client.post(f"/tickets/{number}/note", data={"note": "别的网站"}).status_code == 400
    assert client.post("/sign-out").status_code == 400
    assert app.test_client().post("/sign-in", data={"login": "operator", "password": "x"}).status_code == 400


def test_signing_in_gives_a_new_cookie_and_signing_out_makes_the_old_one_worthless(
    app: Flask, client: FlaskClient, number: str
) -> None:
    sign_in(client, Role.OPERATOR.value)
    cookie = client.get_cookie("hotline")
    assert cookie is not None
    thief = app.test_client()
    thief.set_cookie("hotline", cookie.value)
    assert thief.get("/tickets").status_code == 200
    client.post("/sign-out")
    assert thief.get("/tickets").status_code == 302


def test_twenty_times_the_same_key_at_once_is_one_ticket(
    app: Flask, tools: Installation, number: str, now: datetime
) -> None:
    with tools.db.begin() as session:
        user = make_user(session, Role.OPERATOR, now=now)
        token = issue_token(session, name="t", role=Role.OPERATOR, user_id=user.id, by=SYSTEM, now=now)
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "one-call"}
    assert at_once(app, "/api/v1/tickets", [CONCERN] * 20, headers) == {201: 1, 200: 19}
    with tools.db.read() as session:
        assert counters(session, ["tickets.all"]) == {"tickets.all": 2}


def test_of_many_answers_at_once_one_is_kept(app: Flask, tools: Installation, now: datetime) -> None:
    with tools.db.begin() as session:
        department = make_department(session)
        user = make_user(session, Role.RESPONDER, now=now)
        session.add(Membership(user_id=user.id, department_id=department.id))
        token = issue_token(session, name="t", role=Role.RESPONDER, user_id=user.id, by=SYSTEM, now=now)
        ticket = dispatched_ticket(session, department, now=now)
    bodies: list[dict[str, object]] = [
        {"internal_note": f"第{each}次", "public_answer": f"您好，井盖已更换，这是第{each}次答复。"}
        for each in range(8)
    ]
    path = f"/api/v1/tickets/{ticket.number}/answer"
    assert at_once(app, path, bodies, {"Authorization": f"Bearer {token}"}) == {201: 1, 409: 7}
    with tools.db.read() as session:
        assert session.get_one(Ticket, ticket.id).state == "answered"
        assert session.execute(text("SELECT count(*) FROM callbacks")).scalar_one() == 1


def test_health_asks_the_database_and_does_not_trust_a_connection_that_lies_ready(
    client: FlaskClient, tools: Installation, database_url: str
) -> None:
    assert client.get("/health").status_code == 200
    with psycopg.connect(database_url.replace("+psycopg", "")) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert client.get("/health").status_code == 503
    assert client.get("/health").status_code == 200


def test_what_was_typed_is_given_back_when_the_sign_in_has_ended_meanwhile(
    client: FlaskClient, tools: Installation, number: str
) -> None:
    sign_in(client, "operator")
    with tools.db.begin() as session:
        session.execute(text("DELETE FROM sign_ins"))
    words = f"{CONCERN['content']}<script>alert(1)</script>"
    answer = client.post("/intake", data={"content": words, "phone": "13900001234", "password": "很长的一个密码密码"})
    assert answer.status_code == 401
    assert str(CONCERN["content"]) in answer.text
    assert "<script>alert" not in answer.text
    assert "很长的一个密码密码" not in answer.text
    assert "no-store" in answer.headers["Cache-Control"]
    assert str(CONCERN["content"]) not in client.get(f"/tickets/{number}?content={CONCERN['content']}").text


OURS = {"Origin": "http://localhost"}


def test_a_form_older_than_the_sign_in_is_sent_again_with_one_click(
    app: Flask, client: FlaskClient, tools: Installation, number: str
) -> None:
    """The text that a person had written goes in unchanged, and once: the page carries it, nobody types it anew."""
    words = "\n诉求人补充：第二根灯杆也倾斜了。<b>\n请一并处理。"
    sign_in(client, "operator")
    app.config["WTF_CSRF_ENABLED"] = True
    answer = client.post(f"/tickets/{number}/note", data={"note": words, "csrf_token": "of-yesterday"}, headers=OURS)
    assert answer.status_code == 400
    again = next(form for form in Page(answer.text, path="").forms if form.action == f"/tickets/{number}/note")
    values = {one.name: one.value for one in again.fields if one.kind != "button"}
    assert values["note"] == words
    assert client.post(again.action, data=values, headers=OURS).status_code == 303
    with tools.db.read() as session:
        kept = session.execute(text("SELECT note FROM journal WHERE act = 'note'")).scalars().all()
    assert kept == ["诉求人补充：第二根灯杆也倾斜了。<b>\n请一并处理。"]


@pytest.mark.parametrize(
    ("headers", "given"),
    [
        ({"Origin": "https://elsewhere.example"}, {"note": "别的网站替我写的话。"}),
        ({"Origin": "null"}, {"note": "别的网站替我写的话。"}),
        ({}, {"note": "不知道从哪里来的话。"}),
        (OURS, {"note": "改密码的表单不会被带回。", "password": "Correct-horse-9"}),
    ],
)
def test_what_another_site_made_up_or_holds_a_password_is_offered_to_nobody(  # noqa: PLR0917 - columns of the table
    app: Flask, client: FlaskClient, number: str, headers: dict[str, str], given: dict[str, str]
) -> None:
    sign_in(client, "operator")
    app.config["WTF_CSRF_ENABLED"] = True
    answer = client.post(f"/tickets/{number}/note", data=given, headers=headers)
    assert answer.status_code == 400
    assert "再次提交" not in answer.text
    assert "Correct-horse-9" not in answer.text


def test_a_form_sent_after_the_sign_in_is_over_asks_to_sign_in_and_waits(
    app: Flask, client: FlaskClient, number: str
) -> None:
    app.config["WTF_CSRF_ENABLED"] = True
    answer = client.post(f"/tickets/{number}/note", data={"note": "市民要求书面答复。"}, headers=OURS)
    assert answer.status_code == 401
    assert "市民要求书面答复。" in answer.text
    assert 'target="_blank"' in answer.text
    assert "已登录，再次提交" in answer.text


def test_what_was_typed_on_a_stale_page_is_given_back(client: FlaskClient, number: str) -> None:
    sign_in(client, "operator")
    words = "诉求人来电表示已经解决，要求撤回。<b>"
    answer = client.post(f"/tickets/{number}/withdraw", data={"words": words, "version": "0"})
    assert answer.status_code == 409
    assert "诉求人来电表示已经解决，要求撤回。&lt;b&gt;</textarea>" in answer.text


def test_what_was_typed_is_given_back_when_the_house_fails(
    client: FlaskClient, tools: Installation, number: str
) -> None:
    sign_in(client, "operator")
    with tools.db.engine.begin() as connection:
        connection.execute(text("ALTER TABLE journal RENAME TO journal_gone"))
    given = {"note": str(CONCERN["content"]), "password": "不还的长长的密码"}
    answer = client.post(f"/tickets/{number}/note", data=given)
    assert answer.status_code == 500
    assert f"{CONCERN['content']}</textarea>" in answer.text
    assert "不还的长长的密码" not in answer.text
    assert "journal_gone" not in answer.text
