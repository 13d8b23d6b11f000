"""Loads the demonstration city into an empty installation: what is there, who works there, and 160 lived tickets.

Every ticket is walked through the actions that people use, at the times its story tells, so that each desk, counter,
deadline and timeline shows what really happened to it. All of it is one transaction: a load that is interrupted leaves
nothing behind.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Final

from sqlalchemy import text, update
from sqlalchemy.orm import Session

import callbacks.actions
import callbacks.queries
import hotline.intake.actions
import hotline.people.actions
import hotline.people.queries
import hotline.tickets.actions
import routing.actions
import routing.duty.returning
import routing.queries
from callbacks.models import ReviewVerdict
from callbacks.policy import ATTEMPTS, FIRST_HOUR, LAST_HOUR, AttemptOutcome
from classifier import seeds
from classifier.seeds import Leaf, Seeds
from hotline.core import clock
from hotline.core.clock import SHANGHAI, local, local_day
from hotline.core.db import Database
from hotline.core.errors import Conflict
from hotline.core.files import FileStore
from hotline.core.outbox import OutboxRow
from hotline.core.permissions import PUBLIC, SYSTEM, Actor, Role
from hotline.core.settings import Settings
from hotline.demo import catalogue as demo_catalogue
from hotline.demo import data, duty, hands, relations, supervision
from hotline.demo.data import City, DemoTicket, Round, Story
from hotline.demo.judged import ask_the_model
from hotline.intake import exchange, harassment
from hotline.intake.harassment_rules import HarassmentKind
from hotline.intake.rules import Concern
from hotline.tickets import transfers
from hotline.tickets.models import Category, Region, ServiceItem, Ticket
from hotline.tickets.refusals import NR_HARASSMENT
from hotline.tickets.transfer_models import FinalOwner, Manner
from hotline.tickets.vocabulary import Channel, Urgency
from hotline.wiring import open_installation
from routing.models import Department, Dispatch

#: After so many tickets the session lets go of what it has seen; more would make every flush slower.
BATCH: Final = 20
#: The tree of matters has at most so many levels (domain.md 1.3).
DEEPEST: Final = 5
#: Told how many tickets of how many have been walked.
Progress = Callable[[int, int], None]

_CITIZENS_OWN: Final = frozenset({Channel.WEB, Channel.WECHAT, Channel.APP})
_DEVICE: Final = Actor(user_id=None, role=Role.DEVICE, name="政务大厅评价器")
_OFFICE_FROM, _OFFICE_TO = 9, 17
_SATURDAY: Final = 5
#: Stories in which the department signs; in the others nobody of it has touched the ticket.
_SIGNED: Final = frozenset(Story) - {
    Story.REGISTERED,
    Story.ANSWERED_DIRECTLY,
    Story.REFUSED,
    Story.TRANSFERRED,
    Story.WITHDRAWN,
    Story.DISPATCHED,
}
_ANSWERED: Final = _SIGNED - {Story.SIGNED, Story.SENT_BACK, Story.OVERDUE}
#: Below this likeness no category of the tree fits a matter, and a person must choose.
_LEAST_LIKENESS: Final = 0.09
_LEAD_COUNTS, _ASSIST_COUNTS = 2.0, 1.3


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """How much was loaded."""

    regions: int
    departments: int
    categories: int
    users: int
    tickets: int


@dataclass(frozen=True, kw_only=True)
class Places:
    """The ids that the catalogue got, by code; and the names of the service items."""

    regions: Mapping[str, int]
    departments: Mapping[str, int]
    categories: Mapping[str, int]
    service_items: Mapping[str, str]


def load_if_empty(settings: Settings, *, password: str, progress: Progress | None = None) -> bool:
    """Load the city unless the installation already has users; tells whether it did."""
    tools = open_installation(settings)
    try:
        with tools.db.read() as session:
            if not is_empty(session):
                return False
        load(tools.db, data.load(), password=password, now=clock.now(), store=tools.store, progress=progress)
        ask_the_model(tools)
    finally:
        tools.db.close()
    return True


def is_empty(session: Session) -> bool:
    """Tell whether nobody has an account yet."""
    return not hotline.people.queries.users(session, limit=1).rows


def load(
    database: Database,
    city: City,
    *,
    password: str,
    now: datetime,
    store: FileStore | None = None,
    progress: Progress | None = None,
) -> Loaded:
    """Load the whole city, every account with this password; raises `Conflict` unless there are no users yet."""
    corpus = seeds.load()
    with database.begin() as session:
        # Two loaders at once: the second waits here and then finds users.
        session.execute(text("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE"))
        if not is_empty(session):
            raise Conflict("数据库中已有用户，演示城市只能载入空的数据库。")
        places = load_catalogue(session, city, corpus)
        people = _People(session, city, places, password=password, now=now)
        administrator = people.one(Role.ADMINISTRATOR, 0)
        demo_catalogue.load_places(
            session, city, regions=places.regions, departments=places.departments, now=people.since
        )
        demo_catalogue.publish(session, city, corpus, by=administrator, now=people.since)
        matters = _Matters(corpus)
        made: dict[str, int] = {}
        lives = sorted(city.tickets, key=lambda ticket: (_born(ticket, now), ticket.key))
        for done, ticket in enumerate(lives, 1):
            category = matters.category_of(ticket)
            life = _Life(session, ticket, people, places, born=_born(ticket, now), now=now)
            life.walk(places.categories[category] if category else None)
            made[ticket.key] = life.ticket_id
            if done % BATCH == 0:
                session.flush()  # what is let go of must have been written
                session.expunge_all()
            if progress:
                progress(done, len(lives))
        demo_catalogue.draft_next(session, city, corpus, by=people.one(Role.ADMINISTRATOR, 0), now=now)
        hands.enact(
            session,
            dispatcher=people.one(Role.DISPATCHER, 0),
            administrator=people.one(Role.ADMINISTRATOR, 0),
            of=people.known,
            store=store,
            now=now,
        )
        duty.enact(
            session,
            tickets=made,
            departments=places.departments,
            of=people.known,
            people=duty.People(
                dispatcher=people.one(Role.DISPATCHER, 0),
                supervisor=people.one(Role.SUPERVISOR, 0),
                arbiter=people.one(Role.ARBITER, 0),
            ),
            now=now,
        )
        relations.enact(session, tickets=made, dispatcher=people.one(Role.DISPATCHER, 0), now=now)
        supervision.enact(
            session, operator=people.one(Role.OPERATOR, 0), supervisor=people.one(Role.SUPERVISOR, 0), now=now
        )
        # The stories are old, the news of them is not: nobody has waited for it until this moment.
        session.execute(update(OutboxRow).values(created_at=now))
        return Loaded(
            regions=len(places.regions),
            departments=len(places.departments),
            categories=len(places.categories),
            users=people.count,
            tickets=len(lives),
        )


def load_catalogue(session: Session, city: City, corpus: Seeds) -> Places:
    """Write what a city has before anybody works there: regions, departments and the tree of matters."""
    return Places(
        regions=_regions(session, city),
        departments=_departments(session, city),
        categories=_categories(session, corpus),
        service_items=_service_items(session, city),
    )


def _service_items(session: Session, city: City) -> dict[str, str]:
    """Write the public service items; names by code."""
    session.add_all(ServiceItem(code=one.code, name=one.name, department=one.department) for one in city.service_items)
    session.flush()  # tickets name them
    return {item.code: item.name for item in city.service_items}


def _regions(session: Session, city: City) -> dict[str, int]:
    """Write the regions, level by level from the top."""
    found: dict[str, int] = {}
    for level in range(1, 5):
        rows = [
            Region(
                code=region.code,
                name=region.name,
                path=" / ".join(each.name for each in city.path(region.code)),
                parent_id=found.get(region.parent),
                level=region.level,
                aliases=list(region.aliases),
            )
            for region in city.regions
            if region.level == level
        ]
        found |= _written(session, rows)
    return found


def _departments(session: Session, city: City) -> dict[str, int]:
    """Write the departments, those above first."""
    found: dict[str, int] = {}
    while len(found) < len(city.departments):
        rows = [
            Department(
                code=department.code,
                name=department.name,
                short_name=department.short_name,
                kind=department.kind,
                parent_id=found.get(department.parent),
                region_code=department.region,
                duty_phone=department.duty_phone,
            )
            for department in city.departments
            if department.code not in found and (not department.parent or department.parent in found)
        ]
        found |= _written(session, rows)
    return found


def _categories(session: Session, corpus: Seeds) -> dict[str, int]:
    """Write the category tree of the seed corpus: its inner nodes, and each leaf under its own code."""
    codes = inner_codes(corpus.leaves)
    found: dict[str, int] = {}
    for level in range(1, DEEPEST + 1):
        inner = [
            Category(code=code, name=path[-1], path=" / ".join(path), level=level, parent_id=_above(path, codes, found))
            for path, code in codes.items()
            if len(path) == level
        ]
        leaves = [
            Category(
                code=leaf.code,
                name=leaf.name,
                path=" / ".join(leaf.path),
                level=level,
                parent_id=_above(leaf.path, codes, found),
                definition=leaf.definition,
                lead=leaf.lead,
                assist=list(leaf.assist),
                urgency=Urgency(leaf.urgency),
            )
            for leaf in corpus.leaves
            if len(leaf.path) == level
        ]
        found |= _written(session, [*inner, *leaves])
    return found


def _above(path: tuple[str, ...], codes: Mapping[tuple[str, ...], str], found: Mapping[str, int]) -> int | None:
    return found[codes[path[:-1]]] if len(path) > 1 else None


def _written(session: Session, rows: Sequence[Region] | Sequence[Department] | Sequence[Category]) -> dict[str, int]:
    """Write rows that do not lean on one another and return their ids by code."""
    session.add_all(rows)
    session.flush()  # those below need the ids
    return {row.code: row.id for row in rows}


def inner_codes(leaves: Iterable[Leaf]) -> dict[tuple[str, ...], str]:
    """Return a stable code for every inner node of the tree, by its path.

    The first level has the leaves' two letters (`CJ`), a lower one the letters and digits that its first leaf begins
    with (`CJ-01`); where two nodes would share a code, the later one gets a letter more (`CJ-01A`).
    """
    codes: dict[tuple[str, ...], str] = {}
    taken: set[str] = set()
    for leaf in leaves:
        for depth in range(1, len(leaf.path)):
            path = leaf.path[:depth]
            if path in codes:
                continue
            base = leaf.code[:2] if depth == 1 else leaf.code[:5]
            code = next(code for code in (base, *(base + chr(at) for at in range(65, 91))) if code not in taken)
            codes[path] = code
            taken.add(code)
    return codes


class _People:
    """Who acts in the city: the accounts of the file, and one contact for each unit that nobody else answers for."""

    def __init__(self, session: Session, city: City, places: Places, *, password: str, now: datetime) -> None:
        """Open all accounts, the day before the oldest ticket came in."""
        self._session, self._password = session, password
        self.since = now - timedelta(hours=data.OLDEST_H + 24)
        self.count = 0
        self._by_role: dict[Role, list[Actor]] = {role: [] for role in data.STAFF}
        self._by_department: dict[int, Actor] = {}
        for user in city.users:
            here = frozenset(places.departments[code] for code in user.departments)
            self._by_role[user.role].append(self._open(user.login, user.name, user.role, here))
        # The most particular one answers: whoever is entered for a street before the district above it.
        for actor in sorted(self._by_role[Role.RESPONDER], key=lambda actor: len(actor.department_ids)):
            for department_id in actor.department_ids:
                self._by_department.setdefault(department_id, actor)
        needed = {ticket.department for ticket in city.tickets if ticket.story in _SIGNED}
        needed |= {ticket.sent_back.department for ticket in city.tickets if ticket.sent_back}
        for code in sorted(needed):
            department_id = places.departments[code]
            if department_id not in self._by_department:
                name = f"{city.department_by_code[code].short_name}联络员"
                self._by_department[department_id] = self._open(
                    code.replace("_", "-"), name, Role.RESPONDER, frozenset({department_id})
                )

    def one(self, role: Role, number: int) -> Actor:
        """Return one person of a role, in turn."""
        return self._by_role[role][number % len(self._by_role[role])]

    def of(self, department_id: int) -> Actor:
        """Return who answers for a department."""
        return self._by_department[department_id]

    def known(self, department_id: int) -> Actor | None:
        """Return who answers for a department, if somebody does."""
        return self._by_department.get(department_id)

    def _open(self, login: str, name: str, role: Role, departments: frozenset[int]) -> Actor:
        user = hotline.people.actions.create_user(
            self._session,
            login=login,
            display_name=name,
            role=role,
            password=self._password,
            must_change_password=False,
            by=SYSTEM,
            now=self.since,
        )
        routing.actions.join_department(self._session, user_id=user.id, department_ids=departments, by=SYSTEM)
        self._session.flush()  # the membership is read back with everything below it
        self.count += 1
        return Actor(
            user_id=user.id,
            role=role,
            department_ids=routing.queries.departments_of(self._session, user.id),
            name=name,
        )


class _Matters:
    """Finds the category of an invented ticket: the leaf whose texts share the most telling pairs of characters.

    An operator would choose it; the model is not asked, so that the city is the same under every model.
    """

    def __init__(self, corpus: Seeds) -> None:
        """Count in how many leaves each pair of characters stands."""
        self._leaves = [
            (leaf, _pairs(" ".join([*leaf.path, leaf.definition, *(f"{s.title} {s.body}" for s in leaf.sentences)])))
            for leaf in corpus.leaves
        ]
        seen = Counter(pair for _, pairs in self._leaves for pair in pairs)
        self._weight = {pair: math.log(1 + len(self._leaves) / count) ** 2 for pair, count in seen.items()}
        self._length = [math.sqrt(sum(self._weight[pair] for pair in pairs)) or 1.0 for _, pairs in self._leaves]

    def category_of(self, ticket: DemoTicket) -> str:
        """Return the code of the best leaf, or an empty text where a person or the model must choose."""
        if ticket.story is Story.REGISTERED:
            return ""
        matter = _pairs(" ".join(ticket.matter))
        told = matter | _pairs(f"{ticket.title} {ticket.content}")
        whole = math.sqrt(sum(self._weight.get(pair, 0.0) for pair in told)) or 1.0
        best, most = "", _LEAST_LIKENESS
        for (leaf, pairs), length in zip(self._leaves, self._length, strict=True):
            shared = sum(self._weight[pair] * (1 + (pair in matter)) for pair in told & pairs)
            likeness = shared / (whole * length)
            if ticket.department == leaf.lead:
                likeness *= _LEAD_COUNTS
            elif ticket.department in leaf.assist:
                likeness *= _ASSIST_COUNTS
            if likeness > most:
                best, most = leaf.code, likeness
        return best


class _Life:
    """Walks one ticket through its story."""

    def __init__(
        self, session: Session, story: DemoTicket, people: _People, places: Places, *, born: datetime, now: datetime
    ) -> None:
        """Take the ticket and the moment it came in; nothing of its life is later than `now`."""
        self.session, self.story, self.people, self.places = session, story, people, places
        self.born, self.now = born, now
        self.number = int(story.key[3:])
        self.department_id = places.departments[story.department]
        self.quick = story.urgency is not Urgency.ORDINARY
        self.ticket_id = 0

    def walk(self, category_id: int | None) -> None:
        """Do everything that has happened to the ticket so far, in order."""
        story = self.story
        at = self.born if story.review else self._sent_at()
        if story.review:
            self._review()
        else:
            self._register(category_id)
            if self._ended_at_the_desk(at):
                return
            first = story.sent_back.department if story.sent_back else story.department
            self._dispatch(self.places.departments[first], at)
            if story.sent_back:
                at = self._send_back(at)
        if story.story not in _SIGNED:
            if story.review:
                self._propose(at)
            return
        at = self._sign(at)
        if story.review:
            at = self._judge(at)
        last = len(story.rounds) - 1
        for number, one in enumerate(story.rounds):
            if number:
                at = self._sign(at)
            # The last round has most of the time that is left, the ones before leave room for it.
            at = self._round(one, at, share=0.6 if number == last else 0.3)

    # At the hotline

    def _register(self, category_id: int | None) -> None:
        story = self.story
        by = PUBLIC if story.channel in _CITIZENS_OWN else self.people.one(Role.OPERATOR, self.number)
        concern = Concern(
            title=story.title,
            content=story.content,
            name=story.name,
            phone=story.phone,
            address=story.address,
            place=story.place,
            request_type=story.request_type.value,
            urgency=story.urgency.value,
            channel=story.channel.value,
            category_id=category_id,
            region_id=self.places.regions[story.region],
            service_item=next((one for one in self.places.service_items.values() if one in story.content), ""),
            anonymous=story.anonymous,
            confidential=story.confidential,
            wants_callback=story.wants_callback,
        )
        if story.channel is Channel.POLICE_110:
            record = exchange.Record(number=self._police_number(), words="非警务类诉求，请依职责办理。")
            registered = exchange.receive(self.session, record, concern, scope="demo", by=by, now=self.born)
        else:
            registered = hotline.intake.actions.register(self.session, concern, scope="demo", by=by, now=self.born)
        self.ticket_id = registered.ticket_id

    def _ended_at_the_desk(self, at: datetime) -> bool:
        """Do what an operator does alone; tells whether the story ends with it."""
        story, by = self.story, self.people.one(Role.OPERATOR, self.number)
        if story.direct_answer:
            hotline.tickets.actions.close_directly(
                self.session,
                ticket_id=self.ticket_id,
                version=self._version(),
                answer=story.direct_answer,
                by=by,
                now=at,
            )
        elif story.refusal:
            hotline.tickets.actions.refuse(
                self.session,
                ticket_id=self.ticket_id,
                version=self._version(),
                reason=story.refusal.reason,
                words=story.refusal.words,
                by=by,
                now=at,
            )
            if story.refusal.reason == NR_HARASSMENT and story.phone:
                harassment.mark(
                    self.session,
                    ticket_id=self.ticket_id,
                    kind=HarassmentKind.NUISANCE,
                    evidence="一小时内多次来电，没有提出具体诉求，劝导后仍反复拨打。",
                    warned=True,
                    by=by,
                    now=at,
                )
        elif story.transfer:
            hotline.tickets.actions.transfer(
                self.session,
                ticket_id=self.ticket_id,
                version=self._version(),
                to=story.transfer.to,
                other_number=self._police_number() if story.transfer.to == "110" else "",
                words=story.transfer.words,
                manner=Manner.CONFERENCE if self.number % 2 else Manner.CALL,
                by=by,
                now=at,
            )
            if self.number % 3:
                self._told_by_the_police(at)
        elif story.withdrawal:
            self._dispatch(self.department_id, at)
            hotline.tickets.actions.withdraw(
                self.session,
                ticket_id=self.ticket_id,
                version=self._version(),
                words=story.withdrawal,
                by=by,
                now=_between(at, self.now, 0.3),
            )
        else:
            return story.story is Story.REGISTERED
        return True

    def _police_number(self) -> str:
        return f"JQ{local(self.born):%Y%m%d}{self.number:05d}"

    def _told_by_the_police(self, at: datetime) -> None:
        """Let the other line say who handled in the end what went there; some have not said so yet."""
        for row in transfers.of_ticket(self.session, self.ticket_id):
            transfers.settle(
                self.session,
                transfer_id=row.id,
                settlement=transfers.Settlement(
                    owner=FinalOwner.OTHER_LINE,
                    name="辖区派出所" if row.line == "110" else row.line,
                    reply="已到现场处置完毕，当事人已知晓结果。",
                ),
                by=self.people.one(Role.OPERATOR, self.number),
                now=_between(at, self.now, 0.2),
            )

    def _dispatch(self, department_id: int, at: datetime) -> None:
        routing.actions.dispatch(
            self.session,
            ticket_id=self.ticket_id,
            version=None,
            department_id=department_id,
            reason=f"按职责分工：{' / '.join(self.story.matter)}",
            by=self.people.one(Role.DISPATCHER, self.number),
            now=at,
        )

    # At the department

    def _sign(self, sent_at: datetime) -> datetime:
        wait = timedelta(minutes=12 if self.quick else 25 + self.number % 30)
        at = min(sent_at + wait, _between(sent_at, self.now, 0.3))
        at = at if self.quick else _office(at, before=_between(sent_at, self.now, 0.5))
        routing.actions.sign(self.session, ticket_id=self.ticket_id, by=self.people.of(self.department_id), now=at)
        return at

    def _send_back(self, sent_at: datetime) -> datetime:
        """Let the wrong department return it inside its window, and the dispatcher send it to the right one."""
        story = self.story.sent_back
        assert story is not None  # noqa: S101 - asked by the caller
        wrong = self.places.departments[story.department]
        window = datetime.fromisoformat(self._current().steps["return"]["due"])
        at = _office(sent_at + timedelta(hours=3), before=min(window, _between(sent_at, self.now, 0.5)), after=sent_at)
        at = min(at, _between(sent_at, min(window, self.now), 0.5))
        asked = routing.duty.returning.ask(
            self.session,
            ticket_id=self.ticket_id,
            version=self._version(),
            reason=story.reason,
            words=story.words,
            basis=story.basis,
            suggested_department_id=self.department_id,
            by=self.people.of(wrong),
            now=at,
        )
        again = at + timedelta(minutes=20 + self.number % 20)
        routing.duty.returning.uphold(
            self.session,
            return_id=asked.id,
            department_id=self.department_id,
            words="依据成立，同意退单，改派应承办单位。",
            by=self.people.one(Role.DISPATCHER, self.number),
            now=again,
        )
        return again

    def _round(self, one: Round, signed_at: datetime, *, share: float) -> datetime:
        """Contact the citizen, answer, and be called back; returns when it came back to the department, if it did."""
        by = self.people.of(self.department_id)
        until = min(self._current().due_at, self.now) if self.story.story in _ANSWERED else self.now
        latest = _between(signed_at, min(until, _between(signed_at, self.now, share)), 0.95)
        contact = _between(signed_at, latest, 0.3)
        contact = contact if self.quick else _office(contact, before=latest)
        routing.actions.record_contact(
            self.session,
            ticket_id=self.ticket_id,
            at=_between(signed_at, contact, 0.9),
            way="电话",
            words=one.contact,
            by=by,
            now=contact,
        )
        if one.note is None or one.answer is None:
            return contact
        answered = _between(contact, latest, 0.7)
        answered = answered if self.quick else _office(answered, before=latest)
        if self.story.review and self.story.review.rectification and self._is_justified():
            callbacks.actions.rectify(
                self.session,
                ticket_id=self.ticket_id,
                words=self.story.review.rectification,
                by=by,
                now=_between(contact, answered, 0.5),
            )
        routing.actions.answer(
            self.session,
            ticket_id=self.ticket_id,
            version=None,
            feedback=routing.actions.Feedback(
                internal_note=one.note,
                public_answer=one.answer,
                found_true=one.found_true,
                solved=one.claimed,
                plan=one.plan,
                plan_on=local_day(answered) + timedelta(days=one.plan_in_days) if one.plan_in_days else None,
            ),
            by=by,
            now=answered,
        )
        return self._call_back(one, answered, share=share) if one.callback else answered

    # At the callback desk

    def _call_back(self, one: Round, answered: datetime, *, share: float) -> datetime:
        story = one.callback
        assert story is not None  # noqa: S101 - asked by the caller
        waiting = callbacks.queries.open_callback(self.session, self.ticket_id)
        assert waiting is not None  # noqa: S101 - every answered ticket has one
        by = self.people.one(Role.AUDITOR, self.number)
        rings = story.missed + (story.declined or story.answers is not None)
        until = self.now if share > 0.5 else _between(answered, self.now, 0.4)  # noqa: PLR2004 - the last round
        at = answered
        for ring in range(1, rings + 1):
            at = _calling_hours(_between(answered, until, ring / (rings + 1)), after=at, before=self.now)
            if ring <= story.missed:
                outcome = AttemptOutcome.NO_ANSWER
                note = "无人接听" if ring < ATTEMPTS else "多次拨打均无人接听"
            elif story.declined:
                outcome, note = AttemptOutcome.DECLINED, story.words or "诉求人表示不愿接受回访"
            else:
                assert story.answers is not None  # noqa: S101 - counted above
                callbacks.actions.record_result(
                    self.session, callback_id=waiting.id, version=None, answers=story.answers, by=by, now=at
                )
                continue
            callbacks.actions.record_attempt(
                self.session, callback_id=waiting.id, outcome=outcome, note=note, by=by, now=at
            )
        return at

    # Bad reviews

    def _review(self) -> None:
        """Let the counter's device send the review in; it goes to its unit at once (domain.md 4.3)."""
        story = self.story.review
        assert story is not None  # noqa: S101 - asked by the caller
        registered = callbacks.actions.receive_review(
            self.session,
            callbacks.actions.Review(
                key=self.story.key,
                stars=story.stars,
                service_item=self.places.service_items[story.service_item],
                department_code=self.story.department,
                words=self.story.content,
                rated_at=self.born,
                service_window=story.window,
                name=self.story.name,
                phone=self.story.phone,
            ),
            by=_DEVICE,
            now=self.born,
        )
        assert registered is not None  # noqa: S101 - the file holds bad reviews only
        self.ticket_id = registered.ticket_id

    def _propose(self, at: datetime) -> datetime:
        story = self.story.review
        assert story is not None  # noqa: S101 - asked by the caller
        at = _office(at + timedelta(minutes=40), before=_between(at, self.now, 0.2))
        callbacks.actions.propose_verdict(
            self.session,
            ticket_id=self.ticket_id,
            verdict=story.verdict,
            reason=story.grounds,
            by=self.people.one(Role.SUPERVISOR, self.number),
            now=at,
        )
        return at

    def _judge(self, at: datetime) -> datetime:
        """Let two persons find what the review is, neither of them the one who will call back."""
        at = self._propose(at) + timedelta(minutes=15)
        callbacks.actions.confirm_verdict(
            self.session,
            ticket_id=self.ticket_id,
            agree=True,
            by=self.people.one(Role.AUDITOR, self.number + 1),
            now=at,
        )
        return at

    def _is_justified(self) -> bool:
        review = self.story.review
        return review is not None and review.verdict in {
            ReviewVerdict.JUSTIFIED_SIMPLE,
            ReviewVerdict.JUSTIFIED_COMPLEX,
        }

    # What the steps above ask

    def _sent_at(self) -> datetime:
        wait = timedelta(minutes=4 if self.quick else 8 + self.number % 25)
        return min(self.born + wait, _between(self.born, self.now, 0.4))

    def _version(self) -> int:
        self.session.flush()  # the version counts up with the write
        return self.session.get_one(Ticket, self.ticket_id).version

    def _current(self) -> Dispatch:
        found = routing.queries.current_dispatch(self.session, self.ticket_id)
        assert found is not None  # noqa: S101 - it was dispatched
        return found


