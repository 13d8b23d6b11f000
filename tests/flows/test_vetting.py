"""An answer before its reader: which ones, what it may do, and that no citizen is called or told before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from callbacks import queries as callback_queries
from hotline.core.errors import Conflict, Denied, Invalid
from hotline.core.permissions import SYSTEM, Actor, Role
from hotline.tickets import actions as tickets
from hotline.tickets.models import InstallationSetting, Ticket
from hotline.tickets.queries import counters, timeline
from hotline.tickets.states import Act, State
from hotline.tickets.vocabulary import Kind, RequestType
from hotline.web import tracking
from routing import actions as routing
from routing.answers import vetting
from routing.answers.doubts import Doubt
from routing.answers.vetting_models import Vetting, VettingState
from routing.answers.vetting_rules import SETTING, VettingMode, VettingPolicy, why_vetted
from routing.models import Department
from routing.queries import current_dispatch, dispatches_of
from tests.makers import dispatched_ticket, feedback, make_actor, make_department

ANSWER = "您反映的幸福路路灯不亮，我们今天换了两盏灯的电源，晚上已经亮灯，请您留意。"


def set_policy(session: Session, now: datetime, **given: object) -> None:
    policy = VettingPolicy(**given).to_setting()  # type: ignore[arg-type]
    session.merge(InstallationSetting(name=SETTING, value=policy, changed_by=None, changed_at=now))
    session.flush()


@dataclass
class Matter:
    session: Session
    now: datetime
    ticket: Ticket
    department: Department
    responder: Actor
    reader: Actor

    def state(self) -> State:
        return self.ticket.state

    def answers(self, words: str = ANSWER, *, hours: int = 2) -> None:
        routing.answer(
            self.session,
            ticket_id=self.ticket.id,
            version=None,
            feedback=feedback(public_answer=words),
            by=self.responder,
            now=self.now + timedelta(hours=hours),
        )
        self.session.flush()

    def open(self) -> Vetting:
        (view,) = vetting.waiting(self.session).rows
        return view.row

    def decides(self, *, passes: bool, words: str = "", hours: int = 4, by: Actor | None = None) -> Vetting:
        return vetting.decide(
            self.session,
            vetting_id=self.open().id,
            passes=passes,
            words=words,
            by=by or self.reader,
            now=self.now + timedelta(hours=hours),
        )


@pytest.fixture
def matter(session: Session, now: datetime) -> Matter:
    department = make_department(session, name="市路灯管理处")
    set_policy(session, now, mode=VettingMode.ALL)
    return Matter(
        session=session,
        now=now,
        ticket=dispatched_ticket(session, department, request_type="投诉", now=now),
        department=department,
        responder=make_actor(session, Role.RESPONDER, departments=[department], now=now),
        reader=make_actor(session, Role.DISPATCHER, now=now),
    )


def test_an_answer_that_is_read_is_neither_called_about_nor_told_before_it_has_passed(matter: Matter) -> None:
    matter.answers()
    assert matter.state() is State.ANSWERED
    assert callback_queries.open_callback(matter.session, matter.ticket.id) is None
    told = tracking.tell(matter.session, matter.ticket, now=matter.now + timedelta(hours=3))
    assert (told.answers, told.may_rate) == ((), False)
    matter.decides(passes=True)
    waiting = callback_queries.open_callback(matter.session, matter.ticket.id)
    assert waiting is not None
    assert waiting.planned_at == matter.now + timedelta(hours=4)
    told = tracking.tell(matter.session, matter.ticket, now=matter.now + timedelta(hours=5))
    assert [one.words for one in told.answers] == [ANSWER]


def test_an_answer_that_is_sent_back_goes_to_the_department_under_its_first_deadline(matter: Matter) -> None:
    due = matter.ticket.due_at
    matter.answers()
    matter.decides(passes=False, words="没有说明为什么一个星期才修。")
    assert matter.state() is State.SIGNED
    assert matter.ticket.due_at == due
    row = current_dispatch(matter.session, matter.ticket.id)
    assert row is not None
    assert (row.answered_at, row.due_at) == (None, due)
    assert dispatches_of(matter.session, matter.ticket.id)[-1].answer is None
    assert [view.row.words for view in vetting.of_dispatch(matter.session, row.id)] == ["没有说明为什么一个星期才修。"]
    name = f"department.{matter.department.id}.in_hand"
    matter.session.flush()
    assert counters(matter.session, [name, "vettings.waiting"]) == {name: 1, "vettings.waiting": 0}
    matter.answers("您反映的幸福路路灯不亮，因电源停产等待了七天，今天换好两盏，晚上已经亮灯。", hours=6)
    matter.decides(passes=True, hours=8)
    assert callback_queries.open_callback(matter.session, matter.ticket.id) is not None
    acts = [entry.act for entry in timeline(matter.session, matter.ticket.id)][-5:]
    assert acts == [Act.SIGN, Act.ANSWER, Act.SEND_BACK_ANSWER, Act.ANSWER, Act.CLEAR_ANSWER]


def test_a_reader_says_why_and_reads_nothing_of_his_own(matter: Matter) -> None:
    matter.answers()
    with pytest.raises(Invalid):
        matter.decides(passes=False, words=" ")
    insider = Actor(
        user_id=matter.reader.user_id, role=Role.DISPATCHER, department_ids=frozenset({matter.department.id})
    )
    for who in (matter.responder, insider):
        with pytest.raises(Denied):
            matter.decides(passes=True, by=who)
    first = matter.open()
    matter.decides(passes=True)
    with pytest.raises(Conflict):
        vetting.decide(matter.session, vetting_id=first.id, passes=True, words="", by=matter.reader, now=matter.now)


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("state = 'passed'", "decided_has_time"),
        ("state = 'sent_back', decided_at = opened_at", "sent_back_has_words"),
        ("state = 'passed', decided_at = opened_at, decided_by = answered_by", "two_persons"),
    ],
)
def test_what_a_vetting_must_not_be_the_database_refuses(matter: Matter, change: str, constraint: str) -> None:
    matter.answers()
    with pytest.raises(IntegrityError, match=constraint):
        matter.session.execute(text(f"UPDATE vettings SET {change}"))


def test_the_database_plans_no_callback_for_what_is_being_read(matter: Matter) -> None:
    matter.answers()
    with pytest.raises(IntegrityError, match="waits until the answer has been read"):
        matter.session.execute(
            text(
                "INSERT INTO callbacks (ticket_id, dispatch_id, round, planned_at)"
                " SELECT ticket_id, dispatch_id, 0, opened_at FROM vettings"
            )
        )


def test_a_supervisor_does_not_start_rework_over_the_readers_head(matter: Matter, now: datetime) -> None:
    from callbacks import actions as callbacks

    matter.answers()
    with pytest.raises(Conflict, match="正在审核"):
        callbacks.rework(
            matter.session,
            ticket_id=matter.ticket.id,
            version=matter.ticket.version,
            reason="重办",
            by=make_actor(matter.session, Role.SUPERVISOR, now=now),
            now=now + timedelta(hours=3),
        )


def test_a_citizen_does_not_rate_what_he_has_not_been_told(matter: Matter) -> None:
    from callbacks import actions as callbacks

    matter.answers()
    with pytest.raises(Invalid):
        callbacks.rate(matter.session, ticket=matter.ticket, stars=5, words="", now=matter.now + timedelta(hours=3))
    matter.decides(passes=True)
    callbacks.rate(matter.session, ticket=matter.ticket, stars=5, words="", now=matter.now + timedelta(hours=5))


def test_without_a_policy_nobody_reads_and_the_callback_is_planned_at_once(session: Session, now: datetime) -> None:
    department = make_department(session)
    ticket = dispatched_ticket(session, department, request_type="投诉", now=now)
    responder = make_actor(session, Role.RESPONDER, departments=[department], now=now)
    routing.answer(session, ticket_id=ticket.id, version=None, feedback=feedback(), by=responder, now=now)
    session.flush()
    assert vetting.waiting(session).rows == []
    assert callback_queries.open_callback(session, ticket.id) is not None


def test_the_same_words_for_another_citizen_are_noticed_whatever_the_spacing(matter: Matter) -> None:
    matter.answers()
    other = dispatched_ticket(matter.session, matter.department, now=matter.now)
    assert vetting.same_elsewhere(matter.session, ANSWER.replace("，", " 。"), ticket_id=other.id) == 1
    assert vetting.same_elsewhere(matter.session, ANSWER, ticket_id=matter.ticket.id) == 0
    assert vetting.same_elsewhere(matter.session, ANSWER + "谢谢", ticket_id=other.id) == 0
    found = vetting.doubts_about(matter.session, other, None, internal_note="换了电源", public_answer=ANSWER)
    assert Doubt.SAME_ELSEWHERE in found


def test_an_answer_that_names_the_citizen_or_repeats_him_is_doubted(matter: Matter) -> None:
    words = f"王小明同志：{ANSWER}"
    found = vetting.doubts_about(matter.session, matter.ticket, None, internal_note="已办", public_answer=words)
    assert Doubt.NAMES_CITIZEN in found
    content = matter.ticket.content
    found = vetting.doubts_about(matter.session, matter.ticket, None, internal_note="已办", public_answer=content)
    assert Doubt.COPIED in found


SAMPLED = VettingPolicy(mode=VettingMode.SAMPLED, percent=0)


@pytest.mark.parametrize(
    ("policy", "request_type", "kind", "doubts", "why"),
    [
        (VettingPolicy(), RequestType.COMPLAINT, Kind.BAD_REVIEW, (Doubt.TEMPLATE,), ""),
        (VettingPolicy(mode=VettingMode.ALL), RequestType.HELP, Kind.CONCERN, (), "全部审核"),
        (SAMPLED, RequestType.HELP, Kind.CONCERN, (), ""),
        (SAMPLED, RequestType.HELP, Kind.CONCERN, (Doubt.NOT_CONTACTED,), ""),
        (SAMPLED, RequestType.HELP, Kind.CONCERN, (Doubt.SAME_ELSEWHERE,), "校验有疑问"),
        (SAMPLED, RequestType.COMPLAINT, Kind.CONCERN, (), "投诉类工单"),
        (SAMPLED, RequestType.TIP_OFF, Kind.CONCERN, (), "举报类工单"),
        (SAMPLED, RequestType.COMPLAINT, Kind.BAD_REVIEW, (), "差评工单"),
        (VettingPolicy(mode=VettingMode.SAMPLED, percent=100), RequestType.HELP, Kind.CONCERN, (), "抽查"),
    ],
)
def test_the_policy_says_which_answers_are_read_and_why(  # noqa: PLR0917 - the columns of the table above
    policy: VettingPolicy, request_type: RequestType, kind: Kind, doubts: tuple[Doubt, ...], why: str
) -> None:
    assert why_vetted(policy, request_type=request_type, kind=kind, doubts=doubts, answer_id=7) == why


def test_the_sample_is_about_as_big_as_it_says_and_the_same_every_time() -> None:
    policy = VettingPolicy(mode=VettingMode.SAMPLED, percent=10)

    def drawn() -> list[int]:
        return [
            one
            for one in range(5_000)
            if why_vetted(policy, request_type=RequestType.HELP, kind=Kind.CONCERN, doubts=(), answer_id=one)
        ]

    assert drawn() == drawn()
    assert 400 < len(drawn()) < 600


def test_a_stored_policy_that_makes_no_sense_reads_as_the_default() -> None:
    assert VettingPolicy.from_setting(None) == VettingPolicy()
    assert VettingPolicy.from_setting({"mode": "never", "percent": 900}) == VettingPolicy()
    stored = VettingPolicy(mode=VettingMode.SAMPLED, percent=30, always=(RequestType.HELP,), doubtful=False)
    assert VettingPolicy.from_setting(stored.to_setting()) == stored


def test_contact_is_recorded_with_its_proof_and_only_with_one_of_this_ticket(session: Session, now: datetime) -> None:
    from hotline.tickets.models import Attachment

    department = make_department(session)
    responder = make_actor(session, Role.RESPONDER, departments=[department], now=now)
    ticket, other = (dispatched_ticket(session, department, now=now) for _ in range(2))
    proof = Attachment(
        ticket_id=ticket.id, name="通话录音.mp3", media_type="audio/mpeg", size=9, digest="d", added_at=now
    )
    session.add(proof)
    session.flush()
    given = {"at": now, "way": "电话", "words": "已说明处理进度", "proof_id": proof.id, "by": responder, "now": now}
    routing.record_contact(session, ticket_id=ticket.id, **given)  # type: ignore[arg-type]
    session.flush()
    assert timeline(session, ticket.id)[-1].details["proof"] == "通话录音.mp3"
    with pytest.raises(Invalid):
        routing.record_contact(session, ticket_id=other.id, **given)  # type: ignore[arg-type]


def test_only_an_administrator_sets_the_policy(session: Session, now: datetime) -> None:
    with pytest.raises(Denied):
        tickets.set_setting(session, name=SETTING, value={}, by=SYSTEM, now=now)


def test_a_vetting_is_due_within_a_working_day(matter: Matter) -> None:
    matter.answers()
    row = matter.open()
    assert row.state is VettingState.WAITING
    assert matter.now < row.due_at <= matter.now + timedelta(days=2)
