"""Every form that any account of the demonstration city reaches, sent with everything that no form should be sent.

The forms are not listed: they are found by walking links as each account and as the public, and by sending each form
honestly once to see what it leads to. Then each field in turn gets something else than an honest value, and what that
did is taken back, so that every sending meets the same city. Whatever comes, no answer is an unexpected error, none
carries our script back as a script, and what a person has typed is given back with a word about it.
"""

from __future__ import annotations

import html
import os
import re
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Connection, select, text
from sqlalchemy.exc import DataError
from sqlalchemy.orm import Session
from typing_extensions import override
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse

from classifier.suggest import Suggester
from hotline.app import create_app
from hotline.core import clock
from hotline.core.db import Database, forget_remembered
from hotline.core.errors import NotFound
from hotline.core.sealing import Keyring
from hotline.core.settings import Settings
from hotline.core.text import clean
from hotline.demo import data
from hotline.demo.load import load
from hotline.tickets.models import InstallationSetting, Ticket
from hotline.tickets.states import State
from hotline.web.asking import UNASKED
from hotline.wiring import AT_ONCE, REACTIONS, Installation
from routing.answers.doubts import Doubt
from routing.answers.vetting_rules import SETTING, VettingMode, VettingPolicy
from routing.catalogue import trials
from routing.models import Department, Dispatch
from tests.conftest import NOW, copy_of
from tests.forms import Field, Form, Page
from tests.makers import PASSWORD, sign_in

SCRIPT: Final = '<script>alert("穿透")</script>'
CONCERN: Final = "建设路口的井盖破损已有三天，夜间车辆经过很危险，请尽快更换。"
#: What is put in the place of one honest value.
HOSTILE: Final[Mapping[str, str]] = {
    "nothing": "",
    "100 kB": "建" * 34_000,
    "control characters": "甲\x01\x07\x1b[31m\x7f\x85乙",
    "a zero byte": "甲\0乙",
    "emoji": "👨‍👩‍👧‍👦🏚️👍🏿",
    "traditional characters": "路燈壞了請儘快修復臺灣龜",
    "SQL": "'; DROP TABLE tickets; --",
    "HTML": f'{SCRIPT}"><img src=x onerror=alert(1)>',
    "right-to-left marks": "\u202e号八路福幸\u2066\u200f",
    "half a surrogate": "甲\ud800乙",
    "a number beyond every column": "9" * 30,
    "a number beyond an integer": "4294967296",
    "a number below nothing": "-1",
    "figures of another script": "٣²½",
    "no number": "1e309",
    "a day that is not in the calendar": "2026-02-30",
    "the first day there is": "0001-01-01",
    "the last day there is": "9999-12-31T23:59",
    "an id of nothing": "999999999",
}
#: How many pages with the same view and the same questions are walked as one account.
WALKED, WALKED_ASKING = 2, 1
#: Beside the first of each role: units with an alarm, with a notice, with a return that waits, with tasks from above,
#: and who decides after a first.
FURTHER: Final = frozenset({"reli01", "renshe01", "wenchang01", "dongze01", "huifang02", "paidan02"})
#: Lists on which the first rows of the walks above have nothing to give; so many of their tickets are opened.
LISTS: Final = (
    ("huawu01", "/tickets?state=registered", 8),
    ("duban01", "/tickets?state=closed", 4),
    ("paidan01", "/incidents", 4),
    ("dongze01", "/department/parts", 4),
    ("paishui01", "/department/parts", 4),
    ("renshe01", "/department?tab=handling", 8),
    ("duban01", "/tickets?state=closed&outcome=confirmed", 1),
    ("admin01", "/admin/categories/CJ-0501/examples", 1),
)
#: How many honest acts may stand before a form.
DEEPEST: Final = 3
#: What is written into a field of this name when it is empty; with its view before it, whatever stands in it.
HONEST: Final[Mapping[str, str]] = {
    "workdays": "2",
    "percent": "20",
    "word": "井盖王",
    "login": "huawu02",
    "accounts.create_user:login": "xinren01",
    "code": "xin_1",
    "territory.create_region:code": "99010999",
    "name": "望川新村",
    "display_name": "望川新人",
    "place": "未名街8号",
    "service_item": "",
    "region_code": "",
    "hours": "",
    "other_number": "",
    "valid_to": "",
    "co_handlers": "",
    "evidence": "来电辱骂，无具体诉求。",
    "happened_at": "2026-10-07",
    "contact_at": "2026-10-07T10:00",
    "due_at": "2026-10-08T20:00",
    "public_answer": "您好，井盖已于今日更换，感谢您的监督。",
    "track.add:what": "add",
    "category_examples.act:act": "save",
    "reviews.confirm:agree": "no",
    "intake.caller:phone": "19900000101",
    "department.answer:warned": ",".join(Doubt),
    "expected": "2026-10-12",
    "title": "井盖破损",
    "reason": "情况属实，按职责办理。",
    "words": "情况属实，按职责办理。",
    "numbers": "",
}
#: Where somebody else finds what an act has put on his desk.
LEADS_TO: Final[Mapping[str, Sequence[tuple[str, str]]]] = {
    "part.share": [("chengguan01", "/department/parts")],
    "department.answer": [("paidan01", "/vetting"), ("huifang01", "/callbacks")],
    "disputes.ask": [("chengguan01", "/disputes")],
    "disputes.hear": [("chengguan01", "/disputes")],
    "disputes.panel": [("caijue01", "/disputes"), ("duban01", "/disputes")],
    "disputes.propose": [("caijue01", "/disputes")],
    "notices.account": [("duban01", "/supervision/notices/1")],
    "reviews.propose": [("huifang02", "/reviews")],
    "reviews.confirm": [("huifang01", "/reviews"), ("huifang02", "/reviews")],
    "harassment.ask": [("duban01", "/harassment")],
    "deadline.decide": [("chengguan01", "/department")],
}


