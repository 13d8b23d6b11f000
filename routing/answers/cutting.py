"""Takes one citizen out of a text, and tells whether a text gives him away; pure (domain.md 7)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from classifier import personal
from hotline.core.personal_data import redact

#: An end of an address with a number in it that is this long tells where somebody lives.
_LEAST_END: Final = 6
#: What people put between the characters of a name or number.
_BETWEEN: Final = r"[\s.·‐‑‒–—―－−-]*"
#: What makes an address one household's.
_HOUSEHOLD: Final = re.compile(r"单元|室|户|\d-\d")


def without_citizen(text: str, citizen: Mapping[str, str]) -> str:
    """Return the text without this citizen's own name, number and address, and without anybody's numbers.

    However they are spaced, and an address also without its beginning: who lives at 青云路5号楼2单元301 says 2单元301.
    Names and homes by which people introduce themselves go too.
    """
    for pieces, words in (
        (_homes(citizen), "【诉求人地址】"),
        (_numbers(citizen), "【手机号】"),
        ([_plain(citizen, "name")], "【诉求人】"),
    ):
        if wanted := _any_of(pieces):
            text = wanted.sub(words, text)
    # The second looks at no more than a concern's length.
    return redact(personal.redact(text))


def gives_away(text: str, citizen: Mapping[str, str]) -> bool:
    """Tell whether a text that everybody may read names this citizen, his number or his household."""
    homes = [home for home in _homes(citizen) if _HOUSEHOLD.search(home)]
    wanted = _any_of([*homes, *_numbers(citizen), _plain(citizen, "name")])
    return wanted is not None and wanted.search(text) is not None


def _homes(citizen: Mapping[str, str]) -> list[str]:
    address = _plain(citizen, "address")
    ends = [address[at:] for at in range(1, len(address) - _LEAST_END + 1)]
    return [address, *(end for end in ends if re.search(r"\d", end))]


def _numbers(citizen: Mapping[str, str]) -> list[str]:
    digits = re.sub(r"\D", "", _plain(citizen, "phone"))
    # Whoever is called from the same city leaves the area's code away.
    return [digits, digits[-8:], digits[-7:]] if digits.startswith("0") else [digits]


def _plain(citizen: Mapping[str, str], field: str) -> str:
    return re.sub(r"\s", "", citizen.get(field, ""))


def _any_of(pieces: Iterable[str]) -> re.Pattern[str] | None:
    """Return a pattern of the pieces, the earlier first, with any blank, dot or dash between their characters."""
    spaced = [_BETWEEN.join(map(re.escape, piece)) for piece in pieces if len(piece) > 1]
    return re.compile(rf"(?<!\d)(?:{'|'.join(spaced)})(?!\d)") if spaced else None
