"""The side menu: what each desk offers, one page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flask import current_app, request, url_for

from hotline.core import clock
from hotline.core.clock import local_day
from hotline.core.permissions import Actor, Permission
from hotline.web.gate import db
from routing.clocks import granting
from routing.clocks.calendars import ALARM_DAYS_AHEAD, china


@dataclass(frozen=True)
class Entry:
    """One line of the menu before it is shown."""

    label: str
    endpoint: str
    icon: str
    permission: Permission
    counter: str | None = None


_P = Permission
GROUPS: Final[tuple[tuple[str, tuple[Entry, ...]], ...]] = (
    (
        "工作台",
        (
            Entry("来电登记", "intake.new", "phone-plus", _P.TICKET_REGISTER),
            Entry("待派工单", "dispatch.queue", "send", _P.TICKET_DISPATCH, "tickets.state.registered"),
            Entry("110 联动", "transfers.queue", "phone-call", _P.TRANSFER_EXCHANGE),
            Entry("骚扰来电", "harassment.limits", "ban", _P.HARASSMENT_CONFIRM, "harassment.asked"),
            Entry("骚扰来电", "harassment.limits", "ban", _P.HARASSMENT_MARK),
            Entry("事件", "relations.incidents", "users", _P.TICKET_MERGE),
            Entry("时限审批", "deadline.queue", "clock-pause", _P.DEADLINE_APPROVE, "adjustments.waiting"),
            Entry("退单审核", "returns.queue", "arrow-back-up", _P.RETURN_RULE, "returns.open"),
            Entry("答复审核", "vetting.queue", "checks", _P.ANSWER_VET, "vettings.waiting"),
            Entry("职责争议", "disputes.queue", "scale", _P.DISPUTE_CONVENE, "disputes.open"),
            Entry("职责裁定", "disputes.queue", "scale", _P.DISPUTE_RULE),
            Entry("参与的职责争议", "disputes.queue", "scale", _P.DISPUTE_ARGUE),
            Entry("本单位工单", "department.inbox", "inbox", _P.TICKET_ANSWER, "mine.in_hand"),
            Entry("协办任务", "part.inbox", "git-merge", _P.TICKET_ANSWER),
            Entry("红黄牌", "supervision_desk.cards", "flag", _P.TICKET_ANSWER),
            Entry("催办督办", "notices.notices", "bell", _P.TICKET_ANSWER),
            Entry("回访", "callback.queue", "phone-outgoing", _P.CALLBACK_RECORD, "callbacks.waiting"),
            Entry("差评", "reviews.reviews", "star", _P.REVIEW_JUDGE, "tickets.bad_review.open"),
        ),
    ),
    (
        "查询",
        (
            Entry("全部工单", "tickets.search", "clipboard-list", _P.TICKET_VIEW),
            Entry("运行总览", "supervision.overview", "chart-bar", _P.FIGURES_VIEW),
            Entry("协办考核", "part.figures", "git-merge", _P.FIGURES_VIEW),
            Entry("红黄牌", "supervision_desk.cards", "flag", _P.FIGURES_VIEW),
            Entry("催办督办", "notices.notices", "bell", _P.FIGURES_VIEW),
            Entry("导出与打印记录", "exports.ledger", "download", _P.EXPORT_VIEW),
            Entry("督办规则", "supervision_rules.rules", "scale", _P.FIGURES_VIEW),
        ),
    ),
    (
        "分类模型",
        (
            Entry("模型", "model.show", "sparkles", _P.MODEL_MANAGE),
            Entry("模型卡", "card.show", "chart-bar", _P.MODEL_MANAGE),
            Entry("标注复核", "card.audit", "list-check", _P.MODEL_MANAGE),
            Entry("词表", "words.show", "book", _P.SETTINGS_EDIT),
            Entry("合并与拆分", "moves.show", "git-merge", _P.CATALOGUE_EDIT),
        ),
    ),
    (
        "系统管理",
        (
            Entry("用户", "accounts.users", "users", _P.USER_EDIT),
            Entry("承办单位", "departments.departments", "building", _P.CATALOGUE_EDIT),
            Entry("事件类别", "categories.categories", "category", _P.CATALOGUE_EDIT),
            Entry("派单目录", "dispatch_catalogue.editions", "route", _P.CATALOGUE_PROPOSE),
            Entry("服务事项", "service_items.listed", "list", _P.CATALOGUE_EDIT),
            Entry("区域与兜底", "territory.regions", "map-pin", _P.CATALOGUE_EDIT),
            Entry("外部来源", "territory.sources", "world", _P.CATALOGUE_EDIT),
            Entry("工作日历", "calendar.show", "calendar", _P.SETTINGS_EDIT),
            Entry("时限档案", "profiles.listed", "clock-hour-4", _P.SETTINGS_EDIT),
            Entry("系统设置", "settings.settings", "settings", _P.SETTINGS_EDIT),
            Entry("审核设置", "vetting.policy", "checks", _P.SETTINGS_EDIT),
            Entry("访问令牌", "accounts.tokens", "shield-lock", _P.USER_EDIT),
            Entry("后台作业", "jobs.jobs", "activity", _P.JOBS_VIEW),
        ),
    ),
)


def _calendar_alarm() -> str:
    """Return the words for who can bring the next holiday notice in: it stands on every page until it is there."""
    today = local_day(clock.now())
    ahead = china().confirmed_days_ahead(today)
    if ahead < ALARM_DAYS_AHEAD:  # the library does not know the notice; somebody may have entered it
        with db().read() as reading:
            ahead = granting.calendar(reading).confirmed_days_ahead(today)
    return f"放假安排只确认到 {ahead} 天之后" if ahead < ALARM_DAYS_AHEAD else ""


def menu(actor: Actor) -> list[dict[str, object]]:
    """Return the groups and lines that this person may open."""
    groups: list[dict[str, object]] = []
    for label, entries in GROUPS:
        items = [
            {
                "label": entry.label,
                "href": url_for(entry.endpoint),
                "icon": entry.icon,
                "counter": entry.counter,
                "alarm": _calendar_alarm() if entry.endpoint == "calendar.show" else "",
                "current": request.endpoint == entry.endpoint,
            }
            for entry in entries
            if actor.can(entry.permission) and entry.endpoint in current_app.view_functions
        ]
        # A page that several permissions open stands there once, under the first name that fits.
        items = [item for at, item in enumerate(items) if item["href"] not in {one["href"] for one in items[:at]}]
        if items:
            groups.append({"label": label, "items": items})
    return groups
