"""Makes margins into probabilities that mean what they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Numbers = NDArray[np.float64]

_MOST_SHIFTED: Final = 30
"""With more labels than this, one temperature only: too few examples for each label's own shift."""


@dataclass(frozen=True)
class Calibration:
    """p = softmax(scale x margin + shift): one temperature, and a small shift for each label."""

    scale: float
    shift: tuple[float, ...]

    def probabilities(self, margins: NDArray[np.floating]) -> Numbers:
        """Return one row of probabilities that sum to one for each row of margins."""
        return softmax(self.scale * np.asarray(margins, np.float64) + np.asarray(self.shift))


def softmax(scores: Numbers) -> Numbers:
    """Return exp(scores) made to sum to one in each row."""
    high = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(high / high.sum(axis=1, keepdims=True))


def fit(margins: Numbers, truth: NDArray[np.int64], weights: Numbers | None = None) -> Calibration:
    """Fit temperature and shifts by log-loss on margins of messages the model has not seen."""
    classes = margins.shape[1]
    share = np.ones(len(truth)) if weights is None else weights
    share = share / share.sum()
    shifted = classes <= _MOST_SHIFTED
    rows = np.arange(len(truth))
    scale_start = 3.0 if classes <= _MOST_SHIFTED else 8.0

    def loss(point: Numbers) -> tuple[float, Numbers]:
        scale = np.exp(point[0])
        shift = point[1:] if shifted else np.zeros(classes)
        chance = softmax(scale * margins + shift)
        value = -float((share * np.log(chance[rows, truth] + 1e-12)).sum())
        slope = chance.copy()
        slope[rows, truth] -= 1
        slope *= share[:, None]
        by_scale = float((slope * margins).sum() * scale)
        # A gentle pull to zero keeps the shift of a label with few examples from running away.
        by_shift = slope.sum(axis=0) + 2e-4 * shift
        return value + 1e-4 * float((shift**2).sum()), np.concatenate([[by_scale], by_shift if shifted else []])

    start = np.zeros(1 + (classes if shifted else 0))
    start[0] = np.log(scale_start)
    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(-3, 6)] + [(-4, 4)] * (len(start) - 1))
    shift = best.x[1:] if shifted else np.zeros(classes)
    return Calibration(float(np.exp(best.x[0])), tuple(float(one) for one in shift))
