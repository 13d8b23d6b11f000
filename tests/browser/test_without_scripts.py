"""Scripts make the desks quicker, nothing more: the daily work is done in a browser that runs none."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from hotline.core.db import Database
from hotline.tickets.queries import by_number
from hotline.tickets.states import Outcome, State
from tests.browser.conftest import City, assert_fits
from tests.makers import PASSWORD

pytestmark = pytest.mark.browser
CONCERN = "锦水河东岸步道的路灯有七八盏连着两个星期不亮，晚上散步的老人多，请派人检修。"
ANSWER = "您好，步道路灯的老化电缆已经更换，七盏灯今晚都已亮起，感谢您的监督。"


@pytest.fixture
def plain(new_context: Callable[..., BrowserContext]) -> Callable[..., Page]:
    """A browser without scripts, signed in through the form where a role is named: `plain("auditor", "/callbacks")`."""

    def open_at(role: str, path: str) -> Page:
        page = new_context(java_script_enabled=False, viewport={"width": 1280, "height": 900}).new_page()
        if role:
            page.goto(f"/sign-in?next={path}")
            page.get_by_label("用户名").fill(role)
            page.get_by_label("密码").fill(PASSWORD)
            page.get_by_role("button", name="登录").click()
        else:
            page.goto(path)
        return page

    return open_at


def hand_in(page: Page) -> tuple[str, str]:
    page.get_by_role("link", name=re.compile("^我要反映")).last.click()
    page.get_by_label("什么事").fill(CONCERN)
    page.get_by_label("您的电话").fill("13900007788")
    page.get_by_role("button", name="提交", exact=True).click()
    expect(page.get_by_role("heading", name="提交成功")).to_be_visible()
    return page.locator("#number").inner_text().strip(), page.locator("#code").inner_text().strip()


def test_a_complaint_is_closed_without_a_single_script(
    plain: Callable[..., Page], live_db: Database, city: City
) -> None:
    citizen = plain("", "/")
    number, code = hand_in(citizen)

    dispatcher = plain("dispatcher", "/dispatch")
    dispatcher.get_by_role("link", name=number).click()
    dispatcher.locator("select[name=department_id]").first.select_option(label=re_label(dispatcher, city.department))
    dispatcher.locator("#decide").get_by_role("button", name="派单").click()
    expect(dispatcher.get_by_text(f"{number} 已派往 {city.department}")).to_be_visible()

    unit = plain("responder", "/department")
    unit.get_by_role("link", name=number).click()
    unit.get_by_role("button", name="签收").first.click()
    unit.get_by_label("属实", exact=True).check()
    unit.get_by_label("职责范围内").check()
    unit.locator("[name=solved][value=solved]").check()
    unit.get_by_label("内部办理情况").fill("养护二班更换电缆六十米，留有前后照片。")
    unit.get_by_label("公开答复").fill(ANSWER)
    unit.get_by_role("button", name=re.compile("^提交反馈")).click()
    if unit.get_by_role("button", name="仍然提交").count():
        unit.get_by_role("button", name="仍然提交").click()
    expect(unit.get_by_text(f"{number} 已反馈")).to_be_visible()

    auditor = plain("auditor", "/callbacks")
    auditor.get_by_role("row").filter(has_text=number).get_by_role("button", name="回访").click()
    for name, value in (("replied", "yes"), ("solved", "solved"), ("process", "satisfied"), ("result", "satisfied")):
        auditor.locator(f"[name={name}][value={value}]").check()
    with auditor.expect_navigation():
        auditor.get_by_role("button", name=re.compile("^保存并取下一件")).click()
    with live_db.read() as session:
        ticket = by_number(session, number)
        assert (ticket.state, ticket.outcome) == (State.CLOSED, Outcome.CONFIRMED)

    citizen.goto("/track")
    citizen.get_by_label("受理编号").fill(number)
    citizen.get_by_label("查询码").fill(code)
    citizen.get_by_role("button", name="查询", exact=True).click()
    expect(citizen.get_by_text(ANSWER).first).to_be_visible()
    assert_fits(citizen)


def re_label(page: Page, department: str) -> str:
    """Return how the list of units names this one."""
    options = page.locator("select[name=department_id]").first.locator("option").all_inner_texts()
    return next(words for words in options if department in words)


def test_an_operator_registers_a_call_without_scripts(plain: Callable[..., Page], live_db: Database) -> None:
    page = plain("operator", "/intake")
    page.locator("#f-phone").fill("13911112222")
    page.locator("#f-content").fill(CONCERN)
    page.locator("[name=request_type][value=求助]").check()
    page.locator("[name=finish][value=register]").check()
    page.get_by_role("button", name=re.compile("^提交登记")).click()
    expect(page.locator(".told-big").first).to_have_text(re.compile(r"\d{15}"))


@pytest.mark.parametrize(
    ("role", "path", "field"),
    [
        ("operator", "/dispatch/{registered}", "#refuse [name=words]"),
        ("operator", "/dispatch/{registered}", "#answer [name=answer]"),
        ("operator", "/dispatch/{registered}", "#transfer [name=words]"),
        ("responder", "/department/{dispatched}", "#send-back [name=return_words]"),
    ],
)
def test_what_a_script_opens_in_a_dialog_stands_open_without_one(  # noqa: PLR0917 - the columns of the table
    plain: Callable[..., Page], city: City, role: str, path: str, field: str
) -> None:
    page = plain(role, path.format(**city.numbers))
    expect(page.locator(field)).to_be_visible()
    expect(page.locator("[data-dialog]").first).to_be_hidden()
    expect(page.locator("#look-why")).to_be_hidden()
    assert_fits(page)
