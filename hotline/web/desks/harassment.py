"""Harassing calls (骚扰来电): the mark on a ticket's call, the wish for a limit, the supervisor's decision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from flask import Blueprint, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from hotline.core.errors import Conflict, Invalid
from hotline.core.permissions import Permission
from hotline.intake import harassment
from hotline.intake.harassment_models import CallerLimitState
from hotline.intake.harassment_rules import USUAL_DAYS, HarassmentKind, Step
from hotline.tickets import queries as ticket_queries
from hotline.web import forms, labels, present
from hotline.web.gate import actor, db, now, page
from hotline.web.labels import Label
from hotline.web.turning import Turn, turn
from routing import queries as routing

bp = Blueprint("harassment", __name__)
P = Permission

FIELDS: Final[Mapping[str, str]] = {
    "harassment_kind": "骚扰类型",
    "evidence": "通话情况",
    "reason": "申请理由",
    "days": "限制天数",
    "words": "意见",
    "why": "理由",
}
_TABS: Final = (CallerLimitState.ASKED, CallerLimitState.IN_FORCE, CallerLimitState.LIFTED, CallerLimitState.REFUSED)


@dataclass(frozen=True, kw_only=True)
class MarkLine:
    """One marked call."""

    id: int
    number: str
    href: str
    kind: Label
    evidence: str
    warned: bool
    at: str
    by: str


@dataclass(frozen=True, kw_only=True)
class CallerPage:
    """The caller of a ticket: how far things have come, his marked calls, and the forms."""

    number: str
    href: str
    masked: str
    step: Label
    advice: str
    until: str
    marks: Sequence[MarkLine]
    marked: bool
    may_ask: bool
    may_clear: bool
    kinds: Sequence[tuple[str, str]]
    labels: Mapping[str, str]
    values: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class LimitLine:
    """One limit in the supervisor's list."""

    id: int
    number: str
    href: str
    caller_href: str
    masked: str
    state: Label
    reason: str
    asked: str
    decided: str
    until: str
    holds: bool


@dataclass(frozen=True, kw_only=True)
class LimitsPage:
    """The limits: what waits, what is in force, what is over."""

    state: str
    rows: Sequence[LimitLine]
    tabs: Sequence[tuple[str, str, bool, int | None]]
    marks: int
    can_decide: bool
    turn: Turn
    size: str
    usual_days: int = USUAL_DAYS
    labels: Mapping[str, str] = field(default_factory=lambda: FIELDS)
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)


@bp.get("/tickets/<number>/harassment")
@page(P.HARASSMENT_MARK)
def caller(number: str) -> ResponseReturnValue:
    """Show how far things have come with a ticket's caller."""
    return render_template("harassment/caller.html", page=_caller(number))


@bp.post("/tickets/<number>/harassment")
@page(P.HARASSMENT_MARK)
def mark(number: str) -> ResponseReturnValue:
    """Mark the call of a ticket."""

    def act(session: Any, ticket_id: int) -> None:  # noqa: ANN401 - pages know no SQL
        harassment.mark(
            session,
            ticket_id=ticket_id,
            kind=forms.member(HarassmentKind, "harassment_kind"),
            evidence=forms.text("evidence"),
            warned=forms.flag("warned"),
            by=actor(),
            now=now(),
        )

    return _do(number, act, told="已标记，并记入工单台账。")


@bp.post("/tickets/<number>/harassment/limit")
@page(P.HARASSMENT_MARK)
def ask(number: str) -> ResponseReturnValue:
    """Ask for a limit on a ticket's caller."""

    def act(session: Any, ticket_id: int) -> None:  # noqa: ANN401 - as above
        harassment.ask_limit(session, ticket_id=ticket_id, reason=forms.text("reason"), by=actor(), now=now())

    return _do(number, act, told="已提交，由督办主管确认后生效。")


@bp.post("/tickets/<number>/harassment/<int:mark_id>/clear")
@page(P.HARASSMENT_CONFIRM)
def clear(number: str, mark_id: int) -> ResponseReturnValue:
    """Take a mark back."""

    def act(session: Any, ticket_id: int) -> None:  # noqa: ANN401, ARG001 - as above; the mark names its own ticket
        harassment.clear(session, mark_id=mark_id, why=forms.text("why"), by=actor(), now=now())

    return _do(number, act, told="标记已撤销。")


@bp.get("/harassment")
@page(P.HARASSMENT_CONFIRM, P.HARASSMENT_MARK)
def limits() -> ResponseReturnValue:
    """List the limits."""
    return render_template("harassment/limits.html", page=_limits({}))


