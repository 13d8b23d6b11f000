"""One text message for each unit and level that has new alarms, however many they are (domain.md 2.11).

Outside working hours only for what is urgent. What a message says names no citizen and no matter. The alarms are marked
in the transaction that writes the message, so it is written once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from hotline.core.clock import local
from hotline.core.permissions import SYSTEM
from hotline.telephony.actions import queue_text
from routing.models import Department
from routing.supervision.models import Leader
from routing.supervision.triggers import Trigger

# What waited for the working day, or was raised by people; rows that somebody has locked are told of a minute later.
_UNTOLD: Final = text("""
WITH taken AS (
    SELECT id FROM alarms WHERE told_at IS NULL AND text_level IS NOT NULL AND (CAST(:working AS boolean) OR at_once)
    ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED
), marked AS (
    UPDATE alarms SET told_at = :now FROM taken WHERE alarms.id = taken.id
    RETURNING alarms.id, alarms.trigger, alarms.to_department_id, alarms.text_level
)
SELECT to_department_id, text_level, trigger, count(*) AS alarms, max(id) AS last_id FROM marked GROUP BY 1, 2, 3
""")


@dataclass(frozen=True, kw_only=True)
class Part:
    """Alarms of one trigger for one unit and level."""

    department_id: int | None
    level: int
    trigger: Trigger
    alarms: int
    last_id: int

    @classmethod
    def of(cls, row: Any) -> Part:  # noqa: ANN401 - a row of five columns
        """Return what the database counted."""
        return cls(
            department_id=row.to_department_id,
            level=row.text_level,
            trigger=Trigger(row.trigger),
            alarms=row.alarms,
            last_id=row.last_id,
        )


@dataclass(kw_only=True)
class _Digest:
    """What one unit is told by one text message."""

    alarms: dict[Trigger, int] = field(default_factory=dict)
    last_id: int = 0

    def add(self, part: Part) -> None:
        self.alarms[part.trigger] = self.alarms.get(part.trigger, 0) + part.alarms
        self.last_id = max(self.last_id, part.last_id)


def untold(session: Session, *, working: bool, now: datetime, most: int) -> Iterator[Part]:
    """Mark the alarms that nobody was told of yet, and give what they are."""
    rows = session.execute(_UNTOLD, {"working": working, "now": now, "most": most}).all()
    return (Part.of(row) for row in rows)


def write(session: Session, parts: Sequence[Part], *, now: datetime) -> int:
    """Write the messages that tell of these alarms; returns how many. Who has no number is told on his page only."""
    digests: dict[tuple[int | None, int], _Digest] = {}
    for part in parts:
        digests.setdefault((part.department_id, part.level), _Digest()).add(part)
    numbers = _numbers(session, digests)
    written = 0
    for (department_id, level), digest in digests.items():
        name, phones = numbers[department_id, level]
        for phone in phones:
            queue_text(
                session,
                key=f"alarms:{department_id or 0}:{level}:{digest.last_id}:{phone}",
                purpose="supervision",
                to=phone,
                body=_body(digest, name=name, now=now),
                by=SYSTEM,
                now=now,
            )
            written += 1
    return written


def _numbers(
    session: Session, wanted: Iterable[tuple[int | None, int]]
) -> dict[tuple[int | None, int], tuple[str, list[str]]]:
    """Return name and numbers for each unit and level, in two questions however many units there are."""
    asked = list(wanted)
    if not asked:
        return {}
    units = {department_id for department_id, _ in asked if department_id is not None}
    departments = {
        row.id: row
        for row in session.execute(
            select(Department.id, Department.short_name, Department.duty_phone).where(Department.id.in_(units))
        )
    }
    leaders: dict[tuple[int | None, int], list[str]] = {}
    for leader in session.execute(select(Leader.department_id, Leader.level, Leader.phone).order_by(Leader.id)):
        leaders.setdefault((leader.department_id, leader.level), []).append(leader.phone)
    found = {}
    for department_id, level in asked:
        row = departments.get(department_id or 0)
        duty = [row.duty_phone] if row is not None and row.duty_phone else []
        phones = leaders.get((department_id, level), []) if level else duty
        found[department_id, level] = (row.short_name if row is not None else "热线中心", phones)
    return found


def _body(digest: _Digest, *, name: str, now: datetime) -> str:
    reds, yellows = (digest.alarms.get(each, 0) for each in (Trigger.RED_CARD, Trigger.YELLOW_CARD))
    parts = [f"红牌 {reds} 件" if reds else "", f"黄牌 {yellows} 件" if yellows else ""]
    others = sum(digest.alarms.values()) - reds - yellows
    parts.append(f"其他督办提醒 {others} 条" if others else "")
    said = "、".join(part for part in parts if part)
    return f"【12345热线】{name}：截至{local(now):%m月%d日%H:%M}新增{said}，请登录工单平台办理并确认。"
