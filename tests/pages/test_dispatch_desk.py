"""The dispatcher's desk: the unsure ones in order, one key to accept, and never over somebody else's head."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from callbacks import actions as callbacks
from hotline.core import clock
from hotline.core.db import keyring_of
from hotline.core.permissions import SYSTEM, Actor, Role
from hotline.telephony.models import TextMessage
from hotline.tickets import actions as tickets
from hotline.tickets.models import Category, JournalEntry, Ticket
from hotline.tickets.refusals import REFUSALS
from hotline.tickets.states import Act, Outcome, State
from hotline.web.desks.dispatch import EXCERPT
from hotline.web.tracking import tell
from hotline.wiring import Installation
from routing import actions as routing
from routing.models import Department, DepartmentKind, Dispatch, Suggestion
from routing.relations import duplicates
from tests.makers import (
    count_queries,
    make_actor,
    make_category,
    make_department,
    make_region,
    register_ticket,
    returned_ticket,
    sign_in,
)

PART = {"HX-Request": "true"}


@dataclass
class Desk:
    app: Flask
    tools: Installation
    client: FlaskClient
    dispatcher: Actor
    other: Actor
    operator: Actor
    responder: Actor
    lighting: int
    heating: int
    district: int
    lamps: int
    region: int
    now: datetime

    def ticket(self, *, sure: float = 0.6, said: bool = True, minutes: int = 60, **given: Any) -> Ticket:
        """Register a ticket some minutes ago and write down what the model said of it."""
        at = self.now - timedelta(minutes=minutes)
        with self.tools.db.begin() as session:
            registered = register_ticket(session, by=self.operator, now=at, **given)
            if said:
                session.add(
                    Suggestion(
                        ticket_id=registered.ticket_id,
                        model_version="test-1",
                        made_at=at,
                        body={
                            "category": [
                                {"code": "CJ-0305", "name": "城乡建设 / 市政 / 路灯照明", "p": sure},
                                {"code": "CJ-0302", "name": "城乡建设 / 市政 / 供热", "p": 0.2},
                                {"code": "XX-0001", "name": "属地事项", "p": 0.1},
                            ],
                            "departments": [
                                {"code": "lighting", "name": "lighting", "p": sure},
                                {"code": "heating", "name": "heating", "p": 0.2},
                                {"code": "district", "name": "district", "p": 0.1},
                            ],
                            "assist": [{"code": "heating", "name": "heating", "p": 0.2}],
                            "words": [{"field": "body", "start": 99, "end": 101, "text": "路灯", "weight": 0.5}],
                            "risks": [{"code": "minors", "name": "涉未成年人", "words": ["孩子"]}],
                        },
                        category_id=self.lamps,
                        department_id=self.lighting,
                        probability=sure,
                        abstained=True,
                        reason=f"把握 {sure:.0%}，低于自动派单要求的 90%。",
                    )
                )
            return session.get_one(Ticket, registered.ticket_id)

    def now_is(self, ticket: Ticket) -> Ticket:
        """Return the ticket as it is stored now."""
        with self.tools.db.read() as session:
            return session.get_one(Ticket, ticket.id)

    def holder(self, ticket: Ticket) -> int | None:
        with self.tools.db.read() as session:
            return session.scalar(
                select(Dispatch.department_id).where(Dispatch.ticket_id == ticket.id, Dispatch.is_current)
            )

    def acts(self, ticket: Ticket) -> list[Act]:
        with self.tools.db.read() as session:
            return list(
                session.scalars(
                    select(JournalEntry.act).where(JournalEntry.ticket_id == ticket.id).order_by(JournalEntry.id)
                )
            )

    def somebody_dispatches(self, ticket: Ticket) -> None:
        """Let the other dispatcher be first."""
        with self.tools.db.begin() as session:
            routing.dispatch(
                session, ticket_id=ticket.id, version=None, department_id=self.heating, by=self.other, now=self.now
            )

    def somebody_amends(self, ticket: Ticket, **changes: Any) -> None:
        with self.tools.db.begin() as session:
            tickets.amend(
                session,
                ticket_id=ticket.id,
                version=ticket.version,
                changes=changes,
                reason="更正",
                by=self.other,
                now=self.now,
            )

    def accept(self, ticket: Ticket, *, department: int = 0, part: bool = True, version: int = 0) -> Any:
        return self.client.post(
            f"/dispatch/{ticket.number}/accept",
            data={"department_id": department or self.lighting, "version": version or ticket.version},
            headers=PART if part else {},
        )

    def bulk(self, chosen: Sequence[Ticket], *, seen: int | None = None, **given: Any) -> Any:
        return self.client.post(
            "/dispatch/bulk",
            data={
                "ids": [f"{ticket.id}:{ticket.version}" for ticket in chosen],
                "department_id": self.lighting,
                "seen": len(chosen) if seen is None else seen,
                **given,
            },
        )


@pytest.fixture
def desk(app: Flask, tools: Installation, now: datetime, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(clock, "now", lambda: now)
    with tools.db.begin() as session:
        lighting = make_department(session, "lighting", name="市路灯管理处")
        heating = make_department(session, "heating", name="望川供热集团", kind=DepartmentKind.COMPANY)
        region = make_region(session, "990102", name="北苑区")
        district = make_department(
            session, "beiyuan", name="北苑区人民政府", kind=DepartmentKind.DISTRICT, region_code="990102"
        )
        lamps = make_category(session, "CJ-0305", name="路灯照明", lead="lighting")
        make_category(session, "CJ-0302", name="供热", lead="heating")
        desk = Desk(
            app=app,
            tools=tools,
            client=app.test_client(),
            dispatcher=make_actor(session, Role.DISPATCHER, login="dispatcher", name="周明", now=now),
            other=make_actor(session, Role.DISPATCHER, login="other", name="罗一宁", now=now),
            operator=make_actor(session, Role.OPERATOR, login="operator", now=now),
            responder=make_actor(
                session, Role.RESPONDER, departments=[heating], login="responder", name="孙立", now=now
            ),
            lighting=lighting.id,
            heating=heating.id,
            district=district.id,
            lamps=lamps.id,
            region=region.id,
            now=now,
        )
    sign_in(desk.client, "dispatcher")
    return desk


def numbers_in(html: str) -> list[str]:
    """Return the numbers of the queue's rows, in order."""
    return re.findall(r'<a href="/dispatch/(\d+)">', html)


