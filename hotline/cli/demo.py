"""`hotline demo load`: the demonstration city into an empty installation, and real messages where they lie at hand."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click
from rich.console import Console

from hotline.cli import Refused, installed
from hotline.core.settings import Settings


@click.group(help="载入演示城市。")
def demo() -> None:
    """Hold the sub-commands."""


@demo.command(help="数据库为空时载入演示城市“望川市”；--real 另外导入一个文件夹中的真实诉求样本，由后台模型分派。")
@click.option(
    "--real",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="含 complaints.jsonl 等文件的文件夹",
)
@click.option("--limit", type=click.IntRange(min=1), help="每个样本文件只导入前若干条")
def load(*, real: Path | None, limit: int | None) -> None:
    """Load what is asked for; what is there already is left alone."""
    from hotline.cli.running import DEMO_PASSWORD, Steps, ensure_keys, load_demonstration

    settings = installed()
    console = Console(highlight=False, soft_wrap=True)
    ensure_keys(settings)
    load_demonstration(settings, Steps(console))
    password = settings.home / DEMO_PASSWORD
    if password.exists():
        console.print(f"演示账号的密码在 {password}。", markup=False)
    elif real is None:
        console.print("数据库中已有用户，演示城市只载入空的数据库，未作改动。")
    if real is not None:
        _load_real(settings, real, console, limit=limit)


def _load_real(settings: Settings, folder: Path, console: Console, *, limit: int | None) -> None:
    from hotline.cli.importing import Wish, import_file
    from hotline.demo import real
    from hotline.wiring import open_installation

    found = real.files_in(folder)
    if not found:
        raise Refused(f"{folder} 中没有 {'、'.join(file.name for file in real.FILES)} 中的任何一个。")
    tools = open_installation(settings)
    with closing(tools.db):
        for file, path in found:
            console.print(f"[bold]{file.name}[/bold]")
            wish = Wish(mapping=file.mapping, source=file.source, limit=limit)
            import_file(tools, path, wish, console=console)
    console.print("后台作业正在为导入的工单逐件给出建议并派单；进度见待派列表。")
