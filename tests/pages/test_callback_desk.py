"""The auditor's desk: whom to ring, the four questions, what follows; bad reviews and their two duties."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from callbacks import actions as callbacks
from callbacks.models import ReviewVerdict
from callbacks.policy import AttemptOutcome, Verdict
from callbacks.queries import callback, open_callback, review_of
from hotline.core import clock
from hotline.core.permissions import Actor, Role
from hotline.people.models import User
from hotline.tickets.models import Ticket
from hotline.tickets.queries import by_number
from hotline.tickets.states import Outcome, State
from hotline.wiring import Installation
from routing import actions as routing
from routing.models import Department, Solved
from routing.queries import dispatches_of
from tests.makers import (
    answered_ticket,
    count_queries,
    dispatched_ticket,
    feedback,
    make_actor,
    make_department,
    register_ticket,
    sign_in,
)

HAPPY = {"replied": "yes", "solved": "solved", "process": "satisfied", "result": "mostly"}
UNHAPPY = {**HAPPY, "solved": "unsolved", "reason": "灯还是不亮", "wants_rework": "yes"}
DEVICE = Actor(user_id=None, role=Role.DEVICE, name="counter")


@dataclass
class Desk:
    app: Flask
    tools: Installation
    client: FlaskClient
    auditor: Actor
    department_id: int
    number: str
    callback_id: int

    def ticket(self) -> Ticket:
        with self.tools.db.read() as session:
            return by_number(session, self.number)

    def browser(self, login: str) -> FlaskClient:
        other = self.app.test_client()
        sign_in(other, login)
        return other

    def take(self) -> None:
        answer = self.client.post(f"/callbacks/{self.callback_id}/claim")
        assert answer.location == f"/callbacks/{self.callback_id}"


@pytest.fixture
def desk(app: Flask, tools: Installation, now: datetime, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(clock, "now", lambda: now)
    with tools.db.begin() as session:
        lighting = make_department(session, "lighting", name="市路灯管理处")
        auditor = make_actor(session, Role.AUDITOR, name="何静", login="auditor", now=now)
        make_actor(session, Role.AUDITOR, name="马丽", login="auditor2", now=now)
        make_actor(session, Role.SUPERVISOR, login="supervisor", now=now)
        ticket = dispatched_ticket(session, lighting, title="幸福路路灯不亮", now=now - timedelta(hours=5))
        responder = make_actor(session, Role.RESPONDER, departments=[lighting], login="unit", now=now)
        routing.answer(
            session,
            ticket_id=ticket.id,
            version=None,
            feedback=feedback(solved=Solved.PARTLY, plan="余下两盏下周更换", plan_on=(now + timedelta(days=7)).date()),
            by=responder,
            now=now - timedelta(hours=1),
        )
        waiting = open_callback(session, ticket.id)
        assert waiting is not None
        made = (ticket.number, waiting.id, lighting.id)
    client = app.test_client()
    sign_in(client, "auditor")
    return Desk(app, tools, client, auditor, made[2], made[0], made[1])


def test_the_queue_shows_whom_to_ring_masked_and_asks_little(desk: Desk) -> None:
    with count_queries(desk.tools.db) as asked:
        shown = desk.client.get("/callbacks").text
    assert asked.count <= 4, asked.statements
    assert "幸福路路灯不亮" in shown
    assert "*******1234" in shown
    assert "13900001234" not in shown
    assert "取下一件" in shown


def test_the_queue_turns_its_pages_without_losing_or_doubling_anybody(desk: Desk, now: datetime) -> None:
    with desk.tools.db.begin() as session:
        lighting = session.get_one(Department, desk.department_id)
        numbers = {answered_ticket(session, lighting, now=now - timedelta(hours=3)).number for _ in range(33)}
    first = desk.client.get("/callbacks").text
    assert first.count("<tr data-row") == 30
    href = first.split('rel="next"')[0].rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")
    second = desk.client.get(href).text
    assert second.count("<tr data-row") == 4
    assert all((number in first) != (number in second) for number in numbers | {desk.number})
    back = second.split('rel="prev"')[0].rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")
    again = desk.client.get(back).text
    assert [number for number in numbers if number in again] == [number for number in numbers if number in first]
    assert 'rel="prev"' not in again
    assert desk.client.get("/callbacks?cursor=1_2_3").status_code == 422
    assert desk.client.get("/callbacks?tab=done&cursor=1_2_3").status_code == 422
    assert desk.client.get("/reviews?cursor=1_2_3").status_code in {403, 422}


def test_the_script_opens_only_for_whoever_took_the_callback(desk: Desk) -> None:
    before = desk.client.get(f"/callbacks/{desk.callback_id}").text
    assert "开始回访" in before
    assert "回访问卷" not in before
    desk.take()
    shown = desk.client.get(f"/callbacks/{desk.callback_id}").text
    order = ["联系或答复过您", "解决了、基本解决了，还是没有解决", "办理的过程", "办理的结果"]
    places = [shown.index(words) for words in order]
    assert places == sorted(places)
    assert f"/tickets/{desk.number}/reveal?what=phone" in shown
    assert "两盏损坏灯具于今日更换完毕" in shown


def test_what_the_unit_claims_is_not_shown_to_whoever_asks(desk: Desk) -> None:
    desk.take()
    shown = desk.client.get(f"/callbacks/{desk.callback_id}").text
    assert "部分解决" not in shown
    assert "余下两盏下周更换" not in shown
    assert "已安排养护班组" not in shown


def test_somebody_else_who_has_it_is_named_and_nothing_is_taken(desk: Desk) -> None:
    desk.take()
    other = desk.browser("auditor2")
    answer = other.post(f"/callbacks/{desk.callback_id}/claim", follow_redirects=True)
    assert "另一位回访员正在回访此工单" in answer.text
    shown = other.get(f"/callbacks/{desk.callback_id}").text
    assert "何静正在回访此工单" in shown
    assert "回访问卷" not in shown
    assert "没有到时间的回访了" in other.post("/callbacks/next", follow_redirects=True).text


def test_a_satisfied_citizen_closes_the_ticket_and_the_next_one_opens(desk: Desk, now: datetime) -> None:
    with desk.tools.db.begin() as session:
        lighting = session.get_one(Department, desk.department_id)
        second = answered_ticket(session, lighting, now=now - timedelta(minutes=30))
        waiting = open_callback(session, second.id)
        assert waiting is not None
        following = waiting.id
    answer = desk.client.post("/callbacks/next")
    assert answer.location == f"/callbacks/{desk.callback_id}"
    done = desk.client.post(f"/callbacks/{desk.callback_id}/result", data=HAPPY)
    assert done.location == f"/callbacks/{following}"
    assert desk.ticket().outcome is Outcome.CONFIRMED
    last = desk.client.post(f"/callbacks/{following}/result", data={**HAPPY, "then": "queue"})
    assert last.location == "/callbacks"
    finished = desk.client.get("/callbacks?tab=done").text
    assert desk.number in finished
    assert "结果基本满意" in finished
    assert "办结" in desk.client.get(f"/callbacks/{desk.callback_id}").text


def test_an_unhappy_citizen_with_a_reason_starts_rework_and_the_next_auditor_reads_it(
    desk: Desk, now: datetime
) -> None:
    desk.take()
    done = desk.client.post(f"/callbacks/{desk.callback_id}/result", data=UNHAPPY)
    assert done.status_code == 303
    assert desk.ticket().state is State.DISPATCHED
    with desk.tools.db.begin() as session:
        ticket = by_number(session, desk.number)
        assert [row.round for row in dispatches_of(session, ticket.id)] == [0, 1]
        lighting = session.get_one(Department, desk.department_id)
        again = make_actor(session, Role.RESPONDER, departments=[lighting], now=now)
        routing.answer(session, ticket_id=ticket.id, version=None, feedback=feedback(), by=again, now=now)
        waiting = open_callback(session, ticket.id)
        assert waiting is not None
        second = waiting.id
    shown = desk.client.get(f"/callbacks/{second}").text
    assert "此前的办理" in shown
    assert "灯还是不亮" in shown
    assert "重办第 1 次后" in shown


def test_an_unhappy_citizen_who_wants_nothing_more_closes_it(desk: Desk) -> None:
    desk.take()
    desk.client.post(f"/callbacks/{desk.callback_id}/result", data={**UNHAPPY, "wants_rework": "no"})
    assert desk.ticket().state is State.CLOSED


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"replied": ""}, "请选择诉求人的回答"),
        ({"solved": "magic"}, "请选择诉求人的回答"),
        ({"process": ""}, "请选择诉求人的回答"),
        ({"result": "unsatisfied", "wants_rework": "yes"}, "请填写不满意或未解决的原因"),
        ({"replied": "no", "reason": "没人联系过我"}, "请选择诉求人是否希望继续办理"),
        ({"solved": "unsolved", "wants_rework": "yes", "reason": "字" * 2001}, "最多 2000 字"),
    ],
)
def test_a_refused_result_tells_each_question_and_keeps_what_was_typed(
    desk: Desk, change: dict[str, str], words: str
) -> None:
    desk.take()
    given = {**HAPPY, "reason": "原话", **change}
    if "reason" not in change and words.startswith("请填写"):
        given["reason"] = " "
    answer = desk.client.post(f"/callbacks/{desk.callback_id}/result", data=given)
    assert answer.status_code == 422
    assert words in answer.text
    assert given["reason"] in answer.text
    assert answer.text.count(" checked") >= 2
    assert desk.ticket().state is State.ANSWERED


def test_a_result_that_somebody_else_recorded_first_is_a_conflict(desk: Desk) -> None:
    desk.take()
    shown = desk.client.get(f"/callbacks/{desk.callback_id}").text
    version = shown.split('name="version" value="')[1].split('"')[0]
    with desk.tools.db.begin() as session:
        callbacks.record_attempt(
            session,
            callback_id=desk.callback_id,
            outcome=AttemptOutcome.BUSY,
            note="",
            by=desk.auditor,
            now=clock.now(),
        )
    answer = desk.client.post(f"/callbacks/{desk.callback_id}/result", data={**HAPPY, "version": version})
    assert answer.status_code == 409
    assert desk.ticket().state is State.ANSWERED


def test_whoever_was_not_reached_is_planned_again_and_never_counts_as_satisfied(desk: Desk) -> None:
    desk.take()
    assert "下次回访计划在" in desk.client.get(f"/callbacks/{desk.callback_id}").text
    assert desk.client.post(f"/callbacks/{desk.callback_id}/attempt", data={"note": "占线"}).status_code == 422
    done = desk.client.post(
        f"/callbacks/{desk.callback_id}/attempt", data={"outcome": "no_answer", "note": "响铃无人接"}
    )
    assert done.status_code == 303
    with desk.tools.db.read() as session:
        row = callback(session, desk.callback_id)
    assert (row.attempts, row.verdict, row.claimed_by) == (1, None, None)
    assert row.planned_at > clock.now()
    assert "已拨打 1 次" in desk.client.get("/callbacks").text


def test_before_the_last_attempt_the_page_says_what_follows(
    desk: Desk, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hours in (0, 5):
        with desk.tools.db.begin() as session:
            callbacks.record_attempt(
                session,
                callback_id=desk.callback_id,
                outcome=AttemptOutcome.NO_ANSWER,
                note="",
                by=desk.auditor,
                now=now + timedelta(hours=hours),
            )
    monkeypatch.setattr(clock, "now", lambda: now + timedelta(hours=9))
    desk.take()
    assert "工单将以“无法联系”办结" in desk.client.get(f"/callbacks/{desk.callback_id}").text
    done = desk.client.post(
        f"/callbacks/{desk.callback_id}/attempt", data={"outcome": "no_answer"}, follow_redirects=True
    )
    assert "以“无法联系”办结" in done.text
    with desk.tools.db.read() as session:
        row = callback(session, desk.callback_id)
    assert (row.verdict, row.result) == (Verdict.UNREACHABLE, None)
    assert desk.ticket().outcome is Outcome.UNREACHABLE


def test_whoever_left_no_number_cannot_be_rung_and_one_line_says_so(desk: Desk, now: datetime) -> None:
    with desk.tools.db.begin() as session:
        lighting = session.get_one(Department, desk.department_id)
        ticket = answered_ticket(session, lighting, phone="", name="", anonymous=True, now=now - timedelta(hours=2))
        waiting = open_callback(session, ticket.id)
        assert waiting is not None
        number, callback_id = ticket.number, waiting.id
    desk.client.post(f"/callbacks/{callback_id}/claim")
    assert "没有留下电话" in desk.client.get(f"/callbacks/{callback_id}").text
    desk.client.post(f"/callbacks/{callback_id}/attempt", data={"outcome": "wrong_number", "note": "匿名"})
    with desk.tools.db.read() as session:
        assert by_number(session, number).outcome is Outcome.UNREACHABLE


def test_a_callback_that_was_put_back_is_free_for_others(desk: Desk) -> None:
    desk.take()
    assert desk.client.post(f"/callbacks/{desk.callback_id}/release").status_code == 303
    assert desk.browser("auditor2").post(f"/callbacks/{desk.callback_id}/claim").location == (
        f"/callbacks/{desk.callback_id}"
    )


def test_an_auditor_who_handled_the_ticket_reads_why_it_is_not_his(desk: Desk, now: datetime) -> None:
    """A dispatcher who became an auditor: the ticket that he sent out is not his to ask about."""
    with desk.tools.db.begin() as session:
        lighting = session.get_one(Department, desk.department_id)
        dispatcher = make_actor(session, Role.DISPATCHER, login="moved", now=now)
        made = register_ticket(session, now=now - timedelta(hours=3))
        routing.dispatch(
            session, ticket_id=made.ticket_id, version=None, department_id=lighting.id, by=dispatcher, now=now
        )
        unit = make_actor(session, Role.RESPONDER, departments=[lighting], now=now)
        routing.answer(session, ticket_id=made.ticket_id, version=None, feedback=feedback(), by=unit, now=now)
        waiting = open_callback(session, made.ticket_id)
        assert waiting is not None
        callback_id = waiting.id
        session.get_one(User, dispatcher.user_id).role = Role.AUDITOR
    other = desk.browser("moved")
    assert made.number not in other.get("/callbacks").text
    assert "您经办过此工单，不能由您回访" in other.get(f"/callbacks/{callback_id}").text
    assert "您经办过此工单" in other.post(f"/callbacks/{callback_id}/claim", follow_redirects=True).text
    assert other.post(f"/callbacks/{callback_id}/result", data=HAPPY).status_code == 403


def test_a_supervisor_may_look_and_not_record(desk: Desk) -> None:
    other = desk.browser("supervisor")
    assert "取下一件" not in other.get("/callbacks").text
    assert "您可以查看，不能记录回访" in other.get(f"/callbacks/{desk.callback_id}").text
    assert other.post(f"/callbacks/{desk.callback_id}/result", data=HAPPY).status_code == 403


@pytest.mark.parametrize("path", ["/callbacks", "/callbacks/1", "/reviews", "/reviews/1"])
def test_a_department_opens_none_of_these_pages(desk: Desk, path: str) -> None:
    assert desk.browser("unit").get(path).status_code == 403


# Bad reviews


def bad_review(desk: Desk, now: datetime, key: str = "r-1", **given: str) -> str:
    with desk.tools.db.begin() as session:
        made = callbacks.receive_review(
            session,
            callbacks.Review(
                key=key,
                stars=1,
                service_item="不动产登记",
                department_code="lighting",
                words=given.pop("words", "窗口让我跑了三趟，材料清单说不清楚。"),
                rated_at=now - timedelta(hours=2),
                service_window="3 号窗口",
                **{"phone": "13900001234", "name": "李雷", **given},
            ),
            by=DEVICE,
            now=now,
        )
    assert made is not None
    return made.number


def test_two_different_persons_classify_a_bad_review_and_the_ledger_names_both(desk: Desk, now: datetime) -> None:
    number = bad_review(desk, now)
    assert "不动产登记" in desk.client.get("/reviews?stage=open").text
    empty = desk.client.post(f"/reviews/{number}/propose", data={"verdict": "", "reason": "监控看到了"})
    assert empty.status_code == 422
    assert "请选择认定结论" in empty.text
    assert "监控看到了" in empty.text
    given = {"verdict": "justified_complex", "reason": "调取监控，属实"}
    assert desk.client.post(f"/reviews/{number}/propose", data=given).status_code == 303
    assert "须由另一人复核" in desk.client.get(f"/reviews/{number}").text
    assert desk.client.post(f"/reviews/{number}/confirm", data={"agree": "yes"}).status_code == 403
    second = desk.browser("auditor2")
    assert "不动产登记" in second.get("/reviews?stage=proposed").text
    assert second.post(f"/reviews/{number}/confirm", data={"agree": "yes"}).status_code == 303
    shown = second.get(f"/reviews/{number}").text
    for words in ("合理，限期整改", "提出认定", "复核同意", "何静", "马丽", "调取监控，属实"):
        assert words in shown
    with desk.tools.db.read() as session:
        row = review_of(session, by_number(session, number).id)
    assert row is not None
    assert row.verdict is ReviewVerdict.JUSTIFIED_COMPLEX


def test_a_second_person_who_disagrees_sends_it_back_to_the_first_step(desk: Desk, now: datetime) -> None:
    number = bad_review(desk, now)
    desk.client.post(f"/reviews/{number}/propose", data={"verdict": "malicious", "reason": "猜的"})
    second = desk.browser("auditor2")
    second.post(f"/reviews/{number}/confirm", data={"agree": "no"})
    shown = second.get(f"/reviews/{number}").text
    assert "复核不同意" in shown
    assert "提交认定" in shown
    assert desk.client.post(f"/reviews/{number}/confirm", data={"agree": "yes"}).status_code == 409


def test_the_two_duties_stand_at_the_top_with_what_they_were_counted_from(desk: Desk, now: datetime) -> None:
    """Three reviews: one justified and rectified, one mistaken, one anonymous and not judged."""
    numbers = [
        bad_review(desk, now, "a", words="跑了三趟"),
        bad_review(desk, now, "b", words="评错了窗口", phone="13900009999"),
        bad_review(desk, now, "c", words="等得太久了", phone="", name=""),
    ]
    for number, verdict in zip(numbers, ("justified_simple", "mistaken"), strict=False):
        desk.client.post(f"/reviews/{number}/propose", data={"verdict": verdict, "reason": "核实"})
        desk.browser("auditor2").post(f"/reviews/{number}/confirm", data={"agree": "yes"})
    with desk.tools.db.begin() as session:
        lighting = session.get_one(Department, desk.department_id)
        unit = make_actor(session, Role.RESPONDER, departments=[lighting], now=now)
        ticket = by_number(session, numbers[0])
        routing.sign(session, ticket_id=ticket.id, by=unit, now=now)
        callbacks.rectify(session, ticket_id=ticket.id, words="一次告知清单上墙", by=unit, now=now)
        routing.answer(session, ticket_id=ticket.id, version=None, feedback=feedback(), by=unit, now=now)
        waiting = open_callback(session, ticket.id)
        assert waiting is not None
        callback_id = waiting.id
    desk.client.post(f"/callbacks/{callback_id}/claim")
    desk.client.post(f"/callbacks/{callback_id}/result", data=HAPPY)
    shown = desk.client.get("/reviews").text
    assert "按期整改 1 / 应整改 1" in shown
    assert "完成回访 1 / 应回访 1" in shown
    assert "未认定 1" in shown
    assert "误评 1" in shown
    assert "匿名 1" in shown


def test_a_plain_ticket_is_no_bad_review(desk: Desk) -> None:
    assert desk.client.get(f"/reviews/{desk.number}").status_code == 404
    assert (
        desk.client.post(f"/reviews/{desk.number}/propose", data={"verdict": "invalid", "reason": "x"}).status_code
        == 404
    )


def test_a_review_that_is_not_judged_waits_in_the_queue_and_says_for_what(desk: Desk, now: datetime) -> None:
    number = bad_review(desk, now)
    with desk.tools.db.begin() as session:
        lighting = session.get_one(Department, desk.department_id)
        unit = make_actor(session, Role.RESPONDER, departments=[lighting], login="registry", now=now)
        ticket = by_number(session, number)
        routing.answer(session, ticket_id=ticket.id, version=None, feedback=feedback(), by=unit, now=now)
        waiting = open_callback(session, ticket.id)
        assert waiting is not None
        callback_id = waiting.id
    assert "差评尚未由两人认定" in desk.client.get("/callbacks").text
    assert "差评尚未由两人认定" in desk.client.get(f"/callbacks/{callback_id}").text
    taken = desk.client.post("/callbacks/next")
    assert taken.location == f"/callbacks/{desk.callback_id}"
    given = {"verdict": "justified_simple", "reason": "监控属实"}
    desk.client.post(f"/reviews/{number}/propose", data=given)
    desk.browser("auditor2").post(f"/reviews/{number}/confirm", data={"agree": "yes"})
    assert "尚未填写整改情况" in desk.client.get("/callbacks").text
    unit_desk = desk.browser("registry")
    assert "保存整改" in unit_desk.get(f"/department/{number}").text
    unit_desk.post(f"/department/{number}/rectify", data={"rectification": "材料清单上墙，已道歉。"})
    assert "保存整改" not in unit_desk.get(f"/department/{number}").text
    assert "尚未填写整改情况" not in desk.client.get("/callbacks").text


def test_a_review_given_by_mistake_asks_its_unit_for_no_rectification(desk: Desk, now: datetime) -> None:
    number = bad_review(desk, now)
    with desk.tools.db.begin() as session:
        lighting = session.get_one(Department, desk.department_id)
        unit = make_actor(session, Role.RESPONDER, departments=[lighting], login="registry", now=now)
        routing.sign(session, ticket_id=by_number(session, number).id, by=unit, now=now)
    unit_desk = desk.browser("registry")
    assert "保存整改" in unit_desk.get(f"/department/{number}").text
    desk.client.post(f"/reviews/{number}/propose", data={"verdict": "mistaken", "reason": "评错了窗口"})
    desk.browser("auditor2").post(f"/reviews/{number}/confirm", data={"agree": "yes"})
    page = unit_desk.get(f"/department/{number}").text
    assert "不要求整改，请答复说明" in page
    assert "保存整改" not in page


def test_a_second_click_is_no_second_ringing(desk: Desk) -> None:
    desk.take()
    with desk.tools.db.read() as session:
        version = callback(session, desk.callback_id).version
    assert f'name="version" value="{version}"' in desk.client.get(f"/callbacks/{desk.callback_id}").text
    given = {"outcome": "no_answer", "note": "无人接听", "then": "queue", "version": str(version)}
    assert desk.client.post(f"/callbacks/{desk.callback_id}/attempt", data=given).status_code == 303
    assert desk.client.post(f"/callbacks/{desk.callback_id}/attempt", data=given).status_code == 409
    with desk.tools.db.read() as session:
        assert callback(session, desk.callback_id).attempts == 1
