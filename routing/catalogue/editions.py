"""The dispatch catalogue (派单目录): drafts, publication, and what it proposes for a matter (docs/catalogue.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import flag_modified

from hotline.core.clock import local
from hotline.core.db import run
from hotline.core.errors import Conflict, Denied, Invalid, NotFound
from hotline.core.permissions import Actor, Permission, require
from hotline.core.text import clean_line
from hotline.tickets.models import Category, Region
from hotline.tickets.vocabulary import RequestType
from routing.catalogue import territory
from routing.catalogue.models import CatalogueRow, CatalogueState, CatalogueVersion
from routing.catalogue.rules import FATAL, City, Found, Index, Matter, Row, findings
from routing.catalogue.territory import pairs
from routing.clocks.profiles import SLA_CLASSES
from routing.models import PARTS_ONLY, Department

#: In the place of a department's code: whoever owns the place (属地).
TERRITORIAL: Final = "district"
#: A catalogue of a big city has some thousands of rows.
MOST_ROWS: Final = 20_000
MOST_BASIS: Final = 1_000
MOST_ITEM: Final = 200
MOST_CO_HANDLERS: Final = 10
#: A date that was chosen a moment ago is still "now".
JUST_NOW: Final = timedelta(minutes=5)
_REMEMBERED: Final = timedelta(seconds=10)


@dataclass(frozen=True, kw_only=True)
class RowWish:
    """A row as a person writes it: codes and words; what is empty means "any", the lead `district` the owner."""

    category: str = ""
    region: str = ""
    request_type: str = ""
    service_item: str = ""
    lead: str = ""
    co_handlers: tuple[str, ...] = ()
    sla_class: str = ""
    basis: str = ""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What no other row of the same version shares."""
        return self.category, self.region, self.request_type, self.service_item


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What the catalogue in force says of a matter, and why."""

    version_id: int
    version_number: int
    row_id: int
    #: None when the row says "whoever owns the place" and the place is not known.
    lead_id: int | None
    lead: str
    lead_code: str
    territorial: bool
    #: Codes of the usual co-handlers that work, and their names.
    co_handlers: tuple[str, ...]
    co_handler_names: tuple[str, ...]
    sla_class: str
    basis: str
    #: Why this department, in words: the edition, the row's keys, and what was passed over.
    reason: str
    #: When the edition was published, and whether the row speaks of one place or of one service item.
    published_at: datetime
    names_region: bool
    names_item: bool
    names_type: bool


@dataclass(frozen=True, kw_only=True)
class RowView:
    """One row with the names that a person reads."""

    id: int
    category_code: str
    category: str
    region_code: str
    region: str
    request_type: str
    service_item: str
    lead_code: str
    lead: str
    co_handlers: tuple[str, ...]
    sla_class: str
    basis: str
    origin: str
    changed_at: datetime

    @property
    def wish(self) -> RowWish:
        """The row as one would write it."""
        return RowWish(
            category=self.category_code,
            region=self.region_code,
            request_type=self.request_type,
            service_item=self.service_item,
            lead=self.lead_code,
            co_handlers=self.co_handlers,
            sla_class=self.sla_class,
            basis=self.basis,
        )

    @property
    def words(self) -> str:
        """What the row speaks of, in words."""
        return scope_words(self.category, self.region, self.request_type, self.service_item)


def scope_words(category: str, region: str, request_type: str, service_item: str) -> str:
    """Return the keys of a row in words."""
    parts = [category or "任何类别", region or "全市"]
    parts += [request_type] if request_type else []
    parts += [f"事项“{service_item}”"] if service_item else []
    return " · ".join(parts)


# --- asking ------------------------------------------------------------------------------------------------------


# Asked with every dispatch; made once (docs/decisions/0028).
_IN_FORCE: Final = select(CatalogueVersion).where(
    CatalogueVersion.state != CatalogueState.DRAFT,
    CatalogueVersion.valid_from <= bindparam("at"),
    (CatalogueVersion.valid_to.is_(None)) | (CatalogueVersion.valid_to > bindparam("at")),
)


# An edition comes into force by itself or in a transaction of its own, so nothing that this session holds is missed.
_ID_IN_FORCE: Final = _IN_FORCE.with_only_columns(CatalogueVersion.id)


def version_in_force(session: Session, *, now: datetime) -> CatalogueVersion | None:
    """Return the edition that is in force at an instant; the database lets there be no second one."""
    return session.scalars(_IN_FORCE, {"at": now}).first()


def proposal_for(
    session: Session,
    *,
    category_id: int | None,
    region_id: int | None,
    request_type: str = "",
    service_item: str = "",
    now: datetime,
) -> Proposal | None:
    """Return what the catalogue in force says of a matter: lead, usual co-handlers, SLA class, basis and the reason.

    Nothing when no edition is in force or no row fits. Rows that lead to a department that has been closed since are
    passed over, and the reason says so.
    """
    matter = Matter(category=category_id, region=region_id, request_type=request_type, service_item=service_item)
    return proposals_for(session, {0: matter}, now=now).get(0)


def proposals_for(session: Session, matters: Mapping[int, Matter], *, now: datetime) -> dict[int, Proposal]:
    """Return what the catalogue in force says of each of these matters, in as many questions as for one."""
    version = version_in_force(session, now=now) if matters else None
    if version is None:
        return {}
    fitting = {key: list(_index(session, version.id, one, now=now).fitting(one)) for key, one in matters.items()}
    rows = [row for found in fitting.values() for row in found]
    names = _Read(
        version=version,
        categories=pairs(
            session, select(Category.id, Category.path).where(Category.id.in_({row.category for row in rows}))
        ),
        regions=pairs(session, select(Region.id, Region.path).where(Region.id.in_({row.region for row in rows}))),
        owners=territory.owners(session)
        if any(row.lead is None or TERRITORIAL in row.co_handlers for row in rows)
        else {},
        units={unit.id: unit for unit in session.scalars(select(Department))} if rows else {},
    )
    found = {}
    for key, candidates in fitting.items():
        proposal = _proposed(candidates, matters[key], names)
        if proposal is not None:
            found[key] = proposal
    return found


@dataclass(frozen=True, kw_only=True)
class Applied:
    """Under which edition, row and SLA class a dispatch is granted its limits."""

    version_id: int | None = None
    row_id: int | None = None
    sla_class: str = ""


def applied(
    session: Session,
    *,
    category_id: int | None,
    region_id: int | None,
    request_type: str,
    service_item: str = "",
    now: datetime,
) -> Applied:
    """Return what a dispatch keeps of the catalogue; asks next to nothing of the database."""
    version_id: int | None = run(session, _ID_IN_FORCE, {"at": now}).scalar()
    if version_id is None:
        return Applied()
    if category_id is None and not service_item:
        return Applied(version_id=version_id)  # the rows for any matter are not for one that nobody has named
    matter = Matter(category=category_id, region=region_id, request_type=request_type, service_item=service_item)
    for row in _index(session, version_id, matter, now=now).fitting(matter):
        unit = session.get(Department, row.lead) if row.lead else None
        if unit is None or unit.active:
            return Applied(version_id=version_id, row_id=row.id, sla_class=row.sla_class)
    return Applied(version_id=version_id)


@dataclass(frozen=True, kw_only=True)
class _Read:
    version: CatalogueVersion
    categories: Mapping[int, str]
    regions: Mapping[int, str]
    owners: Mapping[int, int]
    units: Mapping[int, Department]


def _proposed(candidates: Iterable[Row], matter: Matter, read: _Read) -> Proposal | None:
    owner = read.units.get(read.owners.get(matter.region or 0, 0))
    passed: list[str] = []
    for row in candidates:
        unit = read.units.get(row.lead) if row.lead else owner
        if row.lead and (unit is None or not unit.active):
            passed.append(unit.short_name if unit else str(row.lead))
            continue
        return _told(row, unit, owner, read=read, passed=passed)
    return None


def _told(
    row: Row, unit: Department | None, owner: Department | None, *, read: _Read, passed: Sequence[str]
) -> Proposal:
    scope = scope_words(
        read.categories.get(row.category or 0, ""),
        read.regions.get(row.region or 0, ""),
        row.request_type,
        row.service_item,
    )
    reason = f"派单目录第 {read.version.number} 版：{scope}"
    if row.lead is None:
        reason += "，属地办理" if unit else "，属地办理，所属区域尚未确定或没有兜底单位"
    if passed:
        reason += f"（更具体的条目指向已停用的{'、'.join(passed)}，已略过）"
    known = {one.code: one.short_name for one in read.units.values() if one.active}
    wanted = [owner.code if code == TERRITORIAL and owner else code for code in row.co_handlers]
    helping = tuple(code for code in dict.fromkeys(wanted) if code in known and (unit is None or code != unit.code))
    return Proposal(
        version_id=read.version.id,
        version_number=read.version.number,
        row_id=row.id,
        lead_id=unit.id if unit else None,
        lead=unit.name if unit else "",
        lead_code=unit.code if unit else "",
        territorial=row.lead is None,
        co_handlers=helping,
        co_handler_names=tuple(known[code] for code in helping),
        sla_class=row.sla_class,
        basis=row.basis,
        reason=reason,
        published_at=read.version.published_at or read.version.created_at,
        names_region=row.region is not None,
        names_item=bool(row.service_item),
        names_type=bool(row.request_type),
    )


@dataclass(frozen=True)
class _Trees:
    read_at: datetime
    categories: Mapping[int, int | None]
    regions: Mapping[int, int | None]


def _index(session: Session, version_id: int, matter: Matter, *, now: datetime) -> Index:
    """Return a published edition's rows, ready to be asked: they never change, the trees are read every ten seconds."""
    remembered: dict[str, Any] = session.info.setdefault("granting", {})
    trees: _Trees | None = remembered.get("trees")
    if (
        trees is None
        or not timedelta(0) <= now - trees.read_at < _REMEMBERED
        or (matter.category is not None and matter.category not in trees.categories)
        or (matter.region is not None and matter.region not in trees.regions)
    ):
        trees = remembered["trees"] = _trees(session, now=now)
        remembered.pop("catalogue", None)
    known: tuple[int, Index] | None = remembered.get("catalogue")
    if known is None or known[0] != version_id:
        index = Index(plain_rows(session, version_id), categories=trees.categories, regions=trees.regions)
        known = remembered["catalogue"] = (version_id, index)
    return known[1]


