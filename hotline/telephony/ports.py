"""What we need of a telephone network, in our words; gateways speak the carrier's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
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


class CallEnd(StrEnum):
    """How a call that we connected came to its end."""

    ANSWERED = "answered"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    FAILED = "failed"
    #: The carrier never told.
    LOST = "lost"


@dataclass(frozen=True, kw_only=True)
class CallIn:
    """What a carrier tells of a call that somebody makes to our number."""

    #: The carrier's own name for the call.
    key: str
    #: The number it comes from, as the carrier writes it.
    caller: str
    #: What was dialled on the keys, empty when nothing was.
    digits: str
    #: How the connection that we asked for ended, once it has.
    ending: CallEnd | None
    #: How long both talked, in seconds.
    talked_s: int


class Calls(Protocol):
    """Answers calls to our number: the carrier asks a webhook of ours what to do and does what the document says."""

    def genuine(self, *, url: str, form: Mapping[str, str], signature: str) -> bool:
        """Tell whether the carrier itself signed this question; `url` is the public address that it asked."""
        ...

    def heard(self, form: Mapping[str, str]) -> CallIn:
        """Read a question; what is missing is empty."""
        ...

    def ask_digits(self, words: str, *, then: str) -> str:
        """Return the document that reads words aloud, takes digits up to a hash key, and asks at `then`."""
        ...

    def connect(self, to: str, *, then: str, longest_s: int) -> str:
        """Return the document that rings a number, shows it ours, connects both, and tells at `then` how it ended."""
        ...

    def say(self, words: str) -> str:
        """Return the document that reads words aloud and hangs up."""
        ...
