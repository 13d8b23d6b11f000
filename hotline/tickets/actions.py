"""What can be done to a ticket in general; what desks do is built from these few."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any, Final, cast

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Executable,
    Integer,
    Table,
    Text,
    bindparam,
    column,
    func,
    inspect,
    literal,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from hotline.core import outbox
from hotline.core.clock import local
from hotline.core.db import keyring_of, mark_written, write, write_new
from hotline.core.errors import Conflict, Denied, Invalid, NotFound, StaleTicket, Throttled, WrongState
from hotline.core.permissions import Actor, Permission, require
from hotline.core.personal_data import mask_address, mask_name, mask_phone, redact
from hotline.core.sealing import Keyring, Personal
from hotline.core.text import clean, clean_line, search_words
from hotline.people.models import User
from hotline.tickets import queries
from hotline.tickets.events import TicketAmended, TicketClosed, TicketRefused, TicketRegistered
from hotline.tickets.models import (
    Category,
    InstallationSetting,
    JournalEntry,
    Region,
    Ticket,
    TicketSearch,
)
from hotline.tickets.queries import done_lately
from hotline.tickets.refusals import REFUSALS
from hotline.tickets.states import NOT_FOR_REVIEWS, Act, Move, State, check
from hotline.tickets.transfer_models import Direction, Manner, Transfer
from hotline.tickets.vocabulary import Kind, NewTicket, Urgency

MOST_LEVELS: Final = 5
#: Fields that a person may correct, with the words for them on the 409 page.
AMENDABLE: Final[Mapping[str, str]] = {
    "title": "标题",
    "content": "内容",
    "place": "事发地点",
    "request_type": "诉求类型",
    "urgency": "紧急程度",
    "category_id": "事件类别",
    "region_id": "所属区域",
    "service_item": "服务事项",
    "company": "涉及单位",
    "happened_at": "发生时间",
    "confidential": "是否保密",
}


#: How long each text may be that a person corrects, in characters.
_LENGTHS: Final[Mapping[str, int]] = {"title": 100, "content": 20_000, "place": 200, "company": 200}
#: How many citizens one person may look up in an hour (domain.md 7 a).
MOST_REVEALS_PER_HOUR: Final = 60


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A new ticket and the code with which its citizen tracks it; the code is shown once and kept nowhere."""

    ticket: Ticket
    query_code: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of the journal as it was written; nothing about it can be changed any more."""

    act: Act
    at: datetime
    to_state: State
    note: str
    #: The version of the ticket that this act led to.
    version: int


_TICKETS: Final = cast("Table", Ticket.__table__)
_SEARCH: Final = cast("Table", TicketSearch.__table__)
_JOURNAL: Final = cast("Table", JournalEntry.__table__)
_LEXEMES: Final = func.array_to_tsvector(bindparam("found", type_=ARRAY(Text)))
#: The columns whose words are found.
_SEARCHED: Final = ("title", "content", "place", "company")
#: What `_columns` says of a new ticket.
_SAID: Final = (
    *("state", "kind", "channel", "request_type", "urgency", "category_id", "region_id", "title", "content", "place"),
    *("company", "happened_at", "name_masked", "phone_masked", "address_masked", "personal_sealed", "phone_index"),
    *("anonymous", "confidential", "wants_callback", "query_code_index", "repeats_id", "source_system", "source_key"),
    "service_item",
    *("registered_by", "registered_at"),
)


def _fresh() -> dict[str, Any]:
    """Return what stands in the other columns of a new ticket: their defaults."""
    defaults = ((column.name, column.default) for column in _TICKETS.c if column.name not in _SAID)
    return {
        name: default.arg(None) if default.is_callable else default.arg  # type: ignore[attr-defined]
        for name, default in defaults
        if default is not None and not default.is_sequence
    }


def _new_ticket() -> Executable:
    """Return the statement that writes a ticket, its search words, its first journal line and its news.

    It tells the ticket's id and number.
    """
    columns = {name: bindparam(name, type_=_TICKETS.c[name].type) for name in (*_SAID, *_fresh())}
    made = (
        _TICKETS.insert()
        .values(number=func.ticket_number(columns["registered_at"]), **columns)
        .returning(_TICKETS.c.id, _TICKETS.c.number)
        .cte("made")
    )
    search = _SEARCH.insert().from_select(["ticket_id", "words"], select(made.c.id, _LEXEMES)).cte("searched")
    line = {
        "at": columns["registered_at"],
        "act": bindparam("act", type_=_JOURNAL.c.act.type),
        "to_state": columns["state"],
        "by_id": columns["registered_by"],
        "by_role": bindparam("by_role", type_=_JOURNAL.c.by_role.type),
        "note": literal(""),
        "details": bindparam("details", type_=_JOURNAL.c.details.type),
        "version": columns["version"],
    }
    journal = _JOURNAL.insert().from_select(["ticket_id", *line], select(made.c.id, *line.values())).cte("noted")
    news = outbox.announcing(TicketRegistered, "ticket_id", of=made, at=columns["registered_at"]).cte("told")
    return select(made.c.id, made.c.number).add_cte(search, journal, news)


_NEW_TICKET: Final = _new_ticket()
_SEARCH_ROW: Final = _SEARCH.insert().inline().values(ticket_id=bindparam("ticket_id"), words=_LEXEMES)
_SEARCH_WORDS: Final = (
    upsert(_SEARCH)
    .values(ticket_id=bindparam("of_ticket"), words=_LEXEMES)
    .on_conflict_do_update(index_elements=["ticket_id"], set_={"words": _LEXEMES})
)
_JOURNAL_LINE: Final = _JOURNAL.insert().inline()
# The lock is held until the edge commits, so what is decided under it stays true.
_LOCK: Final = (
    select(Ticket).where(Ticket.id == bindparam("id")).with_for_update().execution_options(populate_existing=True)
)


def open_ticket(session: Session, new: NewTicket, *, by: Actor, now: datetime) -> Opened:
    """Write a new ticket, its first journal line, its search words and its news, all in this transaction."""
    if not (
        by.can(Permission.TICKET_REGISTER)
        or by.can(Permission.TICKET_SUBMIT)
        or by.can(Permission.REVIEW_RECEIVE)
        or by.can(Permission.TRANSFER_EXCHANGE)
    ):
        require(by, Permission.TICKET_REGISTER)
    code = _query_code()
    values = _columns(new, keyring=keyring_of(session), code=code, by=by, now=now)
    ticket = write_new(
        session,
        Ticket,
        _NEW_TICKET,
        {**_fresh(), **values},
        found=_words(values),
        act=Act.REGISTER,
        by_role=by.role,
        details={"channel": new.channel.value},
        heard=outbox.is_heard(session, TicketRegistered),
    )
    outbox.react(session, [TicketRegistered(ticket_id=ticket.id)])
    return Opened(ticket=ticket, query_code=code)


def open_tickets(session: Session, news: Sequence[NewTicket], *, by: Actor, now: datetime) -> dict[str, int]:
    """Write many records of one feed or file in few statements; returns the ids of the new ones by `source_key`.

    A record that is here already, or comes twice among these, is left as it is: what is not returned was known. All
    must be of one `source_system`. Their citizens are told no query code: it is made, and forgotten.
    """
    require(by, Permission.TICKET_REGISTER)
    keyring = keyring_of(session)
    first: dict[str, NewTicket] = {}
    for new in news:
        first.setdefault(new.source_key or "", new)
    rows = [_columns(new, keyring=keyring, code=_query_code(), by=by, now=now) for new in first.values()]
    if not rows:
        return {}
    statement = (
        upsert(Ticket)
        .values(number=func.ticket_number(now))
        .on_conflict_do_nothing(index_elements=["source_system", "source_key"])
        .returning(Ticket.id, Ticket.source_key)
    )
    ids = {str(row.source_key): int(row.id) for row in session.execute(statement, rows)}
    lines: list[dict[str, Any]] = []
    words: list[dict[str, Any]] = []
    for row in rows:
        key = row["source_key"]
        if key not in ids:
            continue
        lines.append(
            {
                "ticket_id": ids[key],
                "at": now,
                "act": Act.REGISTER,
                "from_state": None,
                "to_state": State.REGISTERED,
                "by_id": by.user_id,
                "by_role": by.role,
                "note": "",
                "details": {"channel": row["channel"].value, "source": row["source_system"]},
                "version": 1,
            }
        )
        words.append({"ticket_id": ids[key], "found": _words(row)})
    if lines:
        write(session, _JOURNAL_LINE, lines)
        write(session, _SEARCH_ROW, words)
        outbox.publish_all(session, [TicketRegistered(ticket_id=line["ticket_id"]) for line in lines], now=now)
    return ids


def lock(session: Session, ticket_id: int, *, version: int | None = None) -> Ticket:
    """Lock the ticket for this transaction.

    With `version`, raises `StaleTicket` unless it still is as the person last saw it; so a lost update is
    impossible. Raises `NotFound` when there is no such ticket.
    """
    ticket = session.get(Ticket, ticket_id) if ticket_id in queries.locked_here(session) else None
    if ticket is None:
        ticket = session.scalars(_LOCK, {"id": ticket_id}).first()
        if ticket is None:
            raise NotFound
        queries.locked_here(session).add(ticket_id)
    if version is not None and ticket.version != version:
        raise _stale(session, ticket, seen=version)
    return ticket


@dataclass(frozen=True, kw_only=True)
class Step:
    """One act of the map with the words and details of its line."""

    act: Act
    note: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


def move(
    session: Session,
    ticket: Ticket,
    act: Act,
    *,
    by: Actor,
    now: datetime,
    note: str = "",
    details: Mapping[str, Any] | None = None,
    becomes: Mapping[str, Any] | None = None,
) -> Line:
    """Do one act of the map: permission, place on the map, new state, one line in the journal.

    `becomes` are columns of the ticket that the act changes besides its place on the map.
    """
    step = Step(act=act, note=note, details=details or {})
    return move_along(session, ticket, [step], by=by, now=now, becomes=becomes)


def move_along(
    session: Session,
    ticket: Ticket,
    steps: Sequence[Step],
    *,
    by: Actor,
    now: datetime,
    becomes: Mapping[str, Any] | None = None,
) -> Line:
    """Do acts of the map one after another in one breath: otherwise as `move`; returns the last line.

    The ticket, with all that was set on it before, and its lines are written with one statement, at once. Raises
    `StaleDataError` when the ticket was not locked and somebody else was faster.
    """
    changes: dict[str, Any] = {}
    place = ticket.state
    lines: list[dict[str, Any]] = []
    for step in steps:
        row = check(step.act, place)
        require(by, row.permission)
        if step.act in NOT_FOR_REVIEWS and ticket.kind is Kind.BAD_REVIEW:
            raise WrongState("差评工单须由承办单位核实、反馈并回访，不能直接答复、不予受理或转接。")
        before = place
        if row.target is not None:
            place = row.target
            changes |= _entering(row, ticket, now=now)
        lines.append(
            {
                "rank": len(lines),
                "act": step.act.value,
                "from_state": before.value,
                "to_state": place.value,
                "note": step.note,
                "details": dict(step.details),
            }
        )
    version = _written(session, ticket, {**changes, **(becomes or {})}, lines, by=by, now=now)
    if place is State.CLOSED and "closed_at" in changes:
        assert ticket.outcome is not None  # noqa: S101 - the map's own test proves it
        outbox.publish(session, TicketClosed(ticket_id=ticket.id, outcome=ticket.outcome.value), now=now)
    last = steps[-1]
    return Line(act=last.act, at=now, to_state=place, note=last.note, version=version)


def amend(
    session: Session,
    *,
    ticket_id: int,
    version: int,
    changes: Mapping[str, Any],
    reason: str,
    by: Actor,
    now: datetime,
) -> Ticket:
    """Correct facts or classification; the journal keeps before and after of each field.

    Raises `Invalid` for a field that may not be changed or a value that cannot stand, `StaleTicket` when somebody
    else was first. Nothing is written when nothing is different.
    """
    cleaned = _checked(changes, now=now)
    ticket = lock(session, ticket_id, version=version)
    changed: dict[str, list[str]] = {}
    becomes: dict[str, Any] = {}
    opened = keyring_of(session).open(ticket.personal_sealed)
    for name, value in cleaned.items():
        before = getattr(ticket, name)
        after = redact(value) if name in {"title", "content", "place"} else value
        if before == after:
            continue
        if name == "service_item" and after and not queries.service_item_named(session, after):
            raise Invalid({name: "所选的服务事项不存在或已停用，请重新选择。"})
        if name in {"title", "content"}:
            opened.pop(name, None)
            if after != value:
                opened[name] = value
            becomes["personal_sealed"] = keyring_of(session).seal(opened)
        changed[AMENDABLE[name]] = [_shown(session, name, before), _shown(session, name, after)]
        becomes[name] = after
    # Only now, all at once: the questions above would have written what was set before them, a version for each.
    for name, value in becomes.items():
        setattr(ticket, name, value)
    if not changed:
        return ticket
    # What reacts at once changes the ticket too: told before the line is written, all of it is one new version.
    amended = TicketAmended(
        ticket_id=ticket.id,
        fields=tuple(name for name in becomes if name in AMENDABLE),
        by_id=by.user_id,
        at=now.isoformat(),
    )
    outbox.publish(session, amended, now=now)
    move(session, ticket, Act.AMEND, by=by, now=now, note=redact(reason), details={"changes": changed})
    write(
        session,
        _SEARCH_WORDS,
        {"of_ticket": ticket.id, "found": _words({name: getattr(ticket, name) for name in _SEARCHED})},
    )
    return ticket


def note(session: Session, *, ticket_id: int, words: str, by: Actor, now: datetime) -> Line:
    """Add a line to the timeline."""
    words = words.strip()
    if not words:
        raise Invalid({"note": "请填写备注内容。"})
    if len(words) > 5_000:  # noqa: PLR2004 - a note is not a document
        raise Invalid({"note": "备注最多 5000 字。"})
    ticket = lock(session, ticket_id)
    return move(session, ticket, Act.NOTE, by=by, now=now, note=redact(words))


def may_reveal(ticket: Ticket, by: Actor) -> bool:
    """Tell whether the actor may see who the citizen is: never a unit, when the citizen asked for that (保密)."""
    return by.can(Permission.PERSONAL_REVEAL) and (not ticket.confidential or by.can(Permission.TICKET_VIEW_ALL))


def reveal(session: Session, *, ticket_id: int, reason: str, by: Actor, now: datetime) -> Personal:
    """Open a citizen's personal data for one look, with a line in the journal (domain.md 7 a, c).

    Raises `Denied` to a unit whose citizen wants to stay unknown to it, `Throttled` to a person who looks at more
    citizens in an hour than any desk's work asks for.
    """
    ticket = session.get(Ticket, ticket_id)
    if ticket is None:
        raise NotFound
    if by.can(Permission.PERSONAL_REVEAL) and not may_reveal(ticket, by):
        raise Denied("诉求人要求对承办单位保密，不能查看其个人信息；需要联系时请通过热线中心转达。")
    if by.user_id is not None:
        looked = done_lately(session, user_id=by.user_id, act=Act.REVEAL, since=now - timedelta(hours=1))
        if looked >= MOST_REVEALS_PER_HOUR:
            raise Throttled(
                f"一小时内查看个人信息已达 {MOST_REVEALS_PER_HOUR} 次上限，请稍后再试；确有需要请联系管理员。",
                retry_after_s=600,
            )
    move(session, ticket, Act.REVEAL, by=by, now=now, note=redact(reason.strip())[:200])
    return Personal(**keyring_of(session).open(ticket.personal_sealed))


def close_directly(session: Session, *, ticket_id: int, version: int, answer: str, by: Actor, now: datetime) -> Ticket:
    """Answer a plain question on the spot and close it (直接答复, domain.md 2.2)."""
    if not answer.strip():
        raise Invalid({"answer": "请填写答复内容。"})
    ticket = lock(session, ticket_id, version=version)
    ticket.closing_words = redact(answer.strip())
    move(session, ticket, Act.ANSWER_DIRECTLY, by=by, now=now, note=ticket.closing_words[:200])
    return ticket


def refuse(
    session: Session, *, ticket_id: int, version: int, reason: str, words: str, by: Actor, now: datetime
) -> Ticket:
    """Refuse with a reason of the list and what the citizen should do instead (不予受理, domain.md 1.5)."""
    problems = {}
    if reason not in REFUSALS:
        problems["reason"] = "请选择不予受理的理由。"
    if not words.strip():
        problems["words"] = "请填写对诉求人的说明（依据与正确途径）。"
    if problems:
        raise Invalid(problems)
    ticket = lock(session, ticket_id, version=version)
    ticket.refusal_reason, ticket.closing_words = reason, redact(words.strip())
    move(
        session,
        ticket,
        Act.REFUSE,
        by=by,
        now=now,
        note=ticket.closing_words[:200],
        details={"reason": reason},
    )
    outbox.publish(session, TicketRefused(ticket_id=ticket.id, at=now.isoformat()), now=now)
    return ticket


def transfer(
    session: Session,
    *,
    ticket_id: int,
    version: int,
    to: str,
    other_number: str,
    words: str,
    manner: Manner = Manner.CALL,
    by: Actor,
    now: datetime,
) -> Ticket:
    """Record that the matter went to 110 or another line; the ticket stays (domain.md 2.13).

    Who owned it in the end is told later, with `tickets.transfers.settle`.
    """
    if not to.strip():
        raise Invalid({"to": "请选择转往的单位。"})
    ticket = lock(session, ticket_id, version=version)
    ticket.transfer_to, ticket.transfer_number = to.strip(), other_number.strip() or None
    session.add(
        Transfer(
            ticket_id=ticket_id,
            direction=Direction.OUT,
            line=to.strip(),
            other_number=other_number.strip(),
            manner=manner,
            made_at=now,
            made_by=by.user_id,
        )
    )
    ticket.closing_words = redact(words.strip())
    move(
        session,
        ticket,
        Act.TRANSFER,
        by=by,
        now=now,
        note=ticket.closing_words[:200],
        details={"to": to, "other_number": other_number, "manner": manner.value},
    )
    return ticket


def withdraw(session: Session, *, ticket_id: int, version: int, words: str, by: Actor, now: datetime) -> Ticket:
    """Close at the citizen's own wish (撤单)."""
    if not words.strip():
        raise Invalid({"words": "请填写撤单原因。"})
    ticket = lock(session, ticket_id, version=version)
    ticket.closing_words = redact(words.strip())
    move(session, ticket, Act.WITHDRAW, by=by, now=now, note=ticket.closing_words[:200])
    return ticket


