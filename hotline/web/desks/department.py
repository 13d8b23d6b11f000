"""The department's desk (承办单位): sign, contact, answer, ask to give back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from callbacks import actions as callbacks
from hotline.core.errors import Conflict, Denied, Invalid, NotFound, WrongState
from hotline.core.permissions import Permission
from hotline.tickets import actions as ticket_actions
from hotline.tickets import files
from hotline.tickets import queries as ticket_queries
from hotline.web import forms, present
from hotline.web.desks.department_inbox import PAGE_ROWS, TABS, inbox_page
from hotline.web.desks.department_ticket import WAYS, work_page
from hotline.web.gate import actor, db, now, page, tools
from hotline.web.tickets import uploaded
from routing import actions as routing
from routing import lists
from routing import queries as routing_queries
from routing.answers import parts as part_acts
from routing.answers import vetting
from routing.answers.doubts import Doubt
from routing.duty import returning
from routing.lists import ListFilter
from routing.models import Solved

bp = Blueprint("department", __name__)
#: How many tickets one person signs for at once.
MOST_AT_ONCE: Final = 100


@bp.get("/department")
@page(Permission.TICKET_ANSWER)
def inbox() -> ResponseReturnValue:
    """List what the person's departments have to sign for, to answer, and what they have answered."""
    cursor, wanted = forms.asked("cursor"), forms.asked("tab")
    names = [f"department.{one}.{what}" for one in sorted(actor().department_ids) for what in ("unsigned", "in_hand")]
    with db().read() as session:
        counted = ticket_queries.counters(session, names) if names else {}
        unsigned = sum(value for name, value in counted.items() if name.endswith(".unsigned"))
        in_hand = sum(value for name, value in counted.items() if name.endswith(".in_hand"))
        tab = wanted if wanted in TABS else "unsigned" if unsigned or not in_hand else "handling"
        if tab in {"unsigned", "handling"}:
            found = lists.in_hand(session, actor(), signed=tab == "handling", cursor=cursor, limit=PAGE_ROWS)
        elif tab == "answered":
            found = lists.answered_by(session, actor(), cursor=cursor, limit=PAGE_ROWS)
        else:
            found = lists.ticket_list(session, actor(), ListFilter(), now=now(), cursor=cursor, limit=PAGE_ROWS)
        open_parts = part_acts.open_at_desk(session, actor())
    counts = {"unsigned": unsigned, "handling": in_hand - unsigned}
    return render_template(
        "department/inbox.html", page=inbox_page(found, tab=tab, cursor=cursor, counts=counts, open_parts=open_parts)
    )


@bp.post("/department/sign")
@page(Permission.TICKET_SIGN)
def sign_many() -> ResponseReturnValue:
    """Sign for all chosen tickets at once; more than the page can have offered is a mistake and changes nothing."""
    offered = forms.required("offered")
    chosen = sorted({int(raw) for raw in request.form.getlist("ids") if raw.isdecimal() and len(raw) < 19})  # noqa: PLR2004 - longer than any id
    if not chosen:
        raise Invalid({"ids": "请先勾选要签收的工单。"})
    if len(chosen) > min(offered, MOST_AT_ONCE):
        raise Conflict(
            f"收到 {len(chosen)} 件，多于页面上的 {min(offered, MOST_AT_ONCE)} 件，没有签收任何工单，请刷新后重试。"
        )
    signed = 0
    with db().begin() as session:
        for ticket_id in chosen:  # in order of id, so that two people with the same choice wait and do not block
            try:
                routing.sign(session, ticket_id=ticket_id, by=actor(), now=now())
            except (WrongState, Denied, NotFound):
                continue  # nothing was written for it: somebody was quicker, or it is in other hands
            signed += 1
    if left := len(chosen) - signed:
        forms.told("warning", f"已签收 {signed} 件；另有 {left} 件已由他人签收或不在本单位手中，没有改动。")
    else:
        forms.told("success", f"已签收 {signed} 件工单。")
    return redirect(url_for("department.inbox", tab=_tab()), code=303)


