"""Reads the seed corpus: for each leaf of the shipped category tree its meaning, its neighbours and voices."""

from __future__ import annotations

import functools
import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from classifier.errors import BadSeed

FOLDER: Final = Path(__file__).parent / "seed"
FIRST_LEVEL: Final = ("城乡建设", "劳动和社会保障", "教育文体", "商贸旅游", "环境保护", "卫生计生", "交通运输")
"""The seven first-level labels on which the zero-history model is measured (`--by first`)."""
REQUEST_TYPES: Final = ("咨询", "求助", "投诉", "举报", "建议", "表扬", "其他")
URGENCIES: Final = ("一般", "紧急", "特急")
FEWEST_SENTENCES: Final = 12
_CODE: Final = re.compile(r"[A-Z]{2}-\d{4}")
_PARTS: Final = 3


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """One concern in a citizen's voice."""

    request_type: str
    title: str
    body: str


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """One leaf of the category tree and what a new city's model learns about it."""

    code: str
    path: tuple[str, ...]
    """Names of all levels, our first level included."""
    first: str
    """One of `FIRST_LEVEL`, or empty when it belongs to none of them."""
    definition: str
    boundary: str
    lead: str
    assist: tuple[str, ...]
    urgency: str
    sentences: tuple[Sentence, ...]

    @property
    def name(self) -> str:
        """The last level's name."""
        return self.path[-1]


@dataclass(frozen=True)
class Seeds:
    """The whole corpus."""

    leaves: tuple[Leaf, ...]
    digest: str
    """Changes with every byte of the corpus."""

    @functools.cached_property
    def by_code(self) -> Mapping[str, Leaf]:
        """The leaves by their code."""
        return {leaf.code: leaf for leaf in self.leaves}

    def complaints(self) -> tuple[str, ...]:
        """Return what is wrong with the corpus, a sentence each; empty when all is well."""
        wrong = []
        codes: set[str] = set()
        for leaf in self.leaves:
            if leaf.code in codes:
                wrong.append(f"{leaf.code} is defined twice")
            codes.add(leaf.code)
            if not _CODE.fullmatch(leaf.code):
                wrong.append(f"{leaf.code} is not two letters, a dash and four digits")
            if leaf.first and leaf.first not in FIRST_LEVEL:
                wrong.append(f"{leaf.code} names the unknown first-level label {leaf.first}")
            if leaf.urgency not in URGENCIES:
                wrong.append(f"{leaf.code} has the unknown urgency {leaf.urgency}")
            if not leaf.definition or not leaf.lead:
                wrong.append(f"{leaf.code} lacks a definition or a lead department")
            if len(leaf.sentences) < FEWEST_SENTENCES:
                wrong.append(f"{leaf.code} has {len(leaf.sentences)} sentences, fewer than {FEWEST_SENTENCES}")
            wrong += [
                f"{leaf.code} uses the unknown request type {one.request_type!r}"
                for one in leaf.sentences
                if one.request_type not in REQUEST_TYPES
            ]
            if len({one.body for one in leaf.sentences}) < len(leaf.sentences):
                wrong.append(f"{leaf.code} repeats a sentence")
        return tuple(wrong)


def load(folder: Path = FOLDER) -> Seeds:
    """Read every TOML file of the folder; a file that cannot be read is refused by name."""
    leaves: list[Leaf] = []
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.toml")):
        raw = path.read_bytes()
        digest.update(path.name.encode() + b"\0" + raw)
        try:
            page = tomllib.loads(raw.decode("utf-8"))
            leaves += [_leaf(page, row) for row in page.get("leaf", ())]
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as problem:
            raise BadSeed(f"种子语料 {path.name} 无法读取：{problem}") from problem
    return Seeds(tuple(leaves), digest.hexdigest())


def _leaf(page: Mapping[str, Any], row: Mapping[str, Any]) -> Leaf:
    return Leaf(
        code=row["code"],
        path=(page["name"], *row["path"]),
        first=row["first"],
        definition=row["definition"],
        boundary=row.get("boundary", ""),
        lead=row["lead"],
        assist=tuple(row.get("assist", ())),
        urgency=row.get("urgency", "一般"),
        sentences=tuple(_sentences(row["code"], row["sentences"])),
    )


def _sentences(code: str, lines: Iterable[str]) -> Iterable[Sentence]:
    for line in lines:
        parts = [part.strip() for part in line.split("|", 2)]
        if len(parts) != _PARTS or not parts[2]:
            raise ValueError(f"{code}: {line[:40]!r} is not `type|title|body`")
        yield Sentence(request_type=parts[0], title=parts[1], body=parts[2])
