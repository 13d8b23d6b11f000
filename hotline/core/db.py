"""The database: declarative base, column types, and the one place that commits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, ClassVar, Final, TypeVar, cast

import psycopg
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ClauseElement,
    ColumnDefault,
    Connection,
    CursorResult,
    DateTime,
    Dialect,
    Engine,
    Executable,
    MetaData,
    Text,
    TypeDecorator,
    create_engine,
    event,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DataError, IntegrityError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Session, make_transient_to_detached, sessionmaker
from sqlalchemy.orm.attributes import instance_dict, set_committed_value
from sqlalchemy.orm.exc import StaleDataError
from sqlalchemy.sql.compiler import SQLCompiler
from typing_extensions import override

from hotline.core.errors import Conflict, Invalid, NotFound, Unavailable
from hotline.core.sealing import Keyring

Row = TypeVar("Row")


class Base(DeclarativeBase):
    """All our tables; names of constraints follow one convention so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: DateTime(timezone=True),
        str: Text(),
        int: BigInteger(),
        dict[str, Any]: JSONB(),
        list[Any]: JSONB(),
    }


class EnumText(TypeDecorator[Any]):
    """Stores the value of a `StrEnum` as text and gives the member back."""

    impl = Text
    cache_ok = True

    def __init__(self, members: type[StrEnum]) -> None:
        """Remember whose members these are."""
        super().__init__()
        self.members = members

    @override
    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        # A member is a text already; anything else must be the value of one.
        return None if value is None else str(value if isinstance(value, self.members) else self.members(value))

    @override
    def process_result_value(self, value: Any, dialect: Dialect) -> StrEnum | None:
        return None if value is None else self.members(value)


def one_of(column: str, members: type[StrEnum], *, name: str | None = None) -> CheckConstraint:
    """Return the CHECK that lets the column hold only members of the enum."""
    allowed = ", ".join(f"'{member.value}'" for member in members)
    return CheckConstraint(f"{column} IN ({allowed})", name=name or f"{column}_known")


#: How long a request waits for a connection, or for its turn to write, before it says that the house is too busy.
POOL_TIMEOUT_S: Final = 10
#: How many statements a connection keeps prepared. The driver's hundred were too few: it counts a statement once for
#: each mixture of its parameters' types, so a desk's day threw out what the next request needed, and every question
#: was parsed and planned anew (docs/decisions/0041).
MOST_PREPARED: Final = 1_000
#: How often a statement that writes is run before it is prepared.
PREPARED_AFTER: Final = 3


class _Cursor(psycopg.Cursor[Any]):
    """The driver's cursor, which names its columns in plain tuples.

    SQLAlchemy asks each statement's cursor for names and types; an object of the driver's for each of a ticket's
    forty columns cost a desk's requests a twentieth of their processor time.
    """

    @property
    @override
    def description(self) -> Any:
        result = self.pgresult
        if result is None or not result.nfields:
            return super().description
        return [
            ((result.fname(each) or b"").decode(), result.ftype(each), None, None, None, None, None)
            for each in range(result.nfields)
        ]


#: A function that reacts inside the transaction that announced the event.
AtOnce = Callable[[Session, Any], None]


