"""Who may do what: the verbs, the roles, and the whole matrix on one screen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from hotline.core.errors import Denied


class Role(StrEnum):
    """What a person (or a machine) is here for."""

    OPERATOR = "operator"
    DISPATCHER = "dispatcher"
    RESPONDER = "responder"
    AUDITOR = "auditor"
    SUPERVISOR = "supervisor"
    ADMINISTRATOR = "administrator"
    ARBITER = "arbiter"
    DEVICE = "device"
    EXCHANGE = "exchange"
    PUBLIC = "public"
    SYSTEM = "system"


class Permission(StrEnum):
    """`subject:verb`, in the order of the alphabet; the sentence under each says what it allows and what not."""

    ANSWER_VET = "answer:vet"
    """Read an answer before the citizen is called; never one of one's own department."""
    CALLBACK_RECORD = "callback:record"
    """Call citizens back and record what they said; never for a ticket one has handled."""
    CALLBACK_VIEW = "callback:view"
    """See the callback queue and results."""
    CATALOGUE_EDIT = "catalogue:edit"
    """Change categories, regions, departments and the dispatch catalogue, and publish it."""
    CATALOGUE_PROPOSE = "catalogue:propose"
    """Read the dispatch catalogue and put rows into its draft; nothing is in force before somebody publishes."""
    DEADLINE_APPROVE = "deadline:approve"
    """Approve or refuse a department's wish for more time or for a pause; never one's own."""
    DEADLINE_APPROVE_FURTHER = "deadline:approve_further"
    """Approve a further extension of the same dispatch: the higher level of domain.md 2.8."""
    DISPUTE_ARGUE = "dispute:argue"
    """Put one's unit's position and documents into a dispute over whose duty a ticket is."""
    DISPUTE_CONVENE = "dispute:convene"
    """Open a dispute, hear further units and name the panel."""
    DISPUTE_RULE = "dispute:rule"
    """Sit on a panel and rule; two members of different seats are needed."""
    EXPORT_MAKE = "export:make"
    """Take lists out of the system, without personal data."""
    EXPORT_VIEW = "export:view"
    """See who took what out of the system, when, and how much."""
    FIGURES_VIEW = "figures:view"
    """See what is open, due and overdue, by department."""
    HARASSMENT_CONFIRM = "harassment:confirm"
    """Confirm, refuse or lift a limit on a caller that somebody else asked for, and take marks back."""
    HARASSMENT_MARK = "harassment:mark"
    """Mark a call as harassment, with evidence, and ask for a limit; closes no door to anybody."""
    JOBS_VIEW = "jobs:view"
    """See background work and what failed."""
    MODEL_MANAGE = "model:manage"
    """Train the text model, put one in use, go back, settle doubtful examples."""
    PERSONAL_REVEAL = "personal:reveal"
    """See a citizen's name, phone and address in clear, each time with a line in the journal."""
    RETURN_RULE = "return:rule"
    """Rule on a unit's wish to give a ticket back; never on that of a unit one belongs to."""
    REVIEW_JUDGE = "review:judge"
    """Verify and classify a bad review; two different persons are needed."""
    REVIEW_RECEIVE = "review:receive"
    """Send in reviews from a service counter's device; nothing else."""
    SETTINGS_EDIT = "settings:edit"
    """Change settings of the installation, calendars and thresholds."""
    TICKET_AMEND = "ticket:amend"
    """Correct classification and facts of a ticket."""
    TICKET_ANSWER = "ticket:answer"
    """Feed back for a department that holds the ticket."""
    TICKET_ANSWER_DIRECTLY = "ticket:answer_directly"
    """Answer a plain question on the spot and close it."""
    TICKET_CLOSE = "ticket:close"
    """Close after the callback; belongs to those who call back, not to those who handle."""
    TICKET_DESIGNATE = "ticket:designate"
    """Name the department that must handle a ticket, bindingly."""
    TICKET_DISPATCH = "ticket:dispatch"
    """Choose the department that must answer."""
    TICKET_MERGE = "ticket:merge"
    """Let tickets of one matter be answered together, and gather the callers of an incident."""
    TICKET_NOTE = "ticket:note"
    """Add a line, a contact or a file to a ticket that one may see."""
    TICKET_REASSIGN = "ticket:reassign"
    """Carry out a ruling or a designation: move a ticket from one department to another."""
    TICKET_REFUSE = "ticket:refuse"
    """Refuse with a reason from the list, told to the citizen."""
    TICKET_REGISTER = "ticket:register"
    """Take a concern in on behalf of a citizen."""
    TICKET_REWORK = "ticket:rework"
    """Send an answered ticket back to be done again."""
    TICKET_SEND_BACK = "ticket:send_back"
    """Ask to give back a ticket that is not one's own duty, with reason and basis; the hotline rules on it."""
    TICKET_SIGN = "ticket:sign"
    """Sign for a ticket on behalf of the department that holds it."""
    TICKET_SUBMIT = "ticket:submit"
    """Hand in one's own concern, track it and rate it."""
    TICKET_SUGGEST = "ticket:suggest"
    """Write down what the model suggested."""
    TICKET_SUPERVISE = "ticket:supervise"
    """Show cards, call departments to account and judge what they answer; never answers for one."""
    TICKET_TRANSFER = "ticket:transfer"
    """Hand over to 110, 119, 120 or another hotline."""
    TICKET_URGE = "ticket:urge"
    """Urge the department that holds a ticket."""
    TICKET_VIEW = "ticket:view"
    """See tickets; which ones is decided by routing.queries.visible_to."""
    TICKET_VIEW_ALL = "ticket:view_all"
    """See every ticket and not only those of one's departments."""
    TRANSFER_EXCHANGE = "transfer:exchange"
    """Take over what 110 hands over, and tell who owned in the end what crossed; nothing else of a ticket."""
    USER_EDIT = "user:edit"
    """Create and change users, roles and tokens."""


