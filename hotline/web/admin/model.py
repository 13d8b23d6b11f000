"""The model's desk: which one answers, its history, training now, promoting, going back, and how it learns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from hotline.core.errors import Invalid
from hotline.core.permissions import Permission
from hotline.tickets.actions import set_setting
from hotline.web import forms, labels, present
from hotline.web.gate import actor, db, now, page, tools
from hotline.web.turning import Turn, turn
from routing.learning import limits, training
from routing.learning import queries as learning_queries
from routing.learning.label_models import LabelTask
from routing.learning.limits import LimitRow
from routing.learning.models import LearningAct, ModelState, TrainingState
from routing.learning.queries import EntryRow, RunRow, VersionRow

bp = Blueprint("model", __name__, url_prefix="/model")


@dataclass(frozen=True, kw_only=True)
class Version:
    """One line of the history."""

    name: str
    state: labels.Label
    trained_at: str
    labels: str
    frozen: str
    newest: str
    reason: str
    tone: str | None
    may_promote: bool
    in_use: bool
    href: str | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training run."""

    state: labels.Label
    open: bool
    why: str
    asked: str
    ended: str
    step: str
    percent: int
    version: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the journal of learning."""

    id: int
    at: str
    who: str
    act: labels.Label
    words: str


@dataclass(frozen=True, kw_only=True)
class LimitLine:
    """How sure the model must be in one scope, and what the record says."""

    scope: str
    name: str
    needed: str
    state: labels.Label
    record: str
    lower: str
    reason: str
    since: str
    tone: str | None
    may_loosen: bool


@dataclass(frozen=True, kw_only=True)
class ProgressPage:
    """What the training that runs now has come to."""

    running: Run | None
    waiting: bool


@dataclass(frozen=True, kw_only=True)
class ModelPage:
    """What stands on the model's page."""

    answering: str
    missing: str
    now_in_use: Version | None
    may_go_back: bool
    counts: Sequence[tuple[str, str]]
    progress: ProgressPage
    promise: str
    automatic: bool
    limits: Sequence[LimitLine]
    versions: Sequence[Version]
    turn: Turn
    runs: Sequence[Run]
    alarms: Sequence[Line]
    journal: Sequence[Line]
    values: Mapping[str, Any]
    errors: Mapping[str, list[str]] = field(default_factory=dict)
    may_manage: bool = False
    may_set: bool = False


@bp.get("")
@page(Permission.MODEL_MANAGE, Permission.FIGURES_VIEW)
def show() -> ResponseReturnValue:
    """Show which model answers, how it got there, and what people must hear of."""
    return render_template("model/show.html", page=_page({}, {}))


@bp.get("/progress")
@page(Permission.MODEL_MANAGE, Permission.FIGURES_VIEW)
def progress() -> ResponseReturnValue:
    """Show how far the training is; asked every other second while one runs."""
    with db().read() as session:
        found = _progress(learning_queries.runs(session))
    headers = {} if found.running or found.waiting else {"HX-Refresh": "true"}
    return render_template("model/progress.html", page=found), headers


@bp.post("/train")
@page(Permission.MODEL_MANAGE)
def train() -> ResponseReturnValue:
    """Ask for a training; it begins within half a minute."""
    with db().begin() as session:
        training.ask(session, why="人工启动", by=actor(), now=now())
    forms.told("success", "已请求训练，半分钟内开始，在用模型照常工作。")
    return redirect(url_for("model.show"), 303)


@bp.post("/promote")
@page(Permission.MODEL_MANAGE)
def promote() -> ResponseReturnValue:
    """Put a candidate or an earlier model in use."""
    version = forms.text("version")
    with db().begin() as session:
        training.promote(session, version=version, home=tools().models, by=actor(), now=now())
    forms.told("success", f"模型 {version} 已启用，几秒内在所有进程生效。")
    return redirect(url_for("model.show"), 303)


@bp.post("/rollback")
@page(Permission.MODEL_MANAGE)
def roll_back() -> ResponseReturnValue:
    """Put the model before back in use."""
    with db().begin() as session:
        row = training.roll_back(session, version=forms.text("version"), home=tools().models, by=actor(), now=now())
        version = row.version
    forms.told("success", f"已回退到模型 {version}，几秒内在所有进程生效。")
    return redirect(url_for("model.show"), 303)


@bp.post("/alarms/<int:entry_id>")
@page(Permission.MODEL_MANAGE)
def hear(entry_id: int) -> ResponseReturnValue:
    """Acknowledge an alarm."""
    with db().begin() as session:
        training.hear(session, entry_id=entry_id, by=actor(), now=now())
    return redirect(url_for("model.show"), 303)


