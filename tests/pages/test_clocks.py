"""The administrator's calendar and editions of limits: shown, then confirmed; refused with the field named."""

from __future__ import annotations

import itertools
import re
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from hotline.core import clock
from hotline.core.clock import local_day
from hotline.core.permissions import Role
from hotline.wiring import Installation
from routing.clocks import days, recounting
from routing.clocks.calendars import china
from routing.clocks.editions import in_force
from routing.clocks.models import CalendarDay, ProfileEdition, Recount
from routing.clocks.profiles import written
from tests.makers import dispatched_ticket, make_department, make_user, sign_in

#: Pages live by the real clock. A complaint of now is due after ten working days; the third is the day in question.
TODAY = local_day(clock.now())
WORKDAYS = list(itertools.islice(china().workdays_after(TODAY), 11))
DAY, DUE, THEN = WORKDAYS[2], WORKDAYS[9], WORKDAYS[10]
REST = {"day": DAY.isoformat(), "kind": "rest", "reason": "机关事务管理局 9 号", "unit": "lighting"}
YESTERDAY = (TODAY - timedelta(days=1)).isoformat()


@pytest.fixture
def browser(client: FlaskClient, tools: Installation) -> FlaskClient:
    now = clock.now()
    with tools.db.begin() as session:
        make_user(session, Role.ADMINISTRATOR, login="the.admin", name="管理员甲", now=now)
        lighting = make_department(session, "lighting", name="市路灯管理处")
        dispatched_ticket(session, lighting, now=now, request_type="投诉")
        dispatched_ticket(session, make_department(session, "parks", name="市公园处"), now=now, request_type="投诉")
    sign_in(client, "the.admin")
    return client


def carried_out(tools: Installation) -> int:
    with tools.db.begin() as session:
        order = session.scalars(select(Recount).order_by(Recount.id.desc())).first()
        assert order is not None
        return recounting.carry_on(session, recount_id=order.id, now=clock.now())


def test_a_day_of_a_unit_is_shown_confirmed_listed_and_taken_back(browser: FlaskClient, tools: Installation) -> None:
    shown = browser.post("/admin/calendar", data=REST)
    assert shown.status_code == 200
    assert "将有 <strong>1</strong> 件在办工单" in shown.text
    assert f"{DUE} 18:00 → {THEN} 18:00：1 件" in shown.text
    with tools.db.read() as session:
        assert session.scalars(select(CalendarDay)).all() == []
    done = browser.post("/admin/calendar", data={**REST, "expected": "1"})
    assert (done.status_code, done.headers["Location"]) == (303, "/admin/calendar?unit=lighting")
    assert carried_out(tools) == 1
    page = browser.get("/admin/calendar?unit=lighting").text
    assert "工作日历：市路灯管理处" in page
    assert "机关事务管理局 9 号（本单位）" in page
    assert "已完成，变动 1 件" in page
    assert "机关事务管理局 9 号" not in browser.get("/admin/calendar?unit=parks").text.split("今后六十天")[-1]
    back = {"day": DAY.isoformat(), "kind": "back", "unit": "lighting"}
    assert "恢复原有安排" in browser.post("/admin/calendar", data=back).text
    assert browser.post("/admin/calendar", data={**back, "expected": "1"}).status_code == 303
    with tools.db.read() as session:
        assert [one.row.ended_at is not None for one in days.listed(session).rows] == [True]
    assert "已取消" in browser.get("/admin/calendar").text


def test_a_day_of_the_city_moves_both(browser: FlaskClient, tools: Installation) -> None:
    wish = {**REST, "unit": ""}
    assert "将有 <strong>2</strong> 件" in browser.post("/admin/calendar", data=wish).text
    assert browser.post("/admin/calendar", data={**wish, "expected": "2"}).status_code == 303
    assert carried_out(tools) == 2


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"day": "soon"}, "请选择日期"),
        ({"day": YESTERDAY}, "不能更改已经过去的日期"),
        ({"kind": ""}, "请选择放假或上班"),
        ({"reason": ""}, "请填写依据"),
        ({"unit": "nobody"}, "没有这个承办单位"),
        ({"hours": "09:00-12:00"}, "休息日不填工作时段"),
        ({"expected": "1", "day": YESTERDAY}, "不能更改已经过去的日期"),
    ],
)
def test_a_day_is_refused_and_what_was_typed_stays(browser: FlaskClient, changed: dict[str, str], words: str) -> None:
    answer = browser.post("/admin/calendar", data={**REST, "reason": "通知甲", **changed})
    assert answer.status_code == 422
    assert words in answer.text
    assert ("通知甲" in answer.text) or "reason" in changed


