"""What supervision does by hand: urge, call to account, receive, answer, judge, take note (domain.md 2.11)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from hotline.core.errors import Conflict, Denied, Invalid, NotFound, WrongState
from hotline.core.permissions import Actor, Permission, require
from hotline.core.personal_data import redact
from hotline.intake.rules import normal_phone
from hotline.tickets import actions as tickets
from hotline.tickets.models import Ticket
from hotline.tickets.states import Act, check
from routing.clocks import granting
from routing.clocks.deadlines import due_at
from routing.models import Department
from routing.queries import current_dispatch
from routing.supervision.models import Alarm, Leader, NoticeEnding, NoticeForm, SupervisionNotice
from routing.supervision.queries import concerns
from routing.supervision.sweeping import rules_of
from routing.supervision.triggers import (
    BY_TRIGGER,
    MOST_LEVEL,
    MOST_WORKDAYS,
    SETTING,
    NoticeKind,
    Rules,
    Trigger,
    check_rules,
)

MOST_WORDS: Final = 2_000
MOST_AT_ONCE: Final = 200


def urge(session: Session, *, ticket_id: int, words: str, by: Actor, now: datetime) -> SupervisionNotice:
    """Urge the unit that holds a ticket (催办); an open urging is counted up instead of sent a second time."""
    return _send(session, NoticeKind.URGE, ticket_id=ticket_id, words=words, workdays=None, by=by, now=now)


def supervise(
    session: Session,
    *,
    ticket_id: int,
    words: str,
    form: NoticeForm = NoticeForm.WRITTEN,
    workdays: int | None = None,
    by: Actor,
    now: datetime,
) -> SupervisionNotice:
    """Call the unit that holds a ticket, or answered it, to account (督办): it must receive, answer, and be judged."""
    return _send(
        session, NoticeKind.SUPERVISE, ticket_id=ticket_id, words=words, form=form, workdays=workdays, by=by, now=now
    )


def receive(session: Session, *, notice_id: int, by: Actor, now: datetime) -> SupervisionNotice:
    """Receive a notice on behalf of the unit; a second time changes nothing."""
    notice = _of_unit(session, notice_id, by=by)
    if notice.received_at is None:
        _receive(notice, by=by, now=now)
        ticket = tickets.lock(session, notice.ticket_id)
        tickets.move(session, ticket, Act.ACCOUNT, by=by, now=now, note="已签收", details={"notice": notice.id})
    return notice


def account(
    session: Session, *, notice_id: int, version: int, words: str, by: Actor, now: datetime
) -> SupervisionNotice:
    """Answer a notice on behalf of the unit: what was done, why it is late, when it will be done.

    An urging is settled by its answer; a supervision waits for whoever judges it.
    """
    said = _words(words, name="account")
    notice = _of_unit(session, notice_id, by=by)
    if notice.version != version:
        raise Conflict("这份督办单刚刚有变动，请刷新后重试。")
    if notice.accounted_at is not None:
        raise WrongState("这份督办单已经回复。")
    if notice.received_at is None:
        _receive(notice, by=by, now=now)
    notice.account, notice.accounted_at, notice.accounted_by = said, now, by.user_id
    ticket = tickets.lock(session, notice.ticket_id)
    tickets.move(
        session,
        ticket,
        Act.ACCOUNT,
        by=by,
        now=now,
        note=said[:500],
        details={"notice": notice.id, "late": now > notice.due_at},
    )
    if notice.kind is NoticeKind.URGE:
        _end(notice, NoticeEnding.ACCEPTED, words="", by=by, now=now)
    else:
        rule = BY_TRIGGER[Trigger.NOTICE_ACCOUNTED]
        session.add(
            Alarm(
                key=f"notice:{notice.id}:accounted",
                trigger=rule.trigger,
                words=rule.words,
                ticket_id=notice.ticket_id,
                notice_id=notice.id,
                department_id=notice.department_id,
                raised_at=now,
            )
        )
    return notice


def judge(
    session: Session, *, notice_id: int, version: int, accepted: bool, words: str, by: Actor, now: datetime
) -> SupervisionNotice:
    """Accept a unit's answer (销号), or refuse it with the reason: then the unit gets a new notice and deadline."""
    require(by, Permission.TICKET_SUPERVISE)
    said = _words(words, name="words") if not accepted else redact(words.strip())[:MOST_WORDS]
    notice = _locked(session, notice_id)
    if notice.version != version:
        raise Conflict("这份督办单刚刚有变动，请刷新后重试。")
    if notice.accounted_at is None:
        raise WrongState("承办单位还没有回复，不能审核。")
    _end(notice, NoticeEnding.ACCEPTED if accepted else NoticeEnding.REFUSED, words=said, by=by, now=now)
    ticket = tickets.lock(session, notice.ticket_id)
    tickets.move(
        session,
        ticket,
        Act.SETTLE,
        by=by,
        now=now,
        note=said[:500],
        details={"notice": notice.id, "accepted": accepted},
    )
    if accepted:
        return notice
    session.flush()  # the old notice must be closed before the new one opens: one of a kind at a time
    rules, calendar = rules_of(session), granting.calendar(session, notice.department_id)
    again = SupervisionNotice(
        kind=notice.kind,
        form=notice.form,
        ticket_id=notice.ticket_id,
        department_id=notice.department_id,
        previous_id=notice.id,
        words=f"上次回复未通过：{said}"[:MOST_WORDS],
        times=1,
        sent_at=now,
        sent_by=by.user_id,
        receive_due_at=due_at(calendar, now, workdays=rules.receive_workdays),
        due_at=due_at(calendar, now, workdays=rules.workdays(notice.kind)),
    )
    session.add(again)
    session.flush()  # the alarm needs the id
    _tell(session, again, now=now)
    return again


