"""Real processes in temporary homes; nothing of theirs outlives a test."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hotline.runtime.children import end_leftovers, marked, wait_until
from hotline.runtime.postgres import PrivatePostgres

ROOT = Path(__file__).resolve().parents[2]
GONE_WITHIN_S = 60.0


@pytest.fixture
def home() -> Iterator[Path]:
    """Give a home with a short path, in a folder that only we may enter, as a checkout under /root would be."""
    folder = Path(tempfile.mkdtemp(prefix="h-", dir="/tmp"))
    yield folder / "var"
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Path]:
    """Give a home whose database cluster is already made; tests take a copy of it."""
    folder = Path(tempfile.mkdtemp(prefix="h-", dir="/tmp"))
    with PrivatePostgres(folder / "var", durable=False):
        pass
    yield folder / "var"
    shutil.rmtree(folder)


@pytest.fixture
def used_home(home: Path, cluster: Path) -> Path:
    """Give a home that was used before: what a first start makes is there, and nothing else."""
    # `cp -a` keeps the account that the files belong to, which shutil does not.
    subprocess.run(["cp", "-a", cluster, home], check=True)
    return home


class Story:
    """A Python process of its own that does something, tells what it did, and waits to be ended."""

    def __init__(self, script: str, *arguments: object, environment: dict[str, str] | None = None) -> None:
        """Start it and take its first line, a JSON value, into `told`."""
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.told: Any = json.loads(line) if line else None

    def kill(self) -> None:
        """End it as a crash does: at once and without a word."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """End it if it still runs."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(GONE_WITHIN_S)
            except subprocess.TimeoutExpired:
                self.kill()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def story() -> Iterator[Callable[..., Story]]:
    """Give a function that tells a `Story`; all of them are closed afterwards."""
    told: list[Story] = []

    def tell(script: str, *arguments: object, environment: dict[str, str] | None = None) -> Story:
        told.append(Story(script, *arguments, environment=environment))
        return told[-1]

    yield tell
    for each in told:
        each.close()


@pytest.fixture
def nothing_left() -> Iterator[Callable[[str, str], None]]:
    """Give a function that insists that no process with this mark is left, and ends those that are."""
    asked: list[tuple[str, str]] = []

    def insist(variable: str, value: str) -> None:
        asked.append((variable, value))
        assert wait_until(lambda: not marked(variable, value), within_s=GONE_WITHIN_S), marked(variable, value)

    yield insist
    for variable, value in asked:
        end_leftovers(lambda variable=variable, value=value: marked(variable, value))  # type: ignore[misc]
