"""What `bench.registry` sends: the same four operations to the product and to MLflow's server."""

import json
import os
import uuid
from urllib.parse import quote

from bench import registry_rows as rows
from bench.load import request

API, THEIRS = "/api/v1", "/api/2.0/mlflow"


def adapter(number: int) -> str:
    """The public id of the n-th adapter."""
    return f"adp_{number:026d}"


class Ours:
    """Requests to the product."""

    def __init__(self, url: str, key: str) -> None:
        self.url, self._key = url, key

    def get(self, path: str) -> bytes:
        """A read."""
        return request("GET", self.url, API + path, headers={"Authorization": f"Bearer {self._key}"})

    def post(self, path: str, body: object, **headers: str) -> bytes:
        """A change."""
        headers = {"Authorization": f"Bearer {self._key}"} | headers
        return request("POST", self.url, API + path, headers=headers, body=json.dumps(body).encode())

    def register(self, number: int) -> bytes:
        """A version of the n-th adapter, from its tenant's place."""
        place = f"s3://{os.environ['CP_ARTIFACT_BUCKET']}/incoming/bench-{number % rows.TENANTS + 1}/"
        body = {"uri": f"{place}run-7.tar.gz", "notes": "nightly", "metrics": {"loss": 0.4}, "training_job": "run-7"}
        return self.post(f"/adapters/{adapter(number)}/imports", body)

    def roll_back(self, number: int) -> bytes:
        """The n-th adapter to what served before; such a request needs its Idempotency-Key."""
        key = {"Idempotency-Key": str(uuid.uuid4())}
        return self.post(f"/adapters/{adapter(number)}/roll-back", {"reason": "worse answers"}, **key)

    def list_versions(self, number: int, limit: int = 100) -> bytes:
        """The n-th adapter's versions."""
        return self.get(f"/adapters/{adapter(number)}/versions?limit={limit}")

    def list_adapters(self, _number: int) -> bytes:
        """A hundred adapters."""
        return self.get("/adapters?limit=100")


class Mlflows:
    """The same of MLflow's server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def _post(self, path: str, body: object) -> bytes:
        return request("POST", self.url, THEIRS + path, body=json.dumps(body).encode())

    def register(self, number: int) -> bytes:
        """A version of the n-th model."""
        name = f"model-{number}"
        body = {"name": name, "source": f"s3://bucket/{name}/run-7", "description": "nightly"}
        return self._post("/model-versions/create", body)

    def roll_back(self, number: int) -> bytes:
        """The n-th model's alias to the version before."""
        body = {"name": f"model-{number}", "alias": "live", "version": str(rows.VERSIONS_EACH - 1)}
        return self._post("/registered-models/alias", body)

    def list_versions(self, number: int, limit: int = 100) -> bytes:
        """The n-th model's versions."""
        asked = quote(f"name='model-{number}'")
        return request("GET", self.url, f"{THEIRS}/model-versions/search?filter={asked}&max_results={limit}")

    def list_adapters(self, _number: int) -> bytes:
        """A hundred models."""
        return request("GET", self.url, f"{THEIRS}/registered-models/search?max_results=100")
