"""Count every clock of a ticket from its intervals, and tell each step. Pure: values in, values out.

Days are counted in Asia/Shanghai wall time. Nothing is stored here and nothing forgotten: each answer is computed
anew from the first dispatch and the changes since (suspensions, extensions, returns, another unit, another class),
so that a pause survives whatever is changed after it (docs/decisions/0007-clock.md).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Final

from hotline.core.clock import SHANGHAI, aware, local
from hotline.core.errors import HotlineError
from routing.clocks import steps as say
from routing.clocks.calendars import DayKind, WorkCalendar, at_minute
from routing.clocks.profiles import (
    REQUEST_TYPES,
    SLA_CLASSES,
    URGENCIES,
    ClockName,
    Limit,
    Profile,
    Row,
    Runs,
    Starts,
    Unit,
    canonical,
)
from routing.clocks.steps import Step

_ONE_DAY: Final = timedelta(days=1)
_NO_TIME: Final = timedelta(0)
_MIDNIGHT: Final = 24 * 60
_STOPPED_BY_SUSPENSION: Final = frozenset({ClockName.HANDLE, ClockName.TOTAL})
_ASKED_AT_DISPATCH: Final = (ClockName.SIGN, ClockName.CONTACT, ClockName.RETURN, ClockName.HANDLE)
_UNUSUAL: Final = frozenset({DayKind.MAKE_UP_WORKDAY, DayKind.OVERRIDE_WORKDAY})


class ClockRefused(HotlineError):
    """A question or a wish that the rules do not allow; the message says which rule."""

    say = "不符合时限规则，无法办理。"
    code = "clock_refused"


class Card(StrEnum):
    """黄牌 and 红牌 of domain.md 2.11."""

    NONE = "none"
    YELLOW = "yellow"
    RED = "red"


@dataclass(frozen=True, slots=True)
class Suspension:
    """挂起: the handling clock stands from `starts_at` to `ends_at`; without an end it resumes by itself.

    The longest length is `max_workdays` where it was granted with one, else that of the profile in force when it
    began; a longer interval is cut there (`check_suspension` refuses it beforehand).
    """

    starts_at: datetime
    ends_at: datetime | None = None
    kind: str = ""
    max_workdays: int | None = None

    @property
    def at(self) -> datetime:
        """Return when it changed the clock."""
        return self.starts_at


@dataclass(frozen=True, slots=True)
class Extension:
    """延期: so many working days more, asked at that moment and approved."""

    asked_at: datetime
    workdays: int
    higher_level: bool = False
    #: Who approved it, in words.
    by: str = ""

    @property
    def at(self) -> datetime:
        """Return when it was asked."""
        return self.asked_at


@dataclass(frozen=True, slots=True)
class Redispatched:
    """改派 to another unit: its clocks begin anew on its calendar; the citizen's total does not."""

    at: datetime
    calendar: WorkCalendar | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ReturnAccepted:
    """退单获准: as `Redispatched`, said differently."""

    at: datetime
    calendar: WorkCalendar | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ReturnRefused:
    """退单被驳回: the original clock, no time gained (domain.md 2.6)."""

    at: datetime
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Reclassified:
    """Another limit from the same start: type, urgency, class, source or the whole profile was changed."""

    at: datetime
    profile: Profile | None = None
    source: str | None = None
    request_type: str | None = None
    urgency: str | None = None
    sla_class: str | None = None


Change = Suspension | Extension | Redispatched | ReturnAccepted | ReturnRefused | Reclassified


@dataclass(frozen=True, slots=True)
class Clock:
    """One answer. All times are aware and in UTC; a ticket is late when `now > due_at`.

    `confirmed` is false when the count went past the last known holiday notice. `before` names the clock that this
    one is counted back from, if any.
    """

    name: ClockName
    started_at: datetime
    due_at: datetime
    limit: Limit
    rule_id: str
    profile: str
    version: str
    yellow_from: datetime
    red_from: datetime
    confirmed: bool
    steps: tuple[Step, ...]
    before: ClockName | None = None

    def is_open(self, now: datetime) -> bool:
        """Tell whether the limit has not passed: the last moment still belongs to it."""
        return aware(now) <= self.due_at

    def card(self, now: datetime) -> Card:
        """Tell which card an unanswered ticket shows."""
        if aware(now) >= self.red_from and now > self.due_at:
            return Card.RED
        return Card.YELLOW if now >= self.yellow_from else Card.NONE


