"""With the control plane gone a process of its own, without Django and database, answers by what was published."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.dataplane.conftest import TENANT, Plane, document

ROOT = Path(__file__).resolve().parents[2]
# What a data plane's process is given. No address of a database, a broker or our API is among it.
GIVEN = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "PATH")
PROGRAM = """
import json, sys
from dataplane.lambda_example import handler
told = []
for _ in range(3):
    reply = handler.handler({"body": json.dumps({"route": "support", "prompt": "a b c", "max_tokens": 4})}, None)
    told.append([reply["statusCode"], json.loads(reply["body"])["line"]])
loaded = {name.partition(".")[0] for name in sys.modules}
ours = {"django", "psycopg", "celery", "core", "tenants", "provisioning", "billing", "controlplane"}
print(json.dumps({"told": told, "loaded": sorted(loaded & ours)}))
"""


def test_a_process_of_its_own_answers_and_knows_nothing_of_the_control_plane(plane: Plane) -> None:
    plane.publish(document())
    env = {name: os.environ[name] for name in GIVEN if name in os.environ} | {
        "DATAPLANE_TENANT": TENANT,
        "DATAPLANE_TABLE": os.environ["CP_CONFIG_TABLE"],
        "DATAPLANE_LIMITS_TABLE": os.environ["CP_LIMITS_TABLE"],
        "DATAPLANE_CONFIG_KEY": plane.key.hex(),
    }
    ran = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {"told": [[200, "pooled"]] * 3, "loaded": []}
