"""How long the product takes to start and to stop, part by part: on a new folder, and on one that has its data."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from local_stack.emulator import free_port
from local_stack.home import Home
from local_stack.stack import Stack


def main() -> None:
    """Print the seconds of a first and of two later starts."""
    folder = Path(tempfile.mkdtemp(prefix="cp-bench-"))
    home = Home(folder / "var")
    for title in ("first start", "second start", "third start"):
        print(f"{title}:")
        began = time.monotonic()
        with Stack(home) as stack:
            stack.start_services()
            stack.start_product(wanted_port=free_port())
            ready = time.monotonic()
        print(f"{title}: ready after {ready - began:.1f} s, stopped in {time.monotonic() - ready:.1f} s\n")
    home.remove()
    folder.rmdir()


if __name__ == "__main__":
    main()
