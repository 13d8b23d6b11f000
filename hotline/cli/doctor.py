"""`hotline doctor`: says whether everything that we lean on is in order, and if not, how it is mended."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import click

from hotline.cli import installed
from hotline.core import clock
from hotline.core.errors import HotlineError
from hotline.wiring import Installation

#: The calendar must be confirmed this far ahead (house rule; routing.clocks.calendars).
CALENDAR_AHEAD_DAYS: Final = 60
#: From here on deadlines of ten working days cannot be relied on, and the doctor calls it broken.
CALENDAR_SHORT_DAYS: Final = 20
LARGEST_SKEW: Final = timedelta(seconds=5)
MOST_WAITING: Final = 1_000
_LATE_FACTOR: Final = 5
_LATE_LEAST: Final = timedelta(minutes=2)
#: The scheduler starts something every five seconds; after so long without it is not there.
SCHEDULER_SILENT: Final = timedelta(seconds=20)


@dataclass(frozen=True, kw_only=True)
class Complaint:
    """Something that is wrong and how to mend it."""

    what: str
    mend: str
    #: False for what must be seen to in the coming weeks while everything works.
    broken: bool = True


Check = Callable[[Installation, datetime], Iterator[Complaint]]


def check_database(tools: Installation, now: datetime) -> Iterator[Complaint]:
    """Look at connection, version, encoding, and the clock of the server against ours."""
    with tools.db.engine.connect() as connection:
        version = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one())
        if version < 150_000:  # noqa: PLR2004 - PostgreSQL 15
            yield Complaint(what=f"PostgreSQL 版本过低（{version // 10000}）。", mend="升级到 15 或更高版本。")
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
        if encoding != "UTF8":
            yield Complaint(what=f"数据库编码为 {encoding}。", mend="以 -E UTF8 --locale=C.UTF-8 重新建库并恢复备份。")
        theirs: datetime = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
        if abs(theirs.astimezone(UTC) - clock.now()) > LARGEST_SKEW:
            yield Complaint(what="本机与数据库服务器的时钟不一致。", mend="在两台机器上启用 NTP 对时（chrony）。")
    del now


def check_migrations(tools: Installation, now: datetime) -> Iterator[Complaint]:
    """Compare the schema with the one that this code was written for."""
    from hotline.migrate import current, head

    del now
    present = current(tools.db.engine)
    if present != head():
        yield Complaint(what=f"数据表版本为 {present or '空库'}，程序需要 {head()}。", mend="执行 hotline migrate。")


def check_queue(tools: Installation, now: datetime) -> Iterator[Complaint]:
    """Look at the queue server, the workers, and what waits."""
    import redis

    from hotline.wiring import queue_lengths
    from hotline.worker import connect, workers_on_duty

    if not tools.settings.redis_url:
        yield Complaint(what="没有配置队列服务。", mend="设置 REDIS_URL，或用 hotline run 启动。")
        return
    try:
        connection = connect(tools.settings.redis_url)
        lengths = queue_lengths(connection)
        workers = workers_on_duty(connection, now=now)
    except redis.RedisError as error:
        yield Complaint(
            what=f"队列服务没有回答（{type(error).__name__}），后台作业暂停，工单照常受理。",
            mend="启动 Redis 并检查 REDIS_URL；恢复后积压会自动送出。",
        )
        return
    if not workers:
        yield Complaint(what="没有在岗的后台作业进程。", mend="启动 hotline worker。")
    for name, length in lengths.items():
        if length > MOST_WAITING:
            yield Complaint(what=f"队列 {name.value} 积压 {length} 项。", mend="增加 hotline worker 的进程数。")


def check_timetable(tools: Installation, now: datetime) -> Iterator[Complaint]:
    """Find out whether the scheduler starts anything, and which periodic jobs did not succeed lately."""
    from hotline.core.periodic import latest
    from hotline.wiring import SCHEDULE

    with tools.db.read() as session:
        runs = latest(session)
    started = max((run.started_at for run in runs.values()), default=None)
    if started is not None and now - started > SCHEDULER_SILENT:
        yield Complaint(
            what=f"已有 {(now - started).total_seconds():.0f} 秒没有安排任何定时作业。",
            mend="队列服务正常而仍如此时，启动 hotline scheduler（全系统一个）。",
        )
    for job in SCHEDULE:
        run = runs.get(job.name)
        allowed = max(job.every * _LATE_FACTOR, _LATE_LEAST)
        if run is None:
            yield Complaint(what=f"定时作业 {job.name} 从未运行。", mend="启动 hotline scheduler（全系统一个）。")
        elif run.succeeded_at is None or now - run.succeeded_at > allowed:
            yield Complaint(
                what=f"定时作业 {job.name} 迟迟没有成功：{run.last_error or '没有运行'}。",
                mend="检查 scheduler 与 worker 是否在运行，并查看其日志。",
            )


def check_outbox(tools: Installation, now: datetime) -> Iterator[Complaint]:
    """Find what was tried so often that a person must look."""
    from hotline.core.outbox import given_up

    del now
    with tools.db.read() as session:
        rows = given_up(session)
    for row in rows[:5]:
        yield Complaint(
            what=f"待发事项 #{row.id}（{row.event}）多次未送达：{row.last_error}。",
            mend="排除原因后，在“后台作业”页面重新送出。",
        )


def check_model(tools: Installation, now: datetime) -> Iterator[Complaint]:
    """Load the text model."""
    del now
    if tools.suggester.model is None:
        said = tools.suggester.suggest("检查", "检查分类模型是否可用。")
        yield Complaint(
            what="；".join(said.reasons) or "分类模型不可用。",
            mend="执行 hotline classifier train 重新训练，或回退到上一版本。",
        )


def check_calendar(tools: Installation, now: datetime) -> Iterator[Complaint]:
    """Count the days ahead that are confirmed."""
    from routing.clocks.granting import calendar

    with tools.db.read() as session:
        ahead = calendar(session).confirmed_days_ahead(clock.local_day(now))
    if ahead < CALENDAR_AHEAD_DAYS:
        yield Complaint(
            what=f"工作日历只确认到 {ahead} 天之后。",
            mend="在“工作日历”页面录入国务院办公厅公布的放假与调休安排，或升级 holidays 库。",
            broken=ahead < CALENDAR_SHORT_DAYS,
        )


def check_carrier(tools: Installation, now: datetime) -> Iterator[Complaint]:
    """Look at the carrier and at messages that got stuck."""
    from hotline.telephony.actions import stuck

    try:
        _ = tools.carrier, tools.calls
    except HotlineError as error:
        yield Complaint(what=error.message, mend="补全环境变量，或设 HOTLINE_CARRIER=recorder。")
    with tools.db.read() as session:
        rows = stuck(session, now=now, limit=5)
    for row in rows:
        yield Complaint(
            what=f"短信 #{row.id} 未能确认发出：{(row.last_error or '中途中断').rstrip('。')}。",
            mend="核对号码与运营商账户后人工告知诉求人。",
        )


CHECKS: Final[tuple[tuple[str, Check], ...]] = (
    ("数据库与时钟", check_database),
    ("数据表版本", check_migrations),
    ("队列与后台进程", check_queue),
    ("定时作业", check_timetable),
    ("待发事项", check_outbox),
    ("分类模型", check_model),
    ("工作日历", check_calendar),
    ("电话短信运营商", check_carrier),
)


@click.command(help="检查数据库、队列、数据表、模型、日历、运营商与时钟，并说明如何修复。")
@click.option("--json", "as_json", is_flag=True, help="以 JSON 输出")
def doctor(*, as_json: bool) -> None:
    """Examine everything; exit code 1 when something is broken, 0 when there is at most something to see to."""
    from hotline.wiring import open_installation

    tools = open_installation(installed())
    report = examine(tools, now=clock.now())
    if as_json:
        found = {name: [c.__dict__ for c in complaints] for name, complaints in report}
        click.echo(json.dumps(found, ensure_ascii=False))
    else:
        for name, complaints in report:
            click.echo(f"{_sign(complaints)} {name}")
            for complaint in complaints:
                click.echo(f"    {complaint.what}\n    → {complaint.mend}")
    sys.exit(1 if any(complaint.broken for _, complaints in report for complaint in complaints) else 0)


def _sign(complaints: Sequence[Complaint]) -> str:
    if not complaints:
        return "✓ 正常"
    return "✗ 故障" if any(complaint.broken for complaint in complaints) else "！留意"


def examine(tools: Installation, *, now: datetime) -> list[tuple[str, list[Complaint]]]:
    """Run every check; one that cannot run is itself a complaint, and the others still run."""
    report = []
    for name, check in CHECKS:
        try:
            complaints = list(check(tools, now))
        except Exception as error:  # whatever it is, the person must read it and the next check must run  # noqa: BLE001
            complaints = [
                Complaint(what=f"无法检查：{type(error).__name__}：{error}".split("\n")[0], mend="先解决上面的问题。")
            ]
        report.append((name, complaints))
    return report
