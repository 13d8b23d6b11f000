"""What tests work with: a real PostgreSQL, a real Redis-protocol server, one fixed instant, fresh databases."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from psycopg.rows import TupleRow
from sqlalchemy import make_url
from sqlalchemy.orm import Session

from classifier.default import ensure_default_model
from classifier.suggest import Suggester
from hotline.core.db import Database
from hotline.core.sealing import Keyring
from hotline.core.settings import Settings
from hotline.migrate import metadata, upgrade
from hotline.runtime.broker import PrivateBroker
from hotline.runtime.postgres import SUPERUSER, PrivatePostgres
from hotline.wiring import Installation, wired

#: Thursday 2026-10-08 10:00 in China, a workday after the holiday week, before a make-up Saturday.
NOW = datetime(2026, 10, 8, 2, 0, tzinfo=UTC)
_counter = itertools.count(1)


@pytest.fixture
def now() -> datetime:
    """One instant for everything."""
    return NOW


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name raw bytes by their place in the list: an archive made at import is another one every second."""
    return "bytes" if isinstance(val, bytes) else None


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a real PostgreSQL for the whole run and migrate its first database; returns that one's address."""
    with PrivatePostgres(tmp_path_factory.mktemp("postgres"), durable=False) as server:
        upgrade(server.url)
        yield server.url


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a real Redis-protocol server for the whole run."""
    with PrivateBroker(tmp_path_factory.mktemp("broker")) as broker:
        yield broker.url


@contextmanager
def copy_of(postgres: str) -> Iterator[str]:
    """Copy the migrated database and take the copy away afterwards."""
    name = f"test_{next(_counter)}"
    url = make_url(postgres)
    admin = url.set(drivername="postgresql", username=SUPERUSER, database="postgres")
    with psycopg.connect(admin.render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute(
            f'CREATE DATABASE {name} TEMPLATE "{url.database}" OWNER "{url.username}" STRATEGY file_copy'.encode()
        )
        try:
            yield url.set(database=name).render_as_string(hide_password=False)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


class Scratch:
    """One copy of the migrated database that tests use in turn, emptied after each; copying for each took most time.

    A test that changed the schema gets its copy thrown away, so the next one starts from the migrated state again.
    """

    def __init__(self, postgres: str) -> None:
        """Remember what to copy."""
        self._postgres = postgres
        self._copy: AbstractContextManager[str] | None = None
        self._url = ""
        self._shape = ""

    def take(self) -> str:
        """Return the address of an empty migrated database."""
        if self._copy is None:
            self._copy = copy_of(self._postgres)
            self._url = self._copy.__enter__()
            with self._connect() as connection:
                self._shape = _shape(connection)
        return self._url

    def give_back(self) -> None:
        """Empty the database, or throw it away when its schema is not what it was."""
        with self._connect() as connection:
            whole = _shape(connection) == self._shape
            if whole:
                _empty(connection)
        if not whole:
            self.close()

    def close(self) -> None:
        """Throw the copy away."""
        if self._copy is not None:
            self._copy.__exit__(None, None, None)
            self._copy = None

    def _connect(self) -> psycopg.Connection[TupleRow]:
        address = make_url(self._url).set(drivername="postgresql", username=SUPERUSER)
        return psycopg.connect(address.render_as_string(hide_password=False), autocommit=True)


def _shape(connection: psycopg.Connection[TupleRow]) -> str:
    row = connection.execute(
        """
        SELECT md5(string_agg(part, ',' ORDER BY part)) FROM (
            SELECT 'c' || relname || relkind::text AS part FROM pg_class WHERE relnamespace = 'public'::regnamespace
            UNION ALL SELECT 't' || tgname || tgenabled::text FROM pg_trigger WHERE NOT tgisinternal
            UNION ALL SELECT 'k' || conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace
            UNION ALL SELECT 'v' || version_num FROM alembic_version
        ) AS parts
        """
    ).fetchone()
    return str(row[0]) if row else ""


def _empty(connection: psycopg.Connection[TupleRow]) -> None:
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    tables = [table for table in metadata().tables if table != "alembic_version"]
    full = connection.execute(
        " UNION ALL ".join(f"SELECT '{table}' WHERE EXISTS (SELECT FROM {table})" for table in tables).encode()
    ).fetchall()
    connection.execute("SET session_replication_role = replica")
    for (table,) in full:
        connection.execute(f"DELETE FROM {table}".encode())
    connection.execute(
        "SELECT setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S'"
        " AND relnamespace = 'public'::regnamespace"
    )


@pytest.fixture(scope="session")
def scratch(postgres: str) -> Iterator[Scratch]:
    """Keep the database that tests use in turn."""
    kept = Scratch(postgres)
    yield kept
    kept.close()


@pytest.fixture
def database_url(scratch: Scratch) -> Iterator[str]:
    """Give a test an empty migrated database of its own for as long as it runs."""
    yield scratch.take()
    scratch.give_back()


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    """A fully wired database of this test's own."""
    database = wired(database_url, keyring=Keyring.for_tests(), pool=5)
    yield database
    database.close()


@pytest.fixture(scope="session")
def shared_db(postgres: str) -> Iterator[Database]:
    """The migrated database that rolled-back tests share; nothing is ever committed to it."""
    with copy_of(postgres) as url:
        database = wired(url, keyring=Keyring.for_tests(), pool=2)
        yield database
        database.close()


@pytest.fixture
def session(shared_db: Database) -> Iterator[Session]:
    """A session whose work is rolled back when the test ends; for what needs no second connection."""
    with shared_db.engine.connect() as connection:
        outer = connection.begin()
        with shared_db.session(bind=connection) as session:
            yield session
        outer.rollback()


@pytest.fixture
def tools(db: Database, tmp_path: Path) -> Installation:
    """An installation of this test's own: database, keys, folder; no queue server and no model unless asked for."""
    settings = Settings.from_environment({"HOTLINE_HOME": str(tmp_path / "home")})
    without = Suggester.without_model("测试中没有加载分类模型。")
    return Installation(settings=settings, keyring=db.keyring, db=db, _suggester=without)


@pytest.fixture(scope="session")
def suggester(tmp_path_factory: pytest.TempPathFactory) -> Suggester:
    """Train the default model once for the whole run."""
    return Suggester.load(ensure_default_model(tmp_path_factory.mktemp("model")))


@pytest.fixture
def with_model(tools: Installation, suggester: Suggester) -> Installation:
    """Give this test's installation the default model."""
    tools._suggester = suggester
    return tools


@pytest.fixture
def app(tools: Installation) -> Flask:
    """The web application on this test's own installation."""
    from hotline.app import create_app

    app = create_app(tools)
    app.config.update(TESTING=True, WTF_CSRF_ENABLED=False, PROPAGATE_EXCEPTIONS=False)
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser without JavaScript."""
    return app.test_client()