def lift(session: Session, *, notice_id: int, version: int, words: str, by: Actor, now: datetime) -> SupervisionNotice:
    """Take a notice back, with the reason (解除)."""
    require(by, Permission.TICKET_SUPERVISE)
    said = _words(words, name="words")
    notice = _locked(session, notice_id)
    if notice.version != version:
        raise Conflict("这份督办单刚刚有变动，请刷新后重试。")
    _end(notice, NoticeEnding.LIFTED, words=said, by=by, now=now)
    ticket = tickets.lock(session, notice.ticket_id)
    details = {"notice": notice.id, "lifted": True}
    tickets.move(session, ticket, Act.SETTLE, by=by, now=now, note=said[:500], details=details)
    return notice


def heed(session: Session, *, alarm_ids: Sequence[int], word: str, by: Actor, now: datetime) -> int:
    """Take note of alarms with a word; returns how many. Those of others, and old ones, stay as they are."""
    said = redact(word.strip())
    if not said:
        raise Invalid({"word": "请写一句话，例如“已知悉，今日办理”。"})
    if len(said) > 200:  # noqa: PLR2004 - a word, not an account
        raise Invalid({"word": "最多 200 字。"})
    if by.user_id is None:
        raise Denied
    if not alarm_ids:
        raise Invalid({"ids": "请先勾选要确认的提醒。"})
    if len(alarm_ids) > MOST_AT_ONCE:
        raise Invalid({"ids": f"一次最多确认 {MOST_AT_ONCE} 条。"})
    rows = session.scalars(
        select(Alarm)
        .where(Alarm.id.in_(sorted(set(alarm_ids))), Alarm.heeded_at.is_(None), concerns(by))
        .order_by(Alarm.id)
        .with_for_update()  # two people with the same choice: one of them, in order of id
    ).all()
    for row in rows:
        row.heeded_at, row.heeded_by, row.heeded_word = now, by.user_id, said
    return len(rows)


def change_rules(session: Session, rules: Rules, *, by: Actor, now: datetime) -> None:
    """Decide which triggers speak, their limits, and the ladder."""
    require(by, Permission.SETTINGS_EDIT)
    check_rules(rules)
    tickets.set_setting(session, name=SETTING, value=rules.to_setting(), by=by, now=now)


def enter_leader(
    session: Session, *, department_id: int | None, level: int, name: str, post: str, phone: str, by: Actor
) -> Leader:
    """Enter whom a unit's ladder reaches at a level."""
    require(by, Permission.CATALOGUE_EDIT)
    problems: dict[str, str] = {}
    if not name.strip():
        problems["name"] = "请填写姓名。"
    if not 1 <= level <= MOST_LEVEL:
        problems["level"] = f"层级应为 1 至 {MOST_LEVEL}。"
    try:
        number = normal_phone(phone)
    except ValueError as error:
        number, problems["phone"] = "", str(error)
    if department_id is not None and session.get(Department, department_id) is None:
        problems["department_id"] = "所选的承办单位不存在。"
    same = Leader.department_id.is_(None) if department_id is None else Leader.department_id == department_id
    if not problems and session.scalar(select(Leader.id).where(same, Leader.level == level, Leader.phone == number)):
        problems["phone"] = "这一级已经有这个号码。"
    if problems:
        raise Invalid(problems)
    leader = Leader(
        department_id=department_id, level=level, name=name.strip()[:40], post=post.strip()[:40], phone=number
    )
    session.add(leader)
    session.flush()  # the unique number refuses here, not at the commit
    return leader


