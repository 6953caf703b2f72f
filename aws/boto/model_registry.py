"""SageMaker's model registry, seen as hosted objects like all others: groups, and the versions in them.

AWS numbers the versions of a group and gives them no name. Ours goes into the description, which AWS never changes,
so one listing of a group says which package is whose; our tags go into its metadata, because AWS refuses tags on
versions. A package is then told by its ARN, or by `group/name` while nobody knows that yet.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from aws import errors
from aws.boto.translate import call, request_id
from aws.gateway import IN_SERVICE, HostingKind, PackageGroupSpec, PackageSpec, Receipt, Sighting

GROUP: HostingKind = "package_group"
PACKAGE: HostingKind = "package"
KINDS = (GROUP, PACKAGE)
PAGE_SIZE = 100
OUR_TAGS = "cp:"
JSON = ["application/json"]
# AWS's words for the life of a group or package, in those of the other hosted objects. What could not be deleted is
# still there, so it can be asked for again.
_STATUS = {"Completed": IN_SERVICE, "DeleteFailed": IN_SERVICE, "Pending": "Creating", "InProgress": "Creating"}


def is_package(arn: str) -> bool:
    """Whether an ARN is that of a package, and not of a group."""
    return ":model-package/" in arn


class BotoModelRegistry:
    """What `BotoHosting` does for the kinds `package_group` and `package`, over a boto3 `sagemaker` client."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def create(self, spec: PackageGroupSpec | PackageSpec, *, tags: Mapping[str, str]) -> Receipt:
        """Ask for a group, or for a package in one."""
        if isinstance(spec, PackageGroupSpec):
            reply = call(
                self._client.create_model_package_group,
                "CreateModelPackageGroup",
                "ModelPackageGroupArn",
                ModelPackageGroupName=spec.name,
                ModelPackageGroupDescription=spec.description,
                Tags=[{"Key": key, "Value": value} for key, value in sorted(tags.items())],
            )
            return Receipt(request_id=request_id(reply), arn=reply["ModelPackageGroupArn"])
        reply = call(
            self._client.create_model_package,
            "CreateModelPackage",
            "ModelPackageArn",
            ModelPackageGroupName=spec.group_name,
            ModelPackageDescription=spec.name,
            InferenceSpecification={
                "Containers": [{"Image": spec.image, "ModelDataUrl": spec.artifact_url}],
                "SupportedContentTypes": JSON,
                "SupportedResponseMIMETypes": JSON,
            },
            ModelApprovalStatus=spec.approval,
            SkipModelValidation="All",
            CustomerMetadataProperties={**spec.metadata, **tags},
            # The name is never used twice, so a repeated request is known to AWS as the same one.
            ClientToken=hashlib.sha256(spec.name.encode()).hexdigest()[:36],
        )
        return Receipt(request_id=request_id(reply), arn=reply["ModelPackageArn"])

    def set_approval(self, handle: str, *, approval: str, note: str) -> Receipt:
        """Change a package's approval, and say why."""
        reply = call(
            self._client.update_model_package,
            "UpdateModelPackage",
            "ModelPackageArn",
            ModelPackageArn=self._arn(handle),
            ModelApprovalStatus=approval,
            ApprovalDescription=note[:1024],
        )
        return Receipt(request_id=request_id(reply), arn=reply["ModelPackageArn"])

    def delete(self, kind: HostingKind, handle: str) -> Receipt:
        """Remove a group by its name, or a package by its handle. Raises Missing; InProgress for a group in use."""
        if kind == GROUP:
            reply = call(
                self._client.delete_model_package_group, "DeleteModelPackageGroup", ModelPackageGroupName=handle
            )
        else:
            reply = call(self._client.delete_model_package, "DeleteModelPackage", ModelPackageName=self._arn(handle))
        return Receipt(request_id=request_id(reply))

    def describe(self, kind: HostingKind, handle: str) -> Sighting:
        """One group by its name, or one package by its handle. Raises Missing."""
        if kind == GROUP:
            needed = ("ModelPackageGroupArn", "ModelPackageGroupStatus", "CreationTime")
            method = self._client.describe_model_package_group
            return _group(
                call(method, "DescribeModelPackageGroup", *needed, ModelPackageGroupName=handle), is_detailed=True
            )
        return _package(self._describe(self._arn(handle)), is_detailed=True)

    def list(self, kind: HostingKind, *, name_contains: str = "", group: str = "") -> dict[str, Sighting]:
        """All groups, or the packages of one group or of all, whose name contains the text."""
        if kind == GROUP:
            rows = self._pages("list_model_package_groups", "ListModelPackageGroups", "ModelPackageGroupSummaryList")
            found = [_group(row) for row in rows]
        else:
            of_what = {"ModelPackageGroupName": group} if group else {"ModelPackageType": "Versioned"}
            rows = self._pages("list_model_packages", "ListModelPackages", "ModelPackageSummaryList", **of_what)
            found = [_package(row) for row in rows if row.get("ModelPackageDescription")]
        return {each.name: each for each in found if name_contains in each.name}

    def tags(self, package_arn: str) -> dict[str, str]:
        """What stands in for the tags of a package."""
        metadata = self._describe(package_arn).get("CustomerMetadataProperties", {})
        return {key: value for key, value in metadata.items() if key.startswith(OUR_TAGS)}

    def _describe(self, arn: str) -> dict[str, Any]:
        needed = ("ModelPackageArn", "ModelPackageStatus", "CreationTime")
        return call(self._client.describe_model_package, "DescribeModelPackage", *needed, ModelPackageName=arn)

    def _arn(self, handle: str) -> str:
        if handle.startswith("arn:"):
            return handle
        group, _, name = handle.partition("/")
        found = self.list(PACKAGE, group=group).get(name)
        if found is None:
            raise errors.Missing(
                code="ValidationException",
                message=f"no package of the group {group} is described as {name}",
                operation="ListModelPackages",
            )
        return found.arn

    def _pages(self, method: str, operation: str, member: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        # Oldest first: an object made while we page comes last, so no page boundary moves over an unread one.
        order = {"MaxResults": PAGE_SIZE, "SortBy": "CreationTime", "SortOrder": "Ascending"}
        token: str | None = None
        while True:
            extra = {"NextToken": token} if token else {}
            reply = call(getattr(self._client, method), operation, member, **order, **arguments, **extra)
            for row in reply[member]:
                yield row | {"request": request_id(reply)}
            token = reply.get("NextToken")
            if not token:
                return


def _group(row: Mapping[str, Any], *, is_detailed: bool = False) -> Sighting:
    status = row["ModelPackageGroupStatus"]
    return Sighting(
        kind=GROUP,
        name=row["ModelPackageGroupName"],
        arn=row["ModelPackageGroupArn"],
        status=_STATUS.get(status, status),
        created_at=row["CreationTime"],
        modified_at=None,
        is_detailed=is_detailed,
        request_id=row.get("request") or request_id(row),
    )


def _package(row: Mapping[str, Any], *, is_detailed: bool = False) -> Sighting:
    status = row["ModelPackageStatus"]
    by = row.get("LastModifiedBy") or {}
    return Sighting(
        kind=PACKAGE,
        name=row.get("ModelPackageDescription", ""),
        arn=row["ModelPackageArn"],
        status=_STATUS.get(status, status),
        created_at=row["CreationTime"],
        modified_at=row.get("LastModifiedTime"),
        is_detailed=is_detailed,
        package_group=row.get("ModelPackageGroupName", ""),
        approval=row.get("ModelApprovalStatus", ""),
        approval_note=row.get("ApprovalDescription", ""),
        approval_by=by.get("UserProfileArn") or (by.get("IamIdentity") or {}).get("Arn", ""),
        request_id=row.get("request") or request_id(row),
    )
