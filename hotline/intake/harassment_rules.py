"""When a caller is told, warned and limited for harassing the hotline; pure (domain.md 1.5 NR-09, 9).

Explain first, then warn, then, when persuasion has failed, limit: for a time, confirmed by a second person, reversible.
A limit never closes a door: it tells the operator that he may end a call in which nothing is asked for. An emergency is
handed over and a real matter is registered as ever; nothing in registering reads what stands here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

#: What is older than this no longer counts against a caller.
COUNTED_FOR: Final = timedelta(days=90)
#: So many marked calls, one of them with a warning, before a limit may be asked for.
LEAST_MARKS: Final = 3
LONGEST_DAYS: Final = 30
USUAL_DAYS: Final = 7
LEAST_EVIDENCE: Final = 10
MOST_EVIDENCE: Final = 1_000


class HarassmentKind(StrEnum):
    """What the caller does."""

    ABUSE = "abuse"
    INDECENT = "indecent"
    NUISANCE = "nuisance"
    FALSE_REPORT = "false_report"


class Step(StrEnum):
    """How far things have come with a number."""

    NONE = "none"
    EXPLAINED = "explained"
    WARNED = "warned"
    MAY_LIMIT = "may_limit"
    ASKED = "asked"
    LIMITED = "limited"


@dataclass(frozen=True, kw_only=True)
class Call:
    """One marked call that was not taken back."""

    at: datetime
    warned: bool = False


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What is known of a number, and what the operator does."""

    step: Step
    calls: int
    advice: str
    until: datetime | None = None


_ADVICE: Final = {
    Step.EXPLAINED: "曾有骚扰记录：先问清诉求，有诉求照常登记；没有诉求的，说明热线用途，礼貌结束。",
    Step.WARNED: "已当面警告：没有具体诉求的，再次说明后可结束通话，并记录本次来电。",
    Step.MAY_LIMIT: "劝导和警告无效：可申请限制措施，由督办主管确认。有诉求仍照常登记。",
    Step.ASKED: "限制措施待督办主管确认。有诉求照常登记。",
    Step.LIMITED: "限制期内：先问有无紧急情况和具体诉求，有则照常转接、登记；没有的，可一键结束通话。",
}


def standing(
    calls: Iterable[Call], *, asked: bool = False, limited_until: datetime | None = None, now: datetime
) -> Standing:
    """Tell how far things have come with a number."""
    counted = [call for call in calls if now - COUNTED_FOR < call.at <= now]
    warned = any(call.warned for call in counted)
    if limited_until is not None and now < limited_until:
        step = Step.LIMITED
    elif asked:
        step = Step.ASKED
    elif warned and len(counted) >= LEAST_MARKS:
        step = Step.MAY_LIMIT
    elif warned:
        step = Step.WARNED
    else:
        step = Step.EXPLAINED if counted else Step.NONE
    until = limited_until if step is Step.LIMITED else None
    return Standing(step=step, calls=len(counted), advice=_ADVICE.get(step, ""), until=until)


def problems_of_mark(*, kind: HarassmentKind | None, evidence: str) -> dict[str, str]:
    """Return what is wrong with a mark, by field: without a kind and evidence there is none."""
    found = {}
    if kind is None:
        found["harassment_kind"] = "请选择骚扰类型。"
    if not LEAST_EVIDENCE <= len(evidence) <= MOST_EVIDENCE:
        found["evidence"] = f"请写明通话情况作为依据，{LEAST_EVIDENCE} 至 {MOST_EVIDENCE} 字。"
    return found


def end_of_limit(*, days: int, now: datetime) -> datetime:
    """Return when a limit of so many days ends; `ValueError` for what is longer than allowed."""
    if not 1 <= days <= LONGEST_DAYS:
        raise ValueError(f"限制措施为 1 至 {LONGEST_DAYS} 天。")
    return now + timedelta(days=days)
