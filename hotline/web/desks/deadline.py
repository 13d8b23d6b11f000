"""Deadlines on the screen: why each is when it is, asking for a pause or more time, and the hotline's decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from hotline.core.clock import local
from hotline.core.errors import Denied, Invalid, NotFound, WrongState
from hotline.core.permissions import Permission
from hotline.tickets import files
from hotline.tickets import queries as ticket_queries
from hotline.tickets.models import Ticket
from hotline.tickets.states import State
from hotline.web import forms, labels, present
from hotline.web.desks.clocks import ClockView, clocks_of
from hotline.web.desks.waiting import Verdict, decide_form, queue_page
from hotline.web.gate import actor, db, now, page, tools
from hotline.web.labels import Label
from hotline.web.present import DeadlineView
from hotline.web.tickets import uploaded
from routing import queries as routing_queries
from routing.clocks import adjusting
from routing.clocks.adjusting import AdjustmentView
from routing.clocks.models import AdjustmentKind, AdjustmentState
from routing.clocks.profiles import SLA_CLASSES
from routing.queries import DispatchView

bp = Blueprint("deadline", __name__)
_PAGE: Final = 30
_BLANK: Final = ("cause", "until", "suspension_reason", "evidence_id", "workdays", "basis", "extension_reason", "words")


@dataclass(frozen=True, kw_only=True)
class ChangeView:
    """One adjustment as pages show it."""

    id: int
    number: str
    title: str
    href: str
    ticket_href: str
    department: str
    kind: Label
    state: Label
    what: str
    cause: str
    reason: str
    basis: str
    evidence: str
    evidence_href: str | None
    asked: str
    asked_by: str
    decided: str
    decided_by: str
    decided_words: str
    due: DeadlineView
    open: bool
    standing: bool
    higher_level: bool


@dataclass(frozen=True, kw_only=True)
class DeadlinesPage:
    """Every deadline of a ticket, explained."""

    number: str
    title: str
    version: int
    department: str
    clocks: tuple[ClockView, ...]
    changes: tuple[ChangeView, ...]
    classes: tuple[tuple[str, str], ...]
    may_classify: bool
    values: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class AskPage:
    """What a department may ask for, and what it has asked for."""

    number: str
    title: str
    version: int
    due: DeadlineView
    causes: tuple[tuple[str, str], ...]
    evidence: tuple[tuple[str, str], ...]
    no_suspension: str
    no_extension: str
    most_workdays: int
    needs_higher_level: bool
    changes: tuple[ChangeView, ...]
    today: str
    form: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DecidePage:
    """One wish before it is decided."""

    change: ChangeView
    now_due: str
    then_due: str
    steps: tuple[str, ...]
    content: str
    why_not: str
    values: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)


@bp.get("/tickets/<number>/deadlines")
@page(Permission.TICKET_VIEW)
def explained(number: str) -> ResponseReturnValue:
    """Explain every deadline of a ticket step by step, with what changed it."""
    return render_template("deadline/show.html", page=_deadlines(number))


@bp.post("/tickets/<number>/class")
@page(Permission.TICKET_DISPATCH)
def classify(number: str) -> ResponseReturnValue:
    """Give a ticket that is out another class of limits."""
    try:
        with db().begin() as session:
            ticket = routing_queries.ticket_for(session, actor(), number)
            adjusting.reclassify(
                session,
                ticket_id=ticket.id,
                version=forms.required("version"),
                sla_class=forms.text("sla_class"),
                reason=forms.text("reason"),
                by=actor(),
                now=now(),
            )
    except Invalid as error:
        shown = _deadlines(number, values=request.form.to_dict(), errors=error.fields)
        return render_template("deadline/show.html", page=shown), 422
    forms.told("success", "时限类别已调整，各项时限已重新计算。")
    return redirect(url_for("deadline.explained", number=number), code=303)


@bp.get("/department/<number>/time")
@page(Permission.TICKET_ANSWER)
def ask(number: str) -> ResponseReturnValue:
    """Show what may be asked for: a pause, more time."""
    return render_template("deadline/ask.html", page=_ask(number))


@bp.post("/department/<number>/suspension")
@page(Permission.TICKET_ANSWER)
def ask_suspension(number: str) -> ResponseReturnValue:
    """Ask that the clock stands; the evidence may come with the form."""
    names = {"reason": "suspension_reason", "files": "evidence", "evidence": "evidence"}
    try:
        until = _day(forms.text("until"))
        with db().begin() as session:
            ticket = routing_queries.ticket_for(session, actor(), number, lock=True)
            evidence_id = forms.whole("evidence_id")
            if given := uploaded("evidence"):
                rows = files.attach(
                    session, tools().store, ticket_id=ticket.id, uploads=given, public=False, by=actor(), now=now()
                )
                evidence_id = rows[0].id
            adjusting.ask_suspension(
                session,
                ticket_id=ticket.id,
                cause=forms.text("cause"),
                until=until,
                reason=forms.text("suspension_reason"),
                evidence_id=evidence_id,
                by=actor(),
                now=now(),
            )
    except Invalid as error:
        return _refused(number, "suspension", _renamed(error, names))
    forms.told("success", "挂起申请已提交，等待热线中心审批；批准后自申请之时起停止计时。")
    return redirect(url_for("deadline.ask", number=number), code=303)


@bp.post("/department/<number>/extension")
@page(Permission.TICKET_ANSWER)
def ask_extension(number: str) -> ResponseReturnValue:
    """Ask for more working days."""
    try:
        workdays = forms.whole("workdays")
        with db().begin() as session:
            ticket = routing_queries.ticket_for(session, actor(), number)
            adjusting.ask_extension(
                session,
                ticket_id=ticket.id,
                workdays=workdays,
                reason=forms.text("extension_reason"),
                basis=forms.text("basis"),
                by=actor(),
                now=now(),
            )
    except Invalid as error:
        return _refused(number, "extension", _renamed(error, {"reason": "extension_reason"}))
    forms.told("success", "延期申请已提交，等待热线中心审批；审批前原时限继续计算。")
    return redirect(url_for("deadline.ask", number=number), code=303)


@bp.post("/department/<number>/adjustments/<int:adjustment_id>/take-back")
@page(Permission.TICKET_ANSWER)
def take_back(number: str, adjustment_id: int) -> ResponseReturnValue:
    """Withdraw one's own wish."""
    with db().begin() as session:
        _of_ticket(session, number, adjustment_id)
        adjusting.take_back(session, adjustment_id=adjustment_id, by=actor(), now=now())
    forms.told("success", "申请已撤回。")
    return redirect(url_for("deadline.ask", number=number), code=303)


