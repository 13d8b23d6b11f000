"""Files on disk and in the database: sealed, bound to their ticket, in the journal."""

from __future__ import annotations

import os
import stat
import threading
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from hotline.core.errors import BrokenSeal, Denied, Invalid, NotFound, TooLarge, Unavailable
from hotline.core.files import FileStore
from hotline.core.permissions import PUBLIC, SYSTEM, Actor, Role
from hotline.core.sealing import Keyring
from hotline.tickets.files import LEFT_BEHIND_AFTER, MOST_AT_ONCE, Upload, attach, attachment, sweep
from hotline.tickets.queries import attachments, timeline
from hotline.tickets.states import Act
from tests.makers import make_actor, register_ticket

WORDS = Upload(name="情况.txt", content="路灯坏了三天".encode())
MORE = Upload(name="补充.txt", content="今天仍然没有修".encode())


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "attachments", Keyring.for_tests())


def test_a_file_lies_sealed_and_is_given_back_as_it_was(store: FileStore) -> None:
    digest = store.put(WORDS.content)
    (lying,) = [path for path in store.folder.rglob("*") if path.is_file()]
    assert WORDS.content not in lying.read_bytes()
    assert stat.S_IMODE(lying.stat().st_mode) == 0o600
    assert store.read(digest) == WORDS.content
    assert store.put(WORDS.content) == digest
    assert len([path for path in store.folder.rglob("*") if path.is_file()]) == 1


def test_a_file_that_was_changed_or_lost_is_not_given_out(store: FileStore) -> None:
    digest = store.put(WORDS.content)
    other = store.put(MORE.content)
    place = store.folder / digest[:2] / digest
    place.write_bytes((store.folder / other[:2] / other).read_bytes())
    with pytest.raises(BrokenSeal):
        store.read(digest)
    place.write_bytes(b"not sealed by us")
    with pytest.raises(BrokenSeal):
        store.read(digest)
    place.unlink()
    with pytest.raises(NotFound):
        store.read(digest)
    with pytest.raises(NotFound):
        store.read("../../keys/sealing.keys")


def test_a_disk_that_refuses_is_told_as_ours(tmp_path: Path) -> None:
    (tmp_path / "attachments").write_text("a file where the folder should be")
    with pytest.raises(Unavailable):
        FileStore(tmp_path / "attachments", Keyring.for_tests()).put(b"x")


def test_what_a_failed_transaction_left_behind_is_swept_within_a_day_of_its_first(
    session: Session, store: FileStore, now: datetime
) -> None:
    operator = make_actor(session, Role.OPERATOR, now=now)
    ticket_id = register_ticket(session, by=operator, now=now).ticket_id
    attach(session, store, ticket_id=ticket_id, uploads=[WORDS], by=operator, now=now)
    store.put(MORE.content)
    store.put(b"left behind a moment ago")
    for digest in store.digests():
        age = timedelta(hours=1) if store.read(digest).startswith(b"left") else LEFT_BEHIND_AFTER + timedelta(hours=1)
        os.utime(store.folder / digest[:2] / digest, (0, (now - age).timestamp()))
    assert sum(sweep(session, store, now=now + timedelta(minutes=each)) for each in range(0, 24 * 60, 60)) >= 1
    assert {store.read(digest) for digest in store.digests()} >= {WORDS.content}
    assert MORE.content not in {store.read(digest) for digest in store.digests()}


def test_a_file_that_is_spoken_of_again_was_not_left_behind(session: Session, store: FileStore, now: datetime) -> None:
    digest = store.put(WORDS.content)
    os.utime(store.folder / digest[:2] / digest, (0, 0))
    store.put(WORDS.content)
    put_at = datetime.fromtimestamp((store.folder / digest[:2] / digest).stat().st_mtime, tz=now.tzinfo)
    assert sum(sweep(session, store, now=put_at + timedelta(hours=each)) for each in range(24)) == 0
    assert store.read(digest) == WORDS.content


def test_a_content_that_is_put_again_while_the_sweep_looks_stays(store: FileStore, now: datetime) -> None:
    """The sweep has listed it as old and asked who speaks of it; whoever puts it then has not committed yet."""
    since = now - LEFT_BEHIND_AFTER
    old = (since - timedelta(hours=1)).timestamp()
    again, gone = store.put(MORE.content), store.put(WORDS.content)
    for digest in (again, gone):
        os.utime(store.folder / digest[:2] / digest, (old, old))
    listed = {digest for part in range(24) for digest in store.unused_since(since, part=part, parts=24)}
    assert listed == {again, gone}
    store.put(MORE.content)
    assert not store.remove_unused(again, since=since)
    assert store.remove_unused(gone, since=since)
    assert list(store.digests()) == [again]
    assert not store.remove_unused(gone, since=since)
    assert store.put(WORDS.content) == gone
    assert store.read(gone) == WORDS.content


