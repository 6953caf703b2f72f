"""From tenants, lines and releases to wishes. It reads values and answers values.

What a hosted line needs: model, endpoint config, endpoint, base component; an adapter component per wanted version. An
api line needs an inference profile per tenant, so that AWS counts its tenants apart; adapters it cannot have. Shared
parts belong to the pool: one endpoint per region and instance type, whose size is the largest that any of its lines
asks for, and one base component per line that shares it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from provisioning.specs import (
    ADAPTER_COMPONENT,
    BASE_COMPONENT,
    ENDPOINT,
    ENDPOINT_CONFIG,
    INFERENCE_PROFILE,
    MODEL,
    POOL,
    Ref,
    Wish,
)

SHARED = "shared"
HOSTED, API = "hosted", "api"


# In place of an account that is not registered or not proven yet: nothing is wished for there.
AWAITED = "awaited"


@dataclass(frozen=True, slots=True)
class LineFacts:
    """A serving line with what its profile says; of an api line all but the first fields and `model_id` are empty.

    `account` is empty for our own. `needs_copies`: adapters have to be copied to where the line is, because endpoints
    read only there.
    """

    pk: int
    name: str
    region: str
    endpoint_scope: str = "tenant"
    component_scope: str = "tenant"
    instance_type: str = ""
    instance_count: int = 0
    max_instance_count: int = 0
    copies: int = 0
    image: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    model_data_uri: str = ""
    accelerators: int = 0
    min_memory_mb: int = 0
    execution_role_arn: str = ""
    account: str = ""
    needs_copies: bool = False
    kind: str = HOSTED
    model_id: str = ""

    @property
    def is_awaited(self) -> bool:
        """Whether the account that it is to be in cannot be used yet."""
        return self.account == AWAITED


@dataclass(frozen=True, slots=True)
class AdapterFacts:
    """A version that should have a component: pending, live, or kept warm.

    `copies` are the addresses of its copies by account and region; None where it does not matter where it is read.
    """

    version_id: int
    version_ref: str
    adapter_ref: str
    adapter_name: str
    artifact_url: str
    copies: Mapping[tuple[str, str], str] | None = None

    def url_for(self, line: LineFacts) -> str | None:
        """Where the line's endpoint reads it; None while the copy that it needs is not there."""
        if self.copies is None or not line.needs_copies:
            return self.artifact_url
        return self.copies.get((line.account, line.region))


@dataclass(frozen=True, slots=True)
class TenantFacts:
    """A tenant whose resources are wished for: its lines in the order of its tier, and its adapters.

    `adapter_lines` are the lines that its adapters are loaded on: its first one, and during a tier change those of both
    tiers.
    """

    ref: str
    slug: str
    lines: Sequence[LineFacts]
    adapters: Sequence[AdapterFacts] = ()
    adapter_lines: Sequence[LineFacts] = ()


def wishes_for_pool(lines: Iterable[LineFacts]) -> list[Wish]:
    """What the lines that any tenant uses share. Parents come before what needs them."""
    used = sorted((line for line in lines if line.kind == HOSTED), key=lambda line: line.pk)
    on_shared = [line for line in used if line.endpoint_scope == SHARED]
    wishes: list[Wish] = []
    for region, instance_type in sorted({(line.region, line.instance_type) for line in on_shared}):
        sharing = [line for line in on_shared if (line.region, line.instance_type) == (region, instance_type)]
        wishes += _endpoint(POOL, POOL, _shared_place(sharing[0]), sharing, line_id=None)
    for line in on_shared:
        if line.component_scope == SHARED:
            wishes += _base(POOL, POOL, line)
    return wishes


def wishes_for_tenant(tenant: TenantFacts) -> list[Wish]:
    """What the tenant has for itself. Parents, shared ones excepted, come before what needs them."""
    wishes: list[Wish] = []
    for line in _placed(tenant.lines):
        if line.kind == API:
            wishes.append(_profile(tenant, line))
            continue
        if line.endpoint_scope != SHARED:
            wishes += _endpoint(_owner(tenant.ref, line), tenant.slug, line.name, [line], line_id=line.pk)
        if line.component_scope != SHARED:
            wishes += _base(tenant.ref, tenant.slug, line)
    for line in _placed(tenant.adapter_lines or hosted(tenant.lines)[:1]):
        for adapter in tenant.adapters:
            url = adapter.url_for(line)
            if url is not None:
                wishes.append(_adapter(tenant, line, adapter, url))
    return wishes


def hosted(lines: Iterable[LineFacts]) -> list[LineFacts]:
    """Those among the lines that can have adapters, in their order."""
    return [line for line in lines if line.kind == HOSTED]


def profile_slot(tenant_ref: str, line: LineFacts) -> str:
    """The slot of a tenant's inference profile on an api line."""
    return f"{_owner(tenant_ref, line)}/{line.name}/profile"


