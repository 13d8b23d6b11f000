"""Where everybody lands, what is alive on every page, and the pages about the house itself."""

from __future__ import annotations

from typing import Final

from flask import Blueprint, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from hotline.core.permissions import Permission
from hotline.web.gate import actor, db, for_staff, open_to_all

bp = Blueprint("desk", __name__)

#: The page that each desk begins with; the first permission that a person has decides.
LANDING: Final[tuple[tuple[Permission, str], ...]] = (
    (Permission.TICKET_REGISTER, "intake.new"),
    (Permission.TICKET_ANSWER, "department.inbox"),
    (Permission.CALLBACK_RECORD, "callback.queue"),
    (Permission.FIGURES_VIEW, "supervision.overview"),
    (Permission.TICKET_DISPATCH, "dispatch.queue"),
    (Permission.DISPUTE_RULE, "disputes.queue"),
)


@bp.get("/desk")
@for_staff
def home() -> ResponseReturnValue:
    """Go to the page with which this person's work begins."""
    for permission, endpoint in LANDING:
        if actor().can(permission):
            return redirect(url_for(endpoint))
    return redirect(url_for("account.password_form"))


@bp.get("/health")
@open_to_all
def health() -> ResponseReturnValue:
    """Answer whether this process and its database work; nothing else is told."""
    db().ask()
    return {"status": "ok"}


@bp.get("/style")
@for_staff
def style() -> ResponseReturnValue:
    """Show every component of the look in every state."""
    return render_template("style/show.html")
