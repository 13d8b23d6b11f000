"""A dispatcher rules on returns with the keyboard alone, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select

from hotline.core.db import Database
from hotline.core.permissions import Actor, Role
from hotline.people.models import User
from hotline.tickets.models import Ticket
from routing.duty.models import Return
from routing.duty.rules import ReturnState
from routing.models import Department
from routing.queries import current_dispatch, departments_of
from tests.browser.conftest import City, assert_accessible, assert_fits
from tests.conftest import NOW
from tests.makers import ask_return

pytestmark = pytest.mark.browser


@pytest.fixture
def returns(live_db: Database, city: City) -> dict[str, int]:
    """Two returns that wait, in the order in which the queue shows them; name of the ticket -> id of the return."""
    made = {}
    with live_db.begin() as session:
        user = session.scalars(select(User).where(User.login == "responder")).one()
        by = Actor(user_id=user.id, role=Role.RESPONDER, department_ids=departments_of(session, user.id))
        other = session.get_one(Department, city.other_department_id)
        for hours, name in ((4, "dispatched"), (2, "signed")):
            ticket = session.get_one(Ticket, city.ids[name])
            made[name] = ask_return(session, ticket, by=by, suggested=other, now=NOW - timedelta(hours=hours)).id
    return made


def state(database: Database, return_id: int) -> ReturnState:
    with database.read() as session:
        return session.get_one(Return, return_id).state


def test_a_dispatcher_upholds_with_1_and_refuses_with_2(
    page_as: Callable[..., Page], live_db: Database, city: City, returns: dict[str, int]
) -> None:
    page = page_as("dispatcher", "/dispatch/returns")
    rows = page.locator("tr[data-row]")
    expect(rows).to_have_count(2)
    assert_accessible(page)

    # The first row is the one in hand: `1` asks, and sends the ticket to the unit that was named.
    first = rows.first.get_by_role("link", name=city.numbers["dispatched"])
    expect(first).to_be_visible()
    page.keyboard.press("1")
    dialog = page.get_by_role("alertdialog")
    expect(dialog).to_contain_text("望川供热集团")
    assert state(live_db, returns["dispatched"]) is ReturnState.OPEN, "nothing is ruled before the question is answered"
    with page.expect_event("load"):
        page.keyboard.press("Enter")
    expect(page.get_by_text("的退单已同意")).to_be_visible()
    assert state(live_db, returns["dispatched"]) is ReturnState.UPHELD

    # What is left is the row in hand now; `2` leads to the refusal, which wants its reason.
    expect(rows).to_have_count(1)
    with page.expect_event("load"):
        page.keyboard.press("2")
    assert_fits(page)
    page.keyboard.press("Alt+1")
    expect(page.get_by_label("驳回理由")).not_to_have_value("")
    with page.expect_event("load"):
        page.get_by_label("驳回理由").press("Control+Enter")
    expect(page.get_by_text("没有待审核的退单")).to_be_visible()
    assert state(live_db, returns["signed"]) is ReturnState.REFUSED

    with live_db.read() as session:
        holders = {
            name: found.department_id
            for name in returns
            if (found := current_dispatch(session, city.ids[name])) is not None
        }
    assert holders == {"dispatched": city.other_department_id, "signed": city.department_id}
