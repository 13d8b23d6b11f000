"""The dispatcher's desk (派单员): what the model was unsure of, one key to accept, and what went out by itself."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from hotline.core.clock import end_of_day
from hotline.core.errors import Conflict, Invalid, StaleTicket, WrongState
from hotline.core.permissions import Permission
from hotline.core.text import clean, clean_line
from hotline.tickets import actions as tickets
from hotline.tickets import queries as ticket_queries
from hotline.tickets.queries import Named
from hotline.tickets.refusals import REFUSALS, Refusal
from hotline.tickets.states import State, acts_from
from hotline.tickets.vocabulary import Kind, RequestType, Urgency
from hotline.web import forms, labels, present
from hotline.web.desks import dispatch_parts, hints, proposals
from hotline.web.desks.call_form import TRANSFERS
from hotline.web.gate import actor, db, now, page
from hotline.web.turning import Turn, turn
from routing import awaiting, lists, telling
from routing import queries as routing_queries
from routing.answers import parts
from routing.awaiting import WaitingTicket
from routing.catalogue import editions as catalogue
from routing.catalogue import territory
from routing.catalogue.editions import Proposal
from routing.duty import precedents
from routing.duty import queries as duty_queries
from routing.duty.precedents import PrecedentView
from routing.queries import DepartmentNode
from routing.relations import duplicates
from routing.relations import queries as relations_queries

bp = Blueprint("dispatch", __name__)

ROWS: Final = 20
#: So many tickets at most go out in one bulk act.
MOST_BULK: Final = 100
LABELS: Final[Mapping[str, str]] = {
    "department_id": "承办单位",
    "category_id": "事件类别",
    "region_id": "所属区域",
    "request_type": "诉求类型",
    "urgency": "紧急程度",
    "reason": "派单说明",
    "answer": "答复内容",
    "refusal_reason": "不予受理理由",
    "words": "说明",
    "to": "转往",
    "transfer_other": "其他单位名称",
    "other_number": "对方编号",
    "note": "备注",
    "ask": "要补充的内容",
}
_MOST_REASON: Final = 500
_PRECEDENTS_WITHIN: Final = timedelta(days=365)
_CHOSEN: Final = re.compile(r"(\d{1,18}):(\d{1,9})")
#: How many characters of the content stand in the queue.
EXCERPT: Final = 180
#: A ticket and a co-handler that is to help with it.
_HELPS: Final = re.compile(r"(\d{1,18}):(\d{1,18})")


@dataclass(frozen=True, kw_only=True)
class QueueRow:
    """One line of the queue."""

    #: What a chosen row sends: the ticket and the version that was seen.
    id: str
    number: str
    version: int
    href: str
    accept_href: str
    title: str
    #: How the content begins, where the title does not say it already.
    excerpt: str
    place: str
    category: str
    region: str
    request_type: str
    urgency: str
    urgency_tone: str
    tone: str | None
    #: Words of tags that stand in front: risk flags, send-backs, repeats.
    tags: Sequence[tuple[str, str]]
    reason: str
    offers: Sequence[hints.DepartmentHint]
    helpers: Sequence[proposals.HelperHint]
    rulings: Sequence[dispatch_parts.RulingPrecedent]
    age: str
    iso: str
    #: What went wrong with the last try on this row.
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class QueuePage:
    """The dispatcher's queue."""

    rows: Sequence[QueueRow]
    departments: Sequence[tuple[int, str]]
    urgencies: Sequence[tuple[str, str]]
    urgency: str
    total: int
    turn: Turn


@dataclass(frozen=True, kw_only=True)
class DoneRow:
    """What stands in the place of a row that is not waiting any more."""

    number: str
    href: str
    words: str
    ok: bool


@dataclass(frozen=True, kw_only=True)
class AutomaticLine:
    """One line of what went out by itself."""

    number: str
    href: str
    title: str
    category: str
    department: str
    reason: str
    state: str
    state_tone: str
    sent: str
    sent_iso: str
    due: present.DeadlineView


@dataclass(frozen=True, kw_only=True)
class AutomaticPage:
    """What the model was sure of and sent out today."""

    rows: Sequence[AutomaticLine]
    turn: Turn


@dataclass(frozen=True, kw_only=True)
class Typed:
    """What stands in the forms of a ticket's page."""

    category_id: str = ""
    region_id: str = ""
    request_type: str = ""
    urgency: str = ""
    department_id: str = ""
    #: Co-handlers (协办) besides those that were proposed; further ones are named on the ticket's own page of parts.
    assist_1: str = ""
    assist_2: str = ""
    reason: str = ""
    answer: str = ""
    refusal_reason: str = ""
    words: str = ""
    to: str = ""
    transfer_other: str = ""
    other_number: str = ""
    note: str = ""
    #: What the citizen is asked to add.
    ask: str = ""


