"""An hour at the dispatch desk: twenty-five tickets of all kinds and two returns, worked off without a mouse."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import func, select

from hotline.core.db import Database
from hotline.core.permissions import Actor, Role
from hotline.people.models import User
from hotline.tickets.models import Ticket
from hotline.tickets.states import Outcome, State
from routing.answers import parts
from routing.catalogue import editions as catalogue
from routing.catalogue.editions import RowWish
from routing.duty.models import Return
from routing.duty.rules import ReturnState
from routing.models import Department, Dispatch
from routing.queries import departments_of
from routing.relations import duplicates
from routing.relations.models import Merge
from tests.browser.conftest import City, assert_accessible
from tests.conftest import NOW
from tests.makers import ask_return, dispatched_ticket, register_ticket

pytestmark = pytest.mark.browser

ACCEPTED, ALONE, ELSEWHERE, REFUSED, MERGED, NOTED, TRANSFERRED = 8, 2, 3, 3, 3, 2, 1
IN_BULK = 3
_NO_MOUSE = """
for (const kind of ['mousedown', 'mousemove', 'touchstart'])
  addEventListener(kind, () => sessionStorage.setItem('mouse', kind), true);
"""


@pytest.fixture
def hour(live_db: Database, city: City) -> list[str]:
    """Lay down who leads and helps with lamps; let 24 calls and two returns come in; returns the queue's numbers."""
    with live_db.begin() as session:
        user = session.scalars(select(User).where(User.role == Role.ADMINISTRATOR)).one()
        admin = Actor(user_id=user.id, role=Role.ADMINISTRATOR)
        wish = RowWish(category="T-0001", lead="city_management", co_handlers=("heating",), basis="三定方案第六条")
        catalogue.add_row_to_draft(session, wish=wish, by=admin, now=NOW)
        draft = catalogue.draft(session)
        assert draft is not None
        catalogue.publish(session, number=1, version=draft.version, by=admin, now=NOW - timedelta(days=1))
        unit = session.get_one(Department, city.department_id)
        flood = dispatched_ticket(
            session,
            unit,
            title="学府路地下通道积水",
            content="学府路地下通道积水没过膝盖，行人和电动车都过不去，请尽快排水。",
            now=NOW - timedelta(hours=3),
        )
        duplicates.remember(session, flood)
        for at in range(24):
            # The last ones of the queue are likely duplicates of the flood.
            wet = at >= 24 - MERGED
            found = register_ticket(
                session,
                now=NOW - timedelta(minutes=60 - at),
                title="学府路地下通道积水严重" if wet else f"人民路第 {at + 1} 盏路灯不亮",
                content="学府路地下通道积水没过膝盖，行人和电动车都过不去，请尽快排水！"
                if wet
                else f"人民路第 {at + 1} 盏路灯不亮，晚上看不清路，请派人来修。",
                phone=f"1390000{3000 + at}",
                category_id=city.category_id,
            )
            duplicates.remember(session, session.get_one(Ticket, found.ticket_id))
        responder = session.scalars(select(User).where(User.login == "responder")).one()
        by = Actor(user_id=responder.id, role=Role.RESPONDER, department_ids=departments_of(session, responder.id))
        other = session.get_one(Department, city.other_department_id)
        for hours, name in ((4, "dispatched"), (2, "signed")):
            ticket = session.get_one(Ticket, city.ids[name])
            ask_return(session, ticket, by=by, suggested=other, now=NOW - timedelta(hours=hours))
        rows = session.execute(select(Ticket.number, Ticket.urgency).where(Ticket.state == State.REGISTERED)).all()
    order = ["特急", "紧急", "一般"]
    return [number for number, urgency in sorted(rows, key=lambda row: (order.index(row[1]), row[0]))]


class Desk:
    """A dispatcher's hands on the keys."""

    def __init__(self, page: Page, database: Database) -> None:
        """Sit down."""
        self.page, self.database = page, database

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def opens_first(self, number: str) -> None:
        self.page.wait_for_url("**/dispatch")
        self.press("j")
        expect(self.page.locator("tr[data-row]", has_text=number).get_by_role("link").first).to_be_focused()
        self.press("Enter")
        self.page.wait_for_url(f"**/dispatch/{number}")

    def count(self, *conditions: object) -> int:
        with self.database.read() as session:
            query = select(func.count()).select_from(Ticket)
            return session.scalar(query.where(*conditions)) or 0  # type: ignore[arg-type]


