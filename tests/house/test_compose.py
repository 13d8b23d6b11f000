"""compose.yaml and the Dockerfile stay in step with the code, although no engine here can build them."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from hotline.cli import COMMANDS, SECRETS
from hotline.core import settings
from hotline.core.queues import QueueName

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
#: What Docker itself and the C library read, not our settings.
FOREIGN = {"TZ"}

every_service = pytest.mark.parametrize("name", sorted(SERVICES))
our_services = pytest.mark.parametrize("name", OURS)


def instructions(word: str) -> list[str]:
    """Return the arguments of every such instruction, continued lines joined."""
    joined = re.sub(r"\\\n\s*", "", DOCKERFILE)
    return [line.split(None, 1)[1].strip() for line in joined.splitlines() if line.startswith(f"{word} ")]


def test_every_process_of_production_has_its_service() -> None:
    assert {"web", "worker", "scheduler", "migrate", "postgres", "broker"} <= set(SERVICES)
    assert OURS == ["migrate", "scheduler", "web", "worker"]


@our_services
def test_the_command_line_knows_every_command_and_option(name: str) -> None:
    command, *arguments = SERVICES[name]["command"]
    COMMANDS[command][1]().make_context(command, list(arguments)).close()


def test_the_workers_serve_every_queue_and_no_other() -> None:
    command, *queues = SERVICES["worker"]["command"]
    assert command == "worker"
    assert sorted(queues) == sorted(queue.value for queue in QueueName)


def test_there_is_exactly_one_scheduler_and_more_than_one_worker() -> None:
    assert SERVICES["scheduler"]["deploy"]["replicas"] == 1
    assert SERVICES["worker"]["deploy"]["replicas"] > 1


@every_service
def test_every_service_that_stays_has_a_health_check(name: str) -> None:
    service = SERVICES[name]
    if service["restart"] == "no":
        assert service["healthcheck"] == {"disable": True}
        waiting = [each for each in OURS if name in SERVICES[each]["depends_on"]]
        assert waiting == sorted(set(OURS) - {name})
        return
    assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert {"interval", "timeout", "start_period", "retries"} <= set(service["healthcheck"])


@our_services
def test_our_health_checks_ask_about_the_service_they_stand_in(name: str) -> None:
    check = SERVICES[name]["healthcheck"].get("test")
    if check is not None:
        _cmd, program, command, *arguments = check
        assert program == "hotline"
        assert arguments == [name]
        COMMANDS[command][1]().make_context(command, arguments).close()


@every_service
def test_every_service_gives_up_what_it_does_not_need(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "privileged" not in service


@our_services
def test_our_services_run_as_the_account_that_the_image_makes(name: str) -> None:
    uid, gid = SERVICES[name]["user"].split(":")
    assert int(uid) > 0
    making = " ".join(instructions("RUN"))
    assert f"--uid {uid} " in making
    assert f"--gid {gid} " in making


def test_the_image_itself_does_not_run_as_root() -> None:
    assert DOCKERFILE.rindex("\nUSER ") > DOCKERFILE.rindex("\nFROM ")
    user = instructions("USER")[-1]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert {SERVICES[name]["user"] for name in OURS} == {user}


@pytest.mark.parametrize(
    "image",
    [*(each.split()[0] for each in instructions("FROM")), *(each["image"] for each in SERVICES.values())],
)
def test_every_image_is_pinned_to_a_full_version(image: str) -> None:
    name, _, tag = image.rpartition(":")
    assert name
    assert re.match(r"\d+\.\d+", tag), f"{image} may change under us"


@our_services
def test_every_variable_is_a_setting_of_ours_and_every_secret_comes_from_a_file(name: str) -> None:
    known = set(re.findall(r'"([A-Z][A-Z_]+)"', inspect.getsource(settings)))
    service = SERVICES[name]
    for variable in service["environment"]:
        if variable.endswith("_FILE"):
            secret = variable.removesuffix("_FILE")
            assert secret in SECRETS
            assert service["environment"][variable] == f"/run/secrets/{secret.lower()}"
            assert secret.lower() in service["secrets"]
        else:
            assert variable in known | FOREIGN
            assert variable not in SECRETS


@every_service
def test_every_secret_and_volume_is_declared_and_no_password_stands_in_the_file(name: str) -> None:
    service = SERVICES[name]
    assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
    named = {each.split(":")[0] for each in service.get("volumes", [])}
    assert named <= set(COMPOSE["volumes"])
    for variable, value in service.get("environment", {}).items():
        assert "PASSWORD" not in variable or variable.endswith("_FILE"), value


def test_only_the_web_is_published_and_by_default_to_this_machine_alone() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["web"]
    assert all(port.startswith("${HOTLINE_LISTEN:-127.0.0.1}:") for port in SERVICES["web"]["ports"])


def test_the_database_is_made_with_a_locale_that_knows_chinese() -> None:
    assert "--locale=C.UTF-8" in SERVICES["postgres"]["environment"]["POSTGRES_INITDB_ARGS"]


def test_the_image_holds_every_package_and_the_builder_may_see_what_it_copies() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "bench"}
    from_here = [each for each in instructions("COPY") if not each.startswith("--from")]
    copied = {source for each in from_here for source in each.split()[:-1]}
    assert packages | {"migrations", "requirements.lock"} <= copied
    shown = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in shown
    assert {f"!{source}" for source in copied} <= set(shown)
    for source in copied:
        assert (ROOT / source).exists(), source
