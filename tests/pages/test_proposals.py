"""What the dispatcher is offered and why: the catalogue, the model, earlier tickets; regions are asked."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from typing_extensions import override

from classifier.suggest import Answer, Candidate, Suggester, Suggestions
from hotline.core import clock
from hotline.core.permissions import Actor, Role
from hotline.people.actions import issue_token
from hotline.tickets.models import JournalEntry, Region, Ticket
from hotline.tickets.states import Act, State
from hotline.wiring import Installation
from routing import suggesting
from routing.catalogue import editions as catalogue
from routing.catalogue.editions import RowWish
from routing.catalogue.models import Place, PlaceRegion
from routing.models import DepartmentKind, Dispatch, Suggestion
from routing.rules import AUTOMATIC_SETTING
from tests.makers import make_actor, make_category, make_department, make_region, register_ticket, sign_in


class Sure(Suggester):
    """A model that is sure of one category and one department."""

    category, department, name = "CJ-0305", "lighting", "路灯照明"

    @override
    def suggest(self, title: str, body: str, *, at: datetime | None = None) -> Suggestions:
        said = Suggester.without_model("").suggest(title, body)
        best = Candidate(label=self.category, name=self.name, probability=0.97)
        lead = Candidate(label=self.department, name=self.department, probability=0.97)
        answer = Answer(candidates=(best,), abstained=False)
        departments = type(said.departments)(lead=(lead,), assist=())
        return type(said)(
            **{
                **{name: getattr(said, name) for name in said.__dataclass_fields__},
                "category": answer,
                "departments": departments,
                "model_version": "sure",
                "risks": (),
                "reasons": (),
            }
        )


class Desk:
    """A desk with a published catalogue: lamps to the lighting office, at once; everything else to city management."""

    def __init__(self, client: FlaskClient, tools: Installation, now: datetime) -> None:
        """Make them."""
        self.client, self.tools, self.now = client, tools, now
        with tools.db.begin() as session:
            self.admin = make_actor(session, Role.ADMINISTRATOR, now=now)
            self.dispatcher = make_actor(session, Role.DISPATCHER, login="dispatcher", now=now)
            self.operator = make_actor(session, Role.OPERATOR, now=now)
            self.lighting = make_department(session, "lighting", name="市路灯管理处").id
            self.city_mgmt = make_department(session, "city_mgmt", name="市城管局").id
            make_department(session, "north", name="北苑区政府", kind=DepartmentKind.DISTRICT, region_code="9901")
            self.lamps = make_category(session, "CJ-0305", name="路灯照明", lead="city_mgmt").id
            self.covers = make_category(session, "CJ-0306", name="井盖").id
            city = make_region(session, "99", name="望川市")
            north = Region(code="9901", name="北苑区", path="望川市 / 北苑区", level=2, parent_id=city.id)
            east = Region(code="9902", name="东泽区", path="望川市 / 东泽区", level=2, parent_id=city.id)
            road = Place(name="人民路", kind="road")
            session.add_all([north, east, road])
            session.flush()
            session.add_all(PlaceRegion(place_id=road.id, region_id=one.id) for one in (north, east))
            self.north = north.id
            self.put(session, category="CJ-0305", lead="lighting", co_handlers=("city_mgmt",), sla_class="即办")
            self.put(session, lead="city_mgmt", basis="《城市管理条例》第三条")
            draft = catalogue.draft(session)
            assert draft is not None
            catalogue.publish(session, number=1, version=draft.version, by=self.admin, now=now)

    def put(self, session: Any, **given: Any) -> None:
        catalogue.add_row_to_draft(session, wish=RowWish(**given), by=self.admin, now=self.now)

    def ticket(self, **given: Any) -> Ticket:
        with self.tools.db.begin() as session:
            return session.get_one(Ticket, register_ticket(session, by=self.operator, now=self.now, **given).ticket_id)

    def suggest(self, ticket: Ticket, model: Suggester) -> Suggestion:
        with self.tools.db.begin() as session:
            made = suggesting.suggest_department(session, ticket.id, suggester=model, now=self.now)
            assert made is not None
            return made

    def stored(self, ticket: Ticket) -> tuple[Ticket, Dispatch | None]:
        with self.tools.db.read() as session:
            sent = session.scalars(select(Dispatch).where(Dispatch.ticket_id == ticket.id)).first()
            return session.get_one(Ticket, ticket.id), sent


@pytest.fixture
def desk(client: FlaskClient, tools: Installation, now: datetime, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(clock, "now", lambda: now)
    made = Desk(client, tools, now)
    sign_in(client, "dispatcher")
    return made


def shown(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_the_row_of_the_catalogue_is_offered_first_with_its_reason_and_one_post_accepts_it(desk: Desk) -> None:
    ticket = desk.ticket(category_id=desk.lamps)
    for address in ("/dispatch", f"/dispatch/{ticket.number}"):
        read = shown(desk.client.get(address).text)
        assert "派单目录第 1 版：路灯照明 · 全市" in read
        assert "通常协办：市城管局" in read
        assert "时限类别：即办" in read
    answer = desk.client.post(
        f"/dispatch/{ticket.number}/accept", data={"department_id": desk.lighting, "version": ticket.version}
    )
    assert answer.status_code == 303
    _, sent = desk.stored(ticket)
    assert sent is not None
    assert sent.department_id == desk.lighting
    assert sent.sla_class == "即办"
    assert sent.catalogue_version_id is not None
    assert sent.catalogue_row_id is not None


def test_a_dispatch_keeps_the_edition_that_was_in_force_when_a_new_one_comes(desk: Desk) -> None:
    ticket = desk.ticket(category_id=desk.covers)
    desk.client.post(
        f"/dispatch/{ticket.number}/accept", data={"department_id": desk.city_mgmt, "version": ticket.version}
    )
    _, before = desk.stored(ticket)
    with desk.tools.db.begin() as session:
        desk.put(session, category="CJ-0306", lead="lighting")
        draft = catalogue.draft(session)
        assert draft is not None
        catalogue.publish(
            session, number=draft.number, version=draft.version, by=desk.admin, now=desk.now.replace(minute=1)
        )
    _, after = desk.stored(ticket)
    assert before is not None
    assert after is not None
    assert before.catalogue_version_id == after.catalogue_version_id


def test_the_programming_interface_says_the_same(desk: Desk) -> None:
    ticket = desk.ticket(category_id=desk.covers)
    with desk.tools.db.begin() as session:
        token = issue_token(
            session,
            name="m",
            role=Role.DISPATCHER,
            user_id=desk.dispatcher.user_id,
            by=Actor(user_id=None, role=Role.SYSTEM),
            now=desk.now,
        )
    answer = desk.client.get(
        f"/api/v1/tickets/{ticket.number}/proposal", headers={"Authorization": f"Bearer {token}"}
    ).get_json()
    assert answer["catalogue"]["lead"] == "city_mgmt"
    assert answer["catalogue"]["edition"] == 1
    assert answer["departments"][0]["department"] == "city_mgmt"
    assert answer["departments"][0]["because"][1] == "依据：《城市管理条例》第三条"


def test_what_model_and_catalogue_agree_on_goes_out_by_itself_with_both_reasons(desk: Desk) -> None:
    ticket = desk.ticket()
    assert not desk.suggest(ticket, Sure(None, version="sure")).abstained
    now, sent = desk.stored(ticket)
    assert now.state is State.DISPATCHED
    assert sent is not None
    assert sent.department_id == desk.lighting
    assert "模型自动派单" in sent.reason
    assert "派单目录第 1 版" in sent.reason


def test_what_they_disagree_on_waits_for_a_person_who_reads_both(desk: Desk) -> None:
    model = Sure(None, version="sure")
    model.department = "city_mgmt"
    ticket = desk.ticket()
    made = desk.suggest(ticket, model)
    assert made.abstained
    assert "目录主办为市路灯管理处" in made.reason
    read = shown(desk.client.get(f"/dispatch/{ticket.number}").text)
    assert "派单目录第 1 版：路灯照明 · 全市（按模型建议的类别）" in read
    assert "模型很有把握（97%）" in read
    accepted = desk.client.post(
        f"/dispatch/{ticket.number}/accept", data={"department_id": desk.lighting, "version": ticket.version}
    )
    assert accepted.status_code == 303
    assert desk.stored(ticket)[0].category_id == desk.lamps


def test_an_excluded_category_that_a_person_chose_is_never_sent_by_the_model(desk: Desk) -> None:
    from hotline.tickets.actions import set_setting

    with desk.tools.db.begin() as session:
        set_setting(
            session,
            name=AUTOMATIC_SETTING,
            value={"on": True, "least": 0.9, "excluded": ["CJ-0306"]},
            by=desk.admin,
            now=desk.now,
        )
    ticket = desk.ticket(category_id=desk.covers)
    made = desk.suggest(ticket, Sure(None, version="sure"))
    assert made.abstained
    assert desk.stored(ticket)[0].state is State.REGISTERED


def test_a_region_that_the_text_names_for_sure_is_entered_with_a_line_in_the_journal(desk: Desk) -> None:
    ticket = desk.ticket(category_id=desk.covers, place="北苑区人民路 3 号")
    model = Sure(None, version="sure")
    model.department = "nobody"
    desk.suggest(ticket, model)
    now, _ = desk.stored(ticket)
    assert now.region_id == desk.north
    with desk.tools.db.read() as session:
        line = session.scalars(select(JournalEntry).where(JournalEntry.act == Act.SUGGEST)).one()
    assert "北苑区" in line.note


def test_a_region_that_may_be_two_is_asked_with_its_candidates_and_not_guessed(desk: Desk) -> None:
    ticket = desk.ticket(category_id=desk.covers, place="人民路 3 号")
    model = Sure(None, version="sure")
    model.department = "nobody"
    made = desk.suggest(ticket, model)
    assert desk.stored(ticket)[0].region_id is None
    assert [one["path"] for one in made.body["regions"]] == ["望川市 / 北苑区", "望川市 / 东泽区"]
    assert "区域待核实" in shown(desk.client.get("/dispatch").text)
    page = desk.client.get(f"/dispatch/{ticket.number}").text
    assert "“人民路”可能在 2 个区域，请核实。" in shown(page)
    assert f'data-take="region_id={desk.north}"' in page


def test_a_home_address_decides_only_as_far_as_the_street_and_is_not_told(desk: Desk) -> None:
    with desk.tools.db.begin() as session:
        street = Region(
            code="9901001", name="文昌街道", path="望川市 / 北苑区 / 文昌街道", level=3, parent_id=desk.north
        )
        session.add(street)
        session.flush()
        session.add(
            Region(code="9901001001", name="书院社区", path=f"{street.path} / 书院社区", level=4, parent_id=street.id)
        )
        street_id = street.id
    ticket = desk.ticket(category_id=desk.covers, place="", address="书院社区 3 号楼 201")
    model = Sure(None, version="sure")
    model.department = "nobody"
    desk.suggest(ticket, model)
    assert desk.stored(ticket)[0].region_id == street_id
    with desk.tools.db.read() as session:
        notes = session.scalars(select(JournalEntry.note).where(JournalEntry.ticket_id == ticket.id)).all()
    assert not any("书院" in note for note in notes)


def test_the_operator_is_offered_the_sure_region_and_asked_about_the_doubtful_one(desk: Desk) -> None:
    with desk.tools.db.begin() as session:
        make_actor(session, Role.OPERATOR, login="operator", now=desk.now)
    browser = desk.client.application.test_client()
    sign_in(browser, "operator")
    data = {"title": "", "content": "路灯不亮，晚上看不清路", "place": "人民路 3 号"}
    asked = shown(browser.post("/intake/suggest", data=data).text)
    assert "“人民路”不止一处，请向来电人核实" in asked
    assert "东泽区" in asked
    sure = shown(browser.post("/intake/suggest", data={**data, "place": "北苑区人民路 3 号"}).text)
    assert "望川市 / 北苑区" in sure
    assert "东泽区" not in sure
