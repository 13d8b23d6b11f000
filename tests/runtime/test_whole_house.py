"""`hotline run` as a person runs it: ready, safe against a crash, quick the second time, clean at the end."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hotline.cli import SECRETS
from hotline.runtime import broker, postgres
from hotline.runtime.children import end_leftovers, marked, processes, wait_until, working_in
from hotline.runtime.readiness import web_answers
from hotline.runtime.supervisor import MARK
from tests.runtime.conftest import GONE_WITHIN_S, ROOT

pytestmark = [pytest.mark.enable_socket, pytest.mark.slow]
READY_WITHIN_S = 180.0
BACK_WITHIN_S = 90.0


class House:
    """One `hotline run` after the other on the same home and port."""

    def __init__(self, home: Path) -> None:
        """Choose a free port."""
        self.home = home
        self.log = home.with_name("run.log")
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    def open(self) -> None:
        """Start and wait until it says that it is ready."""
        kept = {name: value for name, value in os.environ.items() if name not in {*SECRETS, "HOTLINE_LISTEN"}}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "hotline.cli", "run", "--no-demo"],
                cwd=ROOT,
                env=kept | {"HOTLINE_HOME": str(self.home), "PORT": str(self.port)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        process = self.process
        wait_until(lambda: "已就绪" in self.said() or process.poll() is not None, within_s=READY_WITHIN_S)
        assert "已就绪" in self.said(), self.said()

    def said(self) -> str:
        """Return what it printed so far."""
        return self.log.read_text(encoding="utf-8")

    def end(self, number: signal.Signals) -> int:
        """Send a signal and return how it ended."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(60)

    def inhabitants(self) -> list[int]:
        """Return every process that belongs to it: services and private servers."""
        servers = [
            pid
            for name, programs in (("postgres", postgres.PROGRAMS), ("broker", broker.PROGRAMS))
            for pid in working_in(self.home / name / "data", programs)
        ]
        return sorted({*servers, *marked(MARK, str(self.home))})


@pytest.fixture(scope="module")
def trained_home(cluster: Path) -> Iterator[Path]:
    """Give one home to all houses here: whoever opens first trains the model, the others find it."""
    folder = Path(tempfile.mkdtemp(prefix="h-", dir="/tmp"))
    subprocess.run(["cp", "-a", cluster, folder / "var"], check=True)
    yield folder / "var"
    shutil.rmtree(folder)


@pytest.fixture
def house(trained_home: Path) -> Iterator[House]:
    """Give a house, and see to it that nobody stays in it."""
    one = House(trained_home)
    yield one
    if one.process is not None and one.process.poll() is None:
        one.process.kill()
        one.process.wait()
    end_leftovers(one.inhabitants)


def commands_of(pids: list[int]) -> str:
    """Return the command lines of processes, for asking who is there."""
    alive = set(processes())
    return "\n".join(
        Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode() for pid in pids if pid in alive
    )


def test_the_whole_house_opens_survives_a_crash_opens_again_and_closes(house: House) -> None:
    house.open()
    assert web_answers(house.port)
    there = commands_of(house.inhabitants())
    for part in ("postgres", "valkey-server", "gunicorn", "hotline.cli worker", "hotline.cli scheduler"):
        assert part in there or (part == "valkey-server" and "redis-server" in there), part

    house.end(signal.SIGKILL)
    assert wait_until(lambda: house.inhabitants() == [], within_s=GONE_WITHIN_S), commands_of(house.inhabitants())
    assert not web_answers(house.port)

    house.open()
    assert web_answers(house.port)
    assert "检查分类模型" not in house.said(), "what is prepared is not prepared again"

    assert house.end(signal.SIGINT) == 0
    assert house.inhabitants() == []
    assert "已全部停止" in house.said()


def test_a_service_that_is_killed_comes_back_while_the_house_stays_open(house: House) -> None:
    house.open()
    web = next(pid for pid in marked(MARK, str(house.home)) if "gunicorn" in commands_of([pid]))
    leader = os.getsid(web)
    os.kill(leader, signal.SIGKILL)
    assert wait_until(lambda: "web 已重新启动" in house.said(), within_s=BACK_WITHIN_S), house.said()
    assert wait_until(lambda: web_answers(house.port), within_s=BACK_WITHIN_S)
    lock = house.home / "postgres" / "data" / "postmaster.pid"
    postmaster = int(lock.read_text(encoding="utf-8").split()[0])
    os.kill(postmaster, signal.SIGKILL)
    assert wait_until(lambda: "PostgreSQL 已重新启动" in house.said(), within_s=BACK_WITHIN_S), house.said()
    assert house.end(signal.SIGTERM) == 0
    assert house.inhabitants() == []