def test_more_tickets_than_were_shown_ask_for_another_look(browser: FlaskClient) -> None:
    answer = browser.post("/admin/calendar", data={**REST, "expected": "0"})
    assert answer.status_code == 409
    assert "由 0 件增加到 1 件" in answer.text


def test_an_unknown_unit_has_no_calendar(browser: FlaskClient) -> None:
    assert browser.get("/admin/calendar?unit=nobody").status_code == 404
    assert browser.get("/admin/calendar?cursor=x").status_code == 422


def edition(**changed: str) -> dict[str, str]:
    text = re.sub(r'(id = "complaint-report".*?workdays = )10', r"\g<1>8", written("default"), flags=re.DOTALL)
    return {"version": "2026.2", "effective_on": TODAY.isoformat(), "basis": "市政府令第 9 号", "text": text, **changed}


def test_an_edition_is_written_compared_confirmed_and_followed(browser: FlaskClient, tools: Installation) -> None:
    assert "complaint-report" in browser.get("/admin/profiles/new?start=default").text
    made = browser.post("/admin/profiles/new", data=edition())
    assert made.status_code == 303
    address = made.headers["Location"]
    draft = browser.get(address).text
    assert "在办工单中有 <strong>2</strong> 件" in draft
    assert "办理时限 10 个工作日 → 8 个工作日" in draft
    assert "市路灯管理处 1" in draft
    assert "改按这一版</button>" not in draft
    with tools.db.read() as session:
        assert in_force(session, today=TODAY) is None
    assert browser.post(f"{address}/confirm").status_code == 303
    page = browser.get(address).text
    assert "现行" in page
    assert 'name="classes" value="|投诉|一般|"' in page
    order = {"classes": "|投诉|一般|", "count:|投诉|一般|": "2", "words": "第 20 次常务会议", "sure": "yes"}
    for missing in ("words", "sure", "classes"):
        refused = browser.post(f"{address}/move", data={name: said for name, said in order.items() if name != missing})
        assert refused.status_code == 422, missing
    assert browser.post(f"{address}/move", data={**order, "count:|投诉|一般|": "1"}).status_code == 409
    assert browser.post(f"{address}/move", data=order).status_code == 303
    assert carried_out(tools) == 2
    assert "变动 2 件" in browser.get(address).text
    assert "default 2026.2" in browser.get("/admin/profiles").text
    assert browser.post(f"{address}/withdraw").status_code == 409


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"text": "name ="}, "不是有效的 TOML"),
        ({"version": "2026.1"}, "已经存在且内容不同"),
        ({"effective_on": YESTERDAY}, "生效日期不能早于今天"),
        ({"effective_on": "soon"}, "日期格式不正确"),
        ({"basis": ""}, "请填写依据"),
    ],
)
def test_an_edition_is_refused_and_what_was_typed_stays(
    browser: FlaskClient, tools: Installation, changed: dict[str, str], words: str
) -> None:
    answer = browser.post("/admin/profiles/new", data=edition(**changed))
    assert answer.status_code == 422
    assert words in answer.text
    assert "市政府令第 9 号" in answer.text or "basis" in changed
    with tools.db.read() as session:
        assert session.scalars(select(ProfileEdition)).all() == []


def test_an_edition_is_taken_back_before_its_day(browser: FlaskClient) -> None:
    address = browser.post("/admin/profiles/new", data=edition(effective_on=DAY.isoformat())).headers["Location"]
    browser.post(f"{address}/confirm")
    assert "待生效" in browser.get(address).text
    assert browser.post(f"{address}/withdraw").status_code == 303
    assert "已撤回" in browser.get("/admin/profiles").text
    assert browser.get("/admin/profiles/9999").status_code == 404
    assert browser.get("/admin/profiles/new?start=nowhere").status_code == 404
