"""One door for the product: a text in, everything that we have to say about it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from classifier import departments, explanations, features, learning, seeds, store, text
from classifier.explanations import Highlight
from classifier.model import LIKELY, NONE, Judgement, Model
from classifier.newcomers import MOST, Newcomer, Newcomers
from classifier.seeds import Seeds
from classifier.signals import Flag, PersonalSpan, PlaceFound, Sentiment, Signals, Urgency

_FEW_CHARACTERS: Final = 4
_TOP: Final = 3


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One label with the calibrated chance that it is right."""

    label: str
    name: str
    """The label in words: the path of a category, the name of a type or department."""
    probability: float


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is said about one task: up to three candidates, likeliest first."""

    candidates: tuple[Candidate, ...] = ()
    abstained: bool = True
    reason: str = ""
    """Why nobody should act on it without a person; empty when not abstained."""
    dispatchable: bool = False
    """Whether the first candidate reaches the threshold of its class."""

    @property
    def best(self) -> Candidate | None:
        """The likeliest candidate, also when abstained."""
        return self.candidates[0] if self.candidates else None


@dataclass(frozen=True, kw_only=True)
class Departments:
    """Who should answer (lead) and who should help (assist), as codes with their share of the chance."""

    lead: tuple[Candidate, ...] = ()
    assist: tuple[Candidate, ...] = ()
    voices: Mapping[str, departments.Voices] = field(default_factory=dict)
    """For each lead why it is proposed, where decisions about departments were learnt from; else empty."""


@dataclass(frozen=True, kw_only=True)
class Suggestions:
    """Everything that we have to say about one text."""

    model_version: str
    category: Answer = field(default_factory=Answer)
    first: Answer = field(default_factory=Answer)
    request_type: Answer = field(default_factory=Answer)
    departments: Departments = field(default_factory=Departments)
    urgency: Urgency = field(default_factory=Urgency)
    risks: tuple[Flag, ...] = ()
    places: tuple[PlaceFound, ...] = ()
    personal: tuple[PersonalSpan, ...] = ()
    sentiment: Sentiment = field(default_factory=Sentiment)
    highlights: tuple[Highlight, ...] = ()
    """The words that moved the category most, with offsets in the original title or body."""
    abstained: bool = True
    """Whether the category is left to people."""
    reasons: tuple[str, ...] = ()


class Suggester:
    """Answers about one text at a time; holds a model, the category tree and the word lists."""

    def __init__(
        self, model: Model | None, *, version: str, corpus: Seeds | None = None, signals: Signals | None = None
    ) -> None:
        """Take a model, or None when it could not be loaded: word lists still answer, categories abstain."""
        self.model = model
        self.version = version
        self._corpus = corpus or seeds.load()
        self._signals = signals or Signals.shipped()

    @classmethod
    def load(cls, folder: Path, *, signals: Signals | None = None) -> Suggester:
        """Read a stored model; raises ModelMissing, ModelDamaged or ModelTooNew."""
        model, card = store.load(folder)
        suggester = cls(model, version=card.version, signals=signals)
        suggester.made_from = card.made_from
        return suggester

    @classmethod
    def without_model(cls, reason: str, *, signals: Signals | None = None) -> Suggester:
        """Return a suggester that abstains from every category and says why."""
        suggester = cls(None, version="", signals=signals)
        suggester._missing = reason
        return suggester

    _missing: str = "没有可用的分类模型。"
    _newcomers: Newcomers | None = None
    made_from: Mapping[str, Any] = MappingProxyType({})
    """What the stored model was made from (store.Card)."""

    def with_signals(self, signals: Signals) -> Suggester:
        """Return a suggester of the same model that reads other word lists."""
        other = Suggester(self.model, version=self.version, corpus=self._corpus, signals=signals)
        other._missing, other.made_from = self._missing, self.made_from
        other._newcomers = self._newcomers
        return other

    def with_city(self, corpus: Seeds, known: Sequence[Newcomer]) -> Suggester:
        """Return a suggester that names categories as the city does and knows those that the model has not learnt."""
        other = Suggester(self.model, version=self.version, corpus=corpus, signals=self._signals)
        other._missing, other.made_from = self._missing, self.made_from
        if self.model is not None and learning.CATEGORY in self.model.heads:
            learnt = set(self.model.heads[learning.CATEGORY].labels)
            new = [one for one in known if one.code not in learnt]
            other._newcomers = Newcomers(new) if new else None
        return other

    def has_learnt(self, code: str) -> bool:
        """Tell whether the model itself knows this category, not only by its definition and first examples."""
        return self.model is not None and not self._is_new(code)

    def suggest(self, title: str, body: str, *, at: datetime | None = None) -> Suggestions:
        """Say everything about one text; never raises for its content, however odd."""
        signals = self._signals.read(title, body, at=at)
        message = features.fields(title, body)
        reasons = []
        if len(title) + len(body) > text.MOST_CHARACTERS:
            reasons.append(f"内容过长，只分析了前 {text.MOST_CHARACTERS} 个字符。")
        refusal = self._refusal(message)
        if refusal or self.model is None:
            reasons.append(refusal or self._missing)
            return Suggestions(
                model_version=self.version,
                urgency=signals.urgency,
                risks=signals.risks,
                places=signals.places,
                personal=signals.personal,
                sentiment=signals.sentiment,
                reasons=tuple(reasons),
            )
        rows = self.model.vectors([message])
        answered = self.model.judge_all(rows)
        answers = {task: self._answer(task, judged) for task, judged in answered.items()}
        category = self._with_newcomers(
            answers.get(learning.CATEGORY, answers.get(learning.LABEL, Answer())), title, body
        )
        if category.abstained and category.reason:
            reasons.append(category.reason)
        task = learning.CATEGORY if learning.CATEGORY in self.model.heads else learning.LABEL
        highlights: tuple[Highlight, ...] = ()
        if category.best and task in self.model.heads and category.best.label in self.model.heads[task].labels:
            highlights = explanations.highlights(
                self.model, task, category.best.label, title=title, body=body, row=rows, most=8
            )
        return Suggestions(
            model_version=self.version,
            category=category,
            first=answers.get(learning.FIRST, Answer()),
            request_type=answers.get(learning.REQUEST_TYPE, Answer()),
            departments=self._departments(category, answered),
            urgency=signals.urgency.at_least(self._usual_urgency(category)),
            risks=signals.risks,
            places=signals.places,
            personal=signals.personal,
            sentiment=signals.sentiment,
            highlights=highlights,
            abstained=category.abstained,
            reasons=tuple(reasons),
        )

    def _with_newcomers(self, answer: Answer, title: str, body: str) -> Answer:
        """Give categories that the model has not learnt their share; none of them goes out by itself."""
        chances = self._newcomers.chances(title, body) if self._newcomers is not None else {}
        if not chances:
            return answer
        # One text has one category: what the newcomers take, the others have less.
        total = sum(chances.values())
        taken = min(MOST, max(chances.values()))
        new = [
            Candidate(label=code, name=self._name(learning.CATEGORY, code), probability=taken * chance / total)
            for code, chance in chances.items()
        ]
        old = [
            Candidate(label=one.label, name=one.name, probability=one.probability * (1 - taken))
            for one in answer.candidates
        ]
        ranked = tuple(sorted([*new, *old], key=lambda one: -one.probability)[:_TOP])
        first_is_new = ranked[0].label in chances
        if not first_is_new:
            return Answer(
                candidates=ranked, abstained=answer.abstained, reason=answer.reason, dispatchable=answer.dispatchable
            )
        likely = ranked[0].probability >= LIKELY
        return Answer(
            candidates=ranked,
            abstained=not likely,
            reason="" if likely else "新增类别，模型尚未学过，按定义和已有样本判断，请人工确认。",
        )

    def _refusal(self, message: features.Fields) -> str:
        meaningful = text.words(message.title + message.body) if len(message.title + message.body) < 200 else ["…"]  # noqa: PLR2004 - a long text has words
        if sum(map(len, meaningful)) < 1:
            return "没有可供判断的文字。"
        if len(message.body) < _FEW_CHARACTERS and len(message.title) < _FEW_CHARACTERS:
            return "内容太短，无法判断。"
        return ""

    def _answer(self, task: str, judged: Judgement) -> Answer:
        order = judged.order()[0]
        chance = judged.probabilities[0]
        candidates = tuple(
            Candidate(label=judged.labels[at], name=self._name(task, judged.labels[at]), probability=float(chance[at]))
            for at in order[:_TOP]
            if judged.labels[at] != NONE
        )
        reason = ""
        if judged.outside[0]:
            reason = "内容可能不属于任何已知类别，请人工判断。"
        elif not candidates or candidates[0].probability < LIKELY:
            reason = "把握不足，请人工从候选中选择。"
        return Answer(
            candidates=candidates,
            abstained=bool(reason),
            reason=reason,
            dispatchable=bool(judged.sure[0]) and not reason,
        )

    def _name(self, task: str, label: str) -> str:
        leaf = self._corpus.by_code.get(label) if task in {learning.CATEGORY, learning.LABEL} else None
        return " / ".join(leaf.path) if leaf else label

    def _usual_urgency(self, category: Answer) -> str:
        leaf = self._corpus.by_code.get(category.best.label) if category.best else None
        sure_enough = category.best is not None and category.best.probability >= LIKELY
        return leaf.urgency if leaf and sure_enough else ""

    def _departments(self, category: Answer, answered: Mapping[str, Judgement]) -> Departments:
        """Pool what the candidate categories say of departments with what people decided about departments."""
        usual = {
            one.label: (leaf.lead, leaf.assist)
            for one in category.candidates
            if (leaf := self._corpus.by_code.get(one.label)) is not None
        }
        leads, helpers = departments.by_category([(one.label, one.probability) for one in category.candidates], usual)
        pool = departments.Pool.of(self.made_from)
        # A category that the model has not learnt yet is one whose departments it has not learnt either.
        learnt = {} if category.best is not None and self._is_new(category.best.label) else answered
        led = departments.chances(learnt[departments.LEAD], 0) if departments.LEAD in learnt else {}
        helped = departments.chances(learnt[departments.ASSIST], 0) if departments.ASSIST in learnt else {}
        every = departments.pooled(leads, led, pool)
        ranked = sorted(every.items(), key=lambda pair: -pair[1])[:_TOP]
        first = ranked[0][0] if ranked else ""
        assists = departments.helped(helpers, helped)
        helping = sorted(((code, p) for code, p in assists.items() if code != first), key=lambda pair: -pair[1])
        return Departments(
            lead=_candidates(ranked),
            assist=_candidates(helping[:_TOP]),
            voices={code: departments.voices(code, leads, led, pool) for code, _ in ranked}
            if led and not pool.follows
            else {},
        )

    def _is_new(self, code: str) -> bool:
        heads = self.model.heads if self.model is not None else {}
        return learning.CATEGORY in heads and code not in heads[learning.CATEGORY].labels


def _candidates(pairs: list[tuple[str, float]]) -> tuple[Candidate, ...]:
    return tuple(Candidate(label=code, name=code, probability=float(np.clip(chance, 0, 1))) for code, chance in pairs)


def labels_of(answers: Mapping[str, Answer]) -> dict[str, str]:
    """Return the best label of each answer, for those that have one."""
    return {task: answer.best.label for task, answer in answers.items() if answer.best}
