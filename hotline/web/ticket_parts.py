"""The parts of a ticket's page: dispatches with their answers, calls, ratings, what the model said, files, a review."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from flask import url_for

from callbacks.models import BadReview, CitizenRating
from callbacks.queries import CallbackStory
from hotline.core.permissions import Actor, Permission
from hotline.tickets.models import Attachment, Ticket
from hotline.web import labels, present
from hotline.web.desks import hints
from hotline.web.desks.part import PartRow, part_row
from hotline.web.labels import Label
from hotline.web.present import DeadlineView
from routing.answers.parts import PartView
from routing.clocks.profiles import ClockName
from routing.clocks.steps import CLOCK_LABELS
from routing.models import Ending, Suggestion
from routing.queries import DispatchView

_CLOCKS: Final = (
    ClockName.SIGN,
    ClockName.CONTACT,
    ClockName.RETURN,
    ClockName.FEEDBACK,
    ClockName.HANDLE,
    ClockName.TOTAL,
)


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A name and what is known under it."""

    label: str
    words: str


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


def _round(number: int) -> str:
    return f"重办第 {number} 轮" if number else "首次办理"


def dispatch_part(row: DispatchView, shared: Sequence[PartView], *, by: Actor, now: datetime) -> DispatchPart:
    """Return one dispatch: to whom, until when and why, its answers and what was shared."""
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


def callback_part(story: CallbackStory, *, by: Actor, now: datetime) -> CallbackPart | None:
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


def rating_part(row: CitizenRating, *, now: datetime) -> RatingPart:
    """Return what the citizen said himself."""
    return RatingPart(stars=row.stars, words=row.words, at=present.short(row.at, now=now), round=_round(row.round))


def suggestion_part(row: Suggestion, names: Mapping[str, str], *, now: datetime) -> SuggestionPart:
    """Return what the model said, and what became of it."""
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


def review_part(row: BadReview, *, now: datetime) -> ReviewPart:
    """Return what a service counter sent with a bad review."""
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


def file_part(row: Attachment, ticket: Ticket, *, now: datetime) -> FilePart:
    """Return one file, with the way to it."""
    return FilePart(
        href=url_for("tickets.file", number=ticket.number, file_id=row.id),
        name=row.name,
        size=present.size_words(row.size),
        at=present.short(row.added_at, now=now),
        public=row.public,
        icon="photo" if row.media_type.startswith("image/") else "file-text",
    )
