"""The operator's desk: a call becomes a ticket once, whatever is typed and however often it is sent."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from hotline.core import clock
from hotline.core.db import keyring_of
from hotline.core.permissions import Actor, Role
from hotline.telephony.models import TextMessage
from hotline.tickets.models import JournalEntry, Ticket
from hotline.tickets.refusals import REFUSALS
from hotline.tickets.states import Act, Outcome, State
from hotline.wiring import Installation
from routing.queries import current_dispatch
from routing.relations import duplicates
from tests.makers import (
    count_queries,
    dispatched_ticket,
    make_actor,
    make_category,
    make_department,
    make_region,
    register_ticket,
    sign_in,
)

CONTENT = "幸福路 12 号门前的路灯坏了一个多星期，晚上走路看不清，请派人来修。"


@dataclass
class Desk:
    app: Flask
    tools: Installation
    client: FlaskClient
    operator: Actor
    department_id: int
    category_id: int
    region_id: int

    def call(self, **given: Any) -> dict[str, Any]:
        """Return a filled call form."""
        return {
            "key": "k-1",
            "phone": "13900001234",
            "name": "王小明",
            "channel": "phone",
            "request_type": "求助",
            "urgency": "一般",
            "content": CONTENT,
            "finish": "register",
            **given,
        }

    def post(self, **given: Any) -> Any:
        """Send the call form."""
        return self.client.post("/intake", data=self.call(**given))

    def tickets(self) -> list[Ticket]:
        with self.tools.db.read() as session:
            return list(session.scalars(select(Ticket).order_by(Ticket.id)))

    def texts(self) -> list[dict[str, str]]:
        """Return the messages that were queued, opened."""
        with self.tools.db.read() as session:
            rows = session.scalars(select(TextMessage).order_by(TextMessage.id))
            return [{"key": row.key, **keyring_of(session).open(row.sealed)} for row in rows]


@pytest.fixture
def desk(app: Flask, tools: Installation, now: datetime, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(clock, "now", lambda: now)
    with tools.db.begin() as session:
        operator = make_actor(session, Role.OPERATOR, login="operator", now=now)
        make_actor(session, Role.DISPATCHER, login="dispatcher", now=now)
        department = make_department(session, "urban_management", name="市城市管理局").id
        category = make_category(session, "CJ-0305", name="路灯照明", lead="urban_management").id
        region = make_region(session, name="北苑区").id
    client = app.test_client()
    sign_in(client, "operator")
    return Desk(app, tools, client, operator, department, category, region)


def shown(html: str) -> str:
    """Return what a person reads."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def key_in(html: str) -> str:
    found = re.search(r'name="key" value="([^"]+)"', html)
    assert found is not None
    return found[1]


def test_the_form_opens_with_a_key_of_its_own_each_time(desk: Desk) -> None:
    first, second = desk.client.get("/intake"), desk.client.get("/intake")
    assert first.status_code == 200
    assert key_in(first.text) != key_in(second.text)


def test_a_person_who_may_not_register_is_refused_at_the_door(desk: Desk) -> None:
    stranger = desk.app.test_client()
    sign_in(stranger, "dispatcher")
    assert stranger.get("/intake").status_code == 403
    assert stranger.post("/intake", data=desk.call()).status_code == 403
    assert desk.tickets() == []


def test_a_call_becomes_a_ticket_and_its_code_is_shown_once(desk: Desk) -> None:
    answer = desk.post(category_id=desk.category_id, region_id=desk.region_id)
    assert answer.status_code == 303
    (ticket,) = desk.tickets()
    assert ticket.state is State.REGISTERED
    assert (ticket.category_id, ticket.region_id) == (desk.category_id, desk.region_id)
    page = desk.client.get(answer.location)
    (text,) = desk.texts()
    code = re.search(r"查询码 (\d{6})", text["body"])
    assert code is not None
    assert ticket.number in page.text
    assert code[1] in page.text
    assert "请告知来电人" in page.text
    again = desk.client.get(answer.location)
    assert code[1] not in again.text
    assert "已显示过一次" in again.text


