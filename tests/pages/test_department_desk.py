"""The department's desk: its list, the working page, and every act on it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from callbacks import actions as callbacks
from callbacks.models import BadReview, ReviewVerdict
from callbacks.policy import Answers, Satisfaction, Solved
from callbacks.queries import open_callback
from hotline.core import clock
from hotline.core.clock import local
from hotline.core.permissions import SYSTEM, Actor, Role
from hotline.people.actions import issue_token
from hotline.people.models import User
from hotline.tickets.models import JournalEntry, Ticket
from hotline.tickets.queries import by_number
from hotline.tickets.states import Act, State
from hotline.wiring import Installation
from routing.duty import returning
from routing.duty.models import Return
from routing.models import Answer, Department, Membership
from routing.queries import current_dispatch
from tests.makers import (
    answered_ticket,
    ask_return,
    count_queries,
    dispatched_ticket,
    make_actor,
    make_department,
    returned_ticket,
    sign_in,
)

GOOD = {
    "found_true": "yes",
    "beyond_duty": "no",
    "solved": "solved",
    "internal_note": "值班组到场，更换驱动电源两只，材料从仓库领用。",
    "public_answer": "您反映的幸福路路灯不亮，我们今天下午换了两盏灯的电源，晚上已经亮灯，如再熄灭可直接拨打养护电话。",
}
REASON = "灯只亮了一天又灭了，要求彻底修好。"


@dataclass
class Desk:
    app: Flask
    tools: Installation
    client: FlaskClient
    responder: Actor
    auditor: Actor
    department_id: int
    number: str
    ticket_id: int

    def ticket(self) -> Ticket:
        with self.tools.db.read() as session:
            return by_number(session, self.number)


@pytest.fixture
def desk(app: Flask, tools: Installation, now: datetime, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(clock, "now", lambda: now)
    with tools.db.begin() as session:
        lighting = make_department(session, "lighting", name="市路灯管理处")
        make_department(session, "water", name="市水务局")
        responder = make_actor(
            session, Role.RESPONDER, departments=[lighting], login="unit", now=now - timedelta(days=9)
        )
        auditor = make_actor(session, Role.AUDITOR, name="神秘回访员", login="auditor", now=now)
        ticket = dispatched_ticket(session, lighting, title="幸福路路灯不亮", now=now - timedelta(hours=2))
        number, ticket_id, department_id = ticket.number, ticket.id, lighting.id
    client = app.test_client()
    sign_in(client, "unit")
    return Desk(app, tools, client, responder, auditor, department_id, number, ticket_id)


def signed(desk: Desk) -> None:
    assert (
        desk.client.post(f"/department/{desk.number}/sign", data={"version": desk.ticket().version}).status_code == 303
    )


def contacted(desk: Desk) -> None:
    answer = desk.client.post(
        f"/department/{desk.number}/contact",
        data={"contact_at": "2026-10-08T09:30", "contact_way": "电话", "contact_words": "已说明今天下午到场。"},
    )
    assert answer.status_code == 303, answer.text


def test_the_list_shows_what_waits_for_a_signature_and_signs_with_one_press(desk: Desk) -> None:
    shown = desk.client.get("/department")
    assert "幸福路路灯不亮" in shown.text
    assert 'data-key="q"' in shown.text
    answer = desk.client.post(
        f"/department/{desk.number}/sign",
        data={"version": desk.ticket().version, "back": "list", "tab": "unsigned"},
    )
    assert answer.status_code == 303
    assert answer.location == "/department?tab=unsigned"
    assert desk.ticket().state is State.SIGNED
    assert "没有待签收的工单" in desk.client.get("/department?tab=unsigned").text
    assert "幸福路路灯不亮" in desk.client.get("/department?tab=handling").text


def test_the_list_needs_at_most_seven_questions_however_long_it_is(desk: Desk, now: datetime) -> None:
    with desk.tools.db.begin() as session:
        lighting = session.get_one(Department, desk.department_id)
        for hours in range(1, 34):
            dispatched_ticket(session, lighting, now=now - timedelta(hours=hours))
    with count_queries(desk.tools.db) as asked:
        first = desk.client.get("/department")
    assert asked.count <= 7, asked.statements
    assert first.text.count("data-row") - first.text.count("data-row-") == 30
    following = first.text.split('rel="next"')[0].rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")
    second = desk.client.get(following)
    assert second.text.count("<tr data-row") == 4
    assert 'rel="prev"' in second.text


def test_the_list_is_in_order_of_the_deadline_and_a_broken_place_in_it_is_told(desk: Desk, now: datetime) -> None:
    with desk.tools.db.begin() as session:
        lighting = session.get_one(Department, desk.department_id)
        dispatched_ticket(session, lighting, title="最早到期的一件", now=now - timedelta(days=30))
    shown = desk.client.get("/department").text
    assert shown.index("最早到期的一件") < shown.index("幸福路路灯不亮")
    assert "row-danger" in shown
    assert desk.client.get("/department?cursor=broken").status_code == 422


def test_what_another_department_holds_is_neither_listed_nor_found(desk: Desk, now: datetime) -> None:
    with desk.tools.db.begin() as session:
        other = dispatched_ticket(session, make_department(session), title="别家的工单", now=now)
        number = other.number
    for tab in ("unsigned", "handling", "answered", "all"):
        assert "别家的工单" not in desk.client.get(f"/department?tab={tab}").text
    assert desk.client.get(f"/department/{number}").status_code == 404
    assert desk.client.post(f"/department/{number}/sign").status_code == 404


def test_many_are_signed_at_once_and_what_somebody_else_took_is_told(desk: Desk, now: datetime) -> None:
    with desk.tools.db.begin() as session:
        lighting = session.get_one(Department, desk.department_id)
        second = dispatched_ticket(session, lighting, now=now).id
        foreign = dispatched_ticket(session, make_department(session), now=now).id
    data = {"ids": [str(desk.ticket_id), str(second), str(foreign)], "offered": "3"}
    answer = desk.client.post("/department/sign", data=data, follow_redirects=True)
    assert "已签收 2 件；另有 1 件" in answer.text
    with desk.tools.db.read() as session:
        states = {row.id: row.state for row in session.execute(select(Ticket.id, Ticket.state))}
    assert (states[desk.ticket_id], states[second], states[foreign]) == (State.SIGNED, State.SIGNED, State.DISPATCHED)


def test_more_than_the_page_offered_signs_nothing(desk: Desk) -> None:
    answer = desk.client.post("/department/sign", data={"ids": [str(desk.ticket_id), "999"], "offered": "1"})
    assert answer.status_code == 409
    assert "多于页面上的 1 件" in answer.text
    assert desk.ticket().state is State.DISPATCHED


def test_the_working_page_explains_every_deadline_masks_the_citizen_and_asks_little(desk: Desk) -> None:
    with count_queries(desk.tools.db) as asked:
        shown = desk.client.get(f"/department/{desk.number}")
    assert asked.count <= 15, asked.statements
    for words in ("签收时限", "办理时限", "退单期限", "派单", "适用", "到期 2026-10-"):
        assert words in shown.text
    assert "王**" in shown.text
    assert "王小明" not in shown.text
    assert "13900001234" not in shown.text
    assert f"/tickets/{desk.number}/reveal?what=phone" in shown.text


def test_a_citizen_who_wants_to_stay_unknown_is_not_even_masked(desk: Desk, now: datetime) -> None:
    with desk.tools.db.begin() as session:
        lighting = session.get_one(Department, desk.department_id)
        number = dispatched_ticket(session, lighting, confidential=True, now=now).number
    shown = desk.client.get(f"/department/{number}").text
    assert "王**" not in shown
    assert "*******1234" not in shown
    assert "reveal?what=" not in shown
    assert "要求保密" in shown


def test_a_ticket_is_signed_the_citizen_contacted_and_answered(desk: Desk) -> None:
    signed(desk)
    contacted(desk)
    assert "已说明今天下午到场。" in desk.client.get(f"/department/{desk.number}").text
    answer = desk.client.post(f"/department/{desk.number}/answer", data={**GOOD, "version": desk.ticket().version})
    assert answer.status_code == 303, answer.text
    assert desk.ticket().state is State.ANSWERED
    with desk.tools.db.read() as session:
        written = session.scalars(select(Answer)).one()
    assert (written.found_true, written.beyond_duty, written.public_answer) == (True, False, GOOD["public_answer"])
    assert "幸福路路灯不亮" in desk.client.get("/department?tab=answered").text


def test_an_answer_without_contact_is_doubted_once_and_leaves_when_the_person_stands_by_it(desk: Desk) -> None:
    signed(desk)
    version = desk.ticket().version
    first = desk.client.post(f"/department/{desk.number}/answer", data={**GOOD, "version": version})
    assert first.status_code == 422
    assert "还没有联系诉求人的记录" in first.text
    assert GOOD["public_answer"] in first.text
    assert desk.ticket().state is State.SIGNED
    stood_by = {**GOOD, "version": version, "warned": "not_contacted"}
    template = {
        **stood_by,
        "public_answer": "您好，您反映的问题已收悉，我单位高度重视，将认真核实处理，感谢您的理解与支持。",
    }
    again = desk.client.post(f"/department/{desk.number}/answer", data=template)
    assert again.status_code == 422
    assert "去掉套话后几乎没有具体内容" in again.text
    assert desk.client.post(f"/department/{desk.number}/answer", data=stood_by).status_code == 303


def test_a_citizen_may_be_called_in_the_minute_of_the_dispatch(desk: Desk, now: datetime) -> None:
    with desk.tools.db.begin() as session:
        lighting = session.get_one(Department, desk.department_id)
        sent_at = now - timedelta(minutes=1) + timedelta(seconds=20)
        number = dispatched_ticket(session, lighting, now=sent_at).number
    at = f"{local(now - timedelta(minutes=1)):%Y-%m-%dT%H:%M}"
    form = {"contact_at": at, "contact_way": "电话", "contact_words": "约定下午到场。"}
    assert desk.client.post(f"/department/{number}/contact", data=form).status_code == 303
    with desk.tools.db.read() as session:
        sent = current_dispatch(session, by_number(session, number).id)
        assert sent is not None
        assert sent.contacted_at == sent_at


def test_an_answer_may_name_the_telephone_of_an_office_and_not_that_of_the_citizen(desk: Desk) -> None:
    signed(desk)
    words = f"{GOOD['public_answer']}如有疑问请拨打0412-5551084咨询。"
    given = {**GOOD, "public_answer": words, "version": str(desk.ticket().version), "warned": "not_contacted"}
    assert desk.client.post(f"/department/{desk.number}/answer", data=given).status_code == 303


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"found_true": ""}, "请选择诉求是否属实"),
        ({"solved": "maybe"}, "请选择是否解决"),
        ({"solved": "partly"}, "请填写后续办理计划"),
        ({"solved": "unsolved", "plan": "年底前改造", "plan_on": "2026-02-31"}, "日期格式不正确"),
        ({"public_answer": "好了"}, "公开答复至少 10 个字"),
        ({"public_answer": "请拨打 13812345678 联系班长，他会去修幸福路的灯。"}, "公开答复中含有个人信息"),
        ({"internal_note": "<b>更换</b>" + "字" * 10_001}, "最多 10000 字"),
        ({"internal_note": "   "}, "请填写内部办理情况"),
    ],
)
def test_a_refused_answer_tells_each_field_and_keeps_what_was_typed(
    desk: Desk, change: dict[str, str], words: str
) -> None:
    signed(desk)
    given = {**GOOD, "version": str(desk.ticket().version), "plan": "", "plan_on": "", **change}
    answer = desk.client.post(f"/department/{desk.number}/answer", data=given)
    assert answer.status_code == 422
    assert words in answer.text
    assert "<b>更换" not in answer.text
    kept = "internal_note" if "internal_note" not in change else "public_answer"
    assert given[kept] in answer.text
    assert desk.ticket().state is State.SIGNED


def test_an_answer_to_a_ticket_that_somebody_changed_is_a_conflict(desk: Desk) -> None:
    stale = desk.ticket().version
    signed(desk)
    contacted(desk)
    answer = desk.client.post(f"/department/{desk.number}/answer", data={**GOOD, "version": stale})
    assert answer.status_code == 409
    assert "您的这次提交" in answer.text
    assert desk.ticket().state is State.SIGNED


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"contact_at": "2026-10-08T23:00"}, "联系时间不能晚于现在"),
        ({"contact_at": "2020-01-01T08:00"}, "联系时间早于派单时间"),
        ({"contact_at": "明天"}, "时间格式不正确"),
        ({"contact_way": "飞鸽"}, "请选择联系方式"),
        ({"contact_words": " "}, "请填写联系情况"),
    ],
)
def test_a_refused_contact_tells_the_field_and_keeps_what_was_typed(
    desk: Desk, change: dict[str, str], words: str
) -> None:
    given = {"contact_at": "2026-10-08T09:30", "contact_way": "电话", "contact_words": "已说明下午到场", **change}
    answer = desk.client.post(f"/department/{desk.number}/contact", data=given)
    assert answer.status_code == 422
    assert words in answer.text
    assert given["contact_words"] in answer.text
    with desk.tools.db.read() as session:
        assert session.scalars(select(JournalEntry).where(JournalEntry.act == Act.CONTACT)).all() == []


def test_a_return_is_asked_with_reason_basis_and_whose_duty_it_is_and_the_unit_keeps_the_ticket(
    desk: Desk,
) -> None:
    with desk.tools.db.begin() as session:
        water = make_department(session, name="市河道处").id
    page = desk.client.get(f"/department/{desk.number}").text
    assert "退单须在" in page
    given = {
        "version": str(desk.ticket().version),
        "return_reason": "not_our_duty",
        "return_words": "该路段由水务局代管。",
        "return_basis": "",
        "return_department": "",
    }
    refused = desk.client.post(f"/department/{desk.number}/send-back", data=given)
    assert refused.status_code == 422
    assert "请填写退单依据" in refused.text
    assert "请提出建议的承办单位" in refused.text
    assert "该路段由水务局代管。" in refused.text
    due = desk.ticket().due_at
    whole = {**given, "return_basis": "权责清单第 12 条", "return_department": str(water)}
    done = desk.client.post(f"/department/{desk.number}/send-back", data=whole)
    assert done.status_code == 303
    assert desk.ticket().state is State.DISPATCHED
    assert desk.ticket().due_at == due
    waiting = desk.client.get(f"/department/{desk.number}").text
    assert "退单申请待审核" in waiting
    assert "建议承办：市河道处" in waiting
    assert "提交反馈" not in waiting
    assert desk.client.post(f"/department/{desk.number}/send-back", data=whole).status_code == 409
    with desk.tools.db.read() as session:
        return_id = session.scalars(select(Return.id)).one()
    taken = desk.client.post(f"/department/{desk.number}/take-back", data={"return_id": str(return_id)})
    assert taken.status_code == 303
    assert "已撤回" in desk.client.get(f"/department/{desk.number}").text


def test_a_refused_return_shows_the_ruling_and_offers_the_reason_no_more(desk: Desk, now: datetime) -> None:
    with desk.tools.db.begin() as session:
        dispatcher = make_actor(session, Role.DISPATCHER, now=now)
        water = make_department(session, name="市河道处")
        asked = ask_return(
            session, session.get_one(Ticket, desk.ticket_id), by=desk.responder, suggested=water, now=now
        )
        returning.refuse(session, return_id=asked.id, words="清单载明由贵单位管养。", by=dispatcher, now=now)
    shown = desk.client.get(f"/department/{desk.number}").text
    assert "清单载明由贵单位管养。" in shown
    assert 'value="not_our_duty"' not in shown
    assert 'value="facts_missing"' in shown


def test_the_next_unit_reads_why_the_first_one_sent_it_back(desk: Desk, now: datetime) -> None:
    with desk.tools.db.begin() as session:
        other = make_department(session, name="市园林处")
        gardener = make_actor(session, Role.RESPONDER, departments=[other], now=now)
        ticket = dispatched_ticket(session, other, now=now)
        lighting = session.get_one(Department, desk.department_id)
        returned_ticket(
            session,
            ticket,
            words="路灯归路灯管理处。",
            basis="市政设施管理条例第九条",
            suggested=lighting,
            to=lighting,
            by=gardener,
            now=now,
        )
        number = ticket.number
    shown = desk.client.get(f"/department/{number}").text
    assert "路灯归路灯管理处；依据：" in shown
    assert "市政设施管理条例第九条" in shown


def test_after_the_window_the_way_back_is_closed_and_says_since_when(desk: Desk, now: datetime) -> None:
    with desk.tools.db.begin() as session:
        lighting = session.get_one(Department, desk.department_id)
        late = dispatched_ticket(session, lighting, now=now - timedelta(days=30))
        number, version = late.number, late.version
    page = desk.client.get(f"/department/{number}").text
    assert "届满，须按时办理" in page
    assert "提交退单申请" not in page
    given = {"version": version, "return_reason": "not_our_duty", "return_words": "不归我们", "return_basis": "第 1 条"}
    assert desk.client.post(f"/department/{number}/send-back", data=given).status_code == 409


def test_after_rework_the_unit_reads_what_the_citizen_said_and_never_who_asked(desk: Desk, now: datetime) -> None:
    with desk.tools.db.begin() as session:
        lighting = session.get_one(Department, desk.department_id)
        ticket = answered_ticket(session, lighting, by=desk.responder, now=now)
        waiting = open_callback(session, ticket.id)
        assert waiting is not None
        unhappy = Answers(
            replied=True,
            solved=Solved.UNSOLVED,
            process=Satisfaction.MOSTLY,
            result=Satisfaction.UNSATISFIED,
            reason=REASON,
        )
        number, callback_id = ticket.number, waiting.id
    before = desk.client.get(f"/department/{number}").text
    with desk.tools.db.begin() as session:
        callbacks.record_result(
            session, callback_id=callback_id, version=None, answers=unhappy, by=desk.auditor, now=now
        )
    page = desk.client.get(f"/department/{number}").text
    assert REASON in page
    assert "第 1 次" in page
    for shown in (before, page):
        assert "神秘回访员" not in shown
        assert "对办理的结果，您觉得" not in shown


def test_a_note_is_kept_and_an_empty_one_refused(desk: Desk) -> None:
    assert desk.client.post(f"/department/{desk.number}/note", data={"note": " "}).status_code == 422
    assert desk.client.post(f"/department/{desk.number}/note", data={"note": "班长已派"}).status_code == 303
    assert "班长已派" in desk.client.get(f"/department/{desk.number}").text


def test_a_bad_review_is_rectified_by_the_unit_that_holds_it(desk: Desk, now: datetime) -> None:
    with desk.tools.db.begin() as session:
        issue_token(session, name="counter", role=Role.DEVICE, user_id=None, by=SYSTEM, now=now)
        made = callbacks.receive_review(
            session,
            callbacks.Review(
                key="r-1",
                stars=1,
                service_item="路灯报修",
                department_code="lighting",
                words="等了一上午没有人理。",
                rated_at=now - timedelta(hours=1),
                phone="13900001234",
            ),
            by=Actor(user_id=None, role=Role.DEVICE, name="counter"),
            now=now,
        )
        assert made is not None
        judge = make_actor(session, Role.SUPERVISOR, now=now)
        callbacks.propose_verdict(
            session,
            ticket_id=made.ticket_id,
            verdict=ReviewVerdict.JUSTIFIED_SIMPLE,
            reason="监控属实",
            by=judge,
            now=now,
        )
        callbacks.confirm_verdict(session, ticket_id=made.ticket_id, agree=True, by=desk.auditor, now=now)
    assert desk.client.post(f"/department/{made.number}/sign").status_code == 303
    page = desk.client.get(f"/department/{made.number}").text
    assert "合理，立行立改" in page
    assert "须整改并反馈" in page
    assert desk.client.post(f"/department/{made.number}/rectify", data={"rectification": ""}).status_code == 422
    done = desk.client.post(f"/department/{made.number}/rectify", data={"rectification": "增设一个窗口，已道歉。"})
    assert done.status_code == 303
    with desk.tools.db.read() as session:
        assert session.get_one(BadReview, made.ticket_id).rectification == "增设一个窗口，已道歉。"
    again = desk.client.post(f"/department/{made.number}/rectify", data={"rectification": "又增设了一个窗口。"})
    assert again.status_code == 409
    assert "已填写过整改情况" in again.text
    assert "又增设了一个窗口。" in again.text


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.DISPATCHER, Role.AUDITOR, Role.SUPERVISOR])
def test_no_other_desk_opens_the_department_pages(desk: Desk, role: Role, now: datetime) -> None:
    with desk.tools.db.begin() as session:
        make_actor(session, role, login="other", now=now)
    other = desk.app.test_client()
    sign_in(other, "other")
    assert other.get("/department").status_code == 403
    assert other.get(f"/department/{desk.number}").status_code == 403
    assert other.post(f"/department/{desk.number}/answer", data=GOOD).status_code == 403


def test_a_person_without_a_department_is_told_what_to_do(desk: Desk, now: datetime) -> None:
    with desk.tools.db.begin() as session:
        make_actor(session, Role.RESPONDER, login="nowhere", now=now)
    other = desk.app.test_client()
    sign_in(other, "nowhere")
    assert "还没有加入承办单位" in other.get("/department").text


def test_who_belongs_to_several_departments_sees_which_one_holds_each(desk: Desk, now: datetime) -> None:
    assert "承办单位</th>" not in desk.client.get("/department").text
    with desk.tools.db.begin() as session:
        second = make_department(session, name="园林处")
        user = session.scalars(select(User).where(User.login == "unit")).one()
        session.add(Membership(user_id=user.id, department_id=second.id))
        dispatched_ticket(session, second, now=now)
    shown = desk.client.get("/department").text
    assert "承办单位</th>" in shown
    assert "园林处" in shown
    assert "市路灯管理处" in shown


def test_who_holds_a_ticket_is_on_the_dispatch_row(desk: Desk) -> None:
    signed(desk)
    with desk.tools.db.read() as session:
        row = current_dispatch(session, desk.ticket_id)
    assert row is not None
    assert row.signed_by == desk.responder.user_id
