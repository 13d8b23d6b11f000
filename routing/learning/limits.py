"""Watches the promise in use and moves the limits of automatic dispatch (docs/learning.md, `selective` beside this)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hotline.core.errors import Conflict, Invalid, NotFound
from hotline.core.permissions import SYSTEM, Actor, Permission, require
from hotline.people.queries import names
from hotline.tickets.models import Category
from hotline.tickets.queries import setting
from routing.learning import training
from routing.learning.label_models import LabelTask, Provenance, TrainingLabel
from routing.learning.limit_models import DispatchLimit
from routing.learning.models import LearningAct
from routing.learning.selective import ALL, Limit, LimitState, Record, Trial, next_limits
from routing.models import Department, Suggestion
from routing.rules import AUTOMATIC_SETTING, AutomaticPolicy

#: What the record looks back on, and at most how many trials: a model of last year says nothing of this one.
WINDOW: Final = timedelta(days=90)
MOST_TRIALS: Final = 5_000
MOST_REASON: Final = 200
_READ_SUGGESTIONS: Final = 200_000


@dataclass(frozen=True, kw_only=True)
class LimitRow:
    """One limit as the page shows it."""

    scope: str
    name: str
    limit: float
    state: LimitState
    trials: int
    right: int
    lower: float
    reason: str
    at: datetime
    who: str


def policy(session: Session) -> AutomaticPolicy:
    """Return what may go out by itself: what the administrator set, and the limits that the record asks for."""
    return AutomaticPolicy.from_setting(setting(session, AUTOMATIC_SETTING), limits=current(session))


def current(session: Session) -> dict[str, float]:
    """Return the limits in force by scope."""
    rows = session.execute(select(DispatchLimit.scope, DispatchLimit.limit).where(DispatchLimit.is_current))
    return {row.scope: row.limit for row in rows}


def trials(session: Session, *, now: datetime) -> list[Trial]:
    """Return the newest suggestions whose department people have decided since; a mere proposal decides nothing."""
    newest = session.scalar(select(func.max(Suggestion.id))) or 0
    rows = session.execute(
        select(Suggestion.probability, Category.code, Department.id == Suggestion.department_id, Suggestion.made_at)
        .join(
            TrainingLabel,
            (TrainingLabel.ticket_id == Suggestion.ticket_id)
            & (TrainingLabel.task == LabelTask.DEPARTMENT)
            & TrainingLabel.superseded_at.is_(None)
            & (TrainingLabel.provenance != Provenance.PROPOSED.value),
        )
        .join(Department, Department.code == TrainingLabel.label)
        .outerjoin(Category, Category.id == Suggestion.category_id)
        .where(
            Suggestion.department_id.is_not(None),
            Suggestion.made_at >= now - WINDOW,
            Suggestion.id > newest - _READ_SUGGESTIONS,
        )
        .order_by(Suggestion.id.desc())
        .limit(MOST_TRIALS)
    )
    return [
        Trial(category=code or "", probability=probability, right=right, at=at) for probability, code, right, at in rows
    ]


def watch(session: Session, *, now: datetime) -> Sequence[Limit]:
    """Move the limits to where the record wants them; returns those that changed. A tightened one raises an alarm."""
    given = policy(session)
    present = {
        row.scope: row
        for row in session.scalars(select(DispatchLimit).where(DispatchLimit.is_current).with_for_update())
    }
    wanted = next_limits(
        trials(session, now=now),
        {scope: row.limit for scope, row in present.items()},
        promise=given.promise,
        least=given.least,
        since=_loosened(session),
    )
    found = session.execute(select(Category.code, Category.path).where(Category.code.in_(list(wanted))))
    paths = {row.code: row.path for row in found}
    changed: list[Limit] = []
    for scope, limit in wanted.items():
        before = present.get(scope)
        was = before.limit if before is not None else given.limit_for(scope)
        if before is not None and before.limit == limit.limit:
            # The limit stands; only what is known of it is brought up to date.
            before.trials, before.right = limit.record.trials, limit.record.right
            before.lower, before.reason = limit.record.lower, limit.reason
            if before.state is not LimitState.TIGHTENED or limit.state is LimitState.PROVEN:
                before.state = limit.state
            continue
        if before is None and limit.limit <= was and scope == ALL and limit.limit == given.least:
            _set(session, limit, before=None, by=SYSTEM, now=now)
            continue
        _set(session, limit, before=before, by=SYSTEM, now=now)
        changed.append(limit)
        tighter = limit.limit > was
        training.note(
            session,
            LearningAct.TIGHTENED if tighter else LearningAct.LOOSENED,
            words=f"自动派单门槛（{paths.get(scope) or '全部类别'}）：{limit.reason}",
            by=SYSTEM,
            now=now,
            details={"scope": scope, "before": was, "after": limit.limit},
            alarm=tighter,
        )
    session.flush()
    return changed


def loosen(session: Session, *, scope: str, reason: str, by: Actor, now: datetime) -> None:
    """Put a limit back to what the administrator set, by a person and with a reason; its record begins anew.

    Raises `Invalid` without a reason, `Conflict` when there is nothing to loosen.
    """
    require(by, Permission.SETTINGS_EDIT)
    reason = reason.strip()
    if not reason:
        raise Invalid({"reason": "请写明放宽的理由。"})
    if len(reason) > MOST_REASON:
        raise Invalid({"reason": f"最多 {MOST_REASON} 字。"})
    row = session.scalars(
        select(DispatchLimit).where(DispatchLimit.scope == scope, DispatchLimit.is_current).with_for_update()
    ).first()
    if row is None:
        raise NotFound
    least = policy(session).least
    if row.limit <= least:
        raise Conflict("该门槛没有高于系统设置，无须放宽。")
    before = row.limit
    _set(
        session,
        Limit(
            scope=scope,
            limit=least,
            state=LimitState.UNPROVEN,
            record=Record(trials=0, right=0, lower=0.0),
            reason=f"人工放宽，从此重新积累证据：{reason}",
        ),
        before=row,
        by=by,
        now=now,
    )
    training.note(
        session,
        LearningAct.LOOSENED,
        words=f"人工放宽自动派单门槛（{_name(session, scope)}）：{reason}",
        by=by,
        now=now,
        details={"scope": scope, "before": before, "after": least},
    )


def rows(session: Session) -> Sequence[LimitRow]:
    """Return the limits in force, that for all first."""
    found = session.execute(
        select(DispatchLimit, Category.path)
        .outerjoin(Category, Category.code == DispatchLimit.scope)
        .where(DispatchLimit.is_current)
        .order_by(DispatchLimit.scope)
    ).all()
    known = names(session, [row.by_id for row, _ in found])
    return [
        LimitRow(
            scope=row.scope,
            name=path or "全部类别",
            limit=row.limit,
            state=row.state,
            trials=row.trials,
            right=row.right,
            lower=row.lower,
            reason=row.reason,
            at=row.at,
            who=known.get(row.by_id or 0, "系统"),
        )
        for row, path in found
    ]


def _loosened(session: Session) -> dict[str, datetime]:
    """Return when a person last loosened each limit."""
    rows = session.execute(
        select(DispatchLimit.scope, func.max(DispatchLimit.at))
        .where(DispatchLimit.by_id.is_not(None))
        .group_by(DispatchLimit.scope)
    )
    return {row[0]: row[1] for row in rows}


def _set(session: Session, limit: Limit, *, before: DispatchLimit | None, by: Actor, now: datetime) -> None:
    if before is not None:
        before.is_current = False
        session.flush()  # one limit at a time: the old one must go first
    session.add(
        DispatchLimit(
            scope=limit.scope,
            limit=limit.limit,
            state=limit.state,
            trials=limit.record.trials,
            right=limit.record.right,
            lower=limit.record.lower,
            reason=limit.reason,
            at=now,
            by_id=by.user_id,
        )
    )


def _name(session: Session, scope: str) -> str:
    return session.scalar(select(Category.path).where(Category.code == scope)) or "全部类别"