@dataclass(frozen=True, slots=True)
class _Key:
    """What a profile row is chosen by."""

    source: str
    request_type: str
    urgency: str
    sla_class: str

    def rule(self, profile: Profile, clock: ClockName) -> tuple[Row, Limit] | None:
        return profile.rule_for(
            clock,
            source=self.source,
            request_type=self.request_type,
            urgency=self.urgency,
            sla_class=self.sla_class,
        )


@dataclass(frozen=True, slots=True)
class _Pause:
    """One stretch in which the clock stood, in naive local time; `cut_after` when it ended by itself."""

    begin: datetime
    end: datetime
    reason: str = ""
    cut_after: int | None = None


@dataclass
class _Life:
    """What the changes add up to."""

    profile: Profile
    key: _Key
    calendar: WorkCalendar
    held_since: datetime
    pauses: list[_Pause] = field(default_factory=list)
    notes: list[tuple[datetime, Callable[[ClockName], Step]]] = field(default_factory=list)
    extensions: list[Extension] = field(default_factory=list)


def clocks_for(
    *,
    profile: Profile,
    calendar: WorkCalendar,
    source: str = "",
    request_type: str,
    urgency: str,
    sla_class: str = "",
    dispatched_at: datetime,
    registered_at: datetime | None = None,
    changes: Sequence[Change] = (),
    citizen_calendar: WorkCalendar | None = None,
) -> tuple[Clock, ...]:
    """Return every clock that the profile sets for such a ticket, in the order of `ClockName`.

    `calendar` is the unit's; the dispatch clock (only with `registered_at`) and the total run on
    `citizen_calendar`, by default the same. `changes` are approved facts in any order: they are applied, not
    judged (`check_extension` and `check_suspension` judge wishes). Raises `ClockRefused` for an unknown type or a
    history that contradicts itself, `BadCalendar` where the calendar ends.
    """
    key = _Key(
        source=canonical(source),
        request_type=_known(request_type, REQUEST_TYPES, "诉求类型"),
        urgency=_known(urgency, URGENCIES, "紧急程度"),
        sla_class=_known(sla_class, ("", *SLA_CLASSES), "时限类别"),
    )
    started = _wall(dispatched_at)
    centre = citizen_calendar or calendar
    found: list[Clock] = []
    rule = key.rule(profile, ClockName.DISPATCH)
    if registered_at is not None and rule is not None:
        registered = _wall(registered_at)
        life = _Life(profile=profile, key=key, calendar=centre, held_since=registered)
        found.append(_clock(ClockName.DISPATCH, life, rule, calendar=centre, begin=registered, first=registered))
    life = _lived(_Life(profile=profile, key=key, calendar=calendar, held_since=started), changes)
    for name in _ASKED_AT_DISPATCH:
        rule = life.key.rule(life.profile, name)
        if rule is None:
            continue
        clock = _clock(name, life, rule, calendar=life.calendar, begin=life.held_since, first=started)
        if name is ClockName.HANDLE:
            if rule[0].feedback_before_workdays:
                found.append(_feedback(clock, life, rule[0], first=started))
            total = _clock(ClockName.TOTAL, life, rule, calendar=centre, begin=started, first=started)
            found += [clock, total]
        else:
            found.append(clock)
    return tuple(found)


def clock_named(clocks: Sequence[Clock], name: ClockName) -> Clock | None:
    """Return one of the clocks, or nothing where the profile does not set it."""
    return next((clock for clock in clocks if clock.name is name), None)


def due_at(calendar: WorkCalendar, now: datetime, *, workdays: int) -> datetime:
    """Return the end of the n-th working day after today: the plain rule for disputes, orders and reviews."""
    if workdays < 1:
        raise ClockRefused("工作日数须至少为 1。")
    days = calendar.workdays_after(_wall(now).date())
    day = next(day for index, day in enumerate(days, start=1) if index == workdays)
    return _instant(calendar.closing(day))


