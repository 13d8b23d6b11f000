"""Virtual users who live a ticket's life over HTTP: create, dispatch, answer, call back and close."""

from __future__ import annotations

import http.client
import json
import random
import statistics
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field

from bench.house import DEPARTMENTS
from bench.words import texts

STEPS = ("create", "dispatch", "answer", "callback")
FEEDBACK = {"internal_note": "已到现场处理。", "public_answer": "您好，您反映的问题已经处理完毕，感谢您的监督。"}
HAPPY = {"replied": True, "solved": "solved", "process": "satisfied", "result": "satisfied"}


@dataclass
class Measured:
    """What one stretch of load gave."""

    name: str
    seconds: float = 0.0
    lives: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def rate(self) -> float:
        """Return whole lives per second."""
        return self.lives / self.seconds if self.seconds else 0.0

    def quantile(self, step: str, share: float) -> float:
        """Return the milliseconds within which this share of the step's requests were answered."""
        found = sorted(self.times[step])
        return found[min(len(found) - 1, int(share * len(found)))] * 1000 if found else float("nan")

    def row(self) -> str:
        """Return the line of the table."""
        cells = [self.name, f"{self.rate:.1f}", str(self.lives), str(sum(self.errors.values()))]
        cells += [" / ".join(f"{self.quantile(step, q):.0f}" for q in (0.5, 0.95, 0.99)) for step in STEPS]
        return "| " + " | ".join(cells) + " |"


HEAD = (
    "| load | lives/s | lives | errors | create p50/p95/p99 ms | dispatch | answer | callback |\n"
    "|---|---|---|---|---|---|---|---|"
)


class Driver:
    """Sends requests with each desk's token, each user from a thread of his own over a connection of his own.

    The standard library's client: it costs the machine that it shares with what is measured a third of what an
    asynchronous one did.
    """

    def __init__(self, port: int, tokens: dict[str, str]) -> None:
        """Remember where and as whom."""
        self.port = port
        self.headers = {
            role: {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            for role, token in tokens.items()
        }
        self.pool = texts(2_000, seed=777)
        self.source = random.Random(99)

    def line(self) -> http.client.HTTPConnection:
        """Return a connection that is kept from request to request."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def life(self, line: http.client.HTTPConnection, into: Measured) -> None:
        """Live one ticket's life; what goes wrong is counted by step and status."""
        title, content = self.source.choice(self.pool)
        body = {
            "title": title,
            "content": content,
            "phone": f"139{self.source.randrange(10**7, 10**8):08d}",
            "name": "王小明",
            "channel": "phone",
            "request_type": "投诉",
        }
        made = self._post(line, into, "create", "operator", "/tickets", body)
        if made is None:
            return
        path = f"/tickets/{made['number']}"
        to = {"department": f"d{self.source.randrange(DEPARTMENTS)}", "reason": "按职责"}
        for step, role, tail, data in (
            ("dispatch", "dispatcher", "dispatch", to),
            ("answer", "responder", "answer", FEEDBACK),
            ("callback", "auditor", "callback", HAPPY),
        ):
            if self._post(line, into, step, role, f"{path}/{tail}", data) is None:
                return
        with into.lock:
            into.lives += 1

    def users(self, count: int, seconds: float) -> Measured:
        """Let `count` users live lives for `seconds`, thinking 1 to 3 seconds between two."""
        into = Measured(name=f"{count} users")
        until = time.monotonic() + seconds

        def user(_number: int) -> None:
            time.sleep(self.source.uniform(0, 2))
            while time.monotonic() < until:
                with closing(self.line()) as line:
                    self.life(line, into)
                time.sleep(self.source.uniform(1, 3))

        began = time.monotonic()
        _at_once(count, user)
        into.seconds = time.monotonic() - began - 2
        return into

    def full(self, count: int, seconds: float) -> Measured:
        """Let `count` users live lives without a pause: the peak."""
        into = Measured(name=f"peak, {count} users without a pause")
        until = time.monotonic() + seconds

        def user(_number: int) -> None:
            with closing(self.line()) as line:
                while time.monotonic() < until:
                    self.life(line, into)

        began = time.monotonic()
        _at_once(count, user)
        into.seconds = time.monotonic() - began
        return into

    def spike(self, rates: tuple[int, ...], seconds: float) -> list[Measured]:
        """Start lives at fixed rates, each for `seconds`, however slow the answers are."""
        found = []
        for rate in rates:
            into = Measured(name=f"spike, {rate}/s asked")
            began = time.monotonic()

            def live(number: int, into: Measured = into, rate: int = rate, began: float = began) -> None:
                time.sleep(max(0.0, began + number / rate - time.monotonic()))
                with closing(self.line()) as line:
                    self.life(line, into)

            _at_once(int(rate * seconds), live)
            into.seconds = time.monotonic() - began
            found.append(into)
        return found

    def creations(self, count: int, users: int) -> float:
        """Return how many complaints a second are taken in when nothing else is asked."""
        into = Measured(name="create")

        def user(number: int) -> None:
            with closing(self.line()) as line:
                for _ in range(number, count, users):
                    title, content = self.source.choice(self.pool)
                    body = {
                        "title": title,
                        "content": content,
                        "phone": "13900001234",
                        "name": "王小明",
                        "channel": "phone",
                    }
                    self._post(line, into, "create", "operator", "/tickets", body)

        began = time.monotonic()
        _at_once(users, user)
        if into.errors:
            raise SystemExit(f"creations failed: {into.errors}")
        return count / (time.monotonic() - began)

    def _post(  # noqa: PLR0917
        self, line: http.client.HTTPConnection, into: Measured, step: str, role: str, path: str, body: object
    ) -> dict[str, str] | None:
        began = time.monotonic()
        try:
            line.request("POST", f"/api/v1{path}", json.dumps(body).encode(), self.headers[role])
            answer = line.getresponse()
            data: dict[str, str] = json.loads(answer.read())
            into.times[step].append(time.monotonic() - began)
            if answer.status < http.client.MULTIPLE_CHOICES:
                return data
            wrong = f"{step} {answer.status}"
        except (OSError, http.client.HTTPException, ValueError) as error:
            line.close()  # the next request opens it anew
            wrong = f"{step} {type(error).__name__}"
        with into.lock:
            into.errors[wrong] += 1
        return None


def _at_once(count: int, user: Callable[[int], None]) -> None:
    """Let so many users work at one time, and wait until the last is done; what one of them raises is raised."""
    with ThreadPoolExecutor(max_workers=count) as threads:
        for _ in threads.map(user, range(count)):
            pass


def summary(times: list[float]) -> str:
    """Return p50 / p95 / max in milliseconds."""
    found = sorted(times)
    p95 = found[min(len(found) - 1, int(0.95 * len(found)))]
    return f"{statistics.median(found) * 1000:.0f} / {p95 * 1000:.0f} / {found[-1] * 1000:.0f}"
