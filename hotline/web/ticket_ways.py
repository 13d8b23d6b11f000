"""What may be done with a ticket next, as links: what the map, the grants and the desks allow this person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import url_for

from callbacks.queries import CallbackStory
from hotline.core.permissions import Actor, Permission
from hotline.tickets.models import Ticket
from hotline.tickets.queries import TimelineEntry
from hotline.tickets.states import HANDLING, MOVES, Act, State, acts_from
from hotline.tickets.vocabulary import Kind
from routing.answers.parts import PartView
from routing.queries import DispatchView


@dataclass(frozen=True, kw_only=True)
class Way:
    """One thing that this person can do with the ticket now."""

    words: str
    href: str
    tone: str = "secondary"
    key: str | None = None
    icon: str | None = None


def part_ways(shared: Sequence[PartView], *, by: Actor) -> list[Way]:
    """Return the way to the part that one's own department has to do."""
    mine = [one for one in shared if one.row.department_id in by.department_ids and one.row.ended_at is None]
    if not mine or not by.can(Permission.TICKET_ANSWER) or mine[-1].lead_id in by.department_ids:
        return []
    href = url_for("part.show", subtask_id=mine[-1].row.id)
    return [Way(words="办理协办任务", href=href, tone="primary", key="alt+r", icon="git-merge")]


def ways(
    ticket: Ticket,
    dispatches: Sequence[DispatchView],
    callbacks: Sequence[CallbackStory],
    entries: Sequence[TimelineEntry],
    *,
    by: Actor,
) -> list[Way]:
    """Return what the map offers from here, what this person was granted, and what he himself may do in this case."""
    offered = {act for act in acts_from(ticket.state, ticket.kind) if by.can(MOVES[act].permission)}
    holder = next((row for row in dispatches if row.is_current and not row.ended_at), None)
    holds = holder is not None and holder.department_id in by.department_ids
    waiting = next((story.callback for story in callbacks if story.callback.done_at is None), None)
    handled = {entry.by_id for entry in entries if entry.act in HANDLING}
    number = ticket.number
    found = []
    if Act.DISPATCH in offered:
        found.append(Way(words="派单", href=f"/dispatch/{number}", tone="primary", key="alt+p", icon="send"))
    if holds and offered & {Act.SIGN, Act.ANSWER, Act.CONTACT, Act.ASK_RETURN}:
        words = "签收办理" if Act.SIGN in offered else "办理答复"
        found.append(
            Way(words=words, href=f"/department/{number}", tone="primary", key="alt+r", icon="clipboard-check")
        )
    if ticket.state in {State.REGISTERED, State.DISPATCHED, State.SIGNED}:
        found += _duty_ways(number, by=by, holds=holds)
    if waiting is not None and Act.CALL in offered and by.user_id not in handled:
        found.append(
            Way(words="回访", href=f"/callbacks/{waiting.id}", tone="primary", key="alt+h", icon="phone-outgoing")
        )
    if any(row.is_current for row in dispatches):
        found.append(Way(words="协办", href=f"/tickets/{number}/parts", icon="git-merge"))
    if dispatches:
        found.append(Way(words="时限说明", href=f"/tickets/{number}/deadlines", icon="clock-hour-4"))
    if ticket.kind is Kind.BAD_REVIEW and Act.VERIFY in offered:
        found.append(Way(words="差评认定", href="/reviews", icon="gavel"))
    found += [
        Way(words=words, href=url_for(f"tickets.{endpoint}", number=number), key=key, icon=icon, tone=tone)
        for act, words, endpoint, key, icon, tone in (
            (Act.ANSWER_DIRECTLY, "直接答复", "answer_form", "alt+r", "message", "secondary"),
            (Act.REFUSE, "不予受理", "refuse_form", "alt+j", "ban", "secondary"),
            (Act.TRANSFER, "转接", "transfer_form", "alt+t", "arrow-forward-up", "secondary"),
            (Act.REWORK, "重办", "rework_form", None, "refresh", "secondary"),
            (Act.AMEND, "修改", "edit_form", None, "edit", "secondary"),
            (Act.WITHDRAW, "撤单", "withdraw_form", None, "x", "danger"),
        )
        if act in offered and (act is not Act.REWORK or (dispatches and waiting is None))
    ]
    if by.can(Permission.HARASSMENT_MARK) and ticket.phone_index is not None and ticket.kind is Kind.CONCERN:
        found.append(Way(words="骚扰来电", href=url_for("harassment.caller", number=number), icon="ban"))
    if by.can(Permission.TICKET_MERGE) and ticket.kind is Kind.CONCERN and ticket.state is not State.CLOSED:
        found.append(Way(words="并单", href=url_for("relations.merge_form", number=number), icon="git-merge"))
    found += [
        Way(words=words, href=url_for(f"notices.{endpoint}", number=number), key=key, icon=icon)
        for act, words, endpoint, key, icon in (
            (Act.URGE, "催办", "urge_form", "alt+u", "bell"),
            (Act.SUPERVISE, "督办", "supervise_form", "alt+k", "alert-triangle"),
        )
        if act in offered
    ]
    return found


def _duty_ways(number: str, *, by: Actor, holds: bool) -> list[Way]:
    """Return the ways that settle whose duty the ticket is."""
    found = []
    if by.can(Permission.DISPUTE_CONVENE) or (holds and by.can(Permission.DISPUTE_ARGUE)):
        found.append(Way(words="提请职责裁定", href=url_for("disputes.ask_form", number=number), icon="scale"))
    if by.can(Permission.TICKET_DESIGNATE):
        found.append(Way(words="指定承办", href=url_for("disputes.designate_form", number=number), icon="flag"))
    return found