def _trees(session: Session, *, now: datetime) -> _Trees:
    return _Trees(
        read_at=now,
        categories=pairs(session, select(Category.id, Category.parent_id)),
        regions=pairs(session, select(Region.id, Region.parent_id)),
    )


def plain_rows(session: Session, version_id: int) -> list[Row]:
    """Return the rows of an edition as the rules need them."""
    return [
        Row(
            id=row.id,
            category=row.category_id,
            region=row.region_id,
            request_type=row.request_type.value if row.request_type else "",
            service_item=row.service_item,
            lead=row.lead_id,
            co_handlers=tuple(str(code) for code in row.co_handlers),
            sla_class=row.sla_class,
            basis=row.basis,
        )
        for row in session.scalars(
            select(CatalogueRow).where(CatalogueRow.version_id == version_id).order_by(CatalogueRow.id).limit(MOST_ROWS)
        )
    ]


def city_now(session: Session) -> City:
    """Return what rows may speak of today: the trees, the departments that work, the regions with an owner."""
    parents = pairs(session, select(Category.id, Category.parent_id).where(Category.valid_to.is_(None)))
    units = pairs(
        session,
        select(Department.id, Department.code).where(Department.active, Department.kind.not_in(PARTS_ONLY)),
    )
    inner = set(parents.values())
    return City(
        categories=parents,
        regions=pairs(session, select(Region.id, Region.parent_id)),
        leaves=frozenset(node for node in parents if node not in inner),
        departments=frozenset(units),
        codes=frozenset(units.values()) | {TERRITORIAL},
        request_types=tuple(kind.value for kind in RequestType),
        owned=frozenset(territory.owners(session)),
    )


