"""The sweep: re-evaluates everything that is open against the rules of supervision, set-wise and as often as one likes.

Every part is one statement that takes at most a batch of rows and is committed by itself, so a crash loses nothing and
repeats nothing: what was done is in the database under a unique key, what was not done is found again. Rows that
somebody is working on at this moment are skipped and found by the next sweep. The rules are those of
`routing.supervision.triggers`, put as cuts in time that the calendar gives (docs/decisions/0026-sweep.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ARRAY, BigInteger, bindparam, func, select, text, update
from sqlalchemy.orm import Session

from hotline.core.clock import local
from hotline.core.permissions import SYSTEM
from hotline.telephony.actions import queue_text
from hotline.tickets.queries import setting
from routing.clocks import granting
from routing.clocks.calendars import WorkCalendar
from routing.clocks.deadlines import Card, due_at
from routing.models import Department
from routing.supervision.models import Alarm, Leader
from routing.supervision.triggers import (
    BY_TRIGGER,
    SETTING,
    SHARE_OF_URGENT,
    SHARE_OF_VERY_URGENT,
    NoticeKind,
    Rules,
    Step,
    Told,
    Trigger,
    cut,
    is_working,
)

Begin = Callable[[], AbstractContextManager[Session]]

BATCH: Final = 5_000
#: No part goes on for longer than this many batches in one sweep; the next sweep goes on where it ended.
MOST_BATCHES: Final = 100

_IN_HAND: Final = "d.is_current AND d.answered_at IS NULL AND d.ended_at IS NULL"
_JOURNAL: Final = (
    "INSERT INTO journal (ticket_id, at, act, from_state, to_state, by_role, note, details, version)"
    " SELECT f.ticket_id, :now, '{act}', f.state, f.state, 'system', {note}, {details}, f.version"
    " FROM found f JOIN given g ON g.{joined} = f.{joined}"
)

# A card is over when the ticket was answered or went elsewhere, when red follows yellow, or when its deadline moved.
_SETTLE_CARDS: Final = f"""
WITH found AS (
    SELECT c.id, coalesce(d.answered_at, d.ended_at, :now) AS at, ({_IN_HAND}) AND d.due_at <> c.due_at AS lifted
    FROM cards c JOIN dispatches d ON d.id = c.dispatch_id
    WHERE c.settled_at IS NULL
    AND (NOT ({_IN_HAND}) OR d.due_at <> c.due_at OR (c.colour = 'yellow' AND d.red_from <= :now))
    ORDER BY c.id LIMIT :most FOR UPDATE OF c SKIP LOCKED
)
UPDATE cards SET settled_at = f.at, lifted = f.lifted FROM found f WHERE cards.id = f.id
"""


def _show(colour: str, reached: str) -> str:
    note = {"yellow": "'距办理时限不足一个工作日'", "red": "'已超过办理时限'"}[colour]
    return f"""
    WITH found AS (
        SELECT d.id AS dispatch_id, d.ticket_id, d.department_id, d.due_at, t.state, t.version
        FROM dispatches d JOIN tickets t ON t.id = d.ticket_id
        WHERE {_IN_HAND} AND {reached} AND NOT EXISTS (
            SELECT FROM cards c WHERE c.dispatch_id = d.id AND c.colour = '{colour}' AND c.due_at = d.due_at
        )
        ORDER BY d.id LIMIT :most FOR UPDATE OF d, t SKIP LOCKED
    ), given AS (
        INSERT INTO cards (dispatch_id, ticket_id, department_id, colour, due_at, shown_at)
        SELECT dispatch_id, ticket_id, department_id, '{colour}', due_at, :now FROM found
        ON CONFLICT DO NOTHING RETURNING dispatch_id
    ), written AS (
        {
        _JOURNAL.format(
            act="card",
            note=note,
            details=f"jsonb_build_object('colour', '{colour}', 'due', f.due_at)",
            joined="dispatch_id",
        )
    }
    )
    SELECT count(*) FROM given
    """


# While the clock stands (挂起) nobody is shown a card.
_RUNS: Final = "(d.suspended_until IS NULL OR d.suspended_until <= :now)"
_SHOW_YELLOW: Final = _show("yellow", f"d.yellow_from <= :now AND d.red_from > :now AND {_RUNS}")
_SHOW_RED: Final = _show("red", f"d.red_from <= :now AND {_RUNS}")

# `source` yields: key, ticket_id, notice_id, department_id; the alarm goes to whoever `told` names. A ticket that
# somebody has locked is left for the next sweep: waiting for him with a batch in hand could block both.
_RAISE: Final = """
INSERT INTO alarms (key, trigger, words, ticket_id, notice_id, department_id, to_department_id, raised_at, text_level,
    at_once)
