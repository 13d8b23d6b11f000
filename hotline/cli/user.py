"""`hotline user`: accounts from the terminal, for the first administrator and for the day nobody can sign in."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import click
from sqlalchemy.orm import Session

from hotline.cli import Refused, installed
from hotline.core import clock
from hotline.core.permissions import STAFF_ROLES, SYSTEM, Role
from hotline.people import actions, queries

_PAGE = 200


@click.group(help="管理账号与令牌。")
def user() -> None:
    """Hold the sub-commands."""


@user.command(help="新建账号；首次登录须改密码。")
@click.argument("login")
@click.option("--name", required=True, help="姓名")
@click.option("--role", required=True, type=click.Choice([role.value for role in STAFF_ROLES]), help="岗位")
@click.option("--department", "codes", multiple=True, metavar="CODE", help="所属单位的代码；可多次")
@click.option("--generate", is_flag=True, help="由系统生成密码并显示一次；不写则询问")
def create(*, login: str, name: str, role: str, codes: tuple[str, ...], generate: bool) -> None:
    """Open an account and enter it for its departments."""
    from routing.actions import join_department
    from routing.queries import department_by_code

    password = _password(generate=generate)
    with _session() as session:
        departments = {code: department_by_code(session, code) for code in codes}
        unknown = [code for code, department in departments.items() if department is None]
        if unknown:
            raise Refused(f"没有代码为“{'”“'.join(unknown)}”的单位。")
        made = actions.create_user(
            session, login=login, display_name=name, role=Role(role), password=password, by=SYSTEM, now=clock.now()
        )
        ids = frozenset(department.id for department in departments.values() if department is not None)
        join_department(session, user_id=made.id, department_ids=ids, by=SYSTEM)
        login = made.login
    click.echo(f"已新建账号 {login}，首次登录须改密码。")
    if generate:
        click.echo(f"密码：{password}（只显示这一次）")


@user.command("list", help="列出账号。")
@click.option("--search", default="", metavar="WORDS", help="姓名含有、或账号以此开头")
def list_(*, search: str) -> None:
    """Print every account, one per line."""
    from hotline.web.labels import words
    from routing.queries import memberships

    cursor, count = "", 0
    with _session() as session:
        while True:
            page = queries.users(session, cursor=cursor, limit=_PAGE, search=search)
            entered = memberships(session, [each.id for each in page.rows])
            for each in page.rows:
                places = "、".join(entered.get(each.id, ()))
                state = "启用" if each.active else "停用"
                click.echo("\t".join([each.login, each.display_name, words(each.role), state, places]))
            cursor, count = page.next_cursor, count + len(page.rows)
            if not cursor:
                break
    click.echo(f"共 {count} 个账号。")


@user.command("password", help="重设密码；该账号已登录的浏览器全部退出，下次登录须改密码。")
@click.argument("login")
@click.option("--generate", is_flag=True, help="由系统生成密码并显示一次；不写则询问")
def password_(*, login: str, generate: bool) -> None:
    """Set a password that its person must change."""
    password = _password(generate=generate)
    with _session() as session:
        found = queries.user(session, login=login.strip().lower())
        actions.set_password(session, user_id=found.id, password=password, must_change=True, by=SYSTEM, now=clock.now())
    click.echo(f"账号 {login} 的密码已重设。")
    if generate:
        click.echo(f"密码：{password}（只显示这一次）")


@user.command(help="停用账号；已登录的浏览器立即退出。")
@click.argument("login")
def close(*, login: str) -> None:
    """Close an account; what it did stays."""
    with _session() as session:
        found = queries.user(session, login=login.strip().lower())
        if not found.active:
            raise Refused(f"账号 {found.login} 已经停用。")
        actions.change_user(
            session,
            user_id=found.id,
            version=found.version,
            display_name=found.display_name,
            role=found.role,
            active=False,
            by=SYSTEM,
        )
    click.echo(f"账号 {login} 已停用。")


@user.command(
    help="发放接口令牌：默认给评价终端；--exchange 给 110 平台；--login 给某人的程序；--list 列出；--end 作废。"
)
@click.argument("name", default="")
@click.option("--login", default="", help="令牌代表的账号；不写为评价终端")
@click.option("--exchange", is_flag=True, help="给 110 等联动平台，只能互转诉求")
@click.option("--list", "listed", is_flag=True, help="列出令牌")
@click.option("--end", type=int, metavar="ID", help="作废这个令牌")
def token(*, name: str, login: str, exchange: bool, listed: bool, end: int | None) -> None:
    """Make, list or end machine tokens; a token is shown once."""
    from hotline.web.labels import words

    with _session() as session:
        if end is not None:
            if not any(each.id == end and each.ended_at is None for each in queries.tokens(session, limit=10_000)):
                raise Refused(f"没有编号为 {end} 的有效令牌。")
            actions.end_token(session, token_id=end, by=SYSTEM, now=clock.now())
            said = [f"令牌 {end} 已作废。"]
        elif listed:
            rows = queries.tokens(session, limit=10_000)
            said = [
                "\t".join([str(each.id), each.name, words(each.role), "已作废" if each.ended_at else "有效"])
                for each in rows
            ]
        else:
            found = queries.user(session, login=login.strip().lower()) if login else None
            made = actions.issue_token(
                session,
                name=name,
                role=found.role if found else Role.EXCHANGE if exchange else Role.DEVICE,
                user_id=found.id if found else None,
                by=SYSTEM,
                now=clock.now(),
            )
            said = [f"令牌：{made}（只显示这一次）"]
    for line in said:
        click.echo(line)


def _password(*, generate: bool) -> str:
    if generate:
        return secrets.token_urlsafe(12)
    asked: str = click.prompt("密码", hide_input=True, confirmation_prompt="再输入一次")
    return asked


@contextmanager
def _session() -> Iterator[Session]:
    """Open the installation's database for one transaction."""
    from hotline.wiring import open_installation

    tools = open_installation(installed())
    try:
        with tools.db.begin() as session:
            yield session
    finally:
        tools.db.close()
