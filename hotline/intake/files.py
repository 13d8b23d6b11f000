"""Reads a table that somebody hands in (CSV, XLSX, JSON Lines) record by record, whatever is wrong with it.

Nothing here knows what the columns mean. A file is never held in memory as a whole; what cannot be read becomes a
record that says why, with its line, and the next one is read.
"""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import json
import warnings
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, time
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

from typing_extensions import override

from hotline.core.errors import Invalid
from hotline.core.spreadsheets import plain_cell

#: A cell of more characters is a quotation mark that was never closed, or a mistake.
MOST_CELL: Final = 1_000_000
#: A line of more characters is read in pieces; no line of a real table is as long.
MOST_LINE: Final = 4_000_000
#: So much of a file is looked at to learn how its characters are written.
SAMPLE: Final = 4_000_000
#: In JSON Lines the columns are those that the first so many records have.
SAMPLE_RECORDS: Final = 200
#: A workbook that unpacks to more is refused: it would fill the memory, and was made to.
MOST_UNPACKED: Final = 2_000_000_000
_DELIMITERS: Final = ",\t;|"
_BOMS: Final = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"\x84\x31\x95\x33", "gb18030"),
)
#: Halves of a character: bytes that are none stand here after reading (PEP 383), and JSON can spell them.
_UNREADABLE: Final = frozenset(map(chr, range(0xD800, 0xE000)))
#: openpyxl's names of the kinds of cell whose value is not what somebody wrote.
_REFUSED_CELLS: Final = {"f": "单元格是公式，请在表格软件中“粘贴为数值”后再导入", "e": "单元格是错误值"}
_GIVEN_NAMES: Final = {"utf-8": "utf-8-sig", "utf8": "utf-8-sig", "gbk": "gb18030", "gb2312": "gb18030"}


@dataclass(frozen=True)
class BadCell:
    """A cell that cannot be taken, and why."""

    reason: str
    shown: str = ""


Cell = str | int | float | bool | datetime | BadCell | None


@dataclass(frozen=True, kw_only=True)
class Record:
    """One record: the line where it begins (as an editor counts), its cells by column, or why it cannot be read."""

    line: int
    cells: Mapping[str, Cell] = field(default_factory=dict)
    problem: str = ""


class Table(ABC):
    """An open file: its columns, then its records; close it, or use it in a `with`."""

    columns: Sequence[str]
    #: How the file is written, in words for the person who imports it.
    written_as: str

    @abstractmethod
    def records(self) -> Iterator[Record]:
        """Yield every record that is not empty; once."""

    @abstractmethod
    def progress(self) -> tuple[int, int]:
        """Return how much has been read of how much, in a unit of its own."""

    @abstractmethod
    def close(self) -> None:
        """Let the file go."""

    def __enter__(self) -> Self:
        """Give the table."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the file go."""
        self.close()


def open_table(path: Path, *, encoding: str = "", sheet: str = "") -> Table:
    """Open a file by its ending; raises `Invalid` with a sentence when it is none of ours, empty or damaged."""
    ending = path.suffix.lower()
    try:
        if ending in {".csv", ".tsv", ".txt"}:
            return _CsvTable(path, encoding)
        if ending in {".jsonl", ".ndjson"}:
            return _JsonLinesTable(path, encoding)
        if ending in {".xlsx", ".xlsm"}:
            return _WorkbookTable(path, sheet)
    except OSError as error:
        raise Invalid({"file": f"无法读取 {path}：{error.strerror or error}。"}) from error
    hint = "请在表格软件中另存为 XLSX 或 CSV。" if ending in {".xls", ".et", ".ods", ".numbers"} else ""
    raise Invalid({"file": f"不支持 {ending or '没有扩展名的'} 文件，请提供 CSV、XLSX 或 JSONL。{hint}"})


