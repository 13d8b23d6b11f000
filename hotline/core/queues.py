"""The queues: one per resource that can run short, not one per feature."""

from __future__ import annotations

from enum import StrEnum


class QueueName(StrEnum):
    """Where background work waits."""

    DEFAULT = "default"
    TELEPHONY = "telephony"
    CLASSIFIER = "classifier"
    REPORTS = "reports"
