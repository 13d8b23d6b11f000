"""Turns (title, body) into numbers: n-grams of characters and words, each field apart.

Written over numpy so that a process that only predicts needs neither scikit-learn nor a slow start.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain, repeat
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from classifier import text as texts

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

_WIDTH: Final = 21
"""Bits of one character in a key: three characters fit 63 bits, so keys are exact, not hashed."""
_MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)
_EMPTY: Final = -1
_HALF: Final = 32


class Source(StrEnum):
    """Which stretch of a message a block reads."""

    TITLE = "title"
    BODY = "body"
    LEAD = "lead"
    """The first sixty characters of the body: people begin with the matter and end with feelings."""


class Unit(StrEnum):
    """What a block counts."""

    CHARACTERS = "characters"
    WORDS = "words"


@dataclass(frozen=True, kw_only=True)
class Block:
    """One family of features with its own length norm, so that a long body cannot drown a title."""

    source: Source
    unit: Unit
    longest: int = 2
    """Longest n-gram of characters (1 to 3); words are always single."""
    rare: int = 2
    """A feature seen in fewer messages is dropped; so rare personal names never enter a model."""
    weight: float = 1.0


@dataclass(frozen=True)
class Fields:
    """The normal text of one message, field by field."""

    title: str
    body: str
    lead: str


DEFAULT_BLOCKS: Final = (
    Block(source=Source.TITLE, unit=Unit.CHARACTERS),
    Block(source=Source.BODY, unit=Unit.CHARACTERS, rare=3),
    Block(source=Source.BODY, unit=Unit.WORDS),
    Block(source=Source.LEAD, unit=Unit.CHARACTERS, rare=3, weight=0.7),
)
_LEAD: Final = 60


def fields(title: str, body: str) -> Fields:
    """Return the normal fields of a message; an empty one borrows from the other."""
    plain_title, plain_body = texts.normal(title), texts.normal(body)
    plain_body = plain_body or plain_title
    return Fields(plain_title or texts.opening(plain_body), plain_body, plain_body[:_LEAD])


@dataclass
class Vocabulary:
    """What one block knows: its features, their weights, and a table to find them fast."""

    block: Block
    keys: Ints
    """Sorted n-gram keys (characters) or nothing (words)."""
    terms: tuple[str, ...]
    """Words in order of their number, or nothing (characters)."""
    idf: Floats
    _slots: NDArray[np.int32] = field(init=False, repr=False)
    _shift: np.uint64 = field(init=False, repr=False)
    _numbers: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Build the look-up table; it is not stored."""
        self._numbers = {term: number for number, term in enumerate(self.terms)}
        bits = max(4, math.ceil(math.log2(max(1, len(self.keys)) * 4)))
        self._shift = np.uint64(64 - bits)
        self._slots = _slots(self.keys, bits, self._shift)

    def __len__(self) -> int:
        """Return how many features the block has."""
        return len(self.idf)

    def find(self, keys: Ints) -> NDArray[np.int32]:
        """Return the feature number of each key, -1 where unknown."""
        if not len(self.keys):
            return np.full(len(keys), _EMPTY, np.int32)
        mask = len(self._slots) - 1
        at = ((keys.view(np.uint64) * _MULTIPLIER) >> self._shift).astype(np.int64)
        found = self._slots[at]
        wrong = np.flatnonzero((found != _EMPTY) & (self.keys[found] != keys))
        while len(wrong):
            at[wrong] = (at[wrong] + 1) & mask
            found[wrong] = self._slots[at[wrong]]
            wrong = wrong[(found[wrong] != _EMPTY) & (self.keys[found[wrong]] != keys[wrong])]
        return found

    def numbers(self, words: Iterable[str]) -> NDArray[np.int32]:
        """Return the number of each word, -1 where unknown."""
        return np.fromiter(map(self._numbers.get, words, repeat(_EMPTY)), np.int32)

    def number(self, word: str) -> int | None:
        """Return the number of a word, or None when it is not known."""
        return self._numbers.get(word)

    def name(self, number: int) -> str:
        """Return a feature as the text it stands for."""
        return self.terms[number] if self.terms else spelled(int(self.keys[number]))


