"""Letting people and programs in, and putting them out again."""

import hashlib
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from accounts import keys
from accounts.access import Principal, require, role_permissions
from accounts.models import ApiKey, LoginLink, User
from accounts.roles import ALL_PERMISSIONS, TENANT_KEY_PERMISSIONS, Role
from core import clock
from core.actors import SYSTEM, Actor
from core.errors import Conflict, DomainError, FieldError, Invalid, NotFound
from core.prepared import Prepared
from events.record import record_event
from tenants.models import OffboardingStep, Tenant
from tenants.services.offboarding import complete_offboarding_step
from tenants.states import TenantState

DEFAULT_KEY_LIFE = timedelta(days=90)
LONGEST_KEY_LIFE = timedelta(days=365)
LOGIN_LINK_LIFE = timedelta(minutes=15)
# Writing "last used" on every request would turn reads into writes; a minute is as fresh as people need it.
LAST_USED_GRAIN = timedelta(minutes=1)
LONGEST_NAME = 100
_KEY = Prepared(
    lambda lookup, offered: ApiKey.objects.filter(lookup=lookup, secret_hash=offered)[:1],
    lookup="<key>",
    offered="<hmac>",
)


class Unauthenticated(DomainError):
    """The caller did not prove who they are."""

    code = "api_key_missing"
    status = 401
    title = "Not authenticated"


class ApiKeyUnknown(Unauthenticated):
    """No such key, or the wrong secret: the answer does not tell which."""

    code = "api_key_unknown"
    title = "Unknown API key"


class ApiKeyExpired(Unauthenticated):
    """The key was right, and its time is over."""

    code = "api_key_expired"
    title = "Expired API key"


class ApiKeyRevoked(Unauthenticated):
    """The key was right, and somebody has revoked it."""

    code = "api_key_revoked"
    title = "Revoked API key"


class InvalidApiKeyRequest(Invalid):
    """A key cannot be issued with this name, these scopes or this expiry."""

    code = "invalid_api_key"
    title = "Not a valid API key"


class TenantClosed(Conflict):
    """A tenant that is leaving or has left gets no new keys."""

    code = "tenant_closed"
    title = "The tenant is closed"


class LoginLinkRefused(DomainError):
    """The link was used, has run out, or was never made."""

    code = "login_link_refused"
    status = 403
    title = "This login link does not work"


class OperatorExists(Conflict):
    """The name is taken by somebody with another role."""

    code = "operator_exists"
    title = "There is such an operator"


def issue_api_key(
    *,
    name: str,
    scopes: Collection[str],
    tenant_id: int | None = None,
    expires_at: datetime | None = None,
    actor: Actor,
) -> tuple[ApiKey, str]:
    """Make a key and answer it with its plaintext, which is kept nowhere and cannot be shown again.

    Without `expires_at` the key lives 90 days; 365 is the longest. A key of a tenant sees that tenant alone and
    cannot hold scopes that reach beyond it. Raises InvalidApiKeyRequest, and TenantClosed for a leaving tenant.
    """
    at = clock.now()
    expires_at = expires_at or at + DEFAULT_KEY_LIFE
    _refuse_bad_request(name=name, scopes=scopes, for_tenant=tenant_id is not None, lifetime=expires_at - at)
    plaintext, parts = keys.generate(live=settings.ENVIRONMENT == "production")
    with transaction.atomic(durable=True):
        tenant = _open_tenant(tenant_id) if tenant_id is not None else None
        key = ApiKey.objects.create(
            tenant=tenant,
            name=name.strip(),
            lookup=parts.lookup,
            secret_hash=keys.hash_secret(parts.secret, pepper=settings.API_KEY_PEPPER),
            hint=keys.visible_hint(plaintext),
            scopes=sorted(set(scopes)),
            created_by=actor.ref,
            created_at=at,
            expires_at=expires_at,
        )
        facts = {"name": key.name, "scopes": key.scopes, "expires_at": expires_at.isoformat()}
        record_event("api_key.issued", tenant=tenant, subject=key, actor=actor, after=facts, data=facts)
    return key, plaintext


def revoke_api_key(*, key_id: int, reason: str = "", actor: Actor) -> ApiKey:
    """Put the key out of use, effective with the next request; a revoked key stays as it was revoked."""
    with transaction.atomic(durable=True):
        key = ApiKey.objects.select_for_update(of=("self",), no_key=True).select_related("tenant").get(pk=key_id)
        _revoke(key, reason=reason, actor=actor)
    return key


