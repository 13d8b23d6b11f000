"""Users and tokens: who may come in, as a person or as a machine."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from hotline.core.errors import HotlineError, Invalid
from hotline.core.permissions import MACHINE_ROLES, STAFF_ROLES, Permission, Role
from hotline.people import actions as people
from hotline.people import queries as people_queries
from hotline.web import forms, labels, present
from hotline.web.admin.layout import EditPage, ListPage, Row
from hotline.web.gate import actor, db, now, page
from hotline.web.turning import turn
from routing import actions as routing
from routing import queries as routing_queries

bp = Blueprint("accounts", __name__, url_prefix="/admin")


_PAGE = 50


@bp.get("/users")
@page(Permission.USER_EDIT)
def users() -> ResponseReturnValue:
    """List accounts and offer to open one."""
    return render_template("administration/users.html", page=_users_page({}, {}))


@bp.post("/users")
@page(Permission.USER_EDIT)
def create_user() -> ResponseReturnValue:
    """Open an account."""
    values = {name: forms.text(name) for name in ("login", "display_name", "role")}
    try:
        with db().begin() as session:
            user = people.create_user(
                session,
                login=values["login"],
                display_name=values["display_name"],
                role=forms.member(Role, "role") or Role.PUBLIC,
                password=forms.text("password"),
                by=actor(),
                now=now(),
            )
            routing.join_department(session, user_id=user.id, department_ids=_chosen_departments(), by=actor())
    except Invalid as error:
        return render_template("administration/users.html", page=_users_page(values, error.fields)), 422
    except HotlineError as error:
        return render_template("administration/users.html", page=_users_page(values, {"login": [error.message]})), 409
    forms.told("success", f"已开通账号 {values['login']}，首次登录须修改密码。")
    return redirect(url_for("accounts.users"), 303)


@bp.get("/users/<login>")
@page(Permission.USER_EDIT)
def user(login: str) -> ResponseReturnValue:
    """Show one account."""
    return render_template("administration/user.html", page=_user_page(login, {}))


@bp.post("/users/<login>")
@page(Permission.USER_EDIT)
def change_user(login: str) -> ResponseReturnValue:
    """Change name, role, departments or activity."""
    try:
        with db().begin() as session:
            found = people_queries.user(session, login=login)
            people.change_user(
                session,
                user_id=found.id,
                version=forms.required("version"),
                display_name=forms.text("display_name"),
                role=forms.member(Role, "role") or found.role,
                active=forms.flag("active"),
                by=actor(),
            )
            routing.join_department(session, user_id=found.id, department_ids=_chosen_departments(), by=actor())
    except Invalid as error:
        return render_template("administration/user.html", page=_user_page(login, error.fields)), 422
    forms.told("success", "已保存。角色或启用状态变动后，该用户需要重新登录。")
    return redirect(url_for("accounts.user", login=login), 303)


@bp.post("/users/<login>/password")
@page(Permission.USER_EDIT)
def reset_password(login: str) -> ResponseReturnValue:
    """Set a first password; the person chooses an own one at the next sign-in."""
    try:
        with db().begin() as session:
            found = people_queries.user(session, login=login)
            people.set_password(
                session, user_id=found.id, password=forms.text("password"), must_change=True, by=actor(), now=now()
            )
    except Invalid as error:
        return render_template("administration/user.html", page=_user_page(login, error.fields)), 422
    forms.told("success", "已重置密码，该用户下次登录须修改。")
    return redirect(url_for("accounts.user", login=login), 303)


def _users_page(values: dict[str, Any], errors: dict[str, list[str]]) -> ListPage:
    words, cursor = forms.asked("q").strip(), forms.asked("cursor")
    with db().read() as session:
        found = people_queries.users(session, cursor=cursor, limit=_PAGE, search=words)
        belongs = routing_queries.memberships(session, [each.id for each in found.rows])
        departments = routing_queries.departments(session)
    rows = [
        Row(
            href=url_for("accounts.user", login=each.login),
            cells={
                "login": each.login,
                "name": each.display_name,
                "role": labels.words(each.role),
                "departments": "、".join(belongs.get(each.id, ())) or "—",
                "active": each.active,
                "created": present.moment(each.created_at),
            },
        )
        for each in found.rows
    ]
    return ListPage(
        rows=rows,
        values={"login": "", "display_name": "", "role": "", **values},
        errors=errors,
        choices={"roles": labels.options(STAFF_ROLES), "departments": [(d.id, d.name) for d in departments]},
        turn=turn(found, cursor=cursor, endpoint="accounts.users", q=words or None),
        words=words,
    )


def _user_page(login: str, errors: dict[str, list[str]]) -> EditPage:
    with db().read() as session:
        found = people_queries.user(session, login=login)
        mine = routing_queries.entered_for(session, found.id)
        departments = routing_queries.departments(session)
    return EditPage(
        key=login,
        heading=f"{found.display_name}（{login}）",
        values={
            "version": found.version,
            "display_name": forms.text("display_name", found.display_name),
            "role": forms.text("role", found.role.value),
            "active": forms.flag("active") if request.method == "POST" else found.active,
            "department_ids": [str(each) for each in sorted(mine)],
        },
        errors=errors,
        choices={"roles": labels.options(STAFF_ROLES), "departments": [(str(d.id), d.name) for d in departments]},
    )


def _chosen_departments() -> frozenset[int]:
    raw = request.form.getlist("department_ids")
    if any(not each.isdecimal() for each in raw if each):
        raise Invalid({"department_ids": "所选单位无法识别，请重新选择。"})
    return frozenset(int(each) for each in raw if each)


@bp.get("/tokens")
@page(Permission.USER_EDIT)
def tokens() -> ResponseReturnValue:
    """List machine tokens and offer to make one."""
    return render_template("administration/tokens.html", page=_tokens_page({}, {}))


@bp.post("/tokens")
@page(Permission.USER_EDIT)
def issue_token() -> ResponseReturnValue:
    """Make a token and show it, once."""
    values = {name: forms.text(name) for name in ("name", "login", "role")}
    try:
        machine = _machine(values["role"])
        with db().begin() as session:
            owner = people_queries.user(session, login=values["login"].strip()) if values["login"].strip() else None
            secret = people.issue_token(
                session,
                name=values["name"],
                role=owner.role if owner else machine,
                user_id=owner.id if owner else None,
                by=actor(),
                now=now(),
            )
    except Invalid as error:
        return render_template("administration/tokens.html", page=_tokens_page(values, error.fields)), 422
    except HotlineError as error:
        return render_template("administration/tokens.html", page=_tokens_page(values, {"login": [error.message]})), 422
    return render_template("administration/tokens.html", page=_tokens_page({}, {}, secret=secret))


@bp.post("/tokens/<int:token_id>/end")
@page(Permission.USER_EDIT)
def end_token(token_id: int) -> ResponseReturnValue:
    """Make a token worthless."""
    with db().begin() as session:
        people.end_token(session, token_id=token_id, by=actor(), now=now())
    forms.told("success", "令牌已停用，最多五秒后在所有进程失效。")
    return redirect(url_for("accounts.tokens"), 303)


def _machine(raw: str) -> Role:
    """Return what a token that speaks for nobody is: a counter's device, or the other line's platform."""
    if raw not in {"", *MACHINE_ROLES}:
        raise Invalid({"role": "请选择终端或平台的种类。"})
    return Role(raw) if raw else Role.DEVICE


def _tokens_page(values: dict[str, Any], errors: dict[str, list[str]], *, secret: str = "") -> ListPage:
    with db().read() as session:
        found = people_queries.tokens(session)
        names = people_queries.names(session, [each.user_id for each in found])
    rows = [
        Row(
            id=each.id,
            href="",
            cells={
                "name": each.name,
                "role": labels.words(each.role),
                "owner": names.get(each.user_id or 0, "—"),
                "created": present.moment(each.created_at),
                "ended": present.moment(each.ended_at),
            },
        )
        for each in found
    ]
    return ListPage(
        rows=rows,
        values={"name": "", "login": "", "role": Role.DEVICE.value, **values},
        errors=errors,
        secret=secret,
        choices={"roles": labels.options(MACHINE_ROLES)},
    )
