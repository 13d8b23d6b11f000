"""One ticket as its unit works on it: deadline, contacts, rounds, returns, what the hotline asked for, the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from flask import url_for

from callbacks import queries as callback_queries
from callbacks.models import MUST_RECTIFY
from callbacks.queries import ReviewRow
from hotline.core.clock import local
from hotline.core.db import Database
from hotline.core.permissions import GRANTS, Permission
from hotline.tickets import actions as ticket_actions
from hotline.tickets import queries as ticket_queries
from hotline.tickets.models import Ticket
from hotline.tickets.queries import TimelineEntry
from hotline.tickets.states import Act, State
from hotline.web import forms, labels, present
from hotline.web.desks.clocks import ClockView, clocks_of
from hotline.web.desks.department_inbox import marks_of, moved_lately, urgency_label
from hotline.web.desks.part import PartRow, part_row
from hotline.web.gate import actor, now
from hotline.web.labels import Label
from hotline.web.present import DeadlineView
from hotline.web.revealing import reveal_hrefs
from routing import queries as routing_queries
from routing.answers import parts as part_acts
from routing.answers import vetting
from routing.answers.doubts import Doubt
from routing.answers.vetting import VettingView
from routing.answers.vetting_models import VettingState
from routing.duty import queries as duty_queries
from routing.duty import returning
from routing.duty.queries import ReturnView
from routing.duty.rules import ReturnState
from routing.models import Ending, Solved, Standing
from routing.queries import DepartmentNode, DispatchView

#: What a sentence ends with is left away where the next one follows.
_STOPS: Final = "。；;. "
WAYS: Final = ("电话", "短信", "上门", "其他")
DOUBTS: Final[Mapping[Doubt, str]] = {
    Doubt.NOT_CONTACTED: "还没有联系诉求人的记录。回访会首先询问承办单位是否联系或答复过。",
    Doubt.SAME_AS_NOTE: "公开答复与内部办理情况几乎相同。公开答复是写给诉求人看的，请确认其中没有内部用语和内部安排。",
    Doubt.TEMPLATE: "公开答复去掉套话后几乎没有具体内容。请写明查到了什么、做了什么、什么时候完成。",
    Doubt.OFF_THE_MATTER: "公开答复没有提到诉求中的任何事项，请确认没有答错工单。",
    Doubt.COPIED: "公开答复几乎照抄了诉求内容，请写明查到了什么、做了什么。",
    Doubt.SAME_ELSEWHERE: "公开答复与其他工单的答复一字不差，请确认不是复制来的，并针对本件诉求修改。",
    Doubt.NAMES_CITIZEN: "公开答复中写了诉求人的姓名、号码或门牌户号，公开时会泄露个人信息，请删去或改为“您”“您家”。",
}


@dataclass(frozen=True, kw_only=True)
class ContactView:
    """One recorded contact with the citizen."""

    at: str
    iso: str
    way: str
    words: str
    who: str
    proof: str = ""


@dataclass(frozen=True, kw_only=True)
class RoundView:
    """One dispatch of the ticket before the present one, or the present one when it is done."""

    title: str
    department: str
    sent: str
    why: str
    #: What the citizen said that made the round necessary.
    citizen: str
    #: Why that unit sent it back, with the basis: the next one may read it (domain.md 2.6).
    returned: str
    answered: str
    note: str
    public_answer: str
    claims: tuple[Label, ...]
    plan: str
    left_out_why: str
    ending: Label | None
    due: DeadlineView


@dataclass(frozen=True, kw_only=True)
class ReturnLine:
    """One return of the ticket that has not taken effect: waiting, refused or taken back."""

    id: int
    state: Label
    department: str
    asked: str
    words: str
    ruling: str
    due: DeadlineView
    mine: bool


@dataclass(frozen=True, kw_only=True)
class FileView:
    """One attachment."""

    name: str
    size: str
    href: str


@dataclass(frozen=True, kw_only=True)
class ReviewView:
    """What the unit must know of a bad review; never who judges or calls back."""

    service_item: str
    service_window: str
    stars: int
    real_name: bool
    rated: str
    verdict: Label
    judged: bool
    must_rectify: bool
    #: It was answered before it was judged: the citizen is called back as soon as the unit says what it put right.
    still_to_rectify: bool
    rectification: str
    rectified: str


@dataclass(frozen=True, kw_only=True)
class SentBack:
    """An answer that the hotline's reader did not let pass."""

    at: str
    why: str
    public_answer: str


