"""The faults a test can order: which call or object they hit, and how often."""

import itertools
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

ON_REQUEST = ("throttle", "server_error", "lose_reply")
ON_CREATE = ("stuck_creating", "no_capacity", "fail")
ON_UPDATE = ("roll_back_update",)
KINDS = (*ON_REQUEST, *ON_CREATE, *ON_UPDATE, "vanish")

REASONS = {
    "no_capacity": (
        "InsufficientInstanceCapacity: Unable to provision requested ML compute capacity due to "
        "InsufficientInstanceCapacity error. Please retry using a different ML instance type or after some time."
    ),
    "fail": "The container did not pass the ping health check. Please check the CloudWatch logs.",
    "roll_back_update": "The update was rolled back: the new containers did not pass the ping health check.",
}


@dataclass
class Fault:
    """One ordered fault: hits the calls of `operation` (any SageMaker call when empty) whose name matches."""

    id: int
    fault: str
    operation: str = ""
    name_contains: str = ""
    times: int = 1
    reason: str = ""


class FaultBook:
    """The ordered faults, oldest first. Each is used up after its `times`."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._ids = itertools.count(1)

    def order(self, fault: str, operation: str, name_contains: str, times: int, reason: str) -> Fault:
        """Put one more fault in the book."""
        ordered = Fault(next(self._ids), fault, operation, name_contains, times, reason)
        self._faults.append(ordered)
        return ordered

    def take(self, kinds: Collection[str], operation: str, name: str, *, of_sagemaker: bool = True) -> Fault | None:
        """The oldest fault of those kinds that hits this call, used up once; None when there is none.

        A fault that names no operation hits SageMaker's control plane only.
        """
        for fault in self._faults:
            if fault.fault not in kinds or fault.name_contains not in name:
                continue
            if fault.operation != operation and (fault.operation or not of_sagemaker):
                continue
            fault.times -= 1
            if fault.times <= 0:
                self._faults.remove(fault)
            return fault
        return None

    def listing(self) -> list[dict[str, Any]]:
        """The faults still to come, with the times left."""
        return [asdict(fault) for fault in self._faults]

    def clear(self) -> None:
        """Forget all faults that have not struck yet."""
        self._faults.clear()
