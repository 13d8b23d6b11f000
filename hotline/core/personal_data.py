"""Finds personal data in running text, so that it can be sealed and shown masked (domain.md 7 e)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class PersonalKind(StrEnum):
    """What a span of text gives away."""

    ID_NUMBER = "id_number"
    PHONE = "phone"
    LANDLINE = "landline"
    BANK_CARD = "bank_card"
    EMAIL = "email"
    PLATE = "plate"
    MESSENGER = "messenger"


@dataclass(frozen=True, kw_only=True)
class Span:
    """A stretch `text[start:end]` that holds personal data."""

    start: int
    end: int
    kind: PersonalKind


_NAMES: Final = {
    PersonalKind.ID_NUMBER: "身份证号",
    PersonalKind.PHONE: "手机号",
    PersonalKind.LANDLINE: "座机号",
    PersonalKind.BANK_CARD: "银行卡号",
    PersonalKind.EMAIL: "邮箱",
    PersonalKind.PLATE: "车牌号",
    PersonalKind.MESSENGER: "社交账号",
}
_EDGE_BEFORE, _EDGE_AFTER = r"(?<![0-9A-Za-z])", r"(?![0-9A-Za-z])"
#: What people put between the digits of a long number; of every kind of dash and blank, see `_PLAIN`.
_GAP: Final = r"[ .·-]?"
_SPOKEN: Final = "〇零一幺二两三四五六七八九"
_PATTERNS: Final = (
    (
        PersonalKind.ID_NUMBER,
        re.compile(
            _EDGE_BEFORE
            + _GAP.join([r"[1-9]", *[r"\d"] * 5, r"(?:1[ -]?9|2[ -]?0)", *[r"\d"] * 2, r"[01]", r"\d", r"[0-3]"])
            + rf"(?:{_GAP}\d){{4}}{_GAP}[0-9Xx]"
            + _EDGE_AFTER
        ),
    ),
    (
        PersonalKind.BANK_CARD,
        re.compile(_EDGE_BEFORE + r"[3-6]\d{3}(?:[ -]?\d{4}){2,3}[ -]?\d{1,4}" + _EDGE_AFTER),
    ),
    (
        PersonalKind.PHONE,
        re.compile(rf"(?<!\d)(?:(?:\+|00)?86[ -]?|0)?(?:\(1[3-9]\d\)|1[3-9]\d){_GAP}\d{{4}}{_GAP}\d{{4}}(?!\d)"),
    ),
    # Grouped in any other way, by one sign throughout: 139 000 01234, 1-3-9-0…
    *((PersonalKind.PHONE, re.compile(rf"(?<!\d)(?<!\d[ -])1{gap}?[3-9](?:{gap}?\d){{9}}(?![ -]?\d)")) for gap in " -"),
    (
        PersonalKind.PHONE,
        re.compile(rf"(?<![{_SPOKEN}])[一幺][ -]?[三四五六七八九](?:[ -]?[{_SPOKEN}]){{9}}(?![{_SPOKEN}])"),
    ),
    (PersonalKind.LANDLINE, re.compile(r"(?<!\d)(?:\(0\d{2,3}\)|0\d{2,3})[ -]?[2-9]\d{2,3}[ -]?\d{4}(?!\d)")),
    (
        PersonalKind.EMAIL,
        re.compile(r"(?<![A-Za-z0-9_.+-])[A-Za-z0-9_.+-]{1,64} ?@ ?[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,4}"),
    ),
    (
        PersonalKind.MESSENGER,
        re.compile(
            r"(?:微信|薇信|(?<![A-Za-z])(?:QQ|VX|WX))号?码?[ :是为]{0,3}(?:[A-Za-z][\w-]{5,19}|[1-9]\d{5,11})(?!\w)",
            re.ASCII | re.IGNORECASE,
        ),
    ),
    (
        PersonalKind.PLATE,
        re.compile(
            r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][·・ ]?[A-HJ-NP-Z][·・ -]?"
            r"[A-HJ-NP-Z0-9]{5,6}(?![A-Za-z0-9])",
            re.IGNORECASE,
        ),
    ),
)
#: Full-width and circled digits, letters and signs, every dash and blank as the patterns know them; one character for
#: one, so that places stay places.
_PLAIN: Final = (
    {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
    | {0x2460 + at: ord("1") + at for at in range(9)}
    | dict.fromkeys(map(ord, "‐‑‒–—―−ー"), "-")
    | dict.fromkeys([0x00A0, *range(0x2000, 0x200B), 0x202F, 0x3000, 0x0009], " ")
)
_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_DIGITS_CARD: Final = range(15, 20)


def find(text: str) -> tuple[Span, ...]:
    """Return the spans in order, never overlapping; the first pattern that claims a stretch keeps it."""
    taken: list[Span] = []
    plain = text.translate(_PLAIN)
    for kind, pattern in _PATTERNS:
        for match in pattern.finditer(plain):
            if kind is PersonalKind.BANK_CARD and not _is_card(match.group()):
                continue
            if any(match.start() < span.end and span.start < match.end() for span in taken):
                continue
            taken.append(Span(start=match.start(), end=match.end(), kind=kind))
    return tuple(sorted(taken, key=lambda span: span.start))


def redact(text: str) -> str:
    """Return the text with each personal span replaced by its kind in brackets, e.g. 【手机号】."""
    pieces, at = [], 0
    for span in find(text):
        pieces += [text[at : span.start], f"【{_NAMES[span.kind]}】"]
        at = span.end
    return "".join([*pieces, text[at:]])


def is_id_number(value: str) -> bool:
    """Tell whether an 18-digit resident number has a right check digit (GB 11643)."""
    if not re.fullmatch(r"\d{17}[0-9Xx]", value):
        return False
    total = sum(int(digit) * weight for digit, weight in zip(value[:17], _WEIGHTS, strict=True))
    return "10X98765432"[total % 11] == value[17].upper()


def mask_name(name: str) -> str:
    """Return a name with only its first character: 王小明 -> 王**."""
    return name[:1] + "*" * min(len(name) - 1, 2) if name else ""


def mask_phone(phone: str) -> str:
    """Return a phone with only its last four digits."""
    return "*" * 7 + phone[-4:] if len(phone) > 4 else "*" * len(phone)  # noqa: PLR2004 - four digits stay


def mask_address(address: str) -> str:
    """Return an address with only its first six characters (city and district)."""
    return address[:6] + "****" if address else ""


def _is_card(raw: str) -> bool:
    digits = [int(c) for c in raw if c.isdigit()]
    if len(digits) not in _DIGITS_CARD:
        return False
    doubled = [d if i % 2 == 0 else d * 2 - 9 * (d > 4) for i, d in enumerate(reversed(digits))]  # noqa: PLR2004
    return sum(doubled) % 10 == 0
