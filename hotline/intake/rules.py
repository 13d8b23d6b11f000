"""What a concern must look like to be taken in; pure, and the same for every door (domain.md 1.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, TypeVar

import phonenumbers

from hotline.core.clock import SHANGHAI, local
from hotline.core.errors import Invalid
from hotline.core.personal_data import is_id_number
from hotline.core.text import clean, clean_line
from hotline.tickets.vocabulary import Channel, Kind, NewTicket, RequestType, Urgency

MOST_CONTENT: Final = 20_000
MOST_TITLE: Final = 100
MOST_LINE: Final = 200
MOST_NAME: Final = 40
LEAST_CONTENT: Final = 4
_TITLE_FROM_CONTENT: Final = 30
_OLDEST: Final = timedelta(days=365 * 30)
#: So far may the clock of whoever tells us a time run ahead of ours.
SKEW: Final = timedelta(minutes=5)
_WORDY: Final = re.compile(r"[\w\u3400-\u9fff]")
_SENTENCE_END: Final = re.compile(r"[。！？!?\n；;]")
_SHORT_NUMBERS: Final = re.compile(r"1\d{2,4}|9[56]\d{3,6}|400\d{7}|800\d{7}")
_E = TypeVar("_E", bound=StrEnum)


@dataclass(frozen=True, kw_only=True)
class Concern:
    """What somebody hands in, as it was typed."""

    content: str
    title: str = ""
    name: str = ""
    phone: str = ""
    address: str = ""
    id_number: str = ""
    place: str = ""
    company: str = ""
    happened_at: str | datetime | None = None
    request_type: str = ""
    urgency: str = ""
    channel: str = Channel.WEB.value
    kind: str = Kind.CONCERN.value
    category_id: int | None = None
    region_id: int | None = None
    #: Name of a public service item.
    service_item: str = ""
    anonymous: bool = False
    confidential: bool = False
    wants_callback: bool = True
    source_system: str | None = None
    source_key: str | None = None
    repeats_id: int | None = None
    #: An anonymous concern needs no phone; a file of old records may lack one too.
    phone_needed: bool = True


def checked(concern: Concern, *, now: datetime) -> NewTicket:
    """Return the clean concern, or raise `Invalid` with every problem by field at once."""
    problems: dict[str, str] = {}
    content = clean(concern.content)
    title = clean_line(concern.title)
    if not content or not _WORDY.search(content):
        problems["content"] = "请填写诉求内容。"
    elif len(content) < LEAST_CONTENT:
        problems["content"] = f"内容过短，请至少用 {LEAST_CONTENT} 个字说明情况。"
    elif len(content) > MOST_CONTENT:
        problems["content"] = f"内容最多 {MOST_CONTENT} 字，现有 {len(content)} 字，请删减或以附件补充。"
    if len(title) > MOST_TITLE:
        problems["title"] = f"标题最多 {MOST_TITLE} 字，现有 {len(title)} 字。"
    phone = ""
    if concern.phone.strip():
        try:
            phone = normal_phone(concern.phone)
        except ValueError as error:
            problems["phone"] = str(error)
    elif concern.phone_needed and not concern.anonymous:
        problems["phone"] = "请填写联系电话，以便告知办理结果；如不愿留电话请选择匿名。"
    id_number = concern.id_number.strip().upper()
    if id_number and not is_id_number(id_number):
        problems["id_number"] = "身份证号不正确，请核对 18 位号码。"
    lines = {
        name: _line(getattr(concern, name), most, label, name, problems)
        for name, most, label in (
            ("name", MOST_NAME, "姓名"),
            ("address", MOST_LINE, "联系地址"),
            ("place", MOST_LINE, "事发地点"),
            ("company", MOST_LINE, "涉及单位"),
        )
    }
    happened_at = _moment(concern.happened_at, now=now, problems=problems)
    channel = _member(Channel, concern.channel, "channel", "来源渠道", problems, Channel.WEB)
    request_type = _member(RequestType, concern.request_type, "request_type", "诉求类型", problems, RequestType.OTHER)
    urgency = _member(Urgency, concern.urgency, "urgency", "紧急程度", problems, Urgency.ORDINARY)
    kind = _member(Kind, concern.kind, "kind", "工单种类", problems, Kind.CONCERN)
    if problems:
        raise Invalid(problems)
    return NewTicket(
        title=title or title_from(content),
        content=content,
        channel=channel,
        kind=kind,
        request_type=request_type,
        urgency=urgency,
        category_id=concern.category_id,
        region_id=concern.region_id,
        service_item=clean_line(concern.service_item),
        place=lines["place"],
        company=lines["company"],
        happened_at=happened_at,
        name="" if concern.anonymous else lines["name"],
        phone=phone,
        address=lines["address"],
        id_number=id_number,
        anonymous=concern.anonymous,
        confidential=concern.confidential,
        wants_callback=concern.wants_callback and bool(phone),
        source_system=concern.source_system,
        source_key=concern.source_key,
        repeats_id=concern.repeats_id,
    )


def says_enough(content: str) -> bool:
    """Tell whether a text is long enough to be taken in for a concern."""
    cleaned = clean(content)
    return len(cleaned) >= LEAST_CONTENT and _WORDY.search(cleaned) is not None


def normal_phone(raw: str) -> str:
    """Return a number as digits without +86; raises `ValueError` with a sentence when it is none.

    Short service numbers (12345, 95598) are numbers too, although no library calls them valid.
    """
    plain = re.sub(r"[\s\-()（）·.]", "", raw.translate(_FULL_WIDTH_DIGITS))
    if len(plain) > 20 or not re.fullmatch(r"\+?\d+", plain or "x"):  # noqa: PLR2004 - no number is longer
        raise ValueError("电话号码只能包含数字，例如 13900001234 或 0412-2345678。")
    if _SHORT_NUMBERS.fullmatch(plain):
        return plain
    try:
        parsed = phonenumbers.parse(plain, "CN")
    except phonenumbers.NumberParseException as error:
        raise ValueError("电话号码不正确，请核对后重新填写。") from error
    if not phonenumbers.is_valid_number(parsed):
        raise ValueError("电话号码不正确，请核对位数和区号，例如 13900001234 或 0412-2345678。")
    if parsed.country_code == 86:  # noqa: PLR2004 - China
        national = phonenumbers.national_significant_number(parsed)
        return national if national.startswith("1") and len(national) == 11 else "0" + national  # noqa: PLR2004 - mobile
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def title_from(content: str) -> str:
    """Return a title for a concern that has none: its first sentence, cut at thirty characters."""
    first = next((part.strip() for part in _SENTENCE_END.split(content) if _WORDY.search(part)), content)
    return first if len(first) <= _TITLE_FROM_CONTENT else first[: _TITLE_FROM_CONTENT - 1] + "…"


def same_matter(one: str, other: str) -> bool:
    """Tell whether two texts are the same but for blanks, punctuation and digits' form."""
    return _bare(one) == _bare(other)


