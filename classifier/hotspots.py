"""Hot topics: messages about one matter (a place and a cause) gathered and ranked by heat (docs/classifier.md)."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.cluster.hierarchy import fcluster, linkage

from classifier import text
from classifier.features import Block, Fields, Source, Unit, Vectoriser, fields

Numbers = NDArray[np.float32]

_BLOCKS: Final = (
    Block(source=Source.TITLE, unit=Unit.CHARACTERS, longest=3),
    Block(source=Source.BODY, unit=Unit.CHARACTERS, longest=3),
)
_TITLE_SHARE: Final = 0.35
"""What the title counts in likeness; the body the rest. Titles name the place, bodies the cause."""
_CLOSE: Final = 0.08
"""Average likeness within a topic below which two groups stay apart (rarity counts squared, so it is small)."""
_JOIN: Final = 0.045
"""Likeness to a topic's middle from which a message that names the topic's anchor joins it."""
_SAME_CAUSE: Final = 0.014
"""Likeness of bodies without the anchor, to the middle one of a topic, below which a message has another cause."""
_NAMES: Final = 0.4
"""Share of an anchor's pairs of characters with which one of the group names it after all (a slip, a short form)."""
_COHESIVE: Final = 0.07
"""Average likeness of bodies without the anchor below which a group shares a place or a subject, but not one matter."""
_VOTE: Final = 1.2
"""What the logarithm of all votes weighs beside a citizen who writes."""
_AT_ONCE: Final = 6_000
"""Messages clustered exactly in one piece; more are parted by their nearest neighbours first."""
_ANCHOR_SHARE: Final = 0.55
_ANCHOR_LENGTHS: Final = range(3, 9)
_FEWEST: Final = 3
_NO_LETTER: Final = re.compile(r"[^\w]+")
_BUSY: Final = timedelta(days=90)


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message as the ranking needs it."""

    id: str
    title: str
    body: str
    at: datetime
    citizen: str = ""
    votes: int = 0
    """Approvals and disapprovals by others: both show that people care."""


@dataclass(frozen=True, kw_only=True)
class Topic:
    """One matter that several people brought up."""

    rank: int
    name: str
    place: str
    starts_at: datetime
    ends_at: datetime
    heat: float
    ids: tuple[str, ...]
    citizens: int
    votes: int
    reasons: str


def topics(
    messages: Sequence[Message],
    *,
    top: int = 5,
    fewest: int = _FEWEST,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Topic, ...]:
    """Return the hottest topics, hottest first."""
    if len(messages) < fewest:
        return ()
    progress("读取文本")
    read = [fields(message.title, message.body[:400]) for message in messages]
    texts = _Texts(read)
    progress("归并相近诉求")
    groups = _groups(texts.rows, texts.border)
    progress("补充同一事项")
    gathered = _gathered(texts, groups, fewest=fewest)
    progress("计算热度")
    found = [
        (
            heat([messages[at] for at in members])
            * _cohesion(texts, anchor, members)
            * _purity(texts.strings, anchor, members),
            anchor,
            members,
        )
        for anchor, members in gathered
    ]
    found.sort(key=lambda one: (-one[0], one[2][0]))
    return tuple(
        _topic(rank, value, anchor, messages=[messages[at] for at in members], read=[read[at] for at in members])
        for rank, (value, anchor, members) in enumerate(found[:top], start=1)
    )


def heat(messages: Sequence[Message]) -> float:
    """Return the heat of one topic.

    Distinct citizens within the topic's busiest ninety days; a third for each citizen outside them (a subject
    that trickles in all year is not hot); three tenths for each repeat by the same citizen (insistence counts,
    but one person cannot make a topic); plus 1.2 ln(1 + votes) (votes are damped: one message of four
    thousand has half of all votes); times 1 to 1.5 by the median gap between messages.
    """
    order = sorted(messages, key=lambda message: message.at)
    everyone = {message.citizen or message.id for message in order}
    if len(everyone) < 2:  # noqa: PLR2004 - one person's campaign is no topic
        return 0.0
    busiest = max(
        len({later.citizen or later.id for later in order[at:] if later.at - first.at <= _BUSY})
        for at, first in enumerate(order)
    )
    gaps = [(later.at - earlier.at).total_seconds() / 86_400 for earlier, later in pairwise(order)]
    density = math.exp(-float(np.median(gaps)) / 7)
    people = busiest + (len(everyone) - busiest) / 3 + 0.3 * (len(order) - len(everyone))
    votes = sum(message.votes for message in order)
    return (people + _VOTE * math.log1p(votes)) * (1 + 0.5 * density)


class _Texts:
    """All messages as strings and as rows of numbers; the place can be taken out, so that the cause is left."""

    def __init__(self, read: Sequence[Fields]) -> None:
        self.read = read
        self._vectoriser = Vectoriser.fit(read, _BLOCKS)
        self.border = len(self._vectoriser.vocabularies[0])
        self.rows = _sharpened(self._vectoriser, self._vectoriser.transform(read))
        # A name is a name with or without the dot that some put in its middle.
        self.strings = [f"{_bare(one.title)}\n{_bare(one.body)}" for one in read]

    def causes(self, members: Sequence[int], anchor: str) -> Any:  # noqa: ANN401 - scipy's matrices ship no types
        """Return the bodies of some messages as rows without what the anchor says."""
        bodies = [
            replace(self.read[at], body=self.read[at].body.replace(anchor, "") if anchor else self.read[at].body)
            for at in members
        ]
        return _sharpened(self._vectoriser, self._vectoriser.transform(bodies))[:, self.border :]


def _bare(string: str) -> str:
    return _NO_LETTER.sub("", string)


def _sharpened(vectoriser: Vectoriser, rows: Any) -> Any:  # noqa: ANN401 - scipy's matrices ship no types
    """Weigh rarity once more, so that the name of an estate outweighs any phrase; blocks of unit length again."""
    rows = rows.copy()
    rows.data *= np.concatenate([known.idf for known in vectoriser.vocabularies])[rows.indices]
    border = len(vectoriser.vocabularies[0])
    blocks = []
    for block in (rows[:, :border], rows[:, border:]):
        lengths = np.sqrt(np.asarray(block.multiply(block).sum(axis=1)).ravel())
        blocks.append(sparse.diags(1 / np.maximum(lengths, 1e-9)) @ block)
    return sparse.hstack(blocks, format="csr", dtype=np.float32)


def _cohesion(texts: _Texts, anchor: str, members: Sequence[int]) -> float:
    """Return 1 for a group whose bodies tell one matter, less for one that merely shares a place or a subject."""
    rows = texts.causes(members, anchor)
    near = (rows @ rows.T).toarray()
    mean = (near.sum() - np.trace(near)) / max(1, len(members) * (len(members) - 1))
    return float(min(1.0, mean / _COHESIVE) ** 2)


def _purity(strings: Sequence[str], anchor: str, members: Sequence[int]) -> float:
    """Return 1 when whoever names the anchor means this matter, less for a place of many matters."""
    naming = sum(anchor in string for string in strings) if anchor else 0
    inside = sum(anchor in strings[at] for at in members) if anchor else 0
    return float((inside / naming) ** 0.25) if naming else 0.5


def _groups(rows: Any, border: int) -> list[NDArray[np.int64]]:  # noqa: ANN401 - scipy's matrices ship no types
    """Return the groups of average linkage; more than fit at once are parted along weak links first."""
    count = rows.shape[0]
    parts = [np.arange(count)] if count <= _AT_ONCE else _parts(rows)
    groups = []
    for part in parts:
        if len(part) == 1:
            continue
        near = _likeness(rows[part], rows[part], border)
        far = 1 - near[np.triu_indices(len(part), 1)]
        found = fcluster(linkage(np.clip(far, 0, 1), "average"), 1 - _CLOSE, "distance")
        order = np.argsort(found, kind="stable")
        edges = np.flatnonzero(np.diff(found[order])) + 1
        groups += [part[members] for members in np.split(order, edges)]
    return groups


def _parts(rows: Any) -> list[NDArray[np.int64]]:  # noqa: ANN401 - scipy's matrices ship no types
    """Part many messages into chunks of neighbours by their leading directions, so that each fits exactly."""
    from scipy.sparse.linalg import svds

    directions = svds(rows, k=min(24, min(rows.shape) - 1), v0=np.ones(min(rows.shape)))[0]
    parts = [np.arange(rows.shape[0])]
    done: list[NDArray[np.int64]] = []
    depth = 0
    while parts:
        part = parts.pop()
        if len(part) <= _AT_ONCE:
            done.append(part)
            continue
        along = directions[part, depth % directions.shape[1]]
        depth += 1
        order = np.argsort(along, kind="stable")
        parts += [part[order[: len(part) // 2]], part[order[len(part) // 2 :]]]
    return done


def _likeness(one: Any, other: Any, border: int) -> Numbers:  # noqa: ANN401 - scipy's matrices ship no types
    titles = (one[:, :border] @ other[:, :border].T).toarray()
    bodies = (one[:, border:] @ other[:, border:].T).toarray()
    return np.asarray(_TITLE_SHARE * titles + (1 - _TITLE_SHARE) * bodies, np.float32)


def _gathered(texts: _Texts, groups: list[NDArray[np.int64]], *, fewest: int) -> list[tuple[str, list[int]]]:
    """Give each group its anchor, and keep and fetch the messages that name it and tell the same cause."""
    common = Counter(run for one in texts.read for run in _runs(_bare(one.title)))
    taken: set[int] = set()
    topics_: list[tuple[str, list[int]]] = []
    for group in sorted(groups, key=lambda one: (-len(one), int(one[0]))):
        members = [int(at) for at in group if int(at) not in taken]
        if len(members) < fewest:
            continue
        anchor = _anchor([texts.strings[at] for at in members], common, len(texts.read))
        if anchor:
            members = _of_one_matter(texts, anchor, members, taken)
        taken.update(members)
        if len(members) >= fewest:
            topics_.append((anchor, members))
    return topics_


def _of_one_matter(texts: _Texts, anchor: str, group: Sequence[int], taken: set[int]) -> list[int]:
    """Return who names the anchor (the place) and, with the anchor taken out, tells what the group tells (the cause).

    A neighbour of the same cause does not name the place, another trouble of the same place does not tell the cause.
    """
    inside = set(group)
    naming = [
        at
        for at, string in enumerate(texts.strings)
        if at not in taken and _named(anchor, string) >= (_NAMES if at in inside else 1.0)
    ]
    core = [at for at, one in enumerate(naming) if one in inside]
    if len(core) < 2:  # noqa: PLR2004 - one message has no fellows to be compared with
        return []
    near = _likeness(texts.rows[naming], texts.rows[[naming[at] for at in core]], texts.border).mean(axis=1)
    causes = texts.causes(naming, anchor)
    alike = (causes @ causes[core].T).toarray()
    alike[core, np.arange(len(core))] = np.nan  # nobody is his own witness
    # The middle one and not the mean: two who share another trouble would speak for each other.
    usual = np.nanmedian(alike, axis=1)
    return [one for at, one in enumerate(naming) if usual[at] >= _SAME_CAUSE and (one in inside or near[at] >= _JOIN)]


def _named(anchor: str, string: str) -> float:
    """Return how much of a name a text holds, by pairs of characters."""
    if anchor in string:
        return 1.0
    pairs = [anchor[at : at + 2] for at in range(len(anchor) - 1)]
    return sum(pair in string for pair in pairs) / max(1, len(pairs))


def _runs(title: str) -> set[str]:
    return {title[at : at + length] for length in _ANCHOR_LENGTHS for at in range(len(title) - length + 1)}


def _anchor(strings: Sequence[str], common: Counter[str], total: int) -> str:
    """Return the longest telling run of characters that most of the messages hold: a name, as a rule."""
    held = Counter(run for string in strings for run in _runs(string.split("\n", 1)[0]))
    best, value = "", 0.0
    for run, _ in held.most_common(400):
        share = sum(run in string for string in strings) / len(strings)
        if share < _ANCHOR_SHARE:
            continue
        worth = share**2 * math.log(total / (1 + common[run])) * math.sqrt(min(len(run), 6))
        if worth > value and text.words(run):
            best, value = run, worth
    return best


def _topic(rank: int, value: float, anchor: str, *, messages: Sequence[Message], read: Sequence[Fields]) -> Topic:
    citizens = len({message.citizen or message.id for message in messages})
    votes = sum(message.votes for message in messages)
    starts, ends = min(message.at for message in messages), max(message.at for message in messages)
    return Topic(
        rank=rank,
        name=_name(messages, read),
        place=_as_written(anchor, messages),
        starts_at=starts,
        ends_at=ends,
        heat=round(value, 2),
        ids=tuple(message.id for message in messages),
        citizens=citizens,
        votes=votes,
        reasons=f"{citizens} 人反映 {len(messages)} 次，点赞与反对共 {votes} 次，历时 {(ends - starts).days + 1} 天",
    )


def _as_written(anchor: str, messages: Sequence[Message]) -> str:
    """Return the anchor as most titles write it, digits and capitals included."""
    written: Counter[str] = Counter()
    for message in messages:
        plain = text.aligned(message.title)
        at = plain.text.find(anchor) if anchor else -1
        if at >= 0:
            written[message.title[plain.starts[at] : plain.ends[at + len(anchor) - 1]]] += 1
    return written.most_common(1)[0][0] if written else anchor


def _name(messages: Sequence[Message], read: Sequence[Fields]) -> str:
    """Return the title that says most of what the others say, without needless length."""
    runs = [{one.title[at : at + 2] for at in range(len(one.title) - 1)} for one in read]
    common = Counter(run for one in runs for run in one)
    half = max(2, len(read) // 5)

    def worth(at: int) -> float:
        telling = sum(math.log(common[run]) for run in runs[at] if common[run] >= half)
        return telling / math.sqrt(4 + len(read[at].title))

    best = max(range(len(read)), key=lambda at: (worth(at), -at))
    return " ".join(messages[best].title.split()) or read[best].title
