"""What nobody should send, typed into one form of each desk in a real browser: it stays words, nothing runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import City, assert_fits

pytestmark = pytest.mark.browser
#: Each says so by a flag of the window or by a dialog, should any of it run.
SCRIPT = "<script>window.hacked = 1</script>"
IMAGE = '"><img src=x onerror="window.hacked = 1"><svg onload=alert(1)>'
TEMPLATE = "{{ 7 * 7 }}${7 * 7}<%= 7 * 7 %>"
LINK = "javascript:window.hacked = 1"
MARKS = "\u202e号八路福幸\u2066 ' OR '1'='1"
WORDS = f"路灯不亮 {SCRIPT} {IMAGE} {TEMPLATE} {LINK} {MARKS}"


@pytest.fixture
def watched() -> tuple[Callable[[Page], Page], list[str]]:
    """Note every dialog that a page opens by script, and close it."""
    dialogs: list[str] = []

    def watch(page: Page) -> Page:
        def opened(dialog: object) -> None:
            dialogs.append(str(dialog))
            dialog.dismiss()  # type: ignore[attr-defined] # Playwright's own

        page.on("dialog", opened)
        return page

    return watch, dialogs


def stays_words(page: Page, dialogs: list[str]) -> None:
    """Raise when anything that was typed has become a part of the page."""
    page.wait_for_load_state("load")
    expect(page.locator("body")).to_contain_text("window.hacked = 1")
    assert page.evaluate("window.hacked === undefined")
    assert page.locator("main script, main img[src=x], main svg[onload]").count() == 0
    assert page.locator("a[href^='javascript:']").count() == 0
    assert not dialogs
    page.set_viewport_size({"width": 390, "height": 844})
    assert_fits(page)


def test_a_citizen_and_everybody_who_reads_him(
    new_context: Callable[..., BrowserContext],
    page_as: Callable[..., Page],
    watched: tuple[Callable[[Page], Page], list[str]],
) -> None:
    watch, dialogs = watched
    page = watch(new_context(viewport={"width": 1280, "height": 900}).new_page())
    page.goto("/submit")
    page.get_by_label("什么事").fill(WORDS)
    page.get_by_label("您的电话").fill("13900007788")
    page.get_by_role("button", name="提交", exact=True).click()
    expect(page.get_by_role("heading", name="提交成功")).to_be_visible()
    number = page.locator("#number").inner_text().strip()
    page.get_by_role("link", name="查询进度").last.click()
    page.goto("/track/ticket")
    stays_words(page, dialogs)
    for role, path in (
        ("operator", f"/tickets/{number}"),
        ("dispatcher", f"/dispatch/{number}"),
        ("supervisor", f"/tickets/{number}/print"),
    ):
        stays_words(watch(page_as(role, path)), dialogs)


@pytest.mark.parametrize(
    ("role", "path", "field", "button"),
    [
        ("operator", "/tickets/{signed}", "[name=note]", "添加备注"),
        ("dispatcher", "/tickets/{registered}/withdraw", "[name=words]", "确认撤单"),
        ("responder", "/department/{signed}", "[name=internal_note]", "提交反馈"),
        ("auditor", "/tickets/{answered}", "[name=note]", "添加备注"),
        ("supervisor", "/tickets/{overdue}/supervise", "[name=words]", "发出督办"),
        ("administrator", "/admin/users", "[name=display_name]", "开通账号"),
    ],
)
def test_words_of_every_desk_stay_words(  # noqa: PLR0917 - the columns of the table
    page_as: Callable[..., Page],
    watched: tuple[Callable[[Page], Page], list[str]],
    city: City,
    role: str,
    path: str,
    field: str,
    button: str,
) -> None:
    watch, dialogs = watched
    page = watch(page_as(role, path.format(**city.numbers)))
    form = page.locator("main form").filter(has=page.locator(field)).last
    form.locator(field).fill(WORDS)
    with page.expect_event("load"):
        form.get_by_role("button", name=button).first.click()
    if page.locator(f"main {field}").count() and page.locator("[data-error-summary]").count():
        # Given back in its field, as typed.
        expect(page.locator(f"main {field}").last).to_have_value(WORDS)
        assert page.evaluate("window.hacked === undefined")
        assert not dialogs
        return
    stays_words(page, dialogs)
