"""Compares what AWS holds under our tags with what our rows say. Reads only; `services.findings` keeps what it saw."""

from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import QuerySet

from aws import connect, errors
from aws.gateway import IN_SERVICE, HostingGateway, HostingKind, Sighting
from provisioning import queries
from provisioning.doors import Doors
from provisioning.models import ManagedResource, ServingLine
from provisioning.planner.catalogue import Catalogue
from provisioning.planner.refusals import UnknownInstance
from provisioning.reconciler.observe import INSTALL_TAG, RESOURCE_TAG
from provisioning.specs import (
    ADAPTER_COMPONENT,
    BASE_COMPONENT,
    ENDPOINT,
    HOSTING_KINDS,
    MODEL_PACKAGE,
    aws_settings,
    handle,
    seen_settings,
)
from provisioning.states import SERVING, Phase

HOSTED: tuple[HostingKind, ...] = (
    "model",
    "endpoint_config",
    "endpoint",
    "component",
    "inference_profile",
    "package_group",
    "package",
)
THREADS = 8
Key = tuple[HostingKind, str]


@dataclass(frozen=True, slots=True)
class Found:
    """One finding: in which account and region, what, and why it is one. `before` is what we wish and `after` what AWS
    shows, for drift.
    """

    account: str
    region: str
    kind: str
    name: str
    resource: str
    tenant: str
    detail: str
    arn: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    usd_per_hour: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Inventory:
    """`orphans` exist in AWS under our tags without a living row, `missing` serve by our rows and are not in AWS,
    `drift` is set otherwise in AWS than we wish, `stuck` wait for somebody, `foreign` have names like ours and other
    owners. `counts` are AWS's, by kind, and `counts_of` the same by account. `closed` are accounts that could not be
    entered, with what AWS said.
    """

    account: str
    counts: dict[str, int] = field(default_factory=dict)
    counts_of: dict[str, dict[str, int]] = field(default_factory=dict)
    closed: dict[str, str] = field(default_factory=dict)
    orphans: list[Found] = field(default_factory=list)
    missing: list[Found] = field(default_factory=list)
    drift: list[Found] = field(default_factory=list)
    stuck: list[Found] = field(default_factory=list)
    foreign: list[Found] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether AWS and rows agree and nothing waits for a person."""
        return not (self.orphans or self.missing or self.drift or self.stuck or self.closed)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Listing:
    """A region as AWS lists it: all of our objects, and of those the ones that no living row claims, with tags."""

    ours: dict[Key, Sighting]
    unclaimed: list[tuple[Sighting, dict[str, str]]]
    foreign: list[Sighting]


def take_inventory() -> Inventory:
    """List every region of every account that a line or a resource is in, or that is registered.

    Raises AwsError: half an inventory would mislead. An account that cannot be entered is named in `closed`, because
    it must not hide the others.
    """
    own = connect.account_id()
    inventory = Inventory(account=own)
    places = {(own, region) for region in ServingLine.objects.values_list("region", flat=True)}
    places |= {(each.account_id, region) for each in queries.list_accounts(None) for region in each.regions}
    places |= set(ManagedResource.objects.living().values_list("account", "region"))
    catalogue, doors = queries.planner_catalogue(), Doors({account for account, _ in places})
    for account, region in sorted(places):
        if account in inventory.closed:
            continue
        try:
            _of_place(doors.hosting(account, region), account, region, catalogue, inventory)
        except errors.AccessLost as error:
            # Nothing is known of it: what was found there before stays as it was found.
            inventory.closed[account] = error.message or error.code
    inventory.orphans.sort(key=lambda found: (-(found.usd_per_hour or 0), found.kind, found.name))
    for row in ManagedResource.objects.exclude(stuck_reason="").select_related("tenant").order_by("pk"):
        inventory.stuck.append(_found(row, f"{row.get_stuck_reason_display()}: {row.detail}"))
    return inventory


def _of_place(hosting: HostingGateway, account: str, region: str, catalogue: Catalogue, inventory: Inventory) -> None:
    here = ManagedResource.objects.filter(account=account, region=region)
    rows = _living(here)
    listing = _list(hosting, rows)
    counted = Counter(kind for kind, _ in listing.ours)
    inventory.counts.update(counted + Counter(inventory.counts))
    inventory.counts_of[account] = dict(counted + Counter(inventory.counts_of.get(account, {})))
    # What was made while we listed has its row by now, because the row is written before AWS is asked.
    names = [sighting.name for sighting, _ in listing.unclaimed]
    since = _living(here.filter(name__in=names))
    for sighting, tags in listing.unclaimed:
        row = since.get((sighting.kind, sighting.name))
        if row is None or tags.get(RESOURCE_TAG) != row.public_id:
            inventory.orphans.extend(_orphan(account, region, hosting, catalogue, sighting, tags))
    for sighting in listing.foreign:
        found = Found(account, region, sighting.kind, sighting.name, "", "", "It does not carry our tags.")
        inventory.foreign.append(found)
    for key, row in rows.items():
        if row.phase in SERVING and key not in listing.ours:
            inventory.missing.append(_found(row, "Our row says that it serves; AWS does not list it."))
    inventory.drift.extend(_drift(hosting, rows, listing.ours))


def _living(rows: QuerySet[ManagedResource]) -> dict[Key, ManagedResource]:
    living = rows.exclude(phase=Phase.GONE).select_related("tenant")
    return {(HOSTING_KINDS[row.kind], row.name): row for row in living}


def _list(hosting: HostingGateway, rows: Mapping[Key, ManagedResource]) -> _Listing:
    install = settings.INSTALL_NAME
    listing = _Listing({}, [], [])
    for kind in HOSTED:
        for name, sighting in hosting.list(kind, name_contains=f"{install}-").items():
            row = rows.get((kind, name))
            if row is not None and row.arn:
                listing.ours[kind, name] = sighting
                continue
            try:
                tags = hosting.tags(sighting.arn)
            except errors.Missing:
                continue  # it went while we looked
            if tags.get(INSTALL_TAG) == install:
                listing.ours[kind, name] = sighting
                if row is None or tags.get(RESOURCE_TAG) != row.public_id:
                    listing.unclaimed.append((sighting, tags))
            elif row is not None or name.startswith(f"{install}-"):
                listing.foreign.append(sighting)
    return listing


def _orphan(
    account: str, region: str, hosting: HostingGateway, catalogue: Catalogue, listed: Sighting, tags: dict[str, str]
) -> Iterable[Found]:
    """One finding, or none when it went while we looked."""
    try:
        seen = hosting.describe(listed.kind, listed.arn if listed.kind == "package" else listed.name)
    except errors.Missing:
        return
    runs_on = (seen.config_name, seen.endpoint_name, seen.base_component_name, seen.package_group)
    yield Found(
        account=account,
        region=region,
        kind=seen.kind,
        name=seen.name,
        resource=tags.get(RESOURCE_TAG, ""),
        tenant=tags.get("cp:tenant", ""),
        detail=f"AWS says {seen.status or 'that it exists'}; no living row of ours.",
        arn=seen.arn,
        tags=tags,
        needs=tuple(name for name in runs_on if name),
        usd_per_hour=_usd_per_hour(region, hosting, catalogue, seen),
    )


def _usd_per_hour(region: str, hosting: HostingGateway, catalogue: Catalogue, seen: Sighting) -> Decimal | None:
    """What AWS charges for its instances; zero for what runs on an endpoint's, None when nobody knows the price."""
    if seen.kind != "endpoint":
        return Decimal(0)
    try:
        config = hosting.describe("endpoint_config", seen.config_name)
        price = catalogue.instance(config.instance_type, region).usd_per_hour
    except (errors.Missing, UnknownInstance):
        return None
    count = seen.instance_count if seen.instance_count is not None else config.instance_count or 0
    return price * count


