"""AWS accounts beside our own: what has to be created in one, its proof, and what a tenant's data plane may do."""

import json
from typing import Any

from django import forms
from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from dashboard.access import OperatorRequest, requires
from dashboard.confirming import Question, ask_then_do
from dashboard.forms import PlainForm, ReasonForm
from dashboard.paging import page_of
from dashboard.reading import posted
from dashboard.rendering import render_page_or_fragment
from dashboard.views.tenant_pages import frame_of
from provisioning import queries
from provisioning.services import account_setup, accounts
from tenants.queries import get_tenant


class AccountForm(PlainForm):
    """An account and where in it resources may be made."""

    account_id = forms.RegexField(r"^[0-9]{12}$", label="Account id", help_text="12 digits.")
    regions = forms.CharField(max_length=400, help_text="AWS regions, separated by spaces, such as us-west-2.")

    def clean_regions(self) -> list[str]:
        """The names, in the order in which they were typed."""
        return str(self.cleaned_data["regions"]).replace(",", " ").split()


class DedicatedForm(AccountForm):
    """An account of ours; without a tenant it waits for one."""

    tenant = forms.CharField(max_length=100, required=False, help_text="Slug; empty: it waits for a tenant.")


class AssignForm(PlainForm):
    """Which tenant gets it."""

    tenant = forms.CharField(max_length=100, help_text="Slug.")


@requires("operations.view")
@require_safe
def listing(request: OperatorRequest) -> HttpResponse:
    """Every account with its condition, and what to do where something is in the way."""
    page = page_of(request, queries.list_accounts(request.visible_tenants))
    context = {"rows": page.rows, "next_cursor": page.next_cursor}
    return render_page_or_fragment(
        request, "dashboard/operations/accounts.html", "dashboard/operations/_accounts.html", context
    )


@requires("tenants.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def register(request: OperatorRequest) -> HttpResponse:
    """Register an account of ours for one tenant."""
    question = Question(
        heading="Register a dedicated account",
        verb="Register it",
        plan=[
            "It is an AWS account of ours that one tenant has to itself: its quotas and its cost are that tenant's.",
            "Nothing is made there before its roles are created and proven.",
        ],
        back_url=reverse("account-list"),
    )

    def act(typed: dict[str, Any]) -> None:
        tenant = get_tenant(typed["tenant"], tenant_ids=request.visible_tenants) if typed["tenant"] else None
        accounts.register_dedicated_account(
            account_id=typed["account_id"],
            regions=typed["regions"],
            tenant_id=tenant.pk if tenant else None,
            actor=request.actor,
        )

    return ask_then_do(request, question, DedicatedForm(posted(request)), act, message="The account is registered.")


@requires("tenants.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def assign(request: OperatorRequest, ref: str) -> HttpResponse:
    """Give a free account of ours to a tenant."""
    account = queries.get_account(ref, tenant_ids=request.visible_tenants)
    question = Question(
        heading=f"Give account {account} to a tenant",
        verb="Give it",
        plan=["It is the tenant's alone until the registration is closed."],
        back_url=reverse("account-list"),
    )

    def act(typed: dict[str, Any]) -> None:
        tenant = get_tenant(typed["tenant"], tenant_ids=request.visible_tenants)
        accounts.assign_account(aws_account_id=account.pk, tenant_id=tenant.pk, actor=request.actor)

    return ask_then_do(request, question, AssignForm(posted(request)), act, message="The account is given.")


@requires("tenants.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def close(request: OperatorRequest, ref: str) -> HttpResponse:
    """Use an account no more."""
    account = queries.get_account(ref, tenant_ids=request.visible_tenants)
    question = Question(
        heading=f"Close the registration of account {account}",
        verb="Close it",
        plan=[
            "Nothing is deleted in AWS; it is refused while resources of ours are there.",
            "The account can be registered again, with another external id.",
        ],
        back_url=reverse("account-list"),
        is_risk=True,
    )
    return ask_then_do(
        request,
        question,
        ReasonForm(posted(request)),
        lambda typed: accounts.close_account(aws_account_id=account.pk, reason=typed["reason"], actor=request.actor),
        message=f"The registration of account {account} is closed.",
    )


@requires("tenants.view")
@require_safe
def tenant_account(request: OperatorRequest, ref: str) -> HttpResponse:
    """What the tenant's account needs, what was proved, and what its data plane may do."""
    tenant = get_tenant(ref, tenant_ids=request.visible_tenants)
    page = account_setup.page_of(tenant)
    context = frame_of(tenant, "account") | {
        "page": page,
        "documents": [(each, _pretty(each.policy)) for each in page.documents],
        "policy": _pretty(account_setup.tenant_policy_of(tenant)),
    }
    return render_page_or_fragment(
        request, "dashboard/tenants/account.html", "dashboard/tenants/_account.html", context
    )


@requires("tenants.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def tenant_register(request: OperatorRequest, ref: str) -> HttpResponse:
    """Name the tenant's own account."""
    tenant = get_tenant(ref, tenant_ids=request.visible_tenants)
    question = Question(
        heading=f"Register the AWS account of {tenant.name}",
        verb="Register it",
        plan=[
            "An external id is drawn for it, and the roles to create there are shown with it.",
            "Nothing is made in the account before the proof has passed.",
        ],
        back_url=reverse("tenant-account", args=[tenant.slug]),
    )
    return ask_then_do(
        request,
        question,
        AccountForm(posted(request)),
        lambda typed: accounts.register_tenant_account(tenant_id=tenant.pk, **typed, actor=request.actor),
        message="The account is registered. Create its roles, then prove them.",
    )


@requires("tenants.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def tenant_prove(request: OperatorRequest, ref: str) -> HttpResponse:
    """Prove the account's role."""
    tenant = get_tenant(ref, tenant_ids=request.visible_tenants)
    account = account_setup.tenant_account(tenant)
    question = Question(
        heading=f"Prove account {account}",
        verb="Prove it",
        plan=[
            "AssumeRole without the external id and with another one must be refused.",
            f"With ours it must be granted, and GetCallerIdentity must say {account}.",
            "Every answer is kept. Once all are right, the tenant's resources are made there.",
        ],
        back_url=reverse("tenant-account", args=[tenant.slug]),
    )
    return ask_then_do(
        request,
        question,
        PlainForm(posted(request)),
        lambda typed: accounts.prove_account(aws_account_id=account.pk, actor=request.actor),
        message="The proof was made; its answers are below.",
    )


@requires("tenants.view")
@require_safe
def tenant_policy(request: OperatorRequest, ref: str) -> HttpResponse:
    """The data plane's policy as a file."""
    tenant = get_tenant(ref, tenant_ids=request.visible_tenants)
    text = _pretty(account_setup.tenant_policy_of(tenant))
    response = HttpResponse(text, content_type="application/json")
    response["Content-Disposition"] = f'attachment; filename="{tenant.slug}-policy.json"'
    return response


def _pretty(policy: dict[str, Any]) -> str:
    return json.dumps(policy, indent=2)
