"""Returns that wait for a ruling (退单审核), at the dispatch desk: what the unit says, and a key for each ruling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from flask import Blueprint, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from hotline.core.errors import Conflict, Invalid
from hotline.core.permissions import Permission
from hotline.core.text import clean_line
from hotline.tickets import queries as ticket_queries
from hotline.tickets.vocabulary import Urgency
from hotline.web import forms, labels, present
from hotline.web.desks import hints
from hotline.web.gate import actor, db, now, page
from hotline.web.labels import Label
from hotline.web.present import DeadlineView
from hotline.web.turning import Turn, turn
from routing import queries as routing_queries
from routing.duty import queries as duty_queries
from routing.duty import returning
from routing.duty.queries import ReturnView
from routing.duty.rules import ReturnState

bp = Blueprint("returns", __name__)

ROWS: Final = 20
#: What a reviewer mostly says when he refuses; he may change every word of it.
REFUSALS: Final = (
    "所附依据不足以证明该事项不属于贵单位职责，请按原时限继续办理。",
    "按派单目录和权责清单，该事项由贵单位承办，请按原时限继续办理。",
    "涉及其他单位的，由贵单位牵头协调，请按原时限继续办理。",
    "要素可通过联系诉求人补充，请与诉求人核实后按原时限办理。",
)
LABELS: Final[Mapping[str, str]] = {"department_id": "改派单位", "words": "审核意见", "refusal": "驳回理由"}


@dataclass(frozen=True, kw_only=True)
class QueueRow:
    """One line of the returns that wait."""

    id: int
    number: str
    href: str
    uphold_href: str
    title: str
    place: str
    category: str
    urgency: Label | None
    department: str
    reason: str
    words: str
    basis: str
    suggested_id: int | None
    suggested: str
    asked: str
    asked_iso: str
    rule_due: DeadlineView
    due: DeadlineView
    returned: int
    mine: bool
    tone: str | None


@dataclass(frozen=True, kw_only=True)
class QueuePage:
    """The returns that wait for a ruling."""

    rows: Sequence[QueueRow]
    turn: Turn


@dataclass(frozen=True, kw_only=True)
class Before:
    """One return of the same ticket before this one."""

    department: str
    at: str
    state: Label
    reason: str
    words: str
    basis: str
    ruling: str


@dataclass(frozen=True, kw_only=True)
class ReturnPage:
    """One return with everything that helps to rule on it."""

    id: int
    number: str
    ticket_href: str
    title: str
    content: str
    place: str
    category: str
    urgency: Label | None
    state: Label
    waits: bool
    department: str
    asked: str
    asked_by: str
    reason: str
    words: str
    basis: str
    suggested: str
    ruling: str
    ruled: str
    sent_to: str
    rule_due: DeadlineView
    rule_steps: Sequence[str]
    due: DeadlineView
    total: DeadlineView | None
    signed: bool
    returned: int
    before: Sequence[Before]
    offers: Sequence[hints.DepartmentHint]
    departments: Sequence[tuple[str, str]]
    refusals: Sequence[str]
    outside: bool
    values: Mapping[str, str]
    errors: Mapping[str, Sequence[str]]
    labels: Mapping[str, str]
    refused: str = ""
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class _Typed:
    values: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    refused: str = ""
    problem: str = ""


@bp.get("/dispatch/returns")
@page(Permission.RETURN_RULE)
def queue() -> ResponseReturnValue:
    """Show the returns that wait, the next limit first."""
    cursor = forms.asked("cursor")
    with db().read() as reading:
        found = duty_queries.returns_waiting(reading, actor(), cursor=cursor, limit=ROWS)

    return render_template(
        "returns/queue.html",
        page=QueuePage(
            rows=[_row(row) for row in found.rows],
            turn=turn(found, cursor=cursor),
        ),
    )


@bp.get("/dispatch/returns/<int:return_id>")
@page(Permission.RETURN_RULE)
def show(return_id: int) -> ResponseReturnValue:
    """Show one return."""
    return _page(return_id, _Typed())


@bp.post("/dispatch/returns/<int:return_id>/uphold")
@page(Permission.RETURN_RULE)
def uphold(return_id: int) -> ResponseReturnValue:
    """Uphold: the ticket goes to the chosen unit, or back into the queue when none is chosen."""
    values = {"department_id": forms.text("department_id"), "words": clean_line(forms.text("words"))}
    try:
        with db().begin() as writing:
            found = duty_queries.return_for(writing, actor(), return_id)
            sent = returning.uphold(
                writing,
                return_id=return_id,
                department_id=forms.whole("department_id"),
                words=values["words"],
                by=actor(),
                now=now(),
            )
            due = present.short(sent.due_at, now=now()) if sent else ""
            where = routing_queries.department(writing, sent.department_id).name if sent else ""
    except Invalid as error:
        return _page(return_id, _Typed(values=values, errors=error.fields, refused="uphold")), 422
    except Conflict as error:
        return _page(return_id, _Typed(values=values, problem=error.message)), 409
    went = f"已改派 {where}，办理时限 {due}" if where else "已回到待派工单"
    forms.told("success", f"{found.number} 的退单已同意，{went}。")
    return redirect(url_for("returns.queue"), code=303)


@bp.post("/dispatch/returns/<int:return_id>/refuse")
@page(Permission.RETURN_RULE)
def refuse(return_id: int) -> ResponseReturnValue:
    """Refuse with the reason: the unit keeps the ticket and its clock."""
    values = {"refusal": forms.text("refusal")}
    try:
        with db().begin() as writing:
            found = duty_queries.return_for(writing, actor(), return_id)
            returning.refuse(writing, return_id=return_id, words=values["refusal"], by=actor(), now=now())
    except Invalid as error:
        errors = {"refusal": [text for texts in error.fields.values() for text in texts]}
        return _page(return_id, _Typed(values=values, errors=errors, refused="refuse")), 422
    except Conflict as error:
        return _page(return_id, _Typed(values=values, problem=error.message)), 409
    forms.told("success", f"{found.number} 的退单已驳回，{found.department}按原时限继续办理。")
    return redirect(url_for("returns.queue"), code=303)


def _row(row: ReturnView) -> QueueRow:
    due = present.deadline(row.due_at, now=now())
    rule_due = present.deadline(row.decide_due_at, now=now())
    return QueueRow(
        id=row.id,
        number=row.number,
        href=url_for("returns.show", return_id=row.id),
        uphold_href=url_for("returns.uphold", return_id=row.id),
        title=row.title,
        place=row.place,
        category=row.category.rsplit(" / ", maxsplit=1)[-1] or "未分类",
        urgency=_urgency(row.urgency),
        department=row.department,
        reason=labels.words(row.reason),
        words=row.words,
        basis=row.basis,
        suggested_id=row.suggested_id if row.suggested_active else None,
        suggested=row.suggested,
        asked=f"{present.span_words((now() - row.asked_at).total_seconds())}前",
        asked_iso=present.iso(row.asked_at),
        rule_due=rule_due,
        due=due,
        returned=row.returned,
        mine=row.department_id in actor().department_ids,
        tone="danger" if "overdue" in {due.state, rule_due.state} else None,
    )


def _urgency(urgency: Urgency) -> Label | None:
    return None if urgency is Urgency.ORDINARY else labels.label(urgency)


def _page(return_id: int, typed: _Typed) -> str:
    with db().read() as reading:
        found = duty_queries.return_for(reading, actor(), return_id)
        ticket = routing_queries.ticket_for(reading, actor(), found.number)
        every = duty_queries.returns_of_ticket(reading, ticket.id)
        suggestion = routing_queries.suggestion_of(reading, ticket.id)
        departments = routing_queries.departments(reading, with_parts_only=False)
        categories = ticket_queries.categories(reading)
        regions = ticket_queries.regions(reading)
        who = actor().user_id
        inside = who is not None and duty_queries.belongs_to(reading, user_id=who, department_id=found.department_id)
    waits = found.state is ReturnState.OPEN
    region = next((one for one in regions if one.id == ticket.region_id), None)
    offers = hints.departments(
        suggestion.body if suggestion else {},
        known={node.code: node for node in departments},
        leads=hints.leads_in(categories),
        region_code=region.code if region else "",
    )
    blank = {
        "department_id": str(found.suggested_id) if found.suggested_id and found.suggested_active else "",
        "words": "",
        "refusal": "",
    }
    return render_template(
        "returns/show.html",
        page=ReturnPage(
            id=found.id,
            number=found.number,
            ticket_href=url_for("tickets.show", number=found.number),
            title=ticket.title,
            content=ticket.content,
            place=ticket.place,
            category=found.category or "未分类",
            urgency=_urgency(found.urgency),
            state=labels.label(found.state),
            waits=waits,
            department=found.department,
            asked=present.moment(found.asked_at),
            asked_by=found.asked_by,
            reason=labels.words(found.reason),
            words=found.words,
            basis=found.basis,
            suggested=found.suggested,
            ruling=found.decision,
            ruled=" ".join(part for part in (present.moment(found.decided_at), found.decided_by) if part),
            sent_to=found.sent_to,
            rule_due=present.deadline(found.decide_due_at, now=now(), done_at=found.decided_at),
            rule_steps=found.decide_steps,
            due=present.deadline(found.due_at if waits else None, now=now()),
            total=present.deadline(found.total_due_at, now=now()) if waits and found.total_due_at else None,
            signed=found.signed_at is not None,
            returned=found.returned,
            before=[
                Before(
                    department=one.department,
                    at=present.moment(one.asked_at),
                    state=labels.label(one.state),
                    reason=labels.words(one.reason),
                    words=one.words,
                    basis=one.basis,
                    ruling=one.decision,
                )
                for one in every
                if one.id < found.id
            ],
            offers=[one for one in offers if one.department_id not in {found.department_id, None}],
            departments=[(str(node.id), node.name) for node in departments if node.id != found.department_id],
            refusals=REFUSALS,
            outside=not inside,
            values={**blank, **typed.values},
            errors=typed.errors,
            labels=LABELS,
            refused=typed.refused,
            problem=typed.problem,
        ),
    )
