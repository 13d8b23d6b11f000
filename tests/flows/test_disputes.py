"""Disputes: opened after three units, argued, ruled on by two seats, or ended by designation (domain.md 2.6, 2.7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from hotline.core.db import Database
from hotline.core.errors import Conflict, Denied, HotlineError, Invalid, WrongState
from hotline.core.permissions import SYSTEM, Actor, Role
from hotline.tickets import actions as tickets
from hotline.tickets.models import JournalEntry, Ticket
from hotline.tickets.states import Act, State
from hotline.tickets.vocabulary import RequestType
from reports.audit import audit
from routing import actions as routing
from routing.answers import parts
from routing.duty import disputing, precedents, returning
from routing.duty import queries as duty_queries
from routing.duty.models import Dispute, Position, Ruling
from routing.duty.rules import DUTY_SETTING, Cause, DisputeState, ReturnState, RulingState, Seat, Stance
from routing.learning.label_models import LabelTask, Provenance, TrainingLabel
from routing.models import Department, DepartmentKind, Dispatch, Ending, Standing
from routing.queries import current_dispatch
from tests.flows.test_at_once import at_once
from tests.makers import (
    ask_return,
    dispatched_ticket,
    feedback,
    make_actor,
    make_category,
    make_department,
    make_region,
    ruled_ticket,
)


@dataclass
class Case:
    """A ticket of a district's place, three bureaus that say that it is not theirs, and the people who decide."""

    session: Session
    now: datetime
    ticket: Ticket
    units: list[Department]
    people: list[Actor]
    district: Department
    dispatcher: Actor
    supervisor: Actor
    arbiter: Actor

    def bounces(self, times: int = 3) -> Dispute | None:
        for turn in range(times):
            at = self.now + timedelta(hours=turn)
            asked = ask_return(
                self.session, self.ticket, by=self.people[turn], suggested=self.units[(turn + 1) % 3], now=at
            )
            returning.uphold(
                self.session,
                return_id=asked.id,
                department_id=self.units[(turn + 1) % 3].id,
                words="依据成立。",
                by=self.dispatcher,
                now=at + timedelta(minutes=10),
            )
        self.session.flush()
        return self.dispute()

    def dispute(self) -> Dispute | None:
        return self.session.scalars(select(Dispute).where(Dispute.ticket_id == self.ticket.id)).first()

    def held(self) -> Dispatch:
        found = current_dispatch(self.session, self.ticket.id)
        assert found is not None
        return found

    def seated(self, dispute: Dispute) -> None:
        disputing.name_panel(
            self.session,
            dispute_id=dispute.id,
            seats=[(self.supervisor.user_id or 0, Seat.HOTLINE), (self.arbiter.user_id or 0, Seat.ESTABLISHMENT)],
            by=self.dispatcher,
            now=self.now,
        )

    def proposed(
        self,
        dispute: Dispute,
        lead: Department,
        *helping: Department,
        request_type: RequestType | None = None,
        by: Actor | None = None,
    ) -> Ruling:
        return disputing.propose_ruling(
            self.session,
            dispute_id=dispute.id,
            lead_id=lead.id,
            assist_ids=[one.id for one in helping],
            words="设施由其建设并管养。",
            basis="三定规定第二条第五项",
            request_type=request_type,
            by=by or self.supervisor,
            now=self.now + timedelta(days=1),
        )

    def ruled(
        self, dispute: Dispute, lead: Department, *helping: Department, request_type: RequestType | None = None
    ) -> Dispatch | None:
        self.seated(dispute)
        ruling = self.proposed(dispute, lead, *helping, request_type=request_type)
        return disputing.confirm_ruling(
            self.session, ruling_id=ruling.id, by=self.arbiter, now=self.now + timedelta(days=1, hours=1)
        )


