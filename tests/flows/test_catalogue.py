"""The dispatch catalogue in the database: drafts, publication, proposals, and what is refused."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from hotline.core.db import Database, constraint_of
from hotline.core.errors import Conflict, Denied, Invalid
from hotline.core.permissions import Actor, Role
from hotline.tickets.models import Category, Region
from routing import actions as routing
from routing.catalogue import editions as catalogue
from routing.catalogue import territory
from routing.catalogue.editions import RowWish
from routing.catalogue.models import CatalogueRow, CatalogueState, CatalogueVersion, RegionFallback
from routing.models import Department, DepartmentKind
from routing.queries import current_dispatch
from tests.flows.test_at_once import at_once
from tests.makers import make_actor, make_category, make_department, make_region, register_ticket


class House:
    """Two departments, a category with a leaf, a city with a district."""

    def __init__(self, session: Session, now: datetime) -> None:
        """Make them."""
        self.session, self.now = session, now
        self.admin = make_actor(session, Role.ADMINISTRATOR, now=now)
        self.lamps_dept = make_department(session, "lamps", name="市路灯管理处")
        self.city_dept = make_department(session, "city_mgmt", name="市城管局")
        self.district_dept = make_department(
            session, "district_north", name="北苑区政府", kind=DepartmentKind.DISTRICT, region_code="9901"
        )
        self.branch = make_category(session, "CJ", name="城乡建设")
        self.leaf = Category(code="CJ-01", name="路灯", path="城乡建设 / 路灯", level=2, parent_id=self.branch.id)
        self.other = Category(code="CJ-02", name="井盖", path="城乡建设 / 井盖", level=2, parent_id=self.branch.id)
        self.city = make_region(session, "99", name="望川市")
        self.north = Region(code="9901", name="北苑区", path="望川市 / 北苑区", level=2, parent_id=self.city.id)
        session.add_all([self.leaf, self.other, self.north])
        session.flush()

    def put(self, **given: object) -> CatalogueRow:
        values = {"category": "CJ", "lead": "city_mgmt", **given}
        return catalogue.add_row_to_draft(
            self.session,
            wish=RowWish(**values),  # type: ignore[arg-type]
            by=self.admin,
            now=self.now,
        )

    def publish(self, **given: object) -> CatalogueVersion:
        draft = catalogue.draft(self.session)
        assert draft is not None
        values = {"number": draft.number, "version": draft.version, "by": self.admin, "now": self.now, **given}
        return catalogue.publish(self.session, **values)  # type: ignore[arg-type]

    def ask(
        self, category: Category | None = None, region: Region | None = None, *, at: datetime | None = None
    ) -> catalogue.Proposal | None:
        return catalogue.proposal_for(
            self.session,
            category_id=category.id if category else None,
            region_id=region.id if region else None,
            request_type="求助",
            now=at or self.now,
        )


@pytest.fixture
def house(session: Session, now: datetime) -> House:
    session.info["granting"].clear()
    return House(session, now)


def test_a_draft_says_nothing_before_it_is_published(house: House) -> None:
    house.put(category="CJ-01", lead="lamps", co_handlers=("city_mgmt",), sla_class="即办", basis="三定方案第六条")
    assert house.ask(house.leaf) is None
    edition = house.publish(note="首版")
    said = house.ask(house.leaf)
    assert said is not None
    assert (said.lead_id, said.co_handlers, said.sla_class, said.basis) == (
        house.lamps_dept.id,
        ("city_mgmt",),
        "即办",
        "三定方案第六条",
    )
    assert said.version_id == edition.id
    assert said.reason == "派单目录第 1 版：城乡建设 / 路灯 · 全市"
    assert house.ask(house.other) is None
    assert house.ask(house.leaf, at=house.now - timedelta(seconds=1)) is None


def test_a_place_is_owned_by_the_nearest_fallback_and_without_one_by_its_district(house: House) -> None:
    house.put(lead="district")
    house.publish()
    first = house.ask(house.leaf, house.north)
    assert first is not None
    assert first.lead_code == "district_north"
    unknown = house.ask(house.leaf)
    assert unknown is not None
    assert unknown.lead_id is None
    assert "所属区域尚未确定" in unknown.reason
    territory.change_region(
        house.session,
        region_id=house.city.id,
        name="望川市",
        aliases=["望川"],
        owner_id=house.lamps_dept.id,
        by=house.admin,
        now=house.now,
    )
    again = house.ask(house.leaf, house.north)
    assert again is not None
    assert again.lead_code == "lamps"
    owner = territory.owners(house.session)
    assert owner == {house.city.id: house.lamps_dept.id, house.north.id: house.lamps_dept.id}


def test_a_row_to_a_unit_that_was_closed_since_is_passed_over_and_said(house: House) -> None:
    house.put()
    house.put(category="CJ-01", lead="lamps")
    house.publish()
    house.lamps_dept.active = False
    house.session.flush()
    said = house.ask(house.leaf)
    assert said is not None
    assert said.lead_code == "city_mgmt"
    assert "市路灯管理处" in said.reason
    edition = catalogue.version_in_force(house.session, now=house.now)
    assert edition is not None
    assert [one.flaw.value for one in catalogue.findings_of(house.session, edition.id)] == ["closed_lead"]


def test_a_new_draft_takes_over_what_is_in_force_and_the_old_edition_ends_where_the_new_begins(house: House) -> None:
    house.put()
    first = house.publish()
    later = house.now + timedelta(days=3)
    row = house.put(category="CJ-01", lead="lamps")
    assert {one.category_code for one in catalogue.rows_of(house.session, row.version_id)} == {"CJ", "CJ-01"}
    second = house.publish(valid_from=later)
    assert (first.valid_to, first.state) == (later, CatalogueState.PUBLISHED)
    before, after = house.ask(house.leaf), house.ask(house.leaf, at=later)
    assert before is not None
    assert after is not None
    assert (before.version_id, before.lead_code) == (first.id, "city_mgmt")
    assert (after.version_id, after.lead_code) == (second.id, "lamps")


def test_windows_in_the_past_backwards_or_overlapping_are_refused_in_words(house: House) -> None:
    house.put()
    with pytest.raises(Invalid) as past:
        house.publish(valid_from=house.now - timedelta(days=1))
    assert "不能早于现在" in past.value.fields["valid_from"][0]
    with pytest.raises(Invalid) as backwards:
        house.publish(valid_from=house.now + timedelta(days=2), valid_to=house.now + timedelta(days=1))
    assert "必须晚于" in backwards.value.fields["valid_to"][0]
    house.publish(valid_from=house.now + timedelta(days=5))
    house.put(category="CJ-01", lead="lamps")
    with pytest.raises(Invalid) as overlapping:
        house.publish()
    assert "第 1 版重叠" in overlapping.value.fields["valid_from"][0]
    house.publish(valid_to=house.now + timedelta(days=5))


def test_the_database_refuses_two_editions_at_one_instant_a_past_window_and_a_changed_edition(house: House) -> None:
    row = house.put()
    edition = house.publish()
    session = house.session
    for sql, constraint in (
        (
            (
                "INSERT INTO catalogue_versions (number, state, valid_from, published_at, created_at) "
                f"VALUES (77, 'published', '{house.now + timedelta(days=1)}', '{house.now}', '{house.now}')"
            ),
            "ex_catalogue_versions_windows",
        ),
        (
            (
                "INSERT INTO catalogue_versions (number, state, valid_from, valid_to, published_at, created_at) VALUES "
                f"(77, 'published', '{house.now - timedelta(days=9)}', '{house.now - timedelta(days=8)}', "
                f"'{house.now}', '{house.now}')"
            ),
            "ck_catalogue_versions_never_in_the_past",
        ),
        (f"UPDATE catalogue_rows SET basis = 'x' WHERE id = {row.id}", "catalogue_rows_of_drafts"),
        (f"DELETE FROM catalogue_rows WHERE id = {row.id}", "catalogue_rows_of_drafts"),
        (f"UPDATE catalogue_versions SET state = 'draft' WHERE id = {edition.id}", "catalogue_versions_go_forward"),
        (f"DELETE FROM catalogue_versions WHERE id = {edition.id}", "catalogue_versions_go_forward"),
    ):
        with pytest.raises(IntegrityError) as refused, session.begin_nested():
            session.execute(text(sql))
        assert constraint_of(refused.value) == constraint, sql


def test_rows_to_closed_units_and_rows_with_the_same_keys_are_refused_by_word_and_by_the_database(house: House) -> None:
    row = house.put()
    house.lamps_dept.active = False
    house.session.flush()
    with pytest.raises(Invalid) as closed:
        house.put(category="CJ-01", lead="lamps")
    assert closed.value.fields == {"lead": ["主办单位“lamps”已停用。"]}
    with pytest.raises(Invalid) as helper:
        house.put(category="CJ-01", co_handlers=("lamps", "nobody"))
    assert helper.value.fields["co_handlers"]
    for sql, constraint in (
        (f"UPDATE catalogue_rows SET lead_id = {house.lamps_dept.id}", "catalogue_rows_to_open_departments"),
        ("UPDATE catalogue_rows SET co_handlers = '[\"lamps\"]'", "catalogue_rows_to_open_departments"),
        (
            (
                "INSERT INTO catalogue_rows (version_id, category_id, lead_id, changed_at) VALUES "
                f"({row.version_id}, {house.branch.id}, {house.city_dept.id}, '{house.now}')"
            ),
            "uq_catalogue_rows_key",
        ),
    ):
        with pytest.raises(IntegrityError) as refused, house.session.begin_nested():
            house.session.execute(text(sql))
        assert constraint_of(refused.value) == constraint, sql


def test_a_draft_whose_unit_was_closed_meanwhile_is_not_published_not_even_past_the_action(house: House) -> None:
    row = house.put()
    house.city_dept.active = False
    house.session.flush()
    with pytest.raises(Invalid) as refused:
        house.publish()
    assert "主办单位已停用" in refused.value.fields["rows"][0]
    with pytest.raises(IntegrityError) as database, house.session.begin_nested():
        house.session.execute(
            text(
                f"UPDATE catalogue_versions SET state = 'published', valid_from = '{house.now}', "
                f"published_at = '{house.now}' WHERE id = {row.version_id}"
            )
        )
    assert constraint_of(database.value) == "catalogue_rows_to_open_departments"


def test_whoever_saw_an_older_draft_changes_and_publishes_nothing(house: House) -> None:
    row = house.put()
    edition = house.session.get_one(CatalogueVersion, row.version_id)
    seen = edition.version
    catalogue.change_row(
        house.session,
        row_id=row.id,
        version=seen,
        wish=RowWish(category="CJ", lead="lamps"),
        by=house.admin,
        now=house.now,
    )
    assert edition.version > seen
    with pytest.raises(Conflict):
        catalogue.remove_row(house.session, row_id=row.id, version=seen, by=house.admin)
    with pytest.raises(Conflict):
        house.publish(version=seen)
    with pytest.raises(Conflict):
        catalogue.replace_rows(house.session, version=seen, wishes=[], by=house.admin, now=house.now)


def test_a_dispatcher_may_put_a_row_into_the_draft_and_not_publish_it(house: House) -> None:
    dispatcher = make_actor(house.session, Role.DISPATCHER, now=house.now)
    responder = make_actor(house.session, Role.RESPONDER, now=house.now)
    wish = RowWish(category="CJ", lead="lamps")
    row = catalogue.add_row_to_draft(house.session, wish=wish, origin="裁定 7 号", by=dispatcher, now=house.now)
    assert row.origin == "裁定 7 号"
    with pytest.raises(Denied):
        house.publish(by=dispatcher)
    with pytest.raises(Denied):
        catalogue.add_row_to_draft(house.session, wish=wish, by=responder, now=house.now)
    with pytest.raises(Invalid):
        catalogue.add_row_to_draft(house.session, wish=wish, replace=False, by=house.admin, now=house.now)


def test_an_edition_that_has_not_begun_can_be_taken_back_and_another_announced(house: House) -> None:
    house.put()
    announced = house.publish(valid_from=house.now + timedelta(days=5))
    catalogue.retire(house.session, number=announced.number, version=announced.version, by=house.admin, now=house.now)
    assert announced.state is CatalogueState.RETIRED
    house.put(category="CJ-01", lead="lamps")
    house.publish(valid_from=house.now + timedelta(days=1), valid_to=house.now + timedelta(days=4))
    assert house.ask(house.leaf, at=house.now + timedelta(days=6)) is None


def test_departments_that_would_close_a_circle_or_open_a_fifth_level_are_refused_by_the_database(house: House) -> None:
    session = house.session
    units = [make_department(session, f"level_{at}") for at in range(1, 6)]
    for above, below in itertools.pairwise(units[:4]):
        below.parent_id = above.id
    session.flush()
    for unit, parent, constraint in (
        (units[0], units[3], "departments_have_no_circle"),
        (units[4], units[3], "departments_have_four_levels"),
        (units[0], units[4], "departments_have_four_levels"),
    ):
        with pytest.raises(IntegrityError) as refused, session.begin_nested():
            session.execute(text(f"UPDATE departments SET parent_id = {parent.id} WHERE id = {unit.id}"))
        assert constraint_of(refused.value) == constraint
    with pytest.raises(IntegrityError) as region, session.begin_nested():
        session.execute(text(f"UPDATE regions SET parent_id = {house.north.id} WHERE id = {house.city.id}"))
    assert constraint_of(region.value) == "regions_are_a_tree"


def test_two_administrators_cannot_close_a_circle_between_them(db: Database, now: datetime) -> None:
    """A under B while B under A, at the same moment: one of them, and never both."""
    for _ in range(5):
        with db.begin() as session:
            admins = [make_actor(session, Role.ADMINISTRATOR, now=now) for _ in range(2)]
            ids = [make_department(session).id for _ in range(2)]

        def place(number: int, ids: list[int] = ids, admins: list[Actor] = admins) -> str:
            with db.begin() as session:
                move(session, ids[number], ids[1 - number], admins[number])
            return "moved"

        got = at_once(place, people=2)
        assert sorted(type(one).__name__ for one in got) == ["Invalid", "str"]
        with db.read() as session:
            above = [session.get_one(Department, one).parent_id for one in ids]
        assert above.count(None) == 1


def test_a_unit_that_is_closed_while_a_ticket_goes_to_it_has_no_ticket(db: Database, now: datetime) -> None:
    with db.begin() as session:
        admin, by = make_actor(session, Role.ADMINISTRATOR, now=now), make_actor(session, Role.DISPATCHER, now=now)
        unit_id, ticket_id = make_department(session).id, register_ticket(session, now=now).ticket_id

    def dispatch() -> None:
        with db.begin() as dispatching:
            seen = dispatching.get_one(Department, unit_id)
            close(db, unit_id, admin)
            assert seen.active, "this is what the dispatcher's transaction still believes"
            routing.dispatch(dispatching, ticket_id=ticket_id, version=None, department_id=unit_id, by=by, now=now)

    with pytest.raises(Invalid) as refused:
        dispatch()
    assert "停用" in refused.value.fields["department_id"][0]


def test_a_unit_is_closed_or_gets_the_ticket_and_never_both(db: Database, now: datetime) -> None:
    with db.begin() as session:
        admin, by = make_actor(session, Role.ADMINISTRATOR, now=now), make_actor(session, Role.DISPATCHER, now=now)
        raced = [(make_department(session).id, register_ticket(session, now=now).ticket_id) for _ in range(5)]
    for unit_id, ticket_id in raced:

        def act(number: int, unit_id: int = unit_id, ticket_id: int = ticket_id) -> str:
            if number:
                close(db, unit_id, admin)
                return "closed"
            with db.begin() as session:
                routing.dispatch(session, ticket_id=ticket_id, version=None, department_id=unit_id, by=by, now=now)
            return "sent"

        got = at_once(act, people=2)
        assert sum(isinstance(one, str) for one in got) == 1, got
        with db.read() as session:
            held = current_dispatch(session, ticket_id) is not None
            assert session.get_one(Department, unit_id).active is held


def close(db: Database, department_id: int, admin: Actor) -> None:
    with db.begin() as session:
        version = session.get_one(Department, department_id).version
        routing.change_department(
            session, department_id=department_id, version=version, changes={"active": False}, by=admin
        )


def move(session: Session, department_id: int, parent_id: int, admin: Actor) -> None:
    row = session.get_one(Department, department_id)
    routing.change_department(
        session, department_id=department_id, version=row.version, changes={"parent_id": parent_id}, by=admin
    )


def test_a_fallback_is_one_for_each_region(house: House) -> None:
    house.session.add(RegionFallback(region_id=house.north.id, department_id=house.city_dept.id, changed_at=house.now))
    house.session.flush()
    with pytest.raises(Invalid) as refused:
        territory.change_region(
            house.session,
            region_id=house.north.id,
            name="北苑区",
            aliases=["北"],
            owner_id=None,
            by=house.admin,
            now=house.now,
        )
    assert "2–40" in refused.value.fields["aliases"][0]
    territory.change_region(
        house.session,
        region_id=house.north.id,
        name="北苑新区",
        aliases=["北苑"],
        owner_id=None,
        by=house.admin,
        now=house.now,
    )
    assert house.session.get(RegionFallback, house.north.id) is None
    assert house.north.path == "望川市 / 北苑新区"
