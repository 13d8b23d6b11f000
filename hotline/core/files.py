"""Keeps files sealed in one folder, each under the digest of its content (domain.md 7 d)."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from hotline.core.errors import BrokenSeal, NotFound, Unavailable
from hotline.core.sealing import Keyring

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class FileStore:
    """One folder of sealed files; a content that comes twice lies there once.

    A file is written and on disk before the transaction that speaks of it commits. A transaction that fails leaves a
    file that nobody speaks of: that tells nobody anything, and `tickets.files.sweep` takes it away a day later.
    """

    def __init__(self, folder: Path, keyring: Keyring) -> None:
        """Keep files under `folder`, which is made when it is first needed."""
        self.folder = folder
        self._keyring = keyring

    def put(self, content: bytes) -> str:
        """Seal and keep a content; returns its digest (SHA-256, 64 hexadecimal digits).

        Raises `Unavailable` when the disk refuses.
        """
        digest = hashlib.sha256(content).hexdigest()
        place = self._place(digest)
        with suppress(FileNotFoundError, NotADirectoryError), self._alone(place.parent):
            os.utime(place)  # it is spoken of again, so it is no file that a failed transaction left behind
            return digest
        self._write(place, self._keyring.seal_bytes(content))
        return digest

    def read(self, digest: str) -> bytes:
        """Return the content with this digest.

        Raises `NotFound` when it is not there, `BrokenSeal` when it cannot be opened or is not what it was.
        """
        try:
            sealed = self._place(digest).read_bytes()
        except FileNotFoundError as error:
            raise NotFound("附件文件已不存在，请联系管理员。") from error
        except OSError as error:
            raise Unavailable("附件暂时无法读取，请稍后再试或联系管理员。") from error
        content = self._keyring.open_bytes(sealed)
        if hashlib.sha256(content).hexdigest() != digest:
            raise BrokenSeal("附件内容与登记时不一致，请联系管理员。")
        return content

    def digests(self) -> Iterator[str]:
        """Return the digests of all that lies here, in no particular order."""
        for place in self.folder.glob("??/*"):
            if _DIGEST.fullmatch(place.name):
                yield place.name

    def unused_since(self, moment: datetime, *, part: int, parts: int) -> Iterator[str]:
        """Return, of one part of all digests, those of what was last put here before a moment."""
        for folder in self.folder.glob("??"):
            if int(folder.name, 16) % parts != part:
                continue
            for place in folder.iterdir():
                with suppress(FileNotFoundError):
                    if _DIGEST.fullmatch(place.name) and place.stat().st_mtime < moment.timestamp():
                        yield place.name

    def remove_unused(self, digest: str, *, since: datetime) -> bool:
        """Take a file away unless it was put here again since a moment; tells whether it was taken.

        Looking and taking are one step for whoever puts the same content at that instant: he finds it, and it stays, or
        he does not, and writes it anew.
        """
        place = self._place(digest)
        with suppress(FileNotFoundError), self._alone(place.parent):
            if place.stat().st_mtime < since.timestamp():
                place.unlink()
                return True
        return False

    def reseal(self, digest: str) -> bool:
        """Bring one file under the newest key; false when it stood there already.

        Raises `BrokenSeal` when no key of ours opens it; it is left as it is.
        """
        place = self._place(digest)
        try:
            sealed = place.read_bytes()
        except OSError as error:
            raise Unavailable("附件暂时无法读取，请稍后再试或联系管理员。") from error
        if self._keyring.under_newest(sealed):
            return False
        self._write(place, self._keyring.reseal(sealed))
        return True

    def under_newest(self, digest: str) -> bool:
        """Tell whether the newest key opens this file."""
        try:
            return self._keyring.under_newest(self._place(digest).read_bytes())
        except OSError as error:
            raise Unavailable("附件暂时无法读取，请稍后再试或联系管理员。") from error

    def _write(self, place: Path, sealed: bytes) -> None:
        fresh = place.with_name(f"{place.name}.{secrets.token_hex(4)}.new")
        try:
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(sealed)
                file.flush()
                os.fsync(file.fileno())  # the database will say that it is there
            fresh.replace(place)
            _remember(place.parent)
        except OSError as error:
            with suppress(OSError):
                fresh.unlink()
            raise Unavailable("附件暂时无法保存（存储空间异常），请稍后再试或联系管理员。") from error

    @contextmanager
    def _alone(self, folder: Path) -> Iterator[None]:
        """Keep every other process out of one folder's old files for as long as the block runs."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _place(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise NotFound
        return self.folder / digest[:2] / digest


def _remember(folder: Path) -> None:
    """Write the folder's new entry to disk too; a rename that was not is lost with the power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
