"""Brings the records of a table in as tickets: columns to fields, every problem by field, each record once.

A record is known again by where it comes from and its key (the column that numbers it, else a fingerprint of all its
cells), so an import can be stopped anywhere and run again, and nothing comes in twice.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session

from hotline.core.clock import SHANGHAI, NowFunction
from hotline.core.errors import Invalid
from hotline.core.permissions import Actor
from hotline.core.text import clean_line
from hotline.intake import rules
from hotline.intake.files import BadCell, Cell, Record, Table
from hotline.tickets import actions as tickets
from hotline.tickets import queries
from hotline.tickets.vocabulary import Channel, NewTicket

BATCH: Final = 200
MOST_KEY: Final = 200
#: field -> what it is called, and the headings by which it is guessed, the surest first.
FIELDS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "content": (
        "诉求内容",
        (
            *(
                "诉求内容",
                "工单内容",
                "事件描述",
                "问题描述",
                "诉求描述",
                "主要内容",
                "留言详情",
                "留言内容",
                "信件内容",
            ),
            *("反映内容", "详细内容", "内容", "正文", "描述", "content", "body", "text", "description", "message"),
        ),
    ),
    "title": ("标题", ("标题", "工单标题", "诉求标题", "留言主题", "信件标题", "主题", "title", "subject")),
    "key": ("编号", ("工单编号", "工单号", "受理编号", "流水号", "信件编号", "留言编号", "编号", "id", "key", "uuid")),
    "name": ("姓名", ("姓名", "诉求人", "诉求人姓名", "来电人", "来电人姓名", "联系人", "市民姓名", "name")),
    "phone": (
        "联系电话",
        (
            *("联系电话", "来电号码", "联系号码", "手机号码", "手机号", "手机", "电话号码", "电话", "联系方式"),
            *("phone", "mobile", "tel", "telephone"),
        ),
    ),
    "address": ("联系地址", ("联系地址", "家庭住址", "家庭地址", "住址", "address")),
    "id_number": ("身份证号", ("身份证号", "身份证号码", "证件号码", "id_number")),
    "place": (
        "事发地点",
        ("事发地点", "事发地址", "诉求地址", "发生地址", "问题地址", "地点", "地址", "place", "location"),
    ),
    "company": ("涉及单位", ("涉及单位", "被反映单位", "被投诉单位", "被诉单位", "企业名称", "company")),
    "happened_at": (
        "发生时间",
        (
            *(
                "发生时间",
                "事发时间",
                "来电时间",
                "受理时间",
                "登记时间",
                "反映时间",
                "留言时间",
                "提交时间",
                "创建时间",
            ),
            *("来信时间", "时间", "日期", "time", "date", "datetime", "created_at", "happened_at"),
        ),
    ),
    "request_type": ("诉求类型", ("诉求类型", "业务类别", "工单类型", "诉求性质", "request_type", "type")),
    "urgency": ("紧急程度", ("紧急程度", "缓急程度", "urgency", "priority")),
    "channel": ("来源渠道", ("来源渠道", "受理方式", "诉求来源", "工单来源", "渠道", "channel")),
    "region": ("所属区域", ("所属区域", "所属区县", "行政区划", "区域", "区县", "region", "district")),
    "category": ("事件类别", ("事件类别", "事件类型", "诉求分类", "类别", "分类", "category")),
    "service_item": ("服务事项", ("服务事项", "政务服务事项", "办理事项", "service_item")),
    "anonymous": ("是否匿名", ("是否匿名", "匿名", "anonymous")),
    "confidential": ("是否保密", ("是否保密", "保密", "confidential")),
    "wants_callback": ("是否回访", ("是否回访", "wants_callback")),
}
_YES: Final = frozenset({"是", "y", "yes", "true", "1", "√", "匿名", "保密", "回访", "需要"})
_NO: Final = frozenset({"否", "n", "no", "false", "0", "×", "实名", "公开", "不保密", "不匿名", "不回访", "不需要"})
_REQUEST_TYPES: Final = {"感谢": "表扬", "意见": "建议", "意见建议": "建议", "投诉举报": "投诉"}
_CHANNELS: Final = {
    "电话": Channel.PHONE,
    "来电": Channel.PHONE,
    "网站": Channel.WEB,
    "网页": Channel.WEB,
    "网络": Channel.WEB,
    "微信": Channel.WECHAT,
    "app": Channel.APP,
    "短信": Channel.SMS,
    "邮件": Channel.EMAIL,
    "邮箱": Channel.EMAIL,
    "电子信箱": Channel.EMAIL,
    "省平台": Channel.PROVINCE,
    "省12345": Channel.PROVINCE,
    "市长信箱": Channel.MAYOR_MAILBOX,
    "市110": Channel.POLICE_110,
    "导入": Channel.IMPORT,
}

Begin = Callable[[], AbstractContextManager[Session]]


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """A record that could not come in: its line, its cells, and each reason with the field it is about."""

    record: Record
    #: (what the field is called and its column, or an empty text for the whole record; the reason)
    reasons: tuple[tuple[str, str], ...]


@dataclass(kw_only=True)
class Tally:
    """What has become of the records so far; their sum is `rows`."""

    rows: int = 0
    imported: int = 0
    known: int = 0
    rejected: int = 0


@dataclass(frozen=True, kw_only=True)
class Lookups:
    """Ids of regions and categories by everything that a file may call them; nothing where two share the name."""

    regions: Mapping[str, int | None]
    categories: Mapping[str, int | None]
    #: Names of service items by code and name, plain.
    items: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How the records of one table become tickets."""

    #: field -> column.
    columns: Mapping[str, str]
    #: Under which name the source is known; the same record of the same source comes in once.
    source: str
    #: Where a record says nothing of its channel.
    channel: Channel = Channel.IMPORT
    lookups: Lookups = field(default_factory=lambda: Lookups(regions={}, categories={}))


