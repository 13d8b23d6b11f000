"""The building inspector: what no linter sees."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from sqlalchemy import CheckConstraint, inspect

import callbacks.models
import callbacks.policy
import hotline.telephony.models
import hotline.telephony.ports
import reports.models
import routing.answers.part_models
import routing.answers.vetting_models
import routing.answers.vetting_rules
import routing.catalogue.models
import routing.catalogue.rules
import routing.clocks.deadlines
import routing.clocks.models
import routing.duty.rules
import routing.learning.label_models
import routing.learning.models
import routing.learning.selective
import routing.learning.word_models
import routing.models
import routing.relations.models
import routing.supervision.models
import routing.supervision.triggers
from hotline import migrate, wiring
from hotline.core.db import Database
from hotline.core.outbox import Event
from hotline.core.permissions import GRANTS, MACHINE_ROLES, STAFF_ROLES, Permission, Role
from hotline.core.queues import QueueName
from hotline.core.settings import Settings
from hotline.people.actions import issue_token
from hotline.tickets import states, vocabulary
from hotline.web import errors, gate, labels, menu
from hotline.web.asking import UNASKED
from hotline.web.desk import LANDING
from hotline.wiring import Installation
from tests.makers import make_user, sign_in

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / "hotline" / "web" / "templates"
FLOORS = [
    "hotline.core",
    "hotline.people",
    "hotline.telephony",
    "hotline.tickets",
    "hotline.intake",
    "routing",
    "callbacks",
    "reports",
]
OURS = ["hotline", "classifier", "routing", "callbacks", "reports"]


def floor_of(module: str) -> int:
    return max(number for number, floor in enumerate(FLOORS) if module.startswith(floor))


def sources(*folders: str) -> Iterator[tuple[Path, str]]:
    for folder in folders or OURS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT), path.read_text(encoding="utf-8")


def test_every_foreign_key_goes_down_the_stairs() -> None:
    owner = {mapper.local_table.name: mapper.class_.__module__ for mapper in migrate.Base.registry.mappers}  # type: ignore[attr-defined]
    upward = [
        f"{table.name}.{key.parent.name} -> {key.column.table.name}"
        for table in migrate.metadata().tables.values()
        for key in table.foreign_keys
        if floor_of(owner[key.column.table.name]) > floor_of(owner[table.name])
    ]
    assert upward == []


def test_the_schema_that_migrations_make_is_the_one_that_the_code_declares(shared_db: Database) -> None:
    with shared_db.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": False})
        assert compare_metadata(context, migrate.metadata()) == []


def test_every_check_of_the_code_stands_in_the_database(shared_db: Database) -> None:
    inspector = inspect(shared_db.engine)
    for table in migrate.metadata().tables.values():
        declared = {str(c.name) for c in table.constraints if isinstance(c, CheckConstraint)}
        assert declared == {str(c["name"]) for c in inspector.get_check_constraints(table.name)}, table.name


def test_migrations_are_numbered_without_gaps_and_have_one_head() -> None:
    scripts = ScriptDirectory(str(ROOT / "migrations"))
    revisions = sorted(script.revision for script in scripts.walk_revisions())
    assert revisions == [f"{number:04d}" for number in range(1, len(revisions) + 1)]
    assert len(scripts.get_heads()) == 1


def test_a_migration_goes_down_and_up_again(database_url: str, db: Database) -> None:
    from alembic import command

    config = migrate._config()
    with db.engine.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        assert [t for t in inspect(connection).get_table_names() if t != "alembic_version"] == []
    migrate.upgrade(database_url)
    assert migrate.current(db.engine) == migrate.head()


def test_every_view_is_marked(app: Flask) -> None:
    assert [name for name, mark in gate.endpoints(app).items() if mark is None] == []


def test_an_unmarked_view_opens_for_nobody(app: Flask, tools: Installation, now: datetime) -> None:
    app.add_url_rule("/forgotten", "forgotten", lambda: "secret")
    with tools.db.begin() as session:
        make_user(session, Role.ADMINISTRATOR, login="root.one", now=now)
    client = app.test_client()
    sign_in(client, "root.one")
    answer = client.get("/forgotten")
    assert answer.status_code == 403
    assert "secret" not in answer.text


def _address(rule: str) -> str:
    return re.sub(r"<(?:\w+:)?\w+>", "1", rule)


def test_every_page_opens_exactly_for_the_roles_that_were_granted_it(
    app: Flask, tools: Installation, now: datetime
) -> None:
    """All routes times all roles: an unentitled role gets 403, an entitled one anything but 401 and 403."""
    marks = gate.endpoints(app)
    browsers = {}
    with tools.db.begin() as session:
        for role in STAFF_ROLES:
            make_user(session, role, login=f"the.{role.value}", now=now)
    for role in STAFF_ROLES:
        browsers[role] = app.test_client()
        sign_in(browsers[role], f"the.{role.value}")
    wrong = []
    for rule in app.url_map.iter_rules():
        needed = marks.get(rule.endpoint)
        if not isinstance(needed, frozenset) or rule.endpoint.startswith("api."):
            continue
        if needed == frozenset({Permission.TICKET_SUBMIT}):
            continue
        method = "GET" if "GET" in (rule.methods or set()) else "POST"
        for role, browser in browsers.items():
            status = browser.open(_address(rule.rule), method=method).status_code
            entitled = bool(needed & GRANTS[role])
            if not entitled and status != 403:
                wrong.append(f"{rule.rule} opened for {role}: {status}")
            if entitled and status in {401, 403, 500}:
                wrong.append(f"{rule.rule} closed for {role}: {status}")
        stranger = app.test_client().open(_address(rule.rule), method=method).status_code
        if stranger not in {302, 401}:
            wrong.append(f"{rule.rule} opened for a stranger: {stranger}")
    assert wrong == []


def test_every_address_of_the_interface_opens_exactly_for_the_roles_that_were_granted_it(
    app: Flask, tools: Installation, now: datetime
) -> None:
    from hotline.core.permissions import SYSTEM

    marks = gate.endpoints(app)
    tokens = {}
    with tools.db.begin() as session:
        for role in (*STAFF_ROLES, *MACHINE_ROLES):
            user = make_user(session, role, now=now) if role not in MACHINE_ROLES else None
            tokens[role] = issue_token(
                session, name=role.value, role=role, user_id=user.id if user else None, by=SYSTEM, now=now
            )
    client = app.test_client()
    wrong = []
    for rule in app.url_map.iter_rules():
        needed = marks.get(rule.endpoint)
        if not rule.endpoint.startswith("api.") or not isinstance(needed, frozenset):
            continue
        method = "GET" if "GET" in (rule.methods or set()) else "POST"
        for role, token in tokens.items():
            headers = {"Authorization": f"Bearer {token}"}
            status = client.open(_address(rule.rule), method=method, headers=headers, json={}).status_code
            if (status == 403) == bool(needed & GRANTS[role]):
                wrong.append(f"{method} {rule.rule} answered {role} with {status}")
        if client.open(_address(rule.rule), method=method, json={}).status_code != 401:
            wrong.append(f"{method} {rule.rule} answers without a token")
    assert wrong == []


def test_every_line_of_the_menu_and_every_landing_leads_somewhere(app: Flask) -> None:
    wanted = {entry.endpoint for _, entries in menu.GROUPS for entry in entries} | {name for _, name in LANDING}
    assert sorted(wanted - set(app.view_functions)) == []


def test_every_role_has_grants_and_every_permission_a_holder() -> None:
    assert set(GRANTS) == set(Role)
    assert all(GRANTS.values())
    assert set(Permission) == frozenset().union(*GRANTS.values())


def test_permissions_are_in_the_order_of_the_alphabet() -> None:
    assert [p.value for p in Permission] == sorted(p.value for p in Permission)


def test_every_act_is_on_the_map_and_every_state_can_be_reached_and_left() -> None:
    assert set(states.MOVES) == set(states.Act) - {states.Act.REGISTER}
    reached = {move.target for move in states.MOVES.values()} | {states.State.REGISTERED}
    assert reached - {None} == set(states.State)
    left = {s for move in states.MOVES.values() if move.target is not None for s in move.sources}
    assert left == set(states.State)


def test_exactly_the_moves_that_close_have_an_outcome() -> None:
    for act, move in states.MOVES.items():
        assert (move.target is states.State.CLOSED) == (move.outcome is not None), act
    assert {move.outcome for move in states.MOVES.values()} - {None} == set(states.Outcome)


def test_the_diagram_in_the_papers_is_the_one_that_the_map_draws() -> None:
    assert states.diagram() in (ROOT / "docs/ticket-map.md").read_text(encoding="utf-8")


def test_the_database_knows_the_same_handling_acts_as_the_map(shared_db: Database) -> None:
    with shared_db.engine.connect() as connection:
        body = connection.exec_driver_sql(
            "SELECT prosrc FROM pg_proc WHERE proname = 'callback_is_independent'"
        ).scalar_one()
    assert {act.value for act in states.HANDLING} == set(
        re.findall(r"'([a-z_]+)'", body.split("act IN")[1].split(")")[0])
    )


def enums() -> list[type[StrEnum]]:
    return [
        Role,
        states.State,
        states.Outcome,
        states.Act,
        vocabulary.Kind,
        vocabulary.Channel,
        vocabulary.RequestType,
        vocabulary.Urgency,
        routing.models.DepartmentKind,
        routing.models.Ending,
        routing.models.Solved,
        routing.answers.part_models.PartKind,
        routing.answers.vetting_models.VettingState,
        routing.answers.vetting_rules.VettingMode,
        routing.answers.part_models.PartEnding,
        routing.learning.label_models.LabelTask,
        routing.learning.label_models.Provenance,
        routing.clocks.models.AdjustmentKind,
        routing.clocks.models.AdjustmentState,
        routing.learning.models.ModelState,
        routing.learning.models.TrainingState,
        routing.learning.models.Side,
        routing.learning.models.LearningAct,
        routing.learning.selective.LimitState,
        routing.learning.word_models.WordKind,
        routing.learning.word_models.EditionState,
        routing.duty.rules.ReturnReason,
        routing.duty.rules.ReturnState,
        routing.relations.models.Place,
        routing.supervision.models.NoticeEnding,
        routing.supervision.models.NoticeForm,
        routing.supervision.triggers.NoticeKind,
        routing.supervision.triggers.Told,
        routing.supervision.triggers.Trigger,
        routing.duty.rules.Cause,
        routing.duty.rules.DisputeState,
        routing.duty.rules.Seat,
        routing.duty.rules.Stance,
        routing.duty.rules.RulingState,
        routing.models.Standing,
        callbacks.policy.AttemptOutcome,
        callbacks.policy.Solved,
        callbacks.policy.Satisfaction,
        callbacks.policy.Verdict,
        callbacks.models.ReviewVerdict,
        hotline.telephony.models.MessageState,
        hotline.telephony.ports.CallEnd,
        routing.catalogue.models.CatalogueState,
        routing.catalogue.models.TrialState,
        routing.catalogue.rules.Flaw,
        reports.models.Taken,
        QueueName,
    ]


@pytest.mark.parametrize("members", enums(), ids=lambda members: f"{members.__module__}.{members.__name__}")
def test_every_member_of_every_enum_has_words(members: type[StrEnum]) -> None:
    for member in members:
        assert labels.words(member)


def test_every_event_is_heard_or_nobody_waits_for_it() -> None:
    known = {event.__name__ for event in Event.__subclasses__()}
    heard = {event.__name__ for event in (*wiring.REACTIONS, *wiring.AT_ONCE)}
    assert heard <= known
    for event, reactions in wiring.REACTIONS.items():
        names = [reaction.name for reaction in reactions]
        assert len(names) == len(set(names)), event
        assert all(isinstance(reaction.queue, QueueName) for reaction in reactions)


def test_every_error_of_ours_has_a_status_and_words() -> None:
    from hotline.core import errors as core_errors

    for name, kind in vars(core_errors).items():
        if (
            isinstance(kind, type)
            and issubclass(kind, core_errors.HotlineError)
            and kind is not core_errors.HotlineError
        ):
            assert any(base in errors.STATUS for base in kind.__mro__), name
            assert re.search(r"[\u4e00-\u9fff]", kind.say), name


def test_every_error_of_the_classifier_has_a_status_and_words() -> None:
    from classifier import errors as classifier_errors

    kinds = [
        one
        for one in vars(classifier_errors).values()
        if isinstance(one, type) and issubclass(one, classifier_errors.ClassifierError)
    ]
    assert len(kinds) >= 7
    for kind in kinds:
        assert kind.code in errors.STATUS_BY_CODE, kind
        assert errors.status_of(kind("…")) in {422, 503}
        assert re.search(r"[\u4e00-\u9fff]", kind.say), kind


def test_only_the_edge_commits() -> None:
    allowed = {Path("hotline/migrate.py"): 2, Path("hotline/core/db.py"): 1}  # the latter ends what can only read
    found = [str(path) for path, text in sources() if text.count(".commit(") > allowed.get(path, 0)]
    assert [path for path in found if not path.startswith("hotline/runtime/")] == []


def test_no_decision_looks_at_a_role_outside_the_matrix() -> None:
    pattern = re.compile(r"\.role\s*(?:==|!=|is not|is|in|not in)\s*(?:Role\.)?(?!Role\.SYSTEM)[A-Z{(]")
    found = [
        f"{path}: {line.strip()}"
        for path, text in sources("hotline/web", "hotline/tickets", "hotline/intake", "routing", "callbacks")
        for line in text.splitlines()
        if pattern.search(line) and "Role.SYSTEM" not in line
    ]
    assert found == []


def test_templates_ask_what_a_person_can_do_and_never_who_he_is() -> None:
    for path in sorted((ROOT / "hotline/web/templates").rglob("*.html")):
        assert not re.search(r"\brole\s*(==|!=|in\b)", path.read_text(encoding="utf-8")), path


#: Questions that a script asks and no page: nothing is lost where nobody asks them.
ASKED_BY_SCRIPT_ONLY = {
    "administration/user.html": "a first password can be set again, and no page carries a password on",
    "clocks/write_edition.html": "nothing is kept yet: the form as it stood is one page back",
    "department/inbox.html": "tickets that nobody has counted are shown on a page in between",
    "intake/new.html": "a link, and the call as it stood is one page back",
}


def test_every_question_before_an_act_is_asked_without_scripts_too() -> None:
    """A question comes from the macros, which give its button the name that `hotline.web.asking` hears."""
    macros = (TEMPLATES / "components" / "form.html").read_text(encoding="utf-8")
    assert f'data-confirm="{{{{ confirm }}}}"{{% if not name %}} name="{UNASKED}" value="{{{{ confirm }}}}"' in macros
    by_script = set[str]()
    for path in TEMPLATES.rglob("*.html"):
        words = path.read_text(encoding="utf-8")
        questions = [found.end() for found in re.finditer(r"data-confirm=?", words)]
        heard = all(f'name="{UNASKED}"' in words[at : at + 80] for at in questions)
        named = re.search(r"submit\([^{}]*\bname=[^{}]*\bconfirm=|submit\([^{}]*\bconfirm=[^{}]*\bname=", words)
        if not heard or named:
            by_script.add(path.relative_to(TEMPLATES).as_posix())
    assert by_script - {"style/show.html", "components/form.html"} == set(ASKED_BY_SCRIPT_ONLY)


def test_every_setting_is_in_the_papers() -> None:
    papers = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    text = (ROOT / "hotline/core/settings.py").read_text(encoding="utf-8")
    for name in re.findall(r"#: ([A-Z_]+):", text):
        assert f"`{name}`" in papers, name
    assert len(re.findall(r"#: ([A-Z_]+):", text)) == len(Settings.__dataclass_fields__)


def test_decision_records_are_numbered_and_say_what_they_cost() -> None:
    for path in sorted((ROOT / "docs/decisions").glob("*.md")):
        if path.name == "README.md":
            continue
        assert re.match(r"\d{4}-[a-z0-9-]+\.md$", path.name), path
        text = path.read_text(encoding="utf-8")
        assert "## Decision" in text, path
        assert "## Price" in text, path


def test_the_glossary_refuses_its_synonyms_in_our_names() -> None:
    """Class names of tables and events, actions and modules use the field's one word for a thing."""
    rows = re.findall(
        r"^\| (\S+) \| `([a-z_]+)` \| ([^|]*) \|$", (ROOT / "docs/glossary.md").read_text("utf-8"), re.MULTILINE
    )
    assert len(rows) >= 20
    refused = {word.strip(" `") for _, _, words in rows for word in words.split(",") if word.strip(" `")}
    tables = {table.name for table in migrate.metadata().tables.values()}
    modules = {path.stem for path, _ in sources()}
    functions = {
        name
        for path, text in sources()
        if path.name == "actions.py"
        for name in re.findall(r"^def ([a-z][a-z_]*)\(", text, re.MULTILINE)
    }
    assert {name for name in tables | modules | functions if set(name.split("_")) & refused} == set()


def test_the_web_application_starts_without_the_text_models_libraries() -> None:
    import subprocess
    import sys

    program = (
        "import hotline.app, sys; print([m for m in ('scipy', 'sklearn', 'classifier.suggest') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert answer.stdout.strip() == "[]"


def test_importing_an_error_does_not_bring_the_web_framework(tmp_path: Path) -> None:
    import subprocess
    import sys

    program = "import hotline.core.errors, sys; print(any(m in sys.modules for m in ('flask', 'rq', 'sklearn')))"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert answer.stdout.strip() == "False"
