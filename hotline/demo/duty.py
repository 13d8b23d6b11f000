"""Shows in the demonstration city whose duty is asked: a return that waits, an open dispute, and a ruled one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.orm import Session

from hotline.core.permissions import Actor
from routing.duty import disputing, returning
from routing.duty.models import Dispute
from routing.duty.rules import ReturnReason, Seat, Stance
from routing.queries import current_dispatch


@dataclass(frozen=True, kw_only=True)
class People:
    """Who decides: the hotline's dispatcher and supervisor, and 编办's member of the panels."""

    dispatcher: Actor
    supervisor: Actor
    arbiter: Actor


@dataclass(frozen=True, kw_only=True)
class Said:
    """What one unit says in a dispute."""

    department: str
    stance: Stance
    words: str
    basis: str


@dataclass(frozen=True, kw_only=True)
class Matter:
    """One dispute: the ticket by its key in the file, and what the hotline and the units say."""

    key: str
    words: str
    positions: Sequence[Said]


#: The ticket by its key, who ought to have it, and what the unit that gives it back says.
_RETURNED: Final = "wc-115"
_NAMED: Final = "housing"
_RETURN_WORDS: Final = "业主委员会换届的备案和业务指导由住建部门负责，街道只协助组织会议，请改派。"
_RETURN_BASIS: Final = "《物业管理条例》第十条：业主大会、业主委员会的成立受区县房地产主管部门或者街道指导"

_OPEN: Final = Matter(
    key="wc-124",
    words="东岸整治既是河湖岸线工程，又动了湖边湿地，剩余北岸芦苇是否保留由谁答复，两个单位说法不一。",
    positions=(
        Said(
            department="water",
            stance=Stance.NOT_OURS,
            words="岸线工程已于九月完工移交，芦苇和水鸟栖息地属于湿地保护，是否保留应由湿地主管部门答复。",
            basis="《湿地保护法》第五条：林业草原主管部门负责湿地资源的监督管理",
        ),
        Said(
            department="forestry",
            stance=Stance.WE_HELP,
            words="泽湖东岸不在已公布的湿地名录内，工程由水务部门立项实施，我局可以就植被恢复提供技术意见。",
            basis="《湿地保护法》第五条：水行政等有关部门按照职责分工承担湿地保护、修复、管理有关工作",
        ),
    ),
)
_RULED: Final = Matter(
    key="wc-010",
    words="渣土车夜间鸣笛、带泥上路，涉及运输执法、噪声和扬尘，牵头单位不明。",
    positions=(
        Said(
            department="urban_management",
            stance=Stance.WE_HELP,
            words="车辆冲洗和带泥上路由我局查处，夜间噪声和工地扬尘的监测我局没有资质，不宜由我局牵头。",
            basis="市城管局三定方案中渣土运输管理条款",
        ),
        Said(
            department="ecology",
            stance=Stance.NOT_OURS,
            words="建筑施工噪声的处罚权已集中到城管部门，我局可以配合现场监测并提供数据。",
            basis="本市相对集中行政处罚权的公告",
        ),
    ),
)
_RULING_WORDS: Final = "夜间施工和渣土运输的现场执法由市城管局牵头，市生态环境局协办噪声、扬尘监测并提供数据。"
_RULING_BASIS: Final = "《噪声污染防治法》第四十三条；本市相对集中行政处罚权的公告"
_HELPS: Final = "ecology"


def enact(
    session: Session,
    *,
    tickets: Mapping[str, int],
    departments: Mapping[str, int],
    of: Callable[[int], Actor | None],
    people: People,
    now: datetime,
) -> None:
    """Let a unit ask for a return, two units argue before a panel, and a panel rule on an older matter.

    `tickets` are ids by the file's keys, `departments` by code; `of` names who answers for a department. A ticket
    that the files do not have any more is left out.
    """

    def ago(hours: float) -> datetime:
        return now - timedelta(hours=hours)

    def opened(matter: Matter, *, hours: float) -> Dispute:
        """Open, name the panel and hear the units, each step an hour and a half after the one before."""
        dispute = disputing.open_dispute(
            session,
            ticket_id=tickets[matter.key],
            version=None,
            words=matter.words,
            by=people.dispatcher,
            now=ago(hours),
            department_ids=[departments[one.department] for one in matter.positions],
        )
        seats = [(people.supervisor.user_id or 0, Seat.HOTLINE), (people.arbiter.user_id or 0, Seat.ESTABLISHMENT)]
        session.flush()  # the panel is compared with the parties
        disputing.name_panel(session, dispute_id=dispute.id, seats=seats, by=people.dispatcher, now=ago(hours - 1))
        for turn, one in enumerate(matter.positions, 1):
            if (who := of(departments[one.department])) is not None:
                disputing.argue(
                    session,
                    dispute_id=dispute.id,
                    stance=one.stance,
                    words=one.words,
                    basis=one.basis,
                    by=who,
                    now=ago(hours - 1 - 1.5 * turn),
                )
        return dispute

    if _RULED.key in tickets:
        ruling = disputing.propose_ruling(
            session,
            dispute_id=opened(_RULED, hours=22).id,
            lead_id=departments[_RULED.positions[0].department],
            assist_ids=[departments[_HELPS]],
            words=_RULING_WORDS,
            basis=_RULING_BASIS,
            by=people.arbiter,
            now=ago(5),
        )
        disputing.confirm_ruling(session, ruling_id=ruling.id, by=people.supervisor, now=ago(4))
    if _OPEN.key in tickets:
        opened(_OPEN, hours=7)
    if _RETURNED in tickets:
        _ask(session, ticket_id=tickets[_RETURNED], departments=departments, of=of, now=ago(1.5))
    session.flush()  # what follows reads what was written


def _ask(
    session: Session,
    *,
    ticket_id: int,
    departments: Mapping[str, int],
    of: Callable[[int], Actor | None],
    now: datetime,
) -> None:
    """Let the unit that holds the ticket ask the hotline to take it back."""
    held = current_dispatch(session, ticket_id)
    who = of(held.department_id) if held is not None else None
    if who is None:
        return
    returning.ask(
        session,
        ticket_id=ticket_id,
        version=None,
        reason=ReturnReason.NOT_OUR_DUTY.value,
        words=_RETURN_WORDS,
        basis=_RETURN_BASIS,
        suggested_department_id=departments[_NAMED],
        by=who,
        now=now,
    )
