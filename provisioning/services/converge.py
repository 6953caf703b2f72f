"""Brings one tenant closer to what it should be. Level-triggered: it asks what is, so it may run at any time and twice.

Serving: wishes -> (the loop makes them) -> probe -> publish -> releases live, tenant active -> wishes again.
Leaving: publish withdrawn -> wish nothing -> (the loop deletes) -> nothing left in AWS -> step `resources` done.
"""

import logging
import random
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from django.conf import settings

from aws import connect
from aws.errors import AwsError
from core.actors import SYSTEM
from core.clock import now
from core.crashpoints import boundary
from models_registry.models import AdapterVersion
from models_registry.queries import WantedRelease, has_open_share, wanted_releases
from models_registry.services import canaries, releases
from models_registry.states import ReleaseState
from provisioning import queries
from provisioning.desired import AdapterFacts
from provisioning.models import ManagedResource, PublishedConfig, ServingLine
from provisioning.runtime_config import Route, targets_of
from provisioning.services import (
    accounts,
    copies,
    cutting_over,
    first_steps,
    mirroring,
    operations,
    proving,
    publishing,
    routing,
)
from provisioning.services.copies import Place
from provisioning.services.desired_state import Wishes, sync_tenant
from provisioning.states import Phase
from tenants.models import OffboardingStep, Tenant
from tenants.queries import tier_version_of
from tenants.services import offboarding, onboarding
from tenants.states import TenantState

log = logging.getLogger(__name__)

NO_LINE = "The tenant's tier has no serving line: route its version to one, then retry."
SUSPENDED, ACTIVE = "suspended", "active"


def converge_tenant(*, tenant_id: int) -> None:
    """Take every step that can be taken now. What AWS refuses is noted at the tenant's operations, and swept."""
    tenant, under_way = operations.open_missing(tenant_id=tenant_id)
    if tenant.state == TenantState.SIGNED_UP:
        with boundary("commit begin provisioning"):
            onboarding.begin_provisioning(tenant_id=tenant_id, actor=SYSTEM)
        tenant, under_way = operations.open_missing(tenant_id=tenant_id)
    trouble = ""
    try:
        if operations.is_held(tenant, under_way):
            pass  # what is under way in AWS is followed, and nothing is begun
        elif tenant.state == TenantState.OFFBOARDING:
            _depart(tenant)
        elif tenant.state != TenantState.OFFBOARDED:
            _serve(tenant)
    except AwsError as error:
        trouble = (
            f"{error.operation}: {error.message or error.code} (request {error.request_id or 'without an answer'})"
        )
        log.warning("converging %s is held up: %s", tenant_id, trouble)
    except publishing.ConfigRefused as refused:
        trouble = f"The runtime config was not published: {refused.detail} {refused.hint}"
    if under_way:
        operations.refresh(tenant_id=tenant_id, trouble=trouble or accounts.obstacle(tenant))


def converge_around(*, resource_id: int) -> None:
    """Converge whoever a resource matters to: its tenant, or for a shared one everybody that it serves."""
    row = ManagedResource.objects.get(pk=resource_id)
    if row.tenant_id is not None:
        converge_tenant(tenant_id=row.tenant_id)
    elif row.phase == Phase.GONE:
        sweep_served_tenants()
    else:
        sweep_unsettled_tenants()


def sweep_unsettled_tenants() -> int:
    """Converge every tenant that is on its way somewhere; how many there were."""
    unsettled = queries.unsettled_tenant_ids()
    return _converge_all(random.sample(unsettled, len(unsettled)))


def sweep_served_tenants() -> int:
    """Converge tenants that are served, however settled they look: drift, and warm copies whose time is over.

    In an order of its own each time, so that where one call cannot take them all, none is always the last.
    """
    return _converge_all(list(queries.served_tenants().order_by("?").values_list("pk", flat=True)))


def _converge_all(tenant_ids: Sequence[int]) -> int:
    """Converge one after the other for at most a third of the lease, well inside the task's time limit.

    A bug that one tenant meets does not keep the others waiting; it is logged and raised at the end.
    """
    stop_at, done = time.monotonic() + settings.ENV.lease_seconds / 3, 0
    bug: Exception | None = None
    for tenant_id in tenant_ids:
        if time.monotonic() >= stop_at:
            break
        try:
            converge_tenant(tenant_id=tenant_id)
            done += 1
        except Exception as error:
            log.exception("converging tenant %s failed", tenant_id)
            bug = error
    if bug is not None:
        raise bug
    return done