def findings_of(session: Session, version_id: int) -> list[Found]:
    """Return everything that is wrong or doubtful about the rows of an edition."""
    return findings(plain_rows(session, version_id), city_now(session))


def versions(session: Session, *, limit: int = 50) -> Sequence[CatalogueVersion]:
    """Return the editions, the newest first."""
    return session.scalars(select(CatalogueVersion).order_by(CatalogueVersion.number.desc()).limit(limit)).all()


def version_numbered(session: Session, number: int, *, lock: bool = False) -> CatalogueVersion:
    """Return the edition with this number, or `NotFound`."""
    query = select(CatalogueVersion).where(CatalogueVersion.number == number)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)  # one editor after the other
    found = session.scalars(query).first()
    if found is None:
        raise NotFound
    return found


def row_counts(session: Session, version_ids: Iterable[int]) -> dict[int, int]:
    """Return how many rows each of these editions has; editions have hundreds of rows, not millions."""
    return pairs(
        session,
        select(CatalogueRow.version_id, func.count())
        .where(CatalogueRow.version_id.in_(list(version_ids)))
        .group_by(CatalogueRow.version_id),
    )


def rows_of(session: Session, version_id: int) -> list[RowView]:
    """Return all rows of an edition in order of category, region, type and item, with the names people read."""
    return _views(session, select(CatalogueRow).where(CatalogueRow.version_id == version_id).limit(MOST_ROWS))


