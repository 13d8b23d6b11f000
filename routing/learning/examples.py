"""Gathers what people decided into examples for the model: whose side each is on, and what it counts.

Training reads the redacted text and takes out what people say of themselves (domain.md 7 i); the sealed original stays
sealed. What is gathered here lives in the memory of the training process only and is never written to a log.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ColumnElement, Subquery, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased

from hotline.tickets.models import Category, Ticket
from routing.answers.part_models import PartEnding, PartKind, Subtask
from routing.learning.label_models import LabelTask, Provenance, TrainingLabel
from routing.learning.labels import STANDING
from routing.learning.models import Side, TrainingSide
from routing.learning.queries import leaf_in_use, written_examples
from routing.models import Department, DepartmentKind, Suggestion

if TYPE_CHECKING:
    from classifier.learning import Example

#: The newest decisions of each category that are learnt from, and of all together: memory grows with their square.
MOST_OF_A_LABEL: Final = 200
MOST_EXAMPLES: Final = 4_000
#: One in so many groups of near-copies is held out.
HELD_OUT_ONE_IN: Final = 5
#: What came in so lately is kept for the comparison, at most the newest fifth.
NEWEST: Final = timedelta(days=14)
NEWEST_SHARE: Final = 0.2
#: A category label that a ruling about the department contradicts counts this much of its weight.
CONTRADICTED: Final = 0.3
#: A category that only follows from the department's answer counts this much of the answer's weight.
DERIVED: Final = 0.5
DEFINITION_WEIGHT: Final = 1.0
_TOLD: Final = {Provenance.ANSWERED, Provenance.RETURN_UPHELD, Provenance.RULED, Provenance.RETURN_REFUSED}
#: Which district's government is meant follows from the place, never from the words.
DISTRICT: Final = "district"


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """One labelled ticket before it is an example."""

    ticket_id: int
    title: str
    content: str
    registered_at: datetime
    label: str
    weight: float
    provenance: str
    #: The request type that holds, empty where nobody decided one.
    request_type: str = ""
    #: Who leads by decision (`DISTRICT` for the government of a place), and who helped; empty where nobody decided.
    department: str = ""
    department_weight: float = 1.0
    assist: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Material:
    """What one training run works with; near-copies never stand on two sides."""

    train: Sequence[Example]
    frozen: Sequence[Example]
    newest: Sequence[Example]
    definitions: Sequence[Example]
    #: Nothing newer than this was learnt from.
    learnt_to: datetime | None
    left_out: int

    @property
    def learnt(self) -> list[Example]:
        """Everything that goes into the model beside the seed corpus."""
        return [*self.train, *self.definitions]


def gather(session: Session) -> list[Gathered]:
    """Return what holds about the categories of tickets, weighed by how well founded it is (docs/learning.md).

    Where only the department of a ticket was decided, its label is empty.
    """
    leads = usual(session)
    districts = set(session.scalars(select(Department.code).where(Department.kind == DepartmentKind.DISTRICT)))
    newest = _newest(LabelTask.CATEGORY)
    duty, kind = aliased(TrainingLabel), aliased(TrainingLabel)
    rows = session.execute(
        select(
            newest.c.ticket_id,
            Ticket.title,
            Ticket.content,
            Ticket.registered_at,
            newest.c.label,
            newest.c.weight,
            newest.c.provenance,
            duty.label,
            duty.provenance,
            duty.weight,
            kind.label,
        )
        .join(Ticket, Ticket.id == newest.c.ticket_id)
        .outerjoin(
            duty,
            (duty.ticket_id == newest.c.ticket_id) & (duty.task == LabelTask.DEPARTMENT) & duty.superseded_at.is_(None),
        )
        .outerjoin(
            kind,
            (kind.ticket_id == newest.c.ticket_id)
            & (kind.task == LabelTask.REQUEST_TYPE)
            & kind.superseded_at.is_(None),
        )
        .where(newest.c.place <= MOST_OF_A_LABEL)
        .order_by(Ticket.registered_at.desc())
        .limit(MOST_EXAMPLES)
    )
    found = []
    for ticket_id, title, content, at, label, weight, provenance, department, how, worth, request_type in rows:
        fits = how is None or _is_duty(department, leads.get(label, ("", ())), districts)
        final = how is not None and STANDING[how].rank >= STANDING[Provenance.AUDITED].rank
        found.append(
            Gathered(
                ticket_id=ticket_id,
                title=title,
                content=content,
                registered_at=at,
                label=label,
                weight=weight if fits or not final else weight * CONTRADICTED,
                provenance=str(provenance),
                request_type=request_type or "",
                department=department if how is not None and how is not Provenance.PROPOSED else "",
                department_weight=worth or 1.0,
            )
        )
    found += _derived(session, leads=leads, districts=districts, room=MOST_EXAMPLES - len(found))
    found += _of_departments(session, but={one.ticket_id for one in found}, room=MOST_EXAMPLES - len(found))
    return _with_departments(session, found, districts=districts)


def usual(session: Session) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return who usually leads and who helps in each category."""
    rows = session.execute(select(Category.code, Category.lead, Category.assist))
    return {code: (lead, tuple(map(str, assist))) for code, lead, assist in rows}


