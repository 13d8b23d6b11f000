"""The operator's desk (话务员): a call becomes a ticket, an answer, a refusal or a transfer, on one screen."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final
from urllib.parse import urlencode

from flask import Blueprint, redirect, render_template, session, url_for
from flask.typing import ResponseReturnValue

from hotline.core.errors import Conflict, Invalid, StaleTicket
from hotline.core.permissions import Permission
from hotline.core.text import clean, clean_line
from hotline.intake import actions as intake
from hotline.intake import exchange, harassment, rules
from hotline.intake.harassment_rules import HarassmentKind, Step, problems_of_mark
from hotline.intake.rules import Concern
from hotline.telephony import actions as telephony
from hotline.tickets import actions as tickets
from hotline.tickets import queries as ticket_queries
from hotline.tickets import transfers
from hotline.tickets.queries import CategoryNode, Earlier, RegionNode
from hotline.tickets.refusals import NOT_TEXTED, NR_HARASSMENT, REFUSALS, Refusal
from hotline.tickets.states import Outcome, State
from hotline.tickets.transfer_models import Manner
from hotline.tickets.vocabulary import Channel, NewTicket, RequestType, Urgency
from hotline.web import forms, labels, present
from hotline.web.desks import hints
from hotline.web.gate import actor, db, now, page, tools
from hotline.web.labels import Label
from routing import actions as routing
from routing import awaiting, suggesting
from routing import queries as routing_queries
from routing.catalogue import territory
from routing.queries import DepartmentNode
from routing.relations import duplicates
from routing.relations import joining as relations
from routing.relations import queries as relations_queries
from routing.relations.queries import MainRow

bp = Blueprint("intake", __name__)

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
_CHANNELS: Final = tuple(channel for channel in Channel if channel not in {Channel.REVIEW, Channel.IMPORT})
_MOST_REPEAT: Final = 2_000
_MOST_ANSWER: Final = 5_000
_FEWEST_DIGITS: Final = 7
_MOBILE: Final = re.compile(r"1[3-9]\d{9}")
_KEY: Final = re.compile(r"[0-9A-Za-z-]{1,64}")
_FEWEST_CHARACTERS: Final = 4
_TOLD: Final = "registered"


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


@dataclass(frozen=True, kw_only=True)
class IntakePage:
    """The call form."""

    values: Typed
    errors: Mapping[str, Sequence[str]]
    labels: Mapping[str, str]
    channels: Sequence[tuple[str, str]]
    request_types: Sequence[tuple[str, str]]
    urgencies: Sequence[tuple[str, str]]
    categories: Sequence[tuple[int, str]]
    regions: Sequence[tuple[int, str]]
    items: Sequence[tuple[str, str]]
    departments: Sequence[tuple[int, str]]
    finishes: Sequence[tuple[str, str, str]]
    refusals: Sequence[Refusal]
    transfers: Sequence[tuple[str, str]]
    manners: Sequence[tuple[str, str]]
    harassments: Sequence[tuple[str, str]]
    incidents: Sequence[tuple[int, str]]
    most_content: int = rules.MOST_CONTENT


@dataclass(frozen=True, kw_only=True)
class EarlierRow:
    """One earlier ticket beside the call."""

    number: str
    href: str
    title: str
    category: str
    state: str
    tone: str
    #: Where it is, for an open one.
    with_unit: str
    age: str
    iso: str
    open: bool
    append_href: str


@dataclass(frozen=True, kw_only=True)
class CallerPart:
    """What is known of a number; swapped in while one types."""

    #: "waiting": the number is not complete; "known" or "unknown".
    status: str
    rows: Sequence[EarlierRow] = ()
    people: Sequence[str] = ()
    #: What stands against the number, how far it has come, and what the operator does.
    harassed: Label | None = None
    advice: str = ""
    until: str = ""
    limited: bool = False
    #: Filled once the operator asked for the name that goes with the number.
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class Hint:
    """One suggestion that a key takes into the form."""

    field: str
    words: str
    #: Form values to set, as in a query string.
    take: str
    chance: str = ""
    reason: str = ""
    key: str = ""


@dataclass(frozen=True, kw_only=True)
class SuggestPart:
    """What the model says of the text so far."""

    #: "waiting": too little text; "ready".
    status: str
    offers: Sequence[Hint] = ()
    assist: Sequence[str] = ()
    risks: Sequence[hints.Risk] = ()
    pieces: Sequence[hints.Piece] = ()
    #: Why there is no category, or what the model could not do, in words.
    reasons: Sequence[str] = ()
    model_missing: bool = False
    alike: Sequence[tuple[EarlierRow, str]] = ()
    incidents: Sequence[relations.KnownIncident] = ()


@dataclass(frozen=True, kw_only=True)
class DonePage:
    """A call that is done with: what to tell the caller."""

    number: str
    href: str
    heading: str
    #: Shown once; empty when it has been shown, or none was made.
    query_code: str
    script: Sequence[str]
    facts: Sequence[tuple[str, str]]
    texted: bool = False
    appended: bool = False


@bp.get("/intake")
@page(Permission.TICKET_REGISTER)
def new() -> ResponseReturnValue:
    """Show an empty call form with a key of its own."""
    return _form(Typed(key=uuid.uuid4().hex), {})


@bp.post("/intake")
@page(Permission.TICKET_REGISTER)
def register() -> ResponseReturnValue:
    """Take the call in and finish it the chosen way, in one transaction; the same key registers once."""
    typed = _typed()
    try:
        concern, checked = _read(typed)
        with db().begin() as writing:
            registered = _taken_in(writing, typed, concern)
            if not registered.again:
                _finish(writing, registered, typed)
            texted = _MOBILE.fullmatch(checked.phone) is not None and bool(registered.query_code)
            if texted:
                telephony.queue_text(
                    writing,
                    key=f"registered:{registered.ticket_id}",
                    purpose="registered",
                    to=checked.phone,
                    body=render_template(
                        "intake/registered_sms.txt", number=registered.number, query_code=registered.query_code
                    ).strip(),
                    by=actor(),
                    now=now(),
                )
    except Invalid as error:
        return _form(typed, error.fields), 422
    except StaleTicket:
        raise
    except Conflict as error:
        # The key was used for another text: a page that was gone back to. A new key makes the next press count.
        problem = f"{error.message}如确为另一件事，请核对后再次提交。"
        return _form(replace(typed, key=uuid.uuid4().hex), {"form": [problem]}), 409
    session[_TOLD] = {"number": registered.number, "code": registered.query_code, "texted": texted}
    if registered.again:
        forms.told("info", "这份登记已经提交过，没有重复建单。")
    return redirect(url_for("intake.done", number=registered.number), code=303)


@bp.get("/intake/done/<number>")
@page(Permission.TICKET_REGISTER)
def done(number: str) -> ResponseReturnValue:
    """Show number, query code (once) and what to tell the caller."""
    told = session.get(_TOLD) or {}
    ours = told.get("number") == number
    if ours:
        session.pop(_TOLD)
    with db().read() as reading:
        ticket = routing_queries.ticket_for(reading, actor(), number)
        sent = routing_queries.dispatches_of(reading, ticket.id)
        main = relations_queries.main_of(reading, ticket.id)
    department = sent[-1].department if sent else ""
    facts = [("标题", ticket.title), ("诉求类型", labels.words(ticket.request_type))]
    facts.append(("当前状态", labels.words(ticket.outcome) if ticket.outcome else labels.words(ticket.state)))
    if department:
        facts += [("承办单位", department), ("办理时限", present.moment(ticket.due_at))]
    if ticket.transfer_to:
        facts.append(("转往", f"{ticket.transfer_to} {ticket.transfer_number or ''}".strip()))
    if main:
        facts.append(("随主单答复", f"{main.number} {main.incident}".strip()))
    heading, script = _script(ticket, department=department, main=main)
    if ticket.outcome is Outcome.REFUSED and ours and told.get("texted") and ticket.refusal_reason not in NOT_TEXTED:
        script = [*script, "不予受理的理由和正确途径会另以短信发往来电手机。"]
    return render_template(
        "intake/done.html",
        page=DonePage(
            number=ticket.number,
            href=_ticket_href(ticket.number),
            heading=heading,
            query_code=str(told.get("code", "")) if ours else "",
            script=script,
            facts=facts,
            texted=ours and bool(told.get("texted")),
        ),
    )


@bp.post("/intake/caller")
@page(Permission.TICKET_REGISTER)
def caller() -> ResponseReturnValue:
    """Tell what is known of the number that is being typed; a POST, so that the number is in no address or log."""
    return render_template("intake/caller.html", part=_caller())


@bp.post("/intake/caller/name")
@page(Permission.TICKET_REGISTER)
def caller_name() -> ResponseReturnValue:
    """Fill in the one name that goes with the number; it is a look at personal data, so the journal keeps it."""
    part = _caller()
    phone = _full_number()
    if phone is None or len(part.people) != 1:
        return render_template("intake/caller.html", part=part)
    with db().begin() as writing:
        (known,) = ticket_queries.callers_on(writing, phone)
        ticket = routing_queries.ticket_for(writing, actor(), known.number)
        personal = tickets.reveal(
            writing, ticket_id=ticket.id, reason="同一号码再次来电，登记时填入姓名", by=actor(), now=now()
        )
    return render_template("intake/caller.html", part=replace(part, name=personal.name))


@bp.post("/intake/append/<number>")
@page(Permission.TICKET_REGISTER)
def append(number: str) -> ResponseReturnValue:
    """Add the call to the caller's earlier ticket instead of opening another (催办/补充, domain.md 1.7 a)."""
    typed = _typed()
    words = clean(typed.content)
    if len(words) > _MOST_REPEAT:
        problem = f"补充内容最多 {_MOST_REPEAT} 字，现有 {len(words)} 字，请删减或另行登记。"
        return _form(typed, {"content": [problem]}), 422
    try:
        with db().begin() as writing:
            ticket = routing_queries.ticket_for(writing, actor(), number)
            intake.repeat(
                writing,
                ticket_id=ticket.id,
                words=words or "来电催办，未补充新的内容。",
                scope=_scope(),
                key=typed.key,
                by=actor(),
                now=now(),
            )
    except Conflict as error:
        return _form(replace(typed, key=uuid.uuid4().hex), {"form": [error.message]}), 409
    return redirect(url_for("intake.appended", number=number), code=303)


