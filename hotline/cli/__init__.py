"""The `hotline` command: one line per sub-command here, each loaded only when it is called."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import IO, Any, Final

import click
from typing_extensions import override

from hotline.core.errors import HotlineError, Invalid
from hotline.core.settings import Settings

#: Secrets that may stand in a file: NAME_FILE names it (docs/settings.md, compose.yaml).
SECRETS: Final = ("DATABASE_URL", "REDIS_URL", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN")


def _run() -> click.Command:
    from hotline.cli.running import run

    return run


def _prepare() -> click.Command:
    from hotline.cli.running import prepare

    return prepare


def _serve() -> click.Command:
    from hotline.cli.serving import serve

    return serve


def _worker() -> click.Command:
    from hotline.cli.serving import worker

    return worker


def _scheduler() -> click.Command:
    from hotline.cli.serving import scheduler

    return scheduler


def _migrate() -> click.Command:
    from hotline.cli.serving import migrate

    return migrate


def _keys() -> click.Command:
    from hotline.cli.keys import keys

    return keys


def _alive() -> click.Command:
    from hotline.cli.serving import alive

    return alive


def _demo() -> click.Command:
    from hotline.cli.demo import demo

    return demo


def _import() -> click.Command:
    from hotline.cli.importing import import_

    return import_


def _user() -> click.Command:
    from hotline.cli.user import user

    return user


def _doctor() -> click.Command:
    from hotline.cli.doctor import doctor

    return doctor


def _audit() -> click.Command:
    from hotline.cli.audit import audit

    return audit


def _deadline() -> click.Command:
    from hotline.cli.deadline import deadline

    return deadline


def _call() -> click.Command:
    from hotline.cli.calling import call

    return call


def _classifier() -> click.Command:
    from hotline.cli.classifier import classifier

    return classifier


#: Every command: its name, what it is for, and where it lives.
COMMANDS: Final[dict[str, tuple[str, Callable[[], click.Command]]]] = {
    "run": ("启动整套系统（自带数据库与队列），按 Ctrl-C 停止", _run),
    "prepare": ("建表、生成密钥、训练默认模型、载入演示城市（run 会自动调用）", _prepare),
    "serve": ("只启动网站", _serve),
    "worker": ("只启动后台作业进程", _worker),
    "scheduler": ("只启动定时作业进程（全系统只能有一个）", _scheduler),
    "migrate": ("把数据库升级到当前版本", _migrate),
    "keys": ("管理加密个人信息的密钥", _keys),
    "alive": ("容器健康检查：本容器的进程是否正常", _alive),
    "demo": ("载入演示城市", _demo),
    "import": ("从 CSV、XLSX、JSONL 批量导入诉求", _import),
    "user": ("管理账号", _user),
    "doctor": ("体检：哪里有问题、怎样修复", _doctor),
    "audit": ("按流转日志核对全部账目，有不符时以 1 退出", _audit),
    "deadline": ("计算办理时限", _deadline),
    "classifier": ("训练、评估与切换分类模型", _classifier),
    "call": ("扮演运营商试拨中间号", _call),
}


#: Where `hotline run` writes down, for its owner only, how to reach the servers it has started.
ADDRESSES: Final = Path("run") / "addresses.json"


class Refused(click.ClickException):
    """A sentence for the person at the terminal; exit code 1."""

    @override
    def show(self, file: IO[Any] | None = None) -> None:
        """Print the sentence to the error stream."""
        click.echo(f"错误：{self.format_message()}", file=file or sys.stderr)


class Commands(click.Group):
    """Loads a command when it is called; `--help` reads the page above and imports nothing."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        try:
            return COMMANDS[cmd_name][1]()
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("hotline.cli."):
                raise
            raise Refused(f"这个版本还没有 {cmd_name} 命令。") from error

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("命令"):
            formatter.write_dl([(name, purpose) for name, (purpose, _load) in COMMANDS.items()])

    @override
    def invoke(self, ctx: click.Context) -> Any:
        try:
            read_secret_files(os.environ)
            return super().invoke(ctx)
        except Invalid as error:
            details = (text for texts in error.fields.values() for text in texts)
            raise Refused("\n".join([error.message, *(f"  {text}" for text in details)])) from error
        except HotlineError as error:
            raise Refused(error.message) from error


def read_secret_files(environment: MutableMapping[str, str]) -> None:
    """Fill in each secret whose NAME_FILE is given; `Invalid` when the file cannot be read or both are given."""
    problems: dict[str, str] = {}
    for name in SECRETS:
        path = environment.get(f"{name}_FILE")
        if not path:
            continue
        if environment.get(name):
            problems[name] = f"{name} 与 {name}_FILE 只能设置一个。"
            continue
        try:
            environment[name] = Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            problems[name] = f"{name}_FILE 指向的文件 {path} 无法读取：{error.strerror}。"
    if problems:
        raise Invalid(problems, "机密文件有误：")


def installed() -> Settings:
    """Return the settings, with the addresses of the servers that `hotline run` started for this home.

    So a command in another terminal finds the private database without being told. Raises `Refused` when there is
    no database to work with.
    """
    environment = dict(os.environ)
    if not environment.get("DATABASE_URL"):
        note = Settings.from_environment(environment).home / ADDRESSES
        try:
            environment |= json.loads(note.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise Refused("没有数据库可用：请先用 hotline run 启动系统，或设置 DATABASE_URL。") from error
    return Settings.from_environment(environment)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="12345 政务服务便民热线。",
)
def main() -> None:
    """Run the sub-command; what is common to all is done in `Commands.invoke`."""
