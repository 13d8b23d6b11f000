"""The pages of disputes: a whole one from the third return to the ruling, and who may read and do what."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import datetime

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from hotline.core import clock
from hotline.core.permissions import Role
from hotline.tickets.models import Ticket
from hotline.wiring import Installation
from reports.models import ExportEntry, Taken
from routing.duty.models import Dispute, Ruling
from routing.duty.rules import DisputeState
from routing.models import Dispatch, Standing
from tests.flows.test_disputes import make_case
from tests.makers import make_actor, make_department, sign_in


@dataclass
class Desk:
    app: Flask
    tools: Installation
    number: str
    dispute_id: int
    units: list[int]
    supervisor: int
    arbiter: int
    logins: dict[str, str]

    def as_(self, who: str) -> FlaskClient:
        client = self.app.test_client()
        sign_in(client, self.logins[who])
        return client

    def dispute(self) -> Dispute:
        with self.tools.db.read() as session:
            return session.get_one(Dispute, self.dispute_id)


@pytest.fixture
def desk(app: Flask, tools: Installation, now: datetime, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(clock, "now", lambda: now)
    with tools.db.begin() as session:
        case = make_case(session, now)
        dispute = case.bounces()
        assert dispute is not None
        # What happened in hours there has happened by now here.
        monkeypatch.setattr(clock, "now", lambda: case.now.replace(hour=9))
        from hotline.people.models import User

        logins = {
            name: session.get_one(User, actor.user_id).login
            for name, actor in (
                ("dispatcher", case.dispatcher),
                ("supervisor", case.supervisor),
                ("arbiter", case.arbiter),
                ("unit", case.people[0]),
            )
        }
        stranger = make_actor(session, Role.RESPONDER, departments=[make_department(session)], now=now)
        logins["stranger"] = session.get_one(User, stranger.user_id).login
        found = (
            case.ticket.number,
            dispute.id,
            [unit.id for unit in case.units],
            case.supervisor.user_id or 0,
            case.arbiter.user_id or 0,
        )
    return Desk(app, tools, *found, logins)


def test_a_dispute_is_argued_and_ruled_on_page_by_page(desk: Desk) -> None:
    there = f"/disputes/{desk.dispute_id}"
    unit, dispatcher = desk.as_("unit"), desk.as_("dispatcher")
    assert desk.number in dispatcher.get("/disputes").text
    argued = unit.post(
        f"{there}/argue",
        data={
            "stance": "not_ours",
            "words": "管养已移交。",
            "basis": "移交协议第三条",
            "files": (io.BytesIO("移交清单".encode()), "移交清单.txt"),
        },
        content_type="multipart/form-data",
    )
    assert argued.status_code == 303, argued.text
    page = dispatcher.get(there).text
    for words in ("管养已移交。", "移交协议第三条", "移交清单.txt", "先行办理", "裁定期限怎么算"):
        assert words in page
    named = dispatcher.post(
        f"{there}/panel",
        data={
            "member_1": str(desk.supervisor),
            "seat_1": "hotline",
            "member_2": str(desk.arbiter),
            "seat_2": "establishment",
        },
    )
    assert named.status_code == 303, named.text
    given = {"lead_id": str(desk.units[1]), "assist_ids": [str(desk.units[2])], "words": "由其建设。", "basis": ""}
    arbiter = desk.as_("arbiter")
    bare = arbiter.post(f"{there}/rulings", data=given)
    assert bare.status_code == 422
    assert "请填写裁定依据" in bare.text
    assert "由其建设。" in bare.text
    assert arbiter.post(f"{there}/rulings", data={**given, "basis": "三定第二条"}).status_code == 303
    with desk.tools.db.read() as session:
        ruling_id = session.scalars(select(Ruling.id)).one()
    alone = arbiter.post(f"{there}/rulings/{ruling_id}/confirm")
    assert alone.status_code == 403
    assert "由另一方会签" in alone.text
    supervisor = desk.as_("supervisor")
    assert "会签生效" in supervisor.get(there).text
    assert supervisor.post(f"{there}/rulings/{ruling_id}/confirm").status_code == 303
    assert desk.dispute().state is DisputeState.RULED
    with desk.tools.db.read() as session:
        held = session.scalars(select(Dispatch).where(Dispatch.is_current)).one()
    assert (held.department_id, held.standing) == (desk.units[1], Standing.BINDING)
    again = supervisor.post(f"{there}/rulings/{ruling_id}/confirm")
    assert again.status_code == 409
    done = supervisor.post(f"{there}/rulings/{ruling_id}/catalogue", follow_redirects=True)
    assert "已加入派单目录草稿" in done.text
    paper = supervisor.get(f"{there}/print").text
    for words in ("职责争议裁定书", "由其建设。", "三定第二条", "管养已移交。"):
        assert words in paper
    with desk.tools.db.read() as session:
        (taken,) = session.scalars(select(ExportEntry))
    assert (taken.what, taken.by_role, taken.scope) == (
        Taken.DISPUTE_PRINT,
        Role.SUPERVISOR,
        there.replace("/disputes/", "争议 "),
    )
    assert desk.number in desk.as_("arbiter").get("/disputes?tab=ended").text


def test_only_those_who_are_heard_or_rule_read_it_and_only_documents_of_it(desk: Desk) -> None:
    there = f"/disputes/{desk.dispute_id}"
    assert desk.as_("unit").get(there).status_code == 200
    for who in ("stranger", "arbiter"):
        assert desk.as_(who).get(there).status_code == 404
        assert desk.number not in desk.as_(who).get("/disputes").text
    assert desk.as_("unit").get(f"{there}/files/999").status_code == 404
    assert desk.as_("unit").post(f"{there}/panel", data={}).status_code == 403


def test_a_panel_without_another_side_is_refused_and_said_why(desk: Desk) -> None:
    answer = desk.as_("dispatcher").post(
        f"/disputes/{desk.dispute_id}/panel", data={"member_1": str(desk.supervisor), "seat_1": "hotline"}
    )
    assert answer.status_code == 422
    assert "热线中心以外" in answer.text


def test_a_supervisor_designates_and_a_dispatcher_does_not(desk: Desk) -> None:
    with desk.tools.db.read() as session:
        version = session.scalars(select(Ticket.version)).one()
    given = {"version": str(version), "department_id": str(desk.units[0]), "reason": ""}
    supervisor = desk.as_("supervisor")
    assert "被指定的单位必须承办" in supervisor.get(f"/disputes/designate/{desk.number}").text
    bare = supervisor.post(f"/disputes/designate/{desk.number}", data=given)
    assert bare.status_code == 422
    assert "请填写指定承办的理由" in bare.text
    assert desk.as_("dispatcher").post(f"/disputes/designate/{desk.number}", data=given).status_code == 403
    done = supervisor.post(f"/disputes/designate/{desk.number}", data={**given, "reason": "首接负责"})
    assert done.status_code == 303
    assert desk.dispute().state is DisputeState.DESIGNATED
    assert "指定承办" in supervisor.get(f"/tickets/{desk.number}").text


def test_nobody_asks_for_a_second_dispute_of_one_ticket(desk: Desk) -> None:
    with desk.tools.db.read() as session:
        version = session.scalars(select(Ticket.version)).one()
    dispatcher = desk.as_("dispatcher")
    assert "提请职责裁定" in dispatcher.get(f"/disputes/new/{desk.number}").text
    given = {"version": str(version), "words": "再争一次"}
    assert dispatcher.post(f"/disputes/new/{desk.number}", data=given).status_code == 409
    assert dispatcher.post(f"/disputes/new/{desk.number}", data={**given, "words": ""}).status_code == 422
