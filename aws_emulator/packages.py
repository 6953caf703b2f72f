"""SageMaker's model registry: groups, and the versioned packages in them. Unversioned packages are not kept.

```
approval    PendingManualApproval -> Approved | Rejected;  Approved <-> Rejected;  never back to pending
```
"""

import re
from typing import Any

from aws_emulator.listing import list_page
from aws_emulator.objects import Package, PackageGroup, Region
from aws_emulator.tagging import tags_from
from aws_emulator.wire import AwsError, invalid
from aws_emulator.world import World, remove

_PENDING = "PendingManualApproval"
_KEPT = (
    "ModelPackageDescription",
    "InferenceSpecification",
    "ModelLifeCycle",
    "SourceUri",
    "ModelMetrics",
    "MetadataProperties",
    "SkipModelValidation",
    "ModelPackageRegistrationType",
    "Domain",
    "Task",
)
_MOST_METADATA = 50
_NAME = re.compile(r"[^/]+?/\d{1,9}")


def _group_name(given: str) -> str:
    """A group is named by its name or its ARN."""
    return given.rpartition("/")[2]


def _find_group(region: Region, given: str) -> PackageGroup:
    name = _group_name(given)
    if name not in region.package_groups:
        raise invalid(f"ModelPackageGroup {region.arn('model-package-group', name)} does not exist.")
    return region.package_groups[name]


def _find_package(region: Region, given: str) -> Package:
    """A versioned package is named by its ARN, or by group/version."""
    name = given.partition(":model-package/")[2] or given
    package = region.packages.get(name)
    if package is None or (given.startswith("arn:") and package.arn != given) or not _NAME.fullmatch(name):
        arn = given if given.startswith("arn:") else region.arn("model-package", name)
        raise invalid(f"ModelPackage {arn} does not exist.")
    return package


def _user(region: Region) -> dict[str, Any]:
    return {"IamIdentity": {"Arn": f"arn:aws:iam::{region.account}:root", "PrincipalId": region.account}}


