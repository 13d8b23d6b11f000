"""The linkage desk (110联动): what crossed between this hotline and another line, and who owned it in the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from flask import Blueprint, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from hotline.core.errors import Invalid
from hotline.core.permissions import Actor, Permission
from hotline.tickets import transfers
from hotline.tickets.models import Ticket
from hotline.tickets.transfer_models import Direction, FinalOwner, Transfer
from hotline.web import forms, labels, present
from hotline.web.gate import actor, db, now, page
from hotline.web.labels import Label
from hotline.web.turning import Turn, turn
from routing import queries as routing
from routing.relations import crossing

bp = Blueprint("transfers", __name__)
P = Permission

FIELDS = {"final_owner": "最终由谁办理", "owner_name": "最终承办单位", "reply": "办理情况", "other_number": "对方编号"}


@dataclass(frozen=True, kw_only=True)
class CrossedPart:
    """One crossing on the page of its ticket, and in the list."""

    direction: Label
    line: str
    other_number: str
    manner: str
    at: str
    owner: Label
    owner_name: str
    reply: str
    settled: str
    settle_href: str | None
    number: str
    title: str
    href: str


@dataclass(frozen=True, kw_only=True)
class CrossedPage:
    """What crossed and has no final owner yet."""

    rows: Sequence[CrossedPart]
    tabs: Sequence[tuple[str, str, bool, int | None]]
    turn: Turn
    size: str


@dataclass(frozen=True, kw_only=True)
class SettlePage:
    """The form in which the final owner is written down."""

    number: str
    id: int
    part: CrossedPart
    owners: Sequence[tuple[str, str]]
    labels: Mapping[str, str]
    values: Mapping[str, str]
    number_known: bool
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)


@bp.get("/transfers")
@page(P.TRANSFER_EXCHANGE)
def queue() -> ResponseReturnValue:
    """List what crossed and has no final owner yet, the oldest first."""
    incoming, cursor = forms.asked("tab") == "in", forms.asked("cursor")
    with db().read() as session:
        found = crossing.unsettled(
            session, actor(), direction=Direction.IN if incoming else Direction.OUT, cursor=cursor
        )
    tab = "in" if incoming else "out"

    shown = CrossedPage(
        rows=[_part(row, ticket, by=actor(), now=now()) for row, ticket in found.rows],
        tabs=(
            ("转出，待对方告知结果", url_for("transfers.queue"), not incoming, None),
            ("转入，本热线在办", url_for("transfers.queue", tab="in"), incoming, None),
        ),
        turn=turn(found, cursor=cursor, tab=tab),
        size=f"本页 {len(found.rows)} 条",
    )
    return render_template("transfers/queue.html", page=shown)


@bp.get("/tickets/<number>/transfers/<int:transfer_id>")
@page(P.TRANSFER_EXCHANGE)
def settle_form(number: str, transfer_id: int) -> ResponseReturnValue:
    """Show the form of the final owner."""
    return render_template("transfers/settle.html", page=_settle_page(number, transfer_id))


@bp.post("/tickets/<number>/transfers/<int:transfer_id>")
@page(P.TRANSFER_EXCHANGE)
def settle(number: str, transfer_id: int) -> ResponseReturnValue:
    """Write down who owned the matter in the end, and what he did."""
    typed = {name: forms.text(name) for name in FIELDS}
    try:
        with db().begin() as session:
            ticket = routing.ticket_for(session, actor(), number)
            row = crossing.one(session, ticket_id=ticket.id, transfer_id=transfer_id)
            transfers.settle(
                session,
                transfer_id=row.id,
                settlement=transfers.Settlement(
                    owner=forms.member(FinalOwner, "final_owner", source=typed),
                    name=typed["owner_name"],
                    reply=typed["reply"],
                    other_number=typed["other_number"],
                ),
                by=actor(),
                now=now(),
            )
    except Invalid as error:
        shown = _settle_page(number, transfer_id, values=typed, errors=error.fields)
        return render_template("transfers/settle.html", page=shown), 422
    forms.told("success", "已记录最终承办单位。")
    return redirect(url_for("tickets.show", number=number), 303)


def parts(by: Actor, ticket: Ticket, rows: Sequence[Transfer], *, now: datetime) -> list[CrossedPart]:
    """Return what crossed on a ticket, for its page."""
    return [_part(row, ticket, by=by, now=now) for row in rows]


def _part(row: Transfer, ticket: Ticket, *, by: Actor, now: datetime) -> CrossedPart:
    # What came in is settled by the closing of its ticket.
    may = by.can(P.TRANSFER_EXCHANGE) and row.direction is Direction.OUT
    return CrossedPart(
        direction=labels.label(row.direction),
        line=row.line,
        other_number=row.other_number,
        manner=labels.words(row.manner),
        at=present.short(row.made_at, now=now),
        owner=labels.label(row.final_owner),
        owner_name=row.owner_name,
        reply=row.reply,
        settled=present.short(row.settled_at, now=now),
        settle_href=url_for("transfers.settle_form", number=ticket.number, transfer_id=row.id) if may else None,
        number=ticket.number,
        title=ticket.title,
        href=url_for("tickets.show", number=ticket.number),
    )


def _settle_page(
    number: str,
    transfer_id: int,
    *,
    values: Mapping[str, str] | None = None,
    errors: Mapping[str, Sequence[str]] | None = None,
) -> SettlePage:
    with db().read() as session:
        ticket = routing.ticket_for(session, actor(), number)
        row = crossing.one(session, ticket_id=ticket.id, transfer_id=transfer_id)
    stored = {
        "final_owner": row.final_owner.value if row.final_owner else "",
        "owner_name": row.owner_name,
        "reply": row.reply,
        "other_number": row.other_number,
    }
    return SettlePage(
        number=ticket.number,
        id=row.id,
        part=_part(row, ticket, by=actor(), now=now()),
        owners=labels.options(FinalOwner),
        labels=FIELDS,
        values=values or stored,
        number_known=bool(row.other_number),
        errors=errors or {},
    )
