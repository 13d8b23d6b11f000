"""Lead and co-handlers, forwarding downwards: parts, their deadlines, what they see, and the one public answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from callbacks import actions as callbacks
from hotline.core.db import Database
from hotline.core.errors import Denied, HotlineError, Invalid, NotFound
from hotline.core.permissions import Actor, Role
from hotline.tickets.models import Ticket
from hotline.tickets.queries import timeline
from hotline.tickets.states import Act, State
from reports.indicators import PartFact, parts_on_time
from routing import actions as routing
from routing.answers import parts
from routing.answers.part_models import PartEnding, PartKind, Subtask
from routing.lists import ListFilter, ticket_list
from routing.models import Answer, Department, Dispatch
from routing.queries import current_dispatch, departments_that_held, ticket_for
from tests.makers import (
    count_queries,
    feedback,
    make_actor,
    make_category,
    make_department,
    register_ticket,
    returned_ticket,
)


@dataclass
class Matter:
    """A ticket with the district, which has a street below it; the water bureau is nobody's superior."""

    session: Session
    now: datetime
    ticket: Ticket
    district: Department
    street: Department
    water: Department
    lead: Actor
    helper: Actor
    below: Actor
    dispatcher: Actor

    @property
    def row(self) -> Dispatch:
        found = current_dispatch(self.session, self.ticket.id)
        assert found is not None
        return found

    def share(self, kind: PartKind, department: Department, *, by: Actor | None = None, **given: object) -> Subtask:
        values = {"by": by or self.lead, "now": self.now, **given}
        return parts.share(
            self.session,
            ticket_id=self.ticket.id,
            kind=kind,
            department_id=department.id,
            **values,  # type: ignore[arg-type]
        )

    def answers(self, *, after: timedelta = timedelta(hours=3), **given: object) -> Answer:
        return routing.answer(
            self.session,
            ticket_id=self.ticket.id,
            version=None,
            feedback=feedback(**given),
            by=self.lead,
            now=self.now + after,
        )


@pytest.fixture
def matter(session: Session, now: datetime) -> Matter:
    district = make_department(session, name="东城区政府")
    street = make_department(session, name="幸福街道", parent_id=district.id)
    water = make_department(session, name="市水务局")
    dispatcher = make_actor(session, Role.DISPATCHER, now=now)
    registered = register_ticket(
        session,
        name="王小明",
        address="幸福路8号院2单元501",
        content="我是王小明，住幸福路8号院2单元501，楼下污水外溢一周了，电话13900001234，请尽快处理。",
        place="幸福路8号院",
        now=now,
    )
    parts.dispatch_shared(
        session, ticket_id=registered.ticket_id, version=None, department_id=district.id, by=dispatcher, now=now
    )
    return Matter(
        session=session,
        now=now,
        ticket=session.get_one(Ticket, registered.ticket_id),
        district=district,
        street=street,
        water=water,
        lead=make_actor(session, Role.RESPONDER, departments=[district], now=now),
        helper=make_actor(session, Role.RESPONDER, departments=[water], now=now),
        below=make_actor(session, Role.RESPONDER, departments=[street], now=now),
        dispatcher=dispatcher,
    )


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(HotlineError) as caught:
        act()
    if isinstance(caught.value, Invalid):
        return " ".join(words for texts in caught.value.fields.values() for words in texts)
    return caught.value.message


def test_a_dispatcher_names_co_handlers_and_each_has_a_part_of_its_own(session: Session, now: datetime) -> None:
    lead, one, other = (make_department(session) for _ in range(3))
    dispatcher = make_actor(session, Role.DISPATCHER, now=now)
    registered = register_ticket(session, now=now)
    sent = parts.dispatch_shared(
        session,
        ticket_id=registered.ticket_id,
        version=None,
        department_id=lead.id,
        assist_ids=[other.id, one.id, one.id],
        by=dispatcher,
        now=now,
    )
    found = parts.of_ticket(session, registered.ticket_id)
    assert [(view.row.department_id, view.row.kind) for view in found] == [
        (one.id, PartKind.ASSIST),
        (other.id, PartKind.ASSIST),
    ]
    assert all(now < view.row.due_at < sent.due_at for view in found)


