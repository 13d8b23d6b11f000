"""A responder works through a ticket with the keyboard alone, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select

from hotline.core.db import Database
from hotline.tickets.queries import by_number
from hotline.tickets.states import State
from routing.models import Answer, Department
from tests.browser.conftest import City, assert_accessible, assert_fits
from tests.conftest import NOW
from tests.makers import dispatched_ticket

pytestmark = pytest.mark.browser

ANSWER = "您反映的窨井盖破损，我们今天上午更换了新井盖并加装了防坠网，现场已恢复通行。"


def state(database: Database, number: str) -> State:
    with database.read() as session:
        return by_number(session, number).state


def test_a_responder_signs_contacts_and_answers_by_keyboard(
    page_as: Callable[..., Page], live_db: Database, city: City
) -> None:
    number = city.numbers["dispatched"]
    page = page_as("responder", "/department?tab=unsigned")
    page.keyboard.press("q")
    assert state(live_db, number) is State.DISPATCHED, "without a row in focus the key does nothing"
    row = page.locator("tr[data-row]", has_text=number)
    while not row.evaluate("row => row.contains(document.activeElement)"):
        page.keyboard.press("j")
    with page.expect_event("load"):
        page.keyboard.press("q")
    expect(page.get_by_text(f"已签收 {number}。")).to_be_visible()
    assert state(live_db, number) is State.SIGNED

    page.goto(f"/department/{number}")
    page.keyboard.press("Alt+t")
    page.keyboard.type("已与诉求人通话，约定上午到场。")
    with page.expect_event("load"):
        page.keyboard.press("Control+Enter")
    expect(page.get_by_text("已与诉求人通话，约定上午到场。")).to_be_visible()

    page.get_by_label("属实", exact=True).press("Space")
    page.get_by_label("职责范围内").press("Space")
    page.get_by_label("已解决").press("Space")
    expect(page.get_by_label("后续计划")).to_be_hidden()
    page.keyboard.press("Alt+m")
    page.keyboard.type("班组两人到场，更换井盖一套，领料单 112。")
    page.keyboard.press("Alt+r")
    page.keyboard.insert_text(ANSWER)
    with page.expect_event("load"):
        page.keyboard.press("Control+Enter")
    assert state(live_db, number) is State.ANSWERED
    with live_db.read() as session:
        assert ANSWER in session.scalars(select(Answer.public_answer)).all()


def test_what_was_typed_survives_a_reload_and_a_refusal(page_as: Callable[..., Page], city: City) -> None:
    page = page_as("responder", f"/department/{city.numbers['signed']}")
    page.get_by_label("公开答复").fill(ANSWER)
    page.wait_for_function("() => Object.keys(localStorage).some((name) => name.includes('answer-'))")
    page.reload()
    expect(page.get_by_label("公开答复")).to_have_value(ANSWER)
    page.get_by_label("公开答复").press("Control+Enter")
    expect(page.get_by_role("alert").filter(has_text="请选择诉求是否属实")).to_be_visible()
    expect(page.get_by_label("公开答复")).to_have_value(ANSWER)


def test_unsolved_asks_for_a_plan(page_as: Callable[..., Page], city: City) -> None:
    page = page_as("responder", f"/department/{city.numbers['signed']}")
    expect(page.get_by_label("后续计划")).to_be_hidden()
    page.get_by_label("部分解决").check()
    expect(page.get_by_label("后续计划")).to_be_visible()


def test_many_tickets_are_signed_at_once(page_as: Callable[..., Page], live_db: Database, city: City) -> None:
    with live_db.begin() as session:
        lighting = session.get_one(Department, city.department_id)
        more = [dispatched_ticket(session, lighting, now=NOW - timedelta(hours=hours)).number for hours in (1, 2)]
    page = page_as("responder", "/department?tab=unsigned")
    page.get_by_label("选择本页全部").check()
    page.get_by_role("button", name="批量签收").click()
    page.get_by_role("alertdialog").get_by_role("button", name="确定").click()
    expect(page.get_by_text("已签收 4 件工单。")).to_be_visible()
    assert all(state(live_db, number) is State.SIGNED for number in [*more, city.numbers["overdue"]])


def test_a_refused_return_opens_again_with_what_was_typed(page_as: Callable[..., Page], city: City) -> None:
    page = page_as("responder", f"/department/{city.numbers['dispatched']}")
    page.keyboard.press("Alt+b")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("退单说明").fill("该井盖归通信公司所有。")
    dialog.get_by_role("button", name="提交退单申请").click()
    expect(page.get_by_role("dialog").get_by_label("退单说明")).to_have_value("该井盖归通信公司所有。")
    expect(page.get_by_role("dialog")).to_contain_text("请选择退单理由")


@pytest.mark.parametrize("width", [1440, 390])
def test_the_pages_are_accessible_and_fit(page_as: Callable[..., Page], city: City, width: int) -> None:
    page = page_as("responder", "/department?tab=unsigned", width=width)
    numbers = city.numbers
    for path in (
        "/department?tab=unsigned",
        "/department?tab=answered",
        "/department?tab=all",
        *(f"/department/{numbers[name]}" for name in ("dispatched", "overdue", "signed", "answered")),
    ):
        page.goto(path)
        assert_accessible(page)
        assert_fits(page)
