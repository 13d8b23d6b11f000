"""`make bench`: the life-cycle, the spike, the pages and the intake, at 100 k and at 1 M tickets; writes a table."""

from __future__ import annotations

import argparse
import http.client
import platform
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import quote

import psycopg

from bench.drive import HEAD, Driver, summary
from bench.house import House, open_house
from bench.seed import seed
from bench.words import RARE, texts
from hotline.core.sealing import Keyring
from hotline.core.settings import Settings
from hotline.core.text import search_words

USERS = (10, 50, 150, 300)
#: The peak is the best of these: so many users who never think.
PEAK_USERS = (4, 6, 8, 16)
SPIKE = (1, 15, 1, 25, 2, 35, 10)
PAGES_ASKED = 60
HOUSE = (
    "Everything on one machine: load driver, web (4 processes of 16 threads, 2 writers each), one worker, scheduler,"
    " database, queue."
)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tickets", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--seconds", type=float, default=25.0, help="length of each stretch of load")
    parser.add_argument("--spike-seconds", type=float, default=15.0, help="length of each step of the spike")
    parser.add_argument("--port", type=int, default=12999)
    parser.add_argument("--home", type=Path, default=None)
    parser.add_argument("--out", type=Path, default=Path("bench/results.md"))
    parser.add_argument("--quick", action="store_true", help="a tenth of everything, to see that it works")
    given = parser.parse_args()
    if given.quick:
        given.tickets, given.seconds, given.spike_seconds = [10_000], 5.0, 3.0
    home = given.home or Path(tempfile.mkdtemp(prefix="hotline-bench-"))
    house = open_house(home, port=given.port)
    lines = [
        "# Measured",
        "",
        f"Python {platform.python_version()}, {platform.machine()}. " + HOUSE,
        "",
    ]
    try:
        house.start_servers()
        house.furnish()
        present = 0
        for size in given.tickets:
            lines += measure(house, size, present=present, seconds=given.seconds, spike_seconds=given.spike_seconds)
            present = size
            given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    finally:
        house.stop()
        if given.home is None:
            shutil.rmtree(home, ignore_errors=True)
    sys.stdout.write("\n".join(lines) + "\n")


def measure(house: House, size: int, *, present: int, seconds: float, spike_seconds: float) -> list[str]:
    """Seed up to `size` and measure; returns the lines of the report."""
    keyring = Keyring.load(Settings.from_environment(house.environment).keys)
    took = seed(house.url, size - present, keyring=keyring)
    say(f"seeded to {size:,} tickets in {took:.0f} s")
    house.settle()
    house.start_processes()
    driver = Driver(house.port, house.tokens)
    lines = [f"## {size:,} tickets", "", f"Seeded in {took:.0f} s.", "", HEAD]
    driver.users(5, 5)
    for count in USERS:
        found = driver.users(count, seconds)
        say(found.row() + str(dict(found.errors) or ""))
        lines.append(found.row())
    for count in PEAK_USERS:
        peak = driver.full(count, seconds)
        say(peak.row() + str(dict(peak.errors) or ""))
        lines.append(peak.row())
    for found in driver.spike(SPIKE, spike_seconds):
        say(found.row() + str(dict(found.errors) or ""))
        lines.append(found.row())
    memory = house.memory()
    lines += ["", f"Memory (PSS, MB): {memory}.", "", *intake(house, driver), "", *pages(house), ""]
    for child in house.children:
        child.terminate()
    for child in house.children:
        child.wait(30)
    house.children.clear()
    return lines


def intake(house: House, driver: Driver) -> list[str]:
    """Compare taking complaints in over HTTP with what the database alone does for the same rows."""
    over_http = driver.creations(1_000, users=8)
    alone = database_alone(house.url, count=2_000, connections=4)
    line = (
        f"Intake: {over_http:.0f} complaints/s over HTTP (8 users), {alone:.0f}/s by the database alone for the same"
        f" rows (4 connections, one transaction each): {over_http / alone:.2f} of it."
    )
    say(line)
    return [line]


