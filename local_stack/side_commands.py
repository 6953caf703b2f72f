"""The words that need a stack only for a moment, or not at all: manage, bench, reset."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from local_stack import environment, terminal
from local_stack.home import Home
from local_stack.paths import ROOT
from local_stack.stack import Stack
from local_stack.up import HOME

# These look at files or at the code only, so nothing is started for them.
WITHOUT_A_STACK = frozenset(
    {
        "adapter", "check", "collectstatic", "compilemessages", "container", "diffsettings", "findstatic", "help",
        "makemessages", "makemigrations", "plan", "spectacular", "version", "--help", "--version", "-h",
    }
)  # fmt: skip


def manage(command: list[str]) -> int:
    """Run a management command where the data is: in the running stack, else in one started for as long as it takes."""
    argv = [sys.executable, str(ROOT / "manage.py"), *command]
    running = HOME.running()
    if running is not None and isinstance(running.get("addresses"), dict):
        return subprocess.run(argv, env=_joining(HOME, running["addresses"])).returncode  # type: ignore[arg-type]
    if not command or command[0] in WITHOUT_A_STACK:
        return subprocess.run(argv, env=without_services(HOME)).returncode
    with Stack(HOME, say=terminal.nothing) as stack:
        stack.start_services()
        stack.prepare()
        return subprocess.run(argv, env=stack.env).returncode


def bench(name: str | None, *, is_long: bool = False) -> int:
    """Run `bench/NAME.py` with an empty stack of its own; without a name, list them with their first lines.

    `is_long` asks for the full counts, of those that have any.
    """
    known = {file.stem: file for file in sorted((ROOT / "bench").glob("*.py")) if "__main__" in file.read_text()}
    if name not in known:
        for stem, file in known.items():
            print(f"{stem:16} {file.read_text().splitlines()[0].strip(chr(34))}")
        return 0 if name is None else 2
    home = Home(ROOT / "var" / "bench")
    home.remove()
    with Stack(home, say=terminal.nothing) as stack:
        stack.start_services()
        stack.prepare()
        counts = ["--long"] if is_long else []
        return subprocess.run([sys.executable, "-m", f"bench.{name}", *counts], cwd=ROOT, env=stack.env).returncode


def reset(*, confirmed: bool) -> int:
    """Delete everything that running left here. Raises AlreadyRunning while something runs."""
    homes = [HOME, *(Home(HOME.path / name) for name in ("demo", "bench"))]
    for home in homes:
        home.refuse_while_running()
    if not HOME.path.exists():
        print("There is nothing to delete.")
        return 0
    if not confirmed:
        print(f"This deletes {HOME.path} with its database, artifacts, invoices and logs.")
        if _answer("Type `yes` to go on: ") != "yes":
            print("Nothing was deleted.")
            return 1
    for home in reversed(homes):
        home.remove()
    print("Deleted. `python3 run.py` starts over.")
    return 0


def _answer(question: str) -> str:
    """What a person types; nothing when nobody is there to type."""
    try:
        return input(question).strip()
    except EOFError:
        print()
        return ""


def without_services(home: Home) -> dict[str, str]:
    """An environment in which the settings load and nothing answers."""
    nowhere = Path("/nonexistent")
    return environment.embedded(
        database_url=f"postgresql://postgres@/controlplane?host={nowhere}",
        broker_url=f"redis+socket://{nowhere}/valkey.sock",
        aws_url="http://127.0.0.1:9",
        public_url="http://127.0.0.1",
        clock_file=None,
        keys=home.keys(),
    )


def _joining(home: Home, addresses: dict[str, str]) -> dict[str, str]:
    return without_services(home) | addresses
