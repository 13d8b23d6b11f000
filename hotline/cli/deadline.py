"""The command `hotline deadline`: every clock of an imagined ticket, with the steps (docs/deadlines.md)."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time
from typing import Any, Final, TypeVar

import click
from typing_extensions import override

from hotline.cli import Refused
from hotline.core.clock import SHANGHAI, local, local_day
from hotline.core.errors import HotlineError
from routing.clocks.calendars import ALARM_DAYS_AHEAD, DayRow, Layer, Period, WorkCalendar, china
from routing.clocks.deadlines import (
    Change,
    Clock,
    Extension,
    ReturnAccepted,
    Suspension,
    check_extension,
    check_suspension,
    clock_named,
    clocks_for,
)
from routing.clocks.profiles import (
    REQUEST_TYPES,
    SLA_CLASSES,
    URGENCIES,
    ClockName,
    Profile,
    available,
    canonical,
    load,
)
from routing.clocks.steps import CLOCK_LABELS, limit_in_words, moment_in_words

_T = TypeVar("_T")
_LAST_SECOND: Final = time(23, 59, 59)


class BadOption(Refused):
    """One sentence that names the option; exit code 2."""

    exit_code = 2

    def to_mapping(self) -> dict[str, Any]:
        """Write the refusal for a program: the option that it is about, and the sentence."""
        option, colon, _rest = self.message.partition("：")
        named = option if colon and option.startswith("--") else ""
        return {"error": {"code": "bad_option", "option": named, "message": self.message}}


class _Command(click.Command):
    """Tells also what click itself refuses in one sentence, and for a program that asked for JSON in JSON."""

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        as_json = "--json" in args
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as refused:
            raise _told(BadOption(_sentence(refused)), as_json=as_json) from None


@click.command(cls=_Command, help="不建工单，直接计算各项时限并逐步说明理由。未写时区的时间按北京时间理解。")
@click.option("--profile", "profile_name", default="", metavar="NAME", help=f"时限档案：{'、'.join(available())}")
@click.option("--type", "request_type", default="", metavar="TYPE", help=f"诉求类型：{'、'.join(REQUEST_TYPES)}")
@click.option("--urgency", default="一般", show_default=True, help=f"紧急程度：{'、'.join(URGENCIES)}")
@click.option("--source", default="", help="来源，如 省12345；不写为本热线受理")
@click.option("--sla-class", default="", help=f"时限类别：{'、'.join(SLA_CLASSES)}")
@click.option("--start", default="", metavar="TIME", help="派单时间，如 2026-10-09T16:40")
@click.option("--registered", default="", metavar="TIME", help="登记时间（派单时限的起点）；不写与 --start 相同")
@click.option("--suspend", multiple=True, metavar="FROM/TO[/KIND]", help="暂停起止；TO 留空到最长期限自动恢复；可多次")
@click.option("--extend", multiple=True, metavar="N", help="延期的工作日数；再次延期可重复写，须加 --higher-level")
@click.option("--extend-asked", default="", metavar="TIME", help="申请延期的时间；不写取 --now，都不写视为派单时")
@click.option("--higher-level", is_flag=True, help="延期已经上级批准")
@click.option("--redispatch", multiple=True, metavar="TIME", help="退单获准并改派的时间；可多次")
@click.option("--calendar-override", multiple=True, metavar="DAY=rest|work|HOURS", help="调整某日，如 2026-10-10=rest")
@click.option("--hours", default="", metavar="HOURS", help="工作时间，默认 09:00-12:00,13:00-18:00")
@click.option("--now", default="", metavar="TIME", help="以此刻判断是否超期、亮什么牌")
@click.option("--json", "as_json", is_flag=True, help="输出 JSON")
def deadline(**given: Any) -> None:  # noqa: ANN401 - click hands over what it parsed, one name per option above
    """Read the options, count, print; a bad option is told in one sentence with exit code 2."""
    try:
        answer = _answer(given)
    except BadOption as refused:
        raise _told(refused, as_json=given["as_json"]) from None
    click.echo(json.dumps(answer, ensure_ascii=False, indent=2) if given["as_json"] else _in_words(answer))


def _answer(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer as JSON values; its keys are promised in docs/deadlines.md."""
    for option, name in (("--profile", "profile_name"), ("--type", "request_type"), ("--start", "start")):
        if not given[name].strip():
            raise BadOption(f"{option}：必须填写。")
    profile = _read("--profile", lambda: load(given["profile_name"]))
    warnings: list[str] = []
    start = _moment("--start", given["start"], warnings=warnings)
    registered = _moment("--registered", given["registered"]) if given["registered"] else start
    now = _moment("--now", given["now"]) if given["now"] else None
    request_type = _one_of("--type", given["request_type"], REQUEST_TYPES)
    urgency = _one_of("--urgency", given["urgency"], URGENCIES)
    sla_class = _one_of("--sla-class", given["sla_class"], ("", *SLA_CLASSES))
    source = canonical(given["source"])
    if registered > start:
        raise BadOption("--registered：登记时间不能晚于派单时间 --start。")
    if not profile.is_in_force(local_day(start)):
        raise BadOption(
            f"--start：时限档案 {profile.name} 自 {profile.effective_from} 起生效，{local_day(start)} 不适用。"
        )
    warnings += [
        f"档案 {profile.name} 没有单列{what}“{name}”，按一般规则计算。"
        for name, what in ((source, "来源"), (sla_class, "时限类别"))
        if name and not profile.names(name)
    ]
    calendar = _calendar(given)
    _read("--start", lambda: calendar.is_workday(local_day(start)))
    changes: list[Change] = [
        *(_suspension(text, profile=profile, calendar=calendar, start=start) for text in given["suspend"]),
        *(_redispatch(text, start=start) for text in given["redispatch"]),
    ]

    def counted(*more: Change) -> tuple[Clock, ...]:
        return clocks_for(
            profile=profile,
            calendar=calendar,
            source=source,
            request_type=request_type,
            urgency=urgency,
            sla_class=sla_class,
            dispatched_at=start,
            registered_at=registered,
            changes=[*changes, *more],
        )

    clocks = _read("--start", counted)
    granted: list[Extension] = []
    for text in given["extend"]:
        granted.append(
            _extension(text, given, profile=profile, calendar=calendar, clocks=clocks, earlier=granted, now=now)
        )
        clocks = _read("--extend", functools.partial(counted, *granted))
    handle = _handle(clocks)
    warnings += [
        f"--suspend：自 {moment_in_words(local(change.starts_at))} 的暂停开始时已经到期，不影响到期。"
        for change in changes
        if isinstance(change, Suspension) and change.starts_at >= handle.due_at
    ]
    answer: dict[str, Any] = {
        "profile": profile.name,
        "version": profile.version,
        "type": request_type,
        "urgency": urgency,
        "source": source,
        "sla_class": sla_class,
        "start": _utc(start),
        "start_local": _local(start),
        "clocks": [_clock(clock) for clock in clocks],
        "cards": {
            "clock": handle.name.value,
            "yellow_from": _utc(handle.yellow_from),
            "yellow_from_local": _local(handle.yellow_from),
            "red_from": _utc(handle.red_from),
            "red_from_local": _local(handle.red_from),
        },
        "confirmed": all(clock.confirmed for clock in clocks),
        "confirmed_until": calendar.confirmed_until.isoformat(),
        "warnings": warnings,
    }
    if now is not None:
        answer["at_now"] = _at_now(now, clocks=clocks, calendar=calendar)
    return answer


