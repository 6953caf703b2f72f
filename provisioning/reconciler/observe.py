"""Looks at AWS for a batch of rows; never changes anything.

Rows of one kind are found by list pages where that is cheaper than one Describe each. A Describe follows only where
the page cannot answer: mutable settings, a failure's reason, or to confirm that something known has vanished.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

from aws import connect, errors
from aws.gateway import HostingKind, Sighting
from core.crashpoints import boundary
from provisioning.models import ManagedResource
from provisioning.reconciler.plan import BROKEN, FAILED, IN_SERVICE
from provisioning.specs import BASE_COMPONENT, ENDPOINT, HOSTING_KINDS, MODEL_PACKAGE, NAME_WORDS, handle, seen_approval
from provisioning.states import Phase

RESOURCE_TAG = "cp:resource"
INSTALL_TAG = "cp:install"
# A page of a hundred costs about as much as four Describes (measured: 3.4 ms and 0.8 ms).
LISTING_PAYS_FROM = 4


@dataclass(frozen=True, slots=True)
class Observation:
    """What AWS showed of one row: an error means that nothing is known; no sighting means that it is not there."""

    sighting: Sighting | None = None
    is_ours: bool = True
    error: errors.AwsError | None = None


def observe(rows: Iterable[ManagedResource], *, install: str, threads: Executor) -> dict[int, Observation]:
    """An Observation for each row, by primary key. AWS's refusals are answers here, not exceptions."""
    groups: dict[tuple[str, str, str], list[ManagedResource]] = defaultdict(list)
    for row in rows:
        groups[(row.region, row.kind, _package_group(row))].append(row)
    silent: dict[str, errors.Unreachable] = {}
    listings = {
        key: _listing(*key, install, silent)
        for key, group in groups.items()
        if key[2] or len(group) >= LISTING_PAYS_FROM
    }
    answers: dict[int, Observation] = {}
    closely: list[ManagedResource] = []
    for key, group in groups.items():
        listing = listings.get(key)
        for row in group:
            if isinstance(listing, errors.AwsError):
                answers[row.pk] = Observation(error=listing)
                continue
            listed = listing.get(row.name) if listing is not None else None
            if listing is not None and not _needs_closer_look(row, listed):
                answers[row.pk] = Observation(sighting=listed)
            else:
                closely.append(row)
    for row, observation in zip(closely, threads.map(partial(_look, install, silent), closely), strict=True):
        answers[row.pk] = observation
    return answers


def _listing(
    region: str, kind: str, package_group: str, install: str, silent: dict[str, errors.Unreachable]
) -> Mapping[str, Sighting] | errors.AwsError:
    if region in silent:
        return silent[region]
    try:
        with boundary(f"list {kind}"):
            text = f"{install}-{NAME_WORDS[kind]}-"
            return connect.hosting(region).list(_hosting(kind), name_contains=text, group=package_group)
    except errors.Missing:
        return {}  # the group is not there, so neither is anything in it
    except errors.AwsError as error:
        return _noted(error, region, silent)


def _noted(error: errors.AwsError, region: str, silent: dict[str, errors.Unreachable]) -> errors.AwsError:
    """The error; a region that did not answer is asked nothing more in this pass, which would hang as often."""
    if isinstance(error, errors.Unreachable):
        silent[region] = error
    return error


def _needs_closer_look(row: ManagedResource, listed: Sighting | None) -> bool:
    if listed is None:
        # Absence of something that was known is confirmed by asking for it by name.
        return bool(row.arn)
    if not row.arn or row.phase == Phase.DELETING or not row.is_wanted:
        return True  # ownership is read before anything is adopted or deleted
    if listed.status in BROKEN or listed.status == FAILED:
        return True
    if row.kind == MODEL_PACKAGE:
        return seen_approval(listed) != str(row.settings["approval"])  # who changed it, and what they said
    return listed.status == IN_SERVICE and row.kind in (ENDPOINT, BASE_COMPONENT)


def _package_group(row: ManagedResource) -> str:
    """A package costs as much to list with its whole group as alone; other kinds are listed all together."""
    return str(row.identity["group_name"]) if row.kind == MODEL_PACKAGE and row.identity else ""


def _look(install: str, silent: dict[str, errors.Unreachable], row: ManagedResource) -> Observation:
    if row.region in silent:
        return Observation(error=silent[row.region])
    try:
        hosting = connect.hosting(row.region)
        with boundary(f"describe {row.kind}"):
            name = handle(row.kind, row.name, arn=row.arn, identity=row.identity)
            sighting = hosting.describe(_hosting(row.kind), name)
        if row.arn and row.is_wanted and row.phase != Phase.DELETING and sighting.status != FAILED:
            return Observation(sighting=sighting)
        with boundary(f"tags {row.kind}"):
            tags = hosting.tags(sighting.arn)
    except errors.Missing:
        return Observation()
    except errors.AwsError as error:
        return Observation(error=_noted(error, row.region, silent))
    is_ours = tags.get(RESOURCE_TAG) == row.public_id and tags.get(INSTALL_TAG) == install
    return Observation(sighting=sighting, is_ours=is_ours)


def _hosting(kind: str) -> HostingKind:
    return HOSTING_KINDS[kind]
