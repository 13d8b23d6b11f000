"""Harassing calls on screen: marked while refusing, shown when the number is typed, confirmed by the supervisor."""

from __future__ import annotations

from datetime import datetime

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from hotline.core.permissions import Role
from hotline.intake.harassment_models import CallerLimit
from hotline.tickets.models import Ticket
from hotline.wiring import Installation
from tests.makers import make_user, sign_in

FORM = {
    "phone": "13900001234",
    "content": "来电人持续辱骂话务员，没有任何诉求。",
    "channel": "phone",
    "request_type": "其他",
    "urgency": "一般",
    "finish": "refuse",
    "refusal_reason": "NR-09",
}
MARK = {"harassment_kind": "abuse", "evidence": "通话中持续辱骂约三分钟，未提出诉求。", "warned": "yes"}


def signed_in(app: Flask, tools: Installation, role: Role, now: datetime) -> FlaskClient:
    client = app.test_client()
    with tools.db.begin() as session:
        login = make_user(session, role, now=now).login
    sign_in(client, login)
    return client


@pytest.fixture
def operator(app: Flask, tools: Installation, now: datetime, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    monkeypatch.setattr("hotline.core.clock.now", lambda: now)
    return signed_in(app, tools, Role.OPERATOR, now)


def last_number(tools: Installation) -> str:
    with tools.db.read() as session:
        return session.scalars(select(Ticket.number).order_by(Ticket.id.desc())).first() or ""


def test_a_call_is_marked_while_it_is_refused_and_the_next_operator_sees_it(
    operator: FlaskClient, tools: Installation
) -> None:
    before = operator.post("/intake/caller", data={"phone": FORM["phone"]}).text
    assert "骚扰" not in before
    assert operator.post("/intake", data={**FORM, **MARK}).status_code == 303
    shown = operator.post("/intake/caller", data={"phone": FORM["phone"]}).text
    assert "已警告" in shown
    assert "没有诉求，结束通话" not in shown
    assert "标记骚扰来电" in operator.get(f"/tickets/{last_number(tools)}").text


@pytest.mark.parametrize(
    "change",
    [{"evidence": "骂人"}, {"refusal_reason": "NR-06"}, {"harassment_kind": "x"}, {"phone": "", "anonymous": "yes"}],
)
def test_a_mark_without_ground_keeps_what_was_typed(operator: FlaskClient, change: dict[str, str]) -> None:
    answer = operator.post("/intake", data={**FORM, **MARK, **change})
    assert answer.status_code == 422
    assert FORM["content"] in answer.text


def test_a_limit_goes_from_the_operator_to_the_supervisor_and_back_to_the_form(
    app: Flask, operator: FlaskClient, tools: Installation, now: datetime
) -> None:
    for key in ("k-1", "k-2", "k-3"):
        assert operator.post("/intake", data={**FORM, **MARK, "key": key}).status_code == 303
    number = last_number(tools)
    page = operator.get(f"/tickets/{number}/harassment")
    assert "申请限制措施" in page.text
    assert operator.post(f"/tickets/{number}/harassment/limit", data={"reason": ""}).status_code == 422
    assert operator.post(f"/tickets/{number}/harassment/limit", data={"reason": "劝导无效。"}).status_code == 303
    with tools.db.read() as session:
        limit_id = session.scalars(select(CallerLimit.id)).one()
    assert operator.post(f"/harassment/{limit_id}/confirm", data={"days": "7"}).status_code == 403
    supervisor = signed_in(app, tools, Role.SUPERVISOR, now)
    assert "劝导无效" in supervisor.get("/harassment").text
    assert supervisor.post(f"/harassment/{limit_id}/confirm", data={"days": "31"}).status_code == 422
    assert supervisor.post(f"/harassment/{limit_id}/confirm", data={"days": "7"}).status_code == 303
    shown = operator.post("/intake/caller", data={"phone": FORM["phone"]}).text
    assert "没有诉求，结束通话" in shown
    real = {**FORM, "finish": "register", "content": "楼道里有很重的煤气味，请马上派人来。", "key": "k-9"}
    assert operator.post("/intake", data=real).status_code == 303
    assert supervisor.post(f"/harassment/{limit_id}/lift", data={"why": "已道歉"}).status_code == 303
    assert "没有诉求，结束通话" not in operator.post("/intake/caller", data={"phone": FORM["phone"]}).text
    assert "已道歉" in supervisor.get(f"/tickets/{number}").text


def test_a_mark_is_taken_back_by_a_supervisor_only(
    app: Flask, operator: FlaskClient, tools: Installation, now: datetime
) -> None:
    operator.post("/intake", data={**FORM, **MARK})
    number = last_number(tools)
    supervisor = signed_in(app, tools, Role.SUPERVISOR, now)
    clear = f"/tickets/{number}/harassment/1/clear"
    assert operator.post(clear, data={"why": "误标"}).status_code == 403
    assert supervisor.post(clear, data={"why": ""}).status_code == 422
    assert supervisor.post(clear, data={"why": "误标"}).status_code == 303
    assert "没有记录" in supervisor.get(f"/tickets/{number}/harassment").text
    again = supervisor.post(f"/tickets/{number}/harassment", data={"harassment_kind": "abuse", "evidence": "短"})
    assert again.status_code == 422


def test_a_department_knows_nothing_of_it(app: Flask, tools: Installation, now: datetime) -> None:
    assert signed_in(app, tools, Role.RESPONDER, now).get("/harassment").status_code == 403
