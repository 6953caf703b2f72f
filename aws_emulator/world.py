"""The state of the emulated hosting service, and how its objects move on.

One lock guards all of it: whoever reads or changes objects holds `world.lock`.
"""

import heapq
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aws_emulator.artifacts import ArtifactRefused, ArtifactStore
from aws_emulator.clock import Clock
from aws_emulator.copies import Copies
from aws_emulator.faults import ON_CREATE, ON_UPDATE, FaultBook
from aws_emulator.objects import (
    CREATING,
    DELETING,
    FAILED,
    IN_SERVICE,
    UPDATING,
    Component,
    Endpoint,
    Loaded,
    Model,
    Move,
    Package,
    PackageGroup,
    Profile,
    Region,
)
from aws_emulator.throttling import Throttle

# A local account is not to be in anybody's way until a test says otherwise; real ones often begin with none.
DEFAULT_QUOTA = 1000
DEFAULT_DELAYS: dict[str, dict[str, float]] = {
    "endpoint": {"seconds": 1.0},
    "component": {"seconds": 0.5},
    "update": {"seconds": 0.5},
    "delete": {"seconds": 0.5},
}


@dataclass
class Behaviour:
    """How components whose name contains `name_contains` load from now on."""

    behaviour: str
    name_contains: str = ""


@dataclass
class Controls:
    """What tests set over the control API."""

    delays: dict[str, dict[str, float]] = field(default_factory=lambda: {k: dict(v) for k, v in DEFAULT_DELAYS.items()})
    quotas: dict[str, int] = field(default_factory=dict)
    """Instances by type, in every account and region for which `place_quotas` says nothing."""
    place_quotas: dict[str, dict[str, int]] = field(default_factory=dict)
    """Instances by type, by `account/region`."""
    behaviours: list[Behaviour] = field(default_factory=list)

    def quota(self, account: str, region: str, kind: str) -> int:
        """How many instances of a type the account may have behind endpoints of the region."""
        here = self.place_quotas.get(f"{account}/{region}", {})
        return here.get(kind, self.quotas.get(kind, DEFAULT_QUOTA))


@dataclass(frozen=True)
class Streaming:
    """How answers stream: how fast, cut how, and broken where. None means not at all."""

    chunk_bytes: int | None = None
    """Bytes of each PayloadPart, wherever that cuts a line or a character; None for one part per line."""
    words_per_second: float | None = None
    fail_after_words: int | None = None
    """After that many words the stream fails as `failure` says."""
    failure: str = "StreamBroken"
    cut_after_words: int | None = None
    """After that many words the connection breaks."""


@dataclass(frozen=True)
class Caching:
    """What answers say of a prompt cache: of every prompt the first words were read from it, the next written to it.

    Whole answers and the end of streams tell what was read; Bedrock also counts it and what was written.
    """

    read_words: int = 0
    write_words: int = 0

    def of(self, prompt_words: int) -> tuple[int, int]:
        """How many words of a prompt this long are read, and how many are written."""
        read = min(self.read_words, prompt_words)
        return read, min(self.write_words, prompt_words - read)


