"""A category is merged or split with its examples, after a preview."""

from __future__ import annotations

from datetime import datetime

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from hotline.core import clock
from hotline.core.permissions import Role
from hotline.tickets.models import Category
from hotline.wiring import Installation
from routing.learning import labels
from routing.learning.label_models import LabelTask, Provenance, TrainingLabel
from tests.makers import make_actor, make_user, register_ticket, sign_in


@pytest.fixture
def admin(client: FlaskClient, tools: Installation, now: datetime, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    monkeypatch.setattr(clock, "now", lambda: now)
    texts = ["路灯不亮，晚上走路看不清。", "路灯杆倒了。", "井盖丢了，很危险。", "今天天气不错。"]
    with tools.db.begin() as session:
        make_user(session, Role.ADMINISTRATOR, login="root.one", now=now)
        for code, name, definition in (
            ("A-0001", "市政设施", ""),
            ("A-0002", "路灯", "路灯不亮、路灯杆损坏。"),
            ("A-0003", "井盖", "井盖丢失、破损、松动。"),
        ):
            session.add(Category(code=code, name=name, path=name, level=1, definition=definition))
        by = make_actor(session, Role.OPERATOR, now=now)
        for content in texts:
            found = register_ticket(session, by=by, content=content, title=content[:5], now=now)
            labels.record(
                session,
                ticket_id=found.ticket_id,
                task=LabelTask.CATEGORY,
                label="A-0001",
                provenance=Provenance.AUDITED,
                by=by,
                now=now,
            )
    sign_in(client, "root.one")
    return client


def standing(tools: Installation) -> list[str]:
    with tools.db.read() as session:
        return sorted(session.scalars(select(TrainingLabel.label).where(TrainingLabel.superseded_at.is_(None))))


def test_a_merge_takes_every_example_along_and_retires_the_old_category(
    admin: FlaskClient, tools: Installation
) -> None:
    page = admin.post("/model/categories", data={"source": "A-0001", "targets": ["A-0002", ""]})
    assert "迁移 4 件样本并停用原类别" in page.text
    assert standing(tools) == ["A-0001"] * 4
    wrong = {"source": "A-0001", "targets": ["A-0002"], "seen": "3"}
    assert admin.post("/model/categories", data=wrong).status_code == 409
    assert admin.post("/model/categories", data={**wrong, "seen": "4"}).status_code == 303
    assert standing(tools) == ["A-0002"] * 4
    with tools.db.read() as session:
        old = session.scalars(select(Category).where(Category.code == "A-0001")).one()
        assert old.valid_to is not None
    assert "A-0002 4 件" in admin.get("/model").text


def test_a_split_goes_by_definition_and_leaves_the_unclear_out(admin: FlaskClient, tools: Installation) -> None:
    asked = {"source": "A-0001", "targets": ["A-0002", "A-0003"]}
    page = admin.post("/model/categories", data=asked).text
    assert "不明确，不再用于学习" in page
    assert admin.post("/model/categories", data={**asked, "seen": "4"}).status_code == 303
    assert standing(tools) == ["A-0002", "A-0002", "A-0003"]


def test_what_makes_no_sense_is_refused_by_field(admin: FlaskClient) -> None:
    for data, told in (
        ({"source": "", "targets": ["A-0002"]}, "请选择要并入"),
        ({"source": "A-0001", "targets": []}, "请选择 1 到 4 个"),
        ({"source": "A-0001", "targets": ["A-0001"]}, "相同"),
        ({"source": "A-0002", "targets": ["A-0001", "A-0003"]}, "先写定义"),
    ):
        answer = admin.post("/model/categories", data=data)
        assert answer.status_code == 422
        assert told in answer.text
