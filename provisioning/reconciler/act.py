"""Performs exactly one change to AWS. Whether it happened is found out by the next look."""

from dataclasses import dataclass
from datetime import datetime

from aws import errors
from aws.gateway import Receipt
from core.clock import real_now
from core.crashpoints import boundary
from provisioning.doors import Doors
from provisioning.models import ManagedResource
from provisioning.reconciler.observe import INSTALL_TAG, RESOURCE_TAG
from provisioning.reconciler.plan import Action
from provisioning.specs import (
    ENDPOINT,
    HOSTING_KINDS,
    MODEL_PACKAGE,
    POOL,
    approval_to_send,
    handle,
    hosted_spec,
)


@dataclass(frozen=True, slots=True)
class Result:
    """What AWS answered: a receipt, or an error. Neither, when the lease was too short to begin or the turn has not
    come: then it comes in `wait_seconds`.
    """

    receipt: Receipt | None = None
    error: errors.AwsError | None = None
    wait_seconds: float = 0


def perform(row: ManagedResource, action: Action, *, install: str, send_until: datetime, doors: Doors) -> Result:
    """Carry out CREATE, UPDATE or DELETE for a row in its account, unless `send_until` (real time) has passed.

    A create that reaches AWS after the lease, when somebody else may have found that nothing is there and closed the
    row, would be a leak; so a worker that was held up sends nothing.
    """
    if real_now() >= send_until:
        return Result()
    try:
        with boundary(f"{action} {row.kind}"):
            return Result(receipt=_send(row, action, install, doors))
    except errors.AwsError as error:
        return Result(error=error)


def tags_of(row: ManagedResource, *, install: str) -> dict[str, str]:
    """The ownership tags that every object of ours carries."""
    return {
        INSTALL_TAG: install,
        RESOURCE_TAG: row.public_id,
        "cp:tenant": row.tenant.public_id if row.tenant else POOL,
        "cp:kind": row.kind,
    }


def _send(row: ManagedResource, action: Action, install: str, doors: Doors) -> Receipt:
    hosting = doors.hosting(row.account, row.region)
    match action:
        case Action.CREATE:
            spec = hosted_spec(row.kind, row.name, row.identity, row.settings)
            return hosting.create(spec, tags=tags_of(row, install=install))
        case Action.UPDATE if row.kind == ENDPOINT:
            return hosting.point_endpoint(row.name, config_name=row.settings["config_name"])
        case Action.UPDATE if row.kind == MODEL_PACKAGE:
            approval, note = approval_to_send(row.settings)
            return hosting.set_approval(_handle(row), approval=approval, note=note)
        case Action.UPDATE:
            return hosting.set_copies(row.name, copies=row.settings["copies"])
        case Action.DELETE:
            return hosting.delete(HOSTING_KINDS[row.kind], _handle(row))
    raise ValueError(f"{action} changes nothing in AWS")


def _handle(row: ManagedResource) -> str:
    return handle(row.kind, row.name, arn=row.arn, identity=row.identity)
