"""A concern is taken or refused field by field, the same at every door (domain.md 1.1)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotline.core.errors import Invalid
from hotline.intake.rules import Concern, checked, normal_phone, same_matter, title_from
from hotline.tickets.vocabulary import Channel, RequestType, Urgency

NOW = datetime(2026, 10, 8, 2, 0, tzinfo=UTC)
GOOD = {"content": "建设路的路灯坏了三天，请尽快修理。", "phone": "13900001234"}


def problems(**given_: object) -> dict[str, list[str]]:
    try:
        checked(Concern(**{**GOOD, **given_}), now=NOW)  # type: ignore[arg-type]
    except Invalid as error:
        return error.fields
    return {}


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({}, []),
        ({"content": " \n\u3000"}, ["content"]),
        ({"content": "？！。"}, ["content"]),
        ({"content": "坏了"}, ["content"]),
        ({"content": "字" * 20_000}, []),
        ({"content": "字" * 20_001}, ["content"]),
        ({"title": "题" * 101}, ["title"]),
        ({"name": "名" * 41}, ["name"]),
        ({"place": "地" * 201}, ["place"]),
        ({"phone": ""}, ["phone"]),
        ({"phone": "", "anonymous": True}, []),
        ({"phone": "", "phone_needed": False}, []),
        ({"phone": "没有电话"}, ["phone"]),
        ({"phone": "1390000123"}, ["phone"]),
        ({"phone": "0412-2345678"}, []),
        ({"phone": "+1 202 555 0143"}, []),
        ({"id_number": "123"}, ["id_number"]),
        ({"happened_at": "2026-10-08 11:00"}, ["happened_at"]),
        ({"happened_at": "2026-10-08 09:59"}, []),
        ({"happened_at": "1980-01-01"}, ["happened_at"]),
        ({"happened_at": "昨天"}, ["happened_at"]),
        ({"happened_at": NOW - timedelta(days=1)}, []),
        (
            {"channel": "pigeon", "request_type": "吐槽", "urgency": "最急", "kind": "x"},
            ["channel", "request_type", "urgency", "kind"],
        ),
        ({"content": "", "phone": "x", "title": "题" * 200}, ["content", "title", "phone"]),
    ],
)
def test_every_problem_is_named_at_once(change: dict[str, object], fields: list[str]) -> None:
    assert list(problems(**change)) == fields


def test_a_good_concern_comes_out_clean_and_typed() -> None:
    new = checked(
        Concern(
            content="  建设路\u3000路灯坏了。\x00请修理 ",
            phone="139 0000-1234",
            channel="phone",
            request_type="求助",
            urgency="紧急",
            happened_at="2026-10-07T20:00",
        ),
        now=NOW,
    )
    assert new.content == "建设路 路灯坏了。请修理"
    assert new.title == "建设路 路灯坏了"
    assert (new.phone, new.channel, new.request_type, new.urgency) == (
        "13900001234",
        Channel.PHONE,
        RequestType.HELP,
        Urgency.URGENT,
    )
    assert new.happened_at == datetime(2026, 10, 7, 12, 0, tzinfo=UTC)


def test_an_anonymous_concern_keeps_no_name_and_one_without_a_phone_is_not_called_back() -> None:
    new = checked(Concern(content=GOOD["content"], name="王小明", anonymous=True), now=NOW)
    assert (new.name, new.wants_callback) == ("", False)


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("13900001234", "13900001234"),
        ("+86 139 0000 1234", "13900001234"),
        ("１３９００００１２３４", "13900001234"),
        ("0412-2345678", "04122345678"),
        ("(0412)2345678", "04122345678"),
        ("010-62345678", "01062345678"),
        ("12345", "12345"),
        ("95598", "95598"),
        ("4008001234", "4008001234"),
    ],
)
def test_numbers_are_written_in_one_way(raw: str, normal: str) -> None:
    assert normal_phone(raw) == normal


@pytest.mark.parametrize("raw", ["", "abc", "139/0000", "1", "99999999999999999999999"])
def test_what_is_no_number_is_told_in_words(raw: str) -> None:
    with pytest.raises(ValueError, match="电话号码"):
        normal_phone(raw)


@given(st.text(max_size=200))
def test_a_phone_field_never_breaks_on_any_text(raw: str) -> None:
    try:
        assert normal_phone(raw).lstrip("+").isdigit()
    except ValueError as error:
        assert "电话" in str(error)  # noqa: PT017 - either outcome is right


@given(st.text(min_size=1, max_size=400))
def test_a_title_is_one_short_line(content: str) -> None:
    title = title_from(content)
    assert len(title) <= 30
    assert "\n" not in title or not content.strip("\n")


def test_the_same_matter_is_known_through_blanks_and_punctuation() -> None:
    assert same_matter("路灯坏了，请修。", "路灯坏了 请修")
    assert not same_matter("路灯坏了", "井盖坏了")
