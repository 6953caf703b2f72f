"""Rules that would otherwise have to be told."""

import ast
import re
from pathlib import Path

from celery import current_app
from django.apps import apps

from controlplane.celery import BEAT
from controlplane.reactions import REACTIONS
from events.catalog import CATALOG

ROOT = Path(__file__).resolve().parents[2]
ROOMS = [
    "core",
    "aws",
    "events",
    "tenants",
    "accounts",
    "models_registry",
    "provisioning",
    "metering",
    "billing",
    "dashboard",
    "api",
    "controlplane",
]
SOURCES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
MIGRATIONS = [path for path in SOURCES if path.parent.name == "migrations" and path.name != "__init__.py"]


def calls(path: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]


def named(call: ast.Call) -> str:
    return ast.unparse(call.func)


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_every_event_of_the_catalogue_is_recorded_somewhere() -> None:
    words = "\n".join(path.read_text() for path in SOURCES if path != ROOT / "events" / "catalog.py")
    assert [name for name in CATALOG if f'"{name}"' not in words] == []
    assert [name for name in CATALOG if not re.fullmatch(r"[a-z_]+\.[a-z_]+", name)] == []


def test_every_reaction_names_a_known_event_and_a_real_task() -> None:
    current_app.loader.import_default_modules()
    assert set(REACTIONS) <= set(CATALOG)
    for event, reactions in REACTIONS.items():
        for reaction in reactions:
            assert reaction.task in current_app.tasks, (event, reaction.task)


def test_every_beat_entry_names_a_real_task() -> None:
    current_app.loader.import_default_modules()
    for purpose, (task, seconds) in BEAT.items():
        assert task in current_app.tasks, purpose
        assert seconds > 0


def test_every_task_swallows_arguments_of_a_newer_producer() -> None:
    current_app.loader.import_default_modules()
    ours = {name: task for name, task in current_app.tasks.items() if name.split(".")[0] in ROOMS}
    assert ours
    for name, task in ours.items():
        function = task.run.__wrapped__ if hasattr(task.run, "__wrapped__") else task.run
        code = function.__code__
        assert code.co_flags & 0x08, f"{name} must take **_"
        assert code.co_argcount - (1 if "self" in code.co_varnames[:1] else 0) == 0, f"{name} must be keyword-only"


def test_migrations_import_no_code_that_may_change() -> None:
    # core.triggers writes SQL, and core.clock and core.ids are defaults that Django itself names.
    allowed = {"core.triggers", "core.clock", "core.ids"}
    offenders = set()
    for path in MIGRATIONS:
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            offenders |= {
                (shown(path), name) for name in modules if name.split(".")[0] in ROOMS and name not in allowed
            }
    assert not offenders


def test_there_is_one_clock_and_no_task_sleeps() -> None:
    clocks = {"timezone.now", "datetime.now", "datetime.utcnow", "date.today"}
    offenders = [
        f"{shown(path)}:{call.lineno} {named(call)}"
        for path in SOURCES
        if path != ROOT / "core" / "clock.py"
        for call in calls(path)
        if named(call) in clocks or (named(call) == "time.sleep" and path.name == "tasks.py")
    ]
    assert offenders == []


def test_nothing_but_vendored_icons_is_marked_as_trusted_by_hand() -> None:
    marks = {"mark_safe", "RawSQL", "extra"}
    offenders = {shown(path) for path in SOURCES for call in calls(path) if named(call).split(".")[-1] in marks}
    assert offenders == {"dashboard/templatetags/ui.py"}


def test_every_public_row_has_its_own_prefix() -> None:
    prefixes = [model.PREFIX for model in apps.get_models() if hasattr(model, "PREFIX")]
    assert len(prefixes) == len(set(prefixes))


def test_a_lock_never_holds_up_a_row_that_points_at_the_locked_one() -> None:
    # FOR UPDATE makes the commit of every new child wait, and a wait at commit is in nobody's order of locks: an
    # upload (locks the tenant, adds a version) and a validation (locks the adapter, changes it twice) deadlocked.
    offenders = [
        f"{shown(path)}:{call.lineno}"
        for path in SOURCES
        for call in calls(path)
        if named(call).endswith(".select_for_update") and "no_key" not in {word.arg for word in call.keywords}
    ]
    assert offenders == []
