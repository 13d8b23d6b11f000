"""What we need of a telephone network, in our words; gateways speak the carrier's."""

from __future__ import annotations

from typing import Protocol

from hotline.core.errors import HotlineError


class CarrierRefused(HotlineError):
    """The carrier will never take this message: a wrong number, a blocked text."""

    say = "运营商拒绝发送。"
    code = "carrier_refused"


class HandOverUnknown(HotlineError):
    """Nobody can tell whether the carrier took this message: it broke off, or never answered, after the hand-over."""

    say = "不能确定运营商是否已收到，请核对后人工处理。"
    code = "hand_over_unknown"


class TextMessages(Protocol):
    """Sends short messages."""

    def send(self, *, to: str, body: str, key: str) -> str:
        """Hand one message over and return the carrier's own name for it.

        The key makes a repeated hand-over harmless where the carrier knows keys. Raises `CarrierRefused` for
        good and `HandOverUnknown` where the message may be on its way, so that it is not sent twice; any other
        `HotlineError` says that it was not taken: "try again".
        """
        ...
