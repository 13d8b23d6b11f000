"""Learns from labelled texts and predicts; pure: no file, no clock, no database.

The learner is ridge regression in its dual form. On 6 358 real messages it matched or beat the linear
SVM at every setting (docs/decisions/0011), it takes weights, learns all tasks in one solution,
and tells for every training message what it would have said without it and its near-copies, so calibration
and thresholds need no second training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg.lapack import dpotrf, dpotri

from classifier import calibration, neighbours, thresholds
from classifier.calibration import Calibration, Confidence
from classifier.errors import TooFewExamples
from classifier.features import DEFAULT_BLOCKS, Block, Fields, Vectoriser
from classifier.thresholds import Promise

Numbers = NDArray[np.float64]
Matrix = Any
"""A scipy sparse matrix; scipy ships no types."""

NONE: Final = ""
"""The label of texts that belong to none of the others: the reject class."""

_BIAS: Final = 0.3
_FEW_LABELS: Final = 30
_ENOUGH: Final = 400
"""Messages from which on the second rule for confidence can be fitted."""
_DENSE_COLUMNS: Final = 4096
_MOST_IN_MEMORY: Final = 12_000
"""Rows up to which the kernel is held (12 000 squared x 8 bytes = 1.2 GB while solving)."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides what is learnt from given examples."""

    blocks: tuple[Block, ...] = DEFAULT_BLOCKS
    ridge: float = 1.0
    topics: int = 400
    """Leading directions of all texts, labelled or not, that are trusted more (0 switches this off)."""
    topic_weight: float = 4.0
    doubt: float = -0.3
    """A training message whose own label loses by this margin without it is taken as doubtful."""
    doubtful_weight: float = 1.0
    """What a doubtful message still counts; less than 1 lost .003 macro-F1 (docs/decisions/0011), so it is off."""
    promise: Promise = field(default_factory=Promise)


@dataclass(frozen=True, kw_only=True)
class Head:
    """What a model says about one task: a column of weights for each label."""

    task: str
    labels: tuple[str, ...]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    calibration: Calibration
    thresholds: tuple[float, ...]
    """For each label, the probability from which it may be dispatched; above 1 means never."""
    confidence: Confidence | None = None
    """A second rule for the first label's probability; None where there was too little to fit it."""

    def probabilities(self, margins: NDArray[np.floating], sizes: NDArray[np.integer]) -> Numbers:
        """Return calibrated probabilities; `sizes` are how many features each message has."""
        chance = self.calibration.probabilities(margins)
        return self.confidence.sharpen(chance, margins, sizes) if self.confidence else chance


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What one head says about a batch."""

    labels: tuple[str, ...]
    margins: NDArray[np.float32]
    probabilities: Numbers
    sure: NDArray[np.bool_]
    """Whether the first label reaches its threshold and is not the reject class."""

    def best(self) -> list[str]:
        """Return the likeliest label of each row, the reject class left out."""
        return [self.labels[row] for row in self.order()[:, 0]]

    def order(self) -> NDArray[np.int64]:
        """Return the label numbers of each row by falling probability, the reject class last."""
        chance = self.probabilities.copy()
        if NONE in self.labels:
            chance[:, self.labels.index(NONE)] = -1
        return np.argsort(-chance, axis=1, kind="stable")


@dataclass(frozen=True, kw_only=True)
class Model:
    """A vectoriser and its heads."""

    vectoriser: Vectoriser
    heads: Mapping[str, Head]

    def vectors(self, messages: Sequence[Fields]) -> Matrix:
        """Return the messages as the rows that every head reads."""
        return self.vectoriser.transform(messages)

    def judge(self, task: str, rows: Matrix) -> Judgement:
        """Return what the head of a task says about the rows."""
        head = self.heads[task]
        margins = np.asarray(rows @ head.weights) + head.bias
        chance = head.probabilities(margins, np.diff(rows.indptr))
        best = chance.argmax(axis=1)
        sure = chance[np.arange(len(best)), best] >= np.asarray(head.thresholds)[best]
        if NONE in head.labels:
            sure &= best != head.labels.index(NONE)
        return Judgement(labels=head.labels, margins=margins, probabilities=chance, sure=sure)


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A model, and what it would have said about each of its examples had it not seen them."""

    model: Model
    unseen: Mapping[str, Numbers]
    """For each task, margins by example; rows without a label of that task are NaN."""
    sizes: NDArray[np.int64]
    """How many features each example has."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be learnt: a label (or None) for each message."""

    name: str
    labels: Sequence[str | None]
    weights: Sequence[float] | None = None
    judged: Sequence[bool] | None = None
    """Which rows count for calibration and thresholds (all by default; seed sentences may be left out)."""


