"""Every setting of an installation: its variable, type and default in one place (docs/settings.md)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from hotline.core.errors import Invalid

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What an installation decides from outside; everything else is data on screen."""

    #: HOTLINE_HOME: the one folder that holds all data of this installation.
    home: Path
    #: DATABASE_URL: PostgreSQL, in SQLAlchemy's form with the psycopg driver.
    database_url: str
    #: REDIS_URL: a Redis-protocol server for background work. The web process never needs it.
    redis_url: str
    #: PORT: where the web server listens.
    port: int
    #: HOTLINE_KEYS: folder of the session, sealing and index keys (0600 files).
    keys: Path
    #: HOTLINE_PUBLIC_URL: the address citizens and carriers see, for links and signatures; empty = as asked.
    public_url: str
    #: HOTLINE_SECURE_COOKIES: true behind TLS, so that cookies never travel in clear.
    secure_cookies: bool
    #: HOTLINE_CARRIER: "recorder" (the shipped simulator of the network) or "twilio".
    carrier: str
    #: HOTLINE_TRUSTED_PROXIES: how many proxies in front set X-Forwarded-For; 0 = believe none.
    trusted_proxies: int
    #: HOTLINE_SOURCE_URL: where the public finds this installation's source code (AGPL section 13); empty = ask us.
    source_url: str
    #: HOTLINE_POOL: database connections per process.
    pool: int
    #: HOTLINE_WRITERS: transactions that write at one time in one process.
    writers: int

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read the environment; `Invalid` names each variable that cannot be understood."""
        env = os.environ if environ is None else environ
        problems: dict[str, str] = {}
        home = Path(env.get("HOTLINE_HOME") or "var").resolve()
        settings = cls(
            home=home,
            database_url=env.get("DATABASE_URL", ""),
            redis_url=env.get("REDIS_URL", ""),
            port=_whole(env, "PORT", 12345, range(1, 65536), problems),
            keys=Path(env.get("HOTLINE_KEYS") or home / "keys"),
            public_url=env.get("HOTLINE_PUBLIC_URL", "").rstrip("/"),
            secure_cookies=_flag(env, "HOTLINE_SECURE_COOKIES", problems),
            carrier=env.get("HOTLINE_CARRIER", "recorder"),
            trusted_proxies=_whole(env, "HOTLINE_TRUSTED_PROXIES", 0, range(11), problems),
            source_url=env.get("HOTLINE_SOURCE_URL", "").strip(),
            pool=_whole(env, "HOTLINE_POOL", 20, range(1, 201), problems),
            writers=_whole(env, "HOTLINE_WRITERS", 2, range(1, 201), problems),
        )
        if settings.carrier not in {"recorder", "twilio"}:
            problems["HOTLINE_CARRIER"] = f"只能是 recorder 或 twilio，收到“{settings.carrier}”。"
        if settings.source_url and not settings.source_url.startswith(("http://", "https://")):
            problems["HOTLINE_SOURCE_URL"] = f"应以 http:// 或 https:// 开头，收到“{settings.source_url}”。"
        if problems:
            raise Invalid(problems, "环境变量有误：" + "；".join(f"{k} {v}" for k, v in problems.items()))
        return settings


def _whole(env: Mapping[str, str], name: str, default: int, allowed: range, problems: dict[str, str]) -> int:  # noqa: PLR0917
    raw = env.get(name, "").strip()
    if not raw:
        return default
    if not raw.isdecimal() or int(raw) not in allowed:
        problems[name] = f"应为 {allowed[0]} 到 {allowed[-1]} 的整数，收到“{raw}”。"
        return default
    return int(raw)


def _flag(env: Mapping[str, str], name: str, problems: dict[str, str]) -> bool:
    raw = env.get(name, "").strip().lower()
    if raw not in _TRUE | _FALSE:
        problems[name] = f"应为 1 或 0，收到“{raw}”。"
    return raw in _TRUE
