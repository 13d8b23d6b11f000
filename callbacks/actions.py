"""What is done at the callback desk, on the tracking page and with a bad review."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast

from sqlalchemy import Executable, Table, bindparam, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from callbacks import policy, queries
from callbacks.events import CallbackDone
from callbacks.models import MUST_RECTIFY, BadReview, Callback, CallbackAttempt, CitizenRating, ReviewVerdict
from callbacks.policy import Answers, AttemptOutcome, Verdict
from hotline.core import outbox
from hotline.core.db import mark_written, write
from hotline.core.errors import Conflict, Denied, Invalid, NotFound
from hotline.core.permissions import PUBLIC, SYSTEM, Actor, Permission, require
from hotline.core.personal_data import redact
from hotline.intake import actions as intake
from hotline.intake.actions import Registered
from hotline.intake.rules import SKEW, Concern, says_enough
from hotline.tickets import actions as tickets
from hotline.tickets.models import Ticket
from hotline.tickets.queries import handlers_of, locked_here, service_item_named
from hotline.tickets.states import HANDLING, Act, State
from hotline.tickets.vocabulary import Channel, Kind
from routing import actions as routing
from routing.queries import department_by_code, departments_that_held, vetting_waits

BAD: Final = 2


_CALLBACKS: Final = cast("Table", Callback.__table__)
_PLAN: Final = insert(_CALLBACKS).inline().on_conflict_do_nothing(index_elements=["dispatch_id"])
_ATTEMPTS: Final = cast("Table", CallbackAttempt.__table__)
_ATTEMPT: Final = _ATTEMPTS.insert().inline()


#: What a citizen who was reached has said.
_ANSWERED: Final = ("replied", "solved", "process", "result", "wants_rework")


def _result() -> Executable:
    """Return the statement that ends a callback with what the citizen said, and writes the ringing that reached him."""
    names = (*_ANSWERED, "reason", "verdict", "done_at", "done_by")
    new = {name: bindparam(f"new_{name}", type_=_CALLBACKS.c[name].type) for name in names}
    done = (
        update(_CALLBACKS)
        .where(_CALLBACKS.c.id == bindparam("of_callback"), _CALLBACKS.c.version == bindparam("seen"))
        .values(
            attempts=_CALLBACKS.c.attempts + 1,
            version=_CALLBACKS.c.version + 1,
            claimed_by=None,
            claimed_at=None,
            **new,
        )
        .returning(_CALLBACKS.c.id)
        .cte("done")
    )
    ringing = {
        "callback_id": done.c.id,
        "at": new["done_at"],
        "outcome": bindparam("outcome", type_=_ATTEMPTS.c.outcome.type),
        "note": literal(""),
        "by_id": new["done_by"],
    }
    written = _ATTEMPTS.insert().from_select([*ringing], select(*ringing.values())).inline()
    return written.execution_options(preserve_rowcount=True)


_RESULT: Final = _result()


@dataclass(frozen=True, kw_only=True)
class Review:
    """A review as a counter's device sends it."""

    key: str
    stars: int
    service_item: str
    department_code: str
    words: str
    rated_at: datetime
    service_window: str = ""
    name: str = ""
    phone: str = ""


def plan_callback(session: Session, *, ticket_id: int, dispatch_id: int, round_: int, now: datetime) -> None:
    """Put an answered ticket into the queue; once per answer."""
    ticket = session.get_one(Ticket, ticket_id)
    write(
        session,
        _PLAN,
        {
            "ticket_id": ticket_id,
            "dispatch_id": dispatch_id,
            "round": round_,
            "planned_at": policy.within_hours(now),
            "priority": 2 if ticket.kind is Kind.BAD_REVIEW else 0,
        },
    )


