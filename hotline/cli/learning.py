"""The command `hotline classifier learn`: one training from people's decisions, in a process with bounds of its own."""

from __future__ import annotations

import os
import resource
import threading
from typing import Final

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from hotline.cli import Refused
from hotline.core import clock
from hotline.core.permissions import SYSTEM
from hotline.core.settings import Settings
from hotline.wiring import Installation, open_installation
from routing.learning import training

#: More memory than this a training must not take: 4 000 labels and the seed corpus need about a quarter of it.
MOST_MEMORY_BYTES: Final = 4 << 30
#: More processor time than this a training must not take.
MOST_CPU_S: Final = 3_600
_BEAT_EVERY_S: Final = 20.0
_NICE: Final = 10


@click.command(help="从人工决定中学习：训练候选模型，与在用模型比较，合格才启用。")
@click.option("--run", "run_id", type=int, help="由后台作业指定的训练编号；不写则立即开始一次")
def learn(run_id: int | None) -> None:
    """Carry out one training run; without a number, ask for one and carry it out at once."""
    _bind()
    tools = open_installation(Settings.from_environment())
    if run_id is None:
        with tools.db.begin() as session:
            training.ask(session, why="在终端启动", by=SYSTEM, now=clock.now())
        with tools.db.begin() as session:
            run_id = training.begin_due(session, now=clock.now())
        if run_id is None:
            raise Refused("已有训练正在进行，请等它结束。")
    done = threading.Event()
    pulse = threading.Thread(target=_beat, args=(tools, run_id, done), daemon=True)
    pulse.start()
    try:
        _learn(tools, run_id)
    except Exception as error:  # the page must say that it failed, whatever it was
        with tools.db.begin() as session:
            training.failed(session, run_id, words=training.in_words(error), now=clock.now())
        raise
    finally:
        done.set()
        pulse.join()


def _learn(tools: Installation, run_id: int) -> None:
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        job = bar.add_task("准备", total=1.0)

        def say(step: str, share: float) -> None:
            bar.update(job, description=step, completed=share)
            with tools.db.begin() as session:
                training.beat(session, run_id, now=clock.now(), step=step, share=share)

        row = training.learn(tools.db.begin, home=tools.models, run_id=run_id, say=say, now=clock.now)
    click.echo(f"模型 {row.version}：{row.reason}")


def _beat(tools: Installation, run_id: int, done: threading.Event) -> None:
    while not done.wait(_BEAT_EVERY_S):
        with tools.db.begin() as session:
            training.beat(session, run_id, now=clock.now())


def _bind() -> None:
    """Keep to the background and within bounds, so that a training never takes the desks' machine away."""
    os.nice(_NICE)
    for what, most in ((resource.RLIMIT_DATA, MOST_MEMORY_BYTES), (resource.RLIMIT_CPU, MOST_CPU_S)):
        _, hard = resource.getrlimit(what)
        resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
