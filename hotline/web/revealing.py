"""Where a masked value of a citizen is shown in clear: for each field of a ticket the way there, or none."""

from __future__ import annotations

from collections.abc import Mapping

from flask import url_for

from hotline.tickets.actions import may_reveal
from hotline.tickets.models import Ticket
from hotline.web.gate import actor


def reveal_hrefs(ticket: Ticket) -> Mapping[str, str | None]:
    """Return the way for name, phone and address; none where nothing stands or this person may not know it."""
    may_know = may_reveal(ticket, actor())
    masked = {"name": ticket.name_masked, "phone": ticket.phone_masked, "address": ticket.address_masked}
    return {
        name: url_for("tickets.reveal", number=ticket.number, what=name) if may_know and words else None
        for name, words in masked.items()
    }
