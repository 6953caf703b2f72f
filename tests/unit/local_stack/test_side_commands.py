"""Words of run.py that need no stack."""

import io
from pathlib import Path

import pytest

from local_stack import side_commands
from local_stack.home import Home


def test_reset_deletes_nothing_when_nobody_is_there_to_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(side_commands, "HOME", Home(tmp_path / "var"))
    (tmp_path / "var").mkdir()
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert side_commands.reset(confirmed=False) == 1
    assert "Nothing was deleted." in capsys.readouterr().out
    assert (tmp_path / "var").exists()
