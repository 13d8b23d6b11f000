"""Mark a call as harassment, ask for a limit, decide on it, lift it, take a mark back (domain.md 1.5 NR-09, 9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from hotline.core.errors import Conflict, Denied, Invalid, NotFound, WrongState
from hotline.core.paging import Stretch, by_key
from hotline.core.permissions import Actor
from hotline.core.personal_data import redact
from hotline.core.text import clean
from hotline.intake.harassment_models import CallerLimit, CallerLimitState, HarassmentMark
from hotline.intake.harassment_rules import (
    COUNTED_FOR,
    Call,
    HarassmentKind,
    Standing,
    Step,
    end_of_limit,
    problems_of_mark,
    standing,
)
from hotline.people.models import User
from hotline.tickets.actions import lock, move
from hotline.tickets.models import Ticket
from hotline.tickets.queries import phone_fingerprint
from hotline.tickets.states import Act

MOST_WORDS = 500
#: So many calls of one number are looked at; far more than any step asks for.
MOST_COUNTED = 100


@dataclass(frozen=True, kw_only=True)
class MarkRow:
    """One marked call with its ticket and who marked it."""

    mark: HarassmentMark
    ticket: Ticket
    by_name: str


@dataclass(frozen=True, kw_only=True)
class LimitRow:
    """One limit with its ticket, who asked for it and who decided."""

    limit: CallerLimit
    ticket: Ticket
    asked_by: str
    decided_by: str


def of_phone(session: Session, phone: str, *, now: datetime) -> Standing:
    """Tell how far things have come with a number that is being typed."""
    return of_index(session, phone_fingerprint(session, phone), now=now)


def of_index(session: Session, phone_index: bytes, *, now: datetime) -> Standing:
    """Tell how far things have come with a number known by its fingerprint, from `MOST_COUNTED` calls at most."""
    marks = (
        select(HarassmentMark.marked_at, HarassmentMark.warned)
        .where(
            HarassmentMark.phone_index == phone_index,
            HarassmentMark.cleared_at.is_(None),
            HarassmentMark.marked_at > now - COUNTED_FOR,
        )
        .order_by(HarassmentMark.id.desc())
    )
    rows = session.execute(marks.limit(MOST_COUNTED)).all()
    if len(rows) == MOST_COUNTED and not any(row.warned for row in rows):
        # However often somebody rang since, a warning stands.
        rows = [*rows, *session.execute(marks.where(HarassmentMark.warned).limit(1))]
    calls = [Call(at=row.marked_at, warned=row.warned) for row in rows]
    limits = session.execute(
        select(CallerLimit.state, CallerLimit.ends_at)
        .where(
            CallerLimit.phone_index == phone_index,
            or_(
                CallerLimit.state == CallerLimitState.ASKED,
                and_(CallerLimit.state == CallerLimitState.IN_FORCE, CallerLimit.ends_at > now),
            ),
        )
        .order_by(CallerLimit.ends_at.desc().nulls_first())
        .limit(2)  # one wish at most stands, and of those in force the longest says it
    ).all()
    ends = [row.ends_at for row in limits if row.state is CallerLimitState.IN_FORCE]
    asked = any(row.state is CallerLimitState.ASKED for row in limits)
    return standing(calls, asked=asked, limited_until=max(ends, default=None), now=now)


def mark(
    session: Session,
    *,
    ticket_id: int,
    kind: HarassmentKind | None,
    evidence: str,
    warned: bool,
    by: Actor,
    now: datetime,
) -> HarassmentMark:
    """Mark the call of a ticket, with evidence; once. What the ticket is about goes on as it would."""
    said = redact(clean(evidence))
    problems = problems_of_mark(kind=kind, evidence=said)
    ticket = lock(session, ticket_id)
    if ticket.phone_index is None:
        problems["form"] = "这张工单没有来电号码，不能标记。"
    if problems or kind is None or ticket.phone_index is None:
        raise Invalid(problems)
    if standing_mark(session, ticket_id) is not None:
        raise Conflict("这次来电已经标记过。")
    row = HarassmentMark(
        ticket_id=ticket_id,
        phone_index=ticket.phone_index,
        kind=kind,
        evidence=said,
        warned=warned,
        marked_at=now,
        marked_by=by.user_id,
    )
    session.add(row)
    note = f"{'已当面警告。' if warned else ''}{said}"[:500]
    move(session, ticket, Act.MARK_HARASSMENT, by=by, now=now, note=note, details={"kind": kind.value})
    return row


def clear(session: Session, *, mark_id: int, why: str, by: Actor, now: datetime) -> HarassmentMark:
    """Take a mark back: it does not count any more. A limit that is in force is lifted apart."""
    words = _words(why, "why", "请写明撤销标记的理由。")
    row = session.get(HarassmentMark, mark_id, with_for_update=True)  # decided on below
    if row is None:
        raise NotFound
    if row.cleared_at is not None:
        raise WrongState("这条标记已经撤销。")
    row.cleared_at, row.cleared_by, row.cleared_why = now, by.user_id, words
    move(session, lock(session, row.ticket_id), Act.CLEAR_HARASSMENT, by=by, now=now, note=words)
    return row


def ask_limit(session: Session, *, ticket_id: int, reason: str, by: Actor, now: datetime) -> CallerLimit:
    """Ask that calls of this number in which nothing is asked for may be ended; only after persuasion has failed."""
    words = _words(reason, "reason", "请写明申请限制的理由。")
    ticket = lock(session, ticket_id)
    if ticket.phone_index is None:
        raise Invalid({"reason": "这张工单没有来电号码。"})
    # Two who ask for one number, one after the other, whichever tickets they look at.
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"limit:{ticket.phone_index.hex()}", 0))))
    known = of_index(session, ticket.phone_index, now=now)
    if known.step in {Step.ASKED, Step.LIMITED}:
        raise Conflict("该号码已有限制措施，或正在等待确认。")
    if known.step is not Step.MAY_LIMIT:
        raise Invalid({"reason": "须先劝导、警告：90 天内至少三次骚扰来电、其中至少一次已当面警告，才能申请限制。"})
    row = CallerLimit(
        ticket_id=ticket_id,
        phone_index=ticket.phone_index,
        reason=words,
        state=CallerLimitState.ASKED,
        asked_at=now,
        asked_by=by.user_id,
    )
    session.add(row)
    session.flush()  # the one wish per number refuses here, and the row gets its id
    move(session, ticket, Act.ASK_LIMIT, by=by, now=now, note=words)
    return row


def confirm_limit(session: Session, *, limit_id: int, days: int, words: str, by: Actor, now: datetime) -> CallerLimit:
    """Put a limit in force for so many days; another person than the one who asked."""
    try:
        ends_at = end_of_limit(days=days, now=now)
    except ValueError as error:
        raise Invalid({"days": str(error)}) from error
    row = _decided(
        session, limit_id, CallerLimitState.IN_FORCE, words=redact(clean(words))[:MOST_WORDS], by=by, now=now
    )
    row.ends_at = ends_at
    ticket = lock(session, row.ticket_id)
    note = f"限制 {days} 天。紧急情况和具体诉求不受影响。{row.decided_words}"
    move(session, ticket, Act.LIMIT_CALLER, by=by, now=now, note=note, details={"days": days})
    return row


def refuse_limit(session: Session, *, limit_id: int, words: str, by: Actor, now: datetime) -> CallerLimit:
    """Refuse a limit, with the reason."""
    said = _words(words, "words", "请写明不同意的理由。")
    row = _decided(session, limit_id, CallerLimitState.REFUSED, words=said, by=by, now=now)
    move(session, lock(session, row.ticket_id), Act.REFUSE_LIMIT, by=by, now=now, note=said)
    return row


def lift(session: Session, *, limit_id: int, why: str, by: Actor, now: datetime) -> CallerLimit:
    """End a limit before its time."""
    words = _words(why, "why", "请写明解除的理由。")
    row = session.get(CallerLimit, limit_id, with_for_update=True)  # decided on below
    if row is None:
        raise NotFound
    if row.state is not CallerLimitState.IN_FORCE or (row.ends_at is not None and row.ends_at <= now):
        raise WrongState("这项限制措施没有生效，或已经到期。")
    row.state, row.lifted_at, row.lifted_by, row.lifted_why = CallerLimitState.LIFTED, now, by.user_id, words
    move(session, lock(session, row.ticket_id), Act.LIFT_LIMIT, by=by, now=now, note=words)
    return row


def standing_mark(session: Session, ticket_id: int) -> HarassmentMark | None:
    """Return the mark of a ticket's call that was not taken back."""
    return session.scalars(
        select(HarassmentMark).where(HarassmentMark.ticket_id == ticket_id, HarassmentMark.cleared_at.is_(None))
    ).first()


