"""Service Quotas: how many instances of a type an account may have behind endpoints in a region."""

import hashlib
from typing import Any

from aws_emulator.shapes import service_model
from aws_emulator.wire import AwsError, Reply, Request, json_reply, open_token, seal_token
from aws_emulator.world import World

TARGET = "ServiceQuotasV20190624."


def answer(world: World, account: str, request: Request) -> Reply:
    """ListServiceQuotas and GetServiceQuota for the service code `sagemaker`. Raises AwsError."""
    operation = request.target.removeprefix(TARGET)
    body = request.json()
    if body.get("ServiceCode") != "sagemaker":
        raise AwsError("NoSuchResourceException", "The emulator keeps quotas of the service sagemaker only.")
    with world.lock:
        world.calls[operation] += 1
        quotas = [_quota(world, account, request.region, kind) for kind in _instance_types()]
    if operation == "GetServiceQuota":
        found = next((each for each in quotas if each["QuotaCode"] == body.get("QuotaCode")), None)
        if found is None:
            raise AwsError("NoSuchResourceException", "The request failed because the specified quota does not exist.")
        return json_reply({"Quota": found})
    if operation != "ListServiceQuotas":
        raise AwsError("UnknownOperationException", f"The emulator does not know the operation {operation}.")
    start = _start(body.get("NextToken"))
    size = min(max(int(body.get("MaxResults", 100)), 1), 100)
    page: dict[str, Any] = {"Quotas": quotas[start : start + size]}
    if start + size < len(quotas):
        page["NextToken"] = seal_token(start + size)
    return json_reply(page)


def _quota(world: World, account: str, region: str, kind: str) -> dict[str, Any]:
    name = f"{kind} for endpoint usage"
    code = f"L-{hashlib.sha256(name.encode()).hexdigest()[:8].upper()}"
    return {
        "ServiceCode": "sagemaker",
        "ServiceName": "Amazon SageMaker",
        "QuotaArn": f"arn:aws:servicequotas:{region}:{account}:sagemaker/{code}",
        "QuotaCode": code,
        "QuotaName": name,
        "Value": float(world.controls.quota(account, region, kind)),
        "Unit": "None",
        "Adjustable": True,
        "GlobalQuota": False,
    }


def _instance_types() -> list[str]:
    shape: Any = service_model("sagemaker").shape_for("ProductionVariantInstanceType")
    return sorted(shape.enum)


def _start(token: Any) -> int:
    if token is None:
        return 0
    try:
        return int(open_token(str(token)))
    except (ValueError, TypeError) as error:
        raise AwsError("InvalidPaginationTokenException", "Invalid NextToken.") from error
