"""Days that are declared and editions of limits, while tickets are out: what is shown, what moves, what the rows say."""

# One case is one line, however long its sentence is.
# ruff: noqa: E501

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from hotline.core.clock import SHANGHAI
from hotline.core.db import keyring_of
from hotline.core.errors import Conflict, Denied, Invalid
from hotline.core.outbox import OutboxRow
from hotline.core.permissions import Actor, Role
from hotline.telephony.models import TextMessage
from hotline.tickets.models import Attachment, Ticket
from hotline.tickets.queries import timeline
from hotline.tickets.states import Act
from routing import actions as routing
from routing import telling
from routing.answers import parts
from routing.answers.part_models import PartKind, Subtask
from routing.clocks import adjusting, days, editions, granting, profiles, recounting
from routing.clocks.calendars import FIRST_YEAR, china
from routing.clocks.days import DayWish
from routing.clocks.models import CalendarDay, ConfirmedYear, ProfileEdition, Recount
from routing.events import ClockAdjusted, DeadlineMoved
from routing.models import Department, Dispatch
from routing.queries import current_dispatch
from routing.supervision import acting
from tests.makers import dispatched_ticket, make_actor, make_department, returned_ticket


def at(written: str) -> datetime:
    """Return a time of October 2026 as people in China write it: `09 16:40`."""
    return datetime.fromisoformat(f"2026-10-{written}").replace(tzinfo=SHANGHAI).astimezone(UTC)


def october(day: int) -> date:
    return date(2026, 10, day)


@dataclass
class City:
    """Two units with a complaint each since Friday 9 October 2026, 16:40: ten working days, due Thursday 22, 18:00."""

    session: Session
    market: Department
    housing: Department
    administrator: Actor
    dispatcher: Actor
    first: Ticket
    second: Ticket

    def due(self, ticket: Ticket) -> str:
        row = current_dispatch(self.session, ticket.id)
        assert row is not None
        assert ticket.due_at == row.due_at
        return f"{row.due_at.astimezone(SHANGHAI):%m-%d %H:%M}"

    def steps(self, ticket: Ticket, clock: str = "handle") -> Sequence[str]:
        row = current_dispatch(self.session, ticket.id)
        assert row is not None
        found: Sequence[str] = row.steps[clock]["steps"]
        return found

    def wish(self, day: int, *, unit: Department | None = None, work: bool | None = False, **more: Any) -> DayWish:
        reason = more.pop("reason", "机关事务管理局 2026 年 9 号")
        department_id = unit.id if unit else None
        return DayWish(day=october(day), department_id=department_id, is_workday=work, reason=reason, **more)

    def orders(self, wish: DayWish, now: str, *, expected: int = 9) -> Recount:
        """Declare a day and let a worker carry it out."""
        order = recounting.order_day(self.session, wish, expected=expected, by=self.administrator, now=at(now))
        recounting.carry_on(self.session, recount_id=order.id, now=at(now))
        self.session.flush()
        return order

    def recounts(self, ticket: Ticket) -> list[Any]:
        return [one for one in timeline(self.session, ticket.id) if one.act is Act.RECOUNT]

    def sends(self, now: str, unit: Department, **given: Any) -> Ticket:
        return dispatched_ticket(self.session, unit, now=at(now), request_type="投诉", **given)


@pytest.fixture
def city(session: Session) -> City:
    sent = at("09 16:40")
    market, housing = make_department(session, name="市市场监管局"), make_department(session, name="市住建局")
    return City(
        session=session,
        market=market,
        housing=housing,
        administrator=make_actor(session, Role.ADMINISTRATOR, name="王管理", now=sent),
        dispatcher=make_actor(session, Role.DISPATCHER, now=sent),
        first=dispatched_ticket(session, market, now=sent, request_type="投诉"),
        second=dispatched_ticket(session, housing, now=sent, request_type="投诉"),
    )


# --- days of a unit ----------------------------------------------------------------------------------------------


def test_a_day_of_rest_of_one_unit_moves_its_tickets_and_nobody_elses(city: City) -> None:
    wish = city.wish(14, unit=city.market)
    shown = recounting.preview_day(city.session, wish, now=at("12 10:00"))
    assert [(one.number, one.before, one.after) for one in shown.moved] == [
        (city.first.number, at("22 18:00"), at("23 18:00"))
    ]
    assert (shown.looked, shown.open, shown.complete) == (1, 1, True)
    assert city.due(city.first) == "10-22 18:00"  # to look moves nothing
    order = city.orders(wish, "12 10:00", expected=1)
    assert (city.due(city.first), city.due(city.second)) == ("10-23 18:00", "10-22 18:00")
    assert (order.moved, order.expected, order.finished_at) == (1, 1, at("12 10:00"))


def test_the_explanation_names_the_units_day_and_the_citizens_total_stays(city: City) -> None:
    city.orders(city.wish(14, unit=city.market), "12 10:00")
    assert "该单位 10月14日（周三）放假（机关事务管理局 2026 年 9 号），不计入" in city.steps(city.first)
    row = current_dispatch(city.session, city.first.id)
    assert row is not None
    assert row.steps["total"]["due"] == at("22 18:00").isoformat()
    assert not any("放假（机关" in step for step in city.steps(city.first, "total"))


def test_the_journal_of_each_moved_ticket_tells_who_ordered_what(city: City) -> None:
    order = city.orders(city.wish(14, unit=city.market), "12 10:00")
    [line] = city.recounts(city.first)
    assert line.note == (
        "工作日历调整：市市场监管局 2026-10-14 放假（机关事务管理局 2026 年 9 号）。"
        "到期由 2026-10-22（周四）18:00 变为 2026-10-23（周五）18:00"
    )
    assert line.details["before"] == at("22 18:00").isoformat()
    assert line.details["due"] == at("23 18:00").isoformat()
    assert line.details["recount"] == order.id
    assert city.recounts(city.second) == []
    [view] = days.listed(city.session).rows
    assert (view.department, view.declared_by, view.row.reason) == (
        "市市场监管局",
        "王管理",
        "机关事务管理局 2026 年 9 号",
    )