def make_case(session: Session, now: datetime) -> Case:
    units = [make_department(session, name=f"市{n}局") for n in "甲乙丙"]
    region = make_region(session, name="北苑区")
    district = make_department(session, name="北苑区政府", kind=DepartmentKind.DISTRICT, region_code=region.code)
    ticket = dispatched_ticket(session, units[0], now=now, region_id=region.id, request_type="求助")
    ticket.category_id = make_category(session).id
    session.flush()
    return Case(
        session=session,
        now=now,
        ticket=ticket,
        units=units,
        people=[make_actor(session, Role.RESPONDER, departments=[unit], now=now) for unit in units],
        district=district,
        dispatcher=make_actor(session, Role.DISPATCHER, now=now),
        supervisor=make_actor(session, Role.SUPERVISOR, name="督办主管", now=now),
        arbiter=make_actor(session, Role.ARBITER, name="编办专员", now=now),
    )


@pytest.fixture
def case(session: Session, now: datetime) -> Case:
    return make_case(session, now)


def test_after_three_dispatches_without_an_owner_a_dispute_opens_and_the_place_works_meanwhile(case: Case) -> None:
    assert case.bounces(2) is None
    late = case.now + timedelta(days=1)
    asked = ask_return(case.session, case.ticket, by=case.people[2], suggested=case.units[0], now=late)
    returning.uphold(case.session, return_id=asked.id, department_id=case.units[0].id, by=case.dispatcher, now=late)
    dispute = case.dispute()
    assert dispute is not None
    assert (dispute.cause, dispute.state) == (Cause.RETURNS, DisputeState.OPEN)
    assert (case.held().department_id, case.held().standing) == (case.district.id, Standing.INTERIM)
    assert (case.ticket.state, case.ticket.returned) == (State.DISPATCHED, 3)
    assert duty_queries.party_ids(case.session, dispute.id) == {*(unit.id for unit in case.units), case.district.id}
    # The citizen's total is still that of the first dispatch: five working days from 8 October, the 10th counts.
    assert datetime.fromisoformat(case.held().steps["total"]["due"]) == datetime.fromisoformat(
        "2026-10-14T18:00:00+08:00"
    )


def test_the_city_sets_after_how_many_and_how_long(case: Case) -> None:
    admin = make_actor(case.session, Role.ADMINISTRATOR, now=case.now)
    tickets.set_setting(case.session, name=DUTY_SETTING, value={"dispatches": 2, "workdays": 3}, by=admin, now=case.now)
    dispute = case.bounces(2)
    assert dispute is not None
    assert dispute.due_at == datetime.fromisoformat("2026-10-12T18:00:00+08:00")


OPENED: list[tuple[str, str]] = [
    ("2026-10-08T10:00", "2026-10-14T18:00"),  # Thu; Fri 9, Sat 10 (make-up), Mon 12, Tue 13, Wed 14
    ("2026-09-29T17:00", "2026-10-11T18:00"),  # before the holiday week
    ("2026-10-10T23:59", "2026-10-16T18:00"),  # on the make-up Saturday: counting begins on Monday
    ("2026-02-13T09:00", "2026-02-27T18:00"),  # before the Spring Festival
]


@pytest.mark.parametrize("opened", OPENED, ids=lambda pair: pair[0])
def test_the_limit_of_a_dispute_counts_working_days_from_the_next_one(case: Case, opened: tuple[str, str]) -> None:
    at, due = (datetime.fromisoformat(f"{one}:00+08:00") for one in opened)
    dispute = disputing.open_dispute(
        case.session, ticket_id=case.ticket.id, version=None, words="职责交叉", by=case.dispatcher, now=at
    )
    from routing.clocks import granting
    from routing.clocks.deadlines import due_at

    assert dispute.due_at == due_at(granting.calendar(case.session), at, workdays=5)
    if opened[0].startswith("2026-10"):
        assert dispute.due_at == due
    assert len(dispute.steps) == 3


def test_the_hotline_opens_one_on_request_and_who_holds_the_ticket_goes_on_with_its_clock(case: Case) -> None:
    due, asked = (
        case.ticket.due_at,
        ask_return(case.session, case.ticket, by=case.people[0], suggested=case.units[1], now=case.now),
    )
    dispute = disputing.open_dispute(
        case.session, ticket_id=case.ticket.id, version=None, words="两局各执一词", by=case.dispatcher, now=case.now
    )
    case.session.refresh(asked)
    assert asked.state is ReturnState.LAPSED
    assert (dispute.interim_id, case.held().standing, case.ticket.due_at) == (
        case.units[0].id,
        Standing.INTERIM,
        due,
    )
    with pytest.raises(Conflict, match="正在裁定"):
        disputing.open_dispute(
            case.session, ticket_id=case.ticket.id, version=None, words="再来", by=case.dispatcher, now=case.now
        )
    with pytest.raises(WrongState, match="裁定前由本单位先行办理"):
        ask_return(case.session, case.ticket, by=case.people[0], suggested=case.units[1], now=case.now)


