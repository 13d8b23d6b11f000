"""The one door: every view is marked with what it needs, and an unmarked view opens for nobody."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar, cast
from urllib.parse import urlsplit

from flask import Flask, current_app, g, redirect, request, session, url_for
from flask.typing import ResponseReturnValue

from hotline.core import clock
from hotline.core.db import Database
from hotline.core.errors import Denied, NotSignedIn
from hotline.core.permissions import GRANTS, PUBLIC, Actor, Permission
from hotline.people.queries import SignedIn, signed_in, token_bearer, token_hash
from hotline.wiring import Installation
from routing.queries import departments_of

F = TypeVar("F", bound=Callable[..., Any])
_MARK: Final = "_needs"
TOKEN_KEY: Final = "token"  # noqa: S105 - the name of a field, not a secret
#: How long a process believes a machine's token without asking again, and how many it remembers.
TOKEN_REMEMBERED: Final = timedelta(seconds=5)
MOST_REMEMBERED: Final = 1_000
#: Views of Flask's own that serve no data of ours.
OPEN_ENDPOINTS: Final = frozenset({"static"})


def page(*permissions: Permission) -> Callable[[F], F]:
    """Mark a view: it opens for whoever has any of these permissions. Marks only; the door asks."""

    def mark(view: F) -> F:
        setattr(view, _MARK, frozenset(permissions))
        return view

    return mark


def open_to_all(view: F) -> F:
    """Mark a view that opens for everybody, signed in or not."""
    setattr(view, _MARK, frozenset({Permission.TICKET_SUBMIT}))
    return view


def for_staff(view: F) -> F:
    """Mark a view that opens for everybody who has signed in."""
    setattr(view, _MARK, "staff")
    return view


def needs(view: Callable[..., Any]) -> frozenset[Permission] | str | None:
    """Return what a view was marked with, or nothing."""
    return cast("frozenset[Permission] | str | None", getattr(view, _MARK, None))


def tools() -> Installation:
    """Return what this process works with."""
    return cast("Installation", current_app.extensions["hotline"])


def db() -> Database:
    """Return the database."""
    return tools().db


def now() -> datetime:
    """Return the one instant of this request."""
    if "now" not in g:
        g.now = clock.now()
    return cast("datetime", g.now)


def actor() -> Actor:
    """Return who acts in this request; the public when nobody has signed in."""
    return cast("Actor", g.get("actor", PUBLIC))


def person() -> SignedIn | None:
    """Return the signed-in person, if there is one."""
    return cast("SignedIn | None", g.get("person"))


def address() -> str:
    """Return the client's address as far as our settings let us believe it."""
    return request.remote_addr or ""


def wants_page() -> bool:
    """Tell whether a person is looking for a page; a script and an event stream want the plain status instead."""
    stream = "text/event-stream" in request.headers.get("Accept", "")
    return request.method == "GET" and not request.headers.get("HX-Request") and not stream


def inside(target: str) -> str:
    """Return the address only if it is a path of ours: a link from outside may not lead elsewhere."""
    parts = urlsplit(target)
    ours = target.startswith("/") and not target.startswith(("//", "/\\")) and not parts.netloc and not parts.scheme
    return target if ours and "\\" not in target else ""


def shut() -> bool:
    """Tell whether a page is shut because nobody has signed in, for an answer that is made before the door is asked."""
    needed = needs(current_app.view_functions[request.endpoint or "static"])
    if request.blueprint == "api" or needed == frozenset({Permission.TICKET_SUBMIT}):
        return False
    recognise()
    return person() is None


def guard(app: Flask) -> None:
    """Set the door into the wall of an application."""

    @app.before_request
    def _door() -> ResponseReturnValue | None:
        if request.endpoint is None or request.endpoint in OPEN_ENDPOINTS:
            return None
        needed = needs(app.view_functions[request.endpoint])
        if needed is None:
            raise Denied
        if needed == frozenset({Permission.TICKET_SUBMIT}):
            return None
        recognise()
        who = person()
        if who is None:
            if request.blueprint == "api":
                raise NotSignedIn("缺少或无效的访问令牌。")
            if wants_page():
                return redirect(url_for("account.sign_in_form", next=request.full_path.rstrip("?")))
            raise NotSignedIn
        if who.must_change_password and request.blueprint not in {"account", "api"}:
            return redirect(url_for("account.password_form"))
        if not isinstance(needed, str) and not any(actor().can(permission) for permission in needed):
            raise Denied
        return None


def recognise() -> None:
    """Find out who asks: an API token in the header, or the browser's token in the signed cookie."""
    if request.blueprint == "api":
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        found = _bearer(token.strip()) if kind.lower() == "bearer" else None
    else:
        token = str(session.get(TOKEN_KEY, ""))
        found = _holder(token) if token else None
    if found is not None:
        g.person, g.actor = found


def _holder(token: str) -> tuple[SignedIn, Actor] | None:
    with db().read() as connection:
        who = signed_in(connection, token=token, now=now())
        return (who, _actor(connection, who)) if who is not None else None


def _bearer(token: str) -> tuple[SignedIn, Actor] | None:
    """Look a machine's token up, or remember it from a moment ago: a program sends hundreds of requests a second.

    So a token that is ended still opens for up to `TOKEN_REMEMBERED` in other processes; docs/decisions/0002.
    """
    remembered: dict[bytes, tuple[datetime, tuple[SignedIn, Actor]]]
    remembered = current_app.extensions.setdefault("hotline.tokens", {})
    key = token_hash(token)
    known = remembered.get(key)
    if known is not None and now() - known[0] < TOKEN_REMEMBERED:
        return known[1]
    with db().read() as connection:
        who = token_bearer(connection, token=token)
        found = (who, _actor(connection, who)) if who is not None else None
    if found is None:
        remembered.pop(key, None)
        return None
    if len(remembered) >= MOST_REMEMBERED:
        remembered.clear()
    remembered[key] = (now(), found)
    return found


def _actor(connection: Any, who: SignedIn) -> Actor:  # noqa: ANN401 - a session; pages import no SQLAlchemy
    departments = (
        departments_of(connection, who.user_id)
        if who.user_id is not None and Permission.TICKET_ANSWER in GRANTS[who.role]
        else frozenset()
    )
    return Actor(user_id=who.user_id, role=who.role, department_ids=departments, name=who.display_name)


def endpoints(app: Flask) -> Mapping[str, frozenset[Permission] | str | None]:
    """Return every endpoint with its mark, for the house tests."""
    return {name: needs(view) for name, view in app.view_functions.items() if name not in OPEN_ENDPOINTS}