def count_repeat(session: Session, *, ticket_id: int, words: str, by: Actor, now: datetime) -> Ticket:
    """Add a citizen's repeated call to the ticket that is open (domain.md 1.7 a): no second dispatch."""
    ticket = lock(session, ticket_id)
    ticket.repeats += 1
    note = redact(words.strip())[:2_000]
    move(session, ticket, Act.REPEAT, by=by, now=now, note=note, details={"repeats": ticket.repeats})
    return ticket


def set_setting(session: Session, *, name: str, value: dict[str, Any], by: Actor, now: datetime) -> None:
    """Set one value that administrators decide on screen."""
    require(by, Permission.SETTINGS_EDIT)
    row = session.get(InstallationSetting, name, with_for_update=True)  # two administrators, one after the other
    if row is None:
        session.add(InstallationSetting(name=name, value=value, changed_by=by.user_id, changed_at=now))
    else:
        row.value, row.changed_by, row.changed_at = value, by.user_id, now


def create_category(
    session: Session,
    *,
    code: str,
    name: str,
    parent_id: int | None,
    definition: str,
    lead: str,
    urgency: Urgency,
    by: Actor,
    today: date,
) -> Category:
    """Add a category to the tree, at most five levels deep (domain.md 1.3)."""
    require(by, Permission.CATALOGUE_EDIT)
    code, name = code.strip(), name.strip()
    parent = session.get(Category, parent_id) if parent_id is not None else None
    problems: dict[str, str] = {}
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{1,39}", code):
        problems["code"] = "代码为 2–40 位字母、数字、横线或下划线。"
    elif session.scalar(select(Category.id).where(Category.code == code)) is not None:
        problems["code"] = f"代码“{code}”已被使用。"
    if not name:
        problems["name"] = "请填写类别名称。"
    if parent_id is not None and parent is None:
        problems["parent_id"] = "所选的上级类别不存在。"
    if parent is not None and parent.level >= MOST_LEVELS:
        problems["parent_id"] = f"类别最多 {MOST_LEVELS} 级。"
    if problems:
        raise Invalid(problems)
    row = Category(
        code=code,
        name=name,
        path=f"{parent.path} / {name}" if parent else name,
        parent_id=parent_id,
        level=parent.level + 1 if parent else 1,
        definition=definition.strip(),
        lead=lead,
        urgency=urgency,
        valid_from=today,
    )
    session.add(row)
    session.flush()  # the unique code refuses here, not at the commit
    return row


