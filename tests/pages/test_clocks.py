"""The administrator's calendar and editions of limits: shown, then confirmed; refused with the field named."""

from __future__ import annotations

import itertools
import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from typing_extensions import override
from werkzeug.datastructures import MultiDict

from hotline.core import clock
from hotline.core.clock import local_day
from hotline.core.permissions import Role
from hotline.tickets.models import Ticket
from hotline.web import menu
from hotline.wiring import Installation
from routing.clocks import days, recounting
from routing.clocks.calendars import ALARM_DAYS_AHEAD, china
from routing.clocks.editions import in_force
from routing.clocks.models import CalendarDay, ProfileEdition, Recount
from routing.clocks.profiles import load, written
from routing.models import Department, Dispatch
from tests.makers import dispatched_ticket, make_actor, make_department, make_user, sign_in

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
    assert "已完成，核算 1 件，变动 1 件" in page
    assert "机关事务管理局 9 号" not in browser.get("/admin/calendar?unit=parks").text.split("今后六十天")[-1]
    back = {"day": DAY.isoformat(), "kind": "back", "unit": "lighting"}
    assert "恢复原有安排" in browser.post("/admin/calendar", data=back).text
    assert browser.post("/admin/calendar", data={**back, "expected": "1"}).status_code == 303
    with tools.db.read() as session:
        assert [one.row.ended_at is not None for one in days.listed(session).rows] == [True]
    assert "已取消" in browser.get("/admin/calendar").text


def test_the_notice_of_the_next_year_is_confirmed_where_the_calendar_is_short(
    browser: FlaskClient, tools: Installation
) -> None:
    known = china().confirmed_until
    with tools.db.read() as session:
        short = days.calendars(session).city.confirmed_days_ahead(TODAY) < ALARM_DAYS_AHEAD
    assert (f"确认 {known.year + 1} 年放假安排" in browser.get("/admin/calendar").text) is short
    assert f"确认 {known.year + 1} 年放假安排" not in browser.get("/admin/calendar?unit=lighting").text
    bare = browser.post("/admin/calendar/years", data={"year": known.year + 1, "basis": ""})
    assert bare.status_code == 422
    assert "请填写依据" in bare.text
    far = browser.post("/admin/calendar/years", data={"year": known.year + 2, "basis": "国办发明电〔2099〕7号"})
    assert far.status_code == 422
    assert f"下一个是 {known.year + 1} 年" in far.text
    assert "国办发明电〔2099〕7号" in far.text or not short
    done = browser.post(
        "/admin/calendar/years", data={"year": known.year + 1, "basis": "国办发明电〔2099〕7号"}, follow_redirects=True
    )
    assert f"{known.year + 1} 年由 管理员甲" in done.text
    assert f"已确认到 {(known.replace(year=known.year + 1) - TODAY).days} 天之后" in done.text
    assert "放假安排只确认到" not in browser.get("/admin/settings").text


def test_a_unit_below_sees_where_its_day_comes_from(browser: FlaskClient, tools: Installation) -> None:
    with tools.db.begin() as session:
        above = session.scalars(select(Department).where(Department.code == "lighting")).one()
        make_department(session, "lamps", name="路灯维修队", parent_id=above.id)
    browser.post("/admin/calendar", data={**REST, "expected": "1"})
    ahead = browser.get("/admin/calendar?unit=lamps").text.split("今后六十天")[-1]
    assert "机关事务管理局 9 号（随上级单位" in ahead


def test_a_big_order_says_how_many_at_least_and_at_most_and_how_far_it_is(
    browser: FlaskClient, tools: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recounting, "MOST_SHOWN", 1)
    monkeypatch.setattr(recounting, "BATCH", 1)
    wish = {**REST, "unit": ""}
    shown = browser.post("/admin/calendar", data=wish).text
    assert "至少 1 件、至多 2 件" in shown
    assert 'name="expected" value="2"' in shown
    browser.post("/admin/calendar", data={**wish, "expected": "2"})
    assert "已核算 0 / 2 件，变动 0 件" in browser.get("/admin/calendar").text
    carried_out(tools)
    part = browser.get("/admin/calendar/orders").text
    assert "已核算 1 / 2 件，变动 1 件" in part
    assert 'hx-trigger="every 2s"' in part
    carried_out(tools)
    carried_out(tools)
    done = browser.get("/admin/calendar/orders").text
    assert "已完成，核算 2 件，变动 2 件" in done
    assert "hx-trigger" not in done


