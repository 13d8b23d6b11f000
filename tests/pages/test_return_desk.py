"""The returns that wait, at the dispatch desk: seen with their evidence, ruled with one key, by nobody inside."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from hotline.core import clock
from hotline.core.permissions import Actor, Role
from hotline.tickets.models import Ticket
from hotline.tickets.queries import by_number
from hotline.tickets.states import State
from hotline.wiring import Installation
from routing.duty.models import Return
from routing.duty.rules import ReturnState
from routing.models import Department
from tests.makers import ask_return, count_queries, dispatched_ticket, make_actor, make_department, sign_in


@dataclass
class Desk:
    app: Flask
    tools: Installation
    client: FlaskClient
    responder: Actor
    parks: int
    roads: int
    number: str
    return_id: int

    def ticket(self) -> Ticket:
        with self.tools.db.read() as session:
            return by_number(session, self.number)

    def state(self) -> ReturnState:
        with self.tools.db.read() as session:
            return session.get_one(Return, self.return_id).state


@pytest.fixture
def desk(app: Flask, tools: Installation, now: datetime, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(clock, "now", lambda: now)
    with tools.db.begin() as session:
        parks, roads = make_department(session, name="市园林处"), make_department(session, name="市养护处")
        responder = make_actor(session, Role.RESPONDER, departments=[parks], login="unit", now=now)
        make_actor(session, Role.DISPATCHER, login="reviewer", name="审核员", now=now)
        make_actor(session, Role.DISPATCHER, departments=[parks], login="insider", now=now)
        ticket = dispatched_ticket(session, parks, title="行道树挡住路灯", now=now - timedelta(hours=3))
        asked = ask_return(
            session, ticket, by=responder, suggested=roads, words="路灯由养护处管。", now=now - timedelta(hours=1)
        )
        session.flush()
        found = (parks.id, roads.id, ticket.number, asked.id)
    client = app.test_client()
    sign_in(client, "reviewer")
    return Desk(app, tools, client, responder, *found)


def test_the_queue_shows_reason_basis_clock_and_proposal(desk: Desk) -> None:
    page = desk.client.get("/dispatch/returns").text
    for words in ("行道树挡住路灯", "市园林处", "不属本单位职责", "路灯由养护处管。", "权责清单第十二条", "市养护处"):
        assert words in page
    assert 'data-row-key="1"' in page
    assert 'data-row-key="2"' in page
    assert "剩余" in page


def test_one_key_upholds_to_the_suggested_unit(desk: Desk) -> None:
    answer = desk.client.post(
        f"/dispatch/returns/{desk.return_id}/uphold", data={"department_id": str(desk.roads)}, follow_redirects=True
    )
    assert "已改派 市养护处" in answer.text
    assert "没有待审核的退单" in answer.text
    assert desk.state() is ReturnState.UPHELD
    assert desk.ticket().state is State.DISPATCHED


def test_without_a_unit_it_goes_back_into_the_queue(desk: Desk) -> None:
    answer = desk.client.post(
        f"/dispatch/returns/{desk.return_id}/uphold", data={"department_id": ""}, follow_redirects=True
    )
    assert "已回到待派工单" in answer.text
    assert desk.number in desk.client.get("/dispatch").text


def test_a_refusal_needs_its_reason_and_keeps_the_clock(desk: Desk) -> None:
    due = desk.ticket().due_at
    bare = desk.client.post(f"/dispatch/returns/{desk.return_id}/refuse", data={"refusal": " "})
    assert bare.status_code == 422
    assert "请填写驳回退单的理由" in bare.text
    done = desk.client.post(f"/dispatch/returns/{desk.return_id}/refuse", data={"refusal": "清单载明由贵处管养。"})
    assert done.status_code == 303
    assert (desk.state(), desk.ticket().due_at) == (ReturnState.REFUSED, due)
    again = desk.client.post(f"/dispatch/returns/{desk.return_id}/refuse", data={"refusal": "再驳一次的理由"})
    assert again.status_code == 409
    assert "已由审核员" in again.text


def test_an_upheld_return_to_the_same_or_a_closed_unit_is_refused_and_keeps_what_was_typed(desk: Desk) -> None:
    same = desk.client.post(
        f"/dispatch/returns/{desk.return_id}/uphold", data={"department_id": str(desk.parks), "words": "同意的意见"}
    )
    assert same.status_code == 422
    assert "须另派其他承办单位" in same.text
    assert "同意的意见" in same.text
    with desk.tools.db.begin() as session:
        session.get_one(Department, desk.roads).active = False
    closed = desk.client.post(f"/dispatch/returns/{desk.return_id}/uphold", data={"department_id": str(desk.roads)})
    assert closed.status_code == 422
    assert desk.state() is ReturnState.OPEN


def test_whoever_belongs_to_the_unit_sees_the_return_and_cannot_rule_on_it(desk: Desk) -> None:
    insider = desk.app.test_client()
    sign_in(insider, "insider")
    assert "须由单位以外的人员审核" in insider.get(f"/dispatch/returns/{desk.return_id}").text
    answer = insider.post(f"/dispatch/returns/{desk.return_id}/refuse", data={"refusal": "不行"})
    assert answer.status_code == 403
    assert desk.state() is ReturnState.OPEN


def test_a_unit_does_not_open_the_queue(desk: Desk) -> None:
    unit = desk.app.test_client()
    sign_in(unit, "unit")
    assert unit.get("/dispatch/returns").status_code == 403
    assert desk.client.get("/dispatch/returns/999999").status_code == 404


def test_the_queue_asks_as_many_questions_for_many_rows_as_for_one(desk: Desk, now: datetime) -> None:
    with count_queries(desk.tools.db) as one:
        desk.client.get("/dispatch/returns")
    with desk.tools.db.begin() as session:
        parks, roads = session.get_one(Department, desk.parks), session.get_one(Department, desk.roads)
        for _ in range(6):
            ask_return(session, dispatched_ticket(session, parks, now=now), by=desk.responder, suggested=roads, now=now)
    with count_queries(desk.tools.db) as many:
        page = desk.client.get("/dispatch/returns")
    assert page.text.count("data-row ") + page.text.count("data-row>") >= 7
    assert many.count == one.count


def test_the_ticket_shows_how_often_it_was_given_back_and_every_step_of_it(desk: Desk) -> None:
    desk.client.post(f"/dispatch/returns/{desk.return_id}/uphold", data={"department_id": str(desk.roads)})
    page = desk.client.get(f"/tickets/{desk.number}").text
    for words in ("退单生效", "申请退单", "退单 1 次"):
        assert words in page
