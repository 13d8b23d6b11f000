"""Hot topics: messages about one matter (a place and a cause) gathered and ranked by heat (docs/classifier.md)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
_COHESIVE: Final = 0.08
"""Average likeness of bodies below which a group shares a place or a subject, but hardly one matter."""
_AT_ONCE: Final = 6_000
"""Messages clustered exactly in one piece; more are parted by their nearest neighbours first."""
_ANCHOR_SHARE: Final = 0.55
_ANCHOR_LENGTHS: Final = range(3, 9)
_FEWEST: Final = 3
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
    vectoriser = Vectoriser.fit(read, _BLOCKS)
    rows = _sharpened(vectoriser, vectoriser.transform(read))
    border = len(vectoriser.vocabularies[0])
    progress("归并相近诉求")
    groups = _groups(rows, border)
    progress("补充同一事项")
    gathered = _gathered(read, rows, border, groups, fewest=fewest)
    progress("计算热度")
    strings = [f"{one.title}\n{one.body}" for one in read]
    found = [
        (
            heat([messages[at] for at in members])
            * _cohesion(rows[members], border)
            * _purity(strings, anchor, members),
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
    but one person cannot make a topic); plus 2 ln(1 + votes) (votes are damped: one message of four
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
    return (people + 2 * math.log1p(votes)) * (1 + 0.5 * density)


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


def _cohesion(rows: Any, border: int) -> float:  # noqa: ANN401 - scipy's matrices ship no types
    """Return 1 for a group whose bodies tell one matter, less for one that merely shares a place or a subject."""
    count = rows.shape[0]
    near = (rows[:, border:] @ rows[:, border:].T).toarray()
    mean = (near.sum() - np.trace(near)) / max(1, count * (count - 1))
    return float(min(1.0, mean / _COHESIVE))


def _purity(strings: Sequence[str], anchor: str, members: Sequence[int]) -> float:
    """Return 1 when whoever names the anchor means this matter; little for an anchor that is a mere subject."""
    naming = sum(anchor in string for string in strings) if anchor else 0
    inside = sum(anchor in strings[at] for at in members) if anchor else 0
    return math.sqrt(inside / naming) if naming else 0.5


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


def _gathered(
    read: Sequence[Fields],
    rows: Any,  # noqa: ANN401 - scipy's matrices ship no types
    border: int,
    groups: list[NDArray[np.int64]],
    *,
    fewest: int,
) -> list[tuple[str, list[int]]]:
    """Give each group its anchor, join groups that share it, and fetch messages that name it and are alike."""
    strings = [f"{one.title}\n{one.body}" for one in read]
    common = Counter(run for one in read for run in _runs(one.title))
    taken: dict[int, int] = {}
    topics_: list[tuple[str, list[int]]] = []
    for group in sorted(groups, key=lambda one: (-len(one), int(one[0]))):
        members = [int(at) for at in group if int(at) not in taken]
        if len(members) < fewest:
            continue
        anchor = _anchor([strings[at] for at in members], common, len(read))
        middle = rows[members]
        free = [at for at, string in enumerate(strings) if anchor and anchor in string and at not in taken]
        free = sorted(set(free) - set(members))
        if free:
            near = _likeness(rows[free], middle, border).mean(axis=1)
            members += [at for at, value in zip(free, near.tolist(), strict=True) if value >= _JOIN]
        for at in members:
            taken[at] = len(topics_)
        topics_.append((anchor, sorted(members)))
    return topics_


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
