"""`hotline keys`: make the keys of a new installation, change the key that seals, let old ones go."""

from __future__ import annotations

import sys
from contextlib import closing

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from hotline.cli import Refused, installed
from hotline.core import clock
from hotline.core.settings import Settings
from hotline.wiring import Installation

_INTERRUPTED = 130
_WORDS = {"tickets": "工单", "text_messages": "短信", "submissions": "提交记录", "attachments": "附件"}


@click.group(help="管理加密个人信息的密钥。")
def keys() -> None:
    """Hold the sub-commands."""


@keys.command(help="生成缺少的密钥；已有的不会改动。")
def create() -> None:
    """Make what is missing; for an installation whose data is new or whose keys are all lost."""
    from hotline.core.sealing import Keyring

    settings = Settings.from_environment()
    Keyring.load(settings.keys, create=True)
    click.echo(f"密钥在 {settings.keys}：请立即备份，丢失后个人信息无法解密。")


@keys.command(
    help="换用新的封存密钥，并把工单、短信、提交记录与附件中的个人信息逐批改由新密钥封存；系统不必停机。"
    "中断后再次执行即继续。--drop-old 不换新密钥，而是在全部内容都已改封之后删除旧密钥。"
)
@click.option("--drop-old", is_flag=True, help="删除旧密钥；仍有内容需要旧密钥时拒绝")
def rotate(*, drop_old: bool) -> None:
    """Add a key and bring everything under it, or let the old keys go."""
    from hotline.core import sealing
    from hotline.wiring import open_installation

    settings = installed()
    console = Console(highlight=False, soft_wrap=True)
    tools = open_installation(settings)  # says in words when the keys are not complete
    with closing(tools.db):
        if drop_old:
            _require_something_to_drop(settings)
        elif sealing.begin_rotation(settings.keys):
            console.print("上一次换密钥没有做完，继续进行。")
        else:
            console.print(f"已加入新密钥（{settings.keys}），请立即另行备份。", markup=False)
        if not _reseal(tools, console):
            raise Refused("有内容无法用任何一把密钥打开（见上），旧密钥保留。请从备份恢复缺少的密钥后再次执行。")
        sealing.end_rotation(settings.keys)
        if drop_old:
            _drop(tools)
            console.print("旧密钥已删除。用旧密钥封存的备份今后须另存当时的密钥才能打开。")
        elif count := sealing.old_keys(settings.keys):
            console.print(
                f"全部内容已由新密钥封存。旧密钥还有 {count} 把；确认备份后执行 hotline keys rotate --drop-old。"
            )


def _require_something_to_drop(settings: Settings) -> None:
    from hotline.core import sealing

    if not sealing.old_keys(settings.keys):
        raise Refused("没有旧密钥可以删除。")
    if wait := sealing.settles_in(settings.keys, now=clock.now().timestamp()):
        raise Refused(f"新密钥刚刚加入，可能还有写入正在使用旧密钥，请在 {wait:.0f} 秒后再次执行。")


def _drop(tools: Installation) -> None:
    from hotline.core import sealing
    from hotline.intake.resealing import require_all_under_newest

    with tools.db.begin() as session:
        require_all_under_newest(session, tools.store)
        sealing.drop_old_keys(tools.settings.keys)


def _reseal(tools: Installation, console: Console) -> bool:
    """Bring everything under the newest key with a bar; tells whether every value could be opened."""
    from hotline.intake.resealing import reseal

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    tasks: dict[str, TaskID] = {}
    parts = {}
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        try:
            for part in reseal(tools.db.begin, tools.store):
                if part.part not in tasks:
                    tasks[part.part] = bar.add_task(_WORDS[part.part], total=part.total)
                parts[part.part] = part
                bar.update(tasks[part.part], completed=part.done)
        except KeyboardInterrupt:
            bar.stop()
            console.print("已中断。已改封的不受影响；再次执行 hotline keys rotate 即继续。")
            sys.exit(_INTERRUPTED)
    for name, part in parts.items():
        broken = f"，无法打开 {part.broken}" if part.broken else ""
        console.print(f"{_WORDS[name]}：共 {part.done}，改封 {part.changed}{broken}")
        for each in part.names:
            console.print(f"    {each}", style="yellow", markup=False)
    return not any(part.broken for part in parts.values())
