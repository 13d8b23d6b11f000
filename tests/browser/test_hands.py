"""More time, shared tickets, answers before their reader: by keyboard in a real browser, on a desk and on a phone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from hotline.core.db import Database
from hotline.core.permissions import Actor, Role
from hotline.tickets.models import InstallationSetting
from routing import actions as routing
from routing.answers import parts, vetting
from routing.answers.part_models import PartKind
from routing.answers.vetting_models import VettingState
from routing.answers.vetting_rules import SETTING, VettingMode, VettingPolicy
from routing.clocks import adjusting
from routing.clocks.models import AdjustmentState
from routing.models import Department
from tests.browser.conftest import City, assert_accessible, assert_fits
from tests.conftest import NOW
from tests.makers import dispatched_ticket, feedback, make_actor

pytestmark = pytest.mark.browser
PHONE = {"width": 390, "height": 844}


def held(live_db: Database, city: City) -> tuple[str, int, Actor]:
    """Return a complaint in the hands of the responder's department, and one of its members."""
    with live_db.begin() as session:
        department = session.get_one(Department, city.department_id)
        colleague = make_actor(session, Role.RESPONDER, departments=[department], now=NOW)
        ticket = dispatched_ticket(
            session, department, title="小区电梯反复停运", request_type="投诉", now=NOW - timedelta(hours=3)
        )
        return ticket.number, ticket.id, colleague


def test_a_department_asks_for_time_and_a_dispatcher_grants_it_by_keyboard(
    page_as: Callable[..., Page], live_db: Database, city: City, tmp_path: Path
) -> None:
    number, ticket_id, _ = held(live_db, city)
    page = page_as("responder", f"/department/{number}")
    with page.expect_event("load"):
        page.keyboard.press("Alt+y")
    page.get_by_label("延长几个工作日").fill("5")
    page.get_by_label("延期原因").fill("涉及电梯维保和物业两家单位。")
    page.get_by_label("延期依据").fill("管理办法第十八条")
    with page.expect_event("load"):
        page.get_by_role("button", name="申请延期").press("Enter")
    expect(page.get_by_text("延期申请已提交")).to_be_visible()
    assert_accessible(page)
    page.screenshot(path=tmp_path / "ask.png", full_page=True)
    desk = page_as("dispatcher", "/time")
    expect(desk.get_by_text(number)).to_be_visible()
    desk.screenshot(path=tmp_path / "time.png", full_page=True)
    desk.get_by_role("link", name=number).press("Enter")
    expect(desk.get_by_text("批准后到期")).to_be_visible()
    desk.screenshot(path=tmp_path / "decide.png", full_page=True)
    with desk.expect_event("load"):
        desk.keyboard.press("Alt+y")
    expect(desk.get_by_text("没有待审批的申请")).to_be_visible()
    with live_db.read() as session:
        assert [one.row.state for one in adjusting.of_ticket(session, ticket_id)] == [AdjustmentState.APPROVED]
    page.goto(f"/tickets/{number}/deadlines")
    expect(page.get_by_text("获准延期 5 个工作日").first).to_be_visible()
    assert_accessible(page)
    page.screenshot(path=tmp_path / "deadlines.png", full_page=True)
    page.set_viewport_size(PHONE)  # type: ignore[arg-type] # two numbers by name
    assert_fits(page)
    page.screenshot(path=tmp_path / "deadlines_phone.png", full_page=True)


def test_a_ticket_is_shared_and_the_lead_is_asked_why_it_does_not_wait(
    page_as: Callable[..., Page], live_db: Database, city: City, tmp_path: Path
) -> None:
    number, ticket_id, colleague = held(live_db, city)
    with live_db.begin() as session:
        other = city.other_department_id
        parts.share(session, ticket_id=ticket_id, kind=PartKind.ASSIST, department_id=other, by=colleague, now=NOW)
    page = page_as("responder", f"/department/{number}")
    with page.expect_event("load"):
        page.keyboard.press("Alt+g")
    assert_accessible(page)
    page.screenshot(path=tmp_path / "parts.png", full_page=True)
    page.set_viewport_size(PHONE)  # type: ignore[arg-type] # as above
    assert_fits(page)
    page.screenshot(path=tmp_path / "parts_phone.png", full_page=True)
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(f"/department/{number}")
    with page.expect_event("load"):
        page.keyboard.press("Alt+q")
    expect(page.get_by_label("不等待协办的理由")).to_be_visible()
    page.screenshot(path=tmp_path / "lead.png", full_page=True)


def test_a_reader_sends_an_answer_back_by_keyboard(
    page_as: Callable[..., Page], live_db: Database, city: City, tmp_path: Path
) -> None:
    number, ticket_id, colleague = held(live_db, city)
    with live_db.begin() as session:
        policy = VettingPolicy(mode=VettingMode.ALL).to_setting()
        session.merge(InstallationSetting(name=SETTING, value=policy, changed_by=None, changed_at=NOW))
        session.flush()
        routing.answer(session, ticket_id=ticket_id, version=None, feedback=feedback(), by=colleague, now=NOW)
    page = page_as("dispatcher", "/vetting")
    page.get_by_role("link", name=number).press("Enter")
    page.get_by_label("审核意见").fill("请说明电梯何时恢复运行。")
    assert_accessible(page)
    page.screenshot(path=tmp_path / "read.png", full_page=True)
    page.set_viewport_size(PHONE)  # type: ignore[arg-type] # as above
    assert_fits(page)
    page.screenshot(path=tmp_path / "read_phone.png", full_page=True)
    with page.expect_event("load"):
        page.keyboard.press("Alt+b")
    expect(page.get_by_text("已退回承办单位修改")).to_be_visible()
    with live_db.read() as session:
        assert vetting.decided(session).rows[0].row.state is VettingState.SENT_BACK
    unit = page_as("responder", f"/department/{number}")
    expect(unit.get_by_text("请说明电梯何时恢复运行。")).to_be_visible()
    unit.screenshot(path=tmp_path / "sent_back.png", full_page=True)
    root = page_as("administrator", "/admin/vetting")
    assert_accessible(root)
    root.screenshot(path=tmp_path / "policy.png", full_page=True)