@dataclass(frozen=True, kw_only=True)
class Story:
    """What several people do with one ticket, one after the other, where no form leads its own sender to the next."""

    #: Who sends the form of which view, and from which page it is found; {number} is the ticket's.
    acts: Sequence[tuple[str, str, str]]
    #: Who looks where in the end.
    ends: tuple[str, str]


_SUSPENDED: Final = (
    ("chengguan01", "/department/{number}/time", "deadline.ask_suspension"),
    ("paidan01", "/time", "deadline.decide"),
)
_SUPERVISED: Final = (
    ("duban01", "/tickets/{number}/supervise", "notices.supervise"),
    ("chengguan01", "/supervision/notices", "notices.account"),
)
STORIES: Final = (
    Story(acts=_SUSPENDED, ends=("chengguan01", "/department/{number}/time")),
    Story(acts=_SUPERVISED, ends=("duban01", "/supervision/notices?tab=accounted")),
)

#: A choice among what stands there is not written; it gets what a program could send.
WRITTEN_ONLY: Final = frozenset(
    {
        "100 kB",
        "control characters",
        "emoji",
        "traditional characters",
        "SQL",
        "right-to-left marks",
        "a day that is not in the calendar",
        "the first day there is",
        "the last day there is",
    }
)
#: No more fields of one form are taken: a table of settings has the same field many times.
MOST_FIELDS: Final = 20
#: So many forms are found at least: a walk that finds fewer has lost its way.
LEAST_FOUND: Final = 100
#: Shorter words are chosen or typed again in a moment; the page of an error does not give them back.
LEAST_WRITTEN: Final = 8
#: Asked by a script, which keeps what was typed itself.
BY_SCRIPT: Final = frozenset({"revealing.reveal", "intake.caller_name", "intake.caller", "intake.suggest"})
#: What is wrong is said of the form as a whole: a search box, and number with code, of which neither may be told.
UNNAMED: Final = frozenset({"tickets.find", "track.track", *BY_SCRIPT})
#: Views that take a form which nothing on these walks leads to; each has tests of its own, and no more may join them
#: unseen.
NOT_REACHED: Final = frozenset(
    {
        # A trained text model with doubtful examples; work in the background that failed.
        *("card.settle", "model.hear", "model.loosen", "model.promote", "model.roll_back", "jobs.try_again"),
        # A script asks with what stands in another form.
        "intake.append",
        # A number that was marked three times in three calls.
        *("harassment.ask", "harassment.decide"),
        # An edition of deadlines, which is written with a script or in many steps.
        *("profiles.confirm", "profiles.move", "profiles.withdraw"),
        # The end of the year, when next year's notice is not there yet.
        "calendar.confirm_year",
        # A file that is a catalogue.
        "dispatch_catalogue.apply",
    }
)


