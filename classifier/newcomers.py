"""Categories that the model has not learnt yet: told by their definition and by their first examples.

A city that adds a category wants it suggested the same minute, and a model is trained by night. Until then a text is
compared with the category's name and definition, and with what people have put there so far. What is new about a
category is mostly words that the model has never seen, so runs of characters are compared here and not the model's
features. Such a suggestion is never sure enough to go out by itself.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from classifier.features import document_counts, fields, n_grams

#: With so many examples they speak for themselves; with fewer the definition is heard as well.
ENOUGH: Final = 20
#: A newcomer is never surer than this: nothing about it has been measured.
MOST: Final = 0.6
#: Likeness from which on a text is as likely as not of the category. Measured with eleven leaves of the seed corpus
#: taken as new: a third of their own sentences lie above (a quarter by ten examples), two to five in a hundred others.
BY_DEFINITION: Final = 0.02
BY_EXAMPLES: Final = 0.025
_STEEP: Final = 250.0
_NEAREST: Final = 3
_RUN: Final = 3
_READ: Final = 300
_TWO_CHARACTERS: Final = 1 << 21
"""Keys from here on stand for two characters or three; single ones say nothing."""

Runs = Mapping[int, float]


@dataclass(frozen=True, kw_only=True)
class Newcomer:
    """A category that the model does not know."""

    code: str
    name: str
    definition: str
    examples: tuple[tuple[str, str], ...] = ()
    """(title, body) of what people have put there."""


class Newcomers:
    """The new categories of a city, ready to be compared with a text."""

    def __init__(self, known: Sequence[Newcomer]) -> None:
        """Weigh the runs of definitions and examples, once."""
        self._known = [
            (
                one.code,
                _weighed(one.name, f"{one.name}。{one.definition}"),
                [_weighed(title, body) for title, body in one.examples],
            )
            for one in known
        ]

    def chances(self, title: str, body: str) -> Mapping[str, float]:
        """Return how likely a text belongs to each newcomer, those that are out of the question left out."""
        text = _weighed(title, body)
        found = {}
        for code, definition, examples in self._known:
            said = _chance(_likeness(text, definition), BY_DEFINITION)
            nearest = sorted((_likeness(text, one) for one in examples), reverse=True)[:_NEAREST]
            shown = _chance(sum(nearest) / len(nearest), BY_EXAMPLES) if nearest else 0.0
            share = min(1.0, len(examples) / ENOUGH)
            chance = max(shown, said * (1 - share) + shown * share)
            if chance > 0.05:  # noqa: PLR2004 - less is noise
                found[code] = min(MOST, chance)
        return found


def _chance(likeness: float, even: float) -> float:
    return float(1 / (1 + np.exp(-_STEEP * (likeness - even))))


def _likeness(one: Runs, other: Runs) -> float:
    """Return the cosine of two weighed sets of runs."""
    shared = sum(weight * weight for run, weight in one.items() if run in other)
    if not shared:
        return 0.0
    return float(shared / (_length(one) * _length(other)))


def _length(runs: Runs) -> float:
    return float(sum(weight * weight for weight in runs.values()) ** 0.5)


def _weighed(title: str, body: str) -> Runs:
    message = fields(title, body)
    codes, _ = n_grams([f"{message.title}。{message.body[:_READ]}"], _RUN)
    runs = np.unique(codes)
    runs = runs[runs >= _TWO_CHARACTERS]
    return dict(zip(runs.tolist(), _rarity(runs).tolist(), strict=True))


def _rarity(runs: NDArray[np.int64]) -> NDArray[np.float64]:
    known, counts, total = _common()
    if not len(known):
        return np.ones(len(runs))
    at = np.minimum(np.searchsorted(known, runs), len(known) - 1)
    return np.asarray(np.log((total + 1) / (1 + np.where(known[at] == runs, counts[at], 0))))


@functools.cache
def _common() -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Return the runs of the seed corpus and in how many sentences each stands: what everybody says weighs little."""
    from classifier import seeds, text

    bodies = [text.normal(f"{one.title}。{one.body}") for leaf in seeds.load().leaves for one in leaf.sentences]
    known, counts = document_counts(bodies, _RUN)
    return known, np.asarray(counts), len(bodies)


def likeness_to(known: Sequence[Newcomer], title: str, body: str) -> Mapping[str, float]:
    """Return how alike a text is to the definition of each category, from 0 to 1."""
    text = _weighed(title, body)
    return {one.code: _likeness(text, _weighed(one.name, f"{one.name}。{one.definition}")) for one in known}
