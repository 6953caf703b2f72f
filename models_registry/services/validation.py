"""Deciding on an upload: the gate in a process of its own, the artifact, and the number.

The work talks to S3 for as long as the upload is large, so it holds no transaction: claim, work, record. A worker
that dies leaves its claim to run out; the sweep rings again.
"""

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, BinaryIO

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q

from aws import errors
from aws.connect import artifacts
from aws.gateway import ArtifactStore
from core import clock
from core.actors import SYSTEM
from core.crashpoints import crashpoint
from core.states import move
from events.record import record_event
from models_registry.artifacts import artifact_key, found_under, quarantine_key
from models_registry.inspection.findings import Finding
from models_registry.inspection.job import Job, JobFile, ReportedArtifact
from models_registry.models import Adapter, AdapterVersion
from models_registry.services.approvals import approval_at_first
from models_registry.services.gate import GateFailed, judge_upload
from models_registry.services.uploads import clear_quarantine
from models_registry.states import VERSION_MOVES, VersionState
from tenants.models import Tenant
from tenants.queries import tier_version_of
from tenants.states import TenantState

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 3
RETRY_SECONDS = 15
SWEEP_BATCH = 5
"""Few, because the sweep is one task under one time limit; it comes again soon."""
LEAST_GATE_SECONDS = 20
SLOWEST_BYTES_PER_SECOND = 10_000_000
"""From the bucket, through the gate and back into the bucket; a claim on a larger upload lasts longer."""


@dataclass(frozen=True)
class _Decision:
    """What the work came to: the verdict, and the artifact if it was accepted."""

    accepted: bool
    findings: Sequence[Finding]
    facts: dict[str, Any]
    artifact: ReportedArtifact | None = None


def validate_version(*, version_id: int) -> None:
    """Judge an upload; accepted ones are repacked under their sha256 and get the adapter's next number.

    Quiet when the version is decided or another worker is at it. When AWS does not answer, the reason is written
    down and the sweep comes back. An upload of which the gate's process died three times is rejected with what
    happened last (inspection_crashed, inspection_timeout), one of which three workers died with validation_failed.
    """
    version = _claim(version_id)
    if version is None:
        return
    crashpoint("validation:claimed")
    try:
        decision = _gave_up() if version.attempts > MAX_ATTEMPTS else _decide(version)
        crashpoint("validation:stored")
    except errors.Missing:
        decision = _rejected("upload_lost", "The uploaded files are gone from quarantine.", "Upload them again.")
    except errors.AwsError as error:
        _wait(version, error)
        return
    except GateFailed as error:
        if version.attempts < MAX_ATTEMPTS:
            _give_back(version, f"{error} It is tried again.")
            return
        decision = _rejected(error.code, str(error), "Upload it again; if that fails too, ask the operators.")
    if _record(version, decision):
        _clear(version)


def validate_undecided_versions() -> int:
    """Judge what waits for a worker: never claimed, or claimed by one that is gone. Answers how many were tried."""
    free = Q(claimed_until=None) | Q(claimed_until__lt=clock.real_now())
    waiting = AdapterVersion.objects.filter(free, state=VersionState.VALIDATING).order_by("pk")
    version_ids = list(waiting.values_list("pk", flat=True)[:SWEEP_BATCH])
    for version_id in version_ids:
        validate_version(version_id=version_id)
    return len(version_ids)


def _claim(version_id: int) -> AdapterVersion | None:
    """Take the version for as long as its size needs; None when it is decided or somebody else has it."""
    now = clock.real_now()
    free = Q(claimed_until=None) | Q(claimed_until__lt=now)
    related = ("tenant", "adapter__foundation_model", "adapter__serving_profile")
    with transaction.atomic(durable=True):
        waiting = AdapterVersion.objects.filter(free, pk=version_id, state=VersionState.VALIDATING)
        version = waiting.select_related(*related).select_for_update(of=("self",), no_key=True).first()
        if version is None:
            return None
        version.claimed_until = now + timedelta(seconds=_claim_seconds(version))
        version.attempts += 1
        version.save(update_fields=["claimed_until", "attempts"])
    return version


def _claim_seconds(version: AdapterVersion) -> float:
    size = sum(part["size"] for part in version.parts)
    return float(settings.LEASE_SECONDS + size / SLOWEST_BYTES_PER_SECOND)


def _decide(version: AdapterVersion) -> _Decision:
    """Judge, and store what is accepted. Raises aws.errors; done twice it stores the same bytes under the same key."""
    profile, tenant = version.adapter.serving_profile, version.tenant
    if tenant.state in (TenantState.OFFBOARDING, TenantState.OFFBOARDED):
        return _rejected("tenant_leaving", "The tenant is leaving; nothing new is taken in.", "")
    tier = tier_version_of(tenant.pk, clock.now())
    job = Job(
        files=tuple(JobFile(part["name"], part["size"]) for part in version.parts),
        base=version.adapter.foundation_model.config,
        engine=profile.engine,
        max_rank=profile.max_lora_rank,
        max_bytes=tier.max_adapter_bytes,
    )
    store = artifacts()
    openers = [partial(store.open, quarantine_key(tenant, version, position)) for position in range(len(job.files))]
    with tempfile.TemporaryFile() as spool, tempfile.TemporaryFile() as packed:
        report = judge_upload(job, openers, packed, spool, seconds=max(LEAST_GATE_SECONDS, _claim_seconds(version) / 2))
        above = _above_tier(report.facts, tier.max_lora_rank, str(tier))
        if above or report.artifact is None:
            return _Decision(False, [*above, *report.findings], report.facts)
        packed.seek(0)
        if not _stored(store, artifact_key(tenant, report.artifact.sha256), packed, report.artifact):
            return _rejected(
                "artifact_taken",
                "Other bytes lie in the bucket under the name that this content has.",
                "Somebody wrote them past the control plane: ask the operators to remove them, then upload again.",
            )
    findings = [*report.findings, *_duplicates(version, report.artifact)]
    return _Decision(True, findings, report.facts, report.artifact)


