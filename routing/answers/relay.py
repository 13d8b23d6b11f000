"""Calls by a relay number (中间号): from which telephone, how often, and how each ended (domain.md 7 b).

Whoever does a forwarded part sees no number of the citizen. He announces the telephone that he will call from, calls
our number from it and dials the part's extension; the exchange connects him and the citizen sees our number.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from hotline.core.clock import local_day
from hotline.core.db import keyring_of
from hotline.core.errors import HotlineError, Invalid, WrongState
from hotline.core.permissions import SYSTEM, Actor, Permission
from hotline.core.personal_data import mask_phone
from hotline.intake.rules import normal_phone
from hotline.people.models import User
from hotline.telephony.ports import CallEnd
from hotline.tickets import actions as tickets
from hotline.tickets.models import Ticket
from hotline.tickets.states import Act
from routing.answers import parts
from routing.answers.cutting import without_citizen
from routing.answers.part_models import Subtask
from routing.answers.relay_models import MOST_A_DAY, RelayCall, RelayLine
from routing.queries import department_name, departments_of

#: From so many telephones a part's citizen is called at most.
MOST_LINES: Final = 5
#: Longest note on a call by the relay number.
MOST_CALL_WORDS: Final = 500
#: After so long a connection is cut.
LONGEST: Final = timedelta(minutes=30)
#: After so long nobody expects the carrier to tell how a call ended.
LOST_AFTER: Final = timedelta(hours=2)
_MOST_AT_A_TIME: Final = 100
_MOST_DIGITS: Final = 12
_WRONG: Final = "分机号无效、任务已经结束，或者您使用的电话没有在任务页面登记。请核对后再拨。"
_OFTEN: Final = "这项任务今天的通话次数已经用完，请明天再拨。"


class NotConnected(HotlineError):
    """A call by a relay number that is not connected; the words are read to the caller and tell him nothing more."""

    say = _WRONG
    code = "not_connected"


@dataclass(frozen=True, kw_only=True)
class CallView:
    """One call as the part's page shows it."""

    started_at: datetime
    by: str
    phone_masked: str
    ending: CallEnd | None
    talked_s: int


def show_relay(session: Session, *, subtask_id: int, phone: str, by: Actor, now: datetime) -> str:
    """Announce the telephone that somebody will call from, return the relay number, and write down who looked at it.

    Raises `Invalid` for a telephone that is none or one too many, `WrongState` where the part is over or the citizen
    left no number.
    """
    ticket, part = _reachable(session, subtask_id, by=by)
    try:
        plain = normal_phone(phone)
    except ValueError as error:
        raise Invalid({"phone": str(error)}) from error
    index = keyring_of(session).index(f"phone:{plain}")
    others = session.scalar(
        select(func.count())
        .select_from(RelayLine)
        .where(RelayLine.subtask_id == part.id, RelayLine.phone_index != index)
    )
    if (others or 0) >= MOST_LINES:
        raise Invalid({"phone": f"一项任务最多登记 {MOST_LINES} 部电话，请使用已登记的电话。"})
    said = {"user_id": by.user_id, "announced_at": now}
    session.execute(
        insert(RelayLine)
        .values(subtask_id=part.id, phone_index=index, phone_masked=mask_phone(plain), **said)
        .on_conflict_do_update(index_elements=["subtask_id", "phone_index"], set_=said)
    )
    details = {"unit": department_name(session, part.department_id), "telephone": mask_phone(plain)}
    tickets.move(session, ticket, Act.SHOW_RELAY, by=by, now=now, details=details)
    return part.relay_number or ""


def call_by_relay(
    session: Session, *, subtask_id: int, reached: bool | None, words: str, by: Actor, now: datetime
) -> None:
    """Write down what was said in a call by the relay number, or that it reached nobody.

    Raises `Invalid` by field.
    """
    problems: dict[str, str] = {}
    if reached is None:
        problems["reached"] = "请选择是否接通。"
    if not words.strip():
        problems["call_words"] = "请写明通话情况。"
    elif len(words) > MOST_CALL_WORDS:
        problems["call_words"] = f"最多 {MOST_CALL_WORDS} 字，现有 {len(words)} 字。"
    if problems:
        raise Invalid(problems)
    ticket, part = _reachable(session, subtask_id, by=by)
    said = without_citizen(words.strip(), parts.citizen_of(session, ticket))
    details = {"unit": department_name(session, part.department_id), "reached": bool(reached)}
    tickets.move(session, ticket, Act.CALL_BY_RELAY, by=by, now=now, note=said, details=details)


