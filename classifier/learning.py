"""What is learnt from: the seed corpus, people's decisions, or a labelled file; and whether the new beats the old."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from classifier import departments, evaluation, store
from classifier import model as models
from classifier import seeds as seed_corpus
from classifier.errors import TooFewExamples
from classifier.features import Block, Fields, Source, Unit, fields
from classifier.model import NONE, Fit, Model, Recipe, Task
from classifier.seeds import Seeds
from classifier.thresholds import Promise

CATEGORY: Final = "category"
FIRST: Final = "first"
REQUEST_TYPE: Final = "request_type"
LABEL: Final = "label"
"""The only task of a model that was trained from a plain labelled file."""

DEFAULT_RECIPE: Final = Recipe(
    blocks=(
        Block(source=Source.TITLE, unit=Unit.CHARACTERS),
        Block(source=Source.BODY, unit=Unit.CHARACTERS),
        Block(source=Source.BODY, unit=Unit.WORDS),
    ),
    topic_features=16_000,
    company=0,
    promise=Promise(floor=0.985),
)
"""Seed sentences are short and clear, real tickets are not: hence the high floor (docs/decisions/0012), and no words by
their company: the model would be sure of a quarter less (docs/decisions/0040)."""
FAST_RECIPE: Final = Recipe(votes=False)
"""A third faster: sure messages are spared nearness, and no neighbours are asked (docs/decisions/0056)."""
_REVISION: Final = 7
"""Raised when this code learns something else from the same corpus, so that stored defaults are made anew."""
_DEFINITION_WEIGHT: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class Example:
    """One labelled message, and how much its label is worth."""

    title: str
    body: str
    label: str
    weight: float = 1.0
    """A ruling by a panel outweighs an operator's first choice; 1 is an accepted suggestion."""
    provenance: str = ""
    request_type: str = ""
    """What kind of request people said it is; empty where nobody did."""
    department: str = ""
    """Who leads by people's decision; empty where nobody decided."""
    department_weight: float = 1.0
    assist: tuple[str, ...] = ()
    """Who helped, where a department is known."""


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """A trained model with what it was made from, and its answers about unseen examples."""

    fit: Fit
    made_from: Mapping[str, Any] = field(default_factory=dict)
    truth: Sequence[str] = ()
    """The label of each example, in the order of `fit.unseen`."""

    @property
    def model(self) -> Model:
        """The model itself."""
        return self.fit.model


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Whether a candidate may replace the incumbent."""

    better: bool
    candidate_f1: float
    incumbent_f1: float
    worse: Mapping[str, tuple[float, float]]
    """Labels in which the candidate lost more than the margin: (incumbent F1, candidate F1)."""
    reason: str


def default_key(corpus: Seeds) -> str:
    """Return a short name for the model that this corpus and this program make."""
    variants = (seed_corpus.FOLDER.parent / "lexicons" / "variants.toml").read_bytes()
    parts = json.dumps([corpus.digest, store.FORMAT, _REVISION, repr(DEFAULT_RECIPE)]).encode()
    return hashlib.sha256(parts + variants).hexdigest()[:12]


def train_default(corpus: Seeds, folder: Path) -> None:
    """Train the zero-history model from the seed corpus and store it."""
    learnt = learn_default(corpus)
    store.save(learnt.model, folder, made_from=learnt.made_from)


def learn_default(
    corpus: Seeds,
    extra: Sequence[Example] = (),
    *,
    recipe: Recipe = DEFAULT_RECIPE,
    usual: departments.Usual | None = None,
) -> Learnt:
    """Learn category, first-level label and request type from the corpus and from people's corrections.

    A correction's label is a leaf code; one that the corpus does not know becomes a new category, which works
    from its first examples on. Where it also says a request type, that is learnt as well, and, with the `usual`
    departments of a city's categories, who leads and who helps (classifier.departments). The label may be empty
    where only the department is known.
    """
    messages: list[Fields] = []
    categories: list[str | None] = []
    types: list[str | None] = []
    weights: list[float] = []
    for leaf in corpus.leaves:
        messages.append(fields(leaf.name, f"{'，'.join(leaf.path)}。{leaf.definition}"))
        categories.append(leaf.code)
        types.append(None)
        weights.append(_DEFINITION_WEIGHT)
        for one in leaf.sentences:
            messages.append(fields(one.title, one.body))
            categories.append(leaf.code)
            types.append(one.request_type)
            weights.append(1.0)
    for example in extra:
        messages.append(fields(example.title, example.body))
        categories.append(example.label or None)
        types.append(example.request_type or None)
        weights.append(example.weight)
    known = corpus.by_code
    firsts: list[str | None] = [known[code].first if code in known else None for code in map(str, categories)]
    tasks = []
    branches = {code: first for code, first in zip(categories, firsts, strict=True) if code and first is not None}
    if len({first for first in firsts if first is not None}) > 1:
        tasks.append(Task(name=FIRST, labels=firsts, weights=weights))
    tasks.append(
        Task(
            name=CATEGORY,
            labels=categories,
            weights=weights,
            trunk=FIRST if tasks else "",
            branches=branches if tasks else {},
        )
    )
    if len({one for one in types if one}) > 1:
        tasks.append(Task(name=REQUEST_TYPE, labels=types, weights=weights))
    tasks += _department_tasks(len(messages) - len(extra), extra) if usual else []
    fitted = models.fit(messages, tasks, recipe=recipe)
    return Learnt(
        fit=fitted,
        made_from={
            **_departments_made_from(fitted, tasks, extra, usual or {}),
            "seed_leaves": len(corpus.leaves),
            "seed_sentences": sum(len(leaf.sentences) for leaf in corpus.leaves),
            "seed_digest": corpus.digest[:12],
            "corrections": sum(bool(one.label) for one in extra),
            "request_types": sum(bool(one.request_type) for one in extra),
        },
    )


def fit(
    examples: Iterable[Example],
    *,
    seed: bool = True,
    unlabelled: Sequence[tuple[str, str]] = (),
    recipe: Recipe | None = None,
    corpus: Seeds | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Learnt:
    """Learn one task, `label`, from labelled messages.

    With `seed`, sentences of the seed corpus are added: under their leaf code when the examples use leaf
    codes, else under their first-level label when the examples use those. Sentences of leaves that belong to
    none of the labels then teach the reject class.
    """
    given = list(examples)
    labels = {example.label for example in given}
    if not given:
        raise TooFewExamples("没有任何训练样本。")
    added = _seed_examples(corpus or seed_corpus.load(), labels) if seed else []
    if len(labels | {one.label for one in added}) < 2:  # noqa: PLR2004 - one label says nothing
        raise TooFewExamples(f"训练样本只有一个类别“{given[0].label}”，至少需要两个。")
    every = [*given, *added]
    task = Task(
        name=LABEL,
        labels=[one.label for one in every],
        weights=[one.weight for one in every],
        judged=[True] * len(given) + [one.label == NONE for one in added],
    )
    fitted = models.fit(
        [fields(one.title, one.body) for one in every],
        [task],
        recipe=recipe,
        unlabelled=[fields(title, body) for title, body in unlabelled],
        progress=progress,
    )
    return Learnt(
        fit=fitted,
        truth=[one.label for one in every],
        made_from={
            "examples": len(given),
            "seed_sentences": len(added),
            "unlabelled": len(unlabelled),
            "labels": sorted(labels),
        },
    )


def own_figures(learnt: Learnt, task: str = LABEL) -> evaluation.Figures:
    """Measure a model on its own given examples, each judged as if it and its near-copies were not known."""
    head = learnt.model.heads[task]
    margins = learnt.fit.unseen[task]
    rows = np.flatnonzero(~np.isnan(margins[:, 0]))[: learnt.made_from.get("examples", len(margins))]
    votes = learnt.fit.votes.get(task)
    said = head.judgement(margins[rows], learnt.fit.sizes[rows], votes=None if votes is None else votes[rows])
    return evaluation.figures(head.labels, said.probabilities, [learnt.truth[at] for at in rows], dispatched=said.sure)


def task_for(model: Model, labels: Iterable[str]) -> str:
    """Return the task under which a model speaks about these labels: its only one, first level, or category."""
    if LABEL in model.heads:
        return LABEL
    return FIRST if FIRST in model.heads and set(labels) <= set(model.heads[FIRST].labels) else CATEGORY


def compare(candidate: Model, incumbent: Model, holdout: Sequence[Example], *, margin: float = 0.02) -> Comparison:
    """Tell whether the candidate may be promoted: not worse overall, and in no class by more than the margin."""
    if not holdout:
        return Comparison(
            better=False, candidate_f1=0.0, incumbent_f1=0.0, worse={}, reason="没有可供比较的留存样本，不予启用。"
        )
    messages = [fields(one.title, one.body) for one in holdout]
    truth = [one.label for one in holdout]
    new = candidate.judge(task_for(candidate, truth), candidate.vectors(messages)).best()
    old = incumbent.judge(task_for(incumbent, truth), incumbent.vectors(messages)).best()
    labels = sorted(set(truth))
    new_f1, old_f1 = evaluation.f1_by_label(truth, new, labels), evaluation.f1_by_label(truth, old, labels)
    new_mean, old_mean = float(np.mean(list(new_f1.values()))), float(np.mean(list(old_f1.values())))
    worse = {label: (old_f1[label], new_f1[label]) for label in labels if new_f1[label] < old_f1[label] - margin}
    if new_mean < old_mean:
        reason = f"总体宏平均 F1 由 {old_mean:.3f} 降为 {new_mean:.3f}，不予启用。"
    elif worse:
        reason = "以下类别下降超过允许幅度，不予启用：" + "、".join(
            f"{label}（{before:.3f}→{after:.3f}）" for label, (before, after) in worse.items()
        )
    else:
        reason = f"总体宏平均 F1 {old_mean:.3f}→{new_mean:.3f}，各类别下降均不超过 {margin:.3f}，可以启用。"
    return Comparison(
        better=new_mean >= old_mean and not worse,
        candidate_f1=new_mean,
        incumbent_f1=old_mean,
        worse=worse,
        reason=reason,
    )


def _department_tasks(before: int, extra: Sequence[Example]) -> list[Task]:
    """Return what is to be learnt of departments from decisions; `before` sentences of the corpus say nothing."""
    weights = [1.0] * before + [one.department_weight for one in extra]
    nothing: list[Sequence[str] | None] = [None] * before
    led = nothing + [(one.department,) if one.department else None for one in extra]
    helped = nothing + [one.assist if one.department else None for one in extra]
    found = [departments.task(departments.LEAD, led, weights), departments.task(departments.ASSIST, helped, weights)]
    return [one for one in found if one is not None]


def _departments_made_from(
    fitted: Fit, tasks: Sequence[Task], extra: Sequence[Example], usual: departments.Usual
) -> dict[str, Any]:
    """Return how the voices of decisions and of categories are pooled, fitted on messages that neither had seen."""
    led = next((one for one in tasks if one.name == departments.LEAD), None)
    if led is None:
        return {}
    unseen, heads = fitted.unseen, fitted.model.heads
    rows = np.flatnonzero(~np.isnan(unseen[CATEGORY][:, 0]) & ~np.isnan(unseen[departments.LEAD][:, 0]))
    sizes = fitted.sizes[rows]
    trunk = None
    if heads[CATEGORY].trunk:
        trunk = heads[FIRST].judgement(np.nan_to_num(unseen[FIRST][rows]), sizes)
    start = len(led.labels) - len(extra)
    mine, its = departments.fit(
        heads[CATEGORY].judgement(unseen[CATEGORY][rows], sizes, trunk=trunk),
        heads[departments.LEAD].judgement(unseen[departments.LEAD][rows], sizes),
        [extra[at - start].department for at in rows.tolist()],
        usual,
    )
    count = Counter(label for label in led.labels if label)
    pool = departments.Pool(learnt=mine, category=its, decisions=dict(sorted(count.items())))
    helped = sum(bool(one.assist and one.department) for one in extra)
    return {"departments": {**pool.as_json(), "helped": helped if departments.ASSIST in heads else 0}}


def _seed_examples(corpus: Seeds, labels: set[str]) -> list[Example]:
    """Return seed sentences under those of the labels that they can speak for."""
    codes = {leaf.code for leaf in corpus.leaves}
    firsts = {leaf.first for leaf in corpus.leaves if leaf.first}
    if labels & codes:
        return [
            Example(title=one.title, body=one.body, label=leaf.code, weight=0.5, provenance="seed")
            for leaf in corpus.leaves
            for one in leaf.sentences
        ]
    if labels & firsts:
        return [
            Example(title=one.title, body=one.body, label=leaf.first, weight=0.5, provenance="seed")
            for leaf in corpus.leaves
            if leaf.first in labels or not leaf.first
            for one in leaf.sentences
        ]
    return []
