"""Harassing calls in a real browser: from the first mark to the limit, and a real matter that is taken all the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import func, select

from hotline.core.db import Database
from hotline.intake.harassment_models import CallerLimit, CallerLimitState, HarassmentMark
from hotline.tickets.models import Ticket
from hotline.tickets.states import State
from tests.browser.conftest import assert_accessible, assert_fits

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("aborted_questions_are_no_problem")]

PHONE = "13900007777"
EVIDENCE = "通话中持续辱骂约三分钟，经询问没有任何诉求。"


def refuse_and_mark(page: Page) -> None:
    """Refuse a call without a matter and mark it, by the keyboard alone."""
    page.goto("/intake")
    page.keyboard.type(PHONE)
    page.locator("#f-content").focus()
    page.keyboard.insert_text("来电人持续辱骂话务员，没有任何诉求。")
    page.keyboard.press("Alt+j")
    page.keyboard.type("NR-09")
    page.locator("#f-harassment_kind").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.insert_text(EVIDENCE)
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("Control+Enter")
    page.wait_for_url("**/intake/done/*")


def test_evidence_is_asked_for_only_under_nr_09_and_nothing_is_lost_when_it_is_thin(
    page_as: Callable[..., Page], live_db: Database
) -> None:
    page = page_as("operator", "/intake")
    page.keyboard.type(PHONE)
    page.locator("#f-content").fill("来电人持续辱骂话务员，没有任何诉求。")
    page.keyboard.press("Alt+j")
    evidence = page.locator("#f-evidence")
    page.locator("#f-refusal_reason").select_option("NR-06")
    expect(evidence).to_be_hidden()
    page.locator("#f-refusal_reason").select_option("NR-09")
    expect(evidence).to_be_visible()
    page.locator("#f-harassment_kind").select_option(index=1)
    evidence.fill("骂人")
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-error-summary]")).to_be_focused()
    expect(evidence).to_have_value("骂人")
    expect(evidence).to_be_visible()
    assert_accessible(page)
    page.set_viewport_size({"width": 390, "height": 844})
    assert_fits(page)
    page.set_viewport_size({"width": 1440, "height": 900})
    # Another reason after all: what is refused about the mark is still there to be read and taken out.
    evidence.fill(EVIDENCE)
    page.locator("#f-refusal_reason").select_option("NR-06")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#f-harassment_kind")).to_be_visible()
    page.locator("#f-harassment_kind").select_option("")
    page.keyboard.press("Control+Enter")
    page.wait_for_url("**/intake/done/*")
    with live_db.read() as session:
        assert session.scalar(select(func.count()).select_from(HarassmentMark)) == 0


def ask_for_a_limit(page: Page) -> None:
    """Go from the call form to the caller's latest ticket, and ask there."""
    page.keyboard.press("Alt+n")
    page.wait_for_url("**/intake")
    page.keyboard.type(PHONE)
    expect(page.locator("#caller")).to_contain_text("可申请限制")
    page.locator("#caller .earlier-one a").first.focus()
    with page.expect_popup() as opened:
        page.keyboard.press("Enter")
    ticket = opened.value
    ticket.get_by_role("link", name="骚扰来电").last.press("Enter")
    ticket.get_by_label("申请理由").fill("三次劝导和警告无效。")
    assert_accessible(ticket)
    with ticket.expect_event("load"):
        ticket.keyboard.press("Alt+q")
    ticket.close()


def confirm_the_limit(boss: Page) -> None:
    """Confirm what was asked for, not longer than allowed."""
    expect(boss.get_by_text("三次劝导和警告无效。")).to_be_visible()
    for days in ("31", "7"):
        boss.get_by_text("决定", exact=True).last.press("Enter")
        boss.get_by_label("限制天数").fill(days)
        with boss.expect_event("load"):
            boss.get_by_role("button", name="确认限制").press("Enter")
        if days == "31":
            expect(boss.locator("[data-error-summary]")).to_contain_text("30")
            assert_accessible(boss)
    boss.set_viewport_size({"width": 390, "height": 844})
    assert_fits(boss)
    boss.set_viewport_size({"width": 1440, "height": 900})


def test_three_marked_calls_lead_to_a_limit_and_a_real_matter_is_taken_all_the_same(
    page_as: Callable[..., Page], live_db: Database
) -> None:
    page, boss = page_as("operator", "/intake"), page_as("supervisor", "/harassment")
    for _ in range(3):
        refuse_and_mark(page)
    ask_for_a_limit(page)
    boss.reload()
    confirm_the_limit(boss)
    with live_db.read() as session:
        assert session.scalars(select(CallerLimit.state)).all() == [CallerLimitState.IN_FORCE]

    # Within the limit a call without a matter ends by one key, and an emergency is taken as ever.
    page.goto("/intake")
    page.keyboard.type(PHONE)
    expect(page.locator("#caller")).to_contain_text("限制期内")
    assert_accessible(page)
    page.keyboard.press("Alt+x")
    expect(page.get_by_role("radio", name="不予受理")).to_be_checked()
    expect(page.locator("#f-refusal_reason")).to_have_value("NR-09")
    page.keyboard.press("Alt+s")
    page.locator("#f-content").fill("楼道里有很重的煤气味，请马上派人来。")
    page.keyboard.press("Control+Enter")
    page.wait_for_url("**/intake/done/*")
    with live_db.read() as session:
        newest = session.scalars(select(Ticket).order_by(Ticket.id.desc()).limit(1)).one()
    assert newest.state is not State.CLOSED

    boss.goto("/harassment?tab=in_force")
    boss.get_by_text("解除", exact=True).last.press("Enter")
    boss.get_by_label("解除理由").fill("来电人已道歉。")
    with boss.expect_event("load"):
        boss.get_by_role("button", name="解除限制").press("Enter")
    page.goto("/intake")
    page.keyboard.type(PHONE)
    expect(page.locator("#caller .earlier-one").first).to_be_visible()
    expect(page.locator("#caller")).not_to_contain_text("限制期内")