def test_a_late_answer_about_suggestions_does_not_take_the_code_away(desk: Desk) -> None:
    # The browser keeps the cookie that came last; an answer that carries none cannot overwrite what is told once.
    for path, given in (("/intake/suggest", {"content": CONTENT}), ("/intake/caller", {"phone": "13900001234"})):
        assert "Set-Cookie" not in desk.client.post(path, data=given).headers


def test_number_and_code_go_to_a_mobile_phone_once(desk: Desk) -> None:
    desk.post()
    (ticket,) = desk.tickets()
    (text,) = desk.texts()
    assert text["key"] == f"registered:{ticket.id}"
    assert text["to"] == "13900001234"
    assert ticket.number in text["body"]


def test_a_landline_gets_no_message_and_the_operator_is_told_to_read_the_code_out(desk: Desk) -> None:
    answer = desk.post(phone="0412-2225678")
    assert desk.texts() == []
    assert "请务必读给来电人" in desk.client.get(answer.location).text


def test_a_double_click_makes_one_ticket_and_gives_the_same_answer(desk: Desk) -> None:
    first = desk.post()
    one = desk.client.get(first.location).text
    second = desk.post()
    two = desk.client.get(second.location).text
    assert first.location == second.location
    assert len(desk.tickets()) == 1
    assert len(desk.texts()) == 1
    code = re.search(r"查询码 (\d{6})", desk.texts()[0]["body"])
    assert code is not None
    assert code[1] in one
    assert code[1] in two
    assert "没有重复建单" in two


def test_a_retried_direct_answer_does_not_act_twice(desk: Desk) -> None:
    wish = {"finish": "answer", "answer": "您好，路灯报修电话是 12345，已为您登记。"}
    assert desk.post(**wish).status_code == 303
    assert desk.post(**wish).status_code == 303
    (ticket,) = desk.tickets()
    assert ticket.outcome is Outcome.ANSWERED_DIRECTLY


def test_the_key_of_another_text_is_refused_and_a_new_key_is_handed_out(desk: Desk) -> None:
    desk.post()
    answer = desk.post(content="小区电梯停运三天，老人上不了楼，请协调维修。")
    assert answer.status_code == 409
    assert len(desk.tickets()) == 1
    assert "小区电梯停运三天" in answer.text
    fresh = key_in(answer.text)
    assert fresh != "k-1"
    assert desk.post(content="小区电梯停运三天，老人上不了楼，请协调维修。", key=fresh).status_code == 303
    assert len(desk.tickets()) == 2


def test_what_was_typed_stays_on_a_refusal(desk: Desk) -> None:
    answer = desk.post(
        phone="1390000",
        name="王小明",
        address="幸福路 12 号",
        place="幸福路",
        company="某灯具厂",
        happened_at="2999-01-01T10:00",
        content="灯",
        finish="transfer",
        transfer_number="A2026",
        anonymous="yes",
    )
    assert answer.status_code == 422
    for words in ("1390000", "王小明", "幸福路 12 号", "某灯具厂", "2999-01-01T10:00", "A2026"):
        assert f'value="{words}"' in answer.text
    read = shown(answer.text)
    for problem in ("电话号码不正确", "内容过短", "发生时间不能晚于现在", "请选择转往的单位"):
        assert problem in read
    assert desk.tickets() == []


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"finish": "answer", "answer": " \n"}, "请填写答复内容"),
        ({"finish": "dispatch"}, "请选择承办单位"),
        ({"finish": "dispatch", "department_id": "999999"}, "承办单位不存在"),
        ({"finish": "dispatch", "department_id": "abc"}, "所选项不存在"),
        ({"finish": "refuse"}, "请选择不予受理的理由"),
        ({"finish": "refuse", "refusal_reason": "NR-99"}, "不在清单内"),
        ({"finish": "transfer", "transfer_to": "other"}, "请写明转往"),
        ({"finish": "close"}, "请选择处理方式"),
        ({"category_id": "999999"}, "事件类别不存在"),
        ({"category_id": "x"}, "所选项不存在"),
        ({"channel": "telepathy"}, "来源渠道"),
        ({"phone": ""}, "请填写联系电话"),
        ({"finish": "answer", "answer": "好" * 5_001}, "最多 5000 字"),
    ],
)
def test_each_problem_is_told_at_its_field_and_nothing_is_written(
    desk: Desk, given: dict[str, Any], problem: str
) -> None:
    answer = desk.post(**given)
    assert answer.status_code == 422
    assert problem in answer.text
    assert "路灯坏了一个多星期" in answer.text
    assert desk.tickets() == []
    assert desk.texts() == []