@bp.post("/harassment/<int:limit_id>/<what>")
@page(P.HARASSMENT_CONFIRM)
def decide(limit_id: int, what: str) -> ResponseReturnValue:
    """Confirm or refuse a wish, or lift a limit."""
    common: dict[str, Any] = {"limit_id": limit_id, "by": actor(), "now": now()}
    try:
        with db().begin() as session:
            if what == "confirm":
                days = forms.whole("days") or 0
                harassment.confirm_limit(session, days=days, words=forms.text("words"), **common)
            elif what == "refuse":
                harassment.refuse_limit(session, words=forms.text("words"), **common)
            else:
                harassment.lift(session, why=forms.text("why"), **common)
    except Invalid as error:
        return render_template("harassment/limits.html", page=_limits(error.fields)), 422
    forms.told("success", {"confirm": "限制措施已生效。", "refuse": "已退回申请。"}.get(what, "限制措施已解除。"))
    return redirect(url_for("harassment.limits"), 303)


def _do(number: str, act: Callable[[Any, int], None], *, told: str) -> ResponseReturnValue:
    try:
        with db().begin() as session:
            act(session, routing.ticket_for(session, actor(), number).id)
    except Invalid as error:
        return render_template("harassment/caller.html", page=_caller(number, errors=error.fields)), 422
    except Conflict as error:
        shown = _caller(number, errors={"form": [error.message]})
        return render_template("harassment/caller.html", page=shown), 409
    forms.told("success", told)
    return redirect(url_for("harassment.caller", number=number), 303)


def _caller(number: str, *, errors: Mapping[str, Sequence[str]] | None = None) -> CallerPage:
    with db().read() as session:
        ticket = routing.ticket_for(session, actor(), number)
        known = harassment.of_index(session, ticket.phone_index or b"", now=now())
        rows = harassment.marks_of(session, ticket.phone_index or b"")
    return CallerPage(
        number=ticket.number,
        href=url_for("tickets.show", number=ticket.number),
        masked=ticket.phone_masked or "未留号码",
        step=labels.label(known.step),
        advice=known.advice,
        until=present.moment(known.until),
        marks=[
            MarkLine(
                id=row.mark.id,
                number=row.ticket.number,
                href=url_for("tickets.show", number=row.ticket.number),
                kind=labels.label(row.mark.kind),
                evidence=row.mark.evidence,
                warned=row.mark.warned,
                at=present.short(row.mark.marked_at, now=now()),
                by=row.by_name,
            )
            for row in rows
        ],
        marked=ticket.phone_index is None or any(row.ticket.id == ticket.id for row in rows),
        may_ask=known.step is Step.MAY_LIMIT,
        may_clear=actor().can(P.HARASSMENT_CONFIRM),
        kinds=labels.options(HarassmentKind),
        labels=FIELDS,
        values={name: forms.text(name) for name in ("harassment_kind", "evidence", "reason", "why")},
        errors=errors or {},
    )


def _limits(errors: Mapping[str, Sequence[str]]) -> LimitsPage:
    wanted = forms.asked("tab")
    state = next((one for one in _TABS if one.value == wanted), CallerLimitState.ASKED)
    cursor = forms.asked("cursor")
    with db().read() as session:
        found = harassment.limits(session, state=state, cursor=cursor)
        counted = ticket_queries.counters(session, ["harassment.asked", "harassment.marks"])
    return LimitsPage(
        state=state.value,
        rows=[
            LimitLine(
                id=row.limit.id,
                number=row.ticket.number,
                href=url_for("tickets.show", number=row.ticket.number),
                caller_href=url_for("harassment.caller", number=row.ticket.number),
                masked=row.ticket.phone_masked,
                state=labels.label(row.limit.state),
                reason=row.limit.reason,
                asked=f"{present.short(row.limit.asked_at, now=now())} {row.asked_by}",
                decided=f"{present.short(row.limit.decided_at, now=now())} {row.decided_by}".strip(),
                until=present.short(row.limit.ends_at, now=now()),
                holds=row.limit.ends_at is not None and row.limit.ends_at > now(),
            )
            for row in found.rows
        ],
        tabs=[
            (
                labels.words(one),
                url_for("harassment.limits", tab=one.value),
                one is state,
                counted.get("harassment.asked") if one is CallerLimitState.ASKED else None,
            )
            for one in _TABS
        ],
        marks=counted.get("harassment.marks", 0),
        can_decide=actor().can(P.HARASSMENT_CONFIRM),
        turn=turn(found, cursor=cursor, endpoint="harassment.limits", tab=state.value),
        size=f"本页 {len(found.rows)} 条",
        errors=errors,
    )