# --- serving ----------------------------------------------------------------------------------------------------
def _serve(tenant: Tenant) -> None:
    """What is read is passed on; after each wait for AWS what could have changed is read again."""
    standing = queries.standing_of(tenant.pk)
    if not standing.lines:
        with boundary("commit no line"):
            onboarding.fail_provisioning(tenant_id=tenant.pk, reason=NO_LINE, actor=SYSTEM)
        return
    if not first_steps.may_begin(tenant, standing.lines):
        return
    wanted = wanted_releases(tenant.pk)
    if proving.refuse_unloadable(standing.lines, wanted):
        wanted = wanted_releases(tenant.pk)
    versions = _versions(tenant.pk, wanted)
    places = copies.places_of(queries.line_facts(line) for lines in standing.kept for line in lines)
    not_copied = copies.bring_copies(versions=[version for _, version in versions], places=places)
    wishes = sync_tenant(tenant_id=tenant.pk, adapters=_facts(versions, places))
    standing, refused = wishes.standing, dict[int, str]()
    unproved = proving.unproved_components(wishes, wanted)
    held_up = proving.prove(unproved, refused)
    if unproved or places:
        wanted = wanted_releases(tenant.pk)  # without what was refused, and with what people decided meanwhile
    if held_up is None and cutting_over.prepare(tenant, wishes, wanted, refused):
        # The new tier's lines first, and what people decided while those were asked.
        standing, wanted = queries.standing_of(tenant.pk), wanted_releases(tenant.pk)
    config = queries.current_config(tenant.pk)
    if wishes.is_founded or config is not None:
        config = _publish(tenant, standing.lines, wishes, wanted, config)
        if config is not None and _record_what_serves(tenant.pk, wanted, config):
            # The old version is not routed any more: keep it warm, or let it go.
            versions = _versions(tenant.pk, wanted_releases(tenant.pk))
            wishes = sync_tenant(tenant_id=tenant.pk, adapters=_facts(versions, places))
        if standing.change is not None:
            cutting_over.follow(tenant)
    _advance(tenant, wishes, has_config=config is not None)
    held_up = held_up or not_copied
    if held_up is not None:
        raise held_up  # only now: one adapter that cannot be asked must not keep the others from being routed
    copies.erase_unused(tenant_id=tenant.pk)


def _publish(
    tenant: Tenant,
    lines: Sequence[ServingLine],
    wishes: Wishes,
    wanted: Sequence[WantedRelease],
    config: PublishedConfig | None,
) -> PublishedConfig | None:
    """Tell data planes what serves; the config that they follow then."""
    routes = {} if queries.is_put_away(tenant) else routing.routes_of(tenant, lines, wishes, wanted, config)
    status = ACTIVE if _may_answer(tenant, wishes, wanted, routes, config) else SUSPENDED
    told = publishing.publish(tenant_id=tenant.pk, status=status, region=_home_of(lines), routes=routes).config
    return told if told is not None and told.is_current else queries.current_config(tenant.pk)


def _home_of(lines: Sequence[ServingLine]) -> str:
    """Where the data plane puts its metrics: beside the first hosted line."""
    return next((line for line in lines if line.is_hosted), lines[0]).region


def _may_answer(
    tenant: Tenant,
    wishes: Wishes,
    wanted: Sequence[WantedRelease],
    routes: Mapping[str, Route],
    config: PublishedConfig | None,
) -> bool:
    """Whether data planes should answer: not while it is suspended, nor, after that, until all that served does again.

    The second matters where the tier removes a suspended tenant's resources.
    """
    if tenant.state == TenantState.SUSPENDED:
        return False
    if config is None or config.document["status"] != SUSPENDED:
        return True
    return wishes.is_founded and all(each.live_version is None or each.adapter.name in routes for each in wanted)


def _versions(tenant_id: int, wanted: Sequence[WantedRelease]) -> list[tuple[WantedRelease, AdapterVersion]]:
    """The versions that should have a component: wished for, live until that serves, and warm for a roll back."""
    found: dict[int, tuple[WantedRelease, AdapterVersion]] = {}
    for each in wanted:
        live = each.live_version if each.release.state == ReleaseState.PENDING else None
        warm = each.previous if _is_warm(tenant_id, each) else None
        for version in (each.version, live, warm):
            if version is not None:
                found[version.pk] = (each, version)
    return [found[pk] for pk in sorted(found)]


def _facts(versions: Sequence[tuple[WantedRelease, AdapterVersion]], places: Collection[Place]) -> list[AdapterFacts]:
    """The versions as wishes want them, with the addresses of their copies in the places that need some."""
    urls = copies.urls_of([version.pk for _, version in versions]) if places else {}
    return [
        AdapterFacts(
            version_id=version.pk,
            version_ref=version.public_id,
            adapter_ref=wanted.adapter.public_id,
            adapter_name=wanted.adapter.name,
            artifact_url=connect.artifacts().url(version.artifact_key),
            copies=urls.get(version.pk, {}),
        )
        for wanted, version in versions
    ]


