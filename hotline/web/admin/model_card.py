"""The model card as a page, as a download and on paper; and the audit of doubtful examples."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

from flask import Blueprint, Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from hotline.core.clock import local
from hotline.core.errors import Conflict, Invalid
from hotline.core.permissions import Permission
from hotline.tickets.queries import categories, number_of
from hotline.web import drawing, forms, labels, present
from hotline.web.admin.exports import took
from hotline.web.desks import hints
from hotline.web.drawing import Drawing, Line, Scale
from hotline.web.gate import actor, db, now, page, tools
from reports.models import Taken
from routing import queries as routing_queries
from routing.learning import judgements, limits, model_card
from routing.learning import queries as learning_queries
from routing.learning.examples import DISTRICT
from routing.learning.judgements import CategoryWords, Doubt
from routing.learning.model_card import (
    FEWEST_SHOWN,
    Bin,
    Card,
    Correction,
    DepartmentCard,
    LabelLine,
    Point,
    Share,
    Week,
)
from routing.learning.queries import VersionRow
from routing.rules import AutomaticPolicy

bp = Blueprint("card", __name__, url_prefix="/model")

_SHADES = 5
_MOST_LABELS = 60


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell of the confusion table."""

    count: int
    shade: int
    words: str


@dataclass(frozen=True, kw_only=True)
class ConfusionRow:
    """One row of the confusion table: what people decided, against what the model said."""

    name: str
    cells: tuple[Cell, ...]
    total: int


@dataclass(frozen=True, kw_only=True)
class LabelRow:
    """How one category fares, in words."""

    code: str
    name: str
    support: int
    precision: str
    recall: str
    limit: str
    tone: str | None


@dataclass(frozen=True, kw_only=True)
class CorrectionRow:
    """What was corrected, and which rule would have helped."""

    said: str
    truth: str
    count: str
    sure: str
    rule: str


@dataclass(frozen=True, kw_only=True)
class WeekRow:
    """One week in words."""

    start: str
    messages: int
    right: str
    sure: str
    input_shift: str
    label_shift: str


@dataclass(frozen=True, kw_only=True)
class CardPage:
    """What stands on the model card."""

    version: str
    trained: str
    made_at: str
    facts: Sequence[tuple[str, str]]
    figures: Sequence[tuple[str, str, str]]
    departments_note: str
    departments: Sequence[tuple[str, str, str]]
    units: Sequence[tuple[str, int, str, str]]
    held_out: Sequence[tuple[str, str, str, str]]
    reliability: Drawing | None
    bins: Sequence[Bin]
    curve: Drawing | None
    points: Sequence[Point]
    drift: Drawing | None
    shift: Drawing | None
    weeks: Sequence[WeekRow]
    groups: Sequence[str]
    confusion: Sequence[ConfusionRow]
    labels: Sequence[LabelRow]
    more_labels: int
    corrections: Sequence[CorrectionRow]
    promise: str
    needed: str


@dataclass(frozen=True, kw_only=True)
class AuditRow:
    """One doubtful example."""

    id: int
    number: str
    href: str
    title: str
    content: str
    label: str
    label_code: str
    label_means: str
    label_from: labels.Label
    said: str
    said_code: str
    said_means: str
    chance: str
    tone: str | None = None


@dataclass(frozen=True, kw_only=True)
class Done:
    """What became of a settled example."""

    number: str
    href: str
    words: str
    ok: bool


@dataclass(frozen=True, kw_only=True)
class AuditPage:
    """The audit of doubtful examples."""

    rows: Sequence[AuditRow]
    categories: Sequence[tuple[str, str]]
    errors: Mapping[str, list[str]]


@bp.get("/card")
@page(Permission.MODEL_MANAGE, Permission.FIGURES_VIEW)
def show() -> ResponseReturnValue:
    """Show the model card."""
    return render_template("model/card.html", page=_card_page())


