"""Tickets of one matter: merge and unmerge in bulk, incidents with their callers, one word to all of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from hotline.core.errors import Invalid
from hotline.core.permissions import Actor, Permission
from hotline.web import forms, labels, present
from hotline.web.admin.exports import took
from hotline.web.gate import actor, db, now, page
from hotline.web.labels import Label
from hotline.web.turning import Turn, turn
from reports.models import Taken
from routing import queries as routing
from routing.relations import joining as relations
from routing.relations import queries
from routing.relations.queries import IncidentRow, MemberRow

bp = Blueprint("relations", __name__)
P = Permission


@dataclass(frozen=True, kw_only=True)
class MemberLine:
    """One ticket that is answered with the main one; without an id it was answered already and stays."""

    id: int | None
    number: str
    href: str
    title: str
    state: Label
    merged: str
    answered: str


@dataclass(frozen=True, kw_only=True)
class MergePage:
    """A ticket, what is answered with it, and the forms that change this."""

    number: str
    title: str
    state: Label
    main_number: str
    main_href: str
    incident_href: str | None
    members: tuple[MemberLine, ...]
    can_merge: bool
    can_open: bool
    form: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    #: The members that were ticked in a form that was not taken.
    chosen: Sequence[int] = ()


@dataclass(frozen=True, kw_only=True)
class IncidentLine:
    """One incident in a list."""

    href: str
    title: str
    words: str
    main: str
    main_href: str
    main_state: Label
    department: str
    callers: int
    opened: str
    closed: str


@dataclass(frozen=True, kw_only=True)
class IncidentsPage:
    """The incidents that are open, or over."""

    rows: tuple[IncidentLine, ...]
    tabs: tuple[tuple[str, str, bool, int | None], ...]
    turn: Turn
    size: str


@dataclass(frozen=True, kw_only=True)
class IncidentPage:
    """One incident: its callers and what they were told."""

    id: int
    line: IncidentLine
    members: tuple[MemberLine, ...]
    told: tuple[tuple[str, str, str, int], ...]
    #: The answer that goes to all callers, once the main ticket has it.
    answer: str
    is_open: bool
    printed_at: str
    values: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Kin:
    """What a ticket's own page says of its relations."""

    main_number: str = ""
    main_href: str = ""
    unit: str = ""
    incident: str = ""
    members: int = 0
    incident_href: str | None = None


def kin(who: Actor, ticket_id: int) -> Kin:
    """Return what a person may know of a ticket's relations; a unit learns how many, not who."""
    with db().read() as session:
        main = queries.main_of(session, ticket_id)
        count = 0 if main else queries.count_members(session, ticket_id)
        incident_id = queries.incident_of(session, ticket_id) if count or main is None else None
    sees = who.can(P.TICKET_VIEW_ALL)
    return Kin(
        main_number=main.number if main and sees else "",
        main_href=url_for("tickets.show", number=main.number) if main and sees else "",
        unit=main.department if main else "",
        incident=main.incident if main else "",
        members=count,
        incident_href=url_for("relations.incident", incident_id=incident_id) if incident_id and sees else None,
    )


@bp.get("/tickets/<number>/merge")
@page(P.TICKET_MERGE)
def merge_form(number: str) -> ResponseReturnValue:
    """Show what is answered with a ticket, and how to change it.

    From the dispatch desk (`join=` a number) the form is filled in already: one key more, and back to the queue.
    """
    wanted = re.fullmatch(r"\d{10,20}", forms.asked("join"))
    filled = {"numbers": wanted[0], "expected": "1", "reason": "与主单为同一事项", "back": "queue"} if wanted else {}
    return render_template("relations/merge.html", page=_merge(number, values=filled))


