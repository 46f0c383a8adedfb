"""Single kernel calls in the simulator, with the interface of the C harness."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dory.testing.kernel_runs import Job, run

Bytes = NDArray[np.uint8]
PERMUTE_DIMS = 6
CONCAT_INPUTS = 8
# Pointers at the beginning of each argument struct; the sizes of flat operands follow them.
POINTERS = {
    "conv": ["x", "w", "y", "scratch"],
    "grouped_conv": ["x", "w", "y"],
    "depthwise": ["x", "w", "y", "scratch"],
    "linear": ["x", "w", "y"],
    "linear32": ["x", "w", "y"],
    "add": ["x", "w", "y", "size"],
    "maxpool": ["x", "y"],
    "avgpool": ["x", "w", "y"],
    "lut": ["x", "w", "y", "size"],
    "pad": ["x", "y"],
    "permute": ["x", "y"],
    "softmax": ["x", "w", "y"],
    "unpack": ["x", "y"],
    "pack": ["x", "y"],
    "unpack_weights": ["x", "y"],
}


def simulated(
    function: str, parameters: Sequence[int], inputs: Sequence[Bytes], size: int, cores: int = 8, scratch: int = 0
) -> tuple[int, Bytes]:
    """(scratch bytes, output) of one call; SimulationError when it leaves its buffers."""
    p = [int(v) for v in parameters]
    if function == "concat":
        names = [f"x{i}" for i in range(p[1])]
        none = [0] * (CONCAT_INPUTS - p[1])
        fields: list[int | str] = [*names, *none, *p[2:], *none, p[1], "y", p[0]]
    else:
        names = ["x", "w"][: len(inputs)]
        if function == "permute":
            none = [0] * (PERMUTE_DIMS - p[0])
            p = [p[0], *p[1::2], *none, *p[2::2], *none]
        fields = [size if name == "size" else name for name in POINTERS[function]]
        fields += p
    spaces = {"y": size, "scratch": scratch} if "scratch" in fields else {"y": size}
    job = Job(function, fields, dict(zip(names, inputs, strict=True)), spaces, cores=cores)
    (done,) = run([job])
    return scratch, done.output
