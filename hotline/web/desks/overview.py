"""The supervisor's desk: what is open, due and overdue; every figure leads to the list that it counts."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from flask import Blueprint, Response, render_template, request, url_for
from flask.typing import ResponseReturnValue

from hotline.core.clock import local, local_day
from hotline.core.errors import NotFound
from hotline.core.permissions import Permission
from hotline.core.spreadsheets import safe_cell
from hotline.tickets.queries import counters
from hotline.tickets.states import State
from hotline.web import forms, labels, present
from hotline.web.admin.exports import took
from hotline.web.gate import actor, db, now, page
from hotline.web.ticket_search import OPEN, SearchRow, address, row
from hotline.web.turning import Turn, turn
from reports.indicators import Rate, WatchReason, closed_today, rework_rate, watch_reasons
from reports.models import Taken
from reports.queries import REWORK_DAYS, Figure, Received, closings, condition, received
from routing.learning.queries import EntryRow, alarms
from routing.lists import Due, ListFilter, TicketRow, due_by_department, open_by_department, ticket_list, tickets_where
from routing.queries import MOST_ROWS, returns_of

bp = Blueprint("supervision", __name__)

#: How many tickets of each kind the overview itself shows; the rest stand in their lists.
SHOWN: Final = 8
#: What a figure's own list is called and counts.
LISTS: Final[Mapping[Figure, tuple[str, str]]] = {
    Figure.SIGN_OVERDUE: ("签收超时", "已派单、尚未签收，且超过签收时限的工单"),
    Figure.CLOSED_TODAY: ("今日办结", "今日 0 点以来办结的工单，直接答复、不予受理和转接都在内"),
    Figure.REWORKED: ("近 7 日办结中重办过的", "近 7 日回访办结的工单中，至少重办过一次的"),
    Figure.WATCHED: ("重点关注", "未办结，且重办 2 次以上、退单 2 次以上或重复反映 3 次以上的工单"),
}
REASONS: Final[Mapping[WatchReason, str]] = {
    WatchReason.REWORKED: "多次重办",
    WatchReason.PING_PONG: "退单拉锯",
    WatchReason.REPEATED: "反复反映",
}
#: Columns of the table by department: name in the address -> words.
COLUMNS: Final[Mapping[str, str]] = {
    "name": "承办单位",
    "open": "在办",
    "unsigned": "待签收",
    "sign_overdue": "签收超时",
    "soon": "24 小时内到期",
    "overdue": "已逾期",
}
_COUNTERS: Final = (
    *(f"tickets.state.{state.value}" for state in State if state is not State.CLOSED),
    "tickets.bad_review.open",
    "callbacks.waiting",
)


@dataclass(frozen=True, kw_only=True)
class Card:
    """One figure with the list that it counts."""

    words: str
    figure: str
    href: str
    tone: str = "neutral"
    unit: str = "件"
    hint: str = ""
    counter: str | None = None
    icon: str | None = None


@dataclass(frozen=True, kw_only=True)
class DepartmentRow:
    """What one department has in hand; each figure with its list."""

    name: str
    figures: tuple[tuple[str, str, int, str], ...]
    tone: str | None


@dataclass(frozen=True, kw_only=True)
class WatchedRow:
    """An open ticket that needs a supervisor's eye, and why."""

    row: SearchRow
    reasons: tuple[str, ...]
    returned: int


@dataclass(frozen=True, kw_only=True)
class OverviewPage:
    """What stands on the overview."""

    at: str
    groups: tuple[tuple[str, tuple[Card, ...]], ...]
    columns: tuple[tuple[str, str, str, str | None], ...]
    departments: tuple[DepartmentRow, ...]
    overdue: tuple[SearchRow, ...]
    overdue_href: str
    today: tuple[SearchRow, ...]
    today_href: str
    watched: tuple[WatchedRow, ...]
    watched_href: str
    export_href: str
    #: What the model wants a person to hear of, with the page where it is acknowledged.
    alarms: tuple[str, ...]
    alarms_href: str


@dataclass(frozen=True, kw_only=True)
class ListPage:
    """The tickets that one figure counts."""

    heading: str
    meaning: str
    clock: str
    rows: tuple[SearchRow, ...]
    turn: Turn
    size: str


@dataclass(frozen=True, kw_only=True)
class _Read:
    """Everything that was read for the overview."""

    stored: Mapping[str, int]
    departments: Sequence[Mapping[str, object]]
    due: Mapping[int, Due]
    received: Received
    closed: int
    rework: Rate
    overdue: Sequence[TicketRow]
    today: Sequence[TicketRow]
    watched: Sequence[TicketRow]
    more_watched: bool
    alarms: Sequence[EntryRow]
    returns: Mapping[int, int] = field(default_factory=dict)