@bp.post("/tickets/<number>/merge")
@page(P.TICKET_MERGE)
def merge(number: str) -> ResponseReturnValue:
    """Let the named tickets be answered with this one."""
    try:
        wanted = list(dict.fromkeys(re.findall(r"\d{10,20}", forms.text("numbers"))))
        if not wanted:
            raise Invalid({"numbers": "请填写工单编号，每行一个。"})  # noqa: TRY301 - one answer to every problem
        if len(wanted) > relations.MOST_AT_ONCE:
            raise Invalid({"numbers": f"一次最多 {relations.MOST_AT_ONCE} 件。"})  # noqa: TRY301 - as above
        with db().begin() as session:
            found = routing.tickets_numbered(session, actor(), [number, *wanted])
            if missing := [each for each in wanted if each not in found]:
                raise Invalid({"numbers": f"没有找到：{'、'.join(missing[:5])}。"})  # noqa: TRY301 - as above
            done = relations.merge(
                session,
                main_id=found[number],
                ticket_ids=[found[each] for each in wanted],
                reason=forms.text("reason"),
                expected=forms.required("expected"),
                by=actor(),
                now=now(),
            )
    except KeyError:
        return _merge_refused(number, "merge", Invalid({"numbers": "没有找到主单。"}))
    except Invalid as error:
        return _merge_refused(number, "merge", error)
    forms.told("success", f"已并入 {done} 件，将与 {number} 一并答复，每位诉求人仍单独回访。")
    # To whoever came from the queue of the dispatch desk the next ticket matters more than the members of this one.
    to_queue = forms.text("back") == "queue" and actor().can(P.TICKET_DISPATCH)
    return redirect(url_for("dispatch.queue") if to_queue else url_for("relations.merge_form", number=number), code=303)


@bp.post("/tickets/<number>/unmerge")
@page(P.TICKET_MERGE)
def unmerge(number: str) -> ResponseReturnValue:
    """Let the chosen tickets go back into the queue; where no script has counted them they are shown first."""
    chosen = forms.ids("ids")
    try:
        seen = forms.whole("seen")
        if seen is None and chosen and forms.text("unmerge_reason").strip():
            shown = _merge(number, form="unmerge", values=request.form.to_dict(), chosen=chosen)
            return render_template("relations/merge.html", page=shown)
        with db().begin() as session:
            routing.ticket_for(session, actor(), number)
            done = relations.unmerge(
                session,
                ticket_ids=chosen,
                reason=forms.text("unmerge_reason"),
                expected=seen,
                by=actor(),
                now=now(),
            )
    except Invalid as error:
        names = {"reason": "unmerge_reason", "numbers": "form", "expected": "form"}
        renamed = Invalid({names.get(name, name): words for name, words in error.fields.items()})
        return _merge_refused(number, "unmerge", renamed)
    forms.told("success", f"已解除 {done} 件，回到待派工单。")
    return redirect(url_for("relations.merge_form", number=number), code=303)


@bp.post("/tickets/<number>/incident")
@page(P.TICKET_MERGE)
def open_incident(number: str) -> ResponseReturnValue:
    """Make a ticket the main one of an incident."""
    try:
        with db().begin() as session:
            ticket = routing.ticket_for(session, actor(), number)
            opened = relations.open_incident(
                session,
                main_id=ticket.id,
                title=forms.text("title"),
                words=forms.text("words"),
                by=actor(),
                now=now(),
            )
            incident_id = opened.id
    except Invalid as error:
        return _merge_refused(number, "incident", error)
    forms.told("success", "事件已设立，话务员登记时会看到，可一键并入。")
    return redirect(url_for("relations.incident", incident_id=incident_id), code=303)


@bp.get("/incidents")
@page(P.TICKET_MERGE)
def incidents() -> ResponseReturnValue:
    """List the incidents."""
    over, cursor = forms.asked("tab") == "over", forms.asked("cursor")
    with db().read() as session:
        found = queries.incidents(session, open_only=not over, cursor=cursor)
    tab = "over" if over else "open"

    shown = IncidentsPage(
        rows=tuple(_line(row) for row in found.rows),
        tabs=(
            ("进行中", url_for("relations.incidents"), not over, None),
            ("已结束", url_for("relations.incidents", tab="over"), over, None),
        ),
        turn=turn(found, cursor=cursor, tab=tab),
        size=f"本页 {len(found.rows)} 条",
    )
    return render_template("relations/incidents.html", page=shown)


@bp.get("/incidents/<int:incident_id>")
@page(P.TICKET_MERGE)
def incident(incident_id: int) -> ResponseReturnValue:
    """Show one incident."""
    return render_template("relations/incident.html", page=_incident(incident_id))


@bp.get("/incidents/<int:incident_id>/print")
@page(P.TICKET_MERGE)
def incident_sheet(incident_id: int) -> ResponseReturnValue:
    """Show one incident as a sheet of paper."""
    made = _incident(incident_id, paper=True)
    took(Taken.TICKET_PRINT, rows=len(made.members) + 1, scope=f"事件 {made.line.main}")
    return render_template("relations/print.html", page=made)


