"""An upload in parts as a client sees it: REST for the list, the bucket for the bytes."""

import hashlib
import urllib.request
from typing import Any

import pytest

from api.models import IdempotentRequest
from models_registry.models import AdapterVersion
from models_registry.services.validation import validate_version
from tests.factories import make_tenant
from tests.integration.api.client import Caller, caller, refused
from tests.integration.api.making import make_adapter
from tests.unit.models_registry.making import archive, good

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("aws")]


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def put(part: dict[str, Any], data: bytes) -> None:
    headers = {**part["headers"], "Content-Type": "application/octet-stream"}
    with urllib.request.urlopen(urllib.request.Request(part["url"], data, headers, method="PUT")) as reply:
        assert reply.status == 200


def begin(client: Caller, adapter: str, content: bytes, **words: Any) -> dict[str, Any]:
    body = {"files": [{"name": "adapter.tar.gz", "size": len(content)}], **words}
    response = client.post(f"adapters/{adapter}/uploads", body)
    assert response.status_code == 201, response.content
    begun: dict[str, Any] = response.json()
    return begun


def test_begin_send_complete() -> None:
    client, content = caller(), archive(good())
    adapter = make_adapter(make_tenant()).public_id
    upload = begin(client, adapter, content, notes="over REST", metrics={"loss": 0.25})
    assert (upload["state"], upload["files"][0]["parts"], upload["adapter"]) == ("open", 1, adapter)
    assert [each["id"] for each in client.get(f"adapters/{adapter}/uploads").json()["data"]] == [upload["id"]]
    refused(client.get(f"adapter-versions/{upload['version']}"), 404, "not_found")

    path = f"adapter-uploads/{upload['id']}"
    refused(client.post(f"{path}/complete", {"checksums": [[sha(content)]]}), 409, "parts_missing")
    wanted = {"parts": [{"file": 0, "number": 1, "sha256": sha(content)}]}
    [part] = client.post(f"{path}/parts", wanted, idempotency_key="once").json()["parts"]
    assert not IdempotentRequest.objects.filter(path__endswith="/parts").exists(), "addresses are not kept"
    put(part, content)
    assert client.get(f"{path}/parts").json()["parts"] == [
        {"file": 0, "number": 1, "size": len(content), "sha256": sha(content)}
    ]
    response = client.post(f"{path}/complete", {"checksums": [[sha(content)]]})
    assert response.status_code == 202
    version = response.json()
    assert (version["id"], version["state"], version["notes"]) == (upload["version"], "validating", "over REST")
    assert response["Location"] == f"/api/v1/adapter-versions/{version['id']}"
    assert client.post(f"{path}/complete", {"checksums": [[sha(content)]]}).json()["id"] == version["id"]
    assert client.get(path).json()["state"] == "completed"
    refused(client.post(f"{path}/abort"), 409, "upload_closed")
    validate_version(version_id=AdapterVersion.objects.get().pk)
    assert client.get(f"adapter-versions/{version['id']}").json()["number"] == 1


def test_abort_leaves_nothing() -> None:
    client, content = caller(), archive(good())
    upload = begin(client, make_adapter(make_tenant()).public_id, content)
    path = f"adapter-uploads/{upload['id']}"
    assert client.post(f"{path}/abort").status_code == 204
    refused(client.get(path), 404, "not_found")
    assert not AdapterVersion.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"files": []},
        {"files": [{"name": "a"}]},
        {"files": [{"name": "a", "size": "9"}]},
        {"files": [{"name": "a", "size": 0}]},
        {"files": [{"name": "a", "size": 2**60}]},
        {"files": [{"name": "a", "size": 1, "sha256": "x"}]},
        {"files": [{"name": "a", "size": 1}] * 40},
        {"files": [{"name": "a", "size": 1}], "metrics": [1]},
        {"files": [{"name": "a", "size": 1}], "notes": "x" * 5000},
    ],
)
def test_what_cannot_be_begun_is_refused(body: dict[str, Any]) -> None:
    response = caller().post(f"adapters/{make_adapter(make_tenant()).public_id}/uploads", body)
    assert response.status_code in (409, 422), response.content
    assert not AdapterVersion.objects.exists()


def test_the_same_idempotency_key_begins_one_upload() -> None:
    client = caller()
    adapter = make_adapter(make_tenant()).public_id
    body = {"files": [{"name": "a.tar.gz", "size": 9}]}
    answers = [client.post(f"adapters/{adapter}/uploads", body, idempotency_key="once").json() for _ in range(2)]
    assert answers[0]["id"] == answers[1]["id"]
    assert AdapterVersion.objects.count() == 1