def _stored(store: ArtifactStore, key: str, packed: BinaryIO, artifact: ReportedArtifact) -> bool:
    """Whether the artifact lies under its key: stored now, or before by an upload of the same content."""
    if store.put(key, packed, sha256=artifact.sha256):
        return True
    return found_under(store, key).sha256 == artifact.sha256


def _above_tier(facts: dict[str, Any], max_rank: int, tier: str) -> list[Finding]:
    """The engine's and the profile's limits are the gate's; what the tenant has bought is looked at here."""
    rank = facts.get("rank")
    if not isinstance(rank, int) or rank <= max_rank:
        return []
    return [
        Finding(
            "quota_exceeded",
            "error",
            f"The adapter has rank {rank}; {tier} allows up to {max_rank}.",
            f"Train with r={max_rank} or less, or move the tenant to a larger tier.",
        )
    ]


def _duplicates(version: AdapterVersion, artifact: ReportedArtifact) -> list[Finding]:
    same = (
        AdapterVersion.objects.filter(adapter=version.adapter, sha256=artifact.sha256, state=VersionState.READY)
        .order_by("number")
        .first()
    )
    if same is None:
        return []
    return [Finding("duplicate_content", "warning", f"The content is the same as that of version {same.number}.")]


def _rejected(code: str, message: str, hint: str) -> _Decision:
    return _Decision(False, [Finding(code, "error", message, hint)], {})


def _gave_up() -> _Decision:
    return _rejected(
        "validation_failed",
        f"{MAX_ATTEMPTS} workers ended without a verdict on this upload.",
        "Upload it again; if that fails too, ask the operators to look into the workers' logs.",
    )


def _wait(version: AdapterVersion, error: errors.AwsError) -> None:
    """Give the claim back with the reason; AWS being away is no fault of the upload, so the attempt does not count."""
    log.warning("validation of %s waits: %s", version.public_id, error)
    reason = f"AWS answered {error.code} to {error.operation}: {error.message}"
    if error.request_id:
        reason += f" (request {error.request_id})"
    _give_back(version, reason, attempts=F("attempts") - 1)


def _give_back(version: AdapterVersion, reason: str, **changes: Any) -> None:
    with transaction.atomic(durable=True):
        # Another worker's claim stays: who stood still for longer than its own has nothing to give back.
        ours = AdapterVersion.objects.filter(
            pk=version.pk, state=VersionState.VALIDATING, claimed_until=version.claimed_until
        )
        until = clock.real_now() + timedelta(seconds=RETRY_SECONDS)
        ours.update(claimed_until=until, waiting_reason=reason[:1000], **changes)


def _record(version: AdapterVersion, decision: _Decision) -> bool:
    """Write the decision down; False when somebody else has decided meanwhile."""
    with transaction.atomic(durable=True):
        tenant = Tenant.objects.get(pk=version.tenant_id)
        # The adapter's lock orders numbers and `latest_version` among uploads that end together.
        Adapter.objects.select_for_update(no_key=True).get(pk=version.adapter_id)
        version.refresh_from_db(fields=["state"])
        if version.state != VersionState.VALIDATING:
            return False
        changes: dict[str, Any] = {
            "findings": [finding.as_dict() for finding in decision.findings],
            "facts": decision.facts,
            "rank": decision.facts.get("rank"),
            "alpha": decision.facts.get("alpha"),
            "target_modules": decision.facts.get("target_modules", []),
            "decided_at": clock.now(),
            "claimed_until": None,
            "waiting_reason": "",
        }
        codes = [finding.code for finding in decision.findings if finding.severity == "error"]
        if decision.artifact is None:
            move(version, to=VersionState.REJECTED, table=VERSION_MOVES, **changes)
            record_event(
                "adapter.version_rejected", tenant=tenant, subject=version, actor=SYSTEM, after={"codes": codes}
            )
            return True
        changes |= {
            "number": _take_number(version.adapter_id),
            "sha256": decision.artifact.sha256,
            "size_bytes": decision.artifact.size_bytes,
            "artifact_key": artifact_key(tenant, decision.artifact.sha256),
            **approval_at_first(tenant.pk),
        }
        move(version, to=VersionState.READY, table=VERSION_MOVES, **changes)
        Adapter.objects.filter(pk=version.adapter_id).update(latest_version=version)
        record_event(
            "adapter.version_ready",
            tenant=tenant,
            subject=version,
            actor=SYSTEM,
            after={"number": version.number, "sha256": version.sha256},
            data={"id": version.public_id, "adapter": version.adapter.public_id, "number": version.number},
        )
    return True


def _take_number(adapter_id: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE models_registry_adapter SET next_number = next_number + 1 WHERE id = %s RETURNING next_number - 1",
            [adapter_id],
        )
        return int(cursor.fetchone()[0])


def _clear(version: AdapterVersion) -> None:
    try:
        clear_quarantine(version)
    except errors.AwsError as error:
        log.warning("quarantine of %s is cleared by the sweep: %s", version.public_id, error)
