"""`make screenshots`: start the demonstration city, sign in at each desk, take the pictures of the papers.

Everything is this run's own: a folder in /tmp, a port, `hotline run` as a newcomer starts it. Nobody's data are touched
and nothing stays. No citizen is shown in clear: pages mask by default and nothing here is revealed.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

import psycopg
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from playwright.sync_api import Error as BrowserError
from sqlalchemy import select

from hotline.cli import ADDRESSES
from hotline.cli.running import DEMO_PASSWORD, demonstration_accounts
from hotline.core import clock
from hotline.core.clock import local_day
from hotline.core.settings import Settings
from hotline.tickets.models import Ticket
from hotline.tickets.states import State
from hotline.tickets.vocabulary import Kind
from hotline.wiring import open_installation
from routing.clocks.calendars import china

ROOT: Final = Path(__file__).resolve().parent.parent
CHROMIUM: Final = "/usr/bin/chromium"
ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--lang=zh-CN",
)
READY_WITHIN_S: Final = 300.0
#: How long the background work of a fresh city may take before we look at it anyway.
CALM_WITHIN_S: Final = 120.0
PATIENCE_MS: Final = 15_000
#: The code of the ticket that a citizen looks at.
CODE: Final = "246810"
LARGEST_BYTES: Final = 120_000
DESK: Final = (1440, 900)
PHONE: Final = (390, 844)
#: As far down as the unit's answer.
LONG_PHONE: Final = (390, 1180)


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One picture: who looks, at which page, and what is done there first."""

    name: str
    role: str
    path: str
    prepare: Callable[[Page], None] = field(default=lambda _page: None)
    size: tuple[int, int] = DESK
    #: Who of this role, where it is not the account shown on the start-up page.
    login: str = ""
    #: A citizen looks at the newest ticket in this state; it gets a code of which the picture knows.
    tracks: State | None = None


def main() -> None:
    """Take the pictures; exit code 1 when one of them could not be taken, with its reason."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "img")
    parser.add_argument("--only", nargs="*", default=[], help="names of pictures")
    parser.add_argument("--url", default="", help="a city that runs already; then --home is its folder")
    parser.add_argument("--home", type=Path)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    wanted = [shot for shot in SHOTS if not given.only or shot.name in given.only]
    if given.url:
        failed = _take(given.url, given.home, wanted, given.out)
    else:
        with _city() as (url, home):
            failed = _take(url, home, wanted, given.out)
    for name, reason in failed.items():
        print(f"not taken: {name}: {reason}")
    sys.exit(1 if failed else 0)


@contextmanager
def _city() -> Iterator[tuple[str, Path]]:
    """Run a demonstration city of our own; yields its address and its folder."""
    home = Path(tempfile.mkdtemp(prefix="hotline-pictures-", dir="/tmp"))
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
    log = home / "said.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "hotline.cli", "run"],
            cwd=ROOT,
            env=kept | {"HOTLINE_HOME": str(home), "PORT": str(port)},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        until = time.monotonic() + READY_WITHIN_S
        while "已就绪" not in (said := log.read_text(encoding="utf-8")):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"the city did not start:\n{said}")
            time.sleep(0.5)
        _wait_until_calm(home)
        yield f"http://127.0.0.1:{port}", home
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
        shutil.rmtree(home, ignore_errors=True)


def _wait_until_calm(home: Path) -> None:
    """Wait until the model has looked at every waiting ticket, so that the dispatcher's desk shows what it leaves."""
    address = json.loads((home / ADDRESSES).read_text(encoding="utf-8"))["DATABASE_URL"].replace("+psycopg", "")
    until = time.monotonic() + CALM_WITHIN_S
    with psycopg.connect(address, autocommit=True) as connection:
        while time.monotonic() < until:
            row = connection.execute("SELECT count(*) FROM outbox WHERE delivered_at IS NULL").fetchone()
            if row == (0,):
                return
            time.sleep(1)
    print("the background work is not done yet; the pictures are taken all the same")


def _take(url: str, home: Path, wanted: list[Shot], out: Path) -> dict[str, str]:
    """Take each picture; returns those that failed with the first line of the reason."""
    password = (home / DEMO_PASSWORD).read_text(encoding="utf-8").strip()
    logins = _logins()
    failed: dict[str, str] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        opened: dict[tuple[str, tuple[int, int]], BrowserContext] = {}
        for shot in wanted:
            try:
                login = shot.login or logins.get(shot.role, "")
                who = (login, shot.size)
                if who not in opened:
                    opened[who] = _sign_in(browser, url, shot, login, password)
                number = _with_known_code(home, shot.tracks) if shot.tracks else ""
                picture = _picture(opened[who], shot, number=number)
            except (BrowserError, LookupError) as error:
                failed[shot.name] = str(error).split("\n", maxsplit=1)[0]
                continue
            content = compressed(picture)
            (out / f"{shot.name}.png").write_bytes(content)
            print(f"{shot.name}.png  {len(content) // 1000} kB")
        browser.close()
    return failed


