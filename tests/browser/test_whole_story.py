"""One complaint through every desk, in a real browser: from a citizen's telephone to the closed ticket he sees."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from hotline.core.db import Database
from hotline.tickets.queries import by_number, timeline
from hotline.tickets.states import Act, Outcome, State
from reports.audit import audit
from tests.browser.conftest import City, assert_accessible, assert_fits

pytestmark = pytest.mark.browser

PHONE = "13900007788"
CONCERN = "锦水河东岸步道的路灯有七八盏连着两个星期不亮，晚上散步的老人多，昨天有人绊了一跤，请派人检修。"
FIRST = "您好，您反映的路灯已安排检修，三盏故障灯具今日更换完毕，感谢您的监督。"
SECOND = "您好，我们重新检修了整段线路，更换老化电缆六十米，七盏路灯已连续两晚正常亮灯。"
UNHAPPY = "只修了三盏，靠桥头的四盏还是不亮。"


def submit(page: Page) -> tuple[str, str]:
    """Hand the concern in as a citizen does; returns number and query code as the page tells them."""
    page.goto("/")
    page.get_by_role("link", name=re.compile("^我要反映")).last.click()
    page.get_by_label("什么事").fill(CONCERN)
    page.get_by_label("在什么地方").fill("锦水河东岸步道")
    page.get_by_label("您的电话").fill(PHONE)
    page.get_by_label("怎么称呼您").fill("陈秀英")
    assert_fits(page)
    assert_accessible(page)
    page.get_by_role("button", name="提交", exact=True).click()
    expect(page.get_by_role("heading", name="提交成功")).to_be_visible()
    assert_fits(page)
    return page.locator("#number").inner_text().strip(), page.locator("#code").inner_text().strip()


def dispatch(page: Page, number: str, department: str) -> None:
    """Choose the department, as there is no model here that could suggest one."""
    page.get_by_role("link", name=number).click()
    expect(page.get_by_text(CONCERN)).to_be_visible()
    page.locator("#decide").get_by_role("combobox", name=re.compile("承办单位")).fill(department[-4:])
    page.get_by_role("option", name=re.compile(department)).first.click()
    with page.expect_event("load"):
        page.keyboard.press("Control+Enter")
    expect(page.get_by_text(f"{number} 已派往 {department}")).to_be_visible()


def answer(page: Page, number: str, words: str) -> None:
    """Sign the ticket and answer it for the file and for the citizen."""
    page.goto(f"/department/{number}")
    with page.expect_event("load"):
        page.keyboard.press("Alt+q")
    page.get_by_label("属实", exact=True).check()
    page.get_by_label("职责范围内").check()
    page.locator("[name=solved][value=solved]").check()
    page.get_by_label("内部办理情况").fill("养护二班现场更换灯具，留有前后照片。")
    page.get_by_label("公开答复").fill(words)
    page.get_by_label("公开答复").press("Control+Enter")
    warned = page.get_by_role("button", name="仍然提交")
    done = page.get_by_text(f"{number} 已反馈")
    expect(warned.or_(done).first).to_be_visible()
    if warned.is_visible():
        warned.click()
        expect(done).to_be_visible()


def call_back(page: Page, number: str, digits: str) -> None:
    """Open the callback of this ticket and answer the four questions with the keyboard."""
    page.goto("/callbacks")
    page.get_by_role("row").filter(has_text=number).get_by_role("button", name="回访").click()
    expect(page.get_by_role("heading", name="回访问卷")).to_be_visible()
    for digit in digits:
        page.keyboard.press(digit)


def track(page: Page, number: str, code: str) -> None:
    page.goto("/track")
    page.get_by_label("受理编号").fill(number)
    page.get_by_label("查询码").fill(code)
    page.get_by_role("button", name="查询", exact=True).click()
    expect(page.get_by_role("heading", name="办理进度")).to_be_visible()


def test_a_complaint_goes_from_a_citizens_telephone_through_every_desk_until_he_is_satisfied(  # noqa: PLR0917 - fixtures
    new_context: Callable[..., BrowserContext],
    page_as: Callable[..., Page],
    live_db: Database,
    city: City,
    now: datetime,
) -> None:
    citizen = new_context(viewport={"width": 390, "height": 844}).new_page()
    number, code = submit(citizen)
    assert re.fullmatch(r"\d{15}", number)

    dispatch(page_as("dispatcher", "/dispatch"), number, city.department)
    track(citizen, number, code)
    expect(citizen.get_by_text(city.department, exact=True)).to_be_visible()
    expect(citizen.get_by_text("还没有签收")).to_be_visible()

    department = page_as("responder", "/department")
    expect(department.get_by_role("link", name=number)).to_be_visible()
    answer(department, number, FIRST)

    auditor = page_as("auditor", "/callbacks")
    call_back(auditor, number, "1323")  # answered, unsolved, process so-so, result unsatisfying
    auditor.get_by_label("希望继续办理").check()
    auditor.get_by_label("不满意或未解决的原因").fill(UNHAPPY)
    with auditor.expect_event("load"):
        auditor.keyboard.press("Control+Enter")
    with live_db.read() as session:
        ticket = by_number(session, number)
        assert (ticket.state, ticket.rework_rounds) == (State.DISPATCHED, 1)

    department.goto(f"/department/{number}")
    expect(department.get_by_text(UNHAPPY)).to_be_visible()
    answer(department, number, SECOND)
    call_back(auditor, number, "1111")
    with auditor.expect_event("load"):
        auditor.keyboard.press("Control+Enter")

    with live_db.begin() as session:
        ticket = by_number(session, number)
        assert (ticket.state, ticket.outcome) == (State.CLOSED, Outcome.CONFIRMED)
        acts = [entry.act for entry in timeline(session, ticket.id) if entry.act not in {Act.SUGGEST, Act.NOTE}]
    assert acts == [
        *(Act.REGISTER, Act.DISPATCH, Act.SIGN, Act.ANSWER, Act.REWORK),
        *(Act.SIGN, Act.ANSWER, Act.CONFIRM),
    ]
    with live_db.begin() as session:
        # No worker runs behind these pages, so the model's news of old tickets waits; everything else closes.
        assert {finding.rule for finding in audit(session, now=now)} <= {"outbox_is_delivered_or_waiting"}

    track(citizen, number, code)
    for words in (FIRST, SECOND, city.department):
        expect(citizen.get_by_text(words).first).to_be_visible()
    assert PHONE not in citizen.content()
    assert_fits(citizen)
    assert_accessible(citizen)

    supervisor = page_as("supervisor", f"/tickets/{number}")
    for words in ("登记受理", "派单", "签收", "反馈", "重办", "回访办结"):
        expect(supervisor.locator("#timeline").get_by_text(words, exact=True).first).to_be_visible()
    assert PHONE not in supervisor.content()
    assert_accessible(supervisor)
