"""What a citizen is told of his ticket: where it stands, who holds it and since when, what comes next (domain.md 10.1).

Names of staff, internal notes and reasons that units give each other are not among it; who looked at the citizen's
personal data is (domain.md 7 c).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

from callbacks.policy import within_hours
from callbacks.queries import open_callback, ratings_of
from hotline.core.clock import local
from hotline.core.permissions import GRANTS, Permission
from hotline.tickets.models import Ticket
from hotline.tickets.queries import TimelineEntry, attachments, timeline
from hotline.tickets.refusals import REFUSALS
from hotline.tickets.states import Act, Outcome, State
from hotline.tickets.transfers import of_ticket
from hotline.web import labels, present
from routing.queries import DispatchView, dispatches_of
from routing.relations.queries import main_of
from routing.telling import ASKED_MORE

#: The stars in words, the best first.
STARS: Final = ((5, "非常满意"), (4, "满意"), (3, "基本满意"), (2, "不满意"), (1, "非常不满意"))
_WEEKDAYS: Final = "一二三四五六日"
_ROUNDS: Final = ("首次答复", "重办后的答复")
#: What stands before a citizen's own words in the journal, so that the department reads what they are.
URGED, ADDED = "【催办】", "【补充】"

#: The acts that a citizen is told of, in his words; {unit} is the department that held the ticket then.
_TOLD: Final[Mapping[Act, tuple[str, str]]] = {
    Act.REGISTER: ("热线已受理", "info"),
    Act.ANSWER_DIRECTLY: ("热线直接答复，办结", "success"),
    Act.REFUSE: ("不予受理，并告知正确途径", "neutral"),
    Act.TRANSFER: ("已转给负责的单位", "neutral"),
    Act.WITHDRAW: ("已按要求撤回", "neutral"),
    Act.DISPATCH: ("派给{unit}办理", "info"),
    Act.SIGN: ("{unit}已签收，开始办理", "info"),
    Act.ASK_RETURN: ("{unit}提出不属于本单位职责，热线正在审核，审核期间仍由它办理", "warning"),
    Act.WITHDRAW_RETURN: ("{unit}撤回退单申请，继续办理", "info"),
    Act.REFUSE_RETURN: ("热线审核认为应由{unit}办理，没有同意退单，期限不变", "info"),
    Act.OPEN_DISPUTE: (
        "几个单位都认为不属于自己的职责，热线组织裁定；裁定前由{unit}先办，不影响对您的总期限",
        "warning",
    ),
    Act.RULE: ("有关部门已裁定由谁负责办理", "info"),
    Act.DESIGNATE: ("热线指定承办单位，该单位必须办理，不能再退回", "info"),
    Act.REASSIGN: ("按裁定或指定，改由{unit}办理", "info"),
    Act.SEND_BACK: ("热线同意{unit}退单，重新确定承办单位", "warning"),
    Act.CONTACT: ("{unit}与您联系", "info"),
    Act.RECTIFY: ("{unit}登记了整改情况", "info"),
    Act.ANSWER: ("{unit}作出答复", "success"),
    Act.SUSPEND: ("经热线批准，{unit}暂停计时", "warning"),
    Act.RESUME: ("{unit}恢复计时办理", "info"),
    Act.EXTEND: ("经热线批准，{unit}延长办理期限", "warning"),
    Act.SEND_BACK_ANSWER: ("热线审核后，请{unit}重新答复", "warning"),
    Act.CALL: ("回访电话没有接通", "warning"),
    Act.REWORK: ("转回{unit}重新办理", "warning"),
    Act.CONFIRM: ("回访完成，办结", "success"),
    Act.GIVE_UP_CALLING: ("多次回访没有接通，办结", "neutral"),
    Act.DECLINE_CALLBACK: ("您不愿接受回访，办结", "neutral"),
    Act.REPEAT: ("您再次反映或补充", "info"),
    Act.RATE: ("您作出了评价", "info"),
}
_CLOSED_WITHOUT: Final[Mapping[Outcome, str]] = {
    Outcome.ANSWERED_DIRECTLY: "直接答复",
    Outcome.REFUSED: "不予受理",
    Outcome.TRANSFERRED: "已转接",
    Outcome.WITHDRAWN: "已撤回",
}


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who has the ticket in hand."""

    unit: str
    since: str
    since_iso: str
    signed: str
    signed_iso: str
    #: "10 月 12 日（星期一）18:00", or empty when nothing is due any more.
    due: str
    due_iso: str
    left: str
    overdue: bool
    why: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class AnswerView:
    """One public answer."""

    unit: str
    at: str
    iso: str
    round: str
    words: str
    plan: str