@bp.post("/settings")
@page(Permission.SETTINGS_EDIT)
def change_settings() -> ResponseReturnValue:
    """Change when and how the model learns."""
    typed = {name: forms.text(name) for name in ("new_labels", "hour", "margin")}
    ticked = {name: forms.flag(name) for name in ("scheduled", "automatic")}
    try:
        with db().begin() as session:
            value = training.checked({**typed, **ticked})
            set_setting(session, name=training.LEARNING_SETTING, value=value, by=actor(), now=now())
            training.note(session, LearningAct.SETTINGS, words="修改学习设置", by=actor(), now=now(), details=value)
    except Invalid as error:
        return render_template("model/show.html", page=_page({**typed, **ticked}, error.fields)), 422
    forms.told("success", "学习设置已保存。")
    return redirect(url_for("model.show"), 303)


@bp.post("/limits")
@page(Permission.SETTINGS_EDIT)
def loosen() -> ResponseReturnValue:
    """Put a limit back to what the settings say, with a reason."""
    reason = forms.text("reason")
    try:
        with db().begin() as session:
            limits.loosen(session, scope=forms.text("scope"), reason=reason, by=actor(), now=now())
    except Invalid as error:
        return render_template("model/show.html", page=_page({"reason": reason}, error.fields)), 422
    forms.told("success", "已放宽，从现在起重新积累证据。")
    return redirect(url_for("model.show") + "#limits", 303)


def _page(typed: Mapping[str, Any], errors: Mapping[str, list[str]]) -> ModelPage:
    cursor = forms.asked("cursor")
    suggester = tools().suggester
    with db().read() as session:
        history = learning_queries.versions(session, cursor=cursor)
        standing = learning_queries.in_use(session)
        runs = learning_queries.runs(session)
        counts = learning_queries.labels_by_task(session)
        alarms = learning_queries.alarms(session)
        entries = learning_queries.journal(session)
        policy = limits.policy(session)
        held = limits.rows(session)
        given = training.settings(session)
    return ModelPage(
        answering=suggester.version,
        missing="" if suggester.model is not None else "；".join(suggester.suggest("检查", "检查分类模型。").reasons),
        now_in_use=_version(standing) if standing else None,
        may_go_back=standing is not None and not standing.shipped,
        counts=[(labels.words(task), _count(counts[task])) for task in LabelTask],
        progress=_progress(runs),
        promise=f"{policy.promise:.1%}",
        automatic=policy.on,
        limits=[_limit(row, policy.least) for row in held],
        versions=[_version(row) for row in history.rows],
        turn=turn(history, cursor=cursor, endpoint="model.show"),
        runs=[_run(row) for row in runs],
        alarms=[_line(row) for row in alarms],
        journal=[_line(row) for row in entries],
        values={
            "scheduled": given.scheduled,
            "automatic": given.automatic,
            "new_labels": str(given.new_labels),
            "hour": str(given.hour),
            "margin": f"{given.margin:g}",
            "reason": "",
            **typed,
        },
        errors=errors,
        may_manage=actor().can(Permission.MODEL_MANAGE),
        may_set=actor().can(Permission.SETTINGS_EDIT),
    )


def _progress(runs: Sequence[RunRow]) -> ProgressPage:
    running = next((row for row in runs if row.state is TrainingState.RUNNING), None)
    return ProgressPage(
        running=_run(running) if running else None,
        waiting=any(row.state is TrainingState.WAITING for row in runs),
    )


def _version(row: VersionRow) -> Version:
    return Version(
        name=row.version,
        state=labels.label(row.state),
        trained_at=present.moment(row.trained_at),
        labels="随附语料" if row.shipped else _count(int(row.made_from.get("labels", 0))),
        frozen=_change(row.figures.get("frozen")),
        newest=_change(row.figures.get("newest")),
        reason=row.reason,
        tone="success" if row.state is ModelState.IN_USE else None,
        may_promote=row.state in {ModelState.CANDIDATE, ModelState.RETIRED},
        in_use=row.state is ModelState.IN_USE,
    )


def _limit(row: LimitRow, least: float) -> LimitLine:
    return LimitLine(
        scope=row.scope,
        name=row.name,
        needed="人工派单" if row.limit > 1 else f"{max(row.limit, least) * 100:g}%",
        state=labels.label(row.state),
        record=f"{row.right} / {row.trials}",
        lower=f"{row.lower:.1%}" if row.trials else "—",
        reason=row.reason,
        since=f"{present.moment(row.at)} {row.who}",
        tone="danger" if row.limit > 1 else None,
        may_loosen=row.limit > least,
    )


def _change(figures: Mapping[str, Any] | None) -> str:
    if not figures or not figures.get("messages"):
        return "—"
    before = figures.get("before", {}).get("macro_f1", 0.0)
    return f"{before:.3f} → {figures['macro_f1']:.3f}（{figures['messages']} 件）"


def _run(row: RunRow) -> Run:
    return Run(
        state=labels.label(row.state),
        open=row.ended_at is None,
        why=row.why,
        asked=f"{present.moment(row.asked_at)} {row.asked_by}",
        ended=present.moment(row.ended_at) if row.ended_at else "",
        step=row.step,
        percent=round(row.share * 100),
        version=row.version or "",
    )


def _line(row: EntryRow) -> Line:
    return Line(id=row.id, at=present.moment(row.at), who=row.who, act=labels.label(row.act), words=row.words)


def _count(number: int) -> str:
    return f"{number:,}"
