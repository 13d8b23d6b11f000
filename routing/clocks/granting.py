"""Grants a department its deadlines: the profile in force, the calendar with this city's own days, the steps."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from hotline.core.clock import local_day
from hotline.core.errors import Invalid
from hotline.people.models import User
from hotline.tickets.models import Ticket
from hotline.tickets.queries import setting
from hotline.tickets.states import State
from hotline.tickets.vocabulary import Channel, Kind, RequestType, Urgency
from routing.answers.part_models import Subtask
from routing.catalogue.territory import deadline_source
from routing.clocks import profiles
from routing.clocks.calendars import WorkCalendar
from routing.clocks.days import Calendars, calendars
from routing.clocks.deadlines import (
    Change,
    Clock,
    Extension,
    Reclassified,
    ReturnAccepted,
    ReturnRefused,
    Suspension,
    clock_named,
    clocks_for,
)
from routing.clocks.models import Adjustment, AdjustmentKind, AdjustmentState, ProfileEdition, ProfileVersion
from routing.clocks.profiles import ClockName, Profile
from routing.clocks.steps import limit_in_words
from routing.models import Dispatch

#: Under this name an administrator chooses the deadline profile of the city.
PROFILE_SETTING: Final = "deadline_profile"
REWORK: Final = "重办"
REMEMBERED: Final = timedelta(seconds=10)
_FEEDS: Final = {Channel.PROVINCE: "省12345", Channel.MAYOR_MAILBOX: "市长信箱", Channel.EMAIL: ""}


@dataclass(frozen=True, kw_only=True)
class Grant:
    """The deadlines of one dispatch and why they are what they are."""

    profile: str
    terms: dict[str, Any]
    sign_due_at: datetime
    due_at: datetime
    steps: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Spell:
    """A time in the hands of one department; a ticket's round is one spell or several, one after the other."""

    dispatch_id: int
    department_id: int
    sent_at: datetime
    terms: dict[str, Any]
    #: The profile version that the dispatch carries; empty for one that is only thought of.
    profile: str = ""


def grant(
    session: Session,
    ticket: Ticket,
    *,
    sla_class: str = "",
    usual_class: str = "",
    department_id: int | None = None,
    now: datetime,
) -> Grant:
    """Return the deadlines for a ticket that is sent out now (domain.md 2.4, 2.5, 2.6).

    A bad review has its own duty: verified within one workday and, as a complaint, handled within the limit of
    its class (domain.md 4.3). After a return the new department has the whole of its limits and the citizen's total
    runs on; sent again to the department that returned it, the return is refused and the first clock runs on.
    `sla_class` holds against everything, `usual_class` (of the dispatch catalogue's row) where nothing else is said.
    """
    rules = _rules(session, now=now)
    spells = _spells(session, ticket) if ticket.dispatched_at is not None else []
    if spells:
        named = moved_to(session, [spell.dispatch_id for spell in spells]) or spells[0].profile
        profile, kept = profile_of(session, spells[0].profile), profile_of(session, named)
    else:
        profile = kept = rules.profile
        keep_version(session, profile, now=now)
    terms = _terms(ticket, sla_class=sla_class or _class_of(session, spells) or usual_class)
    terms["source"] = deadline_source(session, ticket.source_system, now=now) or terms["source"]
    here = Spell(dispatch_id=0, department_id=department_id or 0, sent_at=now, terms=terms)
    clocks = _clocks(session, [*spells, here], profile=profile, calendars=rules.calendars)
    return _granted(clocks, profile=kept, terms=terms)


@dataclass(frozen=True, kw_only=True)
class Limited:
    """One limit, counted, with the steps that lead to its end."""

    due_at: datetime
    steps: tuple[str, ...]


def limit_of(session: Session, ticket: Ticket, *, clock: ClockName, now: datetime) -> Limited | None:
    """Return one limit of the city's profile for this ticket, counted from now; nothing where the city sets none."""
    rules = _rules(session, now=now)
    here = Spell(dispatch_id=0, department_id=0, sent_at=now, terms=_terms(ticket, sla_class=""))
    found = clock_named(_clocks(session, [here], profile=rules.profile, calendars=rules.calendars), clock)
    return Limited(due_at=found.due_at, steps=tuple(step.text for step in found.steps)) if found else None