@bp.get("/intake/appended/<number>")
@page(Permission.TICKET_REGISTER)
def appended(number: str) -> ResponseReturnValue:
    """Show where the earlier ticket stands, to be told to the caller."""
    with db().read() as reading:
        ticket = routing_queries.ticket_for(reading, actor(), number)
        sent = routing_queries.dispatches_of(reading, ticket.id)
    department = sent[-1].department if sent else ""
    facts = [("标题", ticket.title), ("累计来电", f"{ticket.repeats + 1} 次")]
    facts.append(("当前状态", labels.words(ticket.outcome) if ticket.outcome else labels.words(ticket.state)))
    if department:
        facts.append(("承办单位", department))
    if ticket.due_at:
        facts.append(("办理时限", present.moment(ticket.due_at)))
    script = [f"您今天来电的情况已记入原工单 {ticket.number}，不需要重新登记。"]
    if ticket.state is State.CLOSED:
        script.append("这张工单已经办结；如对结果有异议，可由回访人员与您联系，或另行登记新的情况。")
    elif department:
        script.append(f"目前由{department}办理{_until(ticket)}。")
    else:
        script.append("目前正在等待派单，派单后承办单位会与您联系。")
    return render_template(
        "intake/done.html",
        page=DonePage(
            number=ticket.number,
            href=_ticket_href(ticket.number),
            heading="已并入原工单",
            query_code="",
            script=script,
            facts=facts,
            appended=True,
        ),
    )


