"""The query over all tickets and the page of one: what each person sees, may do, and is refused."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from openpyxl import load_workbook
from PIL import Image
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from callbacks import actions as callbacks
from callbacks import queries as callback_queries
from callbacks.policy import Answers, AttemptOutcome, Satisfaction, Solved
from hotline.core import clock
from hotline.core.db import Database
from hotline.core.permissions import Actor, Role
from hotline.core.sealing import Keyring
from hotline.tickets import actions
from hotline.tickets.models import Ticket
from hotline.tickets.queries import attachments, by_number, timeline
from hotline.tickets.states import Act, Outcome, State
from hotline.web import present
from hotline.web import tickets as desk
from hotline.wiring import Installation, wired
from routing import actions as routing
from routing.models import Department, Suggestion
from tests.conftest import NOW, copy_of
from tests.makers import (
    answered_ticket,
    count_queries,
    dispatched_ticket,
    feedback,
    make_actor,
    make_category,
    make_department,
    make_region,
    register_ticket,
    sign_in,
)

PHONE = "13900001234"
CONTENT = "幸福路路灯坏了，请联系我13900001234，谢谢。"

#: Why somebody looks at personal data, as the page sends it.
LOOK = {"reason": "contact"}


@dataclass(frozen=True)
class City:
    """Two departments, an account per role, and one ticket in the hands of the first department."""

    number: str
    ticket_id: int
    mine: int
    other: int


@dataclass(frozen=True)
class House:
    """The city with the application that serves it, at one instant."""

    city: City
    tools: Installation
    app: Flask
    now: datetime

    @property
    def number(self) -> str:
        return self.city.number

    @property
    def ticket_id(self) -> int:
        return self.city.ticket_id

    @property
    def mine(self) -> int:
        return self.city.mine

    @property
    def other(self) -> int:
        return self.city.other

    def browse(self, login: str) -> FlaskClient:
        """Return a browser in which this login has signed in."""
        client = self.app.test_client()
        sign_in(client, login)
        return client


@pytest.fixture(scope="module")
def keyring() -> Keyring:
    return Keyring.for_tests()


@pytest.fixture(scope="module")
def template(postgres: str, keyring: Keyring) -> Iterator[tuple[str, City]]:
    """Make the city once, in a database that each test gets a copy of: passwords are slow to make on purpose."""
    with copy_of(postgres) as address:
        database = wired(address, keyring=keyring, pool=1)
        with database.begin() as session:
            city = make_city(session, now=NOW)
        database.close()
        yield address, city


@pytest.fixture
def db(template: tuple[str, City], keyring: Keyring) -> Iterator[Database]:
    with copy_of(template[0]) as address:
        database = wired(address, keyring=keyring, pool=5)
        yield database
        database.close()


@pytest.fixture
def house(  # noqa: PLR0917 - what a house is made of
    template: tuple[str, City], tools: Installation, app: Flask, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> House:
    monkeypatch.setattr(clock, "now", lambda: now)
    return House(city=template[1], tools=tools, app=app, now=now)


def make_city(session: Session, *, now: datetime) -> City:
    mine, other = make_department(session, name="城市管理局"), make_department(session, name="供热集团")
    for role in (Role.OPERATOR, Role.DISPATCHER, Role.AUDITOR, Role.SUPERVISOR, Role.ADMINISTRATOR):
        make_actor(session, role, login=role.value, name=f"某{role.value}", now=now)
    make_actor(session, Role.RESPONDER, departments=[mine], login="responder", now=now)
    make_actor(session, Role.RESPONDER, departments=[other], login="stranger", now=now)
    ticket = dispatched_ticket(
        session,
        mine,
        now=now - timedelta(hours=1),
        content=CONTENT,
        title="幸福路路灯不亮",
        address="北苑区幸福路 12 号",
    )
    return City(number=ticket.number, ticket_id=ticket.id, mine=mine.id, other=other.id)


def actor_of(session: Session, login: str) -> Actor:
    from hotline.people.queries import user

    found = user(session, login=login)
    return Actor(user_id=found.id, role=found.role, name=found.display_name)


def registered(house: House, **given: Any) -> str:
    with house.tools.db.begin() as session:
        return register_ticket(session, by=actor_of(session, "operator"), now=house.now, **given).number


def ticket_of(house: House, number: str) -> Ticket:
    with house.tools.db.read() as session:
        return by_number(session, number)


def numbers_in(answer: TestResponse) -> list[str]:
    """Return the ticket numbers that the list shows, in order."""
    return [part.split('"', 1)[0] for part in answer.text.split('class="title time"><a href="/tickets/')[1:]]


# The query


def test_everybody_who_sees_all_finds_the_ticket_and_its_deadline(house: House) -> None:
    for login in ("operator", "dispatcher", "auditor", "supervisor", "administrator", "responder"):
        answer = house.browse(login).get("/tickets")
        assert answer.status_code == 200
        assert numbers_in(answer) == [house.number], login
        assert "城市管理局" in answer.text
        assert "deadline-" in answer.text
        assert PHONE not in answer.text


def test_a_unit_sees_only_what_it_has_or_had_in_hand(house: House) -> None:
    client = house.browse("stranger")
    assert numbers_in(client.get("/tickets")) == []
    for path in ("", "/print", "/files/1"):
        assert client.get(f"/tickets/{house.number}{path}").status_code == 404
    for path in ("reveal?what=phone", "note", "files"):
        assert client.post(f"/tickets/{house.number}/{path}", data={"note": "看看"}).status_code == 404
    sent = client.post("/tickets/find", data={"q": house.number}, follow_redirects=True)
    assert "没有找到编号为" in sent.text


CONDITIONS = [
    ("state=dispatched", True),
    ("state=open", True),
    ("state=closed", False),
    ("words=路灯", True),
    ("words=暖气", False),
    ("type=求助", True),
    ("type=投诉", False),
    ("urgency=特急", False),
    ("channel=phone", True),
    ("channel=web", False),
    ("kind=concern", True),
    ("kind=bad_review", False),
    ("outcome=refused", False),
    ("due=overdue", False),
    ("order=due", True),
    ("from=2026-10-08&to=2026-10-08", True),
    ("from=2026-10-09", False),
    ("to=2026-10-07", False),
    ("department={mine}", True),
    ("department={other}", False),
    ("category={category}", True),
    ("category={other_category}", False),
    ("region={region}", True),
]


def test_each_condition_narrows_the_list_and_stands_on_a_chip(house: House) -> None:
    with house.tools.db.begin() as session:
        branch = make_category(session, name="市政设施")
        leaf = make_category(session, name="路灯")
        leaf.parent_id, leaf.level = branch.id, 2
        other, region = make_category(session, name="供热"), make_region(session)
        session.flush()
        ticket = session.get_one(Ticket, house.ticket_id)
        ticket.category_id, ticket.region_id = leaf.id, region.id
        ids = {"category": branch.id, "other_category": other.id, "region": region.id}
    client = house.browse("supervisor")
    for template, found in CONDITIONS:
        query = template.format(mine=house.mine, other=house.other, **ids)
        answer = client.get(f"/tickets?{query}")
        assert answer.status_code == 200, query
        assert numbers_in(answer) == ([house.number] if found else []), query
        chips = answer.text.split("querybar-active")[1].split("</ul>")[0]
        assert chips.count('class="chip"') == query.count("="), query
        assert ("没有符合条件的工单" in answer.text) != found, query


def test_taking_a_chip_away_leaves_the_other_conditions(house: House) -> None:
    answer = house.browse("operator").get("/tickets?words=路灯&state=dispatched&urgency=特急")
    chips = answer.text.split("querybar-active")[1].split("</ul>")[0]
    href = next(part.split('"')[0] for part in chips.split('href="')[1:] if "特急" in part)
    assert "紧急程度：特急" in chips
    kept = parse_qs(urlsplit(href.replace("&amp;", "&")).query)
    assert kept == {"words": ["路灯"], "state": ["dispatched"]}


IMPOSSIBLE = [
    "words=灯",
    "state=nowhere",
    "type=x",
    "urgency=x",
    "channel=x",
    "outcome=x",
    "kind=x",
    "due=x",
    "order=x",
    "department=x",
    "category=9x",
    "region=-1",
    "from=昨天",
    "to=2026-13-01",
    "from=2026-10-09&to=2026-10-08",
    "cursor=!!!",
    "words=13900001234",
    "department=" + "9" * 19,
]


def test_a_condition_that_cannot_be_is_told_and_lists_nothing(house: House) -> None:
    client = house.browse("operator")
    for query in IMPOSSIBLE:
        answer = client.get(f"/tickets?{query}")
        assert answer.status_code == 422, query
        assert "查询条件有误" in answer.text, query
        assert numbers_in(answer) == [], query


def test_odd_words_find_nothing_and_break_nothing(house: House) -> None:
    client = house.browse("operator")
    for words in ("'; DROP TABLE tickets; --", "<script>alert(1)</script>", "a & b | !c", "😀😀", "路灯" * 100, "\\"):
        answer = client.get("/tickets", query_string={"words": words})
        assert answer.status_code in {200, 422}, words
        assert "<script>alert" not in answer.text


def test_the_pager_turns_both_ways_without_losing_or_doubling_a_line(house: House) -> None:
    with house.tools.db.begin() as session:
        operator = actor_of(session, "operator")
        for _ in range(64):
            register_ticket(session, by=operator, now=house.now)
    client = house.browse("operator")
    seen, pages, href = [], [], "/tickets?state=open"
    while href:
        answer = client.get(href)
        pages.append(href)
        seen += numbers_in(answer)
        href = _next(answer, "next")
    assert len(pages) == 3
    assert len(seen) == len(set(seen)) == 65
    assert seen == sorted(seen, reverse=True)
    back = client.get(_next(client.get(pages[-1]), "prev"))
    assert numbers_in(back) == seen[30:60]


def _next(answer: TestResponse, rel: str) -> str:
    for part in answer.text.split('<a class="btn btn-sm" href="')[1:]:
        if f'rel="{rel}"' in part.split(">")[0]:
            return part.split('"')[0].replace("&amp;", "&")
    return ""


def test_the_number_of_tickets_is_shown_only_where_a_stored_counter_says_it(house: House) -> None:
    client = house.browse("operator")
    for query, words in (("", "共 1 条"), ("?state=dispatched", "共 1 条"), ("?state=open", ""), ("?words=路灯", "")):
        pager = client.get(f"/tickets{query}").text.split('class="pager-words"')[1].split("</p>")[0]
        assert ("共 " in pager) == bool(words), query
        assert words in pager
    assert "共 " not in house.browse("responder").get("/tickets").text.split('class="pager-words"')[1].split("</p>")[0]


def test_a_list_asks_the_database_four_questions_at_most(house: House) -> None:
    with house.tools.db.begin() as session:
        operator = actor_of(session, "operator")
        for _ in range(40):
            ticket_id = register_ticket(session, by=operator, now=house.now).ticket_id
            routing.dispatch(
                session, ticket_id=ticket_id, version=None, department_id=house.mine, by=operator, now=house.now
            )
    for login in ("supervisor", "responder"):
        client = house.browse(login)
        client.get("/tickets")  # the catalogue of the choices is read once in half a minute
        with count_queries(house.tools.db) as asked:
            answer = client.get("/tickets?words=路灯&state=dispatched&order=due")
        assert len(numbers_in(answer)) == 30
        assert asked.count <= 4, asked.statements


def test_a_number_leads_straight_to_its_ticket(house: House) -> None:
    client = house.browse("operator")
    for typed in (house.number, f" {house.number} ", f"{house.number[:8]}-{house.number[8:]}"):
        answer = client.post("/tickets/find", data={"q": typed})
        assert (answer.status_code, answer.location) == (303, f"/tickets/{house.number}")


def test_words_lead_to_an_address_that_can_be_kept(house: House) -> None:
    answer = house.browse("operator").post(
        "/tickets/find", data={"words": "路灯 不亮", "state": "open", "urgency": "", "x": "y"}
    )
    assert answer.status_code == 303
    assert parse_qs(urlsplit(answer.location).query) == {"words": ["路灯 不亮"], "state": ["open"]}


def test_a_telephone_number_finds_its_tickets_and_stands_in_no_address(house: House) -> None:
    client = house.browse("operator")
    for typed in (PHONE, "139 0000 1234", "+86-13900001234", "１３９００００１２３４"):
        for field in ("q", "words"):
            answer = client.post("/tickets/find", data={field: typed})
            assert answer.status_code == 200, typed
            assert "Location" not in answer.headers
            assert numbers_in(answer) == [house.number], typed
            assert PHONE not in answer.text
            assert "*******1234" in answer.text


def test_a_telephone_number_shows_a_unit_only_its_own_tickets(house: House) -> None:
    assert numbers_in(house.browse("responder").post("/tickets/find", data={"q": PHONE})) == [house.number]
    answer = house.browse("stranger").post("/tickets/find", data={"q": PHONE})
    assert numbers_in(answer) == []
    assert "没有工单" in answer.text


def test_who_may_not_see_personal_data_may_not_ask_by_telephone_number(house: House) -> None:
    answer = house.browse("administrator").post("/tickets/find", data={"q": PHONE})
    assert answer.status_code == 403


def test_personal_data_among_words_is_sent_to_no_address(house: House) -> None:
    answer = house.browse("operator").post("/tickets/find", data={"q": f"找一下{PHONE}的路灯"})
    assert answer.status_code == 422
    assert "Location" not in answer.headers
    assert PHONE not in answer.text


# Export


def test_an_export_holds_the_list_without_personal_data_and_without_formulas(house: House) -> None:
    number = registered(house, title="=HYPERLINK(1) 路灯", content="路灯坏了", phone=PHONE, name="王小明")
    client = house.browse("supervisor")
    answer = client.get("/tickets/export.csv?state=registered")
    assert answer.status_code == 200
    assert "filename*=UTF-8''%E5%B7%A5%E5%8D%95" in answer.headers["Content-Disposition"]
    assert answer.text.startswith("\ufeff工单编号")
    rows = list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    assert [row["工单编号"] for row in rows] == [number]
    assert rows[0]["标题（已脱敏）"] == "'=HYPERLINK(1) 路灯"
    assert rows[0]["状态"] == "待派单"
    book = load_workbook(io.BytesIO(client.get("/tickets/export.xlsx").data))
    lines = list(book["工单"].iter_rows(values_only=True))
    assert lines[0][0] == "工单编号"
    assert [line[0] for line in lines[1:]] == [number, house.number]
    assert all(cell.data_type != "f" for line in book["工单"].iter_rows() for cell in line)
    for text in (answer.text, str(lines)):
        assert PHONE not in text
        assert "王小明" not in text
        assert "1234" not in text


def test_an_export_ends_at_its_bound_and_says_so(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "MOST_EXPORTED", 20)
    monkeypatch.setattr(desk, "_EXPORT_PAGE", 10)
    with house.tools.db.begin() as session:
        operator = actor_of(session, "operator")
        for _ in range(25):
            register_ticket(session, by=operator, now=house.now)
    lines = house.browse("administrator").get("/tickets/export.csv").text.splitlines()
    assert len(lines) == 1 + 20 + 1
    assert "请缩小查询条件" in lines[-1]


def test_an_export_is_for_those_who_may_take_lists_out(house: House) -> None:
    for login in ("operator", "responder"):
        assert house.browse(login).get("/tickets/export.csv").status_code == 403
        assert "/tickets/export" not in house.browse(login).get("/tickets").text
    client = house.browse("supervisor")
    assert "/tickets/export.xlsx?words=" in client.get("/tickets?words=路灯").text
    assert client.get("/tickets/export.exe").status_code == 404
    assert client.get("/tickets/export.csv?state=nowhere").status_code == 422


# The page of a ticket


def test_the_page_shows_the_life_of_a_ticket(house: House) -> None:
    with house.tools.db.begin() as session:
        responder = Actor(
            user_id=actor_of(session, "responder").user_id, role=Role.RESPONDER, department_ids=frozenset({house.mine})
        )
        routing.answer(
            session, ticket_id=house.ticket_id, version=None, feedback=feedback(), by=responder, now=house.now
        )
        actions.note(session, ticket_id=house.ticket_id, words="已电话核实地点", by=responder, now=house.now)
    text = house.browse("operator").get(f"/tickets/{house.number}").text
    for words in (
        "幸福路路灯不亮",
        "幸福路路灯坏了，请联系我【手机号】，谢谢。",
        house.number,
        "城市管理局",
        "为何是这个时限",
        "办理时限",
        "公开答复",
        "市民可见",
        "内部办理情况",
        "已安排养护班组",
        "已电话核实地点",
        "登记受理",
        "*******1234",
        "王**",
    ):
        assert words in text, words
    assert PHONE not in text
    assert "幸福路 12 号" not in text


def test_every_drawing_on_the_page_the_menu_and_the_timeline_exists(house: House) -> None:
    sprite = (Path(desk.__file__).parent / "static/img/icons.svg").read_text(encoding="utf-8")
    drawn = set(re.findall(r'<symbol id="([^"]+)"', sprite))
    named = {icon for _, icon in present._TONES.values()}
    number = registered(house)
    for login in ("dispatcher", "responder", "auditor", "supervisor", "administrator"):
        text = house.browse(login).get(f"/tickets/{number if login == 'dispatcher' else house.number}").text
        named |= set(re.findall(r"icons\.svg[^#\"]*#([a-z0-9-]+)", text))
    assert len(named) > 20
    assert named <= drawn


def test_a_page_asks_the_database_twenty_questions_at_most(house: House) -> None:
    with house.tools.db.begin() as session:
        department = session.get_one(Department, house.mine)
        auditor = actor_of(session, "auditor")
        ticket = answered_ticket(session, department, now=house.now)
        for hours in (1, 4):
            waiting = callback_queries.open_callback(session, ticket.id)
            assert waiting is not None
            callbacks.record_attempt(
                session,
                callback_id=waiting.id,
                outcome=AttemptOutcome.NO_ANSWER,
                note="",
                by=auditor,
                now=house.now + timedelta(hours=hours),
            )
        ticket.repeats_id = house.ticket_id
        number = ticket.number
    for login in ("supervisor", "responder"):
        client = house.browse(login)
        with count_queries(house.tools.db) as asked:
            assert client.get(f"/tickets/{number}").status_code == 200
        assert asked.count <= 20, asked.statements


def test_a_unit_learns_the_result_of_a_callback_and_nothing_of_the_calling(house: House) -> None:
    with house.tools.db.begin() as session:
        ticket = answered_ticket(session, session.get_one(Department, house.mine), now=house.now)
        auditor = actor_of(session, "auditor")
        waiting = callback_queries.open_callback(session, ticket.id)
        assert waiting is not None
        callbacks.record_attempt(
            session, callback_id=waiting.id, outcome=AttemptOutcome.BUSY, note="占线", by=auditor, now=house.now
        )
        number, callback_id = ticket.number, waiting.id
    unit, caller = house.browse("responder"), house.browse("auditor")
    assert caller.post(f"/tickets/{number}/reveal?what=phone", data=LOOK).status_code == 200
    before = unit.get(f"/tickets/{number}").text
    assert "查看个人信息" not in before
    assert "回访与评价" not in before
    assert "占线" not in before
    assert "占线" in caller.get(f"/tickets/{number}").text
    answers = Answers(
        replied=True,
        solved=Solved.UNSOLVED,
        process=Satisfaction.MOSTLY,
        result=Satisfaction.UNSATISFIED,
        reason="灯还是不亮",
    )
    with house.tools.db.begin() as session:
        callbacks.record_result(
            session,
            callback_id=callback_id,
            version=None,
            answers=answers,
            by=actor_of(session, "auditor"),
            now=house.now,
        )
    after = unit.get(f"/tickets/{number}").text
    for words in ("回访结果：重办", "灯还是不亮", "不满意", "重办第 1 轮"):
        assert words in after, words
    assert "占线" not in after
    assert "某auditor" not in after
    assert "某auditor" in caller.get(f"/tickets/{number}").text


def test_the_page_shows_what_the_model_said_to_those_who_dispatch(house: House) -> None:
    with house.tools.db.begin() as session:
        make_department(session, "named_by_us", name="望川市路灯管理处")
        session.add(
            Suggestion(
                ticket_id=house.ticket_id,
                model_version="v-test",
                made_at=house.now,
                body={
                    "departments": [
                        {"code": "a", "name": "城市管理局", "p": 0.83},
                        {"code": "named_by_us", "name": "named_by_us", "p": 0.1},
                        {"code": "district", "name": "district", "p": 0.05},
                    ],
                    "category": [{"code": "c", "name": "市政 / 路灯", "p": 0.7}],
                    "words": [{"field": "body", "start": 3, "end": 5, "text": "路灯", "weight": 0.9}],
                    "risks": [{"code": "x", "name": "群体事件", "words": ["聚集"]}],
                },
                probability=0.83,
                abstained=True,
                reason="把握不足",
            )
        )
    text = house.browse("dispatcher").get(f"/tickets/{house.number}").text
    assert "named_by_us" not in text, "the model knows units by their codes, people by their names"
    for words in (
        "模型建议",
        "83%",
        "望川市路灯管理处",
        "市政 / 路灯",
        "风险：群体事件",
        "把握不足",
        "<mark>路灯</mark>",
    ):
        assert words in text, words
    assert "模型建议" not in house.browse("responder").get(f"/tickets/{house.number}").text


def test_earlier_tickets_of_the_caller_are_there_but_not_for_other_units(house: House) -> None:
    with house.tools.db.begin() as session:
        other = dispatched_ticket(
            session, session.get_one(Department, house.other), now=house.now, title="暖气一直不热"
        )
        number = other.number
    assert "暖气一直不热" in house.browse("operator").get(f"/tickets/{house.number}").text
    assert "暖气一直不热" not in house.browse("responder").get(f"/tickets/{house.number}").text
    assert "幸福路路灯不亮" not in house.browse("stranger").get(f"/tickets/{number}").text


def test_a_repeated_concern_leads_to_the_first_and_counts(house: House) -> None:
    number = registered(house, repeats_id=house.ticket_id)
    with house.tools.db.begin() as session:
        actions.count_repeat(
            session, ticket_id=house.ticket_id, words="又来电催", by=actor_of(session, "operator"), now=house.now
        )
    client = house.browse("operator")
    assert f'href="/tickets/{house.number}"' in client.get(f"/tickets/{number}").text
    text = client.get(f"/tickets/{house.number}").text
    assert "催办 1 次" in text
    assert "又来电催" in text


@pytest.mark.parametrize(
    ("login", "offered", "withheld"),
    [
        ("operator", ["/edit", "/withdraw"], ["/department/", "/rework", "/refuse"]),
        ("dispatcher", ["/edit"], ["/department/", "/dispatch/"]),
        ("responder", ["/department/"], ["/edit", "/withdraw", "/dispatch/"]),
        ("auditor", [], ["/edit", "/callbacks/", "/rework"]),
        ("supervisor", ["/edit"], ["/callbacks/", "/rework"]),
        ("administrator", [], ["/edit", "/dispatch/"]),
    ],
)
def test_the_page_offers_what_the_map_and_the_person_allow(
    login: str, offered: list[str], withheld: list[str], *, house: House
) -> None:
    ways = _ways(house.browse(login), house.number)
    for part in offered:
        assert any(part in way for way in ways), ways
    for part in withheld:
        assert not any(part in way for way in ways), ways


def test_a_new_ticket_can_be_sent_refused_or_answered(house: House) -> None:
    number = registered(house)
    ways = _ways(house.browse("dispatcher"), number)
    assert ways == [
        f"/dispatch/{number}",
        f"/disputes/new/{number}",
        *(
            f"/tickets/{number}/{act}"
            for act in ("answer", "refuse", "transfer", "edit", "withdraw", "harassment", "merge")
        ),
    ]


def test_whoever_handled_a_ticket_is_not_offered_its_callback(house: House) -> None:
    with house.tools.db.begin() as session:
        ticket = answered_ticket(session, session.get_one(Department, house.mine), now=house.now)
        number = ticket.number
        waiting = callback_queries.open_callback(session, ticket.id)
        assert waiting is not None
        href = f"/callbacks/{waiting.id}"
    assert href in _ways(house.browse("auditor"), number)
    assert href not in _ways(house.browse("responder"), number)


def _ways(client: FlaskClient, number: str) -> list[str]:
    text = client.get(f"/tickets/{number}").text
    if 'class="ways"' not in text:
        return []
    panel = text.split('class="ways"')[1].split("</div>")[0]
    return [part.split('"')[0] for part in panel.split('href="')[1:] if not part.startswith("/static")]


def test_the_sheet_of_paper_holds_nothing_personal_in_clear(house: House) -> None:
    answer = house.browse("responder").get(f"/tickets/{house.number}/print")
    assert answer.status_code == 200
    assert house.number in answer.text
    assert "【手机号】" in answer.text
    assert "王**" in answer.text
    for secret in (PHONE, "王小明", "幸福路 12 号"):
        assert secret not in answer.text


# Looking at personal data


def test_a_look_at_personal_data_is_answered_and_written_down(house: House) -> None:
    client = house.browse("operator")
    for what, value in (("phone", PHONE), ("name", "王小明"), ("address", "北苑区幸福路 12 号"), ("content", CONTENT)):
        answer = client.post(f"/tickets/{house.number}/reveal?what={what}", data=LOOK)
        assert answer.json == {"value": value}
        assert answer.headers["Cache-Control"] == "no-store"
    assert client.post(f"/tickets/{house.number}/reveal?what=title", data=LOOK).json == {"value": "幸福路路灯不亮"}
    with house.tools.db.read() as session:
        looks = [entry for entry in timeline(session, house.ticket_id) if entry.act is Act.REVEAL]
    assert [look.note for look in looks] == [
        f"查看{what}：联系诉求人办理诉求" for what in ("联系电话", "姓名", "联系地址", "内容原文", "标题原文")
    ]
    assert {look.by_name for look in looks} == {"某operator"}
    assert PHONE not in str(looks)


def test_a_look_needs_a_reason_of_the_list_or_in_words(house: House) -> None:
    client = house.browse("operator")
    address = f"/tickets/{house.number}/reveal?what=phone"
    assert client.post(address).status_code == 422
    assert client.post(address, data={"words": "  "}).status_code == 422
    assert client.post(address, data={"reason": "curiosity"}).status_code == 422
    with house.tools.db.read() as session:
        assert Act.REVEAL not in {entry.act for entry in timeline(session, house.ticket_id)}
    assert client.post(address, data={"words": "诉求人来电核对回拨号码"}).json == {"value": PHONE}
    with house.tools.db.read() as session:
        assert timeline(session, house.ticket_id)[-1].note == "查看联系电话：诉求人来电核对回拨号码"


def test_only_what_can_be_looked_at_is_looked_at(house: House) -> None:
    client = house.browse("operator")
    for what in ("", "version", "__class__", "personal_sealed"):
        assert client.post(f"/tickets/{house.number}/reveal?what={what}", data=LOOK).status_code == 404
        assert client.get(f"/tickets/{house.number}/reveal?what={what}").status_code == 404


def test_without_a_script_a_page_in_between_asks_why_and_then_shows_it(house: House) -> None:
    client, address = house.browse("operator"), f"/tickets/{house.number}/reveal?what=phone"
    assert f'<noscript><a href="{address}">' in client.get(f"/tickets/{house.number}").text.replace("&amp;", "&")
    asked = client.get(address, headers={"Referer": f"http://localhost/dispatch/{house.number}"})
    assert "为什么查看" in asked.text
    assert f'name="back" value="/dispatch/{house.number}"' in asked.text
    assert PHONE not in asked.text
    page = {"Accept": "text/html,*/*;q=0.8"}
    refused = client.post(address, data={"words": " ", "back": "//elsewhere.example/"}, headers=page)
    assert refused.status_code == 422
    assert "请选择或填写查看理由" in refused.text
    assert "elsewhere.example" not in refused.text
    with house.tools.db.read() as session:
        assert Act.REVEAL not in {entry.act for entry in timeline(session, house.ticket_id)}
    told = client.post(address, data={**LOOK, "back": f"/dispatch/{house.number}"}, headers=page)
    assert told.status_code == 200
    assert PHONE in told.text
    assert f'content="60;url=/dispatch/{house.number}"' in told.text
    assert told.headers["Cache-Control"] == "no-store"
    with house.tools.db.read() as session:
        assert timeline(session, house.ticket_id)[-1].note == "查看联系电话：联系诉求人办理诉求"


def test_who_may_not_look_is_refused_and_offered_nothing(house: House) -> None:
    client = house.browse("administrator")
    assert client.post(f"/tickets/{house.number}/reveal?what=phone", data=LOOK).status_code == 403
    assert "data-reveal=" not in client.get(f"/tickets/{house.number}").text
    with house.tools.db.read() as session:
        assert Act.REVEAL not in {entry.act for entry in timeline(session, house.ticket_id)}


def test_a_citizen_who_wants_to_stay_unknown_to_the_unit_stays_so(house: House) -> None:
    with house.tools.db.begin() as session:
        session.get_one(Ticket, house.ticket_id).confidential = True
    unit = house.browse("responder")
    text = unit.get(f"/tickets/{house.number}").text
    assert "data-reveal=" not in text
    assert "诉求人要求对承办单位保密" in text
    for what in ("phone", "content"):
        assert unit.post(f"/tickets/{house.number}/reveal?what={what}", data=LOOK).status_code == 403
        assert unit.get(f"/tickets/{house.number}/reveal?what={what}").status_code == 403
    assert house.browse("operator").post(f"/tickets/{house.number}/reveal?what=phone", data=LOOK).json == {
        "value": PHONE
    }


def test_whoever_looks_at_too_many_citizens_must_wait(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "MOST_REVEALS_PER_HOUR", 3)
    client = house.browse("operator")
    statuses = [client.post(f"/tickets/{house.number}/reveal?what=phone", data=LOOK).status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    assert house.browse("dispatcher").post(f"/tickets/{house.number}/reveal?what=phone", data=LOOK).status_code == 200


def test_looks_of_an_hour_ago_no_longer_count(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "MOST_REVEALS_PER_HOUR", 1)
    with house.tools.db.begin() as session:
        operator = actor_of(session, "operator")
        actions.reveal(session, ticket_id=house.ticket_id, reason="", by=operator, now=house.now - timedelta(hours=1))
    assert house.browse("operator").post(f"/tickets/{house.number}/reveal?what=phone", data=LOOK).status_code == 200


# Acts


def test_a_note_is_added_and_an_empty_one_keeps_the_page(house: House) -> None:
    client = house.browse("responder")
    answer = client.post(
        f"/tickets/{house.number}/note", data={"note": "已到现场，联系人 13900005678"}, follow_redirects=True
    )
    assert "备注已添加" in answer.text
    assert "已到现场，联系人 【手机号】" in answer.text
    too_long = "很" * 5_001
    for note in ("  ", too_long):
        answer = client.post(f"/tickets/{house.number}/note", data={"note": note})
        assert answer.status_code == 422
        assert "data-error-summary" in answer.text
    assert too_long in answer.text


@dataclass(frozen=True)
class Case:
    """An act on a new ticket: who may do it, with which fields, and how the ticket ends."""

    act: str
    login: str
    fields: dict[str, str]
    outcome: Outcome


CASES = [
    Case("answer", "operator", {"answer": "您好，办理地点为政务服务中心二楼。"}, Outcome.ANSWERED_DIRECTLY),
    Case("refuse", "dispatcher", {"reason": "NR-03", "words": "请凭受理告知书查询。"}, Outcome.REFUSED),
    Case("transfer", "operator", {"to": "110", "other_number": "A-1", "words": "已转"}, Outcome.TRANSFERRED),
    Case("withdraw", "operator", {"words": "诉求人来电表示已解决"}, Outcome.WITHDRAWN),
]
each_act = pytest.mark.parametrize("case", CASES, ids=[case.act for case in CASES])


@each_act
def test_an_act_is_done_from_its_form_and_shown(case: Case, house: House) -> None:
    number = registered(house)
    client = house.browse(case.login)
    path = f"/tickets/{number}/{case.act}"
    version = client.get(path).text.split('name="version" value="')[1].split('"')[0]
    answer = client.post(path, data={**case.fields, "version": version}, follow_redirects=True)
    assert answer.status_code == 200
    assert ticket_of(house, number).outcome is case.outcome
    for words in case.fields.values():
        assert words in answer.text
    assert client.get(path).status_code == 409


@each_act
def test_an_act_on_a_stale_page_changes_nothing(case: Case, house: House) -> None:
    number = registered(house)
    with house.tools.db.begin() as session:
        ticket = by_number(session, number)
        actions.amend(
            session,
            ticket_id=ticket.id,
            version=ticket.version,
            changes={"place": "别处"},
            reason="",
            by=actor_of(session, "supervisor"),
            now=house.now,
        )
    answer = house.browse(case.login).post(f"/tickets/{number}/{case.act}", data={**case.fields, "version": "1"})
    assert answer.status_code == 409
    assert "某supervisor" in answer.text
    assert ticket_of(house, number).state is State.REGISTERED


@each_act
def test_an_act_is_refused_to_another_role(case: Case, house: House) -> None:
    number = registered(house)
    for wrong in ("auditor", "administrator", "responder"):
        answer = house.browse(wrong).post(f"/tickets/{number}/{case.act}", data={**case.fields, "version": "1"})
        assert answer.status_code == 403, wrong
    assert ticket_of(house, number).state is State.REGISTERED


@each_act
def test_an_act_says_what_is_missing_and_keeps_what_was_typed(case: Case, house: House) -> None:
    number = registered(house)
    (first, *_) = case.fields
    kept = {name: value for name, value in case.fields.items() if name != first}
    client, path = house.browse(case.login), f"/tickets/{number}/{case.act}"
    answer = client.post(path, data={**kept, first: "", "version": "1"})
    assert answer.status_code == 422
    assert f'id="f-{first}-error"' in answer.text
    for words in kept.values():
        assert words in answer.text
    assert 'name="version" value="1"' in answer.text
    assert client.post(path, data=case.fields).status_code == 422, "a form without the version it saw"
    assert ticket_of(house, number).state is State.REGISTERED


def test_a_supervisor_sends_a_closed_ticket_back_to_be_done_again(house: House) -> None:
    content = Answers(replied=True, solved=Solved.SOLVED, process=Satisfaction.SATISFIED, result=Satisfaction.SATISFIED)
    with house.tools.db.begin() as session:
        ticket = answered_ticket(session, session.get_one(Department, house.mine), now=house.now)
        waiting = callback_queries.open_callback(session, ticket.id)
        assert waiting is not None
        number, callback_id = ticket.number, waiting.id
    supervisor = house.browse("supervisor")
    version = str(ticket_of(house, number).version)
    waits = supervisor.post(f"/tickets/{number}/rework", data={"reason": "未修好", "version": version})
    assert waits.status_code == 409  # the callback decides first
    with house.tools.db.begin() as session:
        callbacks.record_result(
            session,
            callback_id=callback_id,
            version=None,
            answers=content,
            by=actor_of(session, "auditor"),
            now=house.now,
        )
    assert any("rework" in way for way in _ways(supervisor, number))
    version = str(ticket_of(house, number).version)
    assert (
        house.browse("operator").post(f"/tickets/{number}/rework", data={"reason": "x", "version": version}).status_code
        == 403
    )
    assert supervisor.post(f"/tickets/{number}/rework", data={"reason": "", "version": version}).status_code == 422
    assert supervisor.post(f"/tickets/{number}/rework", data={"reason": "x", "version": "1"}).status_code == 409
    answer = supervisor.post(
        f"/tickets/{number}/rework", data={"reason": "媒体反映未修好", "version": version}, follow_redirects=True
    )
    assert "已退回原承办单位重办" in answer.text
    assert ticket_of(house, number).state is State.DISPATCHED


# Corrections

UNCHANGED: dict[str, str] = {"confidential_shown": "1"}


def test_a_correction_is_saved_with_before_and_after(house: House) -> None:
    with house.tools.db.begin() as session:
        category, region = make_category(session, name="路灯照明"), make_region(session, name="北苑区")
        fields = {
            "title": "幸福路东段路灯不亮",
            "place": "幸福路东段",
            "company": "某物业公司",
            "request_type": "投诉",
            "urgency": "紧急",
            "category_id": str(category.id),
            "region_id": str(region.id),
            "happened_at": "2026-10-07T20:00",
            "confidential": "yes",
            "reason": "来电补充",
            "confidential_shown": "1",
        }
    client = house.browse("operator")
    assert "路灯照明" in client.get(f"/tickets/{house.number}/edit").text
    version = str(ticket_of(house, house.number).version)
    answer = client.post(f"/tickets/{house.number}/edit", data={**fields, "version": version}, follow_redirects=True)
    assert "修改已保存" in answer.text
    after = ticket_of(house, house.number)
    assert (after.title, after.confidential, after.urgency.value) == ("幸福路东段路灯不亮", True, "紧急")
    for words in ("来电补充", "<del>求助</del>", "<ins>投诉</ins>", "<ins>路灯照明</ins>", "2026-10-07 20:00"):
        assert words in answer.text, words
    with house.tools.db.read() as session:
        (entry,) = [entry for entry in timeline(session, house.ticket_id) if entry.act is Act.AMEND]
    assert entry.version == after.version
    assert len(entry.details["changes"]) == 9


def test_a_form_that_says_what_it_said_changes_nothing(house: House) -> None:
    client, before = house.browse("operator"), ticket_of(house, house.number)
    page = client.get(f"/tickets/{house.number}/edit").text
    assert 'name="content"' not in page, "a redacted text could only lose its sealed original"
    shown = desk._values(before)
    answer = client.post(
        f"/tickets/{house.number}/edit",
        data={**shown, "confidential_shown": "1", "version": before.version},
        follow_redirects=True,
    )
    assert "内容没有变化" in answer.text
    after = ticket_of(house, house.number)
    assert (after.version, after.personal_sealed) == (before.version, before.personal_sealed)


def test_whoever_corrects_second_sees_what_the_first_one_changed_beside_his_own(house: House) -> None:
    version = str(ticket_of(house, house.number).version)
    path = f"/tickets/{house.number}/edit"
    first = house.browse("supervisor").post(path, data={"place": "幸福路东段", "urgency": "紧急", "version": version})
    assert first.status_code == 303
    second = house.browse("operator").post(path, data={"place": "幸福路西段", "urgency": "一般", "version": version})
    assert second.status_code == 409
    for words in ("某supervisor", "幸福路东段", "幸福路西段", "紧急程度"):
        assert words in second.text, words
    assert ticket_of(house, house.number).place == "幸福路东段"


def test_a_correction_that_cannot_stand_is_told_by_field(house: House) -> None:
    client = house.browse("operator")
    version = str(ticket_of(house, house.number).version)
    for name, value in (
        ("title", " "),
        ("title", "长" * 101),
        ("place", "长" * 201),
        ("happened_at", "2026-10-09T10:00"),
        ("happened_at", "昨天"),
        ("urgency", "很急"),
        ("category_id", "x"),
    ):
        answer = client.post(f"/tickets/{house.number}/edit", data={"place": "新地点", name: value, "version": version})
        assert answer.status_code == 422, (name, value)
        assert f'id="f-{name}-error"' in answer.text, (name, value)
        if name != "place":
            assert "新地点" in answer.text
    gone = client.post(f"/tickets/{house.number}/edit", data={"category_id": "999999", "version": version})
    assert gone.status_code == 409
    assert ticket_of(house, house.number).version == int(version)


def test_a_unit_cannot_correct_a_ticket(house: House) -> None:
    for login in ("responder", "auditor", "administrator"):
        client = house.browse(login)
        assert client.get(f"/tickets/{house.number}/edit").status_code == 403
        assert client.post(f"/tickets/{house.number}/edit", data={"version": "1"}).status_code == 403


# Files


def png() -> io.BytesIO:
    out = io.BytesIO()
    Image.new("RGB", (30, 20), "red").save(out, "PNG")
    out.seek(0)
    return out


def test_a_file_goes_in_and_comes_out_as_an_attachment_only(house: House) -> None:
    client = house.browse("responder")
    answer = client.post(
        f"/tickets/{house.number}/files",
        data={"files": [(png(), "现场照片 1.png"), (io.BytesIO("情况".encode()), "说明.txt")], "public": "yes"},
        content_type="multipart/form-data",
        follow_redirects=True,
    )
    assert "已添加 2 个附件" in answer.text
    assert "现场照片 1.png" in answer.text
    with house.tools.db.read() as session:
        picture, words = attachments(session, house.ticket_id)
    assert (picture.media_type, picture.public, words.media_type) == ("image/png", True, "text/plain")
    got = client.get(f"/tickets/{house.number}/files/{picture.id}")
    assert got.status_code == 200
    assert got.data == house.tools.store.read(picture.digest)
    disposition = got.headers["Content-Disposition"]
    assert disposition.startswith("attachment;")
    assert "filename*=UTF-8''%E7%8E%B0%E5%9C%BA" in disposition
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    assert got.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert got.headers["Cache-Control"] == "no-store"
    assert client.get(f"/tickets/{house.number}/files/{picture.id + 100}").status_code == 404


def test_a_file_of_another_ticket_is_not_found_through_ones_own(house: House) -> None:
    number = registered(house)
    operator = house.browse("operator")
    operator.post(f"/tickets/{number}/files", data={"files": [(png(), "a.png")]}, content_type="multipart/form-data")
    with house.tools.db.read() as session:
        (row,) = attachments(session, by_number(session, number).id)
    assert operator.get(f"/tickets/{number}/files/{row.id}").status_code == 200
    assert house.browse("responder").get(f"/tickets/{house.number}/files/{row.id}").status_code == 404
    assert house.browse("responder").get(f"/tickets/{number}/files/{row.id}").status_code == 404


def test_a_file_that_is_not_taken_in_is_told_and_leaves_nothing(house: House) -> None:
    client = house.browse("operator")
    for content, name in (
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>", "图.svg"),
        (b"MZ" + b"\0" * 90, "程序.png"),
        (b"", "空.txt"),
    ):
        answer = client.post(
            f"/tickets/{house.number}/files",
            data={"files": [(png(), "a.png"), (io.BytesIO(content), name)]},
            content_type="multipart/form-data",
        )
        assert answer.status_code == 422, name
        assert 'id="f-files-error"' in answer.text, name
    with house.tools.db.read() as session:
        assert not attachments(session, house.ticket_id)


def test_no_file_or_too_many_are_told(house: House) -> None:
    client = house.browse("operator")
    path = f"/tickets/{house.number}/files"
    assert client.post(path, data={}, content_type="multipart/form-data").status_code == 422
    many = {"files": [(io.BytesIO(f"第{n}个".encode()), f"{n}.txt") for n in range(11)]}
    assert client.post(path, data=many, content_type="multipart/form-data").status_code == 413
