"""Every ticket's own page, the query over all tickets, files and personal data."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

import xlsxwriter
from flask import Blueprint, Response, redirect, render_template, request, send_file, url_for
from flask.typing import ResponseReturnValue

from callbacks import actions as callbacks
from hotline.core.clock import local
from hotline.core.db import Database
from hotline.core.errors import Denied, Invalid, NotFound, StaleTicket
from hotline.core.permissions import Actor, Permission
from hotline.core.spreadsheets import safe_cell
from hotline.core.text import clean_line
from hotline.tickets import actions, files, queries
from hotline.tickets.models import Ticket
from hotline.tickets.refusals import REFUSALS
from hotline.tickets.states import Act, Outcome, State, check
from hotline.tickets.vocabulary import Channel, Kind, RequestType, Urgency
from hotline.web import forms, labels, present, ticket_page, ticket_search
from hotline.web.admin.exports import took
from hotline.web.catalogue import Catalogue, catalogue
from hotline.web.gate import actor, db, now, page, tools
from hotline.web.ticket_search import SearchRow, address, typed, wanted
from reports.actions import note_export
from reports.models import Taken
from routing import lists
from routing import queries as routing
from routing.lists import ListFilter, TicketRow
from routing.relations import crossing

bp = Blueprint("tickets", __name__)
P = Permission

MOST_EXPORTED: Final = 10_000
_PAGE: Final = 30
_EXPORT_PAGE: Final = 100
#: Who takes a matter over (domain.md 2.13).
TRANSFER_TARGETS: Final = ("110", "119", "120", "122", "其他热线")
#: The acts that have a form of their own here, by the last part of the address.
_ACTS: Final[Mapping[str, Act]] = {
    "answer": Act.ANSWER_DIRECTLY,
    "refuse": Act.REFUSE,
    "transfer": Act.TRANSFER,
    "withdraw": Act.WITHDRAW,
    "rework": Act.REWORK,
}
_SHEET: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
#: What a browser may do with a file of ours: nothing but save it.
_FILE_CSP: Final = "default-src 'none'; sandbox"


@dataclass(frozen=True, kw_only=True)
class SearchPage:
    """The query over all tickets that a person may see."""

    values: Mapping[str, str]
    errors: Mapping[str, Sequence[str]]
    rows: Sequence[SearchRow]
    total: int | None
    tabs: Sequence[tuple[str, str, bool, int | None]]
    active: Sequence[tuple[str, str]]
    choices: Mapping[str, Sequence[tuple[str, str]]]
    first: str | None
    previous: str | None
    next: str | None
    newest_href: str
    due_href: str
    by_due: bool
    exports: Sequence[tuple[str, str]]
    asked: str = ""


@dataclass(frozen=True, kw_only=True)
class CallerPage:
    """The tickets of one telephone number; the number itself is not on the page."""

    masked: str
    rows: Sequence[SearchRow]
    most: int


@dataclass(frozen=True, kw_only=True)
class ActPage:
    """One act on one ticket: what it is about, and the form."""

    act: str
    number: str
    version: int
    title: str
    content: str
    state: labels.Label
    reasons: Sequence[tuple[str, str]]
    scripts: Sequence[tuple[str, str]]
    targets: Sequence[tuple[str, str]]
    values: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class EditPage:
    """The form of corrections."""

    number: str
    version: int
    values: Mapping[str, str]
    errors: Mapping[str, Sequence[str]]
    sealed: Sequence[str]
    content: str
    categories: Sequence[tuple[str, str]]
    regions: Sequence[tuple[str, str]]
    items: Sequence[tuple[str, str]]
    request_types: Sequence[tuple[str, str]]
    urgencies: Sequence[tuple[str, str]]


# The query


@bp.get("/tickets")
@page(P.TICKET_VIEW)
def search() -> ResponseReturnValue:
    """List the tickets that a person may see, narrowed by the address, which is the saved query."""
    given = typed(request.args)
    try:
        found = wanted(given)
        return render_template("tickets/search.html", page=_search_page(given, found, cursor=forms.asked("cursor")))
    except Invalid as error:
        return render_template("tickets/search.html", page=_refused_search(given, error.fields)), 422


@bp.post("/tickets/find")
@page(P.TICKET_VIEW)
def find() -> ResponseReturnValue:
    """Look at what was asked for: a ticket's number, a telephone number, or words (see ticket_search)."""
    given = typed(request.form)
    asked = clean_line(forms.text("q") or given.get("words", ""))[:200]
    with db().read() as session:
        crossed = crossing.numbers_under(session, actor(), asked) if asked else []
    if crossed:  # a number of 110's; the newest ticket under it names the others
        return redirect(url_for("tickets.show", number=crossed[0]), 303)
    if number := ticket_search.ticket_number(asked):
        return _jump(number)
    if phone := ticket_search.phone(asked):
        return _by_phone(phone)
    if asked:
        given["words"] = asked
    try:
        wanted(given)
    except Invalid as error:
        return render_template("tickets/search.html", page=_refused_search(given, error.fields)), 422
    return redirect(address(url_for("tickets.search"), given), 303)


