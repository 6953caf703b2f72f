"""`manage.py meter`, and the task that beat rings."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import CommandError, call_command

from metering.models import UnattributedUsage
from metering.tasks import collect_usage
from tests.integration.metering.meterage import Meterage


def run(*arguments: str) -> object:
    out = io.StringIO()
    call_command("meter", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_collecting_and_its_gaps_are_told_as_json(meterage: Meterage) -> None:
    tenant = meterage.tenant()
    meterage.put(tenant, 12, meterage.start)
    meterage.move_to(meterage.after(hours=3))
    gaps = run("gaps")
    assert isinstance(gaps, list)
    assert [(gap["tenant_id"], gap["state"]) for gap in gaps] == [(tenant.pk, "")]
    report = run("collect")
    assert isinstance(report, dict)
    assert (report["windows_read"], report["values_changed"], report["problems"]) == (2, 1, {})
    assert run("gaps") == []
    [scope] = run("freshness")  # type: ignore[misc]
    assert (scope["tenants"], scope["overdue_windows"]) == (1, 0)


def test_hours_can_be_read_again_by_hand(meterage: Meterage) -> None:
    tenant = meterage.tenant()
    meterage.settle(meterage.after(hours=2))
    meterage.put(tenant, 12, meterage.start)
    run("collect")
    assert meterage.total(tenant) == 0
    run("collect", "--from", meterage.start.isoformat(), "--to", meterage.after(hours=1).isoformat())
    assert meterage.total(tenant) == 12
    with pytest.raises(CommandError, match="neither"):
        run("collect", "--from", meterage.start.isoformat())


def test_an_aws_that_fails_is_a_failed_command(meterage: Meterage) -> None:
    meterage.tenant()
    meterage.move_to(meterage.after(hours=2))
    meterage.aws.fault("throttle", operation="GetMetricData", times=8)
    with pytest.raises(CommandError, match=r"Throttling.*\(1 hours\)"):
        call_command("meter", "collect", stdout=io.StringIO())


def test_the_task_collects_and_takes_unknown_arguments(meterage: Meterage) -> None:
    tenant = meterage.tenant()
    meterage.put(tenant, 12, meterage.start)
    meterage.put("ten_nobody", 1, meterage.start)
    meterage.move_to(meterage.after(hours=2))
    collect_usage(something_newer=True)
    assert meterage.total(tenant) == 12
    assert UnattributedUsage.objects.count() == 1
