"""May a freshly trained model take the place of the one in use? Pure: two sets of scores in, a sentence out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

#: Fewer held-out messages than this compare nothing.
FEWEST_FROZEN: Final = 40
#: Fewer messages of the newest weeks than this are shown, not judged by.
FEWEST_NEWEST: Final = 20
#: A class with fewer held-out messages is judged only together with the others: one message would decide.
FEWEST_OF_A_CLASS: Final = 8


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How a model did on one set of messages: for each label how many there were, and its F1."""

    messages: int
    right: int
    support: Mapping[str, int]
    f1: Mapping[str, float]

    @property
    def macro(self) -> float:
        """Mean F1 over the labels that occur."""
        return sum(self.f1.values()) / len(self.f1) if self.f1 else 0.0

    @property
    def accuracy(self) -> float:
        """Share of messages that were told right."""
        return self.right / self.messages if self.messages else 0.0


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether the candidate may be promoted, and why, in words for the page."""

    passed: bool
    reason: str
    #: Label -> (F1 of the model in use, F1 of the candidate), where it lost more than the margin.
    worse: Mapping[str, tuple[float, float]]


def scores(truth: Sequence[str], said: Sequence[str]) -> Scores:
    """Score answers against the truth; a label that a model does not know is a miss."""
    support = Counter(truth)
    told = Counter(said)
    hits = Counter(one for one, other in zip(truth, said, strict=True) if one == other)
    return Scores(
        messages=len(truth),
        right=hits.total(),
        support=dict(support),
        f1={label: 2 * hits[label] / (support[label] + told[label]) for label in sorted(support)},
    )


def verdict(
    *,
    frozen: tuple[Scores, Scores],
    newest: tuple[Scores, Scores],
    margin: float,
    names: Mapping[str, str] | None = None,
    slack: float = 0.0,
) -> Verdict:
    """Compare candidate and incumbent, in this order, on the frozen hold-out and on the newest weeks.

    Passed when the candidate is not worse overall on either and in no class of either by more than the margin;
    a set or class that is too small to tell is not judged, and the frozen set must be large enough. With `slack` the
    mean may fall by so much.
    """
    names = names or {}
    candidate, incumbent = frozen
    if candidate.messages < FEWEST_FROZEN:
        return Verdict(
            passed=False,
            reason=f"留存样本只有 {candidate.messages} 件，少于 {FEWEST_FROZEN} 件，无法比较，不予启用。",
            worse={},
        )
    judged = [("留存样本", candidate, incumbent)]
    if newest[0].messages >= FEWEST_NEWEST:
        judged.append(("最近样本", *newest))
    problems: list[str] = []
    worse: dict[str, tuple[float, float]] = {}
    for words, new, old in judged:
        if new.macro < old.macro - slack:
            problems.append(
                f"{words}总体变差：宏平均 F1 {old.macro:.3f}→{new.macro:.3f}，"
                f"准确率 {old.accuracy:.1%}→{new.accuracy:.1%}"
            )
        lost = {
            label: (old.f1[label], new.f1[label])
            for label, count in new.support.items()
            if count >= FEWEST_OF_A_CLASS and old.f1[label] - new.f1[label] > margin
        }
        if lost:
            told = "、".join(f"{names.get(label, label)} {was:.2f}→{now:.2f}" for label, (was, now) in lost.items())
            problems.append(f"{words}中下降超过 {margin:.2f} 的类别：{told}")
        worse |= lost
    if problems:
        return Verdict(passed=False, reason="；".join(problems) + "。不予启用。", worse=worse)
    told = "；".join(
        f"{words} {new.messages} 件宏平均 F1 {old.macro:.3f}→{new.macro:.3f}" for words, new, old in judged
    )
    return Verdict(passed=True, reason=f"{told}；各类别下降均不超过 {margin:.2f}。", worse={})


def together(about: Verdict, others: Mapping[str, Verdict]) -> Verdict:
    """Return the verdict on a model of which more than categories was compared, by name; all must pass."""
    told = [f"{name}：{one.reason}" for name, one in others.items()]
    failed = [f"{name}：{one.reason}" for name, one in others.items() if not one.passed]
    passed = about.passed and not failed
    parts = [about.reason, *told] if passed else [*([] if about.passed else [about.reason]), *failed]
    worse = {label: pair for one in (about, *others.values()) for label, pair in one.worse.items()}
    return Verdict(passed=passed, reason="".join(parts), worse=worse)
