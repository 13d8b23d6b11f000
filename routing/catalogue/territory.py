"""Who owns a place (属地兜底), and which region a text speaks of: found, doubtful or not named."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import delete, exists, func, or_, select
from sqlalchemy.orm import Session

from classifier.gazetteer import Gazetteer
from classifier.gazetteer import Place as Named
from hotline.core.db import forget_remembered
from hotline.core.errors import Invalid, NotFound
from hotline.core.paging import Stretch, by_key
from hotline.core.permissions import Actor, Permission, require
from hotline.core.text import clean_line
from hotline.tickets.models import Region
from routing.catalogue.models import DutyContact, Place, PlaceRegion, RegionFallback, Source
from routing.catalogue.rules import line
from routing.clocks.profiles import EXTERNAL_SOURCES
from routing.models import PARTS_ONLY, Department, DepartmentKind

REMEMBERED: Final = timedelta(seconds=10)
MOST_CANDIDATES: Final = 6
#: Regions have so many levels: city, district, street, community.
MOST_LEVELS: Final = 4
_HOURS: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-4]):[0-5]\d")
_MOST_ALIASES: Final = 30


@dataclass(frozen=True, kw_only=True)
class RegionRow:
    """A region with its fallback owner, own or from above."""

    id: int
    code: str
    name: str
    path: str
    level: int
    parent_id: int | None
    aliases: tuple[str, ...]
    owner_id: int | None
    owner: str
    #: True when the owner is this region's own entry and not one from above.
    owner_is_own: bool


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A region that a text may speak of, and the words that say so."""

    region_id: int
    code: str
    path: str
    words: str


