"""Operators and their one-time login links."""

import json
import threading
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from accounts import services
from accounts.models import ApiKey, LoginLink, User
from accounts.roles import ALL_PERMISSIONS
from core import clock
from events.models import Event
from tests.factories import TESTER, make_tenant


def make_operator(name: str = "ana", role: str = "admin") -> User:
    return services.create_operator(name=name, role=role, actor=TESTER)


@pytest.mark.django_db
def test_a_person_has_the_permissions_of_their_role_and_sees_every_tenant() -> None:
    ben = make_operator("ben", "billing")
    principal = services.principal_of(ben, request_id="req-12345")
    assert "invoices.finalize" in principal.permissions
    assert "tenants.manage" not in principal.permissions
    assert principal.tenant_ids is None
    assert (principal.actor.kind, principal.actor.ref) == ("person", ben.public_id)


@pytest.mark.django_db
def test_a_person_out_of_service_may_do_and_see_nothing() -> None:
    User.objects.filter(pk=make_operator().pk).update(is_active=False)
    principal = services.principal_of(User.objects.get(username="ana"))
    assert (principal.permissions, principal.tenant_ids) == (frozenset(), frozenset())


@pytest.mark.django_db
def test_adding_the_same_operator_again_changes_nothing() -> None:
    assert make_operator() == make_operator()
    assert Event.objects.filter(name="operator.created").count() == 1
    with pytest.raises(services.OperatorExists):
        make_operator(role="viewer")
    assert User.objects.get().role == "admin"


@pytest.mark.django_db
def test_nobody_signs_in_with_an_empty_password() -> None:
    assert not make_operator().has_usable_password()


@pytest.mark.django_db
def test_a_login_link_works_once() -> None:
    ana = make_operator()
    token = services.create_login_link(user_id=ana.pk)
    assert services.redeem_login_link(token) == ana
    with pytest.raises(services.LoginLinkRefused):
        services.redeem_login_link(token)
    assert Event.objects.filter(name="login_link.used").count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize("token", ["", "guess", "\x00", "x" * 10_000])
def test_a_guessed_link_is_refused(token: str) -> None:
    services.create_login_link(user_id=make_operator().pk)
    with pytest.raises(services.LoginLinkRefused):
        services.redeem_login_link(token)


@pytest.mark.django_db
def test_a_login_link_runs_out_and_is_cleared_away() -> None:
    ana = make_operator()
    token = services.create_login_link(user_id=ana.pk)
    LoginLink.objects.update(expires_at=clock.real_now() - timedelta(seconds=1))
    with pytest.raises(services.LoginLinkRefused):
        services.redeem_login_link(token)
    services.create_login_link(user_id=ana.pk)
    assert LoginLink.objects.count() == 1


@pytest.mark.django_db
def test_a_login_link_does_not_let_in_somebody_out_of_service() -> None:
    ana = make_operator()
    token = services.create_login_link(user_id=ana.pk)
    User.objects.update(is_active=False)
    with pytest.raises(services.LoginLinkRefused):
        services.redeem_login_link(token)


@pytest.mark.django_db(transaction=True)
def test_of_two_who_use_a_link_at_once_one_gets_in() -> None:
    token = services.create_login_link(user_id=make_operator().pk)
    start, outcomes = threading.Barrier(4), []

    def redeem() -> None:
        start.wait()
        try:
            services.redeem_login_link(token)
            outcomes.append("in")
        except services.LoginLinkRefused:
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=redeem) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["in", "refused", "refused", "refused"]


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue().strip()


@pytest.mark.django_db
def test_commands_add_an_operator_and_print_a_link() -> None:
    assert "ana (admin)" in run("create_operator", "ana", "--role", "admin")
    path = run("login_link")
    ana = services.redeem_login_link(path.rstrip("/").rpartition("/")[2])
    assert ana.username == "ana"
    with pytest.raises(CommandError, match="no such operator"):
        run("login_link", "nobody")
    with pytest.raises(CommandError, match="exists with the role"):
        run("create_operator", "ana", "--role", "viewer")
    with pytest.raises(CommandError, match="valid username"):
        run("create_operator", "a b", "--role", "viewer")


@pytest.mark.django_db
def test_a_command_issues_a_key() -> None:
    tenant = make_tenant(external_id="CRM-7")
    issued = json.loads(
        run("issue_key", "--name", "crm", "--scope", "usage.view", "adapters.view", "--tenant", "ext:CRM-7", "--json")
    )
    principal = services.authenticate_api_key(plaintext=issued["key"])
    assert principal.tenant_ids == {tenant.pk}
    assert principal.permissions == {"usage.view", "adapters.view"}
    everything = run("issue_key", "--name", "ops", "--scope", "all")
    assert services.authenticate_api_key(plaintext=everything).permissions == ALL_PERMISSIONS


@pytest.mark.django_db
@pytest.mark.parametrize(
    "arguments",
    [
        ["--scope", "nothing.real"],
        ["--scope", "usage.view", "--tenant", "ten_unknown"],
        ["--scope", "audit.view", "--tenant", "ext:CRM-7"],
    ],
)
def test_a_command_refuses_what_makes_no_sense(arguments: list[str]) -> None:
    make_tenant(external_id="CRM-7")
    with pytest.raises(CommandError):
        run("issue_key", "--name", "x", *arguments)
    assert not ApiKey.objects.exists()
