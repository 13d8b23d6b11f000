"""An administrator pastes sentences for a new category, sees what they would change, keeps them, takes one out."""

from __future__ import annotations

from datetime import datetime

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from classifier.suggest import Suggester
from hotline.core import clock
from hotline.core.permissions import Role
from hotline.tickets.models import Category
from hotline.wiring import Installation
from routing.learning import examples, words
from routing.learning.example_models import CategoryExample
from routing.learning.models import LearningEntry
from tests.makers import make_actor, make_user, register_ticket, sign_in

CODE = "WR-0001"
PAGE = f"/admin/categories/{CODE}/examples"
SENTENCES = (
    "楼下有人天天放那个四个翅膀的飞机，嗡嗡响个不停。",
    "学校上空老有小飞机转，怕掉下来砸到娃娃。",
    "有人拿遥控飞机对着我家窗户拍，请管一管。",
)
ASKED = "一到周末就有小飞机在楼顶转，嗡嗡响，还对着窗户拍。"


@pytest.fixture
def admin(client: FlaskClient, tools: Installation, now: datetime, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    monkeypatch.setattr(clock, "now", lambda: now)
    with tools.db.begin() as session:
        make_user(session, Role.ADMINISTRATOR, login="root.one", now=now)
        session.add(Category(code=CODE, name="低空飞行", path="低空 / 低空飞行", level=1))
        by = make_actor(session, Role.OPERATOR, now=now)
        register_ticket(session, by=by, content=ASKED, title="小飞机扰民", now=now)
    sign_in(client, "root.one")
    return client


def kept(tools: Installation) -> list[str]:
    with tools.db.read() as session:
        return list(session.scalars(select(CategoryExample.body).order_by(CategoryExample.id)))


def test_sentences_are_previewed_kept_learnt_from_and_taken_out(
    admin: FlaskClient, with_model: Installation, suggester: Suggester
) -> None:
    tools = with_model
    assert "还没有例句" in admin.get(PAGE).text
    raw = "\n".join(SENTENCES)
    shown = admin.post(PAGE, data={"lines": raw, "act": "preview"}).text
    assert "3 条首先判为本类别" in shown
    assert "最近 1 件工单中，1 件的首选类别会改变" in shown
    assert "保存 3 条例句" in shown
    assert kept(tools) == []
    admin.post(PAGE, data={"lines": raw, "act": "save"})
    assert kept(tools) == list(SENTENCES)
    with tools.db.read() as session:
        tree = words.tree(session)
        told = suggester.with_city(tree.corpus(), tree.newcomers).suggest("", ASKED)
        assert told.category.best is not None
        assert told.category.best.label == CODE
        assert {one.body for one in examples.definitions(session) if one.label == CODE} == set(SENTENCES)
        line = session.scalars(select(LearningEntry.words).order_by(LearningEntry.id.desc())).first()
        assert line == f"类别 {CODE} 增加例句 3 条"
        first = session.scalars(select(CategoryExample.id).order_by(CategoryExample.id)).first()
    assert "再写 17 条" in admin.get(PAGE).text
    assert admin.post(f"{PAGE}/{first}/remove").status_code == 303
    assert kept(tools) == list(SENTENCES[1:])
    assert admin.post(f"{PAGE}/{first}/remove").status_code == 404


def test_without_a_model_sentences_can_be_kept_but_not_tried(admin: FlaskClient, tools: Installation) -> None:
    assert "分类模型不可用" in admin.post(PAGE, data={"lines": SENTENCES[0], "act": "preview"}).text
    assert admin.post(PAGE, data={"lines": SENTENCES[0], "act": "save"}).status_code == 303
    assert kept(tools) == [SENTENCES[0]]


def test_processes_notice_new_sentences(admin: FlaskClient, tools: Installation) -> None:
    with tools.db.read() as session:
        before = words.stamp(session)
    admin.post(PAGE, data={"lines": SENTENCES[0], "act": "save"})
    with tools.db.read() as session:
        assert words.stamp(session) != before


def test_what_will_not_do_is_named_by_line_and_nothing_typed_is_lost(admin: FlaskClient, tools: Installation) -> None:
    raw = f"{SENTENCES[0]}\n\n太短\n{SENTENCES[0]}\n{'长' * 501}"
    answer = admin.post(PAGE, data={"lines": raw, "act": "save"})
    assert answer.status_code == 422
    for told in ("第 3 行应为 5 到 500 个字，现有 2 个", "第 4 行重复", "第 5 行应为", SENTENCES[0]):
        assert told in answer.text
    assert kept(tools) == []
    assert "请粘贴例句" in admin.post(PAGE, data={"lines": " \n", "act": "preview"}).text
    many = "\n".join(f"第{number}架小飞机又来了" for number in range(201))
    assert "最多 200 条" in admin.post(PAGE, data={"lines": many, "act": "save"}).text


def test_personal_data_are_taken_out_before_a_sentence_is_kept(admin: FlaskClient, tools: Installation) -> None:
    raw = "小飞机又来了，请打我电话13812345678回复。"
    assert "1 条含个人信息" in admin.post(PAGE, data={"lines": raw, "act": "preview"}).text
    admin.post(PAGE, data={"lines": raw, "act": "save"})
    assert "13812345678" not in kept(tools)[0]
    assert "【手机号】" in kept(tools)[0]


def test_a_category_above_others_or_a_retired_one_takes_no_sentences(
    admin: FlaskClient, tools: Installation, now: datetime
) -> None:
    with tools.db.begin() as session:
        row = session.scalars(select(Category).where(Category.code == CODE)).one()
        row.valid_to = now.date()
    assert admin.post(PAGE, data={"lines": SENTENCES[0], "act": "save"}).status_code == 404
    assert kept(tools) == []


def test_only_who_may_edit_the_catalogue_may_write_sentences(
    client: FlaskClient, tools: Installation, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", lambda: now)
    with tools.db.begin() as session:
        make_user(session, Role.OPERATOR, login="desk.one", now=now)
        session.add(Category(code=CODE, name="低空飞行", path="低空 / 低空飞行", level=1))
    sign_in(client, "desk.one")
    assert client.get(PAGE).status_code == 403
    assert client.post(PAGE, data={"lines": SENTENCES[0], "act": "save"}).status_code == 403
    assert kept(tools) == []