def _calendar(given: Mapping[str, Any]) -> WorkCalendar:
    calendar = china()
    if given["hours"]:
        hours = tuple(_read("--hours", lambda: [Period.parse(part) for part in given["hours"].split(",")]))
        calendar = _read("--hours", lambda: replace(calendar, periods=hours))

    def overridden() -> WorkCalendar:
        return calendar.with_overrides(DayRow.parse(text, layer=Layer.UNIT) for text in given["calendar_override"])

    return _read("--calendar-override", overridden)


def _suspension(text: str, *, profile: Profile, calendar: WorkCalendar, start: datetime) -> Suspension:
    begin_text, slash, rest = text.partition("/")
    end_text, _slash, kind = rest.partition("/")
    if not slash:
        raise BadOption(f"--suspend：“{text}”应写作 FROM/TO，如 2026-10-12T09:00/2026-10-14T18:00。")
    begin = _moment("--suspend", begin_text)
    end = _moment("--suspend", end_text, at_end=True) if end_text.strip() else None
    if end is not None and end <= start:
        raise BadOption(f"--suspend：“{text}”在派单之前就已结束。")
    suspension = Suspension(starts_at=begin, ends_at=end, kind=kind.strip())
    _read("--suspend", lambda: check_suspension(profile=profile, calendar=calendar, suspension=suspension))
    return suspension


def _redispatch(text: str, *, start: datetime) -> Change:
    at = _moment("--redispatch", text)
    if at < start:
        raise BadOption(f"--redispatch：改派时间“{text}”早于派单时间 --start。")
    return ReturnAccepted(at=at)


def _extension(
    text: str,
    given: Mapping[str, Any],
    *,
    profile: Profile,
    calendar: WorkCalendar,
    clocks: Sequence[Clock],
    earlier: Sequence[Extension],
    now: datetime | None,
) -> Extension:
    try:
        workdays = int(text)
    except ValueError:
        raise BadOption(f"--extend：“{text}”不是整数，应为延期的工作日数。") from None
    handle = _handle(clocks)
    asked = _moment("--extend-asked", given["extend_asked"]) if given["extend_asked"] else now or handle.started_at
    _read(
        "--extend",
        lambda: check_extension(
            profile=profile,
            calendar=calendar,
            clock=handle,
            asked_at=asked,
            workdays=workdays,
            earlier=earlier,
            higher_level=given["higher_level"],
        ),
    )
    return Extension(asked_at=asked, workdays=workdays, higher_level=given["higher_level"])


