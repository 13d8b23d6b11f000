"""News reaches the upper floors at least once and has its effect once, with Redis away, workers dead or doubled."""

from __future__ import annotations

import subprocess
import threading
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import rq
from rq.serializers import JSONSerializer
from sqlalchemy import func, select, text
from sqlalchemy.exc import ProgrammingError
from typing_extensions import override

from classifier.suggest import Suggester
from hotline import worker
from hotline.core import clock, outbox
from hotline.core.errors import Conflict, Unavailable
from hotline.core.outbox import OutboxRow, ReactionDone
from hotline.core.permissions import SYSTEM
from hotline.core.queues import QueueName
from hotline.runtime.broker import PrivateBroker
from hotline.telephony.actions import queue_text, send_waiting
from hotline.telephony.models import MessageState, TextMessage
from hotline.telephony.recorder import Recorder
from hotline.telephony.twilio_gateway import TwilioTextMessages
from hotline.tickets.events import TicketRegistered
from hotline.wiring import REACTIONS, Installation
from routing.models import Suggestion
from tests.makers import register_ticket


@pytest.fixture
def tools(tools: Installation) -> Installation:
    """An installation whose model abstains, so that these tests are about the delivery only."""
    tools._suggester = Suggester.without_model("测试中不加载模型。")
    return tools


def suggestions(tools: Installation) -> int:
    with tools.db.read() as session:
        return session.scalar(select(func.count()).select_from(Suggestion)) or 0


def undelivered(tools: Installation) -> int:
    with tools.db.read() as session:
        return outbox.waiting(session)


def test_a_registered_ticket_is_announced_and_its_reaction_has_its_effect_once(
    tools: Installation, now: datetime
) -> None:
    with tools.db.begin() as session:
        register_ticket(session, now=now)
    with tools.db.begin() as session:
        ids = [row.id for row in outbox.take(session, now=now, limit=10)]
    assert len(ids) == 1
    assert worker.deliver_rows(tools, queue=QueueName.CLASSIFIER, ids=ids, now=lambda: now) == 1
    assert worker.deliver_rows(tools, queue=QueueName.CLASSIFIER, ids=ids, now=lambda: now) == 0
    assert (suggestions(tools), undelivered(tools)) == (1, 0)


def test_what_is_rolled_back_was_never_announced(tools: Installation, now: datetime) -> None:
    class Changed(Exception):
        pass

    def register_and_change_ones_mind() -> None:
        with tools.db.begin() as session:
            register_ticket(session, now=now)
            raise Changed

    with pytest.raises(Changed):
        register_and_change_ones_mind()
    assert undelivered(tools) == 0


def test_two_workers_with_the_same_row_make_one_effect(tools: Installation, now: datetime) -> None:
    with tools.db.begin() as session:
        for _ in range(5):
            register_ticket(session, now=now)
    with tools.db.begin() as session:
        ids = [row.id for row in outbox.take(session, now=now, limit=10)]
    start = threading.Barrier(2)

    def work() -> None:
        start.wait(10)
        worker.deliver_rows(tools, queue=QueueName.CLASSIFIER, ids=ids, now=lambda: now)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert suggestions(tools) == 5
    with tools.db.read() as session:
        assert session.scalar(select(func.count()).select_from(ReactionDone)) == 5
    assert undelivered(tools) == 0


