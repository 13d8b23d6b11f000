"""Reads of callbacks and reviews."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import and_, bindparam, func, literal, or_, select, tuple_
from sqlalchemy.orm import Session, aliased

from callbacks.models import MUST_RECTIFY, BadReview, Callback, CallbackAttempt, CitizenRating, ReviewVerdict
from callbacks.policy import Satisfaction, Solved, Verdict
from hotline.core import paging
from hotline.core.errors import NotFound
from hotline.core.paging import Stretch
from hotline.core.permissions import Actor
from hotline.people.models import User
from hotline.tickets.models import Category, JournalEntry, Ticket
from hotline.tickets.states import HANDLING, State
from hotline.tickets.vocabulary import Kind, RequestType, Urgency
from routing.models import Department, Dispatch

#: A callback that somebody opened is his for this long.
CLAIM_LASTS: Final = timedelta(minutes=30)


@dataclass(frozen=True, kw_only=True)
class CallbackRow:
    """One line of the callback queue."""

    id: int
    version: int
    ticket_id: int
    number: str
    title: str
    kind: Kind
    request_type: RequestType
    urgency: Urgency
    category: str
    department: str
    round: int
    planned_at: datetime
    attempts: int
    priority: int
    answered_at: datetime | None
    phone_masked: str
    name_masked: str
    anonymous: bool
    claimed_by: str = ""
    claimed_by_id: int | None = None
    verdict: Verdict | None = None
    done_at: datetime | None = None
    done_by: str = ""
    attempts_made: Sequence[CallbackAttempt] = field(default_factory=tuple)
    #: What the citizen said; nothing before the result.
    replied: bool | None = None
    solved: Solved | None = None
    process: Satisfaction | None = None
    result: Satisfaction | None = None
    reason: str = ""
    wants_rework: bool | None = None
    #: Why this citizen cannot be rung yet; nothing for all but some bad reviews.
    not_yet: str = ""


def not_yet(review: BadReview | None) -> str:
    """Return why the citizen of a bad review cannot be rung yet, or nothing.

    First two persons judge it, then the unit rectifies what is justified, then the citizen is called (domain.md 4.3).
    """
    if review is None:
        return ""
    if review.verdict is None:
        return "差评尚未由两人认定，认定后再回访。"
    return "差评认定为合理，承办单位尚未填写整改情况，整改后再回访。" if to_rectify(review) else ""


def to_rectify(review: BadReview | None) -> bool:
    """Tell whether the unit still owes what it put right: only justified reviews ask for it (domain.md 4.3)."""
    return review is not None and review.verdict in MUST_RECTIFY and review.rectified_at is None


#: The same as a condition of `_rows`.
_IN_TURN: Final = or_(
    BadReview.ticket_id.is_(None),
    and_(
        BadReview.verdict.is_not(None),
        or_(BadReview.verdict.not_in(MUST_RECTIFY), BadReview.rectified_at.is_not(None)),
    ),
)


def waiting(
    session: Session, actor: Actor, *, now: datetime, due_only: bool = False, limit: int = 30
) -> Sequence[CallbackRow]:
    """Return whom to ring next, without those whom this person must not ring (domain.md 3.2).

    Priority first, then the planned time. `due_only` leaves out whose planned time has not come, and bad reviews that
    are not judged or not rectified yet (`not_yet`).
    """
    query = _waiting(actor, now=now)
    if due_only:
        query = query.where(Callback.planned_at <= now, _IN_TURN)
    query = query.order_by(Callback.priority.desc(), Callback.planned_at, Callback.id).limit(min(limit, 100))
    return [_row(*row) for row in session.execute(query)]


def waiting_page(
    session: Session, actor: Actor, *, now: datetime, cursor: str = "", limit: int = 30
) -> Stretch[CallbackRow]:
    """Return one page of what `waiting` lists, in both directions; raises `Invalid` on a cursor that is not ours."""
    backwards, keys = paging.parse_keys(cursor, 3)
    query = _waiting(actor, now=now)
    order: tuple[Any, ...] = (Callback.priority.desc(), Callback.planned_at, Callback.id)
    if backwards:
        order = (Callback.priority, Callback.planned_at.desc(), Callback.id.desc())
    if keys:
        priority, planned_at, callback_id = keys[0], paging.instant(keys[1]), keys[2]
        place, here = tuple_(Callback.planned_at, Callback.id), tuple_(literal(planned_at), literal(callback_id))
        further = Callback.priority > priority if backwards else Callback.priority < priority
        beyond = place < here if backwards else place > here
        query = query.where(or_(further, and_(Callback.priority == priority, beyond)))
    found = [_row(*row) for row in session.execute(query.order_by(*order).limit(limit + 1))]
    return paging.turned(
        found,
        limit,
        backwards=backwards,
        started=bool(cursor),
        name=lambda row: f"{row.priority}|{paging.microseconds(row.planned_at)}|{row.id}",
    )


def _waiting(actor: Actor, *, now: datetime) -> Any:  # noqa: ANN401 - as `_rows`
    """Select the callbacks that are open to a person."""
    query = _rows().where(Callback.done_at.is_(None))
    if actor.user_id is not None:
        query = query.where(
            ~select(JournalEntry.id)
            .where(
                JournalEntry.ticket_id == Callback.ticket_id,
                JournalEntry.by_id == actor.user_id,
                JournalEntry.act.in_(list(HANDLING)),
            )
            .exists()
        )
    if actor.department_ids:
        query = query.where(
            ~select(Dispatch.id)
            .where(Dispatch.ticket_id == Callback.ticket_id, Dispatch.department_id.in_(actor.department_ids))
            .correlate(Callback)
            .exists()
        )
    return query.where(
        or_(
            Callback.claimed_by.is_(None),
            Callback.claimed_by == (actor.user_id or -1),
            Callback.claimed_at < now - CLAIM_LASTS,
        )
    )


def finished(session: Session, *, cursor: str = "", limit: int = 30) -> Stretch[CallbackRow]:
    """Return the newest results, page by page in both directions; raises `Invalid` on a cursor that is not ours."""
    return paging.by_time(
        session,
        _rows().where(Callback.done_at.is_not(None)),
        at=Callback.done_at,
        number=Callback.id,
        newest_first=True,
        cursor=cursor,
        limit=limit,
        made=_row,
        key=lambda row: (row.done_at or row.planned_at, row.id),
    )


def of_ticket(session: Session, ticket_id: int) -> Sequence[CallbackRow]:
    """Return every callback of a ticket in order, with its attempts."""
    rows = [
        _row(*row)
        for row in session.execute(_rows().where(Callback.ticket_id == ticket_id).order_by(Callback.id).limit(50))
    ]
    attempts: dict[int, list[CallbackAttempt]] = {}
    for attempt in session.scalars(
        select(CallbackAttempt)
        .where(CallbackAttempt.callback_id.in_([row.id for row in rows]))
        .order_by(CallbackAttempt.id)
        .limit(500)
    ):
        attempts.setdefault(attempt.callback_id, []).append(attempt)
    return [CallbackRow(**{**row.__dict__, "attempts_made": tuple(attempts.get(row.id, ()))}) for row in rows]


def callback(session: Session, callback_id: int) -> Callback:
    """Return one callback, or `NotFound`."""
    row = session.get(Callback, callback_id)
    if row is None:
        raise NotFound
    return row


_OPEN: Final = select(Callback).where(Callback.ticket_id == bindparam("of_ticket"), Callback.done_at.is_(None))


def open_callback(session: Session, ticket_id: int) -> Callback | None:
    """Return the callback that a ticket waits for.

    Whoever holds the ticket's lock holds this row too: nothing writes a callback without having locked its ticket.
    """
    return session.scalars(_OPEN, {"of_ticket": ticket_id}).first()


def rating(session: Session, *, ticket_id: int, round_: int) -> CitizenRating | None:
    """Return what the citizen himself said of this round."""
    return session.scalars(
        select(CitizenRating).where(CitizenRating.ticket_id == ticket_id, CitizenRating.round == round_)
    ).first()


def bad_review(session: Session, ticket_id: int) -> BadReview | None:
    """Return what is known of a bad review's ticket."""
    return session.get(BadReview, ticket_id)


