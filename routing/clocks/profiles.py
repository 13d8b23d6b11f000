"""The limits of a city as data: rows by source, request type, urgency and class, each with its legal source."""

from __future__ import annotations

import functools
import itertools
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from hotline.core.errors import HotlineError
from hotline.tickets.vocabulary import RequestType, Urgency

FOLDER: Final = Path(__file__).with_name("profiles")
"""The profiles that are shipped, one file each; a centre's own live in its tables."""

REQUEST_TYPES: Final = tuple(kind.value for kind in RequestType)
URGENCIES: Final = tuple(urgency.value for urgency in Urgency)
"""特急: life or property; 紧急: utilities, hard to repair if late; 一般: normal procedure (domain.md 1.6)."""

SLA_CLASSES: Final = ("疑难复杂", "督办", "重办", "即办")
"""Classes that change a limit; a ticket without one has the empty text."""

EXTERNAL_SOURCES: Final = (
    "省12345",
    "省长信箱",
    "省长热线",
    "市长信箱",
    "互联网+督查",
    "国家政务服务平台",
    "中国政府网",
    "人民网领导留言板",
    "外部转办",
)
"""Feeds of other platforms (domain.md 1.4); they often have shorter limits."""

SAME_NAME: Final[Mapping[str, str]] = {
    "consultation": "咨询",
    "help": "求助",
    "complaint": "投诉",
    "report": "举报",
    "suggestion": "建议",
    "praise": "表扬",
    "other": "其他",
    "意见建议": "建议",
    "感谢": "表扬",
    "批评": "投诉",
    "normal": "一般",
    "urgent": "紧急",
    "critical": "特急",
    "complex": "疑难复杂",
    "supervision": "督办",
    "rework": "重办",
    "回访复核": "重办",
    "instant": "即办",
    "external": "外部转办",
    "province": "省12345",
    "mayor_mailbox": "市长信箱",
}
"""Codes and everyday words for the names above; both are accepted wherever a name is."""

LONGEST_DAYS: Final = 1_000
"""A limit longer than this is a typing mistake."""


class BadProfile(HotlineError):
    """A profile that cannot be applied; the message names the row, and `rules` holds the ids of those it is about."""

    say = "时限档案有误，请核对后再试。"
    code = "bad_profile"

    def __init__(self, message: str = "", *, rules: tuple[str, ...] = ()) -> None:
        """Keep the sentence, and the ids of the rows that must change, the first to blame in front."""
        super().__init__(message)
        self.rules = rules


class UnknownProfile(BadProfile):
    """No profile of that name, or none in force on that day."""

    say = "没有这个时限档案。"
    code = "unknown_profile"


class ClockName(StrEnum):
    """What is limited. `TOTAL` is never in a row: it is the handling limit as the citizen sees it."""

    DISPATCH = "dispatch"
    SIGN = "sign"
    CONTACT = "contact"
    RETURN = "return"
    FEEDBACK = "feedback"
    HANDLE = "handle"
    TOTAL = "total"


class Unit(StrEnum):
    """In what a limit is counted."""

    MINUTES = "minutes"
    HOURS = "hours"
    DAYS = "days"
    WORKDAYS = "workdays"


class Runs(StrEnum):
    """On which calendar a limit runs; calendar days on `WORKING` end on a working day (Civil Code art. 203)."""

    ALWAYS = "24x7"
    WORKING = "working"


class Starts(StrEnum):
    """Whether the counting starts at once or on the next day (次日起算)."""

    AT_ONCE = "at_once"
    NEXT_DAY = "next_day"


_MOST: Final[Mapping[Unit, int]] = {
    Unit.MINUTES: LONGEST_DAYS * 24 * 60,
    Unit.HOURS: LONGEST_DAYS * 24,
    Unit.DAYS: LONGEST_DAYS,
    Unit.WORKDAYS: LONGEST_DAYS,
}
Member = TypeVar("Member", bound=StrEnum)
RulePart = TypeVar("RulePart", "ExtensionRule", "SuspensionRule", "CardRule")
_SHORT: Final = frozenset({Unit.MINUTES, Unit.HOURS})


