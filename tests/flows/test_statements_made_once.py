"""A statement that was made once is handed to the driver as text, and does what it did before (docs/decisions/0057)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import pytest
from sqlalchemy import (
    BigInteger,
    Executable,
    String,
    Table,
    bindparam,
    column,
    func,
    insert,
    literal,
    select,
    true,
    update,
    values,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from hotline.core.db import Database, _plain, run, write
from hotline.core.errors import Conflict
from hotline.core.outbox import OutboxRow
from hotline.core.permissions import Role
from hotline.people.models import User
from hotline.tickets.models import Ticket
from tests.makers import count_queries

NEWS_TABLE = cast("Table", OutboxRow.__table__)
USERS = cast("Table", User.__table__)
NOW = datetime(2026, 11, 30, 1, 2, 3, 456789, tzinfo=UTC)
NEWS = {"event": "百分号 % 与 :冒号 %(x)s", "payload": {"a": [1, None, "“引号”"]}, "created_at": NOW}


def is_plain(db: Database, statement: Executable, *names: str) -> bool:
    return _plain(statement, names, db.engine.dialect) is not None


def test_values_arrive_as_they_would_have(db: Database) -> None:
    statement = insert(NEWS_TABLE).returning(NEWS_TABLE.c.id)
    with db.begin() as session:
        assert is_plain(db, statement, *NEWS)
        new = run(session, statement, NEWS).scalar_one()
        old = session.connection().execute(statement, NEWS).scalar_one()
        one, other = session.get_one(OutboxRow, new), session.get_one(OutboxRow, old)
        assert (one.event, one.payload, one.created_at, one.tries) == (
            other.event,
            other.payload,
            other.created_at,
            other.tries,
        )
        assert (one.event, one.payload, one.created_at, one.tries) == (*NEWS.values(), 0)


def test_a_member_of_an_enumeration_goes_through_its_type(db: Database) -> None:
    statement = (
        select(func.count()).select_from(USERS).where(USERS.c.role == bindparam("role", type_=USERS.c.role.type))
    )
    assert is_plain(db, statement, "role")
    with db.begin() as session:
        assert run(session, statement, {"role": Role.OPERATOR}).scalar_one() == 0
        with pytest.raises(ValueError, match="nobody"):
            run(session, statement, {"role": "nobody"})


def test_constants_of_the_statement_go_along(db: Database) -> None:
    statement = select(literal(7) + bindparam("more", type_=BigInteger), literal("50 %", String))
    assert is_plain(db, statement, "more")
    with db.begin() as session:
        assert tuple(run(session, statement, {"more": 5}).one()) == (12, "50 %")
        assert tuple(run(session, statement, {"more": 6}).one()) == (13, "50 %")


def test_it_says_how_many_rows_it_touched(db: Database) -> None:
    with db.begin() as session:
        for _ in range(3):
            write(session, insert(NEWS_TABLE), NEWS)
        mend = update(NEWS_TABLE).where(NEWS_TABLE.c.tries < bindparam("most")).values(tries=bindparam("now"))
        assert is_plain(db, mend, "most", "now")
        assert write(session, mend, {"most": 1, "now": 2}) == 3
        assert write(session, mend, {"most": 1, "now": 2}) == 0


def test_many_rows_are_one_statement(db: Database) -> None:
    with db.begin() as session, count_queries(db) as sent:
        write(session, insert(NEWS_TABLE), [NEWS, NEWS, NEWS])
    assert sent.count == 1
    with db.read() as session:
        assert session.scalar(select(func.count()).select_from(NEWS_TABLE)) == 3


def _in_list() -> Executable:
    return select(NEWS_TABLE.c.id).where(NEWS_TABLE.c.id.in_(bindparam("ids", expanding=True)))


@pytest.mark.parametrize(
    ("make", "given", "found"),
    [
        pytest.param(_in_list, {"ids": [-1, -2]}, [], id="a list of unknown length"),
        pytest.param(
            lambda: (
                select(column("n")).select_from(values(column("n", BigInteger), name="v").data([(3,)])).where(true())
            ),
            {},
            [(3,)],
            id="no parameters",
        ),
        pytest.param(
            lambda: select(bindparam("body", type_=JSONB)),
            {"body": {"字": [1]}},
            [({"字": [1]},)],
            id="JSON comes back whole",
        ),
    ],
)
def test_whatever_it_is_the_answer_is_the_same(
    db: Database, make: Any, given: dict[str, Any], found: list[Any]
) -> None:
    statement = make()
    with db.begin() as session:
        first = [tuple(row) for row in run(session, statement, given)]
        assert first == [tuple(row) for row in session.connection().execute(statement, given)] == found


def test_what_depends_on_its_values_is_not_made_plain(db: Database) -> None:
    tickets = cast("Table", Ticket.__table__)
    assert not is_plain(db, _in_list(), "ids")
    assert not is_plain(db, insert(tickets), "title")  # a column whose default is made anew for each row


def test_a_value_that_is_asked_for_each_time_is_asked_for_each_time(db: Database) -> None:
    numbers = iter(range(3))
    statement = select(bindparam("n", callable_=lambda: next(numbers), type_=BigInteger))
    with db.begin() as session:
        assert [run(session, statement, {}).scalar_one() for _ in range(3)] == [0, 1, 2]


def test_a_value_that_is_missing_is_said_by_name(db: Database) -> None:
    statement = select(bindparam("wanted", type_=BigInteger))
    with pytest.raises(Exception, match="wanted"), db.begin() as session:
        run(session, statement, {})


def twice(session: Session) -> None:
    for _ in range(2):
        run(session, insert(NEWS_TABLE).values(id=bindparam("same")), {"same": 10**12, **NEWS})


def test_what_the_database_refuses_is_our_refusal(db: Database) -> None:
    with pytest.raises(Conflict) as refused, db.begin() as session:
        twice(session)
    assert isinstance(refused.value.__cause__, IntegrityError)
    assert "百分号" not in str(refused.value.__cause__)  # what a citizen wrote has no place in an error