@bp.get("/card.json")
@page(Permission.MODEL_MANAGE, Permission.FIGURES_VIEW)
def download() -> ResponseReturnValue:
    """Hand the model card out as a file: figures only, no text of anybody."""
    read = _read()
    card, standing, policy = read.card, read.standing, read.policy
    body = {
        "version": tools().suggester.version,
        "made_at": local(now()).isoformat(timespec="seconds"),
        "window_days": judgements.WINDOW.days,
        "promise": policy.promise,
        "limits": {"all": policy.limit_for(""), **{code: policy.limit_for(code) for code in policy.limits if code}},
        "made_from": standing.made_from if standing else {},
        "held_out": standing.figures if standing else {},
        "in_use": {**asdict(card), "corrections": [_without_words(one) for one in card.corrections]},
        "departments": asdict(read.departments),
    }
    took(Taken.MODEL_CARD_JSON, rows=1, scope=f"版本 {body['version'] or '无'}")
    return Response(
        json.dumps(body, ensure_ascii=False, indent=1, default=str),
        mimetype="application/json",
        headers={"Content-Disposition": f'attachment; filename="model-card-{body["version"] or "none"}.json"'},
    )


@bp.get("/audit")
@page(Permission.MODEL_MANAGE)
def audit() -> ResponseReturnValue:
    """List the confident disagreements, each to be settled in a minute."""
    return render_template("model/audit.html", page=_audit_page({}))


@bp.post("/audit/<int:ticket_id>")
@page(Permission.MODEL_MANAGE)
def settle(ticket_id: int) -> ResponseReturnValue:
    """Settle one doubtful example; answers with the row as it is now when a script asked."""
    seen = forms.text("seen")
    choice = forms.text("choice")
    label = {"keep": seen, "said": forms.text("said"), "other": forms.text("other"), "unfit": None}.get(choice, "")
    words, ok, status = "", True, 200
    try:
        if label == "":
            raise Invalid({"label": "请选择这条样本应属的类别。"})  # noqa: TRY301 - one answer to the form
        with db().begin() as session:
            judgements.settle(session, ticket_id=ticket_id, seen=seen, label=label, by=actor(), now=now())
            named = judgements.category_words(session, [label] if label else [])
        words = f"已定为“{named[label].path}”" if label else "已从样本中去掉"
    except Invalid as error:
        words, ok, status = "；".join(text for texts in error.fields.values() for text in texts), False, 422
    except Conflict as error:
        words, ok, status = error.message, False, 409
    if not request.headers.get("HX-Request"):
        if not ok:
            return render_template("model/audit.html", page=_audit_page({"label": [words]})), status
        forms.told("success", f"{words}。")
        return redirect(url_for("card.audit"), 303)
    with db().read() as session:
        number = number_of(session, ticket_id)
    done = Done(number=number, href=url_for("tickets.show", number=number), words=words, ok=ok)
    return render_template("model/settled.html", done=done), status


@dataclass(frozen=True, kw_only=True)
class _Read:
    """What the card is made from."""

    card: Card
    departments: DepartmentCard
    paths: Mapping[str, str]
    units: Mapping[str, str]
    standing: VersionRow | None
    policy: AutomaticPolicy


def _read() -> _Read:
    from classifier.text import words  # brings the cutter: only with the first card

    at = now()
    with db().read() as session:
        judged = judgements.judged(session, now=at)
        led = judgements.judged_departments(session, now=at)
        trials = limits.trials(session, now=at)
        units = {unit.code: unit.short_name for unit in routing_queries.departments(session, active_only=False)}
        names = judgements.groups(session)
        policy = limits.policy(session)
        standing = learning_queries.in_use(session)
        paths = {
            code: found.path
            for code, found in judgements.category_words(
                session, sorted({one.truth for one in judged} | {one.said for one in judged})
            ).items()
        }
    return _Read(
        card=model_card.card(judged, trials, group_of=names, words_of=words),
        departments=model_card.department_card(led),
        paths=paths,
        units={**units, DISTRICT: "属地县区"},
        standing=standing,
        policy=policy,
    )


