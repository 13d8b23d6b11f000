"""Reads the facts that indicators count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import and_, case, func, or_, select
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement

from callbacks.models import BadReview, Callback
from callbacks.policy import Verdict
from hotline.core import paging
from hotline.core.clock import end_of_day, local_day
from hotline.core.paging import Stretch
from hotline.core.permissions import Role
from hotline.people.models import User
from hotline.tickets.models import Ticket
from hotline.tickets.states import Outcome, State
from hotline.tickets.vocabulary import Kind
from reports.indicators import WATCH_REPEATS, WATCH_RETURNS, WATCH_REWORK, ClosingFact, PartFact, Reach, ReviewFact
from reports.models import ExportEntry, Taken
from routing.answers.part_models import Subtask
from routing.models import Department, Dispatch

#: A callback belongs into the three days after its planned time (domain.md 3.3: three attempts within three days).
CALL_WITHIN: Final = timedelta(days=3)


def review_facts(session: Session, *, since: datetime) -> Sequence[ReviewFact]:
    """Return the facts of every bad review that came in since then, the newest first.

    The citizen of a review that its unit has not answered is to be called after the unit's limit.
    """
    reached = (
        select(
            Callback.ticket_id,
            func.max(Callback.planned_at).label("planned_at"),
            func.max(
                case(
                    (Callback.verdict.in_([Verdict.CLOSE, Verdict.REWORK]), 2),
                    (Callback.done_at.is_not(None), 1),
                    else_=0,
                )
            ).label("reach"),
        )
        .join(BadReview, BadReview.ticket_id == Callback.ticket_id)
        .group_by(Callback.ticket_id)
        .subquery()
    )
    first_due = (
        select(func.min(Dispatch.due_at)).where(Dispatch.ticket_id == Ticket.id, Dispatch.round == 0).scalar_subquery()
    )
    rows = session.execute(
        select(
            BadReview.real_name,
            BadReview.verdict,
            BadReview.rectified_at,
            first_due,
            reached.c.planned_at,
            reached.c.reach,
        )
        .join(Ticket, Ticket.id == BadReview.ticket_id)
        .join(reached, reached.c.ticket_id == Ticket.id, isouter=True)
        .where(Ticket.kind == Kind.BAD_REVIEW, Ticket.registered_at >= since)
        .order_by(Ticket.id.desc())
    )
    steps = list(Reach)
    return [
        ReviewFact(
            real_name=real_name,
            verdict=verdict,
            rectify_by=due_at,
            rectified_at=rectified_at,
            call_by=(planned_at or due_at) + CALL_WITHIN if planned_at or due_at else None,
            reach=steps[reach or 0],
        )
        for real_name, verdict, rectified_at, due_at, planned_at, reach in rows
    ]


#: 重办率 on the overview is that of the closings of so many days.
REWORK_DAYS: Final = timedelta(days=7)


class Figure(StrEnum):
    """A figure of the overview that no ordinary query of tickets can say; its list has the same condition."""

    SIGN_OVERDUE = "sign_overdue"
    CLOSED_TODAY = "closed_today"
    REWORKED = "reworked"
    WATCHED = "watched"


@dataclass(frozen=True, kw_only=True)
class Received:
    """How many tickets came in on two days."""

    today: int
    yesterday: int


def midnight(now: datetime) -> datetime:
    """Return the instant at which the local day of `now` began."""
    return end_of_day(now) - timedelta(days=1)


def received(session: Session, *, now: datetime) -> Received:
    """Return what was registered today and yesterday.

    A number begins with the local day of its registration, so the index of numbers finds the two days.
    """
    today, yesterday = midnight(now), midnight(now) - timedelta(days=1)
    row = session.execute(
        select(
            func.count().filter(Ticket.registered_at >= today), func.count().filter(Ticket.registered_at < today)
        ).where(
            Ticket.number >= f"{local_day(yesterday):%Y%m%d}",
            Ticket.registered_at >= yesterday,
            Ticket.registered_at < end_of_day(now),
        )
    ).one()
    return Received(today=row[0], yesterday=row[1])


def closings(session: Session, *, now: datetime) -> Sequence[ClosingFact]:
    """Return what was closed in the last `REWORK_DAYS`, by outcome, rework and whether today."""
    reworked, today = Ticket.rework_rounds > 0, Ticket.closed_at >= midnight(now)
    rows = session.execute(
        select(Ticket.outcome, reworked.label("reworked"), today.label("today"), func.count())
        .where(Ticket.closed_at >= now - REWORK_DAYS)
        .group_by("outcome", "reworked", "today")
    )
    return [
        ClosingFact(outcome=outcome, reworked=was_reworked, today=was_today, tickets=count)
        for outcome, was_reworked, was_today, count in rows
        if outcome is not None  # the database holds that a closed ticket has one
    ]


def condition(figure: Figure, *, department_id: int | None = None, now: datetime) -> ColumnElement[bool]:
    """Return what a figure counts, as the condition of its list (routing.lists.tickets_where).

    With a department, only what that one has in hand.
    """
    counted = _condition(figure, now=now)
    return counted if department_id is None else and_(counted, Dispatch.department_id == department_id)


def _condition(figure: Figure, *, now: datetime) -> ColumnElement[bool]:
    match figure:
        case Figure.SIGN_OVERDUE:
            return and_(Ticket.state == State.DISPATCHED, Dispatch.sign_due_at < now)
        case Figure.CLOSED_TODAY:
            return Ticket.closed_at >= midnight(now)
        case Figure.REWORKED:
            return and_(
                Ticket.closed_at >= now - REWORK_DAYS,
                Ticket.rework_rounds > 0,
                Ticket.outcome.in_([Outcome.CONFIRMED, Outcome.UNREACHABLE, Outcome.DECLINED]),
            )
        case Figure.WATCHED:
            return _watched()


def _watched() -> ColumnElement[bool]:
    return and_(
        Ticket.state.in_([state for state in State if state is not State.CLOSED]),
        or_(
            Ticket.rework_rounds >= WATCH_REWORK,
            Ticket.repeats >= WATCH_REPEATS,
            Ticket.returned >= WATCH_RETURNS,
        ),
    )


def part_facts(session: Session, *, since: datetime) -> Sequence[PartFact]:
    """Return the facts of every part that was given since then, by department."""
    rows = session.execute(
        select(Department.name, Subtask.due_at, Subtask.answered_at, Subtask.ending)
        .join(Department, Department.id == Subtask.department_id)
        .where(Subtask.given_at >= since)
        .order_by(Department.code, Subtask.id)
    )
    return [
        PartFact(department=name, due_at=due_at, answered_at=answered_at, ending=ending)
        for name, due_at, answered_at, ending in rows
    ]


@dataclass(frozen=True)
class ExportRow:
    """One thing that left the house."""

    id: int
    at: datetime
    by_name: str
    by_role: Role
    what: Taken
    scope: str
    rows: int


def _export_row(row: ExportEntry, name: str) -> ExportRow:
    return ExportRow(
        id=row.id, at=row.at, by_name=name, by_role=row.by_role, what=row.what, scope=row.scope, rows=row.rows
    )


def exports(session: Session, *, cursor: str = "", limit: int = 50) -> Stretch[ExportRow]:
    """Return what left the house, the newest first; raises `Invalid` on a cursor that is not ours."""
    return paging.by_key(
        session,
        select(ExportEntry, User.display_name).join(User, User.id == ExportEntry.by_id),
        column=ExportEntry.id,
        newest_first=True,
        cursor=cursor,
        limit=limit,
        made=_export_row,
        key=lambda row: row.id,
    )
