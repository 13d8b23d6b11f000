"""Pages of relations: merging in bulk with a guard, incidents from the ticket to the operator's call."""

from __future__ import annotations

import re
from datetime import datetime

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from hotline.core.db import Database
from hotline.core.permissions import Role
from hotline.telephony.models import TextMessage
from hotline.tickets.models import Ticket
from routing.relations.models import Incident, Merge
from tests.makers import dispatched_ticket, make_actor, make_department, register_ticket, sign_in


@pytest.fixture
def numbers(db: Database, now: datetime) -> list[str]:
    with db.begin() as session:
        make_actor(session, Role.DISPATCHER, login="desk.one", now=now)
        make_actor(session, Role.OPERATOR, login="voice.one", now=now)
        make_actor(session, Role.AUDITOR, login="audit.one", now=now)
        unit = make_department(session, name="市供水公司")
        main = dispatched_ticket(
            session, unit, phone="13900000001", content="幸福路供水管爆裂，整条街都停水了，请尽快抢修。", now=now
        )
        others = [register_ticket(session, phone=f"1390000100{n}", now=now).number for n in range(3)]
        return [main.number, *others]


@pytest.fixture
def desk(app: Flask) -> FlaskClient:
    return app.test_client()


def test_tickets_are_merged_in_bulk_and_another_number_than_expected_changes_nothing(
    desk: FlaskClient, db: Database, numbers: list[str]
) -> None:
    sign_in(desk, "desk.one")
    main, *others = numbers
    address = f"/tickets/{main}/merge"
    given = {"numbers": "\n".join(others), "reason": "同一处爆管", "expected": "2"}
    refused = desk.post(address, data=given)
    assert refused.status_code == 422
    assert "找到 3 件，与您填写的 2 件不符" in refused.text
    assert others[2] in refused.text
    unknown = desk.post(address, data=given | {"numbers": "202601010000009", "expected": "1"})
    assert unknown.status_code == 422
    assert "没有找到" in unknown.text
    assert desk.post(address, data=given | {"expected": "3"}).status_code == 303
    shown = desk.get(address).text
    assert all(each in shown for each in others)
    assert main in desk.get(f"/tickets/{others[0]}").text
    assert "另有 3 件" in desk.get(f"/tickets/{main}").text
    with db.read() as session:
        ids = list(session.scalars(select(Merge.ticket_id)))
    assert desk.post(f"/tickets/{main}/unmerge", data={"ids": ids, "unmerge_reason": ""}).status_code == 422
    # Where no script has counted them, they are shown once more with their ticks.
    chosen = {"ids": ids, "unmerge_reason": "另一处"}
    asked = desk.post(f"/tickets/{main}/unmerge", data=chosen)
    assert asked.status_code == 200
    assert f"将解除 {len(ids)} 件" in asked.text
    assert asked.text.count(" checked data-bulk-one") == len(ids)
    assert desk.post(f"/tickets/{main}/unmerge", data=chosen | {"seen": len(ids)}).status_code == 303
    assert "没有并入本单的工单" in desk.get(address).text


