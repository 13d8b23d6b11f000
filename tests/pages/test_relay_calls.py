"""Calls by a relay number, through the webhooks as a carrier asks them: who is connected, and what is kept."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, text, update

from hotline.core import clock
from hotline.core.errors import Conflict, HotlineError, Invalid
from hotline.core.permissions import Actor, Role
from hotline.people.models import User
from hotline.telephony.ports import CallEnd
from hotline.telephony.simulator import Heard, SimulatedExchange
from hotline.tickets.models import Ticket
from hotline.tickets.queries import TimelineEntry, timeline
from hotline.tickets.states import Act
from hotline.wiring import Installation
from routing.answers import parts, relay
from routing.answers.part_models import PartKind, Subtask
from routing.answers.relay_models import MOST_A_DAY, RelayCall, RelayLine
from tests.makers import dispatched_ticket, make_actor, make_department, sign_in

DESK = "13800001111"
CITIZEN = "13900001234"
PATH = "/webhooks/voice/relay"
WRONG = "分机号无效、任务已经结束，或者您使用的电话没有在任务页面登记。请核对后再拨。"


@dataclass
class Street:
    """A street that does a forwarded part, its people, and the exchange."""

    app: Flask
    tools: Installation
    now: datetime
    ticket_id: int
    part_id: int
    lead: Actor
    below: Actor
    extension: str
    base: str = "http://localhost"
    asked: list[tuple[str, Mapping[str, str], str]] = field(default_factory=list)

    def ask(self, path: str, form: Mapping[str, str], signature: str) -> str:
        self.asked.append((path, form, signature))
        answer = self.app.test_client().post(path, data=form, headers={"X-Twilio-Signature": signature})
        assert answer.status_code == 200, answer.status_code
        assert answer.mimetype == "text/xml"
        return answer.text

    def calls(self, *, caller: str = "+8613800001111", digits: str = "", **given: Any) -> Heard:
        exchange = SimulatedExchange(
            ask=self.ask, sign=lambda url, form: self.tools.calls.sign(url=url, form=form), base=self.base
        )
        return exchange.call(PATH, caller=caller, digits=digits or self.extension, **given)

    def announces(self, phone: str = DESK, *, by: Actor | None = None) -> str:
        with self.tools.db.begin() as session:
            return relay.show_relay(session, subtask_id=self.part_id, phone=phone, by=by or self.below, now=self.now)

    def answers(self) -> None:
        with self.tools.db.begin() as session:
            parts.answer_part(session, subtask_id=self.part_id, words="已清淤两处。", by=self.below, now=self.now)

    def kept(self) -> list[RelayCall]:
        with self.tools.db.read() as session:
            return list(session.scalars(select(RelayCall).order_by(RelayCall.id)))

    def lines(self) -> list[TimelineEntry]:
        with self.tools.db.read() as session:
            return [one for one in timeline(session, self.ticket_id) if one.act is Act.CALL_BY_RELAY]


@pytest.fixture
def street(app: Flask, tools: Installation, now: datetime, monkeypatch: pytest.MonkeyPatch) -> Street:
    monkeypatch.setattr(clock, "now", lambda: now)
    with tools.db.begin() as session:
        district = make_department(session, name="东城区政府")
        happy = make_department(session, name="幸福街道", parent_id=district.id, duty_phone="0412-2345678")
        lead = make_actor(session, Role.RESPONDER, departments=[district], now=now)
        below = make_actor(session, Role.RESPONDER, departments=[happy], login="below", name="孙街道", now=now)
        make_actor(session, Role.SUPERVISOR, login="supervisor", now=now)
        ticket = dispatched_ticket(session, district, phone=CITIZEN, now=now - timedelta(hours=2))
        part = parts.share(
            session, ticket_id=ticket.id, kind=PartKind.FORWARD, department_id=happy.id, by=lead, now=now
        )
        extension = (part.relay_number or "").split()[-1]
        return Street(app, tools, now, ticket.id, part.id, lead, below, extension)


def test_a_call_from_an_announced_telephone_reaches_the_citizen_and_is_kept_with_its_end(street: Street) -> None:
    assert street.announces().endswith(street.extension)
    heard = street.calls(talked_s=95)
    assert heard.connected_to == "+8613900001234"
    assert heard.said == ["您好，这里是12345热线中间号。请输入分机号，以井号键结束。"]
    (kept,) = street.kept()
    assert (kept.user_id, kept.ending, kept.talked_s, kept.phone_masked) == (
        street.below.user_id,
        CallEnd.ANSWERED,
        95,
        "*******1111",
    )
    (line,) = street.lines()
    assert line.by_name == "孙街道"
    assert line.details == {
        "unit": "幸福街道",
        "telephone": "*******1111",
        "call_began": street.now.isoformat(),
        "call_ended": "answered",
        "talked_s": 95,
    }


@pytest.mark.parametrize(
    ("citizen", "ending", "words"),
    [("busy", "busy", "对方忙"), ("no-answer", "no_answer", "无人接听"), ("failed", "failed", "未能接通")],
)
def test_a_call_that_reaches_nobody_says_so(street: Street, citizen: str, ending: str, words: str) -> None:
    street.announces()
    street.calls(citizen=citizen)
    (line,) = street.lines()
    assert (line.details["call_ended"], line.details["talked_s"]) == (ending, 0)
    supervisor = street.app.test_client()
    sign_in(supervisor, "supervisor")
    with street.tools.db.read() as session:
        number = session.get_one(Ticket, street.ticket_id).number
    shown = supervisor.get(f"/tickets/{number}").text
    assert words in shown
    assert DESK not in shown


def test_nobody_is_connected_from_a_telephone_that_was_not_announced(street: Street) -> None:
    for caller in ("+8613800001111", "anonymous", "", "１３８", "²³"):
        heard = street.calls(caller=caller)
        assert (heard.connected_to, heard.said[-1]) == ("", WRONG)
    street.announces()
    assert street.calls(caller="+8613800002222").connected_to == ""
    assert len(street.kept()) == 0


@pytest.mark.parametrize("digits", ["999999", "0", "٣", "²", "1" * 40, "abc", "-1", "1;2"])
def test_an_extension_that_is_none_is_told_in_the_same_words(street: Street, digits: str) -> None:
    street.announces()
    heard = street.calls(digits=digits)
    assert (heard.connected_to, heard.said[-1]) == ("", WRONG)


def test_who_dials_nothing_hears_a_sentence(street: Street) -> None:
    street.announces()
    form = {"CallSid": "CA1", "From": DESK, "Digits": ""}
    address = f"{street.base}{PATH}/extension"
    document = street.ask(f"{PATH}/extension", form, street.tools.calls.sign(url=address, form=form))
    assert WRONG in document
    assert "Dial" not in document


def test_a_relay_number_expires_with_its_part(street: Street) -> None:
    street.announces()
    street.answers()
    heard = street.calls()
    assert (heard.connected_to, heard.said[-1]) == ("", WRONG)
    assert street.kept() == []
    with pytest.raises(Conflict, match="relay_call_needs_open_part"), street.tools.db.begin() as session:
        session.add(
            RelayCall(
                subtask_id=street.part_id,
                user_id=street.below.user_id,
                phone_masked="x",
                call_key="CA1",
                day=street.now.date(),
                of_day=1,
                started_at=street.now,
            )
        )


def test_a_call_that_outlives_its_part_is_still_written_down(street: Street) -> None:
    street.announces()
    with street.tools.db.begin() as session:
        relay.connect(session, call_key="CA1", extension=street.extension, caller=DESK, now=street.now)
    street.answers()
    with street.tools.db.begin() as session:
        assert relay.end_call(session, call_key="CA1", ending=CallEnd.ANSWERED, talked_s=600, now=street.now)
    assert [one.details["talked_s"] for one in street.lines()] == [600]


def test_so_many_calls_a_day_and_no_more_and_again_tomorrow(
    street: Street, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    street.announces()
    for _ in range(MOST_A_DAY):
        assert street.calls(citizen="busy").connected_to
    heard = street.calls()
    assert (heard.connected_to, heard.said[-1]) == ("", "这项任务今天的通话次数已经用完，请明天再拨。")
    with street.tools.db.read() as session:
        assert relay.left_today(session, street.part_id, now=now) == 0
    monkeypatch.setattr(clock, "now", lambda: now + timedelta(days=1))
    assert street.calls().connected_to


def test_the_last_call_of_a_day_is_connected_once_when_many_dial_at_once(street: Street) -> None:
    street.announces()
    for number in range(MOST_A_DAY - 1):
        with street.tools.db.begin() as session:
            relay.connect(session, call_key=f"CA{number}", extension=street.extension, caller=DESK, now=street.now)
    start, got = threading.Barrier(4), list[str]()

    def dial(number: int) -> None:
        start.wait(10)
        try:
            with street.tools.db.begin() as session:
                relay.connect(session, call_key=f"CB{number}", extension=street.extension, caller=DESK, now=street.now)
            got.append("connected")
        except HotlineError as error:
            got.append(error.code)

    dialling = [threading.Thread(target=dial, args=(number,)) for number in range(4)]
    for each in dialling:
        each.start()
    for each in dialling:
        each.join(30)
    assert sorted(got) == ["connected", *["not_connected"] * 3]
    assert len(street.kept()) == MOST_A_DAY


def test_a_carrier_that_asks_twice_counts_once(street: Street) -> None:
    street.announces()
    street.calls(key="CA7")
    for path, form, signature in street.asked[1:]:
        document = street.ask(path, form, signature)
        assert CITIZEN not in document, "a call that is over is not connected again"
    assert len(street.kept()) == len(street.lines()) == 1
    with street.tools.db.begin() as session:
        first = relay.connect(session, call_key="CA8", extension=street.extension, caller=DESK, now=street.now)
        again = relay.connect(session, call_key="CA8", extension=street.extension, caller=DESK, now=street.now)
    assert first == again == CITIZEN
    assert len(street.kept()) == 2


@pytest.mark.parametrize("broken", ["signature", "address", "form"])
def test_nobody_but_the_carrier_is_answered(street: Street, broken: str) -> None:
    street.announces()
    form = {"CallSid": "CA1", "From": DESK, "Digits": street.extension}
    address = f"{street.base}{PATH}/{'ended' if broken == 'address' else 'extension'}"
    signature = "" if broken == "signature" else street.tools.calls.sign(url=address, form=form)
    sent = {**form, "From": "13800002222"} if broken == "form" else form
    answer = street.app.test_client().post(f"{PATH}/extension", data=sent, headers={"X-Twilio-Signature": signature})
    assert (answer.status_code, answer.data) == (403, b"")
    assert street.kept() == []


def test_who_lost_the_account_while_talking_has_called_nevertheless(street: Street) -> None:
    street.announces()
    with street.tools.db.begin() as session:
        relay.connect(session, call_key="CA1", extension=street.extension, caller=DESK, now=street.now)
        session.execute(update(User).where(User.id == street.below.user_id).values(active=False))
    with street.tools.db.begin() as session:
        relay.end_call(session, call_key="CA1", ending=CallEnd.ANSWERED, talked_s=60, now=street.now)
    (line,) = street.lines()
    assert (line.by_id, line.details["caller"]) == (None, "孙街道")


def test_whoever_left_the_unit_or_the_house_calls_no_more(street: Street) -> None:
    street.announces()
    with street.tools.db.begin() as session:
        session.execute(text("DELETE FROM memberships WHERE user_id = :id"), {"id": street.below.user_id})
    assert street.calls().connected_to == ""
    with street.tools.db.begin() as session:
        session.execute(
            text("INSERT INTO memberships (user_id, department_id) SELECT :id, department_id FROM subtasks"),
            {"id": street.below.user_id},
        )
    assert street.calls().connected_to
    with street.tools.db.begin() as session:
        session.execute(update(User).where(User.id == street.below.user_id).values(active=False))
    assert street.calls().connected_to == ""


def test_a_call_of_which_the_carrier_never_tells_the_end_is_ended_as_unknown(street: Street) -> None:
    street.announces()
    with street.tools.db.begin() as session:
        relay.connect(session, call_key="CA1", extension=street.extension, caller=DESK, now=street.now)
    for later, ended in ((timedelta(minutes=30), 0), (relay.LOST_AFTER + timedelta(seconds=1), 1), (timedelta(9), 0)):
        with street.tools.db.begin() as session:
            assert relay.end_lost_calls(session, now=street.now + later) == ended
    assert [one.details["call_ended"] for one in street.lines()] == ["lost"]


def test_a_telephone_is_announced_on_the_page_and_what_is_none_is_told_by_field(street: Street) -> None:
    below, address = street.app.test_client(), f"/department/parts/{street.part_id}"
    sign_in(below, "below")
    assert "0412-2345678" in below.get(address).text, "the desk's own telephone is proposed"
    refused = below.post(f"{address}/relay", data={"phone": "12"})
    assert refused.status_code == 422
    assert 'value="12"' in refused.text
    shown = below.post(f"{address}/relay", data={"phone": DESK}).text
    assert street.extension in shown
    assert CITIZEN not in shown
    street.calls(talked_s=125)
    page = below.get(address).text
    for words in ("今天还可通话 9 次", "已接通", "通话 2 分钟", "*******1111", "孙街道"):
        assert words in page
    assert DESK not in page


def test_a_part_knows_so_many_telephones_and_the_last_to_announce_one_calls_from_it(
    street: Street, now: datetime
) -> None:
    for number in range(relay.MOST_LINES):
        street.announces(f"1380000222{number}")
    with pytest.raises(Invalid) as refused:
        street.announces()
    assert set(refused.value.fields) == {"phone"}
    with street.tools.db.begin() as session:
        part = session.get_one(Subtask, street.part_id)
        other = make_actor(session, Role.RESPONDER, name="钱街道", now=now)
        session.execute(
            text("INSERT INTO memberships (user_id, department_id) VALUES (:user, :unit)"),
            {"user": other.user_id, "unit": part.department_id},
        )
        other = Actor(
            user_id=other.user_id, role=other.role, department_ids=frozenset({part.department_id}), name=other.name
        )
    street.announces("13800002220", by=other)
    street.calls(caller="13800002220")
    assert [one.user_id for one in street.kept()] == [other.user_id]
    with street.tools.db.read() as session:
        assert len(session.scalars(select(RelayLine)).all()) == relay.MOST_LINES


def test_what_was_said_is_written_down_by_hand_without_the_citizens_name(street: Street) -> None:
    with street.tools.db.begin() as session:
        given: dict[str, Any] = {"subtask_id": street.part_id, "by": street.below, "now": street.now}
        relay.call_by_relay(session, reached=True, words=f"王小明说可以上门，电话{CITIZEN}", **given)
        with pytest.raises(Invalid) as refused:
            relay.call_by_relay(session, reached=None, words=" ", **given)
    assert set(refused.value.fields) == {"reached", "call_words"}
    assert [one.note for one in street.lines()] == ["【诉求人】说可以上门，电话【手机号】"]
    for by in (street.lead,):
        with pytest.raises(HotlineError):
            street.announces(by=by)
