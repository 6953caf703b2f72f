"""`run.py test`: every check of the project, each part also by name. Ends with pytest's closing line."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence

from local_stack.home import Home
from local_stack.paths import ROOT
from local_stack.side_commands import without_services
from local_stack.terminal import strong

PYTHON = sys.executable
LINT = (
    [PYTHON, "-m", "ruff", "check", "."],
    [PYTHON, "-m", "ruff", "format", "--check", "."],
    [PYTHON, "-m", "djlint", "templates", "--lint", "--quiet"],
)
TYPES = ([PYTHON, "-m", "mypy"],)
CONTRACTS = ([PYTHON, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],)
MIGRATIONS = ([PYTHON, "-W", "ignore::RuntimeWarning", "manage.py", "makemigrations", "--check", "--dry-run"],)
STATIC = {"lint": LINT, "types": TYPES, "contracts": CONTRACTS, "migrations": MIGRATIONS}
# The slowest first: what is left for the end of a parallel run is then small.
SUITES = ("e2e", "integration", "dataplane", "emulator", "architecture", "unit")
# A worker per core, each with its own servers (tests/session.py). A file stays with one worker.
PARALLEL = ("-n", "auto", "--maxprocesses", "4", "--dist", "loadfile", "--no-loadscope-reorder")
PARTS = (*STATIC, *SUITES)


def run(parts: Sequence[str], *, long: bool) -> int:
    """Run the named parts, or all; 0 when every one of them passed.

    A part that fails does not hide what the later ones would say.
    """
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
        print(f"There is no part {', '.join(unknown)}; the parts are {', '.join(PARTS)}.", file=sys.stderr)
        return 2
    wanted = [part for part in PARTS if not parts or part in parts]
    failed = [part for part in wanted if part in STATIC and not _passes(part)]
    suites = [f"tests/{part}" for part in wanted if part in SUITES]
    if failed:
        print(strong(f"\nFailed: {', '.join(failed)}"), flush=True)
    if suites:
        command = [PYTHON, "-m", "pytest", *PARALLEL, *suites, *(["--long"] if long else [])]
        if subprocess.run(command, cwd=ROOT).returncode != 0:
            failed.append("pytest")
    return 1 if failed else 0


def _passes(part: str) -> bool:
    started = time.monotonic()
    env = without_services(Home(ROOT / "var"))
    good = not [command for command in STATIC[part] if not _quietly(command, env)]
    print(f"{part:>12} | {'passed' if good else 'FAILED'} in {time.monotonic() - started:.1f} s", flush=True)
    return good


def _quietly(command: list[str], env: dict[str, str]) -> bool:
    """Run it; show what it says only when it fails."""
    done = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        print(f"$ {' '.join(command[1:])}\n{done.stdout}", flush=True)
    return done.returncode == 0