class Rehearsal(Database):
    """A database on which requests run in one transaction that is taken back, each commit being a savepoint."""

    _stage: Connection | None = None
    _counted: str = ""
    #: Where the application keeps what it has read for a while; a rehearsal that is taken back takes it along.
    kept: dict[str, Any]

    def open(self) -> None:
        """Remember where every sequence stands: no transaction takes them back, and a rehearsal repeats its ids."""
        with self.engine.connect() as connection:
            rows = connection.execute(text("SELECT sequencename, last_value FROM pg_sequences"))
            self._counted = ", ".join(
                f"setval('{name}', {value or 1}, {'true' if value else 'false'})" for name, value in rows
            )

    @contextmanager
    def rehearse(self) -> Iterator[None]:
        """Let everything that happens inside happen on one connection, and undo it; one may stand inside another."""
        if self._stage is not None:
            with self._stage.begin_nested() as inner:
                yield
                inner.rollback()
            self._forget()
            return
        with self.engine.connect() as connection:
            outer = connection.begin()
            self._stage = connection
            self._sessions.configure(bind=connection, join_transaction_mode="create_savepoint")
            try:
                connection.execute(text(f"SELECT {self._counted}"))
                yield
            finally:
                self._stage = None
                self._sessions.configure(bind=self.engine, join_transaction_mode="conditional_savepoint")
                outer.rollback()
                self._forget()

    def _forget(self) -> None:
        """Forget what was read of a city that is gone: how long it would be believed depends on the machine's speed."""
        self.kept.pop("catalogue", None)
        with self._sessions() as session:
            forget_remembered(session)

    @override
    @contextmanager
    def read(self) -> Iterator[Session]:
        if self._stage is None:
            with super().read() as session:
                yield session
            return
        try:
            with self._sessions() as session:
                session.execute(text("SET LOCAL transaction_read_only = on"))
                yield session
        except DataError as error:
            raise NotFound from error


@dataclass(frozen=True, kw_only=True)
class Found:
    """A form that was found: whose, where, of which view, and what was honestly sent before it showed."""

    login: str
    page: str
    endpoint: str
    form: Form
    after: tuple[Found, ...] = ()

    @property
    def key(self) -> tuple[str, ...]:
        """What makes two forms the same form."""
        return (self.endpoint, self.form.method, *sorted(self.form.names))

    @override
    def __str__(self) -> str:
        return f"{self.endpoint} ({self.form.action}) as {self.login or 'the public'}"