def row_of(session: Session, version_id: int, row_id: int) -> RowView:
    """Return one row of an edition, or `NotFound`."""
    found = _views(
        session, select(CatalogueRow).where(CatalogueRow.version_id == version_id, CatalogueRow.id == row_id)
    )
    if not found:
        raise NotFound
    return found[0]


def _views(session: Session, query: Any) -> list[RowView]:  # noqa: ANN401 - a select of rows
    rows = session.scalars(query).all()
    categories = {row.id: row for row in session.scalars(select(Category))}
    regions = {row.id: row for row in session.scalars(select(Region))}
    units = {row.id: row for row in session.scalars(select(Department))}
    found = []
    for row in rows:
        category, region, unit = (
            categories.get(row.category_id or 0),
            regions.get(row.region_id or 0),
            units.get(row.lead_id or 0),
        )
        found.append(
            RowView(
                id=row.id,
                category_code=category.code if category else "",
                category=category.path if category else "",
                region_code=region.code if region else "",
                region=region.path if region else "",
                request_type=row.request_type.value if row.request_type else "",
                service_item=row.service_item,
                lead_code=unit.code if unit else TERRITORIAL,
                lead=unit.name if unit else "属地兜底单位",
                co_handlers=tuple(str(code) for code in row.co_handlers),
                sla_class=row.sla_class,
                basis=row.basis,
                origin=row.origin,
                changed_at=row.changed_at,
            )
        )
    return sorted(found, key=lambda one: (one.category_code, one.region_code, one.request_type, one.service_item))


# --- drafting ----------------------------------------------------------------------------------------------------


def draft(session: Session) -> CatalogueVersion | None:
    """Return the draft, if there is one; there is never a second."""
    return session.scalars(select(CatalogueVersion).where(CatalogueVersion.state == CatalogueState.DRAFT)).first()


