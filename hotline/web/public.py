"""The citizen's pages: hand in a concern, track it, add to it, rate it; nobody signs in, and no script is needed."""

from __future__ import annotations

import base64
import binascii
import io
import ipaddress
import re
import unicodedata
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from flask import Blueprint, redirect, render_template, request, send_file, session, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError

from callbacks import actions as callbacks
from hotline.core.clock import local_day
from hotline.core.errors import BrokenSeal, Conflict, HotlineError, Invalid, NotFound, Throttled, TooLarge
from hotline.core.permissions import PUBLIC, SYSTEM
from hotline.core.text import clean
from hotline.intake import actions as intake
from hotline.intake.rules import MOST_CONTENT, Concern, normal_phone
from hotline.people.actions import Limit, check_limit, count_use
from hotline.telephony import actions as telephony
from hotline.tickets import files
from hotline.tickets.models import Ticket
from hotline.tickets.queries import by_number, by_query_code
from hotline.tickets.refusals import REFUSALS
from hotline.tickets.states import State
from hotline.tickets.vocabulary import Channel
from hotline.web import forms, present
from hotline.web.errors import status_of
from hotline.web.gate import address, db, now, open_to_all, tools
from hotline.web.tracking import ADDED, STARS, URGED, Told, tell
from routing.catalogue.territory import Located, locate
from routing.clocks.granting import UsualLimits, usual_limits

bp = Blueprint("public", __name__)

SUBMISSIONS: Final = Limit(
    name="submit", most=20, window=timedelta(hours=1), say="从您的网络提交的诉求过多，您填写的内容都在。"
)
GUESSES: Final = Limit(name="track", most=30, window=timedelta(minutes=10), say="查询码输错次数过多。")
#: Beside the address, so that many addresses together do not try one number's million codes.
NUMBER_GUESSES: Final = Limit(name="track-number", most=20, window=timedelta(hours=1), say="查询码输错次数过多。")
ADDITIONS: Final = Limit(
    name="add", most=5, window=timedelta(days=1), say="今天已多次补充或催办，内容都已转给承办单位。"
)
#: For how long this browser needs no code again.
TRACKED_FOR: Final = timedelta(minutes=30)
MOST_WORDS: Final = 1_000
_TRACKED, _TOLD = "tracked", "told"
_KEY: Final = re.compile(r"[0-9a-f]{32}")
_MOBILE: Final = re.compile(r"1[3-9]\d{9}")
_LONGEST: Final = 40
_UNKNOWN: Final = "unknown"
_MOST_LOOKED_AT: Final = 2_000
_LABELS: Final = {
    "content": "什么事",
    "place": "在什么地方",
    "region_id": "在哪一处",
    "happened_at": "哪一天发生的",
    "phone": "您的电话",
    "name": "怎么称呼您",
    "files": "照片和文件",
}


@dataclass(frozen=True, kw_only=True)
class HomePage:
    """What 12345 is."""

    elsewhere: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Typed:
    """What was typed into the form, as it was typed."""

    content: str = ""
    place: str = ""
    happened_at: str = ""
    phone: str = ""
    name: str = ""
    anonymous: bool = False
    confidential: bool = False
    wants_callback: bool = True
    key: str = ""
    #: Which of the places that were asked about is meant: an id, "unknown", or empty before anybody asked.
    region_id: str = ""


@dataclass(frozen=True, kw_only=True)
class SubmitPage:
    """The form of a concern."""

    typed: Typed
    today: str
    most: int = MOST_CONTENT
    accept: str = files.ACCEPT
    hint: str = f"{files.HINT}。"
    labels: Mapping[str, str] = field(default_factory=lambda: _LABELS)
    #: How many files have to be chosen once more: no browser lets a page fill them in.
    files_again: int = 0
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    #: The places that a name may mean, to choose from; empty where there is nothing to ask.
    regions: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, kw_only=True)
class DonePage:
    """The number and the code."""

    number: str
    code: str
    texted: bool
    repeat: bool
    anonymous: bool
    callback: bool
    limits: UsualLimits


@dataclass(frozen=True, kw_only=True)
class SourcePage:
    """Where the source code is; without an address, whom to ask."""

    address: str


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


