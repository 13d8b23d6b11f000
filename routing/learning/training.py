"""Learns again from what people decided, compares, promotes and goes back (docs/learning.md).

The training itself runs in a process of its own (`hotline classifier learn`): the worker goes on suggesting, and the
process has its own bounds. What it has come to stands in `model_trainings`, so that any page can show it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from hotline.core.clock import local
from hotline.core.errors import Conflict, HotlineError, Invalid, NotFound
from hotline.core.permissions import SYSTEM, Actor, Permission, Role, require
from hotline.tickets.models import Category
from hotline.tickets.queries import setting
from routing.learning import examples, promotion
from routing.learning.label_models import LabelTask, TrainingLabel
from routing.learning.models import (
    LearningAct,
    LearningEntry,
    ModelState,
    ModelTraining,
    ModelVersion,
    TrainingState,
)
from routing.models import Department

if TYPE_CHECKING:
    from classifier import departments
    from classifier.departments import Pool
    from classifier.learning import Example
    from classifier.model import Model
    from classifier.seeds import Seeds

#: Under this name an administrator decides how the model learns.
LEARNING_SETTING: Final = "learning"
#: A training process that gave no sign of life for so long is lost.
LOST_AFTER: Final = timedelta(minutes=5)
#: How many retired models keep their files.
KEPT_FILES: Final = 8
Step = Callable[[str, float], None]
Begin = Callable[[], AbstractContextManager[Session]]


@dataclass(frozen=True, kw_only=True)
class LearningSettings:
    """How the model learns in use; every value is set on screen."""

    #: Learn by night when enough was decided since.
    scheduled: bool = True
    #: Put a candidate that passed in use at once; otherwise it waits for a person.
    automatic: bool = True
    #: So many new labels make it worth to learn again.
    new_labels: int = 100
    #: The local hour of the night.
    hour: int = 2
    #: How much F1 a single class may lose.
    margin: float = 0.05

    @classmethod
    def from_setting(cls, value: Mapping[str, Any] | None) -> Self:
        """Read the stored setting; what is missing has its default."""
        given = value or {}
        usual = cls()
        return cls(
            scheduled=bool(given.get("scheduled", usual.scheduled)),
            automatic=bool(given.get("automatic", usual.automatic)),
            new_labels=int(given.get("new_labels", usual.new_labels)),
            hour=int(given.get("hour", usual.hour)),
            margin=float(given.get("margin", usual.margin)),
        )


def settings(session: Session) -> LearningSettings:
    """Return how this city's model learns."""
    return LearningSettings.from_setting(setting(session, LEARNING_SETTING))


def checked(raw: Mapping[str, str | bool]) -> dict[str, Any]:
    """Return the settings as they are stored, or raise `Invalid` by field."""
    problems: dict[str, str] = {}
    found: dict[str, Any] = {"scheduled": bool(raw["scheduled"]), "automatic": bool(raw["automatic"])}
    for name, low, high, words in (
        ("new_labels", 10, 100_000, "请填写 10 到 100000 之间的整数。"),
        ("hour", 0, 23, "请填写 0 到 23 之间的整点。"),
    ):
        text = str(raw[name]).strip()
        if not text.isdecimal() or not low <= int(text[:9]) <= high:
            problems[name] = words
        else:
            found[name] = int(text)
    try:
        margin = float(str(raw["margin"]).strip())
    except ValueError:
        margin = -1.0
    if not 0 <= margin <= 0.5:  # noqa: PLR2004 - more than half of the F1 is no margin
        problems["margin"] = "请填写 0 到 0.5 之间的数，例如 0.05。"
    found["margin"] = margin
    if problems:
        raise Invalid(problems)
    return found


def wanted(given: LearningSettings, *, new_labels: int, last_started: datetime | None, now: datetime) -> str:
    """Return why the timetable wants a training now, in words, or an empty text. Pure."""
    if not given.scheduled or local(now).hour != given.hour:
        return ""
    if last_started is not None and local(last_started).date() == local(now).date():
        return ""
    if new_labels < given.new_labels:
        return ""
    return f"按计划：新增 {new_labels} 条以上标签"