def change_category(
    session: Session,
    *,
    code: str,
    name: str,
    definition: str,
    lead: str,
    urgency: Urgency,
    retired: bool,
    by: Actor,
    today: date,
) -> Category:
    """Change a category's words, usual department and urgency, or retire it; tickets keep what they had."""
    require(by, Permission.CATALOGUE_EDIT)
    row = queries.category(session, code)
    name = name.strip()
    if not name:
        raise Invalid({"name": "请填写类别名称。"})
    children = list(session.scalars(select(Category).where(Category.parent_id == row.id, Category.valid_to.is_(None))))
    if retired and children:
        raise Invalid({"retired": "该类别下还有使用中的子类别，请先停用子类别。"})
    if name != row.name:
        before = row.path
        row.name, row.path = name, row.path.removesuffix(row.name) + name
        for below in session.scalars(select(Category).where(Category.path.startswith(before + " / ", autoescape=True))):
            below.path = row.path + below.path.removeprefix(before)
    row.definition, row.lead, row.urgency = definition.strip(), lead, urgency
    row.valid_to = (row.valid_to or today) if retired else None
    return row


def fold_counters(session: Session) -> int:
    """Add the waiting changes to the stored counters; returns how many were folded."""
    folded = session.execute(
        text(
            """
            WITH taken AS (
                DELETE FROM counter_deltas WHERE id IN (
                    SELECT id FROM counter_deltas ORDER BY id LIMIT 20000 FOR UPDATE SKIP LOCKED
                ) RETURNING name, delta
            ), summed AS (SELECT name, sum(delta) AS delta, count(*) AS n FROM taken GROUP BY name),
            stored AS (
                INSERT INTO counters (name, value) SELECT name, delta FROM summed ORDER BY name
                ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value
            ) SELECT coalesce(sum(n), 0) FROM summed
            """
        )
    ).scalar_one()
    return int(folded)


