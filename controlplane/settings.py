"""Django's settings, one file, top to bottom. Everything that differs between machines comes from `env.py`."""

from pathlib import Path

from controlplane.env import database_settings, environment

BASE_DIR = Path(__file__).resolve().parent.parent
ENV = environment()

DEBUG = False
SECRET_KEY = ENV.secret_key.get_secret_value()
ALLOWED_HOSTS = ENV.allowed_hosts
ENVIRONMENT = ENV.environment
PUBLIC_URL = ENV.public_url

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    "csp",
    "django.contrib.postgres",
    "rest_framework",
    "drf_spectacular",
    "core",
    "events",
    "tenants",
    "accounts",
    "models_registry",
    "provisioning",
    "metering",
    "billing",
    "dashboard",
    "api",
    "controlplane",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "controlplane.request_id.RequestIdMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "dashboard.errors.DomainErrorMiddleware",
]

ROOT_URLCONF = "controlplane.urls"
WSGI_APPLICATION = "controlplane.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "dashboard.context.frame",
            ],
        },
    },
]

DATABASES = {"default": database_settings(ENV.database_url)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.User"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"

# Cookies travel over HTTPS only, except on somebody's own machine, which serves plain HTTP on loopback.
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not ENV.is_local
SESSION_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "dashboard.errors.csrf_failure"
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 12 * 3600
SECURE_SSL_REDIRECT = not ENV.is_local
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = 0 if ENV.is_local else 31_536_000
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = not ENV.is_local
SECURE_REDIRECT_EXEMPT = [r"^health/"]
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    },
}

LANGUAGE_CODE = "en"
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = BASE_DIR / "var" / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

DATA_UPLOAD_MAX_MEMORY_SIZE = 1 << 20
DATA_UPLOAD_MAX_NUMBER_FIELDS = 200
DATA_UPLOAD_MAX_NUMBER_FILES = 10
FILE_UPLOAD_MAX_MEMORY_SIZE = 1 << 20

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["api.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["api.permissions.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "api.problems.exception_handler",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Control plane",
    "DESCRIPTION": "Tenants, adapters, usage and invoices of a multi-tenant generative AI service on AWS.",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    # Several resources have a field `state`; clients generated from the document get a type for each.
    "ENUM_NAME_OVERRIDES": {
        "TenantStateEnum": "tenants.states.TenantState",
        "VersionStateEnum": "models_registry.states.VersionState",
        "ReleaseStateEnum": "models_registry.states.ReleaseState",
        "VersionApprovalEnum": "models_registry.states.Approval",
        "OperationStateEnum": "provisioning.states.OperationState",
        "PhaseEnum": "provisioning.states.Phase",
        "StepStateEnum": ["waiting", "running", "stuck", "done"],
        "InvoiceStateEnum": "billing.states.InvoiceState",
        "InvoiceKindEnum": "billing.states.InvoiceKind",
        "WebhookStateEnum": "events.webhooks.states.EndpointState",
        "WebhookDeliveryStateEnum": "events.webhooks.states.DeliveryState",
        "ApprovalPolicyEnum": ["none", "required", "four_eyes"],
        "BulkItemStateEnum": ["waiting", "working", "done", "skipped", "failed"],
        "RateCardStateEnum": "billing.states.RateCardState",
        "LineKindEnum": "billing.states.LineKind",
        "CreditEntryKindEnum": "billing.states.CreditEntryKind",
        "DiscountKindEnum": ["percent", "fixed"],
        "ServingKindEnum": ["hosted", "api"],
    },
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "controlplane.logging.JsonFormatter"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["console"], "level": ENV.log_level},
    "loggers": {"botocore": {"level": "INFO"}, "urllib3": {"level": "INFO"}},
}

# --- ours: what the rooms read -----------------------------------------------------------------------------------
BROKER_URL = ENV.broker_url
API_KEY_PEPPER = ENV.api_key_pepper.get_secret_value()
CONFIG_SIGNING_KEY = ENV.config_signing_key.get_secret_value()
WEBHOOK_SIGNING_KEY = ENV.webhook_signing_key.get_secret_value()
# Receivers on somebody's own machine; anywhere else loopback is the inside of our own network.
WEBHOOKS_MAY_GO_TO_LOOPBACK = ENV.is_local
WEBHOOK_RETENTION_DAYS = ENV.webhook_retention_days
USAGE_HOURS_KEPT_MONTHS = ENV.usage_hours_kept_months
INSTALL_NAME = ENV.install_name
ARTIFACT_BUCKET = ENV.artifact_bucket
CONFIG_TABLE = ENV.config_table
EXECUTION_ROLE_ARN = ENV.execution_role_arn
LEASE_SECONDS = ENV.lease_seconds
SWEEP_SECONDS = ENV.sweep_seconds
AWS_TIMEOUT_SECONDS = ENV.aws_timeout_seconds
AWS_ENDPOINT_URL = ENV.aws_endpoint_url
AWS_EXPECTED_ACCOUNT_ID = ENV.aws_expected_account_id
AWS_REGION = ENV.aws_region
