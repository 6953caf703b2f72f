"""The deletion certificate: a second read of AWS, after the departure has ended, of everything that there ever was.

It asks AWS anew for every object that a row of ours names, lists whatever carries the tenant's tag, and counts what is
left in the buckets and in both tables: in every account and region where the tenant had something, or could have had.
What it finds is written down as it is; only a read that was answered everywhere and found nothing is clean.
"""

import hashlib
import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from aws import connect, errors
from aws.gateway import HostingGateway, HostingKind
from core.actors import SYSTEM
from core.clock import now
from core.crashpoints import boundary
from core.typesetting import typeset
from events.record import record_event
from models_registry.artifacts import artifact_prefix, quarantine_prefix, versions_under
from provisioning.doors import Doors
from provisioning.models import AwsAccount, DeletionCertificate, ManagedResource
from provisioning.reconciler.observe import INSTALL_TAG
from provisioning.services.copies import Place, bucket_of
from provisioning.services.inventory import HOSTED
from provisioning.specs import HOSTING_KINDS, canonical_json, handle
from tenants.models import LegalHold, OffboardingStep, Tenant
from tenants.states import TenantState

log = logging.getLogger(__name__)

SCHEMA = "deletion-certificate/1"
TEMPLATE = Path(__file__).resolve().parents[1] / "certificate.typ"
THREADS = 8
NO, YES = "no", "yes"
OBJECTS, COPIES = "objects, versions, delete markers", "copies of artifacts, versions, delete markers"
# Nothing that changes from try to try, so that a read which is refused again says nothing new.
UNANSWERED = "unknown: the account's role cannot be assumed"


def certify_departed() -> int:
    """Issue what is missing: for every tenant that has left without a clean certificate; how many became clean."""
    clean = DeletionCertificate.objects.filter(is_clean=True).values("tenant_id")
    done = 0
    for tenant in Tenant.objects.filter(state=TenantState.OFFBOARDED).exclude(pk__in=clean).order_by("pk"):
        try:
            done += certify_deletion(tenant_id=tenant.pk).is_clean
        except errors.AwsError as error:
            log.warning("the second read for %s was not answered: %s", tenant.public_id, error)
    return done


def certify_deletion(*, tenant_id: int) -> DeletionCertificate:
    """Read AWS again and write down what is left of a departed tenant; quiet when a clean certificate exists.

    A read that finds the same as the one before adds nothing. Raises AwsError, because a read that was not answered
    proves nothing, and ValueError for a tenant that has not left. An account that cannot be entered any more, as when
    its owner took the role away, is written down as unknown, because the rest can be answered for.
    """
    tenant = Tenant.objects.get(pk=tenant_id)
    if tenant.state != TenantState.OFFBOARDED:
        raise ValueError(f"{tenant.public_id} is {tenant.state}; only a departure that has ended is certified")
    before = DeletionCertificate.objects.filter(tenant=tenant).order_by("-number").first()
    if before is not None and before.is_clean:
        return before
    began = now()
    places = _places(tenant)
    doors = Doors({account for account, _ in places}, with_closed=True)
    looked_for = [*_hosted(tenant, doors), *_elsewhere(tenant, places, doors), *_stored(tenant)]
    if before is not None and before.content["second_read"]["looked_for"] == looked_for:
        return before
    content = _content(tenant, began, looked_for)
    return _keep(tenant, content, number=before.number + 1 if before else 1)


def _keep(tenant: Tenant, content: dict[str, Any], *, number: int) -> DeletionCertificate:
    sha256 = hashlib.sha256(canonical_json(content)).hexdigest()
    pdf = typeset(TEMPLATE, _printed(content, sha256), dated=datetime.fromisoformat(content["issued_at"]))
    read = content["second_read"]
    is_clean = read["found"] == 0 and read["unanswered"] == 0
    with boundary("commit certificate"), transaction.atomic(durable=True):
        Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk)
        there = DeletionCertificate.objects.filter(tenant=tenant, number=number).first()
        if there is not None:
            return there  # two workers read at once; one of them wrote
        made = DeletionCertificate.objects.create(
            tenant=tenant,
            number=number,
            content=content,
            content_sha256=sha256,
            pdf=pdf,
            pdf_sha256=hashlib.sha256(pdf).hexdigest(),
            is_clean=is_clean,
            issued_at=content["issued_at"],
        )
        record_event(
            "tenant.deletion_certified" if is_clean else "tenant.deletion_incomplete",
            tenant=tenant,
            subject=made,
            actor=SYSTEM,
            after={"found": read["found"], "unanswered": read["unanswered"], "sha256": sha256},
            data={"id": tenant.public_id, "certificate": made.public_id, "is_clean": is_clean, "sha256": sha256},
        )
    return made