@dataclass(frozen=True, kw_only=True)
class TicketPage:
    """One ticket that waits for a dispatcher, with everything that helps to decide."""

    number: str
    version: int
    href: str
    waits: bool
    #: With which ticket this one is answered: it goes nowhere by itself.
    main_number: str
    state: str
    state_tone: str
    title: str
    title_pieces: Sequence[hints.Piece]
    pieces: Sequence[hints.Piece]
    facts: Sequence[tuple[str, str]]
    tags: Sequence[tuple[str, str]]
    urgency: str
    urgency_tone: str
    why: str
    offers: Sequence[hints.DepartmentHint]
    categories_said: Sequence[tuple[int, str, str]]
    #: Regions that the text may speak of, and why a person must choose between them.
    regions_said: Sequence[tuple[int, str, str]]
    region_doubt: str
    helpers: Sequence[proposals.HelperHint]
    precedents: Sequence[dispatch_parts.Precedent]
    alike: Sequence[hints.AlikeRow]
    returns: Sequence[dispatch_parts.Return]
    rulings: Sequence[dispatch_parts.RulingPrecedent]
    categories: Sequence[tuple[int, str]]
    regions: Sequence[tuple[int, str]]
    departments: Sequence[tuple[int, str]]
    request_types: Sequence[tuple[str, str]]
    urgencies: Sequence[tuple[str, str]]
    refusals: Sequence[Refusal]
    transfers: Sequence[tuple[str, str]]
    acts: frozenset[str]
    #: A bad review: its unit must answer it, so the short ways out are not offered.
    review: bool
    values: Typed
    errors: Mapping[str, Sequence[str]]
    labels: Mapping[str, str]
    #: The form that was refused: "dispatch", "answer", "refuse", "transfer", "ask" or "note".
    refused: str = ""


@dataclass(frozen=True, kw_only=True)
class BulkPage:
    """A bulk act that was stopped because the server found another number than the person saw, or nobody counted."""

    seen: int | None
    seen_tasks: int | None
    tasks: int
    #: Co-handlers that every ticket is to have, besides those of its row.
    assist: Sequence[int]
    found: Sequence[QueueRow]
    gone: Sequence[DoneRow]
    department_id: int | None
    department: str
    departments: Sequence[tuple[int, str]]
    reason: str
    errors: Mapping[str, Sequence[str]]


@bp.get("/dispatch")
@page(Permission.TICKET_DISPATCH)
def queue() -> ResponseReturnValue:
    """Show what waits for a decision, the most urgent first and then the oldest."""
    urgency, cursor = forms.member(Urgency, "urgency", source=request.args), forms.asked("cursor")
    with db().read() as reading:
        found = awaiting.dispatch_queue(reading, actor(), urgency=urgency, cursor=cursor, limit=ROWS)
        known = _known(reading, found.rows)
        counted = ticket_queries.counters(reading, ["tickets.state.registered", "tickets.merged"])
        total = counted["tickets.state.registered"] - counted["tickets.merged"]
    narrowed = urgency.value if urgency else None

    return render_template(
        "dispatch/queue.html",
        page=QueuePage(
            rows=[_row(row, known) for row in found.rows],
            departments=[(node.id, node.name) for node in known.departments],
            urgencies=labels.options(Urgency),
            urgency=urgency.value if urgency else "",
            total=total,
            turn=turn(found, cursor=cursor, urgency=narrowed),
        ),
    )


@bp.get("/dispatch/automatic")
@page(Permission.TICKET_DISPATCH)
def automatic() -> ResponseReturnValue:
    """Show what went out by itself today."""
    cursor = forms.asked("cursor")
    with db().read() as reading:
        found = awaiting.automatic_since(reading, actor(), since=end_of_day(now()) - timedelta(days=1), cursor=cursor)

    return render_template(
        "dispatch/automatic.html",
        page=AutomaticPage(
            rows=[
                AutomaticLine(
                    number=row.number,
                    href=url_for("tickets.show", number=row.number),
                    title=row.title,
                    category=row.category.split(" / ")[-1],
                    department=row.department,
                    reason=row.reason,
                    state=labels.words(row.state) if row.ending != "sent_back" else "已退单",
                    state_tone=labels.label(row.state).tone if row.ending != "sent_back" else "warning",
                    sent=present.short(row.sent_at, now=now()),
                    sent_iso=present.iso(row.sent_at),
                    due=present.deadline(row.due_at, now=now())
                    if row.state in {State.DISPATCHED, State.SIGNED} and not row.ending
                    else present.deadline(None, now=now()),
                )
                for row in found.rows
            ],
            turn=turn(found, cursor=cursor),
        ),
    )


