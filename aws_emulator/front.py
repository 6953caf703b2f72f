"""The front door: our SageMaker, Bedrock, runtimes and CloudWatch, the control API, and moto for all the rest."""

import re
from collections.abc import Callable
from typing import Any

from aws_emulator import bedrock, converse, inference, s3_parts, sagemaker, service_quotas, streaming
from aws_emulator.aws_others import OtherServices
from aws_emulator.cloudwatch import CloudWatch
from aws_emulator.control import ControlApi
from aws_emulator.wire import AwsError, Reply, Request, error_reply
from aws_emulator.world import World

CONTROL = "/_emulator/"
CLOUDWATCH_TARGET = "GraniteServiceVersion20100801."
_ACCESS_KEY = re.compile(rb"<AccessKeyId>([^<]+)</AccessKeyId>")
_S3_OPERATIONS = {
    ("PUT", True): "PutObject",
    ("GET", True): "GetObject",
    ("HEAD", True): "HeadObject",
    ("DELETE", True): "DeleteObject",
    ("POST", True): "PostObject",
    ("PUT", False): "CreateBucket",
    ("GET", False): "ListObjectsV2",
    ("HEAD", False): "HeadBucket",
    ("DELETE", False): "DeleteBucket",
    ("POST", False): "DeleteObjects",
}


class Front:
    """Routes requests. `answer` is safe to call from many threads."""

    def __init__(self, world: World, metrics: CloudWatch, others: OtherServices) -> None:
        self._world, self._metrics, self._others = world, metrics, others
        self._control = ControlApi(world, metrics, others)

    def answer(self, request: Request, environ: Callable[[], dict[str, Any]]) -> Reply:
        """The reply to one request; `environ` makes the WSGI environment that moto wants."""
        if request.path.startswith(CONTROL):
            return self._control.answer(request)
        protocol = _protocol(request)
        try:
            self._others.check_session(request.access_key, request.service or "s3")
            if request.path.startswith(inference.PREFIX) and request.service == "sagemaker":
                return self._invoke(request)
            if bedrock.is_ours(request):
                account = self._others.account_of(request.access_key)
                if request.path.startswith(converse.PREFIX):
                    return converse.answer(self._world, self._metrics, account, request)
                return bedrock.answer(self._world, account, request)
            if request.target.startswith("SageMaker."):
                return sagemaker.answer(self._world, self._others.account_of(request.access_key), request)
            if request.target.startswith(CLOUDWATCH_TARGET):
                return self._observe(request)
            if request.target.startswith(service_quotas.TARGET):
                return service_quotas.answer(self._world, self._others.account_of(request.access_key), request)
            if request.service == "monitoring":
                raise AwsError("InvalidAction", "The emulator speaks only JSON 1.0 to CloudWatch, as boto3 does.")
            operation, name = _name_other(request)
            return self._forward(request, environ, operation, name)
        except AwsError as error:
            return error_reply(error, protocol)

    def _invoke(self, request: Request) -> Reply:
        account = self._others.account_of(request.access_key)
        if request.path.endswith(inference.SUFFIX):
            return inference.answer(self._world, account, request)
        if request.path.endswith(streaming.SUFFIX):
            return streaming.answer(self._world, account, request)
        known = "InvokeEndpoint and InvokeEndpointWithResponseStream"
        raise AwsError("UnknownOperationException", f"The emulator knows no operation but {known} here.", 404)

    def _observe(self, request: Request) -> Reply:
        operation = request.target[len(CLOUDWATCH_TARGET) :]
        with self._world.lock:
            self._world.calls[operation] += 1
            lost = sagemaker.refuse_request(self._world, operation, "", of_sagemaker=False)
        reply = self._metrics.answer(self._others.account_of(request.access_key), operation, request)
        reply.lost = lost
        return reply

    def _forward(self, request: Request, environ: Callable[[], dict[str, Any]], operation: str, name: str) -> Reply:
        with self._world.lock:
            self._world.calls[operation] += 1
            lost = sagemaker.refuse_request(self._world, operation, name, of_sagemaker=False)
            if request.method not in ("GET", "HEAD"):
                # A component that fell due before this write to S3 loads what was there before it.
                self._world.settle_all()
        is_s3 = not request.target and request.service not in ("sts", "iam")
        if is_s3:
            s3_parts.check(request, operation, self._others)
        if operation == "AssumeRole":
            reply = self._assume_role(request, environ)
        else:
            reply = self._others.call(environ(), request.body)
        if is_s3:
            s3_parts.remember(request, operation, self._others, reply)
        reply.lost = lost
        return reply

    def _assume_role(self, request: Request, environ: Callable[[], dict[str, Any]]) -> Reply:
        """moto grants it, once the role's trust policy has."""
        form, others = request.form(), self._others
        arn = form.get("RoleArn", "")
        with others.lock:
            others.identities.check_assume_role(others.account_of(request.access_key), arn, form.get("ExternalId"))
            reply = others.call(environ(), request.body)
            granted = _ACCESS_KEY.search(reply.body)
            if granted:
                seconds = int(form.get("DurationSeconds") or 3600)
                others.identities.remember(arn, granted[1].decode(), seconds)
        return reply


def _protocol(request: Request) -> str:
    """In which protocol the request is spoken to, and a refusal is told."""
    if request.service in ("sts", "iam"):
        return "query"
    if request.service == "bedrock" or (request.path.startswith(inference.PREFIX) and request.service == "sagemaker"):
        return "rest"
    return "json" if request.target or request.service == "monitoring" else "s3"


def _name_other(request: Request) -> tuple[str, str]:
    """Operation and aimed-at name of a request that moto answers."""
    if request.target:
        operation = request.target.rpartition(".")[2]
        name = request.json().get("TableName", "") if request.service == "dynamodb" else ""
        return operation, str(name)
    if request.service in ("sts", "iam"):
        form = request.form()
        return form.get("Action", ""), form.get("RoleArn", "")
    bucket, _, key = request.path.lstrip("/").partition("/")
    if not bucket and request.method == "GET":
        return "ListBuckets", ""
    named = s3_parts.operation_of(request, key)
    return named or _S3_OPERATIONS.get((request.method, bool(key)), request.method), f"{bucket}/{key}"