@dataclass(kw_only=True)
class House:
    """The application in the city, the cookie of each account, and what was found."""

    app: Flask
    db: Rehearsal
    cookies: Mapping[str, str]
    honest: Mapping[str, str]
    forms: dict[tuple[str, ...], Found] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def endpoint(self, path: str, method: str) -> str:
        """Return which view answers, or nothing."""
        try:
            name, _ = self.app.url_map.bind("localhost").match(urlsplit(path).path, method=method.upper())
        except HTTPException:
            return ""
        return str(name)

    def browser(self, login: str) -> FlaskClient:
        """Return a browser in which this account has signed in; what it is told is forgotten with it."""
        browser = self.app.test_client()
        if self.cookies.get(login):
            browser.set_cookie("hotline", self.cookies[login])
        return browser

    def walk(self, login: str, *, start: str, most: int = WALKED, after: tuple[Found, ...] = ()) -> None:
        """Follow the links of every page that this account reaches from one, and keep the forms on the way."""
        browser, waiting, seen, walked = self.browser(login), deque([start]), {start}, Counter[Any]()
        while waiting:
            path = waiting.popleft()
            answer = browser.get(path)
            if answer.status_code in {302, 303}:
                links = [answer.headers["Location"]]
            elif answer.status_code >= 400:
                self.wrong.append(f"{answer.status_code} at {path} as {login}")
                continue
            elif "html" in answer.content_type:
                links = self.read(answer.text, login=login, path=path, after=after)
            else:
                continue
            for link in links:
                to = urlsplit(link)
                address = f"{to.path or urlsplit(path).path}{'?' if to.query else ''}{to.query}"
                if to.netloc or to.scheme or not (to.path or to.query) or address in seen:
                    continue
                asked = tuple(sorted(name for name, _ in parse_qsl(to.query)))
                kind = (self.endpoint(address, "get"), asked)
                if not kind[0]:
                    self.wrong.append(f"{link} on {path} leads nowhere")
                if kind[0] and walked[kind] < (min(most, WALKED_ASKING) if asked else most):
                    walked[kind] += 1
                    seen.add(address)
                    waiting.append(address)

    def read(self, words: str, *, login: str, path: str, after: tuple[Found, ...] = ()) -> list[str]:
        """Keep the forms of a page and return its links."""
        page = Page(words, path=path)
        for form in page.forms:
            if form.method == "dialog":
                continue
            found = Found(
                login=login, page=path, endpoint=self.endpoint(form.action, form.method), form=form, after=after
            )
            self.forms.setdefault(found.key, found)
        return page.links

    def send(self, found: Found, values: Sequence[tuple[str, str]]) -> TestResponse:
        """Send a form as its account's browser would, and follow where it leads."""
        browser, action = self.browser(found.login), found.form.action
        body, kind = urlencode(values, errors="surrogatepass").encode(), "application/x-www-form-urlencoded"
        if found.form.method == "get":
            return browser.get(f"{urlsplit(action).path}?{body.decode()}", follow_redirects=True)
        if found.form.multipart:
            body, kind = in_parts(values, [one.name for one in found.form.fields if one.kind == "file"])
        return browser.post(
            action, data=body, content_type=kind, headers={"Referer": found.page}, follow_redirects=True
        )

    def filled(self, found: Found) -> list[tuple[str, str]]:
        """Return a form as an honest person sends it: one button, one of each choice, and every field written in."""
        values = list[tuple[str, str]]()
        ticked = {one.name for one in found.form.fields if one.kind in {"radio", "checkbox"} and one.sent}
        boxes = Counter(one.name for one in found.form.fields if one.kind == "checkbox")
        chosen, pressed = set[str](), False
        for one in found.form.fields:
            # Whoever presses a button with a question has answered it; the page that asks has tests of its own.
            pressed = pressed or one.name == UNASKED
            if one.kind == "file" or (one.kind == "button" and pressed):
                continue
            # A choice that must be made gets its first answer, a list to tick its first line; a lone box stays empty.
            decided = self.honest.get(f"{found.endpoint}:{one.name}")
            passed = one.name in ticked or one.name in chosen or (boxes[one.name] == 1 and decided is None)
            if one.kind in {"radio", "checkbox"} and not one.sent and passed:
                continue
            known = decided if decided is not None else self.honest.get(one.name)
            fixed = decided is not None and one.kind != "select"
            values.append((one.name, str(decided) if fixed else honest(one, known)))
            chosen.add(one.name)
            pressed = pressed or one.kind == "button"
        return values

    @contextmanager
    def before(self, found: Found) -> Iterator[None]:
        """Bring about what a form needs to be there, and undo it."""
        with self.before_all(found.after):
            yield

    @contextmanager
    def before_all(self, acts: Sequence[Found]) -> Iterator[None]:
        """Do these acts, and undo them."""
        with self.db.rehearse():
            for earlier in acts:
                self.send(earlier, self.filled(earlier))
            yield

    def act_to_find_more(self) -> None:
        """Send every form once honestly, look at what it leads to, and keep the forms that show only then."""
        waiting = deque(self.forms.values())
        while waiting:
            found, known = waiting.popleft(), set(self.forms)
            if len(found.after) >= DEEPEST or found.endpoint == "account.sign_out":
                continue
            with self.before(found):
                answer = self.send(found, self.filled(found))
                after = (*found.after, found)
                if answer.status_code < 400 and "html" in answer.content_type:
                    self.read(answer.text, login=found.login, path=answer.request.path, after=after)
                    for login, path in LEADS_TO.get(found.endpoint, ()):
                        self.walk(login, start=path, most=2, after=after)
            waiting.extend(self.forms[key] for key in self.forms if key not in known)

    def tell(self, story: Story, *, number: str) -> None:
        """Do what a story tells, and keep the forms that show in its end."""
        after: tuple[Found, ...] = ()
        for login, start, endpoint in story.acts:
            with self.before_all(after):
                after = (*after, self.seek(endpoint, login=login, start=start.format(number=number), number=number))
        login, start = story.ends
        with self.before_all(after):
            for path, words in self.about(number, login=login, start=start.format(number=number)):
                self.read(words, login=login, path=path, after=after)

    def seek(self, endpoint: str, *, login: str, start: str, number: str) -> Found:
        """Return the form of a view on a page about a ticket."""
        for path, words in self.about(number, login=login, start=start):
            for form in Page(words, path=path).forms:
                if self.endpoint(form.action, form.method) == endpoint:
                    return Found(login=login, page=path, endpoint=endpoint, form=form)
        raise LookupError(f"{endpoint} does not show to {login} at {start}")

    def about(self, number: str, *, login: str, start: str) -> Iterator[tuple[str, str]]:
        """Read a page of this ticket; from a list, what it leads to and speaks of the ticket."""
        browser = self.browser(login)
        words = browser.get(start).text
        if number in start:
            yield start, words
            return
        for link in dict.fromkeys(Page(words, path=start).links):
            path = urlsplit(link).path
            if path.startswith(f"{urlsplit(start).path}/") and number in (words := browser.get(path).text):
                yield path, words


