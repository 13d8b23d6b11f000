"""The dispatch catalogue on screen (派单目录): editions, rows, workbooks in and out, trials, publication."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from flask import Blueprint, redirect, render_template, request, send_file, url_for
from flask.typing import ResponseReturnValue

from hotline.core.clock import SHANGHAI, local, local_day
from hotline.core.errors import Invalid, NotFound
from hotline.core.paging import among
from hotline.core.permissions import Permission
from hotline.core.text import clean_line
from hotline.tickets import queries as ticket_queries
from hotline.tickets.vocabulary import RequestType
from hotline.web import forms, labels, present
from hotline.web.admin.exports import took
from hotline.web.gate import actor, db, now, page
from hotline.web.turning import Turn, turn
from reports.models import Taken
from routing import queries as routing_queries
from routing.catalogue import editions as catalogue
from routing.catalogue import sheets as catalogue_sheets
from routing.catalogue import trials as catalogue_trials
from routing.catalogue.editions import TERRITORIAL, RowView, RowWish
from routing.catalogue.models import CatalogueState, CatalogueTrial, CatalogueVersion, TrialState
from routing.catalogue.rules import FATAL, Flaw, Found
from routing.clocks.profiles import SLA_CLASSES
from routing.duty import disputing, overruling
from routing.duty.overruling import Overruled

bp = Blueprint("dispatch_catalogue", __name__, url_prefix="/admin/catalogue")

ROWS: Final = 50
MOST_FILE: Final = 10 * 1024 * 1024
_SHEET: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
LABELS: Final[Mapping[str, str]] = {
    "category": "事件类别",
    "region": "区域",
    "request_type": "诉求类型",
    "service_item": "政务服务事项",
    "lead": "主办单位",
    "co_handlers": "通常协办",
    "sla_class": "时限类别",
    "basis": "依据",
    "valid_from": "生效时间",
    "valid_to": "失效时间",
    "rows": "条目",
    "overrules": "与裁定不一致",
    "file": "文件",
}


@dataclass(frozen=True, kw_only=True)
class VersionRow:
    """One edition in the list."""

    href: str
    number: int
    state: str
    tone: str
    begins: str
    ends: str
    rows: int
    note: str


@dataclass(frozen=True, kw_only=True)
class VersionsPage:
    """The editions."""

    rows: Sequence[VersionRow]
    draft_href: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """One row of an edition in the list."""

    href: str | None
    id: int
    category: str
    region: str
    request_type: str
    service_item: str
    lead: str
    co_handlers: str
    sla_class: str
    basis: str
    origin: str
    flaws: Sequence[tuple[str, str]]
    tone: str | None = None


@dataclass(frozen=True, kw_only=True)
class FlawLine:
    """One finding about the rows."""

    words: str
    tone: str
    what: str
    other: str
    href: str | None


@dataclass(frozen=True, kw_only=True)
class OverruledLine:
    """One ruling that binds and that this draft contradicts."""

    ruling_id: int
    number: str
    title: str
    scope: str
    ruled: str
    at: str
    instead: str
    href: str
    row_href: str
    confirmed: bool


@dataclass(frozen=True, kw_only=True)
class TrialPart:
    """The newest trial of an edition."""

    state: str
    tone: str
    running: bool
    done: int
    days: int
    words: str
    result: Mapping[str, Any]
    lines: Sequence[Mapping[str, Any]]
    old: bool
    error: str


@dataclass(frozen=True, kw_only=True)
class EditionPage:
    """One edition with its rows."""

    number: int
    version: int
    state: str
    tone: str
    is_draft: bool
    can_retire: bool
    window: str
    note: str
    total: int
    rows: Sequence[Line]
    turn: Turn
    words: str
    flaw: str
    flaws: Sequence[tuple[str, str, int, str]]
    flaw_lines: Sequence[FlawLine]
    fatal: int
    trial: TrialPart | None
    #: Rulings that this draft contradicts, and how many more there are than are shown.
    overruled: Sequence[OverruledLine] = ()
    overruled_total: int = 0
    values: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=lambda: LABELS)


@dataclass(frozen=True, kw_only=True)
class RowPage:
    """One row to write."""

    number: int
    version: int
    row_id: int | None
    heading: str
    action: str
    values: RowWish
    helpers: Sequence[str]
    categories: Sequence[tuple[str, str]]
    regions: Sequence[tuple[str, str]]
    request_types: Sequence[tuple[str, str]]
    leads: Sequence[tuple[str, str]]
    classes: Sequence[tuple[str, str]]
    errors: Mapping[str, Sequence[str]]
    labels: Mapping[str, str] = field(default_factory=lambda: LABELS)


@dataclass(frozen=True, kw_only=True)
class PreviewPage:
    """What a file would change, before it does."""

    number: int
    version: int
    preview: catalogue_sheets.Preview
    packed: str
    names: Mapping[str, str]
    most: int = 100

    def scope(self, wish: RowWish) -> str:
        """Return what a row speaks of, in words."""
        return catalogue.scope_words(
            self.names.get(f"c:{wish.category}", wish.category),
            self.names.get(f"r:{wish.region}", wish.region),
            wish.request_type,
            wish.service_item,
        )

    def lead(self, wish: RowWish) -> str:
        """Return the lead's name."""
        return self.names.get(f"d:{wish.lead}", wish.lead)


