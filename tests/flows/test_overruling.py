"""Editions of the catalogue and rulings that bind: what an edition would overrule is seen and meant."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from hotline.core.db import Database
from hotline.core.errors import Conflict, Denied, HotlineError, Invalid
from hotline.core.permissions import Actor, Role
from hotline.tickets.models import Category
from hotline.tickets.queries import timeline
from hotline.tickets.states import Act
from routing.catalogue import editions as catalogue
from routing.catalogue.editions import RowWish
from routing.catalogue.models import CatalogueState, CatalogueVersion, RegionFallback
from routing.duty import disputing, overruling
from routing.duty.models import Dispute, Overruling, Ruling
from routing.duty.overruling import Overruled
from routing.duty.rules import RulingState, Seat
from routing.models import Department, DepartmentKind
from tests.makers import (
    count_queries,
    dispatched_ticket,
    make_actor,
    make_category,
    make_department,
    make_region,
    ruled_ticket,
)


class City:
    """A category and a region, three units, an administrator; `ruled` lets a panel rule on the category."""

    def __init__(self, session: Session, now: datetime) -> None:
        """Make them."""
        self.session, self.now = session, now
        self.admin = make_actor(session, Role.ADMINISTRATOR, now=now)
        self.lamps = make_department(session, "lamps", name="市路灯处")
        self.roads = make_department(session, "roads", name="市公路局")
        self.water = make_department(session, "water", name="市水务局")
        self.category = make_category(session, "CJ-01", name="路灯")
        self.other = make_category(session, "CJ-02", name="井盖")
        self.north = make_region(session, "9901", name="北苑区")

    def ruled(
        self, *, lead: Department | None = None, helping: tuple[Department, ...] = (), category: Category | None = None
    ) -> Ruling:
        ruling = ruled_ticket(
            self.session,
            self.lamps,
            lead=lead or self.roads,
            helping=helping,
            category_id=(category or self.category).id,
            region_id=self.north.id,
            now=self.now,
        )
        self.session.flush()
        return ruling

    def put(self, lead: str, **given: object) -> None:
        wish = RowWish(**{"category": "CJ-01", "lead": lead, **given})  # type: ignore[arg-type]
        catalogue.add_row_to_draft(self.session, wish=wish, by=self.admin, now=self.now)

    def found(self) -> list[Overruled]:
        draft = catalogue.draft(self.session)
        assert draft is not None
        return overruling.overruled(self.session, draft)

    def publish(self, **given: object) -> CatalogueVersion:
        draft = catalogue.draft(self.session)
        assert draft is not None
        values = {"number": draft.number, "version": draft.version, "by": self.admin, "now": self.now, **given}
        return overruling.publish(self.session, **values)  # type: ignore[arg-type]

    def lines(self, ruling: Ruling) -> list[str]:
        dispute = self.session.get_one(Dispute, ruling.dispute_id)
        return [one.note for one in timeline(self.session, dispute.ticket_id) if one.act is Act.OVERRULE]


@pytest.fixture
def city(session: Session, now: datetime) -> City:
    session.info.get("granting", {}).clear()
    return City(session, now)


def test_a_draft_with_another_lead_than_a_ruling_is_not_published_unseen(city: City) -> None:
    ruling = city.ruled()
    city.put("lamps")
    (one,) = city.found()
    assert (one.ruling_id, one.lead, one.instead_lead, one.left_out) == (ruling.id, "市公路局", "市路灯处", ())
    assert overruling.words_of(one) == "主办由市公路局改为市路灯处"
    with pytest.raises(Invalid) as refused:
        city.publish()
    assert set(refused.value.fields) == {"overrules"}
    assert one.number in refused.value.fields["overrules"][0]
    assert city.lines(ruling) == []
    edition = city.publish(confirmed=[ruling.id])
    assert edition.state is CatalogueState.PUBLISHED
    assert city.lines(ruling) == ["派单目录第 1 版与本件裁定不一致，已确认：主办由市公路局改为市路灯处。"]
    assert overruling.overrulings_of(city.session, [ruling.id])[ruling.id][0] == 1


def test_all_are_confirmed_at_once_only_as_many_as_were_seen(city: City) -> None:
    first, second = city.ruled(), city.ruled(category=city.other)
    city.put("lamps")
    city.put("lamps", category="CJ-02")
    with pytest.raises(Invalid):
        city.publish(confirmed=[first.id])
    with pytest.raises(Conflict, match="现有 2 件，与您看到的 1 件不同"):
        city.publish(all_of=1)
    city.publish(all_of=2)
    assert [len(city.lines(one)) for one in (first, second)] == [1, 1]


def test_what_was_confirmed_once_is_not_asked_again_unless_the_edition_says_something_else(city: City) -> None:
    ruling = city.ruled()
    city.put("lamps")
    city.publish(confirmed=[ruling.id])
    later = {"now": city.now + timedelta(days=1)}
    city.put("lamps", basis="三定方案")
    assert city.found() == []
    city.publish(**later)
    assert len(city.lines(ruling)) == 1
    city.put("water")
    assert [one.instead_lead for one in city.found()] == ["市水务局"]


def test_a_draft_that_follows_the_ruling_overrules_nothing(city: City) -> None:
    ruling = city.ruled(helping=(city.water,))
    city.put("lamps")
    disputing.into_catalogue(city.session, ruling_id=ruling.id, by=city.admin, now=city.now)
    assert city.found() == []
    city.publish()
    assert city.session.scalars(select(Overruling)).all() == []


def test_a_co_handler_of_the_ruling_that_the_edition_leaves_out_is_told(city: City) -> None:
    ruling = city.ruled(helping=(city.water, city.lamps))
    city.put("roads", co_handlers=("water",))
    (one,) = city.found()
    assert (one.same_lead, one.left_out) == (True, ("市路灯处",))
    assert overruling.words_of(one) == "不再由市路灯处协办"
    city.publish(confirmed=[ruling.id])


def test_only_the_row_that_would_answer_counts(city: City) -> None:
    city.ruled()
    city.put("roads", region="9901")
    city.put("lamps")  # for the whole city: narrower is the region's row, and it follows the ruling
    assert city.found() == []
    city.put("lamps", region="9901", request_type="求助")
    assert [one.instead_lead for one in city.found()] == ["市路灯处"]


def test_no_row_no_contradiction_and_a_row_for_the_owner_of_the_place_is_read_as_the_owner(city: City) -> None:
    city.ruled()
    city.put("lamps", category="CJ-02")
    assert city.found() == []
    city.put(catalogue.TERRITORIAL)
    assert [one.instead_lead for one in city.found()] == ["属地兜底单位"]
    owner = make_department(city.session, name="北苑区政府", kind=DepartmentKind.DISTRICT)
    city.session.add(
        RegionFallback(region_id=city.north.id, department_id=owner.id, changed_by=None, changed_at=city.now)
    )
    city.session.flush()
    city.session.info.get("granting", {}).clear()
    assert [one.instead_lead for one in city.found()] == ["北苑区政府"]


def test_a_ruling_that_is_cited_no_more_or_whose_lead_was_closed_binds_no_edition(city: City) -> None:
    ruling = city.ruled()
    city.put("lamps")
    city.roads.active = False
    city.session.flush()
    assert city.found() == []
    city.roads.active = True
    dispatcher = make_actor(city.session, Role.DISPATCHER, now=city.now)
    disputing.retire_precedent(city.session, ruling_id=ruling.id, by=dispatcher, now=city.now)
    city.session.flush()
    assert city.found() == []


def test_nobody_but_an_administrator_overrules(city: City) -> None:
    city.put("lamps")
    with pytest.raises(Denied):
        city.publish(by=make_actor(city.session, Role.DISPATCHER, now=city.now))


_OVERRULE = """
INSERT INTO overrulings (version_id, ruling_id, instead, words, at)
SELECT v.id, r.id, 'x', 'x', now() FROM rulings r, catalogue_versions v WHERE v.state = '{state}'
"""


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE overrulings SET words = 'x'", "overrulings_are_kept"),
        ("DELETE FROM overrulings", "overrulings_are_kept"),
        (_OVERRULE.format(state="draft"), "overrules_what_binds"),
    ],
)
def test_what_must_not_be_written_the_database_refuses(
    db: Database, now: datetime, statement: str, constraint: str
) -> None:
    with db.begin() as session:
        city = City(session, now)
        ruling = city.ruled()
        city.put("lamps")
        city.publish(confirmed=[ruling.id])
        city.put("water")
    with pytest.raises(Conflict, match=constraint), db.begin() as session:
        session.execute(text(statement))


def test_the_database_refuses_to_overrule_what_is_cited_no_more(db: Database, now: datetime) -> None:
    with db.begin() as session:
        city = City(session, now)
        city.ruled().retired_at = now
        city.put("lamps")
        city.publish()
    with pytest.raises(Conflict, match="overrules_what_binds"), db.begin() as session:
        session.execute(text(_OVERRULE.format(state="published")))


def test_however_many_rulings_there_are_the_same_number_of_questions_is_asked(db: Database, now: datetime) -> None:
    counts = []
    with db.begin() as session:
        city = City(session, now)
        city.put("lamps")
    for _ in range(2):
        with db.begin() as session:
            city.session = session
            for _ in range(3):
                city.ruled()
        with db.read() as session, count_queries(db) as counted:
            city.session = session
            found = len(city.found())
        counts.append((found, counted.count))
    assert [found for found, _ in counts] == [3, 6]
    assert counts[0][1] == counts[1][1] <= 10


def test_a_ruling_that_comes_into_force_while_an_edition_is_published_is_seen_or_is_the_later_word(
    db: Database, now: datetime
) -> None:
    """Both at the same instant: either the edition was refused because of the ruling, or the ruling came after it."""
    with db.begin() as session:
        city = City(session, now)
        city.put("lamps")
        ticket = dispatched_ticket(session, city.lamps, category_id=city.category.id, region_id=city.north.id, now=now)
        dispatcher, supervisor, arbiter = (
            make_actor(session, role, now=now) for role in (Role.DISPATCHER, Role.SUPERVISOR, Role.ARBITER)
        )
        dispute = disputing.open_dispute(
            session, ticket_id=ticket.id, version=None, words="两家说法不一。", by=dispatcher, now=now
        )
        session.flush()
        disputing.name_panel(
            session,
            dispute_id=dispute.id,
            seats=[(supervisor.user_id or 0, Seat.HOTLINE), (arbiter.user_id or 0, Seat.ESTABLISHMENT)],
            by=dispatcher,
            now=now,
        )
        ruling_id = disputing.propose_ruling(
            session,
            dispute_id=dispute.id,
            lead_id=city.roads.id,
            assist_ids=[],
            words="设施由其建设并管养。",
            basis="三定规定第二条",
            by=arbiter,
            now=now,
        ).id
    start, order, refused = threading.Barrier(2), list[str](), list[HotlineError]()

    def confirm(by: Actor) -> None:
        start.wait(10)
        with db.begin() as session:
            disputing.confirm_ruling(session, ruling_id=ruling_id, by=by, now=now)
            order.append("ruling")

    def publish() -> None:
        start.wait(10)
        try:
            with db.begin() as session:
                draft = catalogue.draft(session)
                assert draft is not None
                overruling.publish(session, number=draft.number, version=draft.version, by=city.admin, now=now)
                order.append("edition")
        except Invalid as error:
            refused.append(error)

    both = [threading.Thread(target=confirm, args=(supervisor,)), threading.Thread(target=publish)]
    for each in both:
        each.start()
    for each in both:
        each.join(30)
    with db.read() as session:
        assert session.get_one(Ruling, ruling_id).state is RulingState.IN_FORCE
        published = session.scalars(select(CatalogueVersion.state)).one() is CatalogueState.PUBLISHED
    assert (order, bool(refused), published) in ((["ruling"], True, False), (["edition", "ruling"], False, True))
