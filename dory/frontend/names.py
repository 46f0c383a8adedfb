"""Names of layers: unique, safe in C and in file names."""

from __future__ import annotations

import re
from collections.abc import Collection

MAX_LENGTH = 40


def safe_name(text: str, used: Collection[str], fallback: str) -> str:
    """`text` in [a-z0-9_], starting with a letter, at most MAX_LENGTH characters, not in `used`."""
    clean = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    clean = clean or re.sub(r"[^a-z0-9]+", "_", fallback.lower()).strip("_") or "layer"
    if not clean[0].isalpha():
        clean = f"n{clean}"
    return unique(clean[:MAX_LENGTH].rstrip("_"), used)


def unique(name: str, used: Collection[str]) -> str:
    """`name`, or name_2, name_3, ... when it is taken."""
    if name not in used:
        return name
    i = 2
    while f"{name}_{i}" in used:
        i += 1
    return f"{name}_{i}"
