"""What the citizen's pages share: what this browser was shown, the files of a form, whose tries count together."""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from flask import request, session

from hotline.core.errors import HotlineError, Invalid, TooLarge
from hotline.core.permissions import PUBLIC
from hotline.tickets import files
from hotline.web.gate import address, now, tools

#: Said where a form was older than the browser's session.
OLD_PAGE: Final = "页面放置时间过长，您填写的内容都在，请再按一次提交。"
#: For how long this browser needs no code again.
TRACKED_FOR: Final = timedelta(minutes=30)
TRACKED: Final = "tracked"
TOLD: Final = "told"
_KEY: Final = re.compile(r"[0-9a-f]{32}")
#: No number, code or choice is longer.
LONGEST: Final = 40


def page_key(raw: str) -> str:
    """Return the page's own key, or a fresh one for a page that somebody else wrote."""
    return raw if _KEY.fullmatch(raw) else uuid.uuid4().hex


def files_chosen() -> list[files.Upload]:
    """Return the files of the form, those that were chosen."""
    return [
        files.Upload(name=one.filename, content=one.read()) for one in request.files.getlist("files") if one.filename
    ]


def attach_files(writing: Any, ticket_id: int, uploads: Sequence[files.Upload], *, may_be_there: bool) -> None:  # noqa: ANN401 - a session; pages import no SQLAlchemy
    """Keep the files of a form with a ticket; those that are there already are no error where they may be."""
    if not uploads:
        return
    try:
        files.attach(writing, tools().store, ticket_id=ticket_id, uploads=uploads, public=True, by=PUBLIC, now=now())
    except files.AlreadyAttached:
        if not may_be_there:
            raise


def by_field(error: HotlineError, *, files_field: bool = False, form: str = "form") -> dict[str, list[str]]:
    """Return what an error says, by field; one that names none is said of `form`."""
    if isinstance(error, Invalid):
        return error.fields
    return {"files" if files_field and isinstance(error, TooLarge) else form: [error.message]}


def grant(number: str) -> None:
    """Let this browser see a ticket for half an hour."""
    session[TRACKED] = {"number": number, "until": (now() + TRACKED_FOR).isoformat()}


def granted() -> str:
    """Return the number that this browser may see, or nothing; the cookie is signed, so it cannot be made up."""
    grant = session.get(TRACKED)
    if not isinstance(grant, dict) or now() >= datetime.fromisoformat(grant["until"]):
        return ""
    return str(grant["number"])


def source_of_tries() -> str:
    """Return whose tries are counted together: an IPv4 address, or the /64 that one IPv6 connection owns."""
    try:
        found = ipaddress.ip_address(address())
    except ValueError:
        return address()
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else str(found)  # noqa: PLR2004 - IPv6