def test_a_unit_opens_one_only_while_it_holds_the_ticket_and_its_window_is_open(case: Case) -> None:
    given: dict[str, Any] = {"ticket_id": case.ticket.id, "version": None, "words": "三定无此职责"}
    with pytest.raises(Denied):
        disputing.open_dispute(case.session, **given, by=case.people[1], now=case.now)
    with pytest.raises(WrongState, match="届满"):
        disputing.open_dispute(case.session, **given, by=case.people[0], now=case.now + timedelta(days=9))
    with pytest.raises(Invalid):
        disputing.open_dispute(case.session, **{**given, "words": " "}, by=case.people[0], now=case.now)
    assert disputing.open_dispute(case.session, **given, by=case.people[0], now=case.now).cause is Cause.DEPARTMENT


def test_the_parties_put_their_positions_in_and_nobody_else_does(case: Case) -> None:
    dispute = case.bounces()
    assert dispute is not None
    given: dict[str, Any] = {"dispute_id": dispute.id, "words": "管养移交在先。", "basis": "移交协议第三条"}
    disputing.argue(case.session, **given, stance=Stance.NOT_OURS, by=case.people[0], now=case.now)
    disputing.argue(case.session, **given, stance=Stance.WE_HELP, by=case.people[0], now=case.now)
    stranger = make_actor(case.session, Role.RESPONDER, departments=[make_department(case.session)], now=case.now)
    with pytest.raises(Denied, match="不是本争议的争议方"):
        disputing.argue(case.session, **given, stance=Stance.OURS, by=stranger, now=case.now)
    with pytest.raises(Invalid) as refusal:
        disputing.argue(
            case.session, dispute_id=dispute.id, stance=None, words="", basis="", by=case.people[1], now=case.now
        )
    assert set(refusal.value.fields) == {"stance", "words", "basis"}
    said = case.session.scalars(select(Position.stance).order_by(Position.id)).all()
    assert said == [Stance.NOT_OURS, Stance.WE_HELP]


def test_a_panel_needs_the_hotline_and_another_and_nobody_of_a_party(case: Case) -> None:
    dispute = case.bounces()
    assert dispute is not None
    hotline, other = case.supervisor.user_id or 0, case.arbiter.user_id or 0
    insider = make_actor(case.session, Role.ARBITER, departments=[case.units[0]], now=case.now).user_id or 0
    wrong: list[tuple[list[tuple[int, Seat]], str]] = [
        ([(hotline, Seat.HOTLINE)], "以外"),
        ([(other, Seat.JUSTICE)], "须有热线"),
        ([(hotline, Seat.HOTLINE), (hotline, Seat.JUSTICE)], "一个席位"),
        ([(hotline, Seat.JUSTICE), (other, Seat.HOTLINE)], "身份不符"),
        ([(hotline, Seat.HOTLINE), (insider, Seat.JUSTICE)], "属于争议单位"),
        ([(hotline, Seat.HOTLINE), (case.people[0].user_id or 0, Seat.OTHER)], "不能参加裁定"),
    ]
    for seats, words in wrong:
        with pytest.raises(Invalid) as refusal:
            disputing.name_panel(case.session, dispute_id=dispute.id, seats=seats, by=case.dispatcher, now=case.now)
        assert words in refusal.value.fields["panel"][0]


