"""The form of an edition of limits: read as it was typed, rows moved about, made a profile or refused by field."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date
from typing import Any, Final, Self

from werkzeug.datastructures import MultiDict

from hotline.core.errors import Invalid
from hotline.core.text import clean_line
from routing.clocks import profiles
from routing.clocks.profiles import (
    EXTERNAL_SOURCES,
    REQUEST_TYPES,
    SLA_CLASSES,
    URGENCIES,
    BadProfile,
    ClockName,
    Limit,
    Profile,
    Row,
    Runs,
    Starts,
    Unit,
)
from routing.clocks.steps import CLOCK_LABELS

#: More rows than any city's text has.
MOST_ROWS: Final = 60
#: How many further lines for causes of a pause the form offers.
_SPARE_KINDS: Final = 2
_MOST_WORDS: Final = 500
CLOCKS: Final = (ClockName.DISPATCH, ClockName.SIGN, ClockName.CONTACT, ClockName.RETURN, ClockName.HANDLE)
#: A unit with the calendar that it runs on: what is chosen cannot contradict itself.
UNITS: Final = (
    ("workdays/working", "个工作日"),
    ("days/24x7", "日（自然日）"),
    ("days/working", "日（末日休息则顺延）"),
    ("hours/24x7", "小时（全天候）"),
    ("hours/working", "小时（工作时间）"),
    ("minutes/24x7", "分钟（全天候）"),
    ("minutes/working", "分钟（工作时间）"),
)
STARTS: Final = ((Starts.NEXT_DAY.value, "次日起算"), (Starts.AT_ONCE.value, "即时起算"))
#: The fields above the rows, with what they are called.
HEAD: Final[Mapping[str, str]] = {
    "name": "代号",
    "title": "名称",
    "version": "版本号",
    "effective_on": "生效日期",
    "basis": "依据",
    "note": "说明",
    "day_ends": "末日截止时刻",
}
#: The whole numbers below the rows, by the part of the profile that they belong to.
NUMBERS: Final[Mapping[str, str]] = {
    "extension.max_workdays": "一次延期最长（个工作日）",
    "extension.max_times": "延期次数",
    "extension.max_total_workdays": "连同延期最长（个工作日）",
    "extension.ask_before_workdays": "须提前申请（个工作日）",
    "suspension.max_workdays": "一般事由最长（个工作日）",
    "cards.yellow_workdays": "到期前几个工作日亮黄牌",
    "cards.short_percent": "短时限剩余百分之几亮黄牌",
}
_BASES: Final = ("extension.basis", "suspension.basis", "cards.basis")
_FURTHER: Final = "extension.further_by_higher_level"


@dataclass(frozen=True, kw_only=True)
class Typed:
    """One limit as it is typed; without an amount there is none."""

    amount: str = ""
    unit: str = UNITS[0][0]
    starts: str = Starts.NEXT_DAY.value

    @classmethod
    def of(cls, limit: Limit | None) -> Self:
        """Show a limit in the form."""
        if limit is None:
            return cls()
        return cls(amount=str(limit.amount), unit=f"{limit.unit}/{limit.runs}", starts=limit.starts.value)

    def read(self) -> Limit:
        """Return the limit that is meant; `BadProfile` says what is wrong with it."""
        unit, _, runs = self.unit.partition("/")
        if self.unit not in dict(UNITS) or self.starts not in dict(STARTS):
            raise BadProfile("请从列表中选择单位和起算方式。")
        if not self.amount.isdecimal() or len(self.amount) > 9:  # noqa: PLR2004 - longer than any limit in minutes
            raise BadProfile(f"“{self.amount}”不是整数。")
        return Limit(amount=int(self.amount), unit=Unit(unit), runs=Runs(runs), starts=Starts(self.starts))

    @property
    def words(self) -> str:
        """Return the limit as the head of its row tells it."""
        return f"{self.amount} {dict(UNITS).get(self.unit, '')}".strip()


@dataclass(frozen=True, kw_only=True)
class TypedRow:
    """One row as it is typed. `key` names its fields for as long as the form is open, wherever the row moves."""

    key: int
    rule_id: str = ""
    sources: Sequence[str] = ()
    more_sources: str = ""
    request_types: Sequence[str] = ()
    urgencies: Sequence[str] = ()
    sla_classes: Sequence[str] = ()
    limits: Mapping[ClockName, Typed] = field(default_factory=lambda: dict.fromkeys(CLOCKS, Typed()))
    feedback: str = ""
    basis: str = ""

    @classmethod
    def of(cls, key: int, row: Row) -> Self:
        """Show a row of a profile in the form."""
        return cls(
            key=key,
            rule_id=row.rule_id,
            sources=[name for name in row.sources if name in EXTERNAL_SOURCES],
            more_sources="、".join(name for name in row.sources if name not in EXTERNAL_SOURCES),
            request_types=row.request_types,
            urgencies=row.urgencies,
            sla_classes=[name or "none" for name in row.sla_classes],
            limits={clock: Typed.of(row.limits.get(clock)) for clock in CLOCKS},
            feedback=str(row.feedback_before_workdays or ""),
            basis=row.basis,
        )

    @classmethod
    def sent(cls, key: int, form: MultiDict[str, str]) -> Self:
        """Read a row as it came in."""

        def limit(clock: ClockName) -> Typed:
            given = {part.name: form.get(f"{key}.{clock}.{part.name}", "").strip() for part in fields(Typed)}
            return Typed(**given)

        return cls(
            key=key,
            rule_id=form.get(f"{key}.id", "").strip(),
            sources=form.getlist(f"{key}.source"),
            more_sources=form.get(f"{key}.more_sources", ""),
            request_types=form.getlist(f"{key}.type"),
            urgencies=form.getlist(f"{key}.urgency"),
            sla_classes=form.getlist(f"{key}.sla_class"),
            limits={clock: limit(clock) for clock in CLOCKS},
            feedback=form.get(f"{key}.feedback", "").strip(),
            basis=form.get(f"{key}.basis", ""),
        )

    @property
    def whom(self) -> str:
        """Return whom the row speaks about, in words."""
        told = ["、".join(names) for names in (self.request_types, self.urgencies) if names]
        classes = [_class_words(name) for name in self.sla_classes]
        sources = self._every_source()
        if classes:
            told.append("、".join(classes))
        if sources:
            told.append("来自" + "、".join(sources[:2]) + (f"等 {len(sources)} 处" if len(sources) > 2 else ""))  # noqa: PLR2004 - two names, then a number
        return " · ".join(told) or "其余各类诉求"

    @property
    def told(self) -> str:
        """Return the limits of the row, in words."""
        return "，".join(
            f"{CLOCK_LABELS[clock].removesuffix('时限').removesuffix('期限')} {typed.words}"
            for clock, typed in self.limits.items()
            if typed.amount
        )

    def _every_source(self) -> list[str]:
        return [*self.sources, *(name for name in re.split(r"[、,，;；\s]+", self.more_sources) if name)]

    def read(self, problems: dict[str, str]) -> dict[str, Any]:
        """Return the row as a profile takes it; what is wrong goes among the problems, under the name of its field."""
        found: dict[str, Any] = {
            "id": self.rule_id,
            "source": self._every_source(),
            "type": [*self.request_types],
            "urgency": [*self.urgencies],
            "sla_class": ["" if name == "none" else name for name in self.sla_classes],
            "basis": clean_line(self.basis)[:_MOST_WORDS],
        }
        for clock, typed in self.limits.items():
            if not typed.amount:
                continue
            try:
                found[clock.value] = typed.read().to_mapping()
            except BadProfile as refused:
                problems[f"{self.key}.{clock}.amount"] = refused.message
        found["feedback_before_workdays"] = _whole(self.feedback, f"{self.key}.feedback", problems)
        if not any(clock.value in found or f"{self.key}.{clock}.amount" in problems for clock in CLOCKS):
            problems[f"row.{self.key}"] = "没有写任何时限；不需要这一条请删除。"
        return found


@dataclass(frozen=True, kw_only=True)
class Form:
    """An edition as it is typed: the fields above and below the rows as texts, and the rows in their order."""

    values: Mapping[str, str]
    rows: Sequence[TypedRow]
    kinds: Sequence[tuple[str, str]] = ()
    #: The row that was added or moved last: it stands open.
    touched: int | None = None

    @classmethod
    def of(cls, profile: Profile, *, version: str = "", effective_on: str = "", basis: str = "") -> Self:
        """Show a profile in the form, to be changed into another."""
        plain = profile.to_mapping()
        values = {
            "name": profile.name,
            "title": profile.title,
            "version": version,
            "effective_on": effective_on,
            "basis": basis,
            "note": profile.note,
            "day_ends": "" if profile.day_ends == "closing" else profile.day_ends,
            _FURTHER: "yes" if profile.extension.further_by_higher_level else "",
        }
        for name in (*NUMBERS, *_BASES):
            part, _, what = name.partition(".")
            values[name] = str(plain[part][what])
        return cls(
            values=values,
            rows=[TypedRow.of(key, row) for key, row in enumerate(profile.rows)],
            kinds=_with_spare([(kind, str(days)) for kind, days in profile.suspension.kinds.items()]),
        )

    @classmethod
    def sent(cls, form: MultiDict[str, str]) -> Self:
        """Read the form as it came in; nothing is judged and nothing is lost."""
        keys = [int(raw) for raw in form.getlist("row") if raw.isdecimal() and len(raw) < 9]  # noqa: PLR2004 - no form has more
        names = (*HEAD, *NUMBERS, *_BASES, _FURTHER)
        return cls(
            values={name: form.get(name, "").strip() for name in names},
            rows=[TypedRow.sent(key, form) for key in dict.fromkeys(keys[:MOST_ROWS])],
            kinds=_with_spare(
                [
                    (form.get(f"kind.{n}", "").strip(), form.get(f"kind_days.{n}", "").strip())
                    for n in range(MOST_ROWS)
                    if f"kind.{n}" in form
                ]
            ),
        )

    @property
    def next_key(self) -> int:
        """Return the key that the next new row will have."""
        return max((row.key for row in self.rows), default=-1) + 1

    def changed(self, deed: str) -> Self:
        """Return the form after `up:3`, `down:3`, `remove:3`, `insert:3` (above that row) or `add` (at the end)."""
        what, _, raw = deed.partition(":")
        at = next((n for n, row in enumerate(self.rows) if str(row.key) == raw), None)
        rows, touched = [*self.rows], None
        if what in {"add", "insert"} and (at is not None or what == "add"):
            if len(rows) >= MOST_ROWS:
                raise Invalid({"": f"最多 {MOST_ROWS} 条规定。"})
            touched = self.next_key
            rows.insert(len(rows) if at is None else at, TypedRow(key=touched))
        elif at is not None and what == "remove":
            del rows[at]
        elif at is not None and what in {"up", "down"}:
            to = at + (1 if what == "down" else -1)
            if 0 <= to < len(rows):
                rows[at], rows[to] = rows[to], rows[at]
            touched = int(raw)
        return replace(self, rows=rows, touched=touched)

    def profile(self) -> Profile:
        """Return what was typed as a profile; raises `Invalid` by field, naming the row."""
        problems: dict[str, str] = {}
        rows = [row.read(problems) for row in self._numbered()]
        parts: dict[str, dict[str, Any]] = {"extension": {}, "suspension": {}, "cards": {}}
        for name in (*NUMBERS, *_BASES):
            part, _, what = name.partition(".")
            raw = self.values.get(name, "")
            parts[part][what] = clean_line(raw)[:_MOST_WORDS] if name in _BASES else _whole(raw, name, problems)
        parts["extension"]["further_by_higher_level"] = bool(self.values.get(_FURTHER))
        parts["suspension"]["kinds"] = self._kinds(problems)
        if not rows:
            problems[""] = "至少要有一条规定。"
        if problems:
            raise Invalid(problems)
        try:
            return Profile.from_mapping(
                {
                    "name": self.values["name"] or "city",
                    "title": clean_line(self.values["title"]) or clean_line(self.values["basis"]),
                    "version": clean_line(self.values["version"]) or "草案",
                    "effective_from": _first_day(self.values["effective_on"]),
                    "source": clean_line(self.values["basis"]) or "草案",
                    "note": clean_line(self.values["note"])[:_MOST_WORDS],
                    "day_ends": self.values["day_ends"].replace("：", ":") or "closing",
                    "rows": rows,
                    **parts,
                }
            )
        except BadProfile as refused:
            raise Invalid(self._blamed(refused)) from refused

    def _numbered(self) -> list[TypedRow]:
        """Give new rows an id that no other has; the others keep theirs, by which tickets explain their limits."""
        taken = {row.rule_id for row in self.rows}
        made, number = [], 0
        for row in self.rows:
            if row.rule_id:
                made.append(row)
                continue
            while f"row-{number + 1}" in taken:
                number += 1
            number += 1
            made.append(replace(row, rule_id=f"row-{number}"))
        return made

    def _kinds(self, problems: dict[str, str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for n, (raw, days) in enumerate(self.kinds):
            kind = clean_line(raw)
            if not kind and not days:
                continue
            if not kind or kind in found:
                problems[f"kind.{n}"] = "事由重复。" if kind else "请填写事由。"
                continue
            number = _whole(days, f"kind_days.{n}", problems)
            if number == 0 and f"kind_days.{n}" not in problems:
                problems[f"kind_days.{n}"] = "请填写天数。"
            found[kind] = number
        return found

    def _blamed(self, refused: BadProfile) -> dict[str, str]:
        """Put what a profile says of itself where a person looks for it, and call rows by their place."""
        places = {row.rule_id: (n, row.key) for n, row in enumerate(self._numbered(), 1)}
        words = refused.message
        for rule_id in refused.rules:
            if rule_id in places:
                words = words.replace(f"规则 {rule_id} ", f"第 {places[rule_id][0]} 条")
        if refused.rules and refused.rules[0] in places:
            return {f"row.{places[refused.rules[0]][1]}": words}
        if words.startswith("day_ends"):
            return {"day_ends": "请写 17:00、24:00 这样的时刻，或留空（下班时）。"}
        if words.startswith("cards.short_percent"):
            return {"cards.short_percent": "不能超过 100。"}
        return {"": words}


def read_text(text: str) -> Profile:
    """Read a profile that somebody wrote as TOML; raises `Invalid` for the field `text`, naming the row."""
    if not text.strip():
        raise Invalid({"text": "请粘贴 TOML 内容。"})
    try:
        return Profile.from_toml(text)
    except BadProfile as refused:
        raise Invalid({"text": refused.message}) from refused


def labels(form: Form) -> dict[str, str]:
    """Return what each field is called, for the list of what is wrong."""
    found = {**HEAD, **NUMBERS, "text": "TOML 内容"}
    for n, row in enumerate(form.rows, 1):
        found[f"row.{row.key}"] = f"第 {n} 条"
        found[f"{row.key}.feedback"] = f"第 {n} 条 提前反馈"
        for clock in CLOCKS:
            found[f"{row.key}.{clock}.amount"] = f"第 {n} 条 {CLOCK_LABELS[clock]}"
    for n in range(len(form.kinds)):
        found[f"kind.{n}"] = found[f"kind_days.{n}"] = f"挂起事由 {n + 1}"
    return found


#: What a row may be about; a class may also be "none at all".
TYPES: Final = tuple((name, name) for name in REQUEST_TYPES)
URGENT: Final = tuple((name, name) for name in URGENCIES)
CLASSES: Final = (("none", "普通（无类别）"), *((name, name) for name in SLA_CLASSES))
SOURCES: Final = tuple((name, name) for name in EXTERNAL_SOURCES)


def _class_words(name: str) -> str:
    return dict(CLASSES).get(name, name)


def _with_spare(kinds: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the causes that are named, and some empty lines for more."""
    return [*(one for one in kinds if any(one)), *([("", "")] * _SPARE_KINDS)]


def _whole(raw: str, name: str, problems: dict[str, str]) -> int:
    if not raw.strip():
        return 0
    if not raw.strip().isdecimal() or len(raw) > 9 or int(raw) > profiles.LONGEST_DAYS:  # noqa: PLR2004 - as above
        problems[name] = f"应为 0 至 {profiles.LONGEST_DAYS} 的整数。"
        return 0
    return int(raw)


def _first_day(raw: str) -> date:
    """Return the day from which it is to hold; whether that is a good one, and there at all, is judged elsewhere."""
    try:
        return date.fromisoformat(raw)
    except ValueError:
        return date.min
