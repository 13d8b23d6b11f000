"""The auditor's desk (回访员): whom to ring next, the four questions, bad reviews."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, TypeVar

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from callbacks import actions as callbacks
from callbacks import policy
from callbacks import queries as callback_queries
from callbacks.models import MUST_RECTIFY, ReviewVerdict
from callbacks.policy import Answers, AttemptOutcome, Satisfaction, Solved, Verdict
from callbacks.queries import CLAIM_LASTS, CallbackRow, ReviewRow
from hotline.core.errors import Conflict, Denied, Invalid, NotFound
from hotline.core.permissions import Permission
from hotline.tickets import actions as ticket_actions
from hotline.tickets import queries as ticket_queries
from hotline.tickets.models import Ticket
from hotline.tickets.states import Act, State
from hotline.web import forms, labels, present
from hotline.web.gate import actor, db, now, page
from hotline.web.labels import Label
from hotline.web.present import TimelineItem
from hotline.web.turning import Turn, turn
from reports import queries as report_queries
from reports.indicators import Rate, ReviewFact, real_name_callback_rates, rectified_rate
from routing import queries as routing_queries

bp = Blueprint("callback", __name__)
E = TypeVar("E", bound=StrEnum)

PAGE_ROWS: Final = 30
#: The two duties of bad reviews are told for this long back.
DUTIES_OVER: Final = timedelta(days=90)
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
VERDICTS: Final[Mapping[ReviewVerdict, str]] = {
    ReviewVerdict.JUSTIFIED_SIMPLE: "事实清楚、诉求合理，能当场改正的，立即整改。计入整改率。",
    ReviewVerdict.JUSTIFIED_COMPLEX: "诉求合理但情况复杂，须建立台账、说明理由、限期整改。计入整改率。",
    ReviewVerdict.NO_LEGAL_BASIS: "评价真实，但所提要求没有法律法规或政策依据，做好解释说明。",
    ReviewVerdict.MISTAKEN: "评价人操作失误或评错对象，经向本人核实。",
    ReviewVerdict.MALICIOUS: "经核实与事实不符且有意为之，须有证据。",
    ReviewVerdict.INVALID: "非本单位事项、重复评价或没有可核实的内容。",
}
_EXCLUDED: Final[Mapping[str, str]] = {
    "unjudged": "未认定",
    "not_due": "未到期",
    "anonymous": "匿名",
    **{verdict.value: labels.words(verdict) for verdict in VERDICTS},
}
STAGES: Final[Mapping[str, str]] = {"open": "待认定", "proposed": "待复核", "judged": "已认定", "all": "全部"}


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


@dataclass(frozen=True, kw_only=True)
class RateView:
    """One figure with what it was counted from."""

    words: str
    figure: str
    unit: str
    tone: str
    hint: str
    excluded: str


@dataclass(frozen=True, kw_only=True)
class ReviewLine:
    """One bad review in the list."""

    href: str
    number: str
    service_item: str
    service_window: str
    department: str
    stars: int
    real_name: bool
    rated: str
    judged: Label
    rectified: Label
    called: Label
    state: Label
    tone: str | None = None


@dataclass(frozen=True, kw_only=True)
class ReviewsPage:
    """The list of bad reviews and the two duties."""

    stage: str
    tabs: tuple[tuple[str, str, bool, int | None], ...]
    rates: tuple[RateView, ...]
    rows: tuple[ReviewLine, ...]
    turn: Turn


@dataclass(frozen=True, kw_only=True)
class ReviewPage:
    """One bad review and its ledger."""

    line: ReviewLine
    title: str
    content: str
    name: str
    phone: str
    reveal: Mapping[str, str | None]
    due: str
    public_answer: str
    rectification: str
    rectified: str
    proposed: Label | None
    proposed_by: str
    proposed_reason: str
    verdict: Label | None
    verified: str
    #: "propose", "confirm", "wait" (one proposed it oneself), "done" or "closed".
    step: str
    ledger: tuple[TimelineItem, ...]
    choices: tuple[tuple[str, str, str], ...]
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


# Bad reviews


@bp.get("/reviews")
@page(Permission.REVIEW_JUDGE)
def reviews() -> ResponseReturnValue:
    """List bad reviews with how far each is, and the two duties as figures."""
    asked = forms.asked("stage")
    stage = asked if asked in STAGES else "all"
    cursor = forms.asked("cursor")
    with db().read() as session:
        facts = report_queries.review_facts(session, since=now() - DUTIES_OVER)
        found = callback_queries.reviews(session, stage="" if stage == "all" else stage, cursor=cursor, limit=PAGE_ROWS)
    return render_template(
        "reviews/list.html",
        page=ReviewsPage(
            stage=stage,
            tabs=tuple(
                (words, url_for("callback.reviews", stage=name), name == stage, None) for name, words in STAGES.items()
            ),
            rates=_rates(rectified_rate(facts, now=now()), *_called(facts)),
            rows=tuple(_review_line(row) for row in found.rows),
            turn=turn(found, cursor=cursor, stage=stage),
        ),
    )


@bp.get("/reviews/<number>")
@page(Permission.REVIEW_JUDGE)
def review(number: str) -> ResponseReturnValue:
    """Show one bad review and its ledger."""
    return render_template("reviews/show.html", page=_review(number))


@bp.post("/reviews/<number>/propose")
@page(Permission.REVIEW_JUDGE)
def propose(number: str) -> ResponseReturnValue:
    """Say, as the first person, what the bad review is."""
    try:
        verdict = forms.member(ReviewVerdict, "verdict")
        if verdict is None:
            missing = {"verdict": "请选择认定结论。"}
            if not forms.text("reason").strip():
                missing["reason"] = "请写明认定依据。"
            raise Invalid(missing)  # noqa: TRY301 - one answer to every problem of the form
        with db().begin() as session:
            ticket = routing_queries.ticket_for(session, actor(), number)
            callbacks.propose_verdict(
                session, ticket_id=ticket.id, verdict=verdict, reason=forms.text("reason"), by=actor(), now=now()
            )
    except Invalid as error:
        return render_template(
            "reviews/show.html", page=_review(number, errors=error.fields, values=request.form.to_dict())
        ), 422
    forms.told("success", "认定意见已提交，等待另一人复核。")
    return redirect(url_for("callback.review", number=number), code=303)


@bp.post("/reviews/<number>/confirm")
@page(Permission.REVIEW_JUDGE)
def confirm(number: str) -> ResponseReturnValue:
    """Agree or disagree, as the second person."""
    agree = forms.text("agree")
    if agree not in {"yes", "no"}:
        raise Invalid({"agree": "请选择同意或不同意。"})
    with db().begin() as session:
        ticket = routing_queries.ticket_for(session, actor(), number)
        callbacks.confirm_verdict(session, ticket_id=ticket.id, agree=agree == "yes", by=actor(), now=now())
    forms.told("success", "差评认定已生效。" if agree == "yes" else "已退回重新认定。")
    return redirect(url_for("callback.review", number=number), code=303)


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
        version=_seen(values) or row.version,
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
        reveal=_reveal(ticket),
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


def _seen(typed: Mapping[str, str] | None) -> int | None:
    raw = (typed or {}).get("version", "")
    return int(raw) if raw.isdecimal() and len(raw) < 19 else None  # noqa: PLR2004 - longer than any version


def _reveal(ticket: Ticket) -> dict[str, str | None]:
    may_know = ticket_actions.may_reveal(ticket, actor())
    masked = {"name": ticket.name_masked, "phone": ticket.phone_masked}
    return {
        name: url_for("tickets.reveal", number=ticket.number, what=name) if may_know and words else None
        for name, words in masked.items()
    }


def _called(facts: Sequence[ReviewFact]) -> tuple[Rate, Rate]:
    rates = real_name_callback_rates(facts, now=now())
    return rates.completed, rates.attempted


def _rates(rectified: Rate, completed: Rate, attempted: Rate) -> tuple[RateView, ...]:
    return (
        _rate("合理差评整改率", rectified, "按期整改", "应整改"),
        _rate("实名差评回访率（完成）", completed, "完成回访", "应回访"),
        _rate("实名差评回访率（已拨打）", attempted, "已拨打", "应回访"),
    )


def _rate(words: str, rate: Rate, above: str, below: str) -> RateView:
    percent = rate.percent
    tone = "neutral" if percent is None else "success" if rate.numerator == rate.denominator else "danger"
    return RateView(
        words=words,
        figure="—" if percent is None else f"{percent.normalize():f}",
        unit="" if percent is None else "%",
        tone=tone,
        hint=f"{above} {rate.numerator} / {below} {rate.denominator}，目标 100%",
        excluded="、".join(f"{_EXCLUDED[name]} {count}" for name, count in rate.excluded.items()),
    )


def _review_line(row: ReviewRow) -> ReviewLine:
    late = row.due_at is not None and now() > row.due_at
    must = row.verdict in MUST_RECTIFY
    if row.rectified_at is not None:
        rectified = Label("已整改", "success")
    elif row.verdict is not None and not must:
        rectified = Label("不要求")
    else:
        rectified = Label("超期未整改", "danger") if late and must else Label("未整改", "warning")
    if row.callback_done is None:
        called = Label("待答复后回访") if row.real_name else Label("匿名，无法回访")
    elif not row.callback_done and not row.real_name:
        called = Label("匿名，无法回访")
    elif not row.callback_done:
        called = Label(f"待回访，已拨打 {row.callback_attempts} 次", "warning")
    else:
        called = labels.label(row.callback_verdict)
    return ReviewLine(
        href=url_for("callback.review", number=row.number),
        number=row.number,
        service_item=row.service_item,
        service_window=row.service_window,
        department=row.department,
        stars=row.stars,
        real_name=row.real_name,
        rated=present.short(row.rated_at, now=now()),
        judged=_judged(row),
        rectified=rectified,
        called=called,
        state=labels.label(row.state),
        tone="danger" if rectified.tone == "danger" else None,
    )


def _judged(row: ReviewRow) -> Label:
    if row.verdict is not None:
        return labels.label(row.verdict)
    return Label(f"待复核：{labels.words(row.proposed)}", "warning") if row.proposed else Label("待认定", "warning")


def _review(
    number: str, *, errors: Mapping[str, Sequence[str]] | None = None, values: Mapping[str, str] | None = None
) -> ReviewPage:
    with db().read() as session:
        ticket = routing_queries.ticket_for(session, actor(), number)
        row = callback_queries.review_of(session, ticket.id)
        if row is None:
            raise NotFound
        sent = routing_queries.dispatches_of(session, ticket.id)
        entries = ticket_queries.timeline(session, ticket.id)
    answer = next((one.answer for one in reversed(sent) if one.answer is not None), None)
    return ReviewPage(
        line=_review_line(row),
        title=ticket.title,
        content=ticket.content,
        name=ticket.name_masked,
        phone=ticket.phone_masked,
        reveal=_reveal(ticket),
        due=present.moment(row.due_at),
        public_answer=answer.public_answer if answer is not None else "",
        rectification=row.rectification,
        rectified=f"{present.moment(row.rectified_at)} {row.rectified_by}" if row.rectified_at else "",
        proposed=labels.label(row.proposed) if row.proposed else None,
        proposed_by=row.proposed_by,
        proposed_reason=row.proposed_reason,
        verdict=labels.label(row.verdict) if row.verdict else None,
        verified=f"{present.moment(row.verified_at)} {row.verified_by}" if row.verified_at else "",
        step=_step(row),
        ledger=tuple(
            TimelineItem(
                iso=present.iso(entry.at),
                at=present.moment(entry.at),
                who=entry.by_name or labels.words(entry.by_role),
                act=_ledger_act(entry.act, str(entry.details.get("step", ""))),
                note="：".join(
                    part for part in (_verdict_words(str(entry.details.get("verdict", ""))), entry.note) if part
                ),
            )
            for entry in entries
            if entry.act in {Act.VERIFY, Act.RECTIFY}
        ),
        choices=tuple((verdict.value, labels.words(verdict), words) for verdict, words in VERDICTS.items()),
        errors=errors or {},
        values={"verdict": "", "reason": "", **(values or {})},
    )


def _step(row: ReviewRow) -> str:
    if row.verdict is not None:
        return "done"
    if row.state is State.CLOSED:
        return "closed"
    if row.proposed is None:
        return "propose"
    return "wait" if row.proposed_by_id == actor().user_id else "confirm"


def _ledger_act(act: Act, step: str) -> str:
    words = {"proposed": "提出认定", "confirmed": "复核同意", "disagreed": "复核不同意"}
    return words.get(step, labels.words(act))


def _verdict_words(value: str) -> str:
    return labels.words(ReviewVerdict(value)) if value in set(ReviewVerdict) else ""
