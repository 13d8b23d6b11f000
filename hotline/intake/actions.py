"""Register a concern, once per key, however often it is handed in."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from hotline.core.db import keyring_of
from hotline.core.errors import Conflict, Invalid
from hotline.core.permissions import SYSTEM, Actor, Permission, require
from hotline.intake import rules
from hotline.intake.models import Submission
from hotline.tickets import actions as tickets
from hotline.tickets import queries as tickets_queries
from hotline.tickets.models import Category, Region, Ticket
from hotline.tickets.states import State
from hotline.tickets.vocabulary import Kind, NewTicket

MOST_KEY: Final = 200
KEYS_LAST: Final = timedelta(days=30)


@dataclass(frozen=True, kw_only=True)
class Registered:
    """What the person at the door is told."""

    ticket_id: int
    number: str
    #: Shown once; empty when an open ticket of the same matter was found instead.
    query_code: str
    #: True when this key had been used before and nothing new was written.
    again: bool = False
    #: True when the same caller's same matter was still open and this was counted as a repeat.
    repeat: bool = False


def register(
    session: Session, concern: rules.Concern, *, scope: str, key: str = "", by: Actor, now: datetime
) -> Registered:
    """Take a concern in; with a key, the second time gives the first answer and writes nothing.

    Raises `Invalid` by field, and `Conflict` when a key comes again with other content.
    """
    if len(key) > MOST_KEY or not key.isprintable():
        raise Invalid({"key": f"幂等键最多 {MOST_KEY} 个可见字符。"})
    new = rules.checked(concern, now=now)
    _check_places(session, new)
    submission: Submission | None = None
    if key:
        known = _claim_key(session, concern, scope=scope, key=key, now=now)
        if known is not None:
            return known
        submission = session.get(Submission, (scope, key))
    # A person at a desk decides himself; a citizen who sends the same text again has repeated it. Two reviews in the
    # same words are two reviews: each has a counter, a verdict and a callback of its own (domain.md 4.3).
    decided = by.can(Permission.TICKET_REGISTER) or new.kind is Kind.BAD_REVIEW
    same = None if decided else _same_open_matter(session, new)
    if same is not None:
        tickets.count_repeat(session, ticket_id=same.id, words=new.content[:500], by=SYSTEM, now=now)
        registered = Registered(ticket_id=same.id, number=same.number, query_code="", repeat=True)
    else:
        opened = tickets.open_ticket(session, new, by=by, now=now)
        registered = Registered(ticket_id=opened.ticket.id, number=opened.ticket.number, query_code=opened.query_code)
    if submission is not None:
        submission.ticket_id = registered.ticket_id
        submission.answer_sealed = keyring_of(session).seal(
            {"number": registered.number, "code": registered.query_code, "repeat": "1" if registered.repeat else ""}
        )
    return registered


def repeat(
    session: Session,
    *,
    ticket_id: int,
    words: str,
    scope: str = "",
    key: str = "",
    by: Actor,
    now: datetime,
) -> Ticket:
    """Add a caller's repeated call to his open ticket instead of opening another (domain.md 1.7 a).

    With a key, the second time counts nothing. Raises `Conflict` when the key was used for something else.
    """
    require(by, Permission.TICKET_REGISTER)
    if key:
        fingerprint = keyring_of(session).index(f"repeat:{ticket_id}:{words}")
        if not _claimed(session, scope=scope, key=key, fingerprint=fingerprint, ticket_id=ticket_id, now=now):
            known = session.get(Submission, (scope, key))
            if known is None or known.fingerprint != fingerprint:
                raise Conflict("这一页已经提交过一次，请核对后另行登记。")
            return session.get_one(Ticket, ticket_id)
    return tickets.count_repeat(session, ticket_id=ticket_id, words=words, by=by, now=now)


def forget_keys(session: Session, *, now: datetime) -> int:
    """Forget keys that nobody will send again; returns how many."""
    return int(session.execute(delete(Submission).where(Submission.at < now - KEYS_LAST)).rowcount)  # type: ignore[attr-defined]


def _claim_key(session: Session, concern: rules.Concern, *, scope: str, key: str, now: datetime) -> Registered | None:
    keyring = keyring_of(session)
    # What a concern did not know when older keys were used is left out while it is empty, so that those keys still fit.
    said = {name: value for name, value in asdict(concern).items() if value or name != "service_item"}
    fingerprint = keyring.index("submission:" + json.dumps(said, ensure_ascii=False, default=str))
    if _claimed(session, scope=scope, key=key, fingerprint=fingerprint, ticket_id=None, now=now):
        return None
    known = session.get(Submission, (scope, key))
    if known is None or known.ticket_id is None:
        raise Conflict("同一份诉求正在提交中，请稍候。")
    if known.fingerprint != fingerprint:
        raise Conflict("这个幂等键已经用于另一份内容，请换一个新的键再提交。")
    answer = keyring.open(known.answer_sealed)
    return Registered(
        ticket_id=known.ticket_id,
        number=answer["number"],
        query_code=answer.get("code", ""),
        again=True,
        repeat=bool(answer.get("repeat")),
    )


def _claimed(
    session: Session, *, scope: str, key: str, fingerprint: bytes, ticket_id: int | None, now: datetime
) -> bool:
    """Write the key down; false when it was there before. A second transaction waits here for the first."""
    row = session.execute(
        insert(Submission)
        .values(scope=scope, key=key, fingerprint=fingerprint, ticket_id=ticket_id, answer_sealed=b"", at=now)
        .on_conflict_do_nothing()
        .returning(Submission.key)
    ).first()
    return row is not None


def _same_open_matter(session: Session, new: NewTicket) -> Ticket | None:
    if not new.phone or new.source_key is not None:
        return None
    rows = session.scalars(
        select(Ticket)
        .where(
            Ticket.phone_index == keyring_of(session).index(f"phone:{new.phone}"),
            Ticket.state != State.CLOSED,
        )
        .order_by(Ticket.id.desc())
        .limit(10)
    )
    for ticket in rows:
        opened = keyring_of(session).open(ticket.personal_sealed)
        if rules.same_matter(opened.get("content", ticket.content), new.content):
            return ticket
    return None


def _check_places(session: Session, new: NewTicket) -> None:
    problems = {}
    if new.category_id is not None and session.get(Category, new.category_id) is None:
        problems["category_id"] = "所选的事件类别不存在，请重新选择。"
    if new.region_id is not None and session.get(Region, new.region_id) is None:
        problems["region_id"] = "所选的区域不存在，请重新选择。"
    if new.service_item and tickets_queries.service_item_named(session, new.service_item) != new.service_item:
        problems["service_item"] = "所选的服务事项不存在或已停用，请重新选择。"
    if new.repeats_id is not None and session.get(Ticket, new.repeats_id) is None:
        problems["repeats_id"] = "所关联的原工单不存在。"
    if problems:
        raise Invalid(problems)