def test_a_ruling_binds_when_another_seat_confirms_it_and_moves_the_ticket_to_its_lead(case: Case) -> None:
    dispute = case.bounces()
    assert dispute is not None
    sent = case.ruled(dispute, case.units[1], case.units[2])
    assert sent is not None
    assert (sent.department_id, sent.standing, case.ticket.state) == (
        case.units[1].id,
        Standing.BINDING,
        State.DISPATCHED,
    )
    interim = case.session.get_one(Dispatch, sent.id - 1)
    assert (interim.department_id, interim.ending) == (case.district.id, Ending.REASSIGNED)
    assert dispute.state is DisputeState.RULED
    assert [part.department for part in parts.of_ticket(case.session, case.ticket.id)] == [case.units[2].name]
    with pytest.raises(WrongState, match="不能再退单"):
        ask_return(
            case.session,
            case.ticket,
            by=case.people[1],
            suggested=case.units[0],
            now=case.now + timedelta(days=1, hours=2),
        )
    learnt = case.session.scalars(
        select(TrainingLabel).where(
            TrainingLabel.ticket_id == case.ticket.id,
            TrainingLabel.task == LabelTask.DEPARTMENT,
            TrainingLabel.superseded_at.is_(None),
        )
    ).one()
    assert (learnt.label, learnt.provenance) == (case.units[1].code, Provenance.RULED)
    acts = case.session.scalars(
        select(JournalEntry.act)
        .where(JournalEntry.ticket_id == case.ticket.id)
        .order_by(JournalEntry.id.desc())
        .limit(3)
    ).all()
    assert acts == [Act.SHARE, Act.REASSIGN, Act.RULE]
    with pytest.raises(Conflict, match="已经裁定"):
        disputing.open_dispute(
            case.session, ticket_id=case.ticket.id, version=None, words="不服", by=case.dispatcher, now=case.now
        )


def test_a_ruling_for_who_works_on_it_already_gains_no_time(case: Case) -> None:
    dispute = case.bounces()
    assert dispute is not None
    before = (case.held().id, case.ticket.due_at)
    sent = case.ruled(dispute, case.district)
    assert sent is not None
    assert (sent.id, case.ticket.due_at) == before
    assert sent.standing is Standing.BINDING


def test_one_member_alone_and_two_of_the_same_side_rule_nothing(case: Case) -> None:
    dispute = case.bounces()
    assert dispute is not None
    second = make_actor(case.session, Role.ARBITER, now=case.now)
    disputing.name_panel(
        case.session,
        dispute_id=dispute.id,
        seats=[
            (case.supervisor.user_id or 0, Seat.HOTLINE),
            (case.arbiter.user_id or 0, Seat.ESTABLISHMENT),
            (second.user_id or 0, Seat.JUSTICE),
        ],
        by=case.dispatcher,
        now=case.now,
    )
    ruling = case.proposed(dispute, case.units[0], by=case.arbiter)
    for by in (case.arbiter, second):
        with pytest.raises(Denied, match="由另一方会签"):
            disputing.confirm_ruling(case.session, ruling_id=ruling.id, by=by, now=case.now)
    with pytest.raises(Conflict, match="正在等待会签"):
        case.proposed(dispute, case.units[1])
    disputing.drop_ruling(case.session, ruling_id=ruling.id, words="依据已废止。", by=case.supervisor, now=case.now)
    again = case.proposed(dispute, case.units[1])
    assert again.state is RulingState.PROPOSED
    outsider = make_actor(case.session, Role.SUPERVISOR, now=case.now)
    with pytest.raises(Denied, match="不是本争议裁定小组"):
        disputing.confirm_ruling(case.session, ruling_id=again.id, by=outsider, now=case.now)


def test_a_ruling_after_the_answer_holds_for_the_rework(case: Case) -> None:
    dispute = case.bounces()
    assert dispute is not None
    mayor = make_actor(case.session, Role.RESPONDER, departments=[case.district], now=case.now)
    routing.answer(
        case.session,
        ticket_id=case.ticket.id,
        version=None,
        feedback=feedback(),
        by=mayor,
        now=case.now + timedelta(hours=5),
    )
    assert case.ruled(dispute, case.units[0]) is None
    assert case.ticket.state is State.ANSWERED
    auditor = make_actor(case.session, Role.SUPERVISOR, now=case.now)
    again = routing.redispatch(
        case.session, case.ticket, reason="没有修好", by=auditor, now=case.now + timedelta(days=2)
    )
    assert (again.department_id, again.standing) == (case.units[0].id, Standing.BINDING)


