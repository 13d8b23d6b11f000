"""Who acts in the city."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.orm import Session

import hotline.people.actions
import routing.actions
import routing.queries
from hotline.core.permissions import SYSTEM, Actor, Role
from hotline.demo import data
from hotline.demo.data import City, Story
from hotline.demo.places import Places

#: Stories in which the department signs; in the others nobody of it has touched the ticket.
SIGNED: Final = frozenset(Story) - {
    Story.REGISTERED,
    Story.ANSWERED_DIRECTLY,
    Story.REFUSED,
    Story.TRANSFERRED,
    Story.WITHDRAWN,
    Story.DISPATCHED,
}


class People:
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
        needed = {ticket.department for ticket in city.tickets if ticket.story in SIGNED}
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
