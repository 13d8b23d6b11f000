"""Parts on the screen: naming co-handlers, the desk of those who help, the one answer of the lead."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from hotline.core import clock
from hotline.core.permissions import SYSTEM, Role
from hotline.tickets.models import Ticket
from hotline.tickets.states import State
from hotline.wiring import Installation
from routing import lists
from routing.answers import parts
from routing.answers.parts import PartView
from tests.makers import dispatched_ticket, make_actor, make_department, register_ticket, sign_in

GOOD = {
    "found_true": "yes",
    "beyond_duty": "no",
    "solved": "solved",
    "internal_note": "街道清淤，水务疏通管网。",
    "public_answer": "您反映的幸福路8号院楼下污水外溢，我们已组织清淤并疏通管网，今天下午恢复正常排水。",
    "warned": "not_contacted",
}


@dataclass
class Desks:
    app: Flask
    tools: Installation
    number: str
    ticket_id: int
    district_id: int
    street_id: int
    water_id: int

    def at(self, login: str) -> FlaskClient:
        client = self.app.test_client()
        sign_in(client, login)
        return client

    def parts(self) -> list[PartView]:
        with self.tools.db.read() as session:
            return parts.of_ticket(session, self.ticket_id)

    def ticket(self) -> Ticket:
        with self.tools.db.read() as session:
            return session.get_one(Ticket, self.ticket_id)


@pytest.fixture
def desks(app: Flask, tools: Installation, now: datetime, monkeypatch: pytest.MonkeyPatch) -> Desks:
    monkeypatch.setattr(clock, "now", lambda: now)
    with tools.db.begin() as session:
        district = make_department(session, "east", name="东城区政府")
        street = make_department(session, "happy", name="幸福街道", parent_id=district.id)
        water = make_department(session, "water", name="市水务局")
        make_actor(session, Role.RESPONDER, departments=[district], login="lead", now=now)
        make_actor(session, Role.RESPONDER, departments=[street], login="below", now=now)
        make_actor(session, Role.RESPONDER, departments=[water], login="helper", now=now)
        make_actor(session, Role.DISPATCHER, login="dispatcher", now=now)
        make_actor(session, Role.SUPERVISOR, login="supervisor", now=now)
        make_actor(session, Role.AUDITOR, login="auditor", now=now)
        ticket = dispatched_ticket(
            session,
            district,
            title="幸福路8号院污水外溢",
            content="我是王小明，幸福路8号院楼下污水外溢一周了，电话13900001234，请尽快处理。",
            now=now - timedelta(hours=2),
        )
        found = (ticket.number, ticket.id, district.id, street.id, water.id)
    return Desks(app, tools, *found)


def asks_to_help(desks: Desks, login: str = "lead", **given: str) -> tuple[int, str]:
    form = {"kind": "assist", "department_id": str(desks.water_id), "words": "请疏通管网", **given}
    answer = desks.at(login).post(f"/tickets/{desks.number}/parts", data=form)
    return answer.status_code, answer.text


def test_the_lead_asks_for_help_gathers_it_and_gives_the_one_answer(desks: Desks) -> None:
    assert asks_to_help(desks)[0] == 303
    (part,) = desks.parts()
    helper = desks.at("helper")
    assert "请疏通管网" in helper.get("/department/parts").text
    assert desks.number in helper.get("/tickets").text
    assert helper.post(f"/department/parts/{part.row.id}/sign").status_code == 303
    answer = helper.post(f"/department/parts/{part.row.id}/answer", data={"answer": "管网已疏通两处。"})
    assert answer.status_code == 303
    lead = desks.at("lead")
    lead.post(f"/department/{desks.number}/sign", data={"version": desks.ticket().version})
    shown = lead.get(f"/department/{desks.number}").text
    assert "【市水务局】管网已疏通两处。" in shown
    done = lead.post(f"/department/{desks.number}/answer", data={**GOOD, "version": desks.ticket().version})
    assert done.status_code == 303
    assert desks.ticket().state is State.ANSWERED


def test_the_lead_who_does_not_wait_is_asked_why(desks: Desks) -> None:
    asks_to_help(desks)
    lead = desks.at("lead")
    lead.post(f"/department/{desks.number}/sign", data={"version": desks.ticket().version})
    assert "不等待协办的理由" in lead.get(f"/department/{desks.number}").text
    form = {**GOOD, "version": desks.ticket().version}
    refused = lead.post(f"/department/{desks.number}/answer", data=form)
    assert refused.status_code == 422
    assert "市水务局尚未反馈" in refused.text
    assert "街道清淤，水务疏通管网。" in refused.text
    assert desks.ticket().state is State.SIGNED
    form["left_out_why"] = "管网已由街道应急处置"
    assert lead.post(f"/department/{desks.number}/answer", data=form).status_code == 303


def test_below_the_lead_the_part_is_everything_that_is_shown(desks: Desks) -> None:
    form = {"kind": "forward", "department_id": str(desks.street_id), "words": "", "due_at": ""}
    assert desks.at("lead").post(f"/tickets/{desks.number}/parts", data=form).status_code == 303
    (part,) = desks.parts()
    below = desks.at("below")
    shown = below.get(f"/department/parts/{part.row.id}").text
    assert "12345 转" not in shown
    assert "显示中间号" in shown
    assert "污水外溢" in shown
    for personal in ("王小明", "13900001234", "工单全貌"):
        assert personal not in shown
    assert desks.number not in below.get("/tickets").text
    for path in (f"/tickets/{desks.number}", f"/department/{desks.number}", f"/tickets/{desks.number}/parts"):
        assert below.get(path).status_code == 404
    assert below.post(f"/tickets/{desks.number}/reveal?what=phone", data={"reason": "contact"}).status_code == 404


def test_a_look_at_the_relay_number_and_a_call_stand_in_the_timeline_of_the_hotline(desks: Desks) -> None:
    form = {"kind": "forward", "department_id": str(desks.street_id), "words": "", "due_at": ""}
    assert desks.at("lead").post(f"/tickets/{desks.number}/parts", data=form).status_code == 303
    (part,) = desks.parts()
    below, address = desks.at("below"), f"/department/parts/{part.row.id}"
    assert (part.row.relay_number or "none") in below.post(f"{address}/relay", data={"phone": "13800001111"}).text
    refused = below.post(f"{address}/relay-call", data={"call_words": "约好周四上门。"})
    assert refused.status_code == 422
    assert "是否接通" in refused.text
    assert "约好周四上门。" in refused.text
    kept = below.post(f"{address}/relay-call", data={"reached": "yes", "call_words": "约好周四上门。"})
    assert kept.status_code == 303
    for login in ("supervisor", "auditor"):
        timeline = desks.at(login).get(f"/tickets/{desks.number}").text
        for words in ("查看中间号", "中间号通话", "幸福街道", "约好周四上门。", "已接通"):
            assert words in timeline
    assert desks.at("helper").post(f"{address}/relay", data={"phone": "13800001111"}).status_code == 404


def test_what_is_refused_by_field_keeps_what_was_typed(desks: Desks) -> None:
    status, text = asks_to_help(desks, words="请一并查看井盖", due_at="2027-01-01T10:00")
    assert status == 422
    assert "之内" in text
    assert "请一并查看井盖" in text
    assert asks_to_help(desks, due_at="明天")[0] == 422
    assert desks.parts() == []


def test_another_department_neither_sees_nor_gives_parts(desks: Desks) -> None:
    asks_to_help(desks)
    (part,) = desks.parts()
    below = desks.at("below")
    assert below.get(f"/department/parts/{part.row.id}").status_code == 404
    assert below.post(f"/department/parts/{part.row.id}/answer", data={"answer": "已经处理"}).status_code == 404
    assert asks_to_help(desks, "helper", department_id=str(desks.street_id))[0] == 403
    assert desks.at("dispatcher").get("/department/parts").status_code == 403


def test_the_lead_takes_a_part_back(desks: Desks) -> None:
    asks_to_help(desks)
    (part,) = desks.parts()
    lead = desks.at("lead")
    refused = lead.post(f"/tickets/{desks.number}/parts/{part.row.id}/end", data={"words": ""})
    assert refused.status_code == 422
    assert f'id="end-words-{part.row.id}-error"' in refused.text, (
        "told in the form that was sent, not on a page of its own"
    )
    lead.post(f"/tickets/{desks.number}/parts/{part.row.id}/end", data={"words": "已自行解决"})
    assert "已自行解决" in desks.at("helper").get(f"/department/parts/{part.row.id}").text


def test_a_dispatcher_names_co_handlers_while_dispatching(desks: Desks, now: datetime) -> None:
    with desks.tools.db.begin() as session:
        number = register_ticket(session, now=now).number
    form = {"version": "1", "department_id": str(desks.district_id), "assist_1": str(desks.water_id)}
    answer = desks.at("dispatcher").post(f"/dispatch/{number}", data=form)
    assert answer.status_code == 303, answer.text
    with desks.tools.db.read() as session:
        ticket = lists.tickets_by_id(session, SYSTEM, [desks.ticket_id + 1])[0]
        assert [one.department for one in parts.of_ticket(session, ticket.id)] == ["市水务局"]


def test_each_department_is_measured_on_its_own_part_on_a_page(desks: Desks) -> None:
    asks_to_help(desks)
    (part,) = desks.parts()
    desks.at("helper").post(f"/department/parts/{part.row.id}/answer", data={"answer": "管网已疏通"})
    shown = desks.at("supervisor").get("/supervision/parts").text
    assert "市水务局" in shown
    assert "100.00 %" in shown
