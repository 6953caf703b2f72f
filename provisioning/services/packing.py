"""What sits on which endpoint: base components and adapters, and what they take of its accelerators and their memory.

By the sums of the planner and of the pre-flight, so that what the page shows full is what the pre-flight refuses.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import DomainError
from provisioning import queries
from provisioning.models import ManagedResource
from provisioning.planner.catalogue import Instance
from provisioning.planner.memory import MemoryPlan
from provisioning.services.preflight_fit import instances_needed, memory_of_copy
from provisioning.specs import ADAPTER_COMPONENT, BASE_COMPONENT, ENDPOINT_CONFIG


@dataclass(frozen=True, slots=True)
class PackedBase:
    """A base component: its model, its copies, and the memory of one copy; None where it cannot be worked out."""

    component: ManagedResource
    model_name: str
    copies: int
    accelerators_per_copy: int
    memory: MemoryPlan | None
    adapters: Sequence[ManagedResource]

    @property
    def accelerators(self) -> int:
        """Accelerators of all its copies."""
        return self.copies * self.accelerators_per_copy

    @property
    def used_bytes(self) -> int | None:
        """Memory that weights and adapter slots of all copies take."""
        return self.copies * (self.memory.weight_bytes + self.memory.adapter_bytes) if self.memory else None

    @property
    def sequences(self) -> int | None:
        """Sequences of the full context that all copies answer at once."""
        return self.copies * self.memory.sequences if self.memory else None


@dataclass(frozen=True, slots=True)
class PackedEndpoint:
    """An endpoint with what is on it. `instance` is None for a type that the catalogue does not know."""

    endpoint: ManagedResource
    instance_type: str
    instance_count: int
    max_instance_count: int
    instance: Instance | None
    bases: Sequence[PackedBase]

    @property
    def accelerators_used(self) -> int:
        """Accelerators that the copies take."""
        return sum(base.accelerators for base in self.bases)

    @property
    def accelerators_at_most(self) -> int | None:
        """Accelerators of the endpoint when it has grown as far as it may."""
        return self.instance.accelerators * self.max_instance_count if self.instance else None

    @property
    def instances_needed(self) -> int | None:
        """Instances on which the copies fit, none of them split."""
        if self.instance is None:
            return None
        sizes = [base.accelerators_per_copy for base in self.bases for _ in range(base.copies)]
        return instances_needed(sizes, self.instance.accelerators)

    @property
    def memory_used_bytes(self) -> int:
        """Accelerator memory that weights and adapter slots take, of the bases whose memory is known."""
        return sum(base.used_bytes or 0 for base in self.bases)

    @property
    def memory_at_most_bytes(self) -> int | None:
        """Accelerator memory when the endpoint has grown as far as it may."""
        return self.instance.memory_bytes * self.max_instance_count if self.instance else None


def pack(endpoints: Sequence[ManagedResource]) -> list[PackedEndpoint]:
    """What is on each of these endpoints, in their order; a fixed number of queries. Our names are never used twice."""
    names = [endpoint.name for endpoint in endpoints]
    living = ManagedResource.objects.living().select_related("line__profile__foundation_model", "tenant")
    on_them = living.select_related("adapter_version__adapter").filter(identity__endpoint_name__in=names).order_by("pk")
    config_names = [endpoint.settings.get("config_name") for endpoint in endpoints]
    configs = {row.name: row for row in living.filter(kind=ENDPOINT_CONFIG, name__in=config_names)}
    bases: dict[str, list[ManagedResource]] = defaultdict(list)
    adapters: dict[str, list[ManagedResource]] = defaultdict(list)
    for row in on_them:
        if row.kind == BASE_COMPONENT:
            bases[row.identity["endpoint_name"]].append(row)
        elif row.kind == ADAPTER_COMPONENT:
            adapters[row.identity["base_component_name"]].append(row)
    known = {each.key: each for each in queries.planner_catalogue().instances()}
    of_type = {each.instance_type: each for each in known.values()}
    packed = []
    for endpoint in endpoints:
        config = configs.get(endpoint.settings.get("config_name"))
        size = config.identity if config is not None else {}
        kind = size.get("instance_type", "")
        instance = known.get(f"{endpoint.region}/{kind}") or of_type.get(kind)
        packed.append(
            PackedEndpoint(
                endpoint=endpoint,
                instance_type=kind,
                instance_count=size.get("instance_count", 0),
                max_instance_count=size.get("max_instance_count", 0),
                instance=instance,
                bases=[_base(row, instance, adapters[row.name]) for row in bases[endpoint.name]],
            )
        )
    return packed


def _base(row: ManagedResource, instance: Instance | None, adapters: Sequence[ManagedResource]) -> PackedBase:
    memory = None
    if row.line is not None and instance is not None:
        try:
            memory = memory_of_copy(row.line, instance)
        except DomainError:  # a family that the planner cannot count; the page says that it is not known
            memory = None
    return PackedBase(
        component=row,
        model_name=row.line.model_name if row.line is not None else "",
        copies=row.settings["copies"],
        accelerators_per_copy=row.identity["accelerators"],
        memory=memory,
        adapters=adapters,
    )
