"""The kit that a tenant's data plane runs: standard library and boto3 only, none of the control plane's code."""

from dataplane.completion import Completion
from dataplane.errors import DataPlaneError
from dataplane.kit import Kit
from dataplane.stream import Stream

__all__ = ["Completion", "DataPlaneError", "Kit", "Stream"]
