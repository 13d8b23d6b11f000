"""What is proposed to a dispatcher, from three sides and each with why: the catalogue, the model, earlier tickets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from hotline.tickets.queries import CategoryNode
from hotline.web.desks.hints import DepartmentHint
from routing.catalogue.editions import Proposal
from routing.catalogue.rules import Matter

#: So many departments are offered: more keys than three nobody remembers.
MOST: Final = 3
#: So many earlier tickets at one department speak for it.
_FEWEST_PRECEDENTS: Final = 2
_BY_CATALOGUE: Final = "派单目录"
_BY_PRECEDENT: Final = "相似工单"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is known of a ticket when a proposal is asked for."""

    category_id: int | None
    region_id: int | None
    request_type: str
    said: Mapping[str, Any]
    service_item: str = ""


def matter(asked: Asked, categories: Mapping[str, int]) -> Matter | None:
    """Return what the catalogue is asked; an unclassified ticket is asked about under the model's first category.

    Nothing when neither a person nor the model has named a category: the rows for "any matter" are for matters that are
    known and that no other row names, not for those that nobody has looked at.
    """
    category_id = asked.category_id or categories.get(first_category(asked.said))
    if category_id is None and not asked.service_item:
        return None
    return Matter(
        category=category_id,
        region=asked.region_id,
        request_type=asked.request_type,
        service_item=asked.service_item,
    )


def first_category(said: Mapping[str, Any]) -> str:
    """Return the code of the category that the model thinks likeliest, or nothing."""
    return next((str(one["code"]) for one in said.get("category", ())), "")


def merged(
    catalogue: Proposal | None,
    model: Sequence[DepartmentHint],
    precedents: Iterable[tuple[int, str]] = (),
    *,
    guessed: str = "",
) -> list[DepartmentHint]:
    """Return the departments to offer, the catalogue's first, each with everything that speaks for it.

    `precedents` are id and name of the department that held each similar ticket; `guessed` is the code of the category
    that only the model has named, under which the catalogue was asked.
    """
    found: list[DepartmentHint] = []
    if catalogue is not None:
        found.append(_from_catalogue(catalogue, guessed=guessed))
    for one in model:
        at = _position(found, one.department_id)
        line = f"模型{one.chance}：{one.reason}"
        if at is None:
            found.append(replace(one, because=(line,)))
        else:
            here = found[at]
            found[at] = replace(
                here,
                because=(*here.because, line),
                probability=max(here.probability, one.probability),
                category=here.category or one.category,
            )
    held = Counter(precedents)
    for (department_id, name), times in held.most_common():
        line = f"{times} 张相似工单由其办理"
        at = _position(found, department_id)
        if at is not None:
            found[at] = replace(found[at], because=(*found[at].because, line))
        elif times >= _FEWEST_PRECEDENTS:
            found.append(
                DepartmentHint(
                    department_id=department_id,
                    name=name,
                    probability=0.0,
                    chance=_BY_PRECEDENT,
                    reason=line,
                    because=(line,),
                )
            )
    return found[:MOST]


def leading(categories: Iterable[CategoryNode]) -> dict[str, int]:
    """Return ids of categories by code."""
    return {node.code: node.id for node in categories}


def _from_catalogue(catalogue: Proposal, *, guessed: str) -> DepartmentHint:
    lines = [catalogue.reason + ("（按模型建议的类别）" if guessed else "")]
    if catalogue.basis:
        lines.append(f"依据：{catalogue.basis}")
    if catalogue.co_handler_names:
        lines.append(f"通常协办：{'、'.join(catalogue.co_handler_names)}")
    if catalogue.sla_class:
        lines.append(f"时限类别：{catalogue.sla_class}")
    return DepartmentHint(
        department_id=catalogue.lead_id,
        name=catalogue.lead or "属地兜底单位（请先确定所属区域）",
        probability=0.0,
        chance=_BY_CATALOGUE,
        reason=lines[0],
        category=guessed,
        because=tuple(lines),
    )


def _position(found: Sequence[DepartmentHint], department_id: int | None) -> int | None:
    return next((at for at, one in enumerate(found) if one.department_id == department_id), None)


def as_json(
    catalogue: Proposal | None, offers: Sequence[DepartmentHint], *, codes: Mapping[int, str]
) -> dict[str, Any]:
    """Return a proposal for the programming interface."""
    return {
        "catalogue": {
            "edition": catalogue.version_number,
            "row": catalogue.row_id,
            "lead": catalogue.lead_code or None,
            "territorial": catalogue.territorial,
            "co_handlers": list(catalogue.co_handlers),
            "sla_class": catalogue.sla_class,
            "basis": catalogue.basis,
            "reason": catalogue.reason,
        }
        if catalogue
        else None,
        "departments": [
            {
                "department": codes.get(one.department_id or 0),
                "name": one.name,
                "probability": round(one.probability, 4),
                "because": list(one.because or (one.reason,)),
            }
            for one in offers
        ],
    }
