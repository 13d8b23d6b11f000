"""A city adds words without us: refused where they make no sense, tried, published, read at once, taken back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from classifier import text
from classifier.suggest import Suggester
from hotline.core.db import Database
from hotline.core.errors import Conflict, Denied, Invalid, NotFound
from hotline.core.permissions import Actor, Role
from hotline.tickets.models import Region
from routing.catalogue import territory
from routing.catalogue.models import Place
from routing.learning import words
from routing.learning.word_models import EditionState, WordKind
from routing.serving import Serving
from tests.makers import make_actor, make_region, register_ticket


@pytest.fixture(autouse=True)
def _shipped_words_again() -> Iterator[None]:
    yield
    text.forget_dictionary()


@pytest.fixture
def admin(db: Database, now: datetime) -> Actor:
    with db.begin() as session:
        return make_actor(session, Role.ADMINISTRATOR, now=now)


@pytest.fixture
def region(db: Database) -> Region:
    with db.begin() as session:
        return make_region(session, "990101", name="北苑区")


def add(db: Database, admin: Actor, kind: WordKind, *lines: tuple[str, str], now: datetime, many: bool = False) -> int:
    with db.begin() as session:
        return words.add(session, kind=kind, lines=lines, by=admin, now=now, many=many)


@pytest.mark.parametrize(
    "case",
    [
        (WordKind.DICTIONARY, "", "", "word", "请填写"),
        (WordKind.DICTIONARY, "河", "", "word", "2 到 20"),
        (WordKind.DICTIONARY, "长" * 21, "", "word", "2 到 20"),
        (WordKind.DICTIONARY, "(.*)+翠微", "", "word", "按字面"),
        (WordKind.DICTIONARY, "翠微\n澜庭", "", "word", "按字面"),
        (WordKind.DICTIONARY, "12345", "", "word", "数字"),
        (WordKind.RISK, "毒烟", "火灾", "value", "请选择风险"),
        (WordKind.URGENCY, "断头路", "很急", "value", "请选择紧急程度"),
        (WordKind.PLACE, "翠微澜庭", "999999", "value", "区域"),
        (WordKind.SYNONYM, "老赖", "", "value", "规范说法"),
        (WordKind.SYNONYM, "老赖", "老赖", "value", "相同"),
    ],
)
def test_a_word_that_makes_no_sense_is_refused_by_field(
    db: Database, admin: Actor, now: datetime, case: tuple[WordKind, str, str, str, str]
) -> None:
    kind, word, value, field, told = case
    with pytest.raises(Invalid) as refusal:
        add(db, admin, kind, (word, value), now=now)
    assert told in refusal.value.fields[field][0]
    with db.read() as session:
        assert words.standing(session, EditionState.DRAFT) is None


def test_words_that_contradict_each_other_are_refused(db: Database, admin: Actor, now: datetime) -> None:
    add(db, admin, WordKind.DICTIONARY, ("翠微澜庭", ""), now=now)
    add(db, admin, WordKind.STOP, ("麻烦你们", ""), now=now)
    add(db, admin, WordKind.SYNONYM, ("路灯坏掉", "路灯不亮"), now=now)
    add(db, admin, WordKind.URGENCY, ("断水三天", "紧急"), now=now)
    for kind, line, told in (
        (WordKind.DICTIONARY, ("翠微澜庭", ""), "已有"),
        (WordKind.STOP, ("翠微澜庭", ""), "有含义"),
        (WordKind.STOP, ("路灯不亮", ""), "有含义"),
        (WordKind.RISK, ("麻烦你们", "minors"), "停用词"),
        (WordKind.SYNONYM, ("不好使", "麻烦你们"), "停用词"),
        (WordKind.SYNONYM, ("灯不好使", "路灯坏掉"), "一个接一个"),
        (WordKind.SYNONYM, ("路灯不亮", "没有亮灯"), "一个接一个"),
        (WordKind.SYNONYM, ("翠微澜庭", "小区里面"), "有含义"),
        (WordKind.RISK, ("路灯坏掉", "danger_to_life"), "先被替换"),
        (WordKind.URGENCY, ("断水三天", "特急"), "冲突"),
    ):
        with pytest.raises(Invalid) as refusal:
            add(db, admin, kind, line, now=now)
        assert told in refusal.value.fields["word"][0], (kind, line)


def test_many_words_are_added_all_or_none_and_problems_told_by_line(db: Database, admin: Actor, now: datetime) -> None:
    with pytest.raises(Invalid) as refusal:
        add(db, admin, WordKind.DICTIONARY, ("翠微澜庭", ""), ("河", ""), ("翠微澜庭", ""), now=now, many=True)
    told = refusal.value.fields["lines"]
    assert [line.split("“")[0] for line in told] == ["第 2 行", "第 3 行"]
    assert add(db, admin, WordKind.DICTIONARY, ("翠微澜庭", ""), ("滨河广场", ""), now=now, many=True) == 2


def test_an_export_can_be_read_in_again(db: Database, admin: Actor, region: Region, now: datetime) -> None:
    assert region.code == "990101"
    add(db, admin, WordKind.PLACE, ("翠微澜庭", "990101"), now=now)
    add(db, admin, WordKind.RISK, ("毒烟弥漫", "生命危险"), now=now)
    with db.read() as session:
        draft = words.standing(session, EditionState.DRAFT)
        assert draft is not None
        out = words.export(session, edition_id=draft.id)
    assert words.parsed(out, WordKind.PLACE) == [("翠微澜庭", "990101")]
    assert words.parsed(out, WordKind.RISK) == [("毒烟弥漫", "danger_to_life")]
    assert words.parsed("翠微澜庭，990101\n\n滨河广场\t990101\n", WordKind.PLACE) == [
        ("翠微澜庭", "990101"),
        ("滨河广场", "990101"),
    ]


def test_words_are_tried_published_noticed_and_taken_back(
    db: Database, admin: Actor, suggester: Suggester, now: datetime
) -> None:
    with db.begin() as session:
        region = make_region(session, "990101", name="北苑区")
    with db.begin() as session:
        register_ticket(session, content="翠微澜庭门口有毒烟弥漫，已经三天了，请来处理。", now=now)
        register_ticket(session, content="幸福路的路灯不亮，请来修。", now=now)
    add(db, admin, WordKind.RISK, ("毒烟弥漫", "danger_to_life"), now=now)
    add(db, admin, WordKind.PLACE, ("翠微澜庭", region.code), now=now)
    with db.begin() as session, pytest.raises(Conflict, match="先试算"):
        words.publish(session, by=admin, now=now)
    with db.begin() as session:
        trial = words.try_out(session, suggester, by=admin, now=now)
    assert trial["tickets"] == 2
    assert (trial["counts"]["risks"], trial["counts"]["places"]) == (1, 1)
    (change,) = trial["changes"]
    assert change["after"]["risks"] == "生命危险"
    assert "弥漫" not in str(trial)
    # What was tried in this thread is not in force anywhere.
    assert "翠微澜庭" not in text.words("翠微澜庭门口")
    add(db, admin, WordKind.DICTIONARY, ("滨河广场", ""), now=now + timedelta(minutes=1))
    with db.begin() as session, pytest.raises(Conflict, match="先试算"):
        words.publish(session, by=admin, now=now + timedelta(minutes=2))
    ticks = iter(range(0, 1000, 10))
    serving = Serving(Path("/nowhere"), ticks=lambda: float(next(ticks)), db=db)
    serving._suggester, serving._stamp = suggester, None
    said = serving.suggester().suggest("", "翠微澜庭门口有毒烟弥漫，请来处理。")
    assert (said.risks, said.places) == ((), ())
    with db.begin() as session:
        words.try_out(session, suggester, by=admin, now=now + timedelta(minutes=3))
        first = words.publish(session, by=admin, now=now + timedelta(minutes=3)).id
    said = serving.suggester().suggest("", "翠微澜庭门口有毒烟弥漫，请来处理。")
    assert [one.risk for one in said.risks] == ["danger_to_life"]
    assert [one.name for one in said.places] == ["翠微澜庭"]
    assert "翠微澜庭" in text.words("翠微澜庭门口")
    with db.begin() as session:
        assert territory.locate(session, "翠微澜庭门口", now=now + timedelta(minutes=4)).sure is not None
    with db.begin() as session, pytest.raises(Conflict):
        words.roll_back(session, seen=first + 1, by=admin, now=now)
    with db.begin() as session:
        assert words.roll_back(session, seen=first, by=admin, now=now) is None
    said = serving.suggester().suggest("", "翠微澜庭门口有毒烟弥漫，请来处理。")
    assert (said.risks, said.places) == ((), ())
    with db.read() as session:
        assert session.scalars(select(Place)).all() == []


def test_the_next_draft_begins_with_what_is_in_force(
    db: Database, admin: Actor, suggester: Suggester, now: datetime
) -> None:
    add(db, admin, WordKind.STOP, ("麻烦你们", ""), now=now)
    with db.begin() as session:
        words.try_out(session, suggester, by=admin, now=now)
        first = words.publish(session, by=admin, now=now).id
    add(db, admin, WordKind.SYNONYM, ("路灯坏掉", "路灯不亮"), now=now)
    with db.begin() as session:
        draft = words.standing(session, EditionState.DRAFT)
        assert draft is not None
        assert {one.word for one in words.entries(session, edition_id=draft.id)} == {"麻烦你们", "路灯坏掉"}
        mine = words.entries(session, edition_id=first)[0]
        words.remove(session, word_id=mine.id, by=admin, now=now)
        assert {one.word for one in words.entries(session, edition_id=draft.id)} == {"路灯坏掉"}
        assert {one.word for one in words.entries(session, edition_id=first)} == {"麻烦你们"}
        words.discard(session, by=admin)
    with db.begin() as session:
        assert words.standing(session, EditionState.DRAFT) is None
        with pytest.raises(NotFound):
            words.discard(session, by=admin)


def test_only_who_may_set_things_writes_words(db: Database, now: datetime) -> None:
    with db.begin() as session:
        operator = make_actor(session, Role.OPERATOR, now=now)
        with pytest.raises(Denied):
            words.add(session, kind=WordKind.STOP, lines=[("麻烦你们", "")], by=operator, now=now)


def test_a_stop_word_is_not_read_and_a_synonym_is_read_as_what_it_means() -> None:
    with text.trying(text.CityWords(replacements=(("麻烦你们", ""), ("路灯坏掉", "路灯不亮")))):
        assert text.normal("麻烦你们看看路灯坏掉了") == "看看路灯不亮了"
        assert text.aligned("麻烦你们看看").text == "看看"
        assert text.aligned("麻烦你们看看").starts[0] == 4
    assert text.normal("麻烦你们看看路灯坏掉了") == "麻烦你们看看路灯坏掉了"