def let_pass(session: Session, *, ticket_id: int) -> None:
    """Raise `Invalid` when a reader passes an answer whose review is justified and not rectified.

    The citizen could not be called about it, so the unit would not learn why nothing happens (domain.md 4.3).
    """
    if queries.to_rectify(queries.bad_review(session, ticket_id)):
        raise Invalid({"form": "差评认定为合理，承办单位尚未填写整改情况：整改后才能通过，现在可以退回修改。"})


def claim(session: Session, *, callback_id: int, by: Actor, now: datetime) -> Callback:
    """Open one callback for oneself, so that two auditors do not ring the same citizen."""
    require(by, Permission.CALLBACK_RECORD)
    row, ticket = _locked(session, callback_id)
    independent(session, ticket_id=row.ticket_id, by=by)
    _in_turn(session, ticket)
    taken = row.claimed_by not in {None, by.user_id} and row.claimed_at is not None
    if taken and row.claimed_at and row.claimed_at > now - queries.CLAIM_LASTS:
        raise Conflict("另一位回访员正在回访此工单。")
    row.claimed_by, row.claimed_at = by.user_id, now
    return row


def release(session: Session, *, callback_id: int, by: Actor, now: datetime) -> Callback:
    """Put a callback that one opened back into the queue, so that somebody else may ring."""
    row, _ = _open(session, callback_id, by=by)
    if row.claimed_by not in {None, by.user_id} and row.claimed_at and row.claimed_at > now - queries.CLAIM_LASTS:
        raise Conflict("另一位回访员正在回访此工单。")
    row.claimed_by = row.claimed_at = None
    return row


def record_attempt(
    session: Session,
    *,
    callback_id: int,
    version: int | None = None,
    outcome: AttemptOutcome,
    note: str,
    by: Actor,
    now: datetime,
) -> Callback:
    """Record a ringing that reached nobody; after enough of them the ticket closes as unreachable (3.3).

    A citizen who left no number cannot be rung: one line that says so is enough. With the version that was looked at,
    a second click is a `Conflict` and no second ringing: three rings are three.
    """
    if outcome is AttemptOutcome.REACHED:
        raise Invalid({"outcome": "已接通的回访请填写回访结果。"})
    row, ticket = _open(session, callback_id, by=by)
    _as_seen(row, version)
    _in_turn(session, ticket)
    _attempt(session, row, outcome=outcome, note=note, by=by, now=now)
    tickets.move(
        session, ticket, Act.CALL, by=by, now=now, note=redact(note.strip())[:500], details={"outcome": outcome.value}
    )
    if outcome is AttemptOutcome.DECLINED:
        _finish(session, row, ticket, verdict=Verdict.DECLINED, by=by, now=now)
    elif policy.exhausted(times := _times(session, callback_id)) or ticket.phone_index is None:
        _finish(session, row, ticket, verdict=Verdict.UNREACHABLE, by=by, now=now)
    else:
        row.planned_at = policy.next_attempt(times, now=now)
        row.claimed_by = row.claimed_at = None
    return row


def record_result(
    session: Session, *, callback_id: int, version: int | None, answers: Answers, by: Actor, now: datetime
) -> Callback:
    """Record what the citizen said, then close the ticket or start a round of rework (3.4, 3.6)."""
    row, ticket = _open(session, callback_id, by=by)
    _as_seen(row, version)
    _in_turn(session, ticket)
    verdict = policy.verdict(answers)
    said = {
        **{name: getattr(answers, name) for name in _ANSWERED},
        "reason": redact(answers.reason.strip())[:2_000],
        "verdict": verdict,
        "done_at": now,
        "done_by": by.user_id,
    }
    told = {"of_callback": row.id, "seen": row.version, "outcome": AttemptOutcome.REACHED}
    if not write(session, _RESULT, {**told, **{f"new_{name}": value for name, value in said.items()}}):
        raise StaleDataError
    known = {"attempts": row.attempts + 1, "version": row.version + 1, "claimed_by": None, "claimed_at": None}
    mark_written(row, {**said, **known})
    _follow(session, row, ticket, verdict, by=by, now=now)
    return row