@bp.get("/tickets/export.<form>")
@page(P.EXPORT_MAKE)
def export(form: str) -> ResponseReturnValue:
    """Give the list out as CSV or XLSX: at most 10 000 lines, nothing personal, no cell that a program would run."""
    if form not in {"csv", "xlsx"}:
        raise NotFound
    found = wanted(typed(request.args))
    name = f"工单_{local(now()):%Y%m%d_%H%M}.{form}"
    taken = Taken.TICKETS_CSV if form == "csv" else Taken.TICKETS_XLSX
    rows = _exported(db(), actor(), found, taken=taken, scope=_scope(typed(request.args)), now=now())
    if form == "csv":
        response = Response(_csv(rows), mimetype="text/csv")
        response.headers["Content-Disposition"] = f"attachment; filename=tickets.csv; filename*=UTF-8''{quote(name)}"
        return response
    return send_file(_xlsx(rows), mimetype=_SHEET, as_attachment=True, download_name=name, max_age=0)


# One ticket


@bp.get("/tickets/<number>")
@page(P.TICKET_VIEW)
def show(number: str) -> ResponseReturnValue:
    """Show everything that a person may see of one ticket."""
    return render_template("tickets/show.html", page=ticket_page.page_of(number, by=actor(), now=now()))


@bp.get("/tickets/<number>/print")
@page(P.TICKET_VIEW)
def sheet(number: str) -> ResponseReturnValue:
    """Show the ticket as a sheet of paper, personal data masked."""
    made = ticket_page.page_of(number, by=actor(), now=now())
    took(Taken.TICKET_PRINT, rows=1, scope=made.number)
    return render_template("tickets/print.html", page=made)


@bp.post("/tickets/<number>/note")
@page(P.TICKET_NOTE)
def note(number: str) -> ResponseReturnValue:
    """Add a line to the timeline."""
    words = forms.text("note")
    try:
        with db().begin() as session:
            ticket = routing.ticket_for(session, actor(), number)
            actions.note(session, ticket_id=ticket.id, words=words, by=actor(), now=now())
    except Invalid as error:
        return _show_again(number, error, note=words)
    forms.told("success", "备注已添加。")
    return _back(number)


@bp.post("/tickets/<number>/files")
@page(P.TICKET_NOTE)
def attach(number: str) -> ResponseReturnValue:
    """Attach files; all of them or none."""
    try:
        with db().begin() as session:
            ticket = routing.ticket_for(session, actor(), number)
            rows = files.attach(
                session,
                tools().store,
                ticket_id=ticket.id,
                uploads=uploaded("files"),
                public=forms.flag("public"),
                by=actor(),
                now=now(),
            )
    except Invalid as error:
        return _show_again(number, error)
    forms.told("success", f"已添加 {len(rows)} 个附件。")
    return _back(number)


@bp.get("/tickets/<number>/files/<int:file_id>")
@page(P.TICKET_VIEW)
def file(number: str, file_id: int) -> ResponseReturnValue:
    """Give a file out, to be saved and never to be shown as a page of ours."""
    with db().read() as session:
        ticket = routing.ticket_for(session, actor(), number)
        row = files.attachment(session, ticket_id=ticket.id, attachment_id=file_id)
    return download(row.digest, name=row.name, media_type=row.media_type)


@bp.get("/tickets/<number>/edit")
@page(P.TICKET_AMEND)
def edit_form(number: str) -> ResponseReturnValue:
    """Show the form of corrections."""
    return render_template("tickets/edit.html", page=_edit_page(number))


