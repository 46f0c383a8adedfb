"""Rung 2 of the ladder: build an application for this machine with sanitizers, run it, compare every layer.

The application runs its example twice; the host runtime checks transfers, guard zones and lifetimes while it
runs and writes every layer's output, which must equal the reference bit for bit.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dory.deployment import LayerCheck
from dory.errors import CheckError, UserError
from dory.graph import subbyte
from dory.graph.types import IntArray
from dory.plan import Plan, load_plan
from dory.resources import share_objects

SANITIZERS = {
    "address": "-fsanitize=address,undefined -fno-sanitize-recover=all",
    "thread": "-fsanitize=thread",
    "none": "",
}
T = TypeVar("T")
RUNS = 2  # inferences in a row
TIMEOUT_S = 600


def verify_host(
    app: Path,
    plan: Plan,
    expected: Mapping[str, IntArray],
    *,
    sanitizer: str = "address",
    progress: Callable[[str], None] | None = None,
    objects: Path | None = None,
) -> list[LayerCheck]:
    """Build and run an application folder and compare with `expected` (tensors by name, uint8 HWC).

    Raises CheckError when the code does not build, a run-time check fails or any layer differs, UserError without a C
    compiler. Returns one entry per layer and run. `objects` is a folder for compiled kernels that many applications of
    this version share, with one sanitizer.
    """
    with tempfile.TemporaryDirectory(prefix="dory-verify-") as scratch:
        dump, error = _dump(app, Path(scratch), sanitizer, progress, objects)
    return _judged(lambda: compare(dump, plan, expected), len(dump), error, plan)


def verify_folder(app: Path, *, sanitizer: str = "address", progress: Callable[[str], None] | None = None) -> int:
    """Build and run a generated folder and compare every layer with the CRC-32 stored in it; the number of layers.

    Raises UserError when `app` is not an application, CheckError like verify_host.
    """
    plan, wanted = load_plan(app), stored_crcs(app)
    with tempfile.TemporaryDirectory(prefix="dory-verify-") as scratch:
        dump, error = _dump(app, Path(scratch), sanitizer, progress)
    _judged(lambda: compare_crc(dump, plan, wanted), len(dump), error, plan)
    return len(plan.layers)


def _judged(judge: Callable[[], T], size: int, error: CheckError | None, plan: Plan) -> T:
    """The judgement of all layers, which says more than the program's own word on its outputs; then that word."""
    if error and size != RUNS * sum(_sizes(plan)):
        raise error
    result = judge()
    if error:
        raise error
    return result


def stored_crcs(app: Path) -> list[str]:
    """CRC-32 of every layer's output, as stored in an application; UserError when they are not there."""
    path = app / "data" / "crc32.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, list):
        raise UserError("missing or damaged", where=str(path), hint="python -m dory deploy MODEL -o APP")
    return found


def compare_crc(dump: bytes, plan: Plan, wanted: list[str]) -> None:
    """Compare a dump with the stored CRC-32s; CheckError when a layer differs."""
    for run, outputs in enumerate(_read_dump(dump, plan)):
        for layer, got in zip(plan.layers, outputs, strict=True):
            if f"{zlib.crc32(got.tobytes()):08x}" != wanted[layer.index]:
                raise CheckError(
                    f"the output of run {run + 1} differs from the reference (CRC-32)",
                    where=f"layer {layer.name}",
                    hint="deploy the model again: that compares element by element",
                )


def _dump(
    app: Path,
    scratch: Path,
    sanitizer: str,
    progress: Callable[[str], None] | None,
    objects: Path | None = None,
) -> tuple[bytes, CheckError | None]:
    """Build, run two inferences, return every layer's output, and how the program failed if it did."""
    for tool in ("gcc", "make"):
        if shutil.which(tool) is None:
            raise UserError(f"{tool} is not installed", where="verify", hint="apt-get install gcc make libc6-dev")
    build, dump = scratch / "build", scratch / "dump.bin"
    if progress:
        progress("verify: build")
    jobs = str(os.cpu_count() or 1)
    make = ["make", "-s", "-j", jobs, "-f", "host.mk", f"BUILD={build}", f"SAN={SANITIZERS[sanitizer]}"]
    if objects:
        share_objects(objects, build)
    _run(make, app, "the generated code does not compile")
    if objects:
        share_objects(build, objects)
    if progress:
        progress("verify: run")
    # The thread sanitizer does not start under every kernel's address randomisation.
    fixed = (
        sanitizer == "thread"
        and shutil.which("setarch")
        and subprocess.run(["setarch", "-R", "true"], capture_output=True).returncode == 0
    )
    prefix = ["setarch", "-R"] if fixed else []
    command = [*prefix, str(build / "network"), str((app / "data").absolute()), str(dump)]
    error = None
    try:
        _run(command, app, "the generated code failed")
    except CheckError as e:
        error = e
    return dump.read_bytes() if dump.is_file() else b"", error


def _sizes(plan: Plan) -> list[int]:
    """Bytes of every layer's output, as stored."""
    return [layer.output.shape[0] * layer.output.row_bytes for layer in plan.layers]


def _read_dump(dump: bytes, plan: Plan) -> list[list[NDArray[np.uint8]]]:
    """Layer outputs by run and layer; CheckError when the file has another size."""
    data = np.frombuffer(dump, np.uint8)
    sizes = _sizes(plan)
    if data.size != RUNS * sum(sizes):
        raise CheckError(f"the application wrote {data.size} bytes of layer outputs, not {RUNS * sum(sizes)}")
    pieces = np.split(data, np.cumsum(sizes * RUNS)[:-1])
    return [pieces[r * len(sizes) : (r + 1) * len(sizes)] for r in range(RUNS)]


def compare(dump: bytes, plan: Plan, expected: Mapping[str, IntArray]) -> list[LayerCheck]:
    """Compare a dump with the reference element by element; CheckError when any byte differs."""
    checks = []
    for run, outputs in enumerate(_read_dump(dump, plan)):
        for layer, data in zip(plan.layers, outputs, strict=True):
            want, bits = expected[layer.output.tensor], layer.output.bits
            got = subbyte.unpack(data, layer.output.shape, bits).reshape(-1)
            wrong = np.flatnonzero(got != want.reshape(-1))
            if not wrong.size:
                checks.append(LayerCheck(run, layer.name, got.size, 0))
                continue
            at = int(wrong[0])
            first = tuple(int(v) for v in np.unravel_index(at, want.shape))
            found, wanted = int(got[at]), int(want.reshape(-1)[at])
            checks.append(LayerCheck(run, layer.name, got.size, int(wrong.size), first, found, wanted))
    bad = [c for c in checks if c.different]
    if bad:
        c = bad[0]
        raise CheckError(
            f"{c.different} of {c.compared} bytes differ from the reference in run {c.run + 1}; the first, (h, w, c) ="
            f" {c.first}: {c.found} instead of {c.wanted} ({len(bad)} layer outputs differ in all)",
            where=f"layer {c.layer}",
            hint="please report this network as a bug",
        )
    return checks


def _run(command: Sequence[str], folder: Path, what: str) -> str:
    env = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "print_stacktrace=1"}
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S, env=env)
    except subprocess.TimeoutExpired as e:
        raise CheckError(f"{what}: no answer after {TIMEOUT_S} s", where=str(folder)) from e
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise CheckError(f"{what} (exit {done.returncode}):\n" + "\n".join(lines[:30]), where=str(folder))
    return done.stdout
