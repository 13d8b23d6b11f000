"""The city's own words: written in a draft, tried on past tickets, published, taken back (docs/learning.md)."""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, func, insert, literal, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import Session

from hotline.core.db import keyring_of
from hotline.core.errors import Conflict, Invalid, NotFound
from hotline.core.paging import Stretch, by_key
from hotline.core.permissions import Actor, Permission, require
from hotline.core.spreadsheets import plain_cell, safe_cell
from hotline.tickets.models import Category, Region, Ticket
from hotline.tickets.vocabulary import Urgency
from routing.catalogue import territory
from routing.catalogue.models import Place, PlaceRegion
from routing.learning import training
from routing.learning.example_models import CategoryExample
from routing.learning.label_models import LabelTask, TrainingLabel
from routing.learning.models import LearningAct
from routing.learning.queries import written_examples
from routing.learning.word_models import CityWord, EditionState, WordEdition, WordKind

if TYPE_CHECKING:
    from classifier.newcomers import Newcomer
    from classifier.seeds import Leaf, Seeds
    from classifier.signals import Signals
    from classifier.suggest import Suggester, Suggestions
    from classifier.text import CityWords

#: Fewest and most characters of a word of each kind; a single character of a risk would ring all day.
LENGTHS: Final[Mapping[WordKind, tuple[int, int]]] = {
    WordKind.DICTIONARY: (2, 20),
    WordKind.PLACE: (2, 30),
    WordKind.SYNONYM: (2, 20),
    WordKind.STOP: (2, 20),
    WordKind.RISK: (2, 20),
    WordKind.URGENCY: (2, 20),
}
#: Urgencies that a word can raise to.
LEVELS: Final = (Urgency.URGENT.value, Urgency.VERY_URGENT.value)
#: Words by which risks are named on screen.
RISKS: Final[Mapping[str, str]] = {
    "danger_to_life": "生命危险",
    "group_event": "群体事件",
    "self_harm": "自伤轻生",
    "dangerous_goods": "危险物品",
    "official_discipline": "公职人员违纪",
    "minors": "涉未成年人",
}
MOST_LINES: Final = 5_000
MOST_WORDS: Final = 50_000
TRIED_ON: Final = 200
_SHOWN_PROBLEMS: Final = 10
_SHOWN_CHANGES: Final = 40
_SPECIAL: Final = re.compile(r"[.*+?\[\](){}^$\\|<>\"'=,;，；\x00-\x1f\x7f]")
_PLACE_KIND: Final = "city_words"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One word as it is shown and handed out."""

    id: int
    kind: WordKind
    word: str
    value: str


@dataclass(frozen=True, kw_only=True)
class EditionRow:
    """One edition as it is shown."""

    id: int
    state: EditionState
    made_at: datetime
    changed_at: datetime
    tried_at: datetime | None
    trial: Mapping[str, Any]
    published_at: datetime | None
    words: int


def editions(session: Session, *, limit: int = 12) -> Sequence[EditionRow]:
    """Return the latest editions, newest first."""
    rows = session.execute(
        select(WordEdition, func.count(CityWord.id))
        .outerjoin(CityWord, CityWord.edition_id == WordEdition.id)
        .group_by(WordEdition.id)
        .order_by(WordEdition.id.desc())
        .limit(limit)
    )
    return [
        EditionRow(
            id=row.id,
            state=row.state,
            made_at=row.made_at,
            changed_at=row.changed_at,
            tried_at=row.tried_at,
            trial=row.trial,
            published_at=row.published_at,
            words=count,
        )
        for row, count in rows
    ]


def standing(session: Session, state: EditionState) -> WordEdition | None:
    """Return the draft or the edition in force, if there is one."""
    return session.scalars(select(WordEdition).where(WordEdition.state == state)).first()


def entries(session: Session, *, edition_id: int, kind: WordKind | None = None) -> Sequence[Entry]:
    """Return every word of an edition (at most `MOST_WORDS`), or those of a kind, in order."""
    query = select(CityWord).where(CityWord.edition_id == edition_id).order_by(CityWord.kind, CityWord.word)
    if kind is not None:
        query = query.where(CityWord.kind == kind.value)
    return [_entry(row) for row in session.scalars(query)]


def entry_page(
    session: Session, *, edition_id: int, kind: WordKind, cursor: str = "", limit: int = 50
) -> Stretch[Entry]:
    """Return one page of an edition's words of a kind, in order; `Invalid` on a cursor not ours."""
    return by_key(
        session,
        select(CityWord).where(CityWord.edition_id == edition_id, CityWord.kind == kind.value),
        column=CityWord.word,
        cursor=cursor,
        limit=limit,
        made=_entry,
        key=lambda entry: entry.word,
    )


