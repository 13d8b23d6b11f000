"""Which answers a person of the hotline reads before the citizen is called (审核, domain.md 2.1 and 2.9); pure."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Self

from hotline.tickets.vocabulary import Kind, RequestType
from routing.answers.doubts import Doubt

SETTING: Final = "answer_vetting"
#: Within how many working days the hotline reads an answer: the citizen waits while it lies there.
WORKDAYS: Final = 1
_SERIOUS: Final = frozenset({Doubt.SAME_ELSEWHERE, Doubt.TEMPLATE, Doubt.OFF_THE_MATTER, Doubt.COPIED})


class VettingMode(StrEnum):
    """How much is read."""

    OFF = "off"
    SAMPLED = "sampled"
    ALL = "all"


@dataclass(frozen=True, kw_only=True)
class VettingPolicy:
    """What the administrator decided (setting `answer_vetting`)."""

    #: Off until a centre has people for it: an answer that nobody reads keeps its citizen from his callback.
    mode: VettingMode = VettingMode.OFF
    #: In `SAMPLED`: so many of a hundred, on top of what is always read.
    percent: int = 10
    #: In `SAMPLED`: always these types, bad reviews, and answers about which the checks have a serious doubt.
    always: tuple[RequestType, ...] = field(default=(RequestType.COMPLAINT, RequestType.TIP_OFF))
    bad_reviews: bool = True
    doubtful: bool = True

    @classmethod
    def from_setting(cls, value: dict[str, Any] | None) -> Self:
        """Read the stored setting; what is missing or not understood has its default."""
        given, usual = value or {}, cls()
        mode, percent = str(given.get("mode", "")), given.get("percent", usual.percent)
        types = [str(one) for one in given.get("always", [one.value for one in usual.always])]
        return cls(
            mode=VettingMode(mode) if mode in set(VettingMode) else usual.mode,
            percent=percent if isinstance(percent, int) and 0 <= percent <= 100 else usual.percent,  # noqa: PLR2004 - per cent
            always=tuple(one for one in RequestType if one.value in types),
            bad_reviews=bool(given.get("bad_reviews", usual.bad_reviews)),
            doubtful=bool(given.get("doubtful", usual.doubtful)),
        )

    def to_setting(self) -> dict[str, Any]:
        """Write the policy as `from_setting` reads it."""
        return {
            "mode": self.mode.value,
            "percent": self.percent,
            "always": [one.value for one in self.always],
            "bad_reviews": self.bad_reviews,
            "doubtful": self.doubtful,
        }


def why_vetted(
    policy: VettingPolicy, *, request_type: RequestType, kind: Kind, doubts: Sequence[Doubt], answer_id: int
) -> str:
    """Return in words why a person reads this answer; empty when nobody does.

    The sample is drawn by the answer's id, so that nobody can foresee it and everybody can recompute it.
    """
    if policy.mode is VettingMode.OFF:
        return ""
    reasons = (
        (policy.mode is VettingMode.ALL, "全部审核"),
        (policy.bad_reviews and kind is Kind.BAD_REVIEW, "差评工单"),
        (request_type in policy.always, f"{request_type.value}类工单"),
        (policy.doubtful and bool(_SERIOUS & set(doubts)), "校验有疑问"),
        (zlib.crc32(str(answer_id).encode()) % 100 < policy.percent, "抽查"),
    )
    return next((words for true, words in reasons if true), "")