@dataclass(frozen=True, kw_only=True)
class Look:
    """One look at the citizen's personal data: the role and when, no name."""

    who: str
    at: str
    iso: str


@dataclass(frozen=True, kw_only=True)
class Rated:
    """What the citizen said himself."""

    stars: int
    stars_words: str
    words: str
    at: str
    round: str


@dataclass(frozen=True, kw_only=True)
class FileView:
    """A file that the citizen may have."""

    id: int
    name: str
    size: str


@dataclass(frozen=True, kw_only=True)
class Told:
    """Everything that the tracking page says of a ticket."""

    number: str
    title: str
    content: str
    place: str
    registered: str
    state: labels.Label
    stages: list[tuple[str, str, str]]
    holder: Holder | None
    returned: int
    reworked: int
    repeats: int
    answers: tuple[AnswerView, ...]
    closing_title: str
    closing_words: str
    closing_channel: str
    next: tuple[str, ...]
    events: tuple[present.TimelineItem, ...]
    looks: tuple[Look, ...]
    rated: tuple[Rated, ...]
    files: tuple[FileView, ...]
    confidential: bool
    anonymous: bool
    open: bool
    may_rate: bool
    #: Values of a refused form, and what is wrong with them.
    typed: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    key: str = ""


def tell(session: Any, ticket: Ticket, *, now: datetime) -> Told:  # noqa: ANN401 - a session; pages import no SQLAlchemy
    """Read what the citizen of this ticket is told: five questions, however long its life was."""
    dispatches = dispatches_of(session, ticket.id)
    entries = timeline(session, ticket.id)
    rated = ratings_of(session, ticket.id)
    current = next((row for row in reversed(dispatches) if row.is_current and not row.ended_at), None)
    returned = ticket.returned
    waiting = open_callback(session, ticket.id) if ticket.state is State.ANSWERED else None
    files = attachments(session, ticket.id, public_only=True)
    refusal = REFUSALS.get(ticket.refusal_reason or "")
    is_open = ticket.state is not State.CLOSED
    return Told(
        number=ticket.number,
        title=ticket.title,
        content=ticket.content,
        place=ticket.place,
        registered=plain_moment(ticket.registered_at, now=now),
        state=labels.label(ticket.outcome) if ticket.outcome in _CLOSED_WITHOUT else labels.label(ticket.state),
        stages=_stages(ticket, dispatches, current, now=now),
        holder=_holder(current, now=now) if current is not None and ticket.state in _HELD else None,
        returned=returned,
        reworked=ticket.rework_rounds,
        repeats=ticket.repeats,
        answers=tuple(
            _answer(row, now=now) for row in reversed(dispatches) if row.answer is not None and not row.vetted
        ),
        closing_title=_CLOSED_WITHOUT.get(ticket.outcome, "") if ticket.outcome else "",
        closing_words="\n".join(part for part in (_transferred(session, ticket), ticket.closing_words) if part),
        closing_channel=refusal.channel if refusal and refusal.channel not in ticket.closing_words else "",
        next=_together(session, ticket)
        or tuple(_next(ticket, current, returned=returned, planned=waiting.planned_at if waiting else None, now=now)),
        events=tuple(_event(entry, dispatches, now=now) for entry in reversed(entries) if _is_told(entry)),
        looks=tuple(_look(entry, dispatches, now=now) for entry in reversed(entries) if entry.act is Act.REVEAL),
        rated=tuple(
            Rated(
                stars=row.stars,
                stars_words=dict(STARS)[row.stars],
                words=row.words,
                at=plain_moment(row.at, now=now),
                round=_ROUNDS[row.round > 0],
            )
            for row in reversed(rated)
        ),
        files=tuple(FileView(id=row.id, name=row.name, size=present.size_words(row.size)) for row in files),
        confidential=ticket.confidential,
        anonymous=ticket.anonymous,
        open=is_open,
        may_rate=((ticket.state is State.ANSWERED and not any(row.vetted for row in dispatches)) or not is_open)
        and ticket.outcome is not Outcome.WITHDRAWN
        and all(row.round != ticket.rework_rounds for row in rated),
    )