def _query_code() -> str:
    return f"{secrets.randbelow(1_000_000):06d}"


def _columns(new: NewTicket, *, keyring: Keyring, code: str, by: Actor, now: datetime) -> dict[str, Any]:
    """Return a new ticket's columns, all but the number: what is personal is masked, and sealed in one of them."""
    title, content, place = redact(new.title), redact(new.content), redact(new.place)
    personal = Personal(
        name=new.name,
        phone=new.phone,
        address=new.address,
        id_number=new.id_number,
        title=new.title if title != new.title else "",
        content=new.content if content != new.content else "",
    )
    return {
        "state": State.REGISTERED,
        "kind": new.kind,
        "channel": new.channel,
        "request_type": new.request_type,
        "urgency": new.urgency,
        "category_id": new.category_id,
        "region_id": new.region_id,
        "service_item": new.service_item or None,
        "title": title,
        "content": content,
        "place": place,
        "company": new.company,
        "happened_at": new.happened_at,
        "name_masked": mask_name(new.name),
        "phone_masked": mask_phone(new.phone),
        "address_masked": mask_address(new.address),
        "personal_sealed": keyring.seal(personal.to_mapping()),
        "phone_index": keyring.index(f"phone:{new.phone}") if new.phone else None,
        "anonymous": new.anonymous,
        "confidential": new.confidential,
        "wants_callback": new.wants_callback,
        "query_code_index": keyring.index(f"query:{code}"),
        "repeats_id": new.repeats_id,
        "source_system": new.source_system,
        "source_key": new.source_key,
        "registered_by": by.user_id,
        "registered_at": now,
    }


