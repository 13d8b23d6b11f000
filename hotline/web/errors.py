"""Turns our errors into answers: one table from class to status, one page or one problem document."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from flask import Flask, Response, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

from hotline.core.errors import (
    BrokenSeal,
    Conflict,
    Denied,
    HotlineError,
    Invalid,
    NotFound,
    NotSignedIn,
    StaleTicket,
    Throttled,
    TooLarge,
    Unavailable,
    WrongState,
)
from hotline.web import gate, labels, present
from hotline.web.gate import wants_page

_log = logging.getLogger("hotline.web")

STATUS: Final[Mapping[type[HotlineError], int]] = {
    Invalid: 422,
    NotFound: 404,
    NotSignedIn: 401,
    Denied: 403,
    StaleTicket: 409,
    WrongState: 409,
    Conflict: 409,
    TooLarge: 413,
    Throttled: 429,
    BrokenSeal: 500,
    Unavailable: 503,
}
#: Families that stand above the floor of errors, by code: the classes are not imported, because the model's libraries
#: belong only to the processes that ask it.
STATUS_BY_CODE: Final[Mapping[str, int]] = {
    "bad_seed": 422,
    "bad_training_file": 422,
    "too_few_examples": 422,
    "model_missing": 503,
    "model_damaged": 503,
    "model_too_new": 503,
    "classifier": 503,
}

#: Fields that an error page never gives back, and from how many characters on words were written and not chosen.
_NOT_GIVEN_BACK: Final = frozenset({"password", "old", "again", "csrf_token"})
_LEAST_WRITTEN: Final = 8
#: What a page carries along or offers for choice: numbers, codes, dates, keys, addresses of ours.
_CODE: Final = re.compile(r"[\w:.,+/?=&%-]+", re.ASCII)


def status_of(error: HotlineError) -> int:
    """Return the HTTP status of one of our errors; the nearest class of its family decides, then its code."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), STATUS_BY_CODE.get(error.code, 400))


def register(app: Flask) -> None:
    """Hang the error pages up."""
    app.register_error_handler(HotlineError, _ours)
    app.register_error_handler(CSRFError, _csrf)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unknown)


def problem(status: int, *, title: str, code: str, detail: str = "", **more: Any) -> Response:  # noqa: ANN401 - members of the document
    """Return a problem document (RFC 9457)."""
    body = {"type": "about:blank", "title": title, "status": status, "code": code, **more}
    if detail:
        body["detail"] = detail
    response = jsonify(body)
    response.status_code = status
    response.content_type = "application/problem+json"
    return response


def _wants_problem() -> bool:
    return request.path.startswith("/api/")


def _ours(error: HotlineError) -> ResponseReturnValue:
    status = status_of(error)
    if isinstance(error, Unavailable):
        _log.warning("unavailable: %s", error.__cause__ or error)
    if _wants_problem():
        more: dict[str, Any] = {}
        if isinstance(error, Invalid):
            more["errors"] = error.fields
        if isinstance(error, StaleTicket):
            more |= {"by": error.by, "changes": error.changes, "acts": list(error.acts)}
        response = problem(status, title=error.message, code=error.code, **more)
        if isinstance(error, Throttled):
            response.headers["Retry-After"] = str(error.retry_after_s)
        return response
    if isinstance(error, NotSignedIn) and wants_page():
        return redirect(url_for("account.sign_in_form", next=request.full_path.rstrip("?")))
    return _page(status, error)


def _typed() -> list[str]:
    """Return what the person wrote in the form that was not taken, so that the error page gives it back to copy."""
    if request.method != "POST":
        return []
    return [
        words
        for name, words in request.form.items()
        if name not in _NOT_GIVEN_BACK and len(words.strip()) >= _LEAST_WRITTEN and not _CODE.fullmatch(words.strip())
    ]


def _again() -> list[tuple[str, str]]:
    """Return every field of a form of ours that was not taken, so that one click sends it again.

    Only where the browser says that a page of ours sent it: nobody shall be led to confirm what another site has made
    up. Nothing for a form with a password, which no page gives back, or with files, which no page can fill in.
    """
    ours = urlsplit(request.headers.get("Origin", "")).netloc == request.host
    secret = any(name in _NOT_GIVEN_BACK - {"csrf_token"} for name in request.form)
    if request.method != "POST" or not ours or secret or any(one.filename for one in request.files.values()):
        return []
    return [(name, words) for name, words in request.form.items(multi=True) if name != "csrf_token"]


def _page(status: int, error: HotlineError) -> ResponseReturnValue:
    context: dict[str, Any] = {"reason": error.message, "typed": _typed()}
    if isinstance(error, NotSignedIn):
        context["again"] = _again()
    template = {422: "400", 404: "404", 401: "401", 403: "403", 409: "409", 413: "413", 429: "429", 503: "503"}
    if isinstance(error, Invalid):
        context["reason"] = "；".join(text for texts in error.fields.values() for text in texts) or error.message
    if isinstance(error, StaleTicket):
        context |= {
            "theirs": {label: after for label, (_, after) in error.changes.items()}
            or {"操作": "、".join(labels.act(act) for act in error.acts)},
            "mine": {
                label: words for label, words in present.posted_fields(request.form).items() if label in error.changes
            },
            "by": error.by,
            "at": present.moment(error.at) if error.at else "",
            "reload_href": request.referrer or "/desk",
        }
    if isinstance(error, Throttled):
        context["retry_after_words"] = present.span_words(error.retry_after_s)
    headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, Throttled) else {}
    return render_template(f"errors/{template.get(status, '500')}.html", **context), status, headers


def _csrf(error: CSRFError) -> ResponseReturnValue:  # noqa: ARG001 - the form of a handler
    """Say that the page is older than the sign-in, and offer what was sent once more; this comes before the door."""
    if gate.shut():
        return _ours(NotSignedIn())
    reason = "页面已过期：可能打开太久，或在别的窗口重新登录过。"
    return render_template("errors/400.html", reason=reason, typed=_typed(), again=_again()), 400


def _http(error: HTTPException) -> ResponseReturnValue:
    status = error.code or 500
    words = {405: "不支持这种访问方式。", 413: TooLarge.say, 400: "请求内容无法识别。"}
    if _wants_problem():
        return problem(status, title={**words, 404: "没有这个页面。"}.get(status, error.name), code=f"http_{status}")
    known = {400, 401, 403, 404, 409, 413, 429, 500, 503}
    template = status if status in known else 400
    return render_template(f"errors/{template}.html", reason=words.get(status, "")), status


def _unknown(error: Exception) -> ResponseReturnValue:
    reference = secrets.token_hex(4)
    _log.error("unexpected error %s at %s", reference, request.endpoint, exc_info=error)
    if _wants_problem():
        return problem(500, title="系统出现意外错误。", code="unexpected", reference=reference)
    return render_template("errors/500.html", reference=reference, typed=_typed()), 500
