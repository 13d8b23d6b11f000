"""The words of a deadline: each step of the count as a code, its values, and a sentence in Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Any, Final

from routing.clocks.calendars import DayRow, Layer
from routing.clocks.profiles import ClockName, Limit, Profile, Row, Runs, Starts, Unit

#: How many names of a row's list are told before "等".
_NAMED: Final = 4
_WEEKDAYS: Final = "一二三四五六日"

CLOCK_LABELS: Final[Mapping[ClockName, str]] = {
    ClockName.DISPATCH: "派单时限",
    ClockName.SIGN: "签收时限",
    ClockName.CONTACT: "联系诉求人时限",
    ClockName.RETURN: "退单期限",
    ClockName.FEEDBACK: "反馈时限",
    ClockName.HANDLE: "办理时限",
    ClockName.TOTAL: "对诉求人的总时限",
}
UNIT_LABELS: Final[Mapping[Unit, str]] = {
    Unit.MINUTES: "分钟",
    Unit.HOURS: "小时",
    Unit.DAYS: "日",
    Unit.WORKDAYS: "个工作日",
}


class StepCode(StrEnum):
    """What a step says; pages and programs read this, people read the sentence."""

    STARTED = "started"
    RULE = "rule"
    REDISPATCHED = "redispatched"
    RETURN_ACCEPTED = "return_accepted"
    RETURN_REFUSED = "return_refused"
    RECLASSIFIED = "reclassified"
    EDITION = "edition"
    NEXT_DAY = "next_day"
    AT_ONCE = "at_once"
    SAME_DAY = "same_day"
    WAITS = "waits"
    REST = "rest"
    HOLIDAY = "holiday"
    OVERRIDE_REST = "override_rest"
    MAKE_UP = "make_up"
    OVERRIDE_WORK = "override_work"
    SUSPENDED = "suspended"
    AUTO_RESUMED = "auto_resumed"
    ROLLED = "rolled"
    EXTENDED = "extended"
    BEFORE = "before"
    UNCONFIRMED = "unconfirmed"
    DUE = "due"


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `params` are plain values (texts, numbers; times as ISO 8601 in Asia/Shanghai wall time)."""

    code: StepCode
    text: str
    params: Mapping[str, str | int] = field(default_factory=dict, hash=False)

    def to_mapping(self) -> dict[str, Any]:
        """Write the step as JSON values."""
        return {"code": self.code.value, "text": self.text, "params": dict(self.params)}


def moment_in_words(moment: datetime) -> str:
    """Return `2026-10-09（周五）16:40`, by minutes; the last second of a day is told as 24:00.

    A dispatch has seconds, people do not: the values of the step keep them.
    """
    return f"{moment.date()}（周{_WEEKDAYS[moment.weekday()]}）{_clock_face(moment)}"


def day_in_words(day: date, *, year: int) -> str:
    """Return `10月10日（周六）`, with the year in front where it is not the one given."""
    in_front = f"{day.year}年" if day.year != year else ""
    return f"{in_front}{day.month}月{day.day}日（周{_WEEKDAYS[day.weekday()]}）"


def limit_in_words(limit: Limit) -> str:
    """Return `5 个工作日`, `24 小时` or `当日`."""
    return f"{limit.amount} {UNIT_LABELS[limit.unit]}" if limit.amount else "当日"


def started(moment: datetime, clock: ClockName) -> Step:
    """Say when the counting's cause happened: registration for the dispatch clock, dispatch for all others."""
    verb = "登记" if clock is ClockName.DISPATCH else "派单"
    return Step(StepCode.STARTED, f"{moment_in_words(moment)} {verb}", {"at": moment.isoformat(), "event": verb})


def rule(profile: Profile, row: Row, limit: Limit, clock: ClockName) -> Step:
    """Say which row of which profile version gives the limit."""
    calendar = "工作日历" if limit.runs is Runs.WORKING else "全天候计时，节假日照常"
    text = (
        f"适用“{profile.title or profile.name}”{profile.version} 版{_whom(row)}的规定："
        f"{CLOCK_LABELS[clock]} {limit_in_words(limit)}（{calendar}）"
    )
    return Step(
        StepCode.RULE,
        text,
        {"profile": profile.name, "version": profile.version, "rule": row.rule_id, **limit.to_mapping()},
    )


def first_day(limit: Limit, day: date, *, year: int) -> Step:
    """Say from which day on the days are counted."""
    count = "第1日" if limit.unit is Unit.DAYS else "第1个工作日"
    text = f"自次日起算，{count}为{day_in_words(day, year=year)}"
    return Step(StepCode.NEXT_DAY, text, {"first_day": day.isoformat()})


