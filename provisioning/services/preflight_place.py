"""The checks of the pre-flight that depend on the account: whether it may be used, and what its quotas leave."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Self

from aws import connect, errors
from aws.gateway import HostingGateway
from aws.roles import Role
from core.crashpoints import boundary
from provisioning.models import AccountKind, AwsAccount, ManagedResource, Scope, ServingLine
from provisioning.services.preflight_report import PreflightCheck, passed, refused
from provisioning.specs import ENDPOINT_CONFIG
from tenants.models import Tenant, TierVersion

THREADS = 8
REGISTER = "Register the account on the tenant's account page and prove its roles."


@dataclass(frozen=True, slots=True)
class Place:
    """The account that a tenant's resources would be in. Without a row it is our own, or still awaited."""

    account: AwsAccount | None
    is_own: bool
    has_tenant: bool

    @classmethod
    def of(cls, tenant: Tenant | None, version: TierVersion) -> Self:
        """By the isolation that the tier version promises."""
        if version.isolation not in AccountKind.values:
            return cls(account=None, is_own=True, has_tenant=tenant is not None)
        registered = AwsAccount.objects.registered().filter(kind=version.isolation, tenant=tenant) if tenant else None
        return cls(registered.first() if registered is not None else None, is_own=False, has_tenant=tenant is not None)

    @property
    def is_awaited(self) -> bool:
        """Whether the account is still to be registered, or to be proven."""
        return not self.is_own and (self.account is None or self.account.proven_at is None)

    @property
    def role(self) -> Role | None:
        """How it is entered; None for our own."""
        return Role(self.account.role_arn, self.account.external_id) if self.account is not None else None

    @property
    def name(self) -> str:
        """For people."""
        return f"account {self.account.account_id}" if self.account is not None else "our own account"


def check_place(place: Place, lines: Sequence[ServingLine]) -> list[PreflightCheck]:
    """Whether an account is there, proven, and meant for the regions of the lines."""
    if place.is_own:
        return [passed("account", "It runs in our own account.")]
    account = place.account
    if account is None:
        if not place.has_tenant:  # nobody can have registered an account for who is not signed up yet
            return [passed("account", "Its account is registered and proven after the sign-up.")]
        detail = "The tier needs an AWS account of the tenant's own, and none is registered."
        return [refused("account", "account_missing", detail, what_to_do=REGISTER)]
    checks = []
    if account.proven_at is None:
        detail = f"The roles of account {account} are not proven yet."
        checks.append(refused("account", "account_not_proven", detail, what_to_do="Prove them on the account page."))
    else:
        checks.append(passed("account", f"Account {account} is registered and proven."))
    for region in sorted({line.region for line in lines} - set(account.regions)):
        detail = f"Account {account} is registered for {', '.join(account.regions)}, not for {region}."
        advice = "Register the region for the account, or choose a tier whose lines are elsewhere."
        checks.append(refused(f"region:{region}", "region_not_in_account", detail, what_to_do=advice))
    return checks


def check_role(place: Place) -> PreflightCheck:
    """Whether the account can be entered now. Raises AwsError when AWS does not answer."""
    if place.account is None:
        return passed("role", "Our own account needs no role.")
    arn = place.account.role_arn
    try:
        entry = connect.enter(arn, place.account.external_id)
    except errors.AccessLost as error:
        return refused(
            "role",
            "role_not_assumable",
            f"The role {arn} cannot be assumed: {error.message} (request {error.request_id or '-'}).",
            what_to_do="Its owner must restore the role as the account page shows it.",
        )
    return passed("role", f"The role leads into account {entry.account}.")


def check_quotas(place: Place, tenant: Tenant | None, lines: Sequence[ServingLine]) -> list[PreflightCheck]:
    """What is in use and what would come against the quota, by region and instance type. Raises AwsError."""
    checks = []
    for region, wanted in sorted(_wanted(place, tenant, lines).items()):
        if not +wanted:
            checks.append(passed(f"quota:{region}", f"Nothing more is needed in {region}."))
            continue
        with boundary("read quotas"):
            quotas = connect.quotas(region, role=place.role).endpoint_instances()
        used = _in_use(connect.hosting(region, role=place.role))
        checks += [
            _check_quota(place, region, kind, quotas.get(kind, 0), used[kind], more)
            for kind, more in sorted((+wanted).items())
        ]
    return checks


def _check_quota(place: Place, region: str, kind: str, quota: int, used: int, more: int) -> PreflightCheck:
    key, where = f"quota:{region}/{kind}", f"{kind} for endpoint usage in {region} of {place.name}"
    if used + more <= quota:
        return passed(key, f"{where}: {used} in use and {more} more, of {quota}.")
    return refused(
        key,
        "service_quota",
        f"{where}: {used} in use and {more} more, and the quota is {quota}.",
        shortfall=f"{used + more - quota} instances are missing.",
        what_to_do=f"Ask AWS in Service Quotas for at least {used + more} of {kind} for endpoint usage in {region}.",
    )


def _wanted(place: Place, tenant: Tenant | None, lines: Sequence[ServingLine]) -> Mapping[str, Counter[str]]:
    """How many instances of each type would come, by region: none for an endpoint that is there or on its way."""
    wanted: dict[str, Counter[str]] = defaultdict(Counter)
    for line in lines:
        counts = wanted[line.region]
        if place.is_own and line.endpoint_scope == Scope.SHARED:
            there = _planned(tenant=None, slot__startswith=f"pool/{line.region}/{line.instance_type}/")
            counts[line.instance_type] = max(counts[line.instance_type], line.instance_count - there)
        else:
            account = {"account": place.account.account_id} if place.account is not None else {}
            there = _planned(tenant=tenant, line=line, **account) if tenant is not None else 0
            counts[line.instance_type] += max(0, line.instance_count - there)
    return wanted


def _planned(**where: object) -> int:
    """Instances of the wanted endpoint configs that the filters name: ours to make, or made."""
    rows = ManagedResource.objects.living().filter(kind=ENDPOINT_CONFIG, is_wanted=True, **where)
    return max((row.identity["instance_count"] for row in rows), default=0)


def _in_use(hosting: HostingGateway) -> Counter[str]:
    """Instances behind the endpoints of a place, ours and others', by type."""
    used: Counter[str] = Counter()
    names = list(hosting.list("endpoint"))
    with ThreadPoolExecutor(max_workers=THREADS) as threads:
        for found in threads.map(partial(_instances_of, hosting), names):
            used.update(found)
    return used


def _instances_of(hosting: HostingGateway, name: str) -> Counter[str]:
    try:
        seen = hosting.describe("endpoint", name)
        if seen.status == "Failed":
            return Counter()  # it holds none
        config = hosting.describe("endpoint_config", seen.config_name)
    except errors.Missing:
        return Counter()  # it went while we looked
    count = seen.instance_count if seen.instance_count is not None else config.instance_count or 0
    return Counter({config.instance_type: count})
