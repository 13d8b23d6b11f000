"""The dispatcher's desk in a real browser: rows and units by key, and rows that others were first with."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect
from sqlalchemy import select, text

from hotline.core.db import Database
from hotline.core.permissions import SYSTEM, Role
from hotline.people.models import User
from hotline.tickets.models import Ticket
from hotline.tickets.states import State
from routing import actions as routing
from routing.models import Dispatch, Suggestion
from tests.browser.conftest import City, assert_accessible, assert_fits
from tests.conftest import NOW
from tests.makers import register_ticket

pytestmark = pytest.mark.browser


@pytest.fixture
def waiting(live_db: Database, city: City) -> list[str]:
    """Four tickets that the model was not sure of, besides the one of the city; the numbers in the queue's order."""
    with live_db.begin() as session:
        for at in range(4):
            registered = register_ticket(
                session,
                now=NOW - timedelta(minutes=30 - at),
                title=f"幸福路第 {at + 1} 盏路灯不亮",
                content=f"幸福路第 {at + 1} 盏路灯不亮，孩子放学看不清路，请派人来修。",
                urgency="特急" if at == 2 else "一般",
                region_id=city.region_id,
            )
            session.add(
                Suggestion(
                    ticket_id=registered.ticket_id,
                    model_version="small",
                    made_at=NOW,
                    body={
                        "category": [
                            {"code": "T-0001", "name": "路灯照明", "p": 0.62},
                            {"code": "T-0002", "name": "供热不足", "p": 0.2},
                        ],
                        "departments": [
                            {"code": "city_management", "name": "city_management", "p": 0.62},
                            {"code": "heating", "name": "heating", "p": 0.2},
                        ],
                        "assist": [],
                        "words": [{"field": "body", "start": 7, "end": 9, "text": "路灯", "weight": 0.6}],
                        "risks": [{"code": "minors", "name": "涉未成年人", "words": ["孩子"]}],
                    },
                    category_id=city.category_id,
                    department_id=city.department_id,
                    probability=0.62,
                    abstained=True,
                    reason="把握 62%，低于自动派单要求的 90%。",
                )
            )
        rows = session.execute(select(Ticket.number, Ticket.urgency).where(Ticket.state == State.REGISTERED)).all()
    order = ["特急", "紧急", "一般"]
    return [number for number, urgency in sorted(rows, key=lambda row: (order.index(row[1]), row[0]))]


@pytest.fixture
def desk(page_as: Callable[..., Page], waiting: list[str]) -> Page:
    """Open the queue."""
    return page_as("dispatcher", "/dispatch")


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def assert_on(page: Page, number: str) -> None:
    """Wait until one stands on the row of this ticket."""
    expect(page.locator("tr[data-row]", has_text=number).get_by_role("link")).to_be_focused()


def holder(database: Database, number: str) -> int | None:
    with database.read() as session:
        return session.scalar(
            select(Dispatch.department_id)
            .join(Ticket, Ticket.id == Dispatch.ticket_id)
            .where(Ticket.number == number, Dispatch.is_current)
        )


def somebody_dispatches(database: Database, city: City, number: str) -> None:
    with database.begin() as session:
        ticket_id = session.scalars(select(Ticket.id).where(Ticket.number == number)).one()
        routing.dispatch(
            session, ticket_id=ticket_id, version=None, department_id=city.other_department_id, by=SYSTEM, now=NOW
        )


def test_one_key_accepts_and_the_next_row_is_stood_on(
    desk: Page, live_db: Database, city: City, waiting: list[str]
) -> None:
    press(desk, "j")
    assert_on(desk, waiting[0])
    press(desk, "1")
    done = desk.locator("tr.row-done")
    expect(done).to_contain_text(f"已派往 {city.department}")
    expect(desk.get_by_role("status").filter(has_text="已派往")).to_be_visible()
    assert holder(live_db, waiting[0]) == city.department_id
    assert_on(desk, waiting[1])
    press(desk, "j", "2")
    expect(desk.locator("tr.row-done")).to_have_count(2)
    assert holder(live_db, waiting[2]) == city.other_department_id
    assert_on(desk, waiting[3])
    press(desk, "k")
    assert_on(desk, waiting[1])  # a row that is done with is passed over
    assert holder(live_db, waiting[1]) is None
    assert_accessible(desk)


def test_a_decision_sent_after_the_sign_in_is_over_says_so_beside_its_button(
    desk: Page, live_db: Database, waiting: list[str], problems: list[str]
) -> None:
    with live_db.begin() as session:
        session.execute(text("DELETE FROM sign_ins"))
    press(desk, "j", "1")
    word = desk.locator("form.accepts [data-held]")
    expect(word).to_contain_text("登录已过期，没有提交")
    assert holder(live_db, waiting[0]) is None
    assert_fits(desk)
    assert problems
    problems[:] = [one for one in problems if "401" not in one]


