"""The processes of production, one command each: web, worker, scheduler; and the schema they need."""

from __future__ import annotations

import http.client
import os
import socket
import sys
from pathlib import Path
from typing import Final

import click

from hotline.core.errors import Unavailable
from hotline.core.queues import QueueName
from hotline.core.settings import Settings

#: More processes than a small machine has processors: each has an interpreter lock of its own, for which its threads
#: would otherwise queue between one statement and the next (docs/decisions/0047).
WEB_WORKERS: Final = 4
WEB_THREADS: Final = 16
GRACEFUL_S: Final = 10
REQUEST_TIMEOUT_S: Final = 60
#: Longer than a client or a proxy keeps an idle connection (60 s is usual): if we close first, a request that is on its
#: way is lost. gunicorn's own two seconds lost a few in three hundred (bench/). An idle connection holds no thread.
KEEP_ALIVE_S: Final = 75
HEALTH_TIMEOUT_S: Final = 4
_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - gunicorn makes its own private file there


def web_command(settings: Settings, *, listen: str, workers: int, threads: int) -> list[str]:
    """Return the command that serves the web application with gunicorn."""
    command = [sys.executable, "-m", "gunicorn", "--worker-class", "gthread"]
    command += ["--workers", str(workers), "--threads", str(threads), "--bind", f"{listen}:{settings.port}"]
    command += ["--keep-alive", str(KEEP_ALIVE_S)]
    command += ["--graceful-timeout", str(GRACEFUL_S), "--timeout", str(REQUEST_TIMEOUT_S), "--preload"]
    # A heartbeat file on a slow disk would make gunicorn kill workers that are well.
    if _SHARED_MEMORY.is_dir() and os.access(_SHARED_MEMORY, os.W_OK):
        command += ["--worker-tmp-dir", str(_SHARED_MEMORY)]
    return [*command, "--log-level", "warning", "hotline.app:create_app()"]


@click.command(help="启动网站（gunicorn，端口由 PORT 决定）。")
@click.option("--listen", envvar="HOTLINE_LISTEN", default="0.0.0.0", show_default=True, help="监听的地址")  # noqa: S104 - behind a proxy or in a container
@click.option("--workers", type=click.IntRange(1, 64), default=WEB_WORKERS, show_default=True, help="进程数")
@click.option("--threads", type=click.IntRange(1, 256), default=WEB_THREADS, show_default=True, help="每进程线程数")
def serve(listen: str, workers: int, threads: int) -> None:
    """Become gunicorn: same process id, so that whoever started us can stop it."""
    command = web_command(Settings.from_environment(), listen=listen, workers=workers, threads=threads)
    os.execv(command[0], command)  # noqa: S606 - our own interpreter, an argument list


@click.command(help="执行后台作业；不写队列名时处理全部队列。")
@click.argument("queues", nargs=-1, type=click.Choice([queue.value for queue in QueueName]))
def worker(queues: tuple[str, ...]) -> None:
    """Work off the queues until told to stop."""
    from hotline.worker import run_worker

    run_worker([QueueName(name) for name in queues] or list(QueueName))


@click.command(help="按时间表安排作业，并把待发事项交给队列（全系统只能有一个）。")
def scheduler() -> None:
    """Run the timetable and the relay of the outbox until told to stop."""
    from hotline.worker import run_scheduler

    run_scheduler()


@click.command(help="把数据库升级到当前版本；可重复执行。")
def migrate() -> None:
    """Bring the schema up to this version; nothing to do is no error."""
    from hotline.migrate import upgrade

    upgrade(Settings.from_environment().database_url)
    click.echo("数据库已是最新版本。")


@click.command(help="以退出码 0 或 1 回答：本容器的进程是否正常。")
@click.argument("part", type=click.Choice(["web", "worker", "scheduler"]))
def alive(part: str) -> None:
    """Answer with the exit code whether this container's process does its work."""
    settings = Settings.from_environment()
    if part == "web":
        _ask_web(settings.port)
    else:
        _ask_background(settings, part)


def _ask_web(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=HEALTH_TIMEOUT_S)
    try:
        connection.request("GET", "/health")
        status = connection.getresponse().status
    except OSError as error:
        raise Unavailable(f"网站没有回答：{error}") from error
    finally:
        connection.close()
    if status != http.client.OK:
        raise Unavailable(f"网站回答了 {status}。")


def _ask_background(settings: Settings, part: str) -> None:
    """Check what a background process needs (database, and for a worker its own heartbeat in the queue)."""
    import psycopg

    try:
        psycopg.connect(settings.database_url.replace("+psycopg", ""), connect_timeout=HEALTH_TIMEOUT_S).close()
    except psycopg.OperationalError as error:
        raise Unavailable("数据库没有回答。") from error
    if part != "worker":
        return
    import redis
    import rq

    try:
        with redis.Redis.from_url(settings.redis_url, socket_timeout=HEALTH_TIMEOUT_S) as connection:
            # RQ drops a worker from its list when the heartbeat stays away for the worker's ttl.
            here = [each for each in rq.Worker.all(connection=connection) if each.hostname == socket.gethostname()]
    except redis.RedisError as error:
        raise Unavailable("队列服务没有回答。") from error
    if not here:
        raise Unavailable("本容器没有在岗的后台作业进程。")
