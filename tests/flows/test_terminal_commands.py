"""Accounts, the demonstration city and the running installation's servers, from a terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import func, select

from hotline.cli import ADDRESSES, main
from hotline.cli.running import DEMO_PASSWORD
from hotline.core.db import Database
from hotline.core.permissions import Role
from hotline.core.sealing import Keyring
from hotline.demo import real
from hotline.people.queries import knows_password, token_bearer, user
from hotline.tickets.models import Ticket
from routing.queries import departments_of
from tests.makers import PASSWORD, make_department, make_user

Command = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with keys."""
    Keyring.load(tmp_path / "home" / "keys", create=True)
    return tmp_path / "home"


@pytest.fixture
def hotline(database_url: str, home: Path) -> Command:
    """Call `hotline` as a person at a terminal does; `typed` is what he answers to questions."""

    def call(*words: str, typed: str = "", **environment: str) -> Result:
        given = {"DATABASE_URL": database_url, "HOTLINE_HOME": str(home), "HOTLINE_REAL_DATA": str(home)}
        return CliRunner().invoke(main, list(words), input=typed, env=given | environment)

    return call


def tickets(db: Database) -> int:
    with db.read() as session:
        return session.scalar(select(func.count()).select_from(Ticket)) or 0


# Accounts


def test_an_account_is_opened_with_a_typed_password_and_its_departments(hotline: Command, db: Database) -> None:
    with db.begin() as session:
        department = make_department(session, "lighting")
    answer = hotline(
        *("user", "create", "Zhang01", "--name", "张三", "--role", "responder", "--department", "lighting"),
        typed=f"{PASSWORD}\n{PASSWORD}\n",
    )
    assert answer.exit_code == 0, answer.output
    assert PASSWORD not in answer.output
    with db.read() as session:
        made = user(session, login="zhang01")
        assert (made.display_name, made.role, made.must_change_password) == ("张三", Role.RESPONDER, True)
        assert knows_password(session, user_id=made.id, password=PASSWORD)
        assert departments_of(session, made.id) == {department.id}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--department", "nowhere"), "没有代码为“nowhere”的单位"),
        (("--name", " "), "请填写姓名"),
    ],
)
def test_an_account_that_cannot_be_is_refused_and_nothing_is_left(
    hotline: Command, words: tuple[str, ...], said: str
) -> None:
    answer = hotline("user", "create", "li01", "--name", "李四", "--role", "operator", "--generate", *words)
    assert answer.exit_code == 1
    assert said in answer.output
    assert "共 0 个账号" in hotline("user", "list").output


def test_a_weak_password_and_a_taken_login_are_refused(hotline: Command) -> None:
    weak = hotline("user", "create", "li01", "--name", "李四", "--role", "operator", typed="short\nshort\n")
    assert weak.exit_code == 1
    assert "密码至少" in weak.output
    made = hotline("user", "create", "li01", "--name", "李四", "--role", "operator", "--generate")
    assert made.exit_code == 0
    again = hotline("user", "create", "LI01", "--name", "李四", "--role", "operator", "--generate")
    assert again.exit_code == 1
    assert "已被使用" in again.output


def test_a_password_is_set_anew_and_the_shown_one_opens(hotline: Command, db: Database) -> None:
    hotline("user", "create", "li01", "--name", "李四", "--role", "operator", "--generate")
    answer = hotline("user", "password", "li01", "--generate")
    shown = re.search(r"密码：(\S+)（", answer.output)
    assert shown is not None
    with db.read() as session:
        made = user(session, login="li01")
        assert knows_password(session, user_id=made.id, password=shown[1])
        assert made.must_change_password
    assert hotline("user", "password", "nobody", "--generate").exit_code == 1


def test_a_closed_account_is_listed_as_closed_and_cannot_be_closed_twice(hotline: Command) -> None:
    for login in ("li01", "wang01"):
        hotline("user", "create", login, "--name", login, "--role", "auditor", "--generate")
    assert hotline("user", "close", "li01").exit_code == 0
    listed = hotline("user", "list").output.splitlines()
    assert listed == ["li01\tli01\t回访员\t停用\t", "wang01\twang01\t回访员\t启用\t", "共 2 个账号。"]
    assert hotline("user", "list", "--search", "wang").output.endswith("共 1 个账号。\n")
    again = hotline("user", "close", "li01")
    assert (again.exit_code, "已经停用" in again.output) == (1, True)


