"""Learns from labelled texts and predicts; pure: no file, no clock, no database.

The first learner is ridge regression in its dual form over two likenesses of messages: shared features (linear) and
nearness, among the leading directions of the corpus (`topics`) and by the vectors of their words (`company`). For
tasks of few labels the second learner, `ratios`, is added (docs/decisions/0015, 0040). Five grouped folds tell what
the model would say about each training message had it not seen it; calibration, confidence and thresholds are
fitted on those answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from classifier import calibration, company, neighbours, ratios, thresholds
from classifier import topics as directions
from classifier.calibration import Calibration, Confidence
from classifier.company import Whereabouts
from classifier.errors import TooFewExamples
from classifier.features import DEFAULT_BLOCKS, Block, Fields, Vectoriser
from classifier.thresholds import NEVER, Promise
from classifier.topics import Topics

Numbers = NDArray[np.float64]
Matrix = Any
"""A scipy sparse matrix; scipy ships no types."""

NONE: Final = ""
"""The label of texts that belong to none of the others: the reject class."""

LIKELY: Final = 0.5
"""Below an even chance the first label is no answer, only the first of a list."""
_BIAS: Final = 0.3
FOLDS: Final = 5
_FEW_LABELS: Final = 30
_ENOUGH: Final = 400
"""Messages from which on the second rule for confidence can be fitted."""
_CHANGED: Final = 0.001
"""Of a thousand messages that take the shortcut, nearness would change the first label of one."""
_DENSE_COLUMNS: Final = 4096
_REJECT_SHARE: Final = 0.1
"""What a sentence of the reject class counts when confidence is fitted; for the thresholds it counts whole."""
_MOST_IN_MEMORY: Final = 13_000
"""Rows up to which the kernel is held (13 000 squared x 4 bytes, twice = 1.4 GB while solving)."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides what is learnt from given examples."""

    blocks: tuple[Block, ...] = DEFAULT_BLOCKS
    ridge: float = 1.8
    topics: int = 250
    """Leading directions of all texts, labelled or not, in which nearness is measured (0 switches nearness off)."""
    topic_features: int = 28_000
    """The commonest features, which span the directions; the rest would only make the file large."""
    company: int = 128
    """Numbers of a word's vector; title and body lie by the mean of their words (0 leaves only the directions)."""
    many: int = 1_000
    """From so many on, words have kept enough company to be placed by it, and the second learner counts twice."""
    beside: int = 160
    """Leading directions that are enough beside the words."""
    few: int = 400
    """Fewer messages than this hold no topics, only names: they are learnt better by shared features alone."""
    nearness: float = 24.0
    """How much nearness weighs beside shared features."""
    hasty: bool = True
    """Whether messages of which shared features are sure are spared nearness (a model of one task without votes)."""
    votes: bool = True
    """Whether the nearest training messages say how sure a label is (a model of one task that lies by words)."""
    ratios: float = 0.5
    """How much the second learner weighs beside the first, for tasks of few labels (0 switches it off)."""
    promise: Promise = field(default_factory=lambda: Promise(spare=0.004, trust=100))
    heard: Promise = field(default_factory=lambda: Promise(spare=0.003, trust=100))
    """The promise where neighbours vote: surer order needs less to spare (docs/decisions/0059)."""