def shown(html: str) -> str:
    """Return what a person reads."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_the_most_urgent_stand_first_and_then_the_oldest(desk: Desk) -> None:
    plain_new = desk.ticket(minutes=5)
    urgent = desk.ticket(minutes=4, urgency="紧急")
    plain_newer = desk.ticket(minutes=3)
    first = desk.ticket(minutes=1, urgency="特急")
    page = desk.client.get("/dispatch")
    assert numbers_in(page.text) == [one.number for one in (first, urgent, plain_new, plain_newer)]
    narrowed = desk.client.get("/dispatch?urgency=紧急")
    assert numbers_in(narrowed.text) == [urgent.number]


def test_a_row_says_why_a_person_decides_and_whom_the_model_proposes(desk: Desk) -> None:
    desk.ticket(sure=0.6, region_id=desk.region)
    read = shown(desk.client.get("/dispatch").text)
    for words in (
        "把握 60%，低于自动派单要求的 90%。",
        "涉未成年人",
        "市路灯管理处",
        "按类别“路灯照明”",
        "有一定把握（60%）",
        "望川供热集团",
        "把握不足（20%）",
        "北苑区人民政府",
        "属地办理",
    ):
        assert words in read


@pytest.mark.parametrize(
    ("voices", "words"),
    [
        ({"learnt": 0.71, "decisions": 12, "by_category": 0.55}, "按 12 件派单结论（71%），按类别“路灯照明”（55%）"),
        ({"learnt": 0.71, "decisions": 12, "by_category": 0.0}, "按 12 件派单结论（71%），按类别不由该单位承办"),
        (
            {"learnt": None, "decisions": 2, "by_category": 0.55},
            "按类别“路灯照明”（55%），该单位的派单结论还少，未单独学习",
        ),
    ],
)
def test_a_unit_learnt_from_decisions_says_how_many_and_what_each_voice_gives_it(
    desk: Desk, voices: dict[str, Any], words: str
) -> None:
    """Both voices stand with their chances on the row and on the ticket's page, so nobody takes one for the other."""
    ticket = desk.ticket()
    with desk.tools.db.begin() as session:
        said = session.get_one(Suggestion, ticket.id)
        first, *others = said.body["departments"]
        said.body = {**said.body, "departments": [{**first, **voices}, *others]}
    assert words in shown(desk.client.get("/dispatch").text)
    assert words in shown(desk.client.get(f"/dispatch/{ticket.number}").text)


