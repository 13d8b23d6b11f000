"""Reads the files of the demonstration city and refuses them, by file and key, when they do not fit together."""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass as plain_dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from callbacks.models import ReviewVerdict
from callbacks.policy import ATTEMPTS, Answers, Satisfaction, Verdict, unhappy
from callbacks.policy import Solved as SolvedForCitizen
from callbacks.policy import verdict as verdict_of
from hotline.core.errors import HotlineError
from hotline.core.permissions import STAFF_ROLES, Role
from hotline.core.personal_data import PersonalKind, find
from hotline.tickets.vocabulary import Channel, RequestType, Urgency
from routing.duty.returning import return_reasons
from routing.models import DepartmentKind, Solved

DATA: Final = Path(__file__).parent / "data"
#: What a citizen or an official writes here is neither a stub nor an essay (characters).
LEAST_WORDS, MOST_WORDS = 20, 600
#: The oldest complaint of the demonstration (hours).
OLDEST_H: Final = 700
#: The roles of the demonstration accounts; a device, the public and the system need none.
STAFF: Final = frozenset(STAFF_ROLES)

_CONFIG: Final = ConfigDict(extra="forbid")
_EMPTY: Final[tuple[Any, ...]] = ()
_ADDRESS_LEVELS: Final = {1: 6, 2: 6, 3: 9, 4: 12}
_DEEPEST: Final = 4
#: Every personal number that appears is seen at once to be invented.
_INVENTED: Final = {
    PersonalKind.ID_NUMBER: re.compile(r"99"),
    PersonalKind.PHONE: re.compile(r"1990000"),
    PersonalKind.LANDLINE: re.compile(r"0900-555"),
    PersonalKind.BANK_CARD: re.compile(r"699999"),
    PersonalKind.EMAIL: re.compile(r".*\.example$"),
}
_T = TypeVar("_T")

Word = Annotated[str, StringConstraints(min_length=1, max_length=60, strip_whitespace=True)]
Words = Annotated[str, StringConstraints(min_length=LEAST_WORDS, max_length=MOST_WORDS)]
Remark = Annotated[str, StringConstraints(min_length=4, max_length=200)]


class DemoDataError(HotlineError):
    """The demonstration city's files contradict each other or themselves; every problem names file and key."""

    say = "演示城市的数据文件有误。"
    code = "demo_data"

    def __init__(self, problems: Iterable[str]) -> None:
        """Keep the problems, one line each."""
        self.problems: tuple[str, ...] = tuple(problems)
        super().__init__("\n".join([self.say, *self.problems]))


class PlaceKind(StrEnum):
    """What a name of the gazetteer stands for."""

    ROAD = "road"
    ESTATE = "estate"
    SCHOOL = "school"
    HOSPITAL = "hospital"
    MARKET = "market"
    MALL = "mall"
    PARK = "park"
    BUS_STOP = "bus_stop"
    METRO_STATION = "metro_station"
    RIVER = "river"
    BRIDGE = "bridge"
    OFFICE = "office"
    FACTORY = "factory"
    LANDMARK = "landmark"


class Story(StrEnum):
    """How far a demonstration ticket has gone."""

    REGISTERED = "registered"
    ANSWERED_DIRECTLY = "answered_directly"
    REFUSED = "refused"
    TRANSFERRED = "transferred"
    WITHDRAWN = "withdrawn"
    DISPATCHED = "dispatched"
    #: Sent to the wrong department first, sent back with a basis, and dispatched to `department`, which signed.
    SENT_BACK = "sent_back"
    SIGNED = "signed"
    #: Signed, and past its deadline without an answer.
    OVERDUE = "overdue"
    ANSWERED = "answered"
    CLOSED_SATISFIED = "closed_satisfied"
    #: Unsatisfied at the first callback, done again, satisfied at the second.
    CLOSED_REWORKED = "closed_reworked"
    #: Unsatisfied at the callback; the department has it again.
    REWORK_OPEN = "rework_open"
    UNREACHABLE = "unreachable"
    DECLINED = "declined"


