"""The model card: how the model does in use, counted from suggestions that people decided later. Pure.

Everything here is plain numbers by hand-countable definitions, so that the page, the download and the tests agree.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from routing.learning.selective import Trial

BINS: Final = 10
CURVE_POINTS: Final = 40
#: Labels with fewer messages than this have intervals too wide to read; they stand in the download.
FEWEST_SHOWN: Final = 5
_Z: Final = 1.96
#: Upper edges of the lengths of texts, in characters, by which inputs are compared.
LENGTHS: Final = (20, 50, 100, 200, 400, 1_000)
#: A rule is proposed only for what was corrected at least so often.
FEWEST_CORRECTIONS: Final = 3


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One suggestion about a category that people decided later."""

    day: date
    #: (code, probability), likeliest first.
    candidates: tuple[tuple[str, float], ...]
    truth: str
    length: int
    channel: str
    title: str = ""

    @property
    def said(self) -> str:
        """The category that the model named first."""
        return self.candidates[0][0]

    @property
    def sure(self) -> float:
        """How sure it was."""
        return self.candidates[0][1]

    @property
    def right(self) -> bool:
        """Whether people decided the same."""
        return self.said == self.truth


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share with its 95 % interval (Wilson)."""

    hits: int
    of: int
    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class LabelLine:
    """How one category fares."""

    label: str
    support: int
    precision: Share
    recall: Share


@dataclass(frozen=True, kw_only=True)
class Bin:
    """One stretch of confidence: how sure the model was, and how often it was right."""

    low: float
    high: float
    count: int
    sure: float
    right: Share


@dataclass(frozen=True, kw_only=True)
class Point:
    """What would go out by itself at a threshold, and how much of it would be right."""

    threshold: float
    coverage: float
    precision: float


@dataclass(frozen=True, kw_only=True)
class Week:
    """One week against the weeks before it."""

    start: date
    messages: int
    right: Share
    sure: float
    #: Distance of lengths and channels from those of all weeks before, 0 (the same) to 1; None in the first week.
    input_shift: float | None
    #: The same of what people decided.
    label_shift: float | None


@dataclass(frozen=True, kw_only=True)
class Correction:
    """What people corrected, how often, and which rule would have helped."""

    said: str
    truth: str
    count: int
    of: int
    sure: float
    #: A threshold for the category `said` that would have left these to people, and what it would have cost.
    threshold: float | None
    spared: int
    withheld: int
    #: A word in the titles of what was corrected that is rare elsewhere.
    word: str
    word_hits: int
    word_elsewhere: int


@dataclass(frozen=True, kw_only=True)
class Card:
    """Everything that the page shows."""

    messages: int
    accuracy: Share
    top2: Share
    top3: Share
    calibration_error: float
    labels: tuple[LabelLine, ...]
    groups: tuple[str, ...]
    #: truth group -> said group -> count
    confusion: Mapping[str, Mapping[str, int]]
    reliability: tuple[Bin, ...]
    curve: tuple[Point, ...]
    weeks: tuple[Week, ...]
    corrections: tuple[Correction, ...]


@dataclass(frozen=True, kw_only=True)
class DepartmentCard:
    """How the model does in naming who leads: what the promise is about."""

    messages: int
    accuracy: Share
    top3: Share
    calibration_error: float
    lines: tuple[LabelLine, ...]


def department_card(judged: Sequence[Judged]) -> DepartmentCard:
    """Count how suggestions of a lead fared."""
    total = len(judged)
    bins = reliability([(one.sure, one.right) for one in judged])
    return DepartmentCard(
        messages=total,
        accuracy=share(sum(one.right for one in judged), total),
        top3=share(sum(one.truth in {code for code, _ in one.candidates[:3]} for one in judged), total),
        calibration_error=calibration_error(bins, total),
        lines=label_lines(judged),
    )


def calibration_error(bins: Sequence[Bin], total: int) -> float:
    """Return the mean distance between how sure the model was and how often it was right."""
    return sum(one.count * abs(one.sure - one.right.value) for one in bins) / max(1, total)


def share(hits: int, of: int) -> Share:
    """Return a share with its Wilson interval; 0 to 1 when nothing was counted."""
    if of == 0:
        return Share(hits=0, of=0, value=0.0, low=0.0, high=1.0)
    value = hits / of
    middle = (value + _Z * _Z / (2 * of)) / (1 + _Z * _Z / of)
    half = _Z / (1 + _Z * _Z / of) * math.sqrt(value * (1 - value) / of + _Z * _Z / (4 * of * of))
    return Share(hits=hits, of=of, value=value, low=max(0.0, middle - half), high=min(1.0, middle + half))


def card(
    judged: Sequence[Judged],
    trials: Sequence[Trial],
    *,
    group_of: Mapping[str, str],
    words_of: Callable[[str], Iterable[str]],
) -> Card:
    """Count everything; `group_of` names the first level of a category, `words_of` cuts a title into words.

    `trials` are suggestions of departments: the curve of what would go out by itself is drawn from them, because
    the promise is about departments.
    """
    bins = reliability([(one.sure, one.right) for one in judged])
    groups = Counter(group_of.get(one.truth, one.truth) for one in judged)
    confusion: dict[str, Counter[str]] = defaultdict(Counter)
    for one in judged:
        confusion[group_of.get(one.truth, one.truth)][group_of.get(one.said, one.said)] += 1
    said_only = {name for row in confusion.values() for name in row} - set(groups)
    total = len(judged)
    return Card(
        messages=total,
        accuracy=share(sum(one.right for one in judged), total),
        top2=share(sum(one.truth in {code for code, _ in one.candidates[:2]} for one in judged), total),
        top3=share(sum(one.truth in {code for code, _ in one.candidates[:3]} for one in judged), total),
        calibration_error=calibration_error(bins, total),
        labels=label_lines(judged),
        groups=(*[name for name, _ in groups.most_common()], *sorted(said_only)),
        confusion={truth: dict(row) for truth, row in confusion.items()},
        reliability=bins,
        curve=curve(trials),
        weeks=weeks(judged),
        corrections=corrections(judged, words_of=words_of),
    )


def label_lines(judged: Sequence[Judged]) -> tuple[LabelLine, ...]:
    """Return precision and recall of every category that was meant or said, the most frequent first."""
    meant = Counter(one.truth for one in judged)
    said = Counter(one.said for one in judged)
    hits = Counter(one.truth for one in judged if one.right)
    return tuple(
        LabelLine(
            label=label,
            support=meant[label],
            precision=share(hits[label], said[label]),
            recall=share(hits[label], meant[label]),
        )
        for label in sorted(set(meant) | set(said), key=lambda label: (-meant[label], label))
    )


def reliability(pairs: Sequence[tuple[float, bool]]) -> tuple[Bin, ...]:
    """Return the bins of confidence that are not empty."""
    inside: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for sure, right in pairs:
        inside[min(BINS - 1, int(sure * BINS))].append((sure, right))
    return tuple(
        Bin(
            low=number / BINS,
            high=(number + 1) / BINS,
            count=len(rows),
            sure=statistics.fmean(sure for sure, _ in rows),
            right=share(sum(right for _, right in rows), len(rows)),
        )
        for number, rows in sorted(inside.items())
    )


def curve(trials: Sequence[Trial]) -> tuple[Point, ...]:
    """Return what would go out and how much of it would be right, for falling thresholds."""
    ordered = sorted(trials, key=lambda one: -one.probability)
    if not ordered:
        return ()
    wanted = {max(1, round(len(ordered) * part / CURVE_POINTS)) for part in range(1, CURVE_POINTS + 1)}
    points, hits = [], 0
    for count, one in enumerate(ordered, 1):
        hits += one.right
        if count in wanted:
            points.append(Point(threshold=one.probability, coverage=count / len(ordered), precision=hits / count))
    return tuple(points)


def weeks(judged: Sequence[Judged], *, most: int = 16) -> tuple[Week, ...]:
    """Return the latest weeks in order, each against everything before it."""
    by_week: dict[date, list[Judged]] = defaultdict(list)
    for one in judged:
        by_week[one.day - timedelta(days=one.day.weekday())].append(one)
    inputs: Counter[str] = Counter()
    labels: Counter[str] = Counter()
    found = []
    for start in sorted(by_week):
        rows = by_week[start]
        looks = Counter(f"{one.channel}|{_length(one.length)}" for one in rows)
        meant = Counter(one.truth for one in rows)
        found.append(
            Week(
                start=start,
                messages=len(rows),
                right=share(sum(one.right for one in rows), len(rows)),
                sure=statistics.fmean(one.sure for one in rows),
                input_shift=distance(looks, inputs) if inputs else None,
                label_shift=distance(meant, labels) if labels else None,
            )
        )
        inputs += looks
        labels += meant
    return tuple(found[-most:])


def distance(one: Mapping[str, int], other: Mapping[str, int]) -> float:
    """Return how far two mixes lie apart: the share that would have to move (total variation), 0 to 1."""
    first, second = sum(one.values()), sum(other.values())
    if not first or not second:
        return 0.0
    return sum(abs(one.get(key, 0) / first - other.get(key, 0) / second) for key in set(one) | set(other)) / 2


def corrections(
    judged: Sequence[Judged], *, words_of: Callable[[str], Iterable[str]], most: int = 10
) -> tuple[Correction, ...]:
    """Return the commonest corrections, each with the rule that would have helped."""
    said: dict[str, list[Judged]] = defaultdict(list)
    pairs: dict[tuple[str, str], list[Judged]] = defaultdict(list)
    for one in judged:
        said[one.said].append(one)
        if not one.right:
            pairs[one.said, one.truth].append(one)
    ranked = sorted(pairs.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    return tuple(
        _correction((label, truth), rows, every=said[label], words_of=words_of)
        for (label, truth), rows in ranked[:most]
        if len(rows) >= FEWEST_CORRECTIONS
    )


def _correction(
    pair: tuple[str, str],
    wrong: Sequence[Judged],
    *,
    every: Sequence[Judged],
    words_of: Callable[[str], Iterable[str]],
) -> Correction:
    threshold, spared, withheld = _best_threshold(wrong, [one for one in every if one.right])
    inside = Counter(word for one in wrong for word in set(words_of(one.title)) if len(word) > 1)
    outside = Counter(word for one in every if one.right for word in set(words_of(one.title)))
    word = max(inside, key=lambda each: (inside[each] - 2 * outside[each], len(each), each), default="")
    telling = bool(word) and inside[word] >= FEWEST_CORRECTIONS and inside[word] > 2 * outside[word]
    return Correction(
        said=pair[0],
        truth=pair[1],
        count=len(wrong),
        of=len(every),
        sure=statistics.fmean(one.sure for one in wrong),
        threshold=threshold,
        spared=spared,
        withheld=withheld,
        word=word if telling else "",
        word_hits=inside[word] if telling else 0,
        word_elsewhere=outside[word] if telling else 0,
    )


def _best_threshold(wrong: Sequence[Judged], right: Sequence[Judged]) -> tuple[float | None, int, int]:
    """Return the threshold that spares most errors for the fewest right answers withheld, if it pays at all."""
    best: tuple[float | None, int, int] = (None, 0, 0)
    for edge in sorted({one.sure for one in wrong}):
        spared = sum(one.sure <= edge for one in wrong)
        withheld = sum(one.sure <= edge for one in right)
        if spared - withheld > best[1] - best[2]:
            best = (min(1.0, math.floor(edge * 100 + 1) / 100), spared, withheld)
    return best


def _length(characters: int) -> int:
    return next((edge for edge in LENGTHS if characters <= edge), LENGTHS[-1] + 1)