def test_a_row_shows_how_the_content_begins_so_that_few_tickets_need_opening(desk: Desk) -> None:
    long = desk.ticket(title="路灯", content="幸福路东口的路灯不亮。" * 40)
    said = desk.client.get("/dispatch").text
    shortened = re.findall(r'<p class="queue-excerpt">(.*?)</p>', said)
    assert [len(words) for words in shortened] == [EXCERPT + 1]
    assert shortened[0].endswith("…")
    assert long.content.startswith(shortened[0][:-1])


def test_a_row_does_not_say_twice_what_the_title_says(desk: Desk) -> None:
    desk.ticket(title="幸福路东口的路灯不亮", content="幸福路东口的路灯不亮")
    assert "queue-excerpt" not in desk.client.get("/dispatch").text


def test_the_government_of_the_place_cannot_be_accepted_before_the_place_is_known(desk: Desk) -> None:
    desk.ticket()
    page = desk.client.get("/dispatch").text
    assert "请先确定所属区域" in page
    assert f'value="{desk.district}" data-row-key' not in page


def test_a_ticket_that_the_model_has_not_seen_stands_there_too(desk: Desk) -> None:
    ticket = desk.ticket(said=False)
    page = desk.client.get("/dispatch")
    assert numbers_in(page.text) == [ticket.number]
    assert "模型尚未给出建议" in page.text


def test_the_queue_asks_at_most_six_questions_however_many_rows(desk: Desk) -> None:
    for at in range(20):
        desk.ticket(minutes=at + 1)
    with count_queries(desk.tools.db) as counted:
        assert desk.client.get("/dispatch").status_code == 200
    assert counted.count <= 6, counted.statements


def test_the_queue_turns_both_ways_without_losing_or_repeating_a_row(desk: Desk) -> None:
    made = [desk.ticket(minutes=100 - at, urgency="紧急" if at % 3 == 0 else "一般").number for at in range(45)]
    pages = []
    href: str | None = "/dispatch"
    while href:
        page = desk.client.get(href).text
        pages.append(numbers_in(page))
        onward = re.search(r'href="([^"]+)"[^>]*rel="next"', page)
        href = onward[1].replace("&amp;", "&") if onward else None
    assert [len(rows) for rows in pages] == [20, 20, 5]
    expected = [number for at, number in enumerate(made) if at % 3 == 0]
    assert [number for rows in pages for number in rows] == [
        *expected,
        *(number for at, number in enumerate(made) if at % 3),
    ]
    back = re.search(r'href="([^"]+)"[^>]*rel="prev"', page)
    assert back is not None
    assert numbers_in(desk.client.get(back[1].replace("&amp;", "&")).text) == pages[1]


@pytest.mark.parametrize("cursor", ["x", "!!!!", "bnwxfHg", "bnw5OTk5OTk5OTk5OTk5OTk5OTk5OTk5fDE"])
@pytest.mark.parametrize("path", ["/dispatch", "/dispatch/automatic"])
def test_a_cursor_that_is_not_ours_is_told(desk: Desk, path: str, cursor: str) -> None:
    answer = desk.client.get(f"{path}?cursor={cursor}")
    assert answer.status_code == 422
    assert "翻页位置已失效" in answer.text


@pytest.mark.parametrize("path", ["/dispatch", "/dispatch/automatic"])
def test_an_empty_desk_says_so(desk: Desk, path: str) -> None:
    assert "没有" in shown(desk.client.get(path).text)