def open_draft(session: Session, *, by: Actor, now: datetime) -> CatalogueVersion:
    """Return the draft, locked; when there is none, make one with the rows of the newest published edition."""
    _may_propose(by)
    known = draft(session)
    if known is not None:
        return version_numbered(session, known.number, lock=True)
    last = session.scalars(select(CatalogueVersion).order_by(CatalogueVersion.number.desc()).limit(1)).first()
    fresh = CatalogueVersion(
        number=last.number + 1 if last else 1,
        state=CatalogueState.DRAFT,
        created_by=by.user_id,
        created_at=now,
    )
    session.add(fresh)
    session.flush()  # two who begin at once: the second is refused by the unique index on drafts
    if last is not None:
        city = city_now(session)
        old = session.scalars(
            select(CatalogueRow).where(CatalogueRow.version_id == last.id).order_by(CatalogueRow.id)
        ).all()
        session.add_all(
            CatalogueRow(
                version_id=fresh.id,
                category_id=row.category_id,
                region_id=row.region_id,
                request_type=row.request_type,
                service_item=row.service_item,
                lead_id=row.lead_id,
                # A unit that was closed since is left out; a row whose lead was closed is not taken over.
                co_handlers=[code for code in row.co_handlers if code in city.codes],
                sla_class=row.sla_class,
                basis=row.basis,
                origin=row.origin,
                changed_by=row.changed_by,
                changed_at=row.changed_at,
            )
            for row in old
            if row.lead_id is None or row.lead_id in city.departments
        )
        session.flush()  # what is written next to the draft must find these rows
    return fresh


def add_row_to_draft(
    session: Session, *, wish: RowWish, origin: str = "", replace: bool = True, by: Actor, now: datetime
) -> CatalogueRow:
    """Put one row into the draft, opening one when there is none; the one step from a ruling to the catalogue.

    A row with the same keys is replaced, or with `replace=False` refused. `origin` says in words where the row comes
    from, for instance the ruling's number. Raises `Invalid` by field. Nothing is in force before somebody publishes.
    """
    _may_propose(by)
    version = open_draft(session, by=by, now=now)
    return _put(session, version, wish, origin=origin, replace=replace, by=by, now=now)


def change_row(session: Session, *, row_id: int, version: int, wish: RowWish, by: Actor, now: datetime) -> CatalogueRow:
    """Change a row of the draft; `version` is the draft's as it was seen."""
    require(by, Permission.CATALOGUE_EDIT)
    row = session.get(CatalogueRow, row_id)
    if row is None:
        raise NotFound
    edition = _seen(session, row.version_id, version)
    return _put(session, edition, wish, origin=row.origin, replace=False, row=row, by=by, now=now)


def remove_row(session: Session, *, row_id: int, version: int, by: Actor) -> None:
    """Take a row out of the draft."""
    require(by, Permission.CATALOGUE_EDIT)
    row = session.get(CatalogueRow, row_id)
    if row is None:
        raise NotFound
    edition = _seen(session, row.version_id, version)
    session.delete(row)
    _touch(edition)
    session.flush()  # the database's own refusals come here


def replace_rows(
    session: Session, *, version: int, wishes: Sequence[RowWish], by: Actor, now: datetime
) -> CatalogueVersion:
    """Make these the rows of the draft, all of them; rows that stay as they are keep their origin.

    Raises `Invalid` with a sentence for each wrong row (field `rows`), `Conflict` when the draft was changed since.
    """
    require(by, Permission.CATALOGUE_EDIT)
    edition = open_draft(session, by=by, now=now)
    if edition.version != version:
        raise Conflict("草案刚刚被他人修改，请重新预览后再导入。")
    names = Names(session)
    problems = problems_of(wishes, names)
    if problems:
        raise Invalid({"rows": [f"第 {at} 条：{words}" for at, words in problems][:50]})
    before = {row.wish.key: row for row in rows_of(session, edition.id)}
    wanted = {wish.key: wish for wish in wishes}
    gone = [row.id for key, row in before.items() if key not in wanted or wanted[key] != row.wish]
    session.execute(delete(CatalogueRow).where(CatalogueRow.id.in_(gone)))
    session.add_all(
        _columns(
            CatalogueRow(version_id=edition.id, origin=before[key].origin if key in before else ""),
            wish,
            names,
            by=by,
            now=now,
        )
        for key, wish in wanted.items()
        if key not in before or before[key].wish != wish
    )
    _touch(edition)
    session.flush()  # the database's own refusals come here
    return edition


