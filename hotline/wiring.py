"""The nervous system on one page: who hears what, what runs when, and which gateway speaks for us."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import redis
import rq
from rq.serializers import JSONSerializer
from sqlalchemy.orm import Session

import callbacks.reactions
import hotline.intake.actions
import hotline.people.actions
import hotline.telephony.actions
import hotline.tickets.actions
import routing.answers.relay
import routing.catalogue.trials
import routing.clocks.adjusting
import routing.clocks.recounting
import routing.duty.disputing
import routing.learning.limits
import routing.learning.training
import routing.reactions
import routing.relations.duplicates
import routing.relations.joining
import routing.suggesting
import routing.supervision.sweeping
import routing.telling
from hotline.core import outbox
from hotline.core.db import AtOnce, Database
from hotline.core.files import FileStore
from hotline.core.outbox import Event
from hotline.core.queues import QueueName
from hotline.core.sealing import Keyring
from hotline.core.settings import Settings
from hotline.telephony.ports import TextMessages
from hotline.telephony.recorder import Recorder
from hotline.telephony.twilio_gateway import TwilioCalls
from hotline.tickets.events import TicketAmended, TicketClosed, TicketRefused, TicketRegistered
from hotline.tickets.models import Ticket
from routing.events import (
    CatalogueTrialAsked,
    ClockAdjusted,
    DeadlineMoved,
    MainAnswered,
    RecountOrdered,
    TicketAnswered,
)
from routing.serving import Serving, models_folder

if TYPE_CHECKING:  # loaded when first asked (Installation.suggester)
    from classifier.suggest import Suggester


_log: Final = logging.getLogger(__name__)


@dataclass
class Installation:
    """What one process works with: settings, keys, database, and tools that are loaded when first used."""

    settings: Settings
    keyring: Keyring
    db: Database
    #: A suggester given from outside is kept; without one the model in use answers, whichever it is.
    _suggester: Suggester | None = field(default=None, repr=False)
    _serving: Serving | None = field(default=None, repr=False)
    _carrier: TextMessages | None = field(default=None, repr=False)
    _calls: TwilioCalls | None = field(default=None, repr=False)

    @property
    def suggester(self) -> Suggester:
        """The text model in use; when it is missing or damaged, one that abstains and says why."""
        if self._suggester is not None:
            return self._suggester
        if self._serving is None:
            self._serving = Serving(self.models, ticks=time.monotonic, db=self.db)
        return self._serving.suggester()

    @property
    def models(self) -> Path:
        """The folder of text models."""
        return models_folder(self.settings.home)

    @property
    def carrier(self) -> TextMessages:
        """The network: the shipped recorder, or the carrier that is set up."""
        if self._carrier is None:
            if self.settings.carrier == "twilio":
                from hotline.telephony.twilio_gateway import TwilioTextMessages

                self._carrier = TwilioTextMessages()
            else:
                self._carrier = Recorder(self.settings.home / "recorder")
        return self._carrier

    @property
    def calls(self) -> TwilioCalls:
        """What answers calls to our number: for the carrier that is set up, or for the shipped simulator of one.

        The simulator's secret is made of a key of ours, so only somebody who has the keys can play the carrier.
        """
        if self._calls is None:
            if self.settings.carrier == "twilio":
                self._calls = TwilioCalls()
            else:
                secret = hmac.digest(self.keyring.session, b"simulated exchange", hashlib.sha256).hex()
                self._calls = TwilioCalls(token=secret, sender="12345")
        return self._calls

    @property
    def files(self) -> Path:
        """The folder of attachments, sealed."""
        return self.settings.home / "attachments"

    @property
    def store(self) -> FileStore:
        """What keeps and opens attachments."""
        return FileStore(self.files, self.keyring)


def open_installation(settings: Settings, *, create_keys: bool = False) -> Installation:
    """Read the keys and connect, lazily, to the database with everything wired."""
    keyring = Keyring.load(settings.keys, create=create_keys)
    db = wired(settings.database_url, keyring=keyring, pool=settings.pool, writers=settings.writers)
    return Installation(settings=settings, keyring=keyring, db=db)


def wired(url: str, *, keyring: Keyring, pool: int = 20, writers: int | None = None) -> Database:
    """Return a database whose sessions know who reacts at once and what is heard later."""
    heard = frozenset(event.__name__ for event in REACTIONS)
    return Database(url, keyring=keyring, at_once=AT_ONCE, heard=heard, pool=pool, writers=writers)


def queue_lengths(connection: redis.Redis) -> dict[QueueName, int]:
    """Return how much waits in each queue; raises `redis.RedisError` when the server does not answer."""
    return {name: rq.Queue(name, connection=connection, serializer=JSONSerializer).count for name in QueueName}


@dataclass(frozen=True, kw_only=True)
class Reaction:
    """Something that follows from an event later, in a worker, with its own transaction."""

    name: str
    queue: QueueName
    run: Callable[[Session, Any, Installation, datetime], None]


@dataclass(frozen=True, kw_only=True)
class Periodic:
    """Something that happens by the clock: every so often, or daily at a local time."""

    name: str
    words: str
    queue: QueueName
    run: Callable[[Installation, datetime], None]
    every: timedelta


def _suggest(session: Session, event: TicketRegistered, tools: Installation, now: datetime) -> None:
    ticket = session.get(Ticket, event.ticket_id)
    if ticket is not None:
        routing.relations.duplicates.remember(session, ticket)
    routing.suggesting.suggest_department(session, event.ticket_id, suggester=tools.suggester, now=now)


def _recount(session: Session, event: RecountOrdered, tools: Installation, now: datetime) -> None:  # noqa: ARG001 - the form of every reaction
    routing.clocks.recounting.carry_on(session, recount_id=event.recount_id, now=now)


def _tell_of_clock(session: Session, event: ClockAdjusted, tools: Installation, now: datetime) -> None:  # noqa: ARG001 - the form of every reaction
    routing.telling.tell_citizen(session, event, now=now)


def _tell_of_refusal(session: Session, event: TicketRefused, tools: Installation, now: datetime) -> None:  # noqa: ARG001 - the form of every reaction
    routing.telling.tell_of_refusal(session, event, now=now)


def _tell_of_move(session: Session, event: DeadlineMoved, tools: Installation, now: datetime) -> None:  # noqa: ARG001 - the form of every reaction
    routing.telling.tell_of_move(session, event, now=now)


def _follow_latecomers(tools: Installation, now: datetime) -> None:
    with tools.db.begin() as session:
        routing.clocks.recounting.follow_latecomers(session, now=now)


def _resume_clocks(tools: Installation, now: datetime) -> None:
    with tools.db.begin() as session:
        routing.clocks.adjusting.resume_due(session, now=now)


def _try_catalogue(_session: Session, event: CatalogueTrialAsked, tools: Installation, _now: datetime) -> None:
    routing.catalogue.trials.run(tools.db.begin, trial_id=event.trial_id)


def _designate(tools: Installation, now: datetime) -> None:
    with tools.db.begin() as session:
        routing.duty.disputing.designate_overdue(session, now=now)


def _send_texts(tools: Installation, now: datetime) -> None:
    hotline.telephony.actions.send_waiting(tools.db.begin, tools.carrier, now=now)


def _end_lost_calls(tools: Installation, now: datetime) -> None:
    with tools.db.begin() as session:
        routing.answers.relay.end_lost_calls(session, now=now)


def _fold_counters(tools: Installation, now: datetime) -> None:  # noqa: ARG001 - the form of every periodic job
    with tools.db.begin() as session:
        hotline.tickets.actions.fold_counters(session)


def _answer_members(session: Session, event: MainAnswered, tools: Installation, now: datetime) -> None:  # noqa: ARG001 - the form of every reaction
    routing.relations.joining.answer_members(session, main_id=event.ticket_id, dispatch_id=event.dispatch_id, now=now)


def _supervise(tools: Installation, now: datetime) -> None:
    if not routing.supervision.sweeping.sweep(tools.db.begin, now=now).finished:
        _log.warning("a sweep of supervision had no time for everything; the next one goes on")


def _forget(tools: Installation, now: datetime) -> None:
    from hotline.tickets.files import sweep  # it brings the library of pictures, which nothing else here needs

    with tools.db.begin() as session:
        outbox.forget_delivered(session, before=now - timedelta(days=7))
        hotline.people.actions.forget_expired(session, now=now)
        hotline.intake.actions.forget_keys(session, now=now)
        sweep(session, tools.store, now=now)


def _learn(tools: Installation, now: datetime) -> None:
    """Start a training that is due in a process of its own, so that this worker goes on with what waits."""
    for child in [each for each in _CHILDREN if each.poll() is not None]:
        _CHILDREN.remove(child)
    with tools.db.begin() as session:
        run_id = routing.learning.training.begin_due(session, now=now)
    if run_id is None:
        return
    command = [sys.executable, "-m", "hotline.cli", "classifier", "learn", "--run", str(run_id)]
    try:
        _CHILDREN.append(
            subprocess.Popen(  # noqa: S603 - our own program and a number
                command, env={**os.environ, **_ONE_THREAD}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
        )
    except OSError as error:
        with tools.db.begin() as session:
            routing.learning.training.failed(session, run_id, words=f"无法启动训练进程：{error.strerror}", now=now)


def _catch_up_with_sketches(tools: Installation, now: datetime) -> None:
    routing.relations.duplicates.catch_up(tools.db.begin, now=now)


def _watch_the_promise(tools: Installation, now: datetime) -> None:
    with tools.db.begin() as session:
        routing.learning.limits.watch(session, now=now)


#: Training processes that this worker started, so that it can bury them.
_CHILDREN: Final[list[subprocess.Popen[bytes]]] = []
#: The linear algebra takes one core, whatever the machine has.
_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


# What reacts inside the announcing transaction: cheap, on our own tables only, so that the sentence is always true.
AT_ONCE: Final[Mapping[type[Event], tuple[AtOnce, ...]]] = {
    TicketAnswered: (callbacks.reactions.plan_callback, routing.reactions.pass_answer_on),
    TicketClosed: (routing.reactions.end_dispatch,),
    # The clock first: what follows asks the database, and the corrections with their deadline are one new version.
    TicketAmended: (routing.reactions.follow_amendment, routing.reactions.keep_corrected_labels),
}

# What reacts later, in a worker.
REACTIONS: Final[Mapping[type[Event], tuple[Reaction, ...]]] = {
    TicketRegistered: (Reaction(name="suggest_department", queue=QueueName.CLASSIFIER, run=_suggest),),
    TicketRefused: (Reaction(name="tell_citizen_of_refusal", queue=QueueName.TELEPHONY, run=_tell_of_refusal),),
    ClockAdjusted: (Reaction(name="tell_citizen_of_clock", queue=QueueName.TELEPHONY, run=_tell_of_clock),),
    DeadlineMoved: (Reaction(name="tell_citizen_of_move", queue=QueueName.TELEPHONY, run=_tell_of_move),),
    MainAnswered: (Reaction(name="answer_members", queue=QueueName.DEFAULT, run=_answer_members),),
    RecountOrdered: (Reaction(name="recount_open_tickets", queue=QueueName.DEFAULT, run=_recount),),
    CatalogueTrialAsked: (Reaction(name="try_catalogue", queue=QueueName.REPORTS, run=_try_catalogue),),
}

SCHEDULE: Final[tuple[Periodic, ...]] = (
    Periodic(
        name="fold_counters", words="合并计数", queue=QueueName.DEFAULT, run=_fold_counters, every=timedelta(seconds=5)
    ),
    Periodic(
        name="designate_overdue_disputes",
        words="争议逾期未裁定，指定承办单位",
        queue=QueueName.DEFAULT,
        run=_designate,
        every=timedelta(minutes=1),
    ),
    Periodic(
        name="send_text_messages",
        words="发送短信",
        queue=QueueName.TELEPHONY,
        run=_send_texts,
        every=timedelta(seconds=5),
    ),
    Periodic(
        name="end_lost_calls",
        words="补记运营商没有回报结果的中间号通话",
        queue=QueueName.TELEPHONY,
        run=_end_lost_calls,
        every=timedelta(minutes=10),
    ),
    Periodic(
        name="resume_clocks", words="恢复计时", queue=QueueName.DEFAULT, run=_resume_clocks, every=timedelta(minutes=1)
    ),
    Periodic(
        name="recount_latecomers",
        words="日历调整时刚派出的工单补算时限",
        queue=QueueName.DEFAULT,
        run=_follow_latecomers,
        every=timedelta(minutes=1),
    ),
    Periodic(
        name="supervise_what_is_open",
        words="红黄牌与督办提醒",
        queue=QueueName.DEFAULT,
        run=_supervise,
        every=timedelta(minutes=1),
    ),
    Periodic(
        name="forget_what_is_done",
        words="清理过期的登录、已送达事项与无主附件",
        queue=QueueName.DEFAULT,
        run=_forget,
        every=timedelta(hours=1),
    ),
    Periodic(
        name="learn_from_decisions",
        words="从人工决定中学习（到时启动训练）",
        queue=QueueName.CLASSIFIER,
        run=_learn,
        every=timedelta(seconds=20),
    ),
    Periodic(
        name="watch_the_promise",
        words="核对自动派单的准确率承诺",
        queue=QueueName.CLASSIFIER,
        run=_watch_the_promise,
        every=timedelta(minutes=10),
    ),
    Periodic(
        name="sketch_tickets",
        words="为查找重复诉求补建索引",
        queue=QueueName.CLASSIFIER,
        run=_catch_up_with_sketches,
        every=timedelta(minutes=1),
    ),
)


def event_named(name: str, payload: Mapping[str, Any]) -> Event | None:
    """Return the event that a row of the outbox holds, or nothing when nobody hears that name any more."""
    for kind in REACTIONS:
        if kind.__name__ == name:
            return kind(**payload)
    return None