@dataclass(frozen=True, slots=True)
class Limit:
    """So many units, on this calendar, counted from then. Zero days mean "the same day" (当日)."""

    amount: int
    unit: Unit
    runs: Runs
    starts: Starts

    def __post_init__(self) -> None:
        """Refuse limits that mean nothing."""
        least = 1 if self.is_short or self.starts is Starts.NEXT_DAY else 0
        if not least <= self.amount <= _MOST[self.unit]:
            raise BadProfile(f"时限 {self.amount} {self.unit} 超出允许范围（{least} 至 {_MOST[self.unit]}）。")
        if self.unit is Unit.WORKDAYS and self.runs is Runs.ALWAYS:
            raise BadProfile("以工作日计的时限只能使用工作日历，不能写 24x7。")

    @property
    def is_short(self) -> bool:
        """Tell whether the limit is counted in minutes or hours."""
        return self.unit in _SHORT

    @property
    def minutes(self) -> int:
        """Return the length of a short limit in minutes."""
        return self.amount * (60 if self.unit is Unit.HOURS else 1)

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> Self:
        """Read `{workdays = 5}`, with `calendar` and `starts` where they differ from the unit's usual ones.

        Usual: minutes and hours run 24x7 at once, working days on the working calendar from the next day,
        calendar days 24x7 from the next day.
        """
        given = dict(given)
        named = [unit for unit in Unit if unit in given]
        if len(named) != 1:
            raise BadProfile(f"时限须且只须写一个单位（{'、'.join(Unit)}），现为 {given}。")
        unit = named[0]
        amount = given.pop(unit)
        if not isinstance(amount, int) or isinstance(amount, bool):
            raise BadProfile(f"时限 {amount!r} 不是整数。")
        usual = Runs.WORKING if unit is Unit.WORKDAYS else Runs.ALWAYS
        runs = _member(Runs, given.pop("calendar", usual), "calendar")
        starts = _member(
            Starts, given.pop("starts", Starts.AT_ONCE if unit in _SHORT or amount == 0 else Starts.NEXT_DAY), "starts"
        )
        _nothing_left(given, "时限")
        return cls(amount=amount, unit=unit, runs=runs, starts=starts)

    def to_mapping(self) -> dict[str, Any]:
        """Write every part out, so that a stored limit does not lean on what is usual today."""
        return {self.unit.value: self.amount, "calendar": self.runs.value, "starts": self.starts.value}


@dataclass(frozen=True, slots=True)
class Row:
    """One row: for whom, and the limits. An empty tuple means "any"; an `sla_class` of "" means "without one"."""

    rule_id: str
    limits: Mapping[ClockName, Limit] = field(hash=False)
    sources: tuple[str, ...] = ()
    request_types: tuple[str, ...] = ()
    urgencies: tuple[str, ...] = ()
    sla_classes: tuple[str, ...] = ()
    feedback_before_workdays: int = 0
    basis: str = ""

    def __post_init__(self) -> None:
        """Refuse a row that limits nothing, or something that no row can."""
        if not self.rule_id:
            raise BadProfile("每一行都须有编号（id）。")
        if not self.limits:
            raise BadProfile(f"规则 {self.rule_id} 没有写任何时限。", rules=(self.rule_id,))
        derived = {ClockName.TOTAL, ClockName.FEEDBACK} & set(self.limits)
        if derived:
            raise BadProfile(f"规则 {self.rule_id} 不能直接写 {'、'.join(sorted(derived))}，它由办理时限推出。")
        if self.feedback_before_workdays < 0:
            raise BadProfile(f"规则 {self.rule_id} 的提前反馈工作日数不能为负。")

    def fits(self, *, source: str, request_type: str, urgency: str, sla_class: str) -> bool:
        """Tell whether the row speaks about such a ticket."""
        return (
            (not self.sources or source in self.sources)
            and (not self.request_types or request_type in self.request_types)
            and (not self.urgencies or urgency in self.urgencies)
            and (not self.sla_classes or sla_class in self.sla_classes)
        )

    def covers(self, other: Row) -> bool:
        """Tell whether every ticket of the other row, for each clock it limits, is taken by this one."""
        return set(other.limits) <= set(self.limits) and all(
            not mine or (bool(theirs) and set(theirs) <= set(mine))
            for mine, theirs in (
                (self.sources, other.sources),
                (self.request_types, other.request_types),
                (self.urgencies, other.urgencies),
                (self.sla_classes, other.sla_classes),
            )
        )

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> Self:
        """Read one `[[rows]]` table."""
        given = dict(given)
        rule_id = str(given.pop("id", ""))
        limits = {}
        for clock in ClockName:
            if clock in given:
                try:
                    limits[clock] = Limit.from_mapping(given.pop(clock))
                except BadProfile as refused:
                    raise BadProfile(f"规则 {rule_id} 的 {clock}：{refused}") from None
        row = cls(
            rule_id=rule_id,
            limits=limits,
            sources=_names(given.pop("source", []), known=None, what=rule_id),
            request_types=_names(given.pop("type", []), known=REQUEST_TYPES, what=rule_id),
            urgencies=_names(given.pop("urgency", []), known=URGENCIES, what=rule_id),
            sla_classes=_names(given.pop("sla_class", []), known=("", *SLA_CLASSES), what=rule_id),
            feedback_before_workdays=_count(given.pop("feedback_before_workdays", 0), rule_id),
            basis=str(given.pop("basis", "")),
        )
        _nothing_left(given, f"规则 {rule_id}")
        return row

    def to_mapping(self) -> dict[str, Any]:
        """Write the row as `from_mapping` reads it."""
        return {
            "id": self.rule_id,
            "source": list(self.sources),
            "type": list(self.request_types),
            "urgency": list(self.urgencies),
            "sla_class": list(self.sla_classes),
            **{clock.value: limit.to_mapping() for clock, limit in self.limits.items()},
            "feedback_before_workdays": self.feedback_before_workdays,
            "basis": self.basis,
        }


