"""`manage.py adapter`: `check` is the gate by hand, without database or stack; `upload` brings a version in."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from models_registry.inspection.architecture import UnusableBase
from models_registry.inspection.engines import UnknownEngine, load_engine
from models_registry.inspection.findings import Finding
from models_registry.inspection.sources import source_from_path
from models_registry.inspection.verdict import Verdict, inspect_adapter

REFUSED, UNREADABLE = 1, 2
MAX_BASE_BYTES = 1024 * 1024


class Command(BaseCommand):
    """Exit status 0: accepted; 1: refused, with reasons; 2: the input cannot be read, or it could not be uploaded."""

    help = "Check a LoRA adapter against a base model and a serving engine, or upload it as a new version."
    # The gate needs none of the installation's settings, so a broken or absent one must not stop it.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Two verbs: check and upload."""
        verbs = parser.add_subparsers(dest="verb", required=True)
        check = verbs.add_parser("check", help="Judge one adapter.")
        check.add_argument("path", type=Path, metavar="PATH", help="a folder, a .tar.gz, or a .safetensors file")
        check.add_argument("--base", type=Path, required=True, metavar="CONFIG.json", help="the base model's config")
        check.add_argument("--max-rank", type=int, metavar="N", help="largest rank to accept (default: the engine's)")
        check.add_argument("--engine", default="vllm-0.26", help="rules to check against (default: %(default)s)")
        check.add_argument("--json", action="store_true", help="print the verdict as JSON")
        upload = verbs.add_parser("upload", help="Upload a version in parts; the same command again goes on.")
        upload.add_argument("path", type=Path, metavar="PATH", help="a folder as PEFT saved it, or a .tar.gz")
        upload.add_argument("--adapter", required=True, metavar="ID", help="the adapter's id, adp_…")
        upload.add_argument("--as", dest="operator", required=True, metavar="NAME", help="the operator who uploads")
        for word in ("notes", "dataset-ref", "base-revision", "training-job"):
            upload.add_argument(f"--{word}", default="", metavar="TEXT")
        upload.add_argument("--metrics", default="{}", metavar="JSON", help="evaluation results, as a JSON object")
        upload.add_argument(
            "--wait", type=int, default=300, metavar="SECONDS", help="for the verdict (default: %(default)s)"
        )
        upload.add_argument("--json", action="store_true", help="print the verdict as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the verdict and leave with its exit status."""
        if options["verb"] == "upload":
            self._upload(options)
            return
        if options["max_rank"] is not None and options["max_rank"] < 1:
            raise CommandError("--max-rank must be a whole number above zero.", returncode=UNREADABLE)
        base = _read_base(options["base"])
        try:
            engine = load_engine(options["engine"])
            source = source_from_path(options["path"])
            verdict = inspect_adapter(source, base=base, engine=engine, max_rank=options["max_rank"])
        except UnknownEngine as error:
            raise CommandError(str(error), returncode=UNREADABLE) from error
        except UnusableBase as error:
            raise CommandError(f"{options['base']}: {error}", returncode=UNREADABLE) from error
        except OSError as error:
            raise CommandError(
                f"Cannot read {options['path']}: {error.strerror or error}.", returncode=UNREADABLE
            ) from error
        self._print(verdict.as_dict(), "accepted" if verdict.accepted else "refused", verdict, as_json=options["json"])
        if not verdict.accepted:
            raise SystemExit(REFUSED)

    def _upload(self, options: dict[str, Any]) -> None:
        # Imported here, because `check` works where there is neither a database nor a setting.
        from models_registry.management.uploading import upload

        version = upload(options)
        findings = tuple(Finding(**finding) for finding in version.findings)
        verdict = Verdict(version.number is not None, findings, version.facts, None)
        said = {"id": version.public_id, "state": version.state, "number": version.number} | verdict.as_dict()
        headline = f"{version.public_id} {version.state}" + (f" as v{version.number}" if version.number else "")
        self._print(said, headline, verdict, as_json=options["json"])
        if version.state == "rejected":
            raise SystemExit(REFUSED)

    def _print(self, said: dict[str, Any], headline: str, verdict: Verdict, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(said, indent=2, ensure_ascii=False))
            return
        self.stdout.write(headline)
        for finding in verdict.findings:
            where = f" [{finding.tensor}]" if finding.tensor else ""
            self.stdout.write(f"  {finding.severity}: {finding.code}: {finding.message}{where}")
            if finding.hint:
                self.stdout.write(f"    {finding.hint}")
        for name, value in verdict.facts.items():
            self.stdout.write(f"  {name}: {', '.join(value) if isinstance(value, list) else value}")


def _read_base(path: Path) -> dict[str, Any]:
    """The base model's config.json. Raises CommandError with the line of the mistake."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BASE_BYTES + 1)
    except OSError as error:
        raise CommandError(f"Cannot read {path}: {error.strerror or error}.", returncode=UNREADABLE) from error
    if len(content) > MAX_BASE_BYTES:
        raise CommandError(f"{path} is too large for a config.json.", returncode=UNREADABLE)
    try:
        base = json.loads(content.decode("utf-8"))
    except json.JSONDecodeError as error:
        detail = f"{path}, line {error.lineno}: {error.msg}."
        raise CommandError(detail, returncode=UNREADABLE) from error
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{path} is not a JSON file.", returncode=UNREADABLE) from error
    if not isinstance(base, dict):
        raise CommandError(f"{path} does not hold a JSON object.", returncode=UNREADABLE)
    return base