@pytest.mark.parametrize(
    ("wish", "due"),
    [
        pytest.param({"day": 11, "work": True}, "10-21 18:00", id="a Sunday that the unit works is one day less"),
        pytest.param({"day": 22, "work": True, "hours": "09:00-12:00"}, "10-22 12:00", id="a half day at the end"),
        pytest.param({"day": 14, "work": True, "hours": "9:00-12:00"}, "10-22 18:00", id="a half day before it"),
        pytest.param({"day": 10, "work": False}, "10-23 18:00", id="the unit keeps no make-up Saturday (peers.md 3.B)"),
        pytest.param({"day": 23, "work": False}, "10-22 18:00", id="a day after the limit moves nothing"),
    ],
)
def test_what_a_unit_declares_is_in_the_count(city: City, wish: dict[str, Any], due: str) -> None:
    city.orders(city.wish(unit=city.market, **wish), "09 17:00")
    assert city.due(city.first) == due
    assert city.due(city.second) == "10-22 18:00"


def test_the_unit_beats_the_city(city: City) -> None:
    city.orders(city.wish(14, unit=city.market, work=True), "12 10:00")
    city.orders(city.wish(14, reason="市政府通知"), "12 10:05")
    assert (city.due(city.first), city.due(city.second)) == ("10-22 18:00", "10-23 18:00")
    assert "本市 10月14日（周三）放假（市政府通知），不计入" in city.steps(city.second)
    # The citizen of the first complaint is told by the city's calendar.
    assert "本市 10月14日（周三）放假（市政府通知），不计入" in city.steps(city.first, "total")


def test_a_day_that_is_taken_back_gives_the_first_deadline_again(city: City) -> None:
    city.orders(city.wish(14, unit=city.market), "12 10:00")
    city.orders(city.wish(14, unit=city.market, work=None), "12 11:00")
    assert city.due(city.first) == "10-22 18:00"
    [view] = days.listed(city.session, department_id=city.market.id).rows
    assert (view.row.ended_at, view.ended_by) == (at("12 11:00"), "王管理")
    assert city.recounts(city.first)[-1].note.startswith("工作日历调整：市市场监管局 2026-10-14 恢复原有安排。到期由")


def test_pauses_and_extensions_survive_a_day(city: City) -> None:
    """Stood Mon 12 to Tue 13 (two days), extended by one: Tue 27. With Wed 14 at rest: Wed 28."""
    responder = make_actor(city.session, Role.RESPONDER, departments=[city.market], now=at("09 16:40"))
    paper = Attachment(
        ticket_id=city.first.id,
        name="委托.pdf",
        media_type="application/pdf",
        size=1,
        digest="d",
        added_at=at("10 09:00"),
    )
    city.session.add(paper)
    city.session.flush()
    pause = adjusting.ask_suspension(
        city.session,
        ticket_id=city.first.id,
        cause="鉴定",
        until=october(13),
        reason="已委托鉴定。",
        evidence_id=paper.id,
        by=responder,
        now=at("12 09:30"),
    )
    more = adjusting.ask_extension(
        city.session,
        ticket_id=city.first.id,
        workdays=1,
        reason="复杂",
        basis="第十八条",
        by=responder,
        now=at("12 09:40"),
    )
    for wish in (pause, more):
        adjusting.decide(
            city.session, adjustment_id=wish.id, approve=True, words="", by=city.dispatcher, now=at("12 10:00")
        )
    assert city.due(city.first) == "10-27 18:00"
    city.orders(city.wish(14, unit=city.market), "12 11:00")
    assert city.due(city.first) == "10-28 18:00"


def test_a_pause_may_last_longer_where_the_unit_rests(city: City) -> None:
    """等待当事人材料 lasts at most ten working days: from Mon 12 09:30 to Fri 23; with Wed 14 at rest, to Sun 25."""
    before = granting.profile_now(city.session, city.session.scalars(select(Dispatch)).first())  # type: ignore[arg-type] # there is one
    assert before.suspension.longest("等待当事人材料") == 10
    responder = make_actor(city.session, Role.RESPONDER, departments=[city.market], now=at("09 16:40"))
    paper = Attachment(
        ticket_id=city.first.id,
        name="函.pdf",
        media_type="application/pdf",
        size=1,
        digest="d",
        added_at=at("10 09:00"),
    )
    city.session.add(paper)
    city.session.flush()
    asked: dict[str, Any] = {
        "ticket_id": city.first.id,
        "cause": "等待当事人材料",
        "reason": "等材料。",
        "evidence_id": paper.id,
    }
    with pytest.raises(Invalid):
        adjusting.ask_suspension(city.session, **asked, until=october(26), by=responder, now=at("12 09:30"))
    city.orders(city.wish(14, unit=city.market), "12 09:00")
    wish = adjusting.ask_suspension(city.session, **asked, until=october(26), by=responder, now=at("12 09:30"))
    assert wish.latest_at is not None
    assert wish.latest_at >= at("27 00:00")


def test_the_next_unit_counts_by_its_own_days(city: City) -> None:
    """Sent on to housing on Mon 12: ten days from Tue 13 end on Mon 26; housing rests on Tue 20: Tue 27."""
    responder = make_actor(city.session, Role.RESPONDER, departments=[city.market], now=at("09 16:40"))
    city.orders(city.wish(20, unit=city.housing), "12 09:00")
    returned_ticket(
        city.session, city.first, words="属住建职责", by=responder, reviewer=city.dispatcher, now=at("12 17:00")
    )
    routing.dispatch(
        city.session,
        ticket_id=city.first.id,
        version=None,
        department_id=city.housing.id,
        by=city.dispatcher,
        now=at("12 17:30"),
    )
    assert city.due(city.first) == "10-27 18:00"
    row = current_dispatch(city.session, city.first.id)
    assert row is not None
    assert row.steps["total"]["due"] == at("22 18:00").isoformat()