# --- editions ----------------------------------------------------------------------------------------------------


@bp.get("")
@page(Permission.CATALOGUE_EDIT, Permission.CATALOGUE_PROPOSE)
def editions() -> ResponseReturnValue:
    """List the editions, the newest first."""
    with db().read() as reading:
        found = catalogue.versions(reading)
        counts = catalogue.row_counts(reading, [one.id for one in found])
    draft = next((one for one in found if one.state is CatalogueState.DRAFT), None)
    return render_template(
        "catalogue/editions.html",
        page=VersionsPage(
            rows=[_version(one, counts.get(one.id, 0)) for one in found],
            draft_href=url_for("dispatch_catalogue.edition", number=draft.number) if draft else "",
        ),
    )


@bp.post("/draft")
@page(Permission.CATALOGUE_EDIT)
def open_draft() -> ResponseReturnValue:
    """Open the draft: the one there is, or a new one with the rows of the newest edition."""
    with db().begin() as writing:
        number = catalogue.open_draft(writing, by=actor(), now=now()).number
    return redirect(url_for("dispatch_catalogue.edition", number=number), 303)


@bp.get("/<int:number>")
@page(Permission.CATALOGUE_EDIT, Permission.CATALOGUE_PROPOSE)
def edition(number: int) -> ResponseReturnValue:
    """Show the rows of an edition, what is wrong with them, and what can be done."""
    return _edition(number)


@bp.post("/<int:number>/publish")
@page(Permission.CATALOGUE_EDIT)
def publish(number: int) -> ResponseReturnValue:
    """Put the draft in force, once the rulings that it contradicts are confirmed to be overruled."""
    typed = {name: forms.text(name) for name in ("valid_from", "valid_to", "note")}
    confirmed = forms.ids("overrules")
    try:
        with db().begin() as writing:
            made = overruling.publish(
                writing,
                number=number,
                version=forms.required("version"),
                valid_from=_instant("valid_from"),
                valid_to=_instant("valid_to"),
                note=typed["note"],
                confirmed=confirmed,
                all_of=forms.whole("overrules_seen") if forms.text("overrules_all") else None,
                by=actor(),
                now=now(),
            )
            begins = made.valid_from
    except Invalid as error:
        return _edition(number, values=typed, errors=error.fields, confirmed=confirmed), 422
    forms.told("success", f"第 {number} 版已发布，{present.moment(begins)} 起生效。")
    return redirect(url_for("dispatch_catalogue.editions"), 303)


@bp.post("/<int:number>/rulings/<int:ruling_id>")
@page(Permission.CATALOGUE_EDIT)
def follow(number: int, ruling_id: int) -> ResponseReturnValue:
    """Put a ruling into the draft, in the place of the row that contradicts it."""
    with db().begin() as writing:
        _require_draft(writing, number)
        disputing.into_catalogue(writing, ruling_id=ruling_id, by=actor(), now=now())
    forms.told("success", "已按裁定修改草案。")
    return redirect(url_for("dispatch_catalogue.edition", number=number, _anchor="overruled"), 303)


@bp.post("/<int:number>/retire")
@page(Permission.CATALOGUE_EDIT)
def retire(number: int) -> ResponseReturnValue:
    """End a published edition."""
    with db().begin() as writing:
        catalogue.retire(writing, number=number, version=forms.required("version"), by=actor(), now=now())
    forms.told("success", f"第 {number} 版已停用。没有生效版本时，按模型建议与类别的常用承办单位派单。")
    return redirect(url_for("dispatch_catalogue.editions"), 303)