def check_extension(
    *,
    profile: Profile,
    calendar: WorkCalendar,
    clock: Clock,
    asked_at: datetime,
    workdays: int,
    earlier: Sequence[Extension] = (),
    higher_level: bool = False,
) -> None:
    """Raise `ClockRefused` unless an extension may be granted (domain.md 2.8 and section 11).

    `clock` is the handling clock as it stands, earlier extensions included; `earlier` are those of this unit.
    """
    rule = profile.extension
    asked = _wall(asked_at)
    due = _wall(clock.due_at)
    if workdays < 1:
        raise ClockRefused("延期须至少为 1 个工作日。")
    if asked_at < clock.started_at:
        raise ClockRefused(f"延期申请时间 {say.moment_in_words(asked)} 早于派单时间。")
    if asked > due:
        raise ClockRefused(
            f"办理时限已于{say.moment_in_words(due)}届满，{say.moment_in_words(asked)}才申请延期，不予批准。"
        )
    if rule.ask_before_workdays:
        latest = _workdays_back(calendar, due, rule.ask_before_workdays)
        if asked > latest:
            raise ClockRefused(
                f"延期须在到期前 {rule.ask_before_workdays} 个工作日（{say.moment_in_words(latest)}）之前申请。"
            )
    if len(earlier) >= rule.max_times and not (higher_level and rule.further_by_higher_level):
        way_out = "，再次延期须经上级批准" if rule.further_by_higher_level else ""
        raise ClockRefused(f"延期最多 {rule.max_times} 次，已用完{way_out}。")
    if rule.max_workdays and workdays > rule.max_workdays:
        raise ClockRefused(f"每次延期最多 {rule.max_workdays} 个工作日，不能延期 {workdays} 个工作日。")
    if rule.max_total_workdays and clock.limit.unit is Unit.WORKDAYS:
        total = clock.limit.amount + sum(extension.workdays for extension in earlier) + workdays
        if total > rule.max_total_workdays:
            raise ClockRefused(f"连同延期合计最多 {rule.max_total_workdays} 个工作日，现为 {total} 个工作日。")


def check_suspension(*, profile: Profile, calendar: WorkCalendar, suspension: Suspension) -> None:
    """Raise `ClockRefused` when a suspension is empty, of an unknown kind or longer than allowed."""
    kinds = profile.suspension.kinds
    if suspension.kind and kinds and suspension.kind not in kinds:
        raise ClockRefused(f"没有“{suspension.kind}”这种暂停事由，可用的有：{'、'.join(kinds)}。")
    longest = suspension.max_workdays or profile.suspension.longest(suspension.kind)
    if not longest:
        raise ClockRefused("本档案不允许暂停计时。")
    pause = _pause(profile, calendar, suspension)
    if pause.cut_after is not None and suspension.ends_at is not None:
        raise ClockRefused(
            f"暂停最长 {longest} 个工作日，最迟至{say.moment_in_words(pause.end - timedelta(seconds=1))}，"
            f"不能到{say.moment_in_words(_wall(suspension.ends_at))}。"
        )


def inside(calendar: WorkCalendar, due: datetime, *, now: datetime) -> datetime:
    """Return when a part of a matter is due: one working day before the whole, or with it where that has passed.

    When the whole is overdue itself, a day from now.
    """
    earlier = _instant(_workdays_back(calendar, _wall(due), 1))
    if earlier > now:
        return earlier
    return due if due > now else now + _ONE_DAY


def shifted(calendar: WorkCalendar, due: datetime, *, day: date, was_workday: bool) -> datetime:
    """Return where the deadline of a part goes when a day before it is worked no more, or is worked after all.

    It keeps its number of working days and its hour. `calendar` is the unit's as it is now.
    """
    wall = _wall(due)
    if calendar.is_workday(day) == was_workday or day > wall.date():
        return due
    if was_workday:
        return _instant(datetime.combine(calendar.next_workday(wall.date()), wall.time()))
    earlier = wall.date() - _ONE_DAY
    while earlier > day and not calendar.is_workday(earlier):
        earlier -= _ONE_DAY
    return due if day == wall.date() else _instant(datetime.combine(earlier, wall.time()))


