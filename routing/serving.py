"""Which model and words this process answers with; newly promoted and published ones are noticed without a restart.

The file `in-use.json` in the folder of models says which version answers (classifier/registry.py). Looking at it
costs one stat, so every process looks every other second and loads the new version in the request that notices it
(under half a second); the old one answers until then. See docs/decisions/0017-learning-in-use.md.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import SQLAlchemyError

from hotline.core.db import Database
from hotline.core.errors import HotlineError
from routing.learning import words
from routing.learning.words import City, Tree

if TYPE_CHECKING:  # numpy and scipy: only in processes that ask the model
    from classifier.suggest import Suggester

_log = logging.getLogger("hotline")
LOOK_EVERY_S: Final = 2.0
READ_AGAIN_S: Final = 600.0
FOLDER: Final = "models"
_PAGE: Final = "in-use.json"


def models_folder(home: Path) -> Path:
    """Return where an installation keeps its models."""
    return home / FOLDER


class Serving:
    """Holds the suggester of this process and exchanges it when another model is in use."""

    def __init__(self, home: Path, *, ticks: Callable[[], float], db: Database | None = None) -> None:
        """Take the folder of models and a clock that only goes forward (`time.monotonic`); nothing is loaded yet.

        `db` is where the city's words are kept; without it the shipped words alone are read.
        """
        self._home = home
        self._db = db
        self._words: City | None = None
        self._words_stamp: object = None
        self._tree: Tree | None = None
        self._read = 0.0
        self._ticks = ticks
        self._lock = threading.Lock()
        self._suggester: Suggester | None = None
        self._stamp: object = None
        self._looked = 0.0

    def suggester(self) -> Suggester:
        """Return the suggester of the model in use; one that abstains and says why when there is none to load."""
        ready = self._suggester
        if ready is not None and self._ticks() - self._looked < LOOK_EVERY_S:
            return ready
        with self._lock:
            self._looked = self._ticks()
            stamp, fresh = self._look(), self._look_at_words()
            if self._suggester is None or stamp != self._stamp:
                self._suggester, self._stamp = self._load(), stamp
                fresh = self._words
            if fresh is not None:
                from classifier import text

                text.use_city_words(fresh.text)
                self._suggester = self._suggester.with_signals(fresh.signals())
                if self._tree is not None and self._tree.leaves:
                    self._suggester = self._suggester.with_city(self._tree.corpus(), self._tree.newcomers)
            return self._suggester

    def _look_at_words(self) -> City | None:
        """Return the city's words when they are others than before; a database that is away changes nothing."""
        if self._db is None:
            return None
        try:
            with self._db.read() as session:
                stamp = words.stamp(session)
                # First examples of new categories come in all the time; nobody counts them, they are just read again.
                stale = self._looked - self._read > READ_AGAIN_S
                if stamp == self._words_stamp and not stale:
                    return None
                self._words, self._words_stamp, self._read = words.city(session), stamp, self._looked
                self._tree = words.tree(session)
        except (HotlineError, SQLAlchemyError) as error:  # away, or not migrated yet
            _log.warning("the city's words cannot be read, those before hold: %s", error)
            return None
        return self._words

    def _look(self) -> object:
        try:
            seen = (self._home / _PAGE).stat()
        except OSError:
            return None
        return (seen.st_mtime_ns, seen.st_size, seen.st_ino)

    def _load(self) -> Suggester:
        from classifier import registry
        from classifier.errors import ClassifierError
        from classifier.suggest import Suggester

        try:
            return Suggester.load(registry.folder_in_use(self._home))
        except (ClassifierError, OSError) as error:
            if self._suggester is not None and self._suggester.model is not None:
                _log.error("the promoted text model cannot be read, the one before answers on: %s", error)
                return self._suggester
            _log.error("the text model cannot be used, tickets go to people: %s", error)
            return Suggester.without_model(f"分类模型不可用：{error}")
