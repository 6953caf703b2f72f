"""What is really in AWS, by boto3 alone: knows none of the product's rooms, so that it cannot share their mistakes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config


@dataclass(frozen=True)
class Seen:
    """One object that AWS lists, with its tags."""

    kind: str
    name: str
    status: str
    tags: Mapping[str, str] = field(hash=False)


class Account:
    """One AWS account (or a local stand-in for it), read only."""

    def __init__(self, env: Mapping[str, str]) -> None:
        session = boto3.session.Session(
            aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
            region_name=env["AWS_DEFAULT_REGION"],
        )
        config = Config(proxies={}, retries={"total_max_attempts": 5, "mode": "standard"})
        self._client = lambda service: session.client(service, endpoint_url=env["AWS_ENDPOINT_URL"], config=config)
        self._bucket = env["CP_ARTIFACT_BUCKET"]
        self._table = env["CP_CONFIG_TABLE"]
        self._install = env.get("CP_INSTALL_NAME", "local")

    def hosting(self) -> list[Seen]:
        """Every model, endpoint config, endpoint, component, inference profile, package and group with our tag."""
        sagemaker = self._client("sagemaker")
        found = [*_pages(sagemaker)]
        seen = []
        for kind, name, arn, status in found:
            tags = {tag["Key"]: tag["Value"] for tag in sagemaker.list_tags(ResourceArn=arn)["Tags"]}
            if tags.get("cp:install") == self._install:
                seen.append(Seen(kind, name, status, tags))
        others = [*self._profiles(), *self._packages()]
        return seen + [one for one in others if one.tags.get("cp:install") == self._install]

    def _packages(self) -> list[Seen]:
        """The model registry's groups with their tags, and packages with the metadata that stands in for tags."""
        sagemaker = self._client("sagemaker")
        seen = []
        for page in sagemaker.get_paginator("list_model_package_groups").paginate():
            for group in page["ModelPackageGroupSummaryList"]:
                told = sagemaker.list_tags(ResourceArn=group["ModelPackageGroupArn"])["Tags"]
                tags = {tag["Key"]: tag["Value"] for tag in told}
                name, status = group["ModelPackageGroupName"], group["ModelPackageGroupStatus"]
                seen.append(Seen("model_package_group", name, status, tags))
        for page in sagemaker.get_paginator("list_model_packages").paginate(ModelPackageType="Versioned"):
            for package in page["ModelPackageSummaryList"]:
                told = sagemaker.describe_model_package(ModelPackageName=package["ModelPackageArn"])
                name, tags = package.get("ModelPackageDescription", ""), told.get("CustomerMetadataProperties", {})
                seen.append(Seen("model_package", name, package["ModelPackageStatus"], tags))
        return seen

    def _profiles(self) -> list[Seen]:
        """Bedrock's application inference profiles, with their tags."""
        bedrock = self._client("bedrock")
        seen = []
        for page in bedrock.get_paginator("list_inference_profiles").paginate(typeEquals="APPLICATION"):
            for one in page["inferenceProfileSummaries"]:
                told = bedrock.list_tags_for_resource(resourceARN=one["inferenceProfileArn"])["tags"]
                tags = {tag["key"]: tag["value"] for tag in told}
                seen.append(Seen("inference_profile", one["inferenceProfileName"], one["status"], tags))
        return seen

    def objects(self, tenant: str) -> list[str]:
        """Every object and object version in the bucket under the tenant's prefixes."""
        s3 = self._client("s3")
        found = []
        for prefix in (f"tenants/{tenant}/", f"quarantine/{tenant}/"):
            for page in s3.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=prefix):
                found += [version["Key"] for version in page.get("Versions", [])]
        return found

    def config_items(self, tenant: str) -> list[str]:
        """The sort keys of the tenant's items in the config table."""
        answer = self._client("dynamodb").query(
            TableName=self._table,
            KeyConditionExpression="tenant = :tenant",
            ExpressionAttributeValues={":tenant": {"S": tenant}},
            ConsistentRead=True,
        )
        return [item["item"]["S"] for item in answer["Items"]]

    def left_of(self, tenant: str) -> list[str]:
        """Everything that AWS still holds of one tenant, as `kind name`."""
        hosted = [f"{seen.kind} {seen.name}" for seen in self.hosting() if seen.tags.get("cp:tenant") == tenant]
        stored = [f"object {key}" for key in self.objects(tenant)]
        return hosted + stored + [f"config item {key}" for key in self.config_items(tenant)]


def leaked(seen: Collection[Seen], *, known: Collection[str]) -> list[str]:
    """Names that AWS holds and the product does not know of."""
    return sorted(one.name for one in seen if one.name not in known)


def doubled(seen: Collection[Seen]) -> list[str]:
    """The `cp:resource` ids that more than one AWS object carries."""
    counts = Counter(one.tags.get("cp:resource", "") for one in seen)
    return sorted(resource for resource, count in counts.items() if count > 1)


def _pages(sagemaker: Any) -> Iterator[tuple[str, str, str, str]]:
    """(kind, name, arn, status) of everything hosted."""
    for page in sagemaker.get_paginator("list_models").paginate():
        for one in page["Models"]:
            yield "model", one["ModelName"], one["ModelArn"], ""
    for page in sagemaker.get_paginator("list_endpoint_configs").paginate():
        for one in page["EndpointConfigs"]:
            yield "endpoint_config", one["EndpointConfigName"], one["EndpointConfigArn"], ""
    for page in sagemaker.get_paginator("list_endpoints").paginate():
        for one in page["Endpoints"]:
            yield "endpoint", one["EndpointName"], one["EndpointArn"], one["EndpointStatus"]
    for page in sagemaker.get_paginator("list_inference_components").paginate():
        for one in page["InferenceComponents"]:
            arn, status = one["InferenceComponentArn"], one["InferenceComponentStatus"]
            yield "inference_component", one["InferenceComponentName"], arn, status
