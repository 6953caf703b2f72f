"""Uploading in the browser: an archive or files, with and without JavaScript, and what goes wrong on the way."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from models_registry.models import AdapterVersion
from models_registry.services.validation import validate_version
from tests.factories import make_tenant
from tests.integration.api.making import make_adapter
from tests.unit.models_registry.making import sample


@pytest.fixture
def page(aws: Any, db: None) -> str:
    return reverse("adapter-upload", args=[make_adapter(make_tenant()).public_id])


def files(name: str) -> list[SimpleUploadedFile]:
    return [SimpleUploadedFile(each, content) for each, content in sample(name).items()]


def test_files_arrive_are_checked_and_shown(page: str, admin: Client) -> None:
    response = admin.post(page, {"files": files("ok-r8-qv"), "notes": "first", "metrics": '{"exact_match": 0.84}'})
    version = AdapterVersion.objects.get()
    assert response["Location"] == reverse("version-detail", args=[version.public_id])
    assert (version.state, version.notes, version.metrics) == ("validating", "first", {"exact_match": 0.84})
    assert "Being checked" in admin.get(response["Location"]).content.decode()
    validate_version(version_id=version.pk)
    text = admin.get(response["Location"]).content.decode()
    assert "Accepted as v1" in text
    assert "q_proj" in text


def test_a_refused_upload_says_every_reason(page: str, admin: Client) -> None:
    response = admin.post(page, {"files": files("bad-dora")})
    version = AdapterVersion.objects.get()
    validate_version(version_id=version.pk)
    text = admin.get(response["Location"]).content.decode()
    assert "dora_unsupported" in text
    assert "Refused" in text
    assert "Upload again" in text


def test_with_javascript_the_answer_names_where_to_go(page: str, admin: Client) -> None:
    response = admin.post(page, {"files": files("ok-r8-qv")}, headers={"HX-Request": "true"})
    assert response["HX-Redirect"] == reverse("version-detail", args=[AdapterVersion.objects.get().public_id])


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        ({}, 422, "Nothing was uploaded"),
        ({"files": SimpleUploadedFile("a.tar.gz", b"")}, 422, "Nothing was uploaded"),
        ({"files": SimpleUploadedFile("a.tar.gz", b"x"), "metrics": "[1]"}, 422, "JSON object"),
        ({"files": SimpleUploadedFile("a.tar.gz", b"x"), "metrics": "{nope"}, 422, "JSON object"),
        ({"files": SimpleUploadedFile("a.tar.gz", b"x"), "notes": "x" * 4001}, 422, "at most 4000"),
    ],
    ids=["nothing", "empty file", "list", "broken json", "long notes"],
)
def test_what_cannot_be_used_leaves_no_version(
    sent: dict[str, Any], status: int, said: str, page: str, admin: Client
) -> None:
    response = admin.post(page, sent)
    assert response.status_code == status
    assert said in response.content.decode()
    assert "data-upload" in response.content.decode(), "the form comes back"
    assert not AdapterVersion.objects.exists()


def test_too_many_files_are_refused_in_words(page: str, admin: Client) -> None:
    many = [SimpleUploadedFile(f"{number}.bin", b"x") for number in range(20)]
    response = admin.post(page, {"files": many})
    assert response.status_code == 400
    assert "could not be read" in response.content.decode()
    assert not AdapterVersion.objects.exists()


def test_an_aws_that_does_not_answer_is_shown_as_such(page: str, aws: Any, admin: Client) -> None:
    aws.fault("server_error", operation="PutObject", times=50)
    response = admin.post(page, {"files": files("ok-r8-qv")})
    text = response.content.decode()
    assert response.status_code == 503
    assert "AWS did not do what we asked" in text
    assert "Nothing was changed here" in text
    assert not AdapterVersion.objects.filter(state__in=["validating", "ready"]).exists()


def test_a_viewer_uploads_nothing(page: str, sign_in: Callable[..., Client]) -> None:
    assert sign_in("viewer").post(page, {"files": files("ok-r8-qv")}).status_code == 403
    assert not AdapterVersion.objects.exists()
