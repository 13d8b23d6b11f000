"""The page of the city's words."""

from __future__ import annotations

import io
from datetime import datetime

import pytest
from flask.testing import FlaskClient

from hotline.core import clock
from hotline.core.permissions import Role
from hotline.wiring import Installation
from routing.learning import words
from routing.learning.word_models import EditionState, WordKind
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


def test_a_word_is_added_tried_published_exported_and_taken_back(admin: FlaskClient, tools: Installation) -> None:
    assert "没有城市自己的专有词" in admin.get("/words").text
    assert admin.post("/words/risk", data={"word": "毒烟弥漫", "value": "danger_to_life"}).status_code == 303
    page = admin.get("/words?kind=risk").text
    assert "毒烟弥漫" in page
    assert "/words/draft/publish" not in page
    assert admin.post("/words/draft/publish").status_code == 409
    assert admin.post("/words/draft/try").status_code == 303
    assert "在最近 0 件工单上" in admin.get("/words").text
    assert admin.post("/words/draft/publish").status_code == 303
    with tools.db.read() as session:
        edition = words.standing(session, EditionState.PUBLISHED)
        assert edition is not None
    out = admin.get(f"/words/editions/{edition.id}.csv")
    assert "risk,毒烟弥漫,danger_to_life" in out.text
    assert admin.post("/words/rollback", data={"seen": str(edition.id)}).status_code == 303
    assert "只有随附词表" in admin.get("/words").text
    assert admin.get("/words/editions/999.csv").status_code == 404


def test_a_refused_word_is_told_by_field_and_keeps_what_was_typed(admin: FlaskClient) -> None:
    answer = admin.post("/words/synonym", data={"word": "老赖.*", "value": "欠薪者"})
    assert answer.status_code == 422
    assert 'value="老赖.*"' in answer.text
    assert 'value="欠薪者"' in answer.text
    assert "按字面匹配" in answer.text


def test_lines_are_pasted_or_uploaded_all_or_none(admin: FlaskClient, tools: Installation) -> None:
    bad = admin.post("/words/dictionary/lines", data={"lines": "翠微澜庭\n河\n"})
    assert bad.status_code == 422
    assert "第 2 行" in bad.text
    assert "翠微澜庭" in bad.text
    file = (io.BytesIO("kind,word,value\ndictionary,翠微澜庭,\nstop,麻烦你们,\n".encode("gb18030")), "words.csv")
    assert admin.post("/words/dictionary/lines", data={"file": file}).status_code == 303
    with tools.db.read() as session:
        draft = words.standing(session, EditionState.DRAFT)
        assert draft is not None
        (only,) = words.entries(session, edition_id=draft.id)
    assert (only.kind, only.word) == (WordKind.DICTIONARY, "翠微澜庭")
    odd = (io.BytesIO(b"\xff\xff\x00"), "words.csv")
    assert admin.post("/words/dictionary/lines", data={"file": odd}).status_code == 422
    assert admin.post(f"/words/dictionary/{only.id}/remove").status_code == 303
    assert admin.post("/words/draft/discard").status_code == 303
    assert admin.post("/words/draft/discard").status_code == 404


def test_a_long_list_is_turned_both_ways(admin: FlaskClient) -> None:
    lines = "\n".join(f"翠微{number:03d}号院" for number in range(120))
    assert admin.post("/words/dictionary/lines", data={"lines": lines}).status_code == 303
    first = admin.get("/words?kind=dictionary").text
    assert "翠微049号院" in first
    assert "翠微050号院" not in first
    second = admin.get(turned(first, "next")).text
    assert "翠微050号院" in second
    assert "翠微100号院" not in second
    assert "翠微049号院" not in second
    back = admin.get(turned(second, "prev")).text
    assert "翠微000号院" in back
    assert "翠微050号院" not in back
    # A refused word leaves the list where it was, and it still turns.
    refused = admin.post("/words/dictionary", data={"word": ""})
    assert refused.status_code == 422
    assert "翠微050号院" in admin.get(turned(refused.text, "next")).text
    assert admin.get("/words?kind=dictionary&cursor=x").status_code == 422


def test_an_operator_does_not_write_words(client: FlaskClient, tools: Installation, now: datetime) -> None:
    with tools.db.begin() as session:
        make_user(session, Role.OPERATOR, login="op.one", now=now)
    sign_in(client, "op.one")
    assert client.get("/words").status_code == 403
    assert client.post("/words/risk", data={"word": "毒烟弥漫", "value": "danger_to_life"}).status_code == 403