def _card_page() -> CardPage:
    read = _read()
    card, paths, standing, policy = read.card, read.paths, read.standing, read.policy
    led = read.departments
    shown = [line for line in card.labels if line.support >= FEWEST_SHOWN][:_MOST_LABELS]
    needed = policy.limit_for("")
    return CardPage(
        version=tools().suggester.version,
        trained=present.moment(standing.trained_at) if standing and not standing.shipped else "随附语料",
        made_at=present.moment(now()),
        facts=_facts(card, standing),
        figures=(
            ("第一候选正确", _interval(card.accuracy), f"{card.accuracy.hits} / {card.accuracy.of} 件"),
            ("前两个候选之内", _interval(card.top2), f"{card.top2.hits} / {card.top2.of} 件"),
            ("前三个候选之内", _interval(card.top3), f"{card.top3.hits} / {card.top3.of} 件"),
            ("校准误差", f"{card.calibration_error:.3f}" if card.messages else "—", "把握与实际正确率的平均差距"),
        ),
        departments_note=_departments_note(standing),
        departments=[
            ("第一候选正确", _interval(led.accuracy), f"{led.accuracy.hits} / {led.accuracy.of} 件"),
            ("前三个候选之内", _interval(led.top3), f"{led.top3.hits} / {led.top3.of} 件"),
            ("校准误差", f"{led.calibration_error:.3f}" if led.messages else "—", "把握与实际正确率的平均差距"),
        ],
        units=[
            (read.units.get(one.label, one.label), one.support, _interval(one.precision), _interval(one.recall))
            for one in led.lines
            if one.support >= FEWEST_SHOWN
        ][:_MOST_LABELS],
        held_out=_held_out(standing),
        reliability=_reliability(card.reliability) if card.reliability else None,
        bins=card.reliability,
        curve=_curve(card.curve, promise=policy.promise, needed=needed) if card.curve else None,
        points=card.curve,
        drift=_drift(card.weeks) if len(card.weeks) > 1 else None,
        shift=_shift(card.weeks) if len(card.weeks) > 2 else None,  # noqa: PLR2004 - the first week has no shift
        weeks=[_week(one) for one in reversed(card.weeks)],
        groups=card.groups,
        confusion=[_confusion(name, card) for name in card.groups if name in card.confusion],
        labels=[_label(line, paths, policy) for line in shown],
        more_labels=len(card.labels) - len(shown),
        corrections=[_correction(one, paths) for one in card.corrections],
        promise=f"{policy.promise * 100:g}%",
        needed="人工派单" if needed > 1 else f"{needed * 100:g}%",
    )


def _facts(card: Card, standing: VersionRow | None) -> list[tuple[str, str]]:
    made = standing.made_from if standing and standing.made_from else tools().suggester.made_from
    return [
        ("已有结论", f"{card.messages:,} 件（近 90 天）"),
        ("学习用标签", f"{int(made.get('labels', 0)):,} 件"),
        ("随附语料", f"{int(made.get('seed_sentences', 0)):,} 句、{int(made.get('seed_leaves', 0))} 类"),
        ("自设类别", f"{int(made.get('definitions', 0))} 类"),
        ("出现的类别", f"{len(card.labels)} 类"),
    ]


def _departments_note(standing: VersionRow | None) -> str:
    """Return in words where the suggestion of a lead comes from."""
    made = standing.made_from if standing and standing.made_from else tools().suggester.made_from
    pool = made.get("departments") or {}
    decisions = pool.get("decisions") or {}
    if not decisions or not pool.get("learnt"):
        return "承办单位目前按类别的通常主办单位给出：各单位的派单结论还不够单独学习，或学了并不更准。"
    helped = int(pool.get("helped") or 0)
    return (
        f"承办单位由两方面合成：从 {sum(decisions.values()):,} 件派单结论学到的 {len(decisions)} 个单位，"
        f"和类别的通常主办单位；结论不足的单位仍按类别。"
        + (f"协办单位从 {helped:,} 件有协办的工单学习。" if helped else "协办单位按类别给出。")
    )


def _held_out(standing: VersionRow | None) -> list[tuple[str, str, str, str]]:
    if standing is None:
        return []
    figures = standing.figures
    sets = [("类别", figures), ("承办单位", figures.get("departments") or {})]
    sets.append(("诉求类型", figures.get("request_types") or {}))
    rows = []
    for task, of in sets:
        for key, words in (("frozen", "留存样本"), ("newest", "最近样本")):
            found = of.get(key) or {}
            if found.get("messages"):
                rows.append(
                    (
                        f"{task}：{words}",
                        f"{found['messages']} 件",
                        f"{found.get('before', {}).get('macro_f1', 0):.3f} → {found['macro_f1']:.3f}",
                        f"{found['accuracy']:.1%}",
                    )
                )
    return rows


