"""Text as it comes in: cleaned, measured, and cut into words for searching."""

from __future__ import annotations

import itertools
import re
import unicodedata
from typing import Final

_CONTROL: Final = dict.fromkeys([*range(9), 11, 12, *range(14, 32), *range(127, 160), 65279]) | dict.fromkeys(
    (8203, 8204, 8206, 8207, *range(8234, 8239), *range(8294, 8298))
)
_BLANKS: Final = re.compile(r"[ \t\u00a0\u3000]+")
_BREAKS: Final = re.compile(r"\n{3,}")
_CJK: Final = re.compile(r"[\u3400-\u9fff\U00020000-\U0002ffff]")
#: A longer word is searched by its beginning: PostgreSQL keeps 11 bits of a lexeme's length and cuts the rest silently.
_MOST_WORD: Final = 64
_RUNS: Final = re.compile(r"[\u3400-\u9fff\U00020000-\U0002ffff]+|[^\W\u3400-\u9fff\U00020000-\U0002ffff]+")


def clean(text: str) -> str:
    """Return the text without control and direction marks, blanks folded, at most one empty line in a row.

    Words, emoji and traditional characters stay as the citizen wrote them.
    """
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n").replace("_x000D_", ""))
    text = _drop_lone_surrogates(text).translate(_CONTROL)
    lines = (_BLANKS.sub(" ", line).strip() for line in text.split("\n"))
    return _BREAKS.sub("\n\n", "\n".join(lines)).strip()


def clean_line(text: str) -> str:
    """Return the text as one clean line."""
    return " ".join(clean(text).split())


def search_words(text: str, *, most: int = 4_000) -> list[str]:
    """Return the distinct words by which a text is found, in order of appearance.

    Every pair of neighbouring Chinese characters, and every run of letters and digits. So a word of two characters is
    found wherever it stands, also where a dictionary would cut the sentence otherwise (in 第1号路灯不亮 a dictionary
    sees 号路 and 灯不亮). The query is cut by the same function; a longer one must hold all its pairs.
    """
    folded = unicodedata.normalize("NFKC", text).lower()
    found: dict[str, None] = {}
    for run in _RUNS.finditer(folded):
        characters = run.group()
        if _CJK.match(characters):
            for one, other in itertools.pairwise(characters):
                found[one + other] = None
        else:
            found[characters[:_MOST_WORD]] = None
        if len(found) >= most:
            return list(found)[:most]
    return list(found)


def quoted(word: str) -> str:
    """Return a word as a lexeme in PostgreSQL's text form of a tsvector or tsquery."""
    return "'" + word.replace("\\", "\\\\").replace("'", "''") + "'"


def _drop_lone_surrogates(text: str) -> str:
    return text.encode("utf-8", "ignore").decode("utf-8")