def connect(session: Session, *, call_key: str, extension: str, caller: str, now: datetime) -> str:
    """Return whom the exchange must ring for a call to our number with an extension, and write the call down.

    A question that the carrier repeats gets the same answer and counts once. Raises `NotConnected`, in the same words
    for an extension that is none, a part that is over and a telephone that nobody announced: whoever tries numbers
    learns nothing.
    """
    line = _announced(session, extension=extension, caller=caller) if call_key else None
    if line is None:
        raise NotConnected
    ticket, part = parts.locked_part(session, line.subtask_id)
    who = _person(session, line.user_id)
    phone = parts.citizen_of(session, ticket).get("phone", "")  # corrected away since, perhaps
    if part.ended_at is not None or not phone or not _may_call(who, part):
        raise NotConnected
    known = session.scalars(select(RelayCall).where(RelayCall.call_key == call_key)).first()
    if known is None:
        day = local_day(now)
        left = left_today(session, part.id, now=now)
        if left < 1:
            raise NotConnected(_OFTEN)
        session.add(
            RelayCall(
                subtask_id=part.id,
                user_id=line.user_id,
                phone_masked=line.phone_masked,
                call_key=call_key,
                day=day,
                of_day=MOST_A_DAY - left + 1,
                started_at=now,
            )
        )
        session.flush()  # the database's own refusals come here
    elif known.ended_at is not None or known.subtask_id != part.id:
        raise NotConnected
    return phone


def end_call(session: Session, *, call_key: str, ending: CallEnd, talked_s: int = 0, now: datetime) -> bool:
    """Write down how a connected call ended, in the table and in the ticket's journal; the first word holds.

    Returns whether there was such a call to end.
    """
    found = session.execute(
        select(RelayCall.id, RelayCall.subtask_id).where(RelayCall.call_key == call_key, RelayCall.ended_at.is_(None))
    ).first()
    if found is None:
        return False
    ticket, part = parts.locked_part(session, found.subtask_id)
    call = session.get_one(RelayCall, found.id, with_for_update=True, populate_existing=True)  # told twice at once
    if call.ended_at is not None:
        return False
    call.ended_at, call.ending = now, ending
    call.talked_s = talked_s if ending is CallEnd.ANSWERED else 0
    who = _person(session, call.user_id)
    # Who has lost his desk since has called nevertheless.
    by = who if who is not None and who.can(Permission.TICKET_NOTE) else SYSTEM
    tickets.move(
        session,
        ticket,
        Act.CALL_BY_RELAY,
        by=by,
        now=now,
        details={
            "unit": department_name(session, part.department_id),
            "telephone": call.phone_masked,
            **({"caller": session.get_one(User, call.user_id).display_name} if by is SYSTEM else {}),
            "call_began": call.started_at.isoformat(),
            "call_ended": ending.value,
            "talked_s": call.talked_s,
        },
    )
    return True


def end_lost_calls(session: Session, *, now: datetime) -> int:
    """End the calls of which the carrier never told the end; returns how many."""
    lost = session.scalars(
        select(RelayCall.call_key)
        .where(RelayCall.ended_at.is_(None), RelayCall.started_at < now - LOST_AFTER)
        .order_by(RelayCall.started_at, RelayCall.id)
        .limit(_MOST_AT_A_TIME)
    ).all()
    return sum(end_call(session, call_key=key, ending=CallEnd.LOST, now=now) for key in lost)


def calls_of(session: Session, subtask_id: int, *, limit: int = MOST_A_DAY) -> list[CallView]:
    """Return the calls of a part, the newest first."""
    rows = session.execute(
        select(RelayCall, User.display_name)
        .join(User, User.id == RelayCall.user_id)
        .where(RelayCall.subtask_id == subtask_id)
        .order_by(RelayCall.day.desc(), RelayCall.of_day.desc())
        .limit(limit)
    )
    return [
        CallView(
            started_at=call.started_at,
            by=name,
            phone_masked=call.phone_masked,
            ending=call.ending,
            talked_s=call.talked_s,
        )
        for call, name in rows
    ]


def left_today(session: Session, subtask_id: int, *, now: datetime) -> int:
    """Return how many calls of a part may still be connected today."""
    used = session.scalar(
        select(func.max(RelayCall.of_day)).where(RelayCall.subtask_id == subtask_id, RelayCall.day == local_day(now))
    )
    return MOST_A_DAY - (used or 0)


def _reachable(session: Session, subtask_id: int, *, by: Actor) -> tuple[Ticket, Subtask]:
    ticket, part = parts.held_part(session, subtask_id, by=by)
    if part.relay_number is None:
        raise WrongState("诉求人没有留下电话，本任务没有中间号。")
    return ticket, part


def _announced(session: Session, *, extension: str, caller: str) -> RelayLine | None:
    """Return the telephone that this call comes from, if it was announced for the open part of this extension."""
    if not (extension.isascii() and extension.isdigit() and len(extension) <= _MOST_DIGITS):
        return None
    try:
        plain = normal_phone(caller)
    except ValueError:
        return None
    return session.scalars(
        select(RelayLine)
        .join(Subtask, Subtask.id == RelayLine.subtask_id)
        .where(
            Subtask.relay_number == parts.RELAY.format(int(extension)),
            Subtask.ended_at.is_(None),
            RelayLine.phone_index == keyring_of(session).index(f"phone:{plain}"),
        )
    ).first()


def _may_call(who: Actor | None, part: Subtask) -> bool:
    return who is not None and who.can(Permission.TICKET_ANSWER) and part.department_id in who.department_ids


def _person(session: Session, user_id: int) -> Actor | None:
    """Return who calls, with what he may do now; nobody where the account is closed."""
    user = session.get_one(User, user_id)
    if not user.active:
        return None
    return Actor(
        user_id=user.id, role=user.role, department_ids=departments_of(session, user.id), name=user.display_name
    )
