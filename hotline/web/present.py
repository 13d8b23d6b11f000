"""How times, spans and texts look to a person; the only place where UTC becomes local time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from hotline.core.clock import SHANGHAI, local, local_day
from hotline.core.errors import Invalid
from hotline.telephony.ports import CallEnd
from hotline.tickets.queries import TimelineEntry
from hotline.web import labels
from routing.clocks import profiles

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_KILO: Final = 1024
FIELD_LABELS: Final[Mapping[str, str]] = {
    "title": "标题",
    "content": "内容",
    "place": "事发地点",
    "request_type": "诉求类型",
    "urgency": "紧急程度",
    "company": "涉及单位",
    "happened_at": "发生时间",
    "category_id": "事件类别",
    "region_id": "所属区域",
}


@dataclass(frozen=True, kw_only=True)
class DeadlineView:
    """What the deadline chip shows (components/deadline.html)."""

    words: str
    state: str
    at: str = ""
    iso: str = ""

    @property
    def whole(self) -> str:
        """The moment with its year, for paper."""
        return self.iso[:16].replace("T", " ")


@dataclass(frozen=True, kw_only=True)
class TimelineItem:
    """One line of the timeline component."""

    iso: str
    at: str
    who: str
    act: str
    unit: str = ""
    tone: str = "neutral"
    icon: str | None = None
    note: str = ""
    changes: tuple[tuple[str, str, str], ...] = ()
    public: bool = False


def moment(at: datetime | None, *, seconds: bool = False) -> str:
    """Return 2026-11-22 09:30 in local time, 24-hour; empty for nothing."""
    return local(at).strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M") if at else ""


def short(at: datetime | None, *, now: datetime) -> str:
    """Return the time alone for today, month and day for this year, otherwise the whole date."""
    if at is None:
        return ""
    here, today = local(at), local(now)
    if here.date() == today.date():
        return here.strftime("%H:%M")
    return here.strftime("%m-%d %H:%M" if here.year == today.year else "%Y-%m-%d %H:%M")


def iso(at: datetime | None) -> str:
    """Return the instant for a <time> element."""
    return local(at).isoformat(timespec="seconds") if at else ""


def day(value: date | None) -> str:
    """Return a calendar day."""
    return value.isoformat() if value else ""


def field_moment(at: datetime | None) -> str:
    """Return the instant as a datetime-local field wants it."""
    return local(at).strftime("%Y-%m-%dT%H:%M") if at else ""


def parse_moment(raw: str, *, name: str = "at") -> datetime:
    """Read what a datetime-local field sends, as local time; `Invalid` names the field."""
    try:
        parsed = datetime.fromisoformat(raw.strip())
    except ValueError as error:
        raise Invalid({name: "时间格式不正确，例如 2026-11-22 09:30。"}) from error
    if not 1900 <= parsed.year <= 2200:  # noqa: PLR2004 - a slip of the hand, and dates that the database's zone cannot hold
        raise Invalid({name: "年份不在可填范围内，请核对。"})
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=SHANGHAI)


def span_words(seconds: float) -> str:
    """Return a length of time in the largest fitting unit: 45 秒, 12 分钟, 3 小时, 2 天."""
    seconds = abs(seconds)
    if seconds < _MINUTE:
        return f"{int(seconds)} 秒"
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)} 分钟"
    if seconds < _DAY:
        return f"{int(seconds // _HOUR)} 小时"
    return f"{int(seconds // _DAY)} 天"


def deadline(
    due: datetime | None, *, now: datetime, done_at: datetime | None = None, stands_until: datetime | None = None
) -> DeadlineView:
    """Return the chip of a deadline: far, soon, today, overdue, paused; met or missed once it is done."""
    if due is None:
        return DeadlineView(words="—", state="none")
    at, stamp = short(due, now=now), iso(due)
    if done_at is not None:
        late = done_at > due
        return DeadlineView(
            words="超期完成" if late else "按期完成", state="missed" if late else "met", at=at, iso=stamp
        )
    if stands_until is not None and stands_until > now:
        return DeadlineView(words=f"挂起至 {short(stands_until, now=now)}", state="paused", at=at, iso=stamp)
    left = due - now
    if left < timedelta(0):
        return DeadlineView(words=f"已逾期 {span_words(left.total_seconds())}", state="overdue", at=at, iso=stamp)
    if local_day(due) == local_day(now):
        return DeadlineView(words=f"今日到期，剩 {span_words(left.total_seconds())}", state="today", at=at, iso=stamp)
    return DeadlineView(
        words=f"剩余 {span_words(left.total_seconds())}",
        state="soon" if left < timedelta(days=1) else "far",
        at=at,
        iso=stamp,
    )


_TONES: Final = {
    "register": ("info", "plus"),
    "answer_directly": ("success", "message"),
    "refuse": ("neutral", "ban"),
    "transfer": ("neutral", "arrow-forward-up"),
    "withdraw": ("neutral", "x"),
    "dispatch": ("info", "send"),
    "sign": ("info", "clipboard-check"),
    "send_back": ("warning", "arrow-back-up"),
    "ask_return": ("warning", "arrow-back-up"),
    "withdraw_return": ("neutral", "x"),
    "refuse_return": ("danger", "ban"),
    "open_dispute": ("warning", "scale"),
    "argue": ("info", "messages"),
    "convene": ("info", "users"),
    "rule": ("success", "gavel"),
    "designate": ("info", "flag"),
    "reassign": ("info", "send"),
    "answer": ("success", "message"),
    "confirm": ("success", "circle-check"),
    "give_up_calling": ("neutral", "circle-x"),
    "decline_callback": ("neutral", "circle-x"),
    "rework": ("warning", "refresh"),
    "amend": ("neutral", "edit"),
    "attach": ("neutral", "paperclip"),
    "call": ("neutral", "phone-outgoing"),
    "contact": ("info", "phone-call"),
    "note": ("neutral", "message-2"),
    "rate": ("info", "star"),
    "reveal": ("neutral", "eye"),
    "repeat": ("warning", "bell"),
    "suggest": ("neutral", "sparkles"),
    "verify": ("info", "gavel"),
    "rectify": ("success", "checks"),
    "ask_suspension": ("info", "clock-pause"),
    "ask_extension": ("info", "clock-hour-4"),
    "take_back": ("neutral", "arrow-back-up"),
    "suspend": ("warning", "clock-pause"),
    "resume": ("info", "clock-hour-4"),
    "extend": ("warning", "clock-hour-4"),
    "refuse_time": ("danger", "circle-x"),
    "reclassify": ("neutral", "edit"),
    "share": ("info", "git-merge"),
    "sign_part": ("info", "clipboard-check"),
    "answer_part": ("success", "message"),
    "end_part": ("neutral", "arrow-back-up"),
    "show_relay": ("neutral", "eye"),
    "call_by_relay": ("info", "phone-call"),
    "overrule": ("warning", "book"),
    "card": ("warning", "flag"),
    "urge": ("warning", "bell"),
    "supervise": ("danger", "alert-triangle"),
    "account": ("info", "message"),
    "settle": ("success", "clipboard-check"),
    "clear_answer": ("success", "checks"),
    "send_back_answer": ("danger", "arrow-back-up"),
    "recall": ("warning", "arrow-back-up"),
    "merge": ("info", "git-merge"),
    "unmerge": ("neutral", "git-merge"),
}


def timeline(
    entries: Iterable[TimelineEntry], *, now: datetime, units: Mapping[int, str] | None = None
) -> list[TimelineItem]:
    """Return the timeline for its component; names of people and what changed.

    `units` names, by the id of a line, the department on whose behalf somebody acted; the others acted in their role.
    """
    items = []
    for entry in entries:
        tone, icon = _TONES.get(entry.act.value, ("neutral", None))
        role = labels.words(entry.by_role)
        items.append(
            TimelineItem(
                iso=iso(entry.at),
                at=short(entry.at, now=now),
                who=entry.by_name or role,
                unit=(units or {}).get(entry.id) or (role if entry.by_name else ""),
                act=labels.words(entry.act),
                tone=tone,
                icon=icon,
                note=_details(entry),
                changes=tuple(
                    (name, before, after) for name, (before, after) in entry.details.get("changes", {}).items()
                ),
            )
        )
    return items


def profile(stored: str) -> str:
    """Return the profile version that a dispatch carries (`default 2026.1`) under the title that people know."""
    name, _, version = stored.partition(" ")
    return f"{profiles.load(name).title} {version}".strip() if name in profiles.available() else stored


def posted_fields(form: Mapping[str, str]) -> dict[str, str]:
    """Return what a person typed, under the labels of the fields; nothing personal is among them."""
    return {label: form[name] for name, label in FIELD_LABELS.items() if name in form}


_DUTY_WORDS: Final[Mapping[str, str]] = {
    "heard": "增加争议方：",
    "panel": "裁定小组：",
    "lead": "主办：",
    "helping": "协办：",
    "ruled_basis": "依据：",
}


def _duty(details: Mapping[str, Any]) -> list[str]:
    """Return what was ruled on whose duty the ticket is."""
    said = []
    if "refused_reason" in details:
        said.append(f"“{details['refused_reason']}”的退单申请不予同意，原时限继续计算。")
    if "upheld_reason" in details:
        said.append(f"同意{details['returned_by']}以“{details['upheld_reason']}”退单。")
    if "interim" in details:
        by = short(datetime.fromisoformat(str(details["rule_by"])), now=datetime.fromisoformat(str(details["rule_by"])))
        said.append(f"裁定前由{details['interim']}先行办理，{by} 前裁定。")
    if "argued" in details:
        said.append(f"{details['argued']}提交意见，材料 {details['files']} 件。")
    said += [f"{words}{details[name]}。" for name, words in _DUTY_WORDS.items() if details.get(name)]
    return said


def _relay(details: Mapping[str, Any], *, now: datetime) -> list[str]:
    """Tell from which telephone a relay number was asked for or called, and how the call ended."""
    said = [f"{details.get('caller', '')}使用电话 {details['telephone']}。"] if "telephone" in details else []
    if "call_ended" in details:
        began = short(datetime.fromisoformat(str(details["call_began"])), now=now)
        talked = f"，通话 {span_words(details['talked_s'])}" if details["talked_s"] else ""
        said.append(f"{began} 拨打，{labels.words(CallEnd(details['call_ended']))}{talked}。")
    return said


def _details(entry: TimelineEntry) -> str:  # noqa: C901 - one line per detail that a line can have
    details: Mapping[str, Any] = entry.details
    parts = [entry.note] if entry.note else []
    if details.get("department"):
        parts.insert(0, f"派往{details['department']}。")
    if "contacted_at" in details:
        at = short(datetime.fromisoformat(str(details["contacted_at"])), now=entry.at)
        parts.insert(0, f"{at} {details.get('way', '')}联系。")
    if "reason_words" in details:
        parts.insert(0, f"理由：{details['reason_words']}；依据：{details.get('basis', '')}。")
    if details.get("to"):
        parts.insert(0, f"{details['to']}。")
    if "reached" in details:
        parts.insert(0, "已接通。" if details["reached"] else "未接通。")
    parts[:0] = _relay(details, now=entry.at)
    if details.get("unit"):
        parts.insert(0, f"{details['unit']}。")
    parts[:0] = _duty(details)
    if details.get("suggested"):
        parts.append(f"建议承办：{details['suggested']}。")
    if details.get("main"):
        parts.insert(0, f"主单 {details['main']}。")
    if details.get("automatic"):
        parts.append("（自动派单）")
    if details.get("late"):
        parts.append("（已超过时限）")
    if "stars" in details:
        parts.insert(0, f"{details['stars']} 星。")
    return " ".join(parts)


def size_words(size: int) -> str:
    """Return a file's size, in bytes, in the fitting unit."""
    if size < _KILO:
        return f"{size} B"
    if size < _KILO * _KILO:
        return f"{size / _KILO:.0f} KB"
    return f"{size / _KILO / _KILO:.1f} MB"
