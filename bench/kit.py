"""The data-plane kit: what it adds to a request, beside a bare boto3 call to the same endpoint; network excluded.

Counted are config, choosing the route, the body, reserve and settle (two transactions each request), and emitting; not
the model's call itself. Without limits in wall-clock time; with limits also in CPU time of the request's thread, which
other work on the machine does not make larger.
"""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.config import Config

from bench import counting
from dataplane import Kit
from dataplane.config import tenant_key
from dataplane.limits import Limiter
from dataplane.quick_table import QuickTable
from provisioning.runtime_config import Route, Target, Windows, content, document, sign

REQUESTS, COUNTED, WARM_UP, ROUNDS = 400, 200, 40, 5
BUDGET_SECONDS = 0.002
TENANT = "ten_" + "0" * 25 + "1"
ACCOUNT = "123456789012"
ENDPOINT, COMPONENT = "bench-endpoint", "bench-base"
PROMPT, TOKENS = "w " * 200, 64
MODES = {"minute": "hard", "day": "soft", "month": "hard"}
WINDOWS = tuple(("total_tokens", window, 10**15, mode) for window, mode in MODES.items())


class Timed:
    """A runtime client that remembers how long its call and the reading of its body took, and answers the same."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.inside = 0.0
        self.inside_cpu = 0.0

    def invoke_endpoint(self, **arguments: Any) -> Any:
        """The call, its body read, timed."""
        began, began_cpu = time.perf_counter(), time.thread_time()
        reply = self._client.invoke_endpoint(**arguments)
        body = reply["Body"].read()
        self.inside += time.perf_counter() - began
        self.inside_cpu += time.thread_time() - began_cpu
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

    def get_credentials(self) -> Any:
        """The session's own."""
        return self._session.get_credentials()

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
    measure_limits()


def measure_limits() -> None:
    """The same with three token limits, through our way to the table and through boto3's own."""
    url = counting.serve()
    sends = counting.Sends(url)
    table = boto3.client("dynamodb", endpoint_url=url, config=Config(parameter_validation=False))
    found = {}
    for way, client in {
        "boto3's own client": table,
        "the kit's": QuickTable(table, boto3.session.Session().get_credentials()),
    }.items():
        session: Any = TimedSession()
        kit = Kit(
            TENANT,
            tenant_key(os.environ["CP_CONFIG_SIGNING_KEY"], TENANT),
            os.environ["CP_CONFIG_TABLE"],
            session=session,
            limits_table="limits",
        )
        kit._limiter = Limiter(client, "limits", TENANT)
        found[way] = _counted(kit, session.runtime, sends)
        kit.close()
    print(
        f"\nwith {len(WINDOWS)} token limits, {ROUNDS * COUNTED:,} requests; reserve and settle: one transaction each"
    )
    print(f"{'':<46} {'p50':>9} {'p99':>9}")
    for way, runs in found.items():
        for what, seconds in zip(("CPU", "CPU, HTTP and sockets too", "wall clock"), runs, strict=True):
            _print(f"{way}: {what}", seconds)
    ours, theirs = (_at(found[way][0], 0.5) for way in ("the kit's", "boto3's own client"))
    worst = _at(found["the kit's"][0], 0.99)
    verdict = "within" if worst <= BUDGET_SECONDS else "OVER"
    print(f"{ours / theirs:.2f} of what boto3's own client takes; p99 {verdict} {BUDGET_SECONDS * 1000:.0f} ms of CPU")


def _counted(kit: Kit, runtime: Timed, sends: counting.Sends) -> tuple[list[float], list[float], list[float]]:
    """Seconds per request beside the model's call: CPU without and with sending, and wall clock without."""
    runs: tuple[list[float], list[float], list[float]] = ([], [], [])
    for turn in range(WARM_UP + ROUNDS * COUNTED):
        count, sent, sent_cpu = sends.count, sends.wall, sends.cpu
        inside, inside_cpu = runtime.inside, runtime.inside_cpu
        wall, cpu = time.perf_counter(), time.thread_time()
        kit.complete("base", PROMPT, TOKENS, options={"ignore_eos": True})
        cpu = time.thread_time() - cpu - (runtime.inside_cpu - inside_cpu)
        wall = time.perf_counter() - wall - (runtime.inside - inside)
        if sends.count - count < 2:
            raise SystemExit("A request was not counted.")
        if turn >= WARM_UP:
            for run, seconds in zip(runs, (cpu - (sends.cpu - sent_cpu), cpu, wall - (sends.wall - sent)), strict=True):
                run.append(seconds)
    return runs


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
    said = content(
        tenant=TENANT,
        status="active",
        region=region,
        routes={"base": Route((target,))},
        windows=Windows("UTC", WINDOWS),
    )
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
