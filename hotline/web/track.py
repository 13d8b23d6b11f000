"""A citizen follows his ticket: number and code, where it stands, his rating, what he adds; nobody signs in."""

from __future__ import annotations

import io
import unicodedata
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from flask import Blueprint, redirect, render_template, send_file, session, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError

from callbacks import actions as callbacks
from hotline.core.errors import Conflict, Invalid, NotFound, Throttled, TooLarge
from hotline.core.permissions import SYSTEM
from hotline.core.text import clean
from hotline.intake import actions as intake
from hotline.people.actions import Limit, check_limit, count_use
from hotline.tickets import files
from hotline.tickets.models import Ticket
from hotline.tickets.queries import by_number, by_query_code
from hotline.tickets.states import State
from hotline.web import forms
from hotline.web.citizen import (
    LONGEST,
    OLD_PAGE,
    TOLD,
    TRACKED,
    attach_files,
    by_field,
    files_chosen,
    grant,
    granted,
    page_key,
    source_of_tries,
)
from hotline.web.errors import status_of
from hotline.web.gate import db, now, open_to_all, tools
from hotline.web.tracking import ADDED, STARS, URGED, Told, tell

bp = Blueprint("track", __name__)

GUESSES: Final = Limit(name="track", most=30, window=timedelta(minutes=10), say="查询码输错次数过多。")
#: Beside the address, so that many addresses together do not try one number's million codes.
NUMBER_GUESSES: Final = Limit(name="track-number", most=20, window=timedelta(hours=1), say="查询码输错次数过多。")
ADDITIONS: Final = Limit(
    name="add", most=5, window=timedelta(days=1), say="今天已多次补充或催办，内容都已转给承办单位。"
)
MOST_WORDS: Final = 1_000


@dataclass(frozen=True, kw_only=True)
class TrackPage:
    """The question for number and code."""

    number: str = ""
    code: str = ""
    tracked: bool = False
    #: Words that were typed on the tracking page when its time had run out.
    draft: str = ""
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TrackedPage:
    """Where a ticket stands, and what its citizen may do."""

    told: Told
    stars: Sequence[tuple[str, str]]
    accept: str = files.ACCEPT
    hint: str = f"{files.HINT}。"
    most: int = MOST_WORDS


@bp.get("/track")
@open_to_all
def track_form() -> ResponseReturnValue:
    """Ask for number and code."""
    return _track()


@bp.post("/track")
@open_to_all
def track() -> ResponseReturnValue:
    """Let this browser see the ticket for half an hour; a wrong number and a wrong code get the same answer."""
    typed = TrackPage(number=forms.text("number"), code=forms.text("code"))
    number, code = _digits(typed.number), _digits(typed.code)
    missing = {name: words for name, words in _missing(number, code).items() if words}
    if missing:
        return _track(replace(typed, errors=missing)), 422
    try:
        with db().read() as reading:
            check_limit(reading, GUESSES, source=source_of_tries(), now=now())
            check_limit(reading, NUMBER_GUESSES, source=number, now=now())
            ticket = by_query_code(reading, number=number, code=code)
    except Throttled as error:
        return _track(replace(typed, errors={"form": [error.message]})), 429
    except NotFound as error:
        _count_guess(number)
        return _track(replace(typed, errors={"form": [error.message]})), 422
    grant(ticket.number)
    return redirect(url_for("track.tracked"), code=303)


@bp.get("/track/ticket")
@open_to_all
def tracked() -> ResponseReturnValue:
    """Tell how the ticket stands that this browser was shown number and code of."""
    number = granted()
    if not number:
        return redirect(url_for("track.track_form"))
    return _ticket(number)


@bp.post("/track/rate")
@open_to_all
def rate() -> ResponseReturnValue:
    """Keep the citizen's own rating, once per round."""
    number = granted()
    typed = {"stars": forms.text("stars"), "words": forms.text("words")}
    if not number:
        return _expired(typed["words"])
    try:
        with db().begin() as writing:
            callbacks.rate(
                writing,
                ticket=by_number(writing, number),
                stars=int(typed["stars"]) if typed["stars"] in {"1", "2", "3", "4", "5"} else 0,
                words=clean(typed["words"]),
                now=now(),
            )
    except Conflict as error:
        forms.told("info", error.message)
        return redirect(url_for("track.tracked"), code=303)
    except Invalid as error:
        return _ticket(number, typed=typed, errors=error.fields), 422
    forms.told("success", "评价已提交，谢谢您。")
    return redirect(url_for("track.tracked"), code=303)