def test_a_token_speaks_for_a_counter_or_a_person_until_it_is_ended(hotline: Command, db: Database) -> None:
    hotline("user", "create", "li01", "--name", "李四", "--role", "operator", "--generate")
    device = re.search(r"令牌：(\S+)（", hotline("user", "token", "一号窗口").output)
    person = re.search(r"令牌：(\S+)（", hotline("user", "token", "报表程序", "--login", "li01").output)
    assert device is not None
    assert person is not None
    with db.read() as session:
        first, second = token_bearer(session, token=device[1]), token_bearer(session, token=person[1])
        assert first is not None
        assert second is not None
        assert (first.role, first.user_id) == (Role.DEVICE, None)
        assert (second.role, second.login) == (Role.OPERATOR, "li01")
    listed = hotline("user", "token", "--list").output
    number = re.search(r"^(\d+)\t一号窗口\t评价终端\t有效$", listed, re.MULTILINE)
    assert number is not None
    assert hotline("user", "token", "--end", number[1]).exit_code == 0
    assert hotline("user", "token", "--end", number[1]).exit_code == 1
    with db.read() as session:
        assert token_bearer(session, token=device[1]) is None
    assert "已作废" in hotline("user", "token", "--list").output


# The demonstration city


def test_the_city_is_loaded_once_and_messages_beside_it(hotline: Command, db: Database, home: Path) -> None:
    folder = home / "messages"
    folder.mkdir()
    lines = [
        json.dumps({"id": n, "title": f"第{n}盏路灯", "body": f"第{n}盏路灯坏了三天，请派人来修。", "time": None})
        for n in range(3)
    ]
    (folder / "complaints.jsonl").write_text("\n".join(lines), "utf-8")
    (folder / "replies.jsonl").write_text("\n".join([*lines, '{"id": 9, "body": ""}']), "utf-8")
    answer = hotline("demo", "load", "--real", str(folder))
    assert answer.exit_code == 0, answer.output
    assert "共 4 行：导入 3，已有或重复 0，坏行 1。" in answer.output
    assert (home / DEMO_PASSWORD).read_text().strip() not in answer.output
    assert tickets(db) == 160 + 6
    again = hotline("demo", "load", "--real", str(folder), "--limit", "2")
    assert again.exit_code == 0, again.output
    assert again.output.count("共 2 行：导入 0，已有或重复 2，坏行 0。") == 2
    assert tickets(db) == 160 + 6


def test_an_installation_with_people_gets_no_city_and_no_password(
    hotline: Command, db: Database, home: Path, now: datetime
) -> None:
    with db.begin() as session:
        make_user(session, now=now)
    answer = hotline("demo", "load")
    assert answer.exit_code == 0, answer.output
    assert "未作改动" in answer.output
    assert not (home / DEMO_PASSWORD).exists()
    assert tickets(db) == 0


def test_a_folder_without_any_of_the_files_is_refused(
    hotline: Command, db: Database, home: Path, now: datetime
) -> None:
    with db.begin() as session:
        make_user(session, now=now)
    answer = hotline("demo", "load", "--real", str(home))
    assert answer.exit_code == 1
    assert "中没有 complaints.jsonl" in answer.output


# Finding the installation that runs


def test_without_a_database_a_command_says_how_to_have_one(hotline: Command) -> None:
    answer = hotline("user", "list", DATABASE_URL="")
    assert answer.exit_code == 1
    assert "请先用 hotline run 启动系统，或设置 DATABASE_URL" in answer.output


def test_the_servers_of_a_running_installation_are_found(hotline: Command, database_url: str, home: Path) -> None:
    note = home / ADDRESSES
    note.parent.mkdir()
    note.write_text(json.dumps({"DATABASE_URL": database_url, "REDIS_URL": "redis://localhost:1"}), "utf-8")
    answer = hotline("user", "list", DATABASE_URL="")
    assert answer.exit_code == 0, answer.output
    assert "共 0 个账号" in answer.output


def test_real_messages_are_looked_for_where_the_variable_says(tmp_path: Path) -> None:
    assert real.folder({real.VARIABLE: str(tmp_path)}) is None
    (tmp_path / real.FILES[0].name).touch()
    assert real.folder({real.VARIABLE: str(tmp_path)}) == tmp_path
    assert [file.name for file, _ in real.files_in(tmp_path)] == [real.FILES[0].name]