@bp.get("/")
@open_to_all
def home() -> ResponseReturnValue:
    """Say what 12345 is and is not, and show the three ways in."""
    elsewhere = [f"{REFUSALS[code].words}：{REFUSALS[code].channel}" for code in ("NR-02", "NR-07", "NR-06", "NR-03")]
    return render_template("public/home.html", page=HomePage(elsewhere=elsewhere))


@bp.get("/source")
@open_to_all
def source() -> ResponseReturnValue:
    """Say under which licence this runs, in which version, and where its source code is (AGPL section 13)."""
    return render_template("public/source.html", page=SourcePage(address=tools().settings.source_url))


@bp.get("/submit")
@open_to_all
def submit_form() -> ResponseReturnValue:
    """Show the empty form, with a key of its own."""
    return _form(Typed(key=uuid.uuid4().hex))


@bp.post("/submit")
@open_to_all
def submit() -> ResponseReturnValue:
    """Take a concern in, once per key; whatever is refused, everything typed stays."""
    typed = _typed()
    uploads = _uploads()
    located = _located(typed)
    if located.doubtful and not typed.region_id and typed.content.strip():
        # Asked once, never guessed; whoever cannot tell says so and hands it in all the same.
        question = f"“{located.doubtful[0].words}”不止一处，请选择是哪里；说不清也可以。"
        return _form(typed, {"region_id": [question]}, again=len(uploads)), 422
    concern = Concern(
        region_id=_meant(typed, located),
        content=typed.content,
        place=typed.place,
        happened_at=typed.happened_at.strip(),
        phone="" if typed.anonymous else typed.phone,
        name="" if typed.anonymous else typed.name,
        anonymous=typed.anonymous,
        confidential=typed.confidential,
        wants_callback=typed.wants_callback,
        channel=Channel.WEB.value,
    )
    try:
        with db().begin() as writing:
            registered = intake.register(writing, concern, scope="web", key=typed.key, by=PUBLIC, now=now())
            if not registered.again:
                check_limit(writing, SUBMISSIONS, source=_source(), now=now())  # before any file is kept
                _attach(writing, registered.ticket_id, uploads, may_be_there=registered.repeat)
            texted = bool(registered.query_code) and _text(writing, registered, concern.phone)
            if not registered.again:
                count_use(writing, SUBMISSIONS, source=_source(), now=now())
    except Conflict:
        # The page was gone back to and changed: it is another concern now, and gets a key of its own.
        problem = "这一页已经提交过。如果是另一件事，请再按一次“提交”；如果是同一件事，不需要重复提交。"
        return _form(replace(typed, key=uuid.uuid4().hex), {"form": [problem]}, again=len(uploads)), 409
    except (Invalid, TooLarge, Throttled) as error:
        return _form(typed, _by_field(error, files_field=True), again=len(uploads)), status_of(error)
    _remember(registered, texted=texted, typed=typed)
    return redirect(url_for("public.submitted"), code=303)


@bp.get("/submit/done")
@open_to_all
def submitted() -> ResponseReturnValue:
    """Show number and code to the browser that handed the concern in, for half an hour."""
    told = _told()
    if told is None:
        return redirect(url_for("public.track_form"))
    with db().read() as reading:
        limits = usual_limits(reading, now=now())
    page = DonePage(
        number=told["number"],
        code=told["code"],
        texted=bool(told["texted"]),
        repeat=bool(told["repeat"]),
        anonymous=bool(told["anonymous"]),
        callback=bool(told["callback"]),
        limits=limits,
    )
    return render_template("public/submitted.html", page=page)


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
            check_limit(reading, GUESSES, source=_source(), now=now())
            check_limit(reading, NUMBER_GUESSES, source=number, now=now())
            ticket = by_query_code(reading, number=number, code=code)
    except Throttled as error:
        return _track(replace(typed, errors={"form": [error.message]})), 429
    except NotFound as error:
        _count_guess(number)
        return _track(replace(typed, errors={"form": [error.message]})), 422
    _grant(ticket.number)
    return redirect(url_for("public.tracked"), code=303)


@bp.get("/track/ticket")
@open_to_all
def tracked() -> ResponseReturnValue:
    """Tell how the ticket stands that this browser was shown number and code of."""
    number = _granted()
    if not number:
        return redirect(url_for("public.track_form"))
    return _ticket(number)


