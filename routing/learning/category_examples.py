"""Example sentences that a city writes for a category: pasted, tried on past tickets, kept (docs/learning.md).

A new category is known by its definition at once; twenty sentences as citizens would say them tell it better, and the
training learns from them like from any example. They are written here and are nobody's ticket.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from hotline.core.errors import Invalid, NotFound
from hotline.core.permissions import Actor, Permission, require
from hotline.tickets.models import Category, Ticket
from routing.learning import training, words
from routing.learning.example_models import CategoryExample
from routing.learning.models import LearningAct
from routing.learning.queries import leaf_in_use

if TYPE_CHECKING:
    from classifier.suggest import Suggester, Suggestions

#: With so many sentences they speak for themselves (classifier.newcomers.ENOUGH).
ENOUGH: Final = 20
#: At most so many sentences of one category.
MOST: Final = 200
SHORTEST: Final = 5
LONGEST: Final = 500
_SHOWN_PROBLEMS: Final = 10
_SHOWN_CHANGES: Final = 20
_TRIED: Final = 50


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """One example as it is shown."""

    id: int
    body: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Said:
    """What the model says about one sentence, without and with the other new ones."""

    body: str
    before: str
    after: str
    found: bool
    """Whether the other new sentences make the category the first candidate."""


@dataclass(frozen=True, kw_only=True)
class Changed:
    """A past ticket whose first candidate would be another."""

    number: str
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What so many sentences would do; nothing is written yet."""

    fresh: Sequence[str]
    redacted: int
    """In how many sentences personal data were taken out."""
    answers: bool
    """Whether there is a model that can be asked."""
    learnt: bool
    """Whether the model has learnt the category already: then the sentences count from the next training on."""
    said: Sequence[Said]
    tickets: int
    changes: Sequence[Changed]
    changed: int


def of(session: Session, code: str) -> Sequence[Sentence]:
    """Return the sentences of a category, at most `MOST`, the newest first."""
    rows = session.scalars(
        select(CategoryExample)
        .join(Category, Category.id == CategoryExample.category_id)
        .where(Category.code == code)
        .order_by(CategoryExample.id.desc())
        .limit(MOST)
    )
    return [Sentence(id=row.id, body=row.body, at=row.at) for row in rows]


def preview(session: Session, suggester: Suggester, *, code: str, raw: str, by: Actor) -> Preview:
    """Return what pasted lines would do, on themselves and on the newest tickets; writes nothing.

    Raises `Invalid` on `lines`, naming the line, and `NotFound` for a category that is no leaf in use.
    """
    require(by, Permission.CATALOGUE_EDIT)
    row = _leaf(session, code)
    fresh, redacted = _fresh(session, row, raw)
    tree = words.tree(session)
    learnt = suggester.has_learnt(code)
    before = suggester.with_city(tree.corpus(), tree.newcomers)
    after = suggester.with_city(tree.corpus(), words.with_examples(tree.newcomers, row, fresh))
    said = []
    for body in fresh[:_TRIED]:
        # By the others only: of itself a sentence is always sure.
        others = words.with_examples(tree.newcomers, row, [one for one in fresh if one != body])
        old = _first(before.suggest("", body))
        new = _first(suggester.with_city(tree.corpus(), others).suggest("", body))
        said.append(Said(body=body, before=old[1], after=new[1], found=new[0] == code))
    changes, tickets = _changes(session, before, after) if not learnt else ([], 0)
    return Preview(
        fresh=fresh,
        redacted=redacted,
        answers=suggester.model is not None,
        learnt=learnt,
        said=said,
        tickets=tickets,
        changes=changes[:_SHOWN_CHANGES],
        changed=len(changes),
    )