@bp.post("/tickets/<number>/adjustments/<int:adjustment_id>/resume")
@page(Permission.TICKET_ANSWER, Permission.DEADLINE_APPROVE)
def resume(number: str, adjustment_id: int) -> ResponseReturnValue:
    """Let the clock run again before the pause is over."""
    with db().begin() as session:
        _of_ticket(session, number, adjustment_id)
        adjusting.resume(session, adjustment_id=adjustment_id, words=forms.text("words"), by=actor(), now=now())
    forms.told("success", "已恢复计时，各项时限已重新计算。")
    return redirect(url_for("deadline.explained", number=number), code=303)


@bp.get("/time")
@page(Permission.DEADLINE_APPROVE)
def queue() -> ResponseReturnValue:
    """List the wishes that wait, or those that were decided."""
    shown = queue_page(
        waiting=adjusting.waiting,
        decided=adjusting.decided,
        counter="adjustments.waiting",
        words=("待审批", "已审批"),
        row=_change,
    )
    return render_template("deadline/queue.html", page=shown)


@bp.get("/time/<int:adjustment_id>")
@page(Permission.DEADLINE_APPROVE)
def decision(adjustment_id: int) -> ResponseReturnValue:
    """Show one wish with what it would change."""
    return render_template("deadline/decide.html", page=_decide(adjustment_id))