def honest(one: Field, known: str | None) -> str:
    """Return what a person would leave in a field, or write into an empty one."""
    if one.kind == "select":
        return str(known) if known in one.options else one.value or next((each for each in one.options if each), "")
    if one.value or known is not None:
        return one.value or str(known)
    guesses = (
        (one.kind == "password", PASSWORD),
        (one.kind == "date" or re.search(r"(_on|day|until|date)$", one.name), "2026-10-12"),
        (one.kind == "datetime-local" or one.name.endswith("_at"), "2026-10-12T10:00"),
        ("phone" in one.name, "13900001234"),
        (one.numeric or one.name.startswith("workdays"), "2"),
        (one.written, CONCERN),
    )
    return next((value for fits, value in guesses if fits), "")


def in_parts(values: Sequence[tuple[str, str]], files: Sequence[str]) -> tuple[bytes, str]:
    """Return a body in parts with a small honest file under each of these names, and its type."""
    parts = [
        f'Content-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value.encode("utf-8", "surrogatepass")
        for name, value in values
    ]
    parts += [
        f'Content-Disposition: form-data; name="{name}"; filename="jian.txt"\r\n\r\n'.encode() + CONCERN.encode()
        for name in files
    ]
    body = b"".join(b"--sieve\r\n" + part + b"\r\n" for part in parts) + b"--sieve--\r\n"
    return body, "multipart/form-data; boundary=sieve"


def replaced(values: Sequence[tuple[str, str]], name: str, by: Sequence[str]) -> list[tuple[str, str]]:
    """Return what is sent with other values under one name, which may be none or several."""
    return [(each, value) for each, value in values if each != name] + [(name, value) for value in by]


