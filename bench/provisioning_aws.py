"""AWS for `bench.provisioning`: a canned SageMaker, and the local one, prepared."""

import io
import json
import multiprocessing
import os
import tarfile
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import botocore.client

from bench.provisioning_rows import ACCOUNT, ARTIFACT, ARTIFACT_KEY, BASE, ENDPOINT, REGION, arn_of, name_of
from local_stack.emulator import OPENER, EmulatorClient

PAGE = 100
ROLE = f"arn:aws:iam::{ACCOUNT}:role/bench"
AT_ONCE = {"seconds": 0}


class Canned(BaseHTTPRequestHandler):
    """Answers GetCallerIdentity, CreateInferenceComponent, and lists of what was created, all in service at once."""

    protocol_version = "HTTP/1.1"
    names: list[str] = []
    counted: Counter[str] = Counter()

    def do_POST(self) -> None:
        """One call."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
        if not operation:
            names = 'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"'
            said = f"<Arn>arn:aws:iam::{ACCOUNT}:user/bench</Arn><UserId>x</UserId><Account>{ACCOUNT}</Account>"
            answer = f"<GetCallerIdentityResponse {names}><GetCallerIdentityResult>{said}</GetCallerIdentityResult>"
            return self._send("text/xml", (answer + "</GetCallerIdentityResponse>").encode())
        self.counted[operation] += 1
        asked = json.loads(body)
        if operation == "CreateInferenceComponent":
            name = asked["InferenceComponentName"]
            self.names.append(name)
            return self._send_json({"InferenceComponentArn": arn_of(name)})
        first = int(asked.get("NextToken", 0))
        page = [
            {
                "InferenceComponentName": name, "InferenceComponentArn": arn_of(name), "EndpointName": ENDPOINT,
                "EndpointArn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/{ENDPOINT}", "VariantName": "main",
                "InferenceComponentStatus": "InService", "CreationTime": 1780000000.5, "LastModifiedTime": 1780000009.5,
            }
            for name in self.names[first : first + PAGE]
        ]  # fmt: skip
        more = {"NextToken": str(first + PAGE)} if len(self.names) > first + PAGE else {}
        self._send_json({"InferenceComponents": page, **more})

    def do_DELETE(self) -> None:
        """Forget what was created and counted; the answer is the counts."""
        counted = dict(self.counted)
        self.names.clear()
        self.counted.clear()
        self._send_json(counted)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _send_json(self, value: object) -> None:
        self._send("application/x-amz-json-1.1", json.dumps(value).encode())

    def _send(self, kind: str, body: bytes) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)


@contextmanager
def canned_server() -> Iterator[str]:
    """Its address, in a process of its own."""
    near, far = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(far,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{near.recv()}"
    finally:
        process.terminate()
        process.join()


def _serve(ready: Any) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Canned)
    ready.send(server.server_address[1])
    server.serve_forever()


def counts_and_reset(url: str) -> dict[str, int]:
    """What a canned server was asked since the last time; it then forgets everything."""
    with OPENER.open(urllib.request.Request(url, method="DELETE")) as answer:
        counted: dict[str, int] = json.loads(answer.read())
    return counted


class Clients:
    """How many boto3 clients this process has made since it was told to count."""

    def __init__(self) -> None:
        self.made = 0
        create: Any = botocore.client.ClientCreator.create_client

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.made += 1
            return create(*args, **kwargs)

        botocore.client.ClientCreator.create_client = counted  # type: ignore[method-assign]


def bare_calls(client: Any, *, creates: int, lists: int, threads: ThreadPoolExecutor) -> None:
    """The same calls as the loop's, by boto3 alone, in as many threads."""
    tags = [{"Key": key, "Value": "x" * 26} for key in ("cp:install", "cp:kind", "cp:resource", "cp:tenant")]

    def create(number: int) -> None:
        client.create_inference_component(
            InferenceComponentName=name_of(number),
            EndpointName=ENDPOINT,
            Specification={"BaseInferenceComponentName": BASE, "Container": {"ArtifactUrl": ARTIFACT}},
            Tags=tags,
        )

    for _ in threads.map(create, range(1, creates + 1)):
        pass
    paginator = client.get_paginator("list_inference_components")
    pages = iter(())
    for _ in range(lists):
        page = next(pages, None)
        if page is None:
            pages = iter(paginator.paginate(PaginationConfig={"PageSize": PAGE}, NameContains="local-adapter-"))
            next(pages)


def furnish(aws: EmulatorClient, *, adapters: int) -> None:
    """In the local AWS: an endpoint in service, a base on it, and so many adapter components; all at once."""
    aws.delays(endpoint=AT_ONCE, component=AT_ONCE, update=AT_ONCE, delete=AT_ONCE)
    sagemaker: Any = boto3.client("sagemaker")
    container = {"Image": "vllm", "ModelDataUrl": "s3://bench/base.tar.gz"}
    sagemaker.create_model(ModelName="bench", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    variant = {"VariantName": "main", "InstanceType": "ml.g5.2xlarge", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName="bench", ExecutionRoleArn=ROLE, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=ENDPOINT, EndpointConfigName="bench")
    sagemaker.create_inference_component(
        InferenceComponentName=BASE, EndpointName=ENDPOINT, VariantName="main", RuntimeConfig={"CopyCount": 1},
        Specification={"ModelName": "bench", "ComputeResourceRequirements": {"MinMemoryRequiredInMb": 1024}},
    )  # fmt: skip
    boto3.client("s3").put_object(Bucket=os.environ["CP_ARTIFACT_BUCKET"], Key=ARTIFACT_KEY, Body=_archive())
    with ThreadPoolExecutor(4) as threads:
        bare_calls(sagemaker, creates=adapters, lists=0, threads=threads)


def _archive() -> bytes:
    """The smallest file that the local AWS loads as an adapter."""
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as archive:
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            archive.addfile(tarfile.TarInfo(name))
    return body.getvalue()
