"""How many transactions of one process write at one time (docs/decisions/0035)."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import text

import hotline.core.db
from hotline.core.db import Database
from hotline.core.errors import Unavailable
from hotline.core.sealing import Keyring
from hotline.wiring import wired


@pytest.fixture
def narrow(database_url: str) -> Iterator[Database]:
    """Return a database with room for one writer."""
    database = wired(database_url, keyring=Keyring.for_tests(), writers=1)
    yield database
    database.close()


def test_the_next_writer_comes_in_when_the_first_is_done(narrow: Database) -> None:
    order: list[str] = []

    def second() -> None:
        with narrow.begin() as session:
            session.execute(text("SELECT 1"))
            order.append("second")

    other = threading.Thread(target=second)
    with narrow.begin() as session:
        other.start()
        session.execute(text("SELECT 1"))
        with narrow.read() as reading:  # whoever only reads waits for nobody
            reading.execute(text("SELECT 1"))
        order.append("first")
    other.join(timeout=30)
    assert order == ["first", "second"]


def test_a_writer_who_waited_too_long_is_told_and_room_comes_back(
    narrow: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hotline.core.db, "POOL_TIMEOUT_S", 0.01)
    with narrow.begin(), pytest.raises(Unavailable), narrow.begin():
        pass
    with pytest.raises(ZeroDivisionError), narrow.begin():
        raise ZeroDivisionError
    with narrow.begin() as session:
        assert session.execute(text("SELECT 1")).scalar_one() == 1
