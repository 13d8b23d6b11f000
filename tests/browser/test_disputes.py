"""A dispute in a real browser: opened, argued by two units, ruled by two seats, written into the catalogue."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select

from hotline.core.db import Database
from routing.learning.label_models import LabelTask, Provenance, TrainingLabel
from tests.browser.conftest import City, assert_accessible, assert_fits

pytestmark = pytest.mark.browser
BASIS = "三定方案第九条"


def argues(page: Page, stance: str, words: str) -> None:
    """Put a unit's position in and look at the page as it does."""
    page.get_by_label(stance).check()
    page.get_by_label("意见和事实").fill(words)
    page.locator("#f-argue-basis").fill("移交协议第三条")
    assert_accessible(page)
    with page.expect_event("load"):
        page.keyboard.press("Control+Enter")
    expect(page.get_by_text(words)).to_be_visible()


def test_a_dispute_is_argued_ruled_and_written_into_the_catalogue(  # noqa: PLR0915 - from the quarrel to the next ticket
    page_as: Callable[..., Page], live_db: Database, city: City
) -> None:
    number = city.numbers["dispatched"]
    desk = page_as("dispatcher", f"/disputes/new/{number}")
    desk.get_by_label("说明").fill("井盖由谁管养，两家说法不一。")
    desk.locator("select[name=department_ids]").select_option(str(city.other_department_id))
    assert_accessible(desk)
    with desk.expect_event("load"):
        desk.keyboard.press("Control+Enter")
    expect(desk.get_by_text("还没有单位提交意见。")).to_be_visible()
    there = urlsplit(desk.url).path

    argues(page_as("responder", there), "不属本单位职责", "井盖已移交供热单位管养。")
    argues(page_as("responder", there, login="responder2"), "愿意协办", "可以协助查找产权资料。")

    desk.reload()
    for at, (name, seat) in enumerate((("郑凯", "hotline"), ("钱公正", "establishment")), 1):
        chosen = desk.locator(f"select[name=member_{at}] option", has_text=name).get_attribute("value")
        desk.locator(f"select[name=member_{at}]").select_option(chosen)
        desk.locator(f"select[name=seat_{at}]").select_option(seat)
    with desk.expect_event("load"):
        desk.get_by_role("button", name="确定裁定小组").press("Enter")
    expect(desk.locator("#panel")).to_contain_text("钱公正")

    arbiter = page_as("arbiter", there)
    arbiter.locator("#propose select[name=lead_id]").select_option(str(city.other_department_id), force=True)
    arbiter.get_by_label("裁定理由").fill("供热检查井由产权单位管养。")
    arbiter.get_by_label("裁定依据").fill(BASIS)
    assert_accessible(arbiter)
    with arbiter.expect_event("load"):
        arbiter.keyboard.press("Control+Enter")
    expect(arbiter.get_by_text("等待热线中心席位会签。")).to_be_visible()

    boss = page_as("supervisor", there)
    boss.keyboard.press("Alt+p")
    with boss.expect_event("load"):
        boss.get_by_role("alertdialog").get_by_role("button", name="确定").press("Enter")
    expect(boss.get_by_text("已生效", exact=True)).to_be_visible()
    # It is an example for the model, above what a dispatcher's choice counts for.
    with live_db.read() as session:
        told = session.execute(
            select(TrainingLabel.label, TrainingLabel.provenance).where(
                TrainingLabel.ticket_id == city.ids["dispatched"],
                TrainingLabel.task == LabelTask.DEPARTMENT,
                TrainingLabel.superseded_at.is_(None),
            )
        ).all()
    assert [tuple(one) for one in told] == [("heating", Provenance.RULED)]
    # The next ticket of the matter cites it before anything stands in the catalogue.
    desk.goto("/dispatch")
    row = desk.locator("tr[data-row]", has_text=city.numbers["registered"])
    expect(row.get_by_role("link", name=re.compile("裁定第"))).to_be_visible()
    expect(row.locator("[data-row-key='1']")).to_contain_text("先例：同一事件类别")
    boss.get_by_role("button", name="转为派单目录条目").press("Enter")
    with boss.expect_event("load"):
        boss.get_by_role("alertdialog").get_by_role("button", name="确定").press("Enter")
    expect(boss.get_by_text("已加入派单目录草稿，发布后生效。")).to_be_visible()
    assert_accessible(boss)
    boss.set_viewport_size({"width": 390, "height": 844})
    assert_fits(boss)

    boss.get_by_role("link", name="查看派单目录").press("Enter")
    boss.get_by_role("link", name="第 1 版").press("Enter")
    expect(boss.locator("tbody tr").filter(has_text=BASIS)).to_contain_text("望川供热集团")
    assert_accessible(boss)
    assert_fits(boss)

    # Published, the row itself is offered, and the precedent stands behind it as one more reason.
    admin = page_as("administrator", "/admin/catalogue/1")
    admin.get_by_role("button", name=re.compile("发布第 1 版")).press("Enter")
    admin.get_by_role("alertdialog").get_by_role("button", name="确定").press("Enter")
    admin.wait_for_url("**/admin/catalogue")
    desk.reload()
    offer = row.locator("[data-row-key='1']")
    expect(offer).to_contain_text("望川供热集团")
    expect(offer).to_contain_text("派单目录第 1 版")
    expect(offer).to_contain_text(f"依据：{BASIS}")
    expect(offer).to_contain_text("先例：同一事件类别")