def guess_columns(columns: Sequence[str]) -> dict[str, str]:
    """Return field -> column for the headings that we know; no column is taken twice."""
    bare = {_bare(column): column for column in reversed(columns)}
    found: dict[str, str] = {}
    for name, (_, headings) in FIELDS.items():
        for heading in headings:
            column = bare.get(_bare(heading))
            if column is not None and column not in found.values():
                found[name] = column
                break
    return found


def parse_map(text: str, columns: Sequence[str]) -> dict[str, str]:
    """Read `title=标题,content=内容`; raises `Invalid` for a field or column that is not there."""
    found: dict[str, str] = {}
    for pair in re.split(r"[,，;；]", text):
        name, equals, column = (part.strip() for part in pair.partition("="))
        if not equals or not name or not column:
            raise Invalid({"map": f"“{pair.strip()}”应写作 字段=列名，例如 title=标题,content=内容。"})
        if name not in FIELDS:
            raise Invalid({"map": f"没有名为“{name}”的字段，可用：{_fields()}。"})
        if column not in columns:
            raise Invalid({"map": f"文件中没有名为“{column}”的列，现有：{'、'.join(columns)}。"})
        if name in found:
            raise Invalid({"map": f"字段“{name}”对应了两列。"})
        found[name] = column
    return found


def require_content(columns: Mapping[str, str], present: Sequence[str]) -> None:
    """Raise `Invalid` unless some column holds what the citizen wrote."""
    if "content" not in columns:
        raise Invalid(
            {
                "map": "认不出哪一列是诉求内容，请用 --map 指定，例如 --map content=列名。"
                f"文件中的列：{'、'.join(present)}；可用的字段：{_fields()}。"
            }
        )


def lookups(session: Session) -> Lookups:
    """Read the names of regions and categories once for a whole import."""
    regions = [(row.id, row.code, row.name, row.path) for row in queries.regions(session)]
    categories = [(row.id, row.code, row.name, row.path) for row in queries.categories(session)]
    items = {_bare(said): row.name for row in queries.service_items(session) for said in (row.code, row.name)}
    return Lookups(regions=_by_any_name(regions), categories=_by_any_name(categories), items=items)


def checked(record: Record, plan: Plan, *, now: datetime) -> NewTicket:
    """Return the record as a checked concern, or raise `Invalid` with every problem by field; pure."""
    if record.problem:
        raise Invalid({"": record.problem + "。"})
    cells = {name: record.cells.get(column) for name, column in plan.columns.items()}
    texts = {name: _text(cells.get(name)) for name in FIELDS}
    problems = {name: f"{cell.reason}。" for name, cell in cells.items() if isinstance(cell, BadCell)}
    key = clean_line(texts["key"])
    if len(key) > MOST_KEY:
        problems["key"] = f"编号最多 {MOST_KEY} 个字符，现有 {len(key)} 个。"
    happened_at: datetime | None = None
    try:
        happened_at = moment(cells.get("happened_at"))
    except ValueError as error:
        problems["happened_at"] = str(error)
    concern = rules.Concern(
        content=texts["content"],
        title=texts["title"],
        name=texts["name"],
        phone=texts["phone"],
        address=texts["address"],
        id_number=texts["id_number"],
        place=texts["place"],
        company=texts["company"],
        happened_at=happened_at,
        request_type=_REQUEST_TYPES.get(texts["request_type"], texts["request_type"]),
        urgency=texts["urgency"],
        channel=_CHANNELS.get(texts["channel"].lower(), texts["channel"] or plan.channel),
        region_id=_found(plan.lookups.regions, "region", texts, problems),
        category_id=_found(plan.lookups.categories, "category", texts, problems),
        service_item=_item(plan.lookups.items, texts["service_item"], problems),
        anonymous=_flag("anonymous", texts, problems, usual=False),
        confidential=_flag("confidential", texts, problems, usual=False),
        wants_callback=_flag("wants_callback", texts, problems, usual=True),
        source_system=plan.source,
        source_key=key or _fingerprint(record),
        phone_needed=False,
    )
    try:
        new = rules.checked(concern, now=now)
    except Invalid as error:
        # What is wrong with the cell itself says more than that it is empty now.
        problems = {name: " ".join(sentences) for name, sentences in error.fields.items()} | problems
    if problems:
        raise Invalid(problems)
    return new


