"""The administrator's list of service items, and where a ticket shows and takes one."""

from __future__ import annotations

from datetime import datetime

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from hotline.core.permissions import SYSTEM, Role
from hotline.people.actions import issue_token
from hotline.tickets.models import Ticket
from hotline.wiring import Installation
from tests.makers import make_user, sign_in

ADDRESS = "/admin/service-items"
ITEM = {"code": "YB-001", "name": "异地就医备案", "department": ""}


def signed_in(app: Flask, tools: Installation, role: Role, now: datetime) -> FlaskClient:
    client = app.test_client()
    with tools.db.begin() as session:
        login = make_user(session, role, now=now).login
    sign_in(client, login)
    return client


@pytest.fixture
def administrator(app: Flask, tools: Installation, now: datetime, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    monkeypatch.setattr("hotline.core.clock.now", lambda: now)
    return signed_in(app, tools, Role.ADMINISTRATOR, now)


def test_an_item_is_added_and_refused_with_what_was_typed_and_retired(administrator: FlaskClient) -> None:
    assert "还没有服务事项" in administrator.get(ADDRESS).text
    assert administrator.post(ADDRESS, data=ITEM).status_code == 303
    again = administrator.post(ADDRESS, data={**ITEM, "code": "?"})
    assert again.status_code == 422
    assert ITEM["name"] in again.text
    assert administrator.post(f"{ADDRESS}/1/retire").status_code == 303
    assert "已停用" in administrator.get(ADDRESS).text
    assert administrator.post(f"{ADDRESS}/1/retire").status_code == 303
    assert administrator.post(f"{ADDRESS}/99/retire").status_code == 404


def test_an_operator_chooses_an_item_and_corrects_it(
    app: Flask, administrator: FlaskClient, tools: Installation, now: datetime
) -> None:
    operator = signed_in(app, tools, Role.OPERATOR, now)
    assert operator.get(ADDRESS).status_code == 403
    assert 'name="service_item"' not in operator.get("/intake").text
    administrator.post(ADDRESS, data=ITEM)
    assert 'name="service_item"' in operator.get("/intake").text
    told = operator.post("/intake/suggest", data={"title": "", "content": "请问异地就医备案要带什么材料"}).text
    assert "服务事项" in told
    form = {"phone": "13900001234", "content": "请问异地就医备案要带什么材料。", "channel": "phone"}
    form |= {"request_type": "咨询", "urgency": "一般", "finish": "register", "service_item": ITEM["name"]}
    assert operator.post("/intake", data={**form, "service_item": "没有"}).status_code == 422
    assert operator.post("/intake", data=form).status_code == 303
    with tools.db.read() as session:
        ticket = session.scalars(select(Ticket)).one()
    assert ticket.service_item == ITEM["name"]
    assert ITEM["name"] in operator.get(f"/tickets/{ticket.number}").text
    administrator.post(f"{ADDRESS}/1/retire")
    assert "（已停用）" in operator.get(f"/tickets/{ticket.number}/edit").text
    cleared = {"version": str(ticket.version), "service_item": "", "reason": "填错"}
    assert operator.post(f"/tickets/{ticket.number}/edit", data=cleared).status_code == 303
    with tools.db.read() as session:
        assert session.scalars(select(Ticket)).one().service_item is None


def test_a_machine_names_an_item_by_its_code(
    administrator: FlaskClient, tools: Installation, app: Flask, now: datetime
) -> None:
    administrator.post(ADDRESS, data=ITEM)
    with tools.db.begin() as session:
        user = make_user(session, Role.OPERATOR, now=now)
        token = issue_token(session, name="feed", role=Role.OPERATOR, user_id=user.id, by=SYSTEM, now=now)
    client, headers = app.test_client(), {"Authorization": f"Bearer {token}"}
    body = {"content": "异地就医备案的材料清单在哪里看", "phone": "13900001234", "channel": "web"}
    assert client.post("/api/v1/tickets", json={**body, "service_item": "X-9"}, headers=headers).status_code == 422
    made = client.post("/api/v1/tickets", json={**body, "service_item": "YB-001"}, headers=headers)
    assert made.status_code == 201
    shown = client.get(f"/api/v1/tickets/{made.get_json()['number']}", headers=headers).get_json()
    assert shown["service_item"] == ITEM["name"]