class World:
    """All accounts and regions, the clock, the faults and the counts of calls."""

    def __init__(self, clock: Clock, artifacts: ArtifactStore) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.artifacts = artifacts
        self.regions: dict[tuple[str, str], Region] = {}
        self.controls = Controls()
        self.streaming = Streaming()
        """Not kept over restarts: it says how bytes travel, not what there is."""
        self.caching = Caching()
        """Nor is this."""
        self.copies = Copies()
        """Neither kept: how fast copies answer, and who waits for them."""
        self.faults = FaultBook()
        self.throttle = Throttle()
        self.calls: Counter[str] = Counter()
        self.changes = 0
        """Grows with every change, so that the keeper of the state folder sees what it has not written yet."""

    def region(self, account: str, name: str) -> Region:
        """The objects of that account and region, with everything moved on that is due."""
        region = self.regions.setdefault((account, name), Region(account, name))
        self.settle(region)
        return region

    def touch(self) -> None:
        """Say that something changed."""
        self.changes += 1

    def reset(self) -> None:
        """Back to an empty world with default controls."""
        self.regions.clear()
        self.controls = Controls()
        self.streaming = Streaming()
        self.caching = Caching()
        self.copies = Copies()
        self.faults.clear()
        self.throttle.clear()
        self.calls.clear()
        self.touch()

    # Moving on

    def start(self, region: Region, thing: Endpoint | Component, status: str, kind: str, operation: str = "") -> None:
        """Send `thing` on its way to `status`; `kind` names the delay, `operation` is what faults may hit."""
        delay = self.controls.delays[kind]
        move = Move()
        if "looks" in delay:
            move.looks = int(delay["looks"])
        else:
            move.due_at = self.clock.now() + delay.get("seconds", 0.0)
        kinds = {CREATING: ON_CREATE, UPDATING: ON_UPDATE}.get(status, ())
        fault = self.faults.take(kinds, operation, thing.name) if kinds else None
        if fault is not None and fault.fault == "stuck_creating":
            move = Move()
        elif fault is not None:
            move.refusal = fault.reason
        thing.status, thing.move, thing.modified_at = status, move, self.clock.now()
        if move.due_at is not None:
            heapq.heappush(region.due, (move.due_at, thing.arn))
        self.touch()

    def settle_all(self) -> None:
        """Let everything arrive that is due, in all regions."""
        for region in self.regions.values():
            self.settle(region)

    def settle(self, region: Region) -> None:
        """Let everything of the region arrive that is due, in the order in which it fell due."""
        if not region.due:
            return
        now = self.clock.now()
        while region.due and region.due[0][0] <= now:
            due_at, arn = heapq.heappop(region.due)
            thing = region.under_way(arn)
            # An object may have gone, or gone another way, since the entry was made.
            if thing is not None and thing.move is not None and thing.move.due_at == due_at:
                self._arrive(region, thing, due_at)

    def settle_looked_at(self, region: Region, things: list[Any]) -> None:
        """Let those arrive that have been looked at often enough."""
        for thing in things:
            move = getattr(thing, "move", None)
            if move is not None and move.looks == 0:
                self._arrive(region, thing, self.clock.now())

    def look(self, thing: Any) -> None:
        """Count one Describe or List answer that showed `thing` on its way."""
        move = getattr(thing, "move", None)
        if move is not None and move.looks:
            move.looks -= 1
            self.touch()

    def _arrive(self, region: Region, thing: Endpoint | Component, at: float) -> None:
        move, thing.move = thing.move, None
        refusal = move.refusal if move else None
        self.touch()
        if thing.status == DELETING:
            remove(region, thing)
            return
        thing.modified_at = at
        if isinstance(thing, Endpoint):
            self._arrive_endpoint(region, thing, refusal)
        else:
            self._arrive_component(region, thing, refusal)

    def _arrive_endpoint(self, region: Region, endpoint: Endpoint, refusal: str | None) -> None:
        creating = endpoint.status == CREATING
        next_config, endpoint.next_config = endpoint.next_config, None
        fleet, endpoint.next_fleet = endpoint.next_fleet, None
        if refusal is not None:
            endpoint.failure_reason = refusal
            endpoint.status = FAILED if creating else IN_SERVICE
            return
        endpoint.failure_reason, endpoint.status = "", IN_SERVICE
        if next_config is not None:
            endpoint.config = next_config
        if fleet is not None:
            endpoint.fleet = fleet
        if next_config is not None or creating:
            endpoint.loaded = {
                variant["VariantName"]: Loaded(identity_of_model(region.models[variant["ModelName"]]))
                for variant in endpoint.config.request["ProductionVariants"]
                if variant.get("ModelName") in region.models
            }

    def _arrive_component(self, region: Region, component: Component, refusal: str | None) -> None:
        creating = component.status == CREATING
        settings, component.next_settings = component.next_settings, None
        copies, component.next_copies = component.next_copies, None
        before = component.settings
        if settings is not None:
            component.settings = settings
        loaded = component.loaded
        if refusal is None and (creating or settings is not None):
            try:
                loaded = self._load(region, component)
            except ArtifactRefused as error:
                refusal = str(error)
        if refusal is not None:
            component.failure_reason = refusal
            component.settings = before
            component.status = FAILED if creating else IN_SERVICE
            return
        # A success leaves the reason of an earlier failure in place, as AWS does.
        component.status, component.loaded = IN_SERVICE, loaded
        if copies is not None:
            component.copies = copies

    def _load(self, region: Region, component: Component) -> Loaded:
        """What the container holds after loading the component. Raises ArtifactRefused."""
        specification = component.specification
        if not component.base_name:
            return Loaded(identity_of_base(region, specification))
        base = region.components.get(component.base_name)
        if base is None or base.loaded is None:
            raise ArtifactRefused(f"The base inference component {component.base_name} is not in service.")
        behaviour = "normal"
        for rule in self.controls.behaviours:
            if rule.name_contains in component.name:
                behaviour = rule.behaviour
        digest = self.artifacts.digest(region.account, region.name, specification["Container"]["ArtifactUrl"])
        return Loaded(base.loaded.base, digest, behaviour)

    # Behind our back

    def vanish(self, matches: Callable[[str], bool], limit: int) -> list[str]:
        """Remove up to `limit` objects whose name matches, without any life cycle; their ARNs."""
        gone: list[str] = []
        for region in self.regions.values():
            kinds: list[dict[str, Any]] = [
                region.components,
                region.endpoints,
                region.configs,
                region.models,
                region.profiles,
                region.packages,
                region.package_groups,
            ]
            for kind in kinds:
                for thing in [thing for thing in kind.values() if matches(thing.name)]:
                    if len(gone) < limit and thing.name in kind:
                        remove(region, thing)
                        gone.append(thing.arn)
        self.touch()
        return gone


def remove(region: Region, thing: Any) -> None:
    """Take an object out of the region, with all that cannot be without it."""
    match thing:
        case Endpoint():
            region.endpoints.pop(thing.name, None)
            for component in region.components_on(thing.name):
                region.components.pop(component.name, None)
        case Component():
            region.components.pop(thing.name, None)
            for adapter in region.adapters_on(thing.name) if not thing.base_name else []:
                region.components.pop(adapter.name, None)
        case Model():
            region.models.pop(thing.name, None)
        case Profile():
            region.profiles.pop(thing.name, None)
        case PackageGroup():
            region.package_groups.pop(thing.name, None)
        case Package():
            region.packages.pop(thing.name, None)
        case _:
            region.configs.pop(thing.name, None)


def identity_of_model(model: Model) -> str:
    """What the model's answers depend on: its image and the address of its model data."""
    container = model.container()
    source = container.get("ModelDataSource", {}).get("S3DataSource", {}).get("S3Uri", "")
    return (
        f"{container.get('Image') or container.get('ModelPackageName', '')} {container.get('ModelDataUrl') or source}"
    )


def identity_of_base(region: Region, specification: dict[str, Any]) -> str:
    """What a base component's answers depend on. Raises ArtifactRefused when its model is gone."""
    if "ModelName" in specification:
        model = region.models.get(specification["ModelName"])
        if model is None:
            arn = region.arn("model", specification["ModelName"])
            raise ArtifactRefused(f'Could not find model "{arn}".')
        return identity_of_model(model)
    container = specification.get("Container", {})
    return f"{container.get('Image', '')} {container.get('ArtifactUrl', '')}"
