"""The clocks of a dispatch on the screen: when each ends, how it stands, and every step of its count."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hotline.web import present
from hotline.web.gate import now
from hotline.web.present import DeadlineView
from routing.clocks.steps import CLOCK_LABELS
from routing.queries import DispatchView

_WORDS: Final = {clock.value: words for clock, words in CLOCK_LABELS.items()}
_STOOD: Final = ("handle", "total")
_ORDER: Final = (*_STOOD, *(name for name in _WORDS if name not in _STOOD))


@dataclass(frozen=True, kw_only=True)
class ClockView:
    """One deadline and every step that leads to it."""

    name: str
    words: str
    due: str
    chip: DeadlineView
    steps: tuple[str, ...]
    confirmed: bool


def clocks_of(row: DispatchView) -> tuple[ClockView, ...]:
    """Return the clocks of a dispatch, what the unit and the citizen are measured by first."""
    done = {"sign": row.signed_at, "contact": row.contacted_at, "handle": row.answered_at, "feedback": row.answered_at}
    return tuple(
        ClockView(
            name=name,
            words=_WORDS.get(name, name),
            due=present.moment(datetime.fromisoformat(told["due"])),
            chip=_chip(name, datetime.fromisoformat(told["due"]), row, done_at=done.get(name) or row.ended_at),
            steps=tuple(told["steps"]),
            confirmed=bool(told.get("confirmed", True)),
        )
        for name, told in sorted(row.steps.items(), key=lambda clock: _ORDER.index(clock[0]))
    )


def _chip(name: str, due: datetime, row: DispatchView, *, done_at: datetime | None) -> DeadlineView:
    """Say how a clock stands; a window for returning that has passed is shut, and nothing is late because of it."""
    if name == "return":
        return DeadlineView(words="已过期限" if due < now() else "可以退单", state="none" if due < now() else "far")
    stands_until = row.suspended_until if name in _STOOD else None
    return present.deadline(due, now=now(), done_at=done_at, stands_until=stands_until)
