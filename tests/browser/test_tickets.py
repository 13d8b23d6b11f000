"""The ticket's page and the query in a real browser: by keyboard, on a phone, with the scripts running."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from hotline.core.db import Database
from tests.browser.conftest import City, assert_accessible, assert_fits
from tests.conftest import NOW
from tests.makers import register_ticket

pytestmark = pytest.mark.browser
PageAs = Callable[..., Page]
PHONE = "13900001234"


@pytest.mark.parametrize("width", [1440, 390])
def test_every_page_of_a_ticket_is_accessible_and_fits(page_as: PageAs, city: City, width: int) -> None:
    new, answered = city.numbers["registered"], city.numbers["answered"]
    page = page_as("operator", "/tickets", width=width)
    for path in (
        "/tickets",
        "/tickets?words=路灯&state=open",
        "/tickets?words=查无此事",
        "/tickets?from=2026-10-09&to=2026-10-08",
        f"/tickets/{answered}",
        f"/tickets/{city.numbers['overdue']}",
        f"/tickets/{new}",
        f"/tickets/{new}/edit",
        *(f"/tickets/{new}/{act}" for act in ("answer", "refuse", "transfer", "withdraw")),
        f"/tickets/{answered}/print",
    ):
        page.goto(path)
        assert_accessible(page)
        assert_fits(page)
        for why in page.locator("details").all():
            why.evaluate("details => details.open = true")
        assert_accessible(page)
        assert_fits(page)


def test_a_telephone_number_is_found_by_keyboard_and_stands_in_no_address(page_as: PageAs, city: City) -> None:
    page = page_as("operator", "/tickets")
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    page.keyboard.press("/")
    page.keyboard.type(PHONE)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("*******1234")
    assert page.locator("tr[data-row]").count() == 5
    assert_accessible(page)
    assert not [address for address in addresses if PHONE in address]


def test_a_query_is_kept_in_its_address_and_a_chip_takes_a_condition_away(page_as: PageAs, city: City) -> None:
    page = page_as("operator", "/tickets")
    page.get_by_label("关键词", exact=True).fill("路灯")
    page.get_by_label("诉求类型").select_option("投诉")
    page.get_by_role("button", name="查询", exact=True).click()
    page.wait_for_url("**/tickets?words=*")
    rows = page.locator("tr[data-row]")
    expect(rows).to_have_count(1)
    page.reload()
    expect(rows).to_have_count(1)
    page.get_by_role("link", name="诉求类型：投诉").click()
    expect(page.get_by_role("link", name="关键词：路灯")).to_be_visible()
    expect(page.get_by_role("link", name="诉求类型：投诉")).to_have_count(0)
    assert rows.count() > 1
    page.get_by_role("navigation", name="工单状态").get_by_role("link", name="待派单").click()
    expect(rows).to_have_count(1)
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/tickets/{city.numbers['registered']}")


def test_what_is_masked_is_shown_by_click_and_hides_itself(page_as: PageAs, city: City) -> None:
    page = page_as("operator")
    page.clock.install(time=NOW)
    page.goto(f"/tickets/{city.numbers['dispatched']}")
    side = page.get_by_role("complementary")
    expect(side).to_contain_text("*******1234")
    side.get_by_role("button", name="查看联系电话").click()
    assert_accessible(page)
    page.get_by_label("其他理由").fill("核对回拨号码")
    page.keyboard.press("Enter")
    expect(side).to_contain_text(PHONE)
    page.clock.fast_forward(61_000)
    expect(side).not_to_contain_text(PHONE)
    page.reload()
    expect(page.locator("#timeline")).to_contain_text("查看联系电话：核对回拨号码")


def test_a_file_goes_up_and_comes_down_again(page_as: PageAs, city: City, tmp_path: Path) -> None:
    given = tmp_path / "现场说明.txt"
    given.write_text("路灯坏了三天", encoding="utf-8")
    page = page_as("responder", f"/tickets/{city.numbers['signed']}")
    page.get_by_text("添加附件").click()
    page.get_by_label("选择文件").set_input_files(given)
    page.get_by_role("button", name="上传").click()
    expect(page.locator("#flashes")).to_contain_text("已添加 1 个附件")
    with page.expect_download() as coming:
        page.get_by_role("link", name="现场说明.txt").click()
    assert coming.value.suggested_filename == "现场说明.txt"
    assert coming.value.path().read_text(encoding="utf-8") == "路灯坏了三天"


def test_a_note_is_written_by_keyboard_and_survives_a_refusal(page_as: PageAs, city: City) -> None:
    page = page_as("dispatcher", f"/tickets/{city.numbers['registered']}")
    page.keyboard.press("Alt+m")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert")).to_contain_text("请填写备注内容")
    assert_accessible(page)
    page.keyboard.press("Alt+m")
    page.keyboard.type("已核实地点")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#timeline")).to_contain_text("已核实地点")


def test_two_people_correct_one_ticket_and_the_second_sees_both(page_as: PageAs, city: City) -> None:
    path = f"/tickets/{city.numbers['dispatched']}/edit"
    first, second = page_as("operator", path), page_as("dispatcher", path)
    for page, place in ((first, "幸福路东段"), (second, "幸福路西段")):
        page.get_by_label("事发地点").fill(place)
        page.keyboard.press("Alt+s")
    expect(first.locator("#flashes")).to_contain_text("修改已保存")
    expect(second.get_by_role("heading", level=1)).to_contain_text("已被他人修改")
    row = second.locator("tr", has_text="事发地点")
    expect(row).to_contain_text("幸福路东段")
    expect(row).to_contain_text("幸福路西段")
    assert_accessible(second)


def test_the_menu_counts_along_while_others_work(page_as: PageAs, live_db: Database, city: City) -> None:
    page = page_as("dispatcher", "/tickets")
    figure = page.locator('[data-counter="tickets.state.registered"]')
    expect(figure).to_have_text("1")
    with live_db.begin() as session:
        register_ticket(session, now=NOW)
    expect(figure).to_have_text("2")


def test_the_way_in_is_a_card_and_says_what_was_wrong(page: Page, tmp_path: Path) -> None:
    page.goto("/sign-in")
    card = page.locator("main").bounding_box()
    assert card is not None
    assert 300 < card["width"] < 500, "a form as wide as the window has lost its style sheet"
    expect(page.get_by_label("用户名")).to_be_focused()
    page.keyboard.type("operator")
    page.get_by_label("密码").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.locator(".field-error").first).to_be_visible()
    expect(page.get_by_label("用户名")).to_have_value("operator")
    assert_accessible(page)
    page.screenshot(path=tmp_path / "sign_in.png")
    page.set_viewport_size({"width": 360, "height": 800})
    assert_fits(page)
    page.screenshot(path=tmp_path / "sign_in_phone.png")
    page.goto("/no-such-page")
    expect(page.get_by_role("link", name="源代码")).to_be_visible()
    assert_accessible(page)
