"""The services that moto answers: S3, STS, IAM, DynamoDB and whatever else a test may touch.

moto is not safe under parallel calls, so one lock lets one call through at a time.
"""

import io
import os
import threading
from typing import Any

# A bucket of another account is refused, as without a bucket policy that says otherwise. moto reads this at each call.
os.environ["MOTO_S3_ALLOW_CROSSACCOUNT_ACCESS"] = "false"

from moto.core.base_backend import BackendDict
from moto.dynamodb.models import dynamodb_backends
from moto.iam.models import get_account_id_from, iam_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from moto.sts.models import sts_backends

from aws_emulator.identity import TEMPORARY, Identities
from aws_emulator.wire import Reply

_READS = ("Get", "List", "Describe", "Query", "Scan", "BatchGet", "TransactGet")


class OtherServices:
    """moto's server behind one lock."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.changes = 0
        """Grows with every call that may have changed something."""
        self._app = DomainDispatcherApplication(create_backend_app)
        self._accounts: dict[str, str] = {}
        self.identities = Identities()

    def check_session(self, access_key: str, service: str) -> None:
        """Refuse a session that is over. Raises AwsError."""
        if not access_key.startswith(TEMPORARY):
            return
        with self.lock:
            self.identities.check_session(access_key, service)

    def account_of(self, access_key: str) -> str:
        """The account behind an access key: that of the assumed role, else the default account."""
        account = self._accounts.get(access_key)
        if account is None:
            with self.lock:
                account = self._accounts[access_key] = get_account_id_from(access_key)
        return account

    def call(self, environ: dict[str, Any], body: bytes) -> Reply:
        """Let moto answer the WSGI request."""
        reply = Reply()

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
            reply.status, reply.headers = int(status.split(" ", 1)[0]), list(headers)

        environ["wsgi.input"] = io.BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        environ.pop("wsgi.input_terminated", None)
        with self.lock:
            # Only these two services make or lose access keys.
            if "/sts/" in environ.get("HTTP_AUTHORIZATION", "") or "/iam/" in environ.get("HTTP_AUTHORIZATION", ""):
                self._accounts.clear()
            chunks = self._app(environ, start_response)
            try:
                reply.body = b"".join(chunks)
            finally:
                if hasattr(chunks, "close"):
                    chunks.close()
            action = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
            if environ["REQUEST_METHOD"] not in ("GET", "HEAD") and not action.startswith(_READS):
                self.changes += 1
        return reply

    def region_of_bucket(self, account: str, bucket: str) -> str:
        """Where a bucket of the account is; empty when it has none of that name."""
        with self.lock:
            found = s3_backends[account]["aws"].buckets.get(bucket)
            return str(found.region_name) if found is not None else ""

    def read_object(self, account: str, bucket: str, key: str) -> bytes | None:
        """The bytes of an S3 object, or None when there is none."""
        with self.lock:
            found = s3_backends[account]["aws"].buckets.get(bucket)
            stored = found.keys.get(key) if found is not None else None
            # A delete marker stands in a versioned bucket where an object was.
            return bytes(stored.value) if stored is not None and hasattr(stored, "value") else None

    def parts_of(self, account: str, bucket: str, upload_id: str) -> dict[int, Any] | None:
        """The parts that an unfinished S3 upload has received, by number; None when there is no such upload."""
        with self.lock:
            found = s3_backends[account]["aws"].buckets.get(bucket)
            upload = found.multiparts.get(upload_id) if found is not None else None
            return upload.parts if upload is not None else None

    def state(self) -> dict[str, Any]:
        """What must survive a restart, by service; read it under the lock."""
        return {
            "s3": {account: (b["aws"].buckets, b["aws"].tagger) for account, b in s3_backends.items()},
            "dynamodb": {
                account: {region: backend.tables for region, backend in regions.items()}
                for account, regions in dynamodb_backends.items()
            },
            "sts": {account: b["aws"].assumed_roles for account, b in sts_backends.items()},
            "iam": {account: (b["aws"].access_keys, b["aws"].roles) for account, b in iam_backends.items()},
            "sessions": self.identities.sessions,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Put back what `state` gave."""
        with self.lock:
            for account, (buckets, tagger) in state["s3"].items():
                s3_backends[account]["aws"].buckets, s3_backends[account]["aws"].tagger = buckets, tagger
                s3_backends.bucket_accounts.update(dict.fromkeys(buckets, ("aws", account)))
            for account, regions in state["dynamodb"].items():
                for region, tables in regions.items():
                    dynamodb_backends[account][region].tables = tables
            for account, roles in state["sts"].items():
                sts_backends[account]["aws"].assumed_roles = roles
            for account, (keys, roles) in state["iam"].items():
                iam_backends[account]["aws"].access_keys.update(keys)
                iam_backends[account]["aws"].roles.update(roles)
            self.identities.sessions = state.get("sessions", {})

    def reset(self) -> None:
        """Empty all of moto's services."""
        with self.lock:
            BackendDict.reset()
            self._accounts.clear()
            self.identities.sessions.clear()
            self.changes += 1