_P = Permission
_DESK: Final = frozenset({_P.TICKET_VIEW, _P.TICKET_NOTE})
_HOTLINE: Final = _DESK | {_P.TICKET_VIEW_ALL, _P.PERSONAL_REVEAL}

GRANTS: Final[Mapping[Role, frozenset[Permission]]] = {
    Role.OPERATOR: _HOTLINE
    | {
        _P.TICKET_REGISTER,
        _P.TICKET_AMEND,
        _P.TICKET_ANSWER_DIRECTLY,
        _P.TICKET_DISPATCH,
        _P.TICKET_REFUSE,
        _P.TICKET_TRANSFER,
        _P.TICKET_MERGE,
        _P.TICKET_URGE,
        _P.TRANSFER_EXCHANGE,
        _P.HARASSMENT_MARK,
    },
    Role.DISPATCHER: _HOTLINE
    | {
        _P.CATALOGUE_PROPOSE,
        _P.DISPUTE_CONVENE,
        _P.RETURN_RULE,
        _P.TICKET_AMEND,
        _P.TICKET_ANSWER_DIRECTLY,
        _P.TICKET_DISPATCH,
        _P.TICKET_REFUSE,
        _P.TICKET_TRANSFER,
        _P.DEADLINE_APPROVE,
        _P.TICKET_MERGE,
        _P.TICKET_URGE,
        _P.ANSWER_VET,
        _P.TRANSFER_EXCHANGE,
        _P.HARASSMENT_MARK,
    },
    Role.RESPONDER: _DESK
    | {_P.PERSONAL_REVEAL, _P.TICKET_SIGN, _P.TICKET_ANSWER, _P.TICKET_SEND_BACK, _P.DISPUTE_ARGUE},
    Role.AUDITOR: _HOTLINE
    | {
        _P.CALLBACK_VIEW,
        _P.CALLBACK_RECORD,
        _P.EXPORT_VIEW,
        _P.TICKET_CLOSE,
        _P.TICKET_REWORK,
        _P.REVIEW_JUDGE,
    },
    Role.SUPERVISOR: _HOTLINE
    | {
        _P.CALLBACK_VIEW,
        _P.CATALOGUE_PROPOSE,
        _P.DEADLINE_APPROVE,
        _P.DEADLINE_APPROVE_FURTHER,
        _P.ANSWER_VET,
        _P.EXPORT_MAKE,
        _P.EXPORT_VIEW,
        _P.FIGURES_VIEW,
        _P.MODEL_MANAGE,
        _P.DISPUTE_CONVENE,
        _P.DISPUTE_RULE,
        _P.RETURN_RULE,
        _P.TICKET_DESIGNATE,
        _P.TICKET_REASSIGN,
        _P.REVIEW_JUDGE,
        _P.TICKET_AMEND,
        _P.TICKET_DISPATCH,
        _P.TICKET_REWORK,
        _P.TICKET_MERGE,
        _P.TICKET_SUPERVISE,
        _P.TICKET_URGE,
        _P.TRANSFER_EXCHANGE,
        _P.HARASSMENT_CONFIRM,
        _P.HARASSMENT_MARK,
    },
    Role.ADMINISTRATOR: _DESK
    | {
        _P.TICKET_VIEW_ALL,
        _P.CATALOGUE_EDIT,
        _P.CATALOGUE_PROPOSE,
        _P.EXPORT_MAKE,
        _P.EXPORT_VIEW,
        _P.FIGURES_VIEW,
        _P.JOBS_VIEW,
        _P.MODEL_MANAGE,
        _P.SETTINGS_EDIT,
        _P.USER_EDIT,
    },
    Role.ARBITER: frozenset({_P.DISPUTE_RULE, _P.TICKET_REASSIGN}),
    Role.DEVICE: frozenset({_P.REVIEW_RECEIVE}),
    Role.EXCHANGE: frozenset({_P.TRANSFER_EXCHANGE}),
    Role.PUBLIC: frozenset({_P.TICKET_SUBMIT}),
    Role.SYSTEM: frozenset(
        {
            _P.TICKET_DESIGNATE,
            _P.TICKET_DISPATCH,
            _P.TICKET_REASSIGN,
            _P.TICKET_REGISTER,
            _P.TICKET_SUGGEST,
            _P.TICKET_NOTE,
            _P.TICKET_CLOSE,
            _P.TICKET_MERGE,
            _P.TICKET_SUPERVISE,
            _P.TICKET_URGE,
            _P.TICKET_VIEW_ALL,
            _P.TRANSFER_EXCHANGE,
        }
    ),
}

#: Roles of machines: their tokens speak for nobody.
MACHINE_ROLES: Final = (Role.DEVICE, Role.EXCHANGE)
#: Roles that a person can be given.
STAFF_ROLES: Final = (
    Role.OPERATOR,
    Role.DISPATCHER,
    Role.RESPONDER,
    Role.AUDITOR,
    Role.SUPERVISOR,
    Role.ADMINISTRATOR,
    Role.ARBITER,
)


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Who acts: cut loose from any session, so that it can be passed everywhere."""

    user_id: int | None
    role: Role
    department_ids: frozenset[int] = field(default_factory=frozenset)
    name: str = ""

    def can(self, permission: Permission) -> bool:
        """Tell whether the role has been granted the permission."""
        return permission in GRANTS[self.role]


SYSTEM: Final = Actor(user_id=None, role=Role.SYSTEM, name="系统")
PUBLIC: Final = Actor(user_id=None, role=Role.PUBLIC, name="诉求人")


def require(by: Actor, permission: Permission) -> None:
    """Raise `Denied` unless the actor may."""
    if not by.can(permission):
        raise Denied