@dataclass(frozen=True, slots=True)
class ExtensionRule:
    """延期: how long, how often, how early it must be asked (domain.md 2.8). Zero means "no bound"."""

    max_workdays: int = 10
    max_times: int = 1
    max_total_workdays: int = 0
    ask_before_workdays: int = 0
    further_by_higher_level: bool = True
    basis: str = ""


@dataclass(frozen=True, slots=True)
class SuspensionRule:
    """挂起: the longest pause in working days, in general and by kind (domain.md 2.8, our own inference)."""

    max_workdays: int = 30
    kinds: Mapping[str, int] = field(default_factory=dict, hash=False)
    basis: str = ""

    def longest(self, kind: str) -> int:
        """Return the longest pause of a kind, in working days."""
        return self.kinds.get(kind, self.max_workdays)


@dataclass(frozen=True, slots=True)
class CardRule:
    """黄牌 so many working days before due, 红牌 from the first working day after it (domain.md 2.11).

    A limit in minutes or hours has no such day: its yellow card comes when `short_percent` of it is left, the red
    one at due.
    """

    yellow_workdays: int = 1
    short_percent: int = 50
    basis: str = ""

    def __post_init__(self) -> None:
        """Refuse more than the whole of a limit."""
        if self.short_percent > 100:  # noqa: PLR2004 - per cent
            raise BadProfile("cards.short_percent 不能超过 100。")