def test_a_part_is_counted_by_its_units_days_and_keeps_its_working_days(city: City) -> None:
    """The lead is due Thu 22, the part one working day before: Wed 21. Housing rests on Mon 19: the part gets Thu 22."""
    part = parts.share(
        city.session,
        ticket_id=city.first.id,
        kind=PartKind.ASSIST,
        department_id=city.housing.id,
        words="请核实房屋情况。",
        by=city.dispatcher,
        now=at("10 10:00"),
    )
    assert part.due_at == at("21 18:00")
    shown = recounting.preview_day(city.session, city.wish(19, unit=city.housing), now=at("12 10:00"))
    assert shown.parts == 1
    city.orders(city.wish(19, unit=city.housing), "12 10:00")
    city.session.refresh(part)
    assert (part.due_at, city.due(city.first)) == (at("22 18:00"), "10-22 18:00")
    [line] = city.recounts(city.first)
    assert line.details["parts"] == ["市住建局"]
    # It never goes beyond the lead's.
    city.orders(city.wish(20, unit=city.housing), "12 11:00")
    city.session.refresh(part)
    assert part.due_at == at("22 18:00")


def test_a_part_whose_deadline_somebody_chose_stays(city: City) -> None:
    part = parts.share(
        city.session,
        ticket_id=city.first.id,
        kind=PartKind.ASSIST,
        department_id=city.housing.id,
        words="请核实房屋情况。",
        due_at=at("20 12:00"),
        by=city.dispatcher,
        now=at("10 10:00"),
    )
    city.orders(city.wish(19, unit=city.housing), "12 10:00")
    assert city.session.get_one(Subtask, part.id).due_at == at("20 12:00")


def test_a_notice_to_a_unit_is_due_by_its_own_days(city: City) -> None:
    supervisor = make_actor(city.session, Role.SUPERVISOR, now=at("09 16:40"))
    city.orders(city.wish(13, unit=city.market), "12 09:00")
    sent = {
        each.id: acting.supervise(
            city.session, ticket_id=each.id, words="请说明办理情况。", workdays=1, by=supervisor, now=at("12 10:00")
        ).due_at
        for each in (city.first, city.second)
    }
    assert sent == {city.first.id: at("14 18:00"), city.second.id: at("13 18:00")}


# --- days of the whole city, and what is refused ------------------------------------------------------------------


def test_a_day_of_the_city_moves_everybody_and_their_citizens(city: City) -> None:
    order = city.orders(city.wish(14, reason="台风停工通知"), "12 10:00")
    assert (city.due(city.first), city.due(city.second), order.moved) == ("10-23 18:00", "10-23 18:00", 2)
    row = current_dispatch(city.session, city.first.id)
    assert row is not None
    assert "total" not in row.steps  # it is the same again


def test_hours_around_the_clock_are_not_moved(city: City) -> None:
    urgent = city.sends("12 10:00", city.market, urgency="紧急")
    city.orders(city.wish(13, unit=city.market), "12 10:00")
    assert city.due(urgent) == "10-13 10:00"
    assert city.recounts(urgent) == []