def test_whoever_may_not_dispatch_is_refused_at_the_door(desk: Desk) -> None:
    ticket = desk.ticket()
    stranger = desk.app.test_client()
    sign_in(stranger, "responder")
    for path in ("/dispatch", "/dispatch/automatic", f"/dispatch/{ticket.number}"):
        assert stranger.get(path).status_code == 403
    for act in ("", "/accept", "/refuse", "/transfer", "/answer", "/note", "/ask"):
        assert stranger.post(f"/dispatch/{ticket.number}{act}", data={}).status_code == 403
    assert stranger.post("/dispatch/bulk", data={}).status_code == 403
    assert desk.acts(ticket) == [Act.REGISTER]


def test_a_citizen_is_asked_once_for_what_is_missing_and_reads_it_on_his_page(desk: Desk) -> None:
    """domain.md 2.1 knows 待补充, 1.5 NR-10 asks for more; the ticket goes on waiting and its clock goes on running."""
    ticket = desk.ticket(phone="13900001234")
    page = f"/dispatch/{ticket.number}/ask"
    for words in (" ", "补" * 121):
        refused = desk.client.post(page, data={"ask": words})
        assert refused.status_code == 422
        assert words.strip() in refused.text
    for _ in range(2):
        told = desk.client.post(page, data={"ask": "请写明楼栋和单元。"}, follow_redirects=True)
        assert "已短信请诉求人补充" in told.text
    with desk.tools.db.read() as session:
        (message,) = session.scalars(select(TextMessage).where(TextMessage.purpose == "ask_more"))
        said = keyring_of(session).open(message.sealed)
    assert said["to"] == "13900001234"
    assert ticket.number in said["body"]
    assert "请写明楼栋和单元。" in said["body"]
    assert desk.acts(ticket) == [Act.REGISTER, Act.NOTE, Act.NOTE]
    assert desk.now_is(ticket).state is State.REGISTERED
    with desk.tools.db.read() as session:
        seen = tell(session, desk.now_is(ticket), now=desk.now)
    assert [item.note for item in seen.events if "请您补充" in item.act] == ["请写明楼栋和单元。"] * 2


def test_without_a_mobile_number_the_dispatcher_is_told_to_telephone(desk: Desk) -> None:
    ticket = desk.ticket(phone="02161234567")
    told = desk.client.post(f"/dispatch/{ticket.number}/ask", data={"ask": "请写明楼栋和单元。"}, follow_redirects=True)
    assert "收不到短信：请电话询问" in told.text
    with desk.tools.db.read() as session:
        assert session.scalars(select(TextMessage).where(TextMessage.purpose == "ask_more")).all() == []


def test_nobody_is_asked_by_the_hotline_once_a_unit_has_the_ticket(desk: Desk) -> None:
    ticket = desk.ticket(phone="13900001234")
    desk.somebody_dispatches(ticket)
    late = desk.client.post(f"/dispatch/{ticket.number}/ask", data={"ask": "请写明楼栋和单元。"})
    assert late.status_code == 409
    assert "由承办单位联系诉求人" in late.text


def test_one_press_accepts_and_gives_the_ticket_the_category_that_spoke_for_the_unit(desk: Desk) -> None:
    ticket = desk.ticket()
    answer = desk.accept(ticket)
    assert answer.status_code == 200
    assert "已派往 市路灯管理处" in answer.text
    assert "data-row " not in answer.text
    after = desk.now_is(ticket)
    assert after.state is State.DISPATCHED
    assert after.category_id == desk.lamps
    assert desk.holder(ticket) == desk.lighting
    with desk.tools.db.read() as session:
        said = session.scalars(select(Suggestion).where(Suggestion.ticket_id == ticket.id)).one()
    assert said.agreed is True


def test_accepting_keeps_the_category_that_a_person_chose(desk: Desk) -> None:
    with desk.tools.db.read() as session:
        heat = session.scalars(select(Category.id).where(Category.code == "CJ-0302")).one()
    ticket = desk.ticket(category_id=heat)
    desk.accept(ticket)
    assert desk.now_is(ticket).category_id == heat
    assert Act.AMEND not in desk.acts(ticket)


