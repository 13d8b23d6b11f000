"""Finds the folder of real, anonymised citizen messages that may lie beside a checkout; none of it is shipped."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: Overrules the place where the folder is looked for.
VARIABLE: Final = "HOTLINE_REAL_DATA"


@dataclass(frozen=True, kw_only=True)
class RealFile:
    """One file of the folder, and how its records become tickets."""

    name: str
    #: Under this name its records are known again.
    source: str
    #: For `hotline import --map`.
    mapping: str


FILES: Final = (
    RealFile(
        name="complaints.jsonl", source="sample:complaints", mapping="key=id,title=title,content=body,happened_at=time"
    ),
    RealFile(
        name="messages_with_time.jsonl",
        source="sample:messages",
        mapping="key=id,title=title,content=body,happened_at=time",
    ),
    RealFile(name="replies.jsonl", source="sample:replies", mapping="key=id,title=title,content=body,happened_at=time"),
    RealFile(
        name="river_complaints.jsonl",
        source="sample:rivers",
        mapping="key=id,title=title,content=body,happened_at=time",
    ),
)


def folder(environ: Mapping[str, str] | None = None) -> Path | None:
    """Return the folder when it is there with at least one of the files: HOTLINE_REAL_DATA, else ../shared/data."""
    named = (os.environ if environ is None else environ).get(VARIABLE)
    place = Path(named) if named else Path(__file__).resolve().parents[2].parent / "shared" / "data"
    return place if any((place / file.name).is_file() for file in FILES) else None


def files_in(place: Path) -> list[tuple[RealFile, Path]]:
    """Return the files that are there, each with its path."""
    return [(file, place / file.name) for file in FILES if (place / file.name).is_file()]
