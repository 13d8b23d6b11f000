"""Clocks that stand, that are extended, and that follow a changed ticket: wishes, decisions, and what is due then."""

# One case of the table is one line, however long its sentence is.
# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from hotline.core.clock import SHANGHAI
from hotline.core.db import Database, keyring_of
from hotline.core.errors import Conflict, Denied, HotlineError, Invalid
from hotline.core.permissions import Actor, Role
from hotline.telephony.models import TextMessage
from hotline.tickets import actions as tickets
from hotline.tickets.models import Attachment, Ticket
from hotline.tickets.queries import counters, timeline
from hotline.tickets.states import Act
from hotline.tickets.vocabulary import RequestType, Urgency
from routing import actions as routing
from routing import telling
from routing.clocks import adjusting
from routing.clocks.models import Adjustment, AdjustmentState, ProfileVersion
from routing.clocks.profiles import Profile, load
from routing.events import ClockAdjusted
from routing.models import Department, Dispatch
from routing.queries import current_dispatch
from tests.makers import answered_ticket, dispatched_ticket, feedback, make_actor, make_department, returned_ticket


def at(written: str) -> datetime:
    """Return a time of October 2026 as people in China write it: `09 16:40`."""
    return datetime.fromisoformat(f"2026-10-{written}").replace(tzinfo=SHANGHAI).astimezone(UTC)


@dataclass
class Matter:
    """A complaint (ten working days) that was dispatched on Friday, 9 October 2026, at 16:40, and its people."""

    session: Session
    ticket: Ticket
    department: Department
    responder: Actor
    dispatcher: Actor
    supervisor: Actor
    evidence_id: int

    @property
    def row(self) -> Dispatch:
        found = current_dispatch(self.session, self.ticket.id)
        assert found is not None
        return found

    @property
    def due(self) -> str:
        self.session.flush()
        assert self.ticket.due_at == self.row.due_at
        return f"{self.row.due_at.astimezone(SHANGHAI):%m-%d %H:%M}"

    def asks_to_stand(self, now: str, until: str, cause: str = "鉴定", *, by: Actor | None = None) -> Adjustment:
        return adjusting.ask_suspension(
            self.session,
            ticket_id=self.ticket.id,
            cause=cause,
            until=date.fromisoformat(f"2026-{until}"),
            reason="已委托质检机构鉴定，出具报告前无法认定责任。",
            evidence_id=self.evidence_id,
            by=by or self.responder,
            now=at(now),
        )

    def asks_for(self, now: str, workdays: int) -> Adjustment:
        return adjusting.ask_extension(
            self.session,
            ticket_id=self.ticket.id,
            workdays=workdays,
            reason="涉及三家单位，现场情况复杂。",
            basis="《政务服务便民热线管理办法》第十八条",
            by=self.responder,
            now=at(now),
        )

    def decides(self, wish: Adjustment, now: str, *, approve: bool = True, by: Actor | None = None) -> Adjustment:
        return adjusting.decide(
            self.session,
            adjustment_id=wish.id,
            approve=approve,
            words="" if approve else "理由不充分。",
            by=by or self.dispatcher,
            now=at(now),
        )

    def stands(self, now: str, until: str, cause: str = "鉴定") -> Adjustment:
        return self.decides(self.asks_to_stand(now, until, cause), now)

    def is_extended(self, now: str, workdays: int) -> Adjustment:
        return self.decides(self.asks_for(now, workdays), now)

    def becomes(self, now: str, **changes: object) -> Matter:
        self.session.flush()
        tickets.amend(
            self.session,
            ticket_id=self.ticket.id,
            version=self.ticket.version,
            changes=changes,
            reason="核实后更正",
            by=self.dispatcher,
            now=at(now),
        )
        return self

    def is_classed(self, now: str, sla_class: str) -> Matter:
        adjusting.reclassify(
            self.session,
            ticket_id=self.ticket.id,
            version=None,
            sla_class=sla_class,
            reason="涉及多个部门的历史遗留问题",
            by=self.dispatcher,
            now=at(now),
        )
        return self

    def goes_back(self, now: str) -> Matter:
        self.session.flush()
        returned_ticket(
            self.session, self.ticket, words="属住建部门职责", by=self.responder, reviewer=self.dispatcher, now=at(now)
        )
        return self

    def goes_to(self, now: str, department: Department) -> Matter:
        routing.dispatch(
            self.session,
            ticket_id=self.ticket.id,
            version=None,
            department_id=department.id,
            by=self.dispatcher,
            now=at(now),
        )
        if department is not self.department:
            self.responder = make_actor(self.session, Role.RESPONDER, departments=[department], now=at(now))
        return self

    def goes_on(self, now: str) -> Matter:
        standing = self.session.scalars(
            select(Adjustment).where(Adjustment.ticket_id == self.ticket.id, Adjustment.resumed_at.is_(None))
        ).all()
        adjusting.resume(self.session, adjustment_id=standing[-1].id, words="报告已出", by=self.responder, now=at(now))
        return self