def origin(limit: Limit, moment: datetime) -> Step:
    """Say from which moment on minutes and hours are counted."""
    if limit.starts is Starts.NEXT_DAY:
        return Step(StepCode.NEXT_DAY, f"自次日起算，{moment_in_words(moment)}开始计时", {"from": moment.isoformat()})
    return Step(StepCode.AT_ONCE, f"即时起算，{moment_in_words(moment)}开始计时", {"from": moment.isoformat()})


def same_day(day: date, *, year: int) -> Step:
    """Say which day is "the same day"."""
    return Step(StepCode.SAME_DAY, f"应于{day_in_words(day, year=year)}当日办结", {"day": day.isoformat()})


def waits(moment: datetime) -> Step:
    """Say that the clock waits for working time."""
    return Step(StepCode.WAITS, f"非工作时间，自{moment_in_words(moment)}上班时起计时", {"until": moment.isoformat()})


def rest(days: tuple[date, ...], names: tuple[str, ...], *, declared: DayRow | None, year: int) -> Step:
    """Say which run of days is not counted and why; `declared` when the city or the unit said so."""
    span = day_in_words(days[0], year=year)
    if len(days) > 1:
        span += f"至{day_in_words(days[-1], year=year)}"
    params: dict[str, str | int] = {
        "from": days[0].isoformat(),
        "to": days[-1].isoformat(),
        "days": len(days),
    }
    if declared is not None:
        params |= _by_whom(declared)
        return Step(StepCode.OVERRIDE_REST, f"{_whose(declared)} {span}放假{_why(declared)}，不计入", params)
    if names:
        params["name"] = "、".join(names)
        return Step(StepCode.HOLIDAY, f"{span}放假（{params['name']}），不计入", params)
    return Step(StepCode.REST, f"{span}休息，不计入", params)


def counted_workday(day: date, *, index: int, declared: DayRow | None, year: int) -> Step:
    """Say that a day at which one would expect rest, or other hours, was counted."""
    return _worked(day, counted=f"计入第{index}个工作日", declared=declared, year=year, index=index)


def worked_through(day: date, *, declared: DayRow | None, year: int) -> Step:
    """Say that the hours of an unusual working day were counted."""
    return _worked(day, counted="工作时间计入", declared=declared, year=year)


def _worked(day: date, *, counted: str, declared: DayRow | None, year: int, **values: int) -> Step:
    params: dict[str, str | int] = {"day": day.isoformat(), **values}
    written = day_in_words(day, year=year)
    if declared is None:
        return Step(StepCode.MAKE_UP, f"{written}为调休工作日，{counted}", params)
    params |= _by_whom(declared)
    hours = "、".join(map(str, declared.periods))
    if hours:
        params["hours"] = hours
    text = f"{_whose(declared)} {written}上班{' ' if hours else ''}{hours}{_why(declared)}，{counted}"
    return Step(StepCode.OVERRIDE_WORK, text, params)


def _whose(row: DayRow) -> str:
    if row.whose:
        return f"该单位随上级单位{row.whose}"
    return "该单位" if row.layer is Layer.UNIT else "本市"


def _why(row: DayRow) -> str:
    return f"（{row.name}）" if row.name else ""


def _by_whom(row: DayRow) -> dict[str, str | int]:
    told: dict[str, str | int] = {"layer": row.layer.value, "reason": row.name}
    return told | {"unit": row.whose} if row.whose else told


