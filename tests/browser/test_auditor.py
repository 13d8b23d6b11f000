"""An auditor rings citizens with the keyboard: unhappy starts rework, satisfied closes; bad reviews by two persons."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from callbacks import actions as callbacks
from callbacks.queries import open_callback
from hotline.core.db import Database
from hotline.core.permissions import Actor, Role
from hotline.tickets.queries import by_number, timeline
from hotline.tickets.states import Act, Outcome, State
from routing import actions as routing
from tests.browser.conftest import City, assert_accessible, assert_fits
from tests.conftest import NOW
from tests.makers import feedback

pytestmark = pytest.mark.browser


def answer_again(database: Database, city: City) -> None:
    unit = Actor(user_id=None, role=Role.RESPONDER, department_ids=frozenset({city.department_id}))
    with database.begin() as session:
        routing.answer(
            session,
            ticket_id=city.ids["answered"],
            version=None,
            feedback=feedback(public_answer="我们重新检修了整条线路，更换了老化电缆，学府街路灯已连续两晚正常亮灯。"),
            by=unit,
            now=NOW,
        )


def test_an_unhappy_citizen_starts_rework_and_a_satisfied_one_closes(
    page_as: Callable[..., Page], live_db: Database, city: City
) -> None:
    number = city.numbers["answered"]
    page = page_as("auditor", "/callbacks")
    expect(page.get_by_role("link", name=number)).to_be_visible()
    with page.expect_event("load"):
        page.keyboard.press("Alt+h")
    expect(page.get_by_role("heading", name="回访问卷")).to_be_visible()
    expect(page.get_by_label("不满意或未解决的原因")).to_be_hidden()
    for digit in "1323":
        page.keyboard.press(digit)
    expect(page.get_by_label("不满意或未解决的原因")).to_be_visible()
    page.keyboard.press("1")
    expect(page.get_by_label("不满意或未解决的原因")).to_be_focused()
    page.keyboard.insert_text("修了一次，当天晚上又不亮了。")
    with page.expect_event("load"):
        page.keyboard.press("Control+Enter")
    expect(page.get_by_text("已退回承办单位重办")).to_be_visible()
    with live_db.read() as session:
        ticket = by_number(session, number)
        assert (ticket.state, ticket.rework_rounds) == (State.DISPATCHED, 1)

    answer_again(live_db, city)
    page.goto("/callbacks")
    page.keyboard.press("j")
    with page.expect_event("load"):
        page.keyboard.press("h")
    expect(page.get_by_text("修了一次，当天晚上又不亮了。")).to_be_visible()
    for digit in "1111":
        page.keyboard.press(digit)
    with page.expect_event("load"):
        page.keyboard.press("Control+Enter")
    expect(page.get_by_text("工单办结。")).to_be_visible()
    with live_db.read() as session:
        ticket = by_number(session, number)
        assert (ticket.state, ticket.outcome) == (State.CLOSED, Outcome.CONFIRMED)


def test_the_number_is_told_by_a_click_and_written_down(
    page_as: Callable[..., Page], live_db: Database, city: City
) -> None:
    page = page_as("auditor", "/callbacks")
    with page.expect_event("load"):
        page.get_by_role("button", name="取下一件").click()
    assert "13900001234" not in page.content()
    page.get_by_role("button", name="查看联系电话").click()
    page.keyboard.press("2")
    expect(page.get_by_text("13900001234")).to_be_visible()
    with live_db.read() as session:
        looked = timeline(session, city.ids["answered"])[-1]
    assert (looked.act, looked.note) == (Act.REVEAL, "查看联系电话：回访诉求人")


def test_a_refused_result_keeps_the_answers(page_as: Callable[..., Page], city: City, live_db: Database) -> None:
    page = page_as("auditor", "/callbacks")
    with page.expect_event("load"):
        page.keyboard.press("Alt+h")
    for digit in "12":
        page.keyboard.press(digit)
    page.get_by_role("button", name="保存并返回").click()
    expect(page.get_by_role("alert").filter(has_text="第三问")).to_be_visible()
    expect(page.get_by_label("基本解决")).to_be_checked()
    with live_db.read() as session:
        assert by_number(session, city.numbers["answered"]).state is State.ANSWERED


def test_a_line_that_reached_nobody_is_recorded(page_as: Callable[..., Page], live_db: Database, city: City) -> None:
    page = page_as("auditor", "/callbacks")
    with page.expect_event("load"):
        page.keyboard.press("Alt+h")
    page.get_by_label("无人接听").check()
    page.get_by_role("button", name="记录并返回").click()
    expect(page.get_by_text("下次回访计划在")).to_be_visible()
    with live_db.read() as session:
        waiting = open_callback(session, city.ids["answered"])
    assert waiting is not None
    assert waiting.attempts == 1


def bad_review(database: Database) -> str:
    with database.begin() as session:
        made = callbacks.receive_review(
            session,
            callbacks.Review(
                key="browser-1",
                stars=1,
                service_item="路灯报修登记",
                department_code="city_management",
                words="窗口推来推去，材料清单一天一个样。",
                rated_at=NOW - timedelta(hours=2),
                service_window="3 号窗口",
                phone="13900004321",
                name="李雷",
            ),
            by=Actor(user_id=None, role=Role.DEVICE, name="counter"),
            now=NOW - timedelta(hours=1),
        )
    assert made is not None
    return made.number


def test_two_persons_classify_a_bad_review(page_as: Callable[..., Page], live_db: Database, city: City) -> None:
    assert city.department_id
    number = bad_review(live_db)
    first = page_as("auditor", f"/reviews/{number}")
    first.keyboard.press("1")
    first.get_by_label("认定依据").fill("调取窗口监控，情况属实。")
    with first.expect_event("load"):
        first.keyboard.press("Control+Enter")
    expect(first.get_by_text("须由另一人复核")).to_be_visible()
    second = page_as("supervisor", f"/reviews/{number}")
    second.keyboard.press("Alt+s")
    second.get_by_role("alertdialog").get_by_role("button", name="确定").click()
    expect(second.get_by_text("差评认定已生效。")).to_be_visible()


@pytest.mark.parametrize("width", [1440, 390])
def test_the_pages_are_accessible_and_fit(
    page_as: Callable[..., Page], live_db: Database, city: City, width: int
) -> None:
    number = bad_review(live_db)
    page = page_as("auditor", "/callbacks", width=width)
    assert_accessible(page)
    assert_fits(page)
    with live_db.read() as session:
        waiting = open_callback(session, city.ids["answered"])
    assert waiting is not None
    for path in (f"/callbacks/{waiting.id}", "/callbacks?tab=done", "/reviews", f"/reviews/{number}"):
        page.goto(path)
        assert_accessible(page)
        assert_fits(page)
    page.goto("/callbacks")
    with page.expect_event("load"):
        page.get_by_role("button", name="取下一件").click()
    assert_accessible(page)
    assert_fits(page)
