"""Reads labelled and unlabelled messages from JSON lines, and says plainly which line is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from classifier.errors import BadTrainingFile
from classifier.text import normal

_MOST_LINE_BYTES: Final = 4_000_000


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line: a message, its label where it has one, and everything else as it stood."""

    id: str
    title: str
    body: str
    label: str | None
    raw: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Contradiction:
    """The same text under two labels."""

    ids: tuple[str, str]
    labels: tuple[str, str]


def read(path: Path, *, labelled: bool) -> list[Row]:
    """Read all lines; a broken one is named by its number. Lines without any text are refused when labelled."""
    rows = list(_rows(path, labelled=labelled))
    if not rows:
        raise BadTrainingFile(f"文件 {path.name} 没有任何数据。")
    return rows


def _rows(path: Path, *, labelled: bool) -> Iterator[Row]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _row(path, number, line, labelled=labelled)
    except OSError as problem:
        raise BadTrainingFile(f"文件 {path} 无法打开：{problem.strerror}。") from problem


def _row(path: Path, number: int, line: bytes, *, labelled: bool) -> Row:
    where = f"{path.name} 第 {number} 行"
    if len(line) > _MOST_LINE_BYTES:
        raise BadTrainingFile(f"{where} 超过 {_MOST_LINE_BYTES // 1_000_000} MB，拒绝读取。")
    try:
        raw = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as problem:
        raise BadTrainingFile(f"{where} 不是有效的 JSON（UTF-8）。") from problem
    if not isinstance(raw, dict):
        raise BadTrainingFile(f"{where} 应为一个 JSON 对象，含 title、body 字段。")
    title, body, label = raw.get("title") or "", raw.get("body") or "", raw.get("label")
    if not isinstance(title, str) or not isinstance(body, str):
        raise BadTrainingFile(f"{where} 的 title、body 应为文字。")
    if labelled and (not isinstance(label, str) or not label.strip()):
        raise BadTrainingFile(f"{where} 缺少 label 字段（应为非空文字）。")
    if labelled and not (title.strip() or body.strip()):
        raise BadTrainingFile(f"{where} 既没有标题也没有正文，无法用于训练或评估。")
    return Row(
        id=str(raw.get("id", number)),
        title=title,
        body=body,
        label=label.strip() if isinstance(label, str) else None,
        raw=raw,
    )


def contradictions(rows: list[Row]) -> list[Contradiction]:
    """Return pairs of lines with the same normal text and different labels."""
    seen: dict[str, Row] = {}
    found = []
    for row in rows:
        key = normal(row.title) + "\n" + normal(row.body)
        other = seen.setdefault(key, row)
        if other.label != row.label and other.label is not None and row.label is not None:
            found.append(Contradiction(ids=(other.id, row.id), labels=(other.label, row.label)))
    return found


def moment(value: Any) -> datetime | None:  # noqa: ANN401 - whatever a JSON file holds
    """Read a time such as `2019-02-28 11:25:05`; None when it is none."""
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        return None
