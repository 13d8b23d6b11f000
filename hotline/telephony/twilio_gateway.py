"""The one place that knows Twilio."""

from __future__ import annotations

import os

from hotline.core.errors import Unavailable
from hotline.telephony.ports import CarrierRefused

_FOR_GOOD = {21211, 21214, 21408, 21610, 21612, 21614}


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

        A connection that did not come about is `Unavailable`: nothing was handed over. No answer in time is not, for
        the message may be on its way.
        """
        from requests import ConnectionError as NoConnection
        from twilio.base.exceptions import TwilioRestException
        from twilio.rest import Client

        number = to if to.startswith("+") else "+86" + to.removeprefix("0")
        try:
            message = Client(self._account, self._token).messages.create(to=number, from_=self._sender, body=body)
        except TwilioRestException as error:
            if error.code in _FOR_GOOD:
                raise CarrierRefused from error
            raise Unavailable(f"运营商暂时不可用（{error.code}，{key}）。") from error
        except NoConnection as error:
            raise Unavailable(f"无法连接运营商（{key}）。") from error
        return str(message.sid)
