"""Leading directions of a corpus (latent topics), kept in four bits a number, and how near two messages lie in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Matrix = Any
"""A scipy sparse matrix; scipy ships no types."""
Floats = NDArray[np.float32]

_FEWEST: Final = 3
_MOST: Final = 7
"""Four bits hold -7..7."""
_SPREAD: Final = 0.36
"""One step in standard deviations of the numbers kept; seven steps reach 2.5 deviations."""
_CHUNK: Final = 2_000
_AT_ONCE: Final = 64
"""Messages whose nearness is worked on together: as many as stay in the processor's own memory."""
_UNHEARD: Final = np.float32(1e-6)
"""So little counts as no vote at all: it keeps the logarithm finite."""


@dataclass(frozen=True)
class Packed:
    """A matrix of small whole numbers, each row with a scale of its own; rows are read as `whole x scale`."""

    whole: NDArray[np.int8]
    scale: NDArray[np.float16]

    def numbers(self) -> Floats:
        """Return the matrix as it is read."""
        return self.whole * self.scale.astype(np.float32)[:, None]


def packed(matrix: Floats) -> Packed:
    """Round a matrix to sixteen levels a row; the errors average out over the hundreds of features of a message."""
    deviation = np.sqrt((matrix.astype(np.float64) ** 2).mean(axis=1))
    scale = np.maximum(deviation * _SPREAD, 1e-7).astype(np.float16)
    scale[scale == 0] = np.float16(6e-8)
    whole = np.clip(np.rint(matrix / scale.astype(np.float32)[:, None]), -_MOST, _MOST).astype(np.int8)
    return Packed(whole, scale)


@dataclass(frozen=True)
class Topics:
    """Where a message lies among the leading directions."""

    columns: NDArray[np.int32]
    """The features that count, in rising order."""
    basis: Packed
    """One row for each of those features."""
    size: int
    """How many features the vectoriser has in all."""
    _place: NDArray[np.int32] = field(init=False, repr=False, compare=False)
    _numbers: Floats = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Build what is not stored: the place of each feature, and the basis as floats."""
        place = np.full(self.size, -1, np.int32)
        place[self.columns] = np.arange(len(self.columns), dtype=np.int32)
        object.__setattr__(self, "_place", place)
        object.__setattr__(self, "_numbers", self.basis.numbers())

    def of(self, rows: Matrix) -> Floats:
        """Return the messages as directions of unit length (nought for one that shares no feature)."""
        return unit(summed(rows, self._place, self._numbers))


def summed(rows: Matrix, place: NDArray[np.int32], numbers: Floats) -> Floats:
    """Return for each message the weighed sum of its features' numbers; `place` says in which row each has its own."""
    at = place[rows.indices]
    there = np.flatnonzero(at >= 0)
    if rows.shape[0] == 1:  # a sparse matrix takes longer to make than to multiply
        return np.asarray(rows.data[there] @ numbers[at[there]])[None]
    ends = np.searchsorted(there, rows.indptr)
    kept = sparse.csr_matrix((rows.data[there], at[there], ends), shape=(rows.shape[0], len(numbers)), copy=False)
    return np.asarray(kept @ numbers, np.float32)


def unit(matrix: Floats) -> Floats:
    """Return the rows at length one; an empty row stays empty."""
    return np.asarray(matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-9), np.float32)


def nearness(some: Floats, others: Floats) -> Floats:
    """Return exp(-distance squared) of unit rows: 1 for the same direction, 0.14 for nothing in common."""
    found: Floats = (2 * some) @ others.T
    found -= 2
    np.exp(found, out=found)
    return found


def votes(near: Floats, told: Floats) -> Floats:
    """Return, for each message, how near the labels come: one row by its closest neighbours, one by a wider circle.

    `near` is what `nearness` returned, `told` how much each of the others counts for each label. A vote falls as
    exp(-12 x distance squared) in the first row and exp(-6 x distance squared) in the second; what is returned is the
    logarithm of their sum, brought back to the scale of a likeness.
    """
    found = np.empty((len(near), 2, told.shape[1]), np.float32)
    for start in range(0, len(near), _AT_ONCE):
        some = near[start : start + _AT_ONCE]
        sharp = some * some
        sharp *= sharp * sharp
        found[start : start + _AT_ONCE, 1] = np.log(sharp @ told + _UNHEARD) / 12
        sharp *= sharp
        found[start : start + _AT_ONCE, 0] = np.log(sharp @ told + _UNHEARD) / 24
    return found


def fit(rows: Matrix, count: int, *, most: int, rounds: int = 3) -> Topics | None:
    """Find the leading directions by subspace iteration; labels play no part. None when there is too little text."""
    often = np.bincount(rows.indices, minlength=rows.shape[1])
    columns = np.argsort(-often, kind="stable")[:most]
    columns = np.sort(columns[often[columns] >= min(_FEWEST, max(1, rows.shape[0] // 50))])
    count = min(count, rows.shape[0] // 4, len(columns) // 2)
    if count < 2:  # noqa: PLR2004 - one direction is the mean
        return None
    kept = rows[:, columns].tocsr()
    across = kept.T.tocsr()
    start = np.random.default_rng(20200).standard_normal((len(columns), min(count + 30, *kept.shape)))
    basis = start.astype(np.float32)
    for _ in range(rounds):
        basis = np.linalg.qr(np.asarray(across @ np.asarray(kept @ basis)))[0]
    seen = np.asarray(kept @ basis)
    _, turned = np.linalg.eigh(seen.T @ seen)
    return Topics(
        columns.astype(np.int32), packed(np.asarray(basis @ turned[:, ::-1][:, :count], np.float32)), rows.shape[1]
    )
