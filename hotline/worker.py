"""Background work: the relay hands the outbox to RQ, workers make the effects, the scheduler keeps the timetable.

The database is the truth: a job that Redis lost, a worker that died, a Redis that was away only delay an effect; the
row is handed over again (core.outbox). A row is marked done in the same transaction as its effect, so effects on our
tables happen once. See docs/decisions/0003-outbox.md.
"""

from __future__ import annotations

import functools
import logging
import os
import signal
import socket
import threading
import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from types import FrameType
from typing import Final

import redis
import rq
from rq.serializers import JSONSerializer

from hotline.core import clock, outbox, periodic
from hotline.core.errors import Conflict, HotlineError, Unavailable
from hotline.core.outbox import OutboxRow
from hotline.core.queues import QueueName
from hotline.core.settings import Settings
from hotline.wiring import REACTIONS, SCHEDULE, Installation, event_named, open_installation

_log = logging.getLogger("hotline.worker")
_NO_QUEUE: Final = "队列服务没有回答，待发事项保留在数据库中。"

BATCH: Final = 50
RELAY_EVERY_S: Final = 0.2
PAUSE_AFTER_TROUBLE_S: Final = 2.0
JOB_TIMEOUT_S: Final = 120
RESULT_TTL_S: Final = 60
FAILURE_TTL_S: Final = 7 * 24 * 3600
#: Measured with kill -9 (docs/decisions/0003-outbox.md): with RQ's defaults nothing is recovered for minutes.
WORKER_TTL_S: Final = 30
MONITORING_S: Final = 5
MAINTENANCE_S: Final = 15
#: No longer than this does a worker wait before it tries a queue server again that had gone away.
RECONNECT_WITHIN_S: Final = 5.0
#: How many jobs may wait in a queue before the relay stops filling it. Fewer than `outbox.MOST_TRIES`: a row that only
#: waits, because no worker is on duty, is handed over a few times and never given up.
MOST_WAITING: Final = 5
#: How far background work stands behind pages and calls when both want the processor: a citizen on the line first.
GIVE_WAY: Final = 10
#: A worker on another machine that was not heard of for so long is gone; a long job comes between two signs of life.
SILENT_FOR: Final = timedelta(seconds=JOB_TIMEOUT_S + WORKER_TTL_S)


@functools.cache
def installation() -> Installation:
    """Return what this process works with."""
    return open_installation(Settings.from_environment())


def connect(url: str) -> redis.Redis:
    """Return a connection to the queue server; it connects when first used."""
    return redis.Redis.from_url(url, socket_connect_timeout=3, socket_timeout=60, health_check_interval=15)


def deliver(queue: str, ids: Sequence[int]) -> int:
    """Make the effects of these outbox rows that belong to this queue; returns how many reactions ran.

    A row whose reaction fails keeps the error and is handed over again later; the others go on.
    """
    return deliver_rows(installation(), queue=QueueName(queue), ids=ids, now=clock.now)


def deliver_rows(tools: Installation, *, queue: QueueName, ids: Iterable[int], now: clock.NowFunction) -> int:
    """Do what `deliver` does, with everything given."""
    ran = 0
    for row_id in ids:
        try:
            ran += _deliver_one(tools, queue=queue, row_id=row_id, now=now())
        except Conflict as error:  # mostly another worker at the same row or ticket; when not, a person must know why
            _log.info("outbox row %s met a conflict and is tried again", row_id)
            with tools.db.begin() as session:
                outbox.failed(session, outbox_id=row_id, error=f"{type(error).__name__}: {error}")
        except Exception as error:  # one bad row must not keep the others  # noqa: BLE001
            _log.exception("outbox row %s could not be delivered", row_id)
            with tools.db.begin() as session:
                outbox.failed(session, outbox_id=row_id, error=f"{type(error).__name__}: {error}")
    return ran


def run_periodic(name: str) -> None:
    """Run one job of the timetable and write down how it went."""
    run_periodic_with(installation(), name=name, now=clock.now)


