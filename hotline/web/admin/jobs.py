"""Background work: queues, timetable, and what needs a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import redis
from flask import Blueprint, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from hotline.core import outbox, periodic
from hotline.core.permissions import Permission
from hotline.telephony.actions import stuck
from hotline.web import forms, labels, present
from hotline.web.admin.layout import Row
from hotline.web.gate import db, now, page, tools
from hotline.wiring import SCHEDULE, queue_lengths

bp = Blueprint("jobs", __name__, url_prefix="/admin")


@dataclass(frozen=True, kw_only=True)
class JobsPage:
    """Background work."""

    queue_ok: bool
    queues: Sequence[tuple[str, int]]
    waiting: int
    timetable: Sequence[Row]
    given_up: Sequence[Row]
    messages: Sequence[Row]


@bp.get("/jobs")
@page(Permission.JOBS_VIEW)
def jobs() -> ResponseReturnValue:
    """Show queues, timetable, and what needs a person."""
    queue_ok, queues = _queues()
    with db().read() as session:
        runs = periodic.latest(session)
        broken = outbox.given_up(session)
        waiting = outbox.waiting(session)
        messages = stuck(session, now=now(), limit=50)
    timetable = []
    for job in SCHEDULE:
        run = runs.get(job.name)
        late = run is None or run.succeeded_at is None or now() - run.succeeded_at > max(job.every * 5, _LATE)
        timetable.append(
            Row(
                href="",
                cells={
                    "name": job.words,
                    "every": present.span_words(job.every.total_seconds()),
                    "started": present.moment(run.started_at, seconds=True) if run else "从未",
                    "succeeded": present.moment(run.succeeded_at, seconds=True) if run else "从未",
                    "error": run.last_error if run else "",
                },
                tone="warning" if late else None,
            )
        )
    return render_template(
        "administration/jobs.html",
        page=JobsPage(
            queue_ok=queue_ok,
            queues=queues,
            waiting=waiting,
            timetable=timetable,
            given_up=[
                Row(
                    id=row.id,
                    href="",
                    cells={"event": row.event, "created": present.moment(row.created_at), "error": row.last_error},
                )
                for row in broken
            ],
            messages=[
                Row(
                    href="",
                    cells={
                        "purpose": row.purpose,
                        "to": row.to_masked,
                        "created": present.moment(row.created_at),
                        "state": labels.label(row.state),
                        "error": row.last_error,
                    },
                )
                for row in messages
            ],
        ),
    )


@bp.post("/jobs/outbox/<int:outbox_id>")
@page(Permission.SETTINGS_EDIT)
def try_again(outbox_id: int) -> ResponseReturnValue:
    """Give something that was given up a fresh set of tries."""
    with db().begin() as session:
        outbox.try_again(session, outbox_id=outbox_id)
    forms.told("success", "已重新送出，稍后刷新查看结果。")
    return redirect(url_for("jobs.jobs"), 303)


_LATE = timedelta(minutes=2)


def _queues() -> tuple[bool, list[tuple[str, int]]]:
    """Ask the queue server, briefly; the pages work without it."""
    if not tools().settings.redis_url:
        return False, []
    connection = redis.Redis.from_url(tools().settings.redis_url, socket_connect_timeout=1, socket_timeout=1)
    try:
        return True, [(labels.words(name), length) for name, length in queue_lengths(connection).items()]
    except redis.RedisError:
        return False, []
    finally:
        connection.close()
