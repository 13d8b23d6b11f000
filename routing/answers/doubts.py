"""What is worth a second look before an answer leaves the house; pure, advises and forbids nothing (domain.md 2.9)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from routing.answers.cutting import gives_away

#: From this share of common pairs of characters on, two texts say the same.
ALIKE: Final = 0.75
#: A text of whose pairs so many stand in a longer one was taken out of it.
TAKEN: Final = 0.9
#: An answer with fewer characters of its own, stock phrases taken out, says nothing about this one matter.
LEAST_OWN: Final = 20
_STOCK: Final = re.compile(
    r"尊敬的?(?:市民|诉求人|来电人|网友|先生|女士)?|(?:市民)?您好|你好|"
    r"您(?:所)?(?:反映|反馈|咨询|提出)的(?:问题|事项|诉求|情况|内容)?|"
    r"(?:我(?:局|单位|街道|办|区|委|公司|们)|相关(?:部门|单位|人员)|工作人员)|"
    r"(?:已经?|现已)?(?:收悉|知悉|受理|收到|转交|转办|转至)|(?:高度)?重视|(?:第一时间|立即|及时|积极|认真|尽快)|"
    r"(?:进行|开展|安排)|(?:核实|调查|了解|处理|办理|解决|落实|跟进|关注|督促)|"
    r"(?:非常)?感谢您?(?:对(?:我们|我局|政府|我市)?(?:工作|[^，。]{0,6}工作))?的?(?:关心|理解|支持|监督|来电)?(?:与|和|、)?(?:支持|理解|监督|配合)?|"
    r"(?:敬请|请您?)(?:谅解|理解|放心|知悉)|祝您?(?:生活愉快|身体健康|工作顺利)|特此(?:答复|回复)|按照?相关规定|依法依规|下一步|将会?|持续"
)
_LETTER: Final = re.compile(r"[\u3400-\u9fffA-Za-z0-9]")


class Doubt(StrEnum):
    """What a person is asked to look at once more."""

    NOT_CONTACTED = "not_contacted"
    SAME_AS_NOTE = "same_as_note"
    TEMPLATE = "template"
    OFF_THE_MATTER = "off_the_matter"
    COPIED = "copied"
    SAME_ELSEWHERE = "same_elsewhere"
    NAMES_CITIZEN = "names_citizen"


def doubts(
    *,
    concern: str,
    internal_note: str,
    public_answer: str,
    contacted: bool,
    same_elsewhere: int = 0,
    citizen: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Doubt, ...]:
    """Return the doubts about an answer, in the order in which they are shown.

    Nobody has spoken with the citizen; the public answer repeats the internal note, or the concern; other tickets
    were answered with the same words; without its stock phrases next to nothing of it is left; it has not one pair of
    characters in common with the concern; it names the citizen, his number or his household.
    """
    found = []
    if not contacted:
        found.append(Doubt.NOT_CONTACTED)
    if repeats(public_answer, internal_note):
        found.append(Doubt.SAME_AS_NOTE)
    if len(_letters(_STOCK.sub("", public_answer))) < LEAST_OWN:
        found.append(Doubt.TEMPLATE)
    elif not _pairs(_STOCK.sub("", public_answer)) & _pairs(_STOCK.sub("", concern)):
        found.append(Doubt.OFF_THE_MATTER)
    if repeats(public_answer, concern):
        found.append(Doubt.COPIED)
    if same_elsewhere:
        found.append(Doubt.SAME_ELSEWHERE)
    if gives_away(public_answer, citizen):
        found.append(Doubt.NAMES_CITIZEN)
    return tuple(found)


def repeats(text: str, source: str) -> bool:
    """Tell whether a text says the same as another one, or is a piece of it."""
    ours, theirs = _pairs(text), _pairs(source)
    return alike(text, source) >= ALIKE or (bool(ours) and len(ours & theirs) >= TAKEN * len(ours))


def alike(one: str, other: str) -> float:
    """Return how much of their pairs of characters two texts share: 0 nothing, 1 all."""
    ours, theirs = _pairs(one), _pairs(other)
    if not ours or not theirs:
        return 0.0
    return 2 * len(ours & theirs) / (len(ours) + len(theirs))


def _letters(text: str) -> str:
    return "".join(_LETTER.findall(text))


def _pairs(text: str) -> frozenset[str]:
    letters = _letters(text)
    return frozenset(letters[at : at + 2] for at in range(len(letters) - 1))
