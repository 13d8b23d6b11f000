"""Decisions on whose duty a ticket is; values in, values out (domain.md 2.6, 2.7)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from hotline.core.clock import local


class ReturnReason(StrEnum):
    """Why a unit says that a ticket is not its own."""

    NOT_OUR_DUTY = "not_our_duty"
    NOT_OUR_AREA = "not_our_area"
    CROSS_DUTY = "cross_duty"
    FACTS_MISSING = "facts_missing"
    DUPLICATE = "duplicate"


class ReturnState(StrEnum):
    """Where a return stands; only an open one ever changes."""

    OPEN = "open"
    UPHELD = "upheld"
    REFUSED = "refused"
    #: The unit took it back before it was ruled on.
    WITHDRAWN = "withdrawn"
    #: The ticket was closed, or given to somebody by a binding decision, before it was ruled on.
    LAPSED = "lapsed"


MOST_WORDS: Final = 2_000
MOST_BASIS: Final = 1_000
#: The reasons in the words that stand in the journal and on every page.
RETURN_REASONS: Final[Mapping[ReturnReason, str]] = {
    ReturnReason.NOT_OUR_DUTY: "不属本单位职责",
    ReturnReason.NOT_OUR_AREA: "不在本单位辖区",
    ReturnReason.CROSS_DUTY: "职责交叉需明确主办",
    ReturnReason.FACTS_MISSING: "要素不全无法办理",
    ReturnReason.DUPLICATE: "与其他工单重复",
}
#: Who says that another is responsible says who (domain.md 2.6, rule 1).
NAMES_ANOTHER: Final = frozenset({ReturnReason.NOT_OUR_DUTY, ReturnReason.NOT_OUR_AREA, ReturnReason.CROSS_DUTY})


def problems_of_return(*, reason: str, words: str, basis: str, suggested_id: int | None, mine: int) -> dict[str, str]:
    """Return what is wrong with a return's form, by field; `mine` is the unit that returns."""
    problems: dict[str, str] = {}
    known = reason in set(ReturnReason)
    if not known:
        problems["reason"] = "请选择退单理由。"
    if not words.strip():
        problems["words"] = "请说明退单的具体情况。"
    elif len(words.strip()) > MOST_WORDS:
        problems["words"] = f"退单说明最多 {MOST_WORDS} 字。"
    if not basis.strip():
        problems["basis"] = "请填写退单依据（法规、三定方案或权责清单条款）。"
    elif len(basis.strip()) > MOST_BASIS:
        problems["basis"] = f"退单依据最多 {MOST_BASIS} 字。"
    if known and ReturnReason(reason) in NAMES_ANOTHER and suggested_id is None:
        problems["suggested"] = "请提出建议的承办单位：认为不属于本单位的，须说明应由谁承办。"
    if suggested_id == mine:
        problems["suggested"] = "建议承办单位不能是本单位。"
    return problems


def window_closed(steps: Mapping[str, Any], *, now: datetime) -> str:
    """Return in words that the window for returns is over, or nothing while it is open (domain.md 2.6, rule 2)."""
    until = steps.get("return", {}).get("due")
    if not until or now <= datetime.fromisoformat(until):
        return ""
    return f"退单期限已于 {local(datetime.fromisoformat(until)):%m-%d %H:%M} 届满，须按时办理。"