def run_periodic_with(tools: Installation, *, name: str, now: clock.NowFunction) -> None:
    """Do what `run_periodic` does, with everything given."""
    job = next((each for each in SCHEDULE if each.name == name), None)
    if job is None:
        _log.warning("there is no periodic job named %s any more", name)
        return
    error = ""
    try:
        job.run(tools, now())
    except Exception as problem:  # written down for the doctor; the next run tries again
        error = f"{type(problem).__name__}: {problem}"
        raise
    finally:
        with tools.db.begin() as session:
            periodic.finished(session, name=name, now=now(), error=error)


def relay_once(tools: Installation, connection: redis.Redis, *, now: datetime, batch: int = BATCH) -> int:
    """Hand the next rows over, one RQ job per queue and batch; returns how many rows were taken.

    Takes none while a queue has enough to do. If the queue server does not answer, the rows are put back and
    `Unavailable` is raised.
    """
    if _backed_up(connection):
        return 0
    with tools.db.begin() as session:
        rows = outbox.take(session, now=now, limit=batch)
        taken = [(row.id, row.event) for row in rows]
    if not taken:
        return 0
    try:
        for queue, ids in _by_queue(taken).items():
            rq.Queue(queue, connection=connection, serializer=JSONSerializer).enqueue(
                "hotline.worker.deliver",
                queue.value,
                ids,
                job_timeout=JOB_TIMEOUT_S,
                result_ttl=RESULT_TTL_S,
                failure_ttl=FAILURE_TTL_S,
                # RQ must not try again: what was not delivered is handed over again from the database.
            )
        _settle_unheard(tools, taken, now=now)
    except redis.RedisError as error:
        with tools.db.begin() as session:
            outbox.put_back(session, [row_id for row_id, _ in taken], error=f"queue: {type(error).__name__}")
        raise Unavailable(_NO_QUEUE) from error
    return len(taken)


def enqueue_due(tools: Installation, connection: redis.Redis, *, now: datetime) -> list[str]:
    """Put the periodic jobs whose time has come into their queues; returns their names."""
    with tools.db.begin() as session:
        known = {name: row.started_at for name, row in periodic.latest(session).items()}
        due = [job for job in SCHEDULE if job.name not in known or now - known[job.name] >= job.every]
        for job in due:
            periodic.started(session, name=job.name, now=now)
    for job in due:
        queue = rq.Queue(job.queue, connection=connection, serializer=JSONSerializer)
        # While no worker is on duty, one run waits; a hundred of them would do nothing that the first does not.
        if any(waiting.startswith(f"{job.name}-") for waiting in queue.job_ids):
            continue
        queue.enqueue(
            "hotline.worker.run_periodic",
            job.name,
            job_id=f"{job.name}-{uuid.uuid4()}",
            job_timeout=JOB_TIMEOUT_S,
            result_ttl=0,
            failure_ttl=FAILURE_TTL_S,
            # A run that was lost is made up for by the next one; a retry would only run twice.
        )
    return [job.name for job in due]


def run_worker(queues: Sequence[QueueName] = tuple(QueueName)) -> None:
    """Work off the queues until told to stop; the model is loaded once, before the first job."""
    os.nice(GIVE_WAY)
    tools = installation()
    if QueueName.CLASSIFIER in queues:
        tools.suggester.suggest("预热", "路灯不亮，请尽快维修。")
    worker = rq.SimpleWorker(
        [queue.value for queue in queues],
        connection=connect(tools.settings.redis_url),
        serializer=JSONSerializer,
        worker_ttl=WORKER_TTL_S,
        job_monitoring_interval=MONITORING_S,
        maintenance_interval=MAINTENANCE_S,
    )
    worker.max_connection_wait_time = RECONNECT_WITHIN_S
    worker.work(logging_level="WARNING")


