"""Likely duplicates from the database: found in other words, at its place, in its time, in two questions."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from hotline.core.db import Database
from hotline.tickets.models import Region, Ticket
from hotline.tickets.states import Outcome, State
from hotline.wiring import Installation, event_named
from routing.relations import duplicates
from routing.relations.sketch_models import TicketSketch, TicketSketchKey
from tests.makers import count_queries, make_region, register_ticket

TITLE = "翠微澜庭北门烧烤摊油烟扰民"
CONTENT = (
    "翠微澜庭小区北门外每天晚上都有烧烤摊，油烟直接飘进我们3栋的窗户，吵到凌晨两点，孩子没法睡觉，请城管来管一管。"
)
OTHER_WORDS = "住在翠微澜庭，北门那几家烧烤摊天天摆到后半夜，油烟熏得窗户不敢开，找过物业没有用，希望有人处理。"


def told(
    session: Session, *, title: str = TITLE, content: str = CONTENT, region: Region | None = None, now: datetime
) -> Ticket:
    found = register_ticket(session, title=title, content=content, region_id=region.id if region else None, now=now)
    ticket = session.get_one(Ticket, found.ticket_id)
    duplicates.remember(session, ticket)
    session.flush()
    return ticket


def ask(session: Session, *, content: str = OTHER_WORDS, region: Region | None = None, now: datetime) -> list[int]:
    found = duplicates.find(session, title="", content=content, region_id=region.id if region else None, told_at=now)
    return [one.ticket.id for one in found]


def test_a_matter_told_in_other_words_is_found_and_other_matters_are_not(db: Database, now: datetime) -> None:
    with db.begin() as session:
        same = told(session, now=now - timedelta(days=2))
        told(session, title="路灯不亮", content="学府路和平街口的路灯坏了半个月，晚上过马路很危险。", now=now)
        told(session, title="公积金提取", content="我想问问离职以后住房公积金怎么提取，要带哪些材料？", now=now)
    with db.read() as session:
        found = duplicates.find(session, title="烧烤油烟", content=OTHER_WORDS, told_at=now)
    assert [one.ticket.id for one in found] == [same.id]
    assert found[0].probability >= duplicates.LEAST


def test_a_ticket_of_another_place_is_not_offered_and_one_without_a_place_is(db: Database, now: datetime) -> None:
    with db.begin() as session:
        north, south = make_region(session, "990101", name="北苑区"), make_region(session, "990202", name="南湖区")
        city, street = make_region(session, "9901", name="北片"), make_region(session, "990101005", name="翠微街道")
        here, there, nowhere = (told(session, region=one, now=now) for one in (north, south, None))
    with db.read() as session:
        assert set(ask(session, region=north, now=now)) == {here.id, nowhere.id}
        assert set(ask(session, region=city, now=now)) == {here.id, nowhere.id}, "what is wider holds it"
        assert set(ask(session, region=street, now=now)) == {here.id, nowhere.id}, "what is narrower lies in it"
        assert set(ask(session, now=now)) == {here.id, there.id, nowhere.id}


def test_old_ones_and_those_closed_long_ago_or_withdrawn_are_not_offered(db: Database, now: datetime) -> None:
    with db.begin() as session:
        open_one, closed, lately, withdrawn, hidden = (told(session, now=now - timedelta(days=40)) for _ in range(5))
        told(session, now=now - duplicates.WINDOW - timedelta(days=1))
        for ticket, outcome, days in (
            (closed, Outcome.ANSWERED_DIRECTLY, 35),
            (lately, Outcome.ANSWERED_DIRECTLY, 5),
            (withdrawn, Outcome.WITHDRAWN, 5),
        ):
            session.execute(
                update(Ticket)
                .where(Ticket.id == ticket.id)
                .values(state=State.CLOSED, outcome=outcome, closed_at=now - timedelta(days=days))
            )
        session.execute(update(Ticket).where(Ticket.id == hidden.id).values(confidential=True))
    with db.read() as session:
        assert set(ask(session, content=CONTENT, now=now)) == {open_one.id, lately.id}


def test_a_ticket_is_no_duplicate_of_itself_and_at_most_five_are_offered(db: Database, now: datetime) -> None:
    with db.begin() as session:
        tickets = [told(session, content=f"{CONTENT}第{one}次反映了。", now=now) for one in range(8)]
    with db.read() as session:
        found = duplicates.of_ticket(session, session.get_one(Ticket, tickets[0].id))
    assert len(found) == duplicates.MOST
    assert tickets[0].id not in {one.ticket.id for one in found}
    assert [one.probability for one in found] == sorted((one.probability for one in found), reverse=True)


def test_two_questions_however_many_are_alike(db: Database, now: datetime) -> None:
    with db.begin() as session:
        for one in range(40):
            told(session, content=f"{CONTENT}已经是第{one}次反映。", now=now)
    with db.read() as session, count_queries(db) as counted:
        assert ask(session, now=now)
    assert counted.count == 2


@pytest.mark.parametrize("content", ["", "。。。", "啊", "\x00", "𠮷" * 3, "喂" * 30_000])
def test_odd_texts_find_nothing_and_break_nothing(db: Database, now: datetime, content: str) -> None:
    with db.begin() as session:
        told(session, now=now)
    with db.read() as session:
        assert ask(session, content=content, now=now) == []


def test_of_a_number_that_many_hold_only_the_newest_are_looked_at(
    db: Database, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with db.begin() as session:
        several = [
            told(session, title="噪音", content=f"夜里施工吵得睡不着觉，第{one}个电话了，请处理。", now=now)
            for one in range(30)
        ]
    monkeypatch.setattr(duplicates, "_MOST_HOLDERS", 3)
    with db.read() as session:
        found = ask(session, content="夜里施工吵得睡不着觉，请处理。", now=now)
        ids = session.scalars(select(TicketSketch.ticket_id).order_by(TicketSketch.ticket_id.desc()).limit(3)).all()
    assert len(several) == 30
    assert set(found) == set(ids)


def test_the_rows_that_are_looked_up_say_what_the_sketches_say(db: Database, now: datetime) -> None:
    """Written, corrected and forgotten: the database itself keeps both alike."""

    def rows(session: Session) -> set[tuple[int, int]]:
        return {(one.key, one.ticket_id) for one in session.scalars(select(TicketSketchKey))}

    def sketches(session: Session) -> set[tuple[int, int]]:
        return {(key, one.ticket_id) for one in session.scalars(select(TicketSketch)) for key in one.keys}

    with db.begin() as session:
        told(session, now=now)
        told(session, content=f"{CONTENT}又来一次。", now=now)
        session.flush()
        assert rows(session) == sketches(session) != set()
        first = session.scalars(select(TicketSketch).order_by(TicketSketch.ticket_id)).first()
        assert first is not None
        first.keys = [1, 2, 3]
        session.flush()
        assert rows(session) == sketches(session)
        session.delete(first)
        session.flush()
        assert rows(session) == sketches(session) != set()


def test_the_background_step_keeps_the_sketch_once(tools: Installation, now: datetime) -> None:
    from hotline.wiring import REACTIONS

    with tools.db.begin() as session:
        ticket_id = register_ticket(session, title=TITLE, content=CONTENT, now=now).ticket_id
    event = event_named("TicketRegistered", {"ticket_id": ticket_id})
    assert event is not None
    for _ in range(2):
        with tools.db.begin() as session:
            REACTIONS[type(event)][0].run(session, event, tools, now)
    with tools.db.read() as session:
        row = session.scalars(select(TicketSketch)).one()
        assert row.ticket_id == ticket_id
        assert row.keys == duplicates.keys_of(TITLE, session.get_one(Ticket, ticket_id).content)


def test_catching_up_fills_what_is_missing_bounded_and_a_second_time_changes_nothing(
    db: Database, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicates, "BATCH", 4)
    monkeypatch.setattr(duplicates, "MOST_BATCHES", 2)
    with db.begin() as session:
        for one in range(30):
            told(session, content=f"{CONTENT}第{one}次。", now=now - timedelta(days=one % 3))
        too_old = told(session, now=now - duplicates.WINDOW - timedelta(days=5)).id
        session.execute(delete(TicketSketch))
    counts = []
    for _ in range(6):
        before = _sketches(db)
        duplicates.catch_up(db.begin, now=now)
        counts.append(_sketches(db) - before)
    assert sum(counts) == 30
    assert max(counts) <= 3 * 4, "no run takes more than its batches"
    assert counts[-1] == 0
    assert duplicates.catch_up(db.begin, now=now) == 0
    with db.read() as session:
        assert session.get(TicketSketch, too_old) is None


def test_catching_up_takes_away_what_is_too_old_and_makes_anew_what_another_recipe_left(
    db: Database, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    from classifier import duplicates as recipe

    with db.begin() as session:
        old, new = (told(session, now=now - timedelta(days=days)).id for days in (179, 1))
    duplicates.catch_up(db.begin, now=now)
    duplicates.catch_up(db.begin, now=now + timedelta(days=3))
    with db.read() as session:
        assert session.scalars(select(TicketSketch.ticket_id)).all() == [new]
        assert session.get(Ticket, old) is not None
    monkeypatch.setattr(recipe, "SKETCH_VERSION", 2)
    duplicates.catch_up(db.begin, now=now)
    with db.read() as session:
        assert session.get_one(TicketSketch, new).version == 2


def _sketches(db: Database) -> int:
    with db.read() as session:
        return session.scalar(select(func.count()).select_from(TicketSketch)) or 0