def known_of(database: Database) -> Mapping[str, str]:
    """Return honest values that only the city knows: the unit whose member is asked next."""
    with database.read() as session:
        unit = session.scalars(select(Department.id).where(Department.code == "urban_management")).one()
        other = session.scalars(select(Department.id).where(Department.code == "civil_affairs")).one()
    return {
        "part.share:department_id": str(unit),
        "disputes.hear:department_id": str(unit),
        "disputes.propose:lead_id": str(other),
    }


def tracked(database: Database) -> Sequence[str]:
    """Return the numbers of a ticket that is open and of one whose callback waits, for their citizens to look at."""
    with database.read() as session:
        return [
            session.scalars(select(Ticket.number).where(Ticket.state == state).order_by(Ticket.id).limit(1)).one()
            for state in (State.SIGNED, State.ANSWERED)
        ]


def in_hand(database: Database) -> str:
    """Return the number of a ticket that the first unit of this city has in hand, and with time left."""
    with database.read() as session:
        mine = select(Ticket.number).join(Dispatch, Dispatch.ticket_id == Ticket.id)
        mine = mine.join(Department, Department.id == Dispatch.department_id).where(
            Department.code == "urban_management"
        )
        mine = mine.where(Dispatch.is_current, Dispatch.answered_at.is_(None), Dispatch.due_at > NOW)
        return session.scalars(mine.order_by(Ticket.id).limit(1)).one()


def shown(app: Flask, number: str) -> str:
    """Return the cookie of a browser that was shown this ticket."""
    browser = app.test_client()
    with browser.session_transaction() as session:
        session["tracked"] = {"number": number, "until": (NOW + timedelta(minutes=30)).isoformat()}
    cookie = browser.get_cookie("hotline")
    assert cookie is not None
    return cookie.value