def test_a_ticket_can_go_out_with_the_call(desk: Desk, now: datetime) -> None:
    answer = desk.post(finish="dispatch", department_id=desk.department_id)
    (ticket,) = desk.tickets()
    assert ticket.state is State.DISPATCHED
    with desk.tools.db.read() as session:
        sent = current_dispatch(session, ticket.id)
    assert sent is not None
    assert sent.department_id == desk.department_id
    assert ticket.due_at is not None
    assert ticket.due_at > now
    assert "市城市管理局" in desk.client.get(answer.location).text


def test_a_refusal_has_a_reason_of_the_list_and_its_words_unless_the_operator_has_his_own(desk: Desk) -> None:
    desk.post(finish="refuse", refusal_reason="NR-06")
    desk.post(key="k-2", finish="refuse", refusal_reason="NR-06", refusal_words="请拨打当地热线反映。")
    listed, own = desk.tickets()
    assert listed.outcome is own.outcome is Outcome.REFUSED
    assert listed.refusal_reason == "NR-06"
    assert listed.closing_words == REFUSALS["NR-06"].told
    assert own.closing_words == "请拨打当地热线反映。"


def test_a_transfer_keeps_the_number_of_the_other_side(desk: Desk) -> None:
    desk.post(finish="transfer", transfer_to="110", transfer_number="A2026-7", transfer_words="已三方通话。")
    desk.post(key="k-2", finish="transfer", transfer_to="other", transfer_other="邻市 12345")
    police, neighbour = desk.tickets()
    assert (police.transfer_to, police.transfer_number) == ("110", "A2026-7")
    assert police.closing_words == "已三方通话。"
    assert neighbour.transfer_to == "邻市 12345"
    assert police.state is neighbour.state is State.CLOSED


def test_an_anonymous_caller_needs_no_number_and_leaves_no_name(desk: Desk) -> None:
    assert desk.post(anonymous="yes", phone="").status_code == 303
    (ticket,) = desk.tickets()
    assert ticket.anonymous
    assert ticket.name_masked == ""


LINES = ["name", "address", "place", "company", "title", "dispatch_reason", "transfer_other", "transfer_number"]
HOSTILE = [
    "\x00\x01\x08 路灯\x0b坏了",
    "'; DROP TABLE tickets; --",
    "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>",
    "路燈壞了 💡🔥\u202e 請處理",
    "{{ 7 * 7 }} {% raw %} ${x}",
    "好" * 30_000,
    "\ud800 lone",
]