@bp.post("/tickets/<number>/edit")
@page(P.TICKET_AMEND)
def edit(number: str) -> ResponseReturnValue:
    """Correct facts or classification; whoever comes second is shown what the first one changed."""
    try:
        with db().begin() as session:
            ticket = routing.ticket_for(session, actor(), number)
            before = ticket.version
            after = actions.amend(
                session,
                ticket_id=ticket.id,
                version=forms.required("version"),
                changes=_changes(ticket),
                reason=forms.text("reason")[:500],
                by=actor(),
                now=now(),
            )
    except Invalid as error:
        return render_template("tickets/edit.html", page=_edit_page(number, error.fields)), 422
    except StaleTicket as error:
        return _clash(number, error)
    saved = after.version != before
    forms.told("success" if saved else "info", "修改已保存。" if saved else "内容没有变化。")
    return _back(number)


# What ends a ticket, or sends it back to be done again: each a form at GET and the act at POST of one address.


def _answer_directly(session: Any, ticket: Ticket, version: int) -> None:  # noqa: ANN401 - a page names no class of the database's
    answer = forms.text("answer")
    actions.close_directly(session, ticket_id=ticket.id, version=version, answer=answer, by=actor(), now=now())


def _refuse(session: Any, ticket: Ticket, version: int) -> None:  # noqa: ANN401 - as above
    reason, words = forms.text("reason"), forms.text("words")
    actions.refuse(session, ticket_id=ticket.id, version=version, reason=reason, words=words, by=actor(), now=now())


def _transfer(session: Any, ticket: Ticket, version: int) -> None:  # noqa: ANN401 - as above
    actions.transfer(
        session,
        ticket_id=ticket.id,
        version=version,
        to=forms.text("to")[:100],
        other_number=forms.text("other_number")[:100],
        words=forms.text("words"),
        by=actor(),
        now=now(),
    )


def _withdraw(session: Any, ticket: Ticket, version: int) -> None:  # noqa: ANN401 - as above
    words = forms.text("words")
    actions.withdraw(session, ticket_id=ticket.id, version=version, words=words, by=actor(), now=now())


def _rework(session: Any, ticket: Ticket, version: int) -> None:  # noqa: ANN401 - as above
    reason = forms.text("reason")
    callbacks.rework(session, ticket_id=ticket.id, version=version, reason=reason, by=actor(), now=now())


@dataclass(frozen=True)
class _Ending:
    """Who may do it, what is done, and what is said when it is done."""

    permission: P
    do: Callable[[Any, Ticket, int], None]
    told: str


_ENDINGS: Final[Mapping[str, _Ending]] = {
    "answer": _Ending(P.TICKET_ANSWER_DIRECTLY, _answer_directly, "已直接答复并办结。"),
    "refuse": _Ending(P.TICKET_REFUSE, _refuse, "已记录为不予受理。"),
    "transfer": _Ending(P.TICKET_TRANSFER, _transfer, "已记录转接。"),
    "withdraw": _Ending(P.TICKET_AMEND, _withdraw, "已撤单。"),
    "rework": _Ending(P.TICKET_REWORK, _rework, "已退回原承办单位重办。"),
}


def _open_ending(name: str, ending: _Ending) -> None:
    """Register the form and the act of one ending, each marked with its permission."""

    @page(ending.permission)
    def form(number: str) -> ResponseReturnValue:
        return render_template("tickets/act.html", page=_act_page(name, number))

    @page(ending.permission)
    def act(number: str) -> ResponseReturnValue:
        return _act(name, number, ending.do, told=ending.told)

    bp.add_url_rule(f"/tickets/<number>/{name}", f"{name}_form", form, methods=["GET"])
    bp.add_url_rule(f"/tickets/<number>/{name}", name, act, methods=["POST"])


for _name, _its in _ENDINGS.items():
    _open_ending(_name, _its)


# For other desks


def uploaded(name: str) -> list[files.Upload]:
    """Return the files that a form carries; never more of one than may be taken in, plus the byte that says so."""
    return [
        files.Upload(name=sent.filename or "", content=sent.stream.read(files.MOST_BYTES + 1))
        for sent in request.files.getlist(name)
        if sent.filename
    ]


def download(digest: str, *, name: str, media_type: str) -> Response:
    """Return a stored file as an attachment that a browser saves and runs nothing of."""
    response = send_file(
        io.BytesIO(tools().store.read(digest)), mimetype=media_type, as_attachment=True, download_name=name
    )
    response.headers["Content-Security-Policy"] = _FILE_CSP
    response.headers["Cache-Control"] = "no-store"
    return response