# --- rows --------------------------------------------------------------------------------------------------------


@bp.get("/<int:number>/rows/new")
@page(Permission.CATALOGUE_EDIT, Permission.CATALOGUE_PROPOSE)
def new_row(number: int) -> ResponseReturnValue:
    """Show an empty row."""
    return _row_page(number, None, RowWish(category=forms.asked("category")), {})


@bp.post("/<int:number>/rows")
@page(Permission.CATALOGUE_EDIT, Permission.CATALOGUE_PROPOSE)
def add_row(number: int) -> ResponseReturnValue:
    """Add a row to the draft."""
    wish = _wish()
    try:
        with db().begin() as writing:
            _require_draft(writing, number)
            catalogue.add_row_to_draft(writing, wish=wish, replace=False, by=actor(), now=now())
    except Invalid as error:
        return _row_page(number, None, wish, error.fields), 422
    forms.told("success", "已加入草案。")
    return redirect(url_for("dispatch_catalogue.edition", number=number), 303)


@bp.get("/<int:number>/rows/<int:row_id>")
@page(Permission.CATALOGUE_EDIT)
def row(number: int, row_id: int) -> ResponseReturnValue:
    """Show one row of the draft."""
    with db().read() as reading:
        found = catalogue.row_of(reading, catalogue.version_numbered(reading, number).id, row_id)
    return _row_page(number, row_id, found.wish, {})


@bp.post("/<int:number>/rows/<int:row_id>")
@page(Permission.CATALOGUE_EDIT)
def change_row(number: int, row_id: int) -> ResponseReturnValue:
    """Change one row of the draft."""
    wish = _wish()
    try:
        with db().begin() as writing:
            catalogue.change_row(
                writing, row_id=row_id, version=forms.required("version"), wish=wish, by=actor(), now=now()
            )
    except Invalid as error:
        return _row_page(number, row_id, wish, error.fields), 422
    forms.told("success", "已保存。")
    return redirect(url_for("dispatch_catalogue.edition", number=number), 303)


@bp.post("/<int:number>/rows/<int:row_id>/remove")
@page(Permission.CATALOGUE_EDIT)
def remove_row(number: int, row_id: int) -> ResponseReturnValue:
    """Take one row out of the draft."""
    with db().begin() as writing:
        catalogue.remove_row(writing, row_id=row_id, version=forms.required("version"), by=actor())
    forms.told("success", "已从草案中删除。")
    return redirect(url_for("dispatch_catalogue.edition", number=number), 303)


# --- workbooks ---------------------------------------------------------------------------------------------------


@bp.get("/<int:number>/export")
@page(Permission.CATALOGUE_EDIT, Permission.CATALOGUE_PROPOSE)
def export(number: int) -> ResponseReturnValue:
    """Hand an edition out as a workbook."""
    with db().read() as reading:
        rows = catalogue.rows_of(reading, catalogue.version_numbered(reading, number).id)
    took(Taken.CATALOGUE_XLSX, rows=len(rows), scope=f"第 {number} 版")
    return send_file(
        catalogue_sheets.workbook(rows),
        mimetype=_SHEET,
        as_attachment=True,
        download_name=f"派单目录-第{number}版.xlsx",
        max_age=0,
    )


@bp.post("/<int:number>/import")
@page(Permission.CATALOGUE_EDIT)
def preview(number: int) -> ResponseReturnValue:
    """Read a file and show what it would change; nothing is written."""
    try:
        lines, problems = _uploaded()
        with db().read() as reading:
            edition = _require_draft(reading, number)
            found = catalogue_sheets.preview(reading, edition.id, lines, problems)
            names = _names(reading)
    except Invalid as error:
        return _edition(number, errors=error.fields), 422
    shown = PreviewPage(
        number=number,
        version=edition.version,
        preview=found,
        packed=json.dumps(catalogue_sheets.packed(lines), ensure_ascii=False, separators=(",", ":")),
        names=names,
    )
    return render_template("catalogue/preview.html", page=shown), 422 if found.problems else 200


