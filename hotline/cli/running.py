"""`hotline run`: everything on one machine, from an empty folder to a printed address."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import signal
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.table import Table

from hotline.cli import ADDRESSES
from hotline.cli.serving import WEB_THREADS, WEB_WORKERS, web_command
from hotline.core.settings import Settings
from hotline.runtime.problems import CannotStart
from routing.serving import models_folder

if TYPE_CHECKING:
    from hotline.runtime.children import Child
    from hotline.runtime.supervisor import Supervisor

PREPARED: Final = "prepared.json"
HEALTH_WITHIN_S: Final = 90.0
HEALTH_EVERY_S: Final = 0.05
DEMO_PASSWORD: Final = "demonstration-password"  # noqa: S105 - the name of a file
_ROLE_WORDS: Final[Mapping[str, str]] = {
    "operator": "话务员",
    "dispatcher": "派单员",
    "responder": "承办单位",
    "auditor": "回访员",
    "supervisor": "督办主管",
    "administrator": "系统管理员",
    "arbiter": "职责裁定员",
}


class Steps:
    """Says what is being done: a moving line on a terminal, one line per finished step everywhere."""

    def __init__(self, console: Console) -> None:
        """Speak on this console."""
        self.console = console

    @contextmanager
    def step(self, words: str) -> Iterator[None]:
        """Show that something is going on and, when it went well, how long it took."""
        began = time.monotonic()
        with self.console.status(f"{words} …"):
            yield
        self.console.print(f"[green]完成[/green]  {words}  [dim]{time.monotonic() - began:.1f} 秒[/dim]")

    def note(self, words: str) -> None:
        """Say one sentence."""
        self.console.print(f"[yellow]提示[/yellow]  {words}", highlight=False)


def _console() -> Console:
    # A terminal that cannot show a character shows a question mark; it must not stop the start.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    return Console(highlight=False, soft_wrap=True)


@click.command(help="启动整套系统：没有 DATABASE_URL、REDIS_URL 时自带数据库与队列；按 Ctrl-C 停止。")
@click.option("--port", type=click.IntRange(1, 65535), help="端口，默认取环境变量 PORT 或 12345")
@click.option(
    "--listen", envvar="HOTLINE_LISTEN", default="127.0.0.1", show_default=True, help="监听的地址；0.0.0.0 为全部"
)
@click.option("--workers", type=click.IntRange(1, 32), default=1, show_default=True, help="后台作业进程数")
@click.option("--demo/--no-demo", default=True, show_default=True, help="数据库为空时载入演示城市")
def run(*, port: int | None, listen: str, workers: int, demo: bool) -> None:
    """Start everything; comes back when somebody asks to stop."""
    from hotline.runtime.supervisor import StopAsked, stop_on_signals

    if port is not None:
        os.environ["PORT"] = str(port)
    settings = Settings.from_environment()
    steps = Steps(_console())
    with stop_on_signals():
        try:
            _run(settings, steps, listen=listen, workers=workers, demo=demo)
        except StopAsked:
            steps.console.print("已全部停止。")


def _run(settings: Settings, steps: Steps, *, listen: str, workers: int, demo: bool) -> None:
    from hotline.runtime.readiness import require_free_port
    from hotline.runtime.supervisor import Service, Supervisor

    require_free_port(listen, settings.port)
    settings.home.mkdir(parents=True, exist_ok=True)
    with ExitStack() as servers, Supervisor(home=settings.home, say=steps.note) as supervisor:
        # `servers` is left after the supervisor: first the services stop, then what they lean on.
        environment = dict(os.environ) | {"HOTLINE_HOME": str(settings.home), "PORT": str(settings.port)}
        environment["DATABASE_URL"] = _database(settings, steps, servers, supervisor)
        environment["REDIS_URL"] = _broker(settings, steps, servers, supervisor)
        servers.enter_context(_addresses_told(settings, environment))
        if settings.database_url or not is_prepared(settings.home, environment["DATABASE_URL"], demo=demo):
            _prepare_in_child(environment, demo=demo)
        with steps.step("启动网站"):
            web = web_command(settings, listen=listen, workers=WEB_WORKERS, threads=WEB_THREADS)
            child = supervisor.start(Service(name="web", command=web, environment=environment))
            _wait_for_web(child, settings, listen=listen)
        # Only now, so that the web has the processors for itself while people wait for it; nothing is lost
        # meanwhile, because what is to be done stands in the database.
        for number in range(1, workers + 1):
            name = "worker" if workers == 1 else f"worker-{number}"
            supervisor.start(Service(name=name, command=_hotline("worker"), environment=environment))
        supervisor.start(Service(name="scheduler", command=_hotline("scheduler"), environment=environment))
        _welcome(steps.console, settings, listen=listen)
        with _farewell(steps):
            supervisor.watch()


@contextmanager
def _addresses_told(settings: Settings, environment: Mapping[str, str]) -> Iterator[None]:
    """While we run, let other commands of the same owner find our private servers (`hotline.cli.installed`)."""
    note = settings.home / ADDRESSES
    note.parent.mkdir(parents=True, exist_ok=True)
    note.unlink(missing_ok=True)
    with os.fdopen(os.open(note, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        json.dump({name: environment[name] for name in ("DATABASE_URL", "REDIS_URL")}, out)
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


@contextmanager
def _farewell(steps: Steps) -> Iterator[None]:
    from hotline.runtime.supervisor import StopAsked

    try:
        yield
    except StopAsked:
        steps.console.print("正在停止 …")
        raise


def _database(settings: Settings, steps: Steps, servers: ExitStack, supervisor: Supervisor) -> str:
    """Return the address of the given database, which must answer, or of a private one just started."""
    if settings.database_url:
        from hotline.runtime.readiness import place_of, require_database

        with steps.step(f"连接数据库 {place_of(settings.database_url)}"):
            require_database(settings.database_url)
        return settings.database_url
    from hotline.runtime.postgres import PrivatePostgres

    postgres = PrivatePostgres(settings.home)
    with steps.step("启动自带的 PostgreSQL"):
        url = postgres.start()
        servers.callback(postgres.stop)
    supervisor.keep("PostgreSQL", postgres)
    return url


def _broker(settings: Settings, steps: Steps, servers: ExitStack, supervisor: Supervisor) -> str:
    """Return the address of the given broker, or of a private one just started.

    A given broker that does not answer is only reported: tickets are accepted without it and work is delivered
    when it comes back.
    """
    if settings.redis_url:
        from hotline.runtime.readiness import broker_answers, place_of

        if not broker_answers(settings.redis_url):
            where = place_of(settings.redis_url)
            steps.note(f"REDIS_URL 指定的队列服务（{where}）没有回答：工单照常受理，待其恢复后再执行后台作业。")
        return settings.redis_url
    from hotline.runtime.broker import PrivateBroker

    broker = PrivateBroker(settings.home)
    with steps.step("启动自带的队列服务"):
        url = broker.start()
        servers.callback(broker.stop)
    supervisor.keep("队列服务", broker)
    return url


def _hotline(*words: str) -> list[str]:
    return [sys.executable, "-m", "hotline.cli", *words]


def _prepare_in_child(environment: Mapping[str, str], *, demo: bool) -> None:
    """Migrate, load and train in a process of its own: what it needs in memory is given back."""
    from hotline.runtime.children import Child

    child = Child.start(
        _hotline("prepare", "--demo" if demo else "--no-demo"),
        name="prepare",
        death_signal=signal.SIGTERM,
        environment=environment,
    )
    try:
        code = child.wait()
    except BaseException:
        child.stop((signal.SIGTERM, 10.0))
        raise
    if code != 0:
        raise CannotStart("准备工作没有完成，系统没有启动；原因见上。")


def _wait_for_web(child: Child, settings: Settings, *, listen: str) -> None:
    from hotline.runtime.children import wait_until
    from hotline.runtime.readiness import web_answers

    host = "127.0.0.1" if listen in {"0.0.0.0", "::", ""} else listen  # noqa: S104 - compared, not bound
    answered = False

    def decided() -> bool:
        nonlocal answered
        answered = web_answers(settings.port, host=host)
        return answered or child.dead()

    wait_until(decided, within_s=HEALTH_WITHIN_S, every_s=HEALTH_EVERY_S)
    if not answered:
        raise CannotStart(f"网站未能启动：{child.last_words()}（详见 {child.log}）")


def _welcome(console: Console, settings: Settings, *, listen: str) -> None:
    host = "127.0.0.1" if listen in {"0.0.0.0", "::", ""} else listen  # noqa: S104 - compared, not bound
    console.print(f"\n[bold]12345 热线已就绪： http://{host}:{settings.port}/[/bold]")
    password = settings.home / DEMO_PASSWORD
    if password.exists():
        table = Table(title="演示账号", title_justify="left", box=None, pad_edge=False)
        for heading in ("岗位", "账号", "密码", "姓名"):
            table.add_column(heading)
        for role, login, name in demonstration_accounts():
            table.add_row(role, login, password.read_text(encoding="utf-8").strip(), name)
        console.print(table)
    from hotline.demo import real

    if (folder := real.folder()) is not None:
        console.print(
            f"旁边有真实诉求样本 {folder}：另开终端执行 hotline demo load --real {folder} 可导入。", markup=False
        )
    console.print(f"数据与日志在 {settings.home}；按 Ctrl-C 停止。")


def demonstration_accounts() -> list[tuple[str, str, str]]:
    """Return role, login and name of the one account per role that the demonstration city shows."""
    file = Path(__file__).parents[1] / "demo" / "data" / "users.toml"
    users = tomllib.loads(file.read_text(encoding="utf-8"))["user"]
    return [(_ROLE_WORDS[each["role"]], each["login"], each["name"]) for each in users if each["shown"]]


@click.command(help="建表、载入演示城市、训练默认模型；已经做过的会跳过。")
@click.option("--demo/--no-demo", default=True, show_default=True, help="数据库为空时载入演示城市")
def prepare(*, demo: bool) -> None:
    """Migrate, train the default model and load the demonstration city; what is there already is left alone."""
    settings = Settings.from_environment()
    steps = Steps(_console())
    with steps.step("检查数据表"):
        from hotline.migrate import upgrade

        upgrade(settings.database_url)
    ensure_keys(settings)
    _train(settings, steps)
    if demo:
        load_demonstration(settings, steps)

    note_prepared(settings, demo=demo)


def ensure_keys(settings: Settings) -> None:
    """Make the installation's keys while there is nothing yet that old keys had sealed.

    Raises `Unavailable` when keys are missing and the database already holds citizens: new keys would never open
    what the lost ones closed.
    """
    import psycopg

    from hotline.core.sealing import Keyring

    with psycopg.connect(settings.database_url.replace("+psycopg", "")) as connection:
        row = connection.execute("SELECT EXISTS (SELECT FROM tickets)").fetchone()
    Keyring.load(settings.keys, create=row == (False,))


def _fingerprint(*, demo: bool) -> str:
    """Say in one line which code the preparations are made from: names, sizes and times of its files."""
    root = Path(__file__).parents[2]
    digest = hashlib.sha256(f"demo={demo}".encode())
    for part in ("migrations", "classifier", "hotline/demo"):
        for file in sorted((root / part).rglob("*")):
            if file.suffix in {".py", ".toml", ".json", ".txt"}:
                state = file.stat()
                digest.update(f"{file} {state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def note_prepared(settings: Settings, *, demo: bool) -> None:
    """Write down that this code has prepared this home, and which files that left behind."""
    made = sorted(str(path) for path in (*settings.home.glob("default-*"), *settings.keys.iterdir()))
    note = {"fingerprint": _fingerprint(demo=demo), "made": made}
    (settings.home / PREPARED).write_text(json.dumps(note), encoding="utf-8")


def is_prepared(home: Path, database_url: str, *, demo: bool) -> bool:
    """Tell whether the same code has prepared this home already, and what it made is still there."""
    import psycopg

    try:
        note = json.loads((home / PREPARED).read_text(encoding="utf-8"))
        if note["fingerprint"] != _fingerprint(demo=demo) or not all(Path(path).exists() for path in note["made"]):
            return False
        with psycopg.connect(database_url.replace("+psycopg", "")) as connection:
            return connection.execute("SELECT version_num FROM alembic_version").fetchone() is not None
    except (OSError, ValueError, KeyError, psycopg.Error):
        return False


def _train(settings: Settings, steps: Steps) -> None:
    """Train the default model unless it is there."""
    from classifier.default import ensure_default_model

    with steps.step("检查分类模型（首次需训练，不到一分钟）"):
        ensure_default_model(models_folder(settings.home))


def load_demonstration(settings: Settings, steps: Steps) -> None:
    """Load the demonstration city into an empty installation, with a bar while it lasts."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from hotline.demo.load import load_if_empty

    new = not (settings.home / DEMO_PASSWORD).exists()
    password = demonstration_password(settings.home)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=steps.console, transient=True, disable=not steps.console.is_terminal) as bar:
        task = bar.add_task("载入演示城市", total=None, visible=False)

        def moved(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, visible=True)

        loaded = load_if_empty(settings, password=password, progress=moved)
    if loaded:
        steps.note("数据库是空的，已载入演示城市“望川市”；正式使用请以 --no-demo 启动。")
    elif new:
        # The accounts that are there are somebody else's; a password that opens none of them must not be shown.
        (settings.home / DEMO_PASSWORD).unlink()


def demonstration_password(home: Path) -> str:
    """Return the password of the demonstration accounts: random per installation, kept where only we read it."""
    file = home / DEMO_PASSWORD
    if not file.exists():
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
            out.write(f"Demo-{secrets.token_hex(5)}\n")
    return file.read_text(encoding="utf-8").strip()