@dataclass
class Vectoriser:
    """All blocks side by side: one sparse row for each message."""

    vocabularies: tuple[Vocabulary, ...]

    @property
    def size(self) -> int:
        """How many features there are in all."""
        return sum(map(len, self.vocabularies))

    @classmethod
    def fit(cls, messages: Sequence[Fields], blocks: Sequence[Block] = DEFAULT_BLOCKS) -> Vectoriser:
        """Learn the features of these messages and their rarity; labels play no part."""
        return cls(tuple(_vocabulary(block, messages) for block in blocks))

    def transform(self, messages: Sequence[Fields]) -> Any:  # noqa: ANN401 - scipy's matrices ship no types
        """Return the messages as rows: (1 + log count) x idf, each block of unit length x its weight."""
        return sparse.hstack([_rows(known, messages) for known in self.vocabularies], format="csr", dtype=np.float32)

    def as_unseen(self, rows: Any, every: Any) -> Any:  # noqa: ANN401 - scipy's matrices ship no types
        """Return rows of `every` as they would be had each message not helped to choose the features.

        A feature that only just was not too rare is known thanks to this message; without it the others would
        fill the length of the block. Leaving this out made unseen messages look a sixth more certain than those
        on which confidence is fitted (docs/decisions/0015).
        """
        sizes = [len(known) for known in self.vocabularies]
        fewest = [_rare(known.block, every.shape[0]) for known in self.vocabularies]
        kept = np.bincount(every.indices, minlength=self.size) > np.repeat(fewest, sizes)
        block = np.repeat(np.arange(len(sizes)), sizes)
        where = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr)) * len(sizes) + block[rows.indices]
        data = np.where(kept[rows.indices], rows.data, 0)
        length = np.sqrt(np.bincount(where, data.astype(np.float64) ** 2, minlength=rows.shape[0] * len(sizes)))
        length[length == 0] = 1
        weight = np.array([known.block.weight for known in self.vocabularies])
        data = (data * weight[block[rows.indices]] / length[where]).astype(np.float32)
        return sparse.csr_matrix((data, rows.indices, rows.indptr), shape=rows.shape)

    def name(self, number: int) -> tuple[Block, str]:
        """Return the block and text of one feature."""
        for known in self.vocabularies:
            if number < len(known):
                return known.block, known.name(number)
            number -= len(known)
        raise IndexError(number)


def spelled(key: int) -> str:
    """Return the characters of a key."""
    letters = []
    while key:
        letters.append(chr(key & ((1 << _WIDTH) - 1)))
        key >>= _WIDTH
    return "".join(reversed(letters))


def n_grams(strings: Sequence[str], longest: int) -> tuple[Ints, Ints]:
    """Return the keys of all n-grams up to a length, and which string each stands in."""
    # NUL parts the strings; `normal` removes it from text, so no n-gram may hold it.
    codes = np.frombuffer("\0".join([*strings, ""]).encode("utf-32-le", "replace"), dtype=np.uint32).astype(np.int64)
    owner = np.cumsum(codes == 0) - (codes == 0)
    keys, owners = [codes], [owner]
    longer = codes
    for n in range(2, longest + 1):
        following = codes[n - 1 :]
        longer = np.where(
            (longer[: len(following)] == 0) | (following == 0), 0, (longer[: len(following)] << _WIDTH) | following
        )
        keys.append(longer)
        owners.append(owner[: len(following)])
    every, whose = np.concatenate(keys), np.concatenate(owners)
    real = every != 0
    return every[real], whose[real]


def _texts(block: Block, messages: Sequence[Fields]) -> list[str]:
    return [getattr(message, block.source.value) for message in messages]