# --- the second read --------------------------------------------------------------------------------------------
def _places(tenant: Tenant) -> list[Place]:
    """Every account and region where the tenant had something, and those that were registered for it."""
    rows = ManagedResource.objects.filter(tenant=tenant).order_by().values_list("account", "region").distinct()
    accounts = AwsAccount.objects.filter(tenant=tenant)
    return sorted({*rows, *((each.account_id, region) for each in accounts for region in each.regions)})


def _hosted(tenant: Tenant, doors: Doors) -> list[dict[str, str]]:
    """Every object that was ever made for the tenant, asked for by name."""
    rows = list(ManagedResource.objects.filter(tenant=tenant).order_by("pk"))
    with ThreadPoolExecutor(max_workers=THREADS) as threads:
        return list(threads.map(partial(_look, doors), rows))


def _look(doors: Doors, row: ManagedResource) -> dict[str, str]:
    where = f"{_service_of(HOSTING_KINDS[row.kind])} {row.region}, account {row.account}"
    known_by = handle(row.kind, row.name, arn=row.arn, identity=row.identity)
    try:
        seen = doors.hosting(row.account, row.region).describe(HOSTING_KINDS[row.kind], known_by)
    except errors.Missing:
        return _entry(where, row.kind, row.name, NO)
    except errors.AccessLost:
        return _entry(where, row.kind, row.name, UNANSWERED)
    return _entry(where, row.kind, row.name, f"{YES}: {seen.status}")


def _elsewhere(tenant: Tenant, places: Iterable[Place], doors: Doors) -> Iterable[dict[str, str]]:
    """What no row of ours names any more, by place: what carries the tenant's tag, and copies of its artifacts."""
    for account, region in places:
        try:
            yield from _tagged(tenant, doors.hosting(account, region), account, region)
            bucket = bucket_of(account, region)
            left = _copies_left(tenant, doors, account, region, bucket)
            yield _entry(f"S3 {bucket}, account {account}", COPIES, artifact_prefix(tenant), _counted(left))
        except errors.AccessLost:
            tag = f"tagged cp:tenant={tenant.public_id}"
            yield _entry(f"AWS {region}, account {account}", "everything", tag, UNANSWERED)


def _tagged(tenant: Tenant, hosting: HostingGateway, account: str, region: str) -> Iterable[dict[str, str]]:
    """Whatever carries the tenant's tag in a place, by kind."""
    for kind in HOSTED:
        found = []
        for name, sighting in hosting.list(kind, name_contains=f"-{tenant.slug}-").items():
            try:
                tags = hosting.tags(sighting.arn)
            except errors.Missing:
                continue
            if tags.get("cp:tenant") == tenant.public_id and tags.get(INSTALL_TAG) == settings.INSTALL_NAME:
                found.append(name)
        where = f"{_service_of(kind)} {region}, account {account}"
        told = f"{YES}: {', '.join(sorted(found))}" if found else NO
        yield _entry(where, f"every {kind}", f"tagged cp:tenant={tenant.public_id}", told)


def _copies_left(tenant: Tenant, doors: Doors, account: str, region: str, bucket: str) -> int:
    """Versions and delete markers of the copies in a place; none where no bucket for copies was ever made."""
    try:
        return sum(1 for _ in doors.copies(account, region, bucket).versions(artifact_prefix(tenant)))
    except errors.Missing:
        return 0


def _service_of(kind: HostingKind) -> str:
    return "Bedrock" if kind == "inference_profile" else "SageMaker"


