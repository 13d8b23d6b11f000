"""Files of a ticket: what may be taken in, how it is made harmless, and how it is attached (issue: upload rules).

What a file is, its content decides, never its name. Pictures are drawn anew, so that what a camera or a person wrote
into them (place, device, comments, anything after the picture's end) is gone; only the first frame stays. Documents and
recordings are kept as they are and are only ever given out as attachments. Everything else is refused.
"""

from __future__ import annotations

import io
import itertools
import re
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Any, Final

import puremagic
from PIL import Image, ImageOps
from sqlalchemy import select
from sqlalchemy.orm import Session

from hotline.core.errors import Invalid, NotFound, TooLarge
from hotline.core.files import FileStore
from hotline.core.permissions import SYSTEM, Actor, Permission, require
from hotline.core.personal_data import redact
from hotline.core.text import clean_line
from hotline.tickets import actions as tickets
from hotline.tickets.models import Attachment
from hotline.tickets.states import Act

MOST_BYTES: Final = 20 * 1024 * 1024
MOST_AT_ONCE: Final = 10
MOST_PER_TICKET: Final = 100
#: The longer side of a picture that we keep.
MOST_SIDE: Final = 4_000
#: A picture that claims more pixels than this is not opened: a few kilobytes can claim gigabytes.
MOST_PIXELS: Final = 80_000_000
#: No transaction lasts so long: a file that is older and that no ticket speaks of was left behind.
LEFT_BEHIND_AFTER: Final = timedelta(days=1)
_MOST_NAME: Final = 120
_MOST_ZIP_ENTRIES: Final = 10_000
_HEAD: Final = 64 * 1024
_QUALITY: Final = 88
_CONTROLS: Final = frozenset(range(32)) - {9, 10, 12, 13}
_MARKUP: Final = re.compile(r"^\s*<(?:!doctype|html|head|body|script|svg|\?xml|!--|iframe|math|style)", re.IGNORECASE)

#: What the form says and what the browser offers to choose from.
ACCEPT: Final = ".jpg,.jpeg,.png,.webp,.gif,.pdf,.docx,.xlsx,.txt,.mp3,.wav,.amr,.mp4"
HINT: Final = (
    "图片、PDF、Word（docx）、Excel（xlsx）、文本、录音（mp3、wav、amr）或视频（mp4），每个不超过 20 MB，一次最多 10 个"
)


class AlreadyAttached(Invalid):
    """Every one of these files is on the ticket; nothing was added."""

    say = "这些文件已经在附件中，没有重复添加。"


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A file as somebody hands it in."""

    name: str
    content: bytes


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """A file as we keep it."""

    name: str
    media_type: str
    content: bytes


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One row of the list of what may be taken in."""

    media_type: str
    #: The first is given to a file whose name says something else.
    extensions: tuple[str, ...]
    #: Whether a content is of this kind.
    fits: Callable[[bytes], bool]
    #: Pillow's name of the format when it is a picture.
    picture: str = ""


def _starts(*prefixes: bytes) -> Callable[[bytes], bool]:
    return lambda content: content.startswith(prefixes)


def _riff(form: bytes) -> Callable[[bytes], bool]:
    return lambda content: content[:4] == b"RIFF" and content[8:12] == form


def _office(part: str) -> Callable[[bytes], bool]:
    def fits(content: bytes) -> bool:
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                names = archive.namelist()
        except (zipfile.BadZipFile, ValueError, NotImplementedError):
            return False
        # A document that carries a program is refused: it is opened on a desk with one click.
        carries = any("vbaproject" in name.lower() or name.lower().startswith("xl/macrosheets") for name in names)
        return part in names and "[Content_Types].xml" in names and len(names) <= _MOST_ZIP_ENTRIES and not carries

    return fits


def _is_mp3(content: bytes) -> bool:
    frame = len(content) > 2 and content[0] == 0xFF and content[1] & 0xE6 == 0xE2  # noqa: PLR2004 - sync word, layer III
    return content.startswith(b"ID3") or frame


def _is_mp4(content: bytes) -> bool:
    brands = (
        b"isom",
        b"iso2",
        b"iso4",
        b"iso5",
        b"iso6",
        b"mp41",
        b"mp42",
        b"avc1",
        b"M4V ",
        b"M4A ",
        b"3gp4",
        b"3gp5",
    )
    return content[4:8] == b"ftyp" and content[8:12] in brands


