"""Puts a city's history into the database by COPY and set-wise SQL: tickets and all that hangs on them."""

from __future__ import annotations

import time

import psycopg
from psycopg.types.json import Jsonb

from bench.house import DEPARTMENTS
from bench.words import texts
from hotline.core.sealing import Keyring
from hotline.core.text import search_words

POOL = 20_000
#: Of a hundred: 90 closed, 2 registered, 3 dispatched, 3 signed, 2 answered; as a busy city on a working day.
_SHARE = (
    "CASE WHEN n %% 100 < 90 THEN 'closed' WHEN n %% 100 < 92 THEN 'registered' WHEN n %% 100 < 95 THEN 'dispatched'"
    " WHEN n %% 100 < 98 THEN 'signed' ELSE 'answered' END"
)


def seed(url: str, count: int, *, keyring: Keyring) -> float:
    """Add `count` tickets to what is there; returns the seconds it took.

    The rows obey every constraint and trigger of the schema; the audit passes over them.
    """
    began = time.monotonic()
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=False) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE pool (n int PRIMARY KEY, title text, content text, words tsvector)")
        with cursor.copy("COPY pool (n, title, content, words) FROM STDIN") as copy:
            for number, (title, content) in enumerate(texts(POOL)):
                words = " ".join("'" + w.replace("'", "''") + "'" for w in search_words(f"{title}\n{content}"))
                copy.write_row((number, title, content, words))
        sealed = keyring.seal({"name": "王小明", "phone": "13900001234"})
        cursor.execute("SELECT coalesce(max(id), 0) FROM tickets")
        base = int((cursor.fetchone() or (0,))[0])
        given = {
            "count": count,
            "base": base,
            "pool": POOL,
            "sealed": sealed,
            "departments": DEPARTMENTS,
            "steps": Jsonb({}),
        }
        cursor.execute("SELECT min(id), min(id) + 99 FROM categories WHERE code LIKE 'B-%'")
        given["category"] = (cursor.fetchone() or (1,))[0]
        cursor.execute("SELECT min(id) FROM departments WHERE code LIKE 'd%'")
        given["department"] = (cursor.fetchone() or (1,))[0]
        for statement in _STATEMENTS:
            cursor.execute(statement, given)
        connection.commit()
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("SELECT setval('tickets_id_seq', (SELECT max(id) FROM tickets))")
        connection.execute("VACUUM ANALYZE")
    return time.monotonic() - began