def _entry(row: CityWord) -> Entry:
    return Entry(id=row.id, kind=row.kind, word=row.word, value=row.value)


def add(
    session: Session, *, kind: WordKind, lines: Sequence[tuple[str, str]], by: Actor, now: datetime, many: bool = False
) -> int:
    """Add words to the draft, all or none; begins a draft from the edition in force when there is none.

    Raises `Invalid` by field: `word` and `value` for a single word, `lines` for many.
    """
    require(by, Permission.SETTINGS_EDIT)
    draft = _draft(session, by=by, now=now)
    known = list(entries(session, edition_id=draft.id))
    regions = set(session.scalars(select(Region.code))) if kind is WordKind.PLACE else set()
    fresh: list[tuple[str, str]] = []
    problems: list[str] = []
    if not lines:
        problems.append("没有可添加的词。")
    if len(lines) > MOST_LINES or len(known) + len(lines) > MOST_WORDS:
        raise Invalid({"lines": f"一次最多 {MOST_LINES} 行，全部词表最多 {MOST_WORDS} 个词。"})
    book = _Book(known)
    for number, (raw_word, raw_value) in enumerate(lines, 1):
        word, value = raw_word.strip(), _value(kind, raw_value.strip())
        wrong = problem(kind, word, value, book=book, regions=regions)
        if wrong and not many:
            raise Invalid({wrong[0]: wrong[1]})
        if wrong:
            problems.append(f"第 {number} 行“{word[:20]}”：{wrong[1]}")
            continue
        book.take(kind, word, value)
        fresh.append((word, value))
    if problems:
        more = f"（另有 {len(problems) - _SHOWN_PROBLEMS} 处）" if len(problems) > _SHOWN_PROBLEMS else ""
        raise Invalid({"lines": [*problems[:_SHOWN_PROBLEMS], *([more] if more else [])]})
    session.execute(
        insert(CityWord),
        [{"edition_id": draft.id, "kind": kind.value, "word": word, "value": value} for word, value in fresh],
    )
    draft.changed_at = now
    return len(fresh)


def remove(session: Session, *, word_id: int, by: Actor, now: datetime) -> None:
    """Take a word out: of the draft, which is begun when there is none."""
    require(by, Permission.SETTINGS_EDIT)
    row = session.get(CityWord, word_id)
    if row is None:
        raise NotFound
    draft = _draft(session, by=by, now=now)
    session.execute(
        delete(CityWord).where(
            CityWord.edition_id == draft.id, CityWord.kind == row.kind.value, CityWord.word == row.word
        )
    )
    draft.changed_at = now


def discard(session: Session, *, by: Actor) -> None:
    """Throw the draft away; what is in force stays."""
    require(by, Permission.SETTINGS_EDIT)
    draft = _locked(session, EditionState.DRAFT)
    session.delete(draft)


def try_out(session: Session, suggester: Suggester, *, by: Actor, now: datetime) -> Mapping[str, Any]:
    """Ask the model about past tickets with the words in force and with the draft; keep what would be different.

    Other threads of the process go on with the words in force. Kept are counts, ticket numbers and labels, no text.
    """
    from classifier import text

    require(by, Permission.SETTINGS_EDIT)
    draft = _locked(session, EditionState.DRAFT)
    before, after = city(session, EditionState.PUBLISHED), city(session, EditionState.DRAFT)
    tickets = session.scalars(select(Ticket).order_by(Ticket.id.desc()).limit(TRIED_ON)).all()
    texts = [told(session, ticket) for ticket in tickets]
    said: list[list[Suggestions]] = []
    for words in (before, after):
        with text.trying(words.text):
            other = suggester.with_signals(words.signals())
            said.append([other.suggest(title, body, at=at) for title, body, at in texts])
    changes = []
    counts = dict.fromkeys(("category", "risks", "urgency", "places"), 0)
    for ticket, old, new in zip(tickets, *said, strict=True):
        was, will = _summary(old), _summary(new)
        different = [name for name in counts if was[name] != will[name]]
        for name in different:
            counts[name] += 1
        if different:
            changes.append(
                {
                    "number": ticket.number,
                    "what": different,
                    "before": {name: was[name] for name in different},
                    "after": {name: will[name] for name in different},
                }
            )
    draft.tried_at = now
    draft.trial = {"tickets": len(tickets), "counts": counts, "changes": changes[:_SHOWN_CHANGES]}
    return draft.trial