def test_a_supervisor_designates_with_a_reason_and_the_dispute_ends(case: Case) -> None:
    dispute = case.bounces()
    assert dispute is not None
    given: dict[str, Any] = {"ticket_id": case.ticket.id, "version": None, "department_id": case.units[2].id}
    with pytest.raises(Invalid):
        disputing.designate(case.session, **given, reason=" ", by=case.supervisor, now=case.now + timedelta(days=1))
    with pytest.raises(Denied):
        disputing.designate(case.session, **given, reason="首接负责", by=case.dispatcher, now=case.now)
    sent = disputing.designate(
        case.session, **given, reason="首接负责", by=case.supervisor, now=case.now + timedelta(days=1)
    )
    assert (sent.department_id, sent.standing) == (case.units[2].id, Standing.BINDING)
    assert (dispute.state, dispute.ended_words) == (DisputeState.DESIGNATED, "首接负责")
    with pytest.raises(WrongState, match="不能再退单"):
        ask_return(case.session, case.ticket, by=case.people[2], suggested=case.units[0], now=case.now)


def test_when_the_limit_passes_the_hotline_designates_once(case: Case) -> None:
    dispute = case.bounces()
    assert dispute is not None
    assert disputing.designate_overdue(case.session, now=dispute.due_at) == 0
    late = dispute.due_at + timedelta(minutes=1)
    assert [disputing.designate_overdue(case.session, now=late) for _ in range(2)] == [1, 0]
    assert (dispute.state, dispute.ended_by) == (DisputeState.DESIGNATED, None)
    assert (case.held().department_id, case.held().standing) == (case.district.id, Standing.BINDING)
    written = case.session.scalars(
        select(JournalEntry).where(JournalEntry.ticket_id == case.ticket.id, JournalEntry.act == Act.DESIGNATE)
    ).all()
    assert [entry.by_role for entry in written] == [SYSTEM.role]


def test_a_withdrawn_ticket_takes_its_dispute_along(case: Case) -> None:
    dispute = case.bounces()
    assert dispute is not None
    tickets.withdraw(
        case.session,
        ticket_id=case.ticket.id,
        version=case.ticket.version,
        words="不用办了",
        by=case.dispatcher,
        now=case.now + timedelta(hours=5),
    )
    case.session.flush()
    case.session.refresh(dispute)
    assert dispute.state is DisputeState.LAPSED


def test_a_ruling_is_a_precedent_for_its_kind_of_matter_until_it_is_retired(case: Case) -> None:
    dispute = case.bounces()
    assert dispute is not None
    case.ruled(dispute, case.units[1], case.units[2])
    other = dispatched_ticket(
        case.session,
        case.units[0],
        now=case.now,
        region_id=case.ticket.region_id,
        title="路牌歪了看不清",
        content="小区北门的路牌被风吹歪了，转盘那里看不清往哪走，请派人扶正。",
    )
    assert precedents.precedents_for(case.session, other) == []
    other.category_id = case.ticket.category_id
    (found,) = precedents.precedents_for(case.session, other)
    assert (found.lead, found.helping, found.why) == (
        case.units[1].name,
        (case.units[2].name,),
        "同一事件类别、同一区域",
    )
    disputing.retire_precedent(case.session, ruling_id=found.ruling_id, by=case.dispatcher, now=case.now)
    case.session.flush()
    assert precedents.precedents_for(case.session, other) == []


def test_a_ruling_that_names_a_type_is_cited_for_that_type_alone_and_its_row_names_it_too(case: Case) -> None:
    from routing.catalogue import editions as catalogue

    dispute = case.bounces()
    assert dispute is not None
    case.ruled(dispute, case.units[1], request_type=RequestType.COMPLAINT)
    same, other = (
        dispatched_ticket(case.session, case.units[0], now=case.now, request_type=kind) for kind in ("投诉", "咨询")
    )
    for one in (same, other):
        one.category_id = case.ticket.category_id
    (found,) = precedents.precedents_for(case.session, same, near=[case.ticket.id])
    assert (found.why, found.same_type) == ("同一事件类别、同一诉求类型、内容相近", True)
    # Another type is not what was ruled on, however alike it reads.
    assert precedents.precedents_for(case.session, other, near=[case.ticket.id]) == []
    row_id = disputing.into_catalogue(case.session, ruling_id=found.ruling_id, by=case.supervisor, now=case.now)
    draft = catalogue.draft(case.session)
    assert draft is not None
    assert catalogue.row_of(case.session, draft.id, row_id).request_type == RequestType.COMPLAINT


