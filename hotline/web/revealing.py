"""Where a masked value of a citizen is shown in clear: the way there, the question why, and the answer.

A script asks and shows the answer in its place for a minute; without one a page in between does the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from flask import Blueprint, jsonify, render_template, request, url_for
from flask.typing import ResponseReturnValue

from hotline.core.errors import Denied, Invalid, NotFound
from hotline.core.permissions import Permission
from hotline.core.text import clean_line
from hotline.tickets import actions
from hotline.tickets.actions import may_reveal
from hotline.tickets.models import Ticket
from hotline.tickets.vocabulary import LookReason
from hotline.web import forms, labels
from hotline.web.gate import actor, db, inside, now, page
from routing import queries as routing

bp = Blueprint("revealing", __name__)

#: What of a citizen can be looked at, with its words; the order is that of the page.
REVEALABLE: Final[Mapping[str, str]] = {
    "name": "姓名",
    "phone": "联系电话",
    "address": "联系地址",
    "id_number": "身份证号",
    "title": "标题原文",
    "content": "内容原文",
}
#: How long an open value stays on a page of its own, in seconds; the script that shows one in its place does the same.
SHOWN_S: Final = 60


@dataclass(frozen=True, kw_only=True)
class LookPage:
    """One thing of a citizen: the question why somebody looks, or for a minute what stands there."""

    number: str
    what: str
    name: str
    href: str
    back: str
    value: str = ""
    shown_s: int = SHOWN_S
    values: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)


def reveal_href(ticket: Ticket, what: str) -> str:
    """Return the way to one thing of a ticket's citizen."""
    return url_for("revealing.reveal", number=ticket.number, what=what)


def reveal_hrefs(ticket: Ticket) -> Mapping[str, str | None]:
    """Return the way for name, phone and address; none where nothing stands or this person may not know it."""
    may_know = may_reveal(ticket, actor())
    masked = {"name": ticket.name_masked, "phone": ticket.phone_masked, "address": ticket.address_masked}
    return {name: reveal_href(ticket, name) if may_know and words else None for name, words in masked.items()}


@bp.get("/tickets/<number>/reveal")
@page(Permission.PERSONAL_REVEAL)
def why(number: str) -> ResponseReturnValue:
    """Ask why somebody wants to look; nothing is shown yet and nothing written down."""
    what = _what()
    with db().read() as session:
        ticket = routing.ticket_for(session, actor(), number)
        if not may_reveal(ticket, actor()):
            raise Denied("诉求人要求对承办单位保密，不能查看其个人信息；需要联系时请通过热线中心转达。")
    came = urlsplit(request.referrer or "")
    return _page(number, what, back=came.path if came.netloc == request.host else "")


@bp.post("/tickets/<number>/reveal")
@page(Permission.PERSONAL_REVEAL)
def reveal(number: str) -> ResponseReturnValue:
    """Tell one thing of the citizen that is masked on the page, with the reason in the journal (domain.md 7 a)."""
    what, on_page = _what(), "text/html" in request.headers.get("Accept", "")
    try:
        value = _opened(number, what)
    except Invalid as error:
        if not on_page:
            raise
        return _page(number, what, back=forms.text("back"), errors=error.fields), 422
    return _page(number, what, back=forms.text("back"), value=value) if on_page else jsonify(value=value)


def _opened(number: str, what: str) -> str:
    known = forms.member(LookReason, "reason")
    written = clean_line(forms.text("words"))
    reason = labels.words(known) if known else written
    with db().begin() as session:
        ticket = routing.ticket_for(session, actor(), number)
        if not reason:
            raise Invalid({"reason": "请选择或填写查看理由。"})
        opened = actions.reveal(
            session, ticket_id=ticket.id, reason=f"查看{REVEALABLE[what]}：{reason}", by=actor(), now=now()
        )
        return getattr(opened, what) or {"content": ticket.content, "title": ticket.title}.get(what, "未填写")


def _what() -> str:
    what = forms.asked("what")
    if what not in REVEALABLE:
        raise NotFound
    return what


def _page(
    number: str, what: str, *, back: str, value: str = "", errors: Mapping[str, Sequence[str]] | None = None
) -> str:
    made = LookPage(
        number=number,
        what=what,
        name=REVEALABLE[what],
        href=url_for("revealing.reveal", number=number, what=what),
        back=inside(back) or url_for("tickets.show", number=number),
        value=value,
        values={name: forms.text(name) for name in ("reason", "words")},
        errors=errors or {},
    )
    return render_template("tickets/look.html", page=made)