def publish(session: Session, *, by: Actor, now: datetime) -> WordEdition:
    """Put the draft in force; it must have been tried as it stands. All processes follow within seconds."""
    require(by, Permission.SETTINGS_EDIT)
    draft = _locked(session, EditionState.DRAFT)
    if draft.tried_at is None or draft.tried_at < draft.changed_at:
        raise Conflict("草稿在最近一次试算之后又有改动，请先试算再发布。")
    old = standing(session, EditionState.PUBLISHED)
    if old is not None:
        old.state = EditionState.RETIRED
        session.flush()  # one edition in force at a time
    draft.state, draft.published_at, draft.published_by = EditionState.PUBLISHED, now, by.user_id
    session.flush()
    _place(session, draft.id)
    training.note(session, LearningAct.WORDS, words=f"发布词表第 {draft.id} 版", by=by, now=now)
    return draft


def roll_back(session: Session, *, seen: int, by: Actor, now: datetime) -> WordEdition | None:
    """Put the edition before back in force; None when there is none and the shipped words alone hold again."""
    require(by, Permission.SETTINGS_EDIT)
    row = _locked(session, EditionState.PUBLISHED)
    if row.id != seen:
        raise Conflict("词表刚刚发布了新版，请刷新后再决定。")
    row.state = EditionState.RETIRED
    session.flush()  # as above
    before = session.get(WordEdition, row.based_on) if row.based_on else None
    if before is not None:
        before.state = EditionState.PUBLISHED
        session.flush()
    _place(session, before.id if before else None)
    words = f"词表由第 {row.id} 版回退到{f'第 {before.id} 版' if before else '随附词表'}"
    training.note(session, LearningAct.WORDS, words=words, by=by, now=now)
    return before


def export(session: Session, *, edition_id: int) -> str:
    """Return an edition as CSV (kind, word, value), which can be pasted or imported again."""
    if session.get(WordEdition, edition_id) is None:
        raise NotFound
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["kind", "word", "value"])
    for one in entries(session, edition_id=edition_id):
        writer.writerow([one.kind.value, safe_cell(one.word), safe_cell(one.value)])
    return "\ufeff" + out.getvalue()


def parsed(raw: str, kind: WordKind) -> list[tuple[str, str]]:
    """Return the words of a pasted list or of our own CSV, `word` or `word,value` a line; other kinds are left out."""
    found = []
    for row in csv.reader(io.StringIO(raw.lstrip("\ufeff").replace("，", ",").replace("\t", ","))):
        cells = [plain_cell(cell.strip()) for cell in row]
        if not any(cells) or cells[:2] == ["kind", "word"]:
            continue
        if cells[0] in {one.value for one in WordKind} and len(cells) > 1:
            if cells[0] != kind.value:
                continue
            cells = cells[1:]
        found.append((cells[0], cells[1] if len(cells) > 1 else ""))
    return found


def problem(  # noqa: PLR0911 - one line per rule
    kind: WordKind, word: str, value: str, *, book: _Book, regions: set[str]
) -> tuple[str, str] | None:
    """Return what is wrong with a word, as the field and a sentence; nothing when it may be added."""
    fewest, most = LENGTHS[kind]
    if not word:
        return "word", "请填写词。"
    if not fewest <= len(word) <= most:
        return "word", f"词应为 {fewest} 到 {most} 个字，现有 {len(word)} 个。"
    if _SPECIAL.search(word) or _SPECIAL.search(value):
        return "word", "词只按字面匹配，不能含有 . * + ? [ ] ( ) 等符号、逗号或控制字符。"
    if any(character.isspace() for character in word) and kind is not WordKind.SYNONYM:
        return "word", "词中不能有空格。"
    if word.isdigit():
        return "word", "不能只是数字：数字在读入时都记作 0。"
    if wrong := _wrong_value(kind, word, value, regions=regions):
        return "value", wrong
    if clash := book.clash(kind, word, value):
        return "word", clash
    return None


