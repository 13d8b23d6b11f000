"""The model's pages in a real browser: they fit, can be read by everybody, and words are added by keyboard."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

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