def _handle(clocks: Sequence[Clock]) -> Clock:
    handle = clock_named(clocks, ClockName.HANDLE)
    assert handle is not None, "a profile without a handling limit is refused when it is read"  # noqa: S101
    return handle


def _at_now(now: datetime, *, clocks: Sequence[Clock], calendar: WorkCalendar) -> dict[str, Any]:
    handle = _handle(clocks)
    ahead = calendar.confirmed_days_ahead(local_day(now))
    return {
        "now": _utc(now),
        "now_local": _local(now),
        "card": handle.card(now).value,
        "overdue": [clock.name.value for clock in clocks if not clock.is_open(now)],
        "confirmed_days_ahead": ahead,
        "calendar_alarm": ahead < ALARM_DAYS_AHEAD,
    }


def _clock(clock: Clock) -> dict[str, Any]:
    words = limit_in_words(clock.limit)
    return {
        "name": clock.name.value,
        "label": CLOCK_LABELS[clock.name],
        "limit": {
            "amount": clock.limit.amount,
            "unit": clock.limit.unit.value,
            "calendar": clock.limit.runs.value,
            "starts": clock.limit.starts.value,
            "before": clock.before.value if clock.before else None,
            "text": f"{CLOCK_LABELS[clock.before]}到期前 {words}" if clock.before else words,
        },
        "rule": clock.rule_id,
        "started": _utc(clock.started_at),
        "started_local": _local(clock.started_at),
        "due": _utc(clock.due_at),
        "due_local": _local(clock.due_at),
        "confirmed": clock.confirmed,
        "steps": [step.to_mapping() for step in clock.steps],
    }


def _in_words(answer: Mapping[str, Any]) -> str:
    lines = [f"档案 {answer['profile']} {answer['version']}　{answer['urgency']}　{answer['type']}"]
    for clock in answer["clocks"]:
        due = moment_in_words(datetime.fromisoformat(clock["due_local"]))
        lines += ["", f"{clock['label']}（{clock['limit']['text']}）：{due}"]
        lines += [f"  {number}. {step['text']}" for number, step in enumerate(clock["steps"], start=1)]
    cards = answer["cards"]
    yellow, red = (moment_in_words(datetime.fromisoformat(cards[f"{card}_from_local"])) for card in ("yellow", "red"))
    lines += ["", f"黄牌自 {yellow}，红牌自 {red}"]
    if "at_now" in answer:
        state = answer["at_now"]
        card = {"none": "不亮牌", "yellow": "黄牌", "red": "红牌"}[state["card"]]
        late = "、".join(CLOCK_LABELS[ClockName(name)] for name in state["overdue"]) or "无"
        lines.append(f"此刻：{card}；已超期：{late}；工作日历已确认至 {answer['confirmed_until']}")
    return "\n".join([*lines, *(f"注意：{text}" for text in answer["warnings"])])


def _told(refused: BadOption, *, as_json: bool) -> BadOption:
    """Put the refusal on the output stream, too, where a program waits for JSON; the sentence is told as always."""
    if as_json:
        click.echo(json.dumps(refused.to_mapping(), ensure_ascii=False, indent=2))
    return refused


def _sentence(refused: click.UsageError) -> str:
    """Say in our words what click refuses."""
    match refused:
        case click.NoSuchOption():
            return f"{refused.option_name}：没有这个选项，用 --help 查看可用的选项。"
        case click.BadOptionUsage():
            return f"{refused.option_name}：没有写值。"
        case _:
            return f"多余的参数，时间中有空格时请加引号：{refused.format_message()}"


def _read(option: str, read: Callable[[], _T]) -> _T:
    try:
        return read()
    except HotlineError as refused:
        raise BadOption(f"{option}：{refused}") from None


def _one_of(option: str, text: str, names: Sequence[str]) -> str:
    name = canonical(text)
    if name not in names:
        raise BadOption(f"{option}：没有“{text}”，可用的有：{'、'.join(name for name in names if name)}。")
    return name


def _moment(option: str, text: str, *, at_end: bool = False, warnings: list[str] | None = None) -> datetime:
    """Read a time, by default of Asia/Shanghai; a mere date is its beginning or, as an end, its last second."""
    text = text.strip()
    try:
        if len(text) == len("2026-10-09"):
            moment = datetime.combine(date.fromisoformat(text), _LAST_SECOND if at_end else time())
            if warnings is not None:
                warnings.append(f"{option} 只写了日期，按当日 00:00 计算。")
        else:
            moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=SHANGHAI)
        local(moment)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadOption(f"{option}：“{text}”不是有效时间，应写作 2026-10-09T16:40。") from None


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _local(moment: datetime) -> str:
    return local(moment).isoformat()
