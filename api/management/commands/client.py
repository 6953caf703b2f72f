"""A typed Python client of the REST API, generated from the OpenAPI document."""

import json
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from api.schema import document

PACKAGE = "control_plane_client"
# Media types that the generator does not know, as those that it treats the same way.
OVERRIDES = {
    "application/problem+json": "application/json",
    "application/gzip": "application/octet-stream",
    "application/pdf": "application/octet-stream",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "application/octet-stream",
    "application/x-gzip": "application/octet-stream",
    "application/x-ndjson": "application/octet-stream",
    "application/x-tar": "application/octet-stream",
    "text/csv": "application/octet-stream",
}


class Command(BaseCommand):
    """`manage.py client OUT`: write the client as a package that can be installed with pip."""

    help = "Write a typed Python client of the REST API into a folder; needs the dev requirements."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "out", type=Path, help="the folder to make; what the command wrote there before is replaced"
        )

    def handle(self, *args: Any, out: Path, **options: Any) -> None:
        """Raises CommandError when the document has something that the generator would leave out."""
        with TemporaryDirectory() as folder:
            described, settings = Path(folder, "openapi.json"), Path(folder, "settings.json")
            described.write_text(json.dumps(document()))
            wanted = {"package_name_override": PACKAGE, "content_type_overrides": OVERRIDES, "post_hooks": []}
            settings.write_text(json.dumps(wanted))
            made = subprocess.run(
                [
                    sys.executable, "-m", "openapi_python_client", "generate", "--path", str(described), "--config",
                    str(settings), "--output-path", str(out), "--meta", "setup", "--overwrite", "--fail-on-warning",
                ],
                capture_output=True,
                text=True,
                check=False,
            )  # fmt: skip
        if made.returncode:
            raise CommandError(f"The client was not made.\n{made.stdout}{made.stderr}")
        self.stdout.write(f"{out}: pip install {out}, then import {PACKAGE}")
