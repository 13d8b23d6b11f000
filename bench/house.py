"""A whole system for measuring: private servers, web, worker, scheduler as in production, a token for each desk."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg
from sqlalchemy import make_url

from classifier.default import ensure_default_model
from classifier.duplicates import SKETCH_VERSION
from hotline.core import clock
from hotline.core.permissions import SYSTEM, Role
from hotline.core.settings import Settings
from hotline.migrate import upgrade
from hotline.people.actions import create_user, issue_token
from hotline.runtime.broker import PrivateBroker
from hotline.runtime.postgres import SUPERUSER, PrivatePostgres
from hotline.tickets.actions import set_setting
from hotline.tickets.models import Category, InstallationSetting
from hotline.wiring import open_installation
from routing.models import Department, DepartmentKind, Membership
from routing.relations import duplicates
from routing.serving import models_folder

DEPARTMENTS = 40
ROOT = Path(__file__).resolve().parent.parent


@dataclass
class House:
    """The running system and how to reach it."""

    home: Path
    port: int
    postgres: PrivatePostgres
    broker: PrivateBroker
    url: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)
    tokens: dict[str, str] = field(default_factory=dict)

    def start_servers(self) -> None:
        """Start database and queue, and bring the schema up."""
        self.url = self.postgres.start()
        redis_url = self.broker.start()
        upgrade(self.url)
        ensure_default_model(models_folder(self.home))
        self.environment = {
            **os.environ,
            "HOTLINE_HOME": str(self.home),
            "DATABASE_URL": self.url,
            "REDIS_URL": redis_url,
            "PORT": str(self.port),
        }

    def furnish(self) -> None:
        """Make departments, people and their tokens, once; the model suggests and people (the drivers) decide."""
        tools = open_installation(Settings.from_environment(self.environment), create_keys=True)
        now = clock.now()
        with tools.db.begin() as session:
            if session.get(InstallationSetting, "bench") is not None:
                raise SystemExit("the bench's home is not empty")
            departments = [
                Department(code=f"d{n}", name=f"测试局{n}", short_name=f"测试局{n}", kind=DepartmentKind.BUREAU)
                for n in range(DEPARTMENTS)
            ]
            session.add_all(departments)
            session.add_all(Category(code=f"B-{n:04d}", name=f"类别{n}", path=f"类别{n}", level=1) for n in range(100))
            session.flush()
            for role in (Role.OPERATOR, Role.DISPATCHER, Role.RESPONDER, Role.AUDITOR, Role.ADMINISTRATOR):
                user = create_user(
                    session,
                    login=f"bench.{role.value}",
                    display_name=role.value,
                    role=role,
                    password="Bench-1234-5678",  # noqa: S106 - a private database that is thrown away
                    must_change_password=False,
                    by=SYSTEM,
                    now=now,
                )
                self.tokens[role.value] = issue_token(
                    session, name=role.value, role=role, user_id=user.id, by=SYSTEM, now=now
                )
                if role is Role.RESPONDER:
                    session.add_all(Membership(user_id=user.id, department_id=d.id) for d in departments)
                if role is Role.ADMINISTRATOR:
                    from hotline.core.permissions import Actor

                    boss = Actor(user_id=user.id, role=role)
            set_setting(session, name="automatic_dispatch", value={"on": False}, by=boss, now=now)
            # A house that has been open for years has sketched its tickets long ago (bench.duplicates measures that).
            done = {"version": SKETCH_VERSION, "below": 1}
            session.add(InstallationSetting(name=duplicates.PROGRESS, value=done, changed_at=now))
        tools.db.close()

    def settle(self) -> None:
        """Write out what was seeded, as a house that has been open for years has done long ago."""
        with psycopg.connect(custodian(self.url), autocommit=True) as connection:
            connection.execute("CHECKPOINT")

    def start_processes(self, *, workers: int = 4, threads: int = 16) -> None:
        """Start web, worker and scheduler as `hotline run` does, and wait for the web."""
        python = [sys.executable, "-m", "hotline.cli"]
        serve = ["serve", "--listen", "127.0.0.1", "--workers", str(workers), "--threads", str(threads)]
        for command in (serve, ["worker"], ["scheduler"]):
            self.children.append(subprocess.Popen([*python, *command], env=self.environment, cwd=ROOT))
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
                connection.request("GET", "/health")
                if connection.getresponse().status == http.client.OK:
                    return
            except OSError:
                time.sleep(0.2)
        raise SystemExit("the web process did not come up")

    def memory(self) -> dict[str, int]:
        """Return private memory in MB: of our processes, of the database and of the queue (PSS where known)."""
        found = {"web+worker+scheduler": 0, "postgres": 0}
        for child in self.children:
            tree = [psutil.Process(child.pid), *psutil.Process(child.pid).children(recursive=True)]
            found["web+worker+scheduler"] += sum(_pss(process) for process in tree)
        for process in psutil.process_iter(["name"]):
            if process.info["name"] == "postgres":
                found["postgres"] += _pss(process)
        return {name: value // 2**20 for name, value in found.items()}

    def stop(self) -> None:
        """Stop everything that was started here."""
        for child in self.children:
            child.send_signal(signal.SIGTERM)
        for child in self.children:
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()
        self.broker.stop()
        self.postgres.stop()


def custodian(url: str) -> str:
    """Return the address of a private database for whoever may do everything in it, as the driver takes it."""
    return make_url(url).set(drivername="postgresql", username=SUPERUSER).render_as_string(hide_password=False)


def _pss(process: psutil.Process) -> int:
    try:
        full = process.memory_full_info()
        return int(getattr(full, "pss", full.uss))
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


def open_house(home: Path, *, port: int) -> House:
    """Return a house whose data lie in `home`."""
    return House(home=home, port=port, postgres=PrivatePostgres(home), broker=PrivateBroker(home))
