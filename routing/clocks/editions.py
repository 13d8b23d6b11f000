"""Editions of the city's limits: written, looked at beside what is in force, confirmed for a day to come."""

from __future__ import annotations

import tomllib
from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime
from itertools import product
from typing import Any, Final

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session, aliased

from hotline.core import paging
from hotline.core.clock import local_day
from hotline.core.db import forget_remembered
from hotline.core.errors import Conflict, Invalid, NotFound
from hotline.core.paging import Stretch
from hotline.core.permissions import Actor, Permission, require
from hotline.core.text import clean_line
from hotline.people.models import User
from hotline.tickets.models import Ticket
from routing.clocks import granting, profiles
from routing.clocks.models import Adjustment, AdjustmentKind, ProfileEdition, ProfileVersion
from routing.clocks.profiles import REQUEST_TYPES, SLA_CLASSES, URGENCIES, BadProfile, ClockName, Limit, Profile
from routing.clocks.steps import CLOCK_LABELS, limit_in_words
from routing.models import Department, Dispatch
from routing.queries import MOST_ROWS

MOST_BASIS: Final = 200
MOST_TEXT: Final = 100_000
#: Source, request type, urgency and class of a ticket: what a profile is asked with.
Key = tuple[str, str, str, str]
_COMPARED: Final = (ClockName.HANDLE, ClockName.SIGN, ClockName.CONTACT, ClockName.RETURN)


@dataclass(frozen=True, kw_only=True)
class EditionView:
    """One edition with the names that a person reads."""

    row: ProfileEdition
    entered_by: str
    confirmed_by: str
    withdrawn_by: str