class RefusalAction(StrEnum):
    """What the operator does besides explaining (domain.md 1.5)."""

    TRANSFER = "transfer"
    EXPLAIN = "explain"
    MERGE = "merge"
    ASK = "ask"


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Region:
    """One node of the region tree: city 1, district 2, street or town 3, community or village 4."""

    code: str
    name: str
    level: int
    parent: str
    aliases: tuple[str, ...] = _EMPTY
    note: str = ""


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Place:
    """A name that citizens say; with several `regions` it does not decide between them."""

    name: Word
    kind: PlaceKind
    aliases: tuple[Word, ...] = _EMPTY
    regions: Annotated[tuple[str, ...], Field(min_length=1)]


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Department:
    """A unit of the tree; `alarm_hours` are the local hours in which its duty telephone may be rung."""

    code: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{1,59}$")]
    name: Word
    short_name: Word
    kind: DepartmentKind
    parent: str = ""
    region: str = ""
    duty_phone: Annotated[str, StringConstraints(pattern=r"^0900-555\d{4}$")]
    alarm_hours: Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-4]):[0-5]\d$")]

    @property
    def around_the_clock(self) -> bool:
        """Tell whether somebody answers the duty telephone at any hour."""
        return self.alarm_hours == "00:00-24:00"


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class User:
    """A demonstration account; its password is a parameter of whoever loads it, never in a file."""

    login: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]{3,19}$")]
    name: Word
    role: Role
    #: Empty for an arbiter alone: 编办 and 司法 handle no tickets and stand outside every unit that does.
    departments: tuple[str, ...]
    post: Word
    #: The one account of its role that the start-up message prints.
    shown: bool


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class ServiceItem:
    """A public service item (政务服务事项) that can be reviewed, and the window that usually serves it."""

    code: Word
    name: Word
    department: str
    window: Word


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class RefusalReason:
    """A reason of the refusal list with the words to say and the proper channel (domain.md 1.5)."""

    code: Annotated[str, StringConstraints(pattern=r"^NR-\d\d$")]
    reason: Word
    action: RefusalAction
    script: Words
    channel: Remark


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Phrase:
    """A ready phrase of one desk."""

    desk: Role
    key: Annotated[str, StringConstraints(pattern=r"^[a-z_]{3,40}$")]
    title: Word
    text: Annotated[str, StringConstraints(min_length=8, max_length=200)]


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Callback:
    """One callback: missed calls, a refusal to be asked, or the answers to the four questions (domain.md 3.4)."""

    missed: int = 0
    declined: bool = False
    replied: bool | None = None
    solved: SolvedForCitizen | None = None
    process: Satisfaction | None = None
    result: Satisfaction | None = None
    words: Remark | None = None

    @property
    def answers(self) -> Answers | None:
        """The citizen's answers, or nothing when nobody gave all four."""
        if self.replied is None or self.solved is None or self.process is None or self.result is None:
            return None
        return Answers(
            replied=self.replied,
            solved=self.solved,
            process=self.process,
            result=self.result,
            reason=self.words or "",
        )

    @property
    def verdict(self) -> Verdict | None:
        """What follows, by the rule of `callbacks.policy`; nothing when the callback is neither whole nor given up."""
        if (answers := self.answers) is not None:
            return None if unhappy(answers) and not answers.reason else verdict_of(answers)
        if self.declined:
            return Verdict.DECLINED
        return Verdict.UNREACHABLE if self.missed >= ATTEMPTS else None


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Round:
    """One round of handling: contact record, internal note, public answer, and the callback that followed."""

    contact: Words
    note: Words | None = None
    answer: Words | None = None
    found_true: bool = True
    #: The department's own claim; anything but solved needs a plan.
    claimed: Solved = Solved.SOLVED
    plan: str = ""
    plan_in_days: int = 0
    callback: Callback | None = None


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Refusal:
    """Why it is refused, and what this citizen was told."""

    reason: str
    words: Words


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Transfer:
    """Which line took it over, and how that went."""

    to: Literal["110", "119", "120", "122", "12306"]
    words: Words


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class SentBack:
    """Which department sent it back first, why, and on what basis (domain.md 2.6)."""

    department: str
    reason: str
    words: Remark
    basis: Remark


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Review:
    """The bad review behind a ticket (domain.md 4.3); on a ticket not yet signed the verdict is only proposed."""

    service_item: str
    window: Word
    stars: Literal[1, 2]
    real_name: bool
    verdict: ReviewVerdict
    grounds: Words
    rectification: Words | None = None


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class DemoTicket:
    """One invented concern with its whole story; `hours_ago` is its age when it is loaded."""

    key: Annotated[str, StringConstraints(pattern=r"^wc-\d{3}$")]
    channel: Channel
    request_type: RequestType
    urgency: Urgency
    title: Annotated[str, StringConstraints(min_length=4, max_length=60)]
    content: Words
    name: str
    phone: Annotated[str, StringConstraints(pattern=r"^(1990000\d{4})?$")]
    address: Annotated[str, StringConstraints(max_length=100)]
    place: Annotated[str, StringConstraints(max_length=100)]
    region: str
    #: The matter in words, from the general to the particular; a hint, not a category's code.
    matter: Annotated[tuple[str, ...], Field(min_length=1, max_length=4)]
    department: str
    hours_ago: Annotated[int, Field(ge=1, le=OLDEST_H)]
    story: Story
    cluster: str = ""
    anonymous: bool = False
    confidential: bool = False
    wants_callback: bool = True
    rounds: tuple[Round, ...] = _EMPTY
    refusal: Refusal | None = None
    transfer: Transfer | None = None
    direct_answer: Words | None = None
    withdrawal: Words | None = None
    sent_back: SentBack | None = None
    review: Review | None = None


