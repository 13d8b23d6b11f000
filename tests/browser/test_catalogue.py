"""The catalogue at the dispatcher's desk and the administrator's, in a real browser; the dispatcher has no mouse."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from datetime import timedelta

import openpyxl
import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select
from sqlalchemy.orm import Session

from hotline.core.db import Database
from hotline.core.permissions import SYSTEM, Actor, Role
from hotline.people.models import User
from hotline.tickets.models import Region, Ticket
from hotline.tickets.states import Outcome, State
from routing import actions as routing
from routing.answers import parts
from routing.catalogue import editions as catalogue
from routing.catalogue.editions import RowWish
from routing.catalogue.models import Place, PlaceRegion
from routing.catalogue.sheets import COLUMNS
from routing.models import Department, Dispatch
from tests.browser.conftest import City, assert_accessible, assert_fits
from tests.conftest import NOW
from tests.makers import make_department, register_ticket, ruled_ticket

pytestmark = pytest.mark.browser


def administrator(session: Session) -> Actor:
    user = session.scalars(select(User).where(User.role == Role.ADMINISTRATOR)).one()
    return Actor(user_id=user.id, role=Role.ADMINISTRATOR)


@pytest.fixture
def published(live_db: Database, city: City) -> None:
    """A published catalogue: lamps to city management with a helper, everything else to the heating company."""
    with live_db.begin() as session:
        admin = administrator(session)
        for wish in (
            RowWish(category="T-0001", lead="city_management", co_handlers=("heating",), basis="三定方案第六条"),
            RowWish(lead="heating"),
        ):
            catalogue.add_row_to_draft(session, wish=wish, by=admin, now=NOW)
        draft = catalogue.draft(session)
        assert draft is not None
        catalogue.publish(session, number=1, version=draft.version, by=admin, now=NOW - timedelta(days=1))
        east = Region(code="990102", name="东泽区", path="东泽区", level=1)
        road = Place(name="人民路", kind="road")
        session.add_all([east, road])
        session.flush()
        session.add_all(PlaceRegion(place_id=road.id, region_id=one) for one in (city.region_id, east.id))


@pytest.fixture
def morning(live_db: Database, city: City, published: None) -> list[str]:
    """Eight tickets that wait, besides the one of the city; the numbers in the order of the queue."""
    with live_db.begin() as session:
        for at in range(8):
            register_ticket(
                session,
                now=NOW - timedelta(minutes=60 - at),
                title=f"人民路第 {at + 1} 盏路灯不亮",
                content=f"人民路第 {at + 1} 盏路灯不亮，晚上看不清路，请派人来修。",
                category_id=city.category_id if at < 7 else None,
                place="人民路 3 号",
            )
        rows = session.execute(select(Ticket.number, Ticket.urgency).where(Ticket.state == State.REGISTERED)).all()
    order = ["特急", "紧急", "一般"]
    return [number for number, urgency in sorted(rows, key=lambda row: (order.index(row[1]), row[0]))]


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def stand_on(page: Page, number: str) -> None:
    expect(page.locator("tr[data-row]", has_text=number).get_by_role("link").first).to_be_focused()


def holder(database: Database, number: str) -> int | None:
    with database.read() as session:
        return session.scalar(
            select(Dispatch.department_id)
            .join(Ticket, Ticket.id == Dispatch.ticket_id)
            .where(Ticket.number == number, Dispatch.is_current)
        )


def test_a_dispatcher_does_an_hours_work_without_a_mouse(  # noqa: PLR0915 - an hour is long
    page_as: Callable[..., Page], live_db: Database, city: City, morning: list[str]
) -> None:
    page = page_as("dispatcher", "/dispatch")
    page.add_init_script(
        "addEventListener('mousedown', () => sessionStorage.setItem('mouse', 'used'), true);"
        "addEventListener('mousemove', () => sessionStorage.setItem('mouse', 'used'), true);"
    )
    page.reload()
    first, second, third, fourth, fifth, sixth, seventh, eighth, last = morning
    # One key accepts what the catalogue names; the row says why.
    press(page, "j")
    stand_on(page, first)
    row = page.locator("tr[data-row]", has_text=first)
    expect(row).to_contain_text("派单目录第 1 版：路灯照明 · 全市")
    expect(row).to_contain_text("依据：三定方案第六条")
    press(page, "1")
    expect(page.locator("tr.row-done")).to_contain_text(f"已派往 {city.department}")
    stand_on(page, second)
    press(page, "1")
    expect(page.locator("tr.row-done")).to_have_count(2)
    assert [holder(live_db, number) for number in (first, second)] == [city.department_id] * 2
    # Open one, take the region that was asked about, correct the urgency, dispatch.
    stand_on(page, third)
    press(page, "Enter")
    page.wait_for_url(f"**/dispatch/{third}")
    expect(page.locator("body")).to_contain_text("“人民路”可能在 2 个区域，请核实。")
    press(page, "Alt+5")
    expect(page.locator("#f-region_id")).to_have_value("东泽区")
    press(page, "1", "Alt+p")
    page.wait_for_url("**/dispatch")
    with live_db.read() as session:
        region = session.scalars(
            select(Region.name).join(Ticket, Ticket.region_id == Region.id).where(Ticket.number == third)
        ).one()
    assert (region, holder(live_db, third)) == ("东泽区", city.department_id)
    # Another unit than proposed, by letters of its name.
    press(page, "j", "Enter")
    page.wait_for_url(f"**/dispatch/{fourth}")
    press(page, "d")
    page.keyboard.insert_text("供热")
    press(page, "Enter", "Control+Enter")
    page.wait_for_url("**/dispatch")
    assert holder(live_db, fourth) == city.other_department_id
    # Refuse one with a reason of the list, answer another, note on a third.
    press(page, "j", "Enter")
    page.wait_for_url(f"**/dispatch/{fifth}")
    press(page, "Alt+j")
    expect(page.locator("#refuse")).to_be_visible()
    page.get_by_label(re.compile("不予受理理由")).focus()
    page.keyboard.type("NR-06")
    press(page, "Tab", "Control+Enter")
    page.wait_for_url("**/dispatch")
    press(page, "j", "Enter")
    page.wait_for_url(f"**/dispatch/{sixth}")
    press(page, "Alt+r")
    expect(page.locator("#answer")).to_be_visible()
    page.keyboard.insert_text("您反映的路灯属于夜间节能时段，二十三点后隔盏照明。")
    press(page, "Control+Enter")
    page.wait_for_url("**/dispatch")
    # The rest in one go; the number that was seen is sent along.
    press(page, "j", "x", "j", "x")
    expect(page.locator("[data-bulk-count]")).to_have_text("2")
    press(page, "d")
    page.keyboard.insert_text("城市管理")
    press(page, "Enter", "Control+Enter")
    expect(page.locator(".notice").first).to_contain_text("已批量派单 2 张")
    assert [holder(live_db, number) for number in (seventh, eighth)] == [city.department_id] * 2
    # An unclassified one, about which nobody has said anything: no row is offered, a person decides.
    expect(page.locator("tr[data-row]", has_text=last)).to_contain_text("没有建议")
    press(page, "j", "Enter")
    page.wait_for_url(f"**/dispatch/{last}")
    press(page, "d")
    page.keyboard.insert_text("供热")
    press(page, "Enter", "Control+Enter")
    page.wait_for_url("**/dispatch")
    assert holder(live_db, last) == city.other_department_id
    with live_db.read() as session:
        ends = session.execute(
            select(Ticket.number, Ticket.outcome).where(Ticket.number.in_([fifth, sixth])).order_by(Ticket.id)
        ).all()
        assert session.scalars(select(Ticket.number).where(Ticket.state == State.REGISTERED)).all() == []
    assert [tuple(one) for one in ends] == [(fifth, Outcome.REFUSED), (sixth, Outcome.ANSWERED_DIRECTLY)]
    assert page.evaluate("sessionStorage.getItem('mouse')") is None


def test_an_administrator_drafts_checks_tries_and_publishes(
    page_as: Callable[..., Page], live_db: Database, city: City, published: None
) -> None:
    page = page_as("administrator", "/admin/catalogue")
    assert_accessible(page)
    press(page, "Alt+s")
    page.wait_for_url("**/admin/catalogue/2")
    expect(page.locator("#rows")).to_contain_text("三定方案第六条")
    press(page, "Alt+n")
    page.wait_for_url("**/rows/new")
    assert_accessible(page)
    page.get_by_role("combobox", name=re.compile("事件类别")).fill("供热")
    press(page, "Enter")
    page.get_by_role("combobox", name=re.compile("主办单位")).fill("供热")
    press(page, "Enter", "Alt+s")
    page.wait_for_url("**/admin/catalogue/2")
    expect(page.locator("#rows")).to_contain_text("供热不足")
    expect(page.locator("#findings")).to_contain_text("不会生效")
    press(page, "Alt+t")
    expect(page.locator("#trial-part")).to_contain_text("张会派往别处")
    assert_accessible(page)
    page.get_by_label(re.compile("版本说明")).fill("增加供热")
    page.get_by_role("button", name=re.compile("发布第 2 版")).click()
    page.get_by_role("alertdialog").get_by_role("button", name="确定").click()
    page.wait_for_url("**/admin/catalogue")
    expect(page.locator("main")).to_contain_text("增加供热")
    with live_db.read() as session:
        assert catalogue.draft(session) is None


def test_a_workbook_is_previewed_before_it_is_written(
    page_as: Callable[..., Page], live_db: Database, city: City, published: None
) -> None:
    page = page_as("administrator", "/admin/catalogue")
    press(page, "Alt+s")
    page.wait_for_url("**/admin/catalogue/2")
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append([heading for heading, _ in COLUMNS])
    sheet.append(["T-0001", "", "", "", "", "", "heating", "", "", "", "改由供热"])
    out = io.BytesIO()
    book.save(out)
    page.set_input_files(
        "#f-file",
        {
            "name": "目录.xlsx",
            "mimeType": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            "buffer": out.getvalue(),
        },
    )
    page.get_by_role("button", name="预览变化").click()
    expect(page.locator("main")).to_contain_text("新增 0 条，修改 1 条，删除 1 条，不变 0 条")
    assert_accessible(page)
    press(page, "Control+Enter")
    page.wait_for_url("**/admin/catalogue/2")
    expect(page.locator("#rows")).to_contain_text("改由供热")


@pytest.mark.parametrize("path", ["/admin/catalogue/1", "/admin/regions", "/admin/sources", "/admin/departments"])
def test_the_pages_fit_a_phone(page_as: Callable[..., Page], city: City, published: None, path: str) -> None:
    page = page_as("administrator", path, width=390, height=844)
    assert_fits(page)
    assert_accessible(page)


def helpers_of(database: Database, number: str) -> list[str]:
    """Return who was asked to help with a ticket, each with a deadline that is not after the lead's."""
    with database.read() as session:
        ticket_id = session.scalars(select(Ticket.id).where(Ticket.number == number)).one()
        found = parts.of_ticket(session, ticket_id)
    assert all(NOW < one.row.due_at <= one.lead_due_at for one in found)
    return sorted(one.department for one in found)


