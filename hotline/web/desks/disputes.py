"""Disputes over whose duty a ticket is (职责争议): the list, one dispute with positions and ruling, designation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from hotline.core.errors import Conflict, Denied, Invalid, WrongState
from hotline.core.permissions import GRANTS, Permission
from hotline.tickets import files
from hotline.tickets.vocabulary import RequestType
from hotline.web import forms, labels, present
from hotline.web.admin.exports import took
from hotline.web.gate import actor, db, now, page, tools
from hotline.web.labels import Label
from hotline.web.present import DeadlineView
from hotline.web.tickets import download, uploaded
from hotline.web.turning import Turn, turn
from reports.models import Taken
from routing import queries as routing_queries
from routing.duty import dispute_queries, disputing, overruling
from routing.duty.dispute_queries import DisputeView, Ruled
from routing.duty.rules import DisputeState, RulingState, Seat, Stance

bp = Blueprint("disputes", __name__)

ROWS: Final = 20
_P = Permission
#: Who may read a dispute at all.
READERS: Final = (_P.DISPUTE_ARGUE, _P.DISPUTE_CONVENE, _P.DISPUTE_RULE)
LABELS: Final[Mapping[str, str]] = {
    "words": "说明",
    "basis": "依据",
    "stance": "本单位意见",
    "files": "材料",
    "panel": "裁定小组",
    "lead_id": "主办单位",
    "assist_ids": "协办单位",
    "request_type": "适用诉求类型",
    "department_id": "单位",
    "reason": "指定理由",
    "dropped_words": "不同意的理由",
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the list."""

    id: int
    number: str
    href: str
    title: str
    cause: Label
    state: Label
    opened: str
    due: DeadlineView
    ended: str
    interim: str
    returned: int
    tone: str | None


@dataclass(frozen=True, kw_only=True)
class ListPage:
    """The disputes that a person may read."""

    tabs: Sequence[tuple[str, str, bool, int | None]]
    rows: Sequence[Row]
    open_only: bool
    turn: Turn


