"""The form of a call: its fields, what was typed, what is wrong with it, what it says."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from hotline.core.errors import Invalid
from hotline.core.permissions import Permission
from hotline.core.text import clean, clean_line
from hotline.intake import rules
from hotline.intake.harassment_rules import HarassmentKind, problems_of_mark
from hotline.intake.rules import Concern
from hotline.tickets import transfers
from hotline.tickets.refusals import NR_HARASSMENT, REFUSALS
from hotline.tickets.transfer_models import Manner
from hotline.tickets.vocabulary import Channel, NewTicket, RequestType, Urgency
from hotline.web import forms
from hotline.web.gate import actor, now

#: What goes on in a call, once known: value, words, key, and who may.
FINISHES: Final = (
    ("register", "登记待派", "alt+s", Permission.TICKET_REGISTER),
    ("dispatch", "登记并派单", "alt+p", Permission.TICKET_DISPATCH),
    ("answer", "直接答复", "alt+r", Permission.TICKET_ANSWER_DIRECTLY),
    ("refuse", "不予受理", "alt+j", Permission.TICKET_REFUSE),
    ("transfer", "转接", "alt+t", Permission.TICKET_TRANSFER),
)
#: Where a call may be handed over to (domain.md 2.13); "other" is named in words.
TRANSFERS: Final = (
    ("110", "110 报警"),
    ("119", "119 火警"),
    ("120", "120 急救"),
    ("122", "122 交通事故"),
    ("other", "其他热线或单位"),
)
FIELDS: Final[Mapping[str, str]] = {
    "phone": "联系电话",
    "name": "姓名",
    "channel": "来源渠道",
    "address": "联系地址",
    "place": "事发地点",
    "request_type": "诉求类型",
    "urgency": "紧急程度",
    "category_id": "事件类别",
    "region_id": "所属区域",
    "service_item": "服务事项",
    "company": "涉及单位",
    "happened_at": "发生时间",
    "title": "标题",
    "content": "诉求内容",
    "finish": "处理方式",
    "answer": "答复内容",
    "department_id": "承办单位",
    "dispatch_reason": "派单说明",
    "refusal_reason": "不予受理理由",
    "refusal_words": "对诉求人的说明",
    "transfer_to": "转往",
    "transfer_other": "单位名称",
    "transfer_number": "对方编号",
    "incident_id": "事件",
    "transfer_words": "转接说明",
    "transfer_manner": "转接方式",
    "other_number": "警情编号",
    "harassment_kind": "骚扰类型",
    "evidence": "通话情况",
}
CHANNELS: Final = tuple(channel for channel in Channel if channel not in {Channel.REVIEW, Channel.IMPORT})
_MOST_ANSWER: Final = 5_000
MOBILE: Final = re.compile(r"1[3-9]\d{9}")
_KEY: Final = re.compile(r"[0-9A-Za-z-]{1,64}")


@dataclass(frozen=True, kw_only=True)
class Typed:
    """What stands in the form, as it was typed; a refusal gives all of it back."""

    key: str = ""
    phone: str = ""
    name: str = ""
    channel: str = Channel.PHONE.value
    anonymous: bool = False
    confidential: bool = False
    address: str = ""
    place: str = ""
    request_type: str = RequestType.HELP.value
    urgency: str = Urgency.ORDINARY.value
    category_id: str = ""
    region_id: str = ""
    service_item: str = ""
    company: str = ""
    happened_at: str = ""
    title: str = ""
    content: str = ""
    finish: str = "register"
    answer: str = ""
    department_id: str = ""
    dispatch_reason: str = ""
    refusal_reason: str = ""
    refusal_words: str = ""
    transfer_to: str = ""
    transfer_other: str = ""
    transfer_number: str = ""
    transfer_words: str = ""
    transfer_manner: str = Manner.CALL.value
    harassment_kind: str = ""
    evidence: str = ""
    warned: bool = False
    #: The record of 110 from which the caller comes.
    other_number: str = ""
    #: The open incident that the caller belongs to.
    incident_id: str = ""


def typed_call() -> Typed:
    """Return the form as typed, lines ended as everywhere else."""
    given: dict[str, Any] = {}
    for one in fields(Typed):
        given[one.name] = forms.flag(one.name) if one.type == "bool" else plain_lines(forms.text(one.name))
    if not _KEY.fullmatch(given["key"]):
        given["key"] = uuid.uuid4().hex  # not one of ours: nothing can be compared with it
    return Typed(**given)


def plain_lines(raw: str) -> str:
    """Return what was typed with one kind of line end."""
    return raw.replace("\r\n", "\n").replace("\r", "\n")


def read_call(typed: Typed) -> tuple[Concern, NewTicket]:
    """Return the concern and its checked form, or raise every problem of the whole form at once."""
    problems: dict[str, Any] = dict(_problems_of_finish(typed))
    category_id, region_id = (_number(typed, name, problems) for name in ("category_id", "region_id"))
    _number(typed, "incident_id", problems)
    concern = Concern(
        content=typed.content,
        title=typed.title,
        name=typed.name,
        phone=typed.phone,
        address=typed.address,
        place=typed.place,
        company=typed.company,
        happened_at=typed.happened_at,
        request_type=typed.request_type,
        urgency=typed.urgency,
        channel=typed.channel,
        category_id=category_id,
        region_id=region_id,
        service_item=typed.service_item,
        anonymous=typed.anonymous,
        confidential=typed.confidential,
    )
    try:
        checked = rules.checked(concern, now=now())
    except Invalid as error:
        raise Invalid({**error.fields, **problems}) from error
    if problems:
        raise Invalid(problems)
    return concern, checked


def _number(typed: Typed, name: str, problems: dict[str, Any]) -> int | None:
    try:
        return forms.whole(name, source=asdict(typed))
    except Invalid:
        problems[name] = "所选项不存在，请重新选择。"
        return None


def _problems_of_finish(typed: Typed) -> dict[str, str]:
    """Return what the chosen way to finish still needs, by field."""
    if typed.finish not in {value for value, _, _, permission in FINISHES if actor().can(permission)}:
        return {"finish": "请选择处理方式。"}
    wanted: dict[str, dict[str, str]] = {
        "answer": {"answer": "直接答复请填写答复内容。"},
        "dispatch": {"department_id": "请选择承办单位，或改为“登记待派”。"},
        "refuse": {"refusal_reason": "请选择不予受理的理由。"},
        "transfer": {"transfer_to": "请选择转往的单位。"},
    }
    problems = {
        name: words for name, words in wanted.get(typed.finish, {}).items() if not clean(str(getattr(typed, name)))
    }
    if typed.finish == "dispatch":
        _number(typed, "department_id", problems)
    if typed.finish == "refuse" and typed.refusal_reason and typed.refusal_reason not in REFUSALS:
        problems["refusal_reason"] = "所选理由不在清单内，请重新选择。"
    problems |= _problems_of_transfer(typed)
    if typed.finish == "refuse" and typed.harassment_kind:
        problems |= _problems_of_mark(typed)
    for name, most in (
        ("answer", _MOST_ANSWER),
        ("refusal_words", _MOST_ANSWER),
        ("transfer_words", _MOST_ANSWER),
        ("dispatch_reason", 500),
        ("transfer_other", 60),
        ("transfer_number", 60),
    ):
        if len(getattr(typed, name)) > most:
            problems[name] = f"最多 {most} 字，现有 {len(getattr(typed, name))} 字。"
    return problems


def _problems_of_mark(typed: Typed) -> dict[str, str]:
    """Return what is missing of a call that is marked as harassment while it is refused."""
    if typed.harassment_kind not in set(HarassmentKind):
        return {"harassment_kind": "请选择骚扰类型。"}
    if not typed.phone.strip():
        return {"harassment_kind": "没有来电号码，不能标记。"}
    if typed.refusal_reason != NR_HARASSMENT:
        return {"harassment_kind": f"只有理由为 {NR_HARASSMENT} 时才标记骚扰；有诉求的请照常办理。"}
    return problems_of_mark(kind=HarassmentKind(typed.harassment_kind), evidence=clean(typed.evidence))


def _problems_of_transfer(typed: Typed) -> dict[str, str]:
    """Return what is missing of a call that came from another line, or goes there."""
    problems: dict[str, str] = {}
    if typed.channel == Channel.POLICE_110.value:
        try:
            transfers.checked_number(typed.other_number)
        except Invalid as error:
            problems |= {name: "".join(words) for name, words in error.fields.items()}
    if typed.finish == "transfer":
        if typed.transfer_manner and typed.transfer_manner not in set(Manner):
            problems["transfer_manner"] = "请选择转接方式。"
        if typed.transfer_to and typed.transfer_to not in dict(TRANSFERS):
            problems["transfer_to"] = "请选择转往的单位。"
        if typed.transfer_to == "other" and not clean_line(typed.transfer_other):
            problems["transfer_other"] = "请写明转往的热线或单位。"
    return problems
