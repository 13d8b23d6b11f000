"""What a list of tickets is narrowed to: read from the address, shown as chips, written back into addresses.

A telephone number never stands in an address: it would stay in the browser's history, in logs and in whatever the
address is pasted into. So every query is *posted* to /tickets/find, which looks at it and either leads on to the
address that says the same without personal data, or, for a number, answers at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Final, TypeVar
from urllib.parse import urlencode

from hotline.core.clock import SHANGHAI
from hotline.core.errors import Invalid
from hotline.core.permissions import Actor, Permission
from hotline.core.personal_data import find
from hotline.core.text import clean_line
from hotline.intake.rules import normal_phone
from hotline.tickets.states import Outcome, State
from hotline.tickets.vocabulary import Channel, Kind, RequestType, Urgency
from hotline.web import forms, labels, present
from hotline.web.catalogue import Catalogue
from routing.lists import ListFilter, TicketRow

E = TypeVar("E", bound=StrEnum)

#: Every condition by its name in the address, with the words before it on its chip; in the order of the query bar.
CONDITIONS: Final[Mapping[str, str]] = {
    "words": "关键词",
    "state": "状态",
    "due": "时限",
    "type": "诉求类型",
    "urgency": "紧急程度",
    "department": "承办单位",
    "category": "事件类别",
    "region": "所属区域",
    "channel": "来源渠道",
    "outcome": "办理结果",
    "kind": "工单种类",
    "from": "受理日期起",
    "to": "受理日期止",
    "order": "排序",
}
#: "Everything that is not closed", beside the states themselves.
OPEN: Final = "open"
DUE: Final[tuple[tuple[str, str], ...]] = (("overdue", "已逾期"), ("today", "今日到期"), ("soon", "24 小时内到期"))
ORDERS: Final[tuple[tuple[str, str], ...]] = (("newest", "最新受理在前"), ("due", "最早到期在前"))
_LONGEST: Final = 200
#: 20261008 and a running number of seven digits or more.
_TICKET_NUMBER: Final = re.compile(r"\d{15,}")
_FEWEST_DIGITS: Final = 7


@dataclass(frozen=True, kw_only=True)
class SearchRow:
    """One line of a list, in words."""

    href: str
    number: str
    title: str
    state: labels.Label
    outcome: labels.Label
    request_type: str
    urgency: labels.Label | None
    bad_review: bool
    category: str
    department: str
    registered: str
    registered_iso: str
    deadline: present.DeadlineView
    repeats: int
    rework_rounds: int
    confidential: bool
    tone: str | None


def typed(source: Mapping[str, str]) -> dict[str, str]:
    """Return the conditions that something was given for, as typed."""
    found = {name: source.get(name, "").strip()[:_LONGEST] for name in CONDITIONS}
    return {name: value for name, value in found.items() if value and (name, value) != ("order", "newest")}


def wanted(given: Mapping[str, str]) -> ListFilter:
    """Return the conditions as the list understands them; `Invalid` tells every one that cannot be."""
    read = _Reading(given)
    words = clean_line(given.get("words", ""))
    if find(words):
        read.problems["words"] = ["查询词中含有个人信息，已略去；按电话查询请只输入电话号码。"]
    since, until = read.midnight("from"), read.midnight("to")
    if since and until and since > until:
        read.problems["to"] = ["截止日期早于起始日期。"]
    state = read.one_of("state", ((OPEN, ""), *labels.options(State)))
    found = ListFilter(
        words="" if read.problems.get("words") else words,
        states=open_states() if state == OPEN else (State(state),) if state else (),
        outcome=read.member(Outcome, "outcome"),
        kind=read.member(Kind, "kind"),
        request_type=read.member(RequestType, "type"),
        urgency=read.member(Urgency, "urgency"),
        channel=read.member(Channel, "channel"),
        category_id=read.whole("category"),
        region_id=read.whole("region"),
        department_id=read.whole("department"),
        due=read.one_of("due", DUE),
        order=read.one_of("order", ORDERS) or "newest",
        registered_from=since,
        registered_to=until + timedelta(days=1) if until else None,
    )
    if read.problems:
        raise Invalid(read.problems)
    return found


def address(path: str, given: Mapping[str, str], **changes: str | None) -> str:
    """Return the address of a list with these conditions, some of them changed or (None) left out."""
    merged = {**given, **changes}
    query = urlencode([(name, value) for name, value in merged.items() if value])
    return f"{path}?{query}" if query else path


def chips(path: str, given: Mapping[str, str], catalogue: Catalogue) -> list[tuple[str, str]]:
    """Return what narrows the list, in words, each with the address without it."""
    return [
        (f"{label}：{_spoken(name, given[name], catalogue)}", address(path, given, **{name: None}))
        for name, label in CONDITIONS.items()
        if name in given
    ]


def counter_for(who: Actor, found: ListFilter) -> str | None:
    """Return the name of the stored counter that says how many there are, if one says exactly that."""
    if not who.can(Permission.TICKET_VIEW_ALL):
        return None
    if found == ListFilter():
        return "tickets.all"
    if len(found.states) == 1 and found == ListFilter(states=found.states):
        return f"tickets.state.{found.states[0].value}"
    if found == ListFilter(kind=Kind.BAD_REVIEW, states=open_states()):
        return "tickets.bad_review.open"
    return None


def open_states() -> tuple[State, ...]:
    """Return every state but the last."""
    return tuple(state for state in State if state is not State.CLOSED)


def ticket_number(text: str) -> str:
    """Return the ticket's number if that is what was typed, blanks and dashes aside."""
    plain = re.sub(r"[\s\-]", "", text)
    return plain if _TICKET_NUMBER.fullmatch(plain) else ""


