"""A refusal tells the citizen by text message what to do instead, once, where one can reach him (domain.md 1.5)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from hotline.core import outbox
from hotline.core.db import Database
from hotline.core.outbox import OutboxRow
from hotline.core.permissions import Role
from hotline.telephony.models import TextMessage
from hotline.tickets import actions as tickets
from hotline.tickets.events import TicketRefused
from hotline.tickets.refusals import REFUSALS
from routing.telling import MOST_WORDS, receives_texts, refusal_body, tell_of_refusal
from tests.makers import make_actor, register_ticket


def refused(db: Database, now: datetime, *, reason: str = "NR-06", **given: Any) -> TicketRefused:
    """Refuse a concern and return what was announced of it."""
    with db.begin() as session:
        operator = make_actor(session, Role.OPERATOR, now=now)
        made = register_ticket(session, by=operator, now=now, **given)
        tickets.refuse(
            session,
            ticket_id=made.ticket_id,
            version=1,
            reason=reason,
            words=REFUSALS[reason].told,
            by=operator,
            now=now,
        )
    with db.read() as session:
        row = session.scalars(select(OutboxRow).where(OutboxRow.event == TicketRefused.__name__)).one()
        return TicketRefused(**row.payload)


def messages(db: Database) -> list[dict[str, str]]:
    with db.read() as session:
        return [db.keyring.open(row.sealed) for row in session.scalars(select(TextMessage))]


@pytest.mark.parametrize(
    ("phone", "reaches"),
    [
        ("13900001234", True),
        ("19912345678", True),
        ("04122345678", False),
        ("12345", False),
        ("", False),
        ("+8613", False),
    ],
)
def test_only_mobile_numbers_receive_texts(phone: str, reaches: bool) -> None:  # noqa: FBT001 - a table of cases
    assert receives_texts(phone) is reaches


def test_a_long_explanation_is_cut_and_stays_on_one_line() -> None:
    body = refusal_body(number="202610080000001", reason="不在本市行政区域内", words="请\n向当地反映。" * 200)
    assert "\n" not in body
    assert len(body) < MOST_WORDS + 100


def test_a_refusal_says_where_to_turn_once_however_often_it_is_told(db: Database, now: datetime) -> None:
    event = refused(db, now)
    for minutes in (1, 2):
        with db.begin() as session:
            assert tell_of_refusal(session, event, now=now + timedelta(minutes=minutes)) is True
    (message,) = messages(db)
    assert message["to"] == "13900001234"
    assert "不在本市行政区域内" in message["body"]
    assert "加拨事发地区号再拨 12345" in message["body"]


@pytest.mark.parametrize("given", [{"phone": "0412-2345678"}, {"phone": "", "anonymous": True}, {"reason": "NR-09"}])
def test_who_cannot_be_reached_or_had_no_matter_gets_no_message(
    db: Database, now: datetime, given: dict[str, Any]
) -> None:
    event = refused(db, now, **given)
    with db.begin() as session:
        assert tell_of_refusal(session, event, now=now) is False
    assert messages(db) == []


def test_the_wiring_hears_a_refusal() -> None:
    from hotline.wiring import REACTIONS

    assert [reaction.name for reaction in REACTIONS[TicketRefused]] == ["tell_citizen_of_refusal"]
    assert outbox.Event in TicketRefused.__mro__
