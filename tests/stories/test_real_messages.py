"""Real, anonymised citizen messages: all of them come in once; they are classified in the background; some are closed.

The folder is not part of the project (hotline.demo.real); nothing of its texts stands here. Classifying all fourteen
thousand takes several minutes, so every eighth is; HOTLINE_REAL_EVERY=1 takes them all.
"""

from __future__ import annotations

import io
import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from callbacks import actions as callbacks
from callbacks.models import Callback
from callbacks.policy import Answers, Satisfaction, Solved
from callbacks.queries import open_callback
from classifier import seeds
from classifier.suggest import Suggester
from hotline import worker
from hotline.cli.importing import Wish, import_file
from hotline.core import clock
from hotline.core.outbox import OutboxRow
from hotline.core.permissions import Actor, Role
from hotline.core.sealing import Keyring
from hotline.core.settings import Settings
from hotline.demo import data, real
from hotline.demo.places import load_catalogue
from hotline.runtime.children import wait_until
from hotline.tickets.models import Ticket
from hotline.tickets.queries import counters
from hotline.tickets.states import Outcome, State
from hotline.wiring import Installation, open_installation
from reports.audit import audit
from routing import actions as routing
from routing.models import Department, Dispatch, Suggestion
from tests.makers import feedback, make_actor

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
WORKERS = 2
EVERY = int(os.environ.get("HOTLINE_REAL_EVERY", "8"))
#: Generous: a machine that does a dozen other things still comes through.
CLASSIFIED_WITHIN_S = 900.0
SAMPLE = 60
HAPPY = Answers(replied=True, solved=Solved.SOLVED, process=Satisfaction.SATISFIED, result=Satisfaction.SATISFIED)
UNHAPPY = replace(HAPPY, solved=Solved.UNSOLVED, result=Satisfaction.UNSATISFIED, reason="问题仍然存在")


@pytest.fixture
def folder() -> Path:
    """The folder of real messages, or a skip that says how to have one."""
    found = real.folder()
    if found is None:
        pytest.skip(f"no folder of real messages: neither ../shared/data nor {real.VARIABLE} holds one of its files")
    return found


@pytest.fixture
def house(
    *,
    database_url: str,
    redis_url: str,
    tmp_path: Path,
    suggester: Suggester,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Installation]:
    """An installation on disk, as processes of its own need it, with the trained model of this run."""
    home = tmp_path / "home"
    Keyring.load(home / "keys", create=True)
    (model,) = tmp_path_factory.getbasetemp().glob("model[0-9]*/default-*")
    (home / model.name).symlink_to(model, target_is_directory=True)
    tools = open_installation(
        Settings.from_environment({"HOTLINE_HOME": str(home), "DATABASE_URL": database_url, "REDIS_URL": redis_url})
    )
    tools._suggester = suggester
    yield tools
    tools.db.close()


@contextmanager
def background(tools: Installation) -> Iterator[None]:
    """Run the scheduler in a thread and two workers as processes, as `hotline run` does."""
    environment = {
        **os.environ,
        "HOTLINE_HOME": str(tools.settings.home),
        "DATABASE_URL": tools.settings.database_url,
        "REDIS_URL": tools.settings.redis_url,
    }
    call = [sys.executable, "-m", "hotline.cli", "worker"]
    workers = [subprocess.Popen(call, cwd=ROOT, env=environment) for _ in range(WORKERS)]
    stop = threading.Event()
    scheduler = threading.Thread(target=worker.schedule, args=(tools,), kwargs={"stop": stop})
    scheduler.start()
    try:
        yield
        assert all(each.poll() is None for each in workers), "a worker died"
    finally:
        stop.set()
        scheduler.join()
        for each in workers:
            each.send_signal(signal.SIGTERM)
        for each in workers:
            each.wait(timeout=60)


def undelivered(tools: Installation) -> int:
    with tools.db.read() as session:
        return session.scalar(select(func.count()).where(OutboxRow.delivered_at.is_(None))) or 0


def assert_sound(tools: Installation) -> None:
    """The invariants of the house hold (`hotline audit`)."""
    with tools.db.read() as session:
        assert audit(session, now=clock.now()) == []


def thinned(folder: Path, into: Path) -> Path:
    """Write every so manieth record of each file to a folder of this test's own."""
    into.mkdir()
    for file, path in real.files_in(folder):
        with path.open("rb") as whole, (into / file.name).open("wb") as some:
            some.writelines(itertools.islice(whole, 0, None, EVERY))
    return into


def records(folder: Path) -> int:
    """Count the records of every file."""
    count = 0
    for _, path in real.files_in(folder):
        with path.open("rb") as file:
            count += sum(bool(line.strip()) for line in file)
    return count


