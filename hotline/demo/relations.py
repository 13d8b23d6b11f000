"""Shows in the demonstration city what many callers of one cause are: a burst main as an incident, told of once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from sqlalchemy.orm import Session

from hotline.core.permissions import Actor
from routing.relations import joining

#: The ticket that is worked on and those that are answered with it, by their keys in the file.
_MAIN: Final = "wc-001"
MEMBERS: Final = ("wc-003", "wc-004")
_REASON: Final = "同一处爆管引起的停水"
_TITLE: Final = "桃园里爆管停水"
_WORDS: Final = "柳荫路桃园里东门主管爆裂，正在抢修，预计今晚 20 时恢复供水；送水车停在柳荫花园南门。"
_TOLD: Final = "桃园里东门爆管正在抢修，预计今晚20时恢复供水；恢复后请先放水三分钟再饮用。"


def enact(session: Session, *, tickets: Mapping[str, int], dispatcher: Actor, now: datetime) -> None:
    """Merge the calls about the burst main, make it an incident and tell the callers."""
    main = tickets[_MAIN]
    members = [tickets[key] for key in MEMBERS]
    joining.merge(session, main_id=main, ticket_ids=members, reason=_REASON, by=dispatcher, now=now)
    incident = joining.open_incident(session, main_id=main, title=_TITLE, words=_WORDS, by=dispatcher, now=now)
    joining.announce(session, incident_id=incident.id, words=_TOLD, by=dispatcher, now=now)
