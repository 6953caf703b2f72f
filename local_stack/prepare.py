"""`python -m local_stack.prepare [--login]`: what must be true before the product is served.

Every step is a management command that changes nothing the second time; one process runs them all, because each start
of Django costs a second. The last line of output is JSON: a summary, and with `--login` the path of a one-time login.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from local_stack.paths import ROOT

OPERATOR = "admin"
LOGIN = "--login"


def main() -> None:
    """Bucket and table, migrate, seed, collect static files, and make the first operator."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    from local_stack.aws_setup import create_bucket_and_tables

    steps = io.StringIO()
    if settings.ENVIRONMENT == "local":  # elsewhere both are the operator's to make
        _create_database()
        create_bucket_and_tables(os.environ)
    call_command("migrate", interactive=False, verbosity=1, stdout=steps)
    applied = steps.getvalue().count("... OK") or steps.getvalue().count("OK\n")
    call_command("seed_catalogue", stdout=steps)
    call_command("seed_rate_cards", stdout=steps)
    _collect_static_files(Path(settings.STATIC_ROOT), [Path(folder) for folder in settings.STATICFILES_DIRS])
    call_command("create_operator", OPERATOR, role="admin", stdout=steps)
    login = io.StringIO()
    if LOGIN in sys.argv:
        call_command("login_link", OPERATOR, stdout=login)
    summary = f"{applied} migrations applied, catalogue seeded" if applied else "database up to date"
    print(json.dumps({"summary": summary, "login": login.getvalue().strip()}))


def _collect_static_files(target: Path, sources: Iterable[Path]) -> None:
    """Collect and hash them, unless neither they nor the installed packages changed since the last time."""
    from django.core.management import call_command

    files = sorted(file for folder in sources for file in folder.rglob("*") if file.is_file())
    facts = [f"{file} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files]
    facts.append((ROOT / "requirements" / "base.txt").read_text())
    fingerprint = hashlib.sha256("\n".join(facts).encode()).hexdigest()
    record = target / ".collected"
    if record.exists() and record.read_text() == fingerprint:
        return
    call_command("collectstatic", interactive=False, verbosity=0, clear=True)
    record.write_text(fingerprint)


def _create_database() -> None:
    """Create the database that the settings name, unless it exists."""
    import psycopg
    from django.conf import settings
    from psycopg import sql

    database = {name: str(value) for name, value in settings.DATABASES["default"].items()}
    with psycopg.connect(
        host=database["HOST"], user=database["USER"], dbname="postgres", autocommit=True
    ) as connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database["NAME"]]).fetchone()
        if known is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database["NAME"])))


if __name__ == "__main__":
    main()
