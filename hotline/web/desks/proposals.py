"""What is proposed to a dispatcher, each with why: catalogue, rulings that are cited, model, similar tickets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from hotline.tickets.queries import CategoryNode
from hotline.web.desks.hints import DepartmentHint, chance
from hotline.web.present import iso
from routing.catalogue.editions import Proposal
from routing.catalogue.rules import Matter
from routing.duty.precedents import PrecedentView, leads
from routing.queries import DepartmentNode

#: So many departments are offered: more keys than three nobody remembers.
MOST: Final = 3
#: So many earlier tickets at one department speak for it.
_FEWEST_SIMILAR: Final = 2
_BY_CATALOGUE: Final = "派单目录"
_BY_RULING: Final = "裁定先例"
_BY_SIMILAR: Final = "相似工单"
#: So many co-handlers are offered on a row; each has a key.
MOST_HELPERS: Final = 5
#: The model's co-handlers: from here on one is worth a box, from here on the box is ticked.
_WORTH_A_BOX: Final = 0.2
_RATHER_SURE: Final = 0.5


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
    similar: Iterable[tuple[int, str]] = (),
    *,
    rulings: Sequence[PrecedentView] = (),
    guessed: str = "",
) -> list[DepartmentHint]:
    """Return the departments to offer, each with everything that speaks for it.

    First what is laid down: the catalogue's row and the weightiest ruling on the same category, which of the two first
    is `routing.duty.rules.precedent_leads`; then the model's, then what is only near in words. `rulings` are the
    weightiest first, `similar` are id and name of the department that held each similar ticket; `guessed` is the code
    of the category that only the model has named, under which the others were asked.
    """
    offers = _Offers()
    ruling = rulings[0] if rulings and rulings[0].same_category else None
    ahead = ruling is not None and leads(ruling, catalogue)
    if ruling is not None and ahead:
        offers.add(_from_ruling(ruling, catalogue, ahead=True, guessed=guessed))
    if catalogue is not None:
        offers.add(_from_catalogue(catalogue, guessed=guessed))
    if ruling is not None and not ahead:
        offers.add(_from_ruling(ruling, catalogue, ahead=False, guessed=guessed))
    for one in model:
        offers.add(replace(one, because=(f"模型{one.chance}：{one.reason}",)))
    for other in rulings:
        if other is not ruling:
            # An older ruling on the category adds its word; only one near in words still brings a department in.
            line = _ruling_words(other)
            offers.support(other.lead_id, other.lead, line, chance=_BY_RULING, brings_in=not other.same_category)
    for (department_id, name), times in Counter(similar).most_common():
        line = f"{times} 张相似工单由其办理"
        offers.support(department_id, name, line, chance=_BY_SIMILAR, brings_in=times >= _FEWEST_SIMILAR)
    return offers.found[:MOST]


class _Offers:
    """The departments found so far, each once, in order."""

    def __init__(self) -> None:
        self.found: list[DepartmentHint] = []

    def add(self, one: DepartmentHint) -> None:
        """Offer a department, or give one that is offered already these reasons too."""
        at = next((at for at, known in enumerate(self.found) if known.department_id == one.department_id), None)
        if at is None:
            self.found.append(one)
            return
        here = self.found[at]
        self.found[at] = replace(
            here,
            because=(*here.because, *one.because),
            probability=max(here.probability, one.probability),
            category=here.category or one.category,
        )

    def support(self, department_id: int, name: str, line: str, *, chance: str, brings_in: bool) -> None:
        """Give an offered department one reason more; `brings_in` offers one that was not offered."""
        if brings_in or any(one.department_id == department_id for one in self.found):
            self.add(
                DepartmentHint(
                    department_id=department_id,
                    name=name,
                    probability=0.0,
                    chance=chance,
                    reason=line,
                    because=(line,),
                )
            )


@dataclass(frozen=True, kw_only=True)
class HelperHint:
    """A co-handler (协办) that is proposed with a ticket, with why."""

    department_id: int
    name: str
    because: str
    #: It goes along unless the dispatcher takes it out.
    chosen: bool


def co_handlers(
    catalogue: Proposal | None,
    said: Mapping[str, Any],
    offers: Sequence[DepartmentHint] = (),
    *,
    rulings: Sequence[PrecedentView] = (),
    known: Sequence[DepartmentNode],
) -> list[HelperHint]:
    """Return who is proposed to help, those first that go along unless they are taken out.

    Chosen are the co-handlers that stand in what is laid down first for the lead, the catalogue's row or the ruling;
    the model's, where neither answers and it is rather sure than not. Whoever else is named is offered and not chosen.
    Departments that are closed, and the lead that is offered first, are left out.
    """
    by_id, by_code = {node.id: node for node in known}, {node.code: node for node in known}
    laid_down: list[tuple[list[DepartmentNode | None], str]] = []
    if catalogue is not None:
        laid_down.append(([by_code.get(code) for code in catalogue.co_handlers], "目录通常协办"))
    if rulings and rulings[0].same_category:
        helping = [by_id.get(one) for one in rulings[0].helping_ids]
        laid_down.insert(0 if leads(rulings[0], catalogue) else 1, (helping, f"{_ruling_name(rulings[0])}确定协办"))
    lead = offers[0].department_id if offers else None
    found: dict[int, HelperHint] = {}
    for at, (nodes, why) in enumerate(laid_down):
        for node in nodes:
            if node is not None and node.id != lead:
                found.setdefault(
                    node.id, HelperHint(department_id=node.id, name=node.name, because=why, chosen=at == 0)
                )
    for one in said.get("assist", ()):
        node, probability = by_code.get(str(one["code"])), float(one["p"])
        if node is not None and node.id != lead and probability >= _WORTH_A_BOX:
            chosen = not laid_down and probability >= _RATHER_SURE
            words = f"模型{chance(probability)}"
            found.setdefault(node.id, HelperHint(department_id=node.id, name=node.name, because=words, chosen=chosen))
    return sorted(found.values(), key=lambda one: not one.chosen)[:MOST_HELPERS]


def leading(categories: Iterable[CategoryNode]) -> dict[str, int]:
    """Return ids of categories by code."""
    return {node.code: node.id for node in categories}


def _from_catalogue(catalogue: Proposal, *, guessed: str) -> DepartmentHint:
    lines = [catalogue.reason + ("（按模型建议的类别）" if guessed else "")]
    if catalogue.basis:
        lines.append(f"依据：{catalogue.basis}")
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


def _from_ruling(ruling: PrecedentView, catalogue: Proposal | None, *, ahead: bool, guessed: str) -> DepartmentHint:
    line = _ruling_words(ruling)
    if catalogue is not None and catalogue.lead_id != ruling.lead_id:
        line += "，裁定晚于现行目录，优先" if ahead else "，现行目录另有规定，目录优先"
    return DepartmentHint(
        department_id=ruling.lead_id,
        name=ruling.lead,
        probability=0.0,
        chance=_BY_RULING,
        reason=line,
        category=guessed,
        because=(line,),
    )


def _ruling_name(ruling: PrecedentView) -> str:
    return f"裁定第 {ruling.ruling_id} 号"


def _ruling_words(ruling: PrecedentView) -> str:
    return f"{_ruling_name(ruling)}先例：{ruling.why}"


def as_json(
    catalogue: Proposal | None,
    offers: Sequence[DepartmentHint],
    *,
    codes: Mapping[int, str],
    rulings: Sequence[PrecedentView] = (),
    helpers: Sequence[HelperHint] = (),
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
        "precedents": [
            {
                "ruling": one.ruling_id,
                "dispute": one.dispute_id,
                "lead": codes.get(one.lead_id),
                "co_handlers": [codes[helper] for helper in one.helping_ids if helper in codes],
                "ruled_at": iso(one.ruled_at),
                "basis": one.basis,
                "why": one.why,
                "same_type": one.same_type,
            }
            for one in rulings
        ],
        "co_handlers": [
            {"department": codes.get(one.department_id), "because": one.because, "chosen": one.chosen}
            for one in helpers
        ],
    }
