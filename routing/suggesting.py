"""Asks the model about a ticket, keeps what it said, and sends the sure ones out (house rule: a person may differ)."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from hotline.core.db import keyring_of
from hotline.core.permissions import SYSTEM
from hotline.tickets import actions as tickets
from hotline.tickets.models import Category, Region, Ticket
from hotline.tickets.states import Act, State
from hotline.tickets.vocabulary import Kind, Urgency
from routing import actions
from routing.answers import parts
from routing.catalogue import editions as catalogue
from routing.catalogue import territory
from routing.catalogue.territory import owner_of
from routing.duty import precedents
from routing.duty.precedents import PrecedentView
from routing.learning import limits
from routing.learning.examples import DISTRICT
from routing.models import PARTS_ONLY, Department, Suggestion
from routing.queries import department_by_code
from routing.relations.models import Merge
from routing.rules import Decision, decide

if TYPE_CHECKING:  # the model and its libraries are loaded by the processes that ask it, and by no other
    from classifier.departments import Voices
    from classifier.explanations import Highlight
    from classifier.signals import Risk
    from classifier.suggest import Suggester, Suggestions

#: A mark on a ticket that says nothing about its risk.
MODEL_DOWN: Final = "model_down"
#: Streets are regions of this level.
_STREET: Final = 3
_MOST_CANDIDATES: Final = 3


def suggest_department(session: Session, ticket_id: int, *, suggester: Suggester, now: datetime) -> Suggestion | None:
    """Write down what the model says of a registered ticket, and dispatch it when it is sure enough.

    Nothing happens to a ticket that a person has already sent out. A model that is missing abstains, so the ticket
    stands at the dispatcher's desk with the reason (domain.md 11: "model down").
    """
    ticket = session.get(Ticket, ticket_id)
    if ticket is None or ticket.state is not State.REGISTERED or ticket.kind is Kind.BAD_REVIEW:
        return None
    said = suggester.suggest(*_original(session, ticket), at=ticket.registered_at)
    body = told(said)
    known = keyring_of(session).open(ticket.personal_sealed)
    own = [known[name] for name in ("name", "address") if len(known.get(name, "")) > 1]
    body["words"] = [
        word for word in body["words"] if not any(word["text"] in one or one in word["text"] for one in own)
    ]
    lead = said.departments.lead[0] if said.departments.lead else None
    category = _category(session, said.category.best.label if said.category.best else "")
    stated = session.get(Category, ticket.category_id) if ticket.category_id else None
    _locate(session, ticket, body, address=known.get("address", ""), now=now)
    matter = stated or category
    proposal = (
        catalogue.proposal_for(
            session,
            category_id=matter.id,
            region_id=ticket.region_id,
            request_type=ticket.request_type.value,
            service_item=ticket.service_item or "",
            now=now,
        )
        if matter
        else None
    )
    ruling = _ruling(session, ticket, matter, proposal) if matter else None
    ruled = session.get(Department, ruling.lead_id) if ruling else None
    policy = limits.policy(session)
    territorial = _territorial(session, ticket.region_id)
    urgency = max_urgency(ticket.urgency, said.urgency.level)
    decision = decide(
        policy=policy,
        category=category.code if category else "",
        lead=lead.label if lead else "",
        probability=lead.probability if lead else 0.0,
        abstained=said.category.abstained and (lead is None or lead.probability < policy.least),
        risks=[*(risk["name"] for risk in body["risks"]), *(str(flag) for flag in ticket.flags if flag != MODEL_DOWN)],
        urgency=urgency,
        territorial=territorial,
        stated=stated.code if stated else "",
        catalogue=proposal.lead_code if proposal else "",
        catalogue_name=proposal.lead if proposal else "",
        ruled=ruled.code if ruled else "",
        ruled_name=ruled.name if ruled else "",
    )
    department = department_by_code(session, decision.department) if decision.automatic else None
    if decision.automatic and (department is None or not department.active or department.kind in PARTS_ONLY):
        decision = Decision(reason="建议的承办单位不存在、已停用或是基层承办单位。")
    # The government of the place is as much an answer as any other: what a person does with it is a trial.
    named = (territorial if lead.label == DISTRICT else lead.label) if lead else ""
    suggested = department or (department_by_code(session, named) if named else None)
    suggestion = actions.store_suggestion(
        session,
        Suggestion(
            ticket_id=ticket.id,
            model_version=said.model_version or "none",
            made_at=now,
            body=body,
            category_id=category.id if category else None,
            department_id=suggested.id if suggested else None,
            probability=round(lead.probability, 6) if lead else 0.0,
            abstained=not decision.automatic,
            reason=decision.reason or "；".join(said.reasons),
        ),
        by=SYSTEM,
    )
    merged = session.get(Merge, ticket.id) is not None  # it waits for the ticket that it is answered with
    if decision.automatic and department is not None and lead is not None and not merged:
        if ticket.category_id is None and category is not None:
            ticket.category_id = category.id
        parts.dispatch_shared(
            session,
            ticket_id=ticket.id,
            version=None,
            department_id=department.id,
            assist_ids=_helping(session, proposal, ruling) - {department.id},
            reason=_why(category, lead.probability, proposal),
            automatic=True,
            by=SYSTEM,
            now=now,
        )
    return suggestion


def _ruling(
    session: Session, ticket: Ticket, matter: Category, proposal: catalogue.Proposal | None
) -> PrecedentView | None:
    """Return the ruling on this category that weighs more than the catalogue, if there is one."""
    found = precedents.precedents_for(session, ticket, category_id=matter.id, limit=1)
    return found[0] if found and precedents.leads(found[0], proposal) else None


def _helping(session: Session, proposal: catalogue.Proposal | None, ruling: PrecedentView | None) -> set[int]:
    """Return who goes along by itself: the co-handlers of what is laid down first, never the model's guess."""
    if ruling is not None:
        named = Department.id.in_(ruling.helping_ids)
    else:
        named = Department.code.in_(proposal.co_handlers if proposal else ())
    return set(session.scalars(select(Department.id).where(named, Department.active)))