def publish(
    session: Session,
    *,
    number: int,
    version: int,
    valid_from: datetime | None = None,
    valid_to: datetime | None = None,
    note: str = "",
    by: Actor,
    now: datetime,
) -> CatalogueVersion:
    """Put the draft in force from an instant on (none: from now); the edition before it ends there.

    Refused, by field: a window in the past or without length, a window that overlaps one that is already announced,
    rows that lead to closed departments or retired categories, a draft without rows.
    """
    require(by, Permission.CATALOGUE_EDIT)
    edition = version_numbered(session, number, lock=True)
    if edition.state is not CatalogueState.DRAFT:
        raise Conflict("这一版已经发布过。")
    if edition.version != version:
        raise Conflict("草案刚刚被他人修改，请看过后再发布。")
    begins = valid_from or now
    problems: dict[str, str] = {}
    if begins < now - JUST_NOW:
        problems["valid_from"] = f"生效时间不能早于现在（{local(now):%Y-%m-%d %H:%M}）。"
    begins = max(begins, now)
    if valid_to is not None and valid_to <= begins:
        problems["valid_to"] = "失效时间必须晚于生效时间。"
    others = _published(session)
    problems |= _overlap(others, begins, valid_to)
    fatal = [one for one in findings_of(session, edition.id) if one.flaw in FATAL]
    if fatal:
        problems["rows"] = f"有 {len(fatal)} 处须先改正：{'；'.join(dict.fromkeys(one.words for one in fatal))}"
    if not row_counts(session, [edition.id]):
        problems["rows"] = "草案中没有条目。"
    if problems:
        raise Invalid(problems)
    _end_at(others, begins, now=now)
    session.flush()  # the window that ends must have ended before the new one begins
    edition.state = CatalogueState.PUBLISHED
    edition.valid_from, edition.valid_to = begins, valid_to
    edition.published_by, edition.published_at = by.user_id, now
    edition.note = clean_line(note)[:500]
    session.flush()  # the database's own refusals come here
    territory.forget(session)
    return edition


def _published(session: Session) -> Sequence[CatalogueVersion]:
    return session.scalars(
        select(CatalogueVersion)
        .where(CatalogueVersion.state != CatalogueState.DRAFT)
        .order_by(CatalogueVersion.valid_from)
        .with_for_update()  # nobody announces another edition meanwhile
    ).all()


def _overlap(others: Iterable[CatalogueVersion], begins: datetime, ends: datetime | None) -> dict[str, str]:
    """Return which announced edition a window would overlap; the one in force is not in the way, it ends."""
    for other in others:
        assert other.valid_from is not None  # noqa: S101 - a published edition has a window
        overlaps = (other.valid_to is None or other.valid_to > begins) and (ends is None or other.valid_from < ends)
        if overlaps and other.valid_from >= begins:
            at = f"{local(other.valid_from):%Y-%m-%d %H:%M}"
            return {"valid_from": f"与已定于 {at} 生效的第 {other.number} 版重叠，请先撤下该版或另定时间。"}
    return {}