class _Book:
    """The words that are there already, so that a new one cannot say the same or the contrary."""

    def __init__(self, known: Iterable[Entry]) -> None:
        self._by_kind: dict[WordKind, dict[str, str]] = {kind: {} for kind in WordKind}
        for one in known:
            self.take(one.kind, one.word, one.value)

    def take(self, kind: WordKind, word: str, value: str) -> None:
        self._by_kind[kind][word] = value

    def clash(self, kind: WordKind, word: str, value: str) -> str:  # noqa: PLR0911 - one line per rule
        known = self._by_kind
        if word in known[kind]:
            before = known[kind][word]
            return "词表中已有这个词。" if before == value else f"与已有的“{word} → {before}”冲突，请先删除它。"
        meaningful = [one for one in WordKind if one not in {WordKind.STOP, WordKind.SYNONYM}]
        if kind is WordKind.STOP and (
            any(word in known[one] for one in meaningful) or word in known[WordKind.SYNONYM].values()
        ):
            return "这个词在其他词表中有含义，不能同时作停用词。"
        if kind is not WordKind.STOP and word in known[WordKind.STOP]:
            return "这个词已是停用词，请先删除停用词。"
        if kind is WordKind.SYNONYM:
            if value in known[WordKind.STOP]:
                return f"“{value}”已是停用词，不能作为规范说法。"
            if value in known[WordKind.SYNONYM] or word in known[WordKind.SYNONYM].values():
                return "同义说法不能一个接一个：规范说法不能再有别的规范说法。"
            if any(word in known[one] for one in meaningful):
                return "这个词在其他词表中有含义，替换后将读不到它。"
        elif word in known[WordKind.SYNONYM]:
            return f"这个词会先被替换为“{known[WordKind.SYNONYM][word]}”，请改为添加后者。"
        return ""


#: Newest examples of a category that the model has not learnt, by which it is recognised until it has.
EXAMPLES_OF_NEWCOMER: Final = 50


@dataclass(frozen=True, kw_only=True)
class Tree:
    """The city's categories as plain values for the classifier."""

    leaves: tuple[Leaf, ...]
    newcomers: tuple[Newcomer, ...]

    def corpus(self) -> Seeds:
        """Return the tree as the suggester reads it."""
        from classifier.seeds import Seeds

        return Seeds(self.leaves, "city")


def tree(session: Session) -> Tree:
    """Return the leaves of the city's tree; those that do not ship with their definition and first examples."""
    from classifier import seeds
    from classifier.newcomers import Newcomer
    from classifier.seeds import Leaf

    shipped = seeds.load().by_code
    rows = session.scalars(select(Category).where(Category.valid_to.is_(None)).order_by(Category.code)).all()
    parents = {row.parent_id for row in rows}
    written = written_examples(session)
    leaves, new = dict(shipped), []
    for row in rows:
        if row.id in parents:
            continue
        known = shipped.get(row.code)
        leaves[row.code] = Leaf(
            code=row.code,
            path=tuple(row.path.split(" / ")),
            first=known.first if known else "",
            definition=row.definition,
            boundary=known.boundary if known else "",
            lead=row.lead,
            assist=tuple(str(one) for one in row.assist),
            urgency=row.urgency.value,
            sentences=(),
        )
        if known is None:
            new.append(row)
    decided = _decided(session, [row.code for row in new])
    newcomers: Sequence[Newcomer] = [
        Newcomer(code=row.code, name=row.name, definition=row.definition, examples=tuple(decided[row.code]))
        for row in new
        if row.definition
    ]
    for row in new:
        newcomers = with_examples(newcomers, row, written.get(row.code, ()))
    return Tree(leaves=tuple(leaves.values()), newcomers=tuple(newcomers))


