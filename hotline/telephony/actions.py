"""Queue a message in the caller's transaction; send what waits, at most once per key."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import and_, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from hotline.core.db import keyring_of
from hotline.core.errors import BrokenSeal, HotlineError
from hotline.core.permissions import Actor
from hotline.core.personal_data import mask_phone
from hotline.telephony.models import MessageState, TextMessage
from hotline.telephony.ports import CarrierRefused, HandOverUnknown, TextMessages

#: How long after a try that the carrier could not take the next one comes; after the last of them it is given up.
AGAIN_AFTER: Final = (timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1), timedelta(hours=6))
_PAUSES: Final = tuple(enumerate(AGAIN_AFTER, 1))
#: A hand-over that neither came back nor failed is looked at by a person, not sent again.
STUCK_AFTER: Final = timedelta(minutes=5)


def queue_text(session: Session, *, key: str, purpose: str, to: str, body: str, by: Actor, now: datetime) -> None:
    """Write a message down, to be sent after the commit; the same key is written once."""
    session.execute(
        insert(TextMessage)
        .values(
            key=key,
            purpose=purpose,
            sealed=keyring_of(session).seal({"to": to, "body": body}),
            to_masked=mask_phone(to),
            state=MessageState.WAITING,
            created_at=now,
            tries=0,
            asked_by=by.user_id,
        )
        .on_conflict_do_nothing(index_elements=["key"])
    )


def send_waiting(
    begin: Callable[[], AbstractContextManager[Session]], carrier: TextMessages, *, now: datetime, limit: int = 100
) -> int:
    """Send what waits, one by one; returns how many were handed over.

    A message is marked as being sent and committed *before* it is handed over, and marked sent after: a crash between
    the two leaves this one in "sending", which is never sent again by itself, and every other one as it was. So a
    citizen may miss a message but never gets one twice; the audit lists those that got stuck. One of which nobody can
    tell whether the carrier took it stays there too, with the reason.
    """
    sent = last = 0
    for _ in range(limit):
        with begin() as session:
            row = _next(session, after=last, now=now)
            if row is None:
                break
            last, key = row.id, row.key
            row.state, row.tries, row.sent_at = MessageState.SENDING, row.tries + 1, now
            try:
                message = keyring_of(session).open(row.sealed)
            except BrokenSeal as error:  # one that nobody can read must not keep the others
                row.state, row.last_error = MessageState.FAILED, str(error)
                continue
        state, name, problem = MessageState.SENT, "", ""
        try:
            name = carrier.send(to=message["to"], body=message["body"], key=key)
            sent += 1
        except CarrierRefused as error:
            state, problem = MessageState.FAILED, str(error)
        except HandOverUnknown as error:
            state, problem = MessageState.SENDING, str(error)
        except HotlineError as error:
            state, problem = MessageState.WAITING, str(error)
        with begin() as session:
            row = session.get_one(TextMessage, last)
            if state is MessageState.WAITING and row.tries > len(AGAIN_AFTER):
                state = MessageState.FAILED
            row.state, row.carrier_id, row.last_error = state, name, problem[:500]
    return sent


def _next(session: Session, *, after: int, now: datetime) -> TextMessage | None:
    """Lock the next message whose time has come; two senders at once take different ones."""
    pauses = [and_(TextMessage.tries == tries, TextMessage.sent_at <= now - wait) for tries, wait in _PAUSES]
    return session.scalars(
        select(TextMessage)
        .where(
            TextMessage.state == MessageState.WAITING,
            TextMessage.id > after,
            or_(TextMessage.tries == 0, *pauses),
        )
        .order_by(TextMessage.id)
        .limit(1)
        .with_for_update(skip_locked=True)  # it is marked as being sent below
    ).first()


def stuck(session: Session, *, now: datetime, limit: int = 100) -> list[TextMessage]:
    """Return messages of which nobody knows whether they were handed over, and those that failed for good."""
    return list(
        session.scalars(
            select(TextMessage)
            .where(
                or_(
                    TextMessage.state == MessageState.FAILED,
                    (TextMessage.state == MessageState.SENDING) & (TextMessage.sent_at < now - STUCK_AFTER),
                )
            )
            .order_by(TextMessage.id.desc())
            .limit(limit)
        )
    )
