"""Parts on the screen: naming co-handlers, the desk of those who help, the one answer of the lead."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from hotline.core import clock
from hotline.core.errors import Conflict
from hotline.core.permissions import SYSTEM, Role
from hotline.tickets.models import Ticket
from hotline.tickets.states import State
from hotline.wiring import Installation
from routing import lists
from routing.answers import parts
from routing.answers.parts import PartView
from routing.models import Department, DepartmentKind
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
    assert "另有 1 件协办或下级任务未完成" in helper.get("/department").text
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


def test_who_helps_reads_the_ticket_and_is_led_to_his_own_part(desks: Desks) -> None:
    asks_to_help(desks)
    (part,) = desks.parts()
    helper = desks.at("helper")
    desks.at("lead").post(f"/department/{desks.number}/sign", data={"version": desks.ticket().version})
    own = f"/department/parts/{part.row.id}"
    for path in (f"/department/{desks.number}", f"/tickets/{desks.number}"):
        shown = helper.get(path).text
        assert f'href="{own}"' in shown, path
        for act in ("answer", "contact", "send-back", "sign"):
            assert f"/department/{desks.number}/{act}" not in shown, "what the lead does is not offered"
    assert "由主办单位（东城区政府）联系诉求人并统一答复" in helper.get(f"/department/{desks.number}").text
    said = {**GOOD, "version": desks.ticket().version}
    assert helper.post(f"/department/{desks.number}/answer", data=said).status_code == 403
    assert desks.ticket().state is State.SIGNED


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


#: What a citizen writes about himself, in the ways that slip through a plain comparison.
HIDDEN = (
    "我是王小明，家住幸福路8号院3号楼2单元301，门牌3号楼 2单元 301。"
    "王 小 明 电话139 0000 1234、１３９００００１２３４、"
    "139·0000·1234、幺三九零零零零幺二三四，座机5557001，身份证990102 19900101 1234，微信号wangxm8801，车牌辽·C1234F。"
)
SECRETS = ("小明", "小 明", "单元", "139", "１２３４", "二三四", "5557001", "990102", "wangxm", "C1234F", "301")


def test_no_way_of_writing_oneself_down_reaches_the_department_below(desks: Desks, now: datetime) -> None:
    with desks.tools.db.begin() as session:
        ticket = dispatched_ticket(
            session,
            session.get_one(Department, desks.district_id),
            title="王小明（139-0000-1234）反映污水外溢",
            content=HIDDEN,
            place="幸福路8号院门口，找王小明13900001234",
            name="王小明",
            phone="0412-5557001",
            address="东城区幸福路8号院3号楼2单元301",
            now=now - timedelta(hours=2),
        )
        number, ticket_id = ticket.number, ticket.id
    lead, below = desks.at("lead"), desks.at("below")
    for words in ("", f"请清理污水外溢。{HIDDEN}"):
        form = {"kind": "forward", "department_id": str(desks.street_id), "words": words}
        assert lead.post(f"/tickets/{number}/parts", data=form).status_code == 303
        with desks.tools.db.read() as session:
            part = parts.of_ticket(session, ticket_id)[-1].row
        end = lead.post(f"/tickets/{number}/parts/{part.id}/end", data={"words": f"不用了，{HIDDEN}"})
        assert end.status_code == 303
        address = f"/department/parts/{part.id}"
        for path in ("/department/parts?tab=all", address, f"{address}/print"):
            shown = below.get(path)
            assert shown.status_code == 200
            assert "污水外溢" in shown.text, path
            body = shown.text.partition("<main")[2].replace(number, "")
            assert [one for one in SECRETS if one in body] == [], path


def test_the_third_level_gets_parts_and_never_the_ticket(desks: Desks, now: datetime) -> None:
    with desks.tools.db.begin() as session:
        handler_id = make_department(
            session, "estate", name="幸福物业", kind=DepartmentKind.HANDLER, parent_id=desks.street_id
        ).id
        number = register_ticket(session, now=now).number
    dispatcher = desks.at("dispatcher")
    assert f'value="{handler_id}"' not in dispatcher.get(f"/dispatch/{number}").text
    handler, water = str(handler_id), str(desks.water_id)
    for wrong in ({"department_id": handler}, {"department_id": water, "assist_1": handler}):
        refused = dispatcher.post(f"/dispatch/{number}", data={"version": "1", **wrong})
        assert refused.status_code == 422
        assert "“幸福物业”是基层承办单位" in refused.text
    for login, words in (("lead", "请用“转办下级单位”"), ("dispatcher", "“幸福物业”是基层承办单位")):
        status, shown = asks_to_help(desks, login, department_id=str(handler_id))
        assert status == 422
        assert words in shown
    form = {"kind": "forward", "department_id": str(handler_id), "words": ""}
    assert desks.at("lead").post(f"/tickets/{desks.number}/parts", data=form).status_code == 303


def test_the_database_gives_the_third_level_forwarded_parts_alone(desks: Desks, now: datetime) -> None:
    with desks.tools.db.begin() as session:
        handler_id = make_department(session, kind=DepartmentKind.HANDLER, parent_id=desks.street_id).id
        bureau = make_department(session)
        ticket_id, bureau_id = dispatched_ticket(session, bureau, now=now).id, bureau.id
        bureau.kind = DepartmentKind.HANDLER
    helps = text(
        "INSERT INTO subtasks (ticket_id, dispatch_id, department_id, kind, words, due_at, given_at)"
        " SELECT ticket_id, id, :unit, 'assist', 'x', due_at, sent_at FROM dispatches WHERE ticket_id = :ticket"
    )
    holds = text(
        "INSERT INTO dispatches (ticket_id, department_id, round, is_current, sent_at, due_at, sign_due_at, profile,"
        " steps) SELECT ticket_id, :unit, 1, false, sent_at, due_at, sign_due_at, profile, steps FROM dispatches"
        " WHERE ticket_id = :ticket"
    )
    for statement in (helps, holds):
        with pytest.raises(Conflict, match="department_takes_tickets"), desks.tools.db.begin() as session:
            session.execute(statement, {"unit": handler_id, "ticket": desks.ticket_id})
    with desks.tools.db.begin() as session:
        session.execute(holds, {"unit": bureau_id, "ticket": ticket_id})  # what it had before the rule it does again


def test_on_paper_stands_who_did_which_part_and_why_one_was_left_out(desks: Desks) -> None:
    asks_to_help(desks)
    form = {"kind": "forward", "department_id": str(desks.street_id), "words": ""}
    lead = desks.at("lead")
    assert lead.post(f"/tickets/{desks.number}/parts", data=form).status_code == 303
    helps, forwarded = desks.parts()
    desks.at("helper").post(f"/department/parts/{helps.row.id}/answer", data={"answer": "管网已疏通两处。"})
    lead.post(f"/department/{desks.number}/sign", data={"version": desks.ticket().version})
    said = {**GOOD, "version": desks.ticket().version, "left_out_why": "现场由区里直接清理完毕"}
    assert lead.post(f"/department/{desks.number}/answer", data=said).status_code == 303
    for path in (f"/tickets/{desks.number}/print", f"/tickets/{desks.number}", f"/department/{desks.number}"):
        shown = lead.get(path).text
        for words in ("市水务局", "管网已疏通两处。", "现场由区里直接清理完毕", "幸福街道"):
            assert words in shown, (path, words)
    sheet = desks.at("below").get(f"/department/parts/{forwarded.row.id}/print").text
    assert "不含诉求人信息" in sheet
    assert "现场由区里直接清理完毕" not in sheet
    assert desks.at("helper").get(f"/department/parts/{forwarded.row.id}/print").status_code == 404


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
