"""Bad reviews (差评): the list with its two duties, and one review that two persons judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from callbacks import actions as callbacks
from callbacks import queries as callback_queries
from callbacks.models import MUST_RECTIFY, ReviewVerdict
from callbacks.queries import ReviewRow
from hotline.core.errors import Invalid, NotFound
from hotline.core.permissions import Permission
from hotline.tickets import queries as ticket_queries
from hotline.tickets.states import Act, State
from hotline.web import forms, labels, present
from hotline.web.gate import actor, db, now, page
from hotline.web.labels import Label
from hotline.web.present import TimelineItem
from hotline.web.revealing import reveal_hrefs
from hotline.web.turning import Turn, turn
from reports import queries as report_queries
from reports.indicators import Rate, ReviewFact, real_name_callback_rates, rectified_rate
from routing import queries as routing_queries

bp = Blueprint("reviews", __name__)

PAGE_ROWS: Final = 30


#: The two duties of bad reviews are told for this long back.
DUTIES_OVER: Final = timedelta(days=90)

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
                (words, url_for("reviews.reviews", stage=name), name == stage, None) for name, words in STAGES.items()
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
    return redirect(url_for("reviews.review", number=number), code=303)


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
    return redirect(url_for("reviews.review", number=number), code=303)


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
        href=url_for("reviews.review", number=row.number),
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
        reveal=reveal_hrefs(ticket),
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