@bp.post("/dispatch/bulk")
@page(Permission.TICKET_DISPATCH)
def bulk() -> ResponseReturnValue:
    """Send the chosen tickets to one department, if they are exactly those that the person saw.

    The form carries how many were seen. When the server finds another number (some went meanwhile, a box was ticked
    that nobody saw) nothing is sent: the page shows what was found and asks again. So it does where no script has
    counted.
    """
    wanted = _chosen(request.form.getlist("ids"))
    reason, tasks = clean_line(forms.text("reason")), 0
    try:
        wish = _bulk_wish(reason)
        with db().begin() as writing:
            waiting = awaiting.waiting_tickets(writing, actor(), wanted)
            found = [ticket_id for ticket_id in sorted(wanted) if _as_seen(waiting.get(ticket_id), wanted[ticket_id])]
            helping = {ticket_id: wish.helping(ticket_id) for ticket_id in found}
            tasks = sum(map(len, helping.values()))
            same = bool(found) and wish.seen == len(found) == len(wanted) and wish.seen_tasks in {None, tasks}
            if same:
                parts.dispatch_all(
                    writing,
                    [parts.Wish(ticket_id=one, version=wanted[one], assist_ids=helping[one]) for one in found],
                    department_id=wish.department_id,
                    reason=reason or "批量派单",
                    by=actor(),
                    now=now(),
                )
    except Invalid as error:
        return _bulk_stopped(wanted, seen=len(wanted), reason=reason, errors=error.fields), 422
    except (StaleTicket, WrongState):
        same = False
    if not same:
        stopped = _bulk_stopped(
            wanted, seen=wish.seen, seen_tasks=wish.seen_tasks, tasks=tasks, reason=reason, errors={}
        )
        return stopped, 409 if wish.seen is not None else 200
    forms.told("success", f"已批量派单 {len(found)} 张{f'，协办任务 {tasks} 个' if tasks else ''}。")
    return redirect(url_for("dispatch.queue"), code=303)


@bp.get("/dispatch/<number>")
@page(Permission.TICKET_DISPATCH)
def show(number: str) -> ResponseReturnValue:
    """Show one ticket with everything that helps to decide where it goes."""
    return _ticket(number)


@bp.post("/dispatch/<number>/accept")
@page(Permission.TICKET_DISPATCH)
def accept(number: str) -> ResponseReturnValue:
    """Accept a suggestion on its row: one key. A row that somebody else was first with says so in its place."""
    try:
        department_id, version = forms.required("department_id"), forms.required("version")
        with db().begin() as writing:
            ticket = routing_queries.ticket_for(writing, actor(), number)
            offer = _offer(writing, ticket, department_id)
            category = ticket_queries.category_by_code(writing, offer.category) if offer and offer.category else None
            corrects = category is not None and ticket.category_id is None
            if category is not None and corrects:
                tickets.amend(
                    writing,
                    ticket_id=ticket.id,
                    version=version,
                    changes={"category_id": category.id},
                    reason="采纳模型建议",
                    by=actor(),
                    now=now(),
                )
                writing.flush()  # the dispatch below starts from the corrected ticket, still under our lock
            sent = parts.dispatch_shared(
                writing,
                ticket_id=ticket.id,
                version=ticket.version if corrects else version,
                department_id=department_id,
                assist_ids=_helping(department_id),
                reason=f"采纳派单建议：{offer.because[0]}" if offer else "采纳派单建议",
                by=actor(),
                now=now(),
            )
            due = sent.due_at
            helping = duty_queries.department_names(writing, _helping(department_id))
    except (StaleTicket, WrongState, Invalid) as error:
        if not _wants_part():
            raise
        return _row_again(number, error)
    words = f"已派往 {_department_name(department_id)}"
    words += f"，协办 {'、'.join(helping.values())}" if helping else ""
    words += f"，办理时限 {present.short(due, now=now())}"
    if not _wants_part():
        forms.told("success", f"{number} {words}。")
        return redirect(url_for("dispatch.queue"), code=303)
    return render_template(
        "dispatch/row.html",
        row=None,
        done=DoneRow(number=number, href=url_for("tickets.show", number=number), words=words, ok=True),
    )


