"""The demonstration city's catalogue is whole: every matter has a lead, nothing leads nowhere, places are found."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from classifier import seeds
from hotline.core.permissions import Role
from hotline.demo import catalogue as demo
from hotline.demo import data
from hotline.demo.places import load_catalogue
from hotline.tickets.models import Category, Region
from routing.catalogue import editions as catalogue
from routing.catalogue import territory
from routing.catalogue.rules import FATAL, Flaw
from tests.makers import make_actor


@pytest.fixture
def city(session: Session, now: datetime) -> Session:
    session.info["granting"].clear()
    told, corpus = data.load(), seeds.load()
    places = load_catalogue(session, told, corpus)
    admin = make_actor(session, Role.ADMINISTRATOR, now=now)
    demo.load_places(session, told, regions=places.regions, departments=places.departments, now=now)
    demo.publish(session, told, corpus, by=admin, now=now)
    demo.draft_next(session, told, corpus, by=admin, now=now)
    return session


def test_every_matter_has_a_row_and_no_row_leads_nowhere(city: Session, now: datetime) -> None:
    edition = catalogue.version_in_force(city, now=now)
    assert edition is not None
    found = catalogue.findings_of(city, edition.id)
    assert [one for one in found if one.flaw in FATAL | {Flaw.NO_ROW, Flaw.NO_OWNER}] == []
    assert len(catalogue.rows_of(city, edition.id)) >= 225
    draft = catalogue.draft(city)
    assert draft is not None
    assert {row.wish for row in catalogue.rows_of(city, draft.id)} > {
        row.wish for row in catalogue.rows_of(city, edition.id) if row.category_code != "CJ-0605"
    }


def test_the_particular_rows_win_where_they_hold(city: Session, now: datetime) -> None:
    def lead(code: str, region: str, kind: str) -> str:
        category = city.scalars(select(Category).where(Category.code == code)).one()
        place = city.scalars(select(Region).where(Region.code == region)).one()
        said = catalogue.proposal_for(city, category_id=category.id, region_id=place.id, request_type=kind, now=now)
        assert said is not None
        return said.lead_code

    assert lead("CJ-0603", "990102001", "投诉") == "urban_management"
    assert lead("CJ-0603", "990121101", "投诉") == "district_wangquan"
    assert lead("CJ-0106", "990103", "咨询") == "housing"
    assert lead("CJ-0106", "990103", "投诉") == "district_dongze"


@pytest.mark.parametrize(
    ("words", "sure", "doubtful"),
    [
        ("文昌公园东门", "990102001001", 0),
        ("人民路 12 号", "", 3),
        ("北苑区文昌街道人民路 12 号", "990102001", 0),
        ("锦绣苑三号楼", "", 2),
        ("北苑区锦绣苑三号楼", "990102002005", 0),
        ("家里水管坏了", "", 0),
    ],
)
def test_places_of_the_city_are_found_and_namesakes_are_asked_about(  # noqa: PLR0917 - a table of cases
    city: Session, now: datetime, words: str, sure: str, doubtful: int
) -> None:
    found = territory.locate(city, words, now=now + timedelta(days=1))
    assert (found.sure.code if found.sure else "") == sure
    assert len(found.doubtful) == doubtful