class Database:
    """One installation's database: hands out sessions, commits once at the edge."""

    def __init__(
        self,
        url: str,
        *,
        keyring: Keyring,
        at_once: Mapping[type, Sequence[AtOnce]] | None = None,
        heard: frozenset[str] | None = None,
        pool: int = 20,
        writers: int | None = None,
    ) -> None:
        """Connect lazily; `at_once` and `heard` come from the wiring page (see core.outbox).

        `writers` is how many transactions of this process may write at one time; without it as many as come. More of
        them than there are cores do not get more done: they take turns at the interpreter, and each holds its locks
        for longer meanwhile (docs/decisions/0035).
        """
        self.engine: Engine = create_engine(
            url,
            pool_size=pool,
            max_overflow=10,
            pool_timeout=POOL_TIMEOUT_S,
            pool_pre_ping=False,
            pool_use_lifo=True,
            connect_args={"connect_timeout": 5, "cursor_factory": _Cursor},
            # What a statement was given may be a citizen's words, and an error's text goes into logs and tables.
            hide_parameters=True,
        )
        event.listen(self.engine, "checkout", _keep_statements)
        self._sessions = sessionmaker(
            self.engine,
            expire_on_commit=False,
            # `granting` is shared by all sessions of this database: what routing remembers of the city's rules.
            info={"keyring": keyring, "at_once": dict(at_once or {}), "heard": heard, "granting": {}},
        )
        self.keyring = keyring
        self._writers = threading.Semaphore(writers) if writers else None

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """Open a session and commit it when the block ends well; the only commit there is.

        The database's own refusals become ours: a broken constraint is `Conflict`, a value that it cannot hold
        (a zero byte, a number beyond its range) is `Invalid`, a lost server is `Unavailable`.
        """
        try:
            with self._turn(), self._sessions.begin() as session:
                yield session
        except StaleDataError as error:
            raise Conflict("内容刚刚被他人修改，请刷新后重试。") from error
        except IntegrityError as error:
            raise Conflict(f"数据库拒绝了这次写入（{constraint_of(error)}）。") from error
        except DataError as error:
            raise Invalid({"form": "内容中有系统不能保存的字符或过大的数字，请更正后重新提交。"}) from error
        except OperationalError as error:
            raise Unavailable from error

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if self._writers is None:
            yield
            return
        if not self._writers.acquire(timeout=POOL_TIMEOUT_S):
            raise Unavailable
        try:
            yield
        finally:
            self._writers.release()

    def session(self, bind: Connection) -> Session:
        """Return a session on a given connection, inside the transaction that its owner opened."""
        return self._sessions(bind=bind, join_transaction_mode="create_savepoint")

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a session that can only read: the database itself refuses a write.

        Whoever asks for a value that the database cannot hold gets `NotFound`: nothing of that kind is there.
        """
        try:
            with self._sessions() as session:
                # The driver says READ ONLY in its BEGIN, so this costs no round trip of its own.
                connection = session.connection(execution_options={"postgresql_readonly": True})
                with _statements_kept(connection):
                    yield session
        except DataError as error:
            raise NotFound from error
        except OperationalError as error:
            raise Unavailable from error

    def ask(self) -> None:
        """Raise `Unavailable` unless the database answers; a connection from the pool alone says nothing."""
        with self.read() as session:
            session.execute(text("SELECT 1"))

    def close(self) -> None:
        """Give every connection back."""
        self.engine.dispose()


def _keep_statements(connection: Any, _record: object, _proxy: object) -> None:  # noqa: ANN401 - the driver's own
    """Let a connection keep what it prepares; whoever reads next has turned preparing off."""
    connection.prepared_max = MOST_PREPARED
    connection.prepare_threshold = PREPARED_AFTER


@contextmanager
def _statements_kept(connection: Connection) -> Iterator[None]:
    """Read without costing the next writer his prepared statements (docs/decisions/0041).

    A list's question is planned for the very words and states that it is asked with, so nothing is prepared here. And
    the end is no ROLLBACK, after which the driver forgets every statement that the connection holds prepared.
    """
    driver = connection.connection.driver_connection
    assert driver is not None  # noqa: S101 - a connection that is open has one
    driver.prepare_threshold = None
    try:
        yield
    finally:
        if not driver.closed:
            driver.commit()  # there is nothing to write: the transaction is READ ONLY


def write(session: Session, statement: Executable, values: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> int:
    """Run a statement that was made once, at import, with these values; returns how many rows one set of them touched.

    For lines that are written and never looked at again in the same transaction (journal, outbox, attempts): building
    an object and a statement for each cost more processor time than the database did. What the session still holds is
    not written first, so the rows that `values` point at must be there. See docs/decisions/0028.
    """
    return run(session, statement, values).rowcount


def write_new(
    session: Session, model: type[Row], statement: Executable, values: Mapping[str, Any], **extra: object
) -> Row:
    """Write one row with a statement made once that returns its id, and return it as an object of the session.

    Its columns' defaults must stand in `values`, so that nothing has to be asked for afterwards; `extra` are parameters
    of the statement that are no columns.
    """
    made = run(session, statement, {**values, **extra}).one()
    row = model()
    # Nothing listens to a column of a row that stands in the table already, and the session must not write it again.
    instance_dict(row).update(values, **made._mapping)  # noqa: SLF001 - the row as a mapping; the underscore is its name
    make_transient_to_detached(row)
    session.add(row)
    return row


def run(
    session: Session, statement: Executable, values: Mapping[str, Any] | Sequence[Mapping[str, Any]]
) -> CursorResult[Any]:
    """Run a statement that was made once, in the session's transaction, and return what it answers.

    It is one of tables, not of classes. Its text and what its values pass through are worked out the first time only
    (docs/decisions/0057). So columns come back as the driver reads them: numbers, texts, moments and JSON, but the text
    of an enumeration, not its member.
    """
    connection = session.connection()
    if not isinstance(values, Mapping):
        if len(values) != 1:
            return connection.execute(statement, values)
        (values,) = values
    plain = _plain(statement, tuple(values), connection.dialect)
    if plain is None:
        return connection.execute(statement, values)
    given = {**plain.always, **values}
    for name, through in plain.through:
        given[name] = through(given[name])
    return connection.exec_driver_sql(plain.text, given, execution_options=plain.options)


@dataclass(frozen=True)
class _Plain:
    """A statement as the driver takes it."""

    text: str
    options: Mapping[str, Any]
    #: Values that go with it whatever else does, and what values of some names pass through.
    always: Mapping[str, Any]
    through: Sequence[tuple[str, Callable[[Any], Any]]]


@lru_cache(maxsize=1_000)
def _plain(statement: Executable, names: tuple[str, ...], dialect: Dialect) -> _Plain | None:
    """Return the plain form of a statement that gets values of these names; nothing where its text depends on them."""
    compiled = cast("ClauseElement", statement).compile(dialect=dialect, column_keys=list(names))
    if not isinstance(compiled, SQLCompiler) or compiled.update_prefetch:
        return None
    usual = {}
    for column in compiled.insert_prefetch:
        if not isinstance(column.default, ColumnDefault) or not column.default.is_scalar:
            return None
        usual[column.key] = column.default.arg
    always, through = {}, []
    for bind, name in compiled.bind_names.items():
        given = bind.key in names
        fixed = not (bind.expanding or bind.literal_execute or bind.callable)
        if not fixed or (bind.required and not given) or (given and name != bind.key):
            return None
        if not given:
            always[name] = usual.get(name, bind.effective_value)
        process = bind.type.dialect_impl(dialect).bind_processor(dialect)
        if process is not None:
            through.append((name, process))
    return _Plain(str(compiled), statement.get_execution_options(), always, tuple(through))


def mark_written(row: object, values: Mapping[str, Any]) -> None:
    """Let an object know what a statement of ours wrote to its row; the session has nothing of it left to write."""
    for name, value in values.items():
        set_committed_value(row, name, value)


def forget_remembered(session: Session) -> None:
    """Forget what this process remembers of the city's rules, in a transaction that changes them."""
    session.info.get("granting", {}).clear()


def keyring_of(session: Session) -> Keyring:
    """Return the keys that this session's installation seals with."""
    keyring: Keyring = session.info["keyring"]
    return keyring


def constraint_of(error: IntegrityError) -> str:
    """Return the name of the constraint that refused, or an empty string."""
    diagnosis = getattr(error.orig, "diag", None)
    return str(getattr(diagnosis, "constraint_name", "") or "")
