"""What may be uploaded, decided by content; and what is left of a picture afterwards."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable

import pytest
from openpyxl import Workbook
from PIL import Image, PngImagePlugin

from hotline.core.errors import Invalid
from hotline.tickets.files import MOST_BYTES, MOST_SIDE, Upload, accept


def picture(form: str, size: tuple[int, int] = (40, 30), mode: str = "RGB", **options: object) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, 3).save(out, form, **options)
    return out.getvalue()


def archive(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name in names:
            file.writestr(name, "<x/>")
    return out.getvalue()


def sheet() -> bytes:
    out = io.BytesIO()
    Workbook().save(out)
    return out.getvalue()


DOCX = archive("[Content_Types].xml", "word/document.xml")
MP4 = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + b"\0" * 64


@pytest.mark.parametrize(
    ("name", "content", "media_type"),
    [
        ("现场.jpg", picture("JPEG"), "image/jpeg"),
        ("现场.png", picture("PNG", mode="RGBA"), "image/png"),
        ("现场.png", picture("PNG", mode="P"), "image/png"),
        ("现场.webp", picture("WEBP"), "image/webp"),
        ("现场.gif", picture("GIF", mode="L"), "image/gif"),
        ("合同.pdf", b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n", "application/pdf"),
        ("说明.docx", DOCX, "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("清单.xlsx", sheet(), "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        ("情况.txt", "路灯坏了".encode(), "text/plain"),
        ("情况.txt", "路灯坏了".encode("gb18030"), "text/plain"),
        ("录音.mp3", b"\xff\xfb\x90\x64" + b"\0" * 400, "audio/mpeg"),
        ("录音.wav", b"RIFF\x24\0\0\0WAVEfmt " + b"\0" * 40, "audio/wav"),
        ("录音.amr", b"#!AMR\n" + b"\x3c" * 64, "audio/amr"),
        ("录像.mp4", MP4, "video/mp4"),
    ],
)
def test_what_offices_and_phones_make_is_taken_in(name: str, content: bytes, media_type: str) -> None:
    kept = accept(Upload(name=name, content=content))
    assert (kept.name, kept.media_type) == (name, media_type)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"MZ" + b"\0" * 300,
        b"\x7fELF" + b"\0" * 300,
        b"<!DOCTYPE html><script>alert(1)</script>",
        b" \n<html><body onload=alert(1)>",
        b'<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>',
        b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
        b"\xef\xbb\xbf<html>",
        archive("a.txt"),
        archive("[Content_Types].xml", "word/document.xml", "word/vbaProject.bin"),
        DOCX[:60],
        b"RIFF\x24\0\0\0AVI LIST" + b"\0" * 40,
        b"\0\x01\x02\x03" * 20,
    ],
)
@pytest.mark.parametrize("name", ["照片.jpg", "说明.docx", "说明.txt"])
def test_everything_else_is_refused_whatever_its_name_says(content: bytes, name: str) -> None:
    with pytest.raises(Invalid) as refused:
        accept(Upload(name=name, content=content))
    assert list(refused.value.fields) == ["files"]


def test_the_name_follows_the_content() -> None:
    assert accept(Upload(name="run.exe", content=picture("PNG"))).name == "run.exe.png"
    assert accept(Upload(name="page.html", content="普通文字".encode())).name == "page.html.txt"
    assert accept(Upload(name="照片.JPEG", content=picture("JPEG"))).name == "照片.JPEG"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (r"C:\Users\me\现场.png", "现场.png"),
        ("../../etc/现场.png", "现场.png"),
        ("", "附件.png"),
        ("王某 13900001234.png", "王某 【手机号】.png"),
        ("a\u202egnp.exe\x00.png", "agnp.exe.png"),
    ],
)
def test_a_name_keeps_no_path_no_trick_and_no_phone(given: str, kept: str) -> None:
    assert accept(Upload(name=given, content=picture("PNG"))).name == kept


def test_a_long_name_is_cut_and_keeps_its_extension() -> None:
    kept = accept(Upload(name="长" * 400 + ".png", content=picture("PNG"))).name
    assert len(kept) <= 120
    assert kept.endswith("长.png")


def test_nothing_but_pixels_is_left_of_a_photograph() -> None:
    exif = Image.Exif()
    exif[0x010F] = "Secret Maker"
    exif[0x8825] = {1: "N"}
    photo = (
        picture("JPEG", exif=exif, comment=b"Secret Comment", icc_profile=b"Secret Profile") + b"<?php Secret Tail ?>"
    )
    kept = accept(Upload(name="照片.jpg", content=photo))
    assert b"Secret" not in kept.content
    with Image.open(io.BytesIO(kept.content)) as opened:
        assert not opened.getexif()
        assert opened.size == (40, 30)


def test_nothing_but_pixels_is_left_of_a_drawing() -> None:
    words = PngImagePlugin.PngInfo()
    words.add_text("Author", "Secret Author")
    kept = accept(Upload(name="图.png", content=picture("PNG", pnginfo=words, icc_profile=b"Secret Profile")))
    assert b"Secret" not in kept.content
    assert b"iCCP" not in kept.content


def test_a_turned_photograph_is_set_upright_before_its_mark_is_lost() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    kept = accept(Upload(name="照片.jpg", content=picture("JPEG", (40, 20), exif=exif)))
    with Image.open(io.BytesIO(kept.content)) as opened:
        assert opened.size == (20, 40)


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_picture_is_made_no_longer_than_it_need_be(form: str) -> None:
    kept = accept(Upload(name="大图", content=picture(form, (MOST_SIDE * 2, 90), "L")))
    with Image.open(io.BytesIO(kept.content)) as opened:
        assert max(opened.size) == MOST_SIDE


def test_a_moving_picture_keeps_its_first_frame() -> None:
    out = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    kept = accept(Upload(name="动图.gif", content=out.getvalue()))
    with Image.open(io.BytesIO(kept.content)) as opened:
        assert getattr(opened, "n_frames", 1) == 1


def bomb() -> bytes:
    return picture("PNG", (20_000, 20_000), "1")


def large() -> bytes:
    return picture("PNG", (10_000, 10_000), "1")


def torn() -> bytes:
    return picture("PNG", (400, 400))[:150]


def heavy() -> bytes:
    return b"%PDF-1.7\n" + b"0" * MOST_BYTES


@pytest.mark.parametrize(
    ("make", "words"), [(bomb, "像素过大"), (large, "像素过大"), (torn, "损坏"), (heavy, "超过 20 MB")]
)
def test_what_would_break_the_house_is_refused_in_words(make: Callable[[], bytes], words: str) -> None:
    with pytest.raises(Invalid) as refused:
        accept(Upload(name="x", content=make()))
    assert words in refused.value.fields["files"][0]