SELECT s.key, :trigger, :words, s.ticket_id, s.notice_id, s.department_id,
    CASE :told WHEN 'department' THEN s.department_id WHEN 'leader' THEN s.department_id
        WHEN 'above' THEN p.parent_id END,
    :now, :text_level, k.urgency <> '一般'
FROM ({source}) AS s JOIN tickets k ON k.id = s.ticket_id LEFT JOIN departments p ON p.id = s.department_id
WHERE NOT EXISTS (SELECT FROM alarms a WHERE a.key = s.key)
LIMIT :most FOR KEY SHARE OF k SKIP LOCKED
ON CONFLICT (key) DO NOTHING
"""

_OF_CARD: Final = f"""
    SELECT 'card:' || c.id || ':' || :step AS key, c.ticket_id, NULL::bigint AS notice_id, c.department_id
    FROM cards c JOIN dispatches d ON d.id = c.dispatch_id
    WHERE c.settled_at IS NULL AND c.colour = :colour AND {_IN_HAND} AND (:cut IS NULL OR d.red_from < :cut)
"""

#: Where each trigger looks; `:limit`, `:cut` and `:to` (the name of whom is told) are given where they are named.
_SOURCES: Final[Mapping[Trigger, str]] = {
    Trigger.SIGN_OVERDUE: f"""
        SELECT 'sign:' || d.id || ':' || :to AS key, d.ticket_id, NULL::bigint AS notice_id, d.department_id
        FROM dispatches d
        WHERE {_IN_HAND} AND d.signed_at IS NULL AND d.sign_due_at < :now
    """,
    Trigger.NOT_CONTACTED: f"""
        SELECT 'contact:' || d.id || ':' || :to AS key, d.ticket_id, NULL::bigint AS notice_id, d.department_id
        FROM dispatches d
        WHERE {_IN_HAND} AND d.signed_at IS NOT NULL AND d.contacted_at IS NULL AND d.sent_at < :cut
    """,
    Trigger.CALLBACK_UNHAPPY: f"""
        SELECT 'rework:' || d.id || ':' || :to AS key, d.ticket_id, NULL::bigint AS notice_id, d.department_id
        FROM dispatches d WHERE {_IN_HAND} AND d.round = 1
    """,
    Trigger.REDO_UNHAPPY: f"""
        SELECT 'rework:' || d.id || ':' || :to AS key, d.ticket_id, NULL::bigint AS notice_id, d.department_id
        FROM dispatches d WHERE {_IN_HAND} AND d.round > 1
    """,
    Trigger.REPEATED: """
        SELECT 'repeat:' || t.id || ':' || t.repeats / :limit || ':' || :to AS key, t.id AS ticket_id,
            NULL::bigint AS notice_id, d.department_id
        FROM tickets t LEFT JOIN dispatches d ON d.ticket_id = t.id AND d.is_current
        WHERE t.repeats > 0 AND t.state <> 'closed' AND t.repeats >= :limit
    """,
    Trigger.PING_PONG: """
        SELECT 'returns:' || t.id || ':' || r.times || ':' || :to AS key, t.id AS ticket_id,
            NULL::bigint AS notice_id, d.department_id
        FROM (
            SELECT ticket_id, count(*) AS times FROM dispatches WHERE ending = 'sent_back'
            GROUP BY ticket_id HAVING count(*) >= :limit
        ) r JOIN tickets t ON t.id = r.ticket_id LEFT JOIN dispatches d ON d.ticket_id = t.id AND d.is_current
        WHERE t.state <> 'closed'
    """,
    Trigger.UNDISPATCHED: f"""
        SELECT 'undispatched:' || t.id || ':' || extract(epoch FROM w.since)::bigint || ':' || :to AS key,
            t.id AS ticket_id, NULL::bigint AS notice_id, NULL::bigint AS department_id
        FROM tickets t CROSS JOIN LATERAL (
            SELECT greatest(t.registered_at, max(d.ended_at)) AS since FROM dispatches d WHERE d.ticket_id = t.id
        ) w
        WHERE t.state = 'registered' AND NOT EXISTS (
            SELECT FROM merges m WHERE m.ticket_id = t.id AND m.answered_at IS NULL
        ) AND w.since < :now - make_interval(hours => :limit) / CASE t.urgency
            WHEN '特急' THEN {SHARE_OF_VERY_URGENT} WHEN '紧急' THEN {SHARE_OF_URGENT} ELSE 1 END
    """,
    Trigger.NOTICE_NOT_RECEIVED: """
        SELECT 'notice:' || n.id || ':unreceived:' || :to AS key, n.ticket_id, n.id AS notice_id, n.department_id
        FROM supervision_notices n
        WHERE n.ended_at IS NULL AND n.received_at IS NULL AND n.receive_due_at < :now
    """,
    Trigger.NOTICE_LATE: """
        SELECT 'notice:' || n.id || ':late:' || :to AS key, n.ticket_id, n.id AS notice_id, n.department_id
        FROM supervision_notices n
        WHERE n.ended_at IS NULL AND n.accounted_at IS NULL AND n.due_at < :now
    """,
}

# Nothing more can be asked of a unit that gave the ticket back, and urging is over when the ticket was answered.
_LIFT_NOTICES: Final = """
WITH found AS (
    SELECT n.id FROM supervision_notices n
    WHERE n.ended_at IS NULL AND n.accounted_at IS NULL AND NOT EXISTS (
        SELECT FROM dispatches d WHERE d.ticket_id = n.ticket_id AND d.department_id = n.department_id AND d.is_current
        AND d.ending IS DISTINCT FROM 'withdrawn' AND d.ending IS DISTINCT FROM 'sent_back'
        AND (n.kind = 'supervise' OR (d.answered_at IS NULL AND d.ended_at IS NULL))
    )
    ORDER BY n.id LIMIT :most FOR UPDATE OF n SKIP LOCKED
)
UPDATE supervision_notices SET ended_at = :now, ending = 'lifted', ending_words = '工单已反馈或已不在该单位，系统解除',
    version = version + 1