@pytest.fixture
def matter(session: Session) -> Matter:
    session.info.get("granting", {}).clear()  # what another test found there was taken back with it
    sent = at("09 16:40")
    department = make_department(session, name="市市场监管局")
    ticket = dispatched_ticket(session, department, now=sent, request_type="投诉")
    evidence = Attachment(
        ticket_id=ticket.id, name="委托书.pdf", media_type="application/pdf", size=9, digest="d", added_at=sent
    )
    session.add(evidence)
    session.flush()
    return Matter(
        session=session,
        ticket=ticket,
        department=department,
        responder=make_actor(session, Role.RESPONDER, departments=[department], now=sent),
        dispatcher=make_actor(session, Role.DISPATCHER, name="陈派单", now=sent),
        supervisor=make_actor(session, Role.SUPERVISOR, now=sent),
        evidence_id=evidence.id,
    )


def elsewhere(matter: Matter) -> Department:
    return make_department(matter.session, name="市住建局")


# Working days after Friday 9 October 2026: Sat 10 (make-up) is the first, then 12 13 14 15 16, 19 20 21 22: due Thu 22.
CHANGED: list[tuple[str, Callable[[Matter], object], str]] = [
    ("nothing changed: the make-up Saturday is the first of ten working days", lambda _: None, "10-22 18:00"),
    ("stood Mon to Wed: three working days later", lambda m: m.stands("12 09:30", "10-14"), "10-27 18:00"),
    ("stood over a weekend only: nothing is won", lambda m: m.stands("16 18:30", "10-18"), "10-22 18:00"),
    ("stood from Friday to Monday: two working days", lambda m: m.stands("16 10:00", "10-19"), "10-26 18:00"),
    ("extended by five", lambda m: m.is_extended("20 09:00", 5), "10-29 18:00"),
    ("stood three days, then extended by five", lambda m: (m.stands("12 09:30", "10-14"), m.is_extended("20 09:00", 5)), "11-03 18:00"),
    ("extended by five, then stood three days", lambda m: (m.is_extended("12 09:00", 5), m.stands("19 09:30", "10-21")), "11-03 18:00"),
    ("stood, then the type was corrected to help: five days and the pause", lambda m: (m.stands("12 09:30", "10-14"), m.becomes("15 10:00", request_type=RequestType.HELP)), "10-20 18:00"),
    ("the type was corrected first, then it stood", lambda m: (m.becomes("12 09:00", request_type=RequestType.HELP), m.stands("12 09:30", "10-14")), "10-20 18:00"),
    ("corrected to help and back again: as if nothing had been", lambda m: (m.becomes("12 09:00", request_type=RequestType.HELP), m.becomes("13 09:00", request_type=RequestType.COMPLAINT)), "10-22 18:00"),
    ("became urgent: 24 hours from the dispatch, long gone", lambda m: m.becomes("12 09:00", urgency=Urgency.URGENT), "10-10 16:40"),
    ("classed as difficult: fifteen working days from the dispatch", lambda m: m.is_classed("12 09:00", "疑难复杂"), "10-29 18:00"),
    ("classed as difficult while it stood: the pause stays", lambda m: (m.stands("12 09:30", "10-14"), m.is_classed("13 09:00", "疑难复杂")), "11-03 18:00"),
    ("classed as difficult, then the type corrected: the class stays", lambda m: (m.is_classed("12 09:00", "疑难复杂"), m.becomes("13 09:00", request_type=RequestType.HELP)), "10-29 18:00"),
    ("resumed after one day instead of three", lambda m: (m.stands("12 09:30", "10-14"), m.goes_on("13 09:00")), "10-23 18:00"),
    ("resumed early, stood again: both pauses count", lambda m: (m.stands("12 09:30", "10-14"), m.goes_on("13 09:00"), m.stands("14 09:00", "10-14")), "10-26 18:00"),
    ("returned and sent elsewhere on Monday: the new department has its whole ten days", lambda m: (m.goes_back("12 17:00"), m.goes_to("12 17:30", elsewhere(m))), "10-26 18:00"),
    ("returned and sent to the same department again: refused, the first clock runs on", lambda m: (m.goes_back("12 17:00"), m.goes_to("12 17:30", m.department)), "10-22 18:00"),
    ("stood, returned, sent elsewhere: the pause was before the new department's time", lambda m: (m.stands("10 09:30", "10-10"), m.goes_back("12 17:00"), m.goes_to("12 17:30", elsewhere(m))), "10-26 18:00"),
    ("stood, returned, sent to the same department again: the pause is not forgotten", lambda m: (m.stands("10 09:30", "10-10"), m.goes_back("12 17:00"), m.goes_to("12 17:30", m.department)), "10-23 18:00"),
    ("classed as difficult, returned, sent elsewhere: the class goes with it", lambda m: (m.is_classed("12 09:00", "疑难复杂"), m.goes_back("12 17:00"), m.goes_to("12 17:30", elsewhere(m))), "11-02 18:00"),
    ("sent elsewhere, then stood there", lambda m: (m.goes_back("12 17:00"), m.goes_to("12 17:30", elsewhere(m)), m.stands("19 09:30", "10-20")), "10-28 18:00"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "happens", "due"), CHANGED, ids=[what for what, _, _ in CHANGED])