# Parts of the above


def _jump(number: str) -> ResponseReturnValue:
    try:
        with db().read() as session:
            ticket = routing.ticket_for(session, actor(), number)
    except NotFound:
        forms.told("warning", f"没有找到编号为 {number} 的工单，或您无权查看。")
        return redirect(url_for("tickets.search"), 303)
    return redirect(url_for("tickets.show", number=ticket.number), 303)


def _by_phone(phone: str) -> ResponseReturnValue:
    if not actor().can(P.PERSONAL_REVEAL):
        raise Denied("您没有按电话号码查询工单的权限。")
    with db().read() as session:
        fingerprint = queries.phone_fingerprint(session, phone)
        rows = lists.of_caller(session, actor(), fingerprint, now=now(), limit=_PAGE)
    made = CallerPage(masked="*" * 7 + phone[-4:], rows=_rows(rows), most=_PAGE)
    return render_template("tickets/caller.html", page=made)


def _rows(rows: Sequence[TicketRow]) -> list[SearchRow]:
    return [ticket_search.row(row, href=url_for("tickets.show", number=row.number), now=now()) for row in rows]


def _search_page(given: Mapping[str, str], found: ListFilter, *, cursor: str) -> SearchPage:
    known, path = catalogue(), url_for("tickets.search")
    counter = ticket_search.counter_for(actor(), found)
    counted = ["tickets.all", *(f"tickets.state.{state}" for state in State), "tickets.bad_review.open"]
    with db().read() as session:
        listed = lists.ticket_list(session, actor(), found, now=now(), cursor=cursor, limit=_PAGE)
        figures = queries.counters(session, counted) if actor().can(P.TICKET_VIEW_ALL) else {}
    exports = [
        (words, address(url_for("tickets.export", form=form), given))
        for words, form in (("CSV", "csv"), ("Excel", "xlsx"))
    ]
    return SearchPage(
        values=given,
        errors={},
        rows=_rows(listed.rows),
        total=figures.get(counter) if counter else None,
        tabs=_tabs(path, given, figures),
        active=ticket_search.chips(path, given, known),
        choices=_choices(known),
        first=address(path, given) if listed.previous_cursor else None,
        previous=address(path, given, cursor=listed.previous_cursor) if listed.previous_cursor else None,
        next=address(path, given, cursor=listed.next_cursor) if listed.next_cursor else None,
        newest_href=address(path, given, order=None),
        due_href=address(path, given, order="due"),
        by_due=found.order == "due",
        exports=exports if actor().can(P.EXPORT_MAKE) else [],
    )


def _refused_search(given: Mapping[str, str], errors: Mapping[str, Sequence[str]]) -> SearchPage:
    """Return the page with nothing listed; what is wrong stays in its field and out of every address."""
    known, path = catalogue(), url_for("tickets.search")
    sound = {name: value for name, value in given.items() if name not in errors}
    return SearchPage(
        values={**given, "words": ""} if "words" in errors and "个人信息" in errors["words"][0] else given,
        errors=errors,
        rows=[],
        total=None,
        tabs=_tabs(path, sound, {}),
        active=ticket_search.chips(path, sound, known),
        choices=_choices(known),
        first=address(path, sound) if "cursor" in errors else None,
        previous=None,
        next=None,
        newest_href=address(path, sound, order=None),
        due_href=address(path, sound, order="due"),
        by_due=False,
        exports=[],
    )


def _tabs(path: str, given: Mapping[str, str], figures: Mapping[str, int]) -> list[tuple[str, str, bool, int | None]]:
    """Return the states as tabs; figures stand there only while nothing else narrows the list."""
    alone = not set(given) - {"state", "order"}
    tabs = [("全部", "", "tickets.all"), ("未办结", ticket_search.OPEN, "")]
    tabs += [(labels.words(state), state.value, f"tickets.state.{state}") for state in State]
    return [
        (
            words,
            address(path, given, state=state or None),
            given.get("state", "") == state,
            figures.get(counter) if alone else None,
        )
        for words, state, counter in tabs
    ]


