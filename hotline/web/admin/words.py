"""The city's words on screen: one at a time or pasted, tried on past tickets, published, taken back, handed out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from flask import Blueprint, Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from hotline.core.errors import Invalid
from hotline.core.paging import Stretch
from hotline.core.permissions import Permission
from hotline.tickets.queries import regions
from hotline.web import forms, labels, present
from hotline.web.admin.exports import took
from hotline.web.gate import actor, db, now, page, tools
from hotline.web.turning import Turn, turn
from reports.models import Taken
from routing.learning import words
from routing.learning.word_models import EditionState, WordKind
from routing.learning.words import EditionRow

bp = Blueprint("words", __name__, url_prefix="/words")

_PAGE: Final = 50
_MOST_UPLOAD: Final = 2_000_000
#: What the value of a word is called, by kind; nothing where a word has none.
VALUES: Final[Mapping[WordKind, str]] = {
    WordKind.PLACE: "所在区域",
    WordKind.SYNONYM: "规范说法",
    WordKind.RISK: "风险",
    WordKind.URGENCY: "紧急程度",
}
HELP: Final[Mapping[WordKind, str]] = {
    WordKind.DICTIONARY: "小区、道路、机构等专有名称，分词时作为一个词",
    WordKind.PLACE: "市民口中的地名及其所在区域；用于判断属地和提示事发地点",
    WordKind.SYNONYM: "错字、谐音、方言说法，读入时替换为规范说法",
    WordKind.STOP: "没有实义、读入时略去的词",
    WordKind.RISK: "出现即标记风险、须人工研判的词；否定和假设语气仍按随附规则处理",
    WordKind.URGENCY: "出现即提高紧急程度的词",
}


@dataclass(frozen=True, kw_only=True)
class WordRow:
    """One word."""

    id: int
    word: str
    value: str
    href: None = None
    tone: None = None


@dataclass(frozen=True, kw_only=True)
class Edition:
    """One edition."""

    id: int
    state: labels.Label
    made: str
    published: str
    words: str
    export: str
    tone: None = None


@dataclass(frozen=True, kw_only=True)
class Change:
    """A past ticket about which the model would say something else."""

    number: str
    href: str
    before: str
    after: str
    tone: None = None


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What the draft would change on past tickets."""

    at: str
    stale: bool
    words: str
    changes: Sequence[Change]


@dataclass(frozen=True, kw_only=True)
class WordsPage:
    """What stands on the page."""

    kind: str
    kind_words: str
    help: str
    value_words: str
    tabs: Sequence[tuple[str, str, bool, None]]
    rows: Sequence[WordRow]
    turn: Turn
    shown_edition: str
    draft: bool
    may_publish: bool
    in_force: int | None
    trial: Trial | None
    editions: Sequence[Edition]
    choices: Sequence[tuple[str, str]]
    values: Mapping[str, str]
    errors: Mapping[str, list[str]] = field(default_factory=dict)


@bp.get("")
@page(Permission.SETTINGS_EDIT)
def show() -> ResponseReturnValue:
    """Show the words of a kind: of the draft when there is one, else those in force."""
    return render_template("words/show.html", page=_page(_kind(forms.asked("kind")), {}, {}))


@bp.post("/<kind>")
@page(Permission.SETTINGS_EDIT)
def add(kind: str) -> ResponseReturnValue:
    """Add one word to the draft."""
    chosen = _kind(kind)
    typed = {"word": forms.text("word"), "value": forms.text("value")}
    try:
        with db().begin() as session:
            words.add(session, kind=chosen, lines=[(typed["word"], typed["value"])], by=actor(), now=now())
    except Invalid as error:
        return render_template("words/show.html", page=_page(chosen, typed, error.fields)), 422
    forms.told("success", f"已在草稿中添加“{typed['word'].strip()}”，试算并发布后生效。")
    return redirect(url_for("words.show", kind=chosen.value), 303)


@bp.post("/<kind>/lines")
@page(Permission.SETTINGS_EDIT)
def add_lines(kind: str) -> ResponseReturnValue:
    """Add pasted lines or a CSV file to the draft, all or none."""
    chosen = _kind(kind)
    raw = forms.text("lines")
    file = request.files.get("file")
    try:
        if file is not None and file.filename:
            content = file.read(_MOST_UPLOAD + 1)
            if len(content) > _MOST_UPLOAD:
                raise Invalid({"lines": "文件过大，最多 2 MB。"})  # noqa: TRY301 - one answer to the form
            raw = _decoded(content)
        with db().begin() as session:
            count = words.add(session, kind=chosen, lines=words.parsed(raw, chosen), by=actor(), now=now(), many=True)
    except Invalid as error:
        return render_template("words/show.html", page=_page(chosen, {"lines": raw[:200_000]}, error.fields)), 422
    forms.told("success", f"已在草稿中添加 {count} 个词。")
    return redirect(url_for("words.show", kind=chosen.value), 303)


@bp.post("/<kind>/<int:word_id>/remove")
@page(Permission.SETTINGS_EDIT)
def remove(kind: str, word_id: int) -> ResponseReturnValue:
    """Take a word out of the draft."""
    chosen = _kind(kind)
    with db().begin() as session:
        words.remove(session, word_id=word_id, by=actor(), now=now())
    forms.told("success", "已从草稿中删除。")
    return redirect(url_for("words.show", kind=chosen.value), 303)