def test_a_ticket_that_is_changed_on_its_way_is_due(
    matter: Matter, what: str, happens: Callable[[Matter], object], due: str
) -> None:
    del what
    happens(matter)
    assert matter.due == due


def test_the_citizens_total_runs_on_when_another_department_begins_anew(matter: Matter) -> None:
    matter.stands("10 09:30", "10-10")
    matter.goes_back("12 17:00")
    matter.goes_to("12 17:30", elsewhere(matter))
    total = matter.row.steps["total"]
    assert datetime.fromisoformat(total["due"]).astimezone(SHANGHAI).strftime("%m-%d %H:%M") == "10-23 18:00"
    assert any("总时限继续计算" in step for step in total["steps"])
    assert any("鉴定" in step for step in total["steps"])


def test_a_refused_return_is_a_step_and_wins_no_time(matter: Matter) -> None:
    adjusting.note_return_refused(
        matter.session, matter.row, reason="不属本单位职责", by=matter.dispatcher, now=at("12 16:00")
    )
    assert matter.due == "10-22 18:00"
    assert any("退单被驳回（不属本单位职责），仍按原时限计算" in step for step in matter.row.steps["handle"]["steps"])


def test_the_steps_say_who_let_the_clock_stand_and_how_long(matter: Matter) -> None:
    matter.stands("12 09:30", "10-14")
    (told,) = [step for step in matter.row.steps["handle"]["steps"] if "暂停" in step]
    assert "暂停 3 个工作日" in told
    assert "鉴定，热线中心陈派单批准" in told
    matter.is_extended("20 09:00", 5)
    assert any("获准延期 5 个工作日（热线中心陈派单批准）" in step for step in matter.row.steps["handle"]["steps"])


