"""Transfers between this hotline and 110 or another line: both numbers, the final owner and its reply (domain.md 2.13).

A transferred matter still has a ticket. An incoming one is registered by `hotline.intake.exchange`; an outgoing one is
written down by `tickets.actions.transfer`. Here is what both have in common.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from hotline.core.errors import Conflict, Invalid, NotFound
from hotline.core.permissions import Actor
from hotline.core.personal_data import redact
from hotline.core.text import clean, clean_line
from hotline.tickets.actions import lock, move
from hotline.tickets.models import Ticket
from hotline.tickets.states import Act, Outcome
from hotline.tickets.transfer_models import Direction, FinalOwner, Manner, Transfer

MOST_NUMBER: Final = 60
MOST_OWNER: Final = 100
MOST_REPLY: Final = 2_000
_NUMBER: Final = re.compile(r"[\w\-/.()（）〔〕\[\]]{3,60}")


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """Who owned a matter in the end, and what he did."""

    owner: FinalOwner | None
    name: str
    reply: str = ""
    #: Fills in the other side's number where none is known yet.
    other_number: str = ""


def checked_number(raw: str) -> str:
    """Return the other side's record number in its one form: no blanks; `Invalid` when it is none."""
    number = re.sub(r"\s", "", clean_line(raw))
    if not _NUMBER.fullmatch(number):
        raise Invalid({"other_number": f"请填写对方编号（警情编号），3 至 {MOST_NUMBER} 位字母、数字或横线。"})
    return number


def owner_at_closing(*, outcome: Outcome, transferred_to: str | None, line: str) -> FinalOwner:
    """Tell who owned a matter that had come in when its ticket closes: what went back to that line is theirs."""
    return FinalOwner.OTHER_LINE if outcome is Outcome.TRANSFERRED and transferred_to == line else FinalOwner.HOTLINE


def incoming(session: Session, *, line: str, number: str) -> Transfer | None:
    """Return the record under which this number of the other side came in."""
    return session.scalars(
        select(Transfer).where(
            Transfer.direction == Direction.IN, Transfer.line == line, Transfer.other_number == number
        )
    ).first()


def numbered(session: Session, number: str, *, limit: int = 20) -> Sequence[tuple[Transfer, Ticket]]:
    """Return everything that crossed under this number of the other side, the newest first."""
    rows = session.execute(
        select(Transfer, Ticket)
        .join(Ticket, Ticket.id == Transfer.ticket_id)
        .where(Transfer.other_number == number, Transfer.other_number != "")
        .order_by(Transfer.id.desc())
        .limit(limit)
    )
    return [(row[0], row[1]) for row in rows]


def handed_over(session: Session, *, number: str, ticket: str = "") -> Transfer:
    """Return what we handed over under this number; by our own number where theirs is not known here yet.

    Raises `NotFound` when nothing fits, `Conflict` when several do and no ticket is named.
    """
    rows = session.scalars(
        select(Transfer)
        .join(Ticket, Ticket.id == Transfer.ticket_id)
        .where(
            Transfer.direction == Direction.OUT,
            *(
                [Ticket.number == ticket, Transfer.other_number.in_(("", number))]
                if ticket
                else [Transfer.other_number == number]
            ),
        )
        .order_by(Transfer.id.desc())
        .limit(2)
    ).all()
    if not rows:
        raise NotFound("没有转往贵方、编号相符的诉求。")
    if len(rows) > 1:
        raise Conflict("这个编号下转出了多张工单，请用 ticket 指明本热线的工单编号。")
    return rows[0]


def of_ticket(session: Session, ticket_id: int) -> Sequence[Transfer]:
    """Return what crossed on a ticket, the oldest first."""
    return session.scalars(select(Transfer).where(Transfer.ticket_id == ticket_id).order_by(Transfer.id)).all()


