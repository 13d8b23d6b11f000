"""The operator's desk in a real browser: a call with the keyboard alone, suggestions by key, one ticket per call."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect
from sqlalchemy import func, select

from classifier import learning
from classifier.seeds import Leaf, Seeds, Sentence
from classifier.suggest import Suggester
from hotline.core.db import Database
from hotline.tickets.models import Ticket
from hotline.tickets.states import State
from routing.queries import current_dispatch
from tests.browser.conftest import City, assert_accessible, assert_fits
from tests.conftest import NOW
from tests.makers import register_ticket

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("aborted_questions_are_no_problem")]

LAMPS = (
    "门前的路灯坏了晚上走路看不清",
    "整条街的路灯都不亮了请来维修",
    "小区外路灯忽明忽暗希望更换灯具",
    "路灯白天亮晚上不亮浪费电",
    "路灯杆倾斜快要倒了很危险",
    "公园里的照明灯全灭了没人管",
)
HEAT = (
    "家里暖气不热室温只有十四度",
    "供热公司停暖两天了老人受冻",
    "暖气片一半凉请供热单位来放气",
    "供热管道漏水楼道结冰",
    "交了供热费家里还是不热",
    "换热站噪声大而且温度上不去",
)
TEXT = "北苑区幸福路的路灯坏了三天，整条街晚上看不清，请尽快维修路灯。"


@pytest.fixture(scope="module")
def small_model() -> Suggester:
    """A model of two matters, learnt in a moment; its categories and units are those of the small city."""

    def leaf(code: str, name: str, lead: str, *, voices: tuple[str, ...], urgency: str) -> Leaf:
        kinds = ("求助", "投诉")
        return Leaf(
            code=code,
            path=("城乡建设", name),
            first="城乡建设",
            definition=f"{name}方面的问题。",
            boundary="",
            lead=lead,
            assist=(),
            urgency=urgency,
            sentences=tuple(
                Sentence(request_type=kinds[at % 2], title=voice[:8], body=f"{voice}，请处理。{voice}。")
                for at, voice in enumerate(voices)
            ),
        )

    corpus = Seeds(
        leaves=(
            leaf("T-0001", "路灯照明", "city_management", voices=LAMPS, urgency="一般"),
            leaf("T-0002", "供热不足", "heating", voices=HEAT, urgency="紧急"),
        ),
        digest="small",
    )
    return Suggester(learning.learn_default(corpus).model, version="small", corpus=corpus)


@pytest.fixture
def suggester(small_model: Suggester) -> Suggester:
    """Stand behind `live_url` with that model."""
    return small_model


@pytest.fixture
def desk(page_as: Callable[..., Page]) -> Page:
    """Open the call form."""
    return page_as("operator", "/intake")


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def options(page: Page) -> Locator:
    """Return what the open picker offers."""
    return page.locator(".picker-list:visible li")


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.id"))


def count(database: Database) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(Ticket)) or 0


def newest(database: Database) -> Ticket:
    with database.read() as session:
        return session.scalars(select(Ticket).order_by(Ticket.id.desc()).limit(1)).one()


def test_the_whole_call_is_on_one_screen_without_scrolling(desk: Page) -> None:
    desk.locator("#f-phone").fill("13900005678")
    desk.locator("#f-content").fill(TEXT)
    expect(desk.locator("#suggest .hint").first).to_be_visible()
    expect(desk.locator("#caller .earlier-one").first).to_be_visible()
    for key in ("Alt+p", "Alt+r", "Alt+j", "Alt+t"):
        press(desk, key)
        expect(desk.get_by_role("button", name=re.compile("提交登记"))).to_be_in_viewport(ratio=1)
        assert desk.evaluate("document.documentElement.scrollHeight - innerHeight") <= 0, key
    assert_fits(desk)
    assert_accessible(desk)


def test_a_call_is_typed_and_sent_with_the_keyboard_alone(desk: Page, live_db: Database, city: City) -> None:
    before = count(live_db)
    assert focused(desk) == "f-phone"
    desk.keyboard.type("13911112222")
    press(desk, "Enter")
    assert focused(desk) == "f-name", "Enter in a field goes on, it does not send half a call"
    desk.keyboard.insert_text("王小明")
    press(desk, "Tab", "Tab", "Tab", "Tab", "Tab")
    assert focused(desk) == "f-content"
    desk.keyboard.insert_text(TEXT)
    expect(desk.locator('[data-key="alt+1"]')).to_contain_text("路灯照明")
    press(desk, "Alt+1")
    expect(desk.locator("#f-category_id")).to_have_value("路灯照明")
    assert focused(desk) == "f-content", "after taking a suggestion one goes on typing where one was"
    press(desk, "Alt+p")
    assert focused(desk) == "f-department_id"
    desk.keyboard.insert_text("城管")
    expect(options(desk)).to_have_text([city.department])
    press(desk, "Enter")
    expect(desk.locator("#f-department_id")).to_have_value(city.department)
    press(desk, "Control+Enter")
    desk.wait_for_url("**/intake/done/*")
    assert count(live_db) == before + 1
    ticket = newest(live_db)
    assert (ticket.state, ticket.category_id, ticket.name_masked) == (State.DISPATCHED, city.category_id, "王**")
    with live_db.read() as session:
        sent = current_dispatch(session, ticket.id)
    assert sent is not None
    assert sent.department_id == city.department_id
    expect(desk.locator(".told-big").first).to_contain_text(ticket.number)
    expect(desk.locator(".told-big").nth(1)).to_contain_text(re.compile(r"\d{6}"))
    assert_accessible(desk)
    press(desk, "Alt+n")
    desk.wait_for_url("**/intake")
    assert focused(desk) == "f-phone"


def test_a_call_sent_without_a_network_stays_as_it_was_typed(
    desk: Page, live_db: Database, problems: list[str]
) -> None:
    before = count(live_db)
    desk.locator("#f-phone").fill("13911112222")
    desk.locator("#f-content").fill(TEXT)
    expect(desk.locator("#suggest .hint").first).to_be_visible()
    desk.context.set_offline(True)
    press(desk, "Control+Enter")
    word = desk.locator("#call [data-held]")
    expect(word).to_contain_text("网络不通，没有提交")
    expect(word).to_be_in_viewport(ratio=1)
    expect(desk.locator("#f-content")).to_have_value(TEXT)
    expect(desk.locator("#f-phone")).to_have_value("13911112222")
    assert_fits(desk)
    assert_accessible(desk)
    desk.context.set_offline(False)
    expect(word).to_contain_text("网络已恢复")
    problems[:] = [one for one in problems if "ERR_INTERNET_DISCONNECTED" not in one]
    press(desk, "Control+Enter")
    desk.wait_for_url("**/intake/done/*")
    assert count(live_db) == before + 1


def test_each_suggestion_has_its_key_and_shows_that_it_was_taken(desk: Page) -> None:
    desk.locator("#f-content").fill("北苑区暖气不热，供热公司不管，家里有老人，室温只有十三度。")
    first = desk.locator('[data-key="alt+1"]')
    expect(first).to_contain_text("供热不足")
    expect(first).to_have_attribute("aria-pressed", "false")
    press(desk, "Alt+1")
    expect(first).to_have_attribute("aria-pressed", "true")
    for field in ("派往单位", "紧急程度", "所属区域"):
        key = desk.locator(".hint", has_text=field).first.get_attribute("data-key")
        assert key is not None
        press(desk, key.replace("alt", "Alt"))
    expect(desk.locator("#f-department_id")).to_have_value("望川供热集团")
    expect(desk.get_by_role("radio", name="紧急", exact=True)).to_be_checked()
    expect(desk.locator("#f-region_id")).to_have_value("北苑区")
    expect(desk.locator('input[name="finish"][value="dispatch"]')).to_be_checked()
    expect(desk.locator("mark.mark-moved").first).to_be_visible()


def test_a_late_answer_does_not_overwrite_a_newer_one(desk: Page) -> None:
    held: list[Route] = []

    def hold_the_first(route: Route) -> None:
        if not held:
            held.append(route)
        else:
            route.continue_()

    desk.route("**/intake/suggest", hold_the_first)
    desk.locator("#f-content").fill("北苑区暖气不热，供热公司不管，室温只有十三度。")
    with desk.expect_request("**/intake/suggest"):
        pass
    desk.locator("#f-content").fill(TEXT)
    expect(desk.locator('[data-key="alt+1"]')).to_contain_text("路灯照明")
    held[0].fulfill(status=200, body="<p>late</p>")
    desk.evaluate("() => new Promise(done => setTimeout(done, 0))")
    expect(desk.locator('[data-key="alt+1"]')).to_contain_text("路灯照明")


def test_a_double_click_makes_one_ticket(desk: Page, live_db: Database) -> None:
    before = count(live_db)
    desk.locator("#f-phone").fill("13911112222")
    desk.locator("#f-content").fill("幸福路下水道堵塞，污水漫到路面。")
    desk.get_by_role("button", name=re.compile("提交登记")).dblclick()
    desk.wait_for_url("**/intake/done/*")
    assert count(live_db) == before + 1


def test_two_windows_that_send_the_same_call_at_once_make_one_ticket(desk: Page, live_db: Database) -> None:
    before = count(live_db)
    key = desk.locator('input[name="key"]').input_value()
    fields = {"key": key, "phone": "13911112222", "content": "幸福路下水道堵塞，污水漫到路面。", "finish": "register"}
    answers = desk.evaluate(
        """async (fields) => {
            const send = () => fetch("/intake", {method: "POST", redirect: "follow", body: new URLSearchParams(fields),
                headers: {"X-CSRFToken": document.querySelector('meta[name="csrf-token"]').content}});
            return (await Promise.all([send(), send(), send()])).map((answer) => [answer.status, answer.url]);
        }""",
        fields,
    )
    assert {status for status, _ in answers} == {200}
    assert len({url for _, url in answers}) == 1
    assert count(live_db) == before + 1


def test_going_back_and_sending_another_text_is_asked_about_once_more(desk: Page, live_db: Database) -> None:
    before = count(live_db)
    desk.locator("#f-phone").fill("13911112222")
    desk.locator("#f-content").fill("幸福路下水道堵塞，污水漫到路面。")
    key = desk.locator('input[name="key"]').input_value()
    press(desk, "Control+Enter")
    desk.wait_for_url("**/intake/done/*")
    desk.goto("/intake")
    desk.evaluate("(key) => { document.querySelector('input[name=key]').value = key; }", key)
    desk.locator("#f-phone").fill("13911112222")
    desk.locator("#f-content").fill("另一件事：学府街早市占道经营，车辆无法通行。")
    press(desk, "Control+Enter")
    expect(desk.locator("[data-error-summary]")).to_be_focused()
    expect(desk.locator("#f-content")).to_have_value(re.compile("早市占道经营"))
    assert count(live_db) == before + 1
    desk.locator("#f-content").focus()
    press(desk, "Control+Enter")
    desk.wait_for_url("**/intake/done/*")
    assert count(live_db) == before + 2


def test_the_caller_is_known_by_the_number_and_a_call_is_appended(desk: Page, live_db: Database, city: City) -> None:
    before = count(live_db)
    requested: list[str] = []
    desk.on("request", lambda request: requested.append(request.url))
    desk.keyboard.type("13900005678")
    row = desk.locator("#caller .earlier-one", has_text=city.numbers["registered"])
    expect(row).to_contain_text("待派单")
    desk.locator("#f-content").fill("还没有人来修，请催一下。")
    row.get_by_role("button", name=re.compile("并入")).click()
    desk.wait_for_url("**/intake/appended/*")
    expect(desk.locator("main")).to_contain_text("2 次")
    assert count(live_db) == before
    assert not [url for url in requested if "13900005678" in url]
    assert_accessible(desk)


def test_the_name_that_goes_with_a_number_comes_in_by_key_only_when_it_is_one_person(
    desk: Page, live_db: Database
) -> None:
    with live_db.begin() as session:
        register_ticket(session, phone="13922223333", name="赵一", now=NOW)
        register_ticket(session, phone="13944445555", name="赵一", now=NOW)
        register_ticket(session, phone="13944445555", name="钱二", now=NOW)
    desk.keyboard.type("13922223333")
    expect(desk.locator("#caller")).to_contain_text("以往登记：赵*")
    expect(desk.locator("#f-name")).to_have_value("")
    press(desk, "Alt+k")
    expect(desk.locator("#f-name")).to_have_value("赵一")
    desk.locator("#f-name").fill("")
    desk.locator("#f-phone").fill("13944445555")
    expect(desk.locator("#caller")).to_contain_text("请询问姓名")
    expect(desk.locator("#f-name")).to_have_value("")


def test_what_was_typed_and_chosen_stays_on_a_refusal(desk: Page) -> None:
    desk.locator("#f-phone").fill("1390000")
    desk.locator("#f-content").fill(TEXT)
    expect(desk.locator('[data-key="alt+1"]')).to_be_visible()
    press(desk, "Alt+1", "Alt+t")
    assert focused(desk) == "f-transfer_to"
    press(desk, "Control+Enter")
    summary = desk.locator("[data-error-summary]")
    expect(summary).to_be_focused()
    expect(summary).to_contain_text("电话号码不正确")
    expect(summary).to_contain_text("请选择转往的单位")
    expect(desk.locator("#f-phone")).to_have_value("1390000")
    expect(desk.locator("#f-content")).to_have_value(TEXT)
    expect(desk.locator("#f-category_id")).to_have_value("路灯照明")
    expect(desk.locator("#f-transfer_to")).to_be_visible()
    expect(desk.locator('[data-key="alt+1"]')).to_contain_text("路灯照明")
    assert_accessible(desk)


def test_a_reason_of_refusal_brings_its_words_unless_one_has_written_his_own(desk: Page) -> None:
    press(desk, "Alt+j")
    assert focused(desk) == "f-refusal_reason"
    words = desk.locator("#f-refusal_words")
    desk.locator("#f-refusal_reason").select_option("NR-06")
    expect(words).to_have_value(re.compile("当地热线"))
    desk.locator("#f-refusal_reason").select_option("NR-02")
    expect(words).to_have_value(re.compile("仲裁"))
    words.fill("请凭判决书向法院申请执行。")
    desk.locator("#f-refusal_reason").select_option("NR-03")
    expect(words).to_have_value("请凭判决书向法院申请执行。")


def test_a_long_list_is_found_by_letters_of_its_path_and_emptied_again(desk: Page) -> None:
    box = desk.get_by_role("combobox", name=re.compile("事件类别"))
    box.click()
    expect(options(desk)).to_have_count(2)
    box.fill("无此类别")
    expect(options(desk)).to_have_text(["没有符合的选项"])
    box.fill("供不")
    expect(options(desk)).to_have_text(["供热不足"])
    press(desk, "Tab")
    expect(box).to_have_value("供热不足")
    expect(desk.locator('select[name="category_id"]')).not_to_have_value("")
    box.fill("胡乱")
    press(desk, "Escape")
    expect(box).to_have_value("供热不足")
    box.fill("")
    press(desk, "Tab")
    expect(desk.locator('select[name="category_id"]')).to_have_value("")


def test_the_call_form_fits_a_phone(page_as: Callable[..., Page]) -> None:
    page = page_as("operator", "/intake", width=390, height=844)
    page.locator("#f-phone").fill("13900005678")
    page.locator("#f-content").fill(TEXT)
    expect(page.locator("#suggest .hint").first).to_be_visible()
    assert_fits(page)
    assert_accessible(page)


def test_the_form_works_without_scripts(new_context: Callable[..., Any], page_as: Callable[..., Page]) -> None:
    signed_in = page_as("operator", "/intake")
    plain = new_context(java_script_enabled=False)
    plain.add_cookies(signed_in.context.cookies())
    page = plain.new_page()
    page.goto("/intake")
    page.locator("#f-phone").fill("13911112222")
    page.locator("#f-content").fill("幸福路下水道堵塞，污水漫到路面。")
    page.get_by_text("直接答复").click()
    page.locator("#f-answer").fill("您好，已告知抢修电话。")
    page.get_by_role("button", name=re.compile("提交登记")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("已直接答复")
