"""The house with every part of it killed once, while callers go on calling: nothing is lost, nothing is doubled.

The parts are those of `hotline run`, with the same supervisor; it looks only when the test lets it, so that a part
stays dead until the doctor has named it.
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import func, select

from classifier import learning, seeds
from classifier.seeds import Seeds
from hotline.cli import SECRETS
from hotline.cli.doctor import check_timetable, examine
from hotline.cli.running import is_prepared
from hotline.cli.serving import web_command
from hotline.core import clock, outbox
from hotline.core.outbox import OutboxRow
from hotline.core.permissions import SYSTEM, Role
from hotline.core.settings import Settings
from hotline.intake.models import Submission
from hotline.people.actions import issue_token
from hotline.runtime.broker import PrivateBroker
from hotline.runtime.children import processes, wait_until
from hotline.runtime.postgres import PrivatePostgres
from hotline.runtime.readiness import web_answers
from hotline.runtime.supervisor import Service, Supervisor
from hotline.tickets.models import Ticket
from hotline.wiring import Installation, open_installation
from routing.models import Suggestion
from tests.makers import make_department, make_user

_log = logging.getLogger(__name__)
pytestmark = [pytest.mark.slow, pytest.mark.enable_socket]
ROOT = Path(__file__).resolve().parents[2]
#: Limits, not expectations: a quiet machine needs a tenth of them.
SOON_S, UP_WITHIN_S = 90.0, 180.0
LEAVES = 12
BATCH, STUCK_AT = 12, 6
WEB, WORKER, SCHEDULER, DATABASE, QUEUE = "web", "worker", "scheduler", "PostgreSQL", "队列服务"


class Callers:
    """Register concerns, each under its own key, and send each again with the same key until it is accepted."""

    def __init__(self, port: int, token: str) -> None:
        """Begin with nothing accepted."""
        self.port, self.token = port, token
        self.accepted: dict[str, str] = {}
        self.refused: list[str] = []
        self.retries = 0

    def call(self, key: str) -> str:
        """Hand one concern in and return its number."""
        end = time.monotonic() + UP_WITHIN_S
        pause = threading.Event()
        while time.monotonic() < end:
            try:
                status, told = self._post(key)
            except (OSError, http.client.HTTPException, ValueError):
                status, told = 0, {}
            if status in {200, 201}:
                self.accepted[key] = told["number"]
                return str(told["number"])
            if 0 < status < 500:
                break
            self.retries += 1
            pause.wait(0.05)
        self.refused.append(f"{key}: {status} {told}")
        return ""

    @contextmanager
    def calling(self, topic: str) -> Iterator[None]:
        """Let two callers call on and on; leaving waits until each has had his last concern accepted."""
        enough = threading.Event()

        def call(who: int) -> None:
            count = 0
            while not enough.wait(0.2):
                count += 1
                self.call(f"{topic}-{who}-{count}")

        threads = [threading.Thread(target=call, args=(who,)) for who in range(2)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            enough.set()
            for thread in threads:
                thread.join(UP_WITHIN_S)

    def _post(self, key: str) -> tuple[int, dict[str, str]]:
        body = json.dumps({"content": f"报修{key}：门前的路灯坏了多日，请派人来修。", "phone": "13900001234"})
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            "Idempotency-Key": key,
        }
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as line:
            line.request("POST", "/api/v1/tickets", body=body.encode(), headers=headers)
            answer = line.getresponse()
            return answer.status, json.loads(answer.read())


class House:
    """One installation that can be opened and closed again, and whose parts can be killed."""

    def __init__(self, home: Path) -> None:
        """Choose a free port."""
        self.home = home
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.postgres, self.broker = PrivatePostgres(home), PrivateBroker(home)
        self.supervisor: Supervisor | None = None
        self.environment: dict[str, str] = {}
        self._tools: Installation | None = None
        self.said: list[str] = []

    @property
    def tools(self) -> Installation:
        """What this test itself looks into the house with."""
        assert self._tools is not None
        return self._tools

    def open(self) -> None:
        """Start the servers, prepare what is missing, and open the web to callers."""
        kept = {name: value for name, value in os.environ.items() if name not in {*SECRETS, "HOTLINE_LISTEN"}}
        self.environment = {
            **kept,
            "HOTLINE_HOME": str(self.home),
            "PORT": str(self.port),
            "DATABASE_URL": self.postgres.start(),
            "REDIS_URL": self.broker.start(),
        }
        if not is_prepared(self.home, self.postgres.url, demo=False):
            self.command("prepare", "--no-demo")
        settings = Settings.from_environment(self.environment)
        self._tools = open_installation(settings)
        supervisor = Supervisor(home=self.home, say=self.said.append, first_patience_s=0.1)
        self.supervisor = supervisor.__enter__()
        supervisor.keep(DATABASE, self.postgres)
        supervisor.keep(QUEUE, self.broker)
        web = web_command(settings, listen="127.0.0.1", workers=2, threads=8)
        supervisor.start(Service(name=WEB, command=web, environment=self.environment))
        assert wait_until(lambda: web_answers(self.port), within_s=UP_WITHIN_S)

    def let_work(self) -> None:
        """Start what works in the background."""
        assert self.supervisor is not None
        for name in (WORKER, SCHEDULER):
            command = [sys.executable, "-m", "hotline.cli", name]
            self.supervisor.start(Service(name=name, command=command, environment=self.environment))

    def close(self) -> None:
        """Ask everything to stop (SIGTERM), as a person does who presses Ctrl-C at `hotline run`."""
        if self._tools is not None:
            self._tools.db.close()
        if self.supervisor is not None:
            self.supervisor.__exit__(None, None, None)
        self.postgres.stop()
        self.broker.stop()
        self._tools = self.supervisor = None

    def kill(self, name: str) -> None:
        """Kill one part and see it dead; nobody starts it again before `mend`."""
        assert self.supervisor is not None
        posts = (*self.supervisor._servers, *self.supervisor._services)
        child = next(post.child for post in posts if post.name == name)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()

    def kill_a_web_worker(self) -> None:
        """Kill one of the processes that gunicorn lets answer."""
        assert self.supervisor is not None
        master = next(post.child.pid for post in self.supervisor._services if post.name == WEB)
        os.kill(min(children_of(master)), signal.SIGKILL)

    def mend(self) -> None:
        """Let the supervisor look until everything runs."""
        supervisor = self.supervisor
        assert supervisor is not None

        def everything_runs() -> bool:
            supervisor.look()
            posts = (*supervisor._servers, *supervisor._services)
            return all(post.retry_at is None and not post.child.dead() for post in posts)

        assert wait_until(everything_runs, within_s=UP_WITHIN_S), self.said
        self.tools.db.engine.dispose()  # what this test looks through may have died with the database

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `hotline ...` in a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", "hotline.cli", *words],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=UP_WITHIN_S,
        )

    def doctor_names(self, what: str, words: str) -> None:
        """Insist that `hotline doctor` says these words about this, and how it is mended."""
        asked = self.command("doctor", "--json")
        complaints = json.loads(asked.stdout)[what]
        assert asked.returncode == 1
        assert any(words in each["what"] and each["mend"] for each in complaints), complaints

    def complaints(self) -> dict[str, list[str]]:
        """Return what the doctor complains of, the calendar left out: that depends on the day of the test."""
        report = examine(self.tools, now=clock.now())
        return {name: [one.what for one in found] for name, found in report if found and name != "工作日历"}

    def audit_closes(self) -> None:
        """Insist that `hotline audit` finds nothing."""
        audit = self.command("audit")
        assert audit.returncode == 0, audit.stdout + audit.stderr

    def undelivered(self) -> int:
        """Count the news that somebody has still to be told."""
        with self.tools.db.read() as session:
            return outbox.waiting(session)


def children_of(parent: int) -> list[int]:
    """Return the processes that this one started."""
    found = []
    for pid in processes():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue  # gone meanwhile
        if int(fields[1]) == parent:
            found.append(pid)
    return found


@pytest.fixture
def house() -> Iterator[House]:
    """A house with a small model of the real kind: one of a dozen categories is trained in a second."""
    folder = Path(tempfile.mkdtemp(prefix="h-", dir="/tmp"))
    one = House(folder / "var")
    corpus = seeds.load()
    small = Seeds(leaves=corpus.leaves[:LEAVES], digest=corpus.digest)
    learning.train_default(small, one.home / f"default-{learning.default_key(corpus)}")
    yield one
    one.close()
    shutil.rmtree(folder)


@pytest.fixture
def callers(house: House) -> Callers:
    """Open the house and give a machine's token to its callers."""
    house.open()
    now = clock.now()
    with house.tools.db.begin() as session:
        make_department(session)
        operator = make_user(session, Role.OPERATOR, now=now)
        token = issue_token(session, name="t", role=Role.OPERATOR, user_id=operator.id, by=SYSTEM, now=now)
    return Callers(house.port, token)


