"""Which department leads and which helps: what the category says, and what people decided about departments.

A category names its usual departments. Where a city has decided often enough, two heads of the model have learnt from
those decisions: who led (`LEAD`) and who helped (`ASSIST`). Both voices are pooled: each chance to a power that fitted
best on messages that the model had not seen, so that the pooled chance can be believed. A department with too few
decisions of its own has the chance of `NONE`, shared out as the categories say (docs/decisions/0037).
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from classifier.model import NONE, Judgement, Task

LEAD: Final = "department"
ASSIST: Final = "assist"
#: So many decisions about departments make it worth to learn them; fewer follow from the category.
FEWEST: Final = 200
#: A department with fewer decisions is not learnt by itself.
FEWEST_OF_ONE: Final = 20
#: So many tickets with a helper make it worth to learn who helps, and so many of one helper to name it.
FEWEST_HELPED: Final = 40
FEWEST_OF_A_HELPER: Final = 10
_TOP: Final = 3
_LEAST: Final = 0.01
"""What a voice gives a department that it does not name: nothing is impossible."""
_POWERS: Final = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)

Chances = Mapping[str, float]
Usual = Mapping[str, tuple[str, Sequence[str]]]
"""For each category its usual lead and who usually helps."""


@dataclass(frozen=True, kw_only=True)
class Pool:
    """How the two voices are pooled; `learnt` 0 means that departments follow from categories."""

    learnt: float = 0.0
    category: float = 1.0
    decisions: Mapping[str, int] | None = None
    """How many decisions each learnt department was learnt from."""

    @classmethod
    def of(cls, made_from: Mapping[str, Any]) -> Pool:
        """Read the pool from what a stored model was made from; departments follow where there is none."""
        given = made_from.get("departments") or {}
        return cls(
            learnt=float(given.get("learnt", 0.0)),
            category=float(given.get("category", 1.0)),
            decisions=dict(given.get("decisions") or {}),
        )

    def as_json(self) -> dict[str, Any]:
        """Return it as it stands in a model's card."""
        return {"learnt": self.learnt, "category": self.category, "decisions": dict(self.decisions or {})}

    @property
    def follows(self) -> bool:
        """Whether decisions about departments have no say."""
        return self.learnt == 0


@dataclass(frozen=True, kw_only=True)
class Voices:
    """Why a department is proposed: its chance by decisions (None: not learnt) and by category."""

    learnt: float | None
    category: float
    decisions: int = 0


def by_category(candidates: Iterable[tuple[str, float]], usual: Usual) -> tuple[dict[str, float], dict[str, float]]:
    """Share the chances of candidate categories, likeliest first, among who leads and who helps."""
    leads: dict[str, float] = {}
    helpers: dict[str, float] = {}
    for at, (category, chance) in enumerate(candidates):
        lead, helping = usual.get(category, ("", ()))
        if not lead:
            continue
        leads[lead] = leads.get(lead, 0.0) + chance
        for code in helping:
            helpers[code] = max(helpers.get(code, 0.0), chance)
        if at > 0:
            # A matter of two departments shows as a close second: its lead is the one to help.
            helpers[lead] = max(helpers.get(lead, 0.0), chance)
    return leads, helpers


def pooled(category: Chances, learnt: Chances, pool: Pool) -> dict[str, float]:
    """Return the chance of each department by both voices; what neither names keeps its part."""
    if pool.follows or not learnt:
        return dict(category)
    spoken = _spoken(category, learnt)
    weighed = {
        code: max(mine, _LEAST) ** pool.learnt * max(its, _LEAST) ** pool.category
        for code, (mine, its) in spoken.items()
    }
    left = (
        max(0.0, 1 - sum(mine for mine, _ in spoken.values())),
        max(0.0, 1 - sum(its for _, its in spoken.values())),
    )
    total = sum(weighed.values()) + max(left[0], _LEAST) ** pool.learnt * max(left[1], _LEAST) ** pool.category
    return {code: value / total for code, value in weighed.items()}


def helped(category: Chances, learnt: Chances) -> dict[str, float]:
    """Return the chance of each helper: the mean of both voices where decisions were learnt from."""
    return {
        code: (category.get(code, 0.0) + learnt[code]) / 2 if code in learnt else category[code]
        for code in sorted({*category, *learnt} - {NONE})
    }


def voices(code: str, category: Chances, learnt: Chances, pool: Pool) -> Voices:
    """Return why a department has its chance."""
    said = None if pool.follows or code not in learnt else learnt[code]
    return Voices(learnt=said, category=category.get(code, 0.0), decisions=(pool.decisions or {}).get(code, 0))