def latest_end(*, profile: Profile, calendar: WorkCalendar, starts_at: datetime, kind: str = "") -> datetime:
    """Return the furthest end that `check_suspension` allows a pause of this kind that begins then."""
    pause = _pause(profile, calendar, Suspension(starts_at=starts_at, kind=kind))
    return _instant(max(pause.end, _after_rest(calendar, pause.end)))


def _lived(life: _Life, changes: Sequence[Change]) -> _Life:
    """Walk through the changes in the order of time, from the life as it was at the first dispatch."""
    started = life.held_since
    for change in sorted(changes, key=lambda change: aware(change.at)):
        at = _wall(change.at)
        match change:
            case Suspension():
                life.pauses.append(_pause(life.profile, life.calendar, change))
            case Extension():
                if change.workdays < 1:
                    raise ClockRefused("延期须至少为 1 个工作日。")
                life.extensions.append(change)
            case Redispatched() | ReturnAccepted():
                if at < started:
                    raise ClockRefused(f"改派时间 {say.moment_in_words(at)} 早于首次派单。")
                life.held_since, life.calendar = at, change.calendar or life.calendar
                life.notes.append((at, _moved(change, at)))
            case ReturnRefused():
                life.notes.append((at, _not_moved(change, at)))
            case _:
                before, life.key = life.key, _changed(life.key, change)
                moved = change.profile is not None and change.profile != life.profile
                if change.profile is not None and moved:
                    life.profile = change.profile
                    life.notes.append((at, _under(change.profile, at)))
                if not moved or life.key != before:
                    life.notes.append((at, _renamed(life.profile, life.key, at)))
    life.pauses = _merged(life.pauses)
    return life


def _moved(change: Redispatched | ReturnAccepted, at: datetime) -> Callable[[ClockName], Step]:
    words = say.redispatched if isinstance(change, Redispatched) else say.return_accepted
    return lambda clock: words(at, clock=clock, reason=change.reason)


def _not_moved(change: ReturnRefused, at: datetime) -> Callable[[ClockName], Step]:
    return lambda _clock: say.return_refused(at, reason=change.reason)


def _renamed(profile: Profile, key: _Key, at: datetime) -> Callable[[ClockName], Step]:
    parts = (profile.title or profile.name, key.urgency, key.request_type, key.sla_class)
    what = "、".join(part for part in parts if part)
    return lambda _clock: say.reclassified(at, what=f"“{what}”")


def _under(profile: Profile, at: datetime) -> Callable[[ClockName], Step]:
    return lambda _clock: say.moved_to(at, profile=profile)


def _changed(key: _Key, change: Reclassified) -> _Key:
    return _Key(
        source=key.source if change.source is None else canonical(change.source),
        request_type=key.request_type
        if change.request_type is None
        else _known(change.request_type, REQUEST_TYPES, "诉求类型"),
        urgency=key.urgency if change.urgency is None else _known(change.urgency, URGENCIES, "紧急程度"),
        sla_class=key.sla_class
        if change.sla_class is None
        else _known(change.sla_class, ("", *SLA_CLASSES), "时限类别"),
    )


def _pause(profile: Profile, calendar: WorkCalendar, suspension: Suspension) -> _Pause:
    """Turn a suspension into the stretch in which the clock stands, cut at its longest length."""
    begin = _wall(suspension.starts_at)
    end = None if suspension.ends_at is None else _wall(suspension.ends_at)
    if end is not None and end <= begin:
        raise ClockRefused(f"暂停的结束时间 {say.moment_in_words(end)} 不晚于开始时间 {say.moment_in_words(begin)}。")
    # One that was granted although the profile allows none (`check_suspension` refuses it) still stands its first day.
    longest = max(suspension.max_workdays or profile.suspension.longest(suspension.kind), 1)
    days = calendar.workdays_after(begin.date() - _ONE_DAY)
    standing = 0
    while standing < longest:
        day = next(days)
        resumes = datetime.combine(day + _ONE_DAY, time())
        standing += begin < _work_ends(calendar, day, _day_end(profile, calendar, day))
        if end is not None and end <= resumes:
            return _Pause(begin, end, suspension.kind)
    if end is not None and end <= _after_rest(calendar, resumes):
        return _Pause(begin, end, suspension.kind)
    return _Pause(begin, resumes, suspension.kind, cut_after=longest)