def _entering(row: Move, ticket: Ticket, *, now: datetime) -> dict[str, Any]:
    """Return what a ticket becomes by an act that brings it to another place of the map."""
    becomes: dict[str, Any] = {
        "state": row.target,
        "outcome": row.outcome,
        "closed_at": now if row.target is State.CLOSED else None,
    }
    if row.target not in {State.DISPATCHED, State.SIGNED}:
        becomes["due_at"] = None
    if row.target is State.DISPATCHED and ticket.dispatched_at is None:
        becomes["dispatched_at"] = now
    if row.target is State.ANSWERED:
        becomes["answered_at"] = now
    return becomes


def _written(
    session: Session,
    ticket: Ticket,
    becomes: Mapping[str, Any],
    lines: Sequence[Mapping[str, Any]],
    *,
    by: Actor,
    now: datetime,
) -> int:
    """Write lines of the journal, with what the ticket becomes and what was set on it; returns its version then."""
    changed = {**_pending(ticket), **becomes}
    seen = ticket.version
    common = {"of_ticket": ticket.id, "seen": seen, "at": now, "by_id": by.user_id, "by_role": by.role, "lines": lines}
    written = write(
        session, _lines_with(tuple(sorted(changed))), {**common, **{f"new_{k}": changed[k] for k in changed}}
    )
    if written != len(lines):
        raise StaleDataError
    if not changed:
        return seen
    mark_written(ticket, {**changed, "version": seen + 1})
    return seen + 1


