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

_MIXED_FROM: Final = 1_000
"""Fewer messages than this cannot say how every label speaks about every other."""
_PULL: Final = 0.02
"""How strongly the mixing is drawn to one scale; .03 and .01 gave the same on real messages."""


@dataclass(frozen=True)
class Calibration:
    """p = softmax(scale x margin + shift): one temperature, and a small shift for each label.

    With enough messages also a mixing: what the margin of each label says about each other (docs/decisions/0030).
    """

    scale: float
    shift: tuple[float, ...]
    mixing: tuple[tuple[float, ...], ...] = ()
    """A row for each margin, a column for each label; empty where the scale alone holds."""

    def probabilities(self, margins: NDArray[np.floating]) -> Numbers:
        """Return one row of probabilities that sum to one for each row of margins."""
        given = np.asarray(margins, np.float64)
        mixed = given @ np.asarray(self.mixing) if self.mixing else self.scale * given
        return softmax(mixed + np.asarray(self.shift))


@dataclass(frozen=True)
class Confidence:
    """How likely the first label is right: a logistic rule over how the margins lie (docs/decisions/0012)."""

    means: tuple[float, ...]
    spreads: tuple[float, ...]
    weights: tuple[float, ...]
    start: float

    def sharpen(
        self,
        chance: Numbers,
        margins: NDArray[np.floating],
        sizes: NDArray[np.integer],
        *,
        reject: int | None = None,
        votes: NDArray[np.floating] | None = None,
    ) -> Numbers:
        """Return probabilities in which that of the first real label is the chance that it is right.

        The order of the real labels stays; the reject class and the others share what is left. `votes` are those of
        the neighbours (`topics.votes`), where the rule was fitted with them.
        """
        seen = _signs(
            chance, np.asarray(margins, np.float64), np.asarray(sizes, np.float64), reject=reject, votes=votes
        )
        score = ((seen - np.asarray(self.means)) / np.asarray(self.spreads)) @ np.asarray(self.weights) + self.start
        right = 1 / (1 + np.exp(-np.clip(score, -30, 30)))
        rows = np.arange(len(chance))
        best = first(chance, reject)
        rest = chance.copy()
        rest[rows, best] = 0
        rest /= np.maximum(rest.sum(axis=1, keepdims=True), 1e-300)
        # Never below what keeps the first label first once the rest has been scaled to fill up to one.
        second = _real(rest, reject).max(axis=1)
        right = np.clip(np.maximum(right, second / (1 + second) + 1e-6), 0, 1 - 1e-6)
        found = rest * (1 - right)[:, None]
        found[rows, best] = right
        return np.asarray(found)


def fit_confidence(
    chance: Numbers,
    margins: Numbers,
    *,
    sizes: NDArray[np.integer],
    truth: NDArray[np.int64],
    weights: Numbers,
    reject: int | None = None,
    votes: NDArray[np.floating] | None = None,
) -> Confidence:
    """Fit the rule by log-loss on messages the model has not seen, with a mild pull to nought.

    A message of the reject class is one whose first real label is wrong.
    """
    seen = _signs(chance, margins, np.asarray(sizes, np.float64), reject=reject, votes=votes)
    right = (first(chance, reject) == truth).astype(float)
    means, spreads = seen.mean(axis=0), seen.std(axis=0) + 1e-6
    even = (seen - means) / spreads
    share = weights / weights.sum()

    def loss(point: Numbers) -> tuple[float, Numbers]:
        score = even @ point[:-1] + point[-1]
        value = float((share * (np.logaddexp(0, score) - right * score)).sum())
        slope = share * (1 / (1 + np.exp(-np.clip(score, -30, 30))) - right)
        pull = 1 / len(truth)
        by_weight = even.T @ slope + pull * point[:-1]
        return value + pull / 2 * float((point[:-1] ** 2).sum()), np.concatenate([by_weight, [slope.sum()]])

    best = minimize(loss, np.zeros(seen.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 300}).x
    return Confidence(
        tuple(map(float, means)), tuple(map(float, spreads)), tuple(map(float, best[:-1])), float(best[-1])
    )


def first(chance: Numbers, reject: int | None = None) -> NDArray[np.int64]:
    """Return the likeliest label of each row, the reject class left out."""
    return np.asarray(_real(chance, reject).argmax(axis=1))