@plain_dataclass(frozen=True, kw_only=True)
class City:
    """The whole demonstration city; everything that is referred to is in it."""

    name: str
    code: str
    regions: tuple[Region, ...]
    places: tuple[Place, ...]
    departments: tuple[Department, ...]
    users: tuple[User, ...]
    service_items: tuple[ServiceItem, ...]
    refusal_reasons: tuple[RefusalReason, ...]
    phrases: tuple[Phrase, ...]
    tickets: tuple[DemoTicket, ...]

    @cached_property
    def region_by_code(self) -> Mapping[str, Region]:
        """Every region under its code."""
        return {region.code: region for region in self.regions}

    @cached_property
    def department_by_code(self) -> Mapping[str, Department]:
        """Every department under its code."""
        return {department.code: department for department in self.departments}

    def path(self, region_code: str) -> tuple[Region, ...]:
        """Return the region and what contains it, the city first."""
        region = self.region_by_code[region_code]
        return (*self.path(region.parent), region) if region.parent else (region,)

    def fallback(self, region_code: str) -> Department | None:
        """Return the district government that answers when nobody else does (属地兜底); the city itself has none."""
        inside = {region.code for region in self.path(region_code)}
        return next((d for d in self.departments if d.kind is DepartmentKind.DISTRICT and d.region in inside), None)


def load(folder: Path = DATA) -> City:
    """Return the city in this folder, or raise `DemoDataError` with every problem found."""
    problems: list[str] = []
    code, name, regions = _regions(_toml(folder / "regions.toml"))
    city = City(
        name=name,
        code=code,
        regions=regions,
        places=_rows(folder / "gazetteer.toml", "place", Place, problems),
        departments=_rows(folder / "departments.toml", "department", Department, problems),
        users=_rows(folder / "users.toml", "user", User, problems),
        service_items=_rows(folder / "service_items.toml", "item", ServiceItem, problems),
        refusal_reasons=_rows(folder / "refusal_reasons.toml", "reason", RefusalReason, problems),
        phrases=_rows(folder / "phrases.toml", "phrase", Phrase, problems),
        tickets=_tickets(folder / "tickets.jsonl", problems),
    )
    # What does not even parse is told first: cross-checks on half a city would only confuse.
    if not problems:
        for check in _CHECKS:
            problems += check(city)
    if problems:
        raise DemoDataError(problems)
    return city


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DemoDataError([f"{path.name}: {error}"]) from error