@dataclass(frozen=True, kw_only=True)
class WorkPage:
    """The department's working page of one ticket."""

    id: int
    number: str
    version: int
    title: str
    content: str
    place: str
    company: str
    category: str
    region: str
    channel: str
    request_type: str
    registered: str
    happened: str
    state: Label
    urgency: Label | None
    marks: tuple[Label, ...]
    name: str
    phone: str
    address: str
    reveal: Mapping[str, str | None]
    confidential: bool
    anonymous: bool
    due: DeadlineView
    #: That a declared day or an edition moved the deadline these days, from when to when; else empty.
    moved: str
    clocks: tuple[ClockView, ...]
    department: str
    sent_at: str
    sent_by: str
    sent_why: str
    profile: str
    rework_reason: str
    in_hand: bool
    signed: bool
    signed_words: str
    why_not: str
    #: Where a co-handler that reads this has his own part to do.
    my_part_href: str | None
    contacts: tuple[ContactView, ...]
    notes: tuple[ContactView, ...]
    rounds: tuple[RoundView, ...]
    files: tuple[FileView, ...]
    files_action: str
    review: ReviewView | None
    return_open: bool
    #: Held until a ruling, or by one: then it cannot be returned.
    bound: Label | None
    #: The return that waits for the hotline, and those that were refused or taken back (domain.md 2.6).
    asked: ReturnLine | None
    asked_before: tuple[ReturnLine, ...]
    returned: int
    return_words: str
    return_reasons: tuple[tuple[str, str], ...]
    departments: tuple[tuple[str, str], ...]
    solved_options: tuple[tuple[str, str], ...]
    ways: tuple[tuple[str, str], ...]
    today: str
    parts: tuple[PartRow, ...] = ()
    parts_href: str = ""
    #: Names of the co-handlers that have not answered: the lead waits for them or says why not.
    waits_for: tuple[str, ...] = ()
    #: Answers that a reader of the hotline sent back, with his reason.
    sent_back: tuple[SentBack, ...] = ()
    #: Which form was refused: contact, answer, send_back, note, rectify.
    form: str = ""
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    warned: str = ""


def _told_before(row: DispatchView) -> str:
    """Return the reminder that a date may have been told on the telephone: nobody else can know that it was."""
    if row.contacted_at is None or row.moved_at is None or row.contacted_at > row.moved_at:
        return ""
    return f"{present.short(row.contacted_at, now=now())} 联系过诉求人，如曾告知期限，请再次告知。"