def _stored(tenant: Tenant) -> Iterable[dict[str, str]]:
    """Objects with all their versions and delete markers, runtime configs, and counters of limits."""
    for prefix in (artifact_prefix(tenant), quarantine_prefix(tenant)):
        left = versions_under(prefix)
        where = f"S3 {settings.ENV.artifact_bucket}"
        yield _entry(where, OBJECTS, prefix, _counted(left))
    configs = connect.config_store().count(tenant.public_id)
    yield _entry(f"DynamoDB {settings.ENV.config_table}", "runtime configs", tenant.public_id, _counted(configs))
    counters = connect.limit_store().count(tenant.public_id)
    yield _entry(f"DynamoDB {settings.ENV.limits_table}", "token counters", tenant.public_id, _counted(counters))


def _counted(left: int) -> str:
    return f"{YES}: {left}" if left else NO


def _entry(where: str, what: str, name: str, found: str) -> dict[str, str]:
    return {"where": where, "what": what, "name": name, "found": found}


# --- the document -----------------------------------------------------------------------------------------------
def _content(tenant: Tenant, began: datetime, looked_for: list[dict[str, str]]) -> dict[str, Any]:
    ended = now()
    holds = LegalHold.objects.filter(tenant=tenant).order_by("pk")
    return {
        "schema": SCHEMA,
        "installation": settings.INSTALL_NAME,
        "issued_at": ended.isoformat(),
        "tenant": {
            "id": tenant.public_id,
            "external_id": tenant.external_id,
            "name": tenant.name,
            "slug": tenant.slug,
            "signed_up_at": tenant.signed_up_at.isoformat(),
            "offboarded_at": _iso(tenant.offboarded_at),
            "retain_until": _iso(tenant.retain_until),
        },
        "legal_holds": [
            {"placed_at": hold.placed_at.isoformat(), "released_at": _iso(hold.released_at), "reason": hold.reason}
            for hold in holds
        ],
        "steps": [
            {"key": step.key, "title": step.get_key_display(), "done_at": _iso(step.done_at), "detail": step.detail}
            for step in OffboardingStep.objects.filter(tenant=tenant)
        ],
        "second_read": {
            "began_at": began.isoformat(),
            "ended_at": ended.isoformat(),
            "looked_for": looked_for,
            "found": sum(entry["found"].startswith(YES) for entry in looked_for),
            "unanswered": sum(entry["found"] == UNANSWERED for entry in looked_for),
        },
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _printed(content: dict[str, Any], sha256: str) -> dict[str, Any]:
    read, tenant = content["second_read"], content["tenant"]
    facts = [
        ("Tenant", f"{tenant['name']} ({tenant['slug']})"),
        ("Id", tenant["id"]),
        ("Signed up", tenant["signed_up_at"]),
        ("Left", tenant["offboarded_at"] or ""),
        ("Kept until", tenant["retain_until"] or "not kept"),
        ("Legal holds", "; ".join(_hold(each) for each in content["legal_holds"]) or "none"),
        ("Second read", f"{read['began_at']} to {read['ended_at']}"),
        ("Installation", content["installation"]),
    ]
    return {
        "title": f"Deletion certificate: {tenant['name']}",
        "issuer": content["installation"],
        "verdict": _verdict(read),
        "facts": facts,
        "steps": [[step["title"], step["done_at"] or "", _said(step["detail"])] for step in content["steps"]],
        "looked_for": [[each["where"], each["what"], each["name"], each["found"]] for each in read["looked_for"]],
        "sha256": sha256,
    }


def _verdict(read: dict[str, Any]) -> str:
    if read["found"]:
        return f"{read['found']} of what was looked for is still there."
    if read["unanswered"]:
        return f"Nothing was found; {read['unanswered']} of what was looked for lies where nobody let us look."
    return f"Nothing was found. {len(read['looked_for'])} places and objects were looked for."


def _hold(hold: dict[str, Any]) -> str:
    return f"{hold['placed_at']} to {hold['released_at'] or 'now'}"


def _said(detail: dict[str, Any]) -> str:
    """What a step did, in short: lists as their length."""
    return ", ".join(
        f"{name.replace('_', ' ')} {len(value) if isinstance(value, list) else value}" for name, value in detail.items()
    )
