"""What tests work with: a real PostgreSQL, a real Redis-protocol server, one fixed instant, fresh databases."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import make_url
from sqlalchemy.orm import Session

from classifier.store import ensure_default_model
from classifier.suggest import Suggester
from hotline.core.db import Database
from hotline.core.sealing import Keyring
from hotline.core.settings import Settings
from hotline.migrate import upgrade
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
        connection.execute(f'CREATE DATABASE {name} TEMPLATE "{url.database}" OWNER "{url.username}"'.encode())
        try:
            yield url.set(database=name).render_as_string(hide_password=False)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def database_url(postgres: str) -> Iterator[str]:
    """Give a test its own database, a copy of the migrated one."""
    with copy_of(postgres) as url:
        yield url


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
