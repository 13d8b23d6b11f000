"""Decisions on whose duty a ticket is; values in, values out (domain.md 2.6, 2.7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final, Self

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


class Cause(StrEnum):
    """Why a dispute was opened (domain.md 2.7)."""

    RETURNS = "returns"
    HOTLINE = "hotline"
    DEPARTMENT = "department"


class DisputeState(StrEnum):
    """Where a dispute stands; only an open one ever changes."""

    OPEN = "open"
    RULED = "ruled"
    #: The limit passed, or a supervisor decided: the hotline has named the owner (指定承办).
    DESIGNATED = "designated"
    #: The ticket was withdrawn or closed before anybody ruled.
    LAPSED = "lapsed"


class Seat(StrEnum):
    """For whom a member of the panel sits: the hotline, 机构编制, 司法行政 (国办函〔2025〕66号), or another."""

    HOTLINE = "hotline"
    ESTABLISHMENT = "establishment"
    JUSTICE = "justice"
    OTHER = "other"


class Stance(StrEnum):
    """What a unit says of itself."""

    OURS = "ours"
    NOT_OURS = "not_ours"
    WE_HELP = "we_help"


class RulingState(StrEnum):
    """A ruling is proposed by one member and comes into force when another one confirms it."""

    PROPOSED = "proposed"
    IN_FORCE = "in_force"
    DROPPED = "dropped"


#: Under this name an administrator sets after how many dispatches a dispute opens, and how long it may take.
DUTY_SETTING: Final = "duty_disputes"
MOST_DISPATCHES: Final = 20
MOST_WORKDAYS: Final = 60


@dataclass(frozen=True, kw_only=True)
class DutyPolicy:
    """What the city sets (setting `duty_disputes`)."""

    #: After so many dispatches without an owner a dispute opens by itself (Tianjin: three, domain.md 2.6).
    dispatches: int = 3
    #: So many working days a dispute may take; no text names a figure, this is a recommendation.
    workdays: int = 5

    @classmethod
    def from_setting(cls, value: Mapping[str, Any] | None) -> Self:
        """Read the stored setting; what is missing has its default."""
        given = value or {}
        return cls(dispatches=int(given.get("dispatches", 3)), workdays=int(given.get("workdays", 5)))

    def problems(self) -> dict[str, str]:
        """Return what is wrong with these figures, by field."""
        wrong = {}
        if not 1 <= self.dispatches <= MOST_DISPATCHES:
            wrong["dispatches"] = f"应为 1 到 {MOST_DISPATCHES}。"
        if not 1 <= self.workdays <= MOST_WORKDAYS:
            wrong["workdays"] = f"应为 1 到 {MOST_WORKDAYS}。"
        return wrong


def problems_of_panel(seats: Sequence[tuple[int, Seat]]) -> dict[str, str]:
    """Return what is wrong with a panel: it needs the hotline and at least one other, each person once."""
    if len({user_id for user_id, _ in seats}) < len(seats):
        return {"panel": "同一人员只能担任一个席位。"}
    kinds = {seat for _, seat in seats}
    if Seat.HOTLINE not in kinds:
        return {"panel": "裁定小组须有热线中心人员。"}
    if kinds == {Seat.HOTLINE}:
        return {"panel": "裁定小组须有热线中心以外（编办、司法等）的人员。"}
    return {}


def may_confirm(proposer: Seat, confirmer: Seat) -> bool:
    """Tell whether two seats make a ruling: the hotline and somebody else, in whatever order."""
    return (proposer is Seat.HOTLINE) != (confirmer is Seat.HOTLINE)


def precedent_fits(
    *, territorial: bool, same_category: bool, alike: bool, same_region: bool, same_type: bool | None = None
) -> str:
    """Return in words why a precedent speaks for a ticket, or nothing.

    One for a place holds for that place alone, and one that names a request type for that type alone; `same_type` is
    none where the ruling names no type.
    """
    if (territorial and not same_region) or same_type is False or not (same_category or alike):
        return ""
    why = ((same_category, "同一事件类别"), (same_region, "同一区域"), (same_type, "同一诉求类型"), (alike, "内容相近"))
    return "、".join(words for holds, words in why if holds)


@dataclass(frozen=True, kw_only=True)
class RowInForce:
    """The row of the dispatch catalogue that answers for a ticket, as far as it is weighed against a precedent."""

    published_at: datetime
    #: It speaks of one place, or of one service item: it is narrower than a category.
    names_region: bool = False
    names_item: bool = False
    names_type: bool = False


def precedent_leads(
    *, same_category: bool, same_region: bool, same_type: bool, ruled_at: datetime, row: RowInForce | None
) -> bool:
    """Tell whether a precedent is offered before the catalogue's row (docs/decisions/0038).

    Only one of the same category can be. Where a row answers, the later word goes first: a panel that ruled after the
    edition was published had it before its eyes, and whoever published after the ruling could have taken it up. A row
    that is narrower than the ruling stays ahead of it: one for a service item, one for a place that is not the
    ruling's, or one for a request type that the ruling does not name.
    """
    if not same_category or row is None:
        return same_category
    narrower = row.names_item or (row.names_region and not same_region) or (row.names_type and not same_type)
    return ruled_at > row.published_at and not narrower


def counted_days(opened_at: datetime, days: Sequence[date], *, due_at: datetime) -> list[str]:
    """Return the steps that lead to a dispute's limit; `days` are the working days that count."""
    named = "、".join(f"{day:%m-%d}{'（调休上班）' if day.weekday() >= _SATURDAY else ''}" for day in days)
    return [
        f"{local(opened_at):%Y-%m-%d %H:%M} 立案，自下一日起算",
        f"裁定期限 {len(days)} 个工作日：{named}",
        f"最迟于 {local(due_at):%Y-%m-%d %H:%M} 裁定；逾期由热线指定承办单位",
    ]


_SATURDAY: Final = 5
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
