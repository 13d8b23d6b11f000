"""Signals beside the labels: urgency, risk, place, personal data, sentiment; all by word lists one can read."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any, Final

import ahocorasick

from classifier import personal, text
from classifier.errors import BadSeed
from classifier.gazetteer import Gazetteer, PlaceFound
from classifier.personal import PersonalSpan

__all__ = ["Flag", "PersonalSpan", "PlaceFound", "Risk", "Sentiment", "Signals", "SignalsFound", "Urgency"]


class Risk(StrEnum):
    """What a leader on duty must hear of at once (domain.md 5.4 R1)."""

    LIFE = "danger_to_life"
    GROUP = "group_event"
    SELF_HARM = "self_harm"
    DANGEROUS_GOODS = "dangerous_goods"
    DISCIPLINE = "official_discipline"
    MINORS = "minors"


LEVELS: Final = ("一般", "紧急", "特急")
_MOST_HITS: Final = 500
"""Hits of one list read in one text; nobody says more, a flooding text might."""


@dataclass(frozen=True, kw_only=True)
class Flag:
    """A risk, and the words of the original text that raised it."""

    risk: Risk
    field: str
    start: int
    end: int
    text: str
    supposed: bool = False
    """Feared, not happening (如果起火、迟早会塌): shown, but no reason for the highest urgency."""


@dataclass(frozen=True, kw_only=True)
class Urgency:
    """How urgent a text sounds, and the words that say so."""

    level: str = "一般"
    words: tuple[str, ...] = ()

    def at_least(self, level: str) -> Urgency:
        """Return the higher of two levels, the words kept."""
        if level in LEVELS and LEVELS.index(level) > LEVELS.index(self.level):
            return Urgency(level=level, words=self.words)
        return self


@dataclass(frozen=True, kw_only=True)
class Sentiment:
    """From -1 (furious) to 1 (grateful); 0 is matter-of-fact."""

    score: float = 0.0
    words: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SignalsFound:
    """All signals of one text."""

    urgency: Urgency
    risks: tuple[Flag, ...]
    places: tuple[PlaceFound, ...]
    personal: tuple[PersonalSpan, ...]
    sentiment: Sentiment


@dataclass(frozen=True, kw_only=True)
class _Entry:
    kind: str
    """A risk, an urgency level, or a sentiment word."""
    unless: tuple[str, ...]
    """Not meant when one of these longer phrases stands around the hit (idioms)."""
    value: float = 1.0


@dataclass
class Lexicon:
    """Words of one subject, found in one pass; each hit is checked for idioms and negation."""

    name: str
    entries: Mapping[str, tuple[_Entry, ...]]
    negations: tuple[str, ...]
    deniable: frozenset[str]
    """Kinds that a negation right before the word takes back (没有人受伤)."""
    suppositions: tuple[str, ...] = ()
    """Words that make what follows within eight characters a fear, not a fact (一旦, 万一)."""
    _found: Any = field(init=False, repr=False)
    _longest: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Build the automaton."""
        self._found = ahocorasick.Automaton()
        for word in self.entries:
            self._found.add_word(word, word)
        self._longest = max(
            (len(one) for rows in self.entries.values() for row in rows for one in row.unless), default=0
        )
        if self.entries:
            self._found.make_automaton()

    def hits(self, plain: str) -> Iterable[tuple[int, int, _Entry, bool]]:
        """Yield start, end, entry and whether it is negated, for each hit that is no idiom."""
        if not self.entries:
            return
        for last, word in islice(self._found.iter(plain), _MOST_HITS):
            start, end = last - len(word) + 1, last + 1
            around = plain[max(0, start - self._longest) : end + self._longest]
            before = plain[max(0, start - 5) : start]
            for entry in self.entries[word]:
                if any(phrase in around for phrase in entry.unless):
                    continue
                yield start, end, entry, any(before.endswith(no) or no in before[-3:] for no in self.negations)

    def is_supposed(self, plain: str, start: int) -> bool:
        """Tell whether the words at `start` are feared rather than reported."""
        before = plain[max(0, start - 8) : start]
        return any(word in before for word in self.suppositions)


def read_lexicon(path: Path, *, extra: Sequence[str] = ()) -> Lexicon:
    """Read one word list; `[[group]]` with `kind`, `words`, optional `unless` (phrases) and `value`.

    `extra` are further words of a city, each `kind|word`.
    """
    try:
        page = tomllib.loads(path.read_text("utf-8"))
        return lexicon_of(page, name=path.stem, extra=extra)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError, OSError) as problem:
        raise BadSeed(f"词表 {path.name} 无法读取：{problem}") from problem


def lexicon_of(page: Mapping[str, Any], *, name: str, extra: Sequence[str] = ()) -> Lexicon:
    """Build a lexicon from its parsed page, for word lists that a city keeps in its database."""
    entries: dict[str, tuple[_Entry, ...]] = {}
    for group in page.get("group", ()):
        entry = _Entry(kind=group["kind"], unless=tuple(group.get("unless", ())), value=float(group.get("value", 1)))
        for word in group["words"]:
            entries[word] = (*entries.get(word, ()), entry)
    for line in extra:
        kind, word = line.split("|", 1)
        entries[word] = (*entries.get(word, ()), _Entry(kind=kind, unless=()))
    return Lexicon(
        name,
        entries,
        tuple(page.get("negations", ())),
        frozenset(page.get("deniable", ())),
        tuple(page.get("suppositions", ())),
    )