FROM found f WHERE supervision_notices.id = f.id
"""

# `source` yields: key, dispatch_id. A unit that has an open notice of the kind gets no second one.
_NOTIFY: Final = f"""
WITH found AS (
    SELECT s.key, d.id AS dispatch_id, d.department_id, t.id AS ticket_id, t.state, t.version
    FROM ({{source}}) AS s JOIN dispatches d ON d.id = s.dispatch_id JOIN tickets t ON t.id = d.ticket_id
    WHERE {_IN_HAND} AND NOT EXISTS (SELECT FROM supervision_notices n WHERE n.key = s.key)
    AND NOT EXISTS (
        SELECT FROM supervision_notices n WHERE n.ticket_id = d.ticket_id AND n.department_id = d.department_id
        AND n.kind = :kind AND n.ended_at IS NULL
    )
    ORDER BY d.id LIMIT :most FOR UPDATE OF d, t SKIP LOCKED
), given AS (
    INSERT INTO supervision_notices (key, kind, ticket_id, department_id, words, sent_at, receive_due_at, due_at)
    SELECT key, :kind, ticket_id, department_id, :words, :now, :receive_due_at, :due_at FROM found
    ON CONFLICT DO NOTHING RETURNING id, key, ticket_id
), written AS (
    {
    _JOURNAL.format(
        act="{act}",
        note=":words",
        details="jsonb_build_object('notice', g.id, 'due', CAST(:due_at AS timestamptz))",
        joined="key",
    )
}
)
SELECT count(*) FROM given
"""
_CARDS_OF_STEP: Final = """
    SELECT 'card:' || c.id || ':' || :step AS key, c.dispatch_id
    FROM cards c JOIN dispatches d ON d.id = c.dispatch_id
    WHERE c.settled_at IS NULL AND c.colour = :colour AND (:cut IS NULL OR d.red_from < :cut)
