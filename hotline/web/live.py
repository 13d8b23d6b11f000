"""Live counters by server-sent events: held while there is room, answered once and sent away while there is not.

A held stream sits on a thread of the web process, so only a quarter of the threads may be held; whoever comes when
they are taken gets the figures once and is asked to come back later, which is plain polling. However many streams
there are, a process reads the stored counters once every two seconds, and what is overdue a little less often.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from flask import Blueprint, Response, current_app
from flask.sansio.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue

from hotline.core import clock
from hotline.core.clock import NowFunction
from hotline.core.db import Database
from hotline.core.errors import HotlineError
from hotline.core.permissions import Actor, Permission
from hotline.tickets.queries import every_counter
from hotline.tickets.states import State
from hotline.web.gate import actor, for_staff
from hotline.web.menu import GROUPS
from routing.lists import Due, due_by_department

bp = Blueprint("live", __name__)

#: A quarter of the sixteen threads that a web process has (hotline.cli.serving.WEB_THREADS).
SLOTS: Final = 4
HOLD_S: Final = 25.0
TICK_S: Final = 2.0
DUE_EVERY_S: Final = 15.0
#: When a browser may come back: soon after a full stream, later when there was no room.
_SOON_MS, _LATER_MS = 1_000, 15_000
#: What whoever sees the house's figures gets beside what the menu shows.
_HOUSE: Final = ("tickets.all", *(f"tickets.state.{state}" for state in State), "callbacks.waiting", "callbacks.done")
_NOTHING_DUE: Final = Due(overdue=0, today=0)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a process knows of the whole house at one moment."""

    counters: Mapping[str, int] = field(default_factory=dict)
    due: Mapping[int, Due] = field(default_factory=dict)


def shown_to(who: Actor, figures: Figures) -> dict[str, int]:
    """Return the figures that this person's menu and pages may show, by counter name."""
    names = [
        entry.counter
        for _, entries in GROUPS
        for entry in entries
        if entry.counter and not entry.counter.startswith("mine.") and who.can(entry.permission)
    ]
    if who.can(Permission.FIGURES_VIEW):
        names += _HOUSE
    shown = {name: figures.counters.get(name, 0) for name in names}
    if "tickets.state.registered" in shown:
        # What is answered with another ticket does not wait for a dispatcher.
        shown["tickets.state.registered"] -= figures.counters.get("tickets.merged", 0)
    if who.can(Permission.TICKET_VIEW_ALL):
        shown["tickets.overdue"] = sum(due.overdue for due in figures.due.values())
        shown["tickets.due_today"] = sum(due.today for due in figures.due.values())
    if who.can(Permission.TICKET_SUPERVISE):
        shown["mine.alarms"] = figures.counters.get("alarms.centre", 0)
    if who.can(Permission.TICKET_ANSWER):
        told = (figures.counters.get(f"department.{number}.alarms", 0) for number in who.department_ids)
        shown["mine.alarms"] = shown.get("mine.alarms", 0) + sum(told)
        mine = [figures.due.get(number, _NOTHING_DUE) for number in who.department_ids]
        for name in ("in_hand", "unsigned"):
            held = (figures.counters.get(f"department.{number}.{name}", 0) for number in who.department_ids)
            shown[f"mine.{name}"] = sum(held)
        shown["mine.overdue"] = sum(due.overdue for due in mine)
        shown["mine.due_today"] = sum(due.today for due in mine)
    return shown


class Streams:
    """The streams of one process and the one reading that they share."""

    def __init__(
        self,
        database: Database,
        *,
        slots: int = SLOTS,
        hold_s: float = HOLD_S,
        tick_s: float = TICK_S,
        now: NowFunction | None = None,
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep at most `slots` streams, each for `hold_s` seconds, told anew every `tick_s` seconds."""
        self._database = database
        self._free = threading.BoundedSemaphore(slots)
        self._hold_s, self._tick_s = hold_s, tick_s
        self._now = now or (lambda: clock.now())  # noqa: PLW0108 - asked by name each time, so that a test can set it
        self._stopwatch = stopwatch
        self._reading = threading.Lock()
        self._closing = threading.Event()
        self._latest = Figures()
        self._read_at = self._due_read_at = float("-inf")

    def take(self) -> bool:
        """Take a slot if one is free; whoever took it gives it back."""
        return not self._closing.is_set() and self._free.acquire(blocking=False)

    def give_back(self) -> None:
        """Give a slot back."""
        self._free.release()

    def close(self) -> None:
        """Let every stream end at its next tick and hold no new one."""
        self._closing.set()

    def figures(self) -> Figures:
        """Return the latest figures, read at most once per tick however many ask; `Unavailable` without a database."""
        with self._reading:
            at = self._stopwatch()
            if at - self._read_at < self._tick_s:
                return self._latest
            due = self._latest.due
            with self._database.read() as session:
                counters = every_counter(session)
                if at - self._due_read_at >= DUE_EVERY_S:
                    due, self._due_read_at = due_by_department(session, now=self._now()), at
            self._latest, self._read_at = Figures(counters=counters, due=due), at
            return self._latest

    def tell(self, who: Actor, *, held: bool) -> Iterator[str]:
        """Yield the stream of one person: once when it is not held, otherwise whatever changes until its time is up."""
        until = self._stopwatch() + self._hold_s
        said = shown_to(who, self.figures())
        yield _event("counters", said, retry_ms=_SOON_MS if held else _LATER_MS)
        if not held:
            yield _event("later", _LATER_MS)
        while held and self._stopwatch() < until and not self._closing.wait(self._tick_s):
            try:
                fresh = shown_to(who, self.figures())
            except HotlineError:
                return  # the browser comes back by itself, and by then the database may answer again
            # A line that says nothing finds out whether anybody still listens, so that the slot comes free early.
            yield _event("counters", fresh) if fresh != said else ":\n\n"
            said = fresh


@bp.record_once
def _open(state: BlueprintSetupState) -> None:
    state.app.extensions["live"] = Streams(state.app.extensions["hotline"].db)


@bp.get("/live/counters")
@for_staff
def counters() -> ResponseReturnValue:
    """Tell this person's figures as they change."""
    streams = _streams()
    streams.figures()  # a database that is away is a 503 here and not a stream that breaks off
    held = streams.take()
    response = Response(streams.tell(actor(), held=held), mimetype="text/event-stream")
    response.headers["X-Accel-Buffering"] = "no"  # a proxy in front must not collect what should arrive at once
    if held:
        response.call_on_close(streams.give_back)
    return response


def _streams() -> Streams:
    streams: Streams = current_app.extensions["live"]
    return streams


def _event(name: str, content: object, *, retry_ms: int | None = None) -> str:
    retry = f"retry: {retry_ms}\n" if retry_ms is not None else ""
    return f"{retry}event: {name}\ndata: {json.dumps(content, separators=(',', ':'))}\n\n"
