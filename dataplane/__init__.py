"""The kit that a tenant's data plane runs: standard library and boto3 only, none of the control plane's code."""

from dataplane.errors import DataPlaneError
from dataplane.kit import Completion, Kit

__all__ = ["Completion", "DataPlaneError", "Kit"]