def test_a_co_handler_sees_the_ticket_signs_and_answers_its_part_and_the_lead_answers_the_citizen(
    matter: Matter,
) -> None:
    part = matter.share(PartKind.ASSIST, matter.water)
    assert ticket_for(matter.session, matter.helper, matter.ticket.number).id == matter.ticket.id
    listed = ticket_list(matter.session, matter.helper, ListFilter(), now=matter.now)
    assert [row.number for row in listed.rows] == [matter.ticket.number]
    later = matter.now + timedelta(hours=1)
    parts.sign_part(matter.session, subtask_id=part.id, by=matter.helper, now=later)
    parts.answer_part(
        matter.session, subtask_id=part.id, words="管网由我局疏通，联系13900001234。", by=matter.helper, now=later
    )
    assert part.ending is PartEnding.ANSWERED
    assert part.answer == "管网由我局疏通，联系【手机号】。"
    assert parts.gathered(parts.of_ticket(matter.session, matter.ticket.id)).startswith("【市水务局】管网由我局疏通")
    assert matter.answers().left_out_why == ""
    matter.session.flush()
    acts = [entry.act for entry in timeline(matter.session, matter.ticket.id)]
    assert acts == [Act.REGISTER, Act.DISPATCH, Act.SHARE, Act.SIGN_PART, Act.ANSWER_PART, Act.SIGN, Act.ANSWER]


def test_an_answer_waits_for_every_part_unless_the_lead_says_why(matter: Matter) -> None:
    part = matter.share(PartKind.ASSIST, matter.water)
    assert "市水务局尚未反馈" in refusal(matter.answers)
    matter.answers(left_out_why="水务部分已由街道应急处置完毕")
    matter.session.refresh(part)
    assert part.ending is PartEnding.LEFT_OUT
    matter.session.flush()
    last = timeline(matter.session, matter.ticket.id)[-1]
    assert last.details["left_out"] == ["市水务局"]
    assert last.details["left_out_why"] == "水务部分已由街道应急处置完毕"


def test_the_database_itself_asks_why_a_part_is_left_out(matter: Matter) -> None:
    matter.share(PartKind.ASSIST, matter.water)
    matter.session.add(
        Answer(
            dispatch_id=matter.row.id,
            ticket_id=matter.ticket.id,
            internal_note="已办",
            public_answer="您反映的问题已经处理完毕。",
            found_true=True,
            solved="solved",
            at=matter.now,
        )
    )
    with pytest.raises(IntegrityError, match="waits for its co-handlers"):
        matter.session.flush()


def test_below_the_lead_nobody_sees_the_ticket_nor_whose_it_is(matter: Matter) -> None:
    part = matter.share(PartKind.FORWARD, matter.street)
    with pytest.raises(NotFound):
        ticket_for(matter.session, matter.below, matter.ticket.number)
    assert ticket_list(matter.session, matter.below, ListFilter(), now=matter.now).rows == []
    seen = parts.part_for(matter.session, matter.below, part.id).row
    for personal in ("王小明", "13900001234", "501"):
        assert personal not in seen.words
    assert "污水外溢" in seen.words
    assert "幸福路8号院" in seen.words


def test_what_the_lead_writes_for_those_below_is_cleaned_too(matter: Matter) -> None:
    part = matter.share(PartKind.FORWARD, matter.street, words="请到王小明家（13900001234）楼下清淤")
    assert part.words == "请到【诉求人】家（【手机号】）楼下清淤"


def test_an_anonymous_citizen_has_no_relay_number(session: Session, matter: Matter) -> None:
    registered = register_ticket(session, phone="", anonymous=True, now=matter.now)
    routing.dispatch(
        session,
        ticket_id=registered.ticket_id,
        version=None,
        department_id=matter.district.id,
        by=matter.dispatcher,
        now=matter.now,
    )
    part = parts.share(
        session,
        ticket_id=registered.ticket_id,
        kind=PartKind.FORWARD,
        department_id=matter.street.id,
        by=matter.lead,
        now=matter.now,
    )
    assert part.relay_number is None


@pytest.mark.parametrize(
    ("kind", "to", "words"),
    [
        (PartKind.FORWARD, "water", "只能转办给本单位的下级单位"),
        (PartKind.ASSIST, "district", "主办单位不能同时"),
        (PartKind.FORWARD, "district", "主办单位不能同时"),
    ],
)
def test_a_part_goes_where_it_may_go(matter: Matter, kind: PartKind, to: str, words: str) -> None:
    assert words in refusal(lambda: matter.share(kind, getattr(matter, to)))


