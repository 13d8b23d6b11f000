"""When periodic work last began and last succeeded, so that the scheduler resumes and the doctor notices lateness."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Mapped, Session, mapped_column

from hotline.core.db import Base


class PeriodicRun(Base):
    """One row per periodic job."""

    __tablename__ = "periodic_runs"

    name: Mapped[str] = mapped_column(primary_key=True)
    started_at: Mapped[datetime]
    succeeded_at: Mapped[datetime | None]
    last_error: Mapped[str] = mapped_column(default="", server_default="")


def started(session: Session, *, name: str, now: datetime) -> None:
    """Write down that a run begins."""
    row = session.get(PeriodicRun, name)
    if row is None:
        session.add(PeriodicRun(name=name, started_at=now))
    else:
        row.started_at = now


def finished(session: Session, *, name: str, now: datetime, error: str = "") -> None:
    """Write down how a run ended."""
    row = session.get(PeriodicRun, name)
    if row is None:
        row = PeriodicRun(name=name, started_at=now)
        session.add(row)
    row.last_error = error[:500]
    if not error:
        row.succeeded_at = now


def latest(session: Session) -> dict[str, PeriodicRun]:
    """Return every job's row by name."""
    return {row.name: row for row in session.scalars(select(PeriodicRun))}
