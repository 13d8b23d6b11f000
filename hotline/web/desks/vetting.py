"""The reader's desk (答复审核): what was answered, what the checks doubt, pass it or send it back; and the policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from callbacks import queries as callback_queries
from hotline.core.permissions import Permission
from hotline.tickets import actions as tickets
from hotline.tickets import queries as ticket_queries
from hotline.tickets.states import Act
from hotline.tickets.vocabulary import RequestType
from hotline.web import forms, labels, present
from hotline.web.desks.department_ticket import DOUBTS
from hotline.web.desks.waiting import Verdict, decide_form, queue_page
from hotline.web.gate import actor, db, now, page
from hotline.web.labels import Label
from hotline.web.present import DeadlineView
from routing import queries as routing_queries
from routing.answers import vetting
from routing.answers.doubts import Doubt
from routing.answers.vetting import VettingView
from routing.answers.vetting_models import VettingState
from routing.answers.vetting_rules import SETTING, VettingMode, VettingPolicy

bp = Blueprint("vetting", __name__)
_PAGE: Final = 30
_MODES: Final = (
    (VettingMode.OFF.value, "不审核", "承办单位反馈后直接进入回访。"),
    (VettingMode.SAMPLED.value, "重点审核加抽查", "下列工单必审，其余按比例抽查。"),
    (VettingMode.ALL.value, "全部审核", "每件答复都由热线中心审核后再回访。"),
)


@dataclass(frozen=True, kw_only=True)
class VettingRow:
    """One answer as the reader's list shows it."""

    id: int
    number: str
    href: str
    title: str
    department: str
    why: str
    doubts: int
    state: Label
    due: DeadlineView
    answered: str
    decided: str
    decided_by: str
    words: str


@dataclass(frozen=True, kw_only=True)
class ReadPage:
    """One answer beside its concern, with what the checks doubt."""

    row: VettingRow
    ticket_href: str
    content: str
    public_answer: str
    internal_note: str
    claims: tuple[Label, ...]
    plan: str
    left_out_why: str
    answered_by: str
    doubts: tuple[str, ...]
    contacts: tuple[tuple[str, str], ...]
    due: str
    why_not: str
    #: Why it cannot be passed yet; it can still be sent back.
    not_yet: str
    values: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PolicyPage:
    """Which answers are read."""

    modes: Sequence[tuple[str, str, str]]
    types: Sequence[tuple[str, str]]
    mode: str
    percent: str
    always: Sequence[str]
    bad_reviews: bool
    doubtful: bool
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)


@bp.get("/vetting")
@page(Permission.ANSWER_VET)
def queue() -> ResponseReturnValue:
    """List the answers to read, or those that were read."""
    shown = queue_page(
        waiting=vetting.waiting,
        decided=vetting.decided,
        counter="vettings.waiting",
        words=("待审核", "已审核"),
        row=_row,
    )
    return render_template("vetting/queue.html", page=shown)


@bp.get("/vetting/<int:vetting_id>")
@page(Permission.ANSWER_VET)
def read(vetting_id: int) -> ResponseReturnValue:
    """Show one answer beside its concern."""
    return render_template("vetting/read.html", page=_read(vetting_id))


@bp.post("/vetting/<int:vetting_id>/decide")
@page(Permission.ANSWER_VET)
def decide(vetting_id: int) -> ResponseReturnValue:
    """Pass it on to the callback, or send it back."""
    return decide_form(
        Verdict(yes="pass", no="back", ask="请选择通过或退回。"),
        act=lambda session, passes: vetting.decide(
            session, vetting_id=vetting_id, passes=passes, words=forms.text("words"), by=actor(), now=now()
        ),
        again=lambda values, errors: render_template(
            "vetting/read.html", page=_read(vetting_id, values=values, errors=errors)
        ),
        told=("审核通过，已进入回访。", "已退回承办单位修改，原时限继续计算。"),
    )


@bp.get("/admin/vetting")
@page(Permission.SETTINGS_EDIT)
def policy() -> ResponseReturnValue:
    """Show which answers are read."""
    with db().read() as session:
        return render_template("vetting/policy.html", page=_policy(vetting.policy_of(session)))