def _regions(raw: dict[str, Any]) -> tuple[str, str, tuple[Region, ...]]:
    """Flatten the nested file into nodes; a missing key is told with its place in the nest."""
    found: list[Region] = []

    def add(node: dict[str, Any], level: int, parent: str, where: str) -> str:
        for key in ("code", "name"):
            if not isinstance(node.get(key), str) or not node[key]:
                raise DemoDataError([f"regions.toml: {where}: {key} is missing"])
        found.append(
            Region(
                code=node["code"],
                name=node["name"],
                level=level,
                parent=parent,
                aliases=tuple(node.get("aliases", ())),
                note=node.get("note", ""),
            )
        )
        return str(node["code"])

    city = add(raw.get("city", {}), 1, "", "city")
    for district in raw.get("district", []):
        at = add(district, 2, city, "district")
        for street in district.get("street", []):
            inside = add(street, 3, at, f"district {at}: street")
            for community in street.get("communities", []):
                add(community, 4, inside, f"street {inside}: communities")
    return city, found[0].name, tuple(found)


def _rows(path: Path, table: str, shape: type[_T], problems: list[str]) -> tuple[_T, ...]:
    rows = _toml(path).get(table)
    if not isinstance(rows, list) or not rows:
        raise DemoDataError([f"{path.name}: {table}: there are none"])
    adapter = TypeAdapter(shape)
    where = f"{path.name}: {table}"
    kept = (_row(adapter, raw, f"{where} {_label(raw, number)}", problems) for number, raw in enumerate(rows, 1))
    return tuple(row for row in kept if row is not None)


def _tickets(path: Path, problems: list[str]) -> tuple[DemoTicket, ...]:
    adapter = TypeAdapter(DemoTicket)
    found: list[DemoTicket] = []
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DemoDataError([f"{path.name}: {error}"]) from error
    for number, line in enumerate(lines, 1):
        try:
            raw = json.loads(line)
        except json.JSONDecodeError as error:
            problems.append(f"{path.name}: line {number}: {error}")
            continue
        ticket = _row(adapter, raw, f"{path.name}: {_label(raw, number)}", problems)
        if ticket is not None:
            found.append(ticket)
    return tuple(found)


def _row(adapter: TypeAdapter[_T], raw: object, where: str, problems: list[str]) -> _T | None:
    try:
        return adapter.validate_python(raw)
    except ValidationError as error:
        for problem in error.errors():
            key = ".".join(str(step) for step in problem["loc"]) or "row"
            problems.append(f"{where}: {key}: {problem['msg']}")
    return None


def _label(raw: object, number: int) -> str:
    if isinstance(raw, dict):
        for key in ("key", "code", "login", "name"):
            if isinstance(raw.get(key), str):
                return str(raw[key])
    return f"#{number}"


def _repeated(values: Iterable[_T]) -> list[_T]:
    return [value for value, count in Counter(values).items() if count > 1]


def _check_regions(city: City) -> Iterator[str]:
    for code in _repeated(region.code for region in city.regions):
        yield f"regions.toml: {code}: code stands twice"
    for name in _repeated(region.name for region in city.regions):
        yield f"regions.toml: {name}: name stands twice"
    for region in city.regions:
        where = f"regions.toml: {region.code}: code"
        if not region.code.isdigit() or len(region.code) != _ADDRESS_LEVELS[region.level]:
            yield f"{where}: level {region.level} has {_ADDRESS_LEVELS[region.level]} digits"
        if region.level > 2 and not region.code.startswith(region.parent):  # noqa: PLR2004 - a district is no prefix child
            yield f"{where}: does not begin with its parent's {region.parent}"
        if not region.code.startswith("99"):
            yield f"{where}: only prefix 99 is no real province"


def _check_places(city: City) -> Iterator[str]:
    for name, regions in _repeated((place.name, place.regions) for place in city.places):
        yield f"gazetteer.toml: {name}: stands twice in {'、'.join(regions)}"
    for place in city.places:
        for code in place.regions:
            if code not in city.region_by_code:
                yield f"gazetteer.toml: {place.name}: regions: no region {code}"
        if place.name in place.aliases:
            yield f"gazetteer.toml: {place.name}: aliases: repeats the name"


def _check_departments(city: City) -> Iterator[str]:
    file = "departments.toml"
    for column in ("code", "name", "short_name", "duty_phone"):
        for value in _repeated(str(getattr(department, column)) for department in city.departments):
            yield f"{file}: {value}: {column} stands twice"
    territorial = {DepartmentKind.DISTRICT, DepartmentKind.STREET, DepartmentKind.HANDLER}
    for department in city.departments:
        where = f"{file}: {department.code}"
        if department.region and department.region not in city.region_by_code:
            yield f"{where}: region: no region {department.region}"
        if department.kind in territorial and not department.region:
            yield f"{where}: region: a {department.kind} has one"
        yield from _check_chain(city, department, where)
    yield from _check_fallbacks(city)