def _after_rest(calendar: WorkCalendar, midnight: datetime) -> datetime:
    """Return the last moment at which a pause that swallowed its last day has still swallowed no other."""
    day = midnight.date()
    return calendar.opening(day if calendar.is_workday(day) else calendar.next_workday(day))


def _merged(pauses: Sequence[_Pause]) -> list[_Pause]:
    """Join stretches that overlap or touch, so that no hour is counted twice."""
    joined: list[_Pause] = []
    for pause in sorted(pauses, key=lambda pause: (pause.begin, pause.end)):
        last = joined[-1] if joined else None
        if last is None or pause.begin > last.end:
            joined.append(pause)
            continue
        longer = last if last.end >= pause.end else pause
        reasons = dict.fromkeys(part for part in (*last.reason.split("、"), pause.reason) if part)
        joined[-1] = _Pause(last.begin, longer.end, "、".join(reasons), cut_after=longer.cut_after)
    return joined


def _clock(
    name: ClockName,
    life: _Life,
    rule: tuple[Row, Limit],
    *,
    calendar: WorkCalendar,
    begin: datetime,
    first: datetime,
) -> Clock:
    """Count one clock."""
    row, limit = rule
    pauses = life.pauses if name in _STOPPED_BY_SUSPENSION else []
    walk = _Walk(calendar=calendar, profile=life.profile, limit=limit, begin=begin, pauses=pauses)
    due = walk.count()
    if name in _STOPPED_BY_SUSPENSION:
        for extension in life.extensions:
            if name is ClockName.TOTAL or _wall(extension.asked_at) >= begin:
                due = walk.extend(due, extension)
    walk.tell_pauses(due)
    yellow, red = walk.cards(due)
    notes = [(at, note(name)) for at, note in life.notes]
    return Clock(
        name=name,
        started_at=_instant(begin),
        due_at=_instant(due),
        limit=limit,
        rule_id=row.rule_id,
        profile=life.profile.name,
        version=life.profile.version,
        yellow_from=_instant(yellow),
        red_from=_instant(red),
        confirmed=walk.is_confirmed(due),
        steps=(
            say.started(first, name),
            say.rule(life.profile, row, limit, name),
            *(step for _at, step in sorted([*notes, *walk.told], key=lambda told: told[0])),
            *(() if walk.is_confirmed(due) else (say.unconfirmed(due.date()),)),
            say.due(due),
        ),
    )


def _feedback(handle: Clock, life: _Life, row: Row, *, first: datetime) -> Clock:
    """Return the clock that ends some working days before the handling limit."""
    workdays = row.feedback_before_workdays
    limit = Limit(amount=workdays, unit=Unit.WORKDAYS, runs=Runs.WORKING, starts=Starts.NEXT_DAY)
    handled = _wall(handle.due_at)
    begin = _wall(handle.started_at)
    due = max(_workdays_back(life.calendar, handled, workdays, pauses=life.pauses), begin)
    return Clock(
        name=ClockName.FEEDBACK,
        started_at=handle.started_at,
        due_at=_instant(due),
        limit=limit,
        rule_id=row.rule_id,
        profile=handle.profile,
        version=handle.version,
        yellow_from=_instant(max(_workdays_back(life.calendar, due, life.profile.cards.yellow_workdays), begin)),
        red_from=_instant(life.calendar.opening(life.calendar.next_workday(due.date()))),
        confirmed=handle.confirmed,
        steps=(
            say.started(first, ClockName.FEEDBACK),
            say.before(handled, workdays=workdays, of=ClockName.HANDLE),
            *(() if handle.confirmed else (say.unconfirmed(handled.date()),)),
            say.due(due),
        ),
        before=ClockName.HANDLE,
    )


