"""The overview: every figure equals the list that it leads to, for exactly those who may see it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from html import unescape
from urllib.parse import parse_qsl, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update
from sqlalchemy.orm import Session

from callbacks import actions as callbacks
from callbacks.models import Callback
from callbacks.policy import Answers, Satisfaction, Solved
from hotline.core import clock
from hotline.core.permissions import SYSTEM, Actor, Role
from hotline.tickets import actions as tickets
from hotline.tickets.models import Ticket
from hotline.tickets.states import Outcome
from hotline.web import ticket_search
from hotline.wiring import Installation
from reports.indicators import ClosingFact, Rate, WatchReason, closed_today, rework_rate, watch_reasons
from reports.queries import REWORK_DAYS, closings, midnight, received
from routing import actions as routing
from routing.lists import ticket_list
from routing.models import Department
from tests.makers import (
    answered_ticket,
    count_queries,
    dispatched_ticket,
    make_actor,
    make_department,
    register_ticket,
    returned_ticket,
    sign_in,
)


@pytest.fixture(autouse=True)
def _at_one_instant(monkeypatch: pytest.MonkeyPatch, now: datetime) -> None:
    monkeypatch.setattr(clock, "now", lambda: now)


@pytest.fixture
def supervisor(tools: Installation, now: datetime) -> Actor:
    """A supervisor who can sign in as "supervisor"."""
    with tools.db.begin() as session:
        return make_actor(session, Role.SUPERVISOR, login="supervisor", now=now)


@pytest.fixture
def city(tools: Installation, supervisor: Actor, now: datetime) -> dict[str, int]:
    """One ticket at least of whatever the overview counts; department name -> id."""
    with tools.db.begin() as session:
        lamps, water = make_department(session, name="市城管局"), make_department(session, name="=市水务局")
        operator = make_actor(session, Role.OPERATOR, now=now)
        auditor = make_actor(session, Role.AUDITOR, now=now)
        responder = make_actor(session, Role.RESPONDER, departments=[lamps, water], now=now)
        register_ticket(session, by=operator, now=now - timedelta(hours=1))
        register_ticket(session, by=operator, now=now - timedelta(days=1))
        dispatched_ticket(session, lamps, now=now - timedelta(minutes=1))
        dispatched_ticket(session, lamps, urgency="特急", now=now - timedelta(minutes=20))
        dispatched_ticket(session, water, now=now - timedelta(days=40))
        signed = dispatched_ticket(session, water, urgency="紧急", now=now - timedelta(hours=20))
        routing.sign(session, ticket_id=signed.id, by=responder, now=now - timedelta(hours=19))
        answered_ticket(session, lamps, by=responder, now=now - timedelta(days=2))
        for number in range(3):
            _closed(session, lamps, responder, auditor, reworked=number == 0, now=now - timedelta(hours=number))
        _closed(session, lamps, responder, auditor, reworked=True, now=now - timedelta(days=3))
        _closed(session, lamps, responder, auditor, reworked=True, now=now - timedelta(days=8))
        made = register_ticket(session, by=operator, now=now - timedelta(hours=2))
        tickets.close_directly(
            session, ticket_id=made.ticket_id, version=1, answer="请到窗口办理。", by=operator, now=now
        )
        _ping_pong(session, water, responder, operator, now=now - timedelta(hours=8))
        again = register_ticket(session, by=operator, now=now - timedelta(hours=5))
        for _ in range(3):
            tickets.count_repeat(session, ticket_id=again.ticket_id, words="又来电", by=SYSTEM, now=now)
        return {lamps.name: lamps.id, water.name: water.id}


def cards(text: str) -> dict[str, tuple[str, str]]:
    """Return each figure of the page with its link."""
    found = re.findall(
        r'<a class="kpi [^"]*" href="([^"]*)">\s*<span class="kpi-words">(?:<svg.*?</svg>)?([^<]+)</span>\s*'
        r'<span class="kpi-figure"><strong[^>]*>([^<]+)</strong>',
        text,
        re.DOTALL,
    )
    return {words.strip(): (figure, unescape(href)) for href, words, figure in found}


def length(tools: Installation, client: FlaskClient, who: Actor, href: str) -> int:
    """Return how many tickets stand in the list that an address leads to."""
    parts = urlsplit(href)
    if parts.path.startswith("/supervision/list/"):
        return client.get(href).text.count("data-row")
    assert parts.path == "/tickets"
    given = dict(parse_qsl(parts.query))
    wanted = ticket_search.wanted(given)
    with tools.db.read() as session:
        page = ticket_list(session, who, wanted, now=clock.now(), limit=100)
    assert not page.next_cursor
    return len(page.rows)


def test_every_figure_is_the_length_of_the_list_that_it_leads_to(
    client: FlaskClient, tools: Installation, supervisor: Actor, city: Mapping[str, int]
) -> None:
    sign_in(client, "supervisor")
    shown = cards(client.get("/supervision").text)
    assert list(shown) == [
        *("待派单", "待签收", "办理中", "待回访", "未结差评"),
        *("签收超时", "今日到期", "已逾期", "重点关注"),
        *("今日受理", "昨日受理", "今日办结", "近 7 日重办率"),
    ]
    rate, reworked = shown.pop("近 7 日重办率")
    assert rate == "50.00"
    assert length(tools, client, supervisor, reworked) == 2
    counted = {words: int(figure) for words, (figure, _) in shown.items()}
    assert counted == {words: length(tools, client, supervisor, href) for words, (_, href) in shown.items()}
    for words, figure in {"签收超时": 2, "今日到期": 2, "已逾期": 1, "重点关注": 2, "今日办结": 4, "待回访": 1}.items():
        assert counted[words] == figure, words


def test_every_figure_of_a_department_is_the_length_of_its_list(
    client: FlaskClient, tools: Installation, supervisor: Actor, city: Mapping[str, int]
) -> None:
    sign_in(client, "supervisor")
    text = client.get("/supervision").text
    table = text.split('id="departments"')[1].split("</table>")[0]
    figures = re.findall(r'data-label="([^"]+)" class="num">(?:<svg.*?</svg>)?<a href="([^"]+)"[^>]*>(\d+)</a>', table)
    assert {words for words, _, _ in figures} == {"在办", "待签收", "签收超时", "24 小时内到期", "已逾期"}
    for words, href, figure in figures:
        assert length(tools, client, supervisor, unescape(href)) == int(figure), (words, href)


def test_the_overview_asks_twelve_questions_at_most(
    client: FlaskClient, tools: Installation, city: Mapping[str, int]
) -> None:
    sign_in(client, "supervisor")
    with count_queries(tools.db) as counted:
        assert client.get("/supervision").status_code == 200
    assert counted.count <= 12, counted.statements


def test_the_overview_of_an_empty_city_says_that_there_is_nothing(client: FlaskClient, supervisor: Actor) -> None:
    sign_in(client, "supervisor")
    text = client.get("/supervision").text
    assert cards(text)["近 7 日重办率"][0] == "—"
    assert {figure for figure, _ in cards(text).values()} == {"0", "—"}
    for words in ("没有逾期的工单", "今天没有到期的工单", "没有单位在办的工单"):
        assert words in text


def test_departments_stand_in_the_order_that_was_asked_for(
    client: FlaskClient, supervisor: Actor, city: Mapping[str, int]
) -> None:
    sign_in(client, "supervisor")

    def names(query: str) -> list[str]:
        text = client.get(f"/supervision{query}").text
        return re.findall(r'data-label="承办单位" class="title wide">([^<]+)<', text)

    assert names("?sort=name&dir=asc") == ["=市水务局", "市城管局"]
    assert names("?sort=name&dir=desc") == ["市城管局", "=市水务局"]
    assert names("?sort=overdue")[0] == "=市水务局"
    assert names("?sort=overdue&dir=asc")[0] == "市城管局"
    assert sorted(names("?sort=id;drop&dir=sideways")) == ["=市水务局", "市城管局"]
    assert 'aria-sort="descending"' in client.get("/supervision?sort=overdue").text


def test_live_figures_carry_the_names_that_the_stream_tells(
    client: FlaskClient, supervisor: Actor, city: Mapping[str, int]
) -> None:
    from hotline.web.live import Figures, shown_to

    sign_in(client, "supervisor")
    main = client.get("/supervision").text.split("<main")[1]
    named = set(re.findall(r'data-counter="([^"]+)"', main))
    assert {"tickets.overdue", "tickets.due_today", "tickets.state.registered", "callbacks.waiting"} <= named
    assert named <= set(shown_to(supervisor, Figures()))


def test_what_is_watched_says_why(client: FlaskClient, supervisor: Actor, city: Mapping[str, int]) -> None:
    sign_in(client, "supervisor")
    text = client.get("/supervision").text.split("重点关注</h2>")[1].split("各单位在办情况</h2>")[0]
    assert "退单拉锯" in text
    assert "反复反映" in text
    assert "多次重办" not in text


def test_the_table_goes_out_as_a_file_that_runs_nothing(
    client: FlaskClient, supervisor: Actor, city: Mapping[str, int]
) -> None:
    sign_in(client, "supervisor")
    answer = client.get("/supervision/departments.csv?sort=name&dir=asc")
    assert answer.mimetype == "text/csv"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="departments-20261008-1000.csv"'
    assert answer.data.startswith(b"\xef\xbb\xbf")
    heading, *rows = csv.reader(io.StringIO(answer.data.decode("utf-8-sig")))
    assert heading == ["承办单位", "在办", "待签收", "签收超时", "24 小时内到期", "已逾期", "统计时间"]
    assert [row[0] for row in rows] == ["'=市水务局", "市城管局"]
    assert rows[1][1:] == ["2", "2", "1", "1", "0", "2026-10-08 10:00:00"]


def test_a_list_is_turned_page_by_page(
    client: FlaskClient, tools: Installation, supervisor: Actor, now: datetime
) -> None:
    with tools.db.begin() as session:
        operator = make_actor(session, Role.OPERATOR, now=now)
        for _ in range(60):
            made = register_ticket(session, by=operator, now=now)
            tickets.close_directly(
                session, ticket_id=made.ticket_id, version=1, answer="已答复。", by=operator, now=now
            )
    sign_in(client, "supervisor")
    first = client.get("/supervision/list/closed_today").text
    assert first.count("data-row") == 50
    onward = re.search(r'href="([^"]*cursor=[^"]*)"', first)
    assert onward
    second = client.get(unescape(onward[1])).text
    assert second.count("data-row") == 10
    assert "首页" in second
    numbers = re.findall(r"/tickets/(\d{15})", first + second)
    assert len(set(numbers)) == 60


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/supervision/list/nothing", 404),
        ("/supervision/list/watched?cursor=nonsense", 422),
        ("/supervision/list/watched?department=abc", 422),
    ],
)
def test_what_cannot_be_listed_is_said(client: FlaskClient, supervisor: Actor, path: str, status: int) -> None:
    sign_in(client, "supervisor")
    assert client.get(path).status_code == status


@pytest.mark.parametrize("path", ["/supervision", "/supervision/list/watched", "/supervision/departments.csv"])
def test_the_figures_are_not_for_everybody(app: Flask, tools: Installation, now: datetime, path: str) -> None:
    with tools.db.begin() as session:
        for role in (Role.OPERATOR, Role.RESPONDER, Role.AUDITOR, Role.ADMINISTRATOR):
            make_actor(session, role, login=role.value, now=now)
    for role in (Role.OPERATOR, Role.RESPONDER, Role.AUDITOR):
        client = app.test_client()
        sign_in(client, role.value)
        assert client.get(path).status_code == 403, role
    administrator = app.test_client()
    sign_in(administrator, "administrator")
    assert administrator.get(path).status_code == 200


# --- the definitions, counted by hand


FACTS = [
    ClosingFact(outcome=Outcome.CONFIRMED, reworked=False, tickets=5, today=True),
    ClosingFact(outcome=Outcome.CONFIRMED, reworked=True, tickets=2),
    ClosingFact(outcome=Outcome.UNREACHABLE, reworked=False, tickets=2),
    ClosingFact(outcome=Outcome.DECLINED, reworked=True, tickets=1, today=True),
    ClosingFact(outcome=Outcome.ANSWERED_DIRECTLY, reworked=False, tickets=7, today=True),
    ClosingFact(outcome=Outcome.REFUSED, reworked=False, tickets=1),
    ClosingFact(outcome=Outcome.TRANSFERRED, reworked=False, tickets=1),
    ClosingFact(outcome=Outcome.WITHDRAWN, reworked=True, tickets=1),
]


def test_three_of_ten_closings_had_been_reworked_and_ten_others_do_not_count() -> None:
    rate = rework_rate(FACTS)
    assert (rate.numerator, rate.denominator, str(rate.percent)) == (3, 10, "30.00")
    assert rate.excluded == {"answered_directly": 7, "refused": 1, "transferred": 1, "withdrawn": 1}


def test_whatever_was_closed_today_counts_for_today() -> None:
    assert closed_today(FACTS) == 13


def test_where_no_unit_closed_anything_there_is_no_rate() -> None:
    assert rework_rate(FACTS[4:7]) == Rate(
        numerator=0, denominator=0, excluded={"answered_directly": 7, "refused": 1, "transferred": 1}
    )
    assert rework_rate([]).percent is None


@pytest.mark.parametrize(
    ("rework_rounds", "returned", "repeats", "reasons"),
    [
        (0, 0, 0, ()),
        (1, 1, 2, ()),
        (2, 0, 0, (WatchReason.REWORKED,)),
        (0, 2, 0, (WatchReason.PING_PONG,)),
        (0, 0, 3, (WatchReason.REPEATED,)),
        (5, 1, 9, (WatchReason.REWORKED, WatchReason.REPEATED)),
        (2, 2, 3, (WatchReason.REWORKED, WatchReason.PING_PONG, WatchReason.REPEATED)),
    ],
)
def test_a_ticket_is_watched_from_the_second_rework_or_return_and_the_third_repeat(
    rework_rounds: int, returned: int, repeats: int, reasons: tuple[WatchReason, ...]
) -> None:
    assert watch_reasons(rework_rounds=rework_rounds, returned=returned, repeats=repeats) == reasons


def test_days_are_those_of_china(session: Session, now: datetime) -> None:
    operator = make_actor(session, Role.OPERATOR, now=now)
    start = midnight(now)
    assert (now - start) == timedelta(hours=10)
    for at in (start, start - timedelta(seconds=1), start - timedelta(days=1), start - timedelta(days=1, seconds=1)):
        register_ticket(session, by=operator, now=at)
    found = received(session, now=now)
    assert (found.today, found.yesterday) == (1, 2)


def test_closings_older_than_the_window_are_left_out(session: Session, now: datetime) -> None:
    operator = make_actor(session, Role.OPERATOR, now=now)
    for at in (now, midnight(now), midnight(now) - timedelta(seconds=1), now - REWORK_DAYS - timedelta(seconds=1)):
        made = register_ticket(session, by=operator, now=at)
        tickets.close_directly(session, ticket_id=made.ticket_id, version=1, answer="已答复。", by=operator, now=at)
    session.flush()
    facts = closings(session, now=now)
    assert sorted((fact.today, fact.tickets) for fact in facts) == [(False, 1), (True, 2)]


def _closed(
    session: Session, unit: Department, responder: Actor, auditor: Actor, *, reworked: bool, now: datetime
) -> None:
    """Close a ticket by a callback; its rounds are written by hand, for their way is told elsewhere."""
    ticket = answered_ticket(session, unit, by=responder, now=now - timedelta(days=1))
    row = session.query(Callback).filter_by(ticket_id=ticket.id).one()
    said = Answers(replied=True, solved=Solved.SOLVED, process=Satisfaction.SATISFIED, result=Satisfaction.SATISFIED)
    callbacks.record_result(session, callback_id=row.id, answers=said, version=None, by=auditor, now=now)
    session.flush()
    if reworked:
        session.execute(update(Ticket).where(Ticket.id == ticket.id).values(rework_rounds=1))
        session.expire(ticket)


def _ping_pong(session: Session, unit: Department, responder: Actor, operator: Actor, *, now: datetime) -> None:
    ticket = dispatched_ticket(session, unit, now=now)
    for turn in range(2):
        at = now + timedelta(minutes=10 * turn)
        if turn:
            routing.dispatch(
                session, ticket_id=ticket.id, version=None, department_id=unit.id, reason="再派", by=operator, now=at
            )
        returned_ticket(session, ticket, by=responder, now=at + timedelta(minutes=5))
