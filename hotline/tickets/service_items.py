"""What an administrator does to the list of public service items: add, retire, take back into use."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from hotline.core.errors import Invalid, NotFound
from hotline.core.permissions import Actor, Permission, require
from hotline.core.text import clean_line
from hotline.tickets.models import ServiceItem

_CODE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{1,39}")
MOST_NAME: Final = 200


def add(session: Session, *, code: str, name: str, department: str = "", by: Actor) -> ServiceItem:
    """Add an item. Its name stands for good: catalogue rows and tickets cite it; a new name is a new item."""
    require(by, Permission.CATALOGUE_EDIT)
    code, name = code.strip(), clean_line(name)
    problems: dict[str, str] = {}
    if not _CODE.fullmatch(code):
        problems["code"] = "代码为 2–40 位字母、数字、横线或下划线。"
    if not 2 <= len(name) <= MOST_NAME:  # noqa: PLR2004 - a single character names nothing
        problems["name"] = f"请填写事项名称，2 至 {MOST_NAME} 字。"
    known = session.scalars(select(ServiceItem).where(or_(ServiceItem.code == code, ServiceItem.name == name))).first()
    if known is not None:
        field = "code" if known.code == code else "name"
        problems.setdefault(field, "已有同样代码或名称的事项（可能已停用，可恢复使用）。")
    if problems:
        raise Invalid(problems)
    row = ServiceItem(code=code, name=name, department=department.strip())
    session.add(row)
    session.flush()  # the unique code and name refuse here, not at the commit
    return row


def turn(session: Session, *, item_id: int, by: Actor, today: date) -> bool:
    """Retire an item that is in use, or take a retired one back; tells whether it is retired now."""
    require(by, Permission.CATALOGUE_EDIT)
    row = session.get(ServiceItem, item_id, with_for_update=True)  # two administrators, one after the other
    if row is None:
        raise NotFound
    row.retired_on = None if row.retired_on else today
    return row.retired_on is not None