@bp.post("/draft/try")
@page(Permission.SETTINGS_EDIT)
def try_out() -> ResponseReturnValue:
    """Try the draft on past tickets."""
    with db().begin() as session:
        words.try_out(session, tools().suggester, by=actor(), now=now())
    return redirect(url_for("words.show") + "#trial", 303)


@bp.post("/draft/publish")
@page(Permission.SETTINGS_EDIT)
def publish() -> ResponseReturnValue:
    """Put the draft in force."""
    with db().begin() as session:
        edition = words.publish(session, by=actor(), now=now()).id
    forms.told("success", f"词表第 {edition} 版已发布，几秒内在所有进程生效。")
    return redirect(url_for("words.show"), 303)


@bp.post("/draft/discard")
@page(Permission.SETTINGS_EDIT)
def discard() -> ResponseReturnValue:
    """Throw the draft away."""
    with db().begin() as session:
        words.discard(session, by=actor())
    forms.told("success", "草稿已放弃。")
    return redirect(url_for("words.show"), 303)


@bp.post("/rollback")
@page(Permission.SETTINGS_EDIT)
def roll_back() -> ResponseReturnValue:
    """Put the edition before back in force."""
    with db().begin() as session:
        words.roll_back(session, seen=forms.required("seen"), by=actor(), now=now())
    forms.told("success", "词表已回退，几秒内在所有进程生效。")
    return redirect(url_for("words.show"), 303)


@bp.get("/editions/<int:edition_id>.csv")
@page(Permission.SETTINGS_EDIT)
def export(edition_id: int) -> ResponseReturnValue:
    """Hand an edition out as CSV."""
    with db().read() as session:
        body = words.export(session, edition_id=edition_id)
    took(Taken.WORDS_CSV, rows=max(0, len(body.splitlines()) - 1), scope=f"版本 {edition_id}")
    return Response(
        body,
        mimetype="text/csv",
        headers={"Content-Disposition": f'attachment; filename="words-{edition_id}.csv"'},
    )


def _page(kind: WordKind, typed: Mapping[str, str], errors: Mapping[str, list[str]]) -> WordsPage:
    cursor = forms.asked("cursor")
    with db().read() as session:
        draft = words.standing(session, EditionState.DRAFT)
        in_force = words.standing(session, EditionState.PUBLISHED)
        shown = draft or in_force
        found = (
            words.entry_page(session, edition_id=shown.id, kind=kind, cursor=cursor, limit=_PAGE)
            if shown
            else Stretch()
        )
        editions = words.editions(session)
        places = regions(session) if kind is WordKind.PLACE else ()
    names = {node.code: node.path for node in places} | dict(words.RISKS)
    row = next((one for one in editions if draft and one.id == draft.id), None)
    return WordsPage(
        kind=kind.value,
        kind_words=labels.words(kind),
        help=HELP[kind],
        value_words=VALUES.get(kind, ""),
        tabs=[(labels.words(one), url_for("words.show", kind=one.value), one is kind, None) for one in WordKind],
        rows=[WordRow(id=one.id, word=one.word, value=names.get(one.value, one.value)) for one in found.rows],
        turn=turn(found, cursor=cursor, endpoint="words.show", kind=kind.value),
        shown_edition=f"第 {shown.id} 版（{'草稿' if draft else '生效'}）" if shown else "只有随附词表",
        draft=draft is not None,
        may_publish=row is not None and row.tried_at is not None and row.tried_at >= row.changed_at,
        in_force=in_force.id if in_force else None,
        trial=_trial(row) if row is not None and row.tried_at is not None else None,
        editions=[_edition(one) for one in editions],
        choices=_choices(kind, [(node.code, node.path) for node in places]),
        values={"word": "", "value": "", "lines": "", **typed},
        errors=errors,
    )


def _choices(kind: WordKind, places: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
    if kind is WordKind.RISK:
        return list(words.RISKS.items())
    if kind is WordKind.URGENCY:
        return [(level, level) for level in words.LEVELS]
    return places


def _trial(row: EditionRow) -> Trial:
    counts: Mapping[str, Any] = row.trial.get("counts", {})
    told = "、".join(
        f"{name}变化 {counts.get(key, 0)} 件"
        for key, name in (("category", "类别"), ("risks", "风险"), ("urgency", "紧急程度"), ("places", "地点"))
    )
    return Trial(
        at=present.moment(row.tried_at),
        stale=row.tried_at is not None and row.tried_at < row.changed_at,
        words=f"在最近 {row.trial.get('tickets', 0)} 件工单上：{told}。",
        changes=[
            Change(
                number=one["number"],
                href=url_for("tickets.show", number=one["number"]),
                before="；".join(value or "（无）" for value in one["before"].values()),
                after="；".join(value or "（无）" for value in one["after"].values()),
            )
            for one in row.trial.get("changes", ())
        ],
    )


def _edition(row: EditionRow) -> Edition:
    return Edition(
        id=row.id,
        state=labels.label(row.state),
        made=present.moment(row.made_at),
        published=present.moment(row.published_at),
        words=f"{row.words:,}",
        export=url_for("words.export", edition_id=row.id),
    )


def _kind(raw: str) -> WordKind:
    return next((one for one in WordKind if one.value == raw), WordKind.DICTIONARY)


def _decoded(content: bytes) -> str:
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise Invalid({"lines": "文件无法识别，请保存为 UTF-8 或 GB18030 编码的 CSV。"})
