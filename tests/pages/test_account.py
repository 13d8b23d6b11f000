"""Signing in, out, wrong guesses, forced change of password, cookies and headers."""

from __future__ import annotations

import re
import threading
from collections import Counter
from datetime import datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from hotline.core import clock
from hotline.core.errors import Throttled
from hotline.core.permissions import SYSTEM, Role
from hotline.people import actions, queries
from hotline.wiring import Installation
from tests.makers import PASSWORD, make_user, sign_in


@pytest.fixture
def login(tools: Installation, now: datetime) -> str:
    with tools.db.begin() as session:
        make_user(session, Role.ADMINISTRATOR, login="li.mei", now=now)
    return "li.mei"


def test_a_person_signs_in_lands_and_signs_out(client: FlaskClient, login: str) -> None:
    assert client.get("/account").status_code == 302
    sign_in(client, login)
    assert client.get("/account").status_code == 200
    assert client.post("/sign-out").status_code == 302
    assert client.get("/account").status_code == 302


def test_a_wrong_password_and_an_unknown_login_get_the_same_answer(client: FlaskClient, login: str) -> None:
    wrong = client.post("/sign-in", data={"login": login, "password": "nope"})
    unknown = client.post("/sign-in", data={"login": "nobody", "password": "nope"})
    assert wrong.status_code == unknown.status_code == 401
    assert "用户名或密码不正确" in wrong.text
    # The moment, and the form's token that is signed with it, may be a second later in the second answer.
    of_the_moment = r'<meta name="(now|csrf-token)"[^>]*>|(?<=name="csrf_token" value=")[^"]*'
    said = [re.sub(of_the_moment, "", answer.text) for answer in (wrong, unknown)]
    assert said[0].replace(login, "") == said[1].replace("nobody", "")


def test_a_name_that_no_text_can_hold_is_told_at_its_field(client: FlaskClient, login: str) -> None:
    answer = client.post("/sign-in", data={"login": f"{login}\0", "password": PASSWORD})
    assert answer.status_code == 422
    assert 'id="f-login-error"' in answer.text


def test_five_wrong_guesses_shut_the_door_even_for_the_right_password(client: FlaskClient, login: str) -> None:
    for _ in range(5):
        client.post("/sign-in", data={"login": login, "password": "nope"})
    shut = client.post("/sign-in", data={"login": login, "password": PASSWORD, "words": "登录前写下的一段说明"})
    assert shut.status_code == 429
    assert "登录前写下的一段说明</textarea>" in shut.text
    assert PASSWORD not in shut.text
    assert int(shut.headers["Retry-After"]) > 0


def guess(tools: Installation, login: str, now: datetime, *, address: str = "127.0.0.1") -> None:
    with tools.db.begin() as session:
        actions.count_guess(session, login=login, address=address, now=now)


def test_the_door_opens_again_after_its_time(tools: Installation, login: str, now: datetime) -> None:
    for _ in range(5):
        guess(tools, login, now)
    with pytest.raises(Throttled):
        guess(tools, login, now)
    guess(tools, "other", now)
    guess(tools, login, now + actions.LOCK + timedelta(seconds=1))
    with pytest.raises(Throttled):  # still the same quarter of an hour: one more guess, no five
        guess(tools, login, now + actions.LOCK + timedelta(seconds=2))
    for _ in range(5):
        guess(tools, login, now + 2 * actions.FAILURE_WINDOW)


def test_the_right_password_forgets_the_guesses_before_it(client: FlaskClient, login: str) -> None:
    for _ in range(3):
        for _ in range(4):
            assert client.post("/sign-in", data={"login": login, "password": "nope"}).status_code == 401
        assert client.post("/sign-in", data={"login": login, "password": PASSWORD}).status_code == 302


def test_an_address_that_tries_many_logins_is_shut_out(tools: Installation, login: str, now: datetime) -> None:
    for each in range(actions.MOST_FROM_ADDRESS):
        guess(tools, f"login{each}", now, address="10.0.0.1")
    with pytest.raises(Throttled):
        guess(tools, login, now, address="10.0.0.1")
    guess(tools, login, now, address="10.0.0.2")


