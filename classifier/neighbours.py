"""Near-copies: messages whose five-character runs overlap by half or more."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

RUN: Final = 5
SAME: Final = 0.5
"""Jaccard overlap from which two messages are near-copies (classifier.md 2.3)."""


def runs(text: str, length: int = RUN) -> frozenset[str]:
    """Return the distinct runs of so many characters of a normal text."""
    return frozenset(text[at : at + length] for at in range(max(1, len(text) - length + 1)))


def overlap(one: frozenset[str], other: frozenset[str]) -> float:
    """Return the Jaccard overlap of two sets of runs."""
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared) if shared else 0.0


def groups(bodies: Sequence[str], *, same: float = SAME) -> NDArray[np.int64]:
    """Return a group number for each text; near-copies, and copies of copies, share one.

    Exact, not sampled: two sets that overlap by `same` must share one of their rarest runs (prefix filter).
    """
    sets = [runs(body) for body in bodies]
    common = Counter(run for one in sets for run in one)
    parents = list(range(len(sets)))
    holders: dict[str, list[int]] = defaultdict(list)
    for at in sorted(range(len(sets)), key=lambda one: len(sets[one])):
        rarest = sorted(sets[at], key=lambda run: (common[run], run))
        prefix = rarest[: len(rarest) - math.ceil(same * len(rarest)) + 1]
        near: set[int] = set()
        for run in prefix:
            if common[run] > 1:
                near.update(holders[run])
                holders[run].append(at)
        for other in near:
            if _root(parents, other) != _root(parents, at) and overlap(sets[at], sets[other]) >= same:
                parents[_root(parents, at)] = _root(parents, other)
    return np.array([_root(parents, at) for at in range(len(sets))], np.int64)


def folds(group: NDArray[np.int64], labels: Sequence[str], count: int = 5, *, seed: int = 20200) -> NDArray[np.int64]:
    """Return a fold for each message, groups whole, labels spread as evenly as groups allow."""
    random = np.random.default_rng(seed)
    names, numbered = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
    members: dict[int, list[int]] = defaultdict(list)
    for at, one in enumerate(group):
        members[int(one)].append(at)
    wanted = np.bincount(numbered, minlength=len(names)) / count
    held = np.zeros((count, len(names)))
    fold = np.zeros(len(group), np.int64)
    shuffled = random.permutation(sorted(members))
    for one in sorted(shuffled, key=lambda name: -len(members[int(name)])):
        rows = members[int(one)]
        add = np.bincount(numbered[rows], minlength=len(names))
        need = ((wanted - held) * (add > 0) / np.maximum(wanted, 1)).sum(axis=1)
        best = int(np.argmax(need + 1e-6 * random.random(count)))
        held[best] += add
        fold[rows] = best
    return fold


def _root(parents: list[int], at: int) -> int:
    while parents[at] != at:
        parents[at] = parents[parents[at]]
        at = parents[at]
    return at