@dataclass(frozen=True)
class Profile:
    """One version of a city's limits. Rows are read from the top; the first that fits and names a clock wins."""

    name: str
    version: str
    title: str
    effective_from: date
    source: str
    rows: tuple[Row, ...]
    effective_to: date | None = None
    note: str = ""
    day_ends: str = "closing"
    extension: ExtensionRule = field(default_factory=ExtensionRule)
    suspension: SuspensionRule = field(default_factory=SuspensionRule)
    cards: CardRule = field(default_factory=CardRule)

    def __post_init__(self) -> None:
        """Refuse gaps, doubles, unreachable rows and empty names."""
        for what, text in (("name", self.name), ("version", self.version), ("source", self.source)):
            if not text.strip():
                raise BadProfile(f"时限档案缺少 {what}。")
        if self.name.split() != [self.name]:
            # Tickets carry "name version", parted at the first blank.
            raise BadProfile(f"时限档案的名称“{self.name}”中不能有空格。")
        if self.effective_to is not None and self.effective_to < self.effective_from:
            raise BadProfile(f"时限档案 {self.name} 的失效日期早于生效日期。")
        _day_end(self.day_ends)
        _no_doubles(self.name, self.rows)
        _no_gaps(self)

    @property
    def day_end_minute(self) -> int | None:
        """Return when the last day of a count ends, in minutes after midnight; none: at the closing hour."""
        return _day_end(self.day_ends)

    def rule_for(
        self, clock: ClockName, *, source: str, request_type: str, urgency: str, sla_class: str
    ) -> tuple[Row, Limit] | None:
        """Return the first row that fits and limits the clock, or nothing where the city sets no such limit."""
        for row in self.rows:
            if clock in row.limits and row.fits(
                source=source, request_type=request_type, urgency=urgency, sla_class=sla_class
            ):
                return row, row.limits[clock]
        return None

    def is_in_force(self, day: date) -> bool:
        """Tell whether a ticket dispatched on a day falls under this version."""
        return self.effective_from <= day and (self.effective_to is None or day <= self.effective_to)

    def names(self, name: str) -> bool:
        """Tell whether some row names a source or class, so that giving it makes a difference."""
        return any(name in row.sources or name in row.sla_classes for row in self.rows)

    @classmethod
    def from_toml(cls, text: str, *, where: str = "") -> Self:
        """Read a profile; `BadProfile` tells what is wrong and in which file."""
        try:
            return cls.from_mapping(tomllib.loads(text))
        except tomllib.TOMLDecodeError as refused:
            raise BadProfile(f"{where or '时限档案'} 不是有效的 TOML：{refused}") from None
        except BadProfile as refused:
            raise BadProfile(f"{where}：{refused}" if where else str(refused)) from None

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> Self:
        """Read a profile from plain values, as TOML and a JSON column give them."""
        given = dict(given)
        rows = given.pop("rows", [])
        if not isinstance(rows, list) or not rows:
            raise BadProfile("时限档案没有任何规则（rows）。")
        profile = cls(
            name=str(given.pop("name", "")),
            version=str(given.pop("version", "")),
            title=str(given.pop("title", "")),
            effective_from=_day(given.pop("effective_from", None), "effective_from"),
            effective_to=_optional_day(given.pop("effective_to", None), "effective_to"),
            source=str(given.pop("source", "")),
            note=str(given.pop("note", "")),
            day_ends=str(given.pop("day_ends", "closing")),
            extension=_rule(ExtensionRule, given.pop("extension", {}), "extension"),
            suspension=_rule(SuspensionRule, given.pop("suspension", {}), "suspension"),
            cards=_rule(CardRule, given.pop("cards", {}), "cards"),
            rows=tuple(Row.from_mapping(row) for row in rows),
        )
        _nothing_left(given, "时限档案")
        return profile

    def to_mapping(self) -> dict[str, Any]:
        """Write the profile as plain JSON values; `from_mapping` reads it back to an equal profile."""
        return {
            "name": self.name,
            "version": self.version,
            "title": self.title,
            "effective_from": self.effective_from.isoformat(),
            "effective_to": self.effective_to.isoformat() if self.effective_to else None,
            "source": self.source,
            "note": self.note,
            "day_ends": self.day_ends,
            "extension": _plain(self.extension),
            "suspension": _plain(self.suspension),
            "cards": _plain(self.cards),
            "rows": [row.to_mapping() for row in self.rows],
        }

    def to_toml(self) -> str:
        """Write the profile as a file that `from_toml` reads back to an equal profile."""
        given = self.to_mapping()
        rows, parts = given.pop("rows"), {part: given.pop(part) for part in ("extension", "suspension", "cards")}
        lines = [
            # A date is written bare; what is not set is left out, TOML has no null.
            f"{key} = {value}" if key.startswith("effective") else f"{key} = {_toml(value)}"
            for key, value in given.items()
            if value is not None
        ]
        for part, values in parts.items():
            kinds = values.pop("kinds", {})
            lines += ["", f"[{part}]", *(f"{key} = {_toml(value)}" for key, value in values.items())]
            if kinds:
                lines += ["", f"[{part}.kinds]", *(f"{_toml(key)} = {value}" for key, value in kinds.items())]
        for row in rows:
            lines += [
                "",
                "[[rows]]",
                *(f"{key} = {_toml(value)}" for key, value in row.items() if value or key == "id"),
            ]
        return "\n".join(lines) + "\n"


def canonical(name: str) -> str:
    """Return the name under which profiles know a type, urgency, class or source."""
    name = name.strip()
    return SAME_NAME.get(name, name)


