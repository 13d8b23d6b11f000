"""The programming interface, version 1: tickets and their life, lists, counters, reviews, what crosses with 110.

Machines carry `Authorization: Bearer TOKEN` (issued by an administrator). Bodies are JSON; what is refused comes back
as a problem document (RFC 9457) with the sentences by field. A POST with an `Idempotency-Key` may be sent again: the
second time gives the first answer and writes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Annotated, Any

from flask import Blueprint, request, url_for
from flask.typing import ResponseReturnValue
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from callbacks import actions as callbacks
from callbacks import queries as callback_queries
from callbacks.policy import Answers, AttemptOutcome, Satisfaction
from callbacks.policy import Solved as CallbackSolved
from hotline.core.errors import Invalid, NotFound
from hotline.core.permissions import Permission
from hotline.intake import actions as intake
from hotline.intake import exchange
from hotline.intake.rules import Concern
from hotline.tickets import queries as ticket_queries
from hotline.tickets import transfers
from hotline.tickets.models import Ticket
from hotline.tickets.states import Outcome, State
from hotline.tickets.transfer_models import FinalOwner, Manner, Transfer
from hotline.tickets.vocabulary import Channel, Kind, RequestType, Urgency
from hotline.web import forms, present
from hotline.web.desks import hints, proposals
from hotline.web.gate import actor, db, now, page
from routing import actions as routing
from routing import lists
from routing import queries as routing_queries
from routing.answers import parts
from routing.catalogue import editions as catalogue
from routing.catalogue.rules import Matter
from routing.clocks import adjusting
from routing.duty import precedents
from routing.lists import ListFilter, TicketRow
from routing.models import Solved

bp = Blueprint("api", __name__, url_prefix="/api/v1")

LINE = 2_000


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", str_max_length=200_000)


class NewTicketBody(_Body):
    """A concern."""

    content: str
    title: str = ""
    name: str = ""
    phone: str = ""
    address: str = ""
    id_number: str = ""
    place: str = ""
    company: str = ""
    happened_at: AwareDatetime | None = None
    request_type: str = ""
    urgency: str = ""
    channel: str = Channel.WEB.value
    category: str = ""
    region: str = ""
    #: Code or name of a public service item.
    service_item: str = ""
    anonymous: bool = False
    confidential: bool = False
    wants_callback: bool = True


class DispatchBody(_Body):
    """Where to."""

    department: str
    #: Codes of the co-handlers (协办).
    assist: list[str] = Field(default_factory=list, max_length=20)
    reason: str = Field(default="", max_length=LINE)
    version: int | None = None


class AnswerBody(_Body):
    """What a department feeds back."""

    internal_note: str
    public_answer: str
    found_true: bool = True
    beyond_duty: bool = False
    solved: Solved = Solved.SOLVED
    plan: str = ""
    plan_on: date | None = None
    left_out_why: str = Field(default="", max_length=LINE)
    version: int | None = None


class CallbackBody(_Body):
    """What the citizen said, or that he was not reached."""

    outcome: AttemptOutcome = AttemptOutcome.REACHED
    replied: bool | None = None
    solved: CallbackSolved | None = None
    process: Satisfaction | None = None
    result: Satisfaction | None = None
    reason: str = Field(default="", max_length=LINE)
    wants_rework: bool = True
    note: str = Field(default="", max_length=LINE)


class ReviewBody(_Body):
    """A review as a counter's device sends it."""

    key: Annotated[str, Field(min_length=1, max_length=100)]
    stars: int
    service_item: Annotated[str, Field(max_length=200)]
    department: Annotated[str, Field(max_length=100)]
    words: Annotated[str, Field(max_length=5_000)] = ""
    rated_at: AwareDatetime
    window: Annotated[str, Field(max_length=200)] = ""
    name: str = ""
    phone: str = ""


class TransferBody(_Body):
    """A record that another line hands over."""

    number: Annotated[str, Field(max_length=100)]
    line: Annotated[str, Field(max_length=20)] = "110"
    manner: Manner = Manner.EXCHANGE
    #: Why it is ours.
    words: str = Field(default="", max_length=LINE)
    content: str
    title: str = ""
    name: str = ""
    phone: str = ""
    address: str = ""
    place: str = ""
    happened_at: AwareDatetime | None = None
    request_type: str = ""
    urgency: str = ""
    category: str = ""
    region: str = ""