def plain_day(day: date, *, now: datetime) -> str:
    """Return `10 月 12 日（星期一）`, with the year where it is another one."""
    year = "" if day.year == local(now).year else f"{day.year} 年 "
    return f"{year}{day.month} 月 {day.day} 日（星期{_WEEKDAYS[day.weekday()]}）"


def plain_moment(at: datetime, *, now: datetime) -> str:
    """Return `10 月 12 日（星期一）18:00` as people say it; the last minute of a day is 24:00."""
    here = local(at)
    return f"{plain_day(here.date(), now=now)}{here:%H:%M}"


def _together(session: Any, ticket: Ticket) -> tuple[str, ...]:  # noqa: ANN401 - as above
    """Tell a citizen whose ticket is answered with another one what that means; nothing for the others."""
    if ticket.state is not State.REGISTERED:
        return ()
    main = main_of(session, ticket.id)
    if main is None:
        return ()
    unit = f"{main.department}正在统一办理。" if main.department else "热线正在确定由哪个单位统一办理。"
    return (
        f"多人反映了同一件事，已合并办理，{unit}",
        "您的编号不变，会收到同样的答复，之后由热线回访员单独回访您。",
    )


_HELD: Final = frozenset({State.DISPATCHED, State.SIGNED, State.ANSWERED})


def _holder(row: DispatchView, *, now: datetime) -> Holder:
    due = row.due_at if row.answered_at is None else None
    span = present.span_words((row.due_at - now).total_seconds())
    overdue = due is not None and due < now
    return Holder(
        unit=row.department,
        since=plain_moment(row.sent_at, now=now),
        since_iso=present.iso(row.sent_at),
        signed=plain_moment(row.signed_at, now=now) if row.signed_at else "",
        signed_iso=present.iso(row.signed_at),
        due=plain_moment(due, now=now) if due else "",
        due_iso=present.iso(due),
        left=f"已超过期限 {span}" if overdue else f"还剩 {span}",
        overdue=overdue,
        why=tuple(row.steps.get("handle", {}).get("steps", ())),
    )


def _stages(
    ticket: Ticket, dispatches: Sequence[DispatchView], current: DispatchView | None, *, now: datetime
) -> list[tuple[str, str, str]]:
    def small(at: datetime | None) -> str:
        return present.short(at, now=now)

    if ticket.outcome in _CLOSED_WITHOUT:
        last = _CLOSED_WITHOUT[ticket.outcome] if ticket.outcome else ""
        return [("受理", "done", small(ticket.registered_at)), (last, "done", small(ticket.closed_at))]
    at = {State.REGISTERED: 1, State.DISPATCHED: 2, State.SIGNED: 2, State.ANSWERED: 4, State.CLOSED: 5}[ticket.state]
    newest = current or (dispatches[-1] if dispatches else None)
    times = [
        ticket.registered_at,
        newest.sent_at if newest else None,
        newest.signed_at if newest else None,
        newest.answered_at if newest else None,
        ticket.closed_at,
    ]
    words = ["受理", "派单", "办理", "答复", "回访办结"]
    states = ["done" if number < at else "current" if number == at else "todo" for number in range(len(words))]
    return [
        (word, state, small(time) if state == "done" else "")
        for word, state, time in zip(words, states, times, strict=True)
    ]


def _answer(row: DispatchView, *, now: datetime) -> AnswerView:
    answer = row.answer
    assert answer is not None  # noqa: S101 - the caller asked
    plan = f"单位计划在 {plain_day(answer.plan_on, now=now)}前完成后续工作" if answer.plan_on else ""
    return AnswerView(
        unit=row.department,
        at=plain_moment(answer.at, now=now),
        iso=present.iso(answer.at),
        round=_ROUNDS[0] if row.round == 0 else f"第 {row.round} 次重办后的答复",
        words=answer.public_answer,
        plan=plan,
    )