def add(session: Session, *, code: str, raw: str, by: Actor, now: datetime) -> int:
    """Keep pasted lines as examples of a category, all or none; raises as `preview` does."""
    require(by, Permission.CATALOGUE_EDIT)
    row = _leaf(session, code, lock=True)
    fresh, _ = _fresh(session, row, raw)
    session.execute(
        insert(CategoryExample),
        [{"category_id": row.id, "body": body, "at": now, "by_id": by.user_id} for body in fresh],
    )
    _note(session, f"类别 {code} 增加例句 {len(fresh)} 条", by=by, now=now)
    return len(fresh)


def remove(session: Session, *, code: str, example_id: int, by: Actor, now: datetime) -> None:
    """Take one sentence out; `NotFound` when it is gone already."""
    require(by, Permission.CATALOGUE_EDIT)
    row = _leaf(session, code, lock=True)
    gone = delete(CategoryExample).where(CategoryExample.id == example_id, CategoryExample.category_id == row.id)
    if session.scalar(gone.returning(CategoryExample.id)) is None:
        raise NotFound("这条例句已经删除，请刷新页面。")
    _note(session, f"类别 {code} 删除例句 1 条", by=by, now=now)


def _note(session: Session, told: str, *, by: Actor, now: datetime) -> None:
    training.note(session, LearningAct.CATALOGUE, words=told, by=by, now=now)


def takes(session: Session, code: str) -> bool:
    """Tell whether a category takes sentences: it is in use, and none below it is."""
    return session.scalar(select(Category.id).where(Category.code == code, leaf_in_use())) is not None


def _leaf(session: Session, code: str, *, lock: bool = False) -> Category:
    query = select(Category).where(Category.code == code, leaf_in_use())
    row = session.scalars(query.with_for_update() if lock else query).first()
    if row is None:
        raise NotFound("没有这个末级类别，或已停用。")
    return row


def _fresh(session: Session, row: Category, raw: str) -> tuple[list[str], int]:
    """Return the lines without personal data, and how many had any; `Invalid` names each line that will not do."""
    from classifier.personal import redact

    known = set(session.scalars(select(CategoryExample.body).where(CategoryExample.category_id == row.id).limit(MOST)))
    standing = len(known)
    lines = [(number, line.strip()) for number, line in enumerate(raw.splitlines(), 1) if line.strip()]
    if not lines:
        raise Invalid({"lines": "请粘贴例句，每行一条。"})
    if standing + len(lines) > MOST:
        raise Invalid({"lines": f"每个类别最多 {MOST} 条例句，已有 {standing} 条，本次 {len(lines)} 条。"})
    fresh, problems, redacted = [], [], 0
    for number, line in lines:
        body = redact(line)
        redacted += body != line
        if not SHORTEST <= len(body) <= LONGEST:
            problems.append(f"第 {number} 行应为 {SHORTEST} 到 {LONGEST} 个字，现有 {len(body)} 个。")
        elif body in known:
            problems.append(f"第 {number} 行重复：{body[:20]}")
        else:
            known.add(body)
            fresh.append(body)
    if problems:
        more = f"（另有 {len(problems) - _SHOWN_PROBLEMS} 处）" if len(problems) > _SHOWN_PROBLEMS else ""
        raise Invalid({"lines": [*problems[:_SHOWN_PROBLEMS], *([more] if more else [])]})
    return fresh, redacted


def _changes(session: Session, before: Suggester, after: Suggester) -> tuple[list[Changed], int]:
    """Return which of the newest tickets would have another first candidate, and how many were asked about."""
    rows = session.scalars(select(Ticket).order_by(Ticket.id.desc()).limit(words.TRIED_ON)).all()
    found = []
    for ticket in rows:
        title, body, at = words.told(session, ticket)
        old, new = (_first(one.suggest(title, body, at=at)) for one in (before, after))
        if old[0] != new[0]:
            found.append(Changed(number=ticket.number, before=old[1], after=new[1]))
    return found, len(rows)


def _first(said: Suggestions) -> tuple[str, str]:
    best = said.category.best
    return (best.label, f"{best.name}（{best.probability:.0%}）") if best else ("", "无法判断")
