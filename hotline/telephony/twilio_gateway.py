"""The one place that knows Twilio."""

from __future__ import annotations

import os
import ssl
from typing import Final

from hotline.core.errors import Unavailable
from hotline.telephony.ports import CarrierRefused, HandOverUnknown

_FOR_GOOD: Final = {21211, 21214, 21408, 21610, 21612, 21614}
#: After so many seconds without an answer nobody waits any longer.
_PATIENCE_S: Final = 30.0
#: From here on the carrier says that something went wrong on its side; only one of these says "not taken" (RFC 9110).
_ITS_FAULT: Final = 500
_NOT_NOW: Final = 503


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

        number = to if to.startswith("+") else "+86" + to.removeprefix("0")
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
