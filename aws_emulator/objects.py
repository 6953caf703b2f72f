"""What SageMaker hosting keeps: models, endpoint configs, endpoints and inference components of one region.

```
endpoint    Creating -> InService | Failed;  InService -> Updating -> InService (new config, or rolled back)
component   Creating -> InService | Failed;  InService -> Updating -> InService (new settings, or rolled back)
both        InService | Failed -> Deleting -> gone
```
An object under way carries a `Move`; it arrives when its time has come or when it was looked at often enough.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

CREATING, IN_SERVICE, UPDATING, FAILED, DELETING = "Creating", "InService", "Updating", "Failed", "Deleting"


@dataclass
class Move:
    """The way of an object to its next state.

    `due_at` is emulated time; `looks` counts the Describe and List answers still to show the state on the way.
    With neither the object stays where it is for ever. `refusal` is why it will not arrive where it was sent.
    """

    due_at: float | None = None
    looks: int | None = None
    refusal: str | None = None


@dataclass
class Resource:
    """What all objects have. `modified_at` and `created_at` are emulated time."""

    name: str
    arn: str
    created_at: float
    modified_at: float
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class Model(Resource):
    """An immutable model; `request` is what CreateModel was given."""

    request: dict[str, Any] = field(default_factory=dict)

    def container(self) -> dict[str, Any]:
        """The container that answers: the primary one, or the first of several."""
        found: dict[str, Any] = self.request.get("PrimaryContainer") or self.request["Containers"][0]
        return found


@dataclass
class EndpointConfig(Resource):
    """An immutable endpoint config; `request` is what CreateEndpointConfig was given."""

    request: dict[str, Any] = field(default_factory=dict)

    @property
    def takes_components(self) -> bool:
        """Whether its endpoints hold inference components (no variant names a model)."""
        return not any(variant.get("ModelName") for variant in self.request["ProductionVariants"])


@dataclass
class Loaded:
    """What a container holds in memory since it became InService: later changes in S3 do not reach it.

    `base` identifies the base model, `artifact` is the digest of the adapter's bytes (empty for a base);
    `behaviour` is how the inference faults told it to load.
    """

    base: str
    artifact: str = ""
    behaviour: str = "normal"


@dataclass
class Endpoint(Resource):
    """An endpoint. It keeps its own copy of its config, because AWS lets the config be deleted below it."""

    config: EndpointConfig = field(kw_only=True)
    status: str = CREATING
    failure_reason: str = ""
    move: Move | None = None
    next_config: EndpointConfig | None = None
    fleet: dict[str, tuple[float, int]] = field(default_factory=dict)
    """Weight and number of instances per variant."""
    next_fleet: dict[str, tuple[float, int]] | None = None
    deployment: dict[str, Any] | None = None
    loaded: dict[str, Loaded] = field(default_factory=dict)

    def variant(self, name: str) -> dict[str, Any] | None:
        """The production variant of that name in the config in force."""
        for variant in self.config.request["ProductionVariants"]:
            if variant["VariantName"] == name:
                found: dict[str, Any] = variant
                return found
        return None

    def instances(self) -> Counter[str]:
        """The instances it holds now, by type; both fleets while an update replaces one by the other."""
        if self.status == FAILED:
            return Counter()
        held = instances_of(self.config, self.fleet)
        if self.next_fleet is not None:
            coming = instances_of(self.next_config or self.config, self.next_fleet)
            # A new config means a second fleet beside the first; a new count only grows or shrinks the one there is.
            held = held + coming if self.next_config is not None else held | coming
        return held


@dataclass
class Component(Resource):
    """An inference component: a base with compute of its own, or an adapter on a base."""

    endpoint_name: str = ""
    variant_name: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    """Specification or Specifications, as requested."""
    copies: int = 0
    status: str = CREATING
    failure_reason: str = ""
    move: Move | None = None
    next_settings: dict[str, Any] | None = None
    next_copies: int | None = None
    deployment: dict[str, Any] | None = None
    loaded: Loaded | None = None

    @property
    def base_name(self) -> str:
        """The base component it rides on; empty for a base."""
        return str(self.specification.get("BaseInferenceComponentName", ""))

    @property
    def specification(self) -> dict[str, Any]:
        """The specification, the first one where there is one per instance type."""
        found: dict[str, Any] = self.settings.get("Specification") or self.settings["Specifications"][0]
        return found


@dataclass
class Profile(Resource):
    """An application inference profile of Bedrock: `source` is what it was copied from, `models` where it leads."""

    id: str = ""
    source: str = ""
    models: list[str] = field(default_factory=list)
    token: str = ""
    """The client's token, by which a repeated create is known."""


