"""The reader's desk: answers before their callbacks, sent back with the reason, and the policy."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from hotline.core import clock
from hotline.core.permissions import Role
from hotline.tickets.models import InstallationSetting, Ticket
from hotline.tickets.states import State
from hotline.wiring import Installation
from routing import actions as routing
from routing.answers import vetting
from routing.answers.vetting_rules import SETTING, VettingMode, VettingPolicy
from tests.makers import count_queries, dispatched_ticket, feedback, make_actor, make_department, sign_in
from tests.pages.test_deadline_desk import PNG

ANSWER = "您反映的幸福路路灯不亮，我们今天换了两盏灯的电源，晚上已经亮灯，请您留意。"


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

    def ticket(self) -> Ticket:
        with self.tools.db.read() as session:
            return session.get_one(Ticket, self.ticket_id)

    def waiting(self) -> int:
        with self.tools.db.read() as session:
            (view,) = vetting.waiting(session).rows
            return view.row.id


@pytest.fixture
def desks(app: Flask, tools: Installation, now: datetime, monkeypatch: pytest.MonkeyPatch) -> Desks:
    monkeypatch.setattr(clock, "now", lambda: now)
    with tools.db.begin() as session:
        department = make_department(session, "lighting", name="市路灯管理处")
        responder = make_actor(session, Role.RESPONDER, departments=[department], login="unit", now=now)
        make_actor(session, Role.DISPATCHER, login="reader", now=now)
        make_actor(session, Role.ADMINISTRATOR, login="root", now=now)
        policy = VettingPolicy(mode=VettingMode.ALL).to_setting()
        session.add(InstallationSetting(name=SETTING, value=policy, changed_by=None, changed_at=now))
        ticket = dispatched_ticket(session, department, title="幸福路路灯不亮", now=now - timedelta(hours=2))
        routing.answer(
            session,
            ticket_id=ticket.id,
            version=None,
            feedback=feedback(public_answer=ANSWER),
            by=responder,
            now=now - timedelta(hours=1),
        )
        number, ticket_id = ticket.number, ticket.id
    return Desks(app, tools, number, ticket_id)


def test_a_reader_sees_the_answer_beside_the_concern_with_its_doubts_and_passes_it(desks: Desks) -> None:
    reader = desks.at("reader")
    assert "市路灯管理处" in reader.get("/vetting").text
    shown = reader.get(f"/vetting/{desks.waiting()}").text
    assert ANSWER in shown
    assert "还没有联系诉求人的记录" in shown
    assert "答复待审核" in reader.get(f"/tickets/{desks.number}").text
    assert "等待热线中心审核" in desks.at("unit").get(f"/department/{desks.number}").text
    answer = reader.post(f"/vetting/{desks.waiting()}/decide", data={"verdict": "pass", "words": ""})
    assert answer.status_code == 303
    assert "没有待审核的答复" in reader.get("/vetting").text
    assert "市路灯管理处" in reader.get("/vetting?tab=decided").text
    assert "答复待审核" not in reader.get(f"/tickets/{desks.number}").text


def test_what_is_sent_back_stands_at_the_department_with_the_reason_and_the_words(desks: Desks) -> None:
    reader = desks.at("reader")
    refused = reader.post(f"/vetting/{desks.waiting()}/decide", data={"verdict": "back", "words": ""})
    assert refused.status_code == 422
    assert "退回须写明理由" in refused.text
    reader.post(f"/vetting/{desks.waiting()}/decide", data={"verdict": "back", "words": "请说明为什么拖了一周。"})
    assert desks.ticket().state is State.SIGNED
    shown = desks.at("unit").get(f"/department/{desks.number}").text
    assert "请说明为什么拖了一周。" in shown
    assert shown.count(ANSWER) >= 2


def test_neither_a_department_nor_an_administrator_reads_answers(desks: Desks) -> None:
    for login in ("unit", "root"):
        assert desks.at(login).get("/vetting").status_code == 403
        assert desks.at(login).post("/vetting/1/decide", data={"verdict": "pass"}).status_code == 403


def test_an_administrator_decides_what_is_read(desks: Desks) -> None:
    root = desks.at("root")
    assert "全部审核" in root.get("/admin/vetting").text
    refused = root.post("/admin/vetting", data={"mode": "sampled", "percent": "120"})
    assert refused.status_code == 422
    assert "0 到 100" in refused.text
    form = {"mode": "sampled", "percent": "20", "always": ["举报"], "doubtful": "1"}
    assert root.post("/admin/vetting", data=form).status_code == 303
    with desks.tools.db.read() as session:
        policy = vetting.policy_of(session)
    assert (policy.mode, policy.percent, policy.bad_reviews, policy.doubtful) == (VettingMode.SAMPLED, 20, False, True)
    assert [one.value for one in policy.always] == ["举报"]
    assert desks.at("reader").get("/admin/vetting").status_code == 403


def test_the_writer_is_told_that_others_were_answered_with_the_same_words(desks: Desks, now: datetime) -> None:
    with desks.tools.db.begin() as session:
        department = make_department(session, "other", name="市公路处")
        make_actor(session, Role.RESPONDER, departments=[department], login="other", now=now)
        ticket = dispatched_ticket(session, department, title="幸福路路灯不亮", now=now - timedelta(hours=2))
        session.flush()
        number, version = ticket.number, ticket.version
    other = desks.at("other")
    other.post(f"/department/{number}/sign", data={"version": version})
    with desks.tools.db.read() as session:
        version = session.get_one(Ticket, desks.ticket_id + 1).version
    form = {
        "found_true": "yes",
        "beyond_duty": "no",
        "solved": "solved",
        "internal_note": "换了电源",
        "public_answer": ANSWER,
        "version": version,
    }
    asked = other.post(f"/department/{number}/answer", data=form)
    assert asked.status_code == 422
    assert "一字不差" in asked.text


def test_contact_is_recorded_with_its_proof(desks: Desks) -> None:
    reader, unit = desks.at("reader"), desks.at("unit")
    reader.post(f"/vetting/{desks.waiting()}/decide", data={"verdict": "back", "words": "请先联系诉求人。"})
    form = {
        "contact_at": "2026-10-08T09:30",
        "contact_way": "电话",
        "contact_words": "已说明原因。",
        "proof": (io.BytesIO(PNG), "通话截图.png"),
    }
    answer = unit.post(f"/department/{desks.number}/contact", data=form, content_type="multipart/form-data")
    assert answer.status_code == 303
    assert "通话截图.png" in unit.get(f"/department/{desks.number}").text


def test_the_queue_needs_few_questions_however_long_it_is(desks: Desks, now: datetime) -> None:
    with desks.tools.db.begin() as session:
        department = make_department(session)
        responder = make_actor(session, Role.RESPONDER, departments=[department], now=now)
        for _ in range(32):
            ticket = dispatched_ticket(session, department, now=now)
            routing.answer(session, ticket_id=ticket.id, version=None, feedback=feedback(), by=responder, now=now)
    client = desks.at("reader")
    with count_queries(desks.tools.db) as asked:
        first = client.get("/vetting").text
    assert asked.count <= 5, asked.statements
    onward = first.split('rel="next"')[0].rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")
    second = client.get(onward).text
    assert (first.count("<tr data-row"), second.count("<tr data-row") in {2, 3}) == (30, True)
    back = second.split('rel="prev"')[0].rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")
    assert client.get(back).text.count("<tr data-row") == 30
    assert client.get("/vetting?cursor=nonsense").status_code == 422
