"""A real browser on the real application: a small city, a loopback port, one fixed instant, and no silent mistakes.

`live_url` serves the application with everything switched on (CSRF too) over a database of the test's own.
`page_as("operator")` signs in through the form. Whatever a page says on its console, whatever the content security
policy refuses and whatever the server fails at is collected in `problems` and fails the test at its end; a test that
provokes one on purpose takes it out of the list.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Response, sync_playwright
from sqlalchemy.orm import Session
from typing_extensions import override
from werkzeug.serving import WSGIRequestHandler, make_server

from classifier.suggest import Suggester
from hotline.app import create_app
from hotline.core import clock
from hotline.core.db import Database
from hotline.core.permissions import STAFF_ROLES, Actor, Role
from hotline.core.sealing import Keyring
from hotline.core.settings import Settings
from hotline.tickets import actions as tickets
from hotline.tickets.models import Category, Ticket
from hotline.wiring import Installation, wired
from routing import actions as routing
from routing.models import Department, DepartmentKind
from tests.conftest import NOW, copy_of
from tests.makers import (
    PASSWORD,
    dispatched_ticket,
    feedback,
    make_actor,
    make_category,
    make_department,
    make_region,
    register_ticket,
)

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
AXE = next((Path(__file__).parents[1] / "vendor").glob("axe-core-*/axe.min.js"))
#: Longer than anything local takes, short enough that a broken page is told soon.
PATIENCE_MS = 10_000
_WATCH = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`content security policy: ${event.violatedDirective} refused ${event.blockedURI}`));
"""


class _Quiet(WSGIRequestHandler):
    """Serves without a line in the log for each request."""

    @override
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        return


@dataclass(frozen=True, kw_only=True)
class City:
    """What stands in the small city: who may sign in (login = the role's name), and one ticket of each kind."""

    #: The department whose member the login "responder" is.
    department_id: int
    department: str
    other_department_id: int
    category_id: int
    region_id: int
    #: Name of a stage -> number of such a ticket: registered, dispatched, overdue, signed, answered, refused, other
    #: (in the hands of the other department).
    numbers: dict[str, str] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)


@pytest.fixture(scope="session")
def keyring() -> Keyring:
    """The keys of every browser test: the city is made once and copied."""
    return Keyring.for_tests()


@pytest.fixture(scope="session")
def city_template(postgres: str, keyring: Keyring) -> Iterator[tuple[str, City]]:
    """Make the city once, in a database that each test then gets a copy of."""
    with copy_of(postgres) as address:
        database = wired(address, keyring=keyring, pool=1)
        with database.begin() as session:
            city = small_city(session, now=NOW)
        database.close()
        yield address, city


@pytest.fixture
def city(city_template: tuple[str, City]) -> City:
    """What stands in the city."""
    return city_template[1]


@pytest.fixture
def live_db(city_template: tuple[str, City], keyring: Keyring) -> Iterator[Database]:
    """The database behind `live_url`, a copy of the city; a test may add to it."""
    with copy_of(city_template[0]) as address:
        database = wired(address, keyring=keyring, pool=8)
        yield database
        database.close()


@pytest.fixture
def suggester() -> Suggester:
    """The text model behind `live_url`: none. A test of suggestions overrides this fixture with a model of its own."""
    return Suggester.without_model("测试环境没有分类模型")


@pytest.fixture
def live_tools(live_db: Database, suggester: Suggester, tmp_path: Path) -> Installation:
    """The installation behind `live_url`."""
    settings = Settings.from_environment({"HOTLINE_HOME": str(tmp_path / "home")})
    return Installation(settings=settings, keyring=live_db.keyring, db=live_db, _suggester=suggester)


@pytest.fixture
def live_url(live_tools: Installation, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve the application on a loopback port, at the instant NOW; returns its address without a slash at the end."""
    monkeypatch.setattr(clock, "now", lambda: NOW)
    app = create_app(live_tools)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    # The last answers are waited for at the end (`server_close`): a request that outlived its database would leave its
    # connection to nobody, which is a warning in whatever test comes next.
    server.daemon_threads = False  # type: ignore[attr-defined] # of the threaded server that was asked for
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        streams = app.extensions.get("live")
        if streams is not None:
            streams.close()
        server.shutdown()
        thread.join(timeout=10)
        server.server_close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One headless Chromium for the whole run."""
    if not CHROMIUM.exists():
        pytest.skip(f"no browser at {CHROMIUM}")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(ARGUMENTS))
        yield launched
        launched.close()


