"""Cross-validation of the whole recipe: features, weights, calibration and thresholds from other folds only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifier import evaluation, learning, neighbours
from classifier.evaluation import Figures
from classifier.features import fields
from classifier.learning import Example
from classifier.model import Recipe


@dataclass(frozen=True, kw_only=True)
class Crossed:
    """Answers about messages by models that had not seen them, nor their near-copies."""

    labels: tuple[str, ...]
    probabilities: NDArray[np.float64]
    dispatched: NDArray[np.bool_]
    fold: NDArray[np.int64]
    figures: Figures


def crossed(
    examples: Sequence[Example],
    *,
    recipe: Recipe | None = None,
    seed: bool = False,
    unlabelled: Sequence[tuple[str, str]] = (),
    count: int = 5,
    progress: Callable[[str], None] = lambda _: None,
) -> Crossed:
    """Train on four fifths and answer about the rest, five times over; near-copies never straddle.

    Calibration and thresholds are those that each fold's model made from its own training part.
    """
    labels = tuple(sorted({example.label for example in examples}))
    groups = neighbours.groups([fields(example.title, example.body).body for example in examples])
    fold = neighbours.folds(groups, [example.label for example in examples], count)
    chance = np.zeros((len(examples), len(labels)))
    sent = np.zeros(len(examples), bool)
    for one in range(count):
        progress(f"fold {one + 1} of {count}")
        learnt = learning.fit(
            [example for example, where in zip(examples, fold.tolist(), strict=True) if where != one],
            seed=seed,
            unlabelled=unlabelled,
            recipe=recipe,
        )
        held = np.flatnonzero(fold == one)
        judged = learnt.model.judge(
            learning.LABEL,
            learnt.model.vectors([fields(examples[at].title, examples[at].body) for at in held.tolist()]),
        )
        columns = [judged.labels.index(label) for label in labels]
        chance[held] = judged.probabilities[:, columns]
        sent[held] = judged.sure
    truth = [example.label for example in examples]
    return Crossed(
        labels=labels,
        probabilities=chance,
        dispatched=sent,
        fold=fold,
        figures=evaluation.figures(labels, chance, truth, dispatched=sent),
    )