def _logins() -> dict[str, str]:
    """Return the account shown for each role, by the role's words on the start-up page."""
    return {role: login for role, login, _name in demonstration_accounts()}


def _sign_in(browser: Browser, url: str, shot: Shot, login: str, password: str) -> BrowserContext:  # noqa: PLR0917
    width, height = shot.size
    context = browser.new_context(
        base_url=url,
        viewport={"width": width, "height": height},
        device_scale_factor=2 if shot.size[0] == PHONE[0] else 1,
        locale="zh-CN",
        timezone_id="Asia/Shanghai",
        reduced_motion="reduce",
    )
    context.set_default_timeout(PATIENCE_MS)
    if shot.role:
        page = context.new_page()
        page.goto("/sign-in")
        page.get_by_label("用户名").fill(login)
        page.get_by_label("密码").fill(password)
        page.get_by_role("button", name="登录").click()
        page.wait_for_url(lambda address: "/sign-in" not in address)
        page.close()
    return context


def _with_known_code(home: Path, state: State) -> str:
    """Let the citizen of the newest ticket in this state have `CODE`; returns its number."""
    addresses = json.loads((home / ADDRESSES).read_text(encoding="utf-8"))
    city = open_installation(Settings.from_environment({**addresses, "HOTLINE_HOME": str(home)}))
    with city.db.begin() as session:
        # A concern, not a review, whose unit has not moved: the plainest story there is.
        of_state = select(Ticket).where(Ticket.state == state, Ticket.kind == Kind.CONCERN, Ticket.returned == 0)
        ticket = session.scalars(of_state.order_by(Ticket.id.desc()).limit(1)).one()
        ticket.query_code_index = city.keyring.index(f"query:{CODE}")
        return ticket.number


def _picture(context: BrowserContext, shot: Shot, *, number: str) -> bytes:
    page = context.new_page()
    try:
        answer = page.goto(shot.path)
        if answer is None or not answer.ok:
            raise LookupError(f"{shot.path} answered {answer.status if answer else 'nothing'}")
        if number:
            page.get_by_label("受理编号").fill(number)
            page.locator("#f-code").fill(CODE)
            page.get_by_role("button", name="查询", exact=True).click()
            page.wait_for_url("**/track/ticket")
        shot.prepare(page)
        page.wait_for_timeout(300)  # what comes in by itself: counters, suggestions
        return page.screenshot()
    finally:
        page.close()