def _found(
    known: Mapping[str, int | None], name: str, texts: Mapping[str, str], problems: dict[str, str]
) -> int | None:
    said = texts[name]
    if not said:
        return None
    found = known.get(_bare(said))
    if found is None:
        twice = _bare(said) in known
        problems[name] = (
            f"有多处名为“{said[:40]}”，请写代码。" if twice else f"没有名为“{said[:40]}”的{FIELDS[name][0]}。"
        )
    return found


def _item(known: Mapping[str, str], said: str, problems: dict[str, str]) -> str:
    """Return the name of the item that a cell means."""
    found = known.get(_bare(said), "") if said else ""
    if said and not found:
        problems["service_item"] = f"没有名为“{said[:40]}”的服务事项。"
    return found


def _flag(name: str, texts: Mapping[str, str], problems: dict[str, str], *, usual: bool) -> bool:
    said = texts[name].lower()
    if said and said not in _YES | _NO:
        problems[name] = f"“{said[:20]}”应为 是 或 否。"
    return said in _YES if said else usual


def bring_in(
    begin: Begin,
    table: Table,
    plan: Plan,
    *,
    by: Actor,
    now: NowFunction,
    limit: int | None = None,
    dry_run: bool = False,
    on_rejected: Callable[[Rejected], None] = lambda _rejected: None,
    on_batch: Callable[[Tally], None] = lambda _tally: None,
) -> Iterator[Tally]:
    """Yield the tally after every batch; each batch is one transaction of `begin`, whole or not at all.

    With `dry_run` everything is checked and nothing is written. What stops this between two batches (Ctrl-C, a lost
    database) leaves the batches before it, and the next run goes on from there.
    """
    tally = Tally()
    for batch in _batches(itertools.islice(table.records(), limit), BATCH):
        good: list[tuple[Record, NewTicket]] = []
        bad: list[Rejected] = []
        for record in batch:
            try:
                good.append((record, checked(record, plan, now=now())))
            except Invalid as error:
                bad.append(_rejected(record, plan, error))
        keys = {new.source_key or "" for _, new in good}
        with begin() as session:
            known = queries.known_source_keys(session, plan.source, keys)
            fresh = [(record, new) for record, new in good if new.source_key not in known]
            if dry_run:
                imported = len({new.source_key for _, new in fresh})
            else:
                imported, refused = _write(session, fresh, plan, by=by, now=now())
                bad += refused
        # Only now: what is told has been committed.
        tally = replace(
            tally,
            rows=tally.rows + len(batch),
            imported=tally.imported + imported,
            rejected=tally.rejected + len(bad),
            known=tally.known + len(batch) - imported - len(bad),
        )
        for each in sorted(bad, key=lambda one: one.record.line):
            on_rejected(each)
        on_batch(tally)
        yield tally


def moment(cell: Cell) -> datetime | None:
    """Return the instant that a cell of any usual form names, without a zone where it says none.

    Forms: a date cell; `2026-11-22 09:30:00` with `-`, `/`, `.` or 年月日 and an optional time; `20261122` and
    `20261122093000`; ISO 8601; a spreadsheet's day number; seconds or milliseconds since 1970. Raises `ValueError`
    with a sentence.
    """
    if cell is None or cell == "" or isinstance(cell, BadCell):
        return None
    if isinstance(cell, datetime):
        return cell
    text = unicodedata.normalize("NFKC", _text(cell)).strip()
    if not text:
        return None
    try:
        if re.fullmatch(r"\d+(\.\d+)?", text):
            return _from_number(text)
        found = _WRITTEN.fullmatch(text)
        return _from_parts(found) if found else datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError) as error:
        raise ValueError(f"时间“{text[:30]}”无法识别，例如 2026-11-22 09:30。") from error