def test_without_scripts_accepting_leads_back_to_the_queue(desk: Desk) -> None:
    ticket = desk.ticket()
    answer = desk.accept(ticket, part=False)
    assert (answer.status_code, answer.location) == (303, "/dispatch")
    assert "已派往 市路灯管理处" in desk.client.get("/dispatch").text


def test_a_ticket_that_somebody_else_sent_out_says_so_on_its_row(desk: Desk) -> None:
    ticket = desk.ticket()
    desk.somebody_dispatches(ticket)
    answer = desk.accept(ticket)
    assert answer.status_code == 409
    assert "罗一宁" in answer.text
    assert "望川供热集团" in answer.text
    assert "没有执行" in answer.text
    assert answer.text.lstrip().startswith("<table")
    assert desk.holder(ticket) == desk.heating
    whole = desk.accept(ticket, part=False)
    assert whole.status_code == 409
    assert "罗一宁" in whole.text


def test_a_ticket_that_somebody_else_corrected_comes_back_as_it_is_now(desk: Desk) -> None:
    ticket = desk.ticket()
    desk.somebody_amends(ticket, urgency="紧急")
    answer = desk.accept(ticket)
    assert answer.status_code == 409
    assert "罗一宁" in answer.text
    assert "请看过后再派" in answer.text
    assert f'name="version" value="{desk.now_is(ticket).version}"' in answer.text
    assert desk.holder(ticket) is None
    assert desk.accept(desk.now_is(ticket)).status_code == 200


def test_a_unit_that_was_closed_meanwhile_is_told_on_the_row(desk: Desk) -> None:
    ticket = desk.ticket()
    with desk.tools.db.begin() as session:
        session.get_one(Department, desk.lighting).active = False
    answer = desk.accept(ticket)
    assert answer.status_code == 422
    assert "已停用" in answer.text
    assert desk.acts(ticket) == [Act.REGISTER]


def test_the_page_of_a_ticket_shows_telling_words_precedents_and_every_send_back(desk: Desk) -> None:
    text = "学府街的路灯一到晚上就不亮，孩子放学看不清路，请尽快修好路灯。"
    before = desk.ticket(content=text, minutes=5_000, phone="13900005678")
    desk.accept(before)
    ticket = desk.ticket(content=text)
    desk.accept(ticket, department=desk.heating)
    with desk.tools.db.begin() as session:
        returned_ticket(
            session,
            session.get_one(Ticket, ticket.id),
            suggested=session.get_one(Department, desk.lighting),
            words="路灯不归供热单位管。",
            basis="三定方案第五条",
            by=desk.responder,
            reviewer=desk.other,
            now=desk.now,
        )
    assert "退单 1 次" in shown(desk.client.get("/dispatch").text)
    page = desk.client.get(f"/dispatch/{ticket.number}")
    assert page.status_code == 200
    assert '<mark class="mark-moved">路灯</mark>' in page.text
    assert '<mark class="mark-risk">孩子</mark>' in page.text
    read = shown(page.text)
    for words in (
        "望川供热集团退回",
        "不属本单位职责",
        "路灯不归供热单位管。",
        "三定方案第五条",
        "建议承办：市路灯管理处",
    ):
        assert words in read
    assert before.number in read
    assert re.search(r"相似 \d+%", read)


def send_form(desk: Desk, ticket: Ticket, **given: Any) -> Any:
    return desk.client.post(
        f"/dispatch/{ticket.number}",
        data={
            "version": ticket.version,
            "department_id": desk.lighting,
            "category_id": desk.lamps,
            "region_id": desk.region,
            "request_type": "投诉",
            "urgency": "紧急",
            "reason": "路灯归路灯处",
            **given,
        },
    )


def test_corrections_and_dispatch_go_in_together(desk: Desk) -> None:
    ticket = desk.ticket()
    answer = send_form(desk, ticket)
    assert (answer.status_code, answer.location) == (303, "/dispatch")
    after = desk.now_is(ticket)
    assert (after.category_id, after.region_id, after.urgency, after.request_type) == (
        desk.lamps,
        desk.region,
        "紧急",
        "投诉",
    )
    assert after.state is State.DISPATCHED
    assert desk.acts(ticket) == [Act.REGISTER, Act.AMEND, Act.DISPATCH]
    # Granted by the corrected urgency: a day, not the workdays of an ordinary ticket.
    assert after.due_at is not None
    assert after.due_at - desk.now <= timedelta(hours=24)


