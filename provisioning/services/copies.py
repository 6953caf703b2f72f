"""Copies of adapter archives where endpoints read them: in the account and region of the line.

An endpoint reads only from its own region, and a container in another account only what is in that account; so the
archive goes there, through us, held to its sha256. A row is written once the copy is there. Copies that nothing runs
on any more are erased.
"""

import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from shutil import copyfileobj
from typing import BinaryIO, cast

from django.conf import settings
from django.db import transaction

from aws import connect
from aws.errors import AwsError
from core.crashpoints import boundary
from models_registry.models import AdapterVersion
from provisioning.desired import LineFacts
from provisioning.doors import Doors
from provisioning.models import ArtifactCopy, ManagedResource
from provisioning.specs import ADAPTER_COMPONENT

IN_MEMORY_BYTES, PIECE_BYTES = 8 << 20, 1 << 20
Place = tuple[str, str]


def bucket_of(account: str, region: str) -> str:
    """The bucket for copies in an account and region; bucket names are one space for all of AWS."""
    return f"{settings.INSTALL_NAME}-artifacts-{account}-{region}"


def places_of(lines: Iterable[LineFacts]) -> set[Place]:
    """Where lines need copies: account (empty for our own) and region."""
    return {(line.account, line.region) for line in lines if line.needs_copies and not line.is_awaited}


def urls_of(versions: Collection[int]) -> Mapping[int, Mapping[Place, str]]:
    """The addresses of the copies that are there, by version and place; our own account is the empty text."""
    own = connect.account_id()
    found: dict[int, dict[Place, str]] = {pk: {} for pk in versions}
    for copy in ArtifactCopy.objects.filter(adapter_version_id__in=versions):
        account = "" if copy.account == own else copy.account
        found[copy.adapter_version_id][(account, copy.region)] = copy.url
    return found


def bring_copies(*, versions: Sequence[AdapterVersion], places: Collection[Place]) -> AwsError | None:
    """Copy each version to each place where it is missing; again is fine. The last error, after all were tried."""
    if not versions or not places:
        return None
    there = urls_of([version.pk for version in versions])
    doors = Doors(account for account, _ in places)
    held_up: AwsError | None = None
    for place in sorted(places):
        for version in versions:
            if place in there[version.pk]:
                continue
            try:
                _bring(version, place, doors)
            except AwsError as error:
                held_up = error
                break  # the next one would fail there too, and others wait
    return held_up


def erase_unused(*, tenant_id: int) -> int:
    """Erase the tenant's copies that no component is made from, or is about to be; how many. Raises AwsError."""
    copies = list(ArtifactCopy.objects.filter(tenant_id=tenant_id).select_related("adapter_version"))
    if not copies:
        return 0
    used = set(
        ManagedResource.objects.living()
        .filter(tenant_id=tenant_id, kind=ADAPTER_COMPONENT)
        .values_list("adapter_version_id", "account", "region")
    )
    unused = [copy for copy in copies if (copy.adapter_version_id, copy.account, copy.region) not in used]
    doors = Doors(copy.account for copy in unused)
    for copy in unused:
        store = doors.copies(copy.account, copy.region, bucket_of(copy.account, copy.region))
        with boundary("erase copy"):
            store.delete(copy.adapter_version.artifact_key)
        with boundary("commit copy erased"), transaction.atomic(durable=True):
            ArtifactCopy.objects.filter(pk=copy.pk).delete()
    return len(unused)


def _bring(version: AdapterVersion, place: Place, doors: Doors) -> None:
    account, region = place[0] or connect.account_id(), place[1]
    store = doors.copies(account, region, bucket_of(account, region))
    with boundary("make bucket for copies"):
        store.make_bucket(region)
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as spool:
        with connect.artifacts().open(version.artifact_key) as archive:
            copyfileobj(archive, spool, PIECE_BYTES)
        spool.seek(0)
        with boundary("copy artifact"):
            store.put(version.artifact_key, cast(BinaryIO, spool), sha256=version.sha256)
    with boundary("commit copy"), transaction.atomic(durable=True):
        ArtifactCopy.objects.get_or_create(
            adapter_version=version,
            account=account,
            region=region,
            defaults={"tenant_id": version.tenant_id, "url": store.url(version.artifact_key)},
        )