def fit(
    messages: Sequence[Fields],
    tasks: Sequence[Task],
    *,
    recipe: Recipe | None = None,
    unlabelled: Sequence[Fields] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> Fit:
    """Learn all tasks from the same messages; unlabelled ones only shape which words go together."""
    recipe = recipe or Recipe()
    for task in tasks:
        found = {label for label in task.labels if label is not None}
        if len(found) < 2:  # noqa: PLR2004 - nothing to tell apart
            raise TooFewExamples(f"“{task.name}”至少需要两个不同的类别，现有 {len(found)} 个。")
    room = max(0, _MOST_IN_MEMORY - len(messages))
    everything = [*messages, *unlabelled[:room]]
    progress("学习词汇")
    vectoriser = Vectoriser.fit(everything, recipe.blocks)
    rows = vectoriser.transform(everything)
    progress("查找重复文本")
    groups = neighbours.groups([message.body for message in messages])
    progress("求解")
    solver = _Solver(rows, len(messages), recipe)
    heads: dict[str, Head] = {}
    unseen: dict[str, Numbers] = {}
    for task in tasks:
        heads[task.name], unseen[task.name] = _learn(solver, task, groups, recipe)
    return Fit(
        model=Model(vectoriser=vectoriser, heads=heads),
        unseen=unseen,
        sizes=solver.sizes(np.arange(len(messages))),
    )


def _learn(solver: _Solver, task: Task, groups: NDArray[np.int64], recipe: Recipe) -> tuple[Head, Numbers]:
    known = np.array([at for at, label in enumerate(task.labels) if label is not None])
    labels = tuple(sorted({label for label in task.labels if label is not None}))
    number = {label: at for at, label in enumerate(labels)}
    truth = np.array([number[task.labels[at] or NONE] for at in known])
    given = np.ones(len(known)) if task.weights is None else np.asarray(task.weights, np.float64)[known]
    weights, bias, margins = solver.solve(known, truth, len(labels), given, groups[known])
    own = margins[np.arange(len(truth)), truth]
    rival = margins.copy()
    rival[np.arange(len(truth)), truth] = -np.inf
    doubtful = own - rival.max(axis=1) < recipe.doubt
    if doubtful.any() and recipe.doubtful_weight < 1:
        lighter = np.where(doubtful, given * recipe.doubtful_weight, given)
        weights, bias, margins = solver.solve(known, truth, len(labels), lighter, groups[known])
    judged = np.ones(len(known), bool) if task.judged is None else np.asarray(task.judged, bool)[known]
    if judged.sum() < 2 * len(labels):
        judged[:] = True
    fitted = calibration.fit(margins[judged], truth[judged], given[judged])
    chance = fitted.probabilities(margins[judged])
    sizes = solver.sizes(known[judged])
    confidence = None
    if len(labels) <= _FEW_LABELS and judged.sum() >= _ENOUGH:
        confidence = calibration.fit_confidence(
            chance, margins[judged], sizes=sizes, truth=truth[judged], weights=given[judged]
        )
        chance = confidence.sharpen(chance, margins[judged], sizes)
    limits = thresholds.for_each(chance, truth[judged], recipe.promise)
    unseen = np.full((len(task.labels), len(labels)), np.nan)
    unseen[known] = margins
    head = Head(
        task=task.name,
        labels=labels,
        weights=weights,
        bias=bias,
        calibration=fitted,
        thresholds=limits,
        confidence=confidence,
    )
    return head, unseen


class _Solver:
    """Ridge regression in the dual, with leave-group-out answers; the kernel is computed once for all tasks."""

    def __init__(self, rows: Matrix, labelled: int, recipe: Recipe) -> None:
        self._rows, self._labelled, self._recipe = rows, labelled, recipe
        self._large = labelled > _MOST_IN_MEMORY
        self._last: tuple[bytes, Numbers] | None = None
        if self._large:
            return
        kernel = gram(rows)
        self._topics: NDArray[np.float32] | None = None
        count = min(recipe.topics, rows.shape[0] // 4)
        if count >= 2 and recipe.topic_weight > 0:  # noqa: PLR2004 - one direction is the mean
            values, self._topics = leading(kernel, count)
            kernel = kernel[:labelled, :labelled]
            part = self._topics[:labelled]
            kernel = kernel + recipe.topic_weight * ((part * np.maximum(values, 0)) @ part.T)
        self._kernel = kernel[:labelled, :labelled]

    def sizes(self, known: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many features each of these messages has."""
        return np.asarray(np.diff(self._rows.indptr)[known])

    def solve(  # noqa: PLR0917 - parallel arrays of one problem
        self,
        known: NDArray[np.int64],
        truth: NDArray[np.int64],
        classes: int,
        given: Numbers,
        groups: NDArray[np.int64],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], Numbers]:
        """Return weights, bias, and the margin of every message as if it and its near-copies were not known."""
        target = np.where(np.arange(classes) == truth[:, None], 1.0, -1.0)
        if self._large:
            return self._solve_large(known, target, given, groups)
        inverse = self._inverse(known, given)
        dual = inverse @ target
        margins = target - _without_group(inverse, dual, groups)
        every = np.zeros((self._rows.shape[0], classes))
        every[known] = dual
        if self._topics is not None:
            every += self._recipe.topic_weight * (self._topics @ (self._topics[known].T @ dual))
        weights = np.asarray(self._rows.T @ every.astype(np.float32), np.float32)
        return weights, (_BIAS * dual.sum(axis=0)).astype(np.float32), margins

    def _inverse(self, known: NDArray[np.int64], given: Numbers) -> Numbers:
        """Return the inverse of the regularised kernel; tasks over the same messages and weights share it."""
        key = known.tobytes() + given.tobytes()
        if self._last is not None and self._last[0] == key:
            return self._last[1]
        system = self._kernel[np.ix_(known, known)].astype(np.float64) + _BIAS
        system[np.diag_indices_from(system)] += self._recipe.ridge / np.maximum(given, 1e-3)
        lower, failed = dpotrf(system.T, lower=1, overwrite_a=1)
        if not failed:
            lower, failed = dpotri(lower, lower=1, overwrite_c=1)
        if failed:
            raise TooFewExamples("训练数据退化，无法求解：请检查是否几乎全部文本都相同。")
        # The solver fills one triangle; a loop over blocks mirrors it without a second full copy.
        for start in range(0, len(lower), 1024):
            end = min(start + 1024, len(lower))
            block = np.tril(lower[start:end, start:end])
            lower[start:end, start:end] = block + np.tril(block, -1).T
            lower[start:end, end:] = lower[end:, start:end].T
        self._last = (key, lower)
        return np.asarray(lower)

    def _solve_large(
        self, known: NDArray[np.int64], target: Numbers, given: Numbers, groups: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], Numbers]:
        """Solve by conjugate gradients in the primal, with five folds in place of leave-group-out."""
        rows = self._rows[known]
        fold = groups % 5
        margins = np.zeros_like(target)
        for one in range(5):
            seen, held = np.flatnonzero(fold != one), np.flatnonzero(fold == one)
            weights, bias = conjugate(rows[seen], target[seen], given[seen], self._recipe.ridge)
            margins[held] = np.asarray(rows[held] @ weights) + bias
        weights, bias = conjugate(rows, target, given, self._recipe.ridge)
        return weights.astype(np.float32), bias.astype(np.float32), margins


def gram(rows: Matrix) -> NDArray[np.float32]:
    """Return rows @ rows.T: common features as dense products, rare ones as sparse (ten times faster)."""
    often = np.bincount(rows.indices, minlength=rows.shape[1])
    common = np.argsort(-often, kind="stable")[:_DENSE_COLUMNS]
    dense = rows[:, common].toarray()
    kernel: NDArray[np.float32] = dense @ dense.T
    keep = np.ones(rows.shape[1], bool)
    keep[common] = False
    rare = rows[:, np.flatnonzero(keep & (often > 0))]
    for start in range(0, rare.shape[0], 1000):
        part = (rare[start : start + 1000] @ rare.T).tocoo()
        kernel[part.row + start, part.col] += part.data
    return kernel


def leading(
    kernel: NDArray[np.float32], count: int, *, rounds: int = 4
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the largest eigenvalues of a kernel and their vectors, near enough, by subspace iteration."""
    start = np.random.default_rng(20200).standard_normal((len(kernel), min(len(kernel), count + 50)))
    basis = start.astype(np.float32)
    for _ in range(rounds):
        basis = np.linalg.qr(kernel @ basis)[0]
    values, turned = np.linalg.eigh(basis.T @ (kernel @ basis))
    largest = np.argsort(-values)[:count]
    return values[largest].astype(np.float32), np.asarray(basis @ turned[:, largest], np.float32)


def conjugate(
    rows: Matrix, target: Numbers, given: Numbers, ridge: float, *, steps: int = 120
) -> tuple[Numbers, Numbers]:
    """Solve the weighted ridge in the primal for sets too large for the kernel; return weights and bias."""
    wide = sparse.hstack([rows, np.full((rows.shape[0], 1), np.sqrt(_BIAS), np.float32)], format="csr")
    across = wide.T.tocsr()
    share = given[:, None].astype(np.float32)
    solution = np.zeros((wide.shape[1], target.shape[1]), np.float32)
    residual = np.asarray(across @ (share * target.astype(np.float32)))
    direction = residual.copy()
    energy = (residual**2).sum(axis=0)
    start = energy.copy()
    for _ in range(steps):
        image = np.asarray(across @ (share * np.asarray(wide @ direction))) + ridge * direction
        step = energy / np.maximum((direction * image).sum(axis=0), 1e-20)
        solution += step * direction
        residual -= step * image
        before, energy = energy, (residual**2).sum(axis=0)
        if (energy < 1e-9 * start).all():
            break
        direction = residual + (energy / np.maximum(before, 1e-20)) * direction
    return solution[:-1].astype(np.float64), np.sqrt(_BIAS) * solution[-1].astype(np.float64)


def _without_group(inverse: Numbers, dual: Numbers, groups: NDArray[np.int64]) -> Numbers:
    """Return target minus prediction for each row when its whole group is left out (exact, closed form)."""
    missing = dual / np.diag(inverse)[:, None]
    order = np.argsort(groups, kind="stable")
    edges = np.flatnonzero(np.diff(groups[order])) + 1
    for members in np.split(order, edges):
        if len(members) > 1:
            missing[members] = np.linalg.solve(inverse[np.ix_(members, members)], dual[members])
    return missing
