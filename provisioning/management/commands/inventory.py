"""`manage.py inventory`: what AWS holds under our tags against what our rows say, and what to do about a finding.

Without a verb it lists and changes nothing in AWS; `adopt`, `delete`, `ignore` and `unignore` are the page's.
"""

import json
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.services import operator_at_console
from aws.errors import AwsError
from core.actors import Actor
from core.errors import DomainError
from provisioning import queries
from provisioning.models.findings import InventoryFinding
from provisioning.services.adopting import adopt_orphan
from provisioning.services.findings import ignore_finding, keep_inventory, unignore_finding
from provisioning.services.inventory import Inventory
from provisioning.services.orphans import delete_orphan

REFUSED = 2
VERBS = {
    "adopt": "give an orphan to the one wish for exactly it; AWS is asked to change nothing",
    "delete": "delete an orphan in AWS, and what runs on it",
    "ignore": "leave a finding alone",
    "unignore": "look after a finding again",
}


class Command(BaseCommand):
    """Exit status 1 when something is orphaned (seen twice), missing, drifted or stuck and nobody ignores it, or when
    AWS cannot be listed completely; 2 when a verb was refused.
    """

    help = "List orphans, missing, drifted and stuck resources in AWS, and keep what was seen."

    def add_arguments(self, parser: CommandParser) -> None:
        """`--json` prints one object."""
        parser.add_argument("--json", action="store_true")
        verbs = parser.add_subparsers(dest="verb", title="what to do about a finding")
        for verb, what in VERBS.items():
            its = verbs.add_parser(verb, help=what)
            its.add_argument("finding", metavar="ID", help="the finding's id, fnd_…")
            its.add_argument("--as", dest="operator", required=True, metavar="NAME", help="the operator who decides")
            if verb != "unignore":
                its.add_argument("--reason", required=True, metavar="TEXT", help="kept in the audit log")

    def handle(self, *args: Any, **options: Any) -> None:
        """List, compare, keep, say; or do what the verb says."""
        if options["verb"]:
            self._decide(**options)
            return
        try:
            inventory = keep_inventory()
        except AwsError as error:
            raise CommandError(f"AWS could not be listed completely: {error}") from error
        kept = list(queries.findings(tenant_ids=None))
        wrong = sum(finding.is_wrong for finding in kept)
        if options["json"]:
            told = {"wrong": wrong, "findings": [_told(finding) for finding in kept]}
            self.stdout.write(json.dumps(inventory.as_dict() | told, indent=2, default=str))
        else:
            self._say(inventory, kept, wrong)
        if wrong or inventory.closed:
            raise SystemExit(1)

    def _decide(self, *, verb: str, finding: str, operator: str, reason: str = "", **_: Any) -> None:
        try:
            actor = operator_at_console(name=operator, permission="operations.retry")
            found = queries.finding(finding, tenant_ids=None)
            said = _do(verb, found, reason, actor)
        except DomainError as error:
            raise CommandError(f"{error.detail} {error.hint}".strip(), returncode=REFUSED) from error
        self.stdout.write(said)

    def _say(self, inventory: Inventory, kept: Iterable[InventoryFinding], wrong: int) -> None:
        ids = {(each.account, each.region, each.aws_kind, each.name): each.public_id for each in kept}
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(inventory.counts.items())) or "nothing"
        self.stdout.write(f"AWS holds {counts} of ours.")
        for heading in ("orphans", "missing", "drift", "stuck", "foreign"):
            for found in getattr(inventory, heading):
                price = f" (${found.usd_per_hour:f}/h)" if found.usd_per_hour else ""
                ref = ids.get((found.account, found.region, found.kind, found.name), "")
                where = f"{found.account}/{found.region}"
                line = f"{heading}: {ref} {found.kind} {found.name} in {where}: {found.detail}{price}"
                self.stdout.write(f"{line} {dict(found.before)} -> {dict(found.after)}" if found.after else line)
        for account, said in inventory.closed.items():
            self.stdout.write(f"account {account} cannot be entered: {said}")
        self.stdout.write(f"{wrong} of these need somebody." if wrong else "Nobody is needed.")


def _told(finding: InventoryFinding) -> dict[str, Any]:
    return {
        "id": finding.public_id,
        "kind": finding.kind,
        "name": finding.name,
        "is_wrong": finding.is_wrong,
        "ignored_reason": finding.ignored_reason,
        "available_actions": finding.available_actions,
        "what_to_do": finding.what_to_do,
    }


def _do(verb: str, found: InventoryFinding, reason: str, actor: Actor) -> str:
    match verb:
        case "adopt":
            row = adopt_orphan(finding_id=found.pk, reason=reason, actor=actor)
            return f"{found.name} is adopted as {row.public_id}."
        case "delete":
            rows = delete_orphan(finding_id=found.pk, reason=reason, actor=actor)
            return f"The deletion of {', '.join(row.name for row in reversed(rows))} is ordered."
        case "ignore":
            ignore_finding(finding_id=found.pk, reason=reason, actor=actor)
            return f"{found.name} is ignored."
    unignore_finding(finding_id=found.pk, actor=actor)
    return f"{found.name} counts again."