@bp.post("/intake/suggest")
@page(Permission.TICKET_REGISTER)
def suggest() -> ResponseReturnValue:
    """Say what the text looks like while it is being typed; nothing is kept."""
    title, content = _plain(forms.text("title")), _plain(forms.text("content"))
    if len(title.strip()) + len(content.strip()) < _FEWEST_CHARACTERS:
        return render_template("intake/suggest.html", part=SuggestPart(status="waiting"))
    said = tools().suggester.suggest(title, content, at=now())
    told = suggesting.told(said)
    with db().read() as reading:
        categories = ticket_queries.categories(reading)
        regions = ticket_queries.regions(reading)
        located = territory.locate(reading, _plain(forms.text("place")), title, content, now=now())
        departments = routing_queries.departments(reading, with_parts_only=False)
        chosen = forms.text("region_id").strip()
        region = next((one for one in regions if str(one.id) == chosen), None)
        named = next((one for one in regions if located.sure and one.id == located.sure.region_id), None)
        where = region or named
        near = duplicates.find(
            reading, title=title, content=content, region_id=where.id if where else None, told_at=now()
        )
        holders = awaiting.went_to(reading, [one.ticket.id for one in near])
        items = ticket_queries.service_items(reading)
        incidents = relations.alike(
            "\n".join((title, content, _plain(forms.text("place")))), relations_queries.known_incidents(reading)
        )
    part = SuggestPart(
        status="ready",
        offers=_numbered(
            _hints(
                told,
                categories=categories,
                departments=departments,
                region=where,
                located=located if region is None else territory.Located(),
                items=hints.items_named(f"{title}\n{content}", [one.name for one in items]),
                places=[place.text for place in said.places if not place.doubtful and place.kind not in _REGION_KINDS],
            )
        ),
        assist=_assisting(told, departments),
        risks=hints.risks(told),
        pieces=[
            *hints.marked(title, told, field="title"),
            *([hints.Piece(words="\n")] if title else []),
            *hints.marked(content, told, field="body"),
        ],
        reasons=told["reasons"],
        model_missing=tools().suggester.model is None,
        incidents=incidents,
        alike=[(_earlier(one.ticket, holders), one.chance) for one in hints.duplicates_of(near)],
    )
    return render_template("intake/suggest.html", part=part)