"""
_REDONE: Final = f"""
    SELECT 'rework:' || d.id AS key, d.id AS dispatch_id FROM dispatches d WHERE {_IN_HAND} AND d.round > 1
"""
# Whoever is sent a notice is told of it, also of those that people send.
_NEW_NOTICES: Final = """
    SELECT 'notice:' || n.id || ':' || n.times || ':' || :to AS key, n.ticket_id, n.id AS notice_id, n.department_id
    FROM supervision_notices n WHERE n.ended_at IS NULL AND n.accounted_at IS NULL
"""


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What one sweep did."""

    settled: int = 0
    yellow: int = 0
    red: int = 0
    notices: int = 0
    lifted: int = 0
    alarms: int = 0
    texts: int = 0


def rules_of(session: Session) -> Rules:
    """Return what the city has decided about supervision."""
    return Rules.from_setting(setting(session, SETTING))


def sweep(begin: Begin, *, now: datetime, batch: int = BATCH) -> Swept:
    """Re-evaluate everything that is open; returns what was new. Twice at once, or twice in turn, does it once."""
    with begin() as session:
        rules, calendar = rules_of(session), granting.calendar(session)
    plan = _Plan(begin=begin, rules=rules, calendar=calendar, now=now, batch=batch)
    settled = plan.repeat(_SETTLE_CARDS)
    lifted = plan.repeat(_LIFT_NOTICES)
    yellow = plan.repeat(_SHOW_YELLOW, counted=True) if rules.is_on(Trigger.YELLOW_CARD) else 0
    red = plan.repeat(_SHOW_RED, counted=True) if rules.is_on(Trigger.RED_CARD) else 0
    notices = sum(plan.notify(step) for step in rules.ladder if step.notice) + plan.notify_redone()
    alarms = sum(plan.climb(step) for step in rules.ladder)
    alarms += sum(plan.look(trigger) for trigger in _SOURCES if rules.is_on(trigger))
    alarms += plan.tell_of_notices()
    texts = write_texts(begin, calendar=calendar, now=now, batch=batch)
    return Swept(settled=settled, yellow=yellow, red=red, notices=notices, lifted=lifted, alarms=alarms, texts=texts)


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """One sweep: what every part is given."""

    begin: Begin
    rules: Rules
    calendar: WorkCalendar
    now: datetime
    batch: int

    def repeat(self, statement: str, *, counted: bool = False, **given: Any) -> int:  # noqa: ANN401 - bound values
        """Run one statement, a batch and a transaction at a time, until it finds no full batch any more."""
        total = 0
        for _ in range(MOST_BATCHES):
            with self.begin() as session:
                found = session.execute(text(statement), {"now": self.now, "most": self.batch, **given})
                done = int(found.scalar_one()) if counted else int(found.rowcount)  # type: ignore[attr-defined] # a cursor's
            total += done
            if done < self.batch:
                break
        return total

    def reached(self, step: Step) -> datetime | None:
        """Return the cut for a step: red that began before it has stood long enough; none for the card's own day."""
        return cut(self.calendar, self.now, workdays=step.workdays) if step.workdays else None

    def climb(self, step: Step) -> int:
        """Tell whoever stands on this rung of the ladder."""
        trigger = Trigger.YELLOW_CARD if step.colour is Card.YELLOW else Trigger.RED_CARD
        if not self.rules.is_on(trigger):
            return 0
        return self.repeat(
            _typed(_RAISE.format(source=_OF_CARD)),
            trigger=trigger.value,
            words=step.words,
            told=step.told.value,
            text_level=step.level if step.text else None,
            step=step.words,
            colour=step.colour.value,
            cut=self.reached(step),
        )

    def look(self, trigger: Trigger) -> int:
        """Raise the alarms of one trigger for everybody whom it tells."""
        rule, limit = BY_TRIGGER[trigger], self.rules.limit(trigger)
        given: dict[str, Any] = {}
        if ":limit" in _SOURCES[trigger]:
            given["limit"] = limit
        if ":cut" in _SOURCES[trigger]:
            given["cut"] = cut(self.calendar, self.now, workdays=limit)
        return sum(
            self.repeat(
                _typed(_RAISE.format(source=_SOURCES[trigger])),
                trigger=trigger.value,
                words=rule.words,
                told=told.value,
                to=told.value,
                text_level=_LEVELS[told],
                **given,
            )
            for told in rule.told
        )

    def tell_of_notices(self) -> int:
        """Tell units of the notices that they were sent."""
        rule = BY_TRIGGER[Trigger.NOTICE_SENT]
        return self.repeat(
            _typed(_RAISE.format(source=_NEW_NOTICES)),
            trigger=rule.trigger.value,
            words=rule.words,
            told=Told.DEPARTMENT.value,
            to=Told.DEPARTMENT.value,
            text_level=_LEVELS[Told.DEPARTMENT],
        )

    def notify(self, step: Step) -> int:
        """Send the notices of one rung."""
        kind = step.notice
        if kind is None or not self.rules.is_on(
            Trigger.YELLOW_CARD if step.colour is Card.YELLOW else Trigger.RED_CARD
        ):
            return 0
        return self._notify(
            _CARDS_OF_STEP,
            kind=kind,
            words=f"{step.words}。请立即办理并说明情况。",
            step=step.words,
            colour=step.colour.value,
            cut=self.reached(step),
        )

    def notify_redone(self) -> int:
        """Call units to account whose rework did not satisfy either."""
        kind = BY_TRIGGER[Trigger.REDO_UNHAPPY].notice
        if kind is None or not self.rules.is_on(Trigger.REDO_UNHAPPY):
            return 0
        return self._notify(_REDONE, kind=kind, words="重办后诉求人仍不满意，请说明原因和整改措施。")

    def _notify(self, source: str, *, kind: NoticeKind, **given: Any) -> int:  # noqa: ANN401 - bound values
        return self.repeat(
            _typed(_NOTIFY.format(source=source, act=kind.value)),
            counted=True,
            kind=kind.value,
            receive_due_at=due_at(self.calendar, self.now, workdays=self.rules.receive_workdays),
            due_at=due_at(self.calendar, self.now, workdays=self.rules.workdays(kind)),
            **given,
        )


