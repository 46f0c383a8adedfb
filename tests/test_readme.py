"""What the README says is what the code does."""

from __future__ import annotations

from paths import ROOT

from dory.report.ops import markdown


def test_operator_table_is_the_importers() -> None:
    assert markdown() in (ROOT / "README.md").read_text(), "run: python tools/readme_ops.py"


def test_every_documented_file_exists() -> None:
    text = (ROOT / "README.md").read_text()
    for name in ("examples/digits/digits_qdq.onnx", "examples/digits/batch.c", "docs/architecture.md", "benchmarks"):
        assert name in text and (ROOT / name).exists()
