"""What leaves the house is written down: who, what, how many lines; the record is only added to."""

from __future__ import annotations

from datetime import datetime

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from hotline.core.db import Database
from hotline.core.permissions import Role
from reports import queries
from reports.models import Taken
from tests.makers import make_actor, register_ticket, sign_in


@pytest.fixture
def number(db: Database, now: datetime) -> str:
    with db.begin() as session:
        for role in (Role.SUPERVISOR, Role.AUDITOR, Role.OPERATOR):
            make_actor(session, role, login=role.value, name=f"某{role.value}", now=now)
        register_ticket(session, now=now)
        return register_ticket(session, request_type="投诉", now=now).number


def browser(app: Flask, login: str) -> FlaskClient:
    client = app.test_client()
    sign_in(client, login)
    return client


def test_every_way_out_leaves_a_line_that_an_auditor_reads(app: Flask, db: Database, number: str) -> None:
    boss = browser(app, "supervisor")
    assert boss.get("/tickets/export.csv").text.count("\n") >= 3
    assert boss.get("/tickets/export.xlsx?type=投诉").status_code == 200
    assert boss.get("/supervision/departments.csv").status_code == 200
    assert boss.get(f"/tickets/{number}/print").status_code == 200
    assert boss.get("/model/card.json").status_code == 200
    with db.read() as session:
        rows = queries.exports(session).rows
    assert [(row.what, row.rows, row.scope) for row in reversed(rows)] == [
        (Taken.TICKETS_CSV, 2, ""),
        (Taken.TICKETS_XLSX, 1, "诉求类型：投诉"),
        (Taken.DEPARTMENTS_CSV, 0, ""),
        (Taken.TICKET_PRINT, 1, number),
        (Taken.MODEL_CARD_JSON, 1, "版本 无"),
    ]
    shown = browser(app, "auditor").get("/admin/exports").text
    for words in ("某supervisor", "工单清单（XLSX）", "诉求类型：投诉", "打印工单", number):
        assert words in shown
    assert browser(app, "operator").get("/admin/exports").status_code == 403


def test_the_record_turns_its_pages_and_nothing_in_it_is_changed(app: Flask, db: Database, number: str) -> None:
    boss = browser(app, "supervisor")
    for _ in range(3):
        boss.get(f"/tickets/{number}/print")
    with db.read() as session:
        first = queries.exports(session, limit=2)
        second = queries.exports(session, cursor=first.next_cursor, limit=2)
        back = queries.exports(session, cursor=second.previous_cursor, limit=2)
    assert (len(first.rows), len(second.rows), second.next_cursor) == (2, 1, "")
    assert back.rows == first.rows
    assert boss.get("/admin/exports?cursor=nonsense").status_code == 422
    for statement in ("UPDATE exports SET rows = 0", "DELETE FROM exports"):
        with pytest.raises(IntegrityError), db.engine.begin() as connection:
            connection.execute(text(statement))