# What is open is due in the coming weeks: a house in which everything is overdue raises its cards for minutes first,
# and that is what bench/sweep.py measures.
_STATEMENTS = (
    f"""
    CREATE TEMP TABLE plan ON COMMIT DROP AS
    SELECT n, %(base)s + n AS id, {_SHARE} AS state,
           CASE WHEN {_SHARE} = 'registered' THEN now() - make_interval(mins => 60 + n %% 600)
                ELSE now() - make_interval(secs => ((%(count)s - n) * (63072000.0 / %(count)s))) - interval '1 hour'
           END AS at,
           %(department)s + (n %% %(departments)s) AS department_id, n %% %(pool)s AS text
    FROM generate_series(1, %(count)s) AS n
    """,
    """
    INSERT INTO tickets (id, number, state, outcome, kind, channel, request_type, urgency, category_id, title, content,
        phone_masked, name_masked, personal_sealed, phone_index, query_code_index, registered_at, dispatched_at,
        answered_at, closed_at, due_at)
    OVERRIDING SYSTEM VALUE
    SELECT p.id, ticket_number(p.at), p.state, CASE WHEN p.state = 'closed' THEN 'confirmed' END, 'concern',
        (ARRAY['phone', 'phone', 'phone', 'web', 'wechat'])[1 + p.n %% 5],
        (ARRAY['咨询', '求助', '投诉', '投诉', '建议', '举报'])[1 + p.n %% 6],
        (ARRAY['一般', '一般', '一般', '一般', '紧急'])[1 + p.n %% 5], %(category)s + p.n %% 100, w.title, w.content,
        '*******1234', '王**', %(sealed)s, decode(md5((p.n %% 300000)::text), 'hex'),
        decode(md5(p.n::text), 'hex'), p.at,
        CASE WHEN p.state <> 'registered' THEN p.at + interval '20 minutes' END,
        CASE WHEN p.state IN ('answered', 'closed') THEN p.at + interval '30 minutes' END,
        CASE WHEN p.state = 'closed' THEN p.at + interval '40 minutes' END,
        CASE WHEN p.state IN ('dispatched', 'signed') THEN now() + make_interval(days => 3 + p.n %% 20) END
    FROM plan p JOIN pool w ON w.n = p.text ORDER BY p.n
    """,
    "INSERT INTO ticket_search (ticket_id, words) SELECT p.id, w.words FROM plan p JOIN pool w ON w.n = p.text",
    """
    INSERT INTO dispatches (ticket_id, department_id, round, sent_at, profile, sign_due_at, due_at, steps, contacted_at,
        signed_at, answered_at, ended_at, ending)
    SELECT id, department_id, 0, at + interval '20 minutes', 'seed',
        CASE WHEN state = 'dispatched' THEN now() + interval '2 days' ELSE at + interval '1 day' END,
        CASE WHEN state IN ('dispatched', 'signed') THEN now() + make_interval(days => 3 + n %% 20)
            ELSE at + interval '5 days' END,
        %(steps)s, at + interval '25 minutes',
        CASE WHEN state IN ('signed', 'answered', 'closed') THEN at + interval '25 minutes' END,
        CASE WHEN state IN ('answered', 'closed') THEN at + interval '30 minutes' END,
        CASE WHEN state = 'closed' THEN at + interval '40 minutes' END,
        CASE WHEN state = 'closed' THEN 'closed' END
    FROM plan WHERE state <> 'registered' ORDER BY n
    """,
    """
    INSERT INTO answers (dispatch_id, ticket_id, internal_note, public_answer, found_true, solved, at)
    SELECT d.id, d.ticket_id, '已处理。', '您好，您反映的问题已经处理完毕，感谢您的监督。', true, 'solved',
        d.answered_at
    FROM dispatches d JOIN plan p ON p.id = d.ticket_id WHERE d.answered_at IS NOT NULL
    """,
    """
    INSERT INTO callbacks (ticket_id, dispatch_id, round, planned_at, attempts, replied, solved, process, result,
        verdict, done_at)
    SELECT d.ticket_id, d.id, 0, d.answered_at, (p.state = 'closed')::int, CASE WHEN p.state = 'closed' THEN true END,
        CASE WHEN p.state = 'closed' THEN 'solved' END, CASE WHEN p.state = 'closed' THEN 'satisfied' END,
        CASE WHEN p.state = 'closed' THEN 'satisfied' END, CASE WHEN p.state = 'closed' THEN 'close' END,
        CASE WHEN p.state = 'closed' THEN d.ended_at END
    FROM dispatches d JOIN plan p ON p.id = d.ticket_id WHERE d.answered_at IS NOT NULL
    """,
    """
    INSERT INTO journal (ticket_id, at, act, from_state, to_state, by_role, version)
    SELECT p.id, p.at + s.later, s.act, s.from_state, s.to_state, 'system', s.version
    FROM plan p JOIN (VALUES
        (0, interval '0', 'register', NULL, 'registered', 1),
        (1, interval '20 minutes', 'dispatch', 'registered', 'dispatched', 2),
        (2, interval '25 minutes', 'sign', 'dispatched', 'signed', 3),
        (3, interval '30 minutes', 'answer', 'signed', 'answered', 4),
        (4, interval '40 minutes', 'confirm', 'answered', 'closed', 5)
    ) AS s (step, later, act, from_state, to_state, version)
    ON s.step <= CASE p.state WHEN 'registered' THEN 0 WHEN 'dispatched' THEN 1 WHEN 'signed' THEN 2
        WHEN 'answered' THEN 3 ELSE 4 END
    ORDER BY p.n, s.step
    """,
)
