"""What a connection has prepared stays prepared: a reader costs the next writer nothing (docs/decisions/0041)."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from hotline.core.db import PREPARED_AFTER, Database
from hotline.core.errors import NotFound


def prepared(db: Database) -> set[str]:
    """Return what the one connection of the pool, the last used, holds prepared."""
    with db.begin() as session:
        rows = session.execute(text("SELECT statement FROM pg_prepared_statements"))
        return {row.statement for row in rows if "prepared_statements" not in row.statement}


def write_often(db: Database) -> None:
    for number in range(PREPARED_AFTER + 2):
        with db.begin() as session:
            session.execute(text("SELECT CAST(:number AS bigint) + 1"), {"number": number})


def test_what_a_writer_prepared_survives_a_reader(db: Database) -> None:
    write_often(db)
    before = prepared(db)
    assert before
    with db.read() as session:
        session.execute(text("SELECT 1"))
    assert prepared(db) == before


def test_it_survives_a_reader_that_found_nothing(db: Database) -> None:
    write_often(db)
    before = prepared(db)
    with pytest.raises(NotFound), db.read():
        raise NotFound
    assert prepared(db) == before


def test_a_reader_prepares_nothing_because_lists_are_planned_for_their_words(db: Database) -> None:
    for _ in range(PREPARED_AFTER + 3):
        with db.read() as session:
            session.execute(text("SELECT 'a list'"))
    assert prepared(db) == set()


def test_a_reader_still_cannot_write(db: Database) -> None:
    with pytest.raises(DBAPIError, match="read-only"), db.read() as session:
        session.execute(text("DELETE FROM outbox"))


def test_a_reader_whose_question_failed_leaves_a_connection_that_works(db: Database) -> None:
    with pytest.raises(DBAPIError), db.read() as session:
        session.execute(text("SELECT nothing FROM nowhere"))
    with db.read() as session:
        assert session.execute(text("SELECT 1")).scalar_one() == 1