def marks_of(session: Session, phone_index: bytes, *, limit: int = 30) -> Sequence[MarkRow]:
    """Return the marked calls of a number that count or counted, the newest first."""
    rows = session.execute(
        select(HarassmentMark, Ticket, User.display_name)
        .join(Ticket, Ticket.id == HarassmentMark.ticket_id)
        .join(User, User.id == HarassmentMark.marked_by, isouter=True)
        .where(HarassmentMark.phone_index == phone_index, HarassmentMark.cleared_at.is_(None))
        .order_by(HarassmentMark.id.desc())
        .limit(limit)
    )
    return [MarkRow(mark=row[0], ticket=row[1], by_name=row[2] or "") for row in rows]


def limits(session: Session, *, state: CallerLimitState, cursor: str = "", limit: int = 30) -> Stretch[LimitRow]:
    """Return one page of the limits in a state, the newest first; `Invalid` on a cursor not ours."""
    asker, decider = User.__table__.alias("asker"), User.__table__.alias("decider")
    query = (
        select(CallerLimit, Ticket, asker.c.display_name, decider.c.display_name)
        .join(Ticket, Ticket.id == CallerLimit.ticket_id)
        .join(asker, asker.c.id == CallerLimit.asked_by, isouter=True)
        .join(decider, decider.c.id == CallerLimit.decided_by, isouter=True)
        .where(CallerLimit.state == state)
    )
    return by_key(
        session,
        query,
        column=CallerLimit.id,
        newest_first=True,
        cursor=cursor,
        limit=limit,
        made=lambda row, ticket, asked, decided: LimitRow(
            limit=row, ticket=ticket, asked_by=asked or "", decided_by=decided or ""
        ),
        key=lambda row: row.limit.id,
    )


def _decided(
    session: Session, limit_id: int, state: CallerLimitState, *, words: str, by: Actor, now: datetime
) -> CallerLimit:
    row = session.get(CallerLimit, limit_id, with_for_update=True)  # two supervisors, one after the other
    if row is None:
        raise NotFound
    if row.state is not CallerLimitState.ASKED:
        raise WrongState("这项申请已有决定。")
    if row.asked_by is not None and row.asked_by == by.user_id:
        raise Denied("不能确认自己申请的限制措施。")
    row.state, row.decided_at, row.decided_by, row.decided_words = state, now, by.user_id, words
    return row


def _words(raw: str, field: str, problem: str) -> str:
    words = redact(clean(raw))
    if not words:
        raise Invalid({field: problem})
    if len(words) > MOST_WORDS:
        raise Invalid({field: f"最多 {MOST_WORDS} 字。"})
    return words
