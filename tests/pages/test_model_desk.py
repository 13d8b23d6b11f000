"""The model's page: who may open it, what it shows, and what it does."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from hotline.core import clock
from hotline.core.permissions import SYSTEM, Role
from hotline.wiring import Installation
from routing.learning import limits, training
from routing.learning.limit_models import DispatchLimit
from routing.learning.models import (
    LearningAct,
    LearningEntry,
    ModelState,
    ModelTraining,
    ModelVersion,
    TrainingState,
)
from routing.learning.selective import LimitState
from tests.makers import make_user, sign_in, turned


@pytest.fixture(autouse=True)
def _at_one_instant(monkeypatch: pytest.MonkeyPatch, now: datetime) -> None:
    monkeypatch.setattr(clock, "now", lambda: now)


@pytest.fixture
def admin(client: FlaskClient, tools: Installation, now: datetime) -> FlaskClient:
    with tools.db.begin() as session:
        make_user(session, Role.ADMINISTRATOR, login="root.one", now=now)
    sign_in(client, "root.one")
    return client


def enter(tools: Installation, name: str, state: ModelState, at: datetime, **more: object) -> None:
    with tools.db.begin() as session:
        session.add(ModelVersion(version=name, state=state, trained_at=at, **more))


def test_a_new_city_sees_that_nothing_was_trained_yet(admin: FlaskClient) -> None:
    answer = admin.get("/model")
    assert answer.status_code == 200
    assert "还没有训练记录" in answer.text
    assert "测试中没有加载分类模型" in answer.text


def test_the_history_shows_figures_state_and_reason_and_pages_on(
    admin: FlaskClient, tools: Installation, now: datetime
) -> None:
    figures = {"frozen": {"messages": 120, "macro_f1": 0.91, "before": {"macro_f1": 0.882}}}
    enter(tools, "aaa", ModelState.IN_USE, now, figures=figures, made_from={"labels": 1234}, reason="各类别均未下降")
    for number in range(25):
        enter(tools, f"old{number:02d}", ModelState.REFUSED, now - timedelta(days=number + 1), reason="总体变差")
    page = admin.get("/model").text
    assert "0.882 → 0.910（120 件）" in page
    assert "1,234" in page
    assert "old18" in page
    assert "old19" not in page
    second = admin.get(turned(page, "next")).text
    assert "old19" in second
    assert "old24" in second
    assert "old18" not in second
    back = admin.get(turned(second, "prev")).text
    assert "old00" in back
    assert "old19" not in back
    # What was refused cannot be put in use.
    assert page.count('action="/model/promote"') == 0


def test_training_is_asked_for_once_and_its_progress_is_shown(
    admin: FlaskClient, tools: Installation, now: datetime
) -> None:
    assert admin.post("/model/train").status_code == 303
    assert admin.post("/model/train").status_code == 303
    with tools.db.begin() as session:
        row = session.scalars(select(ModelTraining)).one()
        assert row.state is TrainingState.WAITING
        training.begin_due(session, now=now)
        training.beat(session, row.id, now=now, step="训练：500 件", share=0.4)
    part = admin.get("/model/progress")
    assert "训练：500 件（40%）" in part.text
    assert "HX-Refresh" not in part.headers
    with tools.db.begin() as session:
        training.failed(session, row.id, words="测试", now=now)
    assert admin.get("/model/progress").headers["HX-Refresh"] == "true"


def test_an_alarm_stands_on_the_page_until_somebody_has_heard_it(
    admin: FlaskClient, tools: Installation, now: datetime
) -> None:
    with tools.db.begin() as session:
        entry = training.note(session, LearningAct.TIGHTENED, words="承诺有危险", by=SYSTEM, now=now, alarm=True)
        session.flush()
        entry_id = entry.id
    assert 'role="alert"' in admin.get("/model").text
    assert admin.post(f"/model/alarms/{entry_id}").status_code == 303
    assert "知道了" not in admin.get("/model").text
    with tools.db.read() as session:
        assert session.get_one(LearningEntry, entry_id).heard_at == now


def test_settings_are_refused_by_field_and_keep_what_was_typed(admin: FlaskClient, tools: Installation) -> None:
    answer = admin.post("/model/settings", data={"new_labels": "9", "hour": "二点", "margin": "0.9"})
    assert answer.status_code == 422
    assert "10 到 100000" in answer.text
    assert "0 到 23" in answer.text
    assert "0 到 0.5" in answer.text
    assert 'value="二点"' in answer.text
    good = {"new_labels": "50", "hour": "3", "margin": "0.03", "automatic": "1"}
    assert admin.post("/model/settings", data=good).status_code == 303
    with tools.db.read() as session:
        given = training.settings(session)
    assert (given.new_labels, given.hour, given.margin, given.automatic, given.scheduled) == (50, 3, 0.03, True, False)


def test_only_who_may_manage_the_model_sees_its_buttons(
    client: FlaskClient, tools: Installation, now: datetime
) -> None:
    with tools.db.begin() as session:
        make_user(session, Role.SUPERVISOR, login="chief.one", now=now)
        make_user(session, Role.OPERATOR, login="op.one", now=now)
    sign_in(client, "op.one")
    assert client.get("/model").status_code == 403
    assert client.post("/model/train").status_code == 403
    client.post("/sign-out")
    sign_in(client, "chief.one")
    page = client.get("/model").text
    assert "/model/train" in page
    assert "/model/settings" not in page
    assert client.post("/model/settings", data={}).status_code == 403


def test_what_is_not_there_cannot_be_promoted_or_left(admin: FlaskClient) -> None:
    assert admin.post("/model/promote", data={"version": "nothing"}).status_code == 404
    assert admin.post("/model/rollback", data={"version": "nothing"}).status_code == 404
    assert admin.post("/model/alarms/999").status_code == 404


def tightened(tools: Installation, now: datetime) -> None:
    with tools.db.begin() as session:
        session.add(
            DispatchLimit(
                scope="",
                limit=0.97,
                state=LimitState.TIGHTENED,
                trials=120,
                right=112,
                lower=0.88,
                reason="8 件派错",
                at=now,
            )
        )
        training.note(session, LearningAct.TIGHTENED, words="门槛收紧到 97%", by=SYSTEM, now=now, alarm=True)


def test_a_tightened_limit_is_told_here_and_on_the_overview(
    admin: FlaskClient, tools: Installation, now: datetime
) -> None:
    tightened(tools, now)
    page = admin.get("/model").text
    assert "112 / 120" in page
    assert "97%" in page
    assert "已收紧" in page
    assert "门槛收紧到 97%" in admin.get("/supervision").text


def test_an_administrator_loosens_with_a_reason_only(admin: FlaskClient, tools: Installation, now: datetime) -> None:
    tightened(tools, now)
    refused = admin.post("/model/limits", data={"scope": "", "reason": ""})
    assert refused.status_code == 422
    assert "请写明放宽的理由" in refused.text
    assert admin.post("/model/limits", data={"scope": "", "reason": "目录已更正"}).status_code == 303
    with tools.db.read() as session:
        assert limits.policy(session).limit_for("any") == 0.9
    assert "目录已更正" in admin.get("/model").text
