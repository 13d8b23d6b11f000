"""When supervision speaks by itself, and to whom: each trigger one pure rule, the ladder plain data (domain.md 2.11).

Nothing here knows the database. `routing.supervision.sweeping` asks the same questions of a hundred thousand tickets
at once, and a test holds the two to one another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Any, Final

from hotline.core.clock import SHANGHAI, local
from hotline.core.errors import Invalid
from routing.clocks.calendars import WorkCalendar
from routing.clocks.deadlines import Card

#: Under this name an administrator keeps what is on, the limits and the ladder.
SETTING: Final = "supervision"
MOST_STEPS: Final = 20
MOST_LEVEL: Final = 5
#: A quarter of a year is no deadline any more.
MOST_WORKDAYS: Final = 60
_ONE_DAY: Final = timedelta(days=1)
#: What `UNDISPATCHED` allows an urgent and a very urgent ticket, as a share of the ordinary limit: of 24 hours 2 and 1.
SHARE_OF_URGENT: Final = 12
SHARE_OF_VERY_URGENT: Final = 24


class Trigger(StrEnum):
    """Why an alarm was raised."""

    YELLOW_CARD = "yellow_card"
    RED_CARD = "red_card"
    SIGN_OVERDUE = "sign_overdue"
    NOT_CONTACTED = "not_contacted"
    CALLBACK_UNHAPPY = "callback_unhappy"
    REDO_UNHAPPY = "redo_unhappy"
    REPEATED = "repeated"
    PING_PONG = "ping_pong"
    UNDISPATCHED = "undispatched"
    RETURN_UNRULED = "return_unruled"
    ANSWER_UNREAD = "answer_unread"
    NOTICE_SENT = "notice_sent"
    NOTICE_NOT_RECEIVED = "notice_not_received"
    NOTICE_LATE = "notice_late"
    NOTICE_ACCOUNTED = "notice_accounted"


class Told(StrEnum):
    """Whose business an alarm is: people who can act."""

    DEPARTMENT = "department"
    LEADER = "leader"
    ABOVE = "above"
    CENTRE = "centre"


class NoticeKind(StrEnum):
    """催办 reminds, 督办 demands an account."""

    URGE = "urge"
    SUPERVISE = "supervise"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One trigger: when it speaks, where the rule comes from, who is told, and its limit if it has one."""

    trigger: Trigger
    words: str
    when: str
    source: str
    told: tuple[Told, ...] = ()
    limit: int | None = None
    unit: str = ""
    notice: NoticeKind | None = None
    #: Some speak of what people did; those are not switched off here.
    always: bool = False