def _rows() -> Any:  # noqa: ANN401 - a select of seven columns has no readable type
    claimer, doer = User.__table__.alias("claimer"), User.__table__.alias("doer")
    return (
        select(
            Callback,
            Ticket,
            Category.path,
            Department.short_name,
            claimer.c.display_name,
            doer.c.display_name,
            BadReview,
        )
        .join(Ticket, Ticket.id == Callback.ticket_id)
        .join(Dispatch, Dispatch.id == Callback.dispatch_id)
        .join(Department, Department.id == Dispatch.department_id)
        .join(Category, Category.id == Ticket.category_id, isouter=True)
        .join(claimer, claimer.c.id == Callback.claimed_by, isouter=True)
        .join(doer, doer.c.id == Callback.done_by, isouter=True)
        .join(BadReview, BadReview.ticket_id == Callback.ticket_id, isouter=True)
    )


def _row(  # noqa: PLR0917 - the columns of the select above
    callback: Callback,
    ticket: Ticket,
    category: str | None,
    department: str,
    claimer: str | None,
    doer: str | None,
    review: BadReview | None,
) -> CallbackRow:
    return CallbackRow(
        id=callback.id,
        version=callback.version,
        ticket_id=ticket.id,
        number=ticket.number,
        title=ticket.title,
        kind=ticket.kind,
        request_type=ticket.request_type,
        urgency=ticket.urgency,
        category=category or "",
        department=department,
        round=callback.round,
        planned_at=callback.planned_at,
        attempts=callback.attempts,
        priority=callback.priority,
        answered_at=ticket.answered_at,
        phone_masked=ticket.phone_masked,
        name_masked=ticket.name_masked,
        anonymous=ticket.anonymous,
        claimed_by=claimer or "",
        claimed_by_id=callback.claimed_by,
        verdict=callback.verdict,
        done_at=callback.done_at,
        done_by=doer or "",
        replied=callback.replied,
        solved=callback.solved,
        process=callback.process,
        result=callback.result,
        reason=callback.reason,
        wants_rework=callback.wants_rework,
        not_yet=not_yet(review) if callback.done_at is None else "",
    )


