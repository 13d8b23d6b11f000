"""The words of the ticket core: kinds, channels, request types, urgencies, and a concern that has been checked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Kind(StrEnum):
    """What became a ticket: a concern, or a bad review at a service counter (差评)."""

    CONCERN = "concern"
    BAD_REVIEW = "bad_review"


class Channel(StrEnum):
    """How it came in (domain.md 1.4)."""

    PHONE = "phone"
    WEB = "web"
    WECHAT = "wechat"
    APP = "app"
    SMS = "sms"
    EMAIL = "email"
    PROVINCE = "province"
    MAYOR_MAILBOX = "mayor_mailbox"
    POLICE_110 = "110"
    REVIEW = "review"
    IMPORT = "import"


class RequestType(StrEnum):
    """What the citizen wants (domain.md 1.2); the border 求助/投诉 is each city's own."""

    CONSULTATION = "咨询"
    HELP = "求助"
    COMPLAINT = "投诉"
    TIP_OFF = "举报"
    PROPOSAL = "建议"
    PRAISE = "表扬"
    OTHER = "其他"


class LookReason(StrEnum):
    """Why somebody looks at a citizen's personal data (domain.md 7 a): one of these, or words of his own."""

    CONTACT = "contact"
    CALLBACK = "callback"
    VERIFY = "verify"
    LAWFUL = "lawful"


class Urgency(StrEnum):
    """How soon harm is done (domain.md 1.6)."""

    VERY_URGENT = "特急"
    URGENT = "紧急"
    ORDINARY = "一般"


@dataclass(frozen=True, kw_only=True)
class NewTicket:
    """A checked concern on its way into the core; texts are clean, lengths are right (intake.rules)."""

    title: str
    content: str
    channel: Channel
    request_type: RequestType = RequestType.OTHER
    urgency: Urgency = Urgency.ORDINARY
    kind: Kind = Kind.CONCERN
    category_id: int | None = None
    region_id: int | None = None
    #: Name of a public service item, or nothing.
    service_item: str = ""
    place: str = ""
    company: str = ""
    happened_at: datetime | None = None
    name: str = ""
    phone: str = ""
    address: str = ""
    id_number: str = ""
    anonymous: bool = False
    confidential: bool = False
    wants_callback: bool = True
    source_system: str | None = None
    source_key: str | None = None
    repeats_id: int | None = None