def revoke_tenant_access(*, tenant_id: int, actor: Actor = SYSTEM) -> int:
    """Revoke every key of a leaving tenant and tick the `access` step of its offboarding; answers how many it revoked.

    Does nothing for a tenant that is not leaving. Safe to repeat.
    """
    with transaction.atomic(durable=True):
        # The lock makes a key that is just being issued either visible here or refused there.
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
        if tenant.state != TenantState.OFFBOARDING:
            return 0
        living = ApiKey.objects.select_for_update(of=("self",), no_key=True).filter(
            tenant=tenant, revoked_at__isnull=True
        )
        revoked = list(living.select_related("tenant").order_by("pk"))
        for key in revoked:
            _revoke(key, reason="The tenant is leaving.", actor=actor)
    complete_offboarding_step(
        tenant_id=tenant_id,
        key=OffboardingStep.Key.ACCESS,
        detail={"keys_revoked": len(revoked)},
        actor=actor,
    )
    return len(revoked)


def revoke_departed_access() -> int:
    """Revoke the keys of every leaving tenant whose `access` step waits; answers how many tenants that were.

    What the prompt reaction missed is done here.
    """
    waiting = OffboardingStep.objects.filter(key=OffboardingStep.Key.ACCESS, done_at=None)
    tenant_ids = list(waiting.order_by("pk").values_list("tenant_id", flat=True))
    for tenant_id in tenant_ids:
        revoke_tenant_access(tenant_id=tenant_id, actor=SYSTEM)
    return len(tenant_ids)


def authenticate_api_key(*, plaintext: str, request_id: str = "") -> Principal:
    """Who holds this key. Notes that it was used, at most once a minute.

    Raises ApiKeyUnknown, and only to somebody with the right secret ApiKeyRevoked or ApiKeyExpired. The database is
    asked on every call, so a revoked key is refused from the next request on.
    """
    parts = keys.parse(plaintext)
    if parts is None:
        raise ApiKeyUnknown("This is not an API key.", hint="Check that the whole key was copied.")
    # The database compares HMACs, which nobody without the pepper can steer, so the time it takes tells nothing about
    # the secret. Fetching by the key's name alone told which names exist: reading the row took 42 µs more (measured).
    offered = keys.hash_secret(parts.secret, pepper=settings.API_KEY_PEPPER)
    key = _KEY.first(lookup=parts.lookup, offered=offered)
    if key is None:
        raise ApiKeyUnknown("There is no such API key.", hint="Check that the key belongs to this installation.")
    at = clock.now()
    if key.revoked_at is not None:
        raise ApiKeyRevoked("This API key was revoked.", hint="Ask an administrator for a new one.")
    if key.expires_at <= at:
        raise ApiKeyExpired(f"This API key expired at {key.expires_at:%Y-%m-%d %H:%M} UTC.", hint="Issue a new one.")
    stale = at - LAST_USED_GRAIN
    if key.last_used_at is None or key.last_used_at <= stale:
        unwritten = Q(last_used_at__isnull=True) | Q(last_used_at__lte=stale)
        ApiKey.objects.filter(unwritten, pk=key.pk).update(last_used_at=at)
    return Principal(
        actor=Actor("api_key", key.public_id, key.name, request_id),
        permissions=frozenset(key.scopes) & ALL_PERMISSIONS,
        tenant_ids=None if key.tenant_id is None else frozenset({key.tenant_id}),
    )


def principal_of(user: User, *, request_id: str = "") -> Principal:
    """A signed-in person with what their role allows; somebody who was put out of service may do and see nothing."""
    actor = Actor("person", user.public_id, user.get_full_name() or user.username, request_id)
    if not user.is_active:
        return Principal(actor=actor, permissions=frozenset(), tenant_ids=frozenset())
    return Principal(actor=actor, permissions=role_permissions(user.role), tenant_ids=None)


def operator_at_console(*, name: str, permission: str) -> Actor:
    """Who acts by a command, once they hold the permission. Raises NotFound, and PermissionMissing."""
    user = User.objects.filter(username=name, is_active=True).first()
    if user is None:
        raise NotFound(f"There is no operator {name}; add one with create_operator.")
    principal = principal_of(user)
    require(principal, permission)
    return principal.actor


