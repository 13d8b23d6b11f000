"""Reads about staff."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from hotline.core.errors import NotFound
from hotline.core.paging import Stretch, by_key
from hotline.core.permissions import STAFF_ROLES, Role
from hotline.people import passwords
from hotline.people.models import ApiToken, SignIn, User


@dataclass(frozen=True, kw_only=True)
class SignedIn:
    """The person behind a cookie or a token."""

    user_id: int | None
    login: str
    display_name: str
    role: Role
    must_change_password: bool
    seen_at: datetime | None = None


def token_hash(token: str) -> bytes:
    """Return what we keep of a random token; it is long and random, so a plain hash is enough."""
    return hashlib.sha256(token.encode()).digest()


def signed_in(session: Session, *, token: str, now: datetime) -> SignedIn | None:
    """Return who holds this browser token, or nothing when it is unknown, expired or the account closed."""
    row = session.execute(
        select(User.id, User.login, User.display_name, User.role, User.must_change_password, SignIn.seen_at)
        .join(User, User.id == SignIn.user_id)
        .where(SignIn.token_hash == token_hash(token), SignIn.expires_at > now, User.active)
    ).first()
    if row is None:
        return None
    return SignedIn(
        user_id=row.id,
        login=row.login,
        display_name=row.display_name,
        role=row.role,
        must_change_password=row.must_change_password,
        seen_at=row.seen_at,
    )


def token_bearer(session: Session, *, token: str) -> SignedIn | None:
    """Return whom an API token speaks for."""
    row = session.execute(
        select(ApiToken.name, ApiToken.role, User)
        .join(User, User.id == ApiToken.user_id, isouter=True)
        .where(ApiToken.token_hash == token_hash(token), ApiToken.ended_at.is_(None))
    ).first()
    if row is None:
        return None
    name, role = row.name, row.role
    user: User | None = row.User
    if user is None:
        return SignedIn(user_id=None, login="", display_name=name, role=role, must_change_password=False)
    if not user.active:
        return None
    return SignedIn(
        user_id=user.id,
        login=user.login,
        display_name=user.display_name,
        role=user.role,
        must_change_password=False,
    )


def names(session: Session, user_ids: Iterable[int | None]) -> dict[int, str]:
    """Return the display names of these users."""
    wanted = {user_id for user_id in user_ids if user_id is not None}
    if not wanted:
        return {}
    rows = session.execute(select(User.id, User.display_name).where(User.id.in_(wanted)))
    return {row.id: row.display_name for row in rows}


def users(session: Session, *, cursor: str = "", limit: int = 50, search: str = "") -> Stretch[User]:
    """Return one page of accounts in order of login, by keyset; `Invalid` on a cursor not ours."""
    query = select(User)
    if search:
        query = query.where(
            User.display_name.contains(search, autoescape=True) | User.login.startswith(search, autoescape=True)
        )
    return by_key(
        session, query, column=User.login, cursor=cursor, limit=limit, made=lambda row: row, key=lambda row: row.login
    )


def user(session: Session, *, login: str) -> User:
    """Return the account with this login, or `NotFound`."""
    found = session.scalars(select(User).where(User.login == login)).first()
    if found is None:
        raise NotFound(f"没有登录名为“{login}”的用户。")
    return found


def tokens(session: Session, *, limit: int = 100) -> Sequence[ApiToken]:
    """Return machine tokens, newest first."""
    return session.scalars(select(ApiToken).order_by(ApiToken.id.desc()).limit(limit)).all()


def staff_roles() -> tuple[Role, ...]:
    """Return the roles that a person can be given."""
    return STAFF_ROLES


def knows_password(session: Session, *, user_id: int, password: str) -> bool:
    """Tell whether this is the person's present password."""
    hashed = session.scalar(select(User.password_hash).where(User.id == user_id))
    return passwords.matches(password, hashed)