def test_among_rulings_on_one_category_the_nearer_in_words_goes_first(session: Session, now: datetime) -> None:
    unit, region = make_department(session, "paifa"), make_region(session, "9901", name="北苑区")
    category = make_category(session)
    given: dict[str, Any] = {"region_id": region.id, "category_id": category.id}
    words = ("人行道上的盲道被共享单车占满了，盲人走不过去。", "小区门口烧烤摊油烟大，每晚摆到半夜还放音响。")
    near, _far = (
        ruled_ticket(
            session,
            unit,
            lead=make_department(session, f"paifa{at}"),
            title=content[:12],
            content=content,
            now=now + timedelta(hours=at),
            **given,
        )
        for at, content in enumerate(words)
    )
    ticket = dispatched_ticket(session, unit, now=now, title=words[0][:12], content=words[0] + "请清走。", **given)
    session.flush()
    first, second = precedents.precedents_for(session, ticket)
    assert (first.ruling_id, first.why) == (near.id, "同一事件类别、同一区域、内容相近")
    assert second.why == "同一事件类别、同一区域"


def test_a_ruling_becomes_a_row_of_the_catalogues_draft_in_one_step(case: Case) -> None:
    from routing.catalogue import editions as catalogue

    dispute = case.bounces()
    assert dispute is not None
    case.ruled(dispute, case.units[1], case.units[2])
    ruling_id = case.session.scalars(select(Ruling.id)).one()
    row_id = disputing.into_catalogue(case.session, ruling_id=ruling_id, by=case.supervisor, now=case.now)
    draft = catalogue.draft(case.session)
    assert draft is not None
    row = catalogue.row_of(case.session, draft.id, row_id)
    assert (row.lead_code, row.co_handlers, row.basis) == (
        case.units[1].code,
        (case.units[2].code,),
        "三定规定第二条第五项",
    )
    assert "职责裁定第" in row.origin


def test_a_ruling_on_an_unclassified_ticket_becomes_a_row_once_the_ticket_is_classified(case: Case) -> None:
    category_id, case.ticket.category_id = case.ticket.category_id, None
    dispute = case.bounces()
    assert dispute is not None
    case.ruled(dispute, case.units[1])
    ruling = case.session.scalars(select(Ruling)).one()
    assert ruling.category_id is None
    with pytest.raises(Invalid) as refused:
        disputing.into_catalogue(case.session, ruling_id=ruling.id, by=case.supervisor, now=case.now)
    assert list(refused.value.fields) == ["category"]
    case.ticket.category_id = category_id
    assert disputing.into_catalogue(case.session, ruling_id=ruling.id, by=case.supervisor, now=case.now)
    case.session.flush()
    assert ruling.category_id == category_id


def committed(db: Database, now: datetime, work: Callable[[Case, Dispute], object]) -> tuple[int, Case]:
    with db.begin() as session:
        case = make_case(session, now)
        dispute = case.bounces()
        assert dispute is not None
        work(case, dispute)
        return dispute.id, case


def test_two_members_who_rule_at_the_same_moment_make_one_ruling(db: Database, now: datetime) -> None:
    dispute_id, case = committed(db, now, lambda case, dispute: case.seated(dispute))
    people, leads = [case.supervisor, case.arbiter], [case.units[0].id, case.units[1].id]

    def propose(number: int) -> str:
        with db.begin() as session:
            disputing.propose_ruling(
                session,
                dispute_id=dispute_id,
                lead_id=leads[number],
                words="理由充分。",
                basis="清单",
                by=people[number],
                now=now + timedelta(days=1),
            )
            return "proposed"

    got = at_once(propose, people=2)
    (error,) = [each for each in got if isinstance(each, HotlineError)]
    assert isinstance(error, Conflict)
    assert "等待会签" in error.message


