"""A search for several words turns its pages as if the nearest tickets were not asked first (routing.lists)."""

from __future__ import annotations

from datetime import datetime

import pytest
from sqlalchemy.orm import Session

import routing.lists
from hotline.core.permissions import Role
from routing.lists import ListFilter, ticket_list
from tests.makers import make_actor, register_ticket

LIMIT = 3
MATCHES = frozenset({0, 1, 5, 6, 7, 11, 12, 18, 19})


@pytest.mark.parametrize("nearest", [0, 1, 4, 9, 100])
def test_pages_there_and_back_hold_every_match_once(
    session: Session, now: datetime, monkeypatch: pytest.MonkeyPatch, nearest: int
) -> None:
    monkeypatch.setattr(routing.lists, "NEAREST", nearest)
    numbers = [
        register_ticket(
            session,
            now=now,
            title="梧桐桥边的石狮子倒了" if number in MATCHES else "路灯不亮",
            content="梧桐桥头的石狮子被车撞倒，请派人扶正。" if number in MATCHES else "梧桐桥头的路灯不亮，请派人修。",
        ).number
        for number in range(20)
    ]
    wanted = ListFilter(words="梧桐桥 石狮子")
    who = make_actor(session, Role.OPERATOR, now=now)
    expected = [numbers[each] for each in sorted(MATCHES, reverse=True)]
    pages = [ticket_list(session, who, wanted, now=now, limit=LIMIT)]
    while pages[-1].next_cursor:
        pages.append(ticket_list(session, who, wanted, now=now, cursor=pages[-1].next_cursor, limit=LIMIT))
    assert [row.number for page in pages for row in page.rows] == expected
    back = [pages[-1]]
    while back[-1].previous_cursor:
        back.append(ticket_list(session, who, wanted, now=now, cursor=back[-1].previous_cursor, limit=LIMIT))
    assert [row.number for page in reversed(back) for row in page.rows] == expected
