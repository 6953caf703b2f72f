"""Where artifacts lie in the bucket: uploads in quarantine, accepted ones under their own sha256."""

from aws.connect import artifacts
from models_registry.models import AdapterVersion
from tenants.models import Tenant


def quarantine_prefix(tenant: Tenant, version: AdapterVersion | None = None) -> str:
    """What the keys of an upload begin with; without a version, those of all the tenant's uploads."""
    return f"quarantine/{tenant.public_id}/" + (f"{version.public_id}/" if version else "")


def quarantine_key(tenant: Tenant, version: AdapterVersion, position: int) -> str:
    """The key of the uploaded file at a position of `version.parts`; never its own name, which nobody has judged."""
    return f"{quarantine_prefix(tenant, version)}{position}"


def artifact_key(tenant: Tenant, sha256: str) -> str:
    """The key of an accepted artifact: named by its content, so nothing is ever overwritten by something else."""
    return f"{artifact_prefix(tenant)}adapters/{sha256}.tar.gz"


def artifact_prefix(tenant: Tenant) -> str:
    """What the keys of all of a tenant's artifacts begin with."""
    return f"tenants/{tenant.public_id}/"


def keys_under(prefix: str) -> list[str]:
    """The keys that the bucket holds under a prefix. Raises aws.errors."""
    return [facts.key for facts in artifacts().list(prefix)]


def clear(prefix: str) -> int:
    """Delete every object under a prefix with all its versions; how many there were. Raises aws.errors."""
    keys = keys_under(prefix)
    for key in keys:
        artifacts().delete(key)
    return len(keys)