def digest_of(path: Path) -> str:
    """Return a fingerprint of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def guess_encoding(sample: bytes) -> str:
    """Return how a text is written: by its mark, by its zero bytes, else UTF-8 or GB18030, whichever more lines are.

    A UTF-8 file with some broken lines stays UTF-8, so that only those lines are refused.
    """
    for mark, name in _BOMS:
        if sample.startswith(mark):
            return name
    if sample.count(0) * 4 > len(sample):
        return "utf-16-le" if sample[1::2].count(0) >= sample[::2].count(0) else "utf-16-be"
    lines = [line for line in sample.split(b"\n")[: -1 if len(sample) == SAMPLE else None] if not line.isascii()]
    as_utf8 = sum(_reads(line, "utf-8") for line in lines)
    if as_utf8 * 2 >= len(lines):
        return "utf-8"
    ends, little, big = (sample.count(end) for end in (b"\n", b"\n\0", b"\0\n"))
    if max(little, big) * 2 > ends:
        # Line ends have a zero byte on one side, Chinese characters have none.
        return "utf-16-le" if little >= big else "utf-16-be"
    return "gb18030" if sum(_reads(line, "gb18030") for line in lines) > as_utf8 else "utf-8"


def _reads(line: bytes, encoding: str) -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _encoding(path: Path, given: str) -> str:
    if given:
        name = _GIVEN_NAMES.get(given.lower(), given)
        try:
            "".encode(name)
            b"".decode(name)
        except (LookupError, UnicodeError) as error:
            raise Invalid({"encoding": f"没有名为“{given}”的字符编码，常用的是 utf-8 与 gb18030。"}) from error
        return name
    with path.open("rb") as file:
        sample = file.read(SAMPLE)
    if not sample.strip():
        raise Invalid({"file": f"{path.name} 是空文件。"})
    return guess_encoding(sample)


def _tidy(cell: str) -> Cell:
    """Return a text as it stands in the file, or why not."""
    if not _UNREADABLE.isdisjoint(cell):
        return BadCell("含有无法识别的字节，文件可能已损坏或编码不一致", _readable(cell))
    return plain_cell(cell)


def _readable(text: str) -> str:
    return "".join("�" if c in _UNREADABLE else c for c in text)


def _names(cells: Sequence[object]) -> list[str]:
    """Return a name for every column: its heading, or its place; a heading that comes again is counted."""
    names: list[str] = []
    for place, cell in enumerate(cells, 1):
        name = " ".join(str("" if cell is None else cell).replace("\ufeff", "").split())[:60] or f"第{place}列"
        name = _readable(name)
        again = next(n for n in itertools.count(1) if (name if n == 1 else f"{name} ({n})") not in names)
        names.append(name if again == 1 else f"{name} ({again})")
    return names


class _CsvTable(Table):
    def __init__(self, path: Path, encoding: str) -> None:
        name = _encoding(path, encoding)
        self._size = path.stat().st_size
        self._raw: BinaryIO = path.open("rb")
        # UTF-16 has no way to keep a byte that is no character; it becomes the mark for that.
        errors = "replace" if name.startswith("utf-16") else "surrogateescape"
        self._text = io.TextIOWrapper(self._raw, name, errors=errors, newline="")
        csv.field_size_limit(MOST_CELL)
        try:
            delimiter = self._delimiter()
            self._reader = csv.reader(self._lines(), delimiter=delimiter)
            self.columns = _names(self._heading(path))
        except BaseException:
            self.close()
            raise
        said = {"\t": "制表符", ",": "逗号", ";": "分号", "|": "竖线"}[delimiter]
        self.written_as = f"CSV，{name.removesuffix('-sig').upper()} 编码，{said}分隔"

    @override
    def records(self) -> Iterator[Record]:
        while True:
            line = self._reader.line_num + 1
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Record(line=line, problem=_csv_words(error))
                continue
            if not any(cell.strip() for cell in cells):
                continue
            more = [cell for cell in cells[len(self.columns) :] if cell.strip()]
            problem = ""
            if more:
                problem = f"有 {len(cells)} 列而表头只有 {len(self.columns)} 列，请检查分隔符与引号"
            # A short row lacks its last, empty cells: many programs do not write them.
            cells += [""] * (len(self.columns) - len(cells))
            yield Record(
                line=line,
                cells={name: _tidy(cell) for name, cell in zip(self.columns, cells, strict=False)},
                problem=problem,
            )

    @override
    def progress(self) -> tuple[int, int]:
        return min(self._raw.tell(), self._size), self._size

    @override
    def close(self) -> None:
        self._text.close()

    def _lines(self) -> Iterator[str]:
        while line := self._text.readline(MOST_LINE):
            yield line

    def _delimiter(self) -> str:
        first = ""
        while not first.strip() and (line := self._text.readline(MOST_LINE)):
            first = line
        self._text.seek(0)
        return max(_DELIMITERS, key=first.count)

    def _heading(self, path: Path) -> list[str]:
        try:
            for cells in self._reader:
                if any(cell.strip() for cell in cells):
                    return cells
        except csv.Error as error:
            raise Invalid({"file": f"{path.name} 的表头无法读取：{_csv_words(error)}。"}) from error
        raise Invalid({"file": f"{path.name} 是空文件。"})


def _csv_words(error: csv.Error) -> str:
    if "field larger" in str(error):
        return f"单元格超过 {MOST_CELL:,} 字，多半是引号没有闭合"
    return f"不是有效的 CSV（{error}）"


class _JsonLinesTable(Table):
    def __init__(self, path: Path, encoding: str) -> None:
        self._encoding = _encoding(path, encoding)
        self.written_as = f"JSONL，{self._encoding.removesuffix('-sig').upper()} 编码"
        self._size = path.stat().st_size
        if self._encoding.startswith("utf-16"):
            raise Invalid({"file": f"{path.name} 是 UTF-16 编码，JSONL 须为 UTF-8。"})
        self._raw: BinaryIO = path.open("rb")
        names: dict[str, None] = {}
        for record in itertools.islice(self.records(), SAMPLE_RECORDS):
            names.update(dict.fromkeys(record.cells))
        self._raw.seek(0)
        self.columns = list(names)

    @override
    def records(self) -> Iterator[Record]:
        number = 0
        while raw := self._raw.readline(MOST_LINE + 1):
            number += 1
            if len(raw) > MOST_LINE:
                while raw and not raw.endswith(b"\n"):
                    raw = self._raw.readline(MOST_LINE)
                yield Record(line=number, problem=f"一行超过 {MOST_LINE:,} 字节")
            elif raw.strip():
                yield self._record(number, raw)

    @override
    def progress(self) -> tuple[int, int]:
        return self._raw.tell(), self._size

    @override
    def close(self) -> None:
        self._raw.close()

    def _record(self, number: int, raw: bytes) -> Record:
        if number == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        try:
            value = json.loads(raw.decode(self._encoding), parse_constant=lambda _name: None)
        except UnicodeDecodeError:
            return Record(line=number, problem="含有无法识别的字节，文件可能已损坏或编码不一致")
        except json.JSONDecodeError as error:
            return Record(line=number, problem=f"不是有效的 JSON（第 {error.colno} 个字符处）")
        except (ValueError, RecursionError):
            return Record(line=number, problem="不是可以读取的 JSON（数字过长或嵌套过深）")
        if not isinstance(value, dict):
            return Record(line=number, problem="应为一个 JSON 对象（花括号），而不是单独的值或数组")
        return Record(line=number, cells={_readable(name)[:60]: _json_cell(cell) for name, cell in value.items()})


def _json_cell(cell: object) -> Cell:
    if isinstance(cell, str):
        return _tidy(cell)
    if cell is None or isinstance(cell, bool | int | float):
        return cell
    return BadCell("应为文字或数字，而不是数组或对象", _readable(json.dumps(cell, ensure_ascii=False)[:200]))


class _WorkbookTable(Table):
    def __init__(self, path: Path, sheet: str) -> None:
        import openpyxl  # a fifth of a second; only workbooks need it

        if not path.stat().st_size:
            raise Invalid({"file": f"{path.name} 是空文件。"})
        try:
            with zipfile.ZipFile(path) as packed:
                if sum(entry.file_size for entry in packed.infolist()) > MOST_UNPACKED:
                    raise Invalid({"file": f"{path.name} 解压后大得不合常理，拒绝读取。"})
            with warnings.catch_warnings():
                # What openpyxl misses in a workbook (styles, extensions) holds no data.
                warnings.simplefilter("ignore")
                self._book = openpyxl.load_workbook(path, read_only=True)
        except (zipfile.BadZipFile, KeyError, ValueError, TypeError, EOFError, SyntaxError) as error:
            # A parse error of XML is a SyntaxError.
            raise Invalid({"file": f"{path.name} 不是有效的 XLSX 文件，可能已损坏或设有密码。"}) from error
        try:
            self._sheet = self._chosen(sheet)
            self._read, self._total = 0, int(self._sheet.max_row or 0)
            self._rows = self._numbered()
            self.columns = self._heading(path)
        except BaseException:
            self.close()
            raise
        self.written_as = f"XLSX，工作表“{self._sheet.title}”"

    @override
    def records(self) -> Iterator[Record]:
        while True:
            try:
                number, row = next(self._rows)
            except StopIteration:
                return
            except (KeyError, ValueError, TypeError, IndexError, EOFError, SyntaxError, zipfile.BadZipFile) as error:
                yield Record(
                    line=self._read + 1, problem=f"工作表从这里起已损坏，无法继续读取（{type(error).__name__}）"
                )
                return
            self._read = number
            cells = [self._cell(cell) for cell in row]
            if all(cell is None for cell in cells):
                continue
            more = [cell for cell in cells[len(self.columns) :] if cell is not None]
            problem = f"有内容的列比表头的 {len(self.columns)} 列多" if more else ""
            cells += [None] * (len(self.columns) - len(cells))
            yield Record(line=number, cells=dict(zip(self.columns, cells, strict=False)), problem=problem)

    @override
    def progress(self) -> tuple[int, int]:
        return self._read, max(self._total, self._read)

    @override
    def close(self) -> None:
        with suppress(AttributeError):  # a workbook that was not even opened
            # A sheet that was not read to its end holds the file open until its reader is let go.
            self._rows.close()
        with suppress(AttributeError):
            self._book.close()

    def _chosen(self, name: str) -> Any:  # noqa: ANN401 - openpyxl's worksheet has three types
        sheets = {sheet.title: sheet for sheet in self._book.worksheets}
        if not sheets:
            raise Invalid({"sheet": "文件中没有工作表。"})
        if name and name not in sheets:
            raise Invalid({"sheet": f"没有名为“{name}”的工作表，现有：{'、'.join(sheets)}。"})
        return sheets[name] if name else next(iter(sheets.values()))

    def _numbered(self) -> Generator[tuple[int, Sequence[Any]]]:
        # Some programs write a dimension of A1 over a full sheet; openpyxl would believe it.
        self._sheet.reset_dimensions()
        yield from enumerate(self._sheet.iter_rows(), 1)

    def _heading(self, path: Path) -> list[str]:
        try:
            for number, row in self._rows:
                self._read = number
                cells = [None if isinstance(cell.value, str) and not cell.value.strip() else cell.value for cell in row]
                while cells and cells[-1] is None:
                    cells.pop()
                if cells:
                    return _names(cells)
        except (KeyError, ValueError, TypeError, IndexError, EOFError, SyntaxError, zipfile.BadZipFile) as error:
            raise Invalid({"file": f"{path.name} 的工作表已损坏，无法读取。"}) from error
        raise Invalid({"file": f"{path.name} 的工作表“{self._sheet.title}”是空的。"})

    def _cell(self, cell: Any) -> Cell:  # noqa: ANN401 - openpyxl's cell has two types
        value = cell.value
        if cell.data_type in _REFUSED_CELLS:
            return BadCell(_REFUSED_CELLS[cell.data_type], str(value)[:200])
        if isinstance(value, str):
            return _tidy(value) or None
        if value is None or isinstance(value, datetime | bool | int | float):
            return value
        return datetime.combine(value, time()) if isinstance(value, date) else str(value)
