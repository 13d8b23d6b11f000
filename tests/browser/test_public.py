"""A citizen with a phone: hands in, tracks with number and code, rates; with a script and without, by keyboard too."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Page, expect
from sqlalchemy import update

from hotline.core.db import Database
from hotline.tickets.models import Ticket
from tests.browser.conftest import City, assert_accessible, assert_fits
from tests.conftest import NOW

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
CONTENT = "北苑区幸福路 12 号门口的路灯坏了一个多星期，晚上看不清路，请派人来修。"
CODE = "246810"


@pytest.fixture(params=["with a script", "without a script"])
def phone(request: pytest.FixtureRequest, new_context: Callable[..., BrowserContext]) -> Page:
    """A phone whose browser runs scripts, and one whose does not."""
    return new_context(**PHONE, java_script_enabled=request.param == "with a script").new_page()


@pytest.fixture
def known(live_db: Database, city: City) -> City:
    """The small city, every ticket of which has the code CODE."""
    with live_db.begin() as session:
        session.execute(update(Ticket).values(query_code_index=live_db.keyring.index(f"query:{CODE}")))
    return city


def ask(page: Page, number: str, code: str = CODE) -> None:
    page.goto("/track")
    page.get_by_label("受理编号").fill(number)
    page.locator("#f-code").fill(code)
    page.get_by_role("button", name="查询", exact=True).click()


def test_a_citizen_hands_in_tracks_and_adds_on_a_phone(phone: Page, tmp_path: Path) -> None:
    picture = tmp_path / "灯.png"
    Image.new("RGB", (40, 40), "black").save(picture)
    phone.goto("/")
    phone.get_by_role("link", name="我要反映 把事情写下来，可以附照片").click()
    phone.locator("#f-content").fill(CONTENT)
    phone.locator("#f-place").fill("幸福路 12 号")
    phone.locator("#f-phone").fill("139 0000 1234")
    phone.locator("#f-files").set_input_files(picture)
    phone.get_by_role("button", name="提交").click()
    number, code = phone.locator("#number").inner_text(), phone.locator("#code").inner_text()
    assert len(code) == 6
    ask(phone, f"{number[:8]} {number[8:]}", code)
    assert number in phone.locator("main").inner_text()
    assert number not in phone.url
    phone.get_by_text("补充情况或催办").first.click()
    phone.get_by_label("内容", exact=True).fill("今天又坏了一盏")
    phone.get_by_role("button", name="提交补充或催办").click()
    expect(phone.locator("main")).to_contain_text("已记入工单")
    phone.get_by_role("button", name="退出查询").click()
    phone.goto("/track/ticket")
    assert phone.url.endswith("/track")


def test_a_citizen_rates_the_answer_on_a_phone(phone: Page, known: City) -> None:
    ask(phone, known.numbers["answered"])
    assert "现已恢复照明" in phone.locator("main").inner_text()
    phone.get_by_label("★★☆☆☆ 不满意").check()
    phone.get_by_label("想说的话").fill("晚上还是不亮")
    phone.get_by_role("button", name="提交评价").click()
    expect(phone.locator("main")).to_contain_text("评价已提交")
    said = phone.locator("main").inner_text()
    assert "不满意，2 星" in said
    assert phone.get_by_role("button", name="提交评价").count() == 0


def test_a_refused_form_keeps_everything_and_leads_to_the_field(phone: Page) -> None:
    phone.goto("/submit")
    phone.locator("#f-content").fill(CONTENT)
    phone.locator("#f-phone").fill("12")
    phone.get_by_label("对承办单位保密").check()
    phone.get_by_role("button", name="提交").click()
    phone.locator(".summary").wait_for()
    assert phone.locator("#f-content").input_value() == CONTENT
    assert phone.locator("#f-phone").input_value() == "12"
    assert phone.get_by_label("对承办单位保密").is_checked()
    phone.locator(".summary a").first.click()
    assert phone.evaluate("document.activeElement.id") == "f-phone" if _runs(phone) else phone.url.endswith("#f-phone")


def test_anonymity_folds_the_questions_about_the_person(new_context: Callable[..., BrowserContext]) -> None:
    page = new_context(**PHONE).new_page()
    page.goto("/submit")
    assert page.locator("#f-phone").is_visible()
    page.get_by_label("匿名，不留姓名和电话").check()
    assert not page.locator("#f-phone").is_visible()
    page.locator("#f-content").fill(CONTENT)
    page.get_by_role("button", name="提交").click()
    expect(page.locator("main")).to_contain_text("您选择了匿名")


def test_the_numbers_can_be_copied_and_a_phone_without_scripts_shows_no_dead_button(
    phone: Page, problems: list[str]
) -> None:
    phone.goto("/submit")
    phone.locator("#f-content").fill(CONTENT)
    phone.locator("#f-phone").fill("13900001234")
    phone.get_by_role("button", name="提交").click()
    button = phone.get_by_role("button", name="复制查询码")
    if not _runs(phone):
        assert button.count() == 0
        return
    phone.context.grant_permissions(["clipboard-read", "clipboard-write"])
    button.click()
    assert phone.evaluate("navigator.clipboard.readText()") == phone.locator("#code").inner_text()


def test_a_double_tap_makes_one_ticket(new_context: Callable[..., BrowserContext], live_db: Database) -> None:
    page = new_context(**PHONE).new_page()
    page.goto("/submit")
    page.locator("#f-content").fill(CONTENT)
    page.locator("#f-phone").fill("13900001234")
    page.get_by_role("button", name="提交").dblclick()
    number = page.locator("#number").inner_text()
    page.go_back()
    page.get_by_role("button", name="提交").click()
    assert page.locator("#number").inner_text() == number


def test_back_after_a_refusal_leads_to_the_form_and_not_to_an_error_of_the_browser(
    new_context: Callable[..., BrowserContext], known: City
) -> None:
    page = new_context(**PHONE).new_page()
    page.goto("/submit")
    page.locator("#f-content").fill(CONTENT)
    page.locator("#f-phone").fill("12")
    page.get_by_role("button", name="提交").click()
    page.locator(".summary").wait_for()
    page.locator("#f-phone").fill("13900001234")
    page.get_by_role("button", name="提交").click()
    page.locator("#number").wait_for()
    page.go_back()
    expect(page.locator("#f-content")).to_be_visible()
    ask(page, known.numbers["answered"])
    page.get_by_role("button", name="提交评价").click()
    page.locator(".summary").wait_for()
    page.get_by_role("link", name="我要反映").first.click()
    page.locator("#f-content").wait_for()
    page.go_back()
    expect(page.get_by_role("heading", name="办理进度")).to_be_visible()
    assert page.url.endswith("/track/ticket")  # and not the address of a form, which nobody can ask for


def test_the_slip_fits_the_narrowest_phone(new_context: Callable[..., BrowserContext]) -> None:
    page = new_context(viewport={"width": 320, "height": 700}).new_page()
    page.goto("/submit")
    page.locator("#f-content").fill(CONTENT)
    page.locator("#f-phone").fill("13900001234")
    page.get_by_role("button", name="提交").click()
    page.locator("#code").wait_for()
    assert_fits(page)


@pytest.mark.parametrize("width", [390, 1440])
def test_every_page_of_the_citizen_is_accessible_and_fits(
    new_context: Callable[..., BrowserContext], known: City, width: int
) -> None:
    page = new_context(viewport={"width": width, "height": 844}).new_page()

    def check() -> None:
        assert_accessible(page)
        assert_fits(page)

    for path in ("/", "/submit", "/track"):
        page.goto(path)
        check()
    page.goto("/submit")
    page.get_by_role("button", name="提交").click()
    check()
    page.locator("#f-content").fill(CONTENT)
    page.locator("#f-phone").fill("13900001234")
    page.get_by_role("button", name="提交").click()
    page.locator("#code").wait_for()
    check()
    ask(page, "209901010000001")
    page.locator(".summary").wait_for()
    check()
    for number in known.numbers.values():
        ask(page, number)
        page.get_by_role("heading", name="办理进度").wait_for()
        for fold in page.locator("details > summary").all():
            fold.click()
        check()


def test_a_citizen_without_a_mouse_hands_in_and_tracks(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "跳到正文"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.locator("#f-content").wait_for()
    page.locator("#main").focus()
    page.keyboard.press("Tab")
    page.keyboard.type(CONTENT)
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "f-phone":
            break
    page.keyboard.type("13900001234")
    page.keyboard.press("Enter")
    page.locator("#code").wait_for()
    page.locator("#main").focus()
    for _ in range(5):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent").strip() == "查看进度":
            break
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="办理进度").wait_for()


def test_letters_are_large_and_targets_are_a_thumb_wide(new_context: Callable[..., BrowserContext]) -> None:
    page = new_context(**PHONE).new_page()
    for path in ("/", "/submit", "/track"):
        page.goto(path)
        assert (
            page.evaluate("parseFloat(getComputedStyle(document.querySelector('main p, main label')).fontSize)") >= 17.9
        )
        small = page.evaluate(
            "[...document.querySelectorAll('main .entry, main .urgent-numbers a, main button,"
            " main input:not([type=hidden]):not([type=radio]):not([type=checkbox]), main textarea,"
            " main summary, main label.choice')]"
            ".filter(one => one.offsetParent && one.getBoundingClientRect().height < 44)"
            ".map(one => `${one.outerHTML.slice(0, 80)} ${one.getBoundingClientRect().height}`)"
        )
        assert small == [], path


def test_the_overview_is_accessible_fits_and_lives(page_as: Callable[..., Page], live_db: Database, city: City) -> None:
    for width in (1440, 390):
        page = page_as("supervisor", "/supervision", width=width)
        page.get_by_role("heading", name="运行总览").wait_for()
        assert_accessible(page)
        assert_fits(page)
        page.goto("/supervision/list/sign_overdue")
        assert_accessible(page)
        assert_fits(page)
    page.goto("/supervision")
    figure = page.locator("main [data-counter='tickets.state.registered']")
    before = int(figure.inner_text())
    from tests.makers import register_ticket

    with live_db.begin() as session:
        register_ticket(session, now=NOW - timedelta(minutes=1))
    page.wait_for_function(
        "wanted => document.querySelector('main [data-counter=\"tickets.state.registered\"]').textContent == wanted",
        arg=str(before + 1),
    )


def _runs(page: Page) -> bool:
    """Tell whether scripts of the page run in this browser."""
    return bool(page.evaluate("() => typeof window.hotline !== 'undefined'"))
