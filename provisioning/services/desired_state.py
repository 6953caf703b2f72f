"""Writes wishes: which resources should exist for a tenant and for the pool. AWS is not asked for anything here."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Max, Q

from aws import connect
from core.clock import real_now
from core.crashpoints import boundary
from core.locks import advisory_lock
from provisioning import queries
from provisioning.desired import (
    AdapterFacts,
    TenantFacts,
    foundation_slots,
    hosted,
    wishes_for_pool,
    wishes_for_tenant,
)
from provisioning.models import ManagedResource
from provisioning.queries import Standing
from provisioning.reconciler.loop import WISHES_LOCK
from provisioning.specs import REGISTRY_KINDS, Wish, derive_name, digest, resolve
from provisioning.states import SERVING, Phase, StuckReason
from tenants.models import Tenant


@dataclass(frozen=True, slots=True)
class Wishes:
    """A tenant's rows by slot, those of the pool included, and where it stood when they were written; `blocked` are
    failed incarnations that forbid a new one."""

    standing: Standing
    foundation: Sequence[str]
    rows: Mapping[str, ManagedResource] = field(default_factory=dict)
    blocked: Sequence[ManagedResource] = ()

    @property
    def is_founded(self) -> bool:
        """Whether everything that the tenant needs before it is served at all is serving."""
        return all(slot in self.rows and self.rows[slot].phase in SERVING for slot in self.foundation)

    @property
    def obstacles(self) -> list[ManagedResource]:
        """The foundation's stuck resources, with the reasons that people are shown."""
        slots = set(self.foundation)
        stuck = [row for slot, row in self.rows.items() if slot in slots and row.stuck_reason]
        return stuck + [row for row in self.blocked if row.slot in slots]


def sync_tenant(*, tenant_id: int, adapters: Sequence[AdapterFacts]) -> Wishes:
    """Make rows for what the tenant and the pool should have; what is not wished any more is unwished.

    `adapters` are the versions that should have a component. What the current runtime configs route to stays wished
    until they route elsewhere. Raises AwsError when the account cannot be asked for its id.
    """
    account = connect.account_id()
    with boundary("commit wishes"), transaction.atomic(durable=True):
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
        advisory_lock(WISHES_LOCK)
        standing = queries.standing_of(tenant_id)
        has_lines = queries.needs_lines(tenant) and not queries.is_put_away(tenant)
        groups = [[queries.line_facts(line) for line in group] for group in standing.kept] if has_lines else []
        lines = list({(line.pk, line.account): line for group in groups for line in group}.values())
        first_of_each = {(line.pk, line.account): line for group in groups for line in hosted(group)[:1]}
        writer = WishWriter([None, tenant], account=account, routed=queries.routed_names())
        writer.fill(None, wishes_for_pool(queries.line_facts(line) for line in queries.lines_in_use()))
        facts = TenantFacts(
            ref=tenant.public_id,
            slug=tenant.slug,
            lines=lines,
            adapters=adapters if lines else (),
            adapter_lines=list(first_of_each.values()),
        )
        writer.fill(tenant, wishes_for_tenant(facts))
        # What a tier change makes besides is not what the tenant is served from.
        foundation = foundation_slots(tenant.public_id, groups[0]) if groups else []
        return Wishes(standing, foundation, writer.rows, tuple(writer.blocked))