def test_twenty_five_tickets_and_two_returns_without_a_mouse(  # noqa: PLR0915 - an hour is long
    page_as: Callable[..., Page], live_db: Database, city: City, hour: list[str]
) -> None:
    assert len(hour) == ACCEPTED + ALONE + ELSEWHERE + REFUSED + MERGED + NOTED + TRANSFERRED + IN_BULK == 25
    queue = iter(hour)
    page = page_as("dispatcher", "/dispatch")
    page.add_init_script(_NO_MOUSE)
    page.reload()
    desk = Desk(page, live_db)
    rows_done = page.locator("tr.row-done")

    # One key each; the co-handler that is laid down goes along, or is unticked with one key more.
    desk.press("j")
    for done in range(ACCEPTED + ALONE):
        number = next(queue)
        expect(page.locator("tr[data-row]", has_text=number).get_by_role("link").first).to_be_focused()
        desk.press(*(["4", "1"] if done >= ACCEPTED else ["1"]))
        expect(rows_done).to_have_count(done + 1)
    assert_accessible(page)
    desk.press("u")
    expect(rows_done).to_have_count(0)

    for _ in range(ELSEWHERE):
        desk.opens_first(next(queue))
        desk.press("d")
        page.keyboard.insert_text("供热")
        desk.press("Enter", "Control+Enter")
    for _ in range(REFUSED):
        desk.opens_first(next(queue))
        desk.press("Alt+j")
        expect(page.locator("#refuse")).to_be_visible()
        expect(page.get_by_label(re.compile("不予受理理由"))).to_be_focused()
        page.keyboard.type("NR-06")
        desk.press("Tab", "Control+Enter")
    for _ in range(NOTED):
        # Asked back: what the citizen said on the telephone stands on the ticket before it goes out.
        number = next(queue)
        desk.opens_first(number)
        desk.press("Alt+m")
        page.keyboard.insert_text("已致电核实：路灯在人民路东侧。")
        desk.press("Control+Enter")
        expect(page.locator(".notice").first).to_be_visible()
        desk.press("1", "Alt+p")
    desk.opens_first(next(queue))
    desk.press("Alt+t")
    expect(page.get_by_label(re.compile("^转往"))).to_be_focused()
    page.keyboard.press("ArrowDown")
    desk.press("Tab", "Control+Enter")

    # Some in one go, as many as were seen.
    page.wait_for_url("**/dispatch")
    for _ in range(IN_BULK):
        next(queue)
        desk.press("j", "x")
    expect(page.locator("[data-bulk-count]")).to_have_text(str(IN_BULK))
    desk.press("d")
    page.keyboard.insert_text("城市管理")
    desk.press("Enter", "Control+Enter")
    expect(page.locator(".notice").first).to_contain_text(f"已批量派单 {IN_BULK} 张，协办任务 {IN_BULK} 个")

    # What was told before is answered with it: two keys, and back to the queue.
    for _ in range(MERGED):
        desk.opens_first(next(queue))
        desk.press("Alt+g")
        page.wait_for_url("**/merge?join=*")
        desk.press("Alt+s")
        page.wait_for_url("**/dispatch")
    expect(page.locator("main")).to_contain_text("没有")
    assert next(queue, None) is None

    # Two returns: one is upheld, one refused.
    desk.press("b")
    page.wait_for_url("**/dispatch/returns")
    desk.press("1")
    expect(page.get_by_role("alertdialog")).to_be_visible()
    with page.expect_event("load"):
        desk.press("Enter")
    with page.expect_event("load"):
        desk.press("2")
    desk.press("Alt+1")
    expect(page.get_by_label("驳回理由")).not_to_have_value("")
    with page.expect_event("load"):
        page.keyboard.press("Control+Enter")
    expect(page.get_by_text("没有待审核的退单")).to_be_visible()

    assert page.evaluate("sessionStorage.getItem('mouse')") is None
    assert desk.count(Ticket.outcome == Outcome.TRANSFERRED) == TRANSFERRED
    assert desk.count(Ticket.outcome == Outcome.REFUSED, Ticket.number.in_(hour)) == REFUSED
    with live_db.read() as session:
        ids = {row.number: row.id for row in session.execute(select(Ticket.number, Ticket.id))}
        assert session.scalar(select(func.count()).select_from(Merge)) == MERGED
        states = sorted(session.scalars(select(Return.state)))
        holders = session.scalars(
            select(Dispatch.department_id).where(
                Dispatch.is_current, Dispatch.ticket_id.in_([ids[number] for number in hour])
            )
        ).all()
        helped = [len(parts.of_ticket(session, ids[number])) for number in hour[: ACCEPTED + ALONE]]
    assert states == sorted([ReturnState.UPHELD, ReturnState.REFUSED])
    assert helped == [1] * ACCEPTED + [0] * ALONE
    assert holders.count(city.other_department_id) == ELSEWHERE
    assert holders.count(city.department_id) == ACCEPTED + ALONE + NOTED + IN_BULK
