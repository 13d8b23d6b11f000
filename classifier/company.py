"""Word vectors learnt from the company that words keep, and where a message lies by the words of its title and body.

Leading directions (`topics`) say which messages share features; these vectors say which words stand beside the same
words, even where no message holds both. Counts of neighbours within a clause, as positive pointwise mutual
information, are brought to their leading directions (docs/decisions/0040).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from classifier import text as texts
from classifier.features import Fields, Source, Unit, Vectoriser
from classifier.topics import Packed, Topics, packed, summed, unit

Matrix = Any
"""A scipy sparse matrix; scipy ships no types."""
Floats = NDArray[np.float32]

_REACH: Final = 5
"""Words at most so far apart keep company, and the less the farther (1 / distance)."""
_FEWEST: Final = 4
"""A word met less often keeps no company worth the name."""
_SMOOTH: Final = 0.75
"""Rare neighbours are given less weight than their rarity would ask for."""
_HALF: Final = np.float32(np.sqrt(1 / 2))
_THIRD: Final = np.float32(np.sqrt(1 / 3))
_TWO_THIRDS: Final = np.float32(np.sqrt(2 / 3))
_END: Final = "\0"


@dataclass(frozen=True)
class Company:
    """Where a message lies by its words: the mean vector of its title's words beside that of its body's."""

    body: NDArray[np.int32]
    """The features that are words of the body, in rising order."""
    vectors: Packed
    """One row for each of those words."""
    title: NDArray[np.int32]
    """The features of the title that are, as text, one of those words."""
    same: NDArray[np.int32]
    """Which word each of them is."""
    middle: Floats
    """The mean of the training messages, title beside body: what all have in common tells nothing."""
    size: int
    """How many features the vectoriser has in all."""

    _titles: NDArray[np.int32] = field(init=False, repr=False, compare=False)
    _bodies: NDArray[np.int32] = field(init=False, repr=False, compare=False)
    _numbers: Floats = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Build what is not stored: the word of each feature, and the vectors as floats."""
        for name, columns, words in (
            ("_titles", self.title, self.same),
            ("_bodies", self.body, np.arange(len(self.body), dtype=np.int32)),
        ):
            place = np.full(self.size, -1, np.int32)
            place[columns] = words
            object.__setattr__(self, name, place)
        object.__setattr__(self, "_numbers", self.vectors.numbers())

    def sums(self, rows: Matrix) -> Floats:
        """Return the weighed sums of the vectors of a title's and a body's words, side by side."""
        return np.hstack([summed(rows, place, self._numbers) for place in (self._titles, self._bodies)])

    def of(self, rows: Matrix) -> Floats:
        """Return the messages as places: title and body at half the length each, nought where no word is known."""
        found = self.sums(rows)
        width = found.shape[1] // 2
        for half in (slice(None, width), slice(width, None)):
            told = np.where(found[:, half].any(axis=1, keepdims=True), _HALF, np.float32(0))
            found[:, half] = unit(found[:, half] - self.middle[half]) * told
        return found


@dataclass(frozen=True)
class Whereabouts:
    """Where a message lies by its leading directions and by the words of its title and body, a third each."""

    topics: Topics
    company: Company

    def of(self, rows: Matrix) -> Floats:
        """Return the messages as places whose products are the mean of the three likenesses."""
        return np.hstack([self.topics.of(rows) * _THIRD, self.company.of(rows) * _TWO_THIRDS])


def fit(
    messages: Sequence[Fields], vectoriser: Vectoriser, rows: Matrix, count: int, *, rounds: int = 3
) -> Company | None:
    """Learn vectors of so many numbers from the messages, whose rows are given; labels play no part.

    None when there is too little text, or no block of the body's words.
    """
    at = next(
        (
            number
            for number, known in enumerate(vectoriser.vocabularies)
            if known.block.unit is Unit.WORDS and known.block.source is Source.BODY
        ),
        None,
    )
    if at is None:
        return None
    words, before = vectoriser.vocabularies[at], sum(map(len, vectoriser.vocabularies[:at]))
    told = words.numbers(_pieces(messages))
    kept = np.flatnonzero(np.bincount(told[told >= 0], minlength=len(words)) >= _FEWEST).astype(np.int32)
    count = min(count, len(messages) // 4, len(kept) // 4)
    if count < 2:  # noqa: PLR2004 - one direction is the mean
        return None
    vectors = packed(unit(_vectors(_neighbours(told, kept, len(words)), count, rounds)))
    title, same = _in_titles(vectoriser, {words.terms[number]: place for place, number in enumerate(kept)})
    found = Company(kept + np.int32(before), vectors, title, same, np.zeros(2 * count, np.float32), vectoriser.size)
    return replace(found, middle=found.sums(rows).mean(axis=0))


def _pieces(messages: Sequence[Fields]) -> Iterator[str]:
    for message in messages:
        yield from texts.cut(message.title)
        yield _END
        yield from texts.cut(message.body)
        yield _END


def _neighbours(told: NDArray[np.int32], kept: NDArray[np.int32], words: int) -> Matrix:
    """Return positive pointwise mutual information of the kept words; a clause ends at whatever is no known word."""
    place = np.full(words + 1, -1, np.int32)
    place[kept] = np.arange(len(kept), dtype=np.int32)
    clause, one = np.cumsum(told < 0), place[told]  # -1, no word, finds the last place, which stays -1
    counts = sparse.csr_matrix((len(kept), len(kept)), dtype=np.float32)
    for apart in range(1, _REACH + 1):
        first, second = one[:-apart], one[apart:]
        near = (first >= 0) & (second >= 0) & (clause[:-apart] == clause[apart:])
        share = np.full(int(near.sum()), 1 / apart, np.float32)
        counts = counts + sparse.coo_matrix((share, (first[near], second[near])), shape=counts.shape).tocsr()
    counts = (counts + counts.T).tocoo()
    often = np.bincount(counts.row, counts.data, len(kept))
    smooth = often**_SMOOTH
    smooth /= max(smooth.sum(), 1e-9)
    value = np.log(np.maximum(counts.data / np.maximum(often[counts.row] * smooth[counts.col], 1e-9), 1e-9))
    more = value > 0
    return sparse.csr_matrix((value[more].astype(np.float32), (counts.row[more], counts.col[more])), shape=counts.shape)


def _vectors(company: Matrix, count: int, rounds: int) -> Floats:
    """Return the leading left directions, each by the root of its strength, by subspace iteration."""
    across = company.T.tocsr()
    start = np.random.default_rng(20200).standard_normal((company.shape[1], min(count + 30, company.shape[1])))
    basis = np.linalg.qr(start.astype(np.float32))[0]
    for _ in range(rounds):
        basis = np.linalg.qr(np.asarray(across @ np.asarray(company @ basis)))[0]
    seen = np.asarray(company @ basis)
    squares, turned = np.linalg.eigh(seen.T @ seen)
    strength = np.sqrt(np.maximum(squares[::-1][:count], 1e-12))
    return np.asarray((seen @ turned[:, ::-1][:, :count]) / np.sqrt(strength), np.float32)


def _in_titles(vectoriser: Vectoriser, words: Mapping[str, int]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the features of the title that are, as text, one of the words, and which."""
    title, same, before = [], [], 0
    for known in vectoriser.vocabularies:
        if known.block.source is Source.TITLE:
            for number in range(len(known)):
                word = words.get(known.name(number))
                if word is not None:
                    title.append(before + number)
                    same.append(word)
        before += len(known)
    return np.array(title, np.int32), np.array(same, np.int32)
