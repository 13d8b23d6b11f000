"""The sealing key is changed while tickets exist: everything is found and opened, also after an interruption."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import LargeBinary, select, text
from sqlalchemy.orm import Session

from hotline import migrate
from hotline.cli import main
from hotline.core import sealing
from hotline.core.db import Database
from hotline.core.errors import BrokenSeal, Conflict
from hotline.core.files import FileStore
from hotline.core.permissions import SYSTEM, Actor, Role
from hotline.core.sealing import Keyring
from hotline.intake import resealing
from hotline.intake.actions import Registered, register
from hotline.intake.resealing import SEALED, require_all_under_newest, reseal
from hotline.telephony.actions import queue_text
from hotline.tickets.actions import reveal
from hotline.tickets.files import Upload, attach
from hotline.tickets.models import Ticket
from hotline.tickets.queries import earlier_of
from hotline.wiring import wired
from tests.makers import make_actor, make_concern, register_ticket

PHONE = "13900001234"
WORDS = Upload(name="情况.txt", content="路灯坏了三天".encode())


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str) -> Path:
    """The folder of an installation with keys of its own, as the commands find it."""
    folder = tmp_path / "home"
    monkeypatch.setenv("HOTLINE_HOME", str(folder))
    monkeypatch.setenv("DATABASE_URL", database_url)
    Keyring.load(folder / "keys", create=True)
    return folder


@pytest.fixture
def lived(home: Path, database_url: str) -> Iterator[Database]:
    """Its database, opened by a process that goes on working while keys are changed."""
    database = wired(database_url, keyring=Keyring.load(home / "keys"), pool=4)
    yield database
    database.close()


@pytest.fixture
def store(home: Path, lived: Database) -> FileStore:
    return FileStore(home / "attachments", lived.keyring)


def handed_in(session: Session, number: int, *, by: Actor, now: datetime) -> Registered:
    """Hand in the same concern under the same key, however often it is called."""
    concern = make_concern(phone=PHONE, content=f"学府街 {number} 号门前的路灯已经坏了一个多星期，请派人来修。")
    return register(session, concern, scope="test", key=f"key-{number}", by=by, now=now)


def live(database: Database, store: FileStore, *, now: datetime, tickets: int = 3) -> list[int]:
    """Register tickets with a file, a message and a remembered submission each."""
    ids = []
    with database.begin() as session:
        operator = make_actor(session, Role.OPERATOR, now=now)
        for number in range(tickets):
            made = handed_in(session, number, by=operator, now=now)
            attach(session, store, ticket_id=made.ticket_id, uploads=[WORDS], by=operator, now=now)
            queue_text(session, to=PHONE, body="已受理", purpose="registered", key=f"sms-{number}", by=SYSTEM, now=now)
            ids.append(made.ticket_id)
    return ids


def rotate(*options: str) -> tuple[int, str]:
    answer = CliRunner().invoke(main, ["keys", "rotate", *options])
    return answer.exit_code, answer.output


def keys_in(home: Path) -> int:
    return len((home / "keys" / "sealing.keys").read_bytes().split())


def settle(home: Path) -> None:
    """Let the newest key be older than any request."""
    path = home / "keys" / "sealing.keys"
    then = path.stat().st_mtime - sealing.SETTLED_S - 5
    os.utime(path, (then, then))


def everything_but_seals(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """Return all rows of the tables that hold seals, without the seals, and the counters."""
    found = {}
    with database.read() as session:
        for model, column in SEALED:
            table = model.metadata.tables[model.__tablename__]
            plain = [each for each in table.columns if each.name != column]
            found[table.name] = [tuple(row) for row in session.execute(select(*plain).order_by(*table.primary_key))]
        found["counter_deltas"] = [
            tuple(row) for row in session.execute(text("SELECT id, name, delta FROM counter_deltas ORDER BY id"))
        ]
    return found


def test_after_a_rotation_and_without_the_old_key_everything_opens_and_the_phone_is_found(
    home: Path, lived: Database, store: FileStore, now: datetime
) -> None:
    ids = live(lived, store, now=now)
    before = everything_but_seals(lived)

    code, said = rotate()
    assert code == 0, said
    assert "工单：共 3，改封 3" in said
    assert "短信：共 3，改封 3" in said
    assert "提交记录：共 3，改封 3" in said
    assert "附件：共 1，改封 1" in said
    assert keys_in(home) == 2
    assert everything_but_seals(lived) == before

    settle(home)
    code, said = rotate("--drop-old")
    assert code == 0, said
    assert keys_in(home) == 1

    # A process that starts now knows the newest key only.
    later = wired(os.environ["DATABASE_URL"], keyring=Keyring.load(home / "keys"), pool=2)
    with later.begin() as session:
        auditor = make_actor(session, Role.AUDITOR, now=now)
        assert reveal(session, ticket_id=ids[0], reason="回访", by=auditor, now=now).phone == PHONE
        assert {earlier.id for earlier in earlier_of(session, PHONE)} == set(ids)
        again = handed_in(session, 0, by=make_actor(session, Role.OPERATOR, now=now), now=now)
        assert (again.again, again.ticket_id) == (True, ids[0])
    assert FileStore(home / "attachments", later.keyring).read(next(iter(store.digests()))) == WORDS.content
    later.close()


def test_a_running_process_follows_the_keys_without_a_restart(
    home: Path, lived: Database, store: FileStore, now: datetime
) -> None:
    (first,) = live(lived, store, now=now, tickets=1)
    assert rotate()[0] == 0
    with lived.begin() as session:
        auditor = make_actor(session, Role.AUDITOR, now=now)
        assert reveal(session, ticket_id=first, reason="回访", by=auditor, now=now).phone == PHONE
        second = register_ticket(session, now=now, phone="13900005678").ticket_id
        sealed = session.get_one(Ticket, second).personal_sealed
    assert Keyring.load(home / "keys").under_newest(sealed)
    settle(home)
    assert rotate("--drop-old")[0] == 0
    assert lived.keyring.open(sealed)["phone"] == "13900005678"


def test_an_interrupted_rotation_is_resumed_with_the_same_key(  # noqa: PLR0917 - fixtures
    home: Path, lived: Database, store: FileStore, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(lived, store, now=now, tickets=5)
    monkeypatch.setattr(resealing, "BATCH", 2)
    sealing.begin_rotation(home / "keys")
    steps = reseal(lived.begin, store)
    seen = next(step for step in steps if step.changed == 2)
    assert (seen.part, seen.total) == ("tickets", 5)
    steps.close()  # stopped here

    code, said = rotate()
    assert code == 0, said
    assert "继续进行" in said
    assert "工单：共 5，改封 3" in said
    assert keys_in(home) == 2

    code, said = rotate()  # and the next one is a rotation of its own
    assert code == 0, said
    assert "工单：共 5，改封 5" in said
    assert keys_in(home) == 3


def test_a_crash_between_the_note_and_the_key_leaves_one_new_key(home: Path) -> None:
    folder = home / "keys"
    assert not sealing.begin_rotation(folder)
    (folder / "sealing.keys").write_bytes((folder / "sealing.keys").read_bytes().split()[1] + b"\n")
    assert sealing.begin_rotation(folder)
    assert keys_in(home) == 2
    assert sealing.begin_rotation(folder)
    assert keys_in(home) == 2


def test_old_keys_stay_while_something_needs_them(home: Path, lived: Database, store: FileStore, now: datetime) -> None:
    code, said = rotate("--drop-old")
    assert (code, "没有旧密钥" in said) == (1, True)
    live(lived, store, now=now, tickets=1)
    sealing.add_sealing_key(home / "keys")
    code, said = rotate("--drop-old")
    assert (code, "秒后再次执行" in said) == (1, True)
    assert keys_in(home) == 2
    with lived.begin() as session, pytest.raises(Conflict):
        require_all_under_newest(session, store)
    settle(home)
    assert rotate("--drop-old")[0] == 0
    assert keys_in(home) == 1


def test_a_file_under_an_old_key_keeps_the_old_key(home: Path, lived: Database, store: FileStore) -> None:
    digest = store.put(WORDS.content)
    sealing.add_sealing_key(home / "keys")
    with lived.begin() as session, pytest.raises(Conflict, match="附件"):
        require_all_under_newest(session, store)
    assert store.reseal(digest)
    assert not store.reseal(digest)
    assert store.read(digest) == WORDS.content
    with lived.begin() as session:
        require_all_under_newest(session, store)


def test_what_no_key_opens_is_named_left_alone_and_keeps_the_old_keys(
    home: Path, lived: Database, store: FileStore, now: datetime
) -> None:
    lost, kept = live(lived, store, now=now, tickets=2)
    strange = Keyring.for_tests().seal({"phone": PHONE})
    with lived.begin() as session:
        session.execute(text("UPDATE tickets SET personal_sealed = :s WHERE id = :i"), {"s": strange, "i": lost})
    code, said = rotate()
    assert code == 1
    assert f"tickets {lost}" in said
    assert "改封 1，无法打开 1" in said
    settle(home)
    assert rotate("--drop-old")[0] == 1
    assert keys_in(home) == 2
    with lived.read() as session:
        assert session.get_one(Ticket, lost).personal_sealed == strange
        assert lived.keyring.under_newest(session.get_one(Ticket, kept).personal_sealed)


def test_an_amendment_between_reading_and_writing_is_not_lost(  # noqa: PLR0917 - fixtures
    home: Path, lived: Database, store: FileStore, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ticket_id,) = live(lived, store, now=now, tickets=1)
    sealing.add_sealing_key(home / "keys")
    rewrite: Callable[..., None] = resealing._rewrite

    def amended_meanwhile(*given: object) -> None:
        with lived.begin() as other:
            ticket = other.get_one(Ticket, ticket_id)
            ticket.personal_sealed = lived.keyring.seal({"phone": "13911112222"})
        rewrite(*given)

    monkeypatch.setattr(resealing, "_rewrite", amended_meanwhile)
    with lived.read() as session:
        assert not lived.keyring.under_newest(session.get_one(Ticket, ticket_id).personal_sealed)
    for step in reseal(lived.begin, store):
        if step.part == "tickets" and step.done:
            break
    with lived.read() as session:
        sealed = session.get_one(Ticket, ticket_id).personal_sealed
    assert lived.keyring.open(sealed) == {"phone": "13911112222"}
    assert lived.keyring.under_newest(sealed)


def test_a_keyring_whose_file_is_away_goes_on_with_what_it_knows(home: Path) -> None:
    keyring = Keyring.load(home / "keys")
    sealed = keyring.seal({"phone": PHONE})
    (home / "keys" / "sealing.keys").unlink()
    assert keyring.open(sealed) == {"phone": PHONE}
    with pytest.raises(BrokenSeal):
        Keyring.for_tests().open(sealed)


def test_every_column_that_holds_a_seal_is_brought_along() -> None:
    holding = {
        (table.name, column.name)
        for table in migrate.metadata().tables.values()
        for column in table.columns
        if isinstance(column.type, LargeBinary) and "sealed" in column.name
    }
    assert {(model.__tablename__, column) for model, column in SEALED} == holding
