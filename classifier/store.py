"""Keeps models in a folder: arrays, words and a manifest with hashes; nothing that could run code."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from classifier.calibration import Calibration, Confidence
from classifier.company import Company, Whereabouts
from classifier.errors import ModelDamaged, ModelMissing, ModelTooNew
from classifier.features import Block, Source, Unit, Vectoriser, Vocabulary
from classifier.model import Head, Model, Shortcut
from classifier.thresholds import NEVER
from classifier.topics import Packed, Topics, packed, unit

FORMAT: Final = 5
"""Raised whenever an older program could no longer read what we write.

1 had neither topics nor the reject class in its confidence: such models still answer, but dispatch nothing.
2 had no mixing of margins and measured nearness for every message; such models answer as they did.
3 knew where a message lies by leading directions only, not by its words; such models answer as they did.
4 did not ask the neighbours how sure a label is; such models answer as they did.
"""
MANIFEST: Final = "manifest.json"
ARRAYS: Final = "arrays.npz"
_FEW_LABELS: Final = 30
_MOST_BYTES: Final = 400_000_000
"""Unpacked arrays beyond this are refused before they are read."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is known about a stored model without loading it."""

    version: str
    """Short content hash; every suggestion names it."""
    made_from: Mapping[str, Any] = field(default_factory=dict)
    """Counts, digests and recipe of the training run."""
    measured: Mapping[str, Any] = field(default_factory=dict)
    """Figures of the evaluation that came with the training."""


def save(
    model: Model, folder: Path, *, made_from: Mapping[str, Any] | None = None, measured: Mapping[str, Any] | None = None
) -> Card:
    """Write the model to a folder that appears whole or not at all; an older one there is replaced."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".model-") as workshop:
        new = Path(workshop) / "model"
        new.mkdir()
        np.savez_compressed(new / ARRAYS, allow_pickle=False, **_arrays(model))
        digest = hashlib.sha256((new / ARRAYS).read_bytes()).hexdigest()
        manifest = {
            "format": FORMAT,
            "version": digest[:12],
            "sha256": digest,
            "blocks": [_block_as_json(known.block) for known in model.vectoriser.vocabularies],
            "heads": [
                {
                    "task": head.task,
                    "labels": list(head.labels),
                    "scale": head.calibration.scale,
                    "shift": list(head.calibration.shift),
                    "mixing": [list(row) for row in head.calibration.mixing],
                    "thresholds": list(head.thresholds),
                    "confidence": asdict(head.confidence) if head.confidence else None,
                    "shortcut": asdict(head.shortcut) if head.shortcut else None,
                    "trunk": head.trunk,
                    "branches": list(head.branches),
                }
                for head in model.heads.values()
            ],
            "made_from": dict(made_from or {}),
            "measured": dict(measured or {}),
        }
        manifest["seal"] = _seal(manifest)
        (new / MANIFEST).write_text(json.dumps(manifest, ensure_ascii=False, indent=1), "utf-8")
        if folder.exists():
            old = Path(workshop) / "old"
            folder.rename(old)
        try:
            new.rename(folder)
        except OSError:
            # Another process has put its own, finished model there in this very moment.
            if not (folder / MANIFEST).is_file():
                raise
    return card(folder)


def card(folder: Path) -> Card:
    """Read the manifest only."""
    manifest = _manifest(folder)
    return Card(version=manifest["version"], made_from=manifest["made_from"], measured=manifest["measured"])


def load(folder: Path) -> tuple[Model, Card]:
    """Read a model back; one that is missing, damaged or newer than this program is refused by name."""
    manifest = _manifest(folder)
    path = folder / ARRAYS
    if not path.is_file():
        raise ModelDamaged(f"分类模型“{folder.name}”缺少文件 {ARRAYS}，工单将由人工分类。")
    raw = path.read_bytes()
    if hashlib.sha256(raw).hexdigest() != manifest["sha256"]:
        raise ModelDamaged(f"分类模型“{folder.name}”的文件 {ARRAYS} 与清单不符（已损坏或被改动），工单将由人工分类。")
    try:
        with zipfile.ZipFile(path) as packed:
            if sum(entry.file_size for entry in packed.infolist()) > _MOST_BYTES:
                raise ModelDamaged(f"分类模型“{folder.name}”大得不合常理，拒绝读取。")
        with np.load(path, allow_pickle=False) as arrays:
            model = _model(manifest, arrays)
    except (KeyError, TypeError, ValueError, IndexError, OSError, zipfile.BadZipFile) as problem:
        raise ModelDamaged(
            f"分类模型“{folder.name}”无法读取（{type(problem).__name__}），工单将由人工分类。"
        ) from problem
    return model, card(folder)


def remove(folder: Path) -> None:
    """Delete a stored model."""
    if (folder / MANIFEST).is_file():
        shutil.rmtree(folder)


def size(folder: Path) -> int:
    """Return how many bytes the stored model takes."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise ModelMissing(f"没有找到分类模型“{folder.name}”（{MANIFEST}），工单将由人工分类。")
    try:
        manifest = json.loads(path.read_text("utf-8"))
    except (ValueError, OSError) as problem:
        raise ModelDamaged(f"分类模型“{folder.name}”的清单无法读取，工单将由人工分类。") from problem
    if not isinstance(manifest, dict) or not isinstance(manifest.get("format"), int):
        raise ModelDamaged(f"“{folder.name}”不是本程序的分类模型，工单将由人工分类。")
    if manifest["format"] > FORMAT:
        raise ModelTooNew(
            f"分类模型“{folder.name}”的格式为 {manifest['format']}，本程序只认识到 {FORMAT}，工单将由人工分类。"
        )
    if manifest.get("seal") != _seal(manifest):
        raise ModelDamaged(f"分类模型“{folder.name}”的清单已被改动，工单将由人工分类。")
    return manifest


