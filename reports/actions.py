"""What reports write: the line for everything that leaves the house."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from hotline.core.errors import Denied
from hotline.core.permissions import Actor
from hotline.core.personal_data import redact
from reports.models import ExportEntry, Taken

_MOST_SCOPE = 500


def note_export(session: Session, *, what: Taken, rows: int, scope: str = "", by: Actor, now: datetime) -> None:
    """Write down who took what out of the house, how many lines and by which query; the query is redacted."""
    if by.user_id is None:
        raise Denied
    session.add(
        ExportEntry(
            at=now, by_id=by.user_id, by_role=by.role, what=what, scope=redact(scope.strip())[:_MOST_SCOPE], rows=rows
        )
    )