def test_a_part_lies_inside_the_leads_time(matter: Matter) -> None:
    due = matter.row.due_at
    late = due + timedelta(seconds=1)
    assert "之内" in refusal(lambda: matter.share(PartKind.ASSIST, matter.water, due_at=late))
    assert "晚于现在" in refusal(lambda: matter.share(PartKind.ASSIST, matter.water, due_at=matter.now))
    assert matter.share(PartKind.ASSIST, matter.water, due_at=due).due_at == due


def test_a_closed_department_has_no_part_and_an_open_one_has_one(matter: Matter) -> None:
    matter.share(PartKind.ASSIST, matter.water)
    assert "已有未完成的任务" in refusal(lambda: matter.share(PartKind.ASSIST, matter.water))
    closed = make_department(matter.session, active=False)
    assert "使用中" in refusal(lambda: matter.share(PartKind.ASSIST, closed))


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("due_at = (SELECT due_at + interval '1 minute' FROM dispatches WHERE id = dispatch_id)", "inside the lead"),
        ("department_id = (SELECT department_id FROM dispatches WHERE id = dispatch_id)", "not its own co-handler"),
        ("ended_at = given_at", "ended_has_reason"),
        ("ended_at = given_at, ending = 'answered'", "answered_is_ended"),
        ("relay_number = '12345 转 000001'", "relay_only_below"),
        ("words = ''", "says_what_to_do"),
    ],
)
def test_what_a_part_must_not_be_the_database_refuses(matter: Matter, change: str, constraint: str) -> None:
    part = matter.share(PartKind.ASSIST, matter.water)
    with pytest.raises(IntegrityError, match=constraint):
        matter.session.execute(text(f"UPDATE subtasks SET {change} WHERE id = {part.id}"))


def test_the_database_forwards_downwards_only_and_to_open_departments(matter: Matter) -> None:
    part = matter.share(PartKind.FORWARD, matter.street)
    parts.end_part(matter.session, subtask_id=part.id, words="改由区里办", by=matter.lead, now=matter.now)
    matter.session.flush()
    columns = "ticket_id, dispatch_id, kind, words, due_at, given_at"
    with pytest.raises(IntegrityError, match="downwards only"), matter.session.begin_nested():
        matter.session.execute(
            text(
                f"INSERT INTO subtasks (department_id, {columns}) SELECT {matter.water.id}, {columns} FROM subtasks"
                f" WHERE id = {part.id}"
            )
        )
    matter.water.active = False
    matter.session.flush()
    with pytest.raises(IntegrityError, match="open department"):
        matter.session.execute(
            text(
                "INSERT INTO subtasks (department_id, kind, ticket_id, dispatch_id, words, due_at, given_at)"
                f" SELECT {matter.water.id}, 'assist', ticket_id, dispatch_id, words, due_at, given_at FROM subtasks"
                f" WHERE id = {part.id}"
            )
        )


def test_only_the_lead_forwards_and_only_lead_and_hotline_name_co_handlers(matter: Matter) -> None:
    matter.share(PartKind.ASSIST, matter.water, by=matter.dispatcher)
    for kind, by in ((PartKind.FORWARD, matter.dispatcher), (PartKind.ASSIST, matter.helper)):
        with pytest.raises(Denied):
            matter.share(kind, matter.street, by=by)


def test_another_department_does_not_answer_the_part(matter: Matter) -> None:
    part = matter.share(PartKind.ASSIST, matter.water)
    with pytest.raises(Denied):
        parts.answer_part(matter.session, subtask_id=part.id, words="已经处理完毕", by=matter.below, now=matter.now)
    with pytest.raises(NotFound):
        parts.part_for(matter.session, matter.below, part.id)


def test_parts_end_with_the_ticket_that_goes_back(matter: Matter) -> None:
    part = matter.share(PartKind.ASSIST, matter.water)
    returned_ticket(matter.session, matter.ticket, by=matter.lead, now=matter.now + timedelta(hours=1))
    matter.session.flush()
    matter.session.refresh(part)
    assert part.ending is PartEnding.LAPSED


