"""The process: it starts fast, listens on loopback, shares its clock, survives kills and many clients."""

import resource
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.emulator.conftest import AT_ONCE, ROOT, Aws, Process, at, make_archive, wait_until

TENANT = [{"Name": "TenantId", "Value": "ten_1"}]


def children_cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_it_starts_fast_and_on_loopback_only() -> None:
    """Counted in processor time, so that a busy machine does not fail it."""
    before = children_cpu_seconds()
    process = Process()
    try:
        assert Aws(process.url).control("health")["status"] == "ok"
        assert process.url.startswith("http://127.0.0.1:")
    finally:
        process.stop()
    assert children_cpu_seconds() - before < 2.5


def test_a_taken_port_is_told(emulator: Process) -> None:
    port = emulator.url.rpartition(":")[2]
    command = [sys.executable, "-m", "aws_emulator", "--port", port]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert told.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in told.stderr


def test_the_clock_file_is_shared_both_ways(tmp_path: Path) -> None:
    file = tmp_path / "clock"
    process = Process("--clock-file", str(file))
    try:
        aws = Aws(process.url)
        aws.control("clock", {"advance_seconds": 3600})
        assert file.read_text() == "3600"
        file.write_text("7200")
        assert aws.control("clock")["offset_seconds"] == 7200
        assert aws.now() == pytest.approx(time.time() + 7200, abs=5)
        file.unlink()
        assert aws.control("clock")["offset_seconds"] == 0
    finally:
        process.stop()


def fill(aws: Aws) -> None:
    aws.make_stage()
    aws.make_adapter()
    key = [{"AttributeName": "tenant", "KeyType": "HASH"}]
    kinds = [{"AttributeName": "tenant", "AttributeType": "S"}]
    aws.dynamodb.create_table(
        TableName="configs", KeySchema=key, AttributeDefinitions=kinds, BillingMode="PAY_PER_REQUEST"
    )
    aws.dynamodb.put_item(TableName="configs", Item={"tenant": {"S": "ten_1"}, "version": {"N": "7"}})
    for value in (2, 3):
        datum = {"MetricName": "m", "Dimensions": TENANT, "Timestamp": at(aws.now() - 3600), "Value": value}
        aws.cloudwatch.put_metric_data(Namespace="N", MetricData=[datum, datum])


def metric_sum(aws: Aws) -> list[float]:
    metric = {"Namespace": "N", "MetricName": "m", "Dimensions": TENANT}
    answer = aws.cloudwatch.get_metric_data(
        MetricDataQueries=[{"Id": "q", "MetricStat": {"Metric": metric, "Period": 86_400, "Stat": "Sum"}}],
        StartTime=at(aws.now() - 2 * 86_400),
        EndTime=at(aws.now() + 1),
    )
    return list(answer["MetricDataResults"][0]["Values"])


def test_a_killed_emulator_comes_back_with_everything_and_its_life_cycles_go_on(tmp_path: Path) -> None:
    process = Process("--state-dir", str(tmp_path))
    aws = Aws(process.url)
    fill(aws)
    aws.sm.add_tags(
        ResourceArn="arn:aws:sagemaker:us-west-2:123456789012:endpoint/endpoint", Tags=[{"Key": "a", "Value": "b"}]
    )
    answer = aws.text()
    aws.let_in("222222222222", "t")
    role = aws.sts.assume_role(RoleArn="arn:aws:iam::222222222222:role/t", RoleSessionName="session")["Credentials"]
    aws.control("quotas", {"ml.g5.2xlarge": 1})
    aws.control("clock", {"advance_seconds": 120})
    aws.control("delays", {"component": {"seconds": 2}})
    aws.make_adapter("coming", url="s3://artifacts/two.tar.gz")
    time.sleep(1)
    process.kill()

    process = Process("--state-dir", str(tmp_path))
    try:
        back = Aws(process.url)
        assert back.control("clock")["offset_seconds"] == 120
        wait_until(lambda: back.component_status("coming") == "InService")
        assert back.text("coming") not in (answer, back.text("base"))
        assert (back.endpoint_status(), back.component_status(), back.component_status("adapter")) == ("InService",) * 3
        assert back.text() == answer
        arn = "arn:aws:sagemaker:us-west-2:123456789012:endpoint/endpoint"
        assert back.sm.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "b"}]
        stored = back.s3.get_object(Bucket="artifacts", Key="one.tar.gz")["Body"].read()
        assert stored == make_archive(b"one")
        item = back.dynamodb.get_item(TableName="configs", Key={"tenant": {"S": "ten_1"}})["Item"]
        assert item["version"] == {"N": "7"}
        assert metric_sum(back) == [10.0]
        with pytest.raises(back.sm.exceptions.ClientError, match="ResourceLimitExceeded"):
            back.make_endpoint("second")
        other = back.client(
            "sts",
            aws_access_key_id=role["AccessKeyId"],
            aws_secret_access_key=role["SecretAccessKey"],
            aws_session_token=role["SessionToken"],
        )
        assert other.get_caller_identity()["Account"] == "222222222222"
    finally:
        process.stop()