def _why(category: Category | None, probability: float, proposal: catalogue.Proposal | None) -> str:
    words = f"模型自动派单：{category.path if category else ''}，把握 {probability:.0%}"
    return f"{words}；{proposal.reason}" if proposal else words


def _locate(session: Session, ticket: Ticket, body: dict[str, Any], *, address: str, now: datetime) -> None:
    """Give a ticket without a region the one that its words name for sure; keep the doubtful ones for a person."""
    if ticket.region_id is not None:
        return
    shown = territory.locate(session, ticket.place, ticket.title, ticket.content, now=now)
    # Where only the home address says it, the street is enough: the community would tell too much of a person.
    located = shown if shown.sure or shown.doubtful else territory.locate(session, address, now=now)
    if located.sure is not None:
        open_words = shown.sure is not None
        region = session.get_one(Region, located.sure.region_id)
        while not open_words and region.level > _STREET and region.parent_id is not None:
            region = session.get_one(Region, region.parent_id)
        ticket.region_id = region.id
        words = f"按文中地名“{located.sure.words}”" if open_words else "按联系地址"
        tickets.move(session, ticket, Act.SUGGEST, by=SYSTEM, now=now, note=f"{words}确定所属区域：{region.path}")
    body["regions"] = [{"id": one.region_id, "path": one.path, "words": one.words} for one in shown.doubtful]


def live(suggester: Suggester, *, title: str, content: str, now: datetime) -> dict[str, Any]:
    """Return what the model says of a text that is still being typed; nothing is kept."""
    return told(suggester.suggest(title, content, at=now))


def told(said: Suggestions) -> dict[str, Any]:
    """Return a suggestion as plain values, for the row, the page and the API."""

    def candidates(items: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - candidates of any task
        return [
            {"code": item.label, "name": item.name, "p": round(float(item.probability), 4)}
            for item in items[:_MOST_CANDIDATES]
        ]

    return {
        "version": said.model_version,
        "category": candidates(said.category.candidates),
        "request_type": candidates(said.request_type.candidates),
        "departments": [
            {**row, **_voices(said.departments.voices.get(row["code"]))} for row in candidates(said.departments.lead)
        ],
        "assist": candidates(said.departments.assist),
        "urgency": said.urgency.level,
        "urgency_words": list(said.urgency.words),
        "risks": _risks(said),
        "words": [asdict(highlight) for highlight in said.highlights if not _gives_away(highlight, said)],
        "reasons": list(said.reasons),
        "abstained": said.abstained,
    }


def _voices(found: Voices | None) -> dict[str, Any]:
    """Return why a department has its chance, where people's decisions about departments were learnt from."""
    if found is None:
        return {}
    learnt = None if found.learnt is None else round(found.learnt, 4)
    return {"learnt": learnt, "by_category": round(found.category, 4), "decisions": found.decisions}


def max_urgency(stated: Urgency, found: str) -> Urgency:
    """Return the more urgent of what a person stated and what the text says."""
    order = list(Urgency)
    return min(stated, Urgency(found), key=order.index)


def territorial_department(session: Session, region_id: int | None) -> Department | None:
    """Return who is responsible for a place (属地, domain.md 2.3)."""
    return owner_of(session, region_id)


def _territorial(session: Session, region_id: int | None) -> str:
    found = territorial_department(session, region_id)
    return found.code if found else ""


def _original(session: Session, ticket: Ticket) -> tuple[str, str]:
    opened = keyring_of(session).open(ticket.personal_sealed)
    return opened.get("title", ticket.title), opened.get("content", ticket.content)


def _category(session: Session, code: str) -> Category | None:
    return session.scalars(select(Category).where(Category.code == code)).first() if code else None


def _risks(said: Suggestions) -> list[dict[str, Any]]:
    names: dict[str, dict[str, Any]] = {}
    for flag in said.risks:
        row = names.setdefault(flag.risk.value, {"code": flag.risk.value, "name": _name(flag.risk), "words": []})
        row["words"].append(flag.text)
    return list(names.values())


_RISK_NAMES: Final[dict[str, str]] = {
    "danger_to_life": "生命危险",
    "group_event": "群体事件",
    "self_harm": "自伤轻生",
    "dangerous_goods": "危险物品",
    "official_discipline": "公职人员违纪",
    "minors": "涉未成年人",
}


def _gives_away(highlight: Highlight, said: Suggestions) -> bool:
    """Tell whether a telling word of the original text is, or touches, something personal: kept rows hold none.

    Names and homes are known by how people introduce themselves, numbers by any digit (domain.md 7 e).
    """
    return any(character.isdigit() for character in highlight.text) or any(
        span.field == highlight.field and span.start < highlight.end and highlight.start < span.end
        for span in said.personal
    )


def _name(risk: Risk) -> str:
    return _RISK_NAMES.get(risk.value, risk.value)
