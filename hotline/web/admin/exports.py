"""Who took what out of the system: the record of exports and prints."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from hotline.core.permissions import Permission
from hotline.web import forms, labels, present
from hotline.web.gate import actor, db, now, page
from hotline.web.turning import Turn, turn
from reports import actions, queries
from reports.models import Taken

bp = Blueprint("exports", __name__)


@dataclass(frozen=True, kw_only=True)
class ExportLine:
    """One line of the record."""

    at: str
    iso: str
    who: str
    role: str
    what: str
    scope: str
    rows: int


@dataclass(frozen=True, kw_only=True)
class ExportsPage:
    """A page of the record."""

    rows: tuple[ExportLine, ...]
    turn: Turn


def took(what: Taken, *, rows: int, scope: str = "") -> None:
    """Write down that the person at the door takes something out."""
    with db().begin() as session:
        actions.note_export(session, what=what, rows=rows, scope=scope, by=actor(), now=now())


@bp.get("/admin/exports")
@page(Permission.EXPORT_VIEW)
def ledger() -> ResponseReturnValue:
    """List exports and prints, the newest first."""
    cursor = forms.asked("cursor")
    with db().read() as session:
        found = queries.exports(session, cursor=cursor)
    shown = ExportsPage(
        rows=tuple(
            ExportLine(
                at=present.moment(row.at),
                iso=present.iso(row.at),
                who=row.by_name,
                role=labels.words(row.by_role),
                what=labels.words(row.what),
                scope=row.scope,
                rows=row.rows,
            )
            for row in found.rows
        ),
        turn=turn(found, cursor=cursor),
    )
    return render_template("administration/exports.html", page=shown)