def _reliability(bins: Sequence[Bin]) -> Drawing:
    scale = Scale(x_from=0, x_to=1, y_from=0, y_to=1)
    largest = max(one.count for one in bins)
    ticks = (0, 0.25, 0.5, 0.75, 1)
    dots = tuple(
        scale.dot(
            one.sure,
            one.right.value,
            low=one.right.low,
            high=one.right.high,
            size=round(3 + 5 * (one.count / largest) ** 0.5, 1),
            words=f"把握 {one.sure:.0%}：正确 {one.right.value:.0%}（{one.count} 件）",
        )
        for one in bins
    )
    return Drawing(
        title="把握与实际正确率",
        x_name="模型的把握",
        y_name="实际正确率",
        x_ticks=scale.x_ticks(ticks, drawing.percents(ticks)),
        y_ticks=scale.y_ticks(ticks, drawing.percents(ticks)),
        lines=(
            Line(css="draw-even", name="理想：说几成就有几成", points=scale.path([(0, 0), (1, 1)])),
            Line(
                css="draw-main",
                name="实际（竖线为 95% 区间）",
                points=scale.path([(one.sure, one.right.value) for one in bins]),
                dots=dots,
            ),
        ),
    )


def _curve(points: Sequence[Point], *, promise: float, needed: float) -> Drawing:
    lowest = min([one.precision for one in points] + [promise])
    height = 1 - lowest + 0.02
    step = next((one for one in (0.05, 0.1) if height <= one * 5), 0.2)
    floor = max(0.0, 1 - step * ceil(height / step))
    scale = Scale(x_from=0, x_to=1, y_from=floor, y_to=1)
    present_at = [one for one in points if one.threshold >= needed]
    here = present_at[-1:] if needed <= 1 else []
    x_ticks = (0, 0.25, 0.5, 0.75, 1)
    y_ticks = tuple(floor + step * part for part in range(round((1 - floor) / step) + 1))
    lines = [
        Line(css="draw-promise", name=f"承诺 {promise:.1%}", points=scale.path([(0, promise), (1, promise)])),
        Line(
            css="draw-main",
            name="自动派出的份额与正确率",
            points=scale.path([(one.coverage, one.precision) for one in points]),
        ),
    ]
    if here:
        lines.append(
            Line(
                css="draw-here",
                name=f"目前的要求 {needed * 100:g}%：覆盖 {here[0].coverage:.0%}，正确 {here[0].precision:.1%}",
                points="",
                dots=(scale.dot(here[0].coverage, here[0].precision, size=6, words="目前的要求"),),
            )
        )
    return Drawing(
        title="自动派出的份额与正确率",
        x_name="自动派出的份额",
        y_name="承办单位正确率",
        x_ticks=scale.x_ticks(x_ticks, drawing.percents(x_ticks)),
        y_ticks=scale.y_ticks(y_ticks, drawing.percents(y_ticks)),
        lines=tuple(lines),
    )


def _drift(weeks: Sequence[Week]) -> Drawing:
    return _weekly(
        weeks,
        title="每周的把握与正确率",
        lines=(
            ("draw-main", "实际正确率", [one.right.value for one in weeks]),
            ("draw-second", "平均把握", [one.sure for one in weeks]),
        ),
    )


def _shift(weeks: Sequence[Week]) -> Drawing:
    later = [one for one in weeks if one.input_shift is not None]
    return _weekly(
        later,
        title="每周与此前的差异（0 相同，100% 完全不同）",
        lines=(
            ("draw-main", "来件（渠道与长度）", [one.input_shift or 0.0 for one in later]),
            ("draw-second", "类别构成", [one.label_shift or 0.0 for one in later]),
        ),
    )


