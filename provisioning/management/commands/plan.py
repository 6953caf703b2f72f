"""`manage.py plan memory|compare`: the planner by hand. Needs no database and no stack."""

import json
from argparse import ArgumentParser
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core import clock
from core.errors import DomainError
from provisioning.planner.answer import describe
from provisioning.planner.base_models import read_base_model
from provisioning.planner.catalogue import load_catalogue
from provisioning.planner.evaluate import Evaluation, as_dict, evaluate
from provisioning.planner.memory import MemoryPlan, MemoryWish, known_instance, plan_memory, smallest_instance, why_not
from provisioning.planner.presets import PUBLISHED_EXAMPLE, load_presets
from provisioning.planner.refusals import ImpossibleScenario
from provisioning.planner.scenario import read_number, read_scenario
from provisioning.planner.units import DTYPE_BITS, GIB_BYTES, said
from provisioning.planner.verdict import LANGUAGES, verdict

DOES_NOT_FIT, UNREADABLE = 1, 2
MAX_CONFIG_BYTES = 1 << 20


class Command(BaseCommand):
    """Exit status 0: an answer; 1: it does not fit, or nothing hosted can carry the load; 2: bad input."""

    help = "Plan accelerator memory, or compare hosting with APIs. Needs no database."
    # Pure arithmetic: a broken or absent installation must not stop it.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Two verbs: memory and compare."""
        verbs = parser.add_subparsers(dest="verb", required=True)
        memory = verbs.add_parser("memory", help="What fits on an instance, and what is in the way.")
        memory.add_argument("--config", type=Path, required=True, metavar="CONFIG.json", help="the model's config")
        memory.add_argument("--dtype", required=True, help=f"of the weights: {', '.join(DTYPE_BITS)}")
        memory.add_argument("--kv-dtype", metavar="DTYPE", help="of the KV cache (default: that of the weights)")
        memory.add_argument("--context", type=_whole, required=True, metavar="N", help="tokens of one sequence")
        memory.add_argument("--instance", required=True, metavar="TYPE", help="such as ml.g5.48xlarge")
        memory.add_argument("--lora-rank", type=_whole, default=0, metavar="R", help="the engine's max_lora_rank")
        memory.add_argument("--lora-slots", type=_whole, default=0, metavar="N", help="the engine's max_loras")
        compare = verbs.add_parser("compare", help="What hosting and each API cost a year, and where they break even.")
        for name in ("requests-per-year", "tokens-in", "tokens-out"):
            compare.add_argument(f"--{name}", required=True, metavar="N")
        compare.add_argument("--seconds", required=True, metavar="S", help="how long a request takes")
        compare.add_argument("--context", metavar="N", help="tokens of one sequence (default: the model's longest)")
        compare.add_argument("--peak", default="1", metavar="X", help="busiest hour over average (default: 1)")
        compare.add_argument("--tenants", default="300", metavar="N", help="default: %(default)s")
        compare.add_argument("--hosted", action="append", metavar="MODEL:DTYPE:INSTANCE", help="may be repeated")
        compare.add_argument("--api", action="append", metavar="NAME", help="may be repeated (default: all)")
        compare.add_argument("--lora-rank", default="0", metavar="R")
        compare.add_argument("--lora-slots", default="0", metavar="N")
        compare.add_argument("--language", choices=LANGUAGES, default="en", help="of the verdict in words")
        for verb in (memory, compare):
            verb.add_argument("--region", default="us-west-2", help="default: %(default)s")
            verb.add_argument("--usable-fraction", default="0.9", metavar="F", help="of memory (default: 0.9)")
            verb.add_argument("--reserve-gib", default="0", metavar="GIB", help="kept free per accelerator")
            verb.add_argument("--json", action="store_true", help="print the answer as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the answer and leave with its exit status."""
        try:
            fits = self._memory(options) if options["verb"] == "memory" else self._compare(options)
        except DomainError as error:
            if options["json"]:
                refused = {"code": error.code, "detail": error.detail, "hint": error.hint}
                self.stdout.write(json.dumps(refused, indent=2, ensure_ascii=False))
            raise CommandError(f"{error.detail} {error.hint}".strip(), returncode=UNREADABLE) from error
        if not fits:
            raise SystemExit(DOES_NOT_FIT)

    def _memory(self, options: dict[str, Any]) -> bool:
        catalogue = load_catalogue()
        path = options["config"]
        model = read_base_model(path.stem, _read_config(path))
        numbers = {name: _number(name, options[name]) for name in ("usable_fraction", "reserve_gib")}
        wish = MemoryWish(
            model=model,
            dtype=options["dtype"],
            cache_dtype=options["kv_dtype"] or options["dtype"],
            context_tokens=options["context"],
            lora_rank=options["lora_rank"],
            lora_slots=options["lora_slots"],
            usable_fraction=numbers["usable_fraction"],
            reserve_bytes=int(numbers["reserve_gib"] * GIB_BYTES),
        )
        plan = plan_memory(wish, known_instance(catalogue, wish, options["instance"], options["region"]))
        would_do = smallest_instance(wish, catalogue.instances(), region=options["region"])
        shown = plan.as_dict() | {"smallest_instance": would_do.instance_type if would_do else None}
        detail, hint = ("", "") if plan.fits else why_not(plan, catalogue.instances())
        if options["json"]:
            shown |= {} if plan.fits else {"detail": detail, "hint": hint}
            self.stdout.write(json.dumps(shown, indent=2, ensure_ascii=False))
        else:
            self._tell_memory(plan)
            if not plan.fits:
                self.stderr.write(f"{detail}\n{hint}")
        return plan.fits

    def _tell_memory(self, plan: MemoryPlan) -> None:
        instance, wish = plan.instance, plan.wish
        self.stdout.write(
            f"{wish.model.name} ({wish.model.parameters:,} parameters, {wish.dtype}) on {instance.instance_type}, "
            f"{instance.accelerators} x {instance.accelerator} with {instance.memory_gib_per_accelerator} GiB each"
        )
        for name, size in (
            ("usable", plan.usable_bytes),
            ("weights", plan.weight_bytes),
            ("adapter slots", plan.adapter_bytes),
            (f"KV cache of {wish.context_tokens:,} tokens", plan.cache_bytes_per_sequence),
        ):
            self.stdout.write(f"  {name:<34} {said(size):>28}")
        self.stdout.write(
            f"  {'sequences at once':<34} {plan.sequences:>10} (exactly {plan.sequences_exact:.2f}; "
            f"limited by {plan.limiting_term})"
        )

    def _compare(self, options: dict[str, Any]) -> bool:
        catalogue, today = load_catalogue(), clock.now().date()
        example = load_presets()[PUBLISHED_EXAMPLE].scenario
        scenario = read_scenario(
            {
                "requests_per_year": options["requests_per_year"],
                "tokens_in": options["tokens_in"],
                "tokens_out": options["tokens_out"],
                "seconds_per_request": options["seconds"],
                "context_tokens": options["context"],
                "peak_to_average": options["peak"],
                "tenants": options["tenants"],
                "hosted": options["hosted"] or example["hosted"],
                "apis": options["api"] or [],
                "region": options["region"],
                "lora_rank": options["lora_rank"],
                "lora_slots": options["lora_slots"],
                "usable_fraction": options["usable_fraction"],
                "reserve_gib": options["reserve_gib"],
            },
            catalogue,
        )
        result = evaluate(scenario, catalogue, today)
        if options["json"]:
            shown = describe(result, catalogue)
            shown["verdict"] = verdict(result, options["language"])
            self.stdout.write(json.dumps(shown, indent=2, ensure_ascii=False))
        else:
            self._tell_comparison(result, options["language"])
        return result.cheapest_hosted is not None

    def _tell_comparison(self, result: Evaluation, language: str) -> None:
        for row in as_dict(result)["options"]:
            carries = "as much as its quota" if row["kind"] == "api" else f"{row['capacity_requests_per_year']:,}"
            cost = f"{float(row['annual_usd']):,.0f} USD" if row["annual_usd"] else "does not fit"
            self.stdout.write(f"{row['name']:<66} {cost:>14}   carries {carries}")
        self.stdout.write("")
        self.stdout.write(verdict(result, language))


def _number(name: str, text: str) -> Decimal:
    try:
        return Decimal(read_number(name, text))
    except ValueError as error:
        raise ImpossibleScenario(str(error)) from error


def _whole(text: str) -> int:
    return int(text.replace("_", "").replace(",", ""))


def _read_config(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:  # a device says that it is empty, so reading is what is bounded
            text = file.read(MAX_CONFIG_BYTES + 1)
        if len(text) > MAX_CONFIG_BYTES:
            raise CommandError(f"{path} is too large for a config.json.", returncode=UNREADABLE)
        config = json.loads(text)
    except OSError as error:
        raise CommandError(f"Cannot read {path}: {error.strerror or error}.", returncode=UNREADABLE) from error
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{path} is not JSON: {error}", returncode=UNREADABLE) from error
    if not isinstance(config, dict):
        raise CommandError(f"{path} does not hold a JSON object.", returncode=UNREADABLE)
    return config
