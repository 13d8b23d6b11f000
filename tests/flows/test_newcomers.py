"""A category that a city adds is suggested at once by its definition, and better with its first twenty examples."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from classifier import text
from classifier.suggest import Suggester
from hotline.core.db import Database
from hotline.core.permissions import SYSTEM, Role
from hotline.tickets.models import Category
from routing.learning import labels, words
from routing.learning.label_models import LabelTask, Provenance
from routing.serving import Serving
from tests.makers import make_actor, register_ticket

CODE = "WR-0001"
DEFINITION = "无人机在居民区、学校上空飞行扰民、对着窗户偷拍、坠落伤人，以及飞行审批、禁飞区域的咨询和举报。"
ASKED = "每天晚上都有人在小区上空飞无人机，嗡嗡响，还对着我家窗户拍，飞行到底有没有审批，请管一管。"
OTHERS = (
    "孩子在操场上课，无人机突然掉下来砸到围栏，差点伤到学生，学校上空能不能禁飞？",
    "公园里好多人玩无人机，低空乱飞，昨天撞到树上掉下来，老人小孩都很害怕。",
    "我想在河边航拍，请问无人机飞行要向哪个部门申请，禁飞区在哪里能查到？",
    "邻居的无人机总悬停在我家阳台外面，拍我们一家人的生活，这算不算侵犯隐私？",
)


@pytest.fixture(autouse=True)
def _shipped_words_again() -> Iterator[None]:
    yield
    text.forget_dictionary()


@pytest.fixture
def added(db: Database) -> None:
    with db.begin() as session:
        session.add(
            Category(
                code=CODE,
                name="无人机低空飞行",
                path="低空 / 无人机低空飞行",
                level=1,
                lead="police",
                definition=DEFINITION,
            )
        )


def test_a_new_category_is_suggested_by_its_definition_at_once_and_never_goes_out_alone(
    db: Database, added: None, suggester: Suggester
) -> None:
    before = suggester.suggest("", ASKED)
    assert CODE not in {one.label for one in before.category.candidates}
    ticks = iter(range(10, 1000, 10))
    serving = Serving(Path("/nowhere"), ticks=lambda: float(next(ticks)), db=db)
    serving._suggester = suggester
    said = serving.suggester().suggest("", ASKED)
    first = said.category.candidates[0]
    assert (first.label, first.name) == (CODE, "低空 / 无人机低空飞行")
    assert not said.category.dispatchable
    assert said.departments.lead[0].label == "police"
    assert first.probability <= 0.6
    # A text about something else is judged as before.
    other = "自来水发黄有异味，已经三天了，烧开还有沉淀，请水务公司来检测。"
    assert serving.suggester().suggest("", other).category.best == suggester.suggest("", other).category.best


def test_twenty_examples_teach_what_the_definition_does_not_say(
    db: Database, added: None, suggester: Suggester, now: datetime
) -> None:
    """Texts that share few words with the definition are found by what people have put there."""
    told = [
        f"{one}{two}"
        for one in OTHERS
        for two in ("请回复。", "谢谢。", "希望尽快处理。", "联系了几次没人管。", "急。")
    ]
    assert len(told) == 20
    asked = "河边好多人航拍，低空乱飞，昨天撞到树上掉下来，老人小孩都很害怕。"

    def chance() -> float:
        with db.read() as session:
            known = words.tree(session)
        said = suggester.with_city(known.corpus(), known.newcomers).suggest("", asked)
        return next((one.probability for one in said.category.candidates if one.label == CODE), 0.0)

    by_definition = chance()
    with db.begin() as session:
        by = make_actor(session, Role.OPERATOR, now=now)
        for content in told:
            found = register_ticket(session, by=by, content=content, now=now)
            labels.record(
                session,
                ticket_id=found.ticket_id,
                task=LabelTask.CATEGORY,
                label=CODE,
                provenance=Provenance.CHOSEN,
                by=SYSTEM,
                now=now,
            )
    assert chance() > max(0.4, by_definition)


def test_a_city_without_categories_of_its_own_reads_the_shipped_tree(db: Database) -> None:
    with db.read() as session:
        found = words.tree(session)
    assert found.newcomers == ()
    assert len(found.leaves) > 200