@bp.post("/track/rate")
@open_to_all
def rate() -> ResponseReturnValue:
    """Keep the citizen's own rating, once per round."""
    number = _granted()
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
        return redirect(url_for("public.tracked"), code=303)
    except Invalid as error:
        return _ticket(number, typed=typed, errors=error.fields), 422
    forms.told("success", "评价已提交，谢谢您。")
    return redirect(url_for("public.tracked"), code=303)


@bp.post("/track/add")
@open_to_all
def add() -> ResponseReturnValue:
    """Add words and files to an open ticket, or press for it (催办); once per key, a few times a day."""
    number = _granted()
    typed = {"what": forms.text("what"), "more": forms.text("more")}
    if not number:
        return _expired(typed["more"])
    key = _key(forms.text("key"))
    uploads = _uploads()
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
                _attach(writing, ticket.id, uploads, may_be_there=False)
                count_use(writing, ADDITIONS, source=number, now=now())
    except Conflict as error:
        return _ticket(number, typed=typed, errors={"more": [error.message]}), 409
    except (Invalid, TooLarge, Throttled) as error:
        return _ticket(number, typed=typed, errors=_by_field(error, files_field=True, form="more")), status_of(error)
    forms.told(
        "success",
        "已记入工单，承办单位和热线都能看到。" if typed["what"] != "urge" else "已催办，热线和承办单位都能看到。",
    )
    return redirect(url_for("public.tracked"), code=303)


@bp.get("/track/files/<int:file_id>")
@open_to_all
def file(file_id: int) -> ResponseReturnValue:
    """Give out a file that the citizen may have, to be saved and never to be shown as a page of ours."""
    number = _granted()
    if not number:
        return redirect(url_for("public.track_form"))
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
    session.pop(_TRACKED, None)
    session.pop(_TOLD, None)
    forms.told("success", "已退出查询，这台设备上不再显示您的诉求。")
    return redirect(url_for("public.track_form"), code=303)


@bp.errorhandler(CSRFError)
def _stale(error: CSRFError) -> ResponseReturnValue:  # noqa: ARG001 - the form of a handler
    """Show what was typed again when the page was older than the browser's session, as phones often do."""
    words = "页面放置时间过长，您填写的内容都在，请再按一次提交。"
    if request.endpoint == "public.submit":
        return _form(_typed(), {"form": [words]}, again=len(_uploads())), 400
    draft = forms.text("words") or forms.text("more")
    page = TrackPage(number=forms.text("number"), code=forms.text("code"), draft=draft, errors={"form": [words]})
    return _track(page), 400


def _typed() -> Typed:
    return Typed(
        content=forms.text("content"),
        place=forms.text("place"),
        happened_at=forms.text("happened_at"),
        phone=forms.text("phone"),
        name=forms.text("name"),
        anonymous=forms.flag("anonymous"),
        confidential=forms.flag("confidential"),
        wants_callback=forms.flag("wants_callback"),
        key=_key(forms.text("key")),
        region_id=forms.text("region_id")[:_LONGEST],
    )


def _key(raw: str) -> str:
    """Return the page's own key, or a fresh one for a page that somebody else wrote."""
    return raw if _KEY.fullmatch(raw) else uuid.uuid4().hex


def _uploads() -> list[files.Upload]:
    return [
        files.Upload(name=one.filename, content=one.read()) for one in request.files.getlist("files") if one.filename
    ]


def _attach(writing: Any, ticket_id: int, uploads: Sequence[files.Upload], *, may_be_there: bool) -> None:  # noqa: ANN401 - a session; pages import no SQLAlchemy
    if not uploads:
        return
    try:
        files.attach(writing, tools().store, ticket_id=ticket_id, uploads=uploads, public=True, by=PUBLIC, now=now())
    except files.AlreadyAttached:
        if not may_be_there:
            raise


def _text(writing: Any, registered: intake.Registered, phone: str) -> bool:  # noqa: ANN401 - a session; pages import no SQLAlchemy
    """Queue number and code for a mobile; tells whether there is one."""
    number = normal_phone(phone) if phone.strip() else ""
    if not _MOBILE.fullmatch(number):
        return False
    body = render_template("public/registered_sms.txt", number=registered.number, query_code=registered.query_code)
    telephony.queue_text(
        writing,
        key=f"registered:{registered.ticket_id}",
        purpose="registered",
        to=number,
        body=body.strip(),
        by=PUBLIC,
        now=now(),
    )
    return True


