"""Writes the operator table of README.md from the importer's registry: python tools/readme_ops.py."""

from __future__ import annotations

import re
from pathlib import Path

from dory.report.ops import markdown

README = Path(__file__).resolve().parents[1] / "README.md"
TABLE = re.compile(r"\| ONNX operator \|.*?\n(?=\n)", re.S)


def with_table(text: str) -> str:
    """The README's text with the current table."""
    return TABLE.sub(lambda _: markdown(), text)


if __name__ == "__main__":
    README.write_text(with_table(README.read_text()))