@bp.post("/<int:number>/apply")
@page(Permission.CATALOGUE_EDIT)
def apply(number: int) -> ResponseReturnValue:
    """Make the previewed rows the draft."""
    try:
        raw = json.loads(forms.text("packed"))
    except ValueError as error:
        raise Invalid({"file": "预览已失效，请重新选择文件。"}) from error
    wishes = catalogue_sheets.unpacked(raw if isinstance(raw, list) else [])
    try:
        with db().begin() as writing:
            _require_draft(writing, number)
            catalogue.replace_rows(writing, version=forms.required("version"), wishes=wishes, by=actor(), now=now())
    except Invalid as error:
        return _edition(number, errors=error.fields), 422
    forms.told("success", f"草案现有 {len(wishes)} 条。")
    return redirect(url_for("dispatch_catalogue.edition", number=number), 303)


# --- trials ------------------------------------------------------------------------------------------------------


@bp.post("/<int:number>/trial")
@page(Permission.CATALOGUE_EDIT)
def try_out(number: int) -> ResponseReturnValue:
    """Try the edition on last month's tickets."""
    with db().begin() as writing:
        catalogue_trials.ask(writing, number=number, by=actor(), now=now())
    return redirect(url_for("dispatch_catalogue.edition", number=number, _anchor="trial"), 303)


@bp.get("/<int:number>/trial")
@page(Permission.CATALOGUE_EDIT, Permission.CATALOGUE_PROPOSE)
def trial(number: int) -> ResponseReturnValue:
    """Show how far the newest trial has come; the page asks again while it runs."""
    with db().read() as reading:
        edition = catalogue.version_numbered(reading, number)
        found = catalogue_trials.latest(reading, edition.id)
    return render_template(
        "catalogue/trial.html", number=number, trial=_trial(found, edition) if found else None, alone=True
    )


# --- what the views share ----------------------------------------------------------------------------------------


def _version(one: CatalogueVersion, rows: int) -> VersionRow:
    words, tone = _standing(one)
    return VersionRow(
        href=url_for("dispatch_catalogue.edition", number=one.number),
        number=one.number,
        state=words,
        tone=tone,
        begins=present.moment(one.valid_from) or "—",
        ends=present.moment(one.valid_to) or "—",
        rows=rows,
        note=one.note,
    )


def _standing(one: CatalogueVersion) -> tuple[str, str]:
    """Return where an edition stands now, in words and tone: a published one waits, holds or has ended."""
    if one.state is not CatalogueState.PUBLISHED or one.valid_from is None:
        label = labels.label(one.state)
        return label.words, label.tone
    if one.valid_from > now():
        return "待生效", "info"
    if one.valid_to is not None and one.valid_to <= now():
        return "已失效", "neutral"
    return "生效中", "success"


def _edition(
    number: int,
    *,
    values: Mapping[str, str] | None = None,
    errors: Mapping[str, Sequence[str]] | None = None,
    confirmed: Collection[int] = (),
) -> str:
    words, flaw = clean_line(forms.asked("q")), forms.asked("flaw")
    with db().read() as reading:
        found = catalogue.version_numbered(reading, number)
        rows = catalogue.rows_of(reading, found.id)
        flaws = catalogue.findings_of(reading, found.id)
        categories = {node.id: (node.code, node.path) for node in ticket_queries.categories(reading)}
        units = {unit.code: unit.short_name for unit in routing_queries.departments(reading, active_only=False)}
        trial = catalogue_trials.latest(reading, found.id)
        against = overruling.overruled(reading, found) if found.state is CatalogueState.DRAFT else []
    by_row: dict[int, list[Found]] = {}
    for one in flaws:
        if one.row is not None:
            by_row.setdefault(one.row, []).append(one)
    is_draft = found.state is CatalogueState.DRAFT
    wanted = [
        one
        for one in rows
        if (not words or words in f"{one.category}{one.category_code}{one.region}{one.lead}{one.lead_code}{one.basis}")
        and (not flaw or any(each.flaw.value == flaw for each in by_row.get(one.id, ())))
    ]
    cursor = forms.asked("cursor")
    shown = among(wanted, cursor=cursor, limit=ROWS, key=lambda one: one.id)
    standing, tone = _standing(found)
    named = {one.id: one for one in rows}
    counts = {kind: sum(1 for one in flaws if one.flaw is kind) for kind in Flaw}

    def href(**given: Any) -> str:  # noqa: ANN401 - values of an address
        return url_for("dispatch_catalogue.edition", number=number, **given)

    return render_template(
        "catalogue/edition.html",
        page=EditionPage(
            number=number,
            version=found.version,
            state=standing,
            tone=tone,
            is_draft=is_draft,
            can_retire=found.state is CatalogueState.PUBLISHED and standing in {"生效中", "待生效"},
            window=_window(found),
            note=found.note,
            total=len(wanted),
            rows=[
                _line(
                    one,
                    units,
                    by_row.get(one.id, ()),
                    url_for("dispatch_catalogue.row", number=number, row_id=one.id) if is_draft else None,
                )
                for one in shown.rows
            ],
            turn=turn(
                shown,
                cursor=cursor,
                endpoint="dispatch_catalogue.edition",
                number=number,
                q=words or None,
                flaw=flaw or None,
            ),
            words=words,
            flaw=flaw,
            flaws=[
                (labels.words(kind), labels.label(kind).tone, count, href(flaw=kind.value, _anchor="findings"))
                for kind, count in counts.items()
                if count
            ],
            flaw_lines=[
                _flaw_line(one, named, categories, number=number, is_draft=is_draft)
                for one in flaws
                if not flaw or one.flaw.value == flaw
            ][:ROWS]
            if flaw
            else [],
            fatal=sum(1 for one in flaws if one.flaw in FATAL),
            trial=_trial(trial, found) if trial else None,
            overruled=[_overruled(one, number, confirmed=one.ruling_id in confirmed) for one in against[:ROWS]],
            overruled_total=len(against),
            values={"valid_from": "", "valid_to": "", "note": "", **(values or {})},
            errors=errors or {},
        ),
    )