def work_page(
    database: Database,
    number: str,
    *,
    form: str = "",
    errors: Mapping[str, Sequence[str]] | None = None,
    values: Mapping[str, str] | None = None,
    warnings: Sequence[Doubt] = (),
) -> WorkPage:
    """Read a ticket as its unit sees it, with what was typed where a form was refused."""
    with database.read() as session:
        ticket = routing_queries.ticket_for(session, actor(), number)
        category, region = routing_queries.place_names(session, ticket)
        sent = routing_queries.dispatches_of(session, ticket.id)
        entries = ticket_queries.timeline(session, ticket.id)
        files = ticket_queries.attachments(session, ticket.id)
        review = callback_queries.review_of(session, ticket.id) if ticket.kind.value == "bad_review" else None
        departments = routing_queries.departments(session, with_parts_only=False)
        shared = part_acts.of_ticket(session, ticket.id)
        returns = duty_queries.returns_of_ticket(session, ticket.id)
        read = vetting.of_dispatch(session, sent[-1].id) if sent else []
    mine = [row for row in sent if row.department_id in actor().department_ids]
    shown = mine[-1] if mine else sent[-1]
    current = next((row for row in sent if row.is_current), None)
    # Who helps may read the ticket; what is done here is the lead's alone.
    in_hand = bool(mine) and current is shown and not shown.answered_at and not shown.ended_at
    my_parts = [one for one in shared if one.row.department_id in actor().department_ids and one.row.ended_at is None]
    returned = {one.dispatch_id: _returned(one) for one in returns if one.state is ReturnState.UPHELD}
    asked = [_asked(one) for one in returns if one.state is not ReturnState.UPHELD]
    waiting = next((one for one in returns if one.state is ReturnState.OPEN), None)
    return_due = _return_due(shown)
    may_know = ticket_actions.may_reveal(ticket, actor())
    again = [
        one for one in read if one.row.state is VettingState.SENT_BACK and one.row.dispatch_id == shown.id and in_hand
    ]
    begun = _begun(again, gathered=part_acts.gathered([one for one in shared if one.row.dispatch_id == shown.id]))
    return WorkPage(
        id=ticket.id,
        number=ticket.number,
        version=forms.version_seen(values) or ticket.version,
        title=ticket.title,
        content=ticket.content,
        place=ticket.place,
        company=ticket.company,
        category=category,
        region=region,
        channel=labels.words(ticket.channel),
        request_type=ticket.request_type.value,
        registered=present.moment(ticket.registered_at),
        happened=present.moment(ticket.happened_at),
        state=labels.label(ticket.state),
        urgency=urgency_label(ticket.urgency),
        marks=marks_of(
            rounds=ticket.rework_rounds,
            repeats=ticket.repeats,
            kind=ticket.kind,
            flags=[Label("要求保密", "danger")] if ticket.confidential else [],
        ),
        name=ticket.name_masked if may_know else "已保密",
        phone=ticket.phone_masked if may_know else "已保密",
        address=ticket.address_masked if may_know else "已保密",
        reveal=reveal_hrefs(ticket),
        confidential=ticket.confidential,
        anonymous=ticket.anonymous,
        due=present.deadline(shown.due_at, now=now(), done_at=shown.answered_at, stands_until=shown.suspended_until)
        if in_hand or shown.answered_at
        else present.deadline(None, now=now()),
        moved=f"办理时限已于 {present.moment(shown.moved_at)} 由 {present.moment(shown.moved_from)} 调整为"
        f" {present.moment(shown.due_at)}，依据见“时限”中的计算步骤。{_told_before(shown)}"
        if in_hand and moved_lately(shown)
        else "",
        clocks=clocks_of(shown),
        department=shown.department,
        sent_at=present.moment(shown.sent_at),
        sent_by=_sender(shown),
        sent_why=shown.reason if not shown.round else "",
        profile=present.profile(shown.profile),
        rework_reason=shown.reason if shown.round else "",
        in_hand=in_hand,
        signed=shown.signed_at is not None,
        signed_words=f"{present.moment(shown.signed_at)} {shown.signed_by}" if shown.signed_at else "",
        why_not="" if in_hand else _why_not(ticket, shown, current, helps=not mine),
        my_part_href=url_for("part.show", subtask_id=my_parts[-1].row.id) if my_parts and not in_hand else None,
        contacts=tuple(_contact(entry) for entry in entries if entry.act is Act.CONTACT),
        notes=tuple(_contact(entry) for entry in entries if entry.act is Act.NOTE),
        rounds=tuple(_round(row, returned=returned.get(row.id, "")) for row in sent if not (row is shown and in_hand)),
        files=tuple(
            FileView(
                name=one.name,
                size=present.size_words(one.size),
                href=url_for("tickets.file", number=ticket.number, file_id=one.id),
            )
            for one in files
        ),
        files_action=url_for("tickets.attach", number=ticket.number),
        review=_review(review, holds=current is not None and current is shown) if review else None,
        bound=labels.label(shown.standing) if shown.standing is not Standing.ORDINARY else None,
        return_open=waiting is None
        and shown.standing is Standing.ORDINARY
        and (return_due is None or now() <= return_due),
        asked=_asked(waiting) if waiting else None,
        asked_before=tuple(one for one in asked if waiting is None or one.id != waiting.id),
        returned=ticket.returned,
        return_words=_return_words(return_due),
        return_reasons=_reasons_left(returns),
        departments=_choices(departments),
        solved_options=tuple(labels.options(Solved)),
        ways=tuple((way, way) for way in WAYS),
        today=present.day(local(now()).date()),
        parts=tuple(part_row(one) for one in shared if one.row.dispatch_id == shown.id),
        parts_href=url_for("part.of_ticket", number=ticket.number),
        waits_for=tuple(one.department for one in shared if one.row.dispatch_id == shown.id and not one.row.ended_at),
        sent_back=tuple(_sent_back(one) for one in reversed(again)),
        form=form,
        errors=errors or {},
        values=_values(values, now=now(), begun=begun),
        warnings=tuple(DOUBTS[doubt] for doubt in warnings),
        warned=",".join(doubt.value for doubt in warnings),
    )