def recount(session: Session, ticket: Ticket, row: Dispatch, *, now: datetime) -> Grant:
    """Count every clock of a dispatch anew from all that changed since, and write the answer down.

    Under the profile version of the first dispatch in this round; approved pauses and extensions of every
    department that had the ticket in it are among the changes, so none is forgotten. Returns what was written.
    """
    spells = [spell for spell in _spells(session, ticket, round_=row.round) if spell.dispatch_id <= row.id]
    profile = profile_of(session, spells[0].profile)
    clocks = _clocks(session, spells, profile=profile, calendars=_rules(session, now=now).calendars)
    granted = _granted(clocks, profile=profile, terms=dict(row.terms))
    row.sign_due_at, row.due_at, row.steps = granted.sign_due_at, granted.due_at, granted.steps
    row.suspended_until = standing_until(session, row.id, now=now)
    # A part is never due after the whole; where the whole comes earlier now, so does the part.
    session.execute(
        update(Subtask)
        .where(Subtask.dispatch_id == row.id, Subtask.ended_at.is_(None), Subtask.due_at > granted.due_at)
        .values(due_at=granted.due_at)
    )
    if ticket.state in {State.DISPATCHED, State.SIGNED} and row.is_current:
        ticket.due_at = granted.due_at
    return granted


def preview(
    session: Session, ticket: Ticket, row: Dispatch, change: Change | None, *, now: datetime
) -> Sequence[Clock]:
    """Return the clocks as they would stand with one more change, or as they stand; nothing is written."""
    spells = [spell for spell in _spells(session, ticket, round_=row.round) if spell.dispatch_id <= row.id]
    return _clocks(
        session,
        spells,
        profile=profile_of(session, spells[0].profile),
        calendars=_rules(session, now=now).calendars,
        also=[change] if change else [],
    )


def moved_to(session: Session, dispatch_ids: Sequence[int]) -> str:
    """Return the profile version that the city has moved these dispatches to, or an empty text."""
    found = session.scalars(
        select(Adjustment.terms["profile"].astext)
        .where(
            Adjustment.dispatch_id.in_(dispatch_ids),
            Adjustment.kind == AdjustmentKind.RECLASSIFICATION,
            Adjustment.terms.has_key("profile"),
        )
        .order_by(Adjustment.id.desc())
        .limit(1)
    ).first()
    return found or ""


def profile_now(session: Session, row: Dispatch) -> Profile:
    """Return the profile version that rules a dispatch: its own, or the one that the city has moved it to since."""
    return profile_of(session, moved_to(session, [row.id]) or row.profile)


def terms_now(session: Session, row: Dispatch) -> dict[str, Any]:
    """Return source, type, urgency and class by which a dispatch is limited now, and the profile it was moved to."""
    changed = session.scalars(
        select(Adjustment.terms)
        .where(Adjustment.dispatch_id == row.id, Adjustment.kind == AdjustmentKind.RECLASSIFICATION)
        .order_by(Adjustment.id.desc())
        .limit(1)
    ).first()
    return dict(changed or row.terms)


def note_reclassified(
    session: Session, row: Dispatch, *, terms: dict[str, Any], reason: str, by_id: int | None, now: datetime
) -> None:
    """Write down that other terms hold since now; the next count takes them from the first dispatch on."""
    # Straight into the table: what else waits to be written is written once, with the new deadline.
    session.execute(
        insert(Adjustment).values(
            ticket_id=row.ticket_id,
            dispatch_id=row.id,
            kind=AdjustmentKind.RECLASSIFICATION,
            state=AdjustmentState.APPROVED,
            terms=terms,
            reason=reason,
            asked_by=by_id,
            asked_at=now,
            decided_by=by_id,
            decided_at=now,
        )
    )


def profile_of(session: Session, named: str) -> Profile:
    """Return the profile version that a dispatch carries in `Dispatch.profile`: `default 2026.1`."""
    name, _space, version = named.partition(" ")
    if name in profiles.available():
        shipped = profiles.load(name)
        if shipped.version == version:
            return shipped
    kept = session.get(ProfileVersion, (name, version))
    if kept is not None:
        return Profile.from_mapping(kept.body)
    return profiles.load(name)


def standing_until(session: Session, dispatch_id: int, *, now: datetime) -> datetime | None:
    """Return until when the clock of a dispatch stands, if it does."""
    return session.scalar(
        select(Adjustment.ends_at).where(
            Adjustment.dispatch_id == dispatch_id,
            Adjustment.kind == AdjustmentKind.SUSPENSION,
            Adjustment.state == AdjustmentState.APPROVED,
            Adjustment.starts_at <= now,
            Adjustment.ends_at > now,
        )
    )


