"""A real emulator process per session, spoken to by real boto3; it needs nothing of the other tests."""

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from aws_emulator.shapes import find_faults, service_model

ROOT = Path(__file__).parents[2]
ROLE = "arn:aws:iam::123456789012:role/serving"
AT_ONCE = {kind: {"seconds": 0} for kind in ("endpoint", "component", "update", "delete")}
TWO_LOOKS = {kind: {"looks": 2} for kind in ("endpoint", "component", "update", "delete")}


class Process:
    """One running emulator."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "aws_emulator", *arguments],
            cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().split()[-1]

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """SIGTERM, as an operator would."""
        self.process.terminate()
        self.process.wait(10)


def _check_answer(parsed: dict[str, Any], model: Any, **_: Any) -> None:
    """Every answer of ours must fit AWS's own description of it."""
    if "Error" not in parsed:
        found = {key: _plain(value) for key, value in parsed.items() if key != "ResponseMetadata"}
        assert not find_faults(service_model("sagemaker").operation_model(model.name).output_shape, found)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


class Aws:
    """boto3 clients against one emulator, its control API, and short ways to make objects."""

    def __init__(self, url: str, retries: int = 1, **credentials: str) -> None:
        self.url = url
        self.session = boto3.Session(
            region_name="us-west-2", aws_access_key_id="local", aws_secret_access_key="local", **credentials
        )
        self.config = Config(retries={"total_max_attempts": retries, "mode": "standard"})

    @cached_property
    def sm(self) -> Any:
        client = self.client("sagemaker")
        client.meta.events.register("after-call.sagemaker", _check_answer)
        return client

    @cached_property
    def runtime(self) -> Any:
        return self.client("sagemaker-runtime")

    @cached_property
    def cloudwatch(self) -> Any:
        return self.client("cloudwatch")

    @cached_property
    def s3(self) -> Any:
        return self.client("s3")

    @cached_property
    def dynamodb(self) -> Any:
        return self.client("dynamodb")

    @cached_property
    def sts(self) -> Any:
        return self.client("sts")

    def client(self, service: str, **options: Any) -> Any:
        return self.session.client(service, endpoint_url=self.url, config=self.config, **options)

    def control(self, name: str, body: Any = None, method: str | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_emulator/{name}", data=data, method=method)
        with urllib.request.urlopen(request) as reply:
            return json.load(reply)

    def control_refusal(self, name: str, body: Any) -> str:
        with pytest.raises(urllib.error.HTTPError) as caught:
            self.control(name, body)
        assert caught.value.code == 400
        return str(json.load(caught.value)["error"])

    def let_in(self, account: str, role: str, external_id: str = "") -> None:
        """A role in another account that trusts ours, with an external id if one is given."""
        trust: dict[str, Any] = {
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
            "Action": "sts:AssumeRole",
        }
        if external_id:
            trust["Condition"] = {"StringEquals": {"sts:ExternalId": external_id}}
        policy = {"Version": "2012-10-17", "Statement": [trust]}
        self.control("roles", {"account": account, "role": role, "trust_policy": policy})

    def now(self) -> float:
        return float(self.control("clock")["now"])

    # Making objects

    def make_model(self, name: str = "model", data: str = "s3://weights/base.tar.gz") -> None:
        self.sm.create_model(
            ModelName=name, PrimaryContainer={"Image": "vllm", "ModelDataUrl": data}, ExecutionRoleArn=ROLE
        )

    def make_config(self, name: str = "config", count: int = 1, kind: str = "ml.g5.2xlarge") -> None:
        variant = {"VariantName": "main", "InstanceType": kind, "InitialInstanceCount": count}
        self.sm.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant], ExecutionRoleArn=ROLE)

    def make_endpoint(self, name: str = "endpoint") -> None:
        """An endpoint in service that takes components; delays must be nil."""
        if not any(row["EndpointConfigName"] == "config" for row in self.sm.list_endpoint_configs()["EndpointConfigs"]):
            self.make_config()
        self.sm.create_endpoint(EndpointName=name, EndpointConfigName="config")

    def make_base(self, name: str = "base", endpoint: str = "endpoint", **changes: Any) -> None:
        needs = {"MinMemoryRequiredInMb": 1024, "NumberOfAcceleratorDevicesRequired": 1}
        request: dict[str, Any] = {
            "InferenceComponentName": name, "EndpointName": endpoint, "VariantName": "main",
            "Specification": {"ModelName": "model", "ComputeResourceRequirements": needs},
            "RuntimeConfig": {"CopyCount": 1},
        }  # fmt: skip
        self.sm.create_inference_component(**{**request, **changes})

    def make_adapter(self, name: str = "adapter", url: str = "s3://artifacts/one.tar.gz", **changes: Any) -> None:
        request = {
            "InferenceComponentName": name, "EndpointName": "endpoint",
            "Specification": {"BaseInferenceComponentName": "base", "Container": {"ArtifactUrl": url}},
        }  # fmt: skip
        self.sm.create_inference_component(**{**request, **changes})

    def make_stage(self) -> None:
        """Two artifacts in S3, a model, an endpoint and a base in service, and no delays from here on."""
        self.control("delays", AT_ONCE)
        self.s3.create_bucket(Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
        self.put_artifact("one.tar.gz", b"one")
        self.put_artifact("two.tar.gz", b"two")
        self.make_model()
        self.make_endpoint()
        self.make_base()

    def put_artifact(self, key: str, weights: bytes) -> None:
        self.s3.put_object(Bucket="artifacts", Key=key, Body=make_archive(weights))

    # Looking

    def endpoint_status(self, name: str = "endpoint") -> str:
        return str(self.sm.describe_endpoint(EndpointName=name)["EndpointStatus"])

    def component_status(self, name: str = "base") -> str:
        return str(self.sm.describe_inference_component(InferenceComponentName=name)["InferenceComponentStatus"])

    def invoke(self, component: str | None = "adapter", prompt: str = "hello there", **body: Any) -> Any:
        named = {"InferenceComponentName": component} if component else {}
        asked = json.dumps({"prompt": prompt, "max_tokens": 12, **body})
        endpoint = body.pop("endpoint", "endpoint")
        answer = self.runtime.invoke_endpoint(
            EndpointName=endpoint, Body=asked, ContentType="application/json", **named
        )
        return json.load(answer["Body"])

    def text(self, component: str | None = "adapter", prompt: str = "hello there") -> str:
        return str(self.invoke(component, prompt)["choices"][0]["text"])


def make_archive(weights: bytes, folder: str = "") -> bytes:
    """An adapter as one .tar.gz, the same bytes for the same weights."""
    buffer = io.BytesIO()
    # gzip writes the time of day into its header unless it is given one.
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name, content in (("adapter_config.json", b"{}"), ("adapter_model.safetensors", weights)):
            entry = tarfile.TarInfo(folder + name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def refusal(call: Callable[..., Any], **arguments: Any) -> tuple[str, str]:
    """Code and message with which the call is refused."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def wait_until(condition: Callable[[], bool], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def emulator() -> Iterator[Process]:
    process = Process()
    yield process
    process.stop()


@pytest.fixture(scope="session")
def clients(emulator: Process) -> Aws:
    """Making boto3 clients takes longer than most tests, so they are made once."""
    return Aws(emulator.url)


@pytest.fixture
def aws(clients: Aws) -> Aws:
    """An empty AWS with the clock at real time."""
    clients.control("reset", {})
    return clients


@pytest.fixture
def stage(aws: Aws) -> Aws:
    """An AWS with an endpoint and a base in service, and two artifacts in S3."""
    aws.make_stage()
    return aws
