"""Merge, unmerge, gather an incident's callers, answer them all with one answer (domain.md 1.7).

(a) the same caller's open matter gets his call as an addition (intake.repeat); (b) his closed one is linked by
`repeats_id` and decided on; (c) different callers of one matter are merged here, each keeping number, answer and
callback; (d) different matters are different tickets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, delete, exists, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session
from sqlalchemy.sql import Select

from hotline.core import outbox
from hotline.core.db import keyring_of, run
from hotline.core.errors import Conflict, Invalid, NotFound, WrongState
from hotline.core.permissions import SYSTEM, Actor, Permission, Role, require
from hotline.core.personal_data import redact
from hotline.core.text import search_words
from hotline.telephony.actions import queue_text
from hotline.tickets import actions as tickets
from hotline.tickets.models import Ticket
from hotline.tickets.queries import locked_here
from hotline.tickets.states import Act, Outcome, State
from hotline.tickets.vocabulary import Kind
from routing import actions
from routing.duty import disputing
from routing.events import MainAnswered
from routing.models import Answer, Dispatch, Ending
from routing.relations.models import Announcement, Incident, Merge, MergePlace, Place

#: How many tickets are merged or unmerged at once.
MOST_AT_ONCE: Final = 100
#: A main ticket that ends like this leaves its members to be decided on by themselves.
_EARLY: Final = frozenset({Outcome.ANSWERED_DIRECTLY, Outcome.REFUSED, Outcome.TRANSFERRED, Outcome.WITHDRAWN})
#: From here a ticket can be merged, and others into it.
JOINS: Final = frozenset({State.REGISTERED, State.DISPATCHED, State.SIGNED})
#: How many telling words a text must share with an incident to be taken for one of its callers.
FEWEST_SHARED: Final = 2
# Asked with every answer, though few tickets have members; made once (docs/decisions/0028).
_SOMEBODY_WAITS: Final = select(exists().where(Merge.main_id == bindparam("for_main"), Merge.answered_at.is_(None)))


def merge(
    session: Session,
    *,
    main_id: int,
    ticket_ids: Iterable[int],
    reason: str,
    expected: int | None = None,
    incident_id: int | None = None,
    by: Actor,
    now: datetime,
) -> int:
    """Let tickets be answered with the main one; all of them or none, returns how many.

    Everything is locked in order of id, so A into B and B into A at once are one after the other, and the second is
    refused. With `expected`, another number of tickets is a mistake and changes nothing.
    """
    require(by, Permission.TICKET_MERGE)
    said = redact(reason.strip())[:500]
    ids = sorted(set(ticket_ids))
    _check_bulk(ids, reason=said, expected=expected)
    if main_id in ids:
        raise Invalid({"numbers": "主单不能并入自己。"})
    found = _lock(session, [*ids, main_id])
    if len(found) < len(ids) + 1:
        raise NotFound
    main = found[main_id]
    if main.state not in JOINS:
        raise WrongState("主单已反馈或已办结，不能再并入。")
    _check_members(session, main, [found[each] for each in ids])
    session.execute(
        insert(MergePlace)
        .values([{"ticket_id": main_id, "place": Place.MAIN}, *({"ticket_id": i, "place": Place.MEMBER} for i in ids)])
        .on_conflict_do_nothing(index_elements=["ticket_id"])
    )
    for each in ids:
        ticket = found[each]
        if ticket.state is not State.REGISTERED:
            tickets.move(session, ticket, Act.RECALL, by=by, now=now, details={"main": main.number})
            disputing.lapse(session, ticket_id=each, now=now)
            disputing.lapse_dispute(session, ticket_id=each, now=now)
        tickets.move(session, ticket, Act.MERGE, by=by, now=now, note=said, details={"main": main.number})
    session.execute(
        update(Dispatch)
        .where(Dispatch.ticket_id.in_(ids), Dispatch.is_current, Dispatch.ended_at.is_(None))
        .values(is_current=False, ended_at=now, ending=Ending.WITHDRAWN)
    )
    session.add_all(
        Merge(
            ticket_id=each,
            main_id=main_id,
            incident_id=incident_id,
            reason=said,
            merged_at=now,
            merged_by=by.user_id,
        )
        for each in ids
    )
    tickets.move(session, main, Act.NOTE, by=by, now=now, note=f"并入 {len(ids)} 件同一事项的工单。{said}")
    session.flush()  # the constraints answer here, not at the commit
    return len(ids)


def unmerge(
    session: Session, *, ticket_ids: Iterable[int], reason: str, expected: int | None = None, by: Actor, now: datetime
) -> int:
    """Let members go back into the dispatcher's queue; those that were answered already stay as they are."""
    require(by, Permission.TICKET_MERGE)
    said = redact(reason.strip())[:500]
    ids = sorted(set(ticket_ids))
    _check_bulk(ids, reason=said, expected=expected)
    found = _lock(session, ids)
    rows = session.scalars(select(Merge).where(Merge.ticket_id.in_(ids), Merge.answered_at.is_(None))).all()
    if len(rows) < len(ids):
        raise WrongState("其中有工单没有并单，或已随主单答复，没有改动任何工单。")
    _let_go(session, [found[row.ticket_id] for row in rows], rows, reason=said, by=by, now=now)
    return len(rows)


