"""The command line and the bootstrap: quick to help, one sentence where something is wrong."""

from __future__ import annotations

import os
import re
import shutil
import socket
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console

from hotline.cli import COMMANDS, SECRETS, read_secret_files
from hotline.cli.running import (
    DEMO_PASSWORD,
    Steps,
    demonstration_accounts,
    demonstration_password,
    ensure_keys,
    load_demonstration,
)
from hotline.core.errors import Invalid, Unavailable
from hotline.core.permissions import MACHINE_ROLES, Role
from hotline.core.settings import Settings

pytestmark = pytest.mark.enable_socket
ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 60


def hotline(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `hotline` to its end."""
    kept = {name: value for name, value in os.environ.items() if name not in {*SECRETS, "PORT", "HOTLINE_HOME"}}
    return subprocess.run(
        [sys.executable, "-m", "hotline.cli", *words],
        cwd=ROOT,
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def test_help_lists_every_command_and_loads_none_of_them() -> None:
    question = (
        "import sys\nfrom hotline.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "slow = {'sqlalchemy', 'flask', 'psycopg', 'redis', 'rq', 'rich', 'numpy'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", question], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert answer.returncode == 0, answer.stderr
    listed = re.findall(r"^  ([a-z]+)  ", answer.stdout, flags=re.MULTILINE)
    assert listed == list(COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_that_is_listed_is_there_and_explains_itself(name: str) -> None:
    command = COMMANDS[name][1]()
    assert command.name == name
    assert command.help


def test_an_unknown_command_ends_with_an_error() -> None:
    answer = hotline("fly")
    assert answer.returncode != 0
    assert "fly" in answer.stderr


def test_a_taken_port_ends_run_in_one_sentence_before_anything_is_made(home: Path) -> None:
    with closing(socket.socket()) as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        answer = hotline("run", PORT=str(port), HOTLINE_HOME=str(home))
    assert answer.returncode == 1
    assert answer.stderr.startswith(f"错误：端口 {port} 不能使用")
    assert len(answer.stderr.splitlines()) == 1
    assert not home.exists()


def test_an_unreachable_database_ends_run_in_one_sentence(home: Path) -> None:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"postgresql+psycopg://hotline:geheim@127.0.0.1:{port}/hotline"
    answer = hotline("run", PORT=str(port), HOTLINE_HOME=str(home), DATABASE_URL=url)
    assert answer.returncode == 1
    assert answer.stderr.startswith(f"错误：连不上 DATABASE_URL 指定的数据库（127.0.0.1:{port}）")
    assert len(answer.stderr.splitlines()) == 1
    assert "geheim" not in answer.stdout + answer.stderr


def test_a_setting_that_makes_no_sense_is_named() -> None:
    answer = hotline("run", PORT="lots")
    assert answer.returncode == 1
    assert "PORT" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "database_url"
    file.write_text("postgresql+psycopg://hotline@db/hotline\n", encoding="utf-8")
    environment = {"DATABASE_URL_FILE": str(file)}
    read_secret_files(environment)
    assert environment["DATABASE_URL"] == "postgresql+psycopg://hotline@db/hotline"


def test_a_secret_that_is_given_twice_or_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as refusal:
        read_secret_files(
            {
                "DATABASE_URL": "postgresql+psycopg://a/b",
                "DATABASE_URL_FILE": "/somewhere",
                "REDIS_URL_FILE": str(tmp_path / "nowhere"),
            }
        )
    assert set(refusal.value.fields) == {"DATABASE_URL", "REDIS_URL"}


def test_one_demonstration_account_is_shown_for_every_role_of_a_person() -> None:
    machines = {*MACHINE_ROLES, Role.PUBLIC, Role.SYSTEM}
    shown = [role for role, _login, _name in demonstration_accounts()]
    assert len(shown) == len(set(shown)) == len(set(Role) - machines)


def test_the_password_of_the_demonstration_is_made_once_and_kept_from_others(tmp_path: Path) -> None:
    first = demonstration_password(tmp_path)
    assert demonstration_password(tmp_path) == first
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    other = tmp_path / "other"
    other.mkdir()
    assert demonstration_password(other) != first


def test_a_city_is_loaded_into_an_empty_database_only_and_lost_keys_are_not_replaced(
    database_url: str, tmp_path: Path
) -> None:
    first, second = (
        Settings.from_environment({"HOTLINE_HOME": str(tmp_path / name), "DATABASE_URL": database_url})
        for name in ("first", "second")
    )
    steps = Steps(Console(quiet=True))
    first.home.mkdir()
    ensure_keys(first)
    before = {path.name: path.read_bytes() for path in first.keys.iterdir()}
    assert before
    load_demonstration(first, steps)
    assert (first.home / DEMO_PASSWORD).exists()
    ensure_keys(first)
    assert {path.name: path.read_bytes() for path in first.keys.iterdir()} == before

    # Another home on the same database: its keys would open nothing, and its password no account.
    second.home.mkdir()
    with pytest.raises(Unavailable, match="密钥目录"):
        ensure_keys(second)
    shutil.copytree(first.keys, second.keys)
    load_demonstration(second, steps)
    assert not (second.home / DEMO_PASSWORD).exists()


def bootstrap(script: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the bootstrap script to its end."""
    return subprocess.run(
        ["/bin/sh", str(script), "requirements.lock"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def test_a_machine_without_python_is_told_what_to_install(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    found = shutil.which("dirname")
    assert found is not None
    (tools / "dirname").symlink_to(found)
    script = tmp_path / "bin" / "bootstrap"
    script.parent.mkdir()
    # The interpreters that every Linux has in known places are out of this machine's reach.
    text = (ROOT / "bin" / "bootstrap").read_text(encoding="utf-8")
    script.write_text(text.replace("/usr/", "/nowhere/"), encoding="utf-8")
    answer = bootstrap(script, PATH=str(tools))
    assert answer.returncode == 1
    assert "Python >= 3.11 is missing" in answer.stderr
    assert answer.stdout == ""


@pytest.mark.parametrize(("environments", "chosen"), [(True, "system"), (False, "path")])
def test_the_systems_own_python_goes_first_where_it_can_make_environments(
    tmp_path: Path, *, environments: bool, chosen: str
) -> None:
    script = tmp_path / "bin" / "bootstrap"
    script.parent.mkdir()
    text = (ROOT / "bin" / "bootstrap").read_text(encoding="utf-8")
    script.write_text(text.replace("/usr/bin/python3\n", f"{tmp_path}/system/python3\n"), encoding="utf-8")
    for name in ("system", "path"):
        fake = tmp_path / name / "python3"
        fake.parent.mkdir()
        refuses = "" if environments or name == "path" else 'case "$*" in *venv*) exit 1;; esac\n'
        fake.write_text(f'#!/bin/sh\n{refuses}case "$*" in *bootstrap.py*) echo {name};; esac\n', encoding="utf-8")
        fake.chmod(0o755)
    answer = bootstrap(script, PATH=f"{tmp_path / 'path'}:{os.environ['PATH']}")
    assert answer.stdout.split() == [chosen]
    assert answer.returncode == 0


def test_a_chosen_interpreter_that_does_not_suit_is_refused() -> None:
    answer = bootstrap(ROOT / "bin" / "bootstrap", PATH=os.environ["PATH"], PYTHON="/bin/false")
    assert answer.returncode == 1
    assert "PYTHON=/bin/false is not a Python >= 3.11" in answer.stderr


def test_the_lock_for_development_holds_the_lock_for_running() -> None:
    def pins(name: str) -> set[str]:
        text = (ROOT / name).read_text(encoding="utf-8")
        return set(re.findall(r"^[a-z0-9][^ ]*==[^ ;]+", text, flags=re.MULTILINE))

    assert pins("requirements.lock")
    assert pins("requirements.lock") <= pins("requirements-dev.lock")


def test_make_help_prints_every_target_with_its_sentence() -> None:
    answer = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=True)
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^\.PHONY: (\S+)$", text, flags=re.MULTILINE)
    assert targets
    for target in targets:
        assert re.search(rf"^  make {target} +\S", answer.stdout, flags=re.MULTILINE), target
