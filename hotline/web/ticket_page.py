"""The one page of a ticket: everything that a person may see of it, in words, and what he may do with it now."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from flask import url_for

from callbacks import queries as callback_queries
from callbacks.models import BadReview, CitizenRating
from callbacks.queries import CallbackStory
from hotline.core.permissions import Actor, Permission
from hotline.tickets import queries, transfers
from hotline.tickets.actions import may_reveal
from hotline.tickets.models import Attachment, Ticket
from hotline.tickets.queries import TimelineEntry
from hotline.tickets.refusals import REFUSALS
from hotline.tickets.states import HANDLING, MOVES, Act, State, acts_from
from hotline.tickets.vocabulary import Kind, Urgency
from hotline.web import labels, present, ticket_search
from hotline.web.desks import hints
from hotline.web.desks import relations as relations_desk
from hotline.web.desks import supervision as supervision_desk
from hotline.web.desks import transfers as transfers_desk
from hotline.web.desks.part import PartRow, part_row
from hotline.web.gate import db
from hotline.web.labels import Label
from hotline.web.present import DeadlineView, TimelineItem
from hotline.web.revealing import REVEALABLE, reveal_href
from hotline.web.ticket_search import SearchRow
from routing import lists
from routing import queries as routing
from routing.answers import parts
from routing.answers.parts import PartView
from routing.catalogue.editions import TERRITORIAL
from routing.clocks.profiles import ClockName
from routing.clocks.steps import CLOCK_LABELS
from routing.models import Ending, Suggestion
from routing.queries import DispatchView
from routing.relations import duplicates

_CLOCKS: Final = (
    ClockName.SIGN,
    ClockName.CONTACT,
    ClockName.RETURN,
    ClockName.FEEDBACK,
    ClockName.HANDLE,
    ClockName.TOTAL,
)
_CALLERS_ACTS: Final = frozenset({Act.CONFIRM, Act.GIVE_UP_CALLING, Act.DECLINE_CALLBACK, Act.REWORK})
_UNITS_ACTS: Final = frozenset(
    {Act.SIGN, Act.CONTACT, Act.ANSWER, Act.ASK_RETURN, Act.WITHDRAW_RETURN, Act.RECTIFY, Act.ACCOUNT}
)
_MOST_TIMELINE: Final = 500
_MOST_EARLIER: Final = 8


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A name and what is known under it."""

    label: str
    words: str


@dataclass(frozen=True, kw_only=True)
class Personal:
    """Something of the citizen, masked, and where to ask for it; no address: this person may not."""

    label: str
    masked: str
    reveal: str | None


@dataclass(frozen=True, kw_only=True)
class Way:
    """One thing that this person can do with the ticket now."""

    words: str
    href: str
    tone: str = "secondary"
    key: str | None = None
    icon: str | None = None


@dataclass(frozen=True, kw_only=True)
class Why:
    """One deadline with the steps that lead to it."""

    label: str
    due: str
    steps: Sequence[str]
    confirmed: bool


@dataclass(frozen=True, kw_only=True)
class AnswerPart:
    """What a department fed back."""

    at: str
    internal_note: str
    public_answer: str
    found_true: str
    beyond_duty: bool
    solved: Label
    plan: str
    plan_on: str
    left_out_why: str


@dataclass(frozen=True, kw_only=True)
class DispatchPart:
    """The ticket in the hands of one department."""

    id: int
    department: str
    round: str
    current: bool
    automatic: bool
    reason: str
    sent_at: str
    sent_by: str
    signed_at: str
    signed_by: str
    contacted_at: str
    ending: Label
    sign_deadline: DeadlineView
    deadline: DeadlineView
    profile: str
    #: The edition of the dispatch catalogue and the class of limits under which it went out, in words.
    catalogue: str
    why: Sequence[Why]
    answer: AnswerPart | None
    #: What co-handlers and departments below did of it.
    parts: Sequence[PartRow]


@dataclass(frozen=True, kw_only=True)
class AttemptPart:
    """One ringing."""

    at: str
    outcome: Label
    note: str
    by: str


@dataclass(frozen=True, kw_only=True)
class CallbackPart:
    """One callback: what was said, and, for those who call, what is planned and how often it rang."""

    round: str
    verdict: Label | None
    planned: str
    done_at: str
    done_by: str
    said: Sequence[Fact]
    reason: str
    attempts: Sequence[AttemptPart]


