"""Why a label: the words of the original text that moved it, with their offsets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from classifier import text
from classifier.features import Source, Unit, Vocabulary, n_grams
from classifier.model import NONE, Model

_LEAST_SHARE: Final = 0.03
_RIVALS: Final = 5
"""A label is explained against the likeliest others only."""
_READ: Final = 1_200
"""Characters of the body in which words are shown; people tell the matter first."""


@dataclass(frozen=True, kw_only=True)
class Highlight:
    """A stretch of the original title or body, and how much it spoke for the label (share of all support)."""

    field: str
    start: int
    end: int
    text: str
    weight: float


def highlights(
    model: Model,
    task: str,
    label: str,
    *,
    title: str,
    body: str,
    row: Any = None,  # noqa: ANN401 - a scipy matrix
    most: int = 10,
) -> tuple[Highlight, ...]:
    """Return the words that spoke most for a label against the others, strongest first.

    Each feature's contribution is shared among the characters of its occurrences; a word's weight is the sum
    over its characters, and the words of normal text are mapped back to where they stand in the original.
    """
    head = model.heads[task]
    column = head.labels.index(label)
    plain = {"title": text.aligned(title), "body": text.aligned(body[:_READ])}
    if not plain["body"].text:
        plain["body"] = plain["title"]
    if row is None:
        from classifier.features import fields

        row = model.vectors([fields(title, body)])
    chance = model.judge(task, row).probabilities[0]
    nearest = np.argsort(-chance, kind="stable")[: _RIVALS + 2].tolist()
    rivals = [at for at in nearest if at != column and head.labels[at] != NONE][:_RIVALS]
    share = chance[rivals] / max(float(chance[rivals].sum()), 1e-12)
    at = row.indices
    against = head.weights[np.ix_(at, rivals)] @ share.astype(np.float32)
    moved = row.data * (head.weights[at, column] - against)
    effect = dict(zip(at.tolist(), moved.tolist(), strict=True))
    heat = {name: np.zeros(len(one.text)) for name, one in plain.items()}
    first = 0
    for known in model.vectoriser.vocabularies:
        name = "title" if known.block.source is Source.TITLE else "body"
        if name == "title" and not plain["title"].text:
            first += len(known)
            continue  # The opening of the body stood in for the title; its share is not shown.
        shown = plain[name].text[:60] if known.block.source is Source.LEAD else plain[name].text
        if known.block.unit is Unit.WORDS:
            _heat_words(heat[name], shown, known, effect=effect, first=first)
        else:
            _heat_characters(heat[name], shown, known, effect=effect, first=first)
        first += len(known)
    return _words(plain, heat, title=title, body=body, most=most)


def _heat_words(
    heat: NDArray[np.float64], shown: str, known: Vocabulary, *, effect: dict[int, float], first: int
) -> None:
    spots: dict[int, list[tuple[int, int]]] = {}
    at = 0
    for piece in text.cut(shown):
        number = known.number(piece)
        if number is not None and number + first in effect:
            spots.setdefault(number + first, []).append((at, at + len(piece)))
        at += len(piece)
    for number, where in spots.items():
        value = effect[number] / len(where)
        for start, end in where:
            heat[start:end] += value / (end - start)


def _heat_characters(
    heat: NDArray[np.float64], shown: str, known: Vocabulary, *, effect: dict[int, float], first: int
) -> None:
    for length in range(1, known.block.longest + 1):
        if len(shown) < length:
            return
        keys = n_grams([shown], length)[0][-(len(shown) - length + 1) :]
        numbers = known.find(keys)
        there = np.flatnonzero(numbers >= 0)
        if not len(there):
            continue
        values = np.array([effect.get(int(number) + first, 0.0) for number in numbers[there]])
        _, back, count = np.unique(numbers[there], return_inverse=True, return_counts=True)
        values /= count[back] * length
        for step in range(length):
            np.add.at(heat, there + step, values)


def _words(
    plain: dict[str, text.Aligned], heat: dict[str, NDArray[np.float64]], *, title: str, body: str, most: int
) -> tuple[Highlight, ...]:
    found: list[tuple[float, str, int, int]] = []
    original = {"title": title, "body": body if body.strip() else title}
    for name, one in plain.items():
        if name == "body" and plain["body"] is plain["title"]:
            continue
        sums = np.concatenate([[0.0], np.cumsum(heat[name])]).tolist()
        start = 0
        for piece in text.cut(one.text):
            value, end = sums[start + len(piece)] - sums[start], start + len(piece)
            if value > 0 and text.is_word(piece):
                found.append((value, name, one.starts[start], one.ends[end - 1]))
            start = end
    total = sum(one[0] for one in found) or 1.0
    found.sort(key=lambda one: -one[0])
    return tuple(
        Highlight(field=name, start=begin, end=end, text=original[name][begin:end], weight=value / total)
        for at, (value, name, begin, end) in enumerate(found[:most])
        if value / total >= _LEAST_SHARE or at == 0
    )
