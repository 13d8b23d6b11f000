"""Puts the web application together: the door, the pages, the headers, the words."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from flask import Flask, Request, Response, get_flashed_messages, request, url_for
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from flask_wtf.csrf import CSRFProtect
from jinja2 import StrictUndefined
from typing_extensions import override
from werkzeug.middleware.proxy_fix import ProxyFix

from hotline.core.settings import Settings
from hotline.tickets.vocabulary import LookReason
from hotline.web import (
    account,
    api,
    asking,
    desk,
    errors,
    forms,
    gate,
    labels,
    live,
    menu,
    public,
    revealing,
    tickets,
    track,
    webhooks,
)
from hotline.web.admin import (
    accounts,
    calendar,
    categories,
    category_examples,
    category_moves,
    departments,
    exports,
    jobs,
    model_card,
    profiles,
    service_items,
)
from hotline.web.admin import catalogue as catalogue_desk
from hotline.web.admin import model as model_desk
from hotline.web.admin import settings as settings_desk
from hotline.web.admin import territory as territory_desk
from hotline.web.admin import words as words_desk
from hotline.web.desks import callback as callback_desk
from hotline.web.desks import deadline as deadline_desk
from hotline.web.desks import department as department_desk
from hotline.web.desks import dispatch as dispatch_desk
from hotline.web.desks import disputes as dispute_desk
from hotline.web.desks import harassment as harassment_desk
from hotline.web.desks import intake as intake_desk
from hotline.web.desks import notices, reviews, supervision_rules
from hotline.web.desks import overview as supervision
from hotline.web.desks import part as part_desk
from hotline.web.desks import relations as relations_desk
from hotline.web.desks import returns as return_desk
from hotline.web.desks import supervision as supervision_desk
from hotline.web.desks import transfers as transfers_desk
from hotline.web.desks import vetting as vetting_desk
from hotline.wiring import Installation, open_installation

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

BUILD: Final = "0.1.0"
CSP: Final = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
MOST_REQUEST_BYTES: Final = 64 * 1024 * 1024
SIGNED_IN_FOR: Final = timedelta(hours=12)
_STATIC_LASTS_S: Final = 3600
BLUEPRINTS: Final = (
    account.bp,
    desk.bp,
    public.bp,
    track.bp,
    intake_desk.bp,
    dispatch_desk.bp,
    return_desk.bp,
    dispute_desk.bp,
    department_desk.bp,
    deadline_desk.bp,
    part_desk.bp,
    vetting_desk.bp,
    callback_desk.bp,
    reviews.bp,
    supervision.bp,
    supervision_desk.bp,
    notices.bp,
    supervision_rules.bp,
    relations_desk.bp,
    transfers_desk.bp,
    service_items.bp,
    harassment_desk.bp,
    accounts.bp,
    departments.bp,
    categories.bp,
    calendar.bp,
    settings_desk.bp,
    jobs.bp,
    profiles.bp,
    catalogue_desk.bp,
    territory_desk.bp,
    model_desk.bp,
    model_card.bp,
    words_desk.bp,
    category_examples.bp,
    category_moves.bp,
    exports.bp,
    tickets.bp,
    revealing.bp,
    live.bp,
    api.bp,
    webhooks.bp,
)


def create_app(installation: Installation | None = None) -> Flask:
    """Return the application of one installation; without one, that of the environment."""
    tools = installation or open_installation(Settings.from_environment())
    app = Flask("hotline", template_folder="web/templates", static_folder="web/static")
    app.config.update(
        SECRET_KEY=hashlib.sha256(b"session" + tools.keyring.session).digest(),
        MAX_CONTENT_LENGTH=MOST_REQUEST_BYTES,
        MAX_FORM_MEMORY_SIZE=4 * 1024 * 1024,
        SESSION_COOKIE_NAME="hotline",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=tools.settings.secure_cookies,
        PERMANENT_SESSION_LIFETIME=SIGNED_IN_FOR,
        # A late answer to a question in the background would put an older session in the place of a newer one: what
        # was to be told once (the query code) would be gone.
        SESSION_REFRESH_EACH_REQUEST=False,
        SEND_FILE_MAX_AGE_DEFAULT=_STATIC_LASTS_S,
        WTF_CSRF_TIME_LIMIT=None,  # it lives as long as the session, so a form left open over lunch still goes through
        WTF_CSRF_SSL_STRICT=False,
    )
    app.json.ensure_ascii = False  # type: ignore[attr-defined] # Flask's default provider has it
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.extensions["hotline"] = tools
    app.session_interface = _Sessions()
    transport = (("Strict-Transport-Security", "max-age=31536000"),) if tools.settings.secure_cookies else ()
    app.wsgi_app = _saying(app.wsgi_app, (*_ALWAYS, *transport))  # type: ignore[assignment,method-assign]
    if tools.settings.trusted_proxies:
        hops = tools.settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    csrf = CSRFProtect(app)
    csrf.exempt(api.bp)  # machines carry a token in a header, which no other site can make a browser send
    csrf.exempt(webhooks.bp)  # a carrier signs what it asks
    gate.guard(app)
    errors.register(app)
    asking.register(app)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    app.context_processor(_context)
    app.jinja_env.globals["cannot_be_kept"] = forms.cannot_be_kept  # macros see only globals
    app.after_request(_headers)
    return app


def _context() -> dict[str, Any]:
    who = gate.person()
    return {
        "current_user": {"display_name": who.display_name, "role_label": labels.words(who.role)} if who else None,
        "menu": menu.menu(gate.actor()) if who else [],
        "flashes": get_flashed_messages(with_categories=True),
        "build": BUILD,
        "now": gate.now(),
        "can": gate.actor().can,
        "look_reasons": labels.options(LookReason),
        "source_href": gate.tools().settings.source_url or url_for("public.source"),
        "form_stood_on": _form_stood_on(),
    }


def _form_stood_on() -> str:
    """Return the path of the page of ours whose form this page answers; empty for a page that was only asked for."""
    came_from = urlsplit(request.referrer or "")
    if request.method != "POST" or came_from.netloc != request.host:
        return ""
    return gate.inside(f"{came_from.path}{'?' if came_from.query else ''}{came_from.query}")


class _Sessions(SecureCookieSessionInterface):
    """The browser's signed cookie; who sends none, as every program does, costs no look at signatures."""

    @override
    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        if self.get_cookie_name(app) not in request.cookies:
            return self.session_class()
        return super().open_session(app, request)


#: What every answer says; no view says any of it itself, so nothing has to be looked for first.
_ALWAYS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
    ("X-Frame-Options", "DENY"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), microphone=(), geolocation=()"),
)


def _saying(answer: WSGIApplication, headers: Sequence[tuple[str, str]]) -> WSGIApplication:
    """Return the application with these headers on every answer of it, put there as the server takes them."""

    def saying(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        def begin(status: str, given: list[tuple[str, str]], *error: Any) -> Callable[[bytes], object]:  # noqa: ANN401
            return start(status, [*given, *headers], *error)

        return answer(environ, begin)

    return saying


def _headers(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", CSP)
    if request.endpoint != "static":
        response.headers.setdefault("Cache-Control", "no-store")
    return response
