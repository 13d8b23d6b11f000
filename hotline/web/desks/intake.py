"""The operator's desk (话务员): a call becomes a ticket, an answer, a refusal or a transfer, on one screen."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from flask import Blueprint, redirect, render_template, session, url_for
from flask.typing import ResponseReturnValue

from hotline.core.errors import Conflict, Invalid, StaleTicket
from hotline.core.permissions import Permission
from hotline.core.text import clean, clean_line
from hotline.intake import actions as intake
from hotline.intake import exchange, harassment, rules
from hotline.intake.harassment_rules import HarassmentKind
from hotline.intake.rules import Concern
from hotline.telephony import actions as telephony
from hotline.tickets import actions as tickets
from hotline.tickets import queries as ticket_queries
from hotline.tickets.refusals import NOT_TEXTED, REFUSALS, Refusal
from hotline.tickets.states import Outcome, State
from hotline.tickets.transfer_models import Manner
from hotline.tickets.vocabulary import Channel, RequestType, Urgency
from hotline.web import forms, labels, present
from hotline.web.desks import hints
from hotline.web.desks.call_form import (
    CHANNELS,
    FIELDS,
    FINISHES,
    MOBILE,
    TRANSFERS,
    Typed,
    plain_lines,
    read_call,
    typed_call,
)
from hotline.web.desks.call_hints import REGION_KINDS, SuggestPart, assisting, hints_of, numbered
from hotline.web.desks.caller import caller_part, earlier_row, full_number, ticket_href
from hotline.web.gate import actor, db, now, page, tools
from routing import actions as routing
from routing import awaiting, suggesting
from routing import queries as routing_queries
from routing.catalogue import territory
from routing.relations import duplicates
from routing.relations import joining as relations
from routing.relations import queries as relations_queries
from routing.relations.queries import MainRow

bp = Blueprint("intake", __name__)
_MOST_REPEAT: Final = 2_000
_FEWEST_CHARACTERS: Final = 4
_TOLD: Final = "registered"


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
    typed = typed_call()
    try:
        concern, checked = read_call(typed)
        with db().begin() as writing:
            registered = _taken_in(writing, typed, concern)
            if not registered.again:
                _finish(writing, registered, typed)
            texted = MOBILE.fullmatch(checked.phone) is not None and bool(registered.query_code)
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
            href=ticket_href(ticket.number),
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
    return render_template("intake/caller.html", part=caller_part())


@bp.post("/intake/caller/name")
@page(Permission.TICKET_REGISTER)
def caller_name() -> ResponseReturnValue:
    """Fill in the one name that goes with the number; it is a look at personal data, so the journal keeps it."""
    part = caller_part()
    phone = full_number()
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
    typed = typed_call()
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
            href=ticket_href(ticket.number),
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
    title, content = plain_lines(forms.text("title")), plain_lines(forms.text("content"))
    if len(title.strip()) + len(content.strip()) < _FEWEST_CHARACTERS:
        return render_template("intake/suggest.html", part=SuggestPart(status="waiting"))
    said = tools().suggester.suggest(title, content, at=now())
    told = suggesting.told(said)
    with db().read() as reading:
        categories = ticket_queries.categories(reading)
        regions = ticket_queries.regions(reading)
        located = territory.locate(reading, plain_lines(forms.text("place")), title, content, now=now())
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
            "\n".join((title, content, plain_lines(forms.text("place")))), relations_queries.known_incidents(reading)
        )
    part = SuggestPart(
        status="ready",
        offers=numbered(
            hints_of(
                told,
                categories=categories,
                departments=departments,
                region=where,
                located=located if region is None else territory.Located(),
                items=hints.items_named(f"{title}\n{content}", [one.name for one in items]),
                places=[place.text for place in said.places if not place.doubtful and place.kind not in REGION_KINDS],
            )
        ),
        assist=assisting(told, departments),
        risks=hints.risks(told),
        pieces=[
            *hints.marked(title, told, field="title"),
            *([hints.Piece(words="\n")] if title else []),
            *hints.marked(content, told, field="body"),
        ],
        reasons=told["reasons"],
        model_missing=tools().suggester.model is None,
        incidents=incidents,
        alike=[(earlier_row(one.ticket, holders), one.chance) for one in hints.duplicates_of(near)],
    )
    return render_template("intake/suggest.html", part=part)


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
            channels=labels.options(CHANNELS),
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