def ask(session: Session, *, why: str, by: Actor, now: datetime) -> ModelTraining:
    """Ask for a training; it begins within a minute. One that waits already is enough."""
    if by.role is not Role.SYSTEM:
        require(by, Permission.MODEL_MANAGE)
    waiting = session.scalars(
        select(ModelTraining).where(ModelTraining.state == TrainingState.WAITING).with_for_update()
    ).first()
    if waiting is not None:
        return waiting
    row = ModelTraining(state=TrainingState.WAITING, why=why, asked_at=now, asked_by=by.user_id, step="等待开始")
    session.add(row)
    note(session, LearningAct.ASKED, words=f"请求训练：{why}", by=by, now=now)
    session.flush()
    return row


def begin_due(session: Session, *, now: datetime) -> int | None:
    """Return the id of the run that must be started now, or nothing; lost runs are ended first."""
    for lost in session.scalars(
        select(ModelTraining)
        .where(ModelTraining.state == TrainingState.RUNNING, ModelTraining.beat_at < now - LOST_AFTER)
        .with_for_update(skip_locked=True)
    ):
        _end(session, lost, TrainingState.FAILED, words="训练进程中断，没有改变在用模型。", now=now)
    session.flush()
    if session.scalar(select(ModelTraining.id).where(ModelTraining.state == TrainingState.RUNNING)) is not None:
        return None
    row = session.scalars(
        select(ModelTraining).where(ModelTraining.state == TrainingState.WAITING).with_for_update(skip_locked=True)
    ).first()
    if row is None:
        given = settings(session)
        last = session.scalar(select(func.max(ModelTraining.started_at)))
        fresh = new_labels(session, since=last, most=given.new_labels) if given.scheduled else 0
        why = wanted(given, new_labels=fresh, last_started=last, now=now)
        if not why:
            return None
        row = ask(session, why=why, by=SYSTEM, now=now)
    row.state, row.started_at, row.beat_at, row.step = TrainingState.RUNNING, now, now, "启动训练进程"
    session.flush()
    return row.id


def new_labels(session: Session, *, since: datetime | None, most: int) -> int:
    """Count what was decided about categories and departments since a moment, up to `most`."""
    query = select(TrainingLabel.id).where(
        TrainingLabel.superseded_at.is_(None), TrainingLabel.task.in_([LabelTask.CATEGORY, LabelTask.DEPARTMENT])
    )
    if since is not None:
        query = query.where(TrainingLabel.at > since)
    return int(session.scalar(select(func.count()).select_from(query.limit(most).subquery())) or 0)


def beat(session: Session, run_id: int, *, now: datetime, step: str = "", share: float | None = None) -> None:
    """Write down a sign of life of the training process, and how far it is."""
    values: dict[str, Any] = {"beat_at": now}
    if step:
        values["step"] = step
    if share is not None:
        values["share"] = share
    session.execute(
        update(ModelTraining)
        .where(ModelTraining.id == run_id, ModelTraining.state == TrainingState.RUNNING)
        .values(**values)
    )


def failed(session: Session, run_id: int, *, words: str, now: datetime) -> None:
    """End a run that could not finish; the model in use stays."""
    row = session.get(ModelTraining, run_id, with_for_update=True)
    if row is not None and row.ended_at is None:
        _end(session, row, TrainingState.FAILED, words=words, now=now)


