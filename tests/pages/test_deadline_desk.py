"""Deadlines on the screen: the explanation, the department's wishes, the hotline's decisions."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from hotline.core import clock
from hotline.core.permissions import Role
from hotline.people.actions import issue_token
from hotline.tickets.models import Attachment
from hotline.wiring import Installation
from routing.clocks import adjusting
from routing.clocks.models import Adjustment, AdjustmentState
from tests.makers import count_queries, dispatched_ticket, make_actor, make_department, sign_in

PNG = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00\x90wS\xde"
    b"\x00\x00\x00\x0cIDATx\x9cc\xf8\xff\xff?\x00\x05\xfe\x02\xfe\r\xefF\xb8\x00\x00\x00\x00IEND\xaeB`\x82"
)


@dataclass
class Desks:
    app: Flask
    tools: Installation
    number: str
    ticket_id: int

    def at(self, login: str) -> FlaskClient:
        client = self.app.test_client()
        sign_in(client, login)
        return client

    def wishes(self) -> list[Adjustment]:
        with self.tools.db.read() as session:
            return [one.row for one in adjusting.of_ticket(session, self.ticket_id)]


@pytest.fixture
def desks(app: Flask, tools: Installation, now: datetime, monkeypatch: pytest.MonkeyPatch) -> Desks:
    monkeypatch.setattr(clock, "now", lambda: now)
    with tools.db.begin() as session:
        department = make_department(session, "market", name="市市场监管局")
        make_actor(session, Role.RESPONDER, departments=[department], login="unit", now=now)
        make_actor(session, Role.RESPONDER, departments=[make_department(session)], login="stranger", now=now)
        make_actor(session, Role.DISPATCHER, login="dispatcher", now=now)
        make_actor(session, Role.SUPERVISOR, login="supervisor", now=now)
        ticket = dispatched_ticket(
            session, department, title="购买的电动车电池鼓包", request_type="投诉", now=now - timedelta(hours=2)
        )
        number, ticket_id = ticket.number, ticket.id
    return Desks(app, tools, number, ticket_id)


def asks_to_stand(desks: Desks, **given: object) -> tuple[int, str]:
    form = {
        "cause": "鉴定",
        "until": "2026-10-14",
        "suspension_reason": "已委托质检机构鉴定。",
        "evidence": (io.BytesIO(PNG), "委托书.png"),
        **given,
    }
    answer = desks.at("unit").post(
        f"/department/{desks.number}/suspension", data=form, content_type="multipart/form-data"
    )
    return answer.status_code, answer.text


def asks_for_time(desks: Desks, **given: str) -> tuple[int, str]:
    form = {"workdays": "5", "extension_reason": "涉及三家单位。", "basis": "管理办法第十八条", **given}
    answer = desks.at("unit").post(f"/department/{desks.number}/extension", data=form)
    return answer.status_code, answer.text


def test_a_department_asks_and_the_hotline_approves_with_what_it_would_change(desks: Desks) -> None:
    assert asks_to_stand(desks)[0] == 303
    (wish,) = desks.wishes()
    dispatcher = desks.at("dispatcher")
    assert "市市场监管局" in dispatcher.get("/time").text
    shown = dispatcher.get(f"/time/{wish.id}").text
    assert "委托书.png" in shown
    assert "批准后到期" in shown
    assert dispatcher.post(f"/time/{wish.id}/decide", data={"verdict": "approve", "words": ""}).status_code == 303
    explained = desks.at("unit").get(f"/tickets/{desks.number}/deadlines").text
    assert "暂停" in explained
    assert "恢复计时" in desks.at("unit").get(f"/department/{desks.number}/time").text
    assert "挂起至" in desks.at("unit").get("/department").text
    assert "没有待审批的申请" in dispatcher.get("/time").text
    assert "市市场监管局" in dispatcher.get("/time?tab=decided").text


def test_what_is_refused_by_field_keeps_what_was_typed(desks: Desks) -> None:
    status, text = asks_to_stand(desks, until="2027-06-01")
    assert status == 422
    assert "最长 30 个工作日" in text
    assert "已委托质检机构鉴定。" in text
    status, text = asks_for_time(desks, workdays="40", basis="")
    assert status == 422
    assert "最多 10 个工作日" in text
    assert "请填写延期依据" in text
    assert "涉及三家单位。" in text
    assert desks.wishes() == []


def test_a_refused_pause_leaves_no_file_behind(desks: Desks) -> None:
    assert asks_to_stand(desks, cause="")[0] == 422
    with desks.tools.db.read() as session:
        assert session.query(Attachment).count() == 0


def test_a_refusal_needs_a_reason_and_is_read_by_the_department(desks: Desks) -> None:
    assert asks_for_time(desks)[0] == 303
    (wish,) = desks.wishes()
    dispatcher = desks.at("dispatcher")
    answer = dispatcher.post(f"/time/{wish.id}/decide", data={"verdict": "refuse", "words": " "})
    assert answer.status_code == 422
    assert "驳回须说明理由" in answer.text
    dispatcher.post(f"/time/{wish.id}/decide", data={"verdict": "refuse", "words": "未说明难点。"})
    assert "未说明难点。" in desks.at("unit").get(f"/department/{desks.number}/time").text


def test_a_further_extension_is_for_the_supervisor(desks: Desks) -> None:
    asks_for_time(desks)
    desks.at("dispatcher").post(f"/time/{desks.wishes()[0].id}/decide", data={"verdict": "approve"})
    asks_for_time(desks, workdays="3")
    second = desks.wishes()[1]
    assert "须由督办主管批准" in desks.at("dispatcher").get(f"/time/{second.id}").text
    assert desks.at("dispatcher").post(f"/time/{second.id}/decide", data={"verdict": "approve"}).status_code == 403
    assert desks.at("supervisor").post(f"/time/{second.id}/decide", data={"verdict": "approve"}).status_code == 303
    assert [one.state for one in desks.wishes()] == [AdjustmentState.APPROVED] * 2


def test_another_department_neither_asks_nor_takes_back_nor_resumes(desks: Desks) -> None:
    asks_to_stand(desks)
    wish = desks.wishes()[0]
    stranger = desks.at("stranger")
    assert stranger.get(f"/department/{desks.number}/time").status_code == 404
    assert stranger.post(f"/department/{desks.number}/adjustments/{wish.id}/take-back").status_code == 404
    assert stranger.post(f"/tickets/{desks.number}/adjustments/{wish.id}/resume").status_code == 404
    assert stranger.get("/time").status_code == 403


def test_a_department_takes_its_wish_back(desks: Desks) -> None:
    assert 'name="workdays"' in desks.at("unit").get(f"/department/{desks.number}/time").text
    asks_for_time(desks)
    shown = desks.at("unit").get(f"/department/{desks.number}/time").text
    assert "延期申请正在等待热线中心审批" in shown
    assert 'name="workdays"' not in shown
    wish = desks.wishes()[0]
    assert desks.at("unit").post(f"/department/{desks.number}/adjustments/{wish.id}/take-back").status_code == 303
    assert desks.wishes()[0].state is AdjustmentState.LAPSED


def test_another_class_counts_everything_anew(desks: Desks) -> None:
    dispatcher = desks.at("dispatcher")
    version = 2
    with desks.tools.db.read() as session:
        from hotline.tickets.models import Ticket

        version = session.get_one(Ticket, desks.ticket_id).version
    form = {"version": str(version), "sla_class": "疑难复杂", "reason": "历史遗留问题"}
    assert dispatcher.post(f"/tickets/{desks.number}/class", data=form).status_code == 303
    assert "疑难复杂" in dispatcher.get(f"/tickets/{desks.number}/deadlines").text
    answer = dispatcher.post(f"/tickets/{desks.number}/class", data={**form, "version": str(version + 1), "reason": ""})
    assert answer.status_code == 422


def test_the_interface_explains_every_deadline(desks: Desks, now: datetime) -> None:
    asks_to_stand(desks)
    desks.at("dispatcher").post(f"/time/{desks.wishes()[0].id}/decide", data={"verdict": "approve"})
    with desks.tools.db.begin() as session:
        from hotline.core.permissions import SYSTEM

        auditor = make_actor(session, Role.AUDITOR, now=now)
        token = issue_token(session, name="t", role=Role.AUDITOR, user_id=auditor.user_id, by=SYSTEM, now=now)
    answer = desks.app.test_client().get(
        f"/api/v1/tickets/{desks.number}/deadlines", headers={"Authorization": f"Bearer {token}"}
    )
    body = answer.get_json()
    assert body["suspended_until"] is not None
    handle = next(one for one in body["clocks"] if one["name"] == "handle")
    assert any("暂停" in step for step in handle["steps"])
    assert [(one["kind"], one["state"], one["cause"]) for one in body["changes"]] == [
        ("suspension", "approved", "鉴定")
    ]


def test_the_queue_needs_few_questions_however_long_it_is(desks: Desks, now: datetime) -> None:
    with desks.tools.db.begin() as session:
        department = make_department(session)
        responder = make_actor(session, Role.RESPONDER, departments=[department], now=now)
        for _ in range(32):
            ticket = dispatched_ticket(session, department, request_type="投诉", now=now)
            adjusting.ask_extension(
                session, ticket_id=ticket.id, workdays=3, reason="复杂", basis="第十八条", by=responder, now=now
            )
    client = desks.at("dispatcher")
    with count_queries(desks.tools.db) as asked:
        first = client.get("/time").text
    assert asked.count <= 5, asked.statements
    onward = first.split('rel="next"')[0].rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")
    second = client.get(onward).text
    assert (first.count("<tr data-row"), second.count("<tr data-row") in {2, 3}) == (30, True)
    back = second.split('rel="prev"')[0].rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")
    assert client.get(back).text.count("<tr data-row") == 30
    assert client.get("/time?cursor=nonsense").status_code == 422
