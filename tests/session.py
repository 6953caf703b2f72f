"""What a test process stands on: a folder of its own and an environment that holds nothing of the caller's.

Loaded by name (`-p tests.session`) before anything reads Django's settings, in every worker of a parallel run: each
worker so has its own PostgreSQL, Valkey and local AWS, and none can reach anybody's real database, broker or account.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from local_stack import emulator, environment, valkey
from local_stack.processes import Guard, group_is_alive

PREFIX = "cp-test-"


def _session_folder() -> Path:
    """A fresh folder for this session; what killed sessions left behind goes."""
    base = Path(tempfile.gettempdir())
    for old in base.glob(f"{PREFIX}*"):
        pid = old.name.removeprefix(PREFIX).split("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists() and not group_is_alive(int(pid)):
            shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=base))


GUARD = Guard()
HOME = _session_folder()
OUTSIDE = HOME.with_name(HOME.name + "-pg")
SOCKETS = HOME / "run"
CLOCK_FILE = HOME / "clock"
AWS_PORT = emulator.free_port()
SOCKETS.mkdir(mode=0o700)
CLOCK_FILE.write_text("0")
ENV = environment.embedded(
    database_url=f"postgresql://postgres@/controlplane?host={OUTSIDE if os.geteuid() == 0 else SOCKETS}",
    broker_url=valkey.url(SOCKETS),
    aws_url=f"http://127.0.0.1:{AWS_PORT}",
    public_url="http://testserver",
    clock_file=CLOCK_FILE,
    keys={name: f"{name.lower()}-".ljust(48, "x") for name in environment.SECRETS},
    environment="test",
) | {"CP_ALLOWED_HOSTS": "127.0.0.1,localhost,testserver"}
for _name in [name for name in os.environ if name.startswith(environment.STRANGERS)]:
    if not _name.startswith("PYTHON"):
        del os.environ[_name]
os.environ.update(ENV)
# Playwright leaves an event loop in the thread of its tests; Django would refuse the database to those that follow.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"

from django.conf import settings  # noqa: E402  (only now: it reads the environment)

# Tests render pages without a collected, hashed copy of the static files.
settings.STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"


@atexit.register
def _remove_session_folder(owner: int = os.getpid()) -> None:
    if os.getpid() == owner:  # not in a fork of a test
        GUARD.close()
        shutil.rmtree(HOME, ignore_errors=True)
        shutil.rmtree(OUTSIDE, ignore_errors=True)