def open_incident(session: Session, *, main_id: int, title: str, words: str, by: Actor, now: datetime) -> Incident:
    """Make a ticket the main one of an incident, which operators then see while they type."""
    require(by, Permission.TICKET_MERGE)
    problems = {}
    if not 1 <= len(title.strip()) <= 100:  # noqa: PLR2004 - as the database says
        problems["title"] = "请用 100 字以内写明事件名称。"
    if not 1 <= len(words.strip()) <= 500:  # noqa: PLR2004 - as the database says
        problems["words"] = "请用 500 字以内写明对来电人的统一口径。"
    if problems:
        raise Invalid(problems)
    main = tickets.lock(session, main_id)
    if main.state not in JOINS:
        raise WrongState("工单已反馈或已办结，不能设为事件主单。")
    if session.scalar(select(Incident.id).where(Incident.main_id == main_id)):
        raise Conflict("这张工单已经是一个事件的主单。")
    session.execute(
        insert(MergePlace)
        .values(ticket_id=main_id, place=Place.MAIN)
        .on_conflict_do_nothing(index_elements=["ticket_id"])
    )
    if session.scalar(select(MergePlace.place).where(MergePlace.ticket_id == main_id)) is not Place.MAIN:
        raise Invalid({"title": "这张工单已并入其他工单，请在主单上设立事件。"})
    incident = Incident(
        title=redact(title.strip()), words=redact(words.strip()), main_id=main_id, opened_at=now, opened_by=by.user_id
    )
    session.add(incident)
    session.flush()  # those who attach need the id
    tickets.move(session, main, Act.NOTE, by=by, now=now, note=f"设为事件主单：{incident.title}")
    return incident


def attach(session: Session, *, incident_id: int, ticket_id: int, by: Actor, now: datetime) -> None:
    """Attach a caller's new ticket to an open incident."""
    incident = session.get(Incident, incident_id)
    if incident is None:
        raise Invalid({"incident_id": "所选的事件不存在。"})
    if incident.closed_at is not None:
        raise Invalid({"incident_id": "所选的事件已结束，请单独登记。"})
    merge(
        session,
        main_id=incident.main_id,
        ticket_ids=[ticket_id],
        reason=f"属于事件“{incident.title}”",
        incident_id=incident_id,
        by=by,
        now=now,
    )


def announce(session: Session, *, incident_id: int, words: str, by: Actor, now: datetime) -> Announcement:
    """Tell every caller of an incident by text message how things stand; each number once."""
    require(by, Permission.TICKET_MERGE)
    said = redact(words.strip())
    if not 1 <= len(said) <= 300:  # noqa: PLR2004 - four short messages
        raise Invalid({"words": "请用 300 字以内写明要告知的情况。"})
    incident = session.get(Incident, incident_id, with_for_update=True)  # two announcements, one after the other
    if incident is None:
        raise NotFound
    if incident.closed_at is not None:
        raise WrongState("事件已结束。")
    row = Announcement(incident_id=incident_id, words=said, callers=0, sent_at=now, sent_by=by.user_id)
    session.add(row)
    session.flush()  # the messages' keys need the id
    sealed = session.execute(
        select(Ticket.id, Ticket.number, Ticket.personal_sealed)
        .join(Merge, Merge.ticket_id == Ticket.id, isouter=True)
        .where(or_(Ticket.id == incident.main_id, Merge.main_id == incident.main_id))
        .order_by(Ticket.id)
    )
    told: set[str] = set()
    for _, number, personal in sealed.all():
        phone = keyring_of(session).open(personal).get("phone", "")
        if not phone or phone in told:
            continue
        told.add(phone)
        queue_text(
            session,
            key=f"announcement:{row.id}:{number}",
            purpose="incident",
            to=phone,
            body=f"【12345热线】您反映的“{incident.title}”（{number}）：{said}",
            by=by,
            now=now,
        )
    row.callers = len(told)
    main = tickets.lock(session, incident.main_id)
    tickets.move(session, main, Act.NOTE, by=by, now=now, note=f"统一告知 {len(told)} 位来电人：{said}")
    return row