def test_co_handlers_go_along_by_key_one_by_one_and_in_bulk_without_a_mouse(
    page_as: Callable[..., Page], live_db: Database, city: City, morning: list[str]
) -> None:
    with live_db.begin() as session:
        water = make_department(session, "water", name="望川市水务局")
        held = session.get_one(Department, city.other_department_id)
        lead = session.get_one(Department, city.department_id)
        ruling = ruled_ticket(session, held, lead=lead, helping=[water], category_id=city.category_id, now=NOW)
        number = ruling.id
    page = page_as("dispatcher", "/dispatch")
    page.add_init_script(
        "addEventListener('mousedown', () => sessionStorage.setItem('mouse', 'used'), true);"
        "addEventListener('mousemove', () => sessionStorage.setItem('mouse', 'used'), true);"
    )
    page.reload()
    first, second, third, fourth, *_ = morning
    press(page, "j")
    stand_on(page, first)
    row = page.locator("tr[data-row]", has_text=first)
    expect(row.get_by_role("link", name=f"裁定第 {number} 号")).to_be_visible()
    expect(row.get_by_role("checkbox", name=re.compile("望川市水务局"))).to_be_checked()
    expect(row.get_by_role("checkbox", name=re.compile("望川供热集团"))).not_to_be_checked()
    assert_accessible(page)
    # As it stands: the ruling's co-handler goes along.
    press(page, "1")
    expect(page.locator("tr.row-done")).to_contain_text(f"已派往 {city.department}，协办 望川市水务局，办理时限")
    assert helpers_of(live_db, first) == ["望川市水务局"]
    # One out, another in, and the row keeps the focus: Enter would open it and send nothing.
    stand_on(page, second)
    press(page, "4", "5")
    stand_on(page, second)
    expect(
        page.locator("tr[data-row]", has_text=second).get_by_role("checkbox", name=re.compile("水务"))
    ).not_to_be_checked()
    press(page, "1")
    expect(page.locator("tr.row-done")).to_have_count(2)
    assert helpers_of(live_db, second) == ["望川供热集团"]
    # In bulk: what is ticked on each row, and one more for all; the bar counts the tasks and the server agrees.
    stand_on(page, third)
    press(page, "x", "j", "x", "5")
    expect(page.locator("[data-bulk-count]")).to_have_text("2")
    expect(page.locator("[data-tasks]")).to_have_text("3")
    press(page, "h")
    page.keyboard.insert_text("供热")
    press(page, "Enter")
    expect(page.locator("[data-tasks]")).to_have_text("4")
    press(page, "Escape", "d")
    page.keyboard.insert_text("城市管理")
    press(page, "Enter")
    with page.expect_request("**/dispatch/bulk") as sent:
        press(page, "Control+Enter")
    assert "seen=2" in (sent.value.post_data or "")
    assert "seen_tasks=4" in (sent.value.post_data or "")
    expect(page.locator(".notice").first).to_contain_text("已批量派单 2 张，协办任务 4 个")
    assert [holder(live_db, one) for one in (third, fourth)] == [city.department_id] * 2
    assert [helpers_of(live_db, one) for one in (third, fourth)] == [["望川供热集团", "望川市水务局"]] * 2
    assert page.evaluate("sessionStorage.getItem('mouse')") is None


