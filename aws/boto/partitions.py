"""A tenant's partition of one of our DynamoDB tables, whose keys are `tenant` and `item`."""

from typing import Any

from aws.boto.translate import call


def erase_partition(client: Any, table: str, tenant: str) -> int:
    """Remove all items of a tenant, until a read finds none; how many there were."""
    count = 0
    while True:
        reply = call(
            client.query,
            "Query",
            "Items",
            TableName=table,
            KeyConditionExpression="tenant = :t",
            ExpressionAttributeValues={":t": {"S": tenant}},
            ProjectionExpression="tenant, #i",
            ExpressionAttributeNames={"#i": "item"},
            ConsistentRead=True,
        )
        for item in reply["Items"]:
            call(client.delete_item, "DeleteItem", TableName=table, Key=item)
            count += 1
        if not reply["Items"] and "LastEvaluatedKey" not in reply:
            return count
