"""A ticket names the public service item that it is about, and rows of the catalogue that name one answer for it."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from hotline.core.clock import local_day
from hotline.core.db import Database
from hotline.core.errors import Conflict, Denied, Invalid
from hotline.core.permissions import Actor, Role
from hotline.intake import importing
from hotline.intake.importing import lookups
from hotline.tickets import actions as tickets
from hotline.tickets import queries, service_items
from hotline.tickets.models import JournalEntry, Ticket
from hotline.tickets.states import Act
from hotline.web.desks.hints import items_named
from routing.actions import dispatch
from routing.catalogue import editions
from routing.catalogue.editions import proposal_for
from routing.models import Dispatch
from tests.makers import make_actor, make_category, make_department, register_ticket

ITEM = "异地就医备案"
OTHER = "住宅专项维修资金使用备案"


@pytest.fixture
def administrator(db: Database, now: datetime) -> Actor:
    with db.begin() as session:
        by = make_actor(session, Role.ADMINISTRATOR, now=now)
        service_items.add(session, code="YB-001", name=ITEM, department="medical", by=by)
        service_items.add(session, code="SJ-002", name=OTHER, by=by)
    return by


def test_an_item_is_added_once_and_only_by_whoever_keeps_the_catalogue(
    db: Database, now: datetime, administrator: Actor
) -> None:
    for code, name, field in (("YB-001", "别的事项", "code"), ("X-1", ITEM, "name"), ("?", "事项", "code")):
        with pytest.raises(Invalid) as refused, db.begin() as session:
            service_items.add(session, code=code, name=name, by=administrator)
        assert set(refused.value.fields) == {field}
    with db.begin() as session:
        operator = make_actor(session, Role.OPERATOR, now=now)
    with pytest.raises(Denied), db.begin() as session:
        service_items.add(session, code="X-2", name="事项二", by=operator)


def test_a_concern_names_an_item_and_a_retired_one_no_more(db: Database, now: datetime, administrator: Actor) -> None:
    with db.begin() as session:
        made = register_ticket(session, now=now, service_item=ITEM)
        assert session.get_one(Ticket, made.ticket_id).service_item == ITEM
        (first, *_) = [row for row in queries.service_items(session) if row.name == ITEM]
        assert service_items.turn(session, item_id=first.id, by=administrator, today=local_day(now)) is True
    for said in (ITEM, "没有这样的事项"):
        with pytest.raises(Invalid) as refused, db.begin() as session:
            register_ticket(session, now=now, service_item=said)
        assert set(refused.value.fields) == {"service_item"}
    with db.begin() as session:
        assert service_items.turn(session, item_id=first.id, by=administrator, today=local_day(now)) is False
        register_ticket(session, now=now, service_item=ITEM)


def test_the_database_itself_knows_only_items_of_the_list(db: Database, now: datetime, administrator: Actor) -> None:
    with db.begin() as session:
        made = register_ticket(session, now=now)
    with pytest.raises(Conflict), db.begin() as session:
        session.get_one(Ticket, made.ticket_id).service_item = "没有这样的事项"


def test_a_correction_is_in_the_journal_with_before_and_after(
    db: Database, now: datetime, administrator: Actor
) -> None:
    with db.begin() as session:
        operator = make_actor(session, Role.OPERATOR, now=now)
        made = register_ticket(session, by=operator, now=now)
    common = {"ticket_id": made.ticket_id, "version": 1, "reason": "", "by": operator, "now": now}
    with pytest.raises(Invalid), db.begin() as session:
        tickets.amend(session, changes={"service_item": "没有"}, **common)  # type: ignore[arg-type]
    with db.begin() as session:
        tickets.amend(session, changes={"service_item": ITEM}, **common)  # type: ignore[arg-type]
    with db.read() as session:
        line = session.scalars(select(JournalEntry).where(JournalEntry.act == Act.AMEND)).one()
        assert line.details["changes"] == {"服务事项": ["（空）", ITEM]}


def test_a_row_that_names_the_item_goes_before_the_rows_of_the_category(
    db: Database, now: datetime, administrator: Actor
) -> None:
    with db.begin() as session:
        usual, special = make_department(session, name="市卫健委"), make_department(session, name="市医保局")
        category = make_category(session, name="医疗")
        draft = editions.open_draft(session, by=administrator, now=now)
        for lead, item in ((usual, ""), (special, ITEM)):
            wish = editions.RowWish(category=category.code, lead=lead.code, service_item=item, basis="三定")
            editions.add_row_to_draft(session, wish=wish, by=administrator, now=now)
    with db.begin() as session:
        draft = editions.version_numbered(session, draft.number)
        editions.publish(session, number=draft.number, version=draft.version, by=administrator, now=now)
    later = now + timedelta(minutes=5)
    with db.begin() as session:
        leads = [
            proposal.lead
            for item in ("", ITEM, OTHER)
            if (
                proposal := proposal_for(session, category_id=category.id, region_id=None, service_item=item, now=later)
            )
        ]
        assert leads == [usual.short_name, special.short_name, usual.short_name]
        made = register_ticket(session, now=later, category_id=category.id, service_item=ITEM)
        dispatch(
            session,
            ticket_id=made.ticket_id,
            version=None,
            department_id=special.id,
            reason="按目录",
            by=make_actor(session, Role.DISPATCHER, now=later),
            now=later,
        )
        row = session.scalars(select(Dispatch).where(Dispatch.ticket_id == made.ticket_id)).one()
        named = editions.proposal_for(session, category_id=category.id, region_id=None, service_item=ITEM, now=later)
        assert named is not None
        assert row.catalogue_row_id == named.row_id


def test_a_file_names_an_item_by_code_or_name(db: Database, now: datetime, administrator: Actor) -> None:
    with db.read() as session:
        known = lookups(session)
    assert {known.items["yb001"], known.items[ITEM]} == {ITEM}
    assert "政务服务事项" in importing.FIELDS["service_item"][1]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("请问异地就医备案怎么办", [ITEM]),
        ("我想问异地就医，怎样备案才能报销", [ITEM]),
        ("小区电梯坏了", []),
        ("住宅专项维修资金能用来修屋顶吗", [OTHER]),
    ],
)
def test_a_text_suggests_the_items_that_it_is_about(text: str, found: list[str]) -> None:
    assert items_named(text, [ITEM, OTHER]) == found
