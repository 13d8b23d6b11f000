"""Supervision in a real browser: the bell, an order from the ticket to the unit and back, every page of the desk."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from hotline.core.db import Database
from routing.supervision.sweeping import sweep
from tests.browser.conftest import City, assert_accessible, assert_fits
from tests.conftest import NOW

pytestmark = pytest.mark.browser


def test_a_supervisor_heeds_an_alarm_and_a_unit_answers_his_order(
    page_as: Callable[..., Page], live_db: Database, city: City
) -> None:
    sweep(live_db.begin, now=NOW)
    number = city.numbers["overdue"]
    boss = page_as("supervisor", "/supervision")
    bell = boss.locator(".topbar-alarms .side-count")
    expect(bell).to_have_text("2")
    assert_accessible(boss)
    boss.keyboard.press("g")
    expect(boss.get_by_role("heading", name="督办提醒", level=1)).to_be_visible()
    assert_accessible(boss)
    boss.locator("tbody tr").filter(has_text=number).first.get_by_role("checkbox").check()
    boss.keyboard.press("Alt+m")
    boss.keyboard.type("已电话催办")
    with boss.expect_event("load"):
        boss.keyboard.press("Alt+s")
    expect(boss.locator("tbody tr")).to_have_count(1)
    expect(bell).to_have_text("1")

    boss.goto(f"/tickets/{city.numbers['signed']}")
    with boss.expect_event("load"):
        boss.keyboard.press("Alt+k")
    boss.get_by_label("理由和要求").fill("路灯三日未修复，请说明原因和完成时间。")
    assert_accessible(boss)
    with boss.expect_event("load"):
        boss.keyboard.press("Alt+s")
    expect(boss.get_by_text("待签收", exact=True)).to_be_visible()
    order = boss.url

    unit = page_as("responder", "/department")
    first = unit.locator("#supervision").get_by_role("link", name="幸福路路灯不亮").first
    expect(first).to_be_visible()
    unit.goto(order)
    with unit.expect_event("load"):
        unit.keyboard.press("Alt+q")
    unit.keyboard.press("Alt+r")
    unit.keyboard.type("电缆被挖断，已恢复供电。")
    assert_accessible(unit)
    with unit.expect_event("load"):
        unit.keyboard.press("Control+Enter")
    expect(unit.get_by_text("电缆被挖断，已恢复供电。")).to_be_visible()

    boss.reload()
    boss.get_by_label("通过，办结督办").check()
    with boss.expect_event("load"):
        boss.keyboard.press("Alt+s")
    expect(boss.get_by_text("已办结").first).to_be_visible()


def test_every_page_of_supervision_is_accessible_and_fits_a_phone(
    page_as: Callable[..., Page], live_db: Database, city: City
) -> None:
    sweep(live_db.begin, now=NOW)
    page = page_as("supervisor", "/supervision/cards", width=390, height=844)
    number = city.numbers["overdue"]
    for address in (
        "/supervision/cards",
        "/supervision/notices",
        "/supervision/rules",
        "/supervision/list/sign_overdue",
        "/alarms",
        f"/tickets/{number}/urge",
        f"/tickets/{number}/deadlines",
    ):
        page.goto(address)
        assert_fits(page)
        assert_accessible(page)
    page.goto(f"/tickets/{number}/parts")
    # A day is written the same in every browser, and completed where it is short.
    due = page.get_by_label("任务时限").first
    due.fill("2026/11/24 9:05")
    due.press("Tab")
    expect(due).to_have_value("2026-11-24 09:05")
    assert_accessible(page)