def test_a_storm_may_be_declared_on_the_day_itself(city: City) -> None:
    city.orders(city.wish(14, reason="台风红色预警"), "14 07:30")
    assert city.due(city.first) == "10-23 18:00"


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        pytest.param({"day": 11}, "day", "不能更改已经过去的日期", id="a day of the past"),
        pytest.param({"day": 12, "work": True, "hours": "09:00-12:00"}, "day", "至少提前一天", id="a half day today"),
        pytest.param({"day": 17, "work": True, "reason": " "}, "reason", "请填写依据", id="no reason"),
        pytest.param({"day": 17, "work": True, "reason": "长" * 201}, "reason", "最多 200 字", id="a long reason"),
        pytest.param({"day": 17, "hours": "09:00-12:00"}, "hours", "休息日不填", id="hours of rest"),
        pytest.param({"day": 17, "work": True, "hours": "12:00-09:00"}, "hours", "有误", id="hours backwards"),
        pytest.param({"day": 17, "work": True, "hours": "上午"}, "hours", "09:00-12:00", id="hours in words"),
        pytest.param({"day": 17, "work": None}, "kind", "没有声明过", id="nothing to take back"),
    ],
)
def test_a_day_is_refused_with_the_reason(city: City, given: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(Invalid) as refused:
        recounting.order_day(city.session, city.wish(**given), expected=9, by=city.administrator, now=at("12 10:00"))
    assert words in "".join(refused.value.fields[field])
    assert city.session.scalars(select(CalendarDay)).all() == []


def test_a_day_far_ahead_is_refused_and_one_outside_the_calendar_stops_nobody(city: City) -> None:
    far = DayWish(day=date(2099, 1, 4), department_id=None, is_workday=False, reason="笔误")
    with pytest.raises(Invalid) as refused:
        days.declare(city.session, far, by=city.administrator, now=at("12 10:00"))
    assert "最远只能声明到" in "".join(refused.value.fields["day"])
    written = "INSERT INTO calendar_days (day, is_workday, reason, declared_at) VALUES ('2099-01-04', false, '旧', '2098-12-01')"
    city.session.execute(text(written))
    assert days.calendars(city.session).city == china()
    assert city.due(city.sends("12 10:00", city.market)) == "10-26 18:00"


def test_work_that_was_declared_cannot_be_taken_back_when_it_is_over(city: City) -> None:
    city.orders(city.wish(14, unit=city.market), "12 10:00")
    for now in ("14 09:00", "15 09:00"):
        with pytest.raises(Invalid):
            days.declare(city.session, city.wish(14, unit=city.market, work=None), by=city.administrator, now=at(now))


def test_only_an_administrator_declares(city: City) -> None:
    with pytest.raises(Denied):
        recounting.order_day(city.session, city.wish(14), expected=9, by=city.dispatcher, now=at("12 10:00"))


def test_more_than_was_shown_is_not_moved(city: City) -> None:
    city.sends("12 09:00", city.market)
    with pytest.raises(Conflict, match="1 件增加到 2 件"):
        recounting.order_day(
            city.session, city.wish(14, unit=city.market), expected=1, by=city.administrator, now=at("12 10:00")
        )


@pytest.mark.parametrize(
    ("columns", "values", "constraint"),
    [
        ("day, is_workday, reason, declared_at", "'2026-10-11', false, 'x', '2026-10-12 02:00Z'", "declared_ahead"),
        ("day, is_workday, reason, declared_at", "'2026-10-12', true, 'x', '2026-10-12 02:00Z'", "declared_ahead"),
        ("day, is_workday, reason, declared_at", "'2029-10-12', true, 'x', '2026-10-12 02:00Z'", "not_far_ahead"),
        ("day, is_workday, hours, declared_at", "'2026-10-20', false, '09:00-12:00', '2026-10-12 02:00Z'", "rest_has_no_hours"),
        ("day, is_workday, hours, declared_at", "'2026-10-20', true, '上午', '2026-10-12 02:00Z'", "hours_form"),
        ("day, is_workday, hours, declared_at", "'2026-10-20', true, '12:00-09:00', '2026-10-12 02:00Z'", "hours_in_order"),
        ("day, is_workday, hours, declared_at", "'2026-10-20', true, '09:00-12:00,11:00-17:00', '2026-10-12 02:00Z'", "hours_in_order"),
        ("day, is_workday, hours, declared_at", "'2026-10-20', true, '13:00-17:00,09:00-12:00', '2026-10-12 02:00Z'", "hours_in_order"),
        ("day, is_workday, hours, declared_at", "'2026-10-20', true, '20:00-25:00', '2026-10-12 02:00Z'", "hours_in_order"),
        ("day, is_workday, declared_at, ended_at", "'2026-10-20', false, '2026-10-12 02:00Z', '2026-10-20 02:00Z'", "taken_back_ahead"),
    ],
)  # fmt: skip
def test_the_database_refuses_a_day_that_rewrites_the_past(
    session: Session, columns: str, values: str, constraint: str
) -> None:
    with pytest.raises(IntegrityError, match=constraint):
        session.execute(text(f"INSERT INTO calendar_days ({columns}) VALUES ({values})"))


def test_one_declaration_of_a_day_is_in_force(session: Session) -> None:
    row = "INSERT INTO calendar_days (day, is_workday, declared_at) VALUES ('2026-10-20', false, '2026-10-12 02:00Z')"
    session.execute(text(row))
    with pytest.raises(IntegrityError, match="uq_calendar_days_in_force"):
        session.execute(text(row))


def test_declared_days_do_not_hide_that_the_notice_is_missing(city: City) -> None:
    """The alarm of sixty days is about the State Council's notice, whoever declares a day of his own behind it."""
    today = date(2026, 11, 20)
    before = granting.calendar(city.session).confirmed_days_ahead(today)
    wish = DayWish(day=date(2027, 1, 4), department_id=city.market.id, is_workday=False, reason="馆庆")
    days.declare(city.session, wish, by=city.administrator, now=at("12 10:00"))
    assert granting.calendar(city.session, city.market.id).confirmed_days_ahead(today) == before == 41


def test_a_big_order_is_carried_out_in_batches_and_twice_does_nothing_more(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recounting, "BATCH", 2)
    others = [city.sends("09 16:40", city.market) for _ in range(4)]
    order = recounting.order_day(
        city.session, city.wish(14, unit=city.market), expected=5, by=city.administrator, now=at("12 10:00")
    )
    done = [recounting.carry_on(city.session, recount_id=order.id, now=at("12 10:00")) for _ in range(5)]
    assert (done, order.moved) == ([2, 2, 1, 0, 0], 5)
    assert {city.due(one) for one in [city.first, *others]} == {"10-23 18:00"}
    assert all(len(city.recounts(one)) == 1 for one in others)


# --- editions of the limits --------------------------------------------------------------------------------------

SHORTER = """
name = "default"
title = "本市办理时限"
effective_from = 2026-01-01
source = "市政府令第 9 号"
[suspension.kinds]
"鉴定" = 20
[[rows]]
id = "consultation"
type = ["咨询"]
handle = { workdays = 2 }
[[rows]]
id = "all"
handle = { workdays = 8 }
sign = { workdays = 1 }
contact = { workdays = 2 }
return = { workdays = 2 }
"""


def planned(
    city: City, *, on: date, text: str = SHORTER, version: str = "2026.2", now: str = "12 10:00"
) -> ProfileEdition:
    row = editions.enter(
        city.session,
        text=text,
        version=version,
        effective_on=on,
        basis="市政府令第 9 号",
        by=city.administrator,
        now=at(now),
    )
    return editions.confirm(city.session, edition_id=row.id, by=city.administrator, now=at(now))


def test_an_edition_holds_from_its_day_and_open_tickets_keep_theirs(city: City) -> None:
    planned(city, on=october(14))
    assert city.due(city.sends("13 16:40", city.market)) == "10-27 18:00"  # ten working days of the old one
    later = city.sends("14 09:00", city.market)
    assert city.due(later) == "10-26 18:00"  # eight of the new one
    assert current_dispatch(city.session, later.id).profile == "default 2026.2"  # type: ignore[union-attr] # it was sent
    assert city.due(city.first) == "10-22 18:00"
    responder = make_actor(city.session, Role.RESPONDER, departments=[city.market], now=at("09 16:40"))
    wish = adjusting.ask_extension(
        city.session,
        ticket_id=city.first.id,
        workdays=1,
        reason="复杂",
        basis="第十八条",
        by=responder,
        now=at("15 10:00"),
    )
    adjusting.decide(
        city.session, adjustment_id=wish.id, approve=True, words="", by=city.dispatcher, now=at("15 11:00")
    )
    assert city.due(city.first) == "10-23 18:00"  # still ten, and one more


def test_sent_to_another_unit_after_the_change_the_ticket_still_keeps_its_version(city: City) -> None:
    planned(city, on=october(14))
    responder = make_actor(city.session, Role.RESPONDER, departments=[city.market], now=at("09 16:40"))
    returned_ticket(
        city.session, city.first, words="属住建职责", by=responder, reviewer=city.dispatcher, now=at("12 10:00")
    )
    routing.dispatch(
        city.session,
        ticket_id=city.first.id,
        version=None,
        department_id=city.housing.id,
        by=city.dispatcher,
        now=at("14 10:00"),
    )
    assert city.due(city.first) == "10-28 18:00"  # ten working days from the 15th, not eight
    row = current_dispatch(city.session, city.first.id)
    assert row is not None
    assert row.profile == "default 2026.1"


def test_before_it_holds_the_page_knows_which_open_tickets_it_would_limit_otherwise(city: City) -> None:
    question = dispatched_ticket(city.session, city.market, now=at("12 09:00"), request_type="咨询")
    row = editions.enter(
        city.session,
        text=SHORTER,
        version="2026.2",
        effective_on=october(14),
        basis="市政府令第 9 号",
        by=city.administrator,
        now=at("12 10:00"),
    )
    [change] = editions.changes(city.session, profiles.Profile.from_mapping(row.body))
    assert (change.key, change.words, change.count) == (("", "投诉", "一般", ""), "投诉 · 一般", 2)
    assert change.limits == (("办理时限", "10 个工作日", "8 个工作日"),)
    assert change.departments == (("市住建局", 1), ("市市场监管局", 1))
    shown = recounting.sample(city.session, row, [change])
    assert [(one.moved.number, one.moved.before, one.moved.after) for one in shown] == [
        (city.first.number, at("22 18:00"), at("20 18:00")),
        (city.second.number, at("22 18:00"), at("20 18:00")),
    ]
    assert question.due_at == at("14 18:00")
    told = editions.differences(profiles.load("default"), profiles.Profile.from_mapping(row.body))
    assert ("投诉 · 一般", "办理时限", "10 个工作日", "8 个工作日") in [
        (one.who, one.clock, one.before, one.after) for one in told
    ]
    assert not any(one.who == "咨询 · 一般" for one in told)


def test_the_city_may_order_that_open_tickets_follow_and_each_explains_itself(city: City) -> None:
    edition = planned(city, on=october(14))
    order = recounting.order_edition(
        city.session,
        edition_id=edition.id,
        keys=[("", "投诉", "一般", "")],
        words="市政府第 20 次常务会议",
        expected=2,
        by=city.administrator,
        now=at("14 10:00"),
    )
    assert recounting.carry_on(city.session, recount_id=order.id, now=at("14 10:01")) == 2
    assert recounting.carry_on(city.session, recount_id=order.id, now=at("14 10:02")) == 0
    assert (city.due(city.first), city.due(city.second)) == ("10-20 18:00", "10-20 18:00")
    assert "2026-10-14（周三）10:00 改按“本市办理时限”2026.2 版的时限，自原起点重新计算，已有暂停照算" in city.steps(
        city.first
    )
    [line] = city.recounts(city.first)
    assert line.note.startswith("改按时限档案 default 2026.2：市政府第 20 次常务会议。到期由")
    assert editions.changes(city.session, profiles.Profile.from_mapping(edition.body)) == []
    # What is asked for later is judged by the edition that it was moved to.
    row = current_dispatch(city.session, city.first.id)
    assert row is not None
    assert granting.profile_now(city.session, row).suspension.kinds == {"鉴定": 20}
    adjusting.reclassify(
        city.session,
        ticket_id=city.first.id,
        version=None,
        sla_class="疑难复杂",
        reason="历史遗留",
        by=city.dispatcher,
        now=at("14 11:00"),
    )
    assert granting.profile_now(city.session, row).version == "2026.2"
    assert sum("改按“" in step for step in city.steps(city.first)) == 1


def moved_to_an_edition(city: City) -> None:
    """Move both complaints to an edition that has come into force."""
    edition = planned(city, on=october(12), now="12 08:00")
    order = recounting.order_edition(
        city.session,
        edition_id=edition.id,
        keys=[("", "投诉", "一般", "")],
        words="令",
        expected=2,
        by=city.administrator,
        now=at("12 09:00"),
    )
    recounting.carry_on(city.session, recount_id=order.id, now=at("12 09:00"))


def test_a_ticket_moved_to_an_edition_is_still_under_it_at_the_next_unit(city: City) -> None:
    moved_to_an_edition(city)
    responder = make_actor(city.session, Role.RESPONDER, departments=[city.market], now=at("09 16:40"))
    returned_ticket(
        city.session, city.first, words="属住建职责", by=responder, reviewer=city.dispatcher, now=at("12 10:00")
    )
    routing.dispatch(
        city.session,
        ticket_id=city.first.id,
        version=None,
        department_id=city.housing.id,
        by=city.dispatcher,
        now=at("12 11:00"),
    )
    assert city.due(city.first) == "10-22 18:00"  # eight working days from the 13th
    row = current_dispatch(city.session, city.first.id)
    assert row is not None
    assert row.profile == "default 2026.2"
    assert row.steps["total"]["due"] == at("20 18:00").isoformat()


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({"text": "name ="}, "text", "不是有效的 TOML"),
        ({"text": 'name = "x"'}, "text", "没有任何规则"),
        ({"text": SHORTER.replace("workdays = 8", "workdays = -1")}, "text", "规则 all 的 handle"),
        ({"text": ""}, "text", "请填写档案内容"),
        ({"version": " "}, "version", "请填写版本号"),
        ({"version": "2026.1"}, "version", "已经存在且内容不同"),
        ({"effective_on": date(2026, 10, 11)}, "effective_on", "不能早于今天"),
        ({"effective_on": None}, "effective_on", "请填写生效日期"),
        ({"text": SHORTER.replace("2026-01-01", "2027-01-01")}, "effective_on", "自 2027-01-01 起生效"),
        ({"basis": ""}, "basis", "请填写依据"),
    ],
)
def test_an_edition_is_refused_with_the_reason(city: City, given: dict[str, Any], field: str, words: str) -> None:
    usual = {"text": SHORTER, "version": "2026.2", "effective_on": october(20), "basis": "令"}
    with pytest.raises(Invalid) as refused:
        editions.enter(city.session, **{**usual, **given}, by=city.administrator, now=at("12 10:00"))
    assert words in "".join(refused.value.fields[field])