def test_a_confirmation_and_a_designation_at_the_same_moment_one_wins(db: Database, now: datetime) -> None:
    made: dict[str, int] = {}

    def prepare(case: Case, dispute: Dispute) -> None:
        case.seated(dispute)
        made["ruling"] = case.proposed(dispute, case.units[0]).id

    _, case = committed(db, now, prepare)
    ticket_id, lead = case.ticket.id, case.units[1].id
    at = now + timedelta(days=1, hours=1)

    def act(number: int) -> str:
        with db.begin() as session:
            if number:
                disputing.confirm_ruling(session, ruling_id=made["ruling"], by=case.arbiter, now=at)
                return "ruled"
            if session.scalar(select(Dispute.state)) is DisputeState.OPEN:
                disputing.designate(
                    session,
                    ticket_id=ticket_id,
                    version=case.ticket.version,
                    department_id=lead,
                    reason="首接",
                    by=case.supervisor,
                    now=at,
                )
            return "designated"

    got = at_once(act, people=2)
    with db.read() as session:
        state = session.scalars(select(Dispute.state)).one()
        assert session.scalar(select(func.count()).select_from(Dispatch).where(Dispatch.is_current)) == 1
    assert state in {DisputeState.RULED, DisputeState.DESIGNATED}, got
    with db.read() as session:
        assert {finding.rule for finding in audit(session, now=at)} <= {"outbox_is_delivered_or_waiting"}


def test_the_clock_designates_once_however_many_workers_look(db: Database, now: datetime) -> None:
    _, _ = committed(db, now, lambda _case, _dispute: None)
    late = now + timedelta(days=20)

    def look(_: int) -> int:
        with db.begin() as session:
            return disputing.designate_overdue(session, now=late)

    assert sorted(at_once(look, people=3)) == [0, 0, 1]
    with db.read() as session:
        assert session.scalar(select(func.count()).where(JournalEntry.act == "designate")) == 1


RULE = "UPDATE rulings SET state = 'in_force', confirmed_at = now(), confirmed_by"


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        (f"{RULE} = proposed_by", "two_persons|ruling_is_of_the_panel"),
        (f"{RULE} = (SELECT min(id) FROM users)", "ruling_is_of_the_panel"),
        ("UPDATE rulings SET state = 'in_force'", "ruling_is_of_the_panel|in_force_has_time"),
        (
            """INSERT INTO rulings (dispute_id, lead_id, words, basis, proposed_by, proposed_at)
            SELECT dispute_id, lead_id, 'x', 'x', proposed_by, now() FROM rulings""",
            "uq_rulings_standing",
        ),
        (
            """INSERT INTO disputes (ticket_id, cause, opened_at, due_at, interim_id)
            SELECT ticket_id, 'hotline', now(), now() + interval '1 day', interim_id FROM disputes""",
            "uq_disputes_open",
        ),
        (
            """INSERT INTO panel_members (dispute_id, user_id, seat) SELECT d.id, m.user_id, 'other'
            FROM disputes d, memberships m ORDER BY m.user_id LIMIT 1""",
            "panel_is_neutral",
        ),
        (
            """INSERT INTO returns (ticket_id, dispatch_id, department_id, reason, words, basis, asked_at,
            decide_due_at) SELECT ticket_id, id, department_id, 'duplicate', 'x', 'x', sent_at, sent_at
            FROM dispatches WHERE is_current""",
            "return_is_of_an_ordinary_dispatch",
        ),
    ],
)
def test_what_must_never_be_true_of_a_dispute_the_database_refuses(
    db: Database, now: datetime, statement: str, constraint: str
) -> None:
    def prepare(case: Case, dispute: Dispute) -> None:
        case.seated(dispute)
        case.proposed(dispute, case.units[0])

    committed(db, now, prepare)
    with pytest.raises(Conflict, match=constraint), db.begin() as session:
        session.execute(text(statement))


def test_a_ruling_in_force_is_never_changed(db: Database, now: datetime) -> None:
    committed(db, now, lambda case, dispute: case.ruled(dispute, case.units[0]))
    for change in (
        "lead_id = lead_id + 1",
        "words = 'anders'",
        "request_type = '投诉'",
        "state = 'dropped', confirmed_at = NULL",
    ):
        with pytest.raises(Conflict, match="ruling_is_made_once"), db.begin() as session:
            session.execute(text(f"UPDATE rulings SET {change}"))
    with db.begin() as session:
        session.execute(text("UPDATE rulings SET retired_at = now()"))
