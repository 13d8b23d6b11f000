"""What is suggested while a call is typed: each value with its reason and its key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlencode

from hotline.tickets.queries import CategoryNode, RegionNode
from hotline.tickets.vocabulary import Urgency
from hotline.web.desks import hints
from hotline.web.desks.caller import EarlierRow
from routing.catalogue import territory
from routing.queries import DepartmentNode
from routing.relations import joining as relations


@dataclass(frozen=True, kw_only=True)
class Hint:
    """One suggestion that a key takes into the form."""

    field: str
    words: str
    #: Form values to set, as in a query string.
    take: str
    chance: str = ""
    reason: str = ""
    key: str = ""


@dataclass(frozen=True, kw_only=True)
class SuggestPart:
    """What the model says of the text so far."""

    #: "waiting": too little text; "ready".
    status: str
    offers: Sequence[Hint] = ()
    assist: Sequence[str] = ()
    risks: Sequence[hints.Risk] = ()
    pieces: Sequence[hints.Piece] = ()
    #: Why there is no category, or what the model could not do, in words.
    reasons: Sequence[str] = ()
    model_missing: bool = False
    alike: Sequence[tuple[EarlierRow, str]] = ()
    incidents: Sequence[relations.KnownIncident] = ()


REGION_KINDS: Final = frozenset({"district", "street", "community", "city"})


def hints_of(
    told: Mapping[str, Any],
    *,
    categories: Sequence[CategoryNode],
    departments: Sequence[DepartmentNode],
    region: RegionNode | None,
    located: territory.Located,
    places: Sequence[str],
    items: Sequence[str],
) -> list[Hint]:
    """Return what can be taken into the form, in the order of its keys; at most nine."""
    by_code = {node.code: node for node in categories}
    found = [
        Hint(
            field="事件类别",
            words=by_code[one["code"]].path,
            take=f"category_id={by_code[one['code']].id}",
            chance=hints.chance(one["p"]),
        )
        for one in hints.likely(told["category"])
        if one["code"] in by_code
    ]
    found += [
        Hint(
            field="派往单位",
            words=one.name,
            take=urlencode({"finish": "dispatch", "department_id": one.department_id}) if one.department_id else "",
            chance=one.chance,
            reason=one.reason,
        )
        for one in hints.departments(
            told,
            known={node.code: node for node in departments},
            leads=hints.leads_in(categories),
            region_code=region.code if region else "",
            most=2,
        )
    ]
    if told["request_type"]:
        best = told["request_type"][0]
        found.append(
            Hint(
                field="诉求类型",
                words=best["name"],
                take=urlencode({"request_type": best["code"]}),
                chance=hints.chance(best["p"]),
            )
        )
    if told["urgency"] != Urgency.ORDINARY.value:
        words = "、".join(told["urgency_words"])
        found.append(
            Hint(
                field="紧急程度",
                words=told["urgency"],
                take=urlencode({"urgency": told["urgency"]}),
                reason=f"文中有“{words}”" if words else "该类别通常如此",
            )
        )
    found += [
        Hint(field="所属区域", words=one.path, take=f"region_id={one.region_id}", reason=f"文中提到“{one.words}”")
        for one in ([located.sure] if located.sure else [])
    ]
    # Asked, not guessed: each candidate can be taken after the caller was asked.
    found += [
        Hint(
            field="所属区域",
            words=one.path,
            take=f"region_id={one.region_id}",
            reason=f"“{one.words}”不止一处，请向来电人核实",
        )
        for one in located.doubtful
    ]
    found += [
        Hint(field="服务事项", words=one, take=urlencode({"service_item": one}), reason="文中提到") for one in items
    ]
    if places:
        found.append(Hint(field="事发地点", words=places[0], take=urlencode({"place": places[0]}), reason="文中提到"))
    return found


def numbered(found: Sequence[Hint]) -> list[Hint]:
    """Give the takeable ones the keys alt+1 to alt+9, in order."""
    at, numbered = 0, []
    for hint in found:
        if hint.take and at < 9:  # noqa: PLR2004 - there are nine digits
            at += 1
            numbered.append(replace(hint, key=f"alt+{at}"))
        else:
            numbered.append(hint)
    return numbered


def assisting(told: Mapping[str, Any], departments: Sequence[DepartmentNode]) -> list[str]:
    """Return the names of the units that probably help."""
    known = {node.code: node.short_name for node in departments}
    return [known[one["code"]] for one in hints.likely(told["assist"]) if one["code"] in known]