def ratings_of(session: Session, ticket_id: int) -> Sequence[CitizenRating]:
    """Return what the citizen himself said, round by round."""
    return session.scalars(
        select(CitizenRating).where(CitizenRating.ticket_id == ticket_id).order_by(CitizenRating.id).limit(50)
    ).all()


@dataclass(frozen=True, kw_only=True)
class ReviewRow:
    """One bad review: what the counter's device told, what two persons found, what the unit put right."""

    ticket_id: int
    number: str
    title: str
    state: State
    service_item: str
    service_window: str
    department: str
    stars: int
    real_name: bool
    rated_at: datetime
    registered_at: datetime
    due_at: datetime | None
    proposed: ReviewVerdict | None
    proposed_by_id: int | None
    proposed_by: str
    proposed_reason: str
    verdict: ReviewVerdict | None
    verified_by: str
    verified_at: datetime | None
    rectification: str
    rectified_by: str
    rectified_at: datetime | None
    #: Of the newest callback: None when there is none yet.
    callback_done: bool | None
    callback_verdict: Verdict | None
    callback_attempts: int


def reviews(session: Session, *, stage: str = "", cursor: str = "", limit: int = 30) -> Stretch[ReviewRow]:
    """Return a page of bad reviews, the newest first; `stage` is open, proposed, judged or empty.

    Raises `Invalid` on a cursor that is not ours.
    `open` waits for the first person, `proposed` for the second, `judged` has been classified.
    """
    query = _reviews()
    if stage == "open":
        query = query.where(BadReview.proposed.is_(None), BadReview.verdict.is_(None), Ticket.state != State.CLOSED)
    elif stage == "proposed":
        query = query.where(BadReview.proposed.is_not(None), BadReview.verdict.is_(None), Ticket.state != State.CLOSED)
    elif stage == "judged":
        query = query.where(BadReview.verdict.is_not(None))
    return paging.by_key(
        session,
        query,
        column=Ticket.id,
        newest_first=True,
        cursor=cursor,
        limit=limit,
        made=_review_row,
        key=lambda row: row.ticket_id,
    )