def _choices(known: Catalogue) -> dict[str, Sequence[tuple[str, str]]]:
    return {
        "state": [(ticket_search.OPEN, "未办结"), *labels.options(State)],
        "outcome": labels.options(Outcome),
        "kind": labels.options(Kind),
        "type": labels.options(RequestType),
        "urgency": labels.options(Urgency),
        "channel": labels.options(Channel),
        "due": ticket_search.DUE,
        "order": ticket_search.ORDERS,
        "category": known.category_options(),
        "region": known.region_options(),
        "department": known.department_options(),
    }


_COLUMNS: Final[tuple[tuple[str, Callable[[TicketRow], Any]], ...]] = (
    ("工单编号", lambda row: row.number),
    ("工单种类", lambda row: labels.words(row.kind)),
    ("状态", lambda row: labels.words(row.state)),
    ("办理结果", lambda row: labels.words(row.outcome)),
    ("诉求类型", lambda row: labels.words(row.request_type)),
    ("紧急程度", lambda row: labels.words(row.urgency)),
    ("来源渠道", lambda row: labels.words(row.channel)),
    ("事件类别", lambda row: row.category),
    ("标题（已脱敏）", lambda row: row.title),
    ("承办单位", lambda row: row.department),
    ("受理时间", lambda row: row.registered_at),
    ("办理期限", lambda row: row.due_at),
    ("签收时间", lambda row: row.signed_at),
    ("答复时间", lambda row: row.answered_at),
    ("办结时间", lambda row: row.closed_at),
    ("重办轮次", lambda row: row.rework_rounds),
    ("催办次数", lambda row: row.repeats),
)
_TOO_MANY: Final = f"仅导出前 {MOST_EXPORTED} 条，请缩小查询条件后分次导出"


def _scope(given: Mapping[str, str]) -> str:
    """Return by what the list was narrowed, as the query bar says it."""
    return "；".join(words for words, _ in ticket_search.chips("", given, catalogue()))


def _exported(
    database: Database, who: Actor, found: ListFilter, *, taken: Taken, scope: str, now: datetime
) -> Iterator[list[Any]]:
    """Yield the heading and every line, page by page, so that no transaction lasts and nothing is held in memory.

    What has gone out is written down at the end, also when the reader breaks off.
    """
    count = 0
    try:
        yield [words for words, _ in _COLUMNS]
        cursor = ""
        while True:
            with database.read() as session:
                part = lists.ticket_list(session, who, found, now=now, cursor=cursor, limit=_EXPORT_PAGE)
            for row in part.rows:
                yield [safe_cell(value(row)) for _, value in _COLUMNS]
                count += 1
            cursor = part.next_cursor
            if not cursor:
                return
            if count >= MOST_EXPORTED:
                yield [_TOO_MANY]
                return
    finally:
        with database.begin() as session:
            note_export(session, what=taken, rows=count, scope=scope, by=who, now=now)


def _csv(rows: Iterator[list[Any]]) -> Iterator[str]:
    """Yield CSV with the mark by which Excel knows UTF-8."""
    yield "\ufeff"
    for row in rows:
        line = io.StringIO()
        csv.writer(line).writerow(row)
        yield line.getvalue()


def _xlsx(rows: Iterator[list[Any]]) -> io.BytesIO:
    out = io.BytesIO()
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(out, options) as book:
        leaf = book.add_worksheet("工单")
        leaf.freeze_panes(1, 0)
        leaf.set_column(0, len(_COLUMNS) - 1, 16)
        for at, row in enumerate(rows):
            for column, value in enumerate(row):
                write = leaf.write_number if isinstance(value, int) else leaf.write_string
                write(at, column, value)
    out.seek(0)
    return out


def _back(number: str) -> ResponseReturnValue:
    return redirect(url_for("tickets.show", number=number), 303)


def _show_again(number: str, error: Invalid, *, note: str = "") -> ResponseReturnValue:
    made = ticket_page.page_of(number, by=actor(), now=now(), note=note, errors=error.fields)
    return render_template("tickets/show.html", page=made), 422


def _act(name: str, number: str, do: Callable[[Any, Ticket, int], None], *, told: str) -> ResponseReturnValue:
    try:
        with db().begin() as session:
            do(session, routing.ticket_for(session, actor(), number), forms.required("version"))
    except Invalid as error:
        return render_template("tickets/act.html", page=_act_page(name, number, error.fields)), 422
    forms.told("success", told)
    return _back(number)