def all_are_there_once(house: House, callers: Callers) -> None:
    """Insist that the tickets are exactly those that were accepted, one for each key."""
    assert callers.refused == []
    with house.tools.db.read() as session:
        rows = session.execute(
            select(Submission.key, Ticket.number).join(Ticket, Ticket.id == Submission.ticket_id)
        ).all()
        tickets = session.scalar(select(func.count()).select_from(Ticket))
    assert {key: number for key, number in rows} == callers.accepted  # noqa: C416 - rows are no pairs to mypy
    assert tickets == len(callers.accepted) == len(set(callers.accepted.values()))


def works_again(house: House, callers: Callers, probe: str) -> None:
    """Insist that a new concern is taken in and told to those who hear of it, and that all accounts close."""
    number = callers.call(probe)

    def delivered() -> bool:
        with house.tools.db.read() as session:
            ticket_id = session.scalars(select(Ticket.id).where(Ticket.number == number)).one()
            count = select(func.count()).select_from(Suggestion).where(Suggestion.ticket_id == ticket_id)
            return session.scalar(count) == 1

    assert wait_until(delivered, within_s=SOON_S), house.complaints()
    all_are_there_once(house, callers)
    house.audit_closes()


def kill_the_worker_in_the_middle_of_a_batch(house: House, callers: Callers) -> None:
    """Hold one row of a batch back, wait until the worker stands before it, and kill it there."""
    for count in range(BATCH):
        callers.call(f"batch-{count}")
    plain = house.environment["DATABASE_URL"].replace("+psycopg", "")
    with psycopg.connect(plain) as connection:
        ids = [row[0] for row in connection.execute("SELECT id FROM tickets ORDER BY id").fetchall()]
        connection.execute("SELECT 1 FROM tickets WHERE id = %s FOR UPDATE", (ids[STUCK_AT],))
        house.let_work()

        def stands_before_it() -> bool:
            with psycopg.connect(plain, autocommit=True) as other:
                return bool(
                    other.execute(
                        "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
                    ).fetchall()
                )

        assert wait_until(stands_before_it, within_s=SOON_S)
        assert house.undelivered() == BATCH - STUCK_AT
        house.kill(WORKER)
    with house.tools.db.read() as session:
        left = session.scalars(select(OutboxRow.relayed_at).where(OutboxRow.delivered_at.is_(None))).all()
    assert len(left) == BATCH - STUCK_AT
    assert None not in left, "they were handed over, and whoever had them in hand is dead"