RULES: Final = (
    Rule(
        trigger=Trigger.YELLOW_CARD,
        words="黄牌预警",
        when="距办理时限还有一个工作日仍未反馈（按小时计的时限为过半）；告知谁见下方阶梯",
        source="domain.md 2.11",
    ),
    Rule(
        trigger=Trigger.RED_CARD,
        words="红牌超期",
        when="超过办理时限后的第一个工作日起仍未反馈；告知谁见下方阶梯",
        source="domain.md 2.11 (a)",
    ),
    Rule(
        trigger=Trigger.SIGN_OVERDUE,
        words="签收超时",
        when="超过签收时限仍未签收",
        source="domain.md 2.4",
        told=(Told.DEPARTMENT,),
    ),
    Rule(
        trigger=Trigger.NOT_CONTACTED,
        words="未联系诉求人",
        when="派单后超过下列工作日仍没有联系诉求人的记录",
        source="domain.md 2.4, 2.11",
        told=(Told.DEPARTMENT,),
        limit=2,
        unit="个工作日",
    ),
    Rule(
        trigger=Trigger.CALLBACK_UNHAPPY,
        words="回访不满意",
        when="回访后第一次退回重办",
        source="domain.md 2.11 (b)",
        told=(Told.CENTRE,),
    ),
    Rule(
        trigger=Trigger.REDO_UNHAPPY,
        words="重办仍不满意",
        when="第二次及以后退回重办，系统同时发出督办单",
        source="domain.md 2.11 (c), 2.10",
        told=(Told.CENTRE, Told.LEADER),
        notice=NoticeKind.SUPERVISE,
    ),
    Rule(
        trigger=Trigger.REPEATED,
        words="反复反映",
        when="同一诉求重复来电达到下列次数，之后每满一次该数再提醒",
        source="domain.md 1.7",
        told=(Told.CENTRE, Told.LEADER),
        limit=3,
        unit="次",
    ),
    Rule(
        trigger=Trigger.PING_PONG,
        words="退单拉锯",
        when="未办结工单被退单达到下列次数",
        source="domain.md 2.6, 2.11",
        told=(Told.CENTRE,),
        limit=2,
        unit="次",
    ),
    Rule(
        trigger=Trigger.UNDISPATCHED,
        words="迟迟未派单",
        when="受理或退回后超过下列小时仍未派单；紧急件为其十二分之一，特急件为其二十四分之一",
        source="domain.md 2.3",
        told=(Told.CENTRE,),
        limit=24,
        unit="小时",
    ),
    Rule(
        trigger=Trigger.RETURN_UNRULED,
        words="退单久未审核",
        when="承办单位申请退单后超过下列工作日热线仍未审核；其间原时限照走",
        source="domain.md 2.6",
        told=(Told.CENTRE,),
        limit=1,
        unit="个工作日",
    ),
    Rule(
        trigger=Trigger.ANSWER_UNREAD,
        words="答复久未审核",
        when="答复提交后超过热线的审核时限仍未审核，回访因此不能开始",
        source="domain.md 2.9",
        told=(Told.CENTRE,),
    ),
    Rule(
        trigger=Trigger.NOTICE_NOT_RECEIVED,
        words="督办未签收",
        when="催办、督办单超过签收时限仍未签收",
        source="domain.md 2.11",
        told=(Told.DEPARTMENT, Told.CENTRE),
    ),
    Rule(
        trigger=Trigger.NOTICE_LATE,
        words="督办超期",
        when="催办、督办单超过回复时限仍未回复",
        source="domain.md 2.11",
        told=(Told.LEADER, Told.CENTRE),
    ),
    Rule(
        trigger=Trigger.NOTICE_SENT,
        words="收到催办督办",
        when="热线中心或阶梯发出催办、督办单",
        source="domain.md 2.11",
        told=(Told.DEPARTMENT,),
        always=True,
    ),
    Rule(
        trigger=Trigger.NOTICE_ACCOUNTED,
        words="督办已回复",
        when="承办单位回复督办单，等待审核",
        source="domain.md 2.11",
        told=(Told.CENTRE,),
        always=True,
    ),
)
BY_TRIGGER: Final[Mapping[Trigger, Rule]] = {rule.trigger: rule for rule in RULES}


@dataclass(frozen=True, kw_only=True)
class Step:
    """One rung of the ladder: so many working days after the card, who is told, and what is sent."""

    words: str
    colour: Card
    workdays: int = 0
    told: Told = Told.DEPARTMENT
    #: Which leaders are told by text message, 1 the nearest; 0 is the duty contact.
    level: int = 0
    text: bool = True
    notice: NoticeKind | None = None


