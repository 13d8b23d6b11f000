"""Brings citizens' text to one form and cuts it into words; the only place that knows jieba."""

from __future__ import annotations

import functools
import html
import re
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

MOST_CHARACTERS: Final = 20_000
"""Longer texts are read up to here: 99 % of real ones have fewer than 2 400 (classifier.md 6)."""

LEXICONS: Final = Path(__file__).parent / "lexicons"

_FOLD: Final = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_WIDE: Final = re.compile("[\uff01-\uff5e]")
# Nearly every text holds these and few hold others; seven replacements are ten times faster than a translation.
_WIDE_MARKS: Final = tuple((chr(ord(mark) + 0xFEE0), mark) for mark in ",!?:;()")
_EMOJI: Final = "\U0001f000-\U0001faff\u2600-\u27bf\ufe00-\ufe0f\u20e3\u2b00-\u2bff"
_ODD: Final = re.compile(
    r"&(?:\#\d{1,6}|\#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,10});"
    r"|_x000[dD]_"
    rf"|[\s\u00ad\u034f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufffd{_EMOJI}\ud800-\udfff\x00-\x1f\x7f]+"
    r"|\d+"
)
# What else the pattern above looks for; the last ranges hold the digits of other scripts. Nearly every text has none.
_STRANGE: Final = re.compile(
    "[&_\u00ad\u034f\u0660-\u1c59\u200b-\u200f\u202a-\u202e\u2060-\u206f\ua620-\uabf9\ufeff\ufffd"
    "\u2600-\u27bf\ufe00-\ufe0f\u20e3\u2b00-\u2bff\ud800-\udfff\x00-\x08\x0e-\x1b\x7f\U00010000-\U0010ffff]"
)
_NUMBER: Final = re.compile("[0-9][0-9]*")
# Characters that only traditional text has. Any one of them wakes the converter, which is slow to load.
_TRADITIONAL: Final = re.compile(
    "[們個這來時國會說對學過還沒麼後裡裏發開關門問間聽電車業務義東員買賣讓認識請謝電話費訴辦處樓區縣鎮鄉際環衛醫藥"
    "療護養勞動險資錢賬帳戶權產給經濟質與為無見長馬點廠場場廣擾聲響嚴緊壞風飛飯館營證號碼機關導遊樂師職"
    "傳實寫處導歲應該幫幾張強彈從復總報紅線網絡約紙級組織結絕維續罰職聯腦臺舊萬葉藝蘭蟲術衝補製複視覺親觀規計訂"
    "討訓記許設評試話該詳語誤課調談論諸變讀貧責貨販貸貿賓賠贊趕跡車軌軍軟轉輕較載輛輪輸遠適選遲鄰郵鄭釋針鋪鋼錄錯鐵"
    "閉閃閱隊陽陰階隨險雖雙雜難離雲頭項順預領題額願類顧養餘駐駕騎驗驚體鬧魚鳥麗黃齊龍龜]"
)
_WORDLIKE: Final = re.compile(r"[\w\u4e00-\u9fff]")
_SENTENCE_END: Final = re.compile(r"[。!?;！？；,，:：]")
_GREETING: Final = re.compile(
    r"^(?:尊敬的|敬爱的)?[^。!?,:]{0,12}?(?:领导|书记|市长|县长|区长|局长|厅长|主任|省长|同志|部门|老师|客服)[们]?"
    r"(?:你们好|您们好|你好|您好)?[!,:。]*|^(?:你们好|您们好|你好|您好|喂|呃|那个|嗯)+[!,:。]*"
)


@dataclass(frozen=True, kw_only=True)
class Aligned:
    """Normal text together with where each of its characters stood in the original."""

    text: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]


def normal(text: str) -> str:
    """Return the text as the model reads it.

    Entities decoded, blanks and emoji dropped (13-15 % of real texts is white space), full-width and capital
    letters folded, traditional made simplified, every run of digits one `0` (so no telephone number enters a
    vocabulary), typical mishearings and pinyin of `lexicons/variants.toml` put right.
    """
    plain = _bare(folded(text[:MOST_CHARACTERS]))
    table = _variants()
    return table.pattern.sub(table.right, plain) if table else plain


def folded(text: str) -> str:
    """Return the text with widths, case and traditional characters folded, every character in its place."""
    for wide, mark in _WIDE_MARKS:
        text = text.replace(wide, mark)
    text = text.replace("\u0130", "i").lower()  # the one capital whose small form is two characters
    return _simplified(text.translate(_FOLD) if _WIDE.search(text) else text)


def aligned(text: str) -> Aligned:
    """Return `normal(text)` with the origin of each character, for highlighting."""
    even = folded(text[:MOST_CHARACTERS])
    first = _follow(even, [(m.start(), m.end(), _plain(m)) for m in _ODD.finditer(even)])
    table = _variants()
    if not table:
        return first
    second = _follow(first.text, [(m.start(), m.end(), table.right(m)) for m in table.pattern.finditer(first.text)])
    return Aligned(
        text=second.text,
        starts=tuple(first.starts[at] for at in second.starts),
        ends=tuple(first.ends[at - 1] for at in second.ends),
    )


def words(text: str) -> list[str]:
    """Cut normal text into words without guessing new ones (HMM off), punctuation left out."""
    return [word for word in cut(text) if is_word(word)]


def is_word(piece: str) -> bool:
    """Tell a piece with a letter, character or digit from mere punctuation."""
    return _WORDLIKE.search(piece) is not None