def with_examples(newcomers: Sequence[Newcomer], row: Category, written: Sequence[str]) -> Sequence[Newcomer]:
    """Return the newcomers, sentences written for one of them put before what people decided, at most fifty in all."""
    from classifier.newcomers import Newcomer

    if not written:
        return newcomers
    mine = next((one for one in newcomers if one.code == row.code), None)
    before = mine.examples if mine else ()
    examples = (*(("", body) for body in written), *before)[:EXAMPLES_OF_NEWCOMER]
    told = Newcomer(code=row.code, name=row.name, definition=row.definition, examples=examples)
    return (*(one for one in newcomers if one.code != row.code), told)


def _decided(session: Session, codes: Sequence[str]) -> Mapping[str, Sequence[tuple[str, str]]]:
    """Return the newest tickets that people put under each of these categories, without personal data."""
    from classifier.personal import redact

    place = func.row_number().over(partition_by=TrainingLabel.label, order_by=TrainingLabel.id.desc()).label("place")
    newest = (
        select(TrainingLabel.ticket_id, TrainingLabel.label, place)
        .where(
            TrainingLabel.task == LabelTask.CATEGORY,
            TrainingLabel.label.in_(codes),
            TrainingLabel.superseded_at.is_(None),
        )
        .subquery()
    )
    rows = session.execute(
        select(newest.c.label, Ticket.title, Ticket.content)
        .join(Ticket, Ticket.id == newest.c.ticket_id)
        .where(newest.c.place <= EXAMPLES_OF_NEWCOMER)
        .order_by(newest.c.place)
    )
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for code, title, content in rows:
        found[code].append((redact(title), redact(content)))
    return found


@dataclass(frozen=True, kw_only=True)
class City:
    """A city's words as plain values for the classifier."""

    edition: int
    text: CityWords
    risks: tuple[str, ...]
    urgency: tuple[str, ...]
    places: tuple[tuple[str, str, tuple[str, ...]], ...]

    def signals(self) -> Signals:
        """Return the signals of the shipped lists with the city's words and places."""
        from classifier.gazetteer import Gazetteer
        from classifier.gazetteer import Place as Named
        from classifier.signals import Signals

        gazetteer = Gazetteer(
            tuple(Named(code=code, name=name, kind="place", aliases=aliases) for code, name, aliases in self.places)
        )
        return Signals.shipped(gazetteer=gazetteer, risks=self.risks, urgency=self.urgency)


def city(session: Session, state: EditionState = EditionState.PUBLISHED) -> City:
    """Return the words of an edition, and every place that the catalogue knows; empty words when there is none."""
    from classifier.text import CityWords

    edition = standing(session, state)
    by_kind: dict[WordKind, list[Entry]] = {kind: [] for kind in WordKind}
    for one in entries(session, edition_id=edition.id) if edition else ():
        by_kind[one.kind].append(one)
    known = session.execute(select(Place.id, Place.name, Place.aliases, Place.kind)).all()
    mine = {one.word for one in by_kind[WordKind.PLACE]}
    places = [
        (f"place-{row.id}", row.name, tuple(str(one) for one in row.aliases))
        for row in known
        if row.kind != _PLACE_KIND and row.name not in mine
    ]
    return City(
        edition=edition.id if edition else 0,
        text=CityWords(
            words=tuple(sorted({one.word for one in (*by_kind[WordKind.DICTIONARY], *by_kind[WordKind.PLACE])})),
            replacements=(
                *((one.word, one.value) for one in by_kind[WordKind.SYNONYM]),
                *((one.word, "") for one in by_kind[WordKind.STOP]),
            ),
        ),
        risks=tuple(f"{one.value}|{one.word}" for one in by_kind[WordKind.RISK]),
        urgency=tuple(f"{one.value}|{one.word}" for one in by_kind[WordKind.URGENCY]),
        places=(*places, *((f"word-{one.id}", one.word, ()) for one in by_kind[WordKind.PLACE])),
    )


