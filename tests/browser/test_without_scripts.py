"""Scripts make the desks quicker, nothing more: the daily work is done in a browser that runs none."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from hotline.core.db import Database
from hotline.core.permissions import Actor, Role
from hotline.people.actions import issue_token
from hotline.tickets.queries import by_number, timeline
from hotline.tickets.states import Act, Outcome, State
from routing.supervision.sweeping import sweep
from tests.browser.conftest import City, assert_fits
from tests.conftest import NOW
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
    with auditor.expect_event("load"):
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


def test_chosen_tickets_are_counted_on_a_page_in_between_and_go_out_together(
    plain: Callable[..., Page], live_db: Database, city: City
) -> None:
    numbers = [hand_in(plain("", "/"))[0], city.numbers["registered"]]
    page = plain("dispatcher", "/dispatch")
    expect(page.get_by_label("选择本页全部")).to_be_hidden()
    for number in numbers:
        page.get_by_role("row").filter(has_text=number).locator("[name=ids]").check()
    bar = page.locator("#bulk-dispatch")
    bar.locator("[name=department_id]").select_option(label=city.department)
    bar.get_by_role("button", name="派单").click()
    expect(page.get_by_text("请核对下列工单和协办单位，确认后派出。")).to_be_visible()
    page.set_viewport_size({"width": 390, "height": 844})
    assert_fits(page)
    page.get_by_role("button", name="派出这 2 张").click()
    expect(page.get_by_text("已批量派单 2 张")).to_be_visible()
    with live_db.read() as session:
        assert {by_number(session, number).state for number in numbers} == {State.DISPATCHED}


@pytest.mark.parametrize(
    ("role", "path"),
    [("operator", "/tickets/{registered}"), ("responder", "/department/{signed}"), ("auditor", "/tickets/{answered}")],
)
def test_who_looks_at_personal_data_says_why_on_a_page_of_its_own(  # noqa: PLR0917 - the columns of the table
    plain: Callable[..., Page], live_db: Database, city: City, role: str, path: str
) -> None:
    page = plain(role, path.format(**city.numbers))
    page.get_by_role("link", name="查看联系电话").click()
    page.get_by_role("button", name="查看联系电话").click()
    expect(page.get_by_text("请选择或填写查看理由。").first).to_be_visible()
    page.locator("#f-words").fill("诉求人来电核对回拨号码")
    page.get_by_role("button", name="查看联系电话").click()
    expect(page.locator("#value")).to_have_text(re.compile(r"^1\d{10}$"))
    page.set_viewport_size({"width": 390, "height": 844})
    assert_fits(page)
    page.get_by_role("link", name="返回").click()
    expect(page).to_have_url(re.compile(path.format(**city.numbers) + "$"))
    with live_db.read() as session:
        ticket = by_number(session, path.format(**city.numbers).rsplit("/", maxsplit=1)[-1])
        last = timeline(session, ticket.id)[-1]
    assert (last.act, last.note) == (Act.REVEAL, "查看联系电话：诉求人来电核对回拨号码")


def test_the_other_ways_of_a_ticket_are_links_to_forms_that_stand_open(
    plain: Callable[..., Page], live_db: Database, city: City
) -> None:
    number = city.numbers["registered"]
    page = plain("operator", f"/dispatch/{number}")
    page.get_by_role("link", name="备注", exact=True).click()
    expect(page.locator("#note")).to_be_in_viewport()
    page.locator("#note textarea").fill("诉求人晚间方便接听。")
    page.get_by_role("button", name="添加备注").click()
    expect(page.get_by_text("备注已添加")).to_be_visible()
    page.get_by_role("link", name="不予受理", exact=True).click()
    page.locator("#refuse [name=refusal_reason]").select_option("NR-03")
    page.get_by_role("button", name="确认不予受理").click()
    expect(page.get_by_text(f"{number} 已作不予受理处理")).to_be_visible()
    with live_db.read() as session:
        assert by_number(session, number).outcome is Outcome.REFUSED


@pytest.mark.parametrize("width", [1366, 390])
@pytest.mark.parametrize("role", ["supervisor", "administrator"])
def test_every_page_of_the_menu_stands_without_scripts(plain: Callable[..., Page], role: str, width: int) -> None:
    page = plain(role, "/desk")
    page.set_viewport_size({"width": width, "height": 844})
    ways = [each.get_attribute("href") or "" for each in page.locator("#side a.side-item").all()]
    assert len(ways) > 10
    for way in ways:
        page.goto(way)
        expect(page.locator("h1")).to_be_visible()
        dead = page.locator("button:not([type=submit]):visible")
        assert [each.inner_text() for each in dead.all()] == [], f"{way} offers what needs a script"
        assert_fits(page)
    page.locator(".side-brand").scroll_into_view_if_needed()
    expect(page.locator("#side a.side-item").first).to_be_visible()


def test_a_supervisor_orders_and_the_unit_takes_note_of_it_without_scripts(
    plain: Callable[..., Page], live_db: Database, city: City
) -> None:
    page = plain("supervisor", f"/tickets/{city.numbers['overdue']}")
    page.get_by_role("link", name="督办", exact=True).click()
    page.get_by_label("理由和要求").fill("请查明照明长期不亮的原因，限期修复。")
    page.get_by_role("button", name="发出督办").click()
    expect(page.get_by_text("督办单已发出")).to_be_visible()
    sweep(live_db.begin, now=NOW)
    unit = plain("responder", "/alarms")
    expect(unit.get_by_role("heading", name="督办提醒")).to_be_visible()
    unit.locator("tbody tr").filter(has_text="公园照明长期不亮").locator("[name=ids]").first.check()
    unit.get_by_label("确认意见").fill("")
    unit.get_by_role("button", name="确认", exact=True).click()
    # Told by field, and what was ticked is ticked still.
    expect(unit.locator("[data-error-summary]")).to_be_visible()
    unit.get_by_label("确认意见").fill("已转养护二班。")
    unit.get_by_role("button", name="确认", exact=True).click()
    expect(unit.get_by_text("已确认 1 条提醒")).to_be_visible()
    with live_db.read() as session:
        assert Act.SUPERVISE in [one.act for one in timeline(session, city.ids["overdue"])]


def test_an_administrator_opens_an_account_without_scripts(plain: Callable[..., Page]) -> None:
    page = plain("administrator", "/admin/users")
    form = page.locator("#new")
    form.get_by_label("用户名").fill("xinren")
    form.get_by_label("姓名").fill("新来的人")
    form.get_by_label("岗位").select_option(label="话务员")
    form.get_by_role("button", name="开通账号").click()
    expect(form.locator("[data-error-summary]")).to_contain_text("初始密码")
    expect(form.get_by_label("姓名")).to_have_value("新来的人")
    form.get_by_label("初始密码").fill("Neu-und-lang-2026")
    form.get_by_role("button", name="开通账号").click()
    expect(page.get_by_role("link", name="xinren")).to_be_visible()


@pytest.mark.parametrize("scripts", [True, False])
def test_what_cannot_be_taken_back_is_asked_first_with_a_script_and_without(
    new_context: Callable[..., BrowserContext], live_db: Database, city: City, *, scripts: bool
) -> None:
    administrator = Actor(user_id=None, role=Role.ADMINISTRATOR)
    with live_db.begin() as session:
        for name in ("一号窗口", "二号窗口"):
            issue_token(session, name=name, role=Role.DEVICE, user_id=None, by=administrator, now=NOW)
    page = new_context(java_script_enabled=scripts).new_page()
    page.goto("/sign-in?next=/admin/tokens")
    page.get_by_label("用户名").fill("administrator")
    page.get_by_label("密码").fill(PASSWORD)
    page.get_by_role("button", name="登录").click()
    row = page.get_by_role("row").filter(has_text="一号窗口")
    question = page.get_by_text("停用后使用该令牌的终端或程序将无法访问，确定吗？")
    row.get_by_role("button", name="停用").click()
    expect(question).to_be_visible()
    leave = page.get_by_role("button", name="取消") if scripts else page.get_by_role("link", name="返回")
    leave.click()
    expect(row).to_contain_text("有效")
    row.get_by_role("button", name="停用").click()
    expect(question).to_be_visible()
    page.get_by_role("button", name="确定" if scripts else "确认").click()
    expect(row).to_contain_text("已停用")
    expect(page.get_by_role("row").filter(has_text="二号窗口")).to_contain_text("有效")


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
