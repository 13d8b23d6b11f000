"""What can be done with accounts: sign in, sign out, create, change, close, hand out tokens; what strangers may do."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import case, delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from hotline.core.db import keyring_of
from hotline.core.errors import Conflict, Invalid, NotFound, NotSignedIn, Throttled
from hotline.core.permissions import STAFF_ROLES, Actor, Permission, Role, require
from hotline.people import passwords
from hotline.people.models import ApiToken, SignIn, SignInFailure, User
from hotline.people.queries import token_hash

#: After so many wrong guesses for one login (or ten times as many from one address) within the window ...
MOST_FAILURES: Final = 5
MOST_FROM_ADDRESS: Final = 10 * MOST_FAILURES
FAILURE_WINDOW: Final = timedelta(minutes=15)
#: ... the door stays shut for this long.
LOCK: Final = timedelta(minutes=10)
#: A browser stays signed in for a long shift and no longer.
SIGN_IN_LASTS: Final = timedelta(hours=12)
#: No limit looks further back than this; older counts are forgotten.
LONGEST_WINDOW: Final = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Limit:
    """How often one source (an address, a ticket) may do something for which nobody signs in, within a span of time."""

    name: str
    most: int
    window: timedelta
    #: What the person is told; how long to wait is added.
    say: str


def count_guess(session: Session, *, login: str, address: str, now: datetime) -> None:
    """Count a guess for login and address before its password is looked at; raise `Throttled` while either is shut.

    Its own transaction, so that it stays although the sign-in is refused; a right password takes it back (`sign_in`).
    Because it is counted first, guesses sent at the same instant get no further than those sent one by one.
    """
    keys = _login_key(session, login), _address_key(session, address)
    shut = session.scalar(
        select(SignInFailure.locked_until)
        .where(SignInFailure.key.in_(keys), SignInFailure.locked_until > now)
        .order_by(SignInFailure.locked_until.desc())
        .limit(1)
    )
    shut = shut or _count_failure(session, keys[0], most=MOST_FAILURES, now=now)
    shut = shut or _count_failure(session, keys[1], most=MOST_FROM_ADDRESS, now=now)
    if shut is not None:
        seconds = int((shut - now).total_seconds()) + 1
        raise Throttled(f"密码错误次数过多，请 {-(-seconds // 60)} 分钟后再试。", retry_after_s=seconds)


def _count_failure(session: Session, key: bytes, *, most: int, now: datetime) -> datetime | None:
    """Count one more, in one statement; the last one allowed shuts the door. Returns until when it was shut."""
    over = SignInFailure.first_at < now - FAILURE_WINDOW
    failures = case((over, 1), else_=SignInFailure.failures + 1)
    counted = session.execute(
        insert(SignInFailure)
        .values(key=key, failures=1, first_at=now)
        .on_conflict_do_update(
            index_elements=["key"],
            set_={
                "failures": failures,
                "first_at": case((over, now), else_=SignInFailure.first_at),
                "locked_until": case((failures >= most, now + LOCK), else_=None),
            },
            where=or_(SignInFailure.locked_until.is_(None), SignInFailure.locked_until <= now),
        )
        .returning(SignInFailure.key)
    ).first()
    if counted is not None:
        return None
    return session.scalar(select(SignInFailure.locked_until).where(SignInFailure.key == key))


def sign_in(session: Session, *, login: str, password: str, address: str = "", now: datetime) -> str:
    """Check the password and return a fresh browser token; `NotSignedIn` says no more than it must.

    The guess that `count_guess` counted for the address is taken back: many people share one, and most are right.
    """
    user = session.scalars(select(User).where(User.login == login.strip().lower())).first()
    right = passwords.matches(password, user.password_hash if user else None)
    if user is None or not right or not user.active:
        raise NotSignedIn("用户名或密码不正确。")
    token = secrets.token_urlsafe(32)
    session.add(
        SignIn(
            token_hash=token_hash(token),
            user_id=user.id,
            created_at=now,
            seen_at=now,
            expires_at=now + SIGN_IN_LASTS,
        )
    )
    session.execute(delete(SignInFailure).where(SignInFailure.key == _login_key(session, user.login)))
    if address:
        by_this_guess = SignInFailure.failures == MOST_FROM_ADDRESS  # shut by it, the door opens again
        session.execute(
            update(SignInFailure)
            .where(SignInFailure.key == _address_key(session, address), SignInFailure.failures > 0)
            .values(
                failures=SignInFailure.failures - 1,
                locked_until=case((by_this_guess, None), else_=SignInFailure.locked_until),
            )
        )
    return token


def sign_out(session: Session, *, token: str) -> None:
    """End one browser's sign-in."""
    session.execute(delete(SignIn).where(SignIn.token_hash == token_hash(token)))


def create_user(
    session: Session,
    *,
    login: str,
    display_name: str,
    role: Role,
    password: str,
    must_change_password: bool = True,
    by: Actor,
    now: datetime,
) -> User:
    """Open an account; the person chooses an own password at the first sign-in."""
    _require_people(by)
    login = login.strip().lower()
    problems: dict[str, str] = {}
    if weak := passwords.weakness(password, login=login):
        problems["password"] = weak
    if role not in STAFF_ROLES:
        problems["role"] = "请选择一个岗位角色。"
    if not display_name.strip():
        problems["display_name"] = "请填写姓名。"
    if not _login_ok(login):
        problems["login"] = "登录名为 2–40 位小写字母、数字、点、横线或下划线，并以字母或数字开头。"
    if problems:
        raise Invalid(problems)
    if session.scalars(select(User.id).where(User.login == login)).first() is not None:
        raise Conflict(f"登录名“{login}”已被使用。")
    user = User(
        login=login,
        display_name=display_name.strip(),
        role=role,
        password_hash=passwords.hash_password(password),
        must_change_password=must_change_password,
        active=True,
        created_at=now,
    )
    session.add(user)
    session.flush()  # callers need the id
    return user


