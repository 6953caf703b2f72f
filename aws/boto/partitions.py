"""A tenant's partition of one of our DynamoDB tables, whose keys are `tenant` and `item`."""

from typing import Any

from aws.boto.translate import call


def erase_partition(client: Any, table: str, tenant: str) -> int:
    """Remove all items of a tenant, until a read finds none; how many there were."""
    count = 0
    while True:
        reply = _page(client, table, tenant)
        for item in reply["Items"]:
            call(client.delete_item, "DeleteItem", TableName=table, Key=item)
            count += 1
        if not reply["Items"] and "LastEvaluatedKey" not in reply:
            return count


def count_partition(client: Any, table: str, tenant: str) -> int:
    """How many items a tenant has."""
    count = 0
    start: dict[str, Any] = {}
    while True:
        reply = _page(client, table, tenant, **start)
        count += len(reply["Items"])
        if "LastEvaluatedKey" not in reply:
            return count
        start = {"ExclusiveStartKey": reply["LastEvaluatedKey"]}


def _page(client: Any, table: str, tenant: str, **start: Any) -> dict[str, Any]:
    return call(
        client.query,
        "Query",
        "Items",
        TableName=table,
        KeyConditionExpression="tenant = :t",
        ExpressionAttributeValues={":t": {"S": tenant}},
        ProjectionExpression="tenant, #i",
        ExpressionAttributeNames={"#i": "item"},
        ConsistentRead=True,
        **start,
    )