def _is_text(content: bytes) -> bool:
    if any(byte in _CONTROLS for byte in content):
        return False
    text = _decoded(content)
    return text is not None and not _MARKUP.match(text.lstrip("\ufeff"))


KINDS: Final[tuple[Kind, ...]] = (
    Kind(
        media_type="image/jpeg",
        extensions=(".jpg", ".jpeg", ".jpe", ".jfif"),
        fits=_starts(b"\xff\xd8\xff"),
        picture="JPEG",
    ),
    Kind(media_type="image/png", extensions=(".png",), fits=_starts(b"\x89PNG\r\n\x1a\n"), picture="PNG"),
    Kind(media_type="image/webp", extensions=(".webp",), fits=_riff(b"WEBP"), picture="WEBP"),
    Kind(media_type="image/gif", extensions=(".gif",), fits=_starts(b"GIF87a", b"GIF89a"), picture="GIF"),
    Kind(media_type="application/pdf", extensions=(".pdf",), fits=_starts(b"%PDF-")),
    Kind(
        media_type="application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        extensions=(".docx",),
        fits=_office("word/document.xml"),
    ),
    Kind(
        media_type="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        extensions=(".xlsx",),
        fits=_office("xl/workbook.xml"),
    ),
    Kind(media_type="audio/mpeg", extensions=(".mp3", ".mpga"), fits=_is_mp3),
    Kind(media_type="audio/wav", extensions=(".wav",), fits=_riff(b"WAVE")),
    Kind(media_type="audio/amr", extensions=(".amr",), fits=_starts(b"#!AMR\n", b"#!AMR-WB\n")),
    Kind(media_type="video/mp4", extensions=(".mp4", ".m4a", ".m4v", ".3gp", ".3ga", ".f4a"), fits=_is_mp4),
    Kind(media_type="text/plain", extensions=(".txt",), fits=_is_text),
)


def accept(upload: Upload) -> Accepted:
    """Return the file as it will be kept, or raise `Invalid` (field `files`) with what is wrong with it."""
    name = clean_line(PurePosixPath(upload.name.replace("\\", "/")).name) or "附件"
    shown = f"“{name[:40]}”"
    if not upload.content:
        raise Invalid({"files": f"{shown}是空文件，请重新选择。"})
    if len(upload.content) > MOST_BYTES:
        raise Invalid({"files": f"{shown}超过 20 MB，请压缩或拆分后再上传。"})
    kind = _kind_of(upload.content)
    if kind is None:
        raise Invalid({"files": f"{shown}的格式不被接受（按内容判断），可上传{HINT}。"})
    content = _redrawn(upload.content, kind, shown) if kind.picture else upload.content
    if len(content) > MOST_BYTES:
        raise Invalid({"files": f"{shown}超过 20 MB，请压缩或拆分后再上传。"})
    return Accepted(name=_named(name, kind), media_type=kind.media_type, content=content)


def attach(
    session: Session,
    store: FileStore,
    *,
    ticket_id: int,
    uploads: Sequence[Upload],
    public: bool = False,
    by: Actor,
    now: datetime,
) -> list[Attachment]:
    """Attach files to a ticket: each is on disk, sealed, before this returns; one line in the journal for all.

    A citizen (`PUBLIC`) may attach to his own concern; the door has made sure that it is his. A file that the ticket
    already has is not attached twice. `public` shows the files to the citizen. All of them go in or none:
    raises `Invalid` for the field `files`, `TooLarge` for more files than one takes at once.
    """
    if not by.can(Permission.TICKET_SUBMIT):
        require(by, Permission.TICKET_NOTE)
    if not uploads:
        raise Invalid({"files": "请选择要上传的文件。"})
    if len(uploads) > MOST_AT_ONCE:
        raise TooLarge(f"一次最多上传 {MOST_AT_ONCE} 个文件，请分次上传。")
    kept = [accept(upload) for upload in uploads]
    ticket = tickets.lock(session, ticket_id)
    known = set(session.scalars(select(Attachment.digest).where(Attachment.ticket_id == ticket_id)))
    rows = []
    for file in kept:
        digest = store.put(file.content)
        if digest in known:
            continue
        known.add(digest)
        if len(known) > MOST_PER_TICKET:
            raise Invalid({"files": f"一张工单最多 {MOST_PER_TICKET} 个附件。"})
        rows.append(
            Attachment(
                ticket_id=ticket_id,
                name=file.name,
                media_type=file.media_type,
                size=len(file.content),
                digest=digest,
                public=public,
                added_by=by.user_id,
                added_at=now,
            )
        )
    if not rows:
        raise AlreadyAttached({"files": AlreadyAttached.say})
    session.add_all(rows)
    citizen = not by.can(Permission.TICKET_NOTE)
    tickets.move(
        session,
        ticket,
        Act.ATTACH,
        by=SYSTEM if citizen else by,
        now=now,
        note="、".join(row.name for row in rows)[:500],
        details={"files": len(rows), "public": public} | ({"from": "citizen"} if citizen else {}),
    )
    session.flush()  # the caller may link to the files by their ids
    return rows