def _pending(ticket: Ticket) -> dict[str, Any]:
    """Return what was set on the ticket and is not written yet."""
    state = inspect(ticket)
    if not state.modified:
        return {}
    return {each.key: each.value for each in state.attrs if each.history.has_changes()}


@cache
def _lines_with(names: tuple[str, ...]) -> Executable:
    """Return the statement that changes these columns of a ticket and writes lines of its journal."""
    seen: ColumnElement[int] = bindparam("seen", type_=BigInteger)
    of_ticket: ColumnElement[int] = bindparam("of_ticket", type_=BigInteger)
    if names:
        changed = (
            update(_TICKETS)
            .where(_TICKETS.c.id == of_ticket, _TICKETS.c.version == seen)
            .values(version=seen + 1, **{name: bindparam(f"new_{name}", type_=_TICKETS.c[name].type) for name in names})
            .returning(_TICKETS.c.id, _TICKETS.c.version)
            .cte("changed")
        )
        of_ticket, seen = changed.c.id, changed.c.version
    done = (
        func.jsonb_to_recordset(bindparam("lines", type_=JSONB))
        .table_valued(
            column("rank", Integer),
            *(column(name, Text) for name in ("act", "from_state", "to_state", "note")),
            column("details", JSONB),
        )
        .render_derived(name="done", with_types=True)
    )
    line = {
        "ticket_id": of_ticket,
        "at": bindparam("at", type_=_JOURNAL.c.at.type),
        **{name: done.c[name] for name in ("act", "from_state", "to_state", "note", "details")},
        "by_id": bindparam("by_id", type_=BigInteger),
        "by_role": bindparam("by_role", type_=_JOURNAL.c.by_role.type),
        "version": seen,
    }
    lines = select(*line.values()).select_from(done)
    if names:
        lines = lines.join(changed, true())
    written = _JOURNAL.insert().from_select([*line], lines.order_by(done.c.rank)).inline()
    return written.execution_options(preserve_rowcount=True)