def test_a_wish_that_is_refused_changes_nothing_and_says_why(matter: Matter) -> None:
    wish = matter.decides(matter.asks_to_stand("12 09:30", "10-14"), "12 11:00", approve=False)
    assert wish.state is AdjustmentState.REFUSED
    assert matter.due == "10-22 18:00"
    matter.session.flush()
    last = timeline(matter.session, matter.ticket.id)[-1]
    assert (last.act, last.note) == (Act.REFUSE_TIME, "理由不充分。")
    with pytest.raises(Conflict):
        matter.decides(wish, "12 12:00")


def test_what_was_asked_in_time_is_granted_however_late_the_decision(matter: Matter) -> None:
    wish = matter.asks_for("22 17:50", 5)
    matter.decides(wish, "23 09:30")
    assert matter.due == "10-29 18:00"


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(HotlineError) as caught:
        act()
    if isinstance(caught.value, Invalid):
        return " ".join(words for texts in caught.value.fields.values() for words in texts)
    return caught.value.message


def test_an_extension_after_the_limit_is_refused(matter: Matter) -> None:
    assert "届满" in refusal(lambda: matter.asks_for("22 18:01", 5))


def test_a_second_extension_needs_the_higher_level(matter: Matter) -> None:
    matter.is_extended("12 09:00", 5)
    second = matter.asks_for("13 09:00", 3)
    assert second.higher_level
    with pytest.raises(Denied, match="督办主管"):
        matter.decides(second, "13 10:00")
    matter.decides(second, "13 10:00", by=matter.supervisor)
    assert matter.due == "11-03 18:00"


def test_the_database_itself_refuses_a_second_extension_without_a_higher_level(matter: Matter) -> None:
    matter.is_extended("12 09:00", 5)
    second = matter.asks_for("13 09:00", 3)
    second.higher_level = False
    second.state, second.decided_at, second.decided_by = (
        AdjustmentState.APPROVED,
        at("13 10:00"),
        matter.dispatcher.user_id,
    )
    with pytest.raises(IntegrityError, match="uq_adjustments_extended"):
        matter.session.flush()


@pytest.mark.parametrize(
    ("cause", "until", "words"),
    [
        ("等待当事人材料", "11-02", "最长 10 个工作日"),
        ("鉴定", "12-31", "最长 30 个工作日"),
        ("心情不好", "10-14", "请选择挂起事由"),
        ("鉴定", "10-11", "不能早于今天"),
    ],
)
def test_a_pause_that_the_profile_does_not_allow_is_refused(matter: Matter, cause: str, until: str, words: str) -> None:
    assert words in refusal(lambda: matter.asks_to_stand("12 09:30", until, cause))


def test_a_pause_needs_evidence_that_is_on_this_ticket(matter: Matter, session: Session) -> None:
    other = dispatched_ticket(session, matter.department, now=at("09 10:00"))
    session.get_one(Attachment, matter.evidence_id).ticket_id = other.id
    session.flush()
    assert "证明材料" in refusal(lambda: matter.asks_to_stand("12 09:30", "10-14"))


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("ends_at = latest_at + interval '1 second'", "no_longer_than_allowed"),
        ("ends_at = starts_at", "interval_has_length"),
        ("starts_at = asked_at - interval '1 minute'", "begins_when_asked"),
        ("evidence_id = NULL", "suspension_is_whole"),
        # By the figures of the profile that rules the dispatch: 30 working days for 鉴定, 10 for 等待当事人材料.
        ("max_workdays = 31", "pause_is_allowed"),
        ("cause = '等待当事人材料'", "pause_is_allowed"),
        ("cause = '心情不好', max_workdays = 1", "pause_is_allowed"),
        (
            "latest_at = starts_at + interval '200 days', ends_at = starts_at + interval '190 days'",
            "allowed_is_plausible",
        ),
        ("decided_by = asked_by, decided_at = asked_at, state = 'approved'", "two_persons"),
        ("state = 'refused', decided_at = asked_at", "refused_has_words"),
    ],
)
def test_what_must_not_be_asked_the_database_refuses(matter: Matter, change: str, constraint: str) -> None:
    wish = matter.asks_to_stand("12 09:30", "10-14")
    with pytest.raises(IntegrityError, match=constraint):
        matter.session.execute(text(f"UPDATE adjustments SET {change} WHERE id = {wish.id}"))


