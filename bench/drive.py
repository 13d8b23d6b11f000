"""Virtual users who live a ticket's life over HTTP: create, dispatch, answer, call back and close."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import aiohttp

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
    started: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

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
    """Sends requests with each desk's token."""

    def __init__(self, port: int, tokens: dict[str, str]) -> None:
        """Remember where and as whom."""
        self.base = f"http://127.0.0.1:{port}/api/v1"
        self.headers = {role: {"Authorization": f"Bearer {token}"} for role, token in tokens.items()}
        self.pool = texts(2_000, seed=777)
        self.source = random.Random(99)

    def session(self) -> aiohttp.ClientSession:
        """Return a client whose connections are kept."""
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=400),
            timeout=aiohttp.ClientTimeout(total=60),
            cookie_jar=aiohttp.DummyCookieJar(),  # a token in the header is all that a program is known by
        )

    async def life(self, client: aiohttp.ClientSession, into: Measured) -> None:
        """Live one ticket's life; what goes wrong is counted by step and status."""
        into.started += 1
        title, content = self.source.choice(self.pool)
        body = {
            "title": title,
            "content": content,
            "phone": f"139{self.source.randrange(10**7, 10**8):08d}",
            "name": "王小明",
            "channel": "phone",
            "request_type": "投诉",
        }
        made = await self._post(client, into, "create", "operator", "/tickets", body)
        if made is None:
            return
        path = f"/tickets/{made['number']}"
        to = {"department": f"d{self.source.randrange(DEPARTMENTS)}", "reason": "按职责"}
        for step, role, tail, data in (
            ("dispatch", "dispatcher", "dispatch", to),
            ("answer", "responder", "answer", FEEDBACK),
            ("callback", "auditor", "callback", HAPPY),
        ):
            if await self._post(client, into, step, role, f"{path}/{tail}", data) is None:
                return
        into.lives += 1

    async def users(self, count: int, seconds: float) -> Measured:
        """Let `count` users live lives for `seconds`, thinking 1 to 3 seconds between two."""
        into = Measured(name=f"{count} users")
        until = time.monotonic() + seconds

        async def user(client: aiohttp.ClientSession) -> None:
            await asyncio.sleep(self.source.uniform(0, 2))
            while time.monotonic() < until:
                await self.life(client, into)
                await asyncio.sleep(self.source.uniform(1, 3))

        began = time.monotonic()
        async with self.session() as client:
            await asyncio.gather(*(user(client) for _ in range(count)))
        into.seconds = time.monotonic() - began - 2
        return into

    async def full(self, count: int, seconds: float) -> Measured:
        """Let `count` users live lives without a pause: the peak."""
        into = Measured(name=f"peak, {count} users without a pause")
        until = time.monotonic() + seconds

        async def user(client: aiohttp.ClientSession) -> None:
            while time.monotonic() < until:
                await self.life(client, into)

        began = time.monotonic()
        async with self.session() as client:
            await asyncio.gather(*(user(client) for _ in range(count)))
        into.seconds = time.monotonic() - began
        return into

    async def spike(self, rates: tuple[int, ...], seconds: float) -> list[Measured]:
        """Start lives at fixed rates, each for `seconds`, however slow the answers are."""
        found = []
        async with self.session() as client:
            for rate in rates:
                into = Measured(name=f"spike, {rate}/s asked")
                lives: list[asyncio.Task[None]] = []
                began = time.monotonic()
                for number in range(int(rate * seconds)):
                    pause = began + number / rate - time.monotonic()
                    if pause > 0:
                        await asyncio.sleep(pause)
                    lives.append(asyncio.create_task(self.life(client, into)))
                await asyncio.gather(*lives)
                into.seconds = time.monotonic() - began
                found.append(into)
        return found

    async def creations(self, count: int, users: int) -> float:
        """Return how many complaints a second are taken in when nothing else is asked."""
        into = Measured(name="create")
        left = iter(range(count))

        async def user(client: aiohttp.ClientSession) -> None:
            for _ in left:
                title, content = self.source.choice(self.pool)
                body = {
                    "title": title,
                    "content": content,
                    "phone": "13900001234",
                    "name": "王小明",
                    "channel": "phone",
                }
                await self._post(client, into, "create", "operator", "/tickets", body)

        began = time.monotonic()
        async with self.session() as client:
            await asyncio.gather(*(user(client) for _ in range(users)))
        if into.errors:
            raise SystemExit(f"creations failed: {into.errors}")
        return count / (time.monotonic() - began)

    async def _post(  # noqa: PLR0917
        self, client: aiohttp.ClientSession, into: Measured, step: str, role: str, path: str, body: object
    ) -> dict[str, str] | None:
        began = time.monotonic()
        try:
            async with client.post(self.base + path, json=body, headers=self.headers[role]) as answer:
                data: dict[str, str] = await answer.json(content_type=None)
                into.times[step].append(time.monotonic() - began)
                if answer.status < 300:
                    return data
                into.errors[f"{step} {answer.status}"] += 1
        except (TimeoutError, aiohttp.ClientError) as error:
            into.errors[f"{step} {type(error).__name__}"] += 1
        return None


def summary(times: list[float]) -> str:
    """Return p50 / p95 / max in milliseconds."""
    found = sorted(times)
    p95 = found[min(len(found) - 1, int(0.95 * len(found)))]
    return f"{statistics.median(found) * 1000:.0f} / {p95 * 1000:.0f} / {found[-1] * 1000:.0f}"