def test_whoever_did_a_part_does_not_call_the_citizen_back(matter: Matter) -> None:
    part = matter.share(PartKind.ASSIST, matter.water)
    parts.answer_part(matter.session, subtask_id=part.id, words="已疏通管网", by=matter.helper, now=matter.now)
    matter.answers()
    assert {matter.district.id, matter.water.id} == departments_that_held(matter.session, matter.ticket.id)
    turned = Actor(user_id=matter.helper.user_id, role=Role.AUDITOR)
    with pytest.raises(Denied):
        callbacks.independent(matter.session, ticket_id=matter.ticket.id, by=turned)
    with pytest.raises(IntegrityError, match="whoever handled"):
        matter.session.execute(
            text(f"UPDATE callbacks SET done_by = {matter.helper.user_id} WHERE ticket_id = {matter.ticket.id}")
        )


def test_each_department_is_measured_on_its_own_part(now: datetime) -> None:
    def fact(department: str, hours: float | None, ending: PartEnding | None, due_in: int = 2) -> PartFact:
        due = now + timedelta(hours=due_in)
        at = now + timedelta(hours=hours) if hours is not None else None
        return PartFact(department=department, due_at=due, answered_at=at, ending=ending)

    rows = parts_on_time(
        [
            fact("水务", 1, PartEnding.ANSWERED),
            fact("水务", 3, PartEnding.ANSWERED),
            fact("水务", None, PartEnding.LEFT_OUT),
            fact("水务", None, PartEnding.WITHDRAWN),
            fact("水务", None, None),
            fact("街道", None, None, due_in=-1),
            fact("街道", None, PartEnding.LAPSED),
        ],
        now=now,
    )
    assert {name: (rate.numerator, rate.denominator, dict(rate.excluded)) for name, rate in rows.items()} == {
        "水务": (1, 3, {"withdrawn": 1, "not_due": 1}),
        "街道": (0, 1, {"lapsed": 1}),
    }


def test_many_tickets_with_many_helpers_go_out_in_few_questions_each(db: Database, now: datetime) -> None:
    """Neither the number of helpers nor that of tickets adds a question to a ticket."""
    asked = {}
    for tickets_wanted, helpers_wanted in ((5, 1), (5, 5), (20, 5)):
        with db.begin() as session:
            lead, *helpers = (make_department(session).id for _ in range(helpers_wanted + 1))
            by, operator = make_actor(session, Role.DISPATCHER, now=now), make_actor(session, now=now)
            category_id = make_category(session).id
            wishes = [
                parts.Wish(ticket_id=one.ticket_id, version=1, assist_ids=helpers)
                for one in (
                    register_ticket(session, by=operator, category_id=category_id, now=now)
                    for _ in range(tickets_wanted)
                )
            ]
        with count_queries(db) as counted, db.begin() as session:
            sent = parts.dispatch_all(session, wishes, department_id=lead, reason="批量派单", by=by, now=now)
        assert len(sent) == tickets_wanted
        asked[tickets_wanted, helpers_wanted] = counted.count
        with db.read() as session:
            for wish in wishes:
                found = [view.row for view in parts.of_ticket(session, wish.ticket_id)]
                assert [part.department_id for part in found] == sorted(helpers)
                assert all(now < part.due_at <= sent[0].due_at for part in found)
                shared = [one for one in timeline(session, wish.ticket_id) if one.act is Act.SHARE]
                assert len(shared) == helpers_wanted
    assert asked[5, 5] <= asked[5, 1], "five helpers cost what one costs"
    assert (asked[20, 5] - asked[5, 5]) / 15 <= 11, asked
    assert asked[20, 5] <= 20 * 11 + 10, asked


def test_one_closed_helper_keeps_all_tickets_in_the_queue(session: Session, now: datetime) -> None:
    lead, helper = make_department(session), make_department(session, name="市旧机构", active=False)
    by = make_actor(session, Role.DISPATCHER, now=now)
    ids = [register_ticket(session, now=now).ticket_id for _ in range(3)]
    wishes = [
        parts.Wish(ticket_id=one, version=1, assist_ids=[helper.id] if at == 2 else []) for at, one in enumerate(ids)
    ]
    with pytest.raises(Invalid) as refused:
        parts.dispatch_all(session, wishes, department_id=lead.id, by=by, now=now)
    assert "市旧机构" in refused.value.fields["assist"][0]
    with pytest.raises(Invalid):
        parts.dispatch_all(
            session,
            [parts.Wish(ticket_id=ids[0], version=1, assist_ids=[lead.id])],
            department_id=lead.id,
            by=by,
            now=now,
        )
    assert [session.get_one(Ticket, one).state for one in ids] == [State.REGISTERED] * 3
