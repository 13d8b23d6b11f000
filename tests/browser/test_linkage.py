"""110 linkage both ways in a real browser: a call that comes from 110, and one that is theirs and goes there."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import func, select

from hotline.core.db import Database
from hotline.tickets.models import Ticket
from hotline.tickets.states import State
from hotline.tickets.transfer_models import Direction, FinalOwner, Transfer
from tests.browser.conftest import assert_accessible, assert_fits

#: A question about suggestions that a newer one took the place of is aborted, as it is meant to be.
pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("aborted_questions_are_no_problem")]

RECORD = "JQ20261120-00031"
QUARREL = "楼上住户长期深夜拖拽家具，警察到场劝过，属邻里纠纷，请街道调解。"


def crossed(live_db: Database) -> tuple[Transfer, Ticket]:
    """Return what crossed last, and its ticket."""
    with live_db.read() as session:
        row = session.execute(
            select(Transfer, Ticket).join(Ticket, Ticket.id == Transfer.ticket_id).order_by(Transfer.id.desc()).limit(1)
        ).one()
        return row[0], row[1]


def write_a_call_of_110(page: Page, *, phone: str) -> None:
    """Fill the call form by key, as far as the number of their record."""
    page.keyboard.type(phone)
    page.locator("#f-channel").focus()
    page.keyboard.type("110")
    page.locator("#f-content").focus()
    page.keyboard.insert_text(QUARREL)


def test_a_call_from_110_is_one_ticket_under_their_number(page_as: Callable[..., Page], live_db: Database) -> None:
    page = page_as("operator", "/intake")
    expect(page.locator("#f-other_number")).to_be_hidden()
    write_a_call_of_110(page, phone="13900005555")
    expect(page.locator("#f-other_number")).to_be_visible()
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-error-summary]")).to_contain_text("警情编号")
    expect(page.locator("#f-content")).to_have_value(QUARREL)
    expect(page.locator("#f-channel")).to_have_value("110")
    assert_accessible(page)
    page.locator("#f-other_number").focus()
    page.keyboard.type(RECORD)
    page.keyboard.press("Control+Enter")
    page.wait_for_url("**/intake/done/*")
    row, ticket = crossed(live_db)
    assert (row.direction, row.other_number) == (Direction.IN, RECORD)

    # The officer rings again: the same record leads to the ticket that is there, and no second one is made.
    page.keyboard.press("Alt+n")
    page.wait_for_url("**/intake")
    write_a_call_of_110(page, phone="13900006666")
    page.locator("#f-other_number").focus()
    page.keyboard.type(RECORD)
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-error-summary]")).to_contain_text(ticket.number)
    with live_db.read() as session:
        assert session.scalar(select(func.count()).select_from(Ticket).where(Ticket.source_key == RECORD)) == 1

    # Their number typed where one looks for tickets leads there too; both numbers stand on its page.
    page.goto("/tickets")
    page.keyboard.press("/")
    page.keyboard.type(RECORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/tickets/{ticket.number}")
    expect(page.get_by_text(RECORD).first).to_be_visible()
    expect(page.get_by_text("最终承办待确认")).to_be_visible()
    assert_accessible(page)
    page.set_viewport_size({"width": 390, "height": 844})
    assert_fits(page)


def test_a_matter_of_the_police_is_handed_over_and_their_reply_reaches_the_citizen(
    page_as: Callable[..., Page], page: Page, live_db: Database
) -> None:
    desk = page_as("operator", "/intake")
    desk.keyboard.type("13900005555")
    desk.locator("#f-content").focus()
    desk.keyboard.insert_text("楼下有人持刀追打，请马上派警察过来。")
    desk.keyboard.press("Alt+t")
    desk.keyboard.type("110")
    desk.locator("#f-transfer_manner").focus()
    desk.keyboard.type("三方")
    desk.keyboard.press("Control+Enter")
    desk.wait_for_url("**/intake/done/*")
    number, code = (each.split()[0] for each in desk.locator(".told-big").all_inner_texts())
    row, ticket = crossed(live_db)
    assert (ticket.number, ticket.state, row.direction) == (number, State.CLOSED, Direction.OUT)

    desk.goto("/transfers")
    expect(desk.locator("#transfers tbody tr")).to_have_count(1)
    assert_accessible(desk)
    desk.set_viewport_size({"width": 390, "height": 844})
    assert_fits(desk)
    desk.set_viewport_size({"width": 1440, "height": 900})
    desk.get_by_role("link", name=re.compile(f"记录结果.*{number}")).press("Enter")
    desk.get_by_label("最终承办单位").fill("城东派出所")
    desk.get_by_label("办理情况").fill("已到场处置，无人受伤。")
    desk.keyboard.press("Alt+s")
    expect(desk.locator("[data-error-summary]")).to_contain_text("最终由谁办理")
    expect(desk.get_by_label("办理情况")).to_have_value("已到场处置，无人受伤。")
    assert_accessible(desk)
    desk.locator('input[name="final_owner"][value="other_line"]').focus()
    desk.keyboard.press("Space")
    desk.get_by_label("对方编号").fill("JQ-77")
    with desk.expect_event("load"):
        desk.keyboard.press("Alt+s")
    expect(desk.get_by_text("已记录最终承办单位。")).to_be_visible()
    expect(desk.get_by_text("城东派出所").first).to_be_visible()
    row, _ = crossed(live_db)
    assert (row.final_owner, row.owner_name, row.other_number) == (FinalOwner.OTHER_LINE, "城东派出所", "JQ-77")
    desk.goto("/transfers")
    expect(desk.get_by_text("没有待确认的联动")).to_be_visible()

    page.goto("/track")
    page.locator("#f-number").fill(number)
    page.locator("#f-code").fill(code)
    page.get_by_role("button", name="查询").press("Enter")
    expect(page.get_by_text("已到场处置，无人受伤。")).to_be_visible()
    assert_accessible(page)
