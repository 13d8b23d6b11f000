"""The dispatch catalogue of the demonstration city: a row for each matter, the particular ones, the next draft."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy.orm import Session

from classifier.seeds import Seeds
from hotline.core.permissions import Actor
from hotline.demo.data import DATA, City
from routing.catalogue import editions as catalogue
from routing.catalogue import territory
from routing.catalogue.editions import TERRITORIAL, RowWish
from routing.catalogue.models import DutyContact, Place, PlaceRegion, RegionFallback

FILE: Final = DATA / "catalogue.toml"
_NOTE: Final = "首版：按事项分类逐条确定主办单位、通常协办与依据"
_ORIGIN: Final = "市编办、司法局与热线中心会签稿"


def rows(corpus: Seeds, city: City) -> tuple[list[RowWish], list[RowWish]]:
    """Return the rows of the edition in force, and those in which the draft of the next one differs."""
    told = tomllib.loads(FILE.read_text("utf-8"))
    classes = {code: name for name, codes in told["classes"].items() for code in codes}
    names = {unit.code: unit.name for unit in city.departments}
    plain = [
        RowWish(
            category=leaf.code,
            lead=leaf.lead,
            co_handlers=tuple(code for code in leaf.assist if code != leaf.lead),
            sla_class=classes.get(leaf.code, ""),
            basis=_basis(leaf.lead, names),
        )
        for leaf in corpus.leaves
    ]
    return [*plain, *map(_wish, told["row"])], [_wish(row) for row in told["draft"]]


def load_places(
    session: Session, city: City, regions: Mapping[str, int], departments: Mapping[str, int], *, now: datetime
) -> None:
    """Write what people call the places, who owns them, whom to ring, and the external sources."""
    for place in city.places:
        row = Place(name=place.name, kind=place.kind.value, aliases=list(place.aliases))
        session.add(row)
        session.flush()  # the regions below need the id
        session.add_all(PlaceRegion(place_id=row.id, region_id=regions[code]) for code in dict.fromkeys(place.regions))
    for unit in city.departments:
        if unit.kind.value == TERRITORIAL and unit.region in regions:
            session.add(
                RegionFallback(region_id=regions[unit.region], department_id=departments[unit.code], changed_at=now)
            )
        session.add(
            DutyContact(
                department_id=departments[unit.code],
                position=1,
                name=f"{unit.short_name}值班室"[:60],
                phone=unit.duty_phone,
                hours=unit.alarm_hours,
            )
        )


def publish(session: Session, city: City, corpus: Seeds, *, by: Actor, now: datetime) -> None:
    """Publish the first edition and the sources, as an administrator does."""
    wishes, _ = rows(corpus, city)
    edition = catalogue.open_draft(session, by=by, now=now)
    catalogue.replace_rows(session, version=edition.version, wishes=wishes, by=by, now=now)
    catalogue.publish(session, number=edition.number, version=edition.version, note=_NOTE, by=by, now=now)
    for source in tomllib.loads(FILE.read_text("utf-8"))["source"]:
        territory.save_source(session, **source, active=True, fresh=True, by=by)


def draft_next(session: Session, city: City, corpus: Seeds, *, by: Actor, now: datetime) -> None:
    """Begin the next edition, so that a newcomer finds a draft to try."""
    for wish in rows(corpus, city)[1]:
        catalogue.add_row_to_draft(session, wish=wish, origin=_ORIGIN, by=by, now=now)


def _wish(row: Mapping[str, Any]) -> RowWish:
    return RowWish(**{**row, "co_handlers": tuple(row.get("co_handlers", ()))})


def _basis(lead: str, names: Mapping[str, str]) -> str:
    if lead == TERRITORIAL:
        return "望川市乡镇（街道）履职事项清单"
    return f"《{names[lead]}职能配置、内设机构和人员编制规定》"