def _seal(manifest: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in manifest.items() if key != "seal"}
    return hashlib.sha256(json.dumps(rest, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def _arrays(model: Model) -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    for at, known in enumerate(model.vectoriser.vocabularies):
        arrays[f"keys{at}"] = known.keys
        arrays[f"terms{at}"] = np.frombuffer("\0".join(known.terms).encode(), np.uint8)
        arrays[f"idf{at}"] = known.idf.astype(np.float16)
    for at, head in enumerate(model.heads.values()):
        # Whole numbers, scaled by label: two bytes for few labels, one for a whole category tree, whose errors
        # of half a step average out over the hundreds of features of a message.
        kind, most = (np.int16, 32_000) if len(head.labels) <= _FEW_LABELS else (np.int8, 127)
        step = np.maximum(np.abs(head.weights).max(axis=0), 1e-9) / most
        arrays[f"weights{at}"] = np.rint(head.weights / step).astype(kind)
        arrays[f"step{at}"] = step.astype(np.float32)
        arrays[f"bias{at}"] = head.bias
        if head.pull is not None:
            reach = np.maximum(np.abs(head.pull).max(axis=0), 1e-9) / most
            arrays[f"pull{at}"] = np.rint(head.pull / reach).astype(kind)
            arrays[f"reach{at}"] = reach.astype(np.float32)
        if head.told is not None:
            arrays[f"told{at}"] = head.told.astype(np.float16)
    if model.topics is not None and model.anchors is not None:
        topics = model.topics.topics if isinstance(model.topics, Whereabouts) else model.topics
        arrays["topic_columns"] = topics.columns
        arrays["topic_scale"] = topics.basis.scale
        arrays["topic_basis"] = _nibbles(topics.basis.whole)
        arrays["anchors"] = _nibbles(packed(model.anchors).whole)
        arrays["topic_shape"] = np.array([topics.basis.whole.shape[1]], np.int32)
        if isinstance(model.topics, Whereabouts):
            words = model.topics.company
            arrays["word_columns"], arrays["word_scale"] = words.body, words.vectors.scale
            arrays["word_vectors"] = _nibbles(words.vectors.whole)
            arrays["title_columns"], arrays["title_words"] = words.title, words.same
            arrays["middle"] = words.middle
    return arrays


def _nibbles(whole: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Return a matrix of -7..7, two numbers a byte, rows padded to whole bytes."""
    even = np.pad(whole, ((0, 0), (0, whole.shape[1] % 2))).astype(np.int16) + 8
    return np.asarray(even[:, ::2] * 16 + even[:, 1::2], np.uint8)


def _unpacked(bytes_: NDArray[np.uint8], width: int) -> NDArray[np.int8]:
    if bytes_.ndim != 2 or bytes_.shape[1] != (width + 1) // 2:  # noqa: PLR2004 - a matrix
        raise ValueError("packed numbers have another shape")
    both = np.stack([bytes_ >> 4, bytes_ & 15], axis=2).reshape(len(bytes_), -1)[:, :width]
    return np.asarray(both.astype(np.int8) - np.int8(8))


def _model(manifest: Mapping[str, Any], arrays: Mapping[str, Any]) -> Model:
    vocabularies = []
    for at, row in enumerate(manifest["blocks"]):
        joined = bytes(arrays[f"terms{at}"]).decode()
        vocabularies.append(
            Vocabulary(
                _block(row),
                arrays[f"keys{at}"],
                tuple(joined.split("\0")) if joined else (),
                arrays[f"idf{at}"].astype(np.float32),
            )
        )
    heads = {}
    vectoriser = Vectoriser(tuple(vocabularies))
    trusted = manifest["format"] >= 2  # noqa: PLR2004 - see FORMAT
    topics, anchors = _topics(arrays, vectoriser.size)
    for at, row in enumerate(manifest["heads"]):
        weights = arrays[f"weights{at}"].astype(np.float32) * arrays[f"step{at}"]
        if weights.shape != (vectoriser.size, len(row["labels"])):
            raise ValueError("weights do not fit the vocabulary")
        pull = arrays[f"pull{at}"].astype(np.float32) * arrays[f"reach{at}"] if f"pull{at}" in arrays else None
        if pull is not None and (anchors is None or pull.shape != (len(anchors), len(row["labels"]))):
            raise ValueError("pull does not fit the anchors")
        told = arrays[f"told{at}"].astype(np.float32) if f"told{at}" in arrays else None
        if told is not None and (pull is None or told.shape != pull.shape):
            raise ValueError("votes do not fit the anchors")
        heads[row["task"]] = Head(
            task=row["task"],
            labels=tuple(row["labels"]),
            weights=weights,
            bias=arrays[f"bias{at}"],
            calibration=Calibration(row["scale"], tuple(row["shift"]), tuple(map(tuple, row.get("mixing", ())))),
            thresholds=tuple(row["thresholds"]) if trusted else (NEVER,) * len(row["labels"]),
            confidence=_confidence(row["confidence"]) if trusted else None,
            pull=pull,
            shortcut=_shortcut(row.get("shortcut")),
            told=told,
            trunk=row.get("trunk", ""),
            branches=tuple(row.get("branches", ())),
        )
    return Model(vectoriser=vectoriser, heads=heads, topics=topics, anchors=anchors)


def _topics(arrays: Mapping[str, Any], size: int) -> tuple[Topics | Whereabouts | None, NDArray[np.float32] | None]:
    if "topic_columns" not in arrays:
        return None, None
    width = int(arrays["topic_shape"][0])
    topics = Topics(*_basis(arrays["topic_columns"], arrays["topic_basis"], arrays["topic_scale"], width, size), size)
    company = _company(arrays, size)
    whole = width if company is None else width + len(company.middle)
    anchors = unit(_unpacked(arrays["anchors"], whole).astype(np.float32))
    return topics if company is None else Whereabouts(topics, company), anchors


def _company(arrays: Mapping[str, Any], size: int) -> Company | None:
    if "word_columns" not in arrays:
        return None
    middle, title, same = arrays["middle"], arrays["title_columns"], arrays["title_words"]
    columns, vectors = _basis(
        arrays["word_columns"], arrays["word_vectors"], arrays["word_scale"], len(middle) // 2, size
    )
    if len(title) != len(same) or (len(title) and (int(title.max()) >= size or int(same.max()) >= len(columns))):
        raise ValueError("words of titles do not fit the vocabulary")
    return Company(columns, vectors, title, same, middle, size)


def _basis(  # noqa: PLR0917 - the arrays of one matrix
    columns: NDArray[np.int32], rows: NDArray[np.uint8], scale: NDArray[np.float16], width: int, size: int
) -> tuple[NDArray[np.int32], Packed]:
    whole = _unpacked(rows, width)
    if len(columns) != len(whole) or len(scale) != len(whole) or (len(columns) and int(columns.max()) >= size):
        raise ValueError("topics do not fit the vocabulary")
    return columns, Packed(whole, scale)


def _confidence(row: Mapping[str, Any] | None) -> Confidence | None:
    if row is None:
        return None
    return Confidence(tuple(row["means"]), tuple(row["spreads"]), tuple(row["weights"]), float(row["start"]))


def _shortcut(row: Mapping[str, Any] | None) -> Shortcut | None:
    return (
        None if row is None else Shortcut(lead=float(row["lead"]), slope=float(row["slope"]), shift=tuple(row["shift"]))
    )


def _block_as_json(block: Block) -> dict[str, Any]:
    return {
        "source": block.source.value,
        "unit": block.unit.value,
        "longest": block.longest,
        "rare": block.rare,
        "weight": block.weight,
    }


def _block(row: Mapping[str, Any]) -> Block:
    return Block(
        source=Source(row["source"]),
        unit=Unit(row["unit"]),
        longest=row["longest"],
        rare=row["rare"],
        weight=row["weight"],
    )


def fsync_folder(folder: Path) -> None:
    """Make a renamed folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
