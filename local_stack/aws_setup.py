"""The few things an installation's AWS account holds before the product runs: the bucket and the config table.

Uses boto3, which reads the environment of its process: call it in one whose environment is the stack's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping


def create_bucket_and_table(env: Mapping[str, str]) -> None:
    """Create both unless they exist, in the AWS that `env` names; loopback only."""
    import boto3
    from botocore.config import Config

    url = env["AWS_ENDPOINT_URL"]
    session = boto3.session.Session(
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        region_name=env["AWS_DEFAULT_REGION"],
    )
    config = Config(
        connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 8, "mode": "standard"}, proxies={}
    )
    s3 = session.client("s3", endpoint_url=url, config=config)
    bucket = env["CP_ARTIFACT_BUCKET"]
    if bucket not in {found["Name"] for found in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(
            Bucket=bucket,
            CreateBucketConfiguration={"LocationConstraint": env["AWS_DEFAULT_REGION"]},  # type: ignore[typeddict-item]
        )
    dynamodb = session.client("dynamodb", endpoint_url=url, config=config)
    table = env["CP_CONFIG_TABLE"]
    if table not in dynamodb.list_tables()["TableNames"]:
        dynamodb.create_table(
            TableName=table,
            KeySchema=[{"AttributeName": "tenant", "KeyType": "HASH"}, {"AttributeName": "item", "KeyType": "RANGE"}],
            AttributeDefinitions=[
                {"AttributeName": "tenant", "AttributeType": "S"},
                {"AttributeName": "item", "AttributeType": "S"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )


if __name__ == "__main__":
    create_bucket_and_table(os.environ)