def cut(text: str) -> list[str]:
    """Cut text into pieces that join to the same text, so that offsets can be counted."""
    pieces: list[str] = _engine()(text)
    return pieces


def opening(body: str, most: int = 40) -> str:
    """Return how a normal body begins once greetings are gone; it stands in for a missing title."""
    rest = body[:300]
    for _ in range(3):
        shorter = _GREETING.sub("", rest, count=1)
        if shorter == rest:
            break
        rest = shorter
    return (rest or body)[:most]


@dataclass(frozen=True)
class CityWords:
    """What a city adds to the words that ship: words that are one word, and forms that stand for another."""

    words: tuple[str, ...] = ()
    """Names of estates, roads, offices; longer than one character, each counts as one word."""
    replacements: tuple[tuple[str, str], ...] = ()
    """(form, what is meant); an empty meaning drops the form (stop words)."""


def use_dictionary(entries: Iterable[str]) -> None:
    """Teach the cutter a city's own words; longer than one character only, each counts as one word from now on."""
    known = _city.everybody
    words = tuple(sorted({*known.words, *(word for word in entries if len(word) > 1)}))
    use_city_words(CityWords(words, known.replacements))


def forget_dictionary() -> None:
    """Return to the words that ship."""
    use_city_words(CityWords())


def use_city_words(words: CityWords) -> None:
    """Read every text of this process with a city's words from now on."""
    _city.everybody = words


@contextmanager
def trying(words: CityWords) -> Iterator[None]:
    """Read texts with other words for as long as the block lasts, in this thread only: a trial disturbs nobody."""
    token = _trial.set(words)
    try:
        yield
    finally:
        _trial.reset(token)


class _City:
    everybody = CityWords()


_city: Final = _City()
_trial: Final[ContextVar[CityWords | None]] = ContextVar("city_words_on_trial", default=None)


def _words_now() -> CityWords:
    return _trial.get() or _city.everybody


def _engine() -> Any:  # noqa: ANN401 - neither engine ships types
    return _engine_of(_words_now().words)


@functools.lru_cache(maxsize=4)
def _engine_of(words: tuple[str, ...]) -> Any:  # noqa: ANN401 - as above
    try:
        return rjieba_cut(list(words))
    except ImportError:  # a platform without a wheel of the fast engine
        return jieba_cut(list(words))


def rjieba_cut(user_words: list[str]) -> Any:  # noqa: ANN401 - rjieba ships no types
    """Return the fast cutter (15 MB/s)."""
    import rjieba

    engine = rjieba.Jieba()
    for word in user_words:
        engine.add_word(word, _USER_FREQUENCY, "nz")
    return lambda text: engine.cut(text, False)  # noqa: FBT003 - HMM switch, by position only


def jieba_cut(user_words: list[str]) -> Any:  # noqa: ANN401 - jieba ships no types
    """Return the slow cutter, jieba itself; it must agree with the fast one word for word (tested)."""
    import logging

    import jieba

    jieba.setLogLevel(logging.ERROR)
    engine = jieba.Tokenizer()
    for word in user_words:
        engine.add_word(word, _USER_FREQUENCY)
    return lambda text: engine.lcut(text, HMM=False)


_USER_FREQUENCY: Final = 20_000


def _bare(text: str) -> str:
    """Return `_ODD.sub(_plain, text)`; of a text with nothing but blanks and plain digits, five times as fast."""
    if _STRANGE.search(text):
        return _ODD.sub(_plain, text)
    return "".join(_NUMBER.sub("0", text).split())


def _plain(match: re.Match[str]) -> str:
    found = match.group()
    if found[0].isdigit():
        return "0"
    if found[0] == "&":
        return "".join(html.unescape(found).split())
    return ""


def _follow(text: str, changes: list[tuple[int, int, str]]) -> Aligned:
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    for begin, end, new in [*changes, (len(text), len(text), "")]:
        pieces.append(text[at:begin])
        starts.extend(range(at, begin))
        ends.extend(range(at + 1, begin + 1))
        pieces.append(new)
        starts.extend([begin] * len(new))
        ends.extend([end] * len(new))
        at = end
    return Aligned(text="".join(pieces), starts=tuple(starts), ends=tuple(ends))


def _simplified(text: str) -> str:
    if not _TRADITIONAL.search(text):
        return text
    simple: str = _converter().convert(text)
    # Character for character or not at all: a phrase of another length would spoil the offsets.
    return simple if len(simple) == len(text) else text


@functools.cache
def _converter() -> Any:  # noqa: ANN401 - opencc ships no types
    import opencc

    return opencc.OpenCC("t2s")


@dataclass(frozen=True)
class _Variants:
    pattern: re.Pattern[str]
    table: dict[str, str]

    def right(self, match: re.Match[str]) -> str:
        return self.table[match.group()]


def _variants() -> _Variants | None:
    return _variants_of(_words_now().replacements)


@functools.lru_cache(maxsize=4)
def _variants_of(replacements: tuple[tuple[str, str], ...]) -> _Variants | None:
    path = LEXICONS / "variants.toml"
    page = tomllib.loads(path.read_text("utf-8"))["right"] if path.is_file() else {}
    table = {wrong: right for right, wrongs in page.items() for wrong in wrongs} | dict(replacements)
    if not table:
        return None
    longest_first = sorted(table, key=len, reverse=True)
    return _Variants(re.compile("|".join(map(re.escape, longest_first))), table)


def offsets(pieces: list[str]) -> list[int]:
    """Return where each piece starts when they are joined."""
    return list(accumulate(map(len, pieces), initial=0))[:-1]
