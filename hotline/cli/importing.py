"""`hotline import FILE`: the good rows go in, the bad ones are told by line, and it can be run again."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from hotline.cli import Refused, installed
from hotline.core import clock
from hotline.core.errors import Invalid, Unavailable
from hotline.core.permissions import SYSTEM
from hotline.core.spreadsheets import safe_cell
from hotline.intake import files, importing
from hotline.intake.files import BadCell, Cell, Table
from hotline.intake.importing import FIELDS, Plan, Rejected, Tally
from hotline.tickets.vocabulary import Channel
from hotline.wiring import Installation, open_installation

#: So many bad rows are told on screen; all of them are in the file.
TOLD: Final = 20
MOST_SOURCE: Final = 100
_INTERRUPTED: Final = 130
_FIELDS: Final = "、".join(f"{name} {label}" for name, (label, _) in FIELDS.items())


class BadUsage(Refused):
    """One sentence about the file or an option; exit code 2."""

    exit_code = 2


@click.command(
    "import",
    help="从 CSV、XLSX、JSONL 批量导入诉求。坏行按行号列出原因并另存，其余照常导入；"
    "中断后再次执行同一命令即可继续，不会重复。有坏行时退出码为 1。",
    epilog=f"字段：{_FIELDS}。",
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--map",
    "mapping",
    default="",
    metavar="FIELD=COLUMN,…",
    help="列的对应，如 title=标题,content=内容；不写则按表头辨认",
)
@click.option(
    "--source", default="", metavar="NAME", help="来源的名称；同一来源的同一编号只导入一次。不写则以文件内容为准"
)
@click.option(
    "--channel",
    type=click.Choice([channel.value for channel in Channel]),
    default=Channel.IMPORT.value,
    show_default=True,
    help="行内没有写明渠道时用",
)
@click.option("--encoding", default="", help="字符编码；不写则自动辨认 UTF-8 与 GB18030")
@click.option("--sheet", default="", help="XLSX 的工作表名；不写取第一张")
@click.option(
    "--rejected", type=click.Path(dir_okay=False, path_type=Path), help="坏行另存到哪里，默认 FILE.rejected.csv"
)
@click.option("--limit", type=click.IntRange(min=1), help="只读前若干行")
@click.option("--dry-run", is_flag=True, help="只检查，不写入")
def import_(*, file: Path, rejected: Path | None, dry_run: bool, limit: int | None, **given: Any) -> None:  # noqa: ANN401 - the options of `Wish`
    """Read the options, bring the file in, say what became of it."""
    console = Console(highlight=False, soft_wrap=True)
    settings = installed()
    tools = open_installation(settings)
    with closing(tools.db):
        wish = Wish(**given | {"channel": Channel(given["channel"])}, rejected=rejected, limit=limit, dry_run=dry_run)
        tally = import_file(tools, file, wish, console=console)
    sys.exit(1 if tally.rejected else 0)


@dataclass(frozen=True, kw_only=True)
class Wish:
    """How a file is to be brought in; what is empty is found out."""

    mapping: str = ""
    source: str = ""
    channel: Channel = Channel.IMPORT
    encoding: str = ""
    sheet: str = ""
    rejected: Path | None = None
    limit: int | None = None
    dry_run: bool = False


def import_file(tools: Installation, file: Path, wish: Wish, *, console: Console) -> Tally:
    """Bring one file in with a bar on the console and return what became of its rows.

    Raises `BadUsage` when the file or an option cannot be used; when it is stopped by Ctrl-C it says how to go on and
    ends with exit code 130.
    """
    tally = Tally()
    with _as_usage(), files.open_table(file, encoding=wish.encoding, sheet=wish.sheet) as table:
        columns = (
            importing.parse_map(wish.mapping, table.columns) if wish.mapping else importing.guess_columns(table.columns)
        )
        importing.require_content(columns, table.columns)
        if len(wish.source) > MOST_SOURCE:
            raise BadUsage(f"--source 最多 {MOST_SOURCE} 个字符。")
        _say_columns(console, table, columns)
        with tools.db.read() as session:
            known = importing.lookups(session)
        plan = Plan(
            columns=columns,
            source=wish.source or f"file:{files.digest_of(file)[:24]}",
            channel=wish.channel,
            lookups=known,
        )
        place = wish.rejected or _aside_of(file, tools.settings.home)
        if place.resolve() == file.resolve():
            raise BadUsage("--rejected 不能是要导入的文件本身。")
        aside = Rejections(place, table.columns, console)
        with aside, _bar(console, table) as moved:
            try:
                for tally in importing.bring_in(
                    tools.db.begin,
                    table,
                    plan,
                    by=SYSTEM,
                    now=clock.now,
                    limit=wish.limit,
                    dry_run=wish.dry_run,
                    on_rejected=aside.add,
                ):
                    moved(tally)
            except KeyboardInterrupt:
                moved.stop()
                _say_result(console, tally, aside, dry_run=wish.dry_run)
                console.print("已中断。再次执行同一命令即从中断处继续，已导入的不会重复。")
                sys.exit(_INTERRUPTED)
            except Unavailable:
                moved.stop()
                _say_result(console, tally, aside, dry_run=wish.dry_run)
                console.print("数据库没有回答。恢复后再次执行同一命令即可继续，已导入的不会重复。")
                raise
    _say_result(console, tally, aside, dry_run=wish.dry_run)
    return tally


class Rejections:
    """Tells bad rows on screen, the first twenty, and keeps them all in a file that a spreadsheet may open safely."""

    def __init__(self, path: Path, columns: Iterable[str], console: Console) -> None:
        """Take the place of the file; it is made with the first bad row, and one of an earlier run goes."""
        self.path, self._columns, self._console = path, list(columns), console
        self.count = 0
        self._file: IO[str] | None = None
        self._writer: Any = None

    def __enter__(self) -> Self:
        """Take away what an earlier run left."""
        self.path.unlink(missing_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def add(self, bad: Rejected) -> None:
        """Tell and keep one row."""
        self.count += 1
        reasons = "；".join(f"{where}：{words}" if where else words for where, words in bad.reasons)
        if self.count <= TOLD:
            self._console.print(f"第 {bad.record.line} 行：{reasons}", style="yellow", markup=False)
        elif self.count == TOLD + 1:
            self._console.print("……其余坏行不再显示，见另存的文件。", style="yellow")
        if self._file is None:
            # Only the owner may read it: it holds what citizens wrote.
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            self._file = os.fdopen(handle, "w", encoding="utf-8-sig", errors="replace", newline="")
            self._writer = csv.writer(self._file)
            self._writer.writerow(["行号", "原因", *map(safe_cell, self._columns)])
        cells = [_shown(bad.record.cells.get(column)) for column in self._columns]
        self._writer.writerow([bad.record.line, safe_cell(reasons), *map(safe_cell, cells)])
        self._file.flush()  # what is told stays when we are killed


def _shown(cell: Cell) -> str | int | float:
    if isinstance(cell, BadCell):
        return cell.shown
    if cell is None or isinstance(cell, str | int | float):
        return "" if cell is None else cell
    return cell.isoformat(sep=" ")


def _aside_of(file: Path, home: Path) -> Path:
    """Return where bad rows are kept: beside the file, or at home where that folder may not be written to."""
    folder = file.resolve().parent
    return (folder if os.access(folder, os.W_OK) else home) / f"{file.name}.rejected.csv"


class _Bar:
    def __init__(self, progress: Progress, task: TaskID, table: Table) -> None:
        self._progress, self._task, self._table = progress, task, table

    def __call__(self, tally: Tally) -> None:
        done, total = self._table.progress()
        words = f"已读 {tally.rows} 行"
        self._progress.update(self._task, completed=done, total=total, description=words)

    def stop(self) -> None:
        self._progress.stop()


@contextmanager
def _bar(console: Console, table: Table) -> Iterator[_Bar]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield _Bar(progress, progress.add_task("正在读取", total=table.progress()[1] or None), table)


@contextmanager
def _as_usage() -> Iterator[None]:
    """Tell what is wrong with the file or an option as a mistake of usage."""
    try:
        yield
    except Invalid as error:
        raise BadUsage("\n".join(text for texts in error.fields.values() for text in texts)) from error


def _say_columns(console: Console, table: Table, columns: Mapping[str, str]) -> None:
    said = "，".join(f"{column} → {FIELDS[name][0]}" for name, column in columns.items())
    console.print(f"文件：{table.written_as}", markup=False)
    console.print(f"列的对应：{said}", markup=False)
    unused = [column for column in table.columns if column not in columns.values()]
    if unused:
        console.print(f"未使用的列：{'、'.join(unused)}", markup=False)
    if "key" not in columns:
        console.print("没有编号列：以整行内容辨认同一条诉求，完全相同的行只导入一次。", markup=False)


def _say_result(console: Console, tally: Tally, aside: Rejections, *, dry_run: bool) -> None:
    words = "可导入" if dry_run else "导入"
    console.print(f"共 {tally.rows} 行：{words} {tally.imported}，已有或重复 {tally.known}，坏行 {tally.rejected}。")
    if aside.count:
        console.print(f"坏行与原因已另存：{aside.path}（改正后可直接导入该文件）", markup=False)
