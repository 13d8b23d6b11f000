"""Where private servers put their sockets: the kernel allows a path of 107 bytes and no more."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hotline.runtime.accounts import Quarters

LONGEST_SOCKET_PATH: Final = 107
_PRIVATE: Final = 0o700


def socket_folder(quarters: Quarters, *, longest_name: str) -> Path:
    """Return a folder that only the server's account may enter, with room for a socket called `longest_name`.

    It lies beside the server's files; when that path is too long, in the folder for temporary files, under a
    random name that is written down, so that a start after a crash uses the same one.
    """
    beside = quarters.folder / "socket"
    if len(os.fsencode(beside / longest_name)) <= LONGEST_SOCKET_PATH:
        return quarters.own(beside)
    if (earlier := _noted(quarters)) is not None:
        return earlier  # A restart keeps its address.
    # mkdtemp gives 0700 and a name nobody could have prepared; /tmp is short where TMPDIR may not be.
    base = tempfile.gettempdir()
    if len(os.fsencode(base)) + len("/hotline-12345678/") + len(longest_name) > LONGEST_SOCKET_PATH:
        base = "/tmp"  # noqa: S108 - the folder made inside is private and its name random
    short = Path(tempfile.mkdtemp(prefix="hotline-", dir=base))
    _note(quarters).write_text(f"{short}\n", encoding="utf-8")
    return quarters.own(short)


def forget_socket_folder(quarters: Quarters) -> None:
    """Remove the folder that was made under a short name, if there is one."""
    if (folder := _noted(quarters)) is not None:
        shutil.rmtree(folder, ignore_errors=True)
    _note(quarters).unlink(missing_ok=True)


def _noted(quarters: Quarters) -> Path | None:
    """Return the short folder of an earlier start, when it is still a private folder of the same account."""
    try:
        folder = Path(_note(quarters).read_text(encoding="utf-8").strip())
        found = folder.lstat()
    except OSError:
        return None
    owner = quarters.account.uid if quarters.account else os.geteuid()
    private = stat.S_ISDIR(found.st_mode) and stat.S_IMODE(found.st_mode) == _PRIVATE and found.st_uid == owner
    return folder if private and folder.name.startswith("hotline-") else None


def _note(quarters: Quarters) -> Path:
    return quarters.folder / "socket-lives-in"