def rate(session: Session, *, ticket: Ticket, stars: int, words: str, now: datetime) -> CitizenRating:
    """Keep what a citizen says on the tracking page; an unhappy one moves to the front of the callback queue.

    One rating per round; a closed ticket whose citizen is unhappy goes to rework by a supervisor's decision.
    """
    if not 1 <= stars <= 5:  # noqa: PLR2004 - five stars
        raise Invalid({"stars": "请选择 1 到 5 星。"})
    if len(words) > 1_000:  # noqa: PLR2004 - a comment is short
        raise Invalid({"words": "评价内容最多 1000 字。"})
    if ticket.answered_at is None and ticket.state is not State.CLOSED:
        raise Invalid({"stars": "承办单位答复后即可评价。"})
    if ticket.state is State.ANSWERED and vetting_waits(session, ticket.id):
        raise Invalid({"stars": "承办单位的答复正在审核，通过后即可评价。"})
    locked = tickets.lock(session, ticket.id)
    if queries.rating(session, ticket_id=ticket.id, round_=locked.rework_rounds) is not None:
        raise Conflict("您已经评价过本次办理，感谢您的参与。")
    row = CitizenRating(
        ticket_id=ticket.id, round=locked.rework_rounds, stars=stars, words=redact(words.strip()), at=now
    )
    session.add(row)
    tickets.move(session, locked, Act.RATE, by=PUBLIC, now=now, note=row.words[:200], details={"stars": stars})
    waiting = queries.open_callback(session, ticket.id)
    if waiting is not None and stars <= BAD:
        waiting.priority = max(waiting.priority, 1)
    return row


def receive_review(session: Session, review: Review, *, by: Actor, now: datetime) -> Registered | None:
    """Take a review from a counter's device; a bad one becomes a ticket of its unit at once (domain.md 4.3).

    Returns nothing for a good review: there is nothing to rectify. The same key gives the same ticket.
    """
    require(by, Permission.REVIEW_RECEIVE)
    problems: dict[str, str] = {}
    if not 1 <= review.stars <= 5:  # noqa: PLR2004 - five levels
        problems["stars"] = "评价等级应为 1 到 5。"
    if not review.key.strip():
        problems["key"] = "缺少评价的唯一编号。"
    if not review.service_item.strip():
        problems["service_item"] = "缺少事项名称。"
    if review.rated_at > now + SKEW:
        problems["rated_at"] = "评价时间不能晚于现在。"
    department = department_by_code(session, review.department_code)
    if department is None or not department.active:
        problems["department"] = f"没有代码为“{review.department_code[:40]}”的单位。"
    if problems or department is None:
        raise Invalid(problems)
    if review.stars > BAD:
        return None
    said = review.words.strip()
    if not says_enough(said):  # one word is a review too, and nobody at the counter can ask for more
        left = f"留言：{said}" if said else "未留言。"
        said = f"对“{review.service_item.strip()}”的办理评价为 {review.stars} 星，{left}"
    registered = intake.register(
        session,
        Concern(
            title=f"差评：{review.service_item}"[:100],
            content=said,
            name=review.name,
            phone=review.phone,
            place=review.service_window,
            company=department.name,
            # What the counter calls it, where the city's list knows it.
            service_item=service_item_named(session, review.service_item.strip()),
            request_type="投诉",
            channel=Channel.REVIEW.value,
            kind=Kind.BAD_REVIEW.value,
            anonymous=not review.phone.strip(),
            source_key=None,
        ),
        scope=f"review:{by.name}",
        key=review.key,
        by=by,
        now=now,
    )
    if registered.again:
        return registered
    session.add(
        BadReview(
            ticket_id=registered.ticket_id,
            service_item=review.service_item.strip(),
            service_window=review.service_window.strip(),
            department_code=department.code,
            stars=review.stars,
            real_name=bool(review.phone.strip()),
            rated_at=review.rated_at,
        )
    )
    routing.dispatch(
        session,
        ticket_id=registered.ticket_id,
        version=None,
        department_id=department.id,
        reason="谁办理、谁负责：差评直接转被评价单位核实",
        automatic=True,
        by=SYSTEM,
        now=now,
    )
    return registered