def remove_leader(session: Session, *, leader_id: int, by: Actor) -> None:
    """Take somebody off the ladder."""
    require(by, Permission.CATALOGUE_EDIT)
    leader = session.get(Leader, leader_id)
    if leader is None:
        raise NotFound
    session.delete(leader)


def _send(
    session: Session,
    kind: NoticeKind,
    *,
    ticket_id: int,
    words: str,
    form: NoticeForm = NoticeForm.SYSTEM,
    workdays: int | None,
    by: Actor,
    now: datetime,
) -> SupervisionNotice:
    said = _words(words, name="words")
    if workdays is not None and not 1 <= workdays <= MOST_WORKDAYS:
        raise Invalid({"workdays": f"应为 1 至 {MOST_WORKDAYS} 个工作日。"})
    ticket = tickets.lock(session, ticket_id)
    dispatch = current_dispatch(session, ticket_id, lock=True)
    act = Act.URGE if kind is NoticeKind.URGE else Act.SUPERVISE
    require(by, check(act, ticket.state).permission)
    if dispatch is None:
        raise WrongState("工单目前不在任何承办单位手中。")
    rules, calendar = rules_of(session), granting.calendar(session, dispatch.department_id)
    notice = _open(session, ticket, dispatch.department_id, kind)
    if notice is None:
        notice = SupervisionNotice(
            kind=kind,
            form=form,
            ticket_id=ticket_id,
            department_id=dispatch.department_id,
            words=said,
            times=1,
            sent_at=now,
            sent_by=by.user_id,
            receive_due_at=due_at(calendar, now, workdays=rules.receive_workdays),
            due_at=due_at(calendar, now, workdays=workdays or rules.workdays(kind)),
        )
        session.add(notice)
        session.flush()  # the alarm needs the id
    elif kind is NoticeKind.SUPERVISE:
        raise Conflict("该单位对这张工单已有一份未办结的督办单，请在原督办单上跟进。")
    else:
        notice.times += 1
    details = {"notice": notice.id, "times": notice.times, "due": notice.due_at.isoformat()}
    tickets.move(session, ticket, act, by=by, now=now, note=said[:500], details=details)
    _tell(session, notice, now=now)
    return notice


def _open(session: Session, ticket: Ticket, department_id: int, kind: NoticeKind) -> SupervisionNotice | None:
    return session.scalars(
        select(SupervisionNotice)
        .where(
            SupervisionNotice.ticket_id == ticket.id,
            SupervisionNotice.department_id == department_id,
            SupervisionNotice.kind == kind,
            SupervisionNotice.ended_at.is_(None),
        )
        .with_for_update()  # counted up below
    ).first()


def _tell(session: Session, notice: SupervisionNotice, *, now: datetime) -> None:
    """Tell the unit now; the sweep finds the same key and stays quiet."""
    rule = BY_TRIGGER[Trigger.NOTICE_SENT]
    session.add(
        Alarm(
            key=f"notice:{notice.id}:{notice.times}:department",
            trigger=rule.trigger,
            words=rule.words,
            ticket_id=notice.ticket_id,
            notice_id=notice.id,
            department_id=notice.department_id,
            to_department_id=notice.department_id,
            raised_at=now,
            text_level=0,
        )
    )


def _of_unit(session: Session, notice_id: int, *, by: Actor) -> SupervisionNotice:
    """Lock a notice for somebody of the unit that it was sent to."""
    require(by, Permission.TICKET_ANSWER)
    notice = _locked(session, notice_id)
    if notice.department_id not in by.department_ids:
        raise NotFound
    return notice


def _locked(session: Session, notice_id: int) -> SupervisionNotice:
    """Lock the ticket of a notice and then the notice: in this order everywhere, so that nobody blocks."""
    ticket_id = session.scalar(select(SupervisionNotice.ticket_id).where(SupervisionNotice.id == notice_id))
    if ticket_id is None:
        raise NotFound
    tickets.lock(session, ticket_id)
    notice = session.get_one(SupervisionNotice, notice_id, with_for_update=True)  # decided on below
    if notice.ended_at is not None:
        raise WrongState("这份催办、督办单已经办结。")
    return notice


def _receive(notice: SupervisionNotice, *, by: Actor, now: datetime) -> None:
    notice.received_at, notice.received_by = now, by.user_id


def _end(notice: SupervisionNotice, ending: NoticeEnding, *, words: str, by: Actor, now: datetime) -> None:
    notice.ended_at, notice.ended_by, notice.ending, notice.ending_words = now, by.user_id, ending, words


def _words(words: str, *, name: str) -> str:
    said = redact(words.strip())
    if not said:
        raise Invalid({name: "请填写具体内容。"})
    if len(said) > MOST_WORDS:
        raise Invalid({name: f"最多 {MOST_WORDS} 字。"})
    return said