def change_user(
    session: Session,
    *,
    user_id: int,
    version: int,
    display_name: str,
    role: Role,
    active: bool,
    by: Actor,
) -> User:
    """Change name, role or activity; a closed account loses its browsers and tokens at once."""
    _require_people(by)
    user = _locked(session, user_id)
    if user.version != version:
        raise Conflict("该用户刚刚被他人修改，请刷新后重试。")
    if by.user_id == user_id and (not active or role is not user.role):
        raise Conflict("不能停用或更改自己的账号，请由另一位管理员操作。")
    if role not in STAFF_ROLES:
        raise Invalid({"role": "请选择一个岗位角色。"})
    if not display_name.strip():
        raise Invalid({"display_name": "请填写姓名。"})
    changed_role = role is not user.role
    user.display_name, user.role, user.active = display_name.strip(), role, active
    if not active or changed_role:
        session.execute(delete(SignIn).where(SignIn.user_id == user_id))
    return user


def set_password(session: Session, *, user_id: int, password: str, must_change: bool, by: Actor, now: datetime) -> None:
    """Set a password, for oneself or as administrator; every other browser of the person is signed out."""
    if by.user_id != user_id:
        _require_people(by)
    user = _locked(session, user_id)
    if weak := passwords.weakness(password, login=user.login):
        raise Invalid({"password": weak})
    user.password_hash, user.must_change_password = passwords.hash_password(password), must_change
    session.execute(delete(SignIn).where(SignIn.user_id == user_id, SignIn.created_at < now))


def issue_token(session: Session, *, name: str, role: Role, user_id: int | None, by: Actor, now: datetime) -> str:
    """Make a machine token and return it, the only time it is seen in clear."""
    _require_people(by)
    if not name.strip():
        raise Invalid({"name": "请填写令牌用途。"})
    token = secrets.token_urlsafe(32)
    session.add(ApiToken(name=name.strip(), token_hash=token_hash(token), role=role, user_id=user_id, created_at=now))
    session.flush()  # the constraint that a device speaks for nobody refuses here, not at the commit
    return token


def end_token(session: Session, *, token_id: int, by: Actor, now: datetime) -> None:
    """Make a token worthless."""
    _require_people(by)
    session.execute(update(ApiToken).where(ApiToken.id == token_id, ApiToken.ended_at.is_(None)).values(ended_at=now))


def forget_expired(session: Session, *, now: datetime) -> int:
    """Delete sign-ins that ran out and guesses that no longer count; returns how many sign-ins went."""
    session.execute(delete(SignInFailure).where(SignInFailure.first_at < now - LONGEST_WINDOW))
    return int(session.execute(delete(SignIn).where(SignIn.expires_at <= now)).rowcount)  # type: ignore[attr-defined]


def _login_key(session: Session, login: str) -> bytes:
    return keyring_of(session).index(f"login:{login.strip().lower()}")


def _address_key(session: Session, address: str) -> bytes:
    return keyring_of(session).index(f"address:{address}")


def _locked(session: Session, user_id: int) -> User:
    user = session.get(User, user_id, with_for_update=True)  # two administrators at once, one after the other
    if user is None:
        raise NotFound
    return user


def _require_people(by: Actor) -> None:
    if by.role is not Role.SYSTEM:
        require(by, Permission.USER_EDIT)


def _login_ok(login: str) -> bool:
    return re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,39}", login) is not None


def check_limit(session: Session, limit: Limit, *, source: str, now: datetime) -> None:
    """Raise `Throttled` when the source has used up what it may do; counts nothing."""
    row = session.execute(
        select(SignInFailure.failures, SignInFailure.first_at).where(
            SignInFailure.key == _limit_key(session, limit, source)
        )
    ).first()
    if row is not None and row.failures >= limit.most and now < row.first_at + limit.window:
        raise _used_up(limit, since=row.first_at, now=now)


def count_use(session: Session, limit: Limit, *, source: str, now: datetime) -> None:
    """Count one use; raises `Throttled` beyond the limit.

    Stands last in its transaction: others of the same source wait here for its end. A use that must stay counted
    although the act is refused gets a transaction of its own.
    """
    over = SignInFailure.first_at <= now - limit.window
    row = session.execute(
        insert(SignInFailure)
        .values(key=_limit_key(session, limit, source), failures=1, first_at=now)
        .on_conflict_do_update(
            index_elements=["key"],
            set_={
                "failures": case((over, 1), else_=SignInFailure.failures + 1),
                "first_at": case((over, now), else_=SignInFailure.first_at),
            },
        )
        .returning(SignInFailure.failures, SignInFailure.first_at)
    ).one()
    if row.failures > limit.most:
        raise _used_up(limit, since=row.first_at, now=now)


def _limit_key(session: Session, limit: Limit, source: str) -> bytes:
    return keyring_of(session).index(f"limit:{limit.name}:{source}")


def _used_up(limit: Limit, *, since: datetime, now: datetime) -> Throttled:
    seconds = max(int((since + limit.window - now).total_seconds()) + 1, 1)
    return Throttled(f"{limit.say}请 {-(-seconds // 60)} 分钟后再试，急事请直接拨打 12345。", retry_after_s=seconds)
