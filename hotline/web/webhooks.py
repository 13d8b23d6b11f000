"""What a carrier asks while somebody calls our number: which extension, whom to ring, and how it ended.

Nobody signs in here: the carrier signs each question with a secret that only it and we know.
"""

from __future__ import annotations

from typing import Final

from flask import Blueprint, Response, request, url_for
from flask.typing import ResponseReturnValue

from hotline.core.errors import HotlineError
from hotline.telephony.ports import CallIn
from hotline.web.gate import db, now, open_to_all, tools
from routing.answers import relay

bp = Blueprint("webhooks", __name__, url_prefix="/webhooks/voice")

_ASKED: Final = "您好，这里是12345热线中间号。请输入分机号，以井号键结束。"


@bp.before_request
def _signed() -> ResponseReturnValue | None:
    """Let nobody in but the carrier, and tell others nothing."""
    address = (tools().settings.public_url + request.path) if tools().settings.public_url else request.url
    signature = request.headers.get("X-Twilio-Signature", "")
    if tools().calls.genuine(url=address, form=request.form.to_dict(), signature=signature):
        return None
    return Response("", 403)


@bp.post("/relay")
@open_to_all
def relay_number() -> ResponseReturnValue:
    """Ask whoever calls by a relay number for the extension."""
    return _document(tools().calls.ask_digits(_ASKED, then=url_for("webhooks.extension")))


@bp.post("/relay/extension")
@open_to_all
def extension() -> ResponseReturnValue:
    """Connect a call to the citizen behind an extension, or say why not."""
    call = _call()
    try:
        with db().begin() as writing:
            phone = relay.connect(writing, call_key=call.key, extension=call.digits, caller=call.caller, now=now())
    except HotlineError as error:  # a caller hears a sentence, whatever stands in the way
        return _document(tools().calls.say(error.message))
    longest = int(relay.LONGEST.total_seconds())
    return _document(tools().calls.connect(phone, then=url_for("webhooks.ended"), longest_s=longest))


@bp.post("/relay/ended")
@open_to_all
def ended() -> ResponseReturnValue:
    """Write down how a connected call ended."""
    call = _call()
    if call.ending is not None:
        with db().begin() as writing:
            relay.end_call(writing, call_key=call.key, ending=call.ending, talked_s=call.talked_s, now=now())
    return _document(tools().calls.say(""))


def _call() -> CallIn:
    return tools().calls.heard(request.form.to_dict())


def _document(words: str) -> Response:
    return Response(words, mimetype="text/xml")