def _overruled(one: Overruled, number: int, *, confirmed: bool) -> OverruledLine:
    helping = f"，{'、'.join(one.helping)}协办" if one.helping else ""
    return OverruledLine(
        ruling_id=one.ruling_id,
        number=one.number,
        title=one.title,
        scope=one.scope,
        ruled=f"{one.lead}主办{helping}",
        at=present.day(local_day(one.ruled_at)),
        instead=overruling.words_of(one),
        href=url_for("tickets.show", number=one.number),
        row_href=url_for("dispatch_catalogue.row", number=number, row_id=one.row_id),
        confirmed=confirmed,
    )


def _window(found: CatalogueVersion) -> str:
    if found.valid_from is None:
        return "尚未发布"
    ends = f"至 {present.moment(found.valid_to)}" if found.valid_to else "起"
    return f"{present.moment(found.valid_from)} {ends}"


def _line(one: RowView, units: Mapping[str, str], flaws: Sequence[Found], href: str | None) -> Line:
    return Line(
        href=href,
        id=one.id,
        category=one.category or "任何类别",
        region=one.region or "全市",
        request_type=one.request_type or "不限",
        service_item=one.service_item,
        lead=one.lead,
        co_handlers="、".join("属地" if code == TERRITORIAL else units.get(code, code) for code in one.co_handlers),
        sla_class=one.sla_class,
        basis=one.basis,
        origin=one.origin,
        flaws=list(dict.fromkeys((labels.words(each.flaw), labels.label(each.flaw).tone) for each in flaws)),
        tone="danger" if any(each.flaw in FATAL for each in flaws) else None,
    )


def _flaw_line(
    one: Found,
    named: Mapping[int, RowView],
    categories: Mapping[int, tuple[str, str]],
    *,
    number: int,
    is_draft: bool,
) -> FlawLine:
    label = labels.label(one.flaw)
    row = named.get(one.row or 0)
    other = named.get(one.other or 0)
    code, path = categories.get(one.category or 0, ("", ""))
    href = None
    if is_draft:
        href = (
            url_for("dispatch_catalogue.row", number=number, row_id=row.id)
            if row
            else url_for("dispatch_catalogue.new_row", number=number, category=code)
        )
    return FlawLine(
        words=label.words,
        tone=label.tone,
        what=f"{row.words}（{row.lead}）" if row else path,
        other=f"{one.words}{f'另一条：{other.words}（{other.lead}）' if other else ''}",
        href=href,
    )


