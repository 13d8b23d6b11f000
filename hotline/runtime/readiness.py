"""What is asked while starting: is the port free, do the given servers answer, does the web application."""

from __future__ import annotations

import http.client
import logging
import socket
from contextlib import closing
from typing import Final
from urllib.parse import urlsplit

import psycopg

from hotline.runtime.problems import CannotStart

CONNECT_TIMEOUT_S: Final = 5
_ANSWER_TIMEOUT_S: Final = 2


def require_free_port(listen: str, port: int) -> None:
    """Raise CannotStart when somebody else listens there already, or we may not."""
    family = socket.AF_INET6 if ":" in listen else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        # Connections of an earlier run that linger in TIME_WAIT are no reason to refuse; gunicorn does the same.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((listen, port))
        except OSError as error:
            raise CannotStart(
                f"端口 {port} 不能使用（{error.strerror}）：请先停止占用它的程序，或用 PORT=<其他端口> 启动。"
            ) from error


def require_database(url: str) -> None:
    """Raise CannotStart when the database of a given DATABASE_URL does not answer; never shows its password."""
    if not url.startswith(("postgresql://", "postgresql+psycopg://")):
        raise CannotStart("DATABASE_URL 应以 postgresql+psycopg:// 开头；本系统只使用 PostgreSQL。")
    plain = url.replace("postgresql+psycopg://", "postgresql://", 1)
    try:
        psycopg.connect(plain, connect_timeout=CONNECT_TIMEOUT_S).close()
    except (psycopg.OperationalError, psycopg.ProgrammingError) as error:
        where = place_of(url)
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise CannotStart(f"连不上 DATABASE_URL 指定的数据库（{where}）：{reason}") from error


def broker_answers(url: str) -> bool:
    """Tell whether the broker of a given REDIS_URL answers."""
    import redis

    try:
        with redis.Redis.from_url(url, socket_connect_timeout=CONNECT_TIMEOUT_S) as connection:
            return bool(connection.ping())
    except (redis.RedisError, ValueError, OSError):
        return False


def place_of(url: str) -> str:
    """Return host and port of an address, without account and password."""
    parts = urlsplit(url)
    host = parts.hostname or "本机套接字"
    return f"{host}:{parts.port}" if parts.port else host


def web_answers(port: int, *, host: str = "127.0.0.1") -> bool:
    """Tell whether `GET /health` is answered with 200."""
    connection = http.client.HTTPConnection(host, port, timeout=_ANSWER_TIMEOUT_S)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException) as error:
        logging.getLogger("hotline.runtime").debug("no answer on port %s yet: %s", port, error)
        return False
    finally:
        connection.close()