#: The ladder that a city begins with: domain.md 2.11 (a bureau of Jiangsu), softened in its last rung.
LADDER: Final = (
    Step(words="黄牌：提醒承办单位", colour=Card.YELLOW),
    Step(words="红牌：催办通知书", colour=Card.RED, notice=NoticeKind.URGE),
    Step(words="红牌：告知分管领导", colour=Card.RED, told=Told.LEADER, level=1),
    Step(words="超期 2 个工作日：告知主要领导和上级单位", colour=Card.RED, workdays=2, told=Told.ABOVE, level=2),
    Step(
        words="超期 5 个工作日：书面督办",
        colour=Card.RED,
        workdays=5,
        told=Told.CENTRE,
        text=False,
        notice=NoticeKind.SUPERVISE,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What a city has decided: what is off, other limits, the ladder, and how long a unit has for a notice."""

    off: frozenset[Trigger] = frozenset()
    limits: Mapping[Trigger, int] = field(default_factory=dict)
    ladder: tuple[Step, ...] = LADDER
    receive_workdays: int = 1
    urge_workdays: int = 1
    supervise_workdays: int = 3

    def is_on(self, trigger: Trigger) -> bool:
        """Tell whether a trigger speaks."""
        return BY_TRIGGER[trigger].always or trigger not in self.off

    def limit(self, trigger: Trigger) -> int:
        """Return the limit of a trigger, the city's own or the one it comes with."""
        return self.limits.get(trigger, BY_TRIGGER[trigger].limit or 0)

    def workdays(self, kind: NoticeKind) -> int:
        """Return how many working days a unit has to answer a notice."""
        return self.urge_workdays if kind is NoticeKind.URGE else self.supervise_workdays

    def to_setting(self) -> dict[str, Any]:
        """Return the JSON that is stored."""
        return {
            "off": sorted(trigger.value for trigger in self.off),
            "limits": {trigger.value: limit for trigger, limit in sorted(self.limits.items())},
            "ladder": [
                {
                    "words": step.words,
                    "colour": step.colour.value,
                    "workdays": step.workdays,
                    "told": step.told.value,
                    "level": step.level,
                    "text": step.text,
                    "notice": step.notice.value if step.notice else None,
                }
                for step in self.ladder
            ],
            "receive_workdays": self.receive_workdays,
            "urge_workdays": self.urge_workdays,
            "supervise_workdays": self.supervise_workdays,
        }

    @classmethod
    def from_setting(cls, stored: Mapping[str, Any] | None) -> Rules:
        """Return what was stored; without anything, what a city begins with."""
        if not stored:
            return cls()
        return cls(
            off=frozenset(Trigger(name) for name in stored.get("off", ())),
            limits={Trigger(name): int(limit) for name, limit in stored.get("limits", {}).items()},
            ladder=tuple(
                Step(
                    words=row["words"],
                    colour=Card(row["colour"]),
                    workdays=int(row["workdays"]),
                    told=Told(row["told"]),
                    level=int(row["level"]),
                    text=bool(row["text"]),
                    notice=NoticeKind(row["notice"]) if row["notice"] else None,
                )
                for row in stored.get("ladder", ())
            ),
            receive_workdays=int(stored.get("receive_workdays", 1)),
            urge_workdays=int(stored.get("urge_workdays", 1)),
            supervise_workdays=int(stored.get("supervise_workdays", 3)),
        )


def check_rules(rules: Rules) -> None:
    """Raise `Invalid` by field unless these rules can be worked with."""
    problems: dict[str, str] = {}
    for trigger, limit in rules.limits.items():
        if not 1 <= limit <= 1_000:  # noqa: PLR2004 - beyond it nobody is ever told
            problems[f"limit_{trigger.value}"] = "应为 1 至 1000 的整数。"
    for name in ("receive_workdays", "urge_workdays", "supervise_workdays"):
        if not 1 <= getattr(rules, name) <= MOST_WORKDAYS:
            problems[name] = f"应为 1 至 {MOST_WORKDAYS} 个工作日。"
    for number, step in enumerate(rules.ladder, start=1):
        problems |= {f"{name}_{number}": words for name, words in _problems(step).items()}
    if len(rules.ladder) > MOST_STEPS:
        problems["ladder"] = f"阶梯最多 {MOST_STEPS} 级。"
    if len({step.words for step in rules.ladder}) < len(rules.ladder):
        problems["ladder"] = "各级的名称不能相同。"
    if problems:
        raise Invalid(problems)


def _problems(step: Step) -> dict[str, str]:
    """Return what is wrong with one rung, by field."""
    found = {
        "words": "请填写这一级的名称。" if not step.words.strip() else "",
        "colour": "请选择黄牌或红牌。" if step.colour is Card.NONE else "",
        "workdays": f"应为 0 至 {MOST_WORKDAYS} 个工作日。" if not 0 <= step.workdays <= MOST_WORKDAYS else "",
        "level": f"领导层级应为 0 至 {MOST_LEVEL}。" if not 0 <= step.level <= MOST_LEVEL else "",
    }
    if step.colour is Card.YELLOW and step.workdays:
        found["workdays"] = "黄牌当天告知，工作日数须为 0。"
    return {name: words for name, words in found.items() if words}


def cut(calendar: WorkCalendar, now: datetime, *, workdays: int) -> datetime:
    """Return the moment before which something must have begun for `workdays` working days to have passed by now.

    The n-th working day after a day has come when it opens. With 0 nothing needs to have passed.
    """
    if workdays <= 0:
        return now
    here = local(now).replace(tzinfo=None)
    day, left = here.date(), workdays
    while True:
        if calendar.is_workday(day) and (day < here.date() or here >= calendar.opening(day)):
            left -= 1
            if not left:
                return datetime.combine(day, time(), tzinfo=SHANGHAI).astimezone(UTC)
        day -= _ONE_DAY


def is_working(calendar: WorkCalendar, now: datetime) -> bool:
    """Tell whether a reminder may go out now: in working hours only (peers.md 3.B)."""
    here = local(now).replace(tzinfo=None)
    return calendar.next_working_moment(here) == here


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the rules look at; times are aware."""

    in_hand: bool = False
    waits_for_dispatch: bool = False
    #: Registered, or sent back last.
    waiting_since: datetime | None = None
    #: 1 ordinary, 12 urgent, 24 very urgent: the share of the limit.
    share: int = 1
    signed: bool = False
    contacted: bool = False
    sent_at: datetime | None = None
    sign_due_at: datetime | None = None
    yellow_from: datetime | None = None
    red_from: datetime | None = None
    round: int = 0
    repeats: int = 0
    returns: int = 0
    #: Since when a unit waits for the ruling on its return, and until when its answer had to be read.
    return_asked_at: datetime | None = None
    reading_due_at: datetime | None = None
    is_open: bool = True


def card(facts: Facts, now: datetime) -> Card:
    """Tell which card a ticket shows; only what a unit has in hand shows one."""
    if not facts.in_hand or facts.yellow_from is None or facts.red_from is None:
        return Card.NONE
    if facts.red_from <= now:
        return Card.RED
    return Card.YELLOW if facts.yellow_from <= now else Card.NONE


def triggered(facts: Facts, *, rules: Rules, calendar: WorkCalendar, now: datetime) -> frozenset[Trigger]:
    """Return every trigger that speaks of a ticket now."""
    shown = card(facts, now)
    long_ago = cut(calendar, now, workdays=rules.limit(Trigger.NOT_CONTACTED))
    hours = timedelta(hours=rules.limit(Trigger.UNDISPATCHED))
    told: Mapping[Trigger, bool] = {
        Trigger.YELLOW_CARD: shown is Card.YELLOW,
        Trigger.RED_CARD: shown is Card.RED,
        Trigger.SIGN_OVERDUE: facts.in_hand
        and not facts.signed
        and facts.sign_due_at is not None
        and facts.sign_due_at < now,
        Trigger.NOT_CONTACTED: facts.in_hand
        and facts.signed
        and not facts.contacted
        and facts.sent_at is not None
        and facts.sent_at < long_ago,
        Trigger.CALLBACK_UNHAPPY: facts.in_hand and facts.round == 1,
        Trigger.REDO_UNHAPPY: facts.in_hand and facts.round > 1,
        Trigger.REPEATED: facts.is_open and facts.repeats >= rules.limit(Trigger.REPEATED),
        Trigger.PING_PONG: facts.is_open and facts.returns >= rules.limit(Trigger.PING_PONG),
        Trigger.UNDISPATCHED: facts.waits_for_dispatch
        and facts.waiting_since is not None
        and facts.waiting_since < now - hours / facts.share,
        Trigger.RETURN_UNRULED: facts.return_asked_at is not None
        and facts.return_asked_at < cut(calendar, now, workdays=rules.limit(Trigger.RETURN_UNRULED)),
        Trigger.ANSWER_UNREAD: facts.reading_due_at is not None and facts.reading_due_at < now,
    }
    return frozenset(trigger for trigger, speaks in told.items() if speaks and rules.is_on(trigger))


def in_order(found: Iterable[Trigger]) -> list[Trigger]:
    """Return triggers in the order of the page."""
    chosen = set(found)
    return [rule.trigger for rule in RULES if rule.trigger in chosen]