_REGION_KINDS: Final = frozenset({"district", "street", "community", "city"})


def _hints(
    told: Mapping[str, Any],
    *,
    categories: Sequence[CategoryNode],
    departments: Sequence[DepartmentNode],
    region: RegionNode | None,
    located: territory.Located,
    places: Sequence[str],
    items: Sequence[str],
) -> list[Hint]:
    """Return what can be taken into the form, in the order of its keys; at most nine."""
    by_code = {node.code: node for node in categories}
    found = [
        Hint(
            field="事件类别",
            words=by_code[one["code"]].path,
            take=f"category_id={by_code[one['code']].id}",
            chance=hints.chance(one["p"]),
        )
        for one in hints.likely(told["category"])
        if one["code"] in by_code
    ]
    found += [
        Hint(
            field="派往单位",
            words=one.name,
            take=urlencode({"finish": "dispatch", "department_id": one.department_id}) if one.department_id else "",
            chance=one.chance,
            reason=one.reason,
        )
        for one in hints.departments(
            told,
            known={node.code: node for node in departments},
            leads=hints.leads_in(categories),
            region_code=region.code if region else "",
            most=2,
        )
    ]
    if told["request_type"]:
        best = told["request_type"][0]
        found.append(
            Hint(
                field="诉求类型",
                words=best["name"],
                take=urlencode({"request_type": best["code"]}),
                chance=hints.chance(best["p"]),
            )
        )
    if told["urgency"] != Urgency.ORDINARY.value:
        words = "、".join(told["urgency_words"])
        found.append(
            Hint(
                field="紧急程度",
                words=told["urgency"],
                take=urlencode({"urgency": told["urgency"]}),
                reason=f"文中有“{words}”" if words else "该类别通常如此",
            )
        )
    found += [
        Hint(field="所属区域", words=one.path, take=f"region_id={one.region_id}", reason=f"文中提到“{one.words}”")
        for one in ([located.sure] if located.sure else [])
    ]
    # Asked, not guessed: each candidate can be taken after the caller was asked.
    found += [
        Hint(
            field="所属区域",
            words=one.path,
            take=f"region_id={one.region_id}",
            reason=f"“{one.words}”不止一处，请向来电人核实",
        )
        for one in located.doubtful
    ]
    found += [
        Hint(field="服务事项", words=one, take=urlencode({"service_item": one}), reason="文中提到") for one in items
    ]
    if places:
        found.append(Hint(field="事发地点", words=places[0], take=urlencode({"place": places[0]}), reason="文中提到"))
    return found


def _numbered(found: Sequence[Hint]) -> list[Hint]:
    """Give the takeable ones the keys alt+1 to alt+9, in order."""
    at, numbered = 0, []
    for hint in found:
        if hint.take and at < 9:  # noqa: PLR2004 - there are nine digits
            at += 1
            numbered.append(replace(hint, key=f"alt+{at}"))
        else:
            numbered.append(hint)
    return numbered