@dataclass(frozen=True, kw_only=True)
class SaidPart:
    """What a unit said."""

    department: str
    stance: Label
    words: str
    basis: str
    by: str
    at: str
    files: Sequence[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class RulingPart:
    """A ruling with what this person may do with it."""

    id: int
    state: Label
    lead: str
    helping: str
    words: str
    basis: str
    proposed: str
    confirmed: str
    dropped_words: str
    retired: str
    may_confirm: bool
    waits_for: str
    #: What it is a precedent for, as far as it is narrower than the category.
    scope: str
    may_catalogue: bool
    may_retire: bool
    #: It binds, but nobody has said yet what sort of matter the ticket is.
    lacks_category: bool
    #: Which edition of the catalogue says otherwise, and what.
    overruled: str


@dataclass(frozen=True, kw_only=True)
class ShowPage:
    """One dispute."""

    id: int
    number: str
    ticket_href: str | None
    title: str
    content: str
    place: str
    state: Label
    open: bool
    cause: str
    words: str
    opened: str
    due: DeadlineView
    steps: Sequence[str]
    interim: str
    interim_reason: str
    returned: int
    ended: str
    ended_words: str
    parties: Sequence[str]
    panel: Sequence[tuple[str, str]]
    positions: Sequence[SaidPart]
    rulings: Sequence[RulingPart]
    may_argue: bool
    may_convene: bool
    may_propose: bool
    may_designate: bool
    departments: Sequence[tuple[str, str]]
    unheard: Sequence[tuple[str, str]]
    arbiters: Sequence[tuple[str, str]]
    stances: Sequence[tuple[str, str]]
    request_types: Sequence[tuple[str, str]]
    #: The ticket's own type, named beside the choice.
    request_type: str
    seats: Sequence[tuple[str, str]]
    version: int
    printed: str
    values: Mapping[str, Any]
    errors: Mapping[str, Sequence[str]]
    labels: Mapping[str, str]
    refused: str


@dataclass(frozen=True, kw_only=True)
class AskPage:
    """The form with which a dispute is opened, or an owner designated."""

    number: str
    title: str
    version: int
    departments: Sequence[tuple[str, str]]
    values: Mapping[str, str]
    errors: Mapping[str, Sequence[str]]
    labels: Mapping[str, str]


@bp.get("/disputes")
@page(*READERS)
def queue() -> ResponseReturnValue:
    """List the disputes that one may read: the open ones by their limit, or those that have ended."""
    open_only, cursor = forms.asked("tab") != "ended", forms.asked("cursor")
    with db().read() as reading:
        found = dispute_queries.dispute_list(reading, actor(), open_only=open_only, cursor=cursor, limit=ROWS)
    tab = None if open_only else "ended"
    return render_template(
        "disputes/list.html",
        page=ListPage(
            tabs=[
                ("待裁定", url_for("disputes.queue"), open_only, None),
                ("已结束", url_for("disputes.queue", tab="ended"), not open_only, None),
            ],
            rows=[
                Row(
                    id=row.id,
                    number=row.number,
                    href=url_for("disputes.show", dispute_id=row.id),
                    title=row.title,
                    cause=labels.label(row.cause),
                    state=labels.label(row.state),
                    opened=present.short(row.opened_at, now=now()),
                    due=present.deadline(row.due_at, now=now(), done_at=row.ended_at),
                    ended=present.short(row.ended_at, now=now()),
                    interim=row.interim,
                    returned=row.returned,
                    tone="danger" if open_only and row.due_at < now() else None,
                )
                for row in found.rows
            ],
            open_only=open_only,
            turn=turn(found, cursor=cursor, tab=tab),
        ),
    )


@bp.get("/disputes/<int:dispute_id>")
@page(*READERS)
def show(dispute_id: int) -> ResponseReturnValue:
    """Show one dispute with all that was said."""
    return _page(dispute_id)


@bp.get("/disputes/<int:dispute_id>/print")
@page(*READERS)
def paper(dispute_id: int) -> ResponseReturnValue:
    """Show one dispute for paper (职责裁定书)."""
    made = _page(dispute_id, template="disputes/print.html")
    took(Taken.DISPUTE_PRINT, rows=1, scope=f"争议 {dispute_id}")
    return made


@bp.get("/disputes/<int:dispute_id>/files/<int:file_id>")
@page(*READERS)
def document(dispute_id: int, file_id: int) -> ResponseReturnValue:
    """Give a document of the dispute out, to be saved."""
    with db().read() as reading:
        row = dispute_queries.document(reading, actor(), dispute_id=dispute_id, file_id=file_id)
    return download(row.digest, name=row.name, media_type=row.media_type)


@bp.get("/disputes/new/<number>")
@page(_P.DISPUTE_ARGUE, _P.DISPUTE_CONVENE)
def ask_form(number: str) -> ResponseReturnValue:
    """Show the form with which a dispute is opened on request."""
    return render_template("disputes/ask.html", page=_asked(number, {}, {}))


@bp.post("/disputes/new/<number>")
@page(_P.DISPUTE_ARGUE, _P.DISPUTE_CONVENE)
def ask(number: str) -> ResponseReturnValue:
    """Open a dispute on request."""
    try:
        with db().begin() as writing:
            ticket = routing_queries.ticket_for(writing, actor(), number)
            dispute = disputing.open_dispute(
                writing,
                ticket_id=ticket.id,
                version=forms.required("version"),
                words=forms.text("words"),
                department_ids=forms.ids("department_ids"),
                by=actor(),
                now=now(),
            )
    except Invalid as error:
        return render_template("disputes/ask.html", page=_asked(number, request.form.to_dict(), error.fields)), 422
    except (Conflict, WrongState) as error:
        said = {"form": [error.message]}
        return render_template("disputes/ask.html", page=_asked(number, request.form.to_dict(), said)), 409
    forms.told("success", f"{number} 的职责争议已立案。")
    return redirect(url_for("disputes.show", dispute_id=dispute.id), code=303)


@bp.get("/disputes/designate/<number>")
@page(_P.TICKET_DESIGNATE)
def designate_form(number: str) -> ResponseReturnValue:
    """Show the form with which an owner is designated."""
    return render_template("disputes/designate.html", page=_asked(number, {}, {}))


@bp.post("/disputes/designate/<number>")
@page(_P.TICKET_DESIGNATE)
def designate(number: str) -> ResponseReturnValue:
    """Designate the department that must handle a ticket."""
    try:
        with db().begin() as writing:
            ticket = routing_queries.ticket_for(writing, actor(), number)
            department_id = forms.whole("department_id")
            if department_id is None:
                raise Invalid({"department_id": "请选择承办单位。"})  # noqa: TRY301 - one answer to the form
            disputing.designate(
                writing,
                ticket_id=ticket.id,
                version=forms.required("version"),
                department_id=department_id,
                reason=forms.text("reason"),
                by=actor(),
                now=now(),
            )
            name = routing_queries.department(writing, department_id).name
    except Invalid as error:
        values = request.form.to_dict()
        return render_template("disputes/designate.html", page=_asked(number, values, error.fields)), 422
    except (Conflict, WrongState) as error:
        said = {"form": [error.message]}
        return render_template("disputes/designate.html", page=_asked(number, request.form.to_dict(), said)), 409
    forms.told("success", f"{number} 已指定{name}承办，该单位不得退单。")
    return redirect(url_for("tickets.show", number=number), code=303)


@bp.post("/disputes/<int:dispute_id>/argue")
@page(_P.DISPUTE_ARGUE)
def argue(dispute_id: int) -> ResponseReturnValue:
    """Put one's unit's position and documents in, all or nothing."""

    def act(writing: Any) -> None:  # noqa: ANN401 - the house's session; pages know no SQL
        found = dispute_queries.dispute_for(writing, actor(), dispute_id)
        stance = forms.member(Stance, "stance")
        ids = [row.id for row in _attached(writing, found)]
        disputing.argue(
            writing,
            dispute_id=dispute_id,
            stance=stance,
            words=forms.text("words"),
            basis=forms.text("basis"),
            attachment_ids=ids,
            by=actor(),
            now=now(),
        )

    return _done(dispute_id, "argue", act, "意见已提交。")


@bp.post("/disputes/<int:dispute_id>/hear")
@page(_P.DISPUTE_CONVENE)
def hear(dispute_id: int) -> ResponseReturnValue:
    """Let a further unit be heard."""

    def act(writing: Any) -> None:  # noqa: ANN401 - as above
        department_id = forms.whole("department_id")
        if department_id is None:
            raise Invalid({"department_id": "请选择单位。"})
        disputing.hear(writing, dispute_id=dispute_id, department_id=department_id, by=actor(), now=now())

    return _done(dispute_id, "hear", act, "已增加争议方。")


@bp.post("/disputes/<int:dispute_id>/panel")
@page(_P.DISPUTE_CONVENE)
def panel(dispute_id: int) -> ResponseReturnValue:
    """Name the panel."""

    def act(writing: Any) -> None:  # noqa: ANN401 - as above
        seats = []
        for number in range(1, 6):
            user_id, seat = forms.whole(f"member_{number}"), forms.member(Seat, f"seat_{number}")
            if user_id is not None:
                seats.append((user_id, seat or Seat.OTHER))
        disputing.name_panel(writing, dispute_id=dispute_id, seats=seats, by=actor(), now=now())

    return _done(dispute_id, "panel", act, "裁定小组已确定。")


@bp.post("/disputes/<int:dispute_id>/rulings")
@page(_P.DISPUTE_RULE)
def propose(dispute_id: int) -> ResponseReturnValue:
    """Propose a ruling."""

    def act(writing: Any) -> None:  # noqa: ANN401 - as above
        disputing.propose_ruling(
            writing,
            dispute_id=dispute_id,
            lead_id=forms.whole("lead_id"),
            assist_ids=forms.ids("assist_ids"),
            words=forms.text("words"),
            basis=forms.text("basis"),
            request_type=forms.member(RequestType, "request_type"),
            by=actor(),
            now=now(),
        )

    return _done(dispute_id, "propose", act, "裁定意见已提出，等待另一方会签。")


@bp.post("/disputes/<int:dispute_id>/rulings/<int:ruling_id>/confirm")
@page(_P.DISPUTE_RULE)
def confirm(dispute_id: int, ruling_id: int) -> ResponseReturnValue:
    """Confirm a proposed ruling, so that it binds."""

    def act(writing: Any) -> None:  # noqa: ANN401 - as above
        _of(writing, dispute_id, ruling_id)
        disputing.confirm_ruling(writing, ruling_id=ruling_id, by=actor(), now=now())

    return _done(dispute_id, "confirm", act, "裁定已生效，工单按裁定承办。")


@bp.post("/disputes/<int:dispute_id>/rulings/<int:ruling_id>/drop")
@page(_P.DISPUTE_RULE)
def drop(dispute_id: int, ruling_id: int) -> ResponseReturnValue:
    """Turn a proposed ruling down."""

    def act(writing: Any) -> None:  # noqa: ANN401 - as above
        _of(writing, dispute_id, ruling_id)
        disputing.drop_ruling(writing, ruling_id=ruling_id, words=forms.text("dropped_words"), by=actor(), now=now())

    return _done(dispute_id, "drop", act, "裁定意见未通过，请重新提出。")


@bp.post("/disputes/<int:dispute_id>/rulings/<int:ruling_id>/catalogue")
@page(_P.CATALOGUE_PROPOSE)
def catalogue(dispute_id: int, ruling_id: int) -> ResponseReturnValue:
    """Put a ruling into the draft of the catalogue."""

    def act(writing: Any) -> None:  # noqa: ANN401 - as above
        _of(writing, dispute_id, ruling_id)
        disputing.into_catalogue(writing, ruling_id=ruling_id, by=actor(), now=now())

    return _done(dispute_id, "catalogue", act, "已加入派单目录草稿，发布后生效。")


@bp.post("/disputes/<int:dispute_id>/rulings/<int:ruling_id>/retire")
@page(_P.DISPUTE_CONVENE)
def retire(dispute_id: int, ruling_id: int) -> ResponseReturnValue:
    """Cite a ruling no more."""

    def act(writing: Any) -> None:  # noqa: ANN401 - as above
        _of(writing, dispute_id, ruling_id)
        disputing.retire_precedent(writing, ruling_id=ruling_id, by=actor(), now=now())

    return _done(dispute_id, "retire", act, "该裁定今后不再作为先例引用。")


def _done(dispute_id: int, form: str, act: Any, words: str) -> ResponseReturnValue:  # noqa: ANN401 - a function of a session
    try:
        with db().begin() as writing:
            act(writing)
    except Invalid as error:
        return _page(dispute_id, errors=error.fields, refused=form), 422
    except (Conflict, Denied, WrongState) as error:
        status = 403 if isinstance(error, Denied) else 409
        return _page(dispute_id, errors={"form": [error.message]}, refused=form), status
    forms.told("success", words)
    return redirect(url_for("disputes.show", dispute_id=dispute_id), code=303)


def _attached(writing: Any, found: DisputeView) -> Sequence[Any]:  # noqa: ANN401 - the house's session
    sent = uploaded("files")
    if not sent:
        return []
    return files.attach(writing, tools().store, ticket_id=found.ticket_id, uploads=sent, by=actor(), now=now())


def _of(writing: Any, dispute_id: int, ruling_id: int) -> None:  # noqa: ANN401 - the house's session
    found = dispute_queries.dispute_for(writing, actor(), dispute_id)
    if ruling_id not in {one.id for one in found.rulings}:
        raise Conflict("这份裁定不属于本争议。")


def _asked(number: str, values: Mapping[str, str], errors: Mapping[str, Sequence[str]]) -> AskPage:
    with db().read() as reading:
        ticket = routing_queries.ticket_for(reading, actor(), number)
        departments = routing_queries.departments(reading, with_parts_only=False)
    blank = {"words": "", "reason": "", "department_id": "", "department_ids": ""}
    return AskPage(
        number=ticket.number,
        title=ticket.title,
        version=ticket.version,
        departments=[(str(node.id), node.name) for node in departments],
        values={**blank, **values},
        errors=errors,
        labels=LABELS,
    )


def _page(
    dispute_id: int,
    *,
    errors: Mapping[str, Sequence[str]] | None = None,
    refused: str = "",
    template: str = "disputes/show.html",
) -> str:
    with db().read() as reading:
        found = dispute_queries.dispute_for(reading, actor(), dispute_id)
        departments = routing_queries.departments(reading, with_parts_only=False)
        arbiters = dispute_queries.arbiters(reading) if actor().can(_P.DISPUTE_CONVENE) else []
        overrulings = overruling.overrulings_of(reading, [one.id for one in found.rulings])
    me = actor()
    is_open = found.state is DisputeState.OPEN
    seat = next((seat for user_id, _, seat in found.panel if user_id == me.user_id), None)
    standing = next((one for one in found.rulings if one.state is not RulingState.DROPPED), None)
    blank = dict.fromkeys(("words", "basis", "stance", "lead_id", "department_id", "dropped_words", "request_type"), "")
    blank |= {f"{part}_{number}": "" for part in ("member", "seat") for number in range(1, 6)}
    typed: dict[str, Any] = {**blank, **(request.form.to_dict() if refused else {})}
    typed["assist_ids"] = request.form.getlist("assist_ids") if refused else []
    return render_template(
        template,
        page=ShowPage(
            id=found.id,
            number=found.number,
            ticket_href=url_for("tickets.show", number=found.number) if me.can(_P.TICKET_VIEW_ALL) else None,
            title=found.title,
            content=found.content,
            place=found.place,
            state=labels.label(found.state),
            open=is_open,
            cause=labels.words(found.cause),
            words=found.words,
            opened=f"{present.moment(found.opened_at)} {found.opened_by}",
            due=present.deadline(found.due_at, now=now(), done_at=found.ended_at),
            steps=found.steps,
            interim=found.interim,
            interim_reason=found.interim_reason,
            returned=found.returned,
            ended=f"{present.moment(found.ended_at)} {found.ended_by}" if found.ended_at else "",
            ended_words=found.ended_words,
            parties=list(found.parties.values()),
            panel=[(name, labels.words(one)) for _, name, one in found.panel],
            positions=[
                SaidPart(
                    department=one.department,
                    stance=labels.label(one.stance),
                    words=one.words,
                    basis=one.basis,
                    by=one.by,
                    at=present.moment(one.at),
                    files=[
                        (name, url_for("disputes.document", dispute_id=found.id, file_id=file_id))
                        for file_id, name in one.files
                    ],
                )
                for one in found.positions
            ],
            rulings=[
                _ruling(one, seat=seat, is_open=is_open, panel=found.panel, overruled=overrulings.get(one.id))
                for one in found.rulings
            ],
            may_argue=is_open and me.can(_P.DISPUTE_ARGUE) and bool(me.department_ids & set(found.parties)),
            may_convene=is_open and me.can(_P.DISPUTE_CONVENE) and standing is None,
            may_propose=is_open and seat is not None and standing is None,
            may_designate=is_open and me.can(_P.TICKET_DESIGNATE),
            departments=[(str(node.id), node.name) for node in departments],
            unheard=[(str(node.id), node.name) for node in departments if node.id not in found.parties],
            arbiters=[(str(user_id), f"{name}（{labels.words(role)}）") for user_id, name, role in arbiters],
            stances=labels.options(Stance),
            request_types=labels.options(RequestType),
            request_type=labels.words(found.request_type),
            seats=labels.options(Seat),
            version=found.ticket_version,
            printed=present.moment(now()),
            values=typed,
            errors=errors or {},
            labels=LABELS,
            refused=refused,
        ),
    )


def _ruling(
    one: Ruled,
    *,
    seat: Seat | None,
    is_open: bool,
    panel: Sequence[tuple[int, str, Seat]],
    overruled: tuple[int, datetime, str] | None,
) -> RulingPart:
    proposed = one.state is RulingState.PROPOSED and is_open
    proposer = next((each for user_id, _, each in panel if user_id == one.proposed_by_id), None)
    other_side = seat is not None and proposer is not None and (seat is Seat.HOTLINE) != (proposer is Seat.HOTLINE)
    in_force = one.state is RulingState.IN_FORCE
    granted = GRANTS[actor().role]
    return RulingPart(
        id=one.id,
        state=labels.label(one.state) if not one.retired_at else Label("已生效，不再引用"),
        lead=one.lead,
        helping="、".join(one.helping),
        words=one.words,
        basis=one.basis,
        proposed=f"{present.moment(one.proposed_at)} {one.proposed_by}",
        confirmed=f"{present.moment(one.confirmed_at)} {one.confirmed_by}" if one.confirmed_at else "",
        dropped_words=one.dropped_words,
        retired=present.moment(one.retired_at),
        may_confirm=proposed and other_side,
        waits_for=("其他部门席位" if proposer is Seat.HOTLINE else "热线中心席位") if proposed else "",
        scope=f"只适用于{labels.words(one.request_type)}类诉求" if one.request_type else "",
        may_catalogue=in_force and one.has_category and _P.CATALOGUE_PROPOSE in granted,
        lacks_category=in_force and not one.has_category and _P.CATALOGUE_PROPOSE in granted,
        may_retire=in_force and one.retired_at is None and _P.DISPUTE_CONVENE in granted,
        overruled=f"派单目录第 {overruled[0]} 版（{present.moment(overruled[1])} 发布）另作规定：{overruled[2]}。"
        if overruled
        else "",
    )
