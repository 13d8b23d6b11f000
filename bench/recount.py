"""Measures how long a declared day takes with 100 000 open tickets: the page before it, and the recount of them all.

`python -m bench.recount [--open N] [--note WORDS]`; writes one row into bench/recount.md.
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
from sqlalchemy import select, text

from bench.house import ROOT, open_house
from bench.sweep import fill_city, processor_time
from hotline.core import clock
from hotline.core.clock import SHANGHAI, local_day
from hotline.core.db import Database
from hotline.core.permissions import Actor, Role
from hotline.core.settings import Settings
from hotline.wiring import open_installation, wired
from routing.clocks import recounting
from routing.clocks.calendars import china
from routing.clocks.days import DayWish
from routing.clocks.models import Recount

PAPER = ROOT / "bench" / "recount.md"
HEAD = """# A declared day and the open tickets, measured

`python -m bench.recount` on a private PostgreSQL with durable writes, nothing else in the house. The city of the sweep
(bench/sweep.md): so many complaints in the hands of 40 departments, ten working days each. A day of rest of the whole
city is declared: *page* is the preview that a person waits for, *order* what follows his confirmation, *recount* the
work of one worker until the last ticket has followed, a hundred a transaction, each with its journal line. In brackets
the processor time of our process and its database connection together.

| date (UTC) | machine | open | page s | order s | recount s | moved | tickets a second | longest batch s | note |
|---|---|---|---|---|---|---|---|---|---|
"""

# Ten working days from yesterday, as the profile that is shipped has it for complaints.
_COMPLAINTS = (
    """
    UPDATE dispatches SET profile = 'default 2026.1', due_at = %(due)s::timestamptz,
        sign_due_at = %(due)s::timestamptz - interval '9 days', signed_at = NULL, contacted_at = NULL,
        terms = '{"source": "", "request_type": "投诉", "urgency": "一般", "sla_class": ""}'
    """,
    "UPDATE tickets SET due_at = %(due)s::timestamptz, request_type = '投诉', urgency = '一般', state = 'dispatched'",
    "VACUUM ANALYZE",
)


def main() -> None:
    """Seed, declare, carry out, write the row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--open", type=int, default=100_000)
    parser.add_argument("--note", default="")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-recount-") as home:
        house = open_house(Path(home), port=1)  # nothing listens: no web is started
        house.start_servers()
        try:
            house.furnish()
            keyring = open_installation(Settings.from_environment(house.environment)).keyring
            calendar, now = china(), clock.now()
            fill_city(house.url, given.open, keyring=keyring, at=now)
            sent = local_day(now - timedelta(days=1))
            workdays = calendar.workdays_after(sent)
            tenth = [next(workdays) for _ in range(10)][-1]
            due = calendar.closing(tenth).replace(tzinfo=SHANGHAI)
            with psycopg.connect(house.url.replace("+psycopg", ""), autocommit=True) as connection:
                for statement in _COMPLAINTS:
                    connection.execute(statement, {"due": due} if "%(due)s" in statement else None)
            database = wired(house.url, keyring=keyring, pool=2)
            told = _measured(
                database,
                day=DayWish(
                    day=calendar.next_workday(local_day(now) + timedelta(days=1)),
                    department_id=None,
                    is_workday=False,
                    reason="测量",
                ),
                now=now,
            )
            database.close()
        finally:
            house.stop()
    row = (
        f"| {clock.now():%Y-%m-%d %H:%M} | {psutil.cpu_count()} cores, {psutil.virtual_memory().total // 2**30} GB, "
        f"{platform.python_version()} | {given.open:,} | {told} | {given.note} |\n"
    )
    print(row)
    if not PAPER.exists():
        PAPER.write_text(HEAD, encoding="utf-8")
    with PAPER.open("a", encoding="utf-8") as paper:
        paper.write(row)


def _measured(database: Database, *, day: DayWish, now: datetime) -> str:
    """Look, order, carry out; returns the figures as the row has them."""
    with database.read() as session:
        backend = psutil.Process(session.execute(text("SELECT pg_backend_pid()")).scalar_one())
        administrator = Actor(
            user_id=session.execute(text("SELECT min(id) FROM users")).scalar_one(),
            role=Role.ADMINISTRATOR,
        )
    began, spent = time.monotonic(), processor_time(backend)

    def since() -> str:
        nonlocal began, spent
        said = f"{time.monotonic() - began:.2f} ({processor_time(backend) - spent:.2f})"
        began, spent = time.monotonic(), processor_time(backend)
        return said

    with database.read() as session:
        most = recounting.preview_day(session, day, now=now).most
    page = since()
    with database.begin() as session:
        order_id = recounting.order_day(session, day, expected=most, by=administrator, now=now).id
    ordered = since()
    first, longest, finished = time.monotonic(), 0.0, False
    while not finished:
        start = time.monotonic()
        with database.begin() as session:
            recounting.carry_on(session, recount_id=order_id, now=now)
            finished = session.get_one(Recount, order_id).finished_at is not None
        longest = max(longest, time.monotonic() - start)
    took, recount = time.monotonic() - first, since()
    with database.read() as session:
        order = session.scalars(select(Recount).where(Recount.id == order_id)).one()
    if order.moved == 0 or order.looked != order.total:
        raise SystemExit(f"the recount is wrong: {order.moved} of {order.looked} of {order.total}")
    return f"{page} | {ordered} | {recount} | {order.moved:,} | {order.looked / took:.0f} | {longest:.2f}"


if __name__ == "__main__":
    main()
