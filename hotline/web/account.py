"""Signing in and out, one's own password."""

from __future__ import annotations

from dataclasses import dataclass, field

from flask import Blueprint, redirect, render_template, session, url_for
from flask.typing import ResponseReturnValue

from hotline.core.errors import Invalid, NotSignedIn
from hotline.people import actions, queries
from hotline.web import forms, labels
from hotline.web.gate import TOKEN_KEY, actor, address, db, for_staff, inside, now, open_to_all, person

bp = Blueprint("account", __name__)


@dataclass(frozen=True, kw_only=True)
class SignInPage:
    """The door."""

    login: str = ""
    next: str = ""
    errors: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PasswordPage:
    """One's own account."""

    login: str
    display_name: str
    role: str
    forced: bool
    errors: dict[str, list[str]] = field(default_factory=dict)


@bp.get("/sign-in")
@open_to_all
def sign_in_form() -> ResponseReturnValue:
    """Show the door."""
    return render_template("account/sign_in.html", page=SignInPage(next=inside(forms.asked("next"))))


@bp.post("/sign-in")
@open_to_all
def sign_in() -> ResponseReturnValue:
    """Check the password; the guess is counted first, in a transaction of its own."""
    login, onward = forms.text("login").strip(), inside(forms.text("next"))
    try:
        with db().begin() as writing:
            actions.count_guess(writing, login=login, address=address(), now=now())
        with db().begin() as writing:
            password = forms.text("password")
            token = actions.sign_in(writing, login=login, password=password, address=address(), now=now())
    except NotSignedIn as error:
        page = SignInPage(login=login, next=onward, errors={"password": [error.message]})
        return render_template("account/sign_in.html", page=page), 401
    except Invalid as error:  # a character that no text of the database can hold
        page = SignInPage(login=login, next=onward, errors=error.fields)
        return render_template("account/sign_in.html", page=page), 422
    session.clear()
    session[TOKEN_KEY] = token
    session.permanent = True
    return redirect(onward or url_for("desk.home"))


@bp.post("/sign-out")
@for_staff
def sign_out() -> ResponseReturnValue:
    """End this browser's sign-in."""
    with db().begin() as writing:
        actions.sign_out(writing, token=str(session.get(TOKEN_KEY, "")))
    session.clear()
    return redirect(url_for("account.sign_in_form"))


@bp.get("/account")
@for_staff
def password_form() -> ResponseReturnValue:
    """Show one's own account and the change of password."""
    return render_template("account/password.html", page=_page({}))


@bp.post("/account")
@for_staff
def change_password() -> ResponseReturnValue:
    """Change one's own password; the old one is asked for."""
    who = person()
    if who is None or who.user_id is None:
        raise NotSignedIn
    problems: dict[str, list[str]] = {}
    if forms.text("password") != forms.text("again"):
        problems["again"] = ["两次输入的新密码不一致。"]
    try:
        with db().begin() as writing:
            if not queries.knows_password(writing, user_id=who.user_id, password=forms.text("old")):
                problems["old"] = ["原密码不正确。"]
            if problems:
                raise Invalid(problems)  # noqa: TRY301 - one answer to every problem of the form
            actions.set_password(
                writing, user_id=who.user_id, password=forms.text("password"), must_change=False, by=actor(), now=now()
            )
            token = actions.sign_in(writing, login=who.login, password=forms.text("password"), now=now())
    except Invalid as error:
        return render_template("account/password.html", page=_page(error.fields)), 422
    session[TOKEN_KEY] = token
    forms.told("success", "密码已修改，其他设备上的登录已退出。")
    return redirect(url_for("desk.home"))


def _page(errors: dict[str, list[str]]) -> PasswordPage:
    who = person()
    if who is None:
        raise NotSignedIn
    return PasswordPage(
        login=who.login,
        display_name=who.display_name,
        role=labels.words(who.role),
        forced=who.must_change_password,
        errors=errors,
    )
