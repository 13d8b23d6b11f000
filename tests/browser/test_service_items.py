"""Service items in a real browser: the administrator adds one, the operator names it by key, it is retired."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select

from hotline.core.db import Database
from hotline.tickets.models import Ticket
from tests.browser.conftest import City, assert_accessible, assert_fits

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("aborted_questions_are_no_problem")]

ITEM = "异地就医备案"


def test_an_item_is_added_named_in_a_call_and_retired(
    page_as: Callable[..., Page], live_db: Database, city: City
) -> None:
    admin = page_as("administrator", "/admin/service-items")
    expect(admin.get_by_text("还没有服务事项")).to_be_visible()
    assert_accessible(admin)
    admin.locator("#f-code").fill("备 案")
    admin.locator("#f-name").fill(ITEM)
    admin.keyboard.press("Alt+s")
    expect(admin.locator("[data-error-summary]")).to_contain_text("代码")
    expect(admin.locator("#f-name")).to_have_value(ITEM)
    admin.locator("#f-code").fill("YB-001")
    with admin.expect_event("load"):
        admin.keyboard.press("Alt+s")
    row = admin.locator("#items tbody tr", has_text=ITEM)
    expect(row).to_contain_text("使用中")
    assert_accessible(admin)
    admin.set_viewport_size({"width": 390, "height": 844})
    assert_fits(admin)

    desk = page_as("operator", "/intake")
    desk.keyboard.type("13900005678")
    desk.locator("#f-content").focus()
    desk.keyboard.insert_text("请问异地就医备案要带什么材料，在哪里办？")
    suggested = desk.locator("#suggest .hint", has_text=ITEM)
    expect(suggested).to_be_visible()
    key = suggested.get_attribute("data-key")
    assert key
    desk.keyboard.press(key.replace("alt", "Alt"))
    expect(desk.locator("#f-service_item")).to_have_value(f"YB-001 {ITEM}")
    # Or by some of its letters, without the suggestion.
    box = desk.locator("#f-service_item")
    box.fill("")
    desk.keyboard.press("Tab")
    expect(desk.locator('select[name="service_item"]')).to_have_value("")
    box.focus()
    desk.keyboard.insert_text("就医")
    desk.keyboard.press("Enter")
    expect(box).to_have_value(f"YB-001 {ITEM}")
    assert_accessible(desk)
    desk.keyboard.press("Control+Enter")
    desk.wait_for_url("**/intake/done/*")
    with live_db.read() as session:
        ticket = session.scalars(select(Ticket).order_by(Ticket.id.desc()).limit(1)).one()
    assert ticket.service_item == ITEM
    desk.goto(f"/tickets/{ticket.number}")
    expect(desk.get_by_text(ITEM).first).to_be_visible()

    admin.set_viewport_size({"width": 1440, "height": 900})
    with admin.expect_event("load"):
        row.get_by_role("button", name="停用").press("Enter")
    expect(row).to_contain_text("已停用")
    desk.goto("/intake")
    expect(desk.locator("#f-service_item")).to_have_count(0)
    desk.goto(f"/tickets/{ticket.number}")
    expect(desk.get_by_text(ITEM).first).to_be_visible()
