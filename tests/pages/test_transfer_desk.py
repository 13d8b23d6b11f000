"""The linkage desk, the operator's form for a call of 110, and the interface between the two platforms."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from hotline.core.permissions import SYSTEM, Role
from hotline.people.actions import issue_token
from hotline.tickets.models import Ticket
from hotline.tickets.transfer_models import FinalOwner, Transfer
from hotline.wiring import Installation
from tests.makers import make_user, sign_in

RECORD = {
    "number": "JQ20261009-00031",
    "content": "楼上住户长期深夜拖拽家具，警察到场劝过，属邻里纠纷，请街道调解。",
    "phone": "13900005555",
    "name": "周晓",
}


@dataclass
class Linked:
    """A signed-in operator, and the machine of 110."""

    client: FlaskClient
    tools: Installation
    token: str

    def sends(self, path: str, body: dict[str, Any]) -> Any:
        return self.client.post(f"/api/v1{path}", json=body, headers={"Authorization": f"Bearer {self.token}"})

    def asks(self, path: str) -> Any:
        return self.client.get(f"/api/v1{path}", headers={"Authorization": f"Bearer {self.token}"})

    def row(self) -> Transfer:
        with self.tools.db.read() as session:
            return session.scalars(select(Transfer).order_by(Transfer.id.desc())).first() or pytest.fail("no row")


@pytest.fixture
def linked(client: FlaskClient, tools: Installation, now: datetime, monkeypatch: pytest.MonkeyPatch) -> Linked:
    monkeypatch.setattr("hotline.core.clock.now", lambda: now)
    with tools.db.begin() as session:
        operator = make_user(session, Role.OPERATOR, now=now)
        token = issue_token(session, name="110", role=Role.EXCHANGE, user_id=None, by=SYSTEM, now=now)
    sign_in(client, operator.login)
    return Linked(client=client, tools=tools, token=token)


def test_110_hands_a_record_over_once_and_asks_who_handles_it(linked: Linked) -> None:
    made = linked.sends("/transfers", RECORD)
    assert made.status_code == 201
    again = linked.sends("/transfers", {**RECORD, "content": "内容变了也还是同一个警情编号。"})
    assert (again.status_code, again.get_json()["ticket"]) == (200, made.get_json()["ticket"])
    told = linked.asks(f"/transfers/{RECORD['number']}").get_json()["transfers"]
    assert [(one["direction"], one["state"], one["owner"]) for one in told] == [("in", "registered", None)]
    assert linked.asks("/transfers/JQ-NONE").status_code == 404


def test_the_machine_of_110_can_do_nothing_else(linked: Linked) -> None:
    assert linked.sends("/tickets", {"content": "x" * 20}).status_code == 403
    assert linked.asks("/tickets").status_code == 403


@pytest.mark.parametrize("body", [{**RECORD, "number": "?"}, {**RECORD, "line": "119"}, {**RECORD, "content": ""}])
def test_a_record_that_cannot_be_is_refused_by_field(linked: Linked, body: dict[str, Any]) -> None:
    assert linked.sends("/transfers", body).status_code == 422


def test_a_call_from_110_is_registered_under_its_number_and_a_second_time_led_to_the_ticket(linked: Linked) -> None:
    form = {"phone": "13900005555", "content": RECORD["content"], "channel": "110", "request_type": "求助"}
    form |= {"urgency": "一般", "finish": "register", "transfer_manner": "call"}
    refused = linked.client.post("/intake", data=form)
    assert refused.status_code == 422
    assert "警情编号" in refused.text
    assert linked.client.post("/intake", data={**form, "other_number": "JQ-1"}).status_code == 303
    second = linked.client.post("/intake", data={**form, "other_number": "JQ-1", "phone": "13900006666"})
    assert second.status_code == 422
    with linked.tools.db.read() as session:
        (ticket,) = session.scalars(select(Ticket))
    assert ticket.number in second.text


def test_a_number_of_110_leads_from_the_search_to_the_ticket_that_shows_both(linked: Linked) -> None:
    number = linked.sends("/transfers", RECORD).get_json()["ticket"]
    led = linked.client.post("/tickets/find", data={"q": RECORD["number"]})
    assert led.headers["Location"].endswith(f"/tickets/{number}")
    shown = linked.client.get(f"/tickets/{number}").text
    assert "转接与联动" in shown
    assert RECORD["number"] in shown
    assert "最终承办待确认" in shown


def test_the_linkage_desk_lists_what_has_no_owner_and_takes_the_reply(linked: Linked) -> None:
    form = {"phone": "13900005555", "content": "楼下有人持刀追打，请马上派警察过来。", "channel": "phone"}
    form |= {"request_type": "求助", "urgency": "特急", "finish": "transfer", "transfer_to": "110"}
    assert linked.client.post("/intake", data={**form, "transfer_manner": "conference"}).status_code == 303
    row = linked.row()
    assert row.manner.value == "conference"
    with linked.tools.db.read() as session:
        number = session.get_one(Ticket, row.ticket_id).number
    assert number in linked.client.get("/transfers").text
    assert number not in linked.client.get("/transfers?tab=in").text
    address = f"/tickets/{number}/transfers/{row.id}"
    assert linked.client.get(address).status_code == 200
    kept = linked.client.post(address, data={"owner_name": "城东派出所", "reply": "已处置"})
    assert kept.status_code == 422
    assert "城东派出所" in kept.text
    good = {"final_owner": "other_line", "owner_name": "城东派出所", "reply": "已处置", "other_number": "JQ-77"}
    assert linked.client.post(address, data=good).status_code == 303
    assert linked.row().final_owner is FinalOwner.OTHER_LINE
    assert number not in linked.client.get("/transfers").text
    assert "城东派出所" in linked.client.get(f"/tickets/{number}").text
    assert linked.client.get(f"/tickets/{number}/transfers/999999").status_code == 404


def test_110_tells_its_number_and_the_owner_of_what_we_handed_over(linked: Linked) -> None:
    form = {"phone": "13900005555", "content": "有人翻窗入室，请马上派警察过来。", "channel": "phone"}
    form |= {"request_type": "求助", "urgency": "特急", "finish": "transfer", "transfer_to": "110"}
    linked.client.post("/intake", data={**form, "transfer_manner": "call"})
    with linked.tools.db.read() as session:
        number = session.get_one(Ticket, linked.row().ticket_id).number
    body = {"owner": "other_line", "owner_name": "南屏派出所", "reply": "已抓获。"}
    assert linked.sends("/transfers/JQ-88/owner", body).status_code == 404
    told = linked.sends("/transfers/JQ-88/owner", {**body, "ticket": number})
    assert (told.status_code, told.get_json()["owner_name"]) == (201, "南屏派出所")
    assert linked.sends("/transfers/JQ-88/owner", body).status_code == 201


def test_a_department_does_not_see_the_linkage_desk(client: FlaskClient, tools: Installation, now: datetime) -> None:
    with tools.db.begin() as session:
        person = make_user(session, Role.RESPONDER, now=now)
    sign_in(client, person.login)
    assert client.get("/transfers").status_code == 403
