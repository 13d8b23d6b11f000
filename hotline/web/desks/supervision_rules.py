"""The rules of supervision: what speaks with which limits, the ladder, and the leaders whom it reaches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from hotline.core.errors import Invalid
from hotline.core.permissions import Permission
from hotline.web import forms, labels
from hotline.web.desks.supervision import COLOURS
from hotline.web.gate import actor, db, now, page
from routing import queries as routing
from routing.clocks.deadlines import Card
from routing.supervision import acting as supervising
from routing.supervision import queries
from routing.supervision.sweeping import rules_of
from routing.supervision.triggers import MOST_LEVEL, MOST_STEPS, RULES, NoticeKind, Rules, Step, Told

bp = Blueprint("supervision_rules", __name__)
P = Permission


#: How many empty rungs the form of the ladder offers beside those that are there.
SPARE: Final = 2


@dataclass(frozen=True, kw_only=True)
class RuleLine:
    """One trigger with its state."""

    name: str
    words: str
    when: str
    told: str
    on: bool
    always: bool
    limit: str
    unit: str


@dataclass(frozen=True, kw_only=True)
class LeaderLine:
    """Somebody on the ladder."""

    id: int
    department: str
    level: int
    name: str
    post: str
    phone: str


@dataclass(frozen=True, kw_only=True)
class RulesPage:
    """Every trigger, the ladder, and whom it reaches."""

    rules: tuple[RuleLine, ...]
    rungs: tuple[Mapping[str, str], ...]
    values: Mapping[str, str]
    leaders: tuple[LeaderLine, ...]
    departments: tuple[tuple[str, str], ...]
    colours: tuple[tuple[str, str], ...]
    told: tuple[tuple[str, str], ...]
    notices: tuple[tuple[str, str], ...]
    levels: tuple[tuple[str, str], ...]
    editable: bool
    leaders_editable: bool
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    leader_errors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    leader: Mapping[str, str] = field(default_factory=dict)


@bp.get("/supervision/rules")
@page(P.FIGURES_VIEW)
def rules() -> ResponseReturnValue:
    """Show every trigger with its state, the ladder, and whom it reaches."""
    return render_template("supervision/rules.html", page=_rules())


@bp.post("/supervision/rules")
@page(P.SETTINGS_EDIT)
def change_rules() -> ResponseReturnValue:
    """Decide what speaks, with what limits, and up which ladder."""
    try:
        decided = _decided()
        with db().begin() as session:
            supervising.change_rules(session, decided, by=actor(), now=now())
    except Invalid as error:
        return render_template("supervision/rules.html", page=_rules(typed=request.form, errors=error.fields)), 422
    forms.told("success", "督办规则已保存，一分钟内生效。")
    return redirect(url_for("supervision_rules.rules"), code=303)


@bp.post("/supervision/leaders")
@page(P.CATALOGUE_EDIT)
def enter_leader() -> ResponseReturnValue:
    """Enter somebody whom the ladder reaches."""
    try:
        level = forms.whole("level")
        with db().begin() as session:
            supervising.enter_leader(
                session,
                department_id=forms.whole("department_id"),
                level=level or 0,
                name=forms.text("name"),
                post=forms.text("post"),
                phone=forms.text("phone"),
                by=actor(),
            )
    except Invalid as error:
        shown = _rules(leader=request.form.to_dict(), leader_errors=error.fields)
        return render_template("supervision/rules.html", page=shown), 422
    forms.told("success", "已加入。")
    return redirect(url_for("supervision_rules.rules", _anchor="leaders"), code=303)


@bp.post("/supervision/leaders/<int:leader_id>/remove")
@page(P.CATALOGUE_EDIT)
def remove_leader(leader_id: int) -> ResponseReturnValue:
    """Take somebody off the ladder."""
    with db().begin() as session:
        supervising.remove_leader(session, leader_id=leader_id, by=actor())
    forms.told("success", "已移除。")
    return redirect(url_for("supervision_rules.rules", _anchor="leaders"), code=303)


def _rules(
    *,
    typed: Mapping[str, str] | None = None,
    errors: Mapping[str, Sequence[str]] | None = None,
    leader: Mapping[str, str] | None = None,
    leader_errors: Mapping[str, Sequence[str]] | None = None,
) -> RulesPage:
    with db().read() as session:
        decided = rules_of(session)
        told = queries.leaders(session)
        departments = routing.departments(session)
    lines = tuple(
        RuleLine(
            name=rule.trigger.value,
            words=rule.words,
            when=rule.when,
            told="、".join(labels.words(one) for one in rule.told) or "见阶梯",
            on=decided.is_on(rule.trigger) if typed is None else typed.get(f"on_{rule.trigger.value}") == "1",
            always=rule.always,
            limit=(typed or {}).get(f"limit_{rule.trigger.value}", str(decided.limit(rule.trigger)))
            if rule.limit is not None
            else "",
            unit=rule.unit,
        )
        for rule in RULES
    )
    days = ("receive_workdays", "urge_workdays", "supervise_workdays")
    return RulesPage(
        rules=lines,
        rungs=_rungs(decided) if typed is None else _typed_rungs(typed),
        values={name: (typed or {}).get(name, str(getattr(decided, name))) for name in days},
        leaders=tuple(
            LeaderLine(id=row.id, department=name, level=row.level, name=row.name, post=row.post, phone=row.phone)
            for row, name in told
        ),
        departments=tuple((str(one.id), one.name) for one in departments),
        colours=tuple(labels.options(COLOURS)),
        told=tuple(labels.options(Told)),
        notices=tuple(labels.options(NoticeKind)),
        levels=(("0", "值班联系人"), *((str(level), f"第 {level} 级领导") for level in range(1, MOST_LEVEL + 1))),
        editable=actor().can(P.SETTINGS_EDIT),
        leaders_editable=actor().can(P.CATALOGUE_EDIT),
        errors=errors or {},
        leader=leader or {},
        leader_errors=leader_errors or {},
    )


_RUNG: Final = ("words", "colour", "workdays", "told", "level", "text", "notice")


def _rungs(decided: Rules) -> tuple[Mapping[str, str], ...]:
    rows = [
        {
            "words": step.words,
            "colour": step.colour.value,
            "workdays": str(step.workdays),
            "told": step.told.value,
            "level": str(step.level),
            "text": "1" if step.text else "",
            "notice": step.notice.value if step.notice else "",
        }
        for step in decided.ladder
    ]
    spare = [dict.fromkeys(_RUNG, "") for _ in range(min(SPARE, MOST_STEPS - len(rows)))]
    return tuple(rows + spare)


def _typed_rungs(typed: Mapping[str, str]) -> tuple[Mapping[str, str], ...]:
    count = sum(f"words_{number}" in typed for number in range(1, MOST_STEPS + 1))
    return tuple({name: typed.get(f"{name}_{number}", "") for name in _RUNG} for number in range(1, count + 1))


def _decided() -> Rules:
    """Read the form of the rules; rungs without words are left out."""
    limits = {}
    for rule in RULES:
        if rule.limit is None:
            continue
        name = f"limit_{rule.trigger.value}"
        if (given := forms.whole(name)) is None:
            raise Invalid({name: "请填写。"})
        if given != rule.limit:
            limits[rule.trigger] = given
    steps = []
    for number in range(1, MOST_STEPS + 1):
        if not forms.text(f"words_{number}").strip():
            continue
        steps.append(
            Step(
                words=forms.text(f"words_{number}").strip()[:60],
                colour=forms.member(Card, f"colour_{number}") or Card.NONE,
                workdays=forms.whole(f"workdays_{number}") or 0,
                told=forms.member(Told, f"told_{number}") or Told.DEPARTMENT,
                level=forms.whole(f"level_{number}") or 0,
                text=forms.flag(f"text_{number}"),
                notice=forms.member(NoticeKind, f"notice_{number}"),
            )
        )
    return Rules(
        off=frozenset(rule.trigger for rule in RULES if not rule.always and not forms.flag(f"on_{rule.trigger.value}")),
        limits=limits,
        ladder=tuple(steps),
        receive_workdays=forms.required("receive_workdays"),
        urge_workdays=forms.required("urge_workdays"),
        supervise_workdays=forms.required("supervise_workdays"),
    )
