"""Pages of supervision: what a unit and the centre see, do, and are refused."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from hotline.core import clock
from hotline.core.db import Database
from hotline.core.permissions import Role
from hotline.tickets.queries import setting
from hotline.web import live
from reports.models import ExportEntry, Taken
from routing.models import Department, Dispatch
from routing.supervision.models import Alarm, Leader, SupervisionNotice
from routing.supervision.sweeping import sweep
from routing.supervision.triggers import RULES, SETTING, Rules, Trigger
from tests.makers import count_queries, dispatched_ticket, make_actor, make_department, sign_in


@pytest.fixture
def unit(db: Database, now: datetime) -> Department:
    with db.begin() as session:
        unit = make_department(session, name="市养护中心")
        make_actor(session, Role.RESPONDER, login="unit.one", departments=[unit], now=now)
        make_actor(session, Role.RESPONDER, login="other.one", departments=[make_department(session)], now=now)
        make_actor(session, Role.SUPERVISOR, login="boss.one", now=now)
        make_actor(session, Role.ADMINISTRATOR, login="admin.one", now=now)
        make_actor(session, Role.OPERATOR, login="voice.one", now=now)
    return unit


@pytest.fixture
def number(db: Database, unit: Department, now: datetime) -> str:
    with db.begin() as session:
        return dispatched_ticket(session, unit, now=now).number


@pytest.fixture
def late(db: Database, number: str, monkeypatch: pytest.MonkeyPatch) -> datetime:
    """Return a moment in the sweep's and the pages' time at which the ticket is red."""
    with db.read() as session:
        red = session.scalars(select(Dispatch.red_from)).one()
        assert red is not None
    at = red + timedelta(hours=1)
    sweep(db.begin, now=at)
    monkeypatch.setattr(clock, "now", lambda: at)
    return at


def browser(app: Flask, login: str) -> FlaskClient:
    client = app.test_client()
    sign_in(client, login)
    return client


def test_a_unit_sees_its_cards_and_notices_first_and_takes_note_with_a_word(
    app: Flask, db: Database, late: datetime, number: str
) -> None:
    client = browser(app, "unit.one")
    desk = client.get("/department").text
    assert desk.index("先办：红黄牌与督办") < desk.index("待签收")
    assert "红牌" in desk
    listed = client.get("/alarms").text
    assert number in listed
    with db.read() as session:
        mine = list(session.scalars(select(Alarm.id).where(Alarm.to_department_id.is_not(None))))
    refused = client.post("/alarms/heed", data={"ids": mine, "word": " "})
    assert refused.status_code == 422
    assert "请写一句话" in refused.text
    assert client.post("/alarms/heed", data={"ids": mine, "word": "今日修复"}).status_code == 303
    assert "没有待确认的提醒" in client.get("/alarms").text
    assert "今日修复" in client.get("/alarms?tab=heeded").text


def test_another_unit_sees_none_of_it(app: Flask, db: Database, late: datetime, number: str) -> None:
    client = browser(app, "other.one")
    for address in ("/alarms", "/supervision/cards", "/supervision/notices", "/department"):
        assert number not in client.get(address).text, address
    with db.read() as session:
        notice = session.scalars(select(SupervisionNotice.id).limit(1)).one()
    assert client.get(f"/supervision/notices/{notice}").status_code == 404
    assert client.post(f"/supervision/notices/{notice}/receive").status_code == 404


def test_a_notice_goes_from_the_ticket_to_the_unit_and_back(
    app: Flask, db: Database, number: str, late: datetime
) -> None:
    boss, unit = browser(app, "boss.one"), browser(app, "unit.one")
    shown = boss.get(f"/tickets/{number}").text
    assert f"/tickets/{number}/supervise" in shown
    assert "督办情况" in shown
    empty = boss.post(f"/tickets/{number}/supervise", data={"words": "", "form": "special", "workdays": "2"})
    assert empty.status_code == 422
    assert 'value="2"' in empty.text
    sent = boss.post(f"/tickets/{number}/supervise", data={"words": "请说明原因", "form": "special", "workdays": "2"})
    assert sent.status_code == 303
    page = sent.headers["Location"]
    again = boss.post(f"/tickets/{number}/supervise", data={"words": "再次督办", "form": "special", "workdays": ""})
    assert again.status_code == 409
    assert "已有一份未办结的督办单" in again.text
    assert "再次督办" in again.text
    assert unit.post(f"{page}/receive").status_code == 303
    asked = unit.get(page).text
    assert "请说明原因" in asked
    paper = unit.get(f"{page}/print").text
    for words in ("督办通知单", "请说明原因", "单位盖章", number):
        assert words in paper
    with db.read() as session:
        assert [one.what for one in session.scalars(select(ExportEntry))] == [Taken.NOTICE_PRINT]
    with db.read() as session:
        version = session.scalars(select(SupervisionNotice.version).order_by(SupervisionNotice.id.desc())).first()
    kept = unit.post(f"{page}/account", data={"version": version, "account": ""})
    assert kept.status_code == 422
    assert unit.post(f"{page}/account", data={"version": version, "account": "已连夜抢修"}).status_code == 303
    assert "已连夜抢修" in boss.get("/supervision/notices?tab=accounted").text or "待审核" in boss.get(page).text
    assert boss.post(f"{page}/judge", data={"version": version, "words": ""}).status_code == 422
    with db.read() as session:
        version = session.scalars(select(SupervisionNotice.version).order_by(SupervisionNotice.id.desc())).first()
    judged = boss.post(f"{page}/judge", data={"version": version, "accepted": "no", "words": "原因不清"})
    assert judged.status_code == 303
    assert "原因不清" in unit.get(judged.headers["Location"]).text


def test_an_operator_urges_from_the_ticket(app: Flask, number: str, late: datetime) -> None:
    client = browser(app, "voice.one")
    assert "市养护中心" in client.get(f"/tickets/{number}/urge").text
    assert client.post(f"/tickets/{number}/urge", data={"words": ""}).status_code == 422
    assert client.post(f"/tickets/{number}/urge", data={"words": "诉求人再次来电"}).status_code == 303
    assert "第 2 次" in client.get(f"/tickets/{number}", follow_redirects=True).text
    assert client.get(f"/tickets/{number}/supervise").status_code == 403


def test_the_centre_counts_cards_by_department_and_narrows_to_one(app: Flask, unit: Department, late: datetime) -> None:
    client = browser(app, "boss.one")
    page = client.get("/supervision/cards").text
    assert f"/supervision/cards?department={unit.id}" in page
    assert "市养护中心" in client.get(f"/supervision/cards?department={unit.id}&colour=red").text
    assert "没有有效的红黄牌" in client.get("/supervision/cards?colour=yellow").text
    assert client.get("/supervision/cards?cursor=broken").status_code in {400, 422}


def test_every_trigger_stands_on_one_page_and_an_administrator_switches_it(
    app: Flask, db: Database, unit: Department
) -> None:
    shown = browser(app, "boss.one").get("/supervision/rules").text
    assert all(rule.words in shown for rule in RULES)
    client = browser(app, "admin.one")
    form = {f"on_{rule.trigger.value}": "1" for rule in RULES if rule.trigger is not Trigger.REPEATED}
    form |= {f"limit_{rule.trigger.value}": str(rule.limit) for rule in RULES if rule.limit is not None}
    form |= {"receive_workdays": "1", "urge_workdays": "2", "supervise_workdays": "3"}
    form |= {"words_1": "红牌", "colour_1": "red", "workdays_1": "0", "told_1": "leader", "level_1": "1", "text_1": "1"}
    bad = client.post("/supervision/rules", data=form | {"workdays_1": "99"})
    assert bad.status_code == 422
    assert 'value="99"' in bad.text
    assert client.post("/supervision/rules", data=form).status_code == 303
    with db.read() as session:
        decided = Rules.from_setting(setting(session, SETTING))
    assert decided.off == {Trigger.REPEATED}
    assert [step.words for step in decided.ladder] == ["红牌"]
    assert decided.urge_workdays == 2


def test_leaders_are_entered_and_removed(app: Flask, db: Database, unit: Department) -> None:
    client = browser(app, "admin.one")
    given = {"department_id": unit.id, "level": "1", "name": "李科", "post": "科长", "phone": "13900008888"}
    refused = client.post("/supervision/leaders", data=given | {"phone": "无"})
    assert refused.status_code == 422
    assert "李科" in refused.text
    assert client.post("/supervision/leaders", data=given).status_code == 303
    with db.read() as session:
        leader = session.scalars(select(Leader)).one()
    assert client.post(f"/supervision/leaders/{leader.id}/remove").status_code == 303
    assert browser(app, "boss.one").post("/supervision/leaders", data=given).status_code == 403


def test_the_bell_counts_what_waits_for_this_person(app: Flask, db: Database, late: datetime, unit: Department) -> None:
    assert 'data-counter="mine.alarms"' in browser(app, "unit.one").get("/department").text
    assert 'data-counter="mine.alarms"' not in browser(app, "voice.one").get("/intake").text
    figures = live.Streams(db).figures()
    with db.read() as session:
        count = len(list(session.scalars(select(Alarm.id).where(Alarm.to_department_id == unit.id))))
    from hotline.core.permissions import Actor

    who = Actor(user_id=1, role=Role.RESPONDER, department_ids=frozenset({unit.id}))
    assert live.shown_to(who, figures)["mine.alarms"] == count > 0


def test_lists_cost_the_same_questions_however_long(app: Flask, db: Database, unit: Department, now: datetime) -> None:
    client = browser(app, "boss.one")

    def cost() -> list[int]:
        counts = []
        for address in ("/alarms", "/supervision/cards", "/supervision/notices"):
            with count_queries(db) as counted:
                client.get(address)
            counts.append(counted.count)
        return counts

    few = cost()
    with db.begin() as session:
        for _ in range(6):
            dispatched_ticket(session, unit, now=now)
        red = session.scalars(select(Dispatch.red_from)).first()
    assert red is not None
    sweep(db.begin, now=red + timedelta(days=9))
    assert cost() == few
