"""The citizen's pages: handing in once, tracking by number and code only, rating, and every bad input."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from callbacks.models import CitizenRating
from hotline.app import create_app
from hotline.core import clock
from hotline.core.permissions import Actor, Role
from hotline.people.models import SignInFailure
from hotline.telephony.models import TextMessage
from hotline.tickets import actions as tickets
from hotline.tickets.models import Attachment, JournalEntry, Ticket
from hotline.tickets.states import Act, State
from hotline.tickets.vocabulary import Channel
from hotline.web.public import SUBMISSIONS
from hotline.web.track import ADDITIONS, GUESSES, NUMBER_GUESSES
from hotline.wiring import Installation
from routing import actions as routing
from tests.makers import (
    answered_ticket,
    count_queries,
    dispatched_ticket,
    feedback,
    make_actor,
    make_department,
    register_ticket,
    returned_ticket,
)

CONTENT = "北苑区幸福路 12 号门口的路灯坏了一个多星期，晚上看不清路，请派人来修。"
KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def instant(monkeypatch: pytest.MonkeyPatch, now: datetime) -> list[datetime]:
    """Hold the clock at NOW; a test moves it by setting the only item."""
    held = [now]
    monkeypatch.setattr(clock, "now", lambda: held[0])
    return held


def typed(**given: Any) -> dict[str, Any]:
    return {
        "content": CONTENT,
        "place": "北苑区幸福路 12 号",
        "phone": "13900001234",
        "name": "王小明",
        "anonymous": "no",
        "wants_callback": "yes",
        "key": KEY,
        **given,
    }


def numbers(answer: TestResponse) -> tuple[str, str]:
    """Return number and code from the page that shows them."""
    number = re.search(r'id="number">(\d+)<', answer.text)
    code = re.search(r'id="code">(\d{6})<', answer.text)
    assert number, answer.text
    return number[1], code[1] if code else ""


def hand_in(client: FlaskClient, **given: Any) -> tuple[str, str]:
    answer = client.post("/submit", data=typed(**given), follow_redirects=True)
    assert answer.status_code == 200, answer.text
    return numbers(answer)


def track(client: FlaskClient, number: str, code: str) -> TestResponse:
    return client.post("/track", data={"number": number, "code": code}, follow_redirects=True)


def show(app: Flask, client: FlaskClient, ticket: Ticket) -> None:
    """Let this browser see a ticket whose code nobody kept."""
    until = (clock.now() + timedelta(minutes=30)).isoformat()
    with client.session_transaction() as session:
        session["tracked"] = {"number": ticket.number, "until": until}


def picture() -> io.BytesIO:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(out, "PNG")
    out.seek(0)
    return out


def tickets_in(tools: Installation) -> int:
    with tools.db.read() as session:
        return session.scalar(select(func.count()).select_from(Ticket)) or 0


# --- the ways in


def test_the_first_page_shows_three_ways_and_what_is_not_taken(client: FlaskClient, tools: Installation) -> None:
    with count_queries(tools.db) as counted:
        answer = client.get("/")
    assert answer.status_code == 200
    assert counted.count == 0
    for words in ("我要反映", "查询进度", "打电话 12345", "110", "119", "120"):
        assert words in answer.text
    assert "tabler" not in answer.text


def test_every_page_leads_to_the_source_code_and_its_licence(client: FlaskClient, tools: Installation) -> None:
    for path in ("/submit", "/sign-in", "/no-such-page"):
        assert 'href="/source"' in client.get(path).text
    asked = client.get("/source").text
    assert "AGPL-3.0" in asked
    assert "拨打 12345 向" in asked
    published = replace(tools, settings=replace(tools.settings, source_url="https://code.wangchuan.example/hotline"))
    there = create_app(published).test_client()
    assert 'href="https://code.wangchuan.example/hotline"' in there.get("/submit").text
    assert "拨打 12345 向" not in there.get("/source").text


def test_a_citizen_hands_in_a_concern_and_gets_number_and_code(client: FlaskClient, tools: Installation) -> None:
    number, code = hand_in(client)
    assert number.startswith("20261008")
    with tools.db.read() as session:
        ticket = session.scalars(select(Ticket)).one()
        assert (ticket.number, ticket.state, ticket.channel) == (number, State.REGISTERED, Channel.WEB)
        assert ticket.query_code_index == tools.keyring.index(f"query:{code}")
        assert tools.keyring.open(ticket.personal_sealed)["phone"] == "13900001234"
        assert ticket.wants_callback
        assert not ticket.confidential
        message = session.scalars(select(TextMessage)).one()
        assert message.key == f"registered:{ticket.id}"
        opened = tools.keyring.open(message.sealed)
        assert opened["to"] == "13900001234"
        assert number in opened["body"]
        assert code in opened["body"]


def test_the_page_of_the_code_says_the_usual_limits_of_the_city(client: FlaskClient) -> None:
    answer = client.post("/submit", data=typed(), follow_redirects=True)
    assert "咨询 2 个工作日内，求助和建议 5 个工作日内，投诉和举报 10 个工作日内，紧急的 24 小时内。" in answer.text
    assert "短信发到您的手机" in answer.text


def test_the_code_is_not_readable_in_the_cookie(client: FlaskClient) -> None:
    answer = client.post("/submit", data=typed())
    assert answer.status_code == 303
    cookie = answer.headers["Set-Cookie"]
    _, code = numbers(client.get("/submit/done"))
    import base64
    import zlib

    value = cookie.split("hotline=")[1].split(";")[0]
    packed = value.lstrip(".").split(".")[0]
    raw = base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))
    body = zlib.decompress(raw) if value.startswith(".") else raw
    assert b"tracked" in body
    assert code.encode() not in body


def test_a_landline_gets_no_message(client: FlaskClient, tools: Installation) -> None:
    hand_in(client, phone="0412-2221234")
    with tools.db.read() as session:
        assert session.scalars(select(TextMessage)).all() == []


def test_an_anonymous_concern_keeps_neither_name_nor_phone_even_if_they_were_typed(
    client: FlaskClient, tools: Installation
) -> None:
    hand_in(client, anonymous="yes")
    with tools.db.read() as session:
        ticket = session.scalars(select(Ticket)).one()
        assert ticket.anonymous
        assert not ticket.wants_callback
        assert tools.keyring.open(ticket.personal_sealed) == {}
        assert session.scalars(select(TextMessage)).all() == []


def test_secrecy_towards_the_unit_is_kept(client: FlaskClient, tools: Installation) -> None:
    hand_in(client, confidential="yes", wants_callback="")
    with tools.db.read() as session:
        ticket = session.scalars(select(Ticket)).one()
        assert ticket.confidential
        assert not ticket.wants_callback


def test_a_second_click_and_a_retried_post_give_the_same_ticket(client: FlaskClient, tools: Installation) -> None:
    first = hand_in(client)
    assert hand_in(client) == first
    assert tickets_in(tools) == 1
    with tools.db.read() as session:
        assert len(session.scalars(select(TextMessage)).all()) == 1
        assert session.scalars(select(SignInFailure)).one().failures == 1


def test_a_retry_with_files_attaches_them_once(client: FlaskClient, tools: Installation) -> None:
    for _ in range(2):
        hand_in(client, files=[(picture(), "灯.png")])
    with tools.db.read() as session:
        rows = session.scalars(select(Attachment)).all()
        assert [(row.name, row.public) for row in rows] == [("灯.png", True)]


def test_a_page_that_was_gone_back_to_and_changed_gets_a_fresh_key(client: FlaskClient, tools: Installation) -> None:
    hand_in(client)
    other = "南苑区学府街的下水道堵了，污水流到路上，请来疏通。"
    answer = client.post("/submit", data=typed(content=other))
    assert answer.status_code == 409
    assert other in answer.text
    fresh = re.search(r'name="key" value="([0-9a-f]{32})"', answer.text)
    assert fresh
    assert fresh[1] != KEY
    hand_in(client, content=other, key=fresh[1])
    assert tickets_in(tools) == 2


def test_the_same_open_matter_is_told_kindly_and_not_registered_twice(client: FlaskClient, tools: Installation) -> None:
    number, _ = hand_in(client)
    answer = client.post("/submit", data=typed(key="f" * 32), follow_redirects=True)
    assert "这件事正在办理中" in answer.text
    assert numbers(answer) == (number, "")
    with tools.db.read() as session:
        assert session.scalars(select(Ticket)).one().repeats == 1


def test_the_same_matter_with_the_same_file_again_is_no_error(client: FlaskClient, tools: Installation) -> None:
    hand_in(client, files=[(picture(), "a.png")])
    answer = client.post("/submit", data=typed(key="f" * 32, files=[(picture(), "a.png")]), follow_redirects=True)
    assert "这件事正在办理中" in answer.text


def test_who_repeats_anothers_words_may_not_track_his_ticket(app: Flask, client: FlaskClient) -> None:
    hand_in(client)
    stranger = app.test_client()
    stranger.post("/submit", data=typed(key="f" * 32))
    assert stranger.get("/track/ticket").status_code == 302


# --- bad input


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({"content": ""}, "content", "请填写诉求内容"),
        ({"content": " \u200b\x00\x07 "}, "content", "请填写诉求内容"),
        ({"content": "灯坏"}, "content", "内容过短"),
        ({"content": "灯" * 100_000}, "content", "最多 20000 字，现有 100000 字"),
        ({"phone": ""}, "phone", "请填写联系电话"),
        ({"phone": "12"}, "phone", "电话号码"),
        ({"phone": "1390000123456789"}, "phone", "电话号码"),
        ({"phone": "<script>alert(1)</script>"}, "phone", "只能包含数字"),
        ({"phone": "139\x0000001234"}, "phone", "只能包含数字"),
        ({"happened_at": "2026-10-09"}, "happened_at", "不能晚于现在"),
        ({"happened_at": "0001-01-01"}, "happened_at", "过早"),
        ({"happened_at": "9999-12-31"}, "happened_at", "不能晚于现在"),
        ({"happened_at": "昨天"}, "happened_at", "格式不正确"),
        ({"name": "王" * 41}, "name", "姓名最多 40 字"),
        ({"place": "路" * 201}, "place", "事发地点最多 200 字"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_refusal_names_the_field_and_keeps_what_was_typed(  # noqa: PLR0917 - fixtures and the case
    client: FlaskClient, tools: Installation, given: dict[str, str], field: str, words: str
) -> None:
    answer = client.post("/submit", data=typed(confidential="yes", **given))
    assert answer.status_code == 422
    assert f'href="#f-{field}"' in answer.text
    assert words in answer.text
    if field != "content":
        assert CONTENT in answer.text
    else:
        assert given["content"].replace("\x00", "\ufffd") in answer.text.replace("\x00", "\ufffd")
    assert KEY in answer.text
    assert re.search(r'id="f-confidential"[^>]* checked', answer.text)
    assert tickets_in(tools) == 0


@pytest.mark.parametrize(
    "words",
    [
        "'; DROP TABLE tickets; --",
        "<script>alert(1)</script><img src=x onerror=alert(1)>",
        "{{ 7*7 }} ${7*7} %s %(x)s \\x27",
        "路燈壞了，請儘快處理。",
        "路灯坏了😀👨‍👩‍👧🚧，请修。",
        "=cmd|' /C calc'!A0",
    ],
)
def test_anything_may_stand_in_every_field_and_stays_what_it_is(
    app: Flask, client: FlaskClient, tools: Installation, words: str
) -> None:
    number, code = hand_in(client, content=f"{words} 请处理这件事", name=words[:20], place=words)
    with tools.db.read() as session:
        ticket = session.scalars(select(Ticket)).one()
        assert ticket.content == f"{words} 请处理这件事"
        assert ticket.place == words
    page = track(app.test_client(), number, code)
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert "<img src=x" not in page.text
    assert "49" not in page.text.split("您反映的内容")[1].split("受理")[0] or "49" in number


def test_control_characters_are_taken_out_of_what_is_kept(client: FlaskClient, tools: Installation) -> None:
    hand_in(client, content="路灯\x00坏了\x08一个\u202e星期了", place="幸福\x01路", name="王\x02明")
    with tools.db.read() as session:
        ticket = session.scalars(select(Ticket)).one()
        assert ticket.content == "路灯坏了一个星期了"
        assert ticket.place == "幸福路"
        assert tools.keyring.open(ticket.personal_sealed)["name"] == "王明"


def test_a_bad_file_refuses_the_whole_and_the_number_of_files_to_choose_again_is_told(
    client: FlaskClient, tools: Installation
) -> None:
    files = [(picture(), "灯.png"), (io.BytesIO(b"MZ\x90\x00 program"), "照片.png")]
    answer = client.post("/submit", data=typed(files=files))
    assert answer.status_code == 422
    assert 'href="#f-files"' in answer.text
    assert "刚才选的 2 个文件没有保存" in answer.text
    assert CONTENT in answer.text
    assert tickets_in(tools) == 0


def test_too_many_files_are_refused_at_their_field(client: FlaskClient) -> None:
    answer = client.post("/submit", data=typed(files=[(picture(), f"{n}.png") for n in range(11)]))
    assert answer.status_code == 413
    assert 'href="#f-files"' in answer.text
    assert CONTENT in answer.text


def test_a_key_that_is_none_of_ours_is_replaced(client: FlaskClient, tools: Installation) -> None:
    hand_in(client, key="'; --\x00" * 40)
    assert tickets_in(tools) == 1


def test_a_page_older_than_the_browsers_session_keeps_what_was_typed(app: Flask, client: FlaskClient) -> None:
    app.config["WTF_CSRF_ENABLED"] = True
    answer = client.post("/submit", data=typed())
    assert answer.status_code == 400
    assert CONTENT in answer.text
    assert "请再按一次提交" in answer.text


def test_one_address_hands_in_so_many_concerns_an_hour_and_loses_no_word(
    client: FlaskClient, tools: Installation, instant: list[datetime]
) -> None:
    for number in range(SUBMISSIONS.most):
        hand_in(client, content=f"{CONTENT}第 {number} 处", key=f"{number:032x}")
    refused = client.post("/submit", data=typed(content="另一处路灯也坏了，请修。", key="e" * 32))
    assert refused.status_code == 429
    assert "另一处路灯也坏了" in refused.text
    assert tickets_in(tools) == SUBMISSIONS.most
    # A retry of one that went in is no new one.
    assert client.post("/submit", data=typed(content=f"{CONTENT}第 1 处", key=f"{1:032x}")).status_code == 303
    elsewhere = client.post(
        "/submit",
        data=typed(content="另一处路灯也坏了，请修。", key="d" * 32),
        environ_base={"REMOTE_ADDR": "10.1.1.1"},
    )
    assert elsewhere.status_code == 303
    instant[0] += SUBMISSIONS.window
    assert client.post("/submit", data=typed(content="又一处路灯也坏了，请修。", key="c" * 32)).status_code == 303


# --- tracking


def test_number_and_code_open_the_ticket_and_stand_in_no_address(app: Flask, client: FlaskClient) -> None:
    number, code = hand_in(client)
    other = app.test_client()
    answer = other.post("/track", data={"number": number, "code": code})
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/track/ticket"
    shown = other.get("/track/ticket")
    assert number in shown.text
    assert "热线正在确定由哪个单位办理" in shown.text
    assert shown.headers["Cache-Control"] == "no-store"


def test_numbers_may_be_typed_with_blanks_and_full_width(app: Flask, client: FlaskClient) -> None:
    number, code = hand_in(client)
    wide = str.maketrans("0123456789", "０１２３４５６７８９")
    answer = track(app.test_client(), f" {number[:8]} {number[8:]} ".translate(wide), f"{code[:3]}-{code[3:]}")
    assert answer.status_code == 200
    assert number in answer.text


def test_a_wrong_number_and_a_wrong_code_get_the_same_answer(app: Flask, client: FlaskClient) -> None:
    number, code = hand_in(client)
    wrong = f"{(int(code) + 1) % 1_000_000:06d}"
    one = app.test_client().post("/track", data={"number": number, "code": wrong})
    other = app.test_client().post("/track", data={"number": "209901010000001", "code": code})

    def plain(answer: TestResponse, *typed: str) -> str:
        text = re.sub(r'name="csrf-token" content="[^"]*"|name="csrf_token" value="[^"]*"', "", answer.text)
        for value in typed:
            text = text.replace(value, "…")
        return text

    assert one.status_code == other.status_code == 422
    assert "受理编号或查询码不正确" in one.text
    assert plain(one, number, wrong) == plain(other, "209901010000001", code)


@pytest.mark.parametrize("given", [{"number": "", "code": ""}, {"number": "abc'--", "code": "\x00<b>"}, {}])
def test_what_is_no_number_is_asked_for_by_field(client: FlaskClient, given: dict[str, str]) -> None:
    answer = client.post("/track", data=given)
    assert answer.status_code == 422
    assert 'href="#f-number"' in answer.text
    assert 'href="#f-code"' in answer.text


def test_an_address_guesses_so_often_and_then_waits_even_with_the_right_code(
    client: FlaskClient, app: Flask, instant: list[datetime]
) -> None:
    number, code = hand_in(client)
    guesser = app.test_client()
    for guess in range(GUESSES.most):
        given = {"number": f"20990101{guess:07d}", "code": "000000"}
        assert guesser.post("/track", data=given).status_code == 422
    assert guesser.post("/track", data={"number": number, "code": code}).status_code == 429
    elsewhere = app.test_client().post(
        "/track", data={"number": number, "code": code}, environ_base={"REMOTE_ADDR": "10.1.1.1"}
    )
    assert elsewhere.status_code == 303
    instant[0] += GUESSES.window
    assert guesser.post("/track", data={"number": number, "code": code}).status_code == 303


def test_many_addresses_together_do_not_try_one_numbers_codes(client: FlaskClient, app: Flask) -> None:
    number, code = hand_in(client)
    wrong = f"{(int(code) + 1) % 1_000_000:06d}"
    for guess in range(NUMBER_GUESSES.most):
        given = {"number": number, "code": wrong}
        app.test_client().post("/track", data=given, environ_base={"REMOTE_ADDR": f"10.0.0.{guess}"})
    answer = app.test_client().post(
        "/track", data={"number": number, "code": code}, environ_base={"REMOTE_ADDR": "10.9.9.9"}
    )
    assert answer.status_code == 429


def test_addresses_of_one_ipv6_network_count_together(app: Flask) -> None:
    client = app.test_client()
    for guess in range(GUESSES.most):
        given = {"number": f"20990101{guess:07d}", "code": "000000"}
        client.post("/track", data=given, environ_base={"REMOTE_ADDR": f"2001:db8::{guess:x}"})
    given = {"number": "209901019999999", "code": "000000"}
    near = client.post("/track", data=given, environ_base={"REMOTE_ADDR": "2001:db8::ffff"})
    far = client.post("/track", data=given, environ_base={"REMOTE_ADDR": "2001:db8:1::1"})
    assert (near.status_code, far.status_code) == (429, 422)


def test_the_page_says_who_holds_it_since_when_and_until_when(
    app: Flask, client: FlaskClient, tools: Installation, now: datetime
) -> None:
    with tools.db.begin() as session:
        unit = make_department(session, name="市城市管理局")
        ticket = dispatched_ticket(session, unit, now=now - timedelta(hours=3))
    show(app, client, ticket)
    text = client.get("/track/ticket").text
    assert "市城市管理局" in text
    assert "10 月 8 日（星期四）07:00" in text
    assert "还没有签收" in text
    assert re.search(r"答复期限.*10 月 1\d 日（星期.）\d\d:\d\d", text, re.DOTALL)
    assert "还剩 " in text
    assert "这个期限是怎么算的" in text


def test_an_overdue_ticket_says_so(app: Flask, client: FlaskClient, tools: Installation, now: datetime) -> None:
    with tools.db.begin() as session:
        unit = make_department(session)
        ticket = dispatched_ticket(session, unit, now=now - timedelta(days=40))
    show(app, client, ticket)
    assert "已超过期限" in client.get("/track/ticket").text


def test_answers_are_shown_and_what_is_internal_is_not(
    app: Flask, client: FlaskClient, tools: Installation, now: datetime
) -> None:
    with tools.db.begin() as session:
        unit = make_department(session)
        responder = make_actor(session, Role.RESPONDER, departments=[unit], name="孙立", now=now)
        ticket = dispatched_ticket(session, unit, now=now - timedelta(days=1))
        tickets.note(session, ticket_id=ticket.id, words="内部备注不外传", by=_operator(session, now), now=now)
        said = feedback(internal_note="内部办理情况不外传", public_answer="路灯已经修好，请您查看。")
        routing.answer(session, ticket_id=ticket.id, version=None, feedback=said, by=responder, now=now)
    show(app, client, ticket)
    text = client.get("/track/ticket").text
    assert "路灯已经修好，请您查看。" in text
    assert "不外传" not in text
    assert "孙立" not in text
    assert "热线回访员会来电" in text
    assert "请您评价这次办理" in text


def test_returns_are_counted_and_told_without_the_units_reasons(
    app: Flask, client: FlaskClient, tools: Installation, now: datetime
) -> None:
    with tools.db.begin() as session:
        unit = make_department(session, name="市水务局")
        ticket = _returned(session, unit, now=now - timedelta(hours=1))
    show(app, client, ticket)
    text = client.get("/track/ticket").text
    assert re.search(r"先后有 <strong>1</strong> 次被单位.*退回，热线审核同意后改派", text)
    assert "市水务局提出不属于本单位职责" in text
    assert "内部理由不外传" not in text
    assert "热线正在重新确定承办单位" in text


def test_a_refusal_says_why_and_where_to_turn(
    app: Flask, client: FlaskClient, tools: Installation, now: datetime
) -> None:
    with tools.db.begin() as session:
        by = _operator(session, now)
        made = register_ticket(session, by=by, now=now)
        ticket = tickets.refuse(
            session, ticket_id=made.ticket_id, version=1, reason="NR-06", words="事情发生在外地。", by=by, now=now
        )
    show(app, client, ticket)
    text = client.get("/track/ticket").text
    assert "不予受理" in text
    assert "事情发生在外地。" in text
    assert "加拨事发地区号再拨 12345" in text


def test_a_transfer_says_to_whom(app: Flask, client: FlaskClient, tools: Installation, now: datetime) -> None:
    with tools.db.begin() as session:
        by = _operator(session, now)
        made = register_ticket(session, by=by, now=now)
        ticket = tickets.transfer(
            session,
            ticket_id=made.ticket_id,
            version=1,
            to="110",
            other_number="A-17",
            words="已联系。",
            by=by,
            now=now,
        )
    show(app, client, ticket)
    assert "已转给：110，对方编号 A-17。" in client.get("/track/ticket").text


def test_the_citizen_sees_who_looked_at_his_data_by_role_and_not_by_name(
    app: Flask, client: FlaskClient, tools: Installation, now: datetime
) -> None:
    with tools.db.begin() as session:
        unit = make_department(session, name="市城市管理局")
        ticket = dispatched_ticket(session, unit, now=now - timedelta(hours=3))
        for who in (
            make_actor(session, Role.OPERATOR, name="林晓燕", now=now),
            make_actor(session, Role.RESPONDER, departments=[unit], name="孙立", now=now),
        ):
            tickets.reveal(session, ticket_id=ticket.id, reason="核实地址", by=who, now=now)
    show(app, client, ticket)
    text = client.get("/track/ticket").text
    assert "谁看过我的个人信息（2 次）" in text
    assert "话务员" in text
    assert "市城市管理局承办人员" in text
    assert "林晓燕" not in text
    assert "核实地址" not in text


def test_what_the_page_tells_costs_ten_questions_at_most(
    app: Flask, client: FlaskClient, tools: Installation, now: datetime
) -> None:
    with tools.db.begin() as session:
        unit = make_department(session)
        ticket = answered_ticket(session, unit, now=now - timedelta(hours=3))
        operator = _operator(session, now)
        for _ in range(20):
            tickets.reveal(session, ticket_id=ticket.id, reason="", by=operator, now=now)
    show(app, client, ticket)
    with count_queries(tools.db) as counted:
        assert client.get("/track/ticket").status_code == 200
    assert counted.count <= 10, counted.statements


def test_the_browser_may_look_for_half_an_hour_and_can_leave_before(
    client: FlaskClient, instant: list[datetime]
) -> None:
    hand_in(client)
    assert client.get("/track/ticket").status_code == 200
    client.post("/track/leave")
    assert client.get("/track/ticket").status_code == 302
    assert client.get("/submit/done").status_code == 302
    hand_in(client)
    instant[0] += timedelta(minutes=30)
    assert client.get("/track/ticket").status_code == 302
    assert client.get("/submit/done").status_code == 302


def test_nobody_sees_a_ticket_without_its_code(client: FlaskClient) -> None:
    for path in ("/track/ticket", "/track/files/1", "/submit/done"):
        assert client.get(path).status_code == 302
    for path in ("/track/rate", "/track/add"):
        assert client.post(path, data={"stars": "1", "words": "我写的话", "more": "我写的话"}).status_code == 401


def test_a_forged_cookie_opens_nothing(client: FlaskClient) -> None:
    client.set_cookie("hotline", "eyJ0cmFja2VkIjp7Im51bWJlciI6IjEifX0.forged.signature")
    assert client.get("/track/ticket").status_code == 302


def test_the_citizens_own_files_come_back_and_internal_ones_do_not(
    app: Flask, client: FlaskClient, tools: Installation, now: datetime
) -> None:
    from hotline.tickets import files

    hand_in(client, files=[(picture(), "灯.png")])
    with tools.db.begin() as session:
        ticket = session.scalars(select(Ticket)).one()
        own = session.scalars(select(Attachment)).one().id
        inner = files.attach(
            session,
            tools.store,
            ticket_id=ticket.id,
            uploads=[files.Upload(name="内部.txt", content="内部材料".encode())],
            by=_operator(session, now),
            now=now,
        )[0].id
    assert "内部.txt" not in client.get("/track/ticket").text
    answer = client.get(f"/track/files/{own}")
    assert answer.status_code == 200
    assert answer.mimetype == "image/png"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert client.get(f"/track/files/{inner}").status_code == 404


# --- rating and adding


def test_an_answered_ticket_is_rated_once_per_round(
    app: Flask, client: FlaskClient, tools: Installation, now: datetime
) -> None:
    with tools.db.begin() as session:
        ticket = answered_ticket(session, make_department(session), now=now - timedelta(hours=3))
    show(app, client, ticket)
    answer = client.post("/track/rate", data={"stars": "2", "words": "灯又坏了\x00"}, follow_redirects=True)
    assert "评价已提交" in answer.text
    assert "不满意，2 星" in answer.text
    assert "请您评价这次办理" not in answer.text
    again = client.post("/track/rate", data={"stars": "5"}, follow_redirects=True)
    assert "您已经评价过本次办理" in again.text
    with tools.db.read() as session:
        assert [(row.stars, row.words) for row in session.scalars(select(CitizenRating))] == [(2, "灯又坏了")]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"stars": ""}, "stars"),
        ({"stars": "6"}, "stars"),
        ({"stars": "1.5"}, "stars"),
        ({"stars": "５"}, "stars"),
        ({"stars": "3", "words": "长" * 1_001}, "words"),
    ],
)
def test_a_rating_that_cannot_be_is_told_by_field(  # noqa: PLR0917 - fixtures and the case
    app: Flask, client: FlaskClient, tools: Installation, now: datetime, given: dict[str, str], field: str
) -> None:
    with tools.db.begin() as session:
        ticket = answered_ticket(session, make_department(session), now=now - timedelta(hours=3))
    show(app, client, ticket)
    answer = client.post("/track/rate", data={"words": "我写的话", **given})
    assert answer.status_code == 422
    assert f'href="#f-{field}"' in answer.text
    assert given.get("words", "我写的话") in answer.text


def test_what_was_not_answered_cannot_be_rated(client: FlaskClient) -> None:
    hand_in(client)
    assert "请您评价这次办理" not in client.get("/track/ticket").text
    answer = client.post("/track/rate", data={"stars": "1"})
    assert answer.status_code == 422
    assert "答复后即可评价" in answer.text


def test_an_open_ticket_takes_more_words_and_pictures_once_per_click(client: FlaskClient, tools: Installation) -> None:
    hand_in(client)
    for _ in range(2):
        given = {"what": "add", "more": "今天又有一盏灯坏了", "key": "b" * 32, "files": [(picture(), "新.png")]}
        answer = client.post("/track/add", data=given, follow_redirects=True)
        assert "已记入工单" in answer.text
    with tools.db.read() as session:
        assert session.scalars(select(Ticket)).one().repeats == 1
        entry = session.scalars(select(JournalEntry).where(JournalEntry.act == Act.REPEAT)).one()
        assert entry.note == "【补充】今天又有一盏灯坏了"
        assert session.scalars(select(Attachment)).one().name == "新.png"
    assert "【补充】今天又有一盏灯坏了" in answer.text


def test_pressing_needs_no_words_and_is_limited_by_the_day(client: FlaskClient, tools: Installation) -> None:
    hand_in(client)
    for number in range(ADDITIONS.most):
        answer = client.post("/track/add", data={"what": "urge", "more": "", "key": f"{number:032x}"})
        assert answer.status_code == 303
    refused = client.post("/track/add", data={"what": "urge", "more": "还要催", "key": "a" * 32})
    assert refused.status_code == 429
    assert "还要催" in refused.text
    with tools.db.read() as session:
        assert session.scalars(select(Ticket)).one().repeats == ADDITIONS.most


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"what": "add", "more": ""}, "more"),
        ({"what": "add", "more": "长" * 1_001}, "more"),
        ({"what": "other", "more": "话"}, "what"),
        ({"what": "add", "more": "看附件", "files": [(io.BytesIO(b"MZ\x90\x00"), "x.exe")]}, "files"),
    ],
)
def test_an_addition_that_cannot_be_is_told_by_field(
    client: FlaskClient, tools: Installation, given: dict[str, Any], field: str
) -> None:
    hand_in(client)
    answer = client.post("/track/add", data={"key": "b" * 32, **given})
    assert answer.status_code == 422
    assert f'href="#f-{field}"' in answer.text
    assert given["more"] in answer.text
    with tools.db.read() as session:
        assert session.scalars(select(Ticket)).one().repeats == 0


def test_a_closed_ticket_takes_no_more(app: Flask, client: FlaskClient, tools: Installation, now: datetime) -> None:
    with tools.db.begin() as session:
        by = _operator(session, now)
        made = register_ticket(session, by=by, now=now)
        ticket = tickets.close_directly(
            session, ticket_id=made.ticket_id, version=1, answer="请带身份证到窗口办理。", by=by, now=now
        )
    show(app, client, ticket)
    shown = client.get("/track/ticket").text
    assert "请带身份证到窗口办理。" in shown
    assert "补充情况或催办" not in shown
    answer = client.post("/track/add", data={"what": "urge", "more": "再催", "key": "b" * 32})
    assert answer.status_code == 422
    assert "已经办结" in answer.text


def _operator(session: Any, now: datetime) -> Actor:
    return make_actor(session, Role.OPERATOR, now=now)


def _returned(session: Any, unit: Any, *, now: datetime) -> Ticket:
    ticket = dispatched_ticket(session, unit, now=now)
    responder = make_actor(session, Role.RESPONDER, departments=[unit], now=now)
    returned_ticket(
        session,
        ticket,
        words="内部理由不外传",
        basis="三定方案第三条",
        by=responder,
        now=now + timedelta(minutes=10),
    )
    return ticket