@pytest.mark.parametrize(
    ("given", "problem", "status"),
    [
        ({"department_id": ""}, "请选择承办单位", 422),
        ({"department_id": "999999"}, "承办单位不存在", 422),
        ({"department_id": "x"}, "所选项不存在", 422),
        ({"category_id": "999999"}, "已不存在", 409),
        ({"urgency": "飞快"}, "不在可选范围内", 422),
        ({"reason": "好" * 501}, "最多 500 字", 422),
        ({"version": ""}, "缺少必要的参数", 422),
    ],
)
def test_a_refused_decision_keeps_what_was_typed_and_corrects_nothing(
    desk: Desk, given: dict[str, Any], problem: str, status: int
) -> None:
    ticket = desk.ticket()
    answer = send_form(desk, ticket, **given)
    assert answer.status_code == status
    assert problem in answer.text
    assert (given.get("reason") or "路灯归路灯处") in answer.text
    assert desk.acts(ticket) == [Act.REGISTER]


def test_a_decision_on_an_older_version_shows_who_was_first(desk: Desk) -> None:
    ticket = desk.ticket()
    desk.somebody_amends(ticket, urgency="特急")
    answer = send_form(desk, ticket)
    assert answer.status_code == 409
    assert "罗一宁" in answer.text
    assert "特急" in answer.text
    assert desk.holder(ticket) is None


def test_a_ticket_that_waits_no_more_is_shown_without_the_form(desk: Desk) -> None:
    ticket = desk.ticket()
    desk.somebody_dispatches(ticket)
    page = desk.client.get(f"/dispatch/{ticket.number}")
    assert page.status_code == 200
    assert "已不在待派之列" in page.text
    assert f'action="/dispatch/{ticket.number}"' not in page.text


def test_the_dispatcher_answers_refuses_transfers_and_notes(desk: Desk) -> None:
    answered, refused, transferred, noted = (desk.ticket(minutes=at) for at in (4, 3, 2, 1))

    def post(ticket: Ticket, act: str, **given: Any) -> Any:
        return desk.client.post(f"/dispatch/{ticket.number}/{act}", data={"version": ticket.version, **given})

    assert post(answered, "answer", answer="路灯报修可拨打养护热线。").status_code == 303
    assert post(refused, "refuse", refusal_reason="NR-02").status_code == 303
    assert post(transferred, "transfer", to="110", other_number="A-7", words="已转警方").status_code == 303
    assert post(noted, "note", note="已与区政府沟通。").status_code == 303
    assert desk.now_is(answered).outcome is Outcome.ANSWERED_DIRECTLY
    assert desk.now_is(refused).closing_words == REFUSALS["NR-02"].told
    assert (desk.now_is(transferred).transfer_to, desk.now_is(transferred).transfer_number) == ("110", "A-7")
    assert desk.acts(noted) == [Act.REGISTER, Act.NOTE]


def test_a_bad_review_that_came_back_is_only_sent_on(desk: Desk) -> None:
    """Its unit rectifies and the citizen is called back: no short way out is offered or taken (domain.md 4.3)."""
    with desk.tools.db.begin() as session:
        made = callbacks.receive_review(
            session,
            callbacks.Review(
                key="r-1",
                stars=1,
                service_item="供热报修",
                department_code="heating",
                words="窗口让我跑了三趟。",
                rated_at=desk.now - timedelta(hours=2),
            ),
            by=Actor(user_id=None, role=Role.DEVICE, name="counter"),
            now=desk.now,
        )
        assert made is not None
        ticket = session.get_one(Ticket, made.ticket_id)
        returned_ticket(session, ticket, by=desk.responder, reviewer=desk.other, now=desk.now)
    page = desk.client.get(f"/dispatch/{made.number}")
    read = shown(page.text)
    assert "差评须由承办单位核实、反馈并回访" in read
    for words in ("直接答复并办结", "确认不予受理", "记录转接"):
        assert words not in read
        assert words in shown(desk.client.get(f"/dispatch/{desk.ticket().number}").text)
    assert "添加备注" in read
    given = {"version": desk.now_is(ticket).version, "answer": "请拨打供热热线。"}
    refused = desk.client.post(f"/dispatch/{made.number}/answer", data=given)
    assert refused.status_code == 409
    assert "差评工单须由承办单位核实" in refused.text
    assert desk.now_is(ticket).state is State.REGISTERED