def _form(typed: Typed, errors: Mapping[str, Sequence[str]] | None = None, *, again: int = 0) -> str:
    today = present.day(local_day(now()))
    # What was asked before stays to be chosen from when something else is refused.
    asked = _located(typed) if typed.region_id or "region_id" in (errors or {}) else Located()
    regions = [(str(one.region_id), one.path) for one in asked.doubtful]
    return render_template(
        "public/submit.html",
        page=SubmitPage(
            typed=typed,
            today=today,
            files_again=again,
            errors=errors or {},
            regions=[*regions, (_UNKNOWN, "说不清")] if regions else (),
        ),
    )


def _located(typed: Typed) -> Located:
    """Return which place the words name, the field for it first."""
    if not typed.place.strip() and not typed.content.strip():
        return Located()
    with db().read() as reading:
        return locate(reading, clean(typed.place), clean(typed.content)[:_MOST_LOOKED_AT], now=now())


def _meant(typed: Typed, located: Located) -> int | None:
    """Return the region that was chosen among those asked about; anything else is nobody's choice."""
    return next((one.region_id for one in located.doubtful if str(one.region_id) == typed.region_id), None)


def _by_field(error: HotlineError, *, files_field: bool = False, form: str = "form") -> dict[str, list[str]]:
    if isinstance(error, Invalid):
        return error.fields
    return {"files" if files_field and isinstance(error, TooLarge) else form: [error.message]}


def _remember(registered: intake.Registered, *, texted: bool, typed: Typed) -> None:
    """Keep number and code, sealed, in the browser that typed the concern, and let it track the ticket."""
    told = {
        "number": registered.number,
        "code": registered.query_code,
        "texted": "1" if texted else "",
        "repeat": "1" if registered.repeat else "",
        "anonymous": "1" if typed.anonymous else "",
        "callback": "1" if typed.wants_callback and not typed.anonymous else "",
        "until": (now() + TRACKED_FOR).isoformat(),
    }
    session[_TOLD] = base64.urlsafe_b64encode(tools().keyring.seal(told)).decode()
    if registered.query_code:
        _grant(registered.number)


def _told() -> dict[str, str] | None:
    sealed = session.get(_TOLD)
    if not isinstance(sealed, str):
        return None
    try:
        told = tools().keyring.open(base64.urlsafe_b64decode(sealed))
    except (BrokenSeal, binascii.Error, ValueError):
        return None
    return told if now() < datetime.fromisoformat(told["until"]) else None


def _grant(number: str) -> None:
    session[_TRACKED] = {"number": number, "until": (now() + TRACKED_FOR).isoformat()}


def _granted() -> str:
    """Return the number that this browser may see, or nothing; the cookie is signed, so it cannot be made up."""
    grant = session.get(_TRACKED)
    if not isinstance(grant, dict) or now() >= datetime.fromisoformat(grant["until"]):
        return ""
    return str(grant["number"])


def _track(page: TrackPage | None = None) -> str:
    page = replace(page or TrackPage(), tracked=bool(_granted()))
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
    return "".join(c for c in unicodedata.normalize("NFKC", raw[:_LONGEST]) if c.isascii() and c.isdigit())


def _missing(number: str, code: str) -> dict[str, list[str]]:
    return {
        "number": [] if number else ["请填写受理编号，在短信或提交后的页面上。"],
        "code": [] if code else ["请填写 6 位查询码；忘记了请看下面的说明。"],
    }


def _count_guess(number: str) -> None:
    with db().begin() as writing:
        for limit, source in ((GUESSES, _source()), (NUMBER_GUESSES, number)):
            try:
                count_use(writing, limit, source=source, now=now())
            except Throttled:
                continue  # this answer is the same as every wrong one; the next try is told to wait


def _source() -> str:
    """Return whose tries are counted together: an IPv4 address, or the /64 that one IPv6 connection owns."""
    try:
        found = ipaddress.ip_address(address())
    except ValueError:
        return address()
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else str(found)  # noqa: PLR2004 - IPv6


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
