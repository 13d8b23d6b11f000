"""Processes that must not outlive us, waiting with a limit, and finding what an earlier crash left behind.

Linux promises two of these things: a child gets a signal when its parent dies, and /proc says who lives
where. Elsewhere (macOS) a child is stopped by us as long as we live, and the servers' own lock files do the
rest.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from hotline.runtime.accounts import LAUNCHER
from hotline.runtime.problems import CannotStart

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

POLL_S: Final = 0.02
LOG_LIMIT_BYTES: Final = 10_000_000
_PROC: Final = Path("/proc")


def wait_until(happened: Callable[[], bool], *, within_s: float, every_s: float = POLL_S) -> bool:
    """Ask again and again until it happened (True) or the time is over (False)."""
    end = time.monotonic() + within_s
    while not happened():
        if time.monotonic() >= end:
            return False
        time.sleep(every_s)
    return True


class Child:
    """One process of ours; the kernel sends it `death_signal` when the thread that started it is gone.

    Start children from a thread that lives as long as they should: the main thread.
    """

    def __init__(self, process: subprocess.Popen[bytes], *, name: str, log: Path | None) -> None:
        """Take charge of a process that was just started."""
        self.name = name
        self.log = log
        self._process = process

    @classmethod
    def start(
        cls,
        command: Sequence[str | Path],
        *,
        name: str,
        death_signal: signal.Signals,
        log: Path | None = None,
        environment: Mapping[str, str] | None = None,
        orders: Mapping[str, object] | None = None,
        folder: Path | None = None,
    ) -> Child:
        """Start a program in its own session, so that a Ctrl-C at the terminal reaches only us."""
        wishes = {"parent": os.getpid(), "death_signal": int(death_signal), **(orders or {})}
        output: IO[bytes] | None = _open_log(log) if log else None
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(LAUNCHER), json.dumps(wishes), *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                env=dict(environment) if environment is not None else None,
                cwd=folder,
                start_new_session=True,
            )
        finally:
            if output:
                output.close()
        return cls(process, name=name, log=log)

    @property
    def pid(self) -> int:
        """The process id; it stays the same when the launcher turns into the program."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it runs, else how it ended (negative: the signal)."""
        return self._process.poll()

    def send(self, number: signal.Signals) -> None:
        """Send a signal; a child that is already gone is no error."""
        if self._process.poll() is None:
            self._process.send_signal(number)

    def stop(self, *signals_and_seconds: tuple[signal.Signals, float]) -> int:
        """Send each signal in turn and give it its seconds; what lives then is killed with its group."""
        for number, seconds in signals_and_seconds:
            self.send(number)
            try:
                return self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                continue
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # It may go between the question and the signal.
                os.killpg(self.pid, signal.SIGKILL)
        return self._process.wait()

    def wait(self) -> int:
        """Wait for its end, however long that takes, and return its exit code."""
        return self._process.wait()

    def dead(self) -> bool:
        """Tell whether it has ended."""
        return self.exit_code() is not None

    def last_words(self, lines: int = 3) -> str:
        """Return the last lines of its log, for the sentence that says why it did not start."""
        if self.log is None or not self.log.exists():
            return ""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return " / ".join(line.strip() for line in text.splitlines()[-lines:] if line.strip())


def _open_log(path: Path) -> IO[bytes]:
    """Open a log for appending; one that has grown too long becomes the single older one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
        path.replace(path.with_name(f"{path.name}.1"))
    return path.open("ab")


def in_use(home: Path) -> str:
    """Return the sentence for a home folder that another running installation holds."""
    return f"另一个正在运行的实例占用着 {home}：请先停止它，或用 HOTLINE_HOME 另选目录。"


class Occupied:
    """An advisory lock which says that a folder is lived in; the kernel opens it when the holder dies."""

    def __init__(self, path: Path) -> None:
        """Name the lock file; nothing is locked yet."""
        self._path = path
        self._file: IO[str] | None = None

    def take(self, sentence: str) -> None:
        """Lock, or raise CannotStart with `sentence` when another process holds it."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self._path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip()
            file.close()
            raise CannotStart(sentence + (f"（进程号 {holder}）" if holder else "")) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file

    def release(self) -> None:
        """Unlock; twice is no error."""
        if self._file is not None:
            self._file.close()
            self._file = None


def start_mark(pid: int) -> str | None:
    """Return what tells a process from a later one with the same id: its start time in clock ticks.

    None when there is no such process any more (a zombie counts as gone) or the machine has no /proc.
    """
    try:
        # The program's name stands in brackets and may itself hold spaces and brackets.
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def processes() -> list[int]:
    """All process ids that the machine shows us; empty where there is no /proc."""
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()] if _PROC.is_dir() else []


def working_in(folder: Path, programs: Sequence[str]) -> list[int]:
    """Return the processes of these programs whose working directory is `folder`.

    That is how servers show whose data they hold. Somebody's shell may stand there too: hence the names.
    """
    wanted = str(folder.resolve())
    found = []
    for pid in processes():
        try:
            here = os.readlink(_PROC / str(pid) / "cwd") == wanted  # noqa: PTH115 - hundreds of them, quickly
            name = (_PROC / str(pid) / "comm").read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            continue  # Gone meanwhile, or not ours to look at.
        if here and name in programs and start_mark(pid) is not None:
            found.append(pid)
    return found


def marked(variable: str, value: str) -> list[int]:
    """Return the processes, ourselves left out, that were started with this environment variable."""
    wanted = f"{variable}={value}".encode()
    found = []
    for pid in processes():
        try:
            environment = (_PROC / str(pid) / "environ").read_bytes()
        except OSError:
            continue  # Gone meanwhile, or not ours to look at.
        if pid != os.getpid() and wanted in environment.split(b"\0") and start_mark(pid) is not None:
            found.append(pid)
    return found


def end_leftovers(find: Callable[[], list[int]], *signals_and_seconds: tuple[signal.Signals, float]) -> int:
    """End processes that an earlier crash left behind; return how many there were."""
    left = first = find()
    for number, seconds in (*signals_and_seconds, (signal.SIGKILL, 5.0)):
        if not left:
            break
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
                os.kill(pid, signal.SIGCONT)  # One that was stopped would hear nothing.
        # A process that is being ended loses what it is found by a moment before it is gone.
        going = left
        wait_until(lambda going=going: not find() and not any(map(start_mark, going)), within_s=seconds)  # type: ignore[misc]
        left = find()
    return len(first)