@pytest.fixture
def problems() -> Iterator[list[str]]:
    """What went wrong behind the page's back; anything left here fails the test."""
    found: list[str] = []
    yield found
    assert not found, "\n".join(["the browser complained:", *found])


@pytest.fixture
def aborted_questions_are_no_problem(problems: list[str]) -> Iterator[None]:
    """Forget that htmx said aloud that a newer question took the place of an older one: that is how it is meant."""
    yield
    problems[:] = [one for one in problems if not re.match(r"console: htmx:(sendAbort|afterRequest), ", one)]


@pytest.fixture
def new_context(browser: Browser, live_url: str, problems: list[str]) -> Iterator[Callable[..., BrowserContext]]:
    """Open a browser profile of its own: `new_context(viewport={"width": 390, "height": 844})`."""
    opened: list[BrowserContext] = []

    def open_context(**wishes: Any) -> BrowserContext:
        wishes = {
            "viewport": {"width": 1440, "height": 900},
            "locale": "zh-CN",
            "timezone_id": "Asia/Shanghai",
            **wishes,
        }
        context = browser.new_context(base_url=live_url, reduced_motion="reduce", **wishes)
        context.set_default_timeout(PATIENCE_MS)
        context.add_init_script(_WATCH)
        context.on("page", lambda page: watch(page, problems))
        opened.append(context)
        return context

    yield open_context
    for context in opened:
        context.close()


@pytest.fixture
def page(new_context: Callable[..., BrowserContext]) -> Page:
    """A page of somebody who has not signed in (a citizen)."""
    return new_context().new_page()


@pytest.fixture
def page_as(new_context: Callable[..., BrowserContext]) -> Callable[..., Page]:
    """Sign a role in through the form, in a profile of its own: `page_as("operator", "/intake", width=390)`."""

    def sign_in(role: str, path: str = "/account", *, login: str = "", width: int = 1440, height: int = 900) -> Page:
        page = new_context(viewport={"width": width, "height": height}).new_page()
        page.goto("/sign-in?next=" + quote(path))
        page.get_by_label("用户名").fill(login or role)
        page.get_by_label("密码").fill(PASSWORD)
        page.get_by_role("button", name="登录").click()
        page.wait_for_url(lambda url: "/sign-in" not in url)
        return page

    return sign_in


def watch(page: Page, problems: list[str]) -> None:
    """Collect what the page logs as an error, throws, and what the server answers in error."""

    def answered(response: Response) -> None:
        missing = response.status >= 400 and response.request.resource_type not in {
            "document",
            "fetch",
            "xhr",
            "eventsource",
        }
        if response.status >= 500 or missing:
            problems.append(f"{response.status} {response.request.method} {response.url}")

    def logged(message: Any) -> None:
        # The refusal of a request has its own line above; that a form was refused with 422 is no mistake.
        if message.type in {"error", "warning"} and not message.text.startswith("Failed to load resource"):
            problems.append(f"console: {message.text}")

    page.on("response", answered)
    page.on("console", logged)
    page.on("pageerror", lambda error: problems.append(f"script: {error}"))


