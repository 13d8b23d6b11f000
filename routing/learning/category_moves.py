"""Takes the examples of a category along when it is merged into another or split (docs/learning.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from hotline.core.clock import local_day
from hotline.core.errors import Conflict, Invalid
from hotline.core.permissions import Actor, Permission, require
from hotline.tickets import actions as tickets
from hotline.tickets.models import Category, Ticket
from routing.learning import training
from routing.learning.label_models import LabelTask, TrainingLabel
from routing.learning.models import LearningAct

#: In a split, an example goes where it is so many times likelier than anywhere else; else to nobody.
CLEAR: Final = 1.5
MOST_TARGETS: Final = 4


@dataclass(frozen=True, kw_only=True)
class Move:
    """What would happen to the examples of a category: how many go where, and how many are unclear."""

    source: str
    going: Mapping[str, Sequence[int]]
    """Target code -> ids of labels."""
    unclear: Sequence[int]

    @property
    def total(self) -> int:
        """All examples that stand under the source now."""
        return sum(map(len, self.going.values())) + len(self.unclear)


def preview(session: Session, *, source: str, targets: Sequence[str], by: Actor) -> Move:
    """Return what a merge (one target) or a split (several) would do; writes nothing. Raises `Invalid` by field."""
    require(by, Permission.CATALOGUE_EDIT)
    chosen = list(dict.fromkeys(targets))
    rows = {
        row.code: row
        for row in session.scalars(
            select(Category).where(Category.code.in_([source, *chosen]), Category.valid_to.is_(None))
        )
    }
    problems: dict[str, str] = {}
    if source not in rows:
        problems["source"] = "请选择要并入或拆分的类别。"
    if not chosen or len(chosen) > MOST_TARGETS or any(code not in rows for code in chosen):
        problems["targets"] = f"请选择 1 到 {MOST_TARGETS} 个使用中的目标类别。"
    elif source in chosen and len(chosen) == 1:
        problems["targets"] = "目标类别与原类别相同。"
    elif len(chosen) > 1 and any(not rows[code].definition for code in chosen):
        problems["targets"] = "拆分按定义归类：每个目标类别都要先写定义。"
    if problems:
        raise Invalid(problems)
    found = session.execute(
        select(TrainingLabel.id, Ticket.title, Ticket.content)
        .join(Ticket, Ticket.id == TrainingLabel.ticket_id)
        .where(
            TrainingLabel.task == LabelTask.CATEGORY,
            TrainingLabel.label == source,
            TrainingLabel.superseded_at.is_(None),
        )
        .order_by(TrainingLabel.id)
    ).all()
    going: dict[str, list[int]] = {code: [] for code in chosen}
    if len(chosen) == 1:
        going[chosen[0]] = [row[0] for row in found]
        return Move(source=source, going=going, unclear=())
    unclear: list[int] = []
    from classifier.newcomers import Newcomer, likeness_to

    known = [Newcomer(code=code, name=rows[code].name, definition=rows[code].definition) for code in chosen]
    for label_id, title, content in found:
        ranked = sorted(likeness_to(known, title, content).items(), key=lambda pair: -pair[1])
        clear = ranked[0][1] > 0 and ranked[0][1] >= CLEAR * ranked[1][1]
        (going[ranked[0][0]] if clear else unclear).append(label_id)
    return Move(source=source, going=going, unclear=unclear)


def migrate(session: Session, *, source: str, targets: Sequence[str], seen: int, by: Actor, now: datetime) -> Move:
    """Do what `preview` showed: labels go to their targets, unclear ones are no longer learnt from, the source retires.

    `seen` is how many examples the person saw; when others came in since, nothing is done (`Conflict`). Tickets keep
    the category they have. Provenance and weight of every label stay.
    """
    move = preview(session, source=source, targets=targets, by=by)
    if move.total != seen:
        raise Conflict("预览之后又有新的样本，请重新预览。")
    for code, ids in move.going.items():
        session.execute(update(TrainingLabel).where(TrainingLabel.id.in_(ids)).values(label=code))
    session.execute(update(TrainingLabel).where(TrainingLabel.id.in_(move.unclear)).values(superseded_at=now))
    row = session.scalars(select(Category).where(Category.code == source)).one()
    if source not in move.going:
        tickets.change_category(
            session,
            code=source,
            name=row.name,
            definition=row.definition,
            lead=row.lead,
            urgency=row.urgency,
            retired=True,
            by=by,
            today=local_day(now),
        )
    told = "、".join(f"{code} {len(ids)} 件" for code, ids in move.going.items())
    training.note(
        session,
        LearningAct.CATALOGUE,
        words=f"类别 {source} 的样本迁移到 {told}；不明确 {len(move.unclear)} 件不再用于学习",
        by=by,
        now=now,
        details={"source": source, "going": {code: len(ids) for code, ids in move.going.items()}},
    )
    return move
