"""Likely duplicates: the same matter told again, by the same person or another, in the same words or not.

Each message leaves a sketch of `KEYS` numbers: a sample of its three-character runs in which a rare run (the
name of an estate, a road, a firm) is far likelier to be kept than a phrase that everybody uses. Two
messages share about as many numbers as they share rare runs. The numbers are plain integers, so a
database can hold them in an indexed column; `Index` holds them in memory (a million messages, < 50 ms).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from classifier import text
from classifier.features import document_counts, fields, n_grams

KEYS: Final = 64
"""Numbers in a sketch."""
SKETCH_VERSION: Final = 1
"""Raised when the same text would leave another sketch, so that stored ones are made anew."""
_RUN: Final = 3
_WHOLE_RUN: Final = 1 << 42
"""Keys below this stand for one or two characters."""
_READ: Final = 300
"""Characters of the body that count: people tell the matter first."""
_MOST_HOLDERS: Final = 3_000
"""A number held by more messages than this says nothing about one matter."""
_FEWEST_SHARED: Final = 2
_WINDOW: Final = timedelta(days=180)

_MIX1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX2: Final = np.uint64(0x94D049BB133111EB)


@dataclass(frozen=True, kw_only=True)
class Told:
    """One message as the index keeps it."""

    id: int
    keys: NDArray[np.uint64]
    at: datetime | None = None
    places: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Likely:
    """A message that is probably about the same matter."""

    id: int
    score: float
    """The chance that it is the same matter (docs/classifier.md says how often it was right)."""
    shared: float
    """Share of the sketch that both have."""
    same_place: bool
    days_apart: float | None
    copy: bool
    """Nearly word for word."""


SURE: Final = 0.5


def sketch(title: str, body: str) -> NDArray[np.uint64]:
    """Return the sorted numbers that stand for a message; equal texts give equal numbers."""
    message = fields(title, body)
    codes, _ = n_grams([message.title, message.body[:_READ]], _RUN)
    runs = np.unique(codes[codes >= _WHOLE_RUN])
    if not len(runs):
        runs = np.unique(codes)
    mixed = _mixed(runs.view(np.uint64))
    # Exponential clocks: the run whose clock rings first is kept first, and a heavy run's clock runs faster.
    chance = (mixed >> np.uint64(11)).astype(np.float64) / float(1 << 52) + 1e-18
    rings = -np.log(chance) / _weights(runs)
    kept = np.argsort(rings, kind="stable")[:KEYS]
    return np.sort(mixed[kept])


def likeness(one: tuple[str, str], other: tuple[str, str]) -> float:
    """Return how alike two (title, body) are, 0 to 1: rare three-character runs weighed by their rarity."""
    first, second = _weighed(*one), _weighed(*other)
    shared = sum(weight for run, weight in first.items() if run in second)
    smaller = min(sum(first.values()), sum(second.values()))
    return shared / smaller if smaller else 0.0


def likenesses(one: tuple[str, str], others: Sequence[tuple[str, str]]) -> list[float]:
    """Return `likeness` of one (title, body) to each of the others, all counted together."""
    messages = [fields(*each) for each in (one, *others)]
    strings = [part for message in messages for part in (message.title, message.body[:_READ])]
    codes, owners = n_grams(strings, _RUN)
    long = codes >= _WHOLE_RUN
    codes, owners = codes[long], owners[long] // 2
    order = np.lexsort((codes, owners))
    codes, owners = codes[order], owners[order]
    once = np.ones(len(codes), bool)
    once[1:] = (codes[1:] != codes[:-1]) | (owners[1:] != owners[:-1])
    codes, owners = codes[once], owners[once]
    weights = _weights(codes)
    both = np.isin(codes, codes[owners == 0])
    total = np.bincount(owners, weights, minlength=len(messages))
    shared = np.bincount(owners, weights * both, minlength=len(messages))
    smaller = np.minimum(total[0], total)
    return [float(part / whole) if whole else 0.0 for part, whole in zip(shared[1:], smaller[1:], strict=True)]


@dataclass
class Index:
    """Sketches in memory, with what came since the last rebuild kept aside in a small dictionary."""

    window: timedelta = _WINDOW
    _told: list[Told] = field(default_factory=list)
    _known: dict[int, int] = field(default_factory=dict)
    _keys: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    _owners: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    _fresh: dict[int, list[int]] = field(default_factory=dict)
    _fresh_count: int = 0

    def __len__(self) -> int:
        """Return how many messages are known."""
        return len(self._told)

    def extend(self, told: Iterable[Told]) -> None:
        """Add many at once and rebuild the sorted postings."""
        for one in told:
            self._known[one.id] = len(self._told)
            self._told.append(one)
        lengths = np.fromiter((len(one.keys) for one in self._told), np.int64, len(self._told))
        keys = np.concatenate([one.keys for one in self._told]) if self._told else np.zeros(0, np.uint64)
        owners = np.repeat(np.arange(len(self._told), dtype=np.int32), lengths)
        order = np.argsort(keys, kind="stable")
        self._keys, self._owners = keys[order], owners[order]
        self._fresh.clear()
        self._fresh_count = 0

    def add(self, told: Told) -> None:
        """Add one; found at once, folded into the postings now and then."""
        if told.id in self._known:
            return
        at = len(self._told)
        self._known[told.id] = at
        self._told.append(told)
        for key in told.keys.tolist():
            self._fresh.setdefault(key, []).append(at)
        self._fresh_count += 1
        if self._fresh_count >= max(10_000, len(self._told) // 10):
            self.extend(())

    def find(
        self,
        keys: NDArray[np.uint64],
        *,
        at: datetime | None = None,
        places: frozenset[str] = frozenset(),
        but: int | None = None,
        most: int = 10,
        least: float = 0.2,
    ) -> tuple[Likely, ...]:
        """Return the likeliest earlier tellings, best first; a message of `but` is left out."""
        holders: list[NDArray[np.int64]] = []
        starts = np.searchsorted(self._keys, keys, side="left")
        ends = np.searchsorted(self._keys, keys, side="right")
        for start, end, key in zip(starts.tolist(), ends.tolist(), keys.tolist(), strict=True):
            fresh = self._fresh.get(key, ())
            if 0 < end - start + len(fresh) <= _MOST_HOLDERS:
                holders.append(np.concatenate([self._owners[start:end].astype(np.int64), np.asarray(fresh, np.int64)]))
        if not holders:
            return ()
        owners, counts = np.unique(np.concatenate(holders), return_counts=True)
        best = np.argsort(-counts, kind="stable")[: 20 * most]
        found = []
        for owner, count in zip(owners[best].tolist(), counts[best].tolist(), strict=True):
            told = self._told[owner]
            if told.id == but or (count < _FEWEST_SHARED and len(keys) > _FEWEST_SHARED):
                continue
            one = _likely(
                told, shared=count, size=min(len(keys), len(told.keys)), at=at, places=places, window=self.window
            )
            if one.score >= least:
                found.append(one)
        return tuple(sorted(found, key=lambda one: -one.score)[:most])


def rated(
    shared: float,
    *,
    days_apart: float | None = None,
    same_place: bool = False,
    likeness: float | None = None,
    window: timedelta = _WINDOW,
) -> float:
    """Return the chance that two messages are about one matter.

    From the share of the sketch alone, or better from the likeness of the texts where both are at hand;
    less for each half year between them. Fitted on pairs that we read and labelled (docs/decisions/0013).
    """
    if likeness is None:
        score = _SKETCH_SLOPE * math.sqrt(shared) + _SKETCH_START
    else:
        score = _TEXT_SLOPE * math.sqrt(likeness) + _TEXT_START
    score += _SAME_PLACE if same_place else 0.0
    if days_apart is not None:
        score -= _PER_WINDOW * min(2.0, days_apart / (window.total_seconds() / 86_400))
    return 1 / (1 + math.exp(-score))


_TEXT_SLOPE: Final = 5.75
_TEXT_START: Final = -1.17
_SKETCH_SLOPE: Final = 4.5
# The labelled pairs were already alike; among a million, a pair that shares two numbers is rarely one matter.
_SKETCH_START: Final = -1.5
_SAME_PLACE: Final = 0.8
_PER_WINDOW: Final = 2.6
_COPY: Final = 0.6


def reread(
    title: str, body: str, found: Sequence[Likely], texts: Mapping[int, tuple[str, str]], *, least: float = 0.3
) -> tuple[Likely, ...]:
    """Rate candidates again by their texts (title, body), where those are at hand; best first."""
    again = [
        replace(
            one,
            score=rated(
                one.shared,
                days_apart=one.days_apart,
                same_place=one.same_place,
                likeness=likeness((title, body), texts[one.id]),
            ),
        )
        if one.id in texts
        else one
        for one in found
    ]
    return tuple(sorted((one for one in again if one.score >= least), key=lambda one: -one.score))


def _likely(
    told: Told, *, shared: int, size: int, at: datetime | None, places: frozenset[str], window: timedelta
) -> Likely:
    days = abs((at - told.at).total_seconds()) / 86_400 if at and told.at else None
    same_place = bool(places & told.places)
    share = shared / max(1, size)
    return Likely(
        id=told.id,
        score=rated(share, days_apart=days, same_place=same_place, window=window),
        shared=share,
        same_place=same_place,
        days_apart=days,
        copy=share >= _COPY,
    )


def _mixed(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return well-mixed 64-bit numbers (splitmix64), the sign bit kept clear for databases."""
    one = (keys ^ (keys >> np.uint64(30))) * _MIX1
    one = (one ^ (one >> np.uint64(27))) * _MIX2
    return np.asarray((one ^ (one >> np.uint64(31))) >> np.uint64(1))


