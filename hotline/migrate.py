"""Brings the database's schema to where the code is; knows every table because it reads every models module."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, MetaData, create_engine, text

import callbacks.models
import hotline.core.outbox
import hotline.core.periodic
import hotline.intake.harassment_models
import hotline.intake.models
import hotline.people.models
import hotline.telephony.models
import hotline.tickets.models
import hotline.tickets.transfer_models
import routing.answers.part_models
import routing.answers.relay_models
import routing.answers.vetting_models
import routing.catalogue.models
import routing.clocks.models
import routing.duty.models
import routing.learning.example_models
import routing.learning.label_models
import routing.learning.limit_models
import routing.learning.models
import routing.learning.word_models
import routing.models
import routing.relations.models
import routing.relations.sketch_models
import routing.supervision.models
from hotline.core.db import Base
from hotline.core.errors import Unavailable

#: Every module that declares tables; the imports above are what makes the metadata whole.
MODELS: Final = (
    hotline.core.outbox,
    hotline.core.periodic,
    hotline.people.models,
    hotline.telephony.models,
    hotline.tickets.models,
    hotline.tickets.transfer_models,
    hotline.intake.models,
    hotline.intake.harassment_models,
    routing.models,
    routing.answers.part_models,
    routing.answers.relay_models,
    routing.answers.vetting_models,
    routing.learning.label_models,
    routing.learning.example_models,
    routing.catalogue.models,
    routing.clocks.models,
    routing.learning.models,
    routing.learning.limit_models,
    routing.learning.word_models,
    routing.duty.models,
    routing.supervision.models,
    routing.relations.models,
    routing.relations.sketch_models,
    callbacks.models,
)
_SCRIPTS: Final = Path(__file__).resolve().parent.parent / "migrations"


def metadata() -> MetaData:
    """Return the tables as the code has them."""
    return Base.metadata


def upgrade(database_url: str) -> None:
    """Run what is missing, under a lock so that two processes starting at once do it once.

    Raises `Unavailable` when the database sorts or cuts text in a way that cannot find Chinese
    (docs/decisions/0001).
    """
    engine = create_engine(database_url)
    try:
        with engine.connect() as connection:
            encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
            if encoding != "UTF8":
                raise Unavailable(f"数据库编码为 {encoding}，需要 UTF8（建库时使用 --locale=C.UTF-8 -E UTF8）。")
            connection.execute(text("SELECT pg_advisory_lock(12345)"))
            connection.commit()
            config = _config()
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            finally:
                connection.rollback()
                connection.execute(text("SELECT pg_advisory_unlock(12345)"))
                connection.commit()
    finally:
        engine.dispose()


def head() -> str:
    """Return the newest revision that the code knows."""
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    assert newest is not None  # noqa: S101 - there is at least the first migration
    return newest


def current(engine: Engine) -> str | None:
    """Return the revision that the database is at, or nothing for an empty one."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    return config