@bp.get("/supervision")
@page(Permission.FIGURES_VIEW)
def overview() -> ResponseReturnValue:
    """Show the figures of this moment, the departments, and what needs a supervisor."""
    read = _read()
    at = now()
    sort, falling = _order()
    page = OverviewPage(
        at=present.moment(at),
        groups=_cards(read, at=at),
        columns=_columns(sort, falling=falling),
        departments=tuple(_department(one) for one in _sorted(read.departments, sort, falling=falling)),
        overdue=tuple(_line(one) for one in read.overdue),
        overdue_href=_tickets(due="overdue", order="due"),
        today=tuple(_line(one) for one in read.today),
        today_href=_tickets(due="today", order="due"),
        watched=tuple(_watched(one, read.returns.get(one.id, 0)) for one in read.watched[:SHOWN]),
        watched_href=_list(Figure.WATCHED),
        export_href=url_for("supervision.export", sort=sort, dir="desc" if falling else "asc"),
        alarms=tuple(f"{present.moment(one.at)} {one.words}" for one in read.alarms),
        alarms_href=url_for("model.show"),
    )
    return render_template("supervision/overview.html", page=page)


@bp.get("/supervision/list/<figure>")
@page(Permission.FIGURES_VIEW)
def listing(figure: str) -> ResponseReturnValue:
    """List the tickets that a figure counts, by the very condition that it counts by."""
    if figure not in {known.value for known in Figure}:
        raise NotFound("没有这个统计项。")
    chosen = Figure(figure)
    department_id = forms.whole("department", source=request.args)
    cursor = forms.asked("cursor")
    with db().read() as reading:
        found = tickets_where(
            reading,
            actor(),
            condition(chosen, department_id=department_id, now=now()),
            now=now(),
            cursor=cursor,
            limit=50,
        )
    heading, meaning = LISTS[chosen]
    page = ListPage(
        heading=heading,
        meaning=meaning,
        clock="签收时限" if chosen is Figure.SIGN_OVERDUE else "时限",
        rows=tuple(_line(one, sign=chosen is Figure.SIGN_OVERDUE) for one in found.rows),
        turn=turn(found, cursor=cursor, figure=figure, department=department_id),
        size=f"本页 {len(found.rows)} 条",
    )
    return render_template("supervision/list.html", page=page)


