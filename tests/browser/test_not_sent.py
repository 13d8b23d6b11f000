"""A form that did not get through stays as it was typed and says what to do; none is lost to a sign-in elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect
from sqlalchemy import func, select

from hotline.core.db import Database
from hotline.tickets.models import JournalEntry, Ticket
from hotline.tickets.states import Act
from tests.browser.conftest import City, assert_accessible, assert_fits
from tests.makers import PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("aborted_questions_are_no_problem")]
WORDS = "诉求人再次来电，请尽快处理，并书面答复。"
CALL = "北苑区幸福路的路灯坏了三天，整条街晚上看不清，请尽快维修路灯。"


@pytest.fixture
def call(page_as: Callable[..., Page]) -> Page:
    """A call that is being taken."""
    page = page_as("operator", "/intake")
    page.locator("#f-phone").fill("13911112222")
    # What the words suggest is worked out in this process: only then is it free to stop the question to /health.
    with page.expect_response("**/intake/suggest"):
        page.locator("#f-content").fill(CALL)
    return page


def tickets(live_db: Database) -> int:
    with live_db.read() as session:
        return session.scalar(select(func.count()).select_from(Ticket)) or 0


def notes(live_db: Database, number: str) -> int:
    with live_db.read() as session:
        return session.scalar(select(func.count()).where(JournalEntry.act == Act.NOTE, JournalEntry.note == WORDS)) or 0


def test_a_call_sent_while_the_house_is_away_stays_and_goes_in_when_it_is_back(
    call: Page, live_db: Database, problems: list[str]
) -> None:
    before = tickets(live_db)
    call.route("**/health", lambda route: route.abort("connectionrefused"))
    call.keyboard.press("Control+Enter")
    word = call.locator("#call [data-held]")
    expect(word).to_contain_text("系统暂时连接不上，没有提交")
    expect(word).to_be_in_viewport(ratio=1)
    expect(call.locator("#f-content")).to_have_value(CALL)
    expect(call.locator("#f-phone")).to_have_value("13911112222")
    assert_fits(call)
    assert_accessible(call)
    call.unroute("**/health")
    call.route("**/health", lambda route: route.fulfill(status=503, body="{}"))
    call.keyboard.press("Control+Enter")
    expect(word).to_have_count(1)
    assert tickets(live_db) == before
    call.unroute("**/health")
    call.keyboard.press("Control+Enter")
    call.wait_for_url("**/intake/done/*")
    assert tickets(live_db) == before + 1
    problems[:] = [one for one in problems if "ERR_CONNECTION_REFUSED" not in one and "/health" not in one]


def test_a_citizen_on_a_telephone_loses_nothing_to_a_house_that_is_away(
    new_context: Callable[..., BrowserContext], problems: list[str]
) -> None:
    page = new_context(viewport={"width": 390, "height": 844}).new_page()
    page.goto("/submit")
    page.get_by_label("什么事").fill(CALL)
    page.route("**/health", lambda route: route.abort("connectionrefused"))
    page.get_by_role("button", name="提交", exact=True).click()
    expect(page.locator("[data-held]")).to_contain_text("没有提交")
    expect(page.get_by_label("什么事")).to_have_value(CALL)
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0
    assert_fits(page)
    problems[:] = [one for one in problems if "ERR_CONNECTION_REFUSED" not in one]


def send_into_nothing(page: Page, send: Callable[[], None]) -> None:
    """Let the house answer that it is there, and be gone when the form arrives."""

    def gone(route: Route) -> None:
        lost = route.request.method == "POST" and route.request.is_navigation_request()
        route.abort("connectionrefused") if lost else route.continue_()

    page.route("**/*", gone)
    with page.expect_event("requestfailed", lambda request: request.is_navigation_request()):
        send()
    page.unroute("**/*")


def test_words_lost_between_the_question_and_the_sending_stand_in_the_form_again(
    call: Page, live_db: Database, problems: list[str]
) -> None:
    before = tickets(live_db)
    send_into_nothing(call, lambda: call.keyboard.press("Control+Enter"))
    call.goto("/intake")
    note = call.locator("#call [data-unanswered]")
    expect(note).to_contain_text("没有等到答复")
    expect(call.locator("#f-content")).to_have_value(CALL)
    expect(call.locator("#f-phone")).to_have_value("")
    assert call.evaluate("sessionStorage.getItem('unanswered')") is None
    assert_accessible(call)
    call.set_viewport_size({"width": 390, "height": 844})
    assert_fits(call)
    call.locator("#f-phone").fill("13911112222")
    call.keyboard.press("Control+Enter")
    call.wait_for_url("**/intake/done/*")
    assert tickets(live_db) == before + 1
    call.goto("/intake")
    expect(call.locator("#f-content")).to_have_value("")
    problems[:] = [one for one in problems if "ERR_CONNECTION_REFUSED" not in one]


def test_words_that_got_no_answer_are_nobody_elses(
    call: Page, elsewhere: Callable[[Page], None], problems: list[str]
) -> None:
    send_into_nothing(call, lambda: call.keyboard.press("Control+Enter"))
    call.context.clear_cookies()
    call.goto("/intake")
    expect(call.get_by_label("用户名")).to_be_visible()
    elsewhere(call)
    call.goto("/intake")
    expect(call.locator("#f-content")).to_have_value("")
    assert call.evaluate("sessionStorage.getItem('unanswered')") is None
    problems[:] = [one for one in problems if "ERR_CONNECTION_REFUSED" not in one]


def test_a_citizens_words_come_back_on_a_telephone(
    new_context: Callable[..., BrowserContext], problems: list[str]
) -> None:
    page = new_context(viewport={"width": 390, "height": 844}).new_page()
    page.goto("/submit")
    page.get_by_label("什么事").fill(CALL)
    send = page.get_by_role("button", name="提交", exact=True)
    send_into_nothing(page, lambda: send.click(no_wait_after=True))
    page.goto("/submit")
    expect(page.locator("[data-unanswered]")).to_be_visible()
    expect(page.get_by_label("什么事")).to_have_value(CALL)
    assert_fits(page)
    problems[:] = [one for one in problems if "ERR_CONNECTION_REFUSED" not in one]


@pytest.fixture
def elsewhere(new_context: Callable[..., BrowserContext]) -> Callable[[Page], None]:
    """Sign in again in another tab of the same browser, so that what stands in the first is older than the sign-in."""

    def sign_in(page: Page) -> None:
        other = page.context.new_page()
        other.goto("/account")
        if other.get_by_label("用户名").count() == 0:
            other.context.clear_cookies()
            other.goto("/sign-in")
        other.get_by_label("用户名").fill("operator")
        other.get_by_label("密码").fill(PASSWORD)
        other.get_by_role("button", name="登录").click()
        other.wait_for_url(lambda url: "/sign-in" not in url)
        other.close()

    return sign_in


def test_words_written_before_another_sign_in_go_in_with_one_more_click(
    page_as: Callable[..., Page], elsewhere: Callable[[Page], None], live_db: Database, city: City
) -> None:
    number = city.numbers["signed"]
    page = page_as("operator", f"/tickets/{number}", width=390, height=844)
    field = page.locator("form[action$='/note'] textarea")
    field.fill(WORDS)
    elsewhere(page)
    with page.expect_event("load"):
        field.locator("xpath=ancestor::form").locator("[type=submit]").click()
    expect(page.get_by_role("textbox", name="刚才填写的内容")).to_have_value(WORDS)
    assert notes(live_db, number) == 0
    assert_fits(page)
    assert_accessible(page)
    with page.expect_event("load"):
        page.get_by_role("button", name="再次提交").click()
    expect(page.get_by_text(WORDS)).to_be_visible()
    assert notes(live_db, number) == 1


def test_words_sent_after_the_sign_in_is_over_wait_until_one_has_signed_in_again(
    page_as: Callable[..., Page], elsewhere: Callable[[Page], None], live_db: Database, city: City
) -> None:
    number = city.numbers["signed"]
    page = page_as("operator", f"/tickets/{number}")
    field = page.locator("form[action$='/note'] textarea")
    field.fill(WORDS)
    page.context.clear_cookies()
    with page.expect_event("load"):
        field.locator("xpath=ancestor::form").locator("[type=submit]").click()
    expect(page.get_by_role("link", name="去登录（新窗口）")).to_be_visible()
    assert_accessible(page)
    elsewhere(page)
    # The token of this page is older than that sign-in, so it is asked once more.
    with page.expect_event("load"):
        page.get_by_role("button", name="已登录，再次提交").click()
    with page.expect_event("load"):
        page.get_by_role("button", name="再次提交", exact=True).click()
    assert notes(live_db, number) == 1