def test_two_pauses_of_one_dispatch_never_overlap(matter: Matter) -> None:
    first = matter.asks_to_stand("12 09:30", "10-14")
    assert "请勿重复提交" in refusal(lambda: matter.asks_to_stand("12 09:40", "10-15"))
    matter.decides(first, "12 10:00")
    assert "挂起中" in refusal(lambda: matter.asks_to_stand("13 09:30", "10-16"))
    columns = "ticket_id, dispatch_id, kind, state, cause, evidence_id, starts_at, ends_at, latest_at, max_workdays, asked_at, decided_at"
    with pytest.raises(IntegrityError, match="ex_adjustments_one_pause_at_a_time"):
        matter.session.execute(
            text(f"INSERT INTO adjustments ({columns}) SELECT {columns} FROM adjustments WHERE id = {first.id}")
        )


def test_nobody_decides_his_own_wish_and_no_department_its_own(matter: Matter) -> None:
    wish = matter.asks_to_stand("12 09:30", "10-14")
    insider = Actor(
        user_id=matter.dispatcher.user_id, role=Role.DISPATCHER, department_ids=frozenset({matter.department.id})
    )
    for who in (matter.responder, insider):
        with pytest.raises(Denied):
            matter.decides(wish, "12 10:00", by=who)


def test_the_schedule_lets_the_clock_run_again_and_writes_it_down_once(matter: Matter) -> None:
    pause = matter.stands("12 09:30", "10-14")
    assert matter.row.suspended_until == pause.ends_at
    assert adjusting.resume_due(matter.session, now=at("14 23:59")) == 0
    assert adjusting.resume_due(matter.session, now=at("15 00:00")) == 1
    assert adjusting.resume_due(matter.session, now=at("15 00:01")) == 0
    assert matter.row.suspended_until is None
    assert matter.due == "10-27 18:00"
    matter.session.flush()
    assert [one.act for one in timeline(matter.session, matter.ticket.id)][-1] is Act.RESUME


def test_the_citizen_is_told_once_of_each_fact(matter: Matter) -> None:
    pause = matter.stands("12 09:30", "10-14")
    matter.is_extended("20 09:00", 5)
    for _ in range(2):
        for change, what in (
            (pause, Act.SUSPEND),
            (adjusting.of_ticket(matter.session, matter.ticket.id)[1].row, Act.EXTEND),
        ):
            event = ClockAdjusted(ticket_id=matter.ticket.id, adjustment_id=change.id, what=what.value)
            assert telling.tell_citizen(matter.session, event, now=at("20 09:01"))
    keyring = keyring_of(matter.session)
    said = [keyring.open(row.sealed) for row in matter.session.scalars(select(TextMessage).order_by(TextMessage.id))]
    assert [one["to"] for one in said] == ["13900001234", "13900001234"]
    assert "因鉴定暂停计时至 10月14日" in said[0]["body"]
    assert "延期 5 个工作日，办理期限为 11月03日18:00" in said[1]["body"]


