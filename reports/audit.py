"""Recomputes the invariants from the journal and the rows, and names what does not close."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import text
from sqlalchemy.orm import Session

from callbacks.policy import ATTEMPTS
from hotline.core.outbox import MOST_TRIES
from hotline.tickets.states import HANDLING, MOVES, Act, State

#: What is handed over and not yet delivered counts as waiting for this long.
DELIVERY_MAY_TAKE: Final = timedelta(minutes=10)
_SHOWN: Final = 20


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One invariant that does not hold, with the first offenders."""

    rule: str
    words: str
    offenders: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Rule:
    name: str
    words: str
    sql: str


# Each query returns one text column: the offenders. They are read in order of id and cut at twenty.
_RULES: Final = (
    _Rule(
        name="first_line_is_registration",
        words="每张工单的第一条台账应为登记受理",
        sql="""
        SELECT t.number FROM tickets t LEFT JOIN LATERAL (
            SELECT act FROM journal j WHERE j.ticket_id = t.id ORDER BY j.id LIMIT 1
        ) f ON true WHERE f.act IS DISTINCT FROM 'register' ORDER BY t.id
        """,
    ),
    _Rule(
        name="state_is_what_the_journal_says",
        words="工单状态应与最后一条台账一致",
        sql="""
        SELECT t.number || '：' || t.state || ' / ' || coalesce(l.to_state, '无') FROM tickets t LEFT JOIN LATERAL (
            SELECT to_state FROM journal j WHERE j.ticket_id = t.id ORDER BY j.id DESC LIMIT 1
        ) l ON true WHERE l.to_state IS DISTINCT FROM t.state ORDER BY t.id
        """,
    ),
    _Rule(
        name="journal_is_a_chain",
        words="每条台账应从上一条的状态开始",
        sql="""
        SELECT number || '：第 ' || id || ' 条' FROM (
            SELECT j.id, t.number, j.from_state, j.act,
                   lag(j.to_state) OVER (PARTITION BY j.ticket_id ORDER BY j.id) AS before
            FROM journal j JOIN tickets t ON t.id = j.ticket_id
        ) c WHERE from_state IS DISTINCT FROM before ORDER BY id
        """,
    ),
    _Rule(
        name="every_move_is_on_the_map",
        words="每条台账都应是流程图上的一步",
        sql="""
        SELECT t.number || '：' || j.act || ' ' || coalesce(j.from_state, '') || ' → ' || j.to_state
        FROM journal j JOIN tickets t ON t.id = j.ticket_id
        WHERE j.act <> 'register' AND (j.act || '|' || j.from_state || '|' || j.to_state) <> ALL (:moves)
        ORDER BY j.id
        """,
    ),
    _Rule(
        name="held_tickets_are_in_one_pair_of_hands",
        words="待签收与办理中的工单应有且只有一个在手单位，且到期时间一致",
        sql="""
        SELECT t.number FROM tickets t LEFT JOIN dispatches d
            ON d.ticket_id = t.id AND d.is_current AND d.ended_at IS NULL AND d.answered_at IS NULL
        WHERE t.state IN ('dispatched', 'signed') AND (d.id IS NULL OR d.due_at IS DISTINCT FROM t.due_at)
        UNION ALL
        SELECT t.number FROM dispatches d JOIN tickets t ON t.id = d.ticket_id
        WHERE d.is_current AND d.ended_at IS NULL AND d.answered_at IS NULL AND t.state NOT IN ('dispatched', 'signed')
        """,
    ),
    _Rule(
        name="dispatches_keep_the_edition_of_their_day",
        words="每次派单所记的派单目录版本应在派单当时生效，所记条目应属于该版本",
        sql="""
        SELECT t.number || '：第 ' || v.number || ' 版' FROM dispatches d
        JOIN tickets t ON t.id = d.ticket_id JOIN catalogue_versions v ON v.id = d.catalogue_version_id
        -- Who dispatches in the second of a publication may still have read the edition before it.
        WHERE v.valid_from > d.sent_at OR v.valid_to <= d.sent_at - interval '1 minute' OR (
            d.catalogue_row_id IS NOT NULL AND NOT EXISTS (
                SELECT 1 FROM catalogue_rows r WHERE r.id = d.catalogue_row_id AND r.version_id = v.id
            )
        ) ORDER BY d.id
        """,
    ),
    _Rule(
        name="every_answered_ticket_waits_for_its_callback",
        words="每张已反馈的工单都应在回访队列中，或正在等待审核",
        sql="""
        SELECT t.number FROM tickets t WHERE t.state = 'answered' AND NOT EXISTS (
            SELECT 1 FROM callbacks c WHERE c.ticket_id = t.id AND c.done_at IS NULL
        ) AND NOT EXISTS (SELECT 1 FROM vettings v WHERE v.ticket_id = t.id AND v.state = 'waiting') ORDER BY t.id
        """,
    ),
    _Rule(
        name="every_answer_was_called_back_or_waits",
        words="每次反馈都应已回访或正在等待回访（回访率 100%）",
        sql="""
        SELECT t.number || '：第 ' || d.round || ' 轮' FROM dispatches d JOIN tickets t ON t.id = d.ticket_id
        WHERE d.answered_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM callbacks c WHERE c.dispatch_id = d.id)
        AND NOT EXISTS (SELECT 1 FROM vettings v WHERE v.dispatch_id = d.id AND v.state = 'waiting')
        ORDER BY d.id
        """,
    ),
    _Rule(
        name="only_called_back_tickets_are_confirmed",
        words="回访办结的工单应有已完成的回访",
        sql="""
        SELECT t.number FROM tickets t WHERE t.outcome IN ('confirmed', 'unreachable', 'declined') AND NOT EXISTS (
            SELECT 1 FROM callbacks c WHERE c.ticket_id = t.id AND c.done_at IS NOT NULL
        ) ORDER BY t.id
        """,
    ),
    _Rule(
        name="callbacks_wait_for_answered_tickets_only",
        words="待回访的应是已反馈工单的最近一次反馈",
        sql="""
        SELECT t.number || '：第 ' || c.round || ' 轮' FROM callbacks c JOIN tickets t ON t.id = c.ticket_id
        WHERE c.done_at IS NULL AND (t.state <> 'answered' OR EXISTS (
            SELECT 1 FROM callbacks later WHERE later.ticket_id = c.ticket_id AND later.id > c.id
        )) ORDER BY c.id
        """,
    ),
    _Rule(
        name="citizens_are_tried_before_they_count_as_unreachable",
        words="以“无法联系”办结的回访应有至少三次拨打（没有留下电话的除外）",
        sql="""
        SELECT t.number || '：' || count(a.id) || ' 次' FROM callbacks c JOIN tickets t ON t.id = c.ticket_id
        LEFT JOIN callback_attempts a ON a.callback_id = c.id
        WHERE c.verdict = 'unreachable' AND t.phone_index IS NOT NULL
        GROUP BY t.number, c.id HAVING count(a.id) < :attempts ORDER BY c.id
        """,
    ),
    _Rule(
        name="callbacks_are_independent",
        words="经办人不得回访自己的工单",
        sql="""
        SELECT t.number FROM callbacks c JOIN tickets t ON t.id = c.ticket_id
        WHERE c.done_by IS NOT NULL AND EXISTS (
            SELECT 1 FROM journal j WHERE j.ticket_id = c.ticket_id AND j.by_id = c.done_by
            AND j.act = ANY (:handling)
        ) ORDER BY c.id
        """,
    ),
    _Rule(
        name="bad_reviews_are_known_and_dispatched",
        words="每张差评工单都应有评价记录，且至少转过一次承办单位",
        sql="""
        SELECT t.number FROM tickets t WHERE t.kind = 'bad_review' AND (
            NOT EXISTS (SELECT FROM bad_reviews b WHERE b.ticket_id = t.id)
            OR NOT EXISTS (SELECT FROM dispatches d WHERE d.ticket_id = t.id)
        ) ORDER BY t.id
        """,
    ),
    _Rule(
        name="closed_reviews_were_judged",
        words="已办结的差评应由两人认定（诉求人撤回的除外）",
        sql="""
        SELECT t.number FROM bad_reviews b JOIN tickets t ON t.id = b.ticket_id
        WHERE t.state = 'closed' AND t.outcome <> 'withdrawn' AND b.verdict IS NULL ORDER BY t.id
        """,
    ),
    _Rule(
        name="justified_reviews_are_rectified",
        words="已办结的合理差评应有整改记录（整改率 100%）",
        sql="""
        SELECT t.number FROM bad_reviews b JOIN tickets t ON t.id = b.ticket_id
        WHERE t.state = 'closed' AND t.outcome <> 'withdrawn'
        AND b.verdict IN ('justified_simple', 'justified_complex') AND b.rectified_at IS NULL ORDER BY t.id
        """,
    ),
    _Rule(
        name="real_name_reviews_are_called_back",
        words="已办结的实名差评应有回访记录（回访率 100%）",
        sql="""
        SELECT t.number FROM bad_reviews b JOIN tickets t ON t.id = b.ticket_id
        WHERE t.state = 'closed' AND t.outcome <> 'withdrawn' AND b.real_name AND NOT EXISTS (
            SELECT 1 FROM callbacks c WHERE c.ticket_id = t.id AND c.done_at IS NOT NULL
        ) ORDER BY t.id
        """,
    ),
    _Rule(
        name="outbox_is_delivered_or_waiting",
        words="待发事项应已送达或正在等待",
        sql="""
        SELECT o.event || ' #' || o.id || '：' || o.last_error FROM outbox o
        WHERE o.delivered_at IS NULL AND (o.tries >= :most_tries OR o.created_at < :delivered_by) ORDER BY o.id
        """,
    ),
    _Rule(
        name="messages_are_sent_or_waiting",
        words="短信应已发送或正在等待",
        sql="""
        SELECT m.purpose || ' #' || m.id || '：' || m.state FROM text_messages m
        WHERE m.state = 'sending' AND m.sent_at < :delivered_by ORDER BY m.id
        """,
    ),
    _Rule(
        name="counters_equal_counts",
        words="计数器应等于实际件数",
        sql="""
        WITH stored AS (
            SELECT name, sum(value) AS value FROM (
                SELECT name, value FROM counters UNION ALL SELECT name, delta FROM counter_deltas
            ) s GROUP BY name
        ), counted AS (
            SELECT 'tickets.state.' || state AS name, count(*) AS value FROM tickets GROUP BY state
            UNION ALL SELECT 'tickets.all', count(*) FROM tickets
            UNION ALL SELECT 'tickets.bad_review.open', count(*) FROM tickets
                WHERE kind = 'bad_review' AND state <> 'closed'
            UNION ALL SELECT 'department.' || department_id || '.in_hand', count(*) FROM dispatches
                WHERE is_current AND answered_at IS NULL AND ended_at IS NULL GROUP BY department_id
            UNION ALL SELECT 'department.' || department_id || '.unsigned', count(*) FROM dispatches
                WHERE is_current AND signed_at IS NULL AND ended_at IS NULL GROUP BY department_id
            UNION ALL SELECT CASE WHEN done_at IS NULL THEN 'callbacks.waiting' ELSE 'callbacks.done' END, count(*)
                FROM callbacks GROUP BY 1
            UNION ALL SELECT 'vettings.waiting', count(*) FROM vettings WHERE state = 'waiting'
            UNION ALL SELECT 'adjustments.waiting', count(*) FROM adjustments WHERE state = 'asked'
            UNION ALL SELECT 'returns.open', count(*) FROM returns WHERE state = 'open'
            UNION ALL SELECT 'tickets.merged', count(*) FROM merges WHERE answered_at IS NULL
            UNION ALL SELECT coalesce('department.' || to_department_id || '.alarms', 'alarms.centre'), count(*)
                FROM alarms WHERE heeded_at IS NULL GROUP BY to_department_id
            UNION ALL SELECT 'disputes.open', count(*) FROM disputes WHERE state = 'open'
            UNION ALL SELECT 'harassment.marks', count(*) FROM harassment_marks WHERE cleared_at IS NULL
            UNION ALL SELECT 'harassment.asked', count(*) FROM caller_limits WHERE state = 'asked'
        )
        SELECT coalesce(s.name, c.name) || '：' || coalesce(s.value, 0) || ' / ' || coalesce(c.value, 0)
        FROM stored s FULL JOIN counted c USING (name)
        WHERE coalesce(s.value, 0) <> coalesce(c.value, 0) ORDER BY 1
        """,
    ),
    _Rule(
        name="a_clock_stands_only_for_a_pause",
        words="挂起标记应对应一段已批准的挂起",
        sql="""
        SELECT t.number FROM dispatches d JOIN tickets t ON t.id = d.ticket_id
        WHERE d.suspended_until IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM adjustments a WHERE a.dispatch_id = d.id AND a.kind = 'suspension' AND a.state = 'approved'
            AND a.ends_at = d.suspended_until
        ) ORDER BY d.id
        """,
    ),
    _Rule(
        name="nothing_is_asked_for_a_ticket_that_has_left",
        words="已反馈或已离手的工单不应有待审批的时限申请",
        sql="""
        SELECT t.number FROM adjustments a
        JOIN dispatches d ON d.id = a.dispatch_id JOIN tickets t ON t.id = a.ticket_id
        WHERE a.state = 'asked' AND (d.answered_at IS NOT NULL OR d.ended_at IS NOT NULL) ORDER BY a.id
        """,
    ),
    _Rule(
        name="parts_end_with_their_dispatch",
        words="主办单位已反馈或已离手的工单不应有未完成的协办任务",
        sql="""
        SELECT t.number FROM subtasks s JOIN dispatches d ON d.id = s.dispatch_id JOIN tickets t ON t.id = s.ticket_id
        WHERE s.ended_at IS NULL AND (d.answered_at IS NOT NULL OR d.ended_at IS NOT NULL) ORDER BY s.id
        """,
    ),
    _Rule(
        name="parts_lie_inside_the_leads_time",
        words="协办任务的时限应在主办时限之内",
        sql="""
        SELECT t.number FROM subtasks s JOIN dispatches d ON d.id = s.dispatch_id JOIN tickets t ON t.id = s.ticket_id
        WHERE s.ended_at IS NULL AND s.due_at > d.due_at AND d.due_at > s.given_at ORDER BY s.id
        """,
    ),
    _Rule(
        name="nobody_is_left_out_without_a_reason",
        words="未等待协办单位即反馈的，应有说明",
        sql="""
        SELECT t.number FROM subtasks s JOIN tickets t ON t.id = s.ticket_id
        WHERE s.ending = 'left_out' AND NOT EXISTS (
            SELECT 1 FROM answers a WHERE a.dispatch_id = s.dispatch_id AND a.left_out_why <> ''
        ) ORDER BY s.id
        """,
    ),
    _Rule(
        name="returns_are_counted",
        words="退单次数应等于生效的退单",
        sql="""
        SELECT t.number || '：' || t.returned || ' / ' || count(d.id) FROM tickets t
        LEFT JOIN dispatches d ON d.ticket_id = t.id AND d.ending = 'sent_back'
        WHERE t.dispatched_at IS NOT NULL OR t.returned <> 0
        GROUP BY t.id HAVING t.returned <> count(d.id) ORDER BY t.id
        """,
    ),
    _Rule(
        name="open_returns_are_of_who_holds",
        words="待审核的退单申请应来自在手单位",
        sql="""
        SELECT t.number FROM returns r JOIN tickets t ON t.id = r.ticket_id JOIN dispatches d ON d.id = r.dispatch_id
        WHERE r.state = 'open' AND (NOT d.is_current OR d.ended_at IS NOT NULL OR d.answered_at IS NOT NULL)
        ORDER BY r.id
        """,
    ),
    _Rule(
        name="rulings_are_made_by_two_seats",
        words="生效的职责裁定应由热线和其他席位的两人共同作出",
        sql="""
        SELECT t.number FROM rulings r JOIN disputes d ON d.id = r.dispute_id JOIN tickets t ON t.id = d.ticket_id
        LEFT JOIN panel_members p ON p.dispute_id = d.id AND p.user_id = r.proposed_by
        LEFT JOIN panel_members c ON c.dispute_id = d.id AND c.user_id = r.confirmed_by
        WHERE r.state = 'in_force' AND (d.state <> 'ruled' OR p.seat IS NULL OR c.seat IS NULL
            OR (p.seat = 'hotline') = (c.seat = 'hotline')) ORDER BY r.id
        """,
    ),
    _Rule(
        name="disputed_tickets_are_in_hand_until_the_ruling",
        words="争议期间在手的工单应标记为先行办理",
        sql="""
        SELECT t.number FROM disputes x JOIN tickets t ON t.id = x.ticket_id
        LEFT JOIN dispatches d ON d.ticket_id = t.id AND d.is_current
        WHERE x.state = 'open' AND (t.state = 'registered'
            OR (t.state IN ('dispatched', 'signed') AND d.standing <> 'interim')) ORDER BY x.id
        """,
    ),
    _Rule(
        name="returns_are_ruled_from_outside",
        words="退单应由退单单位以外的人审核",
        sql="""
        SELECT t.number FROM returns r JOIN tickets t ON t.id = r.ticket_id
        WHERE r.decided_by IS NOT NULL AND r.state IN ('upheld', 'refused') AND r.decided_by = r.asked_by ORDER BY r.id
        """,
    ),
    _Rule(
        name="members_wait_for_their_main",
        words="并入主单且未答复的工单应在待派状态，其主单应未反馈",
        sql="""
        SELECT t.number FROM merges m JOIN tickets t ON t.id = m.ticket_id JOIN tickets p ON p.id = m.main_id
        WHERE m.answered_at IS NULL AND (t.state <> 'registered' OR p.state = 'closed') ORDER BY t.id
        """,
    ),
    _Rule(
        name="transferred_tickets_tell_where_to",
        words="转接办结的工单应有转出记录，单位与对方编号一致",
        sql="""
        SELECT t.number FROM tickets t WHERE t.outcome = 'transferred' AND NOT EXISTS (
            SELECT FROM transfers x WHERE x.ticket_id = t.id AND x.direction = 'out' AND x.line = t.transfer_to
            AND x.other_number = coalesce(t.transfer_number, '')
        ) ORDER BY t.id
        """,
    ),
    _Rule(
        name="what_came_from_another_line_keeps_its_number",
        words="联动转入的工单应以对方编号为来源编号，办结后应有最终承办单位",
        sql="""
        SELECT t.number FROM transfers x JOIN tickets t ON t.id = x.ticket_id
        WHERE x.direction = 'in' AND (t.source_system IS DISTINCT FROM x.line
            OR t.source_key IS DISTINCT FROM x.other_number OR (t.state = 'closed' AND x.settled_at IS NULL))
        ORDER BY x.id
        """,
    ),
    _Rule(
        name="limits_rest_on_marked_calls",
        words="生效的限制措施应由另一人确认，确认前该号码有骚扰来电记录",
        sql="""
        SELECT t.number FROM caller_limits l JOIN tickets t ON t.id = l.ticket_id
        WHERE l.state IN ('in_force', 'lifted') AND (l.decided_by = l.asked_by OR NOT EXISTS (
            SELECT FROM harassment_marks m WHERE m.phone_index = l.phone_index AND m.marked_at <= l.asked_at
        )) ORDER BY l.id
        """,
    ),
    _Rule(
        name="cards_are_on_the_journal",
        words="每张红黄牌都应有一条台账",
        sql="""
        SELECT t.number || '：' || c.colour FROM cards c JOIN tickets t ON t.id = c.ticket_id WHERE NOT EXISTS (
            SELECT FROM journal j WHERE j.ticket_id = c.ticket_id AND j.act = 'card' AND j.at = c.shown_at
            AND j.details->>'colour' = c.colour
        ) ORDER BY c.id
        """,
    ),
    _Rule(
        name="cards_are_told",
        words="有效的红黄牌应已告知承办单位（红黄牌提醒未停用时）",
        sql="""
        SELECT t.number || '：' || c.colour FROM cards c JOIN tickets t ON t.id = c.ticket_id
        JOIN dispatches d ON d.id = c.dispatch_id AND d.due_at = c.due_at AND d.answered_at IS NULL
            AND d.ended_at IS NULL AND d.is_current
        WHERE c.settled_at IS NULL AND c.shown_at < :delivered_by AND NOT EXISTS (
            SELECT FROM alarms a WHERE a.ticket_id = c.ticket_id AND a.key LIKE 'card:' || c.id || ':%'
        ) AND NOT EXISTS (
            SELECT FROM installation_settings s WHERE s.name = 'supervision'
        ) ORDER BY c.id
        """,
    ),
    _Rule(
        name="notices_reach_the_holder",
        words="未办结的催办、督办单应发给办理过该工单的单位",
        sql="""
        SELECT t.number || '：#' || n.id FROM supervision_notices n JOIN tickets t ON t.id = n.ticket_id
        WHERE NOT EXISTS (
            SELECT FROM dispatches d WHERE d.ticket_id = n.ticket_id AND d.department_id = n.department_id
        ) ORDER BY n.id
        """,
    ),
    _Rule(
        name="only_answered_tickets_are_before_a_reader",
        words="待审核的答复应属于已反馈的工单，且尚未进入回访",
        sql="""
        SELECT t.number FROM vettings v JOIN tickets t ON t.id = v.ticket_id
        WHERE v.state = 'waiting' AND (t.state <> 'answered' OR EXISTS (
            SELECT 1 FROM callbacks c WHERE c.dispatch_id = v.dispatch_id
        )) ORDER BY v.id
        """,
    ),
    _Rule(
        name="every_ticket_can_be_found",
        words="每张工单都应有检索词",
        sql="""
        SELECT t.number FROM tickets t WHERE NOT EXISTS (
            SELECT 1 FROM ticket_search s WHERE s.ticket_id = t.id
        ) ORDER BY t.id
        """,
    ),
    _Rule(
        name="examples_name_what_exists",
        words="训练样本的标签应是已有的类别、承办单位或诉求类型",
        sql="""
        SELECT t.number || '：' || l.task || ' ' || l.label FROM training_labels l JOIN tickets t ON t.id = l.ticket_id
        WHERE l.superseded_at IS NULL AND (
            (l.task = 'category' AND NOT EXISTS (SELECT 1 FROM categories c WHERE c.code = l.label))
            OR (l.task = 'department' AND NOT EXISTS (SELECT 1 FROM departments d WHERE d.code = l.label))
            OR (l.task = 'request_type' AND l.label NOT IN ('咨询', '求助', '投诉', '举报', '建议', '表扬', '其他'))
        ) ORDER BY l.id
        """,
    ),
)