@bp.post("/dispatch/<number>")
@page(Permission.TICKET_DISPATCH)
def send(number: str) -> ResponseReturnValue:
    """Correct category, region, type and urgency where they are wrong, and dispatch, in one transaction."""
    typed = _typed()
    try:
        version = forms.required("version")
        changes = _changes(typed)
        with db().begin() as writing:
            ticket = routing_queries.ticket_for(writing, actor(), number)
            if changes:
                tickets.amend(
                    writing,
                    ticket_id=ticket.id,
                    version=version,
                    changes=changes,
                    reason="派单时更正",
                    by=actor(),
                    now=now(),
                )
                writing.flush()  # the dispatch below starts from the corrected ticket, still under our lock
            parts.dispatch_shared(
                writing,
                ticket_id=ticket.id,
                version=ticket.version if changes else version,
                department_id=int(typed.department_id),
                assist_ids=_helping(int(typed.department_id)),
                reason=clean_line(typed.reason) or "按职责派单",
                by=actor(),
                now=now(),
            )
    except Invalid as error:
        return _ticket(number, typed=typed, errors=error.fields, refused="dispatch"), 422
    except StaleTicket:
        raise  # the page of the conflict shows who changed what
    except Conflict as error:
        return _ticket(number, typed=typed, errors={"form": [error.message]}, refused="dispatch"), 409
    forms.told("success", f"{number} 已派往 {_department_name(int(typed.department_id))}。")
    return redirect(url_for("dispatch.queue"), code=303)


@bp.post("/dispatch/<number>/answer")
@page(Permission.TICKET_ANSWER_DIRECTLY)
def answer(number: str) -> ResponseReturnValue:
    """Answer directly and close."""

    def act(writing: Any, ticket_id: int, version: int, typed: Typed) -> None:  # noqa: ANN401 - the house's session; pages know no SQL
        tickets.close_directly(
            writing, ticket_id=ticket_id, version=version, answer=clean(typed.answer), by=actor(), now=now()
        )

    return _close(number, "answer", act, "已直接答复并办结")


@bp.post("/dispatch/<number>/refuse")
@page(Permission.TICKET_REFUSE)
def refuse(number: str) -> ResponseReturnValue:
    """Refuse with a reason of the list."""

    def act(writing: Any, ticket_id: int, version: int, typed: Typed) -> None:  # noqa: ANN401 - as above
        chosen = REFUSALS.get(typed.refusal_reason)
        if chosen is None:
            raise Invalid({"refusal_reason": "请选择不予受理的理由。"})
        tickets.refuse(
            writing,
            ticket_id=ticket_id,
            version=version,
            reason=chosen.code,
            words=clean(typed.words) or chosen.told,
            by=actor(),
            now=now(),
        )

    return _close(number, "refuse", act, "已作不予受理处理")


@bp.post("/dispatch/<number>/transfer")
@page(Permission.TICKET_TRANSFER)
def transfer(number: str) -> ResponseReturnValue:
    """Record that the matter went to another line."""

    def act(writing: Any, ticket_id: int, version: int, typed: Typed) -> None:  # noqa: ANN401 - as above
        other = clean_line(typed.transfer_other)
        if typed.to not in dict(TRANSFERS):
            raise Invalid({"to": "请选择转往的单位。"})
        if typed.to == "other" and not other:
            raise Invalid({"transfer_other": "请写明转往的热线或单位。"})
        tickets.transfer(
            writing,
            ticket_id=ticket_id,
            version=version,
            to=other if typed.to == "other" else typed.to,
            other_number=clean_line(typed.other_number)[:60],
            words=clean(typed.words),
            by=actor(),
            now=now(),
        )

    return _close(number, "transfer", act, "已记录转接")


@bp.post("/dispatch/<number>/note")
@page(Permission.TICKET_DISPATCH)
def note(number: str) -> ResponseReturnValue:
    """Add a line to the timeline; the ticket stays where it is."""
    typed = _typed()
    try:
        with db().begin() as writing:
            ticket = routing_queries.ticket_for(writing, actor(), number)
            tickets.note(writing, ticket_id=ticket.id, words=clean(typed.note), by=actor(), now=now())
    except Invalid as error:
        return _ticket(number, typed=typed, errors=error.fields, refused="note"), 422
    forms.told("success", "备注已添加。")
    return redirect(url_for("dispatch.show", number=number), code=303)


@bp.post("/dispatch/<number>/ask")
@page(Permission.TICKET_DISPATCH)
def ask(number: str) -> ResponseReturnValue:
    """Ask the citizen to add what is missing; the ticket stays where it is, and so does its clock."""
    typed = _typed()
    try:
        with db().begin() as writing:
            ticket = routing_queries.ticket_for(writing, actor(), number)
            sent = telling.ask_for_more(writing, ticket_id=ticket.id, words=clean(typed.ask), by=actor(), now=now())
    except Invalid as error:
        return _ticket(number, typed=typed, errors=error.fields, refused="ask"), 422
    if sent:
        forms.told("success", "已短信请诉求人补充，补充后工单会标注催办。")
    else:
        forms.told("warning", "诉求人没有留手机号，收不到短信：请电话询问，并把结果记入备注。")
    return redirect(url_for("dispatch.show", number=number), code=303)


