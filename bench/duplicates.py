"""Measures likely duplicates among a million tickets of the last half year, in a real PostgreSQL, by our own code.

`python -m bench.duplicates [--tickets N] [--note WORDS]`; writes one row into bench/duplicates.md. The messages are not
part of this repository (`HOTLINE_BENCH_DATA`, as in bench.classifier).

The million is mixed from real messages other than those that are asked for: each ticket's sketch takes numbers of three
of them (16, 12, 12) and 24 from a pool of six million, so that frequent runs are as frequent among a million as among
the messages; its text is that of the first of the three. What is asked: messages as they are, and as they are while
they are typed, cut after a third and two thirds; and messages that were told a second time in other words, whose first
telling was put among the million.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import psutil
import psycopg
from sqlalchemy import func, select

from bench.house import ROOT, custodian
from classifier import datafiles
from classifier import duplicates as alikeness
from hotline.core import clock
from hotline.core.sealing import Keyring
from hotline.migrate import upgrade
from hotline.runtime.postgres import PrivatePostgres
from hotline.wiring import wired
from routing.relations import duplicates

PAPER: Final = ROOT / "bench" / "duplicates.md"
PAIRS: Final = ROOT / "bench" / "classifier" / "duplicate_pairs.jsonl"
HEAD: Final = """# Likely duplicates among a million tickets, measured

`python -m bench.duplicates` on a private PostgreSQL, the product's own code from the typed text to the list of five,
one question at a time. *whole*: a whole message; *typing*: messages cut after a third and after two thirds. *core*:
the mean time on a core of server and client together, whole message, which other work on the machine slows less.
*found*: of the labelled pairs of one matter told in other words (duplicate_pairs.jsonl, those that the rating calls
likely), how often a telling of the same matter is among the five that are offered for the second.