class OwnerBody(_Body):
    """Who owned a matter in the end, and what he did."""

    owner: FinalOwner
    owner_name: str = Field(max_length=200)
    reply: str = Field(default="", max_length=10_000)
    #: Our number, where theirs was not known when we handed the matter over.
    ticket: str = Field(default="", max_length=40)


@bp.post("/tickets")
@page(Permission.TICKET_REGISTER)
def register() -> ResponseReturnValue:
    """Take a concern in; answers 201 with number and query code, 200 when the key was known."""
    given = forms.body(NewTicketBody)
    values = given.model_dump(exclude={"category", "region", "service_item"})
    with db().begin() as session:
        concern = Concern(
            **values,
            category_id=_category(session, given.category),
            region_id=_region(session, given.region),
            service_item=_service_item(session, given.service_item),
        )
        done = intake.register(
            session,
            concern,
            scope=f"api:{actor().user_id}",
            key=request.headers.get("Idempotency-Key", ""),
            by=actor(),
            now=now(),
        )
    body = {"number": done.number, "query_code": done.query_code, "again": done.again, "repeat": done.repeat}
    return body, 200 if done.again else 201, {"Location": url_for("api.show", number=done.number)}


@bp.get("/tickets")
@page(Permission.TICKET_VIEW)
def tickets() -> ResponseReturnValue:
    """List tickets, the newest first; `cursor` turns the page, the last page has no `next`."""
    args = request.args
    state = forms.member(State, "state", source=args)
    wanted = ListFilter(
        states=(state,) if state else (),
        outcome=forms.member(Outcome, "outcome", source=args),
        kind=forms.member(Kind, "kind", source=args),
        request_type=forms.member(RequestType, "request_type", source=args),
        urgency=forms.member(Urgency, "urgency", source=args),
        channel=forms.member(Channel, "channel", source=args),
        department_id=forms.whole("department_id", source=args),
        category_id=forms.whole("category_id", source=args),
        due=args.get("due", ""),
        words=forms.asked("words"),
        order=args.get("order", "newest"),
    )
    limit = forms.whole("limit", source=args) or 30
    with db().read() as session:
        found = lists.ticket_list(session, actor(), wanted, now=now(), cursor=args.get("cursor", ""), limit=limit)
    return {
        "tickets": [_row(row) for row in found.rows],
        "next": found.next_cursor or None,
        "previous": found.previous_cursor or None,
    }


@bp.get("/tickets/<number>")
@page(Permission.TICKET_VIEW)
def show(number: str) -> ResponseReturnValue:
    """Show one ticket with its dispatches, answers and timeline; personal data stays masked."""
    with db().read() as session:
        ticket = routing_queries.ticket_for(session, actor(), number)
        entries = ticket_queries.timeline(session, ticket.id)
        sent = routing_queries.dispatches_of(session, ticket.id)
    return {
        **_facts(ticket),
        "dispatches": [
            {
                "department": row.department,
                "round": row.round,
                "sent_at": present.iso(row.sent_at),
                "due_at": present.iso(row.due_at),
                "sign_due_at": present.iso(row.sign_due_at),
                "signed_at": present.iso(row.signed_at) or None,
                "answered_at": present.iso(row.answered_at) or None,
                "public_answer": row.answer.public_answer if row.answer else None,
            }
            for row in sent
        ],
        "timeline": [
            {"at": present.iso(entry.at), "act": entry.act.value, "by": entry.by_name, "to_state": entry.to_state.value}
            for entry in entries
        ],
    }


