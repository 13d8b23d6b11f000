"""The model's pages in a real browser: they fit, can be read by everybody, and words are added by keyboard."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from classifier import learning, seeds
from classifier.seeds import Seeds
from classifier.suggest import Suggester
from hotline.core.db import Database
from hotline.tickets.models import Category
from tests.browser.conftest import assert_accessible, assert_fits

pytestmark = pytest.mark.browser
PAGES = ("/model", "/model/card", "/model/audit", "/words", "/words?kind=risk", "/model/categories")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_of_the_model_fits_a_desk_and_a_phone_and_is_accessible(page_as: Callable[..., Page], path: str) -> None:
    for width in (1440, 390):
        page = page_as("administrator", path, width=width)
        assert_fits(page)
        assert_accessible(page)


def test_a_word_is_added_by_keyboard_and_waits_in_a_draft(page_as: Callable[..., Page]) -> None:
    page = page_as("administrator", "/words")
    page.keyboard.press("Alt+n")
    page.keyboard.type("翠微澜庭")
    page.keyboard.press("Enter")
    page.get_by_text("已在草稿中添加").wait_for()
    assert page.get_by_role("cell", name="翠微澜庭").count() == 1
    assert page.get_by_role("button", name="发布").count() == 0


@pytest.fixture(scope="module")
def few_leaves() -> Suggester:
    """A model of a dozen categories, learnt in seconds."""
    corpus = Seeds(seeds.load().leaves[::18], "few")
    return Suggester(learning.learn_default(corpus).model, version="few", corpus=corpus)


@pytest.fixture
def suggester(few_leaves: Suggester) -> Suggester:
    return few_leaves


def test_sentences_of_a_new_category_are_pasted_tried_kept_and_taken_out(
    page_as: Callable[..., Page], live_db: Database
) -> None:
    with live_db.begin() as session:
        session.add(
            Category(
                code="WR-0001", name="低空飞行", path="低空飞行", level=1, definition="无人机在居民区上空飞行扰民。"
            )
        )
    for width in (1440, 390):
        page = page_as("administrator", "/admin/categories/WR-0001/examples", width=width)
        page.get_by_label("例句").fill(
            f"楼下有人天天放小飞机，嗡嗡响个不停，已经 {width} 天。\n学校上空老有小飞机转，怕掉下来砸到孩子。"
        )
        page.get_by_role("button", name="预览").click()
        page.get_by_text("2 条首先判为本类别").wait_for()
        assert_fits(page)
        assert_accessible(page)
        page.get_by_role("button", name="保存 2 条例句").click()
        page.get_by_text("已保存 2 条例句").wait_for()
        for _ in range(2):
            page.get_by_role("button", name="删除").first.click()
            page.get_by_role("alertdialog").get_by_role("button", name="确定").click()
            page.get_by_text("已删除 1 条例句").wait_for()
        page.get_by_text("还没有例句").wait_for()
        assert_fits(page)