def test_an_orderly_stop_loses_nothing_and_a_torn_journal_line_is_cut(tmp_path: Path) -> None:
    process = Process("--state-dir", str(tmp_path))
    aws = Aws(process.url)
    fill(aws)
    aws.s3.delete_object(Bucket="artifacts", Key="two.tar.gz")
    process.stop()
    with (tmp_path / "metrics.jsonl").open("a") as journal:
        journal.write('[["123456789012", "us-w')
    process = Process("--state-dir", str(tmp_path))
    try:
        back = Aws(process.url)
        assert metric_sum(back) == [10.0]
        assert [row["Key"] for row in back.s3.list_objects_v2(Bucket="artifacts")["Contents"]] == ["one.tar.gz"]
        back.control("reset", {})
        assert back.cloudwatch.list_metrics()["Metrics"] == []
    finally:
        process.kill()
    process = Process("--state-dir", str(tmp_path))
    try:
        assert metric_sum(Aws(process.url)) == []
    finally:
        process.stop()


def test_a_state_that_cannot_be_read_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "hosting.pickle").write_bytes(b"nonsense")
    process = Process("--state-dir", str(tmp_path))
    try:
        assert Aws(process.url).sm.list_models()["Models"] == []
        assert (tmp_path / "hosting.unreadable").read_bytes() == b"nonsense"
    finally:
        process.stop()


def test_eight_clients_at_once_get_each_name_once(aws: Aws, emulator: Process) -> None:
    aws.make_stage()
    aws.make_adapter()
    expected = aws.text()

    def work(number: int) -> tuple[int, int, int]:
        client = Aws(emulator.url)
        made = refused = 0
        for name in range(10):
            try:
                client.make_model(f"shared-{name}")
                made += 1
            except client.sm.exceptions.ClientError:
                refused += 1
            client.s3.put_object(Bucket="artifacts", Key=f"{number}/{name}", Body=b"x" * 1000)
            client.sm.list_models(MaxResults=100)
            assert client.text() == expected
        return made, refused, len(client.sm.list_inference_components()["InferenceComponents"])

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(work, range(8)))
    assert sum(made for made, _, _ in done) == 10
    assert sum(refused for _, refused, _ in done) == 70
    assert {count for _, _, count in done} == {2}
    assert aws.s3.list_objects_v2(Bucket="artifacts")["KeyCount"] == 82


def test_s3_and_dynamodb_answer_as_the_product_needs_them(aws: Aws) -> None:
    aws.s3.create_bucket(Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
    aws.s3.put_object(Bucket="artifacts", Key="a/b", Body=b"0123456789")
    assert aws.s3.head_object(Bucket="artifacts", Key="a/b")["ContentLength"] == 10
    part = aws.s3.get_object(Bucket="artifacts", Key="a/b", Range="bytes=2-4")
    assert part["Body"].read() == b"234"
    with pytest.raises(aws.s3.exceptions.ClientError, match="PreconditionFailed"):
        aws.s3.put_object(Bucket="artifacts", Key="a/b", Body=b"other", IfNoneMatch="*")
    key = [{"AttributeName": "tenant", "KeyType": "HASH"}, {"AttributeName": "item", "KeyType": "RANGE"}]
    kinds = [{"AttributeName": "tenant", "AttributeType": "S"}, {"AttributeName": "item", "AttributeType": "S"}]
    aws.dynamodb.create_table(TableName="t", KeySchema=key, AttributeDefinitions=kinds, BillingMode="PAY_PER_REQUEST")

    def flip(version: int) -> None:
        aws.dynamodb.put_item(
            TableName="t",
            Item={"tenant": {"S": "ten_1"}, "item": {"S": "current"}, "version": {"N": str(version)}},
            ConditionExpression="attribute_not_exists(version) OR version < :v",
            ExpressionAttributeValues={":v": {"N": str(version)}},
        )

    flip(1)
    flip(2)
    with pytest.raises(aws.dynamodb.exceptions.ConditionalCheckFailedException):
        flip(2)


def test_an_upload_cut_half_way_leaves_no_object(aws: Aws, emulator: Process) -> None:
    aws.s3.create_bucket(Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
    host, port = emulator.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"PUT /artifacts/half HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + b"x" * 400)
    wait_until(lambda: aws.control("health")["status"] == "ok")
    assert aws.s3.list_objects_v2(Bucket="artifacts")["KeyCount"] == 0


def test_delays_at_once_settle_without_a_look(aws: Aws) -> None:
    aws.control("delays", AT_ONCE)
    aws.make_endpoint()
    assert aws.sm.list_endpoints(StatusEquals="InService")["Endpoints"]