def _weekly(weeks: Sequence[Week], *, title: str, lines: Sequence[tuple[str, str, list[float]]]) -> Drawing:
    scale = Scale(x_from=0, x_to=max(1, len(weeks) - 1), y_from=0, y_to=1)
    ticks = (0, 0.25, 0.5, 0.75, 1)
    every = max(1, len(weeks) // 5)
    marked = list(range(0, len(weeks), every))
    return Drawing(
        title=title,
        x_name="周（起始日）",
        y_name="",
        x_ticks=scale.x_ticks(marked, [f"{weeks[at].start:%m-%d}" for at in marked]),
        y_ticks=scale.y_ticks(ticks, drawing.percents(ticks)),
        lines=tuple(
            Line(
                css=css,
                name=name,
                points=scale.path(list(enumerate(values))),
                dots=tuple(
                    scale.dot(at, value, words=f"{weeks[at].start:%m-%d} {name} {value:.0%}")
                    for at, value in enumerate(values)
                ),
            )
            for css, name, values in lines
        ),
    )


def _confusion(truth: str, card: Card) -> ConfusionRow:
    row = card.confusion[truth]
    total = sum(row.values())
    return ConfusionRow(
        name=truth,
        total=total,
        cells=tuple(
            Cell(
                count=row.get(said, 0),
                shade=0 if not row.get(said) else 1 + min(_SHADES - 1, int(row[said] / total * _SHADES)),
                words=f"人工定为{truth}、模型认为{said}：{row.get(said, 0)} 件",
            )
            for said in card.groups
        ),
    )


def _label(line: LabelLine, paths: Mapping[str, str], policy: AutomaticPolicy) -> LabelRow:
    needed = policy.limit_for(line.label)
    return LabelRow(
        code=line.label,
        name=paths.get(line.label, line.label),
        support=line.support,
        precision=_interval(line.precision),
        recall=_interval(line.recall),
        limit="人工派单" if needed > 1 else f"{needed * 100:g}%",
        tone="danger" if needed > 1 else None,
    )


def _correction(one: Correction, paths: Mapping[str, str]) -> CorrectionRow:
    rules = []
    if one.word:
        rules.append(
            f"标题含“{one.word}”的有 {one.word_hits} 件属后者（前者判对的只有 {one.word_elsewhere} 件含此词）："
            "可写入两类的定义边界"
        )
    if one.threshold is not None:
        rules.append(f"把握不到 {one.threshold:.0%} 时交人工，可免 {one.spared} 件误判，多交人工 {one.withheld} 件")
    return CorrectionRow(
        said=paths.get(one.said, one.said),
        truth=paths.get(one.truth, one.truth),
        count=f"{one.count} / {one.of}",
        sure=f"{one.sure:.0%}",
        rule="；".join(rules) or "没有一条词或门槛的规则能单独避免，建议在“标注复核”中逐件定类",
    )


def _week(one: Week) -> WeekRow:
    return WeekRow(
        start=one.start.isoformat(),
        messages=one.messages,
        right=_interval(one.right),
        sure=f"{one.sure:.0%}",
        input_shift="—" if one.input_shift is None else f"{one.input_shift:.0%}",
        label_shift="—" if one.label_shift is None else f"{one.label_shift:.0%}",
    )


def _interval(found: Share) -> str:
    return f"{found.value:.1%}（{found.low:.0%}–{found.high:.0%}）" if found.of else "—"


def _without_words(one: Correction) -> dict[str, Any]:
    return {key: value for key, value in asdict(one).items() if key != "word"}


def _audit_page(errors: Mapping[str, list[str]]) -> AuditPage:
    with db().read() as session:
        found = judgements.doubts(session, actor())
        codes = {one.label for one in found} | {one.said for one in found}
        words = judgements.category_words(session, sorted(codes))
        every = categories(session)
    return AuditPage(
        rows=[_audit_row(one, words) for one in found],
        categories=[(node.code, node.path) for node in every if node.is_leaf],
        errors=errors,
    )


def _audit_row(one: Doubt, words: Mapping[str, CategoryWords]) -> AuditRow:
    unknown = CategoryWords(path="", definition="")
    label, said = words.get(one.label, unknown), words.get(one.said, unknown)
    return AuditRow(
        id=one.ticket_id,
        number=one.number,
        href=url_for("tickets.show", number=one.number),
        title=one.title,
        content=one.content[:600],
        label=label.path or one.label,
        label_code=one.label,
        label_means=label.definition,
        label_from=labels.label(one.provenance),
        said=said.path or one.said,
        said_code=one.said,
        said_means=said.definition,
        chance=hints.percent(one.probability),
    )