def suspended(begin: datetime, end: datetime, *, reason: str, lost: timedelta | int, unit: Unit) -> Step:
    """Say how long a pause stopped this clock: whole days for day counts, minutes for the others."""
    # Until midnight is until the end of the day before, as people say it.
    last = end - timedelta(seconds=1) if end.time() == time() else end
    span = f"{moment_in_words(begin)}至{moment_in_words(last)}"
    why = f"，{reason}" if reason else ""
    params: dict[str, str | int] = {"from": begin.isoformat(), "to": end.isoformat(), "reason": reason}
    if isinstance(lost, int):
        params["days"] = lost
        amount = f"{lost} {UNIT_LABELS[unit]}"
    else:
        all_minutes = int(lost.total_seconds() // 60)
        params["minutes"] = all_minutes
        hours, minutes = divmod(all_minutes, 60)
        amount = " ".join(part for part in (hours and f"{hours} 小时", minutes and f"{minutes} 分钟") if part)
    if not lost:
        return Step(StepCode.SUSPENDED, f"暂停（{span}{why}）没有跨过计时日的末点，不影响到期", params)
    return Step(StepCode.SUSPENDED, f"暂停 {amount}（{span}{why}），不计入", params)


def auto_resumed(moment: datetime, *, workdays: int) -> Step:
    """Say that a pause reached its longest length and ended by itself."""
    text = f"暂停达到最长 {workdays} 个工作日，自{moment_in_words(moment)}起自动恢复计时"
    return Step(StepCode.AUTO_RESUMED, text, {"at": moment.isoformat(), "workdays": workdays})


def rolled(day: date, to: date, *, year: int) -> Step:
    """Say that the last calendar day was no working day."""
    text = f"末日{day_in_words(day, year=year)}不上班，顺延至{day_in_words(to, year=year)}"
    return Step(StepCode.ROLLED, text, {"from": day.isoformat(), "to": to.isoformat()})


def extended(asked_at: datetime, *, workdays: int, before: datetime, after: datetime, by: str = "") -> Step:
    """Say what an extension moved, and who approved it where that is known."""
    approved = f"（{by}）" if by else ""
    return Step(
        StepCode.EXTENDED,
        f"{moment_in_words(asked_at)}申请并获准延期 {workdays} 个工作日{approved}，"
        f"由{moment_in_words(before)}顺延至{moment_in_words(after)}",
        {
            "asked_at": asked_at.isoformat(),
            "workdays": workdays,
            "from": before.isoformat(),
            "to": after.isoformat(),
        },
    )


def redispatched(moment: datetime, *, clock: ClockName, reason: str) -> Step:
    """Say that another unit has the ticket now: its own clocks begin anew, the citizen's do not."""
    why = f"（{reason}）" if reason else ""
    then = "总时限继续计算" if clock is ClockName.TOTAL else "新承办单位的时限重新计算"
    return Step(
        StepCode.REDISPATCHED,
        f"{moment_in_words(moment)} 改派{why}，{then}",
        {"at": moment.isoformat(), "reason": reason},
    )


def return_accepted(moment: datetime, *, clock: ClockName, reason: str) -> Step:
    """Say that a return was accepted."""
    why = f"（{reason}）" if reason else ""
    then = "总时限继续计算" if clock is ClockName.TOTAL else "新承办单位的时限重新计算"
    return Step(
        StepCode.RETURN_ACCEPTED,
        f"{moment_in_words(moment)} 退单获准并改派{why}，{then}",
        {"at": moment.isoformat(), "reason": reason},
    )


def return_refused(moment: datetime, *, reason: str) -> Step:
    """Say that a return was refused and gained no time."""
    why = f"（{reason}）" if reason else ""
    return Step(
        StepCode.RETURN_REFUSED,
        f"{moment_in_words(moment)} 退单被驳回{why}，仍按原时限计算",
        {"at": moment.isoformat(), "reason": reason},
    )


def reclassified(moment: datetime, *, what: str) -> Step:
    """Say that another limit applies from the same start, and that no pause is forgotten."""
    return Step(
        StepCode.RECLASSIFIED,
        f"{moment_in_words(moment)} 调整为{what}，按新时限自原起点重新计算，已有暂停照算",
        {"at": moment.isoformat(), "to": what},
    )


def moved_to(moment: datetime, *, profile: Profile) -> Step:
    """Say that the whole profile was changed, to which version, and that no pause is forgotten."""
    name = f"“{profile.title or profile.name}”{profile.version} 版"
    return Step(
        StepCode.EDITION,
        f"{moment_in_words(moment)} 改按{name}的时限，自原起点重新计算，已有暂停照算",
        {"at": moment.isoformat(), "profile": profile.name, "version": profile.version},
    )


def before(due: datetime, *, workdays: int, of: ClockName) -> Step:
    """Say that a moment lies so many working days before another clock's end."""
    return Step(
        StepCode.BEFORE,
        f"须在{CLOCK_LABELS[of]}到期（{moment_in_words(due)}）前 {workdays} 个工作日完成",
        {"due": due.isoformat(), "workdays": workdays, "clock": of.value},
    )


def unconfirmed(day: date) -> Step:
    """Say that the answer may change."""
    return Step(
        StepCode.UNCONFIRMED,
        f"{day.year}年的放假调休安排尚未确认，结果可能变动",
        {"year": day.year},
    )


def due(moment: datetime) -> Step:
    """Say the answer."""
    return Step(StepCode.DUE, f"到期 {moment_in_words(moment)}", {"at": moment.isoformat()})


def _whom(row: Row) -> str:
    """Name a row by whom it speaks about, as an official would; its id is for programs (in the step's values)."""
    told = [
        what + "、".join(names[:_NAMED]) + ("等" if len(names) > _NAMED else "")
        for what, given in (
            ("来自", row.sources),
            ("", row.request_types),
            ("紧急程度", row.urgencies),
            ("时限类别", row.sla_classes),
        )
        if (names := [name for name in given if name])
    ]
    return f"“{'，'.join(told)}”" if told else "各类诉求"


def _clock_face(moment: datetime) -> str:
    if (moment.hour, moment.minute, moment.second) == (23, 59, 59):
        return "24:00"
    return f"{moment:%H:%M}"
