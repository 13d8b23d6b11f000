"""The shipped stand-in for the network: remembers in a file what was said; the default until a carrier is set up."""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from pathlib import Path

from hotline.telephony.ports import CarrierRefused


class Recorder:
    """Writes each message once per key as a line of JSON; personal data stays inside the installation's folder."""

    def __init__(self, folder: Path) -> None:
        """Keep the lines in `folder`/text-messages.jsonl and one empty file per key beside it, for the owner only."""
        self._path = folder / "text-messages.jsonl"
        self._keys = folder / "keys"

    def send(self, *, to: str, body: str, key: str) -> str:
        """Remember the message; a number that ends in 0000 plays one that the carrier refuses.

        The key is taken before the line is written: of two hand-overs at once one writes, and a crash between the two
        loses a message and never doubles one. Asking for a key costs the same however much was said before.
        """
        if to.endswith("0000"):
            raise CarrierRefused
        digest = hashlib.sha256(key.encode()).hexdigest()
        mark = self._keys / digest[:2] / digest
        mark.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return f"recorder-{key}"
        line = json.dumps({"key": key, "to": to, "body": body}, ensure_ascii=False) + "\n"
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "a", encoding="utf-8") as file:
                file.write(line)
        except OSError:
            mark.unlink()  # nothing was said, so the key is free again
            raise
        return f"recorder-{key}"

    def said(self, *, last: int = 1_000) -> list[dict[str, str]]:
        """Return the latest lines, the oldest of them first; for looking at, it reads the whole file."""
        if not self._path.exists():
            return []
        with self._path.open(encoding="utf-8") as file:
            return [json.loads(line) for line in deque(file, maxlen=last)]
