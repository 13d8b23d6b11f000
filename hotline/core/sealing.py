"""Seals personal data at rest with keys that can be rotated, and finds a phone again without opening it.

Rule: domain.md 7 (masked by default, revealed with a line in the journal). The sealing is Fernet
(AES-128-CBC with HMAC-SHA256) from the `cryptography` library; the first key of the file seals, every key opens.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from hotline.core.errors import BrokenSeal, Unavailable

_SEALING, _INDEX, _SESSION = "sealing.keys", "index.key", "session.key"
#: Stands beside the keys while a rotation is under way and names the key that was the newest before it.
_ROTATING: Final = "rotation"
#: Old keys may go when the newest has been there so long (seconds): whatever was being written with an older one when
#: it came has ended since (a request lives 60 s at most, hotline.cli.serving).
SETTLED_S: Final = 60


@dataclass(frozen=True)
class _Ring:
    """The sealing keys as the file held them at one moment."""

    newest: Fernet
    all: MultiFernet

    @classmethod
    def of(cls, keys: Sequence[bytes]) -> Self:
        return cls(Fernet(keys[0]), MultiFernet([Fernet(key) for key in keys]))


class Keyring:
    """The keys of one installation: seal, open, index, rotate.

    Keys that came from a file follow it: every process of a running installation seals with a new key, and opens what
    another process has sealed with it, from the moment at which the file holds it.
    """

    def __init__(self, *, sealing: Sequence[bytes], index: bytes, session: bytes) -> None:
        """Take the sealing keys (newest first), the index key and the key that signs sessions."""
        self._ring = _Ring.of(sealing)
        self._file: Path | None = None
        self._seen: tuple[int, ...] = ()
        self._index = index
        self.session = session

    @classmethod
    def load(cls, folder: Path, *, create: bool = False) -> Self:
        """Read the keys; with `create` make those that are missing, readable by their owner only.

        Raises `Unavailable` when a key file is missing and may not be made: a production server that
        made new keys silently would never open its old data again.
        """
        if create:
            _create(folder)
        try:
            keyring = cls(
                sealing=(folder / _SEALING).read_bytes().split(),
                index=(folder / _INDEX).read_bytes().strip(),
                session=(folder / _SESSION).read_bytes().strip(),
            )
        except (OSError, IndexError, ValueError) as error:
            raise Unavailable(f"密钥目录 {folder} 不完整：{error}。请恢复备份，或执行 hotline keys create。") from error
        keyring._file = folder / _SEALING
        return keyring

    @classmethod
    def for_tests(cls) -> Self:
        """Return throw-away keys that live in memory only."""
        return cls(sealing=[Fernet.generate_key()], index=secrets.token_bytes(32), session=b"t" * 32)

    def seal(self, value: dict[str, str]) -> bytes:
        """Seal a small mapping of personal values."""
        return self._now().newest.encrypt(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())

    def open(self, sealed: bytes) -> dict[str, str]:
        """Open what `seal` made under any of our keys; `BrokenSeal` when none fits."""
        try:
            opened: dict[str, str] = json.loads(self._now().all.decrypt(sealed))
        except InvalidToken as error:
            raise BrokenSeal from error
        return opened

    def seal_bytes(self, value: bytes) -> bytes:
        """Seal a file's content."""
        return self._now().newest.encrypt(value)

    def open_bytes(self, sealed: bytes) -> bytes:
        """Open a file's content; `BrokenSeal` when no key fits."""
        try:
            return self._now().all.decrypt(sealed)
        except InvalidToken as error:
            raise BrokenSeal from error

    def reseal(self, sealed: bytes) -> bytes:
        """Return the same value under the newest key."""
        try:
            return self._now().all.rotate(sealed)
        except InvalidToken as error:
            raise BrokenSeal from error

    def under_newest(self, sealed: bytes) -> bool:
        """Tell whether the newest key opens it, so that no older one is needed."""
        try:
            self._now().newest.decrypt(sealed)
        except InvalidToken:
            return False
        return True

    def _now(self) -> _Ring:
        """Return the sealing keys, read anew when their file is another one than last time.

        A file that is missing or half-written at this moment changes nothing: what we know still opens what it sealed.
        """
        if self._file is not None:
            try:
                state = self._file.stat()
                seen = (state.st_ino, state.st_mtime_ns, state.st_size)
                if seen != self._seen:
                    # Looked at before it is read: a file that is replaced in between is read again next time.
                    self._ring, self._seen = _Ring.of(self._file.read_bytes().split()), seen
            except (OSError, IndexError, ValueError):
                pass
        return self._ring

    def index(self, value: str) -> bytes:
        """Return a keyed 16-byte fingerprint, equal for equal values and useless without the key."""
        return hmac.digest(self._index, value.encode(), hashlib.sha256)[:16]


@dataclass(frozen=True, kw_only=True)
class Personal:
    """What is known of a citizen, opened."""

    name: str = ""
    phone: str = ""
    address: str = ""
    id_number: str = ""
    content: str = ""
    title: str = ""

    def to_mapping(self) -> dict[str, str]:
        """Return only what is filled, for sealing."""
        return {key: value for key, value in self.__dict__.items() if value}


def add_sealing_key(folder: Path) -> None:
    """Put a new key in front, so that it seals from now on and the old ones still open."""
    path = folder / _SEALING
    keys = path.read_bytes().split()
    _write(path, b"\n".join([Fernet.generate_key(), *keys]) + b"\n")


def begin_rotation(folder: Path) -> bool:
    """Put a new key in front, unless a rotation that was interrupted has done so; tells whether one was.

    What is to be done is written down before it is done, so that a crash at any point leaves one new key and not two.
    """
    note = folder / _ROTATING
    newest = hashlib.sha256((folder / _SEALING).read_bytes().split()[0]).hexdigest().encode()
    resumed = note.exists()
    if not resumed:
        _write(note, newest)
    if note.read_bytes() == newest:
        add_sealing_key(folder)
    return resumed


def end_rotation(folder: Path) -> None:
    """Say that everything stands under the newest key; the next rotation brings a new one."""
    (folder / _ROTATING).unlink(missing_ok=True)


def old_keys(folder: Path) -> int:
    """Return how many keys there are besides the newest."""
    return len((folder / _SEALING).read_bytes().split()) - 1


def drop_old_keys(folder: Path) -> None:
    """Keep the newest sealing key only; what is still sealed under another is lost, so ask before."""
    newest = (folder / _SEALING).read_bytes().split()[0]
    _write(folder / _SEALING, newest + b"\n")


def settles_in(folder: Path, *, now: float) -> float:
    """Return in how many seconds the keys' file has been as it is for `SETTLED_S`; `now` in seconds since 1970."""
    return max(0.0, (folder / _SEALING).stat().st_mtime + SETTLED_S - now)


def _create(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    for name, content in (
        (_SEALING, Fernet.generate_key()),
        (_INDEX, base64.b64encode(secrets.token_bytes(32))),
        (_SESSION, base64.b64encode(secrets.token_bytes(32))),
    ):
        path = folder / name
        if not path.exists():
            _write(path, content + b"\n")


def _write(path: Path, content: bytes) -> None:
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())  # a key that is lost after it sealed something is lost data
    fresh.replace(path)