def test_what_has_been_in_force_stays_and_two_do_not_begin_on_one_day(city: City) -> None:
    first = planned(city, on=october(14))
    with pytest.raises(Conflict, match="已有另一版生效"):
        planned(city, on=october(14), version="2026.3")
    with pytest.raises(Conflict, match="已经生效"):
        editions.withdraw(city.session, edition_id=first.id, by=city.administrator, now=at("14 00:00"))
    editions.withdraw(city.session, edition_id=first.id, by=city.administrator, now=at("13 10:00"))
    assert city.due(city.sends("14 09:00", city.market)) == "10-28 18:00"


def test_open_tickets_are_moved_only_to_what_is_in_force_and_with_a_reason(city: City) -> None:
    edition = planned(city, on=october(14))
    asked: dict[str, Any] = {"edition_id": edition.id, "by": city.administrator, "expected": 2}
    key = ("", "投诉", "一般", "")
    with pytest.raises(Conflict, match="不是现行版本"):
        recounting.order_edition(city.session, keys=[key], words="令", now=at("13 10:00"), **asked)
    with pytest.raises(Invalid) as refused:
        recounting.order_edition(city.session, keys=[("", "咨询", "一般", "")], words=" ", now=at("14 10:00"), **asked)
    assert set(refused.value.fields) == {"words", "classes"}
    city.session.execute(text("UPDATE profile_editions SET effective_on = '2026-10-12'"))
    city.session.expire_all()
    with pytest.raises(Conflict, match="1 件增加到 2 件"):
        recounting.order_edition(city.session, keys=[key], words="令", now=at("14 10:00"), **{**asked, "expected": 1})