class _Walk:
    """Walk along the days of one clock, counting and telling."""

    def __init__(
        self, *, calendar: WorkCalendar, profile: Profile, limit: Limit, begin: datetime, pauses: Sequence[_Pause]
    ) -> None:
        self.calendar, self.profile, self.limit, self.begin = calendar, profile, limit, begin
        self.pauses = pauses
        self.told: list[tuple[datetime, Step]] = []
        self.lost_days: dict[_Pause, int] = {}
        self.lost_time: dict[_Pause, timedelta] = {}
        self.counted = 0
        self.extended = False
        self.resting: list[date] = []

    # -- the count ------------------------------------------------------------------------------------------

    def count(self) -> datetime:
        """Return when the limit ends, as naive local time."""
        if self.limit.is_short:
            return self._count_time(timedelta(minutes=self.limit.minutes), tell=True)
        if self.limit.amount and self.limit.starts is Starts.AT_ONCE:
            return self._count_days_at_once()
        return self._count_days()

    def _count_days_at_once(self) -> datetime:
        """Count days as lengths of time: 24 hours each, or for working days the usual hours of one.

        Counted by hours, an at-once limit keeps its promises (a later start is never due earlier, nothing is won
        by a pause of a minute); on plain days it still ends at the hour at which it began.
        """
        if self.limit.unit is Unit.WORKDAYS:
            a_day = sum(period.closes - period.opens for period in self.calendar.periods)
            return self._count_time(timedelta(minutes=self.limit.amount * a_day), tell=True)
        due = self._count_time(timedelta(days=self.limit.amount), tell=True)
        return due if self.limit.runs is Runs.ALWAYS else self._rolled(due)

    def _rolled(self, due: datetime) -> datetime:
        """Return the first working moment from a moment on at which the clock runs."""
        found = self.calendar.next_working_moment(due)
        while (pause := next((pause for pause in self.pauses if pause.begin <= found < pause.end), None)) is not None:
            found = self.calendar.next_working_moment(pause.end)
        if found.date() != due.date():
            self._tell(due, say.rolled(due.date(), found.date(), year=self.begin.year))
        return found

    def _count_days(self) -> datetime:
        amount, first = self.limit.amount, self.begin.date() + _ONE_DAY
        if amount == 0:
            amount, first = 1, self._first_same_day()
            self._tell(datetime.combine(first, time()), say.same_day(first, year=self.begin.year))
        else:
            shown = first if self.limit.unit is Unit.DAYS else self.calendar.next_workday(first - _ONE_DAY)
            self._tell(datetime.combine(first, time()), say.first_day(self.limit, shown, year=self.begin.year))
        day = self._nth(amount, first, workdays_only=self.limit.unit is Unit.WORKDAYS)
        if self.limit.runs is Runs.WORKING and not self.calendar.is_workday(day):
            to = self._nth(1, day, workdays_only=True, silent=True)
            self._tell(datetime.combine(day, time()), say.rolled(day, to, year=self.begin.year))
            day = to
        return self._mark(day)

    def _first_same_day(self) -> date:
        """Return the day that "the same day" means: the next one when today is over or nobody works."""
        day = self.begin.date()
        if self.begin >= self._mark(day):
            day += _ONE_DAY
        if self.limit.runs is Runs.WORKING and not self.calendar.is_workday(day):
            day = self.calendar.next_workday(day)
        return day

    def _nth(self, amount: int, first: date, *, workdays_only: bool, silent: bool = False) -> date:
        """Return the n-th day from `first` on at the end of whose work the clock runs."""
        day, reached = first - _ONE_DAY, 0
        while reached < amount:
            day += _ONE_DAY
            if workdays_only and not self.calendar.is_workday(day):
                self.resting.append(day)
                continue
            if workdays_only:
                self._tell_rest()
            standing = self._pause_on(day, workdays_only=workdays_only) if self.pauses else None
            if standing is not None:
                self.lost_days[standing] = self.lost_days.get(standing, 0) + 1
                continue
            reached += 1
            if workdays_only and not silent:
                self.counted += 1
                self._tell_unusual(day)
        self.resting.clear()
        return day

    def _mark(self, day: date) -> datetime:
        """Return when a counted day ends."""
        if self.limit.unit is Unit.DAYS and self.limit.runs is Runs.ALWAYS:
            return at_minute(day, _MIDNIGHT)
        return _day_end(self.profile, self.calendar, day)

    def _count_time(self, length: timedelta, *, tell: bool) -> datetime:
        begin = self.begin
        if self.limit.starts is Starts.NEXT_DAY:
            begin = datetime.combine(begin.date() + _ONE_DAY, time())
        if self.limit.runs is Runs.ALWAYS or self.limit.unit is Unit.DAYS:
            if tell:
                self._tell(begin, say.origin(self.limit, begin))
            return self._spend(length, iter([(begin, None)]), tell=tell)
        opens = self.calendar.next_working_moment(begin)
        if tell:
            if self.limit.starts is Starts.AT_ONCE and opens != begin:
                self._tell(begin, say.waits(opens))
            else:
                self._tell(begin, say.origin(self.limit, opens))
        return self._spend(length, self._stretches(begin, tell=tell), tell=tell)

    def _stretches(self, begin: datetime, *, tell: bool) -> Iterator[tuple[datetime, datetime | None]]:
        """Yield the stretches of working time from a moment on."""
        day = begin.date()
        while True:
            midnight = datetime.combine(day, time())
            periods = self.calendar.periods_on(day)
            if tell and not periods:
                self.resting.append(day)
            if tell and periods:
                self._tell_rest()
                if self.calendar.kind(day) in _UNUSUAL:
                    step = say.worked_through(day, declared=self.calendar.declared(day), year=self.begin.year)
                    self._tell(midnight, step)
            for period in periods:
                opens = max(midnight + timedelta(minutes=period.opens), begin)
                closes = midnight + timedelta(minutes=period.closes)
                if opens < closes:
                    yield opens, closes
            day += _ONE_DAY

    def _spend(
        self,
        length: timedelta,
        stretches: Iterator[tuple[datetime, datetime | None]],
        *,
        tell: bool,
    ) -> datetime:
        """Let a length of time pass over stretches, standing still in the pauses."""
        while True:
            moment, closes = next(stretches)
            for pause in self.pauses:
                if pause.end <= moment:
                    continue
                if pause.begin >= moment + length or (closes is not None and pause.begin >= closes):
                    break
                length -= max(pause.begin - moment, _NO_TIME)
                moment = max(moment, pause.begin)
                until = pause.end if closes is None else min(pause.end, closes)
                if tell:
                    self.lost_time[pause] = self.lost_time.get(pause, _NO_TIME) + (until - moment)
                moment = until
            if closes is None or moment + length <= closes:
                return moment + length
            length -= closes - moment

    # -- what may be added -----------------------------------------------------------------------------------

    def extend(self, due: datetime, extension: Extension) -> datetime:
        """Return the due moment that many counted working days later."""
        self.extended = True
        day = self._nth(extension.workdays, due.date() + _ONE_DAY, workdays_only=True)
        later = self._mark(day)
        asked = _wall(extension.asked_at)
        self._tell(asked, say.extended(asked, workdays=extension.workdays, before=due, after=later, by=extension.by))
        return later

    def cards(self, due: datetime) -> tuple[datetime, datetime]:
        """Return from when on an unanswered ticket shows the yellow and the red card."""
        rule = self.profile.cards
        if self.limit.is_short and not self.extended:
            used = timedelta(minutes=self.limit.minutes) * (100 - rule.short_percent) / 100
            return max(self._count_time(used, tell=False), self.begin), due
        yellow = _workdays_back(self.calendar, due, rule.yellow_workdays, pauses=self.pauses, not_before=self.begin)
        return max(yellow, self.begin), self.calendar.opening(self.calendar.next_workday(due.date()))

    def is_confirmed(self, due: datetime) -> bool:
        """Tell whether no day of the count lies past the last known notice."""
        by_the_clock = self.limit.runs is Runs.ALWAYS and not self.extended
        return by_the_clock or self.calendar.is_confirmed(due.date())

    # -- what is told ----------------------------------------------------------------------------------------

    def tell_pauses(self, due: datetime) -> None:
        """Tell every pause that lies in the clock's time, whether it cost something or not."""
        for pause in self.pauses:
            if pause.end <= self.begin or pause.begin >= due:
                continue
            unit = Unit.DAYS if self.limit.unit is Unit.DAYS else Unit.WORKDAYS
            costs: list[timedelta | int] = [self.lost_time.get(pause, _NO_TIME), self.lost_days.get(pause, 0)]
            for lost in [cost for cost in costs if cost] or [0]:
                self._tell(
                    pause.begin, say.suspended(pause.begin, pause.end, reason=pause.reason, lost=lost, unit=unit)
                )
            if pause.cut_after is not None:
                self._tell(pause.end, say.auto_resumed(pause.end, workdays=pause.cut_after))

    def _tell(self, at: datetime, step: Step) -> None:
        self.told.append((at, step))

    def _tell_rest(self) -> None:
        """Tell the run of days of rest that just ended; what somebody declared is told apart, with his reason."""
        days, self.resting = self.resting, []
        for _reason, run in itertools.groupby(days, key=self._declared_rest):
            self._tell_run(tuple(run))

    def _tell_run(self, run: tuple[date, ...]) -> None:
        names = dict.fromkeys(name for day in run if (name := self.calendar.holiday_name(day)))
        if not names and any(self.calendar.kind(day) is DayKind.HOLIDAY for day in run):
            names = {"调休": None}
        step = say.rest(run, tuple(names), declared=self.calendar.declared(run[0]), year=self.begin.year)
        self._tell(datetime.combine(run[0], time()), step)

    def _declared_rest(self, day: date) -> tuple[str, str, str]:
        row = self.calendar.declared(day)
        return (row.layer.value, row.whose, row.name) if row is not None else ("", "", "")

    def _tell_unusual(self, day: date) -> None:
        if self.calendar.kind(day) in _UNUSUAL:
            declared = self.calendar.declared(day)
            step = say.counted_workday(day, index=self.counted, declared=declared, year=self.begin.year)
            self._tell(datetime.combine(day, time()), step)

    def _pause_on(self, day: date, *, workdays_only: bool) -> _Pause | None:
        """Return the pause in which a day ends, if any."""
        around_the_clock = self.limit.runs is Runs.ALWAYS and not workdays_only
        mark = self._mark(day)
        ends = mark if around_the_clock else _work_ends(self.calendar, day, mark)
        return next((pause for pause in self.pauses if pause.begin < ends <= pause.end), None)