def learn(
    begin: Begin,
    *,
    home: Path,
    run_id: int,
    say: Step,
    now: Callable[[], datetime],
    corpus: Seeds | None = None,
) -> ModelVersion:
    """Train, compare and, if it passes, promote; the whole of one run, in a process of its own.

    Raises `classifier.errors.TooFewExamples` or another of ours when there is nothing to learn; the caller writes that
    down with `failed`.
    """
    from classifier import learning, neighbours, registry, seeds, store
    from classifier.departments import Pool
    from classifier.features import fields

    say("收集标签", 0.02)
    with begin() as session:
        reconcile(session, home=home, now=now())
        gathered = examples.gather(session)
        names = {code: path for code, path in session.execute(select(Category.code, Category.path))}  # noqa: C416
        units = {code: name for code, name in session.execute(select(Department.code, Department.short_name))}  # noqa: C416
        usual = examples.usual(session)
        given = settings(session)
    say("查找重复文本", 0.08)
    groups = [int(one) for one in neighbours.groups([fields(one.title, one.content).body for one in gathered])]
    with begin() as session:
        found = examples.material(session, gathered, groups=groups, now=now())
    gathered.clear()
    say(f"训练：{len(found.train)} 件标签和种子语料", 0.15)
    incumbent_folder = registry.folder_in_use(home)
    incumbent, incumbent_card = store.load(incumbent_folder)
    learnt = learning.learn_default(corpus or seeds.load(), found.learnt, usual=usual)
    say("与在用模型比较", 0.85)
    frozen = tuple(_scored(model, found.frozen) for model in (learnt.model, incumbent))
    newest = tuple(_scored(model, found.newest) for model in (learnt.model, incumbent))
    judged = promotion.verdict(
        frozen=(frozen[0], frozen[1]), newest=(newest[0], newest[1]), margin=given.margin, names=names
    )
    types = {
        name: tuple(_scored_types(model, given_) for model in (learnt.model, incumbent))
        for name, given_ in (("frozen", found.frozen), ("newest", found.newest))
    }
    others: dict[str, promotion.Verdict] = {}
    if types["frozen"][0].messages >= promotion.FEWEST_FROZEN:
        # One model holds all: types may fluctuate within the margin so that they do not hold better categories back.
        others["诉求类型"] = _verdict(types, margin=given.margin, slack=given.margin)
    pool, leads, about_leads = _departments_compared(
        (learnt.model, Pool.of(learnt.made_from)),
        (incumbent, Pool.of(incumbent_card.made_from)),
        found,
        usual=usual,
        margin=given.margin,
        names={**units, examples.DISTRICT: "属地县区"},
    )
    if about_leads is not None:
        others["承办单位"] = about_leads
    judged = promotion.together(judged, others)
    made_from = {
        **learnt.made_from,
        "departments": {**learnt.made_from.get("departments", {}), **pool.as_json()},
        "labels": sum(bool(one.label) for one in found.train),
        "department_labels": sum(bool(one.department) for one in found.train),
        "definitions": len({one.label for one in found.definitions}),
        "codes": sorted({one.label for one in found.learnt if one.label}),
        "learnt_to": found.learnt_to.isoformat() if found.learnt_to else None,
        "left_out": found.left_out,
        "compared_with": incumbent_card.version,
        "margin": given.margin,
    }
    measured = {
        "frozen": {**_figures(learnt.model, found.frozen), "before": _told(frozen[1])},
        "newest": {**_figures(learnt.model, found.newest), "before": _told(newest[1])},
        "request_types": {name: {**_told(new), "before": _told(old)} for name, (new, old) in types.items()},
        "departments": {name: {**_told(new), "before": _told(old)} for name, (new, old) in leads.items()},
        "passed": judged.passed,
        "worse": {label: list(pair) for label, pair in judged.worse.items()},
    }
    say("保存模型", 0.95)
    workshop = home / f".learning-{run_id}"
    card = store.save(learnt.model, workshop, made_from=made_from, measured={"passed": judged.passed})
    try:
        with begin() as session:
            row = _keep(
                session,
                card.version,
                folder=workshop,
                home=home,
                judged=judged,
                made_from=made_from,
                measured=measured,
                now=now(),
            )
            run = session.get_one(ModelTraining, run_id, with_for_update=True)
            run.version = row.version
            _end(session, run, TrainingState.DONE, words=judged.reason, now=now())
            if row.state is ModelState.CANDIDATE and given.automatic:
                _put_in_use(session, row, home=home, reason=f"自动启用：{judged.reason}", by=SYSTEM, now=now())
            return row
    finally:
        if workshop.exists():
            shutil.rmtree(workshop)