@dataclass(frozen=True, kw_only=True)
class RatingPart:
    """What the citizen says himself."""

    stars: int
    words: str
    at: str
    round: str


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Something that the model proposes."""

    name: str
    chance: str
    percent: int


@dataclass(frozen=True, kw_only=True)
class SuggestionPart:
    """What the model said of the ticket."""

    at: str
    version: str
    departments: Sequence[Candidate]
    categories: Sequence[Candidate]
    risks: Sequence[hints.Risk]
    reason: str
    verdict: Label


@dataclass(frozen=True, kw_only=True)
class FilePart:
    """One attachment."""

    href: str
    name: str
    size: str
    at: str
    public: bool
    icon: str


@dataclass(frozen=True, kw_only=True)
class ReviewPart:
    """A bad review and what was found."""

    facts: Sequence[Fact]
    verdict: Label | None
    rectification: str


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
        dispatches=[_dispatch(row, shared, by=by, now=now) for row in reversed(dispatches)],
        callbacks=[part for row in reversed(callbacks) if (part := _callback(row, by=by, now=now))],
        ratings=[_rating(row, now=now) for row in ratings],
        suggestion=_suggestion(suggestion, names, now=now) if suggestion else None,
        review=_review(review, now=now) if review else None,
        files=[_file(row, ticket, now=now) for row in files],
        earlier=[
            ticket_search.row(row, href=url_for("tickets.show", number=row.number), now=now)
            for row in earlier
            if row.id != ticket.id
        ][:_MOST_EARLIER],
        repeats=ticket.repeats,
        repeats_number=repeats_number,
        timeline=_timeline(entries, dispatches, by=by, now=now),
        ways=[*_part_ways(shared, by=by), *ways(ticket, dispatches, callbacks, entries, by=by)],
        can_note=by.can(Permission.TICKET_NOTE),
        supervision=supervision_desk.history(by, ticket.id),
        kin=relations_desk.kin(by, ticket.id),
        alike=hints.alike_rows(told_again, now=now),
        crossed=transfers_desk.parts(by, ticket, crossed, now=now),
        printed_at=present.moment(now),
        note=note,
        errors=errors or {},
    )


def _part_ways(shared: Sequence[PartView], *, by: Actor) -> list[Way]:
    """Return the way to the part that one's own department has to do."""
    mine = [one for one in shared if one.row.department_id in by.department_ids and one.row.ended_at is None]
    if not mine or not by.can(Permission.TICKET_ANSWER) or mine[-1].lead_id in by.department_ids:
        return []
    href = url_for("part.show", subtask_id=mine[-1].row.id)
    return [Way(words="办理协办任务", href=href, tone="primary", key="alt+r", icon="git-merge")]