def database_alone(url: str, *, count: int, connections: int) -> float:
    """Return transactions a second that write the rows of one registration straight into the database."""
    pool = [(title, content, search_words(f"{title}\n{content}")) for title, content in texts(500, seed=5)]
    left = iter(range(count))
    lock = threading.Lock()

    def work() -> None:
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=False) as connection:
            while True:
                with lock:
                    number = next(left, None)
                if number is None:
                    return
                title, content, words = pool[number % len(pool)]
                cursor = connection.execute(
                    "INSERT INTO tickets (number, state, kind, channel, request_type, urgency, title, content,"
                    " personal_sealed, phone_index, query_code_index, registered_at) VALUES (ticket_number(now()),"
                    " 'registered', 'concern', 'phone', '其他', '一般', %s, %s, %s, %s, %s, now()) RETURNING id",
                    (title, content, b"x" * 140, b"y" * 16, b"z" * 16),
                )
                (ticket_id,) = cursor.fetchone() or (0,)
                connection.execute(
                    "INSERT INTO ticket_search (ticket_id, words) VALUES (%s, array_to_tsvector(%s))",
                    (ticket_id, words),
                )
                connection.execute(
                    "INSERT INTO journal (ticket_id, at, act, to_state, by_role, version, details) VALUES"
                    " (%s, now(), 'register', 'registered', 'operator', 1, '{\"channel\": \"phone\"}')",
                    (ticket_id,),
                )
                connection.execute(
                    "INSERT INTO outbox (event, payload, created_at, delivered_at) VALUES"
                    " ('TicketRegistered', '{\"ticket_id\": 1}', now(), now())"
                )
                connection.commit()

    threads = [threading.Thread(target=work) for _ in range(connections)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return count / (time.monotonic() - began)


def pages(house: House) -> list[str]:
    """Ask for every kind of list, search, counter and ticket page, one after the other; p50 / p95 / max."""
    lines = ["| asked, one at a time | p50 / p95 / max ms |", "|---|---|"]
    with psycopg.connect(house.url.replace("+psycopg", "")) as connection:
        numbers = [
            str(row[0])
            for row in connection.execute(
                "SELECT number FROM tickets TABLESAMPLE SYSTEM (0.1) LIMIT %s", (PAGES_ASKED,)
            )
        ]
        department = connection.execute("SELECT min(id) FROM departments WHERE code LIKE 'd%'").fetchone()
        category = connection.execute("SELECT min(id) FROM categories WHERE code LIKE 'B-%'").fetchone()
    desk, unit = house.tokens["operator"], house.tokens["responder"]
    department_id, category_id = (department or (1,))[0], (category or (1,))[0]
    asked = {
        "list, newest": (desk, "/tickets"),
        "list, waiting for dispatch": (desk, "/tickets?state=registered"),
        "list, next deadline first": (desk, "/tickets?order=due"),
        "list, overdue": (desk, "/tickets?due=overdue&order=due"),
        "list, one category": (desk, f"/tickets?category_id={category_id}"),
        "list, one department": (desk, f"/tickets?department_id={department_id}"),
        "list, rare type and urgency": (desk, f"/tickets?request_type={quote('举报')}&urgency={quote('紧急')}"),
        "list, what a department may see": (unit, "/tickets"),
        "list, what a department has in hand": (unit, "/tickets?order=due"),
        "counters": (desk, "/counters"),
        "search, frequent two characters (路灯)": (desk, f"/tickets?words={quote('路灯')}"),
        "search, three words": (desk, f"/tickets?words={quote('幸福路 油烟 物业')}"),
        "search, open tickets with a word": (desk, f"/tickets?state=signed&words={quote('电梯')}"),
    }
    for name, (token, path) in asked.items():
        lines.append(f"| {name} | {summary(timed(house.port, token, [path] * 30))} |")
    rare = [f"/tickets?words={quote(word)}" for word in RARE for _ in range(4)]
    lines.append(f"| search, rare two characters (8 words) | {summary(timed(house.port, desk, rare))} |")
    lines.append(f"| ticket page | {summary(timed(house.port, desk, [f'/tickets/{n}' for n in numbers]))} |")
    deep = deep_pages(house.port, desk)
    lines.append(f"| list, page by page | {summary(deep)} |")
    for line in lines[2:]:
        say(line)
    return lines


def timed(port: int, token: str, paths: list[str]) -> list[float]:
    """Return the seconds of each request; anything but 200 ends the run."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    found = []
    for path in paths:
        began = time.monotonic()
        connection.request("GET", f"/api/v1{path}", headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        body = answer.read()
        found.append(time.monotonic() - began)
        if answer.status != http.client.OK:
            raise SystemExit(f"{path}: {answer.status} {body[:200]!r}")
    connection.close()
    return found


def deep_pages(port: int, token: str, *, count: int = 40) -> list[float]:
    """Turn the pages of the whole list by keyset."""
    import json

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    cursor, found = "", []
    for _ in range(count):
        began = time.monotonic()
        connection.request(
            "GET", f"/api/v1/tickets?limit=100&cursor={cursor}", headers={"Authorization": f"Bearer {token}"}
        )
        cursor = json.loads(connection.getresponse().read())["next"]
        found.append(time.monotonic() - began)
    connection.close()
    return found


def say(words: str) -> None:
    """Tell how far the run has come."""
    sys.stderr.write(words + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
