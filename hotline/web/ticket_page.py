"""The one page of a ticket: everything that a person may see of it, in words, and what he may do with it now."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from flask import url_for

from callbacks import queries as callback_queries
from hotline.core.permissions import Actor, Permission
from hotline.tickets import queries, transfers
from hotline.tickets.actions import may_reveal
from hotline.tickets.models import Ticket
from hotline.tickets.queries import TimelineEntry
from hotline.tickets.refusals import REFUSALS
from hotline.tickets.states import Act, State
from hotline.tickets.vocabulary import Kind, Urgency
from hotline.web import labels, present, ticket_search
from hotline.web.desks import hints
from hotline.web.desks import relations as relations_desk
from hotline.web.desks import supervision as supervision_desk
from hotline.web.desks import transfers as transfers_desk
from hotline.web.gate import db
from hotline.web.labels import Label
from hotline.web.present import DeadlineView, TimelineItem
from hotline.web.revealing import REVEALABLE, reveal_href
from hotline.web.ticket_parts import (
    CallbackPart,
    DispatchPart,
    Fact,
    FilePart,
    RatingPart,
    ReviewPart,
    SuggestionPart,
    callback_part,
    dispatch_part,
    file_part,
    rating_part,
    review_part,
    suggestion_part,
)
from hotline.web.ticket_search import SearchRow
from hotline.web.ticket_ways import Way, part_ways, ways
from routing import lists
from routing import queries as routing
from routing.answers import parts
from routing.catalogue.editions import TERRITORIAL
from routing.queries import DispatchView
from routing.relations import duplicates

_CALLERS_ACTS: Final = frozenset({Act.CONFIRM, Act.GIVE_UP_CALLING, Act.DECLINE_CALLBACK, Act.REWORK})
_UNITS_ACTS: Final = frozenset(
    {Act.SIGN, Act.CONTACT, Act.ANSWER, Act.ASK_RETURN, Act.WITHDRAW_RETURN, Act.RECTIFY, Act.ACCOUNT}
)
_MOST_TIMELINE: Final = 500
_MOST_EARLIER: Final = 8


@dataclass(frozen=True, kw_only=True)
class Personal:
    """Something of the citizen, masked, and where to ask for it; no address: this person may not."""

    label: str
    masked: str
    reveal: str | None


@dataclass(frozen=True, kw_only=True)
class TicketShowPage:
    """Everything on the page of a ticket."""

    number: str
    version: int
    title: str
    state: Label
    outcome: Label
    kind: Label | None
    urgency: Label | None
    flags: Sequence[Label]
    request_type: str
    deadline: DeadlineView
    facts: Sequence[Fact]
    closing: Sequence[Fact]
    citizen: Sequence[Personal]
    withheld: str
    content: Sequence[hints.Piece]
    reveal_content: str | None
    stages: Sequence[tuple[str, str, str | None]]
    dispatches: Sequence[DispatchPart]
    callbacks: Sequence[CallbackPart]
    ratings: Sequence[RatingPart]
    suggestion: SuggestionPart | None
    review: ReviewPart | None
    files: Sequence[FilePart]
    earlier: Sequence[SearchRow]
    repeats: int
    repeats_number: str
    timeline: Sequence[TimelineItem]
    ways: Sequence[Way]
    can_note: bool
    supervision: supervision_desk.History
    kin: relations_desk.Kin
    #: Tickets that are probably about the same matter; only for those who can join them.
    alike: Sequence[hints.AlikeRow]
    crossed: Sequence[transfers_desk.CrossedPart]
    printed_at: str = ""
    note: str = ""
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)


def page_of(
    number: str, *, by: Actor, now: datetime, note: str = "", errors: Mapping[str, Sequence[str]] | None = None
) -> TicketShowPage:
    """Read everything that this person may see of a ticket; `NotFound` when he may see nothing of it."""
    with db().read() as session:
        ticket = routing.ticket_for(session, by, number)
        category, region = queries.where_it_belongs(session, ticket)
        dispatches = routing.dispatches_of(session, ticket.id)
        callbacks = callback_queries.story_of(session, ticket.id)
        ratings = callback_queries.ratings_of(session, ticket.id)
        entries = queries.timeline(session, ticket.id, limit=_MOST_TIMELINE)
        suggestion = routing.suggestion_of(session, ticket.id) if by.can(Permission.TICKET_DISPATCH) else None
        review = callback_queries.bad_review(session, ticket.id) if ticket.kind is Kind.BAD_REVIEW else None
        files = queries.attachments(session, ticket.id)
        caller = ticket.phone_index
        earlier = lists.of_caller(session, by, caller, now=now, limit=_MOST_EARLIER + 1) if caller else []
        units = routing.departments(session, active_only=False) if suggestion else ()
        names = {TERRITORIAL: "属地县区", **{one.code: one.name for one in units}}
        repeats_number = queries.number_of(session, ticket.repeats_id) if ticket.repeats_id else ""
        sealed = queries.sealed_fields(session, ticket)
        joins = by.can(Permission.TICKET_MERGE) and ticket.state is not State.CLOSED
        told_again = duplicates.of_ticket(session, ticket) if joins else []
        crossed = transfers.of_ticket(session, ticket.id)
        shared = parts.of_ticket(session, ticket.id)
    open_eyes = may_reveal(ticket, by)
    return TicketShowPage(
        number=ticket.number,
        version=ticket.version,
        title=ticket.title,
        state=labels.label(ticket.state),
        outcome=labels.label(ticket.outcome),
        kind=labels.label(ticket.kind) if ticket.kind is Kind.BAD_REVIEW else None,
        urgency=labels.label(ticket.urgency) if ticket.urgency is not Urgency.ORDINARY else None,
        flags=[*_flags(ticket), *([Label("答复待审核", "warning")] if any(row.vetted for row in dispatches) else [])],
        request_type=labels.words(ticket.request_type),
        deadline=present.deadline(
            ticket.due_at,
            now=now,
            stands_until=next((row.suspended_until for row in reversed(dispatches) if row.is_current), None),
        ),
        facts=_facts(ticket, entries, category=category, region=region),
        closing=_closing(ticket),
        citizen=_citizen(ticket, sealed, may=open_eyes),
        withheld="" if open_eyes else _withheld(ticket, by),
        content=hints.marked(ticket.content, suggestion.body if suggestion else {}, field="body"),
        reveal_content=reveal_href(ticket, "content") if open_eyes and "content" in sealed else None,
        stages=_stages(ticket, now=now),
        dispatches=[dispatch_part(row, shared, by=by, now=now) for row in reversed(dispatches)],
        callbacks=[part for row in reversed(callbacks) if (part := callback_part(row, by=by, now=now))],
        ratings=[rating_part(row, now=now) for row in ratings],
        suggestion=suggestion_part(suggestion, names, now=now) if suggestion else None,
        review=review_part(review, now=now) if review else None,
        files=[file_part(row, ticket, now=now) for row in files],
        earlier=[
            ticket_search.row(row, href=url_for("tickets.show", number=row.number), now=now)
            for row in earlier
            if row.id != ticket.id
        ][:_MOST_EARLIER],
        repeats=ticket.repeats,
        repeats_number=repeats_number,
        timeline=_timeline(entries, dispatches, by=by, now=now),
        ways=[*part_ways(shared, by=by), *ways(ticket, dispatches, callbacks, entries, by=by)],
        can_note=by.can(Permission.TICKET_NOTE),
        supervision=supervision_desk.history(by, ticket.id),
        kin=relations_desk.kin(by, ticket.id),
        alike=hints.alike_rows(told_again, now=now),
        crossed=transfers_desk.parts(by, ticket, crossed, now=now),
        printed_at=present.moment(now),
        note=note,
        errors=errors or {},
    )


def _flags(ticket: Ticket) -> list[Label]:
    return [
        label
        for label, there in (
            (Label("保密", "warning"), ticket.confidential),
            (Label("匿名"), ticket.anonymous),
            (Label(f"重办第 {ticket.rework_rounds} 轮", "warning"), ticket.rework_rounds > 0),
            (Label(f"退单 {ticket.returned} 次", "warning"), ticket.returned > 0),
            (Label(f"催办 {ticket.repeats} 次", "danger"), ticket.repeats > 0),
        )
        if there
    ]


def _facts(ticket: Ticket, entries: Sequence[TimelineEntry], *, category: str, region: str) -> list[Fact]:
    first = entries[0] if entries else None
    taken_by = (first.by_name or labels.words(first.by_role)) if first else ""
    pairs = (
        ("来源渠道", labels.words(ticket.channel)),
        ("诉求类型", labels.words(ticket.request_type)),
        ("事件类别", category),
        ("所属区域", region),
        ("服务事项", ticket.service_item or ""),
        ("事发地点", ticket.place),
        ("涉及单位", ticket.company),
        ("发生时间", present.moment(ticket.happened_at)),
        ("受理时间", f"{present.moment(ticket.registered_at)}　{taken_by}".strip("　")),
        ("希望回访", "是" if ticket.wants_callback else "否"),
        ("外部来源", f"{ticket.source_system} {ticket.source_key}" if ticket.source_system else ""),
        ("办结时间", present.moment(ticket.closed_at)),
    )
    optional = {"服务事项", "涉及单位", "发生时间", "外部来源", "办结时间"}
    return [Fact(label=label, words=words) for label, words in pairs if words or label not in optional]


def _closing(ticket: Ticket) -> list[Fact]:
    refusal = REFUSALS.get(ticket.refusal_reason or "")
    reason = refusal.words if refusal else ticket.refusal_reason
    pairs = (
        ("不予受理理由", f"{ticket.refusal_reason} {reason}" if ticket.refusal_reason else ""),
        ("转往", " ".join(filter(None, (ticket.transfer_to, ticket.transfer_number)))),
        ("告知诉求人", ticket.closing_words),
    )
    return [Fact(label=label, words=words) for label, words in pairs if words]


def _citizen(ticket: Ticket, sealed: Collection[str], *, may: bool) -> list[Personal]:
    masked = {
        "name": ticket.name_masked or ("匿名" if ticket.anonymous else ""),
        "phone": ticket.phone_masked,
        "address": ticket.address_masked,
        "id_number": "*" * 18 if "id_number" in sealed else "",
    }
    return [
        Personal(
            label=REVEALABLE[what],
            masked=words or "未填写",
            reveal=reveal_href(ticket, what) if may and what in sealed else None,
        )
        for what, words in masked.items()
        if words or what != "id_number"
    ]


def _withheld(ticket: Ticket, by: Actor) -> str:
    if ticket.confidential and by.can(Permission.PERSONAL_REVEAL):
        return "诉求人要求对承办单位保密，需要联系时请通过热线中心转达。"
    return ""


def _stages(ticket: Ticket, *, now: datetime) -> list[tuple[str, str, str | None]]:
    def when(at: datetime | None) -> str | None:
        return present.short(at, now=now) or None

    closed_early = ticket.state is State.CLOSED and ticket.dispatched_at is None
    if closed_early:
        return [
            ("受理", "done", when(ticket.registered_at)),
            (labels.words(ticket.outcome), "done", when(ticket.closed_at)),
        ]
    order = (State.REGISTERED, State.DISPATCHED, State.SIGNED, State.ANSWERED, State.CLOSED)
    at = order.index(ticket.state)
    answered = ticket.answered_at if ticket.state in {State.ANSWERED, State.CLOSED} else None
    rows = (
        ("受理", ticket.registered_at, 0),
        ("派单", ticket.dispatched_at, 1),
        ("签收办理", None, 2),
        ("答复", answered, 3),
        ("回访办结", ticket.closed_at, 4),
    )
    # A state says what has been done: "registered" means that the dispatch is what comes next.
    return [
        (words, "done" if step <= at else "current" if step == at + 1 else "todo", when(moment) if step <= at else None)
        for words, moment, step in rows
    ]


def _timeline(
    entries: Sequence[TimelineEntry], dispatches: Sequence[DispatchView], *, by: Actor, now: datetime
) -> list[TimelineItem]:
    """Return what happened, the latest first; what a unit did stands under the unit's name.

    A unit does not learn from its own ticket that it is being called about, nor who called (domain.md 3.2).
    """
    shown = [entry for entry in entries if entry.act is not Act.CALL or by.can(Permission.CALLBACK_VIEW)]
    if not by.can(Permission.TICKET_VIEW_ALL):
        shown = [
            replace(entry, by_name="") if entry.act in _CALLERS_ACTS else entry
            for entry in shown
            if entry.act is not Act.REVEAL or entry.by_id == by.user_id
        ]
    units = {
        entry.id: next((row.department for row in reversed(dispatches) if row.sent_at <= entry.at), "")
        for entry in shown
        if entry.act in _UNITS_ACTS
    }
    return list(reversed(present.timeline(shown, now=now, units=units)))