def changes_of(session: Session, dispatch_ids: Sequence[int]) -> list[Change]:
    """Return the approved changes of these dispatches as the count takes them."""
    if not dispatch_ids:
        return []
    rows = session.execute(
        select(Adjustment, User.display_name)
        .join(User, User.id == Adjustment.decided_by, isouter=True)
        .where(Adjustment.dispatch_id.in_(dispatch_ids), Adjustment.state == AdjustmentState.APPROVED)
        .order_by(Adjustment.id)
    )
    return [as_change(session, row, by=f"热线中心{name or ''}批准") for row, name in rows]


def as_change(session: Session, row: Adjustment, *, by: str = "") -> Change:
    """Return an adjustment as the pure count takes it (routing.clocks.deadlines)."""
    match row.kind:
        case AdjustmentKind.SUSPENSION:
            assert row.starts_at is not None  # noqa: S101 - the database holds it (suspension_is_whole)
            words = "，".join(part for part in (row.cause, by) if part)
            return Suspension(starts_at=row.starts_at, ends_at=row.ends_at, kind=words, max_workdays=row.max_workdays)
        case AdjustmentKind.EXTENSION:
            return Extension(asked_at=row.asked_at, workdays=row.workdays or 1, higher_level=row.higher_level, by=by)
        case AdjustmentKind.RECLASSIFICATION:
            return Reclassified(
                at=row.asked_at,
                profile=profile_of(session, row.terms["profile"]) if row.terms.get("profile") else None,
                request_type=row.terms.get("request_type"),
                urgency=row.terms.get("urgency"),
                sla_class=row.terms.get("sla_class"),
                source=row.terms.get("source"),
            )
        case AdjustmentKind.RETURN_REFUSED:
            return ReturnRefused(at=row.asked_at, reason=row.reason)


def _spells(session: Session, ticket: Ticket, *, round_: int | None = None) -> list[Spell]:
    """Return who had the ticket in this round, one after the other."""
    rows = session.execute(
        select(
            Dispatch.id,
            Dispatch.department_id,
            Dispatch.sent_at,
            Dispatch.terms,
            Dispatch.profile,
            Dispatch.round,
        )
        .where(Dispatch.ticket_id == ticket.id, Dispatch.round == (ticket.rework_rounds if round_ is None else round_))
        .order_by(Dispatch.id)
    )
    return [spell_of(row, ticket) for row in rows]


def spell_of(row: Any, ticket: Ticket) -> Spell:  # noqa: ANN401 - a dispatch, or a row with these columns of one
    """Return the time of one dispatch as the count takes it."""
    return Spell(
        dispatch_id=row.id,
        department_id=row.department_id,
        sent_at=row.sent_at,
        # A dispatch from before its terms were kept had those that the ticket has now.
        terms=dict(row.terms) or _terms(ticket, sla_class=REWORK if row.round else ""),
        profile=row.profile,
    )


def _terms(ticket: Ticket, *, sla_class: str) -> dict[str, Any]:
    return {
        "source": _FEEDS.get(ticket.channel, ""),
        "request_type": ticket.request_type.value,
        "urgency": ticket.urgency.value,
        "sla_class": sla_class or ("疑难复杂" if ticket.kind is Kind.BAD_REVIEW else ""),
    }


def _class_of(session: Session, spells: Sequence[Spell]) -> str:
    """Return the class that the ticket has in this round: a return does not take it away."""
    if not spells:
        return ""
    changed = session.scalars(
        select(Adjustment.terms)
        .where(
            Adjustment.dispatch_id.in_([spell.dispatch_id for spell in spells]),
            Adjustment.kind == AdjustmentKind.RECLASSIFICATION,
        )
        .order_by(Adjustment.id.desc())
        .limit(1)
    ).first()
    return str((changed or spells[-1].terms).get("sla_class", ""))


def _clocks(
    session: Session,
    spells: Sequence[Spell],
    *,
    profile: Profile,
    calendars: Calendars,
    also: Sequence[Change] = (),
) -> tuple[Clock, ...]:
    changes = [*changes_of(session, [spell.dispatch_id for spell in spells if spell.dispatch_id]), *also]
    return counted(spells, changes, profile=profile, calendars=calendars)


