"""Groups and packages of SageMaker's registry through the gateway, over real boto3."""

import pytest

from aws import connect, errors
from aws.gateway import PackageGroupSpec, PackageSpec
from local_stack.emulator import EmulatorClient

TAGS = {"cp:install": "local", "cp:resource": "res_1"}


def package(name: str, approval: str = "PendingManualApproval") -> PackageSpec:
    return PackageSpec(
        name=name,
        group_name="g",
        image="763104351884.dkr.ecr.us-west-2.amazonaws.com/djl-inference:0.36.0",
        artifact_url="s3://bucket/a.tar.gz",
        approval=approval,
        metadata={"rank": "8"},
    )


def test_a_package_is_found_by_our_name_decided_and_removed_before_its_group(aws: EmulatorClient) -> None:
    hosting = connect.hosting()
    group = hosting.create(PackageGroupSpec("g", "support of acme"), tags=TAGS)
    assert hosting.tags(group.arn) == TAGS
    with pytest.raises(errors.AlreadyExists):
        hosting.create(PackageGroupSpec("g", ""), tags=TAGS)
    assert hosting.describe("package_group", "g").status == "InService"

    made = hosting.create(package("ours-1"), tags=TAGS)
    again = hosting.create(package("ours-1"), tags=TAGS)
    assert made.arn == again.arn, "a lost reply makes no second one"
    other = hosting.create(package("ours-2", "Approved"), tags=TAGS)
    assert hosting.tags(made.arn) == TAGS, "metadata stands in for tags, and what else is known is not among them"
    assert {name: seen.arn for name, seen in hosting.list("package", group="g").items()} == {
        "ours-1": made.arn,
        "ours-2": other.arn,
    }
    assert set(hosting.list("package", name_contains="ours-2")) == {"ours-2"}

    hosting.set_approval("g/ours-1", approval="Approved", note="Tested.")
    seen = hosting.describe("package", made.arn)
    assert (seen.approval, seen.approval_note, seen.package_group) == ("Approved", "Tested.", "g")
    assert seen.approval_by.endswith(":root")
    with pytest.raises(errors.InvalidRequest):
        hosting.set_approval(made.arn, approval="PendingManualApproval", note="")

    with pytest.raises(errors.InProgress):
        hosting.delete("package_group", "g")
    hosting.delete("package", "g/ours-1")
    hosting.delete("package", other.arn)
    for gone in (made.arn, "g/ours-1"):
        with pytest.raises(errors.Missing):
            hosting.describe("package", gone)
    hosting.delete("package_group", "g")
    with pytest.raises(errors.Missing):
        hosting.describe("package_group", "g")
    with pytest.raises(errors.Missing):
        hosting.list("package", group="g")