def create_operator(*, name: str, role: str, email: str = "", actor: Actor) -> User:
    """Add a person of the operating team, who signs in by login link. The same name and role again changes nothing.

    Raises OperatorExists when the name belongs to somebody with another role, and Invalid for an unknown role.
    """
    if role not in Role.values:
        raise Invalid(f"There is no role {role}.", hint=f"Roles are: {', '.join(Role.values)}.")
    with transaction.atomic(durable=True):
        existing = User.objects.filter(username=name).first()
        if existing is not None:
            if existing.role != role:
                raise OperatorExists(f"{name} exists with the role {existing.role}.", hint="Choose another name.")
            return existing
        user = User(username=User.normalize_username(name), email=email, role=role)
        user.set_unusable_password()
        user.full_clean(exclude=["password"])
        user.save(force_insert=True)
        record_event("operator.created", tenant=None, subject=user, actor=actor, after={"name": name, "role": role})
    return user


def create_login_link(*, user_id: int, actor: Actor = SYSTEM) -> str:
    """A token that signs this person in once within 15 minutes; only its hash is kept."""
    token = secrets.token_urlsafe(32)
    with transaction.atomic(durable=True):
        user = User.objects.get(pk=user_id)
        # What nobody can use any more need not be kept: the audit trail tells that it was.
        LoginLink.objects.filter(user=user, expires_at__lt=clock.real_now()).delete()
        LoginLink.objects.create(
            user=user, token_hash=_token_hash(token), expires_at=clock.real_now() + LOGIN_LINK_LIFE
        )
        record_event("login_link.created", tenant=None, subject=user, actor=actor)
    return token


def redeem_login_link(token: str) -> User:
    """The person whom this link signs in. Raises LoginLinkRefused; of two who use it at once, one is refused."""
    at = clock.real_now()
    with transaction.atomic(durable=True):
        link = LoginLink.objects.select_related("user").filter(token_hash=_token_hash(token)).first()
        # The condition names columns of this table only: with a join Django would write a subquery, which PostgreSQL
        # does not look at again after waiting for the other one's lock, and both would get in.
        unused = Q(token_hash=_token_hash(token), used_at__isnull=True, expires_at__gt=at)
        if link is None or not link.user.is_active or not LoginLink.objects.filter(unused).update(used_at=at):
            raise LoginLinkRefused(
                "This login link was used already or has run out.",
                hint="Make a new one with `manage.py login_link`.",
            )
        user = link.user
        person = Actor("person", user.public_id, user.username)
        record_event("login_link.used", tenant=None, subject=user, actor=person)
    return user


def _refuse_bad_request(*, name: str, scopes: Collection[str], for_tenant: bool, lifetime: timedelta) -> None:
    errors: list[FieldError] = []
    if not name.strip() or len(name) > LONGEST_NAME:
        errors.append(FieldError("/name", "length", f"A key needs a name of 1 to {LONGEST_NAME} characters."))
    if not scopes:
        errors.append(FieldError("/scopes", "required", "A key without scopes could do nothing."))
    for scope in sorted(set(scopes) - ALL_PERMISSIONS):
        errors.append(FieldError("/scopes", "unknown_scope", f"There is no scope {scope}."))
    if for_tenant:
        for scope in sorted((set(scopes) & ALL_PERMISSIONS) - TENANT_KEY_PERMISSIONS):
            errors.append(FieldError("/scopes", "operator_scope", f"A key of a tenant cannot hold {scope}."))
    if not timedelta(0) < lifetime <= LONGEST_KEY_LIFE:
        errors.append(FieldError("/expires_at", "out_of_range", "A key expires within 365 days from now."))
    if errors:
        raise InvalidApiKeyRequest("The key cannot be issued like this.", errors=errors)


def _open_tenant(tenant_id: int) -> Tenant:
    """Needs the transaction: holds the tenant's row so that it cannot begin to leave meanwhile."""
    tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
    if tenant.state in (TenantState.OFFBOARDING, TenantState.OFFBOARDED):
        raise TenantClosed(f"{tenant.name} is {tenant.state}.", hint="A leaving tenant gets no new keys.")
    return tenant


def _revoke(key: ApiKey, *, reason: str, actor: Actor) -> None:
    """Needs the transaction and the key's lock."""
    if key.revoked_at is not None:
        return
    key.revoked_at, key.revoked_reason = clock.now(), reason
    key.save(update_fields=["revoked_at", "revoked_reason"])
    record_event("api_key.revoked", tenant=key.tenant, subject=key, actor=actor, reason=reason, data={"name": key.name})


def _token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
