"""The few things an installation's AWS account holds before the product runs: the bucket and two tables.

Uses boto3, which reads the environment of its process: call it in one whose environment is the stack's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

BROWSER_UPLOADS = {
    "AllowedMethods": ["PUT"],
    "AllowedOrigins": ["http://127.0.0.1:*", "http://localhost:*"],
    "AllowedHeaders": ["x-amz-checksum-sha256", "content-type"],
    "MaxAgeSeconds": 3600,
}
"""What a browser on our own pages needs to send parts of an upload to the bucket; docs/uploads.md says it for AWS."""


def create_bucket_and_tables(env: Mapping[str, str]) -> None:
    """Create bucket and tables unless they exist, in the AWS that `env` names; loopback only."""
    region = env["AWS_DEFAULT_REGION"]
    s3, dynamodb = _clients(env["AWS_ENDPOINT_URL"], env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], region)
    bucket = env["CP_ARTIFACT_BUCKET"]
    if bucket not in {found["Name"] for found in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(
            Bucket=bucket,
            CreateBucketConfiguration={"LocationConstraint": region},  # type: ignore[typeddict-item]
        )
        # As in production: what is overwritten or deleted stays until its versions are erased.
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [BROWSER_UPLOADS]})  # type: ignore[list-item]
    there = dynamodb.list_tables()["TableNames"]
    for table in (env["CP_CONFIG_TABLE"], env["CP_LIMITS_TABLE"]):
        if table not in there:
            _create_table(dynamodb, table)
    if env["CP_LIMITS_TABLE"] not in there:
        ttl = {"Enabled": True, "AttributeName": "expires_at"}
        dynamodb.update_time_to_live(TableName=env["CP_LIMITS_TABLE"], TimeToLiveSpecification=ttl)  # type: ignore[arg-type]


def _create_table(dynamodb: DynamoDBClient, name: str) -> None:
    dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "tenant", "KeyType": "HASH"}, {"AttributeName": "item", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "tenant", "AttributeType": "S"},
            {"AttributeName": "item", "AttributeType": "S"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )


@lru_cache(maxsize=4)
def _clients(url: str, key: str, secret: str, region: str) -> tuple[S3Client, DynamoDBClient]:
    """Made once: making a client costs more than all the calls here, and tests call this hundreds of times."""
    import boto3
    from botocore.config import Config

    session = boto3.session.Session(aws_access_key_id=key, aws_secret_access_key=secret, region_name=region)
    config = Config(
        connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 8, "mode": "standard"}, proxies={}
    )
    return (
        session.client("s3", endpoint_url=url, config=config),
        session.client("dynamodb", endpoint_url=url, config=config),
    )


if __name__ == "__main__":
    create_bucket_and_tables(os.environ)
