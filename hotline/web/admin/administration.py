"""The administrator's pages: users, departments, categories, settings, tokens, background work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any

import redis
from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from hotline.core import outbox, periodic
from hotline.core.clock import local_day
from hotline.core.errors import HotlineError, Invalid
from hotline.core.permissions import MACHINE_ROLES, STAFF_ROLES, Permission, Role
from hotline.people import actions as people
from hotline.people import queries as people_queries
from hotline.telephony.actions import stuck
from hotline.tickets import actions as tickets
from hotline.tickets import queries as ticket_queries
from hotline.tickets.vocabulary import Urgency
from hotline.web import forms, labels, present
from hotline.web.gate import actor, db, now, page, tools
from hotline.web.turning import Turn, turn
from hotline.wiring import SCHEDULE, queue_lengths
from routing import actions as routing
from routing import queries as routing_queries
from routing.catalogue import territory, tree
from routing.duty.rules import DUTY_SETTING, DutyPolicy
from routing.models import DepartmentKind
from routing.rules import AUTOMATIC_SETTING, AutomaticPolicy

bp = Blueprint("administration", __name__, url_prefix="/admin")
_PAGE = 50
_DEPARTMENT_FIELDS = ("code", "name", "short_name", "kind", "duty_phone", "parent_id", "region_code")
#: What a form without the field means, in percent.
_PROMISE = "98"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a list of this desk."""

    href: str
    cells: dict[str, Any]
    tone: str | None = None
    id: int = 0