def endpoint_slot(tenant_ref: str, line: LineFacts) -> str:
    """The slot of the endpoint that the line's answers come from."""
    shared = line.endpoint_scope == SHARED
    return f"{POOL}/{_shared_place(line)}/endpoint" if shared else f"{_owner(tenant_ref, line)}/{line.name}/endpoint"


def base_slot(tenant_ref: str, line: LineFacts) -> str:
    """The slot of the base component that the line's answers come from."""
    return f"{POOL if line.component_scope == SHARED else _owner(tenant_ref, line)}/{line.name}/base"


def adapter_slot(tenant_ref: str, line: LineFacts, adapter_ref: str, version_ref: str) -> str:
    """The slot of a version's component: one per version, so that two of them can stand side by side."""
    return f"{_owner(tenant_ref, line)}/{line.name}/{adapter_ref}/{version_ref}"


def own_prefix(tenant_ref: str, line: LineFacts) -> str:
    """How the slots of what a tenant has for itself on a line begin."""
    return f"{_owner(tenant_ref, line)}/{line.name}/"


def foundation_slots(tenant_ref: str, lines: Sequence[LineFacts]) -> list[str]:
    """The slots, the pool's included, that must be ready before the tenant is served at all; parents first."""
    slots: list[str] = []
    for line in lines:
        if line.kind == API:
            slots.append(profile_slot(tenant_ref, line))
            continue
        endpoint, base = endpoint_slot(tenant_ref, line), base_slot(tenant_ref, line)
        slots += [f"{endpoint}-config", endpoint, f"{base}-model", base]
    return list(dict.fromkeys(slots))


def _owner(tenant_ref: str, line: LineFacts) -> str:
    """Whose a slot is. The same line in two accounts has slots of its own in each, so both can stand side by side."""
    return f"{tenant_ref}/{line.account}" if line.account else tenant_ref


def _placed(lines: Sequence[LineFacts]) -> list[LineFacts]:
    return [line for line in lines if not line.is_awaited]


def _shared_place(line: LineFacts) -> str:
    return f"{line.region}/{line.instance_type}"


def _endpoint(owner: str, slug: str, place: str, lines: Sequence[LineFacts], *, line_id: int | None) -> list[Wish]:
    line, slot = lines[0], f"{owner}/{place}/endpoint"
    config = {
        "instance_type": line.instance_type,
        "instance_count": max(each.instance_count for each in lines),
        "max_instance_count": max(each.max_instance_count for each in lines),
        "execution_role_arn": line.execution_role_arn,
    }
    common: dict[str, Any] = {"slug": slug, "account": line.account, "region": line.region, "line_id": line_id}
    return [
        Wish(slot=f"{slot}-config", kind=ENDPOINT_CONFIG, identity=config, **common),
        Wish(
            slot=slot,
            kind=ENDPOINT,
            identity={"place": place, "owner": owner},
            settings={"config_name": Ref(f"{slot}-config")},
            **common,
        ),
    ]


def _base(owner: str, slug: str, line: LineFacts) -> list[Wish]:
    slot = base_slot(owner, line)
    model = {
        "image": line.image,
        "model_data_uri": line.model_data_uri,
        "environment": dict(line.environment),
        "execution_role_arn": line.execution_role_arn,
    }
    identity = {
        "endpoint_name": Ref(endpoint_slot(owner, line)),
        "model_name": Ref(f"{slot}-model"),
        "accelerators": line.accelerators,
        "min_memory_mb": line.min_memory_mb,
    }
    common: dict[str, Any] = {"slug": slug, "account": line.account, "region": line.region, "line_id": line.pk}
    return [
        Wish(slot=f"{slot}-model", kind=MODEL, identity=model, **common),
        Wish(slot=slot, kind=BASE_COMPONENT, identity=identity, settings={"copies": line.copies}, **common),
    ]


def _profile(tenant: TenantFacts, line: LineFacts) -> Wish:
    return Wish(
        slot=profile_slot(tenant.ref, line),
        kind=INFERENCE_PROFILE,
        slug=f"{tenant.slug}-{line.name}",
        region=line.region,
        account=line.account,
        line_id=line.pk,
        identity={"model_id": line.model_id},
    )


def _adapter(tenant: TenantFacts, line: LineFacts, adapter: AdapterFacts, url: str) -> Wish:
    return Wish(
        slot=adapter_slot(tenant.ref, line, adapter.adapter_ref, adapter.version_ref),
        kind=ADAPTER_COMPONENT,
        slug=f"{tenant.slug}-{adapter.adapter_name}",
        account=line.account,
        region=line.region,
        line_id=line.pk,
        identity={
            "endpoint_name": Ref(endpoint_slot(tenant.ref, line)),
            "base_component_name": Ref(base_slot(tenant.ref, line)),
            "artifact_url": url,
            "adapter_version": adapter.version_ref,
        },
        adapter_version_id=adapter.version_id,
    )