def _workdays_back(
    calendar: WorkCalendar,
    due: datetime,
    workdays: int,
    *,
    pauses: Sequence[_Pause] = (),
    not_before: datetime | None = None,
) -> datetime:
    """Return the moment at which so many working days are left until due, days of a pause not counted.

    Due on a day of rest counts from the working day before it. Never before `not_before`.
    """
    day, left = due.date(), workdays + 1
    while not_before is None or day >= not_before.date():
        mark = datetime.combine(day, due.time())
        ends = _work_ends(calendar, day, mark)
        standing = any(pause.begin < ends <= pause.end for pause in pauses)
        if calendar.is_workday(day) and not standing:
            left -= 1
            if left == 0:
                return mark
        day -= _ONE_DAY
    return not_before


def _day_end(profile: Profile, calendar: WorkCalendar, day: date) -> datetime:
    """Return when a counted day ends: the profile's hour, or when work ends on that day."""
    if profile.day_end_minute is not None:
        return at_minute(day, profile.day_end_minute)
    if calendar.is_workday(day):
        return calendar.closing(day)
    return at_minute(day, calendar.periods[-1].closes)


def _work_ends(calendar: WorkCalendar, day: date, mark: datetime) -> datetime:
    """Return when a day is lost to a pause that lasts: at its mark, but no later than the end of its work.

    So a pause until closing time costs the day also where the limit itself runs to midnight.
    """
    return min(mark, calendar.closing(day)) if calendar.is_workday(day) else mark


def _known(name: str, names: tuple[str, ...], what: str) -> str:
    found = canonical(name)
    if found not in names:
        raise ClockRefused(f"没有“{name}”这种{what}，可用的有：{'、'.join(name for name in names if name)}。")
    return found


def _wall(moment: datetime) -> datetime:
    """Return an instant as naive Asia/Shanghai wall time; `ValueError` for a naive one."""
    return local(moment).replace(tzinfo=None)


def _instant(wall: datetime) -> datetime:
    return wall.replace(tzinfo=SHANGHAI).astimezone(UTC)