@bp.get("/department/<number>")
@page(Permission.TICKET_ANSWER)
def work(number: str) -> ResponseReturnValue:
    """Show everything that is needed to work on one ticket."""
    return render_template("department/show.html", page=work_page(db(), number))


@bp.post("/department/<number>/sign")
@page(Permission.TICKET_SIGN)
def sign(number: str) -> ResponseReturnValue:
    """Sign for one ticket."""
    with db().begin() as session:
        ticket = routing_queries.ticket_for(session, actor(), number)
        routing.sign(session, ticket_id=ticket.id, version=forms.whole("version"), by=actor(), now=now())
    forms.told("success", f"已签收 {number}。")
    if forms.text("back") == "list":
        return redirect(url_for("department.inbox", tab=_tab()), code=303)
    return _back(number)


@bp.post("/department/<number>/contact")
@page(Permission.TICKET_ANSWER)
def contact(number: str) -> ResponseReturnValue:
    """Record that the unit spoke with the citizen."""
    names = {"at": "contact_at", "way": "contact_way", "words": "contact_words", "files": "proof"}
    try:
        at = present.parse_moment(forms.text("contact_at"))
        if forms.text("contact_way") not in WAYS:
            raise Invalid({"way": "请选择联系方式。"})  # noqa: TRY301 - one answer to every problem of the form
        with db().begin() as session:
            ticket = routing_queries.ticket_for(session, actor(), number)
            proof_id = None
            if given := uploaded("proof"):
                kept = files.attach(
                    session, tools().store, ticket_id=ticket.id, uploads=given, public=False, by=actor(), now=now()
                )
                proof_id = kept[0].id
            routing.record_contact(
                session,
                ticket_id=ticket.id,
                proof_id=proof_id,
                at=at,
                way=forms.text("contact_way"),
                words=forms.text("contact_words"),
                by=actor(),
                now=now(),
            )
    except Invalid as error:
        return _refused(number, "contact", _renamed(error, names))
    forms.told("success", "联系记录已保存。")
    return _back(number)


@bp.post("/department/<number>/answer")
@page(Permission.TICKET_ANSWER)
def answer(number: str) -> ResponseReturnValue:
    """Feed back; doubts are told once before the answer leaves, and pass when the person stands by it."""
    try:
        feedback = _feedback()
    except Invalid as error:
        return _refused(number, "answer", error.fields)
    with db().read() as session:
        ticket = routing_queries.ticket_for(session, actor(), number)
        found = vetting.doubts_about(
            session,
            ticket,
            routing_queries.current_dispatch(session, ticket.id),
            internal_note=feedback.internal_note,
            public_answer=feedback.public_answer,
        )
    if {doubt.value for doubt in found} - set(forms.text("warned").split(",")):
        return _refused(number, "answer", {}, warnings=found)
    try:
        with db().begin() as session:
            routing.answer(
                session,
                ticket_id=ticket.id,
                version=forms.required("version"),
                feedback=feedback,
                by=actor(),
                now=now(),
            )
    except Invalid as error:
        return _refused(number, "answer", error.fields)
    forms.told("success", f"{number} 已反馈，等待热线中心处理。")
    return redirect(url_for("department.inbox", tab="handling"), code=303)


@bp.post("/department/<number>/send-back")
@page(Permission.TICKET_SEND_BACK)
def send_back(number: str) -> ResponseReturnValue:
    """Ask the hotline to take a ticket back that is not one's own duty."""
    names = {
        "reason": "return_reason",
        "words": "return_words",
        "basis": "return_basis",
        "suggested": "return_department",
    }
    try:
        with db().begin() as session:
            ticket = routing_queries.ticket_for(session, actor(), number)
            returning.ask(
                session,
                ticket_id=ticket.id,
                version=forms.required("version"),
                reason=forms.text("return_reason"),
                words=forms.text("return_words"),
                basis=forms.text("return_basis"),
                suggested_department_id=forms.whole("return_department"),
                by=actor(),
                now=now(),
            )
    except Invalid as error:
        return _refused(number, "send_back", _renamed(error, names))
    forms.told("success", f"{number} 的退单申请已提交热线审核；审核期间仍由本单位办理，时限照常计算。")
    return _back(number)