def _check_chain(city: City, department: Department, where: str) -> Iterator[str]:
    if (department.kind in {DepartmentKind.STREET, DepartmentKind.HANDLER}) and not department.parent:
        yield f"{where}: parent: a {department.kind} has one"
    chain, code = [department.code], department.parent
    while code:
        if code in chain:
            yield f"{where}: parent: goes round in a circle"
            return
        if code not in city.department_by_code:
            yield f"{where}: parent: no department {code}"
            return
        chain.append(code)
        code = city.department_by_code[code].parent
    if len(chain) > _DEEPEST:
        yield f"{where}: parent: deeper than {_DEEPEST} levels"


def _check_fallbacks(city: City) -> Iterator[str]:
    """Every district and every street has exactly one office of its own (属地兜底, domain.md 2.3)."""
    for kind, level in ((DepartmentKind.DISTRICT, 2), (DepartmentKind.STREET, 3)):
        offices = Counter(department.region for department in city.departments if department.kind is kind)
        for region in city.regions:
            if region.level == level and offices[region.code] != 1:
                where = f"departments.toml: region {region.code} {region.name}"
                yield f"{where}: {offices[region.code]} offices of kind {kind}, not one"


def _check_users(city: City) -> Iterator[str]:
    file = "users.toml"
    for login in _repeated(user.login for user in city.users):
        yield f"{file}: {login}: login stands twice"
    for role in sorted(STAFF):
        shown = sum(user.shown for user in city.users if user.role is role)
        if shown != 1:
            yield f"{file}: role {role}: {shown} accounts are shown, not one"
    for user in city.users:
        if user.role not in STAFF:
            yield f"{file}: {user.login}: role: {user.role} is no person's"
        if bool(user.departments) is (user.role is Role.ARBITER):
            yield f"{file}: {user.login}: departments: only an arbiter belongs to none"
        for code in user.departments:
            if code not in city.department_by_code:
                yield f"{file}: {user.login}: departments: no department {code}"
            elif (city.department_by_code[code].kind is DepartmentKind.HOTLINE) is (user.role is Role.RESPONDER):
                yield f"{file}: {user.login}: departments: a {user.role} does not belong to {code}"


def _check_lists(city: City) -> Iterator[str]:
    for code in _repeated(item.code for item in city.service_items):
        yield f"service_items.toml: {code}: code stands twice"
    for item in city.service_items:
        if item.department not in city.department_by_code:
            yield f"service_items.toml: {item.code}: department: no department {item.department}"
    if [reason.code for reason in city.refusal_reasons] != [f"NR-{number:02}" for number in range(1, 11)]:
        yield "refusal_reasons.toml: code: must be NR-01 to NR-10 in order (domain.md 1.5)"
    for desk, key in _repeated((phrase.desk, phrase.key) for phrase in city.phrases):
        yield f"phrases.toml: {key}: stands twice for {desk}"


def _check_tickets(city: City) -> Iterator[str]:
    file = "tickets.jsonl"
    for column in ("key", "title", "content"):
        for value in _repeated(str(getattr(ticket, column)) for ticket in city.tickets):
            yield f"{file}: {value[:30]}: {column} stands twice"
    items = {item.code for item in city.service_items}
    reasons = {reason.code for reason in city.refusal_reasons}
    for ticket in city.tickets:
        where = f"{file}: {ticket.key}"
        references: list[tuple[str, str, Collection[str]]] = [
            ("department", ticket.department, city.department_by_code),
            ("region", ticket.region, city.region_by_code),
        ]
        if ticket.sent_back:
            references += [
                ("sent_back.department", ticket.sent_back.department, city.department_by_code),
                ("sent_back.reason", ticket.sent_back.reason, return_reasons()),
            ]
        if ticket.refusal:
            references.append(("refusal.reason", ticket.refusal.reason, reasons))
        if ticket.review:
            references.append(("review.service_item", ticket.review.service_item, items))
        for key, value, known in references:
            if value not in known:
                yield f"{where}: {key}: {value} is not known"
        if ticket.sent_back and ticket.sent_back.department == ticket.department:
            yield f"{where}: sent_back.department: is the one that has it in the end"
        yield from _check_citizen(ticket, where)
        yield from _check_story(ticket, where)
        yield from _check_review(ticket, where)


