"""Reads a page as a browser without a script does: its links, its forms, and what each form would send."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final

from typing_extensions import override

_QUESTIONS: Final = {"hx-get": "get", "hx-post": "post", "data-reveal": "post"}


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field of a form, as it stands on the page."""

    name: str
    #: The type of an input, or `select`, `textarea`, `button`.
    kind: str
    value: str = ""
    #: Whether a box is ticked, an option chosen; always for a field that is written in.
    sent: bool = True
    options: tuple[str, ...] = ()
    #: Whether only figures belong into it.
    numeric: bool = False

    @property
    def written(self) -> bool:
        """Whether a person types into it."""
        return self.kind in {"text", "textarea", "search", "tel", "email", "url", "number", "date", "datetime-local"}


@dataclass(kw_only=True)
class Form:
    """One form: where it goes and what stands in it."""

    action: str
    method: str = "get"
    multipart: bool = False
    fields: list[Field] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The names of its fields, each once, in order of appearance."""
        return list(dict.fromkeys(one.name for one in self.fields))


class Page(HTMLParser):
    """What a page offers: `links`, `forms`, and the questions that its parts ask in the background as forms."""

    def __init__(self, text: str, *, path: str) -> None:
        """Read the page that stands at `path`."""
        super().__init__(convert_charrefs=True)
        self.links: list[str] = []
        self.forms: list[Form] = []
        self._path = path
        self._open: Form | None = None
        self._by_id: dict[str, Form] = {}
        self._elsewhere: list[tuple[str, Field]] = []
        self._area: dict[str, str] | None = None
        self._words: list[str] = []
        self._select: dict[str, str] | None = None
        self._options: list[tuple[str, bool]] = []
        self.feed(text)
        self.close()
        for owner, one in self._elsewhere:
            if owner in self._by_id:
                self._by_id[owner].fields.append(one)

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        opened = {"a": self._link, "form": self._form, "input": self._input, "button": self._button}
        if tag in opened:
            opened[tag](given)
        elif tag == "textarea":
            self._area, self._words = given, []
        elif tag == "select":
            self._select, self._options = given, []
        elif tag == "option" and self._select is not None:
            self._options.append((given.get("value", ""), "selected" in given))
        for asks, method in _QUESTIONS.items():
            if asks in given and tag != "form":
                own = [Field(name=name, kind="text") for name in self._asked(given, asks)]
                self.forms.append(Form(action=given[asks], method=method, fields=own))

    def _link(self, given: dict[str, str]) -> None:
        if "href" in given:
            self.links.append(given["href"])

    def _form(self, given: dict[str, str]) -> None:
        self._open = Form(
            action=given.get("action") or self._path,
            method=given.get("method", "get").lower(),
            multipart=given.get("enctype") == "multipart/form-data",
        )
        self.forms.append(self._open)
        if "id" in given:
            self._by_id[given["id"]] = self._open

    def _input(self, given: dict[str, str]) -> None:
        kind = given.get("type", "text")
        boxed = kind in {"checkbox", "radio"}
        self._add(given, kind, given.get("value", "on" if boxed else ""), sent=not boxed or "checked" in given)

    def _button(self, given: dict[str, str]) -> None:
        if given.get("type", "submit") != "submit":
            return
        if "formaction" in given and self._open is not None:
            own = list(self._open.fields)
            self.forms.append(Form(action=given["formaction"], method=self._open.method, fields=own))
        self._add(given, "button", given.get("value", ""), sent=False)

    @override
    def handle_data(self, data: str) -> None:
        if self._area is not None:
            self._words.append(data)

    @override
    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None
        elif tag == "textarea" and self._area is not None:
            self._add(self._area, "textarea", "".join(self._words).removeprefix("\n"), sent=True)
            self._area = None
        elif tag == "select" and self._select is not None:
            chosen = next((value for value, selected in self._options if selected), None)
            value = chosen if chosen is not None else next((value for value, _ in self._options), "")
            self._add(self._select, "select", value, sent=True, options=[value for value, _ in self._options])
            self._select = None

    def _add(self, given: dict[str, str], kind: str, value: str, *, sent: bool, options: Iterable[str] = ()) -> None:
        if not given.get("name") or "disabled" in given:
            return
        one = Field(
            name=given["name"],
            kind=kind,
            value=value,
            sent=sent,
            options=tuple(options),
            numeric=given.get("inputmode") == "numeric",
        )
        if "form" in given:
            self._elsewhere.append((given["form"], one))
        elif self._open is not None:
            self._open.fields.append(one)

    def _asked(self, given: dict[str, str], asks: str) -> list[str]:
        """Return the names of what a question in the background carries, as our scripts and templates have them."""
        if asks == "data-reveal":
            return ["reason", "words"]
        named = given.get("hx-include", "").split(",") + given.get("hx-params", "").split(",")
        return [word.strip().removeprefix("#f-") for word in named if word.strip() and "[" not in word]
