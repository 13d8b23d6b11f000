"""Walks each ticket of the city through the actions that people use, at the times that its story tells."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Final

from sqlalchemy.orm import Session

import callbacks.actions
import callbacks.queries
import hotline.intake.actions
import hotline.tickets.actions
import routing.actions
import routing.duty.returning
import routing.queries
from callbacks.models import ReviewVerdict
from callbacks.policy import ATTEMPTS, FIRST_HOUR, LAST_HOUR, AttemptOutcome
from hotline.core.clock import SHANGHAI, local, local_day
from hotline.core.permissions import PUBLIC, Actor, Role
from hotline.demo.data import DemoTicket, Round, Story
from hotline.demo.people import SIGNED, People
from hotline.demo.places import Places
from hotline.intake import exchange, harassment
from hotline.intake.harassment_rules import HarassmentKind
from hotline.intake.rules import Concern
from hotline.tickets import transfers
from hotline.tickets.models import Ticket
from hotline.tickets.refusals import NR_HARASSMENT
from hotline.tickets.transfer_models import FinalOwner, Manner
from hotline.tickets.vocabulary import Channel, Urgency
from routing.models import Dispatch

_CITIZENS_OWN: Final = frozenset({Channel.WEB, Channel.WECHAT, Channel.APP})
_DEVICE: Final = Actor(user_id=None, role=Role.DEVICE, name="政务大厅评价器")
_OFFICE_FROM, _OFFICE_TO = 9, 17
_SATURDAY: Final = 5
_ANSWERED: Final = SIGNED - {Story.SIGNED, Story.SENT_BACK, Story.OVERDUE}
#: Below this likeness no category of the tree fits a matter, and a person must choose.


class Life:
    """Walks one ticket through its story."""

    def __init__(
        self, session: Session, story: DemoTicket, people: People, places: Places, *, born: datetime, now: datetime
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
        if story.story not in SIGNED:
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


def born_at(ticket: DemoTicket, now: datetime) -> datetime:
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
