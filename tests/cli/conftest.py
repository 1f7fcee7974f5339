"""The command, on a node of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import Cli
from tests.support.recorder import Recorder


@pytest.fixture
def cli(
    tmp_path: Path,
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Cli:
    """Provide the command with a network "net" of the recording plugin "one"."""
    cli = Cli(tmp_path, recorder, monkeypatch, capsys)
    cli.network("one")
    return cli
