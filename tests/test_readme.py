"""What the README says is what the code does."""

from __future__ import annotations

import pytest
from paths import ROOT

from dory.cli.main import main
from dory.report.ops import markdown


def test_operator_table_is_the_importers() -> None:
    assert markdown() in (ROOT / "README.md").read_text(), "run: python tools/readme_ops.py"


def test_what_inspect_says_of_the_example(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    command = "python -m dory inspect examples/digits/digits_qdq.onnx"
    said = (ROOT / "README.md").read_text().split(f"$ {command}\n")[1].split("\n\n")[0]
    monkeypatch.chdir(ROOT)
    assert main(command.split()[3:]) == 0
    out = [line.split() for line in capsys.readouterr().out.splitlines()]
    lines = [line.split() for line in said.splitlines() if line.strip() != "..."]
    assert len(lines) >= 8 and all(line in out for line in lines)


def test_every_documented_file_exists() -> None:
    text = (ROOT / "README.md").read_text()
    for name in ("examples/digits/digits_qdq.onnx", "examples/digits/batch.c", "docs/architecture.md", "benchmarks"):
        assert name in text and (ROOT / name).exists()
