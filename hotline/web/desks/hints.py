"""What the model says, in words for people; the call desk and the dispatcher's desk show it the same way."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from hotline.tickets.queries import CategoryNode, Earlier
from hotline.tickets.states import State
from hotline.web import labels, present
from routing.models import DepartmentKind
from routing.queries import DepartmentNode
from routing.relations import duplicates, joining

#: Below this chance a candidate is noise and not shown; the first one always is.
LEAST_SHOWN: Final = 0.02
_SURE, _LIKELY, _EVEN = 0.9, 0.7, 0.5
_DISTRICT: Final = "district"


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A stretch of a text: plain, one that moved the model, or one that raised a risk flag."""

    words: str
    #: "" | "moved" | "risk"
    mark: str = ""


@dataclass(frozen=True, kw_only=True)
class DepartmentHint:
    """A department that the model proposes."""

    #: None when it is "the government of the place" and the place is not known yet.
    department_id: int | None
    name: str
    probability: float
    chance: str
    reason: str
    #: Code of the likeliest category that speaks for it; empty when none of the likely ones is its own.
    category: str = ""
    #: Every reason that speaks for it, a line each: the catalogue's row, the model, earlier tickets.
    because: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Risk:
    """A risk flag and the words that raised it."""

    name: str
    words: str


@dataclass(frozen=True, kw_only=True)
class Alike:
    """A ticket that is probably about the same matter."""

    ticket: Earlier
    probability: float
    chance: str


@dataclass(frozen=True, kw_only=True)
class AlikeRow:
    """The same as a line of a page."""

    number: str
    title: str
    state: str
    tone: str
    chance: str
    age: str
    same_place: bool
    #: Others can be answered with it; a unit has it in hand, so it is the one to join rather than another that waits.
    joins: bool
    in_hand: bool


def chance(probability: float) -> str:
    """Return a probability in words, with the figure: 较有把握（82%）."""
    words = (
        "很有把握"
        if probability >= _SURE
        else "较有把握"
        if probability >= _LIKELY
        else "有一定把握"
        if probability >= _EVEN
        else "把握不足"
    )
    return f"{words}（{percent(probability)}）"


def percent(probability: float) -> str:
    """Return a probability as whole percent; never 100 %, because nothing is that sure."""
    return f"{min(99, max(1, round(probability * 100)))}%"