def compressed(picture: bytes) -> bytes:
    """Return the picture with as many colours as fit into `LARGEST_BYTES`, smaller in size only if none does."""
    with Image.open(io.BytesIO(picture)) as opened:
        image = opened.convert("RGB")
    while True:
        for colours in (256, 128, 64, 32):
            out = io.BytesIO()
            image.quantize(colours, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
            if out.tell() <= LARGEST_BYTES:
                return out.getvalue()
        image = image.resize((image.width * 4 // 5, image.height * 4 // 5), Image.Resampling.LANCZOS)


# --- what is done on a page before its picture -------------------------------------------------------------------

_CONCERN: Final = (
    "锦水河东岸步道的路灯坏了七八盏，两个星期不亮，路灯杆上的灯罩也碎了，晚上走路看不清。"
    "希望早点修好路灯，也请告诉我们什么时候能修好。"
)


def _write_concern(page: Page) -> None:
    page.get_by_label("什么事").fill(_CONCERN)
    page.get_by_label("在什么地方").fill("锦水河东岸步道")


def _type_call(page: Page) -> None:
    page.locator("#f-phone").fill("19900001234")
    page.locator("#f-name").fill("陈女士")
    page.locator("#f-content").press_sequentially(_CONCERN, delay=1)
    page.locator("#suggest .hint").first.wait_for()
    page.wait_for_timeout(1500)


def _open_first(page: Page) -> None:
    page.locator("tbody td.title a").first.click()
    page.wait_for_load_state("load")


def _show_relay(page: Page) -> None:
    """Open the task of a department below, and ask for the number that reaches the citizen."""
    _open_first(page)
    page.get_by_label("您拨打所用的电话").fill("19900001234")
    page.get_by_role("button", name="显示中间号").click()
    page.wait_for_load_state("load")


def _open_order(page: Page) -> None:
    """Open the order that a person wrote, not one that the ladder sent."""
    page.locator("tbody tr").filter(has_text="书面督办").first.locator("td a").first.click()
    page.wait_for_load_state("load")


def _open_incident(page: Page) -> None:
    page.locator("#incidents td.title a").first.click()
    page.wait_for_load_state("load")


def _explain_deadline(page: Page) -> None:
    """Open the deadlines of the most overdue ticket."""
    page.locator("#cards td.wide a").first.click()
    page.get_by_role("link", name="时限说明").click()
    page.wait_for_load_state("load")


def _open_signed(page: Page) -> None:
    page.get_by_role("link", name="办理中").first.click()
    page.wait_for_load_state("load")
    _open_first(page)


def _call_back(page: Page) -> None:
    """Begin the callback of somebody who left a number about a concern, not of a review."""
    row = page.locator("tbody tr").filter(has_text="****").filter(has_not_text="差评").first
    row.get_by_role("button", name="回访").click()
    page.get_by_role("heading", name="回访问卷").wait_for()
    for digit in "11":
        page.keyboard.press(digit)


def _open_reworked(page: Page) -> None:
    """Open a closed ticket that was called back: the longest story there is."""
    rows = page.locator("tbody tr")
    (rows.filter(has_text="重办").or_(rows)).first.locator("td.title a").click()
    page.wait_for_load_state("load")


def _open_limits(page: Page) -> None:
    """Open the row of complaints, as somebody who shortens it."""
    summary = page.locator("details.limits-row summary")
    summary.filter(has_text="投诉、举报").click()
    summary.filter(has_text="咨询").evaluate("row => row.scrollIntoView()")


def _see_overruled(page: Page) -> None:
    page.locator("#overruled").evaluate("panel => panel.scrollIntoView()")


def _declare_day(page: Page) -> None:
    """Write a day of rest of the whole city, as far as the page that shows what it would move."""
    page.locator("#f-day").fill(f"{china().next_workday(local_day(clock.now()) + timedelta(days=1))}")
    page.get_by_label("放假").check()
    page.locator("#f-reason").fill("机关事务管理局通知")
    page.get_by_role("button", name="查看影响").click()
    page.wait_for_load_state("load")


SHOTS: Final = (
    Shot(name="public-home", role="", path="/", size=PHONE),
    Shot(name="public-submit", role="", path="/submit", prepare=_write_concern, size=PHONE),
    Shot(name="public-track", role="", path="/track", tracks=State.ANSWERED, size=LONG_PHONE),
    Shot(name="operator", role="话务员", path="/intake", prepare=_type_call),
    Shot(name="dispatcher", role="派单员", path="/dispatch"),
    Shot(name="department-ticket", role="承办单位", path="/department", prepare=_open_signed),
    Shot(name="co-handler", role="承办单位", path="/department/parts", login="agriculture"),
    Shot(name="relay-task", role="承办单位", path="/department/parts", prepare=_show_relay, login="paishui01"),
    Shot(name="auditor", role="回访员", path="/callbacks", prepare=_call_back),
    Shot(name="reviews", role="督办主管", path="/reviews"),
    Shot(name="tickets", role="督办主管", path="/tickets"),
    Shot(name="ticket", role="督办主管", path="/tickets?state=closed&outcome=confirmed", prepare=_open_reworked),
    Shot(name="supervisor", role="督办主管", path="/supervision"),
    Shot(name="alarms", role="督办主管", path="/alarms"),
    Shot(name="supervision-order", role="督办主管", path="/supervision/notices", prepare=_open_order),
    Shot(name="deadlines", role="督办主管", path="/supervision/cards", prepare=_explain_deadline),
    Shot(name="incident", role="派单员", path="/incidents", prepare=_open_incident),
    Shot(name="return", role="派单员", path="/dispatch/returns", prepare=_open_first),
    Shot(name="dispute", role="职责裁定员", path="/disputes", prepare=_open_first),
    Shot(name="disputes", role="派单员", path="/disputes"),
    Shot(name="ruling", role="督办主管", path="/disputes?tab=ended", prepare=_open_first),
    Shot(name="cards", role="督办主管", path="/supervision/cards"),
    Shot(name="overruled", role="系统管理员", path="/admin/catalogue/2", prepare=_see_overruled),
    Shot(name="administrator", role="系统管理员", path="/admin/departments"),
    Shot(name="limits", role="系统管理员", path="/admin/profiles/new?start=default", prepare=_open_limits),
    Shot(name="calendar", role="系统管理员", path="/admin/calendar", prepare=_declare_day),
    Shot(name="catalogue", role="系统管理员", path="/admin/catalogue/2"),
    Shot(name="model-card", role="系统管理员", path="/model/card", size=(1440, 1800)),
)


if __name__ == "__main__":
    main()