def run_scheduler() -> None:
    """Relay the outbox and keep the timetable until told to stop."""
    stop = threading.Event()

    def _stop(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    schedule(installation(), stop=stop)


def schedule(tools: Installation, *, stop: threading.Event) -> None:
    """Do what `run_scheduler` does until `stop` is set; trouble is said once and waited out."""
    connection = connect(tools.settings.redis_url)
    trouble = ""
    while not stop.is_set():
        pause = RELAY_EVERY_S
        try:
            taken = relay_once(tools, connection, now=clock.now())
            enqueue_due(tools, connection, now=clock.now())
            if taken == BATCH:
                pause = 0.0
            if trouble:
                _log.warning("the scheduler works again")
            trouble = ""
        except (HotlineError, redis.RedisError) as error:
            if str(error) != trouble:
                _log.warning("the scheduler waits: %s", error)
            trouble, pause = str(error), PAUSE_AFTER_TROUBLE_S
        stop.wait(pause)


def workers_on_duty(connection: redis.Redis, *, now: datetime) -> int:
    """Count the workers that live; RQ itself goes on counting one that was killed."""
    return sum(_on_duty(each, now=now) for each in rq.Worker.all(connection=connection, serializer=JSONSerializer))


def _on_duty(worker: rq.worker.BaseWorker, *, now: datetime) -> bool:
    if worker.last_heartbeat is None or now - worker.last_heartbeat > SILENT_FOR:
        return False
    if worker.hostname != socket.gethostname() or not worker.pid:
        return True
    try:
        os.kill(worker.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it lives under another account
    return True


def _backed_up(connection: redis.Redis) -> bool:
    queues = {reaction.queue for reactions in REACTIONS.values() for reaction in reactions}
    try:
        return any(
            rq.Queue(queue, connection=connection, serializer=JSONSerializer).count >= MOST_WAITING for queue in queues
        )
    except redis.RedisError as error:
        raise Unavailable(_NO_QUEUE) from error


def _deliver_one(tools: Installation, *, queue: QueueName, row_id: int, now: datetime) -> int:
    """Make the effects of one row, each reaction with its mark in one transaction; the last one delivers the row."""
    with tools.db.begin() as session:
        row = session.get(OutboxRow, row_id)
        if row is None or row.delivered_at is not None:
            return 0
        event = event_named(row.event, row.payload)
        reactions = REACTIONS.get(type(event), ()) if event is not None else ()
        mine = [reaction for reaction in reactions if reaction.queue is queue]
        if len(reactions) == len(mine) == 1:  # the usual case: effect, mark and delivery are one transaction
            ran = outbox.begin_reaction(session, outbox_id=row_id, reaction=mine[0].name, now=now)
            if ran:
                mine[0].run(session, event, tools, now)
            outbox.delivered(session, outbox_id=row_id, now=now)
            return int(ran)
    total = 0
    for reaction in mine:
        with tools.db.begin() as session:
            if outbox.begin_reaction(session, outbox_id=row_id, reaction=reaction.name, now=now):
                reaction.run(session, event, tools, now)
                total += 1
    with tools.db.begin() as session:
        if outbox.reactions_done(session, outbox_id=row_id) >= {reaction.name for reaction in reactions}:
            outbox.delivered(session, outbox_id=row_id, now=now)
    return total


def _by_queue(taken: Iterable[tuple[int, str]]) -> dict[QueueName, list[int]]:
    queues = {event.__name__: {reaction.queue for reaction in reactions} for event, reactions in REACTIONS.items()}
    found: dict[QueueName, list[int]] = {}
    for row_id, event in taken:
        for queue in queues.get(event, ()):
            found.setdefault(queue, []).append(row_id)
    return found


def _settle_unheard(tools: Installation, taken: Iterable[tuple[int, str]], *, now: datetime) -> None:
    heard = {event.__name__ for event in REACTIONS}
    unheard = [row_id for row_id, event in taken if event not in heard]
    if unheard:
        with tools.db.begin() as session:
            for row_id in unheard:
                outbox.delivered(session, outbox_id=row_id, now=now)