# --- groups -----------------------------------------------------------------------------------------------------
def create_model_package_group(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    """CreateModelPackageGroup."""
    name, tags = request["ModelPackageGroupName"], tags_from(request)
    arn = region.arn("model-package-group", name)
    if name in region.package_groups:
        raise invalid(f"Model Package Group already exists: {arn}")
    now = world.clock.now()
    group = PackageGroup(name, arn, now, now, tags, description=request.get("ModelPackageGroupDescription", ""))
    region.package_groups[name] = group
    world.touch()
    return {"ModelPackageGroupArn": group.arn}


def _group_row(group: PackageGroup) -> dict[str, Any]:
    row = {
        "ModelPackageGroupName": group.name,
        "ModelPackageGroupArn": group.arn,
        "CreationTime": group.created_at,
        "ModelPackageGroupStatus": "Completed",
    }
    return row | ({"ModelPackageGroupDescription": group.description} if group.description else {})


def describe_model_package_group(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    """DescribeModelPackageGroup."""
    return _group_row(_find_group(region, request["ModelPackageGroupName"])) | {"CreatedBy": _user(region)}


def list_model_package_groups(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    """ListModelPackageGroups."""
    return list_page(world, region.package_groups.values(), request, "ModelPackageGroupSummaryList", _group_row)


def delete_model_package_group(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    """DeleteModelPackageGroup; AWS refuses while it holds packages."""
    group = _find_group(region, request["ModelPackageGroupName"])
    if any(package.group_name == group.name for package in region.packages.values()):
        raise AwsError(
            "ConflictException",
            f"Model Package Group {group.arn} cannot be deleted because it still has Model Packages.",
        )
    remove(region, group)
    world.touch()
    return {}


# --- packages ---------------------------------------------------------------------------------------------------
def create_model_package(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    """CreateModelPackage of a version in a group; the same client token answers with the same package."""
    if "ModelPackageGroupName" not in request or "ModelPackageName" in request:
        raise invalid("The emulator keeps versioned packages: give a ModelPackageGroupName and no ModelPackageName.")
    if "Tags" in request:
        raise invalid("Tags cannot be given for a versioned ModelPackage; tag its ModelPackageGroup.")
    if "InferenceSpecification" not in request and "SourceUri" not in request:
        raise invalid("Give an InferenceSpecification or a SourceUri.")
    group = _find_group(region, request["ModelPackageGroupName"])
    token = request.get("ClientToken", "")
    for package in region.packages.values():
        if token and package.group_name == group.name and package.token == token:
            return {"ModelPackageArn": package.arn}
    group.versions += 1
    name, now = f"{group.name}/{group.versions}", world.clock.now()
    package = Package(
        name,
        region.arn("model-package", name),
        now,
        now,
        group_name=group.name,
        version=group.versions,
        approval=request.get("ModelApprovalStatus", _PENDING),
        metadata=dict(request.get("CustomerMetadataProperties", {})),
        request={key: request[key] for key in _KEPT if key in request},
        token=token,
    )
    _refuse_too_much(package.metadata)
    region.packages[name] = package
    world.touch()
    return {"ModelPackageArn": package.arn}


def _package_row(package: Package) -> dict[str, Any]:
    row = {
        "ModelPackageGroupName": package.group_name,
        "ModelPackageVersion": package.version,
        "ModelPackageArn": package.arn,
        "CreationTime": package.created_at,
        "ModelPackageStatus": "Completed",
        "ModelApprovalStatus": package.approval,
    }
    listed = ("ModelPackageDescription", "ModelLifeCycle", "ModelPackageRegistrationType")
    return row | {key: package.request[key] for key in listed if key in package.request}


def describe_model_package(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    """DescribeModelPackage."""
    package = _find_package(region, request["ModelPackageName"])
    # botocore says that there always is a name; a version has none but its group's.
    answer = _package_row(package) | package.request | {"ModelPackageName": package.group_name}
    answer |= {"ModelPackageStatusDetails": {"ValidationStatuses": []}, "CreatedBy": _user(region)}
    if package.metadata:
        answer["CustomerMetadataProperties"] = package.metadata
    if package.approval_description:
        answer["ApprovalDescription"] = package.approval_description
    if package.modified_at != package.created_at:
        answer |= {"LastModifiedTime": package.modified_at, "LastModifiedBy": _user(region)}
    return answer


def list_model_packages(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    """ListModelPackages: of a group, or all versioned ones; without either the unversioned, which there are none of."""
    group = _group_name(request.get("ModelPackageGroupName", ""))
    if group:
        _find_group(region, group)
    of_a_kind = bool(group) or request.get("ModelPackageType", "Unversioned") in ("Versioned", "Both")
    approval = request.get("ModelApprovalStatus")
    found = [
        package
        for package in region.packages.values()
        if of_a_kind and (not group or package.group_name == group) and approval in (None, package.approval)
    ]
    return list_page(world, found, request, "ModelPackageSummaryList", _package_row)


def update_model_package(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    """UpdateModelPackage: approval, its description, metadata, life cycle."""
    package = _find_package(region, request["ModelPackageArn"])
    approval = request.get("ModelApprovalStatus", package.approval)
    if approval == _PENDING != package.approval:
        raise invalid(f"ModelApprovalStatus of {package.arn} cannot go from {package.approval} back to {_PENDING}.")
    metadata = {**package.metadata, **request.get("CustomerMetadataProperties", {})}
    for key in request.get("CustomerMetadataPropertiesToRemove", []):
        metadata.pop(key, None)
    _refuse_too_much(metadata)
    package.approval, package.metadata = approval, metadata
    package.approval_description = request.get("ApprovalDescription", package.approval_description)
    changed = ("ModelLifeCycle", "SourceUri", "InferenceSpecification", "ModelPackageRegistrationType")
    package.request |= {key: request[key] for key in changed if key in request}
    package.modified_at = max(world.clock.now(), package.created_at + 1e-3)
    world.touch()
    return {"ModelPackageArn": package.arn}


def delete_model_package(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    """DeleteModelPackage; its number is not given again."""
    remove(region, _find_package(region, request["ModelPackageName"]))
    world.touch()
    return {}


def _refuse_too_much(metadata: dict[str, str]) -> None:
    if len(metadata) > _MOST_METADATA:
        raise invalid(f"A model package has at most {_MOST_METADATA} CustomerMetadataProperties.")