def _rare(block: Block, messages: int) -> int:
    return min(block.rare, max(1, messages // 50))


def _vocabulary(block: Block, messages: Sequence[Fields]) -> Vocabulary:
    strings = _texts(block, messages)
    rare = _rare(block, len(messages))
    if block.unit is Unit.WORDS:
        seen: dict[str, int] = {}
        for string in strings:
            for word in set(texts.words(string)):
                seen[word] = seen.get(word, 0) + 1
        terms = tuple(sorted(word for word, count in seen.items() if count >= rare))
        documents = np.array([seen[term] for term in terms], np.float64)
        return Vocabulary(block, np.zeros(0, np.int64), terms, _idf(documents, len(strings)))
    every, counts = document_counts(strings, block.longest)
    keep = counts >= rare
    return Vocabulary(block, every[keep], (), _idf(counts[keep].astype(np.float64), len(strings)))


def document_counts(strings: Sequence[str], longest: int, at_once: int = 500) -> tuple[Ints, Ints]:
    """Return the n-gram keys of the strings, sorted, and in how many strings each stands."""
    parts = []
    for start in range(0, len(strings), at_once):
        keys, owners = n_grams(strings[start : start + at_once], longest)
        order = np.lexsort((owners, keys))
        keys, owners = keys[order], owners[order]
        first = np.ones(len(keys), bool)
        first[1:] = (keys[1:] != keys[:-1]) | (owners[1:] != owners[:-1])
        parts.append(keys[first])
    every, counts = np.unique(np.concatenate(parts) if parts else np.zeros(0, np.int64), return_counts=True)
    return every, counts.astype(np.int64)


def _idf(documents: NDArray[np.float64], total: int) -> Floats:
    return (np.log((1 + total) / (1 + documents)) + 1).astype(np.float32)


def _slots(keys: Ints, bits: int, shift: np.uint64) -> NDArray[np.int32]:
    """Build an open-addressing table: round by round, each key takes its place or tries the next."""
    slots = np.full(1 << bits, _EMPTY, np.int32)
    waiting = np.arange(len(keys), dtype=np.int32)
    at = ((keys.view(np.uint64) * _MULTIPLIER) >> shift).astype(np.int64)
    while len(waiting):
        free = slots[at] == _EMPTY
        slots[at[free]] = waiting[free]  # of several that want one place, the last stays
        lost = slots[at] != waiting
        waiting, at = waiting[lost], (at[lost] + 1) & (len(slots) - 1)
    return slots


def _rows(known: Vocabulary, messages: Sequence[Fields]) -> Any:  # noqa: ANN401 - scipy's matrices ship no types
    strings = _texts(known.block, messages)
    if known.block.unit is Unit.WORDS:
        lists = [texts.cut(string) for string in strings]
        numbers = known.numbers(chain.from_iterable(lists))
        owners = np.repeat(np.arange(len(lists)), np.fromiter(map(len, lists), np.int64, len(lists)))
    else:
        keys, owners = n_grams(strings, known.block.longest)
        numbers = known.find(keys)
    there = numbers != _EMPTY
    # One sort of message and feature in one number both orders and counts; it is several times faster than two.
    pairs = np.sort((owners[there].astype(np.int64) << _HALF) | numbers[there])
    starts = np.flatnonzero(np.concatenate([[True], pairs[1:] != pairs[:-1]])) if len(pairs) else pairs
    counts = np.diff(starts, append=len(pairs)).astype(np.float32)
    once = pairs[starts]
    ends = np.concatenate([[0], np.cumsum(np.bincount(once >> _HALF, minlength=len(strings)))])
    rows = sparse.csr_matrix(
        (counts, (once & ((1 << _HALF) - 1)).astype(np.int32), ends), shape=(len(strings), len(known))
    )
    rows.has_canonical_format = True
    rows.data = (1 + np.log(rows.data)) * known.idf[rows.indices]
    # reduceat repeats a neighbour's value for an empty row, hence the running sum.
    running = np.concatenate([[0.0], np.cumsum(rows.data.astype(np.float64) ** 2)])
    norms = np.sqrt(running[rows.indptr[1:]] - running[rows.indptr[:-1]])
    norms[norms == 0] = 1
    rows.data *= np.repeat((known.block.weight / norms).astype(np.float32), np.diff(rows.indptr))
    return rows
