"""AWS accounts beside our own: registering one, proving its role, giving one of ours to a tenant, closing it.

The external id is drawn here, once per registration, and nobody can choose it: it is what keeps a tenant from naming
somebody else's role (the confused deputy).
"""

import re
import uuid
from collections.abc import Sequence

from django.conf import settings
from django.db import IntegrityError, transaction

from aws import connect, errors
from aws.roles import Entry
from core.actors import Actor
from core.clock import now
from core.crashpoints import boundary
from core.errors import Conflict, FieldError, Invalid
from events.record import record_event
from provisioning import queries
from provisioning.desired import AWAITED
from provisioning.models import AccountKind, AccountProof, ArtifactCopy, AwsAccount, ManagedResource
from tenants.models import Tenant
from tenants.services.onboarding import MAX_REGIONS, REGION
from tenants.states import TenantState

Check = AccountProof.Check
ACCOUNT_ID = re.compile(r"[0-9]{12}")
CONTROL_ROLE, EXECUTION_ROLE = "controlplane-{install}", "controlplane-{install}-execution"


class AccountInvalid(Invalid):
    """What was said about the account cannot be used."""

    code = "account_invalid"
    title = "The account cannot be used"


class AccountTaken(Conflict):
    """The account is registered already, for this tenant or another one; or the tenant has one."""

    code = "account_taken"
    title = "Account taken"


class AccountInUse(Conflict):
    """Resources are there, so it cannot be closed or changed."""

    code = "account_in_use"
    title = "The account is in use"


def register_tenant_account(*, tenant_id: int, account_id: str, regions: Sequence[str], actor: Actor) -> AwsAccount:
    """Name the tenant's own account (split plane). Nothing is made there before `prove_account` has passed.

    Raises AccountInvalid, with every field that is wrong, and AccountTaken.
    """
    return _register(AccountKind.SPLIT, tenant_id, account_id, regions, actor)


def register_dedicated_account(
    *, account_id: str, regions: Sequence[str], tenant_id: int | None, actor: Actor
) -> AwsAccount:
    """Register an account of ours for one tenant, or for one to come. Raises AccountInvalid and AccountTaken."""
    return _register(AccountKind.DEDICATED, tenant_id, account_id, regions, actor)


def assign_account(*, aws_account_id: int, tenant_id: int, actor: Actor) -> AwsAccount:
    """Give a free account of ours to a tenant; again is fine. Raises AccountTaken when it is another tenant's."""
    try:
        with transaction.atomic(durable=True):
            account = _locked(aws_account_id)
            tenant = Tenant.objects.get(pk=tenant_id)
            if account.tenant_id == tenant_id:
                return account
            if account.tenant_id is not None or account.closed_at is not None:
                raise AccountTaken(f"Account {account} is not free.", hint="Choose a free account, or register one.")
            account.tenant = tenant
            account.save(update_fields=["tenant"])
            _tell("account.assigned", account, actor)
    except IntegrityError as error:
        raise AccountTaken("The tenant has an account of ours already.", hint="Close that one first.") from error
    return account


def prove_account(*, aws_account_id: int, actor: Actor) -> list[AccountProof]:
    """Try the role: without the external id and with another one it must refuse, with ours it must lead into the
    account that was named. Every answer is kept; only when all are right resources may be made there.

    Raises AwsError, and keeps nothing, when AWS does not answer. Again is fine, and takes nothing away from an account
    that is in use: whether its role is lost is told by the condition `access_lost`.
    """
    account = AwsAccount.objects.registered().get(pk=aws_account_id)
    at = now()
    found = [_refused(account, Check.WITHOUT, None), _refused(account, Check.WRONG, str(uuid.uuid4()))]
    found += _granted(account)
    for proof in found:
        proof.at, proof.by = at, actor.name
    has_passed = all(proof.has_passed for proof in found)
    with boundary("commit proof"), transaction.atomic(durable=True):
        account = _locked(aws_account_id)
        AccountProof.objects.bulk_create(found)
        if has_passed:
            account.proven_at, account.access_lost_at, account.access_detail = account.proven_at or at, None, ""
        elif not _is_used(account):
            account.proven_at = None
        account.save(update_fields=["proven_at", "access_lost_at", "access_detail"])
        _tell("account.proven" if has_passed else "account.proof_failed", account, actor)
    return found


def close_account(*, aws_account_id: int, reason: str, actor: Actor) -> AwsAccount:
    """Use the account no more, which frees tenant and account for another registration; again is fine.

    Raises AccountInUse while resources are there.
    """
    with transaction.atomic(durable=True):
        account = _locked(aws_account_id)
        if account.closed_at is None:
            if _is_used(account):
                hint = "Move the tenant to another tier, or let it leave, first."
                raise AccountInUse(f"Resources are in account {account}.", hint=hint)
            account.closed_at = now()
            account.save(update_fields=["closed_at"])
            _tell("account.closed", account, actor, reason=reason)
    return account