| date (UTC) | machine | load | tickets | size | whole p50/p95 ms | typing p50/p95 ms | core ms | found | note |
|---|---|---|---|---|---|---|---|---|---|
"""
_POOL: Final = 6_000_000
_FILES: Final = ("complaints", "replies")
_ASKED: Final = 400
_DAYS: Final = 175


def main() -> None:
    """Seed, ask, write the row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tickets", type=int, default=1_000_000)
    parser.add_argument("--note", default="")
    given = parser.parse_args()
    folder = Path(os.environ.get("HOTLINE_BENCH_DATA") or ROOT.parent / "shared" / "data")
    by_id = {row.id: row for row in datafiles.read(folder / "messages_with_time.jsonl", labelled=False)}
    pairs = [
        (by_id[str(row["one"])], by_id[str(row["other"])])
        for row in map(json.loads, PAIRS.read_text("utf-8").splitlines())
        if row["same"]
    ]
    told_twice = {each.id for pair in pairs for each in pair}
    texts = [
        (row.title[:300] or "无题", row.body)
        for name in _FILES
        for row in datafiles.read(folder / f"{name}.jsonl", labelled=False)
        if row.id not in told_twice
    ]
    with TemporaryDirectory(prefix="bench-duplicates-") as home, PrivatePostgres(Path(home), durable=False) as server:
        upgrade(server.url)
        now = clock.now()
        planted = _seed(server.url, given.tickets, texts, first=[one for one, _ in pairs], now=now)
        database = wired(server.url, keyring=Keyring.load(Path(home) / "keys", create=True), pool=1)
        random = np.random.default_rng(20200)
        asked = [texts[at] for at in random.choice(len(texts), _ASKED, replace=False).tolist()]
        cut = [(title, body[: len(body) * (1 + at % 2) // 3]) for at, (title, body) in enumerate(asked)]
        times, here = {}, psutil.Process()
        with database.read() as session:
            backend = psutil.Process(session.scalar(select(func.pg_backend_pid())) or here.pid)
        cores = 0.0
        for name, questions in (("whole", asked), ("typing", cut)):
            spent, before = [], _cores(here, backend)
            for title, body in questions:
                start = time.perf_counter()
                with database.read() as session:
                    duplicates.find(session, title=title, content=body, told_at=now)
                spent.append((time.perf_counter() - start) * 1e3)
            times[name] = np.percentile(spent, [50, 95])
            cores = cores or (_cores(here, backend) - before) / len(questions) * 1e3
            print(name, *(f"{one:.1f} ms" for one in [*times[name], max(spent)]), flush=True)
        hit = likely = 0
        matter = _matters([(one.id, other.id) for one, other in pairs])
        for one, other in pairs:
            alike = alikeness.likeness((one.title, one.body), (other.title, other.body))
            if alikeness.rated(0.0, likeness=alike, days_apart=3.0) < duplicates.LEAST:
                continue
            likely += 1
            itself = next((number for number, each in planted.items() if each == other.id), None)
            with database.read() as session:
                found = duplicates.find(session, title=other.title, content=other.body, told_at=now, but=itself)
            hit += any(matter.get(planted.get(each.ticket.id, "")) == matter[other.id] for each in found)
        with psycopg.connect(server.url.replace("+psycopg", "")) as connection:
            size = connection.execute(
                "SELECT pg_size_pretty(pg_table_size(t)) || ' + ' || pg_size_pretty(pg_indexes_size(t))"
                " FROM (SELECT 'ticket_sketch_keys'::regclass AS t) AS one"
            ).fetchone()
        database.close()
    if not PAPER.exists():
        PAPER.write_text(HEAD, "utf-8")
    with PAPER.open("a", encoding="utf-8") as paper:
        paper.write(
            f"| {now:%Y-%m-%d %H:%M} | {platform.machine()}, {psutil.cpu_count()} cores"
            f" | {psutil.getloadavg()[0]:.1f} | {given.tickets:,} | {size[0] if size else ''}"
            f" | {' | '.join(f'{p50:.0f} / {p95:.0f}' for p50, p95 in times.values())}"
            f" | {cores:.0f} | {hit} of {likely} | {given.note} |\n"
        )
    print(PAPER.read_text("utf-8").splitlines()[-1])


def _seed(
    url: str, count: int, texts: Sequence[tuple[str, str]], *, first: Sequence[datafiles.Row], now: datetime
) -> dict[int, str]:
    """Put the million in by COPY, the first tellings of the pairs among them; returns which of those each ticket is."""
    random = np.random.default_rng(1)
    sketches = [np.array(duplicates.keys_of(*each), np.int64) for each in texts]
    sketches = [each if len(each) else np.array([1]) for each in sketches]
    only = list({one.id: one for one in first}.values())
    where = dict(zip(random.choice(count, len(only), replace=False).tolist(), only, strict=True))
    planted: dict[int, str] = {}
    span = timedelta(days=_DAYS)
    with psycopg.connect(custodian(url), autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SET session_replication_role = replica"
        )  # neither counters nor checks: only what is asked counts
        # The trigger that keeps the rows does not fire here; they are written out at once below.
        cursor.execute("ALTER TABLE ticket_sketch_keys DROP CONSTRAINT pk_ticket_sketch_keys")
        columns = (
            "id, number, version, state, kind, channel, request_type, urgency, title, content, personal_sealed,"
            " query_code_index, registered_at"
        )
        began = time.monotonic()
        told: list[tuple[int, datetime, list[int]]] = []
        with cursor.copy(f"COPY tickets ({columns}) FROM STDIN") as copy:
            parents = random.integers(0, len(texts), (count, 3))
            for at in range(count):
                moment = now - span + span * at / count
                if at in where:
                    title, body = where[at].title, where[at].body
                    keys, moment = duplicates.keys_of(title, body), now - timedelta(days=3)
                    planted[at + 1] = where[at].id
                else:
                    title, body = texts[parents[at, 0]]
                    taken = [
                        random.permutation(sketches[one])[:most]
                        for one, most in zip(parents[at], (16, 12, 12), strict=True)
                    ]
                    keys = np.unique(np.concatenate([*taken, random.integers(0, _POOL, 24)])).tolist()
                told.append((at + 1, moment, keys))
                row = (at + 1, f"B{at:09d}", 1, "registered", "concern", "phone", "投诉", "一般")
                copy.write_row((*row, title[:300] or "无题", body[:2000] or "无", b"x", str(at).encode(), moment))
        with cursor.copy("COPY ticket_sketches (ticket_id, registered_at, version, keys) FROM STDIN") as copy:
            for ticket_id, moment, keys in told:
                copy.write_row((ticket_id, moment, 1, keys))
        print(f"copied in {time.monotonic() - began:.0f} s", flush=True)
        began = time.monotonic()
        cursor.execute("SET maintenance_work_mem = '1GB'")
        cursor.execute(
            "INSERT INTO ticket_sketch_keys SELECT DISTINCT one, ticket_id FROM ticket_sketches, unnest(keys) AS one"
        )
        cursor.execute(
            "ALTER TABLE ticket_sketch_keys ADD CONSTRAINT pk_ticket_sketch_keys PRIMARY KEY (key, ticket_id)"
        )
        cursor.execute("VACUUM ANALYZE tickets")
        cursor.execute("VACUUM ANALYZE ticket_sketches")
        cursor.execute("VACUUM ANALYZE ticket_sketch_keys")
        print(f"indexed in {time.monotonic() - began:.0f} s", flush=True)
    return planted


def _cores(*processes: psutil.Process) -> float:
    """Return the seconds that these processes have spent on a core."""
    return float(sum(sum(one.cpu_times()[:2]) for one in processes))


def _matters(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return one name for all messages that the pairs join."""
    found: dict[str, str] = {}
    for one, other in pairs:
        mine, its = found.setdefault(one, one), found.setdefault(other, other)
        found = {each: mine if name == its else name for each, name in found.items()}
    return found


if __name__ == "__main__":
    main()