@bp.post("/time/<int:adjustment_id>/decide")
@page(Permission.DEADLINE_APPROVE)
def decide(adjustment_id: int) -> ResponseReturnValue:
    """Approve or refuse."""
    return decide_form(
        Verdict(yes="approve", no="refuse", ask="请选择批准或驳回。"),
        act=lambda session, approve: adjusting.decide(
            session, adjustment_id=adjustment_id, approve=approve, words=forms.text("words"), by=actor(), now=now()
        ),
        again=lambda values, errors: render_template(
            "deadline/decide.html", page=_decide(adjustment_id, values=values, errors=errors)
        ),
        told=("已批准，时限已重新计算并通知诉求人。", "已驳回，原时限继续计算。"),
    )


def _of_ticket(session: Any, number: str, adjustment_id: int) -> Ticket:  # noqa: ANN401 - a session; pages import no SQLAlchemy
    ticket = routing_queries.ticket_for(session, actor(), number)
    if adjusting.one(session, adjustment_id).row.ticket_id != ticket.id:
        raise NotFound
    return ticket


def _refused(number: str, form: str, errors: Mapping[str, Sequence[str]]) -> ResponseReturnValue:
    shown = _ask(number, form=form, values=request.form.to_dict(), errors=errors)
    return render_template("deadline/ask.html", page=shown), 422


def _ask(
    number: str,
    *,
    form: str = "",
    values: Mapping[str, str] | None = None,
    errors: Mapping[str, Sequence[str]] | None = None,
) -> AskPage:
    with db().read() as session:
        ticket = routing_queries.ticket_for(session, actor(), number)
        row = routing_queries.current_dispatch(session, ticket.id)
        if row is None or row.ended_at or row.answered_at:
            raise WrongState("工单目前不在承办单位手中，不能申请挂起或延期。")
        if row.department_id not in actor().department_ids:
            raise Denied("工单不在您所属单位手中。")
        allowed = adjusting.allowance(session, ticket, row, now=now())
        changes = adjusting.of_ticket(session, ticket.id)
        attached = ticket_queries.attachments(session, ticket.id)
    return AskPage(
        number=ticket.number,
        title=ticket.title,
        version=ticket.version,
        due=present.deadline(row.due_at, now=now(), stands_until=row.suspended_until),
        causes=tuple((cause, f"{cause}（最长 {most} 个工作日）") for cause, most in allowed.causes),
        evidence=tuple((str(one.id), one.name) for one in attached),
        no_suspension=allowed.no_suspension,
        no_extension=allowed.no_extension,
        most_workdays=allowed.extension_workdays,
        needs_higher_level=allowed.needs_higher_level,
        changes=tuple(_change(one) for one in reversed(changes)),
        today=present.day(local(now()).date()),
        form=form,
        values={**dict.fromkeys(_BLANK, ""), **(values or {})},
        errors=errors or {},
    )


def _deadlines(
    number: str,
    *,
    values: Mapping[str, str] | None = None,
    errors: Mapping[str, Sequence[str]] | None = None,
) -> DeadlinesPage:
    with db().read() as session:
        ticket = routing_queries.ticket_for(session, actor(), number)
        sent = routing_queries.dispatches_of(session, ticket.id)
        changes = adjusting.of_ticket(session, ticket.id)
    if not sent:
        raise NotFound("这张工单还没有派出，没有办理时限。")
    last = sent[-1]
    return DeadlinesPage(
        number=ticket.number,
        title=ticket.title,
        version=ticket.version,
        department=last.department,
        clocks=clocks_of(last),
        changes=tuple(_change(one) for one in reversed(changes)),
        classes=(("", "普通"), *((name, name) for name in SLA_CLASSES)),
        may_classify=actor().can(Permission.TICKET_DISPATCH) and ticket.state in {State.DISPATCHED, State.SIGNED},
        values={"sla_class": "", "reason": "", **(values or {})},
        errors=errors or {},
    )


