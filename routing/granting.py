"""Grants a department its deadlines: the profile in force, the calendar with this city's own days, the steps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy.orm import Session

from hotline.core.errors import Invalid
from hotline.core.permissions import Actor, Permission, require
from hotline.tickets.models import Ticket
from hotline.tickets.queries import setting
from hotline.tickets.vocabulary import Channel, Kind, RequestType, Urgency
from routing import profiles
from routing.calendars import DayRow, Layer, WorkCalendar, china
from routing.deadlines import Clock, clock_named, clocks_for
from routing.models import CalendarDay
from routing.profiles import ClockName
from routing.queries import calendar_overrides
from routing.steps import limit_in_words

#: Under this name an administrator chooses the deadline profile of the city.
PROFILE_SETTING: Final = "deadline_profile"
REWORK: Final = "重办"
REMEMBERED: Final = timedelta(seconds=10)
_FEEDS: Final = {Channel.PROVINCE: "省12345", Channel.MAYOR_MAILBOX: "市长信箱", Channel.EMAIL: ""}


@dataclass(frozen=True, kw_only=True)
class Grant:
    """The deadlines of one dispatch and why they are what they are."""

    profile: str
    sign_due_at: datetime
    due_at: datetime
    steps: dict[str, Any]


def grant(session: Session, ticket: Ticket, *, sla_class: str = "", now: datetime) -> Grant:
    """Return the deadlines for a ticket that is sent out now (domain.md 2.4, 2.5).

    A bad review has its own duty: verified within one workday and, as a complaint, handled within the limit of
    its class (domain.md 4.3).
    """
    rules = _rules(session, now=now)
    profile = profiles.load(rules.profile)
    clocks = clocks_for(
        profile=profile,
        calendar=rules.calendar,
        source=_FEEDS.get(ticket.channel, ""),
        request_type=ticket.request_type.value,
        urgency=ticket.urgency.value,
        sla_class=sla_class or ("疑难复杂" if ticket.kind is Kind.BAD_REVIEW else ""),
        dispatched_at=now,
    )
    handle = clock_named(clocks, ClockName.HANDLE)
    if handle is None:
        raise Invalid({"deadline_profile": f"时限档案“{profile.title}”没有适用于此工单的办理时限。"})
    sign = clock_named(clocks, ClockName.SIGN) or handle
    return Grant(
        profile=f"{profile.name} {profile.version}",
        sign_due_at=min(sign.due_at, handle.due_at),
        due_at=handle.due_at,
        steps={clock.name.value: _told(clock) for clock in clocks if clock.name is not ClockName.TOTAL},
    )


def calendar(session: Session) -> WorkCalendar:
    """Return the statutory calendar with the days that this city's administrators declared."""
    rows = calendar_overrides(session)
    if not rows:
        return china()
    return china().with_overrides(
        DayRow(day=row.day, is_workday=row.is_workday, name=row.reason, layer=Layer.CENTRE) for row in rows
    )


def declare_day(session: Session, *, day: date, is_workday: bool, reason: str, by: Actor) -> None:
    """Declare a workday or a day of rest, over the statutory calendar; replaces what was declared before."""
    require(by, Permission.SETTINGS_EDIT)
    session.merge(CalendarDay(day=day, is_workday=is_workday, reason=reason))
    session.info.get("granting", {}).clear()


def forget_calendar_day(session: Session, *, day: date, by: Actor) -> None:
    """Take a declaration back, so that the statutory calendar holds again."""
    require(by, Permission.SETTINGS_EDIT)
    row = session.get(CalendarDay, day)
    if row is not None:
        session.delete(row)
    session.info.get("granting", {}).clear()


@dataclass(frozen=True, kw_only=True)
class _Rules:
    read_at: datetime
    profile: str
    calendar: WorkCalendar


def _rules(session: Session, *, now: datetime) -> _Rules:
    """Return the city's choice of profile and calendar, read again when what we remember is ten seconds old.

    They change a few times a year and are asked for with every dispatch.
    """
    remembered: dict[str, _Rules] = session.info.setdefault("granting", {})
    known = remembered.get("rules")
    if known is None or not timedelta(0) <= now - known.read_at < REMEMBERED:
        chosen = setting(session, PROFILE_SETTING) or {}
        known = _Rules(read_at=now, profile=str(chosen.get("name", "default")), calendar=calendar(session))
        remembered["rules"] = known
    return known


def _told(clock: Clock) -> dict[str, Any]:
    return {
        "due": clock.due_at.isoformat(),
        "yellow_from": clock.yellow_from.isoformat(),
        "red_from": clock.red_from.isoformat(),
        "confirmed": clock.confirmed,
        "steps": [step.text for step in clock.steps],
    }


@dataclass(frozen=True, kw_only=True)
class UsualLimits:
    """The limits that most matters fall under, in words for citizens: `5 个工作日`; empty where the city sets none."""

    dispatch: str
    question: str
    help: str
    complaint: str
    urgent: str


def usual_limits(session: Session) -> UsualLimits:
    """Return what a citizen may usually expect under the profile that the city has chosen."""
    chosen = setting(session, PROFILE_SETTING) or {}
    profile = profiles.load(str(chosen.get("name", "default")))

    def words(clock: ClockName, request_type: RequestType, urgency: Urgency) -> str:
        found = profile.rule_for(clock, source="", request_type=request_type.value, urgency=urgency.value, sla_class="")
        return limit_in_words(found[1]) if found else ""

    return UsualLimits(
        dispatch=words(ClockName.DISPATCH, RequestType.COMPLAINT, Urgency.ORDINARY),
        question=words(ClockName.HANDLE, RequestType.CONSULTATION, Urgency.ORDINARY),
        help=words(ClockName.HANDLE, RequestType.HELP, Urgency.ORDINARY),
        complaint=words(ClockName.HANDLE, RequestType.COMPLAINT, Urgency.ORDINARY),
        urgent=words(ClockName.HANDLE, RequestType.HELP, Urgency.URGENT),
    )
