"""The command line in this process, and small things to run it on."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_runner import Done, Dory
from paths import ROOT

from dory.cli.main import main

DIGITS = ROOT / "examples" / "digits" / "digits_qdq.onnx"


@pytest.fixture
def dory(capsys: pytest.CaptureFixture[str]) -> Dory:
    """Run a command; everything after the first word may be a path or a number."""

    def call(*args: object) -> Done:
        capsys.readouterr()
        try:
            code = main([str(a) for a in args])
        except SystemExit as e:  # argparse
            code = int(e.code or 0)
        done = capsys.readouterr()
        assert "Traceback" not in done.err
        return Done(code, done.out, done.err)

    return call


@pytest.fixture
def digits() -> Path:
    """The bundled example."""
    return DIGITS


@pytest.fixture
def app(dory: Dory, tmp_path: Path) -> Path:
    """It, deployed with the default options."""
    folder = tmp_path / "digits_app"
    assert dory("deploy", DIGITS, "-o", folder, "--verify", "none").code == 0
    return folder
