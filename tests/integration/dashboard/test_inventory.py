"""The page of what inventories found: what it says, what one may do about it, and that it asks first."""

from collections.abc import Callable

from django.test import Client
from django.urls import reverse

from events.models import Event
from provisioning.models import ManagedResource
from provisioning.models.findings import InventoryFinding
from provisioning.states import Phase
from tests.integration.dashboard.furniture import Furnished


def test_an_orphan_is_shown_with_its_price_and_what_to_do(admin: Client, furnished: Furnished) -> None:
    finding = InventoryFinding.objects.get()
    page = admin.get(reverse("inventory")).content.decode()
    assert finding.name in page and "1.5200" in page and "Needs somebody" in page
    assert "Delete it, or ignore it" in page
    assert reverse("finding-delete", args=[finding.public_id]) in page
    listed = admin.get(reverse("operation-list")).content.decode()
    assert reverse("inventory") in listed, "a tab leads there"


def test_a_viewer_sees_it_and_is_offered_nothing(sign_in: Callable[..., Client], furnished: Furnished) -> None:
    page = sign_in("viewer").get(reverse("inventory")).content.decode()
    assert "Needs somebody" in page
    assert reverse("finding-delete", args=[furnished.finding]) not in page


def test_deleting_asks_for_the_name_and_a_reason(admin: Client, furnished: Furnished) -> None:
    finding = InventoryFinding.objects.get()
    path = reverse("finding-delete", args=[finding.public_id])
    assert "cannot be undone" in admin.get(path).content.decode()
    assert admin.post(path, {"typed": "something", "reason": "lost"}).status_code == 422
    assert not ManagedResource.objects.filter(name=finding.name).exists()
    assert admin.post(path, {"typed": finding.name, "reason": "lost"}).status_code == 302
    row = ManagedResource.objects.get(name=finding.name)
    assert (row.public_id, row.phase, row.is_wanted) == (finding.tags["cp:resource"], Phase.DELETING, False)
    assert Event.objects.get(name="resource.adopted").reason == "lost"
    page = admin.get(reverse("inventory")).content.decode()
    assert "Being deleted" in page and path not in page


def test_ignoring_keeps_the_reason(admin: Client, furnished: Furnished) -> None:
    path = reverse("finding-ignore", args=[furnished.finding])
    assert admin.post(path, {"reason": ""}).status_code == 422
    assert admin.post(path, {"reason": "belongs to a <b>test</b>"}).status_code == 302
    page = admin.get(reverse("inventory")).content.decode()
    assert "belongs to a &lt;b&gt;test&lt;/b&gt;" in page and "Ignored" in page


def test_what_is_ignored_can_be_looked_after_again(admin: Client, furnished: Furnished) -> None:
    path = reverse("finding-unignore", args=[furnished.finding])
    assert path not in admin.get(reverse("inventory")).content.decode()
    InventoryFinding.objects.update(ignored_reason="a test", ignored_by="somebody")
    assert path in admin.get(reverse("inventory")).content.decode()
    assert "counts again until it is put right" in admin.get(path).content.decode()
    assert InventoryFinding.objects.get().ignored_reason == "a test", "asking changes nothing"
    assert admin.post(path).status_code == 302
    assert InventoryFinding.objects.get().ignored_reason == ""
    assert Event.objects.get(name="finding.unignored").before["ignored_reason"] == "a test"
    page = admin.get(reverse("inventory")).content.decode()
    assert path not in page and "Needs somebody" in page


def test_adopting_asks_first_and_says_what_is_missing(admin: Client, furnished: Furnished) -> None:
    path = reverse("finding-adopt", args=[furnished.finding])
    assert path in admin.get(reverse("inventory")).content.decode()
    assert "AWS is asked to change nothing" in admin.get(path).content.decode()
    response = admin.post(path, {"reason": "it is ours"})
    assert response.status_code == 409 and b"Nothing that is wished for" in response.content
    assert b"Delete it if nobody needs it" in response.content


def test_an_orphan_of_an_unknown_tenant_says_what_its_tag_says(admin: Client, furnished: Furnished) -> None:
    finding = InventoryFinding.objects.get()
    tags = finding.tags | {"cp:tenant": "ten_<gone>"}
    InventoryFinding.objects.update(tenant=None, tags=tags)
    assert "unknown: tag says ten_&lt;gone&gt;" in admin.get(reverse("inventory")).content.decode()


def test_a_refusal_says_why_and_changes_nothing(admin: Client, furnished: Furnished) -> None:
    finding = InventoryFinding.objects.get()
    InventoryFinding.objects.update(sightings=1)
    response = admin.post(
        reverse("finding-delete", args=[finding.public_id]), {"typed": finding.name, "reason": "too early"}
    )
    assert response.status_code == 409 and b"not seen often enough" in response.content
    assert not ManagedResource.objects.filter(name=finding.name).exists()


def test_a_clean_account_says_so(admin: Client) -> None:
    assert b"not listed yet" in admin.get(reverse("inventory")).content
