"""The runtime config table over a boto3 `dynamodb` client.

One partition per tenant: immutable items `v#00000007` and the item `current`, which names one of them.
Reads ask for the consumed capacity, which only a complete answer carries: without it an answer that was cut would
look like "no such item".
"""

from typing import Any

from aws import errors
from aws.boto.partitions import count_partition, erase_partition
from aws.boto.translate import call, request_id
from aws.gateway import Receipt, StoredConfig

CURRENT = "current"
_WHOLE = {"ReturnConsumedCapacity": "TOTAL"}


class BotoConfigStore:
    """`ConfigStore` for one table."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def put_version(self, tenant: str, version: int, document: bytes, sha256: str, signature: str) -> Receipt:
        """See ConfigStore.put_version."""
        item = {
            **_key(tenant, _version_item(version)),
            "version": {"N": str(version)},
            "document": {"S": document.decode()},
            "sha256": {"S": sha256},
            "signature": {"S": signature},
        }
        try:
            reply = call(
                self._client.put_item,
                "PutItem",
                TableName=self._table,
                Item=item,
                ConditionExpression="attribute_not_exists(tenant)",
            )
        except errors.PreconditionFailed as refused:
            stored = self._item(tenant, _version_item(version))
            if stored is not None and stored == item:
                return Receipt(request_id=refused.request_id)
            raise errors.AlreadyExists(
                code="OtherDocument",
                message=f"version {version} of {tenant} is stored with another document",
                operation="PutItem",
                request_id=refused.request_id,
            ) from refused
        return Receipt(request_id=request_id(reply))

    def flip_current(self, tenant: str, version: int) -> bool:
        """See ConfigStore.flip_current."""
        try:
            call(
                self._client.put_item,
                "PutItem",
                TableName=self._table,
                Item={**_key(tenant, CURRENT), "version": {"N": str(version)}},
                ConditionExpression="attribute_not_exists(version) OR version < :v",
                ExpressionAttributeValues={":v": {"N": str(version)}},
            )
        except errors.PreconditionFailed:
            current = self._item(tenant, CURRENT)
            return current is not None and int(current["version"]["N"]) == version
        return True

    def read_current(self, tenant: str) -> StoredConfig | None:
        """See ConfigStore.read_current."""
        current = self._item(tenant, CURRENT)
        if current is None:
            return None
        version = int(current["version"]["N"])
        item = self._item(tenant, _version_item(version))
        if item is None:
            raise errors.Missing(
                code="NoSuchVersion", message=f"current names version {version}, which is absent", operation="GetItem"
            )
        return StoredConfig(
            tenant=tenant,
            version=version,
            document=item["document"]["S"].encode(),
            sha256=item["sha256"]["S"],
            signature=item["signature"]["S"],
        )

    def count(self, tenant: str) -> int:
        """See ConfigStore.count."""
        return count_partition(self._client, self._table, tenant)

    def erase(self, tenant: str) -> int:
        """See ConfigStore.erase."""
        return erase_partition(self._client, self._table, tenant)

    def _item(self, tenant: str, item: str) -> dict[str, Any] | None:
        reply = call(
            self._client.get_item,
            "GetItem",
            "ConsumedCapacity",
            TableName=self._table,
            Key=_key(tenant, item),
            ConsistentRead=True,
            **_WHOLE,
        )
        found: dict[str, Any] | None = reply.get("Item")
        return found


def _key(tenant: str, item: str) -> dict[str, Any]:
    return {"tenant": {"S": tenant}, "item": {"S": item}}


def _version_item(version: int) -> str:
    return f"v#{version:08d}"