@pytest.mark.parametrize(
    ("columns", "values", "constraint"),
    [
        ("confirmed_at", "'2026-10-21 02:00Z'", "confirmed_ahead"),
        ("confirmed_at, withdrawn_at", "'2026-10-12 02:00Z', '2026-10-20 02:00Z'", "withdrawn_ahead"),
    ],
)
def test_the_database_refuses_an_edition_that_rewrites_the_past(
    session: Session, columns: str, values: str, constraint: str
) -> None:
    with pytest.raises(IntegrityError, match=constraint):
        session.execute(
            text(
                "INSERT INTO profile_editions (name, version, source_text, body, effective_on, basis, entered_at,"
                f" {columns}) VALUES ('x', '1', '', '{{}}', '2026-10-20', '令', '2026-10-12 02:00Z', {values})"
            )
        )


def test_rework_is_counted_by_what_is_in_force_then(city: City) -> None:
    """A new round is a new order: the version in force at its dispatch."""
    planned(city, on=october(14))
    row = current_dispatch(city.session, city.first.id)
    assert row is not None
    later = at("14 10:00") + timedelta(hours=1)
    city.first.rework_rounds = 1
    granted = granting.grant(
        city.session, city.first, sla_class=granting.REWORK, department_id=city.market.id, now=later
    )
    assert granted.profile == "default 2026.2"


# --- units below, citizens and the desk --------------------------------------------------------------------------


def below(city: City, unit: Department, name: str) -> Department:
    return make_department(city.session, name=name, parent_id=unit.id)


def test_units_below_follow_unless_they_declared_the_day_themselves(city: City) -> None:
    """District, street, handlers: each follows the nearest that spoke of the day; others are not touched."""
    street = below(city, city.market, "青山街道")
    team, shift = below(city, street, "青山街道网格队"), below(city, street, "青山街道值班队")
    sent = {unit.name: city.sends("09 16:40", unit) for unit in (street, team, shift)}
    city.orders(city.wish(14, unit=shift, work=True, reason="值班安排"), "12 09:00")
    shown = recounting.preview_day(city.session, city.wish(14, unit=city.market), now=at("12 10:00"))
    assert {one.number for one in shown.moved} == {
        one.number for one in (city.first, sent["青山街道"], sent["青山街道网格队"])
    }
    order = city.orders(city.wish(14, unit=city.market), "12 10:00")
    assert (order.looked, order.moved, order.total) == (4, 3, 4)
    assert [city.due(one) for one in (city.first, *sent.values(), city.second)] == [
        "10-23 18:00",
        "10-23 18:00",
        "10-23 18:00",
        "10-22 18:00",
        "10-22 18:00",
    ]
    told = "该单位随上级单位市市场监管局 10月14日（周三）放假（机关事务管理局 2026 年 9 号），不计入"
    assert told in city.steps(sent["青山街道网格队"])
    assert "该单位 10月14日（周三）放假（机关事务管理局 2026 年 9 号），不计入" in city.steps(city.first)
    # The street speaks for its handlers; that the bureau takes its day back moves nobody below the street any more.
    city.orders(city.wish(14, unit=street, work=True, reason="街道通知"), "12 11:00")
    assert [city.due(sent[name]) for name in ("青山街道", "青山街道网格队")] == ["10-22 18:00", "10-22 18:00"]
    back = city.orders(city.wish(14, unit=city.market, work=None), "12 12:00")
    assert (back.moved, city.due(city.first)) == (1, "10-22 18:00")


def test_a_new_dispatch_below_counts_by_the_day_of_the_unit_above(city: City) -> None:
    city.orders(city.wish(14, unit=city.market), "12 09:00")
    team = below(city, below(city, city.market, "青山街道"), "青山街道网格队")
    assert city.due(city.sends("12 09:30", team)) == "10-27 18:00"


