"""The dispatch catalogue as a workbook: out, edited in a table program, and in again with a look at what changes."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import xlsxwriter
from sqlalchemy.orm import Session

from hotline.core.errors import Invalid
from hotline.core.spreadsheets import plain_cell, safe_cell
from hotline.core.text import clean_line
from hotline.intake.files import BadCell, open_table
from routing.catalogue.editions import MOST_ROWS, Names, RowView, RowWish, problems_of, rows_of

#: Heading -> what it holds; the columns of names are for people and are not read back.
COLUMNS: Final = (
    ("类别代码", "category"),
    ("类别", ""),
    ("区域代码", "region"),
    ("区域", ""),
    ("诉求类型", "request_type"),
    ("政务服务事项", "service_item"),
    ("主办单位代码", "lead"),
    ("主办单位", ""),
    ("协办单位代码", "co_handlers"),
    ("时限类别", "sla_class"),
    ("依据", "basis"),
)
_PARTS: Final = re.compile(r"[,，、;；|\s]+")
_MOST_TOLD: Final = 200


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a file: what it asks for, and where it stands."""

    line: int
    wish: RowWish


@dataclass(frozen=True, kw_only=True)
class Change:
    """One difference between the draft and a file: a row that comes, goes, or becomes another."""

    before: RowWish | None
    after: RowWish | None

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns that differ, of a row that stays with other content."""
        if self.before is None or self.after is None:
            return ()
        return tuple(
            heading for heading, name in COLUMNS if name and getattr(self.before, name) != getattr(self.after, name)
        )


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What bringing a file in would do to the draft."""

    added: Sequence[Change]
    changed: Sequence[Change]
    removed: Sequence[Change]
    same: int
    #: What is wrong, by line of the file; anything here and nothing is brought in.
    problems: Sequence[tuple[int, str]]

    @property
    def differences(self) -> int:
        """How many rows come, go or change."""
        return len(self.added) + len(self.changed) + len(self.removed)


def workbook(rows: Iterable[RowView]) -> io.BytesIO:
    """Return the rows as an XLSX file; cells that begin like a formula are written as text."""
    out = io.BytesIO()
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(out, options) as book:
        leaf = book.add_worksheet("派单目录")
        leaf.freeze_panes(1, 0)
        leaf.set_column(0, len(COLUMNS) - 1, 18)
        for column, (heading, _) in enumerate(COLUMNS):
            leaf.write_string(0, column, heading)
        for at, row in enumerate(rows, 1):
            for column, value in enumerate(_cells(row)):
                leaf.write_string(at, column, str(safe_cell(value)))
    out.seek(0)
    return out


def read(path: Path) -> tuple[list[Line], list[tuple[int, str]]]:
    """Return the rows that a file asks for and what cannot be read, by line; `Invalid` when it is no such table."""
    lines: list[Line] = []
    problems: list[tuple[int, str]] = []
    with open_table(path) as table:
        missing = [
            heading for heading, name in COLUMNS if name in {"category", "lead"} and heading not in table.columns
        ]
        if missing:
            raise Invalid({"file": f"缺少列：{'、'.join(missing)}。请先导出目录，在导出的表上修改。"})
        for record in table.records():
            if record.problem:
                problems.append((record.line, record.problem))
                continue
            cells, bad = _texts(record.cells)
            problems += [(record.line, words) for words in bad]
            if not bad and any(cells.values()):
                lines.append(Line(line=record.line, wish=_wish(cells)))
            if len(lines) > MOST_ROWS:
                raise Invalid({"file": f"文件过长，目录最多 {MOST_ROWS} 条。"})
    return lines, problems


def preview(session: Session, version_id: int, lines: Sequence[Line], problems: Sequence[tuple[int, str]]) -> Preview:
    """Return what bringing these lines in as the whole draft would do."""
    wishes = [line.wish for line in lines]
    found = [
        (lines[at - 1].line if at <= len(lines) else 0, words) for at, words in problems_of(wishes, Names(session))
    ]
    before = {row.wish.key: row.wish for row in rows_of(session, version_id)}
    after = {wish.key: wish for wish in wishes}
    return Preview(
        added=[Change(before=None, after=wish) for key, wish in after.items() if key not in before],
        changed=[
            Change(before=before[key], after=wish)
            for key, wish in after.items()
            if key in before and before[key] != wish
        ],
        removed=[Change(before=wish, after=None) for key, wish in before.items() if key not in after],
        same=sum(1 for key, wish in after.items() if before.get(key) == wish),
        problems=sorted([*problems, *found])[:_MOST_TOLD],
    )


def packed(lines: Iterable[Line]) -> list[dict[str, Any]]:
    """Return the wishes as plain values, to be carried from the preview to the act."""
    return [asdict(line.wish) for line in lines]


def unpacked(raw: Any) -> list[RowWish]:  # noqa: ANN401 - JSON from a form
    """Return the wishes that `packed` gave; `Invalid` for anything else."""
    try:
        return [
            RowWish(**{**row, "co_handlers": tuple(str(code) for code in row["co_handlers"])})
            for row in raw
            if isinstance(row, dict)
        ]
    except (TypeError, KeyError) as error:
        raise Invalid({"file": "预览已失效，请重新选择文件。"}) from error


def _cells(row: RowView) -> list[str]:
    return [
        row.category_code,
        row.category or "任何类别",
        row.region_code,
        row.region or "全市",
        row.request_type,
        row.service_item,
        row.lead_code,
        row.lead,
        "、".join(row.co_handlers),
        row.sla_class,
        row.basis,
    ]


def _texts(cells: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    texts, bad = {}, []
    for heading, name in COLUMNS:
        if not name:
            continue
        cell = cells.get(heading)
        if isinstance(cell, BadCell):
            bad.append(f"“{heading}”{cell.reason}。")
        elif isinstance(cell, float) and cell.is_integer():
            texts[name] = str(int(cell))  # a table program makes a number of a region's code
        else:
            texts[name] = clean_line(plain_cell(str(cell))) if cell is not None else ""
    return texts, bad


def _wish(cells: Mapping[str, str]) -> RowWish:
    given: dict[str, Any] = {name: cells.get(name, "") for _, name in COLUMNS if name}
    given["co_handlers"] = tuple(code for code in _PARTS.split(cells.get("co_handlers", "")) if code)
    return RowWish(**given)
