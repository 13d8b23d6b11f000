"""The supervisor: what dies comes back, what is stopped stays stopped, and nothing outlives it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from hotline.runtime.children import Child, start_mark, wait_until
from hotline.runtime.problems import CannotStart
from hotline.runtime.supervisor import MARK, Service, StopAsked, Supervisor, how_it_ended, stop_on_signals
from tests.runtime.conftest import GONE_WITHIN_S, Story

SLEEPER = "import signal; signal.pause()"
STUBBORN = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
while True:
    signal.pause()
"""
# Leaves a grandchild in a session of its own, as a worker leaves a job that is being done.
WITH_GRANDCHILD = """
import os, pathlib, signal, sys
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))
    while True:
        signal.pause()
signal.pause()
"""
SUPERVISE = """
import json, pathlib, sys
from hotline.runtime.postgres import PrivatePostgres
from hotline.runtime.broker import PrivateBroker
from hotline.runtime.supervisor import Service, Supervisor
import os
home = pathlib.Path(sys.argv[1])
with PrivatePostgres(home, durable=False) as postgres, PrivateBroker(home) as broker:
    with Supervisor(home=home, say=lambda words: None) as supervisor:
        service = Service(name="web", command=[sys.executable, "-c", sys.argv[2]], environment=dict(os.environ))
        web = supervisor.start(service)
        print(json.dumps([postgres.child.pid, broker.child.pid, web.pid]), flush=True)
        supervisor.watch()
"""


def service(script: str, *arguments: object, name: str = "web") -> Service:
    """Make a service of a Python text."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return Service(name=name, command=command, environment=dict(os.environ))


def look_until(supervisor: Supervisor, happened: Callable[[], bool]) -> None:
    """Let the supervisor look after its services until something happened."""

    def look() -> bool:
        supervisor.look()
        return happened()

    assert wait_until(look, within_s=GONE_WITHIN_S)


def test_a_service_that_dies_is_said_and_started_again_with_growing_patience(home: Path) -> None:
    said: list[str] = []
    with Supervisor(home=home, say=said.append, first_patience_s=0.01) as supervisor:
        supervisor.start(service("raise SystemExit(7)"))
        look_until(supervisor, lambda: len(said) >= 5)
    assert said[:5] == [
        "web 意外退出（退出码 7），0.01 秒后重新启动。",
        "web 已重新启动。",
        "web 意外退出（退出码 7），0.02 秒后重新启动。",
        "web 已重新启动。",
        "web 意外退出（退出码 7），0.04 秒后重新启动。",
    ]


def test_only_the_service_that_died_is_started_again(home: Path) -> None:
    said: list[str] = []
    with Supervisor(home=home, say=said.append, first_patience_s=0.01) as supervisor:
        worker = supervisor.start(service(SLEEPER, name="worker"))
        steady = supervisor.start(service(SLEEPER, name="web"))
        worker.send(signal.SIGKILL)
        look_until(supervisor, lambda: len(said) == 2)
        assert said[0].startswith("worker 意外退出（信号 SIGKILL）")
        assert not steady.dead()


def test_a_stop_ends_every_service_and_what_its_service_left_running(home: Path) -> None:
    home.mkdir()
    note = home / "grandchild"
    with Supervisor(home=home, say=print) as supervisor:
        child = supervisor.start(service(WITH_GRANDCHILD, note))
        assert wait_until(lambda: note.exists() and note.read_text() != "", within_s=GONE_WITHIN_S)
        grandchild = int(note.read_text())
        assert start_mark(grandchild) is not None
    assert child.dead()
    assert start_mark(grandchild) is None


def test_a_child_that_does_not_listen_is_killed_after_its_seconds(home: Path) -> None:
    log = home / "log" / "stubborn.log"
    child = Child.start([sys.executable, "-c", STUBBORN], name="stubborn", death_signal=signal.SIGKILL, log=log)
    assert wait_until(lambda: "deaf" in child.last_words(), within_s=GONE_WITHIN_S)
    assert child.stop((signal.SIGTERM, 0.1)) == -signal.SIGKILL


def test_a_killed_supervisor_leaves_no_process_at_all(
    used_home: Path, story: Callable[..., Story], nothing_left: Callable[[str, str], None]
) -> None:
    supervisor = story(SUPERVISE, used_home, SLEEPER)
    pids = supervisor.told
    assert all(start_mark(pid) is not None for pid in pids)
    supervisor.kill()
    assert wait_until(lambda: all(start_mark(pid) is None for pid in pids), within_s=GONE_WITHIN_S)
    nothing_left(MARK, str(used_home))


def test_what_a_killed_supervisor_could_not_take_along_is_ended_at_the_next_start(
    used_home: Path, story: Callable[..., Story], nothing_left: Callable[[str, str], None]
) -> None:
    note = used_home / "grandchild"
    script = WITH_GRANDCHILD.replace("sys.argv[1]", repr(str(note)))
    supervisor = story(SUPERVISE, used_home, script)
    assert wait_until(lambda: note.exists() and note.read_text() != "", within_s=GONE_WITHIN_S)
    service = psutil.Process(int(note.read_text())).ppid()
    supervisor.kill()
    # The service dies with its supervisor; until it is gone it would be counted beside the one that stays.
    assert wait_until(lambda: start_mark(service) is None, within_s=GONE_WITHIN_S)
    assert start_mark(int(note.read_text())) is not None
    said: list[str] = []
    began = time.monotonic()
    with Supervisor(home=used_home, say=said.append, leftovers_s=0.2):
        nothing_left(MARK, str(used_home))
    assert said == ["已结束上次异常退出后遗留的 1 个进程。"]
    assert time.monotonic() - began < GONE_WITHIN_S


def test_a_second_supervisor_for_one_home_is_refused(home: Path) -> None:
    with Supervisor(home=home, say=print), pytest.raises(CannotStart, match=rf"占用着 {home}"):
        Supervisor(home=home, say=print).__enter__()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_usual_signals_ask_to_stop_once_and_are_ignored_while_stopping(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    asked = 0
    with stop_on_signals():
        try:
            os.kill(os.getpid(), number)
            signal.sigtimedwait([], 1)  # The handler runs at the next instruction.
        except StopAsked:
            asked += 1
            os.kill(os.getpid(), number)  # An impatient second Ctrl-C must not cut the stop short.
    assert asked == 1
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(("code", "words"), [(0, "退出码 0"), (3, "退出码 3"), (-9, "信号 SIGKILL"), (-99, "信号 99")])
def test_an_exit_code_is_said_in_words(code: int, words: str) -> None:
    assert how_it_ended(code) == words