def _drift(hosting: HostingGateway, rows: Mapping[Key, ManagedResource], listed: Mapping[Key, Sighting]) -> list[Found]:
    """Settled rows whose changeable settings are others in AWS. What cannot be changed cannot drift."""

    def is_settled(row: ManagedResource) -> bool:
        settled = row.phase == Phase.READY and not row.stuck_reason and row.observed_generation == row.generation
        return settled and row.kind in (ENDPOINT, BASE_COMPONENT, ADAPTER_COMPONENT, MODEL_PACKAGE)

    def may_differ(key: Key, row: ManagedResource) -> bool:
        """A listing shows a package's approval, and nothing of the other kinds' settings."""
        return row.kind != MODEL_PACKAGE or listed[key].approval != row.settings["approval"]

    def look(key: Key) -> Sighting | None:
        try:
            kind, name = key
            row = rows[key]
            return hosting.describe(kind, handle(row.kind, name, arn=row.arn, identity=row.identity))
        except errors.Missing:
            return None

    keys = [key for key, row in rows.items() if is_settled(row) and key in listed and may_differ(key, row)]
    with ThreadPoolExecutor(max_workers=THREADS) as threads:
        sightings = dict(zip(keys, threads.map(look, keys), strict=True))
    changed = {row.pk: row.generation for row in ManagedResource.objects.filter(pk__in=[rows[key].pk for key in keys])}
    found = []
    for key, seen in sightings.items():
        row = rows[key]
        if seen is None or seen.status != IN_SERVICE or changed[row.pk] != row.generation:
            continue
        shown, wished = seen_settings(row.kind, seen), aws_settings(row.kind, row.settings)
        if row.kind == ADAPTER_COMPONENT:
            shown, wished = {"artifact_url": seen.artifact_url}, {"artifact_url": row.identity["artifact_url"]}
        if shown != wished:
            found.append(_found(row, "It is set otherwise in AWS than we wish.", before=wished, after=shown))
    return found


def _found(row: ManagedResource, detail: str, **more: Any) -> Found:
    tenant = row.tenant.public_id if row.tenant else "pool"
    return Found(row.account, row.region, row.kind, row.name, row.public_id, tenant, detail, arn=row.arn, **more)