def test_a_part_below_follows_the_unit_above_and_not_when_it_declared_itself(city: City) -> None:
    team = below(city, city.housing, "房管所")
    city.sends("09 16:40", city.market)
    part = parts.share(
        city.session,
        ticket_id=city.first.id,
        kind=PartKind.ASSIST,
        department_id=team.id,
        words="请核实房屋情况。",
        by=city.dispatcher,
        now=at("10 10:00"),
    )
    city.orders(city.wish(20, unit=team, work=True), "12 09:00")
    city.orders(city.wish(20, unit=city.housing), "12 10:00")
    assert city.session.get_one(Subtask, part.id).due_at == at("21 18:00")
    city.orders(city.wish(19, unit=city.housing), "12 11:00")
    city.session.refresh(part)
    assert part.due_at == at("22 18:00")


def test_a_notice_to_a_unit_below_is_due_by_the_days_of_the_unit_above(city: City) -> None:
    calendars = days.calendars(city.session)
    team = below(city, city.market, "市场监管所")
    city.orders(city.wish(13, unit=city.market), "12 09:00")
    calendars = days.calendars(city.session)
    assert calendars.of_their_own() == {city.market.id, team.id}
    assert not calendars.of(team.id).is_workday(october(13))
    assert calendars.of(city.housing.id) == calendars.city


def extended(city: City, ticket: Ticket, unit: Department) -> None:
    """Extend a ticket by a day, of which the citizen is told by text message."""
    responder = make_actor(city.session, Role.RESPONDER, departments=[unit], now=at("09 16:40"))
    wish = adjusting.ask_extension(
        city.session, ticket_id=ticket.id, workdays=1, reason="复杂", basis="第十八条", by=responder, now=at("10 09:40")
    )
    adjusting.decide(
        city.session, adjustment_id=wish.id, approve=True, words="", by=city.dispatcher, now=at("10 10:00")
    )
    told = ClockAdjusted(ticket_id=ticket.id, adjustment_id=wish.id, what=Act.EXTEND.value)
    telling.tell_citizen(city.session, told, now=at("10 10:00"))


def announced(city: City) -> list[DeadlineMoved]:
    rows = city.session.scalars(select(OutboxRow).where(OutboxRow.event == "DeadlineMoved").order_by(OutboxRow.id))
    return [DeadlineMoved(**row.payload) for row in rows]


def texts(city: City) -> list[str]:
    rows = city.session.scalars(select(TextMessage).where(TextMessage.purpose == "clock_recount"))
    return [keyring_of(city.session).open(row.sealed)["body"] for row in rows]


def test_a_citizen_who_was_told_a_date_learns_of_the_new_one_once(city: City) -> None:
    extended(city, city.first, city.market)
    assert city.due(city.first) == "10-23 18:00"
    city.orders(city.wish(14, reason="台风停工通知"), "12 10:00")
    [event] = announced(city)  # the second citizen was told no date: the tracking page shows his
    assert event.ticket_id == city.first.id
    for _ in range(2):
        assert telling.tell_of_move(city.session, event, now=at("12 10:01"))
    assert texts(city) == [
        f"【12345热线】您反映的事项（{city.first.number}）因工作日安排调整，办理期限改为 10月26日18:00。"
    ]


@pytest.mark.parametrize("given", [{"phone": "04122345678"}, {"phone": "", "phone_needed": False}])
def test_who_has_no_mobile_number_gets_no_text(city: City, given: dict[str, Any]) -> None:
    mute = city.sends("09 16:40", city.market, **given)
    extended(city, mute, city.market)
    city.orders(city.wish(14, reason="台风停工通知"), "12 10:00")
    assert announced(city) == []
    event = DeadlineMoved(
        ticket_id=mute.id,
        dispatch_id=current_dispatch(city.session, mute.id).id,  # type: ignore[union-attr] # it was sent
        recount_id=city.session.scalars(select(Recount.id)).one(),
    )
    assert not telling.tell_of_move(city.session, event, now=at("12 10:01"))


def test_nobody_is_told_of_the_date_of_a_ticket_that_was_given_back(city: City) -> None:
    extended(city, city.first, city.market)
    city.orders(city.wish(14, reason="台风停工通知"), "12 10:00")
    [event] = announced(city)
    responder = make_actor(city.session, Role.RESPONDER, departments=[city.market], now=at("09 16:40"))
    returned_ticket(
        city.session, city.first, words="属住建职责", by=responder, reviewer=city.dispatcher, now=at("12 10:30")
    )
    assert not telling.tell_of_move(city.session, event, now=at("12 10:31"))


def test_an_edition_that_moves_a_told_date_is_told_too(city: City) -> None:
    extended(city, city.first, city.market)
    moved_to_an_edition(city)
    [event] = announced(city)
    telling.tell_of_move(city.session, event, now=at("12 09:01"))
    assert texts(city) == [
        f"【12345热线】您反映的事项（{city.first.number}）因办理时限规定调整，办理期限改为 10月21日18:00。"
    ]
    row = current_dispatch(city.session, city.first.id)
    assert row is not None
    assert (row.moved_at, row.moved_from) == (at("12 09:00"), at("23 18:00"))


def test_a_worker_that_remembers_the_calendar_of_before_counts_by_the_new_one(city: City) -> None:
    """The worker sent a ticket out seconds ago and remembers the calendars; another process declares the day."""
    city.sends("12 09:59", city.market)
    stale = city.session.info["granting"]["rules"]
    order = recounting.order_day(
        city.session, city.wish(14, unit=city.market), expected=9, by=city.administrator, now=at("12 10:00")
    )
    city.session.info["granting"]["rules"] = stale
    assert recounting.carry_on(city.session, recount_id=order.id, now=at("12 10:00")) == 2
    assert city.due(city.first) == "10-23 18:00"


