"""Days and limits in a real browser: a day is declared, an edition written, with scripts and without."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from sqlalchemy import select

from hotline.core.clock import local_day
from hotline.core.db import Database
from routing.clocks import recounting
from routing.clocks.calendars import china
from routing.clocks.models import CalendarDay, ProfileEdition, Recount
from tests.browser.conftest import City, assert_accessible, assert_fits
from tests.conftest import NOW
from tests.makers import PASSWORD

pytestmark = pytest.mark.browser


TOMORROW = china().next_workday(local_day(NOW))


def test_a_day_is_declared_for_a_unit_looked_at_and_confirmed(
    page_as: Callable[..., Page], live_db: Database, city: City
) -> None:
    page = page_as("administrator", "/admin/calendar?unit=city_management")
    expect(page.get_by_role("heading", level=1)).to_contain_text(city.department)
    assert_accessible(page)
    page.keyboard.press("Alt+s")
    expect(page.locator("[data-error-summary]")).to_contain_text("请选择日期")
    page.locator("#f-day").fill(TOMORROW.isoformat())
    page.get_by_label("放假").check()
    page.get_by_label("依据").fill("机关事务管理局 9 号")
    with page.expect_event("load"):
        page.keyboard.press("Alt+s")
    expect(page.locator("main")).to_contain_text("件在办工单的办理时限随之变动")
    assert_accessible(page)
    page.set_viewport_size({"width": 390, "height": 844})
    assert_fits(page)
    with page.expect_event("load"):
        page.keyboard.press("Alt+y")
    expect(page.locator("#declared")).to_contain_text("机关事务管理局 9 号")
    assert_fits(page)
    assert_accessible(page)
    with live_db.begin() as session:
        [day] = session.scalars(select(CalendarDay))
        assert (day.day, day.department_id) == (TOMORROW, city.department_id)
        order = session.scalars(select(Recount)).one()
        while order.finished_at is None:
            recounting.carry_on(session, recount_id=order.id, now=NOW)
    page.reload()
    expect(page.locator("main")).to_contain_text("已完成")


def test_an_edition_is_written_by_its_rows_and_confirmed(page_as: Callable[..., Page], live_db: Database) -> None:
    page = page_as("administrator", "/admin/profiles")
    assert_accessible(page)
    page.get_by_role("button", name="起草新版").click()
    row = page.locator("details.limits-row", has_text="投诉、举报")
    expect(row).not_to_have_attribute("open", "")
    row.locator("summary").press("Enter")
    row.get_by_label("办理时限数值").fill("八")
    assert_accessible(page)
    with page.expect_event("load"):
        page.keyboard.press("Alt+s")
    summary = page.locator("[data-error-summary]")
    expect(summary).to_contain_text("请填写版本号")
    expect(summary).to_contain_text("办理时限：“八”不是整数")
    expect(row).to_have_attribute("open", "")
    assert_accessible(page)
    summary.get_by_role("link", name="办理时限").click()
    expect(row.get_by_label("办理时限数值")).to_be_focused()
    row.get_by_label("办理时限数值").fill("8")
    page.get_by_label("版本号").fill("2026.2")
    page.locator("#f-effective_on").fill(TOMORROW.isoformat())
    page.locator("#f-basis").fill("市政府令第 9 号")
    # Enter in a field looks at what would change: it neither saves nor removes a row.
    with page.expect_event("load"):
        page.get_by_label("版本号").press("Enter")
    expect(page.locator("#preview")).to_contain_text("8 个工作日")
    assert_accessible(page)
    page.set_viewport_size({"width": 390, "height": 844})
    assert_fits(page)
    with page.expect_event("load"):
        page.keyboard.press("Alt+s")
    expect(page.locator("main")).to_contain_text("草案")
    assert_accessible(page)
    assert_fits(page)
    page.get_by_role("button", name="起生效").click()
    with page.expect_event("load"):
        page.get_by_role("alertdialog").get_by_role("button", name="确定").click()
    expect(page.locator("main")).to_contain_text("待生效")
    with live_db.read() as session:
        [edition] = session.scalars(select(ProfileEdition))
    assert edition.confirmed_at == NOW


def test_rows_are_added_on_a_phone_without_a_script(new_context: Callable[..., BrowserContext]) -> None:
    page = new_context(viewport={"width": 390, "height": 844}, java_script_enabled=False).new_page()
    page.goto("/sign-in?next=/admin/profiles/new")
    page.get_by_label("用户名").fill("administrator")
    page.get_by_label("密码").fill(PASSWORD)
    page.get_by_role("button", name="登录").click()
    page.wait_for_url("**/admin/profiles/new")
    rows = page.locator("details.limits-row")
    before = rows.count()
    rows.nth(2).locator("summary").click()
    rows.nth(2).get_by_role("button", name="在上面插入一条").click()
    expect(rows).to_have_count(before + 1)
    added = rows.nth(2)
    expect(added.get_by_label("办理时限数值")).to_be_visible()  # it stands open, and in sight
    expect(added).to_be_in_viewport()
    added.get_by_label("建议").check()
    added.get_by_label("办理时限数值").fill("4")
    added.get_by_role("button", name="下移").click()
    expect(rows.nth(3).locator("summary")).to_contain_text("建议")
    expect(rows.nth(3).get_by_label("办理时限数值")).to_have_value("4")
    rows.nth(3).get_by_role("button", name="删除这一条").click()
    expect(rows).to_have_count(before)