def _real(chance: Numbers, reject: int | None) -> Numbers:
    if reject is None:
        return chance
    real = chance.copy()
    real[:, reject] = 0
    return real


def _signs(
    chance: Numbers,
    margins: Numbers,
    sizes: Numbers,
    *,
    reject: int | None,
    votes: NDArray[np.floating] | None,
) -> Numbers:
    """Return what tells a safe answer from a doubtful one.

    Lead over the second, height, the three highest margins, length, how much speaks for the reject class, the label;
    and, where neighbours were asked, what they say of it.
    """
    real = _real(chance, reject)
    real = real / np.maximum(real.sum(axis=1, keepdims=True), 1e-300)
    ordered = np.sort(np.clip(real, 1e-9, 1 - 1e-9), axis=1)
    highest, second = ordered[:, -1], ordered[:, -2]
    # Of a whole category tree no label has enough messages for a shift of its own.
    label = real.argmax(axis=1)[:, None] == np.arange(chance.shape[1] if chance.shape[1] <= _MOST_SHIFTED else 0)
    none, high = np.zeros(len(chance)), margins.copy()
    if reject is not None:
        none, high[:, reject] = margins[:, reject], -np.inf
    high.sort(axis=1)
    labels = high.shape[1] - (reject is not None)
    top, next_, third = (high[:, max(-place, -labels)] for place in (1, 2, 3))
    height = np.log(highest / (1 - highest))
    usual = [np.log(highest / second), height, top, next_, third, np.log(sizes + 10), none, *label.T]
    return np.array(usual if votes is None else usual + _heard(chance, height, reject, votes)).T


def _heard(
    chance: Numbers, height: Numbers, reject: int | None, votes: NDArray[np.floating]
) -> list[NDArray[np.generic]]:
    """Return what the neighbours say of the first label, and with it what else bends the rule (decision 0056).

    By each circle of neighbours: its lead over all others and over the second, its height, whether it is theirs, too.
    Then how evenly the chances lie, the third, the reject class, and three bends of the height.
    """
    rows = np.arange(len(chance))
    real = _real(chance, reject)
    best = real.argmax(axis=1)
    without = real.copy()
    without[rows, best] = -1
    second = without.argmax(axis=1)
    found: list[NDArray[np.generic]] = []
    for circle in range(votes.shape[1]):
        said = np.array(votes[:, circle], np.float64)
        if reject is not None:
            said[:, reject] = -np.inf
        mine = said[rows, best]
        others = said.copy()
        others[rows, best] = -np.inf
        found += [mine - others.max(axis=1), said.argmax(axis=1) == best, mine - said[rows, second], mine]
    spread = -(chance * np.log(chance + 1e-12)).sum(axis=1)
    third = np.log(np.sort(real, axis=1)[:, max(-3, -real.shape[1])] + 1e-9)
    none = np.zeros(len(chance)) if reject is None else np.log(chance[:, reject] + 1e-9)
    bends = [np.minimum(height, 6) ** 2, np.maximum(height - 3, 0), np.maximum(height - 4.5, 0)]
    return [*found, spread, third, none, *bends]


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
    scale = float(np.exp(best.x[0]))
    if not shifted or len(truth) < _MIXED_FROM:
        return Calibration(scale, tuple(map(float, shift)))
    return _mixed(margins, truth, share, scale=scale, shift=shift)


def _mixed(margins: Numbers, truth: NDArray[np.int64], share: Numbers, *, scale: float, shift: Numbers) -> Calibration:
    """Let each margin speak about every label, pulled to the one scale: a label's rival says how far to trust it."""
    classes = margins.shape[1]
    rows = np.arange(len(truth))
    usual = np.vstack([scale * np.eye(classes), shift])
    wide = np.column_stack([margins, np.ones(len(margins))])

    def loss(point: Numbers) -> tuple[float, Numbers]:
        mix = point.reshape(usual.shape)
        chance = softmax(wide @ mix)
        value = -float((share * np.log(chance[rows, truth] + 1e-12)).sum())
        slope = chance
        slope[rows, truth] -= 1
        slope *= share[:, None]
        away = mix - usual
        return value + _PULL / 2 * float((away**2).sum()), (wide.T @ slope + _PULL * away).ravel()

    best = minimize(loss, usual.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 300}).x.reshape(usual.shape)
    return Calibration(scale, tuple(map(float, best[-1])), tuple(tuple(map(float, row)) for row in best[:-1]))
