"""The shipped stand-in for a carrier's exchange: makes a call as a carrier would, through our webhooks."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import unescape
from typing import Final

#: What a carrier says of a connection, by what the citizen does.
ENDS: Final = ("completed", "busy", "no-answer", "failed")
#: A carrier goes on asking as long as a document tells it to; ours never need more than three.
_MOST_STEPS: Final = 5
_SAYS: Final = re.compile(r"<Say[^>]*>([^<]*)</Say>")
_ASKS: Final = re.compile(r'<Gather[^>]*\baction="([^"]*)"')
_DIALS: Final = re.compile(r'<Dial[^>]*\baction="([^"]*)"[^>]*>\s*<Number>([^<]*)</Number>')


@dataclass
class Heard:
    """What the caller heard, and whom he was connected with."""

    said: list[str] = field(default_factory=list)
    connected_to: str = ""


class SimulatedExchange:
    """Plays the carrier: asks our webhooks, signed, and does what their documents say."""

    def __init__(
        self,
        *,
        ask: Callable[[str, Mapping[str, str], str], str],
        sign: Callable[[str, Mapping[str, str]], str],
        base: str,
    ) -> None:
        """Ask through `ask` (path, form, signature), which returns the document; `base` is our public address."""
        self._ask, self._sign, self._base = ask, sign, base.rstrip("/")

    def call(
        self, path: str, *, caller: str, digits: str, citizen: str = "completed", talked_s: int = 30, key: str = ""
    ) -> Heard:
        """Call our number from `caller`, dial `digits` when asked, and let the citizen do what `citizen` says."""
        heard, form = Heard(), {"CallSid": key or f"CA{secrets.token_hex(16)}", "From": caller, "To": "12345"}
        for _ in range(_MOST_STEPS):
            document = self._ask(path, form, self._sign(self._base + path, form))
            heard.said += [unescape(words) for words in _SAYS.findall(document)]
            if asks := _ASKS.search(document):
                path, form = unescape(asks[1]), {**form, "Digits": digits}
            elif dials := _DIALS.search(document):
                path, heard.connected_to = unescape(dials[1]), dials[2]
                seconds = talked_s if citizen == "completed" else 0
                form = {**form, "DialCallStatus": citizen, "DialCallDuration": str(seconds)}
            else:
                break
        return heard