def assert_accessible(page: Page, *, within: str = "") -> None:
    """Raise when axe finds anything serious or critical on the page (or inside one selector)."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate(
        "within => axe.run(within || document, {resultTypes: ['violations']}).then(answer => answer.violations"
        ".filter(one => ['serious', 'critical'].includes(one.impact))"
        ".map(one => `${one.impact} ${one.id}: ${one.help} | ` + one.nodes.slice(0, 5).map(n => n.html).join(' | ')))",
        within,
    )
    assert not found, "\n".join([f"axe on {page.url}:", *found])


def assert_fits(page: Page) -> None:
    """Raise when the page is wider than its window (a phone would scroll sideways)."""
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 1, f"{page.url} is {wide} px wider than the window"


def small_city(session: Session, *, now: datetime) -> City:
    """Make two departments, one account per role and a few tickets at every stage of their lives."""
    lighting = make_department(session, "city_management", name="望川市城市管理局", duty_phone="0412-2220001")
    heating = make_department(session, "heating", name="望川供热集团", kind=DepartmentKind.COMPANY)
    lamps = make_category(session, "T-0001", name="路灯照明", lead=lighting.code)
    make_category(session, "T-0002", name="供热不足", lead=heating.code)
    region = make_region(session, "990101", name="北苑区")
    actors: dict[Role, Actor] = {}
    for role in STAFF_ROLES:
        members = [lighting] if role is Role.RESPONDER else []
        actors[role] = make_actor(
            session, role, departments=members, login=role.value, name=NAMES[role], now=now - timedelta(days=30)
        )
    make_actor(session, Role.RESPONDER, departments=[heating], login="responder2", name="供热承办", now=now)
    made = _tickets(session, actors, lighting, heating, lamps, region_id=region.id, now=now)
    session.flush()
    return City(
        department_id=lighting.id,
        department=lighting.name,
        other_department_id=heating.id,
        category_id=lamps.id,
        region_id=region.id,
        numbers={name: ticket.number for name, ticket in made.items()},
        ids={name: ticket.id for name, ticket in made.items()},
    )


NAMES = {
    Role.OPERATOR: "林晓燕",
    Role.DISPATCHER: "周明",
    Role.RESPONDER: "孙立",
    Role.AUDITOR: "何静",
    Role.SUPERVISOR: "郑凯",
    Role.ARBITER: "钱公正",
    Role.ADMINISTRATOR: "系统管理员",
}


def _tickets(  # noqa: PLR0917 - the city's own parts
    session: Session,
    actors: dict[Role, Actor],
    lighting: Department,
    heating: Department,
    lamps: Category,
    *,
    region_id: int,
    now: datetime,
) -> dict[str, Ticket]:
    operator, responder = actors[Role.OPERATOR], actors[Role.RESPONDER]
    common: dict[str, Any] = {
        "by": operator,
        "category_id": lamps.id,
        "region_id": region_id,
        "place": "北苑区幸福路 12 号",
    }

    def ticket(number: int) -> Ticket:
        return session.get_one(Ticket, number)

    def registered(name: str, *, hours: int, **given: Any) -> Ticket:
        concern = {**common, "title": f"{name}：幸福路路灯不亮", **given}
        return ticket(register_ticket(session, now=now - timedelta(hours=hours), **concern).ticket_id)

    made = {
        "dispatched": dispatched_ticket(
            session, lighting, now=now - timedelta(hours=20), title="小区门口窨井盖破损", **common
        ),
        "overdue": dispatched_ticket(
            session, lighting, now=now - timedelta(days=40), title="公园照明长期不亮", **common
        ),
        "signed": dispatched_ticket(session, lighting, now=now - timedelta(hours=30), title="幸福路路灯不亮", **common),
        "answered": _answered(session, lighting, responder, common, now=now - timedelta(hours=50)),
        "other": dispatched_ticket(session, heating, now=now - timedelta(hours=9), title="暖气不热", **common),
        "refused": registered("咨询", hours=8, request_type="咨询", phone="13900005678"),
        "registered": registered("投诉", hours=2, request_type="投诉", urgency="紧急", phone="13900005678"),
    }
    routing.sign(session, ticket_id=made["signed"].id, by=responder, now=now - timedelta(hours=28))
    tickets.refuse(
        session,
        ticket_id=made["refused"].id,
        version=made["refused"].version,
        reason="NR-03",
        words="该事项正在诉讼中，请按法院程序处理。",
        by=operator,
        now=now - timedelta(hours=7),
    )
    return made


def _answered(
    session: Session, department: Department, responder: Actor, common: dict[str, Any], *, now: datetime
) -> Ticket:
    ticket = dispatched_ticket(session, department, now=now, title="学府街路灯忽明忽暗", **common)
    routing.answer(
        session, ticket_id=ticket.id, version=None, feedback=feedback(), by=responder, now=now + timedelta(hours=4)
    )
    return ticket