@bp.get("/tickets/<number>/deadlines")
@page(Permission.TICKET_VIEW)
def deadlines(number: str) -> ResponseReturnValue:
    """Explain every deadline of the department that has, or had last, the ticket: each step, and what changed it."""
    with db().read() as session:
        ticket = routing_queries.ticket_for(session, actor(), number)
        sent = routing_queries.dispatches_of(session, ticket.id)
        changes = adjusting.of_ticket(session, ticket.id)
    if not sent:
        raise NotFound("这张工单还没有派出，没有办理时限。")
    last = sent[-1]
    return {
        "number": ticket.number,
        "department": last.department,
        "profile": last.profile,
        "due_at": present.iso(last.due_at),
        "suspended_until": present.iso(last.suspended_until) or None,
        "clocks": [{"name": name, **told} for name, told in last.steps.items()],
        "changes": [
            {
                "kind": one.row.kind.value,
                "state": one.row.state.value,
                "department": one.department,
                "cause": one.row.cause,
                "reason": one.row.reason,
                "basis": one.row.basis,
                "workdays": one.row.workdays,
                "starts_at": present.iso(one.row.starts_at) or None,
                "ends_at": present.iso(one.row.ends_at) or None,
                "asked_at": present.iso(one.row.asked_at),
                "decided_at": present.iso(one.row.decided_at) or None,
            }
            for one in changes
        ],
    }


@bp.post("/tickets/<number>/dispatch")
@page(Permission.TICKET_DISPATCH)
def dispatch(number: str) -> ResponseReturnValue:
    """Send a registered ticket to a department, named by its code."""
    given = forms.body(DispatchBody)
    with db().begin() as session:
        department = routing_queries.department_by_code(session, given.department)
        if department is None:
            raise Invalid({"department": f"没有代码为“{given.department[:40]}”的单位。"})
        ticket = routing_queries.ticket_for(session, actor(), number, lock=True)
        helpers = [routing_queries.department_by_code(session, code) for code in given.assist]
        if unknown := [code for code, found in zip(given.assist, helpers, strict=True) if found is None]:
            raise Invalid({"assist": f"没有代码为“{unknown[0][:40]}”的单位。"})
        sent = parts.dispatch_shared(
            session,
            ticket_id=ticket.id,
            version=given.version,
            department_id=department.id,
            assist_ids=[one.id for one in helpers if one is not None],
            reason=given.reason,
            by=actor(),
            now=now(),
        )
    return {"number": number, "department": given.department, "due_at": present.iso(sent.due_at)}, 201


@bp.get("/tickets/<number>/proposal")
@page(Permission.TICKET_DISPATCH)
def proposal(number: str) -> ResponseReturnValue:
    """Say where a ticket should go and why: the catalogue's row, the rulings that speak for it, who should help.

    `service_item` in the query names the public service item that the matter is about, where one is known.
    """
    with db().read() as session:
        ticket = routing_queries.ticket_for(session, actor(), number)
        suggestion = routing_queries.suggestion_of(session, ticket.id)
        departments = routing_queries.departments(session, with_parts_only=False)
        categories = ticket_queries.categories(session)
        region = next((one for one in ticket_queries.regions(session) if one.id == ticket.region_id), None)
        said = suggestion.body if suggestion else {}
        asked = proposals.Asked(
            category_id=ticket.category_id,
            region_id=ticket.region_id,
            request_type=ticket.request_type.value,
            said=said,
            service_item=ticket.service_item or "",
        )
        matter = proposals.matter(asked, proposals.leading(categories))
        item = forms.asked("service_item").strip()
        matters = {0: replace(matter or Matter(region=ticket.region_id), service_item=item)} if matter or item else {}
        found = catalogue.proposals_for(session, matters, now=now()).get(0)
        guessed = proposals.leading(categories).get(proposals.first_category(said))
        ruled = precedents.precedents_for(session, ticket, category_id=guessed)
    offers = proposals.merged(
        found,
        hints.departments(
            said,
            known={node.code: node for node in departments},
            leads=hints.leads_in(categories),
            region_code=region.code if region else "",
        ),
        rulings=ruled,
        guessed="" if ticket.category_id else proposals.first_category(said),
    )
    helpers = proposals.co_handlers(found, said, offers, rulings=ruled, known=departments)
    codes = {one.id: one.code for one in departments}
    return {"number": number, **proposals.as_json(found, offers, codes=codes, rulings=ruled, helpers=helpers)}


@bp.post("/tickets/<number>/sign")
@page(Permission.TICKET_SIGN)
def sign(number: str) -> ResponseReturnValue:
    """Sign for a ticket."""
    with db().begin() as session:
        ticket = routing_queries.ticket_for(session, actor(), number, lock=True)
        row = routing.sign(session, ticket_id=ticket.id, by=actor(), now=now())
    return {"number": number, "signed_at": present.iso(row.signed_at)}