def _transferred(session: Any, ticket: Ticket) -> str:  # noqa: ANN401 - a session; pages import no SQLAlchemy
    """Say where the matter went, and, once it is known, who owned it in the end and what he did."""
    if not ticket.transfer_to:
        return ""
    number = f"，对方编号 {ticket.transfer_number}" if ticket.transfer_number else ""
    told = [f"最终由{row.owner_name}办理。{row.reply}" for row in of_ticket(session, ticket.id) if row.settled_at]
    return "\n".join([f"已转给：{ticket.transfer_to}{number}。", *told[-1:]])


def _next(
    ticket: Ticket, current: DispatchView | None, *, returned: int, planned: datetime | None, now: datetime
) -> list[str]:
    if ticket.state is State.REGISTERED:
        first = "上一个单位提出不属于其职责，热线正在重新确定承办单位。" if returned else "热线正在确定由哪个单位办理。"
        return [first, "派单后，这里会显示承办单位和答复期限。"]
    if ticket.state is State.DISPATCHED and current is not None:
        late = "签收已超时，热线会催促。" if current.sign_due_at < now else ""
        signed_by = plain_moment(current.sign_due_at, now=now)
        return [f"等待{current.department}签收，最晚应在 {signed_by} 前。{late}", "签收后单位开始办理。"]
    if ticket.state is State.SIGNED and current is not None:
        return [
            f"{current.department}正在办理，办好后会在这里公开答复。",
            "答复之后，由热线回访员而不是办理单位回访您。",
        ]
    if ticket.state is State.ANSWERED:
        reachable = bool(ticket.phone_masked)
        when = plain_moment(within_hours(max(planned, now)), now=now) if planned else ""
        call = (
            f"热线回访员会来电（预计 {when} 以后），问您是否解决、是否满意。"
            if when and reachable
            else "您没有留电话，热线无法来电回访，请在本页评价。"
        )
        return [call, "如果没有解决，请说明原因，热线会决定是否转回单位重新办理。"]
    if ticket.outcome is Outcome.REFUSED:
        return ["请按上面说明的途径提出。如对不予受理有异议，请拨打 12345。"]
    return ["如果问题没有解决或者再次出现，请拨打 12345 或重新反映，并说明这个编号。"]


def _is_told(entry: TimelineEntry) -> bool:
    own = entry.act is Act.ATTACH and entry.details.get("from") == "citizen"
    return entry.act in _TOLD or own or ASKED_MORE in entry.details


def _event(entry: TimelineEntry, dispatches: Sequence[DispatchView], *, now: datetime) -> present.TimelineItem:
    words, tone = _TOLD.get(entry.act, ("您补充了材料", "info"))
    if asked := str(entry.details.get(ASKED_MORE, "")):
        words, tone = "热线请您补充情况，可在本页填写", "warning"
    own = entry.act is Act.RATE or (entry.act is Act.REPEAT and entry.note.startswith((URGED, ADDED)))
    stars = f"{entry.details['stars']} 星。" if "stars" in entry.details else ""
    return present.TimelineItem(
        iso=present.iso(entry.at),
        at=present.short(entry.at, now=now),
        who="",
        act=words.format(unit=_unit_at(entry.at, dispatches) or "承办单位"),
        tone=tone,
        note=asked or (f"{stars}{entry.note}" if own else ""),
    )


def _look(entry: TimelineEntry, dispatches: Sequence[DispatchView], *, now: datetime) -> Look:
    who = labels.words(entry.by_role)
    unit = _unit_at(entry.at, dispatches) if Permission.TICKET_ANSWER in GRANTS[entry.by_role] else ""
    return Look(who=f"{unit}{who}", at=plain_moment(entry.at, now=now), iso=present.iso(entry.at))


def _unit_at(at: datetime, dispatches: Sequence[DispatchView]) -> str:
    """Return the department that held the ticket at a moment: the last one it had been sent to."""
    return next((row.department for row in reversed(dispatches) if row.sent_at <= at), "")