def test_a_ticket_sent_out_by_a_calendar_of_seconds_ago_is_made_up_for(city: City) -> None:
    stale = days.calendars(city.session)
    order = city.orders(city.wish(14, unit=city.market), "12 10:00")
    granting._rules(city.session, now=at("12 10:00"))  # another process's memory
    known = city.session.info["granting"]["rules"]
    city.session.info["granting"]["rules"] = dataclasses.replace(known, calendars=stale)
    late = city.sends("12 10:00", city.market)
    assert city.due(late) == "10-26 18:00"
    assert recounting.follow_latecomers(city.session, now=at("12 10:00")) == 0  # too early: others may still send so
    assert recounting.follow_latecomers(city.session, now=at("12 10:01")) == 1
    assert recounting.follow_latecomers(city.session, now=at("12 10:02")) == 0
    assert (city.due(late), order.moved, order.looked, order.total) == ("10-27 18:00", 2, 2, 2)


def test_what_was_not_looked_at_may_move_and_is_said_so(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recounting, "MOST_SHOWN", 1)
    city.sends("09 16:40", city.market)
    shown = recounting.preview_day(city.session, city.wish(14, unit=city.market), now=at("12 10:00"))
    assert (len(shown.moved), shown.looked, shown.open, shown.complete, shown.most) == (1, 1, 2, False, 2)
    with pytest.raises(Conflict, match="1 件增加到 2 件"):
        recounting.order_day(
            city.session, city.wish(14, unit=city.market), expected=1, by=city.administrator, now=at("12 10:00")
        )


def test_the_database_holds_what_a_recount_may_say(city: City) -> None:
    order = city.orders(city.wish(14, unit=city.market), "12 10:00")
    with pytest.raises(IntegrityError, match="moved_was_looked_at"), city.session.begin_nested():
        city.session.execute(text("UPDATE recounts SET moved = looked + 1 WHERE id = :id"), {"id": order.id})
    with pytest.raises(IntegrityError, match="moved_has_before"), city.session.begin_nested():
        city.session.execute(text("UPDATE dispatches SET moved_at = now(), moved_from = NULL"))


def test_the_notice_of_the_next_year_is_confirmed_by_hand_and_no_year_is_left_out(session: Session) -> None:
    """domain.md 2.5 counts working days; issue 4 wants an alarm while fewer than sixty days ahead are confirmed."""
    by = make_actor(session, Role.ADMINISTRATOR, now=at("09 10:00"))
    known = china().confirmed_until.year
    assert (days.next_year(session).year, days.next_year(session).work) == (known + 1, 0)
    for year, basis, field in (
        (known + 2, "国办发明电〔2099〕1号", "year"),
        (known, "x", "year"),
        (known + 1, " ", "basis"),
    ):
        with pytest.raises(Invalid) as refused:
            days.confirm_year(session, year=year, basis=basis, by=by, now=at("09 10:00"))
        assert list(refused.value.fields) == [field]
    days.confirm_year(session, year=known + 1, basis="国办发明电〔2099〕1号", by=by, now=at("09 10:00"))
    calendar = granting.calendar(session)
    assert calendar.confirmed_until == date(known + 1, 12, 31)
    assert calendar.is_confirmed(date(known + 1, 6, 1))
    assert [row.year for row, _name in days.confirmed_by_hand(session)] == [known + 1]
    years = session.scalars(select(ConfirmedYear.year).order_by(ConfirmedYear.year)).all()
    assert years == list(range(FIRST_YEAR, known + 2))
    days.confirm_year(session, year=known + 2, basis="国办发明电〔2099〕2号", by=by, now=at("09 10:00"))
    assert granting.calendar(session).confirmed_until.year == known + 2
    with pytest.raises(Denied):
        days.confirm_year(
            session,
            year=known + 3,
            basis="x",
            by=make_actor(session, Role.DISPATCHER, now=at("09 10:00")),
            now=at("09 10:00"),
        )


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("INSERT INTO confirmed_years (year, basis, confirmed_at) VALUES (2012, 'x', now())", "years_have_no_gap"),
        ("INSERT INTO confirmed_years (year, basis, confirmed_at) VALUES (2010, 'x', now())", "years_have_no_gap"),
        ("INSERT INTO confirmed_years (year, basis, confirmed_at) VALUES (2011, '', now())", "has_basis"),
        ("DELETE FROM confirmed_years", "is never changed"),
        ("UPDATE confirmed_years SET basis = 'y'", "is never changed"),
    ],
)
def test_the_database_refuses_a_calendar_with_a_gap(session: Session, statement: str, constraint: str) -> None:
    session.execute(text("INSERT INTO confirmed_years (year, basis, confirmed_at) VALUES (2010, 'x', now())"))
    with pytest.raises(IntegrityError, match=constraint):
        session.execute(text(statement))


def test_a_unit_that_is_moved_follows_the_days_of_where_it_stands(city: City) -> None:
    above = make_department(city.session, "above", name="市建设集团")
    city.session.flush()
    wish = DayWish(day=october(14), department_id=above.id, is_workday=False, reason="集团停工")
    recounting.order_day(city.session, wish, expected=0, by=city.administrator, now=at("12 10:00"))
    assert (city.due(city.first), city.due(city.second)) == ("10-22 18:00", "10-22 18:00")
    city.housing.parent_id = above.id
    (order,) = recounting.follow_move(
        city.session, department_id=city.housing.id, parent_before=None, by=city.administrator, now=at("12 11:00")
    )
    assert (order.day, order.was_workday) == (october(14), True)
    assert recounting.carry_on(city.session, recount_id=order.id, now=at("12 11:01")) == 1
    dues = {city.due(city.first), city.due(city.second)}
    assert dues == {"10-22 18:00", "10-23 18:00"}
    # Moved between two places that say the same of every day, nothing is counted again.
    again = recounting.follow_move(
        city.session, department_id=city.housing.id, parent_before=above.id, by=city.administrator, now=at("12 12:00")
    )
    assert again == []