def _close(number: str, name: str, act: Any, words: str) -> ResponseReturnValue:  # noqa: ANN401 - one of the four functions above
    typed = _typed()
    try:
        version = forms.required("version")
        with db().begin() as writing:
            ticket = routing_queries.ticket_for(writing, actor(), number)
            act(writing, ticket.id, version, typed)
    except Invalid as error:
        return _ticket(number, typed=typed, errors=error.fields, refused=name), 422
    forms.told("success", f"{number} {words}。")
    return redirect(url_for("dispatch.queue"), code=303)


def _offer(writing: Any, ticket: Any, department_id: int) -> hints.DepartmentHint | None:  # noqa: ANN401 - the house's session and ticket; pages know no SQL
    """Return what was offered of this department for a ticket that waits, with everything that spoke for it."""
    waiting = awaiting.waiting_tickets(writing, actor(), [ticket.id]).get(ticket.id)
    offers = _known(writing, [waiting]).offers(waiting) if waiting else []
    return next((one for one in offers if one.department_id == department_id), None)


def _helping(lead_id: int) -> list[int]:
    """Return the co-handlers that were ticked or chosen; one that is chosen to lead is not asked to help itself."""
    return sorted({*forms.ids("assist"), *forms.ids("assist_1"), *forms.ids("assist_2")} - {lead_id})


def _wants_part() -> bool:
    return request.headers.get("HX-Request") == "true"


def _typed() -> Typed:
    return Typed(**{name: forms.text(name) for name in Typed.__dataclass_fields__})


def _changes(typed: Typed) -> dict[str, Any]:
    """Return what the form wants the ticket to be; `Invalid` with every problem of the form at once."""
    problems: dict[str, str] = {}
    if not typed.department_id:
        problems["department_id"] = "请选择承办单位。"
    found: dict[str, Any] = {}
    for name in ("department_id", "category_id", "region_id"):
        try:
            found[name] = forms.whole(name)
        except Invalid:
            problems[name] = "所选项不存在，请重新选择。"
    for name, members in (("request_type", RequestType), ("urgency", Urgency)):
        try:
            found[name] = forms.member(members, name)
        except Invalid:
            problems[name] = "所选项不在可选范围内，请重新选择。"
    if len(typed.reason) > _MOST_REASON:
        problems["reason"] = f"派单说明最多 {_MOST_REASON} 字，现有 {len(typed.reason)} 字。"
    if problems:
        raise Invalid(problems)
    found.pop("department_id")
    # What the form leaves open is left as it is: a field that was emptied says "not known", never "take it away".
    return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class _BulkWish:
    """What the form of a bulk act wants."""

    department_id: int
    #: How many tickets, and how many tasks of co-handlers, the person saw; without scripts nobody counted.
    seen: int | None
    seen_tasks: int | None
    #: Co-handlers by ticket, as ticked on its row, and those that every ticket is to have.
    by_row: Mapping[int, frozenset[int]]
    for_all: frozenset[int]

    def helping(self, ticket_id: int) -> list[int]:
        """Return who is to help with a ticket; one that is chosen to lead is not asked to help itself."""
        return sorted((self.by_row.get(ticket_id, frozenset()) | self.for_all) - {self.department_id})


def _bulk_wish(reason: str) -> _BulkWish:
    """Return what the form wants; `Invalid` by field."""
    department_id = forms.whole("department_id")
    if department_id is None:
        raise Invalid({"department_id": "请选择承办单位。"})
    if len(reason) > _MOST_REASON:
        raise Invalid({"reason": f"派单说明最多 {_MOST_REASON} 字。"})
    return _BulkWish(
        department_id=department_id,
        seen=forms.whole("seen"),
        seen_tasks=forms.whole("seen_tasks"),
        by_row=_helps(),
        for_all=frozenset(forms.ids("assist")),
    )


def _helps() -> dict[int, frozenset[int]]:
    """Return ticket id -> co-handlers, of the boxes that were ticked on the rows."""
    ticked: dict[int, set[int]] = {}
    for one in request.form.getlist("helps")[: MOST_BULK * proposals.MOST_HELPERS]:
        match = _HELPS.fullmatch(one)
        if match:
            ticked.setdefault(int(match[1]), set()).add(int(match[2]))
    return {ticket_id: frozenset(found) for ticket_id, found in ticked.items()}


def _chosen(raw: Sequence[str]) -> dict[int, int]:
    """Return ticket id -> version as seen, of the boxes that were ticked."""
    chosen = {}
    for one in raw[:MOST_BULK]:
        match = _CHOSEN.fullmatch(one)
        if match:
            chosen[int(match[1])] = int(match[2])
    return chosen