def test_the_unit_sees_at_its_desk_that_a_deadline_was_moved(
    browser: FlaskClient, client: FlaskClient, tools: Installation
) -> None:
    with tools.db.begin() as session:
        lighting = session.scalars(select(Department).where(Department.code == "lighting")).one()
        make_actor(session, Role.RESPONDER, departments=[lighting], login="lamp.keeper", now=clock.now())
        number = session.scalars(
            select(Ticket.number).join(Dispatch).where(Dispatch.department_id == lighting.id)
        ).one()
    browser.post("/admin/calendar", data={**REST, "expected": "1"})
    carried_out(tools)
    client.post("/sign-out")
    sign_in(client, "lamp.keeper")
    assert "原为" in client.get("/department").text
    shown = client.get(f"/department/{number}").text
    assert re.search(rf"办理时限已于 .{{16}} 由 {DUE} 18:00 调整为\s+{THEN} 18:00", shown)
    assert "如曾告知期限" not in shown
    # Somebody was reached before the date was moved: what he was told, only the unit knows.
    with tools.db.begin() as session:
        row = session.scalars(select(Dispatch).join(Ticket).where(Ticket.number == number)).one()
        row.contacted_at = clock.now() - timedelta(minutes=5)
    assert "如曾告知期限，请再次告知" in client.get(f"/department/{number}").text


@pytest.mark.parametrize(("least", "told"), [(100_000, True), (0, False)])
def test_the_menu_calls_for_the_next_notice_on_every_page_of_who_can_bring_it_in(
    browser: FlaskClient,
    client: FlaskClient,
    tools: Installation,
    monkeypatch: pytest.MonkeyPatch,
    *,
    least: int,
    told: bool,
) -> None:
    monkeypatch.setattr(menu, "ALARM_DAYS_AHEAD", least)
    assert ("放假安排只确认到" in browser.get("/admin/profiles").text) is told
    with tools.db.begin() as session:
        make_user(session, Role.DISPATCHER, login="plain.dispatcher", now=clock.now())
    client.post("/sign-out")
    sign_in(client, "plain.dispatcher")
    assert "放假安排只确认到" not in client.get("/dispatch").text


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


def fields_of(page: str) -> MultiDict[str, str]:
    """Return what a browser would send of the form of an edition as it stands on a page, in its order."""
    found: MultiDict[str, str] = MultiDict()

    class Reader(HTMLParser):
        inside = False
        name = area = ""

        @override
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            given = {key: value or "" for key, value in attrs}
            if tag == "form":
                self.inside = given.get("id") == "edition"
            if not self.inside:
                return
            name, kind = given.get("name", ""), given.get("type", "text")
            if tag == "input" and name and (kind not in {"checkbox", "radio"} or "checked" in given):
                found.add(name, given.get("value", ""))
            elif tag == "select":
                self.name = name
            elif tag == "option" and "selected" in given:
                found.add(self.name, given["value"])

        @override
        def handle_endtag(self, tag: str) -> None:
            self.inside = self.inside and tag != "form"

    Reader().feed(page)
    return found


def edition(browser: FlaskClient, *, start: str = "default", **changed: str) -> MultiDict[str, str]:
    """Return the form that starts from a profile, complaints shortened from ten working days to eight."""
    form = fields_of(browser.get(f"/admin/profiles/new?start={start}").text)
    usual = {"version": "2026.2", "effective_on": TODAY.isoformat(), "basis": "市政府令第 9 号", "do": "save"}
    for name, value in {**usual, f"{COMPLAINT}.handle.amount": "8", **changed}.items():
        form[name] = value
    return form