def propose_verdict(
    session: Session, *, ticket_id: int, verdict: ReviewVerdict, reason: str, by: Actor, now: datetime
) -> BadReview:
    """Say, as the first of two, what a bad review is (domain.md 4.3)."""
    require(by, Permission.REVIEW_JUDGE)
    if not reason.strip():
        raise Invalid({"reason": "请写明认定依据。"})
    review, ticket = _review(session, ticket_id)
    if review.verdict is not None:
        raise Conflict("该差评已经认定。")
    review.proposed, review.proposed_by, review.proposed_reason = verdict, by.user_id, redact(reason.strip())
    tickets.move(
        session,
        ticket,
        Act.VERIFY,
        by=by,
        now=now,
        note=review.proposed_reason[:200],
        details={"verdict": verdict.value, "step": "proposed"},
    )
    return review


def confirm_verdict(session: Session, *, ticket_id: int, agree: bool, by: Actor, now: datetime) -> BadReview:
    """Agree or disagree, as the second person; only with both is a bad review classified."""
    require(by, Permission.REVIEW_JUDGE)
    review, ticket = _review(session, ticket_id)
    if review.proposed is None or review.verdict is not None:
        raise Conflict("没有待复核的差评认定。")
    if review.proposed_by == by.user_id:
        raise Denied("差评认定须由另一人复核。")
    if agree:
        review.verdict, review.verified_by, review.verified_at = review.proposed, by.user_id, now
        step = "confirmed"
    else:
        review.proposed = review.proposed_by = None
        step = "disagreed"
    tickets.move(
        session,
        ticket,
        Act.VERIFY,
        by=by,
        now=now,
        details={"verdict": review.verdict.value if review.verdict else "", "step": step},
    )
    return review


def rectify(session: Session, *, ticket_id: int, words: str, by: Actor, now: datetime) -> BadReview:
    """Record, once, what the unit has put right (整改); only a review that two persons found justified asks for it."""
    if not words.strip():
        raise Invalid({"rectification": "请填写整改情况。"})
    review, ticket = _review(session, ticket_id)
    routing.require_holder(session, ticket_id=ticket_id, by=by)
    if review.verdict is None:
        raise Conflict("差评尚未由两人认定，认定为合理后再填写整改情况。")
    if review.verdict not in MUST_RECTIFY:
        raise Conflict("该差评认定为不要求整改，无需填写整改情况。")
    if not queries.to_rectify(review):
        raise Conflict("已填写过整改情况，不能再次填写。")
    tickets.move(session, ticket, Act.RECTIFY, by=by, now=now, note=redact(words.strip())[:500])
    review.rectification, review.rectified_by, review.rectified_at = redact(words.strip()), by.user_id, now
    return review


def rework(session: Session, *, ticket_id: int, version: int, reason: str, by: Actor, now: datetime) -> Ticket:
    """Send a closed or answered ticket back to its department by a supervisor's decision (重办)."""
    if not reason.strip():
        raise Invalid({"reason": "请填写重办理由。"})
    ticket = tickets.lock(session, ticket_id, version=version)
    waiting = queries.open_callback(session, ticket_id)
    if waiting is not None:
        raise Conflict("该工单正在等待回访，请由回访结果决定是否重办。")
    routing.redispatch(session, ticket, reason=redact(reason.strip()), by=by, now=now)
    return ticket


def independent(session: Session, *, ticket_id: int, by: Actor) -> None:
    """Raise `Denied` for a person, or a member of a unit, that handled the ticket (domain.md 3.2)."""
    if by.user_id is not None and by.user_id in handlers_of(session, ticket_id, HANDLING):
        raise Denied("您经办过此工单，不能由您回访。")
    if by.department_ids and by.department_ids & departments_that_held(session, ticket_id):
        raise Denied("承办单位不能回访自己办理的工单。")