def _decide(
    adjustment_id: int, *, values: Mapping[str, str] | None = None, errors: Mapping[str, Sequence[str]] | None = None
) -> DecidePage:
    with db().read() as session:
        found = adjusting.one(session, adjustment_id)
        if found.row.kind not in {AdjustmentKind.SUSPENSION, AdjustmentKind.EXTENSION}:
            raise NotFound
        ticket = routing_queries.ticket_for(session, actor(), found.number)
        then = adjusting.would_be_due(session, found.row, now=now())
        sent = routing_queries.dispatches_of(session, ticket.id)
    row = next(one for one in sent if one.id == found.row.dispatch_id)
    return DecidePage(
        change=_change(found),
        now_due=present.moment(found.due_at),
        then_due=present.moment(then),
        steps=tuple(row.steps.get("handle", {}).get("steps", ())),
        content=ticket.content,
        why_not=_why_not(found, row),
        values={"words": "", **(values or {})},
        errors=errors or {},
    )


def _why_not(found: AdjustmentView, row: DispatchView) -> str:
    if found.row.state is not AdjustmentState.ASKED:
        return "该申请已有处理结果。"
    if row.department_id in actor().department_ids or found.row.asked_by == actor().user_id:
        return "不能审批本单位的申请。"
    if found.row.higher_level and not actor().can(Permission.DEADLINE_APPROVE_FURTHER):
        return "这是再次延期，须由督办主管批准；您可以驳回。"
    return ""


def _change(found: AdjustmentView) -> ChangeView:
    row = found.row
    standing = (
        row.kind is AdjustmentKind.SUSPENSION
        and row.state is AdjustmentState.APPROVED
        and row.starts_at is not None
        and row.ends_at is not None
        and row.starts_at <= now() < row.ends_at
    )
    return ChangeView(
        id=row.id,
        number=found.number,
        title=found.title,
        href=url_for("deadline.decision", adjustment_id=row.id),
        ticket_href=url_for("tickets.show", number=found.number),
        department=found.department,
        kind=labels.label(row.kind),
        state=Label("挂起中", "warning") if standing else labels.label(row.state),
        what=_what(found),
        cause=row.cause,
        reason=row.reason,
        basis=row.basis,
        evidence=found.evidence,
        evidence_href=url_for("tickets.file", number=found.number, file_id=row.evidence_id)
        if row.evidence_id
        else None,
        asked=present.short(row.asked_at, now=now()),
        asked_by=found.asked_by,
        decided=present.short(row.decided_at, now=now()),
        decided_by=found.decided_by,
        decided_words=row.decided_words,
        due=present.deadline(found.due_at, now=now()),
        open=row.state is AdjustmentState.ASKED,
        standing=standing,
        higher_level=row.higher_level,
    )


def _what(found: AdjustmentView) -> str:
    row = found.row
    if row.kind is AdjustmentKind.SUSPENSION and row.starts_at and row.ends_at:
        last = row.ends_at - timedelta(seconds=1)
        return f"{row.cause}：{present.short(row.starts_at, now=now())} 至 {present.short(last, now=now())}"
    if row.kind is AdjustmentKind.EXTENSION:
        return f"延长 {row.workdays} 个工作日" + ("（再次延期）" if row.higher_level else "")
    if row.kind is AdjustmentKind.RECLASSIFICATION:
        parts = (row.terms.get("urgency"), row.terms.get("request_type"), row.terms.get("sla_class"))
        return "、".join(str(part) for part in parts if part)
    return row.reason


def _renamed(error: Invalid, names: Mapping[str, str]) -> dict[str, list[str]]:
    return {names.get(name, name): texts for name, texts in error.fields.items()}


def _day(raw: str) -> date | None:
    if not raw.strip():
        return None
    try:
        return date.fromisoformat(raw.strip())
    except ValueError as error:
        raise Invalid({"until": "日期格式不正确，例如 2026-11-22。"}) from error