@dataclass(frozen=True, kw_only=True)
class Located:
    """What a text says about the place: one region for sure, or several to ask about, or nothing."""

    sure: Candidate | None = None
    doubtful: tuple[Candidate, ...] = ()

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Everything that can be taken: the sure one, or those to choose from."""
        return (self.sure,) if self.sure else self.doubtful

    @property
    def reason(self) -> str:
        """Why a person must choose, in words; empty when there is nothing to ask."""
        if self.sure or not self.doubtful:
            return ""
        words = "、".join(dict.fromkeys(one.words for one in self.doubtful))
        return f"“{words}”可能在 {len(self.doubtful)} 个区域，请核实。"


@dataclass(frozen=True)
class _Map:
    read_at: datetime
    gazetteer: Gazetteer
    #: Key of the gazetteer -> the regions it may stand for.
    regions: Mapping[str, tuple[int, ...]]
    parents: Mapping[int, int | None]
    rows: Mapping[int, tuple[str, str]]


def locate(session: Session, *texts: str, now: datetime) -> Located:
    """Return the region that the texts speak of, the most telling text first (place, address, title, content).

    The first text that names a region decides alone: a caller who says where it is in the field for it, is not
    contradicted by a name that he mentions in passing. Several names are taken together: what one name leaves open
    another may decide (人民路 stands in three districts, 人民路 and 文昌街道 in one). What stays open is told as
    doubtful, with at most six candidates, and never guessed.
    """
    known = _map(session, now=now)
    for text in texts:
        found = [(known.regions[one.code], one.text) for one in known.gazetteer.find(text) if one.code in known.regions]
        if found:
            return _decided(known, found)
    return Located()


def decide_region(parents: Mapping[int, int | None], named: Sequence[Sequence[int]]) -> tuple[int | None, list[int]]:
    """Return the region for sure, or the candidates; pure. `named` holds, for each name, the regions it may mean.

    Readings are compared along the tree: two names agree when one region lies in (or is) the other. Only the readings
    that agree with a reading of the most other names stay; if they all lie on one line, its deepest end is sure.
    """
    readings = {region for regions in named for region in regions}
    lines = {region: line(parents, region) for region in readings}

    def agree(one: int, other: int) -> bool:
        return one in lines[other] or other in lines[one]

    support = {region: sum(any(agree(region, other) for other in regions) for regions in named) for region in readings}
    most = max(support.values())
    best = [region for region in readings if support[region] == most]
    if most < len(named) and len(named) > 1:
        # The names contradict one another: nobody decides between them but a person.
        best = list(readings)
    deepest = max(best, key=lambda region: (len(lines[region]), -region))
    if all(region in lines[deepest] for region in best):
        return deepest, []
    # Of several readings on one line only the deepest is asked about.
    ends = [one for one in best if not any(one != other and one in lines[other] for other in best)]
    return None, sorted(ends)


def owner_of(session: Session, region_id: int | None) -> Department | None:
    """Return the department that owns a place when nobody else is named (属地兜底, domain.md 2.3).

    The nearest region, upwards, that has a working fallback owner; without any, the district government of the place.
    """
    if region_id is None:
        return None
    region = session.get(Region, region_id)
    found: list[Region] = []
    while region is not None and region not in found:
        found.append(region)
        region = session.get(Region, region.parent_id) if region.parent_id else None
    ids = [one.id for one in found]
    found_owners = pairs(
        session,
        select(RegionFallback.region_id, Department)
        .join(Department, Department.id == RegionFallback.department_id)
        .where(RegionFallback.region_id.in_(ids), Department.active),
    )
    for one in ids:
        if one in found_owners:
            department: Department = found_owners[one]
            return department
    codes = [one.code for one in found]
    districts = session.scalars(
        select(Department)
        .where(Department.kind == DepartmentKind.DISTRICT, Department.region_code != "", Department.active)
        .order_by(Department.code)
    )
    return next((one for one in districts if any(code.startswith(one.region_code) for code in codes)), None)


def owners(session: Session) -> dict[int, int]:
    """Return, for each region with an owner (its own or from above), the department; for trials and lists."""
    places = session.execute(select(Region.id, Region.code, Region.parent_id)).all()
    codes_of = {row.id: row.code for row in places}
    own: dict[int, int] = pairs(
        session,
        select(RegionFallback.region_id, RegionFallback.department_id)
        .join(Department, Department.id == RegionFallback.department_id)
        .where(Department.active),
    )
    districts = [
        (row.region_code, row.id)
        for row in session.scalars(
            select(Department)
            .where(Department.kind == DepartmentKind.DISTRICT, Department.region_code != "", Department.active)
            .order_by(Department.code)
        )
    ]
    parents = {row.id: row.parent_id for row in places}
    found: dict[int, int] = {}
    for region_id in parents:
        above = line(parents, region_id)
        named = next((own[one] for one in above if one in own), None)
        if named is None:
            codes = [codes_of[one] for one in above if one in codes_of]
            named = next((unit for prefix, unit in districts if any(code.startswith(prefix) for code in codes)), None)
        if named is not None:
            found[region_id] = named
    return found


def region_page(session: Session, *, words: str = "", cursor: str = "", limit: int) -> Stretch[RegionRow]:
    """Return one page of the regions in order of code, each with its owner; `words` in path, code, alias or owner."""
    found = owners(session)
    names = pairs(session, select(Department.id, Department.short_name))
    query = select(Region)
    if words:
        owned = [region_id for region_id, unit_id in found.items() if words in names[unit_id]]
        spoken = func.jsonb_array_elements_text(Region.aliases).table_valued("value")
        query = query.where(
            or_(
                Region.path.contains(words, autoescape=True),
                Region.code.contains(words, autoescape=True),
                exists(select(1).select_from(spoken).where(spoken.c.value.contains(words, autoescape=True))),
                Region.id.in_(owned),
            )
        )
    own = pairs(session, select(RegionFallback.region_id, RegionFallback.department_id))

    def made(row: Region) -> RegionRow:
        return _region_row(row, owner_id=found.get(row.id), names=names, is_own=row.id in own)

    return by_key(session, query, column=Region.code, cursor=cursor, limit=limit, made=made, key=lambda one: one.code)


def region_row(session: Session, region_id: int) -> RegionRow:
    """Return one region with its owner, or `NotFound`."""
    row = session.get(Region, region_id)
    if row is None:
        raise NotFound
    owner_id = owners(session).get(row.id)
    names = pairs(session, select(Department.id, Department.short_name).where(Department.id == owner_id))
    is_own = session.scalar(select(RegionFallback.region_id).where(RegionFallback.region_id == row.id)) is not None
    return _region_row(row, owner_id=owner_id, names=names, is_own=is_own)


def parents_to_choose(session: Session) -> list[tuple[int, str]]:
    """Return id and path of the regions below which one may be added, in order of code."""
    query = select(Region.id, Region.path).where(Region.level < MOST_LEVELS).order_by(Region.code)
    return [(row.id, row.path) for row in session.execute(query)]


def _region_row(row: Region, *, owner_id: int | None, names: Mapping[int, str], is_own: bool) -> RegionRow:
    return RegionRow(
        id=row.id,
        code=row.code,
        name=row.name,
        path=row.path,
        level=row.level,
        parent_id=row.parent_id,
        aliases=tuple(str(one) for one in row.aliases),
        owner_id=owner_id,
        owner=names.get(owner_id or 0, ""),
        owner_is_own=is_own,
    )


def create_region(
    session: Session, *, code: str, name: str, parent_id: int | None, aliases: Iterable[str], by: Actor
) -> Region:
    """Add a region below another, at most four levels deep."""
    require(by, Permission.CATALOGUE_EDIT)
    code, name = code.strip(), clean_line(name)
    parent = session.get(Region, parent_id) if parent_id is not None else None
    problems: dict[str, str] = {}
    if not re.fullmatch(r"\d{2,20}", code):
        problems["code"] = "区域代码为 2–20 位数字。"
    elif session.scalar(select(Region.id).where(Region.code == code)) is not None:
        problems["code"] = f"代码“{code}”已被使用。"
    if not name:
        problems["name"] = "请填写区域名称。"
    if parent_id is not None and parent is None:
        problems["parent_id"] = "所选的上级区域不存在。"
    if parent is not None and parent.level >= MOST_LEVELS:
        problems["parent_id"] = f"区域最多 {MOST_LEVELS} 级。"
    if problems:
        raise Invalid(problems)
    row = Region(
        code=code,
        name=name,
        path=f"{parent.path} / {name}" if parent else name,
        parent_id=parent_id,
        level=parent.level + 1 if parent else 1,
        aliases=checked_aliases(aliases),
    )
    session.add(row)
    session.flush()  # the unique code refuses here, not at the commit
    forget(session)
    return row


def change_region(
    session: Session,
    *,
    region_id: int,
    name: str,
    aliases: Iterable[str],
    owner_id: int | None,
    by: Actor,
    now: datetime,
) -> Region:
    """Change a region's name, what people call it, and its fallback owner; none takes the own entry away."""
    require(by, Permission.CATALOGUE_EDIT)
    row = session.get(Region, region_id, with_for_update=True)  # one administrator after the other
    if row is None:
        raise NotFound
    name = clean_line(name)
    problems: dict[str, str] = {}
    if not name:
        problems["name"] = "请填写区域名称。"
    owner = session.get(Department, owner_id) if owner_id is not None else None
    if owner_id is not None and (owner is None or not owner.active or owner.kind in PARTS_ONLY):
        problems["owner_id"] = "所选的兜底单位不存在、已停用或是基层承办单位。"
    if problems:
        raise Invalid(problems)
    row.aliases = checked_aliases(aliases)
    if name != row.name:
        before = row.path
        row.name, row.path = name, row.path.removesuffix(row.name) + name
        for below in session.scalars(select(Region).where(Region.path.startswith(before + " / ", autoescape=True))):
            below.path = row.path + below.path.removeprefix(before)
    if owner is None:
        session.execute(delete(RegionFallback).where(RegionFallback.region_id == region_id))
    else:
        session.merge(
            RegionFallback(region_id=region_id, department_id=owner.id, changed_by=by.user_id, changed_at=now)
        )
    forget(session)
    return row