def promote(session: Session, *, version: str, home: Path, by: Actor, now: datetime) -> ModelVersion:
    """Put a candidate, or a model that was in use before, in use."""
    require(by, Permission.MODEL_MANAGE)
    _locked(session, version)
    reconcile(session, home=home, now=now)
    row = _locked(session, version)
    if row.state is ModelState.REFUSED:
        raise Conflict("该模型没有通过比较，不能启用。")
    if row.state is ModelState.IN_USE:
        raise Conflict("该模型已在使用。")
    _put_in_use(session, row, home=home, reason="人工启用", by=by, now=now)
    return row


def roll_back(session: Session, *, version: str, home: Path, by: Actor, now: datetime) -> ModelVersion:
    """Put the model before the one in use back; `version` is the one the person saw in use."""
    from classifier import registry

    require(by, Permission.MODEL_MANAGE)
    _locked(session, version)
    reconcile(session, home=home, now=now)
    row = _locked(session, version)
    if row.state is not ModelState.IN_USE:
        raise Conflict("在用模型刚刚变了，请刷新后再决定。")
    before = registry.rollback(home) if registry.in_use(home) is not None else None
    if before is None:
        target = session.scalars(select(ModelVersion).where(ModelVersion.shipped)).first()
    else:
        target = session.get(ModelVersion, before.version)
    if target is None or target.version == version:
        raise Conflict("没有更早的模型可以回退。")
    _states(session, row, target, reason="人工回退", by=by, now=now)
    note(
        session,
        LearningAct.ROLLED_BACK,
        words=f"模型由 {version} 回退到 {target.version}",
        by=by,
        now=now,
        details={"version": target.version, "before": version},
    )
    return target


def reconcile(session: Session, *, home: Path, now: datetime) -> None:
    """Make the table say what the file says: a model may have been promoted at the terminal, or a commit lost."""
    from classifier import registry, store

    in_use = registry.in_use(home)
    standing = session.scalars(select(ModelVersion).where(ModelVersion.state == ModelState.IN_USE)).first()
    if in_use is None and standing is not None and standing.shipped:
        return
    if in_use is not None and standing is not None and standing.version == in_use.version:
        return
    card = store.card(registry.folder_in_use(home))
    row = session.get(ModelVersion, card.version)
    if row is None:
        row = ModelVersion(
            version=card.version,
            state=ModelState.RETIRED,
            shipped=in_use is None,
            made_from=dict(card.made_from),
            figures={},
            trained_at=now,
        )
        session.add(row)
        session.flush()
    _states(session, standing, row, reason="随附语料训练" if in_use is None else "在终端启用", by=SYSTEM, now=now)


def note(
    session: Session,
    act: LearningAct,
    *,
    words: str,
    by: Actor,
    now: datetime,
    details: Mapping[str, Any] | None = None,
    alarm: bool = False,
) -> LearningEntry:
    """Write one line into the journal of learning."""
    row = LearningEntry(at=now, act=act, by_id=by.user_id, words=words, details=dict(details or {}), alarm=alarm)
    session.add(row)
    return row


def hear(session: Session, *, entry_id: int, by: Actor, now: datetime) -> None:
    """Acknowledge an alarm; the second who does so changes nothing."""
    require(by, Permission.MODEL_MANAGE)
    row = session.get(LearningEntry, entry_id, with_for_update=True)
    if row is None or not row.alarm:
        raise NotFound
    if row.heard_at is None:
        row.heard_at, row.heard_by = now, by.user_id


