"""Who calls: the number, its earlier tickets and who holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from flask import url_for

from hotline.intake import harassment, rules
from hotline.intake.harassment_rules import Step
from hotline.tickets import queries as ticket_queries
from hotline.tickets.queries import Earlier
from hotline.tickets.states import State
from hotline.web import forms, labels, present
from hotline.web.gate import db, now
from hotline.web.labels import Label
from routing import awaiting

_FEWEST_DIGITS: Final = 7


@dataclass(frozen=True, kw_only=True)
class EarlierRow:
    """One earlier ticket beside the call."""

    number: str
    href: str
    title: str
    category: str
    state: str
    tone: str
    #: Where it is, for an open one.
    with_unit: str
    age: str
    iso: str
    open: bool
    append_href: str


@dataclass(frozen=True, kw_only=True)
class CallerPart:
    """What is known of a number; swapped in while one types."""

    #: "waiting": the number is not complete; "known" or "unknown".
    status: str
    rows: Sequence[EarlierRow] = ()
    people: Sequence[str] = ()
    #: What stands against the number, how far it has come, and what the operator does.
    harassed: Label | None = None
    advice: str = ""
    until: str = ""
    limited: bool = False
    #: Filled once the operator asked for the name that goes with the number.
    name: str = ""


def caller_part() -> CallerPart:
    """Return who calls, as far as the number that was typed tells."""
    phone = full_number()
    if phone is None:
        return CallerPart(status="waiting")
    with db().read() as reading:
        rows = ticket_queries.earlier_of(reading, phone)
        people = ticket_queries.callers_on(reading, phone) if rows else []
        holders = awaiting.went_to(reading, [row.id for row in rows]) if rows else {}
        known = harassment.of_phone(reading, phone, now=now()) if rows else None
    marked = known is not None and known.step is not Step.NONE
    return CallerPart(
        harassed=labels.label(known.step) if known and marked else None,
        advice=known.advice if known else "",
        until=present.moment(known.until) if known else "",
        limited=known is not None and known.step is Step.LIMITED,
        status="known" if rows else "unknown",
        rows=[earlier_row(row, holders) for row in rows],
        people=[person.name_masked for person in people],
    )


def full_number() -> str | None:
    """Return the number that was typed, once it is a whole one; 110 while 11012… is being typed is not."""
    try:
        phone = rules.normal_phone(forms.text("phone")) if forms.text("phone").strip() else ""
    except ValueError:
        return None
    return phone if len(phone) >= _FEWEST_DIGITS or phone.startswith("9") else None


def earlier_row(row: Earlier, holders: Mapping[int, str]) -> EarlierRow:
    """Return one earlier ticket of the caller, with who holds it."""
    label = labels.label(row.outcome if row.outcome is not None else row.state)
    return EarlierRow(
        number=row.number,
        href=ticket_href(row.number),
        title=row.title,
        category=row.category.split(" / ")[-1],
        state=label.words,
        tone=label.tone,
        with_unit=holders.get(row.id, "") if row.state is not State.CLOSED else "",
        age=f"{present.span_words((now() - row.registered_at).total_seconds())}前",
        iso=present.iso(row.registered_at),
        open=row.state is not State.CLOSED,
        append_href=url_for("intake.append", number=row.number),
    )


def ticket_href(number: str) -> str:
    """Return the address of a ticket's page."""
    return url_for("tickets.show", number=number)