def _sent_back(one: VettingView) -> SentBack:
    return SentBack(at=present.moment(one.row.decided_at), why=one.row.words, public_answer=one.answer.public_answer)


def _begun(again: Sequence[VettingView], *, gathered: str) -> dict[str, str]:
    """Return what the answer's form begins with: what was sent back, or what the co-handlers answered."""
    if not again:
        return {"internal_note": gathered}
    last = again[-1].answer
    return {
        "internal_note": last.internal_note,
        "public_answer": last.public_answer,
        "found_true": "yes" if last.found_true else "no",
        "beyond_duty": "yes" if last.beyond_duty else "no",
        "solved": last.solved.value,
        "plan": last.plan,
        "plan_on": present.day(last.plan_on),
    }


def _values(typed: Mapping[str, str] | None, *, now: datetime, begun: Mapping[str, str]) -> dict[str, str]:
    blank = dict.fromkeys(
        (
            "contact_way", "contact_words", "found_true", "beyond_duty", "solved", "plan", "plan_on", "internal_note",
            "public_answer", "return_reason", "return_words", "return_basis", "return_department", "note",
            "rectification", "left_out_why",
        ),
        "",
    )  # fmt: skip
    usual = {"contact_at": present.field_moment(now), "contact_way": WAYS[0]}
    return {**blank, **usual, **begun, **(typed or {})}


def _sender(row: DispatchView) -> str:
    """Return who sent it; a round of rework comes from the hotline: who called back stays unknown (domain.md 3.2)."""
    if row.automatic:
        return "系统自动派单"
    return "热线中心回访后重办" if row.round else row.sent_by or "热线中心"


def _return_due(row: DispatchView) -> datetime | None:
    until = row.steps.get("return", {}).get("due")
    return datetime.fromisoformat(until) if until else None


def _return_words(until: datetime | None) -> str:
    if until is None:
        return "本类工单没有单独的退单期限。"
    if now() > until:
        return f"退单期限已于 {present.moment(until)} 届满，须按时办理。"
    return f"退单须在 {present.moment(until)} 前提出，逾期须按时办理。"


def _why_not(ticket: Ticket, shown: DispatchView, current: DispatchView | None, *, helps: bool) -> str:
    if ticket.state is State.CLOSED:
        return "工单已办结，以下内容仅供查阅。"
    if helps:
        return f"本单位协办这张工单，由主办单位（{shown.department}）联系诉求人并统一答复。"
    if ticket.state is State.ANSWERED and current is shown:
        return "已反馈，等待热线中心审核。" if shown.vetted else "已反馈，等待热线中心回访。"
    if shown.ending == "sent_back":
        return "已退回热线中心，工单目前不在本单位手中。"
    return "工单目前不在本单位手中，以下内容仅供查阅。"