def _act_page(name: str, number: str, errors: Mapping[str, Sequence[str]] | None = None) -> ActPage:
    with db().read() as session:
        ticket = routing.ticket_for(session, actor(), number)
    check(_ACTS[name], ticket.state)
    return ActPage(
        act=name,
        number=ticket.number,
        # After a refusal the form keeps the version that the person saw, or somebody else's change would slip through.
        version=forms.whole("version") or ticket.version if errors and "version" not in errors else ticket.version,
        title=ticket.title,
        content=ticket.content,
        state=labels.label(ticket.state),
        reasons=[(refusal.code, f"{refusal.code} {refusal.words}") for refusal in REFUSALS.values()],
        scripts=[(f"{refusal.code} {refusal.words}", refusal.told) for refusal in REFUSALS.values()],
        targets=[(target, target) for target in TRANSFER_TARGETS],
        values=request.form.to_dict(),
        errors=errors or {},
    )


def _edit_page(number: str, errors: Mapping[str, Sequence[str]] | None = None) -> EditPage:
    known = catalogue()
    with db().read() as session:
        ticket = routing.ticket_for(session, actor(), number)
        sealed = queries.sealed_fields(session, ticket) & {"title", "content"}
        chosen = {one.name: f"{one.code} {one.name}" for one in queries.service_items(session)}
        if ticket.service_item:
            chosen.setdefault(ticket.service_item, f"{ticket.service_item}（已停用）")
        items = list(chosen.items())
    typed_before = errors is not None
    return EditPage(
        number=ticket.number,
        version=forms.whole("version") or ticket.version if errors and "version" not in errors else ticket.version,
        values=request.form.to_dict() if typed_before else _values(ticket),
        errors=errors or {},
        sealed=sorted(sealed),
        content=ticket.content,
        categories=known.category_options(),
        regions=known.region_options(),
        items=items,
        request_types=labels.options(RequestType),
        urgencies=labels.options(Urgency),
    )


def _values(ticket: Ticket) -> dict[str, str]:
    """Return what the fields of the form show for a ticket."""
    return {
        "title": ticket.title,
        "content": ticket.content,
        "place": ticket.place,
        "company": ticket.company,
        "request_type": ticket.request_type.value,
        "urgency": ticket.urgency.value,
        "category_id": str(ticket.category_id or ""),
        "region_id": str(ticket.region_id or ""),
        "service_item": ticket.service_item or "",
        "happened_at": present.field_moment(ticket.happened_at),
        "confidential": "yes" if ticket.confidential else "",
        "reason": "",
    }


def _changes(ticket: Ticket) -> dict[str, Any]:
    """Read the form; a field that shows what it showed before is no change, nor is one that was not on the form."""
    posted = request.form
    shown = _values(ticket)
    changes: dict[str, Any] = {
        name: posted[name] for name in ("title", "content", "place", "company", "service_item") if name in posted
    }
    if (kind := forms.member(RequestType, "request_type")) is not None:
        changes["request_type"] = kind
    if (urgency := forms.member(Urgency, "urgency")) is not None:
        changes["urgency"] = urgency
    for name in ("category_id", "region_id"):
        if name in posted:
            changes[name] = forms.whole(name)
    if posted.get("happened_at", shown["happened_at"]) != shown["happened_at"]:
        raw = posted["happened_at"]
        changes["happened_at"] = present.parse_moment(raw, name="happened_at") if raw else None
    # An empty box is not sent, so the form says that it had one.
    if "confidential_shown" in posted:
        changes["confidential"] = forms.flag("confidential")
    return changes


def _clash(number: str, error: StaleTicket) -> ResponseReturnValue:
    """Show what somebody else changed beside what this person typed, both in words."""
    known = catalogue()
    choices = {"category_id": dict(known.category_options()), "region_id": dict(known.region_options())}
    mine = {
        label: choices.get(name, {}).get(request.form[name], request.form[name].replace("T", " "))
        for name, label in actions.AMENDABLE.items()
        if name in request.form and label in error.changes
    }
    if "是否保密" in error.changes:
        mine["是否保密"] = "是" if forms.flag("confidential") else "否"
    theirs = {label: after for label, (_, after) in error.changes.items()}
    return render_template(
        "errors/409.html",
        mine=mine,
        theirs=theirs or {"操作": "、".join(labels.act(act) for act in error.acts)},
        by=error.by,
        at=present.moment(error.at),
        reload_href=url_for("tickets.edit_form", number=number),
    ), 409