def _end_at(others: Iterable[CatalogueVersion], begins: datetime, *, now: datetime) -> None:
    for other in others:
        assert other.valid_from is not None  # noqa: S101 - a published edition has a window
        if other.valid_from < begins and (other.valid_to is None or other.valid_to > begins):
            other.valid_to = begins
        if other.valid_to is not None and other.valid_to <= now:
            other.state = CatalogueState.RETIRED


def retire(session: Session, *, number: int, version: int, by: Actor, now: datetime) -> CatalogueVersion:
    """End a published edition now; one that has not begun yet never begins. Nothing takes its place by itself."""
    require(by, Permission.CATALOGUE_EDIT)
    edition = version_numbered(session, number, lock=True)
    if edition.state is not CatalogueState.PUBLISHED or edition.valid_from is None:
        raise Conflict("只有已发布的版本可以停用。")
    if edition.version != version:
        raise Conflict("这一版刚刚被他人修改，请刷新后重试。")
    if edition.valid_to is not None and edition.valid_to <= now:
        raise Conflict("这一版已经失效。")
    # One that has not begun keeps the shortest window there is: it was announced, and the record says so.
    edition.valid_to = max(now, edition.valid_from + timedelta(microseconds=1))
    edition.state = CatalogueState.RETIRED
    session.flush()  # the database's own refusals come here
    territory.forget(session)
    return edition


class Names:
    """Ids by the codes that people write; read once for many rows."""

    def __init__(self, session: Session) -> None:
        """Read the categories and departments in use, and the regions."""
        self.categories = pairs(session, select(Category.code, Category.id).where(Category.valid_to.is_(None)))
        self.regions = pairs(session, select(Region.code, Region.id))
        self.departments: dict[str, int] = {}
        self.closed: set[str] = set()
        self.parts_only: set[str] = set()
        for row in session.scalars(select(Department)):
            if row.active and row.kind in PARTS_ONLY:
                self.parts_only.add(row.code)
            elif row.active:
                self.departments[row.code] = row.id
            else:
                self.closed.add(row.code)


def problems_of(wishes: Sequence[RowWish], names: Names) -> list[tuple[int, str]]:
    """Return what is wrong with rows as (number from 1, sentence), overlaps of two rows among them."""
    found: list[tuple[int, str]] = []
    seen: dict[tuple[str, str, str, str], int] = {}
    for at, wish in enumerate(wishes, 1):
        found += [(at, words) for words in _problems(wish, names).values()]
        if wish.key in seen:
            found.append((at, f"与第 {seen[wish.key]} 条的适用范围完全重叠，同一范围只能有一条。"))
        seen.setdefault(wish.key, at)
    if len(wishes) > MOST_ROWS:
        found.append((MOST_ROWS + 1, f"最多 {MOST_ROWS} 条。"))
    return found


def _problems(wish: RowWish, names: Names) -> dict[str, str]:  # noqa: C901, PLR0912 - one line per rule of the form
    problems: dict[str, str] = {}
    if wish.category and wish.category not in names.categories:
        problems["category"] = f"没有代码为“{wish.category[:40]}”的事件类别，或已停用。"
    if wish.region and wish.region not in names.regions:
        problems["region"] = f"没有代码为“{wish.region[:40]}”的区域。"
    if wish.request_type and wish.request_type not in {kind.value for kind in RequestType}:
        problems["request_type"] = f"没有“{wish.request_type[:20]}”这种诉求类型。"
    if len(wish.service_item) > MOST_ITEM:
        problems["service_item"] = f"政务服务事项最多 {MOST_ITEM} 字。"
    if not wish.lead:
        problems["lead"] = "请选择主办单位。"
    elif wish.lead in names.closed:
        problems["lead"] = f"主办单位“{wish.lead[:60]}”已停用。"
    elif wish.lead in names.parts_only:
        problems["lead"] = f"“{wish.lead[:60]}”是基层承办单位，由上级转办，不能作为主办单位。"
    elif wish.lead != TERRITORIAL and wish.lead not in names.departments:
        problems["lead"] = f"没有代码为“{wish.lead[:60]}”的单位。"
    for code in wish.co_handlers:
        if code in names.closed:
            problems["co_handlers"] = f"协办单位“{code[:60]}”已停用。"
        elif code in names.parts_only:
            problems["co_handlers"] = f"“{code[:60]}”是基层承办单位，由上级转办，不能作为协办单位。"
        elif code != TERRITORIAL and code not in names.departments:
            problems["co_handlers"] = f"没有代码为“{code[:60]}”的协办单位。"
        elif code == wish.lead:
            problems["co_handlers"] = "主办单位不能同时是协办单位。"
    if len(wish.co_handlers) > MOST_CO_HANDLERS:
        problems["co_handlers"] = f"协办单位最多 {MOST_CO_HANDLERS} 个。"
    if wish.sla_class and wish.sla_class not in SLA_CLASSES:
        problems["sla_class"] = f"没有“{wish.sla_class[:20]}”这种时限类别。"
    if len(wish.basis) > MOST_BASIS:
        problems["basis"] = f"依据最多 {MOST_BASIS} 字。"
    return problems