def imported(tools: Installation, folder: Path) -> tuple[int, int]:
    """Bring every file in as the command does; returns how many records came in and how many were refused."""
    came, refused = 0, 0
    for file, path in real.files_in(folder):
        aside = tools.settings.home / f"{file.name}.rejected.csv"
        wish = Wish(mapping=file.mapping, source=file.source, rejected=aside)
        tally = import_file(tools, path, wish, console=Console(file=io.StringIO()))
        assert tally.rows == tally.imported + tally.known + tally.rejected
        assert aside.exists() == bool(tally.rejected)
        came, refused = came + tally.imported, refused + tally.rejected
    return came, refused


def walk_to_the_end(session: Session, ticket_id: int, *, people: dict[str, Actor], unhappy: bool) -> None:
    """Do with one ticket what its desks do, until it is closed."""
    now = clock.now()
    ticket = session.get_one(Ticket, ticket_id)
    if ticket.state is State.REGISTERED:
        said = session.scalars(select(Suggestion).where(Suggestion.ticket_id == ticket_id)).one()
        chosen = said.department_id or session.scalars(select(Department.id).order_by(Department.id)).first()
        assert chosen is not None
        routing.dispatch(
            session, ticket_id=ticket_id, version=None, department_id=chosen, by=people["dispatcher"], now=now
        )
    for answers in [UNHAPPY, HAPPY] if unhappy else [HAPPY]:
        sent = session.scalars(select(Dispatch).where(Dispatch.ticket_id == ticket_id, Dispatch.is_current)).one()
        unit = replace(people["responder"], department_ids=frozenset({sent.department_id}))
        routing.sign(session, ticket_id=ticket_id, by=unit, now=clock.now())
        routing.answer(session, ticket_id=ticket_id, version=None, feedback=feedback(), by=unit, now=clock.now())
        waiting = open_callback(session, ticket_id)
        assert waiting is not None
        callbacks.record_result(
            session, callback_id=waiting.id, version=None, answers=answers, by=people["auditor"], now=clock.now()
        )


def test_all_of_them_come_in_and_none_twice(house: Installation, folder: Path) -> None:
    expected = records(folder)
    came, refused = imported(house, folder)
    assert came + refused == expected
    assert came > 0.95 * expected
    assert imported(house, folder) == (0, refused)
    with house.db.begin() as session:
        assert counters(session, ["tickets.all", "tickets.state.registered"]) == {
            "tickets.all": came,
            "tickets.state.registered": came,
        }
        assert session.scalar(select(func.count(Ticket.number.distinct()))) == came
    assert_sound(house)


def test_they_are_classified_in_the_background_and_a_sample_is_closed(
    house: Installation, folder: Path, tmp_path: Path
) -> None:
    some = thinned(folder, tmp_path / "some")
    with house.db.begin() as session:
        load_catalogue(session, data.load(), seeds.load())
    with background(house):
        came, refused = imported(house, some)
        assert came + refused == records(some)
        wait_until(lambda: not undelivered(house), within_s=CLASSIFIED_WITHIN_S, every_s=0.5)
    assert undelivered(house) == 0

    assert_sound(house)
    with house.db.begin() as session:
        assert session.scalar(select(func.count()).select_from(Ticket)) == came
        # Each has been looked at exactly once, by the model and not by its absence.
        assert session.scalar(select(func.count(Suggestion.ticket_id.distinct()))) == came
        assert session.scalars(select(Suggestion.model_version).distinct()).all() == [house.suggester.version]
        sent = session.scalar(select(func.count()).where(Ticket.state == State.DISPATCHED)) or 0
        automatic = session.scalar(select(func.count()).where(Dispatch.automatic))
        assert sent == automatic
        assert 0 < sent < came

        people = {
            role.value: make_actor(session, role, now=clock.now())
            for role in (Role.DISPATCHER, Role.RESPONDER, Role.AUDITOR)
        }
        ids = list(session.scalars(select(Ticket.id).order_by(Ticket.id)))
        sample = ids[:: max(1, len(ids) // SAMPLE)][:SAMPLE]
        for number, ticket_id in enumerate(sample):
            walk_to_the_end(session, ticket_id, people=people, unhappy=number % 5 == 0)

    assert_sound(house)
    with house.db.read() as session:
        ends = session.scalars(select(Ticket.outcome).where(Ticket.id.in_(sample))).all()
        assert ends == [Outcome.CONFIRMED] * len(sample)
        stored = counters(session, ["tickets.all", "tickets.state.closed", "callbacks.done", "callbacks.waiting"])
        assert stored == {
            "tickets.all": came,
            "tickets.state.closed": len(sample),
            "callbacks.done": session.scalar(select(func.count()).where(Callback.done_at.is_not(None))),
            "callbacks.waiting": 0,
        }
        assert stored["callbacks.done"] == len(sample) + len(sample) // 5