def _open(session: Session, callback_id: int, *, by: Actor) -> tuple[Callback, Ticket]:
    require(by, Permission.CALLBACK_RECORD)
    row, ticket = _locked(session, callback_id)
    if row.done_at is not None:
        raise Conflict("这次回访已有结果，不能再次记录。")
    independent(session, ticket_id=ticket.id, by=by)
    return row, ticket


def _as_seen(row: Callback, version: int | None) -> None:
    if version is not None and row.version != version:
        raise Conflict("这次回访刚刚已有记录，请刷新后查看。")


def _in_turn(session: Session, ticket: Ticket) -> None:
    """Raise `Conflict` while a bad review is not judged, or not rectified although it must be: called back comes last.

    A callback closes the ticket, and a closed one can be neither judged nor rectified (domain.md 4.3).
    """
    if ticket.kind is Kind.BAD_REVIEW and (missing := queries.not_yet(queries.bad_review(session, ticket.id))):
        raise Conflict(missing)


def _locked(session: Session, callback_id: int) -> tuple[Callback, Ticket]:
    """Lock a callback by its ticket: the one lock that everybody who writes to either takes first."""
    row = session.get(Callback, callback_id)
    if row is None:
        raise NotFound
    held = row.ticket_id in locked_here(session)
    ticket = tickets.lock(session, row.ticket_id)
    if not held:
        session.refresh(row)  # what was read before the lock may be old
    return row, ticket


def _attempt(session: Session, row: Callback, *, outcome: AttemptOutcome, note: str, by: Actor, now: datetime) -> None:
    row.attempts += 1
    line = {"at": now, "outcome": outcome, "note": redact(note.strip())[:500], "by_id": by.user_id}
    write(session, _ATTEMPT, {"callback_id": row.id, **line})


def _times(session: Session, callback_id: int) -> list[datetime]:
    return list(
        session.scalars(
            select(CallbackAttempt.at).where(CallbackAttempt.callback_id == callback_id).order_by(CallbackAttempt.id)
        )
    )


def _finish(session: Session, row: Callback, ticket: Ticket, *, verdict: Verdict, by: Actor, now: datetime) -> None:
    row.verdict, row.done_at, row.done_by = verdict, now, by.user_id
    row.claimed_by = row.claimed_at = None
    _follow(session, row, ticket, verdict, by=by, now=now)


def _follow(session: Session, row: Callback, ticket: Ticket, verdict: Verdict, *, by: Actor, now: datetime) -> None:
    """Do to the ticket what follows from how its callback ended."""
    if verdict is Verdict.REWORK:
        routing.redispatch(session, ticket, reason=row.reason, by=by, now=now)
    else:
        act = {
            Verdict.CLOSE: Act.CONFIRM,
            Verdict.UNREACHABLE: Act.GIVE_UP_CALLING,
            Verdict.DECLINED: Act.DECLINE_CALLBACK,
        }[verdict]
        tickets.move(session, ticket, act, by=by, now=now, note=row.reason[:200], details=_said(row))
    outbox.publish(session, CallbackDone(ticket_id=ticket.id, callback_id=row.id, verdict=verdict.value), now=now)


def _said(row: Callback) -> dict[str, str]:
    return {
        name: value.value
        for name, value in (("solved", row.solved), ("process", row.process), ("result", row.result))
        if value is not None
    }


def _review(session: Session, ticket_id: int) -> tuple[BadReview, Ticket]:
    ticket = tickets.lock(session, ticket_id)
    review = session.get(BadReview, ticket_id, with_for_update=True)  # two judges at once, one after the other
    if review is None:
        raise NotFound("这张工单不是差评工单。")
    return review, ticket