@bp.get("/supervision/departments.csv")
@page(Permission.EXPORT_MAKE)
def export() -> ResponseReturnValue:
    """Give the table by department out, for spreadsheets: nothing personal, no cell that a program would run."""
    with db().read() as reading:
        departments = open_by_department(reading, now=now())
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*COLUMNS.values(), "统计时间"])
    sort, falling = _order()
    for one in _sorted(departments, sort, falling=falling):
        writer.writerow([*(safe_cell(_cell(one, name)) for name in COLUMNS), safe_cell(now())])
    took(Taken.DEPARTMENTS_CSV, rows=len(departments))
    response = Response("\ufeff" + out.getvalue(), mimetype="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="departments-{local(now()):%Y%m%d-%H%M}.csv"'
    return response


def _read() -> _Read:
    at = now()
    with db().read() as reading:
        closed = closings(reading, now=at)
        watched = tickets_where(reading, actor(), condition(Figure.WATCHED, now=at), now=at, limit=MOST_ROWS)
        return _Read(
            stored=counters(reading, _COUNTERS),
            departments=open_by_department(reading, now=at),
            due=due_by_department(reading, now=at),
            received=received(reading, now=at),
            closed=closed_today(closed),
            rework=rework_rate(closed),
            overdue=_due(reading, "overdue", at=at),
            today=_due(reading, "today", at=at),
            watched=watched.rows,
            more_watched=bool(watched.next_cursor),
            alarms=alarms(reading),
            returns=returns_of(reading, [one.id for one in watched.rows[:SHOWN]]),
        )


def _due(reading: object, which: str, *, at: datetime) -> Sequence[TicketRow]:
    wanted = ListFilter(due=which, order="due")
    return ticket_list(reading, actor(), wanted, now=at, limit=SHOWN).rows  # type: ignore[arg-type] # a session; pages import no SQLAlchemy


def _cards(read: _Read, *, at: datetime) -> tuple[tuple[str, tuple[Card, ...]], ...]:
    today, yesterday = local_day(at), local_day(at) - timedelta(days=1)
    states = tuple(
        Card(
            words=labels.words(state),
            figure=str(read.stored[f"tickets.state.{state.value}"]),
            href=_tickets(state=state.value),
            counter=f"tickets.state.{state.value}",
        )
        for state in (State.REGISTERED, State.DISPATCHED, State.SIGNED)
    )
    late = sum(int(str(one["sign_overdue"])) for one in read.departments)
    overdue = sum(due.overdue for due in read.due.values())
    due_today = sum(due.today for due in read.due.values())
    bad = read.stored["tickets.bad_review.open"]
    waiting = read.stored["callbacks.waiting"]
    return (
        (
            "在办",
            (
                *states,
                Card(
                    words="待回访",
                    figure=str(waiting),
                    href=_tickets(state=State.ANSWERED.value),
                    counter="callbacks.waiting",
                ),
                Card(
                    words="未结差评",
                    figure=str(bad),
                    href=_tickets(kind="bad_review", state=OPEN),
                    tone="danger" if bad else "neutral",
                    counter="tickets.bad_review.open",
                ),
            ),
        ),
        (
            "时限",
            (
                Card(
                    words="签收超时",
                    figure=str(late),
                    href=_list(Figure.SIGN_OVERDUE),
                    tone="danger" if late else "neutral",
                    hint="已过签收时限仍未签收",
                ),
                Card(
                    words="今日到期",
                    figure=str(due_today),
                    href=_tickets(due="today", order="due"),
                    tone="warning" if due_today else "neutral",
                    hint="今天 24 点前应答复",
                    counter="tickets.due_today",
                ),
                Card(
                    words="已逾期",
                    figure=str(overdue),
                    href=_tickets(due="overdue", order="due"),
                    tone="danger" if overdue else "neutral",
                    hint="已过办理时限仍未答复",
                    counter="tickets.overdue",
                ),
                Card(
                    words="重点关注",
                    figure=f"{len(read.watched)}{'+' if read.more_watched else ''}",
                    href=_list(Figure.WATCHED),
                    tone="warning" if read.watched else "neutral",
                    hint="多次重办、退单拉锯、反复反映",
                ),
            ),
        ),
        (
            "今日",
            (
                Card(
                    words="今日受理",
                    figure=str(read.received.today),
                    href=_tickets(**{"from": today.isoformat(), "to": today.isoformat()}),
                ),
                Card(
                    words="昨日受理",
                    figure=str(read.received.yesterday),
                    href=_tickets(**{"from": yesterday.isoformat(), "to": yesterday.isoformat()}),
                ),
                Card(words="今日办结", figure=str(read.closed), href=_list(Figure.CLOSED_TODAY), hint="含直接答复等"),
                _rework_card(read.rework),
            ),
        ),
    )


def _rework_card(rate: Rate) -> Card:
    left_out = sum(rate.excluded.values())
    return Card(
        words=f"近 {REWORK_DAYS.days} 日重办率",
        figure=f"{rate.percent}" if rate.percent is not None else "—",
        unit="%" if rate.percent is not None else "",
        href=_list(Figure.REWORKED),
        hint=f"重办过 {rate.numerator} 件 / 回访办结 {rate.denominator} 件，另有 {left_out} 件未经单位办理，不计入",
    )


def _department(one: Mapping[str, object]) -> DepartmentRow:
    number = str(one["id"])
    hrefs = {
        "open": _tickets(department=number, order="due"),
        "unsigned": _tickets(department=number, state=State.DISPATCHED.value),
        "sign_overdue": address(_list(Figure.SIGN_OVERDUE), {"department": number}),
        "soon": _tickets(department=number, due="soon"),
        "overdue": _tickets(department=number, due="overdue"),
    }
    return DepartmentRow(
        name=str(one["name"]),
        figures=tuple((name, COLUMNS[name], int(str(one[name])), href) for name, href in hrefs.items()),
        tone="danger" if one["overdue"] else None,
    )


def _watched(one: TicketRow, returned: int) -> WatchedRow:
    reasons = watch_reasons(rework_rounds=one.rework_rounds, returned=returned, repeats=one.repeats)
    return WatchedRow(row=_line(one), reasons=tuple(REASONS[reason] for reason in reasons), returned=returned)


def _line(one: TicketRow, *, sign: bool = False) -> SearchRow:
    """Return a row with the deadline that the list is about: that for signing, or that for answering."""
    shown = row(one, href=url_for("tickets.show", number=one.number), now=now())
    return replace(shown, deadline=present.deadline(one.sign_due_at, now=now())) if sign else shown


def _order() -> tuple[str, bool]:
    """Return by which column the departments stand, and whether the biggest is first."""
    sort = forms.asked("sort") if forms.asked("sort") in COLUMNS else "open"
    return sort, forms.asked("dir", "asc" if sort == "name" else "desc") != "asc"


def _columns(sort: str, *, falling: bool) -> tuple[tuple[str, str, str, str | None], ...]:
    columns = []
    for name, words in COLUMNS.items():
        here = ("desc" if falling else "asc") if name == sort else None
        turned = "asc" if here == "desc" or (here is None and name == "name") else "desc"
        href = f"{url_for('supervision.overview', sort=name, dir=turned)}#departments"
        columns.append((words, "wide" if name == "name" else "num", href, here))
    return tuple(columns)


def _sorted(departments: Sequence[Mapping[str, object]], sort: str, *, falling: bool) -> list[Mapping[str, object]]:
    if sort == "name":
        return sorted(departments, key=lambda one: str(one["name"]), reverse=falling)
    return sorted(departments, key=lambda one: int(str(one[sort])), reverse=falling)


def _cell(one: Mapping[str, object], name: str) -> str | int:
    return str(one[name]) if name == "name" else int(str(one[name]))


def _tickets(**given: str) -> str:
    return address(url_for("tickets.search"), given)


def _list(figure: Figure) -> str:
    return url_for("supervision.listing", figure=figure.value)
