"""What has to be set up in an account, and what a tenant's data plane may do: the documents that people are shown."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings

from core.clock import now
from core.errors import Conflict
from provisioning import policies, queries
from provisioning.models import AccountProof, AwsAccount, Scope
from provisioning.services.copies import bucket_of
from tenants.models import Tenant
from tenants.queries import tier_version_of


class AccountMissing(Conflict):
    """There is no account to do it with."""

    code = "account_missing"
    title = "No account is registered"


@dataclass(frozen=True, slots=True)
class Document:
    """One IAM document: `where` it belongs."""

    key: str
    title: str
    where: str
    policy: dict[str, Any]


@dataclass(frozen=True, slots=True)
class AccountPage:
    """What a tenant's tier asks for, the account that it has for it, and the last proof, oldest check first."""

    isolation: str
    account: AwsAccount | None
    documents: list[Document]
    proofs: list[AccountProof]


def page_of(tenant: Tenant) -> AccountPage:
    """The account of a tenant, for the isolation of its tier version of today or for one that it is to change to."""
    isolation = tier_version_of(tenant.pk, now()).isolation
    account = queries.account_of(tenant.pk, isolation) or queries.list_accounts([tenant.pk]).first()
    if account is None:
        return AccountPage(isolation, None, [], [])
    newest = account.proofs.first()
    proofs = list(account.proofs.filter(at=newest.at).order_by("id")) if newest is not None else []
    return AccountPage(isolation, account, documents_of(account), proofs)


def tenant_account(tenant: Tenant) -> AwsAccount:
    """The account that the page shows. Raises AccountMissing before one is registered."""
    account = page_of(tenant).account
    if account is None:
        raise AccountMissing(f"{tenant.name} has no AWS account of its own.", hint="Register one first.")
    return account


def documents_of(account: AwsAccount) -> list[Document]:
    """The roles that the account's owner creates, and what our own bucket needs so that its containers read weights."""
    buckets = [bucket_of(account.account_id, region) for region in account.regions]
    bases = sorted(
        {line.hosting_profile.foundation_model.model_data_uri for line in queries.list_lines() if line.is_hosted}
    )
    control = policies.control_policy(
        account=account.account_id,
        regions=account.regions,
        install=settings.INSTALL_NAME,
        buckets=buckets,
        execution_role_arn=account.execution_role_arn,
    )
    trust = policies.control_trust(
        our_account=str(settings.ENV.aws_expected_account_id), external_id=account.external_id
    )
    role, execution = account.role_arn.rpartition("/")[2], account.execution_role_arn.rpartition("/")[2]
    weights = policies.weights_policy(
        bucket=settings.ENV.artifact_bucket, execution_role_arns=[account.execution_role_arn]
    )
    return [
        Document("control_trust", "Trust policy", f"Role {role} in account {account}", trust),
        Document("control_policy", "Permission policy", f"Role {role} in account {account}", control),
        Document(
            "execution_trust", "Trust policy", f"Role {execution} in account {account}", policies.execution_trust()
        ),
        Document(
            "execution_policy",
            "Permission policy",
            f"Role {execution} in account {account}",
            policies.execution_policy(buckets=buckets, weights=bases),
        ),
        Document("weights_policy", "Bucket policy", f"Our bucket {settings.ENV.artifact_bucket}", weights),
    ]


def tenant_policy_of(tenant: Tenant) -> dict[str, Any]:
    """What the tenant's data plane may do where its lines are now, in a session with the tag `TenantId`."""
    lines = queries.lines_of(tenant.pk)
    usable = [line for line in lines if not queries.line_facts(line).is_awaited]
    account = next((line.account for line in usable if line.account), "") or str(settings.ENV.aws_expected_account_id)
    return policies.tenant_policy(
        account=account,
        regions=sorted({line.region for line in lines}) or [settings.ENV.aws_region],
        install=settings.INSTALL_NAME,
        bucket=settings.ENV.artifact_bucket,
        shared=any(line.endpoint_scope == Scope.SHARED for line in usable),
    )