def ways(
    ticket: Ticket,
    dispatches: Sequence[DispatchView],
    callbacks: Sequence[CallbackStory],
    entries: Sequence[TimelineEntry],
    *,
    by: Actor,
) -> list[Way]:
    """Return what the map offers from here, what this person was granted, and what he himself may do in this case."""
    offered = {act for act in acts_from(ticket.state, ticket.kind) if by.can(MOVES[act].permission)}
    holder = next((row for row in dispatches if row.is_current and not row.ended_at), None)
    holds = holder is not None and holder.department_id in by.department_ids
    waiting = next((story.callback for story in callbacks if story.callback.done_at is None), None)
    handled = {entry.by_id for entry in entries if entry.act in HANDLING}
    number = ticket.number
    found = []
    if Act.DISPATCH in offered:
        found.append(Way(words="派单", href=f"/dispatch/{number}", tone="primary", key="alt+p", icon="send"))
    if holds and offered & {Act.SIGN, Act.ANSWER, Act.CONTACT, Act.ASK_RETURN}:
        words = "签收办理" if Act.SIGN in offered else "办理答复"
        found.append(
            Way(words=words, href=f"/department/{number}", tone="primary", key="alt+r", icon="clipboard-check")
        )
    if ticket.state in {State.REGISTERED, State.DISPATCHED, State.SIGNED}:
        found += _duty_ways(number, by=by, holds=holds)
    if waiting is not None and Act.CALL in offered and by.user_id not in handled:
        found.append(
            Way(words="回访", href=f"/callbacks/{waiting.id}", tone="primary", key="alt+h", icon="phone-outgoing")
        )
    if any(row.is_current for row in dispatches):
        found.append(Way(words="协办", href=f"/tickets/{number}/parts", icon="git-merge"))
    if dispatches:
        found.append(Way(words="时限说明", href=f"/tickets/{number}/deadlines", icon="clock-hour-4"))
    if ticket.kind is Kind.BAD_REVIEW and Act.VERIFY in offered:
        found.append(Way(words="差评认定", href="/reviews", icon="gavel"))
    found += [
        Way(words=words, href=url_for(f"tickets.{endpoint}", number=number), key=key, icon=icon, tone=tone)
        for act, words, endpoint, key, icon, tone in (
            (Act.ANSWER_DIRECTLY, "直接答复", "answer_form", "alt+r", "message", "secondary"),
            (Act.REFUSE, "不予受理", "refuse_form", "alt+j", "ban", "secondary"),
            (Act.TRANSFER, "转接", "transfer_form", "alt+t", "arrow-forward-up", "secondary"),
            (Act.REWORK, "重办", "rework_form", None, "refresh", "secondary"),
            (Act.AMEND, "修改", "edit_form", None, "edit", "secondary"),
            (Act.WITHDRAW, "撤单", "withdraw_form", None, "x", "danger"),
        )
        if act in offered and (act is not Act.REWORK or (dispatches and waiting is None))
    ]
    if by.can(Permission.HARASSMENT_MARK) and ticket.phone_index is not None and ticket.kind is Kind.CONCERN:
        found.append(Way(words="骚扰来电", href=url_for("harassment.caller", number=number), icon="ban"))
    if by.can(Permission.TICKET_MERGE) and ticket.kind is Kind.CONCERN and ticket.state is not State.CLOSED:
        found.append(Way(words="并单", href=url_for("relations.merge_form", number=number), icon="git-merge"))
    found += [
        Way(words=words, href=url_for(f"notices.{endpoint}", number=number), key=key, icon=icon)
        for act, words, endpoint, key, icon in (
            (Act.URGE, "催办", "urge_form", "alt+u", "bell"),
            (Act.SUPERVISE, "督办", "supervise_form", "alt+k", "alert-triangle"),
        )
        if act in offered
    ]
    return found


def _duty_ways(number: str, *, by: Actor, holds: bool) -> list[Way]:
    """Return the ways that settle whose duty the ticket is."""
    found = []
    if by.can(Permission.DISPUTE_CONVENE) or (holds and by.can(Permission.DISPUTE_ARGUE)):
        found.append(Way(words="提请职责裁定", href=url_for("disputes.ask_form", number=number), icon="scale"))
    if by.can(Permission.TICKET_DESIGNATE):
        found.append(Way(words="指定承办", href=url_for("disputes.designate_form", number=number), icon="flag"))
    return found


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


def _round(number: int) -> str:
    return f"重办第 {number} 轮" if number else "首次办理"


def _dispatch(row: DispatchView, shared: Sequence[PartView], *, by: Actor, now: datetime) -> DispatchPart:
    answer = row.answer
    ended = row.answered_at or row.ended_at
    return DispatchPart(
        id=row.id,
        department=row.department,
        round=_round(row.round),
        current=row.is_current and row.ended_at is None,
        automatic=row.automatic,
        reason=row.reason,
        sent_at=present.moment(row.sent_at),
        # A round of rework is sent by whoever called the citizen; the unit does not learn who that was.
        sent_by=(row.sent_by if not row.round or by.can(Permission.TICKET_VIEW_ALL) else "")
        or ("系统" if row.automatic else ""),
        signed_at=present.moment(row.signed_at),
        signed_by=row.signed_by,
        contacted_at=present.moment(row.contacted_at),
        ending=labels.label(Ending(row.ending)) if row.ending else Label(""),
        sign_deadline=present.deadline(row.sign_due_at, now=now, done_at=row.signed_at or row.ended_at),
        deadline=present.deadline(row.due_at, now=now, done_at=ended),
        profile=present.profile(row.profile),
        catalogue=" · ".join(
            [f"派单目录第 {row.edition} 版"] * (row.edition is not None)
            + [f"时限类别 {row.sla_class}"] * bool(row.sla_class)
        ),
        why=_why(row),
        answer=AnswerPart(
            at=present.moment(answer.at),
            internal_note=answer.internal_note,
            public_answer=answer.public_answer,
            found_true="属实" if answer.found_true else "不属实",
            beyond_duty=answer.beyond_duty,
            solved=labels.label(answer.solved),
            plan=answer.plan,
            plan_on=present.day(answer.plan_on),
            left_out_why=answer.left_out_why,
        )
        if answer
        else None,
        parts=[part_row(one, paper=True) for one in shared if one.row.dispatch_id == row.id],
    )


