"""The map: which act leads from where to where, and who may; the only place that knows (domain.md 2.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from hotline.core.errors import WrongState
from hotline.core.permissions import Permission
from hotline.tickets.vocabulary import Kind


class State(StrEnum):
    """Where a ticket stands; what exactly is going on inside a department is told by its dispatch."""

    REGISTERED = "registered"
    DISPATCHED = "dispatched"
    SIGNED = "signed"
    ANSWERED = "answered"
    CLOSED = "closed"


class Outcome(StrEnum):
    """Why a ticket is closed; exactly the closed ones have one."""

    ANSWERED_DIRECTLY = "answered_directly"
    REFUSED = "refused"
    TRANSFERRED = "transferred"
    WITHDRAWN = "withdrawn"
    CONFIRMED = "confirmed"
    UNREACHABLE = "unreachable"
    DECLINED = "declined"


class Act(StrEnum):
    """What can be done to a ticket; each is one line in the journal."""

    REGISTER = "register"
    ANSWER_DIRECTLY = "answer_directly"
    REFUSE = "refuse"
    TRANSFER = "transfer"
    WITHDRAW = "withdraw"
    DISPATCH = "dispatch"
    SIGN = "sign"
    #: A unit's return has taken effect: the hotline upheld it.
    SEND_BACK = "send_back"
    ANSWER = "answer"
    CONFIRM = "confirm"
    GIVE_UP_CALLING = "give_up_calling"
    DECLINE_CALLBACK = "decline_callback"
    REWORK = "rework"
    # Acts that leave the ticket where it stands:
    AMEND = "amend"
    ASK_RETURN = "ask_return"
    ATTACH = "attach"
    CALL = "call"
    CONTACT = "contact"
    NOTE = "note"
    RATE = "rate"
    REFUSE_RETURN = "refuse_return"
    REVEAL = "reveal"
    REPEAT = "repeat"
    SUGGEST = "suggest"
    VERIFY = "verify"
    RECTIFY = "rectify"
    ASK_SUSPENSION = "ask_suspension"
    ASK_EXTENSION = "ask_extension"
    TAKE_BACK = "take_back"
    SUSPEND = "suspend"
    RESUME = "resume"
    EXTEND = "extend"
    REFUSE_TIME = "refuse_time"
    RECLASSIFY = "reclassify"
    #: The calendar or the city's limits changed, and open deadlines with them.
    RECOUNT = "recount"
    SHARE = "share"
    SIGN_PART = "sign_part"
    ANSWER_PART = "answer_part"
    END_PART = "end_part"
    WITHDRAW_RETURN = "withdraw_return"
    CARD = "card"
    URGE = "urge"
    SUPERVISE = "supervise"
    ACCOUNT = "account"
    SETTLE = "settle"
    CLEAR_ANSWER = "clear_answer"
    SEND_BACK_ANSWER = "send_back_answer"
    OPEN_DISPUTE = "open_dispute"
    ARGUE = "argue"
    CONVENE = "convene"
    RULE = "rule"
    DESIGNATE = "designate"
    #: A ruling or a designation moves the ticket to another department.
    REASSIGN = "reassign"
    RECALL = "recall"
    MERGE = "merge"
    UNMERGE = "unmerge"
    #: Another line handed the matter over; who owned in the end what crossed.
    RECEIVE_TRANSFER = "receive_transfer"
    SETTLE_TRANSFER = "settle_transfer"
    MARK_HARASSMENT = "mark_harassment"
    CLEAR_HARASSMENT = "clear_harassment"
    ASK_LIMIT = "ask_limit"
    LIMIT_CALLER = "limit_caller"
    REFUSE_LIMIT = "refuse_limit"
    LIFT_LIMIT = "lift_limit"
    #: A department below looked at the number by which it reaches the citizen; it called by it. How a call ended is told
    #: by the carrier, perhaps after the ticket has gone on.
    SHOW_RELAY = "show_relay"
    CALL_BY_RELAY = "call_by_relay"
    #: An edition of the dispatch catalogue says otherwise than the ruling on this ticket.
    OVERRULE = "overrule"


@dataclass(frozen=True, kw_only=True)
class Move:
    """One row of the map."""

    act: Act
    sources: frozenset[State]
    target: State | None
    permission: Permission
    outcome: Outcome | None = None


_ANY: Final = frozenset(State)
_OPEN: Final = _ANY - {State.CLOSED}
_S, _P, _O = State, Permission, Outcome


def _move(  # noqa: PLR0917 - one row of the table below
    act: Act,
    sources: set[State] | frozenset[State],
    target: State | None,
    permission: Permission,
    outcome: Outcome | None = None,
) -> tuple[Act, Move]:
    return act, Move(act=act, sources=frozenset(sources), target=target, permission=permission, outcome=outcome)


# fmt: off
MOVES: Final[Mapping[Act, Move]] = dict((
    _move(Act.ANSWER_DIRECTLY,  {_S.REGISTERED},                             _S.CLOSED,     _P.TICKET_ANSWER_DIRECTLY, _O.ANSWERED_DIRECTLY),
    _move(Act.REFUSE,           {_S.REGISTERED},                             _S.CLOSED,     _P.TICKET_REFUSE,          _O.REFUSED),
    _move(Act.TRANSFER,         {_S.REGISTERED},                             _S.CLOSED,     _P.TICKET_TRANSFER,        _O.TRANSFERRED),
    _move(Act.WITHDRAW,         {_S.REGISTERED, _S.DISPATCHED, _S.SIGNED},   _S.CLOSED,     _P.TICKET_AMEND,           _O.WITHDRAWN),
    _move(Act.DISPATCH,         {_S.REGISTERED},                             _S.DISPATCHED, _P.TICKET_DISPATCH),
    _move(Act.SIGN,             {_S.DISPATCHED},                             _S.SIGNED,     _P.TICKET_SIGN),
    _move(Act.SEND_BACK,        {_S.DISPATCHED, _S.SIGNED},                  _S.REGISTERED, _P.RETURN_RULE),
    _move(Act.ANSWER,           {_S.SIGNED},                                 _S.ANSWERED,   _P.TICKET_ANSWER),
    _move(Act.CONFIRM,          {_S.ANSWERED},                               _S.CLOSED,     _P.TICKET_CLOSE,           _O.CONFIRMED),
    _move(Act.GIVE_UP_CALLING,  {_S.ANSWERED},                               _S.CLOSED,     _P.TICKET_CLOSE,           _O.UNREACHABLE),
    _move(Act.DECLINE_CALLBACK, {_S.ANSWERED},                               _S.CLOSED,     _P.TICKET_CLOSE,           _O.DECLINED),
    _move(Act.REWORK,           {_S.ANSWERED, _S.CLOSED},                    _S.DISPATCHED, _P.TICKET_REWORK),
    _move(Act.AMEND,            _OPEN,                                       None,          _P.TICKET_AMEND),
    _move(Act.ASK_RETURN,       {_S.DISPATCHED, _S.SIGNED},                  None,          _P.TICKET_SEND_BACK),
    _move(Act.ATTACH,           _ANY,                                        None,          _P.TICKET_NOTE),
    _move(Act.CALL,             {_S.ANSWERED},                               None,          _P.CALLBACK_RECORD),
    _move(Act.CONTACT,          {_S.DISPATCHED, _S.SIGNED},                  None,          _P.TICKET_ANSWER),
    _move(Act.NOTE,             _ANY,                                        None,          _P.TICKET_NOTE),
    _move(Act.RATE,             _ANY,                                        None,          _P.TICKET_SUBMIT),
    _move(Act.REFUSE_RETURN,    {_S.DISPATCHED, _S.SIGNED},                  None,          _P.RETURN_RULE),
    _move(Act.REVEAL,           _ANY,                                        None,          _P.PERSONAL_REVEAL),
    _move(Act.REPEAT,           _ANY,                                        None,          _P.TICKET_REGISTER),
    _move(Act.SUGGEST,          _ANY,                                        None,          _P.TICKET_SUGGEST),
    _move(Act.VERIFY,           _OPEN,                                       None,          _P.REVIEW_JUDGE),
    _move(Act.RECTIFY,          {_S.SIGNED, _S.ANSWERED},                    None,          _P.TICKET_ANSWER),
    _move(Act.ASK_SUSPENSION,   {_S.DISPATCHED, _S.SIGNED},                  None,          _P.TICKET_ANSWER),
    _move(Act.ASK_EXTENSION,    {_S.DISPATCHED, _S.SIGNED},                  None,          _P.TICKET_ANSWER),
    _move(Act.TAKE_BACK,        {_S.DISPATCHED, _S.SIGNED},                  None,          _P.TICKET_ANSWER),
    _move(Act.SUSPEND,          {_S.DISPATCHED, _S.SIGNED},                  None,          _P.DEADLINE_APPROVE),
    _move(Act.RESUME,           {_S.DISPATCHED, _S.SIGNED},                  None,          _P.TICKET_NOTE),
    _move(Act.EXTEND,           {_S.DISPATCHED, _S.SIGNED},                  None,          _P.DEADLINE_APPROVE),
    _move(Act.REFUSE_TIME,      {_S.DISPATCHED, _S.SIGNED},                  None,          _P.DEADLINE_APPROVE),
    _move(Act.RECLASSIFY,       {_S.DISPATCHED, _S.SIGNED},                  None,          _P.TICKET_DISPATCH),
    _move(Act.RECOUNT,          {_S.DISPATCHED, _S.SIGNED},                  None,          _P.TICKET_NOTE),
    _move(Act.SHARE,            {_S.DISPATCHED, _S.SIGNED},                  None,          _P.TICKET_NOTE),
    _move(Act.SIGN_PART,        {_S.DISPATCHED, _S.SIGNED},                  None,          _P.TICKET_SIGN),
    _move(Act.ANSWER_PART,      {_S.DISPATCHED, _S.SIGNED},                  None,          _P.TICKET_ANSWER),
    _move(Act.END_PART,         {_S.DISPATCHED, _S.SIGNED},                  None,          _P.TICKET_NOTE),
    _move(Act.WITHDRAW_RETURN,  {_S.DISPATCHED, _S.SIGNED},                  None,          _P.TICKET_SEND_BACK),
    _move(Act.CARD,             {_S.DISPATCHED, _S.SIGNED},                  None,          _P.TICKET_SUPERVISE),
    _move(Act.URGE,             {_S.DISPATCHED, _S.SIGNED},                  None,          _P.TICKET_URGE),
    _move(Act.SUPERVISE,        {_S.DISPATCHED, _S.SIGNED, _S.ANSWERED},     None,          _P.TICKET_SUPERVISE),
    _move(Act.ACCOUNT,          _ANY,                                        None,          _P.TICKET_ANSWER),
    _move(Act.SETTLE,           _ANY,                                        None,          _P.TICKET_SUPERVISE),
    _move(Act.CLEAR_ANSWER,      {_S.ANSWERED},                               None,          _P.ANSWER_VET),
    _move(Act.SEND_BACK_ANSWER, {_S.ANSWERED},                               _S.SIGNED,     _P.ANSWER_VET),
    _move(Act.OPEN_DISPUTE,     {_S.DISPATCHED, _S.SIGNED},                  None,          _P.TICKET_NOTE),
    _move(Act.ARGUE,            _ANY,                                        None,          _P.DISPUTE_ARGUE),
    _move(Act.CONVENE,          _ANY,                                        None,          _P.DISPUTE_CONVENE),
    _move(Act.RULE,             _ANY,                                        None,          _P.DISPUTE_RULE),
    _move(Act.DESIGNATE,        {_S.DISPATCHED, _S.SIGNED},                  None,          _P.TICKET_DESIGNATE),
    _move(Act.REASSIGN,         {_S.DISPATCHED, _S.SIGNED},                  _S.DISPATCHED, _P.TICKET_REASSIGN),
    _move(Act.RECALL,           {_S.DISPATCHED, _S.SIGNED},                  _S.REGISTERED, _P.TICKET_MERGE),
    _move(Act.MERGE,            {_S.REGISTERED},                             None,          _P.TICKET_MERGE),
    _move(Act.UNMERGE,          {_S.REGISTERED},                             None,          _P.TICKET_MERGE),
    _move(Act.RECEIVE_TRANSFER, {_S.REGISTERED},                             None,          _P.TRANSFER_EXCHANGE),
    _move(Act.SETTLE_TRANSFER,  _ANY,                                        None,          _P.TRANSFER_EXCHANGE),
    _move(Act.MARK_HARASSMENT,  _ANY,                                        None,          _P.HARASSMENT_MARK),
    _move(Act.CLEAR_HARASSMENT, _ANY,                                        None,          _P.HARASSMENT_CONFIRM),
    _move(Act.ASK_LIMIT,        _ANY,                                        None,          _P.HARASSMENT_MARK),
    _move(Act.LIMIT_CALLER,     _ANY,                                        None,          _P.HARASSMENT_CONFIRM),
    _move(Act.REFUSE_LIMIT,     _ANY,                                        None,          _P.HARASSMENT_CONFIRM),
    _move(Act.LIFT_LIMIT,       _ANY,                                        None,          _P.HARASSMENT_CONFIRM),
    _move(Act.SHOW_RELAY,       {_S.DISPATCHED, _S.SIGNED},                  None,          _P.TICKET_ANSWER),
    _move(Act.CALL_BY_RELAY,    _ANY,                                        None,          _P.TICKET_NOTE),
    _move(Act.OVERRULE,         _ANY,                                        None,          _P.CATALOGUE_EDIT),
))
# fmt: on

#: Acts that make a person one of those who handled the ticket and so keep him from its callback (domain.md 3.2).
#: Whoever only took the concern in, looked it up or called back did not handle it; whoever supervised it did.
HANDLING: Final = frozenset(
    {
        Act.SIGN,
        Act.ASK_RETURN,
        Act.WITHDRAW_RETURN,
        Act.REFUSE_RETURN,
        Act.ARGUE,
        Act.RULE,
        Act.DESIGNATE,
        Act.REASSIGN,
        Act.SEND_BACK,
        Act.ANSWER,
        Act.CONTACT,
        Act.RECTIFY,
        Act.DISPATCH,
        Act.ANSWER_DIRECTLY,
        Act.SIGN_PART,
        Act.ANSWER_PART,
        Act.SUPERVISE,
        Act.ACCOUNT,
        Act.SETTLE,
    }
)

#: Ends that pass a unit and its callback by: none for a bad review, which is rectified and called back (domain.md 4.3).
NOT_FOR_REVIEWS: Final = frozenset({Act.ANSWER_DIRECTLY, Act.REFUSE, Act.TRANSFER})


def check(act: Act, state: State) -> Move:
    """Return the row of the map for this act, or raise `WrongState` when the ticket stands elsewhere."""
    move = MOVES[act]
    if state not in move.sources:
        raise WrongState
    return move


def acts_from(state: State, kind: Kind = Kind.CONCERN) -> tuple[Act, ...]:
    """Return the acts that the map offers a ticket of this kind from a state, in the order of the map."""
    barred = NOT_FOR_REVIEWS if kind is Kind.BAD_REVIEW else frozenset[Act]()
    return tuple(act for act, move in MOVES.items() if state in move.sources and act not in barred)


def diagram() -> str:
    """Return the map as a Mermaid state diagram; docs/ticket-map.md holds exactly this."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.REGISTERED}: {Act.REGISTER}"]
    for act, move in MOVES.items():
        if move.target is not None:
            lines += [f"    {source} --> {move.target}: {act}" for source in State if source in move.sources]
    lines.append(f"    {State.CLOSED} --> [*]")
    return "\n".join(lines)