def obstacle(tenant: Tenant) -> str:
    """What a tenant with an account to itself waits for, in a sentence with what to do; empty when for nothing."""
    if tenant.state == TenantState.OFFBOARDED:
        return ""
    lines = queries.lines_of(tenant.pk)
    if any(line.account == AWAITED for line in lines):
        return "It waits for its AWS account: register it on the tenant's account page, and prove its roles."
    lost = AwsAccount.objects.registered().filter(tenant=tenant, access_lost_at__isnull=False).order_by("pk").first()
    return f"Access to account {lost} is lost: {lost.access_detail}. {lost.what_to_do}" if lost else ""


def _register(
    kind: AccountKind, tenant_id: int | None, account_id: str, regions: Sequence[str], actor: Actor
) -> AwsAccount:
    _refuse_invalid(account_id, regions)
    names = {"install": settings.INSTALL_NAME}
    role, execution = CONTROL_ROLE.format(**names), EXECUTION_ROLE.format(**names)
    try:
        with transaction.atomic(durable=True):
            account = AwsAccount.objects.create(
                kind=kind,
                tenant_id=tenant_id,
                account_id=account_id,
                regions=sorted(set(regions)),
                role_arn=f"arn:aws:iam::{account_id}:role/{role}",
                external_id=str(uuid.uuid4()),
                execution_role_arn=f"arn:aws:iam::{account_id}:role/{execution}",
            )
            _tell("account.registered", account, actor)
    except IntegrityError as error:
        raise _taken(error, account_id) from error
    return account


def _taken(error: IntegrityError, account_id: str) -> Exception:
    """The refusal that a uniqueness violation stands for; it does not tell whose the account is."""
    if "aws_account_once" in str(error):
        detail = f"Account {account_id} is registered already."
        hint = "Every tenant needs an account of its own; close the other registration first."
        return AccountTaken(detail, hint=hint, errors=[FieldError("/account_id", "account_taken", detail)])
    if "aws_account_one_of_a_kind" in str(error):
        return AccountTaken("The tenant has such an account already.", hint="Close that one first.")
    return error


def _refuse_invalid(account_id: str, regions: Sequence[str]) -> None:
    wrong = []
    if not ACCOUNT_ID.fullmatch(account_id):
        wrong.append(FieldError("/account_id", "invalid", "An account id is 12 digits."))
    elif account_id == settings.ENV.aws_expected_account_id:
        wrong.append(FieldError("/account_id", "own_account", "This is the control plane's own account."))
    if not regions or len(regions) > MAX_REGIONS or not all(REGION.fullmatch(str(name)) for name in regions):
        detail = f"Regions are 1 to {MAX_REGIONS} AWS regions such as eu-central-1."
        wrong.append(FieldError("/regions", "invalid", detail))
    if wrong:
        raise AccountInvalid(" ".join(each.detail for each in wrong), errors=wrong)


def _refused(account: AwsAccount, check: Check, external_id: str | None) -> AccountProof:
    """An attempt that has to be refused."""
    try:
        entry = _enter(account, external_id)
    except errors.AccessLost as error:
        return _proof(account, check, True, f"Refused, as it must be: {error.message or error.code}", error.request_id)
    detail = f"It was granted, and led to {entry.arn}. Anybody who knows the role's name could use it through us."
    return _proof(account, check, False, f"{detail} Add the external id to its trust policy.", entry.request_id)


def _granted(account: AwsAccount) -> list[AccountProof]:
    """The attempt that has to lead into the account."""
    try:
        entry = _enter(account, account.external_id)
    except errors.AccessLost as error:
        told = f"Refused: {error.message or error.code}. Create the role with the trust policy that is shown."
        nowhere = "Not tried, because the role was refused."
        return [
            _proof(account, Check.RIGHT, False, told, error.request_id),
            _proof(account, Check.LANDED, False, nowhere, ""),
        ]
    landed = entry.account == account.account_id
    return [
        _proof(account, Check.RIGHT, True, f"Granted as {entry.arn}.", entry.request_id),
        _proof(account, Check.LANDED, landed, f"GetCallerIdentity says account {entry.account}.", entry.request_id),
    ]


def _enter(account: AwsAccount, external_id: str | None) -> Entry:
    with boundary("prove role"):
        return connect.enter(account.role_arn, external_id)


def _proof(account: AwsAccount, check: Check, has_passed: bool, detail: str, request_id: str) -> AccountProof:
    return AccountProof(
        account=account, check_key=check, has_passed=has_passed, detail=detail, request_id=request_id or ""
    )


def _locked(aws_account_id: int) -> AwsAccount:
    rows = AwsAccount.objects.select_for_update(of=("self",), no_key=True).select_related("tenant")
    return rows.get(pk=aws_account_id)


def _is_used(account: AwsAccount) -> bool:
    """Whether something of ours is there: objects, or copies of artifacts that only the open role can erase."""
    there = {"account": account.account_id}
    return ManagedResource.objects.living().filter(**there).exists() or ArtifactCopy.objects.filter(**there).exists()


def _tell(name: str, account: AwsAccount, actor: Actor, reason: str = "") -> None:
    facts = {
        "account": account.account_id,
        "kind": account.kind,
        "regions": account.regions,
        "condition": account.condition,
    }
    record_event(name, tenant=account.tenant, subject=account, actor=actor, reason=reason, after=facts)