def _is_warm(tenant_id: int, wanted: WantedRelease) -> bool:
    if wanted.previous_stopped_at is None:
        return False
    tier = tier_version_of(tenant_id, now())
    return tier.keep_previous_warm and now() < wanted.previous_stopped_at + timedelta(hours=tier.warm_window_hours)


def _record_what_serves(tenant_id: int, wanted: Sequence[WantedRelease], config: PublishedConfig) -> bool:
    """Tell the registry what data planes were told; whether a release became live or withdrawn by it."""
    if config.written_at is None:
        return False
    news = _record_releases(config, config.written_at, wanted)
    shares = {
        each.adapter_version: each.weight for _, _, each in targets_of(config.document) if each.weight is not None
    }
    if shares or has_open_share(tenant_id):
        with boundary("commit shares"):
            canaries.follow_shares(tenant_id=tenant_id, shares=shares, at=config.written_at)
    is_routed = config.document["status"] == ACTIVE
    if config.document["routes"] or not is_routed:
        # What served ends with a suspension, and goes on after it.
        with boundary("commit traffic"):
            releases.follow_traffic(tenant_id=tenant_id, is_routed=is_routed, at=config.written_at)
    return news


def _record_releases(config: PublishedConfig, written_at: datetime, wanted: Sequence[WantedRelease]) -> bool:
    told = list(targets_of(config.document))
    # One with a weight is released in steps, and has a share so far.
    routed = {target.adapter_version for _, _, target in told if target.weight is None}
    adapters = {adapter for _, adapter, _ in told}
    news = False
    for each in wanted:
        if each.release.state != ReleaseState.PENDING:
            continue
        at = max(written_at, each.release.requested_at)
        if each.version is not None and each.version.public_id in routed:
            with boundary("commit release live"):
                news |= bool(releases.record_live(release_ids=[each.release.pk], at=at, actor=SYSTEM))
        elif each.version is None and each.adapter.public_id not in adapters:
            with boundary("commit release withdrawn"):
                news |= bool(releases.record_withdrawn(release_ids=[each.release.pk], at=at, actor=SYSTEM))
    return news


def _advance(tenant: Tenant, wishes: Wishes, *, has_config: bool) -> None:
    """Move the tenant to active, or to provisioning_failed and back, according to its foundation."""
    if tenant.state not in (TenantState.PROVISIONING, TenantState.PROVISIONING_FAILED):
        return
    obstacles = wishes.obstacles
    if obstacles and not wishes.is_founded:
        reason = "; ".join(f"{row.get_kind_display()} {row.name}: {row.detail}" for row in obstacles)
        with boundary("commit provisioning failed"):
            onboarding.fail_provisioning(tenant_id=tenant.pk, reason=reason, actor=SYSTEM)
        return
    if tenant.state == TenantState.PROVISIONING_FAILED:
        with boundary("commit provisioning again"):
            onboarding.begin_provisioning(tenant_id=tenant.pk, actor=SYSTEM)
    if wishes.is_founded and has_config:
        with boundary("commit activation"):
            onboarding.activate_tenant(tenant_id=tenant.pk, actor=SYSTEM)


# --- leaving ----------------------------------------------------------------------------------------------------
def _depart(tenant: Tenant) -> None:
    cutting_over.abandon(tenant)
    mirroring.empty_registry(tenant_id=tenant.pk)
    newest = queries.published_configs(tenant.pk).first()
    if newest is not None:
        no_routes: dict[str, Route] = {}
        region = newest.document["region"]
        published = publishing.publish(tenant_id=tenant.pk, status=queries.WITHDRAWN, region=region, routes=no_routes)
        if published.config is None or published.config.written_at is None:
            return
        with boundary("commit end serving"):
            releases.end_serving(tenant_id=tenant.pk, at=published.config.written_at, actor=SYSTEM)
    sync_tenant(tenant_id=tenant.pk, adapters=())
    step = OffboardingStep.objects.get(tenant=tenant, key=OffboardingStep.Key.RESOURCES)
    if step.done_at is not None or ManagedResource.objects.filter(tenant=tenant).living().exists():
        return
    erased_copies = copies.erase_unused(tenant_id=tenant.pk)
    with boundary("erase configs"):
        erased = connect.config_store().erase(tenant.public_id)
    with boundary("erase limits"):
        counts = connect.limit_store().erase(tenant.public_id)
    gone = ManagedResource.objects.filter(tenant=tenant).order_by("pk")
    detail = {
        "deleted": [{"kind": row.kind, "name": row.name} for row in gone],
        "artifact_copies_erased": erased_copies,
        "config_items_erased": erased,
        "limit_items_erased": counts,
    }
    with boundary("commit resources step"):
        offboarding.complete_offboarding_step(
            tenant_id=tenant.pk, key=OffboardingStep.Key.RESOURCES, detail=detail, actor=SYSTEM
        )