def _weights(runs: NDArray[np.int64]) -> NDArray[np.float64]:
    known, weights = _common_runs()
    if not len(known):
        return np.ones(len(runs))
    at = np.minimum(np.searchsorted(known, runs), len(known) - 1)
    return np.where(known[at] == runs, weights[at], 1.0)


@functools.cache
def _common_runs() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return runs that the seed corpus uses, each with a weight below one; a run it never uses weighs one."""
    from classifier import seeds

    bodies = [text.normal(one.title + "。" + one.body) for leaf in seeds.load().leaves for one in leaf.sentences]
    if not bodies:
        return np.zeros(0, np.int64), np.zeros(0)
    known, counts = document_counts(bodies, _RUN)
    long = known >= _WHOLE_RUN
    return known[long], np.asarray(1.0 / (1 + counts[long]))


def _weighed(title: str, body: str) -> Mapping[int, float]:
    message = fields(title, body)
    codes, _ = n_grams([message.title, message.body[:_READ]], _RUN)
    runs = np.unique(codes[codes >= _WHOLE_RUN])
    return dict(zip(runs.tolist(), _weights(runs).tolist(), strict=True))


def rows(messages: Sequence[tuple[int, str, str, datetime | None]]) -> list[Told]:
    """Return sketches of many messages (id, title, body, at)."""
    return [Told(id=number, keys=sketch(title, body), at=at) for number, title, body, at in messages]