def test_a_reaction_that_fails_keeps_its_error_and_is_tried_again(
    tools: Installation, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tools.db.begin() as session:
        register_ticket(session, now=now)
    with tools.db.begin() as session:
        ids = [row.id for row in outbox.take(session, now=now, limit=10)]
    broken = Suggester.without_model("x")
    broken.suggest = None  # type: ignore[method-assign,assignment] # a model that breaks when it is asked
    whole = tools.suggester
    tools._suggester = broken
    assert worker.deliver_rows(tools, queue=QueueName.CLASSIFIER, ids=ids, now=lambda: now) == 0
    with tools.db.read() as session:
        assert "TypeError" in session.scalars(select(OutboxRow.last_error)).one()
    tools._suggester = whole
    later = now + outbox.GIVE_UP_ON_RELAY + timedelta(seconds=1)
    with tools.db.begin() as session:
        assert [row.id for row in outbox.take(session, now=later, limit=10)] == ids
    assert worker.deliver_rows(tools, queue=QueueName.CLASSIFIER, ids=ids, now=lambda: later) == 1
    assert undelivered(tools) == 0


def test_tickets_are_taken_while_redis_is_away_and_delivered_when_it_is_back(
    tools: Installation, tmp_path: Path, now: datetime
) -> None:
    broker = PrivateBroker(tmp_path / "broker")
    url = broker.start()
    connection = worker.connect(url)
    broker.stop()
    with tools.db.begin() as session:
        for _ in range(3):
            register_ticket(session, now=now)
    with pytest.raises(Unavailable):
        worker.relay_once(tools, connection, now=now)
    assert undelivered(tools) == 3
    broker = PrivateBroker(tmp_path / "broker")
    connection = worker.connect(broker.start())
    try:
        assert worker.relay_once(tools, connection, now=now) == 3
        queue = rq.Queue(QueueName.CLASSIFIER, connection=connection, serializer=JSONSerializer)
        (job,) = queue.jobs
        assert worker.deliver_rows(tools, queue=QueueName.CLASSIFIER, ids=job.args[1], now=lambda: now) == 3
    finally:
        connection.close()
        broker.stop()
    assert (suggestions(tools), undelivered(tools)) == (3, 0)


def test_a_job_that_redis_lost_is_handed_over_again(tools: Installation, redis_url: str, now: datetime) -> None:
    connection = worker.connect(redis_url)
    with tools.db.begin() as session:
        register_ticket(session, now=now)
    assert worker.relay_once(tools, connection, now=now) == 1
    connection.flushall()
    assert worker.relay_once(tools, connection, now=now + timedelta(seconds=10)) == 0
    assert worker.relay_once(tools, connection, now=now + outbox.GIVE_UP_ON_RELAY + timedelta(seconds=1)) == 1
    connection.flushall()
    connection.close()


def test_news_that_only_waits_for_a_worker_is_never_given_up(
    tools: Installation, redis_url: str, now: datetime
) -> None:
    connection = worker.connect(redis_url)
    with tools.db.begin() as session:
        register_ticket(session, now=now)
    later = [now + 2 * each * outbox.GIVE_UP_ON_RELAY for each in range(3 * outbox.MOST_TRIES)]
    handed_over = sum(worker.relay_once(tools, connection, now=each) for each in later)
    assert handed_over == worker.MOST_WAITING
    connection.flushall()  # nobody worked, and then the queue is lost too
    assert worker.relay_once(tools, connection, now=later[-1] + timedelta(hours=1)) == 1
    connection.flushall()
    connection.close()


def test_a_worker_that_was_killed_is_not_on_duty(redis_url: str) -> None:
    connection = worker.connect(redis_url)
    here = rq.SimpleWorker([QueueName.CLASSIFIER.value], connection=connection, serializer=JSONSerializer)
    here.register_birth()  # type: ignore[no-untyped-call] # RQ's own is not typed
    now = clock.now()
    assert worker.workers_on_duty(connection, now=now) == 1
    assert worker.workers_on_duty(connection, now=now + 2 * worker.SILENT_FOR) == 0
    ended = subprocess.run(["sh", "-c", "echo $$"], stdout=subprocess.PIPE, text=True, check=True)
    connection.hset(here.key, "pid", ended.stdout.strip())
    assert rq.Worker.count(connection=connection) == 1
    assert worker.workers_on_duty(connection, now=now) == 0
    connection.flushall()
    connection.close()


def test_a_real_worker_makes_the_effect_in_the_background(
    tools: Installation, redis_url: str, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = worker.connect(redis_url)
    monkeypatch.setattr(worker, "installation", lambda: tools)
    with tools.db.begin() as session:
        for _ in range(3):
            register_ticket(session, now=now)
    worker.relay_once(tools, connection, now=now)
    rq.SimpleWorker([QueueName.CLASSIFIER.value], connection=connection, serializer=JSONSerializer).work(
        burst=True, logging_level="WARNING"
    )
    connection.flushall()
    connection.close()
    assert (suggestions(tools), undelivered(tools)) == (3, 0)


def test_periodic_jobs_are_enqueued_when_their_time_has_come_and_not_before(
    tools: Installation, redis_url: str, now: datetime
) -> None:
    connection = worker.connect(redis_url)
    first = worker.enqueue_due(tools, connection, now=now)
    assert "fold_counters" in first
    assert worker.enqueue_due(tools, connection, now=now + timedelta(seconds=1)) == []
    assert "fold_counters" in worker.enqueue_due(tools, connection, now=now + timedelta(seconds=6))
    connection.flushall()
    connection.close()


def test_while_no_worker_is_on_duty_one_run_of_a_periodic_job_waits_and_not_a_hundred(
    tools: Installation, redis_url: str, now: datetime
) -> None:
    connection = worker.connect(redis_url)
    for passed in range(0, 600, 60):
        worker.enqueue_due(tools, connection, now=now + timedelta(seconds=passed))
    queue = rq.Queue(QueueName.DEFAULT, connection=connection, serializer=JSONSerializer)
    waiting = [job.args[0] for job in queue.jobs]
    connection.flushall()
    connection.close()
    assert waiting.count("fold_counters") == 1
    assert len(waiting) == len(set(waiting))


def test_folding_counters_twice_changes_nothing(tools: Installation, now: datetime) -> None:
    from hotline.tickets.queries import counters

    with tools.db.begin() as session:
        register_ticket(session, now=now)
    for _ in range(2):
        worker.run_periodic_with(tools, name="fold_counters", now=lambda: now)
        with tools.db.read() as session:
            assert counters(session, ["tickets.all"]) == {"tickets.all": 1}


def test_a_message_is_sent_once_per_key_and_never_again_after_a_crash(tools: Installation, now: datetime) -> None:
    recorder = Recorder(tools.settings.home / "recorder")
    for _ in range(2):
        with tools.db.begin() as session:
            queue_text(session, key="k-1", purpose="test", to="13900001234", body="编号 1", by=SYSTEM, now=now)
    assert send_waiting(tools.db.begin, recorder, now=now) == 1
    assert send_waiting(tools.db.begin, recorder, now=now) == 0
    assert [line["body"] for line in recorder.said()] == ["编号 1"]

    class Dies:
        def send(self, *, to: str, body: str, key: str) -> str:  # noqa: ARG002 - the port's form
            raise KeyboardInterrupt

    with tools.db.begin() as session:
        queue_text(session, key="k-2", purpose="test", to="13900001234", body="编号 2", by=SYSTEM, now=now)
    with pytest.raises(KeyboardInterrupt):
        send_waiting(tools.db.begin, Dies(), now=now)
    assert send_waiting(tools.db.begin, recorder, now=now) == 0
    with tools.db.read() as session:
        states = {row.key: row.state for row in session.execute(select(TextMessage.key, TextMessage.state))}
    assert states == {"k-1": MessageState.SENT, "k-2": MessageState.SENDING}


def test_a_carrier_that_refuses_is_not_asked_again(tools: Installation, now: datetime) -> None:
    recorder = Recorder(tools.settings.home / "recorder")
    with tools.db.begin() as session:
        queue_text(session, key="k-1", purpose="test", to="13900000000", body="x", by=SYSTEM, now=now)
    assert send_waiting(tools.db.begin, recorder, now=now) == 0
    with tools.db.read() as session:
        assert session.scalars(select(TextMessage.state)).one() is MessageState.FAILED


class Flaky(Recorder):
    """The shipped carrier, but out of order for as long as one says."""

    def __init__(self, folder: Path, *, error: Exception | None) -> None:
        """Keep the error that every hand-over meets."""
        super().__init__(folder)
        self.error = error

    @override
    def send(self, *, to: str, body: str, key: str) -> str:
        if self.error is not None:
            raise self.error
        return super().send(to=to, body=body, key=key)


def wait_for(tools: Installation, keys: list[str], now: datetime) -> None:
    with tools.db.begin() as session:
        for key in keys:
            queue_text(session, key=key, purpose="test", to="13900001234", body=key, by=SYSTEM, now=now)


def test_a_carrier_that_is_away_for_hours_costs_no_message(tools: Installation, now: datetime) -> None:
    carrier = Flaky(tools.settings.home / "recorder", error=Unavailable())
    wait_for(tools, ["k-1", "k-2"], now)
    for seconds in range(0, 120, 5):  # as the timetable has it
        assert send_waiting(tools.db.begin, carrier, now=now + timedelta(seconds=seconds)) == 0
    carrier.error = None
    assert send_waiting(tools.db.begin, carrier, now=now + timedelta(hours=3)) == 2
    with tools.db.read() as session:
        assert set(session.scalars(select(TextMessage.state))) == {MessageState.SENT}


def test_a_message_that_is_never_taken_is_given_up_in_the_end(tools: Installation, now: datetime) -> None:
    carrier = Flaky(tools.settings.home / "recorder", error=Unavailable())
    wait_for(tools, ["k-1"], now)
    for hours in (0, 1, 2, 4, 11):
        send_waiting(tools.db.begin, carrier, now=now + timedelta(hours=hours))
    with tools.db.read() as session:
        assert session.scalars(select(TextMessage.state)).one() is MessageState.FAILED


def test_a_fault_in_the_middle_leaves_the_other_messages_waiting(tools: Installation, now: datetime) -> None:
    carrier = Flaky(tools.settings.home / "recorder", error=OSError("no space left"))
    wait_for(tools, ["k-1", "k-2", "k-3"], now)
    with pytest.raises(OSError, match="no space"):
        send_waiting(tools.db.begin, carrier, now=now)
    carrier.error = None
    assert send_waiting(tools.db.begin, carrier, now=now) == 2
    assert [line["body"] for line in carrier.said()] == ["k-2", "k-3"]


def test_a_message_that_no_key_opens_does_not_keep_the_others(tools: Installation, now: datetime) -> None:
    wait_for(tools, ["k-1", "k-2"], now)
    with tools.db.begin() as session:
        session.scalars(select(TextMessage).where(TextMessage.key == "k-1")).one().sealed = b"not sealed by us"
    recorder = Recorder(tools.settings.home / "recorder")
    assert send_waiting(tools.db.begin, recorder, now=now) == 1
    with tools.db.read() as session:
        states = {row.key: row.state for row in session.execute(select(TextMessage.key, TextMessage.state))}
    assert states == {"k-1": MessageState.FAILED, "k-2": MessageState.SENT}


def test_a_carrier_that_cannot_be_reached_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens at the proxy, so nothing was handed over."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    carrier = TwilioTextMessages(account="AC0", token="t", sender="+8600000000000")
    with pytest.raises(Unavailable, match="无法连接运营商"):
        carrier.send(to="13900001234", body="x", key="k-1")


def test_a_conflict_in_a_reaction_keeps_its_error(
    tools: Installation, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be another worker at the same ticket; when it is not, a person must be able to read what it was."""
    with tools.db.begin() as session:
        register_ticket(session, now=now)
        (row,) = outbox.take(session, now=now, limit=10)

    def refuses(*_: object) -> None:
        raise Conflict("工单已被他人修改。")

    (reaction,) = REACTIONS[TicketRegistered]
    monkeypatch.setitem(REACTIONS, TicketRegistered, (replace(reaction, run=refuses),))
    assert worker.deliver_rows(tools, queue=QueueName.CLASSIFIER, ids=[row.id], now=lambda: now) == 0
    with tools.db.read() as session:
        assert "已被他人修改" in session.scalars(select(OutboxRow.last_error)).one()


def test_an_error_of_the_database_tells_nothing_of_what_was_written(tools: Installation) -> None:
    with pytest.raises(ProgrammingError) as told, tools.db.begin() as session:
        session.execute(text("SELECT :said FROM no_such_table"), {"said": "张三的电话"})
    assert "张三" not in str(told.value)


def test_an_unanswering_queue_does_not_stop_the_scheduler(tools: Installation, now: datetime) -> None:
    broken = Installation(
        settings=replace(tools.settings, redis_url="redis://127.0.0.1:1/0"), keyring=tools.keyring, db=tools.db
    )
    stop = threading.Event()
    thread = threading.Thread(target=worker.schedule, args=(broken,), kwargs={"stop": stop})
    with tools.db.begin() as session:
        register_ticket(session, now=now)
    thread.start()
    thread.join(0.5)
    alive = thread.is_alive()
    stop.set()
    thread.join(10)
    assert alive
    assert not thread.is_alive()
    assert undelivered(tools) == 1
