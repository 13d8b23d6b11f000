"""The model of a city without history, trained from the shipped seed corpus where it is first asked for."""

from __future__ import annotations

from pathlib import Path

from classifier import store
from classifier.errors import ModelDamaged, ModelMissing


def ensure_default_model(home: Path) -> Path:
    """Return the folder of the model trained from the shipped seed corpus, training it (< 1 min) when needed.

    It is needed when there is none for this very corpus, recipe and format; two processes that start at once
    may both train, and the second finds the first one's result in place.
    """
    from classifier import learning, seeds  # what learns is imported by whoever learns

    corpus = seeds.load()
    folder = home / f"default-{learning.default_key(corpus)}"
    try:
        store.card(folder)
    except (ModelMissing, ModelDamaged):
        learning.train_default(corpus, folder)
    return folder
