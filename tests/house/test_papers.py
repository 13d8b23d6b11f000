"""The papers say what is there: links lead somewhere, floors are the contracts, commands and decisions are all told."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from hotline.cli import COMMANDS, main
from hotline.cli.running import demonstration_accounts

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAPERS = sorted([ROOT / "README.md", ROOT / "README.zh.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")])
LINK = re.compile(r"!?\[[^\]\n]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def without_fences(text: str) -> str:
    return FENCE.sub("", text)


def headings(text: str) -> list[int]:
    """Return the level of every heading, in order."""
    return [len(marks) for marks in re.findall(r"^(#+) ", without_fences(text), re.MULTILINE)]


def anchors(text: str) -> set[str]:
    words = re.findall(r"^#+ (.+)$", without_fences(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).strip().replace(" ", "-") for each in words}


@pytest.mark.parametrize("paper", PAPERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_a_paper_leads_to_a_file_of_ours(paper: Path) -> None:
    broken = []
    for link in LINK.findall(without_fences(text_of(paper))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (paper.parent / name) if name else paper
        if not target.is_file() or (anchor and anchor not in anchors(text_of(target))):
            broken.append(link)
    assert broken == []


def test_both_readmes_have_the_same_headings_pictures_and_commands() -> None:
    english, chinese = text_of(ROOT / "README.md"), text_of(ROOT / "README.zh.md")
    assert headings(english) == headings(chinese)
    pictures = [re.findall(r"\((docs/img/[^)]+)\)", text) for text in (english, chinese)]
    assert pictures[0] == pictures[1]
    assert len(pictures[0]) == len(set(pictures[0])) >= 10
    shell = [[body for kind, body in FENCE.findall(text) if kind == "sh"] for text in (english, chinese)]
    assert shell[0] == shell[1] == ["make run\nmake test\n"]
    named = [set(re.findall(r"`((?:hotline|make) [^`]+)`", text)) for text in (english, chinese)]
    assert named[0] == named[1]
    papers = [set(re.findall(r"\((docs/[^)]+\.md|CHANGELOG\.md|LICENSE)\)", text)) for text in (english, chinese)]
    assert papers[0] == papers[1]


def test_the_readmes_name_the_accounts_that_the_city_shows() -> None:
    shown = [login for _role, login, _name in demonstration_accounts()]
    for name in ("README.md", "README.zh.md"):
        assert re.findall(r"^\| .+ \| `(\w+)` \|$", text_of(ROOT / name), re.MULTILINE) == shown


def test_every_picture_is_shown_and_small() -> None:
    there = {path.name for path in (DOCS / "img").glob("*.png")}
    shown = set(re.findall(r"docs/img/([\w-]+\.png)", text_of(ROOT / "README.md")))
    for paper in DOCS.glob("*.md"):
        shown |= set(re.findall(r"\(img/([\w-]+\.png)\)", text_of(paper)))
    assert there == shown
    assert {path.name for path in (DOCS / "img").glob("*.png") if path.stat().st_size > 120_000} == set()


def test_every_target_that_the_readme_names_stands_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)\b", without_fences(text_of(ROOT / "README.md")).split("## The house")[0]))
    assert {"run", "test", "screenshots"} <= named & targets
    assert set(re.findall(r"`make ([a-z-]+)", text_of(ROOT / "README.md"))) <= targets


def test_the_floor_plan_is_the_contract() -> None:
    plan = text_of(DOCS / "floor-plan.md")
    contracts = tomllib.loads(text_of(ROOT / "pyproject.toml"))["tool"]["importlinter"]["contracts"]
    layers = next(each["layers"] for each in contracts if each["name"].startswith("The floors"))
    (drawn,) = [body for kind, body in FENCE.findall(plan) if kind == "floors"]
    assert drawn.splitlines() == layers


def test_every_room_stands_in_the_floor_plan() -> None:
    rooms = {
        f"hotline.{path.stem}"
        for path in (ROOT / "hotline").iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists()) and not path.name.startswith("_")
    } | {"classifier", "routing", "callbacks", "reports"}
    rooms |= {
        ".".join(path.parent.relative_to(ROOT).parts)
        for floor in ("hotline/web", "routing", "callbacks", "reports")
        for path in (ROOT / floor).glob("*/__init__.py")
    }
    told = set(re.findall(r"^\| `([\w.]+)` \| ", text_of(DOCS / "floor-plan.md"), re.MULTILINE))
    assert {each for each in told if not each.endswith(".py")} == rooms


def commands() -> Iterator[str]:
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from (f"hotline {name} {each}" for each in sorted(command.commands))
        else:
            yield f"hotline {name}"


def test_every_command_is_described_and_no_other() -> None:
    told = re.findall(r"^### `(hotline [a-z ]+)`$", text_of(DOCS / "commands.md"), re.MULTILINE)
    assert sorted(told) == sorted(commands())


def test_every_option_that_a_paper_gives_to_a_command_exists() -> None:
    sections = re.split(r"^### ", text_of(DOCS / "commands.md"), flags=re.MULTILINE)[1:]
    wrong = []
    for section in sections:
        words = re.findall(r"^`hotline ([a-z ]+)`", section)[0].split()
        command = main.get_command(click.Context(main), words[0])
        if isinstance(command, click.Group):
            command = command.commands[words[1]]
        assert command is not None
        known = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
        wrong += [f"{words}: {option}" for option in re.findall(r"--[a-z-]+", section) if option not in known]
    assert wrong == []


def test_every_decision_is_linked_from_the_list_of_decisions() -> None:
    folder = DOCS / "decisions"
    listed = re.findall(r"^\| \[(\d{4})\]\((\S+)\)", text_of(folder / "README.md"), re.MULTILINE)
    there = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert [name for _number, name in listed] == there
    assert all(name.startswith(number) for number, name in listed)


def test_what_the_papers_let_the_doctor_say_he_says() -> None:
    table = text_of(DOCS / "operations.md").split("## When something looks wrong")[1].split("## ")[0]
    words = re.findall(r"^\| [^|]+ \| `([^`]+)`", table, re.MULTILINE)
    assert len(words) >= 10
    said = text_of(ROOT / "hotline" / "cli" / "doctor.py")
    assert [each for each in words if each not in said] == []


def test_files_that_the_papers_name_are_there() -> None:
    """A path in code marks that begins with one of our folders exists."""
    pattern = re.compile(r"`((?:hotline|classifier|routing|callbacks|reports|tests|docs|bench)/[\w./-]+)`")
    missing = [
        f"{paper.relative_to(ROOT)}: {name}"
        for paper in PAPERS
        for name in pattern.findall(text_of(paper))
        if not (ROOT / name).exists()
    ]
    assert missing == []


def test_the_licence_is_the_text_of_the_free_software_foundation() -> None:
    """The official text of the GNU Affero General Public License, version 3, byte by byte."""
    digest = hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest()
    assert digest == "0d96a4ff68ad6d4b6f1f30f713b18d5184912ba8dd389f86aa7710db079abcb0"
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    assert project["license"] == "AGPL-3.0-or-later"