def _keep(
    session: Session,
    version: str,
    *,
    folder: Path,
    home: Path,
    judged: promotion.Verdict,
    made_from: Mapping[str, Any],
    measured: Mapping[str, Any],
    now: datetime,
) -> ModelVersion:
    """Keep a trained model's figures, and its file when it passed."""
    from classifier import registry

    row = session.get(ModelVersion, version)
    in_use = registry.in_use(home)
    if row is not None and (row.state is ModelState.IN_USE or (in_use is not None and in_use.version == version)):
        row.figures, row.reason = dict(measured), "重新训练得到同一模型，继续使用。"
        return row
    if row is None:
        row = ModelVersion(version=version, state=ModelState.CANDIDATE, trained_at=now)
        session.add(row)
    row.state = ModelState.CANDIDATE if judged.passed else ModelState.REFUSED
    row.reason, row.made_from, row.figures, row.trained_at = judged.reason, dict(made_from), dict(measured), now
    if judged.passed and not (home / version).exists():
        folder.rename(home / version)
    note(
        session,
        LearningAct.TRAINED if judged.passed else LearningAct.REFUSED,
        words=f"模型 {version}：{judged.reason}",
        by=SYSTEM,
        now=now,
        details={"version": version, "passed": judged.passed},
    )
    session.flush()
    return row


def _put_in_use(session: Session, row: ModelVersion, *, home: Path, reason: str, by: Actor, now: datetime) -> None:
    from classifier import default, registry, store

    standing = session.scalars(
        select(ModelVersion).where(ModelVersion.state == ModelState.IN_USE).with_for_update()
    ).first()
    folder = default.ensure_default_model(home) if row.shipped else home / row.version
    store.load(folder)  # a damaged file is refused by name before anything changes
    _states(session, standing, row, reason=reason, by=by, now=now)
    note(
        session,
        LearningAct.PROMOTED,
        words=f"启用模型 {row.version}（{reason}）",
        by=by,
        now=now,
        details={"version": row.version, "before": standing.version if standing else None},
    )
    session.flush()
    # Last, so that only the commit itself can still fail; `reconcile` would notice even that.
    registry.promote(folder, home)
    _forget_files(session, home=home, keep={row.version})


def _states(
    session: Session, old: ModelVersion | None, new: ModelVersion, *, reason: str, by: Actor, now: datetime
) -> None:
    if old is not None and old.version != new.version:
        old.state = ModelState.RETIRED
        session.flush()  # one model at a time: the old one must go first
    new.state, new.reason, new.decided_at, new.decided_by = ModelState.IN_USE, reason, now, by.user_id
    session.flush()


def _forget_files(session: Session, *, home: Path, keep: set[str]) -> None:
    """Delete the files of the oldest retired models; their figures stay."""
    from classifier import store

    retired = session.scalars(
        select(ModelVersion.version)
        .where(ModelVersion.state == ModelState.RETIRED, ~ModelVersion.shipped)
        .order_by(ModelVersion.decided_at.desc().nulls_last())
        .offset(KEPT_FILES)
    )
    for version in retired:
        if version not in keep:
            store.remove(home / version)


def _end(session: Session, row: ModelTraining, state: TrainingState, *, words: str, now: datetime) -> None:
    row.state, row.ended_at, row.step = state, now, words[:1_000]
    row.share = 1.0 if state is TrainingState.DONE else row.share
    if state is TrainingState.FAILED:
        note(session, LearningAct.FAILED, words=f"训练未完成：{words}", by=SYSTEM, now=now, alarm=True)


def _locked(session: Session, version: str) -> ModelVersion:
    row = session.get(ModelVersion, version, with_for_update=True)
    if row is None:
        raise NotFound
    return row


def _scored(model: Model, given: Sequence[Example]) -> promotion.Scores:
    from classifier import learning
    from classifier.features import fields

    given = [one for one in given if one.label]
    truth = [one.label for one in given]
    if not given:
        return promotion.scores([], [])
    rows = model.vectors([fields(one.title, one.body) for one in given])
    return promotion.scores(truth, model.judge(learning.task_for(model, truth), rows).best())


def _scored_types(model: Model, given: Sequence[Example]) -> promotion.Scores:
    """Score request types on what people said of them; nothing where a model has none."""
    from classifier import learning
    from classifier.features import fields

    known = [one for one in given if one.request_type]
    if not known or learning.REQUEST_TYPE not in model.heads:
        return promotion.scores([], [])
    judged = model.judge(learning.REQUEST_TYPE, model.vectors([fields(one.title, one.body) for one in known]))
    return promotion.scores([one.request_type for one in known], judged.best())