def _check_citizen(ticket: DemoTicket, where: str) -> Iterator[str]:
    if ticket.anonymous and (ticket.name or ticket.phone or ticket.address):
        yield f"{where}: anonymous: but name, phone or address is given"
    if not ticket.anonymous and not ticket.phone:
        yield f"{where}: phone: needed unless anonymous"
    for key, text in (("title", ticket.title), ("content", ticket.content)):
        for span in find(text):
            invented = _INVENTED.get(span.kind)
            if invented is None or not invented.match(text[span.start : span.end]):
                yield f"{where}: {key}: {text[span.start : span.end]} could be somebody's"
    for number, one in enumerate(ticket.rounds, 1):
        if one.answer and find(one.answer):
            yield f"{where}: rounds.{number}.answer: holds personal data"


#: story -> the callbacks its rounds end with; a round that ends with nothing waits for its callback.
_ANSWERED: Final[Mapping[Story, tuple[Verdict | None, ...]]] = {
    Story.ANSWERED: (None,),
    Story.CLOSED_SATISFIED: (Verdict.CLOSE,),
    Story.CLOSED_REWORKED: (Verdict.REWORK, Verdict.CLOSE),
    Story.REWORK_OPEN: (Verdict.REWORK,),
    Story.UNREACHABLE: (Verdict.UNREACHABLE,),
    Story.DECLINED: (Verdict.DECLINED,),
}
#: story -> the one part that belongs to it and to no other.
_PART: Final[Mapping[Story, str]] = {
    Story.REFUSED: "refusal",
    Story.TRANSFERRED: "transfer",
    Story.ANSWERED_DIRECTLY: "direct_answer",
    Story.WITHDRAWN: "withdrawal",
    Story.SENT_BACK: "sent_back",
}


def _check_story(ticket: DemoTicket, where: str) -> Iterator[str]:
    for story, part in _PART.items():
        if (getattr(ticket, part) is not None) is not (story is ticket.story):
            yield f"{where}: {part}: belongs to story {story} and to no other"
    if (ends := _ANSWERED.get(ticket.story)) is not None:
        if len(ticket.rounds) != len(ends):
            yield f"{where}: rounds: story {ticket.story} has {len(ends)}"
            return
        for number, (one, end) in enumerate(zip(ticket.rounds, ends, strict=True), 1):
            if one.note is None or one.answer is None:
                yield f"{where}: rounds.{number}: note and answer are needed"
            if (one.callback.verdict if one.callback else None) is not end:
                yield f"{where}: rounds.{number}.callback: does not lead to {end or 'waiting'}"
            if (one.claimed is not Solved.SOLVED) is not bool(one.plan and one.plan_in_days > 0):
                yield f"{where}: rounds.{number}.plan: needed where it is not solved, and only there"
    elif ticket.rounds and (
        ticket.story not in {Story.SIGNED, Story.OVERDUE} or len(ticket.rounds) > 1 or ticket.rounds[0].note
    ):
        yield f"{where}: rounds: story {ticket.story} has at most a contact record once it is signed"


def _check_review(ticket: DemoTicket, where: str) -> Iterator[str]:
    if (ticket.review is not None) is not (ticket.channel is Channel.REVIEW):
        yield f"{where}: review: channel and review go together"
    if ticket.review is None:
        return
    if ticket.review.real_name is not bool(ticket.phone):
        yield f"{where}: review.real_name: real name means a phone that can be called (domain.md 4.4)"
    justified = ticket.review.verdict in {ReviewVerdict.JUSTIFIED_SIMPLE, ReviewVerdict.JUSTIFIED_COMPLEX}
    if justified and ticket.story in _ANSWERED and not ticket.review.rectification:
        yield f"{where}: review.rectification: a justified review is put right before it is answered (domain.md 4.3)"


_CHECKS: Final = (_check_regions, _check_places, _check_departments, _check_users, _check_lists, _check_tickets)
