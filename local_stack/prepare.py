"""`python -m local_stack.prepare`: what must be true before the product is served. Runs inside the installed packages.

Every step is a management command that changes nothing the second time; one process runs them all, because each start
of Django costs a second. The last line of output is JSON: a summary, and the path of a one-time login.
"""

from __future__ import annotations

import io
import json
import os

OPERATOR = "admin"


def main() -> None:
    """Bucket and table, migrate, seed, collect static files, make the first operator and a login for them."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    from local_stack.aws_setup import create_bucket_and_table

    steps = io.StringIO()
    if settings.ENVIRONMENT == "local":  # elsewhere both are the operator's to make
        _create_database()
        create_bucket_and_table(os.environ)
    call_command("migrate", interactive=False, verbosity=1, stdout=steps)
    applied = steps.getvalue().count("... OK") or steps.getvalue().count("OK\n")
    call_command("seed_catalogue", stdout=steps)
    call_command("collectstatic", interactive=False, verbosity=0)
    call_command("create_operator", OPERATOR, role="admin", stdout=steps)
    login = io.StringIO()
    call_command("login_link", OPERATOR, stdout=login)
    summary = f"{applied} migrations applied, catalogue seeded" if applied else "database up to date"
    print(json.dumps({"summary": summary, "login": login.getvalue().strip()}))


def _create_database() -> None:
    """Create the database that the settings name, unless it exists."""
    import psycopg
    from django.conf import settings
    from psycopg import sql

    database = settings.DATABASES["default"]
    with psycopg.connect(
        host=database["HOST"], user=database["USER"], dbname="postgres", autocommit=True
    ) as connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database["NAME"]]).fetchone()
        if known is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database["NAME"])))


if __name__ == "__main__":
    main()
