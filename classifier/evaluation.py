"""Measures a model the way it will be used: near-copies never on both sides, thresholds from other messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from classifier import thresholds
from classifier.model import NONE
from classifier.thresholds import Promise, wilson

Numbers = NDArray[np.float64]
BINS: Final = 15


@dataclass(frozen=True, kw_only=True)
class LabelFigures:
    """How one label fares."""

    label: str
    support: int
    precision: float
    precision_range: tuple[float, float]
    recall: float
    recall_range: tuple[float, float]
    f1: float
    dispatched: int
    """Messages that would go out by themselves under this label."""
    dispatched_precision: float


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Everything that section 3 of the model card shows."""

    messages: int
    macro_f1: float
    accuracy: float
    calibration_error: float
    top2: float
    top3: float
    coverage: float
    coverage_precision: float
    labels: tuple[LabelFigures, ...] = ()
    confusion: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    reliability: tuple[tuple[float, int, float, float], ...] = ()
    """Bins of confidence: lower edge, messages, mean confidence, hit rate."""
    curve: tuple[tuple[float, float, float], ...] = ()
    """Threshold, coverage, precision."""

    def as_json(self) -> dict[str, Any]:
        """Return plain values for a file."""
        return {
            "messages": self.messages,
            "macro_f1": self.macro_f1,
            "accuracy": self.accuracy,
            "calibration_error": self.calibration_error,
            "top2": self.top2,
            "top3": self.top3,
            "coverage": self.coverage,
            "coverage_precision": self.coverage_precision,
            "labels": [vars(one) for one in self.labels],
            "confusion": self.confusion,
            "reliability": self.reliability,
            "curve": self.curve,
        }


def figures(
    labels: Sequence[str],
    probabilities: Numbers,
    truth: Sequence[str],
    *,
    dispatched: NDArray[np.bool_] | None = None,
) -> Figures:
    """Measure probabilities (one column for each label) against the truth.

    The reject class `NONE` is never an answer of the table; a truth that is no label is a miss everywhere.
    `dispatched` says which messages pass their threshold; by default none does.
    """
    shown = [at for at, label in enumerate(labels) if label != NONE]
    chance = probabilities[:, shown]
    names = [labels[at] for at in shown]
    number = {label: at for at, label in enumerate(names)}
    actual = np.array([number.get(label, -1) for label in truth])
    order = np.argsort(-chance, axis=1, kind="stable")
    best = order[:, 0]
    right = best == actual
    confidence = chance[np.arange(len(best)), best]
    sent = np.zeros(len(best), bool) if dispatched is None else dispatched
    rows = tuple(_label(at, name, best, actual, sent) for at, name in enumerate(names))
    present = [row.f1 for row in rows if row.support]
    return Figures(
        messages=len(truth),
        macro_f1=float(np.mean(present)) if present else 0.0,
        accuracy=float(right.mean()),
        calibration_error=calibration_error(confidence, right),
        top2=float((order[:, :2] == actual[:, None]).any(axis=1).mean()),
        top3=float((order[:, :3] == actual[:, None]).any(axis=1).mean()),
        coverage=float(sent.mean()),
        coverage_precision=float(right[sent].mean()) if sent.any() else 1.0,
        labels=rows,
        confusion={
            name: {other: int(((actual == at) & (best == number[other])).sum()) for other in names}
            for at, name in enumerate(names)
        },
        reliability=reliability(confidence, right),
        curve=curve(confidence, right),
    )


def _label(  # noqa: PLR0917 - five parallel arrays of one table
    at: int, name: str, best: NDArray[np.int64], actual: NDArray[np.int64], sent: NDArray[np.bool_]
) -> LabelFigures:
    said, true = best == at, actual == at
    both = int((said & true).sum())
    precision = both / said.sum() if said.any() else 0.0
    recall = both / true.sum() if true.any() else 0.0
    out = said & sent
    return LabelFigures(
        label=name,
        support=int(true.sum()),
        precision=float(precision),
        precision_range=wilson(both, int(said.sum())),
        recall=float(recall),
        recall_range=wilson(both, int(true.sum())),
        f1=float(2 * precision * recall / (precision + recall)) if both else 0.0,
        dispatched=int(out.sum()),
        dispatched_precision=float(true[out].mean()) if out.any() else 1.0,
    )


def f1_by_label(truth: Sequence[str], said: Sequence[str], labels: Sequence[str]) -> dict[str, float]:
    """Return the F1 of each label."""
    found = {}
    for label in labels:
        both = sum(1 for one, other in zip(truth, said, strict=True) if one == other == label)
        total = sum(one == label for one in truth) + sum(one == label for one in said)
        found[label] = 2 * both / total if total else 0.0
    return found


def calibration_error(confidence: Numbers, right: NDArray[np.bool_], bins: int = BINS) -> float:
    """Return the expected calibration error over equal-width bins of the top probability."""
    return float(
        sum(count * abs(sure - hit) for _, count, sure, hit in reliability(confidence, right, bins))
        / max(1, len(right))
    )


def reliability(
    confidence: Numbers, right: NDArray[np.bool_], bins: int = BINS
) -> tuple[tuple[float, int, float, float], ...]:
    """Return lower edge, count, mean confidence and hit rate of each bin that is not empty."""
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    return tuple(
        (one / bins, int(inside.sum()), float(confidence[inside].mean()), float(right[inside].mean()))
        for one in range(bins)
        if (inside := which == one).any()
    )


def curve(confidence: Numbers, right: NDArray[np.bool_], points: int = 50) -> tuple[tuple[float, float, float], ...]:
    """Return threshold, coverage and precision for evenly spread coverages."""
    if not len(confidence):
        return ()
    order = np.argsort(-confidence, kind="stable")
    hits = np.cumsum(right[order])
    places = np.unique(np.linspace(1, len(order), points).astype(int)) - 1
    return tuple(
        (float(confidence[order[at]]), float((at + 1) / len(order)), float(hits[at] / (at + 1))) for at in places
    )


def honest_dispatch(
    probabilities: Numbers,
    truth: NDArray[np.int64],
    fold: NDArray[np.int64],
    promise: Promise,
) -> NDArray[np.bool_]:
    """Tell which messages would go out, the threshold of each fold chosen on the other folds only."""
    sent = np.zeros(len(truth), bool)
    best = probabilities.argmax(axis=1)
    for one in np.unique(fold):
        here = fold == one
        limits = np.asarray(thresholds.for_each(probabilities[~here], truth[~here], promise))
        sent[here] = probabilities[here].max(axis=1) >= limits[best[here]]
    return sent