def available() -> tuple[str, ...]:
    """Return the names of the shipped profiles."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def written(name: str) -> str:
    """Return a shipped profile as it is written, for somebody who wants to change it; raises as `load` does."""
    load(name)
    return (FOLDER / f"{name}.toml").read_text(encoding="utf-8")


@functools.cache
def load(name: str) -> Profile:
    """Return a shipped profile; `UnknownProfile` lists what there is."""
    if name not in available():
        raise UnknownProfile(f"没有名为“{name}”的时限档案，可用的有：{'、'.join(available())}。")
    profile = Profile.from_toml((FOLDER / f"{name}.toml").read_text(encoding="utf-8"), where=f"{name}.toml")
    if profile.name != name:
        raise BadProfile(f"{name}.toml 中的名称是“{profile.name}”，与文件名不符。")
    return profile


def _no_doubles(name: str, rows: tuple[Row, ...]) -> None:
    seen: set[str] = set()
    for row in rows:
        if row.rule_id in seen:
            raise BadProfile(f"时限档案 {name} 中规则编号 {row.rule_id} 重复。", rules=(row.rule_id,))
        seen.add(row.rule_id)
    for earlier, later in itertools.combinations(rows, 2):
        if earlier.covers(later):
            raise BadProfile(
                f"规则 {later.rule_id} 永远不会用到：前面的规则 {earlier.rule_id} 已包含它的全部情形。",
                rules=(later.rule_id, earlier.rule_id),
            )


def _no_gaps(profile: Profile) -> None:
    for request_type, urgency in itertools.product(REQUEST_TYPES, URGENCIES):
        if not profile.rule_for(ClockName.HANDLE, source="", request_type=request_type, urgency=urgency, sla_class=""):
            raise BadProfile(f"时限档案 {profile.name} 没有规定“{urgency}”的“{request_type}”何时办结。")


def _day_end(text: str) -> int | None:
    if text == "closing":
        return None
    hour, colon, minute = text.partition(":")
    if not (colon and hour.isdecimal() and minute.isdecimal()):
        raise BadProfile(f"day_ends 应为 closing 或 17:00、24:00 这样的时刻，现为“{text}”。")
    found = int(hour) * 60 + int(minute)
    if int(minute) > 59 or not 1 <= found <= 24 * 60:  # noqa: PLR2004 - minutes of an hour
        raise BadProfile(f"day_ends 的时刻“{text}”不存在。")
    return found


def _names(given: object, *, known: tuple[str, ...] | None, what: str) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise BadProfile(f"规则 {what} 的适用条件应为文字列表，现为 {given!r}。")
    names = tuple(canonical(name) for name in given)
    strange = [name for name in names if known is not None and name not in known]
    if strange:
        raise BadProfile(f"规则 {what} 中有不认识的名称：{'、'.join(strange)}。")
    return names


def _member(kind: type[Member], value: object, what: str) -> Member:
    try:
        return kind(str(value))
    except ValueError:
        raise BadProfile(f"{what} 应为 {'、'.join(kind)} 之一，现为“{value}”。") from None


def _count(value: object, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise BadProfile(f"{what} 应为不小于 0 的整数，现为 {value!r}。")
    return value


def _day(value: object, what: str) -> date:
    found = _optional_day(value, what)
    if found is None:
        raise BadProfile(f"时限档案缺少 {what}。")
    return found


def _optional_day(value: object, what: str) -> date | None:
    if value is None or type(value) is date:
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise BadProfile(f"{what} 应为日期，现为“{value}”。") from None


def _rule(kind: type[RulePart], given: object, what: str) -> RulePart:
    if not isinstance(given, Mapping):
        raise BadProfile(f"{what} 应为一组设置，现为 {given!r}。")
    defaults = kind()
    values: dict[str, Any] = {}
    strange = dict(given)
    for part in fields(kind):
        if part.name not in strange:
            continue
        value, usual = strange.pop(part.name), getattr(defaults, part.name)
        if isinstance(usual, bool | str):
            if type(value) is not type(usual):
                raise BadProfile(f"{what}.{part.name} 的值 {value!r} 有误。")
        elif isinstance(usual, Mapping):
            if not isinstance(value, Mapping):
                raise BadProfile(f"{what}.{part.name} 应为一组天数，现为 {value!r}。")
            value = {str(kind): _count(days, f"{what}.{part.name}.{kind}") for kind, days in value.items()}
        else:
            value = _count(value, f"{what}.{part.name}")
        values[part.name] = value
    _nothing_left(strange, what)
    return kind(**values)


def _plain(rule: ExtensionRule | SuspensionRule | CardRule) -> dict[str, Any]:
    found = {part.name: getattr(rule, part.name) for part in fields(rule)}
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in found.items()}


def _toml(value: object) -> str:
    """Write a value of a profile as TOML; texts are written as in JSON, which TOML reads alike."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(part)}" for key, part in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


def _nothing_left(given: Mapping[str, Any], where: str) -> None:
    if given:
        raise BadProfile(f"{where} 中有不认识的项目：{'、'.join(sorted(map(str, given)))}。")
