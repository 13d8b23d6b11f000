"""One question before an act that cannot be taken back, for browsers in which no script has asked it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from flask import Flask, render_template, request
from flask.typing import ResponseReturnValue

from hotline.web import forms, gate

#: What a button with a question sends as long as nobody has answered it; `js/confirm.js` takes it off after 确定.
UNASKED: Final = "unasked"
_NOT_CARRIED: Final = frozenset({UNASKED, "csrf_token"})


@dataclass(frozen=True, kw_only=True)
class QuestionPage:
    """The question, and everything that the form carried."""

    words: str
    action: str
    fields: Sequence[tuple[str, str]]


def register(app: Flask) -> None:
    """Put the question between a form and its view; behind the door, so that nobody is asked what he may not do."""

    @app.before_request
    def _ask() -> ResponseReturnValue | None:
        if request.method != "POST" or request.blueprint == "api" or gate.person() is None:
            return None  # nothing that a machine or a citizen does is asked
        words = forms.text(UNASKED)
        if not words:
            return None
        carried = [(name, value) for name, value in request.form.items(multi=True) if name not in _NOT_CARRIED]
        asked = QuestionPage(words=words, action=request.full_path.rstrip("?"), fields=carried)
        return render_template("tickets/question.html", page=asked)
