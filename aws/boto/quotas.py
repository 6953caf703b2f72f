"""Service Quotas: how many instances of a type an account may have behind endpoints in a region."""

from typing import Any

from aws.boto.translate import call

SUFFIX = " for endpoint usage"
PAGE_SIZE = 100


class BotoQuotas:
    """`QuotaGateway` over a boto3 `service-quotas` client."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def endpoint_instances(self) -> dict[str, int]:
        """See QuotaGateway.endpoint_instances."""
        found: dict[str, int] = {}
        token: str | None = None
        while True:
            extra = {"NextToken": token} if token else {}
            reply = call(
                self._client.list_service_quotas,
                "ListServiceQuotas",
                "Quotas",
                ServiceCode="sagemaker",
                MaxResults=PAGE_SIZE,
                **extra,
            )
            for quota in reply["Quotas"]:
                name = quota.get("QuotaName", "")
                if name.endswith(SUFFIX):
                    found[name.removesuffix(SUFFIX)] = int(quota["Value"])
            token = reply.get("NextToken")
            if not token:
                return found