@dataclass
class PackageGroup(Resource):
    """A model package group; `versions` is the last number given to a package in it."""

    description: str = ""
    versions: int = 0


@dataclass
class Package(Resource):
    """A versioned model package, named group/version. `request` holds what CreateModelPackage said of it."""

    group_name: str = ""
    version: int = 0
    approval: str = ""
    approval_description: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    request: dict[str, Any] = field(default_factory=dict)
    token: str = ""


@dataclass
class Region:
    """All hosting objects of one account in one region, by name."""

    account: str
    name: str
    models: dict[str, Model] = field(default_factory=dict)
    configs: dict[str, EndpointConfig] = field(default_factory=dict)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    components: dict[str, Component] = field(default_factory=dict)
    profiles: dict[str, Profile] = field(default_factory=dict)
    package_groups: dict[str, PackageGroup] = field(default_factory=dict)
    packages: dict[str, Package] = field(default_factory=dict)
    due: list[tuple[float, str]] = field(default_factory=list)
    """A heap of (time, ARN): when to look whether that object has arrived."""

    def arn(self, kind: str, name: str) -> str:
        """The ARN of an object of the kind `model`, `endpoint-config`, `endpoint` or `inference-component`."""
        return f"arn:aws:sagemaker:{self.name}:{self.account}:{kind}/{name}"

    def under_way(self, arn: str) -> Endpoint | Component | None:
        """The endpoint or component of that ARN while it moves; None when it stands still or is gone."""
        name = arn.rpartition("/")[2]
        found = (self.endpoints if ":endpoint/" in arn else self.components).get(name)
        return found if found is not None and found.move is not None else None

    def adapters_on(self, base_name: str) -> list[Component]:
        """The adapters that ride on that base component."""
        return [component for component in self.components.values() if component.base_name == base_name]

    def components_on(self, endpoint_name: str) -> list[Component]:
        """The components that live on that endpoint."""
        return [component for component in self.components.values() if component.endpoint_name == endpoint_name]

    def instances(self) -> Counter[str]:
        """The instances held in the region, by type."""
        held: Counter[str] = Counter()
        for endpoint in self.endpoints.values():
            held.update(endpoint.instances())
        return held


def instance_type(variant: dict[str, Any]) -> str:
    """The instance type of a variant: the first pool's where it has pools; empty when it is serverless."""
    if variant.get("InstancePools"):
        first = min(variant["InstancePools"], key=lambda pool: pool["Priority"])
        return str(first["InstanceType"])
    return str(variant.get("InstanceType", ""))


def instances_of(config: EndpointConfig, fleet: dict[str, tuple[float, int]]) -> Counter[str]:
    """The instances of a fleet that runs this config, by type."""
    held: Counter[str] = Counter()
    for variant in config.request["ProductionVariants"]:
        if "ServerlessConfig" not in variant:
            held[instance_type(variant)] += fleet[variant["VariantName"]][1]
    return +held


def first_fleet(config: EndpointConfig) -> dict[str, tuple[float, int]]:
    """Weight and number of instances with which each variant of the config starts."""
    return {
        variant["VariantName"]: (variant.get("InitialVariantWeight", 1.0), variant.get("InitialInstanceCount", 1))
        for variant in config.request["ProductionVariants"]
    }