@pytest.mark.parametrize("words", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("finish", ["register", "dispatch", "answer", "refuse", "transfer"])
def test_hostile_words_in_every_field_are_taken_or_refused_but_never_break_anything(
    desk: Desk, words: str, finish: str
) -> None:
    words = words.encode("utf-8", "replace").decode()
    fields = [*LINES, "content", "answer", "refusal_words", "transfer_words"]
    answer = desk.post(
        **dict.fromkeys(fields, words),
        finish=finish,
        department_id=desk.department_id,
        refusal_reason="NR-05",
        transfer_to="other",
    )
    assert answer.status_code in {303, 422}
    assert "<script>alert(1)</script>" not in answer.text
    assert len(desk.tickets()) == (answer.status_code == 303)
    if answer.status_code == 303:
        page = desk.client.get(answer.location)
        assert page.status_code == 200
        assert "<script>alert(1)</script>" not in page.text
    for name in ("phone", "category_id", "region_id", "happened_at", "channel", "urgency", "request_type", "key"):
        assert desk.post(**{"key": f"other-{name}", name: words}).status_code in {303, 422}


def test_the_callers_earlier_tickets_appear_with_state_age_and_a_way_to_append(desk: Desk, now: datetime) -> None:
    with desk.tools.db.begin() as session:
        department = session.get_one(type(make_department(session)), desk.department_id)
        out = dispatched_ticket(
            session, department, title="幸福路路灯不亮", phone="13900005678", now=now - timedelta(days=2)
        )
        other = register_ticket(session, title="别人的工单", phone="13900009999", now=now - timedelta(days=1))
        number = out.number
    part = desk.client.post("/intake/caller", data={"phone": "139 0000 5678"})
    assert part.status_code == 200
    read = shown(part.text)
    for words in (number, "待签收", "幸福路路灯不亮", "2 天前", "市城市管理局", "并入"):
        assert words in read
    assert other.number not in read
    assert f'formaction="/intake/append/{number}"' in part.text


@pytest.mark.parametrize("phone", ["", "139", "1390000", "110", "abc", "12345"])
def test_a_number_that_is_not_complete_says_nothing_about_anybody(desk: Desk, phone: str) -> None:
    part = desk.client.post("/intake/caller", data={"phone": phone})
    assert part.status_code == 200
    assert "号码输完后" in part.text


def test_an_unknown_number_is_a_first_call(desk: Desk) -> None:
    assert "首次来电" in desk.client.post("/intake/caller", data={"phone": "13911112222"}).text


def test_a_phone_number_never_travels_in_an_address(desk: Desk) -> None:
    assert desk.client.get("/intake/caller?phone=13900001234").status_code == 405


def test_several_people_on_one_number_are_asked_for_and_no_name_is_filled_in(desk: Desk, now: datetime) -> None:
    with desk.tools.db.begin() as session:
        register_ticket(session, name="王小明", now=now)
        register_ticket(session, name="王小红", now=now)
    part = desk.client.post("/intake/caller", data={"phone": "13900001234"})
    assert "2 位诉求人" in part.text
    assert "请询问姓名" in part.text
    filled = desk.client.post("/intake/caller/name", data={"phone": "13900001234"})
    for text in (part.text, filled.text):
        assert "王小明" not in text
        assert "王小红" not in text
    assert "填入姓名" not in part.text


def test_the_one_name_of_a_number_is_filled_in_on_request_and_the_look_is_in_the_journal(
    desk: Desk, now: datetime
) -> None:
    with desk.tools.db.begin() as session:
        register_ticket(session, name="王小明", now=now - timedelta(days=3))
        register_ticket(session, name="王小明", now=now)
    part = desk.client.post("/intake/caller", data={"phone": "13900001234"})
    assert "王小明" not in part.text
    assert "王**" in part.text
    filled = desk.client.post("/intake/caller/name", data={"phone": "13900001234"})
    assert 'value="王小明"' in filled.text
    with desk.tools.db.read() as session:
        (look,) = session.scalars(select(JournalEntry).where(JournalEntry.act == Act.REVEAL))
    assert look.by_id == desk.operator.user_id


def test_a_call_is_appended_to_the_earlier_ticket_once(desk: Desk, now: datetime) -> None:
    with desk.tools.db.begin() as session:
        earlier = register_ticket(session, now=now - timedelta(days=1))
    for _ in range(2):
        answer = desk.client.post(f"/intake/append/{earlier.number}", data=desk.call(content="还没有人来修，催一下。"))
        assert answer.status_code == 303
    (ticket,) = desk.tickets()
    assert ticket.repeats == 1
    with desk.tools.db.read() as session:
        (entry,) = session.scalars(select(JournalEntry).where(JournalEntry.act == Act.REPEAT))
    assert entry.note == "还没有人来修，催一下。"
    page = desk.client.get(answer.location)
    assert "累计来电" in page.text
    assert "2 次" in page.text


def test_a_supplement_that_is_too_long_stays_in_the_form(desk: Desk, now: datetime) -> None:
    with desk.tools.db.begin() as session:
        earlier = register_ticket(session, now=now)
    answer = desk.client.post(f"/intake/append/{earlier.number}", data=desk.call(content="催" * 2_001))
    assert answer.status_code == 422
    assert "最多 2000 字" in answer.text
    assert "催" * 2_001 in answer.text
    assert desk.tickets()[0].repeats == 0


def test_a_key_that_appended_does_not_register_as_well(desk: Desk, now: datetime) -> None:
    with desk.tools.db.begin() as session:
        earlier = register_ticket(session, now=now)
    assert desk.client.post(f"/intake/append/{earlier.number}", data=desk.call()).status_code == 303
    assert desk.post().status_code == 409
    assert len(desk.tickets()) == 1


def test_without_a_model_the_page_says_so_and_word_lists_still_warn(desk: Desk) -> None:
    part = desk.client.post("/intake/suggest", data={"content": "楼下有人要跳楼，马上出人命了"})
    assert part.status_code == 200
    read = shown(part.text)
    assert "分类模型暂不可用" in read
    assert "特急" in read
    assert 'data-take="urgency=%E7%89%B9%E6%80%A5"' in part.text


def test_too_little_text_is_not_judged(desk: Desk) -> None:
    assert "输入诉求内容时" in desk.client.post("/intake/suggest", data={"content": "你好"}).text


@pytest.mark.usefixtures("with_model")
def test_the_text_brings_category_department_region_and_likely_duplicates(desk: Desk, now: datetime) -> None:
    text = "北苑区幸福路的路灯坏了三天，整条街晚上漆黑一片，老人走路摔跤，请尽快来维修路灯。"
    with desk.tools.db.begin() as session:
        same = register_ticket(session, content=text, phone="13900007777", now=now - timedelta(days=1))
        duplicates.remember(session, session.get_one(Ticket, same.ticket_id))
        label = desk.tools.suggester.suggest("", text).category.candidates[0].label
        lead = desk.tools.suggester.suggest("", text).departments.lead[0].label
        category = make_category(session, label, name="城市道路与路灯", lead=lead)
        if lead != "urban_management":
            make_department(session, lead, name="市路灯管理单位")
        category_id = category.id
    with count_queries(desk.tools.db) as counted:
        part = desk.client.post("/intake/suggest", data={"content": text})
    assert part.status_code == 200
    assert f'data-take="category_id={category_id}"' in part.text
    assert 'data-key="alt+1"' in part.text
    assert re.search(r"把握.*?（\d+%）", shown(part.text))
    assert "finish=dispatch&amp;department_id=" in part.text
    assert f'data-take="region_id={desk.region_id}"' in part.text
    assert same.number in part.text
    assert "重复（" in part.text
    assert '<mark class="mark-moved">' in part.text
    assert counted.count <= 11, counted.statements  # the eleventh: the list of service items


@pytest.mark.usefixtures("with_model")
@pytest.mark.parametrize("words", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_words_do_not_break_the_suggestions(desk: Desk, words: str) -> None:
    words = words.encode("utf-8", "replace").decode()
    part = desk.client.post(
        "/intake/suggest", data={"title": words, "content": words, "place": words, "region_id": words}
    )
    assert part.status_code == 200
    assert "<script>" not in part.text