def test_two_who_put_and_sweep_the_same_file_at_once_lose_nothing(store: FileStore, now: datetime) -> None:
    since = now - LEFT_BEHIND_AFTER
    digest = store.put(MORE.content)
    place, start = store.folder / digest[:2] / digest, threading.Barrier(2)

    def sweeps() -> None:
        for _ in range(300):
            start.wait(20)
            store.remove_unused(digest, since=since)

    thread = threading.Thread(target=sweeps)
    thread.start()
    for _ in range(300):
        os.utime(place, (0, 0))
        start.wait(20)
        store.put(MORE.content)
        assert place.exists()
    thread.join(60)
    assert store.read(digest) == MORE.content


def test_files_are_attached_with_one_line_in_the_journal(session: Session, store: FileStore, now: datetime) -> None:
    operator = make_actor(session, Role.OPERATOR, now=now)
    ticket_id = register_ticket(session, by=operator, now=now).ticket_id
    rows = attach(session, store, ticket_id=ticket_id, uploads=[WORDS, MORE], by=operator, now=now)
    assert [row.name for row in attachments(session, ticket_id)] == ["情况.txt", "补充.txt"]
    assert not rows[0].public
    last = timeline(session, ticket_id)[-1]
    assert (last.act, last.note, last.by_id) == (Act.ATTACH, "情况.txt、补充.txt", operator.user_id)
    assert store.read(rows[0].digest) == WORDS.content


def test_the_same_file_is_attached_to_a_ticket_once(session: Session, store: FileStore, now: datetime) -> None:
    ticket_id = register_ticket(session, now=now).ticket_id
    attach(session, store, ticket_id=ticket_id, uploads=[WORDS, WORDS], by=SYSTEM, now=now)
    attach(session, store, ticket_id=ticket_id, uploads=[WORDS, MORE], by=SYSTEM, now=now)
    assert len(attachments(session, ticket_id)) == 2
    with pytest.raises(Invalid):
        attach(session, store, ticket_id=ticket_id, uploads=[MORE], by=SYSTEM, now=now)


def test_a_citizen_attaches_to_his_own_concern(session: Session, store: FileStore, now: datetime) -> None:
    ticket_id = register_ticket(session, now=now).ticket_id
    attach(session, store, ticket_id=ticket_id, uploads=[WORDS], public=True, by=PUBLIC, now=now)
    (row,) = attachments(session, ticket_id, public_only=True)
    assert row.added_by is None
    assert timeline(session, ticket_id)[-1].details["from"] == "citizen"


def test_a_bad_file_takes_the_good_ones_with_it(session: Session, store: FileStore, now: datetime) -> None:
    ticket_id = register_ticket(session, now=now).ticket_id
    bad = Upload(name="x.txt", content=b"<html>")
    with pytest.raises(Invalid):
        attach(session, store, ticket_id=ticket_id, uploads=[WORDS, bad], by=SYSTEM, now=now)
    assert not attachments(session, ticket_id)
    with pytest.raises(TooLarge):
        attach(session, store, ticket_id=ticket_id, uploads=[WORDS] * (MOST_AT_ONCE + 1), by=SYSTEM, now=now)
    with pytest.raises(Invalid):
        attach(session, store, ticket_id=ticket_id, uploads=[], by=SYSTEM, now=now)


def test_a_device_may_not_attach(session: Session, store: FileStore, now: datetime) -> None:
    ticket_id = register_ticket(session, now=now).ticket_id
    with pytest.raises(Denied):
        attach(session, store, ticket_id=ticket_id, uploads=[WORDS], by=Actor(user_id=None, role=Role.DEVICE), now=now)


def test_a_file_is_found_only_under_its_own_ticket(session: Session, store: FileStore, now: datetime) -> None:
    mine = register_ticket(session, now=now).ticket_id
    other = register_ticket(session, now=now).ticket_id
    (row,) = attach(session, store, ticket_id=mine, uploads=[WORDS], by=SYSTEM, now=now)
    assert attachment(session, ticket_id=mine, attachment_id=row.id).name == "情况.txt"
    for ticket_id, public_only in ((other, False), (mine, True)):
        with pytest.raises(NotFound):
            attachment(session, ticket_id=ticket_id, attachment_id=row.id, public_only=public_only)
