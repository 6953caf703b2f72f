"""SageMaker's model registry: every answer fits botocore's shapes, and AWS's own refusals are kept."""

from typing import Any

from tests.emulator.conftest import Aws, refusal

SPECIFICATION = {
    "Containers": [
        {"Image": "123456789012.dkr.ecr.us-west-2.amazonaws.com/serve:1", "ModelDataUrl": "s3://b/a.tar.gz"}
    ],
    "SupportedContentTypes": ["application/json"],
    "SupportedResponseMIMETypes": ["application/json"],
}


def make(aws: Aws, group: str = "g", **more: Any) -> str:
    arn: str = aws.sm.create_model_package(ModelPackageGroupName=group, InferenceSpecification=SPECIFICATION, **more)[
        "ModelPackageArn"
    ]
    return arn


def test_versions_are_numbered_listed_and_described(aws: Aws) -> None:
    group = aws.sm.create_model_package_group(
        ModelPackageGroupName="g", ModelPackageGroupDescription="One adapter.", Tags=[{"Key": "k", "Value": "v"}]
    )["ModelPackageGroupArn"]
    assert aws.sm.list_tags(ResourceArn=group)["Tags"] == [{"Key": "k", "Value": "v"}]
    assert aws.sm.describe_model_package_group(ModelPackageGroupName=group)["ModelPackageGroupStatus"] == "Completed"
    first = make(aws, ClientToken="t-1", ModelPackageDescription="ours", CustomerMetadataProperties={"rank": "8"})
    assert make(aws, ClientToken="t-1") == first, "the token makes it the same request"
    second = make(aws, ModelApprovalStatus="Approved")
    assert (first.rpartition("/")[2], second.rpartition("/")[2]) == ("1", "2")
    seen = aws.sm.describe_model_package(ModelPackageName=first)
    assert (seen["ModelApprovalStatus"], seen["CustomerMetadataProperties"]) == ("PendingManualApproval", {"rank": "8"})
    pages = aws.sm.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName="g", PaginationConfig={"PageSize": 1}, SortOrder="Ascending"
    )
    assert [row["ModelPackageArn"] for page in pages for row in page["ModelPackageSummaryList"]] == [first, second]
    assert (
        len(
            aws.sm.list_model_packages(ModelApprovalStatus="Approved", ModelPackageType="Both")[
                "ModelPackageSummaryList"
            ]
        )
        == 1
    )
    assert aws.sm.list_model_packages()["ModelPackageSummaryList"] == [], "without a type: the unversioned"
    aws.sm.delete_model_package(ModelPackageName=second)
    assert make(aws).endswith("/3"), "a number is not given twice"


def test_an_approval_changes_and_never_goes_back_to_pending(aws: Aws) -> None:
    aws.sm.create_model_package_group(ModelPackageGroupName="g")
    arn = make(aws, CustomerMetadataProperties={"a": "1", "b": "2"})
    aws.sm.update_model_package(
        ModelPackageArn=arn,
        ModelApprovalStatus="Approved",
        ApprovalDescription="Tested.",
        CustomerMetadataProperties={"c": "3"},
        CustomerMetadataPropertiesToRemove=["a"],
        ModelLifeCycle={"Stage": "Production", "StageStatus": "Approved"},
    )
    seen = aws.sm.describe_model_package(ModelPackageName=arn)
    assert (seen["ModelApprovalStatus"], seen["ApprovalDescription"]) == ("Approved", "Tested.")
    assert seen["CustomerMetadataProperties"] == {"b": "2", "c": "3"}
    assert seen["ModelLifeCycle"]["Stage"] == "Production" and "LastModifiedBy" in seen
    aws.sm.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Rejected")
    back = {"ModelPackageArn": arn, "ModelApprovalStatus": "PendingManualApproval"}
    assert refusal(aws.sm.update_model_package, **back)[0] == "ValidationException"


def test_refusals(aws: Aws) -> None:
    aws.sm.create_model_package_group(ModelPackageGroupName="g")
    assert "already exists" in refusal(aws.sm.create_model_package_group, ModelPackageGroupName="g")[1]
    tagged = {
        "ModelPackageGroupName": "g",
        "InferenceSpecification": SPECIFICATION,
        "Tags": [{"Key": "k", "Value": "v"}],
    }
    assert "Tags" in refusal(aws.sm.create_model_package, **tagged)[1]
    nowhere = {"ModelPackageGroupName": "none", "InferenceSpecification": SPECIFICATION}
    assert refusal(aws.sm.create_model_package, **nowhere)[1].endswith("does not exist.")
    arn = make(aws)
    assert refusal(aws.sm.delete_model_package_group, ModelPackageGroupName="g")[0] == "ConflictException"
    many = {f"k{number}": "v" for number in range(51)}
    too_many = {"ModelPackageArn": arn, "CustomerMetadataProperties": many}
    assert refusal(aws.sm.update_model_package, **too_many)[0] == "ValidationException"
    aws.sm.delete_model_package(ModelPackageName=arn)
    assert refusal(aws.sm.describe_model_package, ModelPackageName=arn)[1].endswith("does not exist.")
    aws.sm.delete_model_package_group(ModelPackageGroupName="g")


def test_another_region_has_its_own(aws: Aws) -> None:
    aws.sm.create_model_package_group(ModelPackageGroupName="g")
    elsewhere = aws.session.client("sagemaker", endpoint_url=aws.url, region_name="eu-central-1", config=aws.config)
    assert elsewhere.list_model_package_groups()["ModelPackageGroupSummaryList"] == []
