"""Rules that would otherwise have to be told."""

import ast
import re
from pathlib import Path

import pytest
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


def test_every_recorded_event_is_in_the_catalogue_and_every_entry_is_recorded() -> None:
    recorded = set()
    for path in SOURCES:
        for call in calls(path):
            if named(call).split(".")[-1] in ("record_event", "_switch") or "record" in named(call):
                texts = [arg.value for arg in ast.walk(call) if isinstance(arg, ast.Constant)]
                recorded |= {text for text in texts if isinstance(text, str) and text in CATALOG}
    in_words = "\n".join(path.read_text() for path in SOURCES if path.name != "catalog.py")
    assert {name for name in CATALOG if f'"{name}"' not in in_words} == set()
    assert recorded <= set(CATALOG)
    for name in CATALOG:
        assert re.fullmatch(r"[a-z_]+\.[a-z_]+", name), name


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


@pytest.mark.parametrize("path", MIGRATIONS, ids=lambda path: f"{path.parent.parent.name}/{path.stem}")
def test_migrations_import_no_code_that_may_change(path: Path) -> None:
    # core.triggers writes SQL and core.clock/core.ids are defaults that Django itself names.
    allowed = {"core.triggers", "core.clock", "core.ids"}
    for node in ast.walk(ast.parse(path.read_text())):
        modules = [node.module] if isinstance(node, ast.ImportFrom) else []
        modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for module in modules:
            assert not module or module.split(".")[0] not in ROOMS or module in allowed, f"{path.name}: {module}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_there_is_one_clock_and_no_sleep(path: Path) -> None:
    if path == ROOT / "core" / "clock.py":
        return
    for call in calls(path):
        assert named(call) not in ("timezone.now", "datetime.now", "datetime.utcnow", "date.today"), (
            f"{path}:{call.lineno} uses {named(call)}; core.clock is the only clock"
        )
        assert not (named(call) == "time.sleep" and path.name == "tasks.py"), f"{path}:{call.lineno} sleeps in a task"


TRUSTS_VENDORED_ICONS = ROOT / "dashboard" / "templatetags" / "ui.py"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_marks_html_or_sql_as_trusted_by_hand(path: Path) -> None:
    for call in calls(path):
        if path == TRUSTS_VENDORED_ICONS and named(call) == "mark_safe":
            continue
        assert named(call).split(".")[-1] not in ("mark_safe", "RawSQL", "extra"), f"{path}:{call.lineno}"


def test_every_public_row_has_its_own_prefix() -> None:
    prefixes = [model.PREFIX for model in apps.get_models() if hasattr(model, "PREFIX")]
    assert len(prefixes) == len(set(prefixes))
