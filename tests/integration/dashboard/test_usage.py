"""The usage explorer and metering health: what they show, what they let people decide, and for whom."""

import csv
import io
from collections.abc import Callable

from django.test import Client
from django.urls import reverse

from events.models import Event
from metering.models import MeterSource, MeterTolerance, UsageGap
from tests.integration.dashboard.furniture import Furnished

OCTOBER = {"from": "2026-10-01", "to": "2026-10-31"}


def test_usage_is_cut_by_meter_line_adapter_and_hour(admin: Client, furnished: Furnished) -> None:
    path = reverse("tenant-usage", args=[furnished.tenant.slug])
    for cut, expected in [
        ({"meter": "output_tokens"}, "45,678"),
        ({"line": "pooled"}, "1,234,567"),
        ({"adapter": "adv_1"}, "1,234,567"),
    ]:
        assert expected in admin.get(path, OCTOBER | cut).content.decode(), cut
    nothing = admin.get(path, OCTOBER | {"adapter": "adv_other"}).content.decode()
    assert "Nothing of this was counted" in nothing and "1,234,567" not in nothing
    hours = admin.get(path, {"from": "2026-10-06", "to": "2026-10-08", "group": "hour"}).content.decode()
    assert ">Hour<" in hours and hours.count("1,234,567") >= 2
    for nonsense in ({"from": "2026-13-01", "to": "x"}, {"from": "0001-01-01", "to": "9999-12-31"}, {"meter": "'"}):
        assert admin.get(path, nonsense).status_code == 200


def test_the_explorer_is_exported_row_by_row(admin: Client, furnished: Furnished) -> None:
    answer = admin.get(reverse("usage-download"), OCTOBER | {"tenant": furnished.tenant.slug})
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert answer["Content-Disposition"].endswith('usage-2026-09-30.csv"') or "2026-10" in answer["Content-Disposition"]
    assert {(row["meter"], row["quantity"], row["unit"]) for row in rows} == {
        ("input_tokens", "1234567", "token"),
        ("output_tokens", "45678", "token"),
    }
    assert {row["tenant"] for row in rows} == {furnished.tenant.public_id}
    everybody = admin.get(reverse("usage-download"), OCTOBER)
    assert len(b"".join(everybody.streaming_content).decode().splitlines()) == 1 + 2 * len(rows)


def test_a_gap_is_accepted_with_a_reason(admin: Client, furnished: Furnished) -> None:
    health = reverse("metering-health")
    path = reverse("gap-accept", args=[furnished.gap])
    assert path in admin.get(health).content.decode()
    assert admin.post(path, {"reason": ""}).status_code == 422
    assert admin.post(path, {"bill": "known", "reason": "the outage of <b>9 Nov</b>"}).status_code == 302
    page = admin.get(health).content.decode()
    assert "the outage of &lt;b&gt;9 Nov&lt;/b&gt;" in page and path not in page
    assert UsageGap.objects.get().closed_by == "person-admin"
    assert Event.objects.filter(name="usage.gap_accepted").count() == 1


def test_sources_and_tolerances_are_set_by_who_may(
    admin: Client, sign_in: Callable[..., Client], furnished: Furnished
) -> None:
    source, tolerance = (reverse(name, args=["input_tokens"]) for name in ("meter-source", "meter-tolerance"))
    chosen = {"kind": "events", "starts_on": "2026-12-01", "reason": "exact"}
    assert sign_in("viewer").post(source, chosen).status_code == 403
    sealed = admin.post(source, chosen | {"starts_on": "2026-10-01"})
    assert (sealed.status_code, b"is sealed" in sealed.content) == (409, True)
    assert not MeterSource.objects.exists()
    assert admin.post(source, chosen).status_code == 302
    assert admin.post(tolerance, {"parts_per_million": "2000"}).status_code == 302
    assert MeterTolerance.objects.get().parts_per_million == 2000
    page = admin.get(reverse("metering-health")).content.decode()
    assert "Usage events" in page and "2,000" in page


def test_reading_again_is_previewed_first(admin: Client, furnished: Furnished) -> None:
    path = reverse("metering-backfill")
    span = {"tenant": furnished.tenant.slug, "start": "2026-10-07T14:00", "end": "2026-10-07T15:00"}
    assert "Show what would change" in admin.get(path).content.decode()
    assert admin.get(path, span | {"start": "never"}).status_code == 422
    assert "What would change" in admin.get(path, span).content.decode()
    assert not Event.objects.filter(name="usage.backfill_requested").exists()
    assert admin.post(path, span | {"reason": "late points"}).status_code == 302
    assert Event.objects.filter(name="usage.backfill_requested", reason="late points").count() == 1
