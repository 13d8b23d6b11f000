"""The auditor's desk (回访员): whom to ring next, the four questions, what follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeVar

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from callbacks import actions as callbacks
from callbacks import policy
from callbacks import queries as callback_queries
from callbacks.policy import Answers, AttemptOutcome, Satisfaction, Solved, Verdict
from callbacks.queries import CLAIM_LASTS, CallbackRow
from hotline.core.errors import Conflict, Denied, Invalid
from hotline.core.permissions import Permission
from hotline.tickets import queries as ticket_queries
from hotline.web import forms, labels, present
from hotline.web.gate import actor, db, now, page
from hotline.web.labels import Label
from hotline.web.revealing import reveal_hrefs
from hotline.web.turning import Turn, turn
from routing import queries as routing_queries

bp = Blueprint("callback", __name__)

E = TypeVar("E", bound=StrEnum)

PAGE_ROWS: Final = 30

#: How often one looks for another ticket when somebody else was quicker.
_TRIES: Final = 5

#: The four questions (domain.md 3.4), in the citizen's words; whoever asks reads them as they stand.
QUESTIONS: Final[Mapping[str, str]] = {
    "replied": "一、承办单位有没有就您反映的问题联系或答复过您？",
    "solved": "二、您反映的问题，现在解决了、基本解决了，还是没有解决？",
    "process": "三、对办理的过程（态度和速度），您觉得满意、基本满意，还是不满意？",
    "result": "四、对办理的结果，您觉得满意、基本满意，还是不满意？",
}

_MISSING: Final = "请选择诉求人的回答。"

_NOT_REACHED: Final = (
    AttemptOutcome.NO_ANSWER,
    AttemptOutcome.BUSY,
    AttemptOutcome.WRONG_NUMBER,
    AttemptOutcome.DECLINED,
)


@dataclass(frozen=True, kw_only=True)
class QueueRow:
    """One line of the callback list."""

    id: int
    href: str
    number: str
    title: str
    department: str
    category: str
    name: str
    phone: str
    why: tuple[Label, ...]
    planned: str
    planned_iso: str
    is_due: bool
    attempts: int
    mine: bool
    #: Why this citizen cannot be rung yet, or nothing.
    not_yet: str
    verdict: Label | None
    said: tuple[Label, ...]
    done: str
    done_by: str
    tone: str | None = None


@dataclass(frozen=True, kw_only=True)
class QueuePage:
    """Whom to ring next, or what has been heard."""

    tab: str
    tabs: tuple[tuple[str, str, bool, int | None], ...]
    rows: tuple[QueueRow, ...]
    total: int
    turn: Turn


@dataclass(frozen=True, kw_only=True)
class AttemptView:
    """One ringing."""

    at: str
    outcome: Label
    note: str


@dataclass(frozen=True, kw_only=True)
class EarlierView:
    """One round of handling: what the citizen was told, and what he said to it."""

    title: str
    department: str
    answered: str
    public_answer: str
    said: tuple[Label, ...]
    reason: str
    called: str


@dataclass(frozen=True, kw_only=True)
class CallPage:
    """One callback: the matter, the script, the result."""

    id: int
    version: int
    number: str
    title: str
    content: str
    place: str
    category: str
    department: str
    registered: str
    answered: str
    state: Label
    why: tuple[Label, ...]
    name: str
    phone: str
    reveal: Mapping[str, str | None]
    wants_callback: bool
    public_answer: str
    earlier: tuple[EarlierView, ...]
    attempts: tuple[AttemptView, ...]
    planned: str
    #: "mine": the script is open; "free": may be taken; otherwise `refusal` says why not.
    stand: str
    refusal: str
    #: What follows if this ringing, too, reaches nobody.
    after_this: str
    closes_after_this: bool
    #: Set when the callback has a result.
    verdict: Label | None
    said: tuple[Label, ...]
    reason: str
    done: str
    questions: Mapping[str, str]
    options: Mapping[str, tuple[tuple[str, str], ...]]
    outcomes: tuple[tuple[str, str], ...]
    #: Which form was refused: result or attempt.
    form: str = ""
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)


# Callbacks


@bp.get("/callbacks")
@page(Permission.CALLBACK_VIEW)
def queue() -> ResponseReturnValue:
    """Show whom to ring next, the most pressing first, or what has been heard."""
    tab = "done" if forms.asked("tab") == "done" else "waiting"
    cursor = forms.asked("cursor")
    with db().read() as session:
        counts = ticket_queries.counters(session, ["callbacks.waiting", "callbacks.done"])
        if tab == "done":
            found = callback_queries.finished(session, cursor=cursor, limit=PAGE_ROWS)
        else:
            found = callback_queries.waiting_page(session, actor(), now=now(), cursor=cursor, limit=PAGE_ROWS)
    return render_template(
        "callback/queue.html",
        page=QueuePage(
            tab=tab,
            tabs=(
                ("待回访", url_for("callback.queue"), tab == "waiting", counts["callbacks.waiting"]),
                ("已回访", url_for("callback.queue", tab="done"), tab == "done", None),
            ),
            rows=tuple(_line(row) for row in found.rows),
            total=counts["callbacks.done" if tab == "done" else "callbacks.waiting"],
            turn=turn(found, cursor=cursor, tab=tab),
        ),
    )


@bp.post("/callbacks/next")
@page(Permission.CALLBACK_RECORD)
def take_next() -> ResponseReturnValue:
    """Take the next callback whose time has come."""
    return _go_to_next()


@bp.get("/callbacks/<int:callback_id>")
@page(Permission.CALLBACK_VIEW)
def call(callback_id: int) -> ResponseReturnValue:
    """Show one callback; the script stands open for whoever has taken it."""
    return render_template("callback/show.html", page=_call(callback_id))


@bp.post("/callbacks/<int:callback_id>/claim")
@page(Permission.CALLBACK_RECORD)
def claim(callback_id: int) -> ResponseReturnValue:
    """Take one callback for oneself."""
    try:
        with db().begin() as session:
            callbacks.claim(session, callback_id=callback_id, by=actor(), now=now())
    except (Conflict, Denied) as error:
        forms.told("warning", error.message)
        return redirect(url_for("callback.queue"), code=303)
    return redirect(url_for("callback.call", callback_id=callback_id), code=303)


@bp.post("/callbacks/<int:callback_id>/release")
@page(Permission.CALLBACK_RECORD)
def release(callback_id: int) -> ResponseReturnValue:
    """Put a callback back for others."""
    with db().begin() as session:
        callbacks.release(session, callback_id=callback_id, by=actor(), now=now())
    forms.told("info", "已放回队列。")
    return redirect(url_for("callback.queue"), code=303)


@bp.post("/callbacks/<int:callback_id>/result")
@page(Permission.CALLBACK_RECORD)
def result(callback_id: int) -> ResponseReturnValue:
    """Record what the citizen said; satisfied closes, unsatisfied with a reason starts a round of rework."""
    try:
        answers = _answers()
        with db().begin() as session:
            row = callbacks.record_result(
                session,
                callback_id=callback_id,
                version=forms.whole("version"),
                answers=answers,
                by=actor(),
                now=now(),
            )
            number = ticket_queries.number_of(session, row.ticket_id)
            decided = row.verdict
    except Invalid as error:
        return _refused(callback_id, "result", error.fields)
    forms.told("success", f"{number} 回访已记录：{_follows(decided)}")
    return _onward()


@bp.post("/callbacks/<int:callback_id>/attempt")
@page(Permission.CALLBACK_RECORD)
def attempt(callback_id: int) -> ResponseReturnValue:
    """Record a ringing that brought no answers."""
    try:
        outcome = forms.member(AttemptOutcome, "outcome")
        if outcome is None:
            raise Invalid({"outcome": "请选择未能回访的情况。"})  # noqa: TRY301 - one answer to every problem of the form
        with db().begin() as session:
            row = callbacks.record_attempt(
                session,
                callback_id=callback_id,
                version=forms.whole("version"),
                outcome=outcome,
                note=forms.text("note"),
                by=actor(),
                now=now(),
            )
            number = ticket_queries.number_of(session, row.ticket_id)
            decided, planned = row.verdict, row.planned_at
    except Invalid as error:
        return _refused(callback_id, "attempt", error.fields)
    words = _follows(decided) if decided else f"下次回访计划在 {present.moment(planned)}。"
    forms.told("success", f"{number} 已记录“{labels.words(outcome)}”：{words}")
    return _onward()


# What the views above are built from


def _go_to_next() -> ResponseReturnValue:
    """Take the next callback that nobody else takes at this moment, and go there; else back to the list."""
    for _ in range(_TRIES):
        with db().begin() as session:
            rows = callback_queries.waiting(session, actor(), now=now(), due_only=True, limit=1)
            if not rows:
                break
            try:
                callbacks.claim(session, callback_id=rows[0].id, by=actor(), now=now())
            except Conflict:
                continue  # taken between our look and our lock
            return redirect(url_for("callback.call", callback_id=rows[0].id), code=303)
    forms.told("info", "没有到时间的回访了。")
    return redirect(url_for("callback.queue"), code=303)


def _onward() -> ResponseReturnValue:
    if forms.text("then") == "queue":
        return redirect(url_for("callback.queue"), code=303)
    return _go_to_next()


def _answers() -> Answers:
    """Read the four answers; each missing one is told at its question."""
    problems: dict[str, str] = {}
    replied = forms.text("replied")
    if replied not in {"yes", "no"}:
        problems["replied"] = _MISSING
    solved = _member(Solved, "solved", problems)
    process = _member(Satisfaction, "process", problems)
    outcome = _member(Satisfaction, "result", problems)
    if solved is None or process is None or outcome is None or problems:
        raise Invalid(problems)
    answers = Answers(
        replied=replied == "yes",
        solved=solved,
        process=process,
        result=outcome,
        reason=forms.text("reason"),
        wants_rework=forms.text("wants_rework") == "yes",
    )
    if policy.unhappy(answers):
        if forms.text("wants_rework") not in {"yes", "no"}:
            problems["wants_rework"] = "请选择诉求人是否希望继续办理。"
        if not answers.reason.strip():
            problems["reason"] = "请填写不满意或未解决的原因，承办单位将据此重办。"
    if len(answers.reason) > 2_000:  # noqa: PLR2004 - a reason is not a document
        problems["reason"] = f"最多 2000 字，现有 {len(answers.reason)} 字。"
    if problems:
        raise Invalid(problems)
    return answers


def _member(members: type[E], name: str, problems: dict[str, str]) -> E | None:
    raw = forms.text(name)
    if raw not in {member.value for member in members}:
        problems[name] = _MISSING
        return None
    return members(raw)


def _follows(verdict: Verdict | None) -> str:
    return {
        Verdict.CLOSE: "工单办结。",
        Verdict.REWORK: "已退回承办单位重办。",
        Verdict.UNREACHABLE: "多次未能联系，工单以“无法联系”办结。",
        Verdict.DECLINED: "诉求人不接受回访，工单办结。",
    }.get(verdict or Verdict.CLOSE, "")


def _refused(callback_id: int, form: str, errors: Mapping[str, Sequence[str]]) -> ResponseReturnValue:
    shown = _call(callback_id, form=form, errors=errors, values=request.form.to_dict())
    return render_template("callback/show.html", page=shown), 422


def _why(row: CallbackRow) -> tuple[Label, ...]:
    marks = []
    if row.priority >= 2:  # noqa: PLR2004 - the column's own meaning
        marks.append(Label("差评", "danger"))
    elif row.priority:
        marks.append(Label("诉求人自评不满意", "danger"))
    if row.not_yet:
        marks.append(Label("认定、整改后回访", "warning"))
    if row.round:
        marks.append(Label(f"重办第 {row.round} 次后", "warning"))
    if row.attempts and row.done_at is None:
        marks.append(Label(f"已拨打 {row.attempts} 次", "neutral"))
    return tuple(marks)


def _said(row: CallbackRow) -> tuple[Label, ...]:
    """Return what the citizen answered, each with its question in a word."""
    if row.replied is None or row.solved is None or row.process is None or row.result is None:
        return ()
    return (
        Label("有答复" if row.replied else "未答复", "success" if row.replied else "danger"),
        labels.label(row.solved),
        Label(f"过程{labels.words(row.process)}", labels.label(row.process).tone),
        Label(f"结果{labels.words(row.result)}", labels.label(row.result).tone),
    )


def _line(row: CallbackRow) -> QueueRow:
    return QueueRow(
        id=row.id,
        href=url_for("callback.call", callback_id=row.id),
        number=row.number,
        title=row.title,
        department=row.department,
        category=row.category.rsplit(" / ", maxsplit=1)[-1],
        name=row.name_masked or ("匿名" if row.anonymous else ""),
        phone=row.phone_masked,
        why=_why(row),
        planned=present.short(row.planned_at, now=now()),
        planned_iso=present.iso(row.planned_at),
        is_due=row.planned_at <= now(),
        attempts=row.attempts,
        mine=row.claimed_by_id is not None and row.claimed_by_id == actor().user_id,
        not_yet=row.not_yet,
        verdict=labels.label(row.verdict) if row.verdict else None,
        said=_said(row),
        done=present.short(row.done_at, now=now()),
        done_by=row.done_by,
    )


def _call(
    callback_id: int,
    *,
    form: str = "",
    errors: Mapping[str, Sequence[str]] | None = None,
    values: Mapping[str, str] | None = None,
) -> CallPage:
    with db().read() as session:
        row = callback_queries.callback(session, callback_id)
        ticket = routing_queries.ticket_for(session, actor(), ticket_queries.number_of(session, row.ticket_id))
        category, _ = routing_queries.place_names(session, ticket)
        sent = routing_queries.dispatches_of(session, ticket.id)
        every = callback_queries.of_ticket(session, ticket.id)
        refusal = ""
        try:
            callbacks.independent(session, ticket_id=ticket.id, by=actor())
        except Denied as error:
            refusal = error.message
    mine = next(one for one in every if one.id == callback_id)
    by_dispatch = {one.id: one for one in sent}
    answered = by_dispatch[row.dispatch_id]
    times = [one.at for one in mine.attempts_made]
    has_number = ticket.phone_index is not None
    again = policy.after_another(times, now=now()) if has_number else None
    stand, refusal = _stand(mine, row.claimed_at, refusal)
    heard = {one.round: one for one in every if one.id < callback_id}
    return CallPage(
        id=callback_id,
        version=forms.version_seen(values) or row.version,
        number=ticket.number,
        title=ticket.title,
        content=ticket.content,
        place=ticket.place,
        category=category,
        department=answered.department,
        registered=present.moment(ticket.registered_at),
        answered=present.moment(answered.answered_at),
        state=labels.label(ticket.state),
        why=_why(mine),
        name=ticket.name_masked or ("匿名" if ticket.anonymous else ""),
        phone=ticket.phone_masked,
        reveal=reveal_hrefs(ticket),
        wants_callback=ticket.wants_callback,
        public_answer=answered.answer.public_answer if answered.answer is not None else "",
        earlier=tuple(
            EarlierView(
                title=f"第 {one.round} 次重办" if one.round else "首次办理",
                department=one.department,
                answered=present.moment(one.answered_at),
                public_answer=one.answer.public_answer,
                said=_said(heard[one.round]) if one.round in heard else (),
                reason=heard[one.round].reason if one.round in heard else "",
                called=present.moment(heard[one.round].done_at) if one.round in heard else "",
            )
            for one in sent
            if one.id < row.dispatch_id and one.answer is not None
        ),
        attempts=tuple(
            AttemptView(at=present.moment(one.at), outcome=labels.label(one.outcome), note=one.note)
            for one in mine.attempts_made
        ),
        planned=present.moment(row.planned_at),
        stand=stand,
        refusal=refusal,
        after_this=_after_this(again, has_number=has_number),
        closes_after_this=again is None,
        verdict=labels.label(row.verdict) if row.verdict else None,
        said=_said(mine),
        reason=row.reason,
        done=f"{present.moment(mine.done_at)} {mine.done_by}" if mine.done_at else "",
        questions=QUESTIONS,
        options={
            "replied": (("yes", "联系或答复过"), ("no", "没有")),
            "solved": tuple(labels.options(Solved)),
            "satisfaction": tuple(labels.options(Satisfaction)),
        },
        outcomes=tuple(labels.options(_NOT_REACHED)),
        form=form,
        errors=errors or {},
        values={
            **dict.fromkeys(
                ("replied", "solved", "process", "result", "reason", "wants_rework", "outcome", "note"), ""
            ),
            **(values or {}),
        },
    )


def _after_this(again: datetime | None, *, has_number: bool) -> str:
    if not has_number:
        return "诉求人没有留下电话，无法回访：请选“号码有误”，提交后工单以“无法联系”办结，不计入满意或不满意。"
    if again is None:
        return "已满 3 次且在不同时段：提交后工单将以“无法联系”办结，不计入满意或不满意。"
    return f"提交后工单回到队列，下次回访计划在 {present.moment(again)}。“拒绝回访”提交后即办结。"


def _stand(row: CallbackRow, claimed_at: datetime | None, refusal: str) -> tuple[str, str]:
    """Return whether the script is open to this person, and if not, why."""
    if row.done_at is not None:
        return "done", ""
    if not actor().can(Permission.CALLBACK_RECORD):
        return "closed", "您可以查看，不能记录回访。"
    if refusal or row.not_yet:
        return "closed", refusal or row.not_yet
    fresh = claimed_at is not None and claimed_at > now() - CLAIM_LASTS
    if row.claimed_by_id == actor().user_id and row.claimed_by_id is not None:
        return "mine", ""
    if row.claimed_by_id is not None and fresh:
        return "closed", f"{row.claimed_by or '另一位回访员'}正在回访此工单。"
    return "free", ""