def sweep(session: Session, store: FileStore, *, now: datetime) -> int:
    """Take away what failed transactions left in the store: older than a day, and no ticket speaks of it.

    Called every hour, it looks at a twenty-fourth of the store each time. Returns how many files were taken away.
    """
    gone, since = 0, now - LEFT_BEHIND_AFTER
    lying = store.unused_since(since, part=now.hour, parts=24)
    while batch := list(itertools.islice(lying, 1_000)):
        known = set(session.scalars(select(Attachment.digest).where(Attachment.digest.in_(batch))))
        gone += sum(store.remove_unused(digest, since=since) for digest in batch if digest not in known)
    return gone


def attachment(session: Session, *, ticket_id: int, attachment_id: int, public_only: bool = False) -> Attachment:
    """Return one file of this ticket, or `NotFound`; a file of another ticket is not found either."""
    row = session.get(Attachment, attachment_id)
    if row is None or row.ticket_id != ticket_id or (public_only and not row.public):
        raise NotFound
    return row


def _kind_of(content: bytes) -> Kind | None:
    """Return the row of the list that both the library's tables and our own look agree on."""
    try:
        said = {match.extension.lower() for match in puremagic.magic_string(content[:_HEAD])}
    except (puremagic.PureError, ValueError):
        said = set()
    for kind in KINDS:
        # A plain text has no mark that a table could know; all others must be recognised by the table too.
        known = said.intersection(kind.extensions) or (kind.media_type == "text/plain" and not _looks_active(said))
        if known and kind.fits(content):
            return kind
    return None


def _looks_active(said: set[str]) -> bool:
    return bool(
        said & {".html", ".htm", ".svg", ".xml", ".xhtml", ".exe", ".hta", ".js", ".vbs", ".ps1", ".sh", ".php"}
    )


def _decoded(content: bytes) -> str | None:
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    return None


def _redrawn(content: bytes, kind: Kind, shown: str) -> bytes:
    """Return the picture drawn anew: upright, at most `MOST_SIDE` pixels long, nothing in it but its pixels."""
    problem = Invalid({"files": f"{shown}的图片已损坏，无法打开，请重新拍摄或另存后再上传。"})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own, lower bound is asked below
            with Image.open(io.BytesIO(content), formats=[kind.picture]) as opened:
                if opened.width * opened.height > MOST_PIXELS:
                    raise Invalid({"files": f"{shown}的像素过大（{opened.width}×{opened.height}），请缩小后再上传。"})
                opened.seek(0)
                if kind.picture == "JPEG":
                    opened.draft("RGB", (MOST_SIDE, MOST_SIDE))  # lets the decoder shrink while it reads
                upright = ImageOps.exif_transpose(opened)
                upright.thumbnail((MOST_SIDE, MOST_SIDE))
                picture = upright.convert(_mode(upright, kind))
    except Image.DecompressionBombError as error:
        raise Invalid({"files": f"{shown}的像素过大，请缩小后再上传。"}) from error
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError) as error:
        raise problem from error
    picture.info.clear()  # profiles, comments and texts that the encoder would write back
    out = io.BytesIO()
    options: dict[str, Any] = {"quality": _QUALITY} if kind.picture in {"JPEG", "WEBP"} else {}
    picture.save(out, kind.picture, **options)
    return out.getvalue()


def _mode(picture: Image.Image, kind: Kind) -> str:
    if kind.picture == "JPEG":
        return "L" if picture.mode == "L" else "RGB"
    return "RGBA" if picture.has_transparency_data else "RGB"


def _named(name: str, kind: Kind) -> str:
    """Return the name without personal data, with an extension that tells the truth, not too long."""
    path = PurePosixPath(name)
    stem, extension = (path.stem, path.suffix) if path.suffix.lower() in kind.extensions else (name, "")
    return f"{redact(stem)[: _MOST_NAME - 6]}{extension or kind.extensions[0]}"
