"""What a browser gets from us: pinned bytes, with licences, small, and nothing that a strict policy refuses."""

from __future__ import annotations

import gzip
import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import jinja2
import pytest

ROOT: Final = Path(__file__).parents[2]
STATIC: Final = ROOT / "hotline" / "web" / "static"
TEMPLATES: Final = ROOT / "hotline" / "web" / "templates"
PINNED: Final = (STATIC / "vendor", ROOT / "tests" / "vendor")
LARGEST_GZIP_BYTES: Final = 250_000

FORBIDDEN: Final = re.compile(
    r"""<script(?![^>]*\bsrc=)            # a script with a body
      | <style\b                          # a style sheet in the page
      | \sstyle\s*=                       # an inline style
      | \son[a-z]+\s*=\s*["']             # an inline handler
      | \bhx-on\b                         # htmx evaluates it
      | hx-vals\s*=\s*["']js:             # so it does this
      | hx-trigger\s*=\s*["'][^"']*\[     # and a filter in a trigger
      | javascript:
      | (?:src|href|action)\s*=\s*["'](?:https?:)?//  # another house's address
    """,
    re.VERBOSE | re.IGNORECASE,
)
EVALUATES: Final = re.compile(
    r"\beval\(|new Function\(|innerHTML|outerHTML|document\.write|\.style\b|set(?:Timeout|Interval)\(\s*[\"']"
)


def _templates() -> list[Path]:
    return sorted(TEMPLATES.rglob("*.html"))


def _scripts() -> list[Path]:
    return sorted((STATIC / "js").glob("*.js"))


def _pins(folder: Path) -> dict[str, str]:
    lines = (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split("  ", maxsplit=1) for line in lines)}


def _vendored(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "SHA256SUMS")
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _environment() -> jinja2.Environment:
    """Return the templates as strict as the application has them, with the two globals that macros may use."""

    def url_for(_endpoint: str, *, filename: str) -> str:
        return f"/static/{filename}"

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.globals.update(url_for=url_for, csrf_token=lambda: "token")
    return environment


@pytest.mark.parametrize("folder", PINNED, ids=lambda folder: folder.parent.name)
def test_every_vendored_byte_is_the_pinned_one(folder: Path) -> None:
    assert _vendored(folder) == _pins(folder)


def test_every_vendored_part_brings_its_licence() -> None:
    parts = [path for folder in PINNED for path in folder.iterdir() if path.is_dir()]
    assert parts
    assert [part.name for part in parts if not (part / "LICENSE").is_file()] == []


def test_no_source_map_is_shipped() -> None:
    assert list(STATIC.rglob("*.map")) == []


def test_all_that_a_page_can_load_is_small() -> None:
    files = [path for path in STATIC.rglob("*") if path.suffix in {".css", ".js", ".svg"}]
    assert files
    assert sum(len(gzip.compress(path.read_bytes(), mtime=0)) for path in files) < LARGEST_GZIP_BYTES


@pytest.mark.parametrize("template", _templates(), ids=lambda path: path.relative_to(TEMPLATES).as_posix())
def test_a_template_holds_nothing_that_the_policy_refuses(template: Path) -> None:
    assert FORBIDDEN.findall(template.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "markup",
    [
        "<script>go()</script>",
        '<p style="color: red">',
        '<a onclick="go()">',
        '<a hx-on:click="go()">',
        "<a hx-vals='js:{a: 1}'>",
        '<input hx-trigger="keyup[key==1]">',
        '<a href="javascript:go()">',
        '<script src="https://cdn.example/x.js">',
        '<link href="//cdn.example/x.css">',
    ],
)
def test_the_policy_check_sees(markup: str) -> None:
    assert FORBIDDEN.search(markup)


@pytest.mark.parametrize("script", _scripts(), ids=lambda path: path.name)
def test_a_script_of_ours_evaluates_nothing_and_writes_no_markup(script: Path) -> None:
    assert EVALUATES.findall(script.read_text(encoding="utf-8")) == []


def test_every_icon_that_a_template_names_is_in_the_sprite() -> None:
    drawn = set(re.findall(r'<symbol id="([^"]+)"', (STATIC / "img" / "icons.svg").read_text(encoding="utf-8")))
    words = "".join(template.read_text(encoding="utf-8") for template in _templates())
    named = set(re.findall(r'\b(?:icon|draw)\("([^"]+)"', words)) | set(re.findall(r'\bicon(?:=|": )"([^"]+)"', words))
    assert named
    assert named - drawn == set()


def test_every_file_that_a_template_loads_exists() -> None:
    words = "".join(template.read_text(encoding="utf-8") for template in _templates())
    named = set(re.findall(r"filename='([^']+)'\)", words))
    assert named
    assert [name for name in sorted(named) if not (STATIC / name).is_file()] == []


def test_every_behaviour_is_loaded_by_a_layout_or_a_page() -> None:
    words = "".join(template.read_text(encoding="utf-8") for template in TEMPLATES.rglob("*.html"))
    assert [
        script.stem for script in _scripts() if f'"{script.stem}"' not in words and f"js/{script.name}" not in words
    ] == []


def test_the_page_of_components_renders_with_unique_ids_and_labelled_fields() -> None:
    page = (
        _environment()
        .get_template("style/show.html")
        .render(
            current_user=None,
            menu=[],
            flashes=[("success", "已派单")],
            build="test",
            now=datetime(2026, 11, 22, tzinfo=UTC),
        )
    )
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert sorted(ids) == sorted(set(ids))
    assert set(re.findall(r'<label[^>]*\sfor="([^"]+)"', page)) <= set(ids)
    assert set(re.findall(r'aria-describedby="([^" ]+)', page)) <= set(ids)


@pytest.mark.parametrize("template", sorted((TEMPLATES / "errors").glob("[0-9]*.html")), ids=lambda path: path.stem)
def test_an_error_page_renders_where_nothing_is_known(template: Path) -> None:
    page = _environment().get_template(f"errors/{template.name}").render()
    assert "<h1>" in page
    assert 'class="error-words"><p>' in page.replace("\n", "")


def test_the_conflict_page_shows_who_changed_what() -> None:
    page = (
        _environment()
        .get_template("errors/409.html")
        .render(
            mine={"承办单位": "住建局"},
            theirs={"承办单位": "城管局"},
            by="赵敏",
            at="11-22 09:40",
            reload_href="/tickets/7",
        )
    )
    assert all(words in page for words in ("赵敏", "11-22 09:40", "住建局", "城管局", 'href="/tickets/7"'))
