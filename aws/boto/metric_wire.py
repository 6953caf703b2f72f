"""GetMetricData without botocore's walk over its service model for every query and every point.

That walk is most of what reading usage costs. Where the protocol is JSON, which it is by default, the queries of a call
are encoded and the answer is decoded at once; signing, retries, errors and every other protocol stay botocore's.
"""

from typing import Any

import msgspec

OPERATION = "cloudwatch.GetMetricData"
QUERIES = "MetricDataQueries"
_KEPT = "queries kept from the serializer"


def shorten(client: Any) -> None:
    """Register the shortcut with a boto3 `cloudwatch` client. Timestamps then come as JSON numbers."""
    events = client.meta.events
    events.register(f"before-parameter-build.{OPERATION}", _keep_queries)
    events.register(f"before-call.{OPERATION}", _add_queries)
    events.register(f"before-parse.{OPERATION}", _decode)


def _keep_queries(params: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
    if model.service_model.resolved_protocol == "json":
        context[_KEPT] = params.pop(QUERIES)


def _add_queries(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    if _KEPT in context:
        params["body"] = msgspec.json.encode(msgspec.json.decode(params["body"]) | {QUERIES: context[_KEPT]})


def _decode(
    operation_model: Any, response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any
) -> None:
    if operation_model.service_model.resolved_protocol != "json" or response_dict["status_code"] != 200:
        return
    try:
        answer = msgspec.json.decode(response_dict["body"], type=dict[str, Any])
    except msgspec.DecodeError:
        return  # cut or garbled: botocore says so in its own way
    customized_response_dict.update(answer)
    response_dict["body"] = b"{}"