def phone(text: str) -> str:
    """Return the number in its one form if a telephone number and nothing else was typed; short ones are words."""
    try:
        number = normal_phone(text)
    except ValueError:
        return ""
    return number if sum(c.isdigit() for c in number) >= _FEWEST_DIGITS else ""


def row(ticket: TicketRow, *, href: str, now: datetime) -> SearchRow:
    """Return a line of the list in words."""
    deadline = present.deadline(ticket.due_at, now=now)
    return SearchRow(
        href=href,
        number=ticket.number,
        title=ticket.title,
        state=labels.label(ticket.state),
        outcome=labels.label(ticket.outcome),
        request_type=labels.words(ticket.request_type),
        urgency=labels.label(ticket.urgency) if ticket.urgency is not Urgency.ORDINARY else None,
        bad_review=ticket.kind is Kind.BAD_REVIEW,
        category=ticket.category,
        department=ticket.department,
        registered=present.short(ticket.registered_at, now=now),
        registered_iso=present.iso(ticket.registered_at),
        deadline=deadline,
        repeats=ticket.repeats,
        rework_rounds=ticket.rework_rounds,
        confidential=ticket.confidential,
        tone="danger" if deadline.state == "overdue" else None,
    )


def _spoken(name: str, value: str, catalogue: Catalogue) -> str:
    choices: dict[str, Sequence[tuple[str, str]]] = {
        "state": [(OPEN, "未办结"), *labels.options(State)],
        "due": DUE,
        "order": ORDERS,
        "type": labels.options(RequestType),
        "urgency": labels.options(Urgency),
        "channel": labels.options(Channel),
        "outcome": labels.options(Outcome),
        "kind": labels.options(Kind),
        "category": catalogue.category_options(),
        "region": catalogue.region_options(),
        "department": catalogue.department_options(),
    }
    return dict(choices.get(name, ())).get(value, value)


#: Days that a ticket may have been registered on, and that can still be counted on from.
_YEARS: Final = range(1900, 2999)


class _Reading:
    """Reads conditions one by one and keeps every problem, so that all of them are told at once."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self.given = given
        self.problems: dict[str, list[str]] = {}

    def midnight(self, name: str) -> datetime | None:
        """Return the beginning of a day in China."""
        raw = self.given.get(name, "")
        try:
            day = date.fromisoformat(raw) if raw else None
        except ValueError:
            self.problems[name] = ["日期格式不正确，例如 2026-11-22。"]
            return None
        if day is not None and day.year not in _YEARS:
            self.problems[name] = ["日期超出了可查询的范围，请核对年份。"]
            return None
        return datetime.combine(day, time(), tzinfo=SHANGHAI) if day else None

    def member(self, members: type[E], name: str) -> E | None:
        """Return the chosen member of an enum."""
        try:
            return forms.member(members, name, source=self.given)
        except Invalid as error:
            self.problems.update(error.fields)
            return None

    def whole(self, name: str) -> int | None:
        """Return an id."""
        try:
            return forms.whole(name, source=self.given)
        except Invalid as error:
            self.problems.update(error.fields)
            return None

    def one_of(self, name: str, choices: Sequence[tuple[str, str]]) -> str:
        """Return one of these values, or an empty text."""
        value = self.given.get(name, "")
        if value and value not in dict(choices):
            self.problems[name] = ["所选项不在可选范围内，请重新选择。"]
            return ""
        return value