@bp.post("/tickets/<number>/answer")
@page(Permission.TICKET_ANSWER)
def answer(number: str) -> ResponseReturnValue:
    """Feed back for the department that holds the ticket; signs for it too if that was not done."""
    given = forms.body(AnswerBody)
    with db().begin() as session:
        ticket = routing_queries.ticket_for(session, actor(), number, lock=True)
        routing.answer(
            session,
            ticket_id=ticket.id,
            version=given.version,
            feedback=routing.Feedback(**given.model_dump(exclude={"version"})),
            by=actor(),
            now=now(),
        )
    return {"number": number, "state": State.ANSWERED.value}, 201


@bp.post("/tickets/<number>/callback")
@page(Permission.CALLBACK_RECORD)
def callback(number: str) -> ResponseReturnValue:
    """Record the callback that the ticket waits for: an attempt, or what the citizen said."""
    given = forms.body(CallbackBody)
    with db().begin() as session:
        ticket = routing_queries.ticket_for(session, actor(), number, lock=True)
        waiting = callback_queries.open_callback(session, ticket.id)
        if waiting is None:
            raise NotFound("这张工单没有待记录的回访。")
        if given.outcome is AttemptOutcome.REACHED:
            row = callbacks.record_result(
                session, callback_id=waiting.id, version=None, answers=_answers(given), by=actor(), now=now()
            )
        else:
            row = callbacks.record_attempt(
                session, callback_id=waiting.id, outcome=given.outcome, note=given.note, by=actor(), now=now()
            )
    return {"number": number, "verdict": row.verdict.value if row.verdict else None, "attempts": row.attempts}, 201


@bp.post("/transfers")
@page(Permission.TRANSFER_EXCHANGE)
def take_over() -> ResponseReturnValue:
    """Take over what another line hands over; its number once, whatever is sent with it the second time.

    Answers 201 with our number, 200 with the number of the ticket that is there (domain.md 2.13).
    """
    given = forms.body(TransferBody, most=40_000)
    with db().begin() as session:
        done = exchange.receive(
            session,
            exchange.Record(number=given.number, line=given.line, manner=given.manner, words=given.words),
            Concern(
                **given.model_dump(exclude={"number", "line", "manner", "words", "category", "region"}),
                category_id=_category(session, given.category),
                region_id=_region(session, given.region),
            ),
            by=actor(),
            now=now(),
        )
    return {"ticket": done.number, "number": given.number, "again": done.again}, 200 if done.again else 201


@bp.get("/transfers/<path:other_number>")
@page(Permission.TRANSFER_EXCHANGE)
def crossed(other_number: str) -> ResponseReturnValue:
    """Tell everything that crossed under a number of the other line: our number, where it stands, its final owner."""
    with db().read() as session:
        found = transfers.numbered(session, other_number)
    if not found:
        raise NotFound("没有这个编号的联动记录。")
    return {"number": other_number, "transfers": [_crossed(row, ticket) for row, ticket in found]}


@bp.post("/transfers/<path:other_number>/owner")
@page(Permission.TRANSFER_EXCHANGE)
def tell_owner(other_number: str) -> ResponseReturnValue:
    """Take the other line's word on who owned in the end what we handed over, and what he did.

    With `ticket` it also tells its number of a matter that we handed over without knowing it.
    """
    given = forms.body(OwnerBody)
    with db().begin() as session:
        row = transfers.handed_over(session, number=other_number, ticket=given.ticket)
        transfers.settle(
            session,
            transfer_id=row.id,
            settlement=transfers.Settlement(
                owner=given.owner, name=given.owner_name, reply=given.reply, other_number=other_number
            ),
            by=actor(),
            now=now(),
        )
        answer = _crossed(row, session.get_one(Ticket, row.ticket_id))
    return answer, 201


def _crossed(row: Transfer, ticket: Ticket) -> dict[str, Any]:
    return {
        "ticket": ticket.number,
        "direction": row.direction.value,
        "line": row.line,
        "manner": row.manner.value,
        "at": present.iso(row.made_at),
        "state": ticket.state.value,
        "outcome": ticket.outcome.value if ticket.outcome else None,
        "owner": row.final_owner.value if row.final_owner else None,
        "owner_name": row.owner_name,
        "reply": row.reply,
        "settled_at": present.iso(row.settled_at) or None,
    }


