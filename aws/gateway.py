"""What we ask of AWS and what it answers, in our words. Implementations are in aws.boto, got from aws.connect."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, BinaryIO, Literal, Protocol

HostingKind = Literal[
    "model", "endpoint_config", "endpoint", "component", "inference_profile", "package_group", "package"
]
FailureClass = Literal["", "capacity", "quota", "service", "terminal"]

IN_SERVICE = "InService"
VARIANT_NAME = "main"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A SageMaker Model: container, its environment and where the base weights lie (an S3 prefix ends with `/`)."""

    name: str
    image: str
    model_data_uri: str
    environment: Mapping[str, str]
    execution_role_arn: str


@dataclass(frozen=True, slots=True)
class EndpointConfigSpec:
    """Instances for inference components: no model of its own; AWS scales between the two counts."""

    name: str
    instance_type: str
    instance_count: int
    max_instance_count: int
    execution_role_arn: str


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """An endpoint that runs on `config_name`."""

    name: str
    config_name: str


@dataclass(frozen=True, slots=True)
class BaseComponentSpec:
    """A base inference component: `copies` of a model on an endpoint. Memory is the host's, in MiB."""

    name: str
    endpoint_name: str
    model_name: str
    copies: int
    accelerators: int
    min_memory_mb: int


@dataclass(frozen=True, slots=True)
class AdapterComponentSpec:
    """A LoRA adapter on a base component: it borrows the base's compute and loads one `.tar.gz`."""

    name: str
    endpoint_name: str
    base_component_name: str
    artifact_url: str


@dataclass(frozen=True, slots=True)
class InferenceProfileSpec:
    """A Bedrock application inference profile: a name of ours for a model, under which AWS counts its use.

    `model_id` is a foundation model's id, or a system-defined profile's (`us.…`, `eu.…`).
    """

    name: str
    model_id: str


@dataclass(frozen=True, slots=True)
class PackageGroupSpec:
    """A group of SageMaker's model registry: one adapter's versions."""

    name: str
    description: str


@dataclass(frozen=True, slots=True)
class PackageSpec:
    """A version in a group: where its artifact lies, what is known of it, and whether it may be deployed.

    `approval` is AWS's word; `metadata` has values of up to 256 characters.
    """

    name: str
    group_name: str
    image: str
    artifact_url: str
    approval: str
    metadata: Mapping[str, str]


HostedSpec = (
    ModelSpec
    | EndpointConfigSpec
    | EndpointSpec
    | BaseComponentSpec
    | AdapterComponentSpec
    | InferenceProfileSpec
    | PackageGroupSpec
    | PackageSpec
)


@dataclass(frozen=True, slots=True)
class Sighting:
    """One object as AWS described or listed it.

    `status` is AWS's word; objects without a life cycle (models, configs) count as InService while they exist.
    A listing leaves the fields after `modified_at` empty (`is_detailed` is false then), a package's group and approval
    excepted. `approval_by` is the ARN of who changed a package last.
    """

    kind: HostingKind
    name: str
    arn: str
    status: str
    created_at: datetime
    modified_at: datetime | None
    is_detailed: bool = False
    failure_reason: str = ""
    failure: FailureClass = ""
    config_name: str = ""
    endpoint_name: str = ""
    base_component_name: str = ""
    artifact_url: str = ""
    copies: int | None = None
    current_copies: int | None = None
    instance_type: str = ""
    instance_count: int | None = None
    package_group: str = ""
    approval: str = ""
    approval_note: str = ""
    approval_by: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """AWS took a change; whether it happened is found out by looking."""

    request_id: str
    arn: str = ""


class HostingGateway(Protocol):
    """SageMaker hosting and model registry, and Bedrock's inference profiles. Every method may raise aws.errors.

    Objects go by their names; a package, which has none in AWS, by its ARN or by `group/name`.
    """

    def create(self, spec: HostedSpec, *, tags: Mapping[str, str]) -> Receipt:
        """Ask for a new object. Raises AlreadyExists when the name is taken."""

    def point_endpoint(self, name: str, *, config_name: str) -> Receipt:
        """Move an endpoint to another config (UpdateEndpoint)."""

    def set_copies(self, name: str, *, copies: int) -> Receipt:
        """Ask for another number of copies of a base component."""

    def set_approval(self, handle: str, *, approval: str, note: str) -> Receipt:
        """Change whether a package may be deployed, in AWS's word; `note` says why."""

    def delete(self, kind: HostingKind, name: str) -> Receipt:
        """Ask for removal. Raises Missing when it is not there, InProgress when it cannot be deleted yet."""

    def describe(self, kind: HostingKind, name: str) -> Sighting:
        """Look at one object closely. Raises Missing when AWS says that it does not exist."""

    def list(self, kind: HostingKind, *, name_contains: str = "", group: str = "") -> dict[str, Sighting]:
        """All objects whose name contains the text, by name; complete, or an error is raised.

        `group` narrows packages to those of one group.
        """

    def tags(self, arn: str) -> dict[str, str]:
        """The tags of an object."""