def _scored_departments(
    model: Model, given: Sequence[Example], *, usual: departments.Usual, pool: Pool
) -> promotion.Scores:
    """Score who should lead on what people decided, as the suggester says it of a text."""
    from classifier import departments, learning
    from classifier.features import fields

    known = [one for one in given if one.department]
    if not known or learning.CATEGORY not in model.heads:
        return promotion.scores([], [])
    said = model.judge_all(model.vectors([fields(one.title, one.body) for one in known]))
    told = departments.said(said[learning.CATEGORY], said.get(departments.LEAD), usual, pool)
    return promotion.scores([one.department for one in known], told)


def _departments_compared(
    candidate: tuple[Model, Pool],
    incumbent: tuple[Model, Pool],
    found: examples.Material,
    *,
    usual: departments.Usual,
    margin: float,
    names: Mapping[str, str],
) -> tuple[Pool, dict[str, tuple[promotion.Scores, ...]], promotion.Verdict | None]:
    """Return how departments are told from now on, how both models did by set, and the verdict, where one can be given.

    Where what was learnt of departments does not pass, they may still follow from the new model's categories.
    """
    from classifier.departments import Pool

    sets = {"frozen": found.frozen, "newest": found.newest}
    before = {
        name: _scored_departments(incumbent[0], some, usual=usual, pool=incumbent[1]) for name, some in sets.items()
    }
    model, learnt = candidate

    def compared(pool: Pool) -> tuple[Pool, dict[str, tuple[promotion.Scores, ...]], promotion.Verdict | None]:
        scored: dict[str, tuple[promotion.Scores, ...]] = {
            name: (_scored_departments(model, some, usual=usual, pool=pool), before[name])
            for name, some in sets.items()
        }
        if scored["frozen"][0].messages < promotion.FEWEST_FROZEN:
            return pool, scored, None
        # What goes out by itself is a department: no slack here.
        return pool, scored, _verdict(scored, margin=margin, names=names)

    first = compared(learnt)
    if learnt.follows or first[2] is None or first[2].passed:
        return first
    return compared(Pool())


def _verdict(
    scored: Mapping[str, tuple[promotion.Scores, ...]],
    *,
    margin: float,
    slack: float = 0.0,
    names: Mapping[str, str] | None = None,
) -> promotion.Verdict:
    """Compare (candidate, in use) on the frozen set and on the newest weeks."""
    frozen, newest = scored["frozen"], scored["newest"]
    return promotion.verdict(
        frozen=(frozen[0], frozen[1]), newest=(newest[0], newest[1]), margin=margin, names=names, slack=slack
    )


def _told(found: promotion.Scores) -> dict[str, Any]:
    return {"messages": found.messages, "macro_f1": found.macro, "accuracy": found.accuracy, "f1": dict(found.f1)}


def _figures(model: Model, given: Sequence[Example]) -> dict[str, Any]:
    """Return everything that was measured on one set, without the empty cells of the confusion table."""
    from classifier import evaluation, learning
    from classifier.features import fields

    given = [one for one in given if one.label]
    if not given:
        return {"messages": 0}
    truth = [one.label for one in given]
    task = learning.task_for(model, truth)
    judged = model.judge(task, model.vectors([fields(one.title, one.body) for one in given]))
    found = evaluation.figures(judged.labels, judged.probabilities, truth, dispatched=judged.sure).as_json()
    occurs = set(truth) | set(judged.best())
    found["labels"] = [row for row in found["labels"] if row["label"] in occurs]
    found["confusion"] = {
        label: {other: count for other, count in row.items() if count}
        for label, row in found["confusion"].items()
        if any(row.values())
    }
    # The classifier's mean leaves a label out that the model does not know; ours counts it as a miss.
    found |= {key: value for key, value in _told(promotion.scores(truth, judged.best())).items() if key != "f1"}
    return found


def in_words(error: Exception) -> str:
    """Return why a run failed, for the page: our own sentence, or only the kind of a surprise."""
    return error.message if isinstance(error, HotlineError) else f"意外错误（{type(error).__name__}）"