def test_who_signs_in_rightly_shuts_nobody_of_his_address_out(
    client: FlaskClient, tools: Installation, login: str, now: datetime
) -> None:
    """A whole centre has one address; forty-nine wrong guesses and any number of right ones leave the door open."""
    for each in range(actions.MOST_FROM_ADDRESS - 1):
        guess(tools, f"login{each}", clock.now(), address="127.0.0.1")
    for _ in range(3):
        assert client.post("/sign-in", data={"login": login, "password": PASSWORD}).status_code == 302
    assert client.post("/sign-in", data={"login": login, "password": "nope"}).status_code == 401
    assert client.post("/sign-in", data={"login": login, "password": PASSWORD}).status_code == 429


def test_guesses_at_the_same_instant_are_five_and_no_more(app: Flask, login: str) -> None:
    """Twelve browsers send a wrong password at once; only five of them learn that it was wrong."""
    start, statuses = threading.Barrier(12), list[int]()

    def send() -> None:
        browser = app.test_client()
        start.wait(20)
        statuses.append(browser.post("/sign-in", data={"login": login, "password": "nope"}).status_code)

    threads = [threading.Thread(target=send) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert Counter(statuses) == {401: 5, 429: 7}


def test_whoever_must_change_his_password_gets_nowhere_else(
    app: Flask, client: FlaskClient, tools: Installation, now: datetime
) -> None:
    with tools.db.begin() as session:
        actions.create_user(
            session,
            login="new.one",
            display_name="新人",
            role=Role.ADMINISTRATOR,
            password=PASSWORD,
            by=SYSTEM,
            now=now,
        )
    sign_in(client, "new.one")
    assert client.get("/style").location == "/account"
    refused = client.post("/account", data={"old": "wrong", "password": "Another-9-pass", "again": "Another-8-pass"})
    assert refused.status_code == 422
    assert "原密码不正确" in refused.text
    assert "不一致" in refused.text
    client.post("/account", data={"old": PASSWORD, "password": "Another-9-pass", "again": "Another-9-pass"})
    assert client.get("/style").status_code == 200
    other = app.test_client()
    assert other.post("/sign-in", data={"login": "new.one", "password": PASSWORD}).status_code == 401


def test_a_closed_account_is_out_at_once(client: FlaskClient, tools: Installation, login: str) -> None:
    sign_in(client, login)
    with tools.db.begin() as session:
        user = queries.user(session, login=login)
        actions.change_user(
            session,
            user_id=user.id,
            version=user.version,
            display_name=user.display_name,
            role=user.role,
            active=False,
            by=SYSTEM,
        )
    assert client.get("/account").status_code == 302


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
)
def test_signing_in_never_leads_to_another_site(client: FlaskClient, login: str, target: str) -> None:
    answer = client.post("/sign-in", data={"login": login, "password": PASSWORD, "next": target})
    assert answer.location == "/desk"


def test_a_form_without_the_token_of_this_browser_is_refused(app: Flask, client: FlaskClient, login: str) -> None:
    app.config["WTF_CSRF_ENABLED"] = True
    answer = client.post("/sign-in", data={"login": login, "password": PASSWORD})
    assert answer.status_code == 400
    assert "刷新" in answer.text


def test_every_answer_carries_the_strict_headers(client: FlaskClient) -> None:
    answer = client.get("/sign-in")
    policy = answer.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "script-src 'self'" in policy
    assert "object-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_cookie_is_out_of_reach_of_scripts_and_holds_no_identity(client: FlaskClient, login: str) -> None:
    answer = client.post("/sign-in", data={"login": login, "password": PASSWORD})
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert login not in cookie


def test_a_lost_database_gives_a_page_and_not_a_trace(client: FlaskClient, tools: Installation) -> None:
    with tools.db.engine.begin() as connection:
        connection.execute(text("ALTER TABLE users RENAME TO users_gone"))
    answer = client.post("/sign-in", data={"login": "li.mei", "password": "x"})
    assert answer.status_code == 500
    assert "Traceback" not in answer.text
    assert "users_gone" not in answer.text