#: The places of two rows in the shipped profile, where the form counts from nought.
COMPLAINT, GENERAL = (
    next(n for n, row in enumerate(load("default").rows) if row.rule_id == name)
    for name in ("complaint-report", "general")
)


def test_an_edition_is_written_compared_confirmed_and_followed(browser: FlaskClient, tools: Installation) -> None:
    made = browser.post("/admin/profiles/new", data=edition(browser))
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
    assert "核算 2 件，变动 2 件" in browser.get(address).text
    assert "default 2026.2" in browser.get("/admin/profiles").text
    assert browser.post(f"{address}/withdraw").status_code == 409


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"version": ""}, "版本号：请填写版本号"),
        ({"version": "2026.1"}, "已经存在且内容不同"),
        ({"effective_on": YESTERDAY}, "生效日期不能早于今天"),
        ({"effective_on": "soon"}, "日期格式不正确"),
        ({"basis": ""}, "请填写依据"),
        ({"day_ends": "25:00"}, "末日截止时刻：请写 17:00"),
        ({f"{COMPLAINT}.handle.amount": "八"}, f"第 {COMPLAINT + 1} 条 办理时限：“八”不是整数"),
        ({f"{COMPLAINT}.handle.amount": "0"}, "超出允许范围"),
        ({f"{COMPLAINT}.handle.amount": "9" * 30}, "不是整数"),
        ({f"{COMPLAINT}.handle.unit": "weeks/24x7"}, "请从列表中选择单位"),
        ({f"{COMPLAINT}.handle.amount": ""}, f"第 {COMPLAINT + 1} 条：没有写任何时限"),
        ({f"{COMPLAINT}.sla_class": "即办"}, "没有规定“一般”的“投诉”何时办结"),
        ({"0.urgency": "", f"{COMPLAINT}.feedback": "x"}, f"第 {COMPLAINT + 1} 条 提前反馈"),
        ({f"{COMPLAINT}.type": "咨询"}, f"第 {COMPLAINT + 1} 条永远不会用到：前面的第 {COMPLAINT - 1} 条"),
        ({"extension.max_workdays": "很久"}, "一次延期最长（个工作日）：应为 0 至"),
        ({"cards.short_percent": "101"}, "短时限剩余百分之几亮黄牌：不能超过 100"),
        ({"kind_days.0": "两天"}, "挂起事由 1：应为 0 至"),
    ],
)
def test_an_edition_is_refused_by_field_and_what_was_typed_stays(
    browser: FlaskClient, tools: Installation, changed: dict[str, str], words: str
) -> None:
    form = edition(browser, note="只在这里写过的说明", **changed)
    answer = browser.post("/admin/profiles/new", data=form)
    assert answer.status_code == 422
    assert words in re.sub(r"<[^>]*>", "", answer.text)
    assert "只在这里写过的说明" in answer.text
    again = fields_of(answer.text)
    assert again.getlist(f"{COMPLAINT}.handle.amount") == form.getlist(f"{COMPLAINT}.handle.amount")
    assert [again[f"kind.{n}"] for n in range(6)] == [form[f"kind.{n}"] for n in range(6)]
    with tools.db.read() as session:
        assert session.scalars(select(ProfileEdition)).all() == []


def test_everything_that_is_wrong_is_told_at_once(browser: FlaskClient) -> None:
    wrong = {"version": "", "basis": "", f"{COMPLAINT}.handle.amount": "八", f"{GENERAL}.sign.amount": "九"}
    answer = browser.post("/admin/profiles/new", data=edition(browser, **wrong))
    for words in ("请填写版本号", "请填写依据", "“八”不是整数", "“九”不是整数"):
        assert words in answer.text
    # The rows that must change stand open, the others stay folded.
    opened = re.findall(r'<details class="limits-row" id="f-row\.(\d+)" open>', answer.text)
    assert opened == [str(COMPLAINT), str(GENERAL)]