def material(session: Session, gathered: Sequence[Gathered], *, groups: Sequence[int], now: datetime) -> Material:
    """Put every example on its side and write the new sides down; `groups` numbers near-copies alike."""
    from classifier.learning import Example
    from classifier.personal import redact

    known = {
        row.ticket_id: row.side
        for row in session.scalars(
            select(TrainingSide).where(TrainingSide.ticket_id.in_([one.ticket_id for one in gathered]))
        )
    }
    given = sides([one.ticket_id for one in gathered], groups, known)
    fresh = [
        {"ticket_id": ticket_id, "side": side.value, "assigned_at": now}
        for ticket_id, side in given.items()
        if ticket_id not in known
    ]
    if fresh:
        session.execute(insert(TrainingSide).values(fresh).on_conflict_do_nothing())

    def examples(chosen: Iterable[Gathered], *, measure: bool = False) -> list[Example]:
        return [
            Example(
                title=redact(one.title),
                body=redact(one.content),
                # A derived label is a guess: good enough to learn from, not to be measured by.
                label=one.label if _firm(one) or not measure else "",
                weight=one.weight,
                provenance=one.provenance,
                request_type=one.request_type,
                department=one.department,
                department_weight=one.department_weight,
                assist=one.assist,
            )
            for one in chosen
            if not measure or _firm(one) or one.department
        ]

    learning = [one for one in gathered if given[one.ticket_id] is Side.TRAIN]
    cut = newest_from([one.registered_at for one in learning], now=now)
    number = {one.ticket_id: group for one, group in zip(gathered, groups, strict=True)}
    old = [one for one in learning if cut is None or one.registered_at < cut]
    told = {number[one.ticket_id] for one in old}
    new = [
        one for one in learning if cut is not None and one.registered_at >= cut and number[one.ticket_id] not in told
    ]
    return Material(
        train=examples(old),
        frozen=examples((one for one in gathered if given[one.ticket_id] is Side.HOLDOUT), measure=True),
        newest=examples(new, measure=True),
        definitions=definitions(session),
        learnt_to=max((one.registered_at for one in old), default=None),
        left_out=sum(given[one.ticket_id] is Side.NEITHER for one in gathered),
    )


def definitions(session: Session) -> list[Example]:
    """Return what a city wrote about its categories: definitions of those that it added, and example sentences.

    So a category works before it has tickets.
    """
    from classifier import seeds
    from classifier.learning import Example

    shipped = set(seeds.load().by_code)
    rows = session.scalars(
        select(Category).where(leaf_in_use(), Category.definition != "", Category.code.not_in(shipped))
    )
    found = []
    for row in rows:
        # Twice, as a citizen might begin and as the catalogue says it: one line alone is drowned by the shipped ones.
        for title, body in ((row.name, row.definition), ("", f"{row.name}。{row.definition}")):
            found.append(
                Example(title=title, body=body, label=row.code, weight=DEFINITION_WEIGHT, provenance="definition")
            )
    return found + [
        Example(title="", body=body, label=code, provenance="written")
        for code, bodies in written_examples(session).items()
        for body in bodies
    ]


