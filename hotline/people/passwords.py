"""Passwords: hashed with argon2id, checked in constant time, required to be long rather than odd."""

from __future__ import annotations

import functools
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

LEAST: Final = 8
MOST: Final = 128
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


def hash_password(password: str) -> str:
    """Return the argon2id hash with a fresh salt."""
    return _HASHER.hash(password)


def matches(password: str, hashed: str | None) -> bool:
    """Tell whether the password is right; without a hash it takes as long and is wrong.

    So the time of the answer does not tell whether the login exists.
    """
    try:
        _HASHER.verify(hashed or _nobody(), password)
    except (VerificationError, InvalidHashError):
        return False
    return hashed is not None


def weakness(password: str, *, login: str = "") -> str:
    """Return what is wrong with a new password, or an empty string."""
    if len(password) < LEAST:
        return f"密码至少 {LEAST} 个字符。"
    if len(password) > MOST:
        return f"密码最多 {MOST} 个字符。"
    if len(set(password)) < 4:  # noqa: PLR2004 - fewer different characters are a pattern
        return "密码过于简单，请使用至少 4 个不同的字符。"
    if login and login in password.lower():
        return "密码不能包含登录名。"
    return ""


@functools.cache
def _nobody() -> str:
    return _HASHER.hash("nobody has this password")
