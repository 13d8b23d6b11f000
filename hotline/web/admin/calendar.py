"""The working calendar: sixty days ahead, days declared for the city or one unit, and what each would move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from hotline.core.clock import local_day
from hotline.core.errors import Conflict, Invalid, NotFound
from hotline.core.permissions import Permission
from hotline.web import forms, present
from hotline.web.gate import actor, db, now, page
from hotline.web.turning import Turn, turn
from routing import queries as routing_queries
from routing.clocks import days, recounting
from routing.clocks.calendars import ALARM_DAYS_AHEAD, DayRow, Layer
from routing.clocks.days import DayView, DayWish, NextYear
from routing.clocks.models import RecountKind
from routing.clocks.recounting import DayPreview, Moved, RecountView

bp = Blueprint("calendar", __name__, url_prefix="/admin/calendar")
_KINDS: Final = (("rest", "放假"), ("work", "上班"))
_BACK: Final = "back"
_NAMES: Final = ("day", "kind", "hours", "reason", "unit")
_SAMPLE: Final = 20
_WEEKDAYS: Final = "一二三四五六日"


@dataclass(frozen=True, kw_only=True)
class DayLine:
    """One of the next days, as the city or the unit works it."""

    day: str
    weekday: str
    works: bool
    hours: str
    why: str
    confirmed: bool
    tone: str | None


@dataclass(frozen=True, kw_only=True)
class DeclaredLine:
    """One declaration: who said so when, and whether it still holds."""

    day: str
    scope: str
    what: str
    reason: str
    declared: str
    declared_by: str
    ended: str
    ended_by: str
    state: str
    tone: str
    #: What the form that takes it back sends; none where it cannot be taken back any more.
    back: Mapping[str, str] | None


@dataclass(frozen=True, kw_only=True)
class OrderLine:
    """How far the open tickets have followed."""

    words: str
    ordered: str
    ordered_by: str
    moved: int
    looked: int
    total: int
    finished: bool


@dataclass(frozen=True, kw_only=True)
class OrdersPart:
    """The last orders, asked for again every other second while one is being carried out."""

    rows: Sequence[OrderLine]
    href: str

    @property
    def running(self) -> bool:
        """Tell whether one is being carried out."""
        return any(not row.finished for row in self.rows)


@dataclass(frozen=True, kw_only=True)
class CalendarPage:
    """The calendar of the city or of one unit."""

    scope: str
    unit: str
    units: Sequence[tuple[str, str]]
    note: str
    alarm: bool
    ahead: Sequence[DayLine]
    declared: Sequence[DeclaredLine]
    orders: OrdersPart
    turn: Turn
    today: str
    values: Mapping[str, str]
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    #: The year whose notice is to be confirmed next; only beside the city's calendar, while it is short.
    next_year: NextYear | None = None
    #: What was confirmed by hand, in words.
    by_hand: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class MovedLine:
    """A ticket that would be due elsewhere."""

    number: str
    href: str
    title: str
    department: str
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class ConfirmPage:
    """What a day would move, before it is declared."""

    heading: str
    scope: str
    reason: str
    count: int
    #: How many can move at most; the same where every open ticket was looked at.
    most: int
    looked: int
    open: int
    parts: int
    groups: Sequence[tuple[str, str, int]]
    rows: Sequence[MovedLine]
    values: Mapping[str, str]
    back_href: str


@bp.get("")
@page(Permission.SETTINGS_EDIT)
def show() -> ResponseReturnValue:
    """Show the next days, what was declared, and offer to declare one."""
    return render_template("clocks/calendar.html", page=_page())


@bp.post("")
@page(Permission.SETTINGS_EDIT)
def declare() -> ResponseReturnValue:
    """Show what a day would move; with what was shown confirmed, declare it and let the open tickets follow."""
    values = {name: forms.text(name).strip() for name in _NAMES}
    expected = forms.whole("expected")
    try:
        with db().begin() as session:
            wish, unit = _wish(session, values)
            if expected is None:
                preview = recounting.preview_day(session, wish, now=now())
                return render_template("clocks/confirm_day.html", page=_confirm(wish, values, unit, preview))
            order = recounting.order_day(session, wish, expected=expected, by=actor(), now=now())
            words = order.words
    except Invalid as error:
        return render_template("clocks/calendar.html", page=_page(values, error.fields)), 422
    except Conflict as error:
        forms.told("warning", error.message)
        return render_template("clocks/calendar.html", page=_page(values)), 409
    forms.told("success", f"已保存。{words}；受影响的在办工单正在后台重算，新派工单即按此计时。")
    return redirect(url_for("calendar.show", unit=values["unit"] or None), 303)


@bp.post("/years")
@page(Permission.SETTINGS_EDIT)
def confirm_year() -> ResponseReturnValue:
    """Confirm that the notice of the next year is in the calendar."""
    try:
        with db().begin() as session:
            year = days.confirm_year(
                session, year=forms.whole("year"), basis=forms.text("basis"), by=actor(), now=now()
            ).year
    except Invalid as error:
        return render_template("clocks/calendar.html", page=_page({"unit": ""}, error.fields)), 422
    forms.told("success", f"已确认 {year} 年的放假安排。")
    return redirect(url_for("calendar.show"), 303)


@bp.get("/orders")
@page(Permission.SETTINGS_EDIT)
def orders() -> ResponseReturnValue:
    """Tell how far the last orders have come: of days, or of one edition."""
    return render_template("clocks/orders.html", orders=orders_part(forms.whole("edition", source=request.args)))


def orders_part(edition_id: int | None = None) -> OrdersPart:
    """Return the last orders of days, or of one edition, as pages show them."""
    kind = RecountKind.CALENDAR if edition_id is None else RecountKind.EDITION
    with db().read() as session:
        found = recounting.latest(session, kind=kind, edition_id=edition_id, most=5)
    return OrdersPart(rows=[_order_line(one) for one in found], href=url_for("calendar.orders", edition=edition_id))


def _wish(session: Any, values: Mapping[str, str]) -> tuple[DayWish, str]:  # noqa: ANN401 - a session; pages import no SQLAlchemy
    problems: dict[str, str] = {}
    try:
        day = date.fromisoformat(values["day"])
    except ValueError:
        day, problems["day"] = date.min, "请选择日期。"
    if values["kind"] not in {*dict(_KINDS), _BACK}:
        problems["kind"] = "请选择放假或上班。"
    unit = routing_queries.department_by_code(session, values["unit"]) if values["unit"] else None
    if values["unit"] and unit is None:
        problems["unit"] = "没有这个承办单位，请从列表中选择。"
    if problems:
        raise Invalid(problems)
    wish = DayWish(
        day=day,
        department_id=unit.id if unit else None,
        is_workday=None if values["kind"] == _BACK else values["kind"] == "work",
        hours=values["hours"],
        reason=values["reason"],
    )
    return wish, unit.name if unit else "全市"


def _page(values: Mapping[str, str] | None = None, errors: Mapping[str, Sequence[str]] | None = None) -> CalendarPage:
    today, cursor = local_day(now()), forms.asked("cursor")
    code = (values or {}).get("unit", forms.asked("unit").strip())
    with db().read() as session:
        unit = routing_queries.department_by_code(session, code) if code else None
        if code and unit is None and values is None:
            raise NotFound("没有这个承办单位。")
        calendar = days.calendars(session).of(unit.id if unit else None)
        found = days.listed(session, department_id=unit.id if unit else None, cursor=cursor)
        units = routing_queries.departments(session)
        next_year = days.next_year(session) if unit is None else None
        by_hand = days.confirmed_by_hand(session)
    ahead = calendar.confirmed_days_ahead(today)
    lines = []
    for offset in range(ALARM_DAYS_AHEAD + 1):
        day = today + timedelta(days=offset)
        declared, confirmed = calendar.declared(day), calendar.is_confirmed(day)
        whose = _whose(declared) if declared else ""
        lines.append(
            DayLine(
                day=day.isoformat(),
                weekday="周" + _WEEKDAYS[day.weekday()],
                works=calendar.is_workday(day),
                hours="、".join(map(str, declared.periods)) if declared else "",
                why=f"{declared.name}{whose}" if declared else calendar.holiday_name(day),
                confirmed=confirmed,
                tone=None if confirmed else "warning",
            )
        )
    alarm = ahead < ALARM_DAYS_AHEAD
    return CalendarPage(
        scope=unit.name if unit else "全市",
        unit=unit.code if unit else "",
        units=[(each.code, each.name) for each in units if each.active],
        note=f"国务院办公厅的放假安排只确认到 {ahead} 天之后，请在通知公布后逐日声明与推算不同的日子，再确认该年度。"
        if alarm
        else f"国务院办公厅的放假安排已确认到 {ahead} 天之后（{calendar.confirmed_until}）。",
        alarm=alarm,
        ahead=lines,
        declared=[_declared(one, today=today) for one in found.rows],
        orders=orders_part(),
        turn=turn(found, cursor=cursor, unit=unit.code if unit else None),
        today=today.isoformat(),
        values={
            **{name: forms.asked(name) for name in _NAMES},
            **(values or {}),
            "unit": unit.code if unit else "",
            "basis": forms.text("basis"),
        },
        errors=errors or {},
        next_year=next_year if alarm else None,
        by_hand=[
            f"{row.year} 年由 {name} 于 {present.moment(row.confirmed_at)} 确认（{row.basis}）" for row, name in by_hand
        ],
    )


def _whose(row: DayRow) -> str:
    if row.whose:
        return f"（随上级单位{row.whose}）"
    return "（本单位）" if row.layer is Layer.UNIT else "（本市）"


def _declared(found: DayView, *, today: date) -> DeclaredLine:
    row = found.row
    what = ("上班" + (f" {row.hours}" if row.hours else "")) if row.is_workday else "放假"
    passed = row.day < today
    may_end = row.ended_at is None and (row.day > today or (row.day == today and row.is_workday))
    state, tone = ("已取消", "neutral") if row.ended_at else ("已过", "neutral") if passed else ("有效", "success")
    return DeclaredLine(
        day=f"{row.day.isoformat()} 周{_WEEKDAYS[row.day.weekday()]}",
        scope=found.department or "全市",
        what=what,
        reason=row.reason,
        declared=present.short(row.declared_at, now=now()),
        declared_by=found.declared_by,
        ended=present.short(row.ended_at, now=now()),
        ended_by=found.ended_by,
        state=state,
        tone=tone,
        back={"day": row.day.isoformat(), "kind": _BACK, "unit": found.department_code} if may_end else None,
    )


def _order_line(found: RecountView) -> OrderLine:
    """Return how far an order has been carried out as pages show it."""
    row = found.row
    return OrderLine(
        words=row.words,
        ordered=present.short(row.ordered_at, now=now()),
        ordered_by=found.ordered_by,
        moved=row.moved,
        looked=min(row.looked, row.total),
        total=row.total,
        finished=row.finished_at is not None,
    )


def _confirm(wish: DayWish, values: Mapping[str, str], unit: str, preview: DayPreview) -> ConfirmPage:
    kind = {**dict(_KINDS), _BACK: "恢复原有安排"}[values["kind"]]
    groups = Counter((one.before, one.after) for one in preview.moved)
    return ConfirmPage(
        heading=f"{wish.day.isoformat()}（周{_WEEKDAYS[wish.day.weekday()]}）{kind} {values['hours']}".strip(),
        scope=unit,
        reason=values["reason"],
        count=len(preview.moved),
        most=preview.most,
        looked=preview.looked,
        open=preview.open,
        parts=preview.parts,
        groups=[
            (present.moment(before), present.moment(after), count)
            for (before, after), count in sorted(groups.items())[:_SAMPLE]
        ],
        rows=[moved_line(one) for one in preview.moved[:_SAMPLE]],
        values=values,
        back_href=url_for("calendar.show", **values),  # type: ignore[arg-type] # names of the query
    )


def moved_line(one: Moved) -> MovedLine:
    """Return a ticket that would be due elsewhere as pages show it."""
    return MovedLine(
        number=one.number,
        href=url_for("deadline.explained", number=one.number),
        title=one.title,
        department=one.department,
        before=present.moment(one.before),
        after=present.moment(one.after),
    )
