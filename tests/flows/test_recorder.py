"""The shipped stand-in for the network keeps one line per key, however much it has said before."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from hotline.telephony.recorder import Recorder


def test_a_key_is_said_once_however_long_ago_that_was(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "recorder")
    assert recorder.send(to="13900001234", body="第一条", key="k-0") == "recorder-k-0"
    for each in range(1, 260):
        recorder.send(to="13900001234", body="后来的", key=f"k-{each}")
    assert Recorder(tmp_path / "recorder").send(to="13900001234", body="又一次", key="k-0") == "recorder-k-0"
    assert [line["body"] for line in recorder.said() if line["key"] == "k-0"] == ["第一条"]
    assert [line["key"] for line in recorder.said(last=2)] == ["k-258", "k-259"]


def test_asking_for_a_key_reads_nothing_of_what_was_said(tmp_path: Path) -> None:
    """The file may be of any size, and even unreadable: sending only appends to it."""
    recorder = Recorder(tmp_path / "recorder")
    recorder.send(to="13900001234", body="x", key="k-1")
    lines = tmp_path / "recorder" / "text-messages.jsonl"
    lines.write_bytes(b"\xff not ours\n" * 10)
    recorder.send(to="13900001234", body="x", key="k-1")
    recorder.send(to="13900001234", body="x", key="k-2")
    assert lines.read_bytes().count(b"\n") == 11


def test_of_many_hand_overs_of_one_key_at_once_one_is_said(tmp_path: Path) -> None:
    start = threading.Barrier(8)

    def send() -> None:
        carrier = Recorder(tmp_path / "recorder")
        start.wait(10)
        carrier.send(to="13900001234", body="同时", key="k-1")

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(Recorder(tmp_path / "recorder").said()) == 1


def test_a_message_that_could_not_be_written_may_be_sent_again(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "recorder")
    lines = tmp_path / "recorder" / "text-messages.jsonl"
    lines.mkdir(parents=True)  # nothing can be appended to a folder
    with pytest.raises(IsADirectoryError):
        recorder.send(to="13900001234", body="x", key="k-1")
    lines.rmdir()
    recorder.send(to="13900001234", body="x", key="k-1")
    assert [line["key"] for line in recorder.said()] == ["k-1"]


def test_nobody_else_on_the_machine_reads_it(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "recorder")
    recorder.send(to="13900001234", body="x", key="号码 13900001234")
    files = [each for each in (tmp_path / "recorder").rglob("*") if each.is_file()]
    assert {stat.S_IMODE(each.stat().st_mode) for each in files} == {0o600}
    assert not [each for each in files if "13900001234" in each.name]