def sent_to_nobody(desk: Page, live_db: Database, number: str, words: str) -> None:
    """Raise unless the row stands as before, says this beside its button, and can be pressed again."""
    expect(desk.locator("form.accepts [data-held]")).to_contain_text(words)
    expect(desk.locator("form.accepts [aria-disabled=true]")).to_have_count(0)
    assert holder(live_db, number) is None
    assert_fits(desk)


def test_a_decision_whose_line_breaks_says_that_it_may_have_arrived(
    desk: Page, live_db: Database, waiting: list[str], problems: list[str]
) -> None:
    desk.route("**/accept", lambda route: route.abort("connectionreset"))
    press(desk, "j", "1")
    sent_to_nobody(desk, live_db, waiting[0], "没有等到答复")
    desk.unroute("**/accept")
    press(desk, "1")
    expect(desk.locator("tr.row-done")).to_contain_text(waiting[0])
    problems[:] = [one for one in problems if not re.search("htmx:|ERR_CONNECTION_RESET", one)]


def test_a_decision_that_is_not_answered_in_time_says_so(
    desk: Page, live_db: Database, waiting: list[str], problems: list[str]
) -> None:
    unanswered: list[Route] = []

    def leave(route: Route) -> None:
        unanswered.append(route)

    desk.route("**/accept", leave)
    desk.evaluate("htmx.config.timeout = 300")
    press(desk, "j", "1")
    sent_to_nobody(desk, live_db, waiting[0], "请先查询是否已经提交")
    assert len(unanswered) == 1
    problems[:] = [one for one in problems if "htmx:" not in one]


def test_a_decision_that_one_may_no_longer_take_says_so(
    desk: Page, live_db: Database, waiting: list[str], problems: list[str]
) -> None:
    with live_db.begin() as session:
        session.scalars(select(User).where(User.login == Role.DISPATCHER.value)).one().role = Role.AUDITOR
    press(desk, "j", "1")
    sent_to_nobody(desk, live_db, waiting[0], "您没有权限进行此操作，没有提交")
    problems[:] = [one for one in problems if "403" not in one]


def test_before_any_row_is_stood_on_the_key_belongs_to_the_first(
    desk: Page, live_db: Database, city: City, waiting: list[str]
) -> None:
    expect(desk.locator("tr.row-current")).to_contain_text(waiting[0])
    press(desk, "1")
    expect(desk.locator("tr.row-done")).to_contain_text(waiting[0])
    assert holder(live_db, waiting[0]) == city.department_id


def test_the_keys_of_the_page_name_what_they_would_do_to_this_row(desk: Page, city: City) -> None:
    desk.keyboard.press("Shift+Slash")
    keys = desk.locator("#key-list")
    expect(keys).to_contain_text(f"派往建议单位 1：{city.department}")
    expect(keys).to_contain_text("选择所在行")


def test_a_row_that_somebody_else_sent_out_says_so_and_the_page_goes_on(
    desk: Page, live_db: Database, city: City, waiting: list[str]
) -> None:
    somebody_dispatches(live_db, city, waiting[0])
    press(desk, "1")
    row = desk.locator("tr.row-done")
    expect(row).to_contain_text("您的操作没有执行")
    expect(row).to_contain_text("望川供热集团")
    assert holder(live_db, waiting[0]) == city.other_department_id
    assert_on(desk, waiting[1])
    desk.locator("tr[data-row]", has_text=waiting[3]).get_by_role("link").focus()
    press(desk, "1")
    expect(desk.locator("tr.row-done")).to_have_count(2)
    assert holder(live_db, waiting[3]) == city.department_id


def test_enter_opens_and_the_decision_is_made_by_keys(
    desk: Page, live_db: Database, city: City, waiting: list[str]
) -> None:
    press(desk, "j", "Enter")
    desk.wait_for_url(f"**/dispatch/{waiting[0]}")
    expect(desk.locator("mark.mark-moved").first).to_have_text("路灯")
    expect(desk.locator("mark.mark-risk").first).to_have_text("孩子")
    assert_accessible(desk)
    press(desk, "2")
    expect(desk.locator("#f-department_id")).to_have_value("望川供热集团")
    press(desk, "1", "Alt+1")
    expect(desk.locator("#f-department_id")).to_have_value(city.department)
    expect(desk.locator("#f-category_id")).to_have_value("路灯照明")
    desk.get_by_label("紧急程度").select_option("紧急")
    press(desk, "Alt+p")
    desk.wait_for_url("**/dispatch")
    expect(desk.locator(".notice")).to_contain_text(f"{waiting[0]} 已派往 {city.department}")
    with live_db.read() as session:
        ticket = session.scalars(select(Ticket).where(Ticket.number == waiting[0])).one()
    assert (ticket.urgency, ticket.category_id, ticket.state) == ("紧急", city.category_id, State.DISPATCHED)