@dataclass(frozen=True, kw_only=True)
class Shortcut:
    """When shared features alone are sure enough that measuring nearness would change nothing but the time it takes."""

    lead: float
    """From this lead of the first label over the second on, by shared features alone."""
    slope: float
    shift: tuple[float, ...]
    """What nearness usually adds then: slope x margin + the label's shift; so confidence needs one rule only."""

    def sure(self, margins: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Tell for which rows nearness need not be measured."""
        return np.asarray(_lead(margins) >= self.lead)

    def widened(self, margins: NDArray[np.floating]) -> Numbers:
        """Return margins as nearness usually makes them."""
        return np.asarray(margins * (1 + self.slope) + np.asarray(self.shift))


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
    pull: NDArray[np.float32] | None = None
    """A row for each of the model's anchors: how much nearness to it speaks for each label."""
    shortcut: Shortcut | None = None
    """None where nearness is always measured, or never."""
    told: NDArray[np.float32] | None = None
    """A row for each of the model's anchors: how much it votes for each label; None where they are not asked."""
    trunk: str = ""
    """The task of the same model whose labels this task's labels belong to, if any."""
    branches: tuple[int, ...] = ()
    """For each label the column of its label in the trunk, -1 where it has none."""

    @property
    def reject(self) -> int | None:
        """The column of the reject class, if there is one."""
        return self.labels.index(NONE) if NONE in self.labels else None

    def judgement(
        self,
        margins: NDArray[np.floating],
        sizes: NDArray[np.integer],
        *,
        trunk: Judgement | None = None,
        votes: NDArray[np.floating] | None = None,
    ) -> Judgement:
        """Return probabilities and what is sure; `sizes` are how many features each message has.

        `votes` are those of the anchors (`topics.votes`), where the head has them.

        With a trunk (the first level over a category tree) a label counts as much as its branch is likely, and
        an answer is also sure when the trunk is sure of its branch and the label itself is likelier than not.
        """
        raw = self.calibration.probabilities(margins)
        reject = self.reject
        outside = raw.argmax(axis=1) == reject if reject is not None else np.zeros(len(raw), bool)
        chance = raw if trunk is None else _under(raw, trunk, self.branches)
        if self.confidence:
            chance = self.confidence.sharpen(chance, margins, sizes, reject=reject, votes=votes)
        real = chance.copy()
        if reject is not None:
            real[:, reject] = -1
        best = real.argmax(axis=1)
        confidence = real[np.arange(len(best)), best]
        sure = ~outside & (confidence >= np.asarray(self.thresholds)[best])
        if trunk is not None:
            branch = np.asarray(self.branches)[best]
            sure |= trunk.sure & (trunk.order()[:, 0] == branch) & (confidence >= LIKELY)
        return Judgement(labels=self.labels, margins=margins, probabilities=chance, sure=sure, outside=outside, raw=raw)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What one head says about a batch."""

    labels: tuple[str, ...]
    margins: NDArray[np.floating]
    probabilities: Numbers
    sure: NDArray[np.bool_]
    """Whether the first label reaches its threshold and the message is not `outside`."""
    outside: NDArray[np.bool_]
    """Whether the message looks as if it belonged to none of the labels."""
    raw: Numbers
    """Probabilities by temperature only, as they are before the first label is rated."""

    def best(self) -> list[str]:
        """Return the likeliest label of each row, the reject class left out."""
        return [self.labels[row] for row in self.order()[:, 0]]

    def order(self) -> NDArray[np.int64]:
        """Return the label numbers of each row by falling probability, the reject class last."""
        chance = self.probabilities.copy()
        if NONE in self.labels:
            chance[:, self.labels.index(NONE)] = -1
        return np.argsort(-chance, axis=1, kind="stable")

    def of(self, rows: NDArray[np.int64]) -> Judgement:
        """Return the answers about some of the batch."""
        return Judgement(
            labels=self.labels,
            margins=self.margins[rows],
            probabilities=self.probabilities[rows],
            sure=self.sure[rows],
            outside=self.outside[rows],
            raw=self.raw[rows],
        )


@dataclass(frozen=True, kw_only=True)
class Model:
    """A vectoriser and its heads."""

    vectoriser: Vectoriser
    heads: Mapping[str, Head]
    topics: Topics | Whereabouts | None = None
    """What says where a message lies; leading directions only in models of format 3 and older."""
    anchors: NDArray[np.float32] | None = None
    """Where the training messages lie; numbers only, no text."""

    def vectors(self, messages: Sequence[Fields]) -> Matrix:
        """Return the messages as the rows that every head reads."""
        return self.vectoriser.transform(messages)

    def judge(self, task: str, rows: Matrix) -> Judgement:
        """Return what the head of a task says about the rows."""
        return self._judged(self.heads[task], _Rows(self, rows), {})

    def judge_all(self, rows: Matrix) -> dict[str, Judgement]:
        """Return what every head says; nearness is measured once."""
        every = _Rows(self, rows)
        said: dict[str, Judgement] = {}
        return {task: self._judged(head, every, said) for task, head in self.heads.items()}

    def _judged(self, head: Head, every: _Rows, said: dict[str, Judgement]) -> Judgement:
        if head.task not in said:
            margins: NDArray[np.floating] = np.asarray(every.rows @ head.weights) + head.bias
            votes = None
            if head.pull is not None and every.measurable:
                if head.shortcut is None:
                    margins += every.near() @ head.pull
                    votes = None if head.told is None else directions.votes(every.near(), head.told)
                else:
                    plain, unsure = margins, np.flatnonzero(~head.shortcut.sure(margins))
                    margins = head.shortcut.widened(plain)
                    margins[unsure] = plain[unsure] + every.near(unsure) @ head.pull
            trunk = self._judged(self.heads[head.trunk], every, said) if head.trunk else None
            said[head.task] = head.judgement(margins, np.diff(every.rows.indptr), trunk=trunk, votes=votes)
        return said[head.task]


class _Rows:
    """A batch, and its nearness to the anchors once that is asked for."""

    def __init__(self, model: Model, rows: Matrix) -> None:
        self.rows = rows
        self.measurable = model.topics is not None and model.anchors is not None
        self._model = model
        self._near: NDArray[np.float32] | None = None

    def near(self, some: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Return the nearness of all rows, kept for the next head, or of some."""
        if self._near is not None:
            return self._near if some is None else self._near[some]
        topics, anchors = self._model.topics, self._model.anchors
        assert topics is not None  # noqa: S101 - `measurable` was asked
        assert anchors is not None  # noqa: S101
        if some is not None:
            return directions.nearness(topics.of(self.rows[some]), anchors)
        self._near = directions.nearness(topics.of(self.rows), anchors)
        return self._near


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A model, and what it would have said about each of its examples had it not seen them."""

    model: Model
    unseen: Mapping[str, Numbers]
    """For each task, margins by example; rows without a label of that task are NaN."""
    sizes: NDArray[np.int64]
    """How many features each example has."""
    votes: Mapping[str, Numbers] = field(default_factory=dict)
    """For tasks that ask neighbours, what those other than near-copies said about each example."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be learnt: a label (or None) for each message, or several for some."""

    name: str
    labels: Sequence[str | None]
    weights: Sequence[float] | None = None
    judged: Sequence[bool] | None = None
    """Which rows count for calibration and thresholds (all by default; seed sentences may be left out)."""
    trunk: str = ""
    """The name of an earlier task whose labels these labels belong to."""
    branches: Mapping[str, str] = field(default_factory=dict)
    """For labels of this task, the label of the trunk that each belongs to."""
    also: Mapping[int, Sequence[str]] = field(default_factory=dict)
    """Further labels of some rows; such a row teaches each of its labels by an equal share of its weight."""

    def told(self) -> tuple[NDArray[np.int64], list[str], Numbers]:
        """Return row, label and weight of everything that is told; a row of several labels stands several times."""
        known: list[int] = []
        labels: list[str] = []
        given: list[float] = []
        for at, label in enumerate(self.labels):
            if label is None:
                continue
            every = (label, *self.also.get(at, ()))
            known += [at] * len(every)
            labels += every
            given += [(1.0 if self.weights is None else self.weights[at]) / len(every)] * len(every)
        return np.array(known, np.int64), labels, np.array(given, np.float64)


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
    if len(messages) < recipe.few:
        recipe = replace(recipe, topics=0, ratios=0, ridge=min(1.0, recipe.ridge))
    if len(messages) >= recipe.many and recipe.topics and recipe.company:
        recipe = replace(recipe, topics=min(recipe.topics, recipe.beside), ratios=2 * recipe.ratios)
    else:
        recipe = replace(recipe, company=0)
    for task in tasks:
        found = set(task.told()[1])
        if len(found) < 2:  # noqa: PLR2004 - nothing to tell apart
            raise TooFewExamples(f"“{task.name}”至少需要两个不同的类别，现有 {len(found)} 个。")
    everything = [*messages, *unlabelled]
    progress("学习词汇")
    vectoriser = Vectoriser.fit(everything, recipe.blocks)
    every = vectoriser.transform(everything)
    rows = every[: len(messages)]
    progress("查找重复文本")
    groups = neighbours.groups([message.body for message in messages])
    topics, places = None, None
    strangers = vectoriser.as_unseen(rows, every)
    if len(messages) <= _MOST_IN_MEMORY and recipe.topics and recipe.nearness:
        progress("归纳主题")
        topics = _whereabouts(everything, vectoriser, every, recipe)
    if topics:
        places = directions.unit(directions.packed(topics.of(rows)).numbers()), topics.of(strangers)
    progress("求解")
    solver = _Solver(rows, strangers, places, recipe)
    heads: dict[str, Head] = {}
    unseen: dict[str, Numbers] = {}
    votes: dict[str, Numbers] = {}
    alone = len(tasks) == 1
    asked = alone and recipe.votes and recipe.company > 0
    for task in tasks:
        progress(f"学习“{task.name}”")
        trunk = None
        if task.trunk:
            above = heads[task.trunk]
            trunk = above, above.judgement(np.nan_to_num(unseen[task.trunk]), solver.sizes(np.arange(len(messages))))
        heads[task.name], unseen[task.name], heard = _learn(
            solver, task, groups, recipe, trunk, hasty=alone and recipe.hasty and not asked, asked=asked
        )
        if heard is not None:
            votes[task.name] = heard
    return Fit(
        model=Model(vectoriser=vectoriser, heads=heads, topics=topics, anchors=places[0] if places else None),
        unseen=unseen,
        votes=votes,
        sizes=solver.sizes(np.arange(len(messages))),
    )


def _whereabouts(
    everything: Sequence[Fields], vectoriser: Vectoriser, every: Matrix, recipe: Recipe
) -> Topics | Whereabouts | None:
    topics = directions.fit(every, recipe.topics, most=recipe.topic_features)
    words = company.fit(everything, vectoriser, every, recipe.company) if topics and recipe.company else None
    return Whereabouts(topics, words) if topics and words else topics


def _learn(  # noqa: PLR0917 - five parts of one problem
    solver: _Solver,
    task: Task,
    groups: NDArray[np.int64],
    recipe: Recipe,
    trunk: tuple[Head, Judgement] | None,
    *,
    hasty: bool,
    asked: bool,
) -> tuple[Head, Numbers, Numbers | None]:
    known, told, given = task.told()
    labels = tuple(sorted(set(told)))
    number = {label: at for at, label in enumerate(labels)}
    truth = np.array([number[label] for label in told])
    solved = solver.solve(known, truth, len(labels), given, groups[known])
    plain, near, pull = solved.plain, solved.near, solved.pull
    margins = plain + near
    asked = asked and pull is not None and len(labels) <= _FEW_LABELS
    short = shortcut(plain, near) if hasty and pull is not None and len(labels) <= _FEW_LABELS else None
    if short is not None:
        sure = short.sure(plain)
        margins[sure] = short.widened(plain[sure])
    unseen = np.full((len(task.labels), len(labels)), np.nan)
    unseen[known] = margins
    judged = np.ones(len(known), bool) if task.judged is None else np.asarray(task.judged, bool)[known]
    if judged.sum() < 2 * len(labels):
        judged[:] = True
    fitted = calibration.fit(margins[judged], truth[judged], given[judged])
    chance = fitted.probabilities(margins[judged])
    branches: tuple[int, ...] = ()
    if trunk:
        columns = {label: at for at, label in enumerate(trunk[0].labels)}
        branches = tuple(columns.get(task.branches.get(label, "\0"), -1) for label in labels)
        chance = _under(chance, trunk[1].of(known[judged]), branches)
    confidence, limits = _trusted(
        labels,
        chance,
        margins[judged],
        truth[judged],
        given[judged],
        solver.sizes(known[judged]),
        recipe.heard if asked else recipe.promise,
        votes=solved.votes[judged] if asked else None,
    )
    ballots = heard = None
    if asked:
        ballots = np.zeros((len(task.labels), len(labels)), np.float32)
        np.add.at(ballots, (known, truth), given.astype(np.float32))
        heard = np.full((len(task.labels), *solved.votes.shape[1:]), np.nan)
        heard[known] = solved.votes
    head = Head(
        task=task.name,
        labels=labels,
        weights=solved.weights,
        bias=solved.bias,
        calibration=fitted,
        thresholds=limits,
        confidence=confidence,
        pull=pull,
        shortcut=short,
        told=ballots,
        trunk=task.trunk,
        branches=branches,
    )
    return head, unseen, heard


def _lead(margins: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return how far the highest margin of each row lies above the second."""
    two = np.partition(margins, -2, axis=1)[:, -2:]
    return np.asarray(two[:, 1] - two[:, 0])


def shortcut(plain: Numbers, near: Numbers) -> Shortcut | None:
    """Find the least lead from which on nearness changes the first label of one unseen message in a thousand."""
    lead = _lead(plain)
    order = np.argsort(-lead, kind="stable")
    changed = np.cumsum((plain + near).argmax(axis=1)[order] != plain.argmax(axis=1)[order])
    quiet = np.flatnonzero(changed <= _CHANGED * np.arange(1, len(order) + 1))
    if len(quiet) < _ENOUGH:
        return None
    sure = order[: quiet[-1] + 1]
    some, added = plain[sure], near[sure]
    middle, usual = some.mean(axis=0), added.mean(axis=0)
    slope = float(((some - middle) * (added - usual)).sum() / max(1e-9, ((some - middle) ** 2).sum()))
    return Shortcut(lead=float(lead[sure[-1]]), slope=slope, shift=tuple(map(float, usual - slope * middle)))


def _under(chance: Numbers, trunk: Judgement, branches: tuple[int, ...]) -> Numbers:
    """Return chances weighed by how likely each label's branch is; a label of no branch is not held back."""
    column = np.asarray(branches)
    above = np.where(column >= 0, trunk.raw[:, np.maximum(column, 0)], trunk.raw.max(axis=1, keepdims=True))
    weighed = chance * above
    return np.asarray(weighed / np.maximum(weighed.sum(axis=1, keepdims=True), 1e-300))


def _trusted(  # noqa: PLR0917 - parallel arrays of one table
    labels: tuple[str, ...],
    chance: Numbers,
    margins: Numbers,
    truth: NDArray[np.int64],
    given: Numbers,
    sizes: NDArray[np.int64],
    promise: Promise,
    *,
    votes: Numbers | None,
) -> tuple[Confidence | None, tuple[float, ...]]:
    """Fit confidence and thresholds on answers about messages that were not known."""
    reject = labels.index(NONE) if NONE in labels else None
    inside = np.ones(len(truth), bool) if reject is None else chance.argmax(axis=1) != reject
    confidence = None
    if len(truth) >= _ENOUGH:
        share = given if reject is None else np.where(truth == reject, given * _REJECT_SHARE, given)
        confidence = calibration.fit_confidence(
            chance, margins, sizes=sizes, truth=truth, weights=share, reject=reject, votes=votes
        )
        chance = confidence.sharpen(chance, margins, sizes, reject=reject, votes=votes)
    if reject is None:
        return confidence, thresholds.for_each(chance, truth, promise)
    chance[:, reject] = -1
    limits = thresholds.for_each(chance[inside], np.where(truth == reject, -1, truth)[inside], promise)
    return confidence, tuple(NEVER if at == reject else limit for at, limit in enumerate(limits))


@dataclass(frozen=True, kw_only=True)
class _Solved:
    """One task's weights, and what folds without a message and its near-copies say about it."""

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    pull: NDArray[np.float32] | None
    plain: Numbers
    """Margins by shared features alone."""
    near: Numbers
    """What nearness adds to them."""
    votes: Numbers
    """What the neighbours say (`topics.votes`); noughts where no message has a place."""


class _Solver:
    """Both learners over one set of messages; the kernel is computed once for all tasks."""

    def __init__(
        self,
        rows: Matrix,
        strangers: Matrix,
        anchors: tuple[NDArray[np.float32], NDArray[np.float32]] | None,
        recipe: Recipe,
    ) -> None:
        """Take the rows, the same as if unseen, and where both lie."""
        self._rows, self._strangers, self._anchors, self._recipe = rows, strangers, anchors, recipe
        self._large = rows.shape[0] > _MOST_IN_MEMORY
        if self._large:
            return
        self._kernel = gram(rows)
        if anchors is not None:
            self._kernel += np.float32(recipe.nearness) * directions.nearness(anchors[0], anchors[0])

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
    ) -> _Solved:
        """Learn one task from everything, and from all but each fold."""
        _, turn = np.unique(groups, return_inverse=True)
        margins, nearness = np.zeros((len(known), classes)), np.zeros((len(known), classes))
        votes = np.zeros((len(known), 2, classes))
        for one in range(FOLDS):
            seen, held = np.flatnonzero(turn % FOLDS != one), np.flatnonzero(turn % FOLDS == one)
            if not len(seen) or not len(held):
                continue
            weights, bias, pull = self._once(known[seen], truth[seen], given[seen], classes)
            margins[held] = np.asarray(self._strangers[known[held]] @ weights) + bias
            if pull is not None and self._anchors is not None:
                near_to = np.unique(known[seen])  # a row of several labels pulls once, by their sum
                near = directions.nearness(self._anchors[1][known[held]], self._anchors[0][near_to])
                nearness[held] = near @ pull[near_to]
                if classes <= _FEW_LABELS:
                    told = np.zeros((len(near_to), classes), np.float32)
                    np.add.at(told, (np.searchsorted(near_to, known[seen]), truth[seen]), given[seen])
                    votes[held] = directions.votes(near, told)
        weights, bias, pull = self._once(known, truth, given, classes)
        return _Solved(weights=weights, bias=bias, pull=pull, plain=margins, near=nearness, votes=votes)

    def _once(
        self, known: NDArray[np.int64], truth: NDArray[np.int64], given: Numbers, classes: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32] | None]:
        target = np.where(np.arange(classes) == truth[:, None], 1.0, -1.0)
        pull = None
        rows = self._rows[known]
        if self._large:
            exact, start = conjugate(rows, target, given, self._recipe.ridge)
            weights, bias = exact.astype(np.float32), start.astype(np.float32)
        else:
            dual = self._dual(known, target, given)
            weights = np.asarray(rows.T @ dual, np.float32)
            bias = np.float32(_BIAS) * dual.sum(axis=0)
            if self._anchors is not None:
                pull = np.zeros((self._rows.shape[0], classes), np.float32)
                np.add.at(pull, known, np.float32(self._recipe.nearness) * dual)
        if self._recipe.ratios and classes <= _FEW_LABELS:
            other, more = ratios.fit(rows, truth, given, classes)
            weights += np.float32(self._recipe.ratios) * other
            bias += np.float32(self._recipe.ratios) * more
        return weights, bias, pull

    def _dual(self, known: NDArray[np.int64], target: Numbers, given: Numbers) -> NDArray[np.float32]:
        system = self._kernel[np.ix_(known, known)] + np.float32(_BIAS)
        system[np.diag_indices_from(system)] += (self._recipe.ridge / np.maximum(given, 1e-3)).astype(np.float32)
        try:
            factor = cho_factor(system, overwrite_a=True, check_finite=False)
        except LinAlgError as problem:
            raise TooFewExamples("训练数据退化，无法求解：请检查是否几乎全部文本都相同。") from problem
        return np.asarray(cho_solve(factor, target.astype(np.float32), check_finite=False), np.float32)


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
