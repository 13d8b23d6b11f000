"""The private broker: nothing that was queued is lost, nobody else can reach it, nothing of it stays behind."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import redis

from hotline.runtime.broker import PROGRAMS, PrivateBroker
from hotline.runtime.children import start_mark, wait_until, working_in
from hotline.runtime.problems import CannotStart
from tests.runtime.conftest import GONE_WITHIN_S, Story

pytestmark = pytest.mark.enable_socket

KEEP = """
import json, pathlib, signal, sys
from hotline.runtime.broker import PrivateBroker
server = PrivateBroker(pathlib.Path(sys.argv[1]))
print(json.dumps({"url": server.start(), "pid": server.child.pid}), flush=True)
signal.pause()
"""


def test_what_was_queued_is_there_after_a_stop_and_a_start(home: Path) -> None:
    with PrivateBroker(home) as server, redis.Redis.from_url(server.url) as connection:
        connection.rpush("queue", "first", "second")
    with PrivateBroker(home) as server, redis.Redis.from_url(server.url) as connection:
        assert connection.lrange("queue", 0, -1) == [b"first", b"second"]


def test_it_listens_on_a_private_socket_only_and_never_throws_work_away(home: Path) -> None:
    with PrivateBroker(home) as server, redis.Redis.from_url(server.url) as connection:
        assert connection.config_get("port") == {"port": "0"}
        assert connection.config_get("appendonly") == {"appendonly": "yes"}
        assert connection.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        socket = Path(unquote(urlsplit(server.url).path))
        assert stat.S_ISSOCK(socket.stat().st_mode)
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes accounts")
def test_root_gets_a_broker_under_another_account(home: Path) -> None:
    with PrivateBroker(home) as server:
        assert Path(f"/proc/{server.child.pid}").stat().st_uid != 0


def test_a_killed_parent_leaves_no_broker_and_the_next_start_finds_everything(
    home: Path, story: Callable[..., Story]
) -> None:
    first = story(KEEP, home)
    with redis.Redis.from_url(first.told["url"]) as connection:
        connection.set("kept", "12345")
    first.kill()
    assert wait_until(lambda: start_mark(first.told["pid"]) is None, within_s=GONE_WITHIN_S)
    with PrivateBroker(home) as server, redis.Redis.from_url(server.url) as connection:
        assert connection.get("kept") == b"12345"


def test_a_broker_that_outlived_its_parent_is_ended_at_the_next_start(home: Path, story: Callable[..., Story]) -> None:
    first = story(KEEP, home)
    os.kill(first.told["pid"], signal.SIGSTOP)
    first.kill()
    assert working_in(home / "broker" / "data", PROGRAMS) == [first.told["pid"]]
    with PrivateBroker(home) as server:
        assert working_in(home / "broker" / "data", PROGRAMS) == [server.child.pid]


def test_a_home_that_is_in_use_is_refused_in_one_sentence(home: Path) -> None:
    with PrivateBroker(home), pytest.raises(CannotStart, match=rf"占用着 {home}"):
        PrivateBroker(home).start()


def test_a_program_that_is_no_broker_is_told_with_its_last_words(home: Path) -> None:
    with pytest.raises(CannotStart, match="未能启动"):
        PrivateBroker(home, server=Path("/bin/false")).start()
