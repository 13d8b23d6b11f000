"""What crosses between the hotline and 110: both numbers, one ticket per record, the final owner (domain.md 2.13)."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from hotline.core.db import Database
from hotline.core.errors import Conflict, Denied, Invalid, NotFound
from hotline.core.permissions import Actor, Role
from hotline.intake import exchange
from hotline.intake.actions import Registered
from hotline.tickets import actions as tickets
from hotline.tickets import transfers
from hotline.tickets.models import JournalEntry, Ticket
from hotline.tickets.states import Act, Outcome
from hotline.tickets.transfer_models import Direction, FinalOwner, Manner, Transfer
from hotline.tickets.transfers import Settlement, owner_at_closing
from hotline.tickets.vocabulary import Channel
from reports.audit import audit
from tests.makers import make_actor, make_concern, register_ticket

NUMBER = "JQ20261009-00017"
POLICE = Actor(user_id=None, role=Role.EXCHANGE, name="110")


def findings(db: Database, now: datetime) -> list[str]:
    with db.begin() as session:
        return [one.rule for one in audit(session, now=now) if one.rule != "outbox_is_delivered_or_waiting"]


def comes_in(db: Database, now: datetime, number: str = NUMBER, **given: object) -> Registered:
    with db.begin() as session:
        record = exchange.Record(number=number, words="邻里噪音，非警务。")
        return exchange.receive(session, record, make_concern(**given), by=POLICE, now=now)


def goes_out(db: Database, now: datetime, number: str = NUMBER) -> int:
    with db.begin() as session:
        operator = make_actor(session, Role.OPERATOR, now=now)
        made = register_ticket(session, by=operator, now=now)
        tickets.transfer(
            session,
            ticket_id=made.ticket_id,
            version=1,
            to="110",
            other_number=number,
            words="有人持刀，已三方通话。",
            manner=Manner.CONFERENCE,
            by=operator,
            now=now,
        )
        return made.ticket_id


@pytest.mark.parametrize(
    ("outcome", "to", "owner"),
    [
        (Outcome.CONFIRMED, None, FinalOwner.HOTLINE),
        (Outcome.REFUSED, None, FinalOwner.HOTLINE),
        (Outcome.TRANSFERRED, "110", FinalOwner.OTHER_LINE),
        (Outcome.TRANSFERRED, "120", FinalOwner.HOTLINE),
    ],
)
def test_only_what_goes_back_to_the_same_line_is_theirs(outcome: Outcome, to: str | None, owner: FinalOwner) -> None:
    assert owner_at_closing(outcome=outcome, transferred_to=to, line="110") is owner


def test_a_record_of_110_becomes_one_ticket_however_often_it_is_sent(db: Database, now: datetime) -> None:
    first = comes_in(db, now)
    again = comes_in(db, now + timedelta(hours=1), content="同一警情，内容补充了一句。")
    assert (first.again, again.again, again.number) == (False, True, first.number)
    with db.read() as session:
        (ticket,) = session.scalars(select(Ticket))
        assert (ticket.channel, ticket.source_system, ticket.source_key) == (Channel.POLICE_110, "110", NUMBER)
        (row,) = session.scalars(select(Transfer))
        assert (row.direction, row.other_number, row.manner) == (Direction.IN, NUMBER, Manner.EXCHANGE)
        acts = list(session.scalars(select(JournalEntry.act).order_by(JournalEntry.id)))
        assert acts == [Act.REGISTER, Act.RECEIVE_TRANSFER]
    assert findings(db, now + timedelta(hours=2)) == []


def test_two_deliveries_at_once_make_one_ticket(db: Database, now: datetime) -> None:
    together, told = threading.Barrier(2), []

    def send() -> None:
        together.wait(10)
        told.append(comes_in(db, now).number)

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(set(told)) == 1
    with db.read() as session:
        assert session.scalar(select(func.count()).select_from(Ticket)) == 1


def test_the_database_itself_refuses_a_second_record_and_one_without_a_number(db: Database, now: datetime) -> None:
    made = comes_in(db, now)
    for number in (NUMBER, ""):
        with pytest.raises(Conflict) as refused, db.begin() as session:
            session.add(
                Transfer(
                    ticket_id=made.ticket_id,
                    direction=Direction.IN,
                    line="110",
                    other_number=number,
                    manner=Manner.CALL,
                    made_at=now,
                )
            )
        assert isinstance(refused.value.__cause__, IntegrityError)


@pytest.mark.parametrize("number", ["", "  ", "1", "a b;c", "9" * 61, "<b>110</b>"])
def test_a_number_that_is_none_is_refused(db: Database, now: datetime, number: str) -> None:
    with pytest.raises(Invalid) as refused:
        comes_in(db, now, number=number)
    assert "other_number" in refused.value.fields


def test_a_person_at_a_desk_is_told_of_the_ticket_that_is_there(db: Database, now: datetime) -> None:
    made = comes_in(db, now)
    with db.begin() as session:
        operator = make_actor(session, Role.OPERATOR, now=now)
    with pytest.raises(Invalid) as refused, db.begin() as session:
        exchange.receive(session, exchange.Record(number=NUMBER), make_concern(), at_a_desk=True, by=operator, now=now)
    assert made.number in "".join(refused.value.fields["other_number"])


def test_only_who_exchanges_may_hand_over_or_tell_the_owner(db: Database, now: datetime) -> None:
    goes_out(db, now)
    with db.begin() as session:
        responder = make_actor(session, Role.RESPONDER, now=now)
        row = session.scalars(select(Transfer)).one()
    with pytest.raises(Denied), db.begin() as session:
        exchange.receive(session, exchange.Record(number="JQ-9"), make_concern(), by=responder, now=now)
    with pytest.raises(Denied), db.begin() as session:
        transfers.settle(
            session,
            transfer_id=row.id,
            settlement=Settlement(owner=FinalOwner.BOTH, name="甲"),
            by=responder,
            now=now,
        )


def test_what_went_out_is_settled_with_the_owner_and_his_reply_and_can_be_corrected(
    db: Database, now: datetime
) -> None:
    ticket_id = goes_out(db, now, number="")
    with db.begin() as session:
        number = session.get_one(Ticket, ticket_id).number
        row = transfers.handed_over(session, number=NUMBER, ticket=number)
        said = Settlement(
            owner=FinalOwner.OTHER_LINE, name="城东派出所", reply="已处置，联系人13900001234。", other_number=NUMBER
        )
        transfers.settle(session, transfer_id=row.id, settlement=said, by=POLICE, now=now)
    with db.begin() as session:
        ticket = session.get_one(Ticket, ticket_id)
        (row,) = transfers.of_ticket(session, ticket_id)
        assert (row.final_owner, row.owner_name, row.other_number) == (FinalOwner.OTHER_LINE, "城东派出所", NUMBER)
        assert "13900001234" not in row.reply
        assert ticket.transfer_number == NUMBER
        again = Settlement(owner=FinalOwner.BOTH, name="城东派出所、市城管局", other_number=NUMBER)
        transfers.settle(session, transfer_id=row.id, settlement=again, by=POLICE, now=now)
        other = Settlement(owner=FinalOwner.BOTH, name="甲", other_number="JQ-OTHER")
        with pytest.raises(Invalid):
            transfers.settle(session, transfer_id=row.id, settlement=other, by=POLICE, now=now)
    with db.read() as session:
        notes = list(session.scalars(select(JournalEntry.note).where(JournalEntry.act == Act.SETTLE_TRANSFER)))
        assert len(notes) == 2
        assert notes[1].startswith("更正：")
    assert findings(db, now) == []


def test_a_settlement_without_owner_or_name_is_refused_by_field(db: Database, now: datetime) -> None:
    goes_out(db, now)
    with db.read() as session:
        row = session.scalars(select(Transfer)).one()
    with pytest.raises(Invalid) as refused, db.begin() as session:
        transfers.settle(session, transfer_id=row.id, settlement=Settlement(owner=None, name=" "), by=POLICE, now=now)
    assert set(refused.value.fields) == {"final_owner", "owner_name"}


def test_what_110_gives_back_of_our_own_transfer_is_a_ticket_that_names_the_first(db: Database, now: datetime) -> None:
    first = goes_out(db, now)
    made = comes_in(db, now + timedelta(hours=3))
    with db.read() as session:
        back = session.get_one(Ticket, made.ticket_id)
        assert back.repeats_id == first
        (sent,) = transfers.of_ticket(session, first)
        assert (sent.final_owner, made.number in sent.reply) == (FinalOwner.BOTH, True)
    assert findings(db, now + timedelta(hours=3)) == []


def test_when_the_ticket_closes_110_can_read_who_handled_it(db: Database, now: datetime) -> None:
    made = comes_in(db, now)
    with db.begin() as session:
        operator = make_actor(session, Role.OPERATOR, now=now)
        version = session.get_one(Ticket, made.ticket_id).version
        tickets.close_directly(
            session, ticket_id=made.ticket_id, version=version, answer="已联系物业调解。", by=operator, now=now
        )
    with db.read() as session:
        (row,) = transfers.of_ticket(session, made.ticket_id)
        assert (row.final_owner, row.owner_name, row.reply) == (FinalOwner.HOTLINE, "12345 热线", "已联系物业调解。")
    assert findings(db, now) == []


def test_what_is_police_matter_after_all_goes_back_under_the_same_number(db: Database, now: datetime) -> None:
    made = comes_in(db, now)
    with db.begin() as session:
        operator = make_actor(session, Role.OPERATOR, now=now)
        version = session.get_one(Ticket, made.ticket_id).version
        tickets.transfer(
            session,
            ticket_id=made.ticket_id,
            version=version,
            to="110",
            other_number=NUMBER,
            words="涉嫌违法。",
            by=operator,
            now=now,
        )
    with db.read() as session:
        came, _ = transfers.of_ticket(session, made.ticket_id)
        assert came.final_owner is FinalOwner.OTHER_LINE
    assert findings(db, now) == []


def test_nothing_is_found_under_a_number_that_never_crossed(db: Database, now: datetime) -> None:
    goes_out(db, now)
    goes_out(db, now)
    with db.begin() as session:
        with pytest.raises(NotFound):
            transfers.handed_over(session, number="JQ-NONE")
        with pytest.raises(Conflict):
            transfers.handed_over(session, number=NUMBER)