def _why(row: DispatchView) -> list[Why]:
    return [
        Why(
            label=CLOCK_LABELS[clock],
            due=present.moment(datetime.fromisoformat(str(told["due"]))),
            steps=[str(step) for step in told.get("steps", ())],
            confirmed=bool(told.get("confirmed", True)),
        )
        for clock in _CLOCKS
        if (told := row.steps.get(clock.value))
    ]


def _callback(story: CallbackStory, *, by: Actor, now: datetime) -> CallbackPart | None:
    """Return a callback; a unit learns what was said and never that, or how often, its ticket is being called about."""
    row, calls = story.callback, by.can(Permission.CALLBACK_VIEW)
    if row.done_at is None and not calls:
        return None
    said = (
        ("是否答复", None if row.replied is None else "已答复" if row.replied else "未答复"),
        ("是否解决", labels.words(row.solved)),
        ("过程满意", labels.words(row.process)),
        ("结果满意", labels.words(row.result)),
    )
    return CallbackPart(
        round=_round(row.round),
        verdict=labels.label(row.verdict) if row.verdict else None,
        planned=present.short(row.planned_at, now=now) if row.done_at is None else "",
        done_at=present.moment(row.done_at),
        done_by=story.done_by if calls else "",
        said=[Fact(label=label, words=words) for label, words in said if words],
        reason=row.reason,
        attempts=[
            AttemptPart(
                at=present.moment(attempt.at), outcome=labels.label(attempt.outcome), note=attempt.note, by=name
            )
            for attempt, name in story.attempts
        ]
        if calls
        else [],
    )


def _rating(row: CitizenRating, *, now: datetime) -> RatingPart:
    return RatingPart(stars=row.stars, words=row.words, at=present.short(row.at, now=now), round=_round(row.round))


def _suggestion(row: Suggestion, names: Mapping[str, str], *, now: datetime) -> SuggestionPart:
    if row.agreed is None:
        verdict = Label("未由人工裁定")
    else:
        verdict = Label("与人工派单一致", "success") if row.agreed else Label("人工另派", "warning")
    return SuggestionPart(
        at=present.short(row.made_at, now=now),
        version=row.model_version,
        departments=_candidates(row.body.get("departments", ()), names),
        categories=_candidates(row.body.get("category", ()), {}),
        risks=hints.risks(row.body),
        reason=row.reason,
        verdict=verdict,
    )


def _candidates(rows: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> list[Candidate]:
    """Name the candidates in words: as we know their code, else as the model names them, which may be the code."""
    return [
        Candidate(
            name=str(names.get(code := str(row.get("code", ""))) or row.get("name") or code),
            chance=hints.percent(float(row["p"])),
            percent=round(float(row["p"]) * 100),
        )
        for row in hints.likely(rows)
    ]


def _review(row: BadReview, *, now: datetime) -> ReviewPart:
    pairs = (
        ("办理事项", row.service_item),
        ("服务窗口", row.service_window),
        ("评价等级", f"{row.stars} 星"),
        ("评价时间", present.short(row.rated_at, now=now)),
        ("是否实名", "实名" if row.real_name else "匿名"),
        ("初步认定", labels.words(row.proposed)),
        ("认定依据", row.proposed_reason),
        ("认定时间", present.moment(row.verified_at)),
        ("整改时间", present.moment(row.rectified_at)),
    )
    return ReviewPart(
        facts=[Fact(label=label, words=words) for label, words in pairs if words],
        verdict=labels.label(row.verdict) if row.verdict else None,
        rectification=row.rectification,
    )


def _file(row: Attachment, ticket: Ticket, *, now: datetime) -> FilePart:
    return FilePart(
        href=url_for("tickets.file", number=ticket.number, file_id=row.id),
        name=row.name,
        size=present.size_words(row.size),
        at=present.short(row.added_at, now=now),
        public=row.public,
        icon="photo" if row.media_type.startswith("image/") else "file-text",
    )


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
