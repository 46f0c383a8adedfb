"""Writes the operator tables of README.md from the importers' registries: python tools/readme_ops.py."""

from __future__ import annotations

import re
from pathlib import Path

from dory.report.ops import markdown

README = Path(__file__).resolve().parents[1] / "README.md"
TABLES = re.compile(r"(?<=<!-- operators -->\n).*?(?=<!-- end of operators -->)", re.S)


def with_tables(text: str) -> str:
    """The README's text with the current tables."""
    return TABLES.sub(lambda _: markdown(), text)


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text()))