#: Whom a text message goes to when a trigger tells somebody: the duty contact, the first leader, nobody.
_LEVELS: Final[Mapping[Told, int | None]] = {
    Told.DEPARTMENT: 0,
    Told.LEADER: 1,
    Told.ABOVE: 1,
    Told.CENTRE: None,
}
_TYPES: Final = {
    ":cut IS NULL": "CAST(:cut AS timestamptz) IS NULL",
    "CASE :told": "CASE CAST(:told AS text)",
    ":text_level,": "CAST(:text_level AS bigint),",
    "|| :step ": "|| CAST(:step AS text) ",
    "|| :to ": "|| CAST(:to AS text) ",
    "SELECT key, :kind,": "SELECT key, CAST(:kind AS text),",
}


def _typed(statement: str) -> str:
    """Say of what type a bound value is where PostgreSQL cannot tell."""
    for bare, told in _TYPES.items():
        statement = statement.replace(bare, told)
    return statement


@dataclass(frozen=True, kw_only=True)
class _Digest:
    """What one unit is told by one text message."""

    department_id: int | None
    level: int
    alarms: int
    reds: int
    yellows: int
    last_id: int


def write_texts(begin: Begin, *, calendar: WorkCalendar, now: datetime, batch: int = BATCH) -> int:
    """Write one text message for each unit and level that has new alarms; returns how many messages.

    One message however many alarms; outside working hours only for what is urgent. The alarms are marked in the same
    transaction, so a message is written once. What a message says names no citizen and no matter.
    """
    working = is_working(calendar, now)
    written = 0
    for _ in range(MOST_BATCHES):
        with begin() as session:
            query = (
                select(Alarm.id, Alarm.to_department_id, Alarm.text_level, Alarm.trigger)
                .where(Alarm.told_at.is_(None), Alarm.text_level.is_not(None))
                .order_by(Alarm.id)
                .limit(batch)
                .with_for_update(skip_locked=True)  # two sweeps at once take different alarms
            )
            rows = session.execute(query if working else query.where(Alarm.at_once)).all()
            digests = list(_digests(rows))
            numbers = _numbers(session, digests)
            for digest in digests:
                name, phones = numbers[digest.department_id, digest.level]
                for phone in phones:
                    queue_text(
                        session,
                        key=f"alarms:{digest.department_id or 0}:{digest.level}:{digest.last_id}:{phone}",
                        purpose="supervision",
                        to=phone,
                        body=_body(digest, name=name, now=now),
                        by=SYSTEM,
                        now=now,
                    )
                    written += 1
            marked = update(Alarm).where(Alarm.id == func.any(bindparam("ids", type_=ARRAY(BigInteger))))
            session.connection().execute(marked.values(told_at=now), {"ids": [row.id for row in rows]})
        if len(rows) < batch:
            break
    return written