def test_an_operator_sees_the_incident_while_typing_and_attaches_the_caller(
    app: Flask, desk: FlaskClient, db: Database, numbers: list[str]
) -> None:
    sign_in(desk, "desk.one")
    main = numbers[0]
    given = {"title": "幸福路爆管停水", "words": "正在抢修，预计今晚 20 时恢复供水。"}
    assert desk.post(f"/tickets/{main}/incident", data=given | {"words": ""}).status_code == 422
    opened = desk.post(f"/tickets/{main}/incident", data=given)
    assert opened.status_code == 303
    with db.read() as session:
        incident = session.scalars(select(Incident.id)).one()
    operator = app.test_client()
    sign_in(operator, "voice.one")
    call = {"content": "我家在幸福路，从早上起就停水，听说供水管爆裂了，什么时候恢复供水？", "title": ""}
    hinted = operator.post("/intake/suggest", data=call).text
    assert f'data-take="incident_id={incident}"' in hinted
    assert "预计今晚 20 时恢复供水" in hinted
    other = operator.post("/intake/suggest", data={"content": "公交车司机态度恶劣，要求道歉处理。", "title": ""}).text
    assert "incident_id=" not in other
    form = {**call, "phone": "13900005555", "channel": "phone", "request_type": "求助", "urgency": "一般"}
    done = operator.post("/intake", data={**form, "finish": "register", "incident_id": str(incident)})
    assert done.status_code == 303, done.text
    with db.read() as session:
        merged = session.scalars(select(Merge)).one()
        assert merged.incident_id == incident
    told = operator.get(done.headers["Location"]).text
    assert "正在抢修，预计今晚 20 时恢复供水。" in told, "what this caller is told, not what callers usually are"
    assert "用您自己的受理编号单独答复您" in told
    with db.read() as session:
        number = session.scalars(select(Ticket.number).order_by(Ticket.id.desc()).limit(1)).one()
    waits = desk.get(f"/dispatch/{number}").text
    assert f"已并入 {main}，随主单一并答复" in waits
    assert 'id="decide"' not in waits
    page = opened.headers["Location"]
    assert "2 位来电人" in desk.get(page).text
    assert desk.post(f"{page}/announce", data={"words": ""}).status_code == 422
    assert desk.post(f"{page}/announce", data={"words": "已恢复供水。"}).status_code == 303
    with db.read() as session:
        assert len(list(session.scalars(select(TextMessage).where(TextMessage.purpose == "incident")))) == 2
    paper = desk.get(f"{page}/print").text
    for words in ("幸福路爆管停水", number, "已恢复供水。"):
        assert words in paper
    assert len(re.findall(r"<td>20\d\d-\d\d-\d\d \d\d:\d\d", paper)) >= 3, "on paper a moment has its year"
    assert operator.get(f"{page}/print").status_code == operator.get(page).status_code
    assert desk.post(f"{page}/close").status_code == 303
    assert "没有这样的事件" in desk.get("/incidents").text
    assert "幸福路爆管停水" in desk.get("/incidents?tab=over").text


def test_the_citizen_of_a_merged_ticket_is_told_what_that_means(
    app: Flask, desk: FlaskClient, db: Database, numbers: list[str]
) -> None:
    from hotline.web import tracking
    from tests.conftest import NOW

    sign_in(desk, "desk.one")
    main, other = numbers[:2]
    desk.post(f"/tickets/{main}/merge", data={"numbers": other, "reason": "同一处爆管", "expected": "1"})
    with app.test_request_context(), db.read() as session:
        ticket = session.scalars(select(Ticket).where(Ticket.number == other)).one()
        told = tracking.tell(session, ticket, now=NOW)
    assert "已合并办理" in told.next[0]
    assert main not in " ".join(told.next)


def test_whoever_may_not_merge_is_refused(app: Flask, numbers: list[str]) -> None:
    client = app.test_client()
    sign_in(client, "audit.one")
    assert client.get(f"/tickets/{numbers[0]}/merge").status_code == 403
    assert client.get("/incidents").status_code == 403


def test_the_dispatch_desk_merges_a_likely_duplicate_with_one_key_more(
    desk: FlaskClient, db: Database, numbers: list[str]
) -> None:
    sign_in(desk, "desk.one")
    main, other, *_ = numbers
    form = desk.get(f"/tickets/{main}/merge?join={other}").text
    for filled in (other, 'value="1"', "与主单为同一事项", 'name="back" value="queue"'):
        assert filled in form
    assert "<script>" not in desk.get(f"/tickets/{main}/merge?join=<script>").text
    done = desk.post(
        f"/tickets/{main}/merge", data={"numbers": other, "expected": "1", "reason": "同一事项", "back": "queue"}
    )
    assert (done.status_code, done.headers["Location"]) == (303, "/dispatch")
    assert other not in desk.get("/dispatch").text.split("tbody")[1]