def test_another_unit_is_found_by_letters_of_its_name(
    page_as: Callable[..., Page], live_db: Database, city: City, waiting: list[str]
) -> None:
    page = page_as("dispatcher", f"/dispatch/{waiting[0]}")
    press(page, "d")
    page.keyboard.insert_text("供热")
    press(page, "Enter", "Control+Enter")
    page.wait_for_url("**/dispatch")
    assert holder(live_db, waiting[0]) == city.other_department_id


def test_a_refused_act_opens_its_dialog_again(page_as: Callable[..., Page], waiting: list[str]) -> None:
    page = page_as("dispatcher", f"/dispatch/{waiting[0]}")
    press(page, "Alt+j")
    dialog = page.locator("#refuse")
    expect(dialog).to_be_visible()
    press(page, "Control+Enter")
    expect(dialog.locator("[data-error-summary]")).to_contain_text("请选择不予受理的理由")
    expect(dialog).to_be_visible()
    assert_accessible(page)
    dialog.get_by_label(re.compile("不予受理理由")).select_option("NR-06")
    expect(dialog.get_by_label("对诉求人的说明")).to_have_value(re.compile("当地热线"))
    dialog.get_by_label("对诉求人的说明").focus()
    press(page, "Control+Enter")
    page.wait_for_url("**/dispatch")


def test_chosen_rows_go_together_and_the_number_that_was_seen_is_sent(
    desk: Page, live_db: Database, city: City, waiting: list[str]
) -> None:
    press(desk, "j", "x", "j", "x")
    expect(desk.locator("[data-bulk-count]")).to_have_text("2")
    box = desk.locator("#bulk-dispatch").get_by_role("combobox", name=re.compile("批量派往"))
    box.fill("城管")
    press(desk, "Enter")
    with desk.expect_request("**/dispatch/bulk") as sent:
        desk.get_by_role("button", name=re.compile("^派单")).click()
    assert "seen=2" in (sent.value.post_data or "")
    expect(desk.locator(".notice").first).to_contain_text("已批量派单 2 张")
    assert [holder(live_db, number) for number in waiting[:3]] == [city.department_id, city.department_id, None]


def test_a_bulk_act_stops_when_one_of_the_rows_is_gone_and_goes_on_with_the_rest(
    desk: Page, live_db: Database, city: City, waiting: list[str]
) -> None:
    press(desk, "j", "x", "j", "x")
    somebody_dispatches(live_db, city, waiting[0])
    desk.locator("#bulk-dispatch").get_by_role("combobox", name=re.compile("批量派往")).fill("城管")
    press(desk, "Enter")
    desk.get_by_role("button", name=re.compile("^派单")).click()
    expect(desk.locator("main")).to_contain_text("没有派出任何工单")
    assert holder(live_db, waiting[1]) is None
    assert_accessible(desk)
    desk.get_by_role("button", name=re.compile("派出这 1 张")).click()
    desk.wait_for_url("**/dispatch")
    assert [holder(live_db, number) for number in waiting[:2]] == [city.other_department_id, city.department_id]


def test_what_went_by_itself_is_listed(page_as: Callable[..., Page], live_db: Database, city: City) -> None:
    with live_db.begin() as session:
        registered = register_ticket(session, now=NOW - timedelta(minutes=5), title="自动派出的一张")
        routing.dispatch(
            session,
            ticket_id=registered.ticket_id,
            version=None,
            department_id=city.department_id,
            reason="模型自动派单：路灯照明，把握 96%",
            automatic=True,
            by=SYSTEM,
            now=NOW - timedelta(minutes=4),
        )
    page = page_as("dispatcher", "/dispatch/automatic")
    expect(page.locator("#automatic")).to_contain_text("自动派出的一张")
    assert_accessible(page)
    assert_fits(page)


@pytest.mark.parametrize("path", ["/dispatch", "/dispatch/{number}", "/dispatch/automatic"])
def test_the_desk_fits_a_phone(page_as: Callable[..., Page], waiting: list[str], path: str) -> None:
    page = page_as("dispatcher", path.format(number=waiting[0]), width=390, height=844)
    assert_fits(page)
    assert_accessible(page)


def test_accepting_works_without_scripts(
    *, new_context: Callable[..., Any], desk: Page, live_db: Database, city: City, waiting: list[str]
) -> None:
    plain = new_context(java_script_enabled=False)
    plain.add_cookies(desk.context.cookies())
    page = plain.new_page()
    page.goto("/dispatch")
    page.locator("tr", has_text=waiting[0]).get_by_role("button").first.click()
    expect(page.locator(".notice").first).to_contain_text(f"已派往 {city.department}")
    assert holder(live_db, waiting[0]) == city.department_id