def _trial(found: CatalogueTrial, edition: CatalogueVersion) -> TrialPart:
    label = labels.label(found.state)
    # What was tried before an upgrade knows less.
    nothing = dict.fromkeys(("total", "same", "open", "elsewhere", "changed", "mended", "kinds"), 0)
    result = {**nothing, "lines": [], **found.result}
    old = found.of_version != edition.version and edition.state is CatalogueState.DRAFT
    opens = edition.state is CatalogueState.DRAFT and not old and actor().can(Permission.CATALOGUE_EDIT)
    return TrialPart(
        state=label.words,
        tone=label.tone,
        running=found.state in {TrialState.WAITING, TrialState.RUNNING},
        done=found.done_days,
        days=found.days,
        words=f"{local(found.since):%m-%d} 至今登记的 {result['total']} 张已派工单",
        result=result,
        lines=[
            {
                "now": "",
                **one,
                "links": [(number, url_for("tickets.show", number=number)) for number in one["examples"]],
                "row_href": url_for("dispatch_catalogue.row", number=edition.number, row_id=one["row"])
                if opens and one.get("row")
                else None,
            }
            for one in result["lines"]
        ],
        old=old,
        error=found.error,
    )


def _row_page(number: int, row_id: int | None, wish: RowWish, errors: Mapping[str, Sequence[str]]) -> str:
    with db().read() as reading:
        edition = _require_draft(reading, number)
        categories = ticket_queries.categories(reading)
        regions = ticket_queries.regions(reading)
        units = routing_queries.departments(reading, with_parts_only=False)
    leads = [(TERRITORIAL, "属地兜底单位（按所属区域）"), *((unit.code, unit.name) for unit in units)]
    asked = forms.whole("version") if errors else None
    return render_template(
        "catalogue/row.html",
        page=RowPage(
            number=number,
            version=asked or edition.version,
            row_id=row_id,
            heading="修改条目" if row_id else "新增条目",
            action=url_for("dispatch_catalogue.change_row", number=number, row_id=row_id)
            if row_id
            else url_for("dispatch_catalogue.add_row", number=number),
            values=wish,
            helpers=[*wish.co_handlers, "", "", ""][: max(3, len(wish.co_handlers) + 1)],
            categories=[(node.code, node.path) for node in categories],
            regions=[(node.code, node.path) for node in regions],
            request_types=labels.options(RequestType),
            leads=leads,
            classes=[(name, name) for name in SLA_CLASSES],
            errors=errors,
        ),
    )


def _require_draft(session: Any, number: int) -> CatalogueVersion:  # noqa: ANN401 - a session; pages import no SQLAlchemy
    found = catalogue.version_numbered(session, number)
    if found.state is not CatalogueState.DRAFT:
        raise NotFound("这一版已经发布，不能修改；请打开草案。")
    return found


def _wish() -> RowWish:
    one = {name: forms.text(name).strip() for name in ("category", "region", "request_type", "lead", "sla_class")}
    helpers = [code.strip() for code in request.form.getlist("co_handlers") if code.strip()]
    return RowWish(
        **one,
        service_item=clean_line(forms.text("service_item")),
        co_handlers=tuple(dict.fromkeys(helpers)),
        basis=clean_line(forms.text("basis")),
    )


def _uploaded() -> tuple[list[catalogue_sheets.Line], list[tuple[int, str]]]:
    given = request.files.get("file")
    if given is None or not given.filename:
        raise Invalid({"file": "请选择 XLSX 或 CSV 文件。"})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"rows{Path(given.filename).suffix.lower()[:8]}"
        given.save(path)
        if path.stat().st_size > MOST_FILE:
            raise Invalid({"file": f"文件过大，最多 {MOST_FILE // 1024 // 1024} MB。"})
        return catalogue_sheets.read(path)


def _names(session: Any) -> dict[str, str]:  # noqa: ANN401 - a session; pages import no SQLAlchemy
    found = {f"c:{node.code}": node.path for node in ticket_queries.categories(session)}
    found |= {f"r:{node.code}": node.path for node in ticket_queries.regions(session)}
    found |= {f"d:{unit.code}": unit.short_name for unit in routing_queries.departments(session, active_only=False)}
    return found | {f"d:{TERRITORIAL}": "属地兜底单位", "c:": "", "r:": ""}


def _instant(name: str) -> datetime | None:
    raw = forms.text(name).strip()
    if not raw:
        return None
    try:
        found = datetime.fromisoformat(raw)
    except ValueError as error:
        raise Invalid({name: "时间格式不正确，例如 2026-12-01T00:00。"}) from error
    return found if found.tzinfo else found.replace(tzinfo=SHANGHAI)