def _words(ticket: Mapping[str, Any]) -> list[str]:
    return search_words("\n".join(ticket[name] for name in _SEARCHED))


def _stale(session: Session, ticket: Ticket, *, seen: int) -> StaleTicket:
    rows: Sequence[tuple[JournalEntry, str | None]] = [
        (row[0], row[1])
        for row in session.execute(
            select(JournalEntry, User.display_name)
            .join(User, User.id == JournalEntry.by_id, isouter=True)
            .where(JournalEntry.ticket_id == ticket.id, JournalEntry.version > seen)
            .order_by(JournalEntry.id)
        )
    ]
    changes: dict[str, tuple[str, str]] = {}
    for entry, _ in rows:
        for label, (before, after) in entry.details.get("changes", {}).items():
            changes[label] = (changes[label][0] if label in changes else before, after)
    last = rows[-1] if rows else None
    return StaleTicket(
        number=ticket.number,
        by=(last[1] or "系统") if last else "",
        at=last[0].at if last else None,
        changes=changes,
        acts=tuple(entry.act.value for entry, _ in rows),
    )


def _shown(session: Session, name: str, value: Any) -> str:  # noqa: ANN401 - any column's value
    if value is None or value == "":
        return "（空）"
    if name == "category_id":
        return _path_of(session, Category, value)
    if name == "region_id":
        return _path_of(session, Region, value)
    if isinstance(value, bool):
        return "是" if value else "否"
    if isinstance(value, datetime):
        return local(value).strftime("%Y-%m-%d %H:%M")
    return str(value)