def _assisting(told: Mapping[str, Any], departments: Sequence[DepartmentNode]) -> list[str]:
    known = {node.code: node.short_name for node in departments}
    return [known[one["code"]] for one in hints.likely(told["assist"]) if one["code"] in known]


def _caller() -> CallerPart:
    phone = _full_number()
    if phone is None:
        return CallerPart(status="waiting")
    with db().read() as reading:
        rows = ticket_queries.earlier_of(reading, phone)
        people = ticket_queries.callers_on(reading, phone) if rows else []
        holders = awaiting.went_to(reading, [row.id for row in rows]) if rows else {}
        known = harassment.of_phone(reading, phone, now=now()) if rows else None
    marked = known is not None and known.step is not Step.NONE
    return CallerPart(
        harassed=labels.label(known.step) if known and marked else None,
        advice=known.advice if known else "",
        until=present.moment(known.until) if known else "",
        limited=known is not None and known.step is Step.LIMITED,
        status="known" if rows else "unknown",
        rows=[_earlier(row, holders) for row in rows],
        people=[person.name_masked for person in people],
    )


def _full_number() -> str | None:
    """Return the number that was typed, once it is a whole one; 110 while 11012… is being typed is not."""
    try:
        phone = rules.normal_phone(forms.text("phone")) if forms.text("phone").strip() else ""
    except ValueError:
        return None
    return phone if len(phone) >= _FEWEST_DIGITS or phone.startswith("9") else None


def _earlier(row: Earlier, holders: Mapping[int, str]) -> EarlierRow:
    label = labels.label(row.outcome if row.outcome is not None else row.state)
    return EarlierRow(
        number=row.number,
        href=_ticket_href(row.number),
        title=row.title,
        category=row.category.split(" / ")[-1],
        state=label.words,
        tone=label.tone,
        with_unit=holders.get(row.id, "") if row.state is not State.CLOSED else "",
        age=f"{present.span_words((now() - row.registered_at).total_seconds())}前",
        iso=present.iso(row.registered_at),
        open=row.state is not State.CLOSED,
        append_href=url_for("intake.append", number=row.number),
    )


def _typed() -> Typed:
    """Return the form as typed, lines ended as everywhere else."""
    given: dict[str, Any] = {}
    for one in fields(Typed):
        given[one.name] = forms.flag(one.name) if one.type == "bool" else _plain(forms.text(one.name))
    if not _KEY.fullmatch(given["key"]):
        given["key"] = uuid.uuid4().hex  # not one of ours: nothing can be compared with it
    return Typed(**given)


def _plain(raw: str) -> str:
    return raw.replace("\r\n", "\n").replace("\r", "\n")


def _read(typed: Typed) -> tuple[Concern, NewTicket]:
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


def _taken_in(writing: Any, typed: Typed, concern: Concern) -> intake.Registered:  # noqa: ANN401 - as below
    """Register the call; one that 110 hands over under the number of its record, once (domain.md 2.13)."""
    if typed.channel != Channel.POLICE_110.value:
        return intake.register(writing, concern, scope=_scope(), key=typed.key, by=actor(), now=now())
    record = exchange.Record(number=typed.other_number, manner=Manner.CONFERENCE)
    return exchange.receive(
        writing, record, concern, at_a_desk=True, scope=_scope(), key=typed.key, by=actor(), now=now()
    )


