"""The data-plane kit: what it adds to a request, beside a bare boto3 call to the same endpoint; network excluded."""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import boto3

from dataplane import Kit
from dataplane.config import tenant_key
from provisioning.runtime_config import Route, Target, content, document, sign

REQUESTS, WARM_UP, ROUNDS = 400, 40, 5
BUDGET_SECONDS = 0.002
TENANT = "ten_" + "0" * 25 + "1"
ACCOUNT = "123456789012"
ENDPOINT, COMPONENT = "bench-endpoint", "bench-base"
PROMPT, TOKENS = "w " * 200, 64


class Timed:
    """A runtime client that remembers how long its call and the reading of its body took, and answers the same."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.inside = 0.0

    def invoke_endpoint(self, **arguments: Any) -> Any:
        """The call, its body read, timed."""
        began = time.perf_counter()
        reply = self._client.invoke_endpoint(**arguments)
        body = reply["Body"].read()
        self.inside += time.perf_counter() - began
        return {**reply, "Body": Read(body)}

    def invoke_endpoint_with_response_stream(self, **arguments: Any) -> Any:
        """The call, every event of its body waited for, timed."""
        began = time.perf_counter()
        reply = self._client.invoke_endpoint_with_response_stream(**arguments)
        events = list(reply["Body"])
        self.inside += time.perf_counter() - began
        return {**reply, "Body": Events(events)}


class Read:
    """A body that has arrived."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def read(self) -> bytes:
        """All of it."""
        return self._body


class Events(list[Any]):
    """Events that have arrived."""

    def close(self) -> None:
        """Nothing is open."""


class TimedSession:
    """A boto3 session whose runtime client is timed."""

    def __init__(self) -> None:
        self._session: Any = boto3.session.Session()
        self.runtime = Timed(None)

    def client(self, service: str, **options: Any) -> Any:
        """A client, the timed one for the runtime."""
        if service == "sagemaker-runtime":
            self.runtime = Timed(self._session.client(service, **options))
            return self.runtime
        return self._session.client(service, **options)


def main() -> None:
    """Publish a config, bring a component into service, measure both ways of asking."""
    _serve()
    _publish()
    session: Any = TimedSession()
    kit = Kit(
        TENANT, tenant_key(os.environ["CP_CONFIG_SIGNING_KEY"], TENANT), os.environ["CP_CONFIG_TABLE"], session=session
    )
    bare = Timed(boto3.client("sagemaker-runtime"))
    asked = b'{"prompt": "%s", "max_tokens": %d, "ignore_eos": true}' % (PROMPT.encode(), TOKENS)

    def call() -> None:
        bare.invoke_endpoint(
            EndpointName=ENDPOINT, InferenceComponentName=COMPONENT, ContentType="application/json", Body=asked
        )

    def complete() -> None:
        kit.complete("base", PROMPT, TOKENS, options={"ignore_eos": True})

    def stream() -> None:
        for _ in kit.stream("base", PROMPT, TOKENS, options={"ignore_eos": True}):
            pass

    floor: list[float] = []
    added: dict[str, list[float]] = {"complete": [], "stream": []}
    for _ in range(ROUNDS):  # in turn, because a machine's speed drifts
        floor += _seconds(call, lambda: 0.0)
        added["complete"] += _seconds(complete, lambda: session.runtime.inside)
        added["stream"] += _seconds(stream, lambda: session.runtime.inside)
    kit.close()
    print(f"{ROUNDS * REQUESTS:,} requests each; the floor is a bare invoke_endpoint over loopback, body read")
    print(f"{'':<46} {'p50':>9} {'p99':>9}")
    _print("bare boto3 call", floor)
    for way, seconds in added.items():
        tokens = f", {TOKENS} pieces" if way == "stream" else ""
        _print(f"kit.{way}: added per request{tokens}", seconds)
    share, worst = _at(added["complete"], 0.99) / _at(floor, 0.5), _at(added["complete"], 0.99)
    verdict = "within" if worst <= BUDGET_SECONDS else "OVER"
    print(f"kit.complete p99 is {share:.2f} of the bare call's median; {verdict} {BUDGET_SECONDS * 1000:.0f} ms")


def _seconds(work: Callable[[], None], inside: Callable[[], float]) -> list[float]:
    """Wall-clock seconds of each run, less what `inside` says was spent in boto3 and on the network."""
    for _ in range(WARM_UP):
        work()
    found = []
    for _ in range(REQUESTS):
        before, began = inside(), time.perf_counter()
        work()
        found.append(time.perf_counter() - began - (inside() - before))
    return found


def _at(seconds: list[float], share: float) -> float:
    return sorted(seconds)[min(len(seconds) - 1, int(len(seconds) * share))]


def _print(what: str, seconds: list[float]) -> None:
    print(f"{what:<46} {_at(seconds, 0.5) * 1000:6.3f} ms {_at(seconds, 0.99) * 1000:6.3f} ms")


def _publish() -> None:
    """The tenant's config as the control plane writes it."""
    region = os.environ["AWS_DEFAULT_REGION"]
    target = Target("pooled", "hosted", ACCOUNT, region, endpoint=ENDPOINT, component=COMPONENT)
    said = content(tenant=TENANT, status="active", region=region, routes={"base": Route((target,))})
    signed = sign(
        document(said, version=1, published_at=datetime.now(UTC)), signing_key=os.environ["CP_CONFIG_SIGNING_KEY"]
    )
    columns = {"document": {"S": signed.document.decode()}, "signature": {"S": signed.signature}}
    dynamodb = boto3.client("dynamodb")
    for item in ("v#00000001", "current"):
        key = {"tenant": {"S": TENANT}, "item": {"S": item}, "version": {"N": "1"}}
        dynamodb.put_item(TableName=os.environ["CP_CONFIG_TABLE"], Item=key | columns)


def _serve() -> None:
    """A base component in service."""
    sagemaker: Any = boto3.client("sagemaker")
    role = "arn:aws:iam::123456789012:role/bench"
    container = {"Image": "vllm", "ModelDataUrl": "s3://bench/base.tar.gz"}
    sagemaker.create_model(ModelName="bench-model", ExecutionRoleArn=role, PrimaryContainer=container)
    sagemaker.create_endpoint_config(
        EndpointConfigName="bench-config",
        ExecutionRoleArn=role,
        ProductionVariants=[{"VariantName": "main", "InstanceType": "ml.g5.2xlarge", "InitialInstanceCount": 1}],
    )
    sagemaker.create_endpoint(EndpointName=ENDPOINT, EndpointConfigName="bench-config")
    _wait(lambda: sagemaker.describe_endpoint(EndpointName=ENDPOINT)["EndpointStatus"])
    sagemaker.create_inference_component(
        InferenceComponentName=COMPONENT,
        EndpointName=ENDPOINT,
        VariantName="main",
        Specification={"ModelName": "bench-model", "ComputeResourceRequirements": {"MinMemoryRequiredInMb": 1024}},
        RuntimeConfig={"CopyCount": 1},
    )
    _wait(lambda: sagemaker.describe_inference_component(InferenceComponentName=COMPONENT)["InferenceComponentStatus"])


def _wait(status: Callable[[], str]) -> None:
    deadline = time.monotonic() + 30
    while status() != "InService":
        if time.monotonic() > deadline:
            raise SystemExit("The component did not come into service.")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