class Signals:
    """Reads all signals of a text; holds the word lists and the gazetteer."""

    def __init__(
        self, *, risks: Lexicon, urgency: Lexicon, sentiment: Lexicon, gazetteer: Gazetteer | None = None
    ) -> None:
        """Take the word lists; without a gazetteer no place is found."""
        self._risks, self._urgency, self._sentiment = risks, urgency, sentiment
        self._gazetteer = gazetteer or Gazetteer(())

    @classmethod
    def shipped(
        cls, *, gazetteer: Gazetteer | None = None, risks: Sequence[str] = (), urgency: Sequence[str] = ()
    ) -> Signals:
        """Return the signals of the word lists that ship, with a city's own words added (`kind|word`)."""
        of_risk, of_urgency, sentiment = _shipped()
        return cls(
            risks=_with(of_risk, "risks", risks),
            urgency=_with(of_urgency, "urgency", urgency),
            sentiment=sentiment,
            gazetteer=gazetteer,
        )

    def read(self, title: str, body: str, *, at: datetime | None = None) -> SignalsFound:
        """Return every signal of one text; `at` is when it was said (at night some needs are more urgent)."""
        fields = {"title": title[: text.MOST_CHARACTERS], "body": body[: text.MOST_CHARACTERS]}
        plain = {name: _light(value) for name, value in fields.items()}
        risks = self._flags(fields, plain)
        return SignalsFound(
            urgency=self._how_urgent(plain, risks, at),
            risks=risks,
            places=tuple(place for name, value in fields.items() for place in self._gazetteer.find(value, field=name)),
            personal=tuple(span for name, value in fields.items() for span in personal.find(value, field=name)),
            sentiment=self._mood(plain),
        )

    def _flags(self, fields: Mapping[str, str], plain: Mapping[str, str]) -> tuple[Flag, ...]:
        found: dict[tuple[str, str, int], Flag] = {}
        for name, value in plain.items():
            for start, end, entry, negated in self._risks.hits(value):
                if negated and entry.kind in self._risks.deniable:
                    continue
                flag = Flag(
                    risk=Risk(entry.kind),
                    field=name,
                    start=start,
                    end=end,
                    text=fields[name][start:end],
                    supposed=self._risks.is_supposed(value, start),
                )
                known = found.get((name, entry.kind, start))
                if known is None or known.end < end:
                    found[name, entry.kind, start] = flag
        return tuple(sorted(found.values(), key=lambda flag: (flag.field != "title", flag.start)))

    def _how_urgent(self, plain: Mapping[str, str], risks: Sequence[Flag], at: datetime | None) -> Urgency:
        level, words = 0, []
        for value in plain.values():
            for start, end, entry, negated in self._urgency.hits(value):
                if negated and entry.kind in self._urgency.deniable:
                    continue
                if entry.kind == "夜间紧急" and not (at and (at.hour >= _NIGHT or at.hour < _MORNING)):
                    continue
                if self._urgency.is_supposed(value, start):
                    continue
                level = max(level, LEVELS.index(entry.kind.removeprefix("夜间")))
                words.append(value[start:end])
        for flag in risks:
            if flag.risk in _ALWAYS_URGENT and not flag.supposed:
                level = max(level, _ALWAYS_URGENT[flag.risk])
                words.append(flag.text)
        return Urgency(level=LEVELS[level], words=tuple(dict.fromkeys(words)))

    def _mood(self, plain: Mapping[str, str]) -> Sentiment:
        total, words = 0.0, []
        for value in plain.values():
            for start, end, entry, negated in self._sentiment.hits(value):
                total += -0.5 * entry.value if negated else entry.value
                words.append(value[start:end])
            total -= 0.3 * min(5, len(_SHOUTING.findall(value)))
        return Sentiment(score=round(total / (abs(total) + 3), 3), words=tuple(dict.fromkeys(words)))


_NIGHT: Final = 22
_MORNING: Final = 6
_ALWAYS_URGENT: Final = {Risk.LIFE: 2, Risk.SELF_HARM: 2, Risk.DANGEROUS_GOODS: 2, Risk.GROUP: 1}
_SHOUTING: Final = re.compile(r"[!?]{3,}")


def _light(value: str) -> str:
    """Fold widths, case and traditional characters, nothing that would move an offset."""
    return text.folded(value)


def _with(shipped: Lexicon, name: str, extra: Sequence[str]) -> Lexicon:
    """Return a shipped list with a city's words; the shipped one itself where there are none."""
    if not extra:
        return shipped
    page = tomllib.loads((text.LEXICONS / f"{name}.toml").read_text("utf-8"))
    # Texts are read folded, so a word must be as well.
    return lexicon_of(page, name=name, extra=[f"{kind}|{text.folded(word)}" for kind, word in _pairs(extra)])


def _pairs(lines: Sequence[str]) -> list[tuple[str, str]]:
    return [(kind, word) for kind, _, word in (line.partition("|") for line in lines)]


@functools.cache
def _shipped() -> tuple[Lexicon, Lexicon, Lexicon]:
    return (
        read_lexicon(text.LEXICONS / "risks.toml"),
        read_lexicon(text.LEXICONS / "urgency.toml"),
        read_lexicon(text.LEXICONS / "sentiment.toml"),
    )