def test_a_look_at_what_would_change_saves_nothing(browser: FlaskClient, tools: Installation) -> None:
    answer = browser.post("/admin/profiles/new", data=edition(browser, do="preview", version="", basis=""))
    assert answer.status_code == 200
    assert "在办工单中有 <strong>2</strong> 件" in answer.text
    assert "办理时限 10 个工作日 → 8 个工作日" in answer.text
    assert fields_of(answer.text)[f"{COMPLAINT}.handle.amount"] == "8"
    with tools.db.read() as session:
        assert session.scalars(select(ProfileEdition)).all() == []


def test_rows_are_added_moved_and_removed_without_a_script(browser: FlaskClient, tools: Installation) -> None:
    page = browser.post("/admin/profiles/new", data=edition(browser, do=f"insert:{COMPLAINT}")).text
    form = fields_of(page)
    key = form.getlist("row")[COMPLAINT]  # the new row stands where the other stood
    assert key not in {str(COMPLAINT), str(GENERAL)}
    assert f'id="f-row.{key}" open' in page
    for name, value in {"type": "举报", "handle.amount": "6", "basis": "举报从快"}.items():
        form[f"{key}.{name}"] = value
    form["do"] = f"down:{key}"
    page = browser.post("/admin/profiles/new", data=form).text
    form = fields_of(page)
    assert form.getlist("row").index(key) == COMPLAINT + 1
    form["do"] = "save"
    refused = browser.post("/admin/profiles/new", data=form)
    assert "永远不会用到" in refused.text  # below the row that takes every report
    form = fields_of(refused.text)
    form["do"] = f"up:{key}"
    form = fields_of(browser.post("/admin/profiles/new", data=form).text)
    form["do"] = "save"
    address = browser.post("/admin/profiles/new", data=form).headers["Location"]
    with tools.db.read() as session:
        [saved] = session.scalars(select(ProfileEdition))
    row = saved.body["rows"][COMPLAINT]
    assert (row["id"], row["type"], row["handle"]["workdays"], row["basis"]) == ("row-1", ["举报"], 6, "举报从快")
    # Changed again, the draft replaces itself.
    form = fields_of(browser.get(f"/admin/profiles/new?start={saved.id}").text)
    assert (form["version"], form["replaces"]) == ("2026.2", str(saved.id))
    form["do"] = f"remove:{COMPLAINT}"
    form = fields_of(browser.post("/admin/profiles/new", data=form).text)
    assert len(form.getlist("row")) == len(saved.body["rows"]) - 1
    form["do"] = "save"
    browser.post("/admin/profiles/new", data=form)
    assert "已撤回" in browser.get(address).text


def test_experts_take_a_file_out_and_bring_one_in(browser: FlaskClient) -> None:
    file = browser.get("/admin/profiles/file?start=default")
    assert (file.status_code, file.text) == (200, written("default"))
    assert browser.get("/admin/profiles/file?start=nowhere").status_code == 404
    changed = re.sub(r'(id = "complaint-report".*?workdays = )10', r"\g<1>7", file.text, flags=re.DOTALL)
    answer = browser.post("/admin/profiles/new", data=edition(browser, do="import", text=changed))
    form = fields_of(answer.text)
    assert form[f"{COMPLAINT}.handle.amount"] == "7"
    assert (form["version"], form["basis"]) == ("2026.2", "市政府令第 9 号")
    for text, words in (("name =", "不是有效的 TOML"), ("", "请粘贴"), ("name = 'a'", "没有任何规则")):
        refused = browser.post("/admin/profiles/new", data=edition(browser, do="import", text=text))
        assert refused.status_code == 422
        assert words in refused.text
        assert fields_of(refused.text)[f"{COMPLAINT}.handle.amount"] == "8"


def test_an_edition_is_taken_back_before_its_day(browser: FlaskClient) -> None:
    address = browser.post("/admin/profiles/new", data=edition(browser, effective_on=DAY.isoformat())).headers[
        "Location"
    ]
    browser.post(f"{address}/confirm")
    assert "待生效" in browser.get(address).text
    assert browser.post(f"{address}/withdraw").status_code == 303
    assert "已撤回" in browser.get("/admin/profiles").text
    assert browser.get("/admin/profiles/9999").status_code == 404
    assert browser.get("/admin/profiles/new?start=nowhere").status_code == 404