def close_incident(session: Session, *, incident_id: int, by: Actor, now: datetime) -> Incident:
    """End an incident: nobody is attached to it any more; those who are keep waiting for the main ticket's answer."""
    require(by, Permission.TICKET_MERGE)
    incident = session.get(Incident, incident_id, with_for_update=True)  # decided on below
    if incident is None:
        raise NotFound
    if incident.closed_at is not None:
        raise WrongState("事件已结束。")
    incident.closed_at, incident.closed_by = now, by.user_id
    return incident


def pass_on(session: Session, *, ticket_id: int, dispatch_id: int) -> None:
    """Announce that members wait for this answer, if there are any."""
    if run(session, _SOMEBODY_WAITS, {"for_main": ticket_id}).scalar_one():
        at = session.scalars(_passed(dispatch_id)).one().at
        outbox.publish(session, MainAnswered(ticket_id=ticket_id, dispatch_id=dispatch_id), now=at)


def answer_members(session: Session, *, main_id: int, dispatch_id: int, now: datetime) -> int:
    """Give every waiting member the main ticket's answer, in the name of whoever wrote it; each is called back.

    Told twice, it is done once: a member that has its answer does not wait any more.
    """
    rows = session.scalars(
        select(Merge).where(Merge.main_id == main_id, Merge.answered_at.is_(None)).order_by(Merge.ticket_id)
    ).all()
    if not rows:
        return 0
    _lock(session, [main_id, *(row.ticket_id for row in rows)])
    number = session.get_one(Ticket, main_id).number
    dispatch = session.get_one(Dispatch, dispatch_id)
    said = session.scalars(_passed(dispatch_id)).one()
    answerer = Actor(
        user_id=said.by_id, role=Role.RESPONDER, department_ids=frozenset({dispatch.department_id}), name="承办单位"
    )
    for row in rows:
        row.answered_at = now
    session.flush()  # the database lets only those be dispatched that do not wait any more
    for row in rows:
        actions.dispatch(
            session,
            ticket_id=row.ticket_id,
            version=None,
            department_id=dispatch.department_id,
            reason=f"与主单 {number} 一并办理",
            automatic=True,
            by=SYSTEM,
            now=now,
        )
        session.flush()  # the dispatch is read back below
        actions.answer(
            session,
            ticket_id=row.ticket_id,
            version=None,
            feedback=actions.Feedback(
                internal_note=f"随主单 {number} 一并答复。{said.internal_note}"[:10_000],
                public_answer=said.public_answer,
                found_true=said.found_true,
                beyond_duty=said.beyond_duty,
                solved=said.solved,
                plan=said.plan,
                plan_on=said.plan_on,
            ),
            already_read=True,
            by=answerer,
            now=now,
        )
    return len(rows)


def closed(session: Session, ticket: Ticket, *, outcome: Outcome, now: datetime) -> None:
    """Take a closed ticket out of its relations; members of one that was not worked on go back into the queue."""
    rows = session.scalars(
        select(Merge).where(or_(Merge.ticket_id == ticket.id, Merge.main_id == ticket.id), Merge.answered_at.is_(None))
    ).all()
    own = [row for row in rows if row.ticket_id == ticket.id]
    for row in own:
        session.delete(row)
    if own:
        session.flush()  # the place is pointed at until now
        session.execute(delete(MergePlace).where(MergePlace.ticket_id == ticket.id))
    members = [row for row in rows if row.main_id == ticket.id]
    if members and outcome in _EARLY:
        found = _lock(session, [row.ticket_id for row in members])
        _let_go(session, list(found.values()), members, reason="主单未经办理即办结，另行派单", by=SYSTEM, now=now)