@bp.post("/incidents/<int:incident_id>/announce")
@page(P.TICKET_MERGE)
def announce(incident_id: int) -> ResponseReturnValue:
    """Tell every caller how things stand."""
    try:
        with db().begin() as session:
            told = relations.announce(
                session, incident_id=incident_id, words=forms.text("words"), by=actor(), now=now()
            ).callers
    except Invalid as error:
        shown = _incident(incident_id, values=request.form.to_dict(), errors=error.fields)
        return render_template("relations/incident.html", page=shown), 422
    forms.told("success", f"已向 {told} 位来电人发送短信。")
    return redirect(url_for("relations.incident", incident_id=incident_id), code=303)


@bp.post("/incidents/<int:incident_id>/close")
@page(P.TICKET_MERGE)
def close_incident(incident_id: int) -> ResponseReturnValue:
    """End an incident."""
    with db().begin() as session:
        relations.close_incident(session, incident_id=incident_id, by=actor(), now=now())
    forms.told("success", "事件已结束，不再接受并入；已并入的工单仍随主单答复。")
    return redirect(url_for("relations.incident", incident_id=incident_id), code=303)


def _merge_refused(number: str, form: str, error: Invalid) -> ResponseReturnValue:
    shown = _merge(number, form=form, values=request.form.to_dict(), errors=error.fields, chosen=forms.ids("ids"))
    return render_template("relations/merge.html", page=shown), 422


def _merge(
    number: str,
    *,
    form: str = "",
    values: Mapping[str, str] | None = None,
    errors: Mapping[str, Sequence[str]] | None = None,
    chosen: Sequence[int] = (),
) -> MergePage:
    with db().read() as session:
        ticket = routing.ticket_for(session, actor(), number)
        main = queries.main_of(session, ticket.id)
        members = queries.members_of(session, actor(), ticket.id)
        incident_id = queries.incident_of(session, ticket.id)
    open_to_join = ticket.state in relations.JOINS and main is None
    return MergePage(
        number=number,
        title=ticket.title,
        state=labels.label(ticket.state),
        main_number=main.number if main else "",
        main_href=url_for("relations.merge_form", number=main.number) if main else "",
        incident_href=url_for("relations.incident", incident_id=incident_id) if incident_id else None,
        members=tuple(_member(row) for row in members),
        can_merge=open_to_join,
        can_open=open_to_join and incident_id is None,
        form=form,
        values=values or {},
        errors=errors or {},
        chosen=chosen,
    )


def _incident(
    incident_id: int,
    *,
    paper: bool = False,
    values: Mapping[str, str] | None = None,
    errors: Mapping[str, Sequence[str]] | None = None,
) -> IncidentPage:
    with db().read() as session:
        row = queries.incident(session, incident_id)
        main = routing.ticket_for(session, actor(), row.main)
        members = queries.members_of(session, actor(), main.id)
        told = queries.announcements(session, incident_id)
        answer = next((one.answer for one in reversed(routing.dispatches_of(session, main.id)) if one.is_current), None)
    return IncidentPage(
        id=incident_id,
        line=_line(row, paper=paper),
        members=tuple(_member(each, paper=paper) for each in members),
        told=tuple((present.moment(each.sent_at), name, each.words, each.callers) for each, name in told),
        answer=answer.public_answer if answer else "",
        is_open=row.closed_at is None,
        printed_at=present.moment(now()),
        values=values or {},
        errors=errors or {},
    )


def _with_main(row: MemberRow) -> Label:
    """Say where a member is: until the main ticket is answered it waits for nobody of its own."""
    if row.outcome:
        return labels.label(row.outcome)
    return labels.label(row.state) if row.answered_at else Label("随主单办理", "info")


def _when(at: datetime | None, *, paper: bool) -> str:
    """Return a moment as lists show it, on paper with its year."""
    return present.moment(at) if paper else present.short(at, now=now())


def _member(row: MemberRow, *, paper: bool = False) -> MemberLine:
    return MemberLine(
        id=None if row.answered_at else row.id,
        number=row.number,
        href=url_for("tickets.show", number=row.number),
        title=row.title,
        state=_with_main(row),
        merged=_when(row.merged_at, paper=paper),
        answered=_when(row.answered_at, paper=paper),
    )


def _line(row: IncidentRow, *, paper: bool = False) -> IncidentLine:
    return IncidentLine(
        href=url_for("relations.incident", incident_id=row.id),
        title=row.title,
        words=row.words,
        main=row.main,
        main_href=url_for("tickets.show", number=row.main),
        main_state=labels.label(row.main_state),
        department=row.department,
        callers=row.callers,
        opened=f"{_when(row.opened_at, paper=paper)} {row.opened_by}",
        closed=_when(row.closed_at, paper=paper),
    )