def counted(
    spells: Sequence[Spell], changes: Sequence[Change], *, profile: Profile, calendars: Calendars
) -> tuple[Clock, ...]:
    """Count every clock of a round: each department by its own calendar, the citizen's total by the city's."""
    first = spells[0]
    terms = first.terms
    changes = [*changes]
    for earlier, later in itertools.pairwise(spells):
        if earlier.department_id == later.department_id:
            changes.append(ReturnRefused(at=later.sent_at, reason="仍由原单位承办"))
        else:
            changes.append(ReturnAccepted(at=later.sent_at, calendar=calendars.of(later.department_id)))
        if later.terms and later.terms != earlier.terms:
            changes.append(Reclassified(at=later.sent_at, **later.terms))
    return clocks_for(
        profile=profile,
        calendar=calendars.of(first.department_id),
        citizen_calendar=calendars.city,
        source=str(terms.get("source", "")),
        request_type=str(terms.get("request_type", "其他")),
        urgency=str(terms.get("urgency", "一般")),
        sla_class=str(terms.get("sla_class", "")),
        dispatched_at=first.sent_at,
        changes=changes,
    )


def _granted(clocks: Sequence[Clock], *, profile: Profile, terms: dict[str, Any]) -> Grant:
    handle = clock_named(clocks, ClockName.HANDLE)
    if handle is None:
        raise Invalid({"deadline_profile": f"时限档案“{profile.title}”没有适用于此工单的办理时限。"})
    sign = clock_named(clocks, ClockName.SIGN) or handle
    return Grant(
        profile=f"{profile.name} {profile.version}",
        terms=terms,
        sign_due_at=min(sign.due_at, handle.due_at),
        due_at=handle.due_at,
        # The citizen's total is told where it is another one: after a return it does not begin anew.
        steps={
            clock.name.value: _told(clock)
            for clock in clocks
            if clock.name is not ClockName.TOTAL or clock.due_at != handle.due_at
        },
    )


def calendar(session: Session, department_id: int | None = None) -> WorkCalendar:
    """Return the calendar of the city, or of one unit: the statutory one with the days that were declared on top."""
    return calendars(session).of(department_id)


@dataclass(frozen=True, kw_only=True)
class _Rules:
    read_at: datetime
    profile: Profile
    calendars: Calendars


def _rules(session: Session, *, now: datetime) -> _Rules:
    """Return the profile and the calendars in force, read again when what we remember is ten seconds old.

    They change a few times a year and are asked for with every dispatch. A new day may bring a new edition.
    """
    remembered: dict[str, Any] = session.info.setdefault("granting", {})
    known: _Rules | None = remembered.get("rules")
    fresh = known is not None and timedelta(0) <= now - known.read_at < REMEMBERED
    if known is None or not fresh or local_day(known.read_at) != local_day(now):
        today = local_day(now)
        known = _Rules(
            read_at=now,
            profile=profile_in_force(session, today=today),
            calendars=calendars(session, today=today),
        )
        remembered["rules"] = known
    return known


def forget_rules(session: Session) -> None:
    """Read profile and calendars again with the next count: what this process remembers may be from before a change."""
    session.info.setdefault("granting", {}).pop("rules", None)


def profile_in_force(session: Session, *, today: date) -> Profile:
    """Return the profile of what is dispatched on a day: the latest edition confirmed, else the shipped one chosen."""
    body = session.scalars(
        select(ProfileEdition.body)
        .where(
            ProfileEdition.confirmed_at.is_not(None),
            ProfileEdition.withdrawn_at.is_(None),
            ProfileEdition.effective_on <= today,
        )
        .order_by(ProfileEdition.effective_on.desc())
        .limit(1)
    ).first()
    if body is not None:
        return Profile.from_mapping(body)
    chosen = setting(session, PROFILE_SETTING) or {}
    return profiles.load(str(chosen.get("name", "default")))


def keep_version(session: Session, profile: Profile, *, now: datetime) -> None:
    """Keep the version under which tickets are dispatched, so that they have it when the city has gone on.

    A process remembers what it has found there, not what it has written: its transaction may yet be taken back.
    """
    kept: set[tuple[str, str]] = session.info.setdefault("granting", {}).setdefault("kept", set())
    key = (profile.name, profile.version)
    if key in kept:
        return
    found = session.get(ProfileVersion, key)
    if found is not None:
        if found.first_used_at < now:
            kept.add(key)  # one of this very moment may be this transaction's own
        return
    session.execute(
        insert(ProfileVersion)
        .values(name=profile.name, version=profile.version, body=profile.to_mapping(), first_used_at=now)
        .on_conflict_do_nothing()
    )


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


def usual_limits(session: Session, *, now: datetime) -> UsualLimits:
    """Return what a citizen may usually expect under the profile in force."""
    profile = _rules(session, now=now).profile

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