@dataclass(frozen=True, kw_only=True)
class ListPage:
    """A list with a form to add to it."""

    rows: Sequence[Row]
    values: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, list[str]] = field(default_factory=dict)
    choices: dict[str, Sequence[tuple[Any, ...]]] = field(default_factory=dict)
    turn: Turn | None = None
    words: str = ""
    secret: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EditPage:
    """One thing to change."""

    key: str
    heading: str
    values: dict[str, Any]
    errors: dict[str, list[str]] = field(default_factory=dict)
    choices: dict[str, Sequence[tuple[Any, ...]]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class JobsPage:
    """Background work."""

    queue_ok: bool
    queues: Sequence[tuple[str, int]]
    waiting: int
    timetable: Sequence[Row]
    given_up: Sequence[Row]
    messages: Sequence[Row]


# --- users -------------------------------------------------------------------------------------------------------


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
    return redirect(url_for("administration.users"), 303)


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
    return redirect(url_for("administration.user", login=login), 303)


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
    return redirect(url_for("administration.user", login=login), 303)


def _users_page(values: dict[str, Any], errors: dict[str, list[str]]) -> ListPage:
    words, cursor = forms.asked("q").strip(), forms.asked("cursor")
    with db().read() as session:
        found = people_queries.users(session, cursor=cursor, limit=_PAGE, search=words)
        belongs = routing_queries.memberships(session, [each.id for each in found.rows])
        departments = routing_queries.departments(session)
    rows = [
        Row(
            href=url_for("administration.user", login=each.login),
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
        turn=turn(found, cursor=cursor, endpoint="administration.users", q=words or None),
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


# --- departments -------------------------------------------------------------------------------------------------


@bp.get("/departments")
@page(Permission.CATALOGUE_EDIT)
def departments() -> ResponseReturnValue:
    """List the departments and offer to add one."""
    return render_template("administration/departments.html", page=_departments_page({}, {}))


@bp.post("/departments")
@page(Permission.CATALOGUE_EDIT)
def create_department() -> ResponseReturnValue:
    """Add a department."""
    values = {name: forms.text(name) for name in _DEPARTMENT_FIELDS}
    try:
        with db().begin() as session:
            routing.create_department(
                session,
                code=values["code"],
                name=values["name"],
                short_name=values["short_name"],
                kind=forms.member(DepartmentKind, "kind"),
                parent_id=forms.whole("parent_id"),
                duty_phone=values["duty_phone"],
                region_code=values["region_code"],
                by=actor(),
            )
    except Invalid as error:
        return render_template("administration/departments.html", page=_departments_page(values, error.fields)), 422
    forms.told("success", f"已新增承办单位 {values['name']}。")
    return redirect(url_for("administration.departments"), 303)


@bp.get("/departments/<int:department_id>")
@page(Permission.CATALOGUE_EDIT)
def department(department_id: int) -> ResponseReturnValue:
    """Show one department and its members."""
    return render_template("administration/department.html", page=_department_page(department_id, {}))


@bp.post("/departments/<int:department_id>")
@page(Permission.CATALOGUE_EDIT)
def change_department(department_id: int) -> ResponseReturnValue:
    """Change a department."""
    try:
        with db().begin() as session:
            routing.change_department(
                session,
                department_id=department_id,
                version=forms.required("version"),
                changes={
                    "name": forms.text("name").strip(),
                    "short_name": forms.text("short_name").strip(),
                    "duty_phone": forms.text("duty_phone").strip(),
                    "parent_id": forms.whole("parent_id"),
                    "region_code": forms.text("region_code").strip(),
                    "active": forms.flag("active"),
                },
                by=actor(),
            )
    except Invalid as error:
        return render_template(
            "administration/department.html", page=_department_page(department_id, error.fields)
        ), 422
    forms.told("success", "已保存。")
    return redirect(url_for("administration.department", department_id=department_id), 303)


def _departments_page(values: dict[str, Any], errors: dict[str, list[str]]) -> ListPage:
    words = forms.asked("q").strip()
    with db().read() as session:
        found = routing_queries.departments(session, active_only=False)
    names = {each.id: each.short_name for each in found}
    parents = {each.id: each.parent_id for each in found}
    with db().read() as session:
        regions = {each.code: each.path for each in ticket_queries.regions(session)}
    # As a tree: each unit below the one above it, in order of code.
    codes = {each.id: each.code for each in found}
    found = sorted(
        found, key=lambda each: [codes.get(one, "") for one in reversed((each.id, *tree.above(parents, each.id)))]
    )
    rows = [
        Row(
            href=url_for("administration.department", department_id=each.id),
            cells={
                "code": each.code,
                "name": each.name,
                "kind": labels.words(each.kind),
                "parent": names.get(each.parent_id or 0, "—"),
                "level": len(tree.above(parents, each.id)) + 1,
                "region": regions.get(each.region_code, each.region_code or "—"),
                "duty_phone": each.duty_phone or "—",
                "active": each.active,
            },
        )
        for each in found
        if not words or words in each.name or words in each.code
    ]
    blank = dict.fromkeys(_DEPARTMENT_FIELDS, "")
    return ListPage(
        rows=rows,
        values={**blank, **values},
        errors=errors,
        choices={
            "kinds": labels.options(DepartmentKind),
            "parents": [(str(each.id), each.name) for each in found if each.active],
            "regions": list(regions.items()),
        },
        words=words,
    )


def department_again(department_id: int, errors: dict[str, list[str]]) -> str:
    """Show a department's page again after something beside its form was refused."""
    return render_template("administration/department.html", page=_department_page(department_id, errors))


def _department_page(department_id: int, errors: dict[str, list[str]]) -> EditPage:
    with db().read() as session:
        found = routing_queries.department(session, department_id)
        others = routing_queries.departments(session)
        members = routing_queries.members_of(session, department_id)
        contacts = territory.duty_contacts(session, department_id)
        regions = ticket_queries.regions(session)
    # The page's other two forms come back here too when they are refused; only its own says what its fields hold.
    typed = request.method == "POST" and "version" in request.form
    called = "\n".join(f"{each.name} {each.phone} {each.hours}" for each in contacts)
    values = {name: forms.text(name, getattr(found, name) or "") for name in ("name", "short_name", "duty_phone")}
    return EditPage(
        key=str(department_id),
        heading=found.name,
        values={
            **values,
            "version": found.version,
            "code": found.code,
            "kind": labels.words(found.kind),
            "parent_id": forms.text("parent_id", str(found.parent_id or "")),
            "region_code": forms.text("region_code", found.region_code),
            "contacts": forms.text("contacts", called),
            "login": forms.text("login"),
            "active": forms.flag("active") if typed else found.active,
            "members": [{"login": login, "name": name} for _, login, name in members],
        },
        errors=errors,
        choices={
            "parents": [(str(each.id), each.name) for each in others if each.id != department_id],
            "regions": [(each.code, each.path) for each in regions],
        },
    )


# --- categories --------------------------------------------------------------------------------------------------


@bp.get("/categories")
@page(Permission.CATALOGUE_EDIT)
def categories() -> ResponseReturnValue:
    """Show the tree and offer to add a leaf."""
    return render_template("administration/categories.html", page=_categories_page({}, {}))


@bp.post("/categories")
@page(Permission.CATALOGUE_EDIT)
def create_category() -> ResponseReturnValue:
    """Add a category below another."""
    values = {name: forms.text(name) for name in ("code", "name", "parent_id", "definition", "lead", "urgency")}
    try:
        with db().begin() as session:
            _known_department(session, values["lead"])
            tickets.create_category(
                session,
                code=values["code"],
                name=values["name"],
                parent_id=forms.whole("parent_id"),
                definition=values["definition"],
                lead=values["lead"],
                urgency=forms.member(Urgency, "urgency") or Urgency.ORDINARY,
                by=actor(),
                today=local_day(now()),
            )
    except Invalid as error:
        return render_template("administration/categories.html", page=_categories_page(values, error.fields)), 422
    forms.told("success", f"已新增类别 {values['name']}。")
    return redirect(url_for("administration.categories"), 303)


@bp.get("/categories/<code>")
@page(Permission.CATALOGUE_EDIT)
def category(code: str) -> ResponseReturnValue:
    """Show one category."""
    return render_template("administration/category.html", page=_category_page(code, {}))


@bp.post("/categories/<code>")
@page(Permission.CATALOGUE_EDIT)
def change_category(code: str) -> ResponseReturnValue:
    """Change a category's words, usual department and urgency, or retire it."""
    try:
        with db().begin() as session:
            _known_department(session, forms.text("lead"))
            tickets.change_category(
                session,
                code=code,
                name=forms.text("name"),
                definition=forms.text("definition"),
                lead=forms.text("lead"),
                urgency=forms.member(Urgency, "urgency") or Urgency.ORDINARY,
                retired=forms.flag("retired"),
                by=actor(),
                today=local_day(now()),
            )
    except Invalid as error:
        return render_template("administration/category.html", page=_category_page(code, error.fields)), 422
    forms.told("success", "已保存。")
    return redirect(url_for("administration.categories"), 303)


def _known_department(session: Any, code: str) -> None:  # noqa: ANN401 - a session; pages import no SQLAlchemy
    if code and code != "district" and routing_queries.department_by_code(session, code) is None:
        raise Invalid({"lead": "没有这个承办单位，请从列表中选择。"})


def _categories_page(values: dict[str, Any], errors: dict[str, list[str]]) -> ListPage:
    words = forms.asked("q").strip()
    with db().read() as session:
        found = ticket_queries.categories(session)
        units = routing_queries.departments(session)
    names = {each.code: each.short_name for each in units} | {"district": "属地县区"}
    rows = [
        Row(
            href=url_for("administration.category", code=each.code),
            cells={
                "code": each.code,
                "name": each.name,
                "path": each.path,
                "level": each.level,
                "lead": names.get(each.lead, each.lead or "—"),
                "is_leaf": each.is_leaf,
            },
        )
        for each in found
        if not words or words in each.path or words in each.code
    ]
    blank = dict.fromkeys(("code", "name", "parent_id", "definition", "lead", "urgency"), "")
    return ListPage(
        rows=rows,
        values={**blank, **values},
        errors=errors,
        choices={
            "parents": [(str(each.id), each.path) for each in found if each.level < 5],  # noqa: PLR2004 - five levels
            "leads": _leads(units),
            "urgencies": labels.options(Urgency),
        },
        words=words,
    )


def _category_page(code: str, errors: dict[str, list[str]]) -> EditPage:
    with db().read() as session:
        found = ticket_queries.category(session, code)
        units = routing_queries.departments(session)
    typed = request.method == "POST"
    return EditPage(
        key=code,
        heading=found.path,
        values={
            "code": code,
            "name": forms.text("name", found.name),
            "definition": forms.text("definition", found.definition),
            "lead": forms.text("lead", found.lead),
            "urgency": forms.text("urgency", found.urgency.value),
            "retired": forms.flag("retired") if typed else found.valid_to is not None,
        },
        errors=errors,
        choices={"leads": _leads(units), "urgencies": labels.options(Urgency)},
    )


def _leads(units: Sequence[routing_queries.DepartmentNode]) -> list[tuple[str, str]]:
    return [("district", "属地县区政府"), *((each.code, each.name) for each in units)]


# --- settings ----------------------------------------------------------------------------------------------------


@bp.get("/settings")
@page(Permission.SETTINGS_EDIT)
def settings() -> ResponseReturnValue:
    """Show what is set on screen."""
    return render_template("administration/settings.html", page=_settings_page({}, {}))


@bp.post("/settings")
@page(Permission.SETTINGS_EDIT)
def change_settings() -> ResponseReturnValue:
    """Change automatic dispatch and what disputes are opened by."""
    values: dict[str, Any] = {name: forms.text(name) for name in ("least", "excluded")}
    values |= {name: forms.text(name) for name in ("dispatches", "workdays")}
    values |= {"on": forms.flag("on"), "promise": forms.text("promise", _PROMISE)}
    problems: dict[str, str] = {}
    least = _share(str(values["least"]))
    if least is None:
        problems["least"] = "请填写 50 到 100 之间的百分数。"
    promise = _share(str(values["promise"]))
    if promise is None or not 0.9 <= promise < 1:  # noqa: PLR2004 - a promise below nine in ten is none
        problems["promise"] = "请填写 90 到 99.9 之间的百分数。"
    duty, wrong = _duty_policy(str(values["dispatches"]), str(values["workdays"]))
    problems |= wrong
    excluded = str(values["excluded"]).replace("，", ",").replace("、", ",")
    try:
        if problems or least is None:
            raise Invalid(problems)  # noqa: TRY301 - one answer to the form
        with db().begin() as session:
            codes = [code.strip() for code in excluded.split(",") if code.strip()]
            known = [node.code for node in ticket_queries.categories(session)]
            idle = [code for code in codes if not any(one.startswith(code) for one in known)]
            tickets.set_setting(
                session,
                name=AUTOMATIC_SETTING,
                value={"on": values["on"], "least": least, "excluded": codes, "promise": promise},
                by=actor(),
                now=now(),
            )
            tickets.set_setting(session, name=DUTY_SETTING, value=asdict(duty), by=actor(), now=now())
    except Invalid as error:
        return render_template("administration/settings.html", page=_settings_page(values, error.fields)), 422
    forms.told("success", "设置已保存，十秒内在所有进程生效。")
    if idle:
        forms.told("warning", f"没有以“{'、'.join(idle)}”开头的类别代码，请核对始终人工派单的类别。")
    return redirect(url_for("administration.settings"), 303)


def _settings_page(values: dict[str, Any], errors: dict[str, list[str]]) -> EditPage:
    with db().read() as session:
        policy = AutomaticPolicy.from_setting(ticket_queries.setting(session, AUTOMATIC_SETTING))
        duty = DutyPolicy.from_setting(ticket_queries.setting(session, DUTY_SETTING))
    return EditPage(
        key="settings",
        heading="系统设置",
        values={
            "on": policy.on,
            "least": f"{policy.least * 100:g}",
            "promise": f"{policy.promise * 100:g}",
            "excluded": "，".join(policy.excluded),
            "dispatches": str(duty.dispatches),
            "workdays": str(duty.workdays),
            "model": tools().suggester.version or "没有可用的模型",
            **values,
        },
        errors=errors,
    )


def _duty_policy(dispatches: str, workdays: str) -> tuple[DutyPolicy, dict[str, str]]:
    """Read the figures of disputes; an empty field is the default, so that a form without them changes nothing odd."""
    usual = DutyPolicy()
    raw = (dispatches.strip() or str(usual.dispatches), workdays.strip() or str(usual.workdays))
    if not all(one.isdecimal() and len(one) < 4 for one in raw):  # noqa: PLR2004 - longer than any limit
        return usual, {"dispatches": "请填写整数。"}
    duty = DutyPolicy(dispatches=int(raw[0]), workdays=int(raw[1]))
    return duty, duty.problems()


def _share(raw: str) -> float | None:
    try:
        percent = float(raw)
    except ValueError:
        return None
    return round(percent / 100, 4) if 50 <= percent <= 100 else None  # noqa: PLR2004 - percent


# --- tokens ------------------------------------------------------------------------------------------------------


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
    return redirect(url_for("administration.tokens"), 303)


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


# --- background work ---------------------------------------------------------------------------------------------


@bp.get("/jobs")
@page(Permission.JOBS_VIEW)
def jobs() -> ResponseReturnValue:
    """Show queues, timetable, and what needs a person."""
    queue_ok, queues = _queues()
    with db().read() as session:
        runs = periodic.latest(session)
        broken = outbox.given_up(session)
        waiting = outbox.waiting(session)
        messages = stuck(session, now=now(), limit=50)
    timetable = []
    for job in SCHEDULE:
        run = runs.get(job.name)
        late = run is None or run.succeeded_at is None or now() - run.succeeded_at > max(job.every * 5, _LATE)
        timetable.append(
            Row(
                href="",
                cells={
                    "name": job.words,
                    "every": present.span_words(job.every.total_seconds()),
                    "started": present.moment(run.started_at, seconds=True) if run else "从未",
                    "succeeded": present.moment(run.succeeded_at, seconds=True) if run else "从未",
                    "error": run.last_error if run else "",
                },
                tone="warning" if late else None,
            )
        )
    return render_template(
        "administration/jobs.html",
        page=JobsPage(
            queue_ok=queue_ok,
            queues=queues,
            waiting=waiting,
            timetable=timetable,
            given_up=[
                Row(
                    id=row.id,
                    href="",
                    cells={"event": row.event, "created": present.moment(row.created_at), "error": row.last_error},
                )
                for row in broken
            ],
            messages=[
                Row(
                    href="",
                    cells={
                        "purpose": row.purpose,
                        "to": row.to_masked,
                        "created": present.moment(row.created_at),
                        "state": labels.label(row.state),
                        "error": row.last_error,
                    },
                )
                for row in messages
            ],
        ),
    )


@bp.post("/jobs/outbox/<int:outbox_id>")
@page(Permission.SETTINGS_EDIT)
def try_again(outbox_id: int) -> ResponseReturnValue:
    """Give something that was given up a fresh set of tries."""
    with db().begin() as session:
        outbox.try_again(session, outbox_id=outbox_id)
    forms.told("success", "已重新送出，稍后刷新查看结果。")
    return redirect(url_for("administration.jobs"), 303)


_LATE = timedelta(minutes=2)


def _queues() -> tuple[bool, list[tuple[str, int]]]:
    """Ask the queue server, briefly; the pages work without it."""
    if not tools().settings.redis_url:
        return False, []
    connection = redis.Redis.from_url(tools().settings.redis_url, socket_connect_timeout=1, socket_timeout=1)
    try:
        return True, [(labels.words(name), length) for name, length in queue_lengths(connection).items()]
    except redis.RedisError:
        return False, []
    finally:
        connection.close()
