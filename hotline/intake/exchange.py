"""What 110 hands over becomes a ticket here, one per record of theirs (domain.md 2.13, 国办发〔2022〕12号)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hotline.core.errors import Invalid
from hotline.core.permissions import SYSTEM, Actor, Permission, require
from hotline.intake import actions as intake
from hotline.intake.actions import Registered
from hotline.intake.models import Submission
from hotline.intake.rules import Concern
from hotline.tickets import actions as tickets
from hotline.tickets import transfers
from hotline.tickets.models import Ticket
from hotline.tickets.transfer_models import Direction, FinalOwner, Manner
from hotline.tickets.vocabulary import Channel

#: The lines that hand matters over to us, and the channel their tickets come in by.
LINES: Final[Mapping[str, Channel]] = MappingProxyType({"110": Channel.POLICE_110})


@dataclass(frozen=True, kw_only=True)
class Record:
    """What the other line tells of its record."""

    number: str
    line: str = "110"
    manner: Manner = Manner.EXCHANGE
    #: Why it is ours, in their words.
    words: str = ""


def receive(
    session: Session,
    record: Record,
    concern: Concern,
    *,
    at_a_desk: bool = False,
    scope: str = "",
    key: str = "",
    by: Actor,
    now: datetime,
) -> Registered:
    """Register what another line hands over; a number that is known gives the ticket that is there, and writes nothing.

    A person at a desk is told of that ticket instead (`Invalid`), because he has a caller on the line. When we had
    handed the same record over ourselves, what comes back is a ticket of its own that names the first (domain.md 2.13:
    the police first, then what is not theirs).
    """
    require(by, Permission.TRANSFER_EXCHANGE)
    channel = LINES.get(record.line)
    if channel is None:
        raise Invalid({"line": f"没有与“{record.line[:20]}”的联动，可用：{'、'.join(LINES)}。"})
    number = transfers.checked_number(record.number)
    # Two deliveries of one record, one after the other; what others do meanwhile is not held up.
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"transfer:{record.line}:{number}", 0))))
    known = transfers.incoming(session, line=record.line, number=number)
    ours = bool(key) and session.get(Submission, (scope, key)) is not None
    if known is not None and not ours:
        ticket = session.get_one(Ticket, known.ticket_id)
        if at_a_desk:
            raise Invalid({"other_number": f"该警情已有工单 {ticket.number}，请补充到该工单，不再另建。"})
        return Registered(ticket_id=ticket.id, number=ticket.number, query_code="", again=True)
    before = next((pair for pair in transfers.numbered(session, number) if pair[0].direction is Direction.OUT), None)
    taken = replace(
        concern,
        channel=channel.value,
        source_system=record.line,
        source_key=number,
        phone_needed=False,
        repeats_id=before[1].id if before else concern.repeats_id,
    )
    registered = intake.register(session, taken, scope=scope or f"transfer:{record.line}", key=key, by=by, now=now)
    if registered.again:
        return registered
    transfers.record_incoming(
        session,
        ticket_id=registered.ticket_id,
        line=record.line,
        number=number,
        manner=record.manner,
        words=record.words,
        by=by,
        now=now,
    )
    if before is not None:
        sent, first = before
        tickets.note(
            session,
            ticket_id=first.id,
            words=f"{record.line} 将其中不属警务的部分转回，另立工单 {registered.number}。",
            by=SYSTEM,
            now=now,
        )
        if sent.settled_at is None:
            transfers.settle(
                session,
                transfer_id=sent.id,
                settlement=transfers.Settlement(
                    owner=FinalOwner.BOTH, name=f"{record.line} 与 12345", reply=f"其余部分见工单 {registered.number}。"
                ),
                by=SYSTEM,
                now=now,
            )
    return registered