def rules() -> tuple[tuple[str, str], ...]:
    """Return the name and the words of every invariant that `audit` recomputes."""
    return tuple((rule.name, rule.words) for rule in _RULES)


def audit(session: Session, *, now: datetime) -> Sequence[Finding]:
    """Return every invariant that does not close; nothing means that all do.

    All queries of one call read the same snapshot, so a running system does not look broken between two of them.
    """
    session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
    given = {
        "moves": legal_moves(),
        "handling": sorted(act.value for act in HANDLING),
        "most_tries": MOST_TRIES,
        "attempts": ATTEMPTS,
        "delivered_by": now - DELIVERY_MAY_TAKE,
    }
    findings = []
    for rule in _RULES:
        used = {name: value for name, value in given.items() if f":{name}" in rule.sql}
        rows = session.execute(text(f"SELECT * FROM ({rule.sql}) AS found LIMIT {_SHOWN}"), used)
        offenders = tuple(str(row[0]) for row in rows)
        if offenders:
            findings.append(Finding(rule=rule.name, words=rule.words, offenders=offenders))
    return findings


def legal_moves() -> list[str]:
    """Return every `act|from|to` that the map allows."""
    return [
        f"{act.value}|{source.value}|{(move.target or source).value}"
        for act, move in MOVES.items()
        for source in State
        if source in move.sources and act is not Act.REGISTER
    ]
