"""The list of a unit's tickets: what has to be signed, what is in hand, what was answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from flask import url_for

from hotline.core.permissions import Permission
from hotline.tickets.states import State
from hotline.tickets.vocabulary import Urgency
from hotline.web import labels, present
from hotline.web.desks import supervision as supervision_desk
from hotline.web.gate import actor, now
from hotline.web.labels import Label
from hotline.web.present import DeadlineView
from routing.lists import TicketPage, TicketRow
from routing.queries import DispatchView

PAGE_ROWS: Final = 30
#: For so long the unit is shown that a deadline was moved without its doing.
MOVED_LATELY: Final = timedelta(days=7)
TABS: Final[Mapping[str, str]] = {
    "unsigned": "待签收",
    "handling": "办理中",
    "answered": "已反馈",
    "all": "全部",
}


@dataclass(frozen=True, kw_only=True)
class InboxRow:
    """One line of the department's list."""

    id: int
    number: str
    version: int
    href: str
    title: str
    place: str
    category: str
    request_type: str
    department: str
    state: Label
    urgency: Label | None
    marks: tuple[Label, ...]
    sign_due: DeadlineView
    due: DeadlineView
    #: Where the deadline was before a declared day or an edition moved it these days; else empty.
    moved: str
    registered: str
    answered: str
    tone: str | None
    may_sign: bool


@dataclass(frozen=True, kw_only=True)
class InboxPage:
    """The department's list."""

    tab: str
    tabs: tuple[tuple[str, str, bool, int | None], ...]
    rows: tuple[InboxRow, ...]
    total: int | None
    previous: str | None
    next: str | None
    first: str | None
    many_departments: bool
    has_department: bool
    #: Parts of other units' tickets that are to be done; they have a list of their own.
    open_parts: int
    cursor: str
    supervision: supervision_desk.DeskPart


def inbox_page(found: TicketPage, *, tab: str, cursor: str, counts: Mapping[str, int], open_parts: int) -> InboxPage:
    """Return a page of the list under one of its headings."""

    def href(to: str) -> str | None:
        return url_for("department.inbox", tab=tab, cursor=to) if to else None

    return InboxPage(
        tab=tab,
        tabs=tuple(
            (words, url_for("department.inbox", tab=name), name == tab, counts.get(name))
            for name, words in TABS.items()
        ),
        rows=tuple(_row(row) for row in found.rows),
        total=counts.get(tab),
        previous=href(found.previous_cursor),
        next=href(found.next_cursor),
        first=url_for("department.inbox", tab=tab) if cursor else None,
        many_departments=len(actor().department_ids) > 1,
        has_department=bool(actor().department_ids),
        open_parts=open_parts,
        cursor=cursor,
        supervision=supervision_desk.desk_part(actor()),
    )


def _row(row: TicketRow) -> InboxRow:
    mine = row.department_id in actor().department_ids
    due = present.deadline(row.due_at if mine else None, now=now(), stands_until=row.suspended_until)
    waits = mine and row.state is State.DISPATCHED
    sign_due = present.deadline(row.sign_due_at if waits else None, now=now())
    return InboxRow(
        id=row.id,
        number=row.number,
        version=row.version,
        href=url_for("department.work", number=row.number),
        title=row.title,
        place=row.place,
        category=row.category.rsplit(" / ", maxsplit=1)[-1],
        request_type=row.request_type.value,
        department=row.department,
        state=labels.label(row.state) if mine or row.state is State.CLOSED else Label("已不在本单位"),
        urgency=urgency_label(row.urgency),
        marks=marks_of(rounds=row.rework_rounds, repeats=row.repeats, kind=row.kind, flags=()),
        sign_due=sign_due,
        due=due,
        moved=f"原为 {present.short(row.moved_from, now=now())}" if mine and moved_lately(row) else "",
        registered=present.short(row.registered_at, now=now()),
        answered=present.short(row.answered_at, now=now()),
        tone="danger" if "overdue" in {due.state, sign_due.state} else None,
        may_sign=waits and actor().can(Permission.TICKET_SIGN),
    )


def moved_lately(row: TicketRow | DispatchView) -> bool:
    """Tell whether a declared day or an edition has moved the deadline these days."""
    return row.moved_at is not None and row.moved_at > now() - MOVED_LATELY


def urgency_label(urgency: Urgency) -> Label | None:
    """Return the urgency where it is not the ordinary one."""
    return None if urgency is Urgency.ORDINARY else labels.label(urgency)


def marks_of(*, rounds: int, repeats: int, kind: Any, flags: Sequence[Label]) -> tuple[Label, ...]:  # noqa: ANN401 - a member of Kind
    """Return what is to be seen of a ticket before it is opened: rounds, repeats, flags."""
    marks = [labels.label(kind)] if kind.value == "bad_review" else []
    if rounds:
        marks.append(Label(f"重办第 {rounds} 次", "warning"))
    if repeats:
        marks.append(Label(f"重复来电 {repeats} 次", "info"))
    return (*marks, *flags)