@dataclass(frozen=True, kw_only=True)
class ClassChange:
    """Open tickets of one class that an edition limits otherwise than the version under which they were dispatched."""

    key: Key
    words: str
    #: Each clock with its limit now and under the edition, in words.
    limits: tuple[tuple[str, str, str], ...]
    count: int
    departments: tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What an edition says otherwise of tickets to come."""

    who: str
    clock: str
    before: str
    after: str


def read(text: str, *, version: str, effective_on: date | None, basis: str, now: datetime) -> Profile:
    """Read an edition as an administrator wrote it; the form's version replaces that of the text.

    Raises `Invalid` by field: text that is no profile (naming the row), a day of the past, no basis.
    """
    problems = head_problems(version=version, effective_on=effective_on, basis=basis, today=local_day(now))
    profile = None
    if not text.strip():
        problems["text"] = "请填写档案内容。"
    elif len(text) > MOST_TEXT:
        problems["text"] = f"内容过长，最多 {MOST_TEXT} 字。"
    else:
        try:
            profile = Profile.from_mapping({**tomllib.loads(text), "version": clean_line(version) or "1"})
        except tomllib.TOMLDecodeError as refused:
            problems["text"] = f"不是有效的 TOML：{refused}"
        except BadProfile as refused:
            problems["text"] = refused.message
    if profile is not None and effective_on is not None and effective_on < profile.effective_from:
        problems["effective_on"] = f"档案内容写明自 {profile.effective_from} 起生效，不能更早。"
    if problems or profile is None:
        raise Invalid(problems)
    return profile


def head_problems(*, version: str, effective_on: date | None, basis: str, today: date) -> dict[str, str]:
    """Return what is wrong with the version, the day and the order of an edition, by field."""
    problems: dict[str, str] = {}
    if not clean_line(version):
        problems["version"] = "请填写版本号，例如 2027.1。"
    if effective_on is None:
        problems["effective_on"] = "请填写生效日期。"
    elif effective_on < today:
        problems["effective_on"] = "生效日期不能早于今天：已派出的工单按派单时的版本计时。"
    if not clean_line(basis):
        problems["basis"] = "请填写依据（文件名称或文号）。"
    elif len(basis) > MOST_BASIS:
        problems["basis"] = f"最多 {MOST_BASIS} 字。"
    return problems


def enter(
    session: Session,
    *,
    text: str,
    version: str,
    effective_on: date | None,
    basis: str,
    replaces: int | None = None,
    by: Actor,
    now: datetime,
) -> ProfileEdition:
    """Write a draft down; nothing is in force before somebody has looked at it and confirmed it.

    `replaces` is the draft that was changed into this one: it is withdrawn; `Conflict` when it is no draft any more.
    """
    require(by, Permission.SETTINGS_EDIT)
    if replaces is not None:
        if one(session, replaces).confirmed_at is not None:
            raise Conflict("原草案已被确认，请以它为底稿另起草一版。")
        withdraw(session, edition_id=replaces, by=by, now=now)
    profile = read(text, version=version, effective_on=effective_on, basis=basis, now=now)
    _require_own_name(session, profile)
    row = ProfileEdition(
        name=profile.name,
        version=profile.version,
        source_text=text,
        body=profile.to_mapping(),
        effective_on=effective_on or date.max,
        basis=clean_line(basis),
        entered_by=by.user_id,
        entered_at=now,
    )
    session.add(row)
    session.flush()  # the page needs the id
    return row


def confirm(session: Session, *, edition_id: int, by: Actor, now: datetime) -> ProfileEdition:
    """Let an edition take effect on its day; tickets that are out keep theirs."""
    require(by, Permission.SETTINGS_EDIT)
    row = one(session, edition_id, lock=True)
    if row.confirmed_at is not None or row.withdrawn_at is not None:
        raise Conflict("这一版已经确认或撤回，请刷新后查看。")
    if row.effective_on < local_day(now):
        raise Conflict("生效日期已经过去，请撤回后重新录入。")
    other = session.scalar(
        select(ProfileEdition.id).where(
            ProfileEdition.effective_on == row.effective_on,
            ProfileEdition.confirmed_at.is_not(None),
            ProfileEdition.withdrawn_at.is_(None),
        )
    )
    if other is not None:
        raise Conflict(f"{row.effective_on} 已有另一版生效，请先撤回那一版或改期。")
    profile = Profile.from_mapping(row.body)
    _require_own_name(session, profile)
    granting.keep_version(session, profile, now=now)
    row.confirmed_at, row.confirmed_by = now, by.user_id
    session.flush()  # the database's own refusals come here
    forget_remembered(session)
    return row


def withdraw(session: Session, *, edition_id: int, by: Actor, now: datetime) -> ProfileEdition:
    """Take back a draft, or an edition whose day has not come; what has been in force stays."""
    require(by, Permission.SETTINGS_EDIT)
    row = one(session, edition_id, lock=True)
    if row.withdrawn_at is not None:
        raise Conflict("这一版已经撤回。")
    if row.confirmed_at is not None and row.effective_on <= local_day(now):
        raise Conflict("这一版已经生效，不能撤回；请另录一版。")
    row.withdrawn_at, row.withdrawn_by = now, by.user_id
    session.flush()  # the database's own refusals come here
    forget_remembered(session)
    return row


def one(session: Session, edition_id: int, *, lock: bool = False) -> ProfileEdition:
    """Return one edition, or `NotFound`."""
    query = select(ProfileEdition).where(ProfileEdition.id == edition_id)
    if lock:
        query = query.with_for_update()  # two administrators, one after the other
    found = session.scalars(query).first()
    if found is None:
        raise NotFound
    return found


def in_force(session: Session, *, today: date) -> ProfileEdition | None:
    """Return the edition in force on a day; none where the city still has the shipped profile that it chose first."""
    return session.scalars(
        select(ProfileEdition)
        .where(
            ProfileEdition.confirmed_at.is_not(None),
            ProfileEdition.withdrawn_at.is_(None),
            ProfileEdition.effective_on <= today,
        )
        .order_by(ProfileEdition.effective_on.desc())
        .limit(1)
    ).first()


def listed(session: Session, *, cursor: str = "", limit: int = 30) -> Stretch[EditionView]:
    """Return editions, the latest entered first; raises `Invalid` on a cursor that is not ours."""
    confirmed, withdrawn = aliased(User), aliased(User)
    query: Any = (  # a select of several columns has no readable type
        select(ProfileEdition, User.display_name, confirmed.display_name, withdrawn.display_name)
        .join(User, User.id == ProfileEdition.entered_by, isouter=True)
        .join(confirmed, confirmed.id == ProfileEdition.confirmed_by, isouter=True)
        .join(withdrawn, withdrawn.id == ProfileEdition.withdrawn_by, isouter=True)
    )
    return paging.by_time(
        session,
        query,
        at=ProfileEdition.entered_at,
        number=ProfileEdition.id,
        newest_first=True,
        cursor=cursor,
        limit=min(limit, MOST_ROWS),
        made=_view,
        key=lambda one: (one.row.entered_at, one.row.id),
    )


def named(edition: ProfileEdition) -> str:
    """Return the name under which dispatches carry the edition: `default 2027.1`."""
    return f"{edition.name} {edition.version}"


def differences(before: Profile, after: Profile) -> list[Difference]:
    """Return what the edition says otherwise: for each type and urgency, for each class, and of time asked for."""
    found: list[Difference] = []
    plain = [("", kind, urgency, "") for kind, urgency in product(REQUEST_TYPES, URGENCIES)]
    classes = [("", kind, "一般", name) for name, kind in product(SLA_CLASSES, REQUEST_TYPES)]
    for key in [*plain, *classes]:
        found += [
            Difference(who=key_words(key), clock=clock, before=had, after=has)
            for clock, had, has in _limits(before, after, key)
        ]
    for what, had, has in (
        ("延期最长", f"{before.extension.max_workdays} 个工作日", f"{after.extension.max_workdays} 个工作日"),
        ("延期次数", f"{before.extension.max_times} 次", f"{after.extension.max_times} 次"),
        ("到期时刻", _day_end(before), _day_end(after)),
    ):
        if had != has:
            found.append(Difference(who="全部工单", clock=what, before=had, after=has))
    return found


def standing() -> Select[Any]:
    """Return the query of what rules each open dispatch now: its four terms and its profile version."""
    changed = (
        select(Adjustment.terms)
        .where(Adjustment.dispatch_id == Dispatch.id, Adjustment.kind == AdjustmentKind.RECLASSIFICATION)
        .order_by(Adjustment.id.desc())
        .limit(1)
        .correlate(Dispatch)
        .scalar_subquery()
    )
    terms = func.coalesce(changed, Dispatch.terms)
    return (
        select(
            Dispatch.id.label("dispatch_id"),
            Dispatch.ticket_id,
            Dispatch.department_id,
            func.coalesce(terms["source"].astext, "").label("source"),
            # A dispatch from before its terms were kept had those that the ticket has now.
            func.coalesce(terms["request_type"].astext, Ticket.request_type).label("request_type"),
            func.coalesce(terms["urgency"].astext, Ticket.urgency).label("urgency"),
            func.coalesce(terms["sla_class"].astext, "").label("sla_class"),
            func.coalesce(terms["profile"].astext, Dispatch.profile).label("profile"),
        )
        .join(Ticket, Ticket.id == Dispatch.ticket_id)
        .where(Dispatch.is_current, Dispatch.answered_at.is_(None), Dispatch.ended_at.is_(None))
    )


def changes(session: Session, after: Profile) -> list[ClassChange]:
    """Return the classes of open tickets that a profile limits otherwise, with how many each unit has of them."""
    found = standing().subquery()
    rows = session.execute(
        select(
            found.c.source,
            found.c.request_type,
            found.c.urgency,
            found.c.sla_class,
            found.c.profile,
            Department.short_name,
            func.count(),
        )
        .join(Department, Department.id == found.c.department_id)
        .where(found.c.profile != f"{after.name} {after.version}")
        .group_by(
            found.c.source,
            found.c.request_type,
            found.c.urgency,
            found.c.sla_class,
            found.c.profile,
            Department.id,
            Department.short_name,
        )
    ).all()
    had: dict[str, Profile] = {}
    limits: dict[Key, dict[tuple[str, str, str], None]] = defaultdict(dict)
    counts: dict[Key, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for source, request_type, urgency, sla_class, profile, department, count in rows:
        if profile not in had:
            had[profile] = granting.profile_of(session, profile)
        key = (source, request_type, urgency, sla_class)
        differing = _limits(had[profile], after, key)
        if differing:
            limits[key].update(dict.fromkeys(differing))
            counts[key][department] += count
    made = [
        ClassChange(
            key=key,
            words=key_words(key),
            limits=tuple(limits[key]),
            count=sum(units.values()),
            departments=tuple(sorted(units.items(), key=lambda unit: (-unit[1], unit[0]))),
        )
        for key, units in counts.items()
    ]
    return sorted(made, key=lambda change: (-change.count, change.key))


def key_words(key: Key) -> str:
    """Return whom a class of tickets is about, in words: `投诉 · 一般 · 疑难复杂 · 来自省12345`."""
    source, request_type, urgency, sla_class = key
    return " · ".join(part for part in (request_type, urgency, sla_class, f"来自{source}" if source else "") if part)


def _limits(before: Profile, after: Profile, key: Key) -> list[tuple[str, str, str]]:
    found = []
    for clock in _COMPARED:
        had, has = _limit(before, clock, key), _limit(after, clock, key)
        ends = clock is ClockName.HANDLE and before.day_ends != after.day_ends
        if had != has or (ends and has is not None and not has.is_short):
            found.append((CLOCK_LABELS[clock], _words(had, before, ends=ends), _words(has, after, ends=ends)))
    return found


def _limit(profile: Profile, clock: ClockName, key: Key) -> Limit | None:
    source, request_type, urgency, sla_class = key
    rule = profile.rule_for(clock, source=source, request_type=request_type, urgency=urgency, sla_class=sla_class)
    return rule[1] if rule else None


def _words(limit: Limit | None, profile: Profile, *, ends: bool) -> str:
    if limit is None:
        return "不设"
    return f"{limit_in_words(limit)}（{_day_end(profile)}）" if ends and not limit.is_short else limit_in_words(limit)


def _day_end(profile: Profile) -> str:
    return "下班时截止" if profile.day_ends == "closing" else f"{profile.day_ends} 截止"


def _require_own_name(session: Session, profile: Profile) -> None:
    """Refuse a version that means something else already: tickets carry profiles by name and version."""
    body = profile.to_mapping()
    if profile.name in profiles.available():
        shipped = profiles.load(profile.name)
        taken = shipped.version == profile.version and shipped.to_mapping() != body
    else:
        taken = False
    kept = session.get(ProfileVersion, (profile.name, profile.version))
    if taken or (kept is not None and kept.body != body):
        raise Invalid({"version": f"版本 {profile.name} {profile.version} 已经存在且内容不同，请换一个版本号。"})


def _view(row: ProfileEdition, entered: str | None, confirmed: str | None, withdrawn: str | None) -> EditionView:
    return EditionView(row=row, entered_by=entered or "", confirmed_by=confirmed or "", withdrawn_by=withdrawn or "")