class WishWriter:
    """Matches wishes with rows of the owners named, of whom None is the pool; inside the caller's transaction, under
    the wishes lock.

    What mirrors the registry and what serves have writers of their own: neither unwishes the other's.
    """

    def __init__(
        self, owners: Collection[Tenant | None], *, account: str, routed: set[str], of_registry: bool = False
    ) -> None:
        self.rows: dict[str, ManagedResource] = {}
        self.blocked: list[ManagedResource] = []
        self._account = account
        self._routed = routed
        pool = Q(tenant=None) if None in owners else Q()
        theirs = pool | Q(tenant__in=[owner for owner in owners if owner is not None])
        of_kind = Q(kind__in=REGISTRY_KINDS, _negated=not of_registry)
        waiting = ManagedResource.objects.filter(theirs, of_kind).exclude(phase=Phase.GONE, stuck_reason="")
        self._there = list(waiting.prefetch_related("needs"))

    def fill(self, tenant: Tenant | None, wishes: Iterable[Wish]) -> None:
        """Match one owner's wishes; parents must have been matched before, here or in an earlier call."""
        owned = [row for row in self._there if row.tenant_id == (tenant.pk if tenant else None)]
        usable = {
            (row.slot, row.identity_digest): row
            for row in owned
            if row.is_wanted and row.phase not in (Phase.DELETING, Phase.GONE)
        }
        matched: set[int] = set()
        for wish in wishes:
            row = self._match(tenant, wish, usable)
            if row is not None:
                self.rows[wish.slot] = row
                matched.add(row.pk)
        left = [row for row in usable.values() if row.pk not in matched]
        kept = _still_routed(left, self._routed)
        _unwish([row for row in left if row.pk not in kept])
        # What failed and is wished no more waits for nobody, whoever asks for the like later.
        blocked = {row.pk for row in self.blocked}
        _forget([row for row in owned if row.phase == Phase.GONE and row.pk not in blocked])

    def _match(
        self, tenant: Tenant | None, wish: Wish, usable: Mapping[tuple[str, str], ManagedResource]
    ) -> ManagedResource | None:
        if any(slot not in self.rows for slot in wish.needs):
            return None  # a parent is blocked, so there is no name to build on
        names = {slot: self.rows[slot].name for slot in wish.needs}
        identity, wanted = resolve(wish.identity, names), resolve(wish.settings, names)
        row = usable.get((wish.slot, digest(identity)))
        if row is None:
            row = self._new(tenant, wish, identity, wanted)
        elif row.digest != _digest(identity, wanted):
            _rewish(row, wanted, _digest(identity, wanted))
        if row is not None:
            known = {parent.pk for parent in row.needs.all()}
            row.needs.add(*(self.rows[slot] for slot in wish.needs if self.rows[slot].pk not in known))
        return row

    def _new(
        self, tenant: Tenant | None, wish: Wish, identity: dict[str, Any], wanted: dict[str, Any]
    ) -> ManagedResource | None:
        last = (
            ManagedResource.objects.filter(slot=wish.slot, identity_digest=digest(identity))
            .order_by("-incarnation")
            .first()
        )
        if last is not None and _is_blocking(last, _digest(identity, wanted)):
            self.blocked.append(last)
            return None
        if last is not None and last.stuck_reason:
            ManagedResource.objects.filter(pk=last.pk).update(stuck_reason=StuckReason.NONE)  # a new one takes over
        name, incarnation = _free_name(wish, digest(identity))
        return ManagedResource.objects.create(
            tenant=tenant,
            line_id=wish.line_id,
            adapter_version_id=wish.adapter_version_id,
            kind=wish.kind,
            slot=wish.slot,
            slug=wish.slug,
            account=wish.account or self._account,
            region=wish.region,
            name=name,
            incarnation=incarnation,
            identity=identity,
            identity_digest=digest(identity),
            settings=wanted,
            digest=_digest(identity, wanted),
            # A new try after a failure goes on with its backoff.
            failures=last.failures if last is not None else 0,
        )


def _free_name(wish: Wish, identity_digest: str) -> tuple[str, int]:
    """The first incarnation whose name was never used, in any account or region: configs route by name alone."""
    used = ManagedResource.objects.filter(kind=wish.kind, identity_digest__startswith=identity_digest[:8])
    incarnation = (used.aggregate(last=Max("incarnation"))["last"] or 0) + 1
    name = derive_name(
        install=settings.INSTALL_NAME,
        kind=wish.kind,
        slug=wish.slug,
        identity_digest=identity_digest,
        incarnation=incarnation,
    )
    return name, incarnation


def _digest(identity: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    return digest({"identity": identity, "settings": wanted})


def _is_blocking(last: ManagedResource, wanted_digest: str) -> bool:
    """Whether a failed incarnation forbids a new one: until it is gone, and then for ever or for its backoff."""
    if not last.stuck_reason or last.failed_digest != wanted_digest:
        return False
    return last.phase != Phase.GONE or last.stuck_reason == StuckReason.TERMINAL or last.look_again_at > real_now()


def _rewish(row: ManagedResource, wanted: Mapping[str, Any], wanted_digest: str) -> None:
    """Another setting for a row that exists: what failed before is forgotten, because the wish is another."""
    row.settings, row.digest, row.stuck_reason, row.detail = dict(wanted), wanted_digest, StuckReason.NONE, ""
    ManagedResource.objects.filter(pk=row.pk).update(
        settings=row.settings,
        digest=row.digest,
        stuck_reason=row.stuck_reason,
        detail=row.detail,
        generation=F("generation") + 1,
        attempts=0,
        look_again_at=real_now(),
    )


def _forget(failed: Collection[ManagedResource]) -> None:
    if failed:
        ManagedResource.objects.filter(pk__in=[row.pk for row in failed]).update(stuck_reason=StuckReason.NONE)


def _unwish(rows: Collection[ManagedResource]) -> None:
    if not rows:
        return
    ManagedResource.objects.filter(pk__in=[row.pk for row in rows]).update(
        is_wanted=False,
        stuck_reason=StuckReason.NONE,
        generation=F("generation") + 1,
        attempts=0,
        look_again_at=real_now(),
    )


def _still_routed(rows: Sequence[ManagedResource], routed: set[str]) -> set[int]:
    """Rows that data planes may be using, and what those rows run on."""
    kept = {row.pk for row in rows if row.name in routed and row.phase != Phase.WISHED}
    while True:
        needed = {parent.pk for row in rows if row.pk in kept for parent in row.needs.all()}
        if needed <= kept:
            return kept
        kept |= needed
