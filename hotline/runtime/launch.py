"""Become the right account, promise to die with the parent, then turn into the wanted program.

Run as a script (`python -I -S launch.py ORDERS PROGRAM ARGUMENT...`), never imported: a fresh interpreter may
safely do between fork and exec what a supervisor with threads may not. ORDERS is a JSON object:

`parent`         process id of the one who asks; when it is already gone we do not start at all
`death_signal`   signal number that the kernel sends us when the parent dies
`uid`, `gid`     account to become (both or neither)
`read_anywhere`  keep the one capability CAP_DAC_READ_SEARCH through the change of account
`probe`          paths to try instead of starting a program; exit code 0 means that all can be used

Exit codes of its own: 3 a probed path is out of reach, 4 the kernel refused what was ordered, 127 no such
program.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys

OUT_OF_REACH = 3
REFUSED = 4
NO_PROGRAM = 127

# Numbers from the kernel's own headers: linux/prctl.h, linux/capability.h, linux/securebits.h.
_PR_SET_PDEATHSIG = 1
_PR_GET_SECUREBITS = 27
_PR_SET_SECUREBITS = 28
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_CAP_DAC_READ_SEARCH = 2
_CAPABILITY_VERSION_3 = 0x20080522


class _CapabilityHeader(ctypes.Structure):
    """Which layout we speak, and about which process (0: this one)."""

    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilitySets(ctypes.Structure):
    """One half (32 capabilities) of the three sets of a process."""

    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _prctl(*numbers: int) -> int:
    """Call prctl(2); OSError when the kernel says no."""
    padded = (*numbers, 0, 0, 0, 0)[:5]
    answer: int = _libc().prctl(ctypes.c_int(padded[0]), *(ctypes.c_ulong(number) for number in padded[1:]))
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), f"prctl {numbers[0]}")
    return answer


def _keep_only_reading() -> None:
    """Give up every capability but reading, and let that one pass through exec."""
    header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
    only = 1 << _CAP_DAC_READ_SEARCH
    sets = (_CapabilitySets * 2)(_CapabilitySets(only, only, only), _CapabilitySets(0, 0, 0))
    if _libc().capset(ctypes.byref(header), ctypes.byref(sets)) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "capset")
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_READ_SEARCH)


def become(uid: int, gid: int, *, read_anywhere: bool) -> None:
    """Change to an account for good, with at most the capability to read and to walk through folders.

    PostgreSQL looks for itself with access(2), and access(2) ignores capabilities of ordinary accounts unless
    the secure bit NO_SETUID_FIXUP is set; that bit also carries the capabilities through setresuid.
    """
    if read_anywhere:
        _prctl(_PR_SET_SECUREBITS, _prctl(_PR_GET_SECUREBITS) | _SECBIT_NO_SETUID_FIXUP)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if read_anywhere:
        _keep_only_reading()
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _usable(path: str) -> bool:
    wanted = os.R_OK | os.W_OK | os.X_OK if os.path.isdir(path) else os.X_OK  # noqa: PTH112 - pathlib costs 10 ms here
    return os.access(path, wanted)


def main(orders_text: str, command: list[str]) -> int:
    """Carry out the orders; comes back only when no program was started."""
    orders = json.loads(orders_text)
    try:
        if orders.get("uid") is not None:
            become(orders["uid"], orders["gid"], read_anywhere=bool(orders.get("read_anywhere")))
            os.umask(0o077)
        # After the change of account, because the kernel forgets the wish when credentials change.
        if sys.platform == "linux" and orders.get("death_signal"):
            _prctl(_PR_SET_PDEATHSIG, orders["death_signal"])
    except OSError as problem:
        print(f"launch: {problem}", file=sys.stderr)  # noqa: T201 - a script's only voice
        return REFUSED
    if orders.get("parent") and os.getppid() != orders["parent"]:
        return REFUSED  # The parent died before the promise was in force.
    if "probe" in orders:
        return 0 if all(_usable(path) for path in orders["probe"]) else OUT_OF_REACH
    try:
        os.execvp(command[0], command)  # noqa: S606 - the very purpose: no shell, an argument list
    except OSError as problem:
        print(f"launch: {command[0]}: {problem.strerror}", file=sys.stderr)  # noqa: T201 - as above
        return NO_PROGRAM


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