@dataclass(frozen=True, kw_only=True)
class KnownIncident:
    """An open incident and the words that it is known by."""

    id: int
    title: str
    words: str
    telling: frozenset[str]


def alike(text: str, incidents: Sequence[KnownIncident], *, most: int = 3) -> list[KnownIncident]:
    """Return the open incidents that a text seems to be about, the likeliest first: they share telling words."""
    typed = {word for word in search_words(text) if len(word) > 1}
    shared = [(len(typed & incident.telling), incident) for incident in incidents]
    likely = sorted((pair for pair in shared if pair[0] >= FEWEST_SHARED), key=lambda pair: (-pair[0], pair[1].id))
    return [incident for _, incident in likely[:most]]


def _passed(dispatch_id: int) -> Select[Answer]:
    """Return the question for the answer that stands: one that a reader sent back does not."""
    return select(Answer).where(Answer.dispatch_id == dispatch_id, Answer.sent_back_at.is_(None))


def _check_bulk(ids: Sequence[int], *, reason: str, expected: int | None) -> None:
    problems = {}
    if not ids:
        problems["numbers"] = "请至少选择一张工单。"
    if len(ids) > MOST_AT_ONCE:
        problems["numbers"] = f"一次最多 {MOST_AT_ONCE} 件。"
    if not reason:
        problems["reason"] = "请填写理由。"
    if expected is not None and expected != len(ids):
        problems["expected"] = f"找到 {len(ids)} 件，与您填写的 {expected} 件不符，没有改动任何工单。"
    if problems:
        raise Invalid(problems)


def _check_members(session: Session, main: Ticket, members: Sequence[Ticket]) -> None:
    """Raise `Invalid` that names every ticket that cannot join, and why."""
    wanted = [main.id, *(ticket.id for ticket in members)]
    rows = session.scalars(select(MergePlace).where(MergePlace.ticket_id.in_(wanted)))
    places = {row.ticket_id: row.place for row in rows}
    problems = []
    if places.get(main.id) is Place.MEMBER:
        problems.append(f"主单 {main.number} 自己已并入其他工单。")
    for ticket in members:
        if places.get(ticket.id) is Place.MAIN:
            problems.append(f"{ticket.number} 是其他工单的主单，请先解除其并单。")
        elif places.get(ticket.id) is Place.MEMBER:
            problems.append(f"{ticket.number} 已并入其他工单。")
        elif ticket.state not in JOINS:
            problems.append(f"{ticket.number} 已反馈或已办结。")
        elif ticket.kind is not Kind.CONCERN:
            problems.append(f"{ticket.number} 是差评，须单独核实整改。")
    if problems:
        raise Invalid({"numbers": problems})


def _lock(session: Session, ids: Iterable[int]) -> dict[int, Ticket]:
    """Lock tickets in order of id and return them by id."""
    wanted = sorted(set(ids))
    rows = session.scalars(
        select(Ticket)
        .where(Ticket.id.in_(wanted))
        .order_by(Ticket.id)
        .with_for_update()  # in one order everywhere, so that two of these never block each other
        .execution_options(populate_existing=True)
    ).all()
    locked_here(session).update(row.id for row in rows)
    return {row.id: row for row in rows}


def _let_go(
    session: Session, found: Sequence[Ticket], rows: Sequence[Merge], *, reason: str, by: Actor, now: datetime
) -> None:
    mains = {row.main_id for row in rows}
    for row in rows:
        session.delete(row)
    session.flush()  # the places are pointed at until now
    session.execute(delete(MergePlace).where(MergePlace.ticket_id.in_([ticket.id for ticket in found])))
    session.execute(
        delete(MergePlace).where(
            MergePlace.ticket_id.in_(mains),
            ~select(Merge.ticket_id).where(Merge.main_id == MergePlace.ticket_id).exists(),
            ~select(Incident.id).where(Incident.main_id == MergePlace.ticket_id).exists(),
        )
    )
    for ticket in found:
        tickets.move(session, ticket, Act.UNMERGE, by=by, now=now, note=reason)
