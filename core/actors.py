"""Who is asking, as a value that any room may pass on and any event may keep."""

from dataclasses import dataclass
from typing import Literal

ActorKind = Literal["person", "api_key", "system"]


@dataclass(frozen=True, slots=True)
class Actor:
    """A person, an API key or the system itself.

    `ref` is the public id that the audit trail keeps, `name` what people read, `request_id` the request that the
    action came with (empty for background work).
    """

    kind: ActorKind
    ref: str
    name: str
    request_id: str = ""


SYSTEM = Actor("system", "system", "system")
