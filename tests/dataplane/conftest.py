"""A base component in service on the local AWS, and a hand that publishes signed configs as the control plane does."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import time
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from dataplane import Kit
from dataplane.config import tenant_key

if TYPE_CHECKING:
    from local_stack.emulator import EmulatorClient

TENANT = "ten_" + "0" * 25 + "1"
VERSION = "adv_" + "0" * 25 + "1"
ADAPTER = "adp_" + "0" * 25 + "1"
NAMESPACE = "ControlPlane/DataPlane"


def target(**changes: Any) -> dict[str, Any]:
    """A target as the contract draws it: the adapter's component on a hosted line."""
    return {
        "line": "pooled", "kind": "hosted", "account": "123456789012", "region": "us-west-2",
        "endpoint": "kit-endpoint", "component": "kit-base", "dialect": "openai_completions",
        "adapter_version": VERSION, "version_number": 3, **changes,
    }  # fmt: skip


def route(*targets: dict[str, Any], adapter: str | None = ADAPTER, **changes: Any) -> dict[str, Any]:
    """A route of these targets, or of one with these changes."""
    return {"adapter": adapter, "targets": list(targets) or [target(**changes)]}


def document(version: int = 1, **changes: Any) -> dict[str, Any]:
    """A config as the contract draws it."""
    return {
        "schema": "runtime-config/2", "tenant": TENANT, "version": version, "published_at": "2026-11-20T12:00:00Z",
        "status": "active", "region": "us-west-2", "metrics_namespace": NAMESPACE, "routes": {"support": route()},
        "ladder": {"breaker": {"failures": 5, "open_seconds": 30}, "queue_seconds": 0},
        "limits": {"max_output_tokens": 4096}, **changes,
    }  # fmt: skip


def signed(found: dict[str, Any], key: bytes) -> tuple[bytes, str]:
    """Canonical bytes and their signature, made here and not by the code under test."""
    text = json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return text, hmac.new(key, text, hashlib.sha256).hexdigest()


@dataclass
class Plane:
    """One tenant's data plane on the local AWS."""

    aws: EmulatorClient
    key: bytes = field(default_factory=lambda: tenant_key(os.environ["CP_CONFIG_SIGNING_KEY"], TENANT))

    def publish(self, found: dict[str, Any], *, signature: str | None = None) -> None:
        """Write the immutable item and make it current."""
        text, right = signed(found, self.key)
        version = found["version"]
        self.put(
            f"v#{version:08d}",
            {
                "document": {"S": text.decode()},
                "sha256": {"S": hashlib.sha256(text).hexdigest()},
                "signature": {"S": right if signature is None else signature},
                "version": {"N": str(version)},
            },
        )
        self.point(version)

    def point(self, version: int) -> None:
        self.put("current", {"version": {"N": str(version)}})

    def put(self, item: str, columns: dict[str, Any]) -> None:
        dynamodb: Any = boto3.client("dynamodb")
        key = {"tenant": {"S": TENANT}, "item": {"S": item}}
        dynamodb.put_item(TableName=os.environ["CP_CONFIG_TABLE"], Item=key | columns)

    def kit(self, **options: Any) -> Kit:
        clock = options.pop("clock", lambda: float(self.aws.get("clock")["now"]))
        options.setdefault("session", _session())
        return Kit(TENANT, self.key, os.environ["CP_CONFIG_TABLE"], clock, **options)

    def total(self, metric: str, start: float, end: float, period: int = 60, statistic: str = "Sum") -> float:
        """CloudWatch's own sum of one metric of the tenant, or another statistic of its periods, summed."""
        query = {
            "Id": "q",
            "MetricStat": {
                "Metric": {
                    "Namespace": NAMESPACE,
                    "MetricName": metric,
                    "Dimensions": [
                        {"Name": "TenantId", "Value": TENANT},
                        {"Name": "AdapterVersion", "Value": VERSION},
                        {"Name": "Line", "Value": "pooled"},
                    ],
                },
                "Period": period,
                "Stat": statistic,
            },
        }
        cloudwatch: Any = boto3.client("cloudwatch")
        pages = cloudwatch.get_paginator("get_metric_data").paginate(
            MetricDataQueries=[query], StartTime=start, EndTime=end
        )
        return sum(value for page in pages for result in page["MetricDataResults"] for value in result["Values"])


@pytest.fixture
def plane(aws: EmulatorClient) -> Plane:
    """Endpoint and base component in service; no config yet."""
    aws.delays(endpoint={"seconds": 0}, component={"seconds": 0})
    sagemaker: Any = boto3.client("sagemaker")
    role = "arn:aws:iam::123456789012:role/test"
    sagemaker.create_model(
        ModelName="kit-model",
        ExecutionRoleArn=role,
        PrimaryContainer={
            "Image": "763104351884.dkr.ecr.us-west-2.amazonaws.com/djl-inference:0.36.0-lmi24.0.0-cu129",
            "ModelDataSource": {
                "S3DataSource": {
                    "S3Uri": f"s3://{os.environ['CP_ARTIFACT_BUCKET']}/base/",
                    "S3DataType": "S3Prefix",
                    "CompressionType": "None",
                }
            },
        },
    )
    sagemaker.create_endpoint_config(
        EndpointConfigName="kit-config",
        ExecutionRoleArn=role,
        ProductionVariants=[
            {"VariantName": "main", "InstanceType": "ml.g5.2xlarge", "InitialInstanceCount": 1},
        ],
    )
    sagemaker.create_endpoint(EndpointName="kit-endpoint", EndpointConfigName="kit-config")
    _wait(lambda: sagemaker.describe_endpoint(EndpointName="kit-endpoint")["EndpointStatus"])
    sagemaker.create_inference_component(
        InferenceComponentName="kit-base",
        EndpointName="kit-endpoint",
        VariantName="main",
        Specification={
            "ModelName": "kit-model",
            "ComputeResourceRequirements": {"NumberOfAcceleratorDevicesRequired": 1, "MinMemoryRequiredInMb": 1024},
        },
        RuntimeConfig={"CopyCount": 1},
    )
    _wait(lambda: sagemaker.describe_inference_component(InferenceComponentName="kit-base")["InferenceComponentStatus"])
    return Plane(aws)


@cache
def _session() -> boto3.session.Session:
    """One for all kits of the tests: a new one reads botocore's descriptions of every service again."""
    return boto3.session.Session()


def _wait(status: Any) -> None:
    for _ in range(100):
        if status() == "InService":
            return
        time.sleep(0.02)
    raise AssertionError("never in service")
