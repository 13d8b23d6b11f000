"""Measures the sweep of supervision on 100 000 open tickets: the first sweep, one that finds nothing new, the worst.

`python -m bench.sweep [--open N] [--note WORDS]`; writes one row into bench/sweep.md.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

import psutil
import psycopg
from sqlalchemy import text

from bench.house import ROOT, open_house
from bench.seed import seed
from hotline.core import clock
from hotline.core.clock import SHANGHAI, local_day
from hotline.core.db import Database
from hotline.core.sealing import Keyring
from hotline.core.settings import Settings
from hotline.wiring import open_installation, wired
from routing.clocks.calendars import china
from routing.supervision.sweeping import Swept, sweep

PAPER = ROOT / "bench" / "sweep.md"
HEAD = """# The sweep of supervision, measured

`python -m bench.sweep` on a private PostgreSQL with durable writes, nothing else in the house. The city: so many open
tickets in the hands of 40 departments (half of them signed for, a third of those without a recorded contact), of which
8 % turn yellow and 7 % red with the first sweep. *steady*: the next sweep a minute later, which finds nothing new;
it is what runs every minute. *all red*: the house was down for two months, every open ticket turns red at once; a sweep
begins nothing more after 40 s and says that it is not finished, the next one goes on.
In brackets the processor time of our process and its database connection together: what the sweep costs when nobody
else wants the machine (the rows before 21:00 did not measure it).

| date (UTC) | machine | open | first s | cards/alarms/notices/texts | steady s | all red s | note |
|---|---|---|---|---|---|---|---|
"""


def main() -> None:
    """Seed, sweep, write the row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--open", type=int, default=100_000)
    parser.add_argument("--flood", action="store_true", help="measure also the sweep in which everything turns red")
    parser.add_argument("--note", default="")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-sweep-") as home:
        house = open_house(Path(home), port=1)  # nothing listens: no web is started
        house.start_servers()
        try:
            house.furnish()
            keyring = open_installation(Settings.from_environment(house.environment)).keyring
            calendar = china()
            # Ten on a working morning, so that text messages are written too.
            morning = calendar.opening(calendar.next_workday(local_day(clock.now()))).replace(tzinfo=SHANGHAI)
            at = morning + timedelta(hours=1)
            fill_city(house.url, given.open, keyring=keyring, at=at)
            database = wired(house.url, keyring=keyring, pool=2)
            first, found = _timed(database, now=at)
            steady, nothing = _timed(database, now=at + timedelta(minutes=1))
            if nothing.yellow or nothing.red or nothing.notices or nothing.alarms:
                raise SystemExit(f"the second sweep found something new: {nothing}")
            worst = "—"
            if given.flood:
                worst = _flood(database, now=at + timedelta(days=60))
            database.close()
        finally:
            house.stop()
    row = (
        f"| {clock.now():%Y-%m-%d %H:%M} | {psutil.cpu_count()} cores, {psutil.virtual_memory().total // 2**30} GB, "
        f"{platform.python_version()} | {given.open:,} | {first} | {found.yellow + found.red} / {found.alarms} / "
        f"{found.notices} / {found.texts} | {steady} | {worst} | "
        f"{given.note} |\n"
    )
    print(row)
    if not PAPER.exists():
        PAPER.write_text(HEAD, encoding="utf-8")
    with PAPER.open("a", encoding="utf-8") as paper:
        paper.write(row)


def fill_city(url: str, count: int, *, keyring: Keyring, at: datetime) -> None:
    """Fill the house with `count` tickets, all in the hands of departments, with the deadlines of a real week."""
    seed(url, count, keyring=keyring)
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        for statement in _OPEN:
            connection.execute(statement, {"at": at} if "%(at)s" in statement else None)


# Everything is out and in hand; of a hundred 7 are past their limit, 8 within its last day, 85 have time left.
_OPEN = (
    "UPDATE departments SET duty_phone = '1390000' || lpad(id::text, 4, '0')",
    """
    UPDATE dispatches SET answered_at = NULL, ended_at = NULL, ending = NULL,
        sent_at = %(at)s::timestamptz - interval '1 day',
        signed_at = CASE WHEN id %% 2 = 0 THEN %(at)s::timestamptz - interval '20 hours' END,
        contacted_at = CASE WHEN id %% 6 <> 0 THEN %(at)s::timestamptz - interval '18 hours' END,
        sign_due_at = %(at)s::timestamptz + interval '30 days',
        due_at = %(at)s::timestamptz + CASE WHEN id %% 100 < 7 THEN interval '-1 hour'
            WHEN id %% 100 < 15 THEN interval '10 hours' ELSE interval '2 days' + (id %% 400) * interval '1 hour' END
    """,
    """
    INSERT INTO dispatches (ticket_id, department_id, round, sent_at, profile, sign_due_at, due_at, steps)
    SELECT t.id, (SELECT min(id) FROM departments WHERE code LIKE 'd%%') + t.id %% 40, 0,
        %(at)s::timestamptz - interval '1 hour',
        'seed', %(at)s::timestamptz + interval '30 days', %(at)s::timestamptz + interval '5 days', '{}'
    FROM tickets t WHERE NOT EXISTS (SELECT FROM dispatches d WHERE d.ticket_id = t.id)
    """,
    """
    UPDATE tickets t SET state = CASE WHEN d.signed_at IS NULL THEN 'dispatched' ELSE 'signed' END, outcome = NULL,
        closed_at = NULL, answered_at = NULL, dispatched_at = d.sent_at, due_at = d.due_at
    FROM dispatches d WHERE d.ticket_id = t.id
    """,
    "VACUUM ANALYZE",
)


def _flood(database: Database, *, now: datetime) -> str:
    """Sweep every minute until one says that it looked at everything."""
    began, cards, alarms, longest, sweeps = time.monotonic(), 0, 0, 0.0, 0
    finished = False
    while not finished:
        start = time.monotonic()
        found = sweep(database.begin, now=now + timedelta(minutes=sweeps))
        cards, alarms, finished = cards + found.yellow + found.red, alarms + found.alarms, found.finished
        longest, sweeps = max(longest, time.monotonic() - start), sweeps + 1
    return (
        f"{time.monotonic() - began:.0f} in {sweeps} sweeps, the longest {longest:.0f}: {cards} cards, {alarms} alarms"
    )


def _timed(database: Database, *, now: datetime) -> tuple[str, Swept]:
    with database.read() as session:
        backend = psutil.Process(session.execute(text("SELECT pg_backend_pid()")).scalar_one())
    began, spent = time.monotonic(), processor_time(backend)
    found = sweep(database.begin, now=now)
    return f"{time.monotonic() - began:.2f} ({processor_time(backend) - spent:.2f})", found


def processor_time(backend: psutil.Process) -> float:
    """Return the seconds that this process and its one connection have worked."""
    times = (psutil.Process().cpu_times(), backend.cpu_times())
    return float(sum(each.user + each.system for each in times))


if __name__ == "__main__":
    main()
