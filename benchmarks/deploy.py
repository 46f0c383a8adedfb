"""Wall time of `deploy`, by stage: python benchmarks/deploy.py [NETWORK ...].

Each network is deployed in a fresh process, once with host verification and once without, imports included.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from dory.testing.networks import NETWORKS

DEFAULT = ("dscnn", "resnet8", "mobilenet_v1_0.25_96", "mobilenet_v1_1.0_128", "mobilenet_v1_1.0_224")


def measure(model: Path, verify: str) -> tuple[float, dict[str, float]]:
    """Wall seconds of the whole command, and of its stages."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [
            sys.executable,
            "-m",
            "dory",
            "deploy",
            str(model),
            "-o",
            f"{scratch}/app",
            "--verify",
            verify,
            "--json",
        ]
        start = time.perf_counter()
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return time.perf_counter() - start, json.loads(done.stdout)["wall_s"]


def main(names: list[str]) -> None:
    """Print the table."""
    table = Table(title="deploy, wall seconds", box=None)
    stages = ("import", "lower", "plan", "generate", "verify", "write")
    for title in ("network", "total", "total, not verified", *stages):
        table.add_column(title, justify="left" if title == "network" else "right")
    for name in names or DEFAULT:
        with tempfile.TemporaryDirectory() as scratch:
            model = Path(scratch) / f"{name}.onnx"
            model.write_bytes(NETWORKS[name].build().SerializeToString(deterministic=True))
            total, wall = measure(model, "host")
            quick, _ = measure(model, "none")
        table.add_row(name, f"{total:.2f}", f"{quick:.2f}", *(f"{wall[s]:.2f}" for s in stages))
    Console(width=140).print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
