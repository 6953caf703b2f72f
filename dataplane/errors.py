"""What can go wrong between a tenant's request and its answer, each with a stable code and a sentence."""

from __future__ import annotations


class DataPlaneError(Exception):
    """A refusal or failure that the caller can show; `code` is stable, `retryable` says whether to try again."""

    code = "data_plane_error"
    retryable = False

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class ConfigUnavailable(DataPlaneError):
    """The runtime config could not be read, and none was read before."""

    code = "config_unavailable"
    retryable = True


class ConfigRefused(DataPlaneError):
    """A runtime config was read that is forged, another tenant's, malformed, or older than the one in use."""

    code = "config_refused"


class TenantUnknown(DataPlaneError):
    """The config store answers and holds nothing for this tenant: never published, or erased."""

    code = "tenant_unknown"


class TenantSuspended(DataPlaneError):
    """The control plane suspended or withdrew the tenant; no request may be served."""

    code = "tenant_suspended"


class UnknownRoute(DataPlaneError):
    """The tenant has no route of that name; the detail lists those it has."""

    code = "unknown_route"


class InvalidRequest(DataPlaneError):
    """The request makes no sense or asks for more than the tenant's limits allow."""

    code = "invalid_request"


class LimitExceeded(DataPlaneError):
    """A hard token limit has no room for the request; there is room again after `retry_after_seconds`.

    `line` names the serving line whose allowance it is; empty for a limit of the tenant's own.
    """

    code = "limit_exceeded"
    retryable = True

    def __init__(self, detail: str, *, retry_after_seconds: int, window: str, meter: str, line: str = "") -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds
        self.window = window
        self.meter = meter
        self.line = line


class LimitsUnavailable(DataPlaneError):
    """The limits table does not answer, and what may be used without it is used up."""

    code = "limits_unavailable"
    retryable = True


class LimitsBusy(LimitsUnavailable):
    """The limits table answers, but so many requests of this tenant count at once that this one had no turn."""

    code = "limits_busy"


class ModelUnavailable(DataPlaneError):
    """The endpoint did not answer for now (starting, no capacity, throttled, unreachable); trying again may help."""

    code = "model_unavailable"
    retryable = True


class BreakerOpen(ModelUnavailable):
    """The line failed too often, or somebody closed it to traffic; it is tried again after `retry_after_seconds`."""

    code = "breaker_open"

    def __init__(self, detail: str, *, retry_after_seconds: float) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class ModelFailed(DataPlaneError):
    """The endpoint or its container refused the request, or answered something that cannot be counted."""

    code = "model_failed"


class TraceError(DataPlaneError):
    """A trace file is unreadable; the detail names the file, the line and what is wrong there."""

    code = "trace_unreadable"
