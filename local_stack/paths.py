"""Where the embedded stack keeps its things for one clone: everything under `var`, but for what cannot live there."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

# A unix socket's whole path must stay under 108 bytes (104 on macOS), and PostgreSQL adds a name of its own.
LONGEST_SOCKET_FOLDER = 75

ROOT = Path(__file__).resolve().parent.parent


def socket_folder(home: Path) -> Path:
    """A private folder (0700) for sockets: `home/run`, or one in the temporary folder where that path is too long."""
    folder = home / "run"
    if len(str(folder).encode()) > LONGEST_SOCKET_FOLDER:
        name = hashlib.sha256(str(home).encode()).hexdigest()[:12]
        folder = Path(tempfile.gettempdir()) / f"cp-{os.getuid()}-{name}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to somebody else")
    folder.chmod(0o700)
    return folder