class QuotaGateway(Protocol):
    """Service Quotas, read only."""

    def endpoint_instances(self) -> dict[str, int]:
        """The quota of every instance type behind endpoints, by type; a type that is not offered is absent."""


class InferenceGateway(Protocol):
    """Invocation of what is hosted: for probes and the playground, never for customers' traffic."""

    def invoke(self, endpoint: str, component: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The container's JSON answer. Raises ModelError when the container refuses."""


@dataclass(frozen=True, slots=True)
class SeriesQuery:
    """One CloudWatch series: `id` is ours (lower-case letter first), dimensions are exact."""

    id: str
    namespace: str
    metric: str
    dimensions: Mapping[str, str]
    period_seconds: int
    statistic: str = "Sum"


@dataclass(frozen=True, slots=True)
class SeriesResult:
    """Points as (epoch seconds of the period's start, value), ascending. `complete` is CloudWatch's own word."""

    points: list[tuple[int, float]]
    complete: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class SeriesReading:
    """The answers to a set of queries, by their ids, and the request ids of every page that was read."""

    series: dict[str, SeriesResult]
    request_ids: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every series was answered completely."""
        return all(result.complete for result in self.series.values())


@dataclass(frozen=True, slots=True)
class MetricName:
    """A metric that exists in CloudWatch."""

    namespace: str
    metric: str
    dimensions: Mapping[str, str]


class MetricsGateway(Protocol):
    """CloudWatch, read only."""

    def read_series(self, queries: Sequence[SeriesQuery], start: datetime, end: datetime) -> SeriesReading:
        """Values of [start, end) for any number of queries; pages are merged by id."""

    def list_metrics(self, namespace: str, *, metric: str = "") -> tuple[list[MetricName], tuple[str, ...]]:
        """The metrics of a namespace that were active in the last two weeks, and the request ids."""


@dataclass(frozen=True, slots=True)
class ArtifactFacts:
    """What S3 says about an object; `sha256` (hex) is empty when S3 holds no such checksum."""

    key: str
    size_bytes: int
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A version of an object, or a marker that hides the versions below it: a versioned bucket keeps both."""

    key: str
    version_id: str
    is_delete_marker: bool


class ArtifactStore(Protocol):
    """The artifact bucket."""

    def put(self, key: str, body: bytes | BinaryIO, *, sha256: str, if_absent: bool = True) -> bool:
        """Store an object whose hex sha256 is known; S3 checks it. False when it was there already (if_absent)."""

    def open(self, key: str) -> BinaryIO:
        """A forward-only stream over an object. Raises Missing."""

    def head(self, key: str) -> ArtifactFacts:
        """Size and checksum. Raises Missing."""

    def read_range(self, key: str, start: int, end: int) -> bytes:
        """The bytes of [start, end), fewer at the object's end."""

    def delete(self, key: str) -> None:
        """Remove an object with all its versions; absent is fine."""

    def list(self, prefix: str) -> Iterator[ArtifactFacts]:
        """The objects under a prefix, complete or an error."""

    def versions(self, prefix: str) -> Iterator[StoredVersion]:
        """Every version and delete marker under a prefix, hidden ones too; complete or an error."""

    def delete_version(self, version: StoredVersion) -> None:
        """Remove one version or marker for good; absent is fine."""

    def url(self, key: str) -> str:
        """`s3://bucket/key`."""

    def make_bucket(self, region: str) -> None:
        """Make the bucket in a region, closed to the public. Raises AlreadyExists when it is somebody else's."""


@dataclass(frozen=True, slots=True)
class StoredConfig:
    """A published runtime config as DynamoDB holds it."""

    tenant: str
    version: int
    document: bytes = field(repr=False)
    sha256: str
    signature: str


class ConfigStore(Protocol):
    """The DynamoDB table that data planes read."""

    def put_version(self, tenant: str, version: int, document: bytes, sha256: str, signature: str) -> Receipt:
        """Write an immutable version. Doing it again with the same bytes is fine; other bytes: AlreadyExists."""

    def flip_current(self, tenant: str, version: int) -> bool:
        """Make a version current, unless a newer one is: then False."""

    def read_current(self, tenant: str) -> StoredConfig | None:
        """The version that data planes follow now, or None."""

    def count(self, tenant: str) -> int:
        """How many items of a tenant there are."""

    def erase(self, tenant: str) -> int:
        """Remove all of a tenant's items; how many there were."""


@dataclass(frozen=True, slots=True)
class WindowUse:
    """How full one limit's window is at an instant: settled and held tokens together. With a line it is the tenant's
    allowance there."""

    meter: str
    window: str
    mode: str
    amount: int
    used: int
    starts_at: datetime
    ends_at: datetime
    line: str = ""


@dataclass(frozen=True, slots=True)
class LineAllowance:
    """Tokens, in and out together, that a tenant may use of a line in a window before the next line answers."""

    line: str
    window: str
    amount: int


@dataclass(frozen=True, slots=True)
class Watched:
    """A tenant to look at: its public id, the limits of its runtime config, lines of which refusals are asked, and what
    it may use of them."""

    tenant: str
    limits: Mapping[str, Any]
    lines: tuple[str, ...] = ()
    allowances: tuple[LineAllowance, ...] = ()


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """How often in the hour from `hour` on requests were turned away: by a line, or (empty) by the tenant's limits."""

    line: str
    hour: datetime
    times: int


@dataclass(frozen=True, slots=True)
class Level:
    """How full a tenant's windows are, its lines' allowances last, and what was turned away in this hour and the one
    before. `degrades_mark` is another number whenever data planes have told of degrades, and 0 when they never did."""

    windows: list[WindowUse]
    turned_away: list[TurnedAway]
    degrades_mark: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """Tokens are held until `expires_at`; `over` are the soft limits (meter, window) that were full already."""

    reservation: str
    expires_at: datetime
    over: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Full:
    """A hard limit has no room. Without `retry_after_seconds` it never has: the request is larger than the window. With
    a line it is the allowance there, and another line may have room."""

    detail: str
    retry_after_seconds: int | None
    line: str = ""


@dataclass(frozen=True, slots=True)
class DegradeCount:
    """How often in a minute a data plane passed requests of a route on from a line: to another, to wait, or refused."""

    minute: datetime
    route: str
    line: str
    to: str
    reason: str
    times: int


@dataclass(frozen=True, slots=True)
class BreakerSighting:
    """How the breaker of a line of a route stands in one process of a data plane, since when and why."""

    route: str
    line: str
    process: str
    state: str
    reason: str
    since: datetime


class LimitStore(Protocol):
    """The DynamoDB table that counts tokens. `limits` is that part of the tenant's runtime config."""

    def reserve(
        self,
        tenant: str,
        limits: Mapping[str, Any],
        *,
        input_tokens: int,
        output_tokens: int,
        at: datetime,
        allowance: LineAllowance | None = None,
    ) -> Held | Full:
        """Hold tokens in every window, and in a line's allowance, or in none."""

    def settle(self, tenant: str, reservation: str, *, input_tokens: int, output_tokens: int) -> bool | None:
        """Put used tokens in place of held ones. False: it was settled before; None: there is no such reservation."""

    def use(
        self, tenant: str, limits: Mapping[str, Any], at: datetime, allowances: Sequence[LineAllowance] = ()
    ) -> list[WindowUse]:
        """How full every window is, in the order of the limits, and then of the allowances."""

    def levels(self, watched: Sequence[Watched], at: datetime) -> list[Level]:
        """The same for many tenants at once, up to a second old, with what was turned away. 100 items a read."""

    def count(self, tenant: str) -> int:
        """How many items of a tenant there are."""

    def degrades(self, tenant: str, *, limit: int = 50) -> list[DegradeCount]:
        """The newest that data planes told of, newest first."""

    def degrades_since(self, tenant: str, since: datetime, *, limit: int) -> list[DegradeCount]:
        """Those of the minute of `since` and later, the oldest first."""

    def breakers(self, tenant: str) -> list[BreakerSighting]:
        """Every breaker that changed within the last hour, by route, line and process."""

    def erase(self, tenant: str) -> int:
        """Remove all of a tenant's items; how many there were."""
