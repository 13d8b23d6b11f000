"""The citizen's pages: what 12345 is, and a concern handed in; nobody signs in, and no script is needed."""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from flask import Blueprint, redirect, render_template, session, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError

from hotline.core.clock import local_day
from hotline.core.errors import BrokenSeal, Conflict, Invalid, Throttled, TooLarge
from hotline.core.permissions import PUBLIC
from hotline.core.text import clean
from hotline.intake import actions as intake
from hotline.intake.rules import MOST_CONTENT, Concern, normal_phone
from hotline.people.actions import Limit, check_limit, count_use
from hotline.telephony import actions as telephony
from hotline.tickets import files
from hotline.tickets.refusals import REFUSALS
from hotline.tickets.vocabulary import Channel
from hotline.web import forms, present
from hotline.web.citizen import (
    LONGEST,
    OLD_PAGE,
    TOLD,
    TRACKED_FOR,
    attach_files,
    by_field,
    files_chosen,
    grant,
    page_key,
    source_of_tries,
)
from hotline.web.errors import status_of
from hotline.web.gate import db, now, open_to_all, tools
from routing.catalogue.territory import Located, locate
from routing.clocks.granting import UsualLimits, usual_limits

bp = Blueprint("public", __name__)
SUBMISSIONS: Final = Limit(
    name="submit", most=20, window=timedelta(hours=1), say="从您的网络提交的诉求过多，您填写的内容都在。"
)
_MOBILE: Final = re.compile(r"1[3-9]\d{9}")
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
    uploads = files_chosen()
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
                check_limit(writing, SUBMISSIONS, source=source_of_tries(), now=now())  # before any file is kept
                attach_files(writing, registered.ticket_id, uploads, may_be_there=registered.repeat)
            texted = bool(registered.query_code) and _text(writing, registered, concern.phone)
            if not registered.again:
                count_use(writing, SUBMISSIONS, source=source_of_tries(), now=now())
    except Conflict:
        # The page was gone back to and changed: it is another concern now, and gets a key of its own.
        problem = "这一页已经提交过。如果是另一件事，请再按一次“提交”；如果是同一件事，不需要重复提交。"
        return _form(replace(typed, key=uuid.uuid4().hex), {"form": [problem]}, again=len(uploads)), 409
    except (Invalid, TooLarge, Throttled) as error:
        return _form(typed, by_field(error, files_field=True), again=len(uploads)), status_of(error)
    _remember(registered, texted=texted, typed=typed)
    return redirect(url_for("public.submitted"), code=303)


@bp.get("/submit/done")
@open_to_all
def submitted() -> ResponseReturnValue:
    """Show number and code to the browser that handed the concern in, for half an hour."""
    told = _told()
    if told is None:
        return redirect(url_for("track.track_form"))
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


@bp.errorhandler(CSRFError)
def _stale(error: CSRFError) -> ResponseReturnValue:  # noqa: ARG001 - the form of a handler
    """Show what was typed again when the page was older than the browser's session, as phones often do."""
    return _form(_typed(), {"form": [OLD_PAGE]}, again=len(files_chosen())), 400


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
        key=page_key(forms.text("key")),
        region_id=forms.text("region_id")[:LONGEST],
    )


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
    session[TOLD] = base64.urlsafe_b64encode(tools().keyring.seal(told)).decode()
    if registered.query_code:
        grant(registered.number)


def _told() -> dict[str, str] | None:
    sealed = session.get(TOLD)
    if not isinstance(sealed, str):
        return None
    try:
        told = tools().keyring.open(base64.urlsafe_b64decode(sealed))
    except (BrokenSeal, binascii.Error, ValueError):
        return None
    return told if now() < datetime.fromisoformat(told["until"]) else None
