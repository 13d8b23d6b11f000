"""Live counters: they tell, they end, they make room, and they tell a stranger nothing."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from hotline.cli.serving import WEB_THREADS
from hotline.core.db import Database
from hotline.core.permissions import Actor, Role
from hotline.web.live import SLOTS, Figures, Streams, shown_to
from hotline.wiring import Installation
from routing.lists import Due
from tests.makers import count_queries, dispatched_ticket, make_actor, make_department, register_ticket, sign_in

PATH = "/live/counters"
STREAM = {"Accept": "text/event-stream"}


def told(text: str, name: str = "counters") -> list[Any]:
    """Return the data of every event of this name in a stream."""
    blocks = [block.splitlines() for block in text.split("\n\n")]
    return [
        json.loads(line.removeprefix("data: "))
        for block in blocks
        if f"event: {name}" in block
        for line in block
        if line.startswith("data: ")
    ]


def beats(*, step: float) -> Iterator[float]:
    return itertools.count(0.0, step)


@pytest.fixture
def streams(app: Flask, db: Database, now: datetime) -> Streams:
    """Streams that beat without waiting: every look at the stopwatch is ten seconds later."""
    made = Streams(db, slots=1, tick_s=0.0, now=lambda: now, stopwatch=beats(step=10).__next__)
    app.extensions["live"] = made
    return made


def test_a_quarter_of_the_threads_may_be_held() -> None:
    assert SLOTS * 4 <= WEB_THREADS


def test_a_dispatcher_sees_what_waits_and_the_stream_ends(
    client: FlaskClient, tools: Installation, streams: Streams, now: datetime
) -> None:
    with tools.db.begin() as session:
        make_actor(session, Role.DISPATCHER, login="dispatcher", now=now)
        register_ticket(session, now=now)
    sign_in(client, "dispatcher")
    answer = client.get(PATH, headers=STREAM)
    assert answer.status_code == 200
    assert answer.mimetype == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-store"
    (first, *_) = told(answer.text)
    assert first == {
        "tickets.state.registered": 1,
        "adjustments.waiting": 0,
        "returns.open": 0,
        "vettings.waiting": 0,
        "disputes.open": 0,
        "tickets.overdue": 0,
        "tickets.due_today": 0,
    }
    assert ":\n\n" in answer.text
    assert "later" not in answer.text


def test_a_stream_tells_what_changes_while_it_is_open(
    client: FlaskClient, tools: Installation, streams: Streams, now: datetime
) -> None:
    with tools.db.begin() as session:
        make_actor(session, Role.DISPATCHER, login="dispatcher", now=now)
    sign_in(client, "dispatcher")
    answer = client.get(PATH, headers=STREAM, buffered=False)
    heard = iter(answer.response)
    assert told(_text(next(heard)))[0]["tickets.state.registered"] == 0
    with tools.db.begin() as session:
        register_ticket(session, now=now)
    assert told(_text(next(heard)))[0]["tickets.state.registered"] == 1
    answer.close()
    assert streams.take(), "a browser that went away gives its slot back"


def test_without_room_the_figures_come_once_with_the_wish_to_come_later(
    client: FlaskClient, tools: Installation, streams: Streams, now: datetime
) -> None:
    with tools.db.begin() as session:
        make_actor(session, Role.SUPERVISOR, login="supervisor", now=now)
    sign_in(client, "supervisor")
    assert streams.take()
    answer = client.get(PATH, headers=STREAM)
    assert len(told(answer.text)) == 1
    assert told(answer.text, "later") == [15000]
    assert "retry: 15000" in answer.text
    assert ":\n\n" not in answer.text
    streams.give_back()
    assert told(client.get(PATH, headers=STREAM, buffered=True).text, "later") == []
    assert streams.take(), "a stream that ended gives its slot back"


def test_a_house_that_closes_lets_its_streams_go(
    client: FlaskClient, tools: Installation, streams: Streams, now: datetime
) -> None:
    with tools.db.begin() as session:
        make_actor(session, Role.DISPATCHER, login="dispatcher", now=now)
    sign_in(client, "dispatcher")
    answer = client.get(PATH, headers=STREAM, buffered=False)
    heard = iter(answer.response)
    next(heard)
    streams.close()
    assert list(heard) == []
    answer.close()
    assert not streams.take()


def test_a_signed_out_browser_is_told_so_and_not_led_to_a_form(client: FlaskClient) -> None:
    assert client.get(PATH, headers=STREAM).status_code == 401


def test_however_many_ask_the_database_is_read_once_per_tick(db: Database) -> None:
    at = iter([0.0, 1.0, 1.9, 2.5])
    shared = Streams(db, stopwatch=at.__next__)
    with count_queries(db) as first:
        for _ in range(3):
            shared.figures()
    assert first.count == 2  # the counters, and what is due
    with count_queries(db) as later:
        shared.figures()
    assert later.count == 1  # what is due is not read that often


def test_a_member_of_two_departments_sees_their_sum_and_nobody_elses(db: Database, now: datetime) -> None:
    with db.begin() as session:
        mine, also_mine, other = (make_department(session) for _ in range(3))
        for department in (mine, also_mine, other):
            dispatched_ticket(session, department, now=now)
        member = make_actor(session, Role.RESPONDER, departments=[mine, also_mine], now=now)
    figures = Streams(db, now=lambda: now).figures()
    assert shown_to(member, figures) == {
        "mine.alarms": 0,
        "mine.in_hand": 2,
        "mine.unsigned": 2,
        "mine.overdue": 0,
        "mine.due_today": 0,
    }
    past = Figures(counters=figures.counters, due={mine.id: Due(overdue=3, today=1), other.id: Due(overdue=9, today=9)})
    assert shown_to(member, past)["mine.overdue"] == 3
    supervisor = Actor(user_id=1, role=Role.SUPERVISOR)
    everything = shown_to(supervisor, past)
    assert (everything["tickets.overdue"], everything["tickets.due_today"]) == (12, 10)
    assert everything["tickets.state.dispatched"] == 3
    assert "mine.in_hand" not in everything


def _text(chunk: object) -> str:
    assert isinstance(chunk, (bytes, str))
    return chunk.decode() if isinstance(chunk, bytes) else chunk
