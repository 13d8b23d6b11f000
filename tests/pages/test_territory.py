"""Regions, sources and the people of a department on screen."""

from __future__ import annotations

import re
from datetime import datetime

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from hotline.core.permissions import Role
from hotline.people.queries import user
from hotline.tickets.models import Region
from hotline.wiring import Installation
from routing.catalogue import territory
from routing.catalogue.models import RegionFallback
from routing.clocks import granting
from routing.models import Department, DepartmentKind
from routing.queries import department_by_code, entered_for
from tests.makers import count_queries, make_department, make_region, make_user, register_ticket, sign_in


@pytest.fixture
def browser(client: FlaskClient, tools: Installation, now: datetime) -> FlaskClient:
    with tools.db.begin() as session:
        make_user(session, Role.ADMINISTRATOR, login="the.admin", now=now)
        make_user(session, Role.RESPONDER, login="the.responder", name="孙立", now=now)
        make_department(session, "north", name="北苑区政府", kind=DepartmentKind.DISTRICT)
        make_region(session, "99", name="望川市")
    sign_in(client, "the.admin")
    return client


def shown(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def unit(tools: Installation, code: str = "north") -> Department:
    with tools.db.read() as session:
        found = department_by_code(session, code)
        assert found is not None
        return found


def test_a_region_is_added_below_another_given_an_owner_and_other_names(
    browser: FlaskClient, tools: Installation, now: datetime
) -> None:
    with tools.db.read() as session:
        city = session.scalars(select(Region).where(Region.code == "99")).one()
    made = browser.post(
        "/admin/regions", data={"code": "9901", "name": "北苑区", "parent_id": city.id, "aliases": "北苑、老城"}
    )
    assert made.status_code == 303
    with tools.db.read() as session:
        north = session.scalars(select(Region).where(Region.code == "9901")).one()
    assert (north.path, north.level, north.aliases) == ("望川市 / 北苑区", 2, ["北苑", "老城"])
    saved = browser.post(
        f"/admin/regions/{north.id}", data={"name": "北苑区", "aliases": "老城里", "owner_id": unit(tools).id}
    )
    assert saved.status_code == 303
    read = shown(browser.get("/admin/regions").text)
    assert "老城里" in read
    assert "北苑区政府" in read
    with tools.db.read() as session:
        assert territory.locate(session, "老城里 3 号", now=now).sure is not None


def test_regions_are_found_by_path_code_other_name_and_owner(
    browser: FlaskClient, tools: Installation, now: datetime
) -> None:
    with tools.db.begin() as session:
        rows = {code: make_region(session, code, name=name) for code, name in (("9901", "北苑区"), ("9902", "东泽区"))}
        rows["9902"].aliases = ["老城里"]
        session.add(RegionFallback(region_id=rows["9901"].id, department_id=unit(tools).id, changed_at=now))
    for asked, found in (("东泽", "9902"), ("9901", "9901"), ("老城", "9902"), ("区政府", "9901"), ("%", "")):
        with tools.db.read() as session:
            page = territory.region_page(session, words=asked, limit=10)
        assert [one.code for one in page.rows] == ([found] if found else []), asked
    with count_queries(tools.db) as few:
        assert "东泽区" in browser.get("/admin/regions?q=东泽").text
    with tools.db.begin() as session:
        for at in range(40):
            make_region(session, f"98{at:02}", name=f"第{at}街")
    with count_queries(tools.db) as many:
        browser.get("/admin/regions")
    assert many.count <= few.count


def test_what_was_typed_of_a_region_stays_when_it_is_refused(browser: FlaskClient) -> None:
    answer = browser.post("/admin/regions", data={"code": "99", "name": "重复", "aliases": "一、二三"})
    assert answer.status_code == 422
    assert "已被使用" in answer.text
    assert 'value="重复"' in answer.text
    assert browser.get("/admin/regions/999999").status_code == 404


def test_a_source_is_added_changed_and_decides_which_limits_hold(
    browser: FlaskClient, tools: Installation, now: datetime
) -> None:
    data = {"code": "province12345", "name": "省12345", "deadline_source": "省12345", "active": "yes"}
    assert browser.post("/admin/sources", data=data).status_code == 303
    assert browser.post("/admin/sources", data=data).status_code == 422
    assert "省12345" in browser.get("/admin/sources?edit=province12345").text
    with tools.db.begin() as session:
        fed = register_ticket(session, now=now, source_system="province12345", source_key="7")
        plain = register_ticket(session, now=now)
        limits = []
        for one in (fed, plain):
            from hotline.tickets.models import Ticket

            limits.append(granting.grant(session, session.get_one(Ticket, one.ticket_id), now=now).terms["source"])
    assert limits == ["省12345", ""]
    changed = browser.post("/admin/sources", data={"editing": "province12345", "name": "省热线平台"})
    assert changed.status_code == 303
    assert "停用" in shown(browser.get("/admin/sources").text)


def test_contacts_and_members_of_a_department_are_kept_and_wrong_ones_told(
    browser: FlaskClient, tools: Installation
) -> None:
    address = f"/admin/departments/{unit(tools).id}"
    good = browser.post(f"{address}/contacts", data={"contacts": "张三 0900-5550000 08:30-17:30\n李四 0900-5550001"})
    assert good.status_code == 303
    assert "李四 0900-5550001 00:00-24:00" in browser.get(address).text
    bad = browser.post(f"{address}/contacts", data={"contacts": "张三"})
    assert bad.status_code == 422
    assert "第 1 行" in bad.text
    assert browser.post(f"{address}/members", data={"login": "the.responder"}).status_code == 303
    with tools.db.read() as session:
        person = user(session, login="the.responder")
        assert entered_for(session, person.id) == {unit(tools).id}
    assert "没有这个用户名" in browser.post(f"{address}/members", data={"login": "nobody"}).text
    assert browser.post(f"{address}/members", data={"login": "the.responder", "remove": "yes"}).status_code == 303
    with tools.db.read() as session:
        assert entered_for(session, person.id) == frozenset()


def test_a_unit_with_working_units_below_is_not_closed_and_a_fifth_level_not_opened(
    browser: FlaskClient, tools: Installation
) -> None:
    above = unit(tools).id
    for level in range(2, 6):
        answer = browser.post(
            "/admin/departments",
            data={"code": f"unit_{level}", "name": f"第{level}级", "kind": "street", "parent_id": above},
        )
        if level == 5:
            assert answer.status_code == 422
            assert "最多 4 级" in answer.text
            break
        assert answer.status_code == 303
        above = unit(tools, f"unit_{level}").id
    top = unit(tools)
    closed = browser.post(
        f"/admin/departments/{top.id}", data={"version": top.version, "name": top.name, "short_name": "北苑"}
    )
    assert closed.status_code == 409
    assert "下级单位" in closed.text
    circle = browser.post(
        f"/admin/departments/{top.id}",
        data={"version": top.version, "name": top.name, "parent_id": above, "active": "yes"},
    )
    assert circle.status_code == 422
    assert "不能是本单位或其下级" in circle.text


def test_a_citizen_is_asked_once_which_place_is_meant_and_may_say_that_he_cannot_tell(
    browser: FlaskClient, tools: Installation, now: datetime
) -> None:
    from hotline.tickets.models import Ticket
    from routing.catalogue.models import Place, PlaceRegion

    with tools.db.begin() as session:
        here, there = make_region(session, "9901", name="北苑区"), make_region(session, "9902", name="东泽区")
        road = Place(name="人民路", kind="road")
        session.add(road)
        session.flush()
        session.add_all(PlaceRegion(place_id=road.id, region_id=one.id) for one in (here, there))
        wanted = there.id
    citizen = browser.application.test_client()
    form = {"content": "路灯坏了一个星期，晚上看不清路。", "place": "人民路 3 号", "anonymous": "yes", "key": "a" * 32}
    asked = citizen.post("/submit", data=form)
    assert asked.status_code == 422
    assert "“人民路”不止一处" in asked.text
    assert "东泽区" in asked.text
    assert 'value="人民路 3 号"' in asked.text
    assert citizen.post("/submit", data={**form, "region_id": str(wanted)}).status_code == 303
    assert citizen.post("/submit", data={**form, "region_id": "unknown", "key": "b" * 32}).status_code == 303
    assert citizen.post("/submit", data={**form, "place": "东泽区人民路", "key": "c" * 32}).status_code == 303
    with tools.db.read() as session:
        found = session.scalars(select(Ticket.region_id).order_by(Ticket.id)).all()
    assert found == [wanted, None, None]
