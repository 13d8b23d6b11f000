"""The sweep: re-evaluates everything that is open against the rules of supervision, set-wise and as often as one likes.

Every part is one statement that takes at most a batch of rows and is committed by itself, so a crash loses nothing and
repeats nothing: what was done is in the database under a unique key, what was not done is found again. Rows that
somebody is working on at this moment are skipped and found by the next sweep. The rules are those of
`routing.supervision.triggers`, put as cuts in time that the calendar gives (docs/decisions/0026-sweep.md).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.orm import Session

from hotline.core.clock import local_day
from hotline.tickets.queries import setting
from routing.clocks import days
from routing.clocks.calendars import WorkCalendar
from routing.clocks.days import Calendars
from routing.clocks.deadlines import Card, due_at
from routing.supervision import texting
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

#: So many batches of alarms are raised in one transaction at most, whatever the rules; they lock nothing that people
#: change.
ALARM_BATCHES: Final = 10
#: A sweep begins no further transaction after so many seconds: other work waits for the same worker, and a job of two
#: minutes is ended. The next sweep goes on.
MOST_SECONDS: Final = 40.0
#: Two sweeps never raise alarms at once: they would wait for one another in different orders.
_ONE_AT_A_TIME: Final = text("SELECT pg_advisory_xact_lock(12345, 10)")

_IN_HAND: Final = "d.is_current AND d.answered_at IS NULL AND d.ended_at IS NULL"
# What was found and what was written are both lists that the planner knows nothing of: joined, it compared every one of
# five thousand with every other (six seconds). With `IS TRUE` the answer comes from a hash table.
_JOURNAL: Final = (
    "INSERT INTO journal (ticket_id, at, act, from_state, to_state, by_role, note, details, version)"
    " SELECT f.ticket_id, :now, '{act}', f.state, f.state, 'system', {note}, {details}, f.version"
    " FROM {found} f WHERE (f.{same} IN (SELECT {same} FROM given)) IS TRUE"
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
            found="found",
            same="dispatch_id",
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
# somebody has locked is left for the next sweep: waiting for him with a batch in hand could block both. An alarm that a
# message tells of in this same transaction is written as told, and not once more a moment later.
_RAISE: Final = """
WITH raised AS (
    INSERT INTO alarms (key, trigger, words, ticket_id, notice_id, department_id, to_department_id, raised_at,
        text_level, at_once, told_at)
    SELECT s.key, :trigger, :words, s.ticket_id, s.notice_id, s.department_id,
        CASE :told WHEN 'department' THEN s.department_id WHEN 'leader' THEN s.department_id
            WHEN 'above' THEN p.parent_id END,
        :now, :text_level, k.urgency <> '一般',
        CASE WHEN CAST(:text_level AS bigint) IS NOT NULL AND (:working OR k.urgency <> '一般') THEN :now END
    FROM ({source}) AS s JOIN tickets k ON k.id = s.ticket_id LEFT JOIN departments p ON p.id = s.department_id
    WHERE NOT EXISTS (SELECT FROM alarms a WHERE a.key = s.key)
    LIMIT :most FOR KEY SHARE OF k SKIP LOCKED
    ON CONFLICT (key) DO NOTHING
    RETURNING id, trigger, to_department_id, text_level, told_at
)
SELECT to_department_id, text_level, trigger, told_at IS NOT NULL AS told, count(*) AS alarms, max(id) AS last_id
FROM raised GROUP BY 1, 2, 3, 4
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
    Trigger.RETURN_UNRULED: """
        SELECT 'ruling:' || r.id || ':' || :to AS key, r.ticket_id, NULL::bigint AS notice_id, d.department_id
        FROM returns r JOIN dispatches d ON d.id = r.dispatch_id
        WHERE r.state = 'open' AND r.asked_at < :cut
    """,
    Trigger.ANSWER_UNREAD: """
        SELECT 'reading:' || v.id || ':' || :to AS key, v.ticket_id, NULL::bigint AS notice_id, d.department_id
        FROM vettings v JOIN dispatches d ON d.id = v.dispatch_id
        WHERE v.state = 'waiting' AND v.due_at < :now
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
), numbered AS (
    SELECT nextval('supervision_notices_id_seq') AS id, f.*,
        coalesce(CAST(o.due ->> 'receive_due_at' AS timestamptz), :receive_due_at) AS receive_due_at,
        coalesce(CAST(o.due ->> 'due_at' AS timestamptz), :due_at) AS due_at
    FROM found f CROSS JOIN LATERAL (SELECT CAST(:own AS jsonb) -> CAST(f.department_id AS text) AS due) AS o
), given AS (
    INSERT INTO supervision_notices (id, key, kind, ticket_id, department_id, words, sent_at, receive_due_at, due_at)
    SELECT id, key, :kind, ticket_id, department_id, :words, :now, receive_due_at, due_at FROM numbered
    ON CONFLICT DO NOTHING RETURNING id
), written AS (
    {
    _JOURNAL.format(
        act="{act}",
        note=":words",
        details="jsonb_build_object('notice', f.id, 'due', f.due_at)",
        found="numbered",
        same="id",
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
    #: Whether everything was looked at; otherwise the next sweep goes on where this one ended.
    finished: bool = True


def rules_of(session: Session) -> Rules:
    """Return what the city has decided about supervision."""
    return Rules.from_setting(setting(session, SETTING))


def sweep(begin: Begin, *, now: datetime, batch: int = BATCH, ticks: Callable[[], float] = time.monotonic) -> Swept:
    """Re-evaluate everything that is open; returns what was new. Twice at once, or twice in turn, does it once.

    `ticks` counts seconds. Where the house was down for weeks, one sweep is not enough: what it did stays, and the
    next ones go on.
    """
    with begin() as session:
        rules, calendars = rules_of(session), days.calendars(session, today=local_day(now))
    plan = _Plan(begin=begin, rules=rules, calendars=calendars, now=now, batch=batch, ticks=ticks, began=ticks())
    settled = plan.repeat(_SETTLE_CARDS)
    lifted = plan.repeat(_LIFT_NOTICES)
    yellow = plan.repeat(_SHOW_YELLOW, counted=True) if rules.is_on(Trigger.YELLOW_CARD) else 0
    red = plan.repeat(_SHOW_RED, counted=True) if rules.is_on(Trigger.RED_CARD) else 0
    notices = sum(plan.notify(step) for step in rules.ladder if step.notice) + plan.notify_redone()
    alarms, texts = plan.tell()
    return Swept(
        settled=settled,
        yellow=yellow,
        red=red,
        notices=notices,
        lifted=lifted,
        alarms=alarms,
        texts=texts,
        finished=not plan.left,
    )


@dataclass(kw_only=True)
class _Plan:
    """One sweep: what every part is given, and whether a part had to leave something."""

    begin: Begin
    rules: Rules
    calendars: Calendars
    now: datetime
    batch: int
    ticks: Callable[[], float]
    began: float
    left: bool = False

    def goes_on(self, turn: int) -> bool:
        """Tell whether a part that found more may do another transaction; if not, something is left."""
        self.left = self.left or turn + 1 >= MOST_BATCHES or self.ticks() - self.began > MOST_SECONDS
        return not self.left

    @property
    def calendar(self) -> WorkCalendar:
        """The city's, by which the ladder is climbed and the hours are kept."""
        return self.calendars.city

    def repeat(self, statement: str, *, counted: bool = False, **given: Any) -> int:  # noqa: ANN401 - bound values
        """Run one statement, a batch and a transaction at a time, until it finds no full batch any more."""
        total = 0
        for turn in range(MOST_BATCHES):
            with self.begin() as session:
                found = session.execute(text(statement), {"now": self.now, "most": self.batch, **given})
                done = int(found.scalar_one()) if counted else int(found.rowcount)  # type: ignore[attr-defined] # a cursor's
            total += done
            if done < self.batch or not self.goes_on(turn):
                break
        return total

    def reached(self, step: Step) -> datetime | None:
        """Return the cut for a step: red that began before it has stood long enough; none for the card's own day."""
        return cut(self.calendar, self.now, workdays=step.workdays) if step.workdays else None

    def tell(self) -> tuple[int, int]:
        """Raise every alarm and write the messages that tell of them, together; returns how many of each.

        In one transaction, so that a unit gets one message however many rules spoke; another sweep waits for it with
        empty hands. A house that was down for weeks needs several: what the later ones raise is told in the end, all of
        it by one message a unit.
        """
        most, raised, written = self.batch * ALARM_BATCHES, 0, 0
        working = is_working(self.calendar, self.now)
        for turn in range(MOST_BATCHES):
            with self.begin() as session:
                session.execute(_ONE_AT_A_TIME)
                parts, room = list[texting.Part](), most
                if turn == 0:
                    parts += texting.untold(session, working=working, now=self.now, most=most)
                for statement, bound in self._alarms():
                    given = {"now": self.now, "working": working and turn == 0, "most": room}
                    rows = session.execute(text(statement), {**given, **bound}).all()
                    parts += [texting.Part.of(row) for row in rows if row.told]
                    room -= sum(row.alarms for row in rows)
                    if room <= 0:
                        break
                raised += most - room
                written += texting.write(session, parts, now=self.now)
            if room > 0:
                break
            if not self.goes_on(turn):
                return raised, written
        if turn > 0:
            with self.begin() as session:
                session.execute(_ONE_AT_A_TIME)
                parts = list(texting.untold(session, working=working, now=self.now, most=most * 4))
                written += texting.write(session, parts, now=self.now)
        return raised, written

    def _alarms(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Give every statement that raises alarms, with what is bound in it."""
        for step in self.rules.ladder:
            if self.rules.is_on(_CARD_TRIGGERS[step.colour]):
                yield self._climb(step)
        for trigger in _SOURCES:
            if self.rules.is_on(trigger):
                yield from self._look(trigger)
        # Units are told of the notices that they were sent.
        rule = BY_TRIGGER[Trigger.NOTICE_SENT]
        yield (
            _typed(_RAISE.format(source=_NEW_NOTICES)),
            {
                "trigger": rule.trigger.value,
                "words": rule.words,
                "told": Told.DEPARTMENT.value,
                "to": Told.DEPARTMENT.value,
                "text_level": _LEVELS[Told.DEPARTMENT],
            },
        )

    def _climb(self, step: Step) -> tuple[str, dict[str, Any]]:
        """Tell whoever stands on this rung of the ladder."""
        return _typed(_RAISE.format(source=_OF_CARD)), {
            "trigger": _CARD_TRIGGERS[step.colour].value,
            "words": step.words,
            "told": step.told.value,
            "text_level": step.level if step.text else None,
            "step": step.words,
            "colour": step.colour.value,
            "cut": self.reached(step),
        }

    def _look(self, trigger: Trigger) -> Iterator[tuple[str, dict[str, Any]]]:
        """Raise the alarms of one trigger for everybody whom it tells."""
        rule, limit = BY_TRIGGER[trigger], self.rules.limit(trigger)
        given: dict[str, Any] = {}
        if ":limit" in _SOURCES[trigger]:
            given["limit"] = limit
        if ":cut" in _SOURCES[trigger]:
            given["cut"] = cut(self.calendar, self.now, workdays=limit)
        for told in rule.told:
            yield (
                _typed(_RAISE.format(source=_SOURCES[trigger])),
                {
                    "trigger": trigger.value,
                    "words": rule.words,
                    "told": told.value,
                    "to": told.value,
                    "text_level": _LEVELS[told],
                    **given,
                },
            )

    def notify(self, step: Step) -> int:
        """Send the notices of one rung."""
        kind = step.notice
        if kind is None or not self.rules.is_on(_CARD_TRIGGERS[step.colour]):
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
            **self._due(self.calendar, kind),
            # Units that keep days of their own, or follow one above, have deadlines of their own.
            own=json.dumps(
                {
                    unit: {name: at.isoformat() for name, at in self._due(self.calendars.of(unit), kind).items()}
                    for unit in self.calendars.of_their_own()
                }
            ),
            **given,
        )

    def _due(self, calendar: WorkCalendar, kind: NoticeKind) -> dict[str, datetime]:
        return {
            "receive_due_at": due_at(calendar, self.now, workdays=self.rules.receive_workdays),
            "due_at": due_at(calendar, self.now, workdays=self.rules.workdays(kind)),
        }


_CARD_TRIGGERS: Final[Mapping[Card, Trigger]] = {Card.YELLOW: Trigger.YELLOW_CARD, Card.RED: Trigger.RED_CARD}
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
    "SELECT id, key, :kind,": "SELECT id, key, CAST(:kind AS text),",
    ":working OR": "CAST(:working AS boolean) OR",
}


def _typed(statement: str) -> str:
    """Say of what type a bound value is where PostgreSQL cannot tell."""
    for bare, told in _TYPES.items():
        statement = statement.replace(bare, told)
    return statement
