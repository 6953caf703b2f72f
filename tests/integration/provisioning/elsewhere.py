"""Accounts beside our own, as their owners make them, and tiers that need one."""

from dataclasses import replace
from typing import Any

import boto3
from django.conf import settings

from aws import connect
from core.ids import new_id
from provisioning.models import AwsAccount, ServingLine
from provisioning.policies import control_trust
from provisioning.services.accounts import prove_account, register_dedicated_account, register_tenant_account
from provisioning.services.catalogue import TIERS, route_tier
from tenants.models import Tenant
from tenants.services.tiers import define_tier
from tests.factories import TESTER
from tests.integration.provisioning.world import World

THEIRS, OURS = "222222222222", "333333333333"
HOME = "us-west-2"


def make_tier(key: str, isolation: str, *lines: str) -> None:
    """A tier like Premium, with an isolation of its own; on the line `dedicated` unless others are named."""
    limits = replace(next(limits for name, _, limits, _ in TIERS if name == "premium"), isolation=isolation)
    version = define_tier(key=key, name=key.title(), position=9, limits=limits)
    route_tier(
        tier_version_id=version.pk, lines=[ServingLine.objects.get(name=name) for name in lines or ["dedicated"]]
    )


def make_line(name: str, region: str, like: str = "dedicated", **changes: Any) -> ServingLine:
    """A line like another one in another region, where the weights of its base model lie too."""
    line = ServingLine.objects.select_related("profile__foundation_model").get(name=like)
    base, profile = line.profile.foundation_model, line.profile
    base = _again(base, name=f"{base.name}-{name}", model_data_uri=f"s3://weights-{region}/{base.name}/")
    profile = _again(profile, name=f"{profile.name}-{name}", foundation_model=base)
    return _again(line, name=name, region=region, profile=profile, **changes)


def _again(row: Any, **changes: Any) -> Any:
    row.pk, row.public_id = None, new_id(row.PREFIX)
    for column, value in changes.items():
        setattr(row, column, value)
    row._state.adding = True
    row.save(force_insert=True)
    return row


def let_us_in(world: World, account: AwsAccount) -> None:
    """What the account's owner does with the documents that the account page shows."""
    trust = control_trust(our_account=connect.account_id(), external_id=account.external_id)
    world.aws.put_role(account.account_id, account.role_arn.rpartition("/")[2], trust)


def lock_us_out(world: World, account: AwsAccount) -> None:
    """The owner deletes the role."""
    world.aws.delete_role(account.account_id, account.role_arn.rpartition("/")[2])


def give_account(
    world: World, tenant: Tenant, account_id: str = THEIRS, *, regions: tuple[str, ...] = (HOME,), ours: bool = False
) -> AwsAccount:
    """An account of the tenant's own, or one of ours for it; registered, its role made, and proven."""
    if ours:
        account = register_dedicated_account(account_id=account_id, regions=regions, tenant_id=tenant.pk, actor=TESTER)
    else:
        account = register_tenant_account(tenant_id=tenant.pk, account_id=account_id, regions=regions, actor=TESTER)
    let_us_in(world, account)
    assert all(proof.has_passed for proof in prove_account(aws_account_id=account.pk, actor=TESTER))
    account.refresh_from_db()
    return account


def session_in(account: AwsAccount) -> boto3.Session:
    """Inside the account, by boto3 alone."""
    granted = boto3.client("sts").assume_role(
        RoleArn=account.role_arn, RoleSessionName="test", ExternalId=account.external_id
    )["Credentials"]
    keys = (granted["AccessKeyId"], granted["SecretAccessKey"], granted["SessionToken"])
    return boto3.Session(*keys, region_name=HOME)


def hosted_in(account: AwsAccount, region: str = HOME) -> list[str]:
    """The endpoints of an account and region."""
    found = session_in(account).client("sagemaker", region_name=region).list_endpoints()["Endpoints"]
    return [each["EndpointName"] for each in found if each["EndpointName"].startswith(settings.INSTALL_NAME)]