@bp.post("/admin/vetting")
@page(Permission.SETTINGS_EDIT)
def set_policy() -> ResponseReturnValue:
    """Decide which answers are read; it holds for what is fed back from now on."""
    raw, mode = forms.text("percent").strip(), forms.text("mode")
    problems = {}
    if mode not in set(VettingMode):
        problems["mode"] = "请选择审核方式。"
    if not raw.isdecimal() or int(raw[:4]) > 100:  # noqa: PLR2004 - per cent
        problems["percent"] = "请填写 0 到 100 的整数。"
    chosen = VettingPolicy(
        mode=VettingMode(mode) if mode in set(VettingMode) else VettingMode.OFF,
        percent=0 if "percent" in problems else int(raw),
        always=tuple(one for one in RequestType if one.value in request.form.getlist("always")),
        bad_reviews=forms.flag("bad_reviews"),
        doubtful=forms.flag("doubtful"),
    )
    if problems:
        return render_template("vetting/policy.html", page=_policy(chosen, percent=raw, errors=problems)), 422
    with db().begin() as session:
        tickets.set_setting(session, name=SETTING, value=chosen.to_setting(), by=actor(), now=now())
    forms.told("success", "审核设置已保存，对此后反馈的答复生效。")
    return redirect(url_for("vetting.policy"), code=303)


def _policy(
    chosen: VettingPolicy, *, percent: str | None = None, errors: Mapping[str, str] | None = None
) -> PolicyPage:
    return PolicyPage(
        modes=_MODES,
        types=labels.options(RequestType),
        mode=chosen.mode.value,
        percent=str(chosen.percent) if percent is None else percent,
        always=[one.value for one in chosen.always],
        bad_reviews=chosen.bad_reviews,
        doubtful=chosen.doubtful,
        errors={name: [words] for name, words in (errors or {}).items()},
    )


def _read(
    vetting_id: int, *, values: Mapping[str, str] | None = None, errors: Mapping[str, Sequence[str]] | None = None
) -> ReadPage:
    with db().read() as session:
        found = vetting.one(session, vetting_id)
        ticket = routing_queries.ticket_for(session, actor(), found.number)
        entries = ticket_queries.timeline(session, ticket.id)
        held = routing_queries.departments_that_held(session, ticket.id)
        sent = routing_queries.dispatches_of(session, ticket.id)
        owed = callback_queries.to_rectify(callback_queries.bad_review(session, ticket.id))
    due = next(one.due_at for one in sent if one.id == found.row.dispatch_id)
    answer = found.answer
    claims = [Label("属实" if answer.found_true else "不属实", "info"), labels.label(answer.solved)]
    if answer.beyond_duty:
        claims.append(Label("超职责", "warning"))
    return ReadPage(
        row=_row(found),
        ticket_href=url_for("tickets.show", number=found.number),
        content=ticket.content,
        public_answer=answer.public_answer,
        internal_note=answer.internal_note,
        claims=tuple(claims),
        plan=f"{answer.plan}（{present.day(answer.plan_on)} 前）" if answer.plan else "",
        left_out_why=answer.left_out_why,
        answered_by=found.answered_by,
        doubts=tuple(DOUBTS[Doubt(one)] for one in found.row.doubts),
        contacts=tuple(
            (_contacted(entry.details.get("contacted_at"), entry.at), f"{entry.details.get('way', '')}：{entry.note}")
            for entry in entries
            if entry.act is Act.CONTACT
        ),
        due=present.moment(due),
        why_not=_why_not(found, mine=bool(held & actor().department_ids)),
        not_yet="差评认定为合理，承办单位尚未填写整改情况，整改后才能通过。" if owed else "",
        values={"words": "", **(values or {})},
        errors=errors or {},
    )


def _contacted(raw: object, at: datetime) -> str:
    return present.moment(datetime.fromisoformat(str(raw)) if raw else at)


def _why_not(found: VettingView, *, mine: bool) -> str:
    if found.row.state is not VettingState.WAITING:
        return "该答复已经审核。"
    if mine or found.row.answered_by == actor().user_id:
        return "承办单位不能审核自己的答复。"
    return ""


def _row(found: VettingView) -> VettingRow:
    row = found.row
    return VettingRow(
        id=row.id,
        number=found.number,
        href=url_for("vetting.read", vetting_id=row.id),
        title=found.title,
        department=found.department,
        why=row.why,
        doubts=len(row.doubts),
        state=labels.label(row.state),
        due=present.deadline(row.due_at, now=now(), done_at=row.decided_at),
        answered=present.short(row.opened_at, now=now()),
        decided=present.short(row.decided_at, now=now()),
        decided_by=found.decided_by,
        words=row.words,
    )
