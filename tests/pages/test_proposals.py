"""What the dispatcher is offered and why: the catalogue, the model, earlier tickets; regions are asked."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
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
from routing.answers import parts
from routing.catalogue import editions as catalogue
from routing.catalogue.editions import RowWish
from routing.catalogue.models import Place, PlaceRegion
from routing.models import Department, DepartmentKind, Dispatch, Suggestion
from routing.rules import AUTOMATIC_SETTING
from tests.makers import (
    count_queries,
    make_actor,
    make_category,
    make_department,
    make_region,
    register_ticket,
    ruled_ticket,
    sign_in,
)


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

    def ruling(self, lead: str, *helping: str, minutes: int = 1, **given: Any) -> int:
        """Let a panel rule some minutes after the catalogue was published; returns the number of the ruling."""
        with self.tools.db.begin() as session:
            units = {one.code: one for one in session.scalars(select(Department))}
            made = ruled_ticket(
                session,
                units["city_mgmt"],
                lead=units[lead],
                helping=[units[code] for code in helping],
                now=self.now + timedelta(minutes=minutes),
                **{"category_id": self.covers, **given},
            )
            return made.id

    def unit(self, code: str) -> int:
        with self.tools.db.begin() as session:
            return make_department(session, code, name=f"单位{code}").id

    def helping(self, ticket: Ticket) -> list[int]:
        """Return who was asked to help, and check that each is to be done before the lead's own deadline."""
        with self.tools.db.read() as session:
            found = parts.of_ticket(session, ticket.id)
        assert all(self.now < one.row.due_at <= one.lead_due_at for one in found)
        return sorted(one.row.department_id for one in found)

    def accept(self, ticket: Ticket, department_id: int, *assist: int) -> Any:
        return self.client.post(
            f"/dispatch/{ticket.number}/accept",
            data={"department_id": department_id, "version": ticket.version, "assist": list(assist)},
            headers={"HX-Request": "true"},
        )

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
        assert "市城管局 目录通常协办" in read
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
    assert desk.helping(ticket) == [desk.city_mgmt]
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


def offered(html: str) -> list[str]:
    """Return the departments that the row offers, in the order of their keys."""
    return re.findall(r"派往 </span>([^<]+)</span>", html)


def ticked(html: str) -> list[tuple[int, bool]]:
    """Return the co-handlers that the page offers: id, and whether the box is ticked."""
    boxes = re.findall(r'name="assist" value="(\d+)"[^>]*>', html)
    chosen = re.findall(r'name="assist" value="(\d+)"[^>]* checked>', html)
    return [(int(one), one in chosen) for one in boxes]


def test_a_later_ruling_goes_before_the_catalogue_says_why_and_links_to_itself(desk: Desk) -> None:
    number = desk.ruling("lighting", "north")
    ticket = desk.ticket(category_id=desk.covers)
    for address in ("/dispatch", f"/dispatch/{ticket.number}"):
        page = desk.client.get(address).text
        assert f"裁定第 {number} 号先例：同一事件类别、内容相近，裁定晚于现行目录，优先" in shown(page)
        assert re.search(rf'<a href="/disputes/\d+"[^>]*>裁定第 {number} 号</a>', page)
    assert offered(desk.client.get("/dispatch").text) == ["市路灯管理处", "市城管局"]
    assert "北苑区政府 裁定第" in shown(desk.client.get("/dispatch").text)


def test_a_ruling_from_before_the_edition_comes_after_its_row(desk: Desk) -> None:
    desk.ruling("lighting", minutes=-60)
    desk.ticket(category_id=desk.covers)
    page = desk.client.get("/dispatch").text
    assert offered(page) == ["市城管局", "市路灯管理处"]
    assert "现行目录另有规定，目录优先" in shown(page)


def test_a_ruling_that_says_what_the_catalogue_says_is_one_more_reason(desk: Desk) -> None:
    number = desk.ruling("city_mgmt")
    desk.ticket(category_id=desk.covers)
    page = desk.client.get("/dispatch").text
    assert offered(page) == ["市城管局"]
    read = shown(page)
    assert f"裁定第 {number} 号先例：同一事件类别" in read
    assert "派单目录第 1 版：井盖 · 全市" in read or "派单目录第 1 版：任何类别 · 全市" in read


def test_a_ruling_for_a_place_speaks_only_there_and_below_it(desk: Desk) -> None:
    with desk.tools.db.begin() as session:
        street = Region(
            code="9901001", name="文昌街道", path="望川市 / 北苑区 / 文昌街道", level=3, parent_id=desk.north
        )
        session.add(street)
        session.flush()
        street_id = street.id
    desk.ruling("north", region_id=desk.north)
    desk.ticket(category_id=desk.covers)
    assert offered(desk.client.get("/dispatch").text) == ["市城管局"]
    inside = desk.ticket(category_id=desk.covers, region_id=street_id)
    assert offered(desk.client.get("/dispatch").text)[1:] == ["北苑区政府", "市城管局"]
    assert "同一事件类别、同一区域" in shown(desk.client.get(f"/dispatch/{inside.number}").text)