def review_of(session: Session, ticket_id: int) -> ReviewRow | None:
    """Return what is known of one ticket's bad review, if it is one."""
    row = session.execute(_reviews().where(Ticket.id == ticket_id)).first()
    return _review_row(*row) if row is not None else None


def _reviews() -> Any:  # noqa: ANN401 - a select of eight columns has no readable type
    proposer, verifier, rectifier = (aliased(User, name=name) for name in ("proposer", "verifier", "rectifier"))
    newest = select(func.max(Callback.id)).where(Callback.ticket_id == Ticket.id).correlate(Ticket).scalar_subquery()
    first_due = (
        select(Dispatch.due_at)
        .where(Dispatch.ticket_id == Ticket.id)
        .order_by(Dispatch.id)
        .limit(1)
        .correlate(Ticket)
        .scalar_subquery()
    )
    return (
        select(
            Ticket,
            BadReview,
            Department.name,
            proposer.display_name,
            verifier.display_name,
            rectifier.display_name,
            Callback,
            first_due,
        )
        .join(BadReview, BadReview.ticket_id == Ticket.id)
        .join(Department, Department.code == BadReview.department_code, isouter=True)
        .join(proposer, proposer.id == BadReview.proposed_by, isouter=True)
        .join(verifier, verifier.id == BadReview.verified_by, isouter=True)
        .join(rectifier, rectifier.id == BadReview.rectified_by, isouter=True)
        .join(Callback, Callback.id == newest, isouter=True)
        .where(Ticket.kind == Kind.BAD_REVIEW)
    )


def _review_row(  # noqa: PLR0917 - the columns of the select above
    ticket: Ticket,
    review: BadReview,
    department: str | None,
    proposer: str | None,
    verifier: str | None,
    rectifier: str | None,
    callback: Callback | None,
    due_at: datetime | None,
) -> ReviewRow:
    return ReviewRow(
        ticket_id=ticket.id,
        number=ticket.number,
        title=ticket.title,
        state=ticket.state,
        service_item=review.service_item,
        service_window=review.service_window,
        department=department or review.department_code,
        stars=review.stars,
        real_name=review.real_name,
        rated_at=review.rated_at,
        registered_at=ticket.registered_at,
        due_at=due_at,
        proposed=review.proposed,
        proposed_by_id=review.proposed_by,
        proposed_by=proposer or "",
        proposed_reason=review.proposed_reason,
        verdict=review.verdict,
        verified_by=verifier or "",
        verified_at=review.verified_at,
        rectification=review.rectification,
        rectified_by=rectifier or "",
        rectified_at=review.rectified_at,
        callback_done=None if callback is None else callback.done_at is not None,
        callback_verdict=callback.verdict if callback else None,
        callback_attempts=callback.attempts if callback else 0,
    )


@dataclass(frozen=True, kw_only=True)
class CallbackStory:
    """One callback with what was said in it, and every ringing with the name of who rang."""

    callback: Callback
    done_by: str
    attempts: Sequence[tuple[CallbackAttempt, str]] = field(default_factory=tuple)


def story_of(session: Session, ticket_id: int) -> Sequence[CallbackStory]:
    """Return every callback of a ticket in order, with its answers and its attempts."""
    found = session.execute(
        select(Callback, User.display_name)
        .join(User, User.id == Callback.done_by, isouter=True)
        .where(Callback.ticket_id == ticket_id)
        .order_by(Callback.id)
        .limit(50)
    ).all()
    if not found:
        return []
    attempts: dict[int, list[tuple[CallbackAttempt, str]]] = {}
    for attempt, name in session.execute(
        select(CallbackAttempt, User.display_name)
        .join(User, User.id == CallbackAttempt.by_id, isouter=True)
        .where(CallbackAttempt.callback_id.in_([row.id for row, _ in found]))
        .order_by(CallbackAttempt.id)
        .limit(500)
    ):
        attempts.setdefault(attempt.callback_id, []).append((attempt, name or ""))
    return [
        CallbackStory(callback=row, done_by=name or "", attempts=tuple(attempts.get(row.id, ()))) for row, name in found
    ]