def test_a_bulk_act_that_found_more_is_asked_again_with_its_co_handlers_by_keys(
    page_as: Callable[..., Page], live_db: Database, city: City, morning: list[str]
) -> None:
    page = page_as("dispatcher", "/dispatch")
    first, second, *_ = morning
    press(page, "j", "x", "j", "x")
    expect(page.locator("[data-tasks]")).to_have_text("2")
    with live_db.begin() as session:
        ticket_id = session.scalars(select(Ticket.id).where(Ticket.number == first)).one()
        routing.dispatch(
            session, ticket_id=ticket_id, version=None, department_id=city.other_department_id, by=SYSTEM, now=NOW
        )
    press(page, "d")
    page.keyboard.insert_text("城市管理")
    press(page, "Enter", "Control+Enter")
    expect(page.locator("main")).to_contain_text("没有派出任何工单")
    expect(page.get_by_role("checkbox", name=re.compile("望川供热集团"))).to_be_checked()
    expect(page.locator("[data-tasks]")).to_have_text("1")
    assert_accessible(page)
    press(page, "Control+Enter")
    expect(page.locator(".notice").first).to_contain_text("已批量派单 1 张，协办任务 1 个")
    assert helpers_of(live_db, second) == ["望川供热集团"]


def test_rows_with_co_handlers_and_precedents_fit_a_phone(
    page_as: Callable[..., Page], live_db: Database, city: City, morning: list[str]
) -> None:
    page = page_as("dispatcher", "/dispatch", width=390, height=844)
    page.locator("[data-bulk-one]").nth(0).check()
    assert_fits(page)
    assert_accessible(page)
    page.goto(f"/dispatch/{morning[0]}")
    assert_fits(page)