@bp.post("/track/add")
@open_to_all
def add() -> ResponseReturnValue:
    """Add words and files to an open ticket, or press for it (催办); once per key, a few times a day."""
    number = granted()
    typed = {"what": forms.text("what"), "more": forms.text("more")}
    if not number:
        return _expired(typed["more"])
    key = page_key(forms.text("key"))
    uploads = files_chosen()
    try:
        words = _addition(typed, uploads)
        with db().begin() as writing:
            ticket = _open(by_number(writing, number))
            before = ticket.repeats
            check_limit(writing, ADDITIONS, source=number, now=now())
            ticket = intake.repeat(
                writing, ticket_id=ticket.id, words=words, scope="web-add", key=key, by=SYSTEM, now=now()
            )
            if ticket.repeats > before:
                attach_files(writing, ticket.id, uploads, may_be_there=False)
                count_use(writing, ADDITIONS, source=number, now=now())
    except Conflict as error:
        return _ticket(number, typed=typed, errors={"more": [error.message]}), 409
    except (Invalid, TooLarge, Throttled) as error:
        return _ticket(number, typed=typed, errors=by_field(error, files_field=True, form="more")), status_of(error)
    forms.told(
        "success",
        "已记入工单，承办单位和热线都能看到。" if typed["what"] != "urge" else "已催办，热线和承办单位都能看到。",
    )
    return redirect(url_for("track.tracked"), code=303)


@bp.get("/track/files/<int:file_id>")
@open_to_all
def file(file_id: int) -> ResponseReturnValue:
    """Give out a file that the citizen may have, to be saved and never to be shown as a page of ours."""
    number = granted()
    if not number:
        return redirect(url_for("track.track_form"))
    with db().read() as reading:
        ticket = by_number(reading, number)
        row = files.attachment(reading, ticket_id=ticket.id, attachment_id=file_id, public_only=True)
    content = io.BytesIO(tools().store.read(row.digest))
    response = send_file(content, mimetype=row.media_type, as_attachment=True, download_name=row.name)
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    return response


@bp.post("/track/leave")
@open_to_all
def leave() -> ResponseReturnValue:
    """Forget the ticket in this browser: the next person at the same machine sees nothing."""
    session.pop(TRACKED, None)
    session.pop(TOLD, None)
    forms.told("success", "已退出查询，这台设备上不再显示您的诉求。")
    return redirect(url_for("track.track_form"), code=303)


def _track(page: TrackPage | None = None) -> str:
    page = replace(page or TrackPage(), tracked=bool(granted()))
    return render_template("public/track.html", page=page)


def _expired(draft: str) -> ResponseReturnValue:
    problem = "距离上次查询已超过 30 分钟，为保护您的信息，请重新输入编号和查询码。"
    return _track(TrackPage(draft=draft, errors={"form": [problem]})), 401


def _ticket(
    number: str, *, typed: Mapping[str, str] | None = None, errors: Mapping[str, Sequence[str]] | None = None
) -> str:
    with db().read() as reading:
        told = tell(reading, by_number(reading, number), now=now())
    told = replace(told, typed=typed or {}, errors=errors or {}, key=uuid.uuid4().hex)
    stars = [(str(number), f"{'★' * number}{'☆' * (5 - number)} {words}") for number, words in STARS]
    return render_template("public/ticket.html", page=TrackedPage(told=told, stars=stars))


def _digits(raw: str) -> str:
    """Return the digits of what was typed, full-width ones too, blanks and dashes left out."""
    return "".join(c for c in unicodedata.normalize("NFKC", raw[:LONGEST]) if c.isascii() and c.isdigit())


def _missing(number: str, code: str) -> dict[str, list[str]]:
    return {
        "number": [] if number else ["请填写受理编号，在短信或提交后的页面上。"],
        "code": [] if code else ["请填写 6 位查询码；忘记了请看下面的说明。"],
    }


def _count_guess(number: str) -> None:
    with db().begin() as writing:
        for limit, source in ((GUESSES, source_of_tries()), (NUMBER_GUESSES, number)):
            try:
                count_use(writing, limit, source=source, now=now())
            except Throttled:
                continue  # this answer is the same as every wrong one; the next try is told to wait


def _addition(typed: Mapping[str, str], uploads: Sequence[files.Upload]) -> str:
    words = clean(typed["more"])
    if typed["what"] not in {"add", "urge"}:
        raise Invalid({"what": "请选择是补充情况还是催办。"})
    if len(words) > MOST_WORDS:
        raise Invalid({"more": f"最多 {MOST_WORDS} 字，现有 {len(words)} 字。"})
    if typed["what"] == "urge":
        return f"{URGED}{words or '请尽快办理。'}"
    if not words and not uploads:
        raise Invalid({"more": "请写下要补充的情况，或者选择照片。"})
    return f"{ADDED}{words or '补充了照片或文件。'}"


def _open(ticket: Ticket) -> Ticket:
    if ticket.state is State.CLOSED:
        raise Invalid({"more": "这件诉求已经办结，如有新的情况请重新反映，并写上这个编号。"})
    return ticket


@bp.errorhandler(CSRFError)
def _stale(error: CSRFError) -> ResponseReturnValue:  # noqa: ARG001 - the form of a handler
    """Show what was typed again when the page was older than the browser's session, as phones often do."""
    draft = forms.text("words") or forms.text("more")
    page = TrackPage(number=forms.text("number"), code=forms.text("code"), draft=draft, errors={"form": [OLD_PAGE]})
    return _track(page), 400
