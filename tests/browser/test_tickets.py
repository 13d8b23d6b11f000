"""The ticket's page and the query in a real browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import assert_accessible

pytestmark = pytest.mark.browser


def test_a_person_signs_in_and_finds_an_accessible_page(page_as: Callable[..., Page]) -> None:
    page = page_as("administrator")
    assert_accessible(page)
    assert page.get_by_role("heading", level=1).is_visible()