def _path_of(session: Session, table: type[Category | Region], row_id: int) -> str:
    path = session.scalar(select(table.path).where(table.id == row_id))
    if path is None:
        raise Conflict("所选的类别或区域已不存在，请重新选择。")
    return path


def _checked(changes: Mapping[str, Any], *, now: datetime) -> dict[str, Any]:
    """Return the changes cleaned as intake cleans them, or raise `Invalid` with every problem by field."""
    problems = {name: "此项不可修改。" for name in changes if name not in AMENDABLE}
    cleaned = dict(changes)
    for name, most in _LENGTHS.items():
        if name not in cleaned:
            continue
        cleaned[name] = clean(cleaned[name]) if name == "content" else clean_line(cleaned[name])
        if not cleaned[name] and name in {"title", "content"}:
            problems[name] = f"请填写{AMENDABLE[name]}。"
        elif len(cleaned[name]) > most:
            problems[name] = f"{AMENDABLE[name]}最多 {most} 字，现有 {len(cleaned[name])} 字。"
    if "service_item" in cleaned:
        cleaned["service_item"] = clean_line(cleaned["service_item"] or "") or None
    happened_at = cleaned.get("happened_at")
    if happened_at is not None and happened_at > now:
        problems["happened_at"] = f"发生时间不能晚于现在（{local(now):%Y-%m-%d %H:%M}）。"
    if problems:
        raise Invalid(problems)
    return cleaned
