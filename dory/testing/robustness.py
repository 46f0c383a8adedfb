"""Damaged network files must deploy or be refused by name: no traceback, no hang, nothing half-written.

One mutant is one seed: `examine_seed(n)` repeats it. `tools/mutants.py` runs many.
"""

from __future__ import annotations

import resource
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import TypeAlias

import numpy as np
import onnx

from dory import pipeline, targets
from dory.errors import CheckError, DoryError
from dory.frontend.inspection import inspect_file
from dory.testing.integer_builder import random_integer_network
from dory.testing.mutants import mutate
from dory.testing.qdq_builder import QdqBuilder

Base: TypeAlias = Callable[[np.random.Generator], onnx.ModelProto]
SECONDS = 30  # a mutant may take, on a busy machine
MEMORY = 6 << 30  # bytes of address space
GOOD = ("deployed", "refused", "does not fit")


@dataclass(frozen=True)
class Outcome:
    """What became of a file: one of GOOD, or "traceback", "hang", "partial output", "unclear"; `text` says more."""

    base: str
    kind: str
    text: str
    seconds: float

    @property
    def good(self) -> bool:
        """Whether the file was handled as it should be."""
        return self.kind in GOOD


class Hang(BaseException):
    """A mutant took too long. Not an Exception, so that nothing on the way catches it."""


def qdq_base(rng: np.random.Generator) -> onnx.ModelProto:
    """A QDQ network with most operators that take part in a graph's shape."""
    b = QdqBuilder("mutant", seed=int(rng.integers(1000)), opset=int(rng.choice([11, 13, 17, 21])))
    x = b.input((1, 3, 8, 8))
    y = b.conv(x, 4, 3, act="relu")
    y = b.maxpool(b.add(y, b.conv(x, 4, 3)), 2)
    y = b.function(b.concat([y, y]), "Sigmoid")
    b.output(b.linear(b.flatten(y), 3))
    return b.model()


BASES: Mapping[str, Base] = MappingProxyType(
    {"QDQ": qdq_base, "integers in floats": lambda rng: random_integer_network(rng)[0]}
)
"""Generators of the networks that are damaged: at least one for each importer."""


def mutant(seed: int) -> tuple[str, bytes]:
    """(base, damaged file); the same seed gives the same file."""
    rng = np.random.default_rng(seed)
    base = list(BASES)[int(rng.integers(len(BASES)))]
    return base, mutate(rng, BASES[base](rng))


def examine_seed(seed: int) -> Outcome:
    """Make a mutant and see what becomes of it."""
    base, data = mutant(seed)
    with tempfile.TemporaryDirectory(prefix="dory-mutant-") as folder:
        return examine(data, Path(folder), base)


def examine(data: bytes, folder: Path, base: str = "") -> Outcome:
    """Inspect and deploy a file in an empty folder, under limits of time and memory."""
    path, begin = folder / "net.onnx", time.monotonic()
    path.write_bytes(data)
    try:
        with _limited(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kind, text = _handled(path, folder / "app")
    except Hang as exc:
        kind, text = "hang", str(exc)
    except Exception:
        kind, text = "traceback", traceback.format_exc()
    seconds = time.monotonic() - begin
    left = sorted(p.name for p in folder.iterdir() if p != path)
    if kind in GOOD and left != (["app"] if kind == "deployed" else []):
        kind, text = "partial output", f"{kind}, but the folder holds {', '.join(left) or 'nothing'}"
    return Outcome(base, kind, text, seconds)


def _handled(path: Path, app: Path) -> tuple[str, str]:
    unclear = ""
    try:
        inspect_file(path)
    except DoryError as exc:
        unclear = _unclear(exc, path)
    try:
        pipeline.deploy(path, pipeline.Options(output=app, target=targets.load("gap8"), verify="none"))
    except DoryError as exc:
        unclear = unclear or _unclear(exc, path)
        return ("unclear", unclear) if unclear else ("does not fit" if exc.exit_code == 3 else "refused", str(exc))
    return ("unclear", unclear) if unclear else ("deployed", "")


def _unclear(exc: DoryError, path: Path) -> str:
    """What is wrong with a refusal: it says where and what, and is none of our own failed checks."""
    text = str(exc)
    if isinstance(exc, CheckError) or not exc.message or "Traceback" in text:
        return f"{type(exc).__name__}: {text}"
    return "" if path.name in text or exc.exit_code == 3 else f"does not name the file: {text}"


@contextmanager
def _limited() -> Iterator[None]:
    """A time limit, and one of memory, so that a mutant with a huge size cannot take the machine with it."""

    def stop(_: int, frame: FrameType | None) -> None:
        raise Hang(f"more than {SECONDS} s, at {frame}")

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    old = signal.signal(signal.SIGALRM, stop)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, hard))
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