def _born(ticket: DemoTicket, now: datetime) -> datetime:
    """Return when a ticket came in: its age, and some minutes so that not all come at the full hour."""
    return now - timedelta(hours=ticket.hours_ago, minutes=int(ticket.key[3:]) * 13 % 50)


def _between(earlier: datetime, later: datetime, share: float) -> datetime:
    return earlier + (later - earlier) * share


def _office(at: datetime, *, before: datetime, after: datetime | None = None) -> datetime:
    """Return the moment, moved to the next office hour on a weekday if that still is `before`."""
    wall = local(at)
    if wall.hour >= _OFFICE_TO:
        wall = datetime.combine(wall.date() + timedelta(days=1), time(_OFFICE_FROM, at.minute), tzinfo=SHANGHAI)
    elif wall.hour < _OFFICE_FROM:
        wall = wall.replace(hour=_OFFICE_FROM)
    while wall.weekday() >= _SATURDAY:
        wall += timedelta(days=1)
    if wall < before:
        return wall
    return min(at, before) if after is None else max(after, min(at, before))


def _calling_hours(at: datetime, *, after: datetime, before: datetime) -> datetime:
    """Return the moment, moved into the hours in which one may ring if there is such an hour in between."""
    wall = local(at)
    if FIRST_HOUR <= wall.hour < LAST_HOUR:
        return at
    evening = datetime.combine(wall.date(), time(LAST_HOUR - 1, at.minute), tzinfo=SHANGHAI)
    if wall.hour < FIRST_HOUR:
        evening -= timedelta(days=1)
    morning = datetime.combine(evening.date() + timedelta(days=1), time(FIRST_HOUR, at.minute), tzinfo=SHANGHAI)
    for candidate in (morning, evening):
        if after < candidate < before:
            return candidate
    return at


def _pairs(words: str) -> frozenset[str]:
    """Return the pairs of neighbouring characters that are letters or signs of writing."""
    return frozenset(words[at : at + 2] for at in range(len(words) - 1) if words[at : at + 2].isalnum())
