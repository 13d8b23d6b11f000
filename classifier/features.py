"""Turns (title, body) into numbers: n-grams of characters and words, each field apart.

Written over numpy so that a process that only predicts needs neither scikit-learn nor a slow start.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from itertools import repeat
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
_SHORT: Final = 1 << 31
"""The first number that 32 bits cannot hold beside its sign."""
_NOTHING: Final = np.zeros(0, np.float32), np.zeros(0, np.int32), np.zeros(0, np.int64)
_AT_ONCE: Final = 256
"""Messages whose features are looked up together: as many as stay in the processor's own memory."""


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


class _Table:
    """Finds the number of an n-gram key; open addressing over numpy."""

    def __init__(self, keys: Ints) -> None:
        """Take the keys in the order of their numbers."""
        self._keys = keys
        bits = max(4, math.ceil(math.log2(max(1, len(keys)) * 4)))
        self._shift = np.uint64(64 - bits)
        self._slots = _slots(keys, bits, self._shift)

    def find(self, keys: Ints) -> NDArray[np.int32]:
        """Return the number of each key, -1 where unknown."""
        if not len(self._keys):
            return np.full(len(keys), _EMPTY, np.int32)
        mask = len(self._slots) - 1
        at = ((keys.view(np.uint64) * _MULTIPLIER) >> self._shift).view(np.int64)
        found = self._slots[at]
        wrong = np.flatnonzero((self._keys[found] != keys) & (found != _EMPTY))
        at, keys = at[wrong], keys[wrong]
        while len(wrong):
            at = (at + 1) & mask
            found[wrong] = other = self._slots[at]
            still = (self._keys[other] != keys) & (other != _EMPTY)
            wrong, at, keys = wrong[still], at[still], keys[still]
        return found


@dataclass
class Vocabulary:
    """What one block knows: its features, their weights, and a table to find them fast."""

    block: Block
    keys: Ints
    """Sorted n-gram keys (characters) or nothing (words)."""
    terms: tuple[str, ...]
    """Words in order of their number, or nothing (characters)."""
    idf: Floats
    _table: _Table = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Build the look-up table; it is not stored."""
        self._table = _Table(_spelt("\0".join([*self.terms, ""]))[0] if self.terms else self.keys)

    def __len__(self) -> int:
        """Return how many features the block has."""
        return len(self.idf)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {term: number for number, term in enumerate(self.terms)}

    def find(self, keys: Ints) -> NDArray[np.int32]:
        """Return the feature number of each key, -1 where unknown."""
        return self._table.find(keys)

    def seen(self, messages: Sequence[Fields]) -> tuple[NDArray[np.int32], Ints]:
        """Return the feature number of everything that stands in the messages, -1 where unknown, and which it is in."""
        strings = _texts(self.block, messages)
        if self.block.unit is Unit.WORDS:
            # Each word ends in NUL, each message in one more, an empty word.
            words = "".join(["\0".join([*texts.cut(string), "", ""]) for string in strings])
            keys, empty = _spelt(words)
            return self._table.find(keys), np.cumsum(empty) - empty
        keys, owners = n_grams(strings, self.block.longest)
        return self.find(keys), owners

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
        parts = [self._some(messages[at : at + _AT_ONCE]) for at in range(0, len(messages), _AT_ONCE)]
        data, numbers, lengths = (np.concatenate(every) for every in zip(_NOTHING, *parts, strict=True))
        rows = sparse.csr_matrix(
            (data, numbers, np.concatenate([[0], np.cumsum(lengths)])), shape=(len(messages), self.size)
        )
        rows.has_canonical_format = True
        return rows

    def _some(self, messages: Sequence[Fields]) -> tuple[Floats, NDArray[np.int32], Ints]:
        """Return the values and numbers of the features of a few messages, and how many each message has."""
        width = self.size.bit_length()
        parts, before = [], 0
        for known in self.vocabularies:
            numbers, owners = known.seen(messages)
            there = np.flatnonzero(numbers != _EMPTY)
            parts.append((owners[there] << width) | (numbers[there] + np.int64(before)))
            before += len(known)
        # One sort of message and feature in one number orders and counts; it is several times faster than two.
        pairs: NDArray[Any] = np.concatenate(parts).astype(np.int32 if len(messages) << width < _SHORT else np.int64)
        pairs.sort()
        starts = np.flatnonzero(np.concatenate([np.ones(min(1, len(pairs)), bool), pairs[1:] != pairs[:-1]]))
        once = pairs[starts]
        whose, features = once >> width, (once & ((1 << width) - 1)).astype(np.int32)
        data = (1 + np.log(np.diff(starts, append=len(pairs)).astype(np.float32))) * self._idf[features]
        data *= self._scale(data, whose, features, len(messages))
        return data, features, np.bincount(whose, minlength=len(messages))

    def _scale(self, data: Floats, owners: NDArray[np.integer], features: NDArray[np.int32], messages: int) -> Floats:
        """Return what brings each block of each message to the length that is the block's weight."""
        blocks = len(self.vocabularies)
        where = owners * blocks + self._block[features]
        lengths = np.sqrt(np.bincount(where, data * data, minlength=messages * blocks)).reshape(-1, blocks)
        lengths[lengths == 0] = 1
        weights = np.array([known.block.weight for known in self.vocabularies])
        scale: Floats = (weights / lengths).astype(np.float32).ravel()[where]
        return scale

    @cached_property
    def _idf(self) -> Floats:
        return np.concatenate([known.idf for known in self.vocabularies])

    @cached_property
    def _block(self) -> NDArray[np.int8]:
        return np.repeat(np.arange(len(self.vocabularies), dtype=np.int8), [len(known) for known in self.vocabularies])

    def as_unseen(self, rows: Any, every: Any) -> Any:  # noqa: ANN401 - scipy's matrices ship no types
        """Return rows of `every` as they would be had each message not helped to choose the features.

        A feature that only just was not too rare is known thanks to this message; without it the others would
        fill the length of the block. Leaving this out made unseen messages look a sixth more certain than those
        on which confidence is fitted (docs/decisions/0015).
        """
        fewest = np.array([_rare(known.block, every.shape[0]) for known in self.vocabularies])
        kept = np.bincount(every.indices, minlength=self.size) > fewest[self._block]
        data = np.where(kept[rows.indices], rows.data, 0)
        data *= self._scale(
            data, np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr)), rows.indices, rows.shape[0]
        )
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


def _codes(string: str) -> NDArray[np.uint32]:
    return np.frombuffer(string.encode("utf-32-le", "replace"), np.uint32)


def _spelt(words: str) -> tuple[Ints, NDArray[np.bool_]]:
    """Return a number for each of the words, all of which end in NUL, and which are empty; equal words have equal ones.

    Unlike the keys of n-grams these are hashes, of 64 bits: that two words share one is not to be expected.
    """
    codes = _codes(words)
    ends = np.flatnonzero(codes == 0)
    if not len(ends):
        return np.zeros(0, np.int64), np.zeros(0, bool)
    sizes = np.diff(ends, prepend=-1)
    starts = ends - sizes + 1
    powers = np.cumprod(np.full(sizes.max(), _MULTIPLIER))
    letters = codes * powers[np.arange(len(codes)) - np.repeat(starts, sizes)]
    return np.add.reduceat(letters, starts).view(np.int64), sizes == 1


def n_grams(strings: Sequence[str], longest: int) -> tuple[Ints, Ints]:
    """Return the keys of all n-grams up to a length, and which string each stands in."""
    # NUL parts the strings; `normal` removes it from text, so no n-gram may hold it.
    codes = _codes("\0".join([*strings, ""])).astype(np.int64)
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