def stamp(session: Session) -> tuple[int, int, int, str, int, int]:
    """Return what changes when words, places or categories in force change; every process asks every few seconds."""
    edition = select(func.coalesce(func.max(WordEdition.id), 0)).where(WordEdition.state == EditionState.PUBLISHED)
    row = session.execute(
        select(
            edition.scalar_subquery(),
            select(func.count(Place.id)).scalar_subquery(),
            select(func.coalesce(func.max(Place.id), 0)).scalar_subquery(),
            select(
                func.md5(
                    func.string_agg(
                        func.concat_ws(
                            "|", Category.code, Category.path, Category.lead, Category.definition, Category.valid_to
                        ),
                        aggregate_order_by(literal(","), Category.code),
                    )
                )
            ).scalar_subquery(),
            select(func.count(CategoryExample.id)).scalar_subquery(),
            select(func.coalesce(func.max(CategoryExample.id), 0)).scalar_subquery(),
        )
    ).one()
    return (row[0], row[1], row[2], row[3] or "", row[4], row[5])


def _draft(session: Session, *, by: Actor, now: datetime) -> WordEdition:
    """Return the draft, locked; a new one begins as a copy of the edition in force."""
    draft = session.scalars(
        select(WordEdition).where(WordEdition.state == EditionState.DRAFT).with_for_update()
    ).first()
    if draft is not None:
        return draft
    base = standing(session, EditionState.PUBLISHED)
    draft = WordEdition(
        state=EditionState.DRAFT,
        based_on=base.id if base else None,
        made_at=now,
        made_by=by.user_id,
        changed_at=now,
        trial={},
    )
    session.add(draft)
    session.flush()  # the words need its id
    if base is not None:
        copied = select(literal(draft.id), CityWord.kind, CityWord.word, CityWord.value).where(
            CityWord.edition_id == base.id
        )
        session.execute(insert(CityWord).from_select(["edition_id", "kind", "word", "value"], copied))
    return draft


def _locked(session: Session, state: EditionState) -> WordEdition:
    row = session.scalars(select(WordEdition).where(WordEdition.state == state).with_for_update()).first()
    if row is None:
        raise NotFound("没有草稿。" if state is EditionState.DRAFT else "还没有发布过词表。")
    return row


def _place(session: Session, edition_id: int | None) -> None:
    """Make the catalogue's places from words be those of the edition in force; others stay as they are."""
    session.execute(delete(Place).where(Place.kind == _PLACE_KIND))
    if edition_id is not None:
        regions = {row.code: row.id for row in session.execute(select(Region.code, Region.id))}
        for one in entries(session, edition_id=edition_id, kind=WordKind.PLACE):
            if one.value in regions:
                row = Place(name=one.word, kind=_PLACE_KIND, aliases=[])
                session.add(row)
                session.flush()  # the region points at it
                session.add(PlaceRegion(place_id=row.id, region_id=regions[one.value]))
    session.flush()
    territory.forget(session)


def _value(kind: WordKind, value: str) -> str:
    """Return what is stored: a risk may be given by its words, kinds without a value have none."""
    if kind in {WordKind.DICTIONARY, WordKind.STOP}:
        return ""
    if kind is WordKind.RISK:
        return next((code for code, words in RISKS.items() if words == value), value)
    return value


def _wrong_value(  # noqa: PLR0911 - one line per rule
    kind: WordKind, word: str, value: str, *, regions: set[str]
) -> str:
    if kind is WordKind.RISK and value not in RISKS:
        return f"请选择风险：{'、'.join(RISKS.values())}。"
    if kind is WordKind.URGENCY and value not in LEVELS:
        return f"请选择紧急程度：{'、'.join(LEVELS)}。"
    if kind is WordKind.PLACE and value not in regions:
        return "请填写已有区域的代码。"
    if kind is WordKind.SYNONYM:
        if not value:
            return "请填写规范说法。"
        if value == word:
            return "规范说法与词相同。"
        if len(value) > LENGTHS[kind][1]:
            return f"规范说法最多 {LENGTHS[kind][1]} 个字。"
    return ""


def told(session: Session, ticket: Ticket) -> tuple[str, str, datetime]:
    """Return title, content and moment of a ticket as they were told, to be asked about and not kept."""
    opened = keyring_of(session).open(ticket.personal_sealed)
    return opened.get("title", ticket.title), opened.get("content", ticket.content), ticket.registered_at


def _summary(said: Suggestions) -> dict[str, str]:
    best = said.category.best
    return {
        "category": best.name if best and not said.category.abstained else "",
        "risks": "、".join(sorted({RISKS.get(one.risk.value, one.risk.value) for one in said.risks})),
        "urgency": said.urgency.level,
        "places": "、".join(sorted({one.name for one in said.places})),
    }
