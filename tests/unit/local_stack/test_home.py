"""One stack per folder, and a helper finds it."""

import os
from pathlib import Path

import pytest

from local_stack.home import AlreadyRunning, Home
from local_stack.paths import LONGEST_SOCKET_FOLDER, socket_folder


def test_second_stack_in_the_same_folder_is_told_where_the_first_serves(tmp_path: Path) -> None:
    home = Home(tmp_path)
    lock = home.hold()
    home.record(url="http://127.0.0.1:8000")
    with pytest.raises(AlreadyRunning, match=rf"process {os.getpid()}, http://127.0.0.1:8000"):
        home.hold()
    os.close(lock)
    os.close(home.hold())


def test_a_record_without_its_lock_is_history(tmp_path: Path) -> None:
    home = Home(tmp_path)
    lock = home.hold()
    home.record(url="http://127.0.0.1:8000")
    facts = home.running()
    assert facts is not None
    assert facts["url"] == "http://127.0.0.1:8000"
    os.close(lock)
    assert home.running() is None


def test_the_record_is_private(tmp_path: Path) -> None:
    home = Home(tmp_path)
    os.close(home.hold())
    home.record(url="x")
    assert (tmp_path / "stack.json").stat().st_mode & 0o777 == 0o600


def test_the_outside_folder_is_drawn_once_and_goes_with_the_home(tmp_path: Path) -> None:
    home = Home(tmp_path / "var")
    home.path.mkdir()
    outside = tmp_path / "outside"
    (home.path / "outside-folder").write_text(str(outside))
    outside.mkdir()
    assert home.outside() == outside
    home.remove()
    assert not outside.exists()
    assert not home.path.exists()


def test_sockets_live_in_the_home_where_the_path_allows(tmp_path: Path) -> None:
    short = Path("/tmp") / f"cp-{os.getpid()}"
    try:
        assert socket_folder(short) == short / "run"
        assert (short / "run").stat().st_mode & 0o777 == 0o700
    finally:
        (short / "run").rmdir()
        short.rmdir()


def test_a_long_path_gets_a_private_socket_folder_elsewhere(tmp_path: Path) -> None:
    folder = socket_folder(tmp_path / ("x" * 80))
    try:
        assert len(str(folder)) <= LONGEST_SOCKET_FOLDER
        assert folder.stat().st_mode & 0o777 == 0o700
        assert socket_folder(tmp_path / ("x" * 80)) == folder
    finally:
        folder.rmdir()