def checked_aliases(aliases: Iterable[str]) -> list[str]:
    """Return other names, each once and at least two characters long; `Invalid` otherwise."""
    found = list(dict.fromkeys(clean_line(one) for one in aliases if clean_line(one)))
    if any(not 2 <= len(one) <= 40 for one in found):  # noqa: PLR2004 - one character names everything
        raise Invalid({"aliases": "每个别名 2–40 个字。"})
    if len(found) > _MOST_ALIASES:
        raise Invalid({"aliases": f"别名最多 {_MOST_ALIASES} 个。"})
    return found


def set_duty_contacts(
    session: Session, *, department_id: int, contacts: Sequence[tuple[str, str, str]], by: Actor
) -> list[DutyContact]:
    """Replace whom to ring at a department: (name, phone, hours as 08:30-17:30), the first is tried first."""
    require(by, Permission.CATALOGUE_EDIT)
    if session.get(Department, department_id) is None:
        raise NotFound
    rows: list[DutyContact] = []
    for at, (name, phone, hours) in enumerate(contacts, 1):
        if not clean_line(name) or not re.fullmatch(r"[0-9+ -]{5,25}", phone.strip()):
            raise Invalid({"contacts": f"第 {at} 行：请写明姓名与电话，如“张三 0900-5550000 08:30-17:30”。"})
        if not _HOURS.fullmatch(hours):
            raise Invalid({"contacts": f"第 {at} 行：值守时间应如 08:30-17:30，全天为 00:00-24:00。"})
        rows.append(
            DutyContact(
                department_id=department_id, position=at, name=clean_line(name)[:60], phone=phone.strip(), hours=hours
            )
        )
    if len({row.phone for row in rows}) < len(rows):
        raise Invalid({"contacts": "同一电话只需填写一次。"})
    session.execute(delete(DutyContact).where(DutyContact.department_id == department_id))
    session.add_all(rows)
    return rows


def duty_contacts(session: Session, department_id: int) -> Sequence[DutyContact]:
    """Return whom to ring at a department, in the order in which one tries."""
    return session.scalars(
        select(DutyContact).where(DutyContact.department_id == department_id).order_by(DutyContact.position)
    ).all()


def sources(session: Session) -> Sequence[Source]:
    """Return the external feeds in order of code."""
    return session.scalars(select(Source).order_by(Source.code).limit(500)).all()