@pytest.mark.parametrize(
    ("act", "given", "problem"),
    [
        ("answer", {"answer": ""}, "请填写答复内容"),
        ("refuse", {"refusal_reason": "NR-77", "words": "自拟说明"}, "请选择不予受理的理由"),
        ("transfer", {"to": "", "words": "自拟说明"}, "请选择转往的单位"),
        ("transfer", {"to": "other", "words": "自拟说明"}, "请写明转往"),
        ("note", {"note": "  "}, "请填写备注内容"),
    ],
)
def test_a_refused_act_opens_its_form_again_with_what_was_typed(
    desk: Desk, act: str, given: dict[str, str], problem: str
) -> None:
    ticket = desk.ticket()
    answer = desk.client.post(f"/dispatch/{ticket.number}/{act}", data={"version": ticket.version, **given})
    assert answer.status_code == 422
    assert problem in answer.text
    assert given.get("words", "") in answer.text
    dialog = re.search(rf'<dialog[^>]*id="{act}".*?</dialog>', answer.text, re.DOTALL)
    assert dialog is not None
    assert "data-error-summary" in dialog[0]
    # The form of dispatching beside it still says what the ticket says.
    kept = re.findall(r'<option value="([^"]*)" selected>', answer.text)
    assert {ticket.request_type.value, ticket.urgency.value} <= set(kept)
    assert desk.acts(ticket) == [Act.REGISTER]


def test_chosen_rows_go_to_one_unit_together(desk: Desk) -> None:
    chosen = [desk.ticket(minutes=at) for at in (3, 2, 1)]
    left = desk.ticket(minutes=9)
    answer = desk.bulk(chosen, reason="集中停电")
    assert (answer.status_code, answer.location) == (303, "/dispatch")
    assert "已批量派单 3 张" in desk.client.get("/dispatch").text
    assert [desk.holder(ticket) for ticket in chosen] == [desk.lighting] * 3
    assert desk.holder(left) is None


@pytest.mark.parametrize("seen", [1, 3, 0])
def test_nothing_goes_out_when_another_number_is_found_than_was_seen(desk: Desk, seen: int) -> None:
    chosen = [desk.ticket(minutes=at) for at in (2, 1)]
    answer = desk.bulk(chosen, seen=seen)
    assert answer.status_code == 409
    read = shown(answer.text)
    assert "没有派出任何工单" in read
    assert f"您选择了 {seen} 张，现在可派的有 2 张" in read
    assert [desk.holder(ticket) for ticket in chosen] == [None, None]
    # The page that asks again carries exactly what it shows.
    ids = re.findall(r'name="ids" value="([^"]+)"', answer.text)
    found = re.search(r'name="seen" value="(\d+)"', answer.text)
    assert found is not None
    again = desk.client.post("/dispatch/bulk", data={"ids": ids, "seen": found[1], "department_id": desk.lighting})
    assert again.status_code == 303
    assert [desk.holder(ticket) for ticket in chosen] == [desk.lighting] * 2


def test_where_no_script_has_counted_the_chosen_rows_are_shown_before_they_go(desk: Desk) -> None:
    chosen = [desk.ticket(minutes=at) for at in (2, 1)]
    ids = [f"{ticket.id}:{ticket.version}" for ticket in chosen]
    given = {"ids": ids, "seen": "", "seen_tasks": "", "department_id": desk.lighting, "reason": "集中停电"}
    answer = desk.client.post("/dispatch/bulk", data=given)
    assert answer.status_code == 200
    assert "没有派出任何工单" not in answer.text
    assert all(ticket.number in answer.text for ticket in chosen)
    assert [desk.holder(ticket) for ticket in chosen] == [None, None]
    found = re.search(r'name="seen" value="(\d+)"', answer.text)
    assert found is not None
    assert desk.client.post("/dispatch/bulk", data=given | {"seen": found[1]}).status_code == 303
    assert [desk.holder(ticket) for ticket in chosen] == [desk.lighting] * 2


