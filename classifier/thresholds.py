"""How sure the model must be before a ticket goes out by itself: the promise, kept class by class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

NEVER: Final = 1.01
"""A threshold that no probability reaches: the class is not dispatched automatically."""
FEWEST: Final = 30
"""Fewer decided messages than this cannot prove a promise of 98 in 100 in any useful way."""


@dataclass(frozen=True, kw_only=True)
class Promise:
    """What is dispatched automatically is right at least this often."""

    precision: float = 0.98
    z: float = 0.0
    """How many standard errors below the measured precision the lower bound lies (1.28 = 90 % one-sided)."""
    spare: float = 0.0
    """How much above the promise a threshold aims: the lowest that just kept it was lucky to (decision 0015)."""
    trust: float = 0.0
    """As how many judged messages the probabilities themselves count: they smooth the luck of a small class."""
    floor: float = 0.0
    """No threshold below this, whatever was measured: seed sentences prove little about real tickets."""


def wilson(right: float, total: float, z: float = 1.96) -> tuple[float, float]:
    """Return the Wilson interval of a share; (0, 1) when nothing was counted."""
    if total <= 0:
        return 0.0, 1.0
    share = right / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(0.0, middle - half), min(1.0, middle + half)


def lowest(
    confidence: NDArray[np.floating], right: NDArray[np.bool_], promise: Promise, *, fewest: int = FEWEST
) -> float:
    """Return the lowest threshold from which on the lower bound of the precision keeps the promise."""
    if len(confidence) < fewest:
        return NEVER
    order = np.argsort(-confidence, kind="stable")
    hits = np.cumsum(right[order].astype(np.int64))
    count = np.arange(1, len(order) + 1)
    said = np.cumsum(confidence[order]) / count
    measured = (hits + promise.trust * said) / (count + promise.trust)
    lower = measured if promise.z == 0 else _lower(hits, count, promise.z)
    enough = np.flatnonzero((lower >= promise.precision + promise.spare) & (count >= fewest))
    return max(promise.floor, float(confidence[order[enough[-1]]])) if len(enough) else NEVER


def for_each(
    probabilities: NDArray[np.floating], truth: NDArray[np.int64], promise: Promise, *, fewest: int = FEWEST
) -> tuple[float, ...]:
    """Return one threshold for each predicted class from messages that the model had not seen.

    A truth of -1 is a message that belongs to none of the labels: dispatching it is always wrong.
    """
    predicted = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    # A label with too few messages to prove anything by itself takes the threshold of all together.
    pooled = lowest(confidence, predicted == truth, promise, fewest=fewest)
    return tuple(
        lowest(confidence[mine], truth[mine] == label, promise, fewest=fewest) if mine.sum() >= fewest else pooled
        for label in range(probabilities.shape[1])
        if (mine := predicted == label) is not None
    )


def tightened(thresholds: Sequence[float], step: float = 0.25) -> tuple[float, ...]:
    """Return thresholds moved a share of the way to certainty, for when the promise is in danger."""
    return tuple(one if one > 1 else one + (1 - one) * step for one in thresholds)


def _lower(hits: NDArray[np.int64], count: NDArray[np.int64], z: float) -> NDArray[np.float64]:
    share = hits / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return np.asarray(middle - half)
