"""Which category an operator would choose for a story of the city."""

from __future__ import annotations

import math
from collections import Counter
from typing import Final

from classifier.seeds import Seeds
from hotline.demo.data import DemoTicket, Story

#: Below this likeness no category of the tree fits a matter, and a person must choose.
_LEAST_LIKENESS: Final = 0.09
_LEAD_COUNTS, _ASSIST_COUNTS = 2.0, 1.3


class Matters:
    """Finds the category of an invented ticket: the leaf whose texts share the most telling pairs of characters.

    An operator would choose it; the model is not asked, so that the city is the same under every model.
    """

    def __init__(self, corpus: Seeds) -> None:
        """Count in how many leaves each pair of characters stands."""
        self._leaves = [
            (leaf, _pairs(" ".join([*leaf.path, leaf.definition, *(f"{s.title} {s.body}" for s in leaf.sentences)])))
            for leaf in corpus.leaves
        ]
        seen = Counter(pair for _, pairs in self._leaves for pair in pairs)
        self._weight = {pair: math.log(1 + len(self._leaves) / count) ** 2 for pair, count in seen.items()}
        self._length = [math.sqrt(sum(self._weight[pair] for pair in pairs)) or 1.0 for _, pairs in self._leaves]

    def category_of(self, ticket: DemoTicket) -> str:
        """Return the code of the best leaf, or an empty text where a person or the model must choose."""
        if ticket.story is Story.REGISTERED:
            return ""
        matter = _pairs(" ".join(ticket.matter))
        told = matter | _pairs(f"{ticket.title} {ticket.content}")
        whole = math.sqrt(sum(self._weight.get(pair, 0.0) for pair in told)) or 1.0
        best, most = "", _LEAST_LIKENESS
        for (leaf, pairs), length in zip(self._leaves, self._length, strict=True):
            shared = sum(self._weight[pair] * (1 + (pair in matter)) for pair in told & pairs)
            likeness = shared / (whole * length)
            if ticket.department == leaf.lead:
                likeness *= _LEAD_COUNTS
            elif ticket.department in leaf.assist:
                likeness *= _ASSIST_COUNTS
            if likeness > most:
                best, most = leaf.code, likeness
        return best


def _pairs(words: str) -> frozenset[str]:
    """Return the pairs of neighbouring characters that are letters or signs of writing."""
    return frozenset(words[at : at + 2] for at in range(len(words) - 1) if words[at : at + 2].isalnum())