def test_one_row_that_is_gone_stops_the_whole_bulk_and_is_named(desk: Desk) -> None:
    chosen = [desk.ticket(minutes=at) for at in (2, 1)]
    desk.somebody_dispatches(chosen[0])
    answer = desk.bulk(chosen)
    assert answer.status_code == 409
    assert chosen[0].number in answer.text
    assert "望川供热集团" in answer.text
    assert [desk.holder(ticket) for ticket in chosen] == [desk.heating, None]


def test_one_row_that_was_corrected_meanwhile_stops_the_whole_bulk(desk: Desk) -> None:
    chosen = [desk.ticket(minutes=at) for at in (2, 1)]
    desk.somebody_amends(chosen[0], urgency="特急")
    assert desk.bulk(chosen).status_code == 409
    assert [desk.holder(ticket) for ticket in chosen] == [None, None]


@pytest.mark.parametrize(
    "given", [{"department_id": ""}, {"department_id": "x"}, {"reason": "好" * 501}, {"seen": "x"}]
)
def test_a_bulk_act_that_is_not_complete_is_told_by_field(desk: Desk, given: dict[str, Any]) -> None:
    chosen = [desk.ticket()]
    answer = desk.bulk(chosen, **given)
    assert answer.status_code == 422
    assert "data-error-summary" in answer.text
    assert desk.holder(chosen[0]) is None


@pytest.mark.parametrize("ids", [[], ["x"], ["1:1:1"], ["9" * 30 + ":1"], ["999999:1"]])
def test_a_bulk_act_on_nothing_of_ours_sends_nothing(desk: Desk, ids: list[str]) -> None:
    desk.ticket()
    answer = desk.client.post("/dispatch/bulk", data={"ids": ids, "seen": len(ids), "department_id": desk.lighting})
    assert answer.status_code == 409
    assert numbers_in(desk.client.get("/dispatch").text)


def test_what_went_by_itself_today_is_listed_and_yesterday_is_not(desk: Desk) -> None:
    today, yesterday, by_hand = desk.ticket(minutes=30), desk.ticket(minutes=60 * 30), desk.ticket(minutes=20)
    with desk.tools.db.begin() as session:
        for ticket, at in ((today, desk.now - timedelta(minutes=10)), (yesterday, desk.now - timedelta(hours=29))):
            routing.dispatch(
                session,
                ticket_id=ticket.id,
                version=None,
                department_id=desk.lighting,
                reason="模型自动派单：路灯照明，把握 96%",
                automatic=True,
                by=SYSTEM,
                now=at,
            )
    desk.accept(by_hand)
    page = desk.client.get("/dispatch/automatic")
    assert today.number in page.text
    assert "把握 96%" in page.text
    assert yesterday.number not in page.text
    assert by_hand.number not in page.text


def test_likely_duplicates_stand_beside_the_decision_and_on_the_ticket(desk: Desk) -> None:
    first, again = (
        desk.ticket(content=f"翠微澜庭北门的烧烤摊油烟扰民，{words}。") for words in ("天天到半夜", "每晚都熏得睡不着")
    )
    with desk.tools.db.begin() as session:
        for one in (first, again):
            duplicates.remember(session, session.get_one(Ticket, one.id))
    for address in (f"/dispatch/{again.number}", f"/tickets/{again.number}"):
        page = desk.client.get(address)
        assert "可能重复的工单" in page.text
        assert f'href="/tickets/{first.number}"' in page.text
    with desk.tools.db.begin() as session:
        duplicates.remember(session, session.get_one(Ticket, first.id))
        session.execute(
            update(Ticket)
            .where(Ticket.id == first.id)
            .values(state=State.CLOSED, outcome=Outcome.WITHDRAWN, closed_at=desk.now)
        )
    assert "可能重复的工单" not in desk.client.get(f"/dispatch/{again.number}").text
