"""Keeps services alive: starts them, restarts what dies with growing patience, stops all of them cleanly."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final, NoReturn, Protocol, Self

from hotline.runtime.children import Child, Occupied, end_leftovers, in_use, marked, wait_until
from hotline.runtime.problems import CannotStart

#: In the environment of every service, so that the next start knows what an earlier crash left behind.
MARK: Final = "HOTLINE_SUPERVISED"
FIRST_PATIENCE_S: Final = 1.0
LONGEST_PATIENCE_S: Final = 30.0
STEADY_S: Final = 60.0
STOP_S: Final = 15.0
HURRY_S: Final = 3.0
LOOK_EVERY_S: Final = 0.2


class StopAsked(BaseException):
    """Somebody pressed Ctrl-C, sent SIGTERM or closed the terminal: a wish, not an error."""


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP into one StopAsked; further ones are ignored while everything stops."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}

    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise StopAsked

    for number in numbers:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class PrivateServer(Protocol):
    """A server of our own that the supervisor can look at and start again."""

    @property
    def child(self) -> Child:
        """The running process."""

    def restart(self) -> None:
        """Start again at the same address."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """One process to keep alive: what it is called and how it is started."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]


@dataclass(kw_only=True)
class _Post:
    """A process on duty, how often in a row it fell, and when to try again (monotonic seconds)."""

    name: str
    begin: Callable[[], Child]
    child: Child
    began: float
    falls: int = 0
    retry_at: float | None = None

    def fell(self, now: float, first_patience_s: float) -> float:
        """Count a fall and return after how many seconds to try again: twice as long after each fall in a row."""
        self.falls = 1 if now - self.began > STEADY_S else self.falls + 1
        patience = min(LONGEST_PATIENCE_S, first_patience_s * 2.0 ** (self.falls - 1))
        self.retry_at = now + patience
        return patience


@dataclass(kw_only=True)
class Supervisor:
    """Starts services and watches them from the main thread; leaving its `with` block stops them all."""

    home: Path
    say: Callable[[str], None]
    first_patience_s: float = FIRST_PATIENCE_S
    leftovers_s: float = STOP_S
    _servers: list[_Post] = field(default_factory=list)
    _services: list[_Post] = field(default_factory=list)
    _occupied: Occupied | None = None

    def __enter__(self) -> Self:
        """Claim the home folder and end what an earlier crash left behind."""
        self._occupied = Occupied(self.home / "run" / "supervisor.lock")
        self._occupied.take(in_use(self.home))
        if ended := end_leftovers(self._marked, (signal.SIGTERM, self.leftovers_s)):
            self.say(f"已结束上次异常退出后遗留的 {ended} 个进程。")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the services and leave the home folder to others."""
        self.stop()
        if self._occupied is not None:
            self._occupied.release()

    def _marked(self) -> list[int]:
        return marked(MARK, str(self.home))

    def start(self, service: Service) -> Child:
        """Start a service and keep it alive from now on."""

        def begin() -> Child:
            return Child.start(
                service.command,
                name=service.name,
                # Also when we are killed: it finishes what it has in hand and goes.
                death_signal=signal.SIGTERM,
                log=self.home / "log" / f"{service.name}.log",
                environment={**service.environment, MARK: str(self.home)},
            )

        child = begin()
        self._services.append(_Post(name=service.name, begin=begin, child=child, began=time.monotonic()))
        return child

    def keep(self, name: str, server: PrivateServer) -> None:
        """Keep a private server alive that somebody else started and will stop."""

        def begin() -> Child:
            server.restart()
            return server.child

        self._servers.append(_Post(name=name, begin=begin, child=server.child, began=time.monotonic()))

    def watch(self) -> NoReturn:
        """Look after everything until somebody asks to stop (StopAsked)."""
        while True:
            self.look()
            time.sleep(LOOK_EVERY_S)

    def look(self) -> None:
        """Look at each process once: notice a death, start again when it is time."""
        now = time.monotonic()
        for post in (*self._servers, *self._services):
            if post.retry_at is not None:
                if now >= post.retry_at:
                    self._begin_again(post, now)
            elif (code := post.child.exit_code()) is not None:
                patience = post.fell(now, self.first_patience_s)
                self.say(f"{post.name} 意外退出（{how_it_ended(code)}），{patience:g} 秒后重新启动。")

    def _begin_again(self, post: _Post, now: float) -> None:
        try:
            post.child = post.begin()
        except (CannotStart, OSError) as problem:
            patience = post.fell(now, self.first_patience_s)
            self.say(f"{post.name} 未能重新启动（{patience:g} 秒后再试）：{problem}")
            return
        post.began, post.retry_at = now, None
        self.say(f"{post.name} 已重新启动。")

    def stop(self) -> None:
        """Ask all services at once to finish, then hurry them, then end what is left of them and theirs."""
        services = [post.child for post in self._services]
        for seconds in (STOP_S, HURRY_S):
            for child in services:
                child.send(signal.SIGTERM)
            if wait_until(lambda: all(child.dead() for child in services), within_s=seconds):
                break
        for child in services:
            child.stop()
        end_leftovers(self._marked)
        self._services.clear()
        self._servers.clear()


def how_it_ended(code: int) -> str:
    """Say an exit code in words."""
    if code >= 0:
        return f"退出码 {code}"
    try:
        return f"信号 {signal.Signals(-code).name}"
    except ValueError:
        return f"信号 {-code}"