_FULL_WIDTH_DIGITS: Final = str.maketrans("０１２３４５６７８９＋－", "0123456789+-")


def _bare(text: str) -> str:
    return "".join(c for c in text if c.isalnum()).lower()


def _line(raw: str, most: int, label: str, name: str, problems: dict[str, str]) -> str:  # noqa: PLR0917
    line = clean_line(raw)
    if len(line) > most:
        problems[name] = f"{label}最多 {most} 字，现有 {len(line)} 字。"
    return line


def _moment(raw: str | datetime | None, *, now: datetime, problems: dict[str, str]) -> datetime | None:
    if raw is None or raw == "":
        return None
    if isinstance(raw, str):
        try:
            moment = datetime.fromisoformat(raw.strip().replace("/", "-"))
        except ValueError:
            problems["happened_at"] = "时间格式不正确，例如 2026-11-22 09:30。"
            return None
    else:
        moment = raw
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=SHANGHAI)
    if moment > now + SKEW:
        problems["happened_at"] = f"发生时间不能晚于现在（{local(now):%Y-%m-%d %H:%M}）。"
    elif moment < now - _OLDEST:
        problems["happened_at"] = "发生时间过早，请核对年份。"
    return moment


def _member(members: type[_E], raw: str, name: str, label: str, problems: dict[str, str], default: _E) -> _E:  # noqa: PLR0917
    if not raw:
        return default
    try:
        return members(raw)
    except ValueError:
        problems[name] = f"{label}“{raw[:20]}”不在可选范围内：{'、'.join(m.value for m in members)}。"
        return default