@bp.post("/department/<number>/take-back")
@page(Permission.TICKET_SEND_BACK)
def take_back(number: str) -> ResponseReturnValue:
    """Withdraw the return that waits for the hotline."""
    with db().begin() as session:
        routing_queries.ticket_for(session, actor(), number)
        returning.take_back(session, return_id=forms.required("return_id"), by=actor(), now=now())
    forms.told("success", f"{number} 的退单申请已撤回，请继续办理。")
    return _back(number)


@bp.post("/department/<number>/note")
@page(Permission.TICKET_ANSWER)
def note(number: str) -> ResponseReturnValue:
    """Add a line for colleagues to the timeline."""
    try:
        with db().begin() as session:
            ticket = routing_queries.ticket_for(session, actor(), number)
            ticket_actions.note(session, ticket_id=ticket.id, words=forms.text("note"), by=actor(), now=now())
    except Invalid as error:
        return _refused(number, "note", error.fields)
    forms.told("success", "备注已添加。")
    return _back(number)


@bp.post("/department/<number>/rectify")
@page(Permission.TICKET_ANSWER)
def rectify(number: str) -> ResponseReturnValue:
    """Record what was put right after a bad review."""
    try:
        with db().begin() as session:
            ticket = routing_queries.ticket_for(session, actor(), number)
            callbacks.rectify(session, ticket_id=ticket.id, words=forms.text("rectification"), by=actor(), now=now())
    except Invalid as error:
        return _refused(number, "rectify", error.fields)
    forms.told("success", "整改情况已保存。")
    return _back(number)


def _back(number: str) -> ResponseReturnValue:
    return redirect(url_for("department.work", number=number), code=303)


def _tab() -> str:
    return forms.text("tab") if forms.text("tab") in TABS else "unsigned"


def _renamed(error: Invalid, names: Mapping[str, str]) -> dict[str, list[str]]:
    return {names.get(name, name): texts for name, texts in error.fields.items()}


def _refused(
    number: str, form: str, errors: Mapping[str, Sequence[str]], *, warnings: Sequence[Doubt] = ()
) -> ResponseReturnValue:
    """Show the working page again with everything that was typed."""
    shown = work_page(db(), number, form=form, errors=errors, values=request.form.to_dict(), warnings=warnings)
    return render_template("department/show.html", page=shown), 422


def _feedback() -> routing.Feedback:
    """Read the answer's form; every problem of every field is told at once."""
    problems: dict[str, str] = {}
    found, beyond, solved = forms.text("found_true"), forms.text("beyond_duty"), forms.text("solved")
    if found not in {"yes", "no"}:
        problems["found_true"] = "请选择诉求是否属实。"
    if beyond not in {"yes", "no"}:
        problems["beyond_duty"] = "请选择是否超出职责范围。"
    if solved not in set(Solved):
        problems["solved"] = "请选择是否解决。"
    plan_on = None
    if raw := forms.text("plan_on").strip():
        try:
            plan_on = date.fromisoformat(raw)
        except ValueError:
            problems["plan_on"] = "日期格式不正确，例如 2026-11-22。"
    feedback = routing.Feedback(
        internal_note=forms.text("internal_note"),
        public_answer=forms.text("public_answer"),
        found_true=found == "yes",
        beyond_duty=beyond == "yes",
        solved=Solved(solved) if solved in set(Solved) else Solved.SOLVED,
        plan=forms.text("plan"),
        plan_on=plan_on,
        left_out_why=forms.text("left_out_why"),
    )
    every: dict[str, str | Sequence[str]] = {**routing.problems_in(feedback, now=now()), **problems}
    if every:
        raise Invalid(every)
    return feedback
