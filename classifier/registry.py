"""Which stored model is in use, in plain files: promote one, and go back with one command."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from classifier import default, store
from classifier.errors import ModelDamaged, ModelMissing

_PAGE: Final = "in-use.json"


@dataclass(frozen=True, kw_only=True)
class InUse:
    """The version in use and those before it, newest last."""

    version: str
    before: tuple[str, ...] = ()


def in_use(home: Path) -> InUse | None:
    """Return what is in use, or None before the first promotion."""
    page = home / _PAGE
    if not page.is_file():
        return None
    try:
        row = json.loads(page.read_text("utf-8"))
        return InUse(version=row["version"], before=tuple(row["before"]))
    except (ValueError, KeyError, TypeError) as problem:
        raise ModelDamaged(f"模型登记文件 {page.name} 无法读取，请从备份恢复或删除后重新启用模型。") from problem


def folder_in_use(home: Path) -> Path:
    """Return the folder of the model in use; the default model when nothing was promoted yet."""
    now = in_use(home)
    return home / now.version if now else default.ensure_default_model(home)


def promote(folder: Path, home: Path) -> InUse:
    """Copy a checked model into the home and put it in use; what was in use stays for a rollback."""
    store.load(folder)
    version = store.card(folder).version
    target = home / version
    home.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        shutil.copytree(folder, target)
    now = in_use(home)
    if now and now.version == version:
        return now
    before = (*now.before, now.version) if now else ()
    return _write(home, InUse(version=version, before=before))


def rollback(home: Path) -> InUse | None:
    """Put the version before back in use and return it; None means that the default model is in use again."""
    now = in_use(home)
    if now is None:
        raise ModelMissing("还没有启用过任何模型，无法回退。")
    if not now.before:
        (home / _PAGE).unlink()
        return None
    previous = now.before[-1]
    store.load(home / previous)
    return _write(home, InUse(version=previous, before=now.before[:-1]))


def _write(home: Path, now: InUse) -> InUse:
    new = home / f".{_PAGE}.new"
    new.write_text(json.dumps({"version": now.version, "before": list(now.before)}), "utf-8")
    new.replace(home / _PAGE)
    return now