def record_incoming(
    session: Session,
    *,
    ticket_id: int,
    line: str,
    number: str,
    manner: Manner,
    words: str,
    by: Actor,
    now: datetime,
) -> Transfer:
    """Write down that a ticket came from another line, once per number, with its line in the journal."""
    ticket = lock(session, ticket_id)
    row = Transfer(
        ticket_id=ticket_id,
        direction=Direction.IN,
        line=line,
        other_number=number,
        manner=manner,
        made_at=now,
        made_by=by.user_id,
    )
    session.add(row)
    move(
        session,
        ticket,
        Act.RECEIVE_TRANSFER,
        by=by,
        now=now,
        note=redact(f"{line} 转来，对方编号 {number}。{clean(words)}")[:500],
        details={"line": line, "other_number": number, "manner": manner.value},
    )
    return row


def settle(session: Session, *, transfer_id: int, settlement: Settlement, by: Actor, now: datetime) -> Transfer:
    """Write down who owned the matter in the end and what he did; said again, it is corrected, with another line.

    Raises `Invalid` by field, `NotFound` when nothing of the kind crossed.
    """
    owner, said = _checked(settlement)
    row = session.get(Transfer, transfer_id)
    if row is None:
        raise NotFound
    ticket = lock(session, row.ticket_id)
    session.refresh(row)  # as it is now that nobody else can settle it
    if said.other_number and row.other_number not in {"", said.other_number}:
        raise Invalid({"other_number": f"对方编号已记录为 {row.other_number}。"})
    again = row.settled_at is not None
    row.final_owner, row.owner_name, row.reply = owner, said.name, said.reply
    row.settled_at, row.settled_by = now, by.user_id
    if said.other_number and not row.other_number:
        row.other_number = said.other_number
        if row.direction is Direction.OUT and ticket.transfer_to == row.line:
            ticket.transfer_number = said.other_number
    move(
        session,
        ticket,
        Act.SETTLE_TRANSFER,
        by=by,
        now=now,
        note=f"{'更正：' if again else ''}{row.line} 联动最终由{said.name}办理。{said.reply}"[:500],
        details={"line": row.line, "other_number": row.other_number, "owner": owner.value},
    )
    return row


def close_incoming(session: Session, ticket: Ticket, *, holder: str, reply: str, now: datetime) -> None:
    """Settle what came in when its ticket is closed, so that the other side can ask who handled it, and how.

    The line of the closing is its line in the journal.
    """
    if ticket.outcome is None:
        return
    for row in of_ticket(session, ticket.id):
        if row.direction is not Direction.IN:
            continue
        owner = owner_at_closing(outcome=ticket.outcome, transferred_to=ticket.transfer_to, line=row.line)
        row.final_owner, row.settled_at, row.settled_by = owner, now, None
        row.owner_name = row.line if owner is FinalOwner.OTHER_LINE else holder or "12345 热线"
        row.reply = redact(reply)[:MOST_REPLY]


def _checked(given: Settlement) -> tuple[FinalOwner, Settlement]:
    """Return the settlement cleaned, or raise every problem by field at once."""
    name, reply, number = clean_line(given.name), redact(clean(given.reply)), ""
    problems: dict[str, str] = {}
    if not name or len(name) > MOST_OWNER:
        problems["owner_name"] = f"请填写最终承办单位，最多 {MOST_OWNER} 字。"
    if len(reply) > MOST_REPLY:
        problems["reply"] = f"办理情况最多 {MOST_REPLY} 字，现有 {len(reply)} 字。"
    if given.other_number.strip():
        try:
            number = checked_number(given.other_number)
        except Invalid as error:
            problems |= {field: "".join(words) for field, words in error.fields.items()}
    if given.owner is None or problems:
        raise Invalid({**({"final_owner": "请选择由哪一方最终办理。"} if given.owner is None else {}), **problems})
    return given.owner, Settlement(owner=given.owner, name=name, reply=reply, other_number=number)
