"""`manage.py container generate|lint`: a serving container's settings, made and judged. Needs no database."""

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import DomainError
from models_registry.containers.answer import composed, judged, read_ranks
from models_registry.containers.generate import Assignment, BaseModel
from models_registry.containers.images import newest
from models_registry.containers.settings import MAX_CHARACTERS

NOT_USABLE, UNREADABLE = 1, 2


class Command(BaseCommand):
    """Exit status 0: settings that serve; 1: settings with errors; 2: bad input."""

    help = "Generate the settings of a serving container, or say what is wrong with some. Needs no database."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Two verbs: generate and lint."""
        verbs = parser.add_subparsers(dest="verb", required=True)
        make = verbs.add_parser("generate", help="Settings that serve a set of adapters on one copy of a base model.")
        make.add_argument("--model-id", required=True, metavar="S3_URI", help="where the base model's weights are")
        make.add_argument("--max-model-len", type=int, metavar="TOKENS", help="the longest prompt and answer")
        make.add_argument("--secret", action="append", default=[], metavar="NAME=ARN", help="may be repeated")
        judge = verbs.add_parser("lint", help="What is wrong with settings, why, and settings that are right.")
        judge.add_argument("file", metavar="FILE", help="serving.properties or NAME=value lines; - for standard input")
        judge.add_argument("--target", default="", metavar="IMAGE", help="correct them for this image instead")
        for verb in (make, judge):
            verb.add_argument(
                "--image", default=newest().name, metavar="IMAGE", help="URI or repository:tag (%(default)s)"
            )
            verb.add_argument(
                "--rank", action="append", default=[], metavar="R[xN]", help="of N adapters; may be repeated"
            )
            verb.add_argument(
                "--in-one-batch", type=int, default=4, metavar="N", help="adapters per batch (%(default)s)"
            )
            verb.add_argument("--json", action="store_true", help="print the answer as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the answer and leave with its exit status."""
        try:
            assignment = Assignment(read_ranks(options["rank"]), options["in_one_batch"])
            make = self._generate if options["verb"] == "generate" else self._lint
            answer = make(options, assignment)
        except DomainError as error:
            raise CommandError(f"{error.detail} {error.hint}".strip(), returncode=UNREADABLE) from error
        except (OSError, ValueError) as error:
            raise CommandError(str(error), returncode=UNREADABLE) from error
        if options["json"]:
            self.stdout.write(json.dumps(answer, indent=2, ensure_ascii=False))
        if not answer.get("is_usable", True):
            raise SystemExit(NOT_USABLE)

    def _generate(self, options: dict[str, Any], assignment: Assignment) -> dict[str, Any]:
        secrets = dict(pair.split("=", 1) if "=" in pair else (pair, "") for pair in options["secret"])
        base = BaseModel(options["model_id"], options["max_model_len"], secrets)
        answer = composed(options["image"], base, assignment)
        if not options["json"]:
            self.stdout.write(answer["text"], ending="")
        return answer

    def _lint(self, options: dict[str, Any], assignment: Assignment) -> dict[str, Any]:
        answer = judged(options["image"], _read(options["file"]), assignment, target=options["target"])
        if not options["json"]:
            for found in answer["diagnoses"]:
                self.stdout.write(f"{found['severity']:8} {found['code']}: {found['message']} {found['hint']}")
                self.stdout.write(f"         {found['source']}")
            self.stdout.write(answer["diff"] or "Nothing to correct.\n", ending="")
        return answer


def _read(name: str) -> str:
    """The text of a file, or of standard input; at most one character more than is judged."""
    if name == "-":
        return sys.stdin.read(MAX_CHARACTERS + 1)
    with Path(name).open(encoding="utf-8") as file:
        return file.read(MAX_CHARACTERS + 1)