def _finish(writing: Any, registered: intake.Registered, typed: Typed) -> None:  # noqa: ANN401 - the house's session; pages know no SQL
    """Do what the operator chose with the ticket that was just registered."""
    if typed.incident_id and typed.finish in {"register", "dispatch"}:
        # One cause, many callers: the main ticket is worked on already (domain.md 1.7 c).
        relations.attach(
            writing, incident_id=int(typed.incident_id), ticket_id=registered.ticket_id, by=actor(), now=now()
        )
        return
    if typed.finish == "register":
        return
    common: dict[str, Any] = {"ticket_id": registered.ticket_id, "by": actor(), "now": now()}
    if typed.finish == "dispatch":
        routing.dispatch(
            writing,
            version=None,
            department_id=int(typed.department_id),
            reason=clean_line(typed.dispatch_reason) or "话务员登记时派单",
            **common,
        )
        return
    common["version"] = routing_queries.ticket_for(writing, actor(), registered.number).version
    if typed.finish == "answer":
        tickets.close_directly(writing, answer=clean(typed.answer), **common)
    elif typed.finish == "refuse":
        words = clean(typed.refusal_words) or REFUSALS[typed.refusal_reason].told
        tickets.refuse(writing, reason=typed.refusal_reason, words=words, **common)
        if typed.harassment_kind:
            harassment.mark(
                writing,
                ticket_id=registered.ticket_id,
                kind=HarassmentKind(typed.harassment_kind),
                evidence=typed.evidence,
                warned=typed.warned,
                by=actor(),
                now=now(),
            )
    elif typed.finish == "transfer":
        other = clean_line(typed.transfer_other)
        tickets.transfer(
            writing,
            to=other if typed.transfer_to == "other" else typed.transfer_to,
            other_number=clean_line(typed.transfer_number),
            words=clean(typed.transfer_words),
            manner=forms.member(Manner, "transfer_manner", source=asdict(typed)) or Manner.CALL,
            **common,
        )


def _scope() -> str:
    return f"desk:{actor().user_id}"


def _ticket_href(number: str) -> str:
    return url_for("tickets.show", number=number)


def _until(ticket: Any) -> str:  # noqa: ANN401 - a ticket of the core
    return f"，应于 {present.moment(ticket.due_at)} 前答复您" if ticket.due_at else ""


def _script(ticket: Any, *, department: str, main: MainRow | None) -> tuple[str, list[str]]:  # noqa: ANN401 - a ticket of the core
    """Return the heading of the page and what the operator says to the caller."""
    code = "办理进度可凭受理编号和查询码在网上查询，也可用本号码来电查询。"
    if ticket.outcome is Outcome.ANSWERED_DIRECTLY:
        return "已直接答复", [ticket.closing_words]
    if ticket.outcome is Outcome.REFUSED:
        return "不予受理", ticket.closing_words.splitlines()
    if ticket.outcome is Outcome.TRANSFERRED:
        said = f"您的情况已转至 {ticket.transfer_to}，请保持电话畅通。"
        return "已转接", [said, *ticket.closing_words.splitlines()]
    if main is not None:
        known = (
            main.incident_words
            or f"您反映的情况与正在办理的一件诉求相同，已交由{main.department or '承办单位'}一并办理。"
        )
        return "已登记并入同一事项", [known, "办理结果会用您自己的受理编号单独答复您，并给您回访。", code]
    if department:
        return "已登记并派单", [f"您反映的事项已交由{department}办理{_until(ticket)}。", code]
    return "已登记待派", ["您反映的事项已登记，我们会尽快派给承办单位办理，办理后会给您回访。", code]


def _form(typed: Typed, errors: Mapping[str, Sequence[str]]) -> str:
    with db().read() as reading:
        categories = ticket_queries.categories(reading)
        regions = ticket_queries.regions(reading)
        departments = routing_queries.departments(reading, with_parts_only=False)
        incidents = relations_queries.known_incidents(reading)
        items = ticket_queries.service_items(reading)
    return render_template(
        "intake/new.html",
        page=IntakePage(
            values=typed,
            errors=errors,
            labels=FIELDS,
            channels=labels.options(_CHANNELS),
            request_types=labels.options(RequestType),
            urgencies=labels.options(Urgency),
            categories=[
                (node.id, node.path) for node in categories if node.is_leaf or str(node.id) == typed.category_id
            ],
            regions=[(node.id, node.path) for node in regions],
            items=[(one.name, f"{one.code} {one.name}") for one in items],
            departments=[(node.id, node.name) for node in departments],
            finishes=[(value, words, key) for value, words, key, permission in FINISHES if actor().can(permission)],
            refusals=list(REFUSALS.values()),
            transfers=TRANSFERS,
            harassments=labels.options(HarassmentKind) if actor().can(Permission.HARASSMENT_MARK) else (),
            manners=labels.options((Manner.CALL, Manner.CONFERENCE)),
            incidents=[(one.id, one.title) for one in incidents],
        ),
    )