def test_an_older_ruling_adds_its_word_and_a_retired_one_says_nothing(desk: Desk) -> None:
    older = desk.ruling("city_mgmt", minutes=1)
    newer = desk.ruling("lighting", minutes=2)
    desk.ticket(category_id=desk.covers)
    page = desk.client.get("/dispatch").text
    assert offered(page) == ["市路灯管理处", "市城管局"]
    assert f"裁定第 {older} 号先例" in shown(page)
    from routing.duty.disputing import retire_precedent

    with desk.tools.db.begin() as session:
        retire_precedent(session, ruling_id=newer, by=desk.dispatcher, now=desk.now)
    page = desk.client.get("/dispatch").text
    assert offered(page) == ["市城管局"]
    assert f"裁定第 {newer} 号" not in shown(page)


def test_the_page_asks_no_more_questions_however_many_rows_and_rulings(desk: Desk) -> None:
    def asked() -> int:
        with count_queries(desk.tools.db) as counted:
            assert desk.client.get("/dispatch").status_code == 200
        return counted.count

    for category_id in (desk.covers, desk.lamps):
        desk.ticket(category_id=category_id, region_id=desk.north)
    desk.ruling("lighting", "north")
    asked()  # the edition is read once by a process
    one = asked()
    for minutes in range(2, 6):
        desk.ruling("lighting", "north", minutes=minutes)
        desk.ruling("city_mgmt", category_id=desk.lamps, minutes=minutes)
    for at in range(18):
        desk.ticket(category_id=desk.covers if at % 2 else desk.lamps, region_id=desk.north)
    asked()  # the rulings lie in the future of what was read
    assert asked() <= one
    assert one <= 10


def test_the_programming_interface_gives_the_precedents_and_the_co_handlers(desk: Desk) -> None:
    number = desk.ruling("lighting", "north")
    ticket = desk.ticket(category_id=desk.covers)
    with desk.tools.db.begin() as session:
        by = Actor(user_id=None, role=Role.SYSTEM)
        token = issue_token(
            session, name="m", role=Role.DISPATCHER, user_id=desk.dispatcher.user_id, by=by, now=desk.now
        )
    answer = desk.client.get(
        f"/api/v1/tickets/{ticket.number}/proposal", headers={"Authorization": f"Bearer {token}"}
    ).get_json()
    (told,) = answer["precedents"]
    assert (told["ruling"], told["lead"], told["co_handlers"]) == (number, "lighting", ["north"])
    assert answer["departments"][0]["department"] == "lighting"
    assert [(one["department"], one["chosen"]) for one in answer["co_handlers"]] == [("north", True)]


def test_what_a_later_ruling_says_otherwise_never_goes_out_by_itself(desk: Desk) -> None:
    desk.ruling("city_mgmt", category_id=desk.lamps)
    ticket = desk.ticket()
    made = desk.suggest(ticket, Sure(None, version="sure"))
    assert made.abstained
    assert "裁定先例" in made.reason
    assert desk.stored(ticket)[0].state is State.REGISTERED


# --- co-handlers ---------------------------------------------------------------------------------------------------


def test_accepting_takes_the_ticked_co_handlers_along_and_says_so(desk: Desk) -> None:
    ticket = desk.ticket(category_id=desk.lamps)
    page = desk.client.get("/dispatch").text
    assert ticked(page) == [(desk.city_mgmt, True)]
    answer = desk.accept(ticket, desk.lighting, desk.city_mgmt)
    assert answer.status_code == 200
    assert "已派往 市路灯管理处，协办 市城管局，办理时限" in answer.text
    assert desk.helping(ticket) == [desk.city_mgmt]
    _, sent = desk.stored(ticket)
    assert sent is not None
    assert sent.reason == "采纳派单建议：派单目录第 1 版：路灯照明 · 全市"


def test_a_co_handler_that_is_taken_out_or_leads_gets_no_part(desk: Desk) -> None:
    taken_out, leads = desk.ticket(category_id=desk.lamps), desk.ticket(category_id=desk.lamps)
    desk.accept(taken_out, desk.lighting)
    desk.accept(leads, desk.city_mgmt, desk.city_mgmt)
    assert desk.helping(taken_out) == desk.helping(leads) == []
    assert all(desk.stored(one)[0].state is State.DISPATCHED for one in (taken_out, leads))


def test_a_co_handler_that_was_closed_meanwhile_is_named_and_nothing_goes_out(desk: Desk) -> None:
    ticket, closed = desk.ticket(category_id=desk.lamps), desk.unit("gone")
    with desk.tools.db.begin() as session:
        session.get_one(Department, closed).active = False
    answer = desk.accept(ticket, desk.lighting, desk.city_mgmt, closed)
    assert answer.status_code == 422
    assert "协办单位“单位gone”已停用" in answer.text
    assert ticked(answer.text) == [(desk.city_mgmt, True)]
    assert desk.stored(ticket)[0].state is State.REGISTERED