def _put(
    session: Session,
    version: CatalogueVersion,
    wish: RowWish,
    *,
    origin: str,
    replace: bool,
    row: CatalogueRow | None = None,
    by: Actor,
    now: datetime,
) -> CatalogueRow:
    names = Names(session)
    problems = _problems(wish, names)
    if problems:
        raise Invalid(problems)
    region_id = names.regions.get(wish.region) if wish.region else None
    known = session.scalars(
        select(CatalogueRow).where(
            CatalogueRow.version_id == version.id,
            CatalogueRow.category_id.is_not_distinct_from(names.categories.get(wish.category)),
            CatalogueRow.region_id.is_not_distinct_from(region_id),
            CatalogueRow.request_type.is_not_distinct_from(wish.request_type or None),
            CatalogueRow.service_item == wish.service_item,
        )
    ).first()
    if known is not None and known is not row and not replace:
        raise Invalid({"category": "草案中已有适用范围完全相同的条目，请修改那一条。"})
    target = row or known or CatalogueRow(version_id=version.id)
    target.origin = clean_line(origin)[:500] or target.origin or ""
    _columns(target, wish, names, by=by, now=now)
    session.add(target)
    _touch(version)
    session.flush()  # the database's own refusals come here
    return target


def _columns(row: CatalogueRow, wish: RowWish, names: Names, *, by: Actor, now: datetime) -> CatalogueRow:
    row.category_id = names.categories[wish.category] if wish.category else None
    row.region_id = names.regions[wish.region] if wish.region else None
    row.request_type = RequestType(wish.request_type) if wish.request_type else None
    row.service_item = wish.service_item
    row.lead_id = names.departments[wish.lead] if wish.lead != TERRITORIAL else None
    row.co_handlers = list(dict.fromkeys(wish.co_handlers))
    row.sla_class, row.basis = wish.sla_class, wish.basis
    row.changed_by, row.changed_at = by.user_id, now
    return row


def _seen(session: Session, version_id: int, version: int) -> CatalogueVersion:
    edition = session.get(CatalogueVersion, version_id, with_for_update=True)  # one editor after the other
    if edition is None:
        raise NotFound
    if edition.state is not CatalogueState.DRAFT:
        raise Conflict("已发布的目录不能修改，请在草案中修改后重新发布。")
    if edition.version != version:
        raise Conflict("草案刚刚被他人修改，请刷新后重试。")
    return edition


def _may_propose(by: Actor) -> None:
    if not (by.can(Permission.CATALOGUE_EDIT) or by.can(Permission.CATALOGUE_PROPOSE)):
        raise Denied


def _touch(edition: CatalogueVersion) -> None:
    """Count the edition's version up: its rows are part of it, and whoever saw the old ones must be told."""
    flag_modified(edition, "note")
