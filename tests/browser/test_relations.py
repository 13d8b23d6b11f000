"""Tickets that belong together, in a real browser: merged, let go again, gathered under an incident and all told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import func, select

from hotline.core.db import Database
from hotline.telephony.models import TextMessage
from hotline.tickets.models import Ticket
from hotline.tickets.states import State
from tests.browser.conftest import City, assert_accessible, assert_fits
from tests.conftest import NOW
from tests.makers import register_ticket

pytestmark = pytest.mark.browser


@pytest.fixture
def calls(live_db: Database, city: City) -> list[str]:
    """Return the numbers of two more calls about what the city's signed ticket is about."""
    with live_db.begin() as session:
        return [
            register_ticket(
                session,
                title=f"幸福路又黑了（第 {n} 位）",
                phone=f"1390000200{n}",
                category_id=city.category_id,
                now=NOW - timedelta(hours=1),
            ).number
            for n in (1, 2)
        ]


def test_two_calls_are_merged_and_one_is_let_go_after_a_question(
    page_as: Callable[..., Page], live_db: Database, city: City, calls: list[str]
) -> None:
    main = city.numbers["signed"]
    page = page_as("dispatcher", f"/tickets/{main}/merge")
    assert_accessible(page)
    page.keyboard.press("Alt+m")
    page.keyboard.type("\n".join(calls))
    page.get_by_label("件数").fill("2")
    page.locator("#f-reason").fill("同一路段")
    with page.expect_event("load"):
        page.keyboard.press("Alt+s")
    rows = page.locator("#members tbody tr")
    expect(rows).to_have_count(2)

    rows.filter(has_text=calls[0]).get_by_role("checkbox").check()
    page.get_by_label("解除理由").fill("另一处路段")
    page.get_by_role("button", name="解除并单").click()
    question = page.get_by_role("alertdialog")
    expect(question).to_contain_text("回到待派工单")
    assert_accessible(page)
    page.keyboard.press("Escape")
    expect(question).to_be_hidden()
    expect(rows).to_have_count(2)
    page.get_by_role("button", name="解除并单").click()
    with page.expect_event("load"):
        question.get_by_role("button", name="确定").click()
    expect(page.get_by_text("已解除 1 件，回到待派工单。")).to_be_visible()
    expect(rows).to_have_count(1)
    with live_db.read() as session:
        assert session.scalar(select(Ticket.state).where(Ticket.number == calls[0])) is State.REGISTERED
    page.goto("/dispatch")
    expect(page.get_by_role("link", name=calls[0])).to_be_visible()


def test_an_incident_is_opened_and_every_caller_is_told_at_once(
    page_as: Callable[..., Page], live_db: Database, city: City, calls: list[str]
) -> None:
    main = city.numbers["signed"]
    page = page_as("dispatcher", f"/tickets/{main}/merge")
    page.get_by_label("工单编号").fill("\n".join(calls))
    page.get_by_label("件数").fill("2")
    page.locator("#f-reason").fill("同一路段")
    with page.expect_event("load"):
        page.keyboard.press("Alt+s")
    page.get_by_label("事件名称").fill("幸福路电缆故障")
    page.get_by_label("对来电人的统一口径").fill("正在抢修，预计今晚 20 时恢复照明。")
    with page.expect_event("load"):
        page.get_by_role("button", name="设立事件").press("Enter")
    expect(page.get_by_text("3 位来电人")).to_be_visible()
    assert_accessible(page)
    with live_db.read() as session:
        before = session.scalar(select(func.count()).select_from(TextMessage)) or 0
    page.keyboard.press("Alt+m")
    page.keyboard.type("电缆已修复，今晚 20 时恢复照明。")
    page.keyboard.press("Alt+s")
    page.get_by_role("alertdialog").get_by_role("button", name="确定").press("Enter")
    expect(page.get_by_text("已向 3 位来电人发送短信。")).to_be_visible()
    with live_db.read() as session:
        assert (session.scalar(select(func.count()).select_from(TextMessage)) or 0) == before + 3
    page.set_viewport_size({"width": 390, "height": 844})
    assert_fits(page)
    page.goto("/incidents")
    expect(page.get_by_role("link", name="幸福路电缆故障")).to_be_visible()
    assert_fits(page)
    assert_accessible(page)