def save_source(
    session: Session, *, code: str, name: str, deadline_source: str, active: bool, fresh: bool, by: Actor
) -> Source:
    """Add an external feed, or change the one with this code; the code never changes: tickets keep it."""
    require(by, Permission.CATALOGUE_EDIT)
    code, name = code.strip().lower(), clean_line(name)
    known = session.scalars(select(Source).where(Source.code == code)).first()
    problems: dict[str, str] = {}
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{1,59}", code):
        problems["code"] = "代码为 2–60 位小写字母、数字、点、横线或下划线。"
    elif fresh and known is not None:
        problems["code"] = f"代码“{code}”已被使用。"
    elif not fresh and known is None:
        raise NotFound
    if not 1 <= len(name) <= 60:  # noqa: PLR2004 - as the database holds it
        problems["name"] = "请填写来源名称（最多 60 字）。"
    if deadline_source and deadline_source not in EXTERNAL_SOURCES:
        problems["deadline_source"] = "时限来源不在可选范围内。"
    if problems:
        raise Invalid(problems)
    row = known or Source(code=code, name=name)
    row.name, row.deadline_source, row.active = name, deadline_source, active
    session.add(row)
    session.flush()  # the unique code refuses here, not at the commit
    forget(session)
    return row


def deadline_source(session: Session, source_system: str | None, *, now: datetime) -> str:
    """Return the source that a feed's deadlines go by, empty when it has none of its own."""
    if not source_system:
        return ""
    remembered: dict[str, Any] = session.info.setdefault("granting", {})
    known: tuple[datetime, dict[str, str]] | None = remembered.get("sources")
    if known is None or not timedelta(0) <= now - known[0] < REMEMBERED:
        known = (now, {row.code: row.deadline_source for row in session.scalars(select(Source))})
        remembered["sources"] = known
    return known[1].get(source_system, "")


def forget(session: Session) -> None:
    """Forget what this process remembers of the city's places, so that a change shows at once here."""
    forget_remembered(session)


def _decided(known: _Map, found: Sequence[tuple[tuple[int, ...], str]]) -> Located:
    sure, doubtful = decide_region(known.parents, [regions for regions, _ in found])

    def candidate(region_id: int) -> Candidate:
        code, path = known.rows[region_id]
        words = next(
            (
                text
                for regions, text in found
                if any(
                    region_id in line(known.parents, one) or one in line(known.parents, region_id) for one in regions
                )
            ),
            "",
        )
        return Candidate(region_id=region_id, code=code, path=path, words=words)

    if sure is not None:
        return Located(sure=candidate(sure))
    return Located(doubtful=tuple(candidate(one) for one in doubtful[:MOST_CANDIDATES]))


def _map(session: Session, *, now: datetime) -> _Map:
    """Return the city's names, read again when what we remember is ten seconds old."""
    remembered: dict[str, Any] = session.info.setdefault("granting", {})
    known: _Map | None = remembered.get("map")
    if known is None or not timedelta(0) <= now - known.read_at < REMEMBERED:
        known = remembered["map"] = _read_map(session, now=now)
    return known


def _read_map(session: Session, *, now: datetime) -> _Map:
    regions = session.scalars(select(Region)).all()
    # One key for each spelling: it stands for every region and place that is called so.
    spelled: dict[str, set[int]] = {}
    for row in regions:
        for name in (row.name, *row.aliases, *short_names(row.name)):
            spelled.setdefault(str(name), set()).add(row.id)
    of_places = session.execute(
        select(Place.name, Place.aliases, PlaceRegion.region_id).join(PlaceRegion, PlaceRegion.place_id == Place.id)
    )
    for called, aliases, region_id in of_places:
        for name in (called, *aliases):
            spelled.setdefault(str(name), set()).add(region_id)
    names = {name: tuple(sorted(ids)) for name, ids in spelled.items() if ids}
    return _Map(
        read_at=now,
        gazetteer=Gazetteer(tuple(Named(code=name, name=name) for name in sorted(names))),
        regions=names,
        parents={row.id: row.parent_id for row in regions},
        rows={row.id: (row.code, row.path) for row in regions},
    )


def short_names(name: str) -> tuple[str, ...]:
    """Return how people say a region: 文昌街道 is 文昌街, 书院街社区 is also 书院街; two characters are too few."""
    for ending in ("街道办事处", "街道", "社区", "村委会"):
        stem = name.removesuffix(ending)
        if stem != name:
            said = stem + "街" if ending == "街道" else stem
            return (said,) if len(said) > 2 else ()  # noqa: PLR2004 - see above
    return ()


def pairs(session: Session, statement: Any) -> dict[Any, Any]:  # noqa: ANN401 - a select of two columns
    """Return the rows of a select of two columns as a mapping."""
    return {key: value for key, value in session.execute(statement)}  # noqa: C416 - dict() does not see that a row is a pair
