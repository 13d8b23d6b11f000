"""What is sealed is opened by its key only, also after the keys were rotated."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest

from hotline.core.errors import BrokenSeal, Unavailable
from hotline.core.sealing import Keyring, Personal, add_sealing_key

PERSON = {"name": "王小明", "phone": "13900001234"}


def test_a_sealed_value_does_not_show_what_it_holds_and_opens_again() -> None:
    keyring = Keyring.for_tests()
    sealed = keyring.seal(PERSON)
    assert "王".encode() not in sealed
    assert b"1390000" not in sealed
    assert keyring.open(sealed) == PERSON
    assert keyring.seal(PERSON) != sealed


def test_another_installations_key_does_not_open_it() -> None:
    with pytest.raises(BrokenSeal):
        Keyring.for_tests().open(Keyring.for_tests().seal(PERSON))
    with pytest.raises(BrokenSeal):
        Keyring.for_tests().open_bytes(b"not sealed at all")


def test_after_a_rotation_old_values_open_and_new_ones_need_the_new_key(tmp_path: Path) -> None:
    Keyring.load(tmp_path / "keys", create=True)
    shutil.copytree(tmp_path / "keys", tmp_path / "kept")
    old = Keyring.load(tmp_path / "kept")  # of another machine, which does not know the new key
    sealed = old.seal(PERSON)
    add_sealing_key(tmp_path / "keys")
    new = Keyring.load(tmp_path / "keys")
    assert new.open(sealed) == PERSON
    assert not new.under_newest(sealed)
    again = new.reseal(sealed)
    assert new.open(again) == PERSON
    assert new.under_newest(again)
    with pytest.raises(BrokenSeal):
        old.open(again)


def test_the_fingerprint_of_a_phone_is_the_same_every_time_and_another_with_another_key(tmp_path: Path) -> None:
    keyring = Keyring.load(tmp_path / "keys", create=True)
    assert keyring.index("phone:13900001234") == Keyring.load(tmp_path / "keys").index("phone:13900001234")
    assert keyring.index("phone:13900001234") != Keyring.for_tests().index("phone:13900001234")
    assert len(keyring.index("x")) == 16


def test_keys_are_readable_by_their_owner_only_and_are_not_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    Keyring.load(folder, create=True)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    Keyring.load(folder, create=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in folder.iterdir())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_missing_keys_are_named_and_never_replaced_in_silence(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="hotline keys create"):
        Keyring.load(tmp_path / "nothing")


def test_only_what_is_known_of_a_person_is_sealed() -> None:
    assert Personal(name="王小明").to_mapping() == {"name": "王小明"}