@bp.get("/counters")
@page(Permission.TICKET_VIEW_ALL)
def counters() -> ResponseReturnValue:
    """Return the stored counts by state."""
    names = [f"tickets.state.{state.value}" for state in State] + ["tickets.all", "callbacks.waiting", "callbacks.done"]
    with db().read() as session:
        return ticket_queries.counters(session, names)


@bp.post("/reviews")
@page(Permission.REVIEW_RECEIVE)
def review() -> ResponseReturnValue:
    """Take a review from a counter's device; a bad one becomes a ticket (差评), a good one needs none."""
    given = forms.body(ReviewBody, most=40_000)
    with db().begin() as session:
        done = callbacks.receive_review(
            session,
            callbacks.Review(
                key=given.key,
                stars=given.stars,
                service_item=given.service_item,
                department_code=given.department,
                words=given.words,
                rated_at=given.rated_at,
                service_window=given.window,
                name=given.name,
                phone=given.phone,
            ),
            by=actor(),
            now=now(),
        )
    if done is None:
        return {"ticket": None}, 200
    return {"ticket": done.number, "query_code": done.query_code, "again": done.again}, 200 if done.again else 201


def _answers(given: CallbackBody) -> Answers:
    missing = [name for name in ("replied", "solved", "process", "result") if getattr(given, name) is None]
    if given.replied is None or given.solved is None or given.process is None or given.result is None:
        raise Invalid(dict.fromkeys(missing, "已接通的回访必须填写此项。"))
    return Answers(
        replied=given.replied,
        solved=given.solved,
        process=given.process,
        result=given.result,
        reason=given.reason,
        wants_rework=given.wants_rework,
    )


def _category(session: Any, code: str) -> int | None:  # noqa: ANN401 - a session; pages import no SQLAlchemy
    if not code:
        return None
    found = ticket_queries.category_by_code(session, code)
    if found is None:
        raise Invalid({"category": f"没有代码为“{code[:40]}”的类别。"})
    return found.id


def _region(session: Any, code: str) -> int | None:  # noqa: ANN401 - a session; pages import no SQLAlchemy
    if not code:
        return None
    found = ticket_queries.region_by_code(session, code)
    if found is None:
        raise Invalid({"region": f"没有代码为“{code[:40]}”的区域。"})
    return found.id


def _service_item(session: Any, said: str) -> str:  # noqa: ANN401 - a session; pages import no SQLAlchemy
    found = ticket_queries.service_item_named(session, said.strip()) if said.strip() else ""
    if said.strip() and not found:
        raise Invalid({"service_item": f"没有代码或名称为“{said[:40]}”的服务事项。"})
    return found


def _facts(ticket: Ticket) -> dict[str, Any]:
    return {
        "number": ticket.number,
        "version": ticket.version,
        "state": ticket.state.value,
        "outcome": ticket.outcome.value if ticket.outcome else None,
        "kind": ticket.kind.value,
        "channel": ticket.channel.value,
        "request_type": ticket.request_type.value,
        "urgency": ticket.urgency.value,
        "service_item": ticket.service_item,
        "title": ticket.title,
        "content": ticket.content,
        "place": ticket.place,
        "phone": ticket.phone_masked,
        "name": ticket.name_masked,
        "registered_at": present.iso(ticket.registered_at),
        "due_at": present.iso(ticket.due_at) or None,
        "closed_at": present.iso(ticket.closed_at) or None,
        "rework_rounds": ticket.rework_rounds,
    }


def _row(row: TicketRow) -> dict[str, Any]:
    return {
        "number": row.number,
        "version": row.version,
        "state": row.state.value,
        "outcome": row.outcome.value if row.outcome else None,
        "kind": row.kind.value,
        "request_type": row.request_type.value,
        "urgency": row.urgency.value,
        "title": row.title,
        "category": row.category,
        "department": row.department,
        "registered_at": present.iso(row.registered_at),
        "due_at": present.iso(row.due_at) or None,
    }
