"""What a release needs of the accelerators, by the pre-flight's own checks, before anybody decides."""

from typing import Any

from provisioning.queries import lines_of, planner_catalogue
from provisioning.services.preflight_fit import check_instance, check_memory


def memory_of_release(adapter: Any) -> list[str]:
    """A sentence for each hosted line that the adapter's tenant serves on, where its instance type is known.

    Every slot has the profile's largest rank whatever the adapter's own is, so a release changes nothing in memory:
    the sentence says whether the line has the room that its settings promise.
    """
    catalogue, told = planner_catalogue(), []
    for line in lines_of(adapter.tenant_id):
        instance = check_instance(catalogue, line).instance if line.is_hosted else None
        if instance is not None:
            check = check_memory(catalogue, line, instance)
            words = f"{check.detail} {check.shortfall} {check.what_to_do}".strip()
            told.append(f"Memory on {line.name} ({instance.instance_type}): {words}")
    return told