def _as_seen(ticket: WaitingTicket | None, version: int) -> bool:
    return ticket is not None and ticket.version == version


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What is known about all rows of a page, read in as many questions as for one row."""

    departments: Sequence[DepartmentNode]
    named: Mapping[str, Named]
    proposed: Mapping[int, Proposal]
    rulings: Mapping[int, Sequence[PrecedentView]]

    def offers(self, row: WaitingTicket) -> list[hints.DepartmentHint]:
        """Return the departments to offer for a row, each with everything that speaks for it."""
        said = _said(row)
        return proposals.merged(
            self.proposed.get(row.id),
            hints.departments(
                said,
                known={node.code: node for node in self.departments},
                leads={code: one.lead for code, one in self.named.items()},
                region_code=row.region_code,
            ),
            rulings=self.rulings.get(row.id, ()),
            guessed="" if row.category_id else proposals.first_category(said),
        )

    def helpers(self, row: WaitingTicket, offers: Sequence[hints.DepartmentHint]) -> list[proposals.HelperHint]:
        """Return the co-handlers to offer for a row."""
        rulings = self.rulings.get(row.id, ())
        return proposals.co_handlers(
            self.proposed.get(row.id), _said(row), offers, rulings=rulings, known=self.departments
        )


def _known(reading: Any, rows: Sequence[WaitingTicket]) -> _Known:  # noqa: ANN401 - the house's session; pages know no SQL
    named, ruled = precedents.matters_ruled(
        reading,
        codes=[str(one["code"]) for row in rows for one in _said(row).get("category", ())],
        category_ids=[row.category_id for row in rows if row.category_id],
        regions=[row.region for row in rows],
    )
    ids = {code: one.id for code, one in named.items()}
    matters = {row.id: proposals.matter(_asked(row), ids) for row in rows}
    return _Known(
        departments=routing_queries.departments(reading, with_parts_only=False),
        named=named,
        proposed=catalogue.proposals_for(reading, {key: one for key, one in matters.items() if one}, now=now()),
        rulings={
            row.id: precedents.fitting(
                ruled,
                precedents.Asked(
                    ticket_id=row.id,
                    category_id=row.category_id or ids.get(proposals.first_category(_said(row))),
                    region=row.region,
                    request_type=row.request_type,
                    text=(row.title, row.content),
                ),
            )
            for row in rows
        },
    )


def _said(row: WaitingTicket) -> Mapping[str, Any]:
    return row.suggestion.body if row.suggestion else {}


def _asked(row: WaitingTicket) -> proposals.Asked:
    return proposals.Asked(
        category_id=row.category_id,
        region_id=row.region_id,
        request_type=row.request_type.value,
        said=_said(row),
        service_item=row.service_item,
    )


def _row(row: WaitingTicket, known: _Known, *, chosen: Collection[int] | None = None) -> QueueRow:
    """Return a line of the queue; `chosen` are the co-handlers that somebody has ticked on it."""
    offers = known.offers(row)
    helpers = known.helpers(row, offers)
    if chosen is not None:
        helpers = [replace(one, chosen=one.department_id in chosen) for one in helpers]
    label = labels.label(row.urgency)
    return QueueRow(
        id=f"{row.id}:{row.version}",
        number=row.number,
        version=row.version,
        href=url_for("dispatch.show", number=row.number),
        accept_href=url_for("dispatch.accept", number=row.number),
        title=row.title,
        excerpt=_excerpt(row),
        place=row.place,
        category=row.category or "未分类",
        region=row.region,
        request_type=labels.words(row.request_type),
        urgency=label.words,
        urgency_tone=label.tone,
        tone="danger" if row.urgency is Urgency.VERY_URGENT else None,
        tags=_tags(row),
        reason=_why(row),
        offers=offers,
        helpers=helpers,
        rulings=dispatch_parts.rulings_of(known.rulings.get(row.id, ())),
        age=f"{present.span_words((now() - row.registered_at).total_seconds())}前",
        iso=present.iso(row.registered_at),
    )


def _excerpt(row: WaitingTicket) -> str:
    """Return so much of the content that most tickets can be judged without being opened."""
    words = " ".join(row.content.split())
    if words == row.title:
        return ""
    return words if len(words) <= EXCERPT else f"{words[:EXCERPT]}…"


def _tags(row: WaitingTicket) -> list[tuple[str, str]]:
    said = _said(row)
    tags = [(risk.name, "danger") for risk in hints.risks(said)]
    if row.kind is Kind.BAD_REVIEW:
        tags.append((labels.words(row.kind), "danger"))
    if row.returned:
        tags.append((f"退单 {row.returned} 次", "warning"))
    if row.repeats:
        tags.append((f"催办 {row.repeats} 次", "warning"))
    if row.confidential:
        tags.append(("保密", "neutral"))
    if row.region_id is None and said.get("regions"):
        tags.append(("区域待核实", "warning"))
    return tags


def _why(row: WaitingTicket) -> str:
    """Return in words why a person must decide."""
    if row.returned:
        return f"{row.returned_by}退回，须重新确定承办单位。"
    if row.kind is Kind.BAD_REVIEW:
        return "差评工单，由人工派单。"
    if row.suggestion is None:
        return "模型尚未给出建议，可稍候刷新或直接派单。"
    return row.suggestion.reason or "自动派单未成，须人工派单。"


def _row_again(number: str, error: Conflict | WrongState | Invalid) -> ResponseReturnValue:
    """Show the row as it is now, with what went wrong in its place; 409, or 422 for a department that is gone."""
    words = str(error)
    if isinstance(error, Invalid):
        words = "；".join(text for texts in error.fields.values() for text in texts)
    with db().read() as reading:
        ticket = routing_queries.ticket_for(reading, actor(), number)
        waiting = awaiting.waiting_tickets(reading, actor(), [ticket.id]).get(ticket.id)
        known = _known(reading, [waiting] if waiting else [])
        holder = awaiting.went_to(reading, [ticket.id]).get(ticket.id, "")
    if waiting is None:
        done = _gone(number, ticket, error, holder)
        return render_template("dispatch/row.html", row=None, done=done), 409
    if isinstance(error, StaleTicket):
        words = f"{_by(error)}刚刚修改了这张工单，请看过后再派。"
    row = replace(_row(waiting, known, chosen=forms.ids("assist")), note=words)
    return render_template("dispatch/row.html", row=row, done=None), 422 if isinstance(error, Invalid) else 409


def _gone(number: str, ticket: Any, error: Exception | None, holder: str) -> DoneRow:  # noqa: ANN401 - a ticket of the core
    state = labels.words(ticket.outcome or ticket.state)
    by = _by(error) if isinstance(error, StaleTicket) else ""
    where = f"派往 {holder}" if holder and ticket.outcome is None else f"处理（{state}）"
    return DoneRow(
        number=number,
        href=url_for("tickets.show", number=number),
        words=f"已由{by or '他人'}{where}，您的操作没有执行。",
        ok=False,
    )


def _by(error: StaleTicket) -> str:
    at = f" {present.short(error.at, now=now())} " if error.at else ""
    return f" {error.by or '系统'}{at}"


def _department_name(department_id: int) -> str:
    with db().read() as reading:
        return next((node.name for node in routing_queries.departments(reading) if node.id == department_id), "")


def _bulk_stopped(
    wanted: Mapping[int, int],
    *,
    seen: int | None,
    seen_tasks: int | None = None,
    tasks: int = 0,
    reason: str,
    errors: Mapping[str, Sequence[str]],
) -> str:
    with db().read() as reading:
        waiting = awaiting.waiting_tickets(reading, actor(), wanted)
        known = _known(reading, list(waiting.values()))
        missing = [ticket_id for ticket_id in wanted if ticket_id not in waiting]
        gone = lists.tickets_by_id(reading, actor(), missing)
        holders = awaiting.went_to(reading, missing)
    chosen = next((node for node in known.departments if str(node.id) == forms.text("department_id").strip()), None)
    helps = _helps()
    rows = [_row(row, known, chosen=helps.get(row.id, frozenset())) for row in waiting.values()]
    return render_template(
        "dispatch/bulk.html",
        page=BulkPage(
            seen=seen,
            seen_tasks=seen_tasks,
            tasks=tasks,
            assist=forms.ids("assist"),
            found=rows,
            gone=[_gone(ticket.number, ticket, None, holders.get(ticket.id, "")) for ticket in gone],
            department_id=chosen.id if chosen else None,
            department=chosen.name if chosen else "",
            departments=[(node.id, node.name) for node in known.departments],
            reason=reason,
            errors=errors,
        ),
    )


def _ticket(
    number: str, *, typed: Typed | None = None, errors: Mapping[str, Sequence[str]] | None = None, refused: str = ""
) -> str:
    with db().read() as reading:
        ticket = routing_queries.ticket_for(reading, actor(), number)
        waiting = awaiting.waiting_tickets(reading, actor(), [ticket.id]).get(ticket.id)
        suggestion = routing_queries.suggestion_of(reading, ticket.id)
        departments = routing_queries.departments(reading, with_parts_only=False)
        categories = ticket_queries.categories(reading)
        regions = ticket_queries.regions(reading)
        returns = duty_queries.returns_of_ticket(reading, ticket.id)
        near = ticket_queries.similar(
            reading, f"{ticket.title}\n{ticket.content}", since=now() - _PRECEDENTS_WITHIN, limit=12
        )
        texts = ticket_queries.texts_of(reading, [one.id for one in near])
        holders = awaiting.went_to(reading, [one.id for one in near])
        told_again = duplicates.of_ticket(reading, ticket) if ticket.state is State.REGISTERED else []
        main = relations_queries.main_of(reading, ticket.id)
        said: Mapping[str, Any] = suggestion.body if suggestion else {}
        asked = proposals.Asked(
            category_id=ticket.category_id,
            region_id=ticket.region_id,
            request_type=ticket.request_type.value,
            said=said,
            service_item=ticket.service_item or "",
        )
        ids = {node.code: node.id for node in categories}
        matter = proposals.matter(asked, ids)
        ruled = precedents.precedents_for(
            reading, ticket, category_id=ids.get(proposals.first_category(said)), near=[one.id for one in near]
        )
        proposed = catalogue.proposals_for(reading, {0: matter} if matter else {}, now=now()).get(0)
        located = territory.Located()
        if ticket.region_id is None and ticket.state is State.REGISTERED:
            located = territory.locate(reading, ticket.place, ticket.title, ticket.content, now=now())
    similar = dispatch_parts.precedents_of(ticket, near, texts, holders)
    region = next((one for one in regions if one.id == ticket.region_id), None)
    category = next((one for one in categories if one.id == ticket.category_id), None)
    urgency = labels.label(ticket.urgency)
    state = labels.label(ticket.outcome or ticket.state)
    by_code = {node.code: node for node in categories}
    # The other forms of the page do not carry these: after a refusal of theirs the ticket's own stand there.
    own = {
        "category_id": str(ticket.category_id or ""),
        "region_id": str(ticket.region_id or ""),
        "request_type": ticket.request_type.value,
        "urgency": ticket.urgency.value,
    }
    values = typed if typed and refused == "dispatch" else replace(typed or Typed(), **own)
    offers = proposals.merged(
        proposed,
        hints.departments(
            said,
            known={node.code: node for node in departments},
            leads=hints.leads_in(categories),
            region_code=region.code if region else "",
        ),
        dispatch_parts.holding(similar, departments),
        rulings=ruled,
        guessed="" if ticket.category_id else proposals.first_category(said),
    )
    helpers = proposals.co_handlers(proposed, said, offers, rulings=ruled, known=departments)
    if refused == "dispatch":
        helpers = [replace(one, chosen=one.department_id in forms.ids("assist")) for one in helpers]
    return render_template(
        "dispatch/show.html",
        page=TicketPage(
            number=ticket.number,
            version=ticket.version,
            href=url_for("tickets.show", number=ticket.number),
            waits=ticket.state is State.REGISTERED and main is None,
            main_number=main.number if main else "",
            state=state.words,
            state_tone=state.tone,
            title=ticket.title,
            title_pieces=hints.marked(ticket.title, said, field="title"),
            pieces=hints.marked(ticket.content, said, field="body"),
            facts=[
                ("诉求类型", labels.words(ticket.request_type)),
                ("事件类别", category.path if category else "未分类"),
                ("所属区域", region.path if region else ""),
                ("事发地点", ticket.place),
                ("涉及单位", ticket.company),
                ("发生时间", present.moment(ticket.happened_at)),
                ("来源渠道", labels.words(ticket.channel)),
                ("受理时间", present.moment(ticket.registered_at)),
                ("来电人", " ".join(part for part in (ticket.name_masked, ticket.phone_masked) if part) or "匿名"),
            ],
            tags=_tags(waiting) if waiting else [],
            urgency=urgency.words,
            urgency_tone=urgency.tone,
            why=_why(waiting) if waiting else "",
            offers=offers,
            regions_said=[(one.region_id, one.path, f"文中提到“{one.words}”") for one in located.candidates],
            region_doubt=located.reason,
            categories_said=[
                (by_code[one["code"]].id, by_code[one["code"]].path, hints.chance(one["p"]))
                for one in hints.likely(said.get("category", ()))
                if one["code"] in by_code
            ],
            helpers=helpers,
            precedents=similar,
            alike=hints.alike_rows(told_again, now=now()),
            returns=dispatch_parts.returns_of(returns),
            rulings=dispatch_parts.rulings_of(ruled),
            categories=[(node.id, node.path) for node in categories if node.is_leaf or node.id == ticket.category_id],
            regions=[(node.id, node.path) for node in regions],
            departments=[(node.id, node.name) for node in departments],
            request_types=labels.options(RequestType),
            urgencies=labels.options(Urgency),
            refusals=list(REFUSALS.values()),
            transfers=TRANSFERS,
            acts=frozenset(act.value for act in acts_from(ticket.state, ticket.kind)),
            review=ticket.kind is Kind.BAD_REVIEW,
            values=values,
            errors=errors or {},
            labels=LABELS,
            refused=refused,
        ),
    )