def _contact(entry: TimelineEntry) -> ContactView:
    at = datetime.fromisoformat(entry.details["contacted_at"]) if "contacted_at" in entry.details else entry.at
    return ContactView(
        at=present.moment(at),
        iso=present.iso(at),
        way=str(entry.details.get("way", "")),
        proof=str(entry.details.get("proof", "")),
        words=entry.note,
        # Only colleagues who answer are named: who calls back stays unknown to a department (domain.md 3.2).
        who=entry.by_name if Permission.TICKET_ANSWER in GRANTS[entry.by_role] else "热线中心",
    )


def _returned(row: ReturnView) -> str:
    parts = [f"{labels.words(row.reason)}。{row.words.rstrip(_STOPS)}", f"依据：{row.basis.rstrip(_STOPS)}"]
    if row.suggested:
        parts.append(f"建议承办：{row.suggested}")
    if row.decision:
        parts.append(f"审核意见：{row.decision}")
    return "；".join(parts)


def _asked(row: ReturnView) -> ReturnLine:
    return ReturnLine(
        id=row.id,
        state=labels.label(row.state),
        department=row.department,
        asked=present.moment(row.asked_at),
        words="；".join(
            part
            for part in (
                f"{labels.words(row.reason)}。{row.words.rstrip(_STOPS)}",
                f"依据：{row.basis.rstrip(_STOPS)}",
                f"建议承办：{row.suggested}" if row.suggested else "",
            )
            if part
        ),
        ruling=row.decision,
        due=present.deadline(row.decide_due_at if row.state is ReturnState.OPEN else None, now=now()),
        mine=row.department_id in actor().department_ids,
    )


def _reasons_left(returns: Sequence[ReturnView]) -> tuple[tuple[str, str], ...]:
    """Return the reasons that may still be given: one that was refused to this unit may not (domain.md 2.6, rule 6)."""
    refused = {
        one.reason.value
        for one in returns
        if one.state is ReturnState.REFUSED and one.department_id in actor().department_ids
    }
    return tuple((code, words) for code, words in returning.return_reasons().items() if code not in refused)


def _round(row: DispatchView, *, returned: str) -> RoundView:
    claims: list[Label] = []
    if row.answer:
        claims = [
            Label("属实" if row.answer.found_true else "不属实", "info"),
            labels.label(row.answer.solved),
        ]
        if row.answer.beyond_duty:
            claims.append(Label("超职责", "warning"))
    return RoundView(
        title=f"第 {row.round} 次重办" if row.round else "首次办理",
        department=row.department,
        sent=f"{present.moment(row.sent_at)} {_sender(row)}",
        why="" if row.round else row.reason,
        citizen=row.reason if row.round else "",
        returned=returned,
        answered=present.moment(row.answered_at),
        note=row.answer.internal_note if row.answer and row.department_id in actor().department_ids else "",
        public_answer=row.answer.public_answer if row.answer else "",
        claims=tuple(claims),
        plan=f"{row.answer.plan}（{present.day(row.answer.plan_on)} 前）" if row.answer and row.answer.plan else "",
        left_out_why=row.answer.left_out_why if row.answer and row.department_id in actor().department_ids else "",
        ending=labels.label(Ending(row.ending)) if row.ending else None,
        due=present.deadline(row.due_at, now=now(), done_at=row.answered_at)
        if row.answered_at
        else present.deadline(None, now=now()),
    )


def _review(row: ReviewRow, *, holds: bool) -> ReviewView:
    must = row.verdict in MUST_RECTIFY
    return ReviewView(
        service_item=row.service_item,
        service_window=row.service_window,
        stars=row.stars,
        real_name=row.real_name,
        rated=present.moment(row.rated_at),
        verdict=labels.label(row.verdict) if row.verdict else Label("待两人认定", "neutral"),
        judged=row.verdict is not None,
        must_rectify=must,
        still_to_rectify=holds and must and row.rectified_at is None and row.state is State.ANSWERED,
        rectification=row.rectification,
        rectified=f"{present.moment(row.rectified_at)} {row.rectified_by}" if row.rectified_at else "",
    )


def _choices(departments: Sequence[DepartmentNode]) -> tuple[tuple[str, str], ...]:
    return tuple((str(one.id), one.name) for one in departments if one.id not in actor().department_ids)
