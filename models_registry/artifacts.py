"""Where artifacts lie in the bucket: uploads in quarantine, accepted ones under their own sha256."""

from contextlib import closing
from dataclasses import replace
from hashlib import sha256

from aws.connect import artifacts, multipart
from aws.gateway import ArtifactFacts, ArtifactStore
from models_registry.models import AdapterVersion
from tenants.models import Tenant

PIECE_BYTES = 256 * 1024
QUARANTINE = "quarantine/"
"""What the keys of all that nobody has judged yet begin with."""


def quarantine_prefix(tenant: Tenant, version: AdapterVersion | None = None) -> str:
    """What the keys of an upload begin with; without a version, those of all the tenant's uploads."""
    return f"{QUARANTINE}{tenant.public_id}/" + (f"{version.public_id}/" if version else "")


def quarantine_key(tenant: Tenant, version: AdapterVersion, position: int) -> str:
    """The key of the uploaded file at a position of `version.parts`; never its own name, which nobody has judged."""
    return f"{quarantine_prefix(tenant, version)}{position}"


def uploaded_to(key: str) -> str:
    """The public id of the version to whose upload a key in quarantine belongs; empty for a key that is not ours."""
    parts = key.split("/")
    return parts[2] if len(parts) == 4 else ""


def artifact_key(tenant: Tenant, digest: str) -> str:
    """The key of an accepted artifact: named by its content, so nothing is ever overwritten by something else."""
    return f"{artifact_prefix(tenant)}adapters/{digest}.tar.gz"


def artifact_prefix(tenant: Tenant) -> str:
    """What the keys of all of a tenant's artifacts begin with."""
    return f"tenants/{tenant.public_id}/"


def versions_under(prefix: str) -> int:
    """How many versions and delete markers the bucket keeps under a prefix, hidden ones too. Raises aws.errors."""
    return sum(1 for _ in artifacts().versions(prefix))


def found_under(store: ArtifactStore, key: str) -> ArtifactFacts:
    """Size and sha256 of what lies under a key, read where the store does not tell the sha256. Raises aws.errors."""
    facts = store.head(key)
    if facts.sha256:
        return facts
    digest = sha256()
    with closing(store.open(key)) as stream:
        while piece := stream.read(PIECE_BYTES):
            digest.update(piece)
    return replace(facts, sha256=digest.hexdigest())


def clear(prefix: str) -> int:
    """Delete every object under a prefix with all its versions, and what has arrived of others; how many objects.

    What somebody deleted before is erased too: a versioned bucket only hides it. Raises aws.errors.
    """
    store = multipart()
    for upload in store.open_uploads(prefix):
        store.abort(upload.key, upload.upload_id)
    bucket = artifacts()
    versions = [*bucket.versions(prefix)]
    for version in versions:
        bucket.delete_version(version)
    return len({version.key for version in versions})