_WRITTEN: Final = re.compile(
    r"(\d{4})\s*[-/.年]\s*(\d{1,2})\s*[-/.月]\s*(\d{1,2})\s*日?"
    r"(?:\s*T?\s*(?:星期[一二三四五六日天]\s*)?(上午|下午|凌晨|早上|中午|晚上)?\s*"
    r"(\d{1,2})\s*[:时点]\s*(?:(\d{1,2})\s*分?)?(?:\s*:?\s*(\d{1,2})(?:\.\d+)?\s*秒?)?)?"
)
_AFTERNOON: Final = frozenset({"下午", "晚上"})
_BEFORE_NOON: Final = frozenset({"凌晨", "上午"})
_NOON: Final = 12
_MORNING: Final = 6
#: A spreadsheet counts days from here (its 1900 had a day too many).
_DAY_ZERO: Final = datetime(1899, 12, 30)  # noqa: DTZ001 - a wall clock's time, its zone is added by intake.rules
_DAYS: Final = range(20_000, 80_000)
_SECONDS: Final = range(10**9 // 2, 10**10)


def _from_number(text: str) -> datetime:
    number = float(text)
    if text.isdigit() and len(text) in {8, 14}:
        return datetime.strptime(text.ljust(14, "0"), "%Y%m%d%H%M%S")  # noqa: DTZ007 - the zone is added by intake.rules
    if int(number) in _DAYS:
        return _DAY_ZERO + timedelta(seconds=round(number * 86_400))
    for unit in (1, 1_000):
        if int(number / unit) in _SECONDS:
            return datetime.fromtimestamp(number / unit, UTC)
    raise ValueError(text)


def _from_parts(found: re.Match[str]) -> datetime:
    year, month, day, half, hour, minute, second = found.groups()
    hours, days = int(hour or 0), 0
    if (half in _AFTERNOON and hours < _NOON) or (half == "中午" and hours < _MORNING):  # 中午1点 is after noon
        hours += _NOON
    elif half in _BEFORE_NOON and hours == _NOON:
        hours = 0
    elif half == "晚上" and hours == _NOON:  # 晚上12点 is where the next day begins
        hours, days = 0, 1
    begun = datetime(int(year), int(month), int(day), hours, int(minute or 0), int(second or 0), tzinfo=SHANGHAI)
    return begun + timedelta(days=days)


def _write(
    session: Session, fresh: Sequence[tuple[Record, NewTicket]], plan: Plan, *, by: Actor, now: datetime
) -> tuple[int, list[Rejected]]:
    """Write a batch; what the database refuses is found one by one and told, the others go in."""
    try:
        with session.begin_nested():
            return len(tickets.open_tickets(session, [new for _, new in fresh], by=by, now=now)), []
    except (DataError, IntegrityError):
        session.expunge_all()
    imported, refused = 0, []
    for record, new in fresh:
        try:
            with session.begin_nested():
                imported += len(tickets.open_tickets(session, [new], by=by, now=now))
        except (DataError, IntegrityError) as error:
            session.expunge_all()
            reason = f"数据库拒绝了这一行（{type(error.orig).__name__}）。"
            refused.append(_rejected(record, plan, Invalid({"": reason})))
    return imported, refused


def _rejected(record: Record, plan: Plan, error: Invalid) -> Rejected:
    reasons = []
    for name, sentences in error.fields.items():
        where = FIELDS[_OURS.get(name, name)][0] if _OURS.get(name, name) in FIELDS else ""
        column = plan.columns.get(_OURS.get(name, name), "")
        reasons.append((f"{where}（列“{column}”）" if column else where, " ".join(sentences)))
    return Rejected(record=record, reasons=tuple(reasons))


#: What the rules of intake call a field that a file calls by its name.
_OURS: Final = {"region_id": "region", "category_id": "category", "source_key": "key"}


def _batches(records: Iterable[Record], size: int) -> Iterator[list[Record]]:
    iterator = iter(records)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


def _text(cell: Cell) -> str:
    if cell is None or isinstance(cell, BadCell):
        return ""
    if isinstance(cell, bool):
        return "是" if cell else "否"
    if isinstance(cell, float):
        # A telephone number in a numeric cell is 13900001234.0.
        return str(int(cell)) if cell.is_integer() else str(cell)
    if isinstance(cell, datetime):
        return cell.isoformat(sep=" ")
    return str(cell).strip()


def _fingerprint(record: Record) -> str:
    cells = {name: _text(cell) for name, cell in record.cells.items()}
    return hashlib.sha256(json.dumps(cells, ensure_ascii=False, sort_keys=True).encode()).hexdigest()[:32]


def _bare(heading: str) -> str:
    folded = unicodedata.normalize("NFKC", heading).lower()
    folded = re.sub(r"\([^)]*\)", "", folded)
    return re.sub(r"[\s_\-/:*＊.、]+", "", folded)


def _by_any_name(rows: Iterable[tuple[int, str, str, str]]) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for row_id, code, name, path in rows:
        for known in {_bare(code), _bare(name), _bare(path)}:
            found[known] = row_id if found.get(known, row_id) == row_id else None
    return found


def _fields() -> str:
    return "、".join(f"{name}（{label}）" for name, (label, _) in FIELDS.items())
