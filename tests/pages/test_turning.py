"""Every list turns both ways: what stood on the first page stands there again when one comes back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from hotline.core import clock
from hotline.core.permissions import Role
from hotline.intake import harassment
from hotline.intake.harassment_models import CallerLimit, CallerLimitState
from hotline.wiring import Installation
from routing.answers import parts
from routing.answers.part_models import PartKind
from tests.makers import dispatched_ticket, make_actor, make_department, make_region, make_user, sign_in, turned


def users(session: Session, now: datetime) -> str:
    """Make more accounts than a page holds."""
    for at in range(60):
        make_user(session, login=f"p{at:02}", name=f"第{at:02}行", now=now)
    return "/admin/users?q=第"


def regions(session: Session, _now: datetime) -> str:
    """Make more regions than a page holds."""
    for at in range(120):
        make_region(session, f"99{at:03}", name=f"第{at:02}行")
    return "/admin/regions?q=第"


def limits(session: Session, now: datetime) -> str:
    """Make more refused wishes than a page holds; the last one stands first."""
    ticket = dispatched_ticket(session, make_department(session), now=now)
    for at in reversed(range(40)):
        session.add(
            CallerLimit(
                ticket_id=ticket.id,
                phone_index=bytes([at]),
                reason=f"第{at:02}行",
                state=CallerLimitState.REFUSED,
                asked_at=now,
                asked_by=None,
                decided_at=now,
                decided_by=None,
                decided_words="不同意",
            )
        )
        session.flush()  # in this order
    assert len(harassment.limits(session, state=CallerLimitState.REFUSED).rows) < 40
    return "/harassment?tab=refused"


def parts_of(tab: str) -> Callable[[Session, datetime], str]:
    """Give one department more parts than its page holds."""

    def made(session: Session, now: datetime) -> str:
        lead, helper = make_department(session), make_department(session)
        lead_actor = make_actor(session, Role.RESPONDER, departments=[lead], now=now)
        make_actor(session, Role.RESPONDER, departments=[helper], login="helper", now=now)
        numbers = range(40) if tab == "open" else reversed(range(40))
        for at in numbers:
            ticket = dispatched_ticket(session, lead, now=now - timedelta(hours=2))
            parts.share(
                session,
                ticket_id=ticket.id,
                kind=PartKind.ASSIST,
                department_id=helper.id,
                words=f"第{at:02}行",
                by=lead_actor,
                now=now - timedelta(hours=1) + timedelta(minutes=at),
            )
        return f"/department/parts?tab={tab}"

    return made


@pytest.fixture(autouse=True)
def _at(now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: now)


def rows(page: str) -> str:
    """Return the rows of the list, without the forms beside it."""
    return page.partition("<tbody")[2].partition("</tbody>")[0]


@pytest.mark.parametrize(
    ("made", "login"),
    [
        pytest.param(users, "administrator", id="用户"),
        pytest.param(regions, "administrator", id="区域"),
        pytest.param(limits, "supervisor", id="骚扰来电"),
        pytest.param(parts_of("open"), "helper", id="协办任务"),
        pytest.param(parts_of("all"), "helper", id="协办任务，全部"),
    ],
)
def test_a_list_turns_onward_and_back(
    client: FlaskClient, tools: Installation, made: Callable[[Session, datetime], str], login: str
) -> None:
    now = clock.now()
    with tools.db.begin() as session:
        for role in (Role.ADMINISTRATOR, Role.SUPERVISOR):
            make_user(session, role, login=role.value, now=now)
        address = made(session, now)
    sign_in(client, login)
    first = client.get(address).text
    assert "第00行" in rows(first)
    second = client.get(turned(first, "next")).text
    assert "第00行" not in rows(second)
    assert "行" in rows(second)
    back = client.get(turned(second, "prev")).text
    assert rows(back) == rows(first)
    assert 'rel="prev"' not in back
    assert client.get(f"{address}&cursor=%00").status_code == 422
