"""The shipped stand-in for the network: remembers in a file what was said; the default until a carrier is set up."""

from __future__ import annotations

import json
import os
from pathlib import Path

from hotline.telephony.ports import CarrierRefused


class Recorder:
    """Writes each message once per key as a line of JSON; personal data stays inside the installation's folder."""

    def __init__(self, folder: Path) -> None:
        """Keep the lines in `folder`/text-messages.jsonl, readable by the owner only."""
        self._path = folder / "text-messages.jsonl"

    def send(self, *, to: str, body: str, key: str) -> str:
        """Remember the message; a number that ends in 0000 plays one that the carrier refuses."""
        if to.endswith("0000"):
            raise CarrierRefused
        if any(line["key"] == key for line in self.said(last=200)):
            return f"recorder-{key}"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, "to": to, "body": body}, ensure_ascii=False) + "\n")
        return f"recorder-{key}"

    def said(self, *, last: int = 1_000) -> list[dict[str, str]]:
        """Return the latest lines, the oldest of them first."""
        if not self._path.exists():
            return []
        return [json.loads(line) for line in self._path.read_text(encoding="utf-8").splitlines()[-last:]]
