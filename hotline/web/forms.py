"""Reads forms and queries into typed values; what cannot be read is told by field, in Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, TypeVar

from flask import flash as flask_flash
from flask import request
from pydantic import BaseModel, ValidationError

from hotline.core.errors import Invalid, TooLarge

E = TypeVar("E", bound=StrEnum)
M = TypeVar("M", bound=BaseModel)

_WORDS: Final[Mapping[str, str]] = {
    "missing": "此项必填。",
    "string_type": "应为文字。",
    "string_too_short": "内容过短。",
    "string_too_long": "内容过长，最多 {max_length} 个字符。",
    "int_parsing": "应为整数。",
    "int_type": "应为整数。",
    "bool_parsing": "应为 true 或 false。",
    "bool_type": "应为 true 或 false。",
    "enum": "不在可选范围内：{expected}。",
    "literal_error": "不在可选范围内：{expected}。",
    "datetime_parsing": "时间格式不正确，例如 2026-11-22T09:30:00+08:00。",
    "datetime_from_date_parsing": "时间格式不正确，例如 2026-11-22T09:30:00+08:00。",
    "timezone_aware": "时间须带时区，例如 2026-11-22T09:30:00+08:00。",
    "date_from_datetime_parsing": "日期格式不正确，例如 2026-11-22。",
    "date_parsing": "日期格式不正确，例如 2026-11-22。",
    "extra_forbidden": "没有这个字段。",
    "greater_than_equal": "不能小于 {ge}。",
    "less_than_equal": "不能大于 {le}。",
    "json_invalid": "不是有效的 JSON。",
    "model_type": "应为 JSON 对象。",
    "string_unicode": "含有无法识别的字符。",
}


def text(name: str, default: str = "") -> str:
    """Return one field of the form as typed."""
    return request.form.get(name, default)


def asked(name: str, default: str = "") -> str:
    """Return one argument of the query, cut at a length that no honest query has."""
    return request.args.get(name, default)[:500]


def whole(name: str, *, source: Mapping[str, str] | None = None) -> int | None:
    """Return a whole number or nothing; `Invalid` when something else was sent."""
    raw = (source if source is not None else request.form).get(name, "").strip()
    if not raw:
        return None
    if not raw.isdecimal() or len(raw) > 18:  # noqa: PLR2004 - bigger than any id
        raise Invalid({name: "应为整数。"})
    return int(raw)


def ids(name: str) -> list[int]:
    """Return the ids that were ticked or chosen under this name, each once; what is no id is left out."""
    return sorted({int(raw) for raw in request.form.getlist(name) if raw.isdecimal() and len(raw) <= 18})  # noqa: PLR2004 - bigger than any id


def required(name: str) -> int:
    """Return a whole number that the form must carry (an id, a version)."""
    found = whole(name)
    if found is None:
        raise Invalid({name: "缺少必要的参数，请刷新页面后重试。"})
    return found


def version_seen(typed: Mapping[str, str] | None) -> int | None:
    """Return the version that a refused form carried: what changed since then is still told on the next try."""
    raw = (typed or {}).get("version", "")
    return int(raw) if raw.isdecimal() and len(raw) < 19 else None  # noqa: PLR2004 - longer than any version


def flag(name: str) -> bool:
    """Tell whether a box was ticked."""
    return request.form.get(name, "") in {"1", "on", "true", "yes"}


def member(members: type[E], name: str, *, source: Mapping[str, str] | None = None) -> E | None:
    """Return the chosen member, nothing when none was chosen, `Invalid` for an unknown one."""
    raw = (source if source is not None else request.form).get(name, "").strip()
    if not raw:
        return None
    try:
        return members(raw)
    except ValueError as error:
        raise Invalid({name: "所选项不在可选范围内，请重新选择。"}) from error


def body(model: type[M], *, most: int = 400_000) -> M:
    """Read a JSON body into a model; `Invalid` by field, in Chinese."""
    raw = request.get_data(cache=True)
    if len(raw) > most:
        raise TooLarge(f"请求内容过大，最多 {most // 1000} KB。")
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise Invalid(by_field(error)) from error


def by_field(error: ValidationError) -> dict[str, list[str]]:
    """Return a validation error as sentences by field."""
    fields: dict[str, list[str]] = {}
    for problem in error.errors(include_url=False):
        name = ".".join(str(part) for part in problem["loc"]) or "body"
        fields.setdefault(name, []).append(_sentence(problem))
    return fields


def cannot_be_kept(name: str) -> bool:
    """Tell whether a field that was sent holds a zero byte, the one character that the database takes in no text.

    The database refuses the form as a whole; so the page can say which field it was.
    """
    return any("\0" in each for each in request.form.getlist(name))


def told(tone: str, words: str) -> None:
    """Say something at the top of the next page."""
    flask_flash(words, tone)


def _sentence(problem: Any) -> str:  # noqa: ANN401 - pydantic's own mapping
    template = _WORDS.get(problem["type"])
    if template is None:
        return "内容不符合要求。"
    try:
        return template.format(**problem.get("ctx", {}))
    except KeyError:
        return template.split("：")[0]