def test_an_answer_ends_the_pause_and_lets_open_wishes_lapse(matter: Matter) -> None:
    pause = matter.stands("12 09:30", "10-14")
    wish = matter.asks_for("12 10:00", 5)
    routing.answer(
        matter.session,
        ticket_id=matter.ticket.id,
        version=None,
        feedback=feedback(),
        by=matter.responder,
        now=at("13 10:00"),
    )
    matter.session.flush()
    matter.session.expire_all()
    assert (pause.ends_at, pause.resumed_at) == (at("13 10:00"), at("13 10:00"))
    assert wish.state is AdjustmentState.LAPSED
    assert matter.row.suspended_until is None
    assert adjusting.resume_due(matter.session, now=at("15 09:00")) == 0


def test_a_wish_can_be_taken_back_and_asked_again(matter: Matter) -> None:
    wish = matter.asks_for("12 10:00", 5)
    adjusting.take_back(matter.session, adjustment_id=wish.id, by=matter.responder, now=at("12 11:00"))
    assert matter.asks_for("12 12:00", 3).workdays == 3


def test_an_answered_ticket_asks_for_nothing_more(session: Session) -> None:
    sent = at("09 16:40")
    department = make_department(session)
    responder = make_actor(session, Role.RESPONDER, departments=[department], now=sent)
    ticket = answered_ticket(session, department, by=responder, now=sent)
    with pytest.raises(HotlineError):
        adjusting.ask_extension(
            session,
            ticket_id=ticket.id,
            workdays=3,
            reason="复杂",
            basis="第十八条",
            by=responder,
            now=sent + timedelta(hours=1),
        )


def test_a_ticket_keeps_the_profile_version_of_its_dispatch(matter: Matter) -> None:
    older = {**load("default").to_mapping(), "version": "2025.1", "rows": [{"id": "all", "handle": {"workdays": 4}}]}
    matter.session.add(ProfileVersion(name="default", version="2025.1", body=older, first_used_at=at("09 10:00")))
    matter.row.profile = "default 2025.1"
    matter.session.flush()
    matter.stands("12 09:30", "10-12")
    assert matter.due == "10-15 18:00"


def test_what_a_profile_said_at_a_dispatch_is_kept_with_it(db: Database) -> None:
    with db.begin() as session:
        dispatched_ticket(session, make_department(session), now=at("09 16:40"))
    with db.read() as session:
        kept = session.get_one(ProfileVersion, ("default", load("default").version))
        assert Profile.from_mapping(kept.body) == load("default")


def test_stored_counters_know_what_waits(matter: Matter) -> None:
    wish = matter.asks_to_stand("12 09:30", "10-14")
    matter.asks_for("12 09:40", 5)
    matter.session.flush()
    assert counters(matter.session, ["adjustments.waiting"]) == {"adjustments.waiting": 2}
    matter.decides(wish, "12 10:00")
    matter.session.flush()
    assert counters(matter.session, ["adjustments.waiting"]) == {"adjustments.waiting": 1}
    assert [one.row.id for one in adjusting.waiting(matter.session).rows] != [wish.id]
    assert [one.row.id for one in adjusting.decided(matter.session).rows] == [wish.id]


def test_the_audit_closes_after_every_sort_of_change(matter: Matter) -> None:
    matter.stands("12 09:30", "10-14")
    matter.is_extended("12 10:00", 5)
    matter.is_classed("13 09:00", "疑难复杂")
    matter.session.flush()
    assert [
        one for one in _audited(matter.session) if one.startswith(("held", "a_clock", "nothing_is", "counters"))
    ] == []


def _audited(session: Session) -> list[str]:
    """Return what does not close; on the test's own snapshot, for the audit's own opens the transaction."""
    from reports import audit as module

    found = []
    for rule in module._RULES:
        used = {
            "moves": module.legal_moves(),
            "handling": ["sign"],
            "most_tries": 8,
            "attempts": 3,
            "delivered_by": at("01 00:00"),
        }
        given = {name: value for name, value in used.items() if f":{name}" in rule.sql}
        if session.execute(text(rule.sql), given).first() is not None:
            found.append(rule.name)
    return found
