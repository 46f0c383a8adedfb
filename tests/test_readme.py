"""What the README says is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

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


def test_what_quantize_says_of_the_example(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Layers, operators and accuracy; the last digits of decibels are the machine's."""
    pytest.importorskip("onnxruntime")
    command = "python -m dory quantize examples/digits/digits_float.onnx"
    said = (ROOT / "README.md").read_text().split(f"$ {command} ")[1].split("\n\n")[0].splitlines()
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "digits.toml").write_text("scale = '1/16'\n")
    monkeypatch.chdir(tmp_path)
    assert main([*command.split()[3:], *said[0].split()]) == 0
    out = capsys.readouterr().out
    assert said[1].split() == out.splitlines()[0].split()
    shown = said[2 : said.index("    ...")]
    assert len(shown) >= 3
    for line in shown:
        assert re.search(rf"^{re.escape(line.split()[0])} ", out, re.M), line
    for line in said[said.index("    ...") + 1 : -1]:
        if not line.strip().startswith("SQNR"):
            assert line.strip() in out, line


def test_every_documented_file_exists() -> None:
    text = (ROOT / "README.md").read_text()
    for name in ("examples/digits/digits_qdq.onnx", "examples/digits/batch.c", "docs/architecture.md", "benchmarks"):
        assert name in text and (ROOT / name).exists()
