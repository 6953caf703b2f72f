"""From a bare Python to an environment with the locked packages, in `.venv` of the clone; standard library only.

Ways to install, first that works: `uv` on the path; pip from `ensurepip` or the system, which fetches the pinned uv;
the pinned uv's wheel fetched by ourselves (Debian's Python has neither pip nor ensurepip). All check hashes.
"""

from __future__ import annotations

import hashlib
import html.parser
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

from local_stack.environment import cleaned
from local_stack.paths import ROOT

VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
REQUIREMENTS = ROOT / "requirements"
STAMP = VENV / "installed.json"
SECONDS = "RUN_INSTALL_SECONDS"
# Each group's lock contains the ones before it.
GROUPS = ("base", "local", "dev", "browser")


class InstallFailed(RuntimeError):
    """Installing did not work; the text says why and what to try."""


def ensure(group: str) -> None:
    """Make `.venv` hold `group`, unless its stamp says so already."""
    wanted = {name: _digest(name) for name in GROUPS[: GROUPS.index(group) + 1]}
    stamps = _stamps()
    if PYTHON.exists() and stamps.get(group) == wanted[group]:
        return
    started = time.monotonic()
    lock = REQUIREMENTS / f"{group}.txt"
    count = sum(1 for line in lock.read_text().splitlines() if "==" in line)
    print(
        f"Installing {count} locked packages ({group}) into {VENV.name}; the first time takes a minute or two.",
        flush=True,
    )
    uv = _uv()
    if not PYTHON.exists():
        _run([*uv, "venv", "--quiet", "--python", sys.executable, str(VENV)])
    _run([*uv, "pip", "install", "--python", str(PYTHON), "--require-hashes", "-r", str(lock)])
    STAMP.write_text(json.dumps(stamps | wanted, indent=1))
    os.environ[SECONDS] = f"{time.monotonic() - started:.1f}"  # for the Python that goes on from here


def enter(argv: list[str]) -> None:
    """Go on as the environment's own Python, in this same process; returns at once when that is what runs already."""
    if Path(sys.prefix).resolve() != VENV.resolve():
        os.execv(PYTHON, [str(PYTHON), str(ROOT / "run.py"), *argv])


def is_installed(group: str) -> bool:
    """Whether the stamp says that `.venv` holds this group's present lock."""
    return PYTHON.exists() and _stamps().get(group) == _digest(group)


def _digest(group: str) -> str:
    content = (REQUIREMENTS / f"{group}.txt").read_bytes() + platform.python_version().encode()
    return hashlib.sha256(content).hexdigest()


def _stamps() -> dict[str, str]:
    try:
        stamps: dict[str, str] = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return stamps


def _uv() -> list[str]:
    """A command that runs uv: the one on the path, or the pinned one, installed by pip or fetched."""
    found = shutil.which("uv")
    if found and subprocess.run([found, "--version"], capture_output=True).returncode == 0:
        return [found]
    tools = ROOT / "var" / "tools"
    program = tools / "bin" / "uv"
    if not program.exists():
        print("Fetching the installer (uv) …", flush=True)
        if not _uv_by_pip(tools):
            fetch_uv(program)
    return [str(program)]


def _uv_by_pip(tools: Path) -> bool:
    """The pinned uv by whatever pip this Python has; False when it has none."""
    lock = str(REQUIREMENTS / "bootstrap.txt")
    options = ["install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", lock]
    made = subprocess.run([sys.executable, "-m", "venv", str(tools)], capture_output=True)
    if made.returncode == 0:
        return _succeeds([str(tools / "bin" / "python"), "-m", "pip", *options])
    shutil.rmtree(tools, ignore_errors=True)
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode != 0:
        return False
    return _succeeds([sys.executable, "-m", "pip", *options, "--target", str(tools)])


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command).returncode == 0


def fetch_uv(program: Path) -> None:
    """Fetch the pinned uv's wheel from the package index, check its hash against the lock, take the program out."""
    words = (REQUIREMENTS / "bootstrap.txt").read_text().replace("\\", " ").split()
    version = words[0].removeprefix("uv==")
    hashes = {word.removeprefix("--hash=sha256:") for word in words if word.startswith("--hash=sha256:")}
    index = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("PIP_INDEX_URL") or "https://pypi.org/simple"
    page = f"{index.rstrip('/')}/uv/"
    try:
        wheel = _matching_wheel(page, version)
        with urllib.request.urlopen(wheel, timeout=120) as answer:
            content = answer.read()
    except (OSError, LookupError) as problem:
        raise InstallFailed(
            f"The installer could not be fetched from {page}: {problem}\n"
            "Install uv or pip for this Python, or check the connection, and run this again."
        ) from problem
    if hashlib.sha256(content).hexdigest() not in hashes:
        raise InstallFailed(f"{wheel} does not have the locked hash; nothing was installed.")
    program.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile() as file:
        file.write(content)
        with zipfile.ZipFile(file) as archive:
            name = next(name for name in archive.namelist() if name.endswith("/scripts/uv"))
            program.write_bytes(archive.read(name))
    program.chmod(0o755)


class _Links(html.parser.HTMLParser):
    """Collects the addresses on a page of the simple index."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


def _matching_wheel(page: str, version: str) -> str:
    """The address of uv's wheel for this machine; LookupError when there is none."""
    with urllib.request.urlopen(page, timeout=30) as answer:
        links = _Links()
        links.feed(answer.read().decode())
        base = answer.url
    machine = platform.machine().lower().replace("arm64", "aarch64" if sys.platform == "linux" else "arm64")
    system = "manylinux" if sys.platform == "linux" else "macosx"
    for link in links.found:
        name = urllib.parse.urlsplit(link).path.rsplit("/", 1)[-1]
        if name.startswith(f"uv-{version}-py3-none-{system}") and machine in name:
            return urllib.parse.urljoin(base, link)
    raise LookupError(f"no uv {version} for {platform.platform()}")


def _run(command: list[str]) -> None:
    if subprocess.run(command, env=_installer_environment()).returncode != 0:
        raise InstallFailed(
            f"This failed: {' '.join(command)}\nIts message is above. Usual causes: no connection, no disk space."
        )


def _installer_environment() -> dict[str, str]:
    """The caller's environment, where indexes and proxies are set, without another virtual environment's marks."""
    kept = cleaned(os.environ)
    for name in ("NO_PROXY", "no_proxy"):
        kept.pop(name)
        if name in os.environ:
            kept[name] = os.environ[name]
    kept.pop("VIRTUAL_ENV", None)
    return kept