def chances(judged: Judgement, row: int) -> dict[str, float]:
    """Return what a head of departments says of one message, `NONE` for all that it has not learnt."""
    return dict(zip(judged.labels, map(float, judged.probabilities[row]), strict=True))


def candidates(judged: Judgement, row: int) -> list[tuple[str, float]]:
    """Return the first three categories of one message, as the suggester offers them."""
    order = judged.order()[row][:_TOP]
    return [(judged.labels[at], float(judged.probabilities[row, at])) for at in order if judged.labels[at] != NONE]


def said(category: Judgement, lead: Judgement | None, usual: Usual, pool: Pool) -> list[str]:
    """Return the likeliest lead of each message of a batch; empty where nothing names one."""
    found = []
    for row in range(len(category.probabilities)):
        leads, _ = by_category(candidates(category, row), usual)
        every = pooled(leads, chances(lead, row) if lead is not None else {}, pool)
        found.append(max(every, key=lambda code: every[code], default=""))
    return found


def learnable(
    decisions: Sequence[Sequence[str] | None], *, enough: int, of_one: int
) -> list[tuple[str, ...] | None] | None:
    """Return the labels of each message: those decided often enough by name, `NONE` where that leaves nobody.

    A decision of None is unknown, an empty one names nobody. None where a city has decided too little.
    """
    named = [set(codes) - {NONE} for codes in decisions if codes is not None]
    count = Counter(code for codes in named for code in codes)
    often = {code for code, times in count.items() if times >= of_one}
    labels = [
        None if codes is None else tuple(code for code in dict.fromkeys(codes) if code in often) or (NONE,)
        for codes in decisions
    ]
    found = {label for one in labels if one is not None for label in one}
    if sum(map(bool, named)) < enough or len(found) < 2:  # noqa: PLR2004 - nothing to tell apart
        return None
    return labels


def task(name: str, decisions: Sequence[Sequence[str] | None], weights: Sequence[float]) -> Task | None:
    """Return what is to be learnt of departments, or None where a city has decided too little.

    A ticket of two helpers teaches both by half of its weight, so what is said of helpers are shares.
    """
    enough, of_one = (FEWEST, FEWEST_OF_ONE) if name == LEAD else (FEWEST_HELPED, FEWEST_OF_A_HELPER)
    labels = learnable(decisions, enough=enough, of_one=of_one)
    if labels is None:
        return None
    return Task(
        name=name,
        labels=[one[0] if one else None for one in labels],
        also={at: one[1:] for at, one in enumerate(labels) if one and len(one) > 1},
        weights=weights,
    )


def fit(category: Judgement, lead: Judgement, truth: Sequence[str], usual: Usual) -> tuple[float, float]:
    """Return the powers of both voices that make the decisions likeliest, on messages that were not known."""
    told = [
        (_spoken(by_category(candidates(category, row), usual)[0], chances(lead, row)), code)
        for row, code in enumerate(truth)
    ]
    logs = [
        (
            [
                (code == right, math.log(max(mine, _LEAST)), math.log(max(its, _LEAST)))
                for code, (mine, its) in spoken.items()
            ],
            math.log(max(_LEAST, 1 - sum(mine for mine, _ in spoken.values()))),
            math.log(max(_LEAST, 1 - sum(its for _, its in spoken.values()))),
        )
        for spoken, right in told
    ]

    def loss(powers: tuple[float, float]) -> float:
        mine, its = powers
        total = 0.0
        for spoken, left_mine, left_its in logs:
            rest = math.exp(mine * left_mine + its * left_its)
            weighed = [(right, math.exp(mine * one + its * other)) for right, one, other in spoken]
            hit = sum(value for right, value in weighed if right)
            # A department that neither voice names is the part that is left.
            total -= math.log((hit or rest) / (rest + sum(value for _, value in weighed)))
        return total

    return min(((a, b) for a, b in itertools.product(_POWERS, _POWERS) if a + b), key=loss)


def _spoken(category: Chances, learnt: Chances) -> dict[str, tuple[float, float]]:
    """Return (by decisions, by category) for each department that either voice names."""
    others = sum(chance for code, chance in category.items() if code not in learnt)
    rest = learnt.get(NONE, 0.0)
    return {
        code: (
            learnt[code] if code in learnt else rest * category[code] / others if others else 0.0,
            category.get(code, 0.0),
        )
        for code in sorted({*category, *learnt} - {NONE})
    }