def likely(candidates: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the candidates that are worth a line: the first, and those whose chance is not negligible."""
    return [one for at, one in enumerate(candidates) if at == 0 or float(one["p"]) >= LEAST_SHOWN]


def marked(text: str, told: Mapping[str, Any], *, field: str) -> list[Piece]:
    """Cut a text where the words stand that moved the model or raised a risk.

    `told` is what `routing.suggesting.told` keeps. Its offsets belong to the original text; where the text at hand
    is the redacted one they may have moved, so a word that is not at its place is looked for.
    """
    marks = [""] * len(text)
    for start, end in _moved(text, told, field=field):
        marks[start:end] = ["moved"] * (end - start)
    for start, end in _risky(text, told):
        marks[start:end] = ["risk"] * (end - start)
    pieces: list[Piece] = []
    begin = 0
    for at in range(1, len(text) + 1):
        if at == len(text) or marks[at] != marks[begin]:
            pieces.append(Piece(words=text[begin:at], mark=marks[begin]))
            begin = at
    return pieces


def risks(told: Mapping[str, Any]) -> list[Risk]:
    """Return the risk flags, each with its words once."""
    return [
        Risk(name=str(risk["name"]), words="、".join(dict.fromkeys(map(str, risk["words"]))))
        for risk in told.get("risks", ())
    ]


def departments(
    told: Mapping[str, Any],
    *,
    known: Mapping[str, DepartmentNode],
    leads: Mapping[str, str],
    region_code: str,
    most: int = 3,
) -> list[DepartmentHint]:
    """Return the departments that the model proposes, likeliest first, each with the category that speaks for it.

    `known` are the departments by code, `leads` the usual lead by category code. "The government of the place" is
    named as soon as the region is known (domain.md 2.3).
    """
    found = []
    for candidate in likely(told.get("departments", ()))[:most]:
        code, probability = str(candidate["code"]), float(candidate["p"])
        because = [one for one in likely(told.get("category", ())) if leads.get(str(one["code"])) == code]
        names = "、".join(f"“{str(one['name']).split(' / ')[-1]}”" for one in because)
        department = _territorial(known.values(), region_code) if code == _DISTRICT else known.get(code)
        if department is None and code != _DISTRICT:
            continue
        reason = _why(candidate, f"按类别{names}" if because else "按相近类别的承办单位")
        if code == _DISTRICT:
            reason += "，属地办理"
        found.append(
            DepartmentHint(
                department_id=department.id if department else None,
                name=department.name if department else "属地县区（请先确定所属区域）",
                probability=probability,
                chance=chance(probability),
                reason=reason,
                category=str(because[0]["code"]) if because else "",
            )
        )
    return found


def _why(candidate: Mapping[str, Any], by_category: str) -> str:
    """Return in words why a department is proposed; both voices with their chances where decisions were learnt from."""
    if "by_category" not in candidate:
        return by_category
    followed = float(candidate["by_category"])
    usual = f"{by_category}（{percent(followed)}）" if followed >= LEAST_SHOWN else "按类别不由该单位承办"
    if candidate.get("learnt") is None:
        return f"{usual}，该单位的派单结论还少，未单独学习"
    return f"按 {int(candidate['decisions'])} 件派单结论（{percent(float(candidate['learnt']))}），{usual}"


def leads_in(categories: Iterable[CategoryNode]) -> dict[str, str]:
    """Return the usual lead department by category code."""
    return {node.code: node.lead for node in categories}


def duplicates_of(found: Iterable[duplicates.Alike]) -> list[Alike]:
    """Return likely duplicates with their chance in words."""
    return [
        Alike(ticket=one.ticket, probability=one.probability, chance=_alike_words(one.probability)) for one in found
    ]


def alike_rows(found: Iterable[duplicates.Alike], *, now: datetime) -> list[AlikeRow]:
    """Return likely duplicates as lines of a page."""
    return [
        AlikeRow(
            number=one.ticket.number,
            title=one.ticket.title,
            state=labels.words(one.ticket.outcome or one.ticket.state),
            tone=labels.label(one.ticket.outcome or one.ticket.state).tone,
            chance=_alike_words(one.probability),
            age=f"{present.span_words((now - one.ticket.registered_at).total_seconds())}前",
            same_place=one.same_place,
            joins=one.ticket.state in joining.JOINS,
            in_hand=one.ticket.state in joining.JOINS - {State.REGISTERED},
        )
        for one in found
    ]


def alike(
    text: tuple[str, str],
    found: Iterable[Earlier],
    texts: Mapping[int, tuple[str, str]],
    *,
    now: datetime,
    but: int | None = None,
    least: float,
    most: int,
) -> list[Alike]:
    """Return which of these tickets are alike enough, likeliest first."""
    from classifier import duplicates as alikeness  # brings numpy and scipy: only with the first question

    rated = []
    for ticket in found:
        if ticket.id == but or ticket.id not in texts:
            continue
        probability = alikeness.rated(
            0.0,
            likeness=alikeness.likeness(text, texts[ticket.id]),
            days_apart=max(0.0, (now - ticket.registered_at) / timedelta(days=1)),
        )
        if probability >= least:
            rated.append(Alike(ticket=ticket, probability=probability, chance=_alike_words(probability)))
    return sorted(rated, key=lambda one: -one.probability)[:most]


def _moved(text: str, told: Mapping[str, Any], *, field: str) -> Iterator[tuple[int, int]]:
    for word in told.get("words", ()):
        if word.get("field") != field:
            continue
        start, words = int(word["start"]), str(word["text"])
        if text[start : start + len(words)] != words:
            start = text.find(words) if len(words) > 1 else -1
        if start >= 0:
            yield start, start + len(words)


def _risky(text: str, told: Mapping[str, Any]) -> Iterator[tuple[int, int]]:
    for words in {str(words) for risk in told.get("risks", ()) for words in risk.get("words", ()) if words}:
        at = text.find(words)
        while at >= 0:
            yield at, at + len(words)
            at = text.find(words, at + len(words))


def _alike_words(probability: float) -> str:
    words = "很可能重复" if probability >= _LIKELY else "可能重复"
    return f"{words}（{percent(probability)}）"


def _territorial(departments_known: Iterable[DepartmentNode], region_code: str) -> DepartmentNode | None:
    if not region_code:
        return None
    return next(
        (
            node
            for node in departments_known
            if node.kind is DepartmentKind.DISTRICT and node.region_code and region_code.startswith(node.region_code)
        ),
        None,
    )


def items_named(text: str, names: Sequence[str], *, most: int = 2) -> list[str]:
    """Return the service items that a text is about, the likeliest first: most of a name was said.

    What stands in brackets behind a name explains it and need not be said; neither need the words that many items
    share (申请, 登记, 备案 …).
    """
    found: list[tuple[float, str]] = []
    for name in names:
        telling = _NOT_TELLING.sub("", name.split("（")[0]) or name
        pairs = {telling[at : at + 2] for at in range(len(telling) - 1)}
        share = sum(pair in text for pair in pairs) / len(pairs) if pairs else 0.0
        if share >= _LEAST_SAID:
            found.append((share, name))
    return [name for _, name in sorted(found, key=lambda pair: -pair[0])[:most]]


#: Words of many items' names that say nothing of which one is meant.
_NOT_TELLING: Final = re.compile(r"办理|申请|申领|登记|备案|审批|核发|许可证?|认定|使用|资格")
#: What share of a name's pairs must be said.
_LEAST_SAID: Final = 0.6