def test_whatever_dies_nothing_is_lost_nothing_is_doubled_and_everything_is_delivered(
    house: House, callers: Callers
) -> None:

    @contextmanager
    def dying(name: str) -> Iterator[None]:
        """Let callers call while something dies, and measure until the house works again."""
        began = time.monotonic()
        retries, accepted = callers.retries, len(callers.accepted)
        with callers.calling(name):
            yield
        works_again(house, callers, f"{name}-afterwards")
        figures = time.monotonic() - began, len(callers.accepted) - accepted, callers.retries - retries
        _log.info("%s: %.1f s until it worked again, %d accepted, %d retries", name, *figures)

    kill_the_worker_in_the_middle_of_a_batch(house, callers)
    with dying("worker"):
        house.doctor_names("队列与后台进程", "没有在岗的后台作业进程")
        house.mend()

    with dying("database"):
        house.kill(DATABASE)
        house.doctor_names("数据库与时钟", "无法检查")
        house.mend()
    last_loss = time.monotonic()

    with dying("scheduler"):
        house.kill(SCHEDULER)
        tools = house.tools
        assert wait_until(lambda: any(check_timetable(tools, clock.now())), within_s=UP_WITHIN_S, every_s=0.5)
        house.doctor_names("定时作业", "没有安排任何定时作业")
        house.mend()

    with dying("queue"):
        house.kill(QUEUE)
        before = len(callers.accepted)
        house.doctor_names("队列与后台进程", "队列服务没有回答")
        assert wait_until(lambda: len(callers.accepted) > before + 5, within_s=SOON_S), "taken in without the queue"
        house.mend()

    with dying("web worker"):
        before = len(callers.accepted)
        house.kill_a_web_worker()
        assert wait_until(lambda: len(callers.accepted) > before + 10, within_s=SOON_S), "the other one answers"

    with dying("everything"):
        house.close()
        house.open()
        house.let_work()
    handed_over_again_s = outbox.GIVE_UP_ON_RELAY.total_seconds()
    assert wait_until(lambda: house.undelivered() == 0, within_s=handed_over_again_s + SOON_S), house.undelivered()
    _log.info("everything was delivered %.1f s after the last loss", time.monotonic() - last_loss)
    all_are_there_once(house, callers)
    assert callers.retries > 0, "the callers met the failures"
    assert wait_until(lambda: house.complaints() == {}, within_s=SOON_S, every_s=1.0), house.complaints()
    house.audit_closes()
