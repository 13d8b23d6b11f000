"""Lists of what waits for a decision at the hotline, and of what was decided: one page for every kind of wish."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue

from hotline.core.errors import Invalid
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


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the two buttons of a decision send, and what is said when neither was pressed."""

    yes: str
    no: str
    ask: str


def decide_form(
    verdict: Verdict,
    *,
    act: Callable[[Any, bool], object],
    again: Callable[[Mapping[str, str], Mapping[str, Sequence[str]]], str],
    told: tuple[str, str],
) -> ResponseReturnValue:
    """Carry a decision out and go back to its list; refused, show the form `again` with what was typed.

    `act` gets the session and whether it is a yes; `told` is said after a yes and after a no.
    """
    chosen = forms.text("verdict")
    try:
        if chosen not in {verdict.yes, verdict.no}:
            raise Invalid({"words": verdict.ask})  # noqa: TRY301 - one answer to every problem of the form
        with db().begin() as session:
            act(session, chosen == verdict.yes)
    except Invalid as error:
        return again(request.form.to_dict(), error.fields), 422
    forms.told("success", told[0] if chosen == verdict.yes else told[1])
    return redirect(url_for(f"{request.blueprint}.queue"), code=303)


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
