"""The one place that knows Twilio."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from typing import Final

from hotline.core.errors import Unavailable
from hotline.telephony.ports import CallEnd, CallIn, CarrierRefused, HandOverUnknown

_FOR_GOOD: Final = {21211, 21214, 21408, 21610, 21612, 21614}
#: After so many seconds without an answer nobody waits any longer.
_PATIENCE_S: Final = 30.0
#: From here on the carrier says that something went wrong on its side; only one of these says "not taken" (RFC 9110).
_ITS_FAULT: Final = 500
_NOT_NOW: Final = 503
#: In which voice's language our sentences are read aloud.
_LANGUAGE: Final = "cmn-CN"
#: How long it rings, and how long a caller may think between two keys, in seconds.
_RINGS_S: Final = 45
_THINKS_S: Final = 8
_ENDS: Final = {
    "completed": CallEnd.ANSWERED,
    "answered": CallEnd.ANSWERED,
    "busy": CallEnd.BUSY,
    "no-answer": CallEnd.NO_ANSWER,
    "canceled": CallEnd.NO_ANSWER,
    "failed": CallEnd.FAILED,
}


class TwilioTextMessages:
    """Sends through a Twilio account named by TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN and TWILIO_FROM."""

    def __init__(self, *, account: str = "", token: str = "", sender: str = "") -> None:
        """Take the account from the arguments or the environment; `Unavailable` names what is missing."""
        self._account = account or os.environ.get("TWILIO_ACCOUNT_SID", "")
        self._token = token or os.environ.get("TWILIO_AUTH_TOKEN", "")
        self._sender = sender or os.environ.get("TWILIO_FROM", "")
        if not (self._account and self._token and self._sender):
            raise Unavailable("运营商未配置：需要 TWILIO_ACCOUNT_SID、TWILIO_AUTH_TOKEN 与 TWILIO_FROM。")

    def send(self, *, to: str, body: str, key: str) -> str:
        """Send one message; Twilio knows no keys, so the caller writes the row before and marks it after.

        `Unavailable` where nothing was handed over: no connection came about, or the carrier says no for now. Whatever
        breaks later is `HandOverUnknown`, for the message may be on its way.
        """
        from requests import RequestException
        from twilio.base.exceptions import TwilioException
        from twilio.http.http_client import TwilioHttpClient
        from twilio.rest import Client

        number = _abroad(to)
        client = Client(self._account, self._token, http_client=TwilioHttpClient(timeout=_PATIENCE_S))
        try:
            message = client.messages.create(to=number, from_=self._sender, body=body)
        except TwilioException as error:
            code, status = getattr(error, "code", None), getattr(error, "status", _ITS_FAULT)
            if code in _FOR_GOOD:
                raise CarrierRefused from error
            if status >= _ITS_FAULT and status != _NOT_NOW:
                raise HandOverUnknown(f"运营商出错（{code}，{key}），不能确定短信是否已发出。") from error
            raise Unavailable(f"运营商暂时不可用（{code}，{key}）。") from error
        except RequestException as error:
            if _never_connected(error):
                raise Unavailable(f"无法连接运营商（{key}）。") from error
            raise HandOverUnknown(f"与运营商的连接中断（{key}），不能确定短信是否已发出。") from error
        except ValueError as error:  # taken, but the answer cannot be read
            raise HandOverUnknown(f"运营商的答复无法识别（{key}），不能确定短信是否已发出。") from error
        return str(message.sid)


def _never_connected(error: Exception) -> bool:
    """Tell whether a request failed before a word of it was said: no way to the carrier, or not the carrier at all.

    The library names a connection that broke off behind a proxy like a proxy that is away, so its cause is looked at.
    """
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProxyError, SSLError

    reason = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(reason, ProxyError):
        reason = reason.original_error
    if isinstance(reason, SSLError):
        return bool(reason.args) and isinstance(reason.args[0], ssl.SSLCertVerificationError)
    return isinstance(reason, NewConnectionError | ConnectTimeoutError) or (
        isinstance(reason, OSError) and str(reason).startswith("Tunnel connection failed")
    )


def _abroad(number: str) -> str:
    """Return a number as the carrier writes it."""
    return number if number.startswith("+") else "+86" + number.removeprefix("0")


class TwilioCalls:
    """Speaks with Twilio about calls to our number; the shipped simulator speaks the same language."""

    def __init__(self, *, token: str = "", sender: str = "") -> None:
        """Take what Twilio signs with, and our number, from the arguments or the environment."""
        self._token = token or os.environ.get("TWILIO_AUTH_TOKEN", "")
        self._sender = sender or os.environ.get("TWILIO_FROM", "")
        if not (self._token and self._sender):
            raise Unavailable("运营商未配置：需要 TWILIO_AUTH_TOKEN 与 TWILIO_FROM。")

    def sign(self, *, url: str, form: Mapping[str, str]) -> str:
        """Return the signature that belongs to a question; for the simulator, which plays the carrier."""
        from twilio.request_validator import RequestValidator

        return str(RequestValidator(self._token).compute_signature(url, dict(form)))

    def genuine(self, *, url: str, form: Mapping[str, str], signature: str) -> bool:
        """Compare the signature with our own."""
        from twilio.request_validator import RequestValidator

        return bool(RequestValidator(self._token).validate(url, dict(form), signature))

    def heard(self, form: Mapping[str, str]) -> CallIn:
        """Read Twilio's form."""
        ending, talked = form.get("DialCallStatus", ""), form.get("DialCallDuration", "")
        # A digit is one of ten here: the carrier's form is text from outside.
        seconds = int(talked) if talked.isascii() and talked.isdigit() and len(talked) < len("1000000") else 0
        return CallIn(
            key=form.get("CallSid", "")[:100],
            caller=form.get("From", ""),
            digits=form.get("Digits", ""),
            ending=_ENDS.get(ending, CallEnd.FAILED) if ending else None,
            talked_s=seconds,
        )

    def ask_digits(self, words: str, *, then: str) -> str:
        """Gather digits; whoever dials none is asked at `then` with none."""
        from twilio.twiml.voice_response import Gather, VoiceResponse

        answer = VoiceResponse()
        asked = Gather(
            input="dtmf", action=then, method="POST", finish_on_key="#", timeout=_THINKS_S, action_on_empty_result=True
        )
        asked.say(words, language=_LANGUAGE)
        answer.append(asked)
        return str(answer)

    def connect(self, to: str, *, then: str, longest_s: int) -> str:
        """Dial; both hear each other once the citizen has answered."""
        from twilio.twiml.voice_response import Dial, VoiceResponse

        answer = VoiceResponse()
        dialled = Dial(
            action=then,
            method="POST",
            caller_id=self._sender,
            timeout=_RINGS_S,
            time_limit=longest_s,
            answer_on_bridge=True,
        )
        dialled.number(_abroad(to))
        answer.append(dialled)
        return str(answer)

    def say(self, words: str) -> str:
        """Say and hang up."""
        from twilio.twiml.voice_response import VoiceResponse

        answer = VoiceResponse()
        if words:
            answer.say(words, language=_LANGUAGE)
        answer.hangup()
        return str(answer)