def sides(ticket_ids: Sequence[int], groups: Sequence[int], known: Mapping[int, Side]) -> dict[int, Side]:
    """Return the side of each ticket: what was given stays, near-copies stand together, one group in five is held out.

    A new ticket whose near-copies already stand on both sides is fit for neither.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for ticket_id, group in zip(ticket_ids, groups, strict=True):
        members[group].append(ticket_id)
    given: dict[int, Side] = {}
    for tickets in members.values():
        stand = {known[one] for one in tickets if one in known} - {Side.NEITHER}
        if len(stand) > 1:
            side = Side.NEITHER
        elif stand:
            side = next(iter(stand))
        else:
            side = Side.HOLDOUT if _scattered(min(tickets)) % HELD_OUT_ONE_IN == 0 else Side.TRAIN
        given |= {one: known.get(one, side) for one in tickets}
    return given


def newest_from(moments: Sequence[datetime], *, now: datetime) -> datetime | None:
    """Return from when on examples are kept for the comparison: the last two weeks, but at most the newest fifth."""
    if not moments:
        return None
    ordered = sorted(moments)
    last_fifth = ordered[min(len(ordered) - 1, int(len(ordered) * (1 - NEWEST_SHARE)))]
    return max(now - NEWEST, last_fifth)


def _derived(
    session: Session, *, leads: Mapping[str, tuple[str, tuple[Any, ...]]], districts: set[str], room: int
) -> list[Gathered]:
    """Return tickets whose department is known and whose category only follows: the likeliest candidate it leads."""
    duty, category = aliased(TrainingLabel), aliased(TrainingLabel)
    rows = session.execute(
        select(Ticket.id, Ticket.title, Ticket.content, Ticket.registered_at, duty.label, duty.weight, Suggestion.body)
        .join(duty, duty.ticket_id == Ticket.id)
        .join(Suggestion, Suggestion.ticket_id == Ticket.id)
        .where(
            duty.task == LabelTask.DEPARTMENT,
            duty.superseded_at.is_(None),
            duty.provenance.in_([one.value for one in _TOLD]),
            ~select(category.id)
            .where(
                category.ticket_id == Ticket.id,
                category.task == LabelTask.CATEGORY,
                category.superseded_at.is_(None),
            )
            .exists(),
        )
        .order_by(duty.at.desc(), Suggestion.id.desc())
        .limit(max(0, room) // 4)
    )
    found: dict[int, Gathered] = {}
    for ticket_id, title, content, at, department, weight, body in rows:
        codes = [str(one["code"]) for one in body.get("category", ())]
        mine = [code for code in codes if _leads(department, leads.get(code, ("", ()))[0], districts)]
        if mine and ticket_id not in found:
            found[ticket_id] = Gathered(
                ticket_id=ticket_id,
                title=title,
                content=content,
                registered_at=at,
                label=mine[0],
                weight=weight * DERIVED,
                provenance="derived",
                department=department,
                department_weight=weight,
            )
    return list(found.values())


def _of_departments(session: Session, *, but: set[int], room: int) -> list[Gathered]:
    """Return tickets of which only the department was decided, the newest of each department."""
    newest = _newest(LabelTask.DEPARTMENT, TrainingLabel.provenance != Provenance.PROPOSED.value)
    rows = session.execute(
        select(
            Ticket.id,
            Ticket.title,
            Ticket.content,
            Ticket.registered_at,
            newest.c.label,
            newest.c.weight,
            newest.c.provenance,
        )
        .join(newest, newest.c.ticket_id == Ticket.id)
        .where(newest.c.place <= MOST_OF_A_LABEL)
        .order_by(Ticket.registered_at.desc())
        .limit(MOST_EXAMPLES)
    )
    found = [
        Gathered(
            ticket_id=ticket_id,
            title=title,
            content=content,
            registered_at=at,
            label="",
            weight=weight,
            provenance=str(provenance),
            department=department,
            department_weight=weight,
        )
        for ticket_id, title, content, at, department, weight, provenance in rows
        if ticket_id not in but
    ]
    return found[: max(0, room)]


def _newest(task: LabelTask, *only: ColumnElement[bool]) -> Subquery:
    """Select the labels of a task that hold, each with its `place` among those that say the same, the newest first."""
    order = (TrainingLabel.at.desc(), TrainingLabel.id.desc())
    place = func.row_number().over(partition_by=TrainingLabel.label, order_by=order).label("place")
    return (
        select(TrainingLabel.ticket_id, TrainingLabel.label, TrainingLabel.weight, TrainingLabel.provenance, place)
        .where(TrainingLabel.task == task, TrainingLabel.superseded_at.is_(None), *only)
        .subquery()
    )


def _with_departments(session: Session, found: Sequence[Gathered], *, districts: set[str]) -> list[Gathered]:
    """Name every district alike, leave out who works no more, and add who helped."""
    working = set(session.scalars(select(Department.code).where(Department.active)))
    helpers: dict[int, list[str]] = defaultdict(list)
    for ticket_id, code in session.execute(
        select(Subtask.ticket_id, Department.code)
        .join(Department, Department.id == Subtask.department_id)
        .where(
            Subtask.ticket_id.in_([one.ticket_id for one in found]),
            Subtask.kind == PartKind.ASSIST,
            or_(Subtask.ending.is_(None), Subtask.ending == PartEnding.ANSWERED),
        )
        .order_by(Subtask.id)
    ):
        helpers[ticket_id].append(code)

    def alike(code: str) -> str:
        return DISTRICT if code in districts else code if code in working else ""

    return [
        replace(
            one,
            department=alike(one.department),
            assist=tuple(dict.fromkeys(alike(code) for code in helpers[one.ticket_id] if alike(code))),
        )
        for one in found
    ]


def _firm(one: Gathered) -> bool:
    return one.provenance != "derived"


def _leads(department: str, lead: str, districts: set[str]) -> bool:
    return department == lead or (lead == DISTRICT and department in districts)


def _is_duty(department: str, of: tuple[str, tuple[Any, ...]], districts: set[str]) -> bool:
    lead, assist = of
    return not lead or _leads(department, lead, districts) or any(_leads(department, one, districts) for one in assist)


def _scattered(number: int) -> int:
    """Return a number that looks random and is always the same for the same ticket (Knuth's multiplication)."""
    return (number * 2_654_435_761 % 2**32) >> 7  # the low bits of a product say little
