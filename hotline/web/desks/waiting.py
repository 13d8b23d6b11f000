"""Lists of what waits for a decision at the hotline, and of what was decided: one page for every kind of wish."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from flask import request, url_for

from hotline.tickets.queries import counters
from hotline.web import forms
from hotline.web.gate import db
from hotline.web.turning import Turn, turn

_PAGE: Final = 30


@dataclass(frozen=True, kw_only=True)
class QueuePage:
    """What waits for the hotline's decision, or what was decided."""

    tabs: tuple[tuple[str, str, bool, int | None], ...]
    rows: tuple[Any, ...]
    decided: bool
    total: int | None
    turn: Turn


def queue_page(
    *,
    waiting: Callable[..., Any],
    decided: Callable[..., Any],
    counter: str,
    words: tuple[str, str],
    row: Callable[[Any], Any],
) -> QueuePage:
    """Read the list that was asked for (`?tab=decided`); `counter` names the stored figure of what waits."""
    was_decided, cursor = forms.asked("tab") == "decided", forms.asked("cursor")
    with db().read() as session:
        found = (decided if was_decided else waiting)(session, cursor=cursor, limit=_PAGE)
        total = counters(session, [counter])[counter]
    here = request.endpoint or ""
    return QueuePage(
        tabs=(
            (words[0], url_for(here), not was_decided, total),
            (words[1], url_for(here, tab="decided"), was_decided, None),
        ),
        rows=tuple(row(one) for one in found.rows),
        decided=was_decided,
        total=None if was_decided else total,
        turn=turn(found, cursor=cursor, tab="decided" if was_decided else "waiting"),
    )