def test_a_refused_row_keeps_the_boxes_as_the_person_left_them(desk: Desk) -> None:
    ticket = desk.ticket(category_id=desk.lamps)
    ticket.version += 1
    answer = desk.accept(ticket, desk.lighting)
    assert answer.status_code == 409
    assert ticked(answer.text) == [(desk.city_mgmt, False)]


@pytest.mark.parametrize(("sure", "boxes"), [(0.6, [True]), (0.3, [False]), (0.1, [])])
def test_the_models_co_handlers_are_ticked_only_when_it_is_rather_sure(
    desk: Desk, *, sure: float, boxes: list[bool]
) -> None:
    with desk.tools.db.begin() as session:
        edition = catalogue.version_numbered(session, 1)
        catalogue.retire(session, number=1, version=edition.version, by=desk.admin, now=desk.now)
    ticket = desk.ticket()
    with desk.tools.db.begin() as session:
        body = {"category": [], "departments": [], "assist": [{"code": "lighting", "name": "lighting", "p": sure}]}
        session.add(
            Suggestion(
                ticket_id=ticket.id,
                model_version="m",
                made_at=desk.now,
                body=body,
                probability=0,
                abstained=True,
                reason="",
            )
        )
    assert [chosen for _, chosen in ticked(desk.client.get("/dispatch").text)] == boxes


def test_the_form_of_a_ticket_offers_the_same_boxes_and_two_more(desk: Desk) -> None:
    ticket, other = desk.ticket(category_id=desk.lamps), desk.unit("other")
    page = desk.client.get(f"/dispatch/{ticket.number}").text
    assert ticked(page) == [(desk.city_mgmt, True)]
    form = {"version": ticket.version, "department_id": desk.lighting, "assist": desk.city_mgmt, "assist_1": other}
    assert desk.client.post(f"/dispatch/{ticket.number}", data=form).status_code == 303
    assert desk.helping(ticket) == sorted([desk.city_mgmt, other])


def test_a_bulk_act_gives_each_ticket_its_own_co_handlers_and_those_for_all(desk: Desk) -> None:
    first, second, extra = desk.ticket(category_id=desk.lamps), desk.ticket(category_id=desk.covers), desk.unit("extra")
    data = {
        "ids": [f"{one.id}:{one.version}" for one in (first, second)],
        "helps": [f"{first.id}:{desk.city_mgmt}", f"{second.id}:{desk.lighting}", "1:x", "999999:1"],
        "assist": extra,
        "department_id": desk.lighting,
        "seen": 2,
        "seen_tasks": 3,
    }
    answer = desk.client.post("/dispatch/bulk", data=data)
    assert answer.status_code == 303
    assert "已批量派单 2 张，协办任务 3 个" in desk.client.get("/dispatch").text
    assert desk.helping(first) == sorted([desk.city_mgmt, extra])
    assert desk.helping(second) == [extra]  # who leads is not asked to help


def test_a_bulk_act_with_more_tasks_than_were_seen_sends_nothing_and_asks_again(desk: Desk) -> None:
    chosen = [desk.ticket(category_id=desk.lamps) for _ in range(2)]
    data: dict[str, Any] = {
        "ids": [f"{one.id}:{one.version}" for one in chosen],
        "helps": [f"{one.id}:{desk.city_mgmt}" for one in chosen],
        "department_id": desk.lighting,
        "seen": 2,
        "seen_tasks": 1,
    }
    answer = desk.client.post("/dispatch/bulk", data=data)
    assert answer.status_code == 409
    assert "您选择了 2 张、协办任务 1 个，现在可派的有 2 张、协办任务 2 个" in shown(answer.text)
    assert all(desk.stored(one)[0].state is State.REGISTERED for one in chosen)
    # What was ticked stays ticked, and without a script the boxes themselves are what is sent.
    helps = re.findall(r'name="helps" value="(\d+:\d+)"[^>]* checked>', answer.text)
    assert sorted(helps) == sorted(data["helps"])
    again = {**data, "helps": helps, "seen_tasks": ""}
    assert desk.client.post("/dispatch/bulk", data=again).status_code == 303
    assert [desk.helping(one) for one in chosen] == [[desk.city_mgmt]] * 2


def test_a_bulk_act_with_a_closed_co_handler_names_it_and_sends_nothing(desk: Desk) -> None:
    ticket, closed = desk.ticket(category_id=desk.lamps), desk.unit("gone")
    with desk.tools.db.begin() as session:
        session.get_one(Department, closed).active = False
    data = {"ids": f"{ticket.id}:{ticket.version}", "assist": closed, "department_id": desk.lighting, "seen": 1}
    answer = desk.client.post("/dispatch/bulk", data=data)
    assert answer.status_code == 422
    assert "协办单位“单位gone”已停用" in answer.text
    assert desk.stored(ticket)[0].state is State.REGISTERED