def _digests(rows: Any) -> Iterator[_Digest]:  # noqa: ANN401 - rows of four columns
    together: dict[tuple[int | None, int], list[Any]] = {}
    for row in rows:
        together.setdefault((row.to_department_id, row.text_level), []).append(row)
    for (department_id, level), alarms in together.items():
        yield _Digest(
            department_id=department_id,
            level=level,
            alarms=len(alarms),
            reds=sum(alarm.trigger is Trigger.RED_CARD for alarm in alarms),
            yellows=sum(alarm.trigger is Trigger.YELLOW_CARD for alarm in alarms),
            last_id=alarms[-1].id,
        )


def _numbers(session: Session, digests: list[_Digest]) -> dict[tuple[int | None, int], tuple[str, list[str]]]:
    """Return name and numbers for each unit and level, in two questions however many units there are."""
    wanted = {digest.department_id for digest in digests if digest.department_id is not None}
    departments = {
        row.id: row
        for row in session.execute(
            select(Department.id, Department.short_name, Department.duty_phone).where(Department.id.in_(wanted))
        )
    }
    leaders: dict[tuple[int | None, int], list[str]] = {}
    for leader in session.execute(select(Leader.department_id, Leader.level, Leader.phone).order_by(Leader.id)):
        leaders.setdefault((leader.department_id, leader.level), []).append(leader.phone)
    found = {}
    for digest in digests:
        row = departments.get(digest.department_id or 0)
        duty = [row.duty_phone] if row is not None and row.duty_phone else []
        phones = leaders.get((digest.department_id, digest.level), []) if digest.level else duty
        found[digest.department_id, digest.level] = (row.short_name if row is not None else "热线中心", phones)
    return found


def _body(digest: _Digest, *, name: str, now: datetime) -> str:
    parts = [f"红牌 {digest.reds} 件" if digest.reds else "", f"黄牌 {digest.yellows} 件" if digest.yellows else ""]
    others = digest.alarms - digest.reds - digest.yellows
    parts.append(f"其他督办提醒 {others} 条" if others else "")
    said = "、".join(part for part in parts if part)
    return f"【12345热线】{name}：截至{local(now):%m月%d日%H:%M}新增{said}，请登录工单平台办理并确认。"
