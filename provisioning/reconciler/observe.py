"""Looks at AWS for a batch of rows; never changes anything.

Rows of one kind are found by list pages where that is cheaper than one Describe each. A Describe follows only where
the page cannot answer: settings that somebody changed, a failure's reason, or to confirm that something known has
vanished. A page shows many more objects than those asked about: see `recording.put_off_settled`.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from django.db.models import Count

from aws import errors
from aws.gateway import HostingGateway, HostingKind, Sighting
from core.crashpoints import boundary
from provisioning.doors import Doors
from provisioning.models import ManagedResource
from provisioning.reconciler.plan import BROKEN, FAILED, IN_SERVICE
from provisioning.specs import BASE_COMPONENT, ENDPOINT, HOSTING_KINDS, MODEL_PACKAGE, NAME_WORDS, handle, seen_approval
from provisioning.states import Phase

RESOURCE_TAG = "cp:resource"
INSTALL_TAG = "cp:install"
# A page of a hundred costs about as much as four Describes (measured: 3.4 ms and 0.8 ms).
LISTING_PAYS_FROM = 4
ROWS_PER_PAGE = 100
Key = tuple[str, str, str, str]
"""Account, region, kind, and for packages their group: what one listing is about."""
Listing = Mapping[str, Sighting]
CHANGED_IN_PLACE = (ENDPOINT, BASE_COMPONENT)
"""Whose settings a list does not show; but it shows when they were modified last."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What AWS showed of one row: an error means that nothing is known; no sighting means that it is not there."""

    sighting: Sighting | None = None
    is_ours: bool = True
    error: errors.AwsError | None = None
    is_as_settled: bool = False
    """It was not modified since it was seen with the settings that are wished."""

    @property
    def modified_at(self) -> datetime | None:
        """When AWS says that it was modified last."""
        return self.sighting.modified_at if self.sighting else None


@dataclass(frozen=True, slots=True)
class Observed:
    """What one pass saw: an Observation for each row, by primary key, and the lists that were read whole."""

    of_rows: Mapping[int, Observation]
    listings: Mapping[Key, Listing]


class _Looks:
    """Looks of one pass. An account that cannot be entered, or a region of it that does not answer, is asked nothing
    more: every further call would fail or hang as the first did, and others wait for their turn.
    """

    def __init__(self, install: str, doors: Doors) -> None:
        self.install, self._doors = install, doors
        self._silent: dict[tuple[str, str], errors.AwsError] = {}

    def hosting(self, account: str, region: str) -> HostingGateway:
        """The way in. Raises what the last call there ended with, if that was the end of it."""
        silence = self._silent.get((account, region)) or self._silent.get((account, ""))
        if silence is not None:
            raise silence
        return self._doors.hosting(account, region)

    def noted(self, error: errors.AwsError, account: str, region: str) -> errors.AwsError:
        """The error, remembered when it speaks for more than one object."""
        if isinstance(error, errors.AccessLost):
            self._silent[(account, "")] = error
        elif isinstance(error, errors.Unreachable):
            self._silent[(account, region)] = error
        return error


def observe(rows: Iterable[ManagedResource], *, install: str, threads: Executor, doors: Doors) -> Observed:
    """Look at every row. AWS's refusals are answers here, not exceptions."""
    groups: dict[Key, list[ManagedResource]] = defaultdict(list)
    for row in rows:
        groups[(row.account, row.region, row.kind, _package_group(row))].append(row)
    looks = _Looks(install, doors)
    # Places side by side, so that one that hangs delays no other; one listing after the other within a place.
    worth_it = _worth_listing(groups)
    by_place = [[key for key in worth_it if key[:2] == place] for place in sorted({key[:2] for key in worth_it})]
    listings = {key: found for each in threads.map(partial(_listings, looks), by_place) for key, found in each}
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
                answers[row.pk] = Observation(sighting=listed, is_as_settled=_is_as_settled(row, listed))
            else:
                closely.append(row)
    for row, observation in zip(closely, threads.map(partial(_look, looks), closely), strict=True):
        answers[row.pk] = observation
    whole = {key: found for key, found in listings.items() if not isinstance(found, errors.AwsError)}
    return Observed(answers, whole)


def _worth_listing(groups: Mapping[Key, Collection[ManagedResource]]) -> list[Key]:
    """Which groups are looked at by a list of their kind, all pages of it.

    What moves is found by whichever is cheaper. What is settled comes due one here, one there, and one list then does
    for all of the place, so there a few are enough.
    """
    peers = _peers({key[:3] for key in groups if not key[3]})
    worth_it = []
    for key, group in groups.items():
        there = peers.get(key[:3], 0)
        pages = max(1, -(-there // ROWS_PER_PAGE))
        settled = sum(row.is_settled for row in group)
        for_all = settled >= LISTING_PAYS_FROM or (settled > 0 and pages == 1 and there >= LISTING_PAYS_FROM)
        if key[3] or for_all or len(group) >= LISTING_PAYS_FROM * pages:
            worth_it.append(key)
    return worth_it


def _peers(places: Collection[tuple[str, str, str]]) -> dict[tuple[str, str, str], int]:
    """How many rows of a kind live in each account and region."""
    if not places:
        return {}
    accounts, regions, kinds = (set(part) for part in zip(*places, strict=True))
    living = ManagedResource.objects.living().filter(account__in=accounts, region__in=regions, kind__in=kinds)
    counted = living.order_by().values_list("account", "region", "kind").annotate(number=Count("pk"))
    return {(account, region, kind): number for account, region, kind, number in counted}


def _listings(looks: _Looks, keys: Iterable[Key]) -> list[tuple[Key, Mapping[str, Sighting] | errors.AwsError]]:
    return [(key, _listing(looks, *key)) for key in keys]


def _listing(
    looks: _Looks, account: str, region: str, kind: str, package_group: str
) -> Mapping[str, Sighting] | errors.AwsError:
    try:
        hosting = looks.hosting(account, region)
        with boundary(f"list {kind}"):
            text = f"{looks.install}-{NAME_WORDS[kind]}-"
            return hosting.list(_hosting(kind), name_contains=text, group=package_group)
    except errors.Missing:
        return {}  # the group is not there, so neither is anything in it
    except errors.AwsError as error:
        return looks.noted(error, account, region)


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
    if row.kind in CHANGED_IN_PLACE and _is_as_settled(row, listed):
        return False
    return listed.status == IN_SERVICE and row.kind in CHANGED_IN_PLACE


def _is_as_settled(row: ManagedResource, listed: Sighting | None) -> bool:
    is_untouched = listed is not None and row.aws_modified_at is not None and row.aws_modified_at == listed.modified_at
    return is_untouched and row.is_settled


def _package_group(row: ManagedResource) -> str:
    """A package costs as much to list with its whole group as alone; other kinds are listed all together."""
    return str(row.identity["group_name"]) if row.kind == MODEL_PACKAGE and row.identity else ""


def _look(looks: _Looks, row: ManagedResource) -> Observation:
    try:
        hosting = looks.hosting(row.account, row.region)
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
        return Observation(error=looks.noted(error, row.account, row.region))
    is_ours = tags.get(RESOURCE_TAG) == row.public_id and tags.get(INSTALL_TAG) == looks.install
    return Observation(sighting=sighting, is_ours=is_ours)


def _hosting(kind: str) -> HostingKind:
    return HOSTING_KINDS[kind]