@pytest.fixture(scope="module")
def house(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The demonstration city behind the application, and every form in it."""
    keyring, city = Keyring.for_tests(), data.load()
    with copy_of(postgres) as url, pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "now", lambda: NOW)
        # Tried while the page waits, however busy the machine is.
        patch.setattr(trials, "ask", partial(trials.ask, patience_ms=60_000))
        heard = frozenset(event.__name__ for event in REACTIONS)
        database = Rehearsal(url, keyring=keyring, at_once=AT_ONCE, heard=heard, pool=3)
        load(database, city, password=PASSWORD, now=NOW)
        with database.begin() as session:
            everything = VettingPolicy(mode=VettingMode.ALL).to_setting()
            session.merge(InstallationSetting(name=SETTING, value=everything, changed_by=None, changed_at=NOW))
        settings = Settings.from_environment({"HOTLINE_HOME": str(tmp_path_factory.mktemp("home"))})
        without = Suggester.without_model("测试中没有加载分类模型。")
        app = create_app(Installation(settings=settings, keyring=keyring, db=database, _suggester=without))
        database.kept = app.extensions
        app.config.update(TESTING=True, WTF_CSRF_ENABLED=False, PROPAGATE_EXCEPTIONS=False)
        cookies = {"": ""} | {f"citizen of {number}": shown(app, number) for number in tracked(database)}
        for user in city.users:
            browser = app.test_client()
            sign_in(browser, user.login)
            cookie = browser.get_cookie("hotline")
            assert cookie is not None
            cookies[user.login] = cookie.value
        house = House(app=app, db=database, cookies=cookies, honest={**HONEST, **known_of(database)})
        roles = set[str]()
        for user in city.users:
            if user.role not in roles or user.login in FURTHER:
                house.walk(user.login, start="/desk", most=1 if user.role in roles else WALKED)
            roles.add(user.role)
        for login in cookies:
            if login.startswith("citizen"):
                house.walk(login, start="/track/ticket")
        for login, start, most in (("", "/", WALKED), ("", "/sign-in", WALKED), *LISTS):
            house.walk(login, start=start, most=most)
        database.open()
        for story in STORIES:
            house.tell(story, number=in_hand(database))
        house.act_to_find_more()
        yield house
        database.close()


def test_every_link_leads_somewhere_and_every_form_has_a_view(house: House) -> None:
    assert not house.wrong
    assert not [str(found) for found in house.forms.values() if not found.endpoint]


def kinds_of(one: Field, turn: int) -> Iterator[tuple[str, list[str]]]:
    """Return what this field is sent: one of the hostile values in turn, and for every third an odd number of values.

    All of them for every field are fifteen times as many and take a quarter of an hour; `EVERY_FORM=all` sends them.
    """
    hostile = [(name, [value]) for name, value in HOSTILE.items() if one.written or name not in WRITTEN_ONLY]
    odd = [("no value at all", list[str]()), ("two values", [CONCERN, CONCERN])]
    if os.environ.get("EVERY_FORM") == "all":
        yield from hostile + odd
        return
    yield hostile[turn % len(hostile)]
    if turn % 3 == 0:
        yield odd[turn % 2]


def complaint(found: Found, one: Field, values: Sequence[str], answer: TestResponse, *, accepted: bool) -> str:
    """Return what is wrong with the answer to a form in which one field was not honest; empty when nothing is."""
    status, words = answer.status_code, html.unescape(answer.text)
    if status >= 500:
        return f"answers {status}"
    if SCRIPT in answer.text:
        return "gives the script back as a script"
    if status < 400 or "html" not in answer.content_type:
        return ""
    typed = values[0].encode("utf-8", "surrogatepass").decode("utf-8", "replace") if values else ""
    beginnings = {typed[:200], clean(typed)[:200].split("\n")[0], " ".join(typed.split())[:200]}
    kept = len(clean(typed)) < LEAST_WRITTEN or any(each in words for each in beginnings)
    named = re.search(rf'f-{re.escape(one.name)}-error|href="#f-{re.escape(one.name)}"|aria-invalid', answer.text)
    to_name = one.written and status == 422 and accepted and found.endpoint not in UNNAMED
    problems = (
        (
            not re.search(r"summary-title|error-words|field-error|data-flash|notice|role=.alert", answer.text),
            "says nothing",
        ),
        (one.written and found.endpoint not in BY_SCRIPT and not kept, "does not give back what was typed"),
        (to_name and not named, "does not name the field"),
    )
    return next((f"{status} {problem}" for there, problem in problems if there), "")


@pytest.fixture(scope="module")
def sent(house: House) -> Mapping[str, Sequence[str]]:
    """Every form sent with everything; by kind of input, what was wrong with the answers."""
    wrong: dict[str, list[str]] = {name: [] for name in (*HOSTILE, "no value at all", "two values")}
    turn = 0
    for found in house.forms.values():
        if found.endpoint == "account.sign_out":
            continue
        with house.before(found):
            values = house.filled(found)
            with house.db.rehearse():
                accepted = house.send(found, values).status_code < 400
            names = dict.fromkeys(one.name for one in found.form.fields if one.kind not in {"file", "button"})
            for name in [one for one in names if one != "csrf_token"][:MOST_FIELDS]:
                one = next(each for each in found.form.fields if each.name == name)
                turn += 1
                for kind, instead in kinds_of(one, turn):
                    with house.db.rehearse():
                        answer = house.send(found, replaced(values, name, instead))
                    if problem := complaint(found, one, instead, answer, accepted=accepted):
                        wrong[kind].append(f"{name} of {found}: {problem}")
    return wrong


@pytest.mark.parametrize("kind", [*HOSTILE, "no value at all", "two values"])
def test_no_form_stumbles_over(sent: Mapping[str, Sequence[str]], kind: str) -> None:
    assert not sent[kind], "\n".join(sent[kind])


def test_the_forms_are_those_of_the_house(house: House) -> None:
    """Whatever view takes a form is reached here, but for those that are named."""
    posts = {
        rule.endpoint
        for rule in house.app.url_map.iter_rules()
        if "POST" in (rule.methods or ()) and not rule.endpoint.startswith(("api.", "webhooks."))
    }
    reached = {found.endpoint for found in house.forms.values()}
    assert sorted(posts - reached - NOT_REACHED) == []
    assert sorted(reached & NOT_REACHED) == []
    assert len(house.forms) >= LEAST_FOUND
