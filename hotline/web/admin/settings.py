"""What is set on screen: automatic dispatch, the deadline profile, the figures of disputes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Blueprint, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from hotline.core.errors import Invalid
from hotline.core.permissions import Permission
from hotline.tickets import actions as tickets
from hotline.tickets import queries as ticket_queries
from hotline.web import forms
from hotline.web.admin.layout import EditPage
from hotline.web.gate import actor, db, now, page, tools
from routing.duty.rules import DUTY_SETTING, DutyPolicy
from routing.rules import AUTOMATIC_SETTING, AutomaticPolicy

bp = Blueprint("settings", __name__, url_prefix="/admin")


#: What a form without the field means, in percent.
_PROMISE = "98"


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
    return redirect(url_for("settings.settings"), 303)


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
    raw = {
        "dispatches": dispatches.strip() or str(usual.dispatches),
        "workdays": workdays.strip() or str(usual.workdays),
    }
    odd = {name for name, one in raw.items() if not one.isdecimal() or len(one) >= 4}  # noqa: PLR2004 - longer than any limit
    if odd:
        return usual, dict.fromkeys(sorted(odd), "请填写整数。")
    duty = DutyPolicy(dispatches=int(raw["dispatches"]), workdays=int(raw["workdays"]))
    return duty, duty.problems()


def _share(raw: str) -> float | None:
    try:
        percent = float(raw)
    except ValueError:
        return None
    return round(percent / 100, 4) if 50 <= percent <= 100 else None  # noqa: PLR2004 - percent
